// tests/kernel/e8p_kernels_test.cpp — every operation on E8P, in groups of both lengths that int8 kernels tell apart.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <nbit/format/e8p.hpp>

TEST_CASE("E8P") {
  nbit_test::check_kernels<nbit::e8p<256>>("E8P");
  nbit_test::check_kernels<nbit::e8p<64>>("E8P, 64 to a step");
}
