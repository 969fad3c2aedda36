// nbit/solver/hqq.hpp — parameters that make most weights nearly right and leave a few far off, without any data.
//
// Least squares lets a few outliers pull a whole group's grid; the p-norm of the error with p < 1 does not.
// Half-quadratic splitting: e = shrink(w - value) takes the part of the errors that counts as outliers, then every dial
// of the group (solver/dials.hpp: zero, scale) is refitted to w - e by least squares, codes are rounded anew, and the
// threshold grows. The parameters with the least p-norm seen are kept; the format's own fit is the first of them, so
// nothing gets worse. Ref: Badri and Shaji 2023, "Half-Quadratic Quantization"; here for any format, and with scales
// that may move too.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_HQQ_HPP
#define NBIT_SOLVER_HQQ_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/dials.hpp>
#include <nbit/solver/rtn.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

struct hqq_options {
  int iterations = 20;   // 0 to 1000; it stops when the error has grown three times
  float norm = 0.7f;     // p, above 0 and at most 1
  float beta = 10.0f;    // the first threshold is |x|^(p - 1) / beta, in units of the group's mean |w|
  float growth = 1.01f;  // of beta from step to step, at least 1
  // Move scales too, not only zeros and minima as published: better for weights alone, but it clips weights that
  // inputs may need.
  bool move_scale = false;
};

