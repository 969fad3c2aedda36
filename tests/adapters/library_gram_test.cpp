// tests/adapters/library_gram_test.cpp — statistics through a library that holds several products, and one that fails.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstddef>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/adapters/library_gram.hpp>

#include "support/random.hpp"

namespace {

/// What adapters/cublas.hpp does, on the host; fails at product number `failing`.
struct plain_product {
  static constexpr std::size_t panels = 3;
  static inline std::size_t products = 0, taken = 0, failing = 0;
  std::size_t cols = 0;
  std::vector<float> sums;

  static nbit::result<plain_product> make(std::size_t cols) {
    products = taken = failing = 0;
    return plain_product{cols, std::vector<float>(cols * cols)};
  }
  nbit::result<double> add(const float* x, std::size_t n) {
    if (++products == failing) return nbit::make_error(nbit::errc::device, "the library failed");
    double square = 0;
    for (std::size_t r = 0; r < cols; ++r)
      for (std::size_t c = 0; c <= r; ++c) {
        float v = 0;
        for (std::size_t t = 0; t < n; ++t) v += x[t * cols + r] * x[t * cols + c];
        sums[r * cols + c] += v;
        if (c < r) square += 2.0 * double(v) * double(v);
      }
    return square;
  }
  nbit::result<void> take(float* out) {
    ++taken;
    for (std::size_t i = 0; i < sums.size(); ++i) out[i] = sums[i], sums[i] = 0;
    return {};
  }
};

}  // namespace

TEST_CASE("sums that a library holds for some panels reach the statistics") {
  constexpr std::size_t cols = 20, tokens = 512 * 4 + 100;
  nbit_test::random numbers(3);
  const std::vector<float> x = numbers.normals(tokens * cols);
  nbit::hessian own(cols), other(cols);
  auto library = nbit::library_gram<plain_product>::make(cols);
  REQUIRE((library && own.add({x.data(), tokens, cols}) && library->add(other, {x.data(), tokens, cols})));
  CHECK(plain_product::products == 4);  // the last hundred tokens wait in the panel
  CHECK(plain_product::taken == 2);     // after three panels, and at the end
  CHECK(other.tokens() == own.tokens());
  std::vector<float> a(cols * cols), b(cols * cols);
  own.write({a.data(), cols, cols});
  other.write({b.data(), cols, cols});
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(std::fabs(a[i] - b[i]) < 1e-4f);
  CHECK(std::fabs(own.shrinkage() - other.shrinkage()) < 0.05);
}

TEST_CASE("what a library refuses is an error, and widths must agree") {
  constexpr std::size_t cols = 4, tokens = 1100;
  const std::vector<float> x(tokens * cols, 1.0f);
  nbit::hessian h(cols);
  auto library = nbit::library_gram<plain_product>::make(cols);
  REQUIRE(library);
  plain_product::failing = 2;
  const auto failed = library->add(h, {x.data(), tokens, cols});
  REQUIRE(!failed);
  CHECK(failed.error().code == nbit::errc::device);
  const auto narrow = library->add(h, {x.data(), 2, cols - 1, cols});
  REQUIRE(!narrow);
  CHECK(narrow.error().code == nbit::errc::shape);
}
