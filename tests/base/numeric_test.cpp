// tests/base/numeric_test.cpp — the one rounding rule, and the finite checks.
// SPDX-License-Identifier: MIT
#include <nbit/base/numeric.hpp>

#include <cmath>
#include <limits>

#include <catch2/catch_test_macros.hpp>

#include "base/small_float.hpp"
#include "support/random.hpp"

static_assert(nbit::round_even(0.5f) == 0 && nbit::round_even(1.5f) == 2 && nbit::round_even(-0.5f) == 0 &&
              nbit::round_even(-2.5f) == -2 && nbit::round_even(2.4999998f) == 2);

TEST_CASE("round_even is the current rounding mode's nearest integer over its whole range") {
  nbit_test::random rng(11);
  for (int i = 0; i < 400000; ++i) {
    const float v = rng.uniform(-1.0f, 1.0f) * std::ldexp(1.0f, static_cast<int>(rng.below(23)));
    REQUIRE(nbit::round_even(v) == static_cast<int>(std::nearbyint(v)));
  }
  for (int k = -100000; k < 100000; ++k) {
    const float half = static_cast<float>(k) + 0.5f;
    REQUIRE(nbit::round_even(half) == static_cast<int>(std::nearbyint(half)));
  }
  CHECK(nbit::round_even(4194303.0f) == 4194303);
  CHECK(nbit::round_even(-4194304.0f) == -4194304);
}

TEST_CASE("round_clamped holds any float inside its bounds, infinities and NaN too") {
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(nbit::round_clamped(inf, -8, 7) == 7);
  CHECK(nbit::round_clamped(-inf, -8, 7) == -8);
  CHECK(nbit::round_clamped(std::numeric_limits<float>::quiet_NaN(), -8, 7) == -8);
  CHECK(nbit::round_clamped(3e38f, 0, 15) == 15);
  CHECK(nbit::round_clamped(7.49f, -8, 7) == 7);
  CHECK(nbit::round_clamped(-0.5f, 0, 15) == 0);
  CHECK(nbit::round_clamped(6.5f, 0, 15) == 6);
}

TEST_CASE("is_finite and abs look at the bits alone") {
  std::uint64_t wrong = 0;
  nbit_test::for_sampled_floats(99991, [&](float v) {
    wrong += nbit::is_finite(v) != std::isfinite(v);
    wrong += nbit_test::bits_of(nbit::abs(v)) != (nbit_test::bits_of(v) & 0x7fffffffu);
  });
  CHECK(wrong == 0);
}

TEST_CASE("fma rounds once") {
  // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: the last term survives only without rounding in between.
  const float a = 1.0f + 0x1p-12f;
  CHECK(nbit::fma(a, a, -(1.0f + 0x1p-11f)) == 0x1p-24f);
}
