// nbit/io/gguf_file.hpp — a GGUF file that has been checked: its keys, its tensors and where their bytes lie.
//
// Only the reader (gguf_reader.hpp) makes one, so whoever holds a gguf::file need not check it again: every view lies
// in the file, names and keys are unique, sizes fit 64 bits. Unknown keys are kept as they are.
// Ref: ggml's docs/gguf.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGUF_FILE_HPP
#define NBIT_IO_GGUF_FILE_HPP

#include <array>
#include <bit>  // endian
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_value.hpp>
#include <nbit/io/mapped_file.hpp>

namespace nbit::gguf {

/// What a reader accepts beyond the sizes of the file itself.
struct limits {
  static constexpr std::uint64_t string_bytes = std::uint64_t{1} << 30;
  static constexpr std::uint64_t array_elements = std::uint64_t{1} << 30;
  static constexpr std::size_t name_bytes = 63;  // of a tensor
  static constexpr std::uint32_t dimensions = 4;
  static constexpr int nesting = 8;  // arrays of arrays; ggml reads none at all
  static constexpr std::uint64_t default_alignment = 32;
};

/// One key of a file: its name and its value.
struct key {
  std::string_view name;
  gguf::value value;
};

/// One tensor of a file: what it is and where its bytes lie.
/// Shape: ne[0] is the length of a row (the fastest index); dimensions beyond n_dims are 1.
struct tensor_info {
  std::string_view name;
  ggml_type_info type{};
  std::uint32_t n_dims = 0;
  std::array<std::uint64_t, 4> ne{1, 1, 1, 1};
  std::uint64_t offset = 0;                 // of the first byte, from the start of the file
  std::endian order = std::endian::little;  // of the numbers in bytes; swap_byte_order (gguf_byte_order.hpp) turns them
  std::span<const std::byte> bytes;

  NBIT_INLINE tensor_info() noexcept {}

  /// Weights in a row.
  [[nodiscard]] NBIT_INLINE std::uint64_t cols() const noexcept { return ne[0]; }
  /// Rows, all further dimensions taken together.
  [[nodiscard]] NBIT_INLINE std::uint64_t rows() const noexcept { return ne[1] * ne[2] * ne[3]; }
  [[nodiscard]] NBIT_INLINE std::uint64_t elements() const noexcept { return cols() * rows(); }
  [[nodiscard]] NBIT_INLINE std::span<const std::uint64_t> shape() const noexcept { return {ne.data(), n_dims}; }

  /// The bytes as packed weights of a format: whatever tensor_as(std::type_identity<Format>, tensor_info) returns,
  /// which the header that knows the format declares in this namespace.
  template <class Format>
  [[nodiscard]] NBIT_INLINE auto as() const {
    return tensor_as(std::type_identity<Format>{}, *this);
  }
};

/// A tensor looked up by name, or the error that says which name the file lacks; as() passes that error on.
class found_tensor : public result<tensor_info> {
 public:
  NBIT_INLINE found_tensor(const tensor_info& found) : result<tensor_info>(found) {}
  NBIT_INLINE found_tensor(const nbit::error& lacking) : result<tensor_info>(lacking) {}

