// Where no GPU can be used, every public entry of cuda/ says so and what it needs, and shapes are refused as anywhere.
// Built and run by tests/cuda/compile.sh, with CUDA_VISIBLE_DEVICES empty where there is a GPU.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdio>
#include <string_view>

#include <nbit/format/presets.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/cuda/operations.hpp>

namespace no_gpu {

struct w8row : nbit::uniform<nbit::scheme{.bits = 8, .group = nbit::per_row}> {};

int checked = 0, failed = 0;

void expect(bool good, const char* what, const nbit::error& e) {
  ++checked;
  if (good) return;
  ++failed;
  std::printf("FAILED: %s: %s: %s\n", what, e.subject, e.what);
}
template <class T>
void says_no_gpu(const char* what, const nbit::result<T>& r) {
  const nbit::error e = r ? nbit::error{} : r.error();
  expect(!r && e.code == nbit::errc::device && std::string_view(e.what).starts_with("no usable GPU: ") &&
             std::string_view(e.allowed).find("compute capability 7.5") != std::string_view::npos &&
             e.subject[0] != '\0',
         what, e);
}
void says(nbit::errc code, const char* word, const char* what, const nbit::result<void>& r) {
  const nbit::error e = r ? nbit::error{} : r.error();
  expect(!r && e.code == code && std::string_view(e.what).find(word) != std::string_view::npos && e.allowed[0] != '\0',
         what, e);
}
void is_good(const char* what, const nbit::result<void>& r) { expect(bool(r), what, r ? nbit::error{} : r.error()); }

alignas(16) std::byte memory[65536];

template <class T>
nbit::matrix_view<T> matrix(std::size_t rows, std::size_t cols) {
  return {reinterpret_cast<T*>(memory), rows, cols};
}

/// Products with any weights of 16 x 128.
template <class W>
void check_products(const W& w) {
  using namespace nbit::cuda;
  const auto y = matrix<float>(2, 16);
  says_no_gpu("dequantize", dequantize(w, matrix<float>(16, 128), nullptr));
  says_no_gpu("gemv", gemv(w, matrix<const float>(2, 128), y, nullptr));
  says_no_gpu("gemm, f16", gemm(w, matrix<const nbit::f16>(2, 128), y, nullptr));
  says_no_gpu("gemm, bf16", gemm(w, matrix<const nbit::bf16>(2, 128), y, nullptr));
  using nbit::errc;
  says(errc::shape, "columns", "gemv of other columns", gemv(w, matrix<const float>(2, 127), y, nullptr));
  says(errc::shape, "rows", "gemm of other rows", gemm(w, matrix<const nbit::f16>(3, 128), y, nullptr));
  says(errc::shape, "few rows", "gemv of nine rows",
       gemv(w, matrix<const float>(9, 128), matrix<float>(9, 16), nullptr));
  says(errc::shape, "shape", "dequantize into another shape", dequantize(w, matrix<float>(16, 64), nullptr));
  is_good("gemv of no rows", gemv(w, matrix<const float>(0, 128), matrix<float>(0, 16), nullptr));
}

void check_operations() {
  using namespace nbit::cuda;
  using nbit::errc;
  const nbit::shape s{16, 128};
  const nbit::packed_view<nbit::q8_0> blocks(std::span<const std::byte>(memory), s);
  const nbit::packed_view<nbit::w4g128, nbit::gptq_words> words(std::span<const std::byte>(memory), s);
  const nbit::packed_view<nbit::w4g128, nbit::warp_tiles> tiles(std::span<const std::byte>(memory), s);
  const nbit::packed_span<nbit::w4g128, nbit::warp_tiles> to(std::span<std::byte>(memory), s);
  check_products(blocks);
  check_products(words);
  check_products(tiles);
  says(errc::shape, "misaligned", "skewed weights",
       gemv(nbit::packed_view<nbit::q8_0>(std::span<const std::byte>(memory).subspan(8), s),
            matrix<const float>(1, 128), matrix<float>(1, 16), nullptr));
  says_no_gpu("repack", repack(words, to, nullptr));

  const nbit::int8_activations<nbit::per_row> q(std::span<std::byte>(memory), {2, 128});
  const nbit::packed_view<w8row, nbit::linear> w8(std::span<const std::byte>(memory), s);
  says_no_gpu("gemm, int8", gemm(w8, q, matrix<float>(2, 16), nullptr));
  says_no_gpu("activations to int8", quantize_activations(matrix<const float>(2, 128), q, nullptr));
  says_no_gpu("activations to fp8", quantize_activations(matrix<const float>(2, 128), matrix<nbit::f8_e4m3>(2, 128),
                                                         reinterpret_cast<float*>(memory), nullptr));
  says(errc::shape, "shape", "activations of another shape",
       quantize_activations(matrix<const float>(3, 128), q, nullptr));

  const nbit::packed_span<nbit::q8_0> cache(std::span<std::byte>(memory), {4, 128});
  says_no_gpu("append_rows", append_rows(matrix<const float>(2, 128), cache, 1, nullptr));
  says(errc::shape, "fit", "rows beyond the cache", append_rows(matrix<const float>(2, 128), cache, 3, nullptr));

  says_no_gpu("capability", capability());
  says_no_gpu("require_capability", require_capability(75));
  says_no_gpu("require_pointer", require_pointer(memory, 16, "memory"));
  using kernel = dequantize_kernel<nbit::packed_view<nbit::q8_0>, float>;
  says_no_gpu("launch", launch(kernel{blocks, matrix<float>(16, 128)}, 1, 1, nullptr));
  says(errc::overflow, "grid", "a grid beyond the hardware's", launch(kernel{}, 1, 65536, nullptr));
}

/// Answers that only a machine with a GPU gives.
void check_answers() {
  using nbit::errc;
  using nbit::cuda::outcome;
  is_good("success", outcome(cudaSuccess));
  says(errc::unsupported, "no code", "another architecture", outcome(cudaErrorNoKernelImageForDevice));
  says(errc::out_of_memory, "memory", "memory", outcome(cudaErrorMemoryAllocation));
  says(errc::device, "stream", "another device's stream", outcome(cudaErrorInvalidResourceHandle));
  says(errc::device, "refused", "any other", outcome(cudaErrorLaunchTimeout));
  for (const cudaError_t e : {cudaErrorNoDevice, cudaErrorInsufficientDriver, cudaErrorStubLibrary,
                              cudaErrorDevicesUnavailable, cudaErrorSystemDriverMismatch})
    says_no_gpu(cudaGetErrorName(e), outcome(e));
  const auto other = outcome(cudaErrorLaunchTimeout);
  expect(!other && other.error().found == cudaErrorLaunchTimeout, "the number of any other", other.error());
}

}  // namespace no_gpu

int main() {
  using namespace no_gpu;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) == cudaSuccess && devices != 0) {
    std::puts("a GPU is visible: CUDA_VISIBLE_DEVICES= has to hide it");
    return 1;
  }
  check_operations();
  check_answers();
  const auto none = nbit::cuda::capability();
  if (!none) std::printf("without a GPU: %s (%s)\n", none.error().what, none.error().subject);
  std::printf("count: cuda without a GPU: %d answers, %d failed\n", checked, failed);
  return failed == 0 ? 0 : 1;
}
