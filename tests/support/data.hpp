// tests/support/data.hpp — where test data lies: the committed golden subset, and the large data folder if it is there.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_SUPPORT_DATA_HPP
#define NBIT_TESTS_SUPPORT_DATA_HPP

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace nbit_test {

/// The data folder: the environment variable NBIT_DATA, else ../shared/data beside the source tree; nothing if absent.
inline std::optional<std::filesystem::path> data_dir() {
  if (const char* named = std::getenv("NBIT_DATA"); named != nullptr && *named != '\0') {
    if (std::filesystem::is_directory(named)) return std::filesystem::path(named);
    return std::nullopt;
  }
  const std::filesystem::path beside = std::filesystem::path(NBIT_SOURCE_DIR).parent_path() / "shared" / "data";
  if (std::filesystem::is_directory(beside)) return beside;
  return std::nullopt;
}

/// Something in the data folder, if both exist.
inline std::optional<std::filesystem::path> data_path(const std::string& relative) {
  if (const auto dir = data_dir()) {
    if (const auto path = *dir / relative; std::filesystem::exists(path)) return path;
  }
  return std::nullopt;
}

/// The committed golden files.
inline std::filesystem::path golden_dir() { return std::filesystem::path(NBIT_SOURCE_DIR) / "tests" / "golden"; }

/// The whole file; nothing if it cannot be read.
inline std::optional<std::vector<std::byte>> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  in.seekg(0, std::ios::end);
  std::vector<std::byte> bytes(static_cast<std::size_t>(in.tellg()));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!in) return std::nullopt;
  return bytes;
}

/// A folder of its own under the system's temporary one, removed with its contents at the end of the scope.
class temporary_folder {
 public:
  temporary_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "nbit-test-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~temporary_folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace nbit_test

/// Skips the rest of the case, by name and aloud, unless `relative` is in the data folder; else names its path `var`.
#define NBIT_NEEDS_DATA(var, relative)                                                                                 \
  const auto var##_found_ = ::nbit_test::data_path(relative);                                                          \
  if (!var##_found_) SKIP("data folder has no " << (relative) << " (set NBIT_DATA to the data folder to run)");        \
  const std::filesystem::path& var = *var##_found_

#endif
