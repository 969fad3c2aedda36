// nbit/format/scale.hpp — how a fitted scale becomes stored bits: rounded to nearest, never to infinity.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_SCALE_HPP
#define NBIT_FORMAT_SCALE_HPP

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/format/scheme.hpp>

namespace nbit::detail {

/// The stored type of a scale and the conversion to it.
template <scale_type>
struct scale_storage;

template <>
struct scale_storage<scale_type::f32> {
  using type = float;
  NBIT_INLINE static constexpr float from(float v) { return v; }
};
template <>
struct scale_storage<scale_type::f16> {
  using type = f16;
  // a huge weight must not turn its whole group into infinities: hold the scale at the largest finite f16
  NBIT_INLINE static constexpr f16 from(float v) {
    return f16::from(v > f16::max ? f16::max : v < -f16::max ? -f16::max : v);
  }
};
template <>
struct scale_storage<scale_type::bf16> {
  using type = bf16;
  NBIT_INLINE static constexpr bf16 from(float v) {
    return bf16::from(v > bf16::max ? bf16::max : v < -bf16::max ? -bf16::max : v);
  }
};
template <>
struct scale_storage<scale_type::f8_e4m3> {
  using type = f8_e4m3;
  NBIT_INLINE static constexpr f8_e4m3 from(float v) { return f8_e4m3::from(v); }
};
template <>
struct scale_storage<scale_type::e8m0> {
  using type = e8m0;
  // rounded up to a power of two, so that the largest weight of the group never clips
  NBIT_INLINE static constexpr e8m0 from(float v) { return e8m0::from_ceil(v); }
};

}  // namespace nbit::detail

#endif
