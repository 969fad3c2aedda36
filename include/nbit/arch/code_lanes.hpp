// nbit/arch/code_lanes.hpp — the primitives of kernels on row tiles: 64 codes of sixteen rows, and their integer dots.
//
// A vector of bytes holds four columns of sixteen rows; lane r of a vector of sums belongs to row r.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_CODE_LANES_HPP
#define NBIT_ARCH_CODE_LANES_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// field<Low, Width, To>(b): bits Low .. of every byte, moved to bit To. lookup: a table of sixteen bytes.
/// step<Top>(sums, partial, b, x): lane r adds b[4r + j] * x[j], j = 0..3; bytes are unsigned, 0 .. Top.
/// At most `steps<Top>` of them before flush<Top>(sums, partial), which leaves the exact sums and empties partial.
/// sums_at: sixteen int32 in memory. level<J>(values, b): values[b[4r + J]] as float, of sixteen; bytes are 0 .. 15.
/// centre<Top>: what an instruction set wants to be subtracted from bytes up to Top (128 where it has signed dots
/// only).
template <class Arch>
struct code_lanes;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/code_lanes.inl>
#include <nbit/arch/stamp.inl>

#endif
