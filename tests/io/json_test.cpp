// tests/io/json_test.cpp — JSON: what is accepted, what is refused and where, and that a round trip keeps everything.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/json.hpp>

using namespace std::string_view_literals;

TEST_CASE("JSON keeps the order of members, unknown ones and the digits of numbers") {
  constexpr std::string_view text =
      R"({"z":1,"a":[true,false,null,{}],"big":18446744073709551615,"pi":3.14159265358979323846,"e":1E+2,"s":"x"})";
  const auto v = nbit::json_parse(text);
  REQUIRE(v);
  CHECK(nbit::json_text(*v) == text);
  CHECK(v->names()[0] == "z");
  CHECK(*v->get<std::uint64_t>("big") == ~std::uint64_t{0});
  CHECK(v->get<std::int64_t>("big").error().code == nbit::errc::overflow);
  CHECK(*v->get<double>("pi") == 3.14159265358979323846);
  CHECK(*v->get<double>("e") == 100.0);
  CHECK(v->get<int>("e").error().code == nbit::errc::malformed);
  CHECK(v->get<int>("s").error().code == nbit::errc::malformed);
  CHECK(std::string(v->get<int>("s").error().subject) == "s");
  CHECK(v->get<int>("none").error().code == nbit::errc::missing);
  CHECK(v->find("a")->size() == 4);
  CHECK(*v->find("a")->items()[0].get<bool>());
  CHECK(v->find("pi")->offset() == text.find("3.14"));
}

TEST_CASE("strings are decoded: escapes, surrogate pairs, raw UTF-8") {
  const auto s = [](std::string_view text) {
    const auto v = nbit::json_parse(text);
    return v ? std::string(v->text()) : std::string("error");
  };
  CHECK(s(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(s(R"("\u0041\u00e9\u2603\ud83e\udd99")") == "A\xc3\xa9\xe2\x98\x83\xf0\x9f\xa6\x99");
  CHECK(s("\"\xf0\x9f\xa6\x99\"") == "\xf0\x9f\xa6\x99");
  CHECK(s(R"("a\u0000b")") == "a\0b"sv);
}

TEST_CASE("what is not JSON is refused at the right byte") {
  struct bad {
    std::string_view text;
    std::uint64_t offset;
  };
  const std::vector<bad> all = {{""sv, 0},
                                {" "sv, 1},
                                {"{"sv, 1},
                                {"["sv, 1},
                                {"\""sv, 1},
                                {"tru"sv, 0},
                                {"nul"sv, 0},
                                {"True"sv, 0},
                                {"NaN"sv, 0},
                                {"Infinity"sv, 0},
                                {"-"sv, 1},
                                {"+1"sv, 0},
                                {"01"sv, 1},
                                {"1."sv, 2},
                                {".5"sv, 0},
                                {"1e"sv, 2},
                                {"1e+"sv, 3},
                                {"0x10"sv, 1},
                                {"-Infinity"sv, 1},
                                {"1 2"sv, 2},
                                {"[1,]"sv, 3},
                                {"[1 2]"sv, 3},
                                {"[,1]"sv, 1},
                                {"{\"a\":1,}"sv, 7},
                                {"{\"a\" 1}"sv, 5},
                                {"{a:1}"sv, 1},
                                {"{\"a\":}"sv, 5},
                                {"{1:2}"sv, 1},
                                {"'a'"sv, 0},
                                {"\"\n\""sv, 1},
                                {"\"\x01\""sv, 1},
                                {"\"\0\""sv, 1},
                                {"\"\\x\""sv, 2},
                                {"\"\\u12g4\""sv, 6},
                                {"\"\\u12"sv, 3},
                                {"\"\\ud800\""sv, 7},
                                {"\"\\ud800\\u0041\""sv, 13},
                                {"\"\\udc00\""sv, 7},
                                {"\"\\"sv, 2},
                                {"\"\xff\""sv, 1},
                                {"\"\xc0\x80\""sv, 1},
                                {"\"\xe0\x80\x80\""sv, 1},
                                {"\"\xed\xa0\x80\""sv, 1},
                                {"\"\xf4\x90\x80\x80\""sv, 1},
                                {"\"\xf8\x88\x80\x80\x80\""sv, 1},
                                {"\"\xe2\x98\""sv, 1},
                                {"\xef\xbb\xbf{}"sv, 0},
                                {"{}\0"sv, 2},
                                {"{} x"sv, 3},
                                {"// c\n1"sv, 0},
                                {"{\"a\":1,\"b\":2,\"a\":3}"sv, 13},
                                {"]"sv, 0},
                                {"}"sv, 0}};
  for (const bad& b : all) {
    INFO(b.text);
    const auto v = nbit::json_parse(b.text);
    REQUIRE_FALSE(v);
    CHECK(v.error().offset == b.offset);
    CHECK(*v.error().what != '\0');
  }
  WARN("refused " << all.size() << " texts");
  CHECK(nbit::json_parse("{\"a\":1,\"a\":1}").error().code == nbit::errc::duplicate);
  CHECK(nbit::json_parse("{\"a\":{\"a\":1}}"));
  CHECK(nbit::json_parse("{\"\\u0061\":1,\"a\":1}").error().code == nbit::errc::duplicate);
}

TEST_CASE("depth, size and number of values are bounded") {
  std::string deep(100000, '[');
  CHECK(nbit::json_parse(deep).error().code == nbit::errc::overflow);
  CHECK(nbit::json_parse(deep).error().offset == 64);
  const std::string legal = std::string(64, '[') + std::string(64, ']');
  CHECK(nbit::json_parse(legal));
  CHECK_FALSE(nbit::json_parse("[" + legal + "]"));
  CHECK(nbit::json_parse("[1,2,3]", {.values = 4}));
  CHECK(nbit::json_parse("[1,2,3]", {.values = 3}).error().code == nbit::errc::overflow);
  CHECK(nbit::json_parse("[1,2,3]", {.bytes = 6}).error().code == nbit::errc::overflow);
}

TEST_CASE("values made here are written as every reader understands them") {
  auto v = nbit::json_value::object();
  v.set("bits", nbit::json_value::number(4));
  v.set("damp", nbit::json_value::number(0.1));
  v.set("f", nbit::json_value::number(0.1f));
  v.set("min", nbit::json_value::number(std::int64_t{-9223372036854775807 - 1}));
  v.set("nan", nbit::json_value::number(std::numeric_limits<double>::quiet_NaN()));
  v.set("inf", nbit::json_value::number(std::numeric_limits<float>::infinity()));
  v.set("text", nbit::json_value::string("q\"\\\n\x01\xff\xc3\xa9"));
  auto list = nbit::json_value::array();
  list.push(nbit::json_value::boolean(true));
  v.set("list", std::move(list));
  v.set("none", nbit::json_value::array());
  CHECK(nbit::json_text(v) ==
        "{\"bits\":4,\"damp\":0.1,\"f\":0.1,\"min\":-9223372036854775808,\"nan\":null,\"inf\":null,"
        "\"text\":\"q\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\"list\":[true],\"none\":[]}");
  CHECK(nbit::json_parse(nbit::json_text(v)));
  v.set("bits", nbit::json_value::number(3));
  CHECK(v.names()[0] == "bits");
  for (const char* gone : {"damp", "f", "min", "nan", "inf", "text", "none"}) CHECK(v.erase(gone));
  CHECK_FALSE(v.erase("damp"));
  CHECK(nbit::json_text(v, 2) == "{\n  \"bits\": 3,\n  \"list\": [\n    true\n  ]\n}");
}
