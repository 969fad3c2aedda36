// nbit/format/ggml_shells.hpp — neighbours of a place off a lattice, by squared distance, and the best of them.
//
// Where the rounded levels of a few weights are no point of the lattice, ggml's encoders let the points in the nearest
// shells of squared distance compete by weighted error. The reference keeps tables of all those neighbours; here they
// are found when asked for. Keys are cut in two: a row of bits for each upper half says which lower halves make a
// point, and rings of bits around the lower half pick those at a distance.
// Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_SHELLS_HPP
#define NBIT_FORMAT_GGML_SHELLS_HPP

#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/format/ggml_lattice.hpp>
#include <nbit/format/ggml_search.hpp>

#if !defined(__CUDACC_RTC__)  // for encoders on the host alone

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// Halves of keys of Dims coordinates, and how far they are from each other.
template <int Dims>
struct half_rings {
  static constexpr int dims = Dims / 2, bits = Dims == 4 ? 3 : 2, levels = Dims == 4 ? 8 : 3, key_bits = dims * bits;
  static constexpr int halves = Dims == 4 ? 64 : 81, words = (halves + 63) / 64;
  static constexpr int reach = Dims == 4 ? 40 : 17;  // no shell that matters is as far; ggml_shells_test looks
  struct table {
    std::uint8_t key[halves], place[1 << key_bits];  // dense number of a half to its key, and back
    std::uint64_t ring[halves][reach][words];        // the halves at a distance
    std::uint8_t neighbour[halves][halves], at[halves][halves], count[halves];  // by rising distance
  };
  static constexpr table make() {
    table t{};
    for (int k = 0, n = 0; k < 1 << key_bits; ++k) {
      bool real = true;
      for (int i = 0; i < dims; ++i) real = real && (k >> (bits * i) & ((1 << bits) - 1)) < levels;
      if (real) t.key[n] = static_cast<std::uint8_t>(k), t.place[k] = static_cast<std::uint8_t>(n++);
    }
    for (int a = 0; a < halves; ++a) {
      int start[reach + 1] = {}, distance[halves] = {};
      for (int b = 0; b < halves; ++b) {
        for (int i = 0; i < dims; ++i) {
          const int mask = (1 << bits) - 1;
          const int diff = (t.key[a] >> (bits * i) & mask) - (t.key[b] >> (bits * i) & mask);
          distance[b] += diff * diff;
        }
        if (distance[b] >= reach) continue;
        t.ring[a][distance[b]][b / 64] |= std::uint64_t{1} << (b % 64);
        ++start[distance[b] + 1], ++t.count[a];
      }
      for (int d = 1; d <= reach; ++d) start[d] += start[d - 1];
      for (int b = 0; b < halves; ++b) {
        if (distance[b] >= reach) continue;
        const int to = start[distance[b]]++;
        t.neighbour[a][to] = static_cast<std::uint8_t>(b), t.at[a][to] = static_cast<std::uint8_t>(distance[b]);
      }
    }
    return t;
  }
  static constexpr table rings = make();
};

/// The points of Grid as rows of bits: bit l of row h says that the key with upper half h and lower half l is a point.
template <class Grid>
struct lattice_rows {
  using halves = half_rings<Grid::dims>;
  struct table {
    std::uint64_t member[halves::halves][halves::words];
    std::uint16_t first[halves::halves];  // index of the row's first point
  };
  static constexpr table make() {
    table t{};
    int row = -1;
    for (int j = 0; j < Grid::points; ++j) {
      const int low = halves::rings.place[Grid::keys[j] & ((1 << halves::key_bits) - 1)];
      const int high = halves::rings.place[Grid::keys[j] >> halves::key_bits];
      if (high != row) row = high, t.first[row] = static_cast<std::uint16_t>(j);
      t.member[row][low / 64] |= std::uint64_t{1} << (low % 64);
    }
    return t;
  }
  static constexpr table rows = make();

