// nbit/kernel/gram.hpp — sums += X^T X, lower triangle, for a panel of tokens; and the sums of single columns.
//
// Products of 128 tokens are formed in f32 as in kernel/product.hpp, then added to the sums, 128 tokens after 128. The
// squares of those partial products are summed in f32 beside them, in 16 lanes for each row: blocks of 576 columns, in
// each the tokens, for 128 of them the columns in order. They only serve an estimate of noise.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_GRAM_HPP
#define NBIT_KERNEL_GRAM_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/kernel/product.hpp>

namespace nbit {

/// A lower triangle by strips of 16 rows: a row of strip s holds 16 (s + 1) numbers, so that whole vectors fit.
struct gram_triangle {
  static constexpr std::size_t strip = 16;
  /// Numbers before strip s.
  NBIT_INLINE static constexpr std::size_t strip_at(std::size_t s) { return s * (s + 1) / 2 * strip * strip; }
  NBIT_INLINE static constexpr std::size_t at(std::size_t row, std::size_t column) {
    return strip_at(row / strip) + row % strip * (strip * (row / strip + 1)) + column;
  }
};

/// Inputs in strips of 48 columns, each strip token by token: tiles read it as it lies.
struct gram_panel {
  static constexpr std::size_t strip = 48, block_tokens = 128, tokens = 4 * block_tokens;
  NBIT_INLINE static constexpr std::size_t at(std::size_t token, std::size_t column) {
    return (column / strip * tokens + token) * strip + column % strip;
  }
};

/// What one call adds: two strips of rows of the triangle, or a part of them, from the first column to the diagonal.
template <class Sum>
struct gram_operands {
  const float* panel;
  std::size_t tokens;
  std::size_t first_row, last_row;        // multiples of 16 within two strips of 48 that start at a strip
  std::size_t first_column, last_column;  // multiples of 48
  Sum* sums;
  std::size_t sums_stride;  // 0: a whole gram_triangle; else a dense block that begins at first_row, first_column
  float* squares;           // [rows][16]: of the partial products left of the diagonal
};

/// The sums of single columns that a token changes; columns padded to 48.
struct gram_columns {
  double* sum_abs;
  float* max_abs;
};

inline namespace NBIT_TAG {

/// add(operands); add_tokens(x, ...); usable(x, n, limit); total(lanes).
template <class Arch>
struct gram_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/gram.inl>
#include <nbit/arch/stamp.inl>

#endif
