// nbit/adapters/cublas.hpp — the Gram matrix by cuBLAS: tokens go to the GPU, sums come back every 8192 of them.
//
// Products and sums are float on the device (no TF32), sums of sums double on the host. Not part of the umbrella
// header: needs <cublas_v2.h>, -lcublas and -lcudart; any C++ compiler will do. Not measured: no GPU was at hand.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ADAPTERS_CUBLAS_HPP
#define NBIT_ADAPTERS_CUBLAS_HPP

#include <cstddef>
#include <cstdint>
#include <utility>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/adapters/library_gram.hpp>
#include <nbit/cuda/outcome.hpp>

namespace nbit {

namespace detail {

inline result<void> cuda_outcome(cudaError_t e) { return cuda::outcome(e); }
inline result<void> cuda_outcome(cublasStatus_t s) {
  if (s == CUBLAS_STATUS_SUCCESS) return {};
  return make_error(errc::device, "cuBLAS refused", "found is the cublasStatus_t")
      .about(cublasGetStatusName(s))
      .with(s);
}

/// Bytes of the current device.
struct device_memory {
  void* data = nullptr;
  std::size_t bytes = 0;

  device_memory() = default;
  device_memory(const device_memory&) = delete;
  device_memory& operator=(const device_memory&) = delete;
  ~device_memory() { cudaFree(data); }
  result<void> allocate(std::size_t n) {
    bytes = n;
    return n == 0 ? result<void>() : cuda_outcome(cudaMalloc(&data, n));
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  void swap(device_memory& other) noexcept { std::swap(data, other.data), std::swap(bytes, other.bytes); }
};

inline result<void> upload(const device_memory& to, const void* from) {
  return to.bytes == 0 ? result<void>() : cuda_outcome(cudaMemcpy(to.data, from, to.bytes, cudaMemcpyHostToDevice));
}

}  // namespace detail

/// cuBLAS on the current device as library_gram wants it. Waits for the device in every call.
class cublas_product {
 public:
  static constexpr std::size_t panels = 16;

  cublas_product() = default;
  cublas_product(cublas_product&& other) noexcept { swap(other); }
  cublas_product& operator=(cublas_product&& other) noexcept {
    cublas_product moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~cublas_product() {
    if (handle_ != nullptr) cublasDestroy(handle_);
  }

  /// Memory: 8 cols^2 + 2048 cols bytes of the device.  Errors: overflow, device.
  static result<cublas_product> make(std::size_t cols) {
    if (cols > 46340) return make_error(errc::overflow, "too many columns for cuBLAS' counts", "up to 46340");
    cublas_product made;
    made.cols_ = cols;
    const std::size_t floats = 2 * cols * cols + gram_panel::tokens * cols;
    if (auto ok = made.memory_.allocate(floats * sizeof(float)); !ok) return ok.error();
    if (auto ok = detail::cuda_outcome(cudaMemset(made.memory_.data, 0, made.memory_.bytes)); !ok) return ok.error();
    if (auto ok = detail::cuda_outcome(cublasCreate(&made.handle_)); !ok) return ok.error();
    if (auto ok = detail::cuda_outcome(cublasSetMathMode(made.handle_, CUBLAS_PEDANTIC_MATH)); !ok) return ok.error();
    return result<cublas_product>(std::move(made));
  }

  result<double> add(const float* tokens, std::size_t n) {
    const int cols = static_cast<int>(cols_), all = cols * cols;
    float* const panel = product() + 2 * cols_ * cols_;
    const float one = 1, zero = 0;
    float total = 0, diagonal = 0;
    auto ok = detail::cuda_outcome(cudaMemcpy(panel, tokens, n * cols_ * sizeof(float), cudaMemcpyHostToDevice));
    // rows of x are columns for cuBLAS, and so is its upper triangle our lower one; the other stays zero
    if (ok)
      ok = detail::cuda_outcome(cublasSsyrk(handle_, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, cols, static_cast<int>(n),
                                            &one, panel, cols, &zero, product(), cols));
    if (ok) ok = detail::cuda_outcome(cublasSnrm2(handle_, all, product(), 1, &total));
    if (ok) ok = detail::cuda_outcome(cublasSnrm2(handle_, cols, product(), cols + 1, &diagonal));
    if (ok) ok = detail::cuda_outcome(cublasSaxpy(handle_, all, &one, product(), 1, sums(), 1));
    if (!ok) return ok.error();
    return 2 * (static_cast<double>(total) * static_cast<double>(total) -
                static_cast<double>(diagonal) * static_cast<double>(diagonal));
  }

  result<void> take(float* out) {
    const std::size_t bytes = cols_ * cols_ * sizeof(float);
    if (auto ok = detail::cuda_outcome(cudaMemcpy(out, sums(), bytes, cudaMemcpyDeviceToHost)); !ok) return ok;
    return detail::cuda_outcome(cudaMemset(sums(), 0, bytes));
  }

 private:
  float* product() const { return memory_.as<float>(); }
  float* sums() const { return product() + cols_ * cols_; }
  void swap(cublas_product& other) noexcept {
    std::swap(cols_, other.cols_), std::swap(handle_, other.handle_);
    memory_.swap(other.memory_);
  }

  std::size_t cols_ = 0;
  detail::device_memory memory_;  // a product, the sums, a panel
  cublasHandle_t handle_ = nullptr;
};

/// Feeds statistics through cuBLAS.
using cublas_gram = library_gram<cublas_product>;

}  // namespace nbit

#endif
