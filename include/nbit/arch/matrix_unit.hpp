// nbit/arch/matrix_unit.hpp — products of sixteen rows with a few tokens in registers that hold matrices of int8.
//
//   AMX-INT8      16 tokens x 64 columns by 64 columns x 16 rows: one instruction, in tiles that are configured first
//   NEON, I8MM    2 rows x 8 columns by 8 columns x 2 tokens: SMMLA, 24 of them for sixteen rows and six tokens
//
// Activations are cut into pieces of `depth` columns; of a piece, the codes of the first token come first, then those
// of the second, up to `tokens`. Of the rows' codes, a tile's steps in a panel (kernel/tile_dot.hpp), four columns of
// sixteen rows each, `weave` makes what the unit wants, in place: on AMX they are that already.
// Ref: Intel SDM volume 1, chapter 18; Arm ARM, SMMLA.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_MATRIX_UNIT_HPP
#define NBIT_ARCH_MATRIX_UNIT_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// The tiles of AMX: configure, release; zero; multiply_add(tokens, stride, rows, stride), signed by unsigned; store.
template <class Arch>
struct tile_registers;

/// tokens: of one product; least: for fewer, dots are faster. depth<Segment>: columns of a piece, for products of at
/// most Segment columns. session<Segment>: an object that must live while products are made.
/// multiply<Segment>(rows, x, columns, count, sums): sums[16 t + r], exact, for `count` tokens or more.
template <class Arch>
struct matrix_unit;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/tile_registers.inl>
#include <nbit/arch/stamp_matrices.inl>
#define NBIT_STAMP <nbit/arch/matrix_unit.inl>
#include <nbit/arch/stamp_matrices.inl>

#endif
