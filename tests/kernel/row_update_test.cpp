// tests/kernel/row_update_test.cpp — the two loops of a row's local search, on every instruction set.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/row_update.hpp>

#include "support/random.hpp"

TEST_CASE("add_scaled rounds product and sum of each entry, and writes no other") {
  int compared = 0;
  for (std::size_t n = 0; n < 70; ++n) {
    nbit_test::random rng(n + 1);
    const std::vector<float> x = rng.normals(n), start = rng.normals(n + 3);
    std::vector<float> expected = start;
    for (std::size_t i = 0; i < n; ++i) {
      volatile float product = -0.7f * x[i];  // no compiler may join it with the sum
      expected[i] = start[i] + product;
    }
    nbit::arch::for_each_runnable([&](auto tag) {
      std::vector<float> y = start;
      nbit::row_update_kernel<decltype(tag)>::add_scaled(y.data(), x.data(), -0.7f, n);
      CHECK(std::memcmp(y.data(), expected.data(), (n + 3) * sizeof(float)) == 0);
      ++compared;
    });
  }
  CHECK(compared >= 70);
}

TEST_CASE("first_outside finds the first entry beyond its bounds, whichever side, from any start") {
  const float none = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  int found = 0;
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{33}, std::size_t{100}}) {
    std::vector<float> y(n, 1.0f), least(n, 1.0f), most(n, 1.0f);  // on the bounds is inside
    for (std::size_t i = 0; i < n; i += 5) least[i] = -none, most[i] = none;
    for (std::size_t i = 2; i < n; i += 7) y[i] = nan;
    nbit::arch::for_each_runnable([&](auto tag) {
      using kernel = nbit::row_update_kernel<decltype(tag)>;
      for (std::size_t from = 0; from <= n; ++from)
        CHECK(kernel::first_outside(y.data(), least.data(), most.data(), from, n) == n);
      for (std::size_t at = 0; at < n; ++at) {
        if (!(y[at] == 1.0f) || most[at] == none) continue;
        for (const float moved : {0.5f, 1.5f}) {
          y[at] = moved;
          for (std::size_t from = 0; from <= n; ++from, ++found)
            CHECK(kernel::first_outside(y.data(), least.data(), most.data(), from, n) == (from <= at ? at : n));
        }
        y[at] = 1.0f;
      }
    });
  }
  CHECK(found > 1000);
}
