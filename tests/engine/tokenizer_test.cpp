// tests/engine/tokenizer_test.cpp — text to ids and back with the bundled vocabulary.
// SPDX-License-Identifier: MIT
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <engine/load_safetensors.hpp>
#include <engine/tokenizer.hpp>
#include <nbit/io/json.hpp>

#include "reference.hpp"

namespace {

const engine::tokenizer& words() {
  static const auto made = [] {
    const auto json = engine::load_json(engine_test::bundled("tokenizer.json"));
    REQUIRE(json);
    return engine::tokenizer::from_json(*json);
  }();
  REQUIRE(made);
  return *made;
}

}  // namespace

TEST_CASE("Encoding the text of every bundled window gives the window's ids again") {
  for (const char* const name : {"dev_ids.safetensors", "calib_ids.safetensors"}) {
    const auto text = engine_test::bundled_windows(name, 128);
    for (std::size_t w = 0; w < text.count; ++w) {
      const auto ids = words().encode(words().decode(text[w]));
      REQUIRE(ids);
      CHECK(*ids == std::vector<std::int32_t>(text[w].begin(), text[w].end()));
    }
  }
}

TEST_CASE("Any bytes survive encoding and decoding") {
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(static_cast<unsigned char>(i));
  for (const std::string& text :
       {std::string(), std::string(" "), std::string("\n\n  two  spaces \t"), std::string("it's we'll o'clock"),
        std::string("caf\xc3\xa9 \xe2\x80\x9cquoted\xe2\x80\x9d \xe2\x80\x94 1,234.5"), every}) {
    const auto ids = words().encode(text);
    REQUIRE(ids);
    CHECK(words().decode(*ids) == text);
  }
  CHECK(words().decode(1).empty());  // <s> is no text
  CHECK(words().decode(-1).empty());
  CHECK(words().decode(1 << 20).empty());
}

TEST_CASE("Words are cut before the space that belongs to them") {
  const auto cut = [](std::string_view text) {
    std::vector<std::string> all;
    for (const auto w : engine::words_of(text)) all.emplace_back(w);
    return all;
  };
  CHECK(cut("it's 42,  no") == std::vector<std::string>{"it", "'s", " 42", ",", " ", " no"});
  CHECK(cut("a\n b") == std::vector<std::string>{"a", "\n", " b"});
  CHECK(cut("end  ") == std::vector<std::string>{"end", "  "});
  CHECK(cut("na\xc3\xafve\xe2\x80\x94yes") == std::vector<std::string>{"na\xc3\xafve", "\xe2\x80\x94", "yes"});
}

TEST_CASE("A tokenizer of another kind or with broken ids is refused") {
  const auto refused = [](std::string_view text) {
    const auto json = nbit::json_parse(text);
    REQUIRE(json);
    const auto made = engine::tokenizer::from_json(*json);
    REQUIRE_FALSE(made);
    return made.error().code;
  };
  CHECK(refused(R"({})") == nbit::errc::unsupported);
  CHECK(refused(R"({"model": {"type": "Unigram", "vocab": {}, "merges": []}})") == nbit::errc::unsupported);
  CHECK(refused(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})") == nbit::errc::malformed);
  CHECK(refused(R"({"model": {"type": "BPE", "vocab": {"a": 1}, "merges": []}})") == nbit::errc::malformed);
  CHECK(refused(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["ab"]}})") == nbit::errc::malformed);
}
