// nbit/layout/linear.hpp — codes of a row one after another, low bits first, in a stream of bytes.
//
// Row r starts on a byte: rows are padded to a multiple of 8 codes. Code c occupies bits [c*b, c*b + b) of its row.
//
//   b = 3:   byte 0  | c2.1 c2.0 | c1.2 c1.1 c1.0 | c0.2 c0.1 c0.0 |   byte 1 | c5.0 | c4 | c3 | c2.2 | ...
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_LINEAR_HPP
#define NBIT_LAYOUT_LINEAR_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>
#include <nbit/layout/spread.hpp>

namespace nbit {

/// Codes in order, low bits first, rows on byte boundaries; compressed-tensors' order when cols is a multiple of 32.
struct linear {
  template <int Bits>
  struct map {
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 8;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = c * std::size_t(Bits) + std::size_t(bit);
      return {r * (padded.cols / 8 * std::size_t(Bits)) + p / 8, int(p % 8)};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out) {
      detail::spread_codes<Bits>(words + (r * (padded.cols / 8) + c / 8) * std::size_t(Bits), out);
    }
    NBIT_INLINE static void pack_tile(word* words, shape padded, std::size_t r, std::size_t c,
                                      const std::uint8_t* codes) {
      detail::squeeze_codes<Bits>(codes, words + (r * (padded.cols / 8) + c / 8) * std::size_t(Bits));
    }
  };
};

}  // namespace nbit

#endif
