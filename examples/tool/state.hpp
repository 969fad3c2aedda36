// tool/state.hpp — what a run has made so far, kept beside its output: a run that was ended goes on from there.
//
// A text that says what is being made, then one record for each tensor as soon as it is made: lengths, name, bytes, a
// checksum. A record that was cut off is not read, so the file is good at any instant, whatever ended the program.
// SPDX-License-Identifier: MIT
#ifndef TOOL_STATE_HPP
#define TOOL_STATE_HPP

#include <cstddef>
#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include <nbit/io/mapped_file.hpp>

namespace tool {

/// Named bytes that outlive the program until finish().
class run_state {
 public:
  /// Opens path. With `resume`, what an earlier run for the same `about` left is found again; without, it is dropped.
  /// Failure: the file is that of another run, or cannot be written.
  run_state(std::string path, const std::string& about, bool resume);
  ~run_state();
  run_state(const run_state&) = delete;
  run_state& operator=(const run_state&) = delete;

  /// How many records were found.
  std::size_t found() const { return kept_.size(); }
  bool has(std::string_view name) const { return kept_.find(name) != kept_.end(); }
  /// The bytes of an earlier run.  Needs: has(name).
  std::span<const std::byte> at(std::string_view name) const { return kept_.find(name)->second; }
  /// Adds a record.  Failure: it cannot be written.
  void keep(std::string_view name, std::span<const std::byte> bytes);
  /// The output is complete: removes the file.
  void finish();

 private:
  std::string path_;
  nbit::mapped_file before_;
  std::map<std::string, std::span<const std::byte>, std::less<>> kept_;
  std::FILE* file_ = nullptr;
};

}  // namespace tool

#endif
