// tests/base/two_floats_test.cpp — sums in two floats: 47 bits, from either side the same, high the rounded sum.
// SPDX-License-Identifier: MIT
#include <nbit/base/two_floats.hpp>

#include <cmath>
#include <type_traits>

#include <catch2/catch_test_macros.hpp>

#include "support/random.hpp"

using nbit::two_floats;

TEST_CASE("a sum in two floats keeps what one float loses") {
  static_assert(std::is_trivially_copyable_v<two_floats> && sizeof(two_floats) == 8);
  nbit_test::random rng(3);
  two_floats sum(0.0f);
  double exact = 0;
  float plain = 0;
  for (int i = 0; i < 200'000; ++i) {
    const float v = 1000.0f + rng.normal();
    sum += two_floats(v), exact += double(v), plain += v;
    REQUIRE(std::fabs(double(sum.low)) <= 0.5 * double(std::nextafter(sum.high, INFINITY) - sum.high));
  }
  CHECK(std::fabs(double(sum) - exact) <= exact * 200'000 * 0x1p-48);
  CHECK(std::fabs(double(sum) - exact) < 1e-3 * std::fabs(double(plain) - exact));
}

TEST_CASE("two floats: a + b has the bits of b + a, zero changes nothing, and opposites cancel") {
  nbit_test::random rng(4);
  for (int i = 0; i < 20'000; ++i) {
    const auto any = [&] { return two_floats(double(rng.normal()) * std::exp2(double(rng.below(60)) - 30.0)); };
    const two_floats a = any(), b = any();
    two_floats ab = a, ba = b, same = a, none = a;
    ab += b, ba += a, same += two_floats(0.0f), none += two_floats(-a.high, -a.low);
    REQUIRE((ab.high == ba.high && ab.low == ba.low));
    REQUIRE((same.high == a.high && same.low == a.low));
    REQUIRE(double(none) == 0.0);
    const double exact = double(a) + double(b);
    REQUIRE(std::fabs(double(ab) - exact) <= 0x1p-46 * (std::fabs(double(a)) + std::fabs(double(b))));
    REQUIRE(std::fabs(double(two_floats(exact)) - exact) <= 0x1p-47 * std::fabs(exact));
  }
}
