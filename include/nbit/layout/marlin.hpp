// nbit/layout/marlin.hpp — Marlin: codes in the order in which the lanes of a warp multiply them; a run-time layout.
//
// Weights of 16 inputs and 64 outputs are one unit of 32 b words; units of neighbouring outputs follow each other, then
// the next 16 inputs. Lane l = 4 (n % 8) + k % 8 / 2 owns four inputs (2 (l % 4) + {0, 1, 8, 9}) of two outputs that
// lie 8 apart, in each of the four blocks of 16 outputs j:
//
//   b = 4   word 4 l + j       nibbles, low first: fragment 0 2 4 6 1 3 5 7      fragment x: input bit 0 of x, half of
//   b = 8   word 8 l + 2 j + h bytes, low first:   fragment 0 2 1 3              the inputs bit 1, half of the outputs
//   h
//                                                                                bit 2
// Never a file's layout: tensor/marlin.hpp makes it when a model is loaded. Ref: IST-DASLab/marlin, vLLM (Apache-2.0).
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_MARLIN_HPP
#define NBIT_LAYOUT_MARLIN_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {
namespace detail {

/// Where element e of 2 n lies when even ones come first.
NBIT_INLINE constexpr std::size_t even_first(std::size_t e, std::size_t half) { return e % 2 * half + e / 2; }

}  // namespace detail

/// The word order of Marlin's weights, int32 [K / 16, N b / 2], for 4 and 8 bits.
struct marlin {
  template <int Bits>
  struct map {
    static_assert(Bits == 4 || Bits == 8, "marlin is defined for 4 and 8 bits");
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 64, tile_cols = 16, unit = 32 * std::size_t(Bits);
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t lane = r % 8 * 4 + c % 8 / 2, block = r % 64 / 16, half = r % 16 / 8;
      const std::size_t input = c % 2 + 2 * (c % 16 / 8);  // of the four that a lane owns
      const std::size_t first = c / 16 * (padded.rows / 64 * unit) + r / 64 * unit;
      if constexpr (Bits == 4)
        return {first + 4 * lane + block, static_cast<int>(4 * detail::even_first(input + 4 * half, 4)) + bit};
      else
        return {first + 8 * lane + 2 * block + half, static_cast<int>(8 * detail::even_first(input, 2)) + bit};
    }
  };
};

/// The word order of Marlin's zero points, int32 [G, N b / 32], a matrix of outputs by groups.
struct marlin_zeros {
  template <int Bits>
  struct map {
    static_assert(Bits == 4 || Bits == 8, "marlin is defined for 4 and 8 bits");
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 64, tile_cols = 1, unit = 2 * std::size_t(Bits);
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t first = c * (padded.rows / 64 * unit) + r / 64 * unit, eighth = r % 64 / 8;
      if constexpr (Bits == 4)
        return {first + r % 8, static_cast<int>(4 * detail::even_first(eighth, 4)) + bit};
      else
        return {first + 2 * (r % 8) + eighth / 4, static_cast<int>(8 * detail::even_first(eighth % 4, 2)) + bit};
    }
  };
};

/// The output whose scale stands at place p of a row of Marlin's scales. Several groups in a row: blocks of 64 outputs,
/// every eighth together; one group for each output: blocks of 32, in the pairs that a lane adds up.
NBIT_INLINE constexpr std::size_t marlin_scale_output(std::size_t p, bool grouped) {
  if (grouped) return p / 64 * 64 + p % 64 / 8 + p % 8 * 8;
  return p / 32 * 32 + p % 32 / 8 * 2 + p % 8 / 2 * 8 + p % 2;
}

static_assert([] {  // scales are permuted, too
  for (const bool grouped : {false, true}) {
    bool hit[128] = {};
    for (std::size_t p = 0; p < 128; ++p) {
      if (hit[marlin_scale_output(p, grouped)]) return false;
      hit[marlin_scale_output(p, grouped)] = true;
    }
  }
  return true;
}());

}  // namespace nbit

#endif
