// nbit/solver/tune.hpp — parameters refitted to the codes: every scale, minimum and zero where the layer's loss is
// least.
//
// With codes fixed, e = w - value is linear in each dial x: e(x') = e - (x' - x) a. The loss is a parabola with its
// least point at x + a H e / a H a; the nearest number that the format can store is taken if it lowers the loss.
// Dials are turned one after another, groups from the first to the last; 32 rows side by side.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_TUNE_HPP
#define NBIT_SOLVER_TUNE_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/solver/dials.hpp>
#include <nbit/solver/quadratic.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Whether a format's parameters can be refitted row by row.
template <weight_format F>
inline constexpr bool tunable = F::group != per_tensor && (dials<F>::count > 0);

/// Floats of scratch that tune_panel needs for rows of cols weights.
template <weight_format F>
inline std::size_t tune_scratch(std::size_t cols) {
  const std::size_t length = group_length<F>(cols) < cols ? group_length<F>(cols) : cols;
  return tunable<F> ? 3 * length * panel_rows : 0;
}

/// The values of n codes from position `first` of a group on.
template <weight_format F>
inline void values_at(const code_t<F>* codes, const typename F::params& p, int first, std::span<float> out) {
  value_group<F>(codes + static_cast<std::size_t>(first) / std::size_t(step_of<F>), p, first, out);
}

/// Turns one dial of one group for all rows of a panel. e, gradient: the group's part of [column][row] panels;
/// gradient = H e of it, kept up to date. slope, work: as large as the dial's reach.
template <weight_format F>
inline bool turn_dial(coded_matrix<F>& q, std::size_t first_row, std::size_t rows, std::size_t group,
                      std::size_t length, int k, const float* h, std::size_t stride, float* e, float* gradient,
                      float* slope, float* work) {
  NBIT_EXACT
  using set = dials<F>;
  const dial reach = set::at(k);
  const std::size_t first = static_cast<std::size_t>(reach.first);
  if (first >= length) return false;
  const std::size_t n = reach.length == 0 || first + static_cast<std::size_t>(reach.length) > length
                            ? length - first
                            : static_cast<std::size_t>(reach.length);
  const std::size_t group_first = group * group_length<F>(q.cols);
  float* const old_value = work;
  float* const new_value = work + n;
  float now[panel_rows], wanted[panel_rows];
  for (std::size_t i = 0; i < n * panel_rows; ++i) slope[i] = 0.0f;
  for (std::size_t r = 0; r < rows; ++r) {
    const typename F::params& p = q.params[q.params_index(first_row + r, group)];
    const code_t<F>* const codes = q.row_codes(first_row + r) + group_first / std::size_t(step_of<F>);
    typename F::params moved = p;
    now[r] = set::get(p, k);
    set::set(moved, k, reach.whole || now[r] == 0.0f ? now[r] + 1.0f : now[r] * 2.0f);
    if (reach.whole && set::get(moved, k) == now[r]) set::set(moved, k, now[r] - 1.0f);
    const float by = set::get(moved, k) - now[r];
    if (!(by != 0.0f) || !is_finite(by)) continue;
    values_at<F>(codes, p, reach.first, {old_value, n});
    values_at<F>(codes, moved, reach.first, {new_value, n});
    for (std::size_t i = 0; i < n; ++i) {
      const float a = (new_value[i] - old_value[i]) / by;
      slope[i * panel_rows + r] = is_finite(a) ? a : 0.0f;
    }
  }
  double curvature[panel_rows];
  float towards[panel_rows] = {};
  quadratic_form(h + first * stride + first, stride, n, slope, curvature);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t r = 0; r < panel_rows; ++r)
      towards[r] += slope[i * panel_rows + r] * gradient[(first + i) * panel_rows + r];
  bool turned = false;
  float change[panel_rows] = {};
  for (std::size_t r = 0; r < rows; ++r) {
    const float bend = static_cast<float>(curvature[r]);
    wanted[r] = now[r] + towards[r] / bend;
    if (!(bend > 0.0f) || !is_finite(wanted[r])) continue;
    typename F::params& p = q.params[q.params_index(first_row + r, group)];
    typename F::params moved = p;
    set::set(moved, k, wanted[r]);
    const float by = set::get(moved, k) - now[r];
    if (!(by != 0.0f) || !(by * (by * bend - 2.0f * towards[r]) < 0.0f)) continue;
    // What the parabola says holds only if the values did move along the slope.
    const code_t<F>* const codes = q.row_codes(first_row + r) + group_first / std::size_t(step_of<F>);
    values_at<F>(codes, p, reach.first, {old_value, n});
    values_at<F>(codes, moved, reach.first, {new_value, n});
    bool linear = true;
    for (std::size_t i = 0; i < n; ++i) {
      const float found = new_value[i] - old_value[i], expected = by * slope[i * panel_rows + r];
      linear &= abs(found - expected) <= 1e-2f * abs(expected) + 1e-5f * abs(old_value[i]) && is_finite(new_value[i]);
    }
    if (!linear) continue;
    p = moved, change[r] = by, turned = true;
    for (std::size_t i = 0; i < n; ++i) e[(first + i) * panel_rows + r] -= by * slope[i * panel_rows + r];
  }
  if (!turned) return false;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t r = 0; r < panel_rows; ++r) slope[i * panel_rows + r] *= change[r];
  add_product({gradient, panel_rows, h + first * stride, stride, slope, panel_rows, length, panel_rows, n, -1.0f});
  return true;
}

/// Refits the parameters of a panel of rows to their codes; false if nothing was better elsewhere. h: the metric in
/// stored order; e: w - value, [column][row], brought up to date. scratch: tune_scratch floats.
/// Cost: rows cols (cols + 2 group) multiply-adds.
template <weight_format F>
inline bool tune_panel(coded_matrix<F>& q, std::size_t first_row, std::size_t rows, const float* h, std::size_t stride,
                       float* e, float* scratch) {
  bool turned = false;
  if constexpr (tunable<F>) {
    const std::size_t cols = q.cols, whole = group_length<F>(cols);
    for (std::size_t first = 0, g = 0; first < cols; first += whole, ++g) {
      const std::size_t n = cols - first < whole ? cols - first : whole;
      float *const gradient = scratch, *const slope = gradient + n * panel_rows, *const work = slope + n * panel_rows;
      for (std::size_t i = 0; i < n * panel_rows; ++i) gradient[i] = 0.0f;
      add_product({gradient, panel_rows, h + first, stride, e, panel_rows, n, panel_rows, cols, 1.0f});
      for (int k = 0; k < dials<F>::count; ++k)
        turned |= turn_dial<F>(q, first_row, rows, g, n, k, h + first * stride + first, stride, e + first * panel_rows,
                               gradient, slope, work);
    }
  }
  return turned;
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
