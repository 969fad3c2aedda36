// nbit/cuda/gptq_block.hpp — the kernel that rounds 128 columns of every row with the feedback of the errors before
// them.
//
// What solver/gptq_columns.hpp does inside a block: with H = (S + I) D (S + I)^T, column c is rounded to
//   t_c = w_c + sum over i < c of e_i S_ic,   e_i = w_i - (what code i means).
// The sum over columns before the block is one matrix product (adapters/cublas_gptq.hpp); here a warp takes a row, lane
// l the columns l, l + 32, l + 64 and l + 96. Every lane rounds the column whose turn it is, so that only its target
// travels; products and sums are rounded apart, i rising, as on the CPU. A tie is a target so near to another code that
// an other order of additions may give that one: within 2^-17 of the larger of target and weight, which is where sums
// of up to 16384 products differ.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_GPTQ_BLOCK_HPP
#define NBIT_CUDA_GPTQ_BLOCK_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/number.hpp>

namespace nbit::cuda {

/// Rounds columns [first, first + targets.cols) of w; F::code and F::value run on the device.
/// Needs: targets and errors as below, targets.cols <= width and within w; a grid of blocks_for(w).
template <grid_format F>
struct gptq_block_kernel {
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr std::size_t shared_bytes = 0, width = 128;
  static constexpr int each = int(width) / int(warp_size);  // columns of a lane

  matrix_view<const float> w;
  matrix_view<const float> targets;  // the block's columns of w and what columns before it add
  matrix_view<const float> s;        // S, cols x cols; only what lies above the diagonal is read
  matrix_view<float> errors;         // rows x cols: e
  matrix_view<code_t<F>> codes;      // rows x cols
  const typename F::params* params;  // row by row
  std::size_t first;
  std::uint32_t* ties;  // a row's count goes up by the ties met; nullptr: nobody counts

  NBIT_INLINE static constexpr std::size_t blocks_for(shape m) { return (m.rows + warps - 1) / warps; }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const unsigned lane = self.thread() % warp_size;
    const std::size_t r = std::size_t{self.block()} * warps + self.thread() / warp_size;
    if (r >= w.rows) return;  // a whole warp
    const std::size_t length = group_length<F>(w.cols), n = targets.cols;
    std::uint32_t met = 0;
    float t[each];
    NBIT_UNROLL
    for (int j = 0; j < each; ++j) t[j] = place(j, lane) < n ? targets(r, place(j, lane)) : 0.0f;
    NBIT_UNROLL
    for (int j = 0; j < each; ++j)
      for (unsigned turn = 0; turn < warp_size && place(j, turn) < n; ++turn) {
        const std::size_t k = place(j, turn), column = first + k, g = column / length;
        const float target = self.shuffle(t[j], turn), weight = w(r, column);
        const typename F::params& p = params[F::group == per_tensor ? 0 : r * groups_per_row<F>(w.cols) + g];
        const int at = static_cast<int>(column - g * length);
        const int code = static_cast<int>(F::code(is_finite(target) ? target : weight, p, at));
        if (ties != nullptr && is_finite(target)) met += is_tie(target, weight, p, at);
        float error = weight - F::value(code, p, at);
        error = is_finite(error) ? error : 0.0f;
        if (lane == turn) codes(r, column) = static_cast<code_t<F>>(code), errors(r, column) = error;
        NBIT_UNROLL
        for (int i = 0; i < each; ++i)
          if (place(i, lane) > k && place(i, lane) < n) t[i] += product(s(column, first + place(i, lane)), error);
      }
    if (lane == 0 && met != 0) ties[r] += met;
  }

 private:
  NBIT_INLINE static bool is_tie(float target, float weight, const typename F::params& p, int at) {
    const float a = target < 0 ? -target : target, b = weight < 0 ? -weight : weight;
    const float slack = (a > b ? a : b) * 0x1p-17f;
    return F::code(target - slack, p, at) != F::code(target + slack, p, at);
  }
  NBIT_INLINE static std::size_t place(int j, unsigned lane) { return std::size_t(j) * warp_size + lane; }
};

}  // namespace nbit::cuda

#endif
