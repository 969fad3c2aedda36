// tests/format/ggml_q4_k_test.cpp — Q4_K and Q5_K against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_q4_k.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("Q4_K and Q5_K encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::q4_k>("Q4_K");
  nbit_test::compare_with_committed<nbit::q5_k>("Q5_K");
}

TEST_CASE("Q4_K and Q5_K agree with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q4_k, "Q4_K");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q5_k, "Q5_K");
}

TEST_CASE("Q4_K and Q5_K keep the promises of a block format") {
  nbit_test::check_block_format<nbit::q4_k>();
  nbit_test::check_block_format<nbit::q5_k>();
}
