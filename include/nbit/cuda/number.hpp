// nbit/cuda/number.hpp — float, f16 and bf16 as the elements of activations and results in kernels.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_NUMBER_HPP
#define NBIT_CUDA_NUMBER_HPP

#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>

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

/// Four neighbouring bytes, or two neighbouring 16-bit floats, of shared memory.  Needs: aligned to 4 bytes.
NBIT_INLINE std::uint32_t word_at(const void* from) {
  std::uint32_t v;
  __builtin_memcpy(&v, __builtin_assume_aligned(from, 4), sizeof v);
  return v;
}

}  // namespace nbit::cuda

#endif
