// tests/io/statistics_file_test.cpp — statistics written in the middle of a stream go on as if nothing had happened;
// damaged files are refused.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <nbit/io/statistics_file.hpp>

#include "solver/support.hpp"

using namespace solver_test;

namespace {
std::vector<std::byte> written(const std::vector<nbit::named_statistics>& layers) {
  nbit::memory_sink out;
  REQUIRE(nbit::write_statistics(layers, out));
  return {out.bytes.begin(), out.bytes.end()};
}
}  // namespace

TEST_CASE("statistics that were written and read go on with the stream to the last bit") {
  for (const auto storage : {nbit::gram_storage::f64, nbit::gram_storage::f32, nbit::gram_storage::two_f32})
    for (const std::size_t cols : {std::size_t{1}, std::size_t{50}})
      for (const std::size_t cut :
           {std::size_t{0}, std::size_t{1}, std::size_t{300}, std::size_t{512}, std::size_t{777}}) {
        const std::size_t tokens = 900;
        const std::vector<float> x = activations(tokens, cols, 11 + cols);
        hessian whole(cols, storage), first(cols, storage);
        constexpr std::size_t length = 70;  // of a sequence: the cut falls into one
        add_sequences(whole, x, 0, tokens, length);
        REQUIRE(first.add({x.data(), 0, cols}));
        add_sequences(first, x, 0, cut, length);
        const std::vector<std::byte> bytes = written({{"blk.0.attn_in", &first}});
        const auto file = nbit::safetensors::parse(bytes);
        REQUIRE(file);
        const auto names = nbit::statistics_names(*file);
        REQUIRE(names);
        REQUIRE(*names == std::vector<std::string>{"blk.0.attn_in"});
        auto again = nbit::read_statistics(*file, (*names)[0]);
        REQUIRE(again);
        CHECK(again->storage() == storage);
        CHECK(again->sequences() == cut / length);
        add_sequences(*again, x, cut, tokens, length);
        CHECK(gram_of(*again) == gram_of(whole));
        CHECK(again->tokens() == tokens);
        CHECK(again->shrinkage() == whole.shrinkage());
        std::vector<float> a(cols), b(cols);
        again->mean_abs(a), whole.mean_abs(b);
        CHECK(a == b);
      }
}

TEST_CASE("statistics of version 1 know nothing of sequences, and shrink by blocks") {
  const std::size_t cols = 20, length = 300, tokens = 16 * length;
  const std::vector<float> x = texts(tokens, cols, length, 3);
  hessian with(cols);
  add_sequences(with, x, 0, tokens, length);
  std::vector<std::byte> bytes = written({{"x", &with}});
  const auto replace = [&bytes](const std::string& from, const std::string& to) {
    const auto at = std::search(bytes.begin(), bytes.end(), from.begin(), from.end(),
                                [](std::byte b, char c) { return b == static_cast<std::byte>(c); });
    REQUIRE(at != bytes.end());
    std::transform(to.begin(), to.end(), at, [](char c) { return static_cast<std::byte>(c); });
  };
  replace("\"version\":\"2\"", "\"version\":\"1\"");
  replace("x.sampled", "x.ignored");
  const auto file = nbit::safetensors::parse(bytes);
  REQUIRE(file);
  REQUIRE(nbit::statistics_names(*file));
  auto old = nbit::read_statistics(*file, "x");
  REQUIRE(old);
  CHECK(gram_of(*old) == gram_of(with));
  CHECK(old->shrinkage() == statistics(x, cols).shrinkage());
  CHECK(old->shrinkage() < with.shrinkage());
  for (int k = 0; k < 20; ++k) old->end_sequence();  // of tokens that nobody counted
  CHECK(old->shrinkage() == statistics(x, cols).shrinkage());
}

TEST_CASE("layers without tokens keep their place") {
  hessian none(7), some = statistics(activations(20, 3, 1), 3);
  const std::vector<std::byte> bytes = written({{"a", &none}, {"b", &some}});
  const auto file = nbit::safetensors::parse(bytes);
  REQUIRE(file);
  const auto a = nbit::read_statistics(*file, "a"), b = nbit::read_statistics(*file, "b");
  REQUIRE(a);
  REQUIRE(b);
  CHECK(a->cols() == 7);
  CHECK(a->tokens() == 0);
  CHECK(a->shrinkage() == 1.0);
  CHECK(gram_of(*b) == gram_of(some));
  CHECK(nbit::read_statistics(*file, "c").error().code == nbit::errc::missing);
}

TEST_CASE("every damaged byte of a statistics file is an error or other statistics, never a crash") {
  const hessian h = statistics(activations(150, 5, 2), 5);
  const std::vector<std::byte> good = written({{"x", &h}});
  std::size_t refused = 0, accepted = 0;
  for (std::size_t at = 0; at < good.size(); at += at < 600 ? 1 : 13)
    for (const int bits : {0x80, 0xff, 0x01}) {
      std::vector<std::byte> bytes = good;
      bytes[at] ^= static_cast<std::byte>(bits);
      const auto file = nbit::safetensors::parse(bytes);
      if (!file || !nbit::statistics_names(*file)) {
        ++refused;
        continue;
      }
      const auto read = nbit::read_statistics(*file, "x");
      if (!read) {
        ++refused;
        CHECK(*read.error().what != '\0');
        continue;
      }
      ++accepted;
      const double r = read->shrinkage();
      CHECK((r >= 0.0 && r <= 1.0));
    }
  CHECK(refused > 500);
  CHECK(accepted > 50);
  std::vector<std::byte> cut(good.begin(), good.begin() + std::ptrdiff_t(good.size() / 2));
  CHECK_FALSE(nbit::safetensors::parse(cut));
}
