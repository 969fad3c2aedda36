// tests/kernel/block_gemv_test.cpp — gemv and gemm with int8 activations on the blocks of files: the scalar text's bits
// for blocks of any bytes, extreme activations, rows that end anywhere, and rows longer than a piece.
// SPDX-License-Identifier: MIT
#include <cstring>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/base/random.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>

namespace {

int runs = 0;

// Blocks of random or equal bytes: every code, scale and minimum at its limits. The f16 scales are made finite.
template <class F>
std::vector<std::byte> blocks_of(nbit::shape s, int fill, nbit::random_stream& numbers) {
  std::vector<std::byte> bytes(nbit::packed_bytes<F>(s));
  for (std::byte& b : bytes) b = static_cast<std::byte>(fill >= 0 ? fill : int(numbers.uniform() * 256.0f));
  for (std::size_t at = 0; at < bytes.size(); at += F::block_bytes) {
    typename F::params p = F::load_params(&bytes[at]);
    nbit::code_t<F> codes[F::group];
    F::load_codes(&bytes[at], codes);
    const auto some = [&] { return nbit::f16::from(fill >= 0 ? 65504.0f : 4.0f * (numbers.uniform() - 0.5f)); };
    if constexpr (requires { p.d; }) p.d = some();
    if constexpr (requires { p.dmin; }) p.dmin = some();
    if constexpr (requires { p.m; }) p.m = some();
    F::store(&bytes[at], p, codes);
  }
  return bytes;
}

template <class F, int Group>
void check(const char* name) {
  INFO(name);
  nbit::random_stream numbers(Group);
  for (const nbit::shape s : {nbit::shape{1, 1},
                              {3, 17},
                              {33, 64},
                              {5, 300},
                              {66, 256},
                              {141, 128},
                              {5, 32},
                              {2, 769},
                              {7, 1024 + 96},
                              {1, 16384 + 544}}) {
    for (const int fill : {-1, 0x00, 0xff, 0x80, 0x7f}) {
      INFO("shape " << s.rows << " x " << s.cols << ", bytes " << fill);
      const auto bytes = blocks_of<F>(s, fill, numbers);
      const nbit::packed_view<F, nbit::blocks> w(std::span<const std::byte>(bytes), s);
      constexpr std::size_t tokens = 7;  // four, two and one at a time
      std::vector<float> x(tokens * s.cols);
      for (float& v : x) v = fill < 0 ? numbers.uniform() - 0.5f : fill == 0x80 ? -1.0f : 1.0f;
      auto act = nbit::int8_activation_matrix<Group>::make({tokens, s.cols});
      REQUIRE(act);
      nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), tokens, s.cols),
                                 act->view());
      std::vector<float> y(tokens * s.rows), z(tokens * s.rows);
      nbit::gemm(nbit::arch::scalar{}, w, act->view(), {y.data(), tokens, s.rows});
      nbit::arch::for_each_runnable([&](auto tag) {
        if constexpr (decltype(tag)::level > 0) {
          INFO(decltype(tag)::name);
          nbit::gemm(tag, w, act->view(), {z.data(), tokens, s.rows});
          REQUIRE(std::memcmp(y.data(), z.data(), y.size() * sizeof(float)) == 0);
          auto first = act->view();
          first.rows = 1;
          nbit::gemv(tag, w, first, std::span<float>(z.data(), s.rows));
          REQUIRE(std::memcmp(y.data(), z.data(), s.rows * sizeof(float)) == 0);
          ++runs;
        }
      });
    }
  }
}

}  // namespace

TEST_CASE("blocks of 32 columns") {
  check<nbit::q8_0, 32>("Q8_0");
  check<nbit::q4_0, 32>("Q4_0");
  check<nbit::q4_1, 32>("Q4_1");
  check<nbit::q5_0, 32>("Q5_0");
  check<nbit::q5_1, 32>("Q5_1");
  check<nbit::iq4_nl, 32>("IQ4_NL");
  check<nbit::mxfp4, 32>("MXFP4");
  check<nbit::q1_0, 32>("Q1_0");
  check<nbit::q2_0, 32>("Q2_0");
}

TEST_CASE("blocks of 16 columns, and those that several make") {
  check<nbit::nvfp4, 32>("NVFP4");
  check<nbit::q1_0, 256>("Q1_0, 128 columns to a sum");
  check<nbit::q2_0, 256>("Q2_0, 64 columns to a sum");
}

TEST_CASE("blocks of 256 columns") {
  check<nbit::q2_k, 256>("Q2_K");
  check<nbit::q3_k, 256>("Q3_K");
  check<nbit::q4_k, 256>("Q4_K");
  check<nbit::q5_k, 256>("Q5_K");
  check<nbit::q6_k, 256>("Q6_K");
  check<nbit::iq4_xs, 256>("IQ4_XS");
  check<nbit::tq1_0, 256>("TQ1_0");
  check<nbit::tq2_0, 256>("TQ2_0");
}

TEST_CASE("blocks of lattice points") {
  check<nbit::iq1_s, 256>("IQ1_S");
  check<nbit::iq1_m, 256>("IQ1_M");
  check<nbit::iq2_xxs, 256>("IQ2_XXS");
  check<nbit::iq2_xs, 256>("IQ2_XS");
  check<nbit::iq2_s, 256>("IQ2_S");
  check<nbit::iq3_xxs, 256>("IQ3_XXS");
  check<nbit::iq3_s, 256>("IQ3_S");
  WARN("count: block gemv: " << runs << " comparisons with the scalar text");
}
