// nbit/solver/gptq_panel_kicks.hpp — kicks for lattices and wide codes: 64 rows are pushed, improved and compared.
//
// Codes that have no table of values (gptq_kicks.hpp serves the others) are rounded anew wherever they are examined,
// and their parameters are refitted after every kick: without that hardly a row of a lattice ends lower.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_GPTQ_PANEL_KICKS_HPP
#define NBIT_SOLVER_GPTQ_PANEL_KICKS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/random.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/solver/gptq_columns.hpp>
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

/// Memory for rows of cols weights.  Errors: out_of_memory, overflow.
template <weight_format F>
inline result<void> make_panel_copy(panel_copy<F>& copy, std::size_t cols) {
  auto codes = buffer<code_t<F>>::make(panel_rows * codes_per_row<F>(cols));
  auto params = buffer<typename F::params>::make(F::group == per_tensor ? 0 : panel_rows * groups_per_row<F>(cols));
  if (!codes) return codes.error();
  if (!params) return params.error();
  copy.codes = *std::move(codes), copy.params = *std::move(params);
  return {};
}

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

/// Moves a few codes of every row at random, improves again, and keeps the rows that came out better. Random numbers
/// follow from the row, so rows stay independent.
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

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
