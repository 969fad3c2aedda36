// tests/fuzz/pattern_fuzz.cpp — libFuzzer entry: a pattern, a line end, a name; and overrides PATTERN=TYPE.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/pattern_fuzz.cpp -o pattern_fuzz
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nbit/plan/mix.hpp>

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view pattern = text.substr(0, text.find('\n'));
  const std::string_view name = text.substr(pattern.size() < text.size() ? pattern.size() + 1 : pattern.size());
  const auto p = nbit::name_pattern::parse(pattern);
  if (!p) {
    require(*p.error().what != '\0' && (p.error().offset <= pattern.size() || p.error().has_found));
    return 0;
  }
  const bool found = p->matches(name);
  // A longer name holds every match of a pattern that does not ask for the end or the begin.
  if (found && pattern.find_first_of("^$") == std::string_view::npos)
    require(p->matches(std::string("x").append(name).append("y")));
  if (const auto o = nbit::parse_override(std::string(pattern).append("=q4_k")))
    require(o->type == nbit::ggml_type::q4_k && o->pattern.matches(name) == found);
  return 0;
}
