// nbit/io/utf8.hpp — tells well-formed UTF-8 from the rest, one character at a time.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_UTF8_HPP
#define NBIT_IO_UTF8_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nbit/base/config.hpp>

namespace nbit {

inline namespace NBIT_TAG {

/// The bytes of the first character, 1 to 4; 0 when the text is empty or does not begin with well-formed UTF-8
/// (overlong forms, surrogates and codes above U+10FFFF are not well-formed).
[[nodiscard]] constexpr std::size_t utf8_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [text](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < n) return 0;  // c0 and c1 could only begin overlong forms
  std::uint32_t code = first & (0x7fu >> n);
  for (std::size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (n == 3 && code < 0x800) || (n == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return overlong || surrogate || code > 0x10ffff ? 0 : n;
}

/// Appends a character.  Needs: code is at most 0x10ffff and no surrogate.
inline void utf8_append(std::string& to, std::uint32_t code) {
  const auto put = [&to](std::uint32_t byte) { to += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) return put(0xc0u | code >> 6), put(0x80u | (code & 0x3fu));
  if (code < 0x10000) return put(0xe0u | code >> 12), put(0x80u | (code >> 6 & 0x3fu)), put(0x80u | (code & 0x3fu));
  put(0xf0u | code >> 18), put(0x80u | (code >> 12 & 0x3fu)), put(0x80u | (code >> 6 & 0x3fu)),
      put(0x80u | (code & 0x3fu));
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
