// nbit/format/ggml_q3_k.hpp — Q3_K: 256 weights in 16 runs of 16, each with a 6-bit signed scale.
//
//   32 bytes of third bits | 64 bytes of low 2 bits | 12 bytes: 16 scales | f16 d                     110 bytes
//   w = (d * (scale - 32)) * (q - 4)
// Third bits: bit k of byte j belongs to code 32 k + j. Low bits as in Q2_K. Scales: low nibbles of runs 0-7 in the low
// nibbles of bytes 0-7, of runs 8-15 in the high nibbles; upper 2 bits of run s in byte 8 + s % 4 at bit 2 (s / 4).
// Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_Q3_K_HPP
#define NBIT_FORMAT_GGML_Q3_K_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_scaled.hpp>
#include <nbit/format/ggml_search.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// What Q3_K stores for 256 weights besides the codes.
struct q3_k_params {
  std::uint8_t packed[12];
  f16 d;

  /// The signed scale of run s, -32 .. 31.  Needs: 0 <= s < 16.
  NBIT_INLINE constexpr int scale_of(int s) const {
    const int low = s < 8 ? packed[s] & 15 : packed[s - 8] >> 4;
    return (low | (packed[8 + (s & 3)] >> (2 * (s >> 2)) & 3) << 4) - 32;
  }
  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scale_of(s)); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// Scales of 16 runs as -32 .. 31 times a step, plus 32; returns the step, not yet rounded to f16.
inline float q3_k_scales_by_maximum(const float* scales, std::uint8_t* six) {
  NBIT_EXACT
  const float largest = largest_signed<16>(scales), inverse = -32.0f / largest;
  for (int s = 0; s < 16; ++s) {
    // The reference narrows to 8 bits before it clamps, and leaves all scale bits 0 when every run is 0.
    const int l = static_cast<std::int8_t>(round_even(inverse * scales[s]) & 255);
    six[s] = largest != 0.0f ? static_cast<std::uint8_t>(held(l, -32, 31) + 32) : std::uint8_t{0};
  }
  return largest != 0.0f ? 1.0f / inverse : 0.0f;
}
inline void pack_q3_k_scales(const std::uint8_t* six, std::uint8_t* packed) {
  for (int s = 0; s < 8; ++s) packed[s] = static_cast<std::uint8_t>((six[s] & 15) | (six[s + 8] & 15) << 4);
  for (int s = 0; s < 4; ++s)
    packed[8 + s] = static_cast<std::uint8_t>((six[s] >> 4 & 3) | (six[s + 4] >> 4 & 3) << 2 |
                                              (six[s + 8] >> 4 & 3) << 4 | (six[s + 12] >> 4 & 3) << 6);
}

NBIT_NOINLINE inline void encode_q3_k(const float* x, const float* importance, q3_k_params& p, std::uint8_t* codes) {
  NBIT_EXACT
  float scales[16];
  std::uint8_t six[16];  // scale + 32
  if (importance != nullptr) {
    float weight[16], sums[16];
    const float variance = 2.0f * sum_of_squares<256>(x) / 256.0f;
    for (int s = 0; s < 16; ++s) {
      importance_weights<16>(x + 16 * s, importance + 16 * s, variance, weight);
      sums[s] = sum_of<16>(weight);
      scales[s] = signed_search<16, 4>(x + 16 * s, weight, codes + 16 * s);
    }
    p.d = f16::from(signed_search<16, 32>(scales, sums, six));
  } else {
    for (int s = 0; s < 16; ++s) scales[s] = signed_descent<16, 4>(x + 16 * s, codes + 16 * s);
    p.d = f16::from(q3_k_scales_by_maximum(scales, six));
  }
  pack_q3_k_scales(six, p.packed);
  for (int s = 0; s < 16; ++s) {
    const float d = p.step(s);
    if (d == 0.0f) continue;
    for (int i = 16 * s; i < 16 * s + 16; ++i) codes[i] = static_cast<std::uint8_t>(level_of(x[i] / d, -4, 3) + 4);
  }
}

NBIT_HD inline q3_k_params load_q3_k_params(const std::byte* from) {
  q3_k_params p;
  for (int i = 0; i < 12; ++i) p.packed[i] = std::to_integer<std::uint8_t>(from[96 + i]);
  p.d = load_f16(from + 108);
  return p;
}
inline void store_q3_k_params(std::byte* to, const q3_k_params& p) {
  for (int i = 0; i < 12; ++i) to[96 + i] = static_cast<std::byte>(p.packed[i]);
  store_f16(to + 108, p.d);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q3_K: 3.4375 bits a weight, symmetric.
struct q3_k : detail::runs_of_levels<q3_k, q3_k_params, 16> {
  static constexpr int bits = 3, ggml_type = 11;
  static constexpr std::size_t block_bytes = 110;
  static constexpr const char* name = "Q3_K";

  NBIT_HOST_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_level(v, p.step(run_at(i)), 0.0f, -4, 3) + 4;
  }
  /// One whole group without bounds; q may be null.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q3_k(x, q, p, c);
  }
  /// Pieces of the reference encoder, for faster ones: runs' scales by their maximum, and stored numbers.
  NBIT_HOST_INLINE static float scales_by_maximum(const float* x, std::uint8_t* c) {
    return ggml_block::q3_k_scales_by_maximum(x, c);
  }
  NBIT_HOST_INLINE static void pack_scales(params& p, const std::uint8_t* scales) {
    ggml_block::pack_q3_k_scales(scales, p.packed);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_q3_k_params(from); }
  NBIT_INLINE static ggml_block::block_runs runs_of(const std::byte* block) {
    const std::uint64_t low = load_u64(block + 96), upper = load_u32(block + 104), nibbles = 0x0f0f0f0f0f0f0f0fu;
    // runs 4 k .. 4 k + 3 have bits 2 k of the four upper bytes
    const std::uint64_t first = (upper & 0x03030303u) | (upper >> 2 & 0x03030303u) << 32,
                        last = (upper >> 4 & 0x03030303u) | (upper >> 6 & 0x03030303u) << 32;
    return {static_cast<float>(load_f16(block + 108)),
            0,
            {ggml_block::less_32((low & nibbles) | first << 4), ggml_block::less_32((low >> 4 & nibbles) | last << 4)},
            {}};
  }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::crumbs_at(block + 32, k) | ggml_block::bits_at(block + 16 * (k % 2), k / 2, 1) << 2;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_crumbs(from + 32, codes);
    ggml_block::load_bit_plane<2>(from, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_bit_plane<2>(to, codes);
    ggml_block::store_crumbs(to + 32, codes);
    ggml_block::store_q3_k_params(to, p);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 4; }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
