// nbit/format/ggml_q4_k.hpp — Q4_K and Q5_K: 256 weights in 8 runs of 32, each with a 6-bit scale and a 6-bit minimum.
//
//   Q4_K  f16 d | f16 dmin | 12 bytes: 8 scales, 8 minima | 128 bytes of nibbles                   144 bytes
//   Q5_K  f16 d | f16 dmin | 12 bytes                     | 32 bytes of fifth bits | 128 bytes     176 bytes
//   w = (d * scale) * q - (dmin * min)
// Runs 0-3 keep scale and minimum in the low 6 bits of bytes j and j + 4; runs 4-7 keep their low nibbles in byte
// j + 4 and their upper 2 bits above the fields of run j - 4. Nibbles: 32 bytes for each 64 codes, low nibble = the
// first 32 of them. Fifth bits: bit k of byte j belongs to code 32 k + j. Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_Q4_K_HPP
#define NBIT_FORMAT_GGML_Q4_K_HPP

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

/// What Q4_K and Q5_K store for 256 weights besides the codes.
struct k_scales_and_minima {
  f16 d, dmin;
  std::uint8_t packed[12];

  /// The 6-bit scale and minimum of run s.  Needs: 0 <= s < 8.
  NBIT_INLINE constexpr int scale_of(int s) const {
    return s < 4 ? packed[s] & 63 : (packed[s + 4] & 15) | (packed[s - 4] >> 6) << 4;
  }
  NBIT_INLINE constexpr int minimum_of(int s) const {
    return s < 4 ? packed[s + 4] & 63 : packed[s + 4] >> 4 | (packed[s] >> 6) << 4;
  }
  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scale_of(s)); }
  NBIT_INLINE float lowered(int s) const { return static_cast<float>(dmin) * static_cast<float>(minimum_of(s)); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

inline void pack_scales_and_minima(const std::uint8_t* scales, const std::uint8_t* minima, std::uint8_t* packed) {
  for (int s = 0; s < 4; ++s) {
    packed[s] = static_cast<std::uint8_t>((scales[s] & 63) | (scales[s + 4] >> 4 & 3) << 6);
    packed[s + 4] = static_cast<std::uint8_t>((minima[s] & 63) | (minima[s + 4] >> 4 & 3) << 6);
    packed[s + 8] = static_cast<std::uint8_t>((scales[s + 4] & 15) | (minima[s + 4] & 15) << 4);
  }
}

/// Scales or minima of 8 runs as 0 .. 63 times a step; returns the step, not yet rounded to f16.
inline float six_bits_by_maximum(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  float top = 0.0f;
  for (int s = 0; s < 8; ++s) top = x[s] > top ? x[s] : top;
  const float inverse = top > 0.0f ? 63.0f / top : 0.0f;
  for (int s = 0; s < 8; ++s) {
    const int low_byte = round_even(inverse * x[s]) & 255;
    codes[s] = static_cast<std::uint8_t>(low_byte < 63 ? low_byte : 63);
  }
  return top / 63.0f;
}

/// Codes of 8 runs of 32 under the stored parameters; a run whose scale is 0 keeps the codes it has.
template <int High>
void recode_lowered(const float* x, const k_scales_and_minima& p, std::uint8_t* codes) {
  NBIT_EXACT
  for (int s = 0; s < 8; ++s) {
    const float d = p.step(s), lowered = p.lowered(s);
    if (d == 0.0f) continue;
    for (int i = 32 * s; i < 32 * s + 32; ++i)
      codes[i] = static_cast<std::uint8_t>(level_of((x[i] + lowered) / d, 0, High));
  }
}

/// Q4_K for High = 15, Q5_K for High = 31.
template <int High>
NBIT_NOINLINE void encode_scales_and_minima(const float* x, const float* importance, k_scales_and_minima& p,
                                            std::uint8_t* codes) {
  NBIT_EXACT
  constexpr int steps = High == 15 ? 21 : 16;
  constexpr float first = High == 15 ? -1.0f : -0.5f;
  float weight[32], sums[8], scales[8], minima[8];
  std::uint8_t six_scales[8], six_minima[8];
  const float variance = importance != nullptr ? 2.0f * sum_of_squares<256>(x) / 256.0f : 0.0f;
  for (int s = 0; s < 8; ++s) {
    const float* run = x + 32 * s;
    lowered_grid grid;
    if (importance != nullptr) {
      importance_weights<32>(run, importance + 32 * s, variance, weight);
      sums[s] = sum_of<32>(weight);
      grid = lowered_search<32, High, 37, false>(run, weight, codes + 32 * s, -0.9f, 0.05f);
    } else {
      const float root_mean = __builtin_sqrtf(sum_of_squares<32>(run) / 32.0f);
      for (int i = 0; i < 32; ++i) weight[i] = root_mean + nbit::abs(run[i]);
      grid = lowered_search<32, High, steps, false>(run, weight, codes + 32 * s, first, 0.1f);
    }
    scales[s] = grid.scale, minima[s] = grid.lowered;
  }
  if (importance != nullptr) {
    p.d = f16::from(positive_search<8, 63>(scales, sums, six_scales));
    p.dmin = f16::from(positive_search<8, 63>(minima, sums, six_minima));
  } else {
    p.d = f16::from(six_bits_by_maximum(scales, six_scales));
    p.dmin = f16::from(six_bits_by_maximum(minima, six_minima));
  }
  pack_scales_and_minima(six_scales, six_minima, p.packed);
  recode_lowered<High>(x, p, codes);
}

NBIT_HD inline k_scales_and_minima load_scales_and_minima(const std::byte* from) {
  k_scales_and_minima p;
  p.d = load_f16(from), p.dmin = load_f16(from + 2);
  for (int i = 0; i < 12; ++i) p.packed[i] = std::to_integer<std::uint8_t>(from[4 + i]);
  return p;
}
inline void store_scales_and_minima(std::byte* to, const k_scales_and_minima& p) {
  store_f16(to, p.d), store_f16(to + 2, p.dmin);
  for (int i = 0; i < 12; ++i) to[4 + i] = static_cast<std::byte>(p.packed[i]);
}

/// 256 codes' low nibbles: byte j of 32 holds codes j and j + 32 of each 64.
NBIT_INLINE void load_nibbles_by_64(const std::byte* from, std::uint8_t* codes) {
  for (int k = 0; k < 4; ++k) {
    auto low = byte_run<32>::load(from + 32 * k), high = low;
    for (int j = 0; j < 32; ++j) low.v[j] = static_cast<std::uint8_t>(low.v[j] & 15u);
    for (int j = 0; j < 32; ++j) high.v[j] = static_cast<std::uint8_t>(high.v[j] >> 4);
    low.store(codes + 64 * k), high.store(codes + 64 * k + 32);
  }
}
/// Codes 16 k to 16 k + 15 of them.
NBIT_HOST_INLINE code_bytes nibbles_by_64_at(const std::byte* from, int k) {
  return bits_at(from + 32 * (k / 4) + 16 * (k % 2), k % 4 / 2 * 4, 15);
}
inline void store_nibbles_by_64(std::byte* to, const std::uint8_t* codes) {
  for (int k = 0; k < 4; ++k) {
    const auto low = byte_run<32>::load(codes + 64 * k), high = byte_run<32>::load(codes + 64 * k + 32);
    byte_run<32> both;
    for (int j = 0; j < 32; ++j) both.v[j] = static_cast<std::uint8_t>((low.v[j] & 15u) | (high.v[j] & 15u) << 4);
    both.store(to + 32 * k);
  }
}
/// Bit k of byte j is bit `Bit` of code 32 k + j.
template <int Bit>
NBIT_INLINE void load_bit_plane(const std::byte* from, std::uint8_t* codes) {
  auto plane = byte_run<32>::load(from);
  for (int k = 0; k < 8; ++k) {
    auto c = byte_run<32>::load(codes + 32 * k);
    for (int j = 0; j < 32; ++j) c.v[j] = static_cast<std::uint8_t>(c.v[j] | (plane.v[j] & 1u) << Bit);
    for (int j = 0; j < 32; ++j) plane.v[j] = static_cast<std::uint8_t>(plane.v[j] >> 1);
    c.store(codes + 32 * k);
  }
}
template <int Bit>
void store_bit_plane(std::byte* to, const std::uint8_t* codes) {
  byte_run<32> plane{};
  for (int k = 0; k < 8; ++k) {
    const auto c = byte_run<32>::load(codes + 32 * k);
    for (int j = 0; j < 32; ++j) plane.v[j] = static_cast<std::uint8_t>(plane.v[j] | (c.v[j] >> Bit & 1u) << k);
  }
  plane.store(to);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

namespace detail {

/// What Q4_K (High = 15) and Q5_K (High = 31) share: all but where the codes lie.
template <class F, int High>
struct eight_runs : runs_above_minima<F, k_scales_and_minima, 32, High> {
  using params = k_scales_and_minima;

  /// One whole group without bounds; q may be null.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_scales_and_minima<High>(x, q, p, c);
  }
  /// Pieces of the reference encoder, for faster ones: runs' scales or minima by their maximum, and stored numbers.
  NBIT_HOST_INLINE static float scales_by_maximum(const float* x, std::uint8_t* c) {
    return ggml_block::six_bits_by_maximum(x, c);
  }
  NBIT_HOST_INLINE static void pack_scales(params& p, const std::uint8_t* scales, const std::uint8_t* minima) {
    ggml_block::pack_scales_and_minima(scales, minima, p.packed);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_scales_and_minima(from); }
  NBIT_INLINE static ggml_block::block_runs runs_of(const std::byte* block) {
    const std::uint64_t first = load_u32(block + 4), second = load_u32(block + 8), last = load_u32(block + 12);
    return {static_cast<float>(load_f16(block)),
            -static_cast<float>(load_f16(block + 2)),
            {(first & 0x3f3f3f3fu) | ((last & 0x0f0f0f0fu) | (first >> 2 & 0x30303030u)) << 32, 0},
            {(second & 0x3f3f3f3fu) | ((last >> 4 & 0x0f0f0f0fu) | (second >> 2 & 0x30303030u)) << 32, 0}};
  }
};

}  // namespace detail

/// ggml's Q4_K: 4.5 bits a weight.
struct q4_k : detail::eight_runs<q4_k, 15> {
  static constexpr int bits = 4, ggml_type = 12;
  static constexpr std::size_t block_bytes = 144;
  static constexpr const char* name = "Q4_K";

  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::nibbles_by_64_at(block + 16, k);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_nibbles_by_64(from + 16, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_scales_and_minima(to, p);
    ggml_block::store_nibbles_by_64(to + 16, codes);
  }
};

/// ggml's Q5_K: 5.5 bits a weight.
struct q5_k : detail::eight_runs<q5_k, 31> {
  static constexpr int bits = 5, ggml_type = 13;
  static constexpr std::size_t block_bytes = 176;
  static constexpr const char* name = "Q5_K";

  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::nibbles_by_64_at(block + 48, k) | ggml_block::bits_at(block + 16 + 16 * (k % 2), k / 2, 1) << 4;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_nibbles_by_64(from + 48, codes);
    ggml_block::load_bit_plane<4>(from + 16, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_scales_and_minima(to, p);
    ggml_block::store_bit_plane<4>(to + 16, codes);
    ggml_block::store_nibbles_by_64(to + 48, codes);
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
