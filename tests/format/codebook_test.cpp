// tests/format/codebook_test.cpp — nearest levels of codebooks in any order, and ties.
// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/format/codebook.hpp>

namespace {
struct shuffled : nbit::codebook<shuffled, 2, 32, nbit::scale_type::f32> {
  static constexpr std::array<float, 4> levels = {2.0f, -1.0f, 0.0f, 1.0f};
};
static_assert(nbit::grid_format<shuffled> && nbit::grid_format<nbit::nf4>);

template <class F>
void check_nearest(int rounds) {
  nbit_test::random numbers(17);
  for (int round = 0; round < rounds; ++round) {
    const auto w = numbers.normals(64, 0.3f);
    const auto p = F::fit(w, {});
    for (std::size_t i = 0; i < w.size(); ++i) {
      const int c = F::code(w[i], p, int(i));
      const float error = std::fabs(F::value(c, p, 0) - w[i]);
      for (int other = 0; other < 1 << F::bits; ++other)
        REQUIRE(error <= std::fabs(F::value(other, p, 0) - w[i]) + 1e-7f);
    }
  }
}
}  // namespace

TEST_CASE("codes are the nearest levels, whatever their order") {
  check_nearest<nbit::nf4>(50);
  check_nearest<nbit::fp4>(50);
  check_nearest<shuffled>(50);
}

TEST_CASE("the largest weight gets the largest level, a tie the smaller level") {
  const std::vector<float> w = {4.0f, 1.0f, -1.0f, 3.0f};
  const auto p = shuffled::fit(w, {});
  REQUIRE(p.scale == 2.0f);
  REQUIRE(shuffled::code(4.0f, p, 0) == 0);
  REQUIRE(shuffled::code(1.0f, p, 0) == 2);   // between 0 and 1 times 2
  REQUIRE(shuffled::code(-1.0f, p, 0) == 1);  // between -1 and 0
  REQUIRE(shuffled::code(3.0f, p, 0) == 3);   // between 1 and 2
}

TEST_CASE("an all-zero group stays zero") {
  const std::vector<float> w(64, 0.0f);
  const auto p = nbit::nf4::fit(w, {});
  REQUIRE(nbit::nf4::value(nbit::nf4::code(0.0f, p, 0), p, 0) == 0.0f);
}
