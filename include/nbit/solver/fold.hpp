// nbit/solver/fold.hpp — moves channel scales into the layers around a linear, so that they cost nothing at inference.
//
// After awq the inputs of a linear have to be divided by scales s. Whatever makes those inputs can do it:
//   norm -> q, k, v and norm -> gate, up     fold_into_norm
//   v -> o (as many outputs as o has inputs), up -> down     fold_into_rows
// Where nothing can absorb them, keep s and divide the inputs.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_FOLD_HPP
#define NBIT_SOLVER_FOLD_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>

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

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
