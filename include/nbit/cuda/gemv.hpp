// nbit/cuda/gemv.hpp — the kernel for 1 to 8 rows of activations: y = x W^T, warps along the rows of weights.
//
// Weights read a row at a time: a warp takes a row, lane l its units l, l + 32, ...
// Weights in warp tiles (layout/warp_tiles.hpp): a block takes eight rows, its four warps the tiles of 128 columns in
// turn, four lanes a row; the words of the next tile are fetched while this one is multiplied.
// A lane multiplies its weights with every row of activations by fused multiply-add, in rising order; then lanes are
// added in pairs, the farthest apart first, then warps in order. The order depends on nothing else, so the bits are the
// same on every GPU and in the host's emulation.
// Error against exact sums of the decoded weights: (ceil(cols / 32) + 6) 2^-24 sum |w x|; in tiles 32 more.
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
#include <nbit/cuda/tile_reader.hpp>

namespace nbit::cuda {

/// Tokens rows of x at most; T is float, f16 or bf16.  Needs: x.cols == w.cols, y is x.rows by w.rows, a grid of
/// blocks_for(w); aligned16 only if x.data and the bytes of x.stride are multiples of 16.
template <class Weights, class T, int Tokens>
struct gemv_kernel {
  static_assert(Tokens >= 1 && Tokens <= 8, "gemv_kernel: 1 to 8 rows of activations; more are gemm's");
  using reader = weight_reader<Weights>;
  static constexpr bool tiles = reads_tiles<reader>;
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr unsigned lanes = tiles ? 4 : warp_size;           // that share a row
  static constexpr unsigned rows = tiles ? 8 : warps;                // of a block
  static constexpr std::size_t partial = tiles ? rows * Tokens : 0;  // sums of a warp
  static constexpr std::size_t shared_bytes = warps * partial * sizeof(float);

  Weights w;
  matrix_view<const T> x;
  matrix_view<float> y;
  bool aligned16;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) { return (s.rows + rows - 1) / rows; }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const unsigned lane = self.thread() % warp_size, warp = self.thread() / warp_size;
    const std::size_t r = std::size_t{self.block()} * rows + (tiles ? lane / lanes : warp);
    float sum[Tokens] = {};
    if constexpr (tiles)
      add_tiles(r, lane, warp, sum);
    else
      add_row(r, lane, sum);
    for (int t = 0; t < Tokens; ++t)
      for (int apart = int(lanes) / 2; apart != 0; apart /= 2) sum[t] += self.shuffle_xor(sum[t], apart);
    if constexpr (!tiles) {
      if (r >= w.rows || lane != 0) return;
      for (int t = 0; t < Tokens; ++t)
        if (std::size_t(t) < y.rows) y(std::size_t(t), r) = sum[t];
    } else {
      auto* const sums = reinterpret_cast<float*>(self.shared());
      if (lane % lanes == 0)
        for (int t = 0; t < Tokens; ++t) sums[warp * partial + std::size_t(t) * rows + lane / lanes] = sum[t];
      self.sync();
      const std::size_t i = self.thread(), t = i / rows, row = std::size_t{self.block()} * rows + i % rows;
      if (i >= partial || t >= y.rows || row >= w.rows) return;
      float total = sums[i];
      for (std::size_t k = 1; k < warps; ++k) total += sums[k * partial + i];
      y(t, row) = total;
    }
  }

 private:
  NBIT_INLINE void add_row(std::size_t r, unsigned lane, float (&sum)[Tokens]) const {
    constexpr std::size_t unit = std::size_t(reader::unit);
    if (r >= w.rows) return;
    for (std::size_t c = lane * unit; c < w.cols; c += warp_size * unit) {
      float v[unit];
      reader::read(w, r, c, v);
      add(v, c, sum);
    }
  }

  NBIT_INLINE void add_tiles(std::size_t r, unsigned lane, unsigned warp, float (&sum)[Tokens]) const
    requires(tiles)
  {
    constexpr std::size_t reach = reader::reach, words = reader::map::tile_words;
    const std::size_t count = (w.cols + reach - 1) / reach;
    if (warp >= count) return;
    const std::uint32_t* const panel = w.words + reader::map::tile(w.padded(), std::size_t{r / rows} * rows, 0);
    auto next = reader::load(panel + warp * words, lane);
    for (std::size_t i = warp; i < count; i += warps) {
      const auto now = next;
      if (i + warps < count) next = reader::load(panel + (i + warps) * words, lane);
      NBIT_UNROLL
      for (int u = 0; u < reader::pieces; ++u) {
        const std::size_t c = i * reach + std::size_t(u) * 32 + lane % lanes * 8;
        float v[8];
        reader::decode(w, reader::piece_of(u, [&](int k) { return now.w[k]; }), r, c, v);
        add(v, c, sum);
      }
    }
  }

  /// Adds the products of the weights v, which begin at column c, with each row of x.
  template <std::size_t N>
  NBIT_INLINE void add(const float (&v)[N], std::size_t c, float (&sum)[Tokens]) const {
    const bool whole = c + N <= w.cols;
    for (int t = 0; t < Tokens; ++t) {
      if (std::size_t(t) >= x.rows) break;
      const T* const from = x.data + std::size_t(t) * x.stride + c;
      if constexpr (N % 8 == 0) {
        if (whole && aligned16) {
          for (std::size_t k = 0; k < N; k += 8) {
            float eight[8];
            load_floats(from + k, eight);
            for (std::size_t j = 0; j < 8; ++j) sum[t] = nbit::fma(v[k + j], eight[j], sum[t]);
          }
          continue;
        }
      }
      for (std::size_t k = 0; k < N; ++k)
        if (whole || c + k < w.cols) sum[t] = nbit::fma(v[k], number<T>::to_float(from[k]), sum[t]);
    }
  }
};

}  // namespace nbit::cuda

#endif
