// nbit/kernel/block_gemv.hpp — gemv with int8 activations straight on the blocks of GGUF files.
//
// block_dots<Arch, F> is all that one format needs on one instruction set: the integer sums of a few neighbouring
// blocks. block_gemv does the rest. Formats without block_dots run through the generic gemv and get the same bits.
//
//   columns, step     columns of a block of sums (kernel/gemv.hpp's B, or a divisor); blocks that sums() takes at a
//   time width             bytes that arrange() writes for each block: columns, or more where some are there twice
//   extra             int32 numbers for each block that arrange() prepares for sums(), from the activations alone
//   scale_t, factor   f16 or float; what the scales that sums() stores are multiplied with, a power of two
//   arrange(codes, sums16, out, extra)   the activations of one step, in the order in which sums() wants them
//   sums(blocks, codes, extra, out)      I, J for two-level formats with an offset, and the scales, of one step, for
//                                        each of a few tokens: the blocks are decoded once
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_BLOCK_GEMV_HPP
#define NBIT_KERNEL_BLOCK_GEMV_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/prefetch.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_lattice.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/arch/block_lanes.hpp>
#include <nbit/arch/quads.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {

struct iq1_s;
struct iq1_m;
struct iq2_xxs;
struct iq2_xs;
struct iq2_s;
struct iq3_xxs;
struct iq3_s;

inline namespace NBIT_TAG {

/// Where sums() writes: one number for each block of the step. What kernel/gemv.hpp calls I and J, stride apart for
/// each token, and (super_)scale and (super_)offset.
template <class Scale>
struct block_sums {
  float *sum, *offset_sum;
  Scale *scale, *offset_scale;
  std::size_t stride;
};

/// A place in rows of a few tokens, which lie Stride apart.
template <class T, std::size_t Tokens, std::size_t Stride>
struct block_row {
  static constexpr std::size_t count = Tokens;
  const T* at;

  NBIT_INLINE block_row operator+(std::size_t n) const { return {at + n}; }
  NBIT_INLINE const T* operator[](std::size_t token) const { return at + token * Stride; }
};

template <class Arch, class F>
struct block_dots {};
template <class Arch, class F>
concept has_block_dots = requires { block_dots<Arch, F>::columns; };

/// What the block_dots of several formats share.
template <class Arch, class F>
struct block_dots_32;
template <class Arch, class F>
struct block_dots_halves;
template <class Arch, class F, std::size_t At>
struct block_dots_nibbles;
template <class Arch, class F, std::size_t At>
struct block_dots_fifth;
template <class Arch, class F>
struct block_dots_256;
template <class Arch, class F>
struct block_dots_lowered;
template <class Arch, class F>
struct block_dots_two_bits;
template <class Arch, class F, class Grid>
struct block_dots_lattice;
template <class Arch>
struct lattice_bits;
template <class Arch, class F>
struct block_dots_shifted;
template <class Arch, class F, class Grid>
struct lattice_loads;
template <class Arch, class F, class Grid>
struct lattice_planes;

/// Codes of 4 bits in a row, low ones first, as blocks of Columns: what the `linear` layout has of a uniform format.
template <class F, int Columns>
struct linear_nibbles {
  static constexpr int group = Columns, bias = -int{F::level(0)};
  static constexpr std::size_t block_bytes = Columns / 2;
  static constexpr bool symmetric = true;
};

/// What a matrix offers to block_gemv: the format of its blocks when chains add Length columns at a time, where row r
/// has column c (that of a block), the bytes that n columns take, and whether scales lie apart from the blocks.
template <class Weights>
struct block_source {};
template <block_format F>
struct block_source<packed_view<F, blocks>> {
  template <std::size_t>
  using block = F;
  static constexpr bool apart = false;
  static constexpr std::size_t group = std::size_t(F::group);

  NBIT_INLINE static const std::byte* at(const packed_view<F, blocks>& w, std::size_t r, std::size_t c) {
    return w.block(r, c / group);
  }
  NBIT_INLINE static std::size_t bytes(std::size_t n) { return (n + group - 1) / group * F::block_bytes; }
};
template <integer_format F>
  requires(F::bits == 4 && detail::levels_ascend<F> && (F::run <= 0 || F::run == F::group) &&
           (F::group <= 0 || (F::group % 32 == 0 && 4096 % F::group == 0)))
struct block_source<packed_view<F, linear>> {
  template <std::size_t Length>
  using block = linear_nibbles<F, Length % 128 == 0 ? 128 : 32>;
  static constexpr bool apart = true;

  NBIT_INLINE static const std::byte* at(const packed_view<F, linear>& w, std::size_t r, std::size_t c) {
    return reinterpret_cast<const std::byte*>(w.words) + (r * (w.padded().cols / 8) + c / 8) * 4;
  }
  NBIT_INLINE static std::size_t bytes(std::size_t n) { return (n + 7) / 8 * 4; }
};

/// rows<Tokens>(w, first, count, x, m, n, y, stride): y[t * stride + r] for rows first ... first + count - 1 and rows
/// m ... m + n - 1 of the activations, n <= Tokens. Tokens: 1, 2, or `tokens`.
template <class Arch, class Weights>
struct block_gemv;
template <class Arch, class Weights>
concept has_block_gemv = requires { block_source<Weights>::apart; } &&
                         has_block_dots<Arch, typename block_source<Weights>::template block<32>>;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/block_dots.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/block_dots_256.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/block_dots_lattice.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/block_gemv.inl>
#include <nbit/arch/stamp.inl>

#endif
