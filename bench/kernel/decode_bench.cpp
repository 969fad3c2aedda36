// bench/kernel/decode_bench.cpp — packed weights to floats: from cache against ggml, and into memory as a share of the
// stores past the caches that this machine can do.
//
//   nbit_decode_bench [MiB of floats = 256, 0: only from cache] [rounds = 5] [part of a format's name = all]
// One thread, 4096 columns, all in turn; medians of thread CPU time. ggml: bench/support/ggml_peer.hpp.
// SPDX-License-Identifier: MIT
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
#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/kernel/dequantize.hpp>

namespace {

using nbit_bench::subject;
constexpr std::size_t cols = 4096, cached_rows = 16;

struct bench {
  std::size_t rows;  // that fill the memory
  int rounds;
  std::string only;
  nbit_bench::ggml_peer ggml{};
  std::vector<float> large{}, cached = std::vector<float>(cached_rows * cols);

  /// Random bytes are codes of any format; f16 and f32 numbers among them are normal, as scales of real weights are.
  template <class F, class L>
  static nbit::packed_matrix<F, L> filled(std::size_t count) {
    auto m = *nbit::packed_matrix<F, L>::make({count, cols});
    nbit::random_stream numbers(1);
    for (std::size_t i = 0; i + 4 <= m.bytes.size(); i += 4) {
      const std::uint32_t word = (std::uint32_t(numbers.bits()) & 0xbbffbbffu) | 0x20002000u;
      std::memcpy(m.bytes.data() + i, &word, 4);
    }
    return m;
  }

  template <class F, class L = nbit::default_layout<F>>
  void format(const char* name) {
    if (std::string(name).find(only) == std::string::npos) return;
    const auto near_by = filled<F, L>(cached_rows);
    std::vector<subject> s{{name, double(cached.size() * 4), [&] {
                              for (int i = 0; i < 8; ++i)
                                nbit::dequantize(near_by.view(), {cached.data(), cached_rows, cols});
                            }}};
    if constexpr (nbit::block_format<F>) {
      const auto* const base = ggml ? ggml.base(F::ggml_type) : nullptr;
      if (base != nullptr && base->to_float != nullptr)
        s.push_back({"ggml", s[0].work, [&, base] {
                       for (int i = 0; i < 8; ++i)
                         base->to_float(near_by.bytes.data(), cached.data(), std::int64_t(cached.size()));
                     }});
    }
    measure(s, 2 * rounds);
    std::printf("%-20s %7.1f GB/s", name, 8e-9 * s[0].best_rate());
    if (s.size() > 1)
      std::printf("  %5.1f x ggml", s[0].best_rate() / s[1].best_rate());
    else
      std::printf("  %12s", "");
    if (rows != 0) {
      const auto all = filled<F, L>(rows);
      std::vector<subject> m{
          nbit_bench::write_limit(large),
          {name, double(large.size() * 4), [&] { nbit::dequantize(all.view(), {large.data(), rows, cols}); }}};
      measure(m, rounds);
      std::printf("   into memory %5.2f of streaming stores", m[1].rate() / m[0].rate());
    }
    std::printf("\n");
    std::fflush(stdout);
  }
};

struct w3g128 : nbit::uniform<nbit::scheme{.bits = 3, .group = 128}> {};
struct w2g64a : nbit::uniform<nbit::scheme{.bits = 2, .group = 64, .symmetry = nbit::symmetry::asymmetric}> {};
struct w6g64a : nbit::uniform<nbit::scheme{.bits = 6, .group = 64, .symmetry = nbit::symmetry::asymmetric}> {};

}  // namespace

int main(int count, char** words) {
  const nbit_bench::arguments given(count, words);
  bench b{given.mebibytes(1, 256) / (4 * cols), given.number(2, 5), given.word(3)};
  b.large.resize(b.rows * cols);
  std::printf("kernel %s, one thread; %s\n", nbit::arch::selected_name(),
              b.ggml ? b.ggml.version().c_str() : b.ggml.reason().c_str());
  b.format<nbit::q4_0>("Q4_0"), b.format<nbit::q4_1>("Q4_1"), b.format<nbit::q5_0>("Q5_0");
  b.format<nbit::q5_1>("Q5_1"), b.format<nbit::q8_0>("Q8_0");
  b.format<nbit::q2_k>("Q2_K"), b.format<nbit::q3_k>("Q3_K"), b.format<nbit::q4_k>("Q4_K");
  b.format<nbit::q5_k>("Q5_K"), b.format<nbit::q6_k>("Q6_K");
  b.format<nbit::iq4_nl>("IQ4_NL"), b.format<nbit::iq4_xs>("IQ4_XS"), b.format<nbit::mxfp4>("MXFP4");
  b.format<nbit::nvfp4>("NVFP4"), b.format<nbit::tq1_0>("TQ1_0"), b.format<nbit::tq2_0>("TQ2_0");
  b.format<nbit::q1_0>("Q1_0"), b.format<nbit::q2_0>("Q2_0");
  b.format<nbit::iq3_xxs>("IQ3_XXS"), b.format<nbit::iq3_s>("IQ3_S"), b.format<nbit::iq2_xxs>("IQ2_XXS");
  b.format<nbit::iq2_xs>("IQ2_XS"), b.format<nbit::iq2_s>("IQ2_S"), b.format<nbit::iq1_s>("IQ1_S");
  b.format<nbit::iq1_m>("IQ1_M");
  b.format<nbit::w4g128>("w4g128"), b.format<nbit::w4g128a>("w4g128a"), b.format<nbit::w8g128>("w8g128");
  b.format<w3g128>("w3g128"), b.format<w2g64a>("w2g64a"), b.format<w6g64a>("w6g64a");
  b.format<nbit::w4g128a, nbit::gptq_words>("w4g128a GPTQ words");
  b.format<nbit::nf4>("NF4"), b.format<nbit::fp4>("FP4");
  return 0;
}
