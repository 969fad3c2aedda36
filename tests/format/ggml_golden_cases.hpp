// tests/format/ggml_golden_cases.hpp — every reference case of one golden file, encoded and decoded by the format
// itself.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_FORMAT_GGML_GOLDEN_CASES_HPP
#define NBIT_TESTS_FORMAT_GGML_GOLDEN_CASES_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>

#include "support/data.hpp"
#include "support/st.hpp"

namespace nbit_test {

/// The bytes of rows x cols weights as F's own encoder writes them; importance is empty or one number for each column.
template <class F>
std::vector<std::byte> encoded(const std::vector<float>& w, std::size_t cols, const std::vector<float>& importance) {
  const std::size_t group = static_cast<std::size_t>(F::group), rows = w.size() / cols, groups = cols / group;
  std::vector<std::byte> bytes(rows * groups * F::block_bytes);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::span<const float> row(w.data() + r * cols, cols);
    const float mean_square = nbit::row_mean_square(row);
    for (std::size_t g = 0; g < groups; ++g) {
      typename F::params p{};
      nbit::code_t<F> codes[F::group / nbit::step_of<F>];
      const std::span<const float> weigh =
          importance.empty() ? std::span<const float>{} : std::span<const float>(importance).subspan(g * group, group);
      F::encode(row.subspan(g * group, group), weigh, mean_square, p, codes);
      F::store(bytes.data() + (r * groups + g) * F::block_bytes, p, codes);
    }
  }
  return bytes;
}

/// The numbers that whole blocks mean.
template <class F>
std::vector<float> decoded(std::span<const std::byte> bytes) {
  const std::size_t group = static_cast<std::size_t>(F::group), blocks = bytes.size() / F::block_bytes;
  std::vector<float> values(blocks * group);
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::byte* block = bytes.data() + b * F::block_bytes;
    const typename F::params p = F::load_params(block);
    nbit::code_t<F> codes[F::group / nbit::step_of<F>];
    F::load_codes(block, codes);
    if constexpr (nbit::lattice_format<F>) {
      for (int i = 0; i < F::group; i += F::step)
        F::value(static_cast<int>(codes[i / F::step]), p, i,
                 std::span<float>(values).subspan(b * group + static_cast<std::size_t>(i), std::size_t(F::step)));
    } else {
      for (int i = 0; i < F::group; ++i) values[b * group + static_cast<std::size_t>(i)] = F::value(codes[i], p, i);
    }
  }
  return values;
}

/// Blocks that differ, so that a failure says how many and not only that there is one.
inline std::size_t blocks_that_differ(std::span<const std::byte> a, std::span<const std::byte> b, std::size_t block) {
  if (a.size() != b.size()) return ~std::size_t{0};
  std::size_t n = 0;
  for (std::size_t i = 0; i + block <= a.size(); i += block) n += std::memcmp(a.data() + i, b.data() + i, block) != 0;
  return n;
}

/// True when both are the same bits, or both NaN (a NaN's payload is not part of any format).
inline std::size_t values_that_differ(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return ~std::size_t{0};
  std::size_t n = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool both_nan = a[i] != a[i] && b[i] != b[i];
    n += !both_nan && std::memcmp(&a[i], &b[i], sizeof(float)) != 0;
  }
  return n;
}

struct golden_count {
  int encoded = 0, weighed = 0, decoded = 0;
};

/// Encodes and decodes every case of `<folder>/<file>.safetensors` and says each(name, blocks or numbers that differ);
/// no cases if a file is missing.
template <class F, class Each>
golden_count for_each_golden_case(const std::filesystem::path& folder, const std::string& file, Each&& each) {
  golden_count count;
  const auto inputs = st_file::load(folder / "inputs.safetensors");
  const auto golden = st_file::load(folder / (file + ".safetensors"));
  if (!inputs || !golden) return count;
  const auto note = golden->metadata.find("imatrix_ignored_cases");
  const std::string ignored = note == golden->metadata.end() ? "" : "," + note->second + ",";
  for (const auto& item : golden->tensors) {
    const std::string& name = item.first;
    const st_tensor& tensor = item.second;
    const std::string stem = name.substr(0, name.rfind('.'));
    const auto missing = [&] { each(name + " has no counterpart", ~std::size_t{0}); };
    if (name.ends_with(".deq")) {
      if (!golden->has(stem + ".bytes")) {
        missing();
        continue;
      }
      each(name, values_that_differ(decoded<F>((*golden)[stem + ".bytes"].bytes), tensor.as<float>()));
      ++count.decoded;
      continue;
    }
    if (!name.ends_with(".bytes") || stem == "rand") continue;
    const bool weighed = stem.ends_with(".imat");
    const std::string source = weighed ? stem.substr(0, stem.size() - 5) : stem;
    if (!inputs->has("in." + source)) {
      missing();
      continue;
    }
    const st_tensor& in = (*inputs)["in." + source];
    const std::size_t cols = in.shape.back();
    const std::vector<float> importance = (*inputs)["imatrix." + std::to_string(cols)].as<float>();
    const std::vector<float> w = in.as<float>();
    const auto differ = [&](const std::vector<float>& weights) {
      return blocks_that_differ(encoded<F>(w, cols, weights), tensor.bytes, F::block_bytes);
    };
    each(name, differ(weighed ? importance : std::vector<float>{}));
    ++(weighed ? count.weighed : count.encoded);
    if (!weighed && ignored.find("," + source + ",") != std::string::npos) {
      each(name + " with importance", differ(importance));
      ++count.weighed;
    }
  }
  return count;
}

}  // namespace nbit_test

#endif
