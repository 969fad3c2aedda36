// nbit/kernel/decode.hpp — reads pieces of a weight row as floats, or as integer levels with their scales.
//
// row_decoder<Arch, Weights> is where a format meets an instruction set. The generic one asks the format for every
// value, so any format runs everywhere; a specialisation for one (Arch, Weights) slots in and must give the same
// floats.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_DECODE_HPP
#define NBIT_KERNEL_DECODE_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// floats(w, r, c, n, out): weights [c, c + n) of row r; c a multiple of chunk_of<Weights>, n at most that.
/// levels(w, r, c, n, level, scale, offset) for integer formats: n levels, and a scale and an offset for every 16
/// columns; the levels up to the next multiple of 64 are zeroed.
template <class Arch, class Weights>
struct row_decoder;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/decode.inl>
#include <nbit/arch/stamp.inl>

#endif
