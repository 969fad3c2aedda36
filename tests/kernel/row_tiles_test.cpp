// tests/kernel/row_tiles_test.cpp — gemv and gemm on row tiles add in the order that is written down, on every
// instruction set.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <cstdio>
#include <numeric>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/kernel/row_tiles.hpp>

namespace {

using nbit::scheme;
using nbit::symmetry;
struct w8a : nbit::uniform<scheme{.bits = 8, .group = 512, .symmetry = symmetry::asymmetric}> {};
struct log3 : nbit::codebook<log3, 3, 48> {
  static constexpr std::array<float, 8> levels = {-1, -0.5f, -0.25f, -0.0f, 0.125f, 0.25f, 0.5f, 1};
};

int cells = 0;

/// y(m, n) as kernel/row_tiles.hpp writes it down, from unpacked codes.
template <class F, int Group>
std::vector<float> by_the_book(const nbit::coded_matrix<F>& w, const nbit::int8_activations<Group>& x) {
  const std::size_t cols = w.cols, length = nbit::group_length<F>(cols);
  const std::size_t run = std::gcd(std::size_t(F::run > 0     ? F::run
                                               : F::group > 0 ? F::group
                                                              : 0),
                                   std::size_t{256}),
                    act = std::gcd(std::size_t(Group > 0 ? Group : 0), std::size_t{256}), segment = std::min(run, act),
                    wide = std::max(run, act);
  std::vector<float> y;
  for (std::size_t m = 0; m < x.rows; ++m)
    for (std::size_t r = 0; r < w.rows; ++r) {
      float outer = 0;
      for (std::size_t a = 0; a < cols; a += wide) {
        float inner = 0, sums = 0, last_offset = 0;
        const auto scale_at = [&](std::size_t c) {
          const auto& p = w.params[w.params_index(r, c / length)];
          const int s = F::run > 0 ? static_cast<int>(c % length) / std::max(F::run, 1) : 0;
          last_offset = nbit::has_offset<F> ? F::offset(p, s) : 0.0f;
          return F::scale(p, s);
        };
        for (std::size_t b = a; b < a + wide && b < cols; b += segment) {
          int dot = 0, codes = 0;
          for (std::size_t c = b; c < b + segment && c < cols; ++c) {
            dot += F::level(w.row_codes(r)[c]) * x.row_codes(m)[c];
            codes += x.row_codes(m)[c];
          }
          const float scale = scale_at(b), x_scale = x.scale16(m, b / 16);
          inner = std::fma(static_cast<float>(dot), run <= act ? scale : x_scale, inner);
          if (run <= act && nbit::has_offset<F>) inner = std::fma(last_offset, static_cast<float>(codes), inner);
          if (run > act) sums = std::fma(x_scale, static_cast<float>(codes), sums);
        }
        if (run <= act) {
          outer = std::fma(inner, x.scale16(m, a / 16), outer);
        } else {
          outer = std::fma(inner, scale_at(a), outer);
          if (nbit::has_offset<F>) outer = std::fma(last_offset, sums, outer);
        }
      }
      y.push_back(outer);
    }
  return y;
}

template <class F, class L = nbit::default_layout<F>>
nbit::packed_matrix<F, L> some_weights(nbit::shape s, std::uint64_t seed, std::vector<float>* floats) {
  nbit_test::random numbers(seed);
  const auto weights = numbers.normals(s.rows * s.cols, 0.05f);
  auto q = nbit::quantize<F, L>(nbit::arch::scalar{}, nbit::matrix_view<const float>(weights.data(), s.rows, s.cols),
                                {.ragged = nbit::ragged_rows::pad});
  REQUIRE(q);
  floats->assign(s.rows * s.cols, 0.0f);
  nbit::dequantize(nbit::arch::scalar{}, q->view(), {floats->data(), s.rows, s.cols});
  return *std::move(q);
}

template <class F, int Group>
void check_products(const char* name) {
  INFO(name << ", activations in groups of " << Group);
  for (const nbit::shape s : {nbit::shape{1, 1}, {16, 32}, {37, 300}, {130, 1056}, {3, 4100}}) {
    INFO(s.rows << " x " << s.cols);
    std::vector<float> floats;
    const auto q = some_weights<F>(s, s.rows, &floats);
    const auto t = nbit::repack<nbit::row_tiles>(q.view());
    const auto codes = nbit::unpack_codes(q.view());
    REQUIRE((t && codes));
    nbit_test::random numbers(7);
    for (const std::size_t tokens : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{19}}) {
      INFO(tokens << " tokens");
      auto x = numbers.normals(tokens * s.cols);
      if (tokens == 3)  // the largest sums there are
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / s.cols == 2 && i % 2 != 0 ? -1.0f : 1.0f;
      auto act = nbit::int8_activation_matrix<Group>::make({tokens, s.cols});
      REQUIRE(act);
      nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), tokens, s.cols),
                                 act->view());
      const auto expected = by_the_book<F, Group>(*codes, act->view());
      nbit::arch::for_each_runnable([&](auto tag) {
        INFO(decltype(tag)::name);
        std::vector<float> y(tokens * s.rows, 7.0f);
        nbit::gemm(tag, t->view(), act->view(), {y.data(), tokens, s.rows}, nbit_test::backwards{});
        REQUIRE(nbit_test::same_bits(y, expected));
        if (tokens == 1) {
          y.assign(s.rows, 7.0f);
          nbit::gemv(tag, t->view(), act->view(), std::span<float>(y), nbit_test::backwards{});
          REQUIRE(nbit_test::same_bits(y, expected));
        }
        ++cells;
      });
    }
  }
}

