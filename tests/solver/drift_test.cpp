// tests/solver/drift_test.cpp — weights for inputs that have moved: the regression's answer, streams, what is refused.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

#include <nbit/solver/drift.hpp>
#include <nbit/solver/gptq.hpp>

#include "solver/support.hpp"

using namespace solver_test;
using nbit::input_drift;
using nbit::retarget;

namespace {

/// |W x - V x'|^2 over tokens.
double missed(const std::vector<float>& w, const std::vector<float>& v, const std::vector<float>& x,
              const std::vector<float>& moved, std::size_t rows, std::size_t cols) {
  double sum = 0;
  for (std::size_t t = 0; t < x.size() / cols; ++t)
    for (std::size_t r = 0; r < rows; ++r) {
      double e = 0;
      for (std::size_t c = 0; c < cols; ++c)
        e += double(w[r * cols + c]) * double(x[t * cols + c]) - double(v[r * cols + c]) * double(moved[t * cols + c]);
      sum += e * e;
    }
  return sum;
}

struct moved_layer {
  std::size_t rows = 40, cols = 50, tokens = 300;
  std::vector<float> w, x, moved;
  hessian h;
  input_drift drift;

  moved_layer() {
    nbit_test::random rng(5);
    w = rng.normals(rows * cols), x = activations(tokens, cols, 6), moved = x;
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t c = 0; c < cols; ++c)
        moved[t * cols + c] += 0.2f * x[t * cols + (c + 1) % cols] + 0.1f * rng.normal();
    h = statistics(moved, cols), drift = input_drift(cols);
    REQUIRE(drift.add({x.data(), tokens, cols}, {moved.data(), tokens, cols}));
  }
  matrix_view<const float> view() const { return {w.data(), rows, cols}; }
};

}  // namespace

TEST_CASE("retargeted weights give the old outputs from the new inputs as well as any can") {
  moved_layer l;
  std::vector<float> best(l.w.size());
  const matrix_view<float> out(best.data(), l.rows, l.cols);
  REQUIRE(retarget(l.view(), l.h, l.drift, out, {.damping = 0.0}));
  const double left = missed(l.w, l.w, l.x, l.moved, l.rows, l.cols),
               least = missed(l.w, best, l.x, l.moved, l.rows, l.cols);
  CHECK(least < 0.5 * left);
  // At the least squares answer any step is a step up.
  nbit_test::random rng(7);
  for (int k = 0; k < 20; ++k) {
    std::vector<float> other = best;
    for (float& v : other) v += 0.01f * rng.normal();
    CHECK(missed(l.w, other, l.x, l.moved, l.rows, l.cols) > least);
  }
  std::vector<float> half(l.w.size());
  REQUIRE(retarget(l.view(), l.h, l.drift, {half.data(), l.rows, l.cols}, {.strength = 0.5, .damping = 0.0}));
  const double between = missed(l.w, half, l.x, l.moved, l.rows, l.cols);
  CHECK(between < left);
  CHECK(between > least);
}

TEST_CASE("a drift does not depend on batches or threads, and unmoved inputs leave the weights alone") {
  const moved_layer l;
  input_drift cut(l.cols);
  for (std::size_t first = 0; first < l.tokens; first += 37) {
    const std::size_t n = std::min<std::size_t>(37, l.tokens - first);
    REQUIRE(
        cut.add({l.x.data() + first * l.cols, n, l.cols}, {l.moved.data() + first * l.cols, n, l.cols}, threads{2}));
  }
  std::vector<float> one(l.w.size()), two(l.w.size());
  REQUIRE(retarget(l.view(), l.h, l.drift, {one.data(), l.rows, l.cols}));
  REQUIRE(retarget(l.view(), l.h, cut, {two.data(), l.rows, l.cols}, {}, backwards{}));
  CHECK(one == two);
  input_drift still(l.cols);
  REQUIRE(still.add({l.x.data(), l.tokens, l.cols}, {l.x.data(), l.tokens, l.cols}));
  REQUIRE(retarget(l.view(), l.h, still, {one.data(), l.rows, l.cols}));
  CHECK(one == l.w);
}

