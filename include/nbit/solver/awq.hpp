// nbit/solver/awq.hpp — channel scales that protect the weights of large inputs, and clipping, from the Gram matrix
// alone.
//
// W x = (W diag(s)) (diag(1/s) x): columns of strong inputs are stored larger, so their rounding errors count less; 1/s
// is folded into whatever produces x (solver/fold.hpp). Every candidate is judged by tr(E H E^T), which is the exact
// squared error of the outputs on the calibration tokens; no activations are kept. Leaving the weights as they are is
// always a candidate.  Ref: Lin et al. 2024; the scale's form with both statistics is AutoAWQ's "duo scaling".
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_AWQ_HPP
#define NBIT_SOLVER_AWQ_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/elementary.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/awq_search.hpp>
#include <nbit/solver/calibration.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// The grid of the search.
struct awq_options {
  int steps = 20;       // exponents tried: 0/steps ... (steps - 1)/steps; 0: no scaling, 1 to 1000
  bool duo = true;      // s = |x|^r / |w|^(1-r) with relative weight magnitudes; false: s = |x|^r
  bool clip = true;     // then search limits for the weights of every group, at the end for either side by itself
  int clip_steps = 14;  // limits tried: largest |w| times 1, 1 - 1/20, 1 - 2/20 ...; 1 to 19
  bool shrink = true;   // take the sampling noise out of the correlations (hessian::shrinkage)
};

/// Scaled and clipped weights, ready for any solver.
struct awq_result {
  buffer<float> scales;   // one per column, all positive; the inputs must be divided by them
  buffer<float> weights;  // rows x cols: w * scales, clipped; several linears one after another, in the order given
  std::size_t rows = 0, cols = 0;
  float exponent = -1;      // of the scales chosen; -1: all ones
  double shrinkage = 0;     // that was applied to the statistics
  double loss_rounded = 0;  // tr(E H E^T) of plain rounding, in units where live inputs have mean square 1
  double loss_scaled = 0;   // after scaling
  double loss = 0;          // after scaling and clipping
  double energy = 0;        // of all-zero weights

  NBIT_HOST_INLINE awq_result() noexcept = default;
  NBIT_HOST_INLINE awq_result(awq_result&&) noexcept = default;
  NBIT_HOST_INLINE awq_result& operator=(awq_result&&) noexcept = default;
  NBIT_HOST_INLINE ~awq_result() = default;

  [[nodiscard]] NBIT_INLINE matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};

