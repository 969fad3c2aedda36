// nbit/kernel/hqq_step.hpp — the two loops of a half-quadratic step, for sixteen groups of integers side by side.
//
// solver/hqq.hpp's solve_hqq is the definition: sums run over a group's weights in order, each lane for itself, so
// vectors change the speed and never a bit.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_HQQ_STEP_HPP
#define NBIT_KERNEL_HQQ_STEP_HPP

#include <bit>
#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/simd.hpp>

namespace nbit {

/// Sixteen groups of n weights, w[i][lane], and the grid of each: value = scale * (code - zero).
struct hqq_lanes {
  const float* w;
  float* code;  // [n][16], whole numbers
  std::size_t n;
  float scale[lane_count], zero[lane_count];
};

/// What a step asks of the errors: their outliers are what |x| exceeds x^(norm - 1) / beta by, x in units of 1 / unit.
struct hqq_shrink {
  float unit[lane_count];
  float power, beta;                             // norm - 1
  float other_zero[lane_count], by[lane_count];  // a zero moved by `by`, which tells the slope of the values
  float along[lane_count], square[lane_count];   // sums of slope * (target - value) and slope^2
  float least_slope[lane_count], most_slope[lane_count];
};

/// Codes of w / scale + shift, held from low to high, rounded, and moved by offset; and their errors.
struct hqq_rounding {
  float shift[lane_count], low[lane_count], high[lane_count], offset[lane_count];
  float error[lane_count];  // sum of |w - value|
  float least_code[lane_count], most_code[lane_count];
};

inline namespace NBIT_TAG {
namespace detail {

#include <nbit/base/exact_begin.inl>

/// x^p from polynomials, good to 1e-4: thresholds need no more, and it is a vector loop.  Needs: x normal, above 0; x^p
/// between 2^-126 and 2^126.
NBIT_INLINE float rough_power(float x, float p) {
  NBIT_EXACT
  const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
  const float m = std::bit_cast<float>((u & 0x7fffffu) | 0x3f800000u) - 1.0f;
  const float log = static_cast<float>(static_cast<int>(u >> 23) - 127) +
                    m * (1.4423f + m * (-0.7168f + m * (0.4456f + m * (-0.2329f + m * 0.0618f))));
  const float y = log * p;
  const int whole = round_even(y);
  const float t = (y - static_cast<float>(whole)) * 0.69314718f;
  const float power = 1.0f + t * (1.0f + t * (0.5f + t * (0.16666667f + t * 0.041666667f)));
  return power * std::bit_cast<float>(static_cast<std::uint32_t>(whole + 127) << 23);
}

#include <nbit/base/exact_end.inl>

}  // namespace detail

/// shrink(lanes, step), round(lanes, rounding).
template <class Arch>
struct hqq_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/hqq_step.inl>
#include <nbit/arch/stamp.inl>

#endif
