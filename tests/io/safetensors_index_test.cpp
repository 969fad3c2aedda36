// tests/io/safetensors_index_test.cpp — models in several safetensors files: a peer's, ours, and indexes that lie.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/byte_sink.hpp>
#include <nbit/io/safetensors_index.hpp>

#include "io/files.hpp"

namespace {

using bytes = std::vector<std::byte>;
using nbit::safetensors::shard_index;
using nbit::safetensors::shard_set;
using nbit::safetensors::writer;

writer two_by_two() {
  writer all;
  all.set_metadata("format", "pt");
  for (const char* name : {"b", "a", "c"}) {
    const std::uint64_t shape[] = {2, 3};
    REQUIRE(all.declare(name, nbit::safetensors::dtype::f16, shape));  // 12 bytes
  }
  return all;
}

bytes written(const writer& w) {
  nbit::memory_sink out;
  auto stream = w.begin(out);
  REQUIRE(stream);
  while (stream->next() != nullptr)
    REQUIRE(stream->write(stream->next()->name, bytes(static_cast<std::size_t>(stream->next()->bytes),
                                                      static_cast<std::byte>(stream->next()->name[0]))));
  return out.bytes;
}

nbit::result<shard_set> join(std::string_view index, const std::vector<bytes>& files) {
  auto parsed = shard_index::parse(index);
  if (!parsed) return parsed.error();
  std::vector<nbit::safetensors::file> opened;
  for (const bytes& b : files) {
    auto f = nbit::safetensors::parse(b);
    REQUIRE(f);
    opened.push_back(std::move(*f));
  }
  return shard_set::join(std::move(*parsed), std::move(opened));
}

}  // namespace

TEST_CASE("an index and its files open as one model") {
  const auto folder = nbit_test::io_folder("safetensors_files");
  const auto set = shard_set::open((folder / "model.safetensors.index.json").string());
  if (!set) FAIL(set.error().what << " " << set.error().subject);
  CHECK(set->shards().size() == 2);
  CHECK(set->tensors().size() == set->index().size());
  CHECK(set->size() == set->index().total_size());
  for (const std::string& name : set->index().map().names()) CHECK(set->tensor(name).has_value());
  CHECK_FALSE(set->tensor("no such tensor"));
}

TEST_CASE("files of a bounded size and their index are what was declared, in the form of transformers") {
  const writer all = two_by_two();
  CHECK(nbit::safetensors::split(all, 36).size() == 1);
  CHECK(nbit::safetensors::split(all, 35).size() == 2);
  CHECK(nbit::safetensors::split(all, 24).size() == 2);
  CHECK(nbit::safetensors::split(all, 1).size() == 3);
  CHECK(nbit::safetensors::split(writer(), 1).size() == 1);
  const auto parts = nbit::safetensors::split(all, 24);
  const auto before = nbit::json_parse(R"({"x": 1, "metadata": {"total_size": 5, "more": "kept"}, "weight_map": {}})");
  REQUIRE(before);
  const std::string text = nbit::json_text(nbit::safetensors::index_json(parts, "model", *before));
  CHECK(text == R"({"x":1,"metadata":{"total_size":36,"more":"kept"},"weight_map":{)"
                R"("a":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors",)"
                R"("c":"model-00002-of-00002.safetensors"}})");
  const std::vector<bytes> files{written(parts[0]), written(parts[1])};
  const auto set = join(text, files);
  REQUIRE(set);
  CHECK(set->tensor("c")->bytes[11] == static_cast<std::byte>('c'));
  for (const auto& f : set->shards()) {
    REQUIRE(f.metadata() != nullptr);
    CHECK(f.metadata()->get<std::string_view>("format").value_or("") == "pt");
    writer copy;
    copy.copy_metadata(f);
    CHECK(nbit::safetensors::parse(written(copy))->metadata()->size() == 1);
  }
}

TEST_CASE("an index that its files contradict is refused with the tensor's name") {
  const writer all = two_by_two();
  const std::vector<bytes> files{written(all.part(0, 2)), written(all.part(2, 1))};
  const auto refused = [&](std::string_view map, nbit::errc code, const char* subject) {
    INFO(map);
    const auto set = join(R"({"weight_map": )" + std::string(map) + "}", files);
    REQUIRE_FALSE(set);
    CHECK(set.error().code == code);
    CHECK(std::string(set.error().subject) == subject);
  };
  REQUIRE(join(R"({"weight_map": {"a": "1", "b": "1", "c": "2"}})", files));
  refused(R"({"a": "1", "b": "1", "c": "2", "d": "2"})", nbit::errc::missing, "d");
  refused(R"({"a": "1", "c": "2"})", nbit::errc::missing, "b");
  refused(R"({"a": "1", "b": "2", "c": "2"})", nbit::errc::malformed, "b");
  refused(R"({"a": "1", "b": "1", "c": "1"})", nbit::errc::malformed, "");
  refused(R"({"a": "../1", "b": "1", "c": "2"})", nbit::errc::malformed, "a");
  refused(R"({"a": "", "b": "1", "c": "2"})", nbit::errc::malformed, "a");
  refused(R"({"a": "x\\1", "b": "1", "c": "2"})", nbit::errc::malformed, "a");
  refused(R"({"a": "1", "b": 1, "c": "2"})", nbit::errc::malformed, "b");
  refused(R"([])", nbit::errc::malformed, "weight_map");
  CHECK(join(R"({"a": 1})", files).error().code == nbit::errc::missing);
  CHECK(join(R"({"weight_map": {}, "metadata": 7})", files).error().code == nbit::errc::malformed);
  CHECK(join(R"({"weight_map": {"a": "1", "a": "1"}})", files).error().code == nbit::errc::duplicate);
  const std::vector<bytes> twice{written(all.part(0, 2)), written(all.part(1, 2))};
  const auto set = join(R"({"weight_map": {"a": "1", "b": "1", "c": "2"}})", twice);
  REQUIRE_FALSE(set);
  CHECK(set.error().code == nbit::errc::duplicate);
  CHECK(std::string(set.error().subject) == "a");
}

TEST_CASE("a file that an index names and that is not there is named") {
  const auto folder = std::filesystem::temp_directory_path() / "nbit_index_test";
  std::filesystem::create_directories(folder);
  const auto path = folder / "model.safetensors.index.json";
  std::ofstream(path) << R"({"weight_map": {"a": "absent.safetensors"}})";
  const auto set = shard_set::open(path.string());
  REQUIRE_FALSE(set);
  CHECK(set.error().code == nbit::errc::io);
  CHECK(std::string(set.error().subject).find("absent.safetensors") != std::string::npos);
  std::filesystem::remove_all(folder);
}
