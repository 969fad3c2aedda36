// tests/format/ggml_legacy_test.cpp — Q4_0, Q4_1, Q5_0 and Q5_1 against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_legacy.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("Q4_0, Q4_1, Q5_0 and Q5_1 encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::q4_0>("Q4_0");
  nbit_test::compare_with_committed<nbit::q4_1>("Q4_1");
  nbit_test::compare_with_committed<nbit::q5_0>("Q5_0");
  nbit_test::compare_with_committed<nbit::q5_1>("Q5_1");
}

TEST_CASE("Q4_0, Q4_1, Q5_0 and Q5_1 agree with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q4_0, "Q4_0");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q4_1, "Q4_1");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q5_0, "Q5_0");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q5_1, "Q5_1");
}

TEST_CASE("Q4_0, Q4_1, Q5_0 and Q5_1 keep the promises of a block format") {
  nbit_test::check_block_format<nbit::q4_0>();
  nbit_test::check_block_format<nbit::q4_1>();
  nbit_test::check_block_format<nbit::q5_0>();
  nbit_test::check_block_format<nbit::q5_1>();
}
