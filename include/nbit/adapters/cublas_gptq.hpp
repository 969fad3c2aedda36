// nbit/adapters/cublas_gptq.hpp — the greedy pass of GPTQ on the GPU: cuBLAS between blocks of 128 columns, a kernel
// inside.
//
// The factor of the statistics is made on the host (solver/factor.hpp); parameters are those that the codes come with
// (round_to_nearest, round_with_search); columns go in their natural order. cuBLAS adds in an order of its own, so a
// target that lies within its rounding of the middle between two codes may get the other one, and what follows in its
// row moves. Such ties are counted: rows without one have the codes of the CPU's gptq with group_fit::upfront. Only for
// CUDA units (nvcc); needs -lcublas. Not measured: no GPU was at hand.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ADAPTERS_CUBLAS_GPTQ_HPP
#define NBIT_ADAPTERS_CUBLAS_GPTQ_HPP

#if defined(__CUDACC__)

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <cublas_v2.h>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/factor.hpp>
#include <nbit/adapters/cublas.hpp>
#include <nbit/cuda/gptq_block.hpp>
#include <nbit/cuda/launch.hpp>

namespace nbit {

/// What gptq_on_device found out.
struct device_gptq_report {
  metric_report metric;
  std::size_t ties = 0, rows_with_ties = 0;  // cuda/gptq_block.hpp
};

/// Rounds w again for inputs with the statistics h, with the parameters that `codes` has; writes its codes.
/// Needs: a stream of the handle's device. Waits for it. Memory: 4 rows cols + cols^2 floats of the device, about.
/// Errors: shape, unsupported (reordered groups), overflow, device, out_of_memory.
template <grid_format F, class Executor = serial>
result<device_gptq_report> gptq_on_device(cublasHandle_t handle, matrix_view<const float> w, const hessian& h,
                                          coded_matrix<F>& codes, const metric_options& o = {.damping = 0.05},
                                          Executor&& ex = {}) {
  using kernel = cuda::gptq_block_kernel<F>;
  using code = code_t<F>;
  if (h.cols() != w.cols || codes.rows != w.rows || codes.cols != w.cols)
    return make_error(errc::shape, "weights, statistics and codes differ in shape", "one shape, an input a column")
        .at(static_cast<std::int64_t>(codes.rows), static_cast<std::int64_t>(codes.cols));
  if (!codes.group_index.empty())
    return make_error(errc::unsupported, "the device takes groups in their natural order", "no group_index");
  if (w.rows > 0x7fffffff || w.cols > 0x7fffffff / 2)
    return make_error(errc::overflow, "too many rows or columns for cuBLAS", "up to 2^30");
  auto m = detail::make_metric(h, {}, o, ex);
  if (!m) return m.error();
  if (w.empty()) return device_gptq_report{m->report};

  const std::size_t rows = w.rows, cols = w.cols;
  auto counts = buffer<std::uint32_t>::make(rows);
  if (!counts) return counts.error();
  detail::device_memory weights, errors, targets, factor, params, levels, ties;
  result<void> ok = weights.allocate(rows * cols * sizeof(float));
  if (ok) ok = errors.allocate(rows * cols * sizeof(float));
  if (ok) ok = targets.allocate(rows * kernel::width * sizeof(float));
  if (ok) ok = factor.allocate(cols * m->stride * sizeof(float));
  if (ok) ok = params.allocate(codes.params.size() * sizeof(typename F::params));
  if (ok) ok = levels.allocate(rows * cols * sizeof(code));
  if (ok) ok = ties.allocate(rows * sizeof(std::uint32_t));
  if (ok) ok = detail::cuda_outcome(cudaMemset(ties.data, 0, ties.bytes));
  const std::size_t row = cols * sizeof(float);
  if (ok)
    ok = detail::cuda_outcome(
        cudaMemcpy2D(weights.data, row, w.data, w.stride * sizeof(float), row, rows, cudaMemcpyHostToDevice));
  if (ok) ok = detail::upload(factor, m->s.data());
  if (ok) ok = detail::upload(params, codes.params.data());
  cudaStream_t stream = nullptr;
  if (ok) ok = detail::cuda_outcome(cublasGetStream(handle, &stream));
  float *const d_weights = weights.template as<float>(), *const d_errors = errors.template as<float>(),
               *const d_targets = targets.template as<float>();
  const float *const s = factor.template as<float>(), one = 1.0f;
  for (std::size_t first = 0; ok && first < cols; first += kernel::width) {
    const std::size_t n = cols - first < kernel::width ? cols - first : kernel::width;
    ok = detail::cuda_outcome(cudaMemcpy2DAsync(d_targets, kernel::width * sizeof(float), d_weights + first, row,
                                                n * sizeof(float), rows, cudaMemcpyDeviceToDevice, stream));
    // targets += errors S: rows are cuBLAS' columns, so the factors change places
    if (ok && first != 0)
      ok = detail::cuda_outcome(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, static_cast<int>(n),
                                            static_cast<int>(rows), static_cast<int>(first), &one, s + first,
                                            static_cast<int>(m->stride), d_errors, static_cast<int>(cols), &one,
                                            d_targets, static_cast<int>(kernel::width)));
    if (ok)
      ok = cuda::launch(kernel{{d_weights, rows, cols},
                               {d_targets, rows, n, kernel::width},
                               {s, cols, cols, m->stride},
                               {d_errors, rows, cols},
                               {levels.template as<code>(), rows, cols},
                               params.template as<typename F::params>(),
                               first,
                               ties.template as<std::uint32_t>()},
                        kernel::blocks_for(w.shape()), 1, stream);
  }
  if (ok) ok = detail::cuda_outcome(cudaStreamSynchronize(stream));
  if (ok) ok = detail::cuda_outcome(cudaMemcpy(codes.codes.data(), levels.data, levels.bytes, cudaMemcpyDeviceToHost));
  if (ok) ok = detail::cuda_outcome(cudaMemcpy(counts->data(), ties.data, ties.bytes, cudaMemcpyDeviceToHost));
  if (!ok) return ok.error();
  device_gptq_report report{m->report};
  for (std::size_t r = 0; r < rows; ++r) report.ties += (*counts)[r], report.rows_with_ties += (*counts)[r] != 0;
  return report;
}

}  // namespace nbit

#endif  // __CUDACC__

#endif
