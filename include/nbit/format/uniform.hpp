// nbit/format/uniform.hpp — groups of b-bit integers that share one scale, and a zero point if the scheme has one.
//
//   value = scale * (code - 2^(b-1))   symmetric schemes        value = scale * (code - zero)   asymmetric ones
//
// Codes are stored unsigned, 0 .. 2^b - 1. A one-bit symmetric code means -scale or +scale, scale = mean |w|.
// An all-zero group has scale 0 and decodes to zeros.  Ref: docs/formats.md, uniform formats.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_UNIFORM_HPP
#define NBIT_FORMAT_UNIFORM_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/scale.hpp>
#include <nbit/format/scheme.hpp>

namespace nbit {

/// What a group of a symmetric format stores.
template <class Scale>
struct symmetric_params {
  Scale scale;
};

/// What a group of an asymmetric format with an integer zero stores. The zero is as wide as the scale: padding bytes
/// would make equal tensors differ in memory.
template <class Scale>
struct integer_zero_params {
  using zero_t = std::conditional_t<sizeof(Scale) == 4, std::uint32_t,
                                    std::conditional_t<sizeof(Scale) == 2, std::uint16_t, std::uint8_t>>;
  Scale scale;
  zero_t zero;
};

/// What a group of an asymmetric format with a fractional zero stores.
template <class Scale>
struct float_zero_params {
  Scale scale;
  Scale zero;
};

#include <nbit/base/exact_begin.inl>

inline namespace NBIT_TAG {
namespace detail {

/// Smallest and largest value of a group, and the signed value of largest magnitude.
struct group_range {
  float min, max, signed_max, sum_abs;
};

inline group_range range_of(std::span<const float> w) {
  group_range g{w.empty() ? 0.0f : w[0], w.empty() ? 0.0f : w[0], 0.0f, 0.0f};
  for (const float v : w) {
    g.min = v < g.min ? v : g.min;
    g.max = v > g.max ? v : g.max;
    if (nbit::abs(v) > nbit::abs(g.signed_max)) g.signed_max = v;
    g.sum_abs += nbit::abs(v);
  }
  return g;
}

/// Parameters for a group of n weights of which nothing but the range counts.
template <scheme S, class Params>
inline Params fit_uniform(const group_range& g, std::size_t n) {
  NBIT_EXACT
  using store = scale_storage<S.scale>;
  constexpr int levels = (1 << S.bits) - 1, half = 1 << (S.bits - 1);
  const float magnitude = nbit::abs(g.signed_max);
  Params p{};
  if constexpr (S.bits == 1 && S.symmetry != symmetry::asymmetric && S.symmetry != symmetry::asymmetric_float) {
    p.scale = store::from(n == 0 ? 0.0f : g.sum_abs / static_cast<float>(n));
  } else if constexpr (S.symmetry == symmetry::restricted) {
    p.scale = store::from(magnitude / static_cast<float>(half - 1));
  } else if constexpr (S.symmetry == symmetry::gptq) {
    p.scale = store::from(2.0f * magnitude / static_cast<float>(levels));
  } else if constexpr (S.symmetry == symmetry::full_range) {
    p.scale = store::from(g.signed_max / static_cast<float>(-half));
  } else if constexpr (S.symmetry == symmetry::asymmetric) {
    const float min = g.min < 0.0f ? g.min : 0.0f, max = g.max > 0.0f ? g.max : 0.0f;
    p.scale = store::from((max - min) / static_cast<float>(levels));
    const float s = float(p.scale);
    p.zero = static_cast<typename Params::zero_t>(s > 0.0f ? round_clamped(-min / s, 0, levels) : 0);
  } else {
    // A constant group has no range: one step equal to the constant represents it exactly.
    const bool flat = !(g.max > g.min);
    p.scale = store::from(flat ? nbit::abs(g.min) : (g.max - g.min) / static_cast<float>(levels));
    const float s = float(p.scale);
    p.zero = store::from(!(s > 0.0f) ? 0.0f : flat ? (g.min > 0.0f ? -1.0f : 1.0f) : -g.min / s);
  }
  return p;
}

}  // namespace detail
}  // namespace NBIT_TAG

/// A format of b-bit integers on a uniform grid: derive a named type from it and use that everywhere.
template <scheme S>
struct uniform {
  static_assert(S.bits >= 1 && S.bits <= 8, "nbit::uniform: scheme.bits must be 1 to 8");
  static_assert(S.group >= per_tensor,
                "nbit::uniform: scheme.group must be a count of weights, nbit::per_row or nbit::per_tensor");
  static_assert(
      !(S.symmetry == symmetry::full_range && S.scale == scale_type::e8m0),
      "nbit::uniform: symmetry::full_range needs a signed scale; use f32, f16, bf16 or f8_e4m3 instead of e8m0");
  static_assert(!(S.symmetry == symmetry::asymmetric_float &&
                  (S.scale == scale_type::e8m0 || S.scale == scale_type::f8_e4m3)),
                "nbit::uniform: symmetry::asymmetric_float stores its zero like its scale; use f32, f16 or bf16");

