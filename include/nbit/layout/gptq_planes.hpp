// nbit/layout/gptq_planes.hpp — planar GPTQ checkpoints ("gptq_p"): 32 codes in b words, cut into planes of 4, 2 and 1
// bit.
//
// The widths of the planes are the binary digits of b, and the lowest bits of a code lie in the first plane, which is
// the widest: 3 = 2 + 1, 5 = 4 + 1, 6 = 4 + 2, 7 = 4 + 2 + 1. A plane of p bits is p words, 32 / p codes in each, low
// bits first. Words of one output lie N apart, as in gptq_words; 2, 4 and 8 bits are one plane and equal it.
//
//   b = 3:   words 0, 1: bits 0..1 of codes 0..15, 16..31   word 2: bit 2 of codes 0..31
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_GPTQ_PLANES_HPP
#define NBIT_LAYOUT_GPTQ_PLANES_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {
namespace detail {

/// The bit of a tile of 32 codes, counted through its words, that holds bit `bit` of code i.
template <int Bits>
NBIT_INLINE constexpr std::size_t plane_bit(std::size_t i, int bit) {
  int first = 0;  // the plane's first word, which is also its lowest bit of a code
  int plane = Bits >= 8 ? 8 : Bits >= 4 ? 4 : Bits >= 2 ? 2 : 1;
  while (bit >= first + plane) {
    first += plane;
    while (plane > Bits - first) plane /= 2;
  }
  return static_cast<std::size_t>(first) * 32 + i * static_cast<std::size_t>(plane) +
         static_cast<std::size_t>(bit - first);
}

}  // namespace detail

/// The word order of qweight in planar GPTQ checkpoints.
struct gptq_planes {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 32;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = detail::plane_bit<Bits>(c % 32, bit);
      return {(c / 32 * std::size_t(Bits) + p / 32) * padded.rows + r, static_cast<int>(p % 32)};
    }
  };
};

/// The same along the outputs, words of a group side by side: qzeros of planar GPTQ checkpoints, int32 [G, N b / 32].
struct gptq_plane_rows {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 32, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = detail::plane_bit<Bits>(r % 32, bit);
      return {(c * (padded.rows / 32) + r / 32) * std::size_t(Bits) + p / 32, static_cast<int>(p % 32)};
    }
  };
};

}  // namespace nbit

#endif
