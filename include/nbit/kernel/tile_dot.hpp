// nbit/kernel/tile_dot.hpp — dots of a tile of sixteen rows with activations, and the order of their additions.
//
// Lanes are rows, so an output never waits for a sum across lanes. With int8 activations the order of additions is, for
// an output of a weight row and a token, over rising columns (run: columns that share a weight scale, at most 256 and a
// power of two; act: the same for activation scales; segment: the shorter, wide: the longer of the two):
//
//   sum    exact integer dot of levels and codes of a segment, as float (also exact)
//   inner  = fma(sum, fine scale, inner) over the segments of a wide piece, from 0; the fine scale is that of segments
//            weights with offsets and run <= act: then inner = fma(offset, sum of the segment's codes, inner)
//   outer  = fma(inner, coarse scale, outer) over the wide pieces, from 0
//            weights with offsets and run > act: then outer = fma(offset, activation sum, outer), where the activation
//            sum is the chain fma(act scale, sum of codes, ...) over the segments of the piece
//
// With bf16 activations, those below 2^-118 counting as zeros:
//
//   inner  = fma(level, activation, inner) over the columns of a run, from 0, in the order 1, 0, 3, 2, 5, 4, ...
//   outer  = fma(inner, scale, outer) over the runs, from 0
//            weights with offsets: then outer = fma(offset, sum, outer), where the sum of the run's activations is that
//            of sixteen lanes: lane i adds columns i, i + 16, ...; then 16 -> 8 -> 4 -> 2 -> 1
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_TILE_DOT_HPP
#define NBIT_KERNEL_TILE_DOT_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/prefetch.hpp>
#include <nbit/tensor/row_tiles.hpp>
#include <nbit/arch/code_lanes.hpp>
#include <nbit/arch/level_lanes.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/register_tile.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// Reads scales, offsets and codes of a tile of one form.
template <class Arch, tile_form Form>
struct tile_reader;

/// Dots of tiles of one form, or of panels made of them, with activations X: int8_activations<Group> or
/// matrix_view<const bf16>.
template <class Arch, tile_form Form, class X>
struct tile_dot;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/tile_dot.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP_EXTENSIONS
#define NBIT_STAMP <nbit/kernel/bf16_dot.inl>
#include <nbit/arch/stamp.inl>

#endif
