// tests/support/st.hpp — reads safetensors files that come with test data, without using the library under test.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_SUPPORT_ST_HPP
#define NBIT_TESTS_SUPPORT_ST_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/data.hpp"
#include "support/json.hpp"

namespace nbit_test {

/// One tensor of a safetensors file.
struct st_tensor {
  std::string dtype;                 // "F32", "F16", "BF16", "I32", "U8", ...
  std::vector<std::size_t> shape;    // outermost first
  std::span<const std::byte> bytes;  // inside the file's buffer

  /// Copies the bytes out as numbers of T (the file gives no alignment).
  template <class T>
  std::vector<T> as() const {
    std::vector<T> v(bytes.size() / sizeof(T));
    if (!v.empty()) std::memcpy(v.data(), bytes.data(), v.size() * sizeof(T));
    return v;
  }
};

/// A whole safetensors file in memory: name -> tensor, and the strings of __metadata__.
class st_file {
 public:
  std::map<std::string, st_tensor> tensors;
  std::map<std::string, std::string> metadata;

  static std::optional<st_file> load(const std::filesystem::path& path) {
    auto bytes = read_file(path);
    if (!bytes || bytes->size() < 8) return std::nullopt;
    st_file file;
    file.bytes_ = std::move(*bytes);
    std::uint64_t length = 0;
    for (int i = 7; i >= 0; --i)
      length = length << 8 | std::to_integer<std::uint64_t>(file.bytes_[static_cast<std::size_t>(i)]);
    if (length > file.bytes_.size() - 8) return std::nullopt;
    const std::span<const std::byte> data = std::span<const std::byte>(file.bytes_).subspan(8 + length);
    const auto header =
        json::parse({reinterpret_cast<const char*>(file.bytes_.data()) + 8, static_cast<std::size_t>(length)});
    if (!header) return std::nullopt;
    for (const auto& [name, entry] : header->members) {
      if (name == "__metadata__") {
        for (const auto& [key, value] : entry.members) file.metadata[key] = value.text;
        continue;
      }
      st_tensor t;
      t.dtype = entry["dtype"].text;
      for (const json& n : entry["shape"].items) t.shape.push_back(static_cast<std::size_t>(n.natural()));
      const std::uint64_t first = entry["data_offsets"][0].natural(), last = entry["data_offsets"][1].natural();
      if (first > last || last > data.size()) return std::nullopt;
      t.bytes = data.subspan(first, last - first);
      file.tensors[name] = t;
    }
    return file;
  }

  bool has(const std::string& name) const { return tensors.count(name) != 0; }
  /// The tensor, or an empty one.
  const st_tensor& operator[](const std::string& name) const {
    static const st_tensor none;
    const auto found = tensors.find(name);
    return found == tensors.end() ? none : found->second;
  }

 private:
  std::vector<std::byte> bytes_;  // moving a vector keeps its storage, so the spans above stay good
};

}  // namespace nbit_test

#endif
