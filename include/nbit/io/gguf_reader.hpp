// nbit/io/gguf_reader.hpp — opens a GGUF file (versions 2 and 3), believes nothing in it and copies no tensor.
//
// Bytes   "GGUF" | u32 version | u64 tensor count | u64 key count | keys | tensor infos | zeros to the alignment | data
//         key: string, u32 value type, value     info: string, u32 dimensions, u64 each, u32 type, u64 offset in data
// Checked before the caller gets a file: every count against the fewest bytes its entries can take, every product left
// to right, names and keys unique, the alignment, and that tensors follow one another in the declared order without gap
// or overlap and end inside the file. Refused: retired and foreign tensor types. Of a big-endian file the header is
// read from a little-endian copy; tensors keep their order (file::order()). Accepted though ggml refuses them: nested
// arrays, to 8 levels.   Ref: ggml's docs/gguf.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGUF_READER_HPP
#define NBIT_IO_GGUF_READER_HPP

#include <bit>  // endian
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_byte_order.hpp>
#include <nbit/io/gguf_file.hpp>
#include <nbit/io/gguf_value.hpp>
#include <nbit/io/mapped_file.hpp>

namespace nbit::gguf {

inline namespace NBIT_TAG {
namespace detail {

/// Builds a file from bytes. A member function returns success or the first error, with its offset and subject.
struct reader {
  file made;
  byte_cursor in;

  explicit reader(std::span<const std::byte> bytes) noexcept : in(bytes) { made.bytes_ = made.header_ = bytes; }

  // The least a key takes: length 8, one byte of name, type 4, value 1. A tensor: length 8, dimensions 4, type 4,
  // offset 8.
  static constexpr std::uint64_t least_key_bytes = 14, least_tensor_bytes = 24;

  static error bad(errc code, const char* what, const char* allowed, std::uint64_t offset,
                   std::uint64_t found) noexcept {
    return make_error(code, what, allowed).at(offset).with(static_cast<std::int64_t>(found));
  }

  [[nodiscard]] std::uint64_t position(std::string_view in_file) const noexcept {
    return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(in_file.data()) - made.header_.data());
  }

  result<std::string_view> text(const char* what) noexcept {
    const std::uint64_t at = in.offset();
    const result<std::uint64_t> length = in.number<std::uint64_t>(what);
    if (!length) return length.error();
    if (*length > limits::string_bytes) return bad(errc::overflow, what, "a length of at most 2^30 bytes", at, *length);
    const result<std::span<const std::byte>> bytes = in.take(*length, what);
    if (!bytes) return bytes.error().at(at);
    return as_text(*bytes);
  }

  result<void> header() noexcept {
    const result<std::span<const std::byte>> magic = in.take(4, "the file ends inside the magic");
    if (!magic) return magic.error();
    if (as_text(*magic) != "GGUF")
      return bad(errc::malformed, "this is not a GGUF file", "the letters GGUF", 0,
                 load_le<std::uint32_t>(magic->data()));
    const result<std::uint32_t> version = in.number<std::uint32_t>("the file ends inside the version");
    if (!version) return version.error();
    if ((*version & 0xffffu) == 0 && *version != 0 && made.order_ == std::endian::little) {
      if (const result<void> done = turn(); !done) return done;
      return header();
    }
    if (*version != 2 && *version != 3) return bad(errc::unsupported, "GGUF version", "2 or 3", 4, *version);
    made.version_ = *version;
    return {};
  }

  /// Goes on with a little-endian copy of a big-endian header.
  result<void> turn() noexcept {
    const result<std::uint64_t> size = header_swapper(made.bytes_, std::endian::big, nullptr).walk();
    if (!size) return size.error();
    result<buffer<std::byte>> copy = buffer<std::byte>::make(static_cast<std::size_t>(*size));
    if (!copy) return copy.error();
    (void)header_swapper(made.bytes_, std::endian::big, copy->data()).walk();
    made.turned_.swap(*copy);
    made.header_ = made.turned_.span();
    made.order_ = std::endian::big;
    in = byte_cursor(made.header_);
    return {};
  }

  /// Moves over one value of this type.
  result<void> skip(value_type t, int depth) noexcept {
    if (t == value_type::string) {
      const result<std::string_view> s = text("a string ends after the file");
      return s ? result<void>() : result<void>(s.error());
    }
    if (t != value_type::array) {
      const auto bytes = in.take(fixed_bytes(t), "a key's value ends after the file");
      return bytes ? result<void>() : result<void>(bytes.error());
    }
    const std::uint64_t at = in.offset();
    if (depth == limits::nesting)
      return bad(errc::unsupported, "arrays are nested too deep", "at most 8 levels", at,
                 static_cast<std::uint64_t>(depth) + 1);
    const result<std::uint32_t> element = in.number<std::uint32_t>("the file ends inside an array's element type");
    if (!element) return element.error();
    if (*element > 12) return bad(errc::malformed, "array element type is unknown", "0 to 12", at, *element);
    const result<std::uint64_t> count = in.number<std::uint64_t>("the file ends inside an array's length");
    if (!count) return count.error();
    if (*count > limits::array_elements)
      return bad(errc::overflow, "array length", "at most 2^30 elements", at + 4, *count);
    const auto each = static_cast<value_type>(*element);
    if (const std::size_t size = fixed_bytes(each)) {  // 2^30 elements of 8 bytes cannot overflow
      const auto bytes = in.take(*count * size, "an array ends after the file");
      return bytes ? result<void>() : result<void>(bytes.error().at(at).with(static_cast<std::int64_t>(*count)));
    }
    // The shortest string takes 8 bytes, the shortest array 12: a count beyond that never starts the loop.
    if (*count > in.left() / (each == value_type::string ? 8u : 12u))
      return bad(errc::truncated, "an array ends after the file", "no more elements than the file has bytes for",
                 at + 4, *count);
    for (std::uint64_t i = 0; i < *count; ++i)
      if (const result<void> done = skip(each, depth + 1); !done) return done;
    return {};
  }

  result<void> one_key(key* to) noexcept {
    const std::uint64_t at = in.offset();
    const result<std::string_view> name = text("a key's name ends after the file");
    if (!name) return name.error();
    if (name->empty()) return bad(errc::malformed, "a key's name is empty", "at least one byte", at, 0);
    const std::uint64_t type_at = in.offset();
    const result<std::uint32_t> type = in.number<std::uint32_t>("the file ends inside a key's value type");
    if (!type) return type.error().about(*name);
    if (*type > 12) return bad(errc::malformed, "value type is unknown", "0 to 12", type_at, *type).about(*name);
    const std::uint64_t first = in.offset();
    if (const result<void> done = skip(static_cast<value_type>(*type), 0); !done) return done.error().about(*name);
    ::new (static_cast<void*>(to)) key{
        *name,
        value(static_cast<value_type>(*type),
              made.header_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(in.offset() - first)))};
    return {};
  }

  result<void> one_tensor(tensor_info* to) noexcept {
    tensor_info t;
    const std::uint64_t at = in.offset();
    const result<std::string_view> name = text("a tensor's name ends after the file");
    if (!name) return name.error();
    t.name = *name;
    if (t.name.size() > limits::name_bytes)
      return bad(errc::malformed, "a tensor's name is too long", "at most 63 bytes", at, t.name.size()).about(t.name);
    const std::uint64_t dims_at = in.offset();
    const result<std::uint32_t> dims = in.number<std::uint32_t>("the file ends inside a tensor's dimensions");
    if (!dims) return dims.error().about(t.name);
    if (*dims > limits::dimensions)
      return bad(errc::malformed, "a tensor has too many dimensions", "0 to 4", dims_at, *dims).about(t.name);
    t.n_dims = *dims;
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < t.n_dims; ++d) {
      const std::uint64_t dim_at = in.offset();
      const result<std::uint64_t> n = in.number<std::uint64_t>("the file ends inside a tensor's dimensions");
      if (!n) return n.error().about(t.name);
      t.ne[d] = *n;
      if (*n > std::uint64_t{1} << 62)
        return bad(errc::overflow, "a tensor's dimension is negative or too large", "0 to 2^62", dim_at, *n)
            .about(t.name);
      // A zero must not hide what the other dimensions multiply to: rows() is their product.
      if (!checked_mul(elements, *n == 0 ? 1 : *n, elements) || elements > std::uint64_t{1} << 62)
        return bad(errc::overflow, "a tensor's element count does not fit", "at most 2^62", dim_at, *n).about(t.name);
    }
    const std::uint64_t type_at = in.offset();
    const result<std::uint32_t> id = in.number<std::uint32_t>("the file ends inside a tensor's type");
    if (!id) return id.error().about(t.name);
    const result<ggml_type_info> type = ggml_type_of(*id);
    if (!type) return type.error().about(t.name).at(type_at);
    t.type = *type;
    if (t.cols() % t.type.block != 0)
      return bad(errc::shape, "a tensor's rows are not whole blocks of its type", block_rule(t.type), dims_at + 4,
                 t.cols())
          .about(t.name);
    std::uint64_t bytes = 0;
    if (!ggml_bytes(t.type, t.cols(), t.rows(), bytes))
      return bad(errc::overflow, "a tensor's bytes do not fit 64 bits", "", dims_at, t.cols()).about(t.name);
    const result<std::uint64_t> offset = in.number<std::uint64_t>("the file ends inside a tensor's offset");
    if (!offset) return offset.error().about(t.name);
    t.offset = *offset;
    ::new (static_cast<void*>(to)) tensor_info(t);
    return {};
  }

