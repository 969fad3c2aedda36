// tests/format/ggml_golden.hpp — compares a block format with every reference case of one golden file.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_FORMAT_GGML_GOLDEN_HPP
#define NBIT_TESTS_FORMAT_GGML_GOLDEN_HPP

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "format/ggml_golden_cases.hpp"
#include "support/data.hpp"

namespace nbit_test {

/// Encodes and decodes every case of `<folder>/<file>.safetensors` and compares.
template <class F>
golden_count compare_with_golden(const std::filesystem::path& folder, const std::string& file) {
  const golden_count count = for_each_golden_case<F>(folder, file, [&](const std::string& name, std::size_t differ) {
    INFO(folder.string() << "/" << file << ": " << name);
    CHECK(differ == 0);
  });
  std::printf("%s (%s): %d cases encoded, %d encoded with importance, %d decoded, all compared bit by bit\n",
              file.c_str(), folder.filename().string().c_str(), count.encoded, count.weighed, count.decoded);
  return count;
}

/// The committed subset, which every clone has.
template <class F>
void compare_with_committed(const std::string& file) {
  const golden_count count = compare_with_golden<F>(golden_dir() / "ggml", file);
  CHECK(count.encoded + count.weighed >= 20);  // some types exist only with importance
}

}  // namespace nbit_test

/// All cases of the data folder; skips by name when it is not there.
#define NBIT_COMPARE_WITH_DATA_FOLDER(format, file)                                                                    \
  do {                                                                                                                 \
    NBIT_NEEDS_DATA(full, "ggml_golden");                                                                              \
    const nbit_test::golden_count count_ = nbit_test::compare_with_golden<format>(full, file);                         \
    CHECK(count_.encoded + count_.weighed >= 20);                                                                      \
  } while (false)

#endif
