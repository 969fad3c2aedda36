// nbit/solver/gptq_panel.hpp — 64 rows of a matrix that GPTQ solves: what is asked, the panel's state, its parameters.
//
// Rows know nothing of each other, so a panel of rows is a task. Inside it everything is transposed (the 64 numbers of
// a column side by side).
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_GPTQ_PANEL_HPP
#define NBIT_SOLVER_GPTQ_PANEL_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/solver/factor.hpp>
#include <nbit/solver/quadratic.hpp>
#include <nbit/solver/search.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// In which order columns are rounded. The stored order is the natural one always, unless groups are fitted on the way
/// in activation order.
enum class column_order : std::uint8_t {
  natural,
  activation,   // largest diag(H) first
  group_aware,  // groups by their largest diag(H), columns likewise inside each: contiguous groups in solving order
};

/// When a group's parameters are fitted.
enum class group_fit : std::uint8_t {
  upfront,    // on the original weights, before anything is rounded
  refreshed,  // when its first column is reached, on the weights with all feedback so outer
  published,  // the same, without the feedback of the current 128 columns, as the first implementation has it
};

/// How a group's parameters are found.
enum class grid_search : std::uint8_t {
  min_max,   // the format's own fit, every weight alike
  squared,   // search for the least squared error
  weighted,  // search for the least squared error weighted by diag(H)
};

namespace detail {
/// What every panel of one solve reads, and the rows' losses it writes. "By position": in solving order.
template <weight_format F>
struct gptq_job {
  const metric* m = nullptr;
  matrix_view<const float> w = {};
  coded_matrix<F>* out = nullptr;
  std::span<const std::uint32_t> order, place;  // column at a position; position of a column
  std::span<const std::uint32_t> group_at;      // group by position
  std::span<const float> importance;            // by column; empty: all alike
  group_fit groups = group_fit::upfront;
  search_options search = {};
  int passes = 0;
  int kicks = 0;
  bool tune = false;
  bool measure = true;
  bool start_given = false;   // codes and parameters are in `out`: only improve them
  double* rounded = nullptr;  // by row: loss of plain rounding with the same parameters
  double* solved = nullptr;   // by row: loss of what was stored
  double* energy = nullptr;   // by row: loss of storing zeros
};
}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

/// Parameters of one group, by the format's own encoder or by search.
template <weight_format F>
inline typename F::params fit_group(std::span<const float> w, std::span<const float> importance, float mean_square,
                                    const search_options& search, float* scratch, code_t<F>* codes) {
  if constexpr (encodes_itself<F>) {
    typename F::params p{};
    F::encode(w, importance, mean_square, p, std::span<code_t<F>>(codes, w.size() / std::size_t(step_of<F>)));
    return p;
  } else {
    return search_group<F>(w, importance, search, scratch);
  }
}

/// Position of a column inside its group, as the format counts.
template <weight_format F>
NBIT_INLINE int place_in_group(std::size_t column) {
  if constexpr (F::group > 0)
    return static_cast<int>(column % std::size_t(F::group));
  else
    return static_cast<int>(column);
}

/// The state of one panel. Up to the greedy pass columns are in solving order, then in stored order.
template <weight_format F>
struct gptq_panel {
  const gptq_job<F>* job;
  std::size_t first_row, rows;
  float* w;      // [column][row]
  float* e;      // w - value, [column][row]
  float* extra;  // as large as w: compensated weights of a group, then errors of plain rounding
  float sums[outer_columns * panel_rows];
};

/// The parameters of a stored column.
template <weight_format F>
NBIT_INLINE typename F::params& params_of(const gptq_panel<F>& p, std::size_t r, std::size_t column) {
  coded_matrix<F>& q = *p.job->out;
  return q.params[q.params_index(p.first_row + r, q.group_of(column))];
}

/// Fits sixteen rows' groups at a time.
template <weight_format F>
  requires searched_by_range<F>
