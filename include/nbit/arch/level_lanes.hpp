// nbit/arch/level_lanes.hpp — the primitives of products with bf16 activations: levels of four columns of sixteen rows.
//
// Levels are integers up to 256 in magnitude, which bf16 holds exactly. Where an instruction takes dots of bf16 pairs
// (AVX512-BF16), levels and activations are bf16; elsewhere both are floats. The bits are the same: a product of two
// bf16 is exact in float, and VDPBF16PS rounds twice, after the odd column and after the even one.
//
//   dot   sum = fma(level 1, x 1, sum), then 0, then 3, then 2
//
// VDPBF16PS takes subnormal numbers for zeros. Activations below 2^-118 count as zeros here; the others are multiples
// of 2^-125, and so is every sum of products with integers: none is subnormal.
// Ref: Intel SDM volume 2, VDPBF16PS.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_LEVEL_LANES_HPP
#define NBIT_ARCH_LEVEL_LANES_HPP

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/arch/code_lanes.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

namespace nbit {

/// What codes mean: code c has the level of[c], for codes below 64; wider codes c have the level c - bias.
struct level_table {
  std::array<std::uint16_t, 64> of{};  // bf16
  int bias = 0;
};

inline namespace NBIT_TAG {

/// four: levels of four columns. levels<Bits>(codes, table), load and store (4 * 16 * bits / 8 bytes), and
/// dot<Part>(sum, four, x), Part = 0 ... parts - 1 one after another: x are four activations as `activation`, which
/// expand(x, n, out) makes of 1 ... 32 bf16.
template <class Arch>
struct level_lanes;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP_EXTENSIONS
#define NBIT_STAMP <nbit/arch/level_lanes.inl>
#include <nbit/arch/stamp.inl>

#endif
