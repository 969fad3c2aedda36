// nbit/kernel/dequantize.hpp — a packed matrix, or a piece of a row, back to floats.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_DEQUANTIZE_HPP
#define NBIT_KERNEL_DEQUANTIZE_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/past_caches.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/decode_words.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// Writes row r of the weights as floats (an embedding lookup).  Needs: out.size() == w.cols, r < w.rows.
template <class Arch, weight_matrix W>
inline void dequantize_row(Arch, const W& matrix, std::size_t r, std::span<float> out) noexcept {
  const weights_t<W> w = matrix;
  NBIT_EXPECTS(r < w.rows, "dequantize_row: r must be below the number of rows");
  NBIT_EXPECTS(out.size() == w.cols, "dequantize_row: out must have as many elements as the weights have columns");
  constexpr std::size_t chunk = detail::chunk_of<weights_t<W>>;
  for (std::size_t c = 0; c < w.cols; c += chunk)
    row_decoder<Arch, weights_t<W>>::floats(w, r, c, w.cols - c < chunk ? w.cols - c : chunk, out.data() + c);
}
template <weight_matrix W>
inline void dequantize_row(const W& matrix, std::size_t r, std::span<float> out) noexcept {
  arch::dispatch([&](auto tag) { dequantize_row(tag, matrix, r, out); });
}

namespace detail {
/// From this many floats on a matrix is written past the caches, which could not keep it.
inline constexpr std::size_t streamed_floats = std::size_t{1} << 23, streamed_piece = std::size_t{1} << 17;

/// Rows [first, first + count) for a reader that does not come soon.
template <class Arch, class W>
  requires(requires(const W& w, float* out) { row_decoder<Arch, W>::stream(w, 0, out); })
inline void dequantize_rows_streamed(const W& w, std::size_t first, std::size_t count,
                                     matrix_view<float> out) noexcept {
  std::size_t r = first;
  if constexpr (has_word_decoder<Arch, W>) r += word_decoder<Arch, W>::stream(w, first, count, out);
  for (; r < first + count; ++r) row_decoder<Arch, W>::stream(w, r, out.row(r).data());
  past_caches<Arch>::end();
}
}  // namespace detail

/// Writes all weights as floats.  Needs: out has the shape of w.  Cost: one pass; no allocation. Large matrices are
/// written past the caches (rows that begin on 16 bytes).
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void dequantize(Arch tag, const W& w, matrix_view<float> out, E&& ex = {}) noexcept {
  NBIT_EXPECTS(out.rows == w.rows && out.cols == w.cols, "dequantize: out must have the shape of the weights");
  using storing = arch::without_dots<Arch>;
  if constexpr (requires(const weights_t<W>& v) { detail::dequantize_rows_streamed<storing>(v, 0, 0, out); }) {
    constexpr std::size_t unit = past_caches<storing>::alignment;
    if (w.cols >= 64 && w.rows >= detail::streamed_floats / w.cols &&
        reinterpret_cast<std::uintptr_t>(out.data) % unit == 0 && out.stride * sizeof(float) % unit == 0) {
      const weights_t<W> view = w;
      // The end of a piece waits for memory; sixteen rows may share lines.
      const std::size_t piece = (detail::streamed_piece / w.cols / 16 + 1) * 16;
      ex((w.rows + piece - 1) / piece, [&](std::size_t i) {
        const std::size_t first = i * piece, count = w.rows - first < piece ? w.rows - first : piece;
        detail::dequantize_rows_streamed<storing>(view, first, count, out);
      });
      return;
    }
  }
  ex(w.rows, [&](std::size_t r) { dequantize_row(tag, w, r, out.row(r)); });
}
template <weight_matrix W, executor E = serial>
inline void dequantize(const W& w, matrix_view<float> out, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { dequantize(tag, w, out, ex); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
