// tests/io/checkpoint_prefix_test.cpp — checkpoints cut short at every byte of what describes them: the header of their
// tensors, their configuration, the index of their shards.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/awq_config.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/compressed_config.hpp>
#include <nbit/io/gptq_checkpoint.hpp>
#include <nbit/io/gptq_planar_checkpoint.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/safetensors_index.hpp>

#include "io/files.hpp"

namespace {

std::vector<std::byte> content(const std::filesystem::path& path) {
  auto bytes = nbit_test::read_file(path);
  REQUIRE(bytes);
  return std::move(*bytes);
}

/// The committed checkpoints' files of one name.
std::vector<std::filesystem::path> files_named(const char* name) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(nbit_test::golden_dir() / "checkpoints"))
    if (std::filesystem::exists(entry.path() / name)) files.push_back(entry.path() / name);
  return files;
}

/// Bytes of a text up to the end of its value.
std::size_t length_of(const std::vector<std::byte>& text) {
  std::size_t n = text.size();
  while (n > 0 && (text[n - 1] == std::byte{'\n'} || text[n - 1] == std::byte{' '})) --n;
  return n;
}

}  // namespace

TEST_CASE("a checkpoint's configuration cut short at any byte is refused, each time with the place") {
  int prefixes = 0, files = 0;
  for (const auto& path : files_named("config.json")) {
    INFO(path.string());
    const auto text = content(path);
    REQUIRE(nbit::json_parse(nbit::as_text(text)));
    for (std::size_t n = 0; n < length_of(text); ++n, ++prefixes) {
      const nbit_test::exact_copy cut{std::span(text).first(n)};
      const auto parsed = nbit::json_parse(nbit::as_text(cut.bytes()));
      if (parsed) FAIL("accepted the first " << n << " bytes");
      if (parsed.error().offset > n) FAIL("an offset behind the end of " << n << " bytes");
    }
    ++files;
  }
  REQUIRE(files >= 15);
  WARN("cut " << files << " configurations to " << prefixes << " prefixes");
}

TEST_CASE("a configuration without one of its keys is read as its reader says, or refused by name") {
  int without = 0, refused = 0;
  for (const auto& path : files_named("config.json")) {
    INFO(path.string());
    const auto whole = nbit::json_parse(nbit::as_text(content(path)));
    REQUIRE(whole);
    const nbit::json_value* const q = whole->find("quantization_config");
    if (q == nullptr) continue;
    const std::string text = nbit::json_text(*q);
    // Each key in turn becomes one that no reader knows.
    for (std::size_t at = text.find('"'); at != std::string::npos; at = text.find('"', at + 1)) {
      std::string other = text;
      other[at + 1] = other[at + 1] == '_' ? 'x' : '_';
      const auto value = nbit::json_parse(other);
      if (!value) continue;
      const auto note = [&](const auto& read) {
        ++without;
        if (read) return;
        ++refused;
        CHECK(*read.error().what != '\0');
      };
      note(nbit::read_awq_config(*value)), note(nbit::read_ct_config(*value));
      note(nbit::read_gptq_planar_config(*value)), note(nbit::read_gptq_config(*value));
    }
  }
  REQUIRE(without > 100);
  REQUIRE(refused > 0);
}

TEST_CASE("an index of shards cut short at any byte is refused") {
  const auto text = content(nbit_test::io_folder("safetensors_files") / "model.safetensors.index.json");
  REQUIRE(nbit::safetensors::shard_index::parse(nbit::as_text(text)));
  for (std::size_t n = 0; n < length_of(text); ++n) {
    const nbit_test::exact_copy cut{std::span(text).first(n)};
    if (nbit::safetensors::shard_index::parse(nbit::as_text(cut.bytes()))) FAIL("accepted the first " << n << " bytes");
  }
}

TEST_CASE("a checkpoint's tensors cut short at any byte of their header, or right behind it, are refused") {
  int prefixes = 0, files = 0;
  for (const auto& path : files_named("model.safetensors")) {
    INFO(path.string());
    const auto bytes = content(path);
    REQUIRE(nbit::safetensors::parse(bytes));
    const std::size_t header = 8 + nbit::load_u32(bytes.data());
    REQUIRE(header < bytes.size());
    for (std::size_t n = 0; n <= header; ++n, ++prefixes) {
      const nbit_test::exact_copy cut{std::span(bytes).first(n)};
      if (nbit::safetensors::parse(cut.bytes())) FAIL("accepted the first " << n << " bytes");
    }
    ++files;
  }
  REQUIRE(files >= 20);
  WARN("cut " << files << " checkpoints to " << prefixes << " prefixes");
}
