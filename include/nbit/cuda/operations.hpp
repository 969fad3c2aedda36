// nbit/cuda/operations.hpp — dequantize, gemv, gemm, W8A8, repack, and quantization of activations and of a KV cache.
//
// Views are those of the CPU, with pointers to memory that the current device can read; weights begin at a multiple of
// 16 bytes. Every call checks shapes, pointers and the device, starts one kernel and returns: no allocation, no
// synchronisation, no state. cuda/describe.hpp says which kernel that is. Only for CUDA units (nvcc, with
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
#include <nbit/cuda/append_rows.hpp>
#include <nbit/cuda/dequantize.hpp>
#include <nbit/cuda/fragment_gemm.hpp>
#include <nbit/cuda/gemm.hpp>
#include <nbit/cuda/gemv.hpp>
#include <nbit/cuda/int8_gemm.hpp>
#include <nbit/cuda/launch.hpp>
#include <nbit/cuda/repack.hpp>

namespace nbit::cuda {

namespace operation_detail {

/// An error unless `same` holds; found is the number that does not fit.
inline result<void> fits(bool same, const char* what, std::size_t found, const char* allowed) {
  if (same) return {};
  return make_error(errc::shape, what, allowed).with(static_cast<std::int64_t>(found));
}
inline result<void> same_shape(shape out, shape in, const char* what) {
  return fits(out == in, what, out.rows == in.rows ? out.cols : out.rows, "the shape of what is read");
}

/// Pointers of a matrix, of packed weights, of int8 activations; a matrix without elements needs none.
template <class T>
inline result<void> readable(const matrix_view<T>& m, const char* name) {
  return m.empty() ? result<void>{} : require_pointer(m.data, alignof(T), name);
}
template <class F, class L, class Byte>
inline result<void> readable(const packed_view<F, L, Byte>& w, const char* name) {
  if (w.rows == 0 || w.cols == 0) return {};
  if constexpr (std::is_same_v<L, blocks>) {
    return require_pointer(w.bytes, 16, name);
  } else {
    if (auto ok = require_pointer(w.words, 16, name); !ok) return ok;
    if (auto ok = require_pointer(w.params, alignof(typename F::params), "scales"); !ok) return ok;
    return w.group_index == nullptr ? result<void>{} : require_pointer(w.group_index, 4, "group_index");
  }
}
template <int Group>
inline result<void> readable(const int8_activations<Group>& x, const char* name) {
  return x.rows == 0 || x.cols == 0 ? result<void>{} : require_pointer(x.codes, 1, name);
}

/// Everything that y = x W^T needs; x is a matrix or int8 activations.
template <class W, class X>
inline result<void> check_product(const W& w, const X& x, const matrix_view<float>& y, int capability) {
  constexpr const char* allowed = "x is tokens by columns of the weights, y tokens by rows of the weights";
  if (auto ok = fits(x.cols == w.cols, "x has another number of columns than the weights", x.cols, allowed); !ok)
    return ok;
  if (auto ok = fits(y.cols == w.rows, "y has another number of columns than the weights have rows", y.cols, allowed);
      !ok)
    return ok;
  if (auto ok = fits(x.rows == y.rows, "x and y have different numbers of rows", y.rows, allowed); !ok) return ok;
  if (y.empty()) return {};
  if (auto ok = readable(w, "weights"); !ok) return ok;
  if (auto ok = readable(x, "x"); !ok) return ok;
  if (auto ok = readable(y, "y"); !ok) return ok;
  return require_capability(capability);
}

template <class T>
inline bool aligned16(const matrix_view<const T>& x) {
  return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && x.stride * sizeof(T) % 16 == 0;
}

/// Starts Kernel, a gemv or gemm.
template <class Kernel, class W, class T>
inline result<void> run(const W& w, matrix_view<const T> x, matrix_view<float> y, cudaStream_t stream) {
  std::size_t blocks_y = 1;
  if constexpr (requires { Kernel::blocks_y_for(shape{}); }) blocks_y = Kernel::blocks_y_for(x.shape());
  return launch(Kernel{w, x, y, aligned16(x)}, Kernel::blocks_for(w.shape()), blocks_y, stream);
}

}  // namespace operation_detail

/// Writes the weights to out as float, f16 or bf16.  Errors: shape, device, unsupported, overflow.
template <weight_matrix W, class T>
inline result<void> dequantize(const W& weights, matrix_view<T> out, cudaStream_t stream) {
  const weights_t<W> w(weights);
  if (auto ok = operation_detail::same_shape(out.shape(), w.shape(), "out has another shape than the weights"); !ok)
    return ok;
  if (auto ok = operation_detail::readable(w, "weights"); !ok) return ok;
  if (auto ok = operation_detail::readable(out, "out"); !ok) return ok;
  using kernel = dequantize_kernel<weights_t<W>, T>;
  return launch(kernel{w, out}, kernel::blocks_for(w.shape()), 1, stream);
}

/// y = x W^T for 1 to 8 rows of x (float, f16 or bf16).  Errors: shape, device, unsupported, overflow.
template <weight_matrix W, class T>
inline result<void> gemv(const W& weights, matrix_view<T> x_, matrix_view<float> y, cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  using view = weights_t<W>;
  const view w(weights);
  const matrix_view<const element> x(x_);
  if (auto ok = operation_detail::fits(x.rows <= 8, "gemv takes few rows of activations; gemm takes any number", x.rows,
                                       "0 to 8");
      !ok)
    return ok;
  if (auto ok = operation_detail::check_product(w, x, y, 75); !ok) return ok;
  if (y.empty()) return {};
  if (x.rows == 1) return operation_detail::run<gemv_kernel<view, element, 1>>(w, x, y, stream);
  if (x.rows == 2) return operation_detail::run<gemv_kernel<view, element, 2>>(w, x, y, stream);
  if (x.rows <= 4) return operation_detail::run<gemv_kernel<view, element, 4>>(w, x, y, stream);
  return operation_detail::run<gemv_kernel<view, element, 8>>(w, x, y, stream);
}

/// y = x W^T on tensor cores; x is f16 (compute capability 7.5 and up) or bf16 (8.0 and up). Weights in warp tiles stay
/// in registers, others pass through shared memory.  Errors: shape, device, unsupported, overflow.
template <weight_matrix W, class T>
inline result<void> gemm(const W& weights, matrix_view<T> x_, matrix_view<float> y, cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  using view = weights_t<W>;
  const view w(weights);
  const matrix_view<const element> x(x_);
  if (auto ok = operation_detail::check_product(w, x, y, std::is_same_v<element, bf16> ? 80 : 75); !ok) return ok;
  if (y.empty()) return {};
  if constexpr (reads_tiles<weight_reader<view>>) {
    if (x.rows <= few_tokens) return operation_detail::run<few_tokens_gemm<view, element>>(w, x, y, stream);
    return operation_detail::run<many_tokens_gemm<view, element>>(w, x, y, stream);
  } else {
    return operation_detail::run<gemm_kernel<view, element>>(w, x, y, stream);
  }
}

/// y = x W^T in integers: 8-bit symmetric weights, int8 activations.  Errors: shape, device, unsupported, overflow.
template <class F, int Group>
inline result<void> gemm(const packed_view<F, linear>& w, int8_activations<Group> x, matrix_view<float> y,
                         cudaStream_t stream) {
  if (w.group_index != nullptr)
    return make_error(errc::unsupported, "the integer kernel takes groups in their natural order",
                      "group_index == nullptr");
  if (auto ok = operation_detail::check_product(w, x, y, 80); !ok) return ok;
  using kernel = int8_gemm_kernel<F, Group>;
  return launch(kernel{w, x, y}, kernel::blocks_for(w.shape()), kernel::blocks_y_for({x.rows, x.cols}), stream);
}

/// The same codes and parameters in warp tiles, which gemv and gemm like best; the CPU's repack<warp_tiles>.
/// Errors: shape, device, overflow.
template <class F, class L, class Byte>
inline result<void> repack(const packed_view<F, L, Byte>& from_, packed_span<F, warp_tiles> to, cudaStream_t stream) {
  const packed_view<F, L> from(from_);
  if (auto ok = operation_detail::same_shape(to.shape(), from.shape(), "the tiles have another shape than the weights");
      !ok)
    return ok;
  if (auto ok = operation_detail::readable(from, "weights"); !ok) return ok;
  if (auto ok = operation_detail::readable(to, "tiles"); !ok) return ok;
  using kernel = repack_kernel<F, L>;
  return launch(kernel{from, to}, kernel::blocks_for(from.shape()), 1, stream);
}

/// Quantizes the rows of x into a KV cache from row `position` on: the bytes of the CPU's append_row.
/// Errors: shape, device, overflow.
template <appendable F, class T>
inline result<void> append_rows(matrix_view<T> x, packed_span<F, blocks> cache, std::size_t position,
                                cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  if (auto ok = operation_detail::fits(x.cols == cache.cols, "x has another number of columns than the cache", x.cols,
                                       "as many as the cache has");
      !ok)
    return ok;
  if (auto ok = operation_detail::fits(position <= cache.rows && x.rows <= cache.rows - position,
                                       "the rows do not fit the cache", x.rows, "those left from the position on");
      !ok)
    return ok;
  if (x.empty()) return {};
  if (auto ok = operation_detail::readable(x, "x"); !ok) return ok;
  if (auto ok = operation_detail::readable(cache, "cache"); !ok) return ok;
  using kernel = append_rows_kernel<F, element>;
  return launch(kernel{matrix_view<const element>(x), cache, position}, kernel::blocks_for(x.shape()), 1, stream);
}

/// Quantizes activations to int8: the bytes of the CPU's quantize_activations.  Errors: shape, device, overflow.
template <class T, int Group>
inline result<void> quantize_activations(matrix_view<T> x, int8_activations<Group> out, cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  if (auto ok = operation_detail::same_shape(shape{out.rows, out.cols}, x.shape(), "out has another shape than x"); !ok)
    return ok;
  if (auto ok = operation_detail::readable(x, "x"); !ok) return ok;
  if (auto ok = operation_detail::readable(out, "out"); !ok) return ok;
  if (x.empty()) return {};
  using kernel = quantize_int8_kernel<element, Group>;
  return launch(kernel{matrix_view<const element>(x), out}, kernel::blocks_for(x.shape()), 1, stream);
}

/// Quantizes rows to fp8 (e4m3) with one scale each.  Needs: x.rows scales.  Errors: shape, device, overflow.
template <class T>
inline result<void> quantize_activations(matrix_view<T> x, matrix_view<f8_e4m3> codes, float* scales,
                                         cudaStream_t stream) {
  using element = std::remove_const_t<T>;
  if (auto ok = operation_detail::same_shape(codes.shape(), x.shape(), "codes have another shape than x"); !ok)
    return ok;
  if (x.empty()) return {};
  if (auto ok = operation_detail::readable(x, "x"); !ok) return ok;
  if (auto ok = operation_detail::readable(codes, "codes"); !ok) return ok;
  if (auto ok = require_pointer(scales, alignof(float), "scales"); !ok) return ok;
  using kernel = quantize_fp8_kernel<element>;
  return launch(kernel{matrix_view<const element>(x), codes, scales}, kernel::blocks_for(x.shape()), 1, stream);
}

}  // namespace nbit::cuda

#endif  // __CUDACC__

#endif
