// tests/kernel/hqq_step_test.cpp — the loops of a half-quadratic step are the same bits on every instruction set.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/hqq_step.hpp>

#include "support/random.hpp"

TEST_CASE("a half-quadratic step is the same on every instruction set, and rounds to the grid") {
  int compared = 0;
  for (const std::size_t n : {std::size_t{1}, std::size_t{5}, std::size_t{64}, std::size_t{131}}) {
    nbit_test::random rng(n);
    const std::vector<float> w = rng.normals(16 * n);
    nbit::hqq_lanes start = {};
    nbit::hqq_rounding rounding = {};
    nbit::hqq_shrink shrink = {};
    shrink.power = -0.3f, shrink.beta = 10.0f;
    for (std::size_t l = 0; l < 16; ++l) {
      start.scale[l] = 0.05f * float(l + 2), start.zero[l] = l % 2 == 0 ? float(l / 2) : 7.3f;
      const bool whole = l % 2 == 0;
      rounding.shift[l] = whole ? 0.0f : start.zero[l], rounding.offset[l] = whole ? start.zero[l] : 0.0f;
      rounding.low[l] = whole ? -start.zero[l] : 0.0f, rounding.high[l] = rounding.low[l] + 15.0f;
      shrink.unit[l] = 0.5f + 0.1f * float(l), shrink.by[l] = 1.0f, shrink.other_zero[l] = start.zero[l] + 1.0f;
    }
    const auto run = [&](auto tag, std::vector<float>& code, nbit::hqq_rounding& r, nbit::hqq_shrink& s) {
      nbit::hqq_lanes lanes = start;
      lanes.w = w.data(), lanes.code = code.data(), lanes.n = n;
      nbit::hqq_kernel<decltype(tag)>::round(lanes, r);
      nbit::hqq_kernel<decltype(tag)>::shrink(lanes, s);
    };
    std::vector<float> expected(16 * n);
    nbit::hqq_rounding first = rounding;
    nbit::hqq_shrink then = shrink;
    run(nbit::arch::scalar{}, expected, first, then);
    for (std::size_t k = 0; k < expected.size(); ++k) {
      CHECK((expected[k] >= 0.0f && expected[k] <= 15.0f && expected[k] == std::nearbyint(expected[k])));
      CHECK((expected[k] >= first.least_code[k % 16] && expected[k] <= first.most_code[k % 16]));
    }
    // The slope of a value is minus the scale.
    for (std::size_t l = 0; l < 16; ++l)
      CHECK(std::abs(then.square[l] - float(n) * start.scale[l] * start.scale[l]) <= 1e-3f * then.square[l]);
    nbit::arch::for_each_runnable([&](auto tag) {
      std::vector<float> code(16 * n);
      nbit::hqq_rounding r = rounding;
      nbit::hqq_shrink s = shrink;
      run(tag, code, r, s);
      CHECK(code == expected);
      CHECK(std::memcmp(&r, &first, sizeof r) == 0);
      CHECK(std::memcmp(&s, &then, sizeof s) == 0);
      ++compared;
    });
  }
  CHECK(compared >= 4);
}
