// nbit/cuda/dequantize.hpp — the kernel that writes weights out as floats: the bits of the CPU's dequantize.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_DEQUANTIZE_HPP
#define NBIT_CUDA_DEQUANTIZE_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/number.hpp>
#include <nbit/cuda/reader.hpp>

namespace nbit::cuda {

/// A thread writes one unit of a row; T is float, f16 or bf16.  Needs: out has the shape of w; a grid of blocks_for(w).
template <class Weights, class T>
struct dequantize_kernel {
  static constexpr unsigned threads = 256;
  static constexpr std::size_t shared_bytes = 0;
  using reader = weight_reader<Weights>;

  Weights w;
  matrix_view<T> out;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) {
    const std::size_t units = s.rows * ((s.cols + std::size_t(reader::unit) - 1) / std::size_t(reader::unit));
    return (units + threads - 1) / threads;
  }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const std::size_t per_row = (w.cols + std::size_t(reader::unit) - 1) / std::size_t(reader::unit);
    const std::size_t i = std::size_t{self.block()} * threads + self.thread();
    if (i >= per_row * w.rows) return;
    const std::size_t r = i / per_row, c = i % per_row * std::size_t(reader::unit);
    float v[reader::unit];
    reader::read(w, r, c, v);
    for (std::size_t k = 0; k < std::size_t(reader::unit); ++k)
      if (c + k < w.cols) out(r, c + k) = number<T>::from(v[k]);
  }
};

}  // namespace nbit::cuda

#endif
