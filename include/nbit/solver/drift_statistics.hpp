// nbit/solver/drift_statistics.hpp — how far the inputs of a layer, and what its output is added to, have moved.
//
// Once the layers before are quantized, a layer's inputs are x' instead of x and the residual stream is r' instead of
// r. Kept are the sums of (x - x') x'^T and (r - r') x'^T over tokens: panels of a fixed size are multiplied in f32 and
// added in f64, so that the result does not depend on how the stream was cut.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_DRIFT_STATISTICS_HPP
#define NBIT_SOLVER_DRIFT_STATISTICS_HPP

#include <cstddef>
#include <cstdint>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/product.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {
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

  /// Adds a batch of tokens: the residual in the unquantized model and now, and the layer's input now. The result does
  /// not depend on how the stream was cut into batches.  Errors: shape; not_finite with row and column (then nothing
  /// was added); out_of_memory on the first call.  Cost: tokens * outputs * inputs multiply-adds.
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

/// Statistics of how the inputs of a layer moved: the mean of (before - after) after^T over tokens.
/// Memory: 8 cols^2 bytes, and 1 KiB for each column.
class input_drift {
 public:
  NBIT_HOST_INLINE input_drift() noexcept = default;
  NBIT_HOST_INLINE input_drift(input_drift&&) noexcept = default;
  NBIT_HOST_INLINE input_drift& operator=(input_drift&&) noexcept = default;
  NBIT_HOST_INLINE ~input_drift() = default;
  NBIT_INLINE explicit input_drift(std::size_t cols) : drift_(cols, cols) {}

  [[nodiscard]] NBIT_INLINE std::size_t cols() const { return drift_.inputs(); }
  [[nodiscard]] NBIT_INLINE std::uint64_t tokens() const { return drift_.tokens(); }

  /// Adds a batch: the inputs of the same tokens in the unquantized model and now. As output_drift.
  template <class Executor = serial>
  NBIT_INLINE result<void> add(matrix_view<const float> before, matrix_view<const float> after, Executor&& ex = {}) {
    return drift_.add(before, after, after, ex);
  }
  /// Writes the mean times scale.  Needs: out is cols x cols.
  NBIT_INLINE void write(matrix_view<float> out, double scale = 1.0) const { drift_.write(out, scale); }

 private:
  output_drift drift_;
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
