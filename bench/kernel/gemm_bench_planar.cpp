// bench/kernel/gemm_bench_planar.cpp — uniform integers of nbit_gemm_bench.
// SPDX-License-Identifier: MIT
#include <bench/kernel/gemm_bench.hpp>

void nbit_bench::gemm_planar(gemm_bench& b) {
  b.format<nbit::w4g128, 128>("w4g128");
  b.format<nbit::w4g32, 32>("w4g32");
  b.format<nbit::w4g128a, 128>("w4g128a");
  b.format<nbit::w8g128, 128>("w8g128");
  b.threads<nbit::w4g128, 128>("w4g128");
  b.steps<nbit::w4g128, 128>("w4g128");
  b.bf16<nbit::w4g128>("w4g128");
  b.bf16<nbit::w4g32>("w4g32");
  b.floats<nbit::w4g128>("w4g128");
  b.floats<nbit::nf4>("NF4");
}
