// nbit/cuda/gemm.hpp — the tensor-core kernel for many rows of activations: y = x W^T with 16-bit x.
//
// A block of four warps computes `tokens` x `outputs` results. Weights are decoded to the type of x while they are
// copied to shared memory, so the multiplier reads every format alike; the next piece of `depth` columns is fetched
// while this one is multiplied. A warp owns a quarter: tiles of 16 tokens x 8 outputs, columns in steps of 16.
//
//   depth 64:  64 x 64 results, two stages                depth 256 (formats read a block at a time): 32 x 32, one
//   stage
//
// A decoded weight is rounded to x's type once; sums are float, inside a step of 16 in the hardware's order. Error
// against exact sums of the rounded weights: cols 2^-23 sum |w x|.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_GEMM_HPP
#define NBIT_CUDA_GEMM_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/number.hpp>
#include <nbit/cuda/reader.hpp>

namespace nbit::cuda {

/// T is f16 or bf16.  Needs: x.cols == w.cols, y is x.rows by w.rows; a grid of blocks_for(w) by blocks_y_for(x);
/// aligned16 only if x.data and the bytes of x.stride are multiples of 16.
template <class Weights, class T>
struct gemm_kernel {
  static_assert(std::is_same_v<T, f16> || std::is_same_v<T, bf16>, "gemm_kernel: activations are f16 or bf16");
  using reader = weight_reader<Weights>;
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr std::size_t unit = std::size_t(reader::unit), depth = unit > 64 ? unit : 64;
  static_assert(depth % unit == 0 && depth <= 256, "gemm_kernel: a format's block is at most 256 weights");
  static constexpr std::size_t tokens = depth > 64 ? 32 : 64, outputs = tokens, stages = depth > 64 ? 1 : 2;
  static constexpr std::size_t pitch = depth + 8;  // spreads the rows over the banks of shared memory
  static constexpr std::size_t tile_bytes = tokens * pitch * sizeof(T), shared_bytes = 2 * stages * tile_bytes;
  static constexpr int down = int(tokens) / 2 / 16, across = int(outputs) / 2 / 8;  // tiles of a warp

  Weights w;
  matrix_view<const T> x;
  matrix_view<float> y;
  bool aligned16;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) { return (s.rows + outputs - 1) / outputs; }
  NBIT_INLINE static constexpr std::size_t blocks_y_for(shape s) { return (s.rows + tokens - 1) / tokens; }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const std::size_t pieces = (w.cols + depth - 1) / depth;
    float sum[down][across][4] = {};
    if (pieces != 0) fetch(self, 0);
    for (std::size_t p = 0; p < pieces; ++p) {
      if (stages > 1 && p + 1 < pieces) {
        fetch(self, p + 1);
        self.template wait<1>();
      } else {
        self.template wait<0>();
      }
      self.sync();
      multiply(self, p, sum);
      self.sync();
      if (stages == 1 && p + 1 < pieces) fetch(self, p + 1);
    }
    store(self, sum);
  }

 private:
  template <class Context>
  NBIT_INLINE T* x_tile(Context& self, std::size_t p) const {
    return reinterpret_cast<T*>(self.shared() + p % stages * 2 * tile_bytes);
  }
  template <class Context>
  NBIT_INLINE T* w_tile(Context& self, std::size_t p) const {
    return reinterpret_cast<T*>(self.shared() + (p % stages * 2 + 1) * tile_bytes);
  }

  template <class Context>
  NBIT_HD void fetch(Context& self, std::size_t p) const {
    const std::size_t c = p * depth;
    copy_tokens<gemm_kernel>(self, x, std::size_t{self.block_y()} * tokens, c, aligned16, x_tile(self, p));
    self.commit();
    T* const ws = w_tile(self, p);
    const std::size_t first_output = std::size_t{self.block()} * outputs;
    for (std::size_t i = self.thread(); i < outputs * (depth / unit); i += threads) {
      const std::size_t n = i / (depth / unit), k = i % (depth / unit) * unit, r = first_output + n;
      float v[unit] = {};
      if (r < w.rows && c + k < w.cols) reader::read(w, r, c + k, v);
      for (std::size_t j = 0; j < unit; j += 2) store_word(ws + n * pitch + k + j, pair_of<T>(v[j], v[j + 1]));
    }
  }

  template <class Context>
  NBIT_HD void multiply(Context& self, std::size_t p, float (&sum)[down][across][4]) const {
    const unsigned lane = self.thread() % warp_size, warp = self.thread() / warp_size, g = lane / 4, t = lane % 4;
    const T* const xs = x_tile(self, p) + (warp / 2 * (tokens / 2) + g) * pitch + 2 * t;
    const T* const ws = w_tile(self, p) + (warp % 2 * (outputs / 2) + g) * pitch + 2 * t;
    for (std::size_t k = 0; k < depth; k += 16) {
      std::uint32_t b[across][2];
      for (int j = 0; j < across; ++j) {
        b[j][0] = word_at(ws + std::size_t(8 * j) * pitch + k);
        b[j][1] = word_at(ws + std::size_t(8 * j) * pitch + k + 8);
      }
      for (int i = 0; i < down; ++i) {
        const T* const from = xs + std::size_t(16 * i) * pitch + k;
        const std::uint32_t a[4] = {word_at(from), word_at(from + 8 * pitch), word_at(from + 8),
                                    word_at(from + 8 * pitch + 8)};
        for (int j = 0; j < across; ++j) self.multiply(sum[i][j], a, b[j], T{0});
      }
    }
  }

  template <class Context>
  NBIT_HD void store(Context& self, const float (&sum)[down][across][4]) const {
    const unsigned lane = self.thread() % warp_size, warp = self.thread() / warp_size, g = lane / 4, t = lane % 4;
    const std::size_t first_token = std::size_t{self.block_y()} * tokens + warp / 2 * (tokens / 2) + g;
    const std::size_t first_output = std::size_t{self.block()} * outputs + warp % 2 * (outputs / 2) + 2 * t;
    for (int i = 0; i < down; ++i)
      for (int j = 0; j < across; ++j)
        store_fragment(y, first_token + std::size_t(16 * i), first_output + std::size_t(8 * j), sum[i][j]);
  }
};

}  // namespace nbit::cuda

#endif
