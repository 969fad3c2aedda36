// examples/07_executors.cpp — threads come from the caller: any callable ex(n, f) will do, and the result never depends
// on it.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <thread>
#include <vector>

#if defined(NBIT_EXAMPLE_TBB)  // examples/CMakeLists.txt defines it where TBB is installed
#include <tbb/parallel_for.h>
#endif

#include <nbit/parallel/threads.hpp>
#include <nbit/nbit.hpp>

int main() {
  constexpr std::size_t outputs = 200, inputs = 512, tokens = 64;
  nbit::random_stream numbers(7);
  std::vector<float> weights(outputs * inputs), x(tokens * inputs);
  for (float& v : weights) v = numbers.uniform() - 0.5f;
  for (float& v : x) v = numbers.uniform() - 0.5f;
  const auto q = nbit::quantize<nbit::w4g32>({weights.data(), outputs, inputs});
  if (!q) return 1;

  const nbit::matrix_view<const float> in(x.data(), tokens, inputs);
  std::vector<float> alone(tokens * outputs), pooled(alone.size()), own(alone.size());
  nbit::gemm(q->view(), in, {alone.data(), tokens, outputs});

  nbit::thread_pool pool(3);
  nbit::gemm(q->view(), in, {pooled.data(), tokens, outputs}, pool);

  // An executor of one's own.
  const auto two_threads = [](std::size_t n, auto&& f) {
    std::thread other([&] {
      for (std::size_t i = 1; i < n; i += 2) f(i);
    });
    for (std::size_t i = 0; i < n; i += 2) f(i);
    other.join();
  };
  nbit::gemm(q->view(), in, {own.data(), tokens, outputs}, two_threads);

  bool same = alone == pooled && pooled == own;
  std::printf("alone, 3 threads, own executor");

#if defined(_OPENMP)
  const auto openmp = [](std::size_t n, auto&& f) {
#pragma omp parallel for schedule(dynamic)
    for (std::size_t i = 0; i < n; ++i) f(i);
  };
  nbit::gemm(q->view(), in, {own.data(), tokens, outputs}, openmp);
  same = same && own == alone;
  std::printf(", OpenMP");
#endif
#if defined(NBIT_EXAMPLE_TBB)
  const auto tasks = [](std::size_t n, auto&& f) { tbb::parallel_for(std::size_t{0}, n, f); };
  nbit::gemm(q->view(), in, {own.data(), tokens, outputs}, tasks);
  same = same && own == alone;
  std::printf(", TBB");
#endif
  std::printf(": %s\n", same ? "the same bits" : "different");
  return same ? 0 : 1;
}
