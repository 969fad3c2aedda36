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
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/solver/factor.hpp>
#include <nbit/solver/quadratic.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

class output_drift;

/// How much of the drift is made good.
struct drift_options {
  double strength = 1.0;                   // share of the correction that is applied, 0 to 1
  double damping = 0.05;                   // share of the mean diagonal added to the diagonal of H'
  const output_drift* residual = nullptr;  // how what the output is added to has moved
};

namespace detail {
/// The sums of (before - after) now^T; free functions work on it, so that no weak symbol outlives its unit's flags.
struct drift_sums {
  static constexpr std::size_t panel_tokens = 128, strip = 32;

  std::size_t rows = 0, cols = 0;     // of before and after; of now
  std::size_t height = 0, width = 0;  // padded to strips
  std::size_t pending = 0;
  std::uint64_t tokens = 0;
  buffer<float> moved, now;  // panel_tokens x height: before - after; panel_tokens x width
  buffer<double> sums;       // height x width

  NBIT_HOST_INLINE drift_sums() noexcept = default;
  NBIT_HOST_INLINE drift_sums(drift_sums&&) noexcept = default;
  NBIT_HOST_INLINE drift_sums& operator=(drift_sums&&) noexcept = default;
  NBIT_HOST_INLINE ~drift_sums() = default;
};
}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

inline result<void> drift_allocate(drift_sums& d) {
  constexpr std::size_t strip = drift_sums::strip;
  d.height = (d.rows + strip - 1) / strip * strip, d.width = (d.cols + strip - 1) / strip * strip;
  if (d.height > (std::size_t{1} << 28) || d.width > (std::size_t{1} << 28))
    return make_error(errc::overflow, "too many columns", "up to 2^28");
  auto moved = buffer<float>::zeros(drift_sums::panel_tokens * d.height);
  auto now = buffer<float>::zeros(drift_sums::panel_tokens * d.width);
  auto sums = buffer<double>::zeros(d.height * d.width);
  if (!moved) return moved.error();
  if (!now) return now.error();
  if (!sums) return sums.error();
  d.moved = *std::move(moved), d.now = *std::move(now), d.sums = *std::move(sums);
  return {};
}

/// One 32 x 32 tile of the panel's product.
inline void drift_tile(const drift_sums& d, std::size_t row, std::size_t col, float* out) {
  constexpr std::size_t strip = drift_sums::strip;
  for (std::size_t k = 0; k < strip * strip; ++k) out[k] = 0.0f;
  add_product({out, strip, d.moved.data() + row, d.height, d.now.data() + col, d.width, strip, strip, d.pending, 1.0f});
}

/// Adds the panel to the sums and empties it.
template <class Executor>
inline void drift_fold(drift_sums& d, Executor&& ex) {
  constexpr std::size_t strip = drift_sums::strip;
  ex(d.height / strip, [&d](std::size_t task) {
    float product[strip * strip];
    for (std::size_t c = 0; c < d.width; c += strip) {
      drift_tile(d, task * strip, c, product);
      for (std::size_t r = 0; r < strip; ++r)
        for (std::size_t k = 0; k < strip; ++k)
          d.sums[(task * strip + r) * d.width + c + k] += static_cast<double>(product[r * strip + k]);
    }
  });
  d.pending = 0;
}

inline result<void> drift_usable(matrix_view<const float> x) {
  for (std::size_t t = 0; t < x.rows; ++t)
    for (std::size_t c = 0; c < x.cols; ++c)
      if (!(abs(x(t, c)) <= 1e18f))
        return make_error(errc::not_finite, "activation is NaN, infinite or too large to be squared", "|x| <= 1e18")
            .at(static_cast<std::int64_t>(t), static_cast<std::int64_t>(c));
  return {};
}

template <class Executor>
inline result<void> drift_add(drift_sums& d, matrix_view<const float> before, matrix_view<const float> after,
                              matrix_view<const float> now, Executor&& ex) {
  if (before.cols != d.rows || after.cols != d.rows || now.cols != d.cols || before.rows != now.rows ||
      after.rows != now.rows)
    return make_error(errc::shape, "batches have other shapes than the statistics or each other",
                      "the same tokens twice, the layer's inputs");
  for (const matrix_view<const float>& x : {before, after, now})
    if (auto fine = drift_usable(x); !fine) return fine;
  if (d.sums.empty() && d.rows != 0 && d.cols != 0)
    if (auto done = drift_allocate(d); !done) return done;
  for (std::size_t t = 0; t < now.rows; ++t) {
    float *const moved = d.moved.data() + d.pending * d.height, *const here = d.now.data() + d.pending * d.width;
    for (std::size_t c = 0; c < d.rows; ++c) moved[c] = before(t, c) - after(t, c);
    for (std::size_t c = 0; c < d.cols; ++c) here[c] = now(t, c);
    ++d.tokens;
    if (++d.pending == drift_sums::panel_tokens) drift_fold(d, ex);
  }
  return {};
}

