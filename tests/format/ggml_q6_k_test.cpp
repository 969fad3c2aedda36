// tests/format/ggml_q6_k_test.cpp — Q6_K against reference bytes, and its own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_q6_k.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("Q6_K encodes and decodes as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::q6_k>("Q6_K");
}

TEST_CASE("Q6_K agrees with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::q6_k, "Q6_K");
}

TEST_CASE("Q6_K keeps the promises of a block format") { nbit_test::check_block_format<nbit::q6_k>(); }