  /// The index of a point.  Needs: key is one.
  static int index_of(unsigned key) {
    const int low = halves::rings.place[key & ((1u << halves::key_bits) - 1u)];
    const int high = halves::rings.place[key >> halves::key_bits];
    int before = rows.first[high];
    for (int w = 0; w < low / 64; ++w) before += __builtin_popcountll(rows.member[high][w]);
    return before + __builtin_popcountll(rows.member[high][low / 64] & ((std::uint64_t{1} << (low % 64)) - 1));
  }
};

/// Points that compete for one place as keys, the nearest first, of equally near ones the lower index; none if the
/// place is a point itself.
template <class Grid>
struct lattice_shells {
  int count;
  std::uint16_t key[Grid::points];
};

/// Finds the points in the nearest Grid::shells shells of distance around a place, or none if it is a point.
template <class Grid>
void find_shells(unsigned key, lattice_shells<Grid>& found) {
  using halves = half_rings<Grid::dims>;
  constexpr auto& rings = halves::rings;
  constexpr auto& rows = lattice_rows<Grid>::rows;
  const int low = rings.place[key & ((1u << halves::key_bits) - 1u)], high = rings.place[key >> halves::key_bits];
  found.count = 0;
  if ((rows.member[high][low / 64] >> (low % 64) & 1u) != 0) return;
  int count = 0;
  std::uint64_t inside[halves::halves][halves::words];
  for (int d = 1, shells = 0; d < halves::reach && shells < Grid::shells; ++d) {
    std::uint64_t hit[halves::words] = {};  // upper halves with a point at distance d
    for (int n = 0; n < rings.count[high] && rings.at[high][n] <= d; ++n) {
      const int row = rings.neighbour[high][n];
      const std::uint64_t* ring = rings.ring[low][d - rings.at[high][n]];
      std::uint64_t any = 0;
      for (int w = 0; w < halves::words; ++w) any |= inside[row][w] = rows.member[row][w] & ring[w];
      hit[row / 64] |= std::uint64_t{any != 0} << (row % 64);
    }
    const int before = count;
    for (int v = 0; v < halves::words; ++v)
      for (std::uint64_t left = hit[v]; left != 0; left &= left - 1) {
        const int row = 64 * v + __builtin_ctzll(left);
        for (int w = 0; w < halves::words; ++w)
          for (std::uint64_t bits = inside[row][w]; bits != 0; bits &= bits - 1)
            found.key[count++] = static_cast<std::uint16_t>(rings.key[row] << halves::key_bits |
                                                            rings.key[64 * w + __builtin_ctzll(bits)]);
      }
    shells += count != before;
  }
  found.count = count;
}

/// Of the points that compete, the key of the one with the least weighted error against x, for four scales: level l of
/// coordinate i is worth scale * worth[l]. Of equal errors the first wins.
template <class Grid>
four_ints best_neighbours(const lattice_shells<Grid>& found, const float* x, const float* weight, four_floats scale,
                          const float* worth) {
  NBIT_EXACT
  constexpr int mask = (1 << Grid::bits) - 1;
  four_floats cost[Grid::dims][Grid::levels], least = four_floats{} + 3.402823466e38f;
  for (int l = 0; l < Grid::levels; ++l) {
    const four_floats v = scale * worth[l];
    for (int i = 0; i < Grid::dims; ++i) {
      const four_floats diff = v - x[i];
      cost[i][l] = weight[i] * diff * diff;
    }
  }
  four_ints best = four_ints{} + found.key[0];
  for (int n = 0; n < found.count; ++n) {
    const int key = found.key[n];
    four_floats error = cost[0][key & mask];
    for (int i = 1; i < Grid::dims; ++i) error += cost[i][key >> (Grid::bits * i) & mask];
    const four_ints better = error < least;
    least = better ? error : least;
    best = better ? four_ints{} + key : best;
  }
  return best;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // __CUDACC_RTC__

#endif
