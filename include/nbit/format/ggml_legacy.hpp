// nbit/format/ggml_legacy.hpp — Q4_0, Q4_1, Q5_0, Q5_1: 32 weights, one or two f16 numbers, 4 or 5 bits a code.
//
//   Q4_0  d | 16 bytes of nibbles               w = d * (q - 8)          18 bytes
//   Q4_1  d | m | 16 bytes                      w = d * q + m            20 bytes
//   Q5_0  d | 32 high bits | 16 bytes           w = d * (q - 16)         22 bytes
//   Q5_1  d | m | 32 high bits | 16 bytes       w = d * q + m            24 bytes
// Byte j of the nibbles holds the low 4 bits of code j (low nibble) and of code j + 16; high bit j belongs to code j.
// The reference picks codes with the scale before it is rounded to f16. Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_LEGACY_HPP
#define NBIT_FORMAT_GGML_LEGACY_HPP

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
#include <nbit/format/ggml_search.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// v truncated to an integer and kept to 8 bits, as a conversion to int8 does there; out of range and NaN give 0.
NBIT_INLINE int truncated(float v) {
  return nbit::abs(v) < 2147483648.0f ? static_cast<std::int8_t>(static_cast<int>(v) & 0xff) : 0;
}

/// Grid d * (code - Half): d from the signed value of largest magnitude, or a weighted search around it.
template <int Half, class Params>
NBIT_NOINLINE void encode_centred(const float* x, const float* importance, float mean_square, Params& p,
                                  std::uint8_t* codes) {
  NBIT_EXACT
  if (importance != nullptr) {
    float weight[32];
    importance_weights<32>(x, importance, mean_square, weight);
    p.d = f16::from(signed_search<32, Half>(x, weight, codes));
    return;
  }
  const float d = largest_signed<32>(x) / static_cast<float>(-Half);
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  p.d = f16::from(d);
  for (int i = 0; i < 32; ++i) {
    const int code = truncated(x[i] * inverse + (static_cast<float>(Half) + 0.5f));
    codes[i] = static_cast<std::uint8_t>(code < 2 * Half ? code : 2 * Half - 1);
  }
}

/// Grid d * code + m: the range of the group, or a weighted search inside it with m held at or below 0.
template <int High, class Params>
NBIT_NOINLINE void encode_ranged(const float* x, const float* importance, float mean_square, Params& p,
                                 std::uint8_t* codes) {
  NBIT_EXACT
  if (importance != nullptr) {
    float weight[32];
    importance_weights<32>(x, importance, mean_square, weight);
    const lowered_grid grid = lowered_search<32, High, 37, false>(x, weight, codes, -0.9f, 0.05f);
    p.d = f16::from(grid.scale);
    p.m = f16::from(-grid.lowered);
    return;
  }
  float low = x[0], top = x[0];
  for (int i = 1; i < 32; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > top) top = x[i];
  }
  const float d = (top - low) / static_cast<float>(High);
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  p.d = f16::from(d);
  p.m = f16::from(low);
  for (int i = 0; i < 32; ++i) {
    const int code = truncated((x[i] - low) * inverse + 0.5f);
    codes[i] = static_cast<std::uint8_t>(code < High ? code : High);
  }
}

NBIT_INLINE void load_split_nibbles(const std::byte* from, std::uint8_t* codes) {
  auto low = byte_run<16>::load(from), high = low;
  for (int j = 0; j < 16; ++j) low.v[j] = static_cast<std::uint8_t>(low.v[j] & 15u);
  for (int j = 0; j < 16; ++j) high.v[j] = static_cast<std::uint8_t>(high.v[j] >> 4);
  low.store(codes), high.store(codes + 16);
}

inline void store_split_nibbles(std::byte* to, const std::uint8_t* codes) {
  const auto low = byte_run<16>::load(codes), high = byte_run<16>::load(codes + 16);
  byte_run<16> both;
  for (int j = 0; j < 16; ++j) both.v[j] = static_cast<std::uint8_t>((low.v[j] & 15u) | (high.v[j] & 15u) << 4);
  both.store(to);
}

NBIT_INLINE void load_fifth_bits(const std::byte* from, std::uint8_t* codes) {
  load_split_nibbles(from + 4, codes);
  for (int j = 0; j < 32; j += 8) {  // bit i of a byte to bit i of byte i, and from there to bit 4
    const std::uint64_t spread =
        std::to_integer<std::uint64_t>(from[j / 8]) * 0x0101010101010101u & 0x8040201008040201u;
    const std::uint64_t fifth = ((spread + 0x7f7f7f7f7f7f7f7fu) & 0x8080808080808080u) >> 3;
    std::byte* const eight = reinterpret_cast<std::byte*>(codes + j);
    store_u64(eight, load_u64(eight) | fifth);
  }
}

