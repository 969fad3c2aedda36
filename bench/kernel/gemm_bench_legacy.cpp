// bench/kernel/gemm_bench_legacy.cpp — the blocks of 32 of nbit_gemm_bench.
// SPDX-License-Identifier: MIT
#include <bench/kernel/gemm_bench.hpp>

void nbit_bench::gemm_legacy(gemm_bench& b) {
  b.format<nbit::q8_0, 32>("Q8_0");
  b.format<nbit::q4_0, 32>("Q4_0", "q4_0_8x8_q8_0");
  b.format<nbit::q4_0, 256>("Q4_0", "q4_0_8x8_q8_0");
  b.format<nbit::q4_1, 256>("Q4_1");
  b.format<nbit::q5_0, 256>("Q5_0");
  b.format<nbit::iq4_nl, 256>("IQ4_NL", "iq4_nl_8x8_q8_0");
  b.format<nbit::mxfp4, 256>("MXFP4", "mxfp4_8x8_q8_0");
  b.bf16<nbit::q8_0>("Q8_0");
}
