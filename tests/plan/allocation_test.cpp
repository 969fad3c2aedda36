// tests/plan/allocation_test.cpp — allocations against every possible choice, the bound, floors and errors.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <nbit/plan/allocation.hpp>
#include <nbit/plan/measurement.hpp>

#include "support/random.hpp"

namespace {
std::vector<nbit::allocation_item> random_items(nbit_test::random& rng, std::size_t count, std::size_t choices) {
  std::vector<nbit::allocation_item> items(count);
  for (std::size_t i = 0; i < count; ++i) {
    items[i].tensors = {"t" + std::to_string(i)};
    items[i].role = i % 2 == 0 ? "even" : "odd";
    items[i].weights = 256 * (1 + rng.below(8));
    const double sensitivity = 0.01 + double(rng.below(1000)) / 100.0;
    for (std::size_t k = 0; k < choices; ++k) {
      const std::uint64_t bits = 2 + k;
      const double noise = 0.5 + double(rng.below(1000)) / 1000.0;
      items[i].choices.push_back({"b" + std::to_string(bits), items[i].weights * bits / 8 + rng.below(30),
                                  sensitivity * noise / double(std::uint64_t{1} << (2 * bits))});
    }
  }
  return items;
}

double best_of_all(const std::vector<nbit::allocation_item>& items, std::uint64_t budget, std::size_t i = 0,
                   std::uint64_t bytes = 0, double loss = 0) {
  if (bytes > budget) return 1e300;
  if (i == items.size()) return loss;
  double best = 1e300;
  for (const auto& c : items[i].choices)
    best = std::min(best, best_of_all(items, budget, i + 1, bytes + c.bytes, loss + c.loss));
  return best;
}
}  // namespace

TEST_CASE("an allocation loses no more than the best of all choices that fit") {
  nbit_test::random rng(1);
  for (int round = 0; round < 60; ++round) {
    const auto items = random_items(rng, 6, 4);
    std::uint64_t least = 0, most = 0;
    for (const auto& item : items) {
      std::uint64_t low = UINT64_MAX, high = 0;
      for (const auto& c : item.choices) low = std::min(low, c.bytes), high = std::max(high, c.bytes);
      least += low, most += high;
    }
    for (int part = 0; part <= 4; ++part) {
      const std::uint64_t budget = least + (most - least) * std::uint64_t(part) / 4;
      const auto a = nbit::allocate(items, {.bytes = budget});
      REQUIRE(a);
      CHECK(a->bytes <= budget);
      const double best = best_of_all(items, budget);
      CHECK(a->loss <= best * (1 + 1e-9));
      CHECK(a->lower_bound <= best * (1 + 1e-9));
    }
  }
}

TEST_CASE("hundreds of tensors come close to the bound") {
  nbit_test::random rng(2);
  const auto items = random_items(rng, 300, 6);
  const auto a = nbit::allocate(items, {.bits_per_weight = 4.3});
  REQUIRE(a);
  std::uint64_t weights = 0;
  for (const auto& item : items) weights += item.weights;
  CHECK(8.0 * double(a->bytes) <= 4.3 * double(weights));
  CHECK(a->loss <= a->lower_bound * 1.002);
}

TEST_CASE("floors forbid formats; what cannot be is an error with the bytes it would take") {
  nbit_test::random rng(3);
  const auto items = random_items(rng, 8, 4);
  const nbit::allocation_floor floors[] = {{"even", 4.0}};
  const auto a = nbit::allocate(items, {.bits_per_weight = 4.2, .floors = floors});
  REQUIRE(a);
  for (std::size_t i = 0; i < items.size(); i += 2)
    CHECK(8.0 * double(items[i].choices[a->choice[i]].bytes) >= 4.0 * double(items[i].weights));
  const auto none = nbit::allocate(items, {.bytes = 10});
  REQUIRE_FALSE(none);
  CHECK(none.error().code == nbit::errc::invalid_option);
  CHECK(nbit::allocate(items, {.bytes = std::uint64_t(none.error().found)}));
  const nbit::allocation_floor high[] = {{"odd", 40.0}};
  CHECK_FALSE(nbit::allocate(items, {.bits_per_weight = 4.2, .floors = high}));
  auto broken = items;
  broken[0].choices[1].loss = -1;
  CHECK_FALSE(nbit::allocate(broken, {.bits_per_weight = 4.2}));
  CHECK(nbit::allocate({}, {.bytes = 0}));
}

TEST_CASE("a measurement is read back as it was written and gives the same choice; damage is an error") {
  nbit_test::random rng(4);
  const auto items = random_items(rng, 5, 3);
  const std::string text = nbit::measurement_text(items);
  const auto again = nbit::parse_measurement(text);
  REQUIRE(again);
  CHECK(nbit::measurement_text(*again) == text);
  const auto a = nbit::allocate(items, {.bits_per_weight = 3.3}), b = nbit::allocate(*again, {.bits_per_weight = 3.3});
  REQUIRE(a);
  REQUIRE(b);
  CHECK(a->choice == b->choice);
  CHECK_FALSE(nbit::parse_measurement("{}"));
  CHECK_FALSE(nbit::parse_measurement("{\"format\": \"other\", \"version\": 1, \"items\": []}"));
  for (const std::string_view word : {"version", "items", "tensors", "role", "weights", "choices", "bytes", "loss"}) {
    std::string damaged = text;
    damaged.replace(damaged.find("\"" + std::string(word) + "\"") + 1, 1, "_");
    CHECK_FALSE(nbit::parse_measurement(damaged));
  }
}
