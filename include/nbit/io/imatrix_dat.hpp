// nbit/io/imatrix_dat.hpp — llama.cpp's older importance matrix file, which it still writes on request.
//
// Bytes   i32 entries; each: i32 length, name, i32 calls, i32 values, f32 each (mean square times calls)
//         then, in all but the oldest files: i32 chunks, i32 length, name of the data
// No magic and no limits: every count is checked against the bytes left. A file that a big-endian machine wrote has
// other counts than bytes and is refused.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_IMATRIX_DAT_HPP
#define NBIT_IO_IMATRIX_DAT_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/byte_sink.hpp>
#include <nbit/io/imatrix.hpp>

namespace nbit {

inline namespace NBIT_TAG {
namespace detail {

inline result<std::int32_t> imatrix_count(byte_cursor& in, const char* what, std::int32_t least) {
  const std::uint64_t at = in.offset();
  const result<std::int32_t> n = in.number<std::int32_t>(what);
  if (!n) return n;
  if (*n < least)
    return make_error(errc::malformed, "a count of an importance matrix file", least == 0 ? "0 and more" : "1 and more")
        .at(at)
        .with(*n);
  return n;
}

inline result<std::string_view> imatrix_text(byte_cursor& in, const char* what) {
  const result<std::int32_t> length = imatrix_count(in, what, 0);
  if (!length) return length.error();
  const auto bytes = in.take(static_cast<std::uint64_t>(*length), what);
  if (!bytes) return bytes.error();
  return as_text(*bytes);
}

/// A name that two entries have, or an empty one.
inline std::string_view imatrix_twice(const imatrix& m) {
  std::vector<std::string_view> names;
  for (const imatrix_entry& e : m.entries) names.push_back(e.name);
  detail::sort(names.data(), names.size());
  for (std::size_t i = 1; i < names.size(); ++i)
    if (names[i] == names[i - 1]) return names[i];
  return {};
}

}  // namespace detail

/// Reads a .dat file.
/// Errors: truncated, malformed (counts, bytes after the end, negative importance), not_finite, duplicate.
/// Cost: memory below 4 times the file's bytes.
[[nodiscard]] inline result<imatrix> read_imatrix_dat(std::span<const std::byte> bytes) {
  byte_cursor in(bytes);
  imatrix made;
  made.legacy = true;
  const auto entries = detail::imatrix_count(in, "the file ends inside the number of entries", 1);
  if (!entries) return entries.error();
  constexpr std::uint64_t least_entry = 16;  // three counts and a value
  if (static_cast<std::uint64_t>(*entries) > in.left() / least_entry)
    return make_error(errc::truncated, "number of entries", "no more entries than the file has bytes for")
        .at(std::uint64_t{0})
        .with(*entries);
  for (std::int32_t i = 0; i < *entries; ++i) {
    const auto name = detail::imatrix_text(in, "an entry's name ends after the file");
    if (!name) return name.error();
    const auto calls = detail::imatrix_count(in, "the file ends inside an entry's calls", 0);
    if (!calls) return calls.error().about(*name);
    const auto values = detail::imatrix_count(in, "the file ends inside an entry's number of values", 1);
    if (!values) return values.error().about(*name);
    const auto raw =
        in.take(std::uint64_t{4} * static_cast<std::uint64_t>(*values), "an entry's values end after the file");
    if (!raw) return raw.error().about(*name);
    imatrix_entry e{
        std::string(*name), std::vector<float>(static_cast<std::size_t>(*values)), {static_cast<float>(*calls)}};
    for (std::size_t k = 0; k < e.sums.size(); ++k) e.sums[k] = load_le<float>(raw->data() + 4 * k);
    if (auto ok = detail::check_imatrix_entry(e); !ok) return ok.error();
    made.entries.push_back(std::move(e));
  }
  if (in.left() != 0) {
    const auto chunks = detail::imatrix_count(in, "the file ends inside the number of chunks", 0);
    if (!chunks) return chunks.error();
    made.chunk_count = static_cast<std::uint32_t>(*chunks);
    if (in.left() != 0) {
      const auto data = detail::imatrix_text(in, "the name of the data ends after the file");
      if (!data) return data.error();
      made.datasets.emplace_back(*data);
    }
  }
  if (in.left() != 0)
    return make_error(errc::malformed, "the file goes on after its last entry", "the end of the file")
        .at(in.offset())
        .with(static_cast<std::int64_t>(in.left()));
  if (const std::string_view twice = detail::imatrix_twice(made); !twice.empty())
    return make_error(errc::duplicate, "an importance matrix has a tensor twice", "each name once").about(twice);
  return made;
}

/// Writes a .dat file: what was read from one byte for byte, anything else as llama.cpp does: means times calls, a mean
/// of 1 for experts without data, entries without any data left out.
/// Errors: shape, not_finite, malformed (entries that no file may hold), overflow, and those of the sink.
template <byte_sink Sink>
result<void> write_imatrix_dat(const imatrix& from, Sink& to) {
  std::vector<std::byte> out;
  const auto put = [&out](auto v) {
    std::byte raw[sizeof(v)];
    store_le(v, raw);
    out.insert(out.end(), raw, raw + sizeof(v));
  };
  const auto text = [&](std::string_view s) {
    put(static_cast<std::int32_t>(s.size()));
    const auto bytes = as_bytes(s);
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
  std::size_t entries = 0;
  for (const imatrix_entry& e : from.entries) entries += from.legacy || e.covered() != 0 ? 1 : 0;
  put(static_cast<std::int32_t>(entries));
  for (const imatrix_entry& e : from.entries) {
    if (!from.legacy && e.covered() == 0) continue;
    if (auto ok = detail::check_imatrix_entry(e); !ok) return ok;
    float most = 0.0f;
    for (const float c : e.counts) most = c > most ? c : most;
    // A call is a chunk; rounded up, so that little data does not become none.
    const auto chunk = static_cast<float>(from.chunk_size == 0 || from.legacy ? 1 : from.chunk_size);
    const float whole = (most + (chunk - 1.0f)) / chunk;
    if (!(whole < 2147483648.0f) || e.sums.size() > 0x7fffffffu)
      return make_error(errc::overflow, "a count of an importance matrix does not fit 32 bits", "below 2^31")
          .about(e.name);
    const auto calls = static_cast<std::int32_t>(whole);
    text(e.name);
    put(calls);
    put(static_cast<std::int32_t>(e.sums.size()));
    for (std::size_t i = 0; i < e.sums.size(); ++i) {
      const float count = e.counts[i / e.cols()];
      put(from.legacy ? e.sums[i] : (count > 0.0f ? e.sums[i] / count : 1.0f) * static_cast<float>(calls));
    }
  }
  put(static_cast<std::int32_t>(from.chunk_count));
  text(from.datasets.empty() ? std::string_view() : std::string_view(from.datasets.back()));
  return to.write(out);
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
