// tests/rejected/codebook_of_wrong_size.cpp — a table that does not fit its code width.
// SPDX-License-Identifier: MIT
// expect: Derived::levels must have 2\^Bits entries
#include <nbit/format/codebook.hpp>

#ifdef NBIT_REJECT
struct book : nbit::codebook<book, 2, 32> {
  static constexpr std::array<float, 3> levels = {-1, 0, 1};
};
#else
struct book : nbit::codebook<book, 2, 32> {
  static constexpr std::array<float, 4> levels = {-1, 0, 0.5f, 1};
};
#endif

book::params fit(std::span<const float> w) { return book::fit(w, {}); }
