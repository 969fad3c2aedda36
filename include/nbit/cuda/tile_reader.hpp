// nbit/cuda/tile_reader.hpp — decodes weights in warp tiles: a lane's words in loads of 16 bytes, then 8 columns each.
//
// Beyond what every weight_reader has (read: eight weights), for kernels whose warps take whole tiles:
//   rows, pieces         a warp's lanes hold 8 rows; a lane 4 pieces of 8 columns, 32 columns apart
//   load(tile, lane)     the words of a lane; a tile begins at words + map::tile(...)
//   decode(...)          the weights of one piece, with the bits of the CPU's dequantize
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_TILE_READER_HPP
#define NBIT_CUDA_TILE_READER_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/cuda/number.hpp>
#include <nbit/cuda/reader.hpp>

namespace nbit::cuda {

/// Whether a reader's weights lie in tiles that a warp loads as a whole.
template <class Reader>
concept reads_tiles = requires { Reader::pieces; };

template <class F>
  requires(step_of<F> == 1 && F::bits <= 8)
struct weight_reader<packed_view<F, warp_tiles>> {
  using weights = packed_view<F, warp_tiles>;
  using map = typename weights::map;
  static constexpr int bits = F::bits, unit = 8, rows = 8, pieces = 4;
  static constexpr std::size_t reach = 128;
  static constexpr bool own = true;

  /// All words of a lane, planes in order.
  struct lane_words {
    std::uint32_t w[bits];
  };
  /// The parts of the planes that hold eight codes: bytes in two words, or a nibble, two bits and a bit of each.
  struct piece {
    std::uint32_t bytes[2], nibbles, twos, ones;
  };

  /// Where word k of a lane's bits lies in a tile.
  NBIT_INLINE static std::size_t place_of(int k, std::size_t lane) {
    const int first = bits == 8 ? k / 4 * 4 : k < (bits & 4) ? 0 : k < (bits & 6) ? bits & 4 : bits & 6;
    const int together = bits == 8 || k < (bits & 4) ? 4 : k < (bits & 6) ? 2 : 1;
    return static_cast<std::size_t>(32 * first + k - first) + lane * static_cast<std::size_t>(together);
  }

  NBIT_INLINE static lane_words load(const std::uint32_t* tile, std::size_t lane) {
    lane_words v;
    if constexpr (bits == 8) {
      stream_words<4>(tile + place_of(0, lane), v.w);
      stream_words<4>(tile + place_of(4, lane), v.w + 4);
    } else {
      if constexpr ((bits & 4) != 0) stream_words<4>(tile + place_of(0, lane), v.w);
      if constexpr ((bits & 2) != 0) stream_words<2>(tile + place_of(bits & 4, lane), v.w + (bits & 4));
      if constexpr ((bits & 1) != 0) stream_words<1>(tile + place_of(bits & 6, lane), v.w + (bits & 6));
    }
    return v;
  }

  /// Piece u of a lane; word(i) is word i of the lane's bits.
  template <class Word>
  NBIT_INLINE static piece piece_of(int u, Word word) {
    piece p = {};
    if constexpr (bits == 8) {
      p.bytes[0] = word(2 * u), p.bytes[1] = word(2 * u + 1);
    } else {
      if constexpr ((bits & 4) != 0) p.nibbles = word(u);
      if constexpr ((bits & 2) != 0) p.twos = word((bits & 4) + u / 2) >> (8 * (u % 2));
      if constexpr ((bits & 1) != 0) p.ones = word(bits & 6) >> (4 * u);
    }
    return p;
  }

  NBIT_INLINE static int code(const piece& p, int i) {
    const int half = 16 * (i % 2), k = i / 2;
    if constexpr (bits == 8) return static_cast<int>(p.bytes[i / 4] >> (8 * (k % 2) + half) & 255u);
    std::uint32_t v = 0;
    if constexpr ((bits & 4) != 0) v = p.nibbles >> (4 * k + half) & 15u;
    if constexpr ((bits & 2) != 0) v |= (p.twos >> (2 * k + half) & 3u) << (bits & 4);
    if constexpr ((bits & 1) != 0) v |= (p.ones >> (k + half) & 1u) << (bits & 6);
    return static_cast<int>(v);
  }

  /// Puts code i of piece u into a lane's words, which are zero there.
  NBIT_INLINE static void put(lane_words& v, int u, int i, std::uint32_t c) {
    const int half = 16 * (i % 2), k = i / 2;
    if constexpr (bits == 8) {
      v.w[2 * u + i / 4] |= c << (8 * (k % 2) + half);
    } else {
      if constexpr ((bits & 4) != 0) v.w[u] |= (c & 15u) << (4 * k + half);
      if constexpr ((bits & 2) != 0) v.w[(bits & 4) + u / 2] |= (c >> (bits & 4) & 3u) << (8 * (u % 2) + 2 * k + half);
      if constexpr ((bits & 1) != 0) v.w[bits & 6] |= (c >> (bits & 6) & 1u) << (4 * u + k + half);
    }
  }

  /// The weights at columns c .. c + 7 of row r, whose codes p holds; what lies beyond the matrix is 0.
  NBIT_INLINE static void decode(const weights& w, const piece& p, std::size_t r, std::size_t c, float* out) {
    const bool indexed = w.group_index != nullptr;
    const std::size_t length = group_length<F>(w.cols);
    constexpr bool one_group = F::group <= 0 || F::group % 8 == 0;
    if (one_group && !indexed && r < w.rows && c + 8 <= w.cols) {
      const auto params = w.group_params(r, c / length);
      NBIT_UNROLL
      for (int k = 0; k < 8; ++k) out[k] = F::value(code(p, k), params, static_cast<int>(c % length) + k);
      return;
    }
    NBIT_UNROLL
    for (int k = 0; k < 8; ++k) {
      const std::size_t col = c + std::size_t(k);
      out[k] = 0.0f;
      if (r >= w.rows || col >= w.cols) continue;
      const std::size_t g = indexed ? w.group_index[col] : col / length;
      out[k] = F::value(code(p, k), w.group_params(r, g), indexed ? 0 : static_cast<int>(col % length));
    }
  }

  NBIT_INLINE static void read(const weights& w, std::size_t r, std::size_t c, float* out) {
    const std::uint32_t* const tile = w.words + map::tile(w.padded(), r, c);
    const std::size_t lane = r % 8 * 4 + c % 32 / 8;
    const auto word = [=](int k) { return tile[place_of(k, lane)]; };
    decode(w, piece_of(static_cast<int>(c % reach / 32), word), r, c, out);
  }
};

}  // namespace nbit::cuda

#endif
