// bench/kernel/gemm_bench.cpp — row tiles: gemv from memory, gemm with int8, bf16 and f32 activations, beside the
// machine's limits and peers, taken in turn, one thread.
//
//   nbit_gemm_bench [MiB of weights for gemv = 512, 0: none] [rounds = 7] [part of a format's name = all]
//
// gemm: 1024 x 4096 weights; figures are shares of the int8, bf16 or f32 multiply-add peak of the instruction set that
// runs (NBIT_ARCH narrows it). Both sides quantize f32 activations inside the measured time. ggml: its repacked gemm
// kernels of the same type (bench/support/ggml_peer.hpp). OpenBLAS: cblas_sgemm by dlopen; OPENBLAS_CORETYPE=SkylakeX
// makes it take its AVX-512 kernels on machines it does not know. onnxruntime and OpenVINO: bench/kernel/gemm_peers.py.
// SPDX-License-Identifier: MIT
#include <cstdio>

#include <bench/kernel/gemm_bench.hpp>
#include <bench/support/arguments.hpp>

int main(int argc, char** argv) {
  const nbit_bench::arguments given(argc, argv);
  const int rounds = given.number(2, 7);
  nbit_bench::gemm_bench b(given.mebibytes(1, 512), rounds, given.word(3));
  std::printf("kernel %s, one thread, medians of %d rounds in turn; %s\n", nbit::arch::selected_name(), rounds,
              b.ggml() ? b.ggml().version().c_str() : b.ggml().reason().c_str());
  nbit_bench::gemm_planar(b);
  nbit_bench::gemm_legacy(b);
  nbit_bench::gemm_k_quants(b);
  return 0;
}
