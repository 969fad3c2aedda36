// nbit/eval/distortion.hpp — how far a quantized layer is from its original: weights, and outputs on given statistics.
// SPDX-License-Identifier: MIT
#ifndef NBIT_EVAL_DISTORTION_HPP
#define NBIT_EVAL_DISTORTION_HPP

#include <cstddef>
#include <span>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/solver/quadratic.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// Distances between a matrix and its approximation.
struct weight_distortion {
  double mean_square = 0;  // of the differences
  double relative = 0;     // squared differences over squared weights
  double max = 0;          // largest |difference|
};

inline namespace NBIT_TAG {

/// Compares two matrices of one shape, number by number.  Errors: shape.
inline result<weight_distortion> distortion(matrix_view<const float> w, matrix_view<const float> approximation) {
  NBIT_EXACT
  if (!(w.shape() == approximation.shape()))
    return make_error(errc::shape, "matrices differ in shape", "equal rows and columns");
  weight_distortion out;
  double sum = 0, energy = 0;
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) {
      const double v = static_cast<double>(w(r, c)), e = v - static_cast<double>(approximation(r, c));
      sum += e * e, energy += v * v;
      const double size = e < 0 ? -e : e;
      out.max = size > out.max ? size : out.max;
    }
  if (!w.empty()) out.mean_square = sum / (static_cast<double>(w.rows) * static_cast<double>(w.cols));
  out.relative = energy > 0 ? sum / energy : 0;
  return out;
}

/// The relative error of a layer's output on inputs with the statistics h: |(A - W) X|^2 / |W X|^2.
/// Errors: shape, out_of_memory.  Cost: rows cols^2 multiply-adds.
template <class Executor = serial>
inline result<double> relative_output_error(matrix_view<const float> w, matrix_view<const float> approximation,
                                            const hessian& h, Executor&& ex = {}) {
  using namespace detail;
  if (!(w.shape() == approximation.shape()))
    return make_error(errc::shape, "matrices differ in shape", "equal rows and columns");
  if (w.cols != h.cols())
    return make_error(errc::shape, "statistics have another number of columns than the weights",
                      "one input for each column");
  if (w.empty()) return 0.0;
  const std::size_t cols = w.cols, stride = (cols + 15) / 16 * 16, tasks = (w.rows + panel_rows - 1) / panel_rows;
  auto gram = buffer<float>::zeros(cols * stride);
  auto sums = buffer<double>::zeros(2 * panel_rows * tasks);
  auto failed = buffer<unsigned char>::zeros(tasks);
  if (!gram) return gram.error();
  if (!sums) return sums.error();
  if (!failed) return failed.error();
  const double mean = h.mean_diagonal();
  h.write({gram->data(), cols, cols, stride}, 0.0, mean > 0 ? 1.0 / mean : 1.0);
  const float* const g = gram->data();
  double* const out = sums->data();
  unsigned char* const failures = failed->data();
  ex(tasks, [=](std::size_t task) {
    auto memory = buffer<float>::make(2 * cols * panel_rows);
    if (!memory) {
      failures[task] = 1;
      return;
    }
    float *const own = memory->data(), *const error = own + cols * panel_rows;
    transpose_panel(w, task * panel_rows, {}, own);
    transpose_panel(approximation, task * panel_rows, {}, error);
    for (std::size_t k = 0; k < cols * panel_rows; ++k) error[k] -= own[k];
    quadratic_form(g, stride, cols, error, out + 2 * panel_rows * task);
    quadratic_form(g, stride, cols, own, out + 2 * panel_rows * task + panel_rows);
  });
  double error = 0, energy = 0;
  for (std::size_t t = 0; t < tasks; ++t) {
    if (failures[t] != 0) return make_error(errc::out_of_memory, "no memory for a panel of rows");
    for (std::size_t r = 0; r < panel_rows; ++r) {
      error += out[2 * panel_rows * t + r];
      energy += out[2 * panel_rows * t + panel_rows + r];
    }
  }
  return energy > 0 ? error / energy : 0.0;
}

/// The same for codes.
template <weight_format F, class Executor = serial>
inline result<double> relative_output_error(matrix_view<const float> w, const coded_matrix<F>& q, const hessian& h,
                                            Executor&& ex = {}) {
  auto values = buffer<float>::make(q.rows * q.cols);
  if (!values) return values.error();
  const matrix_view<float> view{values->data(), q.rows, q.cols};
  detail::decode_matrix(q, view);
  return relative_output_error(w, matrix_view<const float>(view), h, ex);
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
