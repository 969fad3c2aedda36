// bench/support/clock.hpp — interleaved medians: absolute times on shared machines mean nothing, ratios within one run
// do.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BENCH_SUPPORT_CLOCK_HPP
#define NBIT_BENCH_SUPPORT_CLOCK_HPP

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace nbit_bench {

/// CPU time of the thread: a busy machine disturbs it less than the clock on the wall.
inline double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

/// Keeps a result alive.
inline void keep(float v) {
  static float sink;
  *const_cast<volatile float*>(&sink) = v;
}

/// One thing to measure: what it is called, how much work one call does, and the call.
struct subject {
  std::string name;
  double work = 0;  // bytes or operations of one call
  std::function<void()> call;
  double seconds = 0, least = 0;  // of one call, after measure(): the median, and the fastest
  [[nodiscard]] double rate() const { return seconds > 0 ? work / seconds : 0; }
  [[nodiscard]] double best_rate() const { return least > 0 ? work / least : 0; }
};

/// Runs all subjects round after round and keeps each one's median, so that a slow moment of the machine hits all
/// alike.
inline void measure(std::vector<subject>& subjects, int rounds) {
  std::vector<std::vector<double>> seconds(subjects.size());
  for (int round = -1; round < rounds; ++round) {  // round -1 warms caches and pages
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      const double start = thread_seconds();
      subjects[i].call();
      if (round >= 0) seconds[i].push_back(thread_seconds() - start);
    }
  }
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    std::sort(seconds[i].begin(), seconds[i].end());
    subjects[i].seconds = seconds[i][seconds[i].size() / 2];
    subjects[i].least = seconds[i][0];
  }
}

}  // namespace nbit_bench

#endif
