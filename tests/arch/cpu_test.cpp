// tests/arch/cpu_test.cpp — which instruction sets run here, and that dispatch reaches one of them.
// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/arch/cpu.hpp>

TEST_CASE("the definition always runs, and dispatch picks something that runs here") {
  REQUIRE(nbit::arch::runnable(nbit::arch::scalar{}));
  const bool fine = nbit::arch::dispatch([](auto tag) { return nbit::arch::runnable(tag); });
  REQUIRE(fine);
}

TEST_CASE("every runnable tag is visited once, from the definition up") {
  std::vector<std::string> names;
  nbit::arch::for_each_runnable([&](auto tag) { names.emplace_back(decltype(tag)::name); });
  std::string all;
  for (const auto& name : names) all += name + " ";
  WARN("instruction sets tested on this machine: " << all << "; selected: " << nbit::arch::selected_name());
  REQUIRE(names.front() == "scalar");
  for (std::size_t i = 1; i < names.size(); ++i) REQUIRE(names[i] != names[i - 1]);
}
