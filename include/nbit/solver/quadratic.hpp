// nbit/solver/quadratic.hpp — tr(E H E^T), row by row: the loss that solvers lower and metrics report.
//
// Rows come in panels of 64, transposed: the numbers of one column lie side by side, so every loop over rows is a
// vector loop of fixed length, whatever the shape of the matrix.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_QUADRATIC_HPP
#define NBIT_SOLVER_QUADRATIC_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/kernel/product.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit::detail {
/// Rows that are solved side by side; columns between two catch-ups with the columns just before; and columns that are
/// brought up to date with all others at once.
inline constexpr std::size_t panel_rows = 64, panel_columns = 32, outer_columns = 96;
static_assert(outer_columns % panel_columns == 0);
}  // namespace nbit::detail

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Copies up to 64 rows of w from `first` on to panel[place][row], missing rows as zeros.
inline void transpose_panel(matrix_view<const float> w, std::size_t first, std::span<const std::uint32_t> place,
                            float* panel) {
  const std::size_t rows = w.rows - first < panel_rows ? w.rows - first : panel_rows;
  if (rows < panel_rows)
    for (std::size_t k = 0; k < w.cols * panel_rows; ++k) panel[k] = 0.0f;
  for (std::size_t c = 0; c < w.cols; ++c) {
    float* const to = panel + (place.empty() ? c : place[c]) * panel_rows;
    for (std::size_t r = 0; r < rows; ++r) to[r] = w(first + r, c);
  }
}

/// Writes e H e^T for each of the 64 rows of a transposed panel e; h is symmetric, only its upper triangle is read.
/// Cost: 32 cols^2 multiply-adds.
inline void quadratic_form(const float* h, std::size_t stride, std::size_t cols, const float* e, double* out) {
  NBIT_EXACT
  for (std::size_t r = 0; r < panel_rows; ++r) out[r] = 0.0;
  float all_sums[outer_columns * panel_rows];
  for (std::size_t outer = 0; outer < cols; outer += outer_columns) {
    const std::size_t width = cols - outer < outer_columns ? cols - outer : outer_columns;
    for (float& v : all_sums) v = 0.0f;
    add_product({all_sums, panel_rows, h + outer, stride, e, panel_rows, width, panel_rows, outer, 1.0f});
    for (std::size_t first = outer; first < outer + width; first += panel_columns) {
      const std::size_t n = outer + width - first < panel_columns ? outer + width - first : panel_columns;
      float* const sums = all_sums + (first - outer) * panel_rows;
      add_product({sums, panel_rows, h + outer * stride + first, stride, e + outer * panel_rows, panel_rows, n,
                   panel_rows, first - outer, 1.0f});
      for (std::size_t j = 0; j < n; ++j) {
        float* const sum = sums + j * panel_rows;
        for (std::size_t i = 0; i < j; ++i) {
          const float v = h[(first + i) * stride + first + j];
          const float* const other = e + (first + i) * panel_rows;
          for (std::size_t r = 0; r < panel_rows; ++r) sum[r] += v * other[r];
        }
        const float v = h[(first + j) * stride + first + j];
        const float* const own = e + (first + j) * panel_rows;
        for (std::size_t r = 0; r < panel_rows; ++r)
          out[r] += static_cast<double>(own[r]) * static_cast<double>(2.0f * sum[r] + v * own[r]);
      }
    }
  }
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
