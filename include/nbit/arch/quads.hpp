// nbit/arch/quads.hpp — four floats: the four chains that int8 kernels add block sums to (kernel/gemv.hpp).
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_QUADS_HPP
#define NBIT_ARCH_QUADS_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// Four floats and the operations on them, per instruction set.
/// from_ints(p, q): the differences p[i] - q[i], rounded to float. first(n, a, b): a in lanes below n, b above.
/// add_pairs(a, b): a0 + a1, a2 + a3, b0 + b1, b2 + b3.
/// reduce: (lane 0 + lane 2) + (lane 1 + lane 3).
template <class Arch>
struct quads;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/quads.inl>
#include <nbit/arch/stamp.inl>

#endif
