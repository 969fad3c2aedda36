// nbit/format/ggml_iq1.hpp — IQ1_S and IQ1_M: 8 weights name one of 2048 points of -1, 0, 1, shifted up or down by 1/8.
//
//   IQ1_S  f16 d | 32 bytes: points | 8 x u16: 4 x 3 upper bits, 3-bit scale, shift                   50 bytes
//   IQ1_M  32 bytes: points | 16 bytes: 2 x (3 upper bits, shift) | 4 x u16: 4 x 3-bit scale, a nibble of f16 d
//                                                                                                     56 bytes
//   w = d (2 s + 1) (point + 1/8), or - 1/8 where the shift bit is set
// IQ1_S has a scale and a shift for 32 weights: both are parameters. IQ1_M has a scale for 16 and a shift for 8
// weights: the shift is the twelfth bit of a code. The reference encodes IQ1_S with importance only; without, this uses
// an importance of one everywhere. Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_IQ1_HPP
#define NBIT_FORMAT_GGML_IQ1_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/device_table.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_iq1_search.hpp>
#include <nbit/format/ggml_lattice.hpp>
#include <nbit/format/ggml_lattice_search.hpp>
#include <nbit/format/ggml_scaled.hpp>
#include <nbit/format/ggml_search.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// What IQ1_M stores for 256 weights besides the codes.
struct iq1_m_params {
  f16 d;
  std::uint16_t packed[4];  // four 3-bit scales each

  /// The 3-bit scale of run s.  Needs: 0 <= s < 16.
  NBIT_INLINE constexpr int scale_of(int s) const { return packed[s >> 2] >> (3 * (s & 3)) & 7; }
  NBIT_INLINE float step(int s) const {
    return static_cast<float>(d) * (2.0f * static_cast<float>(scale_of(s)) + 1.0f);
  }
};

