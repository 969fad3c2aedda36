// nbit/format/codebook.hpp — a code is an index into a table of levels, a group shares a scale.
//
//   struct log4 : nbit::codebook<log4, 4, 64> { static constexpr std::array<float, 16> levels = {...}; };
//
// value = scale * levels[code], scale = absmax of the group / largest |level|. Levels may stand in any order (FP4
// stores sign and magnitude); the nearest is found by counting midpoints, a tie goes to the smaller level.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_CODEBOOK_HPP
#define NBIT_FORMAT_CODEBOOK_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/device_table.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/scale.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/format/uniform.hpp>

namespace nbit {
namespace detail {

/// The levels of a codebook in rising order: where each came from, the midpoints between neighbours, the largest
/// |level|.
template <std::size_t N>
struct codebook_order {
  std::array<std::uint8_t, N> code{};
  std::array<float, N - 1> middle{};
  float top = 0;
};

/// Derived::levels as device_table wants it; a template, since Derived is not complete where codebook is.
template <class Derived>
struct codebook_levels {
  static constexpr auto table = Derived::levels;
};

template <std::size_t N>
constexpr codebook_order<N> order_levels(const std::array<float, N>& levels) {
  codebook_order<N> o;
  for (std::size_t i = 0; i < N; ++i) {  // insertion sort of the indices
    std::size_t j = i;
    for (; j > 0 && levels[o.code[j - 1]] > levels[i]; --j) o.code[j] = o.code[j - 1];
    o.code[j] = static_cast<std::uint8_t>(i);
    const float magnitude = levels[i] < 0 ? -levels[i] : levels[i];
    o.top = magnitude > o.top ? magnitude : o.top;
  }
  for (std::size_t i = 0; i + 1 < N; ++i)
    o.middle[i] = static_cast<float>((double(levels[o.code[i]]) + double(levels[o.code[i + 1]])) / 2);
  return o;
}

}  // namespace detail

#include <nbit/base/exact_begin.inl>

/// A format over the table Derived::levels (std::array<float, 2^Bits>), one scale per group.
template <class Derived, int Bits, int Group, scale_type Scale = scale_type::f16>
struct codebook {
  static_assert(Bits >= 1 && Bits <= 8, "nbit::codebook: the code width must be 1 to 8 bits");
  static_assert(Group >= per_tensor,
                "nbit::codebook: Group must be a count of weights, nbit::per_row or nbit::per_tensor");

  static constexpr int bits = Bits, group = Group;
  static constexpr bool same_everywhere = true;
  using scale_t = typename detail::scale_storage<Scale>::type;
  using params = symmetric_params<scale_t>;

  NBIT_HOST_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    static_assert(Derived::levels.size() == std::size_t{1} << Bits,
                  "nbit::codebook: Derived::levels must have 2^Bits entries");
    return fit_range(detail::range_of(w), w.size());
  }
  /// fit for weights of this range.
  NBIT_HOST_INLINE static params fit_range(const detail::group_range& g, std::size_t) {
    constexpr auto order = detail::order_levels(Derived::levels);
    return {detail::scale_storage<Scale>::from(nbit::abs(g.signed_max) / order.top)};
  }
  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    NBIT_EXACT
    constexpr auto order = detail::order_levels(Derived::levels);
    const float s = float(p.scale), x = s == 0.0f ? 0.0f : v / s;
    std::size_t rank = 0;
    for (const float m : order.middle) rank += x > m ? 1u : 0u;
    return order.code[rank];
  }
  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    return float(p.scale) * device_table<detail::codebook_levels<Derived>>()[static_cast<std::size_t>(c)];
  }
};

#include <nbit/base/exact_end.inl>

namespace detail {
/// Whether F answers as codebook does: a type derived from it may replace any of the three.
template <class F>
concept is_codebook = requires {
  typename F::codebook;
  requires& F::fit == &F::codebook::fit && &F::code == &F::codebook::code && &F::value == &F::codebook::value;
};
}  // namespace detail

/// bitsandbytes NF4: quantiles of the normal distribution; blocks of 64, f32 absmax.  Ref: Dettmers 2023, QLoRA,
/// appendix E.
struct nf4 : codebook<nf4, 4, 64, scale_type::f32> {
  static constexpr std::array<float, 16> levels = {-1.0f,
                                                   -0.6961928009986877f,
                                                   -0.5250730514526367f,
                                                   -0.39491748809814453f,
                                                   -0.28444138169288635f,
                                                   -0.18477343022823334f,
                                                   -0.09105003625154495f,
                                                   0.0f,
                                                   0.07958029955625534f,
                                                   0.16093020141124725f,
                                                   0.24611230194568634f,
                                                   0.33791524171829224f,
                                                   0.44070982933044434f,
                                                   0.5626170039176941f,
                                                   0.7229568362236023f,
                                                   1.0f};
};

/// bitsandbytes FP4: sign and magnitude, 1-2-1 bits; blocks of 64, f32 absmax.
struct fp4 : codebook<fp4, 4, 64, scale_type::f32> {
  static constexpr std::array<float, 16> levels = {
      0.0f,  0.005208333333f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
      -0.0f, -0.005208333333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
};

}  // namespace nbit

#endif
