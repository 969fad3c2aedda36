// nbit/solver/calibration.hpp — what solvers know about a layer's inputs: the Gram matrix X^T X, streamed and merged.
//
// Also mean |x|, max |x|, mean square (llama.cpp's imatrix), token and sequence counts, and the shrinkage intensity
// (Ledoit and Wolf 2004, with the diagonal as target): how far the sampled correlations are to be trusted. The sums and
// their order: solver/gram_sums.hpp.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_CALIBRATION_HPP
#define NBIT_SOLVER_CALIBRATION_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/contract.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/solver/gram.hpp>

#if !defined(NBIT_NO_HEAP)

namespace nbit {

namespace detail {
struct gram_access;
}

/// Statistics of the inputs of one layer, for every solver. Linears with the same input share one.
/// Memory: 4 cols^2 bytes for the sums (half of it with gram_storage::f32), 2200 cols bytes for the panel, 12 KiB.
class hessian {
 public:
  NBIT_HOST_INLINE hessian() noexcept = default;
  NBIT_HOST_INLINE hessian(hessian&&) noexcept = default;
  NBIT_HOST_INLINE hessian& operator=(hessian&&) noexcept = default;
  NBIT_HOST_INLINE ~hessian() = default;
  /// For inputs of cols numbers; memory is taken by the first add.
  NBIT_HOST_INLINE explicit hessian(std::size_t cols, gram_storage storage = gram_storage::f64) {
    sums_.cols = cols, sums_.storage = storage;
  }
  /// The same with its memory.  Errors: out_of_memory, overflow.
  NBIT_HOST_INLINE static result<hessian> make(std::size_t cols, gram_storage storage = gram_storage::f64) {
    hessian h(cols, storage);
    if (auto done = h.allocate(); !done) return done.error();
    return result<hessian>(std::move(h));  // nvcc does not move it by itself
  }
  /// From a symmetric cols x cols matrix (its lower triangle is read) that stands for the mean of x x^T over `tokens`.
  /// Nothing else is known then: shrinkage() is 0 and mean_abs is the root of the mean square.
  /// Errors: shape if not square, out_of_memory.
  NBIT_HOST_INLINE static result<hessian> from_mean(matrix_view<const float> mean, std::uint64_t tokens = 1) {
    if (mean.rows != mean.cols)
      return make_error(errc::shape, "Gram matrix is not square", "as many rows as columns")
          .with(static_cast<std::int64_t>(mean.rows));
    result<hessian> h = make(mean.cols);
    if (h) detail::gram_from_mean(h->sums_, mean, tokens);
    return h;
  }

  /// Adds a batch, one token per row.  Errors: shape; not_finite with row and column (then nothing was added);
  /// out_of_memory on the first call.  Cost: tokens * cols^2 / 2 multiply-adds.
  template <class Executor = serial>
  NBIT_HOST_INLINE result<void> add(matrix_view<const float> x, Executor&& ex = {}) {
    if (x.cols != sums_.cols)
      return make_error(errc::shape, "batch has another number of columns than the statistics", "the layer's inputs")
          .with(static_cast<std::int64_t>(x.cols));
    if (auto done = allocate(); !done) return done;
    return detail::gram_add(sums_, x, detail::fold_with<std::remove_reference_t<Executor>>{&ex});
  }
  /// Ends a sequence (a text, a window): its tokens may be alike, and shrinkage() counts them as fewer then.
  NBIT_HOST_INLINE void end_sequence() {
    ++sums_.sequences;
    detail::sequence_end(sums_.by_sequence);
  }

