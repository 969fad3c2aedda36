// tests/io/gguf_split_test.cpp — models in several GGUF files: a peer's, ours, and sets that contradict themselves.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/byte_sink.hpp>
#include <nbit/io/gguf_split.hpp>

#include "io/files.hpp"

namespace {

using bytes = std::vector<std::byte>;
using nbit::gguf::split_set;
using nbit::gguf::writer;

bytes written(writer& w) {
  nbit::memory_sink out;
  auto stream = w.begin(out);
  REQUIRE(stream);
  while (stream->next() != nullptr)
    REQUIRE(stream->write(
        std::string(stream->next()->name),
        bytes(static_cast<std::size_t>(stream->next()->bytes), static_cast<std::byte>(stream->next()->name.back()))));
  REQUIRE(stream->finish());
  CHECK(w.file_bytes().value_or(std::uint64_t{0}) == out.bytes.size());
  return out.bytes;
}

void declare(writer& w, const char* name, std::uint64_t rows) {
  const std::uint64_t ne[] = {8, rows};  // 32 bytes a row
  REQUIRE(w.declare(name, ne, nbit::ggml_type::f32));
}

// Three parts in memory, which a test may change before they are joined.
struct parts {
  std::vector<writer> writers;
  std::vector<bytes> files;

  parts() {
    writer all;
    REQUIRE(all.set("general.architecture", "test"));
    REQUIRE(all.set("unknown.key", std::int8_t{-3}));
    for (const char* name : {"a", "b", "c", "d", "e"}) declare(all, name, 2);
    auto made = nbit::gguf::split(all, {.tensors = 2});
    REQUIRE(made);
    writers = std::move(*made);
  }
  nbit::result<split_set> join(std::vector<std::size_t> order) {
    std::vector<nbit::gguf::file> opened;
    files.clear();
    files.reserve(order.size());
    for (const std::size_t i : order) {
      files.push_back(written(writers[i]));
      auto f = nbit::gguf::parse(files.back());
      REQUIRE(f);
      opened.push_back(std::move(*f));
    }
    return split_set::join(std::move(opened));
  }
};

}  // namespace

TEST_CASE("a set that gguf-split's format describes opens from any of its files") {
  const auto folder = nbit_test::io_folder("gguf_files");
  for (int i = 1; i <= 3; ++i) {
    const auto path = folder / ("split-0000" + std::to_string(i) + "-of-00003.gguf");
    const auto set = split_set::open(path.string());
    if (!set) FAIL(set.error().what);
    CHECK(set->parts().size() == 3);
    CHECK(set->tensors().size() == 5);
    CHECK(set->first().get<std::uint32_t>("x").value_or(0) == 5);
    for (int t = 0; t < 5; ++t) CHECK(set->tensor("s." + std::to_string(t)).has_value());
    CHECK_FALSE(set->tensor("s.5"));
  }
  const auto one = split_set::open((folder / "align64.gguf").string());
  REQUIRE(one);
  CHECK(one->parts().size() == 1);
  CHECK(one->tensors().size() == 3);
}

TEST_CASE("parts are made by size and by number, and hold what one file would") {
  writer all;
  REQUIRE(all.set("general.alignment", std::uint32_t{64}));
  REQUIRE(all.set("k", "v"));
  declare(all, "a", 1);     // 32 bytes, 64 padded
  declare(all, "b", 4);     // 128
  declare(all, "big", 40);  // 1280
  declare(all, "c", 2);
  const auto sizes = [&](nbit::gguf::split_limits l) {
    std::vector<std::size_t> n;
    const auto made = nbit::gguf::split(all, l);
    REQUIRE(made);
    for (const writer& w : *made) n.push_back(w.tensors().size());
    return n;
  };
  using list = std::vector<std::size_t>;
  CHECK(sizes({}) == list{4});
  CHECK(sizes({.bytes = 192}) == list{2, 1, 1});
  CHECK(sizes({.bytes = 191}) == list{1, 1, 1, 1});
  CHECK(sizes({.bytes = 1}) == list{1, 1, 1, 1});
  CHECK(sizes({.tensors = 3}) == list{3, 1});
  CHECK(sizes({.tensors = 3, .keys_in_front = true}) == list{0, 3, 1});
  auto made = nbit::gguf::split(all, {.bytes = 192});
  REQUIRE(made);
  const bytes second = written((*made)[1]);
  const auto f = nbit::gguf::parse(second);
  REQUIRE(f);
  CHECK(f->alignment() == 64);
  CHECK(f->find("k") == nullptr);
  CHECK(f->get<std::uint32_t>("split.no").value_or(9) == 1);
  CHECK(f->find("split.tensors.count")->type() == nbit::gguf::value_type::i32);
  nbit::gguf::erase_split_keys((*made)[0]);
  CHECK(nbit::gguf::parse(written((*made)[0]))->keys().size() == 2);
  writer none;
  CHECK(nbit::gguf::split(none, {})->size() == 1);
}

