// tests/format/e8p_test.cpp — E8P: its points are what the paper says, and its encoder finds the nearest of all of
// them.
// SPDX-License-Identifier: MIT
#include <nbit/format/e8p.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include <nbit/tensor/encode.hpp>

#include "format/ggml_lattice_properties.hpp"

namespace {

using e8p = nbit::e8p<256>;
using point = std::array<int, 8>;  // in units of d

point levels_of(int code) {
  const e8p::params one{nbit::f16::from(1.0f)};
  const auto c = static_cast<std::uint16_t>(code);
  std::int8_t level[8];
  e8p::signed_levels(&c, one, 0, level);
  float value[8];
  e8p::value(code, one, 0, value);
  point p;
  for (std::size_t i = 0; i < 8; ++i) {
    p[i] = level[i];
    REQUIRE(value[i] == static_cast<float>(level[i]));
  }
  return p;
}

const std::vector<point>& all_points() {
  static const std::vector<point> points = [] {
    std::vector<point> all;
    for (int c = 0; c < 65536; ++c) all.push_back(levels_of(c));
    return all;
  }();
  return points;
}

double distance(const point& p, const float* x) {
  double sum = 0;
  for (std::size_t i = 0; i < 8; ++i) sum += (p[i] - double(x[i])) * (p[i] - double(x[i]));
  return sum;
}

}  // namespace

TEST_CASE("E8P's codes name 65,536 points of the E8 lattice, a quarter away from it") {
  std::set<point> different;
  int norm_twelve = 0, up_to_ten = 0;
  for (int c = 0; c < 65536; ++c) {
    const point p = all_points()[std::size_t(c)];
    different.insert(p);
    const int quarter = c >> 15 != 0 ? 1 : -1;
    int sum = 0, square = 0;
    for (const int v : p) {
      const int half = (v - quarter) / 2;  // twice the half-integer
      REQUIRE(half * 2 + quarter == v);
      REQUIRE(half % 2 != 0);
      sum += half, square += half * half;
    }
    REQUIRE(sum % 4 == 0);  // the half-integers add up to an even number
    REQUIRE(square <= 48);
    (square == 48 ? norm_twelve : up_to_ten) += 1;
  }
  CHECK(different.size() == 65536);
  CHECK(up_to_ten == 227 * 256);
  CHECK(norm_twelve == 29 * 256);
}

TEST_CASE("E8P's encoder finds the nearest of all points") {
  nbit_test::random rng(8);
  const e8p::params one{nbit::f16::from(1.0f)};
  // Sixty-fourths: distances are exact in float, so the least of them must be met to the bit.
  for (int turn = 0; turn < 400; ++turn) {
    const float size = 1.0f + static_cast<float>(turn % 10);
    float x[8];
    for (float& v : x) v = std::round(rng.normal() * size * 64.0f) / 64.0f;
    if (turn % 7 == 0) x[turn % 8] = x[(turn + 3) % 8];
    double least = 1e30;
    for (const point& p : all_points()) least = std::min(least, distance(p, x));
    const int c = e8p::code(x, one, 0);
    REQUIRE(c >= 0);
    REQUIRE(c < 65536);
    REQUIRE(distance(all_points()[std::size_t(c)], x) == least);
  }
  for (int c = 0; c < 65536; ++c) {  // and every point is its own
    float x[8];
    for (std::size_t i = 0; i < 8; ++i) x[i] = static_cast<float>(all_points()[std::size_t(c)][i]);
    REQUIRE(e8p::code(x, one, 0) == c);
  }
}

TEST_CASE("E8P's step suits weights like noise") {
  nbit_test::random rng(9);
  const std::vector<float> w = rng.normals(64 * 256, 0.02f);
  const auto error = [&](float factor) {
    double sum = 0, energy = 0;
    for (std::size_t g = 0; g < w.size(); g += 256) {
      e8p::params p = e8p::fit({w.data() + g, 256}, {});
      p.d = nbit::f16::from(float(p.d) * factor);
      for (std::size_t i = 0; i < 256; i += 8) {
        float v[8];
        e8p::value(e8p::code({w.data() + g + i, 8}, p, static_cast<int>(i)), p, static_cast<int>(i), v);
        for (std::size_t k = 0; k < 8; ++k) {
          const double e = double(v[k]) - double(w[g + i + k]);
          sum += e * e, energy += double(w[g + i + k]) * double(w[g + i + k]);
        }
      }
    }
    return sum / energy;
  };
  const double fitted = error(1.0f);
  CHECK(fitted < 0.093);   // the best of scalar 2-bit grids reaches 0.1175 on normal numbers
  CHECK(fitted > 0.0625);  // the bound of rate-distortion theory
  CHECK(fitted < error(0.92f));
  CHECK(fitted < error(1.09f));
}

TEST_CASE("E8P survives any bytes and any weights") {
  nbit_test::random rng(10);
  nbit_test::lattice_checks<e8p>::round_trip(rng);
  nbit_test::lattice_checks<e8p>::nearest_code(rng);
  const float huge = 3e38f;
  for (const float a : {0.0f, -0.0f, 1e-40f, 1e-8f, 1.0f, -huge, huge, std::nanf(""), INFINITY})
    for (const float b : {0.0f, 1.0f, huge, -INFINITY, std::nanf("")}) {
      const float w[8] = {a, b, a, b, a, b, a, b};
      const e8p::params fitted = e8p::fit(w, {});
      for (const e8p::params p : {fitted, e8p::params{nbit::f16::from_bits(0)}, e8p::params{nbit::f16::from(-1.0f)}}) {
        const int c = e8p::code(w, p, 0);
        REQUIRE(c >= 0);
        REQUIRE(c < 65536);
        if (!(std::fabs(a) <= huge && std::fabs(b) <= huge)) continue;
        float v[8];
        e8p::value(c, p, 0, v);
        for (const float x : v) REQUIRE(std::isfinite(x));
      }
    }
  const std::vector<float> zeros(256, 0.0f);
  e8p::params p{};
  std::uint16_t codes[32];
  nbit::detail::encode_group<e8p>(zeros, {}, 0.0f, p, codes);
  std::vector<float> values(256, 1.0f);
  nbit::detail::value_group<e8p>(codes, p, 0, values);
  CHECK(values == zeros);
}
