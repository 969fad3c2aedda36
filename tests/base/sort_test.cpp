// tests/base/sort_test.cpp — sort puts every sequence in order and keeps every item.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/base/sort.hpp>

TEST_CASE("sort agrees with the standard library's") {
  std::uint32_t state = 1;
  for (std::size_t count = 0; count < 200; ++count)
    for (const std::uint32_t values : {1u, 3u, 1000000u}) {
      std::vector<std::uint32_t> mine(count);
      for (std::uint32_t& v : mine) v = (state = state * 1664525u + 1013904223u) / 16 % values;
      std::vector<std::uint32_t> theirs = mine;
      nbit::detail::sort(mine.data(), mine.size());
      std::sort(theirs.begin(), theirs.end());
      REQUIRE(mine == theirs);
      nbit::detail::sort(mine.data(), mine.size(), [](std::uint32_t a, std::uint32_t b) { return a > b; });
      std::reverse(theirs.begin(), theirs.end());
      REQUIRE(mine == theirs);
    }
}

TEST_CASE("sort moves items that own memory") {
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("a name too long for a small string " + std::to_string(i * 37 % 100));
  std::vector<std::string> expected = names;
  std::sort(expected.begin(), expected.end());
  nbit::detail::sort(names.data(), names.size());
  CHECK(names == expected);
}
