// nbit/io/mapped_file.hpp — a file's bytes, read only, without reading the file.
//
// POSIX maps the file; elsewhere it is read into memory once. A mapping shows what the file holds now: whoever shortens
// the file while it is mapped makes the next touch of the lost pages fail with SIGBUS. nbit's own writers never do
// that, they rename a finished file over the name (atomic_file.hpp), which leaves existing mappings intact.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_MAPPED_FILE_HPP
#define NBIT_IO_MAPPED_FILE_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>

#if defined(__unix__) || defined(__APPLE__)
#define NBIT_IO_POSIX 1
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#define NBIT_IO_POSIX 0
#include <cstdio>
#endif

namespace nbit {

inline namespace NBIT_TAG {
namespace detail {
/// The end of a path: what an error's subject has room for and a reader recognises.
[[nodiscard]] inline std::string_view path_end(std::string_view path) noexcept {
  constexpr std::size_t room = sizeof(error{}.subject) - 1;
  return path.size() > room ? path.substr(path.size() - room) : path;
}

struct file_bytes {
  void* mapping = nullptr;
  std::size_t mapped = 0;
  buffer<std::byte> copy;
};
[[nodiscard]] result<file_bytes> load_file(const std::string& path);
inline void unmap_file([[maybe_unused]] void* mapping, [[maybe_unused]] std::size_t n) noexcept {
#if NBIT_IO_POSIX
  ::munmap(mapping, n);
#endif
}
}  // namespace detail
}  // namespace NBIT_TAG

/// Owns a read-only view of a whole file; the bytes stay where they are when the owner moves.
class mapped_file {
 public:
  NBIT_INLINE mapped_file() noexcept {}
  NBIT_INLINE mapped_file(mapped_file&& other) noexcept { swap(other); }
  NBIT_INLINE mapped_file& operator=(mapped_file&& other) noexcept {
    mapped_file moved(static_cast<mapped_file&&>(other));
    swap(moved);
    return *this;
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  NBIT_INLINE ~mapped_file() {
    if (mapping_ != nullptr) detail::unmap_file(mapping_, mapped_);
  }

  /// The file's bytes. An empty file is legal and gives an empty span.
  /// Errors: io (found = the system's error number), unsupported for a directory or a device, overflow.
  [[nodiscard]] NBIT_INLINE static result<mapped_file> open(const std::string& path) {
    result<detail::file_bytes> loaded = detail::load_file(path);
    if (!loaded) return loaded.error();
    mapped_file made;
    made.mapping_ = loaded->mapping;
    made.mapped_ = loaded->mapped;
    made.copy_.swap(loaded->copy);
    return made;
  }

  [[nodiscard]] NBIT_INLINE std::span<const std::byte> bytes() const noexcept {
    if (mapping_ != nullptr) return {static_cast<const std::byte*>(mapping_), mapped_};
    return copy_.span();
  }

  NBIT_INLINE void swap(mapped_file& other) noexcept {
    void* const m = mapping_;
    const std::size_t n = mapped_;
    mapping_ = other.mapping_, mapped_ = other.mapped_;
    other.mapping_ = m, other.mapped_ = n;
    copy_.swap(other.copy_);
  }

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  buffer<std::byte> copy_;  // only where there is no mmap
};

inline namespace NBIT_TAG {
namespace detail {
#if NBIT_IO_POSIX
inline result<file_bytes> load_file(const std::string& path) {
  const std::string_view name = path_end(path);
  // O_NONBLOCK: opening a FIFO must not wait for a writer before fstat can refuse it.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return make_error(errc::io, "the file cannot be opened for reading").about(name).with(errno);
  struct ::stat facts{};
  if (::fstat(fd, &facts) != 0) {
    const int reason = errno;
    ::close(fd);
    return make_error(errc::io, "the file's size cannot be read").about(name).with(reason);
  }
  if (!S_ISREG(facts.st_mode)) {
    ::close(fd);
    return make_error(errc::unsupported, "this is not a file with bytes to map", "a regular file").about(name);
  }
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  if (size > static_cast<std::uint64_t>(PTRDIFF_MAX)) {
    ::close(fd);
    return make_error(errc::overflow, "the file does not fit this machine's address space").about(name);
  }
  file_bytes loaded;
  if (size != 0) {
    loaded.mapped = static_cast<std::size_t>(size);
    loaded.mapping = ::mmap(nullptr, loaded.mapped, PROT_READ, MAP_PRIVATE, fd, 0);
    if (loaded.mapping == MAP_FAILED) {
      const int reason = errno;
      ::close(fd);
      return make_error(errc::io, "the file cannot be mapped").about(name).with(reason);
    }
  }
  ::close(fd);  // the mapping holds the file open
  return loaded;
}
#else
inline result<file_bytes> load_file(const std::string& path) {
  const std::string_view name = path_end(path);
  std::FILE* const f = std::fopen(path.c_str(), "rb");
  if (f == nullptr) return make_error(errc::io, "the file cannot be opened for reading").about(name);
  file_bytes loaded;
  std::size_t have = 0;
  for (;;) {
    if (have == loaded.copy.size()) {
      result<buffer<std::byte>> larger = buffer<std::byte>::make(have == 0 ? std::size_t{1} << 20 : 2 * have);
      if (!larger) {
        std::fclose(f);
        return larger.error().about(name);
      }
      for (std::size_t i = 0; i < have; ++i) (*larger)[i] = loaded.copy[i];
      loaded.copy.swap(*larger);
    }
    const std::size_t got = std::fread(loaded.copy.data() + have, 1, loaded.copy.size() - have, f);
    have += got;
    if (got == 0) break;
  }
  const bool failed = std::ferror(f) != 0;
  std::fclose(f);
  if (failed) return make_error(errc::io, "the file cannot be read").about(name);
  result<buffer<std::byte>> exact = buffer<std::byte>::make(have);
  if (!exact) return exact.error().about(name);
  for (std::size_t i = 0; i < have; ++i) (*exact)[i] = loaded.copy[i];
  loaded.copy.swap(*exact);
  return loaded;
}
#endif
}  // namespace detail
}  // namespace NBIT_TAG

}  // namespace nbit

#endif
