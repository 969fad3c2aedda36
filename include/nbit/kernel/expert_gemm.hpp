// nbit/kernel/expert_gemm.hpp — mixture of experts: each expert's matrix times the tokens that were routed to it.
//
// A slot is one (token, expert) pair; slots are grouped by expert:
//
//   token_of    5 9 | 0 5 7 | | 9        expert 0 gets tokens 5 and 9, expert 1 gets 0, 5 and 7, expert 2 none, ...
//   first_slot  0     2      5 5  6      experts + 1 numbers
//
// Row s of Y is W_expert x_token: the bits of gemm for that token. combine_experts then adds the slots of each token.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_EXPERT_GEMM_HPP
#define NBIT_KERNEL_EXPERT_GEMM_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {

/// Which tokens go to which expert.
struct expert_slots {
  std::span<const std::uint32_t> token_of;    // slots, grouped by expert
  std::span<const std::uint32_t> first_slot;  // experts + 1, rising, from 0 to the number of slots
};

inline namespace NBIT_TAG {
namespace detail {

inline bool fits(const expert_slots& slots, std::size_t experts, std::size_t tokens) noexcept {
  NBIT_EXPECTS(slots.first_slot.size() == experts + 1, "expert_gemm: first_slot must have experts + 1 numbers", false);
  NBIT_EXPECTS(slots.first_slot.front() == 0 && slots.first_slot.back() == slots.token_of.size(),
               "expert_gemm: first_slot must run from 0 to the number of slots", false);
  for (std::size_t e = 0; e < experts; ++e)
    NBIT_EXPECTS(slots.first_slot[e] <= slots.first_slot[e + 1], "expert_gemm: first_slot must rise", false);
  for (const std::uint32_t t : slots.token_of)
    NBIT_EXPECTS(t < tokens, "expert_gemm: every token must be a row of x", false);
  return true;
}

// One executor call for all experts: a piece is Most outputs of one expert.
template <std::size_t Most, class W, class Block, class E>
inline void run_experts(std::span<const W> experts, const expert_slots& slots, const Block& block, E& ex) noexcept {
  if (experts.empty()) return;
  const std::size_t rows = experts[0].rows, across = (rows + Most - 1) / Most;
  ex(experts.size() * across, [&](std::size_t i) {
    const std::size_t e = i / across, n = i % across * Most, left = rows - n;
    const std::size_t first = slots.first_slot[e], count = slots.first_slot[e + 1] - first;
    if (count != 0) block(weights_t<W>(experts[e]), n, left < Most ? left : Most, first, count);
  });
}

template <class W>
inline bool same_shape(std::span<const W> experts, std::size_t cols, matrix_view<float> y, std::size_t slots) noexcept {
  for (const W& w : experts) {
    NBIT_EXPECTS(w.cols == cols, "expert_gemm: x must have as many columns as every expert", false);
    NBIT_EXPECTS(w.rows == y.cols, "expert_gemm: y must have as many columns as every expert has rows", false);
  }
  NBIT_EXPECTS(y.rows == slots, "expert_gemm: y must have a row for each slot", false);
  return true;
}
}  // namespace detail

/// Floats of scratch that expert_gemm needs for f32 activations: the tokens' rows in the order of the slots.
NBIT_INLINE constexpr std::size_t expert_scratch(std::size_t slots, std::size_t cols) { return slots * cols; }

/// Row s of Y = (expert of slot s) times (token of slot s).  Needs: y is slots x outputs; scratch of expert_scratch.
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void expert_gemm(Arch, std::span<const W> experts, matrix_view<const float> x, const expert_slots& slots,
                        matrix_view<float> y, std::span<float> scratch, E&& ex = {}) noexcept {
  const std::size_t count = slots.token_of.size();
  if (!detail::fits(slots, experts.size(), x.rows) || !detail::same_shape(experts, x.cols, y, count)) return;
  NBIT_EXPECTS(scratch.size() >= expert_scratch(count, x.cols), "expert_gemm: scratch is too small");
  const matrix_view<float> gathered(scratch.data(), count, x.cols);
  for (std::size_t s = 0; s < count && x.cols != 0; ++s)
    std::memcpy(gathered.row(s).data(), x.row(slots.token_of[s]).data(), x.cols * sizeof(float));
  detail::run_experts<detail::gemm_outputs>(
      experts, slots,
      [&](const weights_t<W>& w, std::size_t n, std::size_t outputs, std::size_t first, std::size_t tokens) {
        gemm_kernel<Arch, weights_t<W>>::block(
            w, n, outputs, matrix_view<const float>(gathered).row_range(first, tokens), y.row_range(first, tokens));
      },
      ex);
}
template <weight_matrix W, executor E = serial>
inline void expert_gemm(std::span<const W> experts, matrix_view<const float> x, const expert_slots& slots,
                        matrix_view<float> y, std::span<float> scratch, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { expert_gemm(tag, experts, x, slots, y, scratch, ex); });
}

