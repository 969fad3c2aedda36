// tests/rejected/const_view_to_mutable.cpp — a view of const elements never becomes a view of mutable ones.
// SPDX-License-Identifier: MIT
// expect: (could not convert|no known conversion)
#include <nbit/base/matrix_view.hpp>

#ifdef NBIT_REJECT
using source = const float;
#else
using source = float;
#endif

void fill(nbit::matrix_view<float> m);
void pass(nbit::matrix_view<source> m) { fill(m); }
