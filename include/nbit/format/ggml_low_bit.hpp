// nbit/format/ggml_low_bit.hpp — Q1_0 and Q2_0: one or two bits a weight and one f16 scale for each group.
//
//   Q1_0  f16 d | 16 bytes: 128 bits, lowest first                w = bit ? d : -d         18 bytes
//   Q2_0  f16 d | 16 bytes: 64 codes of 2 bits, lowest first      w = d * (q - 1)          18 bytes
// Q1_0's scale is the mean magnitude, Q2_0's the largest one; Q2_0's reference never writes code 3 (2 d).
// Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_LOW_BIT_HPP
#define NBIT_FORMAT_GGML_LOW_BIT_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_scaled.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

NBIT_NOINLINE inline void encode_q1_0(const float* x, f16& d, std::uint8_t* codes) {
  float sum = 0.0f;
  for (int i = 0; i < 128; ++i) sum += nbit::abs(x[i]);
  d = f16::from(sum / 128.0f);
  for (int i = 0; i < 128; ++i) codes[i] = x[i] >= 0.0f ? 1 : 0;
}

NBIT_NOINLINE inline void encode_q2_0(const float* x, f16& d, std::uint8_t* codes) {
  const float size = nbit::abs(largest_signed<64>(x)), inverse = size > 0.0f ? 1.0f / size : 0.0f;
  d = f16::from(size);
  for (int i = 0; i < 64; ++i) {
    // Infinite or NaN, where the inverse overflowed, is the lowest code: the reference's conversion gives INT_MIN.
    const float v = x[i] * inverse, a = nbit::abs(v);
    codes[i] = static_cast<std::uint8_t>(a < 0.5f ? 1 : (v > 0.0f && a < 1.5f ? 2 : 0));
  }
}

/// Codes of Bits bits, 8 / Bits to a byte, lowest bits first.
template <int N, int Bits>
NBIT_HD void load_small_codes(const std::byte* from, std::uint8_t* codes) {
  constexpr int per_byte = 8 / Bits;
  if constexpr (Bits == 2) {  // the four codes of a byte meet the low bits of four bytes
    for (int j = 0; j < N / 4; ++j) {
      const std::uint32_t b = std::to_integer<std::uint32_t>(from[j]);
      store_u32(reinterpret_cast<std::byte*>(codes + 4 * j), (b | b << 6 | b << 12 | b << 18) & 0x03030303u);
    }
  } else {
    for (int i = 0; i < N; ++i)
      codes[i] = static_cast<std::uint8_t>(std::to_integer<unsigned>(from[i / per_byte]) >> (Bits * (i % per_byte)) &
                                           ((1u << Bits) - 1u));
  }
}
template <int N, int Bits>
void store_small_codes(std::byte* to, const std::uint8_t* codes) {
  constexpr int per_byte = 8 / Bits;
  for (int j = 0; j < N / per_byte; ++j) {
    unsigned b = 0;
    for (int k = 0; k < per_byte; ++k) b |= (codes[j * per_byte + k] & ((1u << Bits) - 1u)) << (Bits * k);
    to[j] = static_cast<std::byte>(b);
  }
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q1_0: 1.125 bits a weight, signs and one magnitude.
struct q1_0 : detail::block_of_levels<q1_0> {
  static constexpr int bits = 1, group = 128, run = 128, ggml_type = 41;
  static constexpr std::size_t block_bytes = 18;
  static constexpr const char* name = "Q1_0";

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    return (static_cast<float>(p.d) >= 0.0f) == (v >= 0.0f) ? 1 : 0;
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q1_0(x, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    const std::uint64_t sixteen = load_u16(block + 2 + 2 * k);
    // bit i of a byte to bit i of byte i, and down to bit 0
    const std::uint64_t low = (sixteen & 255u) * 0x0101010101010101u, high = (sixteen >> 8) * 0x0101010101010101u;
    const ggml_block::code_bytes spread = ggml_block::code_bytes{low, high} & 0x8040201008040201u;
    return ((spread + 0x7f7f7f7f7f7f7f7fu) & 0x8080808080808080u) >> 7;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_small_codes<128, 1>(from + 2, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_small_codes<128, 1>(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return 2 * c - 1; }
};

/// ggml's Q2_0: 2.25 bits a weight, codes mean -d, 0, d, 2 d.
struct q2_0 : detail::block_of_levels<q2_0> {
  static constexpr int bits = 2, group = 64, run = 64, ggml_type = 42;
  static constexpr std::size_t block_bytes = 18;
  static constexpr const char* name = "Q2_0";

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -1, 2) + 1;
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q2_0(x, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    const std::uint64_t four = load_u32(block + 2 + 4 * k), low = four & 0xffffu, high = four >> 16;
    // the four codes of a byte meet the low bits of four bytes
    const ggml_block::code_bytes two = {(low & 255u) | low >> 8 << 32, (high & 255u) | high >> 8 << 32};
    return (two | two << 6 | two << 12 | two << 18) & 0x0303030303030303u;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_small_codes<64, 2>(from + 2, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_small_codes<64, 2>(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 1; }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
