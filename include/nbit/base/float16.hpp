// nbit/base/float16.hpp — f16 (IEEE binary16) and bf16 as 16-bit structs with exact conversions.
//
// Compilers disagree about _Float16 and __bf16 (missing in clang 14, slow library calls on baseline x86), so these are
// plain bits and integer arithmetic: constexpr, the same everywhere, and vectorised by the ISA regions where it
// matters.
// Ref: IEEE 754-2019 section 3.6.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_FLOAT16_HPP
#define NBIT_BASE_FLOAT16_HPP

#include <bit>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>

namespace nbit {

/// IEEE binary16: 1 sign, 5 exponent, 10 fraction bits. Conversion from float rounds half to even; NaN stays NaN.
struct f16 {
  std::uint16_t
      bits;  // no initialiser: implicit constructors of whatever holds one stay trivial, so they are no symbols

  static constexpr float max = 65504.0f;

  NBIT_INLINE static constexpr f16 from_bits(std::uint16_t b) { return f16{b}; }
  NBIT_INLINE static constexpr f16 from(float v) {
#if defined(__CUDA_ARCH__)
    if (!std::is_constant_evaluated() && v == v) {
      std::uint16_t h;
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(v));
      return from_bits(h);
    }
#endif
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    const std::uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    std::uint32_t h = 0;
    if (a > 0x7f800000u) {
      h = 0x7e00u | ((a >> 13) & 0x3ffu);  // NaN: quiet, upper payload kept
    } else if (a >= 0x477ff000u) {
      h = 0x7c00u;  // 65520 and above round to infinity
    } else if (a >= 0x38800000u) {
      // normal: rebias the exponent by 112, add just under half of the last kept bit plus that bit: half to even
      h = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
    } else {
      // subnormal: adding 0.5 aligns the fraction so that the unit in the last place is 2^-24; the FPU rounds
      // half to even
      h = std::bit_cast<std::uint32_t>(std::bit_cast<float>(a) + 0.5f) - 0x3f000000u;
    }
    return from_bits(static_cast<std::uint16_t>(sign | h));
  }
  NBIT_INLINE constexpr explicit operator float() const {
#if defined(__CUDA_ARCH__)  // a NaN loses its payload
    if (!std::is_constant_evaluated()) {
      float v;
      asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(bits));
      return v;
    }
#endif
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16, a = bits & 0x7fffu;
    std::uint32_t u = 0;
    if (a - 0x400u < 0x7800u) [[likely]] {  // normal: one compare on the path that every scale takes
      u = (a << 13) + 0x38000000u;
    } else if (a < 0x400u) {
      // subnormal: a * 2^-24 is exact in float
      u = std::bit_cast<std::uint32_t>(static_cast<float>(a) * 0x1p-24f);
    } else {
      u = 0x7f800000u | (a & 0x3ffu) << 13;
      if ((a & 0x3ffu) != 0) u |= 0x400000u;
    }
    return std::bit_cast<float>(sign | u);
  }
  friend NBIT_INLINE constexpr bool operator==(f16 x, f16 y) { return x.bits == y.bits; }
};

/// bfloat16: the upper half of a float. Conversion from float rounds half to even; NaN stays NaN.
struct bf16 {
  std::uint16_t bits;

  static constexpr float max = 0x1.fep127f;

  NBIT_INLINE static constexpr bf16 from_bits(std::uint16_t b) { return bf16{b}; }
  NBIT_INLINE static constexpr bf16 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    if ((u & 0x7fffffffu) > 0x7f800000u) return from_bits(static_cast<std::uint16_t>((u >> 16) | 0x40u));
    return from_bits(static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  friend NBIT_INLINE constexpr bool operator==(bf16 x, bf16 y) { return x.bits == y.bits; }
};

}  // namespace nbit

#endif
