// tests/solver/awq_test.cpp — channel scales: equivalence, gain, sharing, folding, bad input.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/solver/awq.hpp>
#include <nbit/solver/fold.hpp>
#include <nbit/solver/rtn.hpp>

#include "solver/support.hpp"

using namespace solver_test;
using nbit::awq;
using nbit::awq_options;

namespace {
// The weights a model computes with after folding: decoded and divided by the scales.
template <class F>
std::vector<float> effective(const nbit::awq_result& a) {
  const auto q = nbit::round_to_nearest<F>(a.view());
  REQUIRE(q);
  std::vector<float> v(a.rows * a.cols);
  nbit::detail::decode_matrix(*q, matrix_view<float>(v.data(), a.rows, a.cols));
  for (std::size_t k = 0; k < v.size(); ++k) v[k] /= a.scales[k % a.cols];
  return v;
}

template <class F>
void gains(double ratio) {
  const std::size_t rows = 40, cols = 128;
  const std::vector<float> w = nbit_test::random(41).normals(rows * cols);
  const hessian h = statistics(activations(800, cols, 42), cols);
  const matrix_view<const float> view(w.data(), rows, cols);
  awq_options o;
  o.shrink = false;
  const auto a = awq<F>(view, h, o);
  REQUIRE(a);
  CHECK(a->loss_scaled <= a->loss_rounded);
  CHECK(a->loss <= ratio * a->loss_rounded);
  const std::vector<float> v = effective<F>(*a);
  const double measured = *nbit::relative_output_error(view, matrix_view<const float>(v.data(), rows, cols), h);
  CHECK(std::fabs(measured - a->loss / a->energy) < 0.02 * measured);
}
}  // namespace

TEST_CASE("AWQ lowers the output error, and its loss is the one that the stored weights have") {
  gains<stored_grid<4, 64>>(0.9);
  gains<stored_grid<3, 64>>(0.8);
  gains<stored_grid<4, nbit::per_row>>(0.9);
  gains<nbit::nf4>(1.0);
  gains<powers>(1.0);
}

TEST_CASE("executors do not change scales or weights") {
  const std::size_t rows = 70, cols = 64;
  const std::vector<float> w = nbit_test::random(43).normals(rows * cols);
  const hessian h = statistics(activations(300, cols, 44), cols);
  using F = stored_grid<3, 32>;
  const matrix_view<const float> view(w.data(), rows, cols);
  const auto a = awq<F>(view, h), b = awq<F>(view, h, {}, backwards{}), c = awq<F>(view, h, {}, threads{3});
  REQUIRE(a);
  for (const auto* other : {&b, &c}) {
    REQUIRE(*other);
    CHECK(std::equal(a->scales.begin(), a->scales.end(), (*other)->scales.begin()));
    CHECK(std::equal(a->weights.begin(), a->weights.end(), (*other)->weights.begin()));
    CHECK(a->loss == (*other)->loss);
  }
}

TEST_CASE("linears with one input share one scale, as if they were one linear") {
  const std::size_t cols = 64;
  const std::vector<float> w = nbit_test::random(45).normals(96 * cols);
  const hessian h = statistics(activations(300, cols, 46), cols);
  using F = stored_grid<4, 32>;
  const std::array<matrix_view<const float>, 3> parts = {matrix_view<const float>(w.data(), 32, cols),
                                                         matrix_view<const float>(w.data() + 32 * cols, 24, cols),
                                                         matrix_view<const float>(w.data() + 56 * cols, 40, cols)};
  const auto together = awq<F>(parts, h);
  const auto one = awq<F>(matrix_view<const float>(w.data(), 96, cols), h);
  REQUIRE(together);
  REQUIRE(one);
  CHECK(together->rows == 96);
  CHECK(std::equal(one->scales.begin(), one->scales.end(), together->scales.begin()));
  CHECK(std::equal(one->weights.begin(), one->weights.end(), together->weights.begin()));
}

TEST_CASE("without steps and clipping AWQ leaves weights alone") {
  const std::vector<float> w = nbit_test::random(47).normals(5 * 32);
  const hessian h = statistics(activations(100, 32, 48), 32);
  awq_options o;
  o.steps = 0, o.clip = false;
  const auto a = awq<stored_grid<4, 32>>(matrix_view<const float>(w.data(), 5, 32), h, o);
  REQUIRE(a);
  CHECK(std::equal(w.begin(), w.end(), a->weights.begin()));
  CHECK(a->loss == a->loss_rounded);
}

