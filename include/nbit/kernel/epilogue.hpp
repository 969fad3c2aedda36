// nbit/kernel/epilogue.hpp — what happens to outputs after a product: bias, activation, gate, residual, in any order.
//
//   nbit::gemv(q, x, y, nbit::then(nbit::add_bias{bias}, nbit::silu{}, nbit::add_residual{h}), pool);
//
// Steps are applied to each output in the order they are written, each rounded once, with exp from base/elementary.hpp:
// the same bits everywhere. They run over pieces of a row that lie in cache, after the product: that costs some 2% of a
// product with 4096 columns. Steps in the product's own pieces cost more, as those read columns of y and of the gate.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_EPILOGUE_HPP
#define NBIT_KERNEL_EPILOGUE_HPP

#include <cstddef>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/elementary.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>

namespace nbit {

/// y += bias, one number for each output.
struct add_bias {
  std::span<const float> bias;
};
/// y += r, a matrix of the outputs' shape (for gemv one row).
struct add_residual {
  matrix_view<const float> residual;
};
/// y *= g, a matrix of the outputs' shape: the gate of SwiGLU and its kin.
struct multiply_by {
  matrix_view<const float> gate;
};
/// y = y / (1 + e^-y).
struct silu {};
/// y = y (1 + erf(y / sqrt 2)) / 2; |error| < 4e-7 + 4e-7 |y|.  Ref: Abramowitz, Stegun 7.1.26.
struct gelu {};
/// y = y (1 + tanh(sqrt(2 / pi) (y + 0.044715 y^3))) / 2.
struct gelu_tanh {};

namespace detail {
template <class T>
inline constexpr bool is_step =
    std::is_same_v<T, add_bias> || std::is_same_v<T, add_residual> || std::is_same_v<T, multiply_by> ||
    std::is_same_v<T, silu> || std::is_same_v<T, gelu> || std::is_same_v<T, gelu_tanh>;
}  // namespace detail

/// Something that may follow a product, on its own or in then(...).
template <class T>
concept epilogue_step = detail::is_step<std::remove_cvref_t<T>>;

/// Steps in order; made by then().
template <class... Steps>
struct epilogue;
template <>
struct epilogue<> {};
template <class First, class... More>
struct epilogue<First, More...> {
  First first;
  epilogue<More...> more;
};

/// The steps in the order they are applied.
NBIT_INLINE constexpr epilogue<> then() { return {}; }
template <epilogue_step First, epilogue_step... More>
NBIT_INLINE constexpr epilogue<First, More...> then(First first, More... more) {
  return {first, then(more...)};
}

inline namespace NBIT_TAG {

/// apply(step, y, n, m, first): outputs first ... first + n - 1 of token m.
template <class Arch>
struct epilogue_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/epilogue.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

NBIT_INLINE bool fits(shape, const epilogue<>&) { return true; }
template <class First, class... More>
NBIT_INLINE bool fits(shape s, const epilogue<First, More...>& steps) {
  if constexpr (std::is_same_v<First, add_bias>)
    NBIT_EXPECTS(steps.first.bias.size() == s.cols, "add_bias: one number for each output", false);
  if constexpr (std::is_same_v<First, add_residual>)
    NBIT_EXPECTS(steps.first.residual.shape() == s, "add_residual: the matrix must have the shape of the outputs",
                 false);
  if constexpr (std::is_same_v<First, multiply_by>)
    NBIT_EXPECTS(steps.first.gate.shape() == s, "multiply_by: the matrix must have the shape of the outputs", false);
  return fits(s, steps.more);
}

// Outputs in a piece: 4 KiB, so that each step after the first finds them in the nearest cache.
inline constexpr std::size_t epilogue_outputs = 1024;
}  // namespace detail

/// Applies the steps to a matrix of outputs, a row for each token.  Cost: one pass over y; no allocation.
template <class Arch, class... Steps, executor E = serial>
  requires(requires { Arch::level; })
inline void apply(Arch, const epilogue<Steps...>& steps, matrix_view<float> y, E&& ex = {}) noexcept {
  if (!detail::fits(y.shape(), steps)) return;
  if constexpr (sizeof...(Steps) > 0) {
    constexpr std::size_t most = detail::epilogue_outputs;
    const std::size_t across = (y.cols + most - 1) / most;
    ex(across * y.rows, [&](std::size_t i) {
      const std::size_t m = i / across, first = i % across * most, left = y.cols - first;
      epilogue_kernel<Arch>::apply_all(steps, &y(m, first), left < most ? left : most, m, first);
    });
  }
}

template <class... Steps, executor E = serial>
inline void apply(const epilogue<Steps...>& steps, matrix_view<float> y, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { apply(tag, steps, y, ex); });
}

/// y = steps(W x), for one token, with f32 or int8 activations.  Needs: as gemv; matrices of the steps have one row.
template <class Arch, weight_matrix W, class X, class... Steps, executor E = serial>
  requires(requires { Arch::level; })
inline void gemv(Arch tag, const W& w, const X& x, std::span<float> y, const epilogue<Steps...>& steps,
                 E&& ex = {}) noexcept {
  gemv(tag, w, x, y, ex);
  apply(tag, steps, matrix_view<float>(y.data(), 1, y.size()), ex);
}
template <weight_matrix W, class X, class... Steps, executor E = serial>
inline void gemv(const W& w, const X& x, std::span<float> y, const epilogue<Steps...>& steps, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { gemv(tag, w, x, y, steps, ex); });
}

/// Y = steps(X W^T), a row for each token, with f32, bf16 or int8 activations.  Needs: as gemm.
template <class Arch, weight_matrix W, class X, class... Steps, executor E = serial>
  requires(requires { Arch::level; })
inline void gemm(Arch tag, const W& w, const X& x, matrix_view<float> y, const epilogue<Steps...>& steps,
                 E&& ex = {}) noexcept {
  gemm(tag, w, x, y, ex);
  apply(arch::base_of<Arch>{}, steps, y, ex);
}
template <weight_matrix W, class X, class... Steps, executor E = serial>
inline void gemm(const W& w, const X& x, matrix_view<float> y, const epilogue<Steps...>& steps, E&& ex = {}) noexcept {
  gemm(w, x, y, ex);
  apply(steps, y, ex);
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
