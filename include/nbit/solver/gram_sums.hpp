// nbit/solver/gram_sums.hpp — the sums behind a hessian, collected: X^T X as a packed triangle, and single columns.
//
// Order    tokens are collected into a panel of 512 whatever the batches were; each 128 of them are multiplied in f32
// in token order and added to the sums. So the result depends on the stream of tokens alone, to the last bit: not on
// how it was cut into batches, not on threads. Reading never flushes: a short panel is added on the fly.
// Storage  the lower triangle in strips of 16 rows, in f64 (4 cols^2 bytes), f32 (2 cols^2) or two f32 (4 cols^2), and
// one panel. An f32 sum is rounded once for every 128 tokens, so its relative error stays below tokens / 128 * 2^-24
// and is usually the root of that; two f32 are compensated, and good to 2^-47 like the f64 that machines without fast
// doubles do not have. What stays is the rounding of the products of 128 tokens, about 2^-21 of the largest of them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_GRAM_SUMS_HPP
#define NBIT_SOLVER_GRAM_SUMS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/two_floats.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/gram.hpp>
#include <nbit/solver/sequence_sums.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// In which numbers a Gram matrix is summed.
enum class gram_storage : std::uint8_t {
  f64,
  f32,      // half the memory
  two_f32,  // compensated: nbit::two_floats
};

namespace detail {
/// The sums of one layer; free functions below work on it, so that no weak symbol outlives its unit's flags.
struct gram_sums {
  static constexpr std::size_t tile = gram_triangle::strip, block_tokens = gram_panel::block_tokens,
                               panel_tokens = gram_panel::tokens;
  static constexpr std::size_t task_rows = 2 * gram_panel::strip;  // rows of one task

  gram_storage storage = gram_storage::f64;
  std::size_t cols = 0, padded = 0;  // padded to whole strips of the panel
  std::size_t pending = 0;           // tokens in the panel
  std::uint64_t tokens = 0;          // all of them, the pending ones too
  std::uint64_t sequences = 0;
  std::uint64_t blocks = 0;        // blocks of up to 128 tokens folded
  double block_tokens_square = 0;  // sum over blocks of tokens^2
  double block_square = 0;         // sum over blocks of the squared off-diagonal entries of the block's own X^T X
  double token_square = 0;         // the same with every token a block of its own: |x|^4 - sum_i x_i^4
  sequence_sums by_sequence;       // how alike the tokens of a sequence are
  bool magnitudes = true;          // false when a matrix was given instead of tokens
  buffer<double> f64;              // one of the three, in the order of gram_triangle
  buffer<float> f32;
  buffer<two_floats> two_f32;
  buffer<double> sum_abs;  // padded
  buffer<float> max_abs;   // padded
  buffer<float> panel;     // as gram_panel has it
  buffer<float> squares;   // [padded][16]: block_square's parts of the panel being folded

  NBIT_HOST_INLINE gram_sums() noexcept = default;
  NBIT_HOST_INLINE gram_sums(gram_sums&&) noexcept = default;
  NBIT_HOST_INLINE gram_sums& operator=(gram_sums&&) noexcept = default;
  NBIT_HOST_INLINE ~gram_sums() = default;

  [[nodiscard]] NBIT_INLINE bool empty() const { return panel.empty(); }
  [[nodiscard]] NBIT_INLINE std::size_t triangle() const { return gram_triangle::strip_at(padded / tile); }
};
}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

inline result<void> gram_allocate(gram_sums& g, std::size_t cols) {
  constexpr std::size_t tile = gram_sums::tile, strip = gram_panel::strip;
  if (cols > (std::size_t{1} << 28)) return make_error(errc::overflow, "too many columns for a Gram matrix", "2^28");
  g.cols = cols, g.padded = (cols + strip - 1) / strip * strip;
  auto f64 = buffer<double>::zeros(g.storage == gram_storage::f64 ? g.triangle() : 0);
  auto f32 = buffer<float>::zeros(g.storage == gram_storage::f32 ? g.triangle() : 0);
  auto two_f32 = buffer<two_floats>::zeros(g.storage == gram_storage::two_f32 ? g.triangle() : 0);
  auto sum_abs = buffer<double>::zeros(g.padded);
  auto max_abs = buffer<float>::zeros(g.padded);
  auto panel = buffer<float>::zeros(g.padded * gram_sums::panel_tokens);
  auto squares = buffer<float>::zeros(g.padded * tile);
  if (!f64) return f64.error();
  if (!f32) return f32.error();
  if (!two_f32) return two_f32.error();
  if (!sum_abs) return sum_abs.error();
  if (!max_abs) return max_abs.error();
  if (!panel) return panel.error();
  if (!squares) return squares.error();
  if (auto done = sequence_allocate(g.by_sequence, cols); !done) return done;
  g.f64 = *std::move(f64), g.f32 = *std::move(f32), g.two_f32 = *std::move(two_f32);
  g.sum_abs = *std::move(sum_abs), g.max_abs = *std::move(max_abs);
  g.panel = *std::move(panel), g.squares = *std::move(squares);
  return {};
}

