// tests/fuzz/safetensors_fuzz.cpp — libFuzzer entry: any bytes as a file; what is accepted is written and read again.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/safetensors_fuzz.cpp -o st_fuzz
// ./st_fuzz corpus/ tests/golden/io/safetensors_files/ tests/golden/io/safetensors_malformed/
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <nbit/io/safetensors.hpp>

namespace {

volatile std::uint64_t sink_of_reads = 0;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  // The header's text alone also drives the JSON reader, without the length before it.
  if (const auto v = nbit::json_parse(nbit::as_text(bytes))) {
    const std::string text = nbit::json_text(*v);
    const auto again = nbit::json_parse(text);
    require(again && nbit::json_text(*again) == text);
  }
  const auto f = nbit::safetensors::parse(bytes);
  if (!f) {
    require(*f.error().what != '\0');
    return 0;
  }
  std::uint64_t sum = 0, covered = f->data_offset();
  nbit::safetensors::writer w;
  for (const auto& t : f->tensors()) {
    for (const std::byte b : t.bytes) sum += static_cast<std::uint64_t>(b);
    covered += t.bytes.size();
    require(f->tensor(t.name).has_value());
    require(w.declare(t.name, t.type, t.shape).has_value());
  }
  require(covered == size);
  nbit::memory_sink out;
  auto stream = w.begin(out);
  require(stream.has_value());
  for (const auto& t : f->tensors()) require(stream->write(t.name, t.bytes).has_value());
  require(stream->finish().has_value());
  const auto again = nbit::safetensors::parse(out.bytes);
  require(again && again->tensors().size() == f->tensors().size());
  sink_of_reads = sum;
  return 0;
}
