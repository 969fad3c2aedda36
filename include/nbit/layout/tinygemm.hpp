// nbit/layout/tinygemm.hpp — torchao's "tile packed to 4d": 4-bit codes by tiles of 8 outputs and 16 inputs.
//
// int32 [N / 8, K / (16 Inner), 32, Inner / 2]: lane l holds output l / 4 of its tile; its word w covers two tiles of
// 16 inputs, that is 32 inputs from 32 w on, of which the lane has 2 (l % 4) + {0, 1, 8, 9, 16, 17, 24, 25}:
//
//   | 25 | 17 | 9 | 1 | 24 | 16 | 8 | 0 |   + 2 (l % 4)      high nibble ... low nibble
//
// Ref: PyTorch's _convert_weight_to_int4pack and torchao (BSD-3-Clause); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_TINYGEMM_HPP
#define NBIT_LAYOUT_TINYGEMM_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// The word order of torchao's tile-packed weights; Inner tiles of 16 inputs lie together (2, 4 or 8).
template <int Inner = 8>
struct tinygemm {
  static_assert(Inner == 2 || Inner == 4 || Inner == 8, "tinygemm: Inner must be 2, 4 or 8");
  template <int Bits>
  struct map {
    static_assert(Bits == 4, "tinygemm is defined for 4 bits");
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 8, tile_cols = 16 * std::size_t(Inner);
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t tile = r / 8 * (padded.cols / tile_cols) + c / tile_cols;
      const std::size_t lane = r % 8 * 4 + c % 8 / 2, word = c % tile_cols / 32, eighth = c % 32 / 8;
      return {(tile * 32 + lane) * (std::size_t(Inner) / 2) + word, static_cast<int>(4 * (c % 2 * 4 + eighth)) + bit};
    }
  };
};

}  // namespace nbit

#endif