  template <class Format>
  [[nodiscard]] NBIT_INLINE auto as() const -> decltype(tensor_as(std::type_identity<Format>{}, tensor_info{})) {
    if (!has_value()) return error();
    return tensor_as(std::type_identity<Format>{}, **this);
  }
};

inline namespace NBIT_TAG {
namespace detail {
struct reader;

struct by_name {
  template <class Entry>
  [[nodiscard]] bool operator()(const Entry* a, const Entry* b) const noexcept {
    return a->name < b->name;
  }
};

/// The entry with this name, or nullptr. sorted is in by_name order.
template <class Entry>
[[nodiscard]] const Entry* find_name(std::span<const Entry* const> sorted, std::string_view name) noexcept {
  std::size_t first = 0, last = sorted.size();
  while (first < last) {
    const std::size_t middle = first + (last - first) / 2;
    if (sorted[middle]->name < name)
      first = middle + 1;
    else
      last = middle;
  }
  return first < sorted.size() && sorted[first]->name == name ? sorted[first] : nullptr;
}
}  // namespace detail
}  // namespace NBIT_TAG

/// A GGUF file that has been checked: keys, tensors and their bytes. Owns the mapping when open() made it; after
/// parse() the caller keeps the bytes alive. Views of names and values point into those bytes.
class file {
 public:
  NBIT_INLINE file() noexcept {}
  NBIT_INLINE file(file&& other) noexcept { swap(other); }
  NBIT_INLINE file& operator=(file&& other) noexcept {
    file moved(static_cast<file&&>(other));
    swap(moved);
    return *this;
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  NBIT_INLINE ~file() {}

  [[nodiscard]] NBIT_INLINE std::uint32_t version() const noexcept { return version_; }
  [[nodiscard]] NBIT_INLINE std::uint64_t alignment() const noexcept { return alignment_; }
  /// The byte order of the tensors' numbers. Keys are little-endian here whatever the file's order is.
  [[nodiscard]] NBIT_INLINE std::endian order() const noexcept { return order_; }
  /// Where the tensors' bytes begin.
  [[nodiscard]] NBIT_INLINE std::uint64_t data_offset() const noexcept { return data_offset_; }
  /// The whole file.
  [[nodiscard]] NBIT_INLINE std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// All keys in the file's order.
  [[nodiscard]] NBIT_INLINE std::span<const key> keys() const noexcept { return keys_.span(); }
  /// All tensors in the file's order.
  [[nodiscard]] NBIT_INLINE std::span<const tensor_info> tensors() const noexcept { return tensors_.span(); }

  /// The value of a key, or nullptr.  Cost: a binary search.
  [[nodiscard]] NBIT_INLINE const value* find(std::string_view name) const noexcept {
    const key* const k = detail::find_name<key>(sorted_keys_.span(), name);
    return k == nullptr ? nullptr : &k->value;
  }

  /// The value of a key as T.  Errors: missing, and those of value::get; the key is the subject.
  template <readable T>
  [[nodiscard]] NBIT_INLINE result<T> get(std::string_view name) const noexcept {
    const value* const v = find(name);
    if (v == nullptr) return make_error(errc::missing, "the file lacks this key").about(name);
    result<T> got = v->get<T>();
    if (!got) return got.error().about(name).at(where(*v));
    return got;
  }

  /// An array key's elements as T.  Errors: missing, malformed; the key is the subject.
  template <readable T>
  [[nodiscard]] NBIT_INLINE result<array<T>> get_array(std::string_view name) const noexcept {
    const value* const v = find(name);
    if (v == nullptr) return make_error(errc::missing, "the file lacks this key").about(name);
    result<array<T>> got = v->get_array<T>();
    if (!got) return got.error().about(name).at(where(*v));
    return got;
  }

  /// A tensor by name.  Errors: missing.  Cost: a binary search.
  [[nodiscard]] NBIT_INLINE found_tensor tensor(std::string_view name) const noexcept {
    if (const tensor_info* const t = detail::find_name<tensor_info>(sorted_tensors_.span(), name)) return *t;
    return make_error(errc::missing, "the file lacks this tensor").about(name);
  }

  NBIT_INLINE void swap(file& other) noexcept {
    exchange(version_, other.version_);
    exchange(alignment_, other.alignment_);
    exchange(data_offset_, other.data_offset_);
    exchange(order_, other.order_);
    exchange(bytes_, other.bytes_);
    exchange(header_, other.header_);
    turned_.swap(other.turned_);
    mapping_.swap(other.mapping_);
    keys_.swap(other.keys_);
    tensors_.swap(other.tensors_);
    sorted_keys_.swap(other.sorted_keys_);
    sorted_tensors_.swap(other.sorted_tensors_);
  }

 private:
  friend struct detail::reader;

  template <class T>
  NBIT_INLINE static void exchange(T& a, T& b) noexcept {
    const T held = a;
    a = b;
    b = held;
  }
  [[nodiscard]] NBIT_INLINE std::uint64_t where(const value& v) const noexcept {
    return static_cast<std::uint64_t>(v.raw().data() - header_.data());
  }

  std::uint32_t version_ = 3;
  std::uint64_t alignment_ = limits::default_alignment;
  std::uint64_t data_offset_ = 0;
  std::endian order_ = std::endian::little;
  std::span<const std::byte> bytes_;
  std::span<const std::byte> header_;  // what names and values point into: bytes_, or turned_
  buffer<std::byte> turned_;           // the little-endian header of a big-endian file
  mapped_file mapping_;
  buffer<key> keys_;
  buffer<tensor_info> tensors_;
  buffer<const key*> sorted_keys_;
  buffer<const tensor_info*> sorted_tensors_;
};

}  // namespace nbit::gguf

#endif
