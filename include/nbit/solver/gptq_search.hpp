// nbit/solver/gptq_search.hpp — 64 rows from weights to the best codes found: round, improve, kick, compare.
//
// Improving stops where no single code and no single parameter helps. A kick is a random move of some codes, followed
// by improving again: rows that end lower keep it, so time buys quality. At last a row that plain rounding serves
// better goes back to it.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_GPTQ_SEARCH_HPP
#define NBIT_SOLVER_GPTQ_SEARCH_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/solver/gptq_columns.hpp>
#include <nbit/solver/gptq_kicks.hpp>
#include <nbit/solver/gptq_panel.hpp>
#include <nbit/solver/gptq_panel_kicks.hpp>
#include <nbit/solver/quadratic.hpp>
#include <nbit/solver/tune.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Measures what plain rounding with the parameters as fitted would lose. Columns in stored order.
template <weight_format F>
inline void measure_rounding(gptq_panel<F>& p) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols;
  double rounded[panel_rows], energy[panel_rows];
  float* const error = p.extra;
  for (std::size_t k = 0; k < cols * panel_rows; ++k) error[k] = 0.0f;
  for (std::size_t column = 0; column < cols; column += step) {
    const int at = place_in_group<F>(column);
    for (std::size_t r = 0; r < p.rows; ++r) {
      const typename F::params& params = params_of<F>(p, r, column);
      float point[step], value[step];
      for (std::size_t k = 0; k < step; ++k) point[k] = p.w[(column + k) * panel_rows + r];
      code_t<F> c{};
      round_group<F>(std::span<const float>(point), params, at, &c);
      value_group<F>(&c, params, at, std::span<float>(value));
      for (std::size_t k = 0; k < step; ++k) {
        const float v = point[k] - value[k];
        error[(column + k) * panel_rows + r] = is_finite(v) ? v : 0.0f;
      }
    }
  }
  quadratic_form(m.h.data(), m.stride, cols, error, rounded);
  quadratic_form(m.h.data(), m.stride, cols, p.w, energy);
  for (std::size_t r = 0; r < p.rows; ++r)
    job.rounded[p.first_row + r] = rounded[r], job.energy[p.first_row + r] = energy[r];
}

/// Measures rows, and goes back to plain rounding with the parameters as fitted (`before`, of all rows) where that is
/// better in the same metric.
template <weight_format F>
inline void measure_panel(gptq_panel<F>& p, std::span<const typename F::params> before) {
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols, groups = groups_per_row<F>(cols);
  double solved[panel_rows];
  quadratic_form(m.h.data(), m.stride, cols, p.e, solved);
  for (std::size_t r = 0; r < p.rows; ++r) {
    const std::size_t row = p.first_row + r;
    job.solved[row] = solved[r];
    if (!(job.rounded[row] < solved[r])) continue;
    for (std::size_t g = 0; g < groups && !before.empty(); ++g)
      job.out->params[job.out->params_index(row, g)] = before[r * groups + g];
    for (std::size_t column = 0; column < cols; column += step)
      round_group<F>(job.w.row(row).subspan(column, step), params_of<F>(p, r, column), place_in_group<F>(column),
                     job.out->row_codes(row) + column / step);
    job.solved[row] = job.rounded[row];
  }
}

/// Errors of codes that are there already.
template <weight_format F>
inline void errors_of_codes(gptq_panel<F>& p) {
  constexpr std::size_t step = std::size_t(step_of<F>);
  for (std::size_t column = 0; column < p.job->w.cols; column += step)
    for (std::size_t r = 0; r < p.rows; ++r) {
      float value[step];
      value_group<F>(p.job->out->row_codes(p.first_row + r) + column / step, params_of<F>(p, r, column),
                     place_in_group<F>(column), std::span<float>(value));
      for (std::size_t k = 0; k < step; ++k) {
        const float e = p.w[(column + k) * panel_rows + r] - value[k];
        p.e[(column + k) * panel_rows + r] = is_finite(e) ? e : 0.0f;
      }
    }
}

