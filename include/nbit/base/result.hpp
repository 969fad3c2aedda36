// nbit/base/result.hpp — a value or an error that says what was wrong, where, and what would have been right.
//
// result<T> has the shape of std::expected<T, error> (C++23), so that an alias can replace it later. value access on an
// error is a broken contract, never an exception. An error owns no memory: it can be copied out of anything.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_RESULT_HPP
#define NBIT_BASE_RESULT_HPP

#include <nbit/base/config.hpp>

#if !defined(__CUDACC_RTC__)  // a kernel has no use for errors, and NVRTC no string_view

#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

namespace nbit {

/// The kind of an error; the text says the rest.
enum class errc : std::uint8_t {
  truncated,       // the input ends before what it promises
  malformed,       // the bytes contradict the format
  unsupported,     // understood, but not something this operation can do
  overflow,        // a count or a size does not fit
  duplicate,       // a name that must be unique appears twice
  missing,         // a name that must exist does not
  shape,           // rows, columns or lengths do not fit each other or the format
  not_finite,      // NaN or infinity where a number is needed
  out_of_memory,   // an allocation failed
  io,              // the operating system refused
  invalid_option,  // an option is outside its range
  device,          // an accelerator refused, or cannot reach some memory
};

/// What went wrong: a kind, a static sentence, the values found and allowed, and the place.
/// Units: offset in bytes from the start of the file; row and col in weights.
struct error {
  static constexpr std::uint64_t nowhere = ~std::uint64_t{0};

  errc code = errc::malformed;
  const char* what = "";     // static text: what is wrong, e.g. "tensor type is unknown"
  const char* allowed = "";  // static text: what would have been right, e.g. "0 to 42"
  std::int64_t found = 0;    // the value found; meaningful when has_found
  bool has_found = false;
  std::uint64_t offset = nowhere;   // byte offset in the file
  std::int64_t row = -1, col = -1;  // position in a matrix
  char subject[64] = {};            // the thing: a key, tensor, file or option name, cut to fit

  NBIT_INLINE constexpr error about(std::string_view name) const {
    error e = *this;
    const std::size_t n = name.size() < sizeof(e.subject) - 1 ? name.size() : sizeof(e.subject) - 1;
    for (std::size_t i = 0; i < n; ++i) e.subject[i] = name[i];
    e.subject[n] = '\0';
    return e;
  }
  NBIT_INLINE constexpr error at(std::uint64_t byte_offset) const {
    error e = *this;
    e.offset = byte_offset;
    return e;
  }
  NBIT_INLINE constexpr error at(std::int64_t r, std::int64_t c) const {
    error e = *this;
    e.row = r, e.col = c;
    return e;
  }
  NBIT_INLINE constexpr error with(std::int64_t value) const {
    error e = *this;
    e.found = value, e.has_found = true;
    return e;
  }
};

/// Makes an error from its fixed parts; about(), at() and with() add the rest.
NBIT_INLINE constexpr error make_error(errc code, const char* what, const char* allowed = "") {
  error e{};  // braces: an implicit constructor would be a symbol of its own
  e.code = code, e.what = what, e.allowed = allowed;
  return e;
}

/// The value of T, or the error that prevented it.
template <class T>
class [[nodiscard]] result {
 public:
  using value_type = T;
  using error_type = nbit::error;

  NBIT_HOST_INLINE constexpr result(T value) : value_(std::move(value)), has_value_(true) {}
  NBIT_INLINE constexpr result(nbit::error e) : nothing_(), error_(e) {}

  // Storage of its own, for the sake of compile time: a program has a hundred kinds of results, and std::optional is
  // five classes for each. Members are defined where they are used only; an implicit one would be a weak symbol as
  // well.
  NBIT_HOST_INLINE constexpr result(const result& other)
    requires(std::is_copy_constructible_v<T>)
      : nothing_(), has_value_(other.has_value_), error_(other.error_) {
    if (has_value_) place(other.value_);
  }
  NBIT_HOST_INLINE constexpr result(result&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
      : nothing_(), has_value_(other.has_value_), error_(other.error_) {
    if (has_value_) place(std::move(other.value_));
  }
  NBIT_HOST_INLINE constexpr result& operator=(const result& other)
    requires(std::is_copy_constructible_v<T>)
  {
    return *this = result(other);
  }
  NBIT_HOST_INLINE constexpr result& operator=(result&& other) noexcept(std::is_nothrow_move_constructible_v<T>) {
    if (this == &other) return *this;
    if (has_value_) value_.~T();
    has_value_ = false;  // should a move throw
    if (other.has_value_) place(std::move(other.value_));
    has_value_ = other.has_value_, error_ = other.error_;
    return *this;
  }
  NBIT_HOST_INLINE constexpr ~result() {
    if (has_value_) value_.~T();
  }

  [[nodiscard]] NBIT_INLINE constexpr bool has_value() const noexcept { return has_value_; }
  NBIT_INLINE constexpr explicit operator bool() const noexcept { return has_value_; }

  /// Needs: has_value().
  NBIT_INLINE constexpr T& operator*() & noexcept { return value_; }
  NBIT_INLINE constexpr const T& operator*() const& noexcept { return value_; }
  NBIT_INLINE constexpr T&& operator*() && noexcept { return std::move(value_); }
  NBIT_INLINE constexpr T* operator->() noexcept { return __builtin_addressof(value_); }
  NBIT_INLINE constexpr const T* operator->() const noexcept { return __builtin_addressof(value_); }
  NBIT_INLINE constexpr T& value() & noexcept { return value_; }
  NBIT_INLINE constexpr const T& value() const& noexcept { return value_; }
  NBIT_INLINE constexpr T&& value() && noexcept { return std::move(value_); }
  template <class U>
  NBIT_INLINE constexpr T value_or(U&& other) const& {
    return has_value_ ? value_ : static_cast<T>(std::forward<U>(other));
  }

  /// Needs: !has_value().
  NBIT_INLINE constexpr const nbit::error& error() const noexcept { return error_; }

  /// Calls f with the value, or passes the error on; f returns a result.
  template <class F>
  NBIT_INLINE constexpr auto and_then(F&& f) & -> std::invoke_result_t<F, T&> {
    if (has_value_) return std::forward<F>(f)(value_);
    return error_;
  }
  template <class F>
  NBIT_INLINE constexpr auto and_then(F&& f) && -> std::invoke_result_t<F, T&&> {
    if (has_value_) return std::forward<F>(f)(std::move(value_));
    return error_;
  }

 private:
  template <class U>
  NBIT_HOST_INLINE constexpr void place(U&& value) {
    ::new (static_cast<void*>(__builtin_addressof(value_))) T(std::forward<U>(value));
  }

  union {
    char nothing_;
    T value_;
  };
  bool has_value_ = false;
  nbit::error error_{};
};

/// Success, or the error that prevented it.
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;
  using error_type = nbit::error;

  NBIT_HOST_INLINE constexpr result() = default;
  NBIT_INLINE constexpr result(nbit::error e) : failed_(true), error_(e) {}

  [[nodiscard]] NBIT_INLINE constexpr bool has_value() const noexcept { return !failed_; }
  NBIT_INLINE constexpr explicit operator bool() const noexcept { return !failed_; }
  NBIT_INLINE constexpr const nbit::error& error() const noexcept { return error_; }

 private:
  bool failed_ = false;
  nbit::error error_{};
};

}  // namespace nbit

#endif  // __CUDACC_RTC__

#endif
