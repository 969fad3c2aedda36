// nbit/cuda/outcome.hpp — an answer of the CUDA runtime as a result: what was found, in its words, and what is needed.
//
// Needs <cuda_runtime_api.h>, and no nvcc. An error is taken from the runtime, so that the next call does not meet it
// again, unless the runtime keeps it.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_OUTCOME_HPP
#define NBIT_CUDA_OUTCOME_HPP

#if __has_include(<cuda_runtime_api.h>)  // empty without the toolkit

#include <cuda_runtime_api.h>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>

namespace nbit::cuda {

namespace outcome_detail {

/// The current device's compute capability as 10 * major + minor.
inline cudaError_t read_capability(int& capability) {
  int ordinal = 0, major = 0, minor = 0;
  cudaError_t e = cudaGetDevice(&ordinal);
  if (e == cudaSuccess) e = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal);
  if (e == cudaSuccess) e = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal);
  capability = 10 * major + minor;
  return e;
}

/// The version of CUDA that the driver is for, as 1000 * major + 10 * minor; 0 without a driver.
inline int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

inline error no_gpu(const char* what) {
  return make_error(errc::device, what,
                    "an NVIDIA GPU of compute capability 7.5 and up, and a driver no older than the program's CUDA");
}

inline error explained(cudaError_t e) {
  switch (e) {
    case cudaErrorInsufficientDriver:
      if (const int version = driver_version(); version != 0)
        return no_gpu("no usable GPU: the NVIDIA driver is older than the program's CUDA").with(version);
      return no_gpu("no usable GPU: there is no NVIDIA driver");
    case cudaErrorNoDevice: return no_gpu("no usable GPU: the NVIDIA driver sees none");
    case cudaErrorStubLibrary: return no_gpu("no usable GPU: the library is for linking, not the NVIDIA driver");
    case cudaErrorInitializationError:
    case cudaErrorSystemNotReady:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorDevicesUnavailable: return no_gpu("no usable GPU: the NVIDIA driver does not start");
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion: {
      int capability = 0;
      const error lacking =
          make_error(errc::unsupported, "the program holds no code for this device's compute capability",
                     "nvcc's -arch or -gencode for it");
      return read_capability(capability) == cudaSuccess ? lacking.with(capability) : lacking;
    }
    case cudaErrorMemoryAllocation:
      return make_error(errc::out_of_memory, "the device has not that much memory", "fewer bytes on the device");
    case cudaErrorInvalidResourceHandle:
      return make_error(errc::device, "the stream is not one of the current device", "cudaSetDevice of the stream's");
    default: return make_error(errc::device, "the CUDA runtime refused", "found is the cudaError_t").with(e);
  }
}

}  // namespace outcome_detail

/// Success, or the error with the runtime's own words as its subject.  Errors: device; unsupported (no code for the
/// device), out_of_memory.
inline result<void> outcome(cudaError_t e) {
  if (e == cudaSuccess) return {};
  (void)cudaGetLastError();
  return outcome_detail::explained(e).about(cudaGetErrorString(e));
}

}  // namespace nbit::cuda

#endif  // __has_include

#endif