/// The same with int8 activations, made here: each token is quantized once for each of its slots, into `gathered`.
/// Needs: gathered is slots x cols.
template <class Arch, weight_matrix W, int Group, executor E = serial>
  requires(requires { Arch::level; })
inline void expert_gemm(Arch, std::span<const W> experts, matrix_view<const float> x, const expert_slots& slots,
                        matrix_view<float> y, int8_activations<Group> gathered, E&& ex = {}) noexcept {
  const std::size_t count = slots.token_of.size();
  if (!detail::fits(slots, experts.size(), x.rows) || !detail::same_shape(experts, x.cols, y, count)) return;
  NBIT_EXPECTS(gathered.rows == count && gathered.cols == x.cols, "expert_gemm: gathered must be slots x columns");
  ex(count, [&](std::size_t s) { activation_kernel<Arch>::quantize_row(x.row(slots.token_of[s]), gathered, s); });
  detail::run_experts<detail::outputs_of<gemm_kernel<Arch, weights_t<W>>>>(
      experts, slots,
      [&](const weights_t<W>& w, std::size_t n, std::size_t outputs, std::size_t first, std::size_t tokens) {
        int8_activations<Group> part = gathered;
        part.codes = gathered.row_codes(first), part.sums = gathered.row_sums(first);
        part.scales = gathered.row_scales(first), part.rows = tokens;
        gemm_kernel<Arch, weights_t<W>>::block(w, n, outputs, part, y.row_range(first, tokens));
      },
      ex);
}
template <weight_matrix W, int Group, executor E = serial>
inline void expert_gemm(std::span<const W> experts, matrix_view<const float> x, const expert_slots& slots,
                        matrix_view<float> y, int8_activations<Group> gathered, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { expert_gemm(tag, experts, x, slots, y, gathered, ex); });
}

/// Writes out = for each token the sum of its slots' rows, each times its weight, from zero by fused multiply-add in
/// the order of the slots.  Needs: weight has a number and y a row for each slot; out has a row for each token.
inline void combine_experts(matrix_view<const float> y, const expert_slots& slots, std::span<const float> weight,
                            matrix_view<float> out) noexcept {
  NBIT_EXPECTS(y.rows == slots.token_of.size() && weight.size() == y.rows,
               "combine_experts: a row and a weight a slot");
  NBIT_EXPECTS(out.cols == y.cols, "combine_experts: out must have the columns of y");
  for (std::size_t t = 0; t < out.rows; ++t)
    for (float& v : out.row(t)) v = 0.0f;
  for (std::size_t s = 0; s < y.rows; ++s) {
    NBIT_EXPECTS(slots.token_of[s] < out.rows, "combine_experts: every token must be a row of out");
    float* const to = out.row(slots.token_of[s]).data();
    const float* const from = y.row(s).data();
    for (std::size_t n = 0; n < y.cols; ++n) to[n] = nbit::fma(weight[s], from[n], to[n]);
  }
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
