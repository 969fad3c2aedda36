// bench/kernel/word_gemv_bench.cpp — y = W x straight on the words of GPTQ and AWQ checkpoints, one thread, beside the
// read bandwidth, in turn.
//
//   nbit_word_gemv_bench [KiB of weights = 524288] [rounds = 7] [columns = 4096] [outputs = 4096]
//
// As many matrices of that shape as fill the memory, one after another; at least one. Times are CPU time of the thread;
// a row shows medians. int8: activations in groups of 128, quantized inside the time.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstring>
#include <span>
#include <vector>

#include <bench/support/arguments.hpp>
#include <bench/support/clock.hpp>
#include <bench/support/inputs.hpp>
#include <bench/support/limits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/quantize.hpp>

namespace {

template <class F, class L>
void row(const char* name, std::size_t bytes, int rounds, nbit::shape shape) {
  const std::size_t one = nbit::packed_bytes<F, L>(shape) / 64 * 64 + 64, count = bytes / one > 0 ? bytes / one : 1;
  auto memory = nbit::buffer<std::byte>::make(one * count);
  if (!memory) return;
  for (std::size_t i = 0; i + 4 <= memory->size(); i += 4) {
    const std::uint32_t word = static_cast<std::uint32_t>(i * 2654435761u);
    std::memcpy(memory->data() + i, &word, 4);
  }
  const auto some = nbit_bench::even(8, -0.05f, 0.05f);
  const auto matrix = [&](std::size_t i) {
    return nbit::packed_span<F, L>(memory->span().subspan(i * one, one), shape);
  };
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t p = 0; p < nbit::params_count<F>(shape.rows, shape.cols); ++p)
      matrix(i).params[p] = F::fit(some, {});
  const auto x = nbit_bench::even(shape.cols, -0.5f, 0.5f, 2);
  std::vector<float> y(shape.rows);
  auto act = *nbit::int8_activation_matrix<128>::make({1, shape.cols});
  const double size = double(memory->size());
  std::vector<nbit_bench::subject> s{nbit_bench::read_limit(memory->span()),
                                     {"int8", size,
                                      [&] {
                                        nbit::quantize_activations(
                                            nbit::matrix_view<const float>(x.data(), 1, shape.cols), act.view());
                                        for (std::size_t i = 0; i < count; ++i)
                                          nbit::gemv(matrix(i), act.view(), std::span<float>(y));
                                      }},
                                     {"f32", size, [&] {
                                        for (std::size_t i = 0; i < count; ++i)
                                          nbit::gemv(matrix(i), std::span<const float>(x), std::span<float>(y));
                                      }}};
  measure(s, rounds);
  const double read = s[0].rate();
  std::printf("%-24s %8.1f %8.1f %6.2f %8.1f %6.2f\n", name, read * 1e-9, s[1].rate() * 1e-9, s[1].rate() / read,
              s[2].rate() * 1e-9, s[2].rate() / read);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const nbit_bench::arguments given(argc, argv);
  const std::size_t bytes = std::size_t(given.number(1, 524288)) << 10;
  const nbit::shape shape{std::size_t(given.number(4, 4096)), std::size_t(given.number(3, 4096))};
  const int rounds = given.number(2, 7);
  std::printf("kernel %s, one thread, %.4g MiB, %zu x %zu weights\n", nbit::arch::selected_name(),
              double(bytes) / 1048576, shape.rows, shape.cols);
  std::printf("%-24s %8s %8s %6s %8s %6s\n", "GB/s, share of read", "read", "int8", "", "f32", "");
  row<nbit::w4g128a, nbit::gptq_words>("4 bits, zeros, GPTQ", bytes, rounds, shape);
  row<nbit::w4g128, nbit::gptq_words>("4 bits, GPTQ", bytes, rounds, shape);
  row<nbit::w8g128, nbit::gptq_words>("8 bits, GPTQ", bytes, rounds, shape);
  row<nbit::w4g128a, nbit::awq_interleave>("4 bits, zeros, AWQ", bytes, rounds, shape);
  return 0;
}
