// bench/solver/speed_bench.cpp — Gram, factor and GPTQ against OpenBLAS and the machine's multiply-add limit, one
// thread.
//
//   OPENBLAS_CORETYPE=SkylakeX taskset -c 1 build/bin/nbit_speed_bench [columns [tokens [rounds]]]
//
// OpenBLAS is opened at run time and left out where there is none. Seconds of the thread's own time, least of the
// rounds, interleaved: only ratios within one run mean anything.
// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <nbit/format/presets.hpp>
#include <nbit/arch/code_lanes.hpp>
#include <nbit/solver/gptq.hpp>

namespace {
template <class Arch>
struct limits;
}  // namespace

#define NBIT_STAMP <bench/kernel/limits.inl>
#include <nbit/arch/stamp.inl>

namespace {

double seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

struct line {
  std::string name;
  double multiply_adds;
  std::function<void()> call;
  double best = 1e300;
};

void measure(std::vector<line>& lines, int rounds) {
  for (int r = 0; r < rounds; ++r)
    for (line& l : lines) {
      const double start = seconds();
      l.call();
      l.best = std::min(l.best, seconds() - start);
    }
}

volatile float kept = 0;

}  // namespace

int main(int count, char** words) {
  const std::size_t n = count > 1 ? std::size_t(std::atol(words[1])) : 2048,
                    tokens = count > 2 ? std::size_t(std::atol(words[2])) : 2 * n;
  const int rounds = count > 3 ? std::atoi(words[3]) : 3;
  std::vector<float> x(tokens * n), w(n * n), g(n * n), copy(n * n);
  std::uint32_t state = 1;
  const auto next = [&state] { return float(int((state = state * 1664525u + 1013904223u) >> 8) - (1 << 23)) * 1e-7f; };
  for (float& v : x) v = next();
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 1; c < n; ++c) x[t * n + c] = 0.5f * (x[t * n + c] + x[t * n + c - 1]);
  for (float& v : w) v = next();

  using syrk = void (*)(int, int, int, int, int, float, const float*, int, float, float*, int);
  using potrf = void (*)(const char*, const int*, float*, const int*, int*);
  void* const blas = dlopen("libopenblas.so.0", RTLD_NOW);
  const auto ssyrk = blas != nullptr ? reinterpret_cast<syrk>(dlsym(blas, "cblas_ssyrk")) : nullptr;
  const auto spotrf = blas != nullptr ? reinterpret_cast<potrf>(dlsym(blas, "spotrf_")) : nullptr;
  if (blas != nullptr)
    if (const auto set = reinterpret_cast<void (*)(int)>(dlsym(blas, "openblas_set_num_threads"))) set(1);
  if (ssyrk == nullptr || spotrf == nullptr) std::printf("no OpenBLAS: only nbit and the limit\n");

  const double cube = double(n) * double(n) * double(n);
  nbit::hessian h(n);
  if (!h.add({x.data(), 1, n})) return 1;  // its memory
  std::vector<line> lines;
  lines.push_back({"multiply-add limit", limits<nbit::arch::scalar>::peak_operations / 2,
                   [] { kept = nbit::arch::dispatch([](auto tag) { return limits<decltype(tag)>::peak(); }); }});
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
  std::vector<line> factors;
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
        {"GPTQ w4g128, " + std::to_string(passes) + " passes", cube * (1.0 / 6 + 2 + passes), [&, passes] {
           nbit::gptq_options o;
           o.passes = passes;
           kept = nbit::gptq<nbit::w4g128>({w.data(), n, n}, h, o) ? 1.0f : 0.0f;
         }});
  measure(factors, std::max(1, rounds / 2));
  lines.insert(lines.end(), factors.begin(), factors.end());

  const double limit = lines[0].multiply_adds / lines[0].best;
  std::printf("%zu columns, %zu tokens, kernel %s, one thread, least of %d rounds\n", n, tokens,
              nbit::arch::selected_name(), rounds);
  for (const line& l : lines)
    std::printf("%-24s %9.4f s %8.2f G multiply-adds/s  %5.2f of the limit\n", l.name.c_str(), l.best,
                1e-9 * l.multiply_adds / l.best, l.multiply_adds / l.best / limit);
  const auto rate = [&lines](const char* name) {
    for (const line& l : lines)
      if (l.name == name) return l.multiply_adds / l.best;
    return 0.0;
  };
  if (ssyrk != nullptr) std::printf("Gram / ssyrk      %.2f\n", rate("Gram") / rate("ssyrk"));
  if (spotrf != nullptr) std::printf("factor / spotrf   %.2f\n", rate("factor") / rate("spotrf"));
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  std::printf("peak memory of the program %.0f MiB\n", double(used.ru_maxrss) / 1024.0);
  return 0;
}
