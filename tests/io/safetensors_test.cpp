// tests/io/safetensors_test.cpp — safetensors files: verdicts and contents of peers' files, damage, and our own files.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/atomic_file.hpp>
#include <nbit/io/safetensors.hpp>

#include "io/files.hpp"
#include "support/json.hpp"
#include "support/random.hpp"

namespace {

using nbit::safetensors::dtype;
using nbit_test::json;

std::vector<std::byte> content(const std::filesystem::path& path) {
  auto read = nbit_test::read_file(path);
  REQUIRE(read);
  return std::move(*read);
}

std::vector<std::byte> file_of(std::string_view header, std::size_t data) {
  std::vector<std::byte> bytes(8);
  nbit::store_le(std::uint64_t{header.size()}, bytes.data());
  const auto text = nbit::as_bytes(header);
  bytes.insert(bytes.end(), text.begin(), text.end());
  bytes.resize(bytes.size() + data);
  return bytes;
}

// Touches everything a caller may touch, so that a sanitizer sees a view that leaves the file.
std::uint64_t touch(const nbit::safetensors::file& f) {
  std::uint64_t sum = nbit::json_text(f.header()).size();
  for (const auto& t : f.tensors()) {
    for (const char c : t.name) sum += static_cast<unsigned char>(c);
    if (!t.bytes.empty())
      sum += static_cast<std::uint64_t>(t.bytes.front()) + static_cast<std::uint64_t>(t.bytes.back());
    sum += t.elements();
  }
  return sum;
}

}  // namespace

TEST_CASE("every well-formed safetensors file gives the expected metadata, tensors, offsets and bytes") {
  const auto folder = nbit_test::io_folder("safetensors_files");
  const auto expected = json::load(folder / "expected.json");
  REQUIRE(expected);
  int files = 0, tensors = 0;
  for (const auto& [name, want] : expected->members) {
    INFO(name);
    const auto f = nbit::safetensors::open((folder / name).string());
    if (!f) FAIL(f.error().what << " at " << f.error().offset);
    if (want["metadata"].is_null()) {
      CHECK(f->metadata() == nullptr);
    } else {
      REQUIRE(f->metadata() != nullptr);
      CHECK(f->metadata()->size() == want["metadata"].size());
      for (const auto& [key, text] : want["metadata"].members)
        CHECK(*f->metadata()->get<std::string_view>(key) == text.text);
    }
    CHECK(f->tensors().size() == want["tensors"].size());
    for (const auto& [key, w] : want["tensors"].members) {
      INFO(key);
      const auto t = f->tensor(key);
      REQUIRE(t);
      CHECK(t->name == key);
      CHECK(nbit::safetensors::info(t->type).name == w["dtype"].text);
      REQUIRE(t->shape.size() == w["shape"].size());
      for (std::size_t d = 0; d < t->shape.size(); ++d) CHECK(t->shape[d] == w["shape"][d].natural());
      CHECK(t->offset == w["offset"].natural());
      CHECK(t->bytes.size() == w["n_bytes"].natural());
      CHECK(nbit_test::sha256(t->bytes) == w["sha256"].text);
      ++tensors;
    }
    ++files;
  }
  WARN("compared " << files << " files, " << tensors << " tensors");
  CHECK(files == 10);
}

TEST_CASE("every malformed safetensors file is refused or accepted as expected, with an offset inside the file") {
  const auto folder = nbit_test::io_folder("safetensors_malformed");
  const auto expected = json::load(folder / "expected.json");
  REQUIRE(expected);
  // Where the specification and its reference differ, this is our decision: what the text forbids is refused.
  const std::map<std::string, bool> ours = {{"json_no_brace_start.safetensors", false},
                                            {"json_dup_key.safetensors", false},
                                            {"extra_field.safetensors", true}};
  int files = 0, refused = 0;
  for (const auto& [name, want] : expected->members) {
    INFO(name << ": " << want["why"].text);
    if (!std::filesystem::exists(folder / name)) continue;  // a large one is only in the data folder
    const auto bytes = content(folder / name);
    const nbit_test::exact_copy copy(bytes);
    const auto f = nbit::safetensors::parse(copy.bytes());
    const auto& verdict = want["expect"].text;
    CHECK(f.has_value() == (verdict == "either" ? ours.at(name) : verdict == "accept"));
    if (f) {
      touch(*f);
    } else {
      CHECK(*f.error().what != '\0');
      CHECK(f.error().offset <= std::max<std::size_t>(bytes.size(), 8));
      ++refused;
    }
    ++files;
  }
  WARN("judged " << files << " files, refused " << refused);
  CHECK(files >= 50);
}

