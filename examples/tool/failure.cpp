// tool/failure.cpp — errors as sentences.
// SPDX-License-Identifier: MIT
#include "failure.hpp"

#include <cstring>

namespace tool {

std::string describe(const nbit::error& e) {
  std::string text;
  if (e.subject[0] != '\0') text += std::string("'") + e.subject + "': ";
  text += e.what;
  if (e.code == nbit::errc::io && e.has_found && e.found != 0) {
    text += std::string(" (") + std::strerror(static_cast<int>(e.found)) + ")";
  } else {
    std::string details;
    const auto add = [&details](const std::string& part) { details += (details.empty() ? "" : ", ") + part; };
    if (e.has_found) add("found " + std::to_string(e.found));
    if (e.allowed[0] != '\0') add(std::string("allowed: ") + e.allowed);
    if (e.row >= 0) add("row " + std::to_string(e.row) + ", column " + std::to_string(e.col));
    if (e.offset != nbit::error::nowhere) add("at byte " + std::to_string(e.offset));
    if (!details.empty()) text += " (" + details + ")";
  }
  return text;
}

failure as_failure(const nbit::error& e, std::string_view context) {
  const int code = e.code == nbit::errc::io               ? io_failed
                   : e.code == nbit::errc::out_of_memory  ? no_memory
                   : e.code == nbit::errc::invalid_option ? wrong_usage
                                                          : bad_input;
  return {code, (context.empty() ? "" : std::string(context) + ": ") + describe(e)};
}

void refuse_option(std::string_view name, std::string_view value, std::string_view allowed) {
  throw failure{wrong_usage,
                std::string(name) + ": '" + std::string(value) + "' is not allowed; allowed: " + std::string(allowed)};
}

}  // namespace tool
