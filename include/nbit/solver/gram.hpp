// nbit/solver/gram.hpp — the sums behind a hessian, read and merged: the mean matrix, its diagonal, its noise.
//
// Tokens that wait in the panel are added on the fly, in the order in which folding would add them: reading changes
// nothing, and gives the bits that folding would.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_GRAM_HPP
#define NBIT_SOLVER_GRAM_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/gram.hpp>
#include <nbit/solver/gram_sums.hpp>
#include <nbit/solver/sequence_sums.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

inline constexpr std::size_t gram_block = 144;  // columns read at a time

/// Calls f(row, column, width, sums, square) for every row's pieces of up to 144 columns, pending tokens added; square
/// is the piece's share of the pending blocks' squares.
template <class Visit>
inline void gram_each_piece(const gram_sums& g, std::size_t first, std::size_t last, Visit&& visit) {
  constexpr std::size_t tile = gram_sums::tile;
  with_sums(g, [&](const auto* sums) {
    using sum = std::remove_cv_t<std::remove_pointer_t<decltype(sums)>>;
    sum block[tile * gram_block];
    float squares[tile * tile];
    for (std::size_t row = first; row < last && row < g.cols; row += tile)
      for (std::size_t c = 0; c < row + tile; c += gram_block) {
        const std::size_t width = row + tile - c < gram_block ? row + tile - c : gram_block;
        const std::size_t strips = (width + gram_panel::strip - 1) / gram_panel::strip * gram_panel::strip;
        for (std::size_t r = 0; r < tile; ++r)
          __builtin_memcpy(block + r * gram_block, sums + gram_triangle::at(row + r, c), width * sizeof(sum));
        for (float& s : squares) s = 0.0f;
        if (g.pending != 0)
          arch::dispatch([&](auto tag) {
            gram_kernel<decltype(tag)>::add(gram_operands<sum>{g.panel.data(), g.pending, row, row + tile, c,
                                                               c + strips, block, gram_block, squares});
          });
        for (std::size_t r = 0; r < tile && row + r < g.cols; ++r)
          visit(row + r, c, row + r + 1 - c < width ? row + r + 1 - c : width, block + r * gram_block,
                gram_kernel<arch::scalar>::total(squares + r * tile));
      }
  });
}

/// The sum of the squares of column c, pending tokens included: what the triangle holds on its diagonal.
inline double gram_diagonal(const gram_sums& g, std::size_t c) {
  NBIT_EXACT
  return with_sums(g, [&](const auto* sums) {
    auto sum = sums[gram_triangle::at(c, c)];
    for (std::size_t t = 0; t < g.pending;) {
      float partial = 0.0f;
      for (const std::size_t last = t + gram_sums::block_tokens; t < last && t < g.pending; ++t)
        partial = nbit::fma(g.panel[gram_panel::at(t, c)], g.panel[gram_panel::at(t, c)], partial);
      sum += static_cast<decltype(sum)>(partial);
    }
    return static_cast<double>(sum);
  });
}

/// Adds other's sums, each side's short panel folded on its own; the two sides can be swapped without changing a bit.
inline result<void> gram_merge(gram_sums& g, const gram_sums& other) {
  NBIT_EXACT
  gram_fold(g, serial{});
  double square = 0;
  const auto add = [&](std::size_t row, std::size_t c, std::size_t n, const auto* sums, double s) {
    with_sums(g, [&](auto* mine) {
      using sum = std::remove_pointer_t<decltype(mine)>;
      auto* const to = mine + gram_triangle::at(row, c);
      for (std::size_t k = 0; k < n; ++k) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(sums[k])>, sum>)
          to[k] += sums[k];  // two floats do not always fit a double
        else
          to[k] += static_cast<sum>(static_cast<double>(sums[k]));
      }
    });
    square += 2 * s;
  };
  gram_each_piece(other, 0, other.padded, add);
  g.block_square += other.block_square + square;
  g.block_tokens_square += other.block_tokens_square;
  g.blocks += other.blocks;
  for (std::size_t t = 0; t < other.pending; t += gram_sums::block_tokens) {
    const std::size_t n = other.pending - t < gram_sums::block_tokens ? other.pending - t : gram_sums::block_tokens;
    g.block_tokens_square += static_cast<double>(n) * static_cast<double>(n);
    ++g.blocks;
  }
  g.token_square += other.token_square;
  sequence_merge(g.by_sequence, other.by_sequence);
  g.tokens += other.tokens, g.sequences += other.sequences;
  g.magnitudes = g.magnitudes && other.magnitudes;
  for (std::size_t c = 0; c < g.padded; ++c) {
    g.sum_abs[c] += other.sum_abs[c];
    g.max_abs[c] = other.max_abs[c] > g.max_abs[c] ? other.max_abs[c] : g.max_abs[c];
  }
  return {};
}

inline void gram_mean_square(const gram_sums& g, std::span<float> out) {
  const double scale = g.tokens == 0 ? 0.0 : 1.0 / static_cast<double>(g.tokens);
  for (std::size_t c = 0; c < out.size(); ++c) out[c] = static_cast<float>(gram_diagonal(g, c) * scale);
}

/// The mean of the usable entries of the mean Gram matrix's diagonal; 0 when there is none.
inline double gram_mean_diagonal(const gram_sums& g) {
  double sum = 0;
  std::size_t live = 0;
  for (std::size_t c = 0; c < g.cols; ++c)
    if (const double v = gram_diagonal(g, c); v > 0 && v < 1e300) sum += v, ++live;
  return live == 0 ? 0.0 : sum / static_cast<double>(live) / static_cast<double>(g.tokens);
}