/// Codes 16 k to 16 k + 15 of 32 fifth bits and the nibbles behind them.
NBIT_HOST_INLINE code_bytes with_fifth_bits(const std::byte* from, int k) {
  const std::uint64_t bits = load_u16(from + 2 * k);
  // bit i of a byte to bit i of byte i, and from there to bit 4
  const std::uint64_t low = (bits & 255u) * 0x0101010101010101u, high = (bits >> 8) * 0x0101010101010101u;
  const code_bytes spread = code_bytes{low, high} & 0x8040201008040201u;
  return bits_at(from + 4, 4 * k, 15) | ((spread + 0x7f7f7f7f7f7f7f7fu) & 0x8080808080808080u) >> 3;
}

inline void store_fifth_bits(std::byte* to, const std::uint8_t* codes) {
  for (int j = 0; j < 32; j += 8) {  // the product moves bit 4 of byte i to bit 56 + i
    const std::uint64_t eight = load_u64(reinterpret_cast<const std::byte*>(codes + j)) >> 4 & 0x0101010101010101u;
    to[j / 8] = static_cast<std::byte>(eight * 0x0102040810204080u >> 56);
  }
  store_split_nibbles(to + 4, codes);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// What Q4_1 and Q5_1 store besides the codes: the step and the smallest value.
struct step_and_minimum {
  f16 d, m;
};

namespace detail {

/// What Q4_0 (Half = 8) and Q5_0 (Half = 16) share: all but where the codes lie.
template <class F, int Half>
struct centred_levels : block_of_levels<F> {
  static constexpr int group = 32, run = 32;

  NBIT_HOST_INLINE static int code(float v, const block_scale& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -Half, Half - 1) + Half;
  }
  /// One whole group without bounds; q may be null.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float row_mean_square, block_scale& p,
                                            std::uint8_t* c) {
    ggml_block::encode_centred<Half>(x, q, row_mean_square, p, c);
  }
  NBIT_INLINE static block_scale load_params(const std::byte* from) { return {load_f16(from)}; }
  NBIT_INLINE static constexpr int level(int c) { return c - Half; }
};

/// What Q4_1 (High = 15) and Q5_1 (High = 31) share.
template <class F, int High>
struct levels_above_minimum : block_of_levels<F, step_and_minimum> {
  static constexpr int group = 32, run = 32;
  static constexpr bool symmetric = false;
  using params = step_and_minimum;

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), static_cast<float>(p.m), 0, High);
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    NBIT_EXACT
    return static_cast<float>(c) * static_cast<float>(p.d) + static_cast<float>(p.m);
  }
  /// One whole group without bounds; q may be null.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float row_mean_square, params& p,
                                            std::uint8_t* c) {
    ggml_block::encode_ranged<High>(x, q, row_mean_square, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from), load_f16(from + 2)}; }
  NBIT_INLINE static constexpr int level(int c) { return c; }
  NBIT_INLINE static float offset(const params& p, int) { return static_cast<float>(p.m); }
};

}  // namespace detail

/// ggml's Q4_0: 4.5 bits a weight, symmetric.
struct q4_0 : detail::centred_levels<q4_0, 8> {
  static constexpr int bits = 4, ggml_type = 2;
  static constexpr std::size_t block_bytes = 18;
  static constexpr const char* name = "Q4_0";
  static constexpr std::size_t nibbles_at = 2;

  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::bits_at(block + 2, 4 * k, 15);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_split_nibbles(from + 2, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_split_nibbles(to + 2, codes);
  }
};

/// ggml's Q4_1: 5 bits a weight, scale and smallest value.
struct q4_1 : detail::levels_above_minimum<q4_1, 15> {
  static constexpr int bits = 4, ggml_type = 3;
  static constexpr std::size_t block_bytes = 20;
  static constexpr const char* name = "Q4_1";
  static constexpr std::size_t nibbles_at = 4;

  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::bits_at(block + 4, 4 * k, 15);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_split_nibbles(from + 4, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    store_f16(to + 2, p.m);
    ggml_block::store_split_nibbles(to + 4, codes);
  }
};

/// ggml's Q5_0: 5.5 bits a weight, symmetric.
struct q5_0 : detail::centred_levels<q5_0, 16> {
  static constexpr int bits = 5, ggml_type = 6;
  static constexpr std::size_t block_bytes = 22;
  static constexpr const char* name = "Q5_0";
  static constexpr std::size_t fifth_bits_at = 2, nibbles_at = 6;

  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::with_fifth_bits(block + 2, k);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_fifth_bits(from + 2, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_fifth_bits(to + 2, codes);
  }
};

/// ggml's Q5_1: 6 bits a weight, scale and smallest value.
struct q5_1 : detail::levels_above_minimum<q5_1, 31> {
  static constexpr int bits = 5, ggml_type = 7;
  static constexpr std::size_t block_bytes = 24;
  static constexpr const char* name = "Q5_1";
  static constexpr std::size_t fifth_bits_at = 4, nibbles_at = 8;

  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::with_fifth_bits(block + 4, k);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_fifth_bits(from + 4, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    store_f16(to + 2, p.m);
    ggml_block::store_fifth_bits(to + 4, codes);
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
