// nbit/tensor/coded_matrix.hpp — a quantized tensor before packing: one integer per code, parameters beside it.
//
// Solvers produce it, packing consumes it. Order is plain: codes row by row, parameters row by row.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_CODED_MATRIX_HPP
#define NBIT_TENSOR_CODED_MATRIX_HPP

#include <cstddef>
#include <cstdint>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>

namespace nbit {

/// Codes in a row of cols weights.
template <class F>
NBIT_INLINE constexpr std::size_t codes_per_row(std::size_t cols) {
  return (cols + std::size_t(step_of<F>) - 1) / std::size_t(step_of<F>);
}

#if !defined(NBIT_NO_HEAP)

/// Codes and parameters of a rows x cols tensor in format F, unpacked and owned.
/// group_index, if not empty, gives the group of every column (GPTQ's g_idx); else column c belongs to group c /
/// F::group.
template <weight_format F>
struct coded_matrix {
  using format = F;

  std::size_t rows = 0, cols = 0;
  buffer<code_t<F>> codes;            // rows x codes_per_row
  buffer<typename F::params> params;  // rows x groups_per_row, or one per tensor
  buffer<std::uint32_t> group_index;  // cols, or empty

  // declared, so that no implicit one becomes a weak symbol that differently built units would share
  NBIT_HOST_INLINE coded_matrix() noexcept = default;
  NBIT_HOST_INLINE coded_matrix(coded_matrix&&) noexcept = default;
  NBIT_HOST_INLINE coded_matrix& operator=(coded_matrix&&) noexcept = default;
  NBIT_HOST_INLINE ~coded_matrix() = default;

  /// Errors: out_of_memory, overflow.
  NBIT_HOST_INLINE static result<coded_matrix> make(shape s, allocator from = default_allocator()) {
    auto c = buffer<code_t<F>>::zeros(s.rows * codes_per_row<F>(s.cols), from);
    if (!c) return c.error();
    auto p = buffer<typename F::params>::zeros(params_count<F>(s.rows, s.cols), from);
    if (!p) return p.error();
    coded_matrix m;
    m.rows = s.rows, m.cols = s.cols;
    m.codes = *std::move(c), m.params = *std::move(p);
    return result<coded_matrix>(std::move(m));  // nvcc does not move it by itself
  }

  [[nodiscard]] NBIT_INLINE nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE code_t<F>* row_codes(std::size_t r) { return codes.data() + r * codes_per_row<F>(cols); }
  [[nodiscard]] NBIT_INLINE const code_t<F>* row_codes(std::size_t r) const {
    return codes.data() + r * codes_per_row<F>(cols);
  }
  [[nodiscard]] NBIT_INLINE std::size_t params_index(std::size_t r, std::size_t g) const {
    if constexpr (F::group == per_tensor)
      return 0;
    else
      return r * groups_per_row<F>(cols) + g;
  }
  [[nodiscard]] NBIT_INLINE std::size_t group_of(std::size_t c) const {
    if (!group_index.empty()) return group_index[c];
    if constexpr (F::group > 0)
      return c / std::size_t(F::group);
    else
      return 0;
  }
};

#endif  // NBIT_NO_HEAP

}  // namespace nbit

#endif
