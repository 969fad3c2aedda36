// nbit/io/json_writer.hpp — writes a JSON value as text that every JSON reader accepts.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_JSON_WRITER_HPP
#define NBIT_IO_JSON_WRITER_HPP

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <nbit/base/config.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/utf8.hpp>

namespace nbit {

inline namespace NBIT_TAG {

/// Appends the text as a JSON string, with quotes. Bytes that are not UTF-8 become U+FFFD: file names and keys of
/// damaged files must not make the output unreadable.
inline void json_append_string(std::string& to, std::string_view text) {
  static constexpr char hex[] = "0123456789abcdef";
  to += '"';
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t n = utf8_length(text);
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (c == '\n') {
      to += "\\n";
    } else if (c == '\t') {
      to += "\\t";
    } else if (c == '\r') {
      to += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      to += "\\u00";
      to += hex[static_cast<unsigned char>(c) >> 4];
      to += hex[static_cast<unsigned char>(c) & 15];
    } else if (n == 0) {
      utf8_append(to, 0xfffd);
    } else {
      to.append(text, 0, n);
    }
    text.remove_prefix(n == 0 ? 1 : n);
  }
  to += '"';
}

namespace detail {
inline void json_break(std::string& to, int indent, int depth) {
  if (indent == 0) return;
  to += '\n';
  to.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
}

inline void json_append(std::string& to, const json_value& v, int indent, int depth) {
  switch (v.kind()) {
    case json_kind::null: to += "null"; return;
    case json_kind::boolean: to += v.get<bool>().value_or(false) ? "true" : "false"; return;
    case json_kind::number: to += v.text(); return;
    case json_kind::string: json_append_string(to, v.text()); return;
    default: break;
  }
  const bool object = v.is(json_kind::object);
  const std::span<const json_value> items = v.items();
  to += object ? '{' : '[';
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i != 0) to += ',';
    json_break(to, indent, depth + 1);
    if (object) {
      json_append_string(to, v.names()[i]);
      to += indent == 0 ? ":" : ": ";
    }
    json_append(to, items[i], indent, depth + 1);
  }
  if (!items.empty()) json_break(to, indent, depth);
  to += object ? '}' : ']';
}
}  // namespace detail

/// The value as text. indent 0 writes it on one line without spaces; else that many spaces for each level.
[[nodiscard]] inline std::string json_text(const json_value& v, int indent = 0) {
  std::string text;
  detail::json_append(text, v, indent, 0);
  return text;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
