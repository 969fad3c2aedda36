// nbit/format/ggml_iq4.hpp — IQ4_NL, IQ4_XS and MXFP4: 4-bit codes that name one of 16 uneven levels.
//
//   IQ4_NL  f16 d | 16 bytes of nibbles                                              w = d * level(q)           18
//   bytes IQ4_XS  f16 d | u16: upper 2 bits of 8 scales | 4 bytes: their low nibbles       w = (d * (s - 32)) *
//   level(q)
//           | 128 bytes of nibbles                                                                             136
//           bytes
//   MXFP4   u8 e | 16 bytes of nibbles                                               w = level(q) * 2^(e - 128) 17
//   bytes
// Nibbles: 16 bytes for each 32 codes, byte j holds codes j (low) and j + 16 (high). MXFP4's levels are E2M1 doubled,
// so its scale is halved. Ref: ggml (MIT); OCP Microscaling Formats 1.0; docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_IQ4_HPP
#define NBIT_FORMAT_GGML_IQ4_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/device_table.hpp>
#include <nbit/base/elementary.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_scaled.hpp>
#include <nbit/format/ggml_search.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// The levels of IQ4_NL and IQ4_XS, ascending.
inline constexpr std::int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

/// The levels of MXFP4: E2M1 doubled; code 8 is a second zero.
inline constexpr std::int8_t mxfp4_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// What IQ4_XS stores for 256 weights besides the codes.
struct iq4_xs_params {
  f16 d;
  std::uint16_t high;  // 2 bits for each scale
  std::uint8_t low[4];

  /// The signed scale of run s, -32 .. 31.  Needs: 0 <= s < 8.
  NBIT_INLINE constexpr int scale_of(int s) const {
    return ((low[s >> 1] >> (4 * (s & 1)) & 15) | (high >> (2 * s) & 3) << 4) - 32;
  }
  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scale_of(s)); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// The IQ4 level nearest to v; of two equally near, the upper.
NBIT_HOST_INLINE int nearest_iq4(float v) {
  int l = v >= static_cast<float>(iq4_levels[8]) ? 8 : 0;
  l += v >= static_cast<float>(iq4_levels[l + 4]) ? 4 : 0;
  l += v >= static_cast<float>(iq4_levels[l + 2]) ? 2 : 0;
  l += v >= static_cast<float>(iq4_levels[l + 1]) ? 1 : 0;
  if (l == 15) return 15;
  return v - static_cast<float>(iq4_levels[l]) < static_cast<float>(iq4_levels[l + 1]) - v ? l : l + 1;
}

/// The scale of 32 weights on the IQ4 levels: 15 inverse scales around -127 / largest, least squares for each.
inline float iq4_search(const float* x, const float* weight) {
  NBIT_EXACT
  const float largest = largest_signed<32>(x);
  if (nbit::abs(largest) < negligible) return 0.0f;
  float scale = 0.0f, best = 0.0f;
  for (int k = -8; k <= 7; ++k) {  // -8 stands for the plain scale, computed as a quotient of one
    const float inverse = k == -8 ? 1.0f / (-largest / -127.0f) : static_cast<float>(k - 127) / largest;
    float wqx = 0.0f, wqq = 0.0f;
    for (int i = 0; i < 32; ++i) {
      const float q = static_cast<float>(iq4_levels[nearest_iq4(inverse * x[i])]), wq = weight[i] * q;
      wqx += wq * x[i];
      wqq += wq * q;
    }
    if (k == -8) {
      scale = wqq > 0.0f ? wqx / wqq : 0.0f;
      best = scale * wqx;
    } else if (wqq > 0.0f && wqx * wqx > best * wqq) {
      scale = wqx / wqq;
      best = scale * wqx;
    }
  }
  return scale;
}

/// weight: x^2, or the importance times sqrt(variance + x^2).
inline void iq4_weights(const float* x, const float* importance, float variance, float* weight) {
  NBIT_EXACT
  if (importance != nullptr) return importance_weights<32>(x, importance, variance, weight);
  for (int i = 0; i < 32; ++i) weight[i] = x[i] * x[i];
}

