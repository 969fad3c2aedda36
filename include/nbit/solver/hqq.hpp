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

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/hqq_step.hpp>
#include <nbit/solver/dials.hpp>
#include <nbit/solver/rtn.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

struct hqq_options {
  int iterations = 20;  // 0 to 1000; it stops when the error has grown three times
  float norm = 0.7f;    // p, above 0 and at most 1
  // The first threshold is |x|^(p - 1) / beta, in units of the group's mean |w|. -1: 2, or 10 where scales move. The
  // published 10 is in the weights' own units, where next to no error of usual weights, some .05 large, is an outlier.
  float beta = -1.0f;
  float growth = 1.01f;  // of beta from step to step, at least 1
  // Move scales too, not only zeros and minima as published: better for weights alone, but it clips weights that
  // inputs may need.
  bool move_scale = false;
};

inline namespace NBIT_TAG {
namespace detail {

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
      const float outlier = (left > 0.0f ? left : 0.0f) / unit;
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

/// Formats whose zeros alone move, so that sixteen groups can be solved side by side.
template <weight_format F>
inline constexpr bool hqq_side_by_side = [] {
  if constexpr (is_uniform<F>)
    return !F::symmetric;
  else
    return false;
}();

/// The parameters that solve_hqq finds for `count` groups, at most sixteen, of n weights each; rows[l] is the first
/// weight of group l, params[l] its parameters as fitted. solved[l] is false where solve_hqq has to be asked instead.
/// scratch: 32 floats for each weight; the codes lie in the second half of them, as whole numbers, [n][16].
template <weight_format F>
  requires hqq_side_by_side<F>
inline void solve_hqq_lanes(const float* const* rows, std::size_t count, std::size_t n, const hqq_options& o,
                            typename F::params* const* params, float* scratch, bool* solved) {
  NBIT_EXACT
  using set = dials<F>;
  constexpr bool whole = F::scheme.symmetry == symmetry::asymmetric;
  constexpr int top = (1 << F::bits) - 1;
  hqq_lanes lanes_in = {};
  lanes_in.w = scratch, lanes_in.code = scratch + n * lane_count, lanes_in.n = n;
  for (std::size_t l = 0; l < lane_count; ++l)
    for (std::size_t i = 0; i < n; ++i) scratch[i * lane_count + l] = rows[l < count ? l : 0][i];
  typename F::params moving[lane_count];
  hqq_shrink shrink = {};
  hqq_rounding rounding = {};
  float least[lane_count];
  int worse[lane_count];
  bool active[lane_count];
  const auto round_all = [&] {
    for (std::size_t l = 0; l < lane_count; ++l) {
      lanes_in.scale[l] = float(moving[l].scale), lanes_in.zero[l] = F::zero(moving[l]);
      const float zero = lanes_in.zero[l], limit = static_cast<float>(top);
      rounding.shift[l] = whole ? 0.0f : zero, rounding.offset[l] = whole ? zero : 0.0f;
      rounding.low[l] = whole ? -zero : 0.0f, rounding.high[l] = whole ? limit - zero : limit;
    }
    arch::dispatch([&](auto tag) { hqq_kernel<decltype(tag)>::round(lanes_in, rounding); });
  };
  for (std::size_t l = 0; l < lane_count; ++l) {
    moving[l] = *params[l < count ? l : 0];
    float sum = 0.0f;
    for (std::size_t i = 0; i < n; ++i) sum += abs(scratch[i * lane_count + l]);
    shrink.unit[l] = static_cast<float>(n) / sum;
    worse[l] = 0;
    // Without a step there is nothing to divide by.
    active[l] = solved[l] = l < count && sum > 0.0f && float(moving[l].scale) > 0.0f;
  }
  round_all();
  for (std::size_t l = 0; l < lane_count; ++l) least[l] = is_finite(rounding.error[l]) ? rounding.error[l] : 3e38f;
  shrink.beta = o.beta, shrink.power = o.norm - 1.0f;
  const auto any_active = [&] {
    bool any = false;
    for (const bool a : active) any |= a;
    return any;
  };
  for (int step = 0; step < o.iterations && any_active(); ++step) {
    for (std::size_t l = 0; l < lane_count; ++l) {
      typename F::params moved = moving[l];
      const float now = set::get(moved, 1);
      set::set(moved, 1, whole || now == 0.0f ? now + 1.0f : now * 2.0f);
      if (whole && set::get(moved, 1) == now) set::set(moved, 1, now - 1.0f);
      shrink.other_zero[l] = set::get(moved, 1), shrink.by[l] = shrink.other_zero[l] - now;
    }
    arch::dispatch([&](auto tag) { hqq_kernel<decltype(tag)>::shrink(lanes_in, shrink); });
    for (std::size_t l = 0; l < lane_count; ++l) {
      const float wanted = lanes_in.zero[l] + shrink.along[l] / shrink.square[l];
      const float least_slope = shrink.least_slope[l], most_slope = shrink.most_slope[l];
      const bool shift = most_slope - least_slope <= 1e-3f * (abs(most_slope) + abs(least_slope));
      if (shift && shrink.by[l] != 0.0f && shrink.square[l] > 0.0f && is_finite(wanted)) set::set(moving[l], 1, wanted);
      // Where all codes are nearly alike seen from the zero, the scale shifts all values alike too, and would move.
      const float low = rounding.least_code[l] - F::zero(moving[l]), high = rounding.most_code[l] - F::zero(moving[l]);
      if (active[l] && !(high - low > 4e-3f * (abs(low) + abs(high)))) active[l] = solved[l] = false;
    }
    round_all();
    shrink.beta *= o.growth;
    for (std::size_t l = 0; l < lane_count; ++l) {
      if (!active[l]) continue;
      const float error = is_finite(rounding.error[l]) ? rounding.error[l] : 3e38f;
      if (error < least[l])
        least[l] = error, *params[l] = moving[l], worse[l] = 0;
      else
        active[l] = ++worse[l] < 3;
    }
  }
  for (std::size_t l = 0; l < count; ++l) moving[l] = *params[l];
  round_all();
}

}  // namespace detail

/// Quantizes w by half-quadratic splitting; no statistics of inputs are needed.
/// Errors: shape, not_finite with row and column, invalid_option, out_of_memory.
/// Cost: iterations times a rounding and a fit of every group.
template <weight_format F, class Executor = serial>
result<coded_matrix<F>> hqq(matrix_view<const float> w, const hqq_options& options = {}, Executor&& ex = {}) {
  using namespace detail;
  hqq_options o = options;
  if (o.beta == -1.0f) o.beta = o.move_scale ? 10.0f : 2.0f;
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
    constexpr std::size_t floats_each = hqq_side_by_side<F> ? 2 * lane_count : 4;
    const bool side_by_side =
        hqq_side_by_side<F> && !o.move_scale && arch::dispatch([](auto tag) { return has_lane_math<decltype(tag)>; });
    auto scratch = buffer<float>::make(tasks * length * floats_each);
    auto trial = buffer<code_t<F>>::make(tasks * length);
    if (!scratch) return scratch.error();
    if (!trial) return trial.error();
    coded_matrix<F>* const q = &*made;
    float* const floats = scratch->data();
    code_t<F>* const trials = trial->data();
    ex(tasks, [=, &o](std::size_t task) {
      const std::size_t last = w.rows - task * 32 < 32 ? w.rows : task * 32 + 32;
      float* const own = floats + task * length * floats_each;
      code_t<F>* const trial_codes = trials + task * length;
      const auto solve_one = [&](std::size_t r, std::size_t g, std::size_t n) {
        solve_hqq<F>(w.row(r).subspan(g * length, n), o, q->params[q->params_index(r, g)],
                     q->row_codes(r) + g * length / std::size_t(step_of<F>), own, trial_codes);
      };
      for (std::size_t first = 0, g = 0; first < w.cols; first += length, ++g) {
        const std::size_t n = w.cols - first < length ? w.cols - first : length;
        if constexpr (hqq_side_by_side<F>) {
          for (std::size_t r = task * 32; r < last && side_by_side; r += lane_count) {
            const std::size_t count = last - r < lane_count ? last - r : lane_count;
            const float* rows[lane_count] = {};
            typename F::params* params[lane_count] = {};
            typename F::params before[lane_count];
            bool solved[lane_count];
            for (std::size_t l = 0; l < count; ++l)
              rows[l] = w.row(r + l).data() + first, params[l] = &q->params[q->params_index(r + l, g)],
              before[l] = *params[l];
            solve_hqq_lanes<F>(rows, count, n, o, params, own, solved);
            for (std::size_t l = 0; l < count; ++l) {
              code_t<F>* const to = q->row_codes(r + l) + first;
              const float* const codes = own + n * lane_count + l;
              for (std::size_t i = 0; i < n && solved[l]; ++i)
                to[i] = static_cast<code_t<F>>(static_cast<int>(codes[i * lane_count]));
            }
            for (std::size_t l = 0; l < count; ++l)
              if (!solved[l]) *params[l] = before[l], solve_one(r + l, g, n);
          }
          if (side_by_side) continue;
        }
        for (std::size_t r = task * 32; r < last; ++r) solve_one(r, g, n);
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
