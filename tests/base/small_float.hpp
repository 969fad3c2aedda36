// tests/base/small_float.hpp — rounding to a small float in double arithmetic, an oracle of its own.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_BASE_SMALL_FLOAT_HPP
#define NBIT_TESTS_BASE_SMALL_FLOAT_HPP

#include <cmath>
#include <cstdint>
#include <cstring>

namespace nbit_test {

/// A binary float format: fraction bits, the exponent of its smallest normal number, and its largest finite number.
struct small_float {
  int fraction, least_exponent;
  double largest;
};

inline constexpr small_float binary16{10, -14, 65504.0}, brain16{7, -126, 0x1.fep127}, e4m3{3, -6, 448.0},
    e5m2{2, -14, 57344.0}, e2m1{1, 0, 6.0};

/// v rounded half to even to the format's grid, as if its exponent had no upper end.
inline double rounded_to(const small_float& f, double v) {
  if (v == 0.0 || !std::isfinite(v)) return v;
  int exponent = std::ilogb(v);
  if (exponent < f.least_exponent) exponent = f.least_exponent;
  const double unit = std::ldexp(1.0, exponent - f.fraction);
  return std::nearbyint(v / unit) * unit;  // exact: a float has 24 bits, a double 53, and unit is a power of two
}

inline float float_of(std::uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
inline std::uint32_t bits_of(float v) {
  std::uint32_t b;
  std::memcpy(&b, &v, sizeof b);
  return b;
}

/// Every float whose bits are a multiple of a prime step, plus a few near every power of two: calls check(float).
template <class Check>
std::uint64_t for_sampled_floats(std::uint32_t step, Check check) {
  std::uint64_t n = 0;
  for (std::uint64_t b = 0; b < std::uint64_t{1} << 32; b += step, ++n) check(float_of(static_cast<std::uint32_t>(b)));
  for (std::uint32_t exponent = 0; exponent < 256; ++exponent) {
    for (int shift = 8; shift < 23; ++shift) {
      for (int around = -2; around <= 2; ++around) {
        const std::uint32_t b = (exponent << 23 | 1u << shift) + static_cast<std::uint32_t>(around);
        for (const std::uint32_t sign : {0u, 0x80000000u}) check(float_of((b & 0x7fffffffu) | sign)), ++n;
      }
    }
  }
  return n;
}

}  // namespace nbit_test

#endif
