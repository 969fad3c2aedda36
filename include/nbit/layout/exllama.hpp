// nbit/layout/exllama.hpp — ExLlama: GPTQ's words with even codes in the low half and odd ones in the high; run-time.
//
// One AND with 0x000f000f then yields two codes that an OR turns into two f16 numbers. A word holds pairs (even, odd)
// from bit 0 and from bit 16 on; what does not fill pairs is spread over the bits left over:
//
//   b = 2, 4   whole words      b = 8   unchanged
//   b = 3, 5   32 codes in b words of 30 / b codes; bit i of codes 30 and 31 is bit 15 and bit 31 of word i
//   b = 6      16 codes in 3 words of 4; codes 12..15: low 4 bits fill words 0, 0, 1, 1, high 2 bits fill word 2
//
// Never a file's layout: made from gptq_words when a model is loaded. Ref: exllamav2 (MIT), vLLM (Apache-2.0).
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_EXLLAMA_HPP
#define NBIT_LAYOUT_EXLLAMA_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// The word order of ExLlama's kernels, int32 [K b / 32, N], for 2, 3, 4, 5, 6 and 8 bits.
struct exllama {
  template <int Bits>
  struct map {
    static_assert(Bits >= 2 && Bits <= 8 && Bits != 7, "exllama is defined for 2, 3, 4, 5, 6 and 8 bits");
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 32;

    /// Bit `bit` of code i of 32: counted through their b words.
    NBIT_INLINE static constexpr bit_place in_tile(std::size_t i, int bit) {
      constexpr std::size_t paired = 32 / std::size_t(Bits) / 2 * 2;  // codes of a word that have a partner
      const auto pair = [](std::size_t w, std::size_t p, int b) {
        return bit_place{w, static_cast<int>(p % 2 * 16 + p / 2 * std::size_t(Bits)) + b};
      };
      if constexpr (Bits == 8) {
        return {i / 4, static_cast<int>(i % 4 * 8) + bit};
      } else if constexpr (Bits == 6) {
        const std::size_t first = i / 16 * 3, e = i % 16;
        if (e < 12) return pair(first + e / paired, e % paired, bit);
        const int high = static_cast<int>(e % 2) * 16 + 12;
        if (bit < 4) return {first + (e - 12) / 2, high + bit};
        return {first + 2, high + static_cast<int>((e - 12) / 2 * 2) + bit - 4};
      } else if constexpr (32 % Bits == 0) {
        return pair(i / paired, i % paired, bit);
      } else {
        if (i < 30) return pair(i / paired, i % paired, bit);
        return {static_cast<std::size_t>(bit), i == 30 ? 15 : 31};
      }
    }
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const bit_place p = in_tile(c % 32, bit);
      return {(c / 32 * std::size_t(Bits) + p.word) * padded.rows + r, p.bit};
    }
  };
};

}  // namespace nbit

#endif
