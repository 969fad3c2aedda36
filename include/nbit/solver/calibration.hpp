// nbit/solver/calibration.hpp — what solvers know about a layer's inputs: the Gram matrix X^T X, streamed and merged.
//
// Order    tokens are collected into panels of 128, whatever the batches were; a panel is multiplied in f32 in token
// order
//          and added to f64 sums. So the result depends on the stream of tokens alone, to the last bit: not on how it
//          was cut into batches, not on threads. Reading never flushes: a short panel is added on the fly.
// Storage  the lower triangle in tiles of 16 x 16 doubles, 4 cols^2 bytes, plus one panel.
// Also     mean |x|, max |x|, mean square (llama.cpp's imatrix), token and sequence counts, and the shrinkage intensity
//          (Ledoit and Wolf 2004, with the diagonal as target): how far the sampled correlations are to be trusted.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_CALIBRATION_HPP
#define NBIT_SOLVER_CALIBRATION_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/product.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

namespace detail {
/// The sums behind a hessian; free functions below work on it, so that no weak symbol outlives its unit's flags.
struct gram_sums {
  static constexpr std::size_t tile = 16, panel_tokens = 128;

  std::size_t cols = 0, strips = 0;
  std::size_t pending = 0;   // tokens in the panel
  std::uint64_t tokens = 0;  // all of them, the pending ones too
  std::uint64_t sequences = 0;
  std::uint64_t blocks = 0;        // panels folded
  double block_tokens_square = 0;  // sum over panels of tokens^2
  double block_square = 0;         // sum over panels of the squared off-diagonal entries of the panel's own X^T X
  double token_square = 0;         // the same with every token a panel of its own: |x|^4 - sum_i x_i^4
  bool magnitudes = true;          // false when a matrix was given instead of tokens
  buffer<double> tiles;            // tile (i, j), j <= i, at (i (i + 1) / 2 + j) * 256, row-major
  buffer<double> sum_abs;          // strips * 16
  buffer<float> max_abs;           // strips * 16
  buffer<float> panel;             // strip by strip, token by token, 16 columns
  buffer<double> strip_square;     // block_square's parts of the panel being folded

  NBIT_HOST_INLINE gram_sums() noexcept = default;
  NBIT_HOST_INLINE gram_sums(gram_sums&&) noexcept = default;
  NBIT_HOST_INLINE gram_sums& operator=(gram_sums&&) noexcept = default;
  NBIT_HOST_INLINE ~gram_sums() = default;

  NBIT_INLINE static std::size_t tile_at(std::size_t i, std::size_t j) { return (i * (i + 1) / 2 + j) * tile * tile; }
};
}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

inline result<void> gram_allocate(gram_sums& g, std::size_t cols) {
  g.cols = cols, g.strips = (cols + gram_sums::tile - 1) / gram_sums::tile;
  const std::size_t padded = g.strips * gram_sums::tile;
  if (g.strips > (std::size_t{1} << 24))
    return make_error(errc::overflow, "too many columns for a Gram matrix", "up to 2^28");
  auto tiles = buffer<double>::zeros(gram_sums::tile_at(g.strips, 0));
  auto sum_abs = buffer<double>::zeros(padded);
  auto max_abs = buffer<float>::zeros(padded);
  auto panel = buffer<float>::zeros(padded * gram_sums::panel_tokens);
  auto strip_square = buffer<double>::zeros(g.strips);
  if (!tiles) return tiles.error();
  if (!sum_abs) return sum_abs.error();
  if (!max_abs) return max_abs.error();
  if (!panel) return panel.error();
  if (!strip_square) return strip_square.error();
  g.tiles = *std::move(tiles), g.sum_abs = *std::move(sum_abs), g.max_abs = *std::move(max_abs);
  g.panel = *std::move(panel), g.strip_square = *std::move(strip_square);
  return {};
}

/// Writes the product of two strips over the panel's tokens: 16 x 16 floats.
inline void gram_tile(const gram_sums& g, std::size_t i, std::size_t j, std::size_t tokens, float* out) {
  constexpr std::size_t tile = gram_sums::tile, stride = gram_sums::panel_tokens * tile;
  for (std::size_t k = 0; k < tile * tile; ++k) out[k] = 0.0f;
  add_product(
      {out, tile, g.panel.data() + i * stride, tile, g.panel.data() + j * stride, tile, tile, tile, tokens, 1.0f});
}

