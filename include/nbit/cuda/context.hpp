// nbit/cuda/context.hpp — what a kernel body may ask of the GPU thread that runs it.
//
// A kernel is a trivially copyable struct:
//   static constexpr unsigned threads;                    // of a block, a multiple of 32
//   static constexpr std::size_t shared_bytes;            // of shared memory, at most 48 KiB
//   template <class Context> NBIT_HD void operator()(Context& self) const;
// Its body is written against a context, so that the same text runs on a GPU and, in the tests, as threads of the host
// with barriers for sync() and shuffles. Every thread of a block reaches every sync(), every lane of a warp every
// shuffle, multiply and copy.
//
// Fragments of multiply (lane = 4 g + t):  a[0] (g, 2t..2t+1)  a[1] (g+8, 2t..)  a[2] (g, 2t+8..)  a[3] (g+8, 2t+8..)
//   b[0] (2t..2t+1, g)  b[1] (2t+8..2t+9, g)     d[0..1] (g, 2t..2t+1)  d[2..3] (g+8, 2t..2t+1)
// two 16-bit floats in a register, the lower column in the low half. int8: four to a register, columns 4t and 4t + 16.
// Ref: PTX ISA, matrix fragments for mma.m16n8k16 and mma.m16n8k32.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_CONTEXT_HPP
#define NBIT_CUDA_CONTEXT_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>

namespace nbit::cuda {

/// Lanes of a warp.
inline constexpr unsigned warp_size = 32;

#if defined(__CUDACC__)

/// The running GPU thread.
struct thread_context {
  std::byte* memory;  // the block's shared memory, aligned to 16 bytes

  __device__ unsigned thread() const { return threadIdx.x; }
  __device__ unsigned block() const { return blockIdx.x; }
  __device__ unsigned block_y() const { return blockIdx.y; }
  __device__ unsigned blocks() const { return gridDim.x; }
  __device__ std::byte* shared() const { return memory; }
  __device__ void sync() { __syncthreads(); }
  template <class T>
  __device__ T shuffle_xor(T v, int mask) {
    return __shfl_xor_sync(0xffffffffu, v, mask);
  }
  /// What lane `from` has.
  template <class T>
  __device__ T shuffle(T v, unsigned from) {
    return __shfl_sync(0xffffffffu, v, static_cast<int>(from));
  }

  /// Copies 16 bytes to shared memory, or zeros where there is nothing to copy; done after wait().
  __device__ void copy16(void* to, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
    const unsigned place = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(place), "l"(from), "r"(bytes));
#else
    *static_cast<uint4*>(to) = valid ? *static_cast<const uint4*>(from) : uint4{0, 0, 0, 0};
#endif
  }
  /// Closes a group of copies; wait<N>() returns when all but the newest N groups have arrived.
  __device__ void commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;\n" ::);
#endif
  }
  template <int N>
  __device__ void wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N));
#endif
  }

  /// d += a * b for 16 x 16 by 16 x 8 halves.
  __device__ void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], f16) {
#if __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else  // two steps of eight columns each
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#endif
  }
  /// The same for bf16; needs compute capability 8.0, which the host checks.
  __device__ void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], bf16) {
#if __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    (void)d, (void)a, (void)b;
#endif
  }
  /// d += a * b for 16 x 32 by 32 x 8 int8; needs compute capability 8.0.
  __device__ void multiply(std::int32_t (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    (void)d, (void)a, (void)b;
#endif
  }
};

#endif

}  // namespace nbit::cuda

#endif
