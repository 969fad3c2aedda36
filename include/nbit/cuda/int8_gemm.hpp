// nbit/cuda/int8_gemm.hpp — the int8 tensor-core kernel (W8A8): 8-bit symmetric weights, int8 activations.
//
// A block of four warps computes 64 x 64 results over pieces of 64 columns. Sums are exact integers inside a piece; at
// its end they are multiplied by (weight scale * activation scale) and added by one fused multiply-add each, pieces in
// rising order. A format with one scale per row and activations with one per row are multiplied once, at the end.
// Error against exact arithmetic on codes and scales: (ceil(cols / 64) + 2) 2^-24 sum |terms|.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_INT8_GEMM_HPP
#define NBIT_CUDA_INT8_GEMM_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/number.hpp>

namespace nbit::cuda {

/// F: 8 bits, symmetric, groups of a multiple of 64, per row or per tensor; the activations' groups likewise.
/// Needs: x.cols == w.cols, w.group_index == nullptr, y is x.rows by w.rows; a grid of blocks_for(w) by
/// blocks_y_for(x).
template <class F, int Group>
  requires(integer_format<F> && F::bits == 8 && !has_offset<F>)
struct int8_gemm_kernel {
  static_assert(F::group <= 0 || F::group % 64 == 0, "int8_gemm_kernel: the weights' groups must be multiples of 64");
  static_assert(Group <= 0 || Group % 64 == 0, "int8_gemm_kernel: the activations' groups must be multiples of 64");
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr std::size_t tokens = 64, outputs = 64, depth = 64, pitch = depth + 16;
  static constexpr std::size_t shared_bytes = 2 * tokens * pitch;
  static constexpr bool one_scale = F::group <= 0 && Group == per_row;
  static constexpr int down = 2, across = 4;

  packed_view<F, linear> w;
  int8_activations<Group> x;
  matrix_view<float> y;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) { return (s.rows + outputs - 1) / outputs; }
  NBIT_INLINE static constexpr std::size_t blocks_y_for(shape s) { return (s.rows + tokens - 1) / tokens; }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    float sum[down][across][4] = {};
    std::int32_t dot[down][across][4] = {};
    for (std::size_t c = 0; c < w.cols; c += depth) {
      fetch(self, c);
      self.sync();
      multiply(self, dot);
      self.sync();
      if (!one_scale || c + depth >= w.cols) scale(self, c, dot, sum);
    }
    each(self, [&](int i, int j, int e, std::size_t token, std::size_t output) {
      if (token < y.rows && output < y.cols) y(token, output) = sum[i][j][e];
    });
  }

 private:
  /// Calls f(i, j, e, token, output) for each result of this thread.
  template <class Context, class Function>
  NBIT_INLINE static void each(Context& self, Function f) {
    const unsigned lane = self.thread() % warp_size, warp = self.thread() / warp_size, g = lane / 4, t = lane % 4;
    const std::size_t first_token = std::size_t{self.block_y()} * tokens + warp / 2 * 32 + g;
    const std::size_t first_output = std::size_t{self.block()} * outputs + warp % 2 * 32 + 2 * t;
    for (int i = 0; i < down; ++i)
      for (int j = 0; j < across; ++j)
        for (int e = 0; e < 4; ++e)
          f(i, j, e, first_token + std::size_t(16 * i + 8 * (e / 2)), first_output + std::size_t(8 * j + e % 2));
  }

  template <class Context>
  NBIT_HD void fetch(Context& self, std::size_t c) const {
    auto* const xs = reinterpret_cast<std::int8_t*>(self.shared());
    std::int8_t* const ws = xs + tokens * pitch;
    const std::size_t padded = (w.cols + 7) / 8 * 8;
    for (std::size_t i = self.thread(); i < 64 * depth; i += threads) {
      const std::size_t row = i / depth, k = i % depth;
      const std::size_t token = std::size_t{self.block_y()} * tokens + row;
      const std::size_t output = std::size_t{self.block()} * outputs + row;
      const bool inside = c + k < w.cols;
      xs[row * pitch + k] = inside && token < x.rows ? x.row_codes(token)[c + k] : std::int8_t{0};
      ws[row * pitch + k] = inside && output < w.rows
                                ? static_cast<std::int8_t>(F::level(w.words[output * padded + c + k]))
                                : std::int8_t{0};
    }
  }

  template <class Context>
  NBIT_HD void multiply(Context& self, std::int32_t (&dot)[down][across][4]) const {
    const unsigned lane = self.thread() % warp_size, warp = self.thread() / warp_size, g = lane / 4, t = lane % 4;
    const std::byte* const xs = self.shared() + (warp / 2 * 32 + g) * pitch + 4 * t;
    const std::byte* const ws = self.shared() + tokens * pitch + (warp % 2 * 32 + g) * pitch + 4 * t;
    for (std::size_t k = 0; k < depth; k += 32) {
      std::uint32_t b[across][2];
      for (int j = 0; j < across; ++j) {
        b[j][0] = word_at(ws + std::size_t(8 * j) * pitch + k);
        b[j][1] = word_at(ws + std::size_t(8 * j) * pitch + k + 16);
      }
      for (int i = 0; i < down; ++i) {
        const std::byte* const from = xs + std::size_t(16 * i) * pitch + k;
        const std::uint32_t a[4] = {word_at(from), word_at(from + 8 * pitch), word_at(from + 16),
                                    word_at(from + 8 * pitch + 16)};
        for (int j = 0; j < across; ++j) self.multiply(dot[i][j], a, b[j]);
      }
    }
  }

  /// Moves the integers of the piece at column c into the float sums.
  template <class Context>
  NBIT_HD void scale(Context& self, std::size_t c, std::int32_t (&dot)[down][across][4],
                     float (&sum)[down][across][4]) const {
    const std::size_t length = group_length<F>(w.cols);
    each(self, [&](int i, int j, int e, std::size_t token, std::size_t output) {
      if (token >= x.rows || output >= w.rows) return;
      const float s = product(F::scale(w.group_params(output, c / length), 0), x.scale16(token, c / 16));
      sum[i][j][e] = nbit::fma(static_cast<float>(dot[i][j][e]), s, sum[i][j][e]);
      dot[i][j][e] = 0;
    });
  }
};

}  // namespace nbit::cuda

#endif
