// nbit/solver/gptq_search.hpp — 64 rows from weights to the best codes found: round, improve, kick, compare.
//
// Improving stops where no single code and no single parameter helps. A kick is a random move of some codes, followed
// by improving again: rows that end lower keep it (iterated local search), so time buys quality. At last a row that
// plain rounding serves better goes back to it.
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
#include <nbit/base/random.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/solver/gptq_panel.hpp>
#include <nbit/solver/quadratic.hpp>
#include <nbit/solver/tune.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// At most `passes` over codes and parameters, or until nothing moves. scratch: tune_scratch floats, or nullptr to
/// leave the parameters alone.
template <weight_format F>
inline void improve_panel(gptq_panel<F>& p, int passes, float* scratch, bool codes_first) {
  const gptq_job<F>& job = *p.job;
  const auto tune = [&] {
    return scratch != nullptr &&
           tune_panel<F>(*job.out, p.first_row, p.rows, job.m->h.data(), job.m->stride, p.e, scratch);
  };
  for (int pass = 0; pass < passes; ++pass) {
    bool moved = !codes_first && tune();
    moved |= descend_panel<F>(p);
    if (codes_first) moved |= tune();
    if (!moved) break;
  }
}

/// What a row of a panel goes back to when a kick did not help.
template <weight_format F>
struct panel_copy {
  buffer<code_t<F>> codes;
  buffer<typename F::params> params;
};

/// Moves four of a row's codes to what their weights would be with an error of about a step more, up or down. With more
/// of them, or a share, hardly a row ends lower.
template <weight_format F>
inline void kick_row(gptq_panel<F>& p, std::size_t r, random_stream& random) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols;
  for (int moves = 0; moves < 4; ++moves) {
    const std::size_t column = random.below(static_cast<std::uint32_t>(cols / step)) * step;
    const std::size_t first = column / panel_columns * panel_columns;
    const std::size_t last = cols - first < panel_columns ? cols : first + panel_columns;
    float square = 0.0f;
    for (std::size_t c = first; c < last; ++c) square += p.e[c * panel_rows + r] * p.e[c * panel_rows + r];
    // Errors spread evenly over a step have a root mean square of step / sqrt(12).
    const float away = __builtin_sqrtf(12.0f * square / static_cast<float>(last - first));
    const typename F::params& params = params_of<F>(p, r, column);
    const int at = place_in_group<F>(column);
    float target[step], value[step];
    bool fine = true;
    for (std::size_t k = 0; k < step; ++k) {
      const std::size_t here = (column + k) * panel_rows + r;
      target[k] = p.w[here] - p.e[here] + random.sign() * away;
      fine &= is_finite(target[k]);
    }
    if (!fine) continue;
    code_t<F> c{};
    round_group<F>(std::span<const float>(target), params, at, &c);
    value_group<F>(&c, params, at, std::span<float>(value));
    for (std::size_t k = 0; k < step; ++k) fine &= is_finite(value[k]);
    if (!fine) continue;
    job.out->row_codes(p.first_row + r)[column / step] = c;
    for (std::size_t k = 0; k < step; ++k)
      p.e[(column + k) * panel_rows + r] = p.w[(column + k) * panel_rows + r] - value[k];
  }
}

/// Iterated local search: moves a few codes of every row at random, improves again, and keeps the rows that came out
/// better. Random numbers follow from the row, so rows stay independent.
template <weight_format F>
inline void kick_panel(gptq_panel<F>& p, panel_copy<F>& kept, float* scratch) {
  const gptq_job<F>& job = *p.job;
  coded_matrix<F>& q = *job.out;
  const metric& m = *job.m;
  const std::size_t cols = job.w.cols, units = cols / std::size_t(step_of<F>), groups = groups_per_row<F>(cols);
  const bool own_params = F::group != per_tensor;
  double before[panel_rows], after[panel_rows];
  quadratic_form(m.h.data(), m.stride, cols, p.e, before);
  for (int kick = 0; kick < job.kicks; ++kick) {
    for (std::size_t k = 0; k < cols * panel_rows; ++k) p.extra[k] = p.e[k];
    for (std::size_t r = 0; r < p.rows; ++r) {
      const std::size_t row = p.first_row + r;
      for (std::size_t u = 0; u < units; ++u) kept.codes[r * units + u] = q.row_codes(row)[u];
      for (std::size_t g = 0; own_params && g < groups; ++g)
        kept.params[r * groups + g] = q.params[q.params_index(row, g)];
      random_stream random(row * 1000003u + static_cast<std::uint64_t>(kick));
      kick_row<F>(p, r, random);
    }
    improve_panel<F>(p, 3, scratch, true);  // parameters that follow moved codes would hold them where they are
    quadratic_form(m.h.data(), m.stride, cols, p.e, after);
    for (std::size_t r = 0; r < p.rows; ++r) {
      if (after[r] < before[r]) {
        before[r] = after[r];
        continue;
      }
      const std::size_t row = p.first_row + r;
      for (std::size_t u = 0; u < units; ++u) q.row_codes(row)[u] = kept.codes[r * units + u];
      for (std::size_t g = 0; own_params && g < groups; ++g)
        q.params[q.params_index(row, g)] = kept.params[r * groups + g];
      for (std::size_t c = 0; c < cols; ++c) p.e[c * panel_rows + r] = p.extra[c * panel_rows + r];
    }
  }
}

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
  panel_copy<F> kept;
  if (job.kicks > 0) {
    auto codes = buffer<code_t<F>>::make(panel_rows * cols / std::size_t(step_of<F>));
    auto params = buffer<typename F::params>::make(F::group == per_tensor ? 0 : panel_rows * groups);
    if (!codes) return codes.error();
    if (!params) return params.error();
    kept.codes = *std::move(codes), kept.params = *std::move(params);
  }
  const auto improve = [&] {
    improve_panel<F>(p, job.passes, tune ? scratch : nullptr, false);
    if (job.kicks > 0) kick_panel<F>(p, kept, tune ? scratch : nullptr);
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
  store_order<F>(p);
  measure_rounding<F>(p);
  for (std::size_t k = 0; tune && k < p.rows * groups; ++k)
    (*fitted)[k] = job.out->params[job.out->params_index(p.first_row + k / groups, k % groups)];
  improve();
  measure_panel<F>(p, fitted->span());
  return {};
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
