// tests/kernel/grid_errors_test.cpp — errors of sixteen grids against the sum as it is defined, on every instruction
// set.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/grid_errors.hpp>

#include "support/random.hpp"

TEST_CASE("grid errors are the same bits on every instruction set, and right") {
  int compared = 0;
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{9}, std::size_t{32}, std::size_t{75}})
    for (const bool shifted : {false, true})
      for (const bool weighted : {false, true}) {
        nbit_test::random rng(n + 1);
        const std::vector<float> w = rng.normals(16 * n);
        std::vector<float> importance(n), scale(16), zero(16), low(16), high(16), enough(16);
        for (float& v : importance) v = std::exp(rng.normal());
        for (std::size_t l = 0; l < 16; ++l) {
          scale[l] = l == 3 ? 0.0f : 0.1f + 0.02f * float(l), zero[l] = 0.3f * float(l);
          low[l] = shifted ? 0.0f : -float(l), high[l] = low[l] + 15.0f;
          enough[l] = 3e38f;
        }
        const auto run = [&](auto tag, const std::vector<float>& up_to) {
          std::vector<float> errors(16, -1.0f);
          nbit::grid_error_kernel<decltype(tag)>::run({w.data(), weighted ? importance.data() : nullptr, n,
                                                       scale.data(), low.data(), high.data(),
                                                       shifted ? zero.data() : nullptr, up_to.data(), errors.data()});
          return errors;
        };
        const std::vector<float> expected = run(nbit::arch::scalar{}, enough);
        for (std::size_t l = 0; l < 16; ++l) {
          double sum = 0;
          for (std::size_t i = 0; i < n; ++i) {
            const double v = double(w[i * 16 + l]), z = shifted ? double(zero[l]) : 0.0, s = double(scale[l]);
            const double q = std::nearbyint(std::fmin(std::fmax(v / s + z, double(low[l])), double(high[l])));
            const double e = v - s * (q - z);
            sum += (weighted ? double(importance[i]) : 1.0) * e * e;
          }
          CHECK(std::abs(double(expected[l]) - sum) <= 1e-5 * sum + 1e-30);
        }
        // Half of the lanes need not go on; the others must still be complete.
        std::vector<float> half = enough;
        for (std::size_t l = 0; l < 16; l += 2) half[l] = 0.0f;
        nbit::arch::for_each_runnable([&](auto tag) {
          const std::vector<float> all = run(tag, enough), some = run(tag, half);
          CHECK(std::memcmp(all.data(), expected.data(), 16 * sizeof(float)) == 0);
          for (std::size_t l = 0; l < 16; ++l)
            CHECK((l % 2 == 1 ? some[l] == expected[l] : some[l] <= expected[l] && (n == 0 || some[l] > 0.0f)));
          ++compared;
        });
      }
  CHECK(compared >= 20);
}
