// nbit/base/nvrtc.hpp — what the run-time compiler NVRTC lacks: std as libcu++ has it, and the compilers' builtins.
//
// config.hpp includes this under NVRTC alone. Its options: -std=c++20 -default-device, and -I for nbit's include/ and,
// in the toolkit's include/, for cccl and cccl/cuda/std: there <bit>, <span> and the other standard headers are found.
// There is no heap, and no nbit::result: what a kernel may call uses neither.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_NVRTC_HPP
#define NBIT_BASE_NVRTC_HPP

#if defined(__CUDACC_RTC__)

#include <cuda/std/cstddef>
#include <cuda/std/cstdint>

namespace std {
using namespace cuda::std;
}

#if !defined(NBIT_NO_HEAP)
#define NBIT_NO_HEAP
#endif

inline __device__ void* __builtin_memcpy(void* to, const void* from, std::size_t n) { return memcpy(to, from, n); }
inline __device__ void* __builtin_memset(void* to, int v, std::size_t n) { return memset(to, v, n); }
inline __device__ float __builtin_fmaf(float a, float b, float c) { return fmaf(a, b, c); }
inline __device__ float __builtin_sqrtf(float v) { return sqrtf(v); }
inline __device__ float __builtin_floorf(float v) { return floorf(v); }
inline __device__ float __builtin_fmodf(float a, float b) { return fmodf(a, b); }
inline __device__ float __builtin_inff() { return __int_as_float(0x7f800000); }
inline __device__ int __builtin_popcount(unsigned v) { return __popc(v); }
inline __device__ std::uint16_t __builtin_bswap16(std::uint16_t v) {
  return static_cast<std::uint16_t>(v << 8 | v >> 8);
}
inline __device__ std::uint32_t __builtin_bswap32(std::uint32_t v) { return __byte_perm(v, 0, 0x0123); }
inline __device__ std::uint64_t __builtin_bswap64(std::uint64_t v) {
  return std::uint64_t{__builtin_bswap32(static_cast<std::uint32_t>(v))} << 32 |
         __builtin_bswap32(static_cast<std::uint32_t>(v >> 32));
}
#endif  // __CUDACC_RTC__

#endif
