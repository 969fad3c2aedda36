// nbit/io/gguf_split.hpp — a model in several GGUF files: PREFIX-00001-of-00003.gguf and so on, read and written as
// one.
//
// Every part holds split.no (from 0), split.count and split.tensors.count (of the whole set); the first part has all
// other keys. A file without them is a set of one. Names, counts and numbers must agree, whichever part is opened.
// Ref: llama.cpp's gguf-split and its loader, of October 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGUF_SPLIT_HPP
#define NBIT_IO_GGUF_SPLIT_HPP

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
#include <nbit/io/gguf_file.hpp>
#include <nbit/io/gguf_reader.hpp>
#include <nbit/io/gguf_writer.hpp>
#include <nbit/io/tensor_stream.hpp>

namespace nbit::gguf {

/// Where a file stands in its set, as it says itself.
struct split_position {
  std::uint32_t no = 0, count = 1;  // no from 0
  std::uint64_t tensors = 0;        // of the whole set
};

/// How large the parts of a set may become; 0 is no limit. A tensor that is larger than a part has one of its own.
struct split_limits {
  std::uint64_t bytes = 0;     // of the tensors, padded
  std::size_t tensors = 0;     // in a part
  bool keys_in_front = false;  // a first part with keys only
};

inline namespace NBIT_TAG {

/// Where the file stands in its set.  Errors: missing (some of the three keys), malformed, overflow.
[[nodiscard]] inline result<split_position> split_of(const file& f) {
  split_position p;
  p.tensors = f.tensors().size();
  if (f.find("split.no") == nullptr && f.find("split.count") == nullptr) return p;
  const auto count = f.get<std::uint32_t>("split.count"), no = f.get<std::uint32_t>("split.no");
  const auto tensors = f.get<std::uint64_t>("split.tensors.count");
  if (!count) return count.error();
  if (!no) return no.error();
  if (!tensors) return tensors.error();
  if (*count > 65535 || *no >= (*count == 0 ? 1 : *count))
    return make_error(errc::malformed, "a part's number is not one of its set", "split.no below split.count")
        .about("split.no")
        .with(*no);
  // Writers that split a model into one part leave a count of 0.
  p = {*no, *count == 0 ? 1 : *count, *tensors};
  return p;
}

/// "PREFIX-00002-of-00003.gguf" for no = 1, count = 3.
[[nodiscard]] inline std::string split_path(std::string_view prefix, std::uint32_t no, std::uint32_t count) {
  const auto five = [](std::uint32_t n) {
    const std::string digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  return std::string(prefix) + "-" + five(no + 1) + "-of-" + five(count) + ".gguf";
}

/// The model in several files, as one list of tensors. Owns the files; views point into them.
class split_set {
 public:
  /// The parts in order.
  [[nodiscard]] std::span<const file> parts() const noexcept { return {parts_.data(), parts_.size()}; }
  /// The part that has the keys.
  [[nodiscard]] const file& first() const noexcept { return parts_.front(); }
  /// All tensors: those of the first part, then of the next. Offsets count from the start of their part.
  [[nodiscard]] std::span<const tensor_info> tensors() const noexcept { return {tensors_.data(), tensors_.size()}; }

  /// A tensor by name.  Errors: missing.  Cost: a binary search in each part.
  [[nodiscard]] found_tensor tensor(std::string_view name) const {
    for (const file& f : parts_)
      if (found_tensor t = f.tensor(name)) return t;
    return make_error(errc::missing, "no part of the set has this tensor").about(name);
  }

  /// Joins files, in any order, into the set that they say they are.
  /// Errors: missing (a part; found = its number from 0), duplicate (a part or a tensor), malformed (parts that
  /// contradict each other), and those of split_of.
  [[nodiscard]] static result<split_set> join(std::vector<file> files) {
    const auto bad = [](errc code, const char* what, const char* allowed, const char* key, std::uint64_t found) {
      return make_error(code, what, allowed).about(key).with(static_cast<std::int64_t>(found));
    };
    if (files.empty()) return make_error(errc::missing, "a set has no files", "one file or more");
    std::vector<split_position> at;
    for (const file& f : files) {
      const auto p = split_of(f);
      if (!p) return p.error();
      at.push_back(*p);
    }
    const split_position all = at[0];
    if (files.size() > all.count)
      return bad(errc::duplicate, "a set has more files than it says", "split.count", "split.count", files.size());
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (at[i].count != all.count)
        return bad(errc::malformed, "parts say different numbers of parts", "one split.count", "split.count",
                   at[i].count);
      if (at[i].tensors != all.tensors)
        return bad(errc::malformed, "parts say different numbers of tensors", "one split.tensors.count",
                   "split.tensors.count", at[i].tensors);
      if (files[i].order() != files[0].order())
        return bad(errc::malformed, "parts have different byte orders", "one byte order", "split.no", at[i].no);
      order.push_back(i);
    }
    nbit::detail::sort(order.data(), order.size(), [&at](std::size_t a, std::size_t b) { return at[a].no < at[b].no; });
    split_set made;
    for (std::size_t no = 0; no < all.count; ++no) {
      if (no < order.size() && at[order[no]].no < no)
        return bad(errc::duplicate, "a part occurs twice", "each split.no once", "split.no", at[order[no]].no);
      if (no >= order.size() || at[order[no]].no != no)
        return bad(errc::missing, "a part of the set is missing", "split.no from 0 to split.count - 1", "split.no", no);
      made.parts_.push_back(std::move(files[order[no]]));
    }
    if (result<void> done = made.list(all.tensors); !done) return done.error();
    return made;
  }

  /// Opens a set by any of its files; the others lie beside it under the names that split_path gives.
  /// Errors: those of open and join; malformed when the file's name is not that of its place in the set.
  [[nodiscard]] static result<split_set> open(const std::string& path) {
    result<file> here = gguf::open(path);
    if (!here) return here.error();
    const auto at = split_of(*here);
    if (!at) return at.error();
    const std::string end = split_path("", at->no, at->count);
    std::vector<file> files;
    if (at->count > 1) {
      if (path.size() <= end.size() || path.compare(path.size() - end.size(), end.size(), end) != 0)
        return make_error(errc::malformed, "a part's file name is not the one that its place in the set gives",
                          "PREFIX-00001-of-00003.gguf for the first of three")
            .about(nbit::detail::path_end(path))
            .with(at->no);
      const std::string prefix = path.substr(0, path.size() - end.size());
      for (std::uint32_t no = 0; no < at->count; ++no) {
        if (no == at->no) continue;
        result<file> other = gguf::open(split_path(prefix, no, at->count));
        if (!other) {
          const nbit::error& e = other.error();
          return e.subject[0] == '\0' ? e.about(nbit::detail::path_end(split_path(prefix, no, at->count))) : e;
        }
        const auto place = split_of(*other);
        if (place && place->no != no)
          return make_error(errc::malformed, "a part says another number than its file name", "split.no as in the name")
              .about(nbit::detail::path_end(split_path(prefix, no, at->count)))
              .with(place->no);
        files.push_back(std::move(*other));
      }
    }
    files.push_back(std::move(*here));
    return join(std::move(files));
  }

 private:
  result<void> list(std::uint64_t wanted) {
    for (const file& f : parts_)
      for (const tensor_info& t : f.tensors()) tensors_.push_back(t);
    if (tensors_.size() != wanted)
      return make_error(errc::malformed, "the parts have more or fewer tensors than the set says",
                        "split.tensors.count in all")
          .about("split.tensors.count")
          .with(static_cast<std::int64_t>(tensors_.size()));
    return nbit::detail::check_names(std::span<const tensor_info>(tensors_), "a tensor is in two parts of the set");
  }

  std::vector<file> parts_;
  std::vector<tensor_info> tensors_;
};

/// Removes what makes a file a part of a set, so that all tensors can be written into one file.
inline void erase_split_keys(writer& w) {
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) w.erase(key);
}

/// One writer for each part of the set that holds all tensors of `all`, in their order; the first has the keys.
/// Errors: overflow for more than 65535 parts.
[[nodiscard]] inline result<std::vector<writer>> split(const writer& all, const split_limits& limits) {
  const std::span<const declared_tensor> tensors = all.tensors();
  std::vector<std::size_t> ends;  // of the parts
  if (limits.keys_in_front) ends.push_back(0);
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::uint64_t padded = 0, grown = 0;
    if (!checked_align(tensors[i].bytes, all.alignment(), padded) || !checked_add(bytes, padded, grown))
      return make_error(errc::overflow, "a tensor's size does not fit 64 bits").about(tensors[i].name);
    if (count != 0 &&
        ((limits.bytes != 0 && grown > limits.bytes) || (limits.tensors != 0 && count == limits.tensors))) {
      ends.push_back(i);
      bytes = padded, count = 1;
    } else {
      bytes = grown, ++count;
    }
  }
  ends.push_back(tensors.size());
  if (ends.size() > 65535)
    return make_error(errc::overflow, "a set has too many parts", "at most 65535; larger parts")
        .with(static_cast<std::int64_t>(ends.size()));
  std::vector<writer> parts;
  std::size_t first = 0;
  for (std::size_t no = 0; no < ends.size(); first = ends[no], ++no) {
    writer& w = parts.emplace_back(all.part(first, ends[no] - first, no == 0));
    if (auto done = w.set("split.no", static_cast<std::uint16_t>(no)); !done) return done.error();
    if (auto done = w.set("split.count", static_cast<std::uint16_t>(ends.size())); !done) return done.error();
    if (auto done = w.set("split.tensors.count", static_cast<std::int32_t>(tensors.size())); !done) return done.error();
  }
  return parts;
}

}  // namespace NBIT_TAG
}  // namespace nbit::gguf

#endif
