// tests/tensor/kernel_forms_test.cpp — Marlin, act-order, woven ggml blocks and the orders of MXFP4.
// SPDX-License-Identifier: MIT
#include <nbit/tensor/interleave.hpp>
#include <nbit/tensor/marlin.hpp>
#include <nbit/tensor/sorted_groups.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <string>
#include <vector>

#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/layout/exllama.hpp>
#include <nbit/tensor/repack.hpp>

#include "support/data.hpp"
#include "support/random.hpp"
#include "support/st.hpp"
#include "tensor/random_codes.hpp"

namespace {

struct sym8 : nbit::uniform<nbit::scheme{.bits = 8, .group = 32, .symmetry = nbit::symmetry::gptq}> {};
struct sym4c : nbit::uniform<nbit::scheme{.bits = 4, .group = nbit::per_row, .symmetry = nbit::symmetry::gptq}> {};
struct asym4 : nbit::uniform<nbit::scheme{.bits = 4, .group = 16, .symmetry = nbit::symmetry::asymmetric}> {};

template <class F>
void same_matrix(const nbit::coded_matrix<F>& a, const nbit::coded_matrix<F>& b) {
  REQUIRE(a.shape() == b.shape());
  CHECK(std::memcmp(a.codes.data(), b.codes.data(), a.codes.size() * sizeof(a.codes[0])) == 0);
  CHECK(std::memcmp(a.params.data(), b.params.data(), a.params.size() * sizeof(a.params[0])) == 0);
  REQUIRE(a.group_index.size() == b.group_index.size());
  for (std::size_t i = 0; i < a.group_index.size(); ++i) CHECK(a.group_index[i] == b.group_index[i]);
}

template <class F>
void marlin_round_trip(nbit::shape s, bool act_order) {
  auto q = nbit_test::random_matrix<F>(s, 7);
  if (act_order) nbit_test::shuffle_groups(q, 8);
  const auto packed = nbit::pack_marlin(q);
  REQUIRE(packed);
  CHECK(packed->zeros.empty() == F::symmetric);
  CHECK(packed->order.empty() != act_order);
  const auto back = nbit::unpack_marlin(*packed);
  REQUIRE(back);
  same_matrix(q, *back);
}

/// The rows of one golden woven block, and back.
template <class F, int Rows, int Chunk>
void check_woven(const nbit_test::st_file& golden, std::string name, std::uint64_t seed) {
  name = "woven." + name + "_" + std::to_string(Rows) + "x" + std::to_string(Chunk);
  INFO(name);
  nbit_test::random numbers(seed);
  std::vector<std::byte> rows(static_cast<std::size_t>(Rows) * F::block_bytes);
  for (auto& b : rows) b = static_cast<std::byte>(numbers.bits() & 0xff);
  const nbit::shape s{std::size_t(Rows), std::size_t(F::group)};
  const auto woven = nbit::interleave_blocks<Rows, Chunk>(nbit::packed_view<F>(std::span<const std::byte>(rows), s));
  REQUIRE(woven);
  REQUIRE(golden.has(name));
  const auto expected = golden[name].bytes;
  CHECK(std::equal(woven->begin(), woven->end(), expected.begin(), expected.end()));
  const auto back = nbit::unweave_blocks<Rows, Chunk, F>(woven->span(), s);
  REQUIRE(back);
  CHECK(std::equal(rows.begin(), rows.end(), back->bytes.begin(), back->bytes.end()));
}

}  // namespace

TEST_CASE("a linear comes back from Marlin's form: both widths, zeros, one group for each output, act-order") {
  marlin_round_trip<sym8>({128, 64}, false);
  marlin_round_trip<sym4c>({64, 48}, false);
  marlin_round_trip<asym4>({64, 64}, false);
  marlin_round_trip<asym4>({128, 96}, true);
}

TEST_CASE("Marlin's form refuses shapes that leave tiles open, and zeros beyond the width") {
  const auto odd = nbit::pack_marlin(nbit_test::random_matrix<sym8>({63, 64}, 1));
  REQUIRE_FALSE(odd);
  CHECK((odd.error().code == nbit::errc::shape && odd.error().found == 63));
  auto q = nbit_test::random_matrix<asym4>({64, 32}, 1);
  q.params[q.params_index(5, 1)].zero = 16;
  const auto wide = nbit::pack_marlin(q);
  REQUIRE_FALSE(wide);
  CHECK((wide.error().code == nbit::errc::malformed && wide.error().row == 5 && wide.error().col == 1));
  auto good = nbit::pack_marlin(nbit_test::random_matrix<asym4>({64, 32}, 1));
  REQUIRE(good);
  good->order = *nbit::buffer<std::uint32_t>::zeros(32);
  CHECK_FALSE(nbit::unpack_marlin(*good));
}

