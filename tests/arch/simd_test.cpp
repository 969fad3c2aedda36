// tests/arch/simd_test.cpp — the primitives of every instruction set against the scalar ones, bit for bit.
// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>
#include <cstring>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/arch/simd.hpp>

namespace {

using sixteen = std::array<float, nbit::lane_count>;

// The primitives of one instruction set may only be called from inside its region; this text is stamped like a kernel.
template <class Arch>
struct probe;

}  // namespace

#define NBIT_STAMP <support/simd_probe.inl>
#include <nbit/arch/stamp.inl>

TEST_CASE("vector primitives equal the scalar definition") {
  nbit_test::random numbers(7);
  int rounds = 0;
  nbit::arch::for_each_runnable([&](auto tag) {
    using tested = probe<decltype(tag)>;
    for (int round = 0; round < 200; ++round, ++rounds) {
      sixteen a, b, c;
      std::array<std::int8_t, 64> w, x;
      for (std::size_t i = 0; i < 16; ++i)
        a[i] = numbers.normal(), b[i] = numbers.normal() * 1e-3f, c[i] = numbers.normal();
      for (std::size_t i = 0; i < 64; ++i) {
        w[i] = static_cast<std::int8_t>(int(numbers.below(256)) - 128);
        x[i] = static_cast<std::int8_t>(int(numbers.below(255)) - 127);
      }
      if (round == 0) w.fill(-128), x.fill(127);
      if (round == 1) w.fill(-128), x.fill(-127);
      const sixteen sum = tested::fma(a, b, c), expected = probe<nbit::arch::scalar>::fma(a, b, c);
      REQUIRE(std::memcmp(sum.data(), expected.data(), sizeof sum) == 0);
      const float total = tested::reduce(a), wanted = probe<nbit::arch::scalar>::reduce(a);
      REQUIRE(std::memcmp(&total, &wanted, sizeof total) == 0);
      REQUIRE(tested::dot4(w, x) == probe<nbit::arch::scalar>::dot4(w, x));
      REQUIRE(tested::mul_add(a, b, c) == probe<nbit::arch::scalar>::mul_add(a, b, c));
    }
  });
  INFO(rounds << " rounds");
  CHECK(rounds >= 200);
}

TEST_CASE("multiply then add is not fused: contraction is off in every region") {
  // (1 + 2^-12)^2 - 1 = 2^-11 + 2^-24; unfused, the square rounds 2^-24 away
  const float x = 1.0f + 0x1p-12f;
  nbit::arch::for_each_runnable([&](auto tag) {
    sixteen a, b, c;
    a.fill(x), b.fill(x), c.fill(-1.0f);
    INFO(decltype(tag)::name);
    CHECK(probe<decltype(tag)>::mul_add(a, b, c)[3] == 0x1p-11f);
    CHECK(probe<decltype(tag)>::plain_mul_add(x, x, -1.0f) == 0x1p-11f);
    CHECK(probe<decltype(tag)>::fma(a, b, c)[3] == 0x1p-11f + 0x1p-24f);
  });
}
