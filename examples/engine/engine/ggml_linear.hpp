// engine/ggml_linear.hpp — weights in any ggml type that nbit has a format for, as they lie in a file.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_GGML_LINEAR_HPP
#define ENGINE_GGML_LINEAR_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include <nbit/base/result.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/io/ggml_type.hpp>

#include <engine/ggml_formats.hpp>
#include <engine/linear.hpp>

namespace engine {

/// Weights of a ggml type; owner keeps the bytes alive.
/// Errors: unsupported for types without a format here, shape when the bytes do not fit.
inline nbit::result<linear> ggml_linear(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s,
                                        std::shared_ptr<const void> owner) {
  const auto made = [&]<class W>(ggml_view<nbit::matrix_view<const W>>) {
    return dense_linear<W>(bytes, s, std::move(owner));
  };
  const auto packed = [&]<class F>(ggml_view<nbit::packed_view<F>> v) -> nbit::result<linear> {
    return linear(v.over(bytes, s), nbit::find_ggml_type(static_cast<std::uint32_t>(type))->name, std::move(owner));
  };
  // Not among ggml_views, so that code for a device need not compile them.
  const auto lattice = [&]<class F>(F) -> nbit::result<linear> {
    using one = ggml_view<nbit::packed_view<F>>;
    if (s.cols % one::block != 0 || bytes.size() != one::bytes(s))
      return nbit::make_error(nbit::errc::shape, "the bytes of a matrix do not fit its shape")
          .with(static_cast<std::int64_t>(bytes.size()));
    return packed(one{});
  };
  if (type == nbit::ggml_type::iq2_xs) return lattice(nbit::iq2_xs{});
  if (type == nbit::ggml_type::iq3_s) return lattice(nbit::iq3_s{});
  return with_ggml_view<nbit::result<linear>>(type, bytes, s, [&](auto v) {
    if constexpr (requires { packed(v); })
      return packed(v);
    else
      return made(v);
  });
}

}  // namespace engine

#endif
