// nbit/tensor/check_values.hpp — whether every number of a packed tensor is a number.
//
// A file's blocks may hold a scale of NaN or infinity, or one so large that a value overflows; kernels would spread it
// over a whole output. Readers of files hand out views without looking inside: this looks.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_CHECK_VALUES_HPP
#define NBIT_TENSOR_CHECK_VALUES_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/tensor/repack.hpp>

#if !defined(NBIT_NO_HEAP)

namespace nbit {
inline namespace NBIT_TAG {

/// The first number of a packed tensor that is NaN or infinite, as an error with its row and column.
/// Cost: one generic decoding of the tensor; a row at a time in memory.  Errors: not_finite, out_of_memory.
template <weight_format F, class L, class Byte>
inline result<void> check_values(const packed_view<F, L, Byte>& from) {
  const std::size_t length = group_length<F>(from.cols), per_code = std::size_t(step_of<F>);
  auto codes = buffer<code_t<F>>::make(length / per_code + 1);
  auto values = buffer<float>::make(length);
  if (!codes) return codes.error();
  if (!values) return values.error();
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t first = 0, g = 0; first < from.cols; first += length, ++g) {
      const std::size_t n = from.cols - first < length ? from.cols - first : length;
      const typename F::params p = load_group(from, r, g, (n + per_code - 1) / per_code, codes->data());
      const std::span<float> out = values->span().first(n);
      if constexpr (!std::is_same_v<L, blocks> && grid_format<F>) {
        if (from.group_index != nullptr) {
          for (std::size_t i = 0; i < n; ++i)
            out[i] = F::value(static_cast<int>((*codes)[i]), from.group_params(r, from.group_index[first + i]), 0);
        } else {
          detail::value_group<F>(codes->data(), p, 0, out);
        }
      } else {
        detail::value_group<F>(codes->data(), p, 0, out);
      }
      for (std::size_t i = 0; i < n; ++i)
        if (!is_finite(out[i]))
          return make_error(errc::not_finite, "a value of a packed tensor is NaN or infinite", "finite numbers")
              .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(first + i));
    }
  return {};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
