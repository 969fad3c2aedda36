// nbit/cuda/number.hpp — float, f16 and bf16 as the elements of activations and results in kernels.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_NUMBER_HPP
#define NBIT_CUDA_NUMBER_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>

namespace nbit::cuda {

/// Conversions of an element type; half to even.
template <class T>
struct number {
  NBIT_INLINE static float to_float(T v) { return static_cast<float>(v); }
  NBIT_INLINE static T from(float v) {
    if constexpr (std::is_same_v<T, float>)
      return v;
    else
      return T::from(v);
  }
};

/// a * b, rounded on its own whatever the compiler would like to fuse it with.
NBIT_INLINE float product(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  NBIT_EXACT
  return a * b;
#endif
}

/// Two numbers as two 16-bit floats of one register, `low` in the lower half; each is rounded half to even.
template <class T>
NBIT_INLINE std::uint32_t pair_of(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t both;
  if constexpr (std::is_same_v<T, f16>)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return std::uint32_t{T::from(high).bits} << 16 | T::from(low).bits;
#endif
}

/// N (1, 2 or 4) neighbouring words of weights, which no thread reads twice.  Needs: aligned to 4 N bytes; global
/// memory.
template <int N>
NBIT_INLINE void stream_words(const std::uint32_t* from, std::uint32_t* to) {
#if defined(__CUDA_ARCH__)
  if constexpr (N == 4)
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
        : "l"(from));
  else if constexpr (N == 2)
    asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "l"(from));
  else
    asm("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(to[0]) : "l"(from));
#else
  __builtin_memcpy(to, from, 4 * N);
#endif
}

/// 16 neighbouring bytes as words.  Needs: from is a multiple of 16 bytes.
NBIT_INLINE void load_words(const void* from, std::uint32_t (&to)[4]) {
  struct alignas(16) four {
    std::uint32_t w[4];
  } v;
  __builtin_memcpy(&v, __builtin_assume_aligned(from, 16), sizeof v);
  for (int k = 0; k < 4; ++k) to[k] = v.w[k];
}

/// Eight neighbouring elements of a row as floats.  Needs: from is a multiple of 16 bytes.
template <class T>
NBIT_INLINE void load_floats(const T* from, float (&out)[8]) {
  constexpr int per_load = 16 / static_cast<int>(sizeof(T));
  NBIT_UNROLL
  for (int i = 0; i < 8; i += per_load) {
    std::uint32_t v[4];
    load_words(from + i, v);
    NBIT_UNROLL
    for (int k = 0; k < per_load; ++k) {
      if constexpr (sizeof(T) == 4)
        out[i + k] = std::bit_cast<float>(v[k]);
      else
        out[i + k] = static_cast<float>(T::from_bits(static_cast<std::uint16_t>(v[k / 2] >> (16 * (k % 2)))));
    }
  }
}

/// Four neighbouring bytes, or two neighbouring 16-bit floats, of shared memory.  Needs: aligned to 4 bytes.
NBIT_INLINE std::uint32_t word_at(const void* from) {
  std::uint32_t v;
  __builtin_memcpy(&v, __builtin_assume_aligned(from, 4), sizeof v);
  return v;
}

/// The same into shared memory.
NBIT_INLINE void store_word(void* to, std::uint32_t v) {
  __builtin_memcpy(__builtin_assume_aligned(to, 4), &v, sizeof v);
}

/// Copies columns c .. c + 7 of a row of x to shared memory, zeros where x ends; in one asynchronous copy if aligned16.
template <class Context, class T>
NBIT_INLINE void copy_eight(Context& self, const matrix_view<const T>& x, std::size_t row, std::size_t c,
                            bool aligned16, T* to) {
  if (aligned16 && (row >= x.rows || c + 8 <= x.cols || c >= x.cols)) {
    const bool valid = row < x.rows && c < x.cols;
    self.copy16(to, valid ? x.data + row * x.stride + c : x.data, valid);
  } else {
    for (std::size_t j = 0; j < 8; ++j) to[j] = row < x.rows && c + j < x.cols ? x(row, c + j) : T{0};
  }
}

/// The threads of Kernel copy columns c .. c + depth - 1 of its `tokens` rows of x from `first` on to shared memory,
/// `pitch` elements apart.
template <class Kernel, class Context, class T>
NBIT_INLINE void copy_tokens(Context& self, const matrix_view<const T>& x, std::size_t first, std::size_t c,
                             bool aligned16, T* to) {
  constexpr std::size_t eights = Kernel::depth / 8;
  for (std::size_t i = self.thread(); i < Kernel::tokens * eights; i += Kernel::threads) {
    const std::size_t t = i / eights, k = i % eights * 8;
    copy_eight(self, x, first + t, c + k, aligned16, to + t * Kernel::pitch + k);
  }
}

/// Writes a lane's results of multiply (cuda/context.hpp) to y: row and column are those of d[0]; what lies beyond y is
/// left out.
NBIT_INLINE void store_fragment(const matrix_view<float>& y, std::size_t row, std::size_t column, const float (&d)[4]) {
  NBIT_UNROLL
  for (int e = 0; e < 4; ++e) {
    const std::size_t r = row + std::size_t(8 * (e / 2)), c = column + std::size_t(e % 2);
    if (r < y.rows && c < y.cols) y(r, c) = d[e];
  }
}

}  // namespace nbit::cuda

#endif
