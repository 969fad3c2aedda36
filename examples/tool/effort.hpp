// tool/effort.hpp — solves the matrices of a job one after another, notes what came of each, and keeps to a time
// budget.
// SPDX-License-Identifier: MIT
#ifndef TOOL_EFFORT_HPP
#define TOOL_EFFORT_HPP

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include "job.hpp"

namespace tool {

/// Effort of a job. With a budget of seconds, kicks are as many as the time that is left seems to allow, each matrix
/// having its share: gptq takes rows cols^2 (3 + 2 passes + 7 kicks) multiply-adds, and the first matrix, solved
/// without kicks, tells how long they take.
class effort {
 public:
  effort(const job& what, job_report& to) : what_(what), to_(to) {}

  /// Says that a matrix will have to be solved, or that an earlier run did.
  void expect(std::uint64_t rows, std::uint64_t cols) { all_ += work(rows, cols); }

  /// solve(problem, settings) with this matrix's settings; returns what it returns.
  template <class Solve>
  auto operator()(const std::string& name, const problem& p, const Solve& solve) {
    nbit::solve_report report;
    problem asked = p;
    solver_settings s = what_.settings;
    const double here = work(p.weights.rows, p.weights.cols);
    const bool iterates = what_.how == method::gptq;
    if (iterates && what_.seconds > 0) s.kicks = affordable(here);
    if (iterates || what_.how == method::sign_round) asked.report = &report;
    const clock::time_point begun = clock::now();
    auto made = solve(asked, s);
    const double per_matrix = 3 + 2 * s.passes;
    solving_ += since(begun), solved_ += here * (per_matrix + 7 * s.kicks), done_ += here;
    if (asked.report != nullptr) to_.solved.push_back({name, report, s.kicks});
    return made;
  }

 private:
  using clock = std::chrono::steady_clock;

  static double work(std::uint64_t rows, std::uint64_t cols) {
    return static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(cols);
  }
  static double since(clock::time_point t) { return std::chrono::duration<double>(clock::now() - t).count(); }

  int affordable(double here) const {
    if (solved_ <= 0) return 0;
    const double left = std::max(all_ - done_, here), elapsed = since(started_);
    // What is not solving (the model runs) grows with what is done; what is left is solved without kicks at least.
    const double others = (elapsed - solving_) * left / std::max(done_, here), rate = solved_ / solving_;
    const double spare = (what_.seconds - elapsed - others) * rate - left * (3 + 2 * what_.settings.passes);
    return static_cast<int>(std::clamp(spare / (7 * left), 0.0, 100000.0));
  }

  const job& what_;
  job_report& to_;
  clock::time_point started_ = clock::now();
  double all_ = 0, done_ = 0;        // rows cols^2
  double solved_ = 0, solving_ = 0;  // multiply-adds, seconds
};

}  // namespace tool

#endif
