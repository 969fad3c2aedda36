// nbit/cuda/fragment_gemm.hpp — the tensor-core kernel for weights in warp tiles: y = x W^T with 16-bit x.
//
// A lane's words are the second operand of its own multiplies, so weights go from memory to registers and are decoded
// there; only x passes through shared memory. A warp owns 16 Blocks tokens x 8 Panels outputs. The four warps of a
// block take different outputs, in pieces of 128 columns, or (Split) different columns of the same outputs, in pieces
// of 512, and are added in order at the end. The words of the next piece and its x are fetched while this one is
// multiplied.
//
//   many_tokens  Blocks 4, Panels 4          64 x 128 results of a block
//   few_tokens   Blocks 1, Panels 4, Split   16 x 32
//
// Step 2 u + h of the eight in 128 columns takes, as the columns 2t, 2t+1, 2t+8, 2t+9 of a fragment, columns 32 u + 8 t
// + 4 h + {0, 1, 2, 3} of x and of the weights: one load of 16 bytes of x serves two steps. Rows of x in shared memory
// are apart by 64 bytes more than a multiple of 128, so that eight lanes reach all banks once.
// A decoded weight is rounded to x's type once; sums are float, inside a step in the hardware's order. Error against
// exact sums of the rounded weights: cols 2^-23 sum |w x|.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_FRAGMENT_GEMM_HPP
#define NBIT_CUDA_FRAGMENT_GEMM_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/number.hpp>
#include <nbit/cuda/tile_reader.hpp>

namespace nbit::cuda {

/// T is f16 or bf16.  Needs: x.cols == w.cols, y is x.rows by w.rows; a grid of blocks_for(w) by blocks_y_for(x);
/// aligned16 only if x.data and the bytes of x.stride are multiples of 16.
template <class Weights, class T, int Blocks, int Panels, bool Split>
  requires(reads_tiles<weight_reader<Weights>>)
struct fragment_gemm_kernel {
  static_assert(std::is_same_v<T, f16> || std::is_same_v<T, bf16>, "fragment_gemm_kernel: activations are f16 or bf16");
  using reader = weight_reader<Weights>;
  using map = typename reader::map;
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr std::size_t tokens = 16 * std::size_t(Blocks),
                               outputs = (Split ? 1 : warps) * 8 * std::size_t(Panels);
  static constexpr std::size_t depth = reader::reach * (Split ? warps : 1), pitch = depth + 32, stages = 2;
  static constexpr std::size_t stage_bytes = tokens * pitch * sizeof(T), shared_bytes = stages * stage_bytes;

