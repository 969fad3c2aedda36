// tests/tensor/transcode_test.cpp — numbers of one format in another: exact, near, refused, and what the report says.
// SPDX-License-Identifier: MIT
#include <nbit/tensor/transcode.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/float_codes.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>

#include "tensor/random_codes.hpp"

namespace {

using nbit::fidelity;
using nbit::scale_type;
using nbit::symmetry;

template <int Bits, int Group, symmetry S, scale_type Scale = scale_type::f16>
struct ints : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = S, .scale = Scale}> {};
using sym4 = ints<4, 32, symmetry::gptq>;
using asym4 = ints<4, 32, symmetry::asymmetric>;
using bf4 = ints<4, 32, symmetry::asymmetric, scale_type::bf16>;
using row4 = ints<4, nbit::per_row, symmetry::gptq>;
using sym8 = ints<8, 128, symmetry::gptq>;
using hqq4 = ints<4, 64, symmetry::asymmetric_float>;

template <class F>
std::vector<float> values(const nbit::coded_matrix<F>& q) {
  std::vector<float> v(q.rows * q.cols);
  nbit::detail::decode_matrix<F>(q, {v.data(), q.rows, q.cols});
  return v;
}

/// What a report says against values compared here, and against what the strict call did.
void check_report(const nbit::transcode_report& report, const std::vector<float>& before,
                  const std::vector<float>& after, bool strict, bool lenient) {
  CHECK(strict == (report.kind == fidelity::exact));
  CHECK(lenient == (report.kind != fidelity::refused));
  if (report.kind == fidelity::refused) {
    CHECK(after.empty());
    CHECK(*report.reason != '\0');
    return;
  }
  double worst = 0;
  std::size_t changed = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    changed += before[i] != after[i] ? 1u : 0u;
    worst = std::max(worst, std::fabs(double(before[i]) - double(after[i])));
  }
  CHECK(report.weights == before.size());
  CHECK(report.changed == changed);
  CHECK(report.worst_absolute == worst);
  CHECK((report.kind == fidelity::exact) == (changed == 0));
}

/// Transcodes a matrix and checks the report.
template <class To, class From>
nbit::transcode_report check(const nbit::coded_matrix<From>& q) {
  const auto done = nbit::try_transcode<To>(q);
  if (!done) return {};
  const bool strict(nbit::transcode<To>(q)), lenient(nbit::transcode<To>(q, {.accept = fidelity::rounded}));
  check_report(done->report, values(q), done->weights.rows == 0 ? std::vector<float>() : values(done->weights), strict,
               lenient);
  return done->report;
}

template <class To, class From>
fidelity kind_of(nbit::shape s = {5, 256}) {
  return check<To>(nbit_test::random_matrix<From>(s, 11)).kind;
}

}  // namespace

TEST_CASE("symmetric int4 is Q4_0, its scale repeated for wider groups") {
  const auto q = nbit_test::random_matrix<sym4>({4, 96}, 1);
  const auto done = nbit::transcode<nbit::q4_0>(q);
  REQUIRE(done);
  CHECK(std::memcmp(done->weights.codes.data(), q.codes.data(), q.codes.size()) == 0);  // the very codes
  for (std::size_t i = 0; i < q.params.size(); ++i) CHECK(done->weights.params[i].d.bits == q.params[i].scale.bits);
  CHECK(kind_of<nbit::q4_0, ints<4, 128, symmetry::gptq>>() == fidelity::exact);
  CHECK(kind_of<nbit::q4_0, row4>() == fidelity::exact);
  CHECK(kind_of<nbit::q4_k, row4>() == fidelity::exact);
  CHECK(kind_of<nbit::q8_0, sym8>() == fidelity::exact);  // code -128, which Q8_0's own encoder never makes
}

TEST_CASE("int4 with zeros is exactly Q5_0, nearly Q4_1, and Q4_0 only where its levels allow") {
  CHECK(kind_of<nbit::q5_0, asym4>() == fidelity::exact);
  CHECK(kind_of<nbit::q8_0, asym4>() == fidelity::exact);
  const auto near = check<nbit::q4_1>(nbit_test::random_matrix<asym4>({5, 256}, 11));
  CHECK(near.kind == fidelity::rounded);
  CHECK((near.worst_steps > 0 && near.worst_steps < 0.01));  // half an ulp of f16 of the minimum: 15 steps * 2^-11
  auto q = nbit_test::random_matrix<asym4>({3, 64}, 2);
  CHECK(check<nbit::q4_0>(q).kind == fidelity::refused);
  for (auto& p : q.params) p.zero = 8;
  CHECK(check<nbit::q4_0>(q).kind == fidelity::exact);
}

TEST_CASE("a refusal names the worst place") {
  auto q = nbit_test::random_matrix<asym4>({3, 64}, 2);
  for (auto& p : q.params) p.zero = 8;
  q.params[q.params_index(1, 1)].zero = 2;
  q.row_codes(1)[40] = 15;  // 13 steps: Q4_0 has 7, or -8
  for (std::size_t c = 32; c < 64; ++c) q.row_codes(1)[c] = static_cast<std::uint8_t>(c == 40 ? 15 : 2 + c % 2);
  const auto refused = nbit::transcode<nbit::q4_0>(q);
  REQUIRE_FALSE(refused);
  CHECK((refused.error().row == 1 && refused.error().col == 40));
}

