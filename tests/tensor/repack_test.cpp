// tests/tensor/repack_test.cpp — any layout to any layout and back: the numbers never change.
// SPDX-License-Identifier: MIT
#include <cstring>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/contract.hpp>
#include <support/random.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/split.hpp>
#include <nbit/layout/tiled.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/kernel/quantize.hpp>

namespace {

template <class From, class To, class F>
void there_and_back(const nbit::packed_matrix<F, From>& original, int& pairs) {
  const auto there = nbit::repack<To>(original.view());
  REQUIRE(there);
  const auto back = nbit::repack<From>(there->view());
  REQUIRE(back);
  REQUIRE(back->bytes.size() == original.bytes.size());
  REQUIRE(std::memcmp(back->bytes.data(), original.bytes.data(), original.bytes.size()) == 0);
  ++pairs;
}

template <class F, class From, class... To>
void to_all(nbit::shape s, int& pairs) {
  nbit_test::random numbers(s.rows);
  const auto w = numbers.normals(s.rows * s.cols);
  const auto q = nbit::quantize<F, From>({w.data(), s.rows, s.cols});
  REQUIRE(q);
  (there_and_back<From, To>(*q, pairs), ...);
}

template <class F, class... L>
void all_pairs(nbit::shape s, int& pairs) {
  (to_all<F, L, L...>(s, pairs), ...);
}

}  // namespace

TEST_CASE("four-bit codes survive every pair of layouts") {
  int pairs = 0;
  for (const nbit::shape s : {nbit::shape{24, 256}, {5, 130}}) {
    all_pairs<nbit::w4g128a, nbit::linear, nbit::split_nibble, nbit::gptq_words, nbit::awq_interleave, nbit::tiled<16>>(
        s, pairs);
    all_pairs<nbit::w3g64a, nbit::linear, nbit::gptq_words, nbit::tiled<4>>(s, pairs);
  }
  INFO(pairs << " pairs");
  CHECK(pairs == 2 * (25 + 9));
}

TEST_CASE("blocks of a GGUF file come apart and go together again") {
  int pairs = 0;
  all_pairs<nbit::q4_k, nbit::blocks, nbit::linear, nbit::gptq_words, nbit::tiled<16>>({6, 512}, pairs);
  all_pairs<nbit::q4_0, nbit::blocks, nbit::linear, nbit::split_nibble>({6, 96}, pairs);
  CHECK(pairs == 16 + 9);
}

TEST_CASE("reordered groups do not fit into blocks") {
  auto coded = nbit::coded_matrix<nbit::q4_k>::make({1, 512});
  REQUIRE(coded);
  auto index = nbit::buffer<std::uint32_t>::zeros(512);
  REQUIRE(index);
  coded->group_index = *std::move(index);
  const auto packed = nbit::pack_codes<nbit::blocks>(*coded);
  REQUIRE(!packed);
  REQUIRE(packed.error().code == nbit::errc::unsupported);
}

TEST_CASE("a view over too little memory is refused") {
  std::vector<std::byte> bytes(100);
  nbit_test::broken_contracts broken;
  const nbit::packed_view<nbit::q4_k> view(bytes, {1, 256});
  REQUIRE(broken.count() == 1);
  REQUIRE(view.rows == 0);
}

TEST_CASE("sizes are what the formats promise") {
  static_assert(nbit::packed_bytes<nbit::q4_k>({2, 512}) == 2 * 2 * 144);
  static_assert(nbit::packed_bytes<nbit::w4g128>({2, 256}) == 2 * 128 + 2 * 2 * 2);
  static_assert(nbit::packed_bytes<nbit::w3g64a>({1, 64}) == 32 + 4);  // 24 bytes of codes, rounded up to 16
}
