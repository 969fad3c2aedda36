// tool/failure.hpp — what ends a command early: an exit code and one sentence for the person who typed it.
// SPDX-License-Identifier: MIT
#ifndef TOOL_FAILURE_HPP
#define TOOL_FAILURE_HPP

#include <string>
#include <string_view>
#include <utility>

#include <nbit/base/result.hpp>

namespace tool {

/// Exit codes of every command; a run that a signal ends exits with 128 + its number.
enum exit_code : int { success = 0, wrong_usage = 1, bad_input = 2, io_failed = 3, no_memory = 4, lossy = 5 };

/// Thrown by anything in the tool; main prints the text and exits with the code.
struct failure {
  int code;
  std::string text;
};

/// The thing, what is wrong with it, the value found, the values allowed, the place.
std::string describe(const nbit::error& e);

/// The failure that an error of the library amounts to; context is what was being done ("reading model.gguf").
failure as_failure(const nbit::error& e, std::string_view context);

/// The value, or a failure.
template <class T>
T need(nbit::result<T> r, std::string_view context = {}) {
  if (!r) throw as_failure(r.error(), context);
  return *std::move(r);
}
inline void need(nbit::result<void> r, std::string_view context = {}) {
  if (!r) throw as_failure(r.error(), context);
}

/// "NAME: VALUE is not allowed; allowed: ..." with the exit code for wrong usage.
[[noreturn]] void refuse_option(std::string_view name, std::string_view value, std::string_view allowed);

}  // namespace tool

#endif