inline namespace NBIT_TAG {
namespace detail {

/// x^p from polynomials, good to 1e-4: thresholds need no more, and it is a vector loop.  Needs: x normal, above 0.
NBIT_INLINE float rough_power(float x, float p) {
  NBIT_EXACT
  const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
  const float m = std::bit_cast<float>((u & 0x7fffffu) | 0x3f800000u) - 1.0f;
  const float log = static_cast<float>(static_cast<int>(u >> 23) - 127) +
                    m * (1.4423f + m * (-0.7168f + m * (0.4456f + m * (-0.2329f + m * 0.0618f))));
  float y = log * p;
  y = y < -126.0f ? -126.0f : y > 126.0f ? 126.0f : y;
  const int whole = round_even(y);
  const float t = (y - static_cast<float>(whole)) * 0.69314718f;
  const float power = 1.0f + t * (1.0f + t * (0.5f + t * (0.16666667f + t * 0.041666667f)));
  return power * std::bit_cast<float>(static_cast<std::uint32_t>(whole + 127) << 23);
}

/// The sum of the errors' magnitudes over a group.
inline float error_sum(std::span<const float> w, const float* value) {
  float sum = 0.0f;
  for (std::size_t i = 0; i < w.size(); ++i) sum += abs(w[i] - value[i]);
  return is_finite(sum) ? sum : 3e38f;
}

/// Moves every dial to the least squares of target - value over the group.
template <weight_format F>
inline void refit_to(std::span<const float> target, const code_t<F>* codes, typename F::params& p, bool scales,
                     float* value, float* other) {
  NBIT_EXACT
  using set = dials<F>;
  for (int k = set::count - 1; k >= 0; --k) {
    const dial reach = set::at(k);
    const std::size_t first = static_cast<std::size_t>(reach.first);
    if (first >= target.size()) continue;
    const std::size_t n = reach.length == 0 || first + static_cast<std::size_t>(reach.length) > target.size()
                              ? target.size() - first
                              : static_cast<std::size_t>(reach.length);
    typename F::params moved = p;
    const float now = set::get(p, k);
    set::set(moved, k, reach.whole || now == 0.0f ? now + 1.0f : now * 2.0f);
    if (reach.whole && set::get(moved, k) == now) set::set(moved, k, now - 1.0f);
    const float by = set::get(moved, k) - now;
    if (!(by != 0.0f)) continue;
    const code_t<F>* const from = codes + first / std::size_t(step_of<F>);
    value_group<F>(from, p, reach.first, {value, n});
    value_group<F>(from, moved, reach.first, {other, n});
    float along = 0.0f, square = 0.0f, least = 0.0f, most = 0.0f;
    for (std::size_t i = 0; i < n; ++i) {
      const float a = (other[i] - value[i]) / by;
      least = i == 0 || a < least ? a : least, most = i == 0 || a > most ? a : most;
      along += a * (target[first + i] - value[i]), square += a * a;
    }
    const float wanted = now + along / square;
    // A zero or a minimum moves all values alike, a scale does not.
    const bool shift = most - least <= 1e-3f * (abs(most) + abs(least));
    if ((scales || shift) && square > 0.0f && is_finite(wanted)) set::set(p, k, wanted);
  }
}

/// Parameters and codes of one group. scratch: 4 floats for each weight; trial: as many codes as the group has.
template <weight_format F>
inline void solve_hqq(std::span<const float> w, const hqq_options& o, typename F::params& p, code_t<F>* codes,
                      float* scratch, code_t<F>* trial) {
  NBIT_EXACT
  const std::size_t n = w.size(), count = n / std::size_t(step_of<F>);
  float *const value = scratch, *const target = scratch + n, *const work = target + n;
  float sum = 0.0f;
  for (const float v : w) sum += abs(v);
  if (!(sum > 0.0f)) return;
  const float unit = static_cast<float>(n) / sum;
  value_group<F>(codes, p, 0, {value, n});
  float least = error_sum(w, value), beta = o.beta;
  typename F::params moving = p;
  for (std::size_t i = 0; i < count; ++i) trial[i] = codes[i];
  int worse = 0;
  for (int step = 0; step < o.iterations && worse < 3; ++step) {
    for (std::size_t i = 0; i < n; ++i) {
      const float x = (w[i] - value[i]) * unit, a = abs(x) > 1e-9f ? abs(x) : 1e-9f;
      const float left = a - rough_power(a, o.norm - 1.0f) / beta;
      const float outlier = left > 0.0f ? left / unit : 0.0f;
      target[i] = w[i] - (x < 0.0f ? -outlier : outlier);
    }
    refit_to<F>({target, n}, trial, moving, o.move_scale, work, work + n);
    round_group<F>(w, moving, 0, trial);
    value_group<F>(trial, moving, 0, {value, n});
    const float error = error_sum(w, value);
    beta *= o.growth;
    if (!(error < least)) {
      ++worse;
      continue;
    }
    least = error, p = moving, worse = 0;
    for (std::size_t i = 0; i < count; ++i) codes[i] = trial[i];
  }
}

}  // namespace detail

/// Quantizes w by half-quadratic splitting; no statistics of inputs are needed.
/// Errors: shape, not_finite with row and column, invalid_option, out_of_memory.
/// Cost: iterations times a rounding and a fit of every group.
template <weight_format F, class Executor = serial>
result<coded_matrix<F>> hqq(matrix_view<const float> w, const hqq_options& o = {}, Executor&& ex = {}) {
  using namespace detail;
  if (o.iterations < 0 || o.iterations > 1000)
    return make_error(errc::invalid_option, "number of iterations is out of range", "0 to 1000")
        .about("iterations")
        .with(o.iterations);
  if (!(o.norm > 0.0f && o.norm <= 1.0f))
    return make_error(errc::invalid_option, "norm is out of range", "above 0, at most 1").about("norm");
  if (!(o.beta > 0.0f && o.beta <= 1e9f) || !(o.growth >= 1.0f && o.growth <= 1e3f))
    return make_error(errc::invalid_option, "threshold is out of range", "beta above 0, growth from 1 up")
        .about("beta");
  auto made = round_to_nearest<F>(w, {}, ex);
  if constexpr (F::group != per_tensor && dials<F>::count > 0) {
    if (!made || w.empty()) return made;
    const std::size_t length = group_length<F>(w.cols) < w.cols ? group_length<F>(w.cols) : w.cols;
    const std::size_t tasks = (w.rows + 31) / 32;
    auto scratch = buffer<float>::make(tasks * length * 4);
    auto trial = buffer<code_t<F>>::make(tasks * length);
    if (!scratch) return scratch.error();
    if (!trial) return trial.error();
    coded_matrix<F>* const q = &*made;
    float* const floats = scratch->data();
    code_t<F>* const trials = trial->data();
    ex(tasks, [=, &o](std::size_t task) {
      for (std::size_t r = task * 32; r < w.rows && r < task * 32 + 32; ++r)
        for (std::size_t first = 0, g = 0; first < w.cols; first += length, ++g) {
          const std::size_t n = w.cols - first < length ? w.cols - first : length;
          solve_hqq<F>(w.row(r).subspan(first, n), o, q->params[q->params_index(r, g)],
                       q->row_codes(r) + first / std::size_t(step_of<F>), floats + task * length * 4,
                       trials + task * length);
        }
    });
  }
  return made;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
