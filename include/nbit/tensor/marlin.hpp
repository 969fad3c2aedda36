// nbit/tensor/marlin.hpp — a linear as Marlin's kernels take it: codes, scales and zeros permuted; a run-time form.
//
//   weights  u32 [K / 16, N b / 2]   layout/marlin.hpp
//   scales   [G, N]                  outputs permuted, see marlin_scale_output
//   zeros    u32 [G, N b / 32]       layout marlin_zeros; empty for symmetric formats, whose codes count from 2^(b-1)
//   order    u32 [K]                 act-order: input c of the above is input order[c] of the linear; else empty
// No checkpoint holds this: it is made when a model is loaded, and nothing here writes files. The kernels themselves
// want K % 128 == 0 and groups of 32, 64, 128 or one for each output; the form needs K % 16 and N % 64 only.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_MARLIN_HPP
#define NBIT_TENSOR_MARLIN_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/layout/marlin.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/sorted_groups.hpp>

#if !defined(NBIT_NO_HEAP)

namespace nbit {

/// Formats that Marlin computes with: uniform, 4 or 8 bits, f16 or bf16 scales, the zero an integer.
template <class F>
concept marlin_format = grid_format<F> &&
                        requires {
                          { F::scheme } -> std::convertible_to<scheme>;
                        } && (F::bits == 4 || F::bits == 8) && F::group >= per_row &&
                        (F::scheme.scale == scale_type::f16 || F::scheme.scale == scale_type::bf16) &&
                        F::scheme.symmetry != symmetry::asymmetric_float;

inline namespace NBIT_TAG {

/// Owns a linear in Marlin's form.
template <marlin_format F>
struct marlin_weights {
  using scale_t = decltype(F::params::scale);
  std::size_t rows = 0, cols = 0;
  buffer<std::uint32_t> weights, zeros, order;
  buffer<scale_t> scales;
};

namespace detail {

template <class F>
inline result<void> marlin_shape(shape s) {
  if (s.cols % 16 != 0 || s.rows % 64 != 0)
    return make_error(errc::shape, "a linear does not fill Marlin's tiles", "inputs % 16 == 0 and outputs % 64 == 0")
        .with(static_cast<std::int64_t>(s.cols % 16 != 0 ? s.cols : s.rows));
  if (F::group > 0 && s.cols % group_length<F>(s.cols) != 0)
    return make_error(errc::shape, "inputs of a linear do not fill Marlin's groups", "a multiple of the group")
        .with(static_cast<std::int64_t>(s.cols));
  return {};
}

}  // namespace detail

/// A linear in Marlin's form; an act-order one is sorted by group first.
/// Errors: shape, unsupported (groups of unequal size), malformed (a zero over 2^b - 1), out_of_memory.
template <marlin_format F>
inline result<marlin_weights<F>> pack_marlin(const coded_matrix<F>& from) {
  if (auto ok = detail::marlin_shape<F>(from.shape()); !ok) return ok.error();
  auto sorted = sort_by_group(from);
  if (!sorted) return sorted.error();
  const coded_matrix<F>& w = sorted->weights;
  const std::size_t groups = groups_per_row<F>(w.cols);
  auto words = buffer<std::uint32_t>::zeros(words_for<marlin, F::bits>(w.shape()));
  auto scales = buffer<typename marlin_weights<F>::scale_t>::make(groups * w.rows);
  auto zeros = buffer<std::uint32_t>::zeros(F::symmetric ? 0 : words_for<marlin_zeros, F::bits>({w.rows, groups}));
  auto zero_row = buffer<std::uint8_t>::make(groups);
  if (!words) return words.error();
  if (!scales) return scales.error();
  if (!zeros) return zeros.error();
  if (!zero_row) return zero_row.error();
  for (std::size_t r = 0; r < w.rows; ++r) {
    pack_row<marlin, F::bits>(w.row_codes(r), words->data(), w.shape(), r, 0, w.cols);
    if constexpr (!F::symmetric) {
      for (std::size_t g = 0; g < groups; ++g) {
        const unsigned zero = w.params[w.params_index(r, g)].zero;
        if (zero >> F::bits != 0)
          return make_error(errc::malformed, "a zero point does not fit its width", "0 to 2^bits - 1")
              .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(g))
              .with(zero);
        (*zero_row)[g] = static_cast<std::uint8_t>(zero);
      }
      pack_row<marlin_zeros, F::bits>(zero_row->data(), zeros->data(), shape{w.rows, groups}, r, 0, groups);
    }
  }
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t p = 0; p < w.rows; ++p)
      (*scales)[g * w.rows + p] = w.params[w.params_index(marlin_scale_output(p, groups > 1), g)].scale;
  marlin_weights<F> to;
  to.rows = w.rows, to.cols = w.cols;
  to.weights = *std::move(words), to.zeros = *std::move(zeros), to.scales = *std::move(scales);
  to.order = std::move(sorted->order);
  return to;
}

/// The linear that pack_marlin packed, act-order included.
/// Errors: shape (buffers that do not belong together), malformed (an order that is no permutation), out_of_memory.
template <marlin_format F>
inline result<coded_matrix<F>> unpack_marlin(const marlin_weights<F>& from) {
  const shape s{from.rows, from.cols};
  const std::size_t groups = groups_per_row<F>(s.cols);
  if (auto ok = detail::marlin_shape<F>(s); !ok) return ok.error();
  if (from.weights.size() != words_for<marlin, F::bits>(s) || from.scales.size() != groups * s.rows ||
      from.zeros.size() != (F::symmetric ? 0 : words_for<marlin_zeros, F::bits>({s.rows, groups})))
    return make_error(errc::shape, "buffers of a linear in Marlin's form do not fit its shape");
  auto made = coded_matrix<F>::make(s);
  auto zero_row = buffer<std::uint8_t>::make(groups);
  if (!made) return made.error();
  if (!zero_row) return zero_row.error();
  sorted_matrix<F> to{*std::move(made), {}};
  coded_matrix<F>& w = to.weights;
  for (std::size_t r = 0; r < s.rows; ++r) {
    unpack_row<marlin, F::bits>(from.weights.data(), s, r, 0, s.cols, w.row_codes(r));
    if constexpr (!F::symmetric) {
      unpack_row<marlin_zeros, F::bits>(from.zeros.data(), shape{s.rows, groups}, r, 0, groups, zero_row->data());
      for (std::size_t g = 0; g < groups; ++g) w.params[w.params_index(r, g)].zero = (*zero_row)[g];
    }
  }
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t p = 0; p < s.rows; ++p)
      w.params[w.params_index(marlin_scale_output(p, groups > 1), g)].scale = from.scales[g * s.rows + p];
  if (!from.order.empty()) {
    auto order = buffer<std::uint32_t>::make(from.order.size());
    if (!order) return order.error();
    for (std::size_t i = 0; i < order->size(); ++i) (*order)[i] = from.order[i];
    to.order = *std::move(order);
  }
  return unsort(to);
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
