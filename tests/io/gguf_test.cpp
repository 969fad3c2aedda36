// tests/io/gguf_test.cpp — GGUF files: verdicts and contents of peers' files, damage of every kind, and our own files.
// SPDX-License-Identifier: MIT
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/atomic_file.hpp>
#include <nbit/io/gguf.hpp>

#include "io/files.hpp"
#include "support/json.hpp"
#include "support/random.hpp"

namespace {

using nbit::gguf::value;
using nbit::gguf::value_type;
using nbit_test::json;

const std::array<const char*, 13> type_names = {"UINT8", "INT8",   "UINT16", "INT16",  "UINT32", "INT32",  "FLOAT32",
                                                "BOOL",  "STRING", "ARRAY",  "UINT64", "INT64",  "FLOAT64"};
std::string type_name(value_type t) { return type_names.at(static_cast<std::size_t>(t)); }

bool same_scalar(const value& v, const json& expected) {
  switch (v.type()) {
    case value_type::string: return v.get<std::string_view>().value_or("?") == expected.text;
    case value_type::boolean: return expected.type == json::kind::boolean && *v.get<bool>() == expected.truth;
    case value_type::f32:
    case value_type::f64: {
      const double want = expected.text == "Infinity" ? HUGE_VAL : expected.number();
      return *v.get<double>() == (v.type() == value_type::f32 ? static_cast<double>(static_cast<float>(want)) : want);
    }
    case value_type::u64: return *v.get<std::uint64_t>() == expected.natural();
    default: return *v.get<std::int64_t>() == expected.integer();
  }
}

// expected.json lists the elements of nested arrays one after another.
bool same_array(const value& v, const json& expected, std::size_t& at) {
  for (const value e : v.elements()) {
    if (e.is_array()) {
      if (!same_array(e, expected, at)) return false;
    } else if (!same_scalar(e, expected[at++])) {
      return false;
    }
  }
  return true;
}

struct bytes_of_file {
  std::vector<std::byte> data;
  explicit bytes_of_file(const std::filesystem::path& path) {
    auto read = nbit_test::read_file(path);
    REQUIRE(read);
    data = std::move(*read);
  }
};

// JSON has no Infinity, Python's writer has; this test's own reader refuses it, so it becomes a string.
std::optional<json> load_expected(const std::filesystem::path& path) {
  auto read = nbit_test::read_file(path);
  if (!read) return std::nullopt;
  std::string text(reinterpret_cast<const char*>(read->data()), read->size());
  for (std::size_t at = 0; (at = text.find(": Infinity", at)) != std::string::npos;)
    text.replace(at, 10, ": \"Infinity\"");
  return json::parse(text);
}

// Touches everything a caller may touch, so that a sanitizer sees a view that leaves the file.
std::uint64_t touch(const nbit::gguf::file& f) {
  std::uint64_t sum = 0;
  for (const auto& k : f.keys()) {
    for (const char c : k.name) sum += static_cast<unsigned char>(c);
    for (const std::byte b : k.value.raw()) sum += static_cast<std::uint64_t>(b);
    for (const value e : k.value.elements()) sum += e.raw().size() + e.size();
  }
  for (const auto& t : f.tensors()) {
    if (!t.bytes.empty())
      sum += static_cast<std::uint64_t>(t.bytes.front()) + static_cast<std::uint64_t>(t.bytes.back());
    sum += t.elements();
  }
  return sum;
}

}  // namespace

