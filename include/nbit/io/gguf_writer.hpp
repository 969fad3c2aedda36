// nbit/io/gguf_writer.hpp — writes GGUF version 3: set keys, declare tensors, then stream their bytes in that order.
//
// The header holds every offset, so all tensors are declared before the first byte is written; after that no byte is
// visited twice and only one tensor need be in memory. Keys copied from another file are written byte for byte as they
// were, understood or not. Into an atomic_file the result appears complete or not at all.
// Ref: ggml's docs/gguf.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGUF_WRITER_HPP
#define NBIT_IO_GGUF_WRITER_HPP

#include <bit>  // endian
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/byte_sink.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_byte_order.hpp>
#include <nbit/io/gguf_file.hpp>
#include <nbit/io/gguf_value.hpp>
#include <nbit/io/tensor_stream.hpp>

namespace nbit::gguf {

inline namespace NBIT_TAG {

/// A tensor that a writer will take: as in tensor_info, with the offset counted from the start of the data.
struct declared_tensor {
  std::string name;
  std::vector<std::uint64_t> ne;
  ggml_type_info type;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
};

namespace detail {
template <class T>
void append_le(std::vector<std::byte>& to, T v) {
  std::byte raw[sizeof(T)];
  store_le(v, raw);
  to.insert(to.end(), raw, raw + sizeof(T));
}
inline void append_text(std::vector<std::byte>& to, std::string_view text) {
  append_le(to, static_cast<std::uint64_t>(text.size()));
  const std::span<const std::byte> bytes = nbit::as_bytes(text);
  to.insert(to.end(), bytes.begin(), bytes.end());
}
template <readable T>
void append_value(std::vector<std::byte>& to, T v) {
  if constexpr (std::is_same_v<T, std::string_view>)
    append_text(to, v);
  else
    append_le(to, v);
}
}  // namespace detail

/// Collects what a GGUF file will say, then writes its header.
class writer {
 public:
  /// Sets a key to a number, bool or string, stored as exactly T's type; an existing key keeps its place.
  /// Errors: invalid_option for an empty name, or an alignment that is no u32 power of two.
  template <readable T>
  result<void> set(std::string_view name, T v) {
    std::vector<std::byte> raw;
    detail::append_value(raw, v);
    return put(name, type_of<T>(), raw);
  }
  result<void> set(std::string_view name, std::string_view v) {
    std::vector<std::byte> raw;
    detail::append_text(raw, v);
    return put(name, value_type::string, raw);
  }
  /// Sets a key to a value read from a file, byte for byte.
  result<void> set(std::string_view name, const value& v) {
    return put(name, v.type(), {v.raw().begin(), v.raw().end()});
  }
  /// Sets a key to an array.
  template <readable T>
  result<void> set_array(std::string_view name, std::span<const T> elements) {
    std::vector<std::byte> raw;
    detail::append_le(raw, static_cast<std::uint32_t>(type_of<T>()));
    detail::append_le(raw, static_cast<std::uint64_t>(elements.size()));
    for (const T& e : elements) detail::append_value(raw, e);
    return put(name, value_type::array, raw);
  }

  /// Takes over all keys of a file, in its order.  Errors: invalid_option unless this comes before any set().
  result<void> copy_keys(const file& from) {
    if (!keys_.empty())
      return make_error(errc::invalid_option, "keys are copied after others were set", "copy_keys before set")
          .with(static_cast<std::int64_t>(keys_.size()));
    for (const key& k : from.keys())  // unique and checked by the reader: no search
      keys_.push_back({std::string(k.name), k.value.type(), {k.value.raw().begin(), k.value.raw().end()}});
    alignment_ = from.alignment();
    return {};
  }

  /// Removes a key; true if it was there.
  bool erase(std::string_view name) {
    for (std::size_t i = 0; i < keys_.size(); ++i)
      if (keys_[i].name == name) {
        keys_.erase(keys_.begin() + static_cast<std::ptrdiff_t>(i));
        if (name == "general.alignment") alignment_ = limits::default_alignment;
        return true;
      }
    return false;
  }

  /// Announces the next tensor. ne is in GGUF's order: row length first.
  /// Errors: invalid_option (name, dimensions), shape when rows are not whole blocks, overflow. Duplicates show in
  /// begin().
  result<void> declare(std::string_view name, std::span<const std::uint64_t> ne, ggml_type type) {
    declared_tensor t{std::string(name), {ne.begin(), ne.end()}, {}, 0, 0};
    const result<ggml_type_info> known = ggml_type_of(static_cast<std::uint32_t>(type));
    if (!known) return known.error().about(name);
    t.type = *known;
    if (name.size() > limits::name_bytes)
      return make_error(errc::invalid_option, "a tensor's name is too long", "at most 63 bytes")
          .about(name)
          .with(static_cast<std::int64_t>(name.size()));
    if (ne.size() > limits::dimensions)
      return make_error(errc::invalid_option, "a tensor has too many dimensions", "0 to 4")
          .about(name)
          .with(static_cast<std::int64_t>(ne.size()));
    const std::uint64_t cols = ne.empty() ? 1 : ne[0];
    std::uint64_t rows = 1;
    for (std::size_t d = 1; d < ne.size(); ++d)
      if (!checked_mul(rows, ne[d], rows)) return too_large(name);
    if (cols % t.type.block != 0)
      return make_error(errc::shape, "a tensor's rows are not whole blocks of its type", block_rule(t.type))
          .about(name)
          .with(static_cast<std::int64_t>(cols));
    if (!ggml_bytes(t.type, cols, rows, t.bytes)) return too_large(name);
    tensors_.push_back(std::move(t));
    return {};
  }

  /// A writer of `count` of these tensors from `first` on, with all keys or with none but the alignment.
  [[nodiscard]] writer part(std::size_t first, std::size_t count, bool keys) const {
    writer made;
    for (const declared_tensor& t : tensors().subspan(first, count)) made.tensors_.push_back(t);
    for (const stored_key& k : keys_)
      if (keys || (k.name == "general.alignment" && alignment_ != limits::default_alignment)) made.keys_.push_back(k);
    made.alignment_ = alignment_, made.order_ = order_;
    return made;
  }

  /// All tensors declared so far.
  [[nodiscard]] std::span<const declared_tensor> tensors() const noexcept { return {tensors_.data(), tensors_.size()}; }
  /// Between tensors: the key general.alignment, or 32.
  [[nodiscard]] std::uint64_t alignment() const noexcept { return alignment_; }

  /// The byte order of the file to be written. The header is turned by begin(); the tensors' bytes are written as they
  /// come, so a big-endian file takes bytes that swap_byte_order has turned.
  void set_order(std::endian order) noexcept { order_ = order; }
  [[nodiscard]] std::endian order() const noexcept { return order_; }

  /// Bytes of the whole file.  Errors: those of begin() but the sink's.
  [[nodiscard]] result<std::uint64_t> file_bytes() {
    const result<std::vector<std::byte>> h = header();
    if (!h) return h.error();
    std::uint64_t size = h->size();
    if (tensors_.empty()) return size;
    const declared_tensor& last = tensors_.back();
    if (!checked_add(size, last.offset, size) || !checked_add(size, last.bytes, size) ||
        !checked_align(size, alignment_, size))
      return too_large(last.name);
    return size;
  }

  /// Lays out the tensors and writes the header; the stream takes the rest.
  /// Errors: duplicate (a key copied or a tensor declared twice), overflow, and those of the sink.
  template <byte_sink Sink>
  [[nodiscard]] result<tensor_stream<declared_tensor, Sink>> begin(Sink& to) {
    const result<std::vector<std::byte>> h = header();
    if (!h) return h.error();
    if (result<void> done = to.write(*h); !done) return done.error();
    return tensor_stream<declared_tensor, Sink>(tensors_, alignment_, to);
  }

 private:
  struct stored_key {
    std::string name;
    value_type type = value_type::u8;
    std::vector<std::byte> raw;
  };

  /// The header, padded to the alignment.
  result<std::vector<std::byte>> header() {
    if (result<void> done = place(); !done) return done.error();
    std::vector<std::byte> h;
    for (const char c : {'G', 'G', 'U', 'F'}) h.push_back(static_cast<std::byte>(c));
    detail::append_le(h, std::uint32_t{3});
    detail::append_le(h, static_cast<std::uint64_t>(tensors_.size()));
    detail::append_le(h, static_cast<std::uint64_t>(keys_.size()));
    for (const stored_key& k : keys_) {
      detail::append_text(h, k.name);
      detail::append_le(h, static_cast<std::uint32_t>(k.type));
      h.insert(h.end(), k.raw.begin(), k.raw.end());
    }
    for (const declared_tensor& t : tensors_) {
      detail::append_text(h, t.name);
      detail::append_le(h, static_cast<std::uint32_t>(t.ne.size()));
      for (const std::uint64_t n : t.ne) detail::append_le(h, n);
      detail::append_le(h, static_cast<std::uint32_t>(t.type.type));
      detail::append_le(h, t.offset);
    }
    if (order_ == std::endian::big) {
      std::vector<std::byte> turned(h.size());
      if (const auto done = detail::header_swapper(h, std::endian::little, turned.data()).walk(); !done)
        return done.error();  // arrays nested deeper than any reader goes
      h.swap(turned);
    }
    h.resize(h.size() + static_cast<std::size_t>((alignment_ - h.size() % alignment_) % alignment_));
    return h;
  }

  static error too_large(std::string_view name) {
    return make_error(errc::overflow, "a tensor's size does not fit 64 bits").about(name);
  }

  result<void> put(std::string_view name, value_type type, std::vector<std::byte> raw) {
    if (name.empty()) return make_error(errc::invalid_option, "a key's name is empty", "at least one byte");
    if (name == "general.alignment") {
      const std::uint64_t n = type == value_type::u32 ? load_le<std::uint32_t>(raw.data()) : 0;
      if (n == 0 || (n & (n - 1)) != 0)
        return make_error(errc::invalid_option, "alignment", "a power of two stored as u32")
            .about(name)
            .with(static_cast<std::int64_t>(n));
      alignment_ = n;
    }
    for (stored_key& k : keys_)
      if (k.name == name) {
        k.type = type;
        k.raw = std::move(raw);
        return {};
      }
    keys_.push_back({std::string(name), type, std::move(raw)});
    return {};
  }

  result<void> place() {
    if (const result<void> done = nbit::detail::check_names(tensors(), "a tensor is declared twice"); !done)
      return done;
    std::uint64_t at = 0;
    for (declared_tensor& t : tensors_) {
      t.offset = at;
      if (!checked_add(at, t.bytes, at) || !checked_align(at, alignment_, at)) return too_large(t.name);
    }
    return {};
  }

  std::vector<stored_key> keys_;
  std::vector<declared_tensor> tensors_;
  std::uint64_t alignment_ = limits::default_alignment;
  std::endian order_ = std::endian::little;
};

}  // namespace NBIT_TAG
}  // namespace nbit::gguf

#endif
