// nbit/layout/tiled.hpp — Rows rows side by side in chunks of a few codes: the order matrix kernels read in sequence.
//
//   tiled<4>, chunk 8:   | row 0: c0..c7 | row 1: c0..c7 | row 2: c0..c7 | row 3: c0..c7 | row 0: c8..c15 | ...
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_TILED_HPP
#define NBIT_LAYOUT_TILED_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>
#include <nbit/layout/spread.hpp>

namespace nbit {

/// Panels of Rows rows, each walked in chunks of Chunk codes (linear inside a chunk), row by row.
template <int Rows, int Chunk = 8>
struct tiled {
  template <int Bits>
  struct map {
    static_assert(Chunk * Bits % 8 == 0, "tiled needs chunks that fill whole bytes; 8 codes always do");
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = std::size_t(Rows), tile_cols = std::size_t(Chunk);
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t tile = r / tile_rows * (padded.cols / tile_cols) + c / tile_cols;
      const std::size_t p =
          ((tile * tile_rows + r % tile_rows) * tile_cols + c % tile_cols) * std::size_t(Bits) + std::size_t(bit);
      return {p / 8, int(p % 8)};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out)
      requires(Chunk % 8 == 0)
    {
      const std::size_t tile = r / tile_rows * (padded.cols / tile_cols) + c / tile_cols;
      const word* const chunk = words + (tile * tile_rows + r % tile_rows) * tile_cols / 8 * std::size_t(Bits);
      for (std::size_t i = 0; i < tile_cols; i += 8)
        detail::spread_codes<Bits>(chunk + i / 8 * std::size_t(Bits), out + i);
    }
  };
};

}  // namespace nbit

#endif
