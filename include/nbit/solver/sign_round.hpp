// nbit/solver/sign_round.hpp — rounding learned by sign descent: every weight is nudged before it is rounded, by steps
// that look at the sign of the loss's slope alone.
//
// The codes are those of w + t, |t| <= reach, where reach is the half step of the group as plain rounding shows it.
// With e = w - value the slope of tr(e H e^T) in a value is -2 e H, and rounding is passed straight through: t moves by
// rate * reach * sign(e H), with a rate that falls to 0. The best codes of each row are kept. No network is
// differentiated: the Gram matrix says all.  Ref: Cheng et al. 2024, "SignRound", on the layer's own output error.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_SIGN_ROUND_HPP
#define NBIT_SOLVER_SIGN_ROUND_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/solver/factor.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/quadratic.hpp>
#include <nbit/solver/rtn.hpp>
#include <nbit/solver/tune.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

struct sign_round_options {
  int steps = 200;        // 0 to 100000
  double rate = 0;        // of the first step, as a share of the reach; 0: 2 / steps
  double damping = 0.05;  // as in gptq
  bool shrink = true;
  bool tune = true;  // refit the parameters to the codes every 20 steps (nbit::dials)
  search_options search = {};
};

inline namespace NBIT_TAG {
namespace detail {

template <weight_format F>
struct sign_job {
  matrix_view<const float> w;
  const metric* m;
  coded_matrix<F>* out;
  const sign_round_options* o;
  double *rounded = nullptr, *solved = nullptr, *energy = nullptr;  // of each row
};

/// Codes of w + t and errors of w for all rows of a panel; columns side by side.
template <weight_format F>
inline void round_nudged(const sign_job<F>& job, std::size_t first_row, std::size_t rows, const float* t,
                         code_t<F>* codes, float* e) {
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols, per_row = codes_per_row<F>(cols);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; c += step) {
      const typename F::params& p = job.out->params[job.out->params_index(first_row + r, job.out->group_of(c))];
      const int at = static_cast<int>(F::group > 0 ? c % group_length<F>(cols) : c);
      float point[step], value[step];
      for (std::size_t k = 0; k < step; ++k)
        point[k] = job.w(first_row + r, c + k) + (t == nullptr ? 0.0f : t[(c + k) * panel_rows + r]);
      code_t<F>& code = codes[r * per_row + c / step];
      round_group<F>(std::span<const float>(point), p, at, &code);
      value_group<F>(&code, p, at, std::span<float>(value));
      for (std::size_t k = 0; k < step; ++k) {
        const float v = job.w(first_row + r, c + k) - value[k];
        e[(c + k) * panel_rows + r] = is_finite(v) ? v : 0.0f;
      }
    }
}

template <weight_format F>
inline result<void> sign_round_panel(const sign_job<F>& job, std::size_t task) {
  NBIT_EXACT
  const std::size_t cols = job.w.cols, cells = cols * panel_rows, first_row = task * panel_rows;
  const std::size_t rows = job.w.rows - first_row < panel_rows ? job.w.rows - first_row : panel_rows;
  const std::size_t per_row = codes_per_row<F>(cols), groups = groups_per_row<F>(cols), length = group_length<F>(cols);
  const bool tune = tunable<F> && job.o->tune;
  auto memory = buffer<float>::zeros(3 * cells + groups * panel_rows + (tune ? tune_scratch<F>(cols) : 0));
  auto best = buffer<code_t<F>>::zeros(panel_rows * per_row);
  auto best_params = buffer<typename F::params>::zeros(panel_rows * groups);
  if (!memory) return memory.error();
  if (!best) return best.error();
  if (!best_params) return best_params.error();
  float *const e = memory->data(), *const t = e + cells, *const slope = t + cells, *const reach = slope + cells,
               *const scratch = reach + groups * panel_rows;
  code_t<F>* const codes = job.out->row_codes(first_row);
  double loss[panel_rows], least[panel_rows];
  const auto keep = [&](bool first) {
    quadratic_form(job.m->h.data(), job.m->stride, cols, e, loss);
    for (std::size_t r = 0; r < rows; ++r) {
      if (!first && !(loss[r] < least[r])) continue;
      least[r] = loss[r];
      for (std::size_t k = 0; k < per_row; ++k) (*best)[r * per_row + k] = codes[r * per_row + k];
      if constexpr (F::group != per_tensor)
        for (std::size_t g = 0; g < groups; ++g)
          (*best_params)[r * groups + g] = job.out->params[job.out->params_index(first_row + r, g)];
    }
  };
  round_nudged<F>(job, first_row, rows, nullptr, codes, e);
  keep(true);
  for (std::size_t r = 0; r < rows; ++r) job.rounded[first_row + r] = loss[r];
  // Errors of plain rounding are spread evenly over a half step each way: its size is sqrt(3) times their root mean.
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t r = 0; r < rows; ++r) {
      float square = 0.0f;
      const std::size_t last = (g + 1) * length < cols ? (g + 1) * length : cols;
      for (std::size_t c = g * length; c < last; ++c) square += e[c * panel_rows + r] * e[c * panel_rows + r];
      reach[g * panel_rows + r] = __builtin_sqrtf(3.0f * square / static_cast<float>(last - g * length));
    }
  const double rate = job.o->rate > 0 ? job.o->rate : 2.0 / static_cast<double>(job.o->steps);
  for (int step = 0; step < job.o->steps; ++step) {
    for (std::size_t k = 0; k < cells; ++k) slope[k] = 0.0f;
    add_product({slope, panel_rows, job.m->h.data(), job.m->stride, e, panel_rows, cols, panel_rows, cols, 1.0f});
    const float by = static_cast<float>(rate * static_cast<double>(job.o->steps - step) / job.o->steps);
    for (std::size_t c = 0; c < cols; ++c)
      for (std::size_t r = 0; r < panel_rows; ++r) {
        const float most = reach[c / length * panel_rows + r], g = slope[c * panel_rows + r];
        float& v = t[c * panel_rows + r];
        v += g > 0.0f ? by * most : g < 0.0f ? -by * most : 0.0f;
        v = v > most ? most : v < -most ? -most : v;
      }
    round_nudged<F>(job, first_row, rows, t, codes, e);
    if (tune && step % 20 == 19) tune_panel<F>(*job.out, first_row, rows, job.m->h.data(), job.m->stride, e, scratch);
    keep(false);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t k = 0; k < per_row; ++k) codes[r * per_row + k] = (*best)[r * per_row + k];
    if constexpr (F::group != per_tensor)
      for (std::size_t g = 0; g < groups; ++g)
        job.out->params[job.out->params_index(first_row + r, g)] = (*best_params)[r * groups + g];
    job.solved[first_row + r] = least[r];
  }
  transpose_panel(job.w, first_row, {}, t);
  quadratic_form(job.m->h.data(), job.m->stride, cols, t, loss);
  for (std::size_t r = 0; r < rows; ++r) job.energy[first_row + r] = loss[r];
  return {};
}

}  // namespace detail

