// tests/format/ggml_iq3_test.cpp — IQ3_S and IQ3_XXS against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_iq3.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_lattice_properties.hpp"

TEST_CASE("IQ3_S and IQ3_XXS encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::iq3_s>("IQ3_S");
  nbit_test::compare_with_committed<nbit::iq3_xxs>("IQ3_XXS");
}

TEST_CASE("IQ3_S agrees with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq3_s, "IQ3_S");
}

TEST_CASE("IQ3_XXS agrees with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq3_xxs, "IQ3_XXS");
}

TEST_CASE("IQ3_S and IQ3_XXS keep the promises of a lattice format") {
  nbit_test::check_lattice_format<nbit::iq3_s>();
  nbit_test::check_lattice_format<nbit::iq3_xxs>();
}
