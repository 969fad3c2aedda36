// bench/format/encode_bench.cpp — every ggml type: encode, encode with importance and decode, as ratios to ggml's own.
//
//   nbit_encode_bench [rounds = 5] [part of a type's name, or memory]
// One thread, the same input of 4096 columns, nbit and ggml in turn; the least of all rounds of thread CPU time counts.
// Prints whether the bytes were equal, too: ggml built with fused multiply-add may differ in a few blocks.
// Then memory: decoding into, and rounding from, more than the caches hold, as shares of the machine's own rates.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include <bench/support/ggml_peer.hpp>
#include <nbit/nbit.hpp>

namespace {

template <class Arch>
struct limits;

}  // namespace

#define NBIT_STAMP <bench/kernel/limits.inl>
#include <nbit/arch/stamp.inl>

namespace {

constexpr std::size_t cols = 4096;

float sink;
void keep(float v) { *const_cast<volatile float*>(&sink) = v; }

double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}
template <class F>
double time_of(F&& f) {
  const double start = thread_seconds();
  f();
  return thread_seconds() - start;
}

struct bench {
  nbit_bench::ggml_peer ggml;
  int rounds = 5;
  std::string only;
  std::vector<float> weights, importance;

  /// Least seconds of nbit and of ggml, in turn.
  template <class A, class B>
  std::pair<double, double> race(A&& ours, B&& theirs) const {
    double a = 1e9, b = 1e9;
    for (int round = 0; round < rounds; ++round) a = std::min(a, time_of(ours)), b = std::min(b, time_of(theirs));
    return {a, b};
  }

  template <class F>
  void encode(std::size_t rows, bool weighed) const {
    const nbit::matrix_view<const float> w(weights.data(), rows, cols);
    nbit::quantize_options options;
    if (weighed) options.importance = importance;
    auto packed = nbit::packed_matrix<F>::make({rows, cols});
    std::vector<std::byte> scratch(nbit::quantize_scratch_bytes<F>(cols) + 64), theirs(packed->bytes.size());
    const auto [a, b] = race(
        [&] {
          nbit::arch::dispatch(
              [&](auto tag) { (void)nbit::quantize_rows(tag, w, packed->span(), 0, rows, scratch, options); });
        },
        [&] {
          ggml.quantize(F::ggml_type, weights.data(), theirs.data(), rows, cols, weighed ? importance.data() : nullptr);
        });
    std::size_t differ = 0;
    for (std::size_t i = 0; i < theirs.size(); i += F::block_bytes)
      differ += std::memcmp(packed->bytes.data() + i, theirs.data() + i, F::block_bytes) != 0;
    const double million = double(rows * cols) * 1e-6;
    std::printf("  %8.1f %8.1f %6.2fx %s", million / a, million / b, b / a, differ == 0 ? "same" : "DIFF");
  }

  template <class F>
  void decode(std::size_t rows) const {
    auto q = nbit::quantize<F>({weights.data(), rows, cols}, {.importance = importance});
    std::vector<float> out(rows * cols);
    const auto to_float = ggml.base(F::ggml_type)->to_float;
    const auto [a, b] = race([&] { nbit::dequantize(q->view(), {out.data(), rows, cols}); },
                             [&] { to_float(q->bytes.data(), out.data(), std::int64_t(rows * cols)); });
    const double million = double(rows * cols) * 1e-6;
    std::printf("  %8.1f %8.1f %6.2fx", million / a, million / b, b / a);
  }

