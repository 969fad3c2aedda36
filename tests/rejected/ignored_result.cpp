// tests/rejected/ignored_result.cpp — a result that nobody looks at is a warning, here an error.
// SPDX-License-Identifier: MIT
// expect: (ignoring return|nodiscard|unused-result|ignoring returned value)
#include <nbit/base/result.hpp>

nbit::result<int> read();
int value_or_zero() {
#ifdef NBIT_REJECT
  read();
#endif
  return read().value_or(0);
}
