// Compiled by tests/cuda/compile.sh, run by tests/cuda/run_device.sh: GPTQ's greedy pass on the GPU against the CPU's.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <vector>

#include <nbit/format/presets.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/adapters/cublas_gptq.hpp>

#include "support/random.hpp"

int main() {
  constexpr std::size_t cols = 520, rows = 70, tokens = 2048;
  using format = nbit::w4g128;
  nbit_test::random rng(5);
  std::vector<float> x = rng.normals(tokens * cols);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 1; c < cols; ++c) x[t * cols + c] = 0.6f * x[t * cols + c] + 0.8f * x[t * cols + c - 1];
  const std::vector<float> floats = rng.normals(rows * cols);
  const nbit::matrix_view<const float> w(floats.data(), rows, cols);
  nbit::hessian h(cols);
  if (!h.add({x.data(), tokens, cols})) return 1;
  const auto cpu = nbit::gptq<format>(w, h, {.order = nbit::column_order::natural, .passes = 0, .tune = false});
  auto gpu = nbit::coded_matrix<format>::make(w.shape());
  cublasHandle_t handle = nullptr;
  if (!cpu || !gpu) return 1;
  if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS) {
    std::puts("skipped: cublas_gptq: no device");
    return 77;
  }
  for (std::size_t i = 0; i < gpu->params.size(); ++i) gpu->params[i] = cpu->codes.params[i];
  const auto done = nbit::gptq_on_device(handle, w, h, *gpu);
  cublasDestroy(handle);
  if (!done) {
    std::printf("FAILED: %s %s\n", done.error().what, done.error().subject);
    return 1;
  }
  std::size_t other = 0, rows_of_others = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    std::size_t n = 0;
    for (std::size_t i = r * cols; i < (r + 1) * cols; ++i) n += gpu->codes[i] != cpu->codes.codes[i];
    other += n, rows_of_others += n != 0;
  }
  const bool bad = other * 100 > rows * cols || rows_of_others > done->rows_with_ties;
  std::printf("count: cublas_gptq: %zu of %zu codes differ, in %zu rows; %zu ties in %zu rows; %d failed\n", other,
              rows * cols, rows_of_others, done->ties, done->rows_with_ties, bad);
  return bad ? 1 : 0;
}
