// tests/solver/search_test.cpp — rounding at the level of whole matrices, with and without a search.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/solver/rtn.hpp>
#include <nbit/solver/search.hpp>

#include "solver/support.hpp"

using namespace solver_test;

namespace {
template <class F>
double weighted_error(const std::vector<float>& w, std::size_t rows, std::size_t cols, const nbit::coded_matrix<F>& q,
                      const std::vector<float>& importance) {
  std::vector<float> v(rows * cols);
  nbit::detail::decode_matrix(q, matrix_view<float>(v.data(), rows, cols));
  double sum = 0;
  for (std::size_t k = 0; k < v.size(); ++k) {
    const double e = double(v[k]) - double(w[k]);
    sum += e * e * (importance.empty() ? 1.0 : double(importance[k % cols]));
  }
  return sum;
}

template <class F>
void searches(double ratio) {
  const std::size_t rows = 9, cols = 200;
  const std::vector<float> w = nbit_test::random(31).normals(rows * cols);
  std::vector<float> importance(cols);
  nbit_test::random rng(32);
  for (float& v : importance) v = std::exp(2.0f * rng.normal());
  const matrix_view<const float> view(w.data(), rows, cols);
  const auto plain = nbit::round_to_nearest<F>(view);
  const auto searched = nbit::round_with_search<F>(view);
  const auto weighted = nbit::round_with_search<F>(view, importance);
  REQUIRE(plain);
  REQUIRE(searched);
  REQUIRE(weighted);
  const double e0 = weighted_error(w, rows, cols, *plain, {}), e1 = weighted_error(w, rows, cols, *searched, {});
  CHECK(e1 <= ratio * e0);
  const double w1 = weighted_error(w, rows, cols, *searched, importance),
               w2 = weighted_error(w, rows, cols, *weighted, importance);
  CHECK(w2 < w1);
  CHECK(w2 <= weighted_error(w, rows, cols, *plain, importance));
  CHECK(same(*searched, *nbit::round_with_search<F>(view, {}, {}, backwards{})));
  CHECK(same(*searched, *nbit::round_with_search<F>(view, {}, {}, threads{3})));
}
struct two_per_row : stored_grid<2, nbit::per_row> {};

template <int Bits, nbit::symmetry Symmetry, nbit::scale_type Scale = nbit::scale_type::f16>
struct grid : nbit::uniform<nbit::scheme{.bits = Bits, .group = 64, .symmetry = Symmetry, .scale = Scale}> {};

/// Sixteen groups side by side against one after another; how many were compared.
template <class F>
int side_by_side() {
  static_assert(nbit::detail::searched_by_range<F>);
  int compared = 0;
  for (const std::size_t n : {std::size_t{64}, std::size_t{1}, std::size_t{37}, std::size_t{7}, std::size_t{200}}) {
    nbit_test::random rng(n);
    std::vector<float> w = rng.normals(16 * n), side(16 * n), importance(n), scratch(n);
    for (float& v : importance) v = std::exp(2.0f * rng.normal());
    for (std::size_t i = 0; i < n; ++i) {
      w[1 * n + i] = 0.0f;                                         // nothing
      w[2 * n + i] = i % 3 == 0 ? -0.0f : std::abs(w[2 * n + i]);  // one side, zeros of the other sign
      w[3 * n + i] = -0.7f;                                        // constant
      w[4 * n + i] = 5.0f + 1e-3f * w[4 * n + i];                  // far from zero
      w[5 * n + i] *= 1e-9f, w[6 * n + i] *= 1e30f, w[7 * n + i] *= 1e-40f;
      w[8 * n + i] *= i == n / 2 ? 100.0f : 1.0f;
    }
    for (std::size_t l = 0; l < 16; ++l)
      for (std::size_t i = 0; i < n; ++i) side[i * 16 + l] = w[l * n + i];
    for (const nbit::search_options& o :
         {nbit::search_options{}, nbit::search_options{.from = -0.5f, .to = 1.3f, .two_sided = false},
          nbit::search_options{.from = 0.02f, .coarse_steps = 5, .fine_steps = 2},
          nbit::search_options{.coarse_steps = 0}})
      for (const std::span<const float> weights : {std::span<const float>(), std::span<const float>(importance)}) {
        typename F::params found[16];
        nbit::detail::search_groups<F>(side.data(), n, weights, o, scratch.data(), found);
        for (std::size_t l = 0; l < 16; ++l, ++compared) {
          const auto expected = nbit::detail::search_group<F>({w.data() + l * n, n}, weights, o, scratch.data());
          CAPTURE(n, l, o.coarse_steps, weights.size());
          CHECK(std::memcmp(&found[l], &expected, sizeof expected) == 0);
        }
      }
  }
  return compared;
}
}  // namespace

