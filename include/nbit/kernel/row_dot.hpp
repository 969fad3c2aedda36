// nbit/kernel/row_dot.hpp — the dot of two quantized rows, of one format or of two.
//
// Both rows become floats, then the order of gemv with f32 activations: sixteen lanes, lane i takes columns i, i + 16,
// ... by fused multiply-add, then reduce (arch/simd.hpp). So row_dot(a, i, b, j) has the bits of gemv's output i for
// the dequantized row j of b.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_ROW_DOT_HPP
#define NBIT_KERNEL_ROW_DOT_HPP

#include <cstddef>
#include <numeric>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// dot(a, i, b, j): stamped per instruction set.
template <class Arch>
struct row_dot_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/row_dot.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// The dot of row i of a and row j of b.  Needs: a.cols == b.cols, i < a.rows, j < b.rows.  Cost: no allocation.
template <class Arch, weight_matrix A, weight_matrix B>
  requires(requires { Arch::level; })
[[nodiscard]] inline float row_dot(Arch, const A& a, std::size_t i, const B& b, std::size_t j) noexcept {
  NBIT_EXPECTS(a.cols == b.cols, "row_dot: the matrices must have the same number of columns", 0.0f);
  NBIT_EXPECTS(i < a.rows && j < b.rows, "row_dot: the rows must lie inside the matrices", 0.0f);
  return row_dot_kernel<Arch>::dot(weights_t<A>(a), i, weights_t<B>(b), j);
}
template <weight_matrix A, weight_matrix B>
[[nodiscard]] inline float row_dot(const A& a, std::size_t i, const B& b, std::size_t j) noexcept {
  return arch::dispatch([&](auto tag) { return row_dot(tag, a, i, b, j); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
