// nbit/solver/awq_search.hpp — what AWQ's candidates cost: the losses of scaled and of clipped weights, panel by panel.
//
// Limits are chosen for each row and group by the group's own block of the Gram matrix. AutoAWQ's limits are symmetric;
// a format with a zero point can also give up the weights of one end alone.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_AWQ_SEARCH_HPP
#define NBIT_SOLVER_AWQ_SEARCH_HPP

#include <cstddef>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/solver/quadratic.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Rounds one row and writes its values.
template <weight_format F>
inline void round_row(std::span<const float> row, std::span<const float> importance, code_t<F>* codes,
                      typename F::params* params, std::span<float> out) {
  encode_row<F>(row, importance, codes, params);
  decode_row<F>(codes, params, {}, out);
}

/// What the tasks of one search share.
struct awq_job {
  std::span<const matrix_view<const float>> linears;
  std::span<const std::size_t> first_panel;  // of each linear, and one past the last
  std::span<const std::size_t> first_row;
  const float* gram = nullptr;
  std::size_t cols = 0, stride = 0, candidates = 0;
  const float* scales = nullptr;      // candidates x cols
  const float* importance = nullptr;  // candidates x cols
};

/// The rows of panel `task`: their linear, where they start in it and how many they are.
struct awq_rows {
  matrix_view<const float> w;
  std::size_t first = 0, count = 0, stacked = 0;
};

inline awq_rows rows_of(const awq_job& job, std::size_t task) {
  std::size_t k = 0;
  while (job.first_panel[k + 1] <= task) ++k;
  awq_rows r = {};
  r.w = job.linears[k];
  r.first = (task - job.first_panel[k]) * panel_rows;
  r.count = r.w.rows - r.first < panel_rows ? r.w.rows - r.first : panel_rows;
  r.stacked = job.first_row[k] + r.first;
  return r;
}

/// Memory of one task.
template <weight_format F>
struct awq_scratch {
  buffer<float> floats;  // panel (cols x 32), row, values
  buffer<code_t<F>> codes;
  buffer<typename F::params> params;

  NBIT_HOST_INLINE awq_scratch() noexcept = default;
  NBIT_HOST_INLINE awq_scratch(awq_scratch&&) noexcept = default;
  NBIT_HOST_INLINE awq_scratch& operator=(awq_scratch&&) noexcept = default;
  NBIT_HOST_INLINE ~awq_scratch() = default;

  NBIT_INLINE bool make(std::size_t cols) {
    auto f = buffer<float>::make(cols * (2 * panel_rows + 2));
    auto c = buffer<code_t<F>>::make(codes_per_row<F>(cols));
    auto p = buffer<typename F::params>::make(groups_per_row<F>(cols));
    if (!f || !c || !p) return false;
    floats = *std::move(f), codes = *std::move(c), params = *std::move(p);
    return true;
  }
};

/// Losses of one panel for every candidate, and its energy at the end; false without memory.
template <weight_format F>
inline bool score_panel(const awq_job& job, std::size_t task, double* losses) {
  NBIT_EXACT
  const awq_rows rows = rows_of(job, task);
  const std::size_t cols = job.cols;
  awq_scratch<F> memory;
  if (!memory.make(cols)) return false;
  float *const panel = memory.floats.data(), *const row = panel + 2 * cols * panel_rows, *const values = row + cols;
  double sums[panel_rows];
  for (std::size_t k = 0; k <= job.candidates; ++k) {
    for (std::size_t i = 0; i < cols * panel_rows; ++i) panel[i] = 0.0f;
    for (std::size_t r = 0; r < rows.count; ++r) {
      const std::span<const float> w = rows.w.row(rows.first + r);
      if (k == job.candidates) {
        for (std::size_t c = 0; c < cols; ++c) panel[c * panel_rows + r] = w[c];
        continue;
      }
      const float* const s = job.scales + k * cols;
      for (std::size_t c = 0; c < cols; ++c) row[c] = w[c] * s[c];
      round_row<F>({row, cols}, {job.importance + k * cols, cols}, memory.codes.data(), memory.params.data(),
                   {values, cols});
      for (std::size_t c = 0; c < cols; ++c) {
        const float e = values[c] / s[c] - w[c];
        panel[c * panel_rows + r] = is_finite(e) ? e : 0.0f;
      }
    }
    quadratic_form(job.gram, job.stride, cols, panel, sums);
    double sum = 0;
    for (std::size_t r = 0; r < rows.count; ++r) sum += sums[r];
    losses[k] = sum;
  }
  return true;
}

