// nbit/kernel/row_update.hpp — a row's gradient move by move: y += a x, and the first entry that left its bounds.
//
// A local search over the codes of one row needs no more: moving one code by a moves the gradient along one row of the
// metric, and a code holds as long as its entry stays between two numbers. Product and sum are rounded separately and
// entry by entry, so vectors change the speed and never a bit.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_ROW_UPDATE_HPP
#define NBIT_KERNEL_ROW_UPDATE_HPP

#include <bit>
#include <cstddef>

#include <nbit/base/config.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/simd.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// add_scaled and first_outside for one instruction set.
template <class Arch>
struct row_update_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/row_update.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// y[i] += a * x[i] for i < n.  Needs: y and x do not overlap.
inline void add_scaled(float* y, const float* x, float a, std::size_t n) noexcept {
  arch::dispatch([&](auto tag) { row_update_kernel<decltype(tag)>::add_scaled(y, x, a, n); });
}

/// The first i >= from with y[i] < least[i] or most[i] < y[i]; n if there is none. NaN is never outside.
inline std::size_t first_outside(const float* y, const float* least, const float* most, std::size_t from,
                                 std::size_t n) noexcept {
  return arch::dispatch(
      [&](auto tag) { return row_update_kernel<decltype(tag)>::first_outside(y, least, most, from, n); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
