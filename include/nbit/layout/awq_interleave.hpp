// nbit/layout/awq_interleave.hpp — AWQ "gemm" checkpoints: eight outputs of one input in a word, even ones first.
//
// qweight is int32 [K, N / 8]; nibble i of a word holds output 8n + {0, 2, 4, 6, 1, 3, 5, 7}[i].
//
//   | n+7 | n+5 | n+3 | n+1 | n+6 | n+4 | n+2 | n+0 |   high nibble ... low nibble
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_AWQ_INTERLEAVE_HPP
#define NBIT_LAYOUT_AWQ_INTERLEAVE_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// The word order of qweight in AWQ GEMM checkpoints (4 bits; 8-bit codes go four to a word, 0 2 1 3).
struct awq_interleave {
  template <int Bits>
  struct map {
    static_assert(Bits == 4 || Bits == 8, "the AWQ interleave is defined for 4 and 8 bits");
    using word = std::uint32_t;
    static constexpr std::size_t per_word = 32 / std::size_t(Bits);
    static constexpr std::size_t tile_rows = per_word, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t e = r % per_word, field = e % 2 == 0 ? e / 2 : per_word / 2 + e / 2;
      return {c * (padded.rows / per_word) + r / per_word, int(field) * Bits + bit};
    }
  };
};

}  // namespace nbit

#endif
