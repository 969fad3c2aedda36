// tests/io/checkpoints.hpp — checkpoints that other programs wrote: the committed small ones, and the data folder's.
//
// Both have the same files: model.safetensors, config.json, reference.safetensors. The committed references hold the
// first rows only, so a test compares as many values as there are.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_IO_CHECKPOINTS_HPP
#define NBIT_TESTS_IO_CHECKPOINTS_HPP

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/tensor/encode.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/json_reader.hpp>
#include <nbit/io/json_writer.hpp>
#include <nbit/io/safetensors_reader.hpp>

#include "support/data.hpp"
#include "support/st.hpp"

namespace nbit_test {

inline constexpr const char* query = "model.layers.0.self_attn.q_proj";

/// One folder of a checkpoint.
struct checkpoint {
  std::string name;
  std::vector<std::byte> bytes;
  nbit::safetensors::file model;  // over bytes
  st_file reference;
  nbit::json_value config;  // the whole config.json, or null

  nbit::stored_tensor tensor(std::string_view name_in_layer, const char* layer = query) const {
    return nbit::find_stored(model, layer, name_in_layer);
  }
  template <class T>
  std::vector<T> expected(const std::string& name_in_layer, const char* layer = query) const {
    std::string full = layer;
    full.append(1, '.').append(name_in_layer);
    return reference[full].as<T>();
  }
  nbit::json_value quantization() const {
    const nbit::json_value* const q = config.find("quantization_config");
    return q != nullptr ? *q : nbit::json_value();
  }
};

inline checkpoint load_checkpoint(const std::filesystem::path& folder) {
  checkpoint c;
  c.name = folder.filename().string();
  INFO(folder.string());
  auto bytes = read_file(folder / "model.safetensors");
  REQUIRE(bytes);
  c.bytes = std::move(*bytes);
  auto model = nbit::safetensors::parse(c.bytes);
  REQUIRE(model);
  c.model = std::move(*model);
  auto reference = st_file::load(folder / "reference.safetensors");
  REQUIRE(reference);
  c.reference = std::move(*reference);
  if (const auto text = read_file(folder / "config.json")) {
    auto config = nbit::json_parse({reinterpret_cast<const char*>(text->data()), text->size()});
    REQUIRE(config);
    c.config = std::move(*config);
  }
  return c;
}

/// Folders whose names begin like this: the committed ones, then those of the data folder.
inline std::vector<std::filesystem::path> checkpoint_folders(std::string_view prefix) {
  std::vector<std::filesystem::path> all;
  std::vector<std::filesystem::path> roots{golden_dir() / "checkpoints"};
  if (const auto data = data_path("checkpoints")) roots.push_back(*data);
  for (const auto& root : roots) {
    const std::size_t first = all.size();
    for (const auto& entry : std::filesystem::directory_iterator(root))
      if (entry.is_directory() && entry.path().filename().string().rfind(prefix, 0) == 0) all.push_back(entry.path());
    std::sort(all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
  }
  return all;
}

/// The first values of a reference are those of the matrix.
inline bool begins_with(const std::vector<float>& values, const std::vector<float>& expected) {
  return !expected.empty() && expected.size() <= values.size() &&
         std::equal(expected.begin(), expected.end(), values.begin());
}

template <class F>
std::vector<float> values_of(const nbit::coded_matrix<F>& q) {
  std::vector<float> values(q.rows * q.cols);
  nbit::detail::decode_matrix<F>(q, {values.data(), q.rows, q.cols});
  return values;
}

/// Whether a tensor to be written is the very one of a file: type, shape and bytes.
inline bool same_tensor(const nbit::owned_tensor& written, const nbit::stored_tensor& file) {
  const nbit::stored_tensor w = written.view();
  return w.present == file.present && w.type == file.type && w.rank == file.rank && w.shape == file.shape &&
         std::equal(w.bytes.begin(), w.bytes.end(), file.bytes.begin(), file.bytes.end());
}

inline bool same_params(const auto& a, const auto& b) {
  return a.size() == b.size() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0);
}

}  // namespace nbit_test

#endif
