// tests/io/imatrix_test.cpp — importance matrices of both kinds: llama.cpp's, ours, and hostile ones.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/byte_sink.hpp>
#include <nbit/io/imatrix_gguf.hpp>

#include "io/files.hpp"

namespace {

using bytes = std::vector<std::byte>;

bytes golden(const char* name) {
  auto read = nbit_test::read_file(nbit_test::golden_dir() / "io" / "imatrix" / name);
  REQUIRE(read);
  return std::move(*read);
}

bytes as_gguf(const nbit::imatrix& m) {
  nbit::memory_sink out;
  const auto done = nbit::write_imatrix_gguf(m, out);
  if (!done) FAIL(done.error().what << " " << done.error().subject);
  return out.bytes;
}

bytes as_dat(const nbit::imatrix& m) {
  nbit::memory_sink out;
  const auto done = nbit::write_imatrix_dat(m, out);
  if (!done) FAIL(done.error().what << " " << done.error().subject);
  return out.bytes;
}

nbit::imatrix small() {
  nbit::imatrix m;
  m.chunk_count = 2, m.chunk_size = 4;
  m.entries.push_back({"a", {8, 16, 24, 0, 0, 0, 4, 8, 12}, {8, 0, 4}});
  return m;
}

void refuse(const std::function<void(nbit::imatrix&)>& damage, nbit::errc code) {
  nbit::imatrix m = small();
  damage(m);
  nbit::memory_sink out;
  const auto dat = nbit::write_imatrix_dat(m, out), gguf = nbit::write_imatrix_gguf(m, out);
  REQUIRE_FALSE(dat);
  REQUIRE_FALSE(gguf);
  CHECK(dat.error().code == code);
  CHECK(gguf.error().code == code);
  CHECK(std::string(gguf.error().subject) == "a");
  CHECK(out.bytes.empty());
}

}  // namespace

TEST_CASE("both kinds of importance matrix are read and written as llama.cpp's, byte for byte") {
  const bytes gguf = golden("ggml.gguf"), dat = golden("legacy.dat");
  const auto a = nbit::read_imatrix(gguf), b = nbit::read_imatrix(dat);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(as_gguf(*a) == gguf);
  CHECK(as_dat(*a) == dat);  // llama.cpp's rule: means times calls, 1 for an expert without data
  CHECK(as_dat(*b) == dat);
  CHECK(a->chunk_count == 6);
  CHECK(a->chunk_size == 512);
  CHECK(a->datasets == std::vector<std::string>{"wiki.txt", "code.txt"});
  CHECK(b->legacy);
  CHECK(b->datasets == std::vector<std::string>{"code.txt"});
  const nbit::imatrix_entry* const experts = a->find("blk.0.ffn_down_exps.weight");
  REQUIRE(experts != nullptr);
  CHECK(experts->matrices() == 3);
  CHECK(experts->cols() == 4);
  CHECK(experts->covered() == 2);
  for (const auto& e : a->entries) {
    INFO(e.name);
    const auto from_gguf = nbit::importance(*a, e.name, e.cols(), e.matrices());
    const auto from_dat = nbit::importance(*b, e.name, e.cols(), e.matrices());
    REQUIRE(from_gguf);
    REQUIRE(from_dat);
    for (std::size_t i = 0; i < from_gguf->size(); ++i) {
      const float x = (*from_gguf)[i], y = (*from_dat)[i];
      // An expert without data has 1 in both; the legacy form divides 1 by its calls again.
      if (e.counts[i / e.cols()] > 0.0f) CHECK(std::fabs(x - y) <= 1e-6f * x);
    }
  }
}

TEST_CASE("importance is the mean square, experts without data get what the caller chose") {
  const nbit::imatrix m = small();
  using list = std::vector<float>;
  CHECK(nbit::importance(m, "a", 3, 3).value_or(list{}) == list{1, 2, 3, 1, 1, 1, 1, 2, 3});
  CHECK(nbit::importance(m, "a", 3, 3, nbit::uncovered::average).value_or(list{}) == list{1, 2, 3, 1, 2, 3, 1, 2, 3});
  const auto refused = nbit::importance(m, "a", 3, 3, nbit::uncovered::refuse);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == nbit::errc::missing);
  CHECK(refused.error().found == 1);
  CHECK(nbit::importance(m, "b", 3).error().code == nbit::errc::missing);
  CHECK(nbit::importance(m, "a", 4, 3).error().code == nbit::errc::shape);
  CHECK(nbit::importance(m, "a", 9).error().code == nbit::errc::shape);
  CHECK(nbit::importance(m, "a", 3, 0).error().code == nbit::errc::shape);
  nbit::imatrix decorated;
  decorated.add("CUDA0#blk.1.attn_k.weight#0", list{2, 3}, 10);
  CHECK(nbit::importance(decorated, "blk.1.attn_k.weight", 2).value_or(list{}) == list{2, 3});
  CHECK_FALSE(nbit::importance(decorated, "attn_k", 2));
}