  static constexpr nbit::scheme scheme = S;
  static constexpr int bits = S.bits, group = S.group, run = 0;
  static constexpr bool symmetric = S.symmetry != symmetry::asymmetric && S.symmetry != symmetry::asymmetric_float;

  using scale_t = typename detail::scale_storage<S.scale>::type;
  using params = std::conditional_t<
      symmetric, symmetric_params<scale_t>,
      std::conditional_t<S.symmetry == symmetry::asymmetric, integer_zero_params<scale_t>, float_zero_params<scale_t>>>;

  static constexpr bool exact_levels = symmetric, same_everywhere = true;

  /// The level halfway: what a stored code is counted from in symmetric schemes.
  static constexpr int half = 1 << (S.bits - 1);

  /// Min-max parameters; importance is not used (see solver/search.hpp for fits that weigh errors).
  NBIT_HOST_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    return fit_range(detail::range_of(w), w.size());
  }
  /// fit for n weights of this range (sum_abs counts for one-bit symmetric schemes only).
  NBIT_HOST_INLINE static params fit_range(const detail::group_range& g, std::size_t n) {
    return detail::fit_uniform<S, params>(g, n);
  }

  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    NBIT_EXACT
    const float s = float(p.scale);
    constexpr int top = (1 << S.bits) - 1;
    if constexpr (symmetric && S.bits == 1) {
      return v < 0.0f ? 0 : 1;
    } else if constexpr (symmetric) {
      return s == 0.0f ? half : round_clamped(v / s, -half, half - 1) + half;
    } else if constexpr (S.symmetry == symmetry::asymmetric) {
      return s == 0.0f ? int(p.zero) : round_clamped(v / s, -int(p.zero), top - int(p.zero)) + int(p.zero);
    } else {
      return s == 0.0f ? 0 : round_clamped(v / s + float(p.zero), 0, top);
    }
  }

  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    NBIT_EXACT
    if constexpr (symmetric)
      return float(p.scale) * static_cast<float>(level(c));
    else
      return float(p.scale) * (static_cast<float>(c) - zero(p));
  }
  /// The code that means 0, perhaps between codes, of schemes that are not symmetric.
  NBIT_INLINE static float zero(const params& p)
    requires(!symmetric)
  {
    return static_cast<float>(p.zero);
  }

  // The integer form: value = scale * level + offset.
  NBIT_INLINE static constexpr int level(int c) { return symmetric && S.bits == 1 ? 2 * c - 1 : c - half; }
  NBIT_INLINE static float scale(const params& p, int) { return float(p.scale); }
  NBIT_INLINE static float offset(const params& p, int) {
    NBIT_EXACT
    if constexpr (symmetric)
      return 0.0f;
    else
      return float(p.scale) * (static_cast<float>(half) - static_cast<float>(p.zero));
  }
};

#include <nbit/base/exact_end.inl>

namespace detail {
/// Whether F answers as uniform<scheme> does: a type derived from it may replace any of the three.
template <class F>
concept is_uniform = requires {
  typename F::uniform;
  requires& F::fit == &F::uniform::fit && &F::code == &F::uniform::code && &F::value == &F::uniform::value;
};
}  // namespace detail

}  // namespace nbit

#endif
