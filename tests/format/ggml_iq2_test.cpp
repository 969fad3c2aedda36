// tests/format/ggml_iq2_test.cpp — IQ2_S, IQ2_XS and IQ2_XXS against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_iq2.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_lattice_properties.hpp"

TEST_CASE("IQ2_S, IQ2_XS and IQ2_XXS encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::iq2_s>("IQ2_S");
  nbit_test::compare_with_committed<nbit::iq2_xs>("IQ2_XS");
  nbit_test::compare_with_committed<nbit::iq2_xxs>("IQ2_XXS");
}

TEST_CASE("IQ2_S, IQ2_XS and IQ2_XXS agree with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq2_s, "IQ2_S");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq2_xs, "IQ2_XS");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::iq2_xxs, "IQ2_XXS");
}

TEST_CASE("IQ2_S, IQ2_XS and IQ2_XXS keep the promises of a lattice format") {
  nbit_test::check_lattice_format<nbit::iq2_s>();
  nbit_test::check_lattice_format<nbit::iq2_xs>();
  nbit_test::check_lattice_format<nbit::iq2_xxs>();
}
