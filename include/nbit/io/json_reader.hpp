// nbit/io/json_reader.hpp — reads JSON (RFC 8259) from text nobody vouches for.
//
// Strict: nothing but the grammar, valid UTF-8, no lone surrogates, no name twice in one object, nothing after the
// value. Bounded: depth, size and the number of values, before memory is taken for them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_JSON_READER_HPP
#define NBIT_IO_JSON_READER_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/utf8.hpp>

namespace nbit {

/// What a JSON text may be. A value takes about 100 bytes, so the default is some 400 MB at worst.
struct json_limits {
  std::uint64_t bytes = std::uint64_t{1} << 27;
  std::uint64_t values = std::uint64_t{1} << 22;
  int depth = 64;  // arrays and objects inside one another
};

inline namespace NBIT_TAG {
namespace detail {

class json_parser {
 public:
  json_parser(std::string_view text, json_limits limits) : text_(text), limits_(limits) {}

  result<json_value> document() {
    if (text_.size() > limits_.bytes)
      return make_error(errc::overflow, "JSON text is too long", "the limit given")
          .at(std::uint64_t{0})
          .with(static_cast<std::int64_t>(text_.size()));
    json_value made;
    if (result<void> done = value(made, 0); !done) return done.error();
    space();
    if (at_ != text_.size()) return unexpected("JSON goes on after its value", "the end of the text");
    return made;
  }

 private:
  /// Moves over a value into `to`.
  result<void> value(json_value& to, int depth) {
    space();
    if (++values_ > limits_.values) return bad(errc::overflow, "JSON text has too many values", "the limit given");
    const std::size_t first = at_;
    result<void> done;
    switch (peek()) {
      case '{': done = object(to, depth); break;
      case '[': done = array(to, depth); break;
      case '"': {
        std::string text;
        done = string(text);
        to = json_value::string(text);
        break;
      }
      case 't': done = word("true", to, json_value::boolean(true)); break;
      case 'f': done = word("false", to, json_value::boolean(false)); break;
      case 'n': done = word("null", to, json_value()); break;
      default: done = number(to); break;
    }
    to.set_offset(first);
    return done;
  }

  result<void> object(json_value& to, int depth) {
    if (depth == limits_.depth) return bad(errc::overflow, "JSON is nested too deep", "the limit given");
    ++at_;
    to = json_value::object();
    std::vector<std::size_t> places;
    space();
    if (peek() == '}') return ++at_, result<void>();
    for (;;) {
      space();
      if (peek() != '"') return unexpected("a JSON object's member has no name", "a string");
      places.push_back(at_);
      std::string name;
      if (result<void> done = string(name); !done) return done;
      space();
      if (peek() != ':') return unexpected("a JSON member's name is not followed by a colon", ":");
      ++at_;
      if (result<void> done = value(to.add(name, json_value()), depth + 1); !done) return done;
      space();
      const char c = peek();
      if (c != ',' && c != '}') return unexpected("a JSON object does not go on", ", or }");
      ++at_;
      if (c == '}') return unique(to, places);
    }
  }

  /// Refuses a name that an object has twice: readers disagree about which one counts.
  result<void> unique(const json_value& of, const std::vector<std::size_t>& places) {
    std::vector<std::size_t> order(places.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto names = of.names();
    detail::sort(order.data(), order.size(), [names](std::size_t a, std::size_t b) {
      const int c = names[a].compare(names[b]);
      return c != 0 ? c < 0 : a < b;
    });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (names[order[i]] == names[order[i - 1]])
        return make_error(errc::duplicate, "a JSON object has a name twice", "each name once")
            .at(std::uint64_t{places[order[i]]})
            .about(names[order[i]]);
    return {};
  }

  result<void> array(json_value& to, int depth) {
    if (depth == limits_.depth) return bad(errc::overflow, "JSON is nested too deep", "the limit given");
    ++at_;
    to = json_value::array();
    space();
    if (peek() == ']') return ++at_, result<void>();
    for (;;) {
      if (result<void> done = value(to.push(json_value()), depth + 1); !done) return done;
      space();
      const char c = peek();
      if (c != ',' && c != ']') return unexpected("a JSON array does not go on", ", or ]");
      ++at_;
      if (c == ']') return {};
    }
  }

  result<void> word(std::string_view letters, json_value& to, json_value meant) {
    if (text_.substr(at_, letters.size()) != letters) return unexpected("this is no JSON value", "true, false or null");
    at_ += letters.size();
    to = std::move(meant);
    return {};
  }

  /// -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
  result<void> number(json_value& to) {
    const std::size_t first = at_;
    if (peek() == '-') ++at_;
    if (peek() == '0')
      ++at_;
    else if (!digits())
      return unexpected("this is no JSON value", "a value");
    if (peek() == '.') {
      ++at_;
      if (!digits()) return unexpected("a JSON number has no digit after its point", "a digit");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return unexpected("a JSON number has no digit in its exponent", "a digit");
    }
    to = json_value::number_text(text_.substr(first, at_ - first));
    return {};
  }

  bool digits() {
    const std::size_t first = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ != first;
  }

  result<void> string(std::string& to) {
    ++at_;
    for (;;) {
      if (at_ == text_.size()) return unexpected("a JSON string does not end", "\"");
      const char c = text_[at_];
      if (c == '"') return ++at_, result<void>();
      if (c == '\\') {
        if (result<void> done = escape(to); !done) return done;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20)
        return unexpected("a JSON string holds a control character", "an escape such as \\n");
      const std::size_t n = utf8_length(text_.substr(at_));
      if (n == 0) return unexpected("JSON text is not UTF-8", "UTF-8");
      to.append(text_, at_, n);
      at_ += n;
    }
  }

  result<void> escape(std::string& to) {
    static constexpr std::string_view letters = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    ++at_;
    if (const std::size_t i = letters.find(peek()); at_ != text_.size() && i != std::string_view::npos) {
      to += meant[i];
      ++at_;
      return {};
    }
    if (peek() != 'u') return unexpected("a JSON escape is unknown", "one of \" \\ / b f n r t u");
    ++at_;
    std::uint32_t code = 0;
    if (!hex4(code)) return unexpected("a JSON escape is not four hexadecimal digits", "\\u0000 to \\uffff");
    if (code >= 0xdc00 && code < 0xe000) return unexpected("a JSON string has half a surrogate pair", "both halves");
    if (code >= 0xd800 && code < 0xdc00) {
      std::uint32_t low = 0;
      if (text_.substr(at_, 2) != "\\u") return unexpected("a JSON string has half a surrogate pair", "both halves");
      at_ += 2;
      if (!hex4(low) || low < 0xdc00 || low >= 0xe000)
        return unexpected("a JSON string has half a surrogate pair", "both halves");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    utf8_append(to, code);
    return {};
  }

  bool hex4(std::uint32_t& code) {
    if (text_.size() - at_ < 4) return false;
    code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[at_++];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return false;
      code = code << 4 | static_cast<std::uint32_t>(digit);
    }
    return true;
  }

  void space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }

  /// The next character; NUL at the end, which no rule of the grammar accepts.
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  [[nodiscard]] error bad(errc code, const char* what, const char* allowed) const {
    return make_error(code, what, allowed).at(std::uint64_t{at_});
  }
  [[nodiscard]] error unexpected(const char* what, const char* allowed) const {
    if (at_ >= text_.size()) return bad(errc::truncated, what, allowed);
    return bad(errc::malformed, what, allowed).with(static_cast<unsigned char>(text_[at_]));
  }

  std::string_view text_;
  json_limits limits_;
  std::size_t at_ = 0;
  std::uint64_t values_ = 0;
};

}  // namespace detail

/// The value that the text says.
/// Errors: truncated, malformed (found = the byte there), duplicate, overflow (a limit); each with the byte offset.
[[nodiscard]] inline result<json_value> json_parse(std::string_view text, json_limits limits = {}) {
  return detail::json_parser(text, limits).document();
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
