// nbit/kernel/quantize.hpp — round to nearest: a float matrix to packed codes in any format and layout.
//
// The codes are the format's own: its reference encoder where it has one (ggml types give ggml's bytes), fit and code
// otherwise. importance is one weight per column (an importance matrix row), or empty.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_QUANTIZE_HPP
#define NBIT_KERNEL_QUANTIZE_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/prefetch.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/codebook.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/row_codes.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/encode.hpp>

namespace nbit {

/// What to do with rows that a format's blocks cannot hold.
enum class ragged_rows : std::uint8_t {
  refuse,  // errc::shape
  pad,     // the last block is filled with zero weights
};

/// Options of quantize.
struct quantize_options {
  std::span<const float> importance{};  // cols weights >= 0, or empty
  ragged_rows ragged = ragged_rows::refuse;
};

inline namespace NBIT_TAG {

/// row(w, importance, out, r, row, codes): encodes and packs row r; `row` is w's, padded to whole blocks. Specialise it
/// for one (Arch, Format, Layout) to replace the generic kernel; the codes must stay the same.
template <class Arch, class Format, class Layout>
struct quantize_kernel;

/// fit and codes16 of formats that only the range of a group decides, for instruction sets with vectors.
template <class Arch, class Format>
struct range_rounder;

namespace detail {
template <class F>
concept fast_uniform = is_uniform<F> && !(F::bits == 1 && F::symmetric);
template <class F>
concept fast_codebook = is_codebook<F> && (F::bits <= 4);
}  // namespace detail

/// row(w): whether no weight is NaN or infinite.
template <class Arch>
struct finite_check;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/quantize.inl>
#include <nbit/arch/stamp.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Refuses what no format can hold, but for weights that are not finite.
template <weight_format F>
inline result<void> check_quantize(std::size_t cols, const quantize_options& options) {
  if (!options.importance.empty() && options.importance.size() != cols)
    return make_error(errc::shape, "importance must have one weight for each column",
                      "as many as the matrix has columns")
        .with(static_cast<std::int64_t>(options.importance.size()));
  for (std::size_t c = 0; c < options.importance.size(); ++c)
    if (!is_finite(options.importance[c]) || options.importance[c] < 0.0f)
      return make_error(errc::not_finite, "importance is negative, NaN or infinite", "finite numbers, zero or more")
          .at(0, static_cast<std::int64_t>(c));
  if (!fits_format<F>(cols) && options.ragged == ragged_rows::refuse) return shape_error<F>(cols);
  return {};
}

/// The error for a row with a weight that is NaN or infinite.
inline error not_finite_error(matrix_view<const float> w, std::size_t row) {
  error e = all_finite(w.row_range(row, 1)).error();
  e.row = static_cast<std::int64_t>(row);
  return e;
}

/// Weights in a row when its last block is filled up.
template <weight_format F>
NBIT_INLINE constexpr std::size_t padded_cols(std::size_t cols) {
  if constexpr (block_format<F> && F::group > 0)
    return groups_per_row<F>(cols) * std::size_t(F::group);
  else
    return codes_per_row<F>(cols) * std::size_t(step_of<F>);
}

/// Gathers groups until there are enough to encode side by side.
template <class Arch, weight_format F>
struct group_queue {
  encode_batch batch{};

  /// memo: encoder_memo_bytes<F>().
  explicit group_queue(std::byte* memo) {
    if constexpr (has_neighbours<F>) {
      batch.memo = memo;
      static_cast<ggml_block::neighbour_memo<typename F::grid>*>(batch.memo)->clear();
    }
  }
  void add_row(std::span<const float> row, std::span<const float> importance, std::span<const float> unpadded,
               std::byte* to) {
    constexpr std::size_t group = std::size_t(F::group);
    const float mean_square = weighs_by_row<F> && !importance.empty() ? row_mean_square(unpadded) : 0.0f;
    for (std::size_t at = 0; at < row.size(); at += group, to += F::block_bytes) {
      for (std::size_t i = 0; i < group; i += 16) prefetch_ahead(row.data(), row.size() + at + i);  // the next row
      batch.x[batch.count] = row.data() + at;
      batch.importance[batch.count] = importance.empty() ? nullptr : importance.data() + at;
      batch.mean_square[batch.count] = mean_square;
      batch.to[batch.count] = to;
      if (++batch.count == encode_batch::width) flush();
    }
  }
  void flush() {
    if (batch.count == 0) return;
    for (std::size_t i = batch.count; i < encode_batch::width; ++i)
      batch.x[i] = batch.x[0], batch.importance[i] = batch.importance[0], batch.mean_square[i] = batch.mean_square[0];
    group_encoder<encoding_arch<Arch>, F>::encode(batch);
    batch.count = 0;
  }
};

}  // namespace detail

/// Scratch bytes that quantize_rows needs: one padded row, its importance, its codes, and what its encoder remembers.
template <weight_format F>
NBIT_INLINE constexpr std::size_t quantize_scratch_bytes(std::size_t cols) {
  const std::size_t padded = detail::padded_cols<F>(cols);
  return padded * 2 * sizeof(float) + codes_per_row<F>(padded) * sizeof(code_t<F>) + encoder_memo_bytes<F>();
}

/// Quantizes rows [first, first + count) into `out`, whose words must be zero; the form without allocation.
/// Needs: out has the shape of w, scratch of quantize_scratch_bytes<F>(w.cols), aligned to 4.  Errors: shape,
/// not_finite (rows before that one may be written). One group per tensor: fill out.params[0] first (F::fit over all
/// weights).
template <class Arch, weight_format F, class L>
inline result<void> quantize_rows(Arch, matrix_view<const float> w, packed_view<F, L, std::byte> out, std::size_t first,
                                  std::size_t count, std::span<std::byte> scratch,
                                  const quantize_options& options = {}) {
  const error misuse = make_error(errc::shape, "quantize_rows: shapes or scratch do not fit");
  NBIT_EXPECTS(out.rows == w.rows && out.cols == w.cols, "quantize_rows: out must have the shape of w", misuse);
  NBIT_EXPECTS(first <= w.rows && count <= w.rows - first, "quantize_rows: rows must lie inside w", misuse);
  NBIT_EXPECTS((scratch.size() >= quantize_scratch_bytes<F>(w.cols)), "quantize_rows: scratch is too small", misuse);
  if (auto checked = detail::check_quantize<F>(w.cols, options); !checked) return checked.error();
  const std::size_t padded = detail::padded_cols<F>(w.cols);
  float* const row = reinterpret_cast<float*>(scratch.data());
  float* const weight = row + padded;
  code_t<F>* const codes = reinterpret_cast<code_t<F>*>(weight + padded);
  for (std::size_t c = 0; c < padded; ++c) row[c] = 0.0f, weight[c] = 0.0f;
  for (std::size_t c = 0; c < options.importance.size(); ++c) weight[c] = options.importance[c];
  const std::span<const float> importance(weight, options.importance.empty() ? 0 : padded);
  const auto padded_row = [&](std::size_t r) {
    if (padded == w.cols) return std::span<const float>(w.row(r));
    for (std::size_t c = 0; c < w.cols; ++c) row[c] = w(r, c);
    return std::span<const float>(row, padded);
  };
  if constexpr (std::is_same_v<L, blocks> && has_group_encoder<Arch, F>) {
    detail::group_queue<Arch, F> queue(reinterpret_cast<std::byte*>(codes + codes_per_row<F>(padded)));
    for (std::size_t r = first; r < first + count; ++r) {
      if (!finite_check<Arch>::row(w.row(r))) return detail::not_finite_error(w, r);
      queue.add_row(padded_row(r), importance, w.row(r), out.block(r, 0));
      if (padded != w.cols) queue.flush();  // the next row takes this one's place
    }
    queue.flush();
  } else {
    for (std::size_t r = first; r < first + count; ++r) {
      if (!finite_check<Arch>::row(w.row(r))) return detail::not_finite_error(w, r);
      quantize_kernel<Arch, F, L>::row(padded_row(r), importance, out, r, codes);
    }
  }
  return {};
}

#if !defined(NBIT_NO_HEAP)

/// Quantizes a matrix by rounding to nearest.  Errors: shape (rows the format cannot hold), not_finite (names the row
/// and column), out_of_memory.  Cost: one pass; rows are split among the executor's threads, the codes do not depend on
/// it.
template <weight_format F, class L = default_layout<F>, class Arch, executor E = serial>
  requires(requires { Arch::level; })
inline result<packed_matrix<F, L>> quantize(Arch tag, matrix_view<const float> w, const quantize_options& options = {},
                                            E&& ex = {}) {
  if (auto checked = detail::check_quantize<F>(w.cols, options); !checked) return checked.error();
  auto packed = packed_matrix<F, L>::make(w.shape());
  if (!packed) return packed.error();
  const packed_span<F, L> out = packed->span();
  if constexpr (F::group == per_tensor) {
    if (auto finite = detail::all_finite(w); !finite) return finite.error();
    if (!w.empty()) {
      auto fitted = detail::fit_tensor<F>(w, options.importance);
      if (!fitted) return fitted.error();
      out.params[0] = *fitted;
    }
  }
  // Rows of one piece share words in layouts that put several rows into a word, so pieces are whole tiles of rows. What
  // an encoder remembers pays off over more of them.
  constexpr std::size_t piece = detail::has_neighbours<F> ? 256 : 64;
  const std::size_t pieces = (w.rows + piece - 1) / piece, bytes = quantize_scratch_bytes<F>(w.cols) / 64 * 64 + 64;
  auto scratch = buffer<std::byte>::make(pieces * bytes);
  if (!scratch) return scratch.error();
  ex(pieces, [&](std::size_t i) {
    const std::size_t first = i * piece, count = w.rows - first < piece ? w.rows - first : piece;
    const std::span<std::byte> own(scratch->data() + i * bytes, bytes);
    const auto done = quantize_rows(tag, w, out, first, count, own, options);
    // All else was checked above: a weight that is not finite. Its row is left where the piece's scratch was.
    const std::uint32_t failed = done ? 0 : static_cast<std::uint32_t>(done.error().row - std::int64_t(first)) + 1;
    std::memcpy(own.data(), &failed, sizeof failed);
  });
  for (std::size_t i = 0; i < pieces; ++i) {
    std::uint32_t failed = 0;
    std::memcpy(&failed, scratch->data() + i * bytes, sizeof failed);
    if (failed != 0) return detail::not_finite_error(w, i * piece + failed - 1);
  }
  return packed;
}
template <weight_format F, class L = default_layout<F>, executor E = serial>
inline result<packed_matrix<F, L>> quantize(matrix_view<const float> w, const quantize_options& options = {},
                                            E&& ex = {}) {
  return arch::dispatch([&](auto tag) { return quantize<F, L>(tag, w, options, ex); });
}

#endif  // NBIT_NO_HEAP

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