TEST_CASE("every well-formed GGUF file gives the expected keys, tensors, offsets and bytes") {
  const auto folder = nbit_test::io_folder("gguf_files");
  const auto expected = load_expected(folder / "expected.json");
  REQUIRE(expected);
  int files = 0, keys = 0, tensors = 0;
  for (const auto& [name, want] : expected->members) {
    INFO(name);
    const auto opened = nbit::gguf::open((folder / name).string());
    if (!opened) FAIL(opened.error().what << " at " << opened.error().offset);
    ++files;
    CHECK(opened->version() == want["version"].natural());
    CHECK(opened->alignment() == want["alignment"].natural());
    CHECK(opened->data_offset() == want["data_offset"].natural());
    CHECK(opened->bytes().size() == want["file_bytes"].natural());
    CHECK(opened->keys().size() == want["kv"]["GGUF.kv_count"].natural());
    for (const auto& [key, entry] : want["kv"].members) {
      if (key.starts_with("GGUF.")) continue;
      INFO(key);
      const value* v = opened->find(key);
      REQUIRE(v != nullptr);
      CHECK(type_name(v->type()) == entry["types"][0].text);
      if (v->is_array()) {
        CHECK(type_name(v->element_type()) == entry["types"][1].text);
        std::size_t at = 0;
        CHECK(same_array(*v, entry["value"], at));
        CHECK(at == entry["value"].size());
      } else {
        CHECK(same_scalar(*v, entry["value"]));
      }
      ++keys;
    }
    REQUIRE(opened->tensors().size() == want["tensors"].size());
    for (std::size_t i = 0; i < opened->tensors().size(); ++i) {
      const auto& t = opened->tensors()[i];
      const json& w = want["tensors"][i];
      INFO(w["name"].text);
      CHECK(t.name == w["name"].text);
      CHECK(t.type.name == w["type"].text);
      CHECK(static_cast<std::uint32_t>(t.type.type) == w["type_id"].natural());
      REQUIRE(t.n_dims == w["ne"].size());
      std::uint64_t rows = 1;
      for (std::size_t d = 0; d < t.n_dims; ++d) CHECK(t.ne[d] == w["ne"][d].natural());
      for (std::size_t d = 1; d < t.n_dims; ++d) rows *= t.ne[d];
      CHECK(t.rows() == rows);
      CHECK(t.offset == w["data_offset"].natural());
      CHECK(t.bytes.size() == w["n_bytes"].natural());
      CHECK(t.bytes.data() == opened->bytes().data() + t.offset);
      CHECK(nbit_test::sha256(t.bytes) == w["sha256"].text);
      const auto found = opened->tensor(t.name);
      REQUIRE(found);
      CHECK(found->bytes.data() == t.bytes.data());
      ++tensors;
    }
  }
  WARN("compared " << files << " files, " << keys << " keys, " << tensors << " tensors");
  CHECK(files >= 11);
}

TEST_CASE("every malformed GGUF file is refused or accepted as expected, with an offset inside the file") {
  const auto folder = nbit_test::io_folder("gguf_malformed");
  const auto expected = json::load(folder / "expected.json");
  REQUIRE(expected);
  // Where the specification is silent or peers differ, this is our decision.
  const std::map<std::string, bool> ours = {
      {"key_empty.gguf", false},   {"key_bad_utf8.gguf", true}, {"nested_array.gguf", true},
      {"bool_value_2.gguf", true}, {"align_u64.gguf", false},   {"ndims_0.gguf", true},
      {"dim_zero.gguf", true},     {"off_gap.gguf", false},     {"off_order.gguf", false},
      {"name_64.gguf", false},     {"name_empty.gguf", true},   {"trailing_bytes.gguf", true}};
  int files = 0, refused = 0;
  for (const auto& [name, want] : expected->members) {
    INFO(name << ": " << want["why"].text);
    const auto path = folder / name;
    if (!std::filesystem::exists(path)) continue;  // a few large ones are only in the data folder
    const bytes_of_file read(path);
    const nbit_test::exact_copy copy(read.data);
    const auto parsed = nbit::gguf::parse(copy.bytes());
    const auto& verdict = want["expect"].text;
    const bool accept = verdict == "either" ? ours.at(name) : verdict == "accept";
    CHECK(parsed.has_value() == accept);
    if (parsed) {
      touch(*parsed);
    } else {
      const nbit::error& e = parsed.error();
      CHECK(*e.what != '\0');
      CHECK(e.offset != nbit::error::nowhere);
      ++refused;
    }
    ++files;
  }
  WARN("judged " << files << " files, refused " << refused);
  CHECK(files >= 73);
}

