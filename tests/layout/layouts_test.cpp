// tests/layout/layouts_test.cpp — every layout against words worked out by hand, and pack against unpack.
// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/layout/split.hpp>
#include <nbit/layout/tiled.hpp>
#include <nbit/layout/warp_tiles.hpp>

#include "layout/packed.hpp"

using nbit_test::packed;
using nbit_test::round_trips;

TEST_CASE("codes 0..7 fill one GPTQ word from the low nibble up") {
  REQUIRE(packed<nbit::gptq_words, 4>(nbit_test::counting_codes(32, 8), {1, 32}) ==
          std::vector<std::uint32_t>{0x76543210, 0x76543210, 0x76543210, 0x76543210});
}

TEST_CASE("GPTQ 3-bit codes straddle words low bits first") {
  REQUIRE(packed<nbit::gptq_words, 3>(nbit_test::counting_codes(32, 8), {1, 32}) ==
          std::vector<std::uint32_t>{0x88FAC688, 0xC688FAC6, 0xFAC688FA});
}

TEST_CASE("GPTQ words of neighbouring outputs stand side by side") {
  std::vector<std::uint8_t> codes(2 * 32, 1);
  for (std::size_t c = 0; c < 32; ++c) codes[32 + c] = 2;
  REQUIRE(packed<nbit::gptq_words, 8>(codes, {2, 32}).at(0) == 0x01010101);
  REQUIRE(packed<nbit::gptq_words, 8>(codes, {2, 32}).at(1) == 0x02020202);
}

TEST_CASE("AWQ puts even outputs in the low half of a word") {
  REQUIRE(packed<nbit::awq_interleave, 4>(nbit_test::counting_codes(8, 8), {8, 1}) ==
          std::vector<std::uint32_t>{0x75316420});
}

TEST_CASE("split nibbles pair a code with the one half a block later") {
  std::vector<std::uint8_t> codes(32);
  for (std::size_t i = 0; i < 16; ++i)
    codes[i] = static_cast<std::uint8_t>(i), codes[16 + i] = static_cast<std::uint8_t>(15 - i);
  REQUIRE(packed<nbit::split_nibble, 4>(codes, {1, 32}) == std::vector<std::uint8_t>{0xF0, 0xE1, 0xD2, 0xC3, 0xB4, 0xA5,
                                                                                     0x96, 0x87, 0x78, 0x69, 0x5A, 0x4B,
                                                                                     0x3C, 0x2D, 0x1E, 0x0F});
}

TEST_CASE("linear rows start on a byte") {
  REQUIRE(packed<nbit::linear, 3>({7, 0, 7}, {1, 3}) == std::vector<std::uint8_t>{0xC7, 0x01, 0x00});
  REQUIRE(packed<nbit::linear, 3>({1, 2}, {2, 1}) == std::vector<std::uint8_t>{1, 0, 0, 2, 0, 0});
}

TEST_CASE("tiles walk their rows chunk by chunk") {
  std::vector<std::uint8_t> codes(2 * 16);
  for (std::size_t r = 0; r < 2; ++r)
    for (std::size_t c = 0; c < 16; ++c) codes[r * 16 + c] = static_cast<std::uint8_t>(100 * r + c);
  const auto words = packed<nbit::tiled<2>, 8>(codes, {2, 16});
  for (std::size_t i = 0; i < 8; ++i) {
    REQUIRE(words[i] == i);
    REQUIRE(words[8 + i] == 100 + i);
    REQUIRE(words[16 + i] == 8 + i);
    REQUIRE(words[24 + i] == 108 + i);
  }
}

TEST_CASE("a lane of a warp tile holds eight columns of each thirty-two, even codes in the lower half") {
  std::vector<std::uint8_t> codes(8 * 128);
  for (std::size_t c = 0; c < 8; ++c) codes[3 * 128 + 32 + 16 + c] = static_cast<std::uint8_t>(c + 1);
  const auto four = packed<nbit::warp_tiles, 4>(codes, {8, 128});  // row 3, columns 48 to 55: lane 14, second word
  REQUIRE(four[14 * 4 + 1] == 0x86427531);
  const auto eight = packed<nbit::warp_tiles, 8>(codes, {8, 128});  // third and fourth word
  REQUIRE(eight[14 * 4 + 2] == 0x04020301);
  REQUIRE(eight[14 * 4 + 3] == 0x08060705);
  const auto three = packed<nbit::warp_tiles, 3>(codes, {8, 128});  // two low bits, then a plane of the third
  REQUIRE(three[14 * 2] == 0x2200dd00);
  REQUIRE(three[32 * 2 + 14] == 0x006000c0);
  for (std::size_t i = 0; i < four.size(); ++i) REQUIRE((i == 14 * 4 + 1 || four[i] == 0));
}

TEST_CASE("every layout gives back what was packed, at every width and ragged shape") {
  CHECK(round_trips<nbit::linear, 1, 2, 3, 4, 5, 6, 7, 8>());
  CHECK(round_trips<nbit::gptq_words, 1, 2, 3, 4, 5, 6, 7, 8>());
  CHECK(round_trips<nbit::split<32>, 1, 2, 4, 8>());
  CHECK(round_trips<nbit::awq_interleave, 4, 8>());
  CHECK(round_trips<nbit::tiled<4>, 1, 2, 3, 4, 5, 6, 7, 8>());
  CHECK(round_trips<nbit::tiled<16, 4>, 2, 4, 6, 8>());
  CHECK(round_trips<nbit::warp_tiles, 1, 2, 3, 4, 5, 6, 7, 8>());
}

namespace {
// Two codes on one bit: what the proof must refuse.
struct colliding {
  template <int Bits>
  struct map {
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 8;
    static constexpr nbit::bit_place at(nbit::shape, std::size_t, std::size_t c, int bit) { return {c % 2, bit}; }
  };
};
static_assert(!nbit::is_bijection<colliding, 4>());
}  // namespace
