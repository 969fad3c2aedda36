// nbit/solver/qat.hpp — hooks for training with quantization in the loop, as plain functions on spans.
//
// Forward: values as they will be after quantization. Backward: the straight-through estimator lets slopes pass where
// the grid did not clip; LSQ also gives the slope in the step itself. Nothing here knows of a training framework: call
// the forward one in its forward pass and the backward one in its backward pass. Ref: Bengio et al. 2013
// (straight-through), Esser et al. 2020 (LSQ), Bhalgat et al. 2020 (LSQ+, with a zero).
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_QAT_HPP
#define NBIT_SOLVER_QAT_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/rtn.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// A uniform quantizer with a learned step: value = step * (clamp(round(x / step + zero), low, high) - zero).
struct learned_step {
  float step = 1.0f;  // above 0
  float zero = 0.0f;  // 0 for weights; activations may have one (LSQ+)
  int low = -8, high = 7;
};

/// The slopes of a loss in a learned_step.
struct learned_step_slope {
  float step = 0.0f, zero = 0.0f;
};

inline namespace NBIT_TAG {

/// Values after quantization.  Needs: out is as long as x; may be the same memory.
inline void fake_quantize(const learned_step& q, std::span<const float> x, std::span<float> out) {
  NBIT_EXACT
  NBIT_EXPECTS(out.size() == x.size(), "as many values as inputs");
  for (std::size_t i = 0; i < x.size(); ++i) {
    const int code = round_clamped(x[i] / q.step + q.zero, q.low, q.high);
    out[i] = q.step * (static_cast<float>(code) - q.zero);
  }
}

/// The backward pass of fake_quantize: slope_out in its outputs gives slope_in in its inputs (straight through, 0 where
/// the grid clipped), and the slopes in step and zero, scaled by 1 / sqrt(n high) as LSQ does so that they learn as
/// fast as weights.  Needs: spans of one length; slope_in may be slope_out's memory.
inline learned_step_slope fake_quantize_slope(const learned_step& q, std::span<const float> x,
                                              std::span<const float> slope_out, std::span<float> slope_in) {
  NBIT_EXACT
  NBIT_EXPECTS(slope_out.size() == x.size() && slope_in.size() == x.size(), "one slope for each input",
               learned_step_slope{});
  double step = 0, zero = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float place = x[i] / q.step + q.zero, g = slope_out[i];
    const int code = round_clamped(place, q.low, q.high);
    const bool clipped = place < static_cast<float>(q.low) || place > static_cast<float>(q.high);
    // d value / d step = code - zero - (inside: x / step); d value / d zero = 0 inside, -step where clipped
    step += static_cast<double>(g) * static_cast<double>(static_cast<float>(code) - (clipped ? q.zero : place));
    zero += clipped ? static_cast<double>(g) * static_cast<double>(-q.step) : 0.0;
    slope_in[i] = clipped ? 0.0f : g;
  }
  const double most = q.high > 0 ? static_cast<double>(q.high) : 1.0;
  const double scale = x.empty() ? 0.0 : 1.0 / __builtin_sqrt(static_cast<double>(x.size()) * most);
  return {static_cast<float>(step * scale), static_cast<float>(zero * scale)};
}

/// A first step for weights or activations: 2 mean |x| / sqrt(high).
inline learned_step first_step(std::span<const float> x, int low, int high) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(abs(v));
  const double mean = x.empty() ? 0.0 : sum / static_cast<double>(x.size());
  const float step = static_cast<float>(2 * mean / __builtin_sqrt(static_cast<double>(high > 0 ? high : 1)));
  return {step > 0.0f ? step : 1.0f, 0.0f, low, high};
}

#if !defined(NBIT_NO_HEAP)
/// The forward pass for weights in any format: what they will be after round_to_nearest. out may be w's memory.
/// Errors: shape, not_finite with row and column, out_of_memory.
template <weight_format F, class Executor = serial>
result<void> fake_quantize(matrix_view<const float> w, matrix_view<float> out, std::span<const float> importance = {},
                           Executor&& ex = {}) {
  if (out.rows != w.rows || out.cols != w.cols)
    return make_error(errc::shape, "the result has another shape than the weights", "the same rows and columns");
  const auto q = round_to_nearest<F>(w, importance, ex);
  if (!q) return q.error();
  detail::decode_matrix(*q, out);
  return {};
}
#endif

/// The straight-through slope for weights in any format: slopes pass where rounding moved a weight by no more than
/// `reach` times the root mean square of its row's errors, and stop where the format clipped it further.
/// Needs: one shape; slope is changed in place.
inline void straight_through(matrix_view<const float> w, matrix_view<const float> value, matrix_view<float> slope,
                             float reach = 4.0f) {
  NBIT_EXPECTS(w.rows == value.rows && w.cols == value.cols && w.rows == slope.rows && w.cols == slope.cols,
               "matrices of one shape");
  for (std::size_t r = 0; r < w.rows; ++r) {
    double square = 0;
    for (std::size_t c = 0; c < w.cols; ++c) {
      const double e = static_cast<double>(w(r, c)) - static_cast<double>(value(r, c));
      square += e * e;
    }
    const double most =
        static_cast<double>(reach) * __builtin_sqrt(square / static_cast<double>(w.cols == 0 ? 1 : w.cols));
    for (std::size_t c = 0; c < w.cols; ++c)
      if (static_cast<double>(abs(w(r, c) - value(r, c))) > most) slope(r, c) = 0.0f;
  }
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