/// The squares of a tile's entries off the matrix's diagonal; a tile below the diagonal counts for its mirror image
/// too.
template <class T>
inline double tile_square(const T* t, bool diagonal) {
  NBIT_EXACT
  double sum = 0;
  for (std::size_t a = 0; a < gram_sums::tile; ++a)
    for (std::size_t b = 0; b < gram_sums::tile; ++b) {
      const double v = diagonal && a == b ? 0.0 : static_cast<double>(t[a * gram_sums::tile + b]);
      sum += v * v;
    }
  return diagonal ? sum : 2 * sum;
}

/// Adds the panel to the sums and empties it.
template <class Executor>
inline void gram_fold(gram_sums& g, Executor&& ex) {
  if (g.pending == 0) return;
  const std::size_t tokens = g.pending;
  const auto strip = [&g, tokens](std::size_t i) {
    NBIT_EXACT
    float product[gram_sums::tile * gram_sums::tile];
    double square = 0;
    for (std::size_t j = 0; j <= i; ++j) {
      gram_tile(g, i, j, tokens, product);
      double* const sums = g.tiles.data() + gram_sums::tile_at(i, j);
      for (std::size_t k = 0; k < gram_sums::tile * gram_sums::tile; ++k) sums[k] += static_cast<double>(product[k]);
      square += tile_square(product, i == j);
    }
    g.strip_square[i] = square;
  };
  // A long strip and a short one together: equal work for every task.
  ex((g.strips + 1) / 2, [&strip, &g](std::size_t task) {
    strip(task);
    if (const std::size_t other = g.strips - 1 - task; other != task) strip(other);
  });
  for (std::size_t i = 0; i < g.strips; ++i) g.block_square += g.strip_square[i];
  g.block_tokens_square += static_cast<double>(tokens) * static_cast<double>(tokens);
  ++g.blocks;
  g.pending = 0;
}

template <class Executor>
inline result<void> gram_add(gram_sums& g, matrix_view<const float> x, Executor&& ex) {
  NBIT_EXACT
  constexpr std::size_t tile = gram_sums::tile;
  for (std::size_t t = 0; t < x.rows; ++t) {
    const std::span<const float> row = x.row(t);
    bool fine = true;
    for (const float v : row) fine &= abs(v) <= 1e18f;
    if (fine) continue;
    for (std::size_t c = 0; c < row.size(); ++c)
      if (!(abs(row[c]) <= 1e18f))
        return make_error(errc::not_finite, "activation is NaN, infinite or too large to be squared", "|x| <= 1e18")
            .at(static_cast<std::int64_t>(t), static_cast<std::int64_t>(c));
  }
  for (std::size_t t = 0; t < x.rows; ++t) {
    const float* const row = x.data + t * x.stride;
    double square = 0, fourth = 0;
    for (std::size_t s = 0; s < g.strips; ++s) {
      float* const to = g.panel.data() + (s * gram_sums::panel_tokens + g.pending) * tile;
      const std::size_t first = s * tile, n = g.cols - first < tile ? g.cols - first : tile;
      for (std::size_t c = 0; c < n; ++c) {
        const float v = row[first + c], a = abs(v);
        to[c] = v;
        g.sum_abs[first + c] += static_cast<double>(a);
        g.max_abs[first + c] = a > g.max_abs[first + c] ? a : g.max_abs[first + c];
        const double sq = static_cast<double>(v) * static_cast<double>(v);
        square += sq, fourth += sq * sq;
      }
    }
    g.token_square += square * square - fourth;
    ++g.tokens;
    if (++g.pending == gram_sums::panel_tokens) gram_fold(g, ex);
  }
  return {};
}

