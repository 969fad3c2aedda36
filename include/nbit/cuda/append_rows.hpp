// nbit/cuda/append_rows.hpp — the kernel that quantizes new rows of a KV cache: the bytes of the CPU's append_row.
//
// A warp encodes one block of 32 numbers, a lane each. The scale comes from the number of largest magnitude, the first
// of equals. NaN becomes the code of 0 and infinity makes the block's scale infinite: a kernel cannot refuse them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_APPEND_ROWS_HPP
#define NBIT_CUDA_APPEND_ROWS_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/number.hpp>

namespace nbit::cuda {

/// How a warp encodes a block of F. divisor: the scale is the largest number over it; code(v), v the number over the
/// scale; pack puts the codes of all lanes into the block's bytes.
template <class F>
struct warp_encoder;

template <>
struct warp_encoder<q8_0> {
  static constexpr bool signed_scale = false;
  static constexpr float divisor = 127.0f;
  NBIT_INLINE static int code(float v) { return ggml_block::rounded_away(v); }
  template <class Context>
  NBIT_INLINE static void pack(Context&, unsigned lane, int code, std::byte* codes) {
    codes[lane] = static_cast<std::byte>(code & 255);
  }
};

template <>
struct warp_encoder<q4_0> {
  static constexpr bool signed_scale = true;
  static constexpr float divisor = -8.0f;
  NBIT_INLINE static int code(float v) {
    const int c = ggml_block::truncated(v + 8.5f);
    return c < 16 ? c : 15;
  }
  template <class Context>
  NBIT_INLINE static void pack(Context& self, unsigned lane, int code, std::byte* codes) {
    const int other = self.shuffle_xor(code, 16);
    if (lane < 16) codes[lane] = static_cast<std::byte>((code & 15) | (other & 15) << 4);
  }
};

/// A format that caches are appended in.
template <class F>
concept appendable = requires { warp_encoder<F>::divisor; };

/// x: new rows, T is float, f16 or bf16.  Needs: x.cols == cache.cols, position + x.rows <= cache.rows; a grid of
/// blocks_for(x).
template <appendable F, class T>
struct append_rows_kernel {
  static_assert(F::group == int(warp_size));
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr std::size_t shared_bytes = 0;
  using encoder = warp_encoder<F>;

  matrix_view<const T> x;
  packed_span<F, blocks> cache;
  std::size_t position;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) {
    return (s.rows * groups_per_row<F>(s.cols) + warps - 1) / warps;
  }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const std::size_t per_row = groups_per_row<F>(x.cols);
    const std::size_t i = std::size_t{self.block()} * warps + self.thread() / warp_size;
    if (i >= x.rows * per_row) return;  // a whole warp
    const unsigned lane = self.thread() % warp_size;
    const std::size_t r = i / per_row, g = i % per_row, c = g * warp_size + lane;
    const float v = c < x.cols ? number<T>::to_float(x(r, c)) : 0.0f;

    float largest = nbit::abs(v) > 0.0f ? v : 0.0f;  // NaN counts as nothing
    unsigned first = lane;
    for (int apart = 1; apart < int(warp_size); apart *= 2) {
      const float other = self.shuffle_xor(largest, apart);
      const unsigned from = self.shuffle_xor(first, apart);
      const float a = nbit::abs(largest), b = nbit::abs(other);
      if (b > a || (b == a && from < first)) largest = other, first = from;
    }
    const float d = (encoder::signed_scale ? largest : nbit::abs(largest)) / encoder::divisor;
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    std::byte* const block = cache.block(position + r, g);
    if (lane == 0) store_f16(block, f16::from(d));
    encoder::pack(self, lane, encoder::code(product(v, inverse)), block + 2);
  }
};

}  // namespace nbit::cuda

#endif
