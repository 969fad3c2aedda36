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
#include <nbit/tensor/encode.hpp>

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

/// Parameters for one group by search. scratch: as many floats as w.
/// Needs: importance is empty or as long as w, its entries finite and not negative.
template <weight_format F>
inline typename F::params search_group(std::span<const float> w, std::span<const float> importance,
                                       const search_options& o, float* scratch) {
  NBIT_EXACT
  const std::size_t n = w.size();
  typename F::params best = F::fit(w, importance);
  if (o.coarse_steps <= 0) return best;
  float least = group_error<F>(w, importance, best, 3e38f);
  float negative = 1.0f, positive = 1.0f;
  const auto attempt = [&](float below, float above) {
    for (std::size_t i = 0; i < n; ++i) scratch[i] = w[i] * (w[i] < 0.0f ? below : above);
    const typename F::params p = F::fit(std::span<const float>(scratch, n), importance);
    const float error = group_error<F>(w, importance, p, least);
    if (error < least) least = error, best = p, negative = below, positive = above;
  };
  const float step = (o.to - o.from) / static_cast<float>(o.coarse_steps);
  for (int k = 0; k <= o.coarse_steps; ++k) {
    const float s = o.from + step * static_cast<float>(k);
    attempt(s, s);
  }
  const float fine = step / static_cast<float>(o.fine_steps + 1);
  const float center = positive;
  for (int k = 1; k <= o.fine_steps; ++k) {
    const float away = fine * static_cast<float>(k);
    attempt(center - away, center - away);
    attempt(center + away, center + away);
  }
  if (o.two_sided && has_offset<F>) {
    // One side at a time, in steps that halve once no move of their size helps.
    for (float move = 2.0f * step; move > 0.4f * fine; move *= 0.5f)
      for (int again = 0; again < 4; ++again) {
        const float before = least, n0 = negative, p0 = positive;
        attempt(n0 - move, p0);
        attempt(n0 + move, p0);
        const float n1 = negative, p1 = positive;
        attempt(n1, p1 - move);
        attempt(n1, p1 + move);
        if (!(least < before)) break;
      }
  }
  return best;
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