/// Adds other's sums, each side's short panel folded on its own; the two sides can be swapped without changing a bit.
inline result<void> gram_merge(gram_sums& g, const gram_sums& other) {
  NBIT_EXACT
  gram_fold(g, serial{});
  float product[gram_sums::tile * gram_sums::tile];
  double square = 0;
  for (std::size_t i = 0; i < g.strips; ++i) {
    double strip_square = 0;
    for (std::size_t j = 0; j <= i; ++j) {
      const std::size_t at = gram_sums::tile_at(i, j);
      gram_tile(other, i, j, other.pending, product);
      for (std::size_t k = 0; k < gram_sums::tile * gram_sums::tile; ++k)
        g.tiles[at + k] += other.tiles[at + k] + static_cast<double>(product[k]);
      strip_square += tile_square(product, i == j);
    }
    square += strip_square;
  }
  const double pending = static_cast<double>(other.pending);
  g.block_square += other.block_square + square;
  g.block_tokens_square += other.block_tokens_square + pending * pending;
  g.blocks += other.blocks + (other.pending != 0 ? 1 : 0);
  g.token_square += other.token_square;
  g.tokens += other.tokens, g.sequences += other.sequences;
  g.magnitudes = g.magnitudes && other.magnitudes;
  for (std::size_t c = 0; c < g.strips * gram_sums::tile; ++c) {
    g.sum_abs[c] += other.sum_abs[c];
    g.max_abs[c] = other.max_abs[c] > g.max_abs[c] ? other.max_abs[c] : g.max_abs[c];
  }
  return {};
}

/// Calls f(i, j, sums) for every tile with the pending panel added.
template <class Visit>
inline void gram_each_tile(const gram_sums& g, bool diagonal_only, Visit&& visit) {
  float product[gram_sums::tile * gram_sums::tile];
  double sums[gram_sums::tile * gram_sums::tile];
  for (std::size_t i = 0; i < g.strips; ++i)
    for (std::size_t j = diagonal_only ? i : 0; j <= i; ++j) {
      const double* const from = g.tiles.data() + gram_sums::tile_at(i, j);
      gram_tile(g, i, j, g.pending, product);
      for (std::size_t k = 0; k < gram_sums::tile * gram_sums::tile; ++k)
        sums[k] = from[k] + static_cast<double>(product[k]);
      visit(i, j, sums, product);
    }
}

inline void gram_mean_square(const gram_sums& g, std::span<float> out) {
  const double scale = g.tokens == 0 ? 0.0 : 1.0 / static_cast<double>(g.tokens);
  gram_each_tile(g, true, [&](std::size_t i, std::size_t, const double* sums, const float*) {
    for (std::size_t a = 0; a < gram_sums::tile; ++a)
      if (const std::size_t c = i * gram_sums::tile + a; c < out.size())
        out[c] = static_cast<float>(sums[a * gram_sums::tile + a] * scale);
  });
}

/// The mean of the usable entries of the mean Gram matrix's diagonal; 0 when there is none.
inline double gram_mean_diagonal(const gram_sums& g) {
  double sum = 0;
  std::size_t live = 0;
  gram_each_tile(g, true, [&](std::size_t i, std::size_t, const double* sums, const float*) {
    for (std::size_t a = 0; a < gram_sums::tile; ++a)
      if (const double v = sums[a * gram_sums::tile + a]; i * gram_sums::tile + a < g.cols && v > 0 && v < 1e300)
        sum += v, ++live;
  });
  return live == 0 ? 0.0 : sum / static_cast<double>(live) / static_cast<double>(g.tokens);
}

/// Writes the mean Gram matrix in the order place: column c goes to row and column place[c]. Off-diagonal entries are
/// multiplied by 1 - shrinkage, all of them by scale.
inline void gram_write(const gram_sums& g, std::span<const std::uint32_t> place, double shrinkage, double scale,
                       float* out, std::size_t stride) {
  NBIT_EXACT
  const double mean = g.tokens == 0 ? 0.0 : scale / static_cast<double>(g.tokens);
  const double off = mean * (1.0 - shrinkage);
  gram_each_tile(g, false, [&](std::size_t i, std::size_t j, const double* sums, const float*) {
    for (std::size_t a = 0; a < gram_sums::tile; ++a)
      for (std::size_t b = 0; b < gram_sums::tile; ++b) {
        const std::size_t row = i * gram_sums::tile + a, col = j * gram_sums::tile + b;
        if (row >= g.cols || col > row) continue;
        const float v = static_cast<float>(sums[a * gram_sums::tile + b] * (row == col ? mean : off));
        const std::size_t r = place.empty() ? row : place[row], c = place.empty() ? col : place[col];
        out[r * stride + c] = v;
        out[c * stride + r] = v;
      }
  });
}