TEST_CASE("parts in any order are one set; what contradicts it is refused by name") {
  parts p;
  const auto set = p.join({2, 0, 1});
  REQUIRE(set);
  CHECK(set->first().get<std::int8_t>("unknown.key").value_or(0) == -3);
  std::string names;
  for (const auto& t : set->tensors()) names += t.name;
  CHECK(names == "abcde");
  CHECK(set->tensor("e")->bytes[0] == static_cast<std::byte>('e'));

  const auto refused = [](parts& of, std::vector<std::size_t> order, nbit::errc code, const char* subject, int found) {
    const auto joined = of.join(std::move(order));
    REQUIRE_FALSE(joined);
    INFO(joined.error().what);
    CHECK(joined.error().code == code);
    CHECK(std::string(joined.error().subject) == subject);
    CHECK(joined.error().found == found);
  };
  refused(p, {0, 2}, nbit::errc::missing, "split.no", 1);
  refused(p, {1, 2}, nbit::errc::missing, "split.no", 0);
  refused(p, {0, 1}, nbit::errc::missing, "split.no", 2);
  refused(p, {0, 1, 1}, nbit::errc::duplicate, "split.no", 1);
  refused(p, {0, 0, 0}, nbit::errc::duplicate, "split.no", 0);
  refused(p, {0, 1, 2, 2}, nbit::errc::duplicate, "split.count", 4);
  parts other;
  REQUIRE(other.writers[1].set("split.count", std::uint16_t{4}));
  refused(other, {0, 1, 2}, nbit::errc::malformed, "split.count", 4);
  parts total;
  for (writer& w : total.writers) REQUIRE(w.set("split.tensors.count", std::int32_t{6}));
  refused(total, {0, 1, 2}, nbit::errc::malformed, "split.tensors.count", 5);
  parts twice;
  declare(twice.writers[2], "a", 2);
  for (writer& w : twice.writers) REQUIRE(w.set("split.tensors.count", std::int32_t{6}));
  CHECK(twice.join({0, 1, 2}).error().code == nbit::errc::duplicate);
  parts mixed;
  mixed.writers[1].set_order(std::endian::big);
  CHECK(mixed.join({0, 1, 2}).error().code == nbit::errc::malformed);
  parts negative;
  REQUIRE(negative.writers[0].set("split.no", std::int32_t{-1}));
  CHECK(negative.join({0, 1, 2}).error().code == nbit::errc::overflow);
  parts lacking;
  lacking.writers[0].erase("split.count");
  CHECK(lacking.join({0, 1, 2}).error().code == nbit::errc::missing);
  CHECK_FALSE(split_set::join({}));
}

TEST_CASE("a file of a set that is missing or lies under a wrong name is named") {
  const auto from = nbit_test::io_folder("gguf_files");
  const auto folder = std::filesystem::temp_directory_path() / "nbit_split_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  const auto name = [](const char* prefix, int i) {
    return std::string(prefix) + "-0000" + std::to_string(i) + "-of-00003.gguf";
  };
  std::filesystem::copy_file(from / name("split", 1), folder / name("m", 1));
  std::filesystem::copy_file(from / name("split", 3), folder / name("m", 3));
  const auto absent = split_set::open((folder / name("m", 1)).string());
  REQUIRE_FALSE(absent);
  CHECK(absent.error().code == nbit::errc::io);
  CHECK(std::string(absent.error().subject).find("m-00002-of-00003.gguf") != std::string::npos);
  std::filesystem::copy_file(from / name("split", 3), folder / name("m", 2));
  const auto wrong = split_set::open((folder / name("m", 1)).string());
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().found == 2);
  CHECK(std::string(wrong.error().subject).find("m-00002-of-00003.gguf") != std::string::npos);
  std::filesystem::copy_file(from / name("split", 1), folder / "renamed.gguf");
  CHECK(split_set::open((folder / "renamed.gguf").string()).error().code == nbit::errc::malformed);
  std::filesystem::remove_all(folder);
}
