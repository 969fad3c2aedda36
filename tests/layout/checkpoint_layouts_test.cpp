// tests/layout/checkpoint_layouts_test.cpp — the layouts of checkpoints against words worked out by hand, and round
// trips.
// SPDX-License-Identifier: MIT
#include <nbit/layout/awq_gemv_rows.hpp>
#include <nbit/layout/dense_words.hpp>
#include <nbit/layout/gptq_planes.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstdint>
#include <vector>

#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/pack.hpp>

#include "layout/packed.hpp"

namespace {

using nbit_test::packed;
using nbit_test::round_trips;

using words = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("three-bit codes i mod 8 in planes are the words of the planar format") {
  CHECK(packed<nbit::gptq_planes, 3>(nbit_test::counting_codes(32, 8), {1, 32}) ==
        words{0xE4E4E4E4, 0xE4E4E4E4, 0xF0F0F0F0});
  CHECK(packed<nbit::gptq_plane_rows, 3>(nbit_test::counting_codes(32, 8), {32, 1}) ==
        words{0xE4E4E4E4, 0xE4E4E4E4, 0xF0F0F0F0});
}

TEST_CASE("seven-bit codes split into planes of 4, 2 and 1 bits") {
  // all ones in one code: its four low bits, then two, then one
  std::vector<std::uint8_t> codes(32, 0);
  codes[9] = 0x7f;
  words expected(7, 0);
  expected[1] = 0xf0u;     // code 9 of the nibble plane: word 9 / 8, nibble 1
  expected[4] = 3u << 18;  // two bits: word 4, bit 18
  expected[6] = 1u << 9;
  CHECK(packed<nbit::gptq_planes, 7>(codes, {1, 32}) == expected);
}

TEST_CASE("planes of 2, 4 and 8 bits are the words of the older GPTQ format") {
  const nbit::shape s{3, 64};
  CHECK(packed<nbit::gptq_planes, 2>(nbit_test::counting_codes(192, 4), s) ==
        packed<nbit::gptq_words, 2>(nbit_test::counting_codes(192, 4), s));
  CHECK(packed<nbit::gptq_planes, 4>(nbit_test::counting_codes(192, 16), s) ==
        packed<nbit::gptq_words, 4>(nbit_test::counting_codes(192, 16), s));
  CHECK(packed<nbit::gptq_planes, 8>(nbit_test::counting_codes(192, 256), s) ==
        packed<nbit::gptq_words, 8>(nbit_test::counting_codes(192, 256), s));
}

TEST_CASE("dense words hold codes along rows, or along columns, low bits first") {
  CHECK(packed<nbit::dense_words, 4>(nbit_test::counting_codes(8, 16), {1, 8}) == words{0x76543210});
  CHECK(packed<nbit::dense_columns, 4>(nbit_test::counting_codes(8, 16), {8, 1}) == words{0x76543210});
  CHECK(packed<nbit::dense_words, 3>(nbit_test::counting_codes(32, 8), {1, 32}) ==
        words{0x88FAC688, 0xC688FAC6, 0xFAC688FA});
  CHECK(packed<nbit::dense_columns, 3>(nbit_test::counting_codes(32, 8), {32, 1}) ==
        words{0x88FAC688, 0xC688FAC6, 0xFAC688FA});
  CHECK(packed<nbit::dense_columns, 8>({1, 2, 3, 4, 5, 6, 7, 8}, {4, 2}) == words{0x07050301, 0x08060402});
}

TEST_CASE("a row that ends inside a word takes no more words than its bits need") {
  using map = nbit::dense_words::map<3>;
  CHECK(map::row_words(40) == 4);
  const nbit::bit_place last = map::at({2, 40}, 1, 39, 2);
  CHECK((last.word == 7 && last.bit == 23));
}

TEST_CASE("four outputs take turns in stretches of 64 words of AWQ gemv_fast") {
  std::vector<std::uint8_t> codes(4 * 64, 0);
  for (std::size_t c = 0; c < 32; ++c) codes[c] = static_cast<std::uint8_t>(c / 8 * 4 + c % 8 / 2);  // output 0
  codes[2 * 64 + 33] = 15;                                                                           // output 2
  const auto w = packed<nbit::awq_gemv_rows, 4>(codes, {4, 64});
  REQUIRE(w.size() == 64);
  CHECK(w[0] == 0xC840);
  CHECK(w[1] == 0xC840);
  CHECK(w[7] == 0xFB73);
  CHECK(w[2 * 16 + 8 + 1] == 0x000F);
}

TEST_CASE("what the layouts of checkpoints pack they unpack") {
  CHECK(round_trips<nbit::dense_words, 1, 2, 3, 4, 5, 6, 7, 8>());
  CHECK(round_trips<nbit::dense_columns, 1, 2, 3, 4, 5, 6, 7, 8>());
  CHECK(round_trips<nbit::gptq_planes, 2, 3, 4, 5, 6, 7, 8>());
  CHECK(round_trips<nbit::gptq_plane_rows, 2, 3, 4, 5, 6, 7, 8>());
  CHECK(round_trips<nbit::awq_gemv_rows, 4>());
}
