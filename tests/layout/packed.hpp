// tests/layout/packed.hpp — codes for layouts, and what the tests of layouts do with them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_LAYOUT_PACKED_HPP
#define NBIT_TESTS_LAYOUT_PACKED_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

#include <nbit/layout/pack.hpp>

#include "support/random.hpp"

namespace nbit_test {

/// The words of codes of a matrix; every bit is set before, so that padding has to be written.
template <class Layout, int Bits>
std::vector<typename Layout::template map<Bits>::word> packed(const std::vector<std::uint8_t>& codes, nbit::shape s) {
  std::vector<typename Layout::template map<Bits>::word> words(nbit::words_for<Layout, Bits>(s), 0xff);
  nbit::pack<Layout, Bits, std::uint8_t>({codes.data(), s.rows, s.cols}, words);
  return words;
}

inline std::vector<std::uint8_t> counting_codes(std::size_t n, unsigned modulus) {
  std::vector<std::uint8_t> codes(n);
  for (std::size_t i = 0; i < n; ++i) codes[i] = static_cast<std::uint8_t>(i % modulus);
  return codes;
}

inline std::vector<std::uint8_t> random_codes(random& numbers, std::size_t n, int bits) {
  std::vector<std::uint8_t> codes(n);
  for (auto& c : codes) c = static_cast<std::uint8_t>(numbers.below(std::uint64_t{1} << bits));
  return codes;
}

/// Whether a matrix of random codes comes back, and so does a piece from the middle of its last row.
template <class Layout, int Bits>
bool round_trip(nbit::shape s) {
  random numbers(Bits);
  const std::vector<std::uint8_t> codes = random_codes(numbers, s.rows * s.cols, Bits);
  std::vector<std::uint8_t> back(codes.size(), 0xee);
  const auto words = packed<Layout, Bits>(codes, s);
  nbit::unpack<Layout, Bits, std::uint8_t>(words, {back.data(), s.rows, s.cols});
  bool same = back == codes;
  const std::size_t first = s.cols / 3, n = s.cols - first;
  nbit::unpack_row<Layout, Bits>(words.data(), nbit::padded_shape<Layout, Bits>(s), s.rows - 1, first, n, back.data());
  for (std::size_t i = 0; i < n; ++i) same = same && back[i] == codes[(s.rows - 1) * s.cols + first + i];
  return same;
}

inline constexpr nbit::shape round_trip_shapes[] = {{1, 1}, {1, 33}, {7, 64}, {16, 96}, {33, 100}, {3, 257}, {40, 8}};

template <class Layout, int... Bits>
bool round_trips() {
  bool all = true;
  for (const nbit::shape s : round_trip_shapes) all = all && (round_trip<Layout, Bits>(s) && ...);
  return all;
}

}  // namespace nbit_test

#endif
