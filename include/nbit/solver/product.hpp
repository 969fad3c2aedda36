// nbit/solver/product.hpp — the one matrix product of the solvers: C += A^T B in a fixed order of additions.
//
// Gram panels, the factor's trailing update, GPTQ's error feedback and the gradient of descent are all this shape.
// Every entry is a sum in f32 over chunks of 128 terms, each from zero and in order, added to C chunk by chunk: the
// tiles and the vectors below change the speed and never a bit.
// SPDX-License-Identifier: MIT
#ifndef NBIT_SOLVER_PRODUCT_HPP
#define NBIT_SOLVER_PRODUCT_HPP

#include <cstddef>

#include <nbit/base/config.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// C (M x 8) += sign * A^T B over k terms. Out of line: one call for thousands of multiplications, one copy of the
/// code.
template <int M>
NBIT_NOINLINE void product_tile(float* NBIT_RESTRICT c, std::size_t c_stride, const float* NBIT_RESTRICT a,
                                std::size_t a_stride, const float* NBIT_RESTRICT b, std::size_t b_stride, std::size_t k,
                                float sign) {
  NBIT_EXACT
#if defined(__GNUC__) || defined(__clang__)
  // Four floats at a time on every target; wider units take two of these at once where the compiler sees it.
  typedef float four __attribute__((vector_size(16)));
  four sum[M][2];
  for (int i = 0; i < M; ++i) sum[i][0] = four{0, 0, 0, 0}, sum[i][1] = four{0, 0, 0, 0};
  for (std::size_t t = 0; t < k; ++t) {
    four low, high;
    __builtin_memcpy(&low, b + t * b_stride, sizeof(low));
    __builtin_memcpy(&high, b + t * b_stride + 4, sizeof(high));
    for (int i = 0; i < M; ++i) {
      const float s = a[t * a_stride + std::size_t(i)];
      const four all = {s, s, s, s};
      sum[i][0] = sum[i][0] + all * low;
      sum[i][1] = sum[i][1] + all * high;
    }
  }
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < 8; ++j) c[std::size_t(i) * c_stride + std::size_t(j)] += sign * sum[i][j / 4][j % 4];
#else
  float sum[M][8] = {};
  for (std::size_t t = 0; t < k; ++t)
    for (int i = 0; i < M; ++i)
      for (int j = 0; j < 8; ++j) sum[i][j] += a[t * a_stride + std::size_t(i)] * b[t * b_stride + std::size_t(j)];
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < 8; ++j) c[std::size_t(i) * c_stride + std::size_t(j)] += sign * sum[i][j];
#endif
}

/// C (m x n) += sign * A^T B; A is k x m, B is k x n.  Needs: n % 8 == 0; C overlaps neither A nor B; sign is 1 or -1.
inline void add_product(float* c, std::size_t c_stride, const float* a, std::size_t a_stride, const float* b,
                        std::size_t b_stride, std::size_t m, std::size_t n, std::size_t k, float sign = 1.0f) {
  constexpr std::size_t chunk = 128;
  for (std::size_t t = 0; t < k; t += chunk) {
    const std::size_t terms = k - t < chunk ? k - t : chunk;
    for (std::size_t j = 0; j < n; j += 8) {
      const float* bt = b + t * b_stride + j;
      const float* at = a + t * a_stride;
      const std::size_t whole = m / 4 * 4;
      for (std::size_t i = 0; i < whole; i += 4)
        product_tile<4>(c + i * c_stride + j, c_stride, at + i, a_stride, bt, b_stride, terms, sign);
      for (std::size_t i = whole; i < m; ++i)
        product_tile<1>(c + i * c_stride + j, c_stride, at + i, a_stride, bt, b_stride, terms, sign);
    }
  }
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