TEST_CASE("where an output is added to what has moved too, the sum is kept as well as any weights can keep it") {
  moved_layer l;
  nbit_test::random rng(9);
  // The residual before and now, an error that the layer's input now tells half of.
  std::vector<float> before = rng.normals(l.tokens * l.rows), now = before;
  const std::vector<float> mix = rng.normals(l.rows * l.cols);
  for (std::size_t t = 0; t < l.tokens; ++t)
    for (std::size_t r = 0; r < l.rows; ++r) {
      for (std::size_t c = 0; c < l.cols; ++c)
        now[t * l.rows + r] += 0.05f * mix[r * l.cols + c] * l.moved[t * l.cols + c];
      now[t * l.rows + r] += 0.3f * rng.normal();
    }
  nbit::output_drift residual(l.rows, l.cols), cut(l.rows, l.cols);
  const auto part = [&](const std::vector<float>& x, std::size_t width, std::size_t first, std::size_t n) {
    return matrix_view<const float>(x.data() + first * width, n, width);
  };
  REQUIRE(residual.add(part(before, l.rows, 0, l.tokens), part(now, l.rows, 0, l.tokens),
                       part(l.moved, l.cols, 0, l.tokens)));
  for (std::size_t first = 0; first < l.tokens; first += 50)
    REQUIRE(cut.add(part(before, l.rows, first, 50), part(now, l.rows, first, 50), part(l.moved, l.cols, first, 50),
                    threads{2}));
  const auto left = [&](const std::vector<float>& v) {
    double sum = 0;
    for (std::size_t t = 0; t < l.tokens; ++t)
      for (std::size_t r = 0; r < l.rows; ++r) {
        double e = double(before[t * l.rows + r]) - double(now[t * l.rows + r]);
        for (std::size_t c = 0; c < l.cols; ++c)
          e += double(l.w[r * l.cols + c]) * double(l.x[t * l.cols + c]) -
               double(v[r * l.cols + c]) * double(l.moved[t * l.cols + c]);
        sum += e * e;
      }
    return sum;
  };
  std::vector<float> inputs(l.w.size()), best(l.w.size()), again(l.w.size());
  REQUIRE(retarget(l.view(), l.h, l.drift, {inputs.data(), l.rows, l.cols}, {.damping = 0.0}));
  REQUIRE(retarget(l.view(), l.h, l.drift, {best.data(), l.rows, l.cols}, {.damping = 0.0, .residual = &residual}));
  REQUIRE(retarget(l.view(), l.h, l.drift, {again.data(), l.rows, l.cols}, {.damping = 0.0, .residual = &cut}));
  CHECK(best == again);
  const double least = left(best);
  CHECK(least < 0.7 * left(inputs));
  for (int k = 0; k < 10; ++k) {
    std::vector<float> other = best;
    for (float& v : other) v += 0.01f * rng.normal();
    CHECK(left(other) > least);
  }
  const nbit::output_drift other(l.rows + 1, l.cols);
  CHECK(retarget(l.view(), l.h, l.drift, {best.data(), l.rows, l.cols}, {.residual = &other}).error().code ==
        nbit::errc::shape);
  CHECK(residual.add(part(before, l.rows, 0, 2), part(now, l.rows, 0, 2), part(l.moved, l.cols, 0, 3)).error().code ==
        nbit::errc::shape);
}

TEST_CASE("what a drift refuses, and statistics that cannot be solved with") {
  moved_layer l;
  std::vector<float> out(l.w.size());
  const matrix_view<float> to(out.data(), l.rows, l.cols);
  CHECK(l.drift.add({l.x.data(), 2, 25}, {l.x.data(), 2, 25}).error().code == nbit::errc::shape);
  std::vector<float> bad(l.cols, std::nanf(""));
  const auto refused = l.drift.add({bad.data(), 1, l.cols}, {l.x.data(), 1, l.cols});
  CHECK(refused.error().code == nbit::errc::not_finite);
  CHECK(l.drift.tokens() == l.tokens);
  CHECK(retarget(l.view(), hessian(3), l.drift, to).error().code == nbit::errc::shape);
  CHECK(retarget(l.view(), l.h, l.drift, to, {.strength = 2.0}).error().code == nbit::errc::invalid_option);
  CHECK(retarget(l.view(), l.h, l.drift, to, {.damping = -1.0}).error().code == nbit::errc::invalid_option);
  REQUIRE(retarget(l.view(), hessian(l.cols), l.drift, to));  // no token: nothing to go by
  CHECK(std::all_of(out.begin(), out.end(), [](float v) { return nbit::is_finite(v); }));
}
