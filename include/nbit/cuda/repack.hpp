// nbit/cuda/repack.hpp — the kernel that brings codes of any planar layout into warp tiles; parameters stay as they
// are.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_REPACK_HPP
#define NBIT_CUDA_REPACK_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/reader.hpp>
#include <nbit/cuda/tile_reader.hpp>

namespace nbit::cuda {

/// A thread gathers the words of one lane of a tile.  Needs: from and to have one shape and do not overlap; a grid of
/// blocks_for(from).
template <class F, class L>
  requires(!std::is_same_v<L, blocks> && step_of<F> == 1)
struct repack_kernel {
  static constexpr unsigned threads = 256;
  static constexpr std::size_t shared_bytes = 0;
  using tiles = weight_reader<packed_view<F, warp_tiles>>;

  packed_view<F, L> from;
  packed_span<F, warp_tiles> to;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) {
    const shape p = padded_shape<warp_tiles, F::bits>(s);
    const std::size_t lanes = p.rows * p.cols / warp_size, params = params_count<F>(s.rows, s.cols);
    return ((lanes > params ? lanes : params) + threads - 1) / threads;
  }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const std::size_t i = std::size_t{self.block()} * threads + self.thread();
    if (i < params_count<F>(from.rows, from.cols)) to.params[i] = from.params[i];
    const shape padded = to.padded(), source = from.padded();
    const std::size_t tile = i / warp_size, lane = i % warp_size, per_panel = padded.cols / tiles::reach;
    if (tile >= padded.rows / 8 * per_panel) return;
    const std::size_t r = tile / per_panel * 8 + lane / 4, c = tile % per_panel * tiles::reach + lane % 4 * 8;
    typename tiles::lane_words v = {};
    NBIT_UNROLL
    for (int u = 0; u < tiles::pieces; ++u) NBIT_UNROLL
    for (int k = 0; k < 8; ++k) {
      const std::size_t col = c + static_cast<std::size_t>(32 * u + k);
      if (r < from.rows && col < from.cols)
        tiles::put(v, u, k, reader_detail::code_at<L, F::bits>(from.words, source, r, col));
    }
    std::uint32_t* const first = to.words + tile * tiles::map::tile_words;
    NBIT_UNROLL
    for (int k = 0; k < tiles::bits; ++k) first[tiles::place_of(k, lane)] = v.w[k];
  }
};

}  // namespace nbit::cuda

#endif
