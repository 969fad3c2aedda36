// tests/fuzz/split_fuzz.cpp — libFuzzer entry: models in several files. The input is cut into pieces that become the
// parts of a GGUF set, and an index with the safetensors files that it names.
//
//   u8 pieces | u16 length of each but the last | pieces
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/split_fuzz.cpp -o split_fuzz
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nbit/io/gguf_split.hpp>
#include <nbit/io/safetensors_index.hpp>

namespace {

volatile std::uint64_t sink_of_reads = 0;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

std::vector<std::span<const std::byte>> cut(std::span<const std::byte> bytes) {
  std::vector<std::span<const std::byte>> pieces;
  if (bytes.empty()) return pieces;
  std::size_t count = std::to_integer<std::size_t>(bytes[0]) % 8 + 1;
  bytes = bytes.subspan(1);
  for (; count > 1 && bytes.size() >= 2; --count) {
    const std::size_t n = nbit::load_le<std::uint16_t>(bytes.data());
    bytes = bytes.subspan(2);
    pieces.push_back(bytes.first(n < bytes.size() ? n : bytes.size()));
    bytes = bytes.subspan(pieces.back().size());
  }
  pieces.push_back(bytes);
  return pieces;
}

template <class Set>
void touch(const Set& set) {
  std::uint64_t sum = 0;
  for (const auto& t : set.tensors()) {
    for (const std::byte b : t.bytes) sum += static_cast<std::uint64_t>(b);
    require(set.tensor(t.name).has_value());
  }
  sink_of_reads = sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto pieces = cut({reinterpret_cast<const std::byte*>(data), size});
  if (pieces.empty()) return 0;
  std::vector<nbit::gguf::file> parts;
  for (const auto& p : pieces)
    if (auto f = nbit::gguf::parse(p)) parts.push_back(std::move(*f));
  if (const auto set = nbit::gguf::split_set::join(std::move(parts))) {
    touch(*set);
    nbit::gguf::writer w;
    require(w.copy_keys(set->first()).has_value());
    for (const auto& t : set->tensors()) require(w.declare(t.name, t.shape(), t.type.type).has_value());
    const auto again = nbit::gguf::split(w, {.tensors = 2});
    require(again.has_value() && again->size() == (set->tensors().empty() ? 1 : (set->tensors().size() + 1) / 2));
  }
  const auto index = nbit::safetensors::shard_index::parse(nbit::as_text(pieces[0]));
  if (!index) {
    require(*index.error().what != '\0');
    return 0;
  }
  for (const std::string& name : index->files()) require(name.find('/') == std::string::npos && name != "..");
  std::vector<nbit::safetensors::file> files;
  for (std::size_t i = 1; i < pieces.size(); ++i)
    if (auto f = nbit::safetensors::parse(pieces[i])) files.push_back(std::move(*f));
  if (const auto set = nbit::safetensors::shard_set::join(*index, std::move(files))) {
    touch(*set);
    require(set->tensors().size() == set->index().size());
  }
  return 0;
}
