// tests/kernel/ggml_lattice_kernels_test.cpp — every operation on the blocks of ggml's IQ1, IQ2 and IQ3 types.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>

TEST_CASE("IQ1_S") { nbit_test::check_kernels<nbit::iq1_s>("IQ1_S"); }
TEST_CASE("IQ1_M") { nbit_test::check_kernels<nbit::iq1_m>("IQ1_M"); }
TEST_CASE("IQ2_XXS") { nbit_test::check_kernels<nbit::iq2_xxs>("IQ2_XXS"); }
TEST_CASE("IQ2_XS") { nbit_test::check_kernels<nbit::iq2_xs>("IQ2_XS"); }
TEST_CASE("IQ2_S") { nbit_test::check_kernels<nbit::iq2_s>("IQ2_S"); }
TEST_CASE("IQ3_XXS") { nbit_test::check_kernels<nbit::iq3_xxs>("IQ3_XXS"); }
TEST_CASE("IQ3_S") { nbit_test::check_kernels<nbit::iq3_s>("IQ3_S"); }
