// tests/io/atomic_file_test.cpp — files appear whole or not at all, and files are mapped as they are.
// SPDX-License-Identifier: MIT
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/atomic_file.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/mapped_file.hpp>

#include "io/files.hpp"

namespace fs = std::filesystem;

namespace {

std::string content(const fs::path& path) {
  const auto read = nbit_test::read_file(path);
  return read ? std::string(reinterpret_cast<const char*>(read->data()), read->size()) : "(no file)";
}

std::size_t entries(const fs::path& folder) {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) ++n;
  return n;
}

}  // namespace

TEST_CASE("an atomic file is invisible until commit and complete afterwards") {
  const nbit_test::temporary_folder folder;
  const fs::path path = folder.path() / "out.bin";
  std::ofstream(path) << "old";
  auto file = nbit::atomic_file::create(path.string());
  REQUIRE(file);
  CHECK(fs::exists(file->temporary_name()));
  CHECK(fs::path(file->temporary_name()).parent_path() == folder.path());
  std::string expected;
  // Short writes collect, a long one goes straight through; the order must hold.
  for (int i = 0; i < 3000; ++i) {
    const std::string part = "part " + std::to_string(i) + std::string(i == 1500 ? 200000 : 3, '.');
    expected += part;
    REQUIRE(file->write(nbit::as_bytes(part)));
  }
  CHECK(content(path) == "old");
  CHECK(file->size() == expected.size());
  REQUIRE(file->commit());
  CHECK(content(path) == expected);
  CHECK(entries(folder.path()) == 1);
  CHECK(file->temporary_name().empty());
  CHECK_FALSE(file->write(nbit::as_bytes("more")));
  CHECK_FALSE(file->commit());
  CHECK(content(path) == expected);
}

TEST_CASE("an atomic file that is not committed leaves nothing behind and the old file alone") {
  const nbit_test::temporary_folder folder;
  const fs::path path = folder.path() / "out.bin";
  std::ofstream(path) << "old";
  {
    auto file = nbit::atomic_file::create(path.string());
    REQUIRE(file);
    REQUIRE(file->write(nbit::as_bytes(std::string_view("half"))));
    nbit::atomic_file moved = *std::move(file);
    CHECK(entries(folder.path()) == 2);
  }
  CHECK(entries(folder.path()) == 1);
  CHECK(content(path) == "old");
  auto given_up = nbit::atomic_file::create(path.string());
  REQUIRE(given_up);
  given_up->discard();
  CHECK_FALSE(given_up->write(nbit::as_bytes(std::string_view("x"))));
  CHECK_FALSE(given_up->commit());
  CHECK(content(path) == "old");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("two writers of one name do not share a temporary; the last commit wins") {
  const nbit_test::temporary_folder folder;
  const fs::path path = folder.path() / "out.bin";
  auto a = nbit::atomic_file::create(path.string());
  auto b = nbit::atomic_file::create(path.string());
  REQUIRE(a);
  REQUIRE(b);
  CHECK(a->temporary_name() != b->temporary_name());
  REQUIRE(a->write(nbit::as_bytes(std::string_view("a"))));
  REQUIRE(b->write(nbit::as_bytes(std::string_view("b"))));
  REQUIRE(b->commit());
  REQUIRE(a->commit());
  CHECK(content(path) == "a");
}

TEST_CASE("an output that cannot be made is an error with the system's number, and nothing is created") {
  const nbit_test::temporary_folder folder;
  const auto nowhere = nbit::atomic_file::create((folder.path() / "no" / "such" / "out.bin").string());
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().code == nbit::errc::io);
  CHECK(nowhere.error().found == ENOENT);
  CHECK_FALSE(nbit::atomic_file::create(folder.path().string()));
  CHECK_FALSE(nbit::atomic_file::create(""));
  CHECK(entries(folder.path()) == 0);
}

TEST_CASE("a write beyond the process's file size limit is an error, and no file appears") {
  const nbit_test::temporary_folder folder;
  const fs::path path = folder.path() / "out.bin";
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  ::rlimit tight = before;
  tight.rlim_cur = 100000;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  bool failed = false;
  {
    auto file = nbit::atomic_file::create(path.string());
    const std::vector<std::byte> piece(50000);
    for (int i = 0; file && i < 4; ++i) failed = failed || !file->write(piece);
    failed = failed && !file->commit();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK(failed);
  CHECK(entries(folder.path()) == 0);
}

TEST_CASE("a mapped file shows the file's bytes, an empty file none") {
  const nbit_test::temporary_folder folder;
  const fs::path path = folder.path() / "in.bin";
  std::ofstream(path) << "hello";
  auto file = nbit::mapped_file::open(path.string());
  REQUIRE(file);
  CHECK(nbit::as_text(file->bytes()) == "hello");
  nbit::mapped_file moved = *std::move(file);
  CHECK(nbit::as_text(moved.bytes()) == "hello");
  moved = nbit::mapped_file();
  CHECK(moved.bytes().empty());
  std::ofstream(folder.path() / "empty.bin");
  const auto empty = nbit::mapped_file::open((folder.path() / "empty.bin").string());
  REQUIRE(empty);
  CHECK(empty->bytes().empty());
}

TEST_CASE("a mapping keeps the old bytes when an atomic file replaces the name") {
  const nbit_test::temporary_folder folder;
  const fs::path path = folder.path() / "model.bin";
  std::ofstream(path) << "old bytes";
  const auto mapped = nbit::mapped_file::open(path.string());
  REQUIRE(mapped);
  auto file = nbit::atomic_file::create(path.string());
  REQUIRE(file);
  REQUIRE(file->write(nbit::as_bytes(std::string_view("new"))));
  REQUIRE(file->commit());
  CHECK(nbit::as_text(mapped->bytes()) == "old bytes");
  CHECK(content(path) == "new");
}

TEST_CASE("folders, devices and missing files are refused with a reason") {
  const nbit_test::temporary_folder folder;
  const auto missing = nbit::mapped_file::open((folder.path() / "nothing").string());
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == nbit::errc::io);
  CHECK(missing.error().found == ENOENT);
  CHECK(std::string(missing.error().subject).ends_with("nothing"));
  const auto directory = nbit::mapped_file::open(folder.path().string());
  REQUIRE_FALSE(directory);
  CHECK(directory.error().code == nbit::errc::unsupported);
  if (fs::exists("/dev/null")) CHECK_FALSE(nbit::mapped_file::open("/dev/null"));
}