/// Ledoit and Wolf's intensity toward the diagonal, from tokens and from panels; panels see that neighbours are alike.
inline double gram_shrinkage(const gram_sums& g) {
  NBIT_EXACT
  if (g.tokens == 0) return 1.0;
  if (!g.magnitudes) return 0.0;
  double square = 0, last_block = 0;
  gram_each_tile(g, false, [&](std::size_t i, std::size_t j, const double* sums, const float* pending) {
    square += tile_square(sums, i == j);
    last_block += tile_square(pending, i == j);
  });
  const double n = static_cast<double>(g.tokens);
  square /= n * n;  // of the mean, not of the sum
  if (!(square > 0)) return 1.0;
  // The variance of the mean's entries, added up: sum over independent pieces of (piece - its share)^2 / n^2.
  double r = (g.token_square - n * square) / (n * n * square);
  const std::uint64_t blocks = g.blocks + (g.pending != 0 ? 1 : 0);
  if (blocks >= 8) {
    const double pending = static_cast<double>(g.pending), b = static_cast<double>(blocks);
    const double lengths = g.block_tokens_square + pending * pending;
    const double by_block = (g.block_square + last_block - lengths * square) / (n * n * square) * (b / (b - 1));
    if (by_block > r) r = by_block;
  }
  if (!(r > 0)) return 0.0;
  return r < 1 ? r : 1.0;
}

inline result<void> gram_from_mean(gram_sums& g, matrix_view<const float> mean, std::uint64_t tokens) {
  NBIT_EXACT
  for (std::size_t r = 0; r < mean.rows; ++r)
    for (std::size_t c = 0; c <= r; ++c) {
      double* const sums = g.tiles.data() + gram_sums::tile_at(r / gram_sums::tile, c / gram_sums::tile);
      const double v = static_cast<double>(mean(r, c)) * static_cast<double>(tokens);
      sums[(r % gram_sums::tile) * gram_sums::tile + c % gram_sums::tile] = v;
      if (r / gram_sums::tile == c / gram_sums::tile)
        sums[(c % gram_sums::tile) * gram_sums::tile + r % gram_sums::tile] = v;
    }
  g.tokens = tokens, g.magnitudes = false;
  return {};
}

inline void gram_mean_abs(const gram_sums& g, std::span<float> out) {
  if (!g.magnitudes) {
    gram_mean_square(g, out);
    for (float& v : out) v = std::sqrt(v);
    return;
  }
  const double scale = g.tokens == 0 ? 0.0 : 1.0 / static_cast<double>(g.tokens);
  for (std::size_t c = 0; c < out.size(); ++c) out[c] = static_cast<float>(g.sum_abs[c] * scale);
}

}  // namespace detail
}  // namespace NBIT_TAG

/// Statistics of the inputs of one layer, for every solver. Linears with the same input share one.
/// Memory: 4 cols^2 bytes for the sums, 512 cols bytes for the panel.
class hessian {
 public:
  NBIT_HOST_INLINE hessian() noexcept = default;
  NBIT_HOST_INLINE hessian(hessian&&) noexcept = default;
  NBIT_HOST_INLINE hessian& operator=(hessian&&) noexcept = default;
  NBIT_HOST_INLINE ~hessian() = default;
  /// For inputs of cols numbers; memory is taken by the first add.
  NBIT_INLINE explicit hessian(std::size_t cols) { sums_.cols = cols; }
  /// The same with its memory.  Errors: out_of_memory, overflow.
  NBIT_INLINE static result<hessian> make(std::size_t cols) {
    hessian h(cols);
    if (auto done = h.allocate(); !done) return done.error();
    return h;
  }
  /// From a symmetric cols x cols matrix (its lower triangle is read) that stands for the mean of x x^T over `tokens`.
  /// Nothing else is known then: shrinkage() is 0 and mean_abs is the root of the mean square.
  /// Errors: shape if not square, out_of_memory.
  NBIT_INLINE static result<hessian> from_mean(matrix_view<const float> mean, std::uint64_t tokens = 1) {
    if (mean.rows != mean.cols)
      return make_error(errc::shape, "Gram matrix is not square", "as many rows as columns")
          .with(static_cast<std::int64_t>(mean.rows));
    result<hessian> h = make(mean.cols);
    if (h)
      if (auto done = detail::gram_from_mean(h->sums_, mean, tokens); !done) return done.error();
    return h;
  }

