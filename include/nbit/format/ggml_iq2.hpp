// nbit/format/ggml_iq2.hpp — IQ2_XXS, IQ2_XS and IQ2_S: magnitudes of 8 weights name a lattice point, signs apart.
//
//   IQ2_XXS  f16 d | 8 x (4 bytes: points, u32: 4 x 7 signs, 4-bit scale)                             66 bytes
//   IQ2_XS   f16 d | 32 x u16: 9-bit point, 7 signs | 8 bytes of scales                               74 bytes
//   IQ2_S    f16 d | 32 bytes: points | 32 bytes: signs | 8 bytes: bits 8 and 9 | 8 bytes of scales   82 bytes
//   w = d (0.5 + s) / 4 * point; one scale s for 32 weights in IQ2_XXS, for 16 in the others
// Bits 2 (k % 4) of byte k / 4 are the upper bits of point k. Seven signs of 8: the count of minus signs is even. The
// reference encodes IQ2_XXS and IQ2_XS with importance only; without, these use an importance of one everywhere.
// Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_IQ2_HPP
#define NBIT_FORMAT_GGML_IQ2_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
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

template <int Run>
struct iq2_search {
  static constexpr int run = Run;
  static constexpr float stride = 0.1f, variance = 1.0f, negligible = 1e-15f, correction = 1.0f;
  static constexpr bool parity = true, again_always = false, again_all = false, again_if_none = false;
  static constexpr bool starts_with_search = false;

  static void weights(const float* x, float variance_of_x, float* weight) {
    NBIT_EXACT
    for (int i = 0; i < Run; ++i) weight[i] = __builtin_sqrtf(variance_of_x + x[i] * x[i]);
  }
};
struct iq2_xxs_search : iq2_search<32> {
  using grid = iq2_xxs_grid;
  static constexpr int candidates = 13;
  static constexpr bool again_always = true, starts_with_search = true;
};
struct iq2_xs_search : iq2_search<16> {
  using grid = iq2_xs_grid;
  static constexpr int candidates = 19;
};
struct iq2_s_search : iq2_search<16> {
  using grid = iq2_s_grid;
  static constexpr int candidates = 19;
  static constexpr float variance = 2.0f, negligible = 1e-8f, correction = 0.9875f;
  static constexpr bool parity = false;

  static void weights(const float* x, float variance_of_x, float* weight) {
    NBIT_EXACT
    for (int i = 0; i < 16; ++i) weight[i] = 0.25f * variance_of_x + x[i] * x[i];
  }
};

/// Codes are a point and the signs above it. A block whose scales are all 0 keeps them only in IQ2_S, as in the
/// reference.
template <class Search, int PointBits, int Runs, class Code, class Steps>
NBIT_NOINLINE void encode_iq2(const float* x, const float* importance, iq_params<Runs>& p, Code* codes, Steps&& steps) {
  lattice_result<Search> found;
  encode_lattice(x, importance, steps, found);
  pack_lattice_scales(found, p);
  const bool kept = !Search::parity || found.largest > 0.0f;
  for (int k = 0; k < 32; ++k)
    codes[k] = kept ? static_cast<Code>(found.index[k] | static_cast<unsigned>(found.signs[k]) << PointBits) : Code{0};
}

/// The code nearest to 8 weights. Seven signs of 8: if the weights have an odd count of minus signs, the point that is
/// nearest with one changed sign.
template <class Grid, int PointBits, bool Parity>
NBIT_NOINLINE int nearest_iq2(const float* w, float step) {
  float x[8];
  unsigned signs = solver_signs<8>(w, step, x);
  const nearest_points found = nearest_lattice_points<Grid, Parity>(x, nbit::abs(step));
  int index = found.plain;
  if constexpr (Parity) {
    if ((__builtin_popcount(signs) & 1) != 0) signs ^= 1u << found.flipped_weight, index = found.flipped;
    signs &= 127u;
  }
  return index | static_cast<int>(signs) << PointBits;
}

