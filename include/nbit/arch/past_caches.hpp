// nbit/arch/past_caches.hpp — stores that leave the caches to others: for output larger than they are.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_PAST_CACHES_HPP
#define NBIT_ARCH_PAST_CACHES_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

#if NBIT_HAS_X86
#include <immintrin.h>
#endif

namespace nbit {
inline namespace NBIT_TAG {

/// Sixteen floats after another, from `out` on, which is aligned to `alignment` bytes: put(v), then flush(); end()
/// before another thread reads.
template <class Arch>
struct past_caches;

/// Whether an instruction set has them.
template <class Arch>
inline constexpr bool has_past_caches = requires { past_caches<Arch>::alignment; };

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/past_caches.inl>
#include <nbit/arch/stamp.inl>

#endif
