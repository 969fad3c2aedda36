// tests/base/float8_test.cpp — e4m3, e5m2, e2m1 and e8m0: every code, and sampled floats against double arithmetic.
// SPDX-License-Identifier: MIT
#include <nbit/base/float8.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>

#include <catch2/catch_test_macros.hpp>

#include "base/small_float.hpp"

using namespace nbit_test;

namespace {

// Compares from() with the oracle; beyond(v) says what a value that rounds above the largest must become.
template <class F, class Beyond, class OfNan>
std::uint64_t check_sampled(const small_float& f, Beyond beyond, OfNan of_nan) {
  std::uint64_t wrong = 0;
  float first_wrong = 0;
  const std::uint64_t n = for_sampled_floats(977, [&](float v) {
    const F code = F::from(v);
    const float got = static_cast<float>(code);
    bool good;
    if (std::isnan(v)) {
      good = of_nan(code);
    } else {
      const double want = rounded_to(f, static_cast<double>(v));
      const double limited = std::fabs(want) > f.largest ? beyond(v) : want;
      good = static_cast<double>(got) == limited && std::signbit(got) == std::signbit(v);
    }
    if (!good && wrong++ == 0) first_wrong = v;
  });
  INFO("first wrong input: " << first_wrong);
  CHECK(wrong == 0);
  return n;
}

double field_value(std::uint32_t magnitude, int fraction, int bias) {
  const std::uint32_t field = magnitude >> fraction;
  const double significand =
      static_cast<double>(magnitude & ((1u << fraction) - 1u)) + (field != 0 ? std::ldexp(1.0, fraction) : 0.0);
  return std::ldexp(significand, (field != 0 ? static_cast<int>(field) : 1) - bias - fraction);
}

}  // namespace

TEST_CASE("Every code of e4m3, e5m2, e2m1 and e8m0 means what its fields say and comes back") {
  std::uint32_t finite = 0;
  for (std::uint32_t code = 0; code < 256; ++code) {
    const std::uint8_t b = static_cast<std::uint8_t>(code);
    const std::uint32_t magnitude = code & 0x7fu;
    const double sign = code & 0x80u ? -1.0 : 1.0;
    INFO("code " << code);
    const float a = static_cast<float>(nbit::f8_e4m3::from_bits(b));
    if (magnitude == 0x7fu) {
      CHECK(std::isnan(a));
      CHECK((nbit::f8_e4m3::from(a).bits & 0x7fu) == 0x7fu);
    } else {
      CHECK(static_cast<double>(a) == sign * field_value(magnitude, 3, 7));
      CHECK(std::signbit(a) == (code >> 7 != 0));
      CHECK(nbit::f8_e4m3::from(a).bits == b);
      ++finite;
    }
    const float e = static_cast<float>(nbit::f8_e5m2::from_bits(b));
    if (magnitude > 0x7cu) {
      CHECK(std::isnan(e));
    } else if (magnitude == 0x7cu) {
      CHECK(static_cast<double>(e) == sign * std::numeric_limits<double>::infinity());
      CHECK(nbit::f8_e5m2::from(e).bits == b);
    } else {
      CHECK(static_cast<double>(e) == sign * field_value(magnitude, 2, 15));
      CHECK(std::signbit(e) == (code >> 7 != 0));
      CHECK(nbit::f8_e5m2::from(e).bits == b);
      ++finite;
    }
    const float m = static_cast<float>(nbit::e8m0::from_bits(b));
    if (code == 0xffu) {
      CHECK(std::isnan(m));
    } else {
      CHECK(static_cast<double>(m) == std::ldexp(1.0, static_cast<int>(code) - 127));
      CHECK(nbit::e8m0::from(m).bits == b);
      CHECK(nbit::e8m0::from_ceil(m).bits == b);
      ++finite;
    }
    if (code < 16) {
      const float f = static_cast<float>(nbit::f4_e2m1::from_bits(b));
      CHECK(static_cast<double>(f) == (code & 8u ? -1.0 : 1.0) * field_value(code & 7u, 1, 1));
      CHECK(nbit::f4_e2m1::from(f).bits == b);
      ++finite;
    }
  }
  CHECK(finite == 254 + 248 + 255 + 16);
}

TEST_CASE("Floats sampled over the whole range round to e4m3, e5m2 and e2m1 half to even, and saturate or overflow") {
  const double inf = std::numeric_limits<double>::infinity();
  std::uint64_t n = check_sampled<nbit::f8_e4m3>(
      e4m3, [](float v) { return v < 0 ? -448.0 : 448.0; },
      [](nbit::f8_e4m3 c) { return std::isnan(static_cast<float>(c)); });
  n += check_sampled<nbit::f8_e5m2>(
      e5m2, [inf](float v) { return v < 0 ? -inf : inf; },
      [](nbit::f8_e5m2 c) { return std::isnan(static_cast<float>(c)); });
  n += check_sampled<nbit::f4_e2m1>(
      e2m1, [](float v) { return v < 0 ? -6.0 : 6.0; }, [](nbit::f4_e2m1 c) { return c.bits == 0; });
  std::printf("small floats: %llu conversions from float compared with double arithmetic\n",
              static_cast<unsigned long long>(n));
  CHECK(n > 12'000'000);
}

TEST_CASE("e8m0 takes the nearest power of two, or the least one that is not below") {
  std::uint64_t wrong = 0;
  const std::uint64_t n = for_sampled_floats(9973, [&](float v) {
    if (!std::isfinite(v)) {
      wrong += nbit::e8m0::from(v).bits != 0xff || nbit::e8m0::from_ceil(v).bits != 0xff;
      return;
    }
    const std::uint8_t near = nbit::e8m0::from(v).bits, above = nbit::e8m0::from_ceil(v).bits;
    if (!(v > 0)) {
      wrong += near != 0 || above != 0;
      return;
    }
    const double x = static_cast<double>(v), got = std::ldexp(1.0, near - 127), up = std::ldexp(1.0, above - 127);
    if (near > 0) wrong += std::fabs(got - x) > std::fabs(got / 2 - x);
    if (near < 254) wrong += std::fabs(got - x) > std::fabs(got * 2 - x);
    const bool tie_above = near < 254 && std::fabs(got - x) == std::fabs(got * 2 - x);
    const bool tie_below = near > 0 && std::fabs(got - x) == std::fabs(got / 2 - x);
    if (tie_above || tie_below) wrong += near % 2 != 0;
    wrong += (up < x && above != 254) || (above > 0 && up / 2 >= x);
  });
  CHECK(wrong == 0);
  CHECK(n > 400'000);
  CHECK(nbit::e8m0::from(1.5f).bits == 128);
  CHECK(nbit::e8m0::from(3.0f).bits == 128);
}
