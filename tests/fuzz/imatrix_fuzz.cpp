// tests/fuzz/imatrix_fuzz.cpp — libFuzzer entry: any bytes as an importance matrix of either kind; what is accepted is
// written in both and read again.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/imatrix_fuzz.cpp -o imatrix_fuzz
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/io/byte_sink.hpp>
#include <nbit/io/imatrix_gguf.hpp>

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto m = nbit::read_imatrix(bytes);
  if (!m) {
    require(*m.error().what != '\0');
    return 0;
  }
  for (const auto& e : m->entries) {
    require(m->find(e.name) != nullptr);
    for (const auto policy : {nbit::uncovered::ones, nbit::uncovered::average, nbit::uncovered::refuse})
      if (const auto w = nbit::importance(*m, e.name, e.cols(), e.matrices(), policy))
        for (const float v : *w) require(v >= 0.0f);
  }
  nbit::memory_sink dat, gguf;
  if (nbit::write_imatrix_dat(*m, dat)) {
    const auto again = nbit::read_imatrix(dat.bytes);
    // Entries without data are left out; means times calls may overflow, which the reader then refuses.
    if (again) require(again->entries.size() <= m->entries.size());
    if (m->legacy) require(again && dat.bytes.size() <= size + 8);
  }
  if (nbit::write_imatrix_gguf(*m, gguf))
    require(nbit::read_imatrix(gguf.bytes).has_value() || nbit::as_text(gguf.bytes).substr(0, 4) == "GGUF");
  return 0;
}
