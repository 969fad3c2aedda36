// Weights, activations and bounds that the emulated tests and those on a device share.
#ifndef NBIT_TESTS_CUDA_PRODUCTS_HPP
#define NBIT_TESTS_CUDA_PRODUCTS_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include <nbit/base/matrix_view.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/cuda/number.hpp>

#include "support/random.hpp"

namespace nbit_test {

struct w8row : nbit::uniform<nbit::scheme{.bits = 8, .group = nbit::per_row}> {};
struct w3g64a : nbit::uniform<nbit::scheme{.bits = 3, .group = 64, .symmetry = nbit::symmetry::asymmetric}> {};
/// A block format that cuda/ knows nothing of: read a block at a time.
struct whole_q6_k : nbit::q6_k {};

/// Random weights that the CPU has quantized, and what it decodes.
template <class F, class L>
struct packed {
  explicit packed(nbit::shape s) : floats(s.rows * s.cols) {
    random numbers(s.rows * 1000 + s.cols);
    const auto w = numbers.normals(s.rows * s.cols, 0.05f);
    auto q = nbit::quantize<F, L>(nbit::arch::scalar{}, nbit::matrix_view<const float>(w.data(), s.rows, s.cols),
                                  {.ragged = nbit::ragged_rows::pad});
    if (!q) {
      std::fprintf(stderr, "products: weights of a test are not quantized: %s\n", q.error().what);
      std::abort();
    }
    matrix = *std::move(q);
    nbit::dequantize(nbit::arch::scalar{}, matrix.view(), nbit::matrix_view<float>(floats.data(), s.rows, s.cols));
  }
  nbit::packed_view<F, L> view() const { return matrix.view(); }
  nbit::packed_matrix<F, L> matrix;
  std::vector<float> floats;
};

template <class T>
std::vector<T> activations(std::size_t n, std::uint64_t seed) {
  random numbers(seed);
  std::vector<T> x(n);
  for (T& v : x) v = nbit::cuda::number<T>::from(numbers.normal());
  return x;
}

/// A result that is too far from its sum in double.
struct far_result {
  std::size_t token, row;
  double found, sum, bound;
};

/// The first element of y (tokens x rows) outside its bound; step: the relative size of one rounding of a weight.
template <class T>
std::optional<far_result> first_far(const std::vector<float>& y, const std::vector<float>& w, const std::vector<T>& x,
                                    nbit::shape s, std::size_t tokens, double step) {
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t r = 0; r < s.rows; ++r) {
      double sum = 0, magnitude = 0;
      for (std::size_t c = 0; c < s.cols; ++c) {
        const double term = double(w[r * s.cols + c]) * double(static_cast<float>(x[t * s.cols + c]));
        sum += term, magnitude += std::fabs(term);
      }
      const double bound = magnitude * (step + double(s.cols + 8) * 0x1p-23) + 1e-30, found = double(y[t * s.rows + r]);
      if (!(std::fabs(found - sum) <= bound)) return far_result{t, r, found, sum, bound};
    }
  return std::nullopt;
}

}  // namespace nbit_test

#endif
