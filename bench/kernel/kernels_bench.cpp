// bench/kernel/kernels_bench.cpp — gemv and gemm of every format as a share of what the machine can do, in one run, one
// thread.
//
//   nbit_kernels_bench [MiB of weights = 256] [rounds = 7]
// Limits: read bandwidth (a sum over as many bytes) and the multiply-add peak (registers only), measured in between.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <bench/support/arguments.hpp>
#include <bench/support/clock.hpp>
#include <bench/support/inputs.hpp>
#include <bench/support/limits.hpp>
#include <nbit/nbit.hpp>

namespace {

using nbit_bench::keep;

constexpr std::size_t cols = 4096;

/// Weights that fill `bytes` of memory: codes of random bits, parameters of a quantized row. Values do not matter for
/// time.
template <class F, class L>
std::shared_ptr<nbit::packed_matrix<F, L>> filled(std::size_t bytes) {
  const auto row = nbit_bench::even(16 * cols, -0.05f, 0.05f);
  const auto some = nbit::quantize<F, L>({row.data(), 16, cols});
  const std::size_t one = nbit::packed_bytes<F, L>({16, cols}), rows = bytes / one * 16 + 16;
  auto all = nbit::packed_matrix<F, L>::make({rows, cols});
  if (!some || !all) return nullptr;
  const std::size_t code = nbit::packed_code_bytes<F, L>({16, cols}),
                    whole = nbit::packed_code_bytes<F, L>({rows, cols});
  for (std::size_t at = 0; at < whole; at += code)
    std::memcpy(all->bytes.data() + at, some->bytes.data(), std::min(code, whole - at));
  if (one > code) {
    for (std::size_t at = whole; at < all->bytes.size(); at += one - code)
      std::memcpy(all->bytes.data() + at, some->bytes.data() + code, std::min(one - code, all->bytes.size() - at));
  }
  return std::make_shared<nbit::packed_matrix<F, L>>(*std::move(all));
}

struct rows_of_results {
  std::vector<nbit_bench::subject> gemv, gemm;
};

template <class F, class L = nbit::default_layout<F>>
void add(rows_of_results& to, const std::string& name, std::size_t bytes) {
  const auto w = filled<F, L>(bytes);
  if (w == nullptr) return;
  auto x = std::make_shared<std::vector<float>>(cols, 0.5f);
  auto y = std::make_shared<std::vector<float>>(w->rows);
  auto act = std::make_shared<nbit::int8_activation_matrix<32>>(*nbit::int8_activation_matrix<32>::make({1, cols}));
  nbit::quantize_activations(nbit::matrix_view<const float>(x->data(), 1, cols), act->view());
  const double size = double(w->bytes.size());
  to.gemv.push_back({name + " f32", size, [=] { nbit::gemv(w->view(), *x, *y), keep((*y)[0]); }});
  to.gemv.push_back({name + " int8", size, [=] { nbit::gemv(w->view(), act->view(), *y), keep((*y)[0]); }});

  constexpr std::size_t tokens = 128, outputs = 512;
  const auto small = filled<F, L>(outputs * cols / 8 * 4);
  auto in = std::make_shared<std::vector<float>>(tokens * cols, 0.25f);
  auto out = std::make_shared<std::vector<float>>(tokens * small->rows);
  const double operations = 2.0 * double(tokens) * double(small->rows) * double(cols);
  to.gemm.push_back({name + " f32 M=128", operations, [=] {
                       nbit::gemm(small->view(), {in->data(), tokens, cols}, {out->data(), tokens, small->rows});
                       keep((*out)[0]);
                     }});
}

}  // namespace

int main(int argc, char** argv) {
  const nbit_bench::arguments given(argc, argv);
  const std::size_t bytes = given.mebibytes(1, 256);
  const int rounds = given.number(2, 7);
  rows_of_results results;
  auto memory = nbit::buffer<std::byte>::zeros(bytes);
  if (!memory) return std::printf("no memory for %zu bytes\n", bytes), 1;
  results.gemv.push_back(nbit_bench::read_limit(memory->span()));
  results.gemm.push_back(nbit_bench::peak_limit());
  add<nbit::q8_0>(results, "Q8_0", bytes);
  add<nbit::q6_k>(results, "Q6_K", bytes);
  add<nbit::q5_k>(results, "Q5_K", bytes);
  add<nbit::q4_k>(results, "Q4_K", bytes);
  add<nbit::q4_0>(results, "Q4_0", bytes);
  add<nbit::q3_k>(results, "Q3_K", bytes);
  add<nbit::q2_k>(results, "Q2_K", bytes);
  add<nbit::w4g128>(results, "w4g128 linear", bytes);
  add<nbit::w4g128a, nbit::gptq_words>(results, "w4g128a GPTQ words", bytes);
  add<nbit::nf4>(results, "NF4", bytes);

  std::printf("kernel %s, one thread, medians of %d interleaved rounds, %zu MiB of weights for gemv\n",
              nbit::arch::selected_name(), rounds, bytes >> 20);
  nbit_bench::measure(results.gemv, rounds);
  for (const auto& s : results.gemv)
    std::printf("gemv  %-26s %8.2f GB/s   %5.1f%% of read bandwidth\n", s.name.c_str(), s.rate() * 1e-9,
                100 * s.rate() / results.gemv[0].rate());
  nbit_bench::measure(results.gemm, rounds);
  for (const auto& s : results.gemm)
    std::printf("gemm  %-26s %8.2f GFLOP/s %5.1f%% of multiply-add peak\n", s.name.c_str(), s.rate() * 1e-9,
                100 * s.rate() / results.gemm[0].rate());
  return 0;
}
