// tests/rejected/int8_group_of_ten.cpp — activation groups are multiples of 16.
// SPDX-License-Identifier: MIT
// expect: Group must be a multiple of 16, or nbit::per_row
#include <nbit/kernel/activations.hpp>

#ifdef NBIT_REJECT
constexpr int group = 10;
#else
constexpr int group = 48;
#endif

std::size_t bytes() { return nbit::int8_activations<group>::bytes_for({1, 96}); }
