// tests/fuzz/statistics_fuzz.cpp — libFuzzer entry: any bytes as a file of statistics, and as a measurement of losses.
// What is accepted is written and read again: the same bytes.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/statistics_fuzz.cpp -o
// statistics_fuzz
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nbit/solver/calibration.hpp>
#include <nbit/io/byte_sink.hpp>
#include <nbit/io/statistics_file.hpp>
#include <nbit/plan/measurement.hpp>

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

using layers = std::vector<std::pair<std::string, nbit::hessian>>;

/// Every layer that can be read, as a file of its own.
std::vector<std::byte> written(const layers& all) {
  std::vector<nbit::named_statistics> names;
  for (const auto& [name, h] : all) names.push_back({name, &h});
  nbit::memory_sink out;
  require(nbit::write_statistics(names, out, {}).has_value());
  return {out.bytes.begin(), out.bytes.end()};
}

layers read(std::span<const std::byte> bytes) {
  layers all;
  const auto file = nbit::safetensors::parse(bytes);
  if (!file) return all;
  const auto names = nbit::statistics_names(*file);
  if (!names) {
    require(*names.error().what != '\0');
    return all;
  }
  for (const std::string& name : *names) {
    auto h = nbit::read_statistics(*file, name);
    if (!h) {
      require(*h.error().what != '\0');
      continue;
    }
    std::vector<float> mean(h->cols());
    h->mean_square(mean);
    const double r = h->shrinkage();
    require(r >= 0 && r <= 1);
    all.emplace_back(name, *std::move(h));
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  if (const layers first = read(bytes); !first.empty()) {
    const std::vector<std::byte> once = written(first);
    const layers second = read(once);
    require(second.size() == first.size() && written(second) == once);
  }
  if (const auto items = nbit::parse_measurement({reinterpret_cast<const char*>(data), size})) {
    const std::string text = nbit::measurement_text(*items);
    const auto again = nbit::parse_measurement(text);
    require(again && nbit::measurement_text(*again) == text);
  }
  return 0;
}
