// tool/options.cpp — parsing of the command line.
// SPDX-License-Identifier: MIT
#include "options.hpp"

#include <algorithm>
#include <charconv>

#include "failure.hpp"

namespace tool {

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(at), text.size());
    if (end != 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

arguments::arguments(std::span<const option> known, std::span<const std::string> words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      positional.insert(positional.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      return;
    }
    if (word.size() < 2 || word[0] != '-') {
      positional.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const auto found = std::find_if(known.begin(), known.end(), [&](const option& o) {
      return name == o.name || (name == "-o" && std::string_view(o.name) == "--output");
    });
    if (found == known.end()) {
      std::string names;
      for (const option& o : known) names += std::string(names.empty() ? "" : " ") + o.name;
      refuse_option("option", name, names);
    }
    if (found->value == nullptr) {
      if (equals != std::string::npos)
        throw failure{wrong_usage, name + " takes no value; found '" + word.substr(equals + 1) + "'"};
      given_.emplace_back(found->name, "");
    } else if (equals != std::string::npos) {
      given_.emplace_back(found->name, word.substr(equals + 1));
    } else {
      if (i + 1 == words.size()) throw failure{wrong_usage, name + " needs a value: " + found->value};
      given_.emplace_back(found->name, words[++i]);
    }
  }
}

bool arguments::has(std::string_view name) const {
  return std::any_of(given_.begin(), given_.end(), [&](const auto& g) { return g.first == name; });
}

std::string arguments::get(std::string_view name, std::string_view absent) const {
  std::string value(absent);
  for (const auto& [given, text] : given_)
    if (given == name) value = text;
  return value;
}

std::vector<std::string> arguments::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [given, text] : given_)
    if (given == name) values.push_back(text);
  return values;
}

long arguments::number(std::string_view name, long absent, long low, long high) const {
  if (!has(name)) return absent;
  const std::string text = get(name);
  long value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size() || value < low || value > high)
    refuse_option(name, text, "whole numbers from " + std::to_string(low) + " to " + std::to_string(high));
  return value;
}

std::string arguments::choice(std::string_view name, std::string_view absent, std::string_view allowed) const {
  const std::string value = get(name, absent);
  const std::vector<std::string> words = split(allowed, ' ');
  if (std::find(words.begin(), words.end(), value) == words.end()) refuse_option(name, value, allowed);
  return value;
}

std::string arguments::text_without(std::string_view names) const {
  const std::vector<std::string> without = split(names, ' ');
  std::string text;
  for (const std::string& p : positional) text += p + " ";
  for (const auto& [name, value] : given_)
    if (std::find(without.begin(), without.end(), name) == without.end()) text += name + " " + value + " ";
  return text;
}

std::string help_lines(std::span<const option> known) {
  std::string text;
  for (const option& o : known) {
    std::string left = std::string("  ") + o.name + (o.value != nullptr ? std::string(" ") + o.value : "");
    left += left.size() < 28 ? std::string(28 - left.size(), ' ') : "\n" + std::string(28, ' ');
    for (const char c : std::string_view(o.help)) {
      left += c;
      if (c == '\n') left.append(28, ' ');
    }
    text += left + "\n";
  }
  return text;
}

}  // namespace tool