/// Writes the mean times scale, or zeros before the first token.  Needs: out is rows x cols.
inline void drift_write(const drift_sums& d, double scale, matrix_view<float> out) {
  NBIT_EXACT
  constexpr std::size_t strip = drift_sums::strip;
  for (std::size_t r = 0; d.sums.empty() && r < out.rows; ++r)
    for (float& v : out.row(r)) v = 0.0f;
  const double mean = d.tokens == 0 ? 0.0 : scale / static_cast<double>(d.tokens);
  float pending[strip * strip];
  for (std::size_t r = 0; r < d.height; r += strip)
    for (std::size_t c = 0; c < d.width; c += strip) {
      drift_tile(d, r, c, pending);
      for (std::size_t i = r; i < r + strip && i < d.rows; ++i)
        for (std::size_t j = c; j < c + strip && j < d.cols; ++j)
          out(i, j) = static_cast<float>(
              (d.sums[i * d.width + j] + static_cast<double>(pending[(i - r) * strip + j - c])) * mean);
    }
}

}  // namespace detail
}  // namespace NBIT_TAG

/// Statistics of how the inputs of a layer moved: the mean of (before - after) after^T over tokens.
/// Memory: 8 cols^2 bytes, and 1 KiB for each column.
class input_drift {
 public:
  NBIT_HOST_INLINE input_drift() noexcept = default;
  NBIT_HOST_INLINE input_drift(input_drift&&) noexcept = default;
  NBIT_HOST_INLINE input_drift& operator=(input_drift&&) noexcept = default;
  NBIT_HOST_INLINE ~input_drift() = default;
  NBIT_INLINE explicit input_drift(std::size_t cols) { sums_.rows = sums_.cols = cols; }

  [[nodiscard]] NBIT_INLINE std::size_t cols() const { return sums_.cols; }
  [[nodiscard]] NBIT_INLINE std::uint64_t tokens() const { return sums_.tokens; }

  /// Adds a batch: the inputs of the same tokens in the unquantized model and now. The result does not depend on how
  /// the stream was cut into batches.  Errors: shape; not_finite with row and column (then nothing was added);
  /// out_of_memory on the first call.  Cost: tokens * cols^2 multiply-adds.
  template <class Executor = serial>
  NBIT_INLINE result<void> add(matrix_view<const float> before, matrix_view<const float> after, Executor&& ex = {}) {
    return detail::drift_add(sums_, before, after, after, ex);
  }
  /// Writes the mean times scale.  Needs: out is cols x cols.
  NBIT_INLINE void write(matrix_view<float> out, double scale = 1.0) const {
    NBIT_EXPECTS(out.rows == sums_.cols && out.cols == sums_.cols, "a cols x cols matrix");
    detail::drift_write(sums_, scale, out);
  }

 private:
  detail::drift_sums sums_;
};

/// Statistics of how what a layer's output is added to has moved, against the layer's input as it is now.
/// Memory: 8 outputs inputs bytes, and half a KiB for each output and input.
class output_drift {
 public:
  NBIT_HOST_INLINE output_drift() noexcept = default;
  NBIT_HOST_INLINE output_drift(output_drift&&) noexcept = default;
  NBIT_HOST_INLINE output_drift& operator=(output_drift&&) noexcept = default;
  NBIT_HOST_INLINE ~output_drift() = default;
  NBIT_INLINE output_drift(std::size_t outputs, std::size_t inputs) { sums_.rows = outputs, sums_.cols = inputs; }

  [[nodiscard]] NBIT_INLINE std::size_t outputs() const { return sums_.rows; }
  [[nodiscard]] NBIT_INLINE std::size_t inputs() const { return sums_.cols; }
  [[nodiscard]] NBIT_INLINE std::uint64_t tokens() const { return sums_.tokens; }

  /// Adds a batch of tokens: the residual in the unquantized model and now, and the layer's input now. As input_drift.
  template <class Executor = serial>
  NBIT_INLINE result<void> add(matrix_view<const float> before, matrix_view<const float> after,
                               matrix_view<const float> input, Executor&& ex = {}) {
    return detail::drift_add(sums_, before, after, input, ex);
  }
  /// Writes the mean of (before - after) input^T times scale.  Needs: out is outputs x inputs.
  NBIT_INLINE void write(matrix_view<float> out, double scale = 1.0) const {
    NBIT_EXPECTS(out.rows == sums_.rows && out.cols == sums_.cols, "an outputs x inputs matrix");
    detail::drift_write(sums_, scale, out);
  }

 private:
  detail::drift_sums sums_;
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
