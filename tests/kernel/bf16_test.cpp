// tests/kernel/bf16_test.cpp — gemv and gemm with bf16 activations add in the order that is written down, on every
// instruction set and extension.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <cstdio>
#include <numeric>

#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/kernel/row_tiles.hpp>

namespace {

using nbit::scheme;
using nbit::symmetry;
struct w8a : nbit::uniform<scheme{.bits = 8, .group = 512, .symmetry = symmetry::asymmetric}> {};

int cells = 0;

template <class F>
nbit::packed_matrix<F, nbit::default_layout<F>> some_weights(nbit::shape s, std::vector<float>* floats) {
  nbit_test::random numbers(s.rows);
  const auto weights = numbers.normals(s.rows * s.cols, 0.05f);
  auto q = nbit::quantize<F>(nbit::matrix_view<const float>(weights.data(), s.rows, s.cols),
                             {.ragged = nbit::ragged_rows::pad});
  REQUIRE(q);
  floats->assign(s.rows * s.cols, 0.0f);
  nbit::dequantize(q->view(), {floats->data(), s.rows, s.cols});
  return *std::move(q);
}

/// y(m, n) with bf16 activations as kernel/tile_dot.hpp writes it down.
template <class F>
std::vector<float> bf16_by_the_book(const nbit::coded_matrix<F>& w, const std::vector<nbit::bf16>& x,
                                    std::size_t tokens) {
  const std::size_t cols = w.cols, length = nbit::group_length<F>(cols),
                    run = std::gcd(std::size_t(F::run > 0     ? F::run
                                               : F::group > 0 ? F::group
                                                              : 0),
                                   std::size_t{256}),
                    padded = (cols + 31) / 32 * 32;
  std::vector<float> y;
  for (std::size_t m = 0; m < tokens; ++m) {
    std::vector<float> row(padded);
    for (std::size_t c = 0; c < cols; ++c) {
      row[c] = float(x[m * cols + c]);
      if (std::fabs(row[c]) < 0x1p-118f) row[c] = 0.0f;
    }
    for (std::size_t r = 0; r < w.rows; ++r) {
      float outer = 0;
      for (std::size_t a = 0; a < cols; a += run) {
        float inner = 0, lane[16] = {};
        const auto& p = w.params[w.params_index(r, a / length)];
        const int s = F::run > 0 ? static_cast<int>(a % length) / std::max(F::run, 1) : 0;
        for (std::size_t c = a; c < a + run && c < padded; ++c) {
          const std::size_t at = c ^ 1;
          if (at < cols) inner = std::fma(static_cast<float>(F::level(w.row_codes(r)[at])), row[at], inner);
          lane[(c - a) % 16] += row[c];
        }
        outer = std::fma(inner, F::scale(p, s), outer);
        for (std::size_t half = 8; half != 0; half /= 2)
          for (std::size_t i = 0; i < half; ++i) lane[i] += lane[i + half];
        if (nbit::has_offset<F>) outer = std::fma(F::offset(p, s), lane[0], outer);
      }
      y.push_back(outer);
    }
  }
  return y;
}

template <class F>
void check_bf16(const char* name) {
  INFO(name);
  for (const nbit::shape s : {nbit::shape{1, 1}, {37, 300}, {130, 1056}, {3, 4100}}) {
    INFO(s.rows << " x " << s.cols);
    std::vector<float> floats;
    const auto q = some_weights<F>(s, &floats);
    const auto t = nbit::repack<nbit::row_tiles>(q.view());
    const auto codes = nbit::unpack_codes(q.view());
    REQUIRE((t && codes));
    nbit_test::random numbers(9);
    for (const std::size_t tokens : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{19}}) {
      INFO(tokens << " tokens");
      std::vector<nbit::bf16> x;
      for (const float v : numbers.normals(tokens * s.cols)) x.push_back(nbit::bf16::from(v));
      for (std::size_t i = 0; i < x.size(); ++i) {  // sums that cancel, near and below the least magnitude that counts
        const auto die = numbers.below(16);
        if (die == 0 || i / s.cols == 2) x[i].bits = static_cast<std::uint16_t>((x[i].bits & 0x81ff) | 0x0400);
        if (die == 1) x[i].bits = static_cast<std::uint16_t>(x[i].bits & 0x80ff);
      }
      const auto expected = bf16_by_the_book<F>(*codes, x, tokens);
      // every activation counts but the tiny ones: near the plain product
      std::vector<double> first;
      for (std::size_t c = 0; c < s.cols; ++c) first.push_back(double(float(x[c])));
      nbit_test::check_close(expected.data(), nbit_test::exact_product(floats, first, s.rows, s.cols), 8.0);
      nbit::arch::for_each_runnable_bf16([&](auto tag) {
        INFO(decltype(tag)::name);
        std::vector<float> y(tokens * s.rows, 7.0f);
        nbit::gemm(tag, t->view(), {x.data(), tokens, s.cols}, {y.data(), tokens, s.rows}, nbit_test::backwards{});
        REQUIRE(nbit_test::same_bits(y, expected));
        ++cells;
      });
      std::vector<float> y(s.rows, 7.0f);
      nbit::gemv(t->view(), std::span<const nbit::bf16>(x.data(), s.cols), std::span<float>(y));
      REQUIRE(std::equal(y.begin(), y.end(), expected.begin()));
    }
  }
}

}  // namespace

TEST_CASE("bf16 products of row tiles, in the order that is written down") {
  cells = 0;
  check_bf16<nbit::q6_k>("Q6_K");                                    // two tables of levels, runs of sixteen
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they double what the rest costs to compile
  check_bf16<w8a>("w8a");                                            // eight bits, offsets
  check_bf16<nbit::iq4_xs>("IQ4_XS");                                // uneven levels
#endif
  std::printf("bf16 activations: %d cells\n", cells);
}

TEST_CASE("bf16 activations on other weights are floats") {
  const nbit::shape s{70, 300};
  std::vector<float> floats;
  const auto q = some_weights<nbit::w4g128>(s, &floats);
  nbit_test::random numbers(10);
  constexpr std::size_t tokens = 9;
  std::vector<nbit::bf16> x;
  std::vector<float> wide;
  for (const float v : numbers.normals(tokens * s.cols))
    x.push_back(nbit::bf16::from(v)), wide.push_back(float(x.back()));
  nbit::arch::for_each_runnable_bf16([&](auto tag) {
    INFO(decltype(tag)::name);
    std::vector<float> y(tokens * s.rows, 7.0f), expected(tokens * s.rows);
    nbit::gemm(tag, q.view(), {x.data(), tokens, s.cols}, {y.data(), tokens, s.rows});
    nbit::gemm(tag, q.view(), {wide.data(), tokens, s.cols}, {expected.data(), tokens, s.rows});
    REQUIRE(nbit_test::same_bits(y, expected));
  });
}
