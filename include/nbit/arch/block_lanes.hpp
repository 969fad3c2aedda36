// nbit/arch/block_lanes.hpp — 64 bytes of weights: the primitives that the integer sums of blocks are written over.
//
// `ints` holds 64 bytes or sixteen 32-bit sums: one AVX-512 register, or two AVX2 registers. Its quarters hold 16
// bytes. Weights are unsigned, at most 128, or raised: signed levels plus `raise`, which differs between instruction
// sets.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_BLOCK_LANES_HPP
#define NBIT_ARCH_BLOCK_LANES_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// load, load_halves(a, b): 64 bytes from one or two places. load_twice(p): 32 bytes in both halves.
/// turn_halves<A, B>(a): right by A bits in the lower half, B in the upper one (left if negative); bits that leave
///   their byte are the caller's to mask. pick(mask, a, b): a where mask has ones.
/// dot(u, x, to), dot_raised(w, x, to): every 32-bit lane plus the dot of its four columns.
/// dot_pairs(u, x, f, to): plus the dots of its two pairs, each times its 16-bit factor.
/// dot_short: as dot, for levels whose sums fit 16 bits: AVX2 then widens once, in join_short (after as many steps as
///   it is told), totals_short or from_short.
/// marks: a bit for each column, in the form that negate and dot_marked want.
/// join(a, b), join(a, b, c, d): neighbouring lanes added; quarter q of the latter holds the sums of quarters q.
/// fold(a, b): quarters a0 + a1, a2 + a3, b0 + b1, b2 + b3. totals(a, b, c, d): four sums.
/// spread<A, B, C, D>(f): factors A .. D of sixteen, one in every quarter.
/// load_quarters(p, stride): 16 bytes of each of four neighbours; first_words: their first words, and their second.
template <class Arch>
struct block_lanes;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/block_lanes.inl>
#include <nbit/arch/stamp.inl>

#endif
