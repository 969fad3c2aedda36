// tests/format/ggml_iq4_test.cpp — IQ4_NL, IQ4_XS and MXFP4 against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_iq4.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("IQ4_NL, IQ4_XS and MXFP4 encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::iq4_nl>("IQ4_NL");
  nbit_test::compare_with_committed<nbit::iq4_xs>("IQ4_XS");
  nbit_test::compare_with_committed<nbit::mxfp4>("MXFP4");
}

TEST_CASE("IQ4_NL, IQ4_XS and MXFP4 agree with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq4_nl, "IQ4_NL");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq4_xs, "IQ4_XS");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::mxfp4, "MXFP4");
}

TEST_CASE("IQ4_NL, IQ4_XS and MXFP4 keep the promises of a block format") {
  nbit_test::check_block_format<nbit::iq4_nl>();
  nbit_test::check_block_format<nbit::iq4_xs>();
  nbit_test::check_block_format<nbit::mxfp4>();
}
