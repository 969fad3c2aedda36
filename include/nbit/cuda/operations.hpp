// nbit/cuda/operations.hpp — dequantize, gemv, gemm, W8A8 and activation quantization on a stream.
//
// Views are those of the CPU, with pointers to memory that the current device can read; weights begin at a multiple of
// 16 bytes. Every call checks shapes, pointers and the device, starts one kernel and returns: no allocation, no
// synchronisation, no state. describe() says which way of reading a kernel takes. Only for CUDA units (nvcc, with
// --expt-relaxed-constexpr).
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_OPERATIONS_HPP
#define NBIT_CUDA_OPERATIONS_HPP

#if defined(__CUDACC__)

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/kernel/weights.hpp>
#include <nbit/cuda/activations.hpp>
#include <nbit/cuda/dequantize.hpp>
#include <nbit/cuda/gemm.hpp>
#include <nbit/cuda/gemv.hpp>
#include <nbit/cuda/int8_gemm.hpp>
#include <nbit/cuda/launch.hpp>

namespace nbit::cuda {

/// How kernels read these weights: "own" ways read just what they need, the generic one a block or a bit at a time.
template <weight_matrix W>
constexpr const char* describe(const W&) {
  if (weight_reader<weights_t<W>>::own) return "own: eight weights from the bytes that hold them";
  return weight_reader<weights_t<W>>::unit > 8
             ? "generic: one thread decodes a whole block, since the format has no cuda::block_codes"
             : "generic: bit by bit, since the layout's codes cross words";
}

namespace operation_detail {
template <class F, class L>
inline result<void> check_weights(const packed_view<F, L>& w) {
  if (w.rows == 0 || w.cols == 0) return {};
  if constexpr (std::is_same_v<L, blocks>) {
    return require_pointer(w.bytes, 16, "weights");
  } else {
    if (auto ok = require_pointer(w.words, 16, "weights"); !ok) return ok;
    if (auto ok = require_pointer(w.params, alignof(typename F::params), "scales"); !ok) return ok;
    if (w.group_index != nullptr) return require_pointer(w.group_index, 4, "group_index");
    return {};
  }
}
template <class T>
inline result<void> check_weights(const matrix_view<const T>& w) {
  return w.empty() ? result<void>{} : require_pointer(w.data, alignof(T), "weights");
}

inline result<void> fits(bool same, const char* what, std::size_t found) {
  if (same) return {};
  return make_error(errc::shape, what, "x is tokens by columns of the weights, y tokens by rows of the weights")
      .with(static_cast<std::int64_t>(found));
}

template <class W, class X, class Y>
inline result<void> check_product(const W& w, const X& x, const Y& y) {
  if (auto ok = fits(x.cols == w.cols, "x has another number of columns than the weights", x.cols); !ok) return ok;
  if (auto ok = fits(y.cols == w.rows, "y has another number of columns than the weights have rows", y.cols); !ok)
    return ok;
  if (auto ok = fits(x.rows == y.rows, "x and y have different numbers of rows", y.rows); !ok) return ok;
  if (y.rows == 0 || y.cols == 0) return {};
  if (auto ok = check_weights(w); !ok) return ok;
  return require_pointer(y.data, alignof(float), "y");
}

template <int Tokens, class W, class T>
inline result<void> run_gemv(const W& w, matrix_view<const T> x, matrix_view<float> y, cudaStream_t stream) {
  using kernel = gemv_kernel<W, T, Tokens>;
  return launch(kernel{w, x, y}, kernel::blocks_for(w.shape()), 1, stream);
}
}  // namespace operation_detail

/// Writes the weights to out as float, f16 or bf16.  Errors: shape, device, unsupported, overflow.
template <weight_matrix W, class T>
inline result<void> dequantize(const W& weights, matrix_view<T> out, cudaStream_t stream) {
  const weights_t<W> w(weights);
  if (auto ok = operation_detail::fits(out.rows == w.rows && out.cols == w.cols,
                                       "out has another shape than the weights", out.cols);
      !ok)
    return ok;
  if (out.empty()) return {};
  if (auto ok = operation_detail::check_weights(w); !ok) return ok;
  if (auto ok = require_pointer(out.data, alignof(T), "out"); !ok) return ok;
  using kernel = dequantize_kernel<weights_t<W>, T>;
  return launch(kernel{w, out}, kernel::blocks_for(w.shape()), 1, stream);
}

/// y = x W^T for 1 to 8 rows of x (float, f16 or bf16).  Errors: shape, device, unsupported, overflow.
template <weight_matrix W, class T>
inline result<void> gemv(const W& weights, matrix_view<T> x_, matrix_view<float> y, cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  const weights_t<W> w(weights);
  const matrix_view<const element> x(x_);
  if (auto ok = operation_detail::check_product(w, x, y); !ok) return ok;
  if (x.rows > 8)
    return make_error(errc::shape, "gemv takes few rows of activations; gemm takes any number", "1 to 8")
        .with(static_cast<std::int64_t>(x.rows));
  if (y.empty()) return {};
  if (!x.empty())
    if (auto ok = require_pointer(x.data, alignof(element), "x"); !ok) return ok;
  if (x.rows == 1) return operation_detail::run_gemv<1>(w, x, y, stream);
  if (x.rows == 2) return operation_detail::run_gemv<2>(w, x, y, stream);
  if (x.rows <= 4) return operation_detail::run_gemv<4>(w, x, y, stream);
  return operation_detail::run_gemv<8>(w, x, y, stream);
}

/// y = x W^T on tensor cores; x is f16 (compute capability 7.5 and up) or bf16 (8.0 and up).
/// Errors: shape, device, unsupported, overflow.
template <weight_matrix W, class T>
inline result<void> gemm(const W& weights, matrix_view<T> x_, matrix_view<float> y, cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  const weights_t<W> w(weights);
  const matrix_view<const element> x(x_);
  if (auto ok = operation_detail::check_product(w, x, y); !ok) return ok;
  if (auto ok = require_capability(std::is_same_v<element, bf16> ? 80 : 75); !ok) return ok;
  if (y.empty()) return {};
  if (!x.empty())
    if (auto ok = require_pointer(x.data, alignof(element), "x"); !ok) return ok;
  const bool aligned = reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && x.stride * sizeof(element) % 16 == 0;
  using kernel = gemm_kernel<weights_t<W>, element>;
  return launch(kernel{w, x, y, aligned}, kernel::blocks_for(w.shape()), kernel::blocks_y_for(x.shape()), stream);
}

/// y = x W^T in integers: 8-bit symmetric weights, int8 activations.  Errors: shape, device, unsupported, overflow.
template <class F, int Group>
inline result<void> gemm(const packed_view<F, linear>& w, int8_activations<Group> x, matrix_view<float> y,
                         cudaStream_t stream) {
  if (auto ok = operation_detail::check_product(w, x, y); !ok) return ok;
  if (w.group_index != nullptr)
    return make_error(errc::unsupported, "the integer kernel takes groups in their natural order",
                      "group_index == nullptr");
  if (auto ok = require_capability(80); !ok) return ok;
  if (y.empty()) return {};
  if (auto ok = require_pointer(x.codes, 1, "x"); !ok) return ok;
  using kernel = int8_gemm_kernel<F, Group>;
  return launch(kernel{w, x, y}, kernel::blocks_for(w.shape()), kernel::blocks_y_for({x.rows, x.cols}), stream);
}

/// Quantizes activations to int8: the bytes of the CPU's quantize_activations.  Errors: shape, device, overflow.
template <class T, int Group>
inline result<void> quantize_activations(matrix_view<T> x, int8_activations<Group> out, cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  if (auto ok =
          operation_detail::fits(x.rows == out.rows && x.cols == out.cols, "out has another shape than x", out.cols);
      !ok)
    return ok;
  if (x.empty()) return {};
  if (auto ok = require_pointer(x.data, alignof(element), "x"); !ok) return ok;
  if (auto ok = require_pointer(out.codes, 1, "out"); !ok) return ok;
  using kernel = quantize_int8_kernel<element, Group>;
  return launch(kernel{matrix_view<const element>(x), out}, kernel::blocks_for(x.shape()), 1, stream);
}

/// Quantizes rows to fp8 (e4m3) with one scale each.  Needs: x.rows scales.  Errors: shape, device, overflow.
template <class T>
inline result<void> quantize_activations(matrix_view<T> x, matrix_view<f8_e4m3> codes, float* scales,
                                         cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  if (auto ok = operation_detail::fits(x.rows == codes.rows && x.cols == codes.cols, "codes have another shape than x",
                                       codes.cols);
      !ok)
    return ok;
  if (x.empty()) return {};
  if (auto ok = require_pointer(x.data, alignof(element), "x"); !ok) return ok;
  if (auto ok = require_pointer(codes.data, 1, "codes"); !ok) return ok;
  if (auto ok = require_pointer(scales, alignof(float), "scales"); !ok) return ok;
  using kernel = quantize_fp8_kernel<element>;
  return launch(kernel{matrix_view<const element>(x), codes, scales}, kernel::blocks_for(x.shape()), 1, stream);
}

}  // namespace nbit::cuda

#endif  // __CUDACC__

#endif
