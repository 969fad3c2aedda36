// tests/parallel/threads_test.cpp — the pool runs every piece once, whatever the counts.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/parallel/executor.hpp>
#include <nbit/parallel/threads.hpp>

static_assert(nbit::executor<nbit::serial>);
static_assert(nbit::executor<nbit::thread_pool>);

TEST_CASE("every piece runs exactly once, over many calls") {
  for (const unsigned threads : {1u, 2u, 5u}) {
    nbit::thread_pool pool(threads);
    REQUIRE(pool.size() == threads);
    for (const std::size_t n : {0u, 1u, 2u, 3u, 64u, 1000u}) {
      for (int repeat = 0; repeat < 20; ++repeat) {
        std::vector<std::atomic<int>> runs(n);
        pool(n, [&](std::size_t i) { runs[i].fetch_add(1); });
        for (auto& r : runs) REQUIRE(r.load() == 1);
      }
    }
  }
}

TEST_CASE("serial runs in order") {
  std::vector<std::size_t> order;
  nbit::serial{}(5, [&](std::size_t i) { order.push_back(i); });
  REQUIRE(order == std::vector<std::size_t>{0, 1, 2, 3, 4});
}
