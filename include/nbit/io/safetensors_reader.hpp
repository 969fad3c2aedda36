// nbit/io/safetensors_reader.hpp — opens a safetensors file, believes nothing in its header and copies no tensor.
//
// Bytes   u64 header length | JSON object: name -> {dtype, shape, data_offsets [begin, end)} | data
// Checked: the header's JSON; every shape multiplied left to right; begin, end and shape agree; the tensors cover the
// data exactly, without overlap, hole or rest. "__metadata__" (strings) and unknown members are kept in header().
// Offsets need no alignment: a tensor may begin at any byte.   Ref: the format section of safetensors' README.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_SAFETENSORS_READER_HPP
#define NBIT_IO_SAFETENSORS_READER_HPP

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
#include <nbit/io/json_reader.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/mapped_file.hpp>
#include <nbit/io/safetensors_dtype.hpp>

namespace nbit::safetensors {

/// The longest header that readers accept, in bytes.
inline constexpr std::uint64_t longest_header = 100'000'000;

inline namespace NBIT_TAG {

/// One tensor of a file: what it is and where its bytes lie. Shape: outermost dimension first; empty for one number.
struct tensor_info {
  std::string_view name;
  safetensors::dtype type = dtype::u8;
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;  // of the first byte, from the start of the file
  std::span<const std::byte> bytes;

  /// Numbers in a row: the last dimension, or 1.
  [[nodiscard]] std::uint64_t cols() const noexcept { return shape.empty() ? 1 : shape.back(); }
  /// Rows, all other dimensions taken together.
  [[nodiscard]] std::uint64_t rows() const noexcept {
    std::uint64_t n = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
  }
  [[nodiscard]] std::uint64_t elements() const noexcept { return rows() * cols(); }
};

class file;
namespace detail {
class reader;
}

/// A checked safetensors file. Owns the mapping when open() made it; after parse() the caller keeps the bytes alive.
class file {
 public:
  /// All tensors in the header's order, which need not be the order of their bytes.
  [[nodiscard]] std::span<const tensor_info> tensors() const noexcept { return {tensors_.data(), tensors_.size()}; }
  /// The header as it is, with "__metadata__" and members nobody here knows.
  [[nodiscard]] const json_value& header() const noexcept { return header_; }
  /// The strings of "__metadata__" as an object, or nullptr.
  [[nodiscard]] const json_value* metadata() const noexcept { return header_.find("__metadata__"); }
  /// Where the tensors' bytes begin.
  [[nodiscard]] std::uint64_t data_offset() const noexcept { return data_offset_; }
  /// The whole file.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// A tensor by name.  Errors: missing.  Cost: a binary search.
  [[nodiscard]] result<tensor_info> tensor(std::string_view name) const {
    std::size_t first = 0, last = sorted_.size();
    while (first < last) {
      const std::size_t middle = first + (last - first) / 2;
      if (tensors_[sorted_[middle]].name < name)
        first = middle + 1;
      else
        last = middle;
    }
    if (first < sorted_.size() && tensors_[sorted_[first]].name == name) return tensors_[sorted_[first]];
    return make_error(errc::missing, "the file lacks this tensor").about(name);
  }

 private:
  friend class detail::reader;

  std::span<const std::byte> bytes_;
  mapped_file mapping_;
  std::uint64_t data_offset_ = 0;
  json_value header_;  // owns the names that tensors_ views
  std::vector<tensor_info> tensors_;
  std::vector<std::size_t> sorted_;  // indexes into tensors_, by name
};

namespace detail {

class reader {
 public:
  static result<file> parse(std::span<const std::byte> bytes, mapped_file mapping) {
    reader r;
    r.made_.bytes_ = bytes;
    r.made_.mapping_.swap(mapping);
    if (result<void> done = r.read(); !done) return done.error();
    return std::move(r.made_);
  }

 private:
  [[nodiscard]] error bad(errc code, const char* what, const char* allowed, const json_value& at) const {
    return make_error(code, what, allowed).at(8 + at.offset());
  }

  result<void> read() {
    byte_cursor in(made_.bytes_);
    const result<std::uint64_t> length = in.number<std::uint64_t>("the file ends inside the header's length");
    if (!length) return length.error();
    if (*length > longest_header)
      return make_error(errc::overflow, "header length", "at most 100000000 bytes")
          .at(std::uint64_t{0})
          .with(static_cast<std::int64_t>(*length));
    const auto header = in.take(*length, "the header ends after the file");
    if (!header) return header.error().at(std::uint64_t{0});
    made_.data_offset_ = in.offset();
    if (header->empty() || header->front() != std::byte{'{'})
      return make_error(errc::malformed, "the header is not a JSON object", "text that begins with {")
          .at(std::uint64_t{8});
    result<json_value> parsed = json_parse(as_text(*header), {.bytes = longest_header});
    if (!parsed) return parsed.error().at(8 + parsed.error().offset);
    made_.header_ = std::move(*parsed);

    const auto names = std::as_const(made_.header_).names();
    const auto items = std::as_const(made_.header_).items();
    made_.tensors_.reserve(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      result<void> done = names[i] == "__metadata__" ? metadata(items[i]) : entry(names[i], items[i]);
      if (!done) return done.error().about(names[i]);
    }
    if (result<void> done = cover(); !done) return done;
    by_name();
    return {};
  }

  result<void> metadata(const json_value& of) const {
    if (!of.is(json_kind::object))
      return bad(errc::malformed, "the metadata is not an object", "an object of strings", of);
    for (const json_value& v : of.items())
      if (!v.is(json_kind::string)) return bad(errc::malformed, "a metadata value is not a string", "a string", v);
    return {};
  }

  [[nodiscard]] result<const json_value*> member(const json_value& of, std::string_view name, json_kind kind,
                                                 const char* what, const char* allowed) const {
    const json_value* const v = of.find(name);
    if (v == nullptr) return bad(errc::missing, what, allowed, of);
    if (!v->is(kind)) return bad(errc::malformed, what, allowed, *v);
    return v;
  }

  result<void> entry(std::string_view name, const json_value& of) {
    if (!of.is(json_kind::object))
      return bad(errc::malformed, "a tensor's entry is not an object", "dtype, shape and data_offsets", of);
    const auto type =
        member(of, "dtype", json_kind::string, "a tensor's dtype is missing or no string", "a type's name");
    if (!type) return type.error();
    const auto shape = member(of, "shape", json_kind::array, "a tensor's shape is missing or no array", "an array");
    if (!shape) return shape.error();
    const auto range =
        member(of, "data_offsets", json_kind::array, "a tensor's data_offsets are missing or no array", "[begin, end]");
    if (!range) return range.error();

    const dtype_info* const known = find_dtype((*type)->text());
    if (known == nullptr)
      return bad(errc::unsupported, "a tensor's dtype is unknown", "BOOL, U8 to U64, I8 to I64, F4 to F64, BF16 or C64",
                 **type);
    tensor_info t;
    t.name = name;
    t.type = known->type;
    std::uint64_t elements = 1, size_bits = 0, all = 1;
    t.shape.reserve((*shape)->size());
    for (const json_value& d : (*shape)->items()) {
      const result<std::uint64_t> n = d.get<std::uint64_t>();
      if (!n) return bad(n.error().code, "a dimension is not a whole number", "0 to 2^64-1", d);
      // A zero must not hide what the other dimensions multiply to: rows() is a product of some of them.
      if (!checked_mul(elements, *n, elements) || !checked_mul(all, *n == 0 ? 1 : *n, all))
        return bad(errc::overflow, "a tensor's element count does not fit 64 bits", "", d)
            .with(static_cast<std::int64_t>(*n));
      t.shape.push_back(*n);
    }
    if (!checked_mul(elements, known->bits, size_bits))
      return bad(errc::overflow, "a tensor's bytes do not fit 64 bits", "", **shape)
          .with(static_cast<std::int64_t>(elements));
    if (size_bits % 8 != 0)
      return bad(errc::shape, "a tensor does not end on a whole byte", "a multiple of 8 bits", **shape)
          .with(static_cast<std::int64_t>(size_bits));

    if ((*range)->size() != 2)
      return bad(errc::malformed, "data_offsets is not a pair", "[begin, end]", **range)
          .with(static_cast<std::int64_t>((*range)->size()));
    std::uint64_t ends[2] = {};
    for (std::size_t i = 0; i < 2; ++i) {
      const json_value& at = (*range)->items()[i];
      const result<std::uint64_t> n = at.get<std::uint64_t>();
      if (!n) return bad(n.error().code, "a data offset is not a whole number", "0 to the data's size", at);
      ends[i] = *n;
    }
    const std::uint64_t size = made_.bytes_.size() - made_.data_offset_;
    if (ends[1] < ends[0] || ends[1] > size)
      return bad(ends[1] < ends[0] ? errc::malformed : errc::truncated, "a tensor's bytes are not inside the file",
                 "begin <= end <= the data's size", **range)
          .with(static_cast<std::int64_t>(ends[1]));
    if (ends[1] - ends[0] != size_bits / 8)
      return bad(errc::shape, "a tensor's shape and dtype do not take the bytes between its data_offsets",
                 "end - begin = elements times size", **range)
          .with(static_cast<std::int64_t>(ends[1] - ends[0]));
    t.offset = made_.data_offset_ + ends[0];
    t.bytes = made_.bytes_.subspan(static_cast<std::size_t>(t.offset), static_cast<std::size_t>(ends[1] - ends[0]));
    made_.tensors_.push_back(std::move(t));
    return {};
  }

  /// Refuses overlaps, holes and a rest: bytes that no tensor owns could carry anything.
  result<void> cover() const {
    std::vector<const tensor_info*> order;
    order.reserve(made_.tensors_.size());
    for (const tensor_info& t : made_.tensors_) order.push_back(&t);
    nbit::detail::sort(order.data(), order.size(), [](const tensor_info* a, const tensor_info* b) {
      return a->offset != b->offset ? a->offset < b->offset : a->bytes.size() < b->bytes.size();
    });
    std::uint64_t at = made_.data_offset_;
    for (const tensor_info* t : order) {
      if (t->offset != at)
        return make_error(errc::malformed,
                          t->offset < at ? "a tensor's bytes overlap another's" : "a hole before a tensor's bytes",
                          "tensors that follow one another")
            .at(t->offset)
            .about(t->name)
            .with(static_cast<std::int64_t>(t->offset - made_.data_offset_));
      at += t->bytes.size();
    }
    if (at != made_.bytes_.size())
      return make_error(errc::malformed, "the file goes on after its last tensor", "the end of the file")
          .at(at)
          .with(static_cast<std::int64_t>(made_.bytes_.size() - at));
    return {};
  }

  void by_name() {
    made_.sorted_.resize(made_.tensors_.size());
    for (std::size_t i = 0; i < made_.sorted_.size(); ++i) made_.sorted_[i] = i;
    const std::vector<tensor_info>& all = made_.tensors_;
    nbit::detail::sort(made_.sorted_.data(), made_.sorted_.size(),
                       [&all](std::size_t a, std::size_t b) { return all[a].name < all[b].name; });
  }

  file made_;
};

}  // namespace detail

/// A checked file over bytes that the caller keeps alive.
/// Errors: truncated, malformed, overflow, duplicate, missing, unsupported, shape; each with the byte offset.
/// Cost: proportional to the header; no tensor byte is read.
[[nodiscard]] inline result<file> parse(std::span<const std::byte> bytes) {
  return detail::reader::parse(bytes, mapped_file());
}

/// A checked file, mapped; it owns the mapping.  Errors: those of mapped_file::open and of parse.
[[nodiscard]] inline result<file> open(const std::string& path) {
  result<mapped_file> mapping = mapped_file::open(path);
  if (!mapping) return mapping.error();
  const std::span<const std::byte> bytes = mapping->bytes();
  return detail::reader::parse(bytes, std::move(*mapping));
}

}  // namespace NBIT_TAG
}  // namespace nbit::safetensors

#endif