TEST_CASE("AWQ gives up the weights of one end alone") {
  // From -2 to 0.5, and one of 2 that reads next to nothing: a symmetric limit would cut the others first.
  const std::size_t cols = 32;
  std::vector<float> w(cols), x = nbit_test::random(51).normals(300 * cols);
  for (std::size_t c = 0; c < cols; ++c) w[c] = 0.5f - 2.5f * static_cast<float>(c) / 31.0f;
  w[7] = 2.0f;
  for (std::size_t t = 0; t < 300; ++t) x[t * cols + 7] *= 1e-3f;
  awq_options o;
  o.steps = 0;
  const auto a = awq<stored_grid<3, 32>>(matrix_view<const float>(w.data(), 1, cols), statistics(x, cols), o);
  REQUIRE(a);
  CHECK(a->weights[7] < 1.0f);
  CHECK(*std::min_element(a->weights.begin(), a->weights.end()) < -1.2f);
  CHECK(a->loss < 0.6 * a->loss_rounded);
}

TEST_CASE("AWQ survives bad statistics and names bad weights") {
  using F = stored_grid<4, 32>;
  std::vector<float> w = nbit_test::random(49).normals(3 * 64);
  const matrix_view<const float> view(w.data(), 3, 64);
  const std::vector<float> nan(64 * 64, std::nanf(""));
  for (const auto& a : {awq<F>(view, hessian(64)), awq<F>(view, *hessian::from_mean({nan.data(), 64, 64}))}) {
    REQUIRE(a);
    for (const float s : a->scales) CHECK((s > 0.0f && nbit::is_finite(s)));
    for (const float v : a->weights) CHECK(nbit::is_finite(v));
  }
  CHECK(awq<F>(matrix_view<const float>(nullptr, 0, 64), hessian(64)));
  CHECK(awq<F>(view, hessian(63)).error().code == nbit::errc::shape);
  awq_options o;
  o.clip_steps = 0;
  CHECK(awq<F>(view, hessian(64), o).error().code == nbit::errc::invalid_option);
  w[64 + 9] = std::numeric_limits<float>::infinity();
  const auto bad = awq<F>(view, hessian(64));
  REQUIRE_FALSE(bad);
  CHECK(bad.error().row == 1);
  CHECK(bad.error().col == 9);
}

TEST_CASE("folding keeps what a block computes") {
  const std::size_t inputs = 6, hidden = 4, outputs = 3;
  nbit_test::random rng(50);
  std::vector<float> up = rng.normals((hidden + 2) * inputs), bias = rng.normals(hidden + 2),
                     down = rng.normals(outputs * hidden);
  const std::vector<float> x = rng.normals(inputs);
  const std::vector<float> s = {0.5f, 2.0f, 4.0f, 1.25f};
  const auto compute = [&] {  // the last `hidden` outputs of up feed down
    std::vector<float> y(outputs, 0.0f);
    for (std::size_t k = 0; k < hidden; ++k) {
      float v = bias[2 + k];
      for (std::size_t i = 0; i < inputs; ++i) v += up[(2 + k) * inputs + i] * x[i];
      for (std::size_t o = 0; o < outputs; ++o) y[o] += down[o * hidden + k] * v;
    }
    return y;
  };
  const std::vector<float> before = compute(), first_rows(up.begin(), up.begin() + 2 * inputs);
  REQUIRE(nbit::fold_into_rows({up.data(), hidden + 2, inputs}, bias, s));
  REQUIRE(nbit::fold_into_columns({down.data(), outputs, hidden}, s));
  const std::vector<float> after = compute();
  for (std::size_t o = 0; o < outputs; ++o) CHECK(std::fabs(before[o] - after[o]) < 1e-4f);
  CHECK(std::equal(first_rows.begin(), first_rows.end(), up.begin()));

  std::vector<float> norm = {1, 2, 3, 4}, norm_bias = {8, 8, 8, 8}, gemma = {0, 1, 2, 3};
  REQUIRE(nbit::fold_into_norm(norm, norm_bias, s));
  REQUIRE(nbit::fold_into_norm(gemma, {}, s, nbit::norm_weight::plus_one));
  CHECK(norm == std::vector<float>{2, 1, 0.75f, 3.2f});
  CHECK(norm_bias == std::vector<float>{16, 4, 2, 6.4f});
  for (std::size_t c = 0; c < 4; ++c) CHECK(std::fabs(1.0f + gemma[c] - norm[c]) < 1e-6f);

  CHECK_FALSE(nbit::fold_into_norm(norm, {}, std::span<const float>(s).first(3)));
  CHECK_FALSE(nbit::fold_into_rows({up.data(), 3, inputs}, {}, s));
  CHECK_FALSE(nbit::fold_into_columns({down.data(), outputs, 3}, s));
  const std::vector<float> zero = {1, 0, 1, 1};
  CHECK(nbit::fold_into_columns({down.data(), outputs, hidden}, zero).error().col == 1);
}
