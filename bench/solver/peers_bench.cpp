// bench/solver/peers_bench.cpp — seconds that a solver takes on matrices in files: nbit's half of
// bench/peers/solver_peers.py.
//
//   nbit_peers_bench gptq|awq|hqq THREADS ROUNDS ROWS COLUMNS WEIGHTS [TOKENS INPUTS]
//
// WEIGHTS and INPUTS are raw floats. Prints a line for each recipe: its name, a tab, the least wall time of the rounds.
// Reading is not counted; of gptq the Gram matrix is not either, of awq it is.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <bench/support/arguments.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/parallel/threads.hpp>
#include <nbit/solver/awq.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/hqq.hpp>

namespace {

struct w4g64_float : nbit::uniform<nbit::scheme{.bits = 4, .group = 64, .symmetry = nbit::symmetry::asymmetric_float}> {
};

std::vector<float> read(const std::string& path, std::size_t count) {
  std::vector<float> v(count);
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  const bool fine = file != nullptr && std::fread(v.data(), sizeof(float), count, file) == count;
  if (file != nullptr) std::fclose(file);
  if (!fine) v.clear();
  return v;
}

/// Prints the least time of some calls; false when one of them fails.
template <class Solve>
bool report(const char* name, int rounds, const Solve& solve) {
  double least = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (!solve()) return false;
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::printf("%s\t%.4f\n", name, least);
  return true;
}

}  // namespace

int main(int count, char** words) {
  const nbit_bench::arguments given(count, words);
  const std::string solver = given.word(1);
  const int rounds = given.number(3, 1);
  const std::size_t rows = std::size_t(given.number(4, 0)), cols = std::size_t(given.number(5, 0));
  const std::size_t tokens = std::size_t(given.number(7, 0));
  const std::vector<float> weights = read(given.word(6), rows * cols), inputs = read(given.word(8), tokens * cols);
  if (weights.empty() || (inputs.empty() && solver != "hqq")) {
    std::fprintf(stderr, "usage: gptq|awq|hqq THREADS ROUNDS ROWS COLUMNS WEIGHTS [TOKENS INPUTS]\n");
    return 1;
  }
  nbit::thread_pool pool(unsigned(given.number(2, 1)));
  const nbit::matrix_view<const float> w(weights.data(), rows, cols), x(inputs.data(), tokens, cols);

  if (solver == "hqq")
    return report("nbit::hqq", rounds, [&] { return bool(nbit::hqq<w4g64_float>(w, {}, pool)); }) ? 0 : 1;
  if (solver == "awq")
    return report("nbit::awq and its Gram matrix", rounds,
                  [&] {
                    nbit::hessian h(cols);
                    return h.add(x, pool) && nbit::awq<nbit::w4g128a>(w, h, {}, pool);
                  })
               ? 0
               : 1;
  nbit::hessian h(cols);
  if (!h.add(x, pool)) return 1;
  const auto gptq = [&](const char* name, const nbit::gptq_options& o) {
    return report(name, rounds, [&] { return bool(nbit::gptq<nbit::w4g128>(w, h, o, pool)); });
  };
  const bool fine = gptq("nbit::gptq, one pass, min-max grid as the peer",
                         {.grid = nbit::grid_search::min_max, .passes = 0, .measure = false}) &&
                    gptq("nbit::gptq, one pass, searched grid, losses", {.passes = 0}) &&
                    gptq("nbit::gptq, default: passes, kicks, refitted scales", {});
  return fine ? 0 : 1;
}