TEST_CASE("sorting by group keeps neighbours in their order and is undone") {
  auto q = nbit_test::random_matrix<asym4>({3, 64}, 3);
  nbit_test::shuffle_groups(q, 4);
  auto sorted = nbit::sort_by_group(q);
  REQUIRE(sorted);
  for (std::size_t i = 0; i + 1 < 64; ++i) {
    CHECK(q.group_index[sorted->order[i]] <= q.group_index[sorted->order[i + 1]]);
    if (i / 16 == (i + 1) / 16) CHECK(sorted->order[i] < sorted->order[i + 1]);
  }
  const auto words = nbit::pack_codes<nbit::exllama>(sorted->weights);  // what ExLlama's kernels take
  REQUIRE(words);
  const auto back =
      nbit::unsort(nbit::sorted_matrix<asym4>{*nbit::unpack_codes(words->view()), std::move(sorted->order)});
  REQUIRE(back);
  same_matrix(q, *back);
  q.group_index[0] = q.group_index[0] == 0 ? 1 : 0;
  const auto uneven = nbit::sort_by_group(q);
  REQUIRE_FALSE(uneven);
  CHECK(uneven.error().code == nbit::errc::unsupported);
}

TEST_CASE("woven blocks are those of ggml's repacking, byte for byte, and come apart again") {
  const auto file = nbit_test::st_file::load(nbit_test::golden_dir() / "layouts" / "run_time.safetensors");
  REQUIRE(file);
  check_woven<nbit::q4_0, 4, 4>(*file, "q4_0", 1);
  check_woven<nbit::q4_0, 4, 8>(*file, "q4_0", 1);
  check_woven<nbit::q4_0, 8, 8>(*file, "q4_0", 1);
  check_woven<nbit::q4_0, 16, 1>(*file, "q4_0", 1);
  check_woven<nbit::q8_0, 4, 4>(*file, "q8_0", 2);
  check_woven<nbit::q8_0, 4, 8>(*file, "q8_0", 2);
  check_woven<nbit::q8_0, 16, 1>(*file, "q8_0", 2);
  check_woven<nbit::q2_k, 8, 8>(*file, "q2_k", 3);
  check_woven<nbit::q4_k, 8, 4>(*file, "q4_k", 4);
  check_woven<nbit::q4_k, 8, 8>(*file, "q4_k", 4);
  check_woven<nbit::q5_k, 8, 4>(*file, "q5_k", 5);
  check_woven<nbit::q5_k, 8, 8>(*file, "q5_k", 5);
  check_woven<nbit::q6_k, 8, 4>(*file, "q6_k", 6);
  check_woven<nbit::q6_k, 8, 8>(*file, "q6_k", 6);
  check_woven<nbit::iq4_nl, 4, 4>(*file, "iq4_nl", 7);
  check_woven<nbit::iq4_nl, 8, 8>(*file, "iq4_nl", 7);
  check_woven<nbit::iq4_nl, 16, 1>(*file, "iq4_nl", 7);
  check_woven<nbit::mxfp4, 4, 4>(*file, "mxfp4", 8);
  check_woven<nbit::mxfp4, 8, 8>(*file, "mxfp4", 8);
}

TEST_CASE("rows that leave a panel open are not woven") {
  const auto q = nbit::pack_codes<nbit::blocks>(nbit_test::random_matrix<nbit::q8_0>({6, 64}, 1));
  REQUIRE(q);
  const auto woven = nbit::interleave_blocks<4, 8>(q->view());
  REQUIRE_FALSE(woven);
  CHECK((woven.error().code == nbit::errc::shape && woven.error().found == 6));
  CHECK_FALSE(nbit::unweave_blocks<4, 8, nbit::q8_0>(q->bytes.span(), {8, 64}));
}

TEST_CASE("MXFP4 in pairs (gpt-oss, compressed-tensors) and in halves (ggml) are one set of numbers") {
  const auto q = nbit_test::random_matrix<nbit::mxfp4>({4, 96}, 5);
  const auto halves = nbit::pack_codes<nbit::blocks>(q);
  REQUIRE(halves);
  const auto pairs = nbit::repack<nbit::linear>(halves->view());
  REQUIRE(pairs);
  const auto back = nbit::repack<nbit::blocks>(pairs->view());
  REQUIRE(back);
  CHECK(std::equal(halves->bytes.begin(), halves->bytes.end(), back->bytes.begin(), back->bytes.end()));
  for (std::size_t c = 0; c < 32; c += 2)  // the even input in the low nibble
    CHECK(pairs->view().words[c / 2] == (q.codes[c] | q.codes[c + 1] << 4));
}
