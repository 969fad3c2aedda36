// nbit/solver/fold.hpp — moves channel scales into the layers around a linear, so that they cost nothing at inference.
//
// After awq the inputs of a linear have to be divided by scales s. Whatever makes those inputs can do it:
//   norm -> q, k, v and norm -> gate, up     fold_into_norm
//   v -> o (as many outputs as o has inputs), up -> down     fold_into_rows
// Where nothing can absorb them, keep s and divide the inputs.
// The channels between an ffn's linears can also change places, so that groups hold inputs of like strength:
//   strongest_first, then permute_rows of gate and up and permute_columns of down.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_FOLD_HPP
#define NBIT_SOLVER_FOLD_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// How a normalisation layer uses its weight.
enum class norm_weight : std::uint8_t {
  plain,     // x * w
  plus_one,  // x * (1 + w), as Gemma stores it
};

inline namespace NBIT_TAG {
namespace detail {
inline result<void> check_scales(std::span<const float> scales) {
  for (std::size_t c = 0; c < scales.size(); ++c)
    if (!(is_finite(scales[c]) && scales[c] > 0.0f))
      return make_error(errc::invalid_option, "scale is not a positive finite number", "numbers above 0")
          .about("scales")
          .at(std::int64_t{0}, static_cast<std::int64_t>(c));
  return {};
}
}  // namespace detail

/// Divides what a norm hands on by the scales. bias: the norm's, or empty.  Errors: shape, invalid_option; then nothing
/// changed.
inline result<void> fold_into_norm(std::span<float> weight, std::span<float> bias, std::span<const float> scales,
                                   norm_weight kind = norm_weight::plain) {
  NBIT_EXACT
  if (weight.size() != scales.size() || (!bias.empty() && bias.size() != scales.size()))
    return make_error(errc::shape, "norm has another length than the scales", "one number for each scale")
        .with(static_cast<std::int64_t>(weight.size()));
  if (auto fine = detail::check_scales(scales); !fine) return fine;
  for (std::size_t c = 0; c < scales.size(); ++c) {
    weight[c] = kind == norm_weight::plain ? weight[c] / scales[c] : (1.0f + weight[c]) / scales[c] - 1.0f;
    if (!bias.empty()) bias[c] /= scales[c];
  }
  return {};
}

/// Divides the last scales.size() outputs of a linear by the scales (a fused q, k, v ends with v; gate, up with up).
/// bias: one per row, or empty.  Errors: shape if it has fewer outputs (grouped-query v -> o cannot be folded),
/// invalid_option; then nothing changed.
inline result<void> fold_into_rows(matrix_view<float> producer, std::span<float> bias, std::span<const float> scales) {
  if (producer.rows < scales.size() || (!bias.empty() && bias.size() != producer.rows))
    return make_error(errc::shape, "producer has fewer outputs than there are scales",
                      "at least as many rows as scales")
        .with(static_cast<std::int64_t>(producer.rows));
  if (auto fine = detail::check_scales(scales); !fine) return fine;
  const std::size_t first = producer.rows - scales.size();
  for (std::size_t r = 0; r < scales.size(); ++r) {
    for (float& v : producer.row(first + r)) v /= scales[r];
    if (!bias.empty()) bias[first + r] /= scales[r];
  }
  return {};
}

/// Multiplies the columns of a linear by the scales: the other half of a fold, for weights that awq did not scale
/// itself. Errors: shape, invalid_option; then nothing changed.
inline result<void> fold_into_columns(matrix_view<float> consumer, std::span<const float> scales) {
  if (consumer.cols != scales.size())
    return make_error(errc::shape, "consumer has another number of columns than there are scales",
                      "one column for each scale")
        .with(static_cast<std::int64_t>(consumer.cols));
  if (auto fine = detail::check_scales(scales); !fine) return fine;
  for (std::size_t r = 0; r < consumer.rows; ++r)
    for (std::size_t c = 0; c < consumer.cols; ++c) consumer(r, c) *= scales[c];
  return {};
}

#if !defined(NBIT_NO_HEAP)
namespace detail {
/// Puts n things in another order: place i gets what place order[i] had. swap(a, b) exchanges two places.
template <class Swap>
inline result<void> permute(std::span<const std::uint32_t> order, std::size_t n, const Swap& swap) {
  if (order.size() != n)
    return make_error(errc::shape, "order has another length than there are channels", "one index for each channel")
        .with(static_cast<std::int64_t>(order.size()));
  auto seen = buffer<unsigned char>::zeros(n);
  if (!seen) return seen.error();
  for (std::size_t i = 0; i < n; ++i) {
    if (order[i] >= n || (*seen)[order[i]] != 0)
      return make_error(errc::invalid_option, "order is no permutation", "every index once")
          .about("order")
          .at(std::int64_t{0}, static_cast<std::int64_t>(i));
    (*seen)[order[i]] = 1;
  }
  for (std::size_t start = 0; start < n; ++start)  // along each cycle once
    for (std::size_t i = start; (*seen)[i] != 0;) {
      (*seen)[i] = 0;
      if ((*seen)[order[i]] != 0) swap(i, order[i]);
      i = order[i];
    }
  return {};
}
}  // namespace detail

/// Makes row i of a linear what row order[i] was: the producers of channels that change places. bias: one per row, or
/// empty.  Errors: shape, invalid_option (no permutation), out_of_memory; then nothing changed.
inline result<void> permute_rows(matrix_view<float> w, std::span<float> bias, std::span<const std::uint32_t> order) {
  if (!bias.empty() && bias.size() != w.rows)
    return make_error(errc::shape, "bias has another length than there are rows", "one number for each row")
        .with(static_cast<std::int64_t>(bias.size()));
  return detail::permute(order, w.rows, [w, bias](std::size_t a, std::size_t b) {
    for (std::size_t c = 0; c < w.cols; ++c) std::swap(w(a, c), w(b, c));
    if (!bias.empty()) std::swap(bias[a], bias[b]);
  });
}

/// Makes column i of a linear what column order[i] was: the consumers.  Errors: as permute_rows.
inline result<void> permute_columns(matrix_view<float> w, std::span<const std::uint32_t> order) {
  return detail::permute(order, w.cols, [w](std::size_t a, std::size_t b) {
    for (std::size_t r = 0; r < w.rows; ++r) std::swap(w(r, a), w(r, b));
  });
}

/// Writes the channels of a linear's inputs, the strongest (by mean square) first, equal ones in their order.
/// Needs: strength and order have the same length.
inline void strongest_first(std::span<const float> strength, std::span<std::uint32_t> order) {
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  detail::sort(order.data(), order.size(), [strength](std::uint32_t a, std::uint32_t b) {
    const float x = is_finite(strength[a]) ? strength[a] : 0.0f, y = is_finite(strength[b]) ? strength[b] : 0.0f;
    return x > y || (x == y && a < b);
  });
}
#endif

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
