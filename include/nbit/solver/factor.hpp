// nbit/solver/factor.hpp — a Gram matrix made safe to solve with, and its factor H = (S + I) D (S + I)^T, S strictly
// upper.
//
// With this factor the loss of an error E is sum_j D_j |e_j + sum_{i<j} e_i S_ij|^2: rounding column j of
// W + (W - W^) S to nearest is GPTQ, and no inverse is needed (Chee et al. 2023). A metric never fails to exist: where
// the factorization breaks down the damping grows, then small diagonals are raised, and at last only the diagonal
// stays, which makes every solver a weighted rounding. The report says which rung was taken.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_FACTOR_HPP
#define NBIT_SOLVER_FACTOR_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/product.hpp>
#include <nbit/solver/calibration.hpp>

#if !defined(NBIT_NO_HEAP)

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// How far down the ladder a solver had to go to get a factor.
enum class ladder_rung : std::uint8_t {
  as_asked,       // the damping that was asked for
  more_damping,   // ten times as much, perhaps more than once, up to the mean of the diagonal
  raised_floor,   // small diagonal entries raised to a share of the largest
  diagonal_only,  // correlations dropped: weighted rounding
};

/// What it took to make a usable metric from a Gram matrix.
struct metric_report {
  ladder_rung rung = ladder_rung::as_asked;
  double damping = 0;               // added to the diagonal, as a share of its mean
  double floor = 0;                 // raised_floor: the least diagonal entry, as a share of the largest
  double shrinkage = 0;             // share of the off-diagonal entries taken away
  std::size_t dead_columns = 0;     // inputs that were always 0: their weights are rounded to nearest
  std::size_t cleaned_columns = 0;  // inputs whose statistics were NaN, infinite or negative: treated as uncorrelated
};

/// How a Gram matrix is made safe.
struct metric_options {
  double damping = 0.01;  // share of the mean diagonal that is added to the diagonal
  bool shrink = true;     // take the sampling noise out of the correlations (hessian::shrinkage)
};

/// A metric, scaled so that live diagonal entries of the Gram matrix have mean 1. Its factor may be that of the columns
/// in another order.
struct metric {
  std::size_t cols = 0, stride = 0;
  buffer<float> h;  // the damped matrix, full and symmetric, columns as they are; padded columns are zero
  buffer<float> s;  // S above the diagonal (the rest is unspecified), in solving order
  buffer<float> d;  // D, likewise
  metric_report report = {};

  NBIT_HOST_INLINE metric() noexcept = default;
  NBIT_HOST_INLINE metric(metric&&) noexcept = default;
  NBIT_HOST_INLINE metric& operator=(metric&&) noexcept = default;
  NBIT_HOST_INLINE ~metric() = default;
};

