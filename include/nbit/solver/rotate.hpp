// nbit/solver/rotate.hpp — incoherence: an orthogonal matrix of Hadamard blocks and random signs, for any width.
//
//   Q = H S                          n a power of two: one Hadamard transform after random signs
//   Q = H_last S' H_first S          else: transforms of the largest power of two below n over the first and then over
//                                    the last of the entries, which overlap, so that every entry meets every other
// W x = (W Q^T)(Q x): outliers of weights and inputs are spread over all columns, and small codebooks fit again. Q x
// costs n log n additions at inference, or nothing where it folds into the matrices that make x (R1 on the residual
// stream, R2 between v and o: rotate_outputs). Ref: Chee et al. 2023 (QuIP), Ashkboos et al. 2024 (QuaRot).
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_ROTATE_HPP
#define NBIT_SOLVER_ROTATE_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/random.hpp>
#include <nbit/base/result.hpp>
#include <nbit/parallel/executor.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// Which rotation: its width and the seed of its signs. Equal ones are equal on every machine.
struct rotation {
  std::size_t width = 0;
  std::uint64_t seed = 0;
};

inline namespace NBIT_TAG {
namespace detail {

/// The orthonormal Hadamard transform of n numbers.  Needs: n is a power of two.
inline void hadamard(float* v, std::size_t n) {
  NBIT_EXACT
  for (std::size_t half = 1; half < n; half *= 2)
    for (std::size_t first = 0; first < n; first += 2 * half)
      for (std::size_t i = first; i < first + half; ++i) {
        const float a = v[i], b = v[i + half];
        v[i] = a + b, v[i + half] = a - b;
      }
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(n));
  for (std::size_t i = 0; i < n; ++i) v[i] *= scale;
}

inline void random_signs(float* v, std::size_t n, std::uint64_t seed) {
  random_stream from(seed);
  for (std::size_t i = 0; i < n; ++i) v[i] *= from.sign();
}

inline std::size_t hadamard_block(std::size_t width) { return width == 0 ? 0 : std::bit_floor(width); }

}  // namespace detail

/// v becomes Q v.  Needs: v.size() == q.width.
inline void rotate(const rotation& q, std::span<float> v) {
  const std::size_t n = q.width, block = detail::hadamard_block(n);
  detail::random_signs(v.data(), n, q.seed);
  detail::hadamard(v.data(), block);
  if (block == n) return;
  detail::random_signs(v.data(), n, q.seed ^ 0x9e3779b97f4a7c15u);
  detail::hadamard(v.data() + (n - block), block);
}

/// v becomes Q^T v: the inverse.  Needs: v.size() == q.width.
inline void rotate_back(const rotation& q, std::span<float> v) {
  const std::size_t n = q.width, block = detail::hadamard_block(n);
  if (block != n) {
    detail::hadamard(v.data() + (n - block), block);
    detail::random_signs(v.data(), n, q.seed ^ 0x9e3779b97f4a7c15u);
  }
  detail::hadamard(v.data(), block);
  detail::random_signs(v.data(), n, q.seed);
}

/// Every row becomes Q row: weights W for inputs Q x (W Q^T), or a batch of inputs itself.
/// Errors: shape if the rows have another width; then nothing changed.  Cost: rows width log2(width) additions.
template <class Executor = serial>
result<void> rotate_rows(const rotation& q, matrix_view<float> m, Executor&& ex = {}) {
  if (m.cols != q.width)
    return make_error(errc::shape, "rows have another width than the rotation").with(static_cast<std::int64_t>(m.cols));
  ex((m.rows + 31) / 32, [&q, m](std::size_t task) {
    for (std::size_t r = task * 32; r < m.rows && r < task * 32 + 32; ++r) rotate(q, m.row(r));
  });
  return {};
}

/// Every row becomes Q^T row.  Errors: shape; then nothing changed.
template <class Executor = serial>
result<void> rotate_rows_back(const rotation& q, matrix_view<float> m, Executor&& ex = {}) {
  if (m.cols != q.width)
    return make_error(errc::shape, "rows have another width than the rotation").with(static_cast<std::int64_t>(m.cols));
  ex((m.rows + 31) / 32, [&q, m](std::size_t task) {
    for (std::size_t r = task * 32; r < m.rows && r < task * 32 + 32; ++r) rotate_back(q, m.row(r));
  });
  return {};
}

/// The outputs of a linear become Q times what they were, in pieces of q.width rows: Q W. The other half of a fold: R1
/// with the model's width, R2 with a head's.  Errors: shape if the rows are no whole pieces; then nothing changed.
inline result<void> rotate_outputs(const rotation& q, matrix_view<float> w) {
  if (q.width == 0 || w.rows % q.width != 0)
    return make_error(errc::shape, "rows are not a whole number of rotations", "a multiple of the rotation's width")
        .with(static_cast<std::int64_t>(w.rows));
  // Column by column would jump through memory: the transform's additions are done on whole rows instead.
  const std::size_t n = q.width, block = detail::hadamard_block(n);
  const auto signs = [&](std::size_t first, std::uint64_t seed) {
    random_stream from(seed);
    for (std::size_t r = 0; r < n; ++r)
      if (from.sign() < 0.0f)
        for (float& v : w.row(first + r)) v = -v;
  };
  const auto transform = [&](std::size_t first) {
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(block));
    for (std::size_t half = 1; half < block; half *= 2)
      for (std::size_t start = 0; start < block; start += 2 * half)
        for (std::size_t i = start; i < start + half; ++i) {
          const std::span<float> x = w.row(first + i), y = w.row(first + i + half);
          for (std::size_t c = 0; c < w.cols; ++c) {
            const float a = x[c], b = y[c];
            x[c] = a + b, y[c] = a - b;
          }
        }
    for (std::size_t i = 0; i < block; ++i)
      for (float& v : w.row(first + i)) v *= scale;
  };
  for (std::size_t first = 0; first < w.rows; first += n) {
    signs(first, q.seed);
    transform(first);
    if (block == n) continue;
    signs(first, q.seed ^ 0x9e3779b97f4a7c15u);
    transform(first + (n - block));
  }
  return {};
}

/// Moves a norm's gains into the columns of a linear that reads it, and sets them to 1 once all readers have them: only
/// a norm without gains passes a rotation through.  Errors: shape.
inline result<void> fold_gain_into_columns(std::span<const float> gain, matrix_view<float> reader) {
  if (gain.size() != reader.cols)
    return make_error(errc::shape, "norm has another length than the linear's rows", "one gain for each column")
        .with(static_cast<std::int64_t>(gain.size()));
  for (std::size_t r = 0; r < reader.rows; ++r)
    for (std::size_t c = 0; c < reader.cols; ++c) reader(r, c) *= gain[c];
  return {};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
