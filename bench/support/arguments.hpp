// bench/support/arguments.hpp — the command line of a benchmark: optional words in a fixed order.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BENCH_SUPPORT_ARGUMENTS_HPP
#define NBIT_BENCH_SUPPORT_ARGUMENTS_HPP

#include <cstddef>
#include <cstdlib>
#include <string>

namespace nbit_bench {

class arguments {
 public:
  arguments(int count, char** words) : count_(count), words_(words) {}

  /// Word i (1 is the first), or what stands for it.
  [[nodiscard]] std::string word(int i, const char* otherwise = "") const { return i < count_ ? words_[i] : otherwise; }
  [[nodiscard]] int number(int i, int otherwise) const { return i < count_ ? std::atoi(words_[i]) : otherwise; }
  /// Word i, perhaps with a fraction, times 2^20.
  [[nodiscard]] std::size_t mebibytes(int i, double otherwise) const {
    return std::size_t((i < count_ ? std::atof(words_[i]) : otherwise) * 1048576);
  }

 private:
  int count_;
  char** words_;
};

}  // namespace nbit_bench

#endif
