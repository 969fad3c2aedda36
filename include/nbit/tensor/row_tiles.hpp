// nbit/tensor/row_tiles.hpp — the form kernels like best: sixteen rows side by side, their scales beside their codes.
//
// A tile holds sixteen rows and reads from front to back. It is cut into chunks of 256 columns:
//
//   chunk   | scales (and offsets), 16 rows for each run of columns, padded to 64 bytes | blocks of 32 columns ... |
//   block   bits * 64 bytes: eight steps of four columns, in planes of 4, 2 and 1 bits (8-bit codes: one plane)
//   plane   of w bits: w vectors of 64 bytes; byte 4 r + j of vector v holds, at bit w k, the bits of row r in column
//           4 s + j of the block, s = v * 8 / w + k
//
// So a shift and an AND of 64 bytes give four columns of sixteen rows. A row that ends early ends in whole blocks.
// Scales keep the size they have in files (f16, bf16; k-quants: f16 times a byte for each run), or become f32.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_ROW_TILES_HPP
#define NBIT_TENSOR_ROW_TILES_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/tensor/tile_form.hpp>

namespace nbit {

/// The storage for kernels: repack<row_tiles>(view, executor) makes it once, at load.
struct row_tiles {
  template <class F>
  NBIT_INLINE static constexpr std::size_t bytes(shape s) {
    static_assert(
        tileable<F>,
        "row_tiles holds formats with integer levels (uneven ones up to 4 bits) or codebooks up to 4 bits, and "
        "scales over 16 columns or more; keep this one in its own layout");
    return (s.rows + tile_form::rows - 1) / tile_form::rows * form_of<F>.tile_bytes(s.cols);
  }
};

/// A tensor in tiles of sixteen rows; the last tile is filled up with zero rows.
template <class F, class Byte>
struct packed_view<F, row_tiles, Byte> {
  static_assert(tileable<F>,
                "row_tiles holds formats with integer levels (uneven ones up to 4 bits) or codebooks up to 4 bits, and "
                "scales over 16 columns or more; keep this one in its own layout");
  using format = F;
  using layout = row_tiles;
  static constexpr tile_form form = form_of<F>;

  Byte* bytes = nullptr;
  std::size_t rows = 0, cols = 0;

  NBIT_HOST_INLINE constexpr packed_view() = default;
  NBIT_INLINE constexpr packed_view(std::span<Byte> region, nbit::shape s) {
    NBIT_EXPECTS((region.size() >= packed_bytes<F, row_tiles>(s)),
                 "packed_view: the region must hold packed_bytes<F, row_tiles>(shape) bytes");
    bytes = region.data(), rows = s.rows, cols = s.cols;
  }
  NBIT_INLINE constexpr operator packed_view<F, row_tiles, const std::byte>() const
    requires(!std::is_const_v<Byte>)
  {
    return {std::span<const std::byte>(bytes, packed_bytes<F, row_tiles>(shape())), shape()};
  }