TEST_CASE("a deep header is refused before the stack ends") {
  const auto f = nbit::safetensors::parse(file_of("{\"a\":" + std::string(100000, '['), 0));
  REQUIRE_FALSE(f);
  CHECK(f.error().code == nbit::errc::overflow);
}

TEST_CASE("a safetensors error names the tensor, the value found, what is allowed and where it stands") {
  const std::string_view header =
      R"({"v":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"w":{"dtype":"F12","shape":[2],"data_offsets":[8,16]}})";
  const auto f = nbit::safetensors::parse(file_of(header, 16));
  REQUIRE_FALSE(f);
  CHECK(f.error().code == nbit::errc::unsupported);
  CHECK(std::string(f.error().subject) == "w");
  CHECK(f.error().offset == 8 + header.find("\"F12\""));
  const auto hole = nbit::safetensors::parse(file_of(
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
      5));
  REQUIRE_FALSE(hole);
  CHECK(std::string(hole.error().subject) == "b");
  CHECK(std::string(hole.error().what).find("hole") != std::string::npos);
  CHECK(hole.error().found == 3);
  const auto twice = nbit::safetensors::parse(file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0));
  REQUIRE_FALSE(twice);
  CHECK(twice.error().code == nbit::errc::duplicate);
}

TEST_CASE("every proper prefix of a safetensors file is refused without a read past its end") {
  int prefixes = 0;
  for (const char* name : {"all_dtypes.safetensors", "escaped_names.safetensors", "model-00001-of-00002.safetensors",
                           "header_not_in_offset_order.safetensors", "no_tensors_meta.safetensors"}) {
    INFO(name);
    const auto bytes = content(nbit_test::io_folder("safetensors_files") / name);
    REQUIRE(nbit::safetensors::parse(bytes));
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      const nbit_test::exact_copy cut{std::span(bytes).first(n)};
      if (nbit::safetensors::parse(cut.bytes())) FAIL("accepted the first " << n << " bytes");
      ++prefixes;
    }
  }
  WARN("cut " << prefixes << " prefixes");
}

TEST_CASE("thousands of damaged safetensors files never lead outside their bytes") {
  nbit_test::random random(2027);
  int changed = 0, accepted = 0;
  for (const auto& path : nbit_test::files_in(nbit_test::io_folder("safetensors_files"), ".safetensors")) {
    const auto bytes = content(path);
    for (int round = 0; round < 500; ++round) {
      nbit_test::exact_copy bad(bytes);
      const auto edits = 1 + random.below(3);
      for (std::uint64_t e = 0; e < edits; ++e) {
        const auto at = static_cast<std::size_t>(random.below(bytes.size()));
        // Digits, brackets and quotes reach deeper than bytes that end the JSON at once.
        static constexpr std::string_view telling = "0123456789[]{},:\" \\-.e";
        bad[at] = random.below(3) == 0 ? static_cast<std::byte>(random.below(256))
                                       : static_cast<std::byte>(telling[random.below(telling.size())]);
      }
      if (const auto f = nbit::safetensors::parse(bad.bytes())) {
        touch(*f);
        ++accepted;
      }
      ++changed;
    }
  }
  WARN("damaged " << changed << " files, " << accepted << " still well-formed");
  CHECK(accepted < changed);
}

