// tests/base/float16_test.cpp — f16 and bf16: every code, and sampled floats against double arithmetic.
// SPDX-License-Identifier: MIT
#include <nbit/base/float16.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>

#include <catch2/catch_test_macros.hpp>

#include "base/small_float.hpp"

using namespace nbit_test;

static_assert(nbit::f16::from(1.0f).bits == 0x3c00 && float(nbit::f16::from_bits(0x3c01)) == 1.0009765625f);
static_assert(nbit::f16::from(65519.99f).bits == 0x7bff && nbit::f16::from(65520.0f).bits == 0x7c00);
static_assert(nbit::bf16::from(1.0f).bits == 0x3f80 && nbit::f16{}.bits == 0);

namespace {

// The value of a 16-bit code from its fields, in double.
double value_of(std::uint32_t code, int fraction, int bias) {
  const std::uint32_t magnitude = code & 0x7fffu, field = magnitude >> fraction;
  const double significand =
      static_cast<double>(magnitude & ((1u << fraction) - 1u)) + (field != 0 ? std::ldexp(1.0, fraction) : 0.0);
  const double v = std::ldexp(significand, (field != 0 ? static_cast<int>(field) : 1) - bias - fraction);
  return code & 0x8000u ? -v : v;
}

template <class F>
void check_all_codes(int fraction, int bias) {
  std::uint32_t wrong = 0, nan = 0, infinite = 0;
  const std::uint32_t top = 0x7fffu >> fraction;
  for (std::uint32_t code = 0; code < 65536; ++code) {
    const float v = static_cast<float>(F::from_bits(static_cast<std::uint16_t>(code)));
    const std::uint32_t field = (code & 0x7fffu) >> fraction, rest = code & ((1u << fraction) - 1u);
    const std::uint32_t back = F::from(v).bits;
    if (field == top && rest != 0) {
      ++nan;
      const std::uint32_t quiet = code | 1u << (fraction - 1);
      wrong += v == v || (back != quiet) || (bits_of(v) >> 31) != code >> 15;
    } else if (field == top) {
      ++infinite;
      wrong += !(std::isinf(v) && std::signbit(v) == (code >> 15 != 0)) || back != code;
    } else {
      wrong += static_cast<double>(v) != value_of(code, fraction, bias) || std::signbit(v) != (code >> 15 != 0) ||
               back != code;
    }
  }
  CHECK(wrong == 0);
  CHECK(infinite == 2);
  CHECK(nan == 2 * ((1u << fraction) - 1));
}

template <class F>
std::uint64_t check_sampled(const small_float& f, std::uint32_t infinity) {
  std::uint64_t wrong = 0;
  float first_wrong = 0;
  const std::uint64_t n = for_sampled_floats(977, [&](float v) {
    const F code = F::from(v);
    bool good;
    if (std::isnan(v)) {
      good = std::isnan(static_cast<float>(code));
    } else {
      const double want = rounded_to(f, static_cast<double>(v));
      good = std::fabs(want) > f.largest ? code.bits == (infinity | (std::signbit(v) ? 0x8000u : 0u))
                                         : static_cast<double>(static_cast<float>(code)) == want &&
                                               std::signbit(static_cast<float>(code)) == std::signbit(v);
    }
    if (!good && wrong++ == 0) first_wrong = v;
  });
  INFO("first wrong input: " << first_wrong);
  CHECK(wrong == 0);
  return n;
}

}  // namespace

TEST_CASE("All 65,536 codes of f16 and of bf16 become the right float and come back") {
  check_all_codes<nbit::f16>(10, 15);
  check_all_codes<nbit::bf16>(7, 127);
}

TEST_CASE("Floats sampled over the whole range round to f16 and bf16 half to even") {
  const std::uint64_t n = check_sampled<nbit::f16>(binary16, 0x7c00) + check_sampled<nbit::bf16>(brain16, 0x7f80);
  std::printf("f16 and bf16: %llu conversions from float compared with double arithmetic\n",
              static_cast<unsigned long long>(n));
  CHECK(n > 8'000'000);
}

TEST_CASE("f16 and bf16 keep NaN a NaN and overflow to infinity") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  CHECK(std::isnan(static_cast<float>(nbit::f16::from(nan))));
  CHECK(std::isnan(static_cast<float>(nbit::bf16::from(float_of(0x7f800001u)))));
  CHECK(std::isnan(static_cast<float>(nbit::f16::from(float_of(0xff800001u)))));
  CHECK(nbit::f16::from(inf).bits == 0x7c00);
  CHECK(nbit::f16::from(-1e6f).bits == 0xfc00);
  CHECK(nbit::bf16::from(std::numeric_limits<float>::max()).bits == 0x7f80);
}
