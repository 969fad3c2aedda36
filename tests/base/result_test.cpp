// tests/base/result_test.cpp — a result holds a value or an error; an error says what, where and what was found.
// SPDX-License-Identifier: MIT
#include <memory>
#include <string>
#include <string_view>

#include <catch2/catch_test_macros.hpp>

#include <nbit/base/result.hpp>

namespace {
nbit::result<int> half(int n) {
  if (n % 2 != 0) return nbit::make_error(nbit::errc::invalid_option, "number is odd", "even numbers").with(n);
  return n / 2;
}
}  // namespace

TEST_CASE("a result with a value gives it back") {
  const auto r = half(8);
  REQUIRE(r);
  REQUIRE(r.has_value());
  REQUIRE(*r == 4);
  REQUIRE(r.value() == 4);
  REQUIRE(r.value_or(7) == 4);
}

TEST_CASE("a result with an error names the value found and the values allowed") {
  const auto r = half(9);
  REQUIRE_FALSE(r);
  REQUIRE(r.value_or(7) == 7);
  REQUIRE(r.error().code == nbit::errc::invalid_option);
  REQUIRE(std::string_view(r.error().what) == "number is odd");
  REQUIRE(std::string_view(r.error().allowed) == "even numbers");
  REQUIRE(r.error().has_found);
  REQUIRE(r.error().found == 9);
  REQUIRE(r.error().offset == nbit::error::nowhere);
  REQUIRE(r.error().row == -1);
}

TEST_CASE("and_then calls on with a value and passes an error on") {
  auto eight = half(16).and_then(half);
  REQUIRE(eight);
  REQUIRE(*eight == 4);
  auto six = half(12);
  auto odd = six.and_then(half).and_then(half);
  REQUIRE_FALSE(odd);
  REQUIRE(odd.error().found == 3);
}

TEST_CASE("an error keeps its place and cuts a long subject to fit") {
  const std::string name(200, 'x');
  const nbit::error e = nbit::make_error(nbit::errc::malformed, "bad").about(name).at(1234u).at(5, 6);
  REQUIRE(e.offset == 1234u);
  REQUIRE(e.row == 5);
  REQUIRE(e.col == 6);
  REQUIRE(std::string_view(e.subject) == std::string(sizeof(e.subject) - 1, 'x'));
  REQUIRE(std::string_view(nbit::make_error(nbit::errc::io, "x").about("").subject).empty());
}

TEST_CASE("a result moves a value that cannot be copied") {
  nbit::result<std::unique_ptr<int>> r(std::make_unique<int>(3));
  REQUIRE(r);
  const std::unique_ptr<int> taken = *std::move(r);
  REQUIRE(*taken == 3);
}

TEST_CASE("a result of nothing is success unless it holds an error") {
  const nbit::result<void> good;
  const nbit::result<void> bad = nbit::make_error(nbit::errc::io, "disk is full");
  REQUIRE(good);
  REQUIRE_FALSE(bad);
  REQUIRE(bad.error().code == nbit::errc::io);
}

TEST_CASE("results work in constant expressions") {
  constexpr nbit::result<int> five(5);
  static_assert(five.has_value() && *five == 5);
  constexpr nbit::result<int> none(nbit::make_error(nbit::errc::missing, "no such thing"));
  static_assert(!none && none.error().code == nbit::errc::missing);
  SUCCEED();
}
