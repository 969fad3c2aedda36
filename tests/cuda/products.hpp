// Activations and bounds that the emulated tests and those on a device share.
#ifndef NBIT_TESTS_CUDA_PRODUCTS_HPP
#define NBIT_TESTS_CUDA_PRODUCTS_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <nbit/base/matrix_view.hpp>
#include <nbit/cuda/number.hpp>

#include "support/random.hpp"

namespace nbit_test {

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
