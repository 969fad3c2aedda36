// tests/format/uniform_test.cpp — fit, code and value of uniform formats against the definitions of their schemes.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/format/uniform.hpp>

namespace {
using nbit::scale_type;
using nbit::scheme;
using nbit::symmetry;

template <int Bits, symmetry Symmetry, scale_type Scale = scale_type::f32>
using format = nbit::uniform<scheme{.bits = Bits, .group = 64, .symmetry = Symmetry, .scale = Scale}>;

static_assert(nbit::grid_format<nbit::w4g128> && nbit::integer_format<nbit::w4g128> &&
              !nbit::block_format<nbit::w4g128>);
static_assert(nbit::w4g128::symmetric && !nbit::w3g64a::symmetric);
static_assert(sizeof(nbit::w4g128::params) == 2 && sizeof(nbit::w4g128a::params) == 4);

float largest(const std::vector<float>& w) {
  float top = 0;
  for (const float v : w) top = std::max(top, std::fabs(v));
  return top;
}

// Whatever the scheme: codes stay in range, no other code is nearer, and level form equals value.
template <class F>
void check_grid(const std::vector<float>& w) {
  const auto p = F::fit(w, {});
  for (std::size_t i = 0; i < w.size(); ++i) {
    const int c = F::code(w[i], p, int(i));
    REQUIRE((c >= 0 && c < 1 << F::bits));
    const float error = std::fabs(F::value(c, p, int(i)) - w[i]);
    for (int other = 0; other < 1 << F::bits; ++other)
      REQUIRE(error <=
              std::fabs(F::value(other, p, int(i)) - w[i]) * 1.0001f + 1e-12f + 1e-5f * std::fabs(float(p.scale)));
    const float whole = F::scale(p, 0) * float(F::level(c)) + F::offset(p, 0);
    REQUIRE(std::fabs(whole - F::value(c, p, int(i))) <= 1e-5f * (largest(w) + std::fabs(F::offset(p, 0))));
    REQUIRE((F::level(c) >= -128 && F::level(c) <= 127));
    REQUIRE(F::code(F::value(c, p, int(i)), p, int(i)) == c);
  }
}

template <symmetry Symmetry, scale_type Scale>
int check_widths() {
  int groups = 0;
  nbit_test::random numbers(static_cast<std::uint64_t>(Symmetry) * 8 + static_cast<std::uint64_t>(Scale));
  for (int round = 0; round < 20; ++round) {
    auto w = numbers.normals(64, 0.1f);
    if (round % 4 == 1)
      for (float& v : w) v = std::fabs(v) + 0.1f;  // one-sided
    if (round % 4 == 2)
      for (float& v : w) v = -std::fabs(v);
    if (round % 4 == 3) w[5] = 3.0f;  // an outlier
    check_grid<format<2, Symmetry, Scale>>(w), ++groups;
    check_grid<format<3, Symmetry, Scale>>(w), ++groups;
    check_grid<format<4, Symmetry, Scale>>(w), ++groups;
    check_grid<format<5, Symmetry, Scale>>(w), ++groups;
    check_grid<format<8, Symmetry, Scale>>(w), ++groups;
  }
  return groups;
}

}  // namespace

TEST_CASE("every code is the nearest one, for every symmetry, width and scale type") {
  int groups = 0;
  groups += check_widths<symmetry::restricted, scale_type::f32>();
  groups += check_widths<symmetry::restricted, scale_type::e8m0>();
  groups += check_widths<symmetry::gptq, scale_type::f16>();
  groups += check_widths<symmetry::full_range, scale_type::bf16>();
  groups += check_widths<symmetry::full_range, scale_type::f8_e4m3>();
  groups += check_widths<symmetry::asymmetric, scale_type::f16>();
  groups += check_widths<symmetry::asymmetric_float, scale_type::f32>();
  INFO(groups << " groups");
  CHECK(groups == 700);
}

TEST_CASE("scales follow their definitions") {
  std::vector<float> w(64, 0.0f);
  w[3] = -1.5f, w[4] = 0.75f;
  REQUIRE(format<4, symmetry::restricted>::fit(w, {}).scale == 1.5f / 7);
  REQUIRE(format<4, symmetry::gptq>::fit(w, {}).scale == 3.0f / 15);
  REQUIRE(format<4, symmetry::full_range>::fit(w, {}).scale == 1.5f / 8);  // -1.5 / -8: the sign of the largest is kept
  w[3] = 1.5f;
  REQUIRE(format<4, symmetry::full_range>::fit(w, {}).scale == -1.5f / 8);
  w[3] = -1.5f;
  const auto p = format<4, symmetry::asymmetric>::fit(w, {});
  REQUIRE(p.scale == 2.25f / 15);
  REQUIRE(int(p.zero) == 10);
  for (float& v : w) v = 2.0f + 0.01f * float(&v - w.data());           // all positive
  REQUIRE(int(format<4, symmetry::asymmetric>::fit(w, {}).zero) == 0);  // the range is widened to hold 0
  const auto f = format<4, symmetry::asymmetric_float>::fit(w, {});
  REQUIRE(std::fabs(format<4, symmetry::asymmetric_float>::value(0, f, 0) - 2.0f) < 1e-5f);
}

TEST_CASE("one-bit weights are plus or minus the mean magnitude") {
  const std::vector<float> w = {1.0f, -2.0f, 3.0f, -4.0f};
  using one = format<1, symmetry::restricted>;
  const auto p = one::fit(w, {});
  REQUIRE(p.scale == 2.5f);
  REQUIRE(one::value(one::code(-0.1f, p, 0), p, 0) == -2.5f);
  REQUIRE(one::value(one::code(0.1f, p, 0), p, 0) == 2.5f);
}

TEST_CASE("huge weights do not turn a group into infinities, constants are exact, zeros are zero") {
  const std::vector<float> huge(64, 3e38f), constant(64, 5.25f), zeros(64, 0.0f);
  using half_scale = format<4, symmetry::restricted, scale_type::f16>;
  REQUIRE(std::isfinite(
      half_scale::value(half_scale::code(3e38f, half_scale::fit(huge, {}), 0), half_scale::fit(huge, {}), 0)));
  using zero_point = format<4, symmetry::asymmetric_float>;
  const auto p = zero_point::fit(constant, {});
  REQUIRE(zero_point::value(zero_point::code(5.25f, p, 0), p, 0) == 5.25f);
  const auto z = zero_point::fit(zeros, {});
  REQUIRE(zero_point::value(zero_point::code(0.0f, z, 0), z, 0) == 0.0f);
}