NBIT_NOINLINE inline void encode_iq4_nl(const float* x, const float* importance, f16& d, std::uint8_t* codes) {
  NBIT_EXACT
  float weight[32];
  iq4_weights(x, importance, sum_of_squares<32>(x) * (2.0f / 32.0f), weight);
  const float scale = iq4_search(x, weight), inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  d = f16::from(scale);
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>(nearest_iq4(inverse * x[i]));
}

/// Stores 8 scales; inverse: what weights of each run are multiplied with to be on the levels.
inline void iq4_xs_store_scales(const float* scales, iq4_xs_params& p, float* inverse) {
  NBIT_EXACT
  const float d = -largest_signed<8>(scales) / 32.0f, per_scale = d != 0.0f ? 1.0f / d : 0.0f;
  p = iq4_xs_params{};
  p.d = f16::from(d);
  for (int s = 0; s < 8; ++s) {
    const int l = level_of(per_scale * scales[s], -32, 31);
    const float step = d * static_cast<float>(l);
    inverse[s] = step != 0.0f ? 1.0f / step : 0.0f;
    p.low[s / 2] = static_cast<std::uint8_t>(p.low[s / 2] | ((l + 32) & 15) << (4 * (s % 2)));
    p.high = static_cast<std::uint16_t>(p.high | ((l + 32) >> 4) << (2 * s));
  }
}

NBIT_NOINLINE inline void encode_iq4_xs(const float* x, const float* importance, iq4_xs_params& p,
                                        std::uint8_t* codes) {
  NBIT_EXACT
  float weight[32], scales[8], inverse[8];
  const float variance = sum_of_squares<256>(x) * (2.0f / 256.0f);
  for (int s = 0; s < 8; ++s) {
    iq4_weights(x + 32 * s, importance != nullptr ? importance + 32 * s : nullptr, variance, weight);
    scales[s] = iq4_search(x + 32 * s, weight);
  }
  iq4_xs_store_scales(scales, p, inverse);
  for (int i = 0; i < 256; ++i) codes[i] = static_cast<std::uint8_t>(nearest_iq4(inverse[i / 32] * x[i]));
}

/// Half of 2^(e - 127), also below the normal range.
NBIT_INLINE constexpr float mxfp4_scale(e8m0 e) {
  const std::uint32_t bits = e.bits < 2 ? 0x200000u << e.bits : (static_cast<std::uint32_t>(e.bits) - 1u) << 23;
  return std::bit_cast<float>(bits);
}

/// The MXFP4 code nearest to v; of equally near ones the first.
inline int nearest_mxfp4(float v, float scale) {
  int code = 0;
  float least = nbit::abs(v);
  for (int c = 1; c < 16; ++c) {
    const float error = nbit::abs(static_cast<float>(mxfp4_levels[c]) * scale - v);
    if (error < least) least = error, code = c;
  }
  return code;
}

NBIT_NOINLINE inline void encode_mxfp4(const float* x, e8m0& e, std::uint8_t* codes) {
  const float size = nbit::abs(largest_signed<32>(x));
  // The reference takes log2 in float, which rounds up just below large powers of two, and narrows without a check.
  const float rounded = size > 0.0f ? static_cast<float>(log2_exact(static_cast<double>(size))) : 0.0f;
  const int field = size > 0.0f ? static_cast<int>(__builtin_floorf(rounded)) - 2 + 127 : 0;
  e = e8m0::from_bits(static_cast<std::uint8_t>(field & 255));
  const float scale = mxfp4_scale(e);
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>(nearest_mxfp4(x[i], scale));
}

