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
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <time.h>

#include <bench/support/ggml_peer.hpp>
#include <nbit/nbit.hpp>

namespace {

template <class Arch>
struct limits;

}  // namespace

#define NBIT_STAMP <bench/kernel/limits.inl>
#include <nbit/arch/stamp.inl>

namespace {

float sink;
void keep(float v) { *const_cast<volatile float*>(&sink) = v; }

double seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + std::ptrdiff_t(v.size() / 2), v.end());
  return v[v.size() / 2];
}

struct bench {
  std::size_t bytes, cols, tokens;
  int rounds;
  std::string only;
  nbit_bench::ggml_peer ggml;
  nbit::buffer<std::byte> memory;
  std::vector<float> x;

  /// Medians of the seconds of each call, taken in turn.
  std::vector<double> measure(const std::vector<std::function<void()>>& calls) const {
    std::vector<std::vector<double>> took(calls.size());
    for (int round = -1; round < rounds; ++round)
      for (std::size_t i = 0; i < calls.size(); ++i) {
        const double start = seconds();
        calls[i]();
        if (round >= 0) took[i].push_back(seconds() - start);
      }
    std::vector<double> out;
    for (const auto& t : took) out.push_back(median(t));
    return out;
  }

  template <class F>
  void row() {
    constexpr int group = nbit::activation_group<F>;
    if (only != "all" && std::string(F::name).find(only) == std::string::npos) return;
    // 16 quantized rows, again and again
    std::vector<float> some(16 * cols);
    nbit::random_stream numbers(1);
    for (float& v : some) v = 0.1f * (numbers.uniform() - 0.5f);
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
    std::vector<std::function<void()>> calls{
        [&] {
          keep(nbit::arch::dispatch([&](auto tag) { return limits<decltype(tag)>::read({memory.data(), size}); }));
        },
        [&] {
          nbit::quantize_activations(nbit::matrix_view<const float>(x.data(), tokens, cols), act->view());
          if (tokens == 1)
            nbit::gemv(w, act->view(), std::span<float>(y));
          else
            nbit::gemm(w, act->view(), nbit::matrix_view<float>(y.data(), tokens, rows));
        }};
    const bool peer = ggml && ggml.gemv(F::ggml_type, memory.data(), 1, cols, x.data(), z.data(), scratch);
    if (peer)
      calls.push_back([&] {  // the first token last, to be compared
        for (std::size_t t = tokens; t-- > 0;)
          ggml.gemv(F::ggml_type, memory.data(), rows, cols, x.data() + t * cols, z.data(), scratch);
      });
    const auto t = measure(calls);
    std::printf("%-8s %8.2f %8.2f %6.2f", F::name, double(size) / t[0] * 1e-9, double(size) / t[1] * 1e-9, t[0] / t[1]);
    if (peer) {
      std::printf(" %8.2f %6.2f %6.2f", double(size) / t[2] * 1e-9, t[0] / t[2], t[2] / t[1]);
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
  bench b;
  b.bytes = std::size_t((argc > 1 ? std::atof(argv[1]) : 512) * 1048576);
  b.rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  b.cols = argc > 3 ? std::size_t(std::atoi(argv[3])) : 4096;
  b.only = argc > 4 ? argv[4] : "all";
  b.tokens = argc > 5 ? std::size_t(std::atoi(argv[5])) : 1;
  auto memory = nbit::buffer<std::byte>::zeros(b.bytes);
  if (!memory) return std::printf("no memory for %zu bytes\n", b.bytes), 1;
  b.memory = *std::move(memory);
  nbit::random_stream numbers(2);
  b.x.resize(b.tokens * b.cols);
  for (float& v : b.x) v = numbers.uniform() - 0.5f;

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
