// tests/base/buffer_test.cpp — ownership, alignment, and what happens when memory ends.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include <catch2/catch_test_macros.hpp>

#include <nbit/base/buffer.hpp>

namespace {
struct ledger {
  int live = 0, made = 0;
  std::size_t bytes = 0;
};
void* counted_get(void* state, std::size_t bytes, std::size_t alignment) {
  auto& l = *static_cast<ledger*>(state);
  ++l.live, ++l.made, l.bytes += bytes;
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}
void counted_put(void* state, void* block, std::size_t bytes, std::size_t) {
  auto& l = *static_cast<ledger*>(state);
  --l.live, l.bytes -= bytes;
  std::free(block);
}
void* never_get(void*, std::size_t, std::size_t) { return nullptr; }
void never_put(void*, void*, std::size_t, std::size_t) {}
}  // namespace

TEST_CASE("a buffer is aligned to 64 bytes and holds what is written") {
  auto b = nbit::buffer<int>::make(1000);
  REQUIRE(b);
  REQUIRE(b->size() == 1000);
  REQUIRE(reinterpret_cast<std::uintptr_t>(b->data()) % 64 == 0);
  for (std::size_t i = 0; i < 1000; ++i) (*b)[i] = static_cast<int>(i);
  int sum = 0;
  for (const int n : *b) sum += n;
  REQUIRE(sum == 499500);
  REQUIRE(b->span().size() == 1000);
}

TEST_CASE("zeros holds zeros") {
  auto b = nbit::buffer<float>::zeros(77);
  REQUIRE(b);
  for (const float f : *b) REQUIRE(f == 0.0f);
}

TEST_CASE("a buffer of nothing allocates nothing") {
  ledger l;
  const nbit::allocator from{&counted_get, &counted_put, &l};
  {
    auto b = nbit::buffer<double>::make(0, from);
    REQUIRE(b);
    REQUIRE(b->empty());
    REQUIRE(b->data() == nullptr);
  }
  REQUIRE(l.made == 0);
}

TEST_CASE("every block goes back to the allocator it came from, once") {
  ledger l;
  const nbit::allocator from{&counted_get, &counted_put, &l};
  {
    auto a = nbit::buffer<char>::make(100, from);
    auto b = nbit::buffer<char>::make(50, from);
    REQUIRE(a);
    REQUIRE(b);
    REQUIRE(l.live == 2);
    REQUIRE(l.bytes == 150);
    nbit::buffer<char> c = *std::move(a);
    REQUIRE(c.size() == 100);
    c = *std::move(b);
    REQUIRE(c.size() == 50);
    REQUIRE(l.live == 1);
    nbit::buffer<char> d;
    d.swap(c);
    REQUIRE(d.size() == 50);
    REQUIRE(c.empty());
  }
  REQUIRE(l.live == 0);
  REQUIRE(l.bytes == 0);
}

TEST_CASE("no memory is an error that says how many bytes were wanted") {
  const auto b = nbit::buffer<float>::make(10, {&never_get, &never_put, nullptr});
  REQUIRE_FALSE(b);
  REQUIRE(b.error().code == nbit::errc::out_of_memory);
  REQUIRE(b.error().found == 40);
}

TEST_CASE("a size that overflows is an error and asks for no memory") {
  ledger l;
  const auto b = nbit::buffer<double>::make(static_cast<std::size_t>(-1) / 4, {&counted_get, &counted_put, &l});
  REQUIRE_FALSE(b);
  REQUIRE(b.error().code == nbit::errc::overflow);
  REQUIRE(l.made == 0);
}