/// One chain for each output over rising columns.
std::vector<float> chains(const std::vector<float>& w, const std::vector<float>& x, nbit::shape s, std::size_t tokens) {
  std::vector<float> y(tokens * s.rows);
  for (std::size_t i = 0; i < y.size(); ++i)
    for (std::size_t c = 0; c < s.cols; ++c)
      y[i] = std::fma(x[i / s.rows * s.cols + c], w[i % s.rows * s.cols + c], y[i]);
  return y;
}

/// Levels that are floats: bf16 and int8 activations become floats too.
template <class F>
void check_codebook(const char* name) {
  INFO(name);
  const nbit::shape s{150, 513};
  constexpr std::size_t tokens = 8;
  std::vector<float> floats, from_bf16, from_int8;
  const auto q = some_weights<F>(s, s.rows, &floats);
  const auto t = nbit::repack<nbit::row_tiles>(q.view());
  auto act = nbit::int8_activation_matrix<32>::make({tokens, s.cols});
  REQUIRE((t && act));
  nbit_test::random numbers(11);
  const auto x = numbers.normals(tokens * s.cols);
  std::vector<nbit::bf16> halves;
  nbit::quantize_activations(nbit::arch::scalar{}, {x.data(), tokens, s.cols}, act->view());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t m = i / s.cols, c = i % s.cols;
    halves.push_back(nbit::bf16::from(x[i])), from_bf16.push_back(float(halves.back()));
    from_int8.push_back(act->view().scale16(m, c / 16) * static_cast<float>(act->view().row_codes(m)[c]));
  }
  const auto by_bf16 = chains(floats, from_bf16, s, tokens), by_int8 = chains(floats, from_int8, s, tokens);
  const auto check = [&](auto tag) {
    INFO(decltype(tag)::name);
    std::vector<float> y(tokens * s.rows, 7.0f);
    nbit::gemm(tag, t->view(), {halves.data(), tokens, s.cols}, {y.data(), tokens, s.rows}, nbit_test::backwards{});
    REQUIRE(nbit_test::same_bits(y, by_bf16));
    y.assign(y.size(), 7.0f);
    nbit::gemm(tag, t->view(), act->view(), {y.data(), tokens, s.rows}, nbit_test::backwards{});
    REQUIRE(nbit_test::same_bits(y, by_int8));
    ++cells;
  };
  nbit::arch::for_each_runnable_bf16(check);
  nbit::arch::for_each_runnable([&](auto tag) {
    auto one = nbit::int8_activation_matrix<32>::make({1, s.cols});
    nbit::quantize_activations(nbit::arch::scalar{}, {x.data(), 1, s.cols}, one->view());
    std::vector<float> y(s.rows, 7.0f);
    nbit::gemv(tag, t->view(), one->view(), std::span<float>(y), nbit_test::backwards{});
    REQUIRE(std::equal(y.begin(), y.end(), by_int8.begin()));
  });
}

