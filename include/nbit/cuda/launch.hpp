// nbit/cuda/launch.hpp — starts a kernel on a stream, after checking what the device can do.
//
// Only for CUDA units (nvcc). Nothing here allocates, synchronises or keeps state; what the runtime answers to a launch
// comes back as a result (cuda/outcome.hpp).
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_LAUNCH_HPP
#define NBIT_CUDA_LAUNCH_HPP

#if defined(__CUDACC__)

#include <cstddef>
#include <cstdint>

#include <cuda_runtime.h>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/cuda/entry.hpp>
#include <nbit/cuda/outcome.hpp>

namespace nbit::cuda {

/// The compute capability of the current device, as 10 * major + minor.  Errors: device.
inline result<int> capability() {
  int found = 0;
  if (auto ok = outcome(outcome_detail::read_capability(found)); !ok) return ok.error();
  return found;
}

/// An error unless the current device has at least this capability (10 * major + minor).  Errors: unsupported, device.
inline result<void> require_capability(int least) {
  const auto has = capability();
  if (!has) return has.error();
  if (*has >= least) return {};
  return make_error(errc::unsupported, "the device's compute capability is too low",
                    least == 80 ? "80 and up" : "75 and up")
      .with(*has);
}

/// An error unless p can be read by the current device and is a multiple of `align`.  Errors: device, shape.
inline result<void> require_pointer(const void* p, std::size_t align, const char* name) {
  if (reinterpret_cast<std::uintptr_t>(p) % align != 0)
    return make_error(errc::shape, "a device pointer is misaligned",
                      align == 16 ? "multiples of 16 bytes" : "multiples of the element's size")
        .about(name)
        .with(static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(p) % 16));
  cudaPointerAttributes attributes{};
  int ordinal = 0;
  cudaError_t e = cudaPointerGetAttributes(&attributes, p);
  if (e == cudaSuccess) e = cudaGetDevice(&ordinal);
  if (e != cudaSuccess) return outcome(e);
  if (attributes.devicePointer == nullptr)
    return make_error(errc::device, "memory of the host that no device can read", "device, managed or pinned memory")
        .about(name);
  if (attributes.type == cudaMemoryTypeDevice && attributes.device != ordinal)
    return make_error(errc::device, "memory of another device", "memory of the current device")
        .about(name)
        .with(attributes.device);
  return {};
}

/// Starts a kernel; returns before it ends.  Errors: overflow (a grid beyond the hardware's), device.
template <class Kernel>
inline result<void> launch(const Kernel& kernel, std::size_t blocks, std::size_t blocks_y, cudaStream_t stream) {
  static_assert(sizeof(Kernel) <= 4096, "launch: a kernel's struct travels as its argument, at most 4 KiB");
  static_assert(Kernel::shared_bytes <= 48 * 1024, "launch: a kernel uses at most 48 KiB of shared memory");
  if (blocks == 0 || blocks_y == 0) return {};
  if (blocks > 0x7fffffffu || blocks_y > 65535u)
    return make_error(errc::overflow, "the matrix needs more blocks than a grid has", "2147483647 x 65535")
        .with(static_cast<std::int64_t>(blocks > 0x7fffffffu ? blocks : blocks_y));
  entry<Kernel>
      <<<dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(blocks_y)), Kernel::threads, 0, stream>>>(kernel);
  return outcome(cudaGetLastError());
}

}  // namespace nbit::cuda

#endif  // __CUDACC__

#endif