/// Calls f with the first sum, whatever its type.
template <class Sums, class F>
inline auto with_sums(Sums& g, F&& f) {
  if (g.storage == gram_storage::two_f32) return f(g.two_f32.data());
  return g.storage == gram_storage::f64 ? f(g.f64.data()) : f(g.f32.data());
}

/// Adds the panel to the sums and empties it.
template <class Executor>
inline void gram_fold(gram_sums& g, Executor&& ex) {
  if (g.pending == 0) return;
  with_sums(g, [&](auto* sums) {
    const auto rows_from = [&g, sums](std::size_t first) {
      const std::size_t last = g.padded - first < gram_sums::task_rows ? g.padded : first + gram_sums::task_rows;
      float* const squares = g.squares.data() + first * gram_sums::tile;
      for (std::size_t k = 0; k < (last - first) * gram_sums::tile; ++k) squares[k] = 0;
      arch::dispatch([&](auto tag) {
        gram_kernel<decltype(tag)>::add(gram_operands<std::remove_pointer_t<decltype(sums)>>{
            g.panel.data(), g.pending, first, last, 0, last, sums, 0, squares});
      });
    };
    // A long block of rows and a short one together: equal work for every task.
    const std::size_t blocks = (g.padded + gram_sums::task_rows - 1) / gram_sums::task_rows;
    ex((blocks + 1) / 2, [&](std::size_t task) {
      rows_from(task * gram_sums::task_rows);
      if (const std::size_t other = blocks - 1 - task; other != task) rows_from(other * gram_sums::task_rows);
    });
  });
  for (std::size_t r = 0; r < g.padded; ++r)
    g.block_square += 2 * gram_kernel<arch::scalar>::total(g.squares.data() + r * gram_sums::tile);
  for (std::size_t t = 0; t < g.pending; t += gram_sums::block_tokens) {
    const std::size_t n = g.pending - t < gram_sums::block_tokens ? g.pending - t : gram_sums::block_tokens;
    g.block_tokens_square += static_cast<double>(n) * static_cast<double>(n);
    ++g.blocks;
  }
  g.pending = 0;
}
/// gram_fold with one executor: a named type, since a lambda inside a class that stands outside the flag tag would be a
/// weak symbol of every unit.
template <class Executor>
struct fold_with {
  Executor* ex;
  void operator()(gram_sums& g) const { gram_fold(g, *ex); }
};

/// Adds tokens; fold(g) is called when the panel is full and has to empty it.
template <class Fold>
inline result<void> gram_add(gram_sums& g, matrix_view<const float> x, Fold&& fold) {
  constexpr float limit = 1e18f;
  const auto refused = arch::dispatch([&](auto tag) {
    for (std::size_t t = 0; t < x.rows; ++t)
      if (!gram_kernel<decltype(tag)>::usable(x.data + t * x.stride, x.cols, limit)) return t;
    return x.rows;
  });
  for (std::size_t c = 0; refused < x.rows && c < x.cols; ++c)
    if (!(abs(x(refused, c)) <= limit))
      return make_error(errc::not_finite, "activation is NaN, infinite or too large to be squared", "|x| <= 1e18")
          .at(static_cast<std::int64_t>(refused), static_cast<std::int64_t>(c));
  for (std::size_t t = 0; t < x.rows;) {
    const std::size_t room = gram_sums::panel_tokens - g.pending, n = x.rows - t < room ? x.rows - t : room;
    arch::dispatch([&](auto tag) {
      gram_kernel<decltype(tag)>::add_tokens(x.data + t * x.stride, x.stride, n, x.cols, g.panel.data(), g.pending,
                                             {g.sum_abs.data(), g.max_abs.data()}, g.token_square);
    });
    for (std::size_t k = t; k < t + n; ++k) sequence_add(g.by_sequence, x.data + k * x.stride);
    t += n, g.tokens += n, g.pending += n;
    if (g.pending == gram_sums::panel_tokens) fold(g);
  }
  return {};
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
