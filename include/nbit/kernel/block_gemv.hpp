// nbit/kernel/block_gemv.hpp — gemv with int8 activations straight on the blocks of GGUF files.
//
// block_dots<Arch, F> is all that one format needs on one instruction set: the integer sums of a few neighbouring
// blocks. block_gemv does the rest. Formats without block_dots run through the generic gemv and get the same bits.
//
//   columns, step     columns of a block of sums (kernel/gemv.hpp's B); blocks that sums() takes at a time
//   extra             int32 numbers for each block that arrange() prepares for sums(), from the activations alone
//   scale_t           f16, or float
//   arrange(codes, sums16, out, extra)   the activations of one step, in the order in which sums() wants them
//   sums(blocks, codes, extra, out)      I, J for two-level formats with an offset, and the scales, of one step
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_BLOCK_GEMV_HPP
#define NBIT_KERNEL_BLOCK_GEMV_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
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
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// Where sums() writes: one number for each block of the step. What kernel/gemv.hpp calls I and J, (super_)scale and
/// (super_)offset.
template <class Scale>
struct block_sums {
  float *sum, *offset_sum;
  Scale *scale, *offset_scale;
};

template <class Arch, class F>
struct block_dots {};
template <class Arch, class F>
concept has_block_dots = requires { block_dots<Arch, F>::columns; };

/// What the block_dots of several formats share.
template <class Arch, class F>
struct block_dots_32;
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

/// rows(w, first, count, x, m, y): y[r] for rows first ... first + count - 1 and row m of the activations.
template <class Arch, class F>
struct block_gemv;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/block_dots.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/block_gemv.inl>
#include <nbit/arch/stamp.inl>

#endif
