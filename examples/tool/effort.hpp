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
/// having its share. The first matrix, solved without kicks, tells how long rows cols^2 take; then every matrix tells
/// how long rows cols kicks take, until which they count as 3.5 passes each.
class effort {
 public:
  effort(const job& what, job_report& to) : what_(what), to_(to) {}

  /// Says that a matrix will have to be solved, or that an earlier run did.
  void expect(std::uint64_t rows, std::uint64_t cols) { all_ += size(rows, cols); }

  /// solve(problem, settings) with this matrix's settings; returns what it returns.
  template <class Solve>
  auto operator()(const std::string& name, const problem& p, const Solve& solve) {
    nbit::solve_report report;
    problem asked = p;
    solver_settings s = what_.settings;
    const work here = size(p.weights.rows, p.weights.cols);
    const bool iterates = what_.how == method::gptq;
    if (iterates && what_.seconds > 0) s.kicks = affordable(here);
    if (iterates || what_.how == method::sign_round) asked.report = &report;
    const clock::time_point begun = clock::now();
    auto made = solve(asked, s);
    const double took = since(begun);
    solving_ += took, done_ += here;
    if (s.kicks > 0)
      kicking_ += took - rate_ * here.square, kicked_ += here.linear * s.kicks;
    else
      plain_ += took, plain_size_ += here.square, rate_ = plain_ / plain_size_;
    if (asked.report != nullptr) to_.solved.push_back({name, report});
    return made;
  }

 private:
  using clock = std::chrono::steady_clock;
  struct work {
    double square = 0, linear = 0;  // rows cols^2, rows cols
    work& operator+=(const work& more) {
      square += more.square, linear += more.linear;
      return *this;
    }
  };

  static work size(std::uint64_t rows, std::uint64_t cols) {
    const double r = static_cast<double>(rows), c = static_cast<double>(cols);
    return {r * c * c, r * c};
  }
  static double since(clock::time_point t) { return std::chrono::duration<double>(clock::now() - t).count(); }

  int affordable(const work& here) const {
    if (rate_ <= 0) return 0;
    const work left = {std::max(all_.square - done_.square, here.square),
                       std::max(all_.linear - done_.linear, here.linear)};
    // What is not solving (the model runs) grows with what is done; what is left is solved without kicks at least.
    const double elapsed = since(started_), others = (elapsed - solving_) * left.square / done_.square;
    const double spare = what_.seconds - elapsed - others - left.square * rate_;
    const double most = 7 * rate_ / (3 + 2 * what_.settings.passes) * left.square / left.linear;
    const double one = kicked_ > 0 ? std::clamp(kicking_ / kicked_, 0.01 * most, 10 * most) : most;
    return static_cast<int>(std::clamp(spare / (one * left.linear), 0.0, 100000.0));
  }

  const job& what_;
  job_report& to_;
  clock::time_point started_ = clock::now();
  work all_, done_;
  double solving_ = 0;                            // seconds
  double plain_ = 0, plain_size_ = 0, rate_ = 0;  // without kicks: seconds, rows cols^2, and one by the other
  double kicking_ = 0, kicked_ = 0;               // seconds of kicks; rows cols kicks
};

}  // namespace tool

#endif