TEST_CASE("arrays nested without end are refused before the stack ends") {
  std::string bytes("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0x\11\0\0\0", 37);
  for (int i = 0; i < 100000; ++i) bytes.append("\11\0\0\0\1\0\0\0\0\0\0\0", 12);
  const auto parsed = nbit::gguf::parse(nbit::as_bytes(std::string_view(bytes)));
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().code == nbit::errc::unsupported);
  CHECK(parsed.error().found == 9);
}

TEST_CASE("a GGUF error names the tensor, the value found, what is allowed and where it stands") {
  const auto folder = nbit_test::io_folder("gguf_malformed");
  const auto refused = [&](const char* name) {
    const auto opened = nbit::gguf::open((folder / name).string());
    REQUIRE_FALSE(opened);
    return opened.error();
  };
  const nbit::error dims = refused("ndims_5.gguf");
  CHECK(std::string(dims.subject) == "a");
  CHECK(dims.found == 5);
  CHECK(std::string(dims.allowed) == "0 to 4");
  CHECK(dims.offset == 78);
  const nbit::error removed = refused("ttype_removed.gguf");
  CHECK(std::string(removed.what).find("Q4_2") != std::string::npos);
  CHECK(removed.found == 4);
  CHECK(refused("dup_key.gguf").code == nbit::errc::duplicate);
  CHECK(refused("dup_tensor.gguf").code == nbit::errc::duplicate);
  CHECK(refused("dims_overflow.gguf").code == nbit::errc::overflow);
  CHECK(refused("data_cut.gguf").code == nbit::errc::truncated);
  CHECK(refused("off_gap.gguf").offset == 110 + 1 + 4 + 8 + 4);
  CHECK(refused("version1.gguf").found == 1);
}

TEST_CASE("every proper prefix of a GGUF file is refused without a read past its end") {
  int prefixes = 0;
  for (const char* name :
       {"align64.gguf", "int_and_dims.gguf", "kv_scalars.gguf", "names.gguf", "split-00001-of-00003.gguf"}) {
    INFO(name);
    const bytes_of_file read(nbit_test::io_folder("gguf_files") / name);
    const auto whole = nbit::gguf::parse(read.data);
    REQUIRE(whole);
    // The zeros after the last byte that anything refers to may be missing.
    std::uint64_t needed = whole->data_offset();
    if (whole->tensors().empty()) {
      const auto last = whole->keys().back().value.raw();
      needed = static_cast<std::uint64_t>(last.data() + last.size() - read.data.data());
    }
    for (const auto& t : whole->tensors()) needed = t.offset + t.bytes.size();
    for (std::size_t n = 0; n < needed; ++n) {
      const nbit_test::exact_copy cut{std::span(read.data).first(n)};
      const auto parsed = nbit::gguf::parse(cut.bytes());
      if (parsed) FAIL("accepted the first " << n << " bytes");
      if (parsed.error().code != nbit::errc::truncated) FAIL(n << " bytes: " << parsed.error().what);
      ++prefixes;
    }
  }
  WARN("cut " << prefixes << " prefixes");
}

TEST_CASE("thousands of damaged GGUF files never lead outside their bytes") {
  nbit_test::random random(2026);
  int changed = 0, accepted = 0;
  for (const char* name :
       {"align64.gguf", "int_and_dims.gguf", "kv_scalars.gguf", "kv_nested_array.gguf", "names.gguf"}) {
    const bytes_of_file read(nbit_test::io_folder("gguf_files") / name);
    const std::size_t header = std::min<std::size_t>(read.data.size(), 420);
    for (int round = 0; round < 1200; ++round) {
      nbit_test::exact_copy bad(read.data);
      const auto edits = 1 + random.below(3);
      for (std::uint64_t e = 0; e < edits; ++e) {
        const auto at = static_cast<std::size_t>(random.below(header));
        const std::array<std::byte, 4> choices = {static_cast<std::byte>(random.below(256)), std::byte{0},
                                                  std::byte{0xff},
                                                  bad[at] ^ static_cast<std::byte>(1u << random.below(8))};
        bad[at] = choices[static_cast<std::size_t>(random.below(4))];
      }
      if (const auto parsed = nbit::gguf::parse(bad.bytes())) {
        touch(*parsed);
        ++accepted;
      }
      ++changed;
    }
  }
  WARN("damaged " << changed << " files, " << accepted << " still well-formed");
  CHECK(accepted < changed);
}

