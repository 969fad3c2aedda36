// tests/solver/fold_order_test.cpp — channels between linears change places and the model computes the same.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <nbit/solver/fold.hpp>

#include "support/random.hpp"

using floats = std::vector<float>;

namespace {
/// down (relu(up x + bias)) with whole numbers, which any order of additions sums exactly.
floats forward(const floats& up, const floats& bias, const floats& down, const floats& x, std::size_t hidden) {
  const std::size_t inputs = x.size(), outputs = down.size() / hidden;
  floats middle(bias), y(outputs, 0.0f);
  for (std::size_t h = 0; h < hidden; ++h) {
    for (std::size_t i = 0; i < inputs; ++i) middle[h] += up[h * inputs + i] * x[i];
    middle[h] = middle[h] > 0.0f ? middle[h] : 0.0f;
  }
  for (std::size_t o = 0; o < outputs; ++o)
    for (std::size_t h = 0; h < hidden; ++h) y[o] += down[o * hidden + h] * middle[h];
  return y;
}
floats whole_numbers(std::size_t n, nbit_test::random& rng) {
  floats v(n);
  for (float& f : v) f = static_cast<float>(rng.below(17)) - 8.0f;
  return v;
}
}  // namespace

TEST_CASE("channels sorted by strength leave the function as it was, exactly") {
  nbit_test::random rng(1);
  int moved = 0;
  for (const std::size_t hidden : {std::size_t{1}, std::size_t{2}, std::size_t{9}, std::size_t{64}}) {
    const std::size_t inputs = 5, outputs = 3;
    floats up = whole_numbers(hidden * inputs, rng), bias = whole_numbers(hidden, rng),
           down = whole_numbers(outputs * hidden, rng);
    const floats x = whole_numbers(inputs, rng), before = forward(up, bias, down, x, hidden), old_up = up;
    floats strength(hidden);
    for (float& s : strength) s = static_cast<float>(rng.below(20));
    if (hidden > 2) strength[1] = std::numeric_limits<float>::quiet_NaN();
    std::vector<std::uint32_t> order(hidden);
    nbit::strongest_first(strength, order);
    for (std::size_t i = 0; i < hidden; ++i) {
      moved += order[i] != i;
      const auto size = [&strength](std::uint32_t c) { return std::isnan(strength[c]) ? 0.0f : strength[c]; };
      if (i > 0) CHECK(size(order[i - 1]) >= size(order[i]));
    }
    REQUIRE(nbit::permute_rows({up.data(), hidden, inputs}, bias, order));
    REQUIRE(nbit::permute_columns({down.data(), outputs, hidden}, order));
    for (std::size_t i = 0; i < hidden; ++i)
      for (std::size_t c = 0; c < inputs; ++c) CHECK(up[i * inputs + c] == old_up[order[i] * inputs + c]);
    CHECK(forward(up, bias, down, x, hidden) == before);
  }
  CHECK(moved > 50);
}

TEST_CASE("what is no permutation is refused and changes nothing") {
  floats w = {1, 2, 3, 4, 5, 6};
  const floats before = w;
  const std::vector<std::uint32_t> twice = {0, 1, 1}, beyond = {0, 1, 3}, few = {1, 0};
  CHECK(nbit::permute_columns({w.data(), 2, 3}, twice).error().code == nbit::errc::invalid_option);
  CHECK(nbit::permute_columns({w.data(), 2, 3}, beyond).error().code == nbit::errc::invalid_option);
  CHECK(nbit::permute_columns({w.data(), 2, 3}, few).error().code == nbit::errc::shape);
  CHECK(nbit::permute_rows({w.data(), 3, 2}, std::span<float>(w).first(2), std::vector<std::uint32_t>{2, 1, 0})
            .error()
            .code == nbit::errc::shape);
  CHECK(w == before);
}
