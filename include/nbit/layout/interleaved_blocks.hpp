// nbit/layout/interleaved_blocks.hpp — blocks of several rows woven into one: ggml's repacked rows; a run-time layout.
//
// The blocks of Rows neighbouring rows at the same columns become one. Each field of the block (scales, codes) is cut
// into chunks of some bytes, and the rows take turns:
//
//   q4_0, Rows = 4, Chunk = 4   | d0 d1 d2 d3 | q0[0..3] q1[0..3] q2[0..3] q3[0..3] q0[4..7] ... q3[12..15] |
//
// The 6-bit scales of Q4_K and Q5_K are transposed: 12 bytes hold one sub-block of eight rows as a block holds eight
// sub-blocks of one row. Nibbles of Q4_0 are stored as two's complement: each byte is XORed with 0x88. Never a file's
// layout: tensor/interleave.hpp makes it when a model is loaded. Ref: ggml (MIT), repack.cpp of August 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_INTERLEAVED_BLOCKS_HPP
#define NBIT_LAYOUT_INTERLEAVED_BLOCKS_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>

namespace nbit {

/// Bytes of a block that are woven together: `length` from `first` on, `chunk` at a time. chunk == 0: the 12 bytes of
/// 6-bit scales and minima of Q4_K and Q5_K, transposed. flip: XORed into every byte.
struct block_field {
  std::uint16_t first, length, chunk;
  std::uint8_t flip = 0;
};

/// The fields of a ggml type in the order in which its woven blocks store them; specialise it for a type of your own.
/// Chunk is the one for the codes.
template <int GgmlType, int Chunk>
struct woven_fields;

template <int Chunk>
struct woven_fields<2, Chunk> {  // Q4_0
  static constexpr int widest = 16;
  static constexpr block_field fields[] = {{0, 2, 2}, {2, 16, Chunk, 0x88}};
};
template <int Chunk>
struct woven_fields<8, Chunk> {  // Q8_0
  static constexpr int widest = 16;
  static constexpr block_field fields[] = {{0, 2, 2}, {2, 32, Chunk}};
};
template <int Chunk>
struct woven_fields<20, Chunk> {  // IQ4_NL
  static constexpr int widest = 16;
  static constexpr block_field fields[] = {{0, 2, 2}, {2, 16, Chunk}};
};
template <int Chunk>
struct woven_fields<39, Chunk> {  // MXFP4
  static constexpr int widest = 8;
  static constexpr block_field fields[] = {{0, 1, 1}, {1, 16, Chunk}};
};
template <int Chunk>
struct woven_fields<10, Chunk> {  // Q2_K: scales 16, codes 64, d, dmin
  static constexpr int widest = 8;
  static constexpr block_field fields[] = {{80, 2, 2}, {82, 2, 2}, {0, 16, 2}, {16, 64, Chunk}};
};
template <int Chunk>
struct woven_fields<12, Chunk> {  // Q4_K: d, dmin, scales 12, codes 128
  static constexpr int widest = 8;
  static constexpr block_field fields[] = {{0, 2, 2}, {2, 2, 2}, {4, 12, 0}, {16, 128, Chunk}};
};
template <int Chunk>
struct woven_fields<13, Chunk> {  // Q5_K: d, dmin, scales 12, high bits 32, codes 128
  static constexpr int widest = 8;
  static constexpr block_field fields[] = {{0, 2, 2}, {2, 2, 2}, {4, 12, 0}, {16, 32, Chunk}, {48, 128, Chunk}};
};
template <int Chunk>
struct woven_fields<14, Chunk> {  // Q6_K: low 128, high 64, scales 16, d
  static constexpr int widest = 8;
  static constexpr block_field fields[] = {{208, 2, 2}, {192, 16, 1}, {0, 128, Chunk}, {128, 64, Chunk}};
};

namespace detail {

/// The bit of 12 packed bytes that holds bit `bit` of 6-bit scale j (which == 0) or minimum j (which == 1), j = 0..7.
NBIT_INLINE constexpr int k_scale_bit(int j, int which, int bit) {
  if (j < 4) return 8 * (j + 4 * which) + bit;
  return bit < 4 ? 8 * (j + 4) + 4 * which + bit : 8 * (j - 4 + 4 * which) + bit + 2;
}

/// What a bit of the 12 packed bytes is: scale or minimum, which one of 8, which bit of its 6.
struct k_scale_place {
  int j, which, bit;
};
NBIT_INLINE constexpr k_scale_place k_scale_at(int packed) {
  const int byte = packed / 8, b = packed % 8;
  if (byte < 8) return {byte % 4 + (b < 6 ? 0 : 4), byte / 4, b < 6 ? b : b - 2};
  return {byte - 4, b / 4, b % 4};
}

}  // namespace detail

/// Where bits of the blocks of Rows rows go in their woven block. Bytes is the size of one block.
template <int GgmlType, std::size_t Bytes, int Rows, int Chunk>
struct interleaved_blocks {
  using fields_of = woven_fields<GgmlType, Chunk>;
  static_assert(Rows >= 1 && Rows <= fields_of::widest, "interleaved_blocks: this type is woven from fewer rows");