inline namespace NBIT_TAG {
namespace detail {

inline constexpr std::size_t factor_block = 64;

/// Factors the last block (rows and columns first .. last) in double; false when a pivot is not safely positive.
inline bool factor_diagonal(float* s, std::size_t stride, float* d, std::size_t first, std::size_t last,
                            const float* diagonal, double* block) {
  NBIT_EXACT
  const std::size_t n = last - first;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i; j < n; ++j)
      block[i * factor_block + j] = static_cast<double>(s[(first + i) * stride + first + j]);
  for (std::size_t k = n; k-- > 0;) {
    const double pivot = block[k * factor_block + k];
    if (!(pivot > 4e-7 * static_cast<double>(diagonal[first + k])) || !(pivot < 1e30)) return false;
    d[first + k] = static_cast<float>(pivot);
    for (std::size_t i = 0; i < k; ++i) {
      const double share = block[i * factor_block + k] / pivot;
      for (std::size_t j = i; j < k; ++j) block[i * factor_block + j] -= share * block[j * factor_block + k];
    }
    for (std::size_t i = 0; i < k; ++i) block[i * factor_block + k] /= pivot;
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j)
      s[(first + i) * stride + first + j] = static_cast<float>(block[i * factor_block + j]);
  return true;
}

/// Factors the upper triangle of s in place; false when the matrix is not positive definite in this precision.
/// transposed: 2 * factor_block * stride floats of scratch; block: factor_block^2 doubles.
/// Cost: cols^3 / 3 multiply-adds.
template <class Executor>
inline bool factor_upper(float* s, std::size_t cols, std::size_t stride, float* d, const float* diagonal,
                         float* transposed, double* block, Executor&& ex) {
  float* const scaled = transposed + factor_block * stride;
  for (std::size_t b = (cols + factor_block - 1) / factor_block; b-- > 0;) {
    const std::size_t first = b * factor_block, last = first + factor_block < cols ? first + factor_block : cols;
    if (!factor_diagonal(s, stride, d, first, last, diagonal, block)) return false;
    // The columns of this block above it: B = U_b D U_c^T, solved for X = U_b D with rows and columns swapped.
    ex(b, [=](std::size_t strip) {
      NBIT_EXACT
      const std::size_t from = strip * factor_block;
      for (std::size_t k = last - first; k-- > 0;) {
        float* const x = transposed + k * stride + from;
        for (std::size_t i = 0; i < factor_block; ++i) x[i] = s[(from + i) * stride + first + k];
        for (std::size_t m = k + 1; m < last - first; ++m) {
          const float u = s[(first + k) * stride + first + m];
          const float* const other = transposed + m * stride + from;
          for (std::size_t i = 0; i < factor_block; ++i) x[i] -= u * other[i];
        }
        float* const y = scaled + k * stride + from;
        const float inverse = 1.0f / d[first + k];
        for (std::size_t i = 0; i < factor_block; ++i) y[i] = x[i] * inverse;
        for (std::size_t i = 0; i < factor_block; ++i) s[(from + i) * stride + first + k] = y[i];
      }
    });
    // What is left of the upper triangle: A -= U_b D U_b^T.
    ex(b, [=](std::size_t strip) {
      const std::size_t from = strip * factor_block;
      add_product({s + from * stride + from, stride, scaled + from, stride, transposed + from, stride, factor_block,
                   first - from, last - first, -1.0f});
    });
  }
  return true;
}

/// Makes dead and unusable columns independent with a diagonal entry of 1, and drops entries that are not numbers.
inline void clean_metric(metric& m) {
  const std::size_t n = m.cols;
  const auto usable = [](float diagonal) { return diagonal > 0.0f && diagonal <= 1e30f; };
  for (std::size_t j = 0; j < n; ++j) m.d[j] = m.h[j * m.stride + j];
  for (std::size_t j = 0; j < n; ++j) {
    bool dropped = false;
    float* const row = m.h.data() + j * m.stride;
    for (std::size_t i = 0; i < n; ++i) {
      const bool both = usable(m.d[i]) && usable(m.d[j]);
      if (i == j) {
        row[i] = both ? row[i] : 1.0f;
      } else if (!both) {
        row[i] = 0.0f;
      } else if (!(abs(row[i]) <= 1e30f)) {
        row[i] = 0.0f, dropped = true;
      }
    }
    if (m.d[j] == 0.0f)
      ++m.report.dead_columns;
    else if (dropped || !usable(m.d[j]))
      ++m.report.cleaned_columns;
  }
}

/// Factors m.h down the ladder, column c at place[c]. diagonal: cols floats of scratch.
template <class Executor>
inline void climb_down(metric& m, double damping, std::span<const std::uint32_t> place, float* diagonal,
                       float* transposed, double* block, Executor&& ex) {
  NBIT_EXACT
  const std::size_t n = m.cols;
  const auto at = [place](std::size_t c) { return place.empty() ? c : static_cast<std::size_t>(place[c]); };
  float largest = 0.0f;
  for (std::size_t j = 0; j < n; ++j) {
    diagonal[j] = m.h[j * m.stride + j];
    largest = diagonal[j] > largest ? diagonal[j] : largest;
  }
  const auto attempt = [&](double added, float least) {
    for (std::size_t j = 0; j < n; ++j) {
      const float raised = diagonal[j] < least ? least : diagonal[j];
      m.h[j * m.stride + j] = static_cast<float>(static_cast<double>(raised) + added);
    }
    m.report.damping = added;
    for (std::size_t r = 0; r < n; ++r) {
      float* const to = m.s.data() + at(r) * m.stride;
      for (std::size_t c = 0; c < n; ++c) to[at(c)] = m.h[r * m.stride + c];
      for (std::size_t c = n; c < m.stride; ++c) to[c] = 0.0f;
    }
    // Pivots are compared with the diagonal as it went in.
    float* const entered = transposed + 2 * factor_block * m.stride;
    for (std::size_t j = 0; j < n; ++j) entered[at(j)] = m.h[j * m.stride + j];
    return factor_upper(m.s.data(), n, m.stride, m.d.data(), entered, transposed, block, ex);
  };
  m.report.rung = ladder_rung::as_asked;
  if (attempt(damping, 0.0f)) return;
  m.report.rung = ladder_rung::more_damping;
  double more = damping;
  while (more < 1.0) {
    more = more < 1e-4 ? 1e-4 : more * 10 > 1.0 ? 1.0 : more * 10;
    if (attempt(more, 0.0f)) return;
  }
  m.report.rung = ladder_rung::raised_floor;
  for (double share = 1e-6; share < 0.5; share *= 10) {
    m.report.floor = share;
    if (attempt(more, static_cast<float>(share * static_cast<double>(largest)))) return;
  }
  m.report.rung = ladder_rung::diagonal_only, m.report.damping = damping, m.report.floor = 0;
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < m.stride; ++i) m.h[j * m.stride + i] = m.s[j * m.stride + i] = 0.0f;
    m.h[j * m.stride + j] = m.d[at(j)] = static_cast<float>(static_cast<double>(diagonal[j]) + damping);
  }
}