NBIT_HD inline iq4_xs_params load_iq4_xs_params(const std::byte* from) {
  iq4_xs_params p;
  p.d = load_f16(from), p.high = load_u16(from + 2);
  for (int i = 0; i < 4; ++i) p.low[i] = std::to_integer<std::uint8_t>(from[4 + i]);
  return p;
}
NBIT_HD inline void load_iq4_xs_codes(const std::byte* from, std::uint8_t* codes) {
  for (int s = 0; s < 8; ++s) load_split_nibbles(from + 8 + 16 * s, codes + 32 * s);
}
inline void store_iq4_xs(std::byte* to, const iq4_xs_params& p, const std::uint8_t* codes) {
  store_f16(to, p.d), store_u16(to + 2, p.high);
  for (int i = 0; i < 4; ++i) to[4 + i] = static_cast<std::byte>(p.low[i]);
  for (int s = 0; s < 8; ++s) store_split_nibbles(to + 8 + 16 * s, codes + 32 * s);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's IQ4_NL: 4.5 bits a weight on 16 uneven levels.
struct iq4_nl : detail::block_of_levels<iq4_nl> {
  static constexpr int bits = 4, group = 32, run = 32, ggml_type = 20;
  static constexpr std::size_t block_bytes = 18;
  static constexpr const char* name = "IQ4_NL";
  static constexpr std::size_t nibbles_at = 2;

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    const float d = static_cast<float>(p.d);
    return d != 0.0f ? ggml_block::nearest_iq4(v / d) : 8;
  }
  /// One whole group without bounds; q may be null.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_iq4_nl(x, q, p.d, c);
  }
  /// A piece of the reference encoder, for faster ones.
  NBIT_HOST_INLINE static void store_scales(const float* scale, params& p, float* inverse) {
    p.d = f16::from(*scale);
    *inverse = *scale != 0.0f ? 1.0f / *scale : 0.0f;
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
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
  NBIT_INLINE static constexpr int level(int c) { return device_table<sixteen_levels<iq4_levels>>().of[c & 15]; }
};

/// ggml's IQ4_XS: 4.25 bits a weight, the levels of IQ4_NL and a 6-bit scale for each 32 of 256 weights.
struct iq4_xs : detail::runs_of_levels<iq4_xs, iq4_xs_params, 32> {
  static constexpr int bits = 4, ggml_type = 23;
  static constexpr std::size_t block_bytes = 136;
  static constexpr const char* name = "IQ4_XS";

  NBIT_HOST_INLINE static int code(float v, const params& p, int i) {
    const float d = p.step(run_at(i));
    return d != 0.0f ? ggml_block::nearest_iq4(v / d) : 8;
  }
  /// One whole group without bounds; q may be null.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_iq4_xs(x, q, p, c);
  }
  /// A piece of the reference encoder, for faster ones.
  NBIT_HOST_INLINE static void store_scales(const float* scales, params& p, float* inverse) {
    ggml_block::iq4_xs_store_scales(scales, p, inverse);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq4_xs_params(from); }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::bits_at(block + 8 + 16 * (k / 2), 4 * (k % 2), 15);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_iq4_xs_codes(from, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_iq4_xs(to, p, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return device_table<sixteen_levels<iq4_levels>>().of[c & 15]; }
};

/// ggml's MXFP4: 4.25 bits a weight, E2M1 codes under a power-of-two scale; importance is ignored, as in the reference.
struct mxfp4 : detail::encoded_by_blocks<mxfp4> {
  static constexpr int bits = 4, group = 32, run = 32, ggml_type = 39;
  static constexpr std::size_t block_bytes = 17;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "MXFP4";
  static constexpr std::size_t nibbles_at = 1;
  using exact_scale = bf16;  // a power of two from 2^-128 on
  struct params {
    e8m0 e;
  };

  NBIT_HOST_INLINE static int code(float v, const params& p, int) { return ggml_block::nearest_mxfp4(v, scale(p, 0)); }
  NBIT_INLINE static float value(int c, const params& p, int) { return static_cast<float>(level(c)) * scale(p, 0); }
  /// One whole group without bounds.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_mxfp4(x, p.e, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    return {e8m0::from_bits(std::to_integer<std::uint8_t>(from[0]))};
  }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::bits_at(block + 1, 4 * k, 15);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_split_nibbles(from + 1, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    to[0] = static_cast<std::byte>(p.e.bits);
    ggml_block::store_split_nibbles(to + 1, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return device_table<sixteen_levels<mxfp4_levels>>().of[c & 15]; }
  NBIT_INLINE static float scale(const params& p, int) { return ggml_block::mxfp4_scale(p.e); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
