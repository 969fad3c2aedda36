// nbit/layout/gptq_words.hpp — GPTQ checkpoints: 32 consecutive inputs of one output in b words, outputs side by side.
//
// qweight is int32 [K * b / 32, N]: word row k*b/32, column n. Matrix here is weights [rows = N, cols = K], so the
// words of one row lie N words apart. 32 codes form one stream of 32*b bits, low bits first; 3-, 5-, 6- and 7-bit codes
// straddle. Ref: docs/formats.md, GPTQ checkpoints.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_GPTQ_WORDS_HPP
#define NBIT_LAYOUT_GPTQ_WORDS_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>
#include <nbit/layout/spread.hpp>

namespace nbit {

/// The word order of qweight in GPTQ checkpoints (v1 and v2).
struct gptq_words {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 32;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = c % 32 * std::size_t(Bits) + std::size_t(bit);
      return {(c / 32 * std::size_t(Bits) + p / 32) * padded.rows + r, int(p % 32)};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out) {
      std::uint8_t bytes[4 * Bits];
      for (std::size_t i = 0; i < std::size_t(Bits); ++i) {
        const word w = words[(c / 32 * std::size_t(Bits) + i) * padded.rows + r];
        for (std::size_t b = 0; b < 4; ++b) bytes[4 * i + b] = static_cast<std::uint8_t>(w >> (8 * b));
      }
      for (std::size_t i = 0; i < 4; ++i) detail::spread_codes<Bits>(bytes + i * std::size_t(Bits), out + 8 * i);
    }
  };
};

}  // namespace nbit

#endif
