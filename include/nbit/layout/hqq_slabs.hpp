// nbit/layout/hqq_slabs.hpp — HQQ checkpoints: the rows cut into 8 / b slabs that share bytes, the first slab highest.
//
//   b = 4, R rows:   byte (i, c) = | code (i, c) : high nibble | code (i + R/2, c) : low nibble |      i = 0 .. R/2 - 1
//
// The matrix is HQQ's own: groups along rows (axis 1) or columns (axis 0), see io/hqq_checkpoint.hpp.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_HQQ_SLABS_HPP
#define NBIT_LAYOUT_HQQ_SLABS_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {

/// The byte order of W_q in HQQ checkpoints of 8, 4, 2 and 1 bits.
struct hqq_slabs {
  template <int Bits>
  struct map {
    static_assert(8 % Bits == 0, "hqq_slabs needs a width that divides a byte: 1, 2, 4 or 8 bits");
    using word = std::uint8_t;
    static constexpr std::size_t slabs = 8 / std::size_t(Bits), tile_rows = slabs, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t height = padded.rows / slabs;
      return {r % height * padded.cols + c, static_cast<int>(slabs - 1 - r / height) * Bits + bit};
    }
  };
};

/// Three-bit codes, ten slabs in a word of 32 bits, the first at bit 27: two bits are left over.
struct hqq_ten_slabs {
  template <int Bits>
  struct map {
    static_assert(Bits == 3, "hqq_ten_slabs is for 3 bits");
    using word = std::uint32_t;
    static constexpr std::size_t slabs = 10, tile_rows = slabs, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t height = padded.rows / slabs;
      return {r % height * padded.cols + c, static_cast<int>(slabs - 1 - r / height) * Bits + bit};
    }
  };
};

}  // namespace nbit

#endif
