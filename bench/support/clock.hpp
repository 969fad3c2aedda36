// bench/support/clock.hpp — interleaved medians: absolute times on shared machines mean nothing, ratios within one run
// do.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BENCH_SUPPORT_CLOCK_HPP
#define NBIT_BENCH_SUPPORT_CLOCK_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace nbit_bench {

/// One thing to measure: what it is called, how much work one call does, and the call.
struct subject {
  std::string name;
  double work = 0;  // bytes or operations of one call
  std::function<void()> call;
  double seconds = 0;  // median of one call, after measure()
  [[nodiscard]] double rate() const { return seconds > 0 ? work / seconds : 0; }
};

/// Runs all subjects round after round and keeps each one's median, so that a slow moment of the machine hits all
/// alike.
inline void measure(std::vector<subject>& subjects, int rounds) {
  std::vector<std::vector<double>> seconds(subjects.size());
  for (int round = -1; round < rounds; ++round) {  // round -1 warms caches and pages
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      subjects[i].call();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (round >= 0) seconds[i].push_back(took.count());
    }
  }
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    std::nth_element(seconds[i].begin(), seconds[i].begin() + static_cast<std::ptrdiff_t>(seconds[i].size() / 2),
                     seconds[i].end());
    subjects[i].seconds = seconds[i][seconds[i].size() / 2];
  }
}

}  // namespace nbit_bench

#endif
