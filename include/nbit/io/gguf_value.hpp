// nbit/io/gguf_value.hpp — one value of a GGUF key: a number, a string or an array, as a view of the file's bytes.
//
// Bytes   number: little-endian | bool: one byte, non-zero is true | string: u64 length, bytes (no NUL at the end)
//         array: u32 element type, u64 count, elements; an element that is an array is stored the same way.
// A value is made by the reader, after every length in it has been checked; nothing here can leave its bytes.
// Ref: ggml's docs/gguf.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGUF_VALUE_HPP
#define NBIT_IO_GGUF_VALUE_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/byte_cursor.hpp>

namespace nbit::gguf {

/// The type of a key's value, by the number that files store.
enum class value_type : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

/// What a value can be asked for: a number, bool or std::string_view.
template <class T>
concept readable = std::integral<T> || std::floating_point<T> || std::same_as<T, std::string_view>;

inline namespace NBIT_TAG {

/// Bytes of one value of this type; 0 for strings and arrays, whose size is in the file.
[[nodiscard]] constexpr std::size_t fixed_bytes(value_type t) noexcept {
  switch (t) {
    case value_type::u8:
    case value_type::i8:
    case value_type::boolean: return 1;
    case value_type::u16:
    case value_type::i16: return 2;
    case value_type::u32:
    case value_type::i32:
    case value_type::f32: return 4;
    case value_type::u64:
    case value_type::i64:
    case value_type::f64: return 8;
    default: return 0;
  }
}

/// The stored type of a C++ type, as the writer uses it.
template <readable T>
[[nodiscard]] constexpr value_type type_of() noexcept {
  if constexpr (std::is_same_v<T, std::string_view>)
    return value_type::string;
  else if constexpr (std::is_same_v<T, bool>)
    return value_type::boolean;
  else if constexpr (std::floating_point<T>)
    return sizeof(T) == 4 ? value_type::f32 : value_type::f64;
  else if constexpr (std::is_unsigned_v<T>)
    return sizeof(T) == 1   ? value_type::u8
           : sizeof(T) == 2 ? value_type::u16
           : sizeof(T) == 4 ? value_type::u32
                            : value_type::u64;
  else
    return sizeof(T) == 1   ? value_type::i8
           : sizeof(T) == 2 ? value_type::i16
           : sizeof(T) == 4 ? value_type::i32
                            : value_type::i64;
}

/// The bytes of the first value in `bytes`, which holds values of type t that have been checked.
[[nodiscard]] inline std::size_t checked_size(value_type t, const std::byte* p) noexcept {
  if (t == value_type::string) return 8 + static_cast<std::size_t>(load_le<std::uint64_t>(p));
  if (t != value_type::array) return fixed_bytes(t);
  const auto element = static_cast<value_type>(load_le<std::uint32_t>(p));
  const auto count = static_cast<std::size_t>(load_le<std::uint64_t>(p + 4));
  std::size_t size = 12;
  if (const std::size_t each = fixed_bytes(element)) return size + each * count;
  for (std::size_t i = 0; i < count; ++i) size += checked_size(element, p + size);  // depth: reader's max_nesting
  return size;
}

namespace detail {
template <class T, class Stored>
[[nodiscard]] result<T> convert(const std::byte* p) noexcept {
  const Stored v = load_le<Stored>(p);
  if constexpr (std::is_integral_v<T>) {
    bool fits = false;
    if (std::is_signed_v<Stored> && v < Stored{0})
      fits = std::is_signed_v<T> &&
             static_cast<std::int64_t>(v) >= static_cast<std::int64_t>((std::numeric_limits<T>::min)());
    else
      fits = static_cast<std::uint64_t>(v) <= static_cast<std::uint64_t>((std::numeric_limits<T>::max)());
    if (!fits)
      return make_error(errc::overflow, "the key's value does not fit the type asked for")
          .with(static_cast<std::int64_t>(v));
  }
  return static_cast<T>(v);
}

template <readable T>
[[nodiscard]] result<T> read_as(value_type t, std::span<const std::byte> raw) noexcept {
  if constexpr (std::is_same_v<T, std::string_view>) {
    if (t == value_type::string) return as_text(raw.subspan(8));
  } else if constexpr (std::is_same_v<T, bool>) {
    if (t == value_type::boolean) return load_le<bool>(raw.data());
  } else if constexpr (std::is_floating_point_v<T>) {
    if (t == value_type::f32) return convert<T, float>(raw.data());
    if (t == value_type::f64) return convert<T, double>(raw.data());
  } else {
    switch (t) {
      case value_type::u8: return convert<T, std::uint8_t>(raw.data());
      case value_type::i8: return convert<T, std::int8_t>(raw.data());
      case value_type::u16: return convert<T, std::uint16_t>(raw.data());
      case value_type::i16: return convert<T, std::int16_t>(raw.data());
      case value_type::u32: return convert<T, std::uint32_t>(raw.data());
      case value_type::i32: return convert<T, std::int32_t>(raw.data());
      case value_type::u64: return convert<T, std::uint64_t>(raw.data());
      case value_type::i64: return convert<T, std::int64_t>(raw.data());
      default: break;
    }
  }
  return make_error(errc::malformed, "the key's value has another type than asked for")
      .with(static_cast<std::int64_t>(t));
}

template <readable T>
[[nodiscard]] T element_at(const std::byte* p) noexcept {
  if constexpr (std::is_same_v<T, std::string_view>)
    return {reinterpret_cast<const char*>(p + 8), static_cast<std::size_t>(load_le<std::uint64_t>(p))};
  else
    return load_le<T>(p);
}
}  // namespace detail
}  // namespace NBIT_TAG

template <readable T>
class array;
class values;

/// One value: its type and its bytes in the file.
class value {
 public:
  NBIT_INLINE value() noexcept {}
  NBIT_INLINE value(value_type t, std::span<const std::byte> raw) noexcept : type_(t), raw_(raw) {}

