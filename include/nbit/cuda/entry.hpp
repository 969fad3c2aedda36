// nbit/cuda/entry.hpp — the one function of the library that a GPU starts: a kernel's struct is its argument.
//
// launch() starts it from nvcc's units. A program that compiles at run time names an instance to NVRTC, such as
// nbit::cuda::entry<nbit::cuda::gemv_kernel<...>>, and hands the struct to cuLaunchKernel: Kernel::threads threads, and
// as many blocks as the kernel's blocks_for() says. Options of NVRTC: base/nvrtc.hpp.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_ENTRY_HPP
#define NBIT_CUDA_ENTRY_HPP

#if defined(__CUDACC__)

#include <cstddef>

#include <nbit/base/config.hpp>
#include <nbit/cuda/context.hpp>

namespace nbit::cuda {

/// Runs one thread of a kernel.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads, 1) entry(const Kernel kernel) {
  __shared__ alignas(16) std::byte memory[Kernel::shared_bytes == 0 ? 16 : Kernel::shared_bytes];
  thread_context self{memory};
  kernel(self);
}

}  // namespace nbit::cuda

#endif  // __CUDACC__

#endif
