// nbit/kernel/dequantize_tile.hpp — a rectangle of a packed matrix as floats.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_DEQUANTIZE_TILE_HPP
#define NBIT_KERNEL_DEQUANTIZE_TILE_HPP

#include <cstddef>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// Writes rows [row, row + out.rows), columns [col, col + out.cols) of the weights as floats: dequantize's numbers.
/// Needs: the rectangle lies inside the weights.  Cost: whole chunks of columns (256) are decoded; no allocation.
template <class Arch, weight_matrix W>
  requires(requires { Arch::level; })
inline void dequantize_tile(Arch, const W& matrix, std::size_t row, std::size_t col, matrix_view<float> out) noexcept {
  using weights = weights_t<W>;
  const weights w = matrix;
  NBIT_EXPECTS(row <= w.rows && out.rows <= w.rows - row, "dequantize_tile: the rows must lie inside the weights");
  NBIT_EXPECTS(col <= w.cols && out.cols <= w.cols - col, "dequantize_tile: the columns must lie inside the weights");
  constexpr std::size_t chunk = detail::chunk_of<weights>;
  const std::size_t end = col + out.cols;
  for (std::size_t r = 0; r < out.rows && out.cols != 0; ++r)
    for (std::size_t c = col / chunk * chunk; c < end; c += chunk) {
      const std::size_t from = c < col ? col : c, whole = w.cols - c < chunk ? w.cols - c : chunk,
                        to = c + whole < end ? c + whole : end;
      float* const place = &out(r, from - col);
      if (from == c) {
        row_decoder<Arch, weights>::floats(w, row + r, c, to - c, place);
      } else {  // the decoder starts at chunks
        alignas(64) float decoded[chunk];
        row_decoder<Arch, weights>::floats(w, row + r, c, to - c, decoded);
        std::memcpy(place, decoded + (from - c), (to - from) * sizeof(float));
      }
    }
}
template <weight_matrix W>
inline void dequantize_tile(const W& w, std::size_t row, std::size_t col, matrix_view<float> out) noexcept {
  arch::dispatch([&](auto tag) { dequantize_tile(tag, w, row, col, out); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
