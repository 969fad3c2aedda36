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

inline constexpr std::size_t factor_block = 96;

/// Scratch of one factorization.
struct factor_memory {
  buffer<float> scaled;   // [cols][factor_block]: U's rows of this block, for all columns behind it
  buffer<float> rows;     // [factor_block][stride]: the block's rows before they are solved
  buffer<float> inverse;  // [factor_block][factor_block]
  buffer<double> block;   // the block itself, then its inverse
};

inline result<factor_memory> make_factor_memory(std::size_t cols, std::size_t stride) {
  auto scaled = buffer<float>::make(cols * factor_block);
  auto rows = buffer<float>::make(factor_block * stride);
  auto inverse = buffer<float>::make(factor_block * factor_block);
  auto block = buffer<double>::make(2 * factor_block * factor_block);
  if (!scaled) return scaled.error();
  if (!rows) return rows.error();
  if (!inverse) return inverse.error();
  if (!block) return block.error();
  factor_memory m;
  m.scaled = *std::move(scaled), m.rows = *std::move(rows), m.inverse = *std::move(inverse);
  m.block = *std::move(block);
  return result<factor_memory>(std::move(m));  // nvcc does not move it by itself
}

/// Factors the block at rows and columns first .. last of the lower triangle in double, A = U D U^T, writes (U D)^T in
/// its place and the inverse of U, transposed; false when a pivot is not safely positive.
inline bool factor_diagonal(float* s, std::size_t stride, float* d, std::size_t first, std::size_t last,
                            const float* diagonal, factor_memory& memory) {
  NBIT_EXACT
  const std::size_t n = last - first;
  double *const block = memory.block.data(), *const inverse = block + factor_block * factor_block;
  for (std::size_t j = 0; j < n; ++j)  // row j of `block`: column j of U above the diagonal, so loops are along rows
    for (std::size_t i = 0; i <= j; ++i)
      block[j * factor_block + i] = static_cast<double>(s[(first + j) * stride + first + i]);
  for (std::size_t k = n; k-- > 0;) {
    double* const column = block + k * factor_block;
    const double pivot = column[k];
    if (!(pivot > 4e-7 * static_cast<double>(diagonal[first + k])) || !(pivot < 1e30)) return false;
    d[first + k] = static_cast<float>(pivot);
    for (std::size_t j = 0; j < k; ++j) {
      const double share = column[j] / pivot;
      double* const other = block + j * factor_block;
      for (std::size_t i = 0; i <= j; ++i) other[i] -= share * column[i];
    }
    for (std::size_t i = 0; i < k; ++i) s[(first + k) * stride + first + i] = static_cast<float>(column[i]);
    for (std::size_t i = 0; i < k; ++i) column[i] /= pivot;
  }
  // Row m of `inverse` is column m of V = U^-1: V = I - (U - I) V, from the last row of V to the first.
  for (std::size_t m = 0; m < n; ++m) {
    double* const v = inverse + m * factor_block;
    for (std::size_t k = 0; k < n; ++k) v[k] = k == m ? 1.0 : 0.0;
    for (std::size_t k = m; k > 0; --k) {
      const double* const column = block + k * factor_block;
      const double share = v[k];
      for (std::size_t i = 0; i < k; ++i) v[i] -= share * column[i];
    }
    for (std::size_t k = 0; k < n; ++k) memory.inverse[m * factor_block + k] = static_cast<float>(v[k]);
  }
  return true;
}

