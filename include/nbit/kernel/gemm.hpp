// nbit/kernel/gemm.hpp — Y = X W^T: a row of X is one token, a row of W one output.
//
// With f32 activations every output is one chain of fused multiply-adds over rising columns: the same bits on every
// instruction set, for every tiling and thread count. bf16 activations take the same chain, but on row tiles, where
// levels are multiplied (kernel/tile_dot.hpp). With int8 activations every output equals gemv's.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_GEMM_HPP
#define NBIT_KERNEL_GEMM_HPP

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/register_tile.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// block(w, first, count, x, y): outputs first ... first + count - 1 of all tokens in x. Specialise it for one
/// (Arch, Weights) to replace the generic kernel; callers do not change.
template <class Arch, class Weights>
struct gemm_kernel;
template <class Arch, class Weights>
  requires(requires { typename Arch::base; })
struct gemm_kernel<Arch, Weights> : gemm_kernel<typename Arch::base, Weights> {};

namespace detail {
// One piece of work for an executor: so many outputs of so many tokens. Constants, so that pieces depend on shape
// alone.
inline constexpr std::size_t gemm_outputs = 64, gemm_tokens = 512;
}  // namespace detail

/// The f32 product of tokens with panels of decoded weights, whatever they were decoded from.
template <class Arch>
struct panel_product;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/gemm.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {
template <class Kernel>
concept says_outputs = requires { Kernel::outputs; };
template <class Kernel>
inline constexpr std::size_t outputs_of = [] {
  if constexpr (says_outputs<Kernel>)
    return Kernel::outputs;
  else
    return gemm_outputs;
}();

template <class Kernel>
inline constexpr bool prefers_tall = [] {
  if constexpr (requires { Kernel::prefers_tall; })
    return Kernel::prefers_tall;
  else
    return false;
}();

template <class Arch, class Weights, class X, class E>
inline void run_gemm(const Weights& w, const X& x, matrix_view<float> y, E& ex) noexcept {
  NBIT_EXPECTS(x.cols == w.cols, "gemm: x must have as many columns as the weights");
  NBIT_EXPECTS(y.rows == x.rows && y.cols == w.rows, "gemm: y must be tokens x outputs (x.rows x w.rows)");
  using kernel = gemm_kernel<Arch, Weights>;
  std::size_t most = outputs_of<kernel>, most_tokens = gemm_tokens;
  if constexpr (prefers_tall<kernel>) {
    // fewer pieces only where many are left
    const auto pieces = [&](std::size_t n, std::size_t m) { return ((w.rows + n - 1) / n) * ((x.rows + m - 1) / m); };
    const std::size_t tall = pieces(2 * most, most_tokens / 2);
    if (tall >= 16 || tall >= pieces(most, most_tokens)) most *= 2, most_tokens /= 2;
  }
  const std::size_t across = (w.rows + most - 1) / most, down = x.rows == 0 ? 0 : (x.rows - 1) / most_tokens + 1;
  ex(across * down, [&](std::size_t i) {
    const std::size_t n = i % across * most, m = i / across * most_tokens;
    const std::size_t outputs = w.rows - n < most ? w.rows - n : most;
    const std::size_t tokens = x.rows - m < most_tokens ? x.rows - m : most_tokens;
    kernel::block(w, n, outputs, x.row_range(m, tokens), y.row_range(m, tokens));
  });
}
}  // namespace detail

/// Writes Y = X W^T.  Needs: x.cols == w.cols, y.rows == x.rows, y.cols == w.rows.  Cost: no allocation.
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void gemm(Arch, const W& matrix, matrix_view<const float> x, matrix_view<float> y, E&& ex = {}) noexcept {
  detail::run_gemm<Arch>(weights_t<W>(matrix), x, y, ex);
}
template <weight_matrix W, executor E = serial>
inline void gemm(const W& w, matrix_view<const float> x, matrix_view<float> y, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { gemm(tag, w, x, y, ex); });
}

/// Writes Y = X W^T for bf16 activations.  Needs: as above.
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void gemm(Arch, const W& matrix, matrix_view<const bf16> x, matrix_view<float> y, E&& ex = {}) noexcept {
  detail::run_gemm<Arch>(weights_t<W>(matrix), x, y, ex);
}
template <weight_matrix W, executor E = serial>
inline void gemm(const W& w, matrix_view<const bf16> x, matrix_view<float> y, E&& ex = {}) noexcept {
  arch::dispatch_bf16([&](auto tag) { gemm(tag, w, x, y, ex); });
}

/// Writes y = W x for one token of bf16 activations, as gemm does.  Needs: x.size() == w.cols, y.size() == w.rows.
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void gemv(Arch tag, const W& w, std::span<const bf16> x, std::span<float> y, E&& ex = {}) noexcept {
  gemm(tag, w, matrix_view<const bf16>(x.data(), 1, x.size()), matrix_view<float>(y.data(), 1, y.size()), ex);
}
template <weight_matrix W, executor E = serial>
inline void gemv(const W& w, std::span<const bf16> x, std::span<float> y, E&& ex = {}) noexcept {
  arch::dispatch_bf16([&](auto tag) { gemv(tag, w, x, y, ex); });
}

/// Writes Y = X W^T for int8 activations.  Needs: as above.
template <class Arch, weight_matrix W, int Group, executor E = serial>
  requires(requires { Arch::level; })
inline void gemm(Arch, const W& matrix, int8_activations<Group> x, matrix_view<float> y, E&& ex = {}) noexcept {
  detail::run_gemm<Arch>(weights_t<W>(matrix), x, y, ex);
}
template <weight_matrix W, int Group, executor E = serial>
inline void gemm(const W& w, int8_activations<Group> x, matrix_view<float> y, E&& ex = {}) noexcept {
  arch::dispatch_int8([&](auto tag) { gemm(tag, w, x, y, ex); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
