// nbit/solver/experts.hpp — mixture of experts: statistics by expert, every expert solved for the tokens it gets, a
// report.
//
// Experts lie one below the other in one matrix, as files stack them. A router gives some of them few tokens or none.
// Shrinkage takes care of few: the fewer tokens, the less their correlations are trusted, until nothing but rounding is
// left (solver/calibration.hpp). Where all experts read the same input (gate and up, not down), an expert
// with hardly a token can be solved for the tokens of all of them instead.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_EXPERTS_HPP
#define NBIT_SOLVER_EXPERTS_HPP

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
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/expert_gemm.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/solver/gptq.hpp>

#if !defined(NBIT_NO_HEAP)

namespace nbit {

struct experts_options {
  gptq_options gptq = {};
  const hessian* shared = nullptr;  // statistics of the input that all experts read, of every token once; or none
  std::uint64_t least_tokens = 32;  // experts with fewer of their own are solved for `shared`, if there is one
};

/// What became of one expert.
struct expert_report {
  std::size_t expert = 0;
  std::uint64_t tokens = 0;  // its own
  bool borrowed = false;     // solved for options.shared
  double shrinkage = 1;      // share of the correlations that was taken for noise; 1: rounding
  ladder_rung rung = ladder_rung::as_asked;
  double loss_rounded = 0, loss = 0, energy = 0;  // as in solve_report; without tokens all inputs count alike
};

/// Codes of all experts, one below the other, and a report for each.
template <weight_format F>
struct experts_result {
  coded_matrix<F> codes;
  buffer<expert_report> experts;

  NBIT_HOST_INLINE experts_result() noexcept = default;
  NBIT_HOST_INLINE experts_result(experts_result&&) noexcept = default;
  NBIT_HOST_INLINE experts_result& operator=(experts_result&&) noexcept = default;
  NBIT_HOST_INLINE ~experts_result() = default;
};

inline namespace NBIT_TAG {

/// Adds tokens to the statistics of the experts that they are routed to, in the order of the slots. However a stream is
/// cut into batches, statistics are the same.
/// Errors: shape (another width, slots that do not fit), not_finite with token and column; then nothing was added.
/// out_of_memory.
template <class Executor = serial>
result<void> add_routed(std::span<hessian> experts, matrix_view<const float> x, const expert_slots& slots,
                        Executor&& ex = {}) {
  const auto wrong = [](const char* what) { return make_error(errc::shape, what, "slots grouped by expert"); };
  if (slots.first_slot.size() != experts.size() + 1 || slots.first_slot[0] != 0 ||
      slots.first_slot[experts.size()] != slots.token_of.size())
    return wrong("slots are not those of these experts").with(static_cast<std::int64_t>(slots.token_of.size()));
  for (std::size_t e = 0; e < experts.size(); ++e) {
    if (slots.first_slot[e] > slots.first_slot[e + 1]) return wrong("first slots do not rise");
    if (experts[e].cols() != x.cols)
      return make_error(errc::shape, "batch has another number of columns than the statistics", "the layer's inputs")
          .with(static_cast<std::int64_t>(x.cols));
  }
  for (const std::uint32_t t : slots.token_of) {
    if (t >= x.rows) return wrong("a slot names a token that is not there").with(t);
    for (std::size_t c = 0; c < x.cols; ++c)
      if (!(abs(x(t, c)) <= 1e18f))
        return make_error(errc::not_finite, "activation is NaN, infinite or too large to be squared", "|x| <= 1e18")
            .at(t, static_cast<std::int64_t>(c));
  }
  for (std::size_t e = 0; e < experts.size(); ++e)
    for (std::size_t s = slots.first_slot[e]; s < slots.first_slot[e + 1]; ++s)
      if (auto done = experts[e].add(x.row_range(slots.token_of[s], 1), ex); !done) return done;
  return {};
}

/// GPTQ of every expert for its own tokens. w: experts one below the other, statistics: one for each.
/// Errors: shape (rows that are no whole number of experts), invalid_option (parameters fitted on the way in activation
/// order, whose group index every expert would have for itself), and those of gptq.  Cost: that of gptq, expert by
/// expert.
template <weight_format F, class Executor = serial>
  requires(F::group != per_tensor)
result<experts_result<F>> gptq_experts(matrix_view<const float> w, std::span<const hessian> statistics,
                                       const experts_options& o = {}, Executor&& ex = {}) {
  const std::size_t count = statistics.size(), rows = count == 0 ? 0 : w.rows / count;
  if (rows * count != w.rows)
    return make_error(errc::shape, "rows are not a whole number of experts", "as many rows for every expert")
        .with(static_cast<std::int64_t>(w.rows));
  auto codes = coded_matrix<F>::make(w.shape());
  auto reports = buffer<expert_report>::make(count);
  if (!codes) return codes.error();
  if (!reports) return reports.error();
  experts_result<F> out;
  out.codes = *std::move(codes), out.experts = *std::move(reports);
  for (std::size_t e = 0; e < count; ++e) {
    const hessian& own = statistics[e];
    const bool borrowed = o.shared != nullptr && own.tokens() < o.least_tokens;
    const auto solved = gptq<F>(w.row_range(e * rows, rows), borrowed ? *o.shared : own, o.gptq, ex);
    if (!solved) return solved.error();
    if (!solved->codes.group_index.empty())
      return make_error(errc::invalid_option, "experts cannot have a group index each", "group_fit::upfront")
          .about("groups");
    const solve_report& r = solved->report;
    out.experts[e] = {
        e,      own.tokens(), borrowed, r.tokens == 0 ? 1.0 : r.metric.shrinkage, r.metric.rung, r.loss_rounded,
        r.loss, r.energy};
    for (std::size_t k = 0; k < solved->codes.codes.size(); ++k)
      out.codes.codes[e * solved->codes.codes.size() + k] = solved->codes.codes[k];
    for (std::size_t k = 0; k < solved->codes.params.size(); ++k)
      out.codes.params[e * solved->codes.params.size() + k] = solved->codes.params[k];
  }
  return result<experts_result<F>>(std::move(out));  // nvcc does not move it by itself
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
