// nbit/io/atomic_file.hpp — a file that appears under its name complete, or not at all.
//
// Bytes go to a temporary beside the target; commit() writes out, syncs, renames it over the target and syncs the
// folder. A crash at any point leaves the old file or the new one. Without commit() the destructor removes the
// temporary; a program that is killed by a signal can do so itself: temporary_name() is constant from create() on. A
// target that is a symbolic link is replaced, not followed. POSIX gives these promises; elsewhere the rename is the C
// library's.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_ATOMIC_FILE_HPP
#define NBIT_IO_ATOMIC_FILE_HPP

#include <cstddef>
#include <cstdint>
#include <cstdio>  // rename, remove
#include <span>
#include <string>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/mapped_file.hpp>  // NBIT_IO_POSIX, path_end

#if NBIT_IO_POSIX
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace nbit {

inline namespace NBIT_TAG {

/// A sink that becomes a file at commit().
class atomic_file {
 public:
  atomic_file() noexcept = default;
  atomic_file(atomic_file&& other) noexcept { swap(other); }
  atomic_file& operator=(atomic_file&& other) noexcept {
    atomic_file moved(std::move(other));
    swap(moved);
    return *this;
  }
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file() { discard(); }

  /// Opens a temporary beside `path`, which itself is not touched.
  /// Errors: io (found = the system's error number), unsupported when the path is a folder, out_of_memory.
  [[nodiscard]] static result<atomic_file> create(const std::string& path) {
    atomic_file made;
    made.path_ = path;
    result<buffer<std::byte>> pending = buffer<std::byte>::make(std::size_t{1} << 16);
    if (!pending) return pending.error();
    made.pending_.swap(*pending);
    bool folder = path.empty() || path.back() == '/';
#if NBIT_IO_POSIX
    struct ::stat facts{};
    folder = folder || (::stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode));
#endif
    if (folder)
      return make_error(errc::unsupported, "the output is a folder", "a file's name").about(detail::path_end(path));
    for (int attempt = 0; attempt < 100; ++attempt) {
      made.temporary_ = path + "." + unique() + ".part";
#if NBIT_IO_POSIX
      made.fd_ = ::open(made.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (made.fd_ >= 0) return made;
      if (errno != EEXIST) break;
#else
      made.stream_ = std::fopen(made.temporary_.c_str(), "wbx");
      if (made.stream_ != nullptr) return made;
#endif
    }
    const int reason = made.last_error();
    made.temporary_.clear();
    return make_error(errc::io, "the output cannot be created").about(detail::path_end(path)).with(reason);
  }

  /// The name under which the bytes lie until commit(); empty afterwards.
  [[nodiscard]] const std::string& temporary_name() const noexcept { return temporary_; }
  /// Bytes written so far.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// Appends bytes.  Errors: io, then and at every later call; the target stays as it was.
  result<void> write(std::span<const std::byte> bytes) {
    if (!state_) return state_;
    size_ += bytes.size();
    if (bytes.size() > pending_.size() - held_) {
      if (result<void> done = flush(); !done) return done;
      if (bytes.size() >= pending_.size()) return out(bytes);
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) pending_[held_ + i] = bytes[i];
    held_ += bytes.size();
    return {};
  }

  /// Makes the file appear under its name.  Errors: io; then the target is as it was and the temporary is gone.
  result<void> commit() {
    result<void> done = state_;
    if (done) done = flush();
    if (done) done = seal();
    if (!done) {
      discard();
      return done;
    }
    temporary_.clear();
    return done;
  }

  /// Gives up: removes the temporary. The target stays as it was.
  void discard() noexcept {
#if NBIT_IO_POSIX
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
#else
    if (stream_ != nullptr) std::fclose(stream_);
    stream_ = nullptr;
#endif
    if (!temporary_.empty()) std::remove(temporary_.c_str());
    temporary_.clear();
    if (state_) state_ = make_error(errc::io, "the output was already finished or given up");
  }

  void swap(atomic_file& other) noexcept {
    path_.swap(other.path_);
    temporary_.swap(other.temporary_);
    pending_.swap(other.pending_);
    std::swap(held_, other.held_);
    std::swap(size_, other.size_);
    std::swap(state_, other.state_);
#if NBIT_IO_POSIX
    std::swap(fd_, other.fd_);
#else
    std::swap(stream_, other.stream_);
#endif
  }

 private:
  /// Differs between processes, between files of one process, and from what a killed run left behind.
  [[nodiscard]] static std::string unique() {
    static std::uint32_t counter = 0;
    const std::uint32_t n = __atomic_fetch_add(&counter, 1u, __ATOMIC_RELAXED);  // <atomic> costs every unit more
#if NBIT_IO_POSIX
    return std::to_string(::getpid()) + "-" + std::to_string(n);
#else
    return std::to_string(n);
#endif
  }

  [[nodiscard]] int last_error() const noexcept {
#if NBIT_IO_POSIX
    return errno;
#else
    return 0;
#endif
  }

  result<void> fail(const char* what, int reason) {
    state_ = make_error(errc::io, what).about(detail::path_end(path_)).with(reason);
    return state_;
  }

  result<void> flush() {
    const std::size_t n = held_;
    held_ = 0;
    return out({pending_.data(), n});
  }

  result<void> out(std::span<const std::byte> bytes) {
#if NBIT_IO_POSIX
    while (!bytes.empty()) {
      const ::ssize_t n = ::write(fd_, bytes.data(), bytes.size() < most_per_call ? bytes.size() : most_per_call);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return fail("the output cannot be written", n < 0 ? errno : 0);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
#else
    if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), stream_) != bytes.size())
      return fail("the output cannot be written", 0);
#endif
    return {};
  }

  result<void> seal() {
#if NBIT_IO_POSIX
    if (::fsync(fd_) != 0) return fail("the output cannot be synced", errno);
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) return fail("the output cannot be closed", errno);
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return fail("the output cannot be renamed", errno);
    // The name is in the folder: without this sync a power loss may bring the old file back. Some file systems refuse
    // to sync a folder; the file itself is complete then.
    const std::size_t slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path_.substr(0, slash);
    const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd >= 0) {
      (void)::fsync(folder_fd);
      ::close(folder_fd);
    }
#else
    std::FILE* const stream = stream_;
    stream_ = nullptr;
    if (std::fclose(stream) != 0) return fail("the output cannot be closed", 0);
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
      std::remove(path_.c_str());  // a C library that does not rename over an existing file
      if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return fail("the output cannot be renamed", 0);
    }
#endif
    state_ = make_error(errc::io, "the output was already finished or given up");
    return {};
  }

  static constexpr std::size_t most_per_call = std::size_t{1} << 30;  // Linux writes at most 2 GiB a call

  std::string path_, temporary_;
  buffer<std::byte> pending_;
  std::size_t held_ = 0;
  std::uint64_t size_ = 0;
  result<void> state_;
#if NBIT_IO_POSIX
  int fd_ = -1;
#else
  std::FILE* stream_ = nullptr;
#endif
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
