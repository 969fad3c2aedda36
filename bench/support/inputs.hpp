// bench/support/inputs.hpp — numbers to measure with.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BENCH_SUPPORT_INPUTS_HPP
#define NBIT_BENCH_SUPPORT_INPUTS_HPP

#include <cstddef>
#include <vector>

#include <nbit/base/random.hpp>

namespace nbit_bench {

/// n numbers of about a normal distribution with this deviation, always the same.
inline std::vector<float> bell(std::size_t n, float deviation, unsigned seed = 1) {
  nbit::random_stream numbers(seed);
  std::vector<float> x(n);
  for (float& v : x) {
    for (int i = 0; i < 6; ++i) v += numbers.uniform() - 0.5f;  // a variance of 6 / 12
    v *= deviation * 1.41421356f;
  }
  return x;
}

/// n numbers between low and high.
inline std::vector<float> even(std::size_t n, float low, float high, unsigned seed = 1) {
  nbit::random_stream numbers(seed);
  std::vector<float> x(n);
  for (float& v : x) v = low + (high - low) * numbers.uniform();
  return x;
}

}  // namespace nbit_bench

#endif
