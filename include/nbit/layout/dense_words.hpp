// nbit/layout/dense_words.hpp — codes as one stream of bits in 32-bit words, along the columns or along the rows.
//
// compressed-tensors packs weights along the inputs, each output starting on a word, and zero points along the outputs.
// Codes whose width does not divide 32 cross from one word into the next. Both maps also take a shape that is not whole
// tiles: a row then ends in the middle of its last word, as in the files.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_DENSE_WORDS_HPP
#define NBIT_LAYOUT_DENSE_WORDS_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>
#include <nbit/layout/spread.hpp>

namespace nbit {
namespace detail {

/// The fewest codes of this width that fill whole words.
template <int Bits>
inline constexpr std::size_t codes_of_whole_words = Bits % 8 == 0   ? 4
                                                    : Bits % 4 == 0 ? 8
                                                    : Bits % 2 == 0 ? 16
                                                                    : 32;

}  // namespace detail

/// Rows of words, low bits first: weight_packed of compressed-tensors, int32 [N, ceil(K b / 32)].
struct dense_words {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = detail::codes_of_whole_words<Bits>;
    NBIT_INLINE static constexpr std::size_t row_words(std::size_t cols) {
      return (cols * std::size_t(Bits) + 31) / 32;
    }
    NBIT_INLINE static constexpr bit_place at(shape s, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = c * std::size_t(Bits) + static_cast<std::size_t>(bit);
      return {r * row_words(s.cols) + p / 32, static_cast<int>(p % 32)};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape s, std::size_t r, std::size_t c, std::uint8_t* out) {
      const word* const from = words + r * row_words(s.cols) + c * std::size_t(Bits) / 32;
      std::uint8_t bytes[tile_cols * std::size_t(Bits) / 8 + 8] = {};
      for (std::size_t i = 0; i < tile_cols * std::size_t(Bits) / 32; ++i)
        for (std::size_t b = 0; b < 4; ++b) bytes[4 * i + b] = static_cast<std::uint8_t>(from[i] >> (8 * b));
      if constexpr (tile_cols % 8 == 0)
        for (std::size_t i = 0; i < tile_cols / 8; ++i)
          detail::spread_codes<Bits>(bytes + i * std::size_t(Bits), out + 8 * i);
      else  // four codes of a byte each
        for (std::size_t i = 0; i < tile_cols; ++i) out[i] = bytes[i];
    }
  };
};

/// Columns of words, low bits first: weight_zero_point of compressed-tensors, int32 [ceil(N b / 32), G].
struct dense_columns {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = detail::codes_of_whole_words<Bits>, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape s, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = r * std::size_t(Bits) + static_cast<std::size_t>(bit);
      return {p / 32 * s.cols + c, static_cast<int>(p % 32)};
    }
  };
};

}  // namespace nbit

#endif
