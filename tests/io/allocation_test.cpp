// tests/io/allocation_test.cpp — no reader takes more memory than a small multiple of the file, however it lies.
//
// Every allocation of this binary is counted here; the readers below run over all good and malformed files, whole and
// cut short.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/io/gguf_split.hpp>
#include <nbit/io/imatrix_gguf.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/safetensors_index.hpp>

#include "io/files.hpp"

namespace {

std::atomic<bool> counting{false};
std::atomic<std::size_t> held{0}, most{0};

// A block begins with its size, so that its release is counted too.
constexpr std::size_t header = 64;

void* take(std::size_t bytes, std::size_t alignment) noexcept {
  const std::size_t front = alignment > header ? alignment : header;
  void* const block = std::aligned_alloc(front, (bytes + front + front - 1) / front * front);
  if (block == nullptr) return nullptr;
  auto* const at = static_cast<std::byte*>(block) + front;
  *reinterpret_cast<std::size_t*>(at - sizeof(std::size_t)) = front;
  *reinterpret_cast<std::size_t*>(at - 2 * sizeof(std::size_t)) = counting ? bytes : 0;
  if (counting) {
    const std::size_t now = held += bytes;
    if (now > most) most = now;
  }
  return at;
}

void give(void* p) noexcept {
  if (p == nullptr) return;
  auto* const at = static_cast<std::byte*>(p);
  held -= *reinterpret_cast<std::size_t*>(at - 2 * sizeof(std::size_t));
  std::free(at - *reinterpret_cast<std::size_t*>(at - sizeof(std::size_t)));
}

void* take_or_stop(std::size_t bytes, std::size_t alignment) {
  void* const p = take(bytes, alignment);
#if defined(__cpp_exceptions)
  if (p == nullptr) throw std::bad_alloc();
#else
  if (p == nullptr) std::abort();
#endif
  return p;
}

/// The most memory that f held at once.
template <class F>
std::size_t peak(const F& f) {
  held = 0, most = 0, counting = true;
  f();
  counting = false;
  return most;
}

std::vector<std::filesystem::path> all_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(nbit_test::golden_dir() / "io"))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}

}  // namespace

void* operator new(std::size_t n) { return take_or_stop(n, header); }
void* operator new[](std::size_t n) { return take_or_stop(n, header); }
void* operator new(std::size_t n, std::align_val_t a) { return take_or_stop(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return take_or_stop(n, static_cast<std::size_t>(a)); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return take(n, header); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return take(n, header); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return take(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { give(p); }
void operator delete[](void* p) noexcept { give(p); }
void operator delete(void* p, std::size_t) noexcept { give(p); }
void operator delete[](void* p, std::size_t) noexcept { give(p); }
void operator delete(void* p, std::align_val_t) noexcept { give(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { give(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { give(p); }

TEST_CASE("no reader takes more memory than a multiple of the file's bytes") {
  std::size_t files = 0;
  double gguf = 0, text = 0, matrix = 0;
  for (const auto& path : all_files()) {
    const auto read = nbit_test::read_file(path);
    REQUIRE(read);
    if (read->size() > 200000) continue;
    ++files;
    for (const std::size_t n : {read->size(), read->size() / 2, std::size_t{64}, std::size_t{24}}) {
      if (n > read->size()) continue;
      const auto bytes = std::span(*read).first(n);
      INFO(path.filename().string() << ", " << n << " bytes");
      // A fixed part for the few objects that every reader has.
      const auto share = [n](std::size_t bytes_held) {
        return bytes_held <= 4096 ? 0.0 : static_cast<double>(bytes_held - 4096) / static_cast<double>(n);
      };
      const double g = share(peak([&] { (void)nbit::gguf::parse(bytes).has_value(); }));
      const double s = share(peak([&] { (void)nbit::safetensors::parse(bytes).has_value(); }));
      const double j = share(peak([&] { (void)nbit::json_parse(nbit::as_text(bytes)).has_value(); }));
      const double x =
          share(peak([&] { (void)nbit::safetensors::shard_index::parse(nbit::as_text(bytes)).has_value(); }));
      const double m = share(peak([&] { (void)nbit::read_imatrix(bytes).has_value(); }));
      CHECK(g <= 8);
      CHECK(s <= 120);
      CHECK(j <= 120);
      CHECK(x <= 120);
      CHECK(m <= 12);
      gguf = g > gguf ? g : gguf, text = s > text ? s : text, text = j > text ? j : text,
      matrix = m > matrix ? m : matrix;
    }
  }
  // The text that makes the largest values of the fewest bytes.
  std::string worst = "[0";
  for (int i = 0; i < 20000; ++i) worst += ",0";
  worst += ']';
  const double densest =
      static_cast<double>(peak([&] { (void)nbit::json_parse(worst).has_value(); })) / static_cast<double>(worst.size());
  CHECK(densest <= 260);
  CHECK(files > 100);
  WARN(files << " files; bytes held for each byte of the file: GGUF " << gguf << ", JSON and safetensors " << text
             << ", importance matrices " << matrix << "; densest JSON " << densest);
}