TEST_CASE("a zero dimension hides no overflow and needs no bytes") {
  const auto with_shape = [](std::string_view shape) {
    return nbit::safetensors::parse(
        file_of("{\"a\":{\"dtype\":\"F32\",\"shape\":" + std::string(shape) + ",\"data_offsets\":[0,0]}}", 0));
  };
  CHECK(with_shape("[0]"));
  CHECK(with_shape("[3,0,4]"));
  CHECK(with_shape("[0,18446744073709551615]"));
  CHECK_FALSE(with_shape("[0,4294967296,4294967296]"));
  CHECK_FALSE(with_shape("[4294967296,4294967296,0]"));
  CHECK_FALSE(with_shape("[]"));
}

TEST_CASE("what a writer wrote a reader reads: every dtype, names with every character, metadata, empty tensors") {
  nbit::safetensors::writer w;
  w.set_metadata("format", "pt");
  w.set_metadata("note", "q\" \xc3\xa9");
  std::vector<std::byte> all;
  nbit_test::random random(3);
  for (const auto& d : nbit::safetensors::dtypes) {
    const std::array<std::uint64_t, 2> shape = {4, 6};
    REQUIRE(w.declare(d.name, d.type, shape));
  }
  const std::array<std::uint64_t, 2> none = {0, 7};
  REQUIRE(w.declare("a\n\"b\"\\\xe2\x98\x83", dtype::f32, none));
  REQUIRE(w.declare("one", dtype::u8, std::span<const std::uint64_t>()));
  for (const auto& t : w.tensors())
    for (std::uint64_t i = 0; i < t.bytes; ++i) all.push_back(static_cast<std::byte>(random.below(256)));

  const nbit_test::temporary_folder folder;
  const std::string path = (folder.path() / "out.safetensors").string();
  auto out = nbit::atomic_file::create(path);
  REQUIRE(out);
  auto stream = w.begin(*out);
  REQUIRE(stream);
  REQUIRE(stream->append(std::span(all).first(100)));
  REQUIRE(stream->append(std::span(all).subspan(100)));
  CHECK_FALSE(stream->append(std::span(all).first(1)));
  REQUIRE(stream->finish());
  REQUIRE(out->commit());

  const auto f = nbit::safetensors::open(path);
  if (!f) FAIL(f.error().what << " at " << f.error().offset);
  CHECK(f->data_offset() % 8 == 0);
  CHECK(*f->metadata()->get<std::string_view>("note") == "q\" \xc3\xa9");
  REQUIRE(f->tensors().size() == w.tensors().size());
  for (std::size_t i = 0; i < f->tensors().size(); ++i) {
    const auto& t = f->tensors()[i];
    const auto& d = w.tensors()[i];
    INFO(t.name);
    CHECK(t.name == d.name);
    CHECK(t.type == d.type);
    CHECK(t.shape == d.shape);
    CHECK(std::ranges::equal(t.bytes, std::span(all).subspan(static_cast<std::size_t>(d.offset), t.bytes.size())));
  }
}

TEST_CASE("a safetensors writer refuses what its own reader would refuse") {
  nbit::safetensors::writer w;
  const std::array<std::uint64_t, 2> wide = {std::uint64_t{1} << 32, std::uint64_t{1} << 32};
  const std::array<std::uint64_t, 1> three = {3};
  CHECK(w.declare("x", dtype::u8, wide).error().code == nbit::errc::overflow);
  CHECK(w.declare("x", dtype::f4, three).error().code == nbit::errc::shape);
  CHECK(w.declare("__metadata__", dtype::u8, three).error().code == nbit::errc::invalid_option);
  CHECK(w.declare("\xff", dtype::u8, three).error().code == nbit::errc::invalid_option);
  REQUIRE(w.declare("x", dtype::u8, three));
  REQUIRE(w.declare("x", dtype::u8, three));
  nbit::memory_sink sink;
  CHECK(w.begin(sink).error().code == nbit::errc::duplicate);
}

TEST_CASE("dtypes are found by name, and the table is in the order of the enumeration") {
  for (std::size_t i = 0; i < std::size(nbit::safetensors::dtypes); ++i) {
    const auto& d = nbit::safetensors::dtypes[i];
    CHECK(static_cast<std::size_t>(d.type) == i);
    CHECK(nbit::safetensors::find_dtype(d.name) == &d);
  }
  CHECK(nbit::safetensors::find_dtype("F12") == nullptr);
}
