// nbit/format/ggml_iq3.hpp — IQ3_XXS and IQ3_S: magnitudes of 4 weights name a lattice point, signs apart.
//
//   IQ3_XXS  f16 d | 64 bytes: points | 8 x u32: 4 x 7 signs, 4-bit scale                              98 bytes
//   IQ3_S    f16 d | 64 bytes: points | 8 bytes: their ninth bits | 32 bytes: signs | 4 bytes of scales 110 bytes
//   w = d (0.5 + s) / 2 * point in IQ3_XXS, d (1 + 2 s) * point in IQ3_S; one scale s for 32 weights
// Ninth bit k % 8 of byte k / 8 belongs to point k, bit i of sign byte b to weight 8 b + i. IQ3_XXS keeps 7 signs of 8:
// the count of minus signs is even. A code is therefore 8 weights there (two points, 7 signs), 4 weights in IQ3_S (one
// point, 4 signs). Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_IQ3_HPP
#define NBIT_FORMAT_GGML_IQ3_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_lattice.hpp>
#include <nbit/format/ggml_lattice_search.hpp>
#include <nbit/format/ggml_neighbours.hpp>
#include <nbit/format/ggml_scaled.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

struct iq3_search {
  static constexpr int run = 32;
  static constexpr float stride = 0.2f, variance = 2.0f;
  static constexpr bool again_always = false, starts_with_search = false;

  static void weights(const float* x, float, float* weight) {
    for (int i = 0; i < run; ++i) weight[i] = x[i] * x[i];
  }
};
struct iq3_xxs_search : iq3_search {
  using grid = iq3_xxs_grid;
  static constexpr int candidates = 31;
  static constexpr float negligible = 1e-8f, correction = 1.0125f;
  static constexpr bool parity = true, again_all = false, again_if_none = false;
};
struct iq3_s_search : iq3_search {
  using grid = iq3_s_grid;
  static constexpr int candidates = 19;
  static constexpr float negligible = 0.0f, correction = 1.033f;
  static constexpr bool parity = false, again_all = true, again_if_none = true;
};

template <class Steps>
NBIT_NOINLINE void encode_iq3_xxs(const float* x, const float* importance, iq_params<8>& p, std::uint32_t* codes,
                                  Steps&& steps) {
  lattice_result<iq3_xxs_search> found;
  encode_lattice(x, importance, steps, found);
  pack_lattice_scales(found, p);
  const bool any = found.largest > 0.0f;
  for (int k = 0; k < 32; ++k)
    codes[k] = any ? found.index[2 * k] | static_cast<std::uint32_t>(found.index[2 * k + 1]) << 8 |
                         static_cast<std::uint32_t>(found.signs[k]) << 16
                   : 0u;
}

/// The reference does not step over a run of 32 zeros when it writes the low bytes and the signs, only when it writes
/// the ninth bits: what follows such a run in its block lands one run too early. The bytes here are the same.
template <class Steps>
NBIT_NOINLINE void encode_iq3_s(const float* x, const float* importance, iq_params<8>& p, std::uint16_t* codes,
                                Steps&& steps) {
  lattice_result<iq3_s_search> found;
  encode_lattice(x, importance, steps, found);
  pack_lattice_scales(found, p);
  for (int k = 0; k < 64; ++k) codes[k] = static_cast<std::uint16_t>(found.index[k] & 256u);
  for (int r = 0, to = 0; r < 8; ++r) {
    if (found.empty[r]) continue;
    for (int k = 8 * r; k < 8 * r + 8; ++k, ++to) {
      const unsigned signs = found.signs[k / 2] >> (4 * (k % 2)) & 15u;
      codes[to] = static_cast<std::uint16_t>(codes[to] | (found.index[k] & 255u) | signs << 9);
    }
  }
}

/// The code nearest to 8 weights: each half has its best point with and without one changed sign, and the signs of both
/// must come out even.
NBIT_NOINLINE inline int nearest_iq3_xxs(const float* w, float step) {
  float x[8];
  unsigned signs = solver_signs<8>(w, step, x);
  const nearest_points a = nearest_lattice_points<iq3_xxs_grid, true>(x, nbit::abs(step));
  const nearest_points b = nearest_lattice_points<iq3_xxs_grid, true>(x + 4, nbit::abs(step));
  const bool even = (__builtin_popcount(signs) & 1) == 0;
  const float same = even ? a.plain_error + b.plain_error : a.flipped_error + b.plain_error;
  const float other = even ? a.flipped_error + b.flipped_error : a.plain_error + b.flipped_error;
  const bool flip_a = other < same ? even : !even, flip_b = other < same;
  if (flip_a) signs ^= 1u << a.flipped_weight;
  if (flip_b) signs ^= 16u << b.flipped_weight;
  const int low = flip_a ? a.flipped : a.plain, high = flip_b ? b.flipped : b.plain;
  return low | high << 8 | static_cast<int>(signs & 127u) << 16;
}

