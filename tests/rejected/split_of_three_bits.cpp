// tests/rejected/split_of_three_bits.cpp — a layout says which widths it can place.
// SPDX-License-Identifier: MIT
// expect: split needs a width that divides a byte: 1, 2, 4 or 8 bits
#include <nbit/layout/pack.hpp>
#include <nbit/layout/split.hpp>

#ifdef NBIT_REJECT
constexpr int bits = 3;
#else
constexpr int bits = 2;
#endif

std::size_t words() { return nbit::words_for<nbit::split<32>, bits>({1, 32}); }
