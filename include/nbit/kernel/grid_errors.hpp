// nbit/kernel/grid_errors.hpp — what rounding to sixteen uniform grids would lose, a group of weights in each lane.
//
// A search over parameters asks nothing else, some forty times for every group. Errors are summed as
// solver/search.hpp's group_error defines it: eight sums side by side over 32 weights, added up in pairs, then to the
// total; each lane for itself, so vectors change the speed and never a bit.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_GRID_ERRORS_HPP
#define NBIT_KERNEL_GRID_ERRORS_HPP

#include <cstddef>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/simd.hpp>

namespace nbit {

/// Sixteen groups of n weights, w[i][lane], and a grid for each: value = scale * (q - zero), where q is the nearest
/// integer to w / scale + zero from low to high.
struct grid_error_operands {
  const float* w;
  const float* importance;  // n, for all lanes alike; or nullptr
  std::size_t n;
  const float *scale, *low, *high;
  const float* zero;    // nullptr: all 0
  const float* enough;  // errors above it need not be complete
  float* errors;
};

inline namespace NBIT_TAG {

/// run(operands): the errors for one instruction set.
template <class Arch>
struct grid_error_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/grid_errors.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// Writes the sum of importance * error^2 of each lane.  Needs: |low|, |high| <= 2^22.
inline void grid_errors(const grid_error_operands& o) noexcept {
  arch::dispatch([&](auto tag) { grid_error_kernel<decltype(tag)>::run(o); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
