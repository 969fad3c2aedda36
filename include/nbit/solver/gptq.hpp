// nbit/solver/gptq.hpp — codes that lower the error of a layer's output, not of its weights, for any format.
//
// Columns are rounded one after another, each moved by what the errors of the earlier ones ask for; then every code is
// reconsidered with all others held fixed, a few times. Parameters are fitted first, weighted by how large each input
// is, and solved in activation order; files keep their plain column order. So the same solver serves uniform integers,
// codebooks, k-quants (whose blocks are fitted once and then frozen), lattices and formats of a user.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_GPTQ_HPP
#define NBIT_SOLVER_GPTQ_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/solver/factor.hpp>
#include <nbit/solver/gptq_panel.hpp>
#include <nbit/solver/gptq_search.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// The recipe. The default needs no group index in files and costs nothing at inference.
struct gptq_options {
  double damping = 0.05;  // share of the mean diagonal added to the diagonal; >= 0
  bool shrink = true;     // take sampling noise out of the correlations first
  column_order order = column_order::activation;
  group_fit groups = group_fit::upfront;
  grid_search grid = grid_search::weighted;
  int passes = 8;                          // at most, over parameters and codes after the greedy one; 0 to 1000
  int kicks = -1;                          // then, unless passes is 0, random moves, kept by rows that end lower;
                                           // -1: 64 of codes of up to 6 bits, none of lattices and wider codes
  bool tune = true;                        // let those passes refit the parameters to the codes (nbit::dials)
  bool measure = true;                     // the losses, and go back to plain rounding where a row lost by all this;
                                           // without passes they are most of the work
  std::span<const float> importance = {};  // weights for fitting, one per column; empty: diag(H)
  search_options search = {};              // the grid of squared and weighted searches
};

/// What a solve did. Losses are tr(E H E^T) in the metric that was minimised, in units where live inputs have mean
/// square 1; loss / energy is the relative error of the layer's output under that metric. Not measured: 0.
struct solve_report {
  metric_report metric = {};
  std::uint64_t tokens = 0;
  int kicks = 0;            // of each row
  double loss_rounded = 0;  // of rounding each weight to nearest with the same parameters
  double loss = 0;          // of the codes returned; never above loss_rounded
  double energy = 0;        // of all-zero weights
};

/// Codes and report.
template <weight_format F>
struct gptq_result {
  coded_matrix<F> codes;
  solve_report report = {};

  NBIT_HOST_INLINE gptq_result() noexcept = default;
  NBIT_HOST_INLINE gptq_result(gptq_result&&) noexcept = default;
  NBIT_HOST_INLINE gptq_result& operator=(gptq_result&&) noexcept = default;
  NBIT_HOST_INLINE ~gptq_result() = default;
};

