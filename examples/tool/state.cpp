// tool/state.cpp — records of a run_state.
// SPDX-License-Identifier: MIT
#include "state.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/io/byte_cursor.hpp>

#include "failure.hpp"
#include "output.hpp"

namespace tool {
namespace {

/// FNV-1a over words of eight bytes.
std::uint64_t checksum(std::span<const std::byte> bytes, std::uint64_t h = 1469598103934665603u) {
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) h = (h ^ nbit::load_u64(bytes.data() + i)) * 1099511628211u;
  for (; i < bytes.size(); ++i) h = (h ^ std::to_integer<std::uint64_t>(bytes[i])) * 1099511628211u;
  return h;
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// One record at the start of `all`; 0 when it is not whole.
std::size_t record(std::span<const std::byte> all, std::string_view& name, std::span<const std::byte>& bytes) {
  if (all.size() < 24) return 0;
  const std::uint64_t names = nbit::load_u64(all.data()), size = nbit::load_u64(all.data() + 8), left = all.size() - 24;
  if (names > left || size > left - names) return 0;
  const auto n = static_cast<std::size_t>(names), s = static_cast<std::size_t>(size);
  const auto named = all.subspan(16, n);
  bytes = all.subspan(16 + n, s);
  name = {reinterpret_cast<const char*>(named.data()), n};
  return nbit::load_u64(all.data() + 16 + n + s) == checksum(bytes, checksum(named)) ? 24 + n + s : 0;
}

}  // namespace

run_state::run_state(std::string path, const std::string& about, bool resume) : path_(std::move(path)) {
  namespace fs = std::filesystem;
  std::size_t end = 0;
  if (resume && fs::exists(path_)) {
    before_ = need(nbit::mapped_file::open(path_), "reading " + path_);
    const auto all = before_.bytes();
    std::string_view name;
    std::span<const std::byte> bytes;
    while (const std::size_t n = record(all.subspan(end), name, bytes)) {
      if (end == 0 && name != about)
        throw failure{bad_input, "'" + path_ + "': what another run left (found '" + std::string(name) + "', wanted '" +
                                     about + "'); without --resume it is dropped"};
      if (end != 0) kept_[std::string(name)] = bytes;
      end += n;
    }
    std::error_code failed;
    fs::resize_file(path_, end, failed);  // what follows is a record that was cut off
    if (failed) throw failure{io_failed, "'" + path_ + "': " + failed.message()};
  }
  file_ = std::fopen(path_.c_str(), end == 0 ? "wb" : "ab");
  if (file_ == nullptr) throw failure{io_failed, "'" + path_ + "': cannot be written (" + std::strerror(errno) + ")"};
  if (end == 0) keep(about, {});
  say_when_interrupted("\nnbit: interrupted; the same command with --resume goes on from here\n");
}

run_state::~run_state() {
  if (file_ != nullptr) std::fclose(file_);
}

void run_state::keep(std::string_view name, std::span<const std::byte> bytes) {
  std::array<std::byte, 16> lengths;
  std::array<std::byte, 8> sum;
  nbit::store_u64(lengths.data(), name.size()), nbit::store_u64(lengths.data() + 8, bytes.size());
  nbit::store_u64(sum.data(), checksum(bytes, checksum(bytes_of(name))));
  for (const std::span<const std::byte> part :
       {std::span<const std::byte>(lengths), bytes_of(name), bytes, std::span<const std::byte>(sum)})
    if (std::fwrite(part.data(), 1, part.size(), file_) != part.size())
      throw failure{io_failed, "'" + path_ + "': cannot be written (" + std::strerror(errno) + ")"};
  if (std::fflush(file_) != 0)
    throw failure{io_failed, "'" + path_ + "': cannot be written (" + std::strerror(errno) + ")"};
}

void run_state::finish() {
  std::fclose(file_);
  file_ = nullptr;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  say_when_interrupted(nullptr);
}

}  // namespace tool
