// tests/io/gguf_byte_order_test.cpp — big-endian GGUF files: a peer's, ours, and what must be refused.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/byte_sink.hpp>
#include <nbit/io/gguf.hpp>
#include <nbit/io/gguf_tensor.hpp>

#include "io/files.hpp"
#include "support/random.hpp"

namespace {

using bytes = std::vector<std::byte>;

bytes load(const std::filesystem::path& path) {
  auto read = nbit_test::read_file(path);
  REQUIRE(read);
  return std::move(*read);
}

bytes in_order(const nbit::gguf::file& from, std::endian order) {
  nbit::gguf::writer w;
  REQUIRE(w.copy_keys(from));
  w.set_order(order);
  for (const auto& t : from.tensors()) REQUIRE(w.declare(t.name, t.shape(), t.type.type));
  nbit::memory_sink out;
  auto stream = w.begin(out);
  REQUIRE(stream);
  for (const auto& t : from.tensors()) {
    bytes turned(t.bytes.begin(), t.bytes.end());
    if (t.order != order) nbit::gguf::swap_byte_order(t.type.type, turned);
    REQUIRE(stream->write(t.name, turned));
  }
  REQUIRE(stream->finish());
  return out.bytes;
}

}  // namespace

TEST_CASE("a file that gguf turned to big-endian reads as the little-endian one, and both are written byte for byte") {
  const auto folder = nbit_test::golden_dir() / "io" / "gguf_byte_order";
  const bytes little = load(folder / "little.gguf"), big = load(folder / "big.gguf");
  const auto a = nbit::gguf::parse(little), b = nbit::gguf::parse(big);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(a->order() == std::endian::little);
  CHECK(b->order() == std::endian::big);
  REQUIRE(a->keys().size() == b->keys().size());
  for (std::size_t i = 0; i < a->keys().size(); ++i) {
    CHECK(a->keys()[i].name == b->keys()[i].name);
    const auto x = a->keys()[i].value.raw(), y = b->keys()[i].value.raw();
    CHECK(std::equal(x.begin(), x.end(), y.begin(), y.end()));
  }
  CHECK(b->get<std::uint64_t>("u64").value_or(0) == std::uint64_t{1} << 63);
  CHECK(in_order(*a, std::endian::big) == big);
  CHECK(in_order(*b, std::endian::little) == little);
  CHECK(in_order(*b, std::endian::big) == big);
  const auto refused = b->tensor("F32").as<float>();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == nbit::errc::unsupported);
  CHECK(std::string(refused.error().subject) == "F32");
}

TEST_CASE("blocks of every type have numbers of all their bytes, and turning them twice changes nothing") {
  nbit_test::random r(5);
  for (const nbit::ggml_type_info& t : nbit::ggml_types) {
    INFO(t.name);
    std::size_t sum = 0;
    for (const auto& run : nbit::gguf::block_numbers(t.type)) sum += std::size_t{run.width} * run.count;
    CHECK(sum == t.block_bytes);
    bytes blocks(3 * std::size_t{t.block_bytes});
    for (std::byte& b : blocks) b = static_cast<std::byte>(r.bits() & 255);
    bytes turned = blocks;
    nbit::gguf::swap_byte_order(t.type, turned);
    const bool one_byte_numbers =
        t.name == std::string("I8") || t.name == std::string("MXFP4") || t.name == std::string("NVFP4");
    CHECK((turned == blocks) == one_byte_numbers);
    nbit::gguf::swap_byte_order(t.type, turned);
    CHECK(turned == blocks);
  }
}

TEST_CASE("every file of the corpus survives being written in the other byte order, malformed ones stay refused") {
  int files = 0, refused = 0;
  for (const auto& path : nbit_test::files_in(nbit_test::io_folder("gguf_files"), ".gguf")) {
    INFO(path.string());
    const bytes read = load(path);
    const auto f = nbit::gguf::parse(read);
    REQUIRE(f);
    const std::endian other = f->order() == std::endian::big ? std::endian::little : std::endian::big;
    const bytes turned = in_order(*f, other);
    const auto again = nbit::gguf::parse(turned);
    REQUIRE(again);
    CHECK(again->order() == other);
    const bytes back = in_order(*again, f->order());
    CHECK(back == in_order(*f, f->order()));
    ++files;
    // Cut anywhere in its header, a big-endian file is refused as a little-endian one is.
    if (turned.size() > 4096) continue;
    for (std::size_t n = 0; n < again->data_offset() - 31; ++n) {
      const nbit_test::exact_copy cut{std::span(turned).first(n)};
      const auto parsed = nbit::gguf::parse(cut.bytes());
      if (parsed && !again->tensors().empty()) FAIL("accepted the first " << n << " bytes");
      ++refused;
    }
  }
  CHECK(files >= 12);
  CHECK(refused > 1000);
}
