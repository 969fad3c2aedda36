// tool/output.hpp — files that appear whole or not at all, also when a signal ends the program.
// SPDX-License-Identifier: MIT
#ifndef TOOL_OUTPUT_HPP
#define TOOL_OUTPUT_HPP

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <nbit/base/result.hpp>
#include <nbit/io/atomic_file.hpp>

namespace tool {

/// From now on SIGINT, SIGTERM and SIGHUP remove what is half written and end the program with 128 + the signal's
/// number.
void catch_signals();
/// What such an end says instead of "nothing was left half written"; nullptr: that again.  Needs: a text that stays.
void say_when_interrupted(const char* text);

/// A file being written under a temporary name; commit() gives it its own.
class output_file {
 public:
  /// Failure: the file cannot be created.
  explicit output_file(const std::string& path);
  ~output_file();
  output_file(const output_file&) = delete;
  output_file& operator=(const output_file&) = delete;

  /// Appends bytes: the library's byte_sink.
  nbit::result<void> write(std::span<const std::byte> more) { return file_.write(more); }
  nbit::result<void> commit();

 private:
  nbit::atomic_file file_;
  int slot_ = -1;
};

/// A folder being filled under a temporary name; commit() renames it. Failure: the target exists.
class output_folder {
 public:
  explicit output_folder(const std::string& path);
  ~output_folder();
  output_folder(const output_folder&) = delete;
  output_folder& operator=(const output_folder&) = delete;

  /// The path for a file inside; call it before the file is created.
  std::string inside(const std::string& name);
  void commit();

 private:
  void forget();

  std::string target_, temporary_;
  int slots_[280] = {};
  int used_ = 0;
};

/// Writes a whole text file.  Failure: as output_file.
void write_text(const std::string& path, std::string_view text);

}  // namespace tool

#endif
