// nbit/base/float8.hpp — the 8-bit and 4-bit floats of scales and microscaling formats, with exact conversions.
//
//   f8_e4m3   1 sign, 4 exponent (bias 7), 3 fraction bits; no infinity, 0x7f and 0xff are NaN; from() saturates at 448
//   f8_e5m2   1 sign, 5 exponent (bias 15), 2 fraction bits; IEEE-like: infinities and NaN
//   f4_e2m1   1 sign, 2 exponent (bias 1), 1 fraction bit in the low 4 bits: 0 0.5 1 1.5 2 3 4 6; from() saturates at 6
//   e8m0      a power of two, 2^(bits - 127); 0xff is NaN; no sign, no zero
// All conversions from float round half to even.  Ref: OCP 8-bit Floating Point 1.0; OCP Microscaling Formats 1.0.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_FLOAT8_HPP
#define NBIT_BASE_FLOAT8_HPP

#include <bit>
#include <cstdint>

#include <nbit/base/config.hpp>

namespace nbit {
namespace detail {

/// The magnitude code of a small float with E exponent and M fraction bits nearest to |v|, half to even, unbounded
/// above.
template <int E, int M>
NBIT_INLINE constexpr std::uint32_t small_float_code(float v) {
  constexpr int bias = (1 << (E - 1)) - 1;
  constexpr std::uint32_t least_normal = std::uint32_t(127 + 1 - bias) << 23;
  const std::uint32_t a = std::bit_cast<std::uint32_t>(v) & 0x7fffffffu;
  if (a >= least_normal) {  // rebias, add just under half of the last kept bit plus that bit
    const std::uint32_t rebiased = a - (std::uint32_t(127 - bias) << 23);
    return (rebiased + ((1u << (22 - M)) - 1u) + (rebiased >> (23 - M) & 1u)) >> (23 - M);
  }
  // subnormal: adding 2^(24 - bias - M) aligns the fraction to the format's last place; the FPU rounds half to even
  constexpr std::uint32_t align = std::uint32_t(127 + 24 - bias - M) << 23;
  return std::bit_cast<std::uint32_t>(std::bit_cast<float>(a) + std::bit_cast<float>(align)) - align;
}

/// The value of a magnitude code that is finite.
template <int E, int M>
NBIT_INLINE constexpr float small_float_value(std::uint32_t code) {
  constexpr int bias = (1 << (E - 1)) - 1;
  const std::uint32_t normal = (code << (23 - M)) + (std::uint32_t(127 - bias) << 23);
  const float low = static_cast<float>(code) * std::bit_cast<float>(std::uint32_t(127 + 1 - bias - M) << 23);
  return std::bit_cast<float>(code >= 1u << M ? normal : std::bit_cast<std::uint32_t>(low));  // no branch
}

}  // namespace detail

/// e4m3fn: the 8-bit float of weights and scales. Values beyond 448, infinities too, become +-448: a scale must stay
/// finite.
struct f8_e4m3 {
  std::uint8_t bits;

  static constexpr float max = 448.0f;

  NBIT_INLINE static constexpr f8_e4m3 from_bits(std::uint8_t b) { return f8_e4m3{b}; }
  NBIT_INLINE static constexpr f8_e4m3 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = u >> 24 & 0x80u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return from_bits(static_cast<std::uint8_t>(sign | 0x7fu));
    const std::uint32_t code = detail::small_float_code<4, 3>(v);
    return from_bits(static_cast<std::uint8_t>(sign | (code < 0x7eu ? code : 0x7eu)));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    const std::uint32_t code = bits & 0x7fu;
    const float a = code == 0x7fu ? std::bit_cast<float>(0x7fc00000u) : detail::small_float_value<4, 3>(code);
    return bits & 0x80u ? -a : a;
  }
  friend NBIT_INLINE constexpr bool operator==(f8_e4m3 x, f8_e4m3 y) { return x.bits == y.bits; }
};

/// e5m2: the 8-bit float with f16's range. Values that round beyond 57344 become infinities.
struct f8_e5m2 {
  std::uint8_t bits;

  static constexpr float max = 57344.0f;

