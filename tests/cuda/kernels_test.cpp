// The GPU kernels' bodies, run on the host, against the CPU's operations.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/tiled.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/kernel/attention.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/cuda/activations.hpp>
#include <nbit/cuda/append_rows.hpp>
#include <nbit/cuda/dequantize.hpp>
#include <nbit/cuda/fragment_gemm.hpp>
#include <nbit/cuda/gemm.hpp>
#include <nbit/cuda/gemv.hpp>
#include <nbit/cuda/int8_gemm.hpp>
#include <nbit/cuda/repack.hpp>

#include "cuda/emulator.hpp"
#include "cuda/products.hpp"
#include "support/random.hpp"

namespace {

using nbit_test::activations;
using nbit_test::packed;
using nbit_test::w3g64a;
using nbit_test::w8row;
using nbit_test::whole_q6_k;

/// A thread of the host for each GPU thread finds races on small grids as well, and takes its time.
constexpr bool thorough = NBIT_TESTS_TEAM_OF_THREADS == 0;

struct w8g64 : nbit::uniform<nbit::scheme{.bits = 8, .group = 64}> {};
struct w7g20 : nbit::uniform<nbit::scheme{.bits = 7, .group = 20}> {};
struct w2g16f : nbit::uniform<nbit::scheme{.bits = 2, .group = 16, .symmetry = nbit::symmetry::asymmetric_float}> {};
struct user_levels : nbit::codebook<user_levels, 2, 32> {
  static constexpr std::array<float, 4> levels = {-1.0f, -0.25f, 0.25f, 1.0f};
};

template <class T>
void check_product(const std::vector<float>& y, const std::vector<float>& w, const std::vector<T>& x, nbit::shape s,
                   std::size_t tokens, double step) {
  const auto far_off = nbit_test::first_far(y, w, x, s, tokens, step);
  if (!far_off) return;
  INFO("token " << far_off->token << ", row " << far_off->row << ": " << far_off->found << " for " << far_off->sum
                << " +- " << far_off->bound);
  REQUIRE(!far_off);
}

/// dequantize and gemv of weights that the CPU decodes to `floats`.
template <class View>
void check_weights(const View& w, const std::vector<float>& expected) {
  const nbit::shape s = w.shape();
  INFO("shape " << s.rows << " x " << s.cols);
  std::vector<float> floats(s.rows * s.cols, -1.0f);
  using dequantize = nbit::cuda::dequantize_kernel<View, float>;
  nbit_test::emulate(dequantize{w, {floats.data(), s.rows, s.cols}}, dequantize::blocks_for(s));
  REQUIRE(std::memcmp(floats.data(), expected.data(), floats.size() * sizeof(float)) == 0);

  const std::size_t tokens = 3;
  const auto x = activations<float>(tokens * s.cols, 5);
  std::vector<float> y(tokens * s.rows, -1.0f);
  using gemv = nbit::cuda::gemv_kernel<View, float, 4>;
  for (const bool aligned : {false, s.cols % 4 == 0}) {
    if (!thorough && !aligned) continue;
    INFO("loads of 16 bytes " << aligned);
    nbit_test::emulate(gemv{w, {x.data(), tokens, s.cols}, {y.data(), tokens, s.rows}, aligned}, gemv::blocks_for(s));
    check_product(y, expected, x, s, tokens, 0);
  }
}

template <class F, class L = nbit::default_layout<F>>
void check_format(const std::string& name) {
  INFO(name);
  for (const nbit::shape s : {nbit::shape{5, 320}, nbit::shape{1, 1}, nbit::shape{33, 72}}) {
    if (!thorough && s.rows != 5) continue;
    const packed<F, L> w(s);
    check_weights(w.view(), w.floats);
  }
}

/// Weights that are not quantized.
template <class T>
void check_dense(const std::string& name) {
  INFO(name);
  const nbit::shape s{70, 328};
  const auto w = activations<T>(s.rows * s.cols, 17);
  const nbit::matrix_view<const T> view(w.data(), s.rows, s.cols);
  std::vector<float> floats(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) floats[i] = nbit::cuda::number<T>::to_float(w[i]);
  check_weights(view, floats);
  using gemm = nbit::cuda::gemm_kernel<nbit::matrix_view<const T>, nbit::f16>;
  const std::size_t tokens = thorough ? 67 : 9;
  const auto x = activations<nbit::f16>(tokens * s.cols, 11);
  std::vector<float> y(tokens * s.rows, -1.0f);
  nbit_test::emulate(gemm{view, {x.data(), tokens, s.cols}, {y.data(), tokens, s.rows}, true}, gemm::blocks_for(s),
                     gemm::blocks_y_for({tokens, s.cols}));
  check_product(y, floats, x, s, tokens, 0x1p-11);
}

/// GPTQ's g_idx: the groups of the columns in any order.
void check_group_index() {
  const nbit::shape s{5, 320};
  packed<w3g64a, nbit::gptq_words> w(s);
  auto index = nbit::buffer<std::uint32_t>::make(s.cols);
  REQUIRE(index);
  for (std::size_t c = 0; c < s.cols; ++c) (*index)[c] = static_cast<std::uint32_t>(c * 7 % (s.cols / 64));
  w.matrix.group_index = *std::move(index);
  nbit::dequantize(nbit::arch::scalar{}, w.view(), nbit::matrix_view<float>(w.floats.data(), s.rows, s.cols));
  const std::vector<float> in_order = packed<w3g64a, nbit::gptq_words>(s).floats;
  REQUIRE(w.floats != in_order);
  check_weights(w.view(), w.floats);
}

template <class F, class T, class L = nbit::default_layout<F>,
          class gemm = nbit::cuda::gemm_kernel<nbit::packed_view<F, L>, T>>
void check_gemm(const std::string& name, double step) {
  INFO(name);
  for (const nbit::shape s : {nbit::shape{70, 328}, nbit::shape{3, 5}}) {
    packed<F, L> w(s);
    const std::size_t tokens = thorough ? 67 : 9;
    for (const bool aligned : {false, true}) {
      if ((aligned && s.cols % 8 != 0) || (!thorough && s.rows == 3)) continue;
      INFO("shape " << s.rows << " x " << s.cols << ", 16-byte copies " << aligned);
      const auto x = activations<T>(tokens * s.cols, 11);
      std::vector<float> y(tokens * s.rows, -1.0f);
      nbit_test::emulate(gemm{w.view(), {x.data(), tokens, s.cols}, {y.data(), tokens, s.rows}, aligned},
                         gemm::blocks_for(s), gemm::blocks_y_for({tokens, s.cols}));
      check_product(y, w.floats, x, s, tokens, step);
    }
  }
}

template <class F, class T>
void check_tiles(const std::string& name, double step) {
  using view = nbit::packed_view<F, nbit::warp_tiles>;
  check_gemm<F, T, nbit::warp_tiles, nbit::cuda::many_tokens_gemm<view, T>>(name + ", many tokens", step);
  check_gemm<F, T, nbit::warp_tiles, nbit::cuda::few_tokens_gemm<view, T>>(name + ", few tokens", step);
}

template <class F, int Group>
void check_int8(const std::string& name) {
  INFO(name);
  using gemm = nbit::cuda::int8_gemm_kernel<F, Group>;
  using quantize = nbit::cuda::quantize_int8_kernel<float, Group>;
  const nbit::shape s{67, 200};
  const std::size_t tokens = 65;
  packed<F, nbit::linear> w(s);
  auto x = activations<float>(tokens * s.cols, 3);
  for (std::size_t c = 0; c < s.cols; ++c) x[c] = 0.0f;  // a row of zeros
  x[s.cols + 7] = std::nanf(""), x[2 * s.cols] = 1e30f;
  const nbit::matrix_view<const float> rows(x.data(), tokens, s.cols);

  auto cpu = nbit::int8_activation_matrix<Group>::make({tokens, s.cols});
  auto gpu = nbit::int8_activation_matrix<Group>::make({tokens, s.cols});
  REQUIRE((cpu && gpu));
  nbit::quantize_activations(nbit::arch::scalar{}, rows, cpu->view());
  nbit_test::emulate(quantize{rows, gpu->view()}, quantize::blocks_for({tokens, s.cols}));
  REQUIRE(std::memcmp(cpu->bytes.span().data(), gpu->bytes.span().data(), cpu->bytes.span().size()) == 0);

  // exact against codes and scales: what int8 activations stand for, times the decoded weights
  std::vector<float> decoded(tokens * s.cols), y(tokens * s.rows, -1.0f);
  const auto q = gpu->view();
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 0; c < s.cols; ++c) decoded[t * s.cols + c] = q.scale16(t, c / 16) * float(q.row_codes(t)[c]);
  nbit_test::emulate(gemm{w.view(), q, {y.data(), tokens, s.rows}}, gemm::blocks_for(s),
                     gemm::blocks_y_for({tokens, s.cols}));
  for (std::size_t r = 0; r < s.rows; ++r) REQUIRE(y[r] == 0.0f);
  check_product(y, w.floats, decoded, s, tokens, 0x1p-22);
}

