// tests/base/bits_test.cpp — masks, byte order, bit fields across words, checked counts.
// SPDX-License-Identifier: MIT
#include <nbit/base/bits.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/random.hpp"

static_assert(nbit::low_mask<std::uint8_t>(0) == 0 && nbit::low_mask<std::uint8_t>(3) == 7 &&
              nbit::low_mask<std::uint8_t>(8) == 255);
static_assert(nbit::low_mask<std::uint32_t>(32) == 0xffffffffu &&
              nbit::low_mask<std::uint64_t>(64) == ~std::uint64_t{0});
static_assert(nbit::ceil_div(0u, 5u) == 0 && nbit::ceil_div(10u, 5u) == 2 && nbit::ceil_div(11u, 5u) == 3);
static_assert(nbit::ceil_div(0xffffffffu, 2u) == 0x80000000u && nbit::round_up(65u, 64u) == 128 &&
              nbit::round_up(64u, 64u) == 64);

TEST_CASE("Numbers are stored lowest byte first and loaded from any address") {
  std::array<std::byte, 16> memory{};
  nbit::store_u32(memory.data() + 1, 0x04030201u);
  for (int i = 0; i < 4; ++i) CHECK(std::to_integer<int>(memory[static_cast<std::size_t>(i) + 1]) == i + 1);
  CHECK(nbit::load_u16(memory.data() + 1) == 0x0201u);
  CHECK(nbit::load_u32(memory.data() + 1) == 0x04030201u);
  nbit::store_u64(memory.data() + 3, 0x1122334455667788u);
  CHECK(nbit::load_u64(memory.data() + 3) == 0x1122334455667788u);
  CHECK(std::to_integer<int>(memory[3]) == 0x88);
  nbit::store_f16(memory.data() + 5, nbit::f16::from(-1.5f));
  CHECK(static_cast<float>(nbit::load_f16(memory.data() + 5)) == -1.5f);
  nbit::store_f32(memory.data() + 7, 0.1f);
  CHECK(nbit::load_f32(memory.data() + 7) == 0.1f);
}

TEST_CASE("A bit field is read and written alone, wherever it lies and however wide it is") {
  nbit_test::random rng(5);
  std::vector<std::uint32_t> words(5);
  std::vector<bool> bits(160);
  for (int turn = 0; turn < 5000; ++turn) {
    const int n = 1 + static_cast<int>(rng.below(32));
    const std::size_t first = rng.below(160 - static_cast<std::uint64_t>(n) + 1);
    const std::uint32_t v = static_cast<std::uint32_t>(rng.bits());
    nbit::deposit_bits(words.data(), first, n, v);
    for (int b = 0; b < n; ++b) bits[first + static_cast<std::size_t>(b)] = (v >> b & 1u) != 0;
    REQUIRE(nbit::extract_bits(words.data(), first, n) == (v & nbit::low_mask<std::uint32_t>(n)));
    for (std::size_t b = 0; b < 160; ++b) REQUIRE(((words[b / 32] >> (b % 32) & 1u) != 0) == bits[b]);
  }
}

TEST_CASE("Products and sums that do not fit are reported") {
  std::uint64_t r = 0;
  CHECK(nbit::checked_mul(std::uint64_t{1} << 32, (std::uint64_t{1} << 32) - 1, r));
  CHECK(r == 0xffffffff00000000u);
  CHECK_FALSE(nbit::checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32, r));
  CHECK(nbit::checked_add(~std::uint64_t{0} - 1, std::uint64_t{1}, r));
  CHECK(r == ~std::uint64_t{0});
  CHECK_FALSE(nbit::checked_add(~std::uint64_t{0}, std::uint64_t{1}, r));
  std::uint32_t s = 0;
  CHECK_FALSE(nbit::checked_mul(65536u, 65536u, s));
  CHECK(nbit::checked_mul(65536u, 65535u, s));
}
