// engine/ggml_formats.hpp — from the number that a file stores for a type to the view that its weights are read
// through.
//
// Every format named here is compiled for every use of it: include this where files are read, not everywhere.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_GGML_FORMATS_HPP
#define ENGINE_GGML_FORMATS_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/io/ggml_type.hpp>

namespace engine {

/// Weights of one view type; W is nbit::packed_view<F> or nbit::matrix_view<const T>.
template <class W>
struct ggml_view {
  using view = W;
};
template <class T>
struct ggml_view<nbit::matrix_view<const T>> {
  using view = nbit::matrix_view<const T>;
  static constexpr std::size_t block = 1, alignment = alignof(T);
  static std::size_t bytes(nbit::shape s) { return s.rows * s.cols * sizeof(T); }
  static view over(std::span<const std::byte> region, nbit::shape s) {
    return {reinterpret_cast<const T*>(region.data()), s.rows, s.cols};
  }
};
template <class F>
struct ggml_view<nbit::packed_view<F>> {
  using view = nbit::packed_view<F>;
  static constexpr std::size_t block = static_cast<std::size_t>(F::group), alignment = 1;
  static std::size_t bytes(nbit::shape s) { return nbit::packed_bytes<F>(s); }
  static view over(std::span<const std::byte> region, nbit::shape s) { return view(region, s); }
};

/// f(ggml_view<W>) for the view W of a ggml type, which returns a result.
/// Errors: unsupported for types without a format here, shape when the bytes do not fit; f's own.
template <class Result, class F>
Result with_ggml_view(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s, F f) {
  const auto fitting = [&]<class View>(View v) -> Result {
    if (s.cols % View::block != 0 || bytes.size() != View::bytes(s))
      return nbit::make_error(nbit::errc::shape, "the bytes of a matrix do not fit its shape")
          .with(static_cast<std::int64_t>(bytes.size()));
    return f(v);
  };
  const auto dense = [&]<class T>(T) { return fitting(ggml_view<nbit::matrix_view<const T>>{}); };
  const auto packed = [&]<class Format>(Format) { return fitting(ggml_view<nbit::packed_view<Format>>{}); };
  switch (type) {
    case nbit::ggml_type::f32: return dense(float{});
    case nbit::ggml_type::f16: return dense(nbit::f16{});
    case nbit::ggml_type::bf16: return dense(nbit::bf16{});
    case nbit::ggml_type::q4_0: return packed(nbit::q4_0{});
    case nbit::ggml_type::q4_1: return packed(nbit::q4_1{});
    case nbit::ggml_type::q5_0: return packed(nbit::q5_0{});
    case nbit::ggml_type::q5_1: return packed(nbit::q5_1{});
    case nbit::ggml_type::q8_0: return packed(nbit::q8_0{});
    case nbit::ggml_type::q2_k: return packed(nbit::q2_k{});
    case nbit::ggml_type::q3_k: return packed(nbit::q3_k{});
    case nbit::ggml_type::q4_k: return packed(nbit::q4_k{});
    case nbit::ggml_type::q5_k: return packed(nbit::q5_k{});
    case nbit::ggml_type::q6_k: return packed(nbit::q6_k{});
    case nbit::ggml_type::iq4_nl: return packed(nbit::iq4_nl{});
    case nbit::ggml_type::iq4_xs: return packed(nbit::iq4_xs{});
    case nbit::ggml_type::mxfp4: return packed(nbit::mxfp4{});
    default: break;
  }
  const nbit::ggml_type_info* const info = nbit::find_ggml_type(static_cast<std::uint32_t>(type));
  return nbit::make_error(nbit::errc::unsupported, "the engine has no weights of this ggml type",
                          "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4")
      .about(info != nullptr ? info->name : "")
      .with(static_cast<std::int64_t>(type));
}

}  // namespace engine

#endif
