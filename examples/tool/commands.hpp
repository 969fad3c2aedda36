// tool/commands.hpp — the commands of nbit; each takes the words after its name and returns an exit code or throws
// failure.
// SPDX-License-Identifier: MIT
#ifndef TOOL_COMMANDS_HPP
#define TOOL_COMMANDS_HPP

#include <span>
#include <string>

namespace tool {

int inspect(std::span<const std::string> words);
int quantize(std::span<const std::string> words);
int convert(std::span<const std::string> words);
int imatrix(std::span<const std::string> words);
int calibrate(std::span<const std::string> words);
int plan(std::span<const std::string> words);
int eval(std::span<const std::string> words);
int generate(std::span<const std::string> words);
int demo(std::span<const std::string> words);

}  // namespace tool

#endif
