// nbit/kernel/attention.hpp — a quantized KV cache: append a row, and attend to the rows there are.
//
// A cache is two packed matrices for each head, a row for each position and a column for each of the head's numbers.
// For one query of length d over n positions:
//
//   score_t = scale * (q . K_t)               the dot of gemv, f32 or int8 as q is; the product rounded
//   p_t     = e^(score_t - largest)           exp_float; the largest over all t
//   total   = sum of p_t                      sixteen lanes, lane i takes t = i, i + 16, ... ; then reduce
//   out_c   = (sum over rising t of p_t * V_tc by fused multiply-add) / total
//
// Everything is a fixed order of rounded operations: the same bits everywhere. A NaN score makes all of out NaN.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_ATTENTION_HPP
#define NBIT_KERNEL_ATTENTION_HPP

#include <cstddef>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/elementary.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// softmax(scores, n, scale) and weighted_sum(p, total, v, n, out), stamped per instruction set.
template <class Arch>
struct attention_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/attention.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// Quantizes one row into a cache at `position`.  Needs: the bytes of that row are zero, or a block format; scratch of
/// quantize_scratch_bytes<F>(cols), aligned to 4.  Errors: not_finite (names the column).  Cost: no allocation.
template <class Arch, weight_format F, class L>
inline result<void> append_row(Arch tag, std::span<const float> row, packed_view<F, L, std::byte> cache,
                               std::size_t position, std::span<std::byte> scratch) {
  const error misuse = make_error(errc::shape, "append_row: the row does not fit the cache");
  NBIT_EXPECTS(row.size() == cache.cols, "append_row: the row must have as many numbers as the cache columns", misuse);
  NBIT_EXPECTS(position < cache.rows, "append_row: the position must lie inside the cache", misuse);
  // A matrix whose row `position` is this row; no other is read.
  const matrix_view<const float> all(row.data(), cache.rows, cache.cols, 0);
  return quantize_rows(tag, all, cache, position, 1, scratch, {.ragged = ragged_rows::pad});
}
template <weight_format F, class L>
inline result<void> append_row(std::span<const float> row, packed_view<F, L, std::byte> cache, std::size_t position,
                               std::span<std::byte> scratch) {
  return arch::dispatch([&](auto tag) { return append_row(tag, row, cache, position, scratch); });
}

namespace detail {
template <class Arch, class K, class V, class Q>
inline void attend(const Q& q, const K& keys, const V& values, std::size_t n, float scale, std::span<float> scores,
                   std::span<float> out) noexcept {
  gemv_kernel<Arch, K>::rows(keys, 0, n, q, scores.data());
  const float total = attention_kernel<Arch>::softmax(scores.data(), n, scale);
  attention_kernel<Arch>::weighted_sum(scores.data(), total, values, n, out.data());
}
template <class K, class V>
inline bool fits(const K& keys, const V& values, std::size_t n, std::size_t query, std::span<float> scores,
                 std::span<float> out) noexcept {
  NBIT_EXPECTS(n > 0 && n <= keys.rows && n <= values.rows, "attend: there must be 1 to rows positions", false);
  NBIT_EXPECTS(query == keys.cols, "attend: q must have as many numbers as the keys have columns", false);
  NBIT_EXPECTS(out.size() == values.cols, "attend: out must have as many numbers as the values have columns", false);
  NBIT_EXPECTS(scores.size() >= n, "attend: scores must have room for each position", false);
  return true;
}
}  // namespace detail

/// One head's attention of q over positions 0 .. n - 1; `scores` is scratch and keeps the p_t.  Needs: n > 0.
/// Cost: one pass over n rows of K and of V; no allocation.
template <class Arch, weight_matrix K, weight_matrix V>
  requires(requires { Arch::level; })
inline void attend(Arch, std::span<const float> q, const K& keys, const V& values, std::size_t n, float scale,
                   std::span<float> scores, std::span<float> out) noexcept {
  if (!detail::fits(keys, values, n, q.size(), scores, out)) return;
  detail::attend<Arch>(q.data(), weights_t<K>(keys), weights_t<V>(values), n, scale, scores, out);
}
template <weight_matrix K, weight_matrix V>
inline void attend(std::span<const float> q, const K& keys, const V& values, std::size_t n, float scale,
                   std::span<float> scores, std::span<float> out) noexcept {
  arch::dispatch([&](auto tag) { attend(tag, q, keys, values, n, scale, scores, out); });
}

/// The same for a query in int8 (one row).
template <class Arch, int Group, weight_matrix K, weight_matrix V>
  requires(requires { Arch::level; })
inline void attend(Arch, int8_activations<Group> q, const K& keys, const V& values, std::size_t n, float scale,
                   std::span<float> scores, std::span<float> out) noexcept {
  NBIT_EXPECTS(q.rows == 1, "attend: q must be one row");
  if (!detail::fits(keys, values, n, q.cols, scores, out)) return;
  detail::attend<Arch>(q, weights_t<K>(keys), weights_t<V>(values), n, scale, scores, out);
}
template <int Group, weight_matrix K, weight_matrix V>
inline void attend(int8_activations<Group> q, const K& keys, const V& values, std::size_t n, float scale,
                   std::span<float> scores, std::span<float> out) noexcept {
  arch::dispatch([&](auto tag) { attend(tag, q, keys, values, n, scale, scores, out); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
