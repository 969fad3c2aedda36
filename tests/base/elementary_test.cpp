// tests/base/elementary_test.cpp — log2, exp2 and powers against the C library, and against pinned bits.
// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstdint>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/base/elementary.hpp>

TEST_CASE("logarithms, exponentials and powers agree with the C library to a few units in the last place") {
  nbit_test::random numbers(1);
  double worst_log = 0, worst_exp = 0, worst_power = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = std::ldexp(1.0 + double(numbers.uniform()), int(numbers.below(200)) - 100);
    const double y = double(numbers.uniform(-300.0f, 300.0f)), p = double(numbers.uniform());
    worst_log = std::fmax(worst_log, std::fabs(nbit::log2_exact(x) - std::log2(x)) / (1 + std::fabs(std::log2(x))));
    worst_exp = std::fmax(worst_exp, std::fabs(nbit::exp2_exact(y) / std::exp2(y) - 1));
    worst_power = std::fmax(worst_power, std::fabs(nbit::power_exact(x, p) / std::pow(x, p) - 1));
  }
  CHECK(worst_log < 4e-16);
  CHECK(worst_exp < 1e-15);
  CHECK(worst_power < 1e-13);  // the product p log2 x is rounded, up to 100 times
}

TEST_CASE("exact where the answer is a double, and total at the ends") {
  for (int e = -1022; e < 1024; ++e) {
    REQUIRE(nbit::log2_exact(std::ldexp(1.0, e)) == double(e));
    REQUIRE(nbit::exp2_exact(double(e)) == std::ldexp(1.0, e));
  }
  REQUIRE(nbit::exp2_exact(-2000.0) == 0.0);
  REQUIRE(nbit::exp2_exact(2000.0) == 0x1.fffffffffffffp1023);
  REQUIRE(nbit::exp2_exact(std::nan("")) == 0.0);
}

TEST_CASE("exp in float: two units in the last place, held at the ends, NaN stays NaN") {
  double worst = 0;
  for (int i = -87000; i <= 88000; ++i) {
    const float x = float(i) * 0.001f;
    worst = std::fmax(worst, std::fabs(double(nbit::exp_float(x)) / std::exp(double(x)) - 1));
  }
  CHECK(worst < 0x1p-22);
  CHECK(nbit::exp_float(0.0f) == 1.0f);
  CHECK(nbit::exp_float(-1e30f) == nbit::exp_float(-87.3f));
  CHECK(nbit::exp_float(1e30f) == nbit::exp_float(88.3f));
  CHECK(std::isnan(nbit::exp_float(std::nanf(""))));
}

TEST_CASE("the bits are pinned: another compiler, flag or machine must give these") {
  std::uint64_t hash = 1469598103934665603u;
  for (int i = 1; i < 2000; ++i) {
    hash = (hash ^ std::bit_cast<std::uint64_t>(nbit::power_exact(double(i) * 0.37, double(i % 97) / 97.0))) *
           1099511628211u;
    hash = (hash ^ std::bit_cast<std::uint64_t>(nbit::log2_exact(double(i) * 1.7))) * 1099511628211u;
  }
  CHECK(hash == 0xfffcd79d7f38a33bu);
}
