// nbit/solver/nested_scales.hpp — double quantization: 8-bit codes for the f32 scales of 4-bit formats.
//
//   scale = dynamic_map[code] * largest of its 256 scales + mean of all scales          0.127 bits a weight for blocks
//   of 64
// The map is bitsandbytes' signed 8-bit dynamic type: seven decades, the k-th with 2^k evenly spaced steps, then 0
// and 1. After nesting, codes no longer suit their scales quite as well: refine (solver/gptq.hpp) with tune = false
// chooses them again.  Ref: Dettmers et al. 2023, QLoRA; Dettmers et al. 2022, 8-bit optimizers, for the map.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_NESTED_SCALES_HPP
#define NBIT_SOLVER_NESTED_SCALES_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
namespace detail {
constexpr std::array<float, 256> make_dynamic_map() {
  std::array<float, 256> map{};
  map[127] = 0.0f, map[255] = 1.0f;
  std::size_t n = 0;
  double decade = 1e-6;
  for (int k = 0; k < 7; ++k, decade *= 10.0)
    for (int i = 0; i < (1 << k); ++i, ++n) {  // ascending, so that nothing is to be sorted
      const double step = 0.9 / static_cast<double>(1 << k);
      const double v = decade * (0.1 + step * (static_cast<double>(i) + 0.5));
      map[128 + n] = static_cast<float>(v), map[126 - n] = static_cast<float>(-v);
    }
  return map;
}
}  // namespace detail

/// The 256 levels, ascending, from -0.993 to 1.
inline constexpr std::array<float, 256> dynamic_map = detail::make_dynamic_map();

/// Scales in 8 bits.
struct nested_scales {
  static constexpr std::size_t block = 256;
  buffer<std::uint8_t> codes;
  buffer<float> largest;  // of each block of 256, without the mean
  float mean = 0.0f;

  NBIT_HOST_INLINE nested_scales() noexcept = default;
  NBIT_HOST_INLINE nested_scales(nested_scales&&) noexcept = default;
  NBIT_HOST_INLINE nested_scales& operator=(nested_scales&&) noexcept = default;
  NBIT_HOST_INLINE ~nested_scales() = default;
};

inline namespace NBIT_TAG {
namespace detail {

inline std::uint8_t nearest_dynamic(float v) {
  std::size_t low = 0, high = 255;
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (dynamic_map[middle] <= v ? low : high) = middle;
  }
  return static_cast<std::uint8_t>(v - dynamic_map[low] > dynamic_map[high] - v ? high : low);
}

}  // namespace detail

/// Quantizes scales and replaces them by what their codes mean.  Errors: not_finite, out_of_memory; then nothing
/// changed.
inline result<nested_scales> nest_scales(std::span<float> scales) {
  NBIT_EXACT
  double sum = 0;
  for (std::size_t i = 0; i < scales.size(); ++i) {
    if (!is_finite(scales[i]))
      return make_error(errc::not_finite, "scale is NaN or infinite", "finite numbers")
          .at(std::int64_t{0}, static_cast<std::int64_t>(i));
    sum += static_cast<double>(scales[i]);
  }
  auto codes = buffer<std::uint8_t>::make(scales.size());
  auto largest = buffer<float>::zeros((scales.size() + nested_scales::block - 1) / nested_scales::block);
  if (!codes) return codes.error();
  if (!largest) return largest.error();
  nested_scales n;
  n.codes = *std::move(codes), n.largest = *std::move(largest);
  n.mean = scales.empty() ? 0.0f : static_cast<float>(sum / static_cast<double>(scales.size()));
  for (std::size_t i = 0; i < scales.size(); ++i) {
    float& top = n.largest[i / nested_scales::block];
    const float a = abs(scales[i] - n.mean);
    top = a > top ? a : top;
  }
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const float top = n.largest[i / nested_scales::block];
    n.codes[i] = detail::nearest_dynamic(top > 0.0f ? (scales[i] - n.mean) / top : 0.0f);
    const float part = dynamic_map[n.codes[i]] * top;
    scales[i] = part + n.mean;
  }
  return n;
}

/// The same for a coded matrix whose parameters are one f32 scale (NF4, FP4).  Errors: as nest_scales.
template <weight_format F>
  requires std::is_same_v<decltype(F::params::scale), float> && (sizeof(typename F::params) == sizeof(float))
result<nested_scales> nest_scales(coded_matrix<F>& q) {
  auto scales = buffer<float>::make(q.params.size());
  if (!scales) return scales.error();
  for (std::size_t i = 0; i < q.params.size(); ++i) (*scales)[i] = q.params[i].scale;
  auto nested = nest_scales(scales->span());
  if (!nested) return nested;
  for (std::size_t i = 0; i < q.params.size(); ++i) q.params[i].scale = (*scales)[i];
  return nested;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
