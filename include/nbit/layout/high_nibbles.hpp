// nbit/layout/high_nibbles.hpp — two codes in a byte, the first one in the high nibble: bitsandbytes' order.
//
// bitsandbytes packs a tensor as one row; rows of an odd number of codes end in half a byte.
//
//   byte j = | code 2j : high nibble | code 2j+1 : low nibble |
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_HIGH_NIBBLES_HPP
#define NBIT_LAYOUT_HIGH_NIBBLES_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// Four-bit codes in order, the even ones high.
struct high_nibbles {
  template <int Bits>
  struct map {
    static_assert(Bits == 4, "high_nibbles is defined for 4 bits");
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 2;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      return {r * (padded.cols / 2) + c / 2, (c % 2 == 0 ? 4 : 0) + bit};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out) {
      const word both = words[r * (padded.cols / 2) + c / 2];
      out[0] = static_cast<std::uint8_t>(both >> 4), out[1] = static_cast<std::uint8_t>(both & 15u);
    }
  };
};

}  // namespace nbit

#endif
