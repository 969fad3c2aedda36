// tests/format/ggml_low_bit_test.cpp — Q1_0 and Q2_0 against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_low_bit.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("Q1_0 and Q2_0 encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::q1_0>("Q1_0");
  nbit_test::compare_with_committed<nbit::q2_0>("Q2_0");
}

TEST_CASE("Q1_0 and Q2_0 agree with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q1_0, "Q1_0");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q2_0, "Q2_0");
}

TEST_CASE("Q1_0 and Q2_0 keep the promises of a block format") {
  nbit_test::check_block_format<nbit::q1_0>();
  nbit_test::check_block_format<nbit::q2_0>();
}
