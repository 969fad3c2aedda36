// tests/support/fuzz_main.cpp — runs a fuzz entry without a fuzzer: every seed file, then seeds with damage from a
// fixed stream.
//
// fuzz_main RUNS FILE_OR_FOLDER...  The entry traps or a sanitizer stops the program when something is wrong; a long
// hunt uses libFuzzer instead (see the first lines of tests/fuzz/*_fuzz.cpp).
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "support/data.hpp"
#include "support/random.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void run(const std::vector<std::byte>& bytes) {
  // An allocation of exactly this size, so that a read past the end is one past an allocation.
  const std::vector<std::uint8_t> copy(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                       reinterpret_cast<const std::uint8_t*>(bytes.data()) + bytes.size());
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

// One to four edits: a byte changed, a 64-bit count made huge, the file cut, a piece repeated. Headers are hit most
// often.
void damage(std::vector<std::byte>& bytes, nbit_test::random& r) {
  for (std::uint64_t edits = 1 + r.below(4); edits > 0 && !bytes.empty(); --edits) {
    const std::uint64_t reach = r.below(2) == 0 ? std::min<std::uint64_t>(bytes.size(), 512) : bytes.size();
    const std::size_t at = static_cast<std::size_t>(r.below(reach));
    switch (r.below(5)) {
      case 0: bytes[at] = static_cast<std::byte>(r.bits() & 255); break;
      case 1: bytes[at] ^= static_cast<std::byte>(1u << r.below(8)); break;
      case 2:
        for (std::size_t i = at; i < std::min(at + 8, bytes.size()); ++i) bytes[i] = std::byte{0xFF};
        break;
      case 3: bytes.resize(at); break;
      default: {
        const std::size_t n = std::min<std::size_t>(bytes.size() - at, 1 + r.below(64));
        const std::vector<std::byte> piece(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                           bytes.begin() + static_cast<std::ptrdiff_t>(at + n));
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const long runs = argc > 1 ? std::atol(argv[1]) : 0;
  std::vector<std::filesystem::path> paths;
  for (int i = 2; i < argc; ++i) {
    if (std::filesystem::is_regular_file(argv[i])) paths.emplace_back(argv[i]);
    if (!std::filesystem::is_directory(argv[i])) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i]))
      if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::vector<std::byte>> seeds;
  for (const auto& path : paths) {
    auto bytes = nbit_test::read_file(path);
    // Damage to a large file mostly hits numbers, which anything may be.
    if (bytes && bytes->size() <= 65536) seeds.push_back(std::move(*bytes));
  }
  for (const auto& seed : seeds) run(seed);
  nbit_test::random r(1);
  for (long i = 0; i < runs && !seeds.empty(); ++i) {
    std::vector<std::byte> bytes = seeds[static_cast<std::size_t>(r.below(seeds.size()))];
    damage(bytes, r);
    run(bytes);
  }
  std::printf("count: fuzz: %zu seeds, %ld damaged inputs, 0 failed\n", seeds.size(), runs);
  return seeds.empty() ? 1 : 0;
}
