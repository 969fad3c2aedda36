// nbit/layout/pack.hpp — codes to words and back, derived from a layout's bijection.
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_PACK_HPP
#define NBIT_LAYOUT_PACK_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/layout/concepts.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// The code at (r, c) of a matrix of Bits-bit codes.  Needs: r, c inside `padded`.
template <class Layout, int Bits>
NBIT_INLINE constexpr std::uint32_t code_at(const typename Layout::template map<Bits>::word* words, shape padded,
                                            std::size_t r, std::size_t c) {
  using map = typename Layout::template map<Bits>;
  const bit_place first = map::at(padded, r, c, 0), last = map::at(padded, r, c, Bits - 1);
  if (first.word == last.word && last.bit == first.bit + Bits - 1)  // the common case: one shift and one mask
    return (std::uint32_t{words[first.word]} >> first.bit) & ((1u << Bits) - 1u);
  std::uint32_t code = 0;
  for (int b = 0; b < Bits; ++b) {
    const bit_place p = map::at(padded, r, c, b);
    code |= (std::uint32_t{words[p.word]} >> p.bit & 1u) << b;
  }
  return code;
}

/// Reads n codes of row r from column c on.
template <class Layout, int Bits, class Code>
inline void unpack_row(const typename Layout::template map<Bits>::word* words, shape padded, std::size_t r,
                       std::size_t c, std::size_t n, Code* out) {
  using map = typename Layout::template map<Bits>;
  std::size_t i = 0;
  if constexpr (requires { map::unpack_tile(words, padded, r, c, out); }) {
    if (c % map::tile_cols == 0)
      for (; i + map::tile_cols <= n; i += map::tile_cols) map::unpack_tile(words, padded, r, c + i, out + i);
  }
  for (; i < n; ++i) out[i] = static_cast<Code>(code_at<Layout, Bits>(words, padded, r, c + i));
}

/// Writes n codes of row r from column c on; the bits of those codes must be zero before.
template <class Layout, int Bits, class Code>
inline void pack_row(const Code* codes, typename Layout::template map<Bits>::word* words, shape padded, std::size_t r,
                     std::size_t c, std::size_t n) {
  using map = typename Layout::template map<Bits>;
  using word = typename map::word;
  std::size_t i = 0;
  if constexpr (requires { map::pack_tile(words, padded, r, c, codes); }) {
    if (c % map::tile_cols == 0)
      for (; i + map::tile_cols <= n; i += map::tile_cols) map::pack_tile(words, padded, r, c + i, codes + i);
  }
  for (; i < n; ++i) {
    const std::uint32_t code = static_cast<std::uint32_t>(codes[i]) & ((Bits < 32 ? 1u << (Bits & 31) : 0u) - 1u);
    const bit_place first = map::at(padded, r, c + i, 0), last = map::at(padded, r, c + i, Bits - 1);
    if (first.word == last.word && last.bit == first.bit + Bits - 1) {  // the common case: one shift
      words[first.word] = static_cast<word>(words[first.word] | static_cast<word>(code << first.bit));
      continue;
    }
    for (int b = 0; b < Bits; ++b) {
      const bit_place p = map::at(padded, r, c + i, b);
      words[p.word] = static_cast<word>(words[p.word] | static_cast<word>((code >> b & 1u) << p.bit));
    }
  }
}

/// Packs a rows x cols matrix of codes into words_for<Layout, Bits>(shape) words; padding is zero.
template <class Layout, int Bits, class Code>
inline void pack(matrix_view<const Code> codes, std::span<typename Layout::template map<Bits>::word> words) {
  const shape padded = padded_shape<Layout, Bits>(codes.shape());
  for (auto& w : words) w = 0;
  for (std::size_t r = 0; r < codes.rows; ++r)
    pack_row<Layout, Bits>(codes.row(r).data(), words.data(), padded, r, 0, codes.cols);
}

/// Unpacks a rows x cols matrix of codes.
template <class Layout, int Bits, class Code>
inline void unpack(std::span<const typename Layout::template map<Bits>::word> words, matrix_view<Code> codes) {
  const shape padded = padded_shape<Layout, Bits>(codes.shape());
  for (std::size_t r = 0; r < codes.rows; ++r)
    unpack_row<Layout, Bits>(words.data(), padded, r, 0, codes.cols, codes.row(r).data());
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
