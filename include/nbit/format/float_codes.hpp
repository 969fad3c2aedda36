// nbit/format/float_codes.hpp — codes that are small floats (E2M1, E4M3, E5M2), a group shares a scale.
//
//   value = scale * element(code), scale = absmax of the group / largest element, codes rounded half to even
//
// float_codes<f4_e2m1, 16, scale_type::f8_e4m3> are the codes of NVFP4, float_codes<f8_e4m3, per_row, scale_type::f32>
// those of FP8 checkpoints. The codes of NaN and infinity are never made; readers of files refuse them. Ref: OCP
// Microscaling Formats 1.0; docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_FLOAT_CODES_HPP
#define NBIT_FORMAT_FLOAT_CODES_HPP

#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/scale.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/format/uniform.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// A format whose codes are the bits of Element.
template <class Element, int Group, scale_type Scale>
struct float_codes {
  static_assert(std::is_same_v<Element, f4_e2m1> || std::is_same_v<Element, f8_e4m3> ||
                    std::is_same_v<Element, f8_e5m2>,
                "nbit::float_codes: Element must be f4_e2m1, f8_e4m3 or f8_e5m2");
  static_assert(Group >= per_tensor,
                "nbit::float_codes: Group must be a count of weights, nbit::per_row or nbit::per_tensor");

  using element = Element;
  static constexpr int bits = std::is_same_v<Element, f4_e2m1> ? 4 : 8, group = Group;
  static constexpr scale_type scale_stored = Scale;
  static constexpr bool symmetric = true, same_everywhere = true;
  using scale_t = typename detail::scale_storage<Scale>::type;
  using params = symmetric_params<scale_t>;

  NBIT_HOST_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    return {detail::scale_storage<Scale>::from(nbit::abs(detail::range_of(w).signed_max) / Element::max)};
  }
  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    const float s = float(p.scale), x = s == 0.0f ? 0.0f : v / s;
    // e5m2 has infinities, which a value held at the top never becomes
    return Element::from(x > Element::max ? Element::max : x < -Element::max ? -Element::max : x).bits;
  }
  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    return float(p.scale) * float(Element::from_bits(static_cast<std::uint8_t>(c)));
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