  static constexpr std::size_t rows = std::size_t(Rows), block_bytes = Bytes;

  /// The bit of the woven block for bit `bit` (counted through the bytes) of the block of row r.
  NBIT_INLINE static constexpr std::size_t at(std::size_t r, std::size_t bit) {
    std::size_t base = 0;  // where the field begins in the woven block, in bytes
    const std::size_t byte = bit / 8;
    for (const block_field& f : fields_of::fields) {
      if (byte >= f.first && byte < std::size_t(f.first) + f.length) {
        const std::size_t i = byte - f.first;
        if (f.chunk == 0) {  // sub-block j of row r becomes sub-block r of twelve bytes j
          const detail::k_scale_place p = detail::k_scale_at(static_cast<int>(8 * i + bit % 8));
          return (base + 12 * std::size_t(p.j)) * 8 +
                 static_cast<std::size_t>(detail::k_scale_bit(static_cast<int>(r), p.which, p.bit));
        }
        return (base + (i / f.chunk * rows + r) * f.chunk + i % f.chunk) * 8 + bit % 8;
      }
      base += f.length * rows;
    }
    return ~std::size_t{0};  // a byte that no field names: the proof below fails
  }

  /// True when every bit of the woven block is hit exactly once. Bytes of fields with chunks move whole.
  static consteval bool is_bijection() {
    std::uint8_t hit[rows * Bytes] = {};
    for (const block_field& f : fields_of::fields) {
      if (f.chunk == 0 ? rows != 8 : f.length % f.chunk != 0) return false;
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = f.first; i < std::size_t(f.first) + f.length; ++i)
          for (std::size_t bit = 8 * i; bit < 8 * i + 8; bit += f.chunk == 0 ? 1 : 8) {
            const std::size_t to = at(r, bit);
            if (to >= rows * Bytes * 8) return false;
            const unsigned mask = f.chunk == 0 ? 1u << (to % 8) : 0xffu;
            if ((hit[to / 8] & mask) != 0) return false;
            hit[to / 8] = static_cast<std::uint8_t>(hit[to / 8] | mask);
          }
    }
    for (const std::uint8_t h : hit)
      if (h != 0xff) return false;
    return true;
  }
};

static_assert([] {  // the two directions of the 6-bit scales agree
  for (int j = 0; j < 8; ++j)
    for (int which = 0; which < 2; ++which)
      for (int bit = 0; bit < 6; ++bit) {
        const detail::k_scale_place p = detail::k_scale_at(detail::k_scale_bit(j, which, bit));
        if (p.j != j || p.which != which || p.bit != bit) return false;
      }
  return true;
}());

}  // namespace nbit

#endif
