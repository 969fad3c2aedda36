// tests/eval/distortion_test.cpp — distances between a layer and its approximation.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

#include <nbit/eval/distortion.hpp>

#include "solver/support.hpp"

using namespace solver_test;

TEST_CASE("weight distortion is mean, relative and largest difference") {
  const std::vector<float> a = {1, 2, 3, 4, 5, 6}, b = {1, 2, 3.5f, 4, 5, 3};
  const auto d = nbit::distortion({a.data(), 2, 3}, {b.data(), 2, 3});
  REQUIRE(d);
  CHECK(std::fabs(d->mean_square - 9.25 / 6) < 1e-12);
  CHECK(std::fabs(d->relative - 9.25 / 91) < 1e-12);
  CHECK(d->max == 3.0);
  CHECK_FALSE(nbit::distortion({a.data(), 2, 3}, {b.data(), 3, 2}));
  CHECK(nbit::distortion({nullptr, 0, 3}, {nullptr, 0, 3})->mean_square == 0.0);
}

TEST_CASE("relative output error from a Gram matrix equals the error of the outputs") {
  for (const std::size_t cols : {std::size_t{1}, std::size_t{33}, std::size_t{70}}) {
    const std::size_t rows = 37, tokens = 150;
    const std::vector<float> x = activations(tokens, cols, 3), w = nbit_test::random(4).normals(rows * cols);
    std::vector<float> v = w;
    nbit_test::random rng(5);
    for (float& value : v) value += 0.1f * rng.normal();
    double error = 0, energy = 0;
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t r = 0; r < rows; ++r) {
        double y = 0, e = 0;
        for (std::size_t c = 0; c < cols; ++c) {
          y += double(w[r * cols + c]) * double(x[t * cols + c]);
          e += (double(v[r * cols + c]) - double(w[r * cols + c])) * double(x[t * cols + c]);
        }
        error += e * e, energy += y * y;
      }
    const hessian h = statistics(x, cols);
    const auto got =
        nbit::relative_output_error({w.data(), rows, cols}, matrix_view<const float>(v.data(), rows, cols), h);
    REQUIRE(got);
    CHECK(std::fabs(*got - error / energy) < 1e-4 * error / energy);
    const auto threaded = nbit::relative_output_error({w.data(), rows, cols},
                                                      matrix_view<const float>(v.data(), rows, cols), h, threads{2});
    CHECK(*threaded == *got);
  }
  const hessian h(4);
  CHECK_FALSE(nbit::relative_output_error({nullptr, 0, 5}, matrix_view<const float>(nullptr, 0, 5), h));
}