TEST_CASE("sixteen searches side by side find what each finds alone, to the bit") {
  using enum nbit::symmetry;
  CHECK(side_by_side<grid<4, restricted>>() == 5 * 4 * 2 * 16);
  side_by_side<grid<3, gptq, nbit::scale_type::f32>>();
  side_by_side<grid<3, asymmetric>>();
  side_by_side<grid<1, asymmetric, nbit::scale_type::f8_e4m3>>();
  side_by_side<grid<2, asymmetric_float>>();
  side_by_side<grid<8, asymmetric_float, nbit::scale_type::bf16>>();
  side_by_side<grid<5, restricted, nbit::scale_type::e8m0>>();
}

TEST_CASE("a search lowers the squared error, a weighted one the weighted error, for every format") {
  searches<stored_grid<2, 64>>(0.75);
  searches<stored_grid<4, 64>>(0.99);
  searches<nbit::w4g64>(0.99);
  searches<two_per_row>(0.6);
  searches<powers>(1.0);
  searches<nbit::nf4>(1.0);
}

TEST_CASE("a search over lattices never loses to the format's fit") {
  const std::size_t rows = 4, cols = 64;
  const std::vector<float> w = nbit_test::random(33).normals(rows * cols);
  const auto plain = nbit::round_to_nearest<checkerboard>({w.data(), rows, cols});
  const auto searched = nbit::round_with_search<checkerboard>({w.data(), rows, cols});
  REQUIRE(plain);
  REQUIRE(searched);
  CHECK(weighted_error(w, rows, cols, *searched, {}) <= weighted_error(w, rows, cols, *plain, {}));
}

TEST_CASE("rounding to nearest is fit and code of every group, also a ragged one and one for the whole tensor") {
  const std::size_t rows = 3, cols = 45;
  const std::vector<float> w = nbit_test::random(34).normals(rows * cols);
  using F = stored_grid<4, 32>;
  const auto q = nbit::round_to_nearest<F>({w.data(), rows, cols});
  REQUIRE(q);
  CHECK(q->params.size() == 6);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t first = c / 32 * 32;
      const auto p =
          F::fit(std::span<const float>(w).subspan(r * cols + first, std::min(cols - first, std::size_t{32})), {});
      CHECK(int(q->row_codes(r)[c]) == F::code(w[r * cols + c], p, int(c % 32)));
    }
  using T = stored_grid<4, nbit::per_tensor>;
  const auto whole = nbit::round_to_nearest<T>({w.data(), rows, cols});
  REQUIRE(whole);
  CHECK(whole->params.size() == 1);
  const auto p = T::fit(w, {});
  for (std::size_t k = 0; k < w.size(); ++k) CHECK(int(whole->codes[k]) == T::code(w[k], p, int(k % cols)));
  // A view with a stride sees the same numbers.
  std::vector<float> wide(rows * 60, 9.0f);
  for (std::size_t r = 0; r < rows; ++r)
    std::copy_n(w.begin() + std::ptrdiff_t(r * cols), cols, wide.begin() + std::ptrdiff_t(r * 60));
  const matrix_view<const float> strided(wide.data(), rows, cols, 60);
  CHECK(same(*whole, *nbit::round_to_nearest<T>(strided)));
  CHECK(same(*q, *nbit::round_to_nearest<F>(strided)));
}

TEST_CASE("rounding refuses what it cannot hold") {
  std::vector<float> w(2 * 40, 1.0f);
  w[40 + 7] = std::nanf("");
  const auto bad = nbit::round_to_nearest<stored_grid<4, 32>>({w.data(), 2, 40});
  REQUIRE_FALSE(bad);
  CHECK(bad.error().row == 1);
  CHECK(bad.error().col == 7);
  w[40 + 7] = 0.0f;
  CHECK(nbit::round_to_nearest<nbit::q4_0>({w.data(), 2, 40}).error().code == nbit::errc::shape);
  CHECK(nbit::round_to_nearest<checkerboard>({w.data(), 2, 39}).error().code == nbit::errc::shape);
  std::vector<float> importance(40, 1.0f);
  importance[3] = -1.0f;
  CHECK(nbit::round_with_search<stored_grid<4, 32>>({w.data(), 2, 40}, importance).error().code ==
        nbit::errc::not_finite);
  importance.resize(39);
  CHECK(nbit::round_to_nearest<stored_grid<4, 32>>({w.data(), 2, 40}, importance).error().code == nbit::errc::shape);
  const auto empty = nbit::round_with_search<stored_grid<4, 32>>(matrix_view<const float>(nullptr, 0, 40));
  REQUIRE(empty);
  CHECK(empty->codes.size() == 0);
}
