// nbit/io/gguf_tensor.hpp — a tensor of a GGUF file as packed weights or plain numbers, in place:
// file->tensor(name).as<q4_k>().
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGUF_TENSOR_HPP
#define NBIT_IO_GGUF_TENSOR_HPP

#include <bit>  // endian
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_file.hpp>

namespace nbit {

/// A block format that is a tensor type of GGUF files.
template <class F>
concept ggml_format = block_format<F> && requires {
  { F::ggml_type } -> std::convertible_to<int>;
  { F::name } -> std::convertible_to<const char*>;
};

namespace gguf {
inline namespace NBIT_TAG {
namespace detail {
[[nodiscard]] NBIT_INLINE error other_byte_order(const tensor_info& t) {
  return make_error(errc::unsupported, "tensor's numbers are big-endian", "bytes turned by gguf::swap_byte_order")
      .about(t.name)
      .at(t.offset);
}
}  // namespace detail

/// Views the tensor's bytes as weights of F; nothing is copied.  Errors: unsupported when the tensor has another type
/// or is big-endian.
template <ggml_format F>
[[nodiscard]] NBIT_INLINE result<packed_view<F>> tensor_as(std::type_identity<F>, const tensor_info& t) {
  if (static_cast<int>(t.type.type) != F::ggml_type)
    return make_error(errc::unsupported, "tensor has another type than asked for", F::name)
        .about(t.name)
        .at(t.offset)
        .with(static_cast<std::int64_t>(t.type.type));
  if (t.order != std::endian::little) return detail::other_byte_order(t);
  return packed_view<F>(t.bytes, shape{static_cast<std::size_t>(t.rows()), static_cast<std::size_t>(t.cols())});
}

/// Views the tensor's bytes as plain numbers.  Errors: unsupported for another type, for big-endian numbers, or bytes
/// not aligned for T.
template <class T>
  requires(std::same_as<T, float> || std::same_as<T, f16> || std::same_as<T, bf16>)
[[nodiscard]] NBIT_INLINE result<matrix_view<const T>> tensor_as(std::type_identity<T>, const tensor_info& t) {
  constexpr ggml_type wanted = std::same_as<T, float> ? ggml_type::f32
                               : std::same_as<T, f16> ? ggml_type::f16
                                                      : ggml_type::bf16;
  if (t.type.type != wanted)
    return make_error(errc::unsupported, "tensor has another type than asked for",
                      "F32 for float, F16 for f16, BF16 for bf16")
        .about(t.name)
        .at(t.offset)
        .with(static_cast<std::int64_t>(t.type.type));
  if (t.order != std::endian::little) return detail::other_byte_order(t);
  if (reinterpret_cast<std::uintptr_t>(t.bytes.data()) % alignof(T) != 0)
    return make_error(errc::unsupported, "tensor's bytes are not aligned for its numbers",
                      "general.alignment of 4 or more")
        .about(t.name)
        .at(t.offset);
  return matrix_view<const T>(reinterpret_cast<const T*>(t.bytes.data()), static_cast<std::size_t>(t.rows()),
                              static_cast<std::size_t>(t.cols()));
}

}  // namespace NBIT_TAG
}  // namespace gguf
}  // namespace nbit

#endif
