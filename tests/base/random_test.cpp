// tests/base/random_test.cpp — the stream is the published one, and its numbers are spread as they should be.
// SPDX-License-Identifier: MIT
#include <nbit/base/random.hpp>

#include <cmath>
#include <cstdint>
#include <cstdlib>

#include <catch2/catch_test_macros.hpp>

// splitmix64 from state 1234567: the numbers that its author's program prints.
static_assert([] {
  std::uint64_t s = 1234567;
  return nbit::splitmix64(s) == 6457827717110365317u && nbit::splitmix64(s) == 3203168211198807973u &&
         nbit::splitmix64(s) == 9817491932198370423u;
}());

namespace {

// xoshiro256** written down once more, in the order of the paper, as an oracle.
struct paper {
  std::uint64_t s[4];
  static std::uint64_t turned(std::uint64_t x, int k) { return x << k | x >> (64 - k); }
  std::uint64_t next() {
    const std::uint64_t result = turned(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = turned(s[3], 45);
    return result;
  }
};

}  // namespace

TEST_CASE("A random stream is xoshiro256** seeded by splitmix64, and equal seeds give equal numbers") {
  std::uint64_t seed = 42;
  paper p{};
  for (std::uint64_t& s : p.s) s = nbit::splitmix64(seed);
  nbit::random_stream a(42), b(42), c(43);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t drawn = a.bits();
    REQUIRE(drawn == p.next());
    REQUIRE(drawn == b.bits());
    differs = differs || drawn != c.bits();
  }
  CHECK(differs);
  nbit::random_stream copy = a;
  CHECK(copy.bits() == a.bits());
}

TEST_CASE("Uniform floats, bounded integers and signs stay in range and are balanced") {
  nbit::random_stream r(7);
  double sum = 0, signs = 0;
  int counts[10] = {};
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    const float u = r.uniform();
    REQUIRE((u >= 0.0f && u < 1.0f));
    sum += static_cast<double>(u);
    const float s = r.sign();
    REQUIRE((s == 1.0f || s == -1.0f));
    signs += static_cast<double>(s);
    const std::uint32_t k = r.below(10);
    REQUIRE(k < 10);
    ++counts[k];
  }
  CHECK(std::fabs(sum / n - 0.5) < 0.005);
  CHECK(std::fabs(signs / n) < 0.02);
  for (const int c : counts) CHECK(std::abs(c - n / 10) < 600);
}