inline namespace NBIT_TAG {
namespace ggml_block {

// Templates, here and below, so that the tables of the search are made where blocks are encoded and nowhere else.
template <class Code>
NBIT_NOINLINE void encode_iq1_s(const float* x, const float* importance, iq_params<8>& p, Code* codes) {
  NBIT_EXACT
  float weight[256];
  const float variance = 2.0f * sum_of_squares<256>(x) / 256.0f;
  if (importance != nullptr) {
    importance_weights<256>(x, importance, variance, weight);
  } else {
    for (int i = 0; i < 256; ++i) weight[i] = __builtin_sqrtf(variance + x[i] * x[i]);
  }
  iq1_result<32> found;
  encode_iq1<32>(x, weight, 1e-12f, found);
  for (int k = 0; k < 32; ++k) codes[k] = found.point[k];
  p = {};
  if (!(found.largest > 0.0f)) return;
  const float d = found.largest / 15.0f, inverse = 1.0f / d;
  p.d = f16::from(d * 1.125f);
  for (int r = 0; r < 8; ++r) {
    const int l = level_of(0.5f * (inverse * found.scale[r] - 1.0f), 0, 7);
    p.packed[r / 2] = static_cast<std::uint8_t>(p.packed[r / 2] | (l | found.shift[r] << 3) << (4 * (r % 2)));
  }
}

template <class Code>
NBIT_NOINLINE void encode_iq1_m(const float* x, const float* importance, iq1_m_params& p, Code* codes) {
  NBIT_EXACT
  float weight[256];
  if (importance != nullptr) {
    importance_weights<256>(x, importance, 2.0f * sum_of_squares<256>(x) / 256.0f, weight);
  } else {
    for (int i = 0; i < 256; ++i) weight[i] = x[i] * x[i];
  }
  iq1_result<16> found;
  encode_iq1<16>(x, weight, 1e-7f, found);
  p = {};
  for (int k = 0; k < 32; ++k) codes[k] = found.point[k];
  if (!(found.largest > 0.0f)) return;  // the shifts go unsaid too
  float d = found.largest / 15.0f, wqx = 0.0f, wqq = 0.0f;
  const float inverse = 1.0f / d;
  for (int r = 0; r < 16; ++r) {
    const int l = level_of(0.5f * (inverse * found.scale[r] - 1.0f), 0, 7);
    p.packed[r / 4] = static_cast<std::uint16_t>(p.packed[r / 4] | l << (3 * (r % 4)));
    for (int k = 2 * r; k < 2 * r + 2; ++k) {
      const int shift = found.shift[r] >> (k & 1) & 1;
      codes[k] = static_cast<std::uint16_t>(codes[k] | shift << 11);
      for (int i = 0; i < 8; ++i) {
        const float level = iq1_levels[shift][iq1_points[found.point[k]] >> (2 * i) & 3];
        const float q = level * static_cast<float>(2 * l + 1), wq = weight[8 * k + i] * q;
        wqx += wq * x[8 * k + i];
        wqq += wq * q;
      }
    }
  }
  if (wqq > 0.0f) d = wqx / wqq;
  p.d = f16::from(d * 1.1125f);
}

/// The point nearest to 8 weights with a given shift, and its squared error.
struct iq1_choice {
  int point;
  float error;
};
NBIT_NOINLINE inline iq1_choice nearest_iq1(const float* w, float step, int shift) {
  NBIT_EXACT
  float cost[8][3];
  for (int i = 0; i < 8; ++i)
    for (int l = 0; l < 3; ++l) {
      const float diff = w[i] - step * iq1_levels[shift][l];
      cost[i][l] = diff * diff;
    }
  iq1_choice best{0, __builtin_inff()};
  for (int j = 0; j < iq1_grid::points; ++j) {
    const unsigned key = iq1_points[j];
    float error = cost[0][key & 3u];
    for (int i = 1; i < 8; ++i) error += cost[i][key >> (2 * i) & 3u];
    if (error < best.error) best = {j, error};
  }
  return best;
}

NBIT_INLINE void iq1_values(unsigned point, int shift, float step, float* out) {
  const std::int8_t* level = device_table<lattice_values<iq1_grid>>().of[point];
#if defined(__CUDA_ARCH__)
  for (int i = 0; i < 8; ++i) out[i] = step * (static_cast<float>(level[i]) + (shift != 0 ? -0.125f : 0.125f));
#else
  for (int i = 0; i < 8; i += 4) {
    const four_ints four = {level[i], level[i + 1], level[i + 2], level[i + 3]};
    const four_floats v = step * (__builtin_convertvector(four, four_floats) + (shift != 0 ? -0.125f : 0.125f));
    __builtin_memcpy(out + i, &v, sizeof v);
  }
#endif
}

/// Eight times the levels of a point, and its shift.
NBIT_INLINE void iq1_signed_levels(unsigned point, int shift, std::int8_t* out) {
  point_levels<iq1_grid>(point, out);
  for (int i = 0; i < 8; ++i) out[i] = static_cast<std::int8_t>(8 * out[i] + (shift != 0 ? -1 : 1));
}

NBIT_HD inline iq_params<8> load_iq1_s_params(const std::byte* from) {
  iq_params<8> p{load_f16(from), {}};
  for (int s = 0; s < 8; ++s)
    p.packed[s / 2] = static_cast<std::uint8_t>(p.packed[s / 2] | (load_u16(from + 34 + 2 * s) >> 12) << (4 * (s % 2)));
  return p;
}
NBIT_HD inline void load_iq1_s_codes(const std::byte* from, std::uint16_t* codes) {
  for (int k = 0; k < 32; ++k)
    codes[k] = static_cast<std::uint16_t>(std::to_integer<unsigned>(from[2 + k]) |
                                          (load_u16(from + 34 + 2 * (k / 4)) >> (3 * (k % 4)) & 7u) << 8);
}
inline void store_iq1_s(std::byte* to, const iq_params<8>& p, const std::uint16_t* codes) {
  store_f16(to, p.d);
  for (int k = 0; k < 32; ++k) to[2 + k] = static_cast<std::byte>(codes[k] & 255u);
  for (int s = 0; s < 8; ++s) {
    unsigned word = static_cast<unsigned>(p.nibble(s)) << 12;
    for (int k = 0; k < 4; ++k) word |= (codes[4 * s + k] >> 8 & 7u) << (3 * k);
    store_u16(to + 34 + 2 * s, static_cast<std::uint16_t>(word));
  }
}

NBIT_HD inline iq1_m_params load_iq1_m_params(const std::byte* from) {
  iq1_m_params p;
  unsigned d = 0;
  for (int j = 0; j < 4; ++j) {
    const unsigned word = load_u16(from + 48 + 2 * j);
    p.packed[j] = static_cast<std::uint16_t>(word & 0xfffu);
    d |= (word >> 12) << (4 * j);
  }
  p.d = f16::from_bits(static_cast<std::uint16_t>(d));
  return p;
}
NBIT_HD inline void load_iq1_m_codes(const std::byte* from, std::uint16_t* codes) {
  for (int k = 0; k < 32; ++k)
    codes[k] = static_cast<std::uint16_t>(std::to_integer<unsigned>(from[k]) |
                                          (std::to_integer<unsigned>(from[32 + k / 2]) >> (4 * (k % 2)) & 15u) << 8);
}
inline void store_iq1_m(std::byte* to, const iq1_m_params& p, const std::uint16_t* codes) {
  for (int k = 0; k < 32; ++k) to[k] = static_cast<std::byte>(codes[k] & 255u);
  for (int k = 0; k < 16; ++k)
    to[32 + k] = static_cast<std::byte>((codes[2 * k] >> 8 & 15u) | (codes[2 * k + 1] >> 8 & 15u) << 4);
  for (int j = 0; j < 4; ++j)
    store_u16(to + 48 + 2 * j, static_cast<std::uint16_t>((p.packed[j] & 0xfffu) | (p.d.bits >> (4 * j) & 15u) << 12));
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's IQ1_S: 1.5625 bits a weight. A parameter nibble is a 3-bit scale and the shift bit of 32 weights.
struct iq1_s : detail::encoded_by_blocks<iq1_s>, iq_integers<iq1_s, 32, 8> {
  static constexpr int bits = 11, step = 8, group = 256, ggml_type = 19;
  static constexpr std::size_t block_bytes = 50;
  static constexpr const char* name = "IQ1_S";
  using params = iq_params<8>;

  /// The nearest of all codes; importance does not count.
  NBIT_HOST_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq1(w.data(), step_of_run(p, i >> 5), p.nibble(i >> 5) >> 3).point;
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    ggml_block::iq1_values(static_cast<unsigned>(c) & 2047u, p.nibble(i >> 5) >> 3, step_of_run(p, i >> 5), out.data());
  }
  NBIT_INLINE static void signed_levels(const std::uint16_t* codes, const params& p, int i, std::int8_t* out) {
    ggml_block::iq1_signed_levels(codes[0] & 2047u, p.nibble(i >> 5) >> 3, out);
  }
  NBIT_INLINE static int scale_code(const params& p, int s) { return p.nibble(s) & 7; }
  /// Weights 16 k to 16 k + 15 of a block with this d: a value is step times (level + shift), the shift with the sign.
  NBIT_INLINE static ggml_block::sixteen_points points16(const std::byte* block, float d, int k) {
    const unsigned u = load_u16(block + 2 + 2 * k), word = load_u16(block + 34 + 2 * (k / 2)),
                   upper = word >> (6 * (k % 2)) << 8;
    return {ggml_block::point_word<iq1_grid>((u & 255u) | (upper & 0x700u)),
            ggml_block::point_word<iq1_grid>(u >> 8 | (upper >> 3 & 0x700u)), (word >> 15) * 0xffffu,
            d * (2.0f * static_cast<float>(word >> 12 & 7u) + 1.0f)};
  }
  NBIT_INLINE static float block_scale(const std::byte* block) { return static_cast<float>(load_f16(block)); }
  static constexpr float shift = 0.125f;
  /// One whole group without bounds; q may be null.
  template <class Code>
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, Code* c) {
    ggml_block::encode_iq1_s(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq1_s_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    ggml_block::load_iq1_s_codes(from, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    ggml_block::store_iq1_s(to, p, codes);
  }
  NBIT_INLINE static float step_of_run(const params& p, int s) {
    return static_cast<float>(p.d) * (2.0f * static_cast<float>(p.nibble(s) & 7) + 1.0f);
  }
};

/// ggml's IQ1_M: 1.75 bits a weight. Bit 11 of a code is the shift of its 8 weights.
struct iq1_m : detail::encoded_by_blocks<iq1_m>, iq_integers<iq1_m, 16, 8> {
  static constexpr int bits = 12, step = 8, group = 256, ggml_type = 29;
  static constexpr std::size_t block_bytes = 56;
  static constexpr const char* name = "IQ1_M";
  using params = iq1_m_params;

  /// The nearest of all codes with either shift; importance does not count.
  NBIT_HOST_INLINE static int code(std::span<const float> w, const params& p, int i) {
    const float d = p.step(i >> 4);
    const ggml_block::iq1_choice up = ggml_block::nearest_iq1(w.data(), d, 0);
    const ggml_block::iq1_choice down = ggml_block::nearest_iq1(w.data(), d, 1);
    return down.error < up.error ? down.point | 2048 : up.point;
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    ggml_block::iq1_values(static_cast<unsigned>(c) & 2047u, c >> 11 & 1, p.step(i >> 4), out.data());
  }
  NBIT_INLINE static void signed_levels(const std::uint16_t* codes, const params&, int, std::int8_t* out) {
    ggml_block::iq1_signed_levels(codes[0] & 2047u, codes[0] >> 11 & 1, out);
  }
  NBIT_INLINE static int scale_code(const params& p, int s) { return p.scale_of(s); }
  /// Weights 16 k to 16 k + 15 of a block with this d: a value is step times (level + shift), the shift with the sign.
  NBIT_INLINE static ggml_block::sixteen_points points16(const std::byte* block, float d, int k) {
    const unsigned u = load_u16(block + 2 * k), upper = std::to_integer<unsigned>(block[32 + k]);
    return {ggml_block::point_word<iq1_grid>((u & 255u) | (upper & 7u) << 8),
            ggml_block::point_word<iq1_grid>(u >> 8 | (upper >> 4 & 7u) << 8),
            (upper >> 3 & 1u) * 0xffu | (upper >> 7) * 0xff00u,
            d * (2.0f * static_cast<float>(load_u16(block + 48 + 2 * (k / 4)) >> (3 * (k % 4)) & 7) + 1.0f)};
  }
  NBIT_INLINE static float block_scale(const std::byte* block) {
    return static_cast<float>(ggml_block::load_iq1_m_params(block).d);
  }
  static constexpr float shift = 0.125f;
  /// One whole group without bounds; q may be null.
  template <class Code>
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, Code* c) {
    ggml_block::encode_iq1_m(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq1_m_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    ggml_block::load_iq1_m_codes(from, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    ggml_block::store_iq1_m(to, p, codes);
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
