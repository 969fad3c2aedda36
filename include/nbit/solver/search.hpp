// nbit/solver/search.hpp — better parameters for a group than its format's own fit: a search over scaled copies.
//
// A format knows how to fit parameters to numbers, and nothing else is asked of it: candidates are fits of the group
// multiplied by a factor, judged by the weighted error of the true weights. Asymmetric formats are then offered copies
// whose negative and positive sides are scaled apart. The format's own fit is always a candidate, so a search never
// loses to it.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_SEARCH_HPP
#define NBIT_SOLVER_SEARCH_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/kernel/grid_errors.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// The grid of factors: a coarse one from `from` to `to`, then `fine_steps` on both sides of the best.
struct search_options {
  float from = 0.30f, to = 1.10f;
  int coarse_steps = 16;  // 0 leaves the format's own fit
  int fine_steps = 4;
  bool two_sided = true;  // scale the negative and the positive weights apart, where the format is asymmetric
};

inline namespace NBIT_TAG {
namespace detail {

/// Sum over the group of importance * (w - nearest value)^2, given up once it exceeds `enough`; never NaN.
template <weight_format F>
inline float group_error(std::span<const float> w, std::span<const float> importance, const typename F::params& p,
                         float enough) {
  NBIT_EXACT
  float sum = 0.0f;
  const int n = static_cast<int>(w.size());
  if constexpr (lattice_format<F>) {
    float values[std::size_t(step_of<F>)];
    for (int i = 0; i < n; i += step_of<F>) {
      F::value(static_cast<int>(F::code(w.subspan(std::size_t(i), std::size_t(step_of<F>)), p, i)), p, i,
               std::span<float>(values));
      for (int k = 0; k < step_of<F>; ++k) {
        const float e = w[std::size_t(i + k)] - values[k];
        sum += (importance.empty() ? 1.0f : importance[std::size_t(i + k)]) * (e * e);
      }
    }
  } else {
    // Eight sums side by side, added at the end of every 32 weights.
    constexpr int lanes = 8;
    for (int first = 0; first < n && sum <= enough; first += 4 * lanes) {
      float part[lanes] = {};
      const int last = n - first < 4 * lanes ? n : first + 4 * lanes;
      for (int i = first; i < last; ++i) {
        const float v = w[std::size_t(i)];
        const float e = v - F::value(static_cast<int>(F::code(v, p, i)), p, i);
        part[i % lanes] += importance.empty() ? e * e : importance[std::size_t(i)] * (e * e);
      }
      sum += ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    }
  }
  return sum <= 3e38f ? sum : 3.4e38f;
}

/// The best factors so far of N searches side by side, for negative and positive weights, and their errors.
template <std::size_t N>
struct search_places {
  float negative[N], positive[N], least[N];
  bool active[N];  // those that the next candidate is for
};

/// Calls attempt(below, above), the factors of each search, for every candidate; it moves `at` where it finds less.
template <std::size_t N, class Attempt>
inline void walk_factors(const search_options& o, bool two_sided, search_places<N>& at, const Attempt& attempt) {
  NBIT_EXACT
  float below[N], above[N], center[N];
  for (std::size_t l = 0; l < N; ++l) at.active[l] = true, center[l] = o.from;
  const auto alike = [&](float away) {
    for (std::size_t l = 0; l < N; ++l) below[l] = above[l] = center[l] + away;
    attempt(below, above);
  };
  const float step = (o.to - o.from) / static_cast<float>(o.coarse_steps);
  for (int k = 0; k <= o.coarse_steps; ++k) alike(step * static_cast<float>(k));
  const float fine = step / static_cast<float>(o.fine_steps + 1);
  for (std::size_t l = 0; l < N; ++l) center[l] = at.positive[l];
  for (int k = 1; k <= o.fine_steps; ++k) {
    alike(-(fine * static_cast<float>(k)));
    alike(fine * static_cast<float>(k));
  }
  if (!two_sided) return;
  const auto apart = [&](float down, float up) {
    const search_places<N> from = at;
    for (const float sign : {-1.0f, 1.0f}) {
      for (std::size_t l = 0; l < N; ++l)
        below[l] = from.negative[l] + sign * down, above[l] = from.positive[l] + sign * up;
      attempt(below, above);
    }
  };
  // One side at a time, in steps that halve once no move of their size helps.
  for (float move = 2.0f * step; move > 0.4f * fine; move *= 0.5f) {
    bool any = true;
    for (bool& active : at.active) active = true;
    for (int again = 0; again < 4 && any; ++again) {
      const search_places<N> before = at;
      apart(move, 0.0f);
      apart(0.0f, move);
      any = false;
      for (std::size_t l = 0; l < N; ++l) any |= at.active[l] = at.active[l] && at.least[l] < before.least[l];
    }
  }
}

/// Parameters for one group by search. scratch: as many floats as w.
/// Needs: importance is empty or as long as w, its entries finite and not negative.
template <weight_format F>
inline typename F::params search_group(std::span<const float> w, std::span<const float> importance,
                                       const search_options& o, float* scratch) {
  NBIT_EXACT
  const std::size_t n = w.size();
  typename F::params best = F::fit(w, importance);
  if (o.coarse_steps <= 0) return best;
  search_places<1> at = {{1.0f}, {1.0f}, {group_error<F>(w, importance, best, 3e38f)}, {}};
  walk_factors(o, o.two_sided && has_offset<F>, at, [&](const float* below, const float* above) {
    NBIT_EXACT
    for (std::size_t i = 0; i < n; ++i) scratch[i] = w[i] * (w[i] < 0.0f ? *below : *above);
    const typename F::params p = F::fit(std::span<const float>(scratch, n), importance);
    const float error = group_error<F>(w, importance, p, at.least[0]);
    if (error < at.least[0]) at = {{*below}, {*above}, {error}, {true}}, best = p;
  });
  return best;
}

/// Formats whose searches can run side by side: of a scaled copy nothing but the range counts.
template <weight_format F>
inline constexpr bool searched_by_range = [] {
  if constexpr (is_uniform<F>)
    return F::scheme.symmetry != symmetry::full_range && !(F::symmetric && F::bits == 1);
  else
    return false;
}();

/// The smallest and the largest of sixteen groups' weights.
struct group_ranges {
  float min[lane_count], max[lane_count];
};

/// Parameters of group `lane` of w[n][16], its weights multiplied by two factors. scratch: n floats.
template <weight_format F>
inline typename F::params fit_scaled(const float* w, std::size_t n, const group_ranges& range, std::size_t lane,
                                     float below, float above, float* scratch) {
  NBIT_EXACT
  const float min = range.min[lane] * (range.min[lane] < 0.0f ? below : above),
              max = range.max[lane] * (range.max[lane] < 0.0f ? below : above);
  // Factors above 0 keep the order. Zeros of either sign are equal, and a zero point can tell them apart.
  if (below > 0.0f && above > 0.0f && (F::scheme.symmetry != symmetry::asymmetric_float || min < 0.0f || min > 0.0f))
    return F::fit_range({min, max, max > -min ? max : -min, 0.0f}, n);
  for (std::size_t i = 0; i < n; ++i) {
    const float v = w[i * lane_count + lane];
    scratch[i] = v * (v < 0.0f ? below : above);
  }
  return F::fit(std::span<const float>(scratch, n), {});
}

/// search_group for sixteen groups, w[n][16], the same bits. scratch: n floats.
template <weight_format F>
  requires searched_by_range<F>
inline void search_groups(const float* w, std::size_t n, std::span<const float> importance, const search_options& o,
                          float* scratch, typename F::params* best) {
  group_ranges range;
  for (std::size_t l = 0; l < lane_count; ++l) range.min[l] = range.max[l] = w[l];
  for (std::size_t i = 1; i < n; ++i)
    for (std::size_t l = 0; l < lane_count; ++l) {
      const float v = w[i * lane_count + l];
      range.min[l] = v < range.min[l] ? v : range.min[l];
      range.max[l] = v > range.max[l] ? v : range.max[l];
    }
  typename F::params tried[lane_count];
  float scale[lane_count], zero[lane_count], low[lane_count], high[lane_count], error[lane_count];
  search_places<lane_count> at;
  const auto attempt = [&](const float* below, const float* above) {
    constexpr int top = (1 << F::bits) - 1;
    for (std::size_t l = 0; l < lane_count; ++l) {
      tried[l] = fit_scaled<F>(w, n, range, l, below[l], above[l], scratch);
      scale[l] = float(tried[l].scale), zero[l] = 0.0f;
      int offset = F::symmetric ? F::half : 0;
      if constexpr (F::scheme.symmetry == symmetry::asymmetric) offset = int(tried[l].zero);
      if constexpr (F::scheme.symmetry == symmetry::asymmetric_float) zero[l] = F::zero(tried[l]);
      low[l] = static_cast<float>(-offset), high[l] = static_cast<float>(top - offset);
    }
    grid_errors({w, importance.empty() ? nullptr : importance.data(), n, scale, low, high,
                 F::scheme.symmetry == symmetry::asymmetric_float ? zero : nullptr, at.least, error});
    for (std::size_t l = 0; l < lane_count; ++l) {
      if (!(error[l] <= 3e38f)) error[l] = 3.4e38f;
      if (!at.active[l] || !(error[l] < at.least[l])) continue;
      at.least[l] = error[l], at.negative[l] = below[l], at.positive[l] = above[l], best[l] = tried[l];
    }
  };
  float one[lane_count];
  for (std::size_t l = 0; l < lane_count; ++l)
    one[l] = at.negative[l] = at.positive[l] = 1.0f, at.least[l] = 3.402e38f, at.active[l] = true;
  attempt(one, one);
  if (o.coarse_steps > 0) walk_factors(o, o.two_sided && has_offset<F>, at, attempt);
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