template <class F, class L>
void check_repack(const std::string& name) {
  INFO(name);
  for (const nbit::shape s : {nbit::shape{19, 200}, nbit::shape{1, 1}}) {
    packed<F, L> w(s);
    const auto expected = nbit::repack<nbit::warp_tiles>(w.view());
    auto found = nbit::packed_matrix<F, nbit::warp_tiles>::make(s);
    REQUIRE((expected && found));
    std::memset(found->bytes.data(), 0xee, found->bytes.size());
    using kernel = nbit::cuda::repack_kernel<F, L>;
    nbit_test::emulate(kernel{w.view(), found->span()}, kernel::blocks_for(s));
    const std::size_t words = nbit::words_for<nbit::warp_tiles, F::bits>(s) * 4;
    REQUIRE(std::memcmp(found->view().words, expected->view().words, words) == 0);
    const std::size_t params = nbit::params_count<F>(s.rows, s.cols) * sizeof(typename F::params);
    REQUIRE(std::memcmp(found->view().params, expected->view().params, params) == 0);
  }
}

template <class F, class T>
void check_append(const std::string& name) {
  INFO(name);
  const std::size_t capacity = 6, cols = 100, rows = 3, position = 2;
  auto x = activations<T>(rows * cols, 21);
  for (std::size_t c = 32; c < 64; ++c) x[c] = nbit::cuda::number<T>::from(0.0f);
  x[70] = nbit::cuda::number<T>::from(-3.5f), x[80] = nbit::cuda::number<T>::from(3.5f);  // the first of equals counts
  auto expected = nbit::packed_matrix<F>::make({capacity, cols}),
       found = nbit::packed_matrix<F>::make({capacity, cols});
  REQUIRE((expected && found));
  std::vector<std::byte> scratch(nbit::quantize_scratch_bytes<F>(cols));
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<float> row(cols);
    for (std::size_t c = 0; c < cols; ++c) row[c] = nbit::cuda::number<T>::to_float(x[r * cols + c]);
    REQUIRE(nbit::append_row(nbit::arch::scalar{}, std::span<const float>(row), expected->span(), position + r,
                             std::span<std::byte>(scratch)));
  }
  using kernel = nbit::cuda::append_rows_kernel<F, T>;
  nbit_test::emulate(kernel{{x.data(), rows, cols}, found->span(), position}, kernel::blocks_for({rows, cols}));
  REQUIRE(std::memcmp(found->bytes.data(), expected->bytes.data(), expected->bytes.size()) == 0);
}

}  // namespace

