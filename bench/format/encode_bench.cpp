// bench/format/encode_bench.cpp — every ggml type: encode, without and with importance, as ratios to ggml's own.
//
//   nbit_encode_bench [rounds = 5] [part of a type's name]
// One thread, the same input of 4096 columns, nbit and ggml in turn; the least of all rounds of thread CPU time counts.
// Prints whether the bytes were equal, too: ggml built with fused multiply-add may differ in a few blocks.
// Decoding: nbit_decode_bench. Shares of the machine's own rates: nbit_memory_bench.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <bench/support/arguments.hpp>
#include <bench/support/clock.hpp>
#include <bench/support/ggml_peer.hpp>
#include <bench/support/inputs.hpp>
#include <nbit/nbit.hpp>

namespace {

using nbit_bench::subject;
constexpr std::size_t cols = 4096;

struct bench {
  nbit_bench::ggml_peer ggml;
  int rounds = 5;
  std::string only;
  std::vector<float> weights, importance;

  template <class F>
  void encode(std::size_t rows, bool weighed) const {
    const nbit::matrix_view<const float> w(weights.data(), rows, cols);
    nbit::quantize_options options;
    if (weighed) options.importance = importance;
    auto packed = nbit::packed_matrix<F>::make({rows, cols});
    std::vector<std::byte> scratch(nbit::quantize_scratch_bytes<F>(cols) + 64), theirs(packed->bytes.size());
    const double million = double(rows * cols) * 1e-6;
    std::vector<subject> s{{F::name, million,
                            [&] {
                              nbit::arch::dispatch([&](auto tag) {
                                (void)nbit::quantize_rows(tag, w, packed->span(), 0, rows, scratch, options);
                              });
                            }},
                           {"ggml", million, [&] {
                              ggml.quantize(F::ggml_type, weights.data(), theirs.data(), rows, cols,
                                            weighed ? importance.data() : nullptr);
                            }}};
    measure(s, rounds);
    std::size_t differ = 0;
    for (std::size_t i = 0; i < theirs.size(); i += F::block_bytes)
      differ += std::memcmp(packed->bytes.data() + i, theirs.data() + i, F::block_bytes) != 0;
    std::printf("  %8.1f %8.1f %6.2fx %s", s[0].best_rate(), s[1].best_rate(), s[0].best_rate() / s[1].best_rate(),
                differ == 0 ? "same" : "DIFF");
  }

  /// rows: enough to measure; encoders that remember neighbours need the rows that quantize gives them. plain: whether
  /// ggml encodes without importance.
  template <class F>
  void type(std::size_t rows, bool plain = true) const {
    if (std::string(F::name).find(only) == std::string::npos) return;
    const auto* base = ggml.base(F::ggml_type);
    if (base == nullptr || base->bytes != F::block_bytes || base->to_float == nullptr) {
      std::printf("%-8s  this ggml does not have it\n", F::name);
      return;
    }
    std::printf("%-8s", F::name);
    if (plain)
      encode<F>(rows, false);
    else
      std::printf("  %30s", "needs importance");
    encode<F>(rows, true);
    std::printf("\n");
    std::fflush(stdout);
  }
};

}  // namespace

int main(int count, char** argument) {
  const nbit_bench::arguments given(count, argument);
  bench b;
  b.rounds = given.number(1, 5), b.only = given.word(2);
  b.weights = nbit_bench::bell(256 * cols, 0.035f), b.importance = nbit_bench::even(cols, 0.1f, 1.1f, 2);
  if (!b.ggml) return std::printf("%s\n", b.ggml.reason().c_str()), 0;
  std::printf("%s; nbit %s; one thread, %zu columns; million weights a second, nbit, ggml, ratio\n",
              b.ggml.version().c_str(), nbit::arch::selected_name(), cols);
  std::printf("%-8s  %-30s  %-30s\n", "", "encode", "encode with importance");
  b.type<nbit::q4_0>(32), b.type<nbit::q4_1>(32), b.type<nbit::q5_0>(32), b.type<nbit::q5_1>(32);
  b.type<nbit::q8_0>(64), b.type<nbit::mxfp4>(16), b.type<nbit::nvfp4>(16);
  b.type<nbit::q2_k>(16), b.type<nbit::q3_k>(16), b.type<nbit::q4_k>(16), b.type<nbit::q5_k>(16);
  b.type<nbit::q6_k>(16), b.type<nbit::iq4_nl>(16), b.type<nbit::iq4_xs>(16);
  b.type<nbit::tq1_0>(32), b.type<nbit::tq2_0>(32), b.type<nbit::q1_0>(32), b.type<nbit::q2_0>(32);
  b.type<nbit::iq3_xxs>(256), b.type<nbit::iq3_s>(256), b.type<nbit::iq2_s>(256), b.type<nbit::iq2_xs>(256, false);
  b.type<nbit::iq2_xxs>(256, false), b.type<nbit::iq1_s>(1, false), b.type<nbit::iq1_m>(1, false);
}
