// nbit/kernel/gemv.hpp — y = W x, with f32 or int8 activations.
//
// The order of additions is part of the definition, so every instruction set gives the same bits:
//   f32    sixteen lanes; lane i takes columns i, i + 16, ... by fused multiply-add; then reduce (arch/simd.hpp).
//   int8   the columns are cut into blocks of B; block b adds to chain b % 4, in rising order, by fused multiply-add:
//            chain += (scale * x scale) * I,   I = the exact integer sum of level * code over the block
//            chain += offset * (x scale * S),  S = the exact sum of the codes; for formats with an offset
//          then (chain 0 + chain 2) + (chain 1 + chain 3). B = the greatest common divisor of the run of columns with
//          one weight scale, Group and 256 (a whole row counts as 256).
//          k-quants and lattices (two_level_format, integer_lattice) under activations whose Group is a multiple of
//          256: B = 256, and
//            chain += (super_scale * x scale) * I,   I = sum over runs of sub_scale * (sum of level * code)
//            chain += (super_offset * x scale) * J,  J = sum over runs of sub_offset * (sum of codes)
//          I and J are rounded to float once; they fit 31 bits (weights.hpp), so any order of integer sums will do.
// A format without integer levels multiplies with the dequantized activations instead, as f32.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_GEMV_HPP
#define NBIT_KERNEL_GEMV_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/block_gemv.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/weights.hpp>
#include <nbit/kernel/word_gemv.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// rows(w, first, count, x, y): y[r] for rows first ... first + count - 1. Specialise it for one (Arch, Weights) to
/// replace the generic kernel; callers do not change.
template <class Arch, class Weights>
struct gemv_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/gemv.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {
// Rows in one piece of work for an executor; a constant, so that results and pieces never depend on the thread count.
inline constexpr std::size_t gemv_rows = 128;

template <class Arch, class Weights, class X, class E>
inline void run_gemv(const Weights& w, X x, float* y, E& ex) noexcept {
  ex((w.rows + gemv_rows - 1) / gemv_rows, [&](std::size_t i) {
    const std::size_t first = i * gemv_rows, left = w.rows - first;
    gemv_kernel<Arch, Weights>::rows(w, first, left < gemv_rows ? left : gemv_rows, x, y);
  });
}
}  // namespace detail

/// Writes y = W x.  Needs: x.size() == w.cols, y.size() == w.rows.  Cost: one pass over W; no allocation.
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void gemv(Arch, const W& w, std::span<const float> x, std::span<float> y, E&& ex = {}) noexcept {
  NBIT_EXPECTS(x.size() == w.cols, "gemv: x must have as many elements as the weights have columns");
  NBIT_EXPECTS(y.size() == w.rows, "gemv: y must have as many elements as the weights have rows");
  detail::run_gemv<Arch, weights_t<W>>(weights_t<W>(w), x.data(), y.data(), ex);
}
template <weight_matrix W, executor E = serial>
inline void gemv(const W& w, std::span<const float> x, std::span<float> y, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { gemv(tag, w, x, y, ex); });
}

/// Writes y = W x for one row of int8 activations.  Needs: x.rows == 1, x.cols == w.cols, y.size() == w.rows.
template <class Arch, weight_matrix W, int Group, executor E = serial>
  requires(requires { Arch::level; })
inline void gemv(Arch, const W& w, int8_activations<Group> x, std::span<float> y, E&& ex = {}) noexcept {
  NBIT_EXPECTS(x.rows == 1 && x.cols == w.cols, "gemv: x must be one row with as many columns as the weights");
  NBIT_EXPECTS(y.size() == w.rows, "gemv: y must have as many elements as the weights have rows");
  detail::run_gemv<Arch, weights_t<W>>(weights_t<W>(w), x, y.data(), ex);
}
template <weight_matrix W, int Group, executor E = serial>
inline void gemv(const W& w, int8_activations<Group> x, std::span<float> y, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { gemv(tag, w, x, y, ex); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
