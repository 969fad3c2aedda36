// tests/kernel/ggml_kernels_test.cpp — every operation on the blocks of GGUF files.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>

TEST_CASE("Q4_0") { nbit_test::check_kernels<nbit::q4_0>("Q4_0"); }
TEST_CASE("Q4_1") { nbit_test::check_kernels<nbit::q4_1>("Q4_1"); }
TEST_CASE("Q5_0") { nbit_test::check_kernels<nbit::q5_0>("Q5_0"); }
TEST_CASE("Q5_1") { nbit_test::check_kernels<nbit::q5_1>("Q5_1"); }
TEST_CASE("Q2_K") { nbit_test::check_kernels<nbit::q2_k>("Q2_K"); }
TEST_CASE("Q3_K") { nbit_test::check_kernels<nbit::q3_k>("Q3_K"); }
TEST_CASE("Q4_K") { nbit_test::check_kernels<nbit::q4_k>("Q4_K"); }
TEST_CASE("Q5_K") { nbit_test::check_kernels<nbit::q5_k>("Q5_K"); }
TEST_CASE("Q6_K") { nbit_test::check_kernels<nbit::q6_k>("Q6_K"); }
TEST_CASE("Q8_0") { nbit_test::check_kernels<nbit::q8_0>("Q8_0"); }
TEST_CASE("Q8_1") { nbit_test::check_kernels<nbit::q8_1>("Q8_1"); }
TEST_CASE("Q8_K") { nbit_test::check_kernels<nbit::q8_k>("Q8_K"); }
TEST_CASE("IQ4_NL") { nbit_test::check_kernels<nbit::iq4_nl>("IQ4_NL"); }
TEST_CASE("IQ4_XS") { nbit_test::check_kernels<nbit::iq4_xs>("IQ4_XS"); }
TEST_CASE("MXFP4") { nbit_test::check_kernels<nbit::mxfp4>("MXFP4"); }