NBIT_NOINLINE inline int nearest_iq3_s(const float* w, float step) {
  float x[4];
  const unsigned signs = solver_signs<4>(w, step, x);
  return nearest_lattice_points<iq3_s_grid, false>(x, nbit::abs(step)).plain | static_cast<int>(signs) << 9;
}

NBIT_HD inline iq_params<8> load_iq3_xxs_params(const std::byte* from) {
  iq_params<8> p{load_f16(from), {}};
  for (int s = 0; s < 8; ++s)
    p.packed[s / 2] = static_cast<std::uint8_t>(p.packed[s / 2] | (load_u32(from + 66 + 4 * s) >> 28) << (4 * (s % 2)));
  return p;
}
NBIT_HD inline void load_iq3_xxs_codes(const std::byte* from, std::uint32_t* codes) {
  for (int k = 0; k < 32; ++k)
    codes[k] = load_u16(from + 2 + 2 * k) | (load_u32(from + 66 + 4 * (k / 4)) >> (7 * (k % 4)) & 127u) << 16;
}
inline void store_iq3_xxs(std::byte* to, const iq_params<8>& p, const std::uint32_t* codes) {
  store_f16(to, p.d);
  for (int k = 0; k < 32; ++k) store_u16(to + 2 + 2 * k, static_cast<std::uint16_t>(codes[k] & 0xffffu));
  for (int s = 0; s < 8; ++s) {
    std::uint32_t word = static_cast<std::uint32_t>(p.nibble(s)) << 28;
    for (int k = 0; k < 4; ++k) word |= (codes[4 * s + k] >> 16 & 127u) << (7 * k);
    store_u32(to + 66 + 4 * s, word);
  }
}

NBIT_HD inline void load_iq3_s_codes(const std::byte* from, std::uint16_t* codes) {
  for (int k = 0; k < 64; ++k) {
    const unsigned low = std::to_integer<unsigned>(from[k]),
                   ninth = std::to_integer<unsigned>(from[64 + k / 8]) >> (k % 8);
    const unsigned signs = std::to_integer<unsigned>(from[72 + k / 2]) >> (4 * (k % 2));
    codes[k] = static_cast<std::uint16_t>(low | (ninth & 1u) << 8 | (signs & 15u) << 9);
  }
}
inline void store_iq3_s_codes(std::byte* to, const std::uint16_t* codes) {
  for (int k = 0; k < 64; ++k) to[k] = static_cast<std::byte>(codes[k] & 255u);
  for (int j = 0; j < 8; ++j) {
    unsigned ninths = 0;
    for (int k = 0; k < 8; ++k) ninths |= (codes[8 * j + k] >> 8 & 1u) << k;
    to[64 + j] = static_cast<std::byte>(ninths);
  }
  for (int b = 0; b < 32; ++b)
    to[72 + b] = static_cast<std::byte>((codes[2 * b] >> 9 & 15u) | (codes[2 * b + 1] >> 9 & 15u) << 4);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's IQ3_XXS: 3.0625 bits a weight on 256 points.
struct iq3_xxs : detail::encoded_by_blocks<iq3_xxs>, iq_integers<iq3_xxs, 32, 4> {
  using grid = iq3_xxs_grid;
  static constexpr int bits = 23, step = 8, group = 256, ggml_type = 18;
  static constexpr std::size_t block_bytes = 98;
  static constexpr const char* name = "IQ3_XXS";
  using params = iq_params<8>;

  /// The nearest of all codes; importance does not count.
  NBIT_HOST_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq3_xxs(w.data(), step_of_run(p, i >> 5));
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c), signs = ggml_block::even_signs(u >> 16 & 127u);
    const float d = step_of_run(p, i >> 5);
    ggml_block::point_values<iq3_xxs_grid>(u & 255u, signs, d, out.data());
    ggml_block::point_values<iq3_xxs_grid>(u >> 8 & 255u, signs >> 4, d, out.data() + 4);
  }
  /// Levels of 8 weights; returns their signs, bit i for weight i. A value is step_at times level, then the sign.
  NBIT_INLINE static unsigned levels8(const std::uint32_t* codes, std::int8_t* out) {
    const unsigned u = codes[0];
    ggml_block::point_levels<iq3_xxs_grid>(u & 255u, out);
    ggml_block::point_levels<iq3_xxs_grid>(u >> 8 & 255u, out + 4);
    return ggml_block::even_signs(u >> 16 & 127u);
  }
  NBIT_INLINE static float block_scale(const std::byte* block) { return static_cast<float>(load_f16(block)); }
  /// Weights 16 k to 16 k + 15 of a block with this d: a value is step times level, then the sign.
  NBIT_INLINE static ggml_block::sixteen_points points16(const std::byte* block, float d, int k) {
    const unsigned u = load_u32(block + 2 + 4 * k), word = load_u32(block + 66 + 4 * (k / 2)),
                   seven = word >> (14 * (k % 2));
    return {ggml_block::two_points<iq3_xxs_grid>(u & 255u, u >> 8 & 255u),
            ggml_block::two_points<iq3_xxs_grid>(u >> 16 & 255u, u >> 24),
            ggml_block::even_signs(seven & 127u) | ggml_block::even_signs(seven >> 7 & 127u) << 8,
            d * (0.5f + static_cast<float>(word >> 28)) * 0.5f};
  }
  NBIT_INLINE static float step_at(const params& p, int i) { return step_of_run(p, i >> 5); }
  /// One whole group without bounds; q may be null.
  template <class Steps = ggml_block::lattice_steps>
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint32_t* c,
                                            Steps&& steps = {}) {
    ggml_block::encode_iq3_xxs(x, q, p, c, steps);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq3_xxs_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint32_t* codes) {
    ggml_block::load_iq3_xxs_codes(from, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint32_t* codes) {
    ggml_block::store_iq3_xxs(to, p, codes);
  }
  NBIT_INLINE static float step_of_run(const params& p, int s) {
    return static_cast<float>(p.d) * (0.5f + static_cast<float>(p.nibble(s))) * 0.5f;
  }
};

