// nbit/cuda/gemv.hpp — the kernel for 1 to 8 rows of activations: y = x W^T, one warp for each row of weights.
//
// Lane l takes units l, l + 32, ... of the row and multiplies each with every row of activations by fused multiply-add,
// in rising order; then lanes are added in pairs 16, 8, 4, 2, 1 apart. The order depends on nothing else, so the bits
// are the same on every GPU and in the host's emulation.
// Error against exact sums of the decoded weights: (ceil(cols / 32) + 6) 2^-24 sum |w x|.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_GEMV_HPP
#define NBIT_CUDA_GEMV_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/number.hpp>
#include <nbit/cuda/reader.hpp>

namespace nbit::cuda {

/// Tokens rows of x at most; T is float, f16 or bf16.  Needs: x.cols == w.cols, y is x.rows by w.rows, a grid of
/// blocks_for(w).
template <class Weights, class T, int Tokens>
struct gemv_kernel {
  static_assert(Tokens >= 1 && Tokens <= 8, "gemv_kernel: 1 to 8 rows of activations; more are gemm's");
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr std::size_t shared_bytes = 0;
  using reader = weight_reader<Weights>;

  Weights w;
  matrix_view<const T> x;
  matrix_view<float> y;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) { return (s.rows + warps - 1) / warps; }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    constexpr std::size_t unit = std::size_t(reader::unit);
    const unsigned lane = self.thread() % warp_size;
    const std::size_t r = std::size_t{self.block()} * warps + self.thread() / warp_size;
    const bool mine = r < w.rows;  // every lane of a warp agrees
    float sum[Tokens] = {};
    for (std::size_t c = lane * unit; mine && c < w.cols; c += warp_size * unit) {
      float v[unit];
      reader::read(w, r, c, v);
      const bool whole = c + unit <= w.cols;
      for (int t = 0; t < Tokens; ++t) {
        if (std::size_t(t) >= x.rows) break;
        const T* const from = x.data + std::size_t(t) * x.stride + c;
        for (std::size_t k = 0; k < unit; ++k)
          if (whole || c + k < w.cols) sum[t] = nbit::fma(v[k], number<T>::to_float(from[k]), sum[t]);
      }
    }
    for (int t = 0; t < Tokens; ++t) {
      for (int apart = 16; apart != 0; apart /= 2) sum[t] += self.shuffle_xor(sum[t], apart);
      if (mine && lane == 0 && std::size_t(t) < y.rows) y(std::size_t(t), r) = sum[t];
    }
  }
};

}  // namespace nbit::cuda

#endif
