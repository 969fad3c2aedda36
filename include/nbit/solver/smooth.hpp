// nbit/solver/smooth.hpp — 8-bit weights and activations: outlier inputs tamed by scales, or kept apart.
//
// SmoothQuant moves some of the inputs' spread into the weights: s_j = max|x_j|^a / max|w_j|^(1 - a), the inputs are
// divided by s and the weights multiplied (fold.hpp hides the division). LLM.int8 instead computes the few columns
// whose inputs ever grow large in 16 bits. Activations then are integers with a scale for each token, taken while it is
// there (dynamic), or one for all tokens, known beforehand (static). Ref: Xiao et al. 2023 (SmoothQuant), Dettmers et
// al. 2022 (LLM.int8).
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_SMOOTH_HPP
#define NBIT_SOLVER_SMOOTH_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/elementary.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/solver/calibration.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// How much of the spread moves into the weights.
struct smooth_options {
  double strength = 0.5;  // a: 0 to 1; published: 0.5, and 0.8 to 0.9 for models with larger outliers
  float floor = 1e-5f;    // of every scale
};

inline namespace NBIT_TAG {

/// The scales for linears that share one input: the inputs are divided by them, the weights' columns multiplied.
/// Errors: shape, invalid_option, out_of_memory.
inline result<buffer<float>> smooth_scales(std::span<const matrix_view<const float>> linears, const hessian& h,
                                           const smooth_options& o = {}) {
  if (!(o.strength >= 0 && o.strength <= 1))
    return make_error(errc::invalid_option, "strength is out of range", "0 to 1").about("strength");
  if (!(o.floor > 0.0f && o.floor <= 1.0f))
    return make_error(errc::invalid_option, "floor is out of range", "above 0, at most 1").about("floor");
  const std::size_t cols = h.cols();
  auto made = buffer<float>::zeros(cols);
  if (!made) return made;
  buffer<float>& s = *made;
  for (const matrix_view<const float>& w : linears) {
    if (w.cols != cols)
      return make_error(errc::shape, "a linear has another number of columns than the statistics",
                        "one input for each column")
          .with(static_cast<std::int64_t>(w.cols));
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) {
        const float a = abs(w(r, c));
        if (is_finite(a) && a > s[c]) s[c] = a;
      }
  }
  const std::span<const float> largest = h.max_abs();
  for (std::size_t c = 0; c < cols; ++c) {
    const float x = largest.empty() ? 0.0f : largest[c], w = s[c];
    // A dead input or an all-zero column has nothing to trade.
    float v = 1.0f;
    if (x > 1e-30f && w > 1e-30f)
      v = static_cast<float>(power_exact(static_cast<double>(x), o.strength) /
                             power_exact(static_cast<double>(w), 1.0 - o.strength));
    s[c] = v >= o.floor ? (v <= 1e30f ? v : 1e30f) : o.floor;
  }
  return made;
}

/// The one scale of 8-bit activations for all tokens: the largest |x_j| / s_j over 127. scales: empty, or
/// smooth_scales. 1 when nothing is known.
inline float static_activation_scale(const hessian& h, std::span<const float> scales = {}) {
  float most = 0.0f;
  const std::span<const float> largest = h.max_abs();
  for (std::size_t c = 0; c < largest.size(); ++c) {
    const float a = scales.empty() ? largest[c] : largest[c] / scales[c];
    most = a > most ? a : most;
  }
  return most > 0.0f ? most / 127.0f : 1.0f;
}

/// Activations after 8-bit quantization with one known scale; what lies outside is clipped. out may be x.
inline void quantize_activations_static(std::span<const float> x, float scale, std::span<float> out) {
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] = scale * static_cast<float>(round_clamped(x[i] / scale, -127, 127));
}

/// The same with the token's own scale, its largest |x| over 127, which is returned.
inline float quantize_activations_dynamic(std::span<const float> token, std::span<float> out) {
  float most = 0.0f;
  for (const float v : token) most = abs(v) > most ? abs(v) : most;
  const float scale = most > 0.0f ? most / 127.0f : 1.0f;
  quantize_activations_static(token, scale, out);
  return scale;
}

/// The columns whose inputs ever reached `threshold`, ascending: LLM.int8 keeps them in 16 bits.
/// Errors: out_of_memory.
inline result<buffer<std::uint32_t>> outlier_columns(const hessian& h, float threshold = 6.0f) {
  const std::span<const float> largest = h.max_abs();
  std::size_t count = 0;
  for (const float v : largest) count += v >= threshold ? 1 : 0;
  auto made = buffer<std::uint32_t>::make(count);
  if (!made) return made;
  count = 0;
  for (std::size_t c = 0; c < largest.size(); ++c)
    if (largest[c] >= threshold) (*made)[count++] = static_cast<std::uint32_t>(c);
  return made;
}

/// Moves columns out of a matrix: kept (rows x columns.size()) takes them, w has zeros there, so that they no longer
/// set the scales of its rows.  Errors: shape; then nothing changed.
inline result<void> split_columns(matrix_view<float> w, std::span<const std::uint32_t> columns,
                                  matrix_view<float> kept) {
  if (kept.rows != w.rows || kept.cols != columns.size())
    return make_error(errc::shape, "place for the columns has another shape", "the same rows, one column for each")
        .with(static_cast<std::int64_t>(kept.cols));
  for (const std::uint32_t c : columns)
    if (c >= w.cols)
      return make_error(errc::shape, "column is outside the matrix", "below the number of columns")
          .with(static_cast<std::int64_t>(c));
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t k = 0; k < columns.size(); ++k) {
      kept(r, k) = w(r, columns[k]);
      w(r, columns[k]) = 0.0f;
    }
  return {};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
