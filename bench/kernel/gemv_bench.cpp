// bench/kernel/gemv_bench.cpp — y = W x straight on the blocks of GGUF files, one thread: nbit, ggml and the read
// bandwidth in turn, round after round.
//
//   nbit_gemv_bench [MiB of weights = 512] [rounds = 9] [columns = 4096] [part of a type's name = all types, or "all"]
//                   [tokens = 1: more of them go through gemm; ggml takes them one by one]
//
// Every type fills the same memory. Times are CPU time of the thread, so that a busy machine disturbs less; a row shows
// medians. Both sides start from float activations. ggml is found as bench/support/ggml_peer.hpp says.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <bench/support/arguments.hpp>
#include <bench/support/clock.hpp>
#include <bench/support/ggml_peer.hpp>
#include <bench/support/inputs.hpp>
#include <bench/support/limits.hpp>
#include <nbit/nbit.hpp>

namespace {

using nbit_bench::subject;

struct bench {
  std::size_t bytes, cols, tokens;
  int rounds;
  std::string only;
  nbit_bench::ggml_peer ggml;
  nbit::buffer<std::byte> memory;
  std::vector<float> x;

  template <class F>
  void row() {
    constexpr int group = nbit::activation_group<F>;
    if (only != "all" && std::string(F::name).find(only) == std::string::npos) return;
    // 16 quantized rows, again and again
    const auto some = nbit_bench::even(16 * cols, -0.05f, 0.05f);
    const auto q = nbit::quantize<F>({some.data(), 16, cols});
    const std::size_t one = nbit::packed_bytes<F>({1, cols}), rows = bytes / one;
    if (!q) return;
    for (std::size_t r = 0; r < rows; ++r) std::memcpy(memory.data() + r * one, q->bytes.data() + r % 16 * one, one);
    const nbit::packed_view<F, nbit::blocks> w({memory.data(), rows * one}, {rows, cols});
    std::vector<float> y(rows * tokens), z(rows);
    auto act = nbit::int8_activation_matrix<group>::make({tokens, cols});
    if (!act) return;
    std::vector<std::byte> scratch;
    const std::size_t size = rows * one;
    std::vector<subject> s{nbit_bench::read_limit({memory.data(), size}),
                           {F::name, double(size), [&] {
                              nbit::quantize_activations(nbit::matrix_view<const float>(x.data(), tokens, cols),
                                                         act->view());
                              if (tokens == 1)
                                nbit::gemv(w, act->view(), std::span<float>(y));
                              else
                                nbit::gemm(w, act->view(), nbit::matrix_view<float>(y.data(), tokens, rows));
                            }}};
    const bool peer = ggml && ggml.gemv(F::ggml_type, memory.data(), 1, cols, x.data(), z.data(), scratch);
    if (peer)
      s.push_back({"ggml", double(size), [&] {  // the first token last, to be compared
                     for (std::size_t t = tokens; t-- > 0;)
                       ggml.gemv(F::ggml_type, memory.data(), rows, cols, x.data() + t * cols, z.data(), scratch);
                   }});
    measure(s, rounds);
    const double read = s[0].rate();
    std::printf("%-8s %8.2f %8.2f %6.2f", F::name, read * 1e-9, s[1].rate() * 1e-9, s[1].rate() / read);
    if (peer) {
      std::printf(" %8.2f %6.2f %6.2f", s[2].rate() * 1e-9, s[2].rate() / read, s[1].rate() / s[2].rate());
      double apart = 0, most = 0;
      for (std::size_t r = 0; r < 16; ++r) {
        apart = std::max(apart, double(std::abs(y[r] - z[r])));
        most = std::max(most, double(std::abs(z[r])));
      }
      std::printf("   %.0e", apart / (most + 1e-30));
    }
    std::printf("\n");
    std::fflush(stdout);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const nbit_bench::arguments given(argc, argv);
  bench b;
  b.bytes = given.mebibytes(1, 512), b.rounds = given.number(2, 9);
  b.cols = std::size_t(given.number(3, 4096)), b.only = given.word(4, "all");
  b.tokens = std::size_t(given.number(5, 1));
  auto memory = nbit::buffer<std::byte>::zeros(b.bytes);
  if (!memory) return std::printf("no memory for %zu bytes\n", b.bytes), 1;
  b.memory = *std::move(memory);
  b.x = nbit_bench::even(b.tokens * b.cols, -0.5f, 0.5f, 2);

  std::printf("nbit %d.%d.%d, kernel %s; peer: %s\n", NBIT_VERSION_MAJOR, NBIT_VERSION_MINOR, NBIT_VERSION_PATCH,
              nbit::arch::selected_name(), b.ggml ? b.ggml.version().c_str() : b.ggml.reason().c_str());
  std::printf("one thread, %.4g MiB of weights, %zu columns, %zu tokens, medians of %d rounds\n",
              double(b.bytes) / 1048576, b.cols, b.tokens, b.rounds);
  std::printf("%-8s %8s %8s %6s %8s %6s %6s   %s\n", "type", "read", "nbit", "share", "ggml", "share", "nbit/",
              "largest");
  std::printf("%-8s %8s %8s %6s %8s %6s %6s   %s\n", "", "GB/s", "GB/s", "", "GB/s", "", "ggml", "difference");
  b.row<nbit::q8_0>();
  b.row<nbit::q6_k>();
  b.row<nbit::q5_k>();
  b.row<nbit::q4_k>();
  b.row<nbit::q4_0>();
  b.row<nbit::iq4_xs>();
  b.row<nbit::q4_1>();
  b.row<nbit::q5_0>();
  b.row<nbit::q5_1>();
  b.row<nbit::iq4_nl>();
  b.row<nbit::mxfp4>();
  b.row<nbit::nvfp4>();
  b.row<nbit::q3_k>();
  b.row<nbit::q2_k>();
  b.row<nbit::tq2_0>();
  b.row<nbit::tq1_0>();
  b.row<nbit::q2_0>();
  b.row<nbit::q1_0>();
  b.row<nbit::iq3_s>();
  b.row<nbit::iq3_xxs>();
  b.row<nbit::iq2_s>();
  b.row<nbit::iq2_xs>();
  b.row<nbit::iq2_xxs>();
  b.row<nbit::iq1_m>();
  b.row<nbit::iq1_s>();
  return 0;
}
