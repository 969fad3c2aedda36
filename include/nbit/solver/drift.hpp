// nbit/solver/drift.hpp — weights for inputs that have changed: what the layers before became is made good here.
//
// Once the layers before a linear are quantized, its inputs are x' instead of x. The output to be kept is still W x,
// and among all real matrices the one that gives it best from x' is a regression:
//   W* = W + strength W D (H' + damping)^-1        D = mean of (x - x') x'^T, H' = mean of x' x'^T
// and |W x - W^ x'|^2 = |(W* - W^) x'|^2 + what no W^ changes. So any solver and any format can be given W* for W.
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

/// How much of the drift is made good.
struct drift_options {
  double strength = 1.0;  // share of the correction that is applied, 0 to 1
  double damping = 0.05;  // share of the mean diagonal added to the diagonal of H'
};

namespace detail {
/// The sums behind an input_drift; free functions work on it, so that no weak symbol outlives its unit's flags.
struct drift_sums {
  static constexpr std::size_t panel_tokens = 128, strip = 32;

  std::size_t cols = 0, stride = 0, pending = 0;
  std::uint64_t tokens = 0;
  buffer<float> moved, now;  // panel_tokens x stride: before - after, after
  buffer<double> sums;       // stride x stride

  NBIT_HOST_INLINE drift_sums() noexcept = default;
  NBIT_HOST_INLINE drift_sums(drift_sums&&) noexcept = default;
  NBIT_HOST_INLINE drift_sums& operator=(drift_sums&&) noexcept = default;
  NBIT_HOST_INLINE ~drift_sums() = default;
};
}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

inline result<void> drift_allocate(drift_sums& d) {
  d.stride = (d.cols + drift_sums::strip - 1) / drift_sums::strip * drift_sums::strip;
  if (d.stride > (std::size_t{1} << 28)) return make_error(errc::overflow, "too many columns", "up to 2^28");
  auto moved = buffer<float>::zeros(drift_sums::panel_tokens * d.stride);
  auto now = buffer<float>::zeros(drift_sums::panel_tokens * d.stride);
  auto sums = buffer<double>::zeros(d.stride * d.stride);
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
  add_product(
      {out, strip, d.moved.data() + row, d.stride, d.now.data() + col, d.stride, strip, strip, d.pending, 1.0f});
}

/// Adds the panel to the sums and empties it.
template <class Executor>
inline void drift_fold(drift_sums& d, Executor&& ex) {
  constexpr std::size_t strip = drift_sums::strip;
  ex(d.stride / strip, [&d](std::size_t task) {
    float product[strip * strip];
    for (std::size_t c = 0; c < d.stride; c += strip) {
      drift_tile(d, task * strip, c, product);
      for (std::size_t r = 0; r < strip; ++r)
        for (std::size_t k = 0; k < strip; ++k)
          d.sums[(task * strip + r) * d.stride + c + k] += static_cast<double>(product[r * strip + k]);
    }
  });
  d.pending = 0;
}

template <class Executor>
inline result<void> drift_add(drift_sums& d, matrix_view<const float> before, matrix_view<const float> after,
                              Executor&& ex) {
  if (before.cols != d.cols || after.cols != d.cols || before.rows != after.rows)
    return make_error(errc::shape, "batches have other shapes than the statistics or each other",
                      "the same tokens twice, the layer's inputs");
  for (std::size_t t = 0; t < before.rows; ++t)
    for (std::size_t c = 0; c < d.cols; ++c)
      if (!(abs(before(t, c)) <= 1e18f && abs(after(t, c)) <= 1e18f))
        return make_error(errc::not_finite, "activation is NaN, infinite or too large to be squared", "|x| <= 1e18")
            .at(static_cast<std::int64_t>(t), static_cast<std::int64_t>(c));
  if (d.sums.empty() && d.cols != 0)
    if (auto done = drift_allocate(d); !done) return done;
  for (std::size_t t = 0; t < before.rows; ++t) {
    float *const moved = d.moved.data() + d.pending * d.stride, *const now = d.now.data() + d.pending * d.stride;
    for (std::size_t c = 0; c < d.cols; ++c) moved[c] = before(t, c) - after(t, c), now[c] = after(t, c);
    ++d.tokens;
    if (++d.pending == drift_sums::panel_tokens) drift_fold(d, ex);
  }
  return {};
}

inline void drift_write(const drift_sums& d, double scale, float* out, std::size_t stride) {
  NBIT_EXACT
  constexpr std::size_t strip = drift_sums::strip;
  const double mean = d.tokens == 0 ? 0.0 : scale / static_cast<double>(d.tokens);
  float pending[strip * strip];
  for (std::size_t r = 0; r < d.stride; r += strip)
    for (std::size_t c = 0; c < d.stride; c += strip) {
      drift_tile(d, r, c, pending);
      for (std::size_t i = r; i < r + strip && i < d.cols; ++i)
        for (std::size_t j = c; j < c + strip && j < d.cols; ++j)
          out[i * stride + j] = static_cast<float>(
              (d.sums[i * d.stride + j] + static_cast<double>(pending[(i - r) * strip + j - c])) * mean);
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
  NBIT_INLINE explicit input_drift(std::size_t cols) { sums_.cols = cols; }

  [[nodiscard]] NBIT_INLINE std::size_t cols() const { return sums_.cols; }
  [[nodiscard]] NBIT_INLINE std::uint64_t tokens() const { return sums_.tokens; }

  /// Adds a batch: the inputs of the same tokens in the unquantized model and now. The result does not depend on how
  /// the stream was cut into batches.  Errors: shape; not_finite with row and column (then nothing was added);
  /// out_of_memory on the first call.  Cost: tokens * cols^2 multiply-adds.
  template <class Executor = serial>
  NBIT_INLINE result<void> add(matrix_view<const float> before, matrix_view<const float> after, Executor&& ex = {}) {
    return detail::drift_add(sums_, before, after, ex);
  }
  /// Writes the mean times scale.  Needs: out is cols x cols.
  NBIT_INLINE void write(matrix_view<float> out, double scale = 1.0) const {
    NBIT_EXPECTS(out.rows == sums_.cols && out.cols == sums_.cols, "a cols x cols matrix");
    if (!sums_.sums.empty()) return detail::drift_write(sums_, scale, out.data, out.stride);
    for (std::size_t r = 0; r < out.rows; ++r)
      for (float& v : out.row(r)) v = 0.0f;
  }

 private:
  detail::drift_sums sums_;
};

inline namespace NBIT_TAG {
namespace detail {

/// Adds strength W D H'^-1 to 32 rows: y U D U^T = b with U = S + I, first from the last column on, then from the
/// first.
inline void retarget_panel(const metric& m, matrix_view<const float> w, const float* drift, float strength,
                           std::size_t task, float* panel, matrix_view<float> out) {
  NBIT_EXACT
  const std::size_t cols = m.cols, stride = m.stride;
  float *const rows = panel, *const b = panel + cols * panel_rows;
  transpose_panel(w, task * panel_rows, {}, rows);
  for (std::size_t k = 0; k < cols * panel_rows; ++k) b[k] = 0.0f;
  add_product({b, panel_rows, drift, stride, rows, panel_rows, cols, panel_rows, cols, strength});
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
    retarget_panel(*metric_at, w, drift_at, static_cast<float>(strength), task, memory->data(), out);
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