/// Copies the lower triangle to the upper one.
template <class Executor>
inline void mirror_lower(float* m, std::size_t stride, std::size_t n, Executor&& ex) {
  constexpr std::size_t tile = 16;
  ex((n + tile - 1) / tile, [=](std::size_t strip) {
    const std::size_t first = strip * tile, last = first + tile < n ? first + tile : n;
    for (std::size_t c = 0; c < last; c += tile)
      for (std::size_t i = c; i < c + tile && i < last; ++i)
        for (std::size_t r = first > i ? first : i + 1; r < last; ++r) m[i * stride + r] = m[r * stride + i];
  });
}

/// Writes the mean Gram matrix, both triangles. Off-diagonal entries are multiplied by 1 - shrinkage, all by scale.
template <class Executor>
inline void gram_write(const gram_sums& g, double shrinkage, double scale, float* out, std::size_t stride,
                       Executor&& ex) {
  NBIT_EXACT
  constexpr std::size_t tile = gram_sums::tile;
  const double mean = g.tokens == 0 ? 0.0 : scale / static_cast<double>(g.tokens);
  const double off = mean * (1.0 - shrinkage);
  ex(g.padded / tile, [&, mean, off](std::size_t strip) {
    NBIT_EXACT
    gram_each_piece(g, strip * tile, strip * tile + tile,
                    [&](std::size_t row, std::size_t c, std::size_t n, const auto* sums, double) {
                      float* const to = out + row * stride + c;
                      for (std::size_t k = 0; k < n; ++k)
                        to[k] = static_cast<float>(static_cast<double>(sums[k]) * off);
                      if (c + n == row + 1) to[n - 1] = static_cast<float>(static_cast<double>(sums[n - 1]) * mean);
                    });
  });
  mirror_lower(out, stride, g.cols, ex);
}

/// Ledoit and Wolf's intensity toward the diagonal, from tokens, from blocks and from sequences: the largest, since
/// blocks see that neighbours are alike, and sequences that all tokens of a text are.
inline double gram_shrinkage(const gram_sums& g) {
  NBIT_EXACT
  if (g.tokens == 0) return 1.0;
  if (!g.magnitudes) return 0.0;
  double square = 0, last_blocks = 0;
  gram_each_piece(g, 0, g.padded, [&](std::size_t row, std::size_t c, std::size_t n, const auto* sums, double s) {
    double lanes[8] = {};
    const std::size_t off_diagonal = c + n == row + 1 ? n - 1 : n;
    std::size_t k = 0;
    for (; k + 8 <= off_diagonal; k += 8)
      for (std::size_t l = 0; l < 8; ++l) {
        const double v = static_cast<double>(sums[k + l]);
        lanes[l] += v * v;
      }
    for (; k < off_diagonal; ++k) lanes[0] += static_cast<double>(sums[k]) * static_cast<double>(sums[k]);
    for (const double v : lanes) square += 2 * v;
    last_blocks += 2 * s;
  });
  const double n = static_cast<double>(g.tokens);
  square /= n * n;  // of the mean, not of the sum
  if (!(square > 0)) return 1.0;
  // The variance of the mean's entries, added up: sum over independent pieces of (piece - its share)^2 / n^2.
  double r = (g.token_square - n * square) / (n * n * square);
  // Statistics of an older file may have tokens of which nobody knows the sequences.
  const bool known = g.by_sequence.tokens + g.by_sequence.open_tokens == g.tokens;
  const double by_sequence = known ? r * tokens_as_one(g.by_sequence) : r;
  double lengths = g.block_tokens_square, b = static_cast<double>(g.blocks);
  for (std::size_t t = 0; t < g.pending; t += gram_sums::block_tokens) {
    const double length =
        static_cast<double>(g.pending - t < gram_sums::block_tokens ? g.pending - t : gram_sums::block_tokens);
    lengths += length * length, b += 1;
  }
  if (b >= 8) {
    const double by_block = (g.block_square + last_blocks - lengths * square) / (n * n * square) * (b / (b - 1));
    if (by_block > r && by_block < 1e30) r = by_block;  // huge inputs: the squares overflow
  }
  if (by_sequence > r && by_sequence < 1e30) r = by_sequence;
  if (!(r > 0)) return r == r ? 0.0 : 1.0;
  return r < 1 ? r : 1.0;
}

inline void gram_from_mean(gram_sums& g, matrix_view<const float> mean, std::uint64_t tokens) {
  NBIT_EXACT
  with_sums(g, [&](auto* sums) {
    using sum = std::remove_pointer_t<decltype(sums)>;
    for (std::size_t r = 0; r < mean.rows; ++r)
      for (std::size_t c = 0; c <= r; ++c)
        sums[gram_triangle::at(r, c)] = static_cast<sum>(static_cast<double>(mean(r, c)) * static_cast<double>(tokens));
  });
  g.tokens = tokens, g.magnitudes = false;
}

inline void gram_mean_abs(const gram_sums& g, std::span<float> out) {
  if (!g.magnitudes) {
    gram_mean_square(g, out);
    for (float& v : out) v = __builtin_sqrtf(v);
    return;
  }
  const double scale = g.tokens == 0 ? 0.0 : 1.0 / static_cast<double>(g.tokens);
  for (std::size_t c = 0; c < out.size(); ++c) out[c] = static_cast<float>(g.sum_abs[c] * scale);
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
