// tests/format/ggml_q2_k_test.cpp — Q2_K against reference bytes, and its own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_q2_k.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("Q2_K encodes and decodes as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::q2_k>("Q2_K");
}

TEST_CASE("Q2_K agrees with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q2_k, "Q2_K");
}

TEST_CASE("Q2_K keeps the promises of a block format") { nbit_test::check_block_format<nbit::q2_k>(); }
