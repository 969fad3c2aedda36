// nbit/format/ggml_lattice.hpp — points of ggml's lattices: their values, the nearest one, and neighbours by distance.
//
// Where the rounded levels of a few weights are no point of the lattice, the reference lets the points in the nearest
// shells of squared distance compete by weighted error, and keeps tables of all those neighbours. Here the shells are
// found when asked for, from one byte per point, coordinate and level, sixteen points at a time.
// Products of a step and a level have at most 22 significant bits: exact in float, with and without fused multiply-add.
// Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_LATTICE_HPP
#define NBIT_FORMAT_GGML_LATTICE_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
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
  struct table {
    std::int8_t of[Grid::points][Grid::dims];
  };
  static constexpr table make() {
    table t{};
    for (int j = 0; j < Grid::points; ++j)
      for (int i = 0; i < Grid::dims; ++i)
        t.of[j][i] = Grid::worth[Grid::keys[j] >> (Grid::bits * i) & ((1 << Grid::bits) - 1)];
    return t;
  }
  static constexpr table plane = make();
};

/// Writes step * coordinate of one point; bit i of signs makes weight i negative.  Needs: index < Grid::points.
template <class Grid>
NBIT_INLINE void point_values(unsigned index, unsigned signs, float step, float* out) {
  const std::int8_t* level = lattice_values<Grid>::plane.of[index];
  for (int i = 0; i < Grid::dims; i += 4) {
    const four_ints four = {level[i], level[i + 1], level[i + 2], level[i + 3]};
    const four_ints bit = four_ints{1, 2, 4, 8} << i, minus = (bit & static_cast<int>(signs)) == bit;
    const four_floats v = step * __builtin_convertvector(four, four_floats);
    const four_ints signed_bits = (four_ints)v ^ (minus & (-2147483647 - 1));
    __builtin_memcpy(out + i, &signed_bits, sizeof signed_bits);
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

/// The squared distance of coordinate i of each point of Grid from each level, in one byte.
template <class Grid>
struct lattice_distances {
  struct table {
    std::uint8_t of[Grid::dims][Grid::levels][Grid::points];
  };
  static constexpr table make() {
    table t{};
    for (int i = 0; i < Grid::dims; ++i)
      for (int j = 0; j < Grid::points; ++j) {
        const int at = Grid::keys[j] >> (Grid::bits * i) & ((1 << Grid::bits) - 1);
        for (int l = 0; l < Grid::levels; ++l) t.of[i][l][j] = static_cast<std::uint8_t>((at - l) * (at - l));
      }
    return t;
  }
  static constexpr table plane = make();
};

/// Points that compete for one place off the lattice, by index, with their squared distances.
template <class Grid>
struct lattice_shells {
  int count;  // 0: the place is the point index[0]
  std::uint16_t index[Grid::points];
  std::uint8_t distance[Grid::points];  // by point, not by place in the list
};

using sixteen_bytes = std::uint8_t __attribute__((vector_size(16)));

NBIT_INLINE void keep_least(sixteen_bytes& least, sixteen_bytes v) { least = v < least ? v : least; }
inline int least_of(sixteen_bytes v) {
  int least = 255;
  for (int i = 0; i < 16; ++i) least = v[i] < least ? v[i] : least;
  return least;
}

/// Finds the point that `key` is, or all points in the nearest Grid::shells shells of distance.
template <class Grid>
void find_shells(unsigned key, lattice_shells<Grid>& found) {
  constexpr int parts = Grid::points / 16;
  const auto& plane = lattice_distances<Grid>::plane.of;
  const std::uint8_t* row[Grid::dims];
  for (int i = 0; i < Grid::dims; ++i) row[i] = plane[i][key >> (Grid::bits * i) & ((1u << Grid::bits) - 1u)];
  sixteen_bytes least = sixteen_bytes{} + 255;
  for (int j = 0; j < parts; ++j) {
    sixteen_bytes sum, one;
    __builtin_memcpy(&sum, row[0] + 16 * j, sizeof sum);
    for (int i = 1; i < Grid::dims; ++i) {
      __builtin_memcpy(&one, row[i] + 16 * j, sizeof one);
      sum += one;
    }
    __builtin_memcpy(found.distance + 16 * j, &sum, sizeof sum);
    keep_least(least, sum);
  }
  int radius = least_of(least);
  const int shells = radius == 0 ? 1 : Grid::shells;
  for (int s = 1; s < shells; ++s) {
    const sixteen_bytes inner = sixteen_bytes{} + static_cast<std::uint8_t>(radius);
    least = sixteen_bytes{} + 255;
    for (int j = 0; j < parts; ++j) {
      sixteen_bytes v;
      __builtin_memcpy(&v, found.distance + 16 * j, sizeof v);
      keep_least(least, v > inner ? v : sixteen_bytes{} + 255);
    }
    const int next = least_of(least);
    if (next == 255) break;
    radius = next;
  }
  const sixteen_bytes outer = sixteen_bytes{} + static_cast<std::uint8_t>(radius);
  int count = 0;
  for (int j = 0; j < parts; ++j) {
    sixteen_bytes v;
    __builtin_memcpy(&v, found.distance + 16 * j, sizeof v);
    const auto inside = v <= outer;
    std::uint64_t half[2];
    __builtin_memcpy(half, &inside, sizeof half);
    if ((half[0] | half[1]) == 0) continue;
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      found.index[count] = static_cast<std::uint16_t>(i);  // count never passes i
      count += found.distance[i] <= radius;
    }
  }
  found.count = radius == 0 ? 0 : count;
}

/// Of the points that compete, the one with the least weighted error against x; level l of coordinate i is worth
/// scale * worth[l]. Of equal errors the nearer shell wins, then the lower index.
template <class Grid>
int best_neighbour(const lattice_shells<Grid>& found, const float* x, const float* weight, float scale,
                   const float* worth) {
  NBIT_EXACT
  constexpr unsigned mask = (1u << Grid::bits) - 1u;
  float cost[Grid::dims][Grid::levels];
  for (int i = 0; i < Grid::dims; ++i)
    for (int l = 0; l < Grid::levels; ++l) {
      const float diff = scale * worth[l] - x[i];
      cost[i][l] = weight[i] * diff * diff;
    }
  int best = found.index[0], shell = 0;
  float least = 3.402823466e38f;
  for (int n = 0; n < found.count; ++n) {
    const int j = found.index[n];
    const unsigned key = Grid::keys[j];
    float error = cost[0][key & mask];
    for (int i = 1; i < Grid::dims; ++i) error += cost[i][key >> (Grid::bits * i) & mask];
    if (error < least || (error == least && found.distance[j] < shell)) {
      least = error, best = j, shell = found.distance[j];
    }
  }
  return best;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