/// ggml's IQ3_S: 3.4375 bits a weight on 512 points.
struct iq3_s : detail::encoded_by_blocks<iq3_s>, iq_integers<iq3_s, 32, 1> {
  using grid = iq3_s_grid;
  static constexpr int bits = 13, step = 4, group = 256, ggml_type = 21;
  static constexpr std::size_t block_bytes = 110;
  static constexpr const char* name = "IQ3_S";
  using params = iq_params<8>;

  /// The nearest of all codes; importance does not count.
  NBIT_HOST_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq3_s(w.data(), step_of_run(p, i >> 5));
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c);
    ggml_block::point_values<iq3_s_grid>(u & 511u, u >> 9 & 15u, step_of_run(p, i >> 5), out.data());
  }
  /// Levels of 8 weights; returns their signs, bit i for weight i. A value is step_at times level, then the sign.
  NBIT_INLINE static unsigned levels8(const std::uint16_t* codes, std::int8_t* out) {
    const unsigned u = codes[0], v = codes[1];
    ggml_block::point_levels<iq3_s_grid>(u & 511u, out);
    ggml_block::point_levels<iq3_s_grid>(v & 511u, out + 4);
    return (u >> 9 & 15u) | (v >> 9 & 15u) << 4;
  }
  NBIT_INLINE static float block_scale(const std::byte* block) { return static_cast<float>(load_f16(block)); }
  /// Weights 16 k to 16 k + 15 of a block with this d: a value is step times level, then the sign.
  NBIT_INLINE static ggml_block::sixteen_points points16(const std::byte* block, float d, int k) {
    const unsigned u = load_u32(block + 2 + 4 * k),
                   ninths = std::to_integer<unsigned>(block[66 + k / 2]) >> (4 * (k % 2)) << 8;
    return {ggml_block::two_points<iq3_s_grid>((u & 255u) | (ninths & 256u), (u >> 8 & 255u) | (ninths >> 1 & 256u)),
            ggml_block::two_points<iq3_s_grid>((u >> 16 & 255u) | (ninths >> 2 & 256u), u >> 24 | (ninths >> 3 & 256u)),
            load_u16(block + 74 + 2 * k),
            d * (1.0f + 2.0f * static_cast<float>(std::to_integer<int>(block[106 + k / 4]) >> (4 * (k / 2 % 2)) & 15))};
  }
  NBIT_INLINE static float step_at(const params& p, int i) { return step_of_run(p, i >> 5); }
  /// One whole group without bounds; q may be null.
  template <class Steps = ggml_block::lattice_steps>
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint16_t* c,
                                            Steps&& steps = {}) {
    ggml_block::encode_iq3_s(x, q, p, c, steps);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    params p{load_f16(from), {}};
    __builtin_memcpy(p.packed, from + 106, sizeof p.packed);
    return p;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    ggml_block::load_iq3_s_codes(from + 2, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_iq3_s_codes(to + 2, codes);
    __builtin_memcpy(to + 106, p.packed, sizeof p.packed);
  }
  NBIT_INLINE static float step_of_run(const params& p, int s) {
    return static_cast<float>(p.d) * (1.0f + 2.0f * static_cast<float>(p.nibble(s)));
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
