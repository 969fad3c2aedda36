// nbit/base/elementary.hpp — log2, exp2, powers and exp from additions and multiplications alone: the same bits on
// every machine.
//
// C libraries differ in the last bit of log and pow, and a different bit may pick another code. These are good to a few
// units in the last place of a double, which solvers do not notice; what matters is that no library is asked.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_ELEMENTARY_HPP
#define NBIT_BASE_ELEMENTARY_HPP

#include <bit>
#include <cstdint>

#include <nbit/base/config.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// The base-2 logarithm.  Needs: x normal, positive and finite.  |error| < 4e-16 (1 + |log2 x|).
constexpr double log2_exact(double x) {
  NBIT_EXACT
  const std::uint64_t u = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(u >> 52) - 1023;
  double m = std::bit_cast<double>((u & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m > 1.4142135623730951) m = m * 0.5, ++exponent;
  // log m = 2 artanh s = 2 (s + s^3/3 + s^5/5 + ...), |s| <= 0.1716: the term of s^23 is below 2^-60
  const double s = (m - 1.0) / (m + 1.0), square = s * s;
  double sum = 0.0;
  for (int k = 21; k >= 1; k -= 2) {
    const double scaled = sum * square;
    sum = scaled + 1.0 / static_cast<double>(k);
  }
  const double fraction = s * sum * 2.885390081777926815;  // 2 / ln 2
  return static_cast<double>(exponent) + fraction;
}

/// 2^y; 0 below -1022 and the largest double above 1023.  |relative error| < 1e-15.
constexpr double exp2_exact(double y) {
  NBIT_EXACT
  if (!(y >= -1022.0)) return 0.0;
  if (y >= 1024.0) return 0x1.fffffffffffffp1023;
  const int whole = static_cast<int>(y < 0.0 ? y - 0.5 : y + 0.5);
  // exp(t) for |t| <= ln 2 / 2 by its series: the term of t^16 is below 2^-60
  const double t = (y - static_cast<double>(whole)) * 0.69314718055994530942;
  double sum = 1.0;
  for (int k = 15; k >= 1; --k) {
    const double scaled = sum * t;
    sum = scaled / static_cast<double>(k) + 1.0;
  }
  const int clamped = whole > 1023 ? 1023 : whole < -1022 ? -1022 : whole;
  return sum * std::bit_cast<double>(static_cast<std::uint64_t>(clamped + 1023) << 52);
}

/// x^p.  Needs: x normal, positive and finite.
constexpr double power_exact(double x, double p) { return exp2_exact(p * log2_exact(x)); }

/// e^x in float, without a branch, so that loops over it become vectors; x is held in [-87.3, 88.3], NaN stays NaN.
/// |relative error| < 2^-22.  Ref: Cephes expf: x = n ln 2 + r in two steps, a polynomial of degree 7 for e^r.
NBIT_INLINE constexpr float exp_float(float x) {
  NBIT_EXACT
  const float low = x > -87.3f ? x : -87.3f, held = low < 88.3f ? low : 88.3f;
  const float shifted = held * 1.44269504f + 12582912.0f;  // the integer nearest lies in the low bits (round_even)
  const float n = shifted - 12582912.0f;
  const float first = held - n * 0.693359375f;  // exact: n has 8 bits, the constant 9
  const float r = first - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r;
  p = p + 1.0f;
  const std::uint32_t power = (std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3f800000u;  // 2^n
  const float value = p * std::bit_cast<float>(power);
  return x == x ? value : x;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
