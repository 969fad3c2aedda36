// nbit/tensor/packed_matrix.hpp — an owned packed tensor; hand out view() to kernels.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_PACKED_MATRIX_HPP
#define NBIT_TENSOR_PACKED_MATRIX_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>

#if !defined(NBIT_NO_HEAP)

namespace nbit {

/// Owns the bytes of a packed tensor (and the group of each column, if columns were reordered).
template <weight_format F, class L = default_layout<F>>
struct packed_matrix {
  using format = F;
  using layout = L;

  std::size_t rows = 0, cols = 0;
  buffer<std::byte> bytes;
  buffer<std::uint32_t> group_index;

  // declared, so that no implicit one becomes a weak symbol that differently built units would share
  NBIT_HOST_INLINE packed_matrix() noexcept = default;
  NBIT_HOST_INLINE packed_matrix(packed_matrix&&) noexcept = default;
  NBIT_HOST_INLINE packed_matrix& operator=(packed_matrix&&) noexcept = default;
  NBIT_HOST_INLINE ~packed_matrix() = default;

  /// Zeroed storage for a tensor of this shape.  Errors: out_of_memory, overflow.
  NBIT_HOST_INLINE static result<packed_matrix> make(nbit::shape s, allocator from = default_allocator()) {
    auto b = buffer<std::byte>::zeros(packed_bytes<F, L>(s), from);
    if (!b) return b.error();
    packed_matrix m;
    m.rows = s.rows, m.cols = s.cols;
    m.bytes = *std::move(b);
    return result<packed_matrix>(std::move(m));  // nvcc does not move it by itself
  }

  [[nodiscard]] NBIT_INLINE nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE packed_view<F, L> view() const {
    return with_index(packed_view<F, L>(bytes.span(), shape()));
  }
  [[nodiscard]] NBIT_INLINE packed_span<F, L> span() { return with_index(packed_span<F, L>(bytes.span(), shape())); }

 private:
  template <class View>
  NBIT_INLINE View with_index(View v) const {
    if constexpr (requires { v.group_index; }) v.group_index = group_index.empty() ? nullptr : group_index.data();
    return v;
  }
};

}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