  NBIT_INLINE static constexpr f8_e5m2 from_bits(std::uint8_t b) { return f8_e5m2{b}; }
  NBIT_INLINE static constexpr f8_e5m2 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = u >> 24 & 0x80u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return from_bits(static_cast<std::uint8_t>(sign | 0x7eu));
    const std::uint32_t code = detail::small_float_code<5, 2>(v);
    return from_bits(static_cast<std::uint8_t>(sign | (code < 0x7cu ? code : 0x7cu)));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    const std::uint32_t code = bits & 0x7fu;
    const float a = code == 0x7cu  ? std::bit_cast<float>(0x7f800000u)
                    : code > 0x7cu ? std::bit_cast<float>(0x7fc00000u)
                                   : detail::small_float_value<5, 2>(code);
    return bits & 0x80u ? -a : a;
  }
  friend NBIT_INLINE constexpr bool operator==(f8_e5m2 x, f8_e5m2 y) { return x.bits == y.bits; }
};

/// e2m1: the 4-bit float of MXFP4 and NVFP4, in the low half of a byte. NaN becomes 0; large values become +-6.
struct f4_e2m1 {
  std::uint8_t bits;

  static constexpr float max = 6.0f;

  NBIT_INLINE static constexpr f4_e2m1 from_bits(std::uint8_t b) { return f4_e2m1{static_cast<std::uint8_t>(b & 15u)}; }
  NBIT_INLINE static constexpr f4_e2m1 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = u >> 28 & 8u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return from_bits(0);
    const std::uint32_t code = detail::small_float_code<2, 1>(v);
    return from_bits(static_cast<std::uint8_t>(sign | (code < 7u ? code : 7u)));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    const float a = detail::small_float_value<2, 1>(bits & 7u);
    return bits & 8u ? -a : a;
  }
  friend NBIT_INLINE constexpr bool operator==(f4_e2m1 x, f4_e2m1 y) { return x.bits == y.bits; }
};

/// e8m0: a shared power-of-two scale. Zero and negative values become the least power, 2^-127; infinities and NaN 0xff.
struct e8m0 {
  std::uint8_t bits;

  NBIT_INLINE static constexpr e8m0 from_bits(std::uint8_t b) { return e8m0{b}; }
  /// The nearest power of two; halfway (1.5 * 2^e) goes to the even exponent field.
  NBIT_INLINE static constexpr e8m0 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    if ((u & 0x7fffffffu) >= 0x7f800000u) return from_bits(0xff);
    if (u >> 31 != 0) return from_bits(0);
    // the value's distance to the next power is read off its fraction; subnormals: 2^-127 up to, but not at,
    // 1.5 * 2^-127
    if (u < 0x800000u) return from_bits(u > 0x600000u ? 1 : 0);
    const std::uint32_t field = u >> 23, fraction = u & 0x7fffffu;
    const bool up = fraction > 0x400000u || (fraction == 0x400000u && field % 2 != 0);
    return from_bits(static_cast<std::uint8_t>(up && field < 254 ? field + 1 : field));
  }
  /// The least power of two that is not below v (2^127 at most): a scale that clips nothing.
  NBIT_INLINE static constexpr e8m0 from_ceil(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    if ((u & 0x7fffffffu) >= 0x7f800000u) return from_bits(0xff);
    if (u >> 31 != 0 || u <= 0x400000u) return from_bits(0);
    const std::uint32_t field = (u >> 23) + ((u & 0x7fffffu) != 0 ? 1u : 0u);
    return from_bits(static_cast<std::uint8_t>(field < 254 ? field : 254));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    if (bits == 0xff) return std::bit_cast<float>(0x7fc00000u);
    return bits == 0 ? 0x1p-127f : std::bit_cast<float>(std::uint32_t{bits} << 23);
  }
  friend NBIT_INLINE constexpr bool operator==(e8m0 x, e8m0 y) { return x.bits == y.bits; }
};

static_assert(float(f8_e4m3::from(448.0f)) == 448.0f && f8_e4m3::from(0.001953125f).bits == 1 &&
              float(f8_e5m2::from(57344.0f)) == 57344.0f && f4_e2m1::from(5.0f).bits == 6 &&
              float(f4_e2m1::from_bits(7)) == 6.0f && e8m0::from(1.5f).bits == 128 && e8m0::from(3.0f).bits == 128 &&
              e8m0::from_ceil(1.0f).bits == 127);

}  // namespace nbit

#endif
