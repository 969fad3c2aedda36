// bench/kernel/gemm_bench_k_quants.cpp — the blocks of 256 of nbit_gemm_bench.
// SPDX-License-Identifier: MIT
#include <bench/kernel/gemm_bench.hpp>

void nbit_bench::gemm_k_quants(gemm_bench& b) {
  b.format<nbit::q4_k, 256>("Q4_K", "q4_K_8x8_q8_K");
  b.format<nbit::q5_k, 256>("Q5_K", "q5_K_8x8_q8_K");
  b.format<nbit::q6_k, 256>("Q6_K", "q6_K_8x8_q8_K");
  b.format<nbit::q2_k, 256>("Q2_K", "q2_K_8x8_q8_K");
  b.format<nbit::q3_k, 256>("Q3_K");
  b.format<nbit::iq4_xs, 256>("IQ4_XS");
  b.format<nbit::tq2_0, 256>("TQ2_0");
  b.bf16<nbit::q4_k>("Q4_K");
  b.floats<nbit::q4_k>("Q4_K");
}
