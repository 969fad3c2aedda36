// nbit/layout/warp_tiles.hpp — 8 rows x 128 columns in the order in which the lanes of a warp load and multiply them.
//
// Lane l = 4 (r % 8) + c % 32 / 8 owns 32 codes of one row: the eight columns from 8 (l % 4) on of each 32. That is
// what mma.m16n8k16 wants of its second operand, steps of 16 columns being taken in an order of their own, and each
// group of columns that is a multiple of 32 has one scale for the eight codes of a piece. A tile holds planes:
//
//   Bits    1   2   3     4   5     6     7         8        a plane of p bits: p words for lane 0, lane 1, ...
//   planes  1   2   2+1   4   4+1   4+2   4+2+1     8        (8: four for each lane, then four more); lowest bits first
//
//   word of a plane   | odd codes, upper half: ... 5 3 1 | even codes, lower half: ... 4 2 0 |
//
// No code crosses a word; a warp's loads are runs of 512, 256 or 128 bytes; a shift and a mask give two codes.
// Tiles of a panel of rows follow each other. A run-time layout: repack<warp_tiles> makes it of any other.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_WARP_TILES_HPP
#define NBIT_LAYOUT_WARP_TILES_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// The order of codes for GPU kernels, in every width.
struct warp_tiles {
  /// The plane of Bits-bit codes that holds bit `bit`: its width, and the bits of a code that lie below it.
  struct plane {
    int width, below;
  };
  template <int Bits>
  NBIT_INLINE static constexpr plane plane_of(int bit) {
    if constexpr (Bits == 8) return {8, 0};
    constexpr int nibbles = Bits / 4 * 4;
    if (bit < nibbles) return {4, 0};
    return (Bits & 2) != 0 && bit < nibbles + 2 ? plane{2, nibbles} : plane{1, Bits - 1};
  }

  template <int Bits>
  struct map {
    static_assert(Bits >= 1 && Bits <= 8, "warp_tiles is defined for 1 to 8 bits");
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 8, tile_cols = 128, tile_words = 32 * std::size_t(Bits);

    /// Where the tile of row r and column c begins.
    NBIT_INLINE static constexpr std::size_t tile(shape padded, std::size_t r, std::size_t c) {
      return (r / tile_rows * (padded.cols / tile_cols) + c / tile_cols) * tile_words;
    }
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t lane = r % 8 * 4 + c % 32 / 8, code = c % tile_cols / 32 * 8 + c % 8;  // of the lane's 32
      const plane p = plane_of<Bits>(bit);
      const std::size_t width = std::size_t(p.width), per_word = 32 / width, word = code / per_word,
                        i = code % per_word;
      const std::size_t load = width < 4 ? width : 4;  // words of a lane side by side
      return {tile(padded, r, c) + 32 * (std::size_t(p.below) + word / load * load) + lane * load + word % load,
              static_cast<int>(width * (i / 2) + 16 * (i % 2)) + bit - p.below};
    }
  };
};

}  // namespace nbit

#endif
