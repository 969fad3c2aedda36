// nbit/base/two_floats.hpp — a sum kept in two floats: what f32 additions round away is added up beside it.
//
// About 48 bits, from f32 arithmetic alone; |low| is at most half a unit in the last place of high, so high by itself
// is the sum rounded to f32. Adding a and b or b and a gives the same bits.  Ref: Knuth, TAOCP 2, 4.2.2; Kahan 1965.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_TWO_FLOATS_HPP
#define NBIT_BASE_TWO_FLOATS_HPP

#include <nbit/base/config.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

struct two_floats {
  float high, low;

  NBIT_HOST_INLINE two_floats() noexcept = default;
  NBIT_INLINE constexpr explicit two_floats(float v) noexcept : high(v), low(0.0f) {}
  NBIT_INLINE constexpr explicit two_floats(double v) noexcept
      : high(static_cast<float>(v)), low(static_cast<float>(v - static_cast<double>(static_cast<float>(v)))) {}
  NBIT_INLINE constexpr two_floats(float h, float l) noexcept : high(h), low(l) {}

  NBIT_INLINE constexpr explicit operator double() const noexcept {
    return static_cast<double>(high) + static_cast<double>(low);
  }
  NBIT_INLINE constexpr two_floats& operator+=(two_floats v) noexcept {
    const float sum = high + v.high, of_v = sum - high;
    const float lost = ((high - (sum - of_v)) + (v.high - of_v)) + (low + v.low);  // the first part is exact
    high = sum + lost;
    low = lost - (high - sum);
    return *this;
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