  [[nodiscard]] NBIT_INLINE value_type type() const noexcept { return type_; }
  /// The value as the file stores it, without its type: what a writer copies.
  [[nodiscard]] NBIT_INLINE std::span<const std::byte> raw() const noexcept { return raw_; }
  [[nodiscard]] NBIT_INLINE bool is_array() const noexcept { return type_ == value_type::array; }
  /// The type of an array's elements, or the value's own type.
  [[nodiscard]] NBIT_INLINE value_type element_type() const noexcept {
    return is_array() ? static_cast<value_type>(load_le<std::uint32_t>(raw_.data())) : type_;
  }
  /// How many elements an array has; 1 for every other value.
  [[nodiscard]] NBIT_INLINE std::size_t size() const noexcept {
    return is_array() ? static_cast<std::size_t>(load_le<std::uint64_t>(raw_.data() + 4)) : 1;
  }

  /// The value as T. Integers convert where the value fits, f32 and f64 into one another; nothing else converts.
  /// Errors: malformed when the file stores another kind of value (found = its type number), overflow.
  template <readable T>
  [[nodiscard]] NBIT_INLINE result<T> get() const noexcept {
    return detail::read_as<T>(type_, raw_);
  }

  /// The elements as T, without a copy. The stored element type must be exactly T's.  Errors: malformed.
  template <readable T>
  [[nodiscard]] NBIT_INLINE result<array<T>> get_array() const noexcept {
    if (!is_array())
      return make_error(errc::malformed, "the key's value is not an array", "value type 9")
          .with(static_cast<std::int64_t>(type_));
    if (element_type() != type_of<T>())
      return make_error(errc::malformed, "the array's elements have another type than asked for")
          .with(static_cast<std::int64_t>(element_type()));
    return array<T>(raw_.data() + 12, size());
  }