/// Makes the metric of a Gram matrix. place: where each column goes in the factor, or empty.
/// Errors: out_of_memory, overflow.  Memory: two cols^2 floats.
template <class Executor>
inline result<metric> make_metric(const hessian& gram, std::span<const std::uint32_t> place, const metric_options& o,
                                  Executor&& ex) {
  const std::size_t n = gram.cols(), stride = (n + 15) / 16 * 16;
  if (stride > 0xffffffffu / 4) return make_error(errc::overflow, "too many columns for a metric", "up to 2^30");
  auto h = buffer<float>::zeros(n * stride);
  auto s = buffer<float>::make(n * stride);
  auto d = buffer<float>::zeros(n);
  auto diagonal = buffer<float>::make(n);
  auto transposed = buffer<float>::make((2 * factor_block + 1) * stride + factor_block);
  auto block = buffer<double>::make(factor_block * factor_block);
  if (!h) return h.error();
  if (!s) return s.error();
  if (!d) return d.error();
  if (!diagonal) return diagonal.error();
  if (!transposed) return transposed.error();
  if (!block) return block.error();
  metric m;
  m.cols = n, m.stride = stride;
  m.h = *std::move(h), m.s = *std::move(s), m.d = *std::move(d);
  m.report.shrinkage = o.shrink ? gram.shrinkage() : 0.0;
  const double mean = gram.mean_diagonal();
  gram.write({m.h.data(), n, n, stride}, m.report.shrinkage, mean > 0 ? 1.0 / mean : 1.0);
  clean_metric(m);
  climb_down(m, o.damping > 0 ? o.damping : 0.0, place, diagonal->data(), transposed->data(), block->data(), ex);
  return m;
}

/// Joins every `step` columns to one: the diagonal blocks of S become zero and the rows above them take their inverse
/// along (H = (S + I) D (S + I)^T with D block-diagonal), for formats that round `step` weights to one lattice point.
inline void join_columns(metric& m, std::size_t step) {
  NBIT_EXACT
  for (std::size_t first = 0; first + step <= m.cols; first += step)
    for (std::size_t i = 0; i < first; ++i) {
      float* const row = m.s.data() + i * m.stride + first;
      for (std::size_t k = 0; k < step; ++k)
        for (std::size_t l = 0; l < k; ++l) row[k] -= row[l] * m.s[(first + l) * m.stride + first + k];
    }
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif  // NBIT_NO_HEAP
#endif
