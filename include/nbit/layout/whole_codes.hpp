// nbit/layout/whole_codes.hpp — as many whole codes as fit into a word, low bits first, the rest of the word unused.
//
//   b = 3:   word = | 00 | c9 | c8 | ... | c1 | c0 |        whole_columns: along a row; whole_rows: down a column
//
// Words where b does not divide 32 have bits that mean nothing, so these are read and never written: compressed-tensors
// before dense packing (layout/dense_words.hpp).
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_WHOLE_CODES_HPP
#define NBIT_LAYOUT_WHOLE_CODES_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// Codes of a row side by side in words of 32 bits; every row begins on a word.
struct whole_columns {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t per_word = 32 / std::size_t(Bits), tile_rows = 1, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape s, std::size_t r, std::size_t c, int bit) {
      return {r * ceil_div(s.cols, per_word) + c / per_word, static_cast<int>(c % per_word) * Bits + bit};
    }
  };
};

/// Codes of a column side by side; every column begins on a word.
struct whole_rows {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t per_word = 32 / std::size_t(Bits), tile_rows = 1, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape s, std::size_t r, std::size_t c, int bit) {
      return {r / per_word * s.cols + c, static_cast<int>(r % per_word) * Bits + bit};
    }
  };
};

}  // namespace nbit

#endif
