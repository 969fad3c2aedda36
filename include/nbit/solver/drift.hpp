// nbit/solver/drift.hpp — weights for inputs that have changed: what the layers before became is made good here.
//
// Once the layers before a linear are quantized, its inputs are x' instead of x. The output to be kept is still W x,
// and among all real matrices the one that gives it best from x' is a regression:
//   W* = W + strength W D (H' + damping)^-1        D = mean of (x - x') x'^T, H' = mean of x' x'^T
// and |W x - W^ x'|^2 = |(W* - W^) x'|^2 + what no W^ changes. So any solver and any format can be given W* for W.
// Where the output is added to a residual stream r, which has become r' by now, r + W x is to be kept: the mean of
// (r - r') x'^T joins W D, and a layer makes good also what went past it.
// Ref: the asymmetric calibration of GPTAQ (Li et al. 2025), solved exactly instead of column by column.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_DRIFT_HPP
#define NBIT_SOLVER_DRIFT_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/solver/drift_statistics.hpp>
#include <nbit/solver/factor.hpp>
#include <nbit/solver/quadratic.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// How much of the drift is made good.
struct drift_options {
  double strength = 1.0;                   // share of the correction that is applied, 0 to 1
  double damping = 0.05;                   // share of the mean diagonal added to the diagonal of H'
  const output_drift* residual = nullptr;  // how what the output is added to has moved
};

inline namespace NBIT_TAG {
namespace detail {

/// Adds strength (W D + residual) H'^-1 to 64 rows: y U D U^T = b with U = S + I, first from the last column on, then
/// from the first. residual: of all rows, or empty.
inline void retarget_panel(const metric& m, matrix_view<const float> w, const float* drift,
                           matrix_view<const float> residual, float strength, std::size_t task, float* panel,
                           matrix_view<float> out) {
  NBIT_EXACT
  const std::size_t cols = m.cols, stride = m.stride;
  float *const rows = panel, *const b = panel + cols * panel_rows;
  transpose_panel(w, task * panel_rows, {}, rows);
  if (residual.empty())
    for (std::size_t k = 0; k < cols * panel_rows; ++k) b[k] = 0.0f;
  else
    transpose_panel(residual, task * panel_rows, {}, b);
  add_product({b, panel_rows, drift, stride, rows, panel_rows, cols, panel_rows, cols, 1.0f});
  for (std::size_t k = 0; k < cols * panel_rows; ++k) b[k] *= strength;
  // z U^T = b: z_j = b_j - sum over k > j of z_k U_jk
  for (std::size_t j = cols; j-- > 0;) {
    float* const z = b + j * panel_rows;
    const float* const u = m.s.data() + j * stride;
    for (std::size_t k = j + 1; k < cols; ++k)
      for (std::size_t r = 0; r < panel_rows; ++r) z[r] -= u[k] * b[k * panel_rows + r];
  }
  // y U = z / D: y_j = z_j / D_j - sum over i < j of y_i U_ij
  for (std::size_t j = 0; j < cols; ++j) {
    float* const y = b + j * panel_rows;
    const float inverse = 1.0f / m.d[j];
    for (std::size_t r = 0; r < panel_rows; ++r) y[r] *= inverse;
    for (std::size_t i = 0; i < j; ++i) {
      const float u = m.s[i * stride + j];
      for (std::size_t r = 0; r < panel_rows; ++r) y[r] -= u * b[i * panel_rows + r];
    }
  }
  for (std::size_t r = 0; r < panel_rows && task * panel_rows + r < w.rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const float moved = w(task * panel_rows + r, c) + b[c * panel_rows + r];
      out(task * panel_rows + r, c) = is_finite(moved) ? moved : w(task * panel_rows + r, c);
    }
}

}  // namespace detail

/// The weights that give W x best from the inputs as they are now; h: the statistics of those. out may be w's memory.
/// Errors: shape, invalid_option, out_of_memory. A Gram matrix that cannot be solved with is damped as in gptq.
/// Cost: cols^3 / 3 + 2 rows cols^2 multiply-adds.
template <class Executor = serial>
result<void> retarget(matrix_view<const float> w, const hessian& h, const input_drift& drift, matrix_view<float> out,
                      const drift_options& o = {}, Executor&& ex = {}) {
  using namespace detail;
  if (h.cols() != w.cols || drift.cols() != w.cols)
    return make_error(errc::shape, "statistics have another number of columns than the weights",
                      "one input for each column")
        .with(static_cast<std::int64_t>(h.cols() != w.cols ? h.cols() : drift.cols()));
  if (out.rows != w.rows || out.cols != w.cols)
    return make_error(errc::shape, "the result has another shape than the weights", "the same rows and columns");
  if (o.residual != nullptr && (o.residual->outputs() != w.rows || o.residual->inputs() != w.cols))
    return make_error(errc::shape, "the residual's drift is of another layer", "the weights' rows and columns")
        .about("residual");
  if (!(o.strength >= 0 && o.strength <= 1))
    return make_error(errc::invalid_option, "strength is out of range", "0 to 1").about("strength");
  if (!(o.damping >= 0 && o.damping <= 1e6))
    return make_error(errc::invalid_option, "damping is out of range", "0 to 1e6").about("damping");
  if (w.empty()) return {};
  auto m = make_metric(h, {}, {o.damping, false}, ex);
  if (!m) return m.error();
  auto moved = buffer<float>::zeros(m->cols * m->stride);
  if (!moved) return moved.error();
  const double mean = h.mean_diagonal();
  drift.write({moved->data(), m->cols, m->cols, m->stride}, mean > 0 ? 1.0 / mean : 0.0);
  auto residual = buffer<float>::make(o.residual != nullptr ? w.rows * w.cols : 0);
  if (!residual) return residual.error();
  if (o.residual != nullptr) o.residual->write({residual->data(), w.rows, w.cols}, mean > 0 ? 1.0 / mean : 0.0);
  const matrix_view<const float> residual_at(residual->data(), residual->empty() ? 0 : w.rows, w.cols);
  const std::size_t tasks = (w.rows + panel_rows - 1) / panel_rows, cells = 2 * m->cols * panel_rows;
  auto failed = buffer<unsigned char>::zeros(tasks);
  if (!failed) return failed.error();
  const metric* const metric_at = &*m;
  const float* const drift_at = moved->data();
  unsigned char* const failures = failed->data();
  ex(tasks, [=, strength = o.strength](std::size_t task) {
    auto memory = buffer<float>::make(cells);
    if (!memory) {
      failures[task] = 1;
      return;
    }
    retarget_panel(*metric_at, w, drift_at, residual_at, static_cast<float>(strength), task, memory->data(), out);
  });
  for (std::size_t t = 0; t < tasks; ++t)
    if (failures[t] != 0) return make_error(errc::out_of_memory, "no memory for a panel of rows");
  return {};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
