// bench/kernel/threads_bench.cpp — what a second thread brings: products of w4g128 tiles beside the machine's own
// limits.
//
//   nbit_threads_bench [threads = 2] [rounds = 9]
//
// Least wall time of one thread over that of several, in turn. gemm: 4096 x 4096 weights, 128 tokens; gemv: 65536 x
// 4096 weights, from memory. The limits: multiply-adds in registers, and reading the same memory, cut into as many
// pieces.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <utility>
#include <vector>

#include <bench/support/arguments.hpp>
#include <bench/support/clock.hpp>
#include <bench/support/inputs.hpp>
#include <bench/support/limits.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/row_tiles.hpp>
#include <nbit/parallel/threads.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/kernel/row_tiles.hpp>

namespace {

struct w4g128 : nbit::uniform<nbit::scheme{.bits = 4, .group = 128}> {};

template <class F>
double seconds_of(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// f(executor) does the whole work.
template <class F>
void row(const char* name, int rounds, nbit::thread_pool& pool, const F& f) {
  double one = 1e9, several = 1e9;
  for (int r = 0; r < rounds; ++r) {
    nbit::serial alone;
    one = std::min(one, seconds_of([&] { f(alone); }));
    several = std::min(several, seconds_of([&] { f(pool); }));
  }
  std::printf("%-28s %6.2f\n", name, one / several);
  std::fflush(stdout);
}

/// Weights in tiles; w is emptied.
auto tiles(std::vector<float> w, std::size_t rows, std::size_t cols, nbit::thread_pool& pool) {
  auto q = nbit::quantize<w4g128>(nbit::matrix_view<const float>(w.data(), rows, cols), {}, pool);
  auto t = nbit::repack<nbit::row_tiles>(q->view(), pool);
  if (!t) std::exit(1);
  return *std::move(t);
}

}  // namespace

int main(int count, char** words) {
  const nbit_bench::arguments given(count, words);
  const auto threads = static_cast<unsigned>(std::max(1, given.number(1, 2)));
  const int rounds = given.number(2, 9);
  constexpr std::size_t n = 4096, tokens = 128, many = 65536;
  nbit::thread_pool pool(threads);
  std::printf("one thread's time over that of %u\n", threads);

  row("multiply-adds in registers", rounds, pool,
      [&](auto& ex) { ex(threads, [](std::size_t) { nbit_bench::peak_limit().call(); }); });
  const std::vector<float> x = nbit_bench::bell(tokens * n, 1.0f);
  const nbit::matrix_view<const float> xs(x.data(), tokens, n);
  {
    const auto w = tiles(nbit_bench::bell(n * n, 0.02f), n, n, pool);
    std::vector<float> y(tokens * n);
    const nbit::matrix_view<float> ys(y.data(), tokens, n);
    std::vector<std::byte> memory(nbit::int8_activations<128>::bytes_for({tokens, n}) + 64);
    const nbit::int8_activations<128> codes(std::span<std::byte>(memory), {tokens, n});
    nbit::quantize_activations(xs, codes);
    row("gemm, f32 activations", rounds, pool, [&](auto& ex) { nbit::gemm(w.view(), xs, ys, ex); });
    row("gemm, int8 activations", rounds, pool, [&](auto& ex) { nbit::gemm(w.view(), codes, ys, ex); });
  }
  const auto w = tiles(nbit_bench::even(many * n, -0.05f, 0.05f), many, n, pool);
  const std::span<const std::byte> bytes = w.bytes.span();
  row("reading the weights", rounds, pool, [&](auto& ex) {
    ex(threads, [&](std::size_t i) {
      const std::size_t piece = bytes.size() / threads / 64 * 64;
      nbit_bench::read_limit(bytes.subspan(i * piece, piece)).call();
    });
  });
  std::vector<float> out(many);
  row("gemv, f32 activations", rounds, pool,
      [&](auto& ex) { nbit::gemv(w.view(), xs.row(0), std::span<float>(out), ex); });
  nbit_bench::keep(out[0]);
  return 0;
}
