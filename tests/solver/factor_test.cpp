// tests/solver/factor_test.cpp — the product kernel, the factor against its definition, and every rung of the ladder.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <nbit/parallel/executor.hpp>
#include <nbit/solver/factor.hpp>

#include "solver/support.hpp"

using namespace solver_test;
using nbit::detail::make_metric;

namespace {
// Largest |h - (S + I) D (S + I)^T|, relative to the diagonal.
double residual(const nbit::metric& m) {
  double worst = 0;
  for (std::size_t i = 0; i < m.cols; ++i)
    for (std::size_t j = i; j < m.cols; ++j) {
      double sum = 0;
      for (std::size_t k = j; k < m.cols; ++k) {
        const double a = k == i ? 1.0 : double(m.s[i * m.stride + k]), b = k == j ? 1.0 : double(m.s[j * m.stride + k]);
        sum += a * double(m.d[k]) * b;
      }
      const double scale = std::sqrt(double(m.h[i * m.stride + i]) * double(m.h[j * m.stride + j]));
      worst = std::max(worst, std::fabs(sum - double(m.h[i * m.stride + j])) / scale);
    }
  return worst;
}
nbit::metric metric_of(const std::vector<float>& g, std::size_t n, double damping = 0.01) {
  auto h = hessian::from_mean({g.data(), n, n}, 1);
  REQUIRE(h);
  auto m = make_metric(*h, {}, {damping, false}, nbit::serial{});
  REQUIRE(m);
  for (std::size_t i = 0; i < n; ++i) {
    CHECK(m->d[i] > 0.0f);
    for (std::size_t j = i + 1; j < n; ++j) CHECK(nbit::is_finite(m->s[i * m->stride + j]));
  }
  return *std::move(m);
}
}  // namespace

TEST_CASE("a factor multiplies back to its matrix, across block borders") {
  for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{17}, std::size_t{63}, std::size_t{64},
                              std::size_t{65}, std::size_t{150}}) {
    const hessian h = statistics(activations(3 * n + 20, n, n), n);
    auto m = make_metric(h, {}, {}, nbit::serial{});
    REQUIRE(m);
    CHECK(m->report.rung == nbit::ladder_rung::as_asked);
    CHECK(residual(*m) < 2e-5);
    auto other = make_metric(h, {}, {}, threads{3});
    REQUIRE(other);
    CHECK(std::equal(m->d.begin(), m->d.end(), other->d.begin()));
    bool equal = true;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = i + 1; j < n; ++j) equal &= m->s[i * m->stride + j] == other->s[i * m->stride + j];
    CHECK(equal);
  }
}

TEST_CASE("columns can be put in another order") {
  const std::size_t n = 40;
  const hessian h = statistics(activations(200, n, 5), n);
  std::vector<std::uint32_t> place(n);
  for (std::size_t c = 0; c < n; ++c) place[c] = static_cast<std::uint32_t>((c * 7) % n);
  const auto m = make_metric(h, place, {}, nbit::serial{});
  REQUIRE(m);
  const auto u = [&](std::size_t i, std::size_t k) {
    return i == k ? 1.0 : i < k ? double(m->s[i * m->stride + k]) : 0.0;
  };
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < n; ++k) sum += u(place[i], k) * double(m->d[k]) * u(place[j], k);
      CHECK(std::fabs(sum - double(m->h[i * m->stride + j])) < 1e-4);
    }
}

TEST_CASE("singular matrices are damped, and the report says how much") {
  const std::size_t n = 30;
  std::vector<float> ones(n * n, 1.0f);  // rank one
  CHECK(metric_of(ones, n).report.rung == nbit::ladder_rung::as_asked);
  const nbit::metric undamped = metric_of(ones, n, 0.0);
  CHECK(undamped.report.rung == nbit::ladder_rung::more_damping);
  CHECK(undamped.report.damping > 0);
  // Not a Gram matrix at all: correlations above one need more than the mean of the diagonal.
  std::vector<float> impossible(n * n, 1.2f);
  for (std::size_t i = 0; i < n; ++i) impossible[i * n + i] = 1.0f;
  CHECK(metric_of(impossible, n).report.rung == nbit::ladder_rung::more_damping);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      if (i != j) impossible[i * n + j] = (i + j) % 2 == 0 ? 50.0f : -70.0f;
  const nbit::metric last = metric_of(impossible, n);
  CHECK(last.report.rung == nbit::ladder_rung::diagonal_only);
  CHECK(residual(last) < 1e-6);
  // One huge input among tiny ones, with a correlation that cannot be: raising the small diagonals saves it.
  std::vector<float> steep(n * n, 0.0f);
  for (std::size_t i = 0; i < n; ++i) steep[i * n + i] = 1e-6f;
  steep[0] = 1e6f, steep[1] = steep[n] = 3e5f;
  CHECK(metric_of(steep, n).report.rung == nbit::ladder_rung::raised_floor);
}

TEST_CASE("zero, NaN and infinite statistics give a metric that is finite and says so") {
  const std::size_t n = 12;
  const nbit::metric zero = metric_of(std::vector<float>(n * n, 0.0f), n);
  CHECK(zero.report.dead_columns == n);
  const nbit::metric nan = metric_of(std::vector<float>(n * n, std::nanf("")), n);
  CHECK(nan.report.cleaned_columns == n);
  std::vector<float> g = gram_of(statistics(activations(100, n, 6), n));
  for (std::size_t i = 0; i < n; ++i) g[3 * n + i] = g[i * n + 3] = std::nanf("");
  g[7 * n + 5] = g[5 * n + 7] = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < n; ++i) g[9 * n + i] = g[i * n + 9] = 0.0f;
  const nbit::metric mixed = metric_of(g, n);
  CHECK(mixed.report.dead_columns == 1);
  CHECK(mixed.report.cleaned_columns == 3);
  CHECK(mixed.h[3 * mixed.stride + 4] == 0.0f);
  CHECK(mixed.h[1 * mixed.stride + 2] != 0.0f);
  CHECK(residual(mixed) < 2e-5);
}

TEST_CASE("joined columns keep the product with a block diagonal") {
  const std::size_t n = 24, step = 4;
  const hessian h = statistics(activations(100, n, 11), n);
  auto scalar = make_metric(h, {}, {}, nbit::serial{});
  auto joined = make_metric(h, {}, {}, nbit::serial{});
  REQUIRE(scalar);
  REQUIRE(joined);
  nbit::detail::join_columns(*joined, step);
  // S_joined restricted to a block, times the block's own unit triangle, is the scalar S again.
  for (std::size_t first = step; first < n; first += step)
    for (std::size_t i = 0; i < first; ++i)
      for (std::size_t k = 0; k < step; ++k) {
        double sum = joined->s[i * joined->stride + first + k];
        for (std::size_t l = 0; l < k; ++l)
          sum += double(joined->s[i * joined->stride + first + l]) *
                 double(scalar->s[(first + l) * scalar->stride + first + k]);
        CHECK(std::fabs(sum - double(scalar->s[i * scalar->stride + first + k])) < 1e-5);
      }
}