TEST_CASE("dequantize has the CPU's bits and gemv its sums, for every way of reading") {
  check_format<nbit::w4g128>("w4g128");
  check_format<w3g64a, nbit::gptq_words>("3 bits, asymmetric, GPTQ words: a code crosses words");
  check_format<nbit::w4g128, nbit::awq_interleave>("w4g128, AWQ's order");
  check_format<nbit::w4g128, nbit::tiled<16>>("w4g128, tiled");
  check_format<nbit::nf4>("NF4");
  check_format<nbit::w4g128, nbit::warp_tiles>("w4g128, warp tiles");
  check_format<w3g64a, nbit::warp_tiles>("3 bits, asymmetric, warp tiles: a plane of two and one of one");
  check_format<w8g64, nbit::warp_tiles>("8 bits, warp tiles");
  check_format<w7g20, nbit::warp_tiles>("7 bits, warp tiles, groups that end inside a piece");
  check_format<user_levels>("a user's codebook");
  check_format<nbit::q4_k>("Q4_K");
  check_format<nbit::q6_k>("Q6_K");
  check_format<nbit::q8_0>("Q8_0");
  check_format<nbit::iq3_s>("IQ3_S: sixteen weights at a time");
  check_format<nbit::iq1_m>("IQ1_M: sixteen weights at a time");
  check_format<whole_q6_k>("a user's block format: a block at a time");
  check_format<w2g16f>("2 bits, fractional zeros, groups of 16");
  check_dense<nbit::f16>("f16");
  check_dense<nbit::bf16>("bf16");
  check_dense<float>("float");
  check_group_index();
}

