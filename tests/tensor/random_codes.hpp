// tests/tensor/random_codes.hpp — matrices of random codes and parameters of any format.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_TENSOR_RANDOM_CODES_HPP
#define NBIT_TESTS_TENSOR_RANDOM_CODES_HPP

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/tensor/encode.hpp>

#include "support/random.hpp"

namespace nbit_test {

/// Any codes; parameters that the format fits to random groups, of sizes that differ from group to group.
template <class F>
nbit::coded_matrix<F> random_matrix(nbit::shape s, std::uint64_t seed) {
  auto made = nbit::coded_matrix<F>::make(s);
  REQUIRE(made);
  nbit::coded_matrix<F> q = std::move(*made);
  random numbers(seed);
  for (auto& p : q.params) {
    const std::size_t length = nbit::group_length<F>(s.cols);
    std::vector<float> w = numbers.normals(length, numbers.uniform(0.01f, 0.1f)), ones(length, 1.0f);
    for (float& v : w) v += 0.002f;
    p = F::fit(w, ones);
  }
  std::size_t codes = std::size_t{1} << F::bits;
  if constexpr (F::bits == 2 && nbit::integer_format<F>)
    if (F::level(3) == F::level(2)) codes = 3;  // a ternary format
  for (auto& c : q.codes) c = static_cast<nbit::code_t<F>>(numbers.below(codes));
  return q;
}

/// Gives the columns of a matrix groups in a random order, as act-order does.
template <class F>
void shuffle_groups(nbit::coded_matrix<F>& q, std::uint64_t seed) {
  random numbers(seed);
  q.group_index = *nbit::buffer<std::uint32_t>::make(q.cols);
  for (std::size_t c = 0; c < q.cols; ++c)
    q.group_index[c] = static_cast<std::uint32_t>(c / nbit::group_length<F>(q.cols));
  for (std::size_t c = q.cols; c-- > 1;) std::swap(q.group_index[c], q.group_index[numbers.below(c + 1)]);
}

}  // namespace nbit_test

#endif
