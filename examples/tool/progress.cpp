// tool/progress.cpp — the progress line.
// SPDX-License-Identifier: MIT
#include "progress.hpp"

#include <cstdio>
#include <unistd.h>

namespace tool {

progress::progress(bool forced)
    : shown_(forced || isatty(STDERR_FILENO) != 0),
      lines_(isatty(STDERR_FILENO) == 0),
      started_(std::chrono::steady_clock::now()) {}

progress::~progress() {
  if (shown_ && !lines_ && !last_.empty()) std::fputs("\r\033[K", stderr);
}

void progress::stage(const std::string& name, double first, double last) {
  name_ = name, first_ = first, end_ = last;
  drawn_ = {};
  draw(first_);
}

void progress::operator()(std::size_t done, std::size_t total) {
  draw(first_ + (end_ - first_) * (total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total)));
}

void progress::draw(double share) {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || (share < 1.0 && now - drawn_ < std::chrono::milliseconds(100))) return;
  drawn_ = now;
  constexpr int width = 30;
  std::string bar(width, '.');
  for (int i = 0; i < static_cast<int>(share * width); ++i) bar[static_cast<std::size_t>(i)] = '#';
  char line[200];
  const double seconds = std::chrono::duration<double>(now - started_).count();
  char left[40] = "";
  if (share > 0.02 && share < 1.0) std::snprintf(left, sizeof(left), ", %.0f s left", seconds / share * (1.0 - share));
  std::snprintf(line, sizeof(line), "[%s] %3d%% %6.1f s%s  %s", bar.c_str(), static_cast<int>(share * 100.0), seconds,
                left, name_.c_str());
  if (line == last_) return;
  last_ = line;
  // Into a file or a pipe: one line for each stage, nothing redrawn.
  if (lines_) {
    if (share <= first_ + 1e-9) std::fprintf(stderr, "%s\n", line);
  } else {
    std::fprintf(stderr, "\r\033[K%s", line);
  }
  std::fflush(stderr);
}

}  // namespace tool