TEST_CASE("sizes that only overflow when padded or multiplied late are refused") {
  const auto file_of = [](std::vector<std::vector<std::uint64_t>> shapes) {
    std::vector<std::byte> b;
    const auto put = [&b](auto v) {
      std::byte raw[sizeof v];
      nbit::store_le(v, raw);
      b.insert(b.end(), raw, raw + sizeof v);
    };
    put(std::uint32_t{0x46554747});
    put(std::uint32_t{3});
    put(static_cast<std::uint64_t>(shapes.size()));
    put(std::uint64_t{0});
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      put(std::uint64_t{1});
      b.push_back(static_cast<std::byte>('a' + i));
      put(static_cast<std::uint32_t>(shapes[i].size()));
      std::uint64_t bytes = 1;
      for (const auto n : shapes[i]) put(n), bytes *= n;
      put(std::uint32_t{24});  // I8
      put(offset);
      offset += (bytes + 31) & ~std::uint64_t{31};
    }
    b.resize(b.size() + 128);
    return b;
  };
  constexpr std::uint64_t big = std::uint64_t{1} << 62;
  CHECK(nbit::gguf::parse(file_of({{32}})));
  CHECK_FALSE(nbit::gguf::parse(file_of({{big - 32}, {big - 32}})));
  CHECK_FALSE(nbit::gguf::parse(file_of({{big}, {big}, {big}, {big}, {32}})));
  CHECK_FALSE(nbit::gguf::parse(file_of({{4, (1u << 30) - 1, (1u << 30) + 1, 4}})));
  CHECK_FALSE(nbit::gguf::parse(file_of({{(std::uint64_t{1} << 42) + 1, std::uint64_t{1} << 22}})));
  CHECK_FALSE(nbit::gguf::parse(file_of({{0, std::uint64_t{1} << 40, std::uint64_t{1} << 40}})));
  CHECK(nbit::gguf::parse(file_of({{0, 7}, {32}})));
}

TEST_CASE("typed access converts what fits and refuses the rest by name") {
  nbit::gguf::writer w;
  REQUIRE(w.set("u8", std::uint8_t{200}));
  REQUIRE(w.set("i32", std::int32_t{-5}));
  REQUIRE(w.set("u64", ~std::uint64_t{0}));
  REQUIRE(w.set("f32", 0.5f));
  REQUIRE(w.set("yes", true));
  REQUIRE(w.set("text", "h\xc3\xa9llo"));
  const std::array<std::string_view, 3> words = {"a", "", "longer"};
  REQUIRE(w.set_array<std::string_view>("words", words));
  const std::array<float, 2> floats = {1.5f, -2.0f};
  REQUIRE(w.set_array<float>("floats", floats));
  nbit::memory_sink sink;
  auto stream = w.begin(sink);
  REQUIRE(stream);
  REQUIRE(stream->finish());
  const auto f = nbit::gguf::parse(sink.bytes);
  REQUIRE(f);
  CHECK(*f->get<std::int64_t>("u8") == 200);
  CHECK(*f->get<std::uint8_t>("u8") == 200);
  CHECK(f->get<std::int8_t>("u8").error().code == nbit::errc::overflow);
  CHECK(*f->get<std::int8_t>("i32") == -5);
  CHECK(f->get<std::uint32_t>("i32").error().code == nbit::errc::overflow);
  CHECK(*f->get<std::uint64_t>("u64") == ~std::uint64_t{0});
  CHECK(f->get<std::int64_t>("u64").error().code == nbit::errc::overflow);
  CHECK(*f->get<double>("f32") == 0.5);
  CHECK(f->get<int>("f32").error().code == nbit::errc::malformed);
  CHECK(*f->get<bool>("yes"));
  CHECK(f->get<int>("yes").error().code == nbit::errc::malformed);
  CHECK(*f->get<std::string_view>("text") == "h\xc3\xa9llo");
  const auto missing = f->get<int>("llama.block_count");
  CHECK(missing.error().code == nbit::errc::missing);
  CHECK(std::string(missing.error().subject) == "llama.block_count");
  const auto list = f->get_array<std::string_view>("words");
  REQUIRE(list);
  CHECK(std::vector<std::string_view>(list->begin(), list->end()) == std::vector<std::string_view>{"a", "", "longer"});
  const auto numbers = f->get_array<float>("floats");
  REQUIRE(numbers);
  CHECK((*numbers)[1] == -2.0f);
  const auto wrong = f->get_array<std::int32_t>("floats");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().found == 6);
  CHECK(std::string(wrong.error().subject) == "floats");
  CHECK_FALSE(f->tensor("x"));
}

