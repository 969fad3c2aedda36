// tests/base/contract_test.cpp — a broken precondition tells the hook and returns without doing anything.
// SPDX-License-Identifier: MIT
#include <string_view>

#include <catch2/catch_test_macros.hpp>

#include <nbit/base/contract.hpp>

#include "support/contract.hpp"

namespace {
int done = 0;
void only_even(int n) {
  NBIT_EXPECTS(n % 2 == 0, "n is even");
  ++done;
}
int root_of_square(int n) {
  NBIT_EXPECTS(n >= 0, "n is not negative", -1);
  int r = 0;
  while (r * r < n) ++r;
  return r;
}
}  // namespace

TEST_CASE("a precondition that holds costs nothing and tells nobody") {
  nbit_test::broken_contracts broken;
  done = 0;
  only_even(4);
  REQUIRE(done == 1);
  REQUIRE(root_of_square(9) == 3);
  REQUIRE(broken.count() == 0);
}

TEST_CASE("a broken precondition returns before any work and names the sentence") {
  nbit_test::broken_contracts broken;
  done = 0;
  only_even(3);
  REQUIRE(done == 0);
  REQUIRE(broken.count() == 1);
  REQUIRE(broken.last() == "n is even");
  REQUIRE(root_of_square(-4) == -1);
  REQUIRE(broken.count() == 2);
  REQUIRE(broken.last() == "n is not negative");
}

TEST_CASE("without a hook a broken precondition still returns") {
  const nbit::contract_hook before = nbit::set_contract_hook(nullptr);
  done = 0;
  only_even(1);
  nbit::set_contract_hook(before);
  REQUIRE(done == 0);
}

// The guard of every other test: main.cpp installs a hook that fails the case. [!shouldfail] turns that round.
TEST_CASE("a test that breaks a precondition unawares fails", "[!shouldfail]") { only_even(5); }
