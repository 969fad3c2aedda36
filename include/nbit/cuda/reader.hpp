// nbit/cuda/reader.hpp — decodes weights inside a kernel: any format, any layout.
//
// weight_reader<Weights> turns `unit` weights of one row into floats, with the very bits of the CPU's dequantize:
//   blocks with block_codes     8 weights, from the bytes that hold them
//   blocks of lattice points    16 weights, likewise
//   other blocks                a whole block (`own` is false: no reader of the format's own)
//   planar, any layout          8 weights; a code whose bits are neighbours in one word is one shift and mask
//   f32, f16, bf16 matrices     8 weights
// A product of scale and level is exact in float for formats with exact levels, so that it does not matter whether the
// compiler fuses it with the addition of an offset.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_READER_HPP
#define NBIT_CUDA_READER_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/concepts.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/cuda/block_codes.hpp>

namespace nbit::cuda {

/// unit: weights in one read; own: whether the format or layout has a way of its own.
/// read(w, r, c, out): weights c .. c + unit - 1 of row r (c a multiple of unit); what lies beyond the row is 0.
template <class Weights>
struct weight_reader;

namespace reader_detail {

/// Whether every code of a layout lies in one word, its bits in order: found by looking at all codes of a tile.
template <class Map, int Bits>
consteval bool codes_in_one_word() {
  constexpr shape s{2 * Map::tile_rows, 2 * Map::tile_cols};
  for (std::size_t r = 0; r < Map::tile_rows; ++r)
    for (std::size_t c = 0; c < Map::tile_cols; ++c) {
      const bit_place first = Map::at(s, r, c, 0);
      for (int b = 1; b < Bits; ++b) {
        const bit_place p = Map::at(s, r, c, b);
        if (p.word != first.word || p.bit != first.bit + b) return false;
      }
    }
  return true;
}

template <class L, int Bits>
NBIT_INLINE std::uint32_t code_at(const typename L::template map<Bits>::word* words, shape padded, std::size_t r,
                                  std::size_t c) {
  using map = typename L::template map<Bits>;
  if constexpr (codes_in_one_word<map, Bits>()) {
    const bit_place p = map::at(padded, r, c, 0);
    return static_cast<std::uint32_t>(words[p.word] >> p.bit) & ((1u << Bits) - 1u);
  } else {
    std::uint32_t code = 0;
    for (int b = 0; b < Bits; ++b) {
      const bit_place p = map::at(padded, r, c, b);
      code |= static_cast<std::uint32_t>(words[p.word] >> p.bit & 1u) << b;
    }
    return code;
  }
}

/// One block's weights, decoded by the format's own members.
template <class F>
NBIT_INLINE void whole_block(const std::byte* block, float* out) {
  constexpr int n = F::group, step = step_of<F>;
  const typename F::params p = F::load_params(block);
  code_t<F> codes[n / step];
  F::load_codes(block, codes);
  for (int i = 0; i < n; i += step) {
    if constexpr (step == 1)
      out[i] = F::value(codes[i], p, i);
    else
      F::value(static_cast<int>(codes[i / step]), p, i, std::span<float>(out + i, std::size_t(step)));
  }
}

}  // namespace reader_detail

template <class T>
struct weight_reader<matrix_view<const T>> {
  static constexpr int unit = 8;
  static constexpr bool own = true;
  NBIT_INLINE static void read(const matrix_view<const T>& w, std::size_t r, std::size_t c, float* out) {
    for (std::size_t k = 0; k < 8; ++k) out[k] = c + k < w.cols ? static_cast<float>(w(r, c + k)) : 0.0f;
  }
};

template <class F>
struct weight_reader<packed_view<F, blocks>> {
  static constexpr bool own = has_block_codes<F> || has_points<F>;
  static constexpr int unit = has_block_codes<F> ? 8 : has_points<F> ? 16 : F::group;
  NBIT_INLINE static void read(const packed_view<F, blocks>& w, std::size_t r, std::size_t c, float* out) {
    const std::byte* const block = w.block(r, c / std::size_t(F::group));
    const int i = static_cast<int>(c % std::size_t(F::group));
    if constexpr (has_block_codes<F>)
      read_codes(block, i, out);
    else if constexpr (has_points<F>)
      read_points(block, i, out);
    else
      reader_detail::whole_block<F>(block, out);
    for (std::size_t k = 0; k < std::size_t(unit); ++k)
      if (c + k >= w.cols) out[k] = 0.0f;
  }

 private:
  NBIT_INLINE static void read_codes(const std::byte* block, int i, float* out) {
    const int s = F::run > 0 ? i / F::run : 0;
    const std::uint64_t codes = block_codes<F>::eight(block, i);
    const float scale = block_codes<F>::scale(block, s), offset = block_codes<F>::offset(block, s);
    for (int k = 0; k < 8; ++k) {
      const float v = scale * static_cast<float>(F::level(static_cast<int>(codes >> (8 * k) & 255u)));
      out[k] = has_offset<F> ? v + offset : v;
    }
  }
  /// A sign bit negates a weight, or, where all points are shifted, the shift.
  NBIT_INLINE static void read_points(const std::byte* from, int i, float* out) {
    const auto* const block =
        static_cast<const std::byte*>(__builtin_assume_aligned(from, block_detail::kept_align<F::block_bytes>));
    const auto p = F::points16(block, F::block_scale(block), i / 16);
    for (int k = 0; k < 16; ++k) {
      const float level =
          static_cast<float>(static_cast<std::int8_t>((k < 8 ? p.low : p.high) >> (8 * (k % 8)) & 255u));
      const bool minus = (p.signs >> k & 1u) != 0;
      if constexpr (requires { F::shift; })
        out[k] = p.step * (level + (minus ? -F::shift : F::shift));
      else
        out[k] = minus ? -(p.step * level) : p.step * level;
    }
  }
};

template <class F, class L>
  requires(!std::is_same_v<L, blocks>)
struct weight_reader<packed_view<F, L>> {
  static constexpr int step = step_of<F>, unit = step > 8 ? step : 8;
  static constexpr bool own = reader_detail::codes_in_one_word<typename L::template map<F::bits>, F::bits>();
  NBIT_INLINE static void read(const packed_view<F, L>& w, std::size_t r, std::size_t c, float* out) {
    const shape padded = w.padded();
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t k = 0; k < std::size_t(unit); k += std::size_t(step)) {
      const std::size_t col = c + k;
      if (col >= w.cols) {
        for (int j = 0; j < step; ++j) out[k + std::size_t(j)] = 0.0f;
        continue;
      }
      const int code =
          static_cast<int>(reader_detail::code_at<L, F::bits>(w.words, padded, r, col / std::size_t(step)));
      if constexpr (step == 1) {
        const bool indexed = w.group_index != nullptr;
        const std::size_t g = indexed ? w.group_index[col] : col / length;
        out[k] = F::value(code, w.group_params(r, g), indexed ? 0 : static_cast<int>(col % length));
      } else {
        F::value(code, w.group_params(r, col / length), static_cast<int>(col % length),
                 std::span<float>(out + k, std::size_t(step)));
        for (std::size_t j = 0; j < std::size_t(step); ++j)
          if (col + j >= w.cols) out[k + j] = 0.0f;
      }
    }
  }
};

}  // namespace nbit::cuda

#endif
