// tests/consumer/other.cpp — the other half; see main.cpp.
// SPDX-License-Identifier: MIT
#if defined(CONSUMER_SINGLE_HEADER)
#include <nbit.hpp>
#else
#include <nbit/nbit.hpp>
#endif

int rows_seen_by_the_other_half(nbit::matrix_view<const float> m);
int rows_seen_by_the_other_half(nbit::matrix_view<const float> m) { return static_cast<int>(m.rows); }
