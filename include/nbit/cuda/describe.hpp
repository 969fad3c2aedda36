// nbit/cuda/describe.hpp — which CUDA kernel an operation starts on these weights; needs neither nvcc nor a GPU.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_DESCRIBE_HPP
#define NBIT_CUDA_DESCRIBE_HPP

#include <cstddef>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/kernel/about.hpp>
#include <nbit/kernel/describe.hpp>
#include <nbit/kernel/weights.hpp>
#include <nbit/cuda/append_rows.hpp>
#include <nbit/cuda/fragment_gemm.hpp>
#include <nbit/cuda/reader.hpp>
#include <nbit/cuda/tile_reader.hpp>

namespace nbit::cuda {

namespace describe_detail {

/// Why a way of reading is generic; nullptr for the others.
template <class W>
constexpr const char* reading_limit() {
  if (weight_reader<W>::own) return nullptr;
  return weight_reader<W>::unit > 8 ? "the format has no cuda::block_codes and no points16"
                                    : "the layout's codes cross words";
}
template <class W>
constexpr kernel_path reading_path() {
  return weight_reader<W>::own ? kernel_path::own : kernel_path::generic;
}
/// One of four texts, by the way of reading.
template <class W>
constexpr const char* by_reading(const char* eight, const char* sixteen, const char* block, const char* bits) {
  using reader = weight_reader<W>;
  if (reader::own) return reader::unit == 16 ? sixteen : eight;
  return reader::unit > 8 ? block : bits;
}

template <class W>
constexpr bool has_int8_kernel() {
  if constexpr (requires { typename W::format; }) {
    using F = typename W::format;
    if constexpr (integer_format<F> && std::is_same_v<typename W::layout, linear>)
      return F::bits == 8 && !has_offset<F> && (F::group <= 0 || F::group % 64 == 0);
  }
  return false;
}

template <class W>
constexpr kernel_about about(operation op, std::size_t tokens) {
  using reader = weight_reader<W>;
  const char* const limit = reading_limit<W>();
  switch (op) {
    case operation::quantize:
      if constexpr (requires { typename W::format; }) {
        if (appendable<typename W::format>) return own_kernel("append_rows: a warp a block");
      }
      return {kernel_path::generic, "none: weights are quantized on the host", "append_rows is for Q8_0 and Q4_0"};
    case operation::gemv_int8:
      return {kernel_path::generic, "none: gemm takes int8 activations", "gemm is for any rows"};
    case operation::gemm_int8:
      if (has_int8_kernel<W>()) return own_kernel("int8 tensor cores, 64 x 64 results");
      return {kernel_path::generic, "none: it does not compile",
              "8-bit symmetric weights, linear, groups of a multiple of 64"};
    case operation::dequantize:
      return {reading_path<W>(),
              by_reading<W>("a thread eight weights", "a thread sixteen weights", "a thread a whole block",
                            "a thread eight weights, bit by bit"),
              limit};
    case operation::gemv:
      if constexpr (reads_tiles<reader>) return own_kernel("a block eight rows, 16 bytes of tiles a lane");
      return {reading_path<W>(),
              by_reading<W>("a warp a row, a lane eight weights", "a warp a row, a lane sixteen weights",
                            "a warp a row, a lane a whole block", "a warp a row, a lane eight weights, bit by bit"),
              limit};
    case operation::gemm:
    case operation::gemm_bf16:  // the kernels of f16 activations
      if constexpr (reads_tiles<reader>)
        return own_kernel(tokens <= few_tokens ? "tensor cores, weights in registers, 16 x 32 results"
                                               : "tensor cores, weights in registers, 64 x 128 results");
      return {reading_path<W>(),
              by_reading<W>("tensor cores, weights decoded into shared memory",
                            "tensor cores, weights decoded into shared memory",
                            "tensor cores, whole blocks decoded into shared memory",
                            "tensor cores, weights decoded bit by bit into shared memory"),
              limit};
  }
  return {kernel_path::generic, "unknown", nullptr};
}

}  // namespace describe_detail

/// What an operation starts for these weights and this many rows of activations; the texts are constants.
template <weight_matrix W>
[[nodiscard]] constexpr kernel_description describe(operation op, const W&, std::size_t tokens = 1) {
  const kernel_about a = describe_detail::about<weights_t<W>>(op, tokens);
  return {op, "cuda", a.path, a.how, a.limit, nullptr};
}

}  // namespace nbit::cuda

#endif