template <class F>
void check_floats(const char* name) {
  INFO(name);
  for (const nbit::shape s : {nbit::shape{1, 1}, {37, 300}, {150, 513}}) {
    std::vector<float> floats;
    const auto q = some_weights<F>(s, s.rows, &floats);
    const auto t = nbit::repack<nbit::row_tiles>(q.view());
    REQUIRE(t);
    constexpr std::size_t tokens = 8;
    nbit_test::random numbers(8);
    const auto x = numbers.normals(tokens * s.cols);
    const auto expected = chains(floats, x, s, tokens);
    nbit::arch::for_each_runnable([&](auto tag) {
      INFO(decltype(tag)::name);
      std::vector<float> y(tokens * s.rows, 7.0f), one(s.rows, 7.0f);
      nbit::gemm(tag, t->view(), {x.data(), tokens, s.cols}, {y.data(), tokens, s.rows}, nbit_test::backwards{});
      REQUIRE(nbit_test::same_bits(y, expected));
      nbit::gemv(tag, t->view(), std::span<const float>(x.data(), s.cols), std::span<float>(one));
      REQUIRE(std::equal(one.begin(), one.end(), expected.begin()));
      ++cells;
    });
  }
}

}  // namespace

TEST_CASE("int8 products of row tiles, in the order that is written down") {
  cells = 0;
  check_products<nbit::w4g128, 32>("w4g128");                        // weights coarser than activations
  check_products<nbit::q2_k, 256>("Q2_K");                           // two levels in nibbles, runs of sixteen
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they double what the rest costs to compile
  check_products<nbit::w3g64a, nbit::per_row>("w3g64a");             // finer, three planes, zeros
  check_products<w8a, 64>("w8a");                                    // coarser, with offsets, eight bits
  check_products<nbit::iq4_xs, 32>("IQ4_XS");                        // as fine, uneven levels
#endif
  std::printf("row tiles: %d product cells\n", cells);
}

TEST_CASE("f32 products of row tiles: one chain for each output") {
  cells = 0;
  check_floats<nbit::w4g128>("w4g128"), check_floats<nbit::q2_k>("Q2_K");
  check_floats<nbit::nf4>("NF4"), check_floats<nbit::fp4>("FP4"), check_floats<log3>("log3");
  check_codebook<nbit::nf4>("NF4"), check_codebook<log3>("log3");
  std::printf("row tiles: %d f32 cells\n", cells);
}

TEST_CASE("row tiles refuse reordered groups, and take no rows and no columns") {
  auto coded = nbit::coded_matrix<nbit::w4g128>::make({2, 256});
  auto index = nbit::buffer<std::uint32_t>::zeros(256);
  REQUIRE((coded && index));
  std::fill(coded->codes.begin(), coded->codes.end(), std::uint8_t{8});
  std::fill(coded->params.begin(), coded->params.end(), nbit::w4g128::params{nbit::f16::from(1.0f)});
  coded->group_index = *std::move(index);
  const auto packed = nbit::pack_codes<nbit::linear>(*coded);
  REQUIRE(packed);
  const auto refused = nbit::repack<nbit::row_tiles>(packed->view());
  REQUIRE(!refused);
  REQUIRE(refused.error().code == nbit::errc::unsupported);

  for (const nbit::shape s : {nbit::shape{0, 0}, {0, 64}, {20, 0}}) {
    const auto q = nbit::quantize<nbit::w4g128>(nbit::matrix_view<const float>(nullptr, s.rows, s.cols));
    const auto t = nbit::repack<nbit::row_tiles>(q->view());
    REQUIRE(t);
    std::vector<float> y(2 * s.rows, 7.0f), x(2 * s.cols);
    auto act = nbit::int8_activation_matrix<32>::make({2, s.cols});
    nbit::quantize_activations(nbit::matrix_view<const float>(x.data(), 2, s.cols), act->view());
    nbit::gemm(t->view(), act->view(), {y.data(), 2, s.rows});
    for (const float v : y) REQUIRE(v == 0.0f);
    y.assign(y.size(), 7.0f);
    nbit::gemm(t->view(), nbit::matrix_view<const float>(x.data(), 2, s.cols),
               nbit::matrix_view<float>(y.data(), 2, s.rows));
    for (const float v : y) REQUIRE(v == 0.0f);
  }
}