inline namespace NBIT_TAG {
namespace detail {

/// Column means of |w| / largest |w| of its group, over all rows of all linears.
template <weight_format F>
inline void relative_magnitude(std::span<const matrix_view<const float>> linears, std::span<float> out) {
  const std::size_t cols = out.size(), length = group_length<F>(cols);
  std::size_t rows = 0;
  for (float& v : out) v = 0.0f;
  for (const matrix_view<const float>& w : linears)
    for (std::size_t r = 0; r < w.rows; ++r, ++rows)
      for (std::size_t first = 0; first < cols; first += length) {
        const std::size_t last = cols - first < length ? cols : first + length;
        float largest = 0.0f;
        for (std::size_t c = first; c < last; ++c) largest = abs(w(r, c)) > largest ? abs(w(r, c)) : largest;
        if (!(largest > 0.0f)) continue;
        for (std::size_t c = first; c < last; ++c) out[c] += abs(w(r, c)) / largest;
      }
  for (float& v : out) v = rows == 0 ? 1.0f : v / static_cast<float>(rows);
}

/// v^p for magnitudes, 0 included, with the same bits on every machine.
inline float magnitude_power(float v, float p) {
  if (!(v > 0.0f)) return p == 0.0f ? 1.0f : 0.0f;
  return static_cast<float>(power_exact(static_cast<double>(v), static_cast<double>(p)));
}

/// One candidate: scales with geometric middle 1; what is not a usable number becomes 1.
inline void scale_candidate(std::span<const float> x, std::span<const float> w, float exponent, bool duo, float* out) {
  NBIT_EXACT
  float least = 3e38f, most = 0.0f;
  for (std::size_t c = 0; c < x.size(); ++c) {
    float s = magnitude_power(x[c], exponent);
    if (duo) s /= magnitude_power(w[c], 1.0f - exponent) + 1e-4f;
    if (!(s >= 1e-4f)) s = 1e-4f;
    if (!(s <= 1e6f)) s = 1e6f;
    out[c] = s;
    least = s < least ? s : least, most = s > most ? s : most;
  }
  const float middle = __builtin_sqrtf(least * most);
  for (std::size_t c = 0; c < x.size(); ++c) out[c] /= middle;
}

}  // namespace detail

/// Scales and clips linears that share one input; F is the format they will be stored in.
/// Errors: shape (linears or statistics of different widths; a row that F cannot hold), not_finite with row and column
/// of the first bad weight, invalid_option, out_of_memory.
/// Cost: rows cols^2 / 2 multiply-adds for each step, rows cols group / 2 for each limit at every third step and
/// three times at the end, and as many encodings.
template <weight_format F, class Executor = serial>
result<awq_result> awq(std::span<const matrix_view<const float>> linears, const hessian& h, const awq_options& o = {},
                       Executor&& ex = {}) {
  static_assert(F::group != per_tensor,
                "nbit::awq: a format with one group per tensor gives scales nothing to act on; use a group or per_row");
  using namespace detail;
  if (o.steps < 0 || o.steps > 1000)
    return make_error(errc::invalid_option, "number of exponents is out of range", "0 to 1000")
        .about("steps")
        .with(o.steps);
  if (o.clip_steps < 1 || o.clip_steps > 19)
    return make_error(errc::invalid_option, "number of limits is out of range", "1 to 19")
        .about("clip_steps")
        .with(o.clip_steps);
  const std::size_t cols = h.cols(), stride = (cols + 15) / 16 * 16;
  if (!fits_format<F>(cols)) return shape_error<F>(cols);
  awq_result out;
  out.cols = cols;
  auto starts = buffer<std::size_t>::zeros(2 * (linears.size() + 1));
  if (!starts) return starts.error();
  const std::span<std::size_t> first_panel = starts->span().first(linears.size() + 1),
                               first_row = starts->span().subspan(linears.size() + 1);
  for (std::size_t k = 0; k < linears.size(); ++k) {
    if (linears[k].cols != cols)
      return make_error(errc::shape, "a linear has another number of columns than the statistics",
                        "one input for each column")
          .with(static_cast<std::int64_t>(linears[k].cols));
    if (auto fine = all_finite(linears[k]); !fine) return fine.error();
    first_panel[k + 1] = first_panel[k] + (linears[k].rows + panel_rows - 1) / panel_rows;
    first_row[k + 1] = first_row[k] + linears[k].rows;
  }
  out.rows = first_row[linears.size()];
  const std::size_t tasks = first_panel[linears.size()], candidates = static_cast<std::size_t>(o.steps) + 1;

  auto scales = buffer<float>::make(cols);
  auto weights = buffer<float>::make(out.rows * cols);
  auto grid = buffer<float>::make(2 * candidates * cols);
  auto statistics = buffer<float>::make(3 * cols);
  auto gram = buffer<float>::zeros(cols * stride);
  auto losses = buffer<double>::zeros(tasks * (candidates + 1));
  auto failed = buffer<unsigned char>::zeros(tasks);
  if (!scales) return scales.error();
  if (!weights) return weights.error();
  if (!grid) return grid.error();
  if (!statistics) return statistics.error();
  if (!gram) return gram.error();
  if (!losses) return losses.error();
  if (!failed) return failed.error();
  out.scales = *std::move(scales), out.weights = *std::move(weights);
  for (std::size_t c = 0; c < cols; ++c) out.scales[c] = 1.0f;
  if (out.rows == 0 || cols == 0) return out;

  const std::span<float> x = statistics->span().first(cols), w = statistics->span().subspan(cols, cols),
                         square = statistics->span().subspan(2 * cols);
  const double mean = h.mean_diagonal();
  out.shrinkage = o.shrink ? h.shrinkage() : 0.0;
  h.write({gram->data(), cols, cols, stride}, out.shrinkage, mean > 0 ? 1.0 / mean : 1.0);
  for (std::size_t i = 0; i < cols * stride; ++i)
    if (!(abs((*gram)[i]) <= 1e30f)) (*gram)[i] = 0.0f;  // statistics that are not numbers say nothing
  for (std::size_t c = 0; c < cols; ++c) {
    const float v = (*gram)[c * stride + c];
    square[c] = v > 1e-5f ? v : 1e-5f;
  }
  h.mean_abs(x);
  relative_magnitude<F>(linears, w);
  double sum = 0;
  for (float& v : x) {
    if (!is_finite(v)) v = 0.0f;
    sum += static_cast<double>(v);
  }
  const double unit = sum > 0 ? static_cast<double>(cols) / sum : 1.0;
  for (float& v : x) v = static_cast<float>(static_cast<double>(v) * unit);

  float* const importance = grid->data() + candidates * cols;
  for (std::size_t k = 0; k < candidates; ++k) {
    float* const s = grid->data() + k * cols;
    if (k == 0) {
      for (std::size_t c = 0; c < cols; ++c) s[c] = 1.0f;
    } else {
      scale_candidate(x, w, static_cast<float>(k - 1) / static_cast<float>(o.steps), o.duo, s);
    }
    for (std::size_t c = 0; c < cols; ++c) importance[k * cols + c] = square[c] / (s[c] * s[c]);
  }

  awq_job job = {};
  job.linears = linears, job.first_panel = first_panel, job.first_row = first_row;
  job.gram = gram->data(), job.cols = cols, job.stride = stride, job.candidates = candidates;
  job.scales = grid->data(), job.importance = importance;
  double* const loss = losses->data();
  unsigned char* const failures = failed->data();
  const auto any_failed = [failures, tasks] {
    for (std::size_t t = 0; t < tasks; ++t)
      if (failures[t] != 0) return true;
    return false;
  };
  ex(tasks, [&job, loss, failures, candidates](std::size_t task) {
    failures[task] = score_panel<F>(job, task, loss + task * (candidates + 1)) ? 0 : 1;
  });
  if (any_failed()) return make_error(errc::out_of_memory, "no memory for a panel of rows");
  std::size_t best = 0;
  for (std::size_t k = 0; k <= candidates; ++k) {
    double total = 0;
    for (std::size_t t = 0; t < tasks; ++t) total += loss[t * (candidates + 1) + k];
    if (k == candidates)
      out.energy = total;
    else if (k == 0)
      out.loss_rounded = out.loss_scaled = total;
    else if (total < out.loss_scaled)
      out.loss_scaled = total, best = k;
  }
  // Clipping likes milder scales than plain rounding does: the choice is made again with it, over every third exponent.
  float* const stacked = out.weights.data();
  const int limits = o.clip ? o.clip_steps : 1;
  const auto clip = [&](std::size_t k, bool apart) {
    job.scales = grid->data() + k * cols, job.importance = importance + k * cols;
    ex(tasks, [&job, loss, failures, stacked, limits, apart](std::size_t task) {
      failures[task] = clip_panel<F>(job, task, limits, apart, stacked, loss + task) ? 0 : 1;
    });
    double total = 0;
    for (std::size_t t = 0; t < tasks; ++t) total += loss[t];
    return total;
  };
  bool any = false;
  const auto reconsider = [&](std::size_t k) {
    const double total = clip(k, false);
    if (!any || total < out.loss) out.loss = total, best = k;
    any = true;
  };
  const std::size_t unclipped = best;
  if (o.clip)
    for (std::size_t k = 0; k < candidates; k += 3)
      if (k != unclipped) reconsider(k);
  reconsider(unclipped);
  // The chosen one with limits of their own for either end, unless groups disturb each other.
  if (o.clip) {
    const double apart = clip(best, true);
    out.loss = apart <= out.loss ? apart : clip(best, false);
  }
  if (any_failed()) return make_error(errc::out_of_memory, "no memory for a panel of rows");
  if (best != 0) out.exponent = static_cast<float>(best - 1) / static_cast<float>(o.steps);
  for (std::size_t c = 0; c < cols; ++c) out.scales[c] = (*grid)[best * cols + c];
  return out;
}

/// The same for one linear.
template <weight_format F, class Executor = serial>
result<awq_result> awq(matrix_view<const float> w, const hessian& h, const awq_options& o = {}, Executor&& ex = {}) {
  return awq<F>(std::span<const matrix_view<const float>>(&w, 1), h, o, ex);
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
