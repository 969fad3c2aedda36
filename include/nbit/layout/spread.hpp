// nbit/layout/spread.hpp — eight neighbouring codes of any width to eight bytes, in three steps of a 64-bit word.
//
//   b = 3:   ........ ........ ........ hhhgggff feeedddc ccbbbaaa   halves, then quarters, then eighths move apart
//            00000hhh 00000ggg 00000fff 00000eee 00000ddd 00000ccc 00000bbb 00000aaa
// SPDX-License-Identifier: MIT
#ifndef NBIT_LAYOUT_SPREAD_HPP
#define NBIT_LAYOUT_SPREAD_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>

namespace nbit::detail {

/// Spreads the eight Bits-bit codes in the low bits of v to the eight bytes of the answer, the first code lowest.
template <int Bits>
NBIT_INLINE constexpr std::uint64_t spread_word(std::uint64_t v) {
  if constexpr (Bits == 8) {
    return v;
  } else {
    constexpr auto low = [](int n) { return (std::uint64_t{1} << n) - 1; };
    constexpr std::uint64_t half = low(4 * Bits), quarter = low(2 * Bits) * 0x0000000100000001u,
                            eighth = low(Bits) * 0x0001000100010001u;
    v = (v & half) | (v & half << 4 * Bits) << (32 - 4 * Bits);
    v = (v & quarter) | (v & quarter << 2 * Bits) << (16 - 2 * Bits);
    return (v & eighth) | (v & eighth << Bits) << (8 - Bits);
  }
}

/// The inverse: eight codes, one in each byte, to the low bits, the lowest byte's first.
template <int Bits>
NBIT_INLINE constexpr std::uint64_t squeeze_word(std::uint64_t v) {
  if constexpr (Bits == 8) {
    return v;
  } else {
    constexpr auto low = [](int n) { return (std::uint64_t{1} << n) - 1; };
    constexpr std::uint64_t eighth = low(Bits) * 0x0001000100010001u, quarter = low(2 * Bits) * 0x0000000100000001u,
                            half = low(4 * Bits);
    v = (v & eighth) | (v >> (8 - Bits) & eighth << Bits);
    v = (v & quarter) | (v >> (16 - 2 * Bits) & quarter << 2 * Bits);
    return (v & half) | (v >> (32 - 4 * Bits) & half << 4 * Bits);
  }
}

/// Reads Bits bytes that hold eight codes, low bits first, and writes the codes.
template <int Bits>
NBIT_INLINE void spread_codes(const std::uint8_t* bytes, std::uint8_t* codes) {
  std::uint64_t v = 0;
  for (int i = 0; i < Bits; ++i) v |= std::uint64_t{bytes[i]} << (8 * i);
  v = spread_word<Bits>(v);
#if NBIT_BIG_ENDIAN
  for (int i = 0; i < 8; ++i) codes[i] = static_cast<std::uint8_t>(v >> (8 * i));
#else
  std::memcpy(codes, &v, 8);
#endif
}

/// Writes eight codes below 2^Bits to Bits bytes, low bits first.
template <int Bits>
NBIT_INLINE void squeeze_codes(const std::uint8_t* codes, std::uint8_t* bytes) {
  std::uint64_t v = 0;
#if NBIT_BIG_ENDIAN
  for (int i = 0; i < 8; ++i) v |= std::uint64_t{codes[i]} << (8 * i);
#else
  std::memcpy(&v, codes, 8);
#endif
  v = squeeze_word<Bits>(v);
  for (int i = 0; i < Bits; ++i) bytes[i] = static_cast<std::uint8_t>(v >> (8 * i));
}

static_assert(squeeze_word<3>(0x0706050403020100u) == 0xfac688 &&
              squeeze_word<7>(0x0100000000000003u) == 0x2000000000003);
static_assert(spread_word<3>(0xfac688) == 0x0706050403020100u && spread_word<4>(0x76543210) == 0x0706050403020100u);

}  // namespace nbit::detail

#endif