  result<void> find_alignment() noexcept {
    const value* const v = made.find("general.alignment");
    if (v == nullptr) return {};
    const std::uint64_t at = made.where(*v);
    if (v->type() != value_type::u32)
      return bad(errc::malformed, "general.alignment has the wrong type", "value type 4 (u32)", at,
                 static_cast<std::uint64_t>(v->type()))
          .about("general.alignment");
    const std::uint64_t n = load_le<std::uint32_t>(v->raw().data());
    if (n == 0 || (n & (n - 1)) != 0)
      return bad(errc::malformed, "alignment", "a power of two", at, n).about("general.alignment");
    made.alignment_ = n;
    return {};
  }

  /// Gives every tensor its bytes; they follow one another, each rounded up to the alignment.
  result<void> place(std::uint64_t infos_end) noexcept {
    // Nobody needs the padding before an empty data section, and some writers leave it out.
    if (!checked_align(infos_end, made.alignment_, made.data_offset_))
      return bad(errc::overflow, "the alignment puts the data outside of any file", "", infos_end, made.alignment_);
    const std::uint64_t all = made.bytes_.size();
    std::uint64_t expected = 0;
    for (tensor_info& t : made.tensors_) {
      std::uint64_t size = 0, first = 0, end = 0;
      const bool fits = ggml_bytes(t.type, t.cols(), t.rows(), size);
      if (t.offset != expected)
        return bad(errc::malformed, "a tensor's offset does not follow the tensor before it",
                   "the end of the tensor before, rounded up to the alignment",
                   position(t.name) + t.name.size() + 8 + 8 * std::uint64_t{t.n_dims}, t.offset)
            .about(t.name);
      if (!fits || !checked_add(made.data_offset_, t.offset, first) || !checked_add(first, size, end) ||
          (size != 0 && end > all))
        return bad(errc::truncated, "a tensor's bytes end after the file", "no more bytes than the file has left",
                   first, size)
            .about(t.name);
      if (!checked_align(end - made.data_offset_, made.alignment_, expected))
        return bad(errc::overflow, "the tensors' sizes do not fit 64 bits", "", first, size).about(t.name);
      t.offset = first;
      t.order = made.order_;
      if (size != 0) t.bytes = made.bytes_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size));
    }
    return {};
  }

  /// Sorts pointers to the entries by name and refuses a name that occurs twice.
  template <class Entry>
  result<void> index(buffer<Entry>& entries, buffer<const Entry*>& sorted, const char* what) noexcept {
    result<buffer<const Entry*>> pointers = buffer<const Entry*>::make(entries.size());
    if (!pointers) return pointers.error();
    for (std::size_t i = 0; i < entries.size(); ++i) (*pointers)[i] = entries.data() + i;
    nbit::detail::sort(pointers->data(), pointers->size(), by_name{});
    for (std::size_t i = 1; i < entries.size(); ++i)
      if ((*pointers)[i]->name == (*pointers)[i - 1]->name) {
        const std::string_view twice = (*pointers)[i]->name;
        const Entry* const later = (*pointers)[i] > (*pointers)[i - 1] ? (*pointers)[i] : (*pointers)[i - 1];
        return make_error(errc::duplicate, what, "each name once").at(position(later->name)).about(twice);
      }
    sorted.swap(*pointers);
    return {};
  }

  result<void> read() noexcept {
    if (const result<void> done = header(); !done) return done;
    const result<std::uint64_t> tensors = in.number<std::uint64_t>("the file ends inside the tensor count");
    if (!tensors) return tensors.error();
    const result<std::uint64_t> keys = in.number<std::uint64_t>("the file ends inside the key count");
    if (!keys) return keys.error();
    if (*keys > in.left() / least_key_bytes)
      return bad(errc::truncated, "key count", "no more keys than the file has bytes for", 16, *keys);
    if (*tensors > in.left() / least_tensor_bytes)
      return bad(errc::truncated, "tensor count", "no more tensors than the file has bytes for", 8, *tensors);

    result<buffer<key>> key_array = buffer<key>::make(static_cast<std::size_t>(*keys));
    if (!key_array) return key_array.error();
    for (key& k : *key_array)
      if (const result<void> done = one_key(&k); !done) return done;
    made.keys_.swap(*key_array);
    if (const result<void> done = index(made.keys_, made.sorted_keys_, "a key occurs twice"); !done) return done;
    if (const result<void> done = find_alignment(); !done) return done;

    result<buffer<tensor_info>> tensor_array = buffer<tensor_info>::make(static_cast<std::size_t>(*tensors));
    if (!tensor_array) return tensor_array.error();
    for (tensor_info& t : *tensor_array)
      if (const result<void> done = one_tensor(&t); !done) return done;
    made.tensors_.swap(*tensor_array);
    if (const result<void> done = index(made.tensors_, made.sorted_tensors_, "a tensor's name occurs twice"); !done)
      return done;
    return place(in.offset());
  }

  static result<file> parse(std::span<const std::byte> bytes, mapped_file mapping) noexcept {
    reader r(bytes);
    if (const result<void> done = r.read(); !done) return done.error();
    r.made.mapping_.swap(mapping);
    return static_cast<file&&>(r.made);
  }
};

}  // namespace detail

/// A checked file over bytes that the caller keeps alive.
/// Errors: truncated, malformed, overflow, duplicate, unsupported, shape; each with offset, value found and what is
/// allowed.
/// Cost: proportional to the header; memory below 6 times the header's bytes; no tensor byte is read.
[[nodiscard]] inline result<file> parse(std::span<const std::byte> bytes) noexcept {
  return detail::reader::parse(bytes, mapped_file());
}

/// A checked file, mapped; it owns the mapping.  Errors: those of mapped_file::open and of parse.
[[nodiscard]] inline result<file> open(const std::string& path) {
  result<mapped_file> mapping = mapped_file::open(path);
  if (!mapping) return mapping.error();
  const std::span<const std::byte> bytes = mapping->bytes();
  return detail::reader::parse(bytes, *static_cast<result<mapped_file>&&>(mapping));
}

}  // namespace NBIT_TAG
}  // namespace nbit::gguf

#endif
