// tool/solve.hpp — one function for each solver and format, stamped by the solve_*.cpp files.
// SPDX-License-Identifier: MIT
#ifndef TOOL_SOLVE_HPP
#define TOOL_SOLVE_HPP

#include <utility>
#include <vector>

#include <nbit/format/uniform.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/solver/awq.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/hqq.hpp>
#include <nbit/solver/rtn.hpp>
#include <nbit/solver/sign_round.hpp>

#include "solver.hpp"

namespace tool {

/// Codes and parameters of a matrix in format F.
template <class F>
nbit::result<nbit::coded_matrix<F>> codes_of(method how, const problem& p, const solver_settings& s,
                                             const engine::workers& pool) {
  if (how == method::rtn || how == method::awq) return nbit::round_to_nearest<F>(p.weights, p.importance, pool);
  if (how == method::hqq) return nbit::hqq<F>(p.weights, {}, pool);
  if (how == method::sign_round) {
    auto solved = nbit::sign_round<F>(p.weights, *p.inputs, {.damping = s.damping}, pool);
    if (!solved) return solved.error();
    if (p.report != nullptr) *p.report = solved->report;
    return std::move(solved->codes);
  }
  if (how == method::search) return nbit::round_with_search<F>(p.weights, p.importance, {}, pool);
  nbit::gptq_options o;
  o.damping = s.damping, o.passes = s.passes, o.kicks = s.kicks;
  auto solved = nbit::gptq<F>(p.weights, *p.inputs, o, pool);
  if (!solved) return solved.error();
  if (p.report != nullptr) *p.report = solved->report;
  return std::move(solved->codes);
}

template <class F>
nbit::result<nbit::awq_result> search_awq(std::span<const nbit::matrix_view<const float>> linears,
                                          const nbit::hessian& h, const nbit::awq_options& o,
                                          const engine::workers& pool) {
  return nbit::awq<F>(linears, h, o, pool);
}

/// The bytes of a matrix in a ggml type.
template <class F>
nbit::result<std::vector<std::byte>> solve_blocks(method how, const problem& p, const solver_settings& s,
                                                  const engine::workers& pool) {
  const auto codes = codes_of<F>(how, p, s, pool);
  if (!codes) return codes.error();
  const auto packed = nbit::pack_codes<nbit::blocks>(*codes);
  if (!packed) return packed.error();
  return std::vector<std::byte>(packed->bytes.begin(), packed->bytes.end());
}

template <class F>
constexpr block_type block_type_of(nbit::ggml_type type) {
  return {type, static_cast<std::size_t>(F::group), &solve_blocks<F>, &search_awq<F>};
}

template <int Bits, int Group, bool Symmetric>
struct checkpoint_format
    : nbit::uniform<nbit::scheme{
          .bits = Bits, .group = Group, .symmetry = Symmetric ? nbit::symmetry::gptq : nbit::symmetry::asymmetric}> {};

/// A matrix as integers.
template <class F>
nbit::result<integer_linear> solve_uniform(method how, const problem& p, const solver_settings& s,
                                           const engine::workers& pool) {
  const auto codes = codes_of<F>(how, p, s, pool);
  if (!codes) return codes.error();
  return integers_of(*codes);
}

template <int Bits, int Group, bool Symmetric>
constexpr uniform_type uniform_type_of() {
  using F = checkpoint_format<Bits, Group, Symmetric>;
  return {Bits, Group == nbit::per_row ? -1 : Group, Symmetric, &solve_uniform<F>, &search_awq<F>};
}

}  // namespace tool

#endif
