// nbit/format/ggml_q6_k.hpp — Q6_K: 256 weights in 16 runs of 16, each with an 8-bit signed scale.
//
//   128 bytes: low nibbles | 64 bytes: upper 2 bits | 16 int8 scales | f16 d                       210 bytes
//   w = (d * scale) * (q - 32)
// Each half of 128 codes: byte l of its 64 nibble bytes holds code l (low nibble) and l + 64 (high nibble), l < 64;
// byte l of its 32 upper-bit bytes holds codes l, l + 32, l + 64, l + 96 at bits 0, 2, 4, 6. Ref: ggml (MIT);
// docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_Q6_K_HPP
#define NBIT_FORMAT_GGML_Q6_K_HPP

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

/// What Q6_K stores for 256 weights besides the codes.
struct q6_k_params {
  std::int8_t scales[16];
  f16 d;

  NBIT_INLINE constexpr int scale_of(int s) const { return scales[s]; }
  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scale_of(s)); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// Stores 16 scales, the largest as -128; false if all are negligible.
inline bool q6_k_scales_by_maximum(const float* scales, q6_k_params& p) {
  NBIT_EXACT
  p = q6_k_params{};
  const float largest = largest_signed<16>(scales);
  if (nbit::abs(largest) < negligible) return false;
  const float inverse = -128.0f / largest;
  p.d = f16::from(1.0f / inverse);
  for (int s = 0; s < 16; ++s) {
    const int l = round_even(inverse * scales[s]);
    p.scales[s] = static_cast<std::int8_t>(l < 127 ? l : 127);
  }
  return true;
}

NBIT_NOINLINE inline void encode_q6_k(const float* x, const float* importance, q6_k_params& p, std::uint8_t* codes) {
  NBIT_EXACT
  float scales[16];
  for (int s = 0; s < 16; ++s) {
    const float* weight = importance != nullptr ? importance + 16 * s : nullptr;
    scales[s] = signed_search<16, 32>(x + 16 * s, weight, codes + 16 * s);
  }
  if (!q6_k_scales_by_maximum(scales, p)) {
    for (int i = 0; i < 256; ++i) codes[i] = 0;
    return;
  }
  for (int s = 0; s < 16; ++s) {
    const float d = p.step(s);
    if (d == 0.0f) continue;
    for (int i = 16 * s; i < 16 * s + 16; ++i) codes[i] = static_cast<std::uint8_t>(level_of(x[i] / d, -32, 31) + 32);
  }
}

NBIT_HD inline q6_k_params load_q6_k_params(const std::byte* from) {
  q6_k_params p;
  for (int s = 0; s < 16; ++s) p.scales[s] = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(from[192 + s]));
  p.d = load_f16(from + 208);
  return p;
}

NBIT_INLINE void load_q6_k_codes(const std::byte* from, std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    auto low = byte_run<64>::load(from + 64 * half);
    auto high = byte_run<32>::load(from + 128 + 32 * half);
    for (int k = 0; k < 4; ++k) {  // quarter k: nibble k / 2 of byte 32 (k % 2) + l, crumb k of high byte l
      byte_run<32> c;
      for (int l = 0; l < 32; ++l)
        c.v[l] = static_cast<std::uint8_t>((low.v[32 * (k & 1) + l] & 15u) | (high.v[l] & 3u) << 4);
      for (int l = 0; l < 32; ++l) high.v[l] = static_cast<std::uint8_t>(high.v[l] >> 2);
      if (k == 1)
        for (int l = 0; l < 64; ++l) low.v[l] = static_cast<std::uint8_t>(low.v[l] >> 4);
      c.store(codes + 128 * half + 32 * k);
    }
  }
}

inline void store_q6_k(std::byte* to, const q6_k_params& p, const std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    std::byte *low = to + 64 * half, *high = to + 128 + 32 * half;
    const auto c = byte_run<128>::load(codes + 128 * half);
    byte_run<64> nibbles;
    byte_run<32> crumbs;
    for (int l = 0; l < 64; ++l) nibbles.v[l] = static_cast<std::uint8_t>((c.v[l] & 15u) | (c.v[l + 64] & 15u) << 4);
    for (int l = 0; l < 32; ++l)
      crumbs.v[l] = static_cast<std::uint8_t>((c.v[l] >> 4 & 3u) | (c.v[l + 32] >> 4 & 3u) << 2 |
                                              (c.v[l + 64] >> 4 & 3u) << 4 | (c.v[l + 96] >> 4 & 3u) << 6);
    nibbles.store(low), crumbs.store(high);
  }
  for (int s = 0; s < 16; ++s) to[192 + s] = static_cast<std::byte>(p.scales[s]);
  store_f16(to + 208, p.d);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q6_K: 6.5625 bits a weight, symmetric.
struct q6_k : detail::runs_of_levels<q6_k, q6_k_params, 16> {
  static constexpr int bits = 6, ggml_type = 14;
  static constexpr std::size_t block_bytes = 210;
  static constexpr const char* name = "Q6_K";

  NBIT_HOST_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_level(v, p.step(run_at(i)), 0.0f, -32, 31) + 32;
  }
  /// One whole group without bounds; q may be null.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q6_k(x, q, p, c);
  }
  /// A piece of the reference encoder, for faster ones.
  NBIT_HOST_INLINE static bool scales_by_maximum(const float* scales, params& p) {
    return ggml_block::q6_k_scales_by_maximum(scales, p);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_q6_k_params(from); }
  NBIT_INLINE static ggml_block::block_runs runs_of(const std::byte* block) {
    return {static_cast<float>(load_f16(block + 208)), 0, {load_u64(block + 192), load_u64(block + 200)}, {}};
  }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    const int half = k / 8, j = k % 8;
    return ggml_block::bits_at(block + 64 * half + 16 * (j % 4), j / 4 * 4, 15) |
           ggml_block::bits_at(block + 128 + 32 * half + 16 * (j % 2), j / 2 * 2, 3) << 4;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_q6_k_codes(from, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_q6_k(to, p, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 32; }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
