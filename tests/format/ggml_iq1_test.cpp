// tests/format/ggml_iq1_test.cpp — IQ1_S and IQ1_M against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_iq1.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_lattice_properties.hpp"

TEST_CASE("IQ1_S and IQ1_M encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::iq1_s>("IQ1_S");
  nbit_test::compare_with_committed<nbit::iq1_m>("IQ1_M");
}

TEST_CASE("IQ1_S and IQ1_M agree with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq1_s, "IQ1_S");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq1_m, "IQ1_M");
}

TEST_CASE("IQ1_S and IQ1_M keep the promises of a lattice format") {
  nbit_test::check_lattice_format<nbit::iq1_s>();
  nbit_test::check_lattice_format<nbit::iq1_m>();
}