/// The losses of given codes and of zeros.
template <weight_format F>
inline void measure_start(gptq_panel<F>& p) {
  const metric& m = *p.job->m;
  double start[panel_rows], energy[panel_rows];
  quadratic_form(m.h.data(), m.stride, p.job->w.cols, p.e, start);
  quadratic_form(m.h.data(), m.stride, p.job->w.cols, p.w, energy);
  for (std::size_t r = 0; r < p.rows; ++r)
    p.job->rounded[p.first_row + r] = start[r], p.job->energy[p.first_row + r] = energy[r];
}

/// From solving order to stored order.
template <weight_format F>
inline void store_order(gptq_panel<F>& p) {
  const gptq_job<F>& job = *p.job;
  for (std::size_t c = 0; c < job.w.cols; ++c)
    for (std::size_t r = 0; r < panel_rows; ++r)
      p.extra[c * panel_rows + r] = p.e[static_cast<std::size_t>(job.place[c]) * panel_rows + r];
  float* const solving = p.e;
  p.e = p.extra, p.extra = solving;
  transpose_panel(job.w, p.first_row, {}, p.w);
}

/// Solves rows [64 task, 64 task + 64).  Errors: out_of_memory, overflow.
template <weight_format F>
inline result<void> solve_panel(const gptq_job<F>& job, std::size_t task) {
  static_assert(panel_columns % std::size_t(step_of<F>) == 0, "nbit::gptq: a lattice format's step must divide 32");
  const std::size_t cols = job.w.cols, cells = cols * panel_rows, groups = groups_per_row<F>(cols);
  const bool tune = tunable<F> && job.tune && job.passes > 0 && job.out->group_index.empty();
  // Refitting keeps one row of a group beside the compensated weights: values, weights, scratch, codes.
  auto memory = buffer<float>::zeros(3 * cells + 4 * cols + (tune ? tune_scratch<F>(cols) : 0));
  auto fitted = buffer<typename F::params>::make(tune ? panel_rows * groups : 0);
  if (!memory) return memory.error();
  if (!fitted) return fitted.error();
  gptq_panel<F> p;
  p.job = &job;
  p.first_row = task * panel_rows;
  p.rows = job.w.rows - p.first_row < panel_rows ? job.w.rows - p.first_row : panel_rows;
  p.w = memory->data(), p.e = p.w + cells, p.extra = p.e + cells;
  float* const scratch = p.extra + cells + 4 * cols;
  // Two passes are enough before many kicks, and after them.
  const bool kick = job.kicks > 0 && job.passes > 0, by_row = kick && kicks_by_table<F>;
  const int last = job.passes < 2 ? job.passes : 2,
            passes = by_row && job.kicks >= kicks_for_passes ? last : job.passes;
  kick_memory<F> rows;
  panel_copy<F> copy;
  if (kick)
    if (auto made =
            by_row ? make_kick_memory<F>(rows, cols, !job.out->group_index.empty()) : make_panel_copy<F>(copy, cols);
        !made)
      return made.error();
  const auto improve = [&] {
    improve_panel<F>(p, passes, tune ? scratch : nullptr, false);
    if (!kick) return;
    if constexpr (kicks_by_table<F>) {
      kick_rows<F>(p, rows, tune ? scratch : nullptr);
      improve_panel<F>(p, last, tune ? scratch : nullptr, true);
    } else {
      kick_panel<F>(p, copy, tune ? scratch : nullptr);
    }
  };
  if (job.start_given) {
    transpose_panel(job.w, p.first_row, {}, p.w);
    errors_of_codes<F>(p);
    measure_start<F>(p);
    improve();
    double solved[panel_rows];
    quadratic_form(job.m->h.data(), job.m->stride, cols, p.e, solved);
    for (std::size_t r = 0; r < p.rows; ++r) job.solved[p.first_row + r] = solved[r];
    return {};
  }
  transpose_panel(job.w, p.first_row, job.place, p.w);
  if (job.groups == group_fit::upfront) {
    fit_panel<F>(p);
    for (std::size_t k = 0; k < cols; ++k) p.e[k] = 0.0f;  // was the search's scratch
  }
  round_panel<F>(p);
  if (!job.measure && job.passes == 0) return {};
  store_order<F>(p);
  if (job.measure) measure_rounding<F>(p);
  for (std::size_t k = 0; tune && k < p.rows * groups; ++k)
    (*fitted)[k] = job.out->params[job.out->params_index(p.first_row + k / groups, k % groups)];
  improve();
  if (job.measure) measure_panel<F>(p, fitted->span());
  return {};
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
