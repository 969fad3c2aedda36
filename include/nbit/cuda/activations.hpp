// nbit/cuda/activations.hpp — kernels that quantize activations: to int8 with the CPU's bits, and to fp8 (e4m3).
//
// One warp for each group of a row. int8: code = round(127 x / absmax), scale = absmax / 127, as
// kernel/activations.hpp. fp8: code = e4m3(448 x / absmax), scale = absmax / 448, one scale for each row; NaN stays
// NaN.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_ACTIVATIONS_HPP
#define NBIT_CUDA_ACTIVATIONS_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/cuda/context.hpp>
#include <nbit/cuda/number.hpp>

namespace nbit::cuda {

namespace activation_detail {
inline constexpr float largest = 0x1.fffffep127f;

/// The largest magnitude of columns [first, end) of a row, known to every lane; NaN counts as nothing.
template <class T, class Context>
NBIT_HD float warp_absmax(Context& self, const T* row, std::size_t first, std::size_t end) {
  float top = 0.0f;
  for (std::size_t c = first + self.thread() % warp_size; c < end; c += warp_size) {
    const float a = nbit::abs(number<T>::to_float(row[c]));
    top = a > top ? a : top;
  }
  for (int apart = 16; apart != 0; apart /= 2) {
    const float other = self.shuffle_xor(top, apart);
    top = other > top ? other : top;
  }
  return top > largest ? largest : top;
}
}  // namespace activation_detail

/// A warp quantizes one group.  Needs: out views device memory of x's shape; a grid of blocks_for(x).
template <class T, int Group>
struct quantize_int8_kernel {
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr std::size_t shared_bytes = 0;

  matrix_view<const T> x;
  int8_activations<Group> out;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) {
    return (s.rows * int8_activations<Group>::groups_for(s.cols) + warps - 1) / warps;
  }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const std::size_t groups = out.groups_for(x.cols), stride = out.stride();
    const std::size_t i = std::size_t{self.block()} * warps + self.thread() / warp_size;
    if (i >= x.rows * groups) return;  // a whole warp
    const std::size_t r = i / groups, g = i % groups, length = Group == per_row ? stride : std::size_t(Group);
    const std::size_t first = g * length, bound = first + length < stride ? first + length : stride;
    const std::size_t end = bound < x.cols ? bound : x.cols;
    const T* const row = x.data + r * x.stride;
    const unsigned lane = self.thread() % warp_size;
    const float top = activation_detail::warp_absmax(self, row, first, end), inverse = 127.0f / top;
    const bool live = is_finite(inverse);
    if (lane == 0) out.row_scales(r)[g] = live ? top / 127.0f : 0.0f;
    std::int8_t* const codes = out.row_codes(r);
    // a lane takes whole runs of 16, so that it knows their sum
    for (std::size_t b = first / 16 + lane; b < bound / 16; b += warp_size) {
      int sum = 0;
      for (std::size_t c = 16 * b; c < 16 * b + 16; ++c) {
        int code = 0;
        if (live && c < end) {
          const float scaled = product(number<T>::to_float(row[c]), inverse);
          code = scaled == scaled ? round_clamped(scaled, -127, 127) : 0;
        }
        codes[c] = static_cast<std::int8_t>(code);
        sum += code;
      }
      out.row_sums(r)[b] = static_cast<std::int16_t>(sum);
    }
  }
};

/// A warp quantizes one row to e4m3 and writes its scale.  Needs: codes has x's shape, x.rows scales; a grid of
/// blocks_for(x).
template <class T>
struct quantize_fp8_kernel {
  static constexpr unsigned warps = 4, threads = warps * warp_size;
  static constexpr std::size_t shared_bytes = 0;

  matrix_view<const T> x;
  matrix_view<f8_e4m3> codes;
  float* scales;

  NBIT_INLINE static constexpr std::size_t blocks_for(shape s) { return (s.rows + warps - 1) / warps; }

  template <class Context>
  NBIT_HD void operator()(Context& self) const {
    const std::size_t r = std::size_t{self.block()} * warps + self.thread() / warp_size;
    if (r >= x.rows) return;
    const T* const row = x.data + r * x.stride;
    const unsigned lane = self.thread() % warp_size;
    const float top = activation_detail::warp_absmax(self, row, 0, x.cols), inverse = f8_e4m3::max / top;
    const bool live = is_finite(inverse);
    if (lane == 0) scales[r] = live ? top / f8_e4m3::max : 0.0f;
    for (std::size_t c = lane; c < x.cols; c += warp_size)
      codes(r, c) = f8_e4m3::from(live ? product(number<T>::to_float(row[c]), inverse) : 0.0f);
  }
};

}  // namespace nbit::cuda

#endif
