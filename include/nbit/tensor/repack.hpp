// nbit/tensor/repack.hpp — codes and parameters between unpacked, planar and blocked storage; numbers never change.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_REPACK_HPP
#define NBIT_TENSOR_REPACK_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// Writes the codes and parameters of one group.  Needs: planar words of that group are still zero.
/// n: codes in the group (a short last group has fewer than F::group / step).
template <class F, class L>
inline void store_group(packed_span<F, L> to, std::size_t r, std::size_t g, std::size_t n, const code_t<F>* codes,
                        const typename F::params& p) {
  if constexpr (std::is_same_v<L, blocks>) {
    constexpr std::size_t full = std::size_t(F::group) / std::size_t(step_of<F>);
    if (n == full) {
      F::store(to.block(r, g), p, codes);
    } else {
      code_t<F> padded[full] = {};
      for (std::size_t i = 0; i < n; ++i) padded[i] = codes[i];
      F::store(to.block(r, g), p, padded);
    }
  } else {
    to.group_params(r, g) = p;
    pack_row<L, F::bits>(codes, to.words, to.padded(), r, g * codes_per_row<F>(group_length<F>(to.cols)), n);
  }
}

/// Reads the codes of one group and returns its parameters; a block gives all its codes, a planar group only n.
template <class F, class L, class Byte>
inline typename F::params load_group(const packed_view<F, L, Byte>& from, std::size_t r, std::size_t g, std::size_t n,
                                     code_t<F>* codes) {
  if constexpr (std::is_same_v<L, blocks>) {
    F::load_codes(from.block(r, g), codes);
    return F::load_params(from.block(r, g));
  } else {
    unpack_row<L, F::bits>(from.words, from.padded(), r, g * codes_per_row<F>(group_length<F>(from.cols)), n, codes);
    return from.group_params(r, g);
  }
}

#if !defined(NBIT_NO_HEAP)

/// Packs unpacked codes into layout L.  Errors: out_of_memory; unsupported when columns were reordered into groups that
/// blocks cannot express.
template <class L, weight_format F>
inline result<packed_matrix<F, L>> pack_codes(const coded_matrix<F>& from, allocator memory = default_allocator()) {
  auto to = packed_matrix<F, L>::make(from.shape(), memory);
  if (!to) return to.error();
  if (!from.group_index.empty()) {
    if constexpr (std::is_same_v<L, blocks>) {
      return make_error(errc::unsupported, "blocks hold neighbouring columns; this tensor has reordered groups",
                        "static groups, or a planar layout");
    } else {
      auto index = buffer<std::uint32_t>::make(from.cols, memory);
      if (!index) return index.error();
      std::memcpy(index->data(), from.group_index.data(), from.cols * sizeof(std::uint32_t));
      to->group_index = *std::move(index);
    }
  }
  const std::size_t per_row_codes = codes_per_row<F>(from.cols), length = codes_per_row<F>(group_length<F>(from.cols));
  const packed_span<F, L> out = to->span();
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t g = 0; g < groups_per_row<F>(from.cols); ++g) {
      const std::size_t first = g * length, n = per_row_codes - first < length ? per_row_codes - first : length;
      store_group<F, L>(out, r, g, n, from.row_codes(r) + first, from.params[from.params_index(r, g)]);
    }
  return to;
}

/// Unpacks any packed tensor into plain codes and parameters.  Errors: out_of_memory.
template <weight_format F, class L, class Byte>
inline result<coded_matrix<F>> unpack_codes(const packed_view<F, L, Byte>& from,
                                            allocator memory = default_allocator()) {
  auto to = coded_matrix<F>::make(from.shape(), memory);
  if (!to) return to.error();
  if constexpr (!std::is_same_v<L, blocks>) {
    if (from.group_index != nullptr) {
      auto index = buffer<std::uint32_t>::make(from.cols, memory);
      if (!index) return index.error();
      std::memcpy(index->data(), from.group_index, from.cols * sizeof(std::uint32_t));
      to->group_index = *std::move(index);
    }
  }
  const std::size_t per_row_codes = codes_per_row<F>(from.cols), length = codes_per_row<F>(group_length<F>(from.cols));
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t g = 0; g < groups_per_row<F>(from.cols); ++g) {
      const std::size_t first = g * length, n = per_row_codes - first < length ? per_row_codes - first : length;
      code_t<F>* const codes = to->row_codes(r) + first;
      if constexpr (std::is_same_v<L, blocks>) {
        constexpr std::size_t full = std::size_t(F::group) / std::size_t(step_of<F>);
        if (n < full) {  // the block holds more codes than the row has room for
          code_t<F> whole[full];
          to->params[to->params_index(r, g)] = load_group(from, r, g, n, whole);
          for (std::size_t i = 0; i < n; ++i) codes[i] = whole[i];
          continue;
        }
      }
      to->params[to->params_index(r, g)] = load_group(from, r, g, n, codes);
    }
  return to;
}

/// The same codes and parameters in another layout.  Errors: as pack_codes.
template <class To, weight_format F, class L, class Byte>
  requires(std::is_same_v<To, blocks> || code_layout<To, F::bits>)
inline result<packed_matrix<F, To>> repack(const packed_view<F, L, Byte>& from,
                                           allocator memory = default_allocator()) {
  auto codes = unpack_codes(from, memory);
  if (!codes) return codes.error();
  return pack_codes<To>(*codes, memory);
}

#endif  // NBIT_NO_HEAP

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
