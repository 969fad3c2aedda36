// nbit/arch/lane_math.hpp — what encoders need besides lanes<Arch>: comparing, choosing, rounding and turning lanes.
//
// Every operation rounds as the scalar expression beside it, so a text over lane_math gives the same bits on each
// instruction set. Only instruction sets with such a text have a lane_math; has_lane_math asks.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_LANE_MATH_HPP
#define NBIT_ARCH_LANE_MATH_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

#if NBIT_HAS_X86
#include <immintrin.h>
#endif

namespace nbit {
inline namespace NBIT_TAG {

/// More operations on the sixteen floats of lanes<Arch>.
/// min(a, b) = a < b ? a : b and max(a, b) = a > b ? a : b, also for NaN; choose(m, a, b) = m ? a : b;
/// round = the nearest integer, half to even; lookup = table[i & 31] for the integer that `add magic` left in the
/// lanes.
template <class Arch>
struct lane_math;

/// Whether an instruction set has them.
template <class Arch>
inline constexpr bool has_lane_math = requires { typename lane_math<Arch>::mask; };

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/lane_math.inl>
#include <nbit/arch/stamp.inl>

#endif
