// nbit/base/buffer.hpp — an owned, aligned, non-throwing array, and the allocator a caller can replace.
//
// std::vector throws when memory ends and zero-fills what will be overwritten; kernels also want 64-byte alignment.
// Every special member is always_inline, so that owners can cross translation units built with different flags.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_BUFFER_HPP
#define NBIT_BASE_BUFFER_HPP

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>

#if !defined(NBIT_NO_HEAP)
#include <new>

namespace nbit {

/// Where memory comes from: two functions and the state they share. get returns nullptr when there is none.
struct allocator {
  void* (*get)(void* state, std::size_t bytes, std::size_t alignment) = nullptr;
  void (*put)(void* state, void* block, std::size_t bytes, std::size_t alignment) = nullptr;
  void* state = nullptr;
};

inline namespace NBIT_TAG {
namespace detail {
inline void* heap_get(void*, std::size_t bytes, std::size_t alignment) {
  return ::operator new(bytes, std::align_val_t{alignment}, std::nothrow);
}
inline void heap_put(void*, void* block, std::size_t, std::size_t alignment) {
  ::operator delete(block, std::align_val_t{alignment});
}
}  // namespace detail

/// The allocator that uses the global operator new, without throwing.
NBIT_INLINE allocator default_allocator() { return {&detail::heap_get, &detail::heap_put, nullptr}; }
}  // namespace NBIT_TAG

/// An owned array of trivially copyable elements, aligned to 64 bytes, moved but never copied by accident.
template <class T>
class buffer {
  static_assert(std::is_trivially_copyable_v<T>,
                "nbit::buffer holds plain numbers and structs; use a container for others");

 public:
  static constexpr std::size_t alignment = alignof(T) > 64 ? alignof(T) : 64;

  NBIT_INLINE buffer() noexcept {}
  NBIT_INLINE buffer(buffer&& other) noexcept { swap(other); }
  NBIT_INLINE buffer& operator=(buffer&& other) noexcept {
    buffer moved(std::move(other));
    swap(moved);
    return *this;
  }
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;
  NBIT_INLINE ~buffer() {
    if (data_ != nullptr) from_.put(from_.state, data_, size_ * sizeof(T), alignment);
  }

  /// An array of n elements with unspecified values.  Errors: out_of_memory, overflow.
  [[nodiscard]] NBIT_HOST_INLINE static result<buffer> make(std::size_t n, allocator from = default_allocator()) {
    buffer made;
    made.from_ = from;
    if (n > static_cast<std::size_t>(-1) / 2 / sizeof(T))
      return make_error(errc::overflow, "array size does not fit the address space");
    if (n != 0) {
      made.data_ = static_cast<T*>(from.get(from.state, n * sizeof(T), alignment));
      if (made.data_ == nullptr)
        return make_error(errc::out_of_memory, "no memory for an array of this many bytes")
            .with(static_cast<std::int64_t>(n * sizeof(T)));
      made.size_ = n;
    }
    return result<buffer>(std::move(made));  // nvcc does not move it by itself
  }

  /// An array of n elements, all zero bytes.  Errors: out_of_memory, overflow.
  [[nodiscard]] NBIT_HOST_INLINE static result<buffer> zeros(std::size_t n, allocator from = default_allocator()) {
    result<buffer> made = make(n, from);
    if (made && n != 0) __builtin_memset(static_cast<void*>(made->data()), 0, n * sizeof(T));
    return made;
  }

  [[nodiscard]] NBIT_INLINE T* data() noexcept { return data_; }
  [[nodiscard]] NBIT_INLINE const T* data() const noexcept { return data_; }
  [[nodiscard]] NBIT_INLINE std::size_t size() const noexcept { return size_; }
  [[nodiscard]] NBIT_INLINE bool empty() const noexcept { return size_ == 0; }
  NBIT_INLINE T& operator[](std::size_t i) noexcept { return data_[i]; }
  NBIT_INLINE const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  NBIT_INLINE T* begin() noexcept { return data_; }
  NBIT_INLINE T* end() noexcept { return data_ + size_; }
  NBIT_INLINE const T* begin() const noexcept { return data_; }
  NBIT_INLINE const T* end() const noexcept { return data_ + size_; }
  [[nodiscard]] NBIT_INLINE std::span<T> span() noexcept { return {data_, size_}; }
  [[nodiscard]] NBIT_INLINE std::span<const T> span() const noexcept { return {data_, size_}; }

  NBIT_INLINE void swap(buffer& other) noexcept {
    T* const p = data_;
    const std::size_t n = size_;
    const allocator a = from_;
    data_ = other.data_, size_ = other.size_, from_ = other.from_;
    other.data_ = p, other.size_ = n, other.from_ = a;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  allocator from_{};
};

}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
