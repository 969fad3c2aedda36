// tests/support/json.hpp — reads JSON files that come with test data (expected.json, safetensors headers).
//
// Independent of the library, so that both can be wrong only separately. Strict: any error gives nothing at all.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_SUPPORT_JSON_HPP
#define NBIT_TESTS_SUPPORT_JSON_HPP

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nbit_test {

/// One JSON value. Access to something that is not there gives a null value, so that lookups can be chained.
class json {
 public:
  enum class kind { null, boolean, number, string, array, object };

  kind type = kind::null;
  bool truth = false;
  std::string text;                                   // of a string, or the digits of a number
  std::vector<json> items;                            // of an array
  std::vector<std::pair<std::string, json>> members;  // of an object, in file order

  // Defined after the class: clang 14 with libstdc++ 12 asks for them while std::pair<std::string, json> is half made.
  json();
  json(const json&);
  json(json&&) noexcept;
  json& operator=(const json&);
  json& operator=(json&&) noexcept;
  ~json();

  bool is_null() const { return type == kind::null; }
  bool is_string() const { return type == kind::string; }
  bool is_number() const { return type == kind::number; }
  double number() const { return std::strtod(text.c_str(), nullptr); }
  std::int64_t integer() const { return std::strtoll(text.c_str(), nullptr, 10); }
  std::uint64_t natural() const { return std::strtoull(text.c_str(), nullptr, 10); }
  std::size_t size() const { return type == kind::object ? members.size() : items.size(); }
  bool has(std::string_view key) const {
    for (const auto& m : members)
      if (m.first == key) return true;
    return false;
  }
  const json& operator[](std::string_view key) const {
    for (const auto& m : members)
      if (m.first == key) return m.second;
    return nothing();
  }
  const json& operator[](std::size_t i) const { return i < items.size() ? items[i] : nothing(); }

  static std::optional<json> parse(std::string_view source) {
    reader r{source, 0};
    json value;
    if (!r.value(value, 0)) return std::nullopt;
    r.space();
    if (r.at != source.size()) return std::nullopt;
    return value;
  }
  static std::optional<json> load(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return std::nullopt;
    const std::string source((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    return parse(source);
  }

 private:
  static const json& nothing() {
    static const json none;
    return none;
  }

  struct reader {
    std::string_view source;
    std::size_t at = 0;

    void space() {
      while (at < source.size() &&
             (source[at] == ' ' || source[at] == '\t' || source[at] == '\n' || source[at] == '\r'))
        ++at;
    }
    bool take(char c) {
      space();
      if (at >= source.size() || source[at] != c) return false;
      ++at;
      return true;
    }
    bool word(std::string_view w) {
      if (source.substr(at, w.size()) != w) return false;
      at += w.size();
      return true;
    }

    bool value(json& out, int depth) {
      space();
      if (at >= source.size() || depth > 100) return false;
      const char c = source[at];
      if (c == '{') return object(out, depth);
      if (c == '[') return array(out, depth);
      if (c == '"') {
        out.type = kind::string;
        return string(out.text);
      }
      if (c == 't' || c == 'f') {
        out.type = kind::boolean, out.truth = c == 't';
        return word(c == 't' ? "true" : "false");
      }
      if (c == 'n') return word("null");
      return digits(out);
    }
    bool object(json& out, int depth) {
      out.type = kind::object;
      take('{');
      if (take('}')) return true;
      do {
        space();
        std::pair<std::string, json> member;
        if (!string(member.first) || !take(':') || !value(member.second, depth + 1)) return false;
        out.members.push_back(std::move(member));
      } while (take(','));
      return take('}');
    }
    bool array(json& out, int depth) {
      out.type = kind::array;
      take('[');
      if (take(']')) return true;
      do {
        json item;
        if (!value(item, depth + 1)) return false;
        out.items.push_back(std::move(item));
      } while (take(','));
      return take(']');
    }
    // Numbers as JSON writes them, and the NaN and Infinity that Python's json writes.
    bool digits(json& out) {
      const std::size_t first = at;
      if (at < source.size() && source[at] == '-') ++at;
      if (!word("Infinity") && !(first == at && word("NaN"))) {
        const std::size_t start = at;
        while (at < source.size() && std::string_view("0123456789+-.eE").find(source[at]) != std::string_view::npos)
          ++at;
        if (at == start || source[start] < '0' || source[start] > '9') return false;
      }
      out.type = kind::number;
      out.text = std::string(source.substr(first, at - first));
      return true;
    }
    bool string(std::string& out) {
      if (at >= source.size() || source[at] != '"') return false;
      for (++at; at < source.size() && source[at] != '"'; ++at) {
        if (static_cast<unsigned char>(source[at]) < 0x20) return false;
        if (source[at] != '\\') {
          out += source[at];
          continue;
        }
        if (++at >= source.size()) return false;
        if (source[at] == 'u') {
          if (!unicode(out)) return false;
          continue;
        }
        const std::size_t which = std::string_view("\"\\/bfnrt").find(source[at]);
        if (which == std::string_view::npos) return false;
        out += "\"\\/\b\f\n\r\t"[which];
      }
      return at++ < source.size();
    }
    bool hex4(std::uint32_t& unit) {
      unit = 0;
      for (int i = 0; i < 4; ++i) {
        if (++at >= source.size()) return false;
        const std::size_t digit = std::string_view("0123456789abcdefABCDEF").find(source[at]);
        if (digit == std::string_view::npos) return false;
        unit = unit * 16 + static_cast<std::uint32_t>(digit < 16 ? digit : digit - 6);
      }
      return true;
    }
    bool unicode(std::string& out) {
      std::uint32_t code = 0;
      if (!hex4(code)) return false;
      if (code >= 0xD800 && code < 0xDC00) {
        std::uint32_t low = 0;
        ++at;
        if (!word("\\u")) return false;
        at -= 1;
        if (!hex4(low) || low < 0xDC00 || low > 0xDFFF) return false;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      const auto put = [&](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
      if (code < 0x80) {
        put(code);
      } else if (code < 0x800) {
        put(0xC0 | (code >> 6)), put(0x80 | (code & 63));
      } else if (code < 0x10000) {
        put(0xE0 | (code >> 12)), put(0x80 | ((code >> 6) & 63)), put(0x80 | (code & 63));
      } else {
        put(0xF0 | (code >> 18)), put(0x80 | ((code >> 12) & 63)), put(0x80 | ((code >> 6) & 63)),
            put(0x80 | (code & 63));
      }
      return true;
    }
  };
};

inline json::json() = default;
inline json::json(const json&) = default;
inline json::json(json&&) noexcept = default;
inline json& json::operator=(const json&) = default;
inline json& json::operator=(json&&) noexcept = default;
inline json::~json() = default;

}  // namespace nbit_test

#endif