inline void fit_side_by_side(gptq_panel<F>& p) {
  const gptq_job<F>& job = *p.job;
  const std::size_t cols = job.w.cols, length = group_length<F>(cols);
  for (std::size_t first = 0, g = 0; first < cols; first += length, ++g) {
    const std::size_t n = cols - first < length ? cols - first : length;
    const auto importance = job.importance.empty() ? job.importance : job.importance.subspan(first, n);
    for (std::size_t r = 0; r < p.rows; r += lane_count) {
      typename F::params found[lane_count];
      for (std::size_t k = 0; k < n; ++k)
        std::memcpy(p.e + k * lane_count, p.w + std::size_t(job.place[first + k]) * panel_rows + r,
                    lane_count * sizeof(float));
      search_groups<F>(p.e, n, importance, job.search, p.e + n * lane_count, found);
      for (std::size_t l = 0; l < lane_count && r + l < p.rows; ++l)
        job.out->params[job.out->params_index(p.first_row + r + l, g)] = found[l];
    }
  }
}

template <weight_format F>
inline void fit_panel(gptq_panel<F>& p) {
  if constexpr (F::group != per_tensor && searched_by_range<F>) {
    fit_side_by_side<F>(p);
  } else if constexpr (F::group != per_tensor) {
    const gptq_job<F>& job = *p.job;
    const std::size_t cols = job.w.cols, length = group_length<F>(cols);
    for (std::size_t r = 0; r < p.rows; ++r) {
      const std::span<const float> row = job.w.row(p.first_row + r);
      float mean_square = 0.0f;
      if constexpr (encodes_itself<F>) mean_square = row_mean_square(row);
      for (std::size_t first = 0, g = 0; first < cols; first += length, ++g) {
        const std::size_t n = cols - first < length ? cols - first : length;
        const std::span<const float> importance =
            job.importance.empty() ? job.importance : job.importance.subspan(first, n);
        job.out->params[job.out->params_index(p.first_row + r, g)] =
            fit_group<F>(row.subspan(first, n), importance, mean_square, job.search, p.e,
                         job.out->row_codes(p.first_row + r) + first / std::size_t(step_of<F>));
      }
    }
  }
}

/// Fits the group that begins at position `first` on the weights as the feedback of earlier columns left them.
template <weight_format F>
inline void refit_group(gptq_panel<F>& p, std::size_t first) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  const std::size_t cols = job.w.cols, group = job.group_at[first];
  std::size_t last = first;
  while (last < cols && job.group_at[last] == group) ++last;
  const std::size_t known = job.groups == group_fit::published ? first / 128 * 128 : first;
  // Moving the free columns to where they undo the known errors best is y U = x, U the free columns' part of S + I.
  const std::size_t n = last - known;
  float* const y = p.extra;
  for (std::size_t k = 0; k < n * panel_rows; ++k) y[k] = 0.0f;
  add_product({y, panel_rows, m.s.data() + known, m.stride, p.e, panel_rows, n, panel_rows, known, 1.0f});
  for (std::size_t k = 0; k < n; ++k)
    for (std::size_t i = 0; i < k; ++i) {
      const float u = m.s[(known + i) * m.stride + known + k];
      for (std::size_t r = 0; r < panel_rows; ++r) y[k * panel_rows + r] -= u * y[i * panel_rows + r];
    }
  // One row of the group at a time, in stored order; in activation order a group is columns by rank.
  const std::size_t length = last - first;
  float* const values = p.extra + n * panel_rows;
  float* const weights = values + length;
  float* const scratch = weights + length;
  code_t<F>* const codes = reinterpret_cast<code_t<F>*>(scratch + length);
  const bool by_rank = !job.out->group_index.empty();
  for (std::size_t r = 0; r < p.rows; ++r) {
    for (std::size_t k = 0; k < length; ++k) {
      const std::size_t column = job.order[first + k];
      const std::size_t at = by_rank ? k : static_cast<std::size_t>(place_in_group<F>(column));
      const float v = p.w[(first + k) * panel_rows + r] + y[(first - known + k) * panel_rows + r];
      values[at] = is_finite(v) ? v : p.w[(first + k) * panel_rows + r];
      weights[at] = job.importance.empty() ? 1.0f : job.importance[column];
    }
    const std::span<const float> group_weights(weights, job.importance.empty() ? 0 : length);
    const std::span<const float> group_values(values, length);
    job.out->params[job.out->params_index(p.first_row + r, group)] =
        fit_group<F>(group_values, group_weights, row_mean_square(group_values), job.search, scratch, codes);
  }
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