  /// The elements as values, for any element type, nested arrays included; empty when this is no array.
  [[nodiscard]] NBIT_INLINE values elements() const noexcept;

 private:
  value_type type_ = value_type::u8;
  std::span<const std::byte> raw_;
};

/// The elements of an array value, of any type, in order.
class values {
 public:
  class iterator {
   public:
    using value_type = value;
    using difference_type = std::ptrdiff_t;
    NBIT_INLINE iterator() noexcept {}
    NBIT_INLINE iterator(gguf::value_type t, const std::byte* p, std::size_t left) noexcept
        : type_(t), p_(p), left_(left) {}
    [[nodiscard]] NBIT_INLINE value operator*() const noexcept { return {type_, {p_, checked_size(type_, p_)}}; }
    NBIT_INLINE iterator& operator++() noexcept {
      p_ += checked_size(type_, p_);
      --left_;
      return *this;
    }
    NBIT_INLINE iterator operator++(int) noexcept {
      iterator before = *this;
      ++*this;
      return before;
    }
    [[nodiscard]] NBIT_INLINE bool operator==(const iterator& other) const noexcept { return left_ == other.left_; }

   private:
    gguf::value_type type_ = gguf::value_type::u8;
    const std::byte* p_ = nullptr;
    std::size_t left_ = 0;
  };

  NBIT_INLINE values() noexcept {}
  NBIT_INLINE values(value_type t, const std::byte* first, std::size_t count) noexcept
      : type_(t), first_(first), count_(count) {}
  [[nodiscard]] NBIT_INLINE iterator begin() const noexcept { return {type_, first_, count_}; }
  [[nodiscard]] NBIT_INLINE iterator end() const noexcept { return {type_, nullptr, 0}; }
  [[nodiscard]] NBIT_INLINE std::size_t size() const noexcept { return count_; }

 private:
  value_type type_ = value_type::u8;
  const std::byte* first_ = nullptr;
  std::size_t count_ = 0;
};

/// The elements of an array value as T. Numbers also by index; strings, whose lengths vary, only in order.
template <readable T>
class array {
 public:
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    NBIT_INLINE iterator() noexcept {}
    NBIT_INLINE iterator(const std::byte* p, std::size_t left) noexcept : p_(p), left_(left) {}
    [[nodiscard]] NBIT_INLINE T operator*() const noexcept { return detail::element_at<T>(p_); }
    NBIT_INLINE iterator& operator++() noexcept {
      p_ += checked_size(type_of<T>(), p_);
      --left_;
      return *this;
    }
    NBIT_INLINE iterator operator++(int) noexcept {
      iterator before = *this;
      ++*this;
      return before;
    }
    [[nodiscard]] NBIT_INLINE bool operator==(const iterator& other) const noexcept { return left_ == other.left_; }

   private:
    const std::byte* p_ = nullptr;
    std::size_t left_ = 0;
  };

  NBIT_INLINE array() noexcept {}
  NBIT_INLINE array(const std::byte* first, std::size_t count) noexcept : first_(first), count_(count) {}
  [[nodiscard]] NBIT_INLINE iterator begin() const noexcept { return {first_, count_}; }
  [[nodiscard]] NBIT_INLINE iterator end() const noexcept { return {nullptr, 0}; }
  [[nodiscard]] NBIT_INLINE std::size_t size() const noexcept { return count_; }
  [[nodiscard]] NBIT_INLINE bool empty() const noexcept { return count_ == 0; }
  /// Needs: i < size().
  [[nodiscard]] NBIT_INLINE T operator[](std::size_t i) const noexcept
    requires(!std::is_same_v<T, std::string_view>)
  {
    return load_le<T>(first_ + i * sizeof(T));
  }

 private:
  const std::byte* first_ = nullptr;
  std::size_t count_ = 0;
};

NBIT_INLINE values value::elements() const noexcept {
  return is_array() ? values(element_type(), raw_.data() + 12, size()) : values();
}

}  // namespace nbit::gguf

#endif
