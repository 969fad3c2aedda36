// nbit/base/matrix_view.hpp — rows x cols numbers in memory, rows a fixed stride apart.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_MATRIX_VIEW_HPP
#define NBIT_BASE_MATRIX_VIEW_HPP

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>

namespace nbit {

/// Rows and columns of a matrix, in elements.
struct shape {
  std::size_t rows = 0, cols = 0;
  friend NBIT_INLINE constexpr bool operator==(const shape& a, const shape& b) {
    return a.rows == b.rows && a.cols == b.cols;
  }
};

/// A matrix that somebody else owns: row-major, `stride` elements from one row to the next (stride >= cols).
template <class T>
struct matrix_view {
  using element_type = T;

  T* data = nullptr;
  std::size_t rows = 0, cols = 0, stride = 0;

  NBIT_HOST_INLINE constexpr matrix_view() = default;
  NBIT_INLINE constexpr matrix_view(T* p, std::size_t r, std::size_t c) : data(p), rows(r), cols(c), stride(c) {}
  NBIT_INLINE constexpr matrix_view(T* p, std::size_t r, std::size_t c, std::size_t s)
      : data(p), rows(r), cols(c), stride(s) {}

  /// A view of mutable elements converts to one of const elements.
  template <class U>
    requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>)
  NBIT_INLINE constexpr matrix_view(matrix_view<U> other)
      : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

  /// Accepts any two-dimensional mdspan whose columns are adjacent.
  template <class M>
    requires requires(const M& m) {
      { m.data_handle() } -> std::convertible_to<T*>;
      m.extent(std::size_t{1});
      m.stride(std::size_t{0});
    }
  NBIT_INLINE constexpr matrix_view(const M& m)
      : data(m.data_handle()),
        rows(static_cast<std::size_t>(m.extent(0))),
        cols(static_cast<std::size_t>(m.extent(1))),
        stride(static_cast<std::size_t>(m.stride(0))) {}

  [[nodiscard]] NBIT_INLINE constexpr std::span<T> row(std::size_t r) const { return {data + r * stride, cols}; }
  [[nodiscard]] NBIT_INLINE constexpr T& operator()(std::size_t r, std::size_t c) const { return data[r * stride + c]; }
  [[nodiscard]] NBIT_INLINE constexpr bool empty() const { return rows == 0 || cols == 0; }
  [[nodiscard]] NBIT_INLINE constexpr nbit::shape shape() const { return {rows, cols}; }

  /// Rows [first, first + count).
  [[nodiscard]] NBIT_INLINE constexpr matrix_view row_range(std::size_t first, std::size_t count) const {
    return {data + first * stride, count, cols, stride};
  }
};

}  // namespace nbit

#endif