TEST_CASE("a file read and written again has the same keys and tensors, byte for byte") {
  int files = 0;
  for (const auto& path : nbit_test::files_in(nbit_test::io_folder("gguf_files"), ".gguf")) {
    INFO(path.filename().string());
    if (path.filename() == "big_endian.gguf") continue;  // tests/io/gguf_byte_order_test.cpp
    const bytes_of_file read(path);
    const auto first = nbit::gguf::parse(read.data);
    REQUIRE(first);
    nbit::gguf::writer w;
    REQUIRE(w.copy_keys(*first));
    for (const auto& t : first->tensors()) REQUIRE(w.declare(t.name, t.shape(), t.type.type));
    nbit::memory_sink sink;
    auto stream = w.begin(sink);
    REQUIRE(stream);
    for (const auto& t : first->tensors()) REQUIRE(stream->write(t.name, t.bytes));
    REQUIRE(stream->finish());
    if (first->version() == 3) {
      CHECK(sink.bytes == read.data);
    } else {
      sink.bytes[4] = std::byte{2};
      CHECK(sink.bytes == read.data);
    }
    ++files;
  }
  WARN("rewrote " << files << " files identically");
  CHECK(files >= 11);
}

TEST_CASE("pieces of any size make the same file as whole tensors, through a file that appears only at commit") {
  const nbit_test::temporary_folder folder;
  const std::string path = (folder.path() / "out.gguf").string();
  std::vector<std::byte> a(34 * 4), b(12);
  nbit_test::random random(7);
  for (auto& x : a) x = static_cast<std::byte>(random.below(256));
  for (auto& x : b) x = static_cast<std::byte>(random.below(256));
  nbit::gguf::writer w;
  REQUIRE(w.set("general.alignment", std::uint32_t{64}));
  const std::array<std::uint64_t, 2> shape_a = {64, 2};
  const std::array<std::uint64_t, 1> shape_b = {3}, empty = {0};
  REQUIRE(w.declare("a", shape_a, nbit::ggml_type::q8_0));
  REQUIRE(w.declare("none", empty, nbit::ggml_type::f32));
  REQUIRE(w.declare("b", shape_b, nbit::ggml_type::f32));
  nbit::memory_sink whole;
  auto one = w.begin(whole);
  REQUIRE(one);
  CHECK(one->next()->name == "a");
  REQUIRE(one->write("a", a));
  CHECK_FALSE(one->write("b", b));
  REQUIRE(one->write("none", {}));
  CHECK_FALSE(one->write("b", a));
  REQUIRE(one->write("b", b));
  REQUIRE(one->finish());
  CHECK_FALSE(one->append(b));

  auto out = nbit::atomic_file::create(path);
  REQUIRE(out);
  auto pieces = w.begin(*out);
  REQUIRE(pieces);
  std::vector<std::byte> all(a);
  all.insert(all.end(), b.begin(), b.end());
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t n = std::min<std::size_t>(1 + random.below(50), all.size() - at);
    REQUIRE(pieces->append(std::span(all).subspan(at, n)));
    at += n;
  }
  REQUIRE(pieces->finish());
  CHECK_FALSE(std::filesystem::exists(path));
  REQUIRE(out->commit());
  const bytes_of_file written(path);
  CHECK(written.data == whole.bytes);
  const auto read = nbit::gguf::open(path);
  REQUIRE(read);
  CHECK(read->tensor("a")->offset % 64 == 0);
  CHECK(std::ranges::equal(read->tensor("b")->bytes, b));
}

