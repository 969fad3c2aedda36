// nbit/arch/simd.hpp — the primitives that kernel texts are written over: sixteen floats, and dots of int8.
//
// Sixteen lanes on every machine: one AVX-512 register, two of AVX2, four of NEON or SIMD128, an array in scalar code.
// The order in which floats are added is part of a kernel's definition, so the lane count may not depend on the
// machine.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_SIMD_HPP
#define NBIT_ARCH_SIMD_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/arch/tags.hpp>

#if NBIT_HAS_X86
#include <immintrin.h>
#elif NBIT_HAS_NEON
#include <arm_neon.h>
#elif NBIT_HAS_SIMD128
#include <wasm_simd128.h>
#endif

namespace nbit {
inline namespace NBIT_TAG {

/// Floats in a vector of lanes<Arch>.
inline constexpr std::size_t lane_count = 16;

/// Sixteen floats and the operations on them, per instruction set.
/// reduce adds 16 -> 8 -> 4 -> 2 -> 1, always lane i with lane i + half.
/// dot4(w, x): lane i = sum of w[4i + j] * x[4i + j], j = 0..3, exact; w in [-128, 127], x in [-127, 127].
template <class Arch>
struct lanes;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/simd.inl>
#include <nbit/arch/stamp.inl>

#endif