/// Quantizes w for inputs with the statistics h, starting from parameters searched with diag(H) as weights.
/// Errors: those of gptq.  Cost: steps times rows cols^2 multiply-adds: hundreds of GPTQ passes, for codes about as
/// good.
template <weight_format F, class Executor = serial>
result<gptq_result<F>> sign_round(matrix_view<const float> w, const hessian& h, const sign_round_options& o = {},
                                  Executor&& ex = {}) {
  using namespace detail;
  if (o.steps < 0 || o.steps > 100000)
    return make_error(errc::invalid_option, "number of steps is out of range", "0 to 100000")
        .about("steps")
        .with(o.steps);
  if (!(o.rate >= 0 && o.rate <= 1))
    return make_error(errc::invalid_option, "rate is out of range", "0 to 1").about("rate");
  if (auto fine = check_gptq<F>(w, h, {.damping = o.damping}); !fine) return fine.error();
  gptq_result<F> out;
  out.report.tokens = h.tokens();
  auto weights = buffer<float>::zeros(2 * w.cols);
  if (!weights) return weights.error();
  const std::span<float> diagonal = weights->span().first(w.cols), importance = weights->span().subspan(w.cols);
  h.mean_square(diagonal);
  const bool weighed = fitting_weights(diagonal, importance);
  auto made =
      round_with_search<F>(w, weighed ? std::span<const float>(importance) : std::span<const float>(), o.search, ex);
  if (!made) return made.error();
  out.codes = *std::move(made);
  if (w.empty()) return out;
  auto m = make_metric(h, {}, {o.damping, o.shrink}, ex);
  if (!m) return m.error();
  out.report.metric = m->report;
  sign_job<F> job{w, &*m, &out.codes, &o};
  if (auto done =
          solve_panels(job, out.report, ex, [&job](std::size_t task) { return bool(sign_round_panel<F>(job, task)); });
      !done)
    return done.error();
  return out;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