TEST_CASE("zeros and codes stay themselves between formats of the same integers") {
  const auto q = nbit_test::random_matrix<bf4>({4, 64}, 3);
  const auto done = nbit::transcode<asym4>(q);  // bf16 scales of usual size are f16 ones
  REQUIRE(done);
  CHECK(std::memcmp(done->weights.codes.data(), q.codes.data(), q.codes.size()) == 0);
  for (std::size_t i = 0; i < q.params.size(); ++i) CHECK(done->weights.params[i].zero == q.params[i].zero);
  auto large = nbit_test::random_matrix<bf4>({1, 32}, 3);
  large.params[0].scale = nbit::bf16::from(1e6f);
  CHECK(check<asym4>(large).kind == fidelity::refused);
}

TEST_CASE("k-quants, codebooks and small floats where their grids allow") {
  CHECK(kind_of<nbit::q6_k, nbit::q3_k>() == fidelity::exact);
  CHECK(kind_of<nbit::q5_k, nbit::q4_k>() == fidelity::exact);
  CHECK(kind_of<nbit::q4_k, nbit::q5_k>() == fidelity::refused);
  CHECK(kind_of<nbit::q8_0, nbit::iq4_nl>() == fidelity::exact);
  CHECK(kind_of<nbit::q5_0, nbit::mxfp4>() == fidelity::exact);
  using pairs = nbit::float_codes<nbit::f4_e2m1, 32, scale_type::e8m0>;
  CHECK(kind_of<nbit::mxfp4, pairs>() == fidelity::exact);
  CHECK(kind_of<pairs, nbit::mxfp4>() == fidelity::exact);
  CHECK(kind_of<nbit::iq4_nl, nbit::nf4>() == fidelity::refused);
  CHECK(kind_of<nbit::q4_0, nbit::nf4>() == fidelity::refused);
  CHECK(kind_of<nbit::q4_1, hqq4>() == fidelity::rounded);
  CHECK(kind_of<nbit::q4_k, nbit::iq2_s>() == fidelity::refused);
  CHECK(kind_of<nbit::iq2_s, nbit::q4_k>() == fidelity::refused);
  CHECK(kind_of<nbit::iq2_s, nbit::iq2_s>() == fidelity::exact);
}

TEST_CASE("act-order groups stay where the target can say so") {
  auto q = nbit_test::random_matrix<sym4>({3, 96}, 4);
  nbit_test::shuffle_groups(q, 5);
  const auto done = nbit::transcode<asym4>(q);
  REQUIRE(done);
  REQUIRE(done->weights.group_index.size() == 96);
  for (std::size_t c = 0; c < 96; ++c) {
    CHECK(done->weights.group_index[c] == q.group_index[c]);
    for (std::size_t r = 0; r < 3; ++r) {
      const std::size_t g = q.group_index[c];
      CHECK(sym4::value(q.row_codes(r)[c], q.params[q.params_index(r, g)], 0) ==
            asym4::value(done->weights.row_codes(r)[c], done->weights.params[done->weights.params_index(r, g)], 0));
    }
  }
  CHECK(check<nbit::q4_0>(q).kind == fidelity::refused);
  CHECK(check<ints<4, 16, symmetry::gptq>>(q).kind == fidelity::refused);
}

TEST_CASE("zero scales, ragged rows, empty matrices") {
  auto q = nbit_test::random_matrix<asym4>({2, 70}, 6);
  CHECK(check<nbit::q5_0>(q).kind == fidelity::refused);  // blocks are never short
  CHECK(check<ints<5, 32, symmetry::gptq>>(q).kind == fidelity::exact);
  for (auto& p : q.params) p.scale = nbit::f16::from(0.0f);
  CHECK(check<ints<5, 32, symmetry::gptq>>(q).kind == fidelity::exact);
  CHECK(check<ints<4, 16, symmetry::asymmetric>>(q).kind == fidelity::exact);
  CHECK(kind_of<nbit::q4_0, sym4>({0, 64}) == fidelity::exact);
  CHECK(kind_of<nbit::q4_0, sym4>({3, 0}) == fidelity::exact);
}

TEST_CASE("packed tensors change format and layout at once") {
  const auto q = nbit_test::random_matrix<asym4>({8, 64}, 7);
  const auto words = nbit::pack_codes<nbit::gptq_words>(q);
  REQUIRE(words);
  const auto blocks = nbit::transcode<nbit::q5_0>(words->view());
  REQUIRE(blocks);
  CHECK(blocks->report.kind == fidelity::exact);
  // Q5_0 has 32 levels, but these tensors keep to 16 neighbours of them: with the right zero they fit four bits again
  const auto back = nbit::transcode<asym4, nbit::awq_interleave>(blocks->weights.view());
  REQUIRE(back);
  const auto codes = nbit::unpack_codes(back->weights.view());
  REQUIRE(codes);
  CHECK(values(*codes) == values(q));
}
