// nbit/base/bits.hpp — masks, little-endian loads and stores, bit fields that may cross words, and checked counts.
//
// Every file format that nbit knows is little-endian; on a big-endian machine these swap. Nothing here holds a loop.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_BITS_HPP
#define NBIT_BASE_BITS_HPP

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>

namespace nbit {

/// The lowest n bits set.  Needs: 0 <= n <= the bits of T.
template <std::unsigned_integral T>
NBIT_INLINE constexpr T low_mask(int n) {
  return n <= 0 ? T{0} : static_cast<T>(static_cast<T>(~T{0}) >> (static_cast<int>(sizeof(T)) * 8 - n));
}

namespace bits_detail {
NBIT_INLINE std::uint16_t native(std::uint16_t v) { return NBIT_BIG_ENDIAN ? __builtin_bswap16(v) : v; }
NBIT_INLINE std::uint32_t native(std::uint32_t v) { return NBIT_BIG_ENDIAN ? __builtin_bswap32(v) : v; }
NBIT_INLINE std::uint64_t native(std::uint64_t v) { return NBIT_BIG_ENDIAN ? __builtin_bswap64(v) : v; }
template <class T>
NBIT_INLINE T load(const std::byte* from) {
  T v;
  __builtin_memcpy(&v, from, sizeof(T));
  return native(v);
}
template <class T>
NBIT_INLINE void store(std::byte* to, T v) {
  v = native(v);
  __builtin_memcpy(to, &v, sizeof(T));
}
}  // namespace bits_detail

/// Little-endian numbers from any address.  Needs: as many readable bytes as the number has.
NBIT_INLINE std::uint16_t load_u16(const std::byte* from) { return bits_detail::load<std::uint16_t>(from); }
NBIT_INLINE std::uint32_t load_u32(const std::byte* from) { return bits_detail::load<std::uint32_t>(from); }
NBIT_INLINE std::uint64_t load_u64(const std::byte* from) { return bits_detail::load<std::uint64_t>(from); }
NBIT_INLINE f16 load_f16(const std::byte* from) { return f16::from_bits(load_u16(from)); }
NBIT_INLINE float load_f32(const std::byte* from) { return std::bit_cast<float>(load_u32(from)); }

/// Little-endian numbers to any address.  Needs: as many writable bytes as the number has.
NBIT_INLINE void store_u16(std::byte* to, std::uint16_t v) { bits_detail::store(to, v); }
NBIT_INLINE void store_u32(std::byte* to, std::uint32_t v) { bits_detail::store(to, v); }
NBIT_INLINE void store_u64(std::byte* to, std::uint64_t v) { bits_detail::store(to, v); }
NBIT_INLINE void store_f16(std::byte* to, f16 v) { store_u16(to, v.bits); }
NBIT_INLINE void store_f32(std::byte* to, float v) { store_u32(to, std::bit_cast<std::uint32_t>(v)); }

/// Bits [first, first + n) of a stream of 32-bit words, lowest bit first; the field may cross into the next word.
/// Needs: 1 <= n <= 32, all touched words readable.
NBIT_INLINE constexpr std::uint32_t extract_bits(const std::uint32_t* words, std::size_t first, int n) {
  const std::size_t word = first / 32;
  const int shift = static_cast<int>(first % 32);
  std::uint64_t v = words[word];
  if (shift + n > 32) v |= static_cast<std::uint64_t>(words[word + 1]) << 32;
  return static_cast<std::uint32_t>(v >> shift) & low_mask<std::uint32_t>(n);
}

/// Replaces bits [first, first + n) of a stream of 32-bit words by the low n bits of v.  Needs: as extract_bits.
NBIT_INLINE constexpr void deposit_bits(std::uint32_t* words, std::size_t first, int n, std::uint32_t v) {
  const std::size_t word = first / 32;
  const int shift = static_cast<int>(first % 32);
  const std::uint64_t mask = static_cast<std::uint64_t>(low_mask<std::uint32_t>(n)) << shift;
  const std::uint64_t field = (static_cast<std::uint64_t>(v) << shift) & mask;
  words[word] = (words[word] & ~static_cast<std::uint32_t>(mask)) | static_cast<std::uint32_t>(field);
  if (shift + n > 32)
    words[word + 1] =
        (words[word + 1] & ~static_cast<std::uint32_t>(mask >> 32)) | static_cast<std::uint32_t>(field >> 32);
}

/// a / b, rounded up; never overflows.  Needs: b > 0.
template <std::unsigned_integral T>
NBIT_INLINE constexpr T ceil_div(T a, T b) {
  return static_cast<T>(a / b + (a % b != 0 ? 1 : 0));
}

/// The smallest multiple of b that is not below a.  Needs: b > 0 and that multiple fits T.
template <std::unsigned_integral T>
NBIT_INLINE constexpr T round_up(T a, T b) {
  return static_cast<T>(ceil_div(a, b) * b);
}

/// Writes a * b and says true; if the product does not fit, says false.
template <std::unsigned_integral T>
[[nodiscard]] NBIT_INLINE constexpr bool checked_mul(T a, T b, T& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

/// Writes a + b and says true; if the sum does not fit, says false.
template <std::unsigned_integral T>
[[nodiscard]] NBIT_INLINE constexpr bool checked_add(T a, T b, T& sum) {
  return !__builtin_add_overflow(a, b, &sum);
}

}  // namespace nbit

#endif
