// engine/ggml_linear.hpp — weights in any ggml type that nbit has a format for, chosen by the number a file stores.
//
// Every format named here is compiled for every instruction set: include this where files are read, not everywhere.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_GGML_LINEAR_HPP
#define ENGINE_GGML_LINEAR_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <nbit/base/float16.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/io/ggml_type.hpp>

#include <engine/linear.hpp>

namespace engine {

/// Weights of a ggml type as they lie in a file; owner keeps the bytes alive.
/// Errors: unsupported for types without a format here, shape when the bytes are too few.
inline nbit::result<linear> ggml_linear(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s,
                                        std::shared_ptr<const void> owner) {
  const nbit::ggml_type_info* const info = nbit::find_ggml_type(static_cast<std::uint32_t>(type));
  const auto packed = [&]<class F>(F) -> nbit::result<linear> {
    if (s.cols % static_cast<std::size_t>(F::group) != 0 || bytes.size() != nbit::packed_bytes<F>(s))
      return nbit::make_error(nbit::errc::shape, "the bytes of a packed matrix do not fit its shape")
          .with(static_cast<std::int64_t>(bytes.size()));
    return linear(nbit::packed_view<F>(bytes, s), info->name, std::move(owner));
  };
  switch (type) {
    case nbit::ggml_type::f32: return dense_linear<float>(bytes, s, std::move(owner));
    case nbit::ggml_type::f16: return dense_linear<nbit::f16>(bytes, s, std::move(owner));
    case nbit::ggml_type::bf16: return dense_linear<nbit::bf16>(bytes, s, std::move(owner));
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
  return nbit::make_error(nbit::errc::unsupported, "the engine has no weights of this ggml type",
                          "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4")
      .about(info != nullptr ? info->name : "")
      .with(static_cast<std::int64_t>(type));
}

}  // namespace engine

#endif
