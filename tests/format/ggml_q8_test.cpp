// tests/format/ggml_q8_test.cpp — Q8_0, Q8_1 and Q8_K against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_q8.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("Q8_0, Q8_1 and Q8_K encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::q8_0>("Q8_0");
  nbit_test::compare_with_committed<nbit::q8_0>("act_Q8_0");
  nbit_test::compare_with_committed<nbit::q8_1>("act_Q8_1");
  nbit_test::compare_with_committed<nbit::q8_k>("act_Q8_K");
}

TEST_CASE("Q8_0, Q8_1 and Q8_K agree with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q8_0, "Q8_0");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q8_0, "act_Q8_0");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q8_1, "act_Q8_1");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q8_k, "act_Q8_K");
}

TEST_CASE("Q8_0, Q8_1 and Q8_K keep the promises of a block format") {
  nbit_test::check_block_format<nbit::q8_0>();
  nbit_test::check_block_format<nbit::q8_1>();
  nbit_test::check_block_format<nbit::q8_k>();
}
