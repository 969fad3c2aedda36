// nbit/solver/sequence_sums.hpp — how many tokens of a text count as one: a sample of inputs, added up by sequence.
//
// Tokens of one text are alike, so n of them say less about correlations than n independent ones would. How much less
// is a ratio: the variance of the mean Gram matrix's entries, seen between sequences, over what it would be if all
// tokens were independent. Up to 32 inputs show it well enough (all pairs of them; every pair up to 32 columns), for
// 496 multiply-adds a token, while the tokens' own variance is known of all pairs (solver/gram_sums.hpp).
// Sums are in f64, token after token: products of floats are exact there, so how a stream is cut changes nothing.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_SEQUENCE_SUMS_HPP
#define NBIT_SOLVER_SEQUENCE_SUMS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/random.hpp>
#include <nbit/base/result.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
namespace detail {

/// Sums over the pairs of the sampled inputs. G_s: a sequence's own X^T X, n_s: its tokens.
struct sequence_sums {
  static constexpr std::size_t most = 32;  // inputs sampled

  std::size_t inputs = 0;
  std::uint64_t open_tokens = 0;    // of the sequence that has not ended
  std::uint64_t tokens = 0;         // of those that have
  std::uint64_t count = 0;          // of those that have, but for empty ones
  double lengths_square = 0;        // sum of n_s^2
  double square = 0;                // sum of |G_s|^2, each pair once
  double token_square = 0;          // the same with every token a sequence of its own, the open one's too
  std::uint32_t column[most] = {};  // where the inputs are
  buffer<double> sums;              // for every pair: the open G_s; the sum of G_s; the sum of n_s G_s

  NBIT_HOST_INLINE sequence_sums() noexcept = default;
  NBIT_HOST_INLINE sequence_sums(sequence_sums&&) noexcept = default;
  NBIT_HOST_INLINE sequence_sums& operator=(sequence_sums&&) noexcept = default;
  NBIT_HOST_INLINE ~sequence_sums() = default;

  [[nodiscard]] NBIT_INLINE std::size_t pairs() const { return inputs * (inputs - (inputs != 0)) / 2; }
  [[nodiscard]] NBIT_INLINE double* open() { return sums.data(); }
  [[nodiscard]] NBIT_INLINE double* total() { return sums.data() + pairs(); }
  [[nodiscard]] NBIT_INLINE double* weighted() { return sums.data() + 2 * pairs(); }
};

}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

/// Samples one input of each of `most` stretches of equal length, at random, so that no structure of the layer (heads,
/// say) meets the stride.
inline result<void> sequence_allocate(sequence_sums& q, std::size_t cols) {
  q.inputs = cols < sequence_sums::most ? cols : sequence_sums::most;
  random_stream random(cols);
  for (std::size_t k = 0; k < q.inputs; ++k) {
    const std::size_t first = k * cols / q.inputs, last = (k + 1) * cols / q.inputs;
    q.column[k] = static_cast<std::uint32_t>(first + random.below(static_cast<std::uint32_t>(last - first)));
  }
  auto sums = buffer<double>::zeros(3 * q.pairs());
  if (!sums) return sums.error();
  q.sums = *std::move(sums);
  return {};
}

inline void sequence_add(sequence_sums& q, const float* token) {
  NBIT_EXACT
  double x[sequence_sums::most], square = 0, fourth = 0;
  double* to = q.open();
  for (std::size_t i = 0; i < q.inputs; to += i, ++i) {
    const double v = static_cast<double>(token[q.column[i]]), v2 = v * v;
    x[i] = v, square += v2, fourth += v2 * v2;
    for (std::size_t j = 0; j < i; ++j) to[j] += v * x[j];
  }
  q.token_square += (square * square - fourth) / 2;  // of all pairs' products
  ++q.open_tokens;
}

inline void sequence_end(sequence_sums& q) {
  NBIT_EXACT
  if (q.open_tokens == 0) return;
  const double n = static_cast<double>(q.open_tokens);
  double *const open = q.open(), *const total = q.total(), *const weighted = q.weighted();
  for (std::size_t k = 0; k < q.pairs(); ++k) {
    q.square += open[k] * open[k];
    total[k] += open[k];
    weighted[k] += n * open[k];
    open[k] = 0;
  }
  q.lengths_square += n * n;
  q.tokens += q.open_tokens, q.open_tokens = 0;
  ++q.count;
}

/// Adds other's sums. What is open on either side ends there.
inline void sequence_merge(sequence_sums& q, const sequence_sums& other) {
  NBIT_EXACT
  sequence_end(q);
  const double n = static_cast<double>(other.open_tokens);
  const double* const from = other.sums.data();
  const std::size_t pairs = q.pairs();
  double *const total = q.total(), *const weighted = q.weighted();
  double square = other.square;
  for (std::size_t k = 0; k < pairs; ++k) {
    square += from[k] * from[k];
    total[k] += from[pairs + k] + from[k];
    weighted[k] += from[2 * pairs + k] + n * from[k];
  }
  q.square += square, q.token_square += other.token_square;
  q.lengths_square += other.lengths_square + n * n;
  q.tokens += other.tokens + other.open_tokens;
  q.count += other.count + (other.open_tokens != 0);
}

/// How many tokens count as one, at least 1; 1 also when there are fewer than eight sequences to tell.
inline double tokens_as_one(const sequence_sums& q) {
  NBIT_EXACT
  const std::size_t pairs = q.pairs();
  const double open = static_cast<double>(q.open_tokens), n = static_cast<double>(q.tokens) + open;
  const double count = static_cast<double>(q.count) + (q.open_tokens != 0 ? 1.0 : 0.0);
  if (count < 8 || pairs == 0) return 1.0;
  // sum of |G_s - n_s S|^2 over sequences, and the same over tokens; S = sum of G_s / n
  const double* const sums = q.sums.data();
  double square = q.square, crossed = 0, mean_square = 0;
  for (std::size_t k = 0; k < pairs; ++k) {
    const double mean = (sums[pairs + k] + sums[k]) / n;
    square += sums[k] * sums[k];
    crossed += mean * (sums[2 * pairs + k] + open * sums[k]);
    mean_square += mean * mean;
  }
  const double between =
      (square - 2 * crossed + (q.lengths_square + open * open) * mean_square) * (count / (count - 1));
  const double independent = q.token_square - n * mean_square;
  const double ratio = between / independent;
  return independent > 0 && ratio > 1 && ratio < 1e30 ? ratio : 1.0;
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