TEST_CASE("gemm on emulated tensor cores agrees with sums in double") {
  check_gemm<nbit::w4g128, nbit::f16>("w4g128, f16", 0x1p-11);
  check_gemm<nbit::q4_k, nbit::bf16>("Q4_K, bf16", 0x1p-8);
  check_gemm<nbit::iq3_s, nbit::f16>("IQ3_S, f16", 0x1p-11);
  check_gemm<whole_q6_k, nbit::f16>("a user's block format, f16, one stage", 0x1p-11);
}

TEST_CASE("gemm that keeps warp tiles in registers agrees with sums in double") {
  check_tiles<nbit::w4g128, nbit::f16>("w4g128, f16", 0x1p-11);
  check_tiles<w3g64a, nbit::bf16>("3 bits, bf16", 0x1p-8);
}

TEST_CASE("int8 activations have the CPU's bytes, and W8A8 their exact sums") {
  check_int8<w8row, nbit::per_row>("a scale per row on both sides");
  check_int8<w8g64, 128>("groups on both sides");
}

TEST_CASE("repack into warp tiles has the bits of the CPU's") {
  check_repack<nbit::w4g128, nbit::gptq_words>("4 bits, GPTQ words");
  check_repack<w3g64a, nbit::gptq_words>("3 bits, GPTQ words");
  check_repack<w7g20, nbit::linear>("7 bits, linear");
  check_repack<w8g64, nbit::linear>("8 bits, linear");
}

TEST_CASE("rows appended to a cache have the bytes of the CPU's append_row") {
  check_append<nbit::q8_0, float>("Q8_0, float");
  check_append<nbit::q4_0, nbit::f16>("Q4_0, f16");
}

TEST_CASE("fp8 activations: the largest becomes 448, the rest rounds to e4m3") {
  nbit_test::random numbers(9);
  const std::size_t rows = 3, cols = 77;
  auto x = numbers.normals(rows * cols);
  for (std::size_t c = 0; c < cols; ++c) x[2 * cols + c] = 0.0f;
  std::vector<nbit::f8_e4m3> codes(rows * cols);
  std::vector<float> scales(rows, -1.0f);
  using kernel = nbit::cuda::quantize_fp8_kernel<float>;
  nbit_test::emulate(kernel{{x.data(), rows, cols}, {codes.data(), rows, cols}, scales.data()},
                     kernel::blocks_for({rows, cols}));
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const float back = float(codes[r * cols + c]) * scales[r], v = x[r * cols + c];
      REQUIRE(std::fabs(back - v) <= std::fabs(v) * 0x1p-4f + scales[r] * 0x1p-9f);
    }
  REQUIRE(scales[2] == 0.0f);
}
