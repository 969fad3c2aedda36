// nbit/layout/awq_gemv_rows.hpp — AWQ "gemv_fast" checkpoints: four outputs take turns, 64 inputs at a time.
//
// qweight is int16 [N / 4, K]. A stretch of 64 words holds 64 inputs of four outputs, 16 words for each output; of
// those words 0..7 hold inputs 0..31 and words 8..15 inputs 32..63:
//
//   word j:   | j+24 | j+16 | j+8 | j |   high nibble ... low nibble         j = 0..7, inputs of the half
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_AWQ_GEMV_ROWS_HPP
#define NBIT_LAYOUT_AWQ_GEMV_ROWS_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// The word order of qweight in AWQ GEMVFast checkpoints (4 bits), which llm-awq's second version uses too.
struct awq_gemv_rows {
  template <int Bits>
  struct map {
    static_assert(Bits == 4, "the order of AWQ GEMVFast is defined for 4 bits");
    using word = std::uint16_t;
    static constexpr std::size_t tile_rows = 4, tile_cols = 64;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      return {r / 4 * padded.cols + c / 64 * 64 + r % 4 * 16 + c % 64 / 32 * 8 + c % 8,
              static_cast<int>(c % 32 / 8 * 4) + bit};
    }
  };
};

}  // namespace nbit

#endif