NBIT_HD inline iq_params<8> load_iq2_xxs_params(const std::byte* from) {
  iq_params<8> p{load_f16(from), {}};
  for (int s = 0; s < 8; ++s)
    p.packed[s / 2] = static_cast<std::uint8_t>(p.packed[s / 2] | (load_u32(from + 6 + 8 * s) >> 28) << (4 * (s % 2)));
  return p;
}
NBIT_HD inline void load_iq2_xxs_codes(const std::byte* from, std::uint16_t* codes) {
  for (int k = 0; k < 32; ++k) {
    const std::byte* run = from + 2 + 8 * (k / 4);
    codes[k] = static_cast<std::uint16_t>(std::to_integer<unsigned>(run[k % 4]) |
                                          (load_u32(run + 4) >> (7 * (k % 4)) & 127u) << 8);
  }
}
inline void store_iq2_xxs(std::byte* to, const iq_params<8>& p, const std::uint16_t* codes) {
  store_f16(to, p.d);
  for (int s = 0; s < 8; ++s) {
    std::uint32_t word = static_cast<std::uint32_t>(p.nibble(s)) << 28;
    for (int k = 0; k < 4; ++k) {
      to[2 + 8 * s + k] = static_cast<std::byte>(codes[4 * s + k] & 255u);
      word |= static_cast<std::uint32_t>(codes[4 * s + k] >> 8 & 127u) << (7 * k);
    }
    store_u32(to + 6 + 8 * s, word);
  }
}

NBIT_HD inline void load_iq2_s_codes(const std::byte* from, std::uint32_t* codes) {
  for (int k = 0; k < 32; ++k)
    codes[k] = std::to_integer<std::uint32_t>(from[k]) |
               (std::to_integer<std::uint32_t>(from[64 + k / 4]) >> (2 * (k % 4)) & 3u) << 8 |
               std::to_integer<std::uint32_t>(from[32 + k]) << 10;
}
inline void store_iq2_s_codes(std::byte* to, const std::uint32_t* codes) {
  for (int k = 0; k < 32; ++k) {
    to[k] = static_cast<std::byte>(codes[k] & 255u);
    to[32 + k] = static_cast<std::byte>(codes[k] >> 10 & 255u);
  }
  for (int j = 0; j < 8; ++j) {
    std::uint32_t upper = 0;
    for (int k = 0; k < 4; ++k) upper |= (codes[4 * j + k] >> 8 & 3u) << (2 * k);
    to[64 + j] = static_cast<std::byte>(upper);
  }
}

/// Codes 2 k and 2 k + 1 of a block.
struct two_codes {
  unsigned first, second;
};

/// d (0.5 + s) / 4.
template <int Runs>
NBIT_INLINE float iq2_step(const iq_params<Runs>& p, int s) {
  return static_cast<float>(p.d) * (0.5f + static_cast<float>(p.nibble(s))) * 0.25f;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

namespace detail {

/// What the IQ2 formats share: a code is the index of a point of Grid and, above it, signs of its 8 weights, seven and
/// an even count of minus signs or all eight; a step for each Run weights.
template <class F, class Grid, int IndexBits, bool EvenSigns, int Run>
struct iq2_points : encoded_by_blocks<F>, iq_integers<F, Run, 8> {
  static constexpr int bits = IndexBits + (EvenSigns ? 7 : 8), step = 8, group = 256;
  using grid = Grid;
  using params = iq_params<256 / Run>;
  using stored = std::conditional_t<(bits <= 16), std::uint16_t, std::uint32_t>;

  /// The nearest of all codes; importance does not count.
  NBIT_HOST_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq2<Grid, IndexBits, EvenSigns>(w.data(), step_at(p, i));
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c);
    ggml_block::point_values<Grid>(index_of(u), signs_of(u), step_at(p, i), out.data());
  }
  /// Levels of 8 weights; returns their signs, bit i for weight i. A value is step_at times level, then the sign.
  NBIT_INLINE static unsigned levels8(const stored* codes, std::int8_t* out) {
    ggml_block::point_levels<Grid>(index_of(codes[0]), out);
    return signs_of(codes[0]);
  }
  /// Weights 16 k to 16 k + 15 of a block with this d: a value is step times level, then the sign.
  NBIT_INLINE static ggml_block::sixteen_points points16(const std::byte* block, float d, int k) {
    const auto [first, second] = F::codes_from(block, k);
    return {ggml_block::point_word<Grid>(index_of(first)), ggml_block::point_word<Grid>(index_of(second)),
            signs_of(first) | signs_of(second) << 8, d * (0.5f + static_cast<float>(F::scale_at(block, k))) * 0.25f};
  }
  NBIT_INLINE static float block_scale(const std::byte* block) { return static_cast<float>(load_f16(block)); }
  NBIT_INLINE static float step_at(const params& p, int i) {
    return ggml_block::iq2_step(p, static_cast<int>(static_cast<unsigned>(i) / unsigned(Run)));
  }

 private:
  NBIT_INLINE static unsigned index_of(unsigned u) { return u & ((1u << IndexBits) - 1u); }
  NBIT_INLINE static unsigned signs_of(unsigned u) {
    return EvenSigns ? ggml_block::even_signs(u >> IndexBits & 127u) : u >> IndexBits & 255u;
  }
};

}  // namespace detail

