// tests/kernel/ggml_low_bit_kernels_test.cpp — every operation on the blocks of ggml's ternary, 1-bit and NVFP4 types.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_ternary.hpp>

TEST_CASE("NVFP4") { nbit_test::check_kernels<nbit::nvfp4>("NVFP4"); }
TEST_CASE("TQ1_0") { nbit_test::check_kernels<nbit::tq1_0>("TQ1_0"); }
TEST_CASE("TQ2_0") { nbit_test::check_kernels<nbit::tq2_0>("TQ2_0"); }
TEST_CASE("Q1_0") { nbit_test::check_kernels<nbit::q1_0>("Q1_0"); }
TEST_CASE("Q2_0") { nbit_test::check_kernels<nbit::q2_0>("Q2_0"); }
