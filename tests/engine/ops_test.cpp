// tests/engine/ops_test.cpp — norm, rotary embedding, softmax and attention against their definitions in double.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <engine/ops.hpp>
#include <support/random.hpp>

TEST_CASE("exponential is within 3e-7 of e^x and ends in 0 below -87") {
  double worst = 0.0;
  for (int i = 0; i <= 1'000'000; ++i) {
    const float x = -87.0f + 175.0f * static_cast<float>(i) / 1'000'000.0f;
    const double exact = std::exp(static_cast<double>(std::min(x, 88.0f)));
    worst = std::max(worst, std::fabs(static_cast<double>(engine::exponential(x)) / exact - 1.0));
  }
  INFO("largest relative error " << worst);
  CHECK(worst < 3e-7);
  CHECK(engine::exponential(0.0f) == 1.0f);
  CHECK(engine::exponential(-87.5f) == 0.0f);
  CHECK(engine::exponential(-INFINITY) == 0.0f);
  CHECK(std::isfinite(engine::exponential(1e30f)));
}

TEST_CASE("RMS norm divides by the root of the mean square and multiplies by the gain") {
  nbit_test::random numbers(1);
  for (const std::size_t n : {1u, 7u, 8u, 64u, 257u}) {
    const auto x = numbers.normals(n, 3.0f), gain = numbers.normals(n);
    std::vector<float> out(n);
    engine::rms_norm(x, gain, 1e-5f, out);
    double square = 0.0;
    for (const float v : x) square += double(v) * double(v);
    const double scale = 1.0 / std::sqrt(square / double(n) + 1e-5);
    for (std::size_t i = 0; i < n; ++i)
      CHECK(std::fabs(double(out[i]) - double(x[i]) * scale * double(gain[i])) < 2e-6);
  }
}

TEST_CASE("The two rotary styles turn the same pairs, found at other places") {
  engine::config c;
  c.heads = 1, c.head_width = 10, c.rope_dims = 8, c.rope_base = 1e4f;
  nbit_test::random numbers(2);
  const auto head = numbers.normals(10);
  c.rope = engine::rope_style::half_split;
  auto split = head;
  engine::rope_table(c, 5, 3).turn(split.data(), 2);
  for (std::size_t i = 0; i < 4; ++i) {
    const double angle = 7.0 * std::pow(1e4, -2.0 * double(i) / 8.0);
    CHECK(std::fabs(double(split[i]) - (double(head[i]) * std::cos(angle) - double(head[i + 4]) * std::sin(angle))) <
          1e-6);
    CHECK(std::fabs(double(split[i + 4]) -
                    (double(head[i + 4]) * std::cos(angle) + double(head[i]) * std::sin(angle))) < 1e-6);
  }
  CHECK(split[8] == head[8]);  // beyond rope_dims nothing turns
  c.rope = engine::rope_style::interleaved;
  std::vector<float> pairs(10);
  for (std::size_t i = 0; i < 10; ++i) pairs[i] = i < 8 ? head[i / 2 + i % 2 * 4] : head[i];
  engine::rope_table(c, 7, 1).turn(pairs.data(), 0);
  for (std::size_t i = 0; i < 8; ++i) CHECK(pairs[i] == split[i / 2 + i % 2 * 4]);
}

TEST_CASE("Attention mixes the values of earlier positions by softmax of scaled products") {
  nbit_test::random numbers(3);
  for (const std::size_t queries : {1u, 3u, 20u}) {
    const std::size_t keys = 20, width = 8;
    const auto q = numbers.normals(queries * width), k = numbers.normals(keys * width),
               v = numbers.normals(width * keys);
    std::vector<float> out(queries * width);
    engine::attend({q.data(), queries, width}, {k.data(), keys, width}, {v.data(), width, keys},
                   {out.data(), queries, width});
    for (std::size_t i = 0; i < queries; ++i) {
      const std::size_t seen = keys - queries + i + 1;
      std::vector<double> p(seen);
      double total = 0.0;
      for (std::size_t t = 0; t < seen; ++t) {
        double dot = 0.0;
        for (std::size_t d = 0; d < width; ++d) dot += double(q[i * width + d]) * double(k[t * width + d]);
        total += p[t] = std::exp(dot / std::sqrt(double(width)));
      }
      for (std::size_t d = 0; d < width; ++d) {
        double mixed = 0.0;
        for (std::size_t t = 0; t < seen; ++t) mixed += p[t] / total * double(v[d * keys + t]);
        CHECK(std::fabs(double(out[i * width + d]) - mixed) < 2e-6);
      }
    }
  }
}

TEST_CASE("The gate is silu(gate) times up") {
  std::vector<float> gate = {0.0f, 1.0f, -1.0f, 20.0f, -100.0f}, up = {5.0f, 2.0f, 3.0f, 1.0f, 1.0f};
  const auto before = gate;
  engine::silu_times(gate, up);
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double g = double(before[i]);
    CHECK(std::fabs(double(gate[i]) - g / (1.0 + std::exp(-g)) * double(up[i])) < 1e-5);
  }
}
