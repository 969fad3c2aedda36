// nbit/format/ggml_q2_k.hpp — Q2_K: 256 weights in 16 runs of 16, each with a 4-bit scale and a 4-bit minimum.
//
//   16 bytes: scale (low nibble), minimum (high nibble) | 64 bytes of 2-bit codes | f16 d | f16 dmin        84 bytes
//   w = (d * scale) * q - (dmin * min)
// Two halves of 128 codes; byte l of a half's 32 holds codes l, l + 32, l + 64, l + 96 at bits 0, 2, 4, 6.
// Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_Q2_K_HPP
#define NBIT_FORMAT_GGML_Q2_K_HPP

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

/// What Q2_K stores for 256 weights besides the codes: scales[s] is the scale (low nibble) and minimum (high) of run s.
struct q2_k_params {
  std::uint8_t scales[16];
  f16 d, dmin;

  NBIT_INLINE constexpr int scale_of(int s) const { return scales[s] & 15; }
  NBIT_INLINE constexpr int minimum_of(int s) const { return scales[s] >> 4; }
  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scale_of(s)); }
  NBIT_INLINE float lowered(int s) const { return static_cast<float>(dmin) * static_cast<float>(minimum_of(s)); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// Scales or minima of 16 runs as 0 .. 15 times a step; returns the step, not yet rounded to f16.
inline float four_bits_by_maximum(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  float top = 0.0f;
  for (int s = 0; s < 16; ++s) top = x[s] > top ? x[s] : top;
  if (!(top > 0.0f)) {
    for (int s = 0; s < 16; ++s) codes[s] = 0;
    return 0.0f;
  }
  const float inverse = 15.0f / top;
  for (int s = 0; s < 16; ++s) codes[s] = static_cast<std::uint8_t>(round_even(inverse * x[s]) & 15);
  return top / 15.0f;
}

inline void pack_q2_k_scales(const std::uint8_t* scales, const std::uint8_t* minima, q2_k_params& p) {
  for (int s = 0; s < 16; ++s) p.scales[s] = static_cast<std::uint8_t>((scales[s] & 15) | (minima[s] & 15) << 4);
}

NBIT_NOINLINE inline void encode_q2_k(const float* x, const float* importance, q2_k_params& p, std::uint8_t* codes) {
  NBIT_EXACT
  float weight[16], sums[16], scales[16], minima[16];
  std::uint8_t four_scales[16], four_minima[16];
  const float variance = importance != nullptr ? sum_of_squares<256>(x) / 256.0f : 0.0f;
  for (int s = 0; s < 16; ++s) {
    const float* run = x + 16 * s;
    lowered_grid grid;
    if (importance != nullptr) {
      importance_weights<16>(run, importance + 16 * s, variance, weight);
      sums[s] = sum_of<16>(weight);
      grid = lowered_search<16, 3, 37, false>(run, weight, codes + 16 * s, -0.9f, 0.05f);
    } else {
      for (int i = 0; i < 16; ++i) weight[i] = nbit::abs(run[i]);
      grid = lowered_search<16, 3, 16, true>(run, weight, codes + 16 * s, -0.5f, 0.1f);
    }
    scales[s] = grid.scale, minima[s] = grid.lowered;
  }
  if (importance != nullptr) {
    p.d = f16::from(positive_search<16, 15>(scales, sums, four_scales));
    p.dmin = f16::from(positive_search<16, 15>(minima, sums, four_minima));
  } else {
    p.d = f16::from(four_bits_by_maximum(scales, four_scales));
    p.dmin = f16::from(four_bits_by_maximum(minima, four_minima));
  }
  pack_q2_k_scales(four_scales, four_minima, p);
  for (int s = 0; s < 16; ++s) {
    const float d = p.step(s), lowered = p.lowered(s);
    if (d == 0.0f) continue;
    for (int i = 16 * s; i < 16 * s + 16; ++i)
      codes[i] = static_cast<std::uint8_t>(level_of((x[i] + lowered) / d, 0, 3));
  }
}

/// The 64 bytes of low 2 bits that Q2_K and Q3_K share.
/// Codes 16 k to 16 k + 15 of load_crumbs.
NBIT_HOST_INLINE code_bytes crumbs_at(const std::byte* from, int k) {
  return bits_at(from + 32 * (k / 8) + 16 * (k % 2), k % 8 / 2 * 2, 3);
}

NBIT_INLINE void load_crumbs(const std::byte* from, std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    auto bytes = byte_run<32>::load(from + 32 * half);
    for (int k = 0; k < 4; ++k) {
      byte_run<32> c;
      for (int l = 0; l < 32; ++l) c.v[l] = static_cast<std::uint8_t>(bytes.v[l] & 3u);
      for (int l = 0; l < 32; ++l) bytes.v[l] = static_cast<std::uint8_t>(bytes.v[l] >> 2);
      c.store(codes + 128 * half + 32 * k);
    }
  }
}
inline void store_crumbs(std::byte* to, const std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    const auto c = byte_run<128>::load(codes + 128 * half);
    byte_run<32> four;
    for (int l = 0; l < 32; ++l)
      four.v[l] = static_cast<std::uint8_t>((c.v[l] & 3u) | (c.v[l + 32] & 3u) << 2 | (c.v[l + 64] & 3u) << 4 |
                                            (c.v[l + 96] & 3u) << 6);
    four.store(to + 32 * half);
  }
}

NBIT_HD inline q2_k_params load_q2_k_params(const std::byte* from) {
  q2_k_params p;
  for (int s = 0; s < 16; ++s) p.scales[s] = std::to_integer<std::uint8_t>(from[s]);
  p.d = load_f16(from + 80), p.dmin = load_f16(from + 82);
  return p;
}
inline void store_q2_k(std::byte* to, const q2_k_params& p, const std::uint8_t* codes) {
  for (int s = 0; s < 16; ++s) to[s] = static_cast<std::byte>(p.scales[s]);
  store_crumbs(to + 16, codes);
  store_f16(to + 80, p.d), store_f16(to + 82, p.dmin);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q2_K: 2.625 bits a weight.
struct q2_k : detail::runs_above_minima<q2_k, q2_k_params, 16, 3> {
  static constexpr int bits = 2, ggml_type = 10;
  static constexpr std::size_t block_bytes = 84;
  static constexpr bool sub_nibbles = true;  // sub_scale and sub_offset are 0 .. 15
  static constexpr const char* name = "Q2_K";

  /// One whole group without bounds; q may be null.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q2_k(x, q, p, c);
  }
  /// Pieces of the reference encoder, for faster ones: runs' scales or minima by their maximum, and stored numbers.
  NBIT_HOST_INLINE static float scales_by_maximum(const float* x, std::uint8_t* c) {
    return ggml_block::four_bits_by_maximum(x, c);
  }
  NBIT_HOST_INLINE static void pack_scales(params& p, const std::uint8_t* scales, const std::uint8_t* minima) {
    ggml_block::pack_q2_k_scales(scales, minima, p);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_q2_k_params(from); }
  NBIT_INLINE static ggml_block::block_runs runs_of(const std::byte* block) {
    const std::uint64_t low = load_u64(block), high = load_u64(block + 8), nibbles = 0x0f0f0f0f0f0f0f0fu;
    return {static_cast<float>(load_f16(block + 80)),
            -static_cast<float>(load_f16(block + 82)),
            {low & nibbles, high & nibbles},
            {low >> 4 & nibbles, high >> 4 & nibbles}};
  }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::crumbs_at(block + 16, k);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_crumbs(from + 16, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_q2_k(to, p, codes);
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