/// Factors s, of which the lower triangle is read, and writes S above the diagonal; what is below it is unspecified
/// then. False when the matrix is not positive definite in this precision.  Cost: cols^3 / 6 multiply-adds.
/// Blocks of rows go from the last to the first, each brought up to date with all that is behind it.
template <class Executor>
inline bool factor_upper(float* s, std::size_t cols, std::size_t stride, float* d, const float* diagonal,
                         factor_memory& memory, Executor&& ex) {
  constexpr std::size_t columns = 288;  // of one task
  float *const scaled = memory.scaled.data(), *const before = memory.rows.data();
  const float* const inverse = memory.inverse.data();
  for (std::size_t b = (cols + factor_block - 1) / factor_block; b-- > 0;) {
    const std::size_t first = b * factor_block, last = first + factor_block < cols ? first + factor_block : cols;
    const std::size_t n = last - first, behind = cols - last;
    for (std::size_t k = 0; k < behind; ++k) {
      NBIT_EXACT
      const float share = 1.0f / d[last + k];
      const float* const from = s + (last + k) * stride + first;
      for (std::size_t j = 0; j < n; ++j) scaled[k * factor_block + j] = share * from[j];
    }
    // A^T -= U (X^T) with X = U D of the blocks behind.
    ex((last + columns - 1) / columns, [=](std::size_t task) {
      const std::size_t from = task * columns, width = last - from < columns ? last - from : columns;
      add_product({s + first * stride + from, stride, scaled, factor_block, s + last * stride + from, stride, n, width,
                   behind, -1.0f});
    });
    if (!factor_diagonal(s, stride, d, first, last, diagonal, memory)) return false;
    // The rows left of the block: X = A U^-T, with rows and columns swapped.
    ex((first + columns - 1) / columns, [=](std::size_t task) {
      const std::size_t from = task * columns, width = first - from < columns ? first - from : columns;
      for (std::size_t k = 0; k < n; ++k) {
        float *const to = before + k * stride + from, *const row = s + (first + k) * stride + from;
        for (std::size_t i = 0; i < width; ++i) to[i] = row[i], row[i] = 0.0f;
      }
      add_product({s + first * stride + from, stride, inverse, factor_block, before + from, stride, n, width, n, 1.0f});
    });
  }
  constexpr std::size_t tile = 16;
  ex((cols + tile - 1) / tile, [=](std::size_t strip) {
    NBIT_EXACT
    const std::size_t first = strip * tile, last = first + tile < cols ? first + tile : cols;
    float share[tile];
    for (std::size_t k = first; k < last; ++k) share[k - first] = 1.0f / d[k];
    for (std::size_t c = 0; c < last; c += tile)
      for (std::size_t i = c; i < c + tile && i < last; ++i)
        for (std::size_t k = first > i ? first : i + 1; k < last; ++k)
          s[i * stride + k] = s[k * stride + i] * share[k - first];
  });
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

/// Factors m.h down the ladder, column c at place[c]. diagonal: 2 cols floats of scratch.
template <class Executor>
inline void climb_down(metric& m, double damping, std::span<const std::uint32_t> place, float* diagonal,
                       factor_memory& memory, Executor&& ex) {
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
    ex(n, [&m, at](std::size_t r) {
      const float* const from = m.h.data() + r * m.stride;
      float* const to = m.s.data() + at(r) * m.stride;
      for (std::size_t c = 0; c < m.cols; ++c) to[at(c)] = from[c];
      for (std::size_t c = m.cols; c < m.stride; ++c) to[c] = 0.0f;
    });
    // Pivots are compared with the diagonal as it went in.
    float* const entered = diagonal + n;
    for (std::size_t j = 0; j < n; ++j) entered[at(j)] = m.h[j * m.stride + j];
    return factor_upper(m.s.data(), n, m.stride, m.d.data(), entered, memory, ex);
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
  // Not a multiple of 256: columns a power of two apart would share a cache set.
  const std::size_t n = gram.cols(), stride = (n + 15) / 16 * 16 + (n >= 512 && (n + 15) / 16 % 16 == 0 ? 16 : 0);
  if (stride > 0xffffffffu / 4) return make_error(errc::overflow, "too many columns for a metric", "up to 2^30");
  auto h = buffer<float>::zeros(n * stride);
  auto s = buffer<float>::make(n * stride);
  auto d = buffer<float>::zeros(n);
  auto diagonal = buffer<float>::make(2 * n);
  auto memory = make_factor_memory(n, stride);
  if (!h) return h.error();
  if (!s) return s.error();
  if (!d) return d.error();
  if (!diagonal) return diagonal.error();
  if (!memory) return memory.error();
  metric m;
  m.cols = n, m.stride = stride;
  m.h = *std::move(h), m.s = *std::move(s), m.d = *std::move(d);
  m.report.shrinkage = o.shrink ? gram.shrinkage() : 0.0;
  const double mean = gram.mean_diagonal();
  gram.write({m.h.data(), n, n, stride}, m.report.shrinkage, mean > 0 ? 1.0 / mean : 1.0, ex);
  clean_metric(m);
  climb_down(m, o.damping > 0 ? o.damping : 0.0, place, diagonal->data(), *memory, ex);
  return result<metric>(std::move(m));
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
