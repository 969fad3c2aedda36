// nbit/tensor/packed_view.hpp — packed codes and parameters that somebody else owns, with their shape.
//
// Two storages, one interface. A planar tensor keeps codes in words placed by a layout, and parameters in an array
// beside them (row by row). A blocked tensor keeps parameters and codes of each group together in the format's own
// bytes (GGUF).
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_PACKED_VIEW_HPP
#define NBIT_TENSOR_PACKED_VIEW_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/concepts.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/tensor/coded_matrix.hpp>

namespace nbit {

/// The layout a format is packed in unless another is named: its own blocks, or linear.
template <class F>
using default_layout = std::conditional_t<block_format<F>, blocks, linear>;

/// The shape of the codes of a tensor of this shape (lattice formats have one code for several weights).
template <class F>
NBIT_INLINE constexpr shape code_shape(shape s) {
  return {s.rows, codes_per_row<F>(s.cols)};
}

/// Bytes of a packed tensor: for planar layouts the codes, rounded up to 16 bytes, then the parameters.
template <weight_format F, class L = default_layout<F>>
NBIT_INLINE constexpr std::size_t packed_code_bytes(shape s) {
  if constexpr (std::is_same_v<L, blocks>) {
    return s.rows * groups_per_row<F>(s.cols) * std::size_t(F::block_bytes);
  } else {
    using word = typename L::template map<F::bits>::word;
    return (words_for<L, F::bits>(code_shape<F>(s)) * sizeof(word) + 15) / 16 * 16;
  }
}
template <weight_format F, class L = default_layout<F>>
NBIT_INLINE constexpr std::size_t packed_bytes(shape s) {
  if constexpr (requires { L::template bytes<F>(s); })  // a storage that brings its own arrangement of everything
    return L::template bytes<F>(s);
  else if constexpr (std::is_same_v<L, blocks>)
    return packed_code_bytes<F, L>(s);
  else
    return packed_code_bytes<F, L>(s) + params_count<F>(s.rows, s.cols) * sizeof(typename F::params);
}

/// A planar packed tensor: rows = outputs, cols = inputs. Byte is std::byte for a view that may be written.
template <weight_format F, class L = default_layout<F>, class Byte = const std::byte>
struct packed_view {
  static_assert(code_layout<L, F::bits>, "packed_view: L must be a layout (see layout/concepts.hpp) or nbit::blocks");
  using format = F;
  using layout = L;
  using map = typename L::template map<F::bits>;
  template <class T>
  using as_const = std::conditional_t<std::is_const_v<Byte>, const T, T>;
  using word = as_const<typename map::word>;
  using params_type = as_const<typename F::params>;

  word* words = nullptr;
  params_type* params = nullptr;
  std::size_t rows = 0, cols = 0;
  const std::uint32_t* group_index = nullptr;  // group of each column, or nullptr: column / F::group

  NBIT_HOST_INLINE constexpr packed_view() = default;
  NBIT_INLINE constexpr packed_view(word* w, params_type* p, nbit::shape s, const std::uint32_t* g = nullptr)
      : words(w), params(p), rows(s.rows), cols(s.cols), group_index(g) {}

  /// Views one region that holds codes, then parameters (packed_bytes<F, L>(shape) bytes, aligned for both).
  NBIT_INLINE packed_view(std::span<Byte> bytes, nbit::shape s) {
    NBIT_EXPECTS((bytes.size() >= packed_bytes<F, L>(s)),
                 "packed_view: the region must hold packed_bytes<F, L>(shape) bytes");
    NBIT_EXPECTS(reinterpret_cast<std::uintptr_t>(bytes.data()) % 4 == 0 || sizeof(word) == 1,
                 "packed_view: layouts of 32-bit words need a region aligned to 4 bytes");
    words = reinterpret_cast<word*>(bytes.data());
    params = reinterpret_cast<params_type*>(bytes.data() + packed_code_bytes<F, L>(s));
    rows = s.rows, cols = s.cols;
  }
  /// A writable view reads as a constant one.
  template <class Other>
    requires(std::is_const_v<Byte> && !std::is_const_v<Other>)
  NBIT_INLINE constexpr packed_view(const packed_view<F, L, Other>& w)
      : words(w.words), params(w.params), rows(w.rows), cols(w.cols), group_index(w.group_index) {}

  [[nodiscard]] NBIT_INLINE constexpr nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE constexpr nbit::shape padded() const {
    return padded_shape<L, F::bits>(code_shape<F>(shape()));
  }
  [[nodiscard]] NBIT_INLINE constexpr params_type& group_params(std::size_t r, std::size_t g) const {
    if constexpr (F::group == per_tensor)
      return params[0];
    else
      return params[r * groups_per_row<F>(cols) + g];
  }
};

/// A blocked packed tensor: rows of whole blocks of F::block_bytes, exactly as in a GGUF file.
/// A row whose columns are no multiple of the block ends in a block that is only partly read (files never hold such
/// rows).
template <block_format F, class Byte>
struct packed_view<F, blocks, Byte> {
  using format = F;
  using layout = blocks;

  Byte* bytes = nullptr;
  std::size_t rows = 0, cols = 0;

  NBIT_HOST_INLINE constexpr packed_view() = default;
  NBIT_INLINE constexpr packed_view(std::span<Byte> region, nbit::shape s) {
    NBIT_EXPECTS((region.size() >= packed_bytes<F, blocks>(s)),
                 "packed_view: the region must hold packed_bytes<F>(shape) bytes");
    bytes = region.data(), rows = s.rows, cols = s.cols;
  }
  template <class Other>
    requires(std::is_const_v<Byte> && !std::is_const_v<Other>)
  NBIT_INLINE constexpr packed_view(const packed_view<F, blocks, Other>& w)
      : bytes(w.bytes), rows(w.rows), cols(w.cols) {}

  [[nodiscard]] NBIT_INLINE constexpr nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE constexpr Byte* block(std::size_t r, std::size_t g) const {
    return bytes + (r * groups_per_row<F>(cols) + g) * std::size_t(F::block_bytes);
  }
};

/// A packed tensor that may be written.
template <weight_format F, class L = default_layout<F>>
using packed_span = packed_view<F, L, std::byte>;

namespace detail {
template <class T>
inline constexpr bool is_packed_view = false;
template <class F, class L, class B>
inline constexpr bool is_packed_view<packed_view<F, L, B>> = true;
}  // namespace detail

}  // namespace nbit

#endif