/// ggml's IQ2_XXS: 2.0625 bits a weight on 256 points.
struct iq2_xxs : detail::iq2_points<iq2_xxs, iq2_xxs_grid, 8, true, 32> {
  static constexpr int ggml_type = 16;
  static constexpr std::size_t block_bytes = 66;
  static constexpr const char* name = "IQ2_XXS";

  /// One whole group without bounds; q may be null.
  template <class Steps = ggml_block::lattice_steps>
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint16_t* c,
                                            Steps&& steps = {}) {
    ggml_block::encode_iq2<ggml_block::iq2_xxs_search, 8>(x, q, p, c, steps);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq2_xxs_params(from); }
  NBIT_INLINE static int scale_at(const std::byte* block, int k) {
    return static_cast<int>(load_u32(block + 6 + 8 * (k / 2)) >> 28);
  }
  NBIT_INLINE static ggml_block::two_codes codes_from(const std::byte* block, int k) {
    const std::byte* const run = block + 2 + 8 * (k / 2);
    const unsigned points = load_u16(run + 2 * (k % 2)), signs = load_u32(run + 4) >> (14 * (k % 2));
    return {(points & 255u) | (signs & 127u) << 8, points >> 8 | (signs >> 7 & 127u) << 8};
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    ggml_block::load_iq2_xxs_codes(from, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    ggml_block::store_iq2_xxs(to, p, codes);
  }
};

/// ggml's IQ2_XS: 2.3125 bits a weight on 512 points.
struct iq2_xs : detail::iq2_points<iq2_xs, iq2_xs_grid, 9, true, 16> {
  static constexpr int ggml_type = 17;
  static constexpr std::size_t block_bytes = 74;
  static constexpr const char* name = "IQ2_XS";

  /// One whole group without bounds; q may be null.
  template <class Steps = ggml_block::lattice_steps>
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint16_t* c,
                                            Steps&& steps = {}) {
    ggml_block::encode_iq2<ggml_block::iq2_xs_search, 9>(x, q, p, c, steps);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    params p{load_f16(from), {}};
    __builtin_memcpy(p.packed, from + 66, sizeof p.packed);
    return p;
  }
  NBIT_INLINE static int scale_at(const std::byte* block, int k) {
    return std::to_integer<int>(block[66 + k / 2]) >> (4 * (k % 2)) & 15;
  }
  NBIT_INLINE static ggml_block::two_codes codes_from(const std::byte* block, int k) {
    return {load_u16(block + 2 + 4 * k), load_u16(block + 4 + 4 * k)};
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    for (int k = 0; k < 32; ++k) codes[k] = load_u16(from + 2 + 2 * k);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    store_f16(to, p.d);
    for (int k = 0; k < 32; ++k) store_u16(to + 2 + 2 * k, codes[k]);
    __builtin_memcpy(to + 66, p.packed, sizeof p.packed);
  }
};

/// ggml's IQ2_S: 2.5625 bits a weight on 1024 points, all signs kept.
struct iq2_s : detail::iq2_points<iq2_s, iq2_s_grid, 10, false, 16> {
  static constexpr int ggml_type = 22;
  static constexpr std::size_t block_bytes = 82;
  static constexpr const char* name = "IQ2_S";

  /// One whole group without bounds; q may be null.
  template <class Steps = ggml_block::lattice_steps>
  NBIT_HOST_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint32_t* c,
                                            Steps&& steps = {}) {
    ggml_block::encode_iq2<ggml_block::iq2_s_search, 10>(x, q, p, c, steps);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    params p{load_f16(from), {}};
    __builtin_memcpy(p.packed, from + 74, sizeof p.packed);
    return p;
  }
  NBIT_INLINE static int scale_at(const std::byte* block, int k) {
    return std::to_integer<int>(block[74 + k / 2]) >> (4 * (k % 2)) & 15;
  }
  NBIT_INLINE static ggml_block::two_codes codes_from(const std::byte* block, int k) {
    const unsigned points = load_u16(block + 2 + 2 * k), signs = load_u16(block + 34 + 2 * k),
                   upper = std::to_integer<unsigned>(block[66 + k / 2]) >> (4 * (k % 2));
    return {(points & 255u) | (upper & 3u) << 8 | (signs & 255u) << 10,
            points >> 8 | (upper >> 2 & 3u) << 8 | signs >> 8 << 10};
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint32_t* codes) {
    ggml_block::load_iq2_s_codes(from + 2, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint32_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_iq2_s_codes(to + 2, codes);
    __builtin_memcpy(to + 74, p.packed, sizeof p.packed);
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
