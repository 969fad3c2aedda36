// tool/options.hpp — the command line: options that a command declares, everything else refused by name.
// SPDX-License-Identifier: MIT
#ifndef TOOL_OPTIONS_HPP
#define TOOL_OPTIONS_HPP

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tool {

/// One option of a command.
struct option {
  const char* name;   // "--type"
  const char* value;  // what stands for the value in the help, or nullptr for a switch
  const char* help;
};

/// A parsed command line. Options come as "--name value" or "--name=value"; "--" ends them.
class arguments {
 public:
  /// Failure: an unknown option, a missing value, a switch with a value.
  arguments(std::span<const option> known, std::span<const std::string> words);

  std::vector<std::string> positional;

  bool has(std::string_view name) const;
  /// The last value given, or `absent`.
  std::string get(std::string_view name, std::string_view absent = {}) const;
  /// All values given, in order.
  std::vector<std::string> all(std::string_view name) const;
  /// A whole number in [low, high].  Failure: anything else.
  long number(std::string_view name, long absent, long low, long high) const;
  /// One of the words in `allowed`, which are separated by spaces.  Failure: anything else.
  std::string choice(std::string_view name, std::string_view absent, std::string_view allowed) const;
  /// Everything that was given but for these options, which are separated by spaces: what a run is known by.
  std::string text_without(std::string_view names) const;

 private:
  std::vector<std::pair<std::string, std::string>> given_;
};

/// The options as lines of a help text.
std::string help_lines(std::span<const option> known);

/// The words of a text.
std::vector<std::string> split(std::string_view text, char at);

}  // namespace tool

#endif
