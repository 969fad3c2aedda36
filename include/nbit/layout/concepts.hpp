// nbit/layout/concepts.hpp — where each bit of each code lives, and the proof that no two collide.
//
// A layout is a bijection from (row, column, bit) to (word, bit). It is a struct with one static constexpr function:
//
//   struct my_layout {
//     template <int Bits> struct map {
//       using word = std::uint32_t;
//       static constexpr std::size_t tile_rows = 1, tile_cols = 32;            // the smallest repeating piece
//       static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit);
//     };
//   };
//
// A map may add unpack_tile(words, padded, r, c, out): the tile_cols codes of row r from column c, a multiple of
// tile_cols; and pack_tile(words, padded, r, c, codes), the inverse. They must agree with at(); tests/layout compares
// them.
//
// `padded` is the matrix rounded up to whole tiles. pack, unpack and repack derive from at(); static_assert(
// is_bijection<my_layout, 4>()) proves it on a 2 x 2 arrangement of tiles.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_CONCEPTS_HPP
#define NBIT_LAYOUT_CONCEPTS_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>

namespace nbit {

/// A bit's place: index of the word, and the bit inside it (0 is the least significant).
struct bit_place {
  std::size_t word;
  int bit;
};

/// A placement of codes of Bits bits.
template <class L, int Bits = 4>
concept code_layout = requires(shape s, std::size_t i) {
  typename L::template map<Bits>::word;
  { L::template map<Bits>::tile_rows } -> std::convertible_to<std::size_t>;
  { L::template map<Bits>::tile_cols } -> std::convertible_to<std::size_t>;
  { L::template map<Bits>::at(s, i, i, 0) } -> std::same_as<bit_place>;
};

/// The layout of formats that bring their own blocks (ggml): rows of whole blocks, one after another.
struct blocks {};

/// A shape rounded up to whole tiles of the layout.
template <class L, int Bits>
NBIT_INLINE constexpr shape padded_shape(shape s) {
  using map = typename L::template map<Bits>;
  return {(s.rows + map::tile_rows - 1) / map::tile_rows * map::tile_rows,
          (s.cols + map::tile_cols - 1) / map::tile_cols * map::tile_cols};
}

/// Words that hold a matrix of codes in this layout.
template <class L, int Bits>
NBIT_INLINE constexpr std::size_t words_for(shape s) {
  const shape p = padded_shape<L, Bits>(s);
  return p.rows * p.cols * std::size_t(Bits) / (sizeof(typename L::template map<Bits>::word) * 8);
}

/// True when every bit of every word of a 2 x 2 arrangement of tiles is hit exactly once.
template <class L, int Bits>
consteval bool is_bijection() {
  using map = typename L::template map<Bits>;
  constexpr shape s{2 * map::tile_rows, 2 * map::tile_cols};
  constexpr int word_bits = int(sizeof(typename map::word)) * 8;
  constexpr std::size_t words = words_for<L, Bits>(s);
  if (words * std::size_t(word_bits) != s.rows * s.cols * std::size_t(Bits)) return false;
  bool hit[words * std::size_t(word_bits)] = {};
  for (std::size_t r = 0; r < s.rows; ++r)
    for (std::size_t c = 0; c < s.cols; ++c)
      for (int b = 0; b < Bits; ++b) {
        const bit_place p = map::at(s, r, c, b);
        if (p.word >= words || p.bit < 0 || p.bit >= word_bits) return false;
        bool& seen = hit[p.word * std::size_t(word_bits) + std::size_t(p.bit)];
        if (seen) return false;
        seen = true;
      }
  return true;
}

}  // namespace nbit

#endif