  /// Adds the statistics of another stream. merge(a, b) and merge(b, a) are equal to the last bit; so the order in
  /// which many are merged is the only order that matters. Sequences that have not ended, end.  Errors: shape,
  /// out_of_memory.
  NBIT_HOST_INLINE result<void> merge(const hessian& other) {
    if (other.sums_.cols != sums_.cols)
      return make_error(errc::shape, "statistics have different numbers of columns", "the same layer's inputs")
          .with(static_cast<std::int64_t>(other.sums_.cols));
    if (other.sums_.empty()) {
      sums_.sequences += other.sums_.sequences;
      return {};
    }
    if (auto done = allocate(); !done) return done;
    return detail::gram_merge(sums_, other.sums_);
  }

  [[nodiscard]] NBIT_HOST_INLINE std::size_t cols() const { return sums_.cols; }
  [[nodiscard]] NBIT_HOST_INLINE gram_storage storage() const { return sums_.storage; }
  [[nodiscard]] NBIT_HOST_INLINE std::uint64_t tokens() const { return sums_.tokens; }
  [[nodiscard]] NBIT_HOST_INLINE std::uint64_t sequences() const { return sums_.sequences; }

  /// Writes the mean of x^2 for each column (what llama.cpp calls an importance matrix); zeros before the first token.
  NBIT_HOST_INLINE void mean_square(std::span<float> out) const {
    NBIT_EXPECTS(out.size() == sums_.cols, "one number for each column");
    if (sums_.empty()) return fill_zero(out);
    detail::gram_mean_square(sums_, out);
  }
  NBIT_HOST_INLINE void mean_abs(std::span<float> out) const {
    NBIT_EXPECTS(out.size() == sums_.cols, "one number for each column");
    if (sums_.empty()) return fill_zero(out);
    detail::gram_mean_abs(sums_, out);
  }
  /// Largest |x| of each column; empty when the statistics came from a matrix.
  [[nodiscard]] NBIT_HOST_INLINE std::span<const float> max_abs() const {
    if (sums_.empty() || !sums_.magnitudes) return {};
    return sums_.max_abs.span().first(sums_.cols);
  }

  /// How much of the off-diagonal part is noise, 0 to 1: S' = (1 - r) S + r diag(S). 1 before the first token.
  [[nodiscard]] NBIT_HOST_INLINE double shrinkage() const {
    return sums_.empty() ? 1.0 : detail::gram_shrinkage(sums_);
  }

  /// The mean of the mean squares of the columns that are ever used; 0 before the first token.
  [[nodiscard]] NBIT_HOST_INLINE double mean_diagonal() const {
    return sums_.empty() ? 0.0 : detail::gram_mean_diagonal(sums_);
  }

  /// Writes the mean Gram matrix times scale, off-diagonal entries times 1 - shrinkage.  Needs: out is cols x cols.
  template <class Executor = serial>
  NBIT_HOST_INLINE void write(matrix_view<float> out, double shrinkage = 0.0, double scale = 1.0,
                              Executor&& ex = {}) const {
    NBIT_EXPECTS(out.rows == sums_.cols && out.cols == sums_.cols, "a cols x cols matrix");
    if (sums_.empty()) {
      for (std::size_t r = 0; r < out.rows; ++r) fill_zero(out.row(r));
      return;
    }
    detail::gram_write(sums_, shrinkage, scale, out.data, out.stride, ex);
  }

 private:
  friend struct detail::gram_access;

  NBIT_HOST_INLINE static void fill_zero(std::span<float> out) {
    if (!out.empty()) __builtin_memset(out.data(), 0, out.size_bytes());
  }
  NBIT_HOST_INLINE result<void> allocate() {
    if (!sums_.empty() || sums_.cols == 0) return {};
    return detail::gram_allocate(sums_, sums_.cols);
  }

  detail::gram_sums sums_;
};

namespace detail {
/// For what writes, reads or sends the sums as they are.
struct gram_access {
  NBIT_HOST_INLINE static gram_sums& of(hessian& h) { return h.sums_; }
  NBIT_HOST_INLINE static const gram_sums& of(const hessian& h) { return h.sums_; }
  NBIT_HOST_INLINE static result<void> allocate(hessian& h) { return h.allocate(); }
};
}  // namespace detail

}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
