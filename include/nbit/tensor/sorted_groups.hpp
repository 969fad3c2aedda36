// nbit/tensor/sorted_groups.hpp — columns of an act-order matrix sorted by group, and the order that undoes it.
//
// Kernels for GPUs (Marlin, ExLlama) want neighbouring columns in one group: they gather the activations by the same
// order instead.  Ref: docs/layouts.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_SORTED_GROUPS_HPP
#define NBIT_TENSOR_SORTED_GROUPS_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>

#if !defined(NBIT_NO_HEAP)

namespace nbit {
inline namespace NBIT_TAG {

/// A matrix whose groups are in order: column c of it is column order[c] of the one it was made from. An empty order
/// means that nothing moved.
template <weight_format F>
struct sorted_matrix {
  coded_matrix<F> weights;
  buffer<std::uint32_t> order;
};

/// Sorts columns by group, neighbours of a group in their old order.
/// Errors: unsupported when a group has not exactly F::group columns, out_of_memory.
template <grid_format F>
inline result<sorted_matrix<F>> sort_by_group(const coded_matrix<F>& from) {
  sorted_matrix<F> to;
  auto weights = coded_matrix<F>::make(from.shape());
  if (!weights) return weights.error();
  to.weights = *std::move(weights);
  if (from.params.size() != 0)
    std::memcpy(to.weights.params.data(), from.params.data(), from.params.size() * sizeof(typename F::params));
  if (from.group_index.empty()) {
    if (from.codes.size() != 0)
      std::memcpy(to.weights.codes.data(), from.codes.data(), from.codes.size() * sizeof(code_t<F>));
    return to;
  }
  const std::size_t groups = groups_per_row<F>(from.cols), length = group_length<F>(from.cols);
  auto next = buffer<std::uint32_t>::make(groups);
  auto order = buffer<std::uint32_t>::make(from.cols);
  if (!next) return next.error();
  if (!order) return order.error();
  for (std::size_t g = 0; g < groups; ++g) (*next)[g] = static_cast<std::uint32_t>(g * length);
  for (std::size_t c = 0; c < from.cols; ++c) {
    const std::size_t g = from.group_index[c];
    const std::size_t end = (g + 1) * length < from.cols ? (g + 1) * length : from.cols;
    if (g >= groups || (*next)[g] >= end)
      return make_error(errc::unsupported, "a group has another number of columns than the format's group",
                        "as many columns in each group as the format says")
          .at(0, static_cast<std::int64_t>(c))
          .with(static_cast<std::int64_t>(g));
    (*order)[(*next)[g]++] = static_cast<std::uint32_t>(c);
  }
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t c = 0; c < from.cols; ++c) to.weights.row_codes(r)[c] = from.row_codes(r)[(*order)[c]];
  to.order = *std::move(order);
  return to;
}

/// The matrix that sort_by_group sorted.  Needs: order empty, or a permutation of the columns.
/// Errors: malformed when order is none, shape, out_of_memory.
template <grid_format F>
inline result<coded_matrix<F>> unsort(const sorted_matrix<F>& from) {
  const coded_matrix<F>& w = from.weights;
  auto to = coded_matrix<F>::make(w.shape());
  if (!to) return to.error();
  if (w.params.size() != 0)
    std::memcpy(to->params.data(), w.params.data(), w.params.size() * sizeof(typename F::params));
  if (from.order.empty()) {
    if (w.codes.size() != 0) std::memcpy(to->codes.data(), w.codes.data(), w.codes.size() * sizeof(code_t<F>));
    return to;
  }
  if (from.order.size() != w.cols)
    return make_error(errc::shape, "an order of columns has another length than the matrix",
                      "one place for each column")
        .with(static_cast<std::int64_t>(from.order.size()));
  auto index = buffer<std::uint32_t>::make(w.cols);
  if (!index) return index.error();
  for (std::uint32_t& i : *index) i = ~std::uint32_t{0};
  for (std::size_t c = 0; c < w.cols; ++c) {
    const std::size_t at = from.order[c];
    if (at >= w.cols || (*index)[at] != ~std::uint32_t{0})
      return make_error(errc::malformed, "an order of columns is no permutation", "each column once")
          .at(0, static_cast<std::int64_t>(c))
          .with(static_cast<std::int64_t>(at));
    (*index)[at] = static_cast<std::uint32_t>(c / group_length<F>(w.cols));
    for (std::size_t r = 0; r < w.rows; ++r) to->row_codes(r)[at] = w.row_codes(r)[c];
  }
  to->group_index = *std::move(index);
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