TEST_CASE("an importance matrix survives both files, and what no file may hold is not written") {
  const auto again = nbit::read_imatrix(as_gguf(small()));
  REQUIRE(again);
  CHECK(again->entries[0].sums == small().entries[0].sums);
  CHECK(again->entries[0].counts == small().entries[0].counts);
  nbit::imatrix none = small();
  none.entries.push_back({"unseen", {0, 0}, {0}});
  CHECK(nbit::read_imatrix(as_dat(none))->entries.size() == 1);
  CHECK(nbit::read_imatrix(as_gguf(none))->entries.size() == 2);
  refuse([](nbit::imatrix& m) { m.entries[0].sums[4] = std::numeric_limits<float>::infinity(); },
         nbit::errc::not_finite);
  refuse([](nbit::imatrix& m) { m.entries[0].sums[4] = -1.0f; }, nbit::errc::malformed);
  refuse([](nbit::imatrix& m) { m.entries[0].counts[1] = std::nanf(""); }, nbit::errc::malformed);
  refuse([](nbit::imatrix& m) { m.entries[0].sums.pop_back(); }, nbit::errc::shape);
  nbit::imatrix many = small();
  many.entries[0].counts[0] = 1e30f;  // no 32 bits hold its calls
  nbit::memory_sink out;
  CHECK(nbit::write_imatrix_dat(many, out).error().code == nbit::errc::overflow);
}

TEST_CASE("damaged importance matrices are refused, every prefix too") {
  for (const char* name : {"ggml.gguf", "legacy.dat"}) {
    const bytes whole = golden(name);
    std::size_t accepted = 0;
    for (std::size_t n = 0; n < whole.size(); ++n) {
      const nbit_test::exact_copy cut{std::span(whole).first(n)};
      accepted += nbit::read_imatrix(cut.bytes()) ? 1 : 0;
    }
    // The name of the data and the number of chunks may be missing; the padding after the last tensor too.
    INFO(name);
    CHECK(accepted == (name[0] == 'l' ? 2 : 28));
  }
  bytes dat = golden("legacy.dat");
  const auto refused = [](bytes b, nbit::errc code) {
    const auto m = nbit::read_imatrix(b);
    REQUIRE_FALSE(m);
    CHECK(m.error().code == code);
  };
  const auto with = [&dat](std::size_t at, std::initializer_list<int> values) {
    bytes b = dat;
    for (std::size_t i = at; const int v : values) b[i++] = static_cast<std::byte>(v);
    return b;
  };
  refused(with(0, {0xff, 0xff, 0xff, 0x7f}), nbit::errc::truncated);  // entries
  refused(with(0, {0, 0, 0, 0}), nbit::errc::malformed);
  refused(with(4, {0xff, 0xff, 0xff, 0xff}), nbit::errc::malformed);  // the name's length
  refused(with(4, {0xff, 0xff, 0xff, 0x7f}), nbit::errc::truncated);
  refused(with(31, {0, 0, 0, 0}), nbit::errc::malformed);  // values
  refused(with(31, {0xff, 0xff, 0xff, 0x7f}), nbit::errc::truncated);
  refused(with(35, {0, 0, 0xc0, 0x7f}), nbit::errc::not_finite);  // the first value
  refused(with(35, {0, 0, 0x80, 0xbf}), nbit::errc::malformed);
  dat.push_back(std::byte{0});
  refused(dat, nbit::errc::malformed);
  nbit::imatrix twice = small();
  twice.legacy = true, twice.entries[0].counts = {1}, twice.entries.push_back(twice.entries[0]);
  refused(as_dat(twice), nbit::errc::duplicate);
  nbit::gguf::writer w;
  const std::uint64_t ne[] = {4};
  REQUIRE(w.declare("a.in_sum2", ne, nbit::ggml_type::f32));
  nbit::memory_sink out;
  auto stream = w.begin(out);
  REQUIRE(stream->append(bytes(16)));
  refused(out.bytes, nbit::errc::missing);
}
