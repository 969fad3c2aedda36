// nbit/format/ggml_lattice.hpp — the lattices of ggml's IQ formats: what points mean, and the nearest one to some
// weights.
//
// Products of a step and a level have at most 22 significant bits: exact in float, with and without fused multiply-add.
// Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_LATTICE_HPP
#define NBIT_FORMAT_GGML_LATTICE_HPP

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
#include <nbit/format/ggml_grids.hpp>
#include <nbit/format/ggml_search.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// What IQ formats store for 256 weights besides the codes: f16 d and 4 bits for each of Runs runs.
template <int Runs>
struct iq_params {
  f16 d;
  std::uint8_t packed[Runs / 2];  // even runs in the low nibbles

  /// The 4 bits of run s.  Needs: 0 <= s < Runs.
  NBIT_INLINE constexpr int nibble(int s) const { return packed[s >> 1] >> (4 * (s & 1)) & 15; }
};

/// A lattice of ggml: points, coordinates of a point (dims), levels and bits of a coordinate, and how many shells of
/// neighbours its encoder considers. worth: what a level means before it is scaled.
template <int Points, int Dims, int Levels, int Bits, int Shells, const std::uint16_t (&Keys)[Points]>
struct iq_grid {
  static constexpr int points = Points, dims = Dims, levels = Levels, bits = Bits, shells = Shells;
  static constexpr const std::uint16_t* keys = Keys;
};
struct iq2_xxs_grid : iq_grid<256, 8, 3, 2, 2, iq2_xxs_points> {
  static constexpr std::int8_t worth[] = {8, 25, 43};
};
struct iq2_xs_grid : iq_grid<512, 8, 3, 2, 2, iq2_xs_points> {
  static constexpr std::int8_t worth[] = {8, 25, 43};
};
struct iq2_s_grid : iq_grid<1024, 8, 3, 2, 1, iq2_s_points> {
  static constexpr std::int8_t worth[] = {8, 25, 43};
};
struct iq3_xxs_grid : iq_grid<256, 4, 8, 3, 2, iq3_xxs_points> {
  static constexpr std::int8_t worth[] = {4, 12, 20, 28, 36, 44, 52, 62};
};
struct iq3_s_grid : iq_grid<512, 4, 8, 3, 3, iq3_s_points> {
  static constexpr std::int8_t worth[] = {1, 3, 5, 7, 9, 11, 13, 15};
};
struct iq1_grid : iq_grid<2048, 8, 3, 2, 3, iq1_points> {
  static constexpr std::int8_t worth[] = {-1, 0, 1};
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// What the coordinates of each point mean, expanded from the list of indices.
template <class Grid>
struct lattice_values {
  struct alignas(8) values {
    std::int8_t of[Grid::points][Grid::dims];
  };
  static constexpr values make() {
    values t{};
    for (int j = 0; j < Grid::points; ++j)
      for (int i = 0; i < Grid::dims; ++i)
        t.of[j][i] = Grid::worth[Grid::keys[j] >> (Grid::bits * i) & ((1 << Grid::bits) - 1)];
    return t;
  }
  static constexpr values table = make();
};

/// Writes step * coordinate of one point; bit i of signs makes weight i negative.  Needs: index < Grid::points.
template <class Grid>
NBIT_INLINE void point_values(unsigned index, unsigned signs, float step, float* out) {
  const std::int8_t* level = device_table<lattice_values<Grid>>().of[index];
#if defined(__CUDA_ARCH__)  // no vector types there
  for (int i = 0; i < Grid::dims; ++i) {
    const float v = step * static_cast<float>(level[i]);
    out[i] = (signs >> i & 1u) != 0 ? -v : v;
  }
#else
  for (int i = 0; i < Grid::dims; i += 4) {
    const four_ints four = {level[i], level[i + 1], level[i + 2], level[i + 3]};
    const four_ints bit = four_ints{1, 2, 4, 8} << i, minus = (bit & static_cast<int>(signs)) == bit;
    const four_floats v = step * __builtin_convertvector(four, four_floats);
    const four_ints signed_bits = (four_ints)v ^ (minus & (-2147483647 - 1));
    __builtin_memcpy(out + i, &signed_bits, sizeof signed_bits);
  }
#endif
}

/// Levels of 16 weights, one in each byte, the first lowest, their signs, the first in bit 0, and their step.
struct sixteen_points {
  std::uint64_t low, high;
  unsigned signs;
  float step;
};

/// The levels of one point, the first in the low byte.  Needs: index < Grid::points.
template <class Grid>
NBIT_INLINE std::uint64_t point_word(unsigned index) {
  const auto* const from = static_cast<const std::byte*>(
      __builtin_assume_aligned(device_table<lattice_values<Grid>>().of[index], std::size_t(Grid::dims)));
  if constexpr (Grid::dims == 8)
    return load_u64(from);
  else
    return load_u32(from);
}

/// Writes the levels of one point.  Needs: index < Grid::points.
template <class Grid>
NBIT_INLINE void point_levels(unsigned index, std::int8_t* out) {
  __builtin_memcpy(out, device_table<lattice_values<Grid>>().of[index], std::size_t(Grid::dims));
}

/// The levels of two points of four coordinates.
template <class Grid>
NBIT_INLINE std::uint64_t two_points(unsigned first, unsigned second) {
  return point_word<Grid>(first) | point_word<Grid>(second) << 32;
}

/// Negates those of eight levels whose bit is set.
NBIT_INLINE void sign_levels(unsigned signs, std::int8_t* level) {
  for (unsigned i = 0; i < 8; ++i) {
    const int minus = -static_cast<int>(signs >> i & 1u);
    level[i] = static_cast<std::int8_t>((level[i] ^ minus) - minus);
  }
}

/// The point nearest to magnitudes x by plain squared error, and the nearest when one weight must change its sign.
struct nearest_points {
  int plain, flipped, flipped_weight;
  float plain_error, flipped_error;
};
template <class Grid, bool Flips>
nearest_points nearest_lattice_points(const float* x, float step) {
  NBIT_EXACT
  constexpr unsigned mask = (1u << Grid::bits) - 1u;
  float cost[Grid::dims][Grid::levels], extra[Grid::dims][Grid::levels];
  for (int i = 0; i < Grid::dims; ++i)
    for (int l = 0; l < Grid::levels; ++l) {
      const float v = step * static_cast<float>(Grid::worth[l]);
      cost[i][l] = (x[i] - v) * (x[i] - v);
      extra[i][l] = 4.0f * x[i] * v;
    }
  nearest_points found{0, 0, 0, __builtin_inff(), __builtin_inff()};
  for (int j = 0; j < Grid::points; ++j) {
    const unsigned key = Grid::keys[j];
    float error = cost[0][key & mask];
    for (int i = 1; i < Grid::dims; ++i) error += cost[i][key >> (Grid::bits * i) & mask];
    if (error < found.plain_error) found.plain_error = error, found.plain = j;
    if constexpr (Flips) {
      if (!(error < found.flipped_error)) continue;  // a flip only adds
      int weight = 0;
      float least = extra[0][key & mask];
      for (int i = 1; i < Grid::dims; ++i) {
        const float more = extra[i][key >> (Grid::bits * i) & mask];
        if (more < least) least = more, weight = i;
      }
      if (error + least < found.flipped_error)
        found.flipped_error = error + least, found.flipped = j, found.flipped_weight = weight;
    }
  }
  return found;
}

/// Magnitudes and signs of N weights relative to a step of either sign.
template <int N>
unsigned solver_signs(const float* w, float step, float* magnitude) {
  unsigned signs = 0;
  for (int i = 0; i < N; ++i) {
    magnitude[i] = nbit::abs(w[i]);
    signs |= ((w[i] < 0.0f) != (step < 0.0f) ? 1u : 0u) << i;
  }
  return signs;
}

/// The stored 7 signs and the eighth that follows: the count of minus signs is even.
NBIT_INLINE unsigned even_signs(unsigned seven) {
  return seven | static_cast<unsigned>(__builtin_popcount(seven) & 1) << 7;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// What int8 kernels ask of the IQ types: a weight is d / Divisor * (2 * scale + 1) * level, one scale for Run weights.
template <class F, int Run, int Divisor>
struct iq_integers {
  static constexpr int run = Run, divisor = Divisor;
  static constexpr bool symmetric = true;

  NBIT_INLINE static float super_scale(const auto& p) { return static_cast<float>(p.d) * (1.0f / Divisor); }
  NBIT_INLINE static int sub_scale(const auto& p, int s) { return 2 * F::scale_code(p, s) + 1; }
  NBIT_INLINE static float scale(const auto& p, int s) { return super_scale(p) * static_cast<float>(sub_scale(p, s)); }
  // where scales are nibbles, and levels8 has magnitudes and signs
  NBIT_INLINE static int scale_code(const auto& p, int s) { return p.nibble(s); }
  NBIT_INLINE static void signed_levels(const auto* codes, const auto&, int, std::int8_t* out) {
    ggml_block::sign_levels(F::levels8(codes, out), out);
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