inline namespace NBIT_TAG {
namespace detail {

/// Writes the column at each position. Units of `step` neighbours stay together; equal columns keep their order.
inline void solving_order(std::span<const float> diagonal, column_order order, std::size_t step, std::size_t group,
                          std::uint32_t* columns, float* unit_weight, std::uint32_t* units) {
  const std::size_t cols = diagonal.size(), count = cols / step;
  for (std::size_t u = 0; u < count; ++u) {
    units[u] = static_cast<std::uint32_t>(u);
    float sum = 0.0f;
    for (std::size_t k = 0; k < step; ++k) sum += diagonal[u * step + k];
    unit_weight[u] = sum <= 3e38f ? sum : 0.0f;  // NaN: as if never used
  }
  const auto larger_first = [unit_weight](std::uint32_t a, std::uint32_t b) {
    return unit_weight[a] > unit_weight[b] || (unit_weight[a] == unit_weight[b] && a < b);
  };
  if (order == column_order::activation) {
    sort(units, count, larger_first);
  } else if (order == column_order::group_aware) {
    const std::size_t per_group = group / step, whole = count / per_group;
    for (std::size_t first = 0; first < count; first += per_group)
      sort(units + first, count - first < per_group ? count - first : per_group, larger_first);
    // Whole groups by their first unit; a short last group stays last. Insertion by rank: groups are few.
    for (std::size_t g = 1; g < whole; ++g)
      for (std::size_t h = g; h > 0 && larger_first(units[h * per_group], units[(h - 1) * per_group]); --h)
        std::swap_ranges(units + h * per_group, units + (h + 1) * per_group, units + (h - 1) * per_group);
  }
  for (std::size_t u = 0; u < count; ++u)
    for (std::size_t k = 0; k < step; ++k)
      columns[u * step + k] = units[u] * static_cast<std::uint32_t>(step) + static_cast<std::uint32_t>(k);
}

template <weight_format F>
inline result<void> check_gptq(matrix_view<const float> w, const hessian& h, const gptq_options& o) {
  if (h.cols() != w.cols)
    return make_error(errc::shape, "statistics have another number of columns than the weights",
                      "one input for each column")
        .with(static_cast<std::int64_t>(h.cols()));
  if (!fits_format<F>(w.cols)) return shape_error<F>(w.cols);
  if (!(o.damping >= 0 && o.damping <= 1e6))
    return make_error(errc::invalid_option, "damping is out of range", "0 to 1e6").about("damping");
  if (o.passes < 0 || o.passes > 1000)
    return make_error(errc::invalid_option, "number of descent passes is out of range", "0 to 1000")
        .about("passes")
        .with(o.passes);
  if (o.kicks < -1 || o.kicks > 100000)
    return make_error(errc::invalid_option, "number of kicks is out of range", "0 to 100000, or -1")
        .about("kicks")
        .with(o.kicks);
  if (!o.importance.empty() && o.importance.size() != w.cols)
    return make_error(errc::shape, "importance has another length than a row", "empty, or one number for each column")
        .about("importance")
        .with(static_cast<std::int64_t>(o.importance.size()));
  if (o.groups != group_fit::upfront) {
    if (F::group == per_tensor)
      return make_error(errc::invalid_option, "one group for the whole tensor can only be fitted upfront",
                        "group_fit::upfront")
          .about("groups");
    if (o.order == column_order::activation && (block_format<F> || lattice_format<F>))
      return make_error(errc::invalid_option, "this format cannot store groups of scattered columns",
                        "group_fit::upfront, or column_order::natural or group_aware")
          .about("groups");
  }
  return all_finite(w);
}

/// Kicks that options ask for.
template <weight_format F>
NBIT_INLINE constexpr int kicks_asked(const gptq_options& o) {
  return o.passes == 0 ? 0 : o.kicks >= 0 ? o.kicks : kicks_by_table<F> ? usual_kicks : 0;
}

/// Weights for fitting: the option's, or the mean squares, made finite and positive, with mean 1.
inline bool fitting_weights(std::span<const float> from, std::span<float> out) {
  double sum = 0;
  std::size_t live = 0;
  for (const float v : from)
    if (v > 0.0f && v <= 3e38f) sum += static_cast<double>(v), ++live;
  if (live == 0) return false;
  const double scale = static_cast<double>(live) / sum;
  for (std::size_t c = 0; c < out.size(); ++c) {
    const double v = static_cast<double>(from[c]) * scale;
    out[c] = v >= 1e-5 ? static_cast<float>(v < 1e12 ? v : 1e12) : v < 1e-5 ? 1e-5f : 1.0f;
  }
  return true;
}

/// Calls solve(task) for each panel of rows, false meaning no memory, and adds up the losses it writes for each row:
/// job.rounded, job.solved and job.energy, which live as long as this call.
template <class Job, class Executor, class Solve>
inline result<void> solve_panels(Job& job, solve_report& report, Executor& ex, const Solve& solve) {
  const std::size_t rows = job.w.rows, tasks = (rows + panel_rows - 1) / panel_rows;
  auto losses = buffer<double>::zeros(3 * rows);
  auto failed = buffer<unsigned char>::zeros(tasks);
  if (!losses) return losses.error();
  if (!failed) return failed.error();
  job.rounded = losses->data(), job.solved = job.rounded + rows, job.energy = job.solved + rows;
  unsigned char* const failures = failed->data();
  ex(tasks, [&solve, failures](std::size_t task) { failures[task] = solve(task) ? 0 : 1; });
  for (std::size_t t = 0; t < tasks; ++t)
    if (failures[t] != 0) return make_error(errc::out_of_memory, "no memory for a panel of rows");
  for (std::size_t r = 0; r < rows; ++r) {
    report.loss_rounded += job.rounded[r];
    report.loss += job.solved[r];
    report.energy += job.energy[r];
  }
  return {};
}

}  // namespace detail

/// Quantizes w (outputs x inputs) for inputs with the statistics h.
/// Errors: shape (h or importance of another width; a row that F cannot hold), not_finite with row and column of the
/// first bad weight, invalid_option, out_of_memory. Statistics never make it fail: see report.metric.
/// Cost: cols^3 / 6 + rows cols^2 (2 + 2 passes) multiply-adds, at most 4 passes with 32 kicks or more of codes of up
/// to 6 bits, which cost some 40 rows cols each; of others 7 rows cols^2; 3/2 rows cols^2 less where nothing is
/// measured. Memory: 2 cols^2 floats, the codes, and for every task that runs at a time 3 x 64 rows of floats, 192
/// floats for each weight of a group, and for kicks 21 bytes for each of at most 2048 columns and the values of their
/// groups; of lattices and wider codes 64 rows of codes and parameters.
template <weight_format F, class Executor = serial>
result<gptq_result<F>> gptq(matrix_view<const float> w, const hessian& h, const gptq_options& o = {},
                            Executor&& ex = {}) {
  using namespace detail;
  if (auto fine = check_gptq<F>(w, h, o); !fine) return fine.error();
  auto made = coded_matrix<F>::make(w.shape());
  if (!made) return made.error();
  gptq_result<F> out;
  out.codes = *std::move(made);
  out.report.tokens = h.tokens(), out.report.kicks = kicks_asked<F>(o);
  if (w.empty()) return result<gptq_result<F>>(std::move(out));  // nvcc does not move it by itself

  const std::size_t cols = w.cols, step = std::size_t(step_of<F>), group = group_length<F>(cols);
  if (cols > 0xffffffffu) return make_error(errc::overflow, "too many columns", "up to 2^32 - 1");
  auto floats = buffer<float>::make(3 * cols);
  auto indices = buffer<std::uint32_t>::make(4 * cols);
  if (!floats) return floats.error();
  if (!indices) return indices.error();
  const std::span<float> diagonal = floats->span().first(cols), weights = floats->span().subspan(cols, cols);
  std::uint32_t *const order = indices->data(), *const place = order + cols, *const group_at = place + cols;

  h.mean_square(diagonal);
  solving_order(diagonal, o.order, step, group, order, floats->data() + 2 * cols, group_at + cols);
  const bool scattered = o.groups != group_fit::upfront && o.order == column_order::activation && F::group > 0;
  for (std::size_t p = 0; p < cols; ++p) {
    place[order[p]] = static_cast<std::uint32_t>(p);
    group_at[p] = static_cast<std::uint32_t>((scattered ? p : order[p]) / group);
  }
  if (scattered) {
    auto index = buffer<std::uint32_t>::make(cols);
    if (!index) return index.error();
    for (std::size_t c = 0; c < cols; ++c) (*index)[c] = group_at[place[c]];
    out.codes.group_index = *std::move(index);
  }
  std::span<const float> importance;
  if (o.grid == grid_search::weighted && fitting_weights(o.importance.empty() ? diagonal : o.importance, weights))
    importance = weights;

  auto m = make_metric(h, std::span<const std::uint32_t>(place, cols), {o.damping, o.shrink}, ex);
  if (!m) return m.error();
  if (step > 1) join_columns(*m, step);
  out.report.metric = m->report;

  gptq_job<F> job = {};
  job.m = &*m, job.w = w, job.out = &out.codes;
  job.order = {order, cols}, job.place = {place, cols}, job.group_at = {group_at, cols};
  job.importance = importance, job.groups = o.groups, job.passes = o.passes, job.kicks = out.report.kicks;
  job.tune = o.tune, job.measure = o.measure;
  job.search = o.search;
  if (o.grid == grid_search::min_max) job.search.coarse_steps = 0;
  if constexpr (F::group == per_tensor) {
    auto p = fit_tensor<F>(w, importance);
    if (!p) return p.error();
    out.codes.params[0] = *p;
  }

  if (auto done =
          solve_panels(job, out.report, ex, [&job](std::size_t task) { return bool(solve_panel<F>(job, task)); });
      !done)
    return done.error();
  return result<gptq_result<F>>(std::move(out));
}

/// Improves codes, and with options.tune parameters, that some other solver made for w: the passes of gptq without its
/// greedy start. The loss never rises; report.loss_rounded is that of the codes as given. Of the options, damping,
/// shrink, passes, kicks and tune count. Errors: shape, not_finite, invalid_option, out_of_memory.  Cost: cols^3 / 3 +
/// 2 rows cols^2 passes multiply-adds.
template <weight_format F, class Executor = serial>
result<solve_report> refine(matrix_view<const float> w, const hessian& h, coded_matrix<F>& codes,
                            const gptq_options& o = {}, Executor&& ex = {}) {
  using namespace detail;
  if (auto fine = check_gptq<F>(w, h, {.damping = o.damping, .passes = o.passes, .kicks = o.kicks}); !fine)
    return fine.error();
  if (codes.rows != w.rows || codes.cols != w.cols)
    return make_error(errc::shape, "codes have another shape than the weights", "the same rows and columns")
        .at(static_cast<std::int64_t>(codes.rows), static_cast<std::int64_t>(codes.cols));
  solve_report report = {};
  report.tokens = h.tokens(), report.kicks = kicks_asked<F>(o);
  if (w.empty()) return report;
  auto m = make_metric(h, {}, {o.damping, o.shrink}, ex);
  if (!m) return m.error();
  report.metric = m->report;
  gptq_job<F> job = {};
  job.m = &*m, job.w = w, job.out = &codes, job.passes = o.passes, job.kicks = report.kicks, job.tune = o.tune,
  job.start_given = true;
  if (auto done = solve_panels(job, report, ex, [&job](std::size_t task) { return bool(solve_panel<F>(job, task)); });
      !done)
    return done.error();
  return report;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