  Weights w;
  matrix_view<const T> x;
  matrix_view<float> y;
  bool aligned16;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) { return (s.rows + outputs - 1) / outputs; }
  NBIT_INLINE static constexpr std::size_t blocks_y_for(shape s) { return (s.rows + tokens - 1) / tokens; }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const std::size_t pieces = (w.cols + depth - 1) / depth;
    float sum[Blocks][Panels][4] = {};
    typename reader::lane_words next[Panels] = {};
    if (pieces != 0) fetch(self, 0, next);
    for (std::size_t p = 0; p < pieces; ++p) {
      typename reader::lane_words now[Panels];
      NBIT_UNROLL
      for (int j = 0; j < Panels; ++j) now[j] = next[j];
      if (p + 1 < pieces) {
        fetch(self, p + 1, next);
        self.template wait<1>();
      } else {
        self.template wait<0>();
      }
      self.sync();
      multiply(self, p, now, sum);
      self.sync();
    }
    if constexpr (Split) add_warps(self, sum);
    if (!Split || self.thread() < warp_size) store(self, sum);
  }

 private:
  template <class Context>
  NBIT_INLINE T* x_tile(Context& self, std::size_t p) const {
    return reinterpret_cast<T*>(self.shared() + p % stages * stage_bytes);
  }
  /// A warp's first output, and its first column in a piece.
  template <class Context>
  NBIT_INLINE static std::size_t first_output(Context& self) {
    return std::size_t{self.block()} * outputs + (Split ? 0 : self.thread() / warp_size * 8 * std::size_t(Panels));
  }
  template <class Context>
  NBIT_INLINE static std::size_t first_column(Context& self) {
    return Split ? self.thread() / warp_size * reader::reach : 0;
  }

  template <class Context>
  NBIT_HD void fetch(Context& self, std::size_t p, typename reader::lane_words (&words)[Panels]) const {
    const std::size_t c = p * depth, mine = c + first_column(self), first = first_output(self);
    NBIT_UNROLL
    for (int j = 0; j < Panels; ++j) {
      const std::size_t r = first + std::size_t(8 * j);
      if (r < w.rows && mine < w.cols)
        words[j] = reader::load(w.words + map::tile(w.padded(), r, mine), self.thread() % warp_size);
    }
    copy_tokens<fragment_gemm_kernel>(self, x, std::size_t{self.block_y()} * tokens, c, aligned16, x_tile(self, p));
    self.commit();
  }

  template <class Context>
  NBIT_HD void multiply(Context& self, std::size_t p, const typename reader::lane_words (&words)[Panels],
                        float (&sum)[Blocks][Panels][4]) const {
    const unsigned lane = self.thread() % warp_size, g = lane / 4, t = lane % 4;
    const std::size_t c = first_column(self) + 8 * t;
    const T* const xs = x_tile(self, p) + g * pitch + c;
    const std::size_t row = first_output(self) + g;
    NBIT_UNROLL
    for (int u = 0; u < reader::pieces; ++u) {
      std::uint32_t b[Panels][4];
      NBIT_UNROLL
      for (int j = 0; j < Panels; ++j) {
        float v[8];
        reader::decode(w, reader::piece_of(u, [&](int k) { return words[j].w[k]; }), row + std::size_t(8 * j),
                       p * depth + c + std::size_t(32 * u), v);
        NBIT_UNROLL
        for (int k = 0; k < 4; ++k) b[j][k] = pair_of<T>(v[2 * k], v[2 * k + 1]);
      }
      NBIT_UNROLL
      for (int i = 0; i < Blocks; ++i) {
        std::uint32_t upper[4], lower[4];
        load_words(xs + std::size_t(16 * i) * pitch + 32 * u, upper);
        load_words(xs + std::size_t(16 * i + 8) * pitch + 32 * u, lower);
        NBIT_UNROLL
        for (int h = 0; h < 2; ++h) {
          const std::uint32_t a[4] = {upper[2 * h], lower[2 * h], upper[2 * h + 1], lower[2 * h + 1]};
          NBIT_UNROLL
          for (int j = 0; j < Panels; ++j) {
            const std::uint32_t pair[2] = {b[j][2 * h], b[j][2 * h + 1]};
            self.multiply(sum[i][j], a, pair, T{0});
          }
        }
      }
    }
  }

  /// The sums of all warps to the first one.  Needs: nobody reads the tiles of x any more.
  template <class Context>
  NBIT_HD static void add_warps(Context& self, float (&sum)[Blocks][Panels][4]) {
    constexpr std::size_t own = std::size_t(Blocks) * std::size_t(Panels) * 4;
    static_assert(warps * own * warp_size * sizeof(float) <= shared_bytes);
    auto* const sums = reinterpret_cast<float*>(self.shared());
    const std::size_t lane = self.thread() % warp_size, warp = self.thread() / warp_size;
    for (std::size_t k = 0; k < own; ++k)
      sums[(warp * own + k) * warp_size + lane] = sum[k / 4 / std::size_t(Panels)][k / 4 % std::size_t(Panels)][k % 4];
    self.sync();
    if (warp != 0) return;
    for (std::size_t k = 0; k < own; ++k)
      for (std::size_t other = 1; other < warps; ++other)
        sum[k / 4 / std::size_t(Panels)][k / 4 % std::size_t(Panels)][k % 4] +=
            sums[(other * own + k) * warp_size + lane];
  }

  template <class Context>
  NBIT_HD void store(Context& self, const float (&sum)[Blocks][Panels][4]) const {
    const unsigned lane = self.thread() % warp_size, g = lane / 4, t = lane % 4;
    const std::size_t first_token = std::size_t{self.block_y()} * tokens + g, first = first_output(self) + 2 * t;
    NBIT_UNROLL
    for (int i = 0; i < Blocks; ++i) NBIT_UNROLL
    for (int j = 0; j < Panels; ++j)
      store_fragment(y, first_token + std::size_t(16 * i), first + std::size_t(8 * j), sum[i][j]);
  }
};

/// The two shapes of it, and the rows of activations up to which gemm takes the one for few.
inline constexpr std::size_t few_tokens = 16;
template <class Weights, class T>
using many_tokens_gemm = fragment_gemm_kernel<Weights, T, 4, 4, false>;
template <class Weights, class T>
using few_tokens_gemm = fragment_gemm_kernel<Weights, T, 1, 4, true>;

}  // namespace nbit::cuda

#endif
