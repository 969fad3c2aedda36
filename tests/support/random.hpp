// tests/support/random.hpp — numbers for tests that are the same on every machine and standard library.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_SUPPORT_RANDOM_HPP
#define NBIT_TESTS_SUPPORT_RANDOM_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nbit_test {

/// splitmix64: 64 fresh bits for each call, any seed.
class random {
 public:
  explicit random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// An integer in [0, n).
  std::uint64_t below(std::uint64_t n) { return bits() % n; }
  /// A float in [0, 1): 24 random bits.
  float uniform() { return static_cast<float>(bits() >> 40) * 0x1p-24f; }
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  /// About normal (0, 1): twelve uniforms, exact arithmetic, tails cut at 6. Enough for weights in tests.
  float normal() {
    std::int64_t sum = 0;
    for (int i = 0; i < 12; ++i) sum += static_cast<std::int64_t>(bits() >> 40);
    return static_cast<float>(sum - 6 * (std::int64_t{1} << 24)) * 0x1p-24f;
  }
  std::vector<float> normals(std::size_t n, float scale = 1.0f) {
    std::vector<float> v(n);
    for (float& x : v) x = normal() * scale;
    return v;
  }
  std::vector<float> uniforms(std::size_t n, float low = -1.0f, float high = 1.0f) {
    std::vector<float> v(n);
    for (float& x : v) x = uniform(low, high);
    return v;
  }
  std::vector<std::byte> bytes(std::size_t n) {
    std::vector<std::byte> v(n);
    for (std::byte& b : v) b = static_cast<std::byte>(bits() >> 56);
    return v;
  }

 private:
  std::uint64_t state_;
};

}  // namespace nbit_test

#endif
