// bench/kernel/memory_bench.cpp — what memory limits: weights rounded from memory, activations to int8, a KV cache.
//
//   nbit_memory_bench [MiB of weights = 256, 0: none] [rounds = 7]
// One thread, each beside the read bandwidth of what it reads, in turn; medians of thread CPU time. Encoding reads
// floats from memory, activations are 64 KiB of them. A cache of 256 KiB of keys and as much of values fits the second
// cache; a token reads both. Decoding: nbit_decode_bench.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <bench/support/arguments.hpp>
#include <bench/support/clock.hpp>
#include <bench/support/inputs.hpp>
#include <bench/support/limits.hpp>
#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/kernel/attention.hpp>
#include <nbit/kernel/quantize.hpp>

namespace {

using nbit_bench::subject;
using view = nbit::matrix_view<const float>;

struct bench {
  int rounds;
  std::vector<float> large;

  /// The share of the first, a limit, that the second reaches.
  void share(std::vector<subject> s, const char* what, const char* limit) const {
    measure(s, rounds);
    std::printf("%-28s %7.1f GB/s  %5.2f of %s\n", what, s[1].rate() * 1e-9, s[1].rate() / s[0].rate(), limit);
    std::fflush(stdout);
  }

  template <class F>
  void encode(const char* name) const {
    constexpr std::size_t cols = 4096;
    const std::size_t rows = large.size() / cols;
    auto packed = nbit::packed_matrix<F>::make({rows, cols});
    if (!packed || rows == 0) return;
    std::vector<std::byte> scratch(nbit::quantize_scratch_bytes<F>(cols) + 64);
    share({nbit_bench::read_limit(std::as_bytes(std::span(large))),
           {name, double(large.size() * 4),
            [&] {
              std::memset(packed->bytes.data(), 0, packed->bytes.size());
              nbit::arch::dispatch([&](auto tag) {
                (void)nbit::quantize_rows(tag, view(large.data(), rows, cols), packed->span(), 0, rows, scratch);
              });
            }}},
          (std::string("encode ") + name).c_str(), "read bandwidth");
  }

  template <int Group>
  void activations(const char* name) const {
    constexpr std::size_t rows = 4, cols = 4096, repeats = 64;
    const auto values = nbit_bench::bell(rows * cols, 1.0f);
    auto aligned = *nbit::buffer<float>::make(values.size());  // as engines hold them
    const std::span<float> x = aligned.span();
    std::copy(values.begin(), values.end(), x.begin());
    auto q = *nbit::int8_activation_matrix<Group>::make({rows, cols});
    const subject once = nbit_bench::read_limit(std::as_bytes(x));
    share({{once.name, double(repeats) * once.work,
            [&] {
              for (std::size_t i = 0; i < repeats; ++i) once.call();
            }},
           {name, double(repeats) * once.work,
            [&] {
              for (std::size_t i = 0; i < repeats; ++i)
                nbit::quantize_activations(view(x.data(), rows, cols), q.view());
            }}},
          (std::string("activations ") + name).c_str(), "cache bandwidth");
  }

  template <class F>
  void cache(const char* name) const {
    constexpr std::size_t dims = 128, bytes = std::size_t{256} << 10, repeats = 16;
    const std::size_t positions = bytes / nbit::packed_bytes<F>({1, dims});
    const auto x = nbit_bench::bell(positions * dims, 1.0f);
    auto keys = *nbit::quantize<F>(view(x.data(), positions, dims)),
         values = *nbit::quantize<F>(view(x.data(), positions, dims));
    std::vector<float> scores(positions), out(dims), q(x.begin(), x.begin() + dims);
    auto act = *nbit::int8_activation_matrix<32>::make({1, dims});
    nbit::quantize_activations(view(q.data(), 1, dims), act.view());
    const subject k = nbit_bench::read_limit(keys.bytes.span()), v = nbit_bench::read_limit(values.bytes.span());
    const subject both{"read", double(repeats) * (k.work + v.work), [&] {
                         for (std::size_t i = 0; i < repeats; ++i) k.call(), v.call();
                       }};
    share({both,
           {name, both.work,
            [&] {
              for (std::size_t i = 0; i < repeats; ++i)
                nbit::attend(act.view(), keys.view(), values.view(), positions, 0.1f, scores, out);
            }}},
          (std::string("attend ") + name).c_str(), "cache bandwidth");
    std::vector<std::byte> scratch(nbit::quantize_scratch_bytes<F>(dims) + 64);
    const subject floats = nbit_bench::read_limit(std::as_bytes(std::span(x)));
    share({floats,
           {name, floats.work,
            [&] {
              for (std::size_t t = 0; t < positions; ++t)
                (void)nbit::append_row(std::span<const float>(x.data() + t * dims, dims), keys.span(), t, scratch);
            }}},
          (std::string("append ") + name).c_str(), "bandwidth of the floats");
  }
};

}  // namespace

int main(int count, char** words) {
  const nbit_bench::arguments given(count, words);
  const bench b{given.number(2, 7), nbit_bench::bell(given.mebibytes(1, 256) / 4096 * 1024, 0.05f)};
  std::printf("kernel %s, one thread\n", nbit::arch::selected_name());
  b.encode<nbit::q8_0>("Q8_0"), b.encode<nbit::q4_0>("Q4_0"), b.encode<nbit::q4_1>("Q4_1");
  b.encode<nbit::q5_0>("Q5_0"), b.encode<nbit::mxfp4>("MXFP4");
  b.encode<nbit::w4g128>("w4g128"), b.encode<nbit::w4g128a>("w4g128a"), b.encode<nbit::w8g128>("w8g128");
  b.encode<nbit::nf4>("NF4");
  b.activations<32>("group 32"), b.activations<128>("group 128"), b.activations<256>("group 256");
  b.activations<nbit::per_row>("row");
  b.cache<nbit::q8_0>("Q8_0"), b.cache<nbit::q4_0>("Q4_0");
  return 0;
}
