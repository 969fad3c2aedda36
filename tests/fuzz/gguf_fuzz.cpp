// tests/fuzz/gguf_fuzz.cpp — libFuzzer entry: any bytes as a file; what is accepted is written again and read again.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/gguf_fuzz.cpp -o gguf_fuzz
// ./gguf_fuzz corpus/ tests/golden/io/gguf_files/ tests/golden/io/gguf_malformed/
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <nbit/io/gguf.hpp>

namespace {

volatile std::uint64_t sink_of_reads = 0;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

std::uint64_t read_all(const nbit::gguf::value& v) {
  std::uint64_t sum = v.size();
  for (const std::byte b : v.raw()) sum += static_cast<std::uint64_t>(b);
  if (const auto n = v.get<std::int32_t>()) sum += static_cast<std::uint64_t>(*n);
  if (const auto s = v.get<std::string_view>()) sum += s->size();
  for (const nbit::gguf::value e : v.elements()) sum += read_all(e);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto f = nbit::gguf::parse(bytes);
  if (!f) {
    require(*f.error().what != '\0');
    return 0;
  }
  std::uint64_t sum = 0;
  nbit::gguf::writer w;
  require(w.copy_keys(*f).has_value());
  for (const auto& k : f->keys()) {
    sum += read_all(k.value);
    require(f->find(k.name) == &k.value);
  }
  if (f->alignment() > 4096) return 0;  // legal, but the padding would take the time
  for (const auto& t : f->tensors()) {
    for (const std::byte b : t.bytes) sum += static_cast<std::uint64_t>(b);
    require(t.bytes.size() == t.elements() / t.type.block * t.type.block_bytes);
    require(f->tensor(t.name).has_value());
    require(w.declare(t.name, t.shape(), t.type.type).has_value());
  }
  nbit::memory_sink out;
  auto stream = w.begin(out);
  require(stream.has_value());
  for (const auto& t : f->tensors()) require(stream->write(t.name, t.bytes).has_value());
  require(stream->finish().has_value());
  const auto again = nbit::gguf::parse(out.bytes);
  require(again && again->keys().size() == f->keys().size() && again->tensors().size() == f->tensors().size());
  sink_of_reads = sum;
  return 0;
}
