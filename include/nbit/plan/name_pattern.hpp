// nbit/plan/name_pattern.hpp — patterns for tensor names: a small part of regular expressions, matched in linear time.
//
//   abc   these bytes          .      any byte             [a-z_]  one of these      [^0-9]  none of these
//   a|b   either               (a)    a group              \d \w   a digit; a letter, digit or _
//   a* a+ a?   any number, one or more, at most one        ^ $     begin and end of the name      \.  a plain dot
// A pattern matches a name that holds a match anywhere, as std::regex_search does. Counted repetition {m,n}, lazy marks
// and back references are refused. All states are followed side by side (Thompson), so no name and no pattern takes
// more than their product in steps.   Ref: K. Thompson, Regular expression search algorithm, CACM 11 (1968).
// SPDX-License-Identifier: MIT
#ifndef NBIT_PLAN_NAME_PATTERN_HPP
#define NBIT_PLAN_NAME_PATTERN_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>

namespace nbit {

inline namespace NBIT_TAG {

/// A compiled pattern.
class name_pattern {
 public:
  static constexpr std::size_t longest = 1024;  // bytes
  static constexpr int deepest = 32;            // groups in groups

  /// Reads a pattern.  Errors: malformed, unsupported, overflow; at the byte of the pattern.
  [[nodiscard]] static result<name_pattern> parse(std::string_view text) {
    if (text.size() > longest)
      return make_error(errc::overflow, "a pattern is too long", "at most 1024 bytes")
          .with(static_cast<std::int64_t>(text.size()));
    parser p{text};
    name_pattern made;
    if (!p.alternatives(made.code_, 0)) return p.failed.about(text);
    if (p.at != text.size())
      return p.bad(errc::malformed, "a pattern closes a group that it did not open", "").about(text);
    made.code_.push_back({step::accept});
    return made;
  }

  /// Whether the name holds a match.  Cost: length of the name times length of the pattern.
  [[nodiscard]] bool matches(std::string_view name) const {
    std::vector<std::size_t> now, next, stack;
    std::vector<std::size_t> seen(code_.size(), ~std::size_t{0});  // at which place a state was added last
    for (std::size_t at = 0;; ++at) {
      // A match may begin here: what is already under way comes first, though nobody sees the difference.
      if (follow(0, at, name.size(), now, stack, seen)) return true;
      if (at == name.size()) return false;
      const auto byte = static_cast<unsigned char>(name[at]);
      next.clear();
      for (const std::size_t s : now)
        if (code_[s].takes(byte) && follow(s + 1, at + 1, name.size(), next, stack, seen)) return true;
      now.swap(next);
    }
  }

 private:
  struct step {
    enum kind : std::uint8_t { bytes, fork, jump, begin, end, accept };
    kind what = accept;
    std::ptrdiff_t first = 0, second = 0;  // where to go on, from here
    std::array<std::uint64_t, 4> set{};    // of bytes

    [[nodiscard]] bool takes(unsigned char c) const noexcept {
      return what == bytes && ((set[c / 64] >> (c % 64)) & 1) != 0;
    }
    void add(unsigned first_byte, unsigned last_byte) noexcept {
      for (unsigned c = first_byte; c <= last_byte; ++c) set[c / 64] |= std::uint64_t{1} << (c % 64);
    }
  };
  using code = std::vector<step>;

  /// Adds a state and all that it leads to without a byte; true if that is the end of the pattern.
  bool follow(std::size_t from, std::size_t at, std::size_t size, std::vector<std::size_t>& to,
              std::vector<std::size_t>& stack, std::vector<std::size_t>& seen) const {
    stack.assign(1, from);
    while (!stack.empty()) {
      const std::size_t s = stack.back();
      stack.pop_back();
      if (seen[s] == at) continue;
      seen[s] = at;
      const auto go = [&stack, s](std::ptrdiff_t by) {
        stack.push_back(static_cast<std::size_t>(static_cast<std::ptrdiff_t>(s) + by));
      };
      switch (code_[s].what) {
        case step::accept: return true;
        case step::bytes: to.push_back(s); break;
        case step::jump: go(code_[s].first); break;
        case step::fork: go(code_[s].second), go(code_[s].first); break;
        case step::begin:
          if (at == 0) go(1);
          break;
        case step::end:
          if (at == size) go(1);
          break;
      }
    }
    return false;
  }

  struct parser {
    std::string_view text;
    std::size_t at = 0;
    error failed{};

    error bad(errc code, const char* what, const char* allowed) const {
      return make_error(code, what, allowed).at(std::uint64_t{at});
    }
    bool fail(errc code, const char* what, const char* allowed = "") {
      failed = bad(code, what, allowed);
      return false;
    }
    [[nodiscard]] bool more() const noexcept { return at < text.size(); }

    static void append(name_pattern::code& to, const name_pattern::code& piece) {
      for (const step& s : piece) to.push_back(s);
    }
    static step to_steps(step::kind what, std::ptrdiff_t first, std::ptrdiff_t second) {
      step s;
      s.what = what, s.first = first, s.second = second;
      return s;
    }

    bool alternatives(name_pattern::code& to, int depth) {
      if (!sequence(to, depth)) return false;
      while (more() && text[at] == '|') {
        ++at;
        name_pattern::code other;
        if (!sequence(other, depth)) return false;
        const auto n = static_cast<std::ptrdiff_t>(to.size()), m = static_cast<std::ptrdiff_t>(other.size());
        to.insert(to.begin(), to_steps(step::fork, 1, n + 2));
        to.push_back(to_steps(step::jump, m + 1, 0));
        append(to, other);
      }
      return true;
    }

    bool sequence(name_pattern::code& to, int depth) {
      while (more() && text[at] != '|' && text[at] != ')') {
        name_pattern::code piece;
        if (!atom(piece, depth)) return false;
        if (more() && (text[at] == '*' || text[at] == '+' || text[at] == '?')) {
          const char c = text[at++];
          const auto n = static_cast<std::ptrdiff_t>(piece.size());
          if (c == '+') {
            piece.push_back(to_steps(step::fork, -n, 1));
          } else {
            piece.insert(piece.begin(), to_steps(step::fork, 1, c == '*' ? n + 2 : n + 1));
            if (c == '*') piece.push_back(to_steps(step::jump, -n - 1, 0));
          }
          if (more() && (text[at] == '*' || text[at] == '+' || text[at] == '?'))
            return fail(errc::unsupported, "a repetition is repeated in a pattern", "one of * + ?");
        }
        append(to, piece);
      }
      return true;
    }

    bool atom(name_pattern::code& to, int depth) {
      step one;
      one.what = step::bytes;
      const char c = text[at++];
      switch (c) {
        case '(':
          if (depth == deepest) return fail(errc::unsupported, "groups of a pattern are nested too deep", "32 levels");
          if (!alternatives(to, depth + 1)) return false;
          if (!more()) return fail(errc::malformed, "a group of a pattern is not closed", ")");
          ++at;
          return true;
        case '[':
          if (!set(one)) return false;
          break;
        case '.': one.add(0, 255); break;
        case '^': one.what = step::begin; break;
        case '$': one.what = step::end; break;
        case '\\':
          if (!escape(one)) return false;
          break;
        case '*':
        case '+':
        case '?': --at; return fail(errc::malformed, "a pattern repeats nothing", "something before * + ?");
        case '{':
        case '}':
          --at;
          return fail(errc::unsupported, "a pattern has counted repetition", "* + ?; \\{ for the character");
        default: one.add(static_cast<unsigned char>(c), static_cast<unsigned char>(c));
      }
      to.push_back(one);
      return true;
    }

    bool escape(step& to) {
      if (!more()) return fail(errc::malformed, "a pattern ends after a backslash", "a character");
      const char c = text[at++];
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (c == 'd' || c == 'w') {
        to.add('0', '9');
        if (c == 'w') to.add('a', 'z'), to.add('A', 'Z'), to.add('_', '_');
      } else if (letter) {
        --at;
        return fail(errc::unsupported, "a pattern has an unknown escape", "\\d \\w, or a character that is no letter");
      } else {
        to.add(static_cast<unsigned char>(c), static_cast<unsigned char>(c));
      }
      return true;
    }

    bool set(step& to) {
      const bool none = more() && text[at] == '^';
      if (none) ++at;
      for (bool first = true; more() && (first || text[at] != ']'); first = false) {
        if (text[at] == '\\') {
          ++at;
          if (!escape(to)) return false;
          continue;
        }
        const auto low = static_cast<unsigned char>(text[at++]);
        unsigned char high = low;
        if (at + 1 < text.size() && text[at] == '-' && text[at + 1] != ']') {
          high = static_cast<unsigned char>(text[at + 1]);
          at += 2;
          if (high == '\\' || high < low)
            return fail(errc::malformed, "a range of a pattern runs backwards", "the lower end first");
        }
        to.add(low, high);
      }
      if (!more()) return fail(errc::malformed, "a set of a pattern is not closed", "]");
      ++at;
      if (none)
        for (std::uint64_t& word : to.set) word = ~word;
      return true;
    }
  };

  code code_;
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
