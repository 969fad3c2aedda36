// nbit/layout/split.hpp — a block of codes cut into 8/b runs that share bytes: the low bits hold the first run.
//
//   split<32>, b = 4:   byte j = | code j+16 : high nibble | code j : low nibble |      j = 0..15
//
// One AND and one shift give 16 neighbours each, which is why ggml's 4-bit blocks use it.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_SPLIT_HPP
#define NBIT_LAYOUT_SPLIT_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// Blocks of Block codes in row order; inside a block byte j holds codes j, j + n, j + 2n ... with n = Block * b / 8.
template <int Block>
struct split {
  template <int Bits>
  struct map {
    static_assert(8 % Bits == 0, "split needs a width that divides a byte: 1, 2, 4 or 8 bits");
    static_assert(Block * Bits % 8 == 0, "split needs blocks that fill whole bytes");
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = std::size_t(Block);
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      constexpr std::size_t bytes = std::size_t(Block) * std::size_t(Bits) / 8;
      const std::size_t block = (r * padded.cols + c) / std::size_t(Block), e = c % std::size_t(Block);
      return {block * bytes + e % bytes, int(e / bytes) * Bits + bit};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out) {
      constexpr std::size_t bytes = std::size_t(Block) * std::size_t(Bits) / 8;
      const word* const block = words + (r * padded.cols + c) / std::size_t(Block) * bytes;
      for (std::size_t e = 0; e < std::size_t(Block); ++e)
        out[e] = static_cast<std::uint8_t>(block[e % bytes] >> (e / bytes * std::size_t(Bits)) & ((1u << Bits) - 1u));
    }
  };
};

/// ggml's order for 32 four-bit codes.
using split_nibble = split<32>;

}  // namespace nbit

#endif