TEST_CASE("a writer refuses what its own reader would refuse") {
  nbit::gguf::writer w;
  const std::array<std::uint64_t, 2> odd = {100, 2};
  const std::array<std::uint64_t, 5> five = {1, 1, 1, 1, 1};
  const std::array<std::uint64_t, 1> one = {32};
  CHECK(w.declare("x", odd, nbit::ggml_type::q4_k).error().code == nbit::errc::shape);
  CHECK(w.declare("x", five, nbit::ggml_type::f32).error().code == nbit::errc::invalid_option);
  CHECK(w.declare(std::string(64, 'x'), one, nbit::ggml_type::f32).error().code == nbit::errc::invalid_option);
  CHECK(w.set("", 1).error().code == nbit::errc::invalid_option);
  CHECK(w.set("general.alignment", std::uint32_t{48}).error().code == nbit::errc::invalid_option);
  CHECK(w.set("general.alignment", std::uint64_t{32}).error().code == nbit::errc::invalid_option);
  REQUIRE(w.declare("x", one, nbit::ggml_type::f32));
  nbit::memory_sink sink;
  auto stream = w.begin(sink);
  REQUIRE(stream);
  const auto unfinished = stream->finish();
  REQUIRE_FALSE(unfinished);
  CHECK(std::string(unfinished.error().subject) == "x");
  REQUIRE(w.declare("x", one, nbit::ggml_type::f16));
  CHECK(w.begin(sink).error().code == nbit::errc::duplicate);
}

TEST_CASE("setting a key again keeps its place, erasing it frees the name") {
  nbit::gguf::writer w;
  REQUIRE(w.set("a", 1));
  REQUIRE(w.set("b", 2));
  REQUIRE(w.set("a", "three"));
  CHECK(w.erase("b"));
  CHECK_FALSE(w.erase("b"));
  REQUIRE(w.set("c", 4.0f));
  nbit::memory_sink sink;
  REQUIRE(w.begin(sink));
  const auto f = nbit::gguf::parse(sink.bytes);
  REQUIRE(f);
  REQUIRE(f->keys().size() == 2);
  CHECK(f->keys()[0].name == "a");
  CHECK(*f->get<std::string_view>("a") == "three");
  CHECK(f->keys()[1].name == "c");
}

// What a format's header adds so that as<Format>() works.
namespace nbit::gguf {
struct row_counter {};
inline result<std::uint64_t> tensor_as(std::type_identity<row_counter>, const tensor_info& t) { return t.rows(); }
}  // namespace nbit::gguf

TEST_CASE(
    "a tensor turns into a format's view by the function found beside the format, and a missing one into its error") {
  const auto f = nbit::gguf::open((nbit_test::io_folder("gguf_files") / "int_and_dims.gguf").string());
  REQUIRE(f);
  CHECK(*f->tensor("f32_4d").as<nbit::gguf::row_counter>() == 24);
  const auto missing = f->tensor("nowhere").as<nbit::gguf::row_counter>();
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == nbit::errc::missing);
  CHECK(std::string(missing.error().subject) == "nowhere");
}

TEST_CASE("ggml types: the table is sorted, sizes agree with bits per weight, and refusals say whose the type is") {
  std::uint32_t before = 0;
  for (const nbit::ggml_type_info& t : nbit::ggml_types) {
    INFO(t.name);
    CHECK((before == 0 || static_cast<std::uint32_t>(t.type) > before));
    before = static_cast<std::uint32_t>(t.type);
    CHECK(nbit::find_ggml_type(t.name) == &t);
    CHECK(nbit::ggml_type_of(static_cast<std::uint32_t>(t.type)));
  }
  CHECK(std::size(nbit::ggml_types) == 35);
  for (const std::uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, 137u, 202u, 399u, 400u, ~0u}) {
    const auto t = nbit::ggml_type_of(id);
    REQUIRE_FALSE(t);
    CHECK(t.error().found == static_cast<std::int64_t>(id));
  }
  CHECK(std::string(nbit::ggml_type_of(139).error().what).find("ik_llama") != std::string::npos);
}
