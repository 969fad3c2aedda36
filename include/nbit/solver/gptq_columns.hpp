// nbit/solver/gptq_columns.hpp — the column loops of GPTQ for a panel: rounding with error feedback, and descent.
//
// Feedback from far columns comes 96 columns at a time as a matrix product, from near ones column by column. Blocking
// changes the speed and the last bits of sums, never which algorithm it is. Ref: Frantar et al. 2023; the factor's
// form: Chee et al. 2023.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_GPTQ_COLUMNS_HPP
#define NBIT_SOLVER_GPTQ_COLUMNS_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/solver/factor.hpp>
#include <nbit/solver/gptq_panel.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Rounds the unit of columns at a position to the targets t[k][row] and stores codes and errors.
template <weight_format F>
inline void round_unit(gptq_panel<F>& p, std::size_t position, const float* targets) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t column = job.order[position];
  const int at = place_in_group<F>(column);
  const float* const w = p.w + position * panel_rows;
  float* const e = p.e + position * panel_rows;
  for (std::size_t r = 0; r < p.rows; ++r) {
    const typename F::params& params = job.out->params[job.out->params_index(p.first_row + r, job.group_at[position])];
    code_t<F>& stored = job.out->row_codes(p.first_row + r)[column / step];
    if constexpr (lattice_format<F>) {
      float point[step], value[step];
      for (std::size_t k = 0; k < step; ++k) {
        const float t = targets[k * panel_rows + r];
        point[k] = is_finite(t) ? t : w[k * panel_rows + r];
      }
      const int c = static_cast<int>(F::code(std::span<const float>(point), params, at));
      F::value(c, params, at, std::span<float>(value));
      stored = static_cast<code_t<F>>(c);
      for (std::size_t k = 0; k < step; ++k) {
        const float error = w[k * panel_rows + r] - value[k];
        e[k * panel_rows + r] = is_finite(error) ? error : 0.0f;
      }
    } else {
      const float t = targets[r];
      const int c = static_cast<int>(F::code(is_finite(t) ? t : w[r], params, at));
      const float error = w[r] - F::value(c, params, at);
      stored = static_cast<code_t<F>>(c);
      e[r] = is_finite(error) ? error : 0.0f;
    }
  }
}

/// The greedy pass: every column is rounded to its weight plus the feedback of the errors before it.
template <weight_format F>
inline void round_panel(gptq_panel<F>& p) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols;
  for (std::size_t outer = 0; outer < cols; outer += outer_columns) {
    const std::size_t width = cols - outer < outer_columns ? cols - outer : outer_columns;
    for (std::size_t k = 0; k < width * panel_rows; ++k) p.sums[k] = p.w[outer * panel_rows + k];
    add_product({p.sums, panel_rows, m.s.data() + outer, m.stride, p.e, panel_rows, width, panel_rows, outer, 1.0f});
    for (std::size_t first = outer; first < outer + width; first += panel_columns) {
      const std::size_t n = outer + width - first < panel_columns ? outer + width - first : panel_columns;
      float* const sums = p.sums + (first - outer) * panel_rows;
      add_product({sums, panel_rows, m.s.data() + outer * m.stride + first, m.stride, p.e + outer * panel_rows,
                   panel_rows, n, panel_rows, first - outer, 1.0f});
      for (std::size_t j = 0; j < n; j += step) {
        const std::size_t position = first + j;
        if (job.groups != group_fit::upfront && (position == 0 || job.group_at[position] != job.group_at[position - 1]))
          refit_group<F>(p, position);
        for (std::size_t k = j; k < j + step; ++k) {
          float* const t = sums + k * panel_rows;
          for (std::size_t i = 0; i < j; ++i) {
            const float u = m.s[(first + i) * m.stride + first + k];
            const float* const e = p.e + (first + i) * panel_rows;
            for (std::size_t r = 0; r < panel_rows; ++r) t[r] += u * e[r];
          }
        }
        round_unit<F>(p, position, sums + j * panel_rows);
      }
    }
  }
}

/// One pass of cyclic descent: each unit moves to the code that lowers the loss with all others held; false if none
/// moved.
template <weight_format F>
inline bool descend_panel(gptq_panel<F>& p) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols;
  float moved_by[outer_columns * panel_rows];
  bool moved = false;
  for (std::size_t outer = 0; outer < cols; outer += outer_columns) {
    const std::size_t width = cols - outer < outer_columns ? cols - outer : outer_columns;
    for (float& v : p.sums) v = 0.0f;
    for (float& v : moved_by) v = 0.0f;
    // Half the gradient, e H, as it is when the columns begin; moves among them are added as they happen.
    add_product({p.sums, panel_rows, m.h.data() + outer, m.stride, p.e, panel_rows, width, panel_rows, cols, 1.0f});
    for (std::size_t j = 0; j < width; j += step) {
      if (j % panel_columns == 0 && j != 0)
        add_product({p.sums + j * panel_rows, panel_rows, m.h.data() + outer * m.stride + outer + j, m.stride, moved_by,
                     panel_rows, width - j < panel_columns ? width - j : panel_columns, panel_rows, j, 1.0f});
      for (std::size_t k = j; k < j + step; ++k)
        for (std::size_t i = j / panel_columns * panel_columns; i < j; ++i) {
          const float u = m.h[(outer + i) * m.stride + outer + k];
          for (std::size_t r = 0; r < panel_rows; ++r) p.sums[k * panel_rows + r] += u * moved_by[i * panel_rows + r];
        }
      const std::size_t column = outer + j;
      const int at = place_in_group<F>(column);
      const float* const h = m.h.data() + column * m.stride + column;
      for (std::size_t r = 0; r < p.rows; ++r) {
        const typename F::params& params = params_of<F>(p, r, column);
        float target[step], value[step], change[step];
        bool fine = true;
        for (std::size_t k = 0; k < step; ++k) {
          const std::size_t here = (column + k) * panel_rows + r;
          const float t = p.w[here] - p.e[here] + p.sums[(j + k) * panel_rows + r] / h[k * m.stride + k];
          fine &= is_finite(t);
          target[k] = t;
        }
        if (!fine) continue;
        int c = 0;
        if constexpr (lattice_format<F>) {
          c = static_cast<int>(F::code(std::span<const float>(target), params, at));
          F::value(c, params, at, std::span<float>(value));
        } else {
          c = static_cast<int>(F::code(target[0], params, at));
          value[0] = F::value(c, params, at);
        }
        code_t<F>& stored = job.out->row_codes(p.first_row + r)[column / step];
        if (stored == static_cast<code_t<F>>(c)) continue;
        // The loss changes by 2 change . gradient + change H change^T; move only when that is less than nothing.
        float gain = 0.0f;
        for (std::size_t k = 0; k < step; ++k) {
          const std::size_t here = (column + k) * panel_rows + r;
          change[k] = p.w[here] - value[k] - p.e[here];
          gain += 2.0f * change[k] * p.sums[(j + k) * panel_rows + r];
          for (std::size_t l = 0; l < k; ++l) gain += 2.0f * change[k] * change[l] * h[k * m.stride + l];
          gain += change[k] * change[k] * h[k * m.stride + k];
        }
        if (!(gain < 0.0f)) continue;
        moved = true;
        stored = static_cast<code_t<F>>(c);
        for (std::size_t k = 0; k < step; ++k) {
          p.e[(column + k) * panel_rows + r] += change[k];
          moved_by[(j + k) * panel_rows + r] = change[k];
        }
      }
    }
  }
  return moved;
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
