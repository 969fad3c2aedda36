// tests/io/files.hpp — SHA-256, exact copies and folders of test files, for the container tests.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_IO_FILES_HPP
#define NBIT_TESTS_IO_FILES_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/data.hpp"

namespace nbit_test {

/// The SHA-256 of the bytes as 64 hexadecimal digits (FIPS 180-4).
inline std::string sha256(std::span<const std::byte> bytes) {
  static constexpr std::array<std::uint32_t, 64> k = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  std::array<std::uint32_t, 8> h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::vector<std::byte> m(bytes.begin(), bytes.end());
  const std::uint64_t bits = std::uint64_t{bytes.size()} * 8;
  m.push_back(std::byte{0x80});
  while (m.size() % 64 != 56) m.push_back(std::byte{0});
  for (int i = 7; i >= 0; --i) m.push_back(static_cast<std::byte>((bits >> (8 * i)) & 0xff));
  for (std::size_t at = 0; at < m.size(); at += 64) {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i < 16; ++i)
      for (std::size_t b = 0; b < 4; ++b) w[i] = (w[i] << 8) | static_cast<std::uint32_t>(m[at + 4 * i + b]);
    for (std::size_t i = 16; i < 64; ++i)
      w[i] = w[i - 16] + w[i - 7] + (std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3)) +
             (std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10));
    auto v = h;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t t1 = v[7] + (std::rotr(v[4], 6) ^ std::rotr(v[4], 11) ^ std::rotr(v[4], 25)) +
                               ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
      const std::uint32_t t2 = (std::rotr(v[0], 2) ^ std::rotr(v[0], 13) ^ std::rotr(v[0], 22)) +
                               ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      v = {t1 + t2, v[0], v[1], v[2], v[3] + t1, v[4], v[5], v[6]};
    }
    for (std::size_t i = 0; i < 8; ++i) h[i] += v[i];
  }
  std::string text;
  for (const std::uint32_t word : h)
    for (int s = 28; s >= 0; s -= 4) text += "0123456789abcdef"[(word >> s) & 15];
  return text;
}

/// A copy on the heap of exactly the right size, so that an address sanitizer sees the first byte read past the end.
class exact_copy {
 public:
  explicit exact_copy(std::span<const std::byte> from) : bytes_(new std::byte[from.size()]), size_(from.size()) {
    std::copy(from.begin(), from.end(), bytes_.get());
  }
  std::span<const std::byte> bytes() const { return {bytes_.get(), size_}; }
  std::byte& operator[](std::size_t i) { return bytes_[i]; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_;
};

/// The folder with the data set `name`: the full one, else the committed subset.
inline std::filesystem::path io_folder(const std::string& name) {
  if (const auto full = data_path(name)) return *full;
  return golden_dir() / "io" / name;
}

/// All files of a folder with this ending, sorted.
inline std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder, const std::string& ending) {
  std::vector<std::filesystem::path> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none))
    if (entry.path().extension() == ending) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace nbit_test

#endif
