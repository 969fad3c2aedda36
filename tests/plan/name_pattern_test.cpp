// tests/plan/name_pattern_test.cpp — patterns for names: what they match, what is refused, and that nothing is slow.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/plan/name_pattern.hpp>

#include "support/random.hpp"

namespace {

bool matches(std::string_view pattern, std::string_view name) {
  const auto p = nbit::name_pattern::parse(pattern);
  if (!p) FAIL(pattern << ": " << p.error().what);
  return p->matches(name);
}

}  // namespace

TEST_CASE("patterns match anywhere in a name, as written on the first page of the header") {
  CHECK(matches("ffn_down", "blk.3.ffn_down.weight"));
  CHECK_FALSE(matches("ffn_down", "blk.3.ffn_up.weight"));
  CHECK(matches("^blk\\.(0|1[0-9])\\.", "blk.17.attn_q.weight"));
  CHECK_FALSE(matches("^blk\\.(0|1[0-9])\\.", "blk.27.attn_q.weight"));
  CHECK(matches("", "anything"));
  CHECK(matches("^$", ""));
  CHECK_FALSE(matches("^$", "a"));
  CHECK(matches("a|b|", ""));
  CHECK(matches("[^a-z.]", "abc.7"));
  CHECK_FALSE(matches("[^a-z.]", "abc."));
  CHECK(matches("[]]", "]"));
  CHECK(matches("[a-]", "-"));
  CHECK(matches("\\w+\\.\\d$", "blk.3"));
  CHECK(matches("(ab)*c", "ababc"));
  CHECK(matches("x?y+z*", "y"));
  CHECK(matches("((a*)*)*b", "b"));
  CHECK(matches("a.c", std::string_view("a\0c", 3)));
}

TEST_CASE("patterns that say nothing clear are refused at the byte") {
  for (const char* bad :
       {"(", ")", "a)", "(a", "[a", "[", "*", "+a", "a|*", "a**", "a{2}", "a}", "\\", "\\n", "[b-a]", "[\\", "a+?"}) {
    INFO(bad);
    const auto p = nbit::name_pattern::parse(bad);
    CHECK_FALSE(p);
    if (!p) CHECK(p.error().offset <= std::string_view(bad).size());
  }
  CHECK_FALSE(nbit::name_pattern::parse(std::string(33, '(') + std::string(33, ')')));
  CHECK(nbit::name_pattern::parse(std::string(32, '(') + std::string(32, ')')));
  CHECK_FALSE(nbit::name_pattern::parse(std::string(1025, 'a')));
}

TEST_CASE("random patterns agree with a matcher that tries everything") {
  // An atom takes one of these texts; a mark says how often.
  struct atom {
    const char* pattern;
    std::vector<std::string> texts;
  };
  const atom atoms[] = {{"a", {"a"}},         {".", {"a", "b", "1"}},  {"[ab]", {"a", "b"}},
                        {"[^a]", {"b", "1"}}, {"(a|b1)", {"a", "b1"}}, {"(ab)", {"ab"}},
                        {"\\d", {"1"}}};
  struct piece {
    const atom* what;
    char mark;
  };
  struct matcher {
    const std::vector<piece>& pieces;
    const std::string& name;
    bool to_end;
    bool from(std::size_t at, std::size_t i) const {
      if (i == pieces.size()) return !to_end || at == name.size();
      const piece& p = pieces[i];
      if ((p.mark == '*' || p.mark == '?') && from(at, i + 1)) return true;
      for (const std::string& t : p.what->texts)
        if (name.compare(at, t.size(), t) == 0 &&
            (from(at + t.size(), i + 1) || ((p.mark == '*' || p.mark == '+') && again(at + t.size(), i))))
          return true;
      return false;
    }
    // One or more of piece i, then the rest.
    bool again(std::size_t at, std::size_t i) const {
      for (const std::string& t : pieces[i].what->texts)
        if (name.compare(at, t.size(), t) == 0 && (from(at + t.size(), i + 1) || again(at + t.size(), i))) return true;
      return false;
    }
  };
  nbit_test::random r(11);
  int agreed = 0, found = 0;
  for (int i = 0; i < 400; ++i) {
    std::vector<piece> pieces;
    const bool begin = r.below(3) == 0, end = r.below(3) == 0;
    std::string text = begin ? "^" : "";
    for (std::uint64_t n = r.below(5); n > 0; --n) {
      pieces.push_back({&atoms[r.below(7)], "   *+?"[r.below(6)]});
      text += pieces.back().what->pattern;
      if (pieces.back().mark != ' ') text += pieces.back().mark;
    }
    if (end) text += '$';
    for (int k = 0; k < 10; ++k) {
      std::string name;
      for (std::uint64_t n = r.below(8); n > 0; --n) name += "ab1"[r.below(3)];
      const matcher all{pieces, name, end};
      bool wanted = false;
      for (std::size_t at = 0; at <= (begin ? 0 : name.size()); ++at) wanted = wanted || all.from(at, 0);
      if (matches(text, name) != wanted) FAIL(text << " on " << name);
      ++agreed, found += wanted ? 1 : 0;
    }
  }
  CHECK(agreed == 4000);
  CHECK(found > 500);
  CHECK(found < 3500);
}

TEST_CASE("a pattern that makes backtracking explode takes no time here") {
  std::string pattern, name(3000, 'a');
  for (int i = 0; i < 100; ++i) pattern += "(a*)*";
  CHECK_FALSE(matches(pattern + "b$", name));
}
