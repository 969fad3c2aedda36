// tests/kernel/product_test.cpp — the solvers' product against sums in double, and every instruction set against
// scalar.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstring>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/kernel/product.hpp>

TEST_CASE("C += A^T B has the same bits on every instruction set, for tiles and ragged ends") {
  nbit_test::random numbers(1);
  int products = 0;
  for (const std::size_t m : {1u, 3u, 8u, 13u, 32u})
    for (const std::size_t n : {8u, 16u, 24u, 32u})
      for (const std::size_t k : {0u, 1u, 127u, 128u, 300u}) {
        const std::size_t stride = 40;
        const auto a = numbers.normals(k * stride + 1), b = numbers.normals(k * stride + 1),
                   c = numbers.normals(m * stride);
        std::vector<float> first;
        nbit::arch::for_each_runnable([&](auto tag) {
          std::vector<float> out = c;
          nbit::product_kernel<decltype(tag)>::run(
              {out.data(), stride, a.data(), stride, b.data(), stride, m, n, k, -1.0f});
          for (std::size_t i = 0; i < m; ++i)
            for (std::size_t j = 0; j < stride; ++j) {
              double expected = double(c[i * stride + j]);
              for (std::size_t t = 0; j < n && t < k; ++t)
                expected -= double(a[t * stride + i]) * double(b[t * stride + j]);
              REQUIRE(std::fabs(double(out[i * stride + j]) - expected) < 1e-4);
            }
          if (first.empty()) first = out;
          REQUIRE(std::memcmp(out.data(), first.data(), out.size() * sizeof(float)) == 0);
          ++products;
        });
      }
  INFO(products << " products");
  CHECK(products >= 100);
}
