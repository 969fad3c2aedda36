// nbit/base/workspace.hpp — scratch memory of the caller, handed out piece by piece, with sizes known at compile time.
//
//   constexpr std::size_t need = nbit::workspace_bytes<float>(rows) + nbit::workspace_bytes<std::uint8_t>(group);
//   alignas(nbit::workspace::alignment) std::byte memory[need];
//   nbit::workspace scratch(memory);
//   std::span<float> sums = scratch.take<float>(rows);          // empty when the memory is too small
// Nothing is freed but all of it: the workspace is a position in somebody else's memory, and copying it keeps a mark.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_WORKSPACE_HPP
#define NBIT_BASE_WORKSPACE_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>

namespace nbit {

/// Hands out aligned pieces of a span of bytes, front to back.
class workspace {
 public:
  static constexpr std::size_t alignment = 64;

  NBIT_INLINE constexpr explicit workspace(std::span<std::byte> memory) : at_(memory.data()), left_(memory.size()) {}

  /// n elements of T, aligned to 64 bytes, values unspecified; an empty span and an unchanged workspace if they do
  /// not fit.
  template <class T>
  [[nodiscard]] NBIT_INLINE std::span<T> take(std::size_t n) {
    static_assert(std::is_trivially_copyable_v<T>,
                  "a workspace holds plain numbers and structs: nothing in it is destroyed");
    static_assert(alignof(T) <= alignment, "a workspace aligns its pieces to 64 bytes; this type wants more");
    const std::size_t skip = (alignment - reinterpret_cast<std::uintptr_t>(at_) % alignment) % alignment;
    if (n == 0 || skip > left_ || n > (left_ - skip) / sizeof(T)) return {};
    T* const piece = reinterpret_cast<T*>(at_ + skip);
    at_ += skip + n * sizeof(T);
    left_ -= skip + n * sizeof(T);
    return {piece, n};
  }

  /// Bytes not handed out yet, before any alignment.
  [[nodiscard]] NBIT_INLINE constexpr std::size_t left() const { return left_; }

 private:
  std::byte* at_;
  std::size_t left_;
};

/// What take<T>(n) uses at most of memory that starts aligned to workspace::alignment; sums of it are enough for any
/// order. Answers the largest size_t when the true number does not fit.
template <class T>
[[nodiscard]] NBIT_INLINE constexpr std::size_t workspace_bytes(std::size_t n) {
  constexpr std::size_t most = static_cast<std::size_t>(-1), a = workspace::alignment;
  return n > (most - (a - 1)) / sizeof(T) ? most : (n * sizeof(T) + a - 1) / a * a;
}

/// The same for memory with any alignment: one more step of alignment in all, not for each piece.
[[nodiscard]] NBIT_INLINE constexpr std::size_t workspace_bytes_unaligned(std::size_t bytes) {
  constexpr std::size_t most = static_cast<std::size_t>(-1), extra = workspace::alignment - 1;
  return bytes > most - extra ? most : bytes + extra;
}

}  // namespace nbit

#endif
