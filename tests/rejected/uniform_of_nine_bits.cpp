// tests/rejected/uniform_of_nine_bits.cpp — widths beyond 8 bits are refused with the widths that exist.
// SPDX-License-Identifier: MIT
// expect: nbit::uniform: scheme.bits must be 1 to 8
#include <nbit/format/uniform.hpp>

#ifdef NBIT_REJECT
struct wide : nbit::uniform<nbit::scheme{.bits = 9}> {};
#else
struct wide : nbit::uniform<nbit::scheme{.bits = 8}> {};
#endif

int width() { return wide::bits; }
