// nbit/io/byte_cursor.hpp — reads little-endian numbers out of bytes nobody vouches for.
//
// Every read is checked against what is left, so a reader built on it cannot leave its input. Numbers are assembled
// byte by byte: no alignment is assumed and a big-endian machine reads the same values.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_BYTE_CURSOR_HPP
#define NBIT_IO_BYTE_CURSOR_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>

namespace nbit {

inline namespace NBIT_TAG {

namespace detail {
template <std::size_t Bytes>
using unsigned_of = std::conditional_t<
    Bytes == 1, std::uint8_t,
    std::conditional_t<Bytes == 2, std::uint16_t, std::conditional_t<Bytes == 4, std::uint32_t, std::uint64_t>>>;
}  // namespace detail

/// The number of type T that the little-endian bytes at p hold. Reads past: sizeof(T) bytes from p, nothing more.
template <class T>
  requires(std::is_arithmetic_v<T> && sizeof(T) <= 8)
[[nodiscard]] T load_le(const std::byte* p) noexcept {
  if constexpr (std::is_same_v<T, bool>) {
    return p[0] != std::byte{0};
  } else {
    using bits = detail::unsigned_of<sizeof(T)>;
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) v |= static_cast<std::uint64_t>(p[i]) << (8 * i);
    return std::bit_cast<T>(static_cast<bits>(v));
  }
}

/// Writes v at p as little-endian bytes.
template <class T>
  requires(std::is_arithmetic_v<T> && sizeof(T) <= 8)
void store_le(T v, std::byte* p) noexcept {
  if constexpr (std::is_same_v<T, bool>) {
    p[0] = v ? std::byte{1} : std::byte{0};
  } else {
    const auto bits = static_cast<std::uint64_t>(std::bit_cast<detail::unsigned_of<sizeof(T)>>(v));
    for (std::size_t i = 0; i < sizeof(T); ++i) p[i] = static_cast<std::byte>((bits >> (8 * i)) & 0xffu);
  }
}

/// a * b, unless it does not fit: then false and nothing is written.
[[nodiscard]] constexpr bool checked_mul(std::uint64_t a, std::uint64_t b, std::uint64_t& product) noexcept {
  if (b != 0 && a > ~std::uint64_t{0} / b) return false;
  product = a * b;
  return true;
}

/// a + b, unless it does not fit: then false and nothing is written.
[[nodiscard]] constexpr bool checked_add(std::uint64_t a, std::uint64_t b, std::uint64_t& sum) noexcept {
  if (a > ~std::uint64_t{0} - b) return false;
  sum = a + b;
  return true;
}

/// n rounded up to a multiple of the power of two `alignment`, unless it does not fit: then false.
[[nodiscard]] constexpr bool checked_align(std::uint64_t n, std::uint64_t alignment, std::uint64_t& up) noexcept {
  std::uint64_t sum = 0;
  if (!checked_add(n, alignment - 1, sum)) return false;
  up = sum & ~(alignment - 1);
  return true;
}

/// A position in untrusted bytes that only moves forward and never past the end.
class byte_cursor {
 public:
  explicit byte_cursor(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return at_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return bytes_.size() - at_; }

  /// The next number, moved over.  Errors: truncated.
  template <class T>
  [[nodiscard]] result<T> number(const char* what) noexcept {
    if (left() < sizeof(T)) return short_by(what);
    const T v = load_le<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return v;
  }

  /// The next n bytes, moved over.  Errors: truncated, at the current offset, with n as the value found.
  [[nodiscard]] result<std::span<const std::byte>> take(std::uint64_t n, const char* what) noexcept {
    if (n > left()) return short_by(what).with(static_cast<std::int64_t>(n));
    const std::span<const std::byte> taken = bytes_.subspan(at_, static_cast<std::size_t>(n));
    at_ += static_cast<std::size_t>(n);
    return taken;
  }

 private:
  [[nodiscard]] error short_by(const char* what) const noexcept {
    return make_error(errc::truncated, what, "no more bytes than the file has left").at(std::uint64_t{at_});
  }

  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

/// The same bytes, seen as text.
[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The same text, seen as bytes.
[[nodiscard]] inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
