// tests/base/workspace_test.cpp — pieces are aligned, apart, and never beyond the caller's memory.
// SPDX-License-Identifier: MIT
#include <nbit/base/workspace.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <catch2/catch_test_macros.hpp>

static_assert(nbit::workspace_bytes<float>(0) == 0 && nbit::workspace_bytes<float>(1) == 64 &&
              nbit::workspace_bytes<float>(16) == 64 && nbit::workspace_bytes<float>(17) == 128);
static_assert(nbit::workspace_bytes<double>(static_cast<std::size_t>(-1) / 4) == static_cast<std::size_t>(-1));
static_assert(nbit::workspace_bytes_unaligned(128) == 191);

TEST_CASE("A workspace of the computed size holds every piece, aligned and apart") {
  constexpr std::size_t need =
      nbit::workspace_bytes<float>(5) + nbit::workspace_bytes<std::uint8_t>(3) + nbit::workspace_bytes<double>(9);
  alignas(nbit::workspace::alignment) std::byte memory[need];
  nbit::workspace scratch{std::span<std::byte>(memory)};
  const std::span<float> a = scratch.take<float>(5);
  const std::span<std::uint8_t> b = scratch.take<std::uint8_t>(3);
  const std::span<double> c = scratch.take<double>(9);
  REQUIRE((a.size() == 5 && b.size() == 3 && c.size() == 9));
  for (const void* p :
       {static_cast<const void*>(a.data()), static_cast<const void*>(b.data()), static_cast<const void*>(c.data())})
    CHECK(reinterpret_cast<std::uintptr_t>(p) % nbit::workspace::alignment == 0);
  CHECK(reinterpret_cast<std::byte*>(b.data()) >= reinterpret_cast<std::byte*>(a.data() + 5));
  CHECK(reinterpret_cast<std::byte*>(c.data()) >= reinterpret_cast<std::byte*>(b.data() + 3));
  CHECK(reinterpret_cast<std::byte*>(c.data() + 9) <= memory + need);
}

TEST_CASE("A workspace that is too small gives nothing and stays as it is") {
  alignas(nbit::workspace::alignment) std::byte memory[128];
  nbit::workspace scratch{std::span<std::byte>(memory)};
  CHECK(scratch.take<float>(33).empty());
  CHECK(scratch.take<double>(static_cast<std::size_t>(-1)).empty());
  CHECK(scratch.take<float>(0).empty());
  CHECK(scratch.left() == 128);
  CHECK(scratch.take<float>(32).size() == 32);
  CHECK(scratch.take<std::uint8_t>(1).empty());
  nbit::workspace none{std::span<std::byte>{}};
  CHECK(none.take<float>(1).empty());
}

TEST_CASE("Memory with any alignment is enough once the extra bytes are there") {
  const std::size_t need = nbit::workspace_bytes<float>(7) + nbit::workspace_bytes<float>(20);
  std::vector<std::byte> memory(nbit::workspace_bytes_unaligned(need) + 64);
  for (std::size_t shift = 0; shift < 64; ++shift) {
    nbit::workspace scratch(std::span<std::byte>(memory).subspan(shift, nbit::workspace_bytes_unaligned(need)));
    CHECK(scratch.take<float>(7).size() == 7);
    CHECK(scratch.take<float>(20).size() == 20);
  }
}