  /// Shares of the machine's rates on more than the caches hold: decoding against stores past the caches of as many
  /// bytes, rounding against a sum over the weights.
  template <class F>
  void memory(const char* name, std::vector<float>& large) const {
    const std::size_t rows = large.size() / cols;
    auto packed = nbit::packed_matrix<F>::make({rows, cols});
    if (!packed) return;
    std::vector<std::byte> scratch(nbit::quantize_scratch_bytes<F>(cols) + 64);
    double encode = 1e9, decode = 1e9, read = 1e9, write = 1e9;
    for (int round = 0; round < rounds; ++round) {
      nbit::arch::dispatch([&](auto tag) {
        using arch = decltype(tag);
        std::memset(packed->bytes.data(), 0, packed->bytes.size());
        read = std::min(read, time_of([&] { keep(limits<arch>::read(std::as_bytes(std::span(large)))); }));
        encode = std::min(encode, time_of([&] {
                            (void)nbit::quantize_rows(tag, nbit::matrix_view<const float>(large.data(), rows, cols),
                                                      packed->span(), 0, rows, scratch);
                          }));
        write = std::min(write, time_of([&] {
                           for (std::size_t r = 0; r < rows; ++r)
                             nbit::stream_copy<arch>::row(weights.data(), cols, large.data() + r * cols);
                           nbit::stream_copy<arch>::end();
                         }));
        decode = std::min(decode, time_of([&] { nbit::dequantize(tag, packed->view(), {large.data(), rows, cols}); }));
      });
    }
    std::printf("%-8s  decode %5.2f of streaming stores    encode %5.2f of read bandwidth\n", name, write / decode,
                read / encode);
    std::fflush(stdout);
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
    decode<F>(32);
    std::printf("\n");
    std::fflush(stdout);
  }
};

}  // namespace

int main(int count, char** argument) {
  bench b;
  if (count > 1) b.rounds = std::max(1, std::atoi(argument[1]));
  if (count > 2) b.only = argument[2];
  nbit::random_stream numbers(1);
  b.weights.resize(256 * cols), b.importance.resize(cols);
  for (float& v : b.weights) {
    v = 0;
    for (int i = 0; i < 6; ++i) v += numbers.uniform() - 0.5f;
    v *= 0.05f;
  }
  for (float& v : b.importance) v = 0.1f + numbers.uniform();
  if (!b.ggml) {
    std::printf("%s\n", b.ggml.reason().c_str());
    b.only = "memory";
  }
  if (b.only != "memory") {
    std::printf("%s; nbit %s; one thread, %zu columns; million weights a second, nbit, ggml, ratio\n",
                b.ggml.version().c_str(), nbit::arch::selected_name(), cols);
    std::printf("%-8s  %-30s  %-30s  %-25s\n", "", "encode", "encode with importance", "decode");
    b.type<nbit::q4_0>(32), b.type<nbit::q4_1>(32), b.type<nbit::q5_0>(32), b.type<nbit::q5_1>(32);
    b.type<nbit::q8_0>(64), b.type<nbit::mxfp4>(16), b.type<nbit::nvfp4>(16);
    b.type<nbit::q2_k>(16), b.type<nbit::q3_k>(16), b.type<nbit::q4_k>(16), b.type<nbit::q5_k>(16);
    b.type<nbit::q6_k>(16), b.type<nbit::iq4_nl>(16), b.type<nbit::iq4_xs>(16);
    b.type<nbit::tq1_0>(32), b.type<nbit::tq2_0>(32), b.type<nbit::q1_0>(32), b.type<nbit::q2_0>(32);
    b.type<nbit::iq3_xxs>(256), b.type<nbit::iq3_s>(256), b.type<nbit::iq2_s>(256), b.type<nbit::iq2_xs>(256, false);
    b.type<nbit::iq2_xxs>(256, false), b.type<nbit::iq1_s>(1, false), b.type<nbit::iq1_m>(1, false);
  }
  if (!b.only.empty() && b.only != "memory") return 0;
  std::vector<float> large(std::size_t{1} << 26);
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = b.weights[i % b.weights.size()];
  b.memory<nbit::q8_0>("Q8_0", large), b.memory<nbit::q4_0>("Q4_0", large), b.memory<nbit::mxfp4>("MXFP4", large);
  b.memory<nbit::w4g128>("w4g128", large), b.memory<nbit::nf4>("NF4", large);
  b.memory<nbit::q4_k>("Q4_K", large), b.memory<nbit::q6_k>("Q6_K", large);
}
