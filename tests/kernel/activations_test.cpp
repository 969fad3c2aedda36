// tests/kernel/activations_test.cpp — int8 activations: codes, scales, sums, and the same bytes on every instruction
// set.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/activations.hpp>

namespace {

template <int Group>
void check_group() {
  nbit_test::random numbers(Group + 1);
  for (const std::size_t cols : {0u, 1u, 15u, 64u, 100u, 333u, 2064u, 3200u}) {
    const auto x = numbers.normals(3 * cols, 10.0f);
    std::vector<std::byte> first;
    nbit::arch::for_each_runnable([&](auto tag) {
      auto act = nbit::int8_activation_matrix<Group>::make({3, cols});
      REQUIRE(act);
      const auto v = act->view();
      nbit::quantize_activations(tag, nbit::matrix_view<const float>(x.data(), 3, cols), v);
      for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t c = 0; c < cols; ++c) {
          const double scale = double(v.scale16(r, c / 16));
          REQUIRE(std::fabs(double(v.row_codes(r)[c]) * scale - double(x[r * cols + c])) <= 0.5001 * scale);
        }
        for (std::size_t c = cols; c < v.stride(); ++c) REQUIRE(v.row_codes(r)[c] == 0);
        for (std::size_t b = 0; b < v.stride() / 16; ++b) {
          int sum = 0;
          for (std::size_t i = 0; i < 16; ++i) sum += v.row_codes(r)[16 * b + i];
          REQUIRE(v.row_sums(r)[b] == sum);
        }
      }
      if (first.empty()) first.assign(act->bytes.begin(), act->bytes.end());
      REQUIRE(std::equal(first.begin(), first.end(), act->bytes.begin()));
    });
  }
}

// Numbers of every size, NaN and infinities in some groups of long rows: the bytes of the scalar text.
template <int Group>
void check_floats() {
  nbit_test::random numbers(Group + 7);
  constexpr std::size_t rows = 2, cols = 4208;
  auto x = numbers.normals(rows * cols, 1.0f);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::ldexp(x[i], int(i / 100 % 60) * 5 - 150);
  x[3] = std::numeric_limits<float>::quiet_NaN(), x[2700] = -std::numeric_limits<float>::infinity();
  x[1300] = std::numeric_limits<float>::max(), x[cols + 5] = -std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i < 300; ++i) x[1500 + i] = -0.0f;
  const nbit::matrix_view<const float> m(x.data(), rows, cols);
  auto expected = *nbit::int8_activation_matrix<Group>::make({rows, cols}), act = *expected.make({rows, cols});
  nbit::quantize_activations(nbit::arch::scalar{}, m, expected.view());
  nbit::arch::for_each_runnable([&](auto tag) {
    nbit::quantize_activations(tag, m, act.view());
    REQUIRE(std::equal(act.bytes.begin(), act.bytes.end(), expected.bytes.begin()));
  });
}

}  // namespace

TEST_CASE("any floats in long rows have the bytes of the scalar text") {
  check_floats<16>();
  check_floats<32>();
  check_floats<64>();
  check_floats<128>();
  check_floats<256>();
  check_floats<nbit::per_row>();
}

TEST_CASE("groups of 16 to 256 and whole rows") {
  check_group<16>();
  check_group<32>();
  check_group<48>();
  check_group<64>();
  check_group<128>();
  check_group<256>();
  check_group<nbit::per_row>();
}

TEST_CASE("zeros, tiny values, infinities and NaN have a defined code") {
  std::vector<float> x(128, 0.0f);
  x[32] = 1e-45f;                                   // too small for a reciprocal: the group becomes zeros
  x[64] = std::numeric_limits<float>::infinity();   // saturates
  x[65] = std::numeric_limits<float>::quiet_NaN();  // becomes zero
  x[96] = -3.0f;
  auto act = nbit::int8_activation_matrix<32>::make({1, 128});
  REQUIRE(act);
  nbit::arch::for_each_runnable([&](auto tag) {
    const auto v = act->view();
    nbit::quantize_activations(tag, nbit::matrix_view<const float>(x.data(), 1, 128), v);
    REQUIRE(v.row_codes(0)[0] == 0);
    REQUIRE(v.scale16(0, 0) == 0.0f);
    REQUIRE(v.row_codes(0)[32] == 0);
    REQUIRE(v.row_codes(0)[64] == 127);
    REQUIRE(v.row_codes(0)[65] == 0);
    REQUIRE(v.row_codes(0)[96] == -127);
    REQUIRE(std::isfinite(v.scale16(0, 4)));
  });
}
