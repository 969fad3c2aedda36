// tool/progress.hpp — one line on stderr that says how far a command is; silent unless somebody watches.
// SPDX-License-Identifier: MIT
#ifndef TOOL_PROGRESS_HPP
#define TOOL_PROGRESS_HPP

#include <chrono>
#include <cstddef>
#include <string>

namespace tool {

/// A progress line. Drawn when stderr is a terminal, or always with `forced`; erased at the end of its life.
class progress {
 public:
  explicit progress(bool forced = false);
  ~progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  /// A part of the work: its name and its share of the whole bar, from `first` to `last` in [0, 1].
  void stage(const std::string& name, double first = 0.0, double last = 1.0);
  /// How much of the stage is done.
  void operator()(std::size_t done, std::size_t total);
  bool shown() const { return shown_; }

 private:
  void draw(double share);

  bool shown_, lines_;
  std::string name_, last_;
  double first_ = 0.0, end_ = 1.0;
  std::chrono::steady_clock::time_point started_, drawn_;
};

}  // namespace tool

#endif