  /// Adds a batch, one token per row.  Errors: shape; not_finite with row and column (then nothing was added);
  /// out_of_memory on the first call.  Cost: tokens * cols^2 / 2 multiply-adds.
  template <class Executor = serial>
  NBIT_INLINE result<void> add(matrix_view<const float> x, Executor&& ex = {}) {
    if (x.cols != sums_.cols)
      return make_error(errc::shape, "batch has another number of columns than the statistics", "the layer's inputs")
          .with(static_cast<std::int64_t>(x.cols));
    if (auto done = allocate(); !done) return done;
    return detail::gram_add(sums_, x, ex);
  }
  /// Counts the end of a sequence (a text, a window).
  NBIT_INLINE void end_sequence() { ++sums_.sequences; }

  /// Adds the statistics of another stream. merge(a, b) and merge(b, a) are equal to the last bit; so the order in
  /// which many are merged is the only order that matters.  Errors: shape, out_of_memory.
  NBIT_INLINE result<void> merge(const hessian& other) {
    if (other.sums_.cols != sums_.cols)
      return make_error(errc::shape, "statistics have different numbers of columns", "the same layer's inputs")
          .with(static_cast<std::int64_t>(other.sums_.cols));
    if (other.sums_.tiles.empty()) {
      sums_.sequences += other.sums_.sequences;
      return {};
    }
    if (auto done = allocate(); !done) return done;
    return detail::gram_merge(sums_, other.sums_);
  }

  [[nodiscard]] NBIT_INLINE std::size_t cols() const { return sums_.cols; }
  [[nodiscard]] NBIT_INLINE std::uint64_t tokens() const { return sums_.tokens; }
  [[nodiscard]] NBIT_INLINE std::uint64_t sequences() const { return sums_.sequences; }

  /// Writes the mean of x^2 for each column (what llama.cpp calls an importance matrix); zeros before the first token.
  NBIT_INLINE void mean_square(std::span<float> out) const {
    NBIT_EXPECTS(out.size() == sums_.cols, "one number for each column");
    if (sums_.tiles.empty()) return fill_zero(out);
    detail::gram_mean_square(sums_, out);
  }
  NBIT_INLINE void mean_abs(std::span<float> out) const {
    NBIT_EXPECTS(out.size() == sums_.cols, "one number for each column");
    if (sums_.tiles.empty()) return fill_zero(out);
    detail::gram_mean_abs(sums_, out);
  }
  /// Largest |x| of each column; empty when the statistics came from a matrix.
  [[nodiscard]] NBIT_INLINE std::span<const float> max_abs() const {
    if (sums_.tiles.empty() || !sums_.magnitudes) return {};
    return sums_.max_abs.span().first(sums_.cols);
  }

  /// How much of the off-diagonal part is noise, 0 to 1: S' = (1 - r) S + r diag(S). 1 before the first token.
  [[nodiscard]] NBIT_INLINE double shrinkage() const {
    return sums_.tiles.empty() ? 1.0 : detail::gram_shrinkage(sums_);
  }

  /// The mean of the mean squares of the columns that are ever used; 0 before the first token.
  [[nodiscard]] NBIT_INLINE double mean_diagonal() const {
    return sums_.tiles.empty() ? 0.0 : detail::gram_mean_diagonal(sums_);
  }

  /// Writes the mean Gram matrix times scale; column c at place[c] (empty: at c), off-diagonal entries times 1 -
  /// shrinkage. Needs: out is cols x cols, place is empty or a permutation.
  NBIT_INLINE void write(matrix_view<float> out, double shrinkage = 0.0, double scale = 1.0,
                         std::span<const std::uint32_t> place = {}) const {
    NBIT_EXPECTS(out.rows == sums_.cols && out.cols == sums_.cols, "a cols x cols matrix");
    NBIT_EXPECTS(place.empty() || place.size() == sums_.cols, "one place for each column");
    if (sums_.tiles.empty()) {
      for (std::size_t r = 0; r < out.rows; ++r) fill_zero(out.row(r));
      return;
    }
    detail::gram_write(sums_, place, shrinkage, scale, out.data, out.stride);
  }

 private:
  NBIT_INLINE static void fill_zero(std::span<float> out) {
    if (!out.empty()) __builtin_memset(out.data(), 0, out.size_bytes());
  }
  NBIT_INLINE result<void> allocate() {
    if (!sums_.tiles.empty() || sums_.cols == 0) return {};
    return detail::gram_allocate(sums_, sums_.cols);
  }

  detail::gram_sums sums_;
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
