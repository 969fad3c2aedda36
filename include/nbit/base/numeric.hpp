// nbit/base/numeric.hpp — the one rounding rule, fused multiply-add on request, and finite checks.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_NUMERIC_HPP
#define NBIT_BASE_NUMERIC_HPP

#include <bit>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>

namespace nbit {

/// The integer nearest to v, half to even.  Needs: |v| <= 2^22 and no contraction into the sum (base/exact_begin.inl).
/// Adding 1.5 * 2^23 leaves the integer in the low fraction bits, rounded by the FPU; it vectorises everywhere.
NBIT_INLINE constexpr int round_even(float v) {
  NBIT_EXACT
  const float shifted = v + 12582912.0f;
  return static_cast<int>(std::bit_cast<std::uint32_t>(shifted) & 0x7fffffu) - 0x400000;
}

/// The integer nearest to v, half to even, then held inside [low, high]; NaN gives low.  Needs: |low|, |high| <= 2^22.
NBIT_INLINE constexpr int round_clamped(float v, int low, int high) {
  NBIT_EXACT
  const float lo = static_cast<float>(low), hi = static_cast<float>(high);
  return round_even(v > lo ? (v < hi ? v : hi) : lo);
}

/// a * b + c rounded once, on every machine.
NBIT_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// True unless v is NaN or infinite; works under -ffast-math.
NBIT_INLINE constexpr bool is_finite(float v) { return (std::bit_cast<std::uint32_t>(v) & 0x7f800000u) != 0x7f800000u; }

NBIT_INLINE constexpr float abs(float v) { return std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0x7fffffffu); }

}  // namespace nbit

#endif
