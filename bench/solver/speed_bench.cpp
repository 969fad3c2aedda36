// bench/solver/speed_bench.cpp — Gram, factor and GPTQ against OpenBLAS and the machine's multiply-add limit, one
// thread.
//
//   OPENBLAS_CORETYPE=SkylakeX taskset -c 1 build/bin/nbit_speed_bench [columns [tokens [rounds]]]
//
// OpenBLAS is opened at run time and left out where there is none. Seconds of the thread's own time, least of the
// rounds, interleaved: only ratios within one run mean anything.
// SPDX-License-Identifier: MIT
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <bench/support/arguments.hpp>
#include <bench/support/blas_peer.hpp>
#include <bench/support/clock.hpp>
#include <bench/support/limits.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/solver/gptq.hpp>

using nbit_bench::subject;

int main(int count, char** words) {
  const nbit_bench::arguments given(count, words);
  const std::size_t n = std::size_t(given.number(1, 2048)), tokens = std::size_t(given.number(2, 2 * int(n)));
  const int rounds = given.number(3, 3);
  std::vector<float> x(tokens * n), w(n * n), g(n * n), copy(n * n);
  std::uint32_t state = 1;
  const auto next = [&state] { return float(int((state = state * 1664525u + 1013904223u) >> 8) - (1 << 23)) * 1e-7f; };
  for (float& v : x) v = next();
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 1; c < n; ++c) x[t * n + c] = 0.5f * (x[t * n + c] + x[t * n + c - 1]);
  for (float& v : w) v = next();

  using syrk = void (*)(int, int, int, int, int, float, const float*, int, float, float*, int);
  using potrf = void (*)(const char*, const int*, float*, const int*, int*);
  const nbit_bench::blas_peer blas;
  const auto ssyrk = blas.symbol<syrk>("cblas_ssyrk");
  const auto spotrf = blas.symbol<potrf>("spotrf_");
  if (ssyrk == nullptr || spotrf == nullptr) std::printf("no OpenBLAS: only nbit and the limit\n");

  const double cube = double(n) * double(n) * double(n);
  nbit::hessian h(n);
  if (!h.add({x.data(), 1, n})) return 1;  // its memory
  std::vector<subject> lines{nbit_bench::peak_limit()};
  lines[0].work /= 2;  // multiply-adds, not operations
  lines.push_back({"Gram", double(n) * double(n) / 2 * double(tokens), [&] { (void)h.add({x.data(), tokens, n}); }});
  if (ssyrk != nullptr)
    lines.push_back({"ssyrk", double(n) * double(n) / 2 * double(tokens), [&] {
                       ssyrk(101, 122, 112, int(n), int(tokens), 1.0f, x.data(), int(n), 0.0f, g.data(), int(n));
                     }});
  measure(lines, rounds);

  nbit::result<nbit::metric> m = nbit::detail::make_metric(h, {}, {0.05, true}, nbit::serial{});
  auto memory = nbit::detail::make_factor_memory(n, m ? m->stride : n);
  if (!m || !memory) return 1;
  std::vector<float> diagonal(n);
  for (std::size_t c = 0; c < n; ++c) diagonal[c] = m->h[c * m->stride + c];
  std::vector<subject> factors;
  factors.push_back({"factor", cube / 6, [&] {
                       std::memcpy(m->s.data(), m->h.data(), n * m->stride * sizeof(float));
                       (void)nbit::detail::factor_upper(m->s.data(), n, m->stride, m->d.data(), diagonal.data(),
                                                        *memory, nbit::serial{});
                     }});
  if (spotrf != nullptr)
    factors.push_back({"spotrf", cube / 6, [&] {
                         for (std::size_t r = 0; r < n; ++r)
                           std::memcpy(copy.data() + r * n, m->h.data() + r * m->stride, n * sizeof(float));
                         const int order = int(n);
                         int failed = 0;
                         spotrf("U", &order, copy.data(), &order, &failed);
                       }});
  for (const int passes : {0, 4})
    factors.push_back(
        {"GPTQ w4g128, " + std::to_string(passes) + " passes", cube * (1.0 / 6 + 2 + 2 * passes), [&, passes] {
           nbit::gptq_options o;
           o.passes = passes, o.kicks = 0;
           nbit_bench::keep(nbit::gptq<nbit::w4g128>({w.data(), n, n}, h, o) ? 1.0f : 0.0f);
         }});
  measure(factors, std::max(1, rounds / 2));
  lines.insert(lines.end(), factors.begin(), factors.end());

  const double limit = lines[0].best_rate();
  std::printf("%zu columns, %zu tokens, kernel %s, one thread, least of %d rounds\n", n, tokens,
              nbit::arch::selected_name(), rounds);
  for (const subject& l : lines)
    std::printf("%-24s %9.4f s %8.2f G multiply-adds/s  %5.2f of the limit\n", l.name.c_str(), l.least,
                1e-9 * l.best_rate(), l.best_rate() / limit);
  const auto rate = [&lines](const char* name) {
    for (const subject& l : lines)
      if (l.name == name) return l.best_rate();
    return 0.0;
  };
  if (ssyrk != nullptr) std::printf("Gram / ssyrk      %.2f\n", rate("Gram") / rate("ssyrk"));
  if (spotrf != nullptr) std::printf("factor / spotrf   %.2f\n", rate("factor") / rate("spotrf"));
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  std::printf("peak memory of the program %.0f MiB\n", double(used.ru_maxrss) / 1024.0);
  return 0;
}
