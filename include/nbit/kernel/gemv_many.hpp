// nbit/kernel/gemv_many.hpp — several matrices times one x, in one call of the executor: q, k and v; gate and up.
//
// The matrices may differ in format, layout and rows. Each output has the bits that gemv gives it. x is read, and
// quantized if at all, once; threads meet once instead of once for each matrix.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_GEMV_MANY_HPP
#define NBIT_KERNEL_GEMV_MANY_HPP

#include <cstddef>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {

/// A matrix and where its outputs go.
template <weight_matrix W>
struct gemv_part {
  W weights;
  std::span<float> y;
};
template <weight_matrix W>
gemv_part(W, std::span<float>) -> gemv_part<W>;

inline namespace NBIT_TAG {
namespace detail {

template <class W>
NBIT_INLINE std::size_t gemv_pieces(const W& w) {
  return (w.rows + gemv_rows - 1) / gemv_rows;
}

// Piece i of all parts, one after another.
template <class Arch, class X>
inline void run_gemv_piece(std::size_t, const X&) noexcept {}
template <class Arch, class X, class First, class... More>
inline void run_gemv_piece(std::size_t i, const X& x, const gemv_part<First>& part,
                           const gemv_part<More>&... more) noexcept {
  const std::size_t pieces = gemv_pieces(part.weights);
  if (i < pieces) {
    const std::size_t first = i * gemv_rows, left = part.weights.rows - first;
    gemv_kernel<Arch, weights_t<First>>::rows(weights_t<First>(part.weights), first,
                                              left < gemv_rows ? left : gemv_rows, x, part.y.data());
  } else {
    run_gemv_piece<Arch>(i - pieces, x, more...);
  }
}

template <class Arch, class X, class E, class... W>
inline void run_gemv_many(std::size_t cols, const X& x, E& ex, const gemv_part<W>&... parts) noexcept {
  const auto fits = [cols](const auto& part) {
    NBIT_EXPECTS(part.weights.cols == cols, "gemv_many: every matrix must have as many columns as x elements", false);
    NBIT_EXPECTS(part.y.size() == part.weights.rows, "gemv_many: each y must have as many elements as its rows", false);
    return true;
  };
  if (!(fits(parts) && ...)) return;
  ex((std::size_t{0} + ... + gemv_pieces(parts.weights)), [&](std::size_t i) { run_gemv_piece<Arch>(i, x, parts...); });
}
}  // namespace detail

/// Writes y = W x for each part.  Needs: x.size() == cols of every part.  Cost: one pass over each W; no allocation.
template <class Arch, executor E, weight_matrix... W>
  requires(requires { Arch::level; })
inline void gemv_many(Arch, std::span<const float> x, E&& ex, const gemv_part<W>&... parts) noexcept {
  detail::run_gemv_many<Arch>(x.size(), x.data(), ex, parts...);
}
template <executor E, weight_matrix... W>
inline void gemv_many(std::span<const float> x, E&& ex, const gemv_part<W>&... parts) noexcept {
  arch::dispatch([&](auto tag) { gemv_many(tag, x, ex, parts...); });
}

/// Writes y = W x for each part and one row of int8 activations.  Needs: x.rows == 1, and as above.
template <class Arch, int Group, executor E, weight_matrix... W>
  requires(requires { Arch::level; })
inline void gemv_many(Arch, int8_activations<Group> x, E&& ex, const gemv_part<W>&... parts) noexcept {
  NBIT_EXPECTS(x.rows == 1, "gemv_many: x must be one row");
  detail::run_gemv_many<Arch>(x.cols, x, ex, parts...);
}
template <int Group, executor E, weight_matrix... W>
inline void gemv_many(int8_activations<Group> x, E&& ex, const gemv_part<W>&... parts) noexcept {
  arch::dispatch([&](auto tag) { gemv_many(tag, x, ex, parts...); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