/// The least and the largest weight that a group of each row keeps.
struct awq_limits {
  float low[panel_rows], high[panel_rows];
};

/// Writes the scaled weights of one panel, each group held to the limits that suit its block of the Gram matrix best,
/// and the panel's loss. limits: how many are tried, on both sides alike; apart: and then on either side by itself.
template <weight_format F>
inline bool clip_panel(const awq_job& job, std::size_t task, int limits, bool apart, float* out, double* loss) {
  NBIT_EXACT
  const awq_rows rows = rows_of(job, task);
  const std::size_t cols = job.cols, length = group_length<F>(cols);
  awq_scratch<F> memory;
  if (!memory.make(cols)) return false;
  float *const panel = memory.floats.data(), *const row = panel + 2 * cols * panel_rows, *const values = row + cols;
  float* const stacked = out + rows.stacked * cols;
  double sums[panel_rows], least[panel_rows];
  for (std::size_t r = 0; r < rows.count; ++r)
    for (std::size_t c = 0; c < cols; ++c) stacked[r * cols + c] = rows.w(rows.first + r, c) * job.scales[c];
  for (std::size_t first = 0; limits > 1 && first < cols; first += length) {
    const std::size_t n = cols - first < length ? cols - first : length;
    for (std::size_t i = 0; i < n * panel_rows; ++i) panel[i] = 0.0f;
    awq_limits best, from;
    for (std::size_t r = 0; r < rows.count; ++r) {
      float largest = 0.0f;
      for (std::size_t c = 0; c < n; ++c) {
        const float a = abs(stacked[r * cols + first + c]);
        largest = a > largest ? a : largest;
      }
      best.low[r] = -largest, best.high[r] = largest;
    }
    const auto held = [](float v, float low, float high) { return v > high ? high : v < low ? low : v; };
    enum { both, upper, lower, sides };
    for (int side = both; side < (apart ? int(sides) : int(upper)); ++side) {
      from = best;
      for (int k = side == both ? 0 : 1; k < limits; ++k) {
        const float share = 1.0f - static_cast<float>(k) / 20.0f;
        awq_limits now = from;
        for (std::size_t r = 0; r < rows.count; ++r) {
          if (side != upper) now.low[r] *= share;
          if (side != lower) now.high[r] *= share;
          const float* const w = stacked + r * cols + first;
          float mean_square = 0.0f;
          if constexpr (encodes_itself<F>) mean_square = row_mean_square({stacked + r * cols, cols});
          for (std::size_t c = 0; c < n; ++c) row[c] = held(w[c], now.low[r], now.high[r]);
          encode_group<F>({row, n}, {job.importance + first, n}, mean_square, memory.params[0], memory.codes.data());
          value_group<F>(memory.codes.data(), memory.params[0], 0, {values, n});
          for (std::size_t c = 0; c < n; ++c) {
            const float e = (values[c] - w[c]) / job.scales[first + c];
            panel[c * panel_rows + r] = is_finite(e) ? e : 0.0f;
          }
        }
        quadratic_form(job.gram + first * job.stride + first, job.stride, n, panel, sums);
        for (std::size_t r = 0; r < rows.count; ++r)
          if ((side == both && k == 0) || sums[r] < least[r])
            least[r] = sums[r], best.low[r] = now.low[r], best.high[r] = now.high[r];
      }
    }
    for (std::size_t r = 0; r < rows.count; ++r)
      for (std::size_t c = 0; c < n; ++c) {
        float& v = stacked[r * cols + first + c];
        v = held(v, best.low[r], best.high[r]);
      }
  }
  for (std::size_t i = 0; i < cols * panel_rows; ++i) panel[i] = 0.0f;
  for (std::size_t r = 0; r < rows.count; ++r) {
    round_row<F>({stacked + r * cols, cols}, {job.importance, cols}, memory.codes.data(), memory.params.data(),
                 {values, cols});
    for (std::size_t c = 0; c < cols; ++c) {
      const float e = values[c] / job.scales[c] - rows.w(rows.first + r, c);
      panel[c * panel_rows + r] = is_finite(e) ? e : 0.0f;
    }
  }
  quadratic_form(job.gram, job.stride, cols, panel, sums);
  *loss = 0;
  for (std::size_t r = 0; r < rows.count; ++r) *loss += sums[r];
  return true;
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
