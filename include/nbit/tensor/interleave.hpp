// nbit/tensor/interleave.hpp — ggml blocks of several rows woven into one for kernels that compute them at once.
//
// What comes out lives in memory only: no file type has these blocks (ggml removed those that had), so a reader of
// GGUF refuses them and no writer takes them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_INTERLEAVE_HPP
#define NBIT_TENSOR_INTERLEAVE_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/interleaved_blocks.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Calls byte(to, r, at, flip) for each byte of the blocks of Rows rows that moves whole, and bit(to, r, at), counted
/// in bits, for the others.
template <class F, int Rows, int Chunk, class Byte, class Bit>
inline void walk_woven(Byte byte, Bit bit) {
  using layout = interleaved_blocks<F::ggml_type, F::block_bytes, Rows, Chunk>;
  for (const block_field& f : layout::fields_of::fields)
    for (std::size_t r = 0; r < std::size_t(Rows); ++r)
      for (std::size_t i = f.first; i < std::size_t(f.first) + f.length; ++i) {
        if (f.chunk != 0)
          byte(layout::at(r, 8 * i) / 8, r, i, std::byte{f.flip});
        else
          for (std::size_t b = 8 * i; b < 8 * i + 8; ++b) bit(layout::at(r, b), r, b);
      }
}

}  // namespace detail

#if !defined(NBIT_NO_HEAP)

/// The blocks of Rows rows at a time woven into one, Chunk bytes of codes in turn; Rows divides the rows of the matrix.
/// Errors: shape, out_of_memory, overflow.
template <int Rows, int Chunk, block_format F, class Byte>
inline result<buffer<std::byte>> interleave_blocks(const packed_view<F, blocks, Byte>& from,
                                                   allocator memory = default_allocator()) {
  static_assert(interleaved_blocks<F::ggml_type, F::block_bytes, Rows, Chunk>::is_bijection(),
                "interleave_blocks: chunks must divide the codes of the block, and k-quants take eight rows");
  if (from.rows % std::size_t(Rows) != 0)
    return make_error(errc::shape, "rows cannot be woven: they do not fill the last panel", "a multiple of Rows")
        .with(static_cast<std::int64_t>(from.rows));
  auto to = buffer<std::byte>::zeros(packed_bytes<F, blocks>(from.shape()), memory);
  if (!to) return to.error();
  const std::size_t per_row = groups_per_row<F>(from.cols), stride = per_row * F::block_bytes;
  std::byte* woven = to->data();
  for (std::size_t r = 0; r < from.rows; r += std::size_t(Rows))
    for (std::size_t g = 0; g < per_row; ++g, woven += std::size_t(Rows) * F::block_bytes) {
      const std::byte* const block = from.block(r, g);
      detail::walk_woven<F, Rows, Chunk>([=](std::size_t to_byte, std::size_t k, std::size_t at,
                                             std::byte flip) { woven[to_byte] = block[k * stride + at] ^ flip; },
                                         [=](std::size_t to_bit, std::size_t k, std::size_t at) {
                                           woven[to_bit / 8] |= (block[k * stride + at / 8] >> (at % 8) & std::byte{1})
                                                                << (to_bit % 8);
                                         });
    }
  return to;
}

/// The blocks of a matrix of this shape from woven ones: the inverse of interleave_blocks.
/// Errors: shape, out_of_memory, overflow.
template <int Rows, int Chunk, block_format F>
inline result<packed_matrix<F, blocks>> unweave_blocks(std::span<const std::byte> woven, shape s,
                                                       allocator memory = default_allocator()) {
  if (s.rows % std::size_t(Rows) != 0 || woven.size() != packed_bytes<F, blocks>(s))
    return make_error(errc::shape, "woven blocks do not fill a matrix of this shape", "rows a multiple of Rows")
        .with(static_cast<std::int64_t>(s.rows));
  auto to = packed_matrix<F, blocks>::make(s, memory);
  if (!to) return to.error();
  const std::size_t per_row = groups_per_row<F>(s.cols), stride = per_row * F::block_bytes;
  const std::byte* from = woven.data();
  for (std::size_t r = 0; r < s.rows; r += std::size_t(Rows))
    for (std::size_t g = 0; g < per_row; ++g, from += std::size_t(Rows) * F::block_bytes) {
      std::byte* const block = to->span().block(r, g);
      detail::walk_woven<F, Rows, Chunk>([=](std::size_t at_byte, std::size_t k, std::size_t at,
                                             std::byte flip) { block[k * stride + at] = from[at_byte] ^ flip; },
                                         [=](std::size_t at_bit, std::size_t k, std::size_t at) {
                                           block[k * stride + at / 8] |=
                                               (from[at_bit / 8] >> (at_bit % 8) & std::byte{1}) << (at % 8);
                                         });
    }
  return to;
}

#endif  // NBIT_NO_HEAP

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
