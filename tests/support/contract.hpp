// tests/support/contract.hpp — for tests that break a precondition on purpose.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_SUPPORT_CONTRACT_HPP
#define NBIT_TESTS_SUPPORT_CONTRACT_HPP

#include <atomic>
#include <string>

#include <nbit/base/contract.hpp>

namespace nbit_test {

/// Counts broken preconditions while it lives, instead of failing the test; the hook before it comes back afterwards.
///   nbit_test::broken_contracts broken;  call(bad);  REQUIRE(broken.count() == 1);
class broken_contracts {
 public:
  broken_contracts() {
    seen() = 0;
    text()[0] = '\0';
    before_ = nbit::set_contract_hook(&record);
  }
  ~broken_contracts() { nbit::set_contract_hook(before_); }
  broken_contracts(const broken_contracts&) = delete;
  broken_contracts& operator=(const broken_contracts&) = delete;

  int count() const { return seen().load(); }
  /// The sentence of the last one.
  std::string last() const { return text(); }

 private:
  static std::atomic<int>& seen() {
    static std::atomic<int> n{0};
    return n;
  }
  static char* text() {
    static char last[256] = "";
    return last;
  }
  static void record(const nbit::contract_violation& v) {
    ++seen();
    std::size_t n = 0;
    for (; v.expected[n] != '\0' && n < 255; ++n) text()[n] = v.expected[n];
    text()[n] = '\0';
  }
  nbit::contract_hook before_ = nullptr;
};

}  // namespace nbit_test

#endif