  [[nodiscard]] NBIT_INLINE constexpr nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE constexpr std::size_t tiles() const { return (rows + form.rows - 1) / form.rows; }
  [[nodiscard]] NBIT_INLINE constexpr Byte* tile(std::size_t t) const { return bytes + t * form.tile_bytes(cols); }
};

inline namespace NBIT_TAG {
namespace detail {

/// Codes c ... c + n - 1 of row r, from any other storage; c is a multiple of 256.
template <class F, class L>
inline void tile_source_codes(const packed_view<F, L>& from, std::size_t r, std::size_t c, std::size_t n,
                              std::uint8_t* out) {
  if constexpr (std::is_same_v<L, blocks>) {
    constexpr std::size_t length = std::size_t(F::group);
    std::uint8_t codes[length];
    for (std::size_t at = c; at < c + n;) {
      const std::size_t inside = at % length, most = length - inside, left = c + n - at, m = most < left ? most : left;
      F::load_codes(from.block(r, at / length), codes);
      std::memcpy(out + (at - c), codes + inside, m);
      at += m;
    }
  } else {
    unpack_row<L, F::bits>(from.words, from.padded(), r, c, n, out);
  }
}

/// A block of 32 columns: codes[row][column] to bits * 64 bytes.
template <int Bits>
inline void store_tile_block(const std::uint8_t (&codes)[tile_form::rows][tile_form::chunk], std::size_t c,
                             std::uint8_t* out) {
  int low = 0;
  for (int width = 8; width > 0; width /= 2) {
    if ((Bits & width) == 0) continue;
    const int per = 8 / width;
    for (int v = 0; v < width; ++v, out += 64)
      for (std::size_t i = 0; i < 64; ++i) {
        unsigned byte = 0;
        for (int k = 0; k < per; ++k) {
          const unsigned code = codes[i / 4][c + std::size_t(v * per + k) * 4 + i % 4];
          byte |= (code >> low & ((1u << width) - 1u)) << (k * width);
        }
        out[i] = static_cast<std::uint8_t>(byte);
      }
    low += width;
  }
}

/// Writes one row's number of one run, as the form stores it.
template <class F>
inline void store_tile_numbers(std::byte* head, const typename F::params& p, int s, std::size_t slot, std::size_t row) {
  constexpr tile_form form = form_of<F>;
  constexpr std::size_t rows = tile_form::rows;
  const auto put = [](std::byte* to, auto value) { std::memcpy(to, &value, sizeof value); };
  const float scale = tile_scale<F>(p, s);
  if constexpr (form.scale == tile_number::f32)
    put(head + (slot * rows + row) * 4, scale);
  else if constexpr (form.scale == tile_number::f16)
    put(head + (slot * rows + row) * 2, f16::from(scale).bits);
  else if constexpr (form.scale == tile_number::bf16)
    put(head + (slot * rows + row) * 2, bf16::from(scale).bits);
  else {
    put(head + row * 2, f16::from(F::super_scale(p)).bits);
    int byte = F::sub_scale(p, s);
    if constexpr (form.scale == tile_number::f16_times_low4) byte |= F::sub_offset(p, s) << 4;
    put(head + 32 + slot * rows + row, static_cast<std::uint8_t>(byte));
  }
  std::byte* const second = head + form.bytes_of(form.scale);
  if constexpr (form.offset == tile_number::f32)
    put(second + (slot * rows + row) * 4, F::offset(p, s));
  else if constexpr (form.offset == tile_number::f16)
    put(second + (slot * rows + row) * 2, f16::from(F::offset(p, s)).bits);
  else if constexpr (form.offset == tile_number::zero_u8)
    put(second + slot * rows + row, static_cast<std::uint8_t>(p.zero));
  else if constexpr (form.offset == tile_number::f16_times_u8) {
    put(second + row * 2, f16::from(F::super_offset(p)).bits);
    put(second + 32 + slot * rows + row, static_cast<std::uint8_t>(F::sub_offset(p, s)));
  } else if constexpr (form.offset == tile_number::f16_times_high4) {
    put(second + row * 2, f16::from(F::super_offset(p)).bits);
  }
}

/// Writes tile t of `to`.
template <class F, class L>
inline void store_tile(const packed_view<F, L>& from, packed_span<F, row_tiles> to, std::size_t t) {
  constexpr tile_form form = form_of<F>;
  const std::size_t cols = from.cols, first = t * form.rows,
                    rows = from.rows - first < form.rows ? from.rows - first : form.rows;
  std::byte* at = to.tile(t);
  for (std::size_t c = 0; c < cols; c += form.chunk) {
    const std::size_t n = cols - c < form.chunk ? cols - c : form.chunk;
    std::uint8_t codes[tile_form::rows][tile_form::chunk] = {};
    std::memset(at, 0, form.head_bytes());
    for (std::size_t r = 0; r < rows; ++r) {
      tile_source_codes(from, first + r, c, n, codes[r]);
      for (std::size_t slot = 0; slot * std::size_t(form.run) < n; ++slot) {
        const std::size_t column = c + slot * std::size_t(form.run), length = group_length<F>(cols),
                          g = column / length;
        int s = 0;
        if constexpr (tile_run<F> > 0) s = static_cast<int>(column % length / std::size_t(F::run));
        if constexpr (std::is_same_v<L, blocks>)
          store_tile_numbers<F>(at, F::load_params(from.block(first + r, g)), s, slot, r);
        else
          store_tile_numbers<F>(at, from.group_params(first + r, g), s, slot, r);
      }
    }
    at += form.head_bytes();
    for (std::size_t i = 0; i < n; i += form.block, at += form.block_bytes())
      store_tile_block<F::bits>(codes, i, reinterpret_cast<std::uint8_t*>(at));
  }
}

/// The code of row r of a tile at column c of a block.
template <int Bits>
NBIT_INLINE std::uint8_t tile_code(const std::byte* block, std::size_t r, std::size_t c) {
  unsigned code = 0;
  int low = 0;
  for (int width = 8; width > 0; width /= 2) {
    if ((Bits & width) == 0) continue;
    const std::size_t per = std::size_t(8 / width), s = c / 4;
    const unsigned byte = std::to_integer<unsigned>(block[s / per * 64 + r * 4 + c % 4]);
    code |= (byte >> (s % per * std::size_t(width)) & ((1u << width) - 1u)) << low;
    block += 64 * width, low += width;
  }
  return static_cast<std::uint8_t>(code);
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
