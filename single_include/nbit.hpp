// nbit.hpp — nbit 0.1.0 in a single file, written by amalgamate.py from include/nbit. Do not edit.
//
// MIT License
//
// Copyright (c) 2026 the nbit authors
//
// Permission is hereby granted, free of charge, to any person obtaining a copy
// of this software and associated documentation files (the "Software"), to deal
// in the Software without restriction, including without limitation the rights
// to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
// copies of the Software, and to permit persons to whom the Software is
// furnished to do so, subject to the following conditions:
//
// The above copyright notice and this permission notice shall be included in all
// copies or substantial portions of the Software.
//
// THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
// IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
// FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
// AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
// LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
// OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
// SOFTWARE.
//
// SPDX-License-Identifier: MIT

// BEGIN nbit/nbit.hpp
// nbit/nbit.hpp — the whole library, but what has to be asked for by name: threads, cuda/ and adapters/.
//
// Written by tests/layers/check.py --umbrella.
#ifndef NBIT_NBIT_HPP
#define NBIT_NBIT_HPP

// BEGIN nbit/version.hpp
// nbit/version.hpp — the version of the library; CMake reads it from here.
#ifndef NBIT_VERSION_HPP
#define NBIT_VERSION_HPP

#define NBIT_VERSION_MAJOR 0
#define NBIT_VERSION_MINOR 1
#define NBIT_VERSION_PATCH 0

namespace nbit {

/// The version of these headers as three numbers.
struct version_number {
  int major_part, minor_part, patch_part;
};
inline constexpr version_number version{NBIT_VERSION_MAJOR, NBIT_VERSION_MINOR, NBIT_VERSION_PATCH};

}  // namespace nbit

#endif
// END nbit/version.hpp

// BEGIN nbit/base/bits.hpp
// nbit/base/bits.hpp — masks, little-endian loads and stores, bit fields that may cross words, and checked counts.
//
// Every file format that nbit knows is little-endian; on a big-endian machine these swap. Nothing here holds a loop.
#ifndef NBIT_BASE_BITS_HPP
#define NBIT_BASE_BITS_HPP

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

// BEGIN nbit/base/config.hpp
// nbit/base/config.hpp — compiler facts, inlining attributes and the tag that keeps differently built code apart.
//
// Two translation units built with different -m flags both emit the same inline function; the linker keeps one, perhaps
// the one this machine cannot run. All code with loops therefore lives in an inline namespace whose name spells the
// unit's own flags (NBIT_TAG): equal flags share one copy, different flags never merge. docs/dispatch.md has the story.
#ifndef NBIT_BASE_CONFIG_HPP
#define NBIT_BASE_CONFIG_HPP

#if defined(__CUDACC__)
#define NBIT_HD __host__ __device__
#else
#define NBIT_HD
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define NBIT_INLINE __forceinline
#define NBIT_NOINLINE __declspec(noinline)
#define NBIT_RESTRICT __restrict
#else
// always_inline also at -O0: such a function never becomes a symbol that two units could share.
#define NBIT_INLINE __attribute__((always_inline)) inline
#define NBIT_NOINLINE __attribute__((noinline))
#define NBIT_RESTRICT __restrict__
#endif

// On clang contraction is decided where an expression is written: a body that multiplies and then adds opens with this.
// g++ ignores the pragma; there base/exact_begin.inl does the same for a region.
#if defined(__clang__)
#define NBIT_EXACT _Pragma("STDC FP_CONTRACT OFF")
#else
#define NBIT_EXACT
#endif

#if !defined(NBIT_SCALAR_ONLY) && defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define NBIT_HAS_X86 1
#else
#define NBIT_HAS_X86 0
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define NBIT_BIG_ENDIAN 1
#else
#define NBIT_BIG_ENDIAN 0
#endif

// ---- the tag: one character per fact about the unit's flags
#if defined(__SSE4_2__)
#define NBIT_TAG_SSE 4
#elif defined(__SSSE3__)
#define NBIT_TAG_SSE 3
#else
#define NBIT_TAG_SSE 0
#endif
#if defined(__AVX2__)
#define NBIT_TAG_AVX 2
#elif defined(__AVX__)
#define NBIT_TAG_AVX 1
#else
#define NBIT_TAG_AVX 0
#endif
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define NBIT_TAG_FMA 1
#else
#define NBIT_TAG_FMA 0
#endif
#if defined(__F16C__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#define NBIT_TAG_F16 1
#else
#define NBIT_TAG_F16 0
#endif
#if defined(__BMI2__)
#define NBIT_TAG_BMI 1
#else
#define NBIT_TAG_BMI 0
#endif
#if defined(__AVX512BF16__)
#define NBIT_TAG_512 4
#elif defined(__AVX512VNNI__)
#define NBIT_TAG_512 3
#elif defined(__AVX512BW__) && defined(__AVX512VL__)
#define NBIT_TAG_512 2
#elif defined(__AVX512F__)
#define NBIT_TAG_512 1
#else
#define NBIT_TAG_512 0
#endif
#if defined(__ARM_FEATURE_SVE) || defined(__riscv_v)
#define NBIT_TAG_VEC 4
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define NBIT_TAG_VEC 3
#elif defined(__ARM_FEATURE_DOTPROD)
#define NBIT_TAG_VEC 2
#elif defined(__ARM_NEON) || defined(__wasm_simd128__)
#define NBIT_TAG_VEC 1
#else
#define NBIT_TAG_VEC 0
#endif
#if defined(__FAST_MATH__)
#define NBIT_TAG_MATH 1
#else
#define NBIT_TAG_MATH 0
#endif
#if defined(__cpp_exceptions)
#define NBIT_TAG_EXC 1
#else
#define NBIT_TAG_EXC 0
#endif
#if defined(NBIT_SCALAR_ONLY)
#define NBIT_TAG_ONLY 1
#else
#define NBIT_TAG_ONLY 0
#endif

#define NBIT_TAG_PASTE_(a, b, c, d, e, f, g, h, i, j) v0_##a##b##c##d##e##f##g##h##i##j
#define NBIT_TAG_PASTE(a, b, c, d, e, f, g, h, i, j) NBIT_TAG_PASTE_(a, b, c, d, e, f, g, h, i, j)

/// The inline namespace of all code with loops: v0_<sse><avx><fma><f16><bmi><avx512><other vectors><fast-math>
/// <exceptions><scalar-only>.
#ifndef NBIT_TAG  // a test forces it to show what would go wrong
#define NBIT_TAG                                                                                                       \
  NBIT_TAG_PASTE(NBIT_TAG_SSE, NBIT_TAG_AVX, NBIT_TAG_FMA, NBIT_TAG_F16, NBIT_TAG_BMI, NBIT_TAG_512, NBIT_TAG_VEC,     \
                 NBIT_TAG_MATH, NBIT_TAG_EXC, NBIT_TAG_ONLY)
#endif

namespace nbit {
// Declared here first, so that nbit::detail means one namespace wherever a block of it stands; two would be ambiguous.
inline namespace NBIT_TAG {
namespace detail {}
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/base/config.hpp
// BEGIN nbit/base/float16.hpp
// nbit/base/float16.hpp — f16 (IEEE binary16) and bf16 as 16-bit structs with exact conversions.
//
// Compilers disagree about _Float16 and __bf16 (missing in clang 14, slow library calls on baseline x86), so these are
// plain bits and integer arithmetic: constexpr, the same everywhere, and vectorised by the ISA regions where it
// matters.
// Ref: IEEE 754-2019 section 3.6.
#ifndef NBIT_BASE_FLOAT16_HPP
#define NBIT_BASE_FLOAT16_HPP

#include <bit>
#include <cstdint>

namespace nbit {

/// IEEE binary16: 1 sign, 5 exponent, 10 fraction bits. Conversion from float rounds half to even; NaN stays NaN.
struct f16 {
  std::uint16_t
      bits;  // no initialiser: implicit constructors of whatever holds one stay trivial, so they are no symbols

  static constexpr float max = 65504.0f;

  NBIT_INLINE static constexpr f16 from_bits(std::uint16_t b) { return f16{b}; }
  NBIT_INLINE static constexpr f16 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    const std::uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    std::uint32_t h = 0;
    if (a > 0x7f800000u) {
      h = 0x7e00u | ((a >> 13) & 0x3ffu);  // NaN: quiet, upper payload kept
    } else if (a >= 0x477ff000u) {
      h = 0x7c00u;  // 65520 and above round to infinity
    } else if (a >= 0x38800000u) {
      // normal: rebias the exponent by 112, add just under half of the last kept bit plus that bit: half to even
      h = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
    } else {
      // subnormal: adding 0.5 aligns the fraction so that the unit in the last place is 2^-24; the FPU rounds
      // half to even
      h = std::bit_cast<std::uint32_t>(std::bit_cast<float>(a) + 0.5f) - 0x3f000000u;
    }
    return from_bits(static_cast<std::uint16_t>(sign | h));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16, a = bits & 0x7fffu;
    std::uint32_t u = 0;
    if (a - 0x400u < 0x7800u) [[likely]] {  // normal: one compare on the path that every scale takes
      u = (a << 13) + 0x38000000u;
    } else if (a < 0x400u) {
      // subnormal: a * 2^-24 is exact in float
      u = std::bit_cast<std::uint32_t>(static_cast<float>(a) * 0x1p-24f);
    } else {
      u = 0x7f800000u | (a & 0x3ffu) << 13;
      if ((a & 0x3ffu) != 0) u |= 0x400000u;
    }
    return std::bit_cast<float>(sign | u);
  }
  friend NBIT_INLINE constexpr bool operator==(f16 x, f16 y) { return x.bits == y.bits; }
};

/// bfloat16: the upper half of a float. Conversion from float rounds half to even; NaN stays NaN.
struct bf16 {
  std::uint16_t bits;

  static constexpr float max = 0x1.fep127f;

  NBIT_INLINE static constexpr bf16 from_bits(std::uint16_t b) { return bf16{b}; }
  NBIT_INLINE static constexpr bf16 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    if ((u & 0x7fffffffu) > 0x7f800000u) return from_bits(static_cast<std::uint16_t>((u >> 16) | 0x40u));
    return from_bits(static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  friend NBIT_INLINE constexpr bool operator==(bf16 x, bf16 y) { return x.bits == y.bits; }
};

}  // namespace nbit

#endif
// END nbit/base/float16.hpp

namespace nbit {

/// The lowest n bits set.  Needs: 0 <= n <= the bits of T.
template <std::unsigned_integral T>
NBIT_INLINE constexpr T low_mask(int n) {
  return n <= 0 ? T{0} : static_cast<T>(static_cast<T>(~T{0}) >> (static_cast<int>(sizeof(T)) * 8 - n));
}

namespace bits_detail {
NBIT_INLINE std::uint16_t native(std::uint16_t v) { return NBIT_BIG_ENDIAN ? __builtin_bswap16(v) : v; }
NBIT_INLINE std::uint32_t native(std::uint32_t v) { return NBIT_BIG_ENDIAN ? __builtin_bswap32(v) : v; }
NBIT_INLINE std::uint64_t native(std::uint64_t v) { return NBIT_BIG_ENDIAN ? __builtin_bswap64(v) : v; }
template <class T>
NBIT_INLINE T load(const std::byte* from) {
  T v;
  __builtin_memcpy(&v, from, sizeof(T));
  return native(v);
}
template <class T>
NBIT_INLINE void store(std::byte* to, T v) {
  v = native(v);
  __builtin_memcpy(to, &v, sizeof(T));
}
}  // namespace bits_detail

/// Little-endian numbers from any address.  Needs: as many readable bytes as the number has.
NBIT_INLINE std::uint16_t load_u16(const std::byte* from) { return bits_detail::load<std::uint16_t>(from); }
NBIT_INLINE std::uint32_t load_u32(const std::byte* from) { return bits_detail::load<std::uint32_t>(from); }
NBIT_INLINE std::uint64_t load_u64(const std::byte* from) { return bits_detail::load<std::uint64_t>(from); }
NBIT_INLINE f16 load_f16(const std::byte* from) { return f16::from_bits(load_u16(from)); }
NBIT_INLINE float load_f32(const std::byte* from) { return std::bit_cast<float>(load_u32(from)); }

/// Little-endian numbers to any address.  Needs: as many writable bytes as the number has.
NBIT_INLINE void store_u16(std::byte* to, std::uint16_t v) { bits_detail::store(to, v); }
NBIT_INLINE void store_u32(std::byte* to, std::uint32_t v) { bits_detail::store(to, v); }
NBIT_INLINE void store_u64(std::byte* to, std::uint64_t v) { bits_detail::store(to, v); }
NBIT_INLINE void store_f16(std::byte* to, f16 v) { store_u16(to, v.bits); }
NBIT_INLINE void store_f32(std::byte* to, float v) { store_u32(to, std::bit_cast<std::uint32_t>(v)); }

/// Bits [first, first + n) of a stream of 32-bit words, lowest bit first; the field may cross into the next word.
/// Needs: 1 <= n <= 32, all touched words readable.
NBIT_INLINE constexpr std::uint32_t extract_bits(const std::uint32_t* words, std::size_t first, int n) {
  const std::size_t word = first / 32;
  const int shift = static_cast<int>(first % 32);
  std::uint64_t v = words[word];
  if (shift + n > 32) v |= static_cast<std::uint64_t>(words[word + 1]) << 32;
  return static_cast<std::uint32_t>(v >> shift) & low_mask<std::uint32_t>(n);
}

/// Replaces bits [first, first + n) of a stream of 32-bit words by the low n bits of v.  Needs: as extract_bits.
NBIT_INLINE constexpr void deposit_bits(std::uint32_t* words, std::size_t first, int n, std::uint32_t v) {
  const std::size_t word = first / 32;
  const int shift = static_cast<int>(first % 32);
  const std::uint64_t mask = static_cast<std::uint64_t>(low_mask<std::uint32_t>(n)) << shift;
  const std::uint64_t field = (static_cast<std::uint64_t>(v) << shift) & mask;
  words[word] = (words[word] & ~static_cast<std::uint32_t>(mask)) | static_cast<std::uint32_t>(field);
  if (shift + n > 32)
    words[word + 1] =
        (words[word + 1] & ~static_cast<std::uint32_t>(mask >> 32)) | static_cast<std::uint32_t>(field >> 32);
}

/// a / b, rounded up; never overflows.  Needs: b > 0.
template <std::unsigned_integral T>
NBIT_INLINE constexpr T ceil_div(T a, T b) {
  return static_cast<T>(a / b + (a % b != 0 ? 1 : 0));
}

/// The smallest multiple of b that is not below a.  Needs: b > 0 and that multiple fits T.
template <std::unsigned_integral T>
NBIT_INLINE constexpr T round_up(T a, T b) {
  return static_cast<T>(ceil_div(a, b) * b);
}

/// Writes a * b and says true; if the product does not fit, says false.
template <std::unsigned_integral T>
[[nodiscard]] NBIT_INLINE constexpr bool checked_mul(T a, T b, T& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

/// Writes a + b and says true; if the sum does not fit, says false.
template <std::unsigned_integral T>
[[nodiscard]] NBIT_INLINE constexpr bool checked_add(T a, T b, T& sum) {
  return !__builtin_add_overflow(a, b, &sum);
}

}  // namespace nbit

#endif
// END nbit/base/bits.hpp
// BEGIN nbit/base/buffer.hpp
// nbit/base/buffer.hpp — an owned, aligned, non-throwing array, and the allocator a caller can replace.
//
// std::vector throws when memory ends and zero-fills what will be overwritten; kernels also want 64-byte alignment.
// Every special member is always_inline, so that owners can cross translation units built with different flags.
#ifndef NBIT_BASE_BUFFER_HPP
#define NBIT_BASE_BUFFER_HPP

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

// BEGIN nbit/base/result.hpp
// nbit/base/result.hpp — a value or an error that says what was wrong, where, and what would have been right.
//
// result<T> has the shape of std::expected<T, error> (C++23), so that an alias can replace it later. value access on an
// error is a broken contract, never an exception. An error owns no memory: it can be copied out of anything.
#ifndef NBIT_BASE_RESULT_HPP
#define NBIT_BASE_RESULT_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
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

  NBIT_INLINE constexpr result(T value) : value_(std::move(value)) {}
  NBIT_INLINE constexpr result(nbit::error e) : error_(e) {}

  // Implicit ones would be weak symbols, shared by units that were built with different flags.
  NBIT_INLINE result(const result&) = default;
  NBIT_INLINE result(result&&) = default;
  NBIT_INLINE result& operator=(const result&) = default;
  NBIT_INLINE result& operator=(result&&) = default;
  NBIT_INLINE ~result() = default;

  [[nodiscard]] NBIT_INLINE constexpr bool has_value() const noexcept { return value_.has_value(); }
  NBIT_INLINE constexpr explicit operator bool() const noexcept { return value_.has_value(); }

  /// Needs: has_value().
  NBIT_INLINE constexpr T& operator*() & noexcept { return *value_; }
  NBIT_INLINE constexpr const T& operator*() const& noexcept { return *value_; }
  NBIT_INLINE constexpr T&& operator*() && noexcept { return *std::move(value_); }
  NBIT_INLINE constexpr T* operator->() noexcept { return &*value_; }
  NBIT_INLINE constexpr const T* operator->() const noexcept { return &*value_; }
  NBIT_INLINE constexpr T& value() & noexcept { return *value_; }
  NBIT_INLINE constexpr const T& value() const& noexcept { return *value_; }
  NBIT_INLINE constexpr T&& value() && noexcept { return *std::move(value_); }
  template <class U>
  NBIT_INLINE constexpr T value_or(U&& other) const& {
    return value_ ? *value_ : static_cast<T>(std::forward<U>(other));
  }

  /// Needs: !has_value().
  NBIT_INLINE constexpr const nbit::error& error() const noexcept { return error_; }

  /// Calls f with the value, or passes the error on; f returns a result.
  template <class F>
  NBIT_INLINE constexpr auto and_then(F&& f) & -> std::invoke_result_t<F, T&> {
    if (value_) return std::forward<F>(f)(*value_);
    return error_;
  }
  template <class F>
  NBIT_INLINE constexpr auto and_then(F&& f) && -> std::invoke_result_t<F, T&&> {
    if (value_) return std::forward<F>(f)(*std::move(value_));
    return error_;
  }

 private:
  std::optional<T> value_;
  nbit::error error_{};
};

/// Success, or the error that prevented it.
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;
  using error_type = nbit::error;

  NBIT_INLINE constexpr result() = default;
  NBIT_INLINE constexpr result(nbit::error e) : failed_(true), error_(e) {}

  [[nodiscard]] NBIT_INLINE constexpr bool has_value() const noexcept { return !failed_; }
  NBIT_INLINE constexpr explicit operator bool() const noexcept { return !failed_; }
  NBIT_INLINE constexpr const nbit::error& error() const noexcept { return error_; }

 private:
  bool failed_ = false;
  nbit::error error_{};
};

}  // namespace nbit

#endif
// END nbit/base/result.hpp

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
  [[nodiscard]] NBIT_INLINE static result<buffer> make(std::size_t n, allocator from = default_allocator()) {
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
    return made;
  }

  /// An array of n elements, all zero bytes.  Errors: out_of_memory, overflow.
  [[nodiscard]] NBIT_INLINE static result<buffer> zeros(std::size_t n, allocator from = default_allocator()) {
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
// END nbit/base/buffer.hpp
// BEGIN nbit/base/contract.hpp
// nbit/base/contract.hpp — what happens when a caller breaks a precondition.
//
// Every public operation checks its shapes once (a few compares per matrix). When a check fails the hook is told and
// the operation returns without touching memory. The default hook is none; tests and debug builds install one.
#ifndef NBIT_BASE_CONTRACT_HPP
#define NBIT_BASE_CONTRACT_HPP

#include <atomic>

namespace nbit {

/// A broken precondition: the sentence that should have held, and where it was checked.
struct contract_violation {
  const char* expected;
  const char* file;
  int line;
};

/// Called for every broken precondition; may log, count, throw or stop, as the program likes.
using contract_hook = void (*)(const contract_violation&);

namespace contract_detail {
inline std::atomic<contract_hook> hook{nullptr};
}  // namespace contract_detail

/// Installs a hook (nullptr removes it) and returns the one before.
NBIT_INLINE contract_hook set_contract_hook(contract_hook hook) noexcept {
  return contract_detail::hook.exchange(hook, std::memory_order_acq_rel);
}

namespace contract_detail {
NBIT_INLINE void violated(const char* expected, const char* file, int line) {
  if (const contract_hook told = hook.load(std::memory_order_acquire)) told({expected, file, line});
}
}  // namespace contract_detail

}  // namespace nbit

/// NBIT_EXPECTS(condition, "sentence"[, value]): if the condition fails, tells the hook and returns value (or nothing).
#define NBIT_EXPECTS(condition, expected, ...)                                                                         \
  do {                                                                                                                 \
    if (!(condition)) [[unlikely]] {                                                                                   \
      ::nbit::contract_detail::violated(expected, __FILE__, __LINE__);                                                 \
      return __VA_ARGS__;                                                                                              \
    }                                                                                                                  \
  } while (false)

#endif
// END nbit/base/contract.hpp
// BEGIN nbit/base/elementary.hpp
// nbit/base/elementary.hpp — log2, exp2 and powers from additions and multiplications alone: the same bits on every
// machine.
//
// C libraries differ in the last bit of log and pow, and a different bit may pick another code. These are good to a few
// units in the last place of a double, which solvers do not notice; what matters is that no library is asked.
#ifndef NBIT_BASE_ELEMENTARY_HPP
#define NBIT_BASE_ELEMENTARY_HPP

#include <bit>
#include <cstdint>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {

/// The base-2 logarithm.  Needs: x normal, positive and finite.  |error| < 4e-16 (1 + |log2 x|).
constexpr double log2_exact(double x) {
  NBIT_EXACT
  const std::uint64_t u = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(u >> 52) - 1023;
  double m = std::bit_cast<double>((u & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m > 1.4142135623730951) m = m * 0.5, ++exponent;
  // log m = 2 artanh s = 2 (s + s^3/3 + s^5/5 + ...), |s| <= 0.1716: the term of s^23 is below 2^-60
  const double s = (m - 1.0) / (m + 1.0), square = s * s;
  double sum = 0.0;
  for (int k = 21; k >= 1; k -= 2) {
    const double scaled = sum * square;
    sum = scaled + 1.0 / static_cast<double>(k);
  }
  const double fraction = s * sum * 2.885390081777926815;  // 2 / ln 2
  return static_cast<double>(exponent) + fraction;
}

/// 2^y; 0 below -1022 and the largest double above 1023.  |relative error| < 1e-15.
constexpr double exp2_exact(double y) {
  NBIT_EXACT
  if (!(y >= -1022.0)) return 0.0;
  if (y >= 1024.0) return 0x1.fffffffffffffp1023;
  const int whole = static_cast<int>(y < 0.0 ? y - 0.5 : y + 0.5);
  // exp(t) for |t| <= ln 2 / 2 by its series: the term of t^16 is below 2^-60
  const double t = (y - static_cast<double>(whole)) * 0.69314718055994530942;
  double sum = 1.0;
  for (int k = 15; k >= 1; --k) {
    const double scaled = sum * t;
    sum = scaled / static_cast<double>(k) + 1.0;
  }
  const int clamped = whole > 1023 ? 1023 : whole < -1022 ? -1022 : whole;
  return sum * std::bit_cast<double>(static_cast<std::uint64_t>(clamped + 1023) << 52);
}

/// x^p.  Needs: x normal, positive and finite.
constexpr double power_exact(double x, double p) { return exp2_exact(p * log2_exact(x)); }

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/base/elementary.hpp
// BEGIN nbit/base/float8.hpp
// nbit/base/float8.hpp — the 8-bit and 4-bit floats of scales and microscaling formats, with exact conversions.
//
//   f8_e4m3   1 sign, 4 exponent (bias 7), 3 fraction bits; no infinity, 0x7f and 0xff are NaN; from() saturates at 448
//   f8_e5m2   1 sign, 5 exponent (bias 15), 2 fraction bits; IEEE-like: infinities and NaN
//   f4_e2m1   1 sign, 2 exponent (bias 1), 1 fraction bit in the low 4 bits: 0 0.5 1 1.5 2 3 4 6; from() saturates at 6
//   e8m0      a power of two, 2^(bits - 127); 0xff is NaN; no sign, no zero
// All conversions from float round half to even.  Ref: OCP 8-bit Floating Point 1.0; OCP Microscaling Formats 1.0.
#ifndef NBIT_BASE_FLOAT8_HPP
#define NBIT_BASE_FLOAT8_HPP

#include <bit>
#include <cstdint>

namespace nbit {
namespace detail {

/// The magnitude code of a small float with E exponent and M fraction bits nearest to |v|, half to even, unbounded
/// above.
template <int E, int M>
NBIT_INLINE constexpr std::uint32_t small_float_code(float v) {
  constexpr int bias = (1 << (E - 1)) - 1;
  constexpr std::uint32_t least_normal = std::uint32_t(127 + 1 - bias) << 23;
  const std::uint32_t a = std::bit_cast<std::uint32_t>(v) & 0x7fffffffu;
  if (a >= least_normal) {  // rebias, add just under half of the last kept bit plus that bit
    const std::uint32_t rebiased = a - (std::uint32_t(127 - bias) << 23);
    return (rebiased + ((1u << (22 - M)) - 1u) + (rebiased >> (23 - M) & 1u)) >> (23 - M);
  }
  // subnormal: adding 2^(24 - bias - M) aligns the fraction to the format's last place; the FPU rounds half to even
  constexpr std::uint32_t align = std::uint32_t(127 + 24 - bias - M) << 23;
  return std::bit_cast<std::uint32_t>(std::bit_cast<float>(a) + std::bit_cast<float>(align)) - align;
}

/// The value of a magnitude code that is finite.
template <int E, int M>
NBIT_INLINE constexpr float small_float_value(std::uint32_t code) {
  constexpr int bias = (1 << (E - 1)) - 1;
  if (code >= 1u << M) return std::bit_cast<float>((code << (23 - M)) + (std::uint32_t(127 - bias) << 23));
  return static_cast<float>(code) * std::bit_cast<float>(std::uint32_t(127 + 1 - bias - M) << 23);
}

}  // namespace detail

/// e4m3fn: the 8-bit float of weights and scales. Values beyond 448, infinities too, become +-448: a scale must stay
/// finite.
struct f8_e4m3 {
  std::uint8_t bits;

  static constexpr float max = 448.0f;

  NBIT_INLINE static constexpr f8_e4m3 from_bits(std::uint8_t b) { return f8_e4m3{b}; }
  NBIT_INLINE static constexpr f8_e4m3 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = u >> 24 & 0x80u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return from_bits(static_cast<std::uint8_t>(sign | 0x7fu));
    const std::uint32_t code = detail::small_float_code<4, 3>(v);
    return from_bits(static_cast<std::uint8_t>(sign | (code < 0x7eu ? code : 0x7eu)));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    const std::uint32_t code = bits & 0x7fu;
    const float a = code == 0x7fu ? std::bit_cast<float>(0x7fc00000u) : detail::small_float_value<4, 3>(code);
    return bits & 0x80u ? -a : a;
  }
  friend NBIT_INLINE constexpr bool operator==(f8_e4m3 x, f8_e4m3 y) { return x.bits == y.bits; }
};

/// e5m2: the 8-bit float with f16's range. Values that round beyond 57344 become infinities.
struct f8_e5m2 {
  std::uint8_t bits;

  static constexpr float max = 57344.0f;

  NBIT_INLINE static constexpr f8_e5m2 from_bits(std::uint8_t b) { return f8_e5m2{b}; }
  NBIT_INLINE static constexpr f8_e5m2 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = u >> 24 & 0x80u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return from_bits(static_cast<std::uint8_t>(sign | 0x7eu));
    const std::uint32_t code = detail::small_float_code<5, 2>(v);
    return from_bits(static_cast<std::uint8_t>(sign | (code < 0x7cu ? code : 0x7cu)));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    const std::uint32_t code = bits & 0x7fu;
    const float a = code == 0x7cu  ? std::bit_cast<float>(0x7f800000u)
                    : code > 0x7cu ? std::bit_cast<float>(0x7fc00000u)
                                   : detail::small_float_value<5, 2>(code);
    return bits & 0x80u ? -a : a;
  }
  friend NBIT_INLINE constexpr bool operator==(f8_e5m2 x, f8_e5m2 y) { return x.bits == y.bits; }
};

/// e2m1: the 4-bit float of MXFP4 and NVFP4, in the low half of a byte. NaN becomes 0; large values become +-6.
struct f4_e2m1 {
  std::uint8_t bits;

  static constexpr float max = 6.0f;

  NBIT_INLINE static constexpr f4_e2m1 from_bits(std::uint8_t b) { return f4_e2m1{static_cast<std::uint8_t>(b & 15u)}; }
  NBIT_INLINE static constexpr f4_e2m1 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = u >> 28 & 8u;
    if ((u & 0x7fffffffu) > 0x7f800000u) return from_bits(0);
    const std::uint32_t code = detail::small_float_code<2, 1>(v);
    return from_bits(static_cast<std::uint8_t>(sign | (code < 7u ? code : 7u)));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    const float a = detail::small_float_value<2, 1>(bits & 7u);
    return bits & 8u ? -a : a;
  }
  friend NBIT_INLINE constexpr bool operator==(f4_e2m1 x, f4_e2m1 y) { return x.bits == y.bits; }
};

/// e8m0: a shared power-of-two scale. Zero and negative values become the least power, 2^-127; infinities and NaN 0xff.
struct e8m0 {
  std::uint8_t bits;

  NBIT_INLINE static constexpr e8m0 from_bits(std::uint8_t b) { return e8m0{b}; }
  /// The nearest power of two; halfway (1.5 * 2^e) goes to the even exponent field.
  NBIT_INLINE static constexpr e8m0 from(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    if ((u & 0x7fffffffu) >= 0x7f800000u) return from_bits(0xff);
    if (u >> 31 != 0) return from_bits(0);
    // the value's distance to the next power is read off its fraction; subnormals: 2^-127 up to, but not at,
    // 1.5 * 2^-127
    if (u < 0x800000u) return from_bits(u > 0x600000u ? 1 : 0);
    const std::uint32_t field = u >> 23, fraction = u & 0x7fffffu;
    const bool up = fraction > 0x400000u || (fraction == 0x400000u && field % 2 != 0);
    return from_bits(static_cast<std::uint8_t>(up && field < 254 ? field + 1 : field));
  }
  /// The least power of two that is not below v (2^127 at most): a scale that clips nothing.
  NBIT_INLINE static constexpr e8m0 from_ceil(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    if ((u & 0x7fffffffu) >= 0x7f800000u) return from_bits(0xff);
    if (u >> 31 != 0 || u <= 0x400000u) return from_bits(0);
    const std::uint32_t field = (u >> 23) + ((u & 0x7fffffu) != 0 ? 1u : 0u);
    return from_bits(static_cast<std::uint8_t>(field < 254 ? field : 254));
  }
  NBIT_INLINE constexpr explicit operator float() const {
    if (bits == 0xff) return std::bit_cast<float>(0x7fc00000u);
    return bits == 0 ? 0x1p-127f : std::bit_cast<float>(std::uint32_t{bits} << 23);
  }
  friend NBIT_INLINE constexpr bool operator==(e8m0 x, e8m0 y) { return x.bits == y.bits; }
};

static_assert(float(f8_e4m3::from(448.0f)) == 448.0f && f8_e4m3::from(0.001953125f).bits == 1 &&
              float(f8_e5m2::from(57344.0f)) == 57344.0f && f4_e2m1::from(5.0f).bits == 6 &&
              float(f4_e2m1::from_bits(7)) == 6.0f && e8m0::from(1.5f).bits == 128 && e8m0::from(3.0f).bits == 128 &&
              e8m0::from_ceil(1.0f).bits == 127);

}  // namespace nbit

#endif
// END nbit/base/float8.hpp
// BEGIN nbit/base/matrix_view.hpp
// nbit/base/matrix_view.hpp — rows x cols numbers in memory, rows a fixed stride apart.
#ifndef NBIT_BASE_MATRIX_VIEW_HPP
#define NBIT_BASE_MATRIX_VIEW_HPP

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

namespace nbit {

/// Rows and columns of a matrix, in elements.
struct shape {
  std::size_t rows = 0, cols = 0;
  friend NBIT_INLINE constexpr bool operator==(const shape& a, const shape& b) {
    return a.rows == b.rows && a.cols == b.cols;
  }
};

/// A matrix that somebody else owns: row-major, `stride` elements from one row to the next (stride >= cols).
template <class T>
struct matrix_view {
  using element_type = T;

  T* data = nullptr;
  std::size_t rows = 0, cols = 0, stride = 0;

  NBIT_INLINE constexpr matrix_view() = default;
  NBIT_INLINE constexpr matrix_view(T* p, std::size_t r, std::size_t c) : data(p), rows(r), cols(c), stride(c) {}
  NBIT_INLINE constexpr matrix_view(T* p, std::size_t r, std::size_t c, std::size_t s)
      : data(p), rows(r), cols(c), stride(s) {}

  /// A view of mutable elements converts to one of const elements.
  template <class U>
    requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>)
  NBIT_INLINE constexpr matrix_view(matrix_view<U> other)
      : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

  /// Accepts any two-dimensional mdspan whose columns are adjacent.
  template <class M>
    requires requires(const M& m) {
      { m.data_handle() } -> std::convertible_to<T*>;
      m.extent(std::size_t{1});
      m.stride(std::size_t{0});
    }
  NBIT_INLINE constexpr matrix_view(const M& m)
      : data(m.data_handle()),
        rows(static_cast<std::size_t>(m.extent(0))),
        cols(static_cast<std::size_t>(m.extent(1))),
        stride(static_cast<std::size_t>(m.stride(0))) {}

  [[nodiscard]] NBIT_INLINE constexpr std::span<T> row(std::size_t r) const { return {data + r * stride, cols}; }
  [[nodiscard]] NBIT_INLINE constexpr T& operator()(std::size_t r, std::size_t c) const { return data[r * stride + c]; }
  [[nodiscard]] NBIT_INLINE constexpr bool empty() const { return rows == 0 || cols == 0; }
  [[nodiscard]] NBIT_INLINE constexpr nbit::shape shape() const { return {rows, cols}; }

  /// Rows [first, first + count).
  [[nodiscard]] NBIT_INLINE constexpr matrix_view row_range(std::size_t first, std::size_t count) const {
    return {data + first * stride, count, cols, stride};
  }
};

}  // namespace nbit

#endif
// END nbit/base/matrix_view.hpp
// BEGIN nbit/base/numeric.hpp
// nbit/base/numeric.hpp — the one rounding rule, fused multiply-add on request, and finite checks.
#ifndef NBIT_BASE_NUMERIC_HPP
#define NBIT_BASE_NUMERIC_HPP

#include <bit>
#include <cstdint>
#include <type_traits>

namespace nbit {

/// The integer nearest to v, half to even.  Needs: |v| <= 2^22 and no contraction into the sum (base/exact_begin.inl).
/// Adding 1.5 * 2^23 leaves the integer in the low fraction bits, rounded by the FPU; it vectorises everywhere.
NBIT_INLINE constexpr int round_even(float v) {
  NBIT_EXACT
  const float shifted = v + 12582912.0f;
  return static_cast<int>(std::bit_cast<std::uint32_t>(shifted) & 0x7fffffu) - 0x400000;
}

/// The integer nearest to v, half to even, then held inside [low, high]; NaN gives low.  Needs: |low|, |high| <= 2^22.
NBIT_INLINE constexpr int round_clamped(float v, int low, int high) {
  NBIT_EXACT
  const float lo = static_cast<float>(low), hi = static_cast<float>(high);
  return round_even(v > lo ? (v < hi ? v : hi) : lo);
}

/// a * b + c rounded once, on every machine.
NBIT_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// True unless v is NaN or infinite; works under -ffast-math.
NBIT_INLINE constexpr bool is_finite(float v) { return (std::bit_cast<std::uint32_t>(v) & 0x7f800000u) != 0x7f800000u; }

NBIT_INLINE constexpr float abs(float v) { return std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0x7fffffffu); }

}  // namespace nbit

#endif
// END nbit/base/numeric.hpp
// BEGIN nbit/base/random.hpp
// nbit/base/random.hpp — random numbers that are the same on every machine: xoshiro256** seeded by splitmix64.
//
// Rotations, sign flips and test data must be reproducible from one seed, which std::uniform_real_distribution and
// its kin do not promise. Not for secrets. Ref: Blackman and Vigna, "Scrambled linear pseudorandom number
// generators", 2021.
#ifndef NBIT_BASE_RANDOM_HPP
#define NBIT_BASE_RANDOM_HPP

#include <bit>
#include <cstdint>

namespace nbit {

/// One step of splitmix64: advances the state and returns 64 well mixed bits. Any state is good, also 0.
NBIT_INLINE constexpr std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// A reproducible stream: equal seeds give equal numbers everywhere. A copy goes on from the same place.
class random_stream {
 public:
  NBIT_INLINE constexpr explicit random_stream(std::uint64_t seed)
      : s0_(0), s1_(0), s2_(0), s3_(0), signs_(0), signs_left_(0) {
    s0_ = splitmix64(seed), s1_ = splitmix64(seed), s2_ = splitmix64(seed), s3_ = splitmix64(seed);
  }

  /// 64 random bits.
  NBIT_INLINE constexpr std::uint64_t bits() {
    const std::uint64_t drawn = std::rotl(s1_ * 5u, 7) * 9u, shifted = s1_ << 17;
    s2_ ^= s0_, s3_ ^= s1_, s1_ ^= s2_, s0_ ^= s3_;
    s2_ ^= shifted;
    s3_ = std::rotl(s3_, 45);
    return drawn;
  }

  /// A float in [0, 1): a multiple of 2^-24, all equally likely.
  NBIT_INLINE constexpr float uniform() { return static_cast<float>(bits() >> 40) * 0x1p-24f; }

  /// An integer in [0, n), each as likely as the next to one part in 2^32.  Needs: n > 0.
  NBIT_INLINE constexpr std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>(((bits() >> 32) * n) >> 32);
  }

  /// +1 or -1; 64 of them are drawn from the stream at a time.
  NBIT_INLINE constexpr float sign() {
    if (signs_left_ == 0) signs_ = bits(), signs_left_ = 64;
    const bool negative = (signs_ & 1u) != 0;
    signs_ >>= 1, --signs_left_;
    return negative ? -1.0f : 1.0f;
  }

 private:
  std::uint64_t s0_, s1_, s2_, s3_, signs_;
  int signs_left_;
};

}  // namespace nbit

#endif
// END nbit/base/random.hpp
// BEGIN nbit/base/workspace.hpp
// nbit/base/workspace.hpp — scratch memory of the caller, handed out piece by piece, with sizes known at compile time.
//
//   constexpr std::size_t need = nbit::workspace_bytes<float>(rows) + nbit::workspace_bytes<std::uint8_t>(group);
//   alignas(nbit::workspace::alignment) std::byte memory[need];
//   nbit::workspace scratch(memory);
//   std::span<float> sums = scratch.take<float>(rows);          // empty when the memory is too small
// Nothing is freed but all of it: the workspace is a position in somebody else's memory, and copying it keeps a mark.
#ifndef NBIT_BASE_WORKSPACE_HPP
#define NBIT_BASE_WORKSPACE_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

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
// END nbit/base/workspace.hpp

// BEGIN nbit/format/codebook.hpp
// nbit/format/codebook.hpp — a code is an index into a table of levels, a group shares a scale.
//
//   struct log4 : nbit::codebook<log4, 4, 64> { static constexpr std::array<float, 16> levels = {...}; };
//
// value = scale * levels[code], scale = absmax of the group / largest |level|. Levels may stand in any order (FP4
// stores sign and magnitude); the nearest is found by counting midpoints, a tie goes to the smaller level.
#ifndef NBIT_FORMAT_CODEBOOK_HPP
#define NBIT_FORMAT_CODEBOOK_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/format/concepts.hpp
// nbit/format/concepts.hpp — what a weight format has to say: the seam between formats, solvers and kernels.
//
// A solver asks a format three questions: fit parameters to a group, round one weight, give a code's value. The
// smallest model of grid_format is some twenty lines (examples/05_user_format.cpp). Everything else a format may offer
// (blocks with fixed bytes, a reference encoder, an integer form for int8 kernels) is a refinement found by concept.
//
//   struct my_grid {
//     static constexpr int bits = 3, group = 64;                 // per code; weights that share params, or per_row
//     struct params { nbit::f16 scale; std::int8_t zero; };      // what a group stores; trivially copyable
//     static params fit(std::span<const float> w, std::span<const float> importance);   // importance may be empty
//     static int    code(float v, const params& p, int i);       // nearest code at position i of the group
//     static float  value(int c, const params& p, int i);        // what code c means there
//   };
#ifndef NBIT_FORMAT_CONCEPTS_HPP
#define NBIT_FORMAT_CONCEPTS_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace nbit {

/// Values of Format::group that are not a count of weights: one group per row, one for the whole tensor.
inline constexpr int per_row = 0, per_tensor = -1;

namespace detail {
template <class F>
concept has_geometry = requires {
  { F::bits } -> std::convertible_to<int>;
  { F::group } -> std::convertible_to<int>;
  typename F::params;
} && std::is_trivially_copyable_v<typename F::params>;
}  // namespace detail

/// A format that rounds one weight at a time: fit, code, value.
template <class F>
concept grid_format =
    detail::has_geometry<F> && requires(std::span<const float> w, const typename F::params& p, float v, int c, int i) {
      { F::fit(w, w) } -> std::same_as<typename F::params>;
      { F::code(v, p, i) } -> std::convertible_to<int>;
      { F::value(c, p, i) } -> std::convertible_to<float>;
    };

/// A format that rounds `step` weights to one lattice point: code and value take spans of F::step weights at position
/// i.
template <class F>
concept lattice_format = detail::has_geometry<F> && requires {
  requires F::step > 1;
} && requires(std::span<const float> w, std::span<float> out, const typename F::params& p, int c, int i) {
  { F::fit(w, w) } -> std::same_as<typename F::params>;
  { F::code(w, p, i) } -> std::convertible_to<int>;
  F::value(c, p, i, out);
};

/// Any format that solvers and kernels accept.
template <class F>
concept weight_format = grid_format<F> || lattice_format<F>;

/// The smallest unsigned integer that holds a code of F.
template <class F>
using code_t =
    std::conditional_t<(F::bits <= 8), std::uint8_t, std::conditional_t<(F::bits <= 16), std::uint16_t, std::uint32_t>>;

/// A format whose group has its own bytes in files: parameters and codes in one block of F::block_bytes.
template <class F>
concept block_format = weight_format<F> && requires(const std::byte* from, std::byte* to, typename F::params p,
                                                    code_t<F>* codes, const code_t<F>* const_codes) {
  { F::block_bytes } -> std::convertible_to<std::size_t>;
  { F::load_params(from) } -> std::same_as<typename F::params>;
  F::load_codes(from, codes);    // F::group / step codes
  F::store(to, p, const_codes);  // the inverse of both
};

/// A format with an encoder of its own, better or more exact than fit + code: the peers' reference bytes.
/// row_mean_square is the mean of the squares of the whole row, which some references ask for.
template <class F>
concept self_encoding =
    weight_format<F> && requires(std::span<const float> w, std::span<code_t<F>> codes, typename F::params& p,
                                 float row_mean_square) { F::encode(w, w, row_mean_square, p, codes); };

/// A format whose value is scale * level + offset with an integer level in [-128, 127] that depends on the code alone,
/// and scale and offset constant over runs of F::run weights: what int8 kernels need. run == 0: constant over the
/// group.
template <class F>
concept integer_format = grid_format<F> && requires(const typename F::params& p, int c, int s) {
  { F::run } -> std::convertible_to<int>;
  { F::level(c) } -> std::convertible_to<int>;
  { F::scale(p, s) } -> std::convertible_to<float>;
  { F::offset(p, s) } -> std::convertible_to<float>;
};

/// Whether an integer_format promises more: value() has the very bits of scale * level (+ offset, unless symmetric),
/// each operation rounded. Kernels then decode a run at a time.
template <class F>
inline constexpr bool has_exact_levels = [] {
  if constexpr (integer_format<F> && requires {
                  { F::exact_levels } -> std::convertible_to<bool>;
                })
    return bool{F::exact_levels};
  else
    return false;
}();

/// Weights per code: 1, or the lattice's step.
template <class F>
inline constexpr int step_of = [] {
  if constexpr (lattice_format<F>)
    return static_cast<int>(F::step);
  else
    return 1;
}();

/// Whether value = scale * level + offset has an offset other than zero (symmetric formats save the sums of
/// activations).
template <class F>
inline constexpr bool has_offset = [] {
  if constexpr (requires {
                  { F::symmetric } -> std::convertible_to<bool>;
                })
    return !F::symmetric;
  else
    return true;
}();

/// Groups in a row of `cols` weights; the last may be short.
template <class F>
NBIT_INLINE constexpr std::size_t groups_per_row(std::size_t cols) {
  if constexpr (F::group > 0)
    return (cols + std::size_t(F::group) - 1) / std::size_t(F::group);
  else
    return cols == 0 ? 0 : 1;
}

/// Parameters stored for a rows x cols tensor.
template <class F>
NBIT_INLINE constexpr std::size_t params_count(std::size_t rows, std::size_t cols) {
  if constexpr (F::group == per_tensor)
    return rows == 0 || cols == 0 ? 0 : 1;
  else
    return rows * groups_per_row<F>(cols);
}

/// Weights in a full group of a row of `cols` weights.
template <class F>
NBIT_INLINE constexpr std::size_t group_length(std::size_t cols) {
  if constexpr (F::group > 0)
    return std::size_t(F::group);
  else
    return cols;
}

}  // namespace nbit

#endif
// END nbit/format/concepts.hpp
// BEGIN nbit/format/scale.hpp
// nbit/format/scale.hpp — how a fitted scale becomes stored bits: rounded to nearest, never to infinity.
#ifndef NBIT_FORMAT_SCALE_HPP
#define NBIT_FORMAT_SCALE_HPP

// BEGIN nbit/format/scheme.hpp
// nbit/format/scheme.hpp — the policy values of a uniform integer format, and the rules they must keep.
#ifndef NBIT_FORMAT_SCHEME_HPP
#define NBIT_FORMAT_SCHEME_HPP

#include <cstdint>

namespace nbit {

/// How the integer grid lies around zero. b is the number of bits, levels are 0 .. 2^b - 1 as stored.
enum class symmetry : std::uint8_t {
  restricted,        // scale = absmax / (2^(b-1) - 1), zero at 2^(b-1): AWQ and most int8 (+-absmax exactly on a level)
  gptq,              // scale = 2 absmax / (2^b - 1), zero at 2^(b-1): GPTQ's "sym" checkpoints
  full_range,        // scale = (signed value of largest magnitude) / -2^(b-1), may be negative: ggml Q4_0, AutoRound
  asymmetric,        // scale = (max - min) / (2^b - 1) with 0 inside the range, integer zero: GPTQ's "asym"
  asymmetric_float,  // the same range, not forced to hold 0, zero kept as a fraction: HQQ, torchao
};

/// How a group's scale is stored.
enum class scale_type : std::uint8_t { f32, f16, bf16, f8_e4m3, e8m0 };

/// A uniform integer format as a value; wrap it in a named type: struct w4g128 : uniform<scheme{.bits = 4}> {};
struct scheme {
  int bits = 4;     // 1 to 8
  int group = 128;  // weights that share a scale, or per_row, or per_tensor
  nbit::symmetry symmetry = nbit::symmetry::restricted;
  scale_type scale = scale_type::f16;

  friend constexpr bool operator==(const scheme&, const scheme&) = default;
};

}  // namespace nbit

#endif
// END nbit/format/scheme.hpp

namespace nbit::detail {

/// The stored type of a scale and the conversion to it.
template <scale_type>
struct scale_storage;

template <>
struct scale_storage<scale_type::f32> {
  using type = float;
  NBIT_INLINE static constexpr float from(float v) { return v; }
};
template <>
struct scale_storage<scale_type::f16> {
  using type = f16;
  // a huge weight must not turn its whole group into infinities: hold the scale at the largest finite f16
  NBIT_INLINE static constexpr f16 from(float v) {
    return f16::from(v > f16::max ? f16::max : v < -f16::max ? -f16::max : v);
  }
};
template <>
struct scale_storage<scale_type::bf16> {
  using type = bf16;
  NBIT_INLINE static constexpr bf16 from(float v) {
    return bf16::from(v > bf16::max ? bf16::max : v < -bf16::max ? -bf16::max : v);
  }
};
template <>
struct scale_storage<scale_type::f8_e4m3> {
  using type = f8_e4m3;
  NBIT_INLINE static constexpr f8_e4m3 from(float v) { return f8_e4m3::from(v); }
};
template <>
struct scale_storage<scale_type::e8m0> {
  using type = e8m0;
  // rounded up to a power of two, so that the largest weight of the group never clips
  NBIT_INLINE static constexpr e8m0 from(float v) { return e8m0::from_ceil(v); }
};

}  // namespace nbit::detail

#endif
// END nbit/format/scale.hpp
// BEGIN nbit/format/uniform.hpp
// nbit/format/uniform.hpp — groups of b-bit integers that share one scale, and a zero point if the scheme has one.
//
//   value = scale * (code - 2^(b-1))   symmetric schemes        value = scale * (code - zero)   asymmetric ones
//
// Codes are stored unsigned, 0 .. 2^b - 1. A one-bit symmetric code means -scale or +scale, scale = mean |w|.
// An all-zero group has scale 0 and decodes to zeros.  Ref: docs/formats.md, uniform formats.
#ifndef NBIT_FORMAT_UNIFORM_HPP
#define NBIT_FORMAT_UNIFORM_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace nbit {

/// What a group of a symmetric format stores.
template <class Scale>
struct symmetric_params {
  Scale scale;
};

/// What a group of an asymmetric format with an integer zero stores. The zero is as wide as the scale: padding bytes
/// would make equal tensors differ in memory.
template <class Scale>
struct integer_zero_params {
  using zero_t = std::conditional_t<sizeof(Scale) == 4, std::uint32_t,
                                    std::conditional_t<sizeof(Scale) == 2, std::uint16_t, std::uint8_t>>;
  Scale scale;
  zero_t zero;
};

/// What a group of an asymmetric format with a fractional zero stores.
template <class Scale>
struct float_zero_params {
  Scale scale;
  Scale zero;
};

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

inline namespace NBIT_TAG {
namespace detail {

/// Smallest and largest value of a group, and the signed value of largest magnitude.
struct group_range {
  float min, max, signed_max, sum_abs;
};

inline group_range range_of(std::span<const float> w) {
  group_range g{w.empty() ? 0.0f : w[0], w.empty() ? 0.0f : w[0], 0.0f, 0.0f};
  for (const float v : w) {
    g.min = v < g.min ? v : g.min;
    g.max = v > g.max ? v : g.max;
    if (nbit::abs(v) > nbit::abs(g.signed_max)) g.signed_max = v;
    g.sum_abs += nbit::abs(v);
  }
  return g;
}

template <scheme S, class Params>
inline Params fit_uniform(std::span<const float> w) {
  NBIT_EXACT
  using store = scale_storage<S.scale>;
  constexpr int levels = (1 << S.bits) - 1, half = 1 << (S.bits - 1);
  const group_range g = range_of(w);
  const float magnitude = nbit::abs(g.signed_max);
  Params p{};
  if constexpr (S.bits == 1 && S.symmetry != symmetry::asymmetric && S.symmetry != symmetry::asymmetric_float) {
    p.scale = store::from(w.empty() ? 0.0f : g.sum_abs / static_cast<float>(w.size()));
  } else if constexpr (S.symmetry == symmetry::restricted) {
    p.scale = store::from(magnitude / static_cast<float>(half - 1));
  } else if constexpr (S.symmetry == symmetry::gptq) {
    p.scale = store::from(2.0f * magnitude / static_cast<float>(levels));
  } else if constexpr (S.symmetry == symmetry::full_range) {
    p.scale = store::from(g.signed_max / static_cast<float>(-half));
  } else if constexpr (S.symmetry == symmetry::asymmetric) {
    const float min = g.min < 0.0f ? g.min : 0.0f, max = g.max > 0.0f ? g.max : 0.0f;
    p.scale = store::from((max - min) / static_cast<float>(levels));
    const float s = float(p.scale);
    p.zero = static_cast<typename Params::zero_t>(s > 0.0f ? round_clamped(-min / s, 0, levels) : 0);
  } else {
    // A constant group has no range: one step equal to the constant represents it exactly.
    const bool flat = !(g.max > g.min);
    p.scale = store::from(flat ? nbit::abs(g.min) : (g.max - g.min) / static_cast<float>(levels));
    const float s = float(p.scale);
    p.zero = store::from(!(s > 0.0f) ? 0.0f : flat ? (g.min > 0.0f ? -1.0f : 1.0f) : -g.min / s);
  }
  return p;
}

}  // namespace detail
}  // namespace NBIT_TAG

/// A format of b-bit integers on a uniform grid: derive a named type from it and use that everywhere.
template <scheme S>
struct uniform {
  static_assert(S.bits >= 1 && S.bits <= 8, "nbit::uniform: scheme.bits must be 1 to 8");
  static_assert(S.group >= per_tensor,
                "nbit::uniform: scheme.group must be a count of weights, nbit::per_row or nbit::per_tensor");
  static_assert(
      !(S.symmetry == symmetry::full_range && S.scale == scale_type::e8m0),
      "nbit::uniform: symmetry::full_range needs a signed scale; use f32, f16, bf16 or f8_e4m3 instead of e8m0");
  static_assert(!(S.symmetry == symmetry::asymmetric_float &&
                  (S.scale == scale_type::e8m0 || S.scale == scale_type::f8_e4m3)),
                "nbit::uniform: symmetry::asymmetric_float stores its zero like its scale; use f32, f16 or bf16");

  static constexpr nbit::scheme scheme = S;
  static constexpr int bits = S.bits, group = S.group, run = 0;
  static constexpr bool symmetric = S.symmetry != symmetry::asymmetric && S.symmetry != symmetry::asymmetric_float;

  using scale_t = typename detail::scale_storage<S.scale>::type;
  using params = std::conditional_t<
      symmetric, symmetric_params<scale_t>,
      std::conditional_t<S.symmetry == symmetry::asymmetric, integer_zero_params<scale_t>, float_zero_params<scale_t>>>;

  static constexpr bool exact_levels = symmetric;

  /// The level halfway: what a stored code is counted from in symmetric schemes.
  static constexpr int half = 1 << (S.bits - 1);

  /// Min-max parameters; importance is not used (see solver/search.hpp for fits that weigh errors).
  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    return detail::fit_uniform<S, params>(w);
  }

  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    NBIT_EXACT
    const float s = float(p.scale);
    constexpr int top = (1 << S.bits) - 1;
    if constexpr (symmetric && S.bits == 1) {
      return v < 0.0f ? 0 : 1;
    } else if constexpr (symmetric) {
      return s == 0.0f ? half : round_clamped(v / s, -half, half - 1) + half;
    } else if constexpr (S.symmetry == symmetry::asymmetric) {
      return s == 0.0f ? int(p.zero) : round_clamped(v / s, -int(p.zero), top - int(p.zero)) + int(p.zero);
    } else {
      return s == 0.0f ? 0 : round_clamped(v / s + float(p.zero), 0, top);
    }
  }

  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    NBIT_EXACT
    if constexpr (symmetric)
      return float(p.scale) * static_cast<float>(level(c));
    else if constexpr (S.symmetry == symmetry::asymmetric)
      return float(p.scale) * static_cast<float>(c - int(p.zero));
    else
      return float(p.scale) * (static_cast<float>(c) - float(p.zero));
  }

  // The integer form: value = scale * level + offset.
  NBIT_INLINE static constexpr int level(int c) { return symmetric && S.bits == 1 ? 2 * c - 1 : c - half; }
  NBIT_INLINE static float scale(const params& p, int) { return float(p.scale); }
  NBIT_INLINE static float offset(const params& p, int) {
    NBIT_EXACT
    if constexpr (symmetric)
      return 0.0f;
    else
      return float(p.scale) * (static_cast<float>(half) - static_cast<float>(p.zero));
  }
};

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

}  // namespace nbit

#endif
// END nbit/format/uniform.hpp

namespace nbit {
namespace detail {

/// The levels of a codebook in rising order: where each came from, the midpoints between neighbours, the largest
/// |level|.
template <std::size_t N>
struct codebook_order {
  std::array<std::uint8_t, N> code{};
  std::array<float, N - 1> middle{};
  float top = 0;
};

template <std::size_t N>
constexpr codebook_order<N> order_levels(const std::array<float, N>& levels) {
  codebook_order<N> o;
  for (std::size_t i = 0; i < N; ++i) {  // insertion sort of the indices
    std::size_t j = i;
    for (; j > 0 && levels[o.code[j - 1]] > levels[i]; --j) o.code[j] = o.code[j - 1];
    o.code[j] = static_cast<std::uint8_t>(i);
    const float magnitude = levels[i] < 0 ? -levels[i] : levels[i];
    o.top = magnitude > o.top ? magnitude : o.top;
  }
  for (std::size_t i = 0; i + 1 < N; ++i)
    o.middle[i] = static_cast<float>((double(levels[o.code[i]]) + double(levels[o.code[i + 1]])) / 2);
  return o;
}

}  // namespace detail

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

/// A format over the table Derived::levels (std::array<float, 2^Bits>), one scale per group.
template <class Derived, int Bits, int Group, scale_type Scale = scale_type::f16>
struct codebook {
  static_assert(Bits >= 1 && Bits <= 8, "nbit::codebook: the code width must be 1 to 8 bits");
  static_assert(Group >= per_tensor,
                "nbit::codebook: Group must be a count of weights, nbit::per_row or nbit::per_tensor");

  static constexpr int bits = Bits, group = Group;
  using scale_t = typename detail::scale_storage<Scale>::type;
  using params = symmetric_params<scale_t>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    static_assert(Derived::levels.size() == std::size_t{1} << Bits,
                  "nbit::codebook: Derived::levels must have 2^Bits entries");
    constexpr auto order = detail::order_levels(Derived::levels);
    return {detail::scale_storage<Scale>::from(nbit::abs(detail::range_of(w).signed_max) / order.top)};
  }
  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    NBIT_EXACT
    constexpr auto order = detail::order_levels(Derived::levels);
    const float s = float(p.scale), x = s == 0.0f ? 0.0f : v / s;
    std::size_t rank = 0;
    for (const float m : order.middle) rank += x > m ? 1u : 0u;
    return order.code[rank];
  }
  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    return float(p.scale) * Derived::levels[static_cast<std::size_t>(c)];
  }
};

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

/// bitsandbytes NF4: quantiles of the normal distribution; blocks of 64, f32 absmax.  Ref: Dettmers 2023, QLoRA,
/// appendix E.
struct nf4 : codebook<nf4, 4, 64, scale_type::f32> {
  static constexpr std::array<float, 16> levels = {-1.0f,
                                                   -0.6961928009986877f,
                                                   -0.5250730514526367f,
                                                   -0.39491748809814453f,
                                                   -0.28444138169288635f,
                                                   -0.18477343022823334f,
                                                   -0.09105003625154495f,
                                                   0.0f,
                                                   0.07958029955625534f,
                                                   0.16093020141124725f,
                                                   0.24611230194568634f,
                                                   0.33791524171829224f,
                                                   0.44070982933044434f,
                                                   0.5626170039176941f,
                                                   0.7229568362236023f,
                                                   1.0f};
};

/// bitsandbytes FP4: sign and magnitude, 1-2-1 bits; blocks of 64, f32 absmax.
struct fp4 : codebook<fp4, 4, 64, scale_type::f32> {
  static constexpr std::array<float, 16> levels = {
      0.0f,  0.005208333333f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
      -0.0f, -0.005208333333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
};

}  // namespace nbit

#endif
// END nbit/format/codebook.hpp
// BEGIN nbit/format/float_codes.hpp
// nbit/format/float_codes.hpp — codes that are small floats (E2M1, E4M3, E5M2), a group shares a scale.
//
//   value = scale * element(code), scale = absmax of the group / largest element, codes rounded half to even
//
// float_codes<f4_e2m1, 16, scale_type::f8_e4m3> are the codes of NVFP4, float_codes<f8_e4m3, per_row, scale_type::f32>
// those of FP8 checkpoints. The codes of NaN and infinity are never made; readers of files refuse them. Ref: OCP
// Microscaling Formats 1.0; docs/formats.md.
#ifndef NBIT_FORMAT_FLOAT_CODES_HPP
#define NBIT_FORMAT_FLOAT_CODES_HPP

#include <cstdint>
#include <span>
#include <type_traits>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// A format whose codes are the bits of Element.
template <class Element, int Group, scale_type Scale>
struct float_codes {
  static_assert(std::is_same_v<Element, f4_e2m1> || std::is_same_v<Element, f8_e4m3> ||
                    std::is_same_v<Element, f8_e5m2>,
                "nbit::float_codes: Element must be f4_e2m1, f8_e4m3 or f8_e5m2");
  static_assert(Group >= per_tensor,
                "nbit::float_codes: Group must be a count of weights, nbit::per_row or nbit::per_tensor");

  using element = Element;
  static constexpr int bits = std::is_same_v<Element, f4_e2m1> ? 4 : 8, group = Group;
  static constexpr scale_type scale_stored = Scale;
  static constexpr bool symmetric = true;
  using scale_t = typename detail::scale_storage<Scale>::type;
  using params = symmetric_params<scale_t>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    return {detail::scale_storage<Scale>::from(nbit::abs(detail::range_of(w).signed_max) / Element::max)};
  }
  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    const float s = float(p.scale), x = s == 0.0f ? 0.0f : v / s;
    // e5m2 has infinities, which a value held at the top never becomes
    return Element::from(x > Element::max ? Element::max : x < -Element::max ? -Element::max : x).bits;
  }
  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    return float(p.scale) * float(Element::from_bits(static_cast<std::uint8_t>(c)));
  }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/float_codes.hpp
// BEGIN nbit/format/ggml_block.hpp
// nbit/format/ggml_block.hpp — what ggml's block formats share: nearest codes, short groups, and the row's mean square.
//
// value and code of these formats answer the same with and without fused multiply-add: every product in them (f16
// scale, 6-bit scale, code) has at most 22 significant bits and is exact in float. Encoders are not so lucky; they
// are functions of their own inside the exact region, never inlined out of it.
#ifndef NBIT_FORMAT_GGML_BLOCK_HPP
#define NBIT_FORMAT_GGML_BLOCK_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {

/// Mean of the squares of a row, summed in order in float: what self_encoding formats take as row_mean_square.
NBIT_NOINLINE inline float row_mean_square(std::span<const float> row) {
  NBIT_EXACT
  float sum = 0.0f;
  for (const float v : row) sum += v * v;
  return row.empty() ? 0.0f : sum / static_cast<float>(row.size());
}

namespace ggml_block {

/// Neighbouring bytes in a local array. Bytes in memory may alias anything, so loops over them stay scalar; loops over
/// these become vectors, of whatever width the caller's instruction set has.
template <int N>
struct byte_run {
  std::uint8_t v[N];

  NBIT_INLINE static byte_run load(const void* from) {
    byte_run r;
    std::memcpy(r.v, from, N);
    return r;
  }
  NBIT_INLINE void store(void* to) const { std::memcpy(to, v, N); }
};

/// The level nearest to v on the grid scale * level + offset, held in [low, high]; any scale: 0 answers level 0.
NBIT_INLINE int nearest_level(float v, float scale, float offset, int low, int high) {
  return scale != 0.0f ? round_clamped((v - offset) / scale, low, high) : 0;
}

/// Sum of squares, in order.
template <int N>
float sum_of_squares(const float* x) {
  NBIT_EXACT
  float sum = 0.0f;
  for (int i = 0; i < N; ++i) sum += x[i] * x[i];
  return sum;
}

/// weight[i] = importance[i] * sqrt(variance + x[i]^2): how much an error at i counts when an importance is known.
template <int N>
void importance_weights(const float* x, const float* importance, float variance, float* weight) {
  NBIT_EXACT
  for (int i = 0; i < N; ++i) weight[i] = importance[i] * __builtin_sqrtf(variance + x[i] * x[i]);
}

template <int N>
float sum_of(const float* x) {
  float sum = 0.0f;
  for (int i = 0; i < N; ++i) sum += x[i];
  return sum;
}

/// The element of largest magnitude with its sign, the first of equals; 0 when all are 0.
template <int N>
float largest_signed(const float* x) {
  float size = 0.0f, found = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float a = nbit::abs(x[i]);
    if (a > size) size = a, found = x[i];
  }
  return found;
}

/// Encodes one group, whole or short: a short one is continued with zeros that nothing weighs.
template <class F>
void encode_group(std::span<const float> w, std::span<const float> importance, float mean_square, typename F::params& p,
                  std::span<std::uint8_t> codes) {
  constexpr std::size_t n = static_cast<std::size_t>(F::group);
  const bool weighed = importance.size() >= w.size() && !importance.empty();
  if (w.size() >= n && codes.size() >= n) {
    F::encode_block(w.data(), weighed ? importance.data() : nullptr, mean_square, p, codes.data());
    return;
  }
  float x[n] = {}, q[n] = {};
  std::uint8_t c[n];
  for (std::size_t i = 0; i < w.size() && i < n; ++i) x[i] = w[i], q[i] = weighed ? importance[i] : 0.0f;
  F::encode_block(x, weighed ? q : nullptr, mean_square, p, c);
  for (std::size_t i = 0; i < codes.size() && i < n; ++i) codes[i] = c[i];
}

/// The parameters that the reference encoder picks for a group; the group stands for its row.
template <class F>
typename F::params fit_group(std::span<const float> w, std::span<const float> importance) {
  typename F::params p{};
  std::uint8_t codes[F::group];
  encode_group<F>(w, importance, row_mean_square(w), p, codes);
  return p;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_block.hpp
// BEGIN nbit/format/ggml_grids.hpp
// nbit/format/ggml_grids.hpp — the lattice points of ggml's IQ formats as lists of indices, 9 KB in all.
//
// A point is one 16-bit number: 8 coordinates of 2 bits (levels 0 .. 2) for IQ1 and IQ2, 4 coordinates of 3 bits
// (levels 0 .. 7) for IQ3, the first coordinate lowest. Lists ascend. What a level is worth is the format's business.
// Ref: ggml (MIT), where the same points stand expanded to 64 and 32 bits; docs/formats.md.
#ifndef NBIT_FORMAT_GGML_GRIDS_HPP
#define NBIT_FORMAT_GGML_GRIDS_HPP

#include <cstdint>

namespace nbit {

/// The points of each format; a code's grid index counts in these lists.
// clang-format off
inline constexpr std::uint16_t iq3_xxs_points[256] = {
    0, 2, 4, 9, 11, 15, 16, 18, 25, 34, 59, 61, 65, 67, 72, 74, 81, 85, 88, 90, 97, 108, 120, 128, 130, 132, 137, 144,
    146, 153, 155, 159, 169, 175, 189, 193, 199, 200, 202, 213, 248, 267, 287, 292, 303, 315, 317, 321, 327, 346, 362,
    413, 436, 456, 460, 462, 483, 497, 513, 515, 520, 522, 529, 531, 536, 538, 540, 551, 552, 576, 578, 585, 592, 594,
    641, 643, 648, 650, 657, 664, 698, 704, 706, 720, 729, 742, 758, 769, 773, 808, 848, 852, 870, 889, 901, 978, 992,
    1024, 1026, 1033, 1035, 1040, 1042, 1046, 1049, 1058, 1089, 1091, 1093, 1096, 1098, 1105, 1112, 1139, 1143, 1144,
    1152, 1154, 1161, 1167, 1168, 1170, 1183, 1184, 1197, 1217, 1224, 1228, 1272, 1276, 1309, 1323, 1347, 1367, 1377,
    1404, 1473, 1475, 1486, 1509, 1537, 1544, 1546, 1553, 1555, 1576, 1589, 1594, 1600, 1602, 1616, 1625, 1636, 1638,
    1665, 1667, 1672, 1685, 1706, 1722, 1737, 1755, 1816, 1831, 1850, 1856, 1862, 1874, 1901, 1932, 1950, 1971, 2011,
    2032, 2052, 2063, 2077, 2079, 2091, 2095, 2172, 2192, 2207, 2208, 2224, 2230, 2247, 2277, 2308, 2345, 2356, 2389,
    2403, 2424, 2501, 2504, 2506, 2520, 2570, 2593, 2616, 2624, 2630, 2646, 2669, 2700, 2714, 2746, 2754, 2795, 2824,
    2835, 2839, 2874, 2882, 2905, 2984, 3028, 3042, 3092, 3108, 3110, 3124, 3153, 3185, 3215, 3252, 3288, 3294, 3364,
    3397, 3434, 3483, 3523, 3537, 3587, 3589, 3591, 3592, 3610, 3626, 3670, 3680, 3722, 3749, 3754, 3776, 3789, 3803,
    3824, 3857, 3873, 3904, 3906, 3924, 3992,
};
inline constexpr std::uint16_t iq3_s_points[512] = {
    0, 1, 2, 5, 7, 8, 9, 10, 12, 14, 16, 17, 21, 27, 32, 34, 37, 39, 41, 43, 48, 50, 57, 60, 63, 64, 65, 66, 68, 72, 73,
    77, 80, 83, 87, 89, 93, 100, 113, 117, 122, 128, 129, 133, 135, 136, 139, 142, 145, 149, 152, 156, 162, 165, 167,
    169, 171, 184, 187, 195, 201, 205, 208, 210, 217, 219, 222, 228, 232, 234, 247, 249, 253, 256, 267, 271, 273, 276,
    282, 288, 291, 297, 312, 322, 324, 336, 338, 342, 347, 353, 357, 359, 374, 379, 390, 393, 395, 409, 426, 441, 448,
    450, 452, 464, 466, 470, 475, 488, 492, 512, 513, 514, 516, 520, 521, 523, 525, 527, 528, 530, 537, 540, 542, 556,
    558, 561, 570, 576, 577, 579, 582, 584, 588, 593, 600, 603, 609, 616, 618, 632, 638, 640, 650, 653, 655, 656, 660,
    666, 672, 675, 685, 688, 698, 705, 708, 711, 712, 715, 721, 727, 728, 732, 737, 754, 760, 771, 773, 778, 780, 793,
    795, 802, 806, 808, 812, 833, 840, 843, 849, 856, 858, 873, 912, 916, 919, 932, 934, 961, 963, 968, 970, 977, 989,
    993, 1010, 1016, 1024, 1025, 1027, 1029, 1031, 1032, 1034, 1036, 1038, 1041, 1043, 1047, 1048, 1050, 1057, 1059,
    1061, 1064, 1066, 1079, 1080, 1083, 1085, 1088, 1090, 1096, 1099, 1103, 1106, 1109, 1113, 1116, 1122, 1129, 1153,
    1156, 1159, 1169, 1171, 1176, 1183, 1185, 1195, 1199, 1209, 1212, 1216, 1218, 1221, 1225, 1234, 1236, 1241, 1243,
    1250, 1256, 1270, 1281, 1287, 1296, 1299, 1306, 1309, 1313, 1338, 1341, 1348, 1353, 1362, 1375, 1376, 1387, 1400,
    1408, 1410, 1415, 1425, 1453, 1457, 1477, 1481, 1494, 1496, 1507, 1512, 1538, 1545, 1547, 1549, 1551, 1554, 1561,
    1563, 1565, 1570, 1572, 1575, 1577, 1587, 1593, 1601, 1603, 1605, 1612, 1617, 1619, 1632, 1648, 1658, 1662, 1664,
    1674, 1680, 1690, 1692, 1704, 1729, 1736, 1740, 1745, 1747, 1751, 1752, 1761, 1763, 1767, 1773, 1787, 1795, 1801,
    1806, 1810, 1817, 1834, 1840, 1844, 1857, 1864, 1866, 1877, 1882, 1892, 1902, 1915, 1934, 1953, 1985, 1987, 2000,
    2002, 2013, 2048, 2052, 2058, 2064, 2068, 2071, 2074, 2081, 2088, 2104, 2114, 2119, 2121, 2123, 2130, 2136, 2141,
    2147, 2153, 2157, 2177, 2179, 2184, 2189, 2193, 2203, 2208, 2223, 2226, 2232, 2244, 2249, 2251, 2256, 2258, 2265,
    2269, 2304, 2306, 2324, 2335, 2336, 2361, 2373, 2375, 2385, 2418, 2443, 2460, 2480, 2504, 2509, 2520, 2531, 2537,
    2562, 2568, 2572, 2578, 2592, 2596, 2599, 2602, 2614, 2620, 2625, 2627, 2629, 2634, 2641, 2650, 2682, 2688, 2697,
    2707, 2712, 2718, 2731, 2754, 2759, 2760, 2775, 2788, 2793, 2805, 2811, 2817, 2820, 2832, 2842, 2854, 2890, 2902,
    2921, 2923, 2978, 3010, 3012, 3026, 3081, 3083, 3085, 3097, 3099, 3120, 3136, 3152, 3159, 3188, 3210, 3228, 3234,
    3245, 3250, 3256, 3264, 3276, 3281, 3296, 3349, 3363, 3378, 3392, 3395, 3420, 3440, 3461, 3488, 3529, 3531, 3584,
    3588, 3591, 3600, 3602, 3614, 3616, 3628, 3634, 3650, 3657, 3668, 3683, 3685, 3713, 3716, 3720, 3726, 3729, 3736,
    3753, 3778, 3802, 3805, 3819, 3841, 3845, 3851, 3856, 3880, 3922, 3938, 3970, 3993, 4032,
};
inline constexpr std::uint16_t iq2_xxs_points[256] = {
    0, 2, 5, 8, 10, 17, 20, 32, 34, 40, 42, 65, 68, 80, 88, 97, 100, 128, 130, 138, 162, 257, 260, 272, 277, 320, 388,
    408, 512, 514, 546, 642, 1025, 1028, 1040, 1057, 1060, 1088, 1090, 1096, 1120, 1153, 1156, 1168, 1188, 1280, 1282,
    1288, 1312, 1350, 1385, 1408, 1425, 1545, 1552, 1600, 1668, 1700, 2048, 2053, 2056, 2068, 2088, 2113, 2116, 2128,
    2130, 2184, 2308, 2368, 2562, 2580, 4097, 4100, 4112, 4129, 4160, 4192, 4228, 4240, 4245, 4352, 4360, 4384, 4432,
    4442, 4480, 4644, 4677, 5120, 5128, 5152, 5157, 5193, 5248, 5400, 5474, 5632, 5654, 6145, 6148, 6160, 6208, 6273,
    6400, 6405, 6560, 6737, 8192, 8194, 8202, 8260, 8289, 8320, 8322, 8489, 8520, 8704, 8706, 9217, 9220, 9232, 9280,
    9302, 9472, 9537, 9572, 9872, 10248, 10272, 10388, 10820, 16385, 16388, 16400, 16408, 16417, 16420, 16448, 16456,
    16470, 16480, 16513, 16516, 16528, 16640, 16672, 16737, 16768, 16773, 16897, 16912, 16968, 16982, 17000, 17408,
    17416, 17440, 17536, 17561, 17682, 17700, 17920, 18433, 18436, 18448, 18496, 18501, 18688, 18776, 18785, 18818,
    19013, 19088, 20480, 20488, 20497, 20505, 20512, 20608, 20616, 20740, 20802, 20900, 21137, 21648, 21650, 21770,
    22017, 22100, 22528, 22545, 22553, 22628, 22848, 23048, 24580, 24592, 24640, 24680, 24832, 24917, 25112, 25184,
    25600, 25605, 25872, 25874, 25988, 26690, 32768, 32770, 32778, 32833, 32898, 33028, 33048, 33088, 33297, 33793,
    33796, 33808, 33813, 33856, 33888, 34048, 34118, 34196, 34313, 34368, 34400, 34818, 35076, 35345, 36868, 36880,
    36900, 36928, 37025, 37142, 37248, 37445, 37888, 37922, 37956, 38225, 39041, 39200, 40962, 41040, 41093, 41225,
    41472, 42008, 43088, 43268,
};
inline constexpr std::uint16_t iq2_xs_points[512] = {
    0, 2, 5, 8, 10, 17, 20, 22, 25, 32, 34, 37, 40, 65, 68, 70, 73, 80, 82, 85, 88, 97, 100, 128, 130, 133, 136, 145,
    148, 153, 160, 257, 260, 262, 265, 272, 274, 277, 280, 282, 289, 292, 320, 322, 325, 328, 337, 340, 352, 360, 385,
    388, 400, 512, 514, 517, 520, 529, 532, 544, 577, 580, 592, 597, 640, 650, 1025, 1028, 1030, 1033, 1040, 1042, 1045,
    1048, 1057, 1060, 1088, 1090, 1093, 1096, 1105, 1108, 1110, 1120, 1153, 1156, 1168, 1280, 1282, 1285, 1288, 1297,
    1300, 1312, 1345, 1348, 1360, 1377, 1408, 1537, 1540, 1552, 1574, 1600, 1602, 1668, 2048, 2050, 2053, 2056, 2058,
    2065, 2068, 2080, 2085, 2113, 2116, 2128, 2136, 2176, 2208, 2218, 2305, 2308, 2320, 2368, 2433, 2441, 2560, 2592,
    2600, 2710, 2720, 4097, 4100, 4102, 4105, 4112, 4114, 4117, 4120, 4129, 4132, 4160, 4162, 4165, 4168, 4177, 4180,
    4192, 4202, 4225, 4228, 4240, 4352, 4354, 4357, 4360, 4369, 4372, 4384, 4417, 4420, 4432, 4480, 4500, 4502, 4609,
    4612, 4614, 4624, 4672, 4704, 5120, 5122, 5125, 5128, 5137, 5140, 5152, 5185, 5188, 5193, 5200, 5220, 5248, 5377,
    5380, 5392, 5440, 5632, 5652, 5705, 6145, 6148, 6160, 6162, 6208, 6228, 6278, 6400, 6405, 6502, 6737, 6825, 8192,
    8194, 8197, 8200, 8202, 8209, 8212, 8224, 8257, 8260, 8272, 8320, 8352, 8449, 8452, 8464, 8512, 8520, 8549, 8704,
    8738, 8832, 8872, 9217, 9220, 9232, 9257, 9280, 9472, 9537, 9554, 9625, 9729, 9754, 9894, 10240, 10248, 10250,
    10272, 10325, 10376, 10402, 10600, 10640, 10760, 10784, 10882, 10888, 10890, 16385, 16388, 16390, 16393, 16400,
    16402, 16405, 16408, 16417, 16420, 16448, 16450, 16453, 16456, 16458, 16465, 16468, 16480, 16485, 16513, 16516,
    16528, 16640, 16642, 16645, 16648, 16657, 16660, 16672, 16705, 16708, 16720, 16768, 16773, 16802, 16897, 16900,
    16912, 16914, 16937, 16960, 17408, 17410, 17413, 17416, 17425, 17428, 17433, 17440, 17473, 17476, 17488, 17536,
    17556, 17665, 17668, 17680, 17700, 17728, 17818, 17920, 17930, 17988, 18000, 18433, 18436, 18448, 18496, 18501,
    18516, 18530, 18688, 18705, 18756, 18768, 18793, 18948, 20480, 20482, 20485, 20488, 20497, 20500, 20512, 20520,
    20545, 20548, 20560, 20608, 20737, 20740, 20752, 20757, 20800, 20802, 20992, 21060, 21162, 21505, 21508, 21520,
    21537, 21568, 21600, 21633, 21665, 21760, 21768, 21888, 21896, 22049, 22120, 22177, 22528, 22548, 22593, 22608,
    22681, 22810, 22848, 22850, 23173, 24577, 24580, 24592, 24640, 24660, 24674, 24710, 24745, 24832, 25124, 25162,
    25234, 25600, 25622, 25872, 25920, 25925, 26020, 26625, 26730, 26917, 27142, 27220, 27234, 32768, 32770, 32773,
    32776, 32785, 32788, 32800, 32810, 32833, 32836, 32848, 32896, 32898, 32936, 32938, 33025, 33028, 33030, 33040,
    33088, 33105, 33113, 33280, 33312, 33408, 33410, 33440, 33448, 33793, 33796, 33808, 33810, 33813, 33856, 33888,
    33929, 34048, 34116, 34213, 34328, 34410, 34816, 34824, 34853, 34906, 34944, 34946, 34984, 35078, 35362, 35456,
    35464, 35478, 35496, 36865, 36868, 36880, 36928, 36950, 36996, 37120, 37154, 37220, 37462, 37513, 37888, 37893,
    37956, 37968, 37976, 38185, 38288, 38290, 38465, 38993, 39078, 39241, 39445, 39520, 40960, 40962, 40968, 40970,
    40992, 41002, 41120, 41297, 41305, 41382, 41472, 41474, 41480, 41514, 41600, 41632, 42048, 42133, 42597, 42648,
    43018, 43040, 43042, 43048, 43168, 43176, 43268, 43396, 43398, 43560, 43562, 43665, 43690,
};
inline constexpr std::uint16_t iq2_s_points[1024] = {
    0, 2, 5, 8, 10, 17, 20, 22, 25, 32, 34, 37, 40, 65, 68, 70, 73, 80, 82, 85, 88, 97, 100, 102, 105, 128, 130, 133,
    136, 145, 148, 160, 165, 170, 257, 260, 262, 265, 272, 274, 277, 280, 289, 292, 320, 322, 325, 328, 337, 340, 342,
    345, 352, 357, 360, 385, 388, 400, 402, 405, 417, 420, 512, 514, 517, 520, 529, 532, 544, 554, 577, 580, 582, 585,
    592, 597, 640, 645, 650, 660, 674, 1025, 1028, 1030, 1033, 1040, 1042, 1045, 1048, 1057, 1060, 1062, 1065, 1088,
    1090, 1093, 1096, 1098, 1105, 1108, 1110, 1113, 1120, 1122, 1125, 1153, 1156, 1158, 1161, 1168, 1173, 1176, 1185,
    1188, 1280, 1282, 1285, 1288, 1290, 1297, 1300, 1302, 1305, 1312, 1317, 1320, 1345, 1348, 1350, 1353, 1360, 1362,
    1365, 1368, 1377, 1380, 1408, 1410, 1413, 1416, 1425, 1428, 1440, 1537, 1540, 1542, 1545, 1552, 1557, 1600, 1605,
    1608, 1617, 1620, 1632, 1665, 1668, 1680, 2048, 2050, 2053, 2056, 2065, 2068, 2070, 2073, 2080, 2085, 2090, 2113,
    2116, 2118, 2121, 2128, 2130, 2133, 2136, 2145, 2148, 2176, 2181, 2196, 2218, 2305, 2308, 2320, 2322, 2325, 2328,
    2337, 2368, 2373, 2376, 2385, 2388, 2400, 2433, 2448, 2560, 2577, 2580, 2594, 2600, 2602, 2640, 2713, 4097, 4100,
    4102, 4105, 4112, 4114, 4117, 4120, 4129, 4132, 4134, 4160, 4162, 4165, 4168, 4177, 4180, 4182, 4185, 4192, 4194,
    4197, 4200, 4225, 4228, 4230, 4240, 4245, 4248, 4257, 4260, 4352, 4354, 4357, 4360, 4362, 4369, 4372, 4374, 4377,
    4384, 4386, 4389, 4392, 4417, 4420, 4422, 4425, 4432, 4434, 4437, 4440, 4449, 4452, 4480, 4482, 4485, 4488, 4497,
    4500, 4609, 4612, 4617, 4624, 4629, 4641, 4644, 4672, 4677, 4689, 4692, 4737, 4740, 4752, 5120, 5122, 5125, 5128,
    5137, 5140, 5142, 5145, 5152, 5157, 5160, 5185, 5188, 5190, 5193, 5200, 5202, 5205, 5208, 5217, 5220, 5248, 5250,
    5253, 5256, 5265, 5268, 5280, 5377, 5380, 5382, 5385, 5392, 5394, 5397, 5400, 5409, 5412, 5440, 5442, 5445, 5448,
    5457, 5460, 5472, 5505, 5508, 5520, 5632, 5637, 5640, 5649, 5652, 5664, 5697, 5700, 5712, 5760, 5802, 6145, 6148,
    6150, 6153, 6160, 6165, 6168, 6177, 6208, 6210, 6213, 6216, 6225, 6228, 6240, 6273, 6276, 6400, 6402, 6405, 6408,
    6417, 6420, 6432, 6465, 6468, 6480, 6505, 6562, 6660, 6672, 6720, 6742, 8192, 8194, 8197, 8200, 8209, 8212, 8214,
    8217, 8224, 8229, 8234, 8257, 8260, 8272, 8274, 8277, 8292, 8320, 8330, 8340, 8362, 8449, 8452, 8464, 8466, 8469,
    8481, 8512, 8514, 8517, 8529, 8532, 8544, 8577, 8580, 8592, 8704, 8714, 8738, 8744, 8746, 8772, 8784, 8840, 8842,
    8872, 9217, 9220, 9222, 9225, 9232, 9237, 9240, 9249, 9252, 9280, 9282, 9285, 9288, 9297, 9300, 9312, 9345, 9348,
    9360, 9472, 9477, 9480, 9489, 9492, 9504, 9537, 9540, 9552, 9574, 9600, 9729, 9732, 9744, 9792, 9817, 10240, 10245,
    10257, 10260, 10305, 10308, 10320, 10378, 10410, 10497, 10500, 10512, 10645, 10762, 10786, 10852, 10888, 10890,
    16385, 16388, 16390, 16393, 16400, 16402, 16405, 16408, 16410, 16417, 16420, 16422, 16448, 16450, 16453, 16456,
    16458, 16465, 16468, 16470, 16473, 16480, 16482, 16485, 16513, 16516, 16528, 16533, 16536, 16545, 16548, 16640,
    16642, 16645, 16648, 16657, 16660, 16662, 16665, 16672, 16674, 16677, 16705, 16708, 16710, 16713, 16720, 16722,
    16725, 16728, 16737, 16740, 16768, 16770, 16773, 16776, 16785, 16788, 16800, 16897, 16900, 16912, 16914, 16917,
    16920, 16932, 16960, 16965, 16968, 16977, 16980, 16992, 17025, 17028, 17408, 17410, 17413, 17416, 17418, 17425,
    17428, 17430, 17433, 17440, 17442, 17445, 17448, 17473, 17476, 17478, 17481, 17488, 17490, 17493, 17496, 17505,
    17508, 17536, 17538, 17541, 17544, 17553, 17556, 17568, 17665, 17668, 17670, 17673, 17680, 17682, 17685, 17688,
    17697, 17700, 17728, 17730, 17733, 17736, 17745, 17748, 17760, 17770, 17793, 17796, 17808, 17920, 17922, 17925,
    17928, 17937, 17940, 17952, 17985, 17988, 18000, 18048, 18085, 18433, 18436, 18441, 18448, 18450, 18453, 18456,
    18465, 18468, 18496, 18498, 18501, 18504, 18513, 18516, 18528, 18564, 18576, 18688, 18690, 18693, 18696, 18705,
    18708, 18720, 18753, 18756, 18768, 18816, 18838, 18945, 18948, 18960, 19008, 20480, 20482, 20485, 20488, 20497,
    20500, 20502, 20505, 20512, 20514, 20517, 20520, 20545, 20548, 20550, 20553, 20560, 20562, 20565, 20568, 20577,
    20580, 20608, 20610, 20613, 20616, 20625, 20628, 20737, 20740, 20742, 20745, 20752, 20754, 20757, 20760, 20769,
    20772, 20800, 20802, 20805, 20808, 20817, 20820, 20832, 20865, 20868, 20880, 20992, 20997, 21000, 21009, 21012,
    21024, 21057, 21060, 21072, 21097, 21120, 21505, 21508, 21510, 21513, 21520, 21522, 21525, 21528, 21537, 21540,
    21568, 21570, 21573, 21576, 21585, 21588, 21600, 21633, 21636, 21648, 21760, 21762, 21765, 21768, 21777, 21780,
    21792, 21825, 21828, 21840, 21888, 22017, 22020, 22032, 22054, 22080, 22528, 22530, 22533, 22536, 22545, 22548,
    22560, 22593, 22596, 22608, 22618, 22656, 22785, 22788, 22800, 22848, 23040, 23065, 23173, 23208, 24577, 24580,
    24582, 24592, 24594, 24597, 24600, 24609, 24612, 24640, 24645, 24648, 24657, 24660, 24672, 24708, 24720, 24832,
    24834, 24837, 24840, 24849, 24852, 24864, 24897, 24900, 24912, 24960, 24985, 25092, 25104, 25152, 25174, 25249,
    25600, 25605, 25608, 25617, 25620, 25632, 25665, 25668, 25680, 25728, 25857, 25860, 25872, 25920, 25930, 25960,
    26002, 26112, 26260, 26625, 26628, 26640, 26725, 26776, 26880, 26922, 27202, 27297, 32768, 32770, 32773, 32776,
    32785, 32788, 32793, 32800, 32805, 32833, 32836, 32848, 32850, 32853, 32856, 32865, 32896, 32901, 32913, 32916,
    33025, 33028, 33033, 33040, 33042, 33045, 33048, 33057, 33060, 33088, 33090, 33093, 33096, 33105, 33108, 33153,
    33156, 33168, 33193, 33280, 33285, 33290, 33297, 33300, 33345, 33348, 33360, 33793, 33796, 33798, 33801, 33808,
    33810, 33813, 33816, 33825, 33856, 33858, 33861, 33864, 33873, 33876, 33888, 33921, 33924, 33936, 34048, 34050,
    34053, 34056, 34065, 34068, 34080, 34113, 34116, 34128, 34176, 34186, 34305, 34308, 34320, 34345, 34368, 34816,
    34821, 34833, 34836, 34881, 34884, 34896, 34978, 35073, 35076, 35136, 35173, 35362, 35416, 35418, 35458, 35490,
    36865, 36868, 36873, 36880, 36882, 36885, 36888, 36900, 36928, 36930, 36933, 36936, 36945, 36948, 36960, 36993,
    36996, 37008, 37120, 37125, 37137, 37140, 37185, 37188, 37200, 37210, 37377, 37380, 37392, 37440, 37542, 37888,
    37890, 37893, 37896, 37905, 37908, 37920, 37953, 37956, 37968, 38016, 38038, 38145, 38148, 38160, 38208, 38296,
    38305, 38400, 38470, 38500, 38913, 38916, 38928, 38950, 38976, 39081, 39168, 39241, 39250, 39568, 40960, 40965,
    40970, 40980, 40994, 41002, 41025, 41028, 41040, 41122, 41130, 41280, 41317, 41474, 41482, 41506, 41512, 41514,
    41602, 41608, 41610, 41640, 41985, 41988, 42000, 42048, 42121, 42148, 42240, 42265, 42577, 43018, 43048, 43170,
    43348, 43398, 43528, 43530, 43552, 43554, 43560, 43656, 43690,
};
inline constexpr std::uint16_t iq1_points[2048] = {
    0, 2, 5, 8, 10, 17, 21, 32, 34, 40, 42, 69, 81, 84, 86, 101, 128, 130, 136, 138, 149, 160, 162, 168, 170, 260, 261,
    273, 276, 278, 281, 282, 293, 321, 326, 329, 338, 341, 346, 353, 356, 358, 360, 389, 401, 404, 406, 421, 512, 514,
    520, 522, 533, 544, 546, 552, 554, 581, 593, 601, 612, 617, 640, 642, 648, 650, 657, 661, 665, 672, 674, 680, 682,
    1041, 1044, 1046, 1061, 1089, 1097, 1109, 1114, 1124, 1125, 1169, 1177, 1189, 1281, 1284, 1285, 1286, 1301, 1304,
    1306, 1321, 1344, 1349, 1354, 1360, 1361, 1364, 1365, 1366, 1369, 1376, 1378, 1381, 1384, 1386, 1409, 1425, 1429,
    1432, 1434, 1441, 1444, 1445, 1446, 1449, 1556, 1561, 1601, 1604, 1616, 1618, 1621, 1624, 1632, 1633, 1638, 1641,
    1669, 1681, 1684, 1689, 2048, 2050, 2056, 2058, 2069, 2080, 2082, 2088, 2090, 2117, 2129, 2134, 2149, 2176, 2178,
    2184, 2186, 2197, 2208, 2210, 2216, 2218, 2309, 2321, 2324, 2329, 2340, 2341, 2369, 2384, 2385, 2389, 2401, 2404,
    2409, 2449, 2452, 2454, 2457, 2469, 2560, 2562, 2568, 2570, 2581, 2592, 2594, 2600, 2602, 2629, 2641, 2649, 2657,
    2661, 2688, 2690, 2693, 2696, 2698, 2709, 2720, 2722, 2728, 2730, 4112, 4113, 4116, 4121, 4132, 4133, 4161, 4164,
    4176, 4181, 4184, 4193, 4196, 4197, 4201, 4241, 4244, 4246, 4257, 4261, 4353, 4356, 4358, 4361, 4368, 4370, 4373,
    4376, 4385, 4388, 4393, 4421, 4426, 4432, 4433, 4434, 4436, 4437, 4438, 4441, 4448, 4453, 4484, 4498, 4501, 4513,
    4516, 4625, 4628, 4630, 4645, 4672, 4678, 4681, 4690, 4693, 4696, 4698, 4708, 4710, 4741, 4753, 4756, 4758, 4773,
    5121, 5126, 5129, 5140, 5141, 5144, 5145, 5153, 5158, 5185, 5189, 5190, 5192, 5194, 5201, 5204, 5205, 5206, 5209,
    5218, 5221, 5224, 5252, 5257, 5264, 5268, 5269, 5272, 5273, 5274, 5281, 5284, 5285, 5289, 5378, 5381, 5386, 5393,
    5396, 5397, 5398, 5401, 5408, 5410, 5413, 5416, 5418, 5441, 5444, 5445, 5446, 5457, 5458, 5460, 5461, 5462, 5465,
    5466, 5473, 5476, 5477, 5478, 5481, 5504, 5506, 5508, 5509, 5512, 5514, 5520, 5521, 5524, 5525, 5526, 5529, 5530,
    5536, 5538, 5541, 5633, 5636, 5637, 5638, 5653, 5654, 5656, 5658, 5665, 5670, 5696, 5698, 5700, 5701, 5704, 5706,
    5713, 5717, 5718, 5720, 5721, 5729, 5732, 5733, 5736, 5737, 5738, 5766, 5770, 5778, 5781, 5796, 5801, 6161, 6166,
    6181, 6209, 6212, 6214, 6217, 6224, 6229, 6232, 6234, 6240, 6241, 6244, 6246, 6249, 6277, 6289, 6292, 6309, 6416,
    6418, 6421, 6426, 6433, 6437, 6466, 6468, 6469, 6472, 6481, 6484, 6485, 6486, 6489, 6490, 6496, 6501, 6506, 6537,
    6545, 6546, 6549, 6552, 6561, 6566, 6569, 6665, 6678, 6692, 6694, 6724, 6726, 6729, 6736, 6738, 6741, 6744, 6753,
    6758, 6761, 6789, 6801, 6806, 6810, 8192, 8194, 8200, 8202, 8213, 8224, 8226, 8229, 8232, 8234, 8261, 8273, 8281,
    8289, 8293, 8320, 8322, 8328, 8330, 8341, 8352, 8354, 8357, 8360, 8362, 8453, 8465, 8468, 8473, 8485, 8514, 8516,
    8521, 8533, 8536, 8538, 8545, 8548, 8549, 8550, 8581, 8592, 8598, 8601, 8613, 8705, 8712, 8714, 8721, 8725, 8736,
    8738, 8744, 8746, 8773, 8785, 8790, 8793, 8805, 8833, 8840, 8842, 8849, 8853, 8864, 8866, 8872, 8874, 9221, 9236,
    9238, 9241, 9253, 9284, 9285, 9286, 9289, 9298, 9301, 9304, 9306, 9318, 9349, 9361, 9364, 9369, 9377, 9381, 9481,
    9493, 9505, 9513, 9536, 9541, 9544, 9553, 9556, 9557, 9561, 9570, 9573, 9576, 9609, 9616, 9620, 9621, 9624, 9626,
    9633, 9636, 9638, 9641, 9733, 9744, 9746, 9753, 9765, 9793, 9801, 9813, 9824, 9825, 9833, 9860, 9862, 9872, 9882,
    10240, 10242, 10248, 10250, 10261, 10272, 10274, 10280, 10282, 10309, 10321, 10324, 10341, 10368, 10370, 10376,
    10378, 10400, 10402, 10408, 10410, 10505, 10513, 10516, 10521, 10533, 10566, 10569, 10578, 10581, 10593, 10596,
    10598, 10601, 10629, 10640, 10646, 10649, 10660, 10661, 10752, 10754, 10760, 10762, 10784, 10786, 10792, 10794,
    10821, 10833, 10838, 10841, 10853, 10880, 10882, 10888, 10890, 10901, 10912, 10914, 10920, 10922, 16389, 16401,
    16406, 16421, 16457, 16466, 16469, 16472, 16474, 16481, 16484, 16486, 16532, 16537, 16545, 16550, 16640, 16641,
    16644, 16646, 16649, 16658, 16661, 16662, 16664, 16666, 16673, 16678, 16681, 16709, 16712, 16714, 16721, 16724,
    16725, 16726, 16729, 16730, 16741, 16744, 16746, 16769, 16772, 16774, 16784, 16786, 16789, 16800, 16801, 16802,
    16901, 16913, 16916, 16918, 16933, 16961, 16978, 16981, 16986, 16996, 17001, 17033, 17044, 17061, 17409, 17429,
    17433, 17449, 17477, 17480, 17482, 17489, 17492, 17493, 17494, 17505, 17506, 17509, 17512, 17514, 17537, 17542,
    17545, 17552, 17554, 17557, 17568, 17569, 17577, 17665, 17666, 17669, 17674, 17681, 17684, 17685, 17686, 17689,
    17696, 17701, 17706, 17729, 17732, 17733, 17734, 17737, 17744, 17745, 17748, 17749, 17750, 17752, 17753, 17761,
    17764, 17765, 17766, 17769, 17794, 17796, 17797, 17800, 17809, 17812, 17813, 17814, 17817, 17818, 17829, 17832,
    17834, 17921, 17925, 17929, 17940, 17941, 17944, 17946, 17953, 17956, 17961, 17984, 17986, 17989, 17992, 18000,
    18001, 18002, 18005, 18006, 18009, 18018, 18021, 18024, 18049, 18053, 18058, 18068, 18069, 18081, 18084, 18086,
    18437, 18449, 18453, 18458, 18469, 18498, 18505, 18512, 18517, 18520, 18529, 18532, 18534, 18537, 18565, 18577,
    18580, 18582, 18585, 18597, 18689, 18693, 18694, 18698, 18704, 18708, 18709, 18712, 18721, 18724, 18726, 18752,
    18757, 18762, 18769, 18770, 18772, 18773, 18774, 18777, 18784, 18786, 18789, 18790, 18794, 18822, 18825, 18834,
    18837, 18838, 18840, 18849, 18852, 18854, 18857, 18966, 19012, 19014, 19017, 19029, 19032, 19034, 19044, 19049,
    19092, 19109, 20481, 20484, 20485, 20486, 20489, 20498, 20501, 20506, 20513, 20516, 20521, 20544, 20549, 20552,
    20561, 20564, 20565, 20566, 20569, 20581, 20584, 20614, 20617, 20629, 20632, 20640, 20641, 20646, 20649, 20741,
    20744, 20745, 20746, 20753, 20756, 20757, 20758, 20760, 20761, 20768, 20773, 20774, 20776, 20778, 20801, 20804,
    20805, 20806, 20809, 20816, 20817, 20818, 20820, 20821, 20822, 20824, 20825, 20826, 20833, 20836, 20837, 20838,
    20841, 20866, 20869, 20881, 20884, 20885, 20886, 20889, 20896, 20901, 20906, 20993, 20998, 21010, 21013, 21018,
    21025, 21028, 21058, 21061, 21066, 21073, 21076, 21077, 21078, 21081, 21090, 21093, 21125, 21136, 21138, 21141,
    21145, 21146, 21156, 21508, 21509, 21521, 21524, 21525, 21526, 21528, 21529, 21537, 21541, 21544, 21546, 21569,
    21572, 21573, 21574, 21577, 21578, 21584, 21585, 21588, 21589, 21590, 21592, 21593, 21594, 21601, 21602, 21604,
    21605, 21606, 21609, 21632, 21640, 21642, 21649, 21652, 21653, 21654, 21657, 21665, 21668, 21669, 21674, 21761,
    21762, 21764, 21765, 21766, 21769, 21776, 21777, 21778, 21780, 21781, 21782, 21785, 21786, 21793, 21796, 21797,
    21798, 21801, 21824, 21825, 21826, 21828, 21829, 21830, 21832, 21833, 21840, 21841, 21842, 21844, 21845, 21846,
    21848, 21849, 21850, 21856, 21857, 21860, 21861, 21862, 21864, 21865, 21866, 21889, 21892, 21893, 21897, 21898,
    21904, 21905, 21908, 21909, 21910, 21912, 21913, 21921, 21924, 21925, 21926, 21929, 22016, 22017, 22018, 22020,
    22022, 22024, 22025, 22033, 22036, 22037, 22040, 22041, 22048, 22049, 22050, 22052, 22053, 22054, 22056, 22057,
    22081, 22085, 22086, 22088, 22089, 22090, 22096, 22097, 22098, 22100, 22101, 22102, 22104, 22105, 22106, 22113,
    22116, 22117, 22121, 22146, 22149, 22150, 22152, 22153, 22154, 22161, 22165, 22170, 22178, 22181, 22182, 22184,
    22185, 22532, 22533, 22534, 22537, 22544, 22549, 22552, 22561, 22570, 22597, 22600, 22602, 22609, 22612, 22613,
    22614, 22616, 22617, 22624, 22626, 22628, 22629, 22658, 22665, 22672, 22674, 22677, 22680, 22689, 22697, 22785,
    22786, 22789, 22794, 22801, 22804, 22805, 22806, 22809, 22821, 22849, 22852, 22853, 22854, 22857, 22864, 22865,
    22866, 22868, 22869, 22870, 22872, 22873, 22874, 22881, 22884, 22885, 22886, 22889, 22913, 22917, 22921, 22929,
    22932, 22933, 22934, 22936, 22937, 22949, 23044, 23048, 23061, 23066, 23072, 23077, 23078, 23081, 23109, 23112,
    23113, 23121, 23125, 23126, 23128, 23129, 23138, 23141, 23144, 23146, 23169, 23178, 23186, 23189, 23190, 23192,
    23194, 23201, 24581, 24596, 24598, 24601, 24613, 24644, 24656, 24661, 24662, 24664, 24666, 24673, 24676, 24678,
    24681, 24705, 24726, 24741, 24833, 24836, 24838, 24841, 24850, 24853, 24865, 24866, 24870, 24873, 24901, 24905,
    24913, 24917, 24918, 24921, 24933, 24934, 24938, 24964, 24970, 24978, 24981, 24993, 24998, 25001, 25105, 25110,
    25113, 25152, 25153, 25158, 25173, 25174, 25176, 25184, 25221, 25233, 25238, 25253, 25617, 25618, 25621, 25622,
    25626, 25633, 25638, 25641, 25664, 25666, 25669, 25672, 25674, 25681, 25684, 25685, 25686, 25689, 25690, 25696,
    25698, 25701, 25732, 25733, 25737, 25744, 25746, 25748, 25749, 25750, 25752, 25754, 25761, 25764, 25769, 25861,
    25864, 25866, 25873, 25877, 25878, 25881, 25924, 25925, 25926, 25929, 25936, 25937, 25940, 25941, 25942, 25945,
    25953, 25956, 25957, 25958, 25961, 25990, 25993, 25994, 26001, 26005, 26006, 26009, 26010, 26018, 26021, 26022,
    26024, 26114, 26121, 26133, 26144, 26150, 26152, 26153, 26176, 26181, 26184, 26186, 26193, 26196, 26197, 26198,
    26200, 26202, 26208, 26213, 26216, 26240, 26242, 26245, 26250, 26260, 26262, 26264, 26265, 26272, 26276, 26278,
    26282, 26646, 26649, 26661, 26689, 26706, 26709, 26714, 26721, 26729, 26757, 26769, 26776, 26790, 26881, 26884,
    26896, 26901, 26913, 26916, 26918, 26921, 26944, 26945, 26949, 26950, 26952, 26961, 26964, 26965, 26966, 26969,
    26976, 26981, 26986, 27010, 27012, 27018, 27029, 27041, 27044, 27045, 27049, 27153, 27158, 27160, 27201, 27204,
    27209, 27216, 27221, 27224, 27226, 27236, 27237, 27241, 27270, 27284, 27288, 27290, 27302, 32768, 32770, 32776,
    32778, 32800, 32802, 32808, 32810, 32837, 32848, 32849, 32852, 32854, 32857, 32869, 32896, 32898, 32904, 32906,
    32917, 32928, 32930, 32936, 32938, 33029, 33041, 33044, 33046, 33049, 33061, 33089, 33092, 33097, 33104, 33106,
    33109, 33110, 33112, 33113, 33124, 33126, 33129, 33157, 33161, 33172, 33174, 33177, 33189, 33280, 33282, 33288,
    33290, 33301, 33312, 33314, 33320, 33322, 33361, 33364, 33369, 33381, 33408, 33410, 33416, 33418, 33429, 33440,
    33442, 33448, 33450, 33812, 33817, 33857, 33860, 33873, 33877, 33882, 33889, 33892, 33897, 33940, 33945, 34049,
    34057, 34066, 34069, 34074, 34086, 34089, 34112, 34113, 34117, 34120, 34129, 34132, 34133, 34134, 34137, 34138,
    34149, 34150, 34152, 34154, 34177, 34180, 34182, 34185, 34192, 34194, 34197, 34200, 34214, 34321, 34326, 34329,
    34341, 34369, 34372, 34377, 34378, 34384, 34389, 34393, 34394, 34401, 34406, 34410, 34437, 34449, 34458, 34468,
    34816, 34818, 34824, 34826, 34837, 34848, 34850, 34856, 34858, 34881, 34885, 34897, 34900, 34905, 34917, 34921,
    34944, 34946, 34952, 34954, 34965, 34976, 34978, 34984, 34986, 35077, 35078, 35089, 35092, 35094, 35109, 35137,
    35140, 35142, 35145, 35152, 35154, 35157, 35162, 35169, 35172, 35205, 35222, 35225, 35237, 35328, 35330, 35336,
    35338, 35349, 35360, 35362, 35368, 35370, 35397, 35409, 35412, 35414, 35456, 35458, 35464, 35466, 35477, 35488,
    35490, 35496, 35498, 36869, 36881, 36886, 36888, 36889, 36901, 36929, 36934, 36937, 36949, 36952, 36954, 36969,
    36970, 36997, 37009, 37012, 37014, 37017, 37029, 37121, 37124, 37126, 37129, 37136, 37141, 37144, 37146, 37153,
    37156, 37158, 37161, 37184, 37189, 37200, 37201, 37204, 37205, 37206, 37209, 37218, 37221, 37252, 37254, 37266,
    37269, 37272, 37281, 37284, 37286, 37289, 37381, 37393, 37396, 37401, 37413, 37444, 37446, 37449, 37456, 37458,
    37461, 37464, 37478, 37481, 37509, 37524, 37526, 37545, 37889, 37892, 37894, 37904, 37909, 37912, 37926, 37952,
    37962, 37969, 37972, 37973, 37974, 37976, 37977, 37984, 37985, 37986, 37989, 38020, 38022, 38034, 38036, 38037,
    38040, 38049, 38057, 38144, 38149, 38152, 38154, 38160, 38161, 38164, 38165, 38166, 38169, 38177, 38181, 38185,
    38186, 38209, 38212, 38213, 38214, 38217, 38224, 38225, 38226, 38228, 38229, 38230, 38232, 38233, 38234, 38241,
    38244, 38245, 38246, 38249, 38273, 38277, 38280, 38289, 38290, 38292, 38293, 38294, 38297, 38298, 38304, 38306,
    38309, 38312, 38314, 38401, 38404, 38416, 38421, 38425, 38432, 38438, 38441, 38469, 38472, 38473, 38481, 38482,
    38485, 38486, 38489, 38501, 38504, 38530, 38532, 38537, 38538, 38546, 38548, 38549, 38564, 38566, 38569, 38917,
    38934, 38937, 38949, 38977, 38982, 38992, 38994, 38997, 38998, 39002, 39012, 39013, 39045, 39057, 39062, 39065,
    39077, 39172, 39174, 39177, 39184, 39186, 39189, 39192, 39194, 39200, 39201, 39204, 39206, 39232, 39234, 39237,
    39240, 39242, 39249, 39252, 39253, 39254, 39257, 39266, 39269, 39270, 39274, 39297, 39300, 39312, 39314, 39317,
    39322, 39329, 39334, 39429, 39445, 39461, 39492, 39494, 39497, 39504, 39509, 39512, 39521, 39557, 39569, 39572,
    39573, 39574, 40960, 40962, 40968, 40970, 40981, 40992, 40994, 41000, 41002, 41029, 41041, 41044, 41046, 41049,
    41088, 41090, 41096, 41098, 41109, 41120, 41122, 41128, 41130, 41221, 41225, 41233, 41236, 41238, 41241, 41242,
    41286, 41289, 41297, 41301, 41304, 41306, 41313, 41316, 41349, 41360, 41362, 41366, 41369, 41474, 41480, 41482,
    41488, 41497, 41506, 41512, 41514, 41541, 41553, 41558, 41561, 41573, 41600, 41602, 41608, 41610, 41621, 41632,
    41634, 41640, 41642, 42009, 42021, 42049, 42052, 42064, 42068, 42069, 42072, 42074, 42081, 42085, 42086, 42088,
    42089, 42117, 42246, 42249, 42256, 42258, 42261, 42264, 42278, 42281, 42306, 42309, 42321, 42324, 42325, 42326,
    42329, 42341, 42346, 42369, 42372, 42373, 42374, 42377, 42386, 42389, 42392, 42501, 42513, 42518, 42522, 42529,
    42533, 42564, 42566, 42570, 42578, 42581, 42582, 42584, 42592, 42594, 42630, 42640, 42645, 42646, 42649, 42657,
    42660, 42662, 43008, 43010, 43016, 43018, 43040, 43042, 43048, 43050, 43089, 43092, 43094, 43097, 43136, 43138,
    43144, 43146, 43157, 43168, 43170, 43176, 43178, 43269, 43284, 43289, 43297, 43301, 43329, 43344, 43349, 43354,
    43361, 43366, 43369, 43408, 43414, 43520, 43522, 43528, 43530, 43552, 43554, 43560, 43562, 43601, 43604, 43606,
    43648, 43650, 43656, 43658, 43669, 43680, 43682, 43688, 43690,
};
// clang-format on

}  // namespace nbit

#endif
// END nbit/format/ggml_grids.hpp
// BEGIN nbit/format/ggml_iq1.hpp
// nbit/format/ggml_iq1.hpp — IQ1_S and IQ1_M: 8 weights name one of 2048 points of -1, 0, 1, shifted up or down by 1/8.
//
//   IQ1_S  f16 d | 32 bytes: points | 8 x u16: 4 x 3 upper bits, 3-bit scale, shift                   50 bytes
//   IQ1_M  32 bytes: points | 16 bytes: 2 x (3 upper bits, shift) | 4 x u16: 4 x 3-bit scale, a nibble of f16 d
//                                                                                                     56 bytes
//   w = d (2 s + 1) (point + 1/8), or - 1/8 where the shift bit is set
// IQ1_S has a scale and a shift for 32 weights: both are parameters. IQ1_M has a scale for 16 and a shift for 8
// weights: the shift is the twelfth bit of a code. The reference encodes IQ1_S with importance only; without, this uses
// an importance of one everywhere. Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_IQ1_HPP
#define NBIT_FORMAT_GGML_IQ1_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/format/ggml_iq1_search.hpp
// nbit/format/ggml_iq1_search.hpp — the encoders of IQ1_S and IQ1_M: exact cuts into three levels, then lattice points.
//
// The weights of a run are sorted; every way to cut them into levels -1, 0, 1 is tried with the grid shifted up and
// down by 1/8, and the cut whose least-squares scale explains most is kept. Only then do 8 weights at a time move to
// the nearest point of the lattice. Sums run in the reference's order; equal weights keep theirs.
// Ref: ggml (MIT), the quantizers of its IQ1 formats; reference bytes in tests/golden.
#ifndef NBIT_FORMAT_GGML_IQ1_SEARCH_HPP
#define NBIT_FORMAT_GGML_IQ1_SEARCH_HPP

#include <cstdint>

// BEGIN nbit/format/ggml_lattice.hpp
// nbit/format/ggml_lattice.hpp — the lattices of ggml's IQ formats: what points mean, and the nearest one to some
// weights.
//
// Products of a step and a level have at most 22 significant bits: exact in float, with and without fused multiply-add.
// Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_LATTICE_HPP
#define NBIT_FORMAT_GGML_LATTICE_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/format/ggml_search.hpp
// nbit/format/ggml_search.hpp — how ggml's encoders look for a scale: four searches shared by its formats.
//
// Each search tries a fixed list of inverse scales, rounds a run of weights with each and keeps the one with the
// smallest weighted error. Here four candidates go side by side, one in each vector lane, while every sum still runs
// over the weights in order: the bytes agree with the reference's although the arithmetic is vectorised.
// Ref: ggml (MIT), the quantizers of its block formats; reference bytes in tests/golden.
#ifndef NBIT_FORMAT_GGML_SEARCH_HPP
#define NBIT_FORMAT_GGML_SEARCH_HPP

#include <cstdint>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// Runs whose largest magnitude is below this are encoded as zero.
inline constexpr float negligible = 1e-15f;

/// A grid scale * code - lowered, codes from 0: `lowered` is how far the grid starts below zero, never negative.
struct lowered_grid {
  float scale, lowered;
};

NBIT_INLINE int held(int v, int low, int high) {
  const int above = v > low ? v : low;
  return above < high ? above : high;
}

/// The level nearest to v, held in [low, high]. Rounds before it clamps, so that a v beyond 2^22 and the NaN of an
/// overflowed inverse scale give the same level as in the reference.
NBIT_INLINE int level_of(float v, int low, int high) { return held(round_even(v), low, high); }

/// Four candidates side by side. No wider vectors: a candidate that wins makes the lanes behind it start again.
using four_floats = float __attribute__((vector_size(16)));
using four_ints = std::int32_t __attribute__((vector_size(16)));

/// level_of for four lanes.
NBIT_INLINE four_floats level_of(four_floats v, int low, int high) {
  const four_ints lows = four_ints{} + low, highs = four_ints{} + high;
  const four_ints l = ((four_ints)(v + 12582912.0f) & 0x7fffff) - 0x400000;
  const four_ints above = l > lows ? l : lows, level = above < highs ? above : highs;
  return __builtin_convertvector(level, four_floats);
}

/// Grid -Half .. Half-1 times a scale of either sign: the plain scale and 18 near it, each refined by least squares.
/// weight == nullptr weighs by x^2. Codes are level + Half, or all 0 for a negligible run. Returns the scale.
template <int N, int Half>
float signed_search(const float* x, const float* weight, std::uint8_t* codes) {
  NBIT_EXACT
  constexpr int candidates = 19, lanes = 20;
  const float largest = largest_signed<N>(x);
  if (nbit::abs(largest) < negligible) {
    for (int i = 0; i < N; ++i) codes[i] = 0;
    return 0.0f;
  }
  float inverse[lanes], sum_wxl[lanes], sum_wll[lanes];
  for (int s = 0; s < lanes; ++s) {
    const int k = s == 0 ? 0 : (s < 10 ? s - 10 : s - 9);  // 0, then -9 .. -1, 1 .. 9
    inverse[s] = -(static_cast<float>(Half) + 0.1f * static_cast<float>(k)) / largest;
  }
  for (int s = 0; s < lanes; s += 4) {
    four_floats four, wxl = {}, wll = {};
    __builtin_memcpy(&four, inverse + s, sizeof four);
    for (int i = 0; i < N; ++i) {
      const float xi = x[i], w = weight != nullptr ? weight[i] : xi * xi;
      const four_floats l = level_of(four * xi, -Half, Half - 1);
      wxl += w * xi * l;
      wll += w * l * l;
    }
    __builtin_memcpy(sum_wxl + s, &wxl, sizeof wxl);
    __builtin_memcpy(sum_wll + s, &wll, sizeof wll);
  }
  int chosen = 0;
  float scale = sum_wll[0] != 0.0f ? sum_wxl[0] / sum_wll[0] : 0.0f, best = scale * sum_wxl[0];
  for (int s = 1; s < candidates; ++s) {
    if (sum_wll[s] > 0.0f && sum_wxl[s] * sum_wxl[s] > best * sum_wll[s]) {
      chosen = s, scale = sum_wxl[s] / sum_wll[s], best = scale * sum_wxl[s];
    }
  }
  for (int i = 0; i < N; ++i)
    codes[i] = static_cast<std::uint8_t>(Half + level_of(inverse[chosen] * x[i], -Half, Half - 1));
  return scale;
}

/// Grid -Half .. Half-1 times a scale: start from the plain scale, then up to 5 rounds of moving one code at a time
/// while the least-squares fit of all others improves. Weighs by x^2. Codes are level + Half, or all 0 for a
/// negligible run.
template <int N, int Half>
float signed_descent(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  const float largest = largest_signed<N>(x);
  if (nbit::abs(largest) < negligible) {
    for (int i = 0; i < N; ++i) codes[i] = 0;
    return 0.0f;
  }
  const float inverse = static_cast<float>(-Half) / largest;
  int level[N];
  float sum_wxl = 0.0f, sum_wll = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float w = x[i] * x[i];
    level[i] = level_of(inverse * x[i], -Half, Half - 1);
    const float l = static_cast<float>(level[i]);
    sum_wxl += w * x[i] * l;
    sum_wll += w * l * l;
  }
  for (int round = 0; round < 5; ++round) {
    bool moved = false;
    for (int i = 0; i < N; ++i) {
      const float w = x[i] * x[i], l = static_cast<float>(level[i]);
      float rest_wxl = sum_wxl - w * x[i] * l;
      if (!(rest_wxl > 0.0f)) continue;
      float rest_wll = sum_wll - w * l * l;
      const int other = level_of(x[i] * rest_wll / rest_wxl, -Half, Half - 1);
      if (other == level[i]) continue;
      const float o = static_cast<float>(other);
      rest_wxl += w * x[i] * o;
      rest_wll += w * o * o;
      if (rest_wll > 0.0f && rest_wxl * rest_wxl * sum_wll > sum_wxl * sum_wxl * rest_wll) {
        level[i] = other, sum_wxl = rest_wxl, sum_wll = rest_wll;
        moved = true;
      }
    }
    if (!moved) break;
  }
  for (int i = 0; i < N; ++i) codes[i] = static_cast<std::uint8_t>(level[i] + Half);
  return sum_wll > 0.0f ? sum_wxl / sum_wll : 0.0f;
}

/// Four candidate inverse scales and what the weighted 2 x 2 least squares for (scale, start) says of each.
struct lowered_candidates {
  four_floats inverse, det, scale, start, error;
};

/// Rounds N weights above `low` with each inverse scale and fits (scale, start <= 0) to the codes.
template <int N, int High, bool Absolute>
void fit_lowered(const float* x, const float* weight, float low, float sum_w, float sum_wx, lowered_candidates& c) {
  NBIT_EXACT
  const four_floats inverse = c.inverse, zero = {};
  four_floats wl = {}, wll = {}, wlx = {}, error = {}, level[N];
  for (int i = 0; i < N; ++i) {
    const four_floats l = level_of(inverse * (x[i] - low), 0, High), weighed = weight[i] * l;
    level[i] = l;
    wl += weighed;
    wll += weighed * l;
    wlx += weighed * x[i];
  }
  const four_floats det = sum_w * wll - wl * wl;
  const four_floats free_scale = (sum_w * wlx - sum_wx * wl) / det, free_start = (wll * sum_wx - wl * wlx) / det;
  const four_floats scale = free_start > zero ? wlx / wll : free_scale, start = free_start > zero ? zero : free_start;
  for (int i = 0; i < N; ++i) {
    const four_floats diff = scale * level[i] + start - x[i];
    error += weight[i] * (Absolute ? (diff < zero ? -diff : diff) : diff * diff);
  }
  c.det = det, c.scale = scale, c.start = start, c.error = error;
}

/// Grid scale * code - lowered with codes 0 .. High: the full range first, then Steps inverse scales
/// (first + stride * s + High) / range, each refined by least squares with the grid's start held at or below 0.
/// A better candidate also moves the start of the range that later candidates use, so lanes behind it are redone.
/// Absolute: candidates are compared by weighted absolute error, else by weighted squared error.
template <int N, int High, int Steps, bool Absolute>
lowered_grid lowered_search(const float* x, const float* weight, std::uint8_t* codes, float first, float stride) {
  NBIT_EXACT
  constexpr int lanes = 4;
  constexpr float high = static_cast<float>(High);
  float low = x[0], top = x[0], sum_w = weight[0], sum_wx = sum_w * x[0];
  for (int i = 1; i < N; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > top) top = x[i];
    sum_w += weight[i];
    sum_wx += weight[i] * x[i];
  }
  if (low > 0.0f) low = 0.0f;
  if (top <= low) {
    for (int i = 0; i < N; ++i) codes[i] = 0;
    return {0.0f, -low};
  }
  const float full = high / (top - low);
  float chosen = full, chosen_low = low, scale = 1.0f / full, best = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float diff = scale * static_cast<float>(level_of(chosen * (x[i] - low), 0, High)) + low - x[i];
    best += weight[i] * (Absolute ? nbit::abs(diff) : diff * diff);
  }
  lowered_candidates c;
  for (int done = 0; done < Steps;) {
    for (int s = 0; s < lanes; ++s) c.inverse[s] = (first + stride * static_cast<float>(done + s) + high) / (top - low);
    fit_lowered<N, High, Absolute>(x, weight, low, sum_w, sum_wx, c);
    int s = 0;
    for (bool same_range = true; same_range && s < lanes && done + s < Steps; ++s) {
      if (!(c.det[s] > 0.0f && c.error[s] < best)) continue;
      chosen = c.inverse[s], chosen_low = low, scale = c.scale[s], best = c.error[s];
      same_range = c.start[s] == low;
      low = c.start[s];
    }
    done += s;
  }
  for (int i = 0; i < N; ++i) codes[i] = static_cast<std::uint8_t>(level_of(chosen * (x[i] - chosen_low), 0, High));
  return {scale, -low};
}

/// Grid scale * code with codes 0 .. High for values that are not negative (scales of scales): the best of 9 inverse
/// scales by squared error, then up to 5 rounds of moving one code at a time. Returns the least-squares scale.
template <int N, int High>
float positive_search(const float* x, const float* weight, std::uint8_t* codes) {
  NBIT_EXACT
  constexpr float high = static_cast<float>(High);
  float top = 0.0f;
  for (int i = 0; i < N; ++i) top = x[i] > top ? x[i] : top;
  if (top < negligible) {
    for (int i = 0; i < N; ++i) codes[i] = 0;
    return 0.0f;
  }
  float inverse = high / top, scale = 1.0f / inverse, best = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float diff = x[i] - scale * static_cast<float>(static_cast<std::uint8_t>(round_even(inverse * x[i])));
    best += weight[i] * diff * diff;
  }
  for (int k = -4; k <= 4; ++k) {
    if (k == 0) continue;
    const float trial = (0.1f * static_cast<float>(k) + high) / top;
    const float trial_scale = 1.0f / trial;
    float error = 0.0f;
    for (int i = 0; i < N; ++i) {
      const int l = round_even(trial * x[i]);
      const float diff = x[i] - trial_scale * static_cast<float>(l < High ? l : High);
      error += weight[i] * diff * diff;
    }
    if (error < best) best = error, inverse = trial;
  }
  float sum_wxl = 0.0f, sum_wll = 0.0f;
  for (int i = 0; i < N; ++i) {
    const int l = round_even(inverse * x[i]), code = l < High ? l : High;
    codes[i] = static_cast<std::uint8_t>(code);
    sum_wxl += weight[i] * x[i] * static_cast<float>(code);
    sum_wll += weight[i] * static_cast<float>(code) * static_cast<float>(code);
  }
  for (int round = 0; round < 5; ++round) {
    bool moved = false;
    for (int i = 0; i < N; ++i) {
      const float w = weight[i], l = static_cast<float>(codes[i]);
      float rest_wxl = sum_wxl - w * x[i] * l, rest_wll = sum_wll - w * l * l;
      if (!(rest_wxl > 0.0f && rest_wll > 0.0f)) continue;
      const int rounded = round_even(x[i] * rest_wll / rest_wxl), other = rounded < High ? rounded : High;
      if (other == codes[i]) continue;
      const float o = static_cast<float>(other);
      rest_wxl += w * x[i] * o;
      rest_wll += w * o * o;
      if (rest_wxl * rest_wxl * sum_wll > sum_wxl * sum_wxl * rest_wll) {
        codes[i] = static_cast<std::uint8_t>(other), sum_wxl = rest_wxl, sum_wll = rest_wll;
        moved = true;
      }
    }
    if (!moved) break;
  }
  return sum_wll > 0.0f ? sum_wxl / sum_wll : 0.0f;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_search.hpp

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// What IQ formats store for 256 weights besides the codes: f16 d and 4 bits for each of Runs runs.
template <int Runs>
struct iq_params {
  f16 d;
  std::uint8_t packed[Runs / 2];  // even runs in the low nibbles

  /// The 4 bits of run s.  Needs: 0 <= s < Runs.
  NBIT_INLINE constexpr int nibble(int s) const { return packed[s >> 1] >> (4 * (s & 1)) & 15; }
};

/// A lattice of ggml: points, coordinates of a point (dims), levels and bits of a coordinate, and how many shells of
/// neighbours its encoder considers. worth: what a level means before it is scaled.
template <int Points, int Dims, int Levels, int Bits, int Shells, const std::uint16_t (&Keys)[Points]>
struct iq_grid {
  static constexpr int points = Points, dims = Dims, levels = Levels, bits = Bits, shells = Shells;
  static constexpr const std::uint16_t* keys = Keys;
};
struct iq2_xxs_grid : iq_grid<256, 8, 3, 2, 2, iq2_xxs_points> {
  static constexpr std::int8_t worth[] = {8, 25, 43};
};
struct iq2_xs_grid : iq_grid<512, 8, 3, 2, 2, iq2_xs_points> {
  static constexpr std::int8_t worth[] = {8, 25, 43};
};
struct iq2_s_grid : iq_grid<1024, 8, 3, 2, 1, iq2_s_points> {
  static constexpr std::int8_t worth[] = {8, 25, 43};
};
struct iq3_xxs_grid : iq_grid<256, 4, 8, 3, 2, iq3_xxs_points> {
  static constexpr std::int8_t worth[] = {4, 12, 20, 28, 36, 44, 52, 62};
};
struct iq3_s_grid : iq_grid<512, 4, 8, 3, 3, iq3_s_points> {
  static constexpr std::int8_t worth[] = {1, 3, 5, 7, 9, 11, 13, 15};
};
struct iq1_grid : iq_grid<2048, 8, 3, 2, 3, iq1_points> {
  static constexpr std::int8_t worth[] = {-1, 0, 1};
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// What the coordinates of each point mean, expanded from the list of indices.
template <class Grid>
struct lattice_values {
  struct table {
    std::int8_t of[Grid::points][Grid::dims];
  };
  static constexpr table make() {
    table t{};
    for (int j = 0; j < Grid::points; ++j)
      for (int i = 0; i < Grid::dims; ++i)
        t.of[j][i] = Grid::worth[Grid::keys[j] >> (Grid::bits * i) & ((1 << Grid::bits) - 1)];
    return t;
  }
  static constexpr table plane = make();
};

/// Writes step * coordinate of one point; bit i of signs makes weight i negative.  Needs: index < Grid::points.
template <class Grid>
NBIT_INLINE void point_values(unsigned index, unsigned signs, float step, float* out) {
  const std::int8_t* level = lattice_values<Grid>::plane.of[index];
  for (int i = 0; i < Grid::dims; i += 4) {
    const four_ints four = {level[i], level[i + 1], level[i + 2], level[i + 3]};
    const four_ints bit = four_ints{1, 2, 4, 8} << i, minus = (bit & static_cast<int>(signs)) == bit;
    const four_floats v = step * __builtin_convertvector(four, four_floats);
    const four_ints signed_bits = (four_ints)v ^ (minus & (-2147483647 - 1));
    __builtin_memcpy(out + i, &signed_bits, sizeof signed_bits);
  }
}

/// The point nearest to magnitudes x by plain squared error, and the nearest when one weight must change its sign.
struct nearest_points {
  int plain, flipped, flipped_weight;
  float plain_error, flipped_error;
};
template <class Grid, bool Flips>
nearest_points nearest_lattice_points(const float* x, float step) {
  NBIT_EXACT
  constexpr unsigned mask = (1u << Grid::bits) - 1u;
  float cost[Grid::dims][Grid::levels], extra[Grid::dims][Grid::levels];
  for (int i = 0; i < Grid::dims; ++i)
    for (int l = 0; l < Grid::levels; ++l) {
      const float v = step * static_cast<float>(Grid::worth[l]);
      cost[i][l] = (x[i] - v) * (x[i] - v);
      extra[i][l] = 4.0f * x[i] * v;
    }
  nearest_points found{0, 0, 0, __builtin_inff(), __builtin_inff()};
  for (int j = 0; j < Grid::points; ++j) {
    const unsigned key = Grid::keys[j];
    float error = cost[0][key & mask];
    for (int i = 1; i < Grid::dims; ++i) error += cost[i][key >> (Grid::bits * i) & mask];
    if (error < found.plain_error) found.plain_error = error, found.plain = j;
    if constexpr (Flips) {
      if (!(error < found.flipped_error)) continue;  // a flip only adds
      int weight = 0;
      float least = extra[0][key & mask];
      for (int i = 1; i < Grid::dims; ++i) {
        const float more = extra[i][key >> (Grid::bits * i) & mask];
        if (more < least) least = more, weight = i;
      }
      if (error + least < found.flipped_error)
        found.flipped_error = error + least, found.flipped = j, found.flipped_weight = weight;
    }
  }
  return found;
}

/// Magnitudes and signs of N weights relative to a step of either sign.
template <int N>
unsigned solver_signs(const float* w, float step, float* magnitude) {
  unsigned signs = 0;
  for (int i = 0; i < N; ++i) {
    magnitude[i] = nbit::abs(w[i]);
    signs |= ((w[i] < 0.0f) != (step < 0.0f) ? 1u : 0u) << i;
  }
  return signs;
}

/// The stored 7 signs and the eighth that follows: the count of minus signs is even.
NBIT_INLINE unsigned even_signs(unsigned seven) {
  return seven | static_cast<unsigned>(__builtin_popcount(seven) & 1) << 7;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_lattice.hpp
// BEGIN nbit/format/ggml_shells.hpp
// nbit/format/ggml_shells.hpp — neighbours of a place off a lattice, by squared distance, and the best of them.
//
// Where the rounded levels of a few weights are no point of the lattice, ggml's encoders let the points in the nearest
// shells of squared distance compete by weighted error. The reference keeps tables of all those neighbours; here they
// are found when asked for. Keys are cut in two: a row of bits for each upper half says which lower halves make a
// point, and rings of bits around the lower half pick those at a distance.
// Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_SHELLS_HPP
#define NBIT_FORMAT_GGML_SHELLS_HPP

#include <cstdint>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// Halves of keys of Dims coordinates, and how far they are from each other.
template <int Dims>
struct half_rings {
  static constexpr int dims = Dims / 2, bits = Dims == 4 ? 3 : 2, levels = Dims == 4 ? 8 : 3, key_bits = dims * bits;
  static constexpr int halves = Dims == 4 ? 64 : 81, words = (halves + 63) / 64;
  static constexpr int reach = Dims == 4 ? 40 : 17;  // no shell that matters is as far; ggml_shells_test looks
  struct table {
    std::uint8_t key[halves], place[1 << key_bits];  // dense number of a half to its key, and back
    std::uint64_t ring[halves][reach][words];        // the halves at a distance
    std::uint8_t neighbour[halves][halves], at[halves][halves], count[halves];  // by rising distance
  };
  static constexpr table make() {
    table t{};
    for (int k = 0, n = 0; k < 1 << key_bits; ++k) {
      bool real = true;
      for (int i = 0; i < dims; ++i) real = real && (k >> (bits * i) & ((1 << bits) - 1)) < levels;
      if (real) t.key[n] = static_cast<std::uint8_t>(k), t.place[k] = static_cast<std::uint8_t>(n++);
    }
    for (int a = 0; a < halves; ++a) {
      int start[reach + 1] = {}, distance[halves] = {};
      for (int b = 0; b < halves; ++b) {
        for (int i = 0; i < dims; ++i) {
          const int mask = (1 << bits) - 1;
          const int diff = (t.key[a] >> (bits * i) & mask) - (t.key[b] >> (bits * i) & mask);
          distance[b] += diff * diff;
        }
        if (distance[b] >= reach) continue;
        t.ring[a][distance[b]][b / 64] |= std::uint64_t{1} << (b % 64);
        ++start[distance[b] + 1], ++t.count[a];
      }
      for (int d = 1; d <= reach; ++d) start[d] += start[d - 1];
      for (int b = 0; b < halves; ++b) {
        if (distance[b] >= reach) continue;
        const int to = start[distance[b]]++;
        t.neighbour[a][to] = static_cast<std::uint8_t>(b), t.at[a][to] = static_cast<std::uint8_t>(distance[b]);
      }
    }
    return t;
  }
  static constexpr table rings = make();
};

/// The points of Grid as rows of bits: bit l of row h says that the key with upper half h and lower half l is a point.
template <class Grid>
struct lattice_rows {
  using halves = half_rings<Grid::dims>;
  struct table {
    std::uint64_t member[halves::halves][halves::words];
    std::uint16_t first[halves::halves];  // index of the row's first point
  };
  static constexpr table make() {
    table t{};
    int row = -1;
    for (int j = 0; j < Grid::points; ++j) {
      const int low = halves::rings.place[Grid::keys[j] & ((1 << halves::key_bits) - 1)];
      const int high = halves::rings.place[Grid::keys[j] >> halves::key_bits];
      if (high != row) row = high, t.first[row] = static_cast<std::uint16_t>(j);
      t.member[row][low / 64] |= std::uint64_t{1} << (low % 64);
    }
    return t;
  }
  static constexpr table rows = make();

  /// The index of a point.  Needs: key is one.
  static int index_of(unsigned key) {
    const int low = halves::rings.place[key & ((1u << halves::key_bits) - 1u)];
    const int high = halves::rings.place[key >> halves::key_bits];
    int before = rows.first[high];
    for (int w = 0; w < low / 64; ++w) before += __builtin_popcountll(rows.member[high][w]);
    return before + __builtin_popcountll(rows.member[high][low / 64] & ((std::uint64_t{1} << (low % 64)) - 1));
  }
};

/// Points that compete for one place: distance << 16 | key, the nearest first; none if the place is a point itself.
template <class Grid>
struct lattice_shells {
  int count;
  std::int32_t rank[Grid::points];
};

/// Finds the points in the nearest Grid::shells shells of distance around a place, or none if it is a point.
template <class Grid>
void find_shells(unsigned key, lattice_shells<Grid>& found) {
  using halves = half_rings<Grid::dims>;
  constexpr auto& rings = halves::rings;
  constexpr auto& rows = lattice_rows<Grid>::rows;
  const int low = rings.place[key & ((1u << halves::key_bits) - 1u)], high = rings.place[key >> halves::key_bits];
  found.count = 0;
  if ((rows.member[high][low / 64] >> (low % 64) & 1u) != 0) return;
  int count = 0;
  for (int d = 1, shells = 0; d < halves::reach && shells < Grid::shells; ++d) {
    const int before = count;
    for (int n = 0; n < rings.count[high] && rings.at[high][n] <= d; ++n) {
      const int row = rings.neighbour[high][n];
      const std::uint64_t* ring = rings.ring[low][d - rings.at[high][n]];
      for (int w = 0; w < halves::words; ++w)
        for (std::uint64_t bits = rows.member[row][w] & ring[w]; bits != 0; bits &= bits - 1)
          found.rank[count++] =
              d << 16 | rings.key[row] << halves::key_bits | rings.key[64 * w + __builtin_ctzll(bits)];
    }
    shells += count != before;
  }
  found.count = count;
}

/// Of the points that compete, the key of the one with the least weighted error against x, for four scales: level l of
/// coordinate i is worth scale * worth[l]. Of equal errors the nearer shell wins, then the lower index.
template <class Grid>
four_ints best_neighbours(const lattice_shells<Grid>& found, const float* x, const float* weight, four_floats scale,
                          const float* worth) {
  NBIT_EXACT
  constexpr int mask = (1 << Grid::bits) - 1;
  four_floats cost[Grid::dims][Grid::levels], least = four_floats{} + 3.402823466e38f;
  for (int l = 0; l < Grid::levels; ++l) {
    const four_floats v = scale * worth[l];
    for (int i = 0; i < Grid::dims; ++i) {
      const four_floats diff = v - x[i];
      cost[i][l] = weight[i] * diff * diff;
    }
  }
  four_ints best = four_ints{} + found.rank[0];
  for (int n = 0; n < found.count; ++n) {
    const int key = found.rank[n];
    four_floats error = cost[0][key & mask];
    for (int i = 1; i < Grid::dims; ++i) error += cost[i][key >> (Grid::bits * i) & mask];
    const four_ints rank = four_ints{} + key, better = (error < least) | ((error == least) & (rank < best));
    least = better ? error : least;
    best = better ? rank : best;
  }
  return best & 0xffff;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_shells.hpp

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// The three levels, shifted up and down.
inline constexpr float iq1_levels[2][3] = {{-0.875f, 0.125f, 1.125f}, {-1.125f, -0.125f, 0.875f}};

/// The positions of N weights in ascending order; equal weights stay in order.
template <int N>
void sorted_places(const float* x, int* place) {
  for (int i = 0; i < N; ++i) {
    int to = i;
    for (; to > 0 && x[place[to - 1]] > x[i]; --to) place[to] = place[to - 1];
    place[to] = i;
  }
}

/// A cut of sorted weights: [0, first) are level 0, [first, second) level 1, the rest level 2. first < 0: none was
/// found. Bit k of shift is set when part k of the run is shifted down.
struct iq1_cut {
  int first, second, shift;
  float scale;
};

/// True if a lane is.
NBIT_INLINE bool any_of(four_ints v) { return ((v[0] | v[1]) | (v[2] | v[3])) != 0; }

/// The best cut of 32 weights with one shift. Four second cuts side by side; they are compared one by one, in order,
/// only where one of them beats what was found before.
inline iq1_cut best_cut_of_32(const float* x, const float* weight, const int* place) {
  NBIT_EXACT
  float sum_wx[36] = {}, sum_w[36] = {};
  for (int j = 0; j < 32; ++j) {
    const int i = place[j];
    sum_wx[j + 1] = sum_wx[j] + weight[i] * x[i];
    sum_w[j + 1] = sum_w[j] + weight[i];
  }
  iq1_cut best{-1, -1, 0, 0.0f};
  float score = -3.402823466e38f;
  for (int a = 0; a <= 32; ++a)
    for (int first = a; first <= 32; first += 4) {
      four_floats wx = {}, w = {}, wqx[2], wqq[2];
      const int lanes = first <= 29 ? 4 : 33 - first;
      __builtin_memcpy(&wx, sum_wx + first, sizeof wx);
      __builtin_memcpy(&w, sum_w + first, sizeof w);
      four_ints better = {};
      for (int shift = 0; shift < 2; ++shift) {
        const float* q = iq1_levels[shift];
        wqx[shift] = sum_wx[a] * q[0] + (wx - sum_wx[a]) * q[1] + (sum_wx[32] - wx) * q[2];
        wqq[shift] = sum_w[a] * q[0] * q[0] + (w - sum_w[a]) * q[1] * q[1] + (sum_w[32] - w) * q[2] * q[2];
        better |= wqx[shift] * wqx[shift] > score * wqq[shift];
      }
      if (!any_of(better)) continue;
      for (int t = 0; t < lanes; ++t)
        for (int shift = 0; shift < 2; ++shift) {
          const float qx = wqx[shift][t], qq = wqq[shift][t];
          if (!(qq > 0.0f && qx * qx > score * qq)) continue;
          best = {a, first + t, shift, qx / qq};
          score = best.scale * qx;
        }
    }
  return best;
}

/// The best cut of 16 weights whose halves have shifts of their own. The lanes are the four pairs of shifts; each sum
/// starts anew from the cut before, as if all its terms were added in order.
inline iq1_cut best_cut_of_16(const float* x, const float* weight, const int* place) {
  NBIT_EXACT
  four_floats qx[3][16], qq[3][16];  // by level and sorted place
  for (int level = 0; level < 3; ++level)
    for (int j = 0; j < 16; ++j) {
      const int i = place[j];
      for (int k = 0; k < 4; ++k) {  // lanes: up up, up down, down up, down down
        const float q = iq1_levels[i < 8 ? k >> 1 : k & 1][level], wq = weight[i] * q;
        qx[level][j][k] = wq * x[i];
        qq[level][j][k] = wq * q;
      }
    }
  iq1_cut best{-1, -1, 0, 0.0f};
  float score = -3.402823466e38f;
  four_floats low_qx = {}, low_qq = {};
  for (int a = 0; a <= 16; ++a) {
    four_floats mid_qx = low_qx, mid_qq = low_qq;
    for (int b = a; b <= 16; ++b) {
      four_floats sum_qx = mid_qx, sum_qq = mid_qq;
      for (int j = b; j < 16; ++j) sum_qx += qx[2][j], sum_qq += qq[2][j];
      for (int k = 0; k < 4; ++k)
        if (sum_qq[k] > 0.0f && sum_qx[k] * sum_qx[k] > score * sum_qq[k]) {
          best = {a, b, k >> 1 | (k & 1) << 1, sum_qx[k] / sum_qq[k]};
          score = best.scale * sum_qx[k];
        }
      if (b < 16) mid_qx += qx[1][b], mid_qq += qq[1][b];
    }
    if (a < 16) low_qx += qx[0][a], low_qq += qq[0][a];
  }
  return best;
}

/// Writes the Run / 8 points of one cut and returns its scale. A negative scale turns the levels and the shifts around.
template <int Run>
float place_cut(const float* x, const float* weight, const int* place, iq1_cut& cut, std::uint16_t* points) {
  NBIT_EXACT
  constexpr int parts = Run / 8;
  unsigned keys[parts] = {};
  const bool turned = cut.scale < 0.0f;
  if (turned) cut.scale = -cut.scale, cut.shift = ~cut.shift & (Run == 32 ? 1 : 3);
  for (int j = 0; j < Run; ++j) {
    const int level = j < cut.first ? 0 : (j < cut.second ? 1 : 2);
    keys[place[j] / 8] |= static_cast<unsigned>(turned ? 2 - level : level) << (2 * (place[j] % 8));
  }
  lattice_shells<iq1_grid> shells;
  bool all_on_lattice = true;
  for (int k = 0; k < parts; ++k) {
    find_shells<iq1_grid>(keys[k], shells);
    if (shells.count != 0) {
      all_on_lattice = false;
      const float* worth = iq1_levels[Run == 32 ? cut.shift : cut.shift >> k & 1];
      keys[k] = static_cast<unsigned>(
          best_neighbours<iq1_grid>(shells, x + 8 * k, weight + 8 * k, four_floats{} + cut.scale, worth)[0]);
    }
    points[k] = static_cast<std::uint16_t>(lattice_rows<iq1_grid>::index_of(keys[k]));
  }
  if (all_on_lattice) return cut.scale;
  float wqx = 0.0f, wqq = 0.0f;
  for (int k = 0; k < parts; ++k)
    for (int i = 0; i < 8; ++i) {
      const unsigned level = keys[k] >> (2 * i) & 3u;
      const float q = iq1_levels[Run == 32 ? cut.shift : cut.shift >> k & 1][level], wq = weight[8 * k + i] * q;
      wqx += wq * x[8 * k + i];
      wqq += wq * q;
    }
  return wqx > 0.0f && wqq > 0.0f ? wqx / wqq : cut.scale;
}

/// What the encoders of IQ1_S (runs of 32) and IQ1_M (runs of 16) have in common.
template <int Run>
struct iq1_result {
  float scale[256 / Run], largest;
  std::uint16_t point[32];
  std::uint8_t shift[256 / Run];
};

/// Runs whose largest magnitude is below `least_size` are left at point 0, shifted up, with scale 0.
template <int Run>
void encode_iq1(const float* x, const float* weight, float least_size, iq1_result<Run>& out) {
  out = {};
  for (int r = 0; r < 256 / Run; ++r) {
    const float *xr = x + Run * r, *wr = weight + Run * r;
    if (nbit::abs(largest_signed<Run>(xr)) < least_size) continue;
    int place[Run];
    sorted_places<Run>(xr, place);
    iq1_cut cut;
    if constexpr (Run == 32)
      cut = best_cut_of_32(xr, wr, place);
    else
      cut = best_cut_of_16(xr, wr, place);
    if (cut.first < 0) continue;
    const float scale = place_cut<Run>(xr, wr, place, cut, out.point + Run / 8 * r);
    out.scale[r] = scale >= 0.0f ? scale : 0.0f;
    out.shift[r] = static_cast<std::uint8_t>(cut.shift);
    out.largest = out.largest > out.scale[r] ? out.largest : out.scale[r];
  }
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_iq1_search.hpp
// BEGIN nbit/format/ggml_lattice_search.hpp
// nbit/format/ggml_lattice_search.hpp — the search of ggml's IQ2 and IQ3 encoders for points, signs and run scales.
//
// A run's magnitudes are rounded with a list of inverse scales; each gets the best points it can and a least-squares
// scale, and the one that explains most is kept. Sums run over the weights in the reference's order, four inverse
// scales side by side: the same bytes. A Search describes one format, see ggml_iq2.hpp:
//   grid, run, candidates, stride            the lattice, weights to a scale, inverse scales tried and their spacing
//   parity, variance, negligible             7 signs of 8 kept; factor of the mean square; runs below this are empty
//   again_always, again_all, again_if_none   which points are rounded once more with the final scale
//   starts_with_search, correction           IQ2_XXS's first scale; factor of d
//   weights(x, variance, weight)             without importance
// Ref: ggml (MIT), the quantizers of its IQ formats; reference bytes in tests/golden.
#ifndef NBIT_FORMAT_GGML_LATTICE_SEARCH_HPP
#define NBIT_FORMAT_GGML_LATTICE_SEARCH_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// What one encoder of a lattice format found for 256 weights.
template <class Search>
struct lattice_result {
  static constexpr int runs = 256 / Search::run;
  float scale[runs], largest;
  std::uint16_t index[256 / Search::grid::dims];
  std::uint8_t signs[32];
  bool empty[runs];
};

/// Magnitudes and signs of 8 weights. Parity: the cheapest weight changes sides when the count of minus signs is odd,
/// and the eighth sign, which then follows from the others, is not kept.
template <bool Parity>
std::uint8_t split_signs(const float* x, const float* weight, float* magnitude) {
  NBIT_EXACT
  unsigned signs = 0;
  for (int i = 0; i < 8; ++i) {
    const bool positive = x[i] >= 0.0f;
    magnitude[i] = positive ? x[i] : -x[i];
    signs |= (positive ? 0u : 1u) << i;
  }
  if constexpr (Parity) {
    if ((__builtin_popcount(signs) & 1) != 0) {
      int cheapest = 0;
      float least = weight[0] * x[0] * x[0];
      for (int i = 1; i < 8; ++i) {
        const float cost = weight[i] * x[i] * x[i];
        if (cost < least) least = cost, cheapest = i;
      }
      magnitude[cheapest] = -magnitude[cheapest];
      signs ^= 1u << cheapest;
    }
    signs &= 127u;
  }
  return static_cast<std::uint8_t>(signs);
}

/// The levels of Grid::dims magnitudes for four inverse scales, as keys.
template <class Grid>
NBIT_INLINE four_ints rounded_keys(const float* x, four_floats inverse) {
  NBIT_EXACT
  four_ints keys = {};
  const four_ints none = {}, top = four_ints{} + (Grid::levels - 1);
  for (int i = 0; i < Grid::dims; ++i) {
    const four_floats v = 0.5f * (inverse * x[i] - 1.0f);
    const four_ints l = ((four_ints)(v + 12582912.0f) & 0x7fffff) - 0x400000;
    const four_ints above = l > none ? l : none;
    keys |= (above < top ? above : top) << (Grid::bits * i);
  }
  return keys;
}

/// Odd levels 1, 3, 5, ...: what the searches round to.
inline constexpr float odd_levels[8] = {1.0f, 3.0f, 5.0f, 7.0f, 9.0f, 11.0f, 13.0f, 15.0f};

/// One run: tries Search::candidates inverse scales around (largest level) / size, keeps the one that explains most,
/// and rounds once more with its least-squares scale. Writes the points of the run and returns its scale, of either
/// sign.
template <class Search>
float search_lattice(const float* x, const float* weight, const float* root_weight, float size, float scale,
                     std::uint16_t* points) {
  NBIT_EXACT
  using grid = typename Search::grid;
  constexpr int parts = Search::run / grid::dims, dims = grid::dims, lanes = (Search::candidates + 3) / 4 * 4;
  constexpr int mask = (1 << grid::bits) - 1;
  constexpr float top = static_cast<float>(2 * grid::levels - 1);
  lattice_shells<grid> shells;
  float inverse[lanes], scales[lanes + 4] = {}, wqx[lanes], wqq[lanes];
  std::int32_t keys[lanes], chosen[parts][lanes], final_keys[parts];
  std::uint32_t off_lattice[lanes] = {};
  for (int s = 0; s < lanes; ++s) {
    inverse[s] = (top + static_cast<float>(s - Search::candidates / 2) * Search::stride) / size;
    scales[s] = 1.0f / inverse[s];
  }
  for (int k = 0; k < parts; ++k) {
    for (int s = 0; s < lanes; s += 4) {
      four_floats four;
      __builtin_memcpy(&four, inverse + s, sizeof four);
      const four_ints rounded = rounded_keys<grid>(x + dims * k, four);
      __builtin_memcpy(keys + s, &rounded, sizeof rounded);
    }
    for (int s = 0, end = 0; s < Search::candidates; s = end) {  // scales that round to the same place go together
      for (end = s + 1; end < Search::candidates && keys[end] == keys[s];) ++end;
      find_shells<grid>(static_cast<unsigned>(keys[s]), shells);
      for (int c = s; c < end; c += 4) {
        four_ints best = four_ints{} + keys[s];
        if (shells.count != 0) {
          four_floats four;
          __builtin_memcpy(&four, scales + c, sizeof four);
          best = best_neighbours<grid>(shells, x + dims * k, root_weight + dims * k, four, odd_levels);
        }
        for (int t = c; t < end && t < c + 4; ++t) {
          chosen[k][t] = best[t - c];
          off_lattice[t] |= (shells.count != 0 ? 1u : 0u) << k;
        }
      }
    }
    for (int s = Search::candidates; s < lanes; ++s) chosen[k][s] = 0;  // their sums are not read
  }
  for (int s = 0; s < lanes; s += 4) {
    four_floats sum_wqx = {}, sum_wqq = {};
    for (int k = 0; k < parts; ++k) {
      four_ints key;
      __builtin_memcpy(&key, chosen[k] + s, sizeof key);
      for (int i = 0; i < dims; ++i) {
        const float w = weight[dims * k + i], wx = w * x[dims * k + i];
        const four_floats q = __builtin_convertvector(2 * (key >> (grid::bits * i) & mask) + 1, four_floats);
        sum_wqx += wx * q;
        sum_wqq += w * q * q;
      }
    }
    __builtin_memcpy(wqx + s, &sum_wqx, sizeof sum_wqx);
    __builtin_memcpy(wqq + s, &sum_wqq, sizeof sum_wqq);
  }
  int winner = -1;
  float best = 0.0f;
  for (int s = 0; s < Search::candidates; ++s)
    if (wqq[s] > 0.0f && wqx[s] * wqx[s] > best * wqq[s]) winner = s, scale = wqx[s] / wqq[s], best = scale * wqx[s];
  for (int k = 0; k < parts; ++k) {
    final_keys[k] = winner < 0 ? 0 : chosen[k][winner];
    points[k] = static_cast<std::uint16_t>(lattice_rows<grid>::index_of(static_cast<unsigned>(final_keys[k])));
  }
  // Which points are rounded again with the new scale differs: always all, all if one is off the lattice, or those.
  const std::uint32_t off = winner < 0 ? (Search::again_if_none ? ~0u : 0u) : off_lattice[winner];
  const std::uint32_t again = Search::again_always ? ~0u : (off != 0 && Search::again_all ? ~0u : off);
  if (again == 0 || !(scale > 0.0f)) return scale;
  const four_floats once = four_floats{} + 1.0f / scale;
  float sum_wqx = 0.0f, sum_wqq = 0.0f;
  for (int k = 0; k < parts; ++k) {
    if ((again >> k & 1u) != 0) {
      final_keys[k] = rounded_keys<grid>(x + dims * k, once)[0];
      find_shells<grid>(static_cast<unsigned>(final_keys[k]), shells);
      if (shells.count != 0)
        final_keys[k] =
            best_neighbours<grid>(shells, x + dims * k, root_weight + dims * k, four_floats{} + scale, odd_levels)[0];
      points[k] = static_cast<std::uint16_t>(lattice_rows<grid>::index_of(static_cast<unsigned>(final_keys[k])));
    }
    for (int i = 0; i < dims; ++i) {
      const float w = weight[dims * k + i], q = odd_levels[final_keys[k] >> (grid::bits * i) & mask];
      sum_wqx += w * x[dims * k + i] * q;
      sum_wqq += w * q * q;
    }
  }
  return sum_wqq > 0.0f ? sum_wqx / sum_wqq : scale;
}

/// The whole search over 256 weights; importance may be null. Search says how its format does it, see ggml_iq2.hpp.
template <class Search>
void encode_lattice(const float* x, const float* importance, lattice_result<Search>& out) {
  NBIT_EXACT
  using grid = typename Search::grid;
  constexpr int run = Search::run, parts = run / grid::dims;
  const float variance = Search::variance * sum_of_squares<256>(x) / 256.0f;
  float weight[run], root_weight[run], magnitude[run];
  out = {};
  for (int r = 0; r < 256 / run; ++r) {
    const float* xr = x + run * r;
    if (importance != nullptr)
      importance_weights<run>(xr, importance + run * r, variance, weight);
    else
      Search::weights(xr, variance, weight);
    for (int i = 0; i < run; ++i) root_weight[i] = __builtin_sqrtf(weight[i]);
    std::uint8_t signs[run / 8];
    for (int k = 0; k < run / 8; ++k)
      signs[k] = split_signs<Search::parity>(xr + 8 * k, weight + 8 * k, magnitude + 8 * k);
    float size = magnitude[0];
    for (int i = 1; i < run; ++i) size = size > magnitude[i] ? size : magnitude[i];
    float scale = size / static_cast<float>(2 * grid::levels - 1);
    out.empty[r] = Search::negligible > 0.0f ? size < Search::negligible : size == 0.0f;
    if constexpr (Search::starts_with_search) {  // IQ2_XXS begins with the scale of a finer uniform grid
      std::uint8_t unused[run];
      if (!out.empty[r]) scale = positive_search<run, grid::levels + 1>(magnitude, weight, unused);
      size = scale * static_cast<float>(grid::levels);
      out.empty[r] |= size <= 0.0f;
    }
    if (out.empty[r]) continue;
    scale = search_lattice<Search>(magnitude, weight, root_weight, size, scale, out.index + parts * r);
    if (scale < 0.0f) {
      scale = -scale;
      for (int k = 0; k < run / 8; ++k) signs[k] = static_cast<std::uint8_t>(~signs[k] & (Search::parity ? 127 : 255));
    }
    for (int k = 0; k < run / 8; ++k) out.signs[run / 8 * r + k] = signs[k];
    out.scale[r] = scale >= 0.0f ? scale : 0.0f;
    out.largest = out.largest > out.scale[r] ? out.largest : out.scale[r];
  }
}

/// d and the 4-bit scales: run r has the step d * (0.5 + nibble), times a constant of the format.
template <class Search, int Runs>
void pack_lattice_scales(const lattice_result<Search>& found, iq_params<Runs>& p) {
  NBIT_EXACT
  p = {};
  if (!(found.largest > 0.0f)) return;
  const float d = found.largest / 31.0f, inverse = 1.0f / d;
  p.d = f16::from(d * Search::correction);
  for (int r = 0; r < Runs; ++r) {
    const int l = level_of(0.5f * (inverse * found.scale[r] - 1.0f), 0, 15);
    p.packed[r / 2] = static_cast<std::uint8_t>(p.packed[r / 2] | l << (4 * (r % 2)));
  }
}

/// Encodes one group, whole or short: a short one is continued with zeros that nothing weighs.
template <class F>
void encode_lattice_group(std::span<const float> w, std::span<const float> importance, typename F::params& p,
                          std::span<code_t<F>> codes) {
  constexpr std::size_t n = 256, count = n / static_cast<std::size_t>(F::step);
  const bool weighed = importance.size() >= w.size() && !importance.empty();
  if (w.size() >= n && codes.size() >= count) {
    F::encode_block(w.data(), weighed ? importance.data() : nullptr, p, codes.data());
    return;
  }
  float x[n] = {}, q[n] = {};
  code_t<F> c[count];
  for (std::size_t i = 0; i < w.size() && i < n; ++i) x[i] = w[i], q[i] = weighed ? importance[i] : 0.0f;
  F::encode_block(x, weighed ? q : nullptr, p, c);
  for (std::size_t i = 0; i < codes.size() && i < count; ++i) codes[i] = c[i];
}

/// The parameters that the reference encoder picks for a group.
template <class F>
typename F::params fit_lattice_group(std::span<const float> w, std::span<const float> importance) {
  typename F::params p{};
  code_t<F> codes[256 / F::step];
  encode_lattice_group<F>(w, importance, p, codes);
  return p;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_lattice_search.hpp

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// What IQ1_M stores for 256 weights besides the codes.
struct iq1_m_params {
  f16 d;
  std::uint16_t packed[4];  // four 3-bit scales each

  /// The 3-bit scale of run s.  Needs: 0 <= s < 16.
  NBIT_INLINE constexpr int scale_of(int s) const { return packed[s >> 2] >> (3 * (s & 3)) & 7; }
  NBIT_INLINE float step(int s) const {
    return static_cast<float>(d) * (2.0f * static_cast<float>(scale_of(s)) + 1.0f);
  }
};

inline namespace NBIT_TAG {
namespace ggml_block {

NBIT_NOINLINE inline void encode_iq1_s(const float* x, const float* importance, iq_params<8>& p, std::uint16_t* codes) {
  NBIT_EXACT
  float weight[256];
  const float variance = 2.0f * sum_of_squares<256>(x) / 256.0f;
  if (importance != nullptr) {
    importance_weights<256>(x, importance, variance, weight);
  } else {
    for (int i = 0; i < 256; ++i) weight[i] = __builtin_sqrtf(variance + x[i] * x[i]);
  }
  iq1_result<32> found;
  encode_iq1<32>(x, weight, 1e-12f, found);
  for (int k = 0; k < 32; ++k) codes[k] = found.point[k];
  p = {};
  if (!(found.largest > 0.0f)) return;
  const float d = found.largest / 15.0f, inverse = 1.0f / d;
  p.d = f16::from(d * 1.125f);
  for (int r = 0; r < 8; ++r) {
    const int l = level_of(0.5f * (inverse * found.scale[r] - 1.0f), 0, 7);
    p.packed[r / 2] = static_cast<std::uint8_t>(p.packed[r / 2] | (l | found.shift[r] << 3) << (4 * (r % 2)));
  }
}

NBIT_NOINLINE inline void encode_iq1_m(const float* x, const float* importance, iq1_m_params& p, std::uint16_t* codes) {
  NBIT_EXACT
  float weight[256];
  if (importance != nullptr) {
    importance_weights<256>(x, importance, 2.0f * sum_of_squares<256>(x) / 256.0f, weight);
  } else {
    for (int i = 0; i < 256; ++i) weight[i] = x[i] * x[i];
  }
  iq1_result<16> found;
  encode_iq1<16>(x, weight, 1e-7f, found);
  p = {};
  for (int k = 0; k < 32; ++k) codes[k] = found.point[k];
  if (!(found.largest > 0.0f)) return;  // the shifts go unsaid too
  float d = found.largest / 15.0f, wqx = 0.0f, wqq = 0.0f;
  const float inverse = 1.0f / d;
  for (int r = 0; r < 16; ++r) {
    const int l = level_of(0.5f * (inverse * found.scale[r] - 1.0f), 0, 7);
    p.packed[r / 4] = static_cast<std::uint16_t>(p.packed[r / 4] | l << (3 * (r % 4)));
    for (int k = 2 * r; k < 2 * r + 2; ++k) {
      const int shift = found.shift[r] >> (k & 1) & 1;
      codes[k] = static_cast<std::uint16_t>(codes[k] | shift << 11);
      for (int i = 0; i < 8; ++i) {
        const float level = iq1_levels[shift][iq1_points[found.point[k]] >> (2 * i) & 3];
        const float q = level * static_cast<float>(2 * l + 1), wq = weight[8 * k + i] * q;
        wqx += wq * x[8 * k + i];
        wqq += wq * q;
      }
    }
  }
  if (wqq > 0.0f) d = wqx / wqq;
  p.d = f16::from(d * 1.1125f);
}

/// The point nearest to 8 weights with a given shift, and its squared error.
struct iq1_choice {
  int point;
  float error;
};
NBIT_NOINLINE inline iq1_choice nearest_iq1(const float* w, float step, int shift) {
  NBIT_EXACT
  float cost[8][3];
  for (int i = 0; i < 8; ++i)
    for (int l = 0; l < 3; ++l) {
      const float diff = w[i] - step * iq1_levels[shift][l];
      cost[i][l] = diff * diff;
    }
  iq1_choice best{0, __builtin_inff()};
  for (int j = 0; j < iq1_grid::points; ++j) {
    const unsigned key = iq1_points[j];
    float error = cost[0][key & 3u];
    for (int i = 1; i < 8; ++i) error += cost[i][key >> (2 * i) & 3u];
    if (error < best.error) best = {j, error};
  }
  return best;
}

NBIT_INLINE void iq1_values(unsigned point, int shift, float step, float* out) {
  const std::int8_t* level = lattice_values<iq1_grid>::plane.of[point];
  for (int i = 0; i < 8; i += 4) {
    const four_ints four = {level[i], level[i + 1], level[i + 2], level[i + 3]};
    const four_floats v = step * (__builtin_convertvector(four, four_floats) + (shift != 0 ? -0.125f : 0.125f));
    __builtin_memcpy(out + i, &v, sizeof v);
  }
}

inline iq_params<8> load_iq1_s_params(const std::byte* from) {
  iq_params<8> p{load_f16(from), {}};
  for (int s = 0; s < 8; ++s)
    p.packed[s / 2] = static_cast<std::uint8_t>(p.packed[s / 2] | (load_u16(from + 34 + 2 * s) >> 12) << (4 * (s % 2)));
  return p;
}
inline void load_iq1_s_codes(const std::byte* from, std::uint16_t* codes) {
  for (int k = 0; k < 32; ++k)
    codes[k] = static_cast<std::uint16_t>(std::to_integer<unsigned>(from[2 + k]) |
                                          (load_u16(from + 34 + 2 * (k / 4)) >> (3 * (k % 4)) & 7u) << 8);
}
inline void store_iq1_s(std::byte* to, const iq_params<8>& p, const std::uint16_t* codes) {
  store_f16(to, p.d);
  for (int k = 0; k < 32; ++k) to[2 + k] = static_cast<std::byte>(codes[k] & 255u);
  for (int s = 0; s < 8; ++s) {
    unsigned word = static_cast<unsigned>(p.nibble(s)) << 12;
    for (int k = 0; k < 4; ++k) word |= (codes[4 * s + k] >> 8 & 7u) << (3 * k);
    store_u16(to + 34 + 2 * s, static_cast<std::uint16_t>(word));
  }
}

inline iq1_m_params load_iq1_m_params(const std::byte* from) {
  iq1_m_params p;
  unsigned d = 0;
  for (int j = 0; j < 4; ++j) {
    const unsigned word = load_u16(from + 48 + 2 * j);
    p.packed[j] = static_cast<std::uint16_t>(word & 0xfffu);
    d |= (word >> 12) << (4 * j);
  }
  p.d = f16::from_bits(static_cast<std::uint16_t>(d));
  return p;
}
inline void load_iq1_m_codes(const std::byte* from, std::uint16_t* codes) {
  for (int k = 0; k < 32; ++k)
    codes[k] = static_cast<std::uint16_t>(std::to_integer<unsigned>(from[k]) |
                                          (std::to_integer<unsigned>(from[32 + k / 2]) >> (4 * (k % 2)) & 15u) << 8);
}
inline void store_iq1_m(std::byte* to, const iq1_m_params& p, const std::uint16_t* codes) {
  for (int k = 0; k < 32; ++k) to[k] = static_cast<std::byte>(codes[k] & 255u);
  for (int k = 0; k < 16; ++k)
    to[32 + k] = static_cast<std::byte>((codes[2 * k] >> 8 & 15u) | (codes[2 * k + 1] >> 8 & 15u) << 4);
  for (int j = 0; j < 4; ++j)
    store_u16(to + 48 + 2 * j, static_cast<std::uint16_t>((p.packed[j] & 0xfffu) | (p.d.bits >> (4 * j) & 15u) << 12));
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's IQ1_S: 1.5625 bits a weight. A parameter nibble is a 3-bit scale and the shift bit of 32 weights.
struct iq1_s {
  static constexpr int bits = 11, step = 8, group = 256, ggml_type = 19;
  static constexpr std::size_t block_bytes = 50;
  static constexpr const char* name = "IQ1_S";
  using params = iq_params<8>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_lattice_group<iq1_s>(w, importance);
  }
  /// The nearest of all codes; importance does not count.
  NBIT_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq1(w.data(), step_of_run(p, i >> 5), p.nibble(i >> 5) >> 3).point;
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    ggml_block::iq1_values(static_cast<unsigned>(c) & 2047u, p.nibble(i >> 5) >> 3, step_of_run(p, i >> 5), out.data());
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float, params& p,
                                 std::span<std::uint16_t> codes) {
    ggml_block::encode_lattice_group<iq1_s>(w, importance, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, params& p, std::uint16_t* c) {
    ggml_block::encode_iq1_s(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq1_s_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    ggml_block::load_iq1_s_codes(from, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    ggml_block::store_iq1_s(to, p, codes);
  }
  NBIT_INLINE static float step_of_run(const params& p, int s) {
    return static_cast<float>(p.d) * (2.0f * static_cast<float>(p.nibble(s) & 7) + 1.0f);
  }
};

/// ggml's IQ1_M: 1.75 bits a weight. Bit 11 of a code is the shift of its 8 weights.
struct iq1_m {
  static constexpr int bits = 12, step = 8, group = 256, ggml_type = 29;
  static constexpr std::size_t block_bytes = 56;
  static constexpr const char* name = "IQ1_M";
  using params = iq1_m_params;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_lattice_group<iq1_m>(w, importance);
  }
  /// The nearest of all codes with either shift; importance does not count.
  NBIT_INLINE static int code(std::span<const float> w, const params& p, int i) {
    const float d = p.step(i >> 4);
    const ggml_block::iq1_choice up = ggml_block::nearest_iq1(w.data(), d, 0);
    const ggml_block::iq1_choice down = ggml_block::nearest_iq1(w.data(), d, 1);
    return down.error < up.error ? down.point | 2048 : up.point;
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    ggml_block::iq1_values(static_cast<unsigned>(c) & 2047u, c >> 11 & 1, p.step(i >> 4), out.data());
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float, params& p,
                                 std::span<std::uint16_t> codes) {
    ggml_block::encode_lattice_group<iq1_m>(w, importance, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, params& p, std::uint16_t* c) {
    ggml_block::encode_iq1_m(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq1_m_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    ggml_block::load_iq1_m_codes(from, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    ggml_block::store_iq1_m(to, p, codes);
  }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_iq1.hpp
// BEGIN nbit/format/ggml_iq2.hpp
// nbit/format/ggml_iq2.hpp — IQ2_XXS, IQ2_XS and IQ2_S: magnitudes of 8 weights name a lattice point, signs apart.
//
//   IQ2_XXS  f16 d | 8 x (4 bytes: points, u32: 4 x 7 signs, 4-bit scale)                             66 bytes
//   IQ2_XS   f16 d | 32 x u16: 9-bit point, 7 signs | 8 bytes of scales                               74 bytes
//   IQ2_S    f16 d | 32 bytes: points | 32 bytes: signs | 8 bytes: bits 8 and 9 | 8 bytes of scales   82 bytes
//   w = d (0.5 + s) / 4 * point; one scale s for 32 weights in IQ2_XXS, for 16 in the others
// Bits 2 (k % 4) of byte k / 4 are the upper bits of point k. Seven signs of 8: the count of minus signs is even. The
// reference encodes IQ2_XXS and IQ2_XS with importance only; without, these use an importance of one everywhere.
// Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_IQ2_HPP
#define NBIT_FORMAT_GGML_IQ2_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

template <int Run>
struct iq2_search {
  static constexpr int run = Run;
  static constexpr float stride = 0.1f, variance = 1.0f, negligible = 1e-15f, correction = 1.0f;
  static constexpr bool parity = true, again_always = false, again_all = false, again_if_none = false;
  static constexpr bool starts_with_search = false;

  static void weights(const float* x, float variance_of_x, float* weight) {
    NBIT_EXACT
    for (int i = 0; i < Run; ++i) weight[i] = __builtin_sqrtf(variance_of_x + x[i] * x[i]);
  }
};
struct iq2_xxs_search : iq2_search<32> {
  using grid = iq2_xxs_grid;
  static constexpr int candidates = 13;
  static constexpr bool again_always = true, starts_with_search = true;
};
struct iq2_xs_search : iq2_search<16> {
  using grid = iq2_xs_grid;
  static constexpr int candidates = 19;
};
struct iq2_s_search : iq2_search<16> {
  using grid = iq2_s_grid;
  static constexpr int candidates = 19;
  static constexpr float variance = 2.0f, negligible = 1e-8f, correction = 0.9875f;
  static constexpr bool parity = false;

  static void weights(const float* x, float variance_of_x, float* weight) {
    NBIT_EXACT
    for (int i = 0; i < 16; ++i) weight[i] = 0.25f * variance_of_x + x[i] * x[i];
  }
};

/// Codes are a point and the signs above it. A block whose scales are all 0 keeps them only in IQ2_S, as in the
/// reference.
template <class Search, int PointBits, int Runs, class Code>
NBIT_NOINLINE void encode_iq2(const float* x, const float* importance, iq_params<Runs>& p, Code* codes) {
  lattice_result<Search> found;
  encode_lattice(x, importance, found);
  pack_lattice_scales(found, p);
  const bool kept = !Search::parity || found.largest > 0.0f;
  for (int k = 0; k < 32; ++k)
    codes[k] = kept ? static_cast<Code>(found.index[k] | static_cast<unsigned>(found.signs[k]) << PointBits) : Code{0};
}

/// The code nearest to 8 weights. Seven signs of 8: if the weights have an odd count of minus signs, the point that is
/// nearest with one changed sign.
template <class Grid, int PointBits, bool Parity>
NBIT_NOINLINE int nearest_iq2(const float* w, float step) {
  float x[8];
  unsigned signs = solver_signs<8>(w, step, x);
  const nearest_points found = nearest_lattice_points<Grid, Parity>(x, nbit::abs(step));
  int index = found.plain;
  if constexpr (Parity) {
    if ((__builtin_popcount(signs) & 1) != 0) signs ^= 1u << found.flipped_weight, index = found.flipped;
    signs &= 127u;
  }
  return index | static_cast<int>(signs) << PointBits;
}

inline iq_params<8> load_iq2_xxs_params(const std::byte* from) {
  iq_params<8> p{load_f16(from), {}};
  for (int s = 0; s < 8; ++s)
    p.packed[s / 2] = static_cast<std::uint8_t>(p.packed[s / 2] | (load_u32(from + 6 + 8 * s) >> 28) << (4 * (s % 2)));
  return p;
}
inline void load_iq2_xxs_codes(const std::byte* from, std::uint16_t* codes) {
  for (int k = 0; k < 32; ++k) {
    const std::byte* run = from + 2 + 8 * (k / 4);
    codes[k] = static_cast<std::uint16_t>(std::to_integer<unsigned>(run[k % 4]) |
                                          (load_u32(run + 4) >> (7 * (k % 4)) & 127u) << 8);
  }
}
inline void store_iq2_xxs(std::byte* to, const iq_params<8>& p, const std::uint16_t* codes) {
  store_f16(to, p.d);
  for (int s = 0; s < 8; ++s) {
    std::uint32_t word = static_cast<std::uint32_t>(p.nibble(s)) << 28;
    for (int k = 0; k < 4; ++k) {
      to[2 + 8 * s + k] = static_cast<std::byte>(codes[4 * s + k] & 255u);
      word |= static_cast<std::uint32_t>(codes[4 * s + k] >> 8 & 127u) << (7 * k);
    }
    store_u32(to + 6 + 8 * s, word);
  }
}

inline void load_iq2_s_codes(const std::byte* from, std::uint32_t* codes) {
  for (int k = 0; k < 32; ++k)
    codes[k] = std::to_integer<std::uint32_t>(from[k]) |
               (std::to_integer<std::uint32_t>(from[64 + k / 4]) >> (2 * (k % 4)) & 3u) << 8 |
               std::to_integer<std::uint32_t>(from[32 + k]) << 10;
}
inline void store_iq2_s_codes(std::byte* to, const std::uint32_t* codes) {
  for (int k = 0; k < 32; ++k) {
    to[k] = static_cast<std::byte>(codes[k] & 255u);
    to[32 + k] = static_cast<std::byte>(codes[k] >> 10 & 255u);
  }
  for (int j = 0; j < 8; ++j) {
    std::uint32_t upper = 0;
    for (int k = 0; k < 4; ++k) upper |= (codes[4 * j + k] >> 8 & 3u) << (2 * k);
    to[64 + j] = static_cast<std::byte>(upper);
  }
}

/// d (0.5 + s) / 4.
template <int Runs>
NBIT_INLINE float iq2_step(const iq_params<Runs>& p, int s) {
  return static_cast<float>(p.d) * (0.5f + static_cast<float>(p.nibble(s))) * 0.25f;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's IQ2_XXS: 2.0625 bits a weight on 256 points.
struct iq2_xxs {
  static constexpr int bits = 15, step = 8, group = 256, ggml_type = 16;
  static constexpr std::size_t block_bytes = 66;
  static constexpr const char* name = "IQ2_XXS";
  using params = iq_params<8>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_lattice_group<iq2_xxs>(w, importance);
  }
  /// The nearest of all codes; importance does not count.
  NBIT_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq2<iq2_xxs_grid, 8, true>(w.data(), ggml_block::iq2_step(p, i >> 5));
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c), signs = ggml_block::even_signs(u >> 8 & 127u);
    ggml_block::point_values<iq2_xxs_grid>(u & 255u, signs, ggml_block::iq2_step(p, i >> 5), out.data());
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float, params& p,
                                 std::span<std::uint16_t> codes) {
    ggml_block::encode_lattice_group<iq2_xxs>(w, importance, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, params& p, std::uint16_t* c) {
    ggml_block::encode_iq2<ggml_block::iq2_xxs_search, 8>(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq2_xxs_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    ggml_block::load_iq2_xxs_codes(from, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    ggml_block::store_iq2_xxs(to, p, codes);
  }
};

/// ggml's IQ2_XS: 2.3125 bits a weight on 512 points.
struct iq2_xs {
  static constexpr int bits = 16, step = 8, group = 256, ggml_type = 17;
  static constexpr std::size_t block_bytes = 74;
  static constexpr const char* name = "IQ2_XS";
  using params = iq_params<16>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_lattice_group<iq2_xs>(w, importance);
  }
  /// The nearest of all codes; importance does not count.
  NBIT_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq2<iq2_xs_grid, 9, true>(w.data(), ggml_block::iq2_step(p, i >> 4));
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c), signs = ggml_block::even_signs(u >> 9 & 127u);
    ggml_block::point_values<iq2_xs_grid>(u & 511u, signs, ggml_block::iq2_step(p, i >> 4), out.data());
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float, params& p,
                                 std::span<std::uint16_t> codes) {
    ggml_block::encode_lattice_group<iq2_xs>(w, importance, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, params& p, std::uint16_t* c) {
    ggml_block::encode_iq2<ggml_block::iq2_xs_search, 9>(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    params p{load_f16(from), {}};
    __builtin_memcpy(p.packed, from + 66, sizeof p.packed);
    return p;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    for (int k = 0; k < 32; ++k) codes[k] = load_u16(from + 2 + 2 * k);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    store_f16(to, p.d);
    for (int k = 0; k < 32; ++k) store_u16(to + 2 + 2 * k, codes[k]);
    __builtin_memcpy(to + 66, p.packed, sizeof p.packed);
  }
};

/// ggml's IQ2_S: 2.5625 bits a weight on 1024 points, all signs kept.
struct iq2_s {
  static constexpr int bits = 18, step = 8, group = 256, ggml_type = 22;
  static constexpr std::size_t block_bytes = 82;
  static constexpr const char* name = "IQ2_S";
  using params = iq_params<16>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_lattice_group<iq2_s>(w, importance);
  }
  /// The nearest of all codes; importance does not count.
  NBIT_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq2<iq2_s_grid, 10, false>(w.data(), ggml_block::iq2_step(p, i >> 4));
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c);
    ggml_block::point_values<iq2_s_grid>(u & 1023u, u >> 10 & 255u, ggml_block::iq2_step(p, i >> 4), out.data());
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float, params& p,
                                 std::span<std::uint32_t> codes) {
    ggml_block::encode_lattice_group<iq2_s>(w, importance, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, params& p, std::uint32_t* c) {
    ggml_block::encode_iq2<ggml_block::iq2_s_search, 10>(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    params p{load_f16(from), {}};
    __builtin_memcpy(p.packed, from + 74, sizeof p.packed);
    return p;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint32_t* codes) {
    ggml_block::load_iq2_s_codes(from + 2, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint32_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_iq2_s_codes(to + 2, codes);
    __builtin_memcpy(to + 74, p.packed, sizeof p.packed);
  }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_iq2.hpp
// BEGIN nbit/format/ggml_iq3.hpp
// nbit/format/ggml_iq3.hpp — IQ3_XXS and IQ3_S: magnitudes of 4 weights name a lattice point, signs apart.
//
//   IQ3_XXS  f16 d | 64 bytes: points | 8 x u32: 4 x 7 signs, 4-bit scale                              98 bytes
//   IQ3_S    f16 d | 64 bytes: points | 8 bytes: their ninth bits | 32 bytes: signs | 4 bytes of scales 110 bytes
//   w = d (0.5 + s) / 2 * point in IQ3_XXS, d (1 + 2 s) * point in IQ3_S; one scale s for 32 weights
// Ninth bit k % 8 of byte k / 8 belongs to point k, bit i of sign byte b to weight 8 b + i. IQ3_XXS keeps 7 signs of 8:
// the count of minus signs is even. A code is therefore 8 weights there (two points, 7 signs), 4 weights in IQ3_S (one
// point, 4 signs). Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_IQ3_HPP
#define NBIT_FORMAT_GGML_IQ3_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

struct iq3_search {
  static constexpr int run = 32;
  static constexpr float stride = 0.2f, variance = 2.0f;
  static constexpr bool again_always = false, starts_with_search = false;

  static void weights(const float* x, float, float* weight) {
    for (int i = 0; i < run; ++i) weight[i] = x[i] * x[i];
  }
};
struct iq3_xxs_search : iq3_search {
  using grid = iq3_xxs_grid;
  static constexpr int candidates = 31;
  static constexpr float negligible = 1e-8f, correction = 1.0125f;
  static constexpr bool parity = true, again_all = false, again_if_none = false;
};
struct iq3_s_search : iq3_search {
  using grid = iq3_s_grid;
  static constexpr int candidates = 19;
  static constexpr float negligible = 0.0f, correction = 1.033f;
  static constexpr bool parity = false, again_all = true, again_if_none = true;
};

NBIT_NOINLINE inline void encode_iq3_xxs(const float* x, const float* importance, iq_params<8>& p,
                                         std::uint32_t* codes) {
  lattice_result<iq3_xxs_search> found;
  encode_lattice(x, importance, found);
  pack_lattice_scales(found, p);
  const bool any = found.largest > 0.0f;
  for (int k = 0; k < 32; ++k)
    codes[k] = any ? found.index[2 * k] | static_cast<std::uint32_t>(found.index[2 * k + 1]) << 8 |
                         static_cast<std::uint32_t>(found.signs[k]) << 16
                   : 0u;
}

/// The reference does not step over a run of 32 zeros when it writes the low bytes and the signs, only when it writes
/// the ninth bits: what follows such a run in its block lands one run too early. The bytes here are the same.
NBIT_NOINLINE inline void encode_iq3_s(const float* x, const float* importance, iq_params<8>& p, std::uint16_t* codes) {
  lattice_result<iq3_s_search> found;
  encode_lattice(x, importance, found);
  pack_lattice_scales(found, p);
  for (int k = 0; k < 64; ++k) codes[k] = static_cast<std::uint16_t>(found.index[k] & 256u);
  for (int r = 0, to = 0; r < 8; ++r) {
    if (found.empty[r]) continue;
    for (int k = 8 * r; k < 8 * r + 8; ++k, ++to) {
      const unsigned signs = found.signs[k / 2] >> (4 * (k % 2)) & 15u;
      codes[to] = static_cast<std::uint16_t>(codes[to] | (found.index[k] & 255u) | signs << 9);
    }
  }
}

/// The code nearest to 8 weights: each half has its best point with and without one changed sign, and the signs of both
/// must come out even.
NBIT_NOINLINE inline int nearest_iq3_xxs(const float* w, float step) {
  float x[8];
  unsigned signs = solver_signs<8>(w, step, x);
  const nearest_points a = nearest_lattice_points<iq3_xxs_grid, true>(x, nbit::abs(step));
  const nearest_points b = nearest_lattice_points<iq3_xxs_grid, true>(x + 4, nbit::abs(step));
  const bool even = (__builtin_popcount(signs) & 1) == 0;
  const float same = even ? a.plain_error + b.plain_error : a.flipped_error + b.plain_error;
  const float other = even ? a.flipped_error + b.flipped_error : a.plain_error + b.flipped_error;
  const bool flip_a = other < same ? even : !even, flip_b = other < same;
  if (flip_a) signs ^= 1u << a.flipped_weight;
  if (flip_b) signs ^= 16u << b.flipped_weight;
  const int low = flip_a ? a.flipped : a.plain, high = flip_b ? b.flipped : b.plain;
  return low | high << 8 | static_cast<int>(signs & 127u) << 16;
}

NBIT_NOINLINE inline int nearest_iq3_s(const float* w, float step) {
  float x[4];
  const unsigned signs = solver_signs<4>(w, step, x);
  return nearest_lattice_points<iq3_s_grid, false>(x, nbit::abs(step)).plain | static_cast<int>(signs) << 9;
}

inline iq_params<8> load_iq3_xxs_params(const std::byte* from) {
  iq_params<8> p{load_f16(from), {}};
  for (int s = 0; s < 8; ++s)
    p.packed[s / 2] = static_cast<std::uint8_t>(p.packed[s / 2] | (load_u32(from + 66 + 4 * s) >> 28) << (4 * (s % 2)));
  return p;
}
inline void load_iq3_xxs_codes(const std::byte* from, std::uint32_t* codes) {
  for (int k = 0; k < 32; ++k)
    codes[k] = load_u16(from + 2 + 2 * k) | (load_u32(from + 66 + 4 * (k / 4)) >> (7 * (k % 4)) & 127u) << 16;
}
inline void store_iq3_xxs(std::byte* to, const iq_params<8>& p, const std::uint32_t* codes) {
  store_f16(to, p.d);
  for (int k = 0; k < 32; ++k) store_u16(to + 2 + 2 * k, static_cast<std::uint16_t>(codes[k] & 0xffffu));
  for (int s = 0; s < 8; ++s) {
    std::uint32_t word = static_cast<std::uint32_t>(p.nibble(s)) << 28;
    for (int k = 0; k < 4; ++k) word |= (codes[4 * s + k] >> 16 & 127u) << (7 * k);
    store_u32(to + 66 + 4 * s, word);
  }
}

inline void load_iq3_s_codes(const std::byte* from, std::uint16_t* codes) {
  for (int k = 0; k < 64; ++k) {
    const unsigned low = std::to_integer<unsigned>(from[k]),
                   ninth = std::to_integer<unsigned>(from[64 + k / 8]) >> (k % 8);
    const unsigned signs = std::to_integer<unsigned>(from[72 + k / 2]) >> (4 * (k % 2));
    codes[k] = static_cast<std::uint16_t>(low | (ninth & 1u) << 8 | (signs & 15u) << 9);
  }
}
inline void store_iq3_s_codes(std::byte* to, const std::uint16_t* codes) {
  for (int k = 0; k < 64; ++k) to[k] = static_cast<std::byte>(codes[k] & 255u);
  for (int j = 0; j < 8; ++j) {
    unsigned ninths = 0;
    for (int k = 0; k < 8; ++k) ninths |= (codes[8 * j + k] >> 8 & 1u) << k;
    to[64 + j] = static_cast<std::byte>(ninths);
  }
  for (int b = 0; b < 32; ++b)
    to[72 + b] = static_cast<std::byte>((codes[2 * b] >> 9 & 15u) | (codes[2 * b + 1] >> 9 & 15u) << 4);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's IQ3_XXS: 3.0625 bits a weight on 256 points.
struct iq3_xxs {
  static constexpr int bits = 23, step = 8, group = 256, ggml_type = 18;
  static constexpr std::size_t block_bytes = 98;
  static constexpr const char* name = "IQ3_XXS";
  using params = iq_params<8>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_lattice_group<iq3_xxs>(w, importance);
  }
  /// The nearest of all codes; importance does not count.
  NBIT_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq3_xxs(w.data(), step_of_run(p, i >> 5));
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c), signs = ggml_block::even_signs(u >> 16 & 127u);
    const float d = step_of_run(p, i >> 5);
    ggml_block::point_values<iq3_xxs_grid>(u & 255u, signs, d, out.data());
    ggml_block::point_values<iq3_xxs_grid>(u >> 8 & 255u, signs >> 4, d, out.data() + 4);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float, params& p,
                                 std::span<std::uint32_t> codes) {
    ggml_block::encode_lattice_group<iq3_xxs>(w, importance, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, params& p, std::uint32_t* c) {
    ggml_block::encode_iq3_xxs(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq3_xxs_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint32_t* codes) {
    ggml_block::load_iq3_xxs_codes(from, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint32_t* codes) {
    ggml_block::store_iq3_xxs(to, p, codes);
  }
  NBIT_INLINE static float step_of_run(const params& p, int s) {
    return static_cast<float>(p.d) * (0.5f + static_cast<float>(p.nibble(s))) * 0.5f;
  }
};

/// ggml's IQ3_S: 3.4375 bits a weight on 512 points.
struct iq3_s {
  static constexpr int bits = 13, step = 4, group = 256, ggml_type = 21;
  static constexpr std::size_t block_bytes = 110;
  static constexpr const char* name = "IQ3_S";
  using params = iq_params<8>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_lattice_group<iq3_s>(w, importance);
  }
  /// The nearest of all codes; importance does not count.
  NBIT_INLINE static int code(std::span<const float> w, const params& p, int i) {
    return ggml_block::nearest_iq3_s(w.data(), step_of_run(p, i >> 5));
  }
  NBIT_INLINE static void value(int c, const params& p, int i, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c);
    ggml_block::point_values<iq3_s_grid>(u & 511u, u >> 9 & 15u, step_of_run(p, i >> 5), out.data());
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float, params& p,
                                 std::span<std::uint16_t> codes) {
    ggml_block::encode_lattice_group<iq3_s>(w, importance, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, params& p, std::uint16_t* c) {
    ggml_block::encode_iq3_s(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    params p{load_f16(from), {}};
    __builtin_memcpy(p.packed, from + 106, sizeof p.packed);
    return p;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    ggml_block::load_iq3_s_codes(from + 2, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_iq3_s_codes(to + 2, codes);
    __builtin_memcpy(to + 106, p.packed, sizeof p.packed);
  }
  NBIT_INLINE static float step_of_run(const params& p, int s) {
    return static_cast<float>(p.d) * (1.0f + 2.0f * static_cast<float>(p.nibble(s)));
  }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_iq3.hpp
// BEGIN nbit/format/ggml_iq4.hpp
// nbit/format/ggml_iq4.hpp — IQ4_NL, IQ4_XS and MXFP4: 4-bit codes that name one of 16 uneven levels.
//
//   IQ4_NL  f16 d | 16 bytes of nibbles                                              w = d * level(q)           18
//   bytes IQ4_XS  f16 d | u16: upper 2 bits of 8 scales | 4 bytes: their low nibbles       w = (d * (s - 32)) *
//   level(q)
//           | 128 bytes of nibbles                                                                             136
//           bytes
//   MXFP4   u8 e | 16 bytes of nibbles                                               w = level(q) * 2^(e - 128) 17
//   bytes
// Nibbles: 16 bytes for each 32 codes, byte j holds codes j (low) and j + 16 (high). MXFP4's levels are E2M1 doubled,
// so its scale is halved. Ref: ggml (MIT); OCP Microscaling Formats 1.0; docs/formats.md.
#ifndef NBIT_FORMAT_GGML_IQ4_HPP
#define NBIT_FORMAT_GGML_IQ4_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/format/ggml_legacy.hpp
// nbit/format/ggml_legacy.hpp — Q4_0, Q4_1, Q5_0, Q5_1: 32 weights, one or two f16 numbers, 4 or 5 bits a code.
//
//   Q4_0  d | 16 bytes of nibbles               w = d * (q - 8)          18 bytes
//   Q4_1  d | m | 16 bytes                      w = d * q + m            20 bytes
//   Q5_0  d | 32 high bits | 16 bytes           w = d * (q - 16)         22 bytes
//   Q5_1  d | m | 32 high bits | 16 bytes       w = d * q + m            24 bytes
// Byte j of the nibbles holds the low 4 bits of code j (low nibble) and of code j + 16; high bit j belongs to code j.
// The reference picks codes with the scale before it is rounded to f16. Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_LEGACY_HPP
#define NBIT_FORMAT_GGML_LEGACY_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// v truncated to an integer and kept to 8 bits, as a conversion to int8 does there; out of range and NaN give 0.
NBIT_INLINE int truncated(float v) {
  return nbit::abs(v) < 2147483648.0f ? static_cast<std::int8_t>(static_cast<int>(v) & 0xff) : 0;
}

/// Grid d * (code - Half): d from the signed value of largest magnitude, or a weighted search around it.
template <int Half, class Params>
NBIT_NOINLINE void encode_centred(const float* x, const float* importance, float mean_square, Params& p,
                                  std::uint8_t* codes) {
  NBIT_EXACT
  if (importance != nullptr) {
    float weight[32];
    importance_weights<32>(x, importance, mean_square, weight);
    p.d = f16::from(signed_search<32, Half>(x, weight, codes));
    return;
  }
  const float d = largest_signed<32>(x) / static_cast<float>(-Half);
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  p.d = f16::from(d);
  for (int i = 0; i < 32; ++i) {
    const int code = truncated(x[i] * inverse + (static_cast<float>(Half) + 0.5f));
    codes[i] = static_cast<std::uint8_t>(code < 2 * Half ? code : 2 * Half - 1);
  }
}

/// Grid d * code + m: the range of the group, or a weighted search inside it with m held at or below 0.
template <int High, class Params>
NBIT_NOINLINE void encode_ranged(const float* x, const float* importance, float mean_square, Params& p,
                                 std::uint8_t* codes) {
  NBIT_EXACT
  if (importance != nullptr) {
    float weight[32];
    importance_weights<32>(x, importance, mean_square, weight);
    const lowered_grid grid = lowered_search<32, High, 37, false>(x, weight, codes, -0.9f, 0.05f);
    p.d = f16::from(grid.scale);
    p.m = f16::from(-grid.lowered);
    return;
  }
  float low = x[0], top = x[0];
  for (int i = 1; i < 32; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > top) top = x[i];
  }
  const float d = (top - low) / static_cast<float>(High);
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  p.d = f16::from(d);
  p.m = f16::from(low);
  for (int i = 0; i < 32; ++i) {
    const int code = truncated((x[i] - low) * inverse + 0.5f);
    codes[i] = static_cast<std::uint8_t>(code < High ? code : High);
  }
}

NBIT_INLINE void load_split_nibbles(const std::byte* from, std::uint8_t* codes) {
  auto low = byte_run<16>::load(from), high = low;
  for (int j = 0; j < 16; ++j) low.v[j] = static_cast<std::uint8_t>(low.v[j] & 15u);
  for (int j = 0; j < 16; ++j) high.v[j] = static_cast<std::uint8_t>(high.v[j] >> 4);
  low.store(codes), high.store(codes + 16);
}

inline void store_split_nibbles(std::byte* to, const std::uint8_t* codes) {
  for (int j = 0; j < 16; ++j) to[j] = static_cast<std::byte>((codes[j] & 15u) | (codes[j + 16] & 15u) << 4);
}

NBIT_INLINE void load_fifth_bits(const std::byte* from, std::uint8_t* codes) {
  load_split_nibbles(from + 4, codes);
  auto c = byte_run<32>::load(codes);
  byte_run<32> mask;
  for (int j = 0; j < 32; ++j) mask.v[j] = std::to_integer<std::uint8_t>(from[j / 8]);  // each mask byte eight times
  constexpr std::uint8_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  for (int j = 0; j < 32; ++j) c.v[j] = static_cast<std::uint8_t>(c.v[j] | ((mask.v[j] & bit[j % 8]) != 0 ? 16 : 0));
  c.store(codes);
}

inline void store_fifth_bits(std::byte* to, const std::uint8_t* codes) {
  std::uint32_t high = 0;
  for (int j = 0; j < 32; ++j) high |= (codes[j] >> 4 & 1u) << j;
  store_u32(to, high);
  store_split_nibbles(to + 4, codes);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q4_0: 4.5 bits a weight, symmetric.
struct q4_0 {
  static constexpr int bits = 4, group = 32, run = 32, ggml_type = 2;
  static constexpr std::size_t block_bytes = 18;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q4_0";
  struct params {
    f16 d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q4_0>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -8, 7) + 8;
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(c - 8) * static_cast<float>(p.d);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q4_0>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float row_mean_square, params& p,
                                       std::uint8_t* c) {
    ggml_block::encode_centred<8>(x, q, row_mean_square, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_split_nibbles(from + 2, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_split_nibbles(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 8; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// ggml's Q4_1: 5 bits a weight, scale and smallest value.
struct q4_1 {
  static constexpr int bits = 4, group = 32, run = 32, ggml_type = 3;
  static constexpr std::size_t block_bytes = 20;
  static constexpr bool symmetric = false, exact_levels = true;
  static constexpr const char* name = "Q4_1";
  struct params {
    f16 d, m;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q4_1>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), static_cast<float>(p.m), 0, 15);
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    NBIT_EXACT
    return static_cast<float>(c) * static_cast<float>(p.d) + static_cast<float>(p.m);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q4_1>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float row_mean_square, params& p,
                                       std::uint8_t* c) {
    ggml_block::encode_ranged<15>(x, q, row_mean_square, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from), load_f16(from + 2)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_split_nibbles(from + 4, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    store_f16(to + 2, p.m);
    ggml_block::store_split_nibbles(to + 4, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params& p, int) { return static_cast<float>(p.m); }
};

/// ggml's Q5_0: 5.5 bits a weight, symmetric.
struct q5_0 {
  static constexpr int bits = 5, group = 32, run = 32, ggml_type = 6;
  static constexpr std::size_t block_bytes = 22;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q5_0";
  struct params {
    f16 d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q5_0>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -16, 15) + 16;
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(c - 16) * static_cast<float>(p.d);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q5_0>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float row_mean_square, params& p,
                                       std::uint8_t* c) {
    ggml_block::encode_centred<16>(x, q, row_mean_square, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_fifth_bits(from + 2, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_fifth_bits(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 16; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// ggml's Q5_1: 6 bits a weight, scale and smallest value.
struct q5_1 {
  static constexpr int bits = 5, group = 32, run = 32, ggml_type = 7;
  static constexpr std::size_t block_bytes = 24;
  static constexpr bool symmetric = false, exact_levels = true;
  static constexpr const char* name = "Q5_1";
  struct params {
    f16 d, m;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q5_1>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), static_cast<float>(p.m), 0, 31);
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    NBIT_EXACT
    return static_cast<float>(c) * static_cast<float>(p.d) + static_cast<float>(p.m);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q5_1>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float row_mean_square, params& p,
                                       std::uint8_t* c) {
    ggml_block::encode_ranged<31>(x, q, row_mean_square, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from), load_f16(from + 2)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_fifth_bits(from + 4, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    store_f16(to + 2, p.m);
    ggml_block::store_fifth_bits(to + 4, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params& p, int) { return static_cast<float>(p.m); }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_legacy.hpp

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// The levels of IQ4_NL and IQ4_XS, ascending.
inline constexpr std::int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

/// The levels of MXFP4: E2M1 doubled; code 8 is a second zero.
inline constexpr std::int8_t mxfp4_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// What IQ4_XS stores for 256 weights besides the codes.
struct iq4_xs_params {
  f16 d;
  std::uint16_t high;  // 2 bits for each scale
  std::uint8_t low[4];

  /// The signed scale of run s, -32 .. 31.  Needs: 0 <= s < 8.
  NBIT_INLINE constexpr int scale_of(int s) const {
    return ((low[s >> 1] >> (4 * (s & 1)) & 15) | (high >> (2 * s) & 3) << 4) - 32;
  }
  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scale_of(s)); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// The IQ4 level nearest to v; of two equally near, the upper.
NBIT_INLINE int nearest_iq4(float v) {
  int l = v >= static_cast<float>(iq4_levels[8]) ? 8 : 0;
  l += v >= static_cast<float>(iq4_levels[l + 4]) ? 4 : 0;
  l += v >= static_cast<float>(iq4_levels[l + 2]) ? 2 : 0;
  l += v >= static_cast<float>(iq4_levels[l + 1]) ? 1 : 0;
  if (l == 15) return 15;
  return v - static_cast<float>(iq4_levels[l]) < static_cast<float>(iq4_levels[l + 1]) - v ? l : l + 1;
}

/// The scale of 32 weights on the IQ4 levels: 15 inverse scales around -127 / largest, least squares for each.
inline float iq4_search(const float* x, const float* weight) {
  NBIT_EXACT
  const float largest = largest_signed<32>(x);
  if (nbit::abs(largest) < negligible) return 0.0f;
  float scale = 0.0f, best = 0.0f;
  for (int k = -8; k <= 7; ++k) {  // -8 stands for the plain scale, computed as a quotient of one
    const float inverse = k == -8 ? 1.0f / (-largest / -127.0f) : static_cast<float>(k - 127) / largest;
    float wqx = 0.0f, wqq = 0.0f;
    for (int i = 0; i < 32; ++i) {
      const float q = static_cast<float>(iq4_levels[nearest_iq4(inverse * x[i])]), wq = weight[i] * q;
      wqx += wq * x[i];
      wqq += wq * q;
    }
    if (k == -8) {
      scale = wqq > 0.0f ? wqx / wqq : 0.0f;
      best = scale * wqx;
    } else if (wqq > 0.0f && wqx * wqx > best * wqq) {
      scale = wqx / wqq;
      best = scale * wqx;
    }
  }
  return scale;
}

/// weight: x^2, or the importance times sqrt(variance + x^2).
inline void iq4_weights(const float* x, const float* importance, float variance, float* weight) {
  NBIT_EXACT
  if (importance != nullptr) return importance_weights<32>(x, importance, variance, weight);
  for (int i = 0; i < 32; ++i) weight[i] = x[i] * x[i];
}

NBIT_NOINLINE inline void encode_iq4_nl(const float* x, const float* importance, f16& d, std::uint8_t* codes) {
  NBIT_EXACT
  float weight[32];
  iq4_weights(x, importance, sum_of_squares<32>(x) * (2.0f / 32.0f), weight);
  const float scale = iq4_search(x, weight), inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  d = f16::from(scale);
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>(nearest_iq4(inverse * x[i]));
}

NBIT_NOINLINE inline void encode_iq4_xs(const float* x, const float* importance, iq4_xs_params& p,
                                        std::uint8_t* codes) {
  NBIT_EXACT
  float weight[32], scales[8];
  const float variance = sum_of_squares<256>(x) * (2.0f / 256.0f);
  for (int s = 0; s < 8; ++s) {
    iq4_weights(x + 32 * s, importance != nullptr ? importance + 32 * s : nullptr, variance, weight);
    scales[s] = iq4_search(x + 32 * s, weight);
  }
  const float d = -largest_signed<8>(scales) / 32.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
  p = iq4_xs_params{};
  p.d = f16::from(d);
  for (int s = 0; s < 8; ++s) {
    const int l = level_of(inverse * scales[s], -32, 31);
    const float step = d * static_cast<float>(l), per_step = step != 0.0f ? 1.0f / step : 0.0f;
    for (int i = 32 * s; i < 32 * s + 32; ++i) codes[i] = static_cast<std::uint8_t>(nearest_iq4(per_step * x[i]));
    p.low[s / 2] = static_cast<std::uint8_t>(p.low[s / 2] | ((l + 32) & 15) << (4 * (s % 2)));
    p.high = static_cast<std::uint16_t>(p.high | ((l + 32) >> 4) << (2 * s));
  }
}

/// Half of 2^(e - 127), also below the normal range.
NBIT_INLINE constexpr float mxfp4_scale(e8m0 e) {
  const std::uint32_t bits = e.bits < 2 ? 0x200000u << e.bits : (static_cast<std::uint32_t>(e.bits) - 1u) << 23;
  return std::bit_cast<float>(bits);
}

/// The MXFP4 code nearest to v; of equally near ones the first.
inline int nearest_mxfp4(float v, float scale) {
  int code = 0;
  float least = nbit::abs(v);
  for (int c = 1; c < 16; ++c) {
    const float error = nbit::abs(static_cast<float>(mxfp4_levels[c]) * scale - v);
    if (error < least) least = error, code = c;
  }
  return code;
}

NBIT_NOINLINE inline void encode_mxfp4(const float* x, e8m0& e, std::uint8_t* codes) {
  const float size = nbit::abs(largest_signed<32>(x));
  // The reference takes log2 in float, which rounds up just below large powers of two, and narrows without a check.
  const float rounded = size > 0.0f ? static_cast<float>(log2_exact(static_cast<double>(size))) : 0.0f;
  const int field = size > 0.0f ? static_cast<int>(__builtin_floorf(rounded)) - 2 + 127 : 0;
  e = e8m0::from_bits(static_cast<std::uint8_t>(field & 255));
  const float scale = mxfp4_scale(e);
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>(nearest_mxfp4(x[i], scale));
}

inline iq4_xs_params load_iq4_xs_params(const std::byte* from) {
  iq4_xs_params p;
  p.d = load_f16(from), p.high = load_u16(from + 2);
  for (int i = 0; i < 4; ++i) p.low[i] = std::to_integer<std::uint8_t>(from[4 + i]);
  return p;
}
inline void load_iq4_xs_codes(const std::byte* from, std::uint8_t* codes) {
  for (int s = 0; s < 8; ++s) load_split_nibbles(from + 8 + 16 * s, codes + 32 * s);
}
inline void store_iq4_xs(std::byte* to, const iq4_xs_params& p, const std::uint8_t* codes) {
  store_f16(to, p.d), store_u16(to + 2, p.high);
  for (int i = 0; i < 4; ++i) to[4 + i] = static_cast<std::byte>(p.low[i]);
  for (int s = 0; s < 8; ++s) store_split_nibbles(to + 8 + 16 * s, codes + 32 * s);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's IQ4_NL: 4.5 bits a weight on 16 uneven levels.
struct iq4_nl {
  static constexpr int bits = 4, group = 32, run = 32, ggml_type = 20;
  static constexpr std::size_t block_bytes = 18;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "IQ4_NL";
  struct params {
    f16 d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<iq4_nl>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    const float d = static_cast<float>(p.d);
    return d != 0.0f ? ggml_block::nearest_iq4(v / d) : 8;
  }
  NBIT_INLINE static float value(int c, const params& p, int) { return scale(p, 0) * static_cast<float>(level(c)); }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<iq4_nl>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_iq4_nl(x, q, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_split_nibbles(from + 2, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_split_nibbles(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return iq4_levels[c & 15]; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// ggml's IQ4_XS: 4.25 bits a weight, the levels of IQ4_NL and a 6-bit scale for each 32 of 256 weights.
struct iq4_xs {
  static constexpr int bits = 4, group = 256, run = 32, ggml_type = 23;
  static constexpr std::size_t block_bytes = 136;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "IQ4_XS";
  using params = iq4_xs_params;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<iq4_xs>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int i) {
    const float d = p.step(i >> 5);
    return d != 0.0f ? ggml_block::nearest_iq4(v / d) : 8;
  }
  NBIT_INLINE static float value(int c, const params& p, int i) {
    return p.step(i >> 5) * static_cast<float>(level(c));
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<iq4_xs>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_iq4_xs(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_iq4_xs_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_iq4_xs_codes(from, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_iq4_xs(to, p, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return iq4_levels[c & 15]; }
  NBIT_INLINE static float scale(const params& p, int s) { return p.step(s); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// ggml's MXFP4: 4.25 bits a weight, E2M1 codes under a power-of-two scale; importance is ignored, as in the reference.
struct mxfp4 {
  static constexpr int bits = 4, group = 32, run = 32, ggml_type = 39;
  static constexpr std::size_t block_bytes = 17;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "MXFP4";
  struct params {
    e8m0 e;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<mxfp4>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) { return ggml_block::nearest_mxfp4(v, scale(p, 0)); }
  NBIT_INLINE static float value(int c, const params& p, int) { return static_cast<float>(level(c)) * scale(p, 0); }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<mxfp4>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_mxfp4(x, p.e, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    return {e8m0::from_bits(std::to_integer<std::uint8_t>(from[0]))};
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_split_nibbles(from + 1, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    to[0] = static_cast<std::byte>(p.e.bits);
    ggml_block::store_split_nibbles(to + 1, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return mxfp4_levels[c & 15]; }
  NBIT_INLINE static float scale(const params& p, int) { return ggml_block::mxfp4_scale(p.e); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_iq4.hpp
// BEGIN nbit/format/ggml_low_bit.hpp
// nbit/format/ggml_low_bit.hpp — Q1_0 and Q2_0: one or two bits a weight and one f16 scale for each group.
//
//   Q1_0  f16 d | 16 bytes: 128 bits, lowest first                w = bit ? d : -d         18 bytes
//   Q2_0  f16 d | 16 bytes: 64 codes of 2 bits, lowest first      w = d * (q - 1)          18 bytes
// Q1_0's scale is the mean magnitude, Q2_0's the largest one; Q2_0's reference never writes code 3 (2 d).
// Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_LOW_BIT_HPP
#define NBIT_FORMAT_GGML_LOW_BIT_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

NBIT_NOINLINE inline void encode_q1_0(const float* x, f16& d, std::uint8_t* codes) {
  float sum = 0.0f;
  for (int i = 0; i < 128; ++i) sum += nbit::abs(x[i]);
  d = f16::from(sum / 128.0f);
  for (int i = 0; i < 128; ++i) codes[i] = x[i] >= 0.0f ? 1 : 0;
}

NBIT_NOINLINE inline void encode_q2_0(const float* x, f16& d, std::uint8_t* codes) {
  const float size = nbit::abs(largest_signed<64>(x)), inverse = size > 0.0f ? 1.0f / size : 0.0f;
  d = f16::from(size);
  for (int i = 0; i < 64; ++i) {
    // Infinite or NaN, where the inverse overflowed, is the lowest code: the reference's conversion gives INT_MIN.
    const float v = x[i] * inverse, a = nbit::abs(v);
    codes[i] = static_cast<std::uint8_t>(a < 0.5f ? 1 : (v > 0.0f && a < 1.5f ? 2 : 0));
  }
}

/// Codes of Bits bits, 8 / Bits to a byte, lowest bits first.
template <int N, int Bits>
void load_small_codes(const std::byte* from, std::uint8_t* codes) {
  constexpr int per_byte = 8 / Bits;
  if constexpr (Bits == 2) {  // the four codes of a byte meet the low bits of four bytes
    for (int j = 0; j < N / 4; ++j) {
      const std::uint32_t b = std::to_integer<std::uint32_t>(from[j]);
      store_u32(reinterpret_cast<std::byte*>(codes + 4 * j), (b | b << 6 | b << 12 | b << 18) & 0x03030303u);
    }
  } else {
    for (int i = 0; i < N; ++i)
      codes[i] = static_cast<std::uint8_t>(std::to_integer<unsigned>(from[i / per_byte]) >> (Bits * (i % per_byte)) &
                                           ((1u << Bits) - 1u));
  }
}
template <int N, int Bits>
void store_small_codes(std::byte* to, const std::uint8_t* codes) {
  constexpr int per_byte = 8 / Bits;
  for (int j = 0; j < N / per_byte; ++j) {
    unsigned b = 0;
    for (int k = 0; k < per_byte; ++k) b |= (codes[j * per_byte + k] & ((1u << Bits) - 1u)) << (Bits * k);
    to[j] = static_cast<std::byte>(b);
  }
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q1_0: 1.125 bits a weight, signs and one magnitude.
struct q1_0 {
  static constexpr int bits = 1, group = 128, run = 128, ggml_type = 41;
  static constexpr std::size_t block_bytes = 18;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q1_0";
  struct params {
    f16 d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q1_0>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return (static_cast<float>(p.d) >= 0.0f) == (v >= 0.0f) ? 1 : 0;
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(p.d) * static_cast<float>(level(c));
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q1_0>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q1_0(x, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_small_codes<128, 1>(from + 2, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_small_codes<128, 1>(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return 2 * c - 1; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// ggml's Q2_0: 2.25 bits a weight, codes mean -d, 0, d, 2 d.
struct q2_0 {
  static constexpr int bits = 2, group = 64, run = 64, ggml_type = 42;
  static constexpr std::size_t block_bytes = 18;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q2_0";
  struct params {
    f16 d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q2_0>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -1, 2) + 1;
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(p.d) * static_cast<float>(level(c));
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q2_0>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q2_0(x, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_small_codes<64, 2>(from + 2, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_small_codes<64, 2>(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 1; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_low_bit.hpp
// BEGIN nbit/format/ggml_nvfp4.hpp
// nbit/format/ggml_nvfp4.hpp — NVFP4: 64 weights on the E2M1 levels, an unsigned 8-bit float scale for each 16.
//
//   4 bytes: scale of each run of 16 | 32 bytes of nibbles                    w = level(q) * scale / 2     36 bytes
// Nibbles: 8 bytes for each run, byte j holds codes j (low) and j + 8 (high). Scales are UE4M3: e4m3 without a sign,
// where 0 and 0x7f mean 0; the levels are E2M1 doubled, so the scale is halved. No scale for the whole tensor is
// stored. Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_NVFP4_HPP
#define NBIT_FORMAT_GGML_NVFP4_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// What NVFP4 stores for 64 weights besides the codes.
struct nvfp4_params {
  std::uint8_t scale[4];  // UE4M3

  /// What one doubled level is worth in run s.  Needs: 0 <= s < 4.
  NBIT_INLINE constexpr float step(int s) const {
    const std::uint32_t code = scale[s] & 0x7fu;  // a sign bit is ignored, but for the code of NaN
    return scale[s] == 0x7f ? 0.0f : 0.5f * detail::small_float_value<4, 3>(code);
  }
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// UE4M3 as the reference rounds it: halves up, subnormals held at 7, and all from 248 on becomes 448.
NBIT_INLINE std::uint8_t ue4m3_code(float v) {
  NBIT_EXACT
  if (!(v > 0.0f)) return 0;
  if (v < 0.015625f) {  // below the least normal number, 2^-6
    const int fraction = static_cast<int>(v * 512.0f + 0.5f);
    return static_cast<std::uint8_t>(fraction < 7 ? fraction : 7);
  }
  if (v >= 256.0f) return 0x7e;
  const std::uint32_t rounded = (std::bit_cast<std::uint32_t>(v) + 0x80000u) >> 20;
  const std::uint32_t code = rounded - ((127u - 7u) << 3);
  return static_cast<std::uint8_t>(code < 0x78u ? code : 0x7eu);
}

NBIT_NOINLINE inline void encode_nvfp4(const float* x, nvfp4_params& p, std::uint8_t* codes) {
  for (int s = 0; s < 4; ++s) {
    p.scale[s] = ue4m3_code(nbit::abs(largest_signed<16>(x + 16 * s)) / 6.0f);
    const float step = p.step(s);
    for (int i = 16 * s; i < 16 * s + 16; ++i) codes[i] = static_cast<std::uint8_t>(nearest_mxfp4(x[i], step));
  }
}

inline void load_nvfp4_codes(const std::byte* from, std::uint8_t* codes) {
  for (int s = 0; s < 4; ++s)
    for (int j = 0; j < 8; ++j) {
      const unsigned b = std::to_integer<unsigned>(from[8 * s + j]);
      codes[16 * s + j] = static_cast<std::uint8_t>(b & 15u);
      codes[16 * s + 8 + j] = static_cast<std::uint8_t>(b >> 4);
    }
}
inline void store_nvfp4_codes(std::byte* to, const std::uint8_t* codes) {
  for (int s = 0; s < 4; ++s)
    for (int j = 0; j < 8; ++j)
      to[8 * s + j] = static_cast<std::byte>((codes[16 * s + j] & 15u) | (codes[16 * s + 8 + j] & 15u) << 4);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's NVFP4: 4.5 bits a weight, 4-bit floats with an 8-bit float scale for each 16.
struct nvfp4 {
  static constexpr int bits = 4, group = 64, run = 16, ggml_type = 40;
  static constexpr std::size_t block_bytes = 36;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "NVFP4";
  using params = nvfp4_params;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<nvfp4>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int i) { return ggml_block::nearest_mxfp4(v, p.step(i >> 4)); }
  NBIT_INLINE static float value(int c, const params& p, int i) {
    return p.step(i >> 4) * static_cast<float>(level(c));
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<nvfp4>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_nvfp4(x, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    params p;
    __builtin_memcpy(p.scale, from, sizeof p.scale);
    return p;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_nvfp4_codes(from + 4, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    __builtin_memcpy(to, p.scale, sizeof p.scale);
    ggml_block::store_nvfp4_codes(to + 4, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return mxfp4_levels[c & 15]; }
  NBIT_INLINE static float scale(const params& p, int s) { return p.step(s); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_nvfp4.hpp
// BEGIN nbit/format/ggml_q2_k.hpp
// nbit/format/ggml_q2_k.hpp — Q2_K: 256 weights in 16 runs of 16, each with a 4-bit scale and a 4-bit minimum.
//
//   16 bytes: scale (low nibble), minimum (high nibble) | 64 bytes of 2-bit codes | f16 d | f16 dmin        84 bytes
//   w = (d * scale) * q - (dmin * min)
// Two halves of 128 codes; byte l of a half's 32 holds codes l, l + 32, l + 64, l + 96 at bits 0, 2, 4, 6.
// Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_Q2_K_HPP
#define NBIT_FORMAT_GGML_Q2_K_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// What Q2_K stores for 256 weights besides the codes: scales[s] is the scale (low nibble) and minimum (high) of run s.
struct q2_k_params {
  std::uint8_t scales[16];
  f16 d, dmin;

  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scales[s] & 15); }
  NBIT_INLINE float lowered(int s) const { return static_cast<float>(dmin) * static_cast<float>(scales[s] >> 4); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

/// Scales or minima of 16 runs as 0 .. 15 times a step; returns the step, not yet rounded to f16.
inline float four_bits_by_maximum(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  float top = 0.0f;
  for (int s = 0; s < 16; ++s) top = x[s] > top ? x[s] : top;
  if (!(top > 0.0f)) {
    for (int s = 0; s < 16; ++s) codes[s] = 0;
    return 0.0f;
  }
  const float inverse = 15.0f / top;
  for (int s = 0; s < 16; ++s) codes[s] = static_cast<std::uint8_t>(round_even(inverse * x[s]) & 15);
  return top / 15.0f;
}

NBIT_NOINLINE inline void encode_q2_k(const float* x, const float* importance, q2_k_params& p, std::uint8_t* codes) {
  NBIT_EXACT
  float weight[16], sums[16], scales[16], minima[16];
  std::uint8_t four_scales[16], four_minima[16];
  const float variance = importance != nullptr ? sum_of_squares<256>(x) / 256.0f : 0.0f;
  for (int s = 0; s < 16; ++s) {
    const float* run = x + 16 * s;
    lowered_grid grid;
    if (importance != nullptr) {
      importance_weights<16>(run, importance + 16 * s, variance, weight);
      sums[s] = sum_of<16>(weight);
      grid = lowered_search<16, 3, 37, false>(run, weight, codes + 16 * s, -0.9f, 0.05f);
    } else {
      for (int i = 0; i < 16; ++i) weight[i] = nbit::abs(run[i]);
      grid = lowered_search<16, 3, 16, true>(run, weight, codes + 16 * s, -0.5f, 0.1f);
    }
    scales[s] = grid.scale, minima[s] = grid.lowered;
  }
  if (importance != nullptr) {
    p.d = f16::from(positive_search<16, 15>(scales, sums, four_scales));
    p.dmin = f16::from(positive_search<16, 15>(minima, sums, four_minima));
  } else {
    p.d = f16::from(four_bits_by_maximum(scales, four_scales));
    p.dmin = f16::from(four_bits_by_maximum(minima, four_minima));
  }
  for (int s = 0; s < 16; ++s)
    p.scales[s] = static_cast<std::uint8_t>((four_scales[s] & 15) | (four_minima[s] & 15) << 4);
  for (int s = 0; s < 16; ++s) {
    const float d = p.step(s), lowered = p.lowered(s);
    if (d == 0.0f) continue;
    for (int i = 16 * s; i < 16 * s + 16; ++i)
      codes[i] = static_cast<std::uint8_t>(level_of((x[i] + lowered) / d, 0, 3));
  }
}

/// The 64 bytes of low 2 bits that Q2_K and Q3_K share.
NBIT_INLINE void load_crumbs(const std::byte* from, std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    auto bytes = byte_run<32>::load(from + 32 * half);
    for (int k = 0; k < 4; ++k) {
      byte_run<32> c;
      for (int l = 0; l < 32; ++l) c.v[l] = static_cast<std::uint8_t>(bytes.v[l] & 3u);
      for (int l = 0; l < 32; ++l) bytes.v[l] = static_cast<std::uint8_t>(bytes.v[l] >> 2);
      c.store(codes + 128 * half + 32 * k);
    }
  }
}
inline void store_crumbs(std::byte* to, const std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* c = codes + 128 * half;
    for (int l = 0; l < 32; ++l)
      to[32 * half + l] =
          static_cast<std::byte>((c[l] & 3u) | (c[l + 32] & 3u) << 2 | (c[l + 64] & 3u) << 4 | (c[l + 96] & 3u) << 6);
  }
}

inline q2_k_params load_q2_k_params(const std::byte* from) {
  q2_k_params p;
  for (int s = 0; s < 16; ++s) p.scales[s] = std::to_integer<std::uint8_t>(from[s]);
  p.d = load_f16(from + 80), p.dmin = load_f16(from + 82);
  return p;
}
inline void store_q2_k(std::byte* to, const q2_k_params& p, const std::uint8_t* codes) {
  for (int s = 0; s < 16; ++s) to[s] = static_cast<std::byte>(p.scales[s]);
  store_crumbs(to + 16, codes);
  store_f16(to + 80, p.d), store_f16(to + 82, p.dmin);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q2_K: 2.625 bits a weight.
struct q2_k {
  static constexpr int bits = 2, group = 256, run = 16, ggml_type = 10;
  static constexpr std::size_t block_bytes = 84;
  static constexpr bool symmetric = false, exact_levels = true;
  static constexpr const char* name = "Q2_K";
  using params = q2_k_params;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q2_k>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_level(v, p.step(i >> 4), -p.lowered(i >> 4), 0, 3);
  }
  NBIT_INLINE static float value(int c, const params& p, int i) {
    NBIT_EXACT
    return p.step(i >> 4) * static_cast<float>(c) - p.lowered(i >> 4);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q2_k>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q2_k(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_q2_k_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_crumbs(from + 16, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_q2_k(to, p, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c; }
  NBIT_INLINE static float scale(const params& p, int s) { return p.step(s); }
  NBIT_INLINE static float offset(const params& p, int s) { return -p.lowered(s); }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_q2_k.hpp
// BEGIN nbit/format/ggml_q3_k.hpp
// nbit/format/ggml_q3_k.hpp — Q3_K: 256 weights in 16 runs of 16, each with a 6-bit signed scale.
//
//   32 bytes of third bits | 64 bytes of low 2 bits | 12 bytes: 16 scales | f16 d                     110 bytes
//   w = (d * (scale - 32)) * (q - 4)
// Third bits: bit k of byte j belongs to code 32 k + j. Low bits as in Q2_K. Scales: low nibbles of runs 0-7 in the low
// nibbles of bytes 0-7, of runs 8-15 in the high nibbles; upper 2 bits of run s in byte 8 + s % 4 at bit 2 (s / 4).
// Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_Q3_K_HPP
#define NBIT_FORMAT_GGML_Q3_K_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/format/ggml_q4_k.hpp
// nbit/format/ggml_q4_k.hpp — Q4_K and Q5_K: 256 weights in 8 runs of 32, each with a 6-bit scale and a 6-bit minimum.
//
//   Q4_K  f16 d | f16 dmin | 12 bytes: 8 scales, 8 minima | 128 bytes of nibbles                   144 bytes
//   Q5_K  f16 d | f16 dmin | 12 bytes                     | 32 bytes of fifth bits | 128 bytes     176 bytes
//   w = (d * scale) * q - (dmin * min)
// Runs 0-3 keep scale and minimum in the low 6 bits of bytes j and j + 4; runs 4-7 keep their low nibbles in byte
// j + 4 and their upper 2 bits above the fields of run j - 4. Nibbles: 32 bytes for each 64 codes, low nibble = the
// first 32 of them. Fifth bits: bit k of byte j belongs to code 32 k + j. Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_Q4_K_HPP
#define NBIT_FORMAT_GGML_Q4_K_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// What Q4_K and Q5_K store for 256 weights besides the codes.
struct k_scales_and_minima {
  f16 d, dmin;
  std::uint8_t packed[12];

  /// The 6-bit scale and minimum of run s.  Needs: 0 <= s < 8.
  NBIT_INLINE constexpr int scale_of(int s) const {
    return s < 4 ? packed[s] & 63 : (packed[s + 4] & 15) | (packed[s - 4] >> 6) << 4;
  }
  NBIT_INLINE constexpr int minimum_of(int s) const {
    return s < 4 ? packed[s + 4] & 63 : packed[s + 4] >> 4 | (packed[s] >> 6) << 4;
  }
  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scale_of(s)); }
  NBIT_INLINE float lowered(int s) const { return static_cast<float>(dmin) * static_cast<float>(minimum_of(s)); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

inline void pack_scales_and_minima(const std::uint8_t* scales, const std::uint8_t* minima, std::uint8_t* packed) {
  for (int s = 0; s < 4; ++s) {
    packed[s] = static_cast<std::uint8_t>((scales[s] & 63) | (scales[s + 4] >> 4 & 3) << 6);
    packed[s + 4] = static_cast<std::uint8_t>((minima[s] & 63) | (minima[s + 4] >> 4 & 3) << 6);
    packed[s + 8] = static_cast<std::uint8_t>((scales[s + 4] & 15) | (minima[s + 4] & 15) << 4);
  }
}

/// Scales or minima of 8 runs as 0 .. 63 times a step; returns the step, not yet rounded to f16.
inline float six_bits_by_maximum(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  float top = 0.0f;
  for (int s = 0; s < 8; ++s) top = x[s] > top ? x[s] : top;
  const float inverse = top > 0.0f ? 63.0f / top : 0.0f;
  for (int s = 0; s < 8; ++s) {
    const int low_byte = round_even(inverse * x[s]) & 255;
    codes[s] = static_cast<std::uint8_t>(low_byte < 63 ? low_byte : 63);
  }
  return top / 63.0f;
}

/// Codes of 8 runs of 32 under the stored parameters; a run whose scale is 0 keeps the codes it has.
template <int High>
void recode_lowered(const float* x, const k_scales_and_minima& p, std::uint8_t* codes) {
  NBIT_EXACT
  for (int s = 0; s < 8; ++s) {
    const float d = p.step(s), lowered = p.lowered(s);
    if (d == 0.0f) continue;
    for (int i = 32 * s; i < 32 * s + 32; ++i)
      codes[i] = static_cast<std::uint8_t>(level_of((x[i] + lowered) / d, 0, High));
  }
}

/// Q4_K for High = 15, Q5_K for High = 31.
template <int High>
NBIT_NOINLINE void encode_scales_and_minima(const float* x, const float* importance, k_scales_and_minima& p,
                                            std::uint8_t* codes) {
  NBIT_EXACT
  constexpr int steps = High == 15 ? 21 : 16;
  constexpr float first = High == 15 ? -1.0f : -0.5f;
  float weight[32], sums[8], scales[8], minima[8];
  std::uint8_t six_scales[8], six_minima[8];
  const float variance = importance != nullptr ? 2.0f * sum_of_squares<256>(x) / 256.0f : 0.0f;
  for (int s = 0; s < 8; ++s) {
    const float* run = x + 32 * s;
    lowered_grid grid;
    if (importance != nullptr) {
      importance_weights<32>(run, importance + 32 * s, variance, weight);
      sums[s] = sum_of<32>(weight);
      grid = lowered_search<32, High, 37, false>(run, weight, codes + 32 * s, -0.9f, 0.05f);
    } else {
      const float root_mean = __builtin_sqrtf(sum_of_squares<32>(run) / 32.0f);
      for (int i = 0; i < 32; ++i) weight[i] = root_mean + nbit::abs(run[i]);
      grid = lowered_search<32, High, steps, false>(run, weight, codes + 32 * s, first, 0.1f);
    }
    scales[s] = grid.scale, minima[s] = grid.lowered;
  }
  if (importance != nullptr) {
    p.d = f16::from(positive_search<8, 63>(scales, sums, six_scales));
    p.dmin = f16::from(positive_search<8, 63>(minima, sums, six_minima));
  } else {
    p.d = f16::from(six_bits_by_maximum(scales, six_scales));
    p.dmin = f16::from(six_bits_by_maximum(minima, six_minima));
  }
  pack_scales_and_minima(six_scales, six_minima, p.packed);
  recode_lowered<High>(x, p, codes);
}

inline k_scales_and_minima load_scales_and_minima(const std::byte* from) {
  k_scales_and_minima p;
  p.d = load_f16(from), p.dmin = load_f16(from + 2);
  for (int i = 0; i < 12; ++i) p.packed[i] = std::to_integer<std::uint8_t>(from[4 + i]);
  return p;
}
inline void store_scales_and_minima(std::byte* to, const k_scales_and_minima& p) {
  store_f16(to, p.d), store_f16(to + 2, p.dmin);
  for (int i = 0; i < 12; ++i) to[4 + i] = static_cast<std::byte>(p.packed[i]);
}

/// 256 codes' low nibbles: byte j of 32 holds codes j and j + 32 of each 64.
NBIT_INLINE void load_nibbles_by_64(const std::byte* from, std::uint8_t* codes) {
  for (int k = 0; k < 4; ++k) {
    auto low = byte_run<32>::load(from + 32 * k), high = low;
    for (int j = 0; j < 32; ++j) low.v[j] = static_cast<std::uint8_t>(low.v[j] & 15u);
    for (int j = 0; j < 32; ++j) high.v[j] = static_cast<std::uint8_t>(high.v[j] >> 4);
    low.store(codes + 64 * k), high.store(codes + 64 * k + 32);
  }
}
inline void store_nibbles_by_64(std::byte* to, const std::uint8_t* codes) {
  for (int k = 0; k < 4; ++k) {
    for (int j = 0; j < 32; ++j)
      to[32 * k + j] = static_cast<std::byte>((codes[64 * k + j] & 15u) | (codes[64 * k + 32 + j] & 15u) << 4);
  }
}
/// Bit k of byte j is bit `Bit` of code 32 k + j.
template <int Bit>
NBIT_INLINE void load_bit_plane(const std::byte* from, std::uint8_t* codes) {
  auto plane = byte_run<32>::load(from);
  for (int k = 0; k < 8; ++k) {
    auto c = byte_run<32>::load(codes + 32 * k);
    for (int j = 0; j < 32; ++j) c.v[j] = static_cast<std::uint8_t>(c.v[j] | (plane.v[j] & 1u) << Bit);
    for (int j = 0; j < 32; ++j) plane.v[j] = static_cast<std::uint8_t>(plane.v[j] >> 1);
    c.store(codes + 32 * k);
  }
}
template <int Bit>
void store_bit_plane(std::byte* to, const std::uint8_t* codes) {
  for (int j = 0; j < 32; ++j) {
    unsigned b = 0;
    for (int k = 0; k < 8; ++k) b |= (static_cast<unsigned>(codes[32 * k + j]) >> Bit & 1u) << k;
    to[j] = static_cast<std::byte>(b);
  }
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q4_K: 4.5 bits a weight.
struct q4_k {
  static constexpr int bits = 4, group = 256, run = 32, ggml_type = 12;
  static constexpr std::size_t block_bytes = 144;
  static constexpr bool symmetric = false, exact_levels = true;
  static constexpr const char* name = "Q4_K";
  using params = k_scales_and_minima;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q4_k>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_level(v, p.step(i >> 5), -p.lowered(i >> 5), 0, 15);
  }
  NBIT_INLINE static float value(int c, const params& p, int i) {
    NBIT_EXACT
    return p.step(i >> 5) * static_cast<float>(c) - p.lowered(i >> 5);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q4_k>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_scales_and_minima<15>(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_scales_and_minima(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_nibbles_by_64(from + 16, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_scales_and_minima(to, p);
    ggml_block::store_nibbles_by_64(to + 16, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c; }
  NBIT_INLINE static float scale(const params& p, int s) { return p.step(s); }
  NBIT_INLINE static float offset(const params& p, int s) { return -p.lowered(s); }
};

/// ggml's Q5_K: 5.5 bits a weight.
struct q5_k {
  static constexpr int bits = 5, group = 256, run = 32, ggml_type = 13;
  static constexpr std::size_t block_bytes = 176;
  static constexpr bool symmetric = false, exact_levels = true;
  static constexpr const char* name = "Q5_K";
  using params = k_scales_and_minima;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q5_k>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_level(v, p.step(i >> 5), -p.lowered(i >> 5), 0, 31);
  }
  NBIT_INLINE static float value(int c, const params& p, int i) {
    NBIT_EXACT
    return p.step(i >> 5) * static_cast<float>(c) - p.lowered(i >> 5);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q5_k>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_scales_and_minima<31>(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_scales_and_minima(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_nibbles_by_64(from + 48, codes);
    ggml_block::load_bit_plane<4>(from + 16, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_scales_and_minima(to, p);
    ggml_block::store_bit_plane<4>(to + 16, codes);
    ggml_block::store_nibbles_by_64(to + 48, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c; }
  NBIT_INLINE static float scale(const params& p, int s) { return p.step(s); }
  NBIT_INLINE static float offset(const params& p, int s) { return -p.lowered(s); }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_q4_k.hpp

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// What Q3_K stores for 256 weights besides the codes.
struct q3_k_params {
  std::uint8_t packed[12];
  f16 d;

  /// The signed scale of run s, -32 .. 31.  Needs: 0 <= s < 16.
  NBIT_INLINE constexpr int scale_of(int s) const {
    const int low = s < 8 ? packed[s] & 15 : packed[s - 8] >> 4;
    return (low | (packed[8 + (s & 3)] >> (2 * (s >> 2)) & 3) << 4) - 32;
  }
  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scale_of(s)); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

NBIT_NOINLINE inline void encode_q3_k(const float* x, const float* importance, q3_k_params& p, std::uint8_t* codes) {
  NBIT_EXACT
  float scales[16];
  std::uint8_t six[16];  // scale + 32
  if (importance != nullptr) {
    float weight[16], sums[16];
    const float variance = 2.0f * sum_of_squares<256>(x) / 256.0f;
    for (int s = 0; s < 16; ++s) {
      importance_weights<16>(x + 16 * s, importance + 16 * s, variance, weight);
      sums[s] = sum_of<16>(weight);
      scales[s] = signed_search<16, 4>(x + 16 * s, weight, codes + 16 * s);
    }
    p.d = f16::from(signed_search<16, 32>(scales, sums, six));
  } else {
    for (int s = 0; s < 16; ++s) scales[s] = signed_descent<16, 4>(x + 16 * s, codes + 16 * s);
    const float largest = largest_signed<16>(scales), inverse = -32.0f / largest;
    p.d = f16::from(largest != 0.0f ? 1.0f / inverse : 0.0f);
    for (int s = 0; s < 16; ++s) {
      // The reference narrows to 8 bits before it clamps, and leaves all scale bits 0 when every run is 0.
      const int l = static_cast<std::int8_t>(round_even(inverse * scales[s]) & 255);
      six[s] = largest != 0.0f ? static_cast<std::uint8_t>(held(l, -32, 31) + 32) : std::uint8_t{0};
    }
  }
  for (int s = 0; s < 8; ++s) p.packed[s] = static_cast<std::uint8_t>((six[s] & 15) | (six[s + 8] & 15) << 4);
  for (int s = 0; s < 4; ++s)
    p.packed[8 + s] = static_cast<std::uint8_t>((six[s] >> 4 & 3) | (six[s + 4] >> 4 & 3) << 2 |
                                                (six[s + 8] >> 4 & 3) << 4 | (six[s + 12] >> 4 & 3) << 6);
  for (int s = 0; s < 16; ++s) {
    const float d = p.step(s);
    if (d == 0.0f) continue;
    for (int i = 16 * s; i < 16 * s + 16; ++i) codes[i] = static_cast<std::uint8_t>(level_of(x[i] / d, -4, 3) + 4);
  }
}

inline q3_k_params load_q3_k_params(const std::byte* from) {
  q3_k_params p;
  for (int i = 0; i < 12; ++i) p.packed[i] = std::to_integer<std::uint8_t>(from[96 + i]);
  p.d = load_f16(from + 108);
  return p;
}
inline void store_q3_k_params(std::byte* to, const q3_k_params& p) {
  for (int i = 0; i < 12; ++i) to[96 + i] = static_cast<std::byte>(p.packed[i]);
  store_f16(to + 108, p.d);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q3_K: 3.4375 bits a weight, symmetric.
struct q3_k {
  static constexpr int bits = 3, group = 256, run = 16, ggml_type = 11;
  static constexpr std::size_t block_bytes = 110;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q3_K";
  using params = q3_k_params;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q3_k>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_level(v, p.step(i >> 4), 0.0f, -4, 3) + 4;
  }
  NBIT_INLINE static float value(int c, const params& p, int i) { return p.step(i >> 4) * static_cast<float>(c - 4); }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q3_k>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q3_k(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_q3_k_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_crumbs(from + 32, codes);
    ggml_block::load_bit_plane<2>(from, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_bit_plane<2>(to, codes);
    ggml_block::store_crumbs(to + 32, codes);
    ggml_block::store_q3_k_params(to, p);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 4; }
  NBIT_INLINE static float scale(const params& p, int s) { return p.step(s); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_q3_k.hpp
// BEGIN nbit/format/ggml_q6_k.hpp
// nbit/format/ggml_q6_k.hpp — Q6_K: 256 weights in 16 runs of 16, each with an 8-bit signed scale.
//
//   128 bytes: low nibbles | 64 bytes: upper 2 bits | 16 int8 scales | f16 d                       210 bytes
//   w = (d * scale) * (q - 32)
// Each half of 128 codes: byte l of its 64 nibble bytes holds code l (low nibble) and l + 64 (high nibble), l < 64;
// byte l of its 32 upper-bit bytes holds codes l, l + 32, l + 64, l + 96 at bits 0, 2, 4, 6. Ref: ggml (MIT);
// docs/formats.md.
#ifndef NBIT_FORMAT_GGML_Q6_K_HPP
#define NBIT_FORMAT_GGML_Q6_K_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// What Q6_K stores for 256 weights besides the codes.
struct q6_k_params {
  std::int8_t scales[16];
  f16 d;

  NBIT_INLINE float step(int s) const { return static_cast<float>(d) * static_cast<float>(scales[s]); }
};

inline namespace NBIT_TAG {
namespace ggml_block {

NBIT_NOINLINE inline void encode_q6_k(const float* x, const float* importance, q6_k_params& p, std::uint8_t* codes) {
  NBIT_EXACT
  float scales[16];
  for (int s = 0; s < 16; ++s) {
    const float* weight = importance != nullptr ? importance + 16 * s : nullptr;
    scales[s] = signed_search<16, 32>(x + 16 * s, weight, codes + 16 * s);
  }
  const float largest = largest_signed<16>(scales);
  if (nbit::abs(largest) < negligible) {
    p = q6_k_params{};
    for (int i = 0; i < 256; ++i) codes[i] = 0;
    return;
  }
  const float inverse = -128.0f / largest;
  p.d = f16::from(1.0f / inverse);
  for (int s = 0; s < 16; ++s) {
    const int l = round_even(inverse * scales[s]);
    p.scales[s] = static_cast<std::int8_t>(l < 127 ? l : 127);
  }
  for (int s = 0; s < 16; ++s) {
    const float d = p.step(s);
    if (d == 0.0f) continue;
    for (int i = 16 * s; i < 16 * s + 16; ++i) codes[i] = static_cast<std::uint8_t>(level_of(x[i] / d, -32, 31) + 32);
  }
}

inline q6_k_params load_q6_k_params(const std::byte* from) {
  q6_k_params p;
  for (int s = 0; s < 16; ++s) p.scales[s] = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(from[192 + s]));
  p.d = load_f16(from + 208);
  return p;
}

NBIT_INLINE void load_q6_k_codes(const std::byte* from, std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    auto low = byte_run<64>::load(from + 64 * half);
    auto high = byte_run<32>::load(from + 128 + 32 * half);
    for (int k = 0; k < 4; ++k) {  // quarter k: nibble k / 2 of byte 32 (k % 2) + l, crumb k of high byte l
      byte_run<32> c;
      for (int l = 0; l < 32; ++l)
        c.v[l] = static_cast<std::uint8_t>((low.v[32 * (k & 1) + l] & 15u) | (high.v[l] & 3u) << 4);
      for (int l = 0; l < 32; ++l) high.v[l] = static_cast<std::uint8_t>(high.v[l] >> 2);
      if (k == 1)
        for (int l = 0; l < 64; ++l) low.v[l] = static_cast<std::uint8_t>(low.v[l] >> 4);
      c.store(codes + 128 * half + 32 * k);
    }
  }
}

inline void store_q6_k(std::byte* to, const q6_k_params& p, const std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    std::byte *low = to + 64 * half, *high = to + 128 + 32 * half;
    const std::uint8_t* c = codes + 128 * half;
    for (int l = 0; l < 32; ++l) {
      low[l] = static_cast<std::byte>((c[l] & 15u) | (c[l + 64] & 15u) << 4);
      low[l + 32] = static_cast<std::byte>((c[l + 32] & 15u) | (c[l + 96] & 15u) << 4);
      high[l] = static_cast<std::byte>((c[l] >> 4 & 3u) | (c[l + 32] >> 4 & 3u) << 2 | (c[l + 64] >> 4 & 3u) << 4 |
                                       (c[l + 96] >> 4 & 3u) << 6);
    }
  }
  for (int s = 0; s < 16; ++s) to[192 + s] = static_cast<std::byte>(p.scales[s]);
  store_f16(to + 208, p.d);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q6_K: 6.5625 bits a weight, symmetric.
struct q6_k {
  static constexpr int bits = 6, group = 256, run = 16, ggml_type = 14;
  static constexpr std::size_t block_bytes = 210;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q6_K";
  using params = q6_k_params;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q6_k>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_level(v, p.step(i >> 4), 0.0f, -32, 31) + 32;
  }
  NBIT_INLINE static float value(int c, const params& p, int i) { return p.step(i >> 4) * static_cast<float>(c - 32); }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q6_k>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; q may be null.
  NBIT_INLINE static void encode_block(const float* x, const float* q, float, params& p, std::uint8_t* c) {
    ggml_block::encode_q6_k(x, q, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return ggml_block::load_q6_k_params(from); }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_q6_k_codes(from, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_q6_k(to, p, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 32; }
  NBIT_INLINE static float scale(const params& p, int s) { return p.step(s); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_q6_k.hpp
// BEGIN nbit/format/ggml_q8.hpp
// nbit/format/ggml_q8.hpp — Q8_0 (weights and activations), Q8_1 and Q8_K (the activation side of dot products).
//
//   Q8_0  f16 d | 32 int8                                  w = d * q         34 bytes
//   Q8_1  f16 d | f16 s = d * sum(q) | 32 int8             w = d * q         36 bytes
//   Q8_K  f32 d | 256 int8 | 16 int16 sums of 16 codes     w = d * q        292 bytes
// A code is the int8 plus 128. Q8_K's sums follow from its codes, so store computes them. Ref: ggml (MIT);
// docs/formats.md.
#ifndef NBIT_FORMAT_GGML_Q8_HPP
#define NBIT_FORMAT_GGML_Q8_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// v rounded half away from zero, as C's roundf; out of range and NaN give 0.  Needs: the answer fits 8 bits otherwise.
NBIT_INLINE int rounded_away(float v) {
  if (!(nbit::abs(v) < 256.0f)) return 0;
  const int whole = static_cast<int>(v);
  const float rest = v - static_cast<float>(whole);
  return whole + (rest >= 0.5f ? 1 : (rest <= -0.5f ? -1 : 0));
}

/// Codes of x / d with d = absmax / 127. Returns d before it is rounded.
NBIT_NOINLINE inline float encode_absmax(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  const float d = nbit::abs(largest_signed<32>(x)) / 127.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>(rounded_away(x[i] * inverse) + 128);
  return d;
}

template <int N>
int sum_of_levels(const std::uint8_t* codes) {
  int sum = 0;
  for (int i = 0; i < N; ++i) sum += codes[i] - 128;
  return sum;
}

NBIT_NOINLINE inline float encode_q8_k(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  const float largest = largest_signed<256>(x);
  if (largest == 0.0f) {
    for (int i = 0; i < 256; ++i) codes[i] = 128;
    return 0.0f;
  }
  const float inverse = -127.0f / largest;
  for (int i = 0; i < 256; ++i) {
    const int l = round_even(inverse * x[i]);
    codes[i] = static_cast<std::uint8_t>((static_cast<unsigned>(l < 127 ? l : 127) + 128u) & 255u);
  }
  return 1.0f / inverse;
}

/// int8 bytes <-> codes.
template <int N>
void load_signed_bytes(const std::byte* from, std::uint8_t* codes) {
  for (int i = 0; i < N; ++i) codes[i] = static_cast<std::uint8_t>(std::to_integer<unsigned>(from[i]) ^ 128u);
}
template <int N>
void store_signed_bytes(std::byte* to, const std::uint8_t* codes) {
  for (int i = 0; i < N; ++i) to[i] = static_cast<std::byte>(codes[i] ^ 128u);
}

inline void store_sums_of_16(std::byte* to, const std::uint8_t* codes) {
  for (int j = 0; j < 16; ++j)
    store_u16(to + 2 * j,
              static_cast<std::uint16_t>(static_cast<unsigned>(sum_of_levels<16>(codes + 16 * j)) & 0xffffu));
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q8_0: 8.5 bits a weight, symmetric; importance is ignored, as in the reference.
struct q8_0 {
  static constexpr int bits = 8, group = 32, run = 32, ggml_type = 8;
  static constexpr std::size_t block_bytes = 34;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q8_0";
  struct params {
    f16 d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q8_0>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -127, 127) + 128;
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(c - 128) * static_cast<float>(p.d);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q8_0>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    p.d = f16::from(ggml_block::encode_absmax(x, c));
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_signed_bytes<32>(from + 2, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_signed_bytes<32>(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 128; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// ggml's Q8_1: Q8_0 and s, the sum of the decoded values, that dot products with Q4_1 and Q5_1 need.
/// s is what encode stored; it goes stale if codes are changed afterwards.
struct q8_1 {
  static constexpr int bits = 8, group = 32, run = 32, ggml_type = 9;
  static constexpr std::size_t block_bytes = 36;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q8_1";
  struct params {
    f16 d, s;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q8_1>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -127, 127) + 128;
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(c - 128) * static_cast<float>(p.d);
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q8_1>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    const float d = ggml_block::encode_absmax(x, c);
    p.d = f16::from(d);
    p.s = f16::from(static_cast<float>(ggml_block::sum_of_levels<32>(c)) * d);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from), load_f16(from + 2)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_signed_bytes<32>(from + 4, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    store_f16(to + 2, p.s);
    ggml_block::store_signed_bytes<32>(to + 4, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 128; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// ggml's Q8_K: 256 activations with one f32 scale, which may be negative, and the sums of their codes by 16.
struct q8_k {
  static constexpr int bits = 8, group = 256, run = 256, ggml_type = 15;
  static constexpr std::size_t block_bytes = 292;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "Q8_K";
  struct params {
    float d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<q8_k>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, p.d, 0.0f, -127, 127) + 128;
  }
  NBIT_INLINE static float value(int c, const params& p, int) { return p.d * static_cast<float>(c - 128); }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<q8_k>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    p.d = ggml_block::encode_q8_k(x, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f32(from)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_signed_bytes<256>(from + 4, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f32(to, p.d);
    ggml_block::store_signed_bytes<256>(to + 4, codes);
    ggml_block::store_sums_of_16(to + 260, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 128; }
  NBIT_INLINE static float scale(const params& p, int) { return p.d; }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_q8.hpp
// BEGIN nbit/format/ggml_ternary.hpp
// nbit/format/ggml_ternary.hpp — TQ1_0 and TQ2_0: 256 weights in {-d, 0, d}.
//
//   TQ1_0  48 bytes of 5 codes | 4 bytes of 4 codes | f16 d         w = d * (q - 1), q in 0 .. 2     54 bytes
//   TQ2_0  64 bytes of 4 codes | f16 d                              w = d * (q - 1), q in 0 .. 3     66 bytes
// TQ1_0: bytes 0-31 hold codes m, m + 32, ..., m + 128, bytes 32-47 codes 160 + m, 176 + m, ..., the last 4 bytes codes
// 240 + m, 244 + m, ...; the first code of a byte is the most significant trit of a number v < 243, stored as
// ceil(v * 256 / 243), so that trit k is (byte * 3^k mod 256) * 3 / 256. Bytes that no v gives decode too, but are not
// kept by load and store. TQ2_0: order as in Q2_K; code 3 (2 d) is never written by the reference.
// Ref: ggml (MIT); docs/formats.md.
#ifndef NBIT_FORMAT_GGML_TERNARY_HPP
#define NBIT_FORMAT_GGML_TERNARY_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// -1, 0 or 1, halves away from zero; what a scale that overflowed makes infinite or NaN is 0, as in the reference.
NBIT_INLINE int nearest_trit(float v) {
  if (!(nbit::abs(v) >= 0.5f && nbit::abs(v) < 1.5f)) return 0;
  return v > 0.0f ? 1 : -1;
}

/// The largest magnitude becomes d; codes 0, 1, 2.
template <int N>
NBIT_NOINLINE void encode_trits(const float* x, f16& d, std::uint8_t* codes) {
  const float size = nbit::abs(largest_signed<N>(x)), inverse = size > 0.0f ? 1.0f / size : 0.0f;
  d = f16::from(size);
  for (int i = 0; i < N; ++i) codes[i] = static_cast<std::uint8_t>(nearest_trit(x[i] * inverse) + 1);
}

/// Count bytes, byte j holds the Trits codes j, j + Count, ...; eight bytes at a time.
template <int Count, int Trits>
void load_trits(const std::byte* from, std::uint8_t* codes) {
  using bytes = std::uint8_t __attribute__((vector_size(8)));
  using words = std::uint16_t __attribute__((vector_size(16)));
  constexpr std::size_t lanes = Count < 8 ? Count : 8;
  for (int j = 0; j < Count; j += 8) {
    bytes b = {};
    __builtin_memcpy(&b, from + j, lanes);
    words left = __builtin_convertvector(b, words);
    for (int k = 0; k < Trits; ++k) {
      left *= 3;
      const bytes code = __builtin_convertvector(left >> 8, bytes);
      __builtin_memcpy(codes + j + Count * k, &code, lanes);
      left &= 255;
    }
  }
}
template <int Count, int Trits>
void store_trits(std::byte* to, const std::uint8_t* codes) {
  for (int j = 0; j < Count; ++j) {
    unsigned v = 0;
    for (int k = 0; k < 5; ++k) {
      const unsigned trit = k < Trits ? codes[j + Count * k] : 0u;
      v = 3u * v + (trit < 2u ? trit : 2u);
    }
    to[j] = static_cast<std::byte>((v * 256u + 242u) / 243u);
  }
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's TQ1_0: 1.6875 bits a weight, five ternary codes to a byte. Code 3 means what code 2 means.
struct tq1_0 {
  static constexpr int bits = 2, group = 256, run = 256, ggml_type = 34;
  static constexpr std::size_t block_bytes = 54;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "TQ1_0";
  struct params {
    f16 d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<tq1_0>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -1, 1) + 1;
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(p.d) * static_cast<float>(level(c));
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<tq1_0>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_trits<256>(x, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from + 52)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_trits<32, 5>(from, codes);
    ggml_block::load_trits<16, 5>(from + 32, codes + 160);
    ggml_block::load_trits<4, 4>(from + 48, codes + 240);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_trits<32, 5>(to, codes);
    ggml_block::store_trits<16, 5>(to + 32, codes + 160);
    ggml_block::store_trits<4, 4>(to + 48, codes + 240);
    store_f16(to + 52, p.d);
  }
  NBIT_INLINE static constexpr int level(int c) { return c < 2 ? c - 1 : 1; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// ggml's TQ2_0: 2.0625 bits a weight, four codes to a byte.
struct tq2_0 {
  static constexpr int bits = 2, group = 256, run = 256, ggml_type = 35;
  static constexpr std::size_t block_bytes = 66;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "TQ2_0";
  struct params {
    f16 d;
  };

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return ggml_block::fit_group<tq2_0>(w, importance);
  }
  NBIT_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -1, 2) + 1;
  }
  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(p.d) * static_cast<float>(level(c));
  }
  NBIT_INLINE static void encode(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                                 params& p, std::span<std::uint8_t> codes) {
    ggml_block::encode_group<tq2_0>(w, importance, row_mean_square, p, codes);
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_trits<256>(x, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from + 64)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_crumbs(from, codes);
  }
  NBIT_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_crumbs(to, codes);
    store_f16(to + 64, p.d);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 1; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/format/ggml_ternary.hpp
// BEGIN nbit/format/presets.hpp
// nbit/format/presets.hpp — uniform formats that most models use, by the names people use for them.
#ifndef NBIT_FORMAT_PRESETS_HPP
#define NBIT_FORMAT_PRESETS_HPP

namespace nbit {

/// wBgN: B bits, N weights to a group, symmetric; an `a` at the end: asymmetric with an integer zero.
struct w2g64a : uniform<scheme{.bits = 2, .group = 64, .symmetry = symmetry::asymmetric}> {};
struct w3g64a : uniform<scheme{.bits = 3, .group = 64, .symmetry = symmetry::asymmetric}> {};
struct w3g128a : uniform<scheme{.bits = 3, .group = 128, .symmetry = symmetry::asymmetric}> {};
struct w4g32 : uniform<scheme{.bits = 4, .group = 32}> {};
struct w4g64 : uniform<scheme{.bits = 4, .group = 64}> {};
struct w4g128 : uniform<scheme{.bits = 4, .group = 128}> {};
struct w4g128a : uniform<scheme{.bits = 4, .group = 128, .symmetry = symmetry::asymmetric}> {};
struct w8g128 : uniform<scheme{.bits = 8, .group = 128}> {};
/// One scale per output row.
struct w4c : uniform<scheme{.bits = 4, .group = per_row}> {};
struct w8c : uniform<scheme{.bits = 8, .group = per_row}> {};

}  // namespace nbit

#endif
// END nbit/format/presets.hpp

// BEGIN nbit/layout/awq_gemv_rows.hpp
// nbit/layout/awq_gemv_rows.hpp — AWQ "gemv_fast" checkpoints: four outputs take turns, 64 inputs at a time.
//
// qweight is int16 [N / 4, K]. A stretch of 64 words holds 64 inputs of four outputs, 16 words for each output; of
// those words 0..7 hold inputs 0..31 and words 8..15 inputs 32..63:
//
//   word j:   | j+24 | j+16 | j+8 | j |   high nibble ... low nibble         j = 0..7, inputs of the half
#ifndef NBIT_LAYOUT_AWQ_GEMV_ROWS_HPP
#define NBIT_LAYOUT_AWQ_GEMV_ROWS_HPP

#include <cstddef>
#include <cstdint>

// BEGIN nbit/layout/concepts.hpp
// nbit/layout/concepts.hpp — where each bit of each code lives, and the proof that no two collide.
//
// A layout is a bijection from (row, column, bit) to (word, bit). It is a struct with one static constexpr function:
//
//   struct my_layout {
//     template <int Bits> struct map {
//       using word = std::uint32_t;
//       static constexpr std::size_t tile_rows = 1, tile_cols = 32;            // the smallest repeating piece
//       static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit);
//     };
//   };
//
// A map may add unpack_tile(words, padded, r, c, out): the tile_cols codes of row r from column c, a multiple of
// tile_cols. It must agree with at(); tests/layout compares them.
//
// `padded` is the matrix rounded up to whole tiles. pack, unpack and repack derive from at(); static_assert(
// is_bijection<my_layout, 4>()) proves it on a 2 x 2 arrangement of tiles.
#ifndef NBIT_LAYOUT_CONCEPTS_HPP
#define NBIT_LAYOUT_CONCEPTS_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace nbit {

/// A bit's place: index of the word, and the bit inside it (0 is the least significant).
struct bit_place {
  std::size_t word;
  int bit;
};

/// A placement of codes of Bits bits.
template <class L, int Bits = 4>
concept code_layout = requires(shape s, std::size_t i) {
  typename L::template map<Bits>::word;
  { L::template map<Bits>::tile_rows } -> std::convertible_to<std::size_t>;
  { L::template map<Bits>::tile_cols } -> std::convertible_to<std::size_t>;
  { L::template map<Bits>::at(s, i, i, 0) } -> std::same_as<bit_place>;
};

/// The layout of formats that bring their own blocks (ggml): rows of whole blocks, one after another.
struct blocks {};

/// A shape rounded up to whole tiles of the layout.
template <class L, int Bits>
NBIT_INLINE constexpr shape padded_shape(shape s) {
  using map = typename L::template map<Bits>;
  return {(s.rows + map::tile_rows - 1) / map::tile_rows * map::tile_rows,
          (s.cols + map::tile_cols - 1) / map::tile_cols * map::tile_cols};
}

/// Words that hold a matrix of codes in this layout.
template <class L, int Bits>
NBIT_INLINE constexpr std::size_t words_for(shape s) {
  const shape p = padded_shape<L, Bits>(s);
  return p.rows * p.cols * std::size_t(Bits) / (sizeof(typename L::template map<Bits>::word) * 8);
}

/// True when every bit of every word of a 2 x 2 arrangement of tiles is hit exactly once.
template <class L, int Bits>
consteval bool is_bijection() {
  using map = typename L::template map<Bits>;
  constexpr shape s{2 * map::tile_rows, 2 * map::tile_cols};
  constexpr int word_bits = int(sizeof(typename map::word)) * 8;
  constexpr std::size_t words = words_for<L, Bits>(s);
  if (words * std::size_t(word_bits) != s.rows * s.cols * std::size_t(Bits)) return false;
  bool hit[words * std::size_t(word_bits)] = {};
  for (std::size_t r = 0; r < s.rows; ++r)
    for (std::size_t c = 0; c < s.cols; ++c)
      for (int b = 0; b < Bits; ++b) {
        const bit_place p = map::at(s, r, c, b);
        if (p.word >= words || p.bit < 0 || p.bit >= word_bits) return false;
        bool& seen = hit[p.word * std::size_t(word_bits) + std::size_t(p.bit)];
        if (seen) return false;
        seen = true;
      }
  return true;
}

}  // namespace nbit

#endif
// END nbit/layout/concepts.hpp

namespace nbit {

/// The word order of qweight in AWQ GEMVFast checkpoints (4 bits), which llm-awq's second version uses too.
struct awq_gemv_rows {
  template <int Bits>
  struct map {
    static_assert(Bits == 4, "the order of AWQ GEMVFast is defined for 4 bits");
    using word = std::uint16_t;
    static constexpr std::size_t tile_rows = 4, tile_cols = 64;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      return {r / 4 * padded.cols + c / 64 * 64 + r % 4 * 16 + c % 64 / 32 * 8 + c % 8,
              static_cast<int>(c % 32 / 8 * 4) + bit};
    }
  };
};

static_assert(is_bijection<awq_gemv_rows, 4>());

}  // namespace nbit

#endif
// END nbit/layout/awq_gemv_rows.hpp
// BEGIN nbit/layout/awq_interleave.hpp
// nbit/layout/awq_interleave.hpp — AWQ "gemm" checkpoints: eight outputs of one input in a word, even ones first.
//
// qweight is int32 [K, N / 8]; nibble i of a word holds output 8n + {0, 2, 4, 6, 1, 3, 5, 7}[i].
//
//   | n+7 | n+5 | n+3 | n+1 | n+6 | n+4 | n+2 | n+0 |   high nibble ... low nibble
#ifndef NBIT_LAYOUT_AWQ_INTERLEAVE_HPP
#define NBIT_LAYOUT_AWQ_INTERLEAVE_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {

/// The word order of qweight in AWQ GEMM checkpoints (4 bits; 8-bit codes go four to a word, 0 2 1 3).
struct awq_interleave {
  template <int Bits>
  struct map {
    static_assert(Bits == 4 || Bits == 8, "the AWQ interleave is defined for 4 and 8 bits");
    using word = std::uint32_t;
    static constexpr std::size_t per_word = 32 / std::size_t(Bits);
    static constexpr std::size_t tile_rows = per_word, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t e = r % per_word, field = e % 2 == 0 ? e / 2 : per_word / 2 + e / 2;
      return {c * (padded.rows / per_word) + r / per_word, int(field) * Bits + bit};
    }
  };
};

static_assert(is_bijection<awq_interleave, 4>() && is_bijection<awq_interleave, 8>());

}  // namespace nbit

#endif
// END nbit/layout/awq_interleave.hpp
// BEGIN nbit/layout/dense_words.hpp
// nbit/layout/dense_words.hpp — codes as one stream of bits in 32-bit words, along the columns or along the rows.
//
// compressed-tensors packs weights along the inputs, each output starting on a word, and zero points along the outputs.
// Codes whose width does not divide 32 cross from one word into the next. Both maps also take a shape that is not whole
// tiles: a row then ends in the middle of its last word, as in the files.
#ifndef NBIT_LAYOUT_DENSE_WORDS_HPP
#define NBIT_LAYOUT_DENSE_WORDS_HPP

#include <cstddef>
#include <cstdint>

// BEGIN nbit/layout/spread.hpp
// nbit/layout/spread.hpp — eight neighbouring codes of any width to eight bytes, in three steps of a 64-bit word.
//
//   b = 3:   ........ ........ ........ hhhgggff feeedddc ccbbbaaa   halves, then quarters, then eighths move apart
//            00000hhh 00000ggg 00000fff 00000eee 00000ddd 00000ccc 00000bbb 00000aaa
#ifndef NBIT_LAYOUT_SPREAD_HPP
#define NBIT_LAYOUT_SPREAD_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nbit::detail {

/// Spreads the eight Bits-bit codes in the low bits of v to the eight bytes of the answer, the first code lowest.
template <int Bits>
NBIT_INLINE constexpr std::uint64_t spread_word(std::uint64_t v) {
  if constexpr (Bits == 8) {
    return v;
  } else {
    constexpr auto low = [](int n) { return (std::uint64_t{1} << n) - 1; };
    constexpr std::uint64_t half = low(4 * Bits), quarter = low(2 * Bits) * 0x0000000100000001u,
                            eighth = low(Bits) * 0x0001000100010001u;
    v = (v & half) | (v & half << 4 * Bits) << (32 - 4 * Bits);
    v = (v & quarter) | (v & quarter << 2 * Bits) << (16 - 2 * Bits);
    return (v & eighth) | (v & eighth << Bits) << (8 - Bits);
  }
}

/// Reads Bits bytes that hold eight codes, low bits first, and writes the codes.
template <int Bits>
NBIT_INLINE void spread_codes(const std::uint8_t* bytes, std::uint8_t* codes) {
  std::uint64_t v = 0;
  for (int i = 0; i < Bits; ++i) v |= std::uint64_t{bytes[i]} << (8 * i);
  v = spread_word<Bits>(v);
#if NBIT_BIG_ENDIAN
  for (int i = 0; i < 8; ++i) codes[i] = static_cast<std::uint8_t>(v >> (8 * i));
#else
  std::memcpy(codes, &v, 8);
#endif
}

static_assert(spread_word<3>(0xfac688) == 0x0706050403020100u && spread_word<4>(0x76543210) == 0x0706050403020100u);

}  // namespace nbit::detail

#endif
// END nbit/layout/spread.hpp

namespace nbit {
namespace detail {

/// The fewest codes of this width that fill whole words.
template <int Bits>
inline constexpr std::size_t codes_of_whole_words = Bits % 8 == 0   ? 4
                                                    : Bits % 4 == 0 ? 8
                                                    : Bits % 2 == 0 ? 16
                                                                    : 32;

}  // namespace detail

/// Rows of words, low bits first: weight_packed of compressed-tensors, int32 [N, ceil(K b / 32)].
struct dense_words {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = detail::codes_of_whole_words<Bits>;
    NBIT_INLINE static constexpr std::size_t row_words(std::size_t cols) {
      return (cols * std::size_t(Bits) + 31) / 32;
    }
    NBIT_INLINE static constexpr bit_place at(shape s, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = c * std::size_t(Bits) + static_cast<std::size_t>(bit);
      return {r * row_words(s.cols) + p / 32, static_cast<int>(p % 32)};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape s, std::size_t r, std::size_t c, std::uint8_t* out) {
      const word* const from = words + r * row_words(s.cols) + c * std::size_t(Bits) / 32;
      std::uint8_t bytes[tile_cols * std::size_t(Bits) / 8 + 8] = {};
      for (std::size_t i = 0; i < tile_cols * std::size_t(Bits) / 32; ++i)
        for (std::size_t b = 0; b < 4; ++b) bytes[4 * i + b] = static_cast<std::uint8_t>(from[i] >> (8 * b));
      if constexpr (tile_cols % 8 == 0)
        for (std::size_t i = 0; i < tile_cols / 8; ++i)
          detail::spread_codes<Bits>(bytes + i * std::size_t(Bits), out + 8 * i);
      else  // four codes of a byte each
        for (std::size_t i = 0; i < tile_cols; ++i) out[i] = bytes[i];
    }
  };
};

/// Columns of words, low bits first: weight_zero_point of compressed-tensors, int32 [ceil(N b / 32), G].
struct dense_columns {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = detail::codes_of_whole_words<Bits>, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape s, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = r * std::size_t(Bits) + static_cast<std::size_t>(bit);
      return {p / 32 * s.cols + c, static_cast<int>(p % 32)};
    }
  };
};

static_assert(is_bijection<dense_words, 1>() && is_bijection<dense_words, 2>() && is_bijection<dense_words, 3>() &&
              is_bijection<dense_words, 4>() && is_bijection<dense_words, 5>() && is_bijection<dense_words, 6>() &&
              is_bijection<dense_words, 7>() && is_bijection<dense_words, 8>());
static_assert(is_bijection<dense_columns, 1>() && is_bijection<dense_columns, 2>() &&
              is_bijection<dense_columns, 3>() && is_bijection<dense_columns, 4>() &&
              is_bijection<dense_columns, 5>() && is_bijection<dense_columns, 6>() &&
              is_bijection<dense_columns, 7>() && is_bijection<dense_columns, 8>());

}  // namespace nbit

#endif
// END nbit/layout/dense_words.hpp
// BEGIN nbit/layout/gptq_planes.hpp
// nbit/layout/gptq_planes.hpp — planar GPTQ checkpoints ("gptq_p"): 32 codes in b words, cut into planes of 4, 2 and 1
// bit.
//
// The widths of the planes are the binary digits of b, and the lowest bits of a code lie in the first plane, which is
// the widest: 3 = 2 + 1, 5 = 4 + 1, 6 = 4 + 2, 7 = 4 + 2 + 1. A plane of p bits is p words, 32 / p codes in each, low
// bits first. Words of one output lie N apart, as in gptq_words; 2, 4 and 8 bits are one plane and equal it.
//
//   b = 3:   words 0, 1: bits 0..1 of codes 0..15, 16..31   word 2: bit 2 of codes 0..31
#ifndef NBIT_LAYOUT_GPTQ_PLANES_HPP
#define NBIT_LAYOUT_GPTQ_PLANES_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {
namespace detail {

/// The bit of a tile of 32 codes, counted through its words, that holds bit `bit` of code i.
template <int Bits>
NBIT_INLINE constexpr std::size_t plane_bit(std::size_t i, int bit) {
  int first = 0;  // the plane's first word, which is also its lowest bit of a code
  int plane = Bits >= 8 ? 8 : Bits >= 4 ? 4 : Bits >= 2 ? 2 : 1;
  while (bit >= first + plane) {
    first += plane;
    while (plane > Bits - first) plane /= 2;
  }
  return static_cast<std::size_t>(first) * 32 + i * static_cast<std::size_t>(plane) +
         static_cast<std::size_t>(bit - first);
}

}  // namespace detail

/// The word order of qweight in planar GPTQ checkpoints.
struct gptq_planes {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 32;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = detail::plane_bit<Bits>(c % 32, bit);
      return {(c / 32 * std::size_t(Bits) + p / 32) * padded.rows + r, static_cast<int>(p % 32)};
    }
  };
};

/// The same along the outputs, words of a group side by side: qzeros of planar GPTQ checkpoints, int32 [G, N b / 32].
struct gptq_plane_rows {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 32, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = detail::plane_bit<Bits>(r % 32, bit);
      return {(c * (padded.rows / 32) + r / 32) * std::size_t(Bits) + p / 32, static_cast<int>(p % 32)};
    }
  };
};

static_assert(is_bijection<gptq_planes, 2>() && is_bijection<gptq_planes, 3>() && is_bijection<gptq_planes, 4>() &&
              is_bijection<gptq_planes, 5>() && is_bijection<gptq_planes, 6>() && is_bijection<gptq_planes, 7>() &&
              is_bijection<gptq_planes, 8>());
static_assert(is_bijection<gptq_plane_rows, 3>() && is_bijection<gptq_plane_rows, 7>() &&
              is_bijection<gptq_plane_rows, 8>());

}  // namespace nbit

#endif
// END nbit/layout/gptq_planes.hpp
// BEGIN nbit/layout/gptq_words.hpp
// nbit/layout/gptq_words.hpp — GPTQ checkpoints: 32 consecutive inputs of one output in b words, outputs side by side.
//
// qweight is int32 [K * b / 32, N]: word row k*b/32, column n. Matrix here is weights [rows = N, cols = K], so the
// words of one row lie N words apart. 32 codes form one stream of 32*b bits, low bits first; 3-, 5-, 6- and 7-bit codes
// straddle. Ref: docs/formats.md, GPTQ checkpoints.
#ifndef NBIT_LAYOUT_GPTQ_WORDS_HPP
#define NBIT_LAYOUT_GPTQ_WORDS_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {

/// The word order of qweight in GPTQ checkpoints (v1 and v2).
struct gptq_words {
  template <int Bits>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 32;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = c % 32 * std::size_t(Bits) + std::size_t(bit);
      return {(c / 32 * std::size_t(Bits) + p / 32) * padded.rows + r, int(p % 32)};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out) {
      std::uint8_t bytes[4 * Bits];
      for (std::size_t i = 0; i < std::size_t(Bits); ++i) {
        const word w = words[(c / 32 * std::size_t(Bits) + i) * padded.rows + r];
        for (std::size_t b = 0; b < 4; ++b) bytes[4 * i + b] = static_cast<std::uint8_t>(w >> (8 * b));
      }
      for (std::size_t i = 0; i < 4; ++i) detail::spread_codes<Bits>(bytes + i * std::size_t(Bits), out + 8 * i);
    }
  };
};

static_assert(is_bijection<gptq_words, 2>() && is_bijection<gptq_words, 3>() && is_bijection<gptq_words, 4>() &&
              is_bijection<gptq_words, 5>() && is_bijection<gptq_words, 6>() && is_bijection<gptq_words, 7>() &&
              is_bijection<gptq_words, 8>());

}  // namespace nbit

#endif
// END nbit/layout/gptq_words.hpp
// BEGIN nbit/layout/high_nibbles.hpp
// nbit/layout/high_nibbles.hpp — two codes in a byte, the first one in the high nibble: bitsandbytes' order.
//
// bitsandbytes packs a tensor as one row; rows of an odd number of codes end in half a byte.
//
//   byte j = | code 2j : high nibble | code 2j+1 : low nibble |
#ifndef NBIT_LAYOUT_HIGH_NIBBLES_HPP
#define NBIT_LAYOUT_HIGH_NIBBLES_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {

/// Four-bit codes in order, the even ones high.
struct high_nibbles {
  template <int Bits>
  struct map {
    static_assert(Bits == 4, "high_nibbles is defined for 4 bits");
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 2;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      return {r * (padded.cols / 2) + c / 2, (c % 2 == 0 ? 4 : 0) + bit};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out) {
      const word both = words[r * (padded.cols / 2) + c / 2];
      out[0] = static_cast<std::uint8_t>(both >> 4), out[1] = static_cast<std::uint8_t>(both & 15u);
    }
  };
};

static_assert(is_bijection<high_nibbles, 4>());

}  // namespace nbit

#endif
// END nbit/layout/high_nibbles.hpp
// BEGIN nbit/layout/hqq_slabs.hpp
// nbit/layout/hqq_slabs.hpp — HQQ checkpoints: the rows cut into 8 / b slabs that share bytes, the first slab highest.
//
//   b = 4, R rows:   byte (i, c) = | code (i, c) : high nibble | code (i + R/2, c) : low nibble |      i = 0 .. R/2 - 1
//
// The matrix is HQQ's own: groups along rows (axis 1) or columns (axis 0), see io/hqq_checkpoint.hpp.
#ifndef NBIT_LAYOUT_HQQ_SLABS_HPP
#define NBIT_LAYOUT_HQQ_SLABS_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {

/// The byte order of W_q in HQQ checkpoints of 8, 4, 2 and 1 bits.
struct hqq_slabs {
  template <int Bits>
  struct map {
    static_assert(8 % Bits == 0, "hqq_slabs needs a width that divides a byte: 1, 2, 4 or 8 bits");
    using word = std::uint8_t;
    static constexpr std::size_t slabs = 8 / std::size_t(Bits), tile_rows = slabs, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t height = padded.rows / slabs;
      return {r % height * padded.cols + c, static_cast<int>(slabs - 1 - r / height) * Bits + bit};
    }
  };
};

static_assert(is_bijection<hqq_slabs, 1>() && is_bijection<hqq_slabs, 2>() && is_bijection<hqq_slabs, 4>() &&
              is_bijection<hqq_slabs, 8>());

}  // namespace nbit

#endif
// END nbit/layout/hqq_slabs.hpp
// BEGIN nbit/layout/linear.hpp
// nbit/layout/linear.hpp — codes of a row one after another, low bits first, in a stream of bytes.
//
// Row r starts on a byte: rows are padded to a multiple of 8 codes. Code c occupies bits [c*b, c*b + b) of its row.
//
//   b = 3:   byte 0  | c2.1 c2.0 | c1.2 c1.1 c1.0 | c0.2 c0.1 c0.0 |   byte 1 | c5.0 | c4 | c3 | c2.2 | ...
#ifndef NBIT_LAYOUT_LINEAR_HPP
#define NBIT_LAYOUT_LINEAR_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {

/// Codes in order, low bits first, rows on byte boundaries; compressed-tensors' order when cols is a multiple of 32.
struct linear {
  template <int Bits>
  struct map {
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = 8;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t p = c * std::size_t(Bits) + std::size_t(bit);
      return {r * (padded.cols / 8 * std::size_t(Bits)) + p / 8, int(p % 8)};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out) {
      detail::spread_codes<Bits>(words + (r * (padded.cols / 8) + c / 8) * std::size_t(Bits), out);
    }
  };
};

static_assert(is_bijection<linear, 1>() && is_bijection<linear, 2>() && is_bijection<linear, 3>() &&
              is_bijection<linear, 4>() && is_bijection<linear, 5>() && is_bijection<linear, 6>() &&
              is_bijection<linear, 7>() && is_bijection<linear, 8>());

}  // namespace nbit

#endif
// END nbit/layout/linear.hpp
// BEGIN nbit/layout/pack.hpp
// nbit/layout/pack.hpp — codes to words and back, derived from a layout's bijection.
#ifndef NBIT_LAYOUT_PACK_HPP
#define NBIT_LAYOUT_PACK_HPP

#include <cstddef>
#include <cstdint>
#include <span>

namespace nbit {
inline namespace NBIT_TAG {

/// The code at (r, c) of a matrix of Bits-bit codes.  Needs: r, c inside `padded`.
template <class Layout, int Bits>
NBIT_INLINE constexpr std::uint32_t code_at(const typename Layout::template map<Bits>::word* words, shape padded,
                                            std::size_t r, std::size_t c) {
  using map = typename Layout::template map<Bits>;
  const bit_place first = map::at(padded, r, c, 0), last = map::at(padded, r, c, Bits - 1);
  if (first.word == last.word && last.bit == first.bit + Bits - 1)  // the common case: one shift and one mask
    return (std::uint32_t{words[first.word]} >> first.bit) & ((1u << Bits) - 1u);
  std::uint32_t code = 0;
  for (int b = 0; b < Bits; ++b) {
    const bit_place p = map::at(padded, r, c, b);
    code |= (std::uint32_t{words[p.word]} >> p.bit & 1u) << b;
  }
  return code;
}

/// Reads n codes of row r from column c on.
template <class Layout, int Bits, class Code>
inline void unpack_row(const typename Layout::template map<Bits>::word* words, shape padded, std::size_t r,
                       std::size_t c, std::size_t n, Code* out) {
  using map = typename Layout::template map<Bits>;
  std::size_t i = 0;
  if constexpr (requires { map::unpack_tile(words, padded, r, c, out); }) {
    if (c % map::tile_cols == 0)
      for (; i + map::tile_cols <= n; i += map::tile_cols) map::unpack_tile(words, padded, r, c + i, out + i);
  }
  for (; i < n; ++i) out[i] = static_cast<Code>(code_at<Layout, Bits>(words, padded, r, c + i));
}

/// Writes n codes of row r from column c on; the bits of those codes must be zero before.
template <class Layout, int Bits, class Code>
inline void pack_row(const Code* codes, typename Layout::template map<Bits>::word* words, shape padded, std::size_t r,
                     std::size_t c, std::size_t n) {
  using map = typename Layout::template map<Bits>;
  using word = typename map::word;
  for (std::size_t i = 0; i < n; ++i)
    for (int b = 0; b < Bits; ++b) {
      const bit_place p = map::at(padded, r, c + i, b);
      words[p.word] =
          static_cast<word>(words[p.word] | static_cast<word>((std::uint32_t(codes[i]) >> b & 1u) << p.bit));
    }
}

/// Packs a rows x cols matrix of codes into words_for<Layout, Bits>(shape) words; padding is zero.
template <class Layout, int Bits, class Code>
inline void pack(matrix_view<const Code> codes, std::span<typename Layout::template map<Bits>::word> words) {
  const shape padded = padded_shape<Layout, Bits>(codes.shape());
  for (auto& w : words) w = 0;
  for (std::size_t r = 0; r < codes.rows; ++r)
    pack_row<Layout, Bits>(codes.row(r).data(), words.data(), padded, r, 0, codes.cols);
}

/// Unpacks a rows x cols matrix of codes.
template <class Layout, int Bits, class Code>
inline void unpack(std::span<const typename Layout::template map<Bits>::word> words, matrix_view<Code> codes) {
  const shape padded = padded_shape<Layout, Bits>(codes.shape());
  for (std::size_t r = 0; r < codes.rows; ++r)
    unpack_row<Layout, Bits>(words.data(), padded, r, 0, codes.cols, codes.row(r).data());
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/layout/pack.hpp
// BEGIN nbit/layout/split.hpp
// nbit/layout/split.hpp — a block of codes cut into 8/b runs that share bytes: the low bits hold the first run.
//
//   split<32>, b = 4:   byte j = | code j+16 : high nibble | code j : low nibble |      j = 0..15
//
// One AND and one shift give 16 neighbours each, which is why ggml's 4-bit blocks use it.
#ifndef NBIT_LAYOUT_SPLIT_HPP
#define NBIT_LAYOUT_SPLIT_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {

/// Blocks of Block codes in row order; inside a block byte j holds codes j, j + n, j + 2n ... with n = Block * b / 8.
template <int Block>
struct split {
  template <int Bits>
  struct map {
    static_assert(8 % Bits == 0, "split needs a width that divides a byte: 1, 2, 4 or 8 bits");
    static_assert(Block * Bits % 8 == 0, "split needs blocks that fill whole bytes");
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = 1, tile_cols = std::size_t(Block);
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      constexpr std::size_t bytes = std::size_t(Block) * std::size_t(Bits) / 8;
      const std::size_t block = (r * padded.cols + c) / std::size_t(Block), e = c % std::size_t(Block);
      return {block * bytes + e % bytes, int(e / bytes) * Bits + bit};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out) {
      constexpr std::size_t bytes = std::size_t(Block) * std::size_t(Bits) / 8;
      const word* const block = words + (r * padded.cols + c) / std::size_t(Block) * bytes;
      for (std::size_t e = 0; e < std::size_t(Block); ++e)
        out[e] = static_cast<std::uint8_t>(block[e % bytes] >> (e / bytes * std::size_t(Bits)) & ((1u << Bits) - 1u));
    }
  };
};

/// ggml's order for 32 four-bit codes.
using split_nibble = split<32>;

static_assert(is_bijection<split_nibble, 4>() && is_bijection<split<32>, 2>() && is_bijection<split<64>, 1>() &&
              is_bijection<split<32>, 8>());

}  // namespace nbit

#endif
// END nbit/layout/split.hpp
// BEGIN nbit/layout/tiled.hpp
// nbit/layout/tiled.hpp — Rows rows side by side in chunks of a few codes: the order matrix kernels read in sequence.
//
//   tiled<4>, chunk 8:   | row 0: c0..c7 | row 1: c0..c7 | row 2: c0..c7 | row 3: c0..c7 | row 0: c8..c15 | ...
#ifndef NBIT_LAYOUT_TILED_HPP
#define NBIT_LAYOUT_TILED_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {

/// Panels of Rows rows, each walked in chunks of Chunk codes (linear inside a chunk), row by row.
template <int Rows, int Chunk = 8>
struct tiled {
  template <int Bits>
  struct map {
    static_assert(Chunk * Bits % 8 == 0, "tiled needs chunks that fill whole bytes; 8 codes always do");
    using word = std::uint8_t;
    static constexpr std::size_t tile_rows = std::size_t(Rows), tile_cols = std::size_t(Chunk);
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t tile = r / tile_rows * (padded.cols / tile_cols) + c / tile_cols;
      const std::size_t p =
          ((tile * tile_rows + r % tile_rows) * tile_cols + c % tile_cols) * std::size_t(Bits) + std::size_t(bit);
      return {p / 8, int(p % 8)};
    }
    NBIT_INLINE static void unpack_tile(const word* words, shape padded, std::size_t r, std::size_t c,
                                        std::uint8_t* out)
      requires(Chunk % 8 == 0)
    {
      const std::size_t tile = r / tile_rows * (padded.cols / tile_cols) + c / tile_cols;
      const word* const chunk = words + (tile * tile_rows + r % tile_rows) * tile_cols / 8 * std::size_t(Bits);
      for (std::size_t i = 0; i < tile_cols; i += 8)
        detail::spread_codes<Bits>(chunk + i / 8 * std::size_t(Bits), out + i);
    }
  };
};

static_assert(is_bijection<tiled<4>, 4>() && is_bijection<tiled<16>, 3>() && is_bijection<tiled<8, 4>, 8>() &&
              is_bijection<tiled<16, 4>, 2>() && is_bijection<tiled<2>, 5>());

}  // namespace nbit

#endif
// END nbit/layout/tiled.hpp

// BEGIN nbit/tensor/coded_matrix.hpp
// nbit/tensor/coded_matrix.hpp — a quantized tensor before packing: one integer per code, parameters beside it.
//
// Solvers produce it, packing consumes it. Order is plain: codes row by row, parameters row by row.
#ifndef NBIT_TENSOR_CODED_MATRIX_HPP
#define NBIT_TENSOR_CODED_MATRIX_HPP

#include <cstddef>
#include <cstdint>

namespace nbit {

/// Codes in a row of cols weights.
template <class F>
NBIT_INLINE constexpr std::size_t codes_per_row(std::size_t cols) {
  return (cols + std::size_t(step_of<F>) - 1) / std::size_t(step_of<F>);
}

#if !defined(NBIT_NO_HEAP)

/// Codes and parameters of a rows x cols tensor in format F, unpacked and owned.
/// group_index, if not empty, gives the group of every column (GPTQ's g_idx); else column c belongs to group c /
/// F::group.
template <weight_format F>
struct coded_matrix {
  using format = F;

  std::size_t rows = 0, cols = 0;
  buffer<code_t<F>> codes;            // rows x codes_per_row
  buffer<typename F::params> params;  // rows x groups_per_row, or one per tensor
  buffer<std::uint32_t> group_index;  // cols, or empty

  // declared, so that no implicit one becomes a weak symbol that differently built units would share
  NBIT_INLINE coded_matrix() noexcept = default;
  NBIT_INLINE coded_matrix(coded_matrix&&) noexcept = default;
  NBIT_INLINE coded_matrix& operator=(coded_matrix&&) noexcept = default;
  NBIT_INLINE ~coded_matrix() = default;

  /// Errors: out_of_memory, overflow.
  NBIT_INLINE static result<coded_matrix> make(shape s, allocator from = default_allocator()) {
    auto c = buffer<code_t<F>>::zeros(s.rows * codes_per_row<F>(s.cols), from);
    if (!c) return c.error();
    auto p = buffer<typename F::params>::zeros(params_count<F>(s.rows, s.cols), from);
    if (!p) return p.error();
    coded_matrix m;
    m.rows = s.rows, m.cols = s.cols;
    m.codes = *std::move(c), m.params = *std::move(p);
    return m;
  }

  [[nodiscard]] NBIT_INLINE nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE code_t<F>* row_codes(std::size_t r) { return codes.data() + r * codes_per_row<F>(cols); }
  [[nodiscard]] NBIT_INLINE const code_t<F>* row_codes(std::size_t r) const {
    return codes.data() + r * codes_per_row<F>(cols);
  }
  [[nodiscard]] NBIT_INLINE std::size_t params_index(std::size_t r, std::size_t g) const {
    if constexpr (F::group == per_tensor)
      return 0;
    else
      return r * groups_per_row<F>(cols) + g;
  }
  [[nodiscard]] NBIT_INLINE std::size_t group_of(std::size_t c) const {
    if (!group_index.empty()) return group_index[c];
    if constexpr (F::group > 0)
      return c / std::size_t(F::group);
    else
      return 0;
  }
};

#endif  // NBIT_NO_HEAP

}  // namespace nbit

#endif
// END nbit/tensor/coded_matrix.hpp
// BEGIN nbit/tensor/encode.hpp
// nbit/tensor/encode.hpp — one row of weights to codes and parameters and back, for any weight_format.
//
// The formats' three questions (fit, code, value) asked group by group; a format's own encoder is used where it has
// one. Kernels replace these loops for the formats they know and must give the same codes. A ragged last group is
// passed to the format as a short span; callers refuse ragged rows for block formats first (fits_format).
#ifndef NBIT_TENSOR_ENCODE_HPP
#define NBIT_TENSOR_ENCODE_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// Whether encode_row uses F::encode.
template <class F>
inline constexpr bool encodes_itself = self_encoding<F>;

/// Whether rows of this many weights can be held by F: blocks of a file are never short, lattice points never split.
template <weight_format F>
NBIT_INLINE constexpr bool fits_format(std::size_t cols) {
  if constexpr (block_format<F> && F::group > 0) {
    if (cols % std::size_t(F::group) != 0) return false;
  }
  return cols % std::size_t(step_of<F>) == 0;
}

/// The error for a row length that F cannot hold.
template <weight_format F>
NBIT_INLINE constexpr error shape_error(std::size_t cols) {
  return make_error(errc::shape, "row length does not fit the format's blocks",
                    "a multiple of the format's group (blocks) or step (lattices)")
      .with(static_cast<std::int64_t>(cols));
}

inline namespace NBIT_TAG {
namespace detail {

/// Rounds the weights of one group with given parameters; `first` is the position of w[0] inside the group.
template <weight_format F>
inline void round_group(std::span<const float> w, const typename F::params& p, int first, code_t<F>* codes) {
  const int n = static_cast<int>(w.size());
  if constexpr (lattice_format<F>) {
    constexpr int step = step_of<F>;
    for (int i = 0; i < n; i += step)
      codes[i / step] = static_cast<code_t<F>>(F::code(w.subspan(std::size_t(i), std::size_t(step)), p, first + i));
  } else {
    for (int i = 0; i < n; ++i) codes[i] = static_cast<code_t<F>>(F::code(w[std::size_t(i)], p, first + i));
  }
}

/// Writes the values of one group's codes.
template <weight_format F>
inline void value_group(const code_t<F>* codes, const typename F::params& p, int first, std::span<float> out) {
  const int n = static_cast<int>(out.size());
  if constexpr (lattice_format<F>) {
    constexpr int step = step_of<F>;
    for (int i = 0; i < n; i += step)
      F::value(static_cast<int>(codes[i / step]), p, first + i, out.subspan(std::size_t(i), std::size_t(step)));
  } else {
    for (int i = 0; i < n; ++i) out[std::size_t(i)] = F::value(static_cast<int>(codes[i]), p, first + i);
  }
}

/// Parameters and codes of one group.
template <weight_format F>
inline void encode_group(std::span<const float> w, std::span<const float> importance, float row_mean_square,
                         typename F::params& p, code_t<F>* codes) {
  if constexpr (encodes_itself<F>) {
    F::encode(w, importance, row_mean_square, p, std::span<code_t<F>>(codes, w.size() / std::size_t(step_of<F>)));
  } else {
    p = F::fit(w, importance);
    round_group<F>(w, p, 0, codes);
  }
}

/// The mean of the squares of a row, summed in order in float as the reference encoders do.
inline float row_mean_square(std::span<const float> row) {
  NBIT_EXACT
  float sum = 0.0f;
  for (const float v : row) sum += v * v;
  return row.empty() ? 0.0f : sum / static_cast<float>(row.size());
}

/// Encodes one row: all of its groups, the last perhaps short. importance: one weight for each column, or empty.
/// With one group per tensor, params holds the fitted parameters already and the row is only rounded.
/// Needs: fits_format<F>(row.size()).
template <weight_format F>
inline void encode_row(std::span<const float> row, std::span<const float> importance, code_t<F>* codes,
                       typename F::params* params) {
  if constexpr (F::group == per_tensor) {
    round_group<F>(row, *params, 0, codes);
  } else {
    float mean_square = 0.0f;
    if constexpr (encodes_itself<F>) mean_square = row_mean_square(row);
    const std::size_t length = group_length<F>(row.size());
    for (std::size_t first = 0, g = 0; first < row.size(); first += length, ++g) {
      const std::size_t n = row.size() - first < length ? row.size() - first : length;
      encode_group<F>(row.subspan(first, n), importance.empty() ? importance : importance.subspan(first, n),
                      mean_square, params[g], codes + first / std::size_t(step_of<F>));
    }
  }
}

/// Writes the values of one row of codes. group_index: empty, or the group of every column.
/// Needs: fits_format<F>(out.size()); group_index empty for lattice formats.
template <weight_format F>
inline void decode_row(const code_t<F>* codes, const typename F::params* params,
                       std::span<const std::uint32_t> group_index, std::span<float> out) {
  const std::size_t length = group_length<F>(out.size());
  if constexpr (grid_format<F>) {
    if (!group_index.empty()) {
      for (std::size_t c = 0; c < out.size(); ++c)
        out[c] = F::value(static_cast<int>(codes[c]), params[group_index[c]], static_cast<int>(c % length));
      return;
    }
  }
  for (std::size_t first = 0, g = 0; first < out.size(); first += length, ++g) {
    const std::size_t n = out.size() - first < length ? out.size() - first : length;
    value_group<F>(codes + first / std::size_t(step_of<F>), params[g], 0, out.subspan(first, n));
  }
}

/// The first weight that is NaN or infinite, as an error with its row and column.
inline result<void> all_finite(matrix_view<const float> w) {
  for (std::size_t r = 0; r < w.rows; ++r) {
    const std::span<const float> row = w.row(r);
    bool fine = true;
    for (const float v : row) fine &= is_finite(v);
    if (fine) continue;
    for (std::size_t c = 0; c < row.size(); ++c)
      if (!is_finite(row[c]))
        return make_error(errc::not_finite, "weight is NaN or infinite", "finite numbers")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(c));
  }
  return {};
}

#if !defined(NBIT_NO_HEAP)
/// Parameters for a format with one group per tensor.  Errors: out_of_memory, overflow.
template <weight_format F>
  requires(F::group == per_tensor)
inline result<typename F::params> fit_tensor(matrix_view<const float> w, std::span<const float> importance) {
  if (w.stride == w.cols && importance.empty())
    return F::fit(std::span<const float>(w.data, w.rows * w.cols), importance);
  auto values = buffer<float>::make(w.rows * w.cols);
  if (!values) return values.error();
  auto weights = buffer<float>::make(importance.empty() ? 0 : w.rows * w.cols);
  if (!weights) return weights.error();
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) {
      (*values)[r * w.cols + c] = w(r, c);
      if (!importance.empty()) (*weights)[r * w.cols + c] = importance[c];
    }
  const buffer<float>& v = *values;
  const buffer<float>& i = *weights;
  return F::fit(v.span(), i.span());
}

/// Writes the values of a whole coded matrix.  Needs: out has the same shape.
template <weight_format F>
inline void decode_matrix(const coded_matrix<F>& q, matrix_view<float> out) {
  for (std::size_t r = 0; r < q.rows; ++r)
    decode_row<F>(q.row_codes(r), q.params.data() + q.params_index(r, 0), q.group_index.span(), out.row(r));
}
#endif

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/tensor/encode.hpp
// BEGIN nbit/tensor/packed_matrix.hpp
// nbit/tensor/packed_matrix.hpp — an owned packed tensor; hand out view() to kernels.
#ifndef NBIT_TENSOR_PACKED_MATRIX_HPP
#define NBIT_TENSOR_PACKED_MATRIX_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

// BEGIN nbit/tensor/packed_view.hpp
// nbit/tensor/packed_view.hpp — packed codes and parameters that somebody else owns, with their shape.
//
// Two storages, one interface. A planar tensor keeps codes in words placed by a layout, and parameters in an array
// beside them (row by row). A blocked tensor keeps parameters and codes of each group together in the format's own
// bytes (GGUF).
#ifndef NBIT_TENSOR_PACKED_VIEW_HPP
#define NBIT_TENSOR_PACKED_VIEW_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace nbit {

/// The layout a format is packed in unless another is named: its own blocks, or linear.
template <class F>
using default_layout = std::conditional_t<block_format<F>, blocks, linear>;

/// The shape of the codes of a tensor of this shape (lattice formats have one code for several weights).
template <class F>
NBIT_INLINE constexpr shape code_shape(shape s) {
  return {s.rows, codes_per_row<F>(s.cols)};
}

/// Bytes of a packed tensor: for planar layouts the codes, rounded up to 16 bytes, then the parameters.
template <weight_format F, class L = default_layout<F>>
NBIT_INLINE constexpr std::size_t packed_code_bytes(shape s) {
  if constexpr (std::is_same_v<L, blocks>) {
    return s.rows * groups_per_row<F>(s.cols) * std::size_t(F::block_bytes);
  } else {
    using word = typename L::template map<F::bits>::word;
    return (words_for<L, F::bits>(code_shape<F>(s)) * sizeof(word) + 15) / 16 * 16;
  }
}
template <weight_format F, class L = default_layout<F>>
NBIT_INLINE constexpr std::size_t packed_bytes(shape s) {
  if constexpr (std::is_same_v<L, blocks>)
    return packed_code_bytes<F, L>(s);
  else
    return packed_code_bytes<F, L>(s) + params_count<F>(s.rows, s.cols) * sizeof(typename F::params);
}

/// A planar packed tensor: rows = outputs, cols = inputs. Byte is std::byte for a view that may be written.
template <weight_format F, class L = default_layout<F>, class Byte = const std::byte>
struct packed_view {
  static_assert(code_layout<L, F::bits>, "packed_view: L must be a layout (see layout/concepts.hpp) or nbit::blocks");
  using format = F;
  using layout = L;
  using map = typename L::template map<F::bits>;
  template <class T>
  using as_const = std::conditional_t<std::is_const_v<Byte>, const T, T>;
  using word = as_const<typename map::word>;
  using params_type = as_const<typename F::params>;

  word* words = nullptr;
  params_type* params = nullptr;
  std::size_t rows = 0, cols = 0;
  const std::uint32_t* group_index = nullptr;  // group of each column, or nullptr: column / F::group

  NBIT_INLINE constexpr packed_view() = default;
  NBIT_INLINE constexpr packed_view(word* w, params_type* p, nbit::shape s, const std::uint32_t* g = nullptr)
      : words(w), params(p), rows(s.rows), cols(s.cols), group_index(g) {}

  /// Views one region that holds codes, then parameters (packed_bytes<F, L>(shape) bytes, aligned for both).
  NBIT_INLINE packed_view(std::span<Byte> bytes, nbit::shape s) {
    NBIT_EXPECTS((bytes.size() >= packed_bytes<F, L>(s)),
                 "packed_view: the region must hold packed_bytes<F, L>(shape) bytes");
    NBIT_EXPECTS(reinterpret_cast<std::uintptr_t>(bytes.data()) % 4 == 0 || sizeof(word) == 1,
                 "packed_view: layouts of 32-bit words need a region aligned to 4 bytes");
    words = reinterpret_cast<word*>(bytes.data());
    params = reinterpret_cast<params_type*>(bytes.data() + packed_code_bytes<F, L>(s));
    rows = s.rows, cols = s.cols;
  }
  /// A writable view reads as a constant one.
  NBIT_INLINE constexpr operator packed_view<F, L, const std::byte>() const
    requires(!std::is_const_v<Byte>)
  {
    return {words, params, shape(), group_index};
  }

  [[nodiscard]] NBIT_INLINE constexpr nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE constexpr nbit::shape padded() const {
    return padded_shape<L, F::bits>(code_shape<F>(shape()));
  }
  [[nodiscard]] NBIT_INLINE constexpr params_type& group_params(std::size_t r, std::size_t g) const {
    if constexpr (F::group == per_tensor)
      return params[0];
    else
      return params[r * groups_per_row<F>(cols) + g];
  }
};

/// A blocked packed tensor: rows of whole blocks of F::block_bytes, exactly as in a GGUF file.
/// A row whose columns are no multiple of the block ends in a block that is only partly read (files never hold such
/// rows).
template <block_format F, class Byte>
struct packed_view<F, blocks, Byte> {
  using format = F;
  using layout = blocks;

  Byte* bytes = nullptr;
  std::size_t rows = 0, cols = 0;

  NBIT_INLINE constexpr packed_view() = default;
  NBIT_INLINE constexpr packed_view(std::span<Byte> region, nbit::shape s) {
    NBIT_EXPECTS((region.size() >= packed_bytes<F, blocks>(s)),
                 "packed_view: the region must hold packed_bytes<F>(shape) bytes");
    bytes = region.data(), rows = s.rows, cols = s.cols;
  }
  NBIT_INLINE constexpr operator packed_view<F, blocks, const std::byte>() const
    requires(!std::is_const_v<Byte>)
  {
    return {std::span<const std::byte>(bytes, packed_bytes<F, blocks>(shape())), shape()};
  }

  [[nodiscard]] NBIT_INLINE constexpr nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE constexpr Byte* block(std::size_t r, std::size_t g) const {
    return bytes + (r * groups_per_row<F>(cols) + g) * std::size_t(F::block_bytes);
  }
};

/// A packed tensor that may be written.
template <weight_format F, class L = default_layout<F>>
using packed_span = packed_view<F, L, std::byte>;

namespace detail {
template <class T>
inline constexpr bool is_packed_view = false;
template <class F, class L, class B>
inline constexpr bool is_packed_view<packed_view<F, L, B>> = true;
}  // namespace detail

}  // namespace nbit

#endif
// END nbit/tensor/packed_view.hpp

#if !defined(NBIT_NO_HEAP)

namespace nbit {

/// Owns the bytes of a packed tensor (and the group of each column, if columns were reordered).
template <weight_format F, class L = default_layout<F>>
struct packed_matrix {
  using format = F;
  using layout = L;

  std::size_t rows = 0, cols = 0;
  buffer<std::byte> bytes;
  buffer<std::uint32_t> group_index;

  // declared, so that no implicit one becomes a weak symbol that differently built units would share
  NBIT_INLINE packed_matrix() noexcept = default;
  NBIT_INLINE packed_matrix(packed_matrix&&) noexcept = default;
  NBIT_INLINE packed_matrix& operator=(packed_matrix&&) noexcept = default;
  NBIT_INLINE ~packed_matrix() = default;

  /// Zeroed storage for a tensor of this shape.  Errors: out_of_memory, overflow.
  NBIT_INLINE static result<packed_matrix> make(nbit::shape s, allocator from = default_allocator()) {
    auto b = buffer<std::byte>::zeros(packed_bytes<F, L>(s), from);
    if (!b) return b.error();
    packed_matrix m;
    m.rows = s.rows, m.cols = s.cols;
    m.bytes = *std::move(b);
    return m;
  }

  [[nodiscard]] NBIT_INLINE nbit::shape shape() const { return {rows, cols}; }
  [[nodiscard]] NBIT_INLINE packed_view<F, L> view() const {
    return with_index(packed_view<F, L>(bytes.span(), shape()));
  }
  [[nodiscard]] NBIT_INLINE packed_span<F, L> span() { return with_index(packed_span<F, L>(bytes.span(), shape())); }

 private:
  template <class View>
  NBIT_INLINE View with_index(View v) const {
    if constexpr (!std::is_same_v<L, blocks>) v.group_index = group_index.empty() ? nullptr : group_index.data();
    return v;
  }
};

}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
// END nbit/tensor/packed_matrix.hpp
// BEGIN nbit/tensor/repack.hpp
// nbit/tensor/repack.hpp — codes and parameters between unpacked, planar and blocked storage; numbers never change.
#ifndef NBIT_TENSOR_REPACK_HPP
#define NBIT_TENSOR_REPACK_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace nbit {
inline namespace NBIT_TAG {

/// Writes the codes and parameters of one group.  Needs: planar words of that group are still zero.
/// n: codes in the group (a short last group has fewer than F::group / step).
template <class F, class L>
inline void store_group(packed_span<F, L> to, std::size_t r, std::size_t g, std::size_t n, const code_t<F>* codes,
                        const typename F::params& p) {
  if constexpr (std::is_same_v<L, blocks>) {
    constexpr std::size_t full = std::size_t(F::group) / std::size_t(step_of<F>);
    if (n == full) {
      F::store(to.block(r, g), p, codes);
    } else {
      code_t<F> padded[full] = {};
      for (std::size_t i = 0; i < n; ++i) padded[i] = codes[i];
      F::store(to.block(r, g), p, padded);
    }
  } else {
    to.group_params(r, g) = p;
    pack_row<L, F::bits>(codes, to.words, to.padded(), r, g * codes_per_row<F>(group_length<F>(to.cols)), n);
  }
}

/// Reads the codes of one group and returns its parameters; a block gives all its codes, a planar group only n.
template <class F, class L, class Byte>
inline typename F::params load_group(const packed_view<F, L, Byte>& from, std::size_t r, std::size_t g, std::size_t n,
                                     code_t<F>* codes) {
  if constexpr (std::is_same_v<L, blocks>) {
    F::load_codes(from.block(r, g), codes);
    return F::load_params(from.block(r, g));
  } else {
    unpack_row<L, F::bits>(from.words, from.padded(), r, g * codes_per_row<F>(group_length<F>(from.cols)), n, codes);
    return from.group_params(r, g);
  }
}

#if !defined(NBIT_NO_HEAP)

/// Packs unpacked codes into layout L.  Errors: out_of_memory; unsupported when columns were reordered into groups that
/// blocks cannot express.
template <class L, weight_format F>
inline result<packed_matrix<F, L>> pack_codes(const coded_matrix<F>& from, allocator memory = default_allocator()) {
  auto to = packed_matrix<F, L>::make(from.shape(), memory);
  if (!to) return to.error();
  if (!from.group_index.empty()) {
    if constexpr (std::is_same_v<L, blocks>) {
      return make_error(errc::unsupported, "blocks hold neighbouring columns; this tensor has reordered groups",
                        "static groups, or a planar layout");
    } else {
      auto index = buffer<std::uint32_t>::make(from.cols, memory);
      if (!index) return index.error();
      std::memcpy(index->data(), from.group_index.data(), from.cols * sizeof(std::uint32_t));
      to->group_index = *std::move(index);
    }
  }
  const std::size_t per_row_codes = codes_per_row<F>(from.cols), length = codes_per_row<F>(group_length<F>(from.cols));
  const packed_span<F, L> out = to->span();
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t g = 0; g < groups_per_row<F>(from.cols); ++g) {
      const std::size_t first = g * length, n = per_row_codes - first < length ? per_row_codes - first : length;
      store_group<F, L>(out, r, g, n, from.row_codes(r) + first, from.params[from.params_index(r, g)]);
    }
  return to;
}

/// Unpacks any packed tensor into plain codes and parameters.  Errors: out_of_memory.
template <weight_format F, class L, class Byte>
inline result<coded_matrix<F>> unpack_codes(const packed_view<F, L, Byte>& from,
                                            allocator memory = default_allocator()) {
  auto to = coded_matrix<F>::make(from.shape(), memory);
  if (!to) return to.error();
  if constexpr (!std::is_same_v<L, blocks>) {
    if (from.group_index != nullptr) {
      auto index = buffer<std::uint32_t>::make(from.cols, memory);
      if (!index) return index.error();
      std::memcpy(index->data(), from.group_index, from.cols * sizeof(std::uint32_t));
      to->group_index = *std::move(index);
    }
  }
  const std::size_t per_row_codes = codes_per_row<F>(from.cols), length = codes_per_row<F>(group_length<F>(from.cols));
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t g = 0; g < groups_per_row<F>(from.cols); ++g) {
      const std::size_t first = g * length, n = per_row_codes - first < length ? per_row_codes - first : length;
      code_t<F>* const codes = to->row_codes(r) + first;
      if constexpr (std::is_same_v<L, blocks>) {
        constexpr std::size_t full = std::size_t(F::group) / std::size_t(step_of<F>);
        if (n < full) {  // the block holds more codes than the row has room for
          code_t<F> whole[full];
          to->params[to->params_index(r, g)] = load_group(from, r, g, n, whole);
          for (std::size_t i = 0; i < n; ++i) codes[i] = whole[i];
          continue;
        }
      }
      to->params[to->params_index(r, g)] = load_group(from, r, g, n, codes);
    }
  return to;
}

/// The same codes and parameters in another layout.  Errors: as pack_codes.
template <class To, weight_format F, class L, class Byte>
inline result<packed_matrix<F, To>> repack(const packed_view<F, L, Byte>& from,
                                           allocator memory = default_allocator()) {
  auto codes = unpack_codes(from, memory);
  if (!codes) return codes.error();
  return pack_codes<To>(*codes, memory);
}

#endif  // NBIT_NO_HEAP

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/tensor/repack.hpp

// BEGIN nbit/arch/cpu.hpp
// nbit/arch/cpu.hpp — the best tag that this processor and this operating system can run.
//
// Own CPUID and XGETBV: __builtin_cpu_supports is missing on some toolchains and rejects some feature names. An
// instruction set counts only when the operating system saves its registers (XCR0), or a hypervisor may kill the
// process. Ref: Intel SDM volume 1, sections 14.3 and 15.2.
#ifndef NBIT_ARCH_CPU_HPP
#define NBIT_ARCH_CPU_HPP

#include <atomic>
#include <cstdlib>

// BEGIN nbit/arch/tags.hpp
// nbit/arch/tags.hpp — one empty type per instruction set that kernels are stamped for.
//
// The tag is a template argument of everything stamped, so gemv_kernel<arch::avx2, ...> and gemv_kernel<arch::scalar,
// ...> can never be confused by a linker. A caller may pass a tag to run that very kernel.
#ifndef NBIT_ARCH_TAGS_HPP
#define NBIT_ARCH_TAGS_HPP

namespace nbit::arch {

/// Plain C++, the definition that every other kernel is compared with.
struct scalar {
  static constexpr int level = 0;
  static constexpr const char* name = "scalar";
};
/// x86-64 with AVX2, FMA, F16C and BMI2.
struct avx2 {
  static constexpr int level = 1;
  static constexpr const char* name = "avx2";
};
/// x86-64 with AVX-512 F, BW, VL, DQ and VNNI, and everything avx2 asks for.
struct avx512_vnni {
  static constexpr int level = 2;
  static constexpr const char* name = "avx512_vnni";
};

}  // namespace nbit::arch

#endif
// END nbit/arch/tags.hpp

namespace nbit::arch {
inline namespace NBIT_TAG {
namespace detail {

#if NBIT_HAS_X86
struct cpuid_registers {
  unsigned a, b, c, d;
};
inline cpuid_registers cpuid(unsigned leaf, unsigned sub) noexcept {
  cpuid_registers r{};
  __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
  return r;
}
inline bool has(unsigned word, int bit) noexcept { return (word >> bit & 1u) != 0; }
#endif

/// The level of the best tag this machine runs.
inline int detect_level() noexcept {
#if NBIT_HAS_X86
  if (cpuid(0, 0).a < 7) return scalar::level;
  const cpuid_registers one = cpuid(1, 0), seven = cpuid(7, 0);
  const bool osxsave = has(one.c, 27), fma = has(one.c, 12), f16c = has(one.c, 29);
  if (!osxsave || !fma || !f16c || !has(seven.b, 5) || !has(seven.b, 8)) return scalar::level;  // AVX2, BMI2
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 0x6u) != 0x6u) return scalar::level;  // XMM and YMM state
  const bool avx512 = has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 30) && has(seven.b, 31);  // F DQ BW VL
  const bool vnni = has(seven.c, 11), zmm_state = (low & 0xe6u) == 0xe6u;
  return avx512 && vnni && zmm_state ? avx512_vnni::level : avx2::level;
#else
  return scalar::level;
#endif
}

/// NBIT_ARCH=scalar|avx2|avx512_vnni in the environment lowers the level; for tests only, it never raises it.
inline int narrowed_level() noexcept {
  const int best = detect_level();
#if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 1
  const char* const wish = std::getenv("NBIT_ARCH");
  if (wish == nullptr) return best;
  const auto same = [wish](const char* name) {
    const char* w = wish;
    while (*w != '\0' && *w == *name) ++w, ++name;
    return *w == *name;
  };
  if (same(scalar::name)) return scalar::level;
  if (same(avx2::name)) return best < avx2::level ? best : avx2::level;
#endif
  return best;
}

inline std::atomic<int>& level_cache() noexcept {
  static std::atomic<int> cached{-1};
  return cached;
}

}  // namespace detail

/// The level of the tag that operations without an explicit tag run; resolved once.
inline int selected_level() noexcept {
  int level = detail::level_cache().load(std::memory_order_relaxed);
  if (level < 0) {
    level = detail::narrowed_level();
    detail::level_cache().store(level, std::memory_order_relaxed);
  }
  return level;
}

/// True when this machine can run kernels of that tag.
template <class Tag>
[[nodiscard]] inline bool runnable(Tag) noexcept {
  return Tag::level <= detail::detect_level();
}

/// Calls f with the best tag of this machine; one branch per matrix operation.
template <class F>
inline decltype(auto) dispatch(F&& f) {
#if NBIT_HAS_X86
  switch (selected_level()) {
    case avx512_vnni::level: return f(avx512_vnni{});
    case avx2::level: return f(avx2{});
    default: return f(scalar{});
  }
#else
  return f(scalar{});
#endif
}

/// Calls f with every tag this machine can run, the definition first.
template <class F>
inline void for_each_runnable(F&& f) {
  f(scalar{});
#if NBIT_HAS_X86
  if (runnable(avx2{})) f(avx2{});
  if (runnable(avx512_vnni{})) f(avx512_vnni{});
#endif
}

/// The name of the tag that operations without an explicit tag run.
[[nodiscard]] inline const char* selected_name() {
  return dispatch([](auto tag) { return decltype(tag)::name; });
}

}  // namespace NBIT_TAG
}  // namespace nbit::arch

#endif
// END nbit/arch/cpu.hpp
// BEGIN nbit/arch/simd.hpp
// nbit/arch/simd.hpp — the primitives that kernel texts are written over: sixteen floats, and dots of int8.
//
// Sixteen lanes on every machine: one AVX-512 register, two AVX2 registers, an array in scalar code. The order in which
// floats are added is part of a kernel's definition, so the lane count may not depend on the machine.
#ifndef NBIT_ARCH_SIMD_HPP
#define NBIT_ARCH_SIMD_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

#if NBIT_HAS_X86
#include <immintrin.h>
#endif

namespace nbit {
inline namespace NBIT_TAG {

/// Floats in a vector of lanes<Arch>.
inline constexpr std::size_t lane_count = 16;

/// Sixteen floats and the operations on them, per instruction set.
/// reduce adds 16 -> 8 -> 4 -> 2 -> 1, always lane i with lane i + half.
/// dot4(w, x): lane i = sum of w[4i + j] * x[4i + j], j = 0..3, exact; w in [-128, 127], x in [-127, 127].
template <class Arch>
struct lanes;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/simd.inl>
// BEGIN nbit/arch/stamp.inl
// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH.
#define NBIT_TARGET 0
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/arch/simd.inl
// nbit/arch/simd.inl — lanes<Arch> for each instruction set; included by arch/simd.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

#if NBIT_TARGET == 0

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    float v[lane_count];
  };

  static type zero() { return type{}; }
  static type load(const float* p) {
    type r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static type load_f16(const f16* p) {
    type r;
    for (std::size_t i = 0; i < lane_count; ++i) r.v[i] = float(p[i]);
    return r;
  }
  static void store(float* p, type a) { std::memcpy(p, a.v, sizeof a.v); }
  static type broadcast(float s) {
    type r;
    for (float& f : r.v) f = s;
    return r;
  }
  static type add(type a, type b) {
    NBIT_EXACT
    for (std::size_t i = 0; i < lane_count; ++i) a.v[i] += b.v[i];
    return a;
  }
  static type mul(type a, type b) {
    NBIT_EXACT
    for (std::size_t i = 0; i < lane_count; ++i) a.v[i] *= b.v[i];
    return a;
  }
  static type fma(type a, type b, type c) {
    for (std::size_t i = 0; i < lane_count; ++i) c.v[i] = nbit::fma(a.v[i], b.v[i], c.v[i]);
    return c;
  }
  static float reduce(type a) {
    NBIT_EXACT
    for (std::size_t half = lane_count / 2; half != 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i) a.v[i] += a.v[i + half];
    return a.v[0];
  }
  static type dot4(const std::int8_t* w, const std::int8_t* x) {
    type r;
    for (std::size_t i = 0; i < lane_count; ++i) {
      int sum = 0;
      for (std::size_t j = 0; j < 4; ++j) sum += int{w[4 * i + j]} * int{x[4 * i + j]};
      r.v[i] = static_cast<float>(sum);
    }
    return r;
  }
};

#elif NBIT_TARGET == 1

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    __m256 lo, hi;
  };

  NBIT_INLINE static type zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  NBIT_INLINE static type load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  NBIT_INLINE static type load_f16(const f16* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  NBIT_INLINE static void store(float* p, type a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
  }
  NBIT_INLINE static type broadcast(float s) { return {_mm256_set1_ps(s), _mm256_set1_ps(s)}; }
  NBIT_INLINE static type add(type a, type b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type mul(type a, type b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type fma(type a, type b, type c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  NBIT_INLINE static float reduce(type a) {
    const __m256 eight = _mm256_add_ps(a.lo, a.hi);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    return {dot8(w, x), dot8(w + 32, x + 32)};
  }

 private:
  NBIT_INLINE static __m256 dot8(const std::int8_t* w, const std::int8_t* x) {
    // maddubs wants unsigned x signed: move w's sign to x. 2 * 128 * 127 fits a signed 16-bit sum.
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    const __m256i b = _mm256_sign_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), a);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), b);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

#elif NBIT_TARGET == 2

template <>
struct lanes<NBIT_ARCH> {
  using type = __m512;

  NBIT_INLINE static type zero() { return _mm512_setzero_ps(); }
  NBIT_INLINE static type load(const float* p) { return _mm512_loadu_ps(p); }
  NBIT_INLINE static type load_f16(const f16* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_maskz_cvtph_ps(static_cast<__mmask16>(0xffff), halves);
  }
  NBIT_INLINE static void store(float* p, type a) { _mm512_storeu_ps(p, a); }
  NBIT_INLINE static type broadcast(float s) { return _mm512_set1_ps(s); }
  NBIT_INLINE static type add(type a, type b) { return _mm512_add_ps(a, b); }
  NBIT_INLINE static type mul(type a, type b) { return _mm512_mul_ps(a, b); }
  NBIT_INLINE static type fma(type a, type b, type c) { return _mm512_fmadd_ps(a, b, c); }
  NBIT_INLINE static float reduce(type a) {
    // not _mm512_reduce_add_ps: its order is the compiler's. maskz: g++ 12 warns inside the headers of the unmasked
    // forms
    constexpr __mmask8 all = 0xff;
    const __m256 eight =
        _mm256_add_ps(_mm512_maskz_extractf32x8_ps(all, a, 0), _mm512_maskz_extractf32x8_ps(all, a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    const __m512i a = _mm512_loadu_si512(w), b = _mm512_loadu_si512(x);
    // dpbusd wants unsigned x signed: |w| and x with w's sign
    const __m512i signed_x = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
    const __m512i sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_abs_epi8(a), signed_x);
    return _mm512_maskz_cvtepi32_ps(static_cast<__mmask16>(0xffff), sums);
  }
};

#endif

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/arch/simd.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#if NBIT_HAS_X86
#define NBIT_TARGET 1
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/arch/simd.inl
// nbit/arch/simd.inl — lanes<Arch> for each instruction set; included by arch/simd.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

#if NBIT_TARGET == 0

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    float v[lane_count];
  };

  static type zero() { return type{}; }
  static type load(const float* p) {
    type r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static type load_f16(const f16* p) {
    type r;
    for (std::size_t i = 0; i < lane_count; ++i) r.v[i] = float(p[i]);
    return r;
  }
  static void store(float* p, type a) { std::memcpy(p, a.v, sizeof a.v); }
  static type broadcast(float s) {
    type r;
    for (float& f : r.v) f = s;
    return r;
  }
  static type add(type a, type b) {
    NBIT_EXACT
    for (std::size_t i = 0; i < lane_count; ++i) a.v[i] += b.v[i];
    return a;
  }
  static type mul(type a, type b) {
    NBIT_EXACT
    for (std::size_t i = 0; i < lane_count; ++i) a.v[i] *= b.v[i];
    return a;
  }
  static type fma(type a, type b, type c) {
    for (std::size_t i = 0; i < lane_count; ++i) c.v[i] = nbit::fma(a.v[i], b.v[i], c.v[i]);
    return c;
  }
  static float reduce(type a) {
    NBIT_EXACT
    for (std::size_t half = lane_count / 2; half != 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i) a.v[i] += a.v[i + half];
    return a.v[0];
  }
  static type dot4(const std::int8_t* w, const std::int8_t* x) {
    type r;
    for (std::size_t i = 0; i < lane_count; ++i) {
      int sum = 0;
      for (std::size_t j = 0; j < 4; ++j) sum += int{w[4 * i + j]} * int{x[4 * i + j]};
      r.v[i] = static_cast<float>(sum);
    }
    return r;
  }
};

#elif NBIT_TARGET == 1

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    __m256 lo, hi;
  };

  NBIT_INLINE static type zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  NBIT_INLINE static type load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  NBIT_INLINE static type load_f16(const f16* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  NBIT_INLINE static void store(float* p, type a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
  }
  NBIT_INLINE static type broadcast(float s) { return {_mm256_set1_ps(s), _mm256_set1_ps(s)}; }
  NBIT_INLINE static type add(type a, type b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type mul(type a, type b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type fma(type a, type b, type c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  NBIT_INLINE static float reduce(type a) {
    const __m256 eight = _mm256_add_ps(a.lo, a.hi);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    return {dot8(w, x), dot8(w + 32, x + 32)};
  }

 private:
  NBIT_INLINE static __m256 dot8(const std::int8_t* w, const std::int8_t* x) {
    // maddubs wants unsigned x signed: move w's sign to x. 2 * 128 * 127 fits a signed 16-bit sum.
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    const __m256i b = _mm256_sign_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), a);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), b);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

#elif NBIT_TARGET == 2

template <>
struct lanes<NBIT_ARCH> {
  using type = __m512;

  NBIT_INLINE static type zero() { return _mm512_setzero_ps(); }
  NBIT_INLINE static type load(const float* p) { return _mm512_loadu_ps(p); }
  NBIT_INLINE static type load_f16(const f16* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_maskz_cvtph_ps(static_cast<__mmask16>(0xffff), halves);
  }
  NBIT_INLINE static void store(float* p, type a) { _mm512_storeu_ps(p, a); }
  NBIT_INLINE static type broadcast(float s) { return _mm512_set1_ps(s); }
  NBIT_INLINE static type add(type a, type b) { return _mm512_add_ps(a, b); }
  NBIT_INLINE static type mul(type a, type b) { return _mm512_mul_ps(a, b); }
  NBIT_INLINE static type fma(type a, type b, type c) { return _mm512_fmadd_ps(a, b, c); }
  NBIT_INLINE static float reduce(type a) {
    // not _mm512_reduce_add_ps: its order is the compiler's. maskz: g++ 12 warns inside the headers of the unmasked
    // forms
    constexpr __mmask8 all = 0xff;
    const __m256 eight =
        _mm256_add_ps(_mm512_maskz_extractf32x8_ps(all, a, 0), _mm512_maskz_extractf32x8_ps(all, a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    const __m512i a = _mm512_loadu_si512(w), b = _mm512_loadu_si512(x);
    // dpbusd wants unsigned x signed: |w| and x with w's sign
    const __m512i signed_x = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
    const __m512i sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_abs_epi8(a), signed_x);
    return _mm512_maskz_cvtepi32_ps(static_cast<__mmask16>(0xffff), sums);
  }
};

#endif

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/arch/simd.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#define NBIT_TARGET 2
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/arch/simd.inl
// nbit/arch/simd.inl — lanes<Arch> for each instruction set; included by arch/simd.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

#if NBIT_TARGET == 0

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    float v[lane_count];
  };

  static type zero() { return type{}; }
  static type load(const float* p) {
    type r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static type load_f16(const f16* p) {
    type r;
    for (std::size_t i = 0; i < lane_count; ++i) r.v[i] = float(p[i]);
    return r;
  }
  static void store(float* p, type a) { std::memcpy(p, a.v, sizeof a.v); }
  static type broadcast(float s) {
    type r;
    for (float& f : r.v) f = s;
    return r;
  }
  static type add(type a, type b) {
    NBIT_EXACT
    for (std::size_t i = 0; i < lane_count; ++i) a.v[i] += b.v[i];
    return a;
  }
  static type mul(type a, type b) {
    NBIT_EXACT
    for (std::size_t i = 0; i < lane_count; ++i) a.v[i] *= b.v[i];
    return a;
  }
  static type fma(type a, type b, type c) {
    for (std::size_t i = 0; i < lane_count; ++i) c.v[i] = nbit::fma(a.v[i], b.v[i], c.v[i]);
    return c;
  }
  static float reduce(type a) {
    NBIT_EXACT
    for (std::size_t half = lane_count / 2; half != 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i) a.v[i] += a.v[i + half];
    return a.v[0];
  }
  static type dot4(const std::int8_t* w, const std::int8_t* x) {
    type r;
    for (std::size_t i = 0; i < lane_count; ++i) {
      int sum = 0;
      for (std::size_t j = 0; j < 4; ++j) sum += int{w[4 * i + j]} * int{x[4 * i + j]};
      r.v[i] = static_cast<float>(sum);
    }
    return r;
  }
};

#elif NBIT_TARGET == 1

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    __m256 lo, hi;
  };

  NBIT_INLINE static type zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  NBIT_INLINE static type load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  NBIT_INLINE static type load_f16(const f16* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  NBIT_INLINE static void store(float* p, type a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
  }
  NBIT_INLINE static type broadcast(float s) { return {_mm256_set1_ps(s), _mm256_set1_ps(s)}; }
  NBIT_INLINE static type add(type a, type b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type mul(type a, type b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type fma(type a, type b, type c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  NBIT_INLINE static float reduce(type a) {
    const __m256 eight = _mm256_add_ps(a.lo, a.hi);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    return {dot8(w, x), dot8(w + 32, x + 32)};
  }

 private:
  NBIT_INLINE static __m256 dot8(const std::int8_t* w, const std::int8_t* x) {
    // maddubs wants unsigned x signed: move w's sign to x. 2 * 128 * 127 fits a signed 16-bit sum.
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    const __m256i b = _mm256_sign_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), a);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), b);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

#elif NBIT_TARGET == 2

template <>
struct lanes<NBIT_ARCH> {
  using type = __m512;

  NBIT_INLINE static type zero() { return _mm512_setzero_ps(); }
  NBIT_INLINE static type load(const float* p) { return _mm512_loadu_ps(p); }
  NBIT_INLINE static type load_f16(const f16* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_maskz_cvtph_ps(static_cast<__mmask16>(0xffff), halves);
  }
  NBIT_INLINE static void store(float* p, type a) { _mm512_storeu_ps(p, a); }
  NBIT_INLINE static type broadcast(float s) { return _mm512_set1_ps(s); }
  NBIT_INLINE static type add(type a, type b) { return _mm512_add_ps(a, b); }
  NBIT_INLINE static type mul(type a, type b) { return _mm512_mul_ps(a, b); }
  NBIT_INLINE static type fma(type a, type b, type c) { return _mm512_fmadd_ps(a, b, c); }
  NBIT_INLINE static float reduce(type a) {
    // not _mm512_reduce_add_ps: its order is the compiler's. maskz: g++ 12 warns inside the headers of the unmasked
    // forms
    constexpr __mmask8 all = 0xff;
    const __m256 eight =
        _mm256_add_ps(_mm512_maskz_extractf32x8_ps(all, a, 0), _mm512_maskz_extractf32x8_ps(all, a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    const __m512i a = _mm512_loadu_si512(w), b = _mm512_loadu_si512(x);
    // dpbusd wants unsigned x signed: |w| and x with w's sign
    const __m512i signed_x = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
    const __m512i sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_abs_epi8(a), signed_x);
    return _mm512_maskz_cvtepi32_ps(static_cast<__mmask16>(0xffff), sums);
  }
};

#endif

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/arch/simd.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET
#endif
#undef NBIT_STAMP
// END nbit/arch/stamp.inl

#endif
// END nbit/arch/simd.hpp

// BEGIN nbit/parallel/executor.hpp
// nbit/parallel/executor.hpp — how work reaches threads: any callable ex(n, f) that runs f(0) ... f(n-1) and returns
// when done.
//
// Nothing in nbit creates a thread (but parallel/threads.hpp, which is opt-in). Work is cut by shape alone, never by
// the number of threads, so results do not depend on the executor.
#ifndef NBIT_PARALLEL_EXECUTOR_HPP
#define NBIT_PARALLEL_EXECUTOR_HPP

#include <concepts>
#include <cstddef>

namespace nbit {

/// Something that runs f(i) for every i below n, in any order, on any thread, and returns after the last.
template <class E>
concept executor = requires(E& ex, void (*f)(std::size_t)) { ex(std::size_t{1}, f); };

/// Runs everything on the calling thread, in order.
struct serial {
  template <class F>
  NBIT_INLINE void operator()(std::size_t n, F&& f) const {
    for (std::size_t i = 0; i < n; ++i) f(i);
  }
};

}  // namespace nbit

#endif
// END nbit/parallel/executor.hpp

// BEGIN nbit/kernel/activations.hpp
// nbit/kernel/activations.hpp — activations as int8 with a scale per group, made on the fly (dynamic quantization).
//
// code = round(x * 127 / absmax), in [-127, 127]; x ~ scale * code, scale = absmax / 127. Rows are padded with zero
// codes to a multiple of 64, and the sum of every 16 codes is kept for weights that have an offset.
#ifndef NBIT_KERNEL_ACTIVATIONS_HPP
#define NBIT_KERNEL_ACTIVATIONS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace nbit {

/// Rows of int8 activations that somebody else owns; Group columns share a scale (a multiple of 16, or per_row).
template <int Group = 32>
struct int8_activations {
  static_assert(Group == per_row || (Group > 0 && Group % 16 == 0),
                "int8_activations: Group must be a multiple of 16, or nbit::per_row");
  static constexpr int group = Group;

  std::int8_t* codes = nullptr;  // rows x stride
  float* scales = nullptr;       // rows x groups
  std::int16_t* sums = nullptr;  // rows x stride / 16
  std::size_t rows = 0, cols = 0;

  [[nodiscard]] NBIT_INLINE static constexpr std::size_t stride_for(std::size_t c) { return (c + 63) / 64 * 64; }
  [[nodiscard]] NBIT_INLINE static constexpr std::size_t groups_for(std::size_t c) {
    if constexpr (Group == per_row)
      return 1;
    else
      return (stride_for(c) + std::size_t(Group) - 1) / std::size_t(Group);
  }
  /// Bytes of storage for a rows x cols matrix of activations.
  [[nodiscard]] NBIT_INLINE static constexpr std::size_t bytes_for(shape s) {
    return s.rows *
           (stride_for(s.cols) + groups_for(s.cols) * sizeof(float) + stride_for(s.cols) / 16 * sizeof(std::int16_t));
  }

  NBIT_INLINE constexpr int8_activations() = default;
  /// Views storage of bytes_for(shape) bytes.  Needs: aligned to 4 bytes.
  NBIT_INLINE int8_activations(std::span<std::byte> storage, shape s) {
    NBIT_EXPECTS(storage.size() >= bytes_for(s), "int8_activations: storage must hold bytes_for(shape) bytes");
    NBIT_EXPECTS(reinterpret_cast<std::uintptr_t>(storage.data()) % alignof(float) == 0,
                 "int8_activations: storage must be aligned to 4 bytes");
    scales = reinterpret_cast<float*>(storage.data());
    sums = reinterpret_cast<std::int16_t*>(storage.data() + s.rows * groups_for(s.cols) * sizeof(float));
    codes = reinterpret_cast<std::int8_t*>(sums + s.rows * (stride_for(s.cols) / 16));
    rows = s.rows, cols = s.cols;
  }

  [[nodiscard]] NBIT_INLINE std::size_t stride() const { return stride_for(cols); }
  [[nodiscard]] NBIT_INLINE std::int8_t* row_codes(std::size_t r) const { return codes + r * stride(); }
  [[nodiscard]] NBIT_INLINE std::int16_t* row_sums(std::size_t r) const { return sums + r * (stride() / 16); }
  [[nodiscard]] NBIT_INLINE float* row_scales(std::size_t r) const { return scales + r * groups_for(cols); }
  /// The scale of the 16 columns from 16 * b on.
  [[nodiscard]] NBIT_INLINE float scale16(std::size_t r, std::size_t b) const {
    if constexpr (Group == per_row)
      return scales[r];
    else
      return row_scales(r)[b * 16 / std::size_t(Group)];
  }
};

inline namespace NBIT_TAG {
/// Quantizes one row; stamped per instruction set.
template <class Arch>
struct activation_kernel;
}  // namespace NBIT_TAG

}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/activations.inl>
// BEGIN nbit/arch/stamp.inl
// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH.
#define NBIT_TARGET 0
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/activations.inl
// nbit/kernel/activations.inl — quantizes a row of activations; included by kernel/activations.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct activation_kernel<NBIT_ARCH> {
  template <int Group>
  static void quantize_row(std::span<const float> x, const int8_activations<Group>& out, std::size_t r) noexcept {
    const std::size_t cols = x.size(), stride = out.stride();
    std::int8_t* const codes = out.row_codes(r);
    const std::size_t groups = out.groups_for(cols), length = Group == per_row ? stride : std::size_t(Group);
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t first = g * length;
      const std::size_t n = first >= cols ? 0 : cols - first < length ? cols - first : length;
      out.row_scales(r)[g] = quantize_group(x.data() + first, n, codes + first);
      const std::size_t end = first + length < stride ? first + length : stride;
      for (std::size_t c = first + n; c < end; ++c) codes[c] = 0;
    }
    for (std::size_t b = 0; b < stride / 16; ++b) {
      int sum = 0;
      for (std::size_t i = 0; i < 16; ++i) sum += codes[16 * b + i];
      out.row_sums(r)[b] = static_cast<std::int16_t>(sum);
    }
  }

 private:
  static float quantize_group(const float* x, std::size_t n, std::int8_t* codes) noexcept {
    NBIT_EXACT
    float top = 0.0f;
    for (std::size_t i = 0; i < n; ++i) top = nbit::abs(x[i]) > top ? nbit::abs(x[i]) : top;
    top = top > 0x1.fffffep127f ? 0x1.fffffep127f : top;
    const float inverse = 127.0f / top;
    if (!is_finite(inverse)) {  // all zero, or too small for a float reciprocal
      for (std::size_t i = 0; i < n; ++i) codes[i] = 0;
      return 0.0f;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const float scaled = x[i] * inverse;
      codes[i] = static_cast<std::int8_t>(scaled == scaled ? round_clamped(scaled, -127, 127) : 0);
    }
    return top / 127.0f;
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/activations.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#if NBIT_HAS_X86
#define NBIT_TARGET 1
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/activations.inl
// nbit/kernel/activations.inl — quantizes a row of activations; included by kernel/activations.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct activation_kernel<NBIT_ARCH> {
  template <int Group>
  static void quantize_row(std::span<const float> x, const int8_activations<Group>& out, std::size_t r) noexcept {
    const std::size_t cols = x.size(), stride = out.stride();
    std::int8_t* const codes = out.row_codes(r);
    const std::size_t groups = out.groups_for(cols), length = Group == per_row ? stride : std::size_t(Group);
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t first = g * length;
      const std::size_t n = first >= cols ? 0 : cols - first < length ? cols - first : length;
      out.row_scales(r)[g] = quantize_group(x.data() + first, n, codes + first);
      const std::size_t end = first + length < stride ? first + length : stride;
      for (std::size_t c = first + n; c < end; ++c) codes[c] = 0;
    }
    for (std::size_t b = 0; b < stride / 16; ++b) {
      int sum = 0;
      for (std::size_t i = 0; i < 16; ++i) sum += codes[16 * b + i];
      out.row_sums(r)[b] = static_cast<std::int16_t>(sum);
    }
  }

 private:
  static float quantize_group(const float* x, std::size_t n, std::int8_t* codes) noexcept {
    NBIT_EXACT
    float top = 0.0f;
    for (std::size_t i = 0; i < n; ++i) top = nbit::abs(x[i]) > top ? nbit::abs(x[i]) : top;
    top = top > 0x1.fffffep127f ? 0x1.fffffep127f : top;
    const float inverse = 127.0f / top;
    if (!is_finite(inverse)) {  // all zero, or too small for a float reciprocal
      for (std::size_t i = 0; i < n; ++i) codes[i] = 0;
      return 0.0f;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const float scaled = x[i] * inverse;
      codes[i] = static_cast<std::int8_t>(scaled == scaled ? round_clamped(scaled, -127, 127) : 0);
    }
    return top / 127.0f;
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/activations.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#define NBIT_TARGET 2
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/activations.inl
// nbit/kernel/activations.inl — quantizes a row of activations; included by kernel/activations.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct activation_kernel<NBIT_ARCH> {
  template <int Group>
  static void quantize_row(std::span<const float> x, const int8_activations<Group>& out, std::size_t r) noexcept {
    const std::size_t cols = x.size(), stride = out.stride();
    std::int8_t* const codes = out.row_codes(r);
    const std::size_t groups = out.groups_for(cols), length = Group == per_row ? stride : std::size_t(Group);
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t first = g * length;
      const std::size_t n = first >= cols ? 0 : cols - first < length ? cols - first : length;
      out.row_scales(r)[g] = quantize_group(x.data() + first, n, codes + first);
      const std::size_t end = first + length < stride ? first + length : stride;
      for (std::size_t c = first + n; c < end; ++c) codes[c] = 0;
    }
    for (std::size_t b = 0; b < stride / 16; ++b) {
      int sum = 0;
      for (std::size_t i = 0; i < 16; ++i) sum += codes[16 * b + i];
      out.row_sums(r)[b] = static_cast<std::int16_t>(sum);
    }
  }

 private:
  static float quantize_group(const float* x, std::size_t n, std::int8_t* codes) noexcept {
    NBIT_EXACT
    float top = 0.0f;
    for (std::size_t i = 0; i < n; ++i) top = nbit::abs(x[i]) > top ? nbit::abs(x[i]) : top;
    top = top > 0x1.fffffep127f ? 0x1.fffffep127f : top;
    const float inverse = 127.0f / top;
    if (!is_finite(inverse)) {  // all zero, or too small for a float reciprocal
      for (std::size_t i = 0; i < n; ++i) codes[i] = 0;
      return 0.0f;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const float scaled = x[i] * inverse;
      codes[i] = static_cast<std::int8_t>(scaled == scaled ? round_clamped(scaled, -127, 127) : 0);
    }
    return top / 127.0f;
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/activations.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET
#endif
#undef NBIT_STAMP
// END nbit/arch/stamp.inl

namespace nbit {
inline namespace NBIT_TAG {

/// Quantizes activations to int8.  Needs: out has the shape of x.  NaN becomes 0; infinity saturates its group.
template <class Arch, int Group, executor E = serial>
  requires(requires { Arch::level; })
inline void quantize_activations(Arch, matrix_view<const float> x, int8_activations<Group> out, E&& ex = {}) noexcept {
  NBIT_EXPECTS(x.rows == out.rows && x.cols == out.cols, "quantize_activations: out must have the shape of x");
  ex(x.rows, [&](std::size_t r) { activation_kernel<Arch>::quantize_row(x.row(r), out, r); });
}
template <int Group, executor E = serial>
inline void quantize_activations(matrix_view<const float> x, int8_activations<Group> out, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { quantize_activations(tag, x, out, ex); });
}

}  // namespace NBIT_TAG

#if !defined(NBIT_NO_HEAP)

/// Owns int8 activations.
template <int Group = 32>
struct int8_activation_matrix {
  std::size_t rows = 0, cols = 0;
  buffer<std::byte> bytes;

  // declared, so that no implicit one becomes a weak symbol that differently built units would share
  NBIT_INLINE int8_activation_matrix() noexcept = default;
  NBIT_INLINE int8_activation_matrix(int8_activation_matrix&&) noexcept = default;
  NBIT_INLINE int8_activation_matrix& operator=(int8_activation_matrix&&) noexcept = default;
  NBIT_INLINE ~int8_activation_matrix() = default;

  /// Errors: out_of_memory, overflow.
  NBIT_INLINE static result<int8_activation_matrix> make(shape s, allocator from = default_allocator()) {
    auto b = buffer<std::byte>::make(int8_activations<Group>::bytes_for(s), from);
    if (!b) return b.error();
    int8_activation_matrix m;
    m.rows = s.rows, m.cols = s.cols, m.bytes = *std::move(b);
    return m;
  }
  [[nodiscard]] NBIT_INLINE int8_activations<Group> view() { return {bytes.span(), {rows, cols}}; }
};

#endif

}  // namespace nbit

#endif
// END nbit/kernel/activations.hpp
// BEGIN nbit/kernel/decode.hpp
// nbit/kernel/decode.hpp — reads pieces of a weight row as floats, or as integer levels with their scales.
//
// row_decoder<Arch, Weights> is where a format meets an instruction set. The generic one asks the format for every
// value, so any format runs everywhere; a specialisation for one (Arch, Weights) slots in and must give the same
// floats.
#ifndef NBIT_KERNEL_DECODE_HPP
#define NBIT_KERNEL_DECODE_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

// BEGIN nbit/kernel/weights.hpp
// nbit/kernel/weights.hpp — what matrix kernels accept as weights: packed views, and plain f32, f16 or bf16 matrices.
#ifndef NBIT_KERNEL_WEIGHTS_HPP
#define NBIT_KERNEL_WEIGHTS_HPP

#include <cstddef>
#include <numeric>
#include <type_traits>

namespace nbit {
namespace detail {

/// The constant view that kernels are stamped on.
template <class W>
struct weights_of {};
template <class F, class L, class B>
struct weights_of<packed_view<F, L, B>> {
  using type = packed_view<F, L>;
};
template <class T>
  requires(std::is_same_v<T, float> || std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
struct weights_of<matrix_view<T>> {
  using type = matrix_view<const T>;
};
template <class T>
  requires(std::is_same_v<T, float> || std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
struct weights_of<matrix_view<const T>> {
  using type = matrix_view<const T>;
};

/// Columns that kernels decode at a time: a multiple of 64 (one step of an int8 dot) and of whole blocks.
template <class W>
inline constexpr std::size_t chunk_of = 256;
template <class F>
inline constexpr std::size_t chunk_of<packed_view<F, blocks>> = [] {
  constexpr std::size_t unit = std::lcm(std::size_t(F::group), std::size_t{64});
  return unit >= 256 ? unit : unit * (256 / unit);
}();

/// Whether the int8 kernels can work on integers: scales constant over 16 columns at least.
template <class F>
inline constexpr bool has_integer_runs = [] {
  if constexpr (integer_format<F>)
    return F::run > 0 ? F::run % 16 == 0 : F::group <= 0 || F::group % 16 == 0;
  else
    return false;
}();

}  // namespace detail

/// Anything with rows of weights that a kernel can multiply with: rows = outputs, cols = inputs.
template <class W>
concept weight_matrix = requires { typename detail::weights_of<std::remove_cvref_t<W>>::type; };

/// The constant view of a weight_matrix.
template <weight_matrix W>
using weights_t = typename detail::weights_of<std::remove_cvref_t<W>>::type;

}  // namespace nbit

#endif
// END nbit/kernel/weights.hpp

namespace nbit {
inline namespace NBIT_TAG {

/// floats(w, r, c, n, out): weights [c, c + n) of row r; c a multiple of chunk_of<Weights>, n at most that.
/// levels(w, r, c, n, level, scale, offset) for integer formats: n levels, and a scale and an offset for every 16
/// columns; the levels up to the next multiple of 64 are zeroed.
template <class Arch, class Weights>
struct row_decoder;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/decode.inl>
// BEGIN nbit/arch/stamp.inl
// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH.
#define NBIT_TARGET 0
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/decode.inl
// nbit/kernel/decode.inl — the generic row_decoder; included by kernel/decode.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const float>> {
  static void floats(const matrix_view<const float>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    std::memcpy(out, w.data + r * w.stride + c, n * sizeof(float));
  }
};

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const f16>> {
  static void floats(const matrix_view<const f16>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    const f16* const from = w.data + r * w.stride + c;
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) lanes<NBIT_ARCH>::store(out + i, lanes<NBIT_ARCH>::load_f16(from + i));
    for (; i < n; ++i) out[i] = float(from[i]);
  }
};

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const bf16>> {
  static void floats(const matrix_view<const bf16>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    const bf16* const from = w.data + r * w.stride + c;
    for (std::size_t i = 0; i < n; ++i) out[i] = float(from[i]);
  }
};

template <class F, class L>
struct row_decoder<NBIT_ARCH, packed_view<F, L>> {
  using weights = packed_view<F, L>;
  using code = code_t<F>;
  static constexpr bool blocked = std::is_same_v<L, blocks>;
  static constexpr std::size_t chunk = detail::chunk_of<weights>, step = std::size_t(step_of<F>);

  static void floats(const weights& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    code codes[chunk / step];
    if constexpr (!blocked) {
      unpack_row<L, F::bits>(w.words, w.padded(), r, c / step, (n + step - 1) / step, codes);
      if (w.group_index != nullptr) {
        if constexpr (step == 1) {
          for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], w.group_params(r, w.group_index[c + i]), 0);
        }
        return;
      }
    }
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) {
        const typename F::params p = F::load_params(w.block(r, g));
        F::load_codes(w.block(r, g), codes);
        values(codes, p, 0, m, out + i);
      } else {
        values(codes + i / step, w.group_params(r, g), at, m, out + i);
      }
      i += m;
    }
  }

  static void levels(const weights& w, std::size_t r, std::size_t c, std::size_t n, std::int8_t* level, float* scale,
                     float* offset)
    requires(detail::has_integer_runs<F>)
  {
    code codes[chunk];
    if constexpr (!blocked) unpack_row<L, F::bits>(w.words, w.padded(), r, c, n, codes);
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) F::load_codes(w.block(r, g), codes + i);
      const typename F::params p = params_of(w, r, g);
      std::size_t j16 = 0;
      for (; j16 + lane_count <= m; j16 += lane_count) {  // local arrays alias nothing: these loops become vectors
        std::uint8_t code16[lane_count];
        std::int8_t level16[lane_count];
        std::memcpy(code16, codes + i + j16, sizeof code16);
        for (std::size_t k = 0; k < lane_count; ++k) level16[k] = static_cast<std::int8_t>(F::level(code16[k]));
        std::memcpy(level + i + j16, level16, sizeof level16);
      }
      for (std::size_t j = j16; j < m; ++j) level[i + j] = static_cast<std::int8_t>(F::level(codes[i + j]));
      for (std::size_t j = 0; j < m; j += 16) {
        scale[(i + j) / 16] = F::scale(p, run_of(at + j));
        offset[(i + j) / 16] = F::offset(p, run_of(at + j));
      }
      i += m;
    }
    for (std::size_t i = n; i % 64 != 0; ++i) level[i] = 0;
    for (std::size_t b = (n + 15) / 16; b % 4 != 0; ++b) scale[b] = 0.0f, offset[b] = 0.0f;
  }

 private:
  // Which scale of its group a position has; the divisor is a constant.
  NBIT_INLINE static int run_of(std::size_t at)
    requires(detail::has_integer_runs<F>)
  {
    if constexpr (F::run > 0)
      return static_cast<int>(at / std::size_t(F::run));
    else
      return 0;
  }

  NBIT_INLINE static typename F::params params_of(const weights& w, std::size_t r, std::size_t g) {
    if constexpr (blocked)
      return F::load_params(w.block(r, g));
    else
      return w.group_params(r, g);
  }

  // Whole runs of sixteen with one scale: plain loops over local arrays, which compilers turn into vectors at -O2.
  static void runs(const code* codes, const typename F::params& p, std::size_t at, std::size_t n, float* out)
    requires(step == 1)
  {
    using vec = lanes<NBIT_ARCH>;
    for (std::size_t i = 0; i < n; i += lane_count) {
      std::uint8_t code16[lane_count];
      float level16[lane_count];
      std::memcpy(code16, codes + i, sizeof code16);
      for (std::size_t j = 0; j < lane_count; ++j) level16[j] = static_cast<float>(F::level(code16[j]));
      const int s = run_of(at + i);
      auto v = vec::mul(vec::broadcast(F::scale(p, s)), vec::load(level16));
      if constexpr (has_offset<F>) v = vec::add(v, vec::broadcast(F::offset(p, s)));
      vec::store(out + i, v);
    }
  }

  static void values(const code* codes, const typename F::params& p, std::size_t at, std::size_t n, float* out) {
    if constexpr (has_exact_levels<F> && detail::has_integer_runs<F>) {
      const std::size_t whole = n / lane_count * lane_count;
      runs(codes, p, at, whole, out);
      codes += whole, at += whole, n -= whole, out += whole;
    }
    if constexpr (step == 1) {
      for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], p, static_cast<int>(at + i));
    } else {
      for (std::size_t i = 0; i < n; i += step) {
        if (i + step <= n) {
          F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(out + i, step));
        } else {  // the row ends inside a lattice point
          float whole[step];
          F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(whole, step));
          for (std::size_t j = 0; i + j < n; ++j) out[i + j] = whole[j];
        }
      }
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/decode.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#if NBIT_HAS_X86
#define NBIT_TARGET 1
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/decode.inl
// nbit/kernel/decode.inl — the generic row_decoder; included by kernel/decode.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const float>> {
  static void floats(const matrix_view<const float>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    std::memcpy(out, w.data + r * w.stride + c, n * sizeof(float));
  }
};

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const f16>> {
  static void floats(const matrix_view<const f16>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    const f16* const from = w.data + r * w.stride + c;
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) lanes<NBIT_ARCH>::store(out + i, lanes<NBIT_ARCH>::load_f16(from + i));
    for (; i < n; ++i) out[i] = float(from[i]);
  }
};

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const bf16>> {
  static void floats(const matrix_view<const bf16>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    const bf16* const from = w.data + r * w.stride + c;
    for (std::size_t i = 0; i < n; ++i) out[i] = float(from[i]);
  }
};

template <class F, class L>
struct row_decoder<NBIT_ARCH, packed_view<F, L>> {
  using weights = packed_view<F, L>;
  using code = code_t<F>;
  static constexpr bool blocked = std::is_same_v<L, blocks>;
  static constexpr std::size_t chunk = detail::chunk_of<weights>, step = std::size_t(step_of<F>);

  static void floats(const weights& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    code codes[chunk / step];
    if constexpr (!blocked) {
      unpack_row<L, F::bits>(w.words, w.padded(), r, c / step, (n + step - 1) / step, codes);
      if (w.group_index != nullptr) {
        if constexpr (step == 1) {
          for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], w.group_params(r, w.group_index[c + i]), 0);
        }
        return;
      }
    }
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) {
        const typename F::params p = F::load_params(w.block(r, g));
        F::load_codes(w.block(r, g), codes);
        values(codes, p, 0, m, out + i);
      } else {
        values(codes + i / step, w.group_params(r, g), at, m, out + i);
      }
      i += m;
    }
  }

  static void levels(const weights& w, std::size_t r, std::size_t c, std::size_t n, std::int8_t* level, float* scale,
                     float* offset)
    requires(detail::has_integer_runs<F>)
  {
    code codes[chunk];
    if constexpr (!blocked) unpack_row<L, F::bits>(w.words, w.padded(), r, c, n, codes);
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) F::load_codes(w.block(r, g), codes + i);
      const typename F::params p = params_of(w, r, g);
      std::size_t j16 = 0;
      for (; j16 + lane_count <= m; j16 += lane_count) {  // local arrays alias nothing: these loops become vectors
        std::uint8_t code16[lane_count];
        std::int8_t level16[lane_count];
        std::memcpy(code16, codes + i + j16, sizeof code16);
        for (std::size_t k = 0; k < lane_count; ++k) level16[k] = static_cast<std::int8_t>(F::level(code16[k]));
        std::memcpy(level + i + j16, level16, sizeof level16);
      }
      for (std::size_t j = j16; j < m; ++j) level[i + j] = static_cast<std::int8_t>(F::level(codes[i + j]));
      for (std::size_t j = 0; j < m; j += 16) {
        scale[(i + j) / 16] = F::scale(p, run_of(at + j));
        offset[(i + j) / 16] = F::offset(p, run_of(at + j));
      }
      i += m;
    }
    for (std::size_t i = n; i % 64 != 0; ++i) level[i] = 0;
    for (std::size_t b = (n + 15) / 16; b % 4 != 0; ++b) scale[b] = 0.0f, offset[b] = 0.0f;
  }

 private:
  // Which scale of its group a position has; the divisor is a constant.
  NBIT_INLINE static int run_of(std::size_t at)
    requires(detail::has_integer_runs<F>)
  {
    if constexpr (F::run > 0)
      return static_cast<int>(at / std::size_t(F::run));
    else
      return 0;
  }

  NBIT_INLINE static typename F::params params_of(const weights& w, std::size_t r, std::size_t g) {
    if constexpr (blocked)
      return F::load_params(w.block(r, g));
    else
      return w.group_params(r, g);
  }

  // Whole runs of sixteen with one scale: plain loops over local arrays, which compilers turn into vectors at -O2.
  static void runs(const code* codes, const typename F::params& p, std::size_t at, std::size_t n, float* out)
    requires(step == 1)
  {
    using vec = lanes<NBIT_ARCH>;
    for (std::size_t i = 0; i < n; i += lane_count) {
      std::uint8_t code16[lane_count];
      float level16[lane_count];
      std::memcpy(code16, codes + i, sizeof code16);
      for (std::size_t j = 0; j < lane_count; ++j) level16[j] = static_cast<float>(F::level(code16[j]));
      const int s = run_of(at + i);
      auto v = vec::mul(vec::broadcast(F::scale(p, s)), vec::load(level16));
      if constexpr (has_offset<F>) v = vec::add(v, vec::broadcast(F::offset(p, s)));
      vec::store(out + i, v);
    }
  }

  static void values(const code* codes, const typename F::params& p, std::size_t at, std::size_t n, float* out) {
    if constexpr (has_exact_levels<F> && detail::has_integer_runs<F>) {
      const std::size_t whole = n / lane_count * lane_count;
      runs(codes, p, at, whole, out);
      codes += whole, at += whole, n -= whole, out += whole;
    }
    if constexpr (step == 1) {
      for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], p, static_cast<int>(at + i));
    } else {
      for (std::size_t i = 0; i < n; i += step) {
        if (i + step <= n) {
          F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(out + i, step));
        } else {  // the row ends inside a lattice point
          float whole[step];
          F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(whole, step));
          for (std::size_t j = 0; i + j < n; ++j) out[i + j] = whole[j];
        }
      }
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/decode.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#define NBIT_TARGET 2
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/decode.inl
// nbit/kernel/decode.inl — the generic row_decoder; included by kernel/decode.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const float>> {
  static void floats(const matrix_view<const float>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    std::memcpy(out, w.data + r * w.stride + c, n * sizeof(float));
  }
};

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const f16>> {
  static void floats(const matrix_view<const f16>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    const f16* const from = w.data + r * w.stride + c;
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) lanes<NBIT_ARCH>::store(out + i, lanes<NBIT_ARCH>::load_f16(from + i));
    for (; i < n; ++i) out[i] = float(from[i]);
  }
};

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const bf16>> {
  static void floats(const matrix_view<const bf16>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    const bf16* const from = w.data + r * w.stride + c;
    for (std::size_t i = 0; i < n; ++i) out[i] = float(from[i]);
  }
};

template <class F, class L>
struct row_decoder<NBIT_ARCH, packed_view<F, L>> {
  using weights = packed_view<F, L>;
  using code = code_t<F>;
  static constexpr bool blocked = std::is_same_v<L, blocks>;
  static constexpr std::size_t chunk = detail::chunk_of<weights>, step = std::size_t(step_of<F>);

  static void floats(const weights& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    code codes[chunk / step];
    if constexpr (!blocked) {
      unpack_row<L, F::bits>(w.words, w.padded(), r, c / step, (n + step - 1) / step, codes);
      if (w.group_index != nullptr) {
        if constexpr (step == 1) {
          for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], w.group_params(r, w.group_index[c + i]), 0);
        }
        return;
      }
    }
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) {
        const typename F::params p = F::load_params(w.block(r, g));
        F::load_codes(w.block(r, g), codes);
        values(codes, p, 0, m, out + i);
      } else {
        values(codes + i / step, w.group_params(r, g), at, m, out + i);
      }
      i += m;
    }
  }

  static void levels(const weights& w, std::size_t r, std::size_t c, std::size_t n, std::int8_t* level, float* scale,
                     float* offset)
    requires(detail::has_integer_runs<F>)
  {
    code codes[chunk];
    if constexpr (!blocked) unpack_row<L, F::bits>(w.words, w.padded(), r, c, n, codes);
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) F::load_codes(w.block(r, g), codes + i);
      const typename F::params p = params_of(w, r, g);
      std::size_t j16 = 0;
      for (; j16 + lane_count <= m; j16 += lane_count) {  // local arrays alias nothing: these loops become vectors
        std::uint8_t code16[lane_count];
        std::int8_t level16[lane_count];
        std::memcpy(code16, codes + i + j16, sizeof code16);
        for (std::size_t k = 0; k < lane_count; ++k) level16[k] = static_cast<std::int8_t>(F::level(code16[k]));
        std::memcpy(level + i + j16, level16, sizeof level16);
      }
      for (std::size_t j = j16; j < m; ++j) level[i + j] = static_cast<std::int8_t>(F::level(codes[i + j]));
      for (std::size_t j = 0; j < m; j += 16) {
        scale[(i + j) / 16] = F::scale(p, run_of(at + j));
        offset[(i + j) / 16] = F::offset(p, run_of(at + j));
      }
      i += m;
    }
    for (std::size_t i = n; i % 64 != 0; ++i) level[i] = 0;
    for (std::size_t b = (n + 15) / 16; b % 4 != 0; ++b) scale[b] = 0.0f, offset[b] = 0.0f;
  }

 private:
  // Which scale of its group a position has; the divisor is a constant.
  NBIT_INLINE static int run_of(std::size_t at)
    requires(detail::has_integer_runs<F>)
  {
    if constexpr (F::run > 0)
      return static_cast<int>(at / std::size_t(F::run));
    else
      return 0;
  }

  NBIT_INLINE static typename F::params params_of(const weights& w, std::size_t r, std::size_t g) {
    if constexpr (blocked)
      return F::load_params(w.block(r, g));
    else
      return w.group_params(r, g);
  }

  // Whole runs of sixteen with one scale: plain loops over local arrays, which compilers turn into vectors at -O2.
  static void runs(const code* codes, const typename F::params& p, std::size_t at, std::size_t n, float* out)
    requires(step == 1)
  {
    using vec = lanes<NBIT_ARCH>;
    for (std::size_t i = 0; i < n; i += lane_count) {
      std::uint8_t code16[lane_count];
      float level16[lane_count];
      std::memcpy(code16, codes + i, sizeof code16);
      for (std::size_t j = 0; j < lane_count; ++j) level16[j] = static_cast<float>(F::level(code16[j]));
      const int s = run_of(at + i);
      auto v = vec::mul(vec::broadcast(F::scale(p, s)), vec::load(level16));
      if constexpr (has_offset<F>) v = vec::add(v, vec::broadcast(F::offset(p, s)));
      vec::store(out + i, v);
    }
  }

  static void values(const code* codes, const typename F::params& p, std::size_t at, std::size_t n, float* out) {
    if constexpr (has_exact_levels<F> && detail::has_integer_runs<F>) {
      const std::size_t whole = n / lane_count * lane_count;
      runs(codes, p, at, whole, out);
      codes += whole, at += whole, n -= whole, out += whole;
    }
    if constexpr (step == 1) {
      for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], p, static_cast<int>(at + i));
    } else {
      for (std::size_t i = 0; i < n; i += step) {
        if (i + step <= n) {
          F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(out + i, step));
        } else {  // the row ends inside a lattice point
          float whole[step];
          F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(whole, step));
          for (std::size_t j = 0; i + j < n; ++j) out[i + j] = whole[j];
        }
      }
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/decode.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET
#endif
#undef NBIT_STAMP
// END nbit/arch/stamp.inl

#endif
// END nbit/kernel/decode.hpp
// BEGIN nbit/kernel/dequantize.hpp
// nbit/kernel/dequantize.hpp — a packed matrix, or a piece of a row, back to floats.
#ifndef NBIT_KERNEL_DEQUANTIZE_HPP
#define NBIT_KERNEL_DEQUANTIZE_HPP

#include <cstddef>
#include <span>

namespace nbit {
inline namespace NBIT_TAG {

/// Writes row r of the weights as floats (an embedding lookup).  Needs: out.size() == w.cols, r < w.rows.
template <class Arch, weight_matrix W>
inline void dequantize_row(Arch, const W& matrix, std::size_t r, std::span<float> out) noexcept {
  const weights_t<W> w = matrix;
  NBIT_EXPECTS(r < w.rows, "dequantize_row: r must be below the number of rows");
  NBIT_EXPECTS(out.size() == w.cols, "dequantize_row: out must have as many elements as the weights have columns");
  constexpr std::size_t chunk = detail::chunk_of<weights_t<W>>;
  for (std::size_t c = 0; c < w.cols; c += chunk)
    row_decoder<Arch, weights_t<W>>::floats(w, r, c, w.cols - c < chunk ? w.cols - c : chunk, out.data() + c);
}
template <weight_matrix W>
inline void dequantize_row(const W& matrix, std::size_t r, std::span<float> out) noexcept {
  arch::dispatch([&](auto tag) { dequantize_row(tag, matrix, r, out); });
}

/// Writes all weights as floats.  Needs: out has the shape of w.  Cost: one pass; no allocation.
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void dequantize(Arch tag, const W& w, matrix_view<float> out, E&& ex = {}) noexcept {
  NBIT_EXPECTS(out.rows == w.rows && out.cols == w.cols, "dequantize: out must have the shape of the weights");
  ex(w.rows, [&](std::size_t r) { dequantize_row(tag, w, r, out.row(r)); });
}
template <weight_matrix W, executor E = serial>
inline void dequantize(const W& w, matrix_view<float> out, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { dequantize(tag, w, out, ex); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/kernel/dequantize.hpp
// BEGIN nbit/kernel/gemm.hpp
// nbit/kernel/gemm.hpp — Y = X W^T: a row of X is one token, a row of W one output.
//
// With f32 activations every output is one chain of fused multiply-adds over rising columns: the same bits on every
// instruction set, for every tiling and thread count. With int8 activations every output equals gemv's.
#ifndef NBIT_KERNEL_GEMM_HPP
#define NBIT_KERNEL_GEMM_HPP

#include <cstddef>
#include <utility>

// BEGIN nbit/kernel/gemv.hpp
// nbit/kernel/gemv.hpp — y = W x, with f32 or int8 activations.
//
// The order of additions is part of the definition, so every instruction set gives the same bits:
//   f32    sixteen lanes; lane i takes columns i, i + 16, ... by fused multiply-add; then reduce (arch/simd.hpp).
//   int8   sixteen lanes; in every 64 columns lane i takes the exact integer dot of columns 4i .. 4i + 3, times the
//   product
//          of the two scales there, by fused multiply-add. Offsets: lane b % 16 takes (offset * scale) * sum of block b
//          of 16.
// A format without integer levels multiplies with the dequantized activations instead, as f32.
#ifndef NBIT_KERNEL_GEMV_HPP
#define NBIT_KERNEL_GEMV_HPP

#include <cstddef>
#include <cstdint>
#include <span>

namespace nbit {
inline namespace NBIT_TAG {

/// rows(w, first, count, x, y): y[r] for rows first ... first + count - 1. Specialise it for one (Arch, Weights) to
/// replace the generic kernel; callers do not change.
template <class Arch, class Weights>
struct gemv_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/gemv.inl>
// BEGIN nbit/arch/stamp.inl
// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH.
#define NBIT_TARGET 0
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/gemv.inl
// nbit/kernel/gemv.inl — the generic gemv; included by kernel/gemv.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <class Weights>
struct gemv_kernel<NBIT_ARCH, Weights> {
  using vec = lanes<NBIT_ARCH>;
  using decoder = row_decoder<NBIT_ARCH, Weights>;
  static constexpr std::size_t chunk = detail::chunk_of<Weights>;

  static void rows(const Weights& w, std::size_t first, std::size_t count, const float* x, float* y) noexcept {
    for (std::size_t r = first; r < first + count; ++r) {
      alignas(64) float row[chunk];
      auto sum = vec::zero();
      for (std::size_t c = 0; c < w.cols; c += chunk) {
        const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
        decoder::floats(w, r, c, n, row);
        sum = dot(row, x + c, n, sum);
      }
      y[r] = vec::reduce(sum);
    }
  }

  template <int Group>
  static void rows(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                   float* y) noexcept {
    for (std::size_t r = first; r < first + count; ++r) y[r] = int8_row(w, r, x, 0);
  }

  /// The dot of weight row r and activation row m; gemm shares it, so both give the same bits.
  template <int Group>
  static float int8_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept {
    if constexpr (integers) {
      if (natural_groups(w)) return integer_row(w, r, x, m);
    }
    alignas(64) float row[chunk], act[chunk];
    auto sum = vec::zero();
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::floats(w, r, c, n, row);
      for (std::size_t i = 0; i < n; ++i) {
        act[i] = x.scale16(m, (c + i) / 16) * static_cast<float>(x.row_codes(m)[c + i]);
      }
      sum = dot(row, act, n, sum);
    }
    return vec::reduce(sum);
  }

 private:
  static constexpr bool integers = [] {
    if constexpr (requires { typename Weights::format; })
      return detail::has_integer_runs<typename Weights::format>;
    else
      return false;
  }();

  NBIT_INLINE static bool natural_groups(const Weights& w) {
    if constexpr (requires { w.group_index; })
      return w.group_index == nullptr;
    else
      return true;
  }

  NBIT_INLINE static typename vec::type dot(const float* w, const float* x, std::size_t n, typename vec::type sum) {
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) sum = vec::fma(vec::load(w + i), vec::load(x + i), sum);
    if (i < n) {  // a short last vector: zeros beyond the row add nothing
      float tail_w[lane_count] = {}, tail_x[lane_count] = {};
      for (std::size_t j = 0; i + j < n; ++j) tail_w[j] = w[i + j], tail_x[j] = x[i + j];
      sum = vec::fma(vec::load(tail_w), vec::load(tail_x), sum);
    }
    return sum;
  }

  template <int Group>
  static float integer_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept
    requires(integers)
  {
    NBIT_EXACT
    using format = typename Weights::format;
    alignas(64) std::int8_t level[chunk + 64];
    float scale[chunk / 16 + 4], offset[chunk / 16 + 4];
    auto sum = vec::zero();
    float shift[lane_count] = {};
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::levels(w, r, c, n, level, scale, offset);
      for (std::size_t i = 0; i < n; i += 64) {
        float s[lane_count];
        for (std::size_t b = 0; b < 4; ++b) {
          const std::size_t block = (c + i) / 16 + b;
          const float product = scale[i / 16 + b] * x.scale16(m, block);
          for (std::size_t j = 0; j < 4; ++j) s[4 * b + j] = product;
          if constexpr (has_offset<format>) {
            float& lane = shift[block % lane_count];
            lane = nbit::fma(offset[i / 16 + b] * x.scale16(m, block), static_cast<float>(x.row_sums(m)[block]), lane);
          }
        }
        sum = vec::fma(vec::dot4(level + i, x.row_codes(m) + c + i), vec::load(s), sum);
      }
    }
    if constexpr (has_offset<format>)
      return vec::reduce(vec::add(sum, vec::load(shift)));
    else
      return vec::reduce(sum);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/gemv.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#if NBIT_HAS_X86
#define NBIT_TARGET 1
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/gemv.inl
// nbit/kernel/gemv.inl — the generic gemv; included by kernel/gemv.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <class Weights>
struct gemv_kernel<NBIT_ARCH, Weights> {
  using vec = lanes<NBIT_ARCH>;
  using decoder = row_decoder<NBIT_ARCH, Weights>;
  static constexpr std::size_t chunk = detail::chunk_of<Weights>;

  static void rows(const Weights& w, std::size_t first, std::size_t count, const float* x, float* y) noexcept {
    for (std::size_t r = first; r < first + count; ++r) {
      alignas(64) float row[chunk];
      auto sum = vec::zero();
      for (std::size_t c = 0; c < w.cols; c += chunk) {
        const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
        decoder::floats(w, r, c, n, row);
        sum = dot(row, x + c, n, sum);
      }
      y[r] = vec::reduce(sum);
    }
  }

  template <int Group>
  static void rows(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                   float* y) noexcept {
    for (std::size_t r = first; r < first + count; ++r) y[r] = int8_row(w, r, x, 0);
  }

  /// The dot of weight row r and activation row m; gemm shares it, so both give the same bits.
  template <int Group>
  static float int8_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept {
    if constexpr (integers) {
      if (natural_groups(w)) return integer_row(w, r, x, m);
    }
    alignas(64) float row[chunk], act[chunk];
    auto sum = vec::zero();
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::floats(w, r, c, n, row);
      for (std::size_t i = 0; i < n; ++i) {
        act[i] = x.scale16(m, (c + i) / 16) * static_cast<float>(x.row_codes(m)[c + i]);
      }
      sum = dot(row, act, n, sum);
    }
    return vec::reduce(sum);
  }

 private:
  static constexpr bool integers = [] {
    if constexpr (requires { typename Weights::format; })
      return detail::has_integer_runs<typename Weights::format>;
    else
      return false;
  }();

  NBIT_INLINE static bool natural_groups(const Weights& w) {
    if constexpr (requires { w.group_index; })
      return w.group_index == nullptr;
    else
      return true;
  }

  NBIT_INLINE static typename vec::type dot(const float* w, const float* x, std::size_t n, typename vec::type sum) {
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) sum = vec::fma(vec::load(w + i), vec::load(x + i), sum);
    if (i < n) {  // a short last vector: zeros beyond the row add nothing
      float tail_w[lane_count] = {}, tail_x[lane_count] = {};
      for (std::size_t j = 0; i + j < n; ++j) tail_w[j] = w[i + j], tail_x[j] = x[i + j];
      sum = vec::fma(vec::load(tail_w), vec::load(tail_x), sum);
    }
    return sum;
  }

  template <int Group>
  static float integer_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept
    requires(integers)
  {
    NBIT_EXACT
    using format = typename Weights::format;
    alignas(64) std::int8_t level[chunk + 64];
    float scale[chunk / 16 + 4], offset[chunk / 16 + 4];
    auto sum = vec::zero();
    float shift[lane_count] = {};
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::levels(w, r, c, n, level, scale, offset);
      for (std::size_t i = 0; i < n; i += 64) {
        float s[lane_count];
        for (std::size_t b = 0; b < 4; ++b) {
          const std::size_t block = (c + i) / 16 + b;
          const float product = scale[i / 16 + b] * x.scale16(m, block);
          for (std::size_t j = 0; j < 4; ++j) s[4 * b + j] = product;
          if constexpr (has_offset<format>) {
            float& lane = shift[block % lane_count];
            lane = nbit::fma(offset[i / 16 + b] * x.scale16(m, block), static_cast<float>(x.row_sums(m)[block]), lane);
          }
        }
        sum = vec::fma(vec::dot4(level + i, x.row_codes(m) + c + i), vec::load(s), sum);
      }
    }
    if constexpr (has_offset<format>)
      return vec::reduce(vec::add(sum, vec::load(shift)));
    else
      return vec::reduce(sum);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/gemv.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#define NBIT_TARGET 2
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/gemv.inl
// nbit/kernel/gemv.inl — the generic gemv; included by kernel/gemv.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <class Weights>
struct gemv_kernel<NBIT_ARCH, Weights> {
  using vec = lanes<NBIT_ARCH>;
  using decoder = row_decoder<NBIT_ARCH, Weights>;
  static constexpr std::size_t chunk = detail::chunk_of<Weights>;

  static void rows(const Weights& w, std::size_t first, std::size_t count, const float* x, float* y) noexcept {
    for (std::size_t r = first; r < first + count; ++r) {
      alignas(64) float row[chunk];
      auto sum = vec::zero();
      for (std::size_t c = 0; c < w.cols; c += chunk) {
        const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
        decoder::floats(w, r, c, n, row);
        sum = dot(row, x + c, n, sum);
      }
      y[r] = vec::reduce(sum);
    }
  }

  template <int Group>
  static void rows(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                   float* y) noexcept {
    for (std::size_t r = first; r < first + count; ++r) y[r] = int8_row(w, r, x, 0);
  }

  /// The dot of weight row r and activation row m; gemm shares it, so both give the same bits.
  template <int Group>
  static float int8_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept {
    if constexpr (integers) {
      if (natural_groups(w)) return integer_row(w, r, x, m);
    }
    alignas(64) float row[chunk], act[chunk];
    auto sum = vec::zero();
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::floats(w, r, c, n, row);
      for (std::size_t i = 0; i < n; ++i) {
        act[i] = x.scale16(m, (c + i) / 16) * static_cast<float>(x.row_codes(m)[c + i]);
      }
      sum = dot(row, act, n, sum);
    }
    return vec::reduce(sum);
  }

 private:
  static constexpr bool integers = [] {
    if constexpr (requires { typename Weights::format; })
      return detail::has_integer_runs<typename Weights::format>;
    else
      return false;
  }();

  NBIT_INLINE static bool natural_groups(const Weights& w) {
    if constexpr (requires { w.group_index; })
      return w.group_index == nullptr;
    else
      return true;
  }

  NBIT_INLINE static typename vec::type dot(const float* w, const float* x, std::size_t n, typename vec::type sum) {
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) sum = vec::fma(vec::load(w + i), vec::load(x + i), sum);
    if (i < n) {  // a short last vector: zeros beyond the row add nothing
      float tail_w[lane_count] = {}, tail_x[lane_count] = {};
      for (std::size_t j = 0; i + j < n; ++j) tail_w[j] = w[i + j], tail_x[j] = x[i + j];
      sum = vec::fma(vec::load(tail_w), vec::load(tail_x), sum);
    }
    return sum;
  }

  template <int Group>
  static float integer_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept
    requires(integers)
  {
    NBIT_EXACT
    using format = typename Weights::format;
    alignas(64) std::int8_t level[chunk + 64];
    float scale[chunk / 16 + 4], offset[chunk / 16 + 4];
    auto sum = vec::zero();
    float shift[lane_count] = {};
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::levels(w, r, c, n, level, scale, offset);
      for (std::size_t i = 0; i < n; i += 64) {
        float s[lane_count];
        for (std::size_t b = 0; b < 4; ++b) {
          const std::size_t block = (c + i) / 16 + b;
          const float product = scale[i / 16 + b] * x.scale16(m, block);
          for (std::size_t j = 0; j < 4; ++j) s[4 * b + j] = product;
          if constexpr (has_offset<format>) {
            float& lane = shift[block % lane_count];
            lane = nbit::fma(offset[i / 16 + b] * x.scale16(m, block), static_cast<float>(x.row_sums(m)[block]), lane);
          }
        }
        sum = vec::fma(vec::dot4(level + i, x.row_codes(m) + c + i), vec::load(s), sum);
      }
    }
    if constexpr (has_offset<format>)
      return vec::reduce(vec::add(sum, vec::load(shift)));
    else
      return vec::reduce(sum);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/gemv.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET
#endif
#undef NBIT_STAMP
// END nbit/arch/stamp.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {
// Rows in one piece of work for an executor; a constant, so that results and pieces never depend on the thread count.
inline constexpr std::size_t gemv_rows = 64;

template <class Arch, class Weights, class X, class E>
inline void run_gemv(const Weights& w, X x, float* y, E& ex) noexcept {
  ex((w.rows + gemv_rows - 1) / gemv_rows, [&](std::size_t i) {
    const std::size_t first = i * gemv_rows, left = w.rows - first;
    gemv_kernel<Arch, Weights>::rows(w, first, left < gemv_rows ? left : gemv_rows, x, y);
  });
}
}  // namespace detail

/// Writes y = W x.  Needs: x.size() == w.cols, y.size() == w.rows.  Cost: one pass over W; no allocation.
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void gemv(Arch, const W& w, std::span<const float> x, std::span<float> y, E&& ex = {}) noexcept {
  NBIT_EXPECTS(x.size() == w.cols, "gemv: x must have as many elements as the weights have columns");
  NBIT_EXPECTS(y.size() == w.rows, "gemv: y must have as many elements as the weights have rows");
  detail::run_gemv<Arch, weights_t<W>>(weights_t<W>(w), x.data(), y.data(), ex);
}
template <weight_matrix W, executor E = serial>
inline void gemv(const W& w, std::span<const float> x, std::span<float> y, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { gemv(tag, w, x, y, ex); });
}

/// Writes y = W x for one row of int8 activations.  Needs: x.rows == 1, x.cols == w.cols, y.size() == w.rows.
template <class Arch, weight_matrix W, int Group, executor E = serial>
  requires(requires { Arch::level; })
inline void gemv(Arch, const W& w, int8_activations<Group> x, std::span<float> y, E&& ex = {}) noexcept {
  NBIT_EXPECTS(x.rows == 1 && x.cols == w.cols, "gemv: x must be one row with as many columns as the weights");
  NBIT_EXPECTS(y.size() == w.rows, "gemv: y must have as many elements as the weights have rows");
  detail::run_gemv<Arch, weights_t<W>>(weights_t<W>(w), x, y.data(), ex);
}
template <weight_matrix W, int Group, executor E = serial>
inline void gemv(const W& w, int8_activations<Group> x, std::span<float> y, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { gemv(tag, w, x, y, ex); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/kernel/gemv.hpp

namespace nbit {
inline namespace NBIT_TAG {

/// block(w, first, count, x, y): outputs first ... first + count - 1 of all tokens in x. Specialise it for one
/// (Arch, Weights) to replace the generic kernel; callers do not change.
template <class Arch, class Weights>
struct gemm_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/gemm.inl>
// BEGIN nbit/arch/stamp.inl
// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH.
#define NBIT_TARGET 0
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/gemm.inl
// nbit/kernel/gemm.inl — the generic gemm; included by kernel/gemm.hpp once per target.
//
// Weights are decoded once into a panel [column][output]; lanes are outputs, so each output's chain of additions runs
// over rising columns whatever the tile. Tile: `tokens` rows of X times `vectors` * 16 outputs, all sums in registers.
//   AVX-512  12 x 2 vectors = 24 of 32 zmm      AVX2  6 x 1 (two ymm each) = 12 of 16 ymm
namespace nbit {
inline namespace NBIT_TAG {

template <class Weights>
struct gemm_kernel<NBIT_ARCH, Weights> {
  using vec = lanes<NBIT_ARCH>;
#if NBIT_TARGET == 2
  static constexpr std::size_t vectors = 2, tile_tokens = 12;
#elif NBIT_TARGET == 1
  static constexpr std::size_t vectors = 1, tile_tokens = 6;
#else
  static constexpr std::size_t vectors = 1, tile_tokens = 4;
#endif
  static constexpr std::size_t width = vectors * lane_count, chunk = detail::chunk_of<Weights>;

  static void block(const Weights& w, std::size_t first, std::size_t count, matrix_view<const float> x,
                    matrix_view<float> y) noexcept {
    if (w.cols == 0) {
      for (std::size_t m = 0; m < y.rows; ++m)
        for (std::size_t n = 0; n < count; ++n) y(m, first + n) = 0.0f;
    }
    for (std::size_t n = 0; n < count; n += width) {
      const std::size_t outputs = count - n < width ? count - n : width;
      for (std::size_t c = 0; c < w.cols; c += chunk) {
        const std::size_t depth = w.cols - c < chunk ? w.cols - c : chunk;
        alignas(64) float panel[chunk * width];
        fill(w, first + n, outputs, c, depth, panel);
        std::size_t m = 0;
        for (; m + tile_tokens <= x.rows; m += tile_tokens)
          tile<tile_tokens>(panel, depth, &x(m, c), x.stride, &y(m, first + n), y.stride, outputs, c == 0);
        for (; m < x.rows; ++m) tile<1>(panel, depth, &x(m, c), x.stride, &y(m, first + n), y.stride, outputs, c == 0);
      }
    }
  }

  template <int Group>
  static void block(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                    matrix_view<float> y) noexcept {
    for (std::size_t n = first; n < first + count; ++n)
      for (std::size_t m = 0; m < x.rows; ++m) y(m, n) = gemv_kernel<NBIT_ARCH, Weights>::int8_row(w, n, x, m);
  }

 private:
  static void fill(const Weights& w, std::size_t first, std::size_t outputs, std::size_t c, std::size_t depth,
                   float* panel) noexcept {
    for (std::size_t n = 0; n < width; ++n) {
      alignas(64) float row[chunk];
      if (n < outputs)
        row_decoder<NBIT_ARCH, Weights>::floats(w, first + n, c, depth, row);
      else
        std::memset(row, 0, depth * sizeof(float));
      for (std::size_t k = 0; k < depth; ++k) panel[k * width + n] = row[k];
    }
  }

  NBIT_INLINE static typename vec::type load_part(const float* p, std::size_t n) {
    if (n >= lane_count) return vec::load(p);
    float whole[lane_count] = {};
    for (std::size_t i = 0; i < n; ++i) whole[i] = p[i];
    return vec::load(whole);
  }
  NBIT_INLINE static void store_part(float* p, std::size_t n, typename vec::type v) {
    if (n >= lane_count) return vec::store(p, v);
    float whole[lane_count];
    vec::store(whole, v);
    for (std::size_t i = 0; i < n; ++i) p[i] = whole[i];
  }

  template <std::size_t Tokens>
  static void tile(const float* panel, std::size_t depth, const float* x, std::size_t x_stride, float* y,
                   std::size_t y_stride, std::size_t outputs, bool fresh) noexcept {
    typename vec::type sum[Tokens][vectors];
    for (std::size_t t = 0; t < Tokens; ++t)
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t left = outputs > v * lane_count ? outputs - v * lane_count : 0;
        sum[t][v] = fresh ? vec::zero() : load_part(y + t * y_stride + v * lane_count, left);
      }
    for (std::size_t k = 0; k < depth; ++k)
      step(panel + k * width, x + k, x_stride, sum, std::make_index_sequence<Tokens>{});
    for (std::size_t t = 0; t < Tokens; ++t)
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t left = outputs > v * lane_count ? outputs - v * lane_count : 0;
        if (left != 0) store_part(y + t * y_stride + v * lane_count, left, sum[t][v]);
      }
  }

  // One column: unrolled by index sequences, so that the sums stay in registers at -O2 on both compilers.
  template <std::size_t Tokens, std::size_t... T>
  NBIT_INLINE static void step(const float* w, const float* x, std::size_t x_stride,
                               typename vec::type (&sum)[Tokens][vectors], std::index_sequence<T...>) {
    if constexpr (vectors == 2) {
      const auto w0 = vec::load(w), w1 = vec::load(w + lane_count);
      (pair(vec::broadcast(x[T * x_stride]), w0, w1, sum[T]), ...);
    } else {
      const auto w0 = vec::load(w);
      ((sum[T][0] = vec::fma(vec::broadcast(x[T * x_stride]), w0, sum[T][0])), ...);
    }
  }
  NBIT_INLINE static void pair(typename vec::type x, typename vec::type w0, typename vec::type w1,
                               typename vec::type (&sum)[vectors]) {
    sum[0] = vec::fma(x, w0, sum[0]);
    if constexpr (vectors == 2) sum[1] = vec::fma(x, w1, sum[1]);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/gemm.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#if NBIT_HAS_X86
#define NBIT_TARGET 1
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/gemm.inl
// nbit/kernel/gemm.inl — the generic gemm; included by kernel/gemm.hpp once per target.
//
// Weights are decoded once into a panel [column][output]; lanes are outputs, so each output's chain of additions runs
// over rising columns whatever the tile. Tile: `tokens` rows of X times `vectors` * 16 outputs, all sums in registers.
//   AVX-512  12 x 2 vectors = 24 of 32 zmm      AVX2  6 x 1 (two ymm each) = 12 of 16 ymm
namespace nbit {
inline namespace NBIT_TAG {

template <class Weights>
struct gemm_kernel<NBIT_ARCH, Weights> {
  using vec = lanes<NBIT_ARCH>;
#if NBIT_TARGET == 2
  static constexpr std::size_t vectors = 2, tile_tokens = 12;
#elif NBIT_TARGET == 1
  static constexpr std::size_t vectors = 1, tile_tokens = 6;
#else
  static constexpr std::size_t vectors = 1, tile_tokens = 4;
#endif
  static constexpr std::size_t width = vectors * lane_count, chunk = detail::chunk_of<Weights>;

  static void block(const Weights& w, std::size_t first, std::size_t count, matrix_view<const float> x,
                    matrix_view<float> y) noexcept {
    if (w.cols == 0) {
      for (std::size_t m = 0; m < y.rows; ++m)
        for (std::size_t n = 0; n < count; ++n) y(m, first + n) = 0.0f;
    }
    for (std::size_t n = 0; n < count; n += width) {
      const std::size_t outputs = count - n < width ? count - n : width;
      for (std::size_t c = 0; c < w.cols; c += chunk) {
        const std::size_t depth = w.cols - c < chunk ? w.cols - c : chunk;
        alignas(64) float panel[chunk * width];
        fill(w, first + n, outputs, c, depth, panel);
        std::size_t m = 0;
        for (; m + tile_tokens <= x.rows; m += tile_tokens)
          tile<tile_tokens>(panel, depth, &x(m, c), x.stride, &y(m, first + n), y.stride, outputs, c == 0);
        for (; m < x.rows; ++m) tile<1>(panel, depth, &x(m, c), x.stride, &y(m, first + n), y.stride, outputs, c == 0);
      }
    }
  }

  template <int Group>
  static void block(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                    matrix_view<float> y) noexcept {
    for (std::size_t n = first; n < first + count; ++n)
      for (std::size_t m = 0; m < x.rows; ++m) y(m, n) = gemv_kernel<NBIT_ARCH, Weights>::int8_row(w, n, x, m);
  }

 private:
  static void fill(const Weights& w, std::size_t first, std::size_t outputs, std::size_t c, std::size_t depth,
                   float* panel) noexcept {
    for (std::size_t n = 0; n < width; ++n) {
      alignas(64) float row[chunk];
      if (n < outputs)
        row_decoder<NBIT_ARCH, Weights>::floats(w, first + n, c, depth, row);
      else
        std::memset(row, 0, depth * sizeof(float));
      for (std::size_t k = 0; k < depth; ++k) panel[k * width + n] = row[k];
    }
  }

  NBIT_INLINE static typename vec::type load_part(const float* p, std::size_t n) {
    if (n >= lane_count) return vec::load(p);
    float whole[lane_count] = {};
    for (std::size_t i = 0; i < n; ++i) whole[i] = p[i];
    return vec::load(whole);
  }
  NBIT_INLINE static void store_part(float* p, std::size_t n, typename vec::type v) {
    if (n >= lane_count) return vec::store(p, v);
    float whole[lane_count];
    vec::store(whole, v);
    for (std::size_t i = 0; i < n; ++i) p[i] = whole[i];
  }

  template <std::size_t Tokens>
  static void tile(const float* panel, std::size_t depth, const float* x, std::size_t x_stride, float* y,
                   std::size_t y_stride, std::size_t outputs, bool fresh) noexcept {
    typename vec::type sum[Tokens][vectors];
    for (std::size_t t = 0; t < Tokens; ++t)
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t left = outputs > v * lane_count ? outputs - v * lane_count : 0;
        sum[t][v] = fresh ? vec::zero() : load_part(y + t * y_stride + v * lane_count, left);
      }
    for (std::size_t k = 0; k < depth; ++k)
      step(panel + k * width, x + k, x_stride, sum, std::make_index_sequence<Tokens>{});
    for (std::size_t t = 0; t < Tokens; ++t)
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t left = outputs > v * lane_count ? outputs - v * lane_count : 0;
        if (left != 0) store_part(y + t * y_stride + v * lane_count, left, sum[t][v]);
      }
  }

  // One column: unrolled by index sequences, so that the sums stay in registers at -O2 on both compilers.
  template <std::size_t Tokens, std::size_t... T>
  NBIT_INLINE static void step(const float* w, const float* x, std::size_t x_stride,
                               typename vec::type (&sum)[Tokens][vectors], std::index_sequence<T...>) {
    if constexpr (vectors == 2) {
      const auto w0 = vec::load(w), w1 = vec::load(w + lane_count);
      (pair(vec::broadcast(x[T * x_stride]), w0, w1, sum[T]), ...);
    } else {
      const auto w0 = vec::load(w);
      ((sum[T][0] = vec::fma(vec::broadcast(x[T * x_stride]), w0, sum[T][0])), ...);
    }
  }
  NBIT_INLINE static void pair(typename vec::type x, typename vec::type w0, typename vec::type w1,
                               typename vec::type (&sum)[vectors]) {
    sum[0] = vec::fma(x, w0, sum[0]);
    if constexpr (vectors == 2) sum[1] = vec::fma(x, w1, sum[1]);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/gemm.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#define NBIT_TARGET 2
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/gemm.inl
// nbit/kernel/gemm.inl — the generic gemm; included by kernel/gemm.hpp once per target.
//
// Weights are decoded once into a panel [column][output]; lanes are outputs, so each output's chain of additions runs
// over rising columns whatever the tile. Tile: `tokens` rows of X times `vectors` * 16 outputs, all sums in registers.
//   AVX-512  12 x 2 vectors = 24 of 32 zmm      AVX2  6 x 1 (two ymm each) = 12 of 16 ymm
namespace nbit {
inline namespace NBIT_TAG {

template <class Weights>
struct gemm_kernel<NBIT_ARCH, Weights> {
  using vec = lanes<NBIT_ARCH>;
#if NBIT_TARGET == 2
  static constexpr std::size_t vectors = 2, tile_tokens = 12;
#elif NBIT_TARGET == 1
  static constexpr std::size_t vectors = 1, tile_tokens = 6;
#else
  static constexpr std::size_t vectors = 1, tile_tokens = 4;
#endif
  static constexpr std::size_t width = vectors * lane_count, chunk = detail::chunk_of<Weights>;

  static void block(const Weights& w, std::size_t first, std::size_t count, matrix_view<const float> x,
                    matrix_view<float> y) noexcept {
    if (w.cols == 0) {
      for (std::size_t m = 0; m < y.rows; ++m)
        for (std::size_t n = 0; n < count; ++n) y(m, first + n) = 0.0f;
    }
    for (std::size_t n = 0; n < count; n += width) {
      const std::size_t outputs = count - n < width ? count - n : width;
      for (std::size_t c = 0; c < w.cols; c += chunk) {
        const std::size_t depth = w.cols - c < chunk ? w.cols - c : chunk;
        alignas(64) float panel[chunk * width];
        fill(w, first + n, outputs, c, depth, panel);
        std::size_t m = 0;
        for (; m + tile_tokens <= x.rows; m += tile_tokens)
          tile<tile_tokens>(panel, depth, &x(m, c), x.stride, &y(m, first + n), y.stride, outputs, c == 0);
        for (; m < x.rows; ++m) tile<1>(panel, depth, &x(m, c), x.stride, &y(m, first + n), y.stride, outputs, c == 0);
      }
    }
  }

  template <int Group>
  static void block(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                    matrix_view<float> y) noexcept {
    for (std::size_t n = first; n < first + count; ++n)
      for (std::size_t m = 0; m < x.rows; ++m) y(m, n) = gemv_kernel<NBIT_ARCH, Weights>::int8_row(w, n, x, m);
  }

 private:
  static void fill(const Weights& w, std::size_t first, std::size_t outputs, std::size_t c, std::size_t depth,
                   float* panel) noexcept {
    for (std::size_t n = 0; n < width; ++n) {
      alignas(64) float row[chunk];
      if (n < outputs)
        row_decoder<NBIT_ARCH, Weights>::floats(w, first + n, c, depth, row);
      else
        std::memset(row, 0, depth * sizeof(float));
      for (std::size_t k = 0; k < depth; ++k) panel[k * width + n] = row[k];
    }
  }

  NBIT_INLINE static typename vec::type load_part(const float* p, std::size_t n) {
    if (n >= lane_count) return vec::load(p);
    float whole[lane_count] = {};
    for (std::size_t i = 0; i < n; ++i) whole[i] = p[i];
    return vec::load(whole);
  }
  NBIT_INLINE static void store_part(float* p, std::size_t n, typename vec::type v) {
    if (n >= lane_count) return vec::store(p, v);
    float whole[lane_count];
    vec::store(whole, v);
    for (std::size_t i = 0; i < n; ++i) p[i] = whole[i];
  }

  template <std::size_t Tokens>
  static void tile(const float* panel, std::size_t depth, const float* x, std::size_t x_stride, float* y,
                   std::size_t y_stride, std::size_t outputs, bool fresh) noexcept {
    typename vec::type sum[Tokens][vectors];
    for (std::size_t t = 0; t < Tokens; ++t)
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t left = outputs > v * lane_count ? outputs - v * lane_count : 0;
        sum[t][v] = fresh ? vec::zero() : load_part(y + t * y_stride + v * lane_count, left);
      }
    for (std::size_t k = 0; k < depth; ++k)
      step(panel + k * width, x + k, x_stride, sum, std::make_index_sequence<Tokens>{});
    for (std::size_t t = 0; t < Tokens; ++t)
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t left = outputs > v * lane_count ? outputs - v * lane_count : 0;
        if (left != 0) store_part(y + t * y_stride + v * lane_count, left, sum[t][v]);
      }
  }

  // One column: unrolled by index sequences, so that the sums stay in registers at -O2 on both compilers.
  template <std::size_t Tokens, std::size_t... T>
  NBIT_INLINE static void step(const float* w, const float* x, std::size_t x_stride,
                               typename vec::type (&sum)[Tokens][vectors], std::index_sequence<T...>) {
    if constexpr (vectors == 2) {
      const auto w0 = vec::load(w), w1 = vec::load(w + lane_count);
      (pair(vec::broadcast(x[T * x_stride]), w0, w1, sum[T]), ...);
    } else {
      const auto w0 = vec::load(w);
      ((sum[T][0] = vec::fma(vec::broadcast(x[T * x_stride]), w0, sum[T][0])), ...);
    }
  }
  NBIT_INLINE static void pair(typename vec::type x, typename vec::type w0, typename vec::type w1,
                               typename vec::type (&sum)[vectors]) {
    sum[0] = vec::fma(x, w0, sum[0]);
    if constexpr (vectors == 2) sum[1] = vec::fma(x, w1, sum[1]);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/gemm.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET
#endif
#undef NBIT_STAMP
// END nbit/arch/stamp.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {
// One piece of work for an executor: so many outputs of so many tokens. Constants, so that pieces depend on shape
// alone.
inline constexpr std::size_t gemm_outputs = 32, gemm_tokens = 512;
}  // namespace detail

/// Writes Y = X W^T.  Needs: x.cols == w.cols, y.rows == x.rows, y.cols == w.rows.  Cost: no allocation.
template <class Arch, weight_matrix W, executor E = serial>
  requires(requires { Arch::level; })
inline void gemm(Arch, const W& matrix, matrix_view<const float> x, matrix_view<float> y, E&& ex = {}) noexcept {
  const weights_t<W> w = matrix;
  NBIT_EXPECTS(x.cols == w.cols, "gemm: x must have as many columns as the weights");
  NBIT_EXPECTS(y.rows == x.rows && y.cols == w.rows, "gemm: y must be tokens x outputs (x.rows x w.rows)");
  const std::size_t across = (w.rows + detail::gemm_outputs - 1) / detail::gemm_outputs;
  const std::size_t down = (x.rows + detail::gemm_tokens - 1) / detail::gemm_tokens;
  ex(across * down, [&](std::size_t i) {
    const std::size_t n = i % across * detail::gemm_outputs, m = i / across * detail::gemm_tokens;
    const std::size_t outputs = w.rows - n < detail::gemm_outputs ? w.rows - n : detail::gemm_outputs;
    const std::size_t tokens = x.rows - m < detail::gemm_tokens ? x.rows - m : detail::gemm_tokens;
    gemm_kernel<Arch, weights_t<W>>::block(w, n, outputs, x.row_range(m, tokens), y.row_range(m, tokens));
  });
}
template <weight_matrix W, executor E = serial>
inline void gemm(const W& w, matrix_view<const float> x, matrix_view<float> y, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { gemm(tag, w, x, y, ex); });
}

/// Writes Y = X W^T for int8 activations.  Needs: as above.
template <class Arch, weight_matrix W, int Group, executor E = serial>
  requires(requires { Arch::level; })
inline void gemm(Arch, const W& matrix, int8_activations<Group> x, matrix_view<float> y, E&& ex = {}) noexcept {
  const weights_t<W> w = matrix;
  NBIT_EXPECTS(x.cols == w.cols, "gemm: x must have as many columns as the weights");
  NBIT_EXPECTS(y.rows == x.rows && y.cols == w.rows, "gemm: y must be tokens x outputs (x.rows x w.rows)");
  ex((w.rows + detail::gemm_outputs - 1) / detail::gemm_outputs, [&](std::size_t i) {
    const std::size_t n = i * detail::gemm_outputs;
    const std::size_t outputs = w.rows - n < detail::gemm_outputs ? w.rows - n : detail::gemm_outputs;
    gemm_kernel<Arch, weights_t<W>>::block(w, n, outputs, x, y);
  });
}
template <weight_matrix W, int Group, executor E = serial>
inline void gemm(const W& w, int8_activations<Group> x, matrix_view<float> y, E&& ex = {}) noexcept {
  arch::dispatch([&](auto tag) { gemm(tag, w, x, y, ex); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/kernel/gemm.hpp
// BEGIN nbit/kernel/product.hpp
// nbit/kernel/product.hpp — C += A^T B in a fixed order of additions: the one matrix product of the solvers.
//
// Gram panels, the factor's trailing update, GPTQ's error feedback and the gradient of descent are all this shape.
// Every entry is a sum in f32 over chunks of 128 terms, each from zero and in order, product and sum rounded
// separately, added to C chunk by chunk: tiles and vectors change the speed and never a bit.
#ifndef NBIT_KERNEL_PRODUCT_HPP
#define NBIT_KERNEL_PRODUCT_HPP

#include <cstddef>
#include <utility>

namespace nbit {

/// The operands of C (m x n) += sign * A^T B; A is k x m, B is k x n, rows a stride apart.
struct product_operands {
  float* c;
  std::size_t c_stride;
  const float* a;
  std::size_t a_stride;
  const float* b;
  std::size_t b_stride;
  std::size_t m, n, k;
  float sign;
};

inline namespace NBIT_TAG {

/// run(operands): the product for one instruction set.
template <class Arch>
struct product_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/product.inl>
// BEGIN nbit/arch/stamp.inl
// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH.
#define NBIT_TARGET 0
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/product.inl
// nbit/kernel/product.inl — C += A^T B; included by kernel/product.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct product_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;
  static constexpr std::size_t chunk = 128;
#if NBIT_TARGET == 2
  static constexpr std::size_t tile = 8;  // sums in 8 of 32 registers: twice the latency of an addition
#else
  static constexpr std::size_t tile = 4;
#endif

  static void run(const product_operands& p) noexcept {
    for (std::size_t t = 0; t < p.k; t += chunk) {
      const std::size_t terms = p.k - t < chunk ? p.k - t : chunk;
      const float* const a = p.a + t * p.a_stride;
      std::size_t j = 0;
      for (; j + lane_count <= p.n; j += lane_count) {
        const float* const b = p.b + t * p.b_stride + j;
        std::size_t i = 0;
        for (; i + tile <= p.m; i += tile) rows<tile>(p, p.c + i * p.c_stride + j, a + i, b, terms);
        for (; i < p.m; ++i) rows<1>(p, p.c + i * p.c_stride + j, a + i, b, terms);
      }
      if (j < p.n)
        for (std::size_t i = 0; i < p.m; ++i)
          eight(p, p.c + i * p.c_stride + j, a + i, p.b + t * p.b_stride + j, terms);
    }
  }

 private:
  template <std::size_t Rows>
  static void rows(const product_operands& p, float* c, const float* a, const float* b, std::size_t terms) noexcept {
    typename vec::type sum[Rows];
    for (auto& s : sum) s = vec::zero();
    for (std::size_t t = 0; t < terms; ++t)
      term(a + t * p.a_stride, vec::load(b + t * p.b_stride), sum, std::make_index_sequence<Rows>{});
    for (std::size_t i = 0; i < Rows; ++i) {
      float* const to = c + i * p.c_stride;
      vec::store(to, vec::add(vec::load(to), vec::mul(vec::broadcast(p.sign), sum[i])));
    }
  }

  template <std::size_t Rows, std::size_t... Row>
  NBIT_INLINE static void term(const float* a, typename vec::type b, typename vec::type (&sum)[Rows],
                               std::index_sequence<Row...>) {
    ((sum[Row] = vec::add(sum[Row], vec::mul(vec::broadcast(a[Row]), b))), ...);
  }

  static void eight(const product_operands& p, float* c, const float* a, const float* b, std::size_t terms) noexcept {
    NBIT_EXACT
    float sum[8] = {};
    for (std::size_t t = 0; t < terms; ++t)
      for (std::size_t j = 0; j < 8; ++j) sum[j] += a[t * p.a_stride] * b[t * p.b_stride + j];
    for (std::size_t j = 0; j < 8; ++j) c[j] += p.sign * sum[j];
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/product.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#if NBIT_HAS_X86
#define NBIT_TARGET 1
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/product.inl
// nbit/kernel/product.inl — C += A^T B; included by kernel/product.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct product_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;
  static constexpr std::size_t chunk = 128;
#if NBIT_TARGET == 2
  static constexpr std::size_t tile = 8;  // sums in 8 of 32 registers: twice the latency of an addition
#else
  static constexpr std::size_t tile = 4;
#endif

  static void run(const product_operands& p) noexcept {
    for (std::size_t t = 0; t < p.k; t += chunk) {
      const std::size_t terms = p.k - t < chunk ? p.k - t : chunk;
      const float* const a = p.a + t * p.a_stride;
      std::size_t j = 0;
      for (; j + lane_count <= p.n; j += lane_count) {
        const float* const b = p.b + t * p.b_stride + j;
        std::size_t i = 0;
        for (; i + tile <= p.m; i += tile) rows<tile>(p, p.c + i * p.c_stride + j, a + i, b, terms);
        for (; i < p.m; ++i) rows<1>(p, p.c + i * p.c_stride + j, a + i, b, terms);
      }
      if (j < p.n)
        for (std::size_t i = 0; i < p.m; ++i)
          eight(p, p.c + i * p.c_stride + j, a + i, p.b + t * p.b_stride + j, terms);
    }
  }

 private:
  template <std::size_t Rows>
  static void rows(const product_operands& p, float* c, const float* a, const float* b, std::size_t terms) noexcept {
    typename vec::type sum[Rows];
    for (auto& s : sum) s = vec::zero();
    for (std::size_t t = 0; t < terms; ++t)
      term(a + t * p.a_stride, vec::load(b + t * p.b_stride), sum, std::make_index_sequence<Rows>{});
    for (std::size_t i = 0; i < Rows; ++i) {
      float* const to = c + i * p.c_stride;
      vec::store(to, vec::add(vec::load(to), vec::mul(vec::broadcast(p.sign), sum[i])));
    }
  }

  template <std::size_t Rows, std::size_t... Row>
  NBIT_INLINE static void term(const float* a, typename vec::type b, typename vec::type (&sum)[Rows],
                               std::index_sequence<Row...>) {
    ((sum[Row] = vec::add(sum[Row], vec::mul(vec::broadcast(a[Row]), b))), ...);
  }

  static void eight(const product_operands& p, float* c, const float* a, const float* b, std::size_t terms) noexcept {
    NBIT_EXACT
    float sum[8] = {};
    for (std::size_t t = 0; t < terms; ++t)
      for (std::size_t j = 0; j < 8; ++j) sum[j] += a[t * p.a_stride] * b[t * p.b_stride + j];
    for (std::size_t j = 0; j < 8; ++j) c[j] += p.sign * sum[j];
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/product.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#define NBIT_TARGET 2
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/product.inl
// nbit/kernel/product.inl — C += A^T B; included by kernel/product.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct product_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;
  static constexpr std::size_t chunk = 128;
#if NBIT_TARGET == 2
  static constexpr std::size_t tile = 8;  // sums in 8 of 32 registers: twice the latency of an addition
#else
  static constexpr std::size_t tile = 4;
#endif

  static void run(const product_operands& p) noexcept {
    for (std::size_t t = 0; t < p.k; t += chunk) {
      const std::size_t terms = p.k - t < chunk ? p.k - t : chunk;
      const float* const a = p.a + t * p.a_stride;
      std::size_t j = 0;
      for (; j + lane_count <= p.n; j += lane_count) {
        const float* const b = p.b + t * p.b_stride + j;
        std::size_t i = 0;
        for (; i + tile <= p.m; i += tile) rows<tile>(p, p.c + i * p.c_stride + j, a + i, b, terms);
        for (; i < p.m; ++i) rows<1>(p, p.c + i * p.c_stride + j, a + i, b, terms);
      }
      if (j < p.n)
        for (std::size_t i = 0; i < p.m; ++i)
          eight(p, p.c + i * p.c_stride + j, a + i, p.b + t * p.b_stride + j, terms);
    }
  }

 private:
  template <std::size_t Rows>
  static void rows(const product_operands& p, float* c, const float* a, const float* b, std::size_t terms) noexcept {
    typename vec::type sum[Rows];
    for (auto& s : sum) s = vec::zero();
    for (std::size_t t = 0; t < terms; ++t)
      term(a + t * p.a_stride, vec::load(b + t * p.b_stride), sum, std::make_index_sequence<Rows>{});
    for (std::size_t i = 0; i < Rows; ++i) {
      float* const to = c + i * p.c_stride;
      vec::store(to, vec::add(vec::load(to), vec::mul(vec::broadcast(p.sign), sum[i])));
    }
  }

  template <std::size_t Rows, std::size_t... Row>
  NBIT_INLINE static void term(const float* a, typename vec::type b, typename vec::type (&sum)[Rows],
                               std::index_sequence<Row...>) {
    ((sum[Row] = vec::add(sum[Row], vec::mul(vec::broadcast(a[Row]), b))), ...);
  }

  static void eight(const product_operands& p, float* c, const float* a, const float* b, std::size_t terms) noexcept {
    NBIT_EXACT
    float sum[8] = {};
    for (std::size_t t = 0; t < terms; ++t)
      for (std::size_t j = 0; j < 8; ++j) sum[j] += a[t * p.a_stride] * b[t * p.b_stride + j];
    for (std::size_t j = 0; j < 8; ++j) c[j] += p.sign * sum[j];
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/product.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET
#endif
#undef NBIT_STAMP
// END nbit/arch/stamp.inl

namespace nbit {
inline namespace NBIT_TAG {

/// C (m x n) += sign * A^T B.  Needs: n % 8 == 0; C overlaps neither A nor B; sign is 1 or -1.
inline void add_product(const product_operands& p) noexcept {
  arch::dispatch([&](auto tag) { product_kernel<decltype(tag)>::run(p); });
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/kernel/product.hpp
// BEGIN nbit/kernel/quantize.hpp
// nbit/kernel/quantize.hpp — round to nearest: a float matrix to packed codes in any format and layout.
//
// The codes are the format's own: its reference encoder where it has one (ggml types give ggml's bytes), fit and code
// otherwise. importance is one weight per column (an importance matrix row), or empty.
#ifndef NBIT_KERNEL_QUANTIZE_HPP
#define NBIT_KERNEL_QUANTIZE_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

namespace nbit {

/// What to do with rows that a format's blocks cannot hold.
enum class ragged_rows : std::uint8_t {
  refuse,  // errc::shape
  pad,     // the last block is filled with zero weights
};

/// Options of quantize.
struct quantize_options {
  std::span<const float> importance{};  // cols weights >= 0, or empty
  ragged_rows ragged = ragged_rows::refuse;
};

inline namespace NBIT_TAG {

/// row(w, importance, out, r, row, codes): encodes and packs row r; `row` is w's, padded to whole blocks. Specialise it
/// for one (Arch, Format, Layout) to replace the generic kernel; the codes must stay the same.
template <class Arch, class Format, class Layout>
struct quantize_kernel;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/quantize.inl>
// BEGIN nbit/arch/stamp.inl
// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH.
#define NBIT_TARGET 0
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/quantize.inl
// nbit/kernel/quantize.inl — the generic quantize; included by kernel/quantize.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <class F, class L>
struct quantize_kernel<NBIT_ARCH, F, L> {
  static void row(std::span<const float> w, std::span<const float> importance, const packed_span<F, L>& out,
                  std::size_t r, code_t<F>* codes) {
    const std::size_t count = codes_per_row<F>(w.size()), length = codes_per_row<F>(group_length<F>(out.cols));
    if constexpr (std::is_same_v<L, blocks>) {
      const float mean_square = detail::row_mean_square(w.first(out.cols));
      for (std::size_t g = 0, at = 0; at < w.size(); ++g, at += std::size_t(F::group)) {
        typename F::params p{};
        const auto group = w.subspan(at, std::size_t(F::group));
        const auto weights = importance.empty() ? importance : importance.subspan(at, std::size_t(F::group));
        detail::encode_group<F>(group, weights, mean_square, p, codes);
        store_group<F, L>(out, r, g, length, codes, p);
      }
    } else if (count != 0) {
      detail::encode_row<F>(w, importance, codes, &out.group_params(r, 0));
      pack_row<L, F::bits>(codes, out.words, out.padded(), r, 0, codes_per_row<F>(out.cols));
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/quantize.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#if NBIT_HAS_X86
#define NBIT_TARGET 1
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/quantize.inl
// nbit/kernel/quantize.inl — the generic quantize; included by kernel/quantize.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <class F, class L>
struct quantize_kernel<NBIT_ARCH, F, L> {
  static void row(std::span<const float> w, std::span<const float> importance, const packed_span<F, L>& out,
                  std::size_t r, code_t<F>* codes) {
    const std::size_t count = codes_per_row<F>(w.size()), length = codes_per_row<F>(group_length<F>(out.cols));
    if constexpr (std::is_same_v<L, blocks>) {
      const float mean_square = detail::row_mean_square(w.first(out.cols));
      for (std::size_t g = 0, at = 0; at < w.size(); ++g, at += std::size_t(F::group)) {
        typename F::params p{};
        const auto group = w.subspan(at, std::size_t(F::group));
        const auto weights = importance.empty() ? importance : importance.subspan(at, std::size_t(F::group));
        detail::encode_group<F>(group, weights, mean_square, p, codes);
        store_group<F, L>(out, r, g, length, codes, p);
      }
    } else if (count != 0) {
      detail::encode_row<F>(w, importance, codes, &out.group_params(r, 0));
      pack_row<L, F::bits>(codes, out.words, out.padded(), r, 0, codes_per_row<F>(out.cols));
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/quantize.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET

#define NBIT_TARGET 2
// BEGIN nbit/arch/target_begin.inl
// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
// END nbit/arch/target_begin.inl
// BEGIN nbit/kernel/quantize.inl
// nbit/kernel/quantize.inl — the generic quantize; included by kernel/quantize.hpp once per target.
namespace nbit {
inline namespace NBIT_TAG {

template <class F, class L>
struct quantize_kernel<NBIT_ARCH, F, L> {
  static void row(std::span<const float> w, std::span<const float> importance, const packed_span<F, L>& out,
                  std::size_t r, code_t<F>* codes) {
    const std::size_t count = codes_per_row<F>(w.size()), length = codes_per_row<F>(group_length<F>(out.cols));
    if constexpr (std::is_same_v<L, blocks>) {
      const float mean_square = detail::row_mean_square(w.first(out.cols));
      for (std::size_t g = 0, at = 0; at < w.size(); ++g, at += std::size_t(F::group)) {
        typename F::params p{};
        const auto group = w.subspan(at, std::size_t(F::group));
        const auto weights = importance.empty() ? importance : importance.subspan(at, std::size_t(F::group));
        detail::encode_group<F>(group, weights, mean_square, p, codes);
        store_group<F, L>(out, r, g, length, codes, p);
      }
    } else if (count != 0) {
      detail::encode_row<F>(w, importance, codes, &out.group_params(r, 0));
      pack_row<L, F::bits>(codes, out.words, out.padded(), r, 0, codes_per_row<F>(out.cols));
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
// END nbit/kernel/quantize.inl
// BEGIN nbit/arch/target_end.inl
// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
#if defined(__clang__)
#if NBIT_TARGET != 0
#pragma clang attribute pop
#endif
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
// END nbit/arch/target_end.inl
#undef NBIT_TARGET
#endif
#undef NBIT_STAMP
// END nbit/arch/stamp.inl

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Refuses what no format can hold, naming the place.
template <weight_format F>
inline result<void> check_quantize(matrix_view<const float> w, const quantize_options& options) {
  if (!options.importance.empty() && options.importance.size() != w.cols)
    return make_error(errc::shape, "importance must have one weight for each column",
                      "as many as the matrix has columns")
        .with(static_cast<std::int64_t>(options.importance.size()));
  for (std::size_t c = 0; c < options.importance.size(); ++c)
    if (!is_finite(options.importance[c]) || options.importance[c] < 0.0f)
      return make_error(errc::not_finite, "importance is negative, NaN or infinite", "finite numbers, zero or more")
          .at(0, static_cast<std::int64_t>(c));
  if (!fits_format<F>(w.cols) && options.ragged == ragged_rows::refuse) return shape_error<F>(w.cols);
  return all_finite(w);
}

/// Weights in a row when its last block is filled up.
template <weight_format F>
NBIT_INLINE constexpr std::size_t padded_cols(std::size_t cols) {
  if constexpr (block_format<F> && F::group > 0)
    return groups_per_row<F>(cols) * std::size_t(F::group);
  else
    return codes_per_row<F>(cols) * std::size_t(step_of<F>);
}

}  // namespace detail

/// Scratch bytes that quantize_rows needs: one padded row, its importance, and its codes.
template <weight_format F>
NBIT_INLINE constexpr std::size_t quantize_scratch_bytes(std::size_t cols) {
  const std::size_t padded = detail::padded_cols<F>(cols);
  return padded * 2 * sizeof(float) + codes_per_row<F>(padded) * sizeof(code_t<F>);
}

/// Quantizes rows [first, first + count) into `out`, whose words must be zero; the form without allocation.
/// Needs: out has the shape of w, scratch of quantize_scratch_bytes<F>(w.cols), aligned to 4.  Errors: shape,
/// not_finite. One group per tensor: fill out.params[0] first (F::fit over all weights).
template <class Arch, weight_format F, class L>
inline result<void> quantize_rows(Arch, matrix_view<const float> w, packed_view<F, L, std::byte> out, std::size_t first,
                                  std::size_t count, std::span<std::byte> scratch,
                                  const quantize_options& options = {}) {
  const error misuse = make_error(errc::shape, "quantize_rows: shapes or scratch do not fit");
  NBIT_EXPECTS(out.rows == w.rows && out.cols == w.cols, "quantize_rows: out must have the shape of w", misuse);
  NBIT_EXPECTS(first <= w.rows && count <= w.rows - first, "quantize_rows: rows must lie inside w", misuse);
  NBIT_EXPECTS((scratch.size() >= quantize_scratch_bytes<F>(w.cols)), "quantize_rows: scratch is too small", misuse);
  if (auto checked = detail::check_quantize<F>(w.row_range(first, count), options); !checked) {
    error e = checked.error();
    if (e.row >= 0) e.row += static_cast<std::int64_t>(first);
    return e;
  }
  const std::size_t padded = detail::padded_cols<F>(w.cols);
  float* const row = reinterpret_cast<float*>(scratch.data());
  float* const weight = row + padded;
  code_t<F>* const codes = reinterpret_cast<code_t<F>*>(weight + padded);
  for (std::size_t c = 0; c < padded; ++c) row[c] = 0.0f, weight[c] = 0.0f;
  for (std::size_t c = 0; c < options.importance.size(); ++c) weight[c] = options.importance[c];
  const std::span<const float> importance(weight, options.importance.empty() ? 0 : padded);
  for (std::size_t r = first; r < first + count; ++r) {
    for (std::size_t c = 0; c < w.cols; ++c) row[c] = w(r, c);
    quantize_kernel<Arch, F, L>::row(std::span<const float>(row, padded), importance, out, r, codes);
  }
  return {};
}

#if !defined(NBIT_NO_HEAP)

/// Quantizes a matrix by rounding to nearest.  Errors: shape (rows the format cannot hold), not_finite (names the row
/// and column), out_of_memory.  Cost: one pass; rows are split among the executor's threads, the codes do not depend on
/// it.
template <weight_format F, class L = default_layout<F>, class Arch, executor E = serial>
  requires(requires { Arch::level; })
inline result<packed_matrix<F, L>> quantize(Arch tag, matrix_view<const float> w, const quantize_options& options = {},
                                            E&& ex = {}) {
  if (auto checked = detail::check_quantize<F>(w, options); !checked) return checked.error();
  auto packed = packed_matrix<F, L>::make(w.shape());
  if (!packed) return packed.error();
  const packed_span<F, L> out = packed->span();
  if constexpr (F::group == per_tensor) {
    if (!w.empty()) {
      auto fitted = detail::fit_tensor<F>(w, options.importance);
      if (!fitted) return fitted.error();
      out.params[0] = *fitted;
    }
  }
  // Rows of one piece share words in layouts that put several rows into a word, so pieces are whole tiles of rows.
  constexpr std::size_t piece = 64;
  const std::size_t pieces = (w.rows + piece - 1) / piece, bytes = (quantize_scratch_bytes<F>(w.cols) + 63) / 64 * 64;
  auto scratch = buffer<std::byte>::make(pieces * bytes);
  if (!scratch) return scratch.error();
  ex(pieces, [&](std::size_t i) {
    const std::size_t first = i * piece, count = w.rows - first < piece ? w.rows - first : piece;
    // checked above: nothing is left that could fail
    (void)quantize_rows(tag, w, out, first, count, std::span<std::byte>(scratch->data() + i * bytes, bytes), options);
  });
  return packed;
}
template <weight_format F, class L = default_layout<F>, executor E = serial>
inline result<packed_matrix<F, L>> quantize(matrix_view<const float> w, const quantize_options& options = {},
                                            E&& ex = {}) {
  return arch::dispatch([&](auto tag) { return quantize<F, L>(tag, w, options, ex); });
}

#endif  // NBIT_NO_HEAP

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/kernel/quantize.hpp

// BEGIN nbit/solver/awq.hpp
// nbit/solver/awq.hpp — channel scales that protect the weights of large inputs, and clipping, from the Gram matrix
// alone.
//
// W x = (W diag(s)) (diag(1/s) x): columns of strong inputs are stored larger, so their rounding errors count less; 1/s
// is folded into whatever produces x (solver/fold.hpp). Every candidate is judged by tr(E H E^T), which is the exact
// squared error of the outputs on the calibration tokens; no activations are kept. Leaving the weights as they are is
// always a candidate.  Ref: Lin et al. 2024; the scale's form with both statistics is AutoAWQ's "duo scaling".
#ifndef NBIT_SOLVER_AWQ_HPP
#define NBIT_SOLVER_AWQ_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

// BEGIN nbit/solver/calibration.hpp
// nbit/solver/calibration.hpp — what solvers know about a layer's inputs: the Gram matrix X^T X, streamed and merged.
//
// Order    tokens are collected into panels of 128, whatever the batches were; a panel is multiplied in f32 in token
// order
//          and added to f64 sums. So the result depends on the stream of tokens alone, to the last bit: not on how it
//          was cut into batches, not on threads. Reading never flushes: a short panel is added on the fly.
// Storage  the lower triangle in tiles of 16 x 16 doubles, 4 cols^2 bytes, plus one panel.
// Also     mean |x|, max |x|, mean square (llama.cpp's imatrix), token and sequence counts, and the shrinkage intensity
//          (Ledoit and Wolf 2004, with the diagonal as target): how far the sampled correlations are to be trusted.
#ifndef NBIT_SOLVER_CALIBRATION_HPP
#define NBIT_SOLVER_CALIBRATION_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#if !defined(NBIT_NO_HEAP)

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

namespace detail {
/// The sums behind a hessian; free functions below work on it, so that no weak symbol outlives its unit's flags.
struct gram_sums {
  static constexpr std::size_t tile = 16, panel_tokens = 128;

  std::size_t cols = 0, strips = 0;
  std::size_t pending = 0;   // tokens in the panel
  std::uint64_t tokens = 0;  // all of them, the pending ones too
  std::uint64_t sequences = 0;
  std::uint64_t blocks = 0;        // panels folded
  double block_tokens_square = 0;  // sum over panels of tokens^2
  double block_square = 0;         // sum over panels of the squared off-diagonal entries of the panel's own X^T X
  double token_square = 0;         // the same with every token a panel of its own: |x|^4 - sum_i x_i^4
  bool magnitudes = true;          // false when a matrix was given instead of tokens
  buffer<double> tiles;            // tile (i, j), j <= i, at (i (i + 1) / 2 + j) * 256, row-major
  buffer<double> sum_abs;          // strips * 16
  buffer<float> max_abs;           // strips * 16
  buffer<float> panel;             // strip by strip, token by token, 16 columns
  buffer<double> strip_square;     // block_square's parts of the panel being folded

  NBIT_INLINE gram_sums() noexcept = default;
  NBIT_INLINE gram_sums(gram_sums&&) noexcept = default;
  NBIT_INLINE gram_sums& operator=(gram_sums&&) noexcept = default;
  NBIT_INLINE ~gram_sums() = default;

  NBIT_INLINE static std::size_t tile_at(std::size_t i, std::size_t j) { return (i * (i + 1) / 2 + j) * tile * tile; }
};
}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

inline result<void> gram_allocate(gram_sums& g, std::size_t cols) {
  g.cols = cols, g.strips = (cols + gram_sums::tile - 1) / gram_sums::tile;
  const std::size_t padded = g.strips * gram_sums::tile;
  if (g.strips > (std::size_t{1} << 24))
    return make_error(errc::overflow, "too many columns for a Gram matrix", "up to 2^28");
  auto tiles = buffer<double>::zeros(gram_sums::tile_at(g.strips, 0));
  auto sum_abs = buffer<double>::zeros(padded);
  auto max_abs = buffer<float>::zeros(padded);
  auto panel = buffer<float>::zeros(padded * gram_sums::panel_tokens);
  auto strip_square = buffer<double>::zeros(g.strips);
  if (!tiles) return tiles.error();
  if (!sum_abs) return sum_abs.error();
  if (!max_abs) return max_abs.error();
  if (!panel) return panel.error();
  if (!strip_square) return strip_square.error();
  g.tiles = *std::move(tiles), g.sum_abs = *std::move(sum_abs), g.max_abs = *std::move(max_abs);
  g.panel = *std::move(panel), g.strip_square = *std::move(strip_square);
  return {};
}

/// Writes the product of two strips over the panel's tokens: 16 x 16 floats.
inline void gram_tile(const gram_sums& g, std::size_t i, std::size_t j, std::size_t tokens, float* out) {
  constexpr std::size_t tile = gram_sums::tile, stride = gram_sums::panel_tokens * tile;
  for (std::size_t k = 0; k < tile * tile; ++k) out[k] = 0.0f;
  add_product(
      {out, tile, g.panel.data() + i * stride, tile, g.panel.data() + j * stride, tile, tile, tile, tokens, 1.0f});
}

/// The squares of a tile's entries off the matrix's diagonal; a tile below the diagonal counts for its mirror image
/// too.
template <class T>
inline double tile_square(const T* t, bool diagonal) {
  NBIT_EXACT
  double sum = 0;
  for (std::size_t a = 0; a < gram_sums::tile; ++a)
    for (std::size_t b = 0; b < gram_sums::tile; ++b) {
      const double v = diagonal && a == b ? 0.0 : static_cast<double>(t[a * gram_sums::tile + b]);
      sum += v * v;
    }
  return diagonal ? sum : 2 * sum;
}

/// Adds the panel to the sums and empties it.
template <class Executor>
inline void gram_fold(gram_sums& g, Executor&& ex) {
  if (g.pending == 0) return;
  const std::size_t tokens = g.pending;
  const auto strip = [&g, tokens](std::size_t i) {
    NBIT_EXACT
    float product[gram_sums::tile * gram_sums::tile];
    double square = 0;
    for (std::size_t j = 0; j <= i; ++j) {
      gram_tile(g, i, j, tokens, product);
      double* const sums = g.tiles.data() + gram_sums::tile_at(i, j);
      for (std::size_t k = 0; k < gram_sums::tile * gram_sums::tile; ++k) sums[k] += static_cast<double>(product[k]);
      square += tile_square(product, i == j);
    }
    g.strip_square[i] = square;
  };
  // A long strip and a short one together: equal work for every task.
  ex((g.strips + 1) / 2, [&strip, &g](std::size_t task) {
    strip(task);
    if (const std::size_t other = g.strips - 1 - task; other != task) strip(other);
  });
  for (std::size_t i = 0; i < g.strips; ++i) g.block_square += g.strip_square[i];
  g.block_tokens_square += static_cast<double>(tokens) * static_cast<double>(tokens);
  ++g.blocks;
  g.pending = 0;
}

template <class Executor>
inline result<void> gram_add(gram_sums& g, matrix_view<const float> x, Executor&& ex) {
  NBIT_EXACT
  constexpr std::size_t tile = gram_sums::tile;
  for (std::size_t t = 0; t < x.rows; ++t) {
    const std::span<const float> row = x.row(t);
    bool fine = true;
    for (const float v : row) fine &= abs(v) <= 1e18f;
    if (fine) continue;
    for (std::size_t c = 0; c < row.size(); ++c)
      if (!(abs(row[c]) <= 1e18f))
        return make_error(errc::not_finite, "activation is NaN, infinite or too large to be squared", "|x| <= 1e18")
            .at(static_cast<std::int64_t>(t), static_cast<std::int64_t>(c));
  }
  for (std::size_t t = 0; t < x.rows; ++t) {
    const float* const row = x.data + t * x.stride;
    double square = 0, fourth = 0;
    for (std::size_t s = 0; s < g.strips; ++s) {
      float* const to = g.panel.data() + (s * gram_sums::panel_tokens + g.pending) * tile;
      const std::size_t first = s * tile, n = g.cols - first < tile ? g.cols - first : tile;
      for (std::size_t c = 0; c < n; ++c) {
        const float v = row[first + c], a = abs(v);
        to[c] = v;
        g.sum_abs[first + c] += static_cast<double>(a);
        g.max_abs[first + c] = a > g.max_abs[first + c] ? a : g.max_abs[first + c];
        const double sq = static_cast<double>(v) * static_cast<double>(v);
        square += sq, fourth += sq * sq;
      }
    }
    g.token_square += square * square - fourth;
    ++g.tokens;
    if (++g.pending == gram_sums::panel_tokens) gram_fold(g, ex);
  }
  return {};
}

/// Adds other's sums, each side's short panel folded on its own; the two sides can be swapped without changing a bit.
inline result<void> gram_merge(gram_sums& g, const gram_sums& other) {
  NBIT_EXACT
  gram_fold(g, serial{});
  float product[gram_sums::tile * gram_sums::tile];
  double square = 0;
  for (std::size_t i = 0; i < g.strips; ++i) {
    double strip_square = 0;
    for (std::size_t j = 0; j <= i; ++j) {
      const std::size_t at = gram_sums::tile_at(i, j);
      gram_tile(other, i, j, other.pending, product);
      for (std::size_t k = 0; k < gram_sums::tile * gram_sums::tile; ++k)
        g.tiles[at + k] += other.tiles[at + k] + static_cast<double>(product[k]);
      strip_square += tile_square(product, i == j);
    }
    square += strip_square;
  }
  const double pending = static_cast<double>(other.pending);
  g.block_square += other.block_square + square;
  g.block_tokens_square += other.block_tokens_square + pending * pending;
  g.blocks += other.blocks + (other.pending != 0 ? 1 : 0);
  g.token_square += other.token_square;
  g.tokens += other.tokens, g.sequences += other.sequences;
  g.magnitudes = g.magnitudes && other.magnitudes;
  for (std::size_t c = 0; c < g.strips * gram_sums::tile; ++c) {
    g.sum_abs[c] += other.sum_abs[c];
    g.max_abs[c] = other.max_abs[c] > g.max_abs[c] ? other.max_abs[c] : g.max_abs[c];
  }
  return {};
}

/// Calls f(i, j, sums) for every tile with the pending panel added.
template <class Visit>
inline void gram_each_tile(const gram_sums& g, bool diagonal_only, Visit&& visit) {
  float product[gram_sums::tile * gram_sums::tile];
  double sums[gram_sums::tile * gram_sums::tile];
  for (std::size_t i = 0; i < g.strips; ++i)
    for (std::size_t j = diagonal_only ? i : 0; j <= i; ++j) {
      const double* const from = g.tiles.data() + gram_sums::tile_at(i, j);
      gram_tile(g, i, j, g.pending, product);
      for (std::size_t k = 0; k < gram_sums::tile * gram_sums::tile; ++k)
        sums[k] = from[k] + static_cast<double>(product[k]);
      visit(i, j, sums, product);
    }
}

inline void gram_mean_square(const gram_sums& g, std::span<float> out) {
  const double scale = g.tokens == 0 ? 0.0 : 1.0 / static_cast<double>(g.tokens);
  gram_each_tile(g, true, [&](std::size_t i, std::size_t, const double* sums, const float*) {
    for (std::size_t a = 0; a < gram_sums::tile; ++a)
      if (const std::size_t c = i * gram_sums::tile + a; c < out.size())
        out[c] = static_cast<float>(sums[a * gram_sums::tile + a] * scale);
  });
}

/// The mean of the usable entries of the mean Gram matrix's diagonal; 0 when there is none.
inline double gram_mean_diagonal(const gram_sums& g) {
  double sum = 0;
  std::size_t live = 0;
  gram_each_tile(g, true, [&](std::size_t i, std::size_t, const double* sums, const float*) {
    for (std::size_t a = 0; a < gram_sums::tile; ++a)
      if (const double v = sums[a * gram_sums::tile + a]; i * gram_sums::tile + a < g.cols && v > 0 && v < 1e300)
        sum += v, ++live;
  });
  return live == 0 ? 0.0 : sum / static_cast<double>(live) / static_cast<double>(g.tokens);
}

/// Writes the mean Gram matrix in the order place: column c goes to row and column place[c]. Off-diagonal entries are
/// multiplied by 1 - shrinkage, all of them by scale.
inline void gram_write(const gram_sums& g, std::span<const std::uint32_t> place, double shrinkage, double scale,
                       float* out, std::size_t stride) {
  NBIT_EXACT
  const double mean = g.tokens == 0 ? 0.0 : scale / static_cast<double>(g.tokens);
  const double off = mean * (1.0 - shrinkage);
  gram_each_tile(g, false, [&](std::size_t i, std::size_t j, const double* sums, const float*) {
    for (std::size_t a = 0; a < gram_sums::tile; ++a)
      for (std::size_t b = 0; b < gram_sums::tile; ++b) {
        const std::size_t row = i * gram_sums::tile + a, col = j * gram_sums::tile + b;
        if (row >= g.cols || col > row) continue;
        const float v = static_cast<float>(sums[a * gram_sums::tile + b] * (row == col ? mean : off));
        const std::size_t r = place.empty() ? row : place[row], c = place.empty() ? col : place[col];
        out[r * stride + c] = v;
        out[c * stride + r] = v;
      }
  });
}

/// Ledoit and Wolf's intensity toward the diagonal, from tokens and from panels; panels see that neighbours are alike.
inline double gram_shrinkage(const gram_sums& g) {
  NBIT_EXACT
  if (g.tokens == 0) return 1.0;
  if (!g.magnitudes) return 0.0;
  double square = 0, last_block = 0;
  gram_each_tile(g, false, [&](std::size_t i, std::size_t j, const double* sums, const float* pending) {
    square += tile_square(sums, i == j);
    last_block += tile_square(pending, i == j);
  });
  const double n = static_cast<double>(g.tokens);
  square /= n * n;  // of the mean, not of the sum
  if (!(square > 0)) return 1.0;
  // The variance of the mean's entries, added up: sum over independent pieces of (piece - its share)^2 / n^2.
  double r = (g.token_square - n * square) / (n * n * square);
  const std::uint64_t blocks = g.blocks + (g.pending != 0 ? 1 : 0);
  if (blocks >= 8) {
    const double pending = static_cast<double>(g.pending), b = static_cast<double>(blocks);
    const double lengths = g.block_tokens_square + pending * pending;
    const double by_block = (g.block_square + last_block - lengths * square) / (n * n * square) * (b / (b - 1));
    if (by_block > r) r = by_block;
  }
  if (!(r > 0)) return 0.0;
  return r < 1 ? r : 1.0;
}

inline result<void> gram_from_mean(gram_sums& g, matrix_view<const float> mean, std::uint64_t tokens) {
  NBIT_EXACT
  for (std::size_t r = 0; r < mean.rows; ++r)
    for (std::size_t c = 0; c <= r; ++c) {
      double* const sums = g.tiles.data() + gram_sums::tile_at(r / gram_sums::tile, c / gram_sums::tile);
      const double v = static_cast<double>(mean(r, c)) * static_cast<double>(tokens);
      sums[(r % gram_sums::tile) * gram_sums::tile + c % gram_sums::tile] = v;
      if (r / gram_sums::tile == c / gram_sums::tile)
        sums[(c % gram_sums::tile) * gram_sums::tile + r % gram_sums::tile] = v;
    }
  g.tokens = tokens, g.magnitudes = false;
  return {};
}

inline void gram_mean_abs(const gram_sums& g, std::span<float> out) {
  if (!g.magnitudes) {
    gram_mean_square(g, out);
    for (float& v : out) v = std::sqrt(v);
    return;
  }
  const double scale = g.tokens == 0 ? 0.0 : 1.0 / static_cast<double>(g.tokens);
  for (std::size_t c = 0; c < out.size(); ++c) out[c] = static_cast<float>(g.sum_abs[c] * scale);
}

}  // namespace detail
}  // namespace NBIT_TAG

/// Statistics of the inputs of one layer, for every solver. Linears with the same input share one.
/// Memory: 4 cols^2 bytes for the sums, 512 cols bytes for the panel.
class hessian {
 public:
  NBIT_INLINE hessian() noexcept = default;
  NBIT_INLINE hessian(hessian&&) noexcept = default;
  NBIT_INLINE hessian& operator=(hessian&&) noexcept = default;
  NBIT_INLINE ~hessian() = default;
  /// For inputs of cols numbers; memory is taken by the first add.
  NBIT_INLINE explicit hessian(std::size_t cols) { sums_.cols = cols; }
  /// The same with its memory.  Errors: out_of_memory, overflow.
  NBIT_INLINE static result<hessian> make(std::size_t cols) {
    hessian h(cols);
    if (auto done = h.allocate(); !done) return done.error();
    return h;
  }
  /// From a symmetric cols x cols matrix (its lower triangle is read) that stands for the mean of x x^T over `tokens`.
  /// Nothing else is known then: shrinkage() is 0 and mean_abs is the root of the mean square.
  /// Errors: shape if not square, out_of_memory.
  NBIT_INLINE static result<hessian> from_mean(matrix_view<const float> mean, std::uint64_t tokens = 1) {
    if (mean.rows != mean.cols)
      return make_error(errc::shape, "Gram matrix is not square", "as many rows as columns")
          .with(static_cast<std::int64_t>(mean.rows));
    result<hessian> h = make(mean.cols);
    if (h)
      if (auto done = detail::gram_from_mean(h->sums_, mean, tokens); !done) return done.error();
    return h;
  }

  /// Adds a batch, one token per row.  Errors: shape; not_finite with row and column (then nothing was added);
  /// out_of_memory on the first call.  Cost: tokens * cols^2 / 2 multiply-adds.
  template <class Executor = serial>
  NBIT_INLINE result<void> add(matrix_view<const float> x, Executor&& ex = {}) {
    if (x.cols != sums_.cols)
      return make_error(errc::shape, "batch has another number of columns than the statistics", "the layer's inputs")
          .with(static_cast<std::int64_t>(x.cols));
    if (auto done = allocate(); !done) return done;
    return detail::gram_add(sums_, x, ex);
  }
  /// Counts the end of a sequence (a text, a window).
  NBIT_INLINE void end_sequence() { ++sums_.sequences; }

  /// Adds the statistics of another stream. merge(a, b) and merge(b, a) are equal to the last bit; so the order in
  /// which many are merged is the only order that matters.  Errors: shape, out_of_memory.
  NBIT_INLINE result<void> merge(const hessian& other) {
    if (other.sums_.cols != sums_.cols)
      return make_error(errc::shape, "statistics have different numbers of columns", "the same layer's inputs")
          .with(static_cast<std::int64_t>(other.sums_.cols));
    if (other.sums_.tiles.empty()) {
      sums_.sequences += other.sums_.sequences;
      return {};
    }
    if (auto done = allocate(); !done) return done;
    return detail::gram_merge(sums_, other.sums_);
  }

  [[nodiscard]] NBIT_INLINE std::size_t cols() const { return sums_.cols; }
  [[nodiscard]] NBIT_INLINE std::uint64_t tokens() const { return sums_.tokens; }
  [[nodiscard]] NBIT_INLINE std::uint64_t sequences() const { return sums_.sequences; }

  /// Writes the mean of x^2 for each column (what llama.cpp calls an importance matrix); zeros before the first token.
  NBIT_INLINE void mean_square(std::span<float> out) const {
    NBIT_EXPECTS(out.size() == sums_.cols, "one number for each column");
    if (sums_.tiles.empty()) return fill_zero(out);
    detail::gram_mean_square(sums_, out);
  }
  NBIT_INLINE void mean_abs(std::span<float> out) const {
    NBIT_EXPECTS(out.size() == sums_.cols, "one number for each column");
    if (sums_.tiles.empty()) return fill_zero(out);
    detail::gram_mean_abs(sums_, out);
  }
  /// Largest |x| of each column; empty when the statistics came from a matrix.
  [[nodiscard]] NBIT_INLINE std::span<const float> max_abs() const {
    if (sums_.tiles.empty() || !sums_.magnitudes) return {};
    return sums_.max_abs.span().first(sums_.cols);
  }

  /// How much of the off-diagonal part is noise, 0 to 1: S' = (1 - r) S + r diag(S). 1 before the first token.
  [[nodiscard]] NBIT_INLINE double shrinkage() const {
    return sums_.tiles.empty() ? 1.0 : detail::gram_shrinkage(sums_);
  }

  /// The mean of the mean squares of the columns that are ever used; 0 before the first token.
  [[nodiscard]] NBIT_INLINE double mean_diagonal() const {
    return sums_.tiles.empty() ? 0.0 : detail::gram_mean_diagonal(sums_);
  }

  /// Writes the mean Gram matrix times scale; column c at place[c] (empty: at c), off-diagonal entries times 1 -
  /// shrinkage. Needs: out is cols x cols, place is empty or a permutation.
  NBIT_INLINE void write(matrix_view<float> out, double shrinkage = 0.0, double scale = 1.0,
                         std::span<const std::uint32_t> place = {}) const {
    NBIT_EXPECTS(out.rows == sums_.cols && out.cols == sums_.cols, "a cols x cols matrix");
    NBIT_EXPECTS(place.empty() || place.size() == sums_.cols, "one place for each column");
    if (sums_.tiles.empty()) {
      for (std::size_t r = 0; r < out.rows; ++r) fill_zero(out.row(r));
      return;
    }
    detail::gram_write(sums_, place, shrinkage, scale, out.data, out.stride);
  }

 private:
  NBIT_INLINE static void fill_zero(std::span<float> out) {
    if (!out.empty()) __builtin_memset(out.data(), 0, out.size_bytes());
  }
  NBIT_INLINE result<void> allocate() {
    if (!sums_.tiles.empty() || sums_.cols == 0) return {};
    return detail::gram_allocate(sums_, sums_.cols);
  }

  detail::gram_sums sums_;
};

}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif  // NBIT_NO_HEAP
#endif
// END nbit/solver/calibration.hpp
// BEGIN nbit/solver/quadratic.hpp
// nbit/solver/quadratic.hpp — tr(E H E^T), row by row: the loss that solvers lower and metrics report.
//
// Rows come in panels of 32, transposed: the numbers of one column lie side by side, so every loop over rows is a
// vector loop of fixed length, whatever the shape of the matrix.
#ifndef NBIT_SOLVER_QUADRATIC_HPP
#define NBIT_SOLVER_QUADRATIC_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit::detail {
/// Rows that are solved side by side, and columns between two catch-ups with the columns before.
inline constexpr std::size_t panel_rows = 32, panel_columns = 32;
}  // namespace nbit::detail

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// Copies up to 32 rows of w from `first` on to panel[place][row], missing rows as zeros.
inline void transpose_panel(matrix_view<const float> w, std::size_t first, std::span<const std::uint32_t> place,
                            float* panel) {
  const std::size_t rows = w.rows - first < panel_rows ? w.rows - first : panel_rows;
  if (rows < panel_rows)
    for (std::size_t k = 0; k < w.cols * panel_rows; ++k) panel[k] = 0.0f;
  for (std::size_t c = 0; c < w.cols; ++c) {
    float* const to = panel + (place.empty() ? c : place[c]) * panel_rows;
    for (std::size_t r = 0; r < rows; ++r) to[r] = w(first + r, c);
  }
}

/// Writes e H e^T for each of the 32 rows of a transposed panel e; h is symmetric, only its upper triangle is read.
/// Cost: 16 cols^2 multiply-adds.
inline void quadratic_form(const float* h, std::size_t stride, std::size_t cols, const float* e, double* out) {
  NBIT_EXACT
  for (std::size_t r = 0; r < panel_rows; ++r) out[r] = 0.0;
  float sums[panel_columns * panel_rows];
  for (std::size_t first = 0; first < cols; first += panel_columns) {
    const std::size_t n = cols - first < panel_columns ? cols - first : panel_columns;
    for (float& v : sums) v = 0.0f;
    add_product({sums, panel_rows, h + first, stride, e, panel_rows, n, panel_rows, first, 1.0f});
    for (std::size_t j = 0; j < n; ++j) {
      float* const sum = sums + j * panel_rows;
      for (std::size_t i = 0; i < j; ++i) {
        const float v = h[(first + i) * stride + first + j];
        const float* const other = e + (first + i) * panel_rows;
        for (std::size_t r = 0; r < panel_rows; ++r) sum[r] += v * other[r];
      }
      const float v = h[(first + j) * stride + first + j];
      const float* const own = e + (first + j) * panel_rows;
      for (std::size_t r = 0; r < panel_rows; ++r)
        out[r] += static_cast<double>(own[r]) * static_cast<double>(2.0f * sum[r] + v * own[r]);
    }
  }
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/solver/quadratic.hpp

#if !defined(NBIT_NO_HEAP)

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// The grid of the search.
struct awq_options {
  int steps = 20;       // exponents tried: 0/steps ... (steps - 1)/steps; 0: no scaling, 1 to 1000
  bool duo = true;      // s = |x|^r / |w|^(1-r) with relative weight magnitudes; false: s = |x|^r
  bool clip = true;     // then search a limit for the weights of every group
  int clip_steps = 14;  // limits tried: largest |w| times 1, 1 - 1/20, 1 - 2/20 ...; 1 to 19
  bool shrink = true;   // take the sampling noise out of the correlations (hessian::shrinkage)
};

/// Scaled and clipped weights, ready for any solver.
struct awq_result {
  buffer<float> scales;   // one per column, all positive; the inputs must be divided by them
  buffer<float> weights;  // rows x cols: w * scales, clipped; several linears one after another, in the order given
  std::size_t rows = 0, cols = 0;
  float exponent = -1;      // of the scales chosen; -1: all ones
  double shrinkage = 0;     // that was applied to the statistics
  double loss_rounded = 0;  // tr(E H E^T) of plain rounding, in units where live inputs have mean square 1
  double loss_scaled = 0;   // after scaling
  double loss = 0;          // after scaling and clipping
  double energy = 0;        // of all-zero weights

  NBIT_INLINE awq_result() noexcept = default;
  NBIT_INLINE awq_result(awq_result&&) noexcept = default;
  NBIT_INLINE awq_result& operator=(awq_result&&) noexcept = default;
  NBIT_INLINE ~awq_result() = default;

  [[nodiscard]] NBIT_INLINE matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};

inline namespace NBIT_TAG {
namespace detail {

/// Rounds one row and writes its values.
template <weight_format F>
inline void round_row(std::span<const float> row, std::span<const float> importance, code_t<F>* codes,
                      typename F::params* params, std::span<float> out) {
  encode_row<F>(row, importance, codes, params);
  decode_row<F>(codes, params, {}, out);
}

/// What the tasks of one search share.
struct awq_job {
  std::span<const matrix_view<const float>> linears;
  std::span<const std::size_t> first_panel;  // of each linear, and one past the last
  std::span<const std::size_t> first_row;
  const float* gram = nullptr;
  std::size_t cols = 0, stride = 0, candidates = 0;
  const float* scales = nullptr;      // candidates x cols
  const float* importance = nullptr;  // candidates x cols
};

/// The rows of panel `task`: their linear, where they start in it and how many they are.
struct awq_rows {
  matrix_view<const float> w;
  std::size_t first = 0, count = 0, stacked = 0;
};

inline awq_rows rows_of(const awq_job& job, std::size_t task) {
  std::size_t k = 0;
  while (job.first_panel[k + 1] <= task) ++k;
  awq_rows r = {};
  r.w = job.linears[k];
  r.first = (task - job.first_panel[k]) * panel_rows;
  r.count = r.w.rows - r.first < panel_rows ? r.w.rows - r.first : panel_rows;
  r.stacked = job.first_row[k] + r.first;
  return r;
}

/// Memory of one task.
template <weight_format F>
struct awq_scratch {
  buffer<float> floats;  // panel (cols x 32), row, values
  buffer<code_t<F>> codes;
  buffer<typename F::params> params;

  NBIT_INLINE awq_scratch() noexcept = default;
  NBIT_INLINE awq_scratch(awq_scratch&&) noexcept = default;
  NBIT_INLINE awq_scratch& operator=(awq_scratch&&) noexcept = default;
  NBIT_INLINE ~awq_scratch() = default;

  NBIT_INLINE bool make(std::size_t cols) {
    auto f = buffer<float>::make(cols * (2 * panel_rows + 2));
    auto c = buffer<code_t<F>>::make(codes_per_row<F>(cols));
    auto p = buffer<typename F::params>::make(groups_per_row<F>(cols));
    if (!f || !c || !p) return false;
    floats = *std::move(f), codes = *std::move(c), params = *std::move(p);
    return true;
  }
};

/// Losses of one panel for every candidate, and its energy at the end; false without memory.
template <weight_format F>
inline bool score_panel(const awq_job& job, std::size_t task, double* losses) {
  NBIT_EXACT
  const awq_rows rows = rows_of(job, task);
  const std::size_t cols = job.cols;
  awq_scratch<F> memory;
  if (!memory.make(cols)) return false;
  float *const panel = memory.floats.data(), *const row = panel + 2 * cols * panel_rows, *const values = row + cols;
  double sums[panel_rows];
  for (std::size_t k = 0; k <= job.candidates; ++k) {
    for (std::size_t i = 0; i < cols * panel_rows; ++i) panel[i] = 0.0f;
    for (std::size_t r = 0; r < rows.count; ++r) {
      const std::span<const float> w = rows.w.row(rows.first + r);
      if (k == job.candidates) {
        for (std::size_t c = 0; c < cols; ++c) panel[c * panel_rows + r] = w[c];
        continue;
      }
      const float* const s = job.scales + k * cols;
      for (std::size_t c = 0; c < cols; ++c) row[c] = w[c] * s[c];
      round_row<F>({row, cols}, {job.importance + k * cols, cols}, memory.codes.data(), memory.params.data(),
                   {values, cols});
      for (std::size_t c = 0; c < cols; ++c) {
        const float e = values[c] / s[c] - w[c];
        panel[c * panel_rows + r] = is_finite(e) ? e : 0.0f;
      }
    }
    quadratic_form(job.gram, job.stride, cols, panel, sums);
    double sum = 0;
    for (std::size_t r = 0; r < rows.count; ++r) sum += sums[r];
    losses[k] = sum;
  }
  return true;
}

/// Writes the scaled weights of one panel, each group held to the limit that suits its block of the Gram matrix
/// best, and the panel's loss. limits: how many are tried.
template <weight_format F>
inline bool clip_panel(const awq_job& job, std::size_t task, int limits, float* out, double* loss) {
  NBIT_EXACT
  const awq_rows rows = rows_of(job, task);
  const std::size_t cols = job.cols, length = group_length<F>(cols);
  awq_scratch<F> memory;
  if (!memory.make(cols)) return false;
  float *const panel = memory.floats.data(), *const row = panel + 2 * cols * panel_rows, *const values = row + cols;
  float* const stacked = out + rows.stacked * cols;
  double sums[panel_rows], least[panel_rows];
  float best[panel_rows], largest[panel_rows];
  for (std::size_t r = 0; r < rows.count; ++r)
    for (std::size_t c = 0; c < cols; ++c) stacked[r * cols + c] = rows.w(rows.first + r, c) * job.scales[c];
  for (std::size_t first = 0; limits > 1 && first < cols; first += length) {
    const std::size_t n = cols - first < length ? cols - first : length;
    for (std::size_t i = 0; i < n * panel_rows; ++i) panel[i] = 0.0f;
    for (std::size_t r = 0; r < rows.count; ++r) {
      largest[r] = 0.0f;
      for (std::size_t c = 0; c < n; ++c) {
        const float a = abs(stacked[r * cols + first + c]);
        largest[r] = a > largest[r] ? a : largest[r];
      }
    }
    for (int k = 0; k < limits; ++k) {
      for (std::size_t r = 0; r < rows.count; ++r) {
        const float limit = largest[r] * (1.0f - static_cast<float>(k) / 20.0f);
        const float* const w = stacked + r * cols + first;
        float mean_square = 0.0f;
        if constexpr (encodes_itself<F>) mean_square = row_mean_square({stacked + r * cols, cols});
        for (std::size_t c = 0; c < n; ++c) row[c] = w[c] > limit ? limit : w[c] < -limit ? -limit : w[c];
        encode_group<F>({row, n}, {job.importance + first, n}, mean_square, memory.params[0], memory.codes.data());
        value_group<F>(memory.codes.data(), memory.params[0], 0, {values, n});
        for (std::size_t c = 0; c < n; ++c) {
          const float e = (values[c] - w[c]) / job.scales[first + c];
          panel[c * panel_rows + r] = is_finite(e) ? e : 0.0f;
        }
      }
      quadratic_form(job.gram + first * job.stride + first, job.stride, n, panel, sums);
      for (std::size_t r = 0; r < rows.count; ++r)
        if (k == 0 || sums[r] < least[r])
          least[r] = sums[r], best[r] = largest[r] * (1.0f - static_cast<float>(k) / 20.0f);
    }
    for (std::size_t r = 0; r < rows.count; ++r)
      for (std::size_t c = 0; c < n; ++c) {
        float& v = stacked[r * cols + first + c];
        v = v > best[r] ? best[r] : v < -best[r] ? -best[r] : v;
      }
  }
  for (std::size_t i = 0; i < cols * panel_rows; ++i) panel[i] = 0.0f;
  for (std::size_t r = 0; r < rows.count; ++r) {
    round_row<F>({stacked + r * cols, cols}, {job.importance, cols}, memory.codes.data(), memory.params.data(),
                 {values, cols});
    for (std::size_t c = 0; c < cols; ++c) {
      const float e = values[c] / job.scales[c] - rows.w(rows.first + r, c);
      panel[c * panel_rows + r] = is_finite(e) ? e : 0.0f;
    }
  }
  quadratic_form(job.gram, job.stride, cols, panel, sums);
  *loss = 0;
  for (std::size_t r = 0; r < rows.count; ++r) *loss += sums[r];
  return true;
}

/// Column means of |w| / largest |w| of its group, over all rows of all linears.
template <weight_format F>
inline void relative_magnitude(std::span<const matrix_view<const float>> linears, std::span<float> out) {
  const std::size_t cols = out.size(), length = group_length<F>(cols);
  std::size_t rows = 0;
  for (float& v : out) v = 0.0f;
  for (const matrix_view<const float>& w : linears)
    for (std::size_t r = 0; r < w.rows; ++r, ++rows)
      for (std::size_t first = 0; first < cols; first += length) {
        const std::size_t last = cols - first < length ? cols : first + length;
        float largest = 0.0f;
        for (std::size_t c = first; c < last; ++c) largest = abs(w(r, c)) > largest ? abs(w(r, c)) : largest;
        if (!(largest > 0.0f)) continue;
        for (std::size_t c = first; c < last; ++c) out[c] += abs(w(r, c)) / largest;
      }
  for (float& v : out) v = rows == 0 ? 1.0f : v / static_cast<float>(rows);
}

/// v^p for magnitudes, 0 included, with the same bits on every machine.
inline float magnitude_power(float v, float p) {
  if (!(v > 0.0f)) return p == 0.0f ? 1.0f : 0.0f;
  return static_cast<float>(power_exact(static_cast<double>(v), static_cast<double>(p)));
}

/// One candidate: scales with geometric middle 1; what is not a usable number becomes 1.
inline void scale_candidate(std::span<const float> x, std::span<const float> w, float exponent, bool duo, float* out) {
  NBIT_EXACT
  float least = 3e38f, most = 0.0f;
  for (std::size_t c = 0; c < x.size(); ++c) {
    float s = magnitude_power(x[c], exponent);
    if (duo) s /= magnitude_power(w[c], 1.0f - exponent) + 1e-4f;
    if (!(s >= 1e-4f)) s = 1e-4f;
    if (!(s <= 1e6f)) s = 1e6f;
    out[c] = s;
    least = s < least ? s : least, most = s > most ? s : most;
  }
  const float middle = std::sqrt(least * most);
  for (std::size_t c = 0; c < x.size(); ++c) out[c] /= middle;
}

}  // namespace detail

/// Scales and clips linears that share one input; F is the format they will be stored in.
/// Errors: shape (linears or statistics of different widths; a row that F cannot hold), not_finite with row and column
/// of the first bad weight, invalid_option, out_of_memory.
/// Cost: rows cols^2 / 2 multiply-adds for each step, rows cols group / 2 for each limit at every third step, and as
/// many encodings.
template <weight_format F, class Executor = serial>
result<awq_result> awq(std::span<const matrix_view<const float>> linears, const hessian& h, const awq_options& o = {},
                       Executor&& ex = {}) {
  static_assert(F::group != per_tensor,
                "nbit::awq: a format with one group per tensor gives scales nothing to act on; use a group or per_row");
  using namespace detail;
  if (o.steps < 0 || o.steps > 1000)
    return make_error(errc::invalid_option, "number of exponents is out of range", "0 to 1000")
        .about("steps")
        .with(o.steps);
  if (o.clip_steps < 1 || o.clip_steps > 19)
    return make_error(errc::invalid_option, "number of limits is out of range", "1 to 19")
        .about("clip_steps")
        .with(o.clip_steps);
  const std::size_t cols = h.cols(), stride = (cols + 15) / 16 * 16;
  if (!fits_format<F>(cols)) return shape_error<F>(cols);
  awq_result out;
  out.cols = cols;
  auto starts = buffer<std::size_t>::zeros(2 * (linears.size() + 1));
  if (!starts) return starts.error();
  const std::span<std::size_t> first_panel = starts->span().first(linears.size() + 1),
                               first_row = starts->span().subspan(linears.size() + 1);
  for (std::size_t k = 0; k < linears.size(); ++k) {
    if (linears[k].cols != cols)
      return make_error(errc::shape, "a linear has another number of columns than the statistics",
                        "one input for each column")
          .with(static_cast<std::int64_t>(linears[k].cols));
    if (auto fine = all_finite(linears[k]); !fine) return fine.error();
    first_panel[k + 1] = first_panel[k] + (linears[k].rows + panel_rows - 1) / panel_rows;
    first_row[k + 1] = first_row[k] + linears[k].rows;
  }
  out.rows = first_row[linears.size()];
  const std::size_t tasks = first_panel[linears.size()], candidates = static_cast<std::size_t>(o.steps) + 1;

  auto scales = buffer<float>::make(cols);
  auto weights = buffer<float>::make(out.rows * cols);
  auto grid = buffer<float>::make(2 * candidates * cols);
  auto statistics = buffer<float>::make(3 * cols);
  auto gram = buffer<float>::zeros(cols * stride);
  auto losses = buffer<double>::zeros(tasks * (candidates + 1));
  auto failed = buffer<unsigned char>::zeros(tasks);
  if (!scales) return scales.error();
  if (!weights) return weights.error();
  if (!grid) return grid.error();
  if (!statistics) return statistics.error();
  if (!gram) return gram.error();
  if (!losses) return losses.error();
  if (!failed) return failed.error();
  out.scales = *std::move(scales), out.weights = *std::move(weights);
  for (std::size_t c = 0; c < cols; ++c) out.scales[c] = 1.0f;
  if (out.rows == 0 || cols == 0) return out;

  const std::span<float> x = statistics->span().first(cols), w = statistics->span().subspan(cols, cols),
                         square = statistics->span().subspan(2 * cols);
  const double mean = h.mean_diagonal();
  out.shrinkage = o.shrink ? h.shrinkage() : 0.0;
  h.write({gram->data(), cols, cols, stride}, out.shrinkage, mean > 0 ? 1.0 / mean : 1.0);
  for (std::size_t i = 0; i < cols * stride; ++i)
    if (!(abs((*gram)[i]) <= 1e30f)) (*gram)[i] = 0.0f;  // statistics that are not numbers say nothing
  for (std::size_t c = 0; c < cols; ++c) {
    const float v = (*gram)[c * stride + c];
    square[c] = v > 1e-5f ? v : 1e-5f;
  }
  h.mean_abs(x);
  relative_magnitude<F>(linears, w);
  double sum = 0;
  for (float& v : x) {
    if (!is_finite(v)) v = 0.0f;
    sum += static_cast<double>(v);
  }
  const double unit = sum > 0 ? static_cast<double>(cols) / sum : 1.0;
  for (float& v : x) v = static_cast<float>(static_cast<double>(v) * unit);

  float* const importance = grid->data() + candidates * cols;
  for (std::size_t k = 0; k < candidates; ++k) {
    float* const s = grid->data() + k * cols;
    if (k == 0) {
      for (std::size_t c = 0; c < cols; ++c) s[c] = 1.0f;
    } else {
      scale_candidate(x, w, static_cast<float>(k - 1) / static_cast<float>(o.steps), o.duo, s);
    }
    for (std::size_t c = 0; c < cols; ++c) importance[k * cols + c] = square[c] / (s[c] * s[c]);
  }

  awq_job job = {};
  job.linears = linears, job.first_panel = first_panel, job.first_row = first_row;
  job.gram = gram->data(), job.cols = cols, job.stride = stride, job.candidates = candidates;
  job.scales = grid->data(), job.importance = importance;
  double* const loss = losses->data();
  unsigned char* const failures = failed->data();
  const auto any_failed = [failures, tasks] {
    for (std::size_t t = 0; t < tasks; ++t)
      if (failures[t] != 0) return true;
    return false;
  };
  ex(tasks, [&job, loss, failures, candidates](std::size_t task) {
    failures[task] = score_panel<F>(job, task, loss + task * (candidates + 1)) ? 0 : 1;
  });
  if (any_failed()) return make_error(errc::out_of_memory, "no memory for a panel of rows");
  std::size_t best = 0;
  for (std::size_t k = 0; k <= candidates; ++k) {
    double total = 0;
    for (std::size_t t = 0; t < tasks; ++t) total += loss[t * (candidates + 1) + k];
    if (k == candidates)
      out.energy = total;
    else if (k == 0)
      out.loss_rounded = out.loss_scaled = total;
    else if (total < out.loss_scaled)
      out.loss_scaled = total, best = k;
  }
  // Clipping likes milder scales than plain rounding does: the choice is made again with it, over every third exponent.
  float* const stacked = out.weights.data();
  const int limits = o.clip ? o.clip_steps : 1;
  const auto clip = [&](std::size_t k) {
    job.scales = grid->data() + k * cols, job.importance = importance + k * cols;
    ex(tasks, [&job, loss, failures, stacked, limits](std::size_t task) {
      failures[task] = clip_panel<F>(job, task, limits, stacked, loss + task) ? 0 : 1;
    });
    double total = 0;
    for (std::size_t t = 0; t < tasks; ++t) total += loss[t];
    return total;
  };
  std::size_t last = candidates;
  const auto reconsider = [&](std::size_t k) {
    const double total = clip(k);
    if (last == candidates || total < out.loss) out.loss = total, best = k;
    last = k;
  };
  const std::size_t unclipped = best;
  if (o.clip)
    for (std::size_t k = 0; k < candidates; k += 3)
      if (k != unclipped) reconsider(k);
  reconsider(unclipped);
  if (last != best) out.loss = clip(best);
  if (any_failed()) return make_error(errc::out_of_memory, "no memory for a panel of rows");
  if (best != 0) out.exponent = static_cast<float>(best - 1) / static_cast<float>(o.steps);
  for (std::size_t c = 0; c < cols; ++c) out.scales[c] = (*grid)[best * cols + c];
  return out;
}

/// The same for one linear.
template <weight_format F, class Executor = serial>
result<awq_result> awq(matrix_view<const float> w, const hessian& h, const awq_options& o = {}, Executor&& ex = {}) {
  return awq<F>(std::span<const matrix_view<const float>>(&w, 1), h, o, ex);
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif  // NBIT_NO_HEAP
#endif
// END nbit/solver/awq.hpp
// BEGIN nbit/solver/factor.hpp
// nbit/solver/factor.hpp — a Gram matrix made safe to solve with, and its factor H = (S + I) D (S + I)^T, S strictly
// upper.
//
// With this factor the loss of an error E is sum_j D_j |e_j + sum_{i<j} e_i S_ij|^2: rounding column j of
// W + (W - W^) S to nearest is GPTQ, and no inverse is needed (Chee et al. 2023). A metric never fails to exist: where
// the factorization breaks down the damping grows, then small diagonals are raised, and at last only the diagonal
// stays, which makes every solver a weighted rounding. The report says which rung was taken.
#ifndef NBIT_SOLVER_FACTOR_HPP
#define NBIT_SOLVER_FACTOR_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#if !defined(NBIT_NO_HEAP)

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// How far down the ladder a solver had to go to get a factor.
enum class ladder_rung : std::uint8_t {
  as_asked,       // the damping that was asked for
  more_damping,   // ten times as much, perhaps more than once, up to the mean of the diagonal
  raised_floor,   // small diagonal entries raised to a share of the largest
  diagonal_only,  // correlations dropped: weighted rounding
};

/// What it took to make a usable metric from a Gram matrix.
struct metric_report {
  ladder_rung rung = ladder_rung::as_asked;
  double damping = 0;               // added to the diagonal, as a share of its mean
  double floor = 0;                 // raised_floor: the least diagonal entry, as a share of the largest
  double shrinkage = 0;             // share of the off-diagonal entries taken away
  std::size_t dead_columns = 0;     // inputs that were always 0: their weights are rounded to nearest
  std::size_t cleaned_columns = 0;  // inputs whose statistics were NaN, infinite or negative: treated as uncorrelated
};

/// How a Gram matrix is made safe.
struct metric_options {
  double damping = 0.01;  // share of the mean diagonal that is added to the diagonal
  bool shrink = true;     // take the sampling noise out of the correlations (hessian::shrinkage)
};

/// A metric in solving order, scaled so that live diagonal entries of the Gram matrix have mean 1.
struct metric {
  std::size_t cols = 0, stride = 0;
  buffer<float> h;  // the damped matrix, full and symmetric; padded columns are zero
  buffer<float> s;  // S above the diagonal (the rest is unspecified)
  buffer<float> d;  // D
  metric_report report = {};

  NBIT_INLINE metric() noexcept = default;
  NBIT_INLINE metric(metric&&) noexcept = default;
  NBIT_INLINE metric& operator=(metric&&) noexcept = default;
  NBIT_INLINE ~metric() = default;
};

inline namespace NBIT_TAG {
namespace detail {

inline constexpr std::size_t factor_block = 64;

/// Factors the last block (rows and columns first .. last) in double; false when a pivot is not safely positive.
inline bool factor_diagonal(float* s, std::size_t stride, float* d, std::size_t first, std::size_t last,
                            const float* diagonal, double* block) {
  NBIT_EXACT
  const std::size_t n = last - first;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i; j < n; ++j)
      block[i * factor_block + j] = static_cast<double>(s[(first + i) * stride + first + j]);
  for (std::size_t k = n; k-- > 0;) {
    const double pivot = block[k * factor_block + k];
    if (!(pivot > 4e-7 * static_cast<double>(diagonal[first + k])) || !(pivot < 1e30)) return false;
    d[first + k] = static_cast<float>(pivot);
    for (std::size_t i = 0; i < k; ++i) {
      const double share = block[i * factor_block + k] / pivot;
      for (std::size_t j = i; j < k; ++j) block[i * factor_block + j] -= share * block[j * factor_block + k];
    }
    for (std::size_t i = 0; i < k; ++i) block[i * factor_block + k] /= pivot;
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j)
      s[(first + i) * stride + first + j] = static_cast<float>(block[i * factor_block + j]);
  return true;
}

/// Factors the upper triangle of s in place; false when the matrix is not positive definite in this precision.
/// transposed: 2 * factor_block * stride floats of scratch; block: factor_block^2 doubles.
/// Cost: cols^3 / 3 multiply-adds.
template <class Executor>
inline bool factor_upper(float* s, std::size_t cols, std::size_t stride, float* d, const float* diagonal,
                         float* transposed, double* block, Executor&& ex) {
  float* const scaled = transposed + factor_block * stride;
  for (std::size_t b = (cols + factor_block - 1) / factor_block; b-- > 0;) {
    const std::size_t first = b * factor_block, last = first + factor_block < cols ? first + factor_block : cols;
    if (!factor_diagonal(s, stride, d, first, last, diagonal, block)) return false;
    // The columns of this block above it: B = U_b D U_c^T, solved for X = U_b D with rows and columns swapped.
    ex(b, [=](std::size_t strip) {
      NBIT_EXACT
      const std::size_t from = strip * factor_block;
      for (std::size_t k = last - first; k-- > 0;) {
        float* const x = transposed + k * stride + from;
        for (std::size_t i = 0; i < factor_block; ++i) x[i] = s[(from + i) * stride + first + k];
        for (std::size_t m = k + 1; m < last - first; ++m) {
          const float u = s[(first + k) * stride + first + m];
          const float* const other = transposed + m * stride + from;
          for (std::size_t i = 0; i < factor_block; ++i) x[i] -= u * other[i];
        }
        float* const y = scaled + k * stride + from;
        const float inverse = 1.0f / d[first + k];
        for (std::size_t i = 0; i < factor_block; ++i) y[i] = x[i] * inverse;
        for (std::size_t i = 0; i < factor_block; ++i) s[(from + i) * stride + first + k] = y[i];
      }
    });
    // What is left of the upper triangle: A -= U_b D U_b^T.
    ex(b, [=](std::size_t strip) {
      const std::size_t from = strip * factor_block;
      add_product({s + from * stride + from, stride, scaled + from, stride, transposed + from, stride, factor_block,
                   first - from, last - first, -1.0f});
    });
  }
  return true;
}

/// Makes dead and unusable columns independent with a diagonal entry of 1, and drops entries that are not numbers.
inline void clean_metric(metric& m) {
  const std::size_t n = m.cols;
  const auto usable = [](float diagonal) { return diagonal > 0.0f && diagonal <= 1e30f; };
  for (std::size_t j = 0; j < n; ++j) m.d[j] = m.h[j * m.stride + j];
  for (std::size_t j = 0; j < n; ++j) {
    bool dropped = false;
    float* const row = m.h.data() + j * m.stride;
    for (std::size_t i = 0; i < n; ++i) {
      const bool both = usable(m.d[i]) && usable(m.d[j]);
      if (i == j) {
        row[i] = both ? row[i] : 1.0f;
      } else if (!both) {
        row[i] = 0.0f;
      } else if (!(abs(row[i]) <= 1e30f)) {
        row[i] = 0.0f, dropped = true;
      }
    }
    if (m.d[j] == 0.0f)
      ++m.report.dead_columns;
    else if (dropped || !usable(m.d[j]))
      ++m.report.cleaned_columns;
  }
}

/// Factors m.h down the ladder. diagonal: cols floats of scratch.
template <class Executor>
inline void climb_down(metric& m, double damping, float* diagonal, float* transposed, double* block, Executor&& ex) {
  NBIT_EXACT
  const std::size_t n = m.cols;
  float largest = 0.0f;
  for (std::size_t j = 0; j < n; ++j) {
    diagonal[j] = m.h[j * m.stride + j];
    largest = diagonal[j] > largest ? diagonal[j] : largest;
  }
  const auto attempt = [&](double added, float least) {
    for (std::size_t j = 0; j < n; ++j) {
      const float raised = diagonal[j] < least ? least : diagonal[j];
      m.h[j * m.stride + j] = static_cast<float>(static_cast<double>(raised) + added);
    }
    m.report.damping = added;
    for (std::size_t k = 0; k < n * m.stride; ++k) m.s[k] = m.h[k];
    // Pivots are compared with the diagonal as it went in.
    float* const entered = transposed + 2 * factor_block * m.stride;
    for (std::size_t j = 0; j < n; ++j) entered[j] = m.h[j * m.stride + j];
    return factor_upper(m.s.data(), n, m.stride, m.d.data(), entered, transposed, block, ex);
  };
  m.report.rung = ladder_rung::as_asked;
  if (attempt(damping, 0.0f)) return;
  m.report.rung = ladder_rung::more_damping;
  double more = damping;
  while (more < 1.0) {
    more = more < 1e-4 ? 1e-4 : more * 10 > 1.0 ? 1.0 : more * 10;
    if (attempt(more, 0.0f)) return;
  }
  m.report.rung = ladder_rung::raised_floor;
  for (double share = 1e-6; share < 0.5; share *= 10) {
    m.report.floor = share;
    if (attempt(more, static_cast<float>(share * static_cast<double>(largest)))) return;
  }
  m.report.rung = ladder_rung::diagonal_only, m.report.damping = damping, m.report.floor = 0;
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < m.stride; ++i) m.h[j * m.stride + i] = m.s[j * m.stride + i] = 0.0f;
    m.h[j * m.stride + j] = m.d[j] = static_cast<float>(static_cast<double>(diagonal[j]) + damping);
  }
}

/// Makes the metric of a Gram matrix. place: where each column goes, or empty.
/// Errors: out_of_memory, overflow.  Memory: two cols^2 floats.
template <class Executor>
inline result<metric> make_metric(const hessian& gram, std::span<const std::uint32_t> place, const metric_options& o,
                                  Executor&& ex) {
  const std::size_t n = gram.cols(), stride = (n + 15) / 16 * 16;
  if (stride > 0xffffffffu / 4) return make_error(errc::overflow, "too many columns for a metric", "up to 2^30");
  auto h = buffer<float>::zeros(n * stride);
  auto s = buffer<float>::make(n * stride);
  auto d = buffer<float>::zeros(n);
  auto diagonal = buffer<float>::make(n);
  auto transposed = buffer<float>::make((2 * factor_block + 1) * stride + factor_block);
  auto block = buffer<double>::make(factor_block * factor_block);
  if (!h) return h.error();
  if (!s) return s.error();
  if (!d) return d.error();
  if (!diagonal) return diagonal.error();
  if (!transposed) return transposed.error();
  if (!block) return block.error();
  metric m;
  m.cols = n, m.stride = stride;
  m.h = *std::move(h), m.s = *std::move(s), m.d = *std::move(d);
  m.report.shrinkage = o.shrink ? gram.shrinkage() : 0.0;
  const double mean = gram.mean_diagonal();
  gram.write({m.h.data(), n, n, stride}, m.report.shrinkage, mean > 0 ? 1.0 / mean : 1.0, place);
  clean_metric(m);
  climb_down(m, o.damping > 0 ? o.damping : 0.0, diagonal->data(), transposed->data(), block->data(), ex);
  return m;
}

/// Joins every `step` columns to one: the diagonal blocks of S become zero and the rows above them take their inverse
/// along (H = (S + I) D (S + I)^T with D block-diagonal), for formats that round `step` weights to one lattice point.
inline void join_columns(metric& m, std::size_t step) {
  NBIT_EXACT
  for (std::size_t first = 0; first + step <= m.cols; first += step)
    for (std::size_t i = 0; i < first; ++i) {
      float* const row = m.s.data() + i * m.stride + first;
      for (std::size_t k = 0; k < step; ++k)
        for (std::size_t l = 0; l < k; ++l) row[k] -= row[l] * m.s[(first + l) * m.stride + first + k];
    }
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif  // NBIT_NO_HEAP
#endif
// END nbit/solver/factor.hpp
// BEGIN nbit/solver/fold.hpp
// nbit/solver/fold.hpp — moves channel scales into the layers around a linear, so that they cost nothing at inference.
//
// After awq the inputs of a linear have to be divided by scales s. Whatever makes those inputs can do it:
//   norm -> q, k, v and norm -> gate, up     fold_into_norm
//   v -> o (as many outputs as o has inputs), up -> down     fold_into_rows
// Where nothing can absorb them, keep s and divide the inputs.
#ifndef NBIT_SOLVER_FOLD_HPP
#define NBIT_SOLVER_FOLD_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// How a normalisation layer uses its weight.
enum class norm_weight : std::uint8_t {
  plain,     // x * w
  plus_one,  // x * (1 + w), as Gemma stores it
};

inline namespace NBIT_TAG {
namespace detail {
inline result<void> check_scales(std::span<const float> scales) {
  for (std::size_t c = 0; c < scales.size(); ++c)
    if (!(is_finite(scales[c]) && scales[c] > 0.0f))
      return make_error(errc::invalid_option, "scale is not a positive finite number", "numbers above 0")
          .about("scales")
          .at(std::int64_t{0}, static_cast<std::int64_t>(c));
  return {};
}
}  // namespace detail

/// Divides what a norm hands on by the scales. bias: the norm's, or empty.  Errors: shape, invalid_option; then nothing
/// changed.
inline result<void> fold_into_norm(std::span<float> weight, std::span<float> bias, std::span<const float> scales,
                                   norm_weight kind = norm_weight::plain) {
  NBIT_EXACT
  if (weight.size() != scales.size() || (!bias.empty() && bias.size() != scales.size()))
    return make_error(errc::shape, "norm has another length than the scales", "one number for each scale")
        .with(static_cast<std::int64_t>(weight.size()));
  if (auto fine = detail::check_scales(scales); !fine) return fine;
  for (std::size_t c = 0; c < scales.size(); ++c) {
    weight[c] = kind == norm_weight::plain ? weight[c] / scales[c] : (1.0f + weight[c]) / scales[c] - 1.0f;
    if (!bias.empty()) bias[c] /= scales[c];
  }
  return {};
}

/// Divides the last scales.size() outputs of a linear by the scales (a fused q, k, v ends with v; gate, up with up).
/// bias: one per row, or empty.  Errors: shape if it has fewer outputs (grouped-query v -> o cannot be folded),
/// invalid_option; then nothing changed.
inline result<void> fold_into_rows(matrix_view<float> producer, std::span<float> bias, std::span<const float> scales) {
  if (producer.rows < scales.size() || (!bias.empty() && bias.size() != producer.rows))
    return make_error(errc::shape, "producer has fewer outputs than there are scales",
                      "at least as many rows as scales")
        .with(static_cast<std::int64_t>(producer.rows));
  if (auto fine = detail::check_scales(scales); !fine) return fine;
  const std::size_t first = producer.rows - scales.size();
  for (std::size_t r = 0; r < scales.size(); ++r) {
    for (float& v : producer.row(first + r)) v /= scales[r];
    if (!bias.empty()) bias[first + r] /= scales[r];
  }
  return {};
}

/// Multiplies the columns of a linear by the scales: the other half of a fold, for weights that awq did not scale
/// itself. Errors: shape, invalid_option; then nothing changed.
inline result<void> fold_into_columns(matrix_view<float> consumer, std::span<const float> scales) {
  if (consumer.cols != scales.size())
    return make_error(errc::shape, "consumer has another number of columns than there are scales",
                      "one column for each scale")
        .with(static_cast<std::int64_t>(consumer.cols));
  if (auto fine = detail::check_scales(scales); !fine) return fine;
  for (std::size_t r = 0; r < consumer.rows; ++r)
    for (std::size_t c = 0; c < consumer.cols; ++c) consumer(r, c) *= scales[c];
  return {};
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/solver/fold.hpp
// BEGIN nbit/solver/gptq.hpp
// nbit/solver/gptq.hpp — codes that lower the error of a layer's output, not of its weights, for any format.
//
// Columns are rounded one after another, each moved by what the errors of the earlier ones ask for; then every code is
// reconsidered with all others held fixed, a few times. Parameters are fitted first, weighted by how large each input
// is, and solved in activation order; files keep their plain column order. So the same solver serves uniform integers,
// codebooks, k-quants (whose blocks are fitted once and then frozen), lattices and formats of a user.
#ifndef NBIT_SOLVER_GPTQ_HPP
#define NBIT_SOLVER_GPTQ_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

// BEGIN nbit/solver/gptq_panel.hpp
// nbit/solver/gptq_panel.hpp — the column loop of GPTQ for 32 rows: fit, round with error feedback, descend.
//
// Rows know nothing of each other, so a panel of rows is a task. Inside it everything is transposed (the 32 numbers of
// a column side by side). Feedback from far columns comes 32 columns at a time as a matrix product, from near ones
// column by column. Blocking changes the speed and the last bits of sums, never which algorithm it is. Ref: Frantar et
// al. 2023; the factor's form: Chee et al. 2023.
#ifndef NBIT_SOLVER_GPTQ_PANEL_HPP
#define NBIT_SOLVER_GPTQ_PANEL_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/solver/search.hpp
// nbit/solver/search.hpp — better parameters for a group than its format's own fit: a search over scaled copies.
//
// A format knows how to fit parameters to numbers, and nothing else is asked of it: candidates are fits of the group
// multiplied by a factor, judged by the weighted error of the true weights. Asymmetric formats are then offered copies
// whose negative and positive sides are scaled apart. The format's own fit is always a candidate, so a search never
// loses to it.
#ifndef NBIT_SOLVER_SEARCH_HPP
#define NBIT_SOLVER_SEARCH_HPP

#include <cstddef>
#include <cstdint>
#include <span>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// The grid of factors: a coarse one from `from` to `to`, then `fine_steps` on both sides of the best.
struct search_options {
  float from = 0.30f, to = 1.10f;
  int coarse_steps = 16;  // 0 leaves the format's own fit
  int fine_steps = 4;
  bool two_sided = true;  // scale the negative and the positive weights apart, where the format is asymmetric
};

inline namespace NBIT_TAG {
namespace detail {

/// Sum over the group of importance * (w - nearest value)^2, given up once it exceeds `enough`; never NaN.
template <weight_format F>
inline float group_error(std::span<const float> w, std::span<const float> importance, const typename F::params& p,
                         float enough) {
  NBIT_EXACT
  float sum = 0.0f;
  const int n = static_cast<int>(w.size());
  if constexpr (lattice_format<F>) {
    float values[std::size_t(step_of<F>)];
    for (int i = 0; i < n; i += step_of<F>) {
      F::value(static_cast<int>(F::code(w.subspan(std::size_t(i), std::size_t(step_of<F>)), p, i)), p, i,
               std::span<float>(values));
      for (int k = 0; k < step_of<F>; ++k) {
        const float e = w[std::size_t(i + k)] - values[k];
        sum += (importance.empty() ? 1.0f : importance[std::size_t(i + k)]) * (e * e);
      }
    }
  } else {
    // Eight sums side by side, added at the end of every 32 weights.
    constexpr int lanes = 8;
    for (int first = 0; first < n && sum <= enough; first += 4 * lanes) {
      float part[lanes] = {};
      const int last = n - first < 4 * lanes ? n : first + 4 * lanes;
      for (int i = first; i < last; ++i) {
        const float v = w[std::size_t(i)];
        const float e = v - F::value(static_cast<int>(F::code(v, p, i)), p, i);
        part[i % lanes] += importance.empty() ? e * e : importance[std::size_t(i)] * (e * e);
      }
      sum += ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    }
  }
  return sum <= 3e38f ? sum : 3.4e38f;
}

/// Parameters for one group by search. scratch: as many floats as w.
/// Needs: importance is empty or as long as w, its entries finite and not negative.
template <weight_format F>
inline typename F::params search_group(std::span<const float> w, std::span<const float> importance,
                                       const search_options& o, float* scratch) {
  NBIT_EXACT
  const std::size_t n = w.size();
  typename F::params best = F::fit(w, importance);
  if (o.coarse_steps <= 0) return best;
  float least = group_error<F>(w, importance, best, 3e38f);
  float negative = 1.0f, positive = 1.0f;
  const auto attempt = [&](float below, float above) {
    for (std::size_t i = 0; i < n; ++i) scratch[i] = w[i] * (w[i] < 0.0f ? below : above);
    const typename F::params p = F::fit(std::span<const float>(scratch, n), importance);
    const float error = group_error<F>(w, importance, p, least);
    if (error < least) least = error, best = p, negative = below, positive = above;
  };
  const float step = (o.to - o.from) / static_cast<float>(o.coarse_steps);
  for (int k = 0; k <= o.coarse_steps; ++k) {
    const float s = o.from + step * static_cast<float>(k);
    attempt(s, s);
  }
  const float fine = step / static_cast<float>(o.fine_steps + 1);
  const float center = positive;
  for (int k = 1; k <= o.fine_steps; ++k) {
    const float away = fine * static_cast<float>(k);
    attempt(center - away, center - away);
    attempt(center + away, center + away);
  }
  if (o.two_sided && has_offset<F>) {
    // One side at a time, in steps that halve.
    for (float move = step; move > 0.4f * fine; move *= 0.5f) {
      const float n0 = negative, p0 = positive;
      attempt(n0 - move, p0);
      attempt(n0 + move, p0);
      const float n1 = negative;
      attempt(n1, p0 - move);
      attempt(n1, p0 + move);
    }
  }
  return best;
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/solver/search.hpp

#if !defined(NBIT_NO_HEAP)

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// In which order columns are rounded. The stored order is the natural one always, unless groups are fitted on the way
/// in activation order.
enum class column_order : std::uint8_t {
  natural,
  activation,   // largest diag(H) first
  group_aware,  // groups by their largest diag(H), columns likewise inside each: contiguous groups in solving order
};

/// When a group's parameters are fitted.
enum class group_fit : std::uint8_t {
  upfront,    // on the original weights, before anything is rounded
  refreshed,  // when its first column is reached, on the weights with all feedback so far
  published,  // the same, without the feedback of the current 128 columns, as the first implementation has it
};

/// How a group's parameters are found.
enum class grid_search : std::uint8_t {
  min_max,   // the format's own fit, every weight alike
  squared,   // search for the least squared error
  weighted,  // search for the least squared error weighted by diag(H)
};

namespace detail {
/// What every panel of one solve reads, and the rows' losses it writes. "By position": in solving order.
template <weight_format F>
struct gptq_job {
  const metric* m = nullptr;
  matrix_view<const float> w = {};
  coded_matrix<F>* out = nullptr;
  std::span<const std::uint32_t> order, place;  // column at a position; position of a column
  std::span<const std::uint32_t> group_at;      // group by position
  std::span<const float> importance;            // by column; empty: all alike
  group_fit groups = group_fit::upfront;
  search_options search = {};
  int passes = 0;
  double* rounded = nullptr;  // by row: loss of plain rounding with the same parameters
  double* solved = nullptr;   // by row: loss of what was stored
  double* energy = nullptr;   // by row: loss of storing zeros
};
}  // namespace detail

inline namespace NBIT_TAG {
namespace detail {

/// Parameters of one group, by the format's own encoder or by search.
template <weight_format F>
inline typename F::params fit_group(std::span<const float> w, std::span<const float> importance, float mean_square,
                                    const search_options& search, float* scratch, code_t<F>* codes) {
  if constexpr (encodes_itself<F>) {
    typename F::params p{};
    F::encode(w, importance, mean_square, p, std::span<code_t<F>>(codes, w.size() / std::size_t(step_of<F>)));
    return p;
  } else {
    return search_group<F>(w, importance, search, scratch);
  }
}

/// Position of a column inside its group, as the format counts.
template <weight_format F>
NBIT_INLINE int place_in_group(std::size_t column) {
  if constexpr (F::group > 0)
    return static_cast<int>(column % std::size_t(F::group));
  else
    return static_cast<int>(column);
}

/// The state of one panel.
template <weight_format F>
struct gptq_panel {
  const gptq_job<F>* job;
  std::size_t first_row, rows;
  float* w;      // [position][row]
  float* e;      // w - value, [position][row]
  float* extra;  // as large as w: compensated weights of a group, then errors of plain rounding
  float sums[panel_columns * panel_rows];
};

template <weight_format F>
inline void fit_panel(gptq_panel<F>& p) {
  if constexpr (F::group != per_tensor) {
    const gptq_job<F>& job = *p.job;
    const std::size_t cols = job.w.cols, length = group_length<F>(cols);
    for (std::size_t r = 0; r < p.rows; ++r) {
      const std::span<const float> row = job.w.row(p.first_row + r);
      float mean_square = 0.0f;
      if constexpr (encodes_itself<F>) mean_square = row_mean_square(row);
      for (std::size_t first = 0, g = 0; first < cols; first += length, ++g) {
        const std::size_t n = cols - first < length ? cols - first : length;
        const std::span<const float> importance =
            job.importance.empty() ? job.importance : job.importance.subspan(first, n);
        job.out->params[job.out->params_index(p.first_row + r, g)] =
            fit_group<F>(row.subspan(first, n), importance, mean_square, job.search, p.e,
                         job.out->row_codes(p.first_row + r) + first / std::size_t(step_of<F>));
      }
    }
  }
}

/// Fits the group that begins at position `first` on the weights as the feedback of earlier columns left them.
template <weight_format F>
inline void refit_group(gptq_panel<F>& p, std::size_t first) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  const std::size_t cols = job.w.cols, group = job.group_at[first];
  std::size_t last = first;
  while (last < cols && job.group_at[last] == group) ++last;
  const std::size_t known = job.groups == group_fit::published ? first / 128 * 128 : first;
  // Moving the free columns to where they undo the known errors best is y U = x, U the free columns' part of S + I.
  const std::size_t n = last - known;
  float* const y = p.extra;
  for (std::size_t k = 0; k < n * panel_rows; ++k) y[k] = 0.0f;
  add_product({y, panel_rows, m.s.data() + known, m.stride, p.e, panel_rows, n, panel_rows, known, 1.0f});
  for (std::size_t k = 0; k < n; ++k)
    for (std::size_t i = 0; i < k; ++i) {
      const float u = m.s[(known + i) * m.stride + known + k];
      for (std::size_t r = 0; r < panel_rows; ++r) y[k * panel_rows + r] -= u * y[i * panel_rows + r];
    }
  // One row of the group at a time, in stored order; in activation order a group is columns by rank.
  const std::size_t length = last - first;
  float* const values = p.extra + n * panel_rows;
  float* const weights = values + length;
  float* const scratch = weights + length;
  code_t<F>* const codes = reinterpret_cast<code_t<F>*>(scratch + length);
  const bool by_rank = !job.out->group_index.empty();
  for (std::size_t r = 0; r < p.rows; ++r) {
    for (std::size_t k = 0; k < length; ++k) {
      const std::size_t column = job.order[first + k];
      const std::size_t at = by_rank ? k : static_cast<std::size_t>(place_in_group<F>(column));
      const float v = p.w[(first + k) * panel_rows + r] + y[(first - known + k) * panel_rows + r];
      values[at] = is_finite(v) ? v : p.w[(first + k) * panel_rows + r];
      weights[at] = job.importance.empty() ? 1.0f : job.importance[column];
    }
    const std::span<const float> group_weights(weights, job.importance.empty() ? 0 : length);
    const std::span<const float> group_values(values, length);
    job.out->params[job.out->params_index(p.first_row + r, group)] =
        fit_group<F>(group_values, group_weights, row_mean_square(group_values), job.search, scratch, codes);
  }
}

/// Rounds the unit of columns at a position to the targets t[k][row] and stores codes and errors.
template <weight_format F>
inline void round_unit(gptq_panel<F>& p, std::size_t position, const float* targets) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t column = job.order[position];
  const int at = place_in_group<F>(column);
  const float* const w = p.w + position * panel_rows;
  float* const e = p.e + position * panel_rows;
  for (std::size_t r = 0; r < p.rows; ++r) {
    const typename F::params& params = job.out->params[job.out->params_index(p.first_row + r, job.group_at[position])];
    code_t<F>& stored = job.out->row_codes(p.first_row + r)[column / step];
    if constexpr (lattice_format<F>) {
      float point[step], value[step];
      for (std::size_t k = 0; k < step; ++k) {
        const float t = targets[k * panel_rows + r];
        point[k] = is_finite(t) ? t : w[k * panel_rows + r];
      }
      const int c = static_cast<int>(F::code(std::span<const float>(point), params, at));
      F::value(c, params, at, std::span<float>(value));
      stored = static_cast<code_t<F>>(c);
      for (std::size_t k = 0; k < step; ++k) {
        const float error = w[k * panel_rows + r] - value[k];
        e[k * panel_rows + r] = is_finite(error) ? error : 0.0f;
      }
    } else {
      const float t = targets[r];
      const int c = static_cast<int>(F::code(is_finite(t) ? t : w[r], params, at));
      const float error = w[r] - F::value(c, params, at);
      stored = static_cast<code_t<F>>(c);
      e[r] = is_finite(error) ? error : 0.0f;
    }
  }
}

/// The greedy pass: every column is rounded to its weight plus the feedback of the errors before it.
template <weight_format F>
inline void round_panel(gptq_panel<F>& p) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols;
  for (std::size_t first = 0; first < cols; first += panel_columns) {
    const std::size_t n = cols - first < panel_columns ? cols - first : panel_columns;
    for (std::size_t k = 0; k < n * panel_rows; ++k) p.sums[k] = p.w[first * panel_rows + k];
    add_product({p.sums, panel_rows, m.s.data() + first, m.stride, p.e, panel_rows, n, panel_rows, first, 1.0f});
    for (std::size_t j = 0; j < n; j += step) {
      const std::size_t position = first + j;
      if (job.groups != group_fit::upfront && (position == 0 || job.group_at[position] != job.group_at[position - 1]))
        refit_group<F>(p, position);
      for (std::size_t k = j; k < j + step; ++k) {
        float* const t = p.sums + k * panel_rows;
        for (std::size_t i = 0; i < j; ++i) {
          const float u = m.s[(first + i) * m.stride + first + k];
          const float* const e = p.e + (first + i) * panel_rows;
          for (std::size_t r = 0; r < panel_rows; ++r) t[r] += u * e[r];
        }
      }
      round_unit<F>(p, position, p.sums + j * panel_rows);
    }
  }
}

/// One pass of cyclic descent: each unit moves to the code that lowers the loss with all others held; false if none
/// moved.
template <weight_format F>
inline bool descend_panel(gptq_panel<F>& p) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols;
  float moved_by[panel_columns * panel_rows];
  bool moved = false;
  for (std::size_t first = 0; first < cols; first += panel_columns) {
    const std::size_t n = cols - first < panel_columns ? cols - first : panel_columns;
    for (float& v : p.sums) v = 0.0f;
    for (float& v : moved_by) v = 0.0f;
    // Half the gradient, e H, as it is when the block begins; moves inside the block are added as they happen.
    add_product({p.sums, panel_rows, m.h.data() + first, m.stride, p.e, panel_rows, n, panel_rows, cols, 1.0f});
    for (std::size_t j = 0; j < n; j += step) {
      for (std::size_t k = j; k < j + step; ++k)
        for (std::size_t i = 0; i < j; ++i) {
          const float u = m.h[(first + i) * m.stride + first + k];
          for (std::size_t r = 0; r < panel_rows; ++r) p.sums[k * panel_rows + r] += u * moved_by[i * panel_rows + r];
        }
      const std::size_t position = first + j, column = job.order[position];
      const int at = place_in_group<F>(column);
      const float* const h = m.h.data() + position * m.stride + position;
      for (std::size_t r = 0; r < p.rows; ++r) {
        const typename F::params& params =
            job.out->params[job.out->params_index(p.first_row + r, job.group_at[position])];
        float target[step], value[step], change[step];
        bool fine = true;
        for (std::size_t k = 0; k < step; ++k) {
          const std::size_t here = (position + k) * panel_rows + r;
          const float t = p.w[here] - p.e[here] + p.sums[(j + k) * panel_rows + r] / h[k * m.stride + k];
          fine &= is_finite(t);
          target[k] = t;
        }
        if (!fine) continue;
        int c = 0;
        if constexpr (lattice_format<F>) {
          c = static_cast<int>(F::code(std::span<const float>(target), params, at));
          F::value(c, params, at, std::span<float>(value));
        } else {
          c = static_cast<int>(F::code(target[0], params, at));
          value[0] = F::value(c, params, at);
        }
        code_t<F>& stored = job.out->row_codes(p.first_row + r)[column / step];
        if (stored == static_cast<code_t<F>>(c)) continue;
        // The loss changes by 2 change . gradient + change H change^T; move only when that is less than nothing.
        float gain = 0.0f;
        for (std::size_t k = 0; k < step; ++k) {
          const std::size_t here = (position + k) * panel_rows + r;
          change[k] = p.w[here] - value[k] - p.e[here];
          gain += 2.0f * change[k] * p.sums[(j + k) * panel_rows + r];
          for (std::size_t l = 0; l < k; ++l) gain += 2.0f * change[k] * change[l] * h[k * m.stride + l];
          gain += change[k] * change[k] * h[k * m.stride + k];
        }
        if (!(gain < 0.0f)) continue;
        moved = true;
        stored = static_cast<code_t<F>>(c);
        for (std::size_t k = 0; k < step; ++k) {
          p.e[(position + k) * panel_rows + r] += change[k];
          moved_by[(j + k) * panel_rows + r] = change[k];
        }
      }
    }
  }
  return moved;
}

/// Measures rows, and goes back to plain rounding for a row where that is better in the same metric.
template <weight_format F>
inline void measure_panel(gptq_panel<F>& p) {
  NBIT_EXACT
  const gptq_job<F>& job = *p.job;
  const metric& m = *job.m;
  constexpr std::size_t step = std::size_t(step_of<F>);
  const std::size_t cols = job.w.cols;
  double solved[panel_rows], rounded[panel_rows], energy[panel_rows];
  quadratic_form(m.h.data(), m.stride, cols, p.e, solved);
  quadratic_form(m.h.data(), m.stride, cols, p.w, energy);
  // Errors of plain rounding with the same parameters.
  float* const error = p.extra;
  for (std::size_t k = 0; k < cols * panel_rows; ++k) error[k] = 0.0f;
  for (std::size_t position = 0; position < cols; position += step) {
    const std::size_t column = job.order[position];
    const int at = place_in_group<F>(column);
    for (std::size_t r = 0; r < p.rows; ++r) {
      const typename F::params& params =
          job.out->params[job.out->params_index(p.first_row + r, job.group_at[position])];
      float point[step], value[step];
      for (std::size_t k = 0; k < step; ++k) point[k] = p.w[(position + k) * panel_rows + r];
      code_t<F> c{};
      round_group<F>(std::span<const float>(point), params, at, &c);
      value_group<F>(&c, params, at, std::span<float>(value));
      for (std::size_t k = 0; k < step; ++k) {
        const float v = point[k] - value[k];
        error[(position + k) * panel_rows + r] = is_finite(v) ? v : 0.0f;
      }
    }
  }
  quadratic_form(m.h.data(), m.stride, cols, error, rounded);
  for (std::size_t r = 0; r < p.rows; ++r) {
    const std::size_t row = p.first_row + r;
    if (rounded[r] < solved[r]) {
      for (std::size_t position = 0; position < cols; position += step) {
        const std::size_t column = job.order[position];
        const typename F::params& params = job.out->params[job.out->params_index(row, job.group_at[position])];
        round_group<F>(job.w.row(row).subspan(column, step), params, place_in_group<F>(column),
                       job.out->row_codes(row) + column / step);
      }
      solved[r] = rounded[r];
    }
    job.solved[row] = solved[r], job.rounded[row] = rounded[r], job.energy[row] = energy[r];
  }
}

/// Solves rows [32 task, 32 task + 32).  Errors: out_of_memory, overflow.
template <weight_format F>
inline result<void> solve_panel(const gptq_job<F>& job, std::size_t task) {
  static_assert(panel_columns % std::size_t(step_of<F>) == 0, "nbit::gptq: a lattice format's step must divide 32");
  const std::size_t cells = job.w.cols * panel_rows;
  // Refitting keeps one row of a group beside the compensated weights: values, weights, scratch, codes.
  auto memory = buffer<float>::zeros(3 * cells + 4 * job.w.cols);
  if (!memory) return memory.error();
  gptq_panel<F> p;
  p.job = &job;
  p.first_row = task * panel_rows;
  p.rows = job.w.rows - p.first_row < panel_rows ? job.w.rows - p.first_row : panel_rows;
  p.w = memory->data(), p.e = p.w + cells, p.extra = p.e + cells;
  transpose_panel(job.w, p.first_row, job.place, p.w);
  if (job.groups == group_fit::upfront) {
    fit_panel<F>(p);
    for (std::size_t k = 0; k < job.w.cols; ++k) p.e[k] = 0.0f;  // was the search's scratch
  }
  round_panel<F>(p);
  for (int pass = 0; pass < job.passes; ++pass)
    if (!descend_panel<F>(p)) break;
  measure_panel<F>(p);
  return {};
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif  // NBIT_NO_HEAP
#endif
// END nbit/solver/gptq_panel.hpp

#if !defined(NBIT_NO_HEAP)

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// The recipe. The default needs no group index in files and costs nothing at inference.
struct gptq_options {
  double damping = 0.05;  // share of the mean diagonal added to the diagonal; >= 0
  bool shrink = true;     // take sampling noise out of the correlations first
  column_order order = column_order::activation;
  group_fit groups = group_fit::upfront;
  grid_search grid = grid_search::weighted;
  int passes = 4;                          // of coordinate descent on the codes; 0 to 1000
  std::span<const float> importance = {};  // weights for fitting, one per column; empty: diag(H)
  search_options search = {};              // the grid of squared and weighted searches
};

/// What a solve did. Losses are tr(E H E^T) in the metric that was minimised, in units where live inputs have mean
/// square 1; loss / energy is the relative error of the layer's output under that metric.
struct solve_report {
  metric_report metric = {};
  std::uint64_t tokens = 0;
  double loss_rounded = 0;  // of rounding each weight to nearest with the same parameters
  double loss = 0;          // of the codes returned; never above loss_rounded
  double energy = 0;        // of all-zero weights
};

/// Codes and report.
template <weight_format F>
struct gptq_result {
  coded_matrix<F> codes;
  solve_report report = {};

  NBIT_INLINE gptq_result() noexcept = default;
  NBIT_INLINE gptq_result(gptq_result&&) noexcept = default;
  NBIT_INLINE gptq_result& operator=(gptq_result&&) noexcept = default;
  NBIT_INLINE ~gptq_result() = default;
};

inline namespace NBIT_TAG {
namespace detail {

/// Writes the column at each position. Units of `step` neighbours stay together; equal columns keep their order.
inline void solving_order(std::span<const float> diagonal, column_order order, std::size_t step, std::size_t group,
                          std::uint32_t* columns, float* unit_weight, std::uint32_t* units) {
  const std::size_t cols = diagonal.size(), count = cols / step;
  for (std::size_t u = 0; u < count; ++u) {
    units[u] = static_cast<std::uint32_t>(u);
    float sum = 0.0f;
    for (std::size_t k = 0; k < step; ++k) sum += diagonal[u * step + k];
    unit_weight[u] = sum <= 3e38f ? sum : 0.0f;  // NaN: as if never used
  }
  const auto larger_first = [unit_weight](std::uint32_t a, std::uint32_t b) {
    return unit_weight[a] > unit_weight[b] || (unit_weight[a] == unit_weight[b] && a < b);
  };
  if (order == column_order::activation) {
    std::sort(units, units + count, larger_first);
  } else if (order == column_order::group_aware) {
    const std::size_t per_group = group / step, whole = count / per_group;
    for (std::size_t first = 0; first < count; first += per_group)
      std::sort(units + first, units + (count - first < per_group ? count : first + per_group), larger_first);
    // Whole groups by their first unit; a short last group stays last. Insertion by rank: groups are few.
    for (std::size_t g = 1; g < whole; ++g)
      for (std::size_t h = g; h > 0 && larger_first(units[h * per_group], units[(h - 1) * per_group]); --h)
        std::swap_ranges(units + h * per_group, units + (h + 1) * per_group, units + (h - 1) * per_group);
  }
  for (std::size_t u = 0; u < count; ++u)
    for (std::size_t k = 0; k < step; ++k)
      columns[u * step + k] = units[u] * static_cast<std::uint32_t>(step) + static_cast<std::uint32_t>(k);
}

template <weight_format F>
inline result<void> check_gptq(matrix_view<const float> w, const hessian& h, const gptq_options& o) {
  if (h.cols() != w.cols)
    return make_error(errc::shape, "statistics have another number of columns than the weights",
                      "one input for each column")
        .with(static_cast<std::int64_t>(h.cols()));
  if (!fits_format<F>(w.cols)) return shape_error<F>(w.cols);
  if (!(o.damping >= 0 && o.damping <= 1e6))
    return make_error(errc::invalid_option, "damping is out of range", "0 to 1e6").about("damping");
  if (o.passes < 0 || o.passes > 1000)
    return make_error(errc::invalid_option, "number of descent passes is out of range", "0 to 1000")
        .about("passes")
        .with(o.passes);
  if (!o.importance.empty() && o.importance.size() != w.cols)
    return make_error(errc::shape, "importance has another length than a row", "empty, or one number for each column")
        .about("importance")
        .with(static_cast<std::int64_t>(o.importance.size()));
  if (o.groups != group_fit::upfront) {
    if (F::group == per_tensor)
      return make_error(errc::invalid_option, "one group for the whole tensor can only be fitted upfront",
                        "group_fit::upfront")
          .about("groups");
    if (o.order == column_order::activation && (block_format<F> || lattice_format<F>))
      return make_error(errc::invalid_option, "this format cannot store groups of scattered columns",
                        "group_fit::upfront, or column_order::natural or group_aware")
          .about("groups");
  }
  return all_finite(w);
}

/// Weights for fitting: the option's, or the mean squares, made finite and positive, with mean 1.
inline bool fitting_weights(std::span<const float> from, std::span<float> out) {
  double sum = 0;
  std::size_t live = 0;
  for (const float v : from)
    if (v > 0.0f && v <= 3e38f) sum += static_cast<double>(v), ++live;
  if (live == 0) return false;
  const double scale = static_cast<double>(live) / sum;
  for (std::size_t c = 0; c < out.size(); ++c) {
    const double v = static_cast<double>(from[c]) * scale;
    out[c] = v >= 1e-5 ? static_cast<float>(v < 1e12 ? v : 1e12) : v < 1e-5 ? 1e-5f : 1.0f;
  }
  return true;
}

}  // namespace detail

/// Quantizes w (outputs x inputs) for inputs with the statistics h.
/// Errors: shape (h or importance of another width; a row that F cannot hold), not_finite with row and column of the
/// first bad weight, invalid_option, out_of_memory. Statistics never make it fail: see report.metric.
/// Cost: cols^3 / 3 + rows cols^2 (2 + passes) multiply-adds. Memory: 2 cols^2 floats, the codes, and for every task
/// that runs at a time 3 x 32 rows of floats.
template <weight_format F, class Executor = serial>
result<gptq_result<F>> gptq(matrix_view<const float> w, const hessian& h, const gptq_options& o = {},
                            Executor&& ex = {}) {
  using namespace detail;
  if (auto fine = check_gptq<F>(w, h, o); !fine) return fine.error();
  auto made = coded_matrix<F>::make(w.shape());
  if (!made) return made.error();
  gptq_result<F> out;
  out.codes = *std::move(made);
  out.report.tokens = h.tokens();
  if (w.empty()) return out;

  const std::size_t cols = w.cols, step = std::size_t(step_of<F>), group = group_length<F>(cols);
  if (cols > 0xffffffffu) return make_error(errc::overflow, "too many columns", "up to 2^32 - 1");
  auto floats = buffer<float>::make(3 * cols);
  auto indices = buffer<std::uint32_t>::make(4 * cols);
  auto losses = buffer<double>::zeros(3 * w.rows);
  const std::size_t tasks = (w.rows + panel_rows - 1) / panel_rows;
  auto failed = buffer<unsigned char>::zeros(tasks);
  if (!floats) return floats.error();
  if (!indices) return indices.error();
  if (!losses) return losses.error();
  if (!failed) return failed.error();
  const std::span<float> diagonal = floats->span().first(cols), weights = floats->span().subspan(cols, cols);
  std::uint32_t *const order = indices->data(), *const place = order + cols, *const group_at = place + cols;

  h.mean_square(diagonal);
  solving_order(diagonal, o.order, step, group, order, floats->data() + 2 * cols, group_at + cols);
  const bool scattered = o.groups != group_fit::upfront && o.order == column_order::activation && F::group > 0;
  for (std::size_t p = 0; p < cols; ++p) {
    place[order[p]] = static_cast<std::uint32_t>(p);
    group_at[p] = static_cast<std::uint32_t>((scattered ? p : order[p]) / group);
  }
  if (scattered) {
    auto index = buffer<std::uint32_t>::make(cols);
    if (!index) return index.error();
    for (std::size_t c = 0; c < cols; ++c) (*index)[c] = group_at[place[c]];
    out.codes.group_index = *std::move(index);
  }
  std::span<const float> importance;
  if (o.grid == grid_search::weighted && fitting_weights(o.importance.empty() ? diagonal : o.importance, weights))
    importance = weights;

  auto m = make_metric(h, std::span<const std::uint32_t>(place, cols), {o.damping, o.shrink}, ex);
  if (!m) return m.error();
  if (step > 1) join_columns(*m, step);
  out.report.metric = m->report;

  gptq_job<F> job = {};
  job.m = &*m, job.w = w, job.out = &out.codes;
  job.order = {order, cols}, job.place = {place, cols}, job.group_at = {group_at, cols};
  job.importance = importance, job.groups = o.groups, job.passes = o.passes;
  job.search = o.search;
  if (o.grid == grid_search::min_max) job.search.coarse_steps = 0;
  job.rounded = losses->data(), job.solved = job.rounded + w.rows, job.energy = job.solved + w.rows;
  if constexpr (F::group == per_tensor) {
    auto p = fit_tensor<F>(w, importance);
    if (!p) return p.error();
    out.codes.params[0] = *p;
  }

  unsigned char* const failures = failed->data();
  ex(tasks, [&job, failures](std::size_t task) { failures[task] = solve_panel<F>(job, task) ? 0 : 1; });
  for (std::size_t t = 0; t < tasks; ++t)
    if (failures[t] != 0) return make_error(errc::out_of_memory, "no memory for a panel of rows");
  for (std::size_t r = 0; r < w.rows; ++r) {
    out.report.loss_rounded += job.rounded[r];
    out.report.loss += job.solved[r];
    out.report.energy += job.energy[r];
  }
  return out;
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif  // NBIT_NO_HEAP
#endif
// END nbit/solver/gptq.hpp
// BEGIN nbit/solver/rtn.hpp
// nbit/solver/rtn.hpp — round to nearest: every group by itself, with the format's own encoder or with a search.
#ifndef NBIT_SOLVER_RTN_HPP
#define NBIT_SOLVER_RTN_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#if !defined(NBIT_NO_HEAP)

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

template <weight_format F>
inline result<coded_matrix<F>> start_rounding(matrix_view<const float> w, std::span<const float> importance) {
  if (!fits_format<F>(w.cols)) return shape_error<F>(w.cols);
  if (!importance.empty() && importance.size() != w.cols)
    return make_error(errc::shape, "importance has another length than a row", "empty, or one number for each column")
        .about("importance")
        .with(static_cast<std::int64_t>(importance.size()));
  for (std::size_t c = 0; c < importance.size(); ++c)
    if (!(importance[c] >= 0.0f && importance[c] <= 3e38f))
      return make_error(errc::not_finite, "importance is NaN, infinite or negative", "finite numbers from 0 up")
          .about("importance")
          .at(std::int64_t{0}, static_cast<std::int64_t>(c));
  if (auto fine = all_finite(w); !fine) return fine.error();
  auto made = coded_matrix<F>::make(w.shape());
  if (!made) return made.error();
  if constexpr (F::group == per_tensor) {
    if (!w.empty()) {
      auto p = fit_tensor<F>(w, importance);
      if (!p) return p.error();
      made->params[0] = *p;
    }
  }
  return made;
}

}  // namespace detail

/// Rounds every weight to nearest with the format's own encoder, or its fit. importance: one number per column that
/// says how much its error matters (mean x^2), or empty; what it changes is up to the format. Errors: shape, not_finite
/// with row and column, out_of_memory.
template <weight_format F, class Executor = serial>
result<coded_matrix<F>> round_to_nearest(matrix_view<const float> w, std::span<const float> importance = {},
                                         Executor&& ex = {}) {
  auto made = detail::start_rounding<F>(w, importance);
  if (!made) return made;
  coded_matrix<F>& q = *made;
  ex(w.rows, [&q, w, importance](std::size_t r) {
    detail::encode_row<F>(w.row(r), importance, q.row_codes(r), q.params.data() + q.params_index(r, 0));
  });
  return made;
}

/// Rounds to nearest with parameters searched for the least (weighted) squared error of each group. Formats with an
/// encoder of their own search already: they are passed to it.
/// Errors: shape, not_finite with row and column, out_of_memory.
template <weight_format F, class Executor = serial>
result<coded_matrix<F>> round_with_search(matrix_view<const float> w, std::span<const float> importance = {},
                                          const search_options& o = {}, Executor&& ex = {}) {
  if constexpr (encodes_itself<F> || F::group == per_tensor) {
    static_cast<void>(o);
    return round_to_nearest<F>(w, importance, ex);
  } else {
    auto made = detail::start_rounding<F>(w, importance);
    if (!made || w.empty()) return made;
    coded_matrix<F>& q = *made;
    const std::size_t tasks = (w.rows + 31) / 32, length = group_length<F>(w.cols);
    auto scratch = buffer<float>::make(tasks * length);
    if (!scratch) return scratch.error();
    float* const memory = scratch->data();
    ex(tasks, [&q, w, importance, &o, memory, length](std::size_t task) {
      for (std::size_t r = task * 32; r < w.rows && r < task * 32 + 32; ++r)
        for (std::size_t first = 0, g = 0; first < w.cols; first += length, ++g) {
          const std::size_t n = w.cols - first < length ? w.cols - first : length;
          typename F::params& p = q.params[q.params_index(r, g)];
          const std::span<const float> group = w.row(r).subspan(first, n);
          p = detail::search_group<F>(group, importance.empty() ? importance : importance.subspan(first, n), o,
                                      memory + task * length);
          detail::round_group<F>(group, p, 0, q.row_codes(r) + first / std::size_t(step_of<F>));
        }
    });
    return made;
  }
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif  // NBIT_NO_HEAP
#endif
// END nbit/solver/rtn.hpp

// BEGIN nbit/io/atomic_file.hpp
// nbit/io/atomic_file.hpp — a file that appears under its name complete, or not at all.
//
// Bytes go to a temporary beside the target; commit() writes out, syncs, renames it over the target and syncs the
// folder. A crash at any point leaves the old file or the new one. Without commit() the destructor removes the
// temporary; a program that is killed by a signal can do so itself: temporary_name() is constant from create() on. A
// target that is a symbolic link is replaced, not followed. POSIX gives these promises; elsewhere the rename is the C
// library's.
#ifndef NBIT_IO_ATOMIC_FILE_HPP
#define NBIT_IO_ATOMIC_FILE_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>  // rename, remove
#include <span>
#include <string>
#include <utility>

// BEGIN nbit/io/mapped_file.hpp
// nbit/io/mapped_file.hpp — a file's bytes, read only, without reading the file.
//
// POSIX maps the file; elsewhere it is read into memory once. A mapping shows what the file holds now: whoever shortens
// the file while it is mapped makes the next touch of the lost pages fail with SIGBUS. nbit's own writers never do
// that, they rename a finished file over the name (atomic_file.hpp), which leaves existing mappings intact.
#ifndef NBIT_IO_MAPPED_FILE_HPP
#define NBIT_IO_MAPPED_FILE_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

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
// END nbit/io/mapped_file.hpp

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
    static std::atomic<std::uint32_t> counter{0};
    const std::uint32_t n = counter.fetch_add(1, std::memory_order_relaxed);
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
// END nbit/io/atomic_file.hpp
// BEGIN nbit/io/awq_checkpoint.hpp
// nbit/io/awq_checkpoint.hpp — a linear as AutoAWQ stores it, in its three packings: gemm, gemv and gemv_fast.
//
//              gemm                       gemv                     gemv_fast                    N outputs, K inputs, G
//              groups
//   qweight    i32 [K, N / 8]             i32 [N, K / 8]           i16 [N / 4, K]               layout/awq_*.hpp,
//   linear qzeros     i32 [G, N / 8], as above   i32 [N, Z], in order     f16 [8 Z, N], -(scale zero) scales     f16
//   [G, N]                 f16 [N, 8 Z]             f16 [8 Z, N]
// Z words hold the zeros of G groups: G / 8 rounded up, to a multiple of 2 for groups under 128 and of 4 under 64; what
// is past the last group is 0. Codes have 4 bits, zeros are plain. Ref: AutoAWQ 0.2.9 (MIT); docs/formats.md.
#ifndef NBIT_IO_AWQ_CHECKPOINT_HPP
#define NBIT_IO_AWQ_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

// BEGIN nbit/io/checkpoint_tensor.hpp
// nbit/io/checkpoint_tensor.hpp — one tensor of a checkpoint as a file gives it, checked before anything believes it.
//
// The readers of checkpoints (AWQ, compressed-tensors, bitsandbytes, HQQ, planar GPTQ) take stored_tensors and give
// owned_tensors back: element type, shape and little-endian bytes. Where they came from does not matter.
#ifndef NBIT_IO_CHECKPOINT_TENSOR_HPP
#define NBIT_IO_CHECKPOINT_TENSOR_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

// BEGIN nbit/io/safetensors_dtype.hpp
// nbit/io/safetensors_dtype.hpp — the element types of safetensors files: name and bits.
//
// Ref: safetensors 0.8. Types of less than a byte are packed; a tensor of them must end on a whole byte.
#ifndef NBIT_IO_SAFETENSORS_DTYPE_HPP
#define NBIT_IO_SAFETENSORS_DTYPE_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nbit::safetensors {

/// An element type.
enum class dtype : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64,
};

/// An element type's name in a file's header, and its size.
struct dtype_info {
  dtype type;
  const char* name;
  std::uint32_t bits;
};

inline constexpr dtype_info dtypes[] = {
    {dtype::boolean, "BOOL", 8},
    {dtype::f4, "F4", 4},
    {dtype::f6_e2m3, "F6_E2M3", 6},
    {dtype::f6_e3m2, "F6_E3M2", 6},
    {dtype::u8, "U8", 8},
    {dtype::i8, "I8", 8},
    {dtype::f8_e5m2, "F8_E5M2", 8},
    {dtype::f8_e4m3, "F8_E4M3", 8},
    {dtype::f8_e8m0, "F8_E8M0", 8},
    {dtype::f8_e4m3fnuz, "F8_E4M3FNUZ", 8},
    {dtype::f8_e5m2fnuz, "F8_E5M2FNUZ", 8},
    {dtype::i16, "I16", 16},
    {dtype::u16, "U16", 16},
    {dtype::f16, "F16", 16},
    {dtype::bf16, "BF16", 16},
    {dtype::i32, "I32", 32},
    {dtype::u32, "U32", 32},
    {dtype::f32, "F32", 32},
    {dtype::c64, "C64", 64},
    {dtype::f64, "F64", 64},
    {dtype::i64, "I64", 64},
    {dtype::u64, "U64", 64},
};

inline namespace NBIT_TAG {

/// What is known of a type; the table is in the enumeration's order.
[[nodiscard]] constexpr const dtype_info& info(dtype t) noexcept { return dtypes[static_cast<std::size_t>(t)]; }

/// The type with this name, or nullptr.
[[nodiscard]] constexpr const dtype_info* find_dtype(std::string_view name) noexcept {
  for (const dtype_info& d : dtypes)
    if (name == d.name) return &d;
  return nullptr;
}

}  // namespace NBIT_TAG
}  // namespace nbit::safetensors

#endif
// END nbit/io/safetensors_dtype.hpp
// BEGIN nbit/io/safetensors_reader.hpp
// nbit/io/safetensors_reader.hpp — opens a safetensors file, believes nothing in its header and copies no tensor.
//
// Bytes   u64 header length | JSON object: name -> {dtype, shape, data_offsets [begin, end)} | data
// Checked: the header's JSON; every shape multiplied left to right; begin, end and shape agree; the tensors cover the
// data exactly, without overlap, hole or rest. "__metadata__" (strings) and unknown members are kept in header().
// Offsets need no alignment: a tensor may begin at any byte.   Ref: the format section of safetensors' README.
#ifndef NBIT_IO_SAFETENSORS_READER_HPP
#define NBIT_IO_SAFETENSORS_READER_HPP

#include <algorithm>  // sort
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// BEGIN nbit/io/byte_cursor.hpp
// nbit/io/byte_cursor.hpp — reads little-endian numbers out of bytes nobody vouches for.
//
// Every read is checked against what is left, so a reader built on it cannot leave its input. Numbers are assembled
// byte by byte: no alignment is assumed and a big-endian machine reads the same values.
#ifndef NBIT_IO_BYTE_CURSOR_HPP
#define NBIT_IO_BYTE_CURSOR_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace nbit {

inline namespace NBIT_TAG {

namespace detail {
template <std::size_t Bytes>
using unsigned_of = std::conditional_t<
    Bytes == 1, std::uint8_t,
    std::conditional_t<Bytes == 2, std::uint16_t, std::conditional_t<Bytes == 4, std::uint32_t, std::uint64_t>>>;
}  // namespace detail

/// The number of type T that the little-endian bytes at p hold. Reads past: sizeof(T) bytes from p, nothing more.
template <class T>
  requires(std::is_arithmetic_v<T> && sizeof(T) <= 8)
[[nodiscard]] T load_le(const std::byte* p) noexcept {
  if constexpr (std::is_same_v<T, bool>) {
    return p[0] != std::byte{0};
  } else {
    using bits = detail::unsigned_of<sizeof(T)>;
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) v |= static_cast<std::uint64_t>(p[i]) << (8 * i);
    return std::bit_cast<T>(static_cast<bits>(v));
  }
}

/// Writes v at p as little-endian bytes.
template <class T>
  requires(std::is_arithmetic_v<T> && sizeof(T) <= 8)
void store_le(T v, std::byte* p) noexcept {
  if constexpr (std::is_same_v<T, bool>) {
    p[0] = v ? std::byte{1} : std::byte{0};
  } else {
    const auto bits = static_cast<std::uint64_t>(std::bit_cast<detail::unsigned_of<sizeof(T)>>(v));
    for (std::size_t i = 0; i < sizeof(T); ++i) p[i] = static_cast<std::byte>((bits >> (8 * i)) & 0xffu);
  }
}

/// a * b, unless it does not fit: then false and nothing is written.
[[nodiscard]] constexpr bool checked_mul(std::uint64_t a, std::uint64_t b, std::uint64_t& product) noexcept {
  if (b != 0 && a > ~std::uint64_t{0} / b) return false;
  product = a * b;
  return true;
}

/// a + b, unless it does not fit: then false and nothing is written.
[[nodiscard]] constexpr bool checked_add(std::uint64_t a, std::uint64_t b, std::uint64_t& sum) noexcept {
  if (a > ~std::uint64_t{0} - b) return false;
  sum = a + b;
  return true;
}

/// n rounded up to a multiple of the power of two `alignment`, unless it does not fit: then false.
[[nodiscard]] constexpr bool checked_align(std::uint64_t n, std::uint64_t alignment, std::uint64_t& up) noexcept {
  std::uint64_t sum = 0;
  if (!checked_add(n, alignment - 1, sum)) return false;
  up = sum & ~(alignment - 1);
  return true;
}

/// A position in untrusted bytes that only moves forward and never past the end.
class byte_cursor {
 public:
  explicit byte_cursor(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return at_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return bytes_.size() - at_; }

  /// The next number, moved over.  Errors: truncated.
  template <class T>
  [[nodiscard]] result<T> number(const char* what) noexcept {
    if (left() < sizeof(T)) return short_by(what);
    const T v = load_le<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return v;
  }

  /// The next n bytes, moved over.  Errors: truncated, at the current offset, with n as the value found.
  [[nodiscard]] result<std::span<const std::byte>> take(std::uint64_t n, const char* what) noexcept {
    if (n > left()) return short_by(what).with(static_cast<std::int64_t>(n));
    const std::span<const std::byte> taken = bytes_.subspan(at_, static_cast<std::size_t>(n));
    at_ += static_cast<std::size_t>(n);
    return taken;
  }

 private:
  [[nodiscard]] error short_by(const char* what) const noexcept {
    return make_error(errc::truncated, what, "no more bytes than the file has left").at(std::uint64_t{at_});
  }

  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

/// The same bytes, seen as text.
[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The same text, seen as bytes.
[[nodiscard]] inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/byte_cursor.hpp
// BEGIN nbit/io/json_reader.hpp
// nbit/io/json_reader.hpp — reads JSON (RFC 8259) from text nobody vouches for.
//
// Strict: nothing but the grammar, valid UTF-8, no lone surrogates, no name twice in one object, nothing after the
// value. Bounded: depth, size and the number of values, before memory is taken for them.
#ifndef NBIT_IO_JSON_READER_HPP
#define NBIT_IO_JSON_READER_HPP

#include <algorithm>  // sort
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// BEGIN nbit/io/json_value.hpp
// nbit/io/json_value.hpp — a JSON value that keeps what it does not understand: key order, unknown keys, digits.
//
// Numbers stay text until somebody asks for a type, so that 64-bit integers and long decimals survive a round trip. The
// type lives inside the flag-tagged namespace because even its destructor loops: units built with different flags have
// their own.
#ifndef NBIT_IO_JSON_VALUE_HPP
#define NBIT_IO_JSON_VALUE_HPP

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>  // strtod, where from_chars lacks floating point
#include <span>
#include <string>
#include <string_view>
#include <system_error>  // errc of from_chars
#include <type_traits>
#include <utility>
#include <vector>

namespace nbit {

/// The kinds of JSON value.
enum class json_kind : std::uint8_t { null, boolean, number, string, array, object };

inline namespace NBIT_TAG {

/// Any JSON value; null unless made otherwise. Objects keep the order of their members.
class json_value {
 public:
  json_value() = default;

  [[nodiscard]] static json_value boolean(bool v) {
    json_value made(json_kind::boolean);
    made.truth_ = v;
    return made;
  }
  [[nodiscard]] static json_value string(std::string_view v) {
    json_value made(json_kind::string);
    made.text_ = v;
    return made;
  }
  /// A number. Infinities and NaN, which JSON cannot say, become null.
  template <class T>
    requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>)
  [[nodiscard]] static json_value number(T v) {
    json_value made(json_kind::number);
    char digits[40];
    if constexpr (std::is_floating_point_v<T>) {
      if (!(v - v == T{0})) return {};
      const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), v);
      made.text_.assign(digits, end.ptr);
    } else {
      const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), v);
      made.text_.assign(digits, end.ptr);
    }
    return made;
  }
  /// A number with exactly these digits.  Needs: the text is a JSON number.
  [[nodiscard]] static json_value number_text(std::string_view digits) {
    json_value made(json_kind::number);
    made.text_ = digits;
    return made;
  }
  [[nodiscard]] static json_value array() { return json_value(json_kind::array); }
  [[nodiscard]] static json_value object() { return json_value(json_kind::object); }

  [[nodiscard]] json_kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool is(json_kind k) const noexcept { return kind_ == k; }
  /// The characters of a string, or the digits of a number; else empty.
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  /// Where the value began in the text it was read from; 0 for a value made here.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

  /// The value as bool, integer, floating point or std::string_view.
  /// Errors: malformed when it is of another kind or an integer is written with a fraction; overflow. At offset().
  template <class T>
    requires(std::is_arithmetic_v<T> || std::same_as<T, std::string_view>)
  [[nodiscard]] result<T> get() const {
    if constexpr (std::is_same_v<T, std::string_view>) {
      if (kind_ == json_kind::string) return std::string_view(text_);
      return wrong("a string");
    } else if constexpr (std::is_same_v<T, bool>) {
      if (kind_ == json_kind::boolean) return truth_;
      return wrong("true or false");
    } else if constexpr (std::is_floating_point_v<T>) {
      if (kind_ != json_kind::number) return wrong("a number");
      return static_cast<T>(real());
    } else {
      if (kind_ != json_kind::number) return wrong("a whole number");
      T v{};
      const char* const end = text_.data() + text_.size();
      const std::from_chars_result read = std::from_chars(text_.data(), end, v);
      if (read.ec == std::errc::result_out_of_range)
        return make_error(errc::overflow, "a JSON number does not fit the type asked for").at(offset_).about(text_);
      if (read.ec != std::errc() || read.ptr != end) return wrong("a whole number in range");
      return v;
    }
  }

  /// Members of an object or elements of an array; 0 for everything else.
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  /// The elements of an array, or the values of an object's members.
  [[nodiscard]] std::span<const json_value> items() const noexcept { return items_; }
  [[nodiscard]] std::span<json_value> items() noexcept { return items_; }
  /// The names of an object's members, in the order of items().
  [[nodiscard]] std::span<const std::string> names() const noexcept { return names_; }

  /// A member of an object, or nullptr.  Cost: linear in the members.
  [[nodiscard]] const json_value* find(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (names_[i] == name) return &items_[i];
    return nullptr;
  }
  [[nodiscard]] json_value* find(std::string_view name) noexcept {
    return const_cast<json_value*>(std::as_const(*this).find(name));
  }
  /// A member of an object as T.  Errors: missing, and those of get(); the name is the subject.
  template <class T>
  [[nodiscard]] result<T> get(std::string_view name) const {
    const json_value* const v = find(name);
    if (v == nullptr) return make_error(errc::missing, "the JSON object lacks this member").about(name).at(offset_);
    result<T> got = v->template get<T>();
    if (!got) return got.error().about(name);
    return got;
  }

  /// Sets a member; an existing one keeps its place. A value that is no object becomes one.
  json_value& set(std::string_view name, json_value v) {
    become(json_kind::object);
    if (json_value* const there = find(name)) return *there = std::move(v);
    return add(name, std::move(v));
  }
  /// Adds a member at the end.  Needs: no member has this name.  Cost: constant.
  json_value& add(std::string_view name, json_value v) {
    become(json_kind::object);
    names_.emplace_back(name);
    return items_.emplace_back(std::move(v));
  }
  /// Removes a member; true if it was there.
  bool erase(std::string_view name) {
    const json_value* const there = find(name);
    if (there == nullptr) return false;
    const std::ptrdiff_t i = there - items_.data();
    items_.erase(items_.begin() + i);
    names_.erase(names_.begin() + i);
    return true;
  }
  /// Adds an element at the end. A value that is no array becomes one.
  json_value& push(json_value v) {
    become(json_kind::array);
    return items_.emplace_back(std::move(v));
  }

  /// Records where the value began.
  void set_offset(std::uint64_t offset) noexcept { offset_ = offset; }

 private:
  explicit json_value(json_kind k) : kind_(k) {}

  void become(json_kind k) {
    if (kind_ == k) return;
    *this = json_value(k);
  }
  [[nodiscard]] error wrong(const char* allowed) const {
    return make_error(errc::malformed, "a JSON value is of another kind than asked for", allowed).at(offset_);
  }
  [[nodiscard]] double real() const {
#if defined(__cpp_lib_to_chars)
    double v = 0;
    const std::from_chars_result read = std::from_chars(text_.data(), text_.data() + text_.size(), v);
    // Out of range leaves v alone; strtod then says whether that is 0 or infinity.
    if (read.ec == std::errc()) return v;
#endif
    return std::strtod(text_.c_str(), nullptr);
  }

  json_kind kind_ = json_kind::null;
  bool truth_ = false;
  std::uint64_t offset_ = 0;
  std::string text_;
  std::vector<json_value> items_;
  std::vector<std::string> names_;
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/json_value.hpp
// BEGIN nbit/io/utf8.hpp
// nbit/io/utf8.hpp — tells well-formed UTF-8 from the rest, one character at a time.
#ifndef NBIT_IO_UTF8_HPP
#define NBIT_IO_UTF8_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nbit {

inline namespace NBIT_TAG {

/// The bytes of the first character, 1 to 4; 0 when the text is empty or does not begin with well-formed UTF-8
/// (overlong forms, surrogates and codes above U+10FFFF are not well-formed).
[[nodiscard]] constexpr std::size_t utf8_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [text](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < n) return 0;  // c0 and c1 could only begin overlong forms
  std::uint32_t code = first & (0x7fu >> n);
  for (std::size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (n == 3 && code < 0x800) || (n == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return overlong || surrogate || code > 0x10ffff ? 0 : n;
}

/// Appends a character.  Needs: code is at most 0x10ffff and no surrogate.
inline void utf8_append(std::string& to, std::uint32_t code) {
  const auto put = [&to](std::uint32_t byte) { to += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) return put(0xc0u | code >> 6), put(0x80u | (code & 0x3fu));
  if (code < 0x10000) return put(0xe0u | code >> 12), put(0x80u | (code >> 6 & 0x3fu)), put(0x80u | (code & 0x3fu));
  put(0xf0u | code >> 18), put(0x80u | (code >> 12 & 0x3fu)), put(0x80u | (code >> 6 & 0x3fu)),
      put(0x80u | (code & 0x3fu));
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/utf8.hpp

namespace nbit {

/// What a JSON text may be. A value takes about 100 bytes, so the default is some 400 MB at worst.
struct json_limits {
  std::uint64_t bytes = std::uint64_t{1} << 27;
  std::uint64_t values = std::uint64_t{1} << 22;
  int depth = 64;  // arrays and objects inside one another
};

inline namespace NBIT_TAG {
namespace detail {

class json_parser {
 public:
  json_parser(std::string_view text, json_limits limits) : text_(text), limits_(limits) {}

  result<json_value> document() {
    if (text_.size() > limits_.bytes)
      return make_error(errc::overflow, "JSON text is too long", "the limit given")
          .at(std::uint64_t{0})
          .with(static_cast<std::int64_t>(text_.size()));
    json_value made;
    if (result<void> done = value(made, 0); !done) return done.error();
    space();
    if (at_ != text_.size()) return unexpected("JSON goes on after its value", "the end of the text");
    return made;
  }

 private:
  /// Moves over a value into `to`.
  result<void> value(json_value& to, int depth) {
    space();
    if (++values_ > limits_.values) return bad(errc::overflow, "JSON text has too many values", "the limit given");
    const std::size_t first = at_;
    result<void> done;
    switch (peek()) {
      case '{': done = object(to, depth); break;
      case '[': done = array(to, depth); break;
      case '"': {
        std::string text;
        done = string(text);
        to = json_value::string(text);
        break;
      }
      case 't': done = word("true", to, json_value::boolean(true)); break;
      case 'f': done = word("false", to, json_value::boolean(false)); break;
      case 'n': done = word("null", to, json_value()); break;
      default: done = number(to); break;
    }
    to.set_offset(first);
    return done;
  }

  result<void> object(json_value& to, int depth) {
    if (depth == limits_.depth) return bad(errc::overflow, "JSON is nested too deep", "the limit given");
    ++at_;
    to = json_value::object();
    std::vector<std::size_t> places;
    space();
    if (peek() == '}') return ++at_, result<void>();
    for (;;) {
      space();
      if (peek() != '"') return unexpected("a JSON object's member has no name", "a string");
      places.push_back(at_);
      std::string name;
      if (result<void> done = string(name); !done) return done;
      space();
      if (peek() != ':') return unexpected("a JSON member's name is not followed by a colon", ":");
      ++at_;
      if (result<void> done = value(to.add(name, json_value()), depth + 1); !done) return done;
      space();
      const char c = peek();
      if (c != ',' && c != '}') return unexpected("a JSON object does not go on", ", or }");
      ++at_;
      if (c == '}') return unique(to, places);
    }
  }

  /// Refuses a name that an object has twice: readers disagree about which one counts.
  result<void> unique(const json_value& of, const std::vector<std::size_t>& places) {
    std::vector<std::size_t> order(places.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto names = of.names();
    std::sort(order.begin(), order.end(), [names](std::size_t a, std::size_t b) {
      const int c = names[a].compare(names[b]);
      return c != 0 ? c < 0 : a < b;
    });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (names[order[i]] == names[order[i - 1]])
        return make_error(errc::duplicate, "a JSON object has a name twice", "each name once")
            .at(std::uint64_t{places[order[i]]})
            .about(names[order[i]]);
    return {};
  }

  result<void> array(json_value& to, int depth) {
    if (depth == limits_.depth) return bad(errc::overflow, "JSON is nested too deep", "the limit given");
    ++at_;
    to = json_value::array();
    space();
    if (peek() == ']') return ++at_, result<void>();
    for (;;) {
      if (result<void> done = value(to.push(json_value()), depth + 1); !done) return done;
      space();
      const char c = peek();
      if (c != ',' && c != ']') return unexpected("a JSON array does not go on", ", or ]");
      ++at_;
      if (c == ']') return {};
    }
  }

  result<void> word(std::string_view letters, json_value& to, json_value meant) {
    if (text_.substr(at_, letters.size()) != letters) return unexpected("this is no JSON value", "true, false or null");
    at_ += letters.size();
    to = std::move(meant);
    return {};
  }

  /// -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
  result<void> number(json_value& to) {
    const std::size_t first = at_;
    if (peek() == '-') ++at_;
    if (peek() == '0')
      ++at_;
    else if (!digits())
      return unexpected("this is no JSON value", "a value");
    if (peek() == '.') {
      ++at_;
      if (!digits()) return unexpected("a JSON number has no digit after its point", "a digit");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return unexpected("a JSON number has no digit in its exponent", "a digit");
    }
    to = json_value::number_text(text_.substr(first, at_ - first));
    return {};
  }

  bool digits() {
    const std::size_t first = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ != first;
  }

  result<void> string(std::string& to) {
    ++at_;
    for (;;) {
      if (at_ == text_.size()) return unexpected("a JSON string does not end", "\"");
      const char c = text_[at_];
      if (c == '"') return ++at_, result<void>();
      if (c == '\\') {
        if (result<void> done = escape(to); !done) return done;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20)
        return unexpected("a JSON string holds a control character", "an escape such as \\n");
      const std::size_t n = utf8_length(text_.substr(at_));
      if (n == 0) return unexpected("JSON text is not UTF-8", "UTF-8");
      to.append(text_, at_, n);
      at_ += n;
    }
  }

  result<void> escape(std::string& to) {
    static constexpr std::string_view letters = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    ++at_;
    if (const std::size_t i = letters.find(peek()); at_ != text_.size() && i != std::string_view::npos) {
      to += meant[i];
      ++at_;
      return {};
    }
    if (peek() != 'u') return unexpected("a JSON escape is unknown", "one of \" \\ / b f n r t u");
    ++at_;
    std::uint32_t code = 0;
    if (!hex4(code)) return unexpected("a JSON escape is not four hexadecimal digits", "\\u0000 to \\uffff");
    if (code >= 0xdc00 && code < 0xe000) return unexpected("a JSON string has half a surrogate pair", "both halves");
    if (code >= 0xd800 && code < 0xdc00) {
      std::uint32_t low = 0;
      if (text_.substr(at_, 2) != "\\u") return unexpected("a JSON string has half a surrogate pair", "both halves");
      at_ += 2;
      if (!hex4(low) || low < 0xdc00 || low >= 0xe000)
        return unexpected("a JSON string has half a surrogate pair", "both halves");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    utf8_append(to, code);
    return {};
  }

  bool hex4(std::uint32_t& code) {
    if (text_.size() - at_ < 4) return false;
    code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[at_++];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return false;
      code = code << 4 | static_cast<std::uint32_t>(digit);
    }
    return true;
  }

  void space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }

  /// The next character; NUL at the end, which no rule of the grammar accepts.
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  [[nodiscard]] error bad(errc code, const char* what, const char* allowed) const {
    return make_error(code, what, allowed).at(std::uint64_t{at_});
  }
  [[nodiscard]] error unexpected(const char* what, const char* allowed) const {
    if (at_ >= text_.size()) return bad(errc::truncated, what, allowed);
    return bad(errc::malformed, what, allowed).with(static_cast<unsigned char>(text_[at_]));
  }

  std::string_view text_;
  json_limits limits_;
  std::size_t at_ = 0;
  std::uint64_t values_ = 0;
};

}  // namespace detail

/// The value that the text says.
/// Errors: truncated, malformed (found = the byte there), duplicate, overflow (a limit); each with the byte offset.
[[nodiscard]] inline result<json_value> json_parse(std::string_view text, json_limits limits = {}) {
  return detail::json_parser(text, limits).document();
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/json_reader.hpp

namespace nbit::safetensors {

/// The longest header that readers accept, in bytes.
inline constexpr std::uint64_t longest_header = 100'000'000;

inline namespace NBIT_TAG {

/// One tensor of a file: what it is and where its bytes lie. Shape: outermost dimension first; empty for one number.
struct tensor_info {
  std::string_view name;
  safetensors::dtype type = dtype::u8;
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;  // of the first byte, from the start of the file
  std::span<const std::byte> bytes;

  /// Numbers in a row: the last dimension, or 1.
  [[nodiscard]] std::uint64_t cols() const noexcept { return shape.empty() ? 1 : shape.back(); }
  /// Rows, all other dimensions taken together.
  [[nodiscard]] std::uint64_t rows() const noexcept {
    std::uint64_t n = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
  }
  [[nodiscard]] std::uint64_t elements() const noexcept { return rows() * cols(); }
};

class file;
namespace detail {
class reader;
}

/// A checked safetensors file. Owns the mapping when open() made it; after parse() the caller keeps the bytes alive.
class file {
 public:
  /// All tensors in the header's order, which need not be the order of their bytes.
  [[nodiscard]] std::span<const tensor_info> tensors() const noexcept { return tensors_; }
  /// The header as it is, with "__metadata__" and members nobody here knows.
  [[nodiscard]] const json_value& header() const noexcept { return header_; }
  /// The strings of "__metadata__" as an object, or nullptr.
  [[nodiscard]] const json_value* metadata() const noexcept { return header_.find("__metadata__"); }
  /// Where the tensors' bytes begin.
  [[nodiscard]] std::uint64_t data_offset() const noexcept { return data_offset_; }
  /// The whole file.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// A tensor by name.  Errors: missing.  Cost: a binary search.
  [[nodiscard]] result<tensor_info> tensor(std::string_view name) const {
    std::size_t first = 0, last = sorted_.size();
    while (first < last) {
      const std::size_t middle = first + (last - first) / 2;
      if (tensors_[sorted_[middle]].name < name)
        first = middle + 1;
      else
        last = middle;
    }
    if (first < sorted_.size() && tensors_[sorted_[first]].name == name) return tensors_[sorted_[first]];
    return make_error(errc::missing, "the file lacks this tensor").about(name);
  }

 private:
  friend class detail::reader;

  std::span<const std::byte> bytes_;
  mapped_file mapping_;
  std::uint64_t data_offset_ = 0;
  json_value header_;  // owns the names that tensors_ views
  std::vector<tensor_info> tensors_;
  std::vector<std::size_t> sorted_;  // indexes into tensors_, by name
};

namespace detail {

class reader {
 public:
  static result<file> parse(std::span<const std::byte> bytes, mapped_file mapping) {
    reader r;
    r.made_.bytes_ = bytes;
    r.made_.mapping_.swap(mapping);
    if (result<void> done = r.read(); !done) return done.error();
    return std::move(r.made_);
  }

 private:
  [[nodiscard]] error bad(errc code, const char* what, const char* allowed, const json_value& at) const {
    return make_error(code, what, allowed).at(8 + at.offset());
  }

  result<void> read() {
    byte_cursor in(made_.bytes_);
    const result<std::uint64_t> length = in.number<std::uint64_t>("the file ends inside the header's length");
    if (!length) return length.error();
    if (*length > longest_header)
      return make_error(errc::overflow, "header length", "at most 100000000 bytes")
          .at(std::uint64_t{0})
          .with(static_cast<std::int64_t>(*length));
    const auto header = in.take(*length, "the header ends after the file");
    if (!header) return header.error().at(std::uint64_t{0});
    made_.data_offset_ = in.offset();
    if (header->empty() || header->front() != std::byte{'{'})
      return make_error(errc::malformed, "the header is not a JSON object", "text that begins with {")
          .at(std::uint64_t{8});
    result<json_value> parsed = json_parse(as_text(*header), {.bytes = longest_header});
    if (!parsed) return parsed.error().at(8 + parsed.error().offset);
    made_.header_ = std::move(*parsed);

    const auto names = std::as_const(made_.header_).names();
    const auto items = std::as_const(made_.header_).items();
    made_.tensors_.reserve(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      result<void> done = names[i] == "__metadata__" ? metadata(items[i]) : entry(names[i], items[i]);
      if (!done) return done.error().about(names[i]);
    }
    if (result<void> done = cover(); !done) return done;
    by_name();
    return {};
  }

  result<void> metadata(const json_value& of) const {
    if (!of.is(json_kind::object))
      return bad(errc::malformed, "the metadata is not an object", "an object of strings", of);
    for (const json_value& v : of.items())
      if (!v.is(json_kind::string)) return bad(errc::malformed, "a metadata value is not a string", "a string", v);
    return {};
  }

  [[nodiscard]] result<const json_value*> member(const json_value& of, std::string_view name, json_kind kind,
                                                 const char* what, const char* allowed) const {
    const json_value* const v = of.find(name);
    if (v == nullptr) return bad(errc::missing, what, allowed, of);
    if (!v->is(kind)) return bad(errc::malformed, what, allowed, *v);
    return v;
  }

  result<void> entry(std::string_view name, const json_value& of) {
    if (!of.is(json_kind::object))
      return bad(errc::malformed, "a tensor's entry is not an object", "dtype, shape and data_offsets", of);
    const auto type =
        member(of, "dtype", json_kind::string, "a tensor's dtype is missing or no string", "a type's name");
    if (!type) return type.error();
    const auto shape = member(of, "shape", json_kind::array, "a tensor's shape is missing or no array", "an array");
    if (!shape) return shape.error();
    const auto range =
        member(of, "data_offsets", json_kind::array, "a tensor's data_offsets are missing or no array", "[begin, end]");
    if (!range) return range.error();

    const dtype_info* const known = find_dtype((*type)->text());
    if (known == nullptr)
      return bad(errc::unsupported, "a tensor's dtype is unknown", "BOOL, U8 to U64, I8 to I64, F4 to F64, BF16 or C64",
                 **type);
    tensor_info t;
    t.name = name;
    t.type = known->type;
    std::uint64_t elements = 1, size_bits = 0, all = 1;
    t.shape.reserve((*shape)->size());
    for (const json_value& d : (*shape)->items()) {
      const result<std::uint64_t> n = d.get<std::uint64_t>();
      if (!n) return bad(n.error().code, "a dimension is not a whole number", "0 to 2^64-1", d);
      // A zero must not hide what the other dimensions multiply to: rows() is a product of some of them.
      if (!checked_mul(elements, *n, elements) || !checked_mul(all, *n == 0 ? 1 : *n, all))
        return bad(errc::overflow, "a tensor's element count does not fit 64 bits", "", d)
            .with(static_cast<std::int64_t>(*n));
      t.shape.push_back(*n);
    }
    if (!checked_mul(elements, known->bits, size_bits))
      return bad(errc::overflow, "a tensor's bytes do not fit 64 bits", "", **shape)
          .with(static_cast<std::int64_t>(elements));
    if (size_bits % 8 != 0)
      return bad(errc::shape, "a tensor does not end on a whole byte", "a multiple of 8 bits", **shape)
          .with(static_cast<std::int64_t>(size_bits));

    if ((*range)->size() != 2)
      return bad(errc::malformed, "data_offsets is not a pair", "[begin, end]", **range)
          .with(static_cast<std::int64_t>((*range)->size()));
    std::uint64_t ends[2] = {};
    for (std::size_t i = 0; i < 2; ++i) {
      const json_value& at = (*range)->items()[i];
      const result<std::uint64_t> n = at.get<std::uint64_t>();
      if (!n) return bad(n.error().code, "a data offset is not a whole number", "0 to the data's size", at);
      ends[i] = *n;
    }
    const std::uint64_t size = made_.bytes_.size() - made_.data_offset_;
    if (ends[1] < ends[0] || ends[1] > size)
      return bad(ends[1] < ends[0] ? errc::malformed : errc::truncated, "a tensor's bytes are not inside the file",
                 "begin <= end <= the data's size", **range)
          .with(static_cast<std::int64_t>(ends[1]));
    if (ends[1] - ends[0] != size_bits / 8)
      return bad(errc::shape, "a tensor's shape and dtype do not take the bytes between its data_offsets",
                 "end - begin = elements times size", **range)
          .with(static_cast<std::int64_t>(ends[1] - ends[0]));
    t.offset = made_.data_offset_ + ends[0];
    t.bytes = made_.bytes_.subspan(static_cast<std::size_t>(t.offset), static_cast<std::size_t>(ends[1] - ends[0]));
    made_.tensors_.push_back(std::move(t));
    return {};
  }

  /// Refuses overlaps, holes and a rest: bytes that no tensor owns could carry anything.
  result<void> cover() const {
    std::vector<const tensor_info*> order;
    order.reserve(made_.tensors_.size());
    for (const tensor_info& t : made_.tensors_) order.push_back(&t);
    std::sort(order.begin(), order.end(), [](const tensor_info* a, const tensor_info* b) {
      return a->offset != b->offset ? a->offset < b->offset : a->bytes.size() < b->bytes.size();
    });
    std::uint64_t at = made_.data_offset_;
    for (const tensor_info* t : order) {
      if (t->offset != at)
        return make_error(errc::malformed,
                          t->offset < at ? "a tensor's bytes overlap another's" : "a hole before a tensor's bytes",
                          "tensors that follow one another")
            .at(t->offset)
            .about(t->name)
            .with(static_cast<std::int64_t>(t->offset - made_.data_offset_));
      at += t->bytes.size();
    }
    if (at != made_.bytes_.size())
      return make_error(errc::malformed, "the file goes on after its last tensor", "the end of the file")
          .at(at)
          .with(static_cast<std::int64_t>(made_.bytes_.size() - at));
    return {};
  }

  void by_name() {
    made_.sorted_.resize(made_.tensors_.size());
    for (std::size_t i = 0; i < made_.sorted_.size(); ++i) made_.sorted_[i] = i;
    const std::vector<tensor_info>& all = made_.tensors_;
    std::sort(made_.sorted_.begin(), made_.sorted_.end(),
              [&all](std::size_t a, std::size_t b) { return all[a].name < all[b].name; });
  }

  file made_;
};

}  // namespace detail

/// A checked file over bytes that the caller keeps alive.
/// Errors: truncated, malformed, overflow, duplicate, missing, unsupported, shape; each with the byte offset.
/// Cost: proportional to the header; no tensor byte is read.
[[nodiscard]] inline result<file> parse(std::span<const std::byte> bytes) {
  return detail::reader::parse(bytes, mapped_file());
}

/// A checked file, mapped; it owns the mapping.  Errors: those of mapped_file::open and of parse.
[[nodiscard]] inline result<file> open(const std::string& path) {
  result<mapped_file> mapping = mapped_file::open(path);
  if (!mapping) return mapping.error();
  const std::span<const std::byte> bytes = mapping->bytes();
  return detail::reader::parse(bytes, std::move(*mapping));
}

}  // namespace NBIT_TAG
}  // namespace nbit::safetensors

#endif
// END nbit/io/safetensors_reader.hpp

namespace nbit {

inline namespace NBIT_TAG {

/// A tensor that somebody else owns; its bytes may lie at any address. A default one means: the checkpoint has none.
struct stored_tensor {
  static constexpr std::size_t most_dimensions = 4;

  safetensors::dtype type = safetensors::dtype::u8;
  std::size_t rank = 0;                                // more than most_dimensions: kept, and refused by every reader
  std::array<std::uint64_t, most_dimensions> shape{};  // the first `rank` count, outermost first
  std::span<const std::byte> bytes;
  bool present = false;
};

/// A tensor to be written: its name inside the layer ("qweight"), element type, shape and bytes.
struct owned_tensor {
  const char* name = "";
  safetensors::dtype type = safetensors::dtype::u8;
  std::size_t rank = 0;
  std::array<std::uint64_t, stored_tensor::most_dimensions> shape{};
  buffer<std::byte> bytes;

  // declared, so that no implicit one becomes a weak symbol that differently built units would share
  NBIT_INLINE owned_tensor() noexcept = default;
  NBIT_INLINE owned_tensor(owned_tensor&&) noexcept = default;
  NBIT_INLINE owned_tensor& operator=(owned_tensor&&) noexcept = default;
  NBIT_INLINE ~owned_tensor() = default;

  /// False when the layer has no such tensor.
  [[nodiscard]] NBIT_INLINE bool present() const { return *name != '\0'; }
  [[nodiscard]] NBIT_INLINE std::span<const std::uint64_t> dimensions() const { return {shape.data(), rank}; }
  [[nodiscard]] NBIT_INLINE stored_tensor view() const { return {type, rank, shape, bytes.span(), present()}; }
};

/// The tensor of a safetensors file, without its name.
[[nodiscard]] inline stored_tensor stored(const safetensors::tensor_info& from) {
  stored_tensor t;
  t.type = from.type, t.rank = from.shape.size(), t.bytes = from.bytes, t.present = true;
  for (std::size_t i = 0; i < t.rank && i < t.shape.size(); ++i) t.shape[i] = from.shape[i];
  return t;
}

/// The tensor `layer`.`name` of a file, or one that is not present.
[[nodiscard]] inline stored_tensor find_stored(const safetensors::file& in, std::string_view layer,
                                               std::string_view name) {
  const result<safetensors::tensor_info> found = in.tensor(std::string(layer).append(".").append(name));
  return found ? stored(*found) : stored_tensor{};
}

namespace detail {

/// The error about a tensor, with a few words after its name.
inline error tensor_error(errc code, const char* what, const char* allowed, const char* name, std::string_view more) {
  return make_error(code, what, allowed).about(std::string(name).append(": ").append(more));
}

/// Whether the tensor is there, has one of these element types, this many dimensions and the bytes they take.
/// `allowed` says the types.  Errors: missing, malformed, shape, overflow.
inline result<void> check_tensor(const stored_tensor& t, const char* name,
                                 std::initializer_list<safetensors::dtype> types, const char* allowed,
                                 std::size_t rank) {
  if (!t.present) return make_error(errc::missing, "the layer lacks a tensor", "").about(name);
  bool known = false;
  for (const safetensors::dtype type : types) known = known || type == t.type;
  if (!known)
    return tensor_error(errc::malformed, "a tensor has another element type than its format", allowed, name,
                        safetensors::info(t.type).name);
  if (t.rank != rank)
    return tensor_error(errc::shape, "a tensor has another number of dimensions than its format",
                        rank == 0   ? "0"
                        : rank == 1 ? "1"
                                    : "2",
                        name, "dimensions")
        .with(static_cast<std::int64_t>(t.rank));
  for (std::size_t i = 0; i < rank; ++i)  // nothing to read, but rows without end to walk over
    if (t.shape[i] == 0)
      return make_error(errc::shape, "a tensor of a linear is empty", "1 and more in each dimension").about(name);
  std::uint64_t size = safetensors::info(t.type).bits / 8;
  for (std::size_t i = 0; i < rank; ++i)
    if (t.shape[i] > 0x7fffffffu || !nbit::checked_mul(size, t.shape[i], size))
      return tensor_error(errc::overflow, "a dimension of a tensor is too large", "at most 2^31 - 1", name, "dimension")
          .with(static_cast<std::int64_t>(t.shape[i]));
  if (size != t.bytes.size())
    return make_error(errc::shape, "a tensor has not the bytes that its shape and type take", "")
        .about(name)
        .with(static_cast<std::int64_t>(t.bytes.size()));
  return {};
}

/// Whether a dimension is the one that the layer's shape asks for.  Errors: shape; `allowed` says how it comes about.
inline result<void> check_dimension(const stored_tensor& t, const char* name, std::size_t i, std::uint64_t wanted,
                                    const char* allowed) {
  if (t.shape[i] == wanted) return {};
  return tensor_error(errc::shape, "a dimension of a tensor does not fit the layer", allowed, name,
                      i == 0 ? "first dimension" : "last dimension")
      .with(static_cast<std::int64_t>(t.shape[i]));
}

/// Numbers of a checkpoint that are stored like T: its element type, and how it is loaded and stored.
template <class T>
struct stored_number;
template <>
struct stored_number<float> {
  static constexpr safetensors::dtype type = safetensors::dtype::f32;
  static constexpr const char* name = "F32";
  NBIT_INLINE static float load(const std::byte* p) { return load_f32(p); }
  NBIT_INLINE static void store(std::byte* p, float v) { store_f32(p, v); }
};
template <>
struct stored_number<f16> {
  static constexpr safetensors::dtype type = safetensors::dtype::f16;
  static constexpr const char* name = "F16";
  NBIT_INLINE static f16 load(const std::byte* p) { return load_f16(p); }
  NBIT_INLINE static void store(std::byte* p, f16 v) { store_f16(p, v); }
};
template <>
struct stored_number<bf16> {
  static constexpr safetensors::dtype type = safetensors::dtype::bf16;
  static constexpr const char* name = "BF16";
  NBIT_INLINE static bf16 load(const std::byte* p) { return bf16::from_bits(load_u16(p)); }
  NBIT_INLINE static void store(std::byte* p, bf16 v) { store_u16(p, v.bits); }
};
template <>
struct stored_number<f8_e4m3> {
  static constexpr safetensors::dtype type = safetensors::dtype::f8_e4m3;
  static constexpr const char* name = "F8_E4M3";
  NBIT_INLINE static f8_e4m3 load(const std::byte* p) { return f8_e4m3::from_bits(std::to_integer<std::uint8_t>(*p)); }
  NBIT_INLINE static void store(std::byte* p, f8_e4m3 v) { *p = static_cast<std::byte>(v.bits); }
};
template <>
struct stored_number<e8m0> {
  static constexpr safetensors::dtype type = safetensors::dtype::u8;  // compressed-tensors; F8_E8M0 is read too
  static constexpr const char* name = "U8 or F8_E8M0";
  NBIT_INLINE static e8m0 load(const std::byte* p) { return e8m0::from_bits(std::to_integer<std::uint8_t>(*p)); }
  NBIT_INLINE static void store(std::byte* p, e8m0 v) { *p = static_cast<std::byte>(v.bits); }
};

/// Element i of a tensor of Ts.
template <class T>
NBIT_INLINE T load_at(const stored_tensor& t, std::size_t i) {
  return stored_number<T>::load(t.bytes.data() + i * sizeof(T));
}
template <class T>
NBIT_INLINE void store_at(owned_tensor& t, std::size_t i, T v) {
  stored_number<T>::store(t.bytes.data() + i * sizeof(T), v);
}

/// A scale that is NaN or infinite; row and column are those of the tensor.
inline result<void> check_scale(float scale, const char* name, std::size_t row, std::size_t col) {
  if (is_finite(scale)) return {};
  return make_error(errc::not_finite, "a scale is NaN or infinite", "finite numbers")
      .about(name)
      .at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(col));
}

/// A scale that is NaN, infinite or negative, where magnitudes are stored.
inline result<void> check_magnitude(float scale, const char* name, std::size_t row, std::size_t col) {
  if (is_finite(scale) && !(scale < 0.0f)) return {};
  return make_error(is_finite(scale) ? errc::malformed : errc::not_finite, "a magnitude is NaN, infinite or negative",
                    "finite numbers from 0")
      .about(name)
      .at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(col));
}

/// Codes of a matrix to be written that do not fit their width.
inline result<void> check_codes(std::span<const std::uint8_t> codes, int bits, std::size_t cols) {
  std::uint32_t any = 0;
  for (const std::uint8_t c : codes) any |= c;
  if (any >> bits == 0) return {};
  for (std::size_t i = 0; i < codes.size(); ++i)
    if (std::uint32_t{codes[i]} >> bits != 0)
      return make_error(errc::malformed, "a code does not fit its width", "0 to 2^bits - 1")
          .at(static_cast<std::int64_t>(i / cols), static_cast<std::int64_t>(i % cols))
          .with(codes[i]);
  return {};
}

/// A tensor of zeros.  Errors: out_of_memory, overflow.
inline result<owned_tensor> make_tensor(const char* name, safetensors::dtype type,
                                        std::initializer_list<std::size_t> shape) {
  owned_tensor t;
  t.name = name, t.type = type;
  std::uint64_t size = safetensors::info(type).bits / 8;
  for (const std::size_t n : shape) {
    t.shape[t.rank++] = n;
    if (!nbit::checked_mul<std::uint64_t>(size, n, size))
      return make_error(errc::overflow, "a tensor's size").about(name);
  }
  auto bytes = buffer<std::byte>::zeros(static_cast<std::size_t>(size));
  if (!bytes) return bytes.error();
  t.bytes = *std::move(bytes);
  return t;
}

/// The 32-bit words of a tensor, in this machine's order.  Errors: out_of_memory.
inline result<buffer<std::uint32_t>> load_words(const stored_tensor& t) {
  auto words = buffer<std::uint32_t>::make(t.bytes.size() / 4);
  if (!words) return words.error();
  for (std::size_t i = 0; i < words->size(); ++i) (*words)[i] = load_u32(t.bytes.data() + 4 * i);
  return words;
}

/// Fills a tensor of 32-bit elements.  Needs: as many words.
inline void store_words(owned_tensor& t, std::span<const std::uint32_t> words) {
  for (std::size_t i = 0; i < words.size(); ++i) store_u32(t.bytes.data() + 4 * i, words[i]);
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/checkpoint_tensor.hpp

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// The packings of AWQ checkpoints.
enum class awq_packing : std::uint8_t { gemm, gemv, gemv_fast };

/// Formats that an AWQ checkpoint can hold: uniform, 4 bits, f16 scales, the zero an integer.
template <class F>
concept awq_storable = grid_format<F> &&
                       requires {
                         { F::scheme } -> std::convertible_to<scheme>;
                       } && F::bits == 4 && F::group >= per_row && std::is_same_v<decltype(F::params::scale), f16> &&
                       F::scheme.symmetry != symmetry::asymmetric_float;

inline namespace NBIT_TAG {

/// The three tensors of one linear.
struct awq_linear {
  stored_tensor qweight, qzeros, scales;
};

/// Owns the three tensors of one linear.
struct awq_tensors {
  owned_tensor qweight, qzeros, scales;

  [[nodiscard]] awq_linear view() const { return {qweight.view(), qzeros.view(), scales.view()}; }
};

namespace detail {

/// Words of zeros in a row of the gemv packings.
inline std::size_t awq_zero_words(std::size_t groups, std::size_t group) {
  const std::size_t multiple = group >= 128 ? 1 : group >= 64 ? 2 : 4;
  return round_up(ceil_div<std::size_t>(groups, 8), multiple);
}

/// Whether the packing can hold a linear of this shape and group.
inline result<void> awq_shape(awq_packing packing, std::size_t inputs, std::size_t outputs, std::size_t group) {
  const auto bad = [](const char* what, const char* allowed, std::size_t found) {
    return make_error(errc::shape, what, allowed).with(static_cast<std::int64_t>(found));
  };
  if (outputs % 8 != 0)
    return bad("outputs of a linear do not fill the words of an AWQ checkpoint", "a multiple of 8", outputs);
  if (packing == awq_packing::gemv && inputs % 8 != 0)
    return bad("inputs of a linear do not fill the words of an AWQ gemv checkpoint", "a multiple of 8", inputs);
  if (packing == awq_packing::gemv_fast && inputs % 64 != 0)
    return bad("inputs of a linear do not fill the words of an AWQ gemv_fast checkpoint", "a multiple of 64", inputs);
  if (group != 0 && inputs % group != 0)
    return bad("inputs of a linear do not fill the groups of an AWQ checkpoint", "a multiple of the group", inputs);
  if (packing != awq_packing::gemm && group != 0 && group < 32)
    return bad("groups of an AWQ gemv checkpoint are too small", "32 or more", group);
  return {};
}

/// A zero as gemv_fast stores it.
NBIT_INLINE f16 awq_scaled_zero(f16 scale, unsigned zero) {
  NBIT_EXACT
  return f16::from_bits(static_cast<std::uint16_t>(f16::from(float(scale) * static_cast<float>(zero)).bits ^ 0x8000u));
}

/// The zero that awq_scaled_zero turned into this one, or 16 when there is none.
inline unsigned awq_plain_zero(f16 scale, f16 stored) {
  unsigned zero = 0;
  while (zero < 16 && !(awq_scaled_zero(scale, zero) == stored)) ++zero;
  return zero;
}

/// Where the scale of a group of an output lies among its tensor's elements.
NBIT_INLINE std::size_t awq_scale_index(awq_packing packing, std::size_t r, std::size_t g,
                                        const stored_tensor& scales) {
  return packing == awq_packing::gemv ? r * static_cast<std::size_t>(scales.shape[1]) + g
                                      : g * static_cast<std::size_t>(scales.shape[1]) + r;
}

/// Past the last group, scales and zeros are 0.
inline result<void> awq_padding(const stored_tensor& t, const char* name, std::size_t groups, bool along_columns) {
  const std::size_t cols = static_cast<std::size_t>(t.shape[1]), n = static_cast<std::size_t>(t.shape[0]) * cols;
  for (std::size_t i = 0; i < n; ++i)
    if ((along_columns ? i % cols : i / cols) >= groups && load_u16(t.bytes.data() + 2 * i) != 0)
      return make_error(errc::malformed, "padding of an AWQ tensor is not 0", "0 past the last group")
          .about(name)
          .at(static_cast<std::int64_t>(i / cols), static_cast<std::int64_t>(i % cols))
          .with(load_u16(t.bytes.data() + 2 * i));
  return {};
}

/// Checks the types and shapes of the three tensors and gives the linear's shape.
template <class F>
inline result<shape> awq_check(const awq_linear& from, awq_packing packing) {
  using safetensors::dtype;
  const bool fast = packing == awq_packing::gemv_fast, gemv = packing == awq_packing::gemv;
  if (auto ok = check_tensor(from.qweight, "qweight", {fast ? dtype::i16 : dtype::i32}, fast ? "I16" : "I32", 2); !ok)
    return ok.error();
  if (auto ok = check_tensor(from.qzeros, "qzeros", {fast ? dtype::f16 : dtype::i32}, fast ? "F16" : "I32", 2); !ok)
    return ok.error();
  if (auto ok = check_tensor(from.scales, "scales", {dtype::f16}, "F16", 2); !ok) return ok.error();
  const auto rows = static_cast<std::size_t>(from.qweight.shape[0]),
             cols = static_cast<std::size_t>(from.qweight.shape[1]);
  const shape s = gemv ? shape{rows, cols * 8} : fast ? shape{rows * 4, cols} : shape{cols * 8, rows};
  if (auto ok = awq_shape(packing, s.cols, s.rows, F::group > 0 ? std::size_t(F::group) : 0); !ok)
    return ok.error().about("qweight");
  const std::size_t groups = groups_per_row<F>(s.cols), z = awq_zero_words(groups, group_length<F>(s.cols));
  const std::size_t scales[2] = {gemv ? s.rows : fast ? 8 * z : groups, gemv ? 8 * z : s.rows};
  const std::size_t zeros[2] = {scales[0], gemv ? z : fast ? s.rows : s.rows / 8};
  for (std::size_t i = 0; i < 2; ++i) {
    const char* const allowed = "as many as the outputs of qweight, or the groups that its inputs make";
    if (auto ok = check_dimension(from.scales, "scales", i, scales[i], allowed); !ok) return ok.error();
    if (auto ok = check_dimension(from.qzeros, "qzeros", i, zeros[i], allowed); !ok) return ok.error();
  }
  return s;
}

}  // namespace detail

/// Codes and parameters of a linear. F's group must be the file's; an asymmetric F reads symmetric files too.
/// Errors: missing, malformed (element type; padding; a zero that F or the packing cannot mean), shape, not_finite,
/// overflow, out_of_memory; the tensor is the subject, row and column are its own.
template <awq_storable F>
inline result<coded_matrix<F>> unpack_awq(const awq_linear& from, awq_packing packing = awq_packing::gemm) {
  const result<shape> checked = detail::awq_check<F>(from, packing);
  if (!checked) return checked.error();
  const std::size_t n = checked->rows, groups = groups_per_row<F>(checked->cols);
  const bool fast = packing == awq_packing::gemv_fast, gemv = packing == awq_packing::gemv;
  if (fast || gemv) {
    if (auto ok = detail::awq_padding(from.scales, "scales", groups, gemv); !ok) return ok.error();
    if (fast)
      if (auto ok = detail::awq_padding(from.qzeros, "qzeros", groups, false); !ok) return ok.error();
  }
  auto to = coded_matrix<F>::make(*checked);
  auto zeros = buffer<std::uint8_t>::zeros(n * (gemv ? static_cast<std::size_t>(from.scales.shape[1]) : groups));
  if (!to) return to.error();
  if (!zeros) return zeros.error();
  const std::size_t zero_cols = gemv ? static_cast<std::size_t>(from.scales.shape[1]) : groups;
  if (gemv) {
    const auto* const w = reinterpret_cast<const std::uint8_t*>(from.qweight.bytes.data());
    const auto* const z = reinterpret_cast<const std::uint8_t*>(from.qzeros.bytes.data());
    for (std::size_t r = 0; r < n; ++r) {
      unpack_row<linear, 4>(w, *checked, r, 0, to->cols, to->row_codes(r));
      unpack_row<linear, 4>(z, shape{n, zero_cols}, r, 0, zero_cols, zeros->data() + r * zero_cols);
      for (std::size_t g = groups; g < zero_cols; ++g)
        if ((*zeros)[r * zero_cols + g] != 0)
          return make_error(errc::malformed, "padding of an AWQ tensor is not 0", "0 past the last group")
              .about("qzeros")
              .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(g))
              .with((*zeros)[r * zero_cols + g]);
    }
  } else if (fast) {
    auto words = buffer<std::uint16_t>::make(from.qweight.bytes.size() / 2);
    if (!words) return words.error();
    for (std::size_t i = 0; i < words->size(); ++i) (*words)[i] = load_u16(from.qweight.bytes.data() + 2 * i);
    for (std::size_t r = 0; r < n; ++r)
      unpack_row<awq_gemv_rows, 4>(words->data(), *checked, r, 0, to->cols, to->row_codes(r));
  } else {
    const auto words = detail::load_words(from.qweight), zero_words = detail::load_words(from.qzeros);
    if (!words) return words.error();
    if (!zero_words) return zero_words.error();
    for (std::size_t r = 0; r < n; ++r) {
      unpack_row<awq_interleave, 4>(words->data(), *checked, r, 0, to->cols, to->row_codes(r));
      unpack_row<awq_interleave, 4>(zero_words->data(), shape{n, groups}, r, 0, groups, zeros->data() + r * groups);
    }
  }
  for (std::size_t r = 0; r < n; ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      typename F::params& p = to->params[to->params_index(r, g)];
      const std::size_t i = detail::awq_scale_index(packing, r, g, from.scales);
      const std::size_t at_row = gemv ? r : g, at_col = gemv ? g : r;
      p.scale = detail::load_at<f16>(from.scales, i);
      if (auto ok = detail::check_scale(float(p.scale), "scales", at_row, at_col); !ok) return ok.error();
      const auto row = static_cast<std::int64_t>(at_row), col = static_cast<std::int64_t>(at_col);
      unsigned zero = (*zeros)[r * zero_cols + g];
      if (fast) {
        const f16 scaled = detail::load_at<f16>(from.qzeros, i);
        zero = detail::awq_plain_zero(p.scale, scaled);
        if (F::symmetric && detail::awq_scaled_zero(p.scale, 8) == scaled) zero = 8;  // a scale of 0 hides its zero
        if (zero > 15)
          return make_error(errc::malformed, "a zero of an AWQ gemv_fast checkpoint is no multiple of its scale",
                            "-(scale * zero), zero 0 to 15")
              .about("qzeros")
              .at(row, col)
              .with(scaled.bits);
      }
      if constexpr (!F::symmetric)
        p.zero = static_cast<decltype(p.zero)>(zero);
      else if (zero != F::half)
        return make_error(errc::malformed, "a zero point of a symmetric AWQ linear is not in the middle", "8")
            .about("qzeros")
            .at(row, col)
            .with(static_cast<std::int64_t>(zero));
    }
  return to;
}

/// The tensors of a checkpoint from codes and parameters.
/// Errors: shape when the matrix does not fill words or groups, unsupported for reordered groups, malformed for codes
/// and zeros over 15, out_of_memory.
template <awq_storable F>
inline result<awq_tensors> pack_awq(const coded_matrix<F>& from, awq_packing packing = awq_packing::gemm) {
  using safetensors::dtype;
  const std::size_t n = from.rows, k = from.cols, groups = groups_per_row<F>(k);
  const bool fast = packing == awq_packing::gemv_fast, gemv = packing == awq_packing::gemv;
  if (auto fits = detail::awq_shape(packing, k, n, F::group > 0 ? std::size_t(F::group) : 0); !fits)
    return fits.error();
  if (!from.group_index.empty())
    return make_error(errc::unsupported,
                      "an AWQ checkpoint holds neighbouring inputs; this linear has reordered groups",
                      "groups in order");
  if (auto ok = detail::check_codes(from.codes.span(), 4, k); !ok) return ok.error();
  const std::size_t z = detail::awq_zero_words(groups, group_length<F>(k)), zero_cols = gemv ? 8 * z : groups;
  auto qweight = gemv   ? detail::make_tensor("qweight", dtype::i32, {n, k / 8})
                 : fast ? detail::make_tensor("qweight", dtype::i16, {n / 4, k})
                        : detail::make_tensor("qweight", dtype::i32, {k, n / 8});
  auto qzeros = gemv   ? detail::make_tensor("qzeros", dtype::i32, {n, z})
                : fast ? detail::make_tensor("qzeros", dtype::f16, {8 * z, n})
                       : detail::make_tensor("qzeros", dtype::i32, {groups, n / 8});
  auto scales = gemv ? detail::make_tensor("scales", dtype::f16, {n, 8 * z})
                     : detail::make_tensor("scales", dtype::f16, {fast ? 8 * z : groups, n});
  auto zeros = buffer<std::uint8_t>::zeros(n * zero_cols);
  if (!qweight) return qweight.error();
  if (!qzeros) return qzeros.error();
  if (!scales) return scales.error();
  if (!zeros) return zeros.error();
  for (std::size_t r = 0; r < n; ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      const typename F::params& p = from.params[from.params_index(r, g)];
      unsigned zero = 8;
      if constexpr (!F::symmetric) zero = static_cast<unsigned>(p.zero);
      if (zero > 15)
        return make_error(errc::malformed, "a zero point does not fit its width", "0 to 15")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(g))
            .with(static_cast<std::int64_t>(zero));
      (*zeros)[r * zero_cols + g] = static_cast<std::uint8_t>(zero);
      const std::size_t i = detail::awq_scale_index(packing, r, g, scales->view());
      detail::store_at(*scales, i, p.scale);
      if (fast) detail::store_at(*qzeros, i, detail::awq_scaled_zero(p.scale, zero));
    }
  if (gemv) {
    auto* const w = reinterpret_cast<std::uint8_t*>(qweight->bytes.data());
    auto* const to = reinterpret_cast<std::uint8_t*>(qzeros->bytes.data());
    for (std::size_t r = 0; r < n; ++r) {
      pack_row<linear, 4>(from.row_codes(r), w, from.shape(), r, 0, k);
      pack_row<linear, 4>(zeros->data() + r * zero_cols, to, shape{n, zero_cols}, r, 0, zero_cols);
    }
  } else if (fast) {
    auto words = buffer<std::uint16_t>::zeros(n / 4 * k);
    if (!words) return words.error();
    for (std::size_t r = 0; r < n; ++r)
      pack_row<awq_gemv_rows, 4>(from.row_codes(r), words->data(), from.shape(), r, 0, k);
    for (std::size_t i = 0; i < words->size(); ++i) store_u16(qweight->bytes.data() + 2 * i, (*words)[i]);
  } else {
    auto words = buffer<std::uint32_t>::zeros(k * (n / 8)), zero_words = buffer<std::uint32_t>::zeros(groups * (n / 8));
    if (!words) return words.error();
    if (!zero_words) return zero_words.error();
    for (std::size_t r = 0; r < n; ++r) {
      pack_row<awq_interleave, 4>(from.row_codes(r), words->data(), from.shape(), r, 0, k);
      pack_row<awq_interleave, 4>(zeros->data() + r * groups, zero_words->data(), shape{n, groups}, r, 0, groups);
    }
    detail::store_words(*qweight, words->span());
    detail::store_words(*qzeros, zero_words->span());
  }
  return awq_tensors{*std::move(qweight), *std::move(qzeros), *std::move(scales)};
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/io/awq_checkpoint.hpp
// BEGIN nbit/io/awq_config.hpp
// nbit/io/awq_config.hpp — what an AWQ checkpoint says about its linears: quantization_config, or quant_config.json.
//
// transformers writes bits and group_size, AutoAWQ itself w_bit and q_group_size; the version's case differs too. Both
// are read. Writing sets the members that a config has in place and leaves everything else as it was.
#ifndef NBIT_IO_AWQ_CONFIG_HPP
#define NBIT_IO_AWQ_CONFIG_HPP

#include <cstdint>
#include <string_view>
#include <utility>

namespace nbit {

inline namespace NBIT_TAG {

/// What the config says about all linears.
struct awq_config {
  int bits = 4;
  std::int64_t group = 128;  // -1: one group for each output
  bool zero_point = true;
  awq_packing packing = awq_packing::gemm;
};

namespace detail {

/// The packing of this name; `lower` says how names are spelt when written.
struct awq_version {
  awq_packing packing;
  std::string_view lower, upper;
};
inline constexpr awq_version awq_versions[] = {
    {awq_packing::gemm, "gemm", "GEMM"},
    {awq_packing::gemv, "gemv", "GEMV"},
    {awq_packing::gemv_fast, "gemv_fast", "GEMVFast"},
};
inline const awq_version* find_awq_version(std::string_view name) {
  for (const awq_version& v : awq_versions)
    if (name == v.lower || name == v.upper || (v.packing == awq_packing::gemv_fast && name == "GEMV_FAST")) return &v;
  return nullptr;
}

}  // namespace detail

/// Reads the config of a checkpoint.  Errors: missing, malformed, unsupported (another method, version or width).
inline result<awq_config> read_awq_config(const json_value& from) {
  awq_config c;
  if (from.find("quant_method") != nullptr) {
    const result<std::string_view> method = from.get<std::string_view>("quant_method");
    if (!method) return method.error();
    if (*method != "awq")
      return make_error(errc::unsupported, "the checkpoint was quantized by another method", "awq")
          .about("quant_method");
  }
  const bool theirs = from.find("w_bit") != nullptr && from.find("bits") == nullptr;
  const char* const bits_name = theirs ? "w_bit" : "bits";
  const char* const group_name = theirs ? "q_group_size" : "group_size";
  const result<int> bits = from.get<int>(bits_name);
  if (!bits) return bits.error();
  if (*bits != 4)
    return make_error(errc::unsupported, "code width of an AWQ checkpoint", "4").about(bits_name).with(*bits);
  const result<std::int64_t> group = from.get<std::int64_t>(group_name);
  if (!group) return group.error();
  if (*group != -1 && *group < 1)
    return make_error(errc::malformed, "group size of an AWQ checkpoint", "-1, or 1 and more")
        .about(group_name)
        .with(*group);
  c.bits = *bits, c.group = *group;
  if (from.find("zero_point") != nullptr) {
    const result<bool> zero_point = from.get<bool>("zero_point");
    if (!zero_point) return zero_point.error();
    c.zero_point = *zero_point;
  }
  if (from.find("version") != nullptr) {
    const result<std::string_view> version = from.get<std::string_view>("version");
    if (!version) return version.error();
    const detail::awq_version* const known = detail::find_awq_version(*version);
    if (known == nullptr)
      return make_error(errc::unsupported, "codes are packed in another way", "gemm, gemv or gemv_fast")
          .about("version");
    c.packing = known->packing;
  }
  return c;
}

/// The config as other programs read it. `kept` is the config that it replaces: members that nbit does not know, and
/// the spelling of those it does, stay.
inline json_value awq_config_json(const awq_config& c, json_value kept = json_value::object()) {
  const bool theirs = kept.find("w_bit") != nullptr && kept.find("bits") == nullptr;
  if (!theirs) kept.set("quant_method", json_value::string("awq"));
  kept.set(theirs ? "w_bit" : "bits", json_value::number(c.bits));
  kept.set(theirs ? "q_group_size" : "group_size", json_value::number(c.group));
  kept.set("zero_point", json_value::boolean(c.zero_point));
  const detail::awq_version* said = nullptr;
  if (const json_value* const v = kept.find("version")) said = detail::find_awq_version(v->text());
  if (said == nullptr || said->packing != c.packing)
    for (const detail::awq_version& v : detail::awq_versions)
      if (v.packing == c.packing) kept.set("version", json_value::string(theirs ? v.upper : v.lower));
  return kept;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/awq_config.hpp
// BEGIN nbit/io/bnb_checkpoint.hpp
// nbit/io/bnb_checkpoint.hpp — a linear as bitsandbytes stores it in four bits: NF4 or FP4, absmax plain or nested.
//
//   weight            u8 [N K / 2, 1]   codes of the whole tensor in a row, the even one in the high nibble
//   weight.absmax     f32 [B]           of each block of 32 to 4096 weights; or, nested, u8: codes of 256 levels
//   weight.quant_map  f32 [16]          the levels
//   weight.quant_state.bitsandbytes__nf4 (or __fp4)  u8: JSON with quant_type, blocksize, dtype, shape, nested_*
//   weight.nested_absmax f32 [B / 256], weight.nested_quant_map f32 [256]
// Nested: absmax = nested_quant_map[code] * nested_absmax + nested_offset. Blocks run over the whole tensor, so they
// cross rows where inputs are no multiple of the block: such a linear is read as one row. Ref: bitsandbytes 0.50 (MIT).
#ifndef NBIT_IO_BNB_CHECKPOINT_HPP
#define NBIT_IO_BNB_CHECKPOINT_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

// BEGIN nbit/io/json_writer.hpp
// nbit/io/json_writer.hpp — writes a JSON value as text that every JSON reader accepts.
#ifndef NBIT_IO_JSON_WRITER_HPP
#define NBIT_IO_JSON_WRITER_HPP

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace nbit {

inline namespace NBIT_TAG {

/// Appends the text as a JSON string, with quotes. Bytes that are not UTF-8 become U+FFFD: file names and keys of
/// damaged files must not make the output unreadable.
inline void json_append_string(std::string& to, std::string_view text) {
  static constexpr char hex[] = "0123456789abcdef";
  to += '"';
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t n = utf8_length(text);
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (c == '\n') {
      to += "\\n";
    } else if (c == '\t') {
      to += "\\t";
    } else if (c == '\r') {
      to += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      to += "\\u00";
      to += hex[static_cast<unsigned char>(c) >> 4];
      to += hex[static_cast<unsigned char>(c) & 15];
    } else if (n == 0) {
      utf8_append(to, 0xfffd);
    } else {
      to.append(text, 0, n);
    }
    text.remove_prefix(n == 0 ? 1 : n);
  }
  to += '"';
}

namespace detail {
inline void json_break(std::string& to, int indent, int depth) {
  if (indent == 0) return;
  to += '\n';
  to.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
}

inline void json_append(std::string& to, const json_value& v, int indent, int depth) {
  switch (v.kind()) {
    case json_kind::null: to += "null"; return;
    case json_kind::boolean: to += v.get<bool>().value_or(false) ? "true" : "false"; return;
    case json_kind::number: to += v.text(); return;
    case json_kind::string: json_append_string(to, v.text()); return;
    default: break;
  }
  const bool object = v.is(json_kind::object);
  const std::span<const json_value> items = v.items();
  to += object ? '{' : '[';
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i != 0) to += ',';
    json_break(to, indent, depth + 1);
    if (object) {
      json_append_string(to, v.names()[i]);
      to += indent == 0 ? ":" : ": ";
    }
    json_append(to, items[i], indent, depth + 1);
  }
  if (!items.empty()) json_break(to, indent, depth);
  to += object ? '}' : ']';
}
}  // namespace detail

/// The value as text. indent 0 writes it on one line without spaces; else that many spaces for each level.
[[nodiscard]] inline std::string json_text(const json_value& v, int indent = 0) {
  std::string text;
  detail::json_append(text, v, indent, 0);
  return text;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/json_writer.hpp

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// NF4 and FP4 with blocks of another size than 64.
template <int Block>
struct nf4_blocks : codebook<nf4_blocks<Block>, 4, Block, scale_type::f32> {
  static constexpr std::array<float, 16> levels = nf4::levels;
};
template <int Block>
struct fp4_blocks : codebook<fp4_blocks<Block>, 4, Block, scale_type::f32> {
  static constexpr std::array<float, 16> levels = fp4::levels;
};

/// Formats that a bitsandbytes checkpoint can hold: a codebook of 16 levels that are NF4's or FP4's, f32 scales.
template <class F>
concept bnb_storable = grid_format<F> && F::bits == 4 && F::group > 0 &&
                       std::is_same_v<decltype(F::params::scale), float>&& requires { F::levels.size(); } &&
                       (F::levels == nf4::levels || F::levels == fp4::levels);

inline namespace NBIT_TAG {

/// The tensors of one linear; the last two only when absmax is nested.
struct bnb_linear {
  stored_tensor weight, absmax, quant_map, quant_state, nested_absmax, nested_quant_map;
};

/// What quant_state says; other members of the JSON stay in `json`.
struct bnb_state {
  std::string quant_type, dtype = "float16";  // dtype: what the peer decodes to
  std::int64_t block = 64;
  std::uint64_t rows = 0, cols = 0;
  bool nested = false;
  std::int64_t nested_block = 256;
  double nested_offset = 0;
  json_value json;
};

/// Absmax values as bytes: level * absmax of 256 of them + offset. Empty: they are stored as f32.
struct bnb_nested {
  buffer<std::uint8_t> codes;
  buffer<float> absmax, levels;
};

/// A linear as read. With blocks inside rows `weights` has the linear's shape; else one row of all weights.
template <bnb_storable F>
struct bnb_weights {
  coded_matrix<F> weights;
  bnb_state state;
  bnb_nested nested;
};

/// Owns the tensors of one linear; nested ones are not present() when absmax is plain.
struct bnb_tensors {
  owned_tensor weight, absmax, quant_map, quant_state, nested_absmax, nested_quant_map;

  [[nodiscard]] bnb_linear view() const {
    return {weight.view(),      absmax.view(),        quant_map.view(),
            quant_state.view(), nested_absmax.view(), nested_quant_map.view()};
  }
};

/// Reads the JSON of quant_state, which is untrusted bytes of a tensor.
/// Errors: those of json_parse; missing, malformed, unsupported, overflow; the member is the subject.
inline result<bnb_state> read_bnb_state(std::span<const std::byte> bytes) {
  bnb_state s;
  result<json_value> json =
      json_parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, {.bytes = 1u << 16});
  if (!json) return json.error().about("quant_state");
  const json_value& from = *json;
  const auto bad = [](errc code, const char* name, const char* what, const char* allowed) {
    return make_error(code, what, allowed).about(name);
  };
  const result<std::string_view> type = from.get<std::string_view>("quant_type"),
                                 dtype = from.get<std::string_view>("dtype");
  if (!type) return type.error();
  if (!dtype) return dtype.error();
  if (*type != "nf4" && *type != "fp4")
    return bad(errc::unsupported, "quant_type", "codes of another kind", "nf4 or fp4");
  if (*dtype != "float16" && *dtype != "bfloat16" && *dtype != "float32")
    return bad(errc::unsupported, "dtype", "weights of another element type", "float16, bfloat16 or float32");
  s.quant_type = *type, s.dtype = *dtype;
  const result<std::int64_t> block = from.get<std::int64_t>("blocksize");
  if (!block) return block.error();
  if (*block < 32 || *block > 4096 || (*block & (*block - 1)) != 0)
    return bad(errc::malformed, "blocksize", "weights that share an absmax", "a power of two, 32 to 4096").with(*block);
  s.block = *block;
  const json_value* const shape = from.find("shape");
  if (shape == nullptr || !shape->is(json_kind::array))
    return bad(errc::missing, "shape", "the shape is no list", "[outputs, inputs]");
  if (shape->size() != 2)
    return bad(errc::shape, "shape", "the shape has another number of dimensions", "2")
        .with(static_cast<std::int64_t>(shape->size()));
  for (std::size_t i = 0; i < 2; ++i) {
    const result<std::uint64_t> n = shape->items()[i].get<std::uint64_t>();
    if (!n) return n.error().about("shape");
    if (*n == 0 || *n > 0x7fffffffu)
      return bad(errc::overflow, "shape", "a dimension of the shape", "1 to 2^31 - 1")
          .with(static_cast<std::int64_t>(*n));
    (i == 0 ? s.rows : s.cols) = *n;
  }
  s.nested = from.find("nested_blocksize") != nullptr || from.find("nested_offset") != nullptr;
  if (s.nested) {
    const result<std::int64_t> nested = from.get<std::int64_t>("nested_blocksize");
    const result<double> offset = from.get<double>("nested_offset");
    if (!nested) return nested.error();
    if (!offset) return offset.error();
    if (*nested < 1 || *nested > 65536)
      return bad(errc::malformed, "nested_blocksize", "absmax values that share an absmax", "1 to 65536").with(*nested);
    if (!is_finite(static_cast<float>(*offset)))
      return bad(errc::not_finite, "nested_offset", "the mean of absmax is infinite", "a finite number");
    if (from.find("nested_dtype") != nullptr) {
      const result<std::string_view> nested_dtype = from.get<std::string_view>("nested_dtype");
      if (!nested_dtype) return nested_dtype.error();
      if (*nested_dtype != "float32")
        return bad(errc::unsupported, "nested_dtype", "absmax of another element type", "float32");
    }
    s.nested_block = *nested, s.nested_offset = *offset;
  }
  s.json = *std::move(json);
  return s;
}

/// The JSON of quant_state as the peer writes it; members of state.json that nbit does not know stay.
inline std::string bnb_state_text(const bnb_state& s) {
  json_value to = s.json.is(json_kind::object) ? s.json : json_value::object();
  to.set("quant_type", json_value::string(s.quant_type));
  to.set("blocksize", json_value::number(s.block));
  to.set("dtype", json_value::string(s.dtype));
  json_value shape = json_value::array();
  shape.push(json_value::number(s.rows)), shape.push(json_value::number(s.cols));
  to.set("shape", std::move(shape));
  if (s.nested) {
    to.set("nested_blocksize", json_value::number(s.nested_block));
    to.set("nested_dtype", json_value::string("float32"));
    const json_value* const said = to.find("nested_offset");  // its digits stay while they mean the same
    const result<double> same = said != nullptr ? said->get<double>() : result<double>(make_error(errc::missing, ""));
    if (!same || *same != s.nested_offset) to.set("nested_offset", json_value::number(s.nested_offset));
  }
  // The peer's JSON has a space after each comma and colon outside strings.
  std::string spaced;
  bool quoted = false, escaped = false;
  for (const char c : json_text(to)) {
    spaced += c;
    if (!quoted && (c == ',' || c == ':')) spaced += ' ';
    if (c == '"' && !escaped) quoted = !quoted;
    escaped = c == '\\' && !escaped;
  }
  return spaced;
}

namespace detail {

/// The name of the tensor that holds the state.
inline const char* bnb_state_name(std::string_view quant_type) {
  return quant_type == "fp4" ? "weight.quant_state.bitsandbytes__fp4" : "weight.quant_state.bitsandbytes__nf4";
}

/// Absmax of every block as numbers, from f32 or from nested bytes.
template <class F>
inline result<void> bnb_read_absmax(const bnb_linear& from, bnb_weights<F>& to) {
  using safetensors::dtype;
  const std::uint64_t blocks = to.weights.params.size();
  const char* const name = "weight.absmax";
  if (auto ok = check_tensor(from.absmax, name, {to.state.nested ? dtype::u8 : dtype::f32},
                             to.state.nested ? "U8, as quant_state says that it is nested" : "F32", 1);
      !ok)
    return ok;
  if (auto ok = check_dimension(from.absmax, name, 0, blocks, "the weights by the blocksize"); !ok) return ok;
  if (!to.state.nested) {
    for (std::size_t i = 0; i < blocks; ++i) {
      const float absmax = load_at<float>(from.absmax, i);
      if (auto ok = check_magnitude(absmax, name, 0, i); !ok) return ok;
      to.weights.params[i].scale = absmax;
    }
    return {};
  }
  const std::uint64_t nested = ceil_div(blocks, static_cast<std::uint64_t>(to.state.nested_block));
  if (auto ok = check_tensor(from.nested_absmax, "weight.nested_absmax", {dtype::f32}, "F32", 1); !ok) return ok;
  if (auto ok =
          check_dimension(from.nested_absmax, "weight.nested_absmax", 0, nested, "the blocks by nested_blocksize");
      !ok)
    return ok;
  if (auto ok = check_tensor(from.nested_quant_map, "weight.nested_quant_map", {dtype::f32}, "F32", 1); !ok) return ok;
  if (auto ok = check_dimension(from.nested_quant_map, "weight.nested_quant_map", 0, 256, "256"); !ok) return ok;
  auto codes = buffer<std::uint8_t>::make(static_cast<std::size_t>(blocks));
  auto absmax = buffer<float>::make(static_cast<std::size_t>(nested)), levels = buffer<float>::make(256);
  if (!codes) return codes.error();
  if (!absmax) return absmax.error();
  if (!levels) return levels.error();
  for (std::size_t i = 0; i < 256; ++i) {
    (*levels)[i] = load_at<float>(from.nested_quant_map, i);
    if (auto ok = check_scale((*levels)[i], "weight.nested_quant_map", 0, i); !ok) return ok;
  }
  for (std::size_t i = 0; i < nested; ++i) {
    (*absmax)[i] = load_at<float>(from.nested_absmax, i);
    if (auto ok = check_magnitude((*absmax)[i], "weight.nested_absmax", 0, i); !ok) return ok;
  }
  for (std::size_t i = 0; i < blocks; ++i) {
    NBIT_EXACT(*codes)
    [i] = std::to_integer<std::uint8_t>(from.absmax.bytes[i]);
    const float product = (*levels)[(*codes)[i]] * (*absmax)[i / static_cast<std::size_t>(to.state.nested_block)];
    to.weights.params[i].scale = product + static_cast<float>(to.state.nested_offset);
    if (auto ok = check_scale(to.weights.params[i].scale, name, 0, i); !ok) return ok;
  }
  to.nested.codes = *std::move(codes), to.nested.absmax = *std::move(absmax), to.nested.levels = *std::move(levels);
  return {};
}

}  // namespace detail

/// Codes and absmax of a linear. F's levels and group must be the file's.
/// Errors: those of read_bnb_state; missing, malformed (element type; levels that are not F's), shape, not_finite,
/// unsupported (another blocksize or quant_type than F's), overflow, out_of_memory; the tensor is the subject.
template <bnb_storable F>
inline result<bnb_weights<F>> unpack_bnb(const bnb_linear& from) {
  using safetensors::dtype;
  if (auto ok = detail::check_tensor(from.quant_state, "weight.quant_state", {dtype::u8}, "U8", 1); !ok)
    return ok.error();
  auto state = read_bnb_state(from.quant_state.bytes);
  if (!state) return state.error();
  if (state->block != F::group)
    return make_error(errc::unsupported, "blocks are of another size than the format's", "the format's group")
        .about("blocksize")
        .with(state->block);
  if (auto ok = detail::check_tensor(from.quant_map, "weight.quant_map", {dtype::f32}, "F32", 1); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.quant_map, "weight.quant_map", 0, 16, "16"); !ok) return ok.error();
  for (std::size_t i = 0; i < 16; ++i)
    if (!(detail::load_at<float>(from.quant_map, i) == F::levels[i]))
      return make_error(errc::malformed, "a level is not the format's", "the levels of NF4 or FP4, as the format's")
          .about("weight.quant_map")
          .at(0, static_cast<std::int64_t>(i));
  const bool nf4_type = state->quant_type == "nf4";
  if (nf4_type != (F::levels == nf4::levels))
    return make_error(errc::malformed, "quant_type is not that of the levels", "nf4 or fp4, as the levels")
        .about("quant_type");
  if (auto ok = detail::check_tensor(from.weight, "weight", {dtype::u8}, "U8", 2); !ok) return ok.error();
  const std::uint64_t weights = state->rows * state->cols;
  const bool column = from.weight.shape[1] == 1;  // older files hold [1, bytes]
  if (auto ok = detail::check_dimension(from.weight, "weight", column ? 0 : 1, ceil_div<std::uint64_t>(weights, 2),
                                        "half the weights");
      !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.weight, "weight", column ? 1 : 0, 1, "1"); !ok) return ok.error();
  const auto rows = static_cast<std::size_t>(state->rows), cols = static_cast<std::size_t>(state->cols);
  const bool inside = cols % std::size_t(F::group) == 0;
  auto codes = coded_matrix<F>::make(inside ? shape{rows, cols} : shape{1, rows * cols});
  if (!codes) return codes.error();
  bnb_weights<F> to;
  to.weights = *std::move(codes), to.state = *std::move(state);
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(from.weight.bytes.data());
  const std::size_t n = to.weights.codes.size();
  unpack_row<high_nibbles, 4>(bytes, shape{1, round_up<std::size_t>(n, 2)}, 0, 0, n, to.weights.codes.data());
  if (auto ok = detail::bnb_read_absmax(from, to); !ok) return ok.error();
  return to;
}

/// The tensors of a checkpoint. state.rows and cols are the linear's shape, which weights may hold as one row; with
/// nested codes absmax is written from those, as read; scales of `weights` that changed since are lost. Errors: shape,
/// malformed for codes over 15, out_of_memory.
template <bnb_storable F>
inline result<bnb_tensors> pack_bnb(const bnb_weights<F>& from) {
  using safetensors::dtype;
  const std::size_t n = from.weights.codes.size(), blocks = from.weights.params.size();
  if (from.state.rows * from.state.cols != n ||
      (from.weights.rows > 1 && from.weights.cols % std::size_t(F::group) != 0))
    return make_error(errc::shape, "weights do not have the shape of their state, or rows that end inside a block",
                      "rows of whole blocks, or one row")
        .with(static_cast<std::int64_t>(n));
  if (from.state.nested && from.nested.codes.size() != blocks)
    return make_error(errc::shape, "nested absmax values are not one for each block", "the blocks")
        .with(static_cast<std::int64_t>(from.nested.codes.size()));
  if (auto ok = detail::check_codes(from.weights.codes.span(), 4, from.weights.cols); !ok) return ok.error();
  bnb_state state = from.state;
  state.quant_type = F::levels == nf4::levels ? "nf4" : "fp4", state.block = F::group;
  const std::string text = bnb_state_text(state);
  auto weight = detail::make_tensor("weight", dtype::u8, {(n + 1) / 2, 1});
  auto absmax = detail::make_tensor("weight.absmax", state.nested ? dtype::u8 : dtype::f32, {blocks});
  auto map = detail::make_tensor("weight.quant_map", dtype::f32, {16});
  auto json = detail::make_tensor(detail::bnb_state_name(state.quant_type), dtype::u8, {text.size()});
  if (!weight) return weight.error();
  if (!absmax) return absmax.error();
  if (!map) return map.error();
  if (!json) return json.error();
  auto* const bytes = reinterpret_cast<std::uint8_t*>(weight->bytes.data());
  pack_row<high_nibbles, 4>(from.weights.codes.data(), bytes, shape{1, round_up<std::size_t>(n, 2)}, 0, 0, n);
  for (std::size_t i = 0; i < 16; ++i)
    detail::store_at(*map, i, F::levels[i] == 0.0f ? 0.0f : F::levels[i]);  // no -0 in the peer's
  for (std::size_t i = 0; i < text.size(); ++i) json->bytes[i] = static_cast<std::byte>(text[i]);
  for (std::size_t i = 0; i < blocks; ++i) {
    if (state.nested)
      absmax->bytes[i] = static_cast<std::byte>(from.nested.codes[i]);
    else
      detail::store_at(*absmax, i, from.weights.params[i].scale);
  }
  bnb_tensors to;
  if (state.nested) {
    auto nested = detail::make_tensor("weight.nested_absmax", dtype::f32, {from.nested.absmax.size()});
    auto levels = detail::make_tensor("weight.nested_quant_map", dtype::f32, {from.nested.levels.size()});
    if (!nested) return nested.error();
    if (!levels) return levels.error();
    for (std::size_t i = 0; i < from.nested.absmax.size(); ++i) detail::store_at(*nested, i, from.nested.absmax[i]);
    for (std::size_t i = 0; i < from.nested.levels.size(); ++i) detail::store_at(*levels, i, from.nested.levels[i]);
    to.nested_absmax = *std::move(nested), to.nested_quant_map = *std::move(levels);
  }
  to.weight = *std::move(weight), to.absmax = *std::move(absmax);
  to.quant_map = *std::move(map), to.quant_state = *std::move(json);
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/io/bnb_checkpoint.hpp
// BEGIN nbit/io/bnb_int8_checkpoint.hpp
// nbit/io/bnb_int8_checkpoint.hpp — a linear as bitsandbytes stores it in eight bits, LLM.int8: bytes and row maxima.
//
//   weight         i8  [N, K]   round(127 w / SCB)
//   SCB            f32 [N]      largest magnitude of each output
//   weight_format  u8  []       0: rows in order; the orders of older GPU kernels are refused
// Ref: Dettmers 2022, LLM.int8(), section 2; bitsandbytes 0.50 (MIT).
#ifndef NBIT_IO_BNB_INT8_CHECKPOINT_HPP
#define NBIT_IO_BNB_INT8_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// LLM.int8's weights: 8 bits, the largest magnitude of each output stored as it is. Codes count from -128.
struct bnb_int8 {
  static constexpr int bits = 8, group = per_row;
  static constexpr bool symmetric = true;
  using params = symmetric_params<float>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    return {nbit::abs(detail::range_of(w).signed_max)};
  }
  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    NBIT_EXACT
    return p.scale == 0.0f ? 128 : round_clamped(v * (127.0f / p.scale), -127, 127) + 128;
  }
  /// In the peer's order: the product with the maximum is rounded first.
  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    NBIT_EXACT
    return static_cast<float>(c - 128) * p.scale * (1.0f / 127.0f);
  }
};

inline namespace NBIT_TAG {

/// The tensors of one linear; weight_format need not be present.
struct bnb_int8_linear {
  stored_tensor weight, scb, weight_format;
};

/// Owns the tensors of one linear.
struct bnb_int8_tensors {
  owned_tensor weight, scb, weight_format;

  [[nodiscard]] bnb_int8_linear view() const { return {weight.view(), scb.view(), weight_format.view()}; }
};

/// Codes and row maxima of a linear.
/// Errors: missing, malformed (element type; a maximum below 0), unsupported (another order), shape, not_finite,
/// overflow, out_of_memory; the tensor is the subject.
inline result<coded_matrix<bnb_int8>> unpack_bnb_int8(const bnb_int8_linear& from) {
  using safetensors::dtype;
  if (auto ok = detail::check_tensor(from.weight, "weight", {dtype::i8}, "I8", 2); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.scb, "SCB", {dtype::f32}, "F32", 1); !ok) return ok.error();
  if (auto ok = detail::check_dimension(from.scb, "SCB", 0, from.weight.shape[0], "the outputs"); !ok)
    return ok.error();
  if (from.weight_format.present) {
    if (auto ok = detail::check_tensor(from.weight_format, "weight_format", {dtype::u8}, "U8", 0); !ok)
      return ok.error();
    if (from.weight_format.bytes[0] != std::byte{0})
      return make_error(errc::unsupported, "weights lie in the order of an older GPU kernel", "0: rows in order")
          .about("weight_format")
          .with(std::to_integer<std::int64_t>(from.weight_format.bytes[0]));
  }
  auto to = coded_matrix<bnb_int8>::make(
      {static_cast<std::size_t>(from.weight.shape[0]), static_cast<std::size_t>(from.weight.shape[1])});
  if (!to) return to.error();
  for (std::size_t i = 0; i < to->codes.size(); ++i)  // the sign bit flipped counts from -128
    to->codes[i] = static_cast<std::uint8_t>(std::to_integer<unsigned>(from.weight.bytes[i]) ^ 0x80u);
  for (std::size_t r = 0; r < to->rows; ++r) {
    to->params[r].scale = detail::load_at<float>(from.scb, r);
    if (auto ok = detail::check_magnitude(to->params[r].scale, "SCB", 0, r); !ok) return ok.error();
  }
  return to;
}

/// The tensors of a checkpoint.  Errors: out_of_memory, overflow.
inline result<bnb_int8_tensors> pack_bnb_int8(const coded_matrix<bnb_int8>& from) {
  using safetensors::dtype;
  auto weight = detail::make_tensor("weight", dtype::i8, {from.rows, from.cols});
  auto scb = detail::make_tensor("SCB", dtype::f32, {from.rows});
  auto order = detail::make_tensor("weight_format", dtype::u8, {});
  if (!weight) return weight.error();
  if (!scb) return scb.error();
  if (!order) return order.error();
  for (std::size_t i = 0; i < from.codes.size(); ++i) weight->bytes[i] = static_cast<std::byte>(from.codes[i] ^ 0x80u);
  for (std::size_t r = 0; r < from.rows; ++r) detail::store_at(*scb, r, from.params[r].scale);
  return bnb_int8_tensors{*std::move(weight), *std::move(scb), *std::move(order)};
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/io/bnb_int8_checkpoint.hpp
// BEGIN nbit/io/byte_sink.hpp
// nbit/io/byte_sink.hpp — where a writer's bytes go: a file, memory, or anything of the caller's with a write().
#ifndef NBIT_IO_BYTE_SINK_HPP
#define NBIT_IO_BYTE_SINK_HPP

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

namespace nbit {

/// Takes bytes in order. After an error nothing more is written to it.
template <class Sink>
concept byte_sink = requires(Sink& to, std::span<const std::byte> bytes) {
  { to.write(bytes) } -> std::same_as<result<void>>;
};

inline namespace NBIT_TAG {

/// A sink that keeps everything in memory.
struct memory_sink {
  std::vector<std::byte> bytes;

  /// Appends; never fails.
  result<void> write(std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {};
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/byte_sink.hpp
// BEGIN nbit/io/compressed_config.hpp
// nbit/io/compressed_config.hpp — what a compressed-tensors checkpoint says about its weights: quantization_config.
//
// config_groups names groups of linears by targets (module types, names, "re:" patterns) and gives each a scheme;
// ignore lists linears that stay as they were. Only what concerns weights is read; activations, observers, sparsity and
// members nobody here knows stay in the JSON. Ref: compressed-tensors 0.20.0 (Apache-2.0); docs/formats.md.
#ifndef NBIT_IO_COMPRESSED_CONFIG_HPP
#define NBIT_IO_COMPRESSED_CONFIG_HPP

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nbit {

/// The formats whose tensors nbit reads.
enum class ct_format : std::uint8_t {
  pack_quantized,        // unpack_ct
  int_quantized,         // unpack_ct, ct_packing::int_quantized
  float_quantized,       // unpack_ct_fp8
  naive_quantized,       // unpack_ct_fp8, or int8 as int_quantized
  nvfp4_pack_quantized,  // unpack_ct_nvfp4
  mxfp4_pack_quantized,  // unpack_ct_mxfp4
};

/// What shares a scale.
enum class ct_strategy : std::uint8_t { tensor, channel, group, tensor_group };

inline namespace NBIT_TAG {

/// How the weights of a group of linears are stored.
struct ct_scheme {
  ct_format format = ct_format::pack_quantized;
  int bits = 4;
  bool floating = false;  // type "float"
  bool symmetric = true;
  ct_strategy strategy = ct_strategy::group;
  std::int64_t group = 128;  // with strategies group and tensor_group
};

/// A group of linears: its name, who belongs to it, and how the weights are stored.
struct ct_group {
  std::string name;
  std::vector<std::string> targets;
  ct_scheme weights;
};

/// All groups with quantized weights, and the linears that none of them holds.
struct ct_config {
  std::vector<ct_group> groups;
  std::vector<std::string> ignore;
};

namespace detail {

template <class T>
struct named_value {
  T value;
  std::string_view name;
};
inline constexpr named_value<ct_format> ct_formats[] = {
    {ct_format::pack_quantized, "pack-quantized"},
    {ct_format::int_quantized, "int-quantized"},
    {ct_format::float_quantized, "float-quantized"},
    {ct_format::naive_quantized, "naive-quantized"},
    {ct_format::nvfp4_pack_quantized, "nvfp4-pack-quantized"},
    {ct_format::mxfp4_pack_quantized, "mxfp4-pack-quantized"},
};
inline constexpr named_value<ct_strategy> ct_strategies[] = {
    {ct_strategy::tensor, "tensor"},
    {ct_strategy::channel, "channel"},
    {ct_strategy::group, "group"},
    {ct_strategy::tensor_group, "tensor_group"},
};

template <class T, std::size_t N>
inline const named_value<T>* find_named(const named_value<T> (&all)[N], std::string_view name) {
  for (const named_value<T>& v : all)
    if (v.name == name) return &v;
  return nullptr;
}
template <class T, std::size_t N>
inline json_value name_of(const named_value<T> (&all)[N], T value) {
  for (const named_value<T>& v : all)
    if (v.value == value) return json_value::string(v.name);
  return {};
}

/// The strings of a member that is an array of them; none when it is absent or null.
inline result<std::vector<std::string>> read_strings(const json_value& from, std::string_view name) {
  std::vector<std::string> all;
  const json_value* const list = from.find(name);
  if (list == nullptr || list->is(json_kind::null)) return all;
  if (!list->is(json_kind::array))
    return make_error(errc::malformed, "a member of the config is no list", "a list of strings")
        .about(name)
        .at(list->offset());
  for (const json_value& v : list->items()) {
    const result<std::string_view> text = v.get<std::string_view>();
    if (!text) return text.error().about(name);
    all.emplace_back(*text);
  }
  return all;
}
inline json_value strings_json(const std::vector<std::string>& all) {
  json_value list = json_value::array();
  for (const std::string& s : all) list.push(json_value::string(s));
  return list;
}

/// A text among known ones.
template <class T, std::size_t N>
inline result<T> read_named(const named_value<T> (&all)[N], const json_value& from, std::string_view name,
                            const char* what, const char* allowed) {
  const result<std::string_view> text = from.get<std::string_view>(name);
  if (!text) return text.error();
  const named_value<T>* const known = find_named(all, *text);
  if (known == nullptr)
    return make_error(errc::unsupported, what, allowed).about(std::string(name).append(": ").append(*text));
  return known->value;
}

inline result<ct_scheme> read_ct_scheme(const json_value& weights, ct_format format) {
  ct_scheme s;
  s.format = format;
  const result<int> bits = weights.get<int>("num_bits");
  if (!bits) return bits.error();
  if (*bits < 1 || *bits > 8)
    return make_error(errc::unsupported, "code width of a compressed-tensors checkpoint", "1 to 8")
        .about("num_bits")
        .with(*bits);
  s.bits = *bits;
  if (weights.find("type") != nullptr) {
    const result<std::string_view> type = weights.get<std::string_view>("type");
    if (!type) return type.error();
    if (*type != "int" && *type != "float")
      return make_error(errc::unsupported, "codes are of another type", "int or float").about("type");
    s.floating = *type == "float";
  }
  if (weights.find("symmetric") != nullptr) {
    const result<bool> symmetric = weights.get<bool>("symmetric");
    if (!symmetric) return symmetric.error();
    s.symmetric = *symmetric;
  }
  const json_value* const size = weights.find("group_size");
  const bool sized = size != nullptr && !size->is(json_kind::null);
  const json_value* const strategy = weights.find("strategy");
  if (strategy != nullptr && !strategy->is(json_kind::null)) {
    const result<ct_strategy> known = read_named(ct_strategies, weights, "strategy", "scales are shared in another way",
                                                 "tensor, channel, group or tensor_group");
    if (!known) return known.error();
    s.strategy = *known;
  } else {  // the peer's rule: a group size says it
    s.strategy = sized ? ct_strategy::group : ct_strategy::tensor;
  }
  if (sized) {
    const result<std::int64_t> group = weights.get<std::int64_t>("group_size");
    if (!group) return group.error();
    if (*group < 1 && *group != -1)
      return make_error(errc::malformed, "group size of a compressed-tensors checkpoint", "-1, or 1 and more")
          .about("group_size")
          .with(*group);
    s.group = *group;
    if (*group == -1) s.strategy = ct_strategy::channel;
  } else if (s.strategy == ct_strategy::group || s.strategy == ct_strategy::tensor_group) {
    return make_error(errc::missing, "a scheme by groups has no group size", "1 and more").about("group_size");
  }
  return s;
}

}  // namespace detail

/// Reads the config of a checkpoint. Groups without quantized weights are left out.
/// Errors: missing, malformed, unsupported (another method, format, strategy or width); the member is the subject.
inline result<ct_config> read_ct_config(const json_value& from) {
  ct_config c;
  const char* const formats =
      "pack-quantized, int-quantized, float-quantized, naive-quantized, nvfp4-pack-quantized or mxfp4-pack-quantized";
  const result<std::string_view> method = from.get<std::string_view>("quant_method");
  if (!method) return method.error();
  if (*method != "compressed-tensors")
    return make_error(errc::unsupported, "the checkpoint was quantized by another method", "compressed-tensors")
        .about("quant_method");
  const result<std::string_view> format = from.get<std::string_view>("format");
  if (!format) return format.error();
  const json_value* const groups = from.find("config_groups");
  if (groups == nullptr) return make_error(errc::missing, "the config has no groups").about("config_groups");
  if (!groups->is(json_kind::object))
    return make_error(errc::malformed, "the groups of the config are no object", "an object").about("config_groups");
  auto ignore = detail::read_strings(from, "ignore");
  if (!ignore) return ignore.error();
  c.ignore = *std::move(ignore);
  for (std::size_t i = 0; i < groups->size(); ++i) {
    const json_value& g = groups->items()[i];
    const json_value* const weights = g.find("weights");
    if (weights == nullptr || weights->is(json_kind::null)) continue;
    const json_value* const own = g.find("format");  // of "mixed-precision" checkpoints
    const bool named = own != nullptr && !own->is(json_kind::null);
    const result<ct_format> known = detail::read_named(detail::ct_formats, named ? g : from, "format",
                                                       "the format of the tensors is unknown", formats);
    if (!known) return known.error();
    auto targets = detail::read_strings(g, "targets");
    if (!targets) return targets.error();
    const result<ct_scheme> scheme = detail::read_ct_scheme(*weights, *known);
    if (!scheme) return scheme.error();
    c.groups.push_back({groups->names()[i], *std::move(targets), *scheme});
  }
  return c;
}

/// The config as other programs read it. `kept` is the config that it replaces: what nbit does not know stays, group by
/// group; groups that `c` lacks stay too.
inline json_value ct_config_json(const ct_config& c, json_value kept = json_value::object()) {
  kept.set("quant_method", json_value::string("compressed-tensors"));
  const json_value* const format = kept.find("format");
  bool mixed = format != nullptr && format->text() == "mixed-precision";
  for (const ct_group& g : c.groups) mixed = mixed || g.weights.format != c.groups[0].weights.format;
  if (mixed || !c.groups.empty())
    kept.set("format", mixed ? json_value::string("mixed-precision")
                             : detail::name_of(detail::ct_formats, c.groups[0].weights.format));
  if (kept.find("quantization_status") == nullptr) kept.set("quantization_status", json_value::string("compressed"));
  if (kept.find("ignore") == nullptr || !c.ignore.empty()) kept.set("ignore", detail::strings_json(c.ignore));
  if (kept.find("config_groups") == nullptr) kept.set("config_groups", json_value::object());
  json_value& groups = *kept.find("config_groups");
  for (const ct_group& g : c.groups) {
    json_value* group = groups.find(g.name);
    if (group == nullptr) group = &groups.set(g.name, json_value::object());
    group->set("targets", detail::strings_json(g.targets));
    const json_value* const own = group->find("format");
    if (mixed || (own != nullptr && !own->is(json_kind::null)))
      group->set("format", detail::name_of(detail::ct_formats, g.weights.format));
    if (group->find("weights") == nullptr || !group->find("weights")->is(json_kind::object))
      group->set("weights", json_value::object());
    json_value& weights = *group->find("weights");
    weights.set("num_bits", json_value::number(g.weights.bits));
    weights.set("type", json_value::string(g.weights.floating ? "float" : "int"));
    weights.set("symmetric", json_value::boolean(g.weights.symmetric));
    weights.set("strategy", detail::name_of(detail::ct_strategies, g.weights.strategy));
    if (g.weights.strategy == ct_strategy::group || g.weights.strategy == ct_strategy::tensor_group)
      weights.set("group_size", json_value::number(g.weights.group));
  }
  return kept;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/compressed_config.hpp
// BEGIN nbit/io/compressed_floats.hpp
// nbit/io/compressed_floats.hpp — a linear of small floats as compressed-tensors stores it: FP8, NVFP4, MXFP4.
//
//                    FP8                         NVFP4                    MXFP4
//   weight           f8_e4m3 [N, K]              -                        -
//   weight_packed    -                           u8 [N, K / 2]            u8 [N, K / 2]        even input in the low
//   nibble weight_scale     f32 f16 bf16 [N, G] or [1]  f8_e4m3 [N, K / 16]      u8 [N, K / 32]       MXFP4: 2^(byte -
//   127) weight_global_scale                          f32 [1], a divisor
// FP8 files name their format naive-quantized or float-quantized. An NVFP4 weight is level * (scale / global scale):
// the quotient is rounded to float first. Ref: compressed-tensors 0.20.0 (Apache-2.0); docs/formats.md.
#ifndef NBIT_IO_COMPRESSED_FLOATS_HPP
#define NBIT_IO_COMPRESSED_FLOATS_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

// BEGIN nbit/io/compressed_tensors.hpp
// nbit/io/compressed_tensors.hpp — a linear of integers as compressed-tensors stores it: pack-quantized, int-quantized.
//
//   weight_packed      i32 [N, ceil(K b / 32)]   pack-quantized: value + 2^(b-1), layout/dense_words.hpp
//   weight             i8  [N, K]                int-quantized: the value
//   weight_scale       f32, f16 or bf16 [N, G]; [N, 1] one for each output; [1] one for the tensor
//   weight_zero_point  i32 [ceil(N b / 32), G]   asymmetric only, packed along the outputs; int-quantized: i8 [N, G]
//   weight_shape       i64 [2]                   N and K; pack-quantized only
//   weight_g_idx       i32 [K]                   group of each input, if they are not in order
// Releases before dense packing (0.10.2 is one) put 32 / b whole codes into a word, which differs where b does not
// divide 32; such files are read, and told by their shape. Ref: compressed-tensors 0.20.0 (Apache-2.0);
// docs/formats.md.
#ifndef NBIT_IO_COMPRESSED_TENSORS_HPP
#define NBIT_IO_COMPRESSED_TENSORS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

namespace nbit {

/// Formats that compressed-tensors can hold as integers: uniform, 2 to 8 bits, a scale of 2 or 4 bytes, an integer
/// zero.
template <class F>
concept ct_storable =
    grid_format<F> &&
    requires {
      { F::scheme } -> std::convertible_to<scheme>;
    } && F::bits >= 2 &&
    (F::scheme.scale == scale_type::f32 || F::scheme.scale == scale_type::f16 || F::scheme.scale == scale_type::bf16) &&
    F::scheme.symmetry != symmetry::asymmetric_float;

/// How the codes of a linear are stored: in words of 32 bits, or in bytes with their sign.
enum class ct_packing : std::uint8_t { pack_quantized, int_quantized };

inline namespace NBIT_TAG {

/// The tensors of one linear. weight is weight_packed or, int-quantized, weight. The last three need not be present.
struct ct_linear {
  stored_tensor weight, weight_scale, weight_zero_point, weight_shape, weight_g_idx;
};

/// Owns the tensors of one linear; those that it lacks are not present().
struct ct_tensors {
  owned_tensor weight, weight_scale, weight_zero_point, weight_shape, weight_g_idx;

  [[nodiscard]] ct_linear view() const {
    return {weight.view(), weight_scale.view(), weight_zero_point.view(), weight_shape.view(), weight_g_idx.view()};
  }
};

namespace detail {

/// The packing of older releases, along the columns or, transposed, along the rows: whole codes, the rest of a word
/// unused. Not a layout that packs: it leaves bits over.
template <int Bits, bool AlongRows>
struct ct_whole_codes {
  template <int>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t per_word = 32 / std::size_t(Bits), tile_rows = 1, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape s, std::size_t r, std::size_t c, int bit) {
      if constexpr (AlongRows)
        return {r / per_word * s.cols + c, static_cast<int>(r % per_word) * Bits + bit};
      else
        return {r * ceil_div(s.cols, per_word) + c / per_word, static_cast<int>(c % per_word) * Bits + bit};
    }
  };
};

/// Words that n codes of b bits take, dense and in whole codes.
NBIT_INLINE constexpr std::size_t ct_dense_words(std::size_t n, int bits) {
  return ceil_div(n * std::size_t(bits), std::size_t{32});
}
NBIT_INLINE constexpr std::size_t ct_old_words(std::size_t n, int bits) {
  return ceil_div(n, std::size_t{32} / std::size_t(bits));
}

/// The shape of a linear, from weight_shape or from the bytes of an int-quantized weight.
inline result<shape> ct_shape(const ct_linear& from, ct_packing packing) {
  using safetensors::dtype;
  if (packing == ct_packing::int_quantized) {
    if (auto ok = check_tensor(from.weight, "weight", {dtype::i8}, "I8", 2); !ok) return ok.error();
    return shape{static_cast<std::size_t>(from.weight.shape[0]), static_cast<std::size_t>(from.weight.shape[1])};
  }
  if (auto ok = check_tensor(from.weight, "weight_packed", {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = check_tensor(from.weight_shape, "weight_shape", {dtype::i64}, "I64", 1); !ok) return ok.error();
  if (auto ok = check_dimension(from.weight_shape, "weight_shape", 0, 2, "2"); !ok) return ok.error();
  std::uint64_t n[2] = {};
  for (std::size_t i = 0; i < 2; ++i) {
    n[i] = load_u64(from.weight_shape.bytes.data() + 8 * i);
    if (n[i] > 0x7fffffffu)
      return make_error(errc::overflow, "a linear's outputs or inputs are too many", "at most 2^31 - 1")
          .about("weight_shape")
          .at(0, static_cast<std::int64_t>(i))
          .with(static_cast<std::int64_t>(n[i]));
  }
  if (auto ok = check_dimension(from.weight, "weight_packed", 0, n[0], "the outputs in weight_shape"); !ok)
    return ok.error();
  return shape{static_cast<std::size_t>(n[0]), static_cast<std::size_t>(n[1])};
}

/// The codes of all rows of weight_packed.
template <int Bits>
inline result<void> ct_unpack_weight(const stored_tensor& t, shape s, std::uint8_t* codes) {
  const std::size_t words = static_cast<std::size_t>(t.shape[1]);
  const bool dense = words == ct_dense_words(s.cols, Bits);
  if (!dense && words != ct_old_words(s.cols, Bits))
    return check_dimension(t, "weight_packed", 1, ct_dense_words(s.cols, Bits),
                           "the inputs in weight_shape times bits, in words");
  const auto all = load_words(t);
  if (!all) return all.error();
  for (std::size_t r = 0; r < s.rows; ++r, codes += s.cols) {
    if (dense)
      unpack_row<dense_words, Bits>(all->data(), s, r, 0, s.cols, codes);
    else
      unpack_row<ct_whole_codes<Bits, false>, Bits>(all->data(), s, r, 0, s.cols, codes);
  }
  return {};
}

/// The zeros of all outputs and groups, unsigned as codes are; half when there is no tensor.
template <int Bits>
inline result<void> ct_unpack_zeros(const stored_tensor& t, ct_packing packing, shape s,
                                    std::span<std::uint8_t> zeros) {
  using safetensors::dtype;
  constexpr int half = 1 << (Bits - 1);
  for (std::uint8_t& z : zeros) z = static_cast<std::uint8_t>(half);
  if (!t.present) return {};
  const char* const name = "weight_zero_point";
  const char* const allowed = "as weight_scale";
  if (packing == ct_packing::int_quantized) {
    const bool flat = t.rank == 1;
    if (auto ok = check_tensor(t, name, {dtype::i8}, "I8", flat ? 1 : 2); !ok) return ok.error();
    if (auto ok = check_dimension(t, name, 0, s.rows, allowed); !ok) return ok.error();
    if (!flat || s.cols != 1)
      if (auto ok = check_dimension(t, name, 1, s.cols, allowed); !ok) return ok.error();
    for (std::size_t i = 0; i < zeros.size(); ++i) {
      const int value = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(t.bytes[i]));
      if (value < -half || value >= half)
        return make_error(errc::malformed, "a zero point does not fit its width", "-2^(bits - 1) to 2^(bits - 1) - 1")
            .about(name)
            .at(static_cast<std::int64_t>(i / s.cols), static_cast<std::int64_t>(i % s.cols))
            .with(value);
      zeros[i] = static_cast<std::uint8_t>(value + half);
    }
    return {};
  }
  if (auto ok = check_tensor(t, name, {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = check_dimension(t, name, 1, s.cols, allowed); !ok) return ok.error();
  const bool dense = t.shape[0] == ct_dense_words(s.rows, Bits);
  if (!dense && t.shape[0] != ct_old_words(s.rows, Bits))
    return check_dimension(t, name, 0, ct_dense_words(s.rows, Bits), "the outputs times bits, in words");
  const auto words = load_words(t);
  if (!words) return words.error();
  for (std::size_t r = 0; r < s.rows; ++r) {
    std::uint8_t* const to = zeros.data() + r * s.cols;
    if (dense)
      unpack_row<dense_columns, Bits>(words->data(), s, r, 0, s.cols, to);
    else
      unpack_row<ct_whole_codes<Bits, true>, Bits>(words->data(), s, r, 0, s.cols, to);
  }
  return {};
}

/// The groups of the inputs, or nothing when they are in order (or all -1, which stands for that).
template <class F>
inline result<buffer<std::uint32_t>> ct_group_index(const stored_tensor& t, std::size_t cols) {
  buffer<std::uint32_t> none;
  if (!t.present) return none;
  if (auto ok = check_tensor(t, "weight_g_idx", {safetensors::dtype::i32}, "I32", 1); !ok) return ok.error();
  if (auto ok = check_dimension(t, "weight_g_idx", 0, cols, "the inputs"); !ok) return ok.error();
  auto index = load_words(t);
  if (!index) return index.error();
  bool in_order = true, unset = true;
  const std::size_t length = group_length<F>(cols);
  for (std::size_t c = 0; c < cols; ++c) {
    in_order = in_order && (*index)[c] == c / length;
    unset = unset && (*index)[c] == 0xffffffffu;
  }
  if (in_order || unset) return none;
  for (std::size_t c = 0; c < cols; ++c)
    if ((*index)[c] >= groups_per_row<F>(cols))
      return make_error(errc::malformed, "weight_g_idx names a group that does not exist", "0 to groups - 1")
          .about("weight_g_idx")
          .at(0, static_cast<std::int64_t>(c))
          .with(static_cast<std::int32_t>((*index)[c]));
  return index;
}

/// Rows and columns of the parameters: [N, G], or [1, 1] for one for the tensor.
template <class F>
NBIT_INLINE constexpr shape ct_params_shape(shape s) {
  if constexpr (F::group == per_tensor)
    return {params_count<F>(s.rows, s.cols), 1};
  else
    return {s.rows, groups_per_row<F>(s.cols)};
}

}  // namespace detail

/// Codes and parameters of a linear. F's bits, group and scale must be the file's; an asymmetric F reads symmetric
/// files too. group_index stays empty when the groups are in order. Errors: missing, malformed (element type; a value,
/// zero or group out of range; a zero that a symmetric F cannot mean), shape, not_finite, overflow, out_of_memory; the
/// tensor is the subject, row and column are its own.
template <ct_storable F>
inline result<coded_matrix<F>> unpack_ct(const ct_linear& from, ct_packing packing = ct_packing::pack_quantized) {
  using scale_t = decltype(F::params::scale);
  using number = detail::stored_number<scale_t>;
  const result<shape> s = detail::ct_shape(from, packing);
  if (!s) return s.error();
  const shape ps = detail::ct_params_shape<F>(*s);
  const std::size_t scale_rank = F::group == per_tensor ? 1 : 2;
  const char* const name = "weight_scale";
  if (auto ok = detail::check_tensor(from.weight_scale, name, {number::type}, number::name, scale_rank); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.weight_scale, name, 0, ps.rows, "the outputs; 1 for one scale"); !ok)
    return ok.error();
  if (F::group != per_tensor)
    if (auto ok = detail::check_dimension(from.weight_scale, name, 1, ps.cols, "the groups that the inputs make"); !ok)
      return ok.error();
  auto zeros = buffer<std::uint8_t>::make(ps.rows * ps.cols);
  if (!zeros) return zeros.error();
  if (auto ok = detail::ct_unpack_zeros<F::bits>(from.weight_zero_point, packing, ps, zeros->span()); !ok)
    return ok.error();
  // Checked before the codes get memory: a tensor of few bytes must not claim many.
  if (packing == ct_packing::pack_quantized && from.weight.shape[1] < detail::ct_dense_words(s->cols, F::bits))
    return detail::check_dimension(from.weight, "weight_packed", 1, detail::ct_dense_words(s->cols, F::bits),
                                   "the inputs in weight_shape times bits, in words")
        .error();
  auto to = coded_matrix<F>::make(*s);
  if (!to) return to.error();
  if (packing == ct_packing::pack_quantized) {
    if (auto ok = detail::ct_unpack_weight<F::bits>(from.weight, *s, to->codes.data()); !ok) return ok.error();
  } else {
    for (std::size_t i = 0; i < to->codes.size(); ++i) {
      const int value = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(from.weight.bytes[i]));
      if (value < -F::half || value >= F::half)
        return make_error(errc::malformed, "a weight does not fit its width", "-2^(bits - 1) to 2^(bits - 1) - 1")
            .about("weight")
            .at(static_cast<std::int64_t>(i / s->cols), static_cast<std::int64_t>(i % s->cols))
            .with(value);
      to->codes[i] = static_cast<std::uint8_t>(value + F::half);
    }
  }
  for (std::size_t i = 0; i < to->params.size(); ++i) {
    typename F::params& p = to->params[i];
    p.scale = detail::load_at<scale_t>(from.weight_scale, i);
    if (auto ok = detail::check_scale(float(p.scale), name, i / ps.cols, i % ps.cols); !ok) return ok.error();
    if constexpr (!F::symmetric)
      p.zero = (*zeros)[i];
    else if ((*zeros)[i] != F::half)
      return make_error(errc::malformed, "a zero point of a symmetric linear is not in the middle", "0")
          .about("weight_zero_point")
          .at(static_cast<std::int64_t>(i / ps.cols), static_cast<std::int64_t>(i % ps.cols))
          .with((*zeros)[i] - F::half);
  }
  auto index = detail::ct_group_index<F>(from.weight_g_idx, s->cols);
  if (!index) return index.error();
  to->group_index = *std::move(index);
  return to;
}

/// The tensors of a checkpoint from codes and parameters; weight_zero_point when F is asymmetric, weight_g_idx when
/// groups were reordered.  Errors: malformed for codes and zeros over 2^bits - 1, out_of_memory, overflow.
template <ct_storable F>
inline result<ct_tensors> pack_ct(const coded_matrix<F>& from, ct_packing packing = ct_packing::pack_quantized) {
  using safetensors::dtype;
  using number = detail::stored_number<decltype(F::params::scale)>;
  constexpr int bits = F::bits;
  const std::size_t n = from.rows, k = from.cols;
  const shape ps = detail::ct_params_shape<F>(from.shape());
  const bool words = packing == ct_packing::pack_quantized;
  if (auto ok = detail::check_codes(from.codes.span(), bits, k); !ok) return ok.error();
  auto weight = words ? detail::make_tensor("weight_packed", dtype::i32, {n, detail::ct_dense_words(k, bits)})
                      : detail::make_tensor("weight", dtype::i8, {n, k});
  auto scale = F::group == per_tensor ? detail::make_tensor("weight_scale", number::type, {ps.rows})
                                      : detail::make_tensor("weight_scale", number::type, {ps.rows, ps.cols});
  if (!weight) return weight.error();
  if (!scale) return scale.error();
  ct_tensors to;
  for (std::size_t i = 0; i < from.params.size(); ++i) detail::store_at(*scale, i, from.params[i].scale);
  if (words) {
    auto all = buffer<std::uint32_t>::zeros(weight->bytes.size() / 4);
    auto size = detail::make_tensor("weight_shape", dtype::i64, {2});
    if (!all) return all.error();
    if (!size) return size.error();
    for (std::size_t r = 0; r < n; ++r)
      pack_row<dense_words, bits>(from.row_codes(r), all->data(), from.shape(), r, 0, k);
    detail::store_words(*weight, all->span());
    store_u64(size->bytes.data(), n), store_u64(size->bytes.data() + 8, k);
    to.weight_shape = *std::move(size);
  } else {
    for (std::size_t i = 0; i < from.codes.size(); ++i)
      weight->bytes[i] = static_cast<std::byte>(from.codes[i] - F::half);
  }
  if constexpr (!F::symmetric) {
    auto zero =
        !words ? detail::make_tensor("weight_zero_point", dtype::i8, {ps.rows, ps.cols})
               : detail::make_tensor("weight_zero_point", dtype::i32, {detail::ct_dense_words(ps.rows, bits), ps.cols});
    auto all = buffer<std::uint32_t>::zeros(zero ? zero->bytes.size() / 4 : 0);
    if (!zero) return zero.error();
    if (!all) return all.error();
    for (std::size_t i = 0; i < from.params.size(); ++i) {
      const std::uint32_t z = from.params[i].zero;
      const std::size_t row = i / ps.cols, col = i % ps.cols;
      if (z >> bits != 0)
        return make_error(errc::malformed, "a zero point does not fit its width", "0 to 2^bits - 1")
            .at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(col))
            .with(z);
      if (words)
        pack_row<dense_columns, bits>(&z, all->data(), ps, row, col, 1);
      else
        zero->bytes[i] = static_cast<std::byte>(static_cast<int>(z) - F::half);
    }
    if (words) detail::store_words(*zero, all->span());
    to.weight_zero_point = *std::move(zero);
  }
  if (!from.group_index.empty()) {
    auto index = detail::make_tensor("weight_g_idx", dtype::i32, {k});
    if (!index) return index.error();
    detail::store_words(*index, from.group_index.span());
    to.weight_g_idx = *std::move(index);
  }
  to.weight = *std::move(weight), to.weight_scale = *std::move(scale);
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/compressed_tensors.hpp

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// The codes and scales of NVFP4 as files hold them: 16 weights under one E4M3 scale.
struct nvfp4_codes : float_codes<f4_e2m1, 16, scale_type::f8_e4m3> {};
/// The same with the tensor's scale worked in: what decodes to the weights.
struct nvfp4_scaled : float_codes<f4_e2m1, 16, scale_type::f32> {};

/// Formats that compressed-tensors can hold as FP8.
template <class F>
concept ct_float_storable =
    grid_format<F> && std::is_same_v<typename F::element, f8_e4m3> &&
    (F::scale_stored == scale_type::f32 || F::scale_stored == scale_type::f16 || F::scale_stored == scale_type::bf16);

inline namespace NBIT_TAG {

/// The tensors of one linear of four-bit floats; only NVFP4 has weight_global_scale.
struct ct_fp4_linear {
  stored_tensor weight_packed, weight_scale, weight_global_scale;
};

/// Owns the tensors of one linear of four-bit floats.
struct ct_fp4_tensors {
  owned_tensor weight_packed, weight_scale, weight_global_scale;

  [[nodiscard]] ct_fp4_linear view() const {
    return {weight_packed.view(), weight_scale.view(), weight_global_scale.view()};
  }
};

/// An NVFP4 linear: codes, scales, and the divisor of all scales.
struct ct_nvfp4 {
  coded_matrix<nvfp4_codes> weights;
  float global_scale = 1.0f;
};

namespace detail {

/// Codes of four-bit floats and the shape checks that both kinds share; F's group must divide the inputs.
template <class F>
inline result<coded_matrix<F>> ct_unpack_fp4(const ct_fp4_linear& from) {
  using safetensors::dtype;
  if (auto ok = check_tensor(from.weight_packed, "weight_packed", {dtype::u8}, "U8", 2); !ok) return ok.error();
  const shape s{static_cast<std::size_t>(from.weight_packed.shape[0]),
                2 * static_cast<std::size_t>(from.weight_packed.shape[1])};
  if (s.cols % std::size_t(F::group) != 0)
    return tensor_error(errc::shape, "inputs of a linear do not fill its groups", "a multiple of the group",
                        "weight_packed", "inputs")
        .with(static_cast<std::int64_t>(s.cols));
  using scale_t = std::conditional_t<std::is_same_v<F, mxfp4>, e8m0, f8_e4m3>;
  if (auto ok = std::is_same_v<F, mxfp4> ? check_tensor(from.weight_scale, "weight_scale", {dtype::u8, dtype::f8_e8m0},
                                                        stored_number<e8m0>::name, 2)
                                         : check_tensor(from.weight_scale, "weight_scale", {dtype::f8_e4m3},
                                                        stored_number<scale_t>::name, 2);
      !ok)
    return ok.error();
  if (auto ok = check_dimension(from.weight_scale, "weight_scale", 0, s.rows, "the outputs"); !ok) return ok.error();
  if (auto ok =
          check_dimension(from.weight_scale, "weight_scale", 1, groups_per_row<F>(s.cols), "the inputs by the group");
      !ok)
    return ok.error();
  auto to = coded_matrix<F>::make(s);
  if (!to) return to.error();
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(from.weight_packed.bytes.data());
  for (std::size_t r = 0; r < s.rows; ++r) unpack_row<linear, 4>(bytes, s, r, 0, s.cols, to->row_codes(r));
  const std::size_t groups = groups_per_row<F>(s.cols);
  for (std::size_t i = 0; i < to->params.size(); ++i) {
    const auto scale = load_at<scale_t>(from.weight_scale, i);
    if (auto ok = check_magnitude(float(scale), "weight_scale", i / groups, i % groups); !ok) return ok.error();
    to->params[i] = {scale};
  }
  return to;
}

template <class F>
inline result<ct_fp4_tensors> ct_pack_fp4(const coded_matrix<F>& from) {
  using safetensors::dtype;
  if (from.cols % std::size_t(F::group) != 0)
    return make_error(errc::shape, "inputs of a linear do not fill its groups", "a multiple of the group")
        .with(static_cast<std::int64_t>(from.cols));
  if (auto ok = check_codes(from.codes.span(), 4, from.cols); !ok) return ok.error();
  auto packed = make_tensor("weight_packed", dtype::u8, {from.rows, from.cols / 2});
  auto scale = make_tensor("weight_scale", std::is_same_v<F, mxfp4> ? dtype::u8 : dtype::f8_e4m3,
                           {from.rows, groups_per_row<F>(from.cols)});
  if (!packed) return packed.error();
  if (!scale) return scale.error();
  auto* const bytes = reinterpret_cast<std::uint8_t*>(packed->bytes.data());
  for (std::size_t r = 0; r < from.rows; ++r)
    pack_row<linear, 4>(from.row_codes(r), bytes, from.shape(), r, 0, from.cols);
  for (std::size_t i = 0; i < from.params.size(); ++i) {
    if constexpr (std::is_same_v<F, mxfp4>)
      store_at(*scale, i, from.params[i].e);
    else
      store_at(*scale, i, from.params[i].scale);
  }
  ct_fp4_tensors to;
  to.weight_packed = *std::move(packed), to.weight_scale = *std::move(scale);
  return to;
}

}  // namespace detail

/// Codes, scales and the global scale of an NVFP4 linear.
/// Errors: missing, malformed (element type; a scale below 0; a global scale that is not above 0), shape, not_finite,
/// overflow, out_of_memory; the tensor is the subject.
inline result<ct_nvfp4> unpack_ct_nvfp4(const ct_fp4_linear& from) {
  auto weights = detail::ct_unpack_fp4<nvfp4_codes>(from);
  if (!weights) return weights.error();
  const char* const name = "weight_global_scale";
  if (auto ok = detail::check_tensor(from.weight_global_scale, name, {safetensors::dtype::f32}, "F32", 1); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.weight_global_scale, name, 0, 1, "1"); !ok) return ok.error();
  const float global = detail::load_at<float>(from.weight_global_scale, 0);
  if (auto ok = detail::check_magnitude(global, name, 0, 0); !ok) return ok.error();
  if (global == 0.0f)
    return make_error(errc::malformed, "the global scale of an NVFP4 linear divides by 0", "above 0").about(name);
  ct_nvfp4 to;
  to.weights = *std::move(weights), to.global_scale = global;
  return to;
}

/// The tensors of an NVFP4 linear.  Errors: shape, malformed for codes over 15, out_of_memory.
inline result<ct_fp4_tensors> pack_ct_nvfp4(const ct_nvfp4& from) {
  auto to = detail::ct_pack_fp4(from.weights);
  auto global = detail::make_tensor("weight_global_scale", safetensors::dtype::f32, {1});
  if (!to) return to.error();
  if (!global) return global.error();
  detail::store_at(*global, 0, from.global_scale);
  to->weight_global_scale = *std::move(global);
  return to;
}

/// The linear with its global scale worked into the scale of each group: decodes to the weights.  Errors:
/// out_of_memory.
inline result<coded_matrix<nvfp4_scaled>> scaled_nvfp4(const ct_nvfp4& from) {
  auto to = coded_matrix<nvfp4_scaled>::make(from.weights.shape());
  if (!to) return to.error();
  for (std::size_t i = 0; i < to->codes.size(); ++i) to->codes[i] = from.weights.codes[i];
  for (std::size_t i = 0; i < to->params.size(); ++i)
    to->params[i].scale = float(from.weights.params[i].scale) / from.global_scale;
  return to;
}

/// Codes and scales of an MXFP4 linear; ggml's MXFP4 blocks hold the same numbers.  Errors: as unpack_ct_nvfp4.
inline result<coded_matrix<mxfp4>> unpack_ct_mxfp4(const ct_fp4_linear& from) {
  return detail::ct_unpack_fp4<mxfp4>(from);
}

/// The tensors of an MXFP4 linear.  Errors: as pack_ct_nvfp4.
inline result<ct_fp4_tensors> pack_ct_mxfp4(const coded_matrix<mxfp4>& from) { return detail::ct_pack_fp4(from); }

/// Codes and scales of an FP8 linear.  F's group and scale must be the file's.
/// Errors: missing, malformed (element type; a weight that is NaN), shape, not_finite, overflow, out_of_memory.
template <ct_float_storable F>
inline result<coded_matrix<F>> unpack_ct_fp8(const ct_linear& from) {
  using scale_t = typename F::scale_t;
  using number = detail::stored_number<scale_t>;
  if (auto ok = detail::check_tensor(from.weight, "weight", {safetensors::dtype::f8_e4m3}, "F8_E4M3", 2); !ok)
    return ok.error();
  const shape s{static_cast<std::size_t>(from.weight.shape[0]), static_cast<std::size_t>(from.weight.shape[1])};
  const shape ps = detail::ct_params_shape<F>(s);
  const char* const name = "weight_scale";
  if (auto ok =
          detail::check_tensor(from.weight_scale, name, {number::type}, number::name, F::group == per_tensor ? 1 : 2);
      !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.weight_scale, name, 0, ps.rows, "the outputs; 1 for one scale"); !ok)
    return ok.error();
  if (F::group != per_tensor)
    if (auto ok = detail::check_dimension(from.weight_scale, name, 1, ps.cols, "the groups that the inputs make"); !ok)
      return ok.error();
  auto to = coded_matrix<F>::make(s);
  if (!to) return to.error();
  for (std::size_t i = 0; i < to->codes.size(); ++i) {
    const auto code = std::to_integer<std::uint8_t>(from.weight.bytes[i]);
    if ((code & 0x7fu) == 0x7fu)
      return make_error(errc::not_finite, "a weight is NaN", "finite numbers")
          .about("weight")
          .at(static_cast<std::int64_t>(i / s.cols), static_cast<std::int64_t>(i % s.cols))
          .with(code);
    to->codes[i] = code;
  }
  for (std::size_t i = 0; i < to->params.size(); ++i) {
    to->params[i].scale = detail::load_at<scale_t>(from.weight_scale, i);
    if (auto ok = detail::check_scale(float(to->params[i].scale), name, i / ps.cols, i % ps.cols); !ok)
      return ok.error();
  }
  return to;
}

/// The tensors of an FP8 linear: weight and weight_scale.  Errors: out_of_memory, overflow.
template <ct_float_storable F>
inline result<ct_tensors> pack_ct_fp8(const coded_matrix<F>& from) {
  using number = detail::stored_number<typename F::scale_t>;
  const shape ps = detail::ct_params_shape<F>(from.shape());
  auto weight = detail::make_tensor("weight", safetensors::dtype::f8_e4m3, {from.rows, from.cols});
  auto scale = F::group == per_tensor ? detail::make_tensor("weight_scale", number::type, {ps.rows})
                                      : detail::make_tensor("weight_scale", number::type, {ps.rows, ps.cols});
  if (!weight) return weight.error();
  if (!scale) return scale.error();
  for (std::size_t i = 0; i < from.codes.size(); ++i) weight->bytes[i] = static_cast<std::byte>(from.codes[i]);
  for (std::size_t i = 0; i < from.params.size(); ++i) detail::store_at(*scale, i, from.params[i].scale);
  ct_tensors to;
  to.weight = *std::move(weight), to.weight_scale = *std::move(scale);
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/io/compressed_floats.hpp
// BEGIN nbit/io/exl2_checkpoint.hpp
// nbit/io/exl2_checkpoint.hpp — a linear as EXL2 stores it: groups of inputs with widths of their own, inputs sorted.
//
//   q_weight     i32 [W, N]     codes of each group as one stream down the rows, low bits first; a group begins on a
//   word q_groups     i16 [2 G]      bits of each group, and the row of words where it begins q_scale      i32 [G, N /
//   8] root of the relative scale less one, four bits each, low bits first q_scale_max  f16 [G] q_invperm    i32 [K]
//   where each input went when they were sorted
// A weight is f16((code - 2^(bits-1)) * s), s = f16((q + 1)^2 * f16(max / 256)): every product is rounded to f16, as
// the peer's kernels do. N is a multiple of 32. Ref: exllamav2 0.3.2 (MIT); docs/formats.md.
#ifndef NBIT_IO_EXL2_CHECKPOINT_HPP
#define NBIT_IO_EXL2_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <utility>

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {
inline namespace NBIT_TAG {

/// The tensors of one linear.
struct exl2_linear {
  stored_tensor q_weight, q_groups, q_scale, q_scale_max, q_invperm;
};

/// Owns the tensors of one linear.
struct exl2_tensors {
  owned_tensor q_weight, q_groups, q_scale, q_scale_max, q_invperm;

  [[nodiscard]] exl2_linear view() const {
    return {q_weight.view(), q_groups.view(), q_scale.view(), q_scale_max.view(), q_invperm.view()};
  }
};

/// Neighbouring sorted inputs that share scales and a width.
struct exl2_group {
  std::uint32_t bits, first, inputs;
  f16 scale_max;
};

/// A linear as read. Widths differ from group to group, so it is no coded_matrix: decode_exl2 gives its weights.
struct exl2_weights {
  std::size_t outputs = 0, inputs = 0;
  buffer<exl2_group> groups;
  buffer<std::uint8_t> codes;       // inputs in sorted order x outputs
  buffer<std::uint8_t> scales;      // groups x outputs, 0 to 15
  buffer<std::uint32_t> sorted_at;  // of each input: its place in sorted order
};

namespace detail {

/// The field of n bits that begins at bit `first` of a column of words.
NBIT_INLINE std::uint32_t exl2_field(const std::uint32_t* column, std::size_t stride, std::size_t first,
                                     std::uint32_t n) {
  const std::size_t word = first / 32, shift = first % 32;
  std::uint64_t v = column[word * stride];
  if (shift + n > 32) v |= std::uint64_t{column[(word + 1) * stride]} << 32;
  return static_cast<std::uint32_t>(v >> shift) & low_mask<std::uint32_t>(static_cast<int>(n));
}
NBIT_INLINE void exl2_put_field(std::uint32_t* column, std::size_t stride, std::size_t first, std::uint32_t n,
                                std::uint32_t v) {
  const std::size_t word = first / 32, shift = first % 32;
  column[word * stride] |= v << shift;
  if (shift + n > 32) column[(word + 1) * stride] |= v >> (32 - shift);
}

/// The scale of a group for an output.
NBIT_INLINE f16 exl2_scale(f16 scale_max, std::uint32_t q) {
  NBIT_EXACT
  const f16 unit = f16::from(float(scale_max) * 0x1p-8f);
  return f16::from(static_cast<float>((q + 1) * (q + 1)) * float(unit));
}

NBIT_INLINE bool exl2_width(std::uint32_t bits) { return bits >= 2 && bits <= 8 && bits != 7; }

/// Widths and extents of the groups out of q_groups.
inline result<void> exl2_read_groups(const exl2_linear& from, std::size_t inputs, buffer<exl2_group>& groups) {
  const auto word_rows = static_cast<std::size_t>(from.q_weight.shape[0]);
  std::size_t first = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto bad = [g](const char* what, const char* allowed, std::int64_t found) {
      return make_error(errc::malformed, what, allowed)
          .about("q_groups")
          .at(0, static_cast<std::int64_t>(g))
          .with(found);
    };
    const std::uint32_t bits = load_u16(from.q_groups.bytes.data() + 4 * g);
    const std::size_t begin = load_u16(from.q_groups.bytes.data() + 4 * g + 2);
    const bool last = g + 1 == groups.size();
    const std::size_t end = last ? word_rows : load_u16(from.q_groups.bytes.data() + 4 * g + 6);
    if (!exl2_width(bits)) return bad("code width of a group", "2, 3, 4, 5, 6 or 8", bits);
    if ((g == 0 && begin != 0) || end <= begin || end > word_rows)
      return bad("a group does not follow the one before it", "rows of q_weight that rise from 0",
                 static_cast<std::int64_t>(begin));
    const std::size_t rows = last ? inputs - first : (end - begin) * 32 / bits;
    if (first + rows > inputs || rows == 0 || ceil_div<std::size_t>(rows * bits, 32) != end - begin ||
        (!last && rows * bits % 32 != 0))
      return bad("a group's words are not those of whole inputs", "inputs times bits, in words",
                 static_cast<std::int64_t>(end - begin));
    groups[g] = {bits, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(rows),
                 load_at<f16>(from.q_scale_max, g)};
    if (auto ok = check_magnitude(float(groups[g].scale_max), "q_scale_max", 0, g); !ok) return ok;
    first += rows;
  }
  return {};
}

}  // namespace detail

/// Codes, scales and the order of inputs of a linear.
/// Errors: missing, malformed (element type; widths and extents of groups; an order that is no permutation), shape,
/// not_finite, overflow, out_of_memory; the tensor is the subject.
inline result<exl2_weights> unpack_exl2(const exl2_linear& from) {
  using safetensors::dtype;
  if (auto ok = detail::check_tensor(from.q_weight, "q_weight", {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.q_groups, "q_groups", {dtype::i16}, "I16", 1); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.q_scale, "q_scale", {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.q_scale_max, "q_scale_max", {dtype::f16}, "F16", 1); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.q_invperm, "q_invperm", {dtype::i32}, "I32", 1); !ok) return ok.error();
  const auto n = static_cast<std::size_t>(from.q_weight.shape[1]),
             k = static_cast<std::size_t>(from.q_invperm.shape[0]);
  const auto g = static_cast<std::size_t>(from.q_scale_max.shape[0]);
  if (n % 32 != 0)
    return detail::tensor_error(errc::shape, "outputs of an EXL2 linear", "a multiple of 32", "q_weight",
                                "last dimension")
        .with(static_cast<std::int64_t>(n));
  if (auto ok = detail::check_dimension(from.q_groups, "q_groups", 0, 2 * g, "two for each group in q_scale_max"); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.q_scale, "q_scale", 0, g, "the groups in q_scale_max"); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.q_scale, "q_scale", 1, n / 8, "the outputs by 8"); !ok) return ok.error();
  exl2_weights to;
  to.outputs = n, to.inputs = k;
  auto groups = buffer<exl2_group>::make(g);
  if (!groups) return groups.error();
  if (auto ok = detail::exl2_read_groups(from, k, *groups); !ok) return ok.error();
  auto codes = buffer<std::uint8_t>::make(k * n), scales = buffer<std::uint8_t>::make(g * n),
       seen = buffer<std::uint8_t>::zeros(k);
  auto words = detail::load_words(from.q_weight), scale_words = detail::load_words(from.q_scale),
       order = detail::load_words(from.q_invperm);
  if (!codes) return codes.error();
  if (!scales) return scales.error();
  if (!seen) return seen.error();
  if (!words) return words.error();
  if (!scale_words) return scale_words.error();
  if (!order) return order.error();
  for (std::size_t i = 0; i < k; ++i) {
    const std::uint32_t at = (*order)[i];
    if (at >= k || (*seen)[at] != 0)
      return make_error(errc::malformed, "the order of inputs is no permutation", "each of 0 to inputs - 1 once")
          .about("q_invperm")
          .at(0, static_cast<std::int64_t>(i))
          .with(static_cast<std::int32_t>(at));
    (*seen)[at] = 1;
  }
  const std::uint32_t* column = words->data();
  for (std::size_t i = 0; i < g; ++i) {
    const exl2_group& group = (*groups)[i];
    for (std::size_t r = 0; r < group.inputs; ++r)
      for (std::size_t c = 0; c < n; ++c)
        (*codes)[(group.first + r) * n + c] =
            static_cast<std::uint8_t>(detail::exl2_field(column + c, n, r * group.bits, group.bits));
    column += ceil_div<std::size_t>(std::size_t{group.inputs} * group.bits, 32) * n;
    for (std::size_t c = 0; c < n; ++c)
      (*scales)[i * n + c] = static_cast<std::uint8_t>((*scale_words)[i * (n / 8) + c / 8] >> (c % 8 * 4) & 15u);
  }
  to.groups = *std::move(groups), to.codes = *std::move(codes);
  to.scales = *std::move(scales), to.sorted_at = *std::move(order);
  return to;
}

/// Writes the weights of a linear, inputs in their own order.  Needs: out is outputs x inputs.
inline void decode_exl2(const exl2_weights& from, matrix_view<float> out) {
  for (std::size_t i = 0; i < from.inputs; ++i) {
    const std::size_t row = from.sorted_at[i];
    std::size_t g = 0;
    while (row >= std::size_t{from.groups[g].first} + from.groups[g].inputs) ++g;
    const exl2_group& group = from.groups[g];
    for (std::size_t c = 0; c < from.outputs; ++c) {
      const int level = static_cast<int>(from.codes[row * from.outputs + c]) - (1 << (group.bits - 1));
      const f16 scale = detail::exl2_scale(group.scale_max, from.scales[g * from.outputs + c]);
      out(c, i) = float(f16::from(static_cast<float>(level) * float(scale)));
    }
  }
}

/// The tensors of a checkpoint.
/// Errors: shape when groups do not follow one another through all inputs, fill words or fit 16 bits; malformed for
/// codes and scales that do not fit; out_of_memory.
inline result<exl2_tensors> pack_exl2(const exl2_weights& from) {
  using safetensors::dtype;
  const std::size_t n = from.outputs, k = from.inputs, g = from.groups.size();
  std::size_t word_rows = 0, first = 0;
  for (std::size_t i = 0; i < g; ++i) {
    const exl2_group& group = from.groups[i];
    const bool whole = group.inputs != 0 && (i + 1 == g || std::size_t{group.inputs} * group.bits % 32 == 0);
    if (!detail::exl2_width(group.bits) || group.first != first || !whole || word_rows > 0xffff)
      return make_error(errc::shape, "groups of an EXL2 linear",
                        "2, 3, 4, 5, 6 or 8 bits, one after another, of whole words")
          .at(0, static_cast<std::int64_t>(i))
          .with(group.bits);
    word_rows += ceil_div<std::size_t>(std::size_t{group.inputs} * group.bits, 32);
    first += group.inputs;
  }
  if (first != k || n % 32 != 0 || from.codes.size() != k * n || from.scales.size() != g * n ||
      from.sorted_at.size() != k)
    return make_error(errc::shape, "parts of an EXL2 linear do not fit one another",
                      "inputs, outputs (a multiple of 32), groups")
        .with(static_cast<std::int64_t>(first));
  if (auto ok = detail::check_codes(from.scales.span(), 4, n); !ok) return ok.error();
  auto q_weight = detail::make_tensor("q_weight", dtype::i32, {word_rows, n});
  auto q_groups = detail::make_tensor("q_groups", dtype::i16, {2 * g});
  auto q_scale = detail::make_tensor("q_scale", dtype::i32, {g, n / 8});
  auto q_scale_max = detail::make_tensor("q_scale_max", dtype::f16, {g});
  auto q_invperm = detail::make_tensor("q_invperm", dtype::i32, {k});
  auto words = buffer<std::uint32_t>::zeros(word_rows * n), scale_words = buffer<std::uint32_t>::zeros(g * (n / 8));
  if (!q_weight) return q_weight.error();
  if (!q_groups) return q_groups.error();
  if (!q_scale) return q_scale.error();
  if (!q_scale_max) return q_scale_max.error();
  if (!q_invperm) return q_invperm.error();
  if (!words) return words.error();
  if (!scale_words) return scale_words.error();
  std::size_t row = 0;
  for (std::size_t i = 0; i < g; ++i) {
    const exl2_group& group = from.groups[i];
    const std::size_t codes = std::size_t{group.inputs} * n;
    if (auto ok =
            detail::check_codes(from.codes.span().subspan(group.first * n, codes), static_cast<int>(group.bits), n);
        !ok)
      return ok.error();
    for (std::size_t r = 0; r < group.inputs; ++r)
      for (std::size_t c = 0; c < n; ++c)
        detail::exl2_put_field(words->data() + row * n + c, n, r * group.bits, group.bits,
                               from.codes[(group.first + r) * n + c]);
    for (std::size_t c = 0; c < n; ++c)
      (*scale_words)[i * (n / 8) + c / 8] |= std::uint32_t{from.scales[i * n + c]} << (c % 8 * 4);
    store_u16(q_groups->bytes.data() + 4 * i, static_cast<std::uint16_t>(group.bits));
    store_u16(q_groups->bytes.data() + 4 * i + 2, static_cast<std::uint16_t>(row));
    detail::store_at(*q_scale_max, i, group.scale_max);
    row += ceil_div<std::size_t>(std::size_t{group.inputs} * group.bits, 32);
  }
  detail::store_words(*q_weight, words->span());
  detail::store_words(*q_scale, scale_words->span());
  detail::store_words(*q_invperm, from.sorted_at.span());
  return exl2_tensors{*std::move(q_weight), *std::move(q_groups), *std::move(q_scale), *std::move(q_scale_max),
                      *std::move(q_invperm)};
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif
// END nbit/io/exl2_checkpoint.hpp
// BEGIN nbit/io/ggml_type.hpp
// nbit/io/ggml_type.hpp — the tensor types a GGUF file may name: id, name, weights per block, bytes per block.
//
// Ref: ggml's type enumeration of August 2026 (43 ids, of which 8 are retired). Ids that other programs use in files of
// their own are known by name, so that the refusal says whose they are.
#ifndef NBIT_IO_GGML_TYPE_HPP
#define NBIT_IO_GGML_TYPE_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nbit {

/// A tensor type, by the number that GGUF files store.
enum class ggml_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  nvfp4 = 40,
  q1_0 = 41,
  q2_0 = 42,
};

/// What a reader must know of a type to find its bytes: a row is a whole number of blocks.
struct ggml_type_info {
  ggml_type type;
  const char* name;
  std::uint32_t block;  // weights
  std::uint32_t block_bytes;
};

inline constexpr ggml_type_info ggml_types[] = {
    {ggml_type::f32, "F32", 1, 4},
    {ggml_type::f16, "F16", 1, 2},
    {ggml_type::q4_0, "Q4_0", 32, 18},
    {ggml_type::q4_1, "Q4_1", 32, 20},
    {ggml_type::q5_0, "Q5_0", 32, 22},
    {ggml_type::q5_1, "Q5_1", 32, 24},
    {ggml_type::q8_0, "Q8_0", 32, 34},
    {ggml_type::q8_1, "Q8_1", 32, 36},
    {ggml_type::q2_k, "Q2_K", 256, 84},
    {ggml_type::q3_k, "Q3_K", 256, 110},
    {ggml_type::q4_k, "Q4_K", 256, 144},
    {ggml_type::q5_k, "Q5_K", 256, 176},
    {ggml_type::q6_k, "Q6_K", 256, 210},
    {ggml_type::q8_k, "Q8_K", 256, 292},
    {ggml_type::iq2_xxs, "IQ2_XXS", 256, 66},
    {ggml_type::iq2_xs, "IQ2_XS", 256, 74},
    {ggml_type::iq3_xxs, "IQ3_XXS", 256, 98},
    {ggml_type::iq1_s, "IQ1_S", 256, 50},
    {ggml_type::iq4_nl, "IQ4_NL", 32, 18},
    {ggml_type::iq3_s, "IQ3_S", 256, 110},
    {ggml_type::iq2_s, "IQ2_S", 256, 82},
    {ggml_type::iq4_xs, "IQ4_XS", 256, 136},
    {ggml_type::i8, "I8", 1, 1},
    {ggml_type::i16, "I16", 1, 2},
    {ggml_type::i32, "I32", 1, 4},
    {ggml_type::i64, "I64", 1, 8},
    {ggml_type::f64, "F64", 1, 8},
    {ggml_type::iq1_m, "IQ1_M", 256, 56},
    {ggml_type::bf16, "BF16", 1, 2},
    {ggml_type::tq1_0, "TQ1_0", 256, 54},
    {ggml_type::tq2_0, "TQ2_0", 256, 66},
    {ggml_type::mxfp4, "MXFP4", 32, 17},
    {ggml_type::nvfp4, "NVFP4", 64, 36},
    {ggml_type::q1_0, "Q1_0", 128, 18},
    {ggml_type::q2_0, "Q2_0", 64, 18},
};

inline namespace NBIT_TAG {
namespace detail {
struct refused_ggml_type {
  std::uint32_t first, last;
  const char* what;
};

// Retired ids must stay refused: files that carry them have layouts nobody reads any more. The ids from 97 on belong to
// a fork whose rows may begin with a header, so not even their size can be computed here.
inline constexpr refused_ggml_type refused_ggml_types[] = {
    {4, 4, "tensor type is Q4_2, which ggml removed"},
    {5, 5, "tensor type is Q4_3, which ggml removed"},
    {31, 31, "tensor type is Q4_0_4_4, which ggml removed from files"},
    {32, 32, "tensor type is Q4_0_4_8, which ggml removed from files"},
    {33, 33, "tensor type is Q4_0_8_8, which ggml removed from files"},
    {36, 36, "tensor type is IQ4_NL_4_4, which ggml removed from files (in other programs: BitNet's I2_S)"},
    {37, 37, "tensor type is IQ4_NL_4_8, which ggml removed from files"},
    {38, 38, "tensor type is IQ4_NL_8_8, which ggml removed from files"},
    {97, 99, "tensor type is an activation type of ik_llama.cpp, not of ggml"},
    {133, 133, "tensor type is Q6_0 of ik_llama.cpp, not of ggml"},
    {134, 135, "tensor type is IQ1_BN or IQ2_BN of ik_llama.cpp, not of ggml"},
    {137, 141, "tensor type is one of IQ2_K to IQ6_K of ik_llama.cpp, not of ggml"},
    {144, 146, "tensor type is IQ4_KS, IQ2_KS or IQ4_KSS of ik_llama.cpp, not of ggml"},
    {151, 151, "tensor type is Q8_KV of ik_llama.cpp, not of ggml"},
    {152, 152, "tensor type is IQ5_KS of ik_llama.cpp, not of ggml"},
    {153, 155, "tensor type is one of IQ2_KT to IQ4_KT of ik_llama.cpp, not of ggml"},
    {156, 157, "tensor type is IQ3_KS or IQ2_KL of ik_llama.cpp, not of ggml"},
    {158, 158, "tensor type is IQ1_KT of ik_llama.cpp, not of ggml"},
    {202, 399, "tensor type is a row-interleaved type of ik_llama.cpp, not of ggml"},
};
}  // namespace detail

/// What is known of the type with this number, or nullptr.
[[nodiscard]] constexpr const ggml_type_info* find_ggml_type(std::uint32_t id) noexcept {
  for (const ggml_type_info& t : ggml_types)
    if (static_cast<std::uint32_t>(t.type) == id) return &t;
  return nullptr;
}

/// The type with this name, as "Q4_K" (upper case), or nullptr.
[[nodiscard]] constexpr const ggml_type_info* find_ggml_type(std::string_view name) noexcept {
  for (const ggml_type_info& t : ggml_types)
    if (name == t.name) return &t;
  return nullptr;
}

/// What is known of the type with this number.  Errors: unsupported, naming retired and foreign types.
[[nodiscard]] constexpr result<ggml_type_info> ggml_type_of(std::uint32_t id) noexcept {
  if (const ggml_type_info* const t = find_ggml_type(id)) return *t;
  for (const detail::refused_ggml_type& r : detail::refused_ggml_types)
    if (id >= r.first && id <= r.last)
      return make_error(errc::unsupported, r.what, "a type of ggml in use (0 to 42)")
          .with(static_cast<std::int64_t>(id));
  return make_error(errc::unsupported, "tensor type is unknown", "a type of ggml in use (0 to 42)")
      .with(static_cast<std::int64_t>(id));
}

/// What a row's length must be, as text for an error.
[[nodiscard]] constexpr const char* block_rule(const ggml_type_info& t) noexcept {
  switch (t.block) {
    case 256: return "a multiple of 256";
    case 128: return "a multiple of 128";
    case 64: return "a multiple of 64";
    case 32: return "a multiple of 32";
    default: return "any length";
  }
}

/// The bytes that rows x cols weights take in this type; false if cols is not whole blocks or the size does not fit.
[[nodiscard]] constexpr bool ggml_bytes(const ggml_type_info& t, std::uint64_t cols, std::uint64_t rows,
                                        std::uint64_t& bytes) noexcept {
  std::uint64_t row_bytes = 0;
  return cols % t.block == 0 && checked_mul(cols / t.block, t.block_bytes, row_bytes) &&
         checked_mul(row_bytes, rows, bytes);
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/ggml_type.hpp
// BEGIN nbit/io/gguf.hpp
// nbit/io/gguf.hpp — GGUF files: gguf::open and gguf::parse to read, gguf::writer to write.
#ifndef NBIT_IO_GGUF_HPP
#define NBIT_IO_GGUF_HPP

// BEGIN nbit/io/gguf_file.hpp
// nbit/io/gguf_file.hpp — a GGUF file that has been checked: its keys, its tensors and where their bytes lie.
//
// Only the reader (gguf_reader.hpp) makes one, so whoever holds a gguf::file need not check it again: every view lies
// in the file, names and keys are unique, sizes fit 64 bits. Unknown keys are kept as they are.
// Ref: ggml's docs/gguf.md.
#ifndef NBIT_IO_GGUF_FILE_HPP
#define NBIT_IO_GGUF_FILE_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

// BEGIN nbit/io/gguf_value.hpp
// nbit/io/gguf_value.hpp — one value of a GGUF key: a number, a string or an array, as a view of the file's bytes.
//
// Bytes   number: little-endian | bool: one byte, non-zero is true | string: u64 length, bytes (no NUL at the end)
//         array: u32 element type, u64 count, elements; an element that is an array is stored the same way.
// A value is made by the reader, after every length in it has been checked; nothing here can leave its bytes.
// Ref: ggml's docs/gguf.md.
#ifndef NBIT_IO_GGUF_VALUE_HPP
#define NBIT_IO_GGUF_VALUE_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

namespace nbit::gguf {

/// The type of a key's value, by the number that files store.
enum class value_type : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

/// What a value can be asked for: a number, bool or std::string_view.
template <class T>
concept readable = std::integral<T> || std::floating_point<T> || std::same_as<T, std::string_view>;

inline namespace NBIT_TAG {

/// Bytes of one value of this type; 0 for strings and arrays, whose size is in the file.
[[nodiscard]] constexpr std::size_t fixed_bytes(value_type t) noexcept {
  switch (t) {
    case value_type::u8:
    case value_type::i8:
    case value_type::boolean: return 1;
    case value_type::u16:
    case value_type::i16: return 2;
    case value_type::u32:
    case value_type::i32:
    case value_type::f32: return 4;
    case value_type::u64:
    case value_type::i64:
    case value_type::f64: return 8;
    default: return 0;
  }
}

/// The stored type of a C++ type, as the writer uses it.
template <readable T>
[[nodiscard]] constexpr value_type type_of() noexcept {
  if constexpr (std::is_same_v<T, std::string_view>)
    return value_type::string;
  else if constexpr (std::is_same_v<T, bool>)
    return value_type::boolean;
  else if constexpr (std::floating_point<T>)
    return sizeof(T) == 4 ? value_type::f32 : value_type::f64;
  else if constexpr (std::is_unsigned_v<T>)
    return sizeof(T) == 1   ? value_type::u8
           : sizeof(T) == 2 ? value_type::u16
           : sizeof(T) == 4 ? value_type::u32
                            : value_type::u64;
  else
    return sizeof(T) == 1   ? value_type::i8
           : sizeof(T) == 2 ? value_type::i16
           : sizeof(T) == 4 ? value_type::i32
                            : value_type::i64;
}

/// The bytes of the first value in `bytes`, which holds values of type t that have been checked.
[[nodiscard]] inline std::size_t checked_size(value_type t, const std::byte* p) noexcept {
  if (t == value_type::string) return 8 + static_cast<std::size_t>(load_le<std::uint64_t>(p));
  if (t != value_type::array) return fixed_bytes(t);
  const auto element = static_cast<value_type>(load_le<std::uint32_t>(p));
  const auto count = static_cast<std::size_t>(load_le<std::uint64_t>(p + 4));
  std::size_t size = 12;
  if (const std::size_t each = fixed_bytes(element)) return size + each * count;
  for (std::size_t i = 0; i < count; ++i) size += checked_size(element, p + size);  // depth: reader's max_nesting
  return size;
}

namespace detail {
template <class T, class Stored>
[[nodiscard]] result<T> convert(const std::byte* p) noexcept {
  const Stored v = load_le<Stored>(p);
  if constexpr (std::is_integral_v<T>) {
    bool fits = false;
    if (std::is_signed_v<Stored> && v < Stored{0})
      fits = std::is_signed_v<T> &&
             static_cast<std::int64_t>(v) >= static_cast<std::int64_t>((std::numeric_limits<T>::min)());
    else
      fits = static_cast<std::uint64_t>(v) <= static_cast<std::uint64_t>((std::numeric_limits<T>::max)());
    if (!fits)
      return make_error(errc::overflow, "the key's value does not fit the type asked for")
          .with(static_cast<std::int64_t>(v));
  }
  return static_cast<T>(v);
}

template <readable T>
[[nodiscard]] result<T> read_as(value_type t, std::span<const std::byte> raw) noexcept {
  if constexpr (std::is_same_v<T, std::string_view>) {
    if (t == value_type::string) return as_text(raw.subspan(8));
  } else if constexpr (std::is_same_v<T, bool>) {
    if (t == value_type::boolean) return load_le<bool>(raw.data());
  } else if constexpr (std::is_floating_point_v<T>) {
    if (t == value_type::f32) return convert<T, float>(raw.data());
    if (t == value_type::f64) return convert<T, double>(raw.data());
  } else {
    switch (t) {
      case value_type::u8: return convert<T, std::uint8_t>(raw.data());
      case value_type::i8: return convert<T, std::int8_t>(raw.data());
      case value_type::u16: return convert<T, std::uint16_t>(raw.data());
      case value_type::i16: return convert<T, std::int16_t>(raw.data());
      case value_type::u32: return convert<T, std::uint32_t>(raw.data());
      case value_type::i32: return convert<T, std::int32_t>(raw.data());
      case value_type::u64: return convert<T, std::uint64_t>(raw.data());
      case value_type::i64: return convert<T, std::int64_t>(raw.data());
      default: break;
    }
  }
  return make_error(errc::malformed, "the key's value has another type than asked for")
      .with(static_cast<std::int64_t>(t));
}

template <readable T>
[[nodiscard]] T element_at(const std::byte* p) noexcept {
  if constexpr (std::is_same_v<T, std::string_view>)
    return {reinterpret_cast<const char*>(p + 8), static_cast<std::size_t>(load_le<std::uint64_t>(p))};
  else
    return load_le<T>(p);
}
}  // namespace detail
}  // namespace NBIT_TAG

template <readable T>
class array;
class values;

/// One value: its type and its bytes in the file.
class value {
 public:
  NBIT_INLINE value() noexcept {}
  NBIT_INLINE value(value_type t, std::span<const std::byte> raw) noexcept : type_(t), raw_(raw) {}

  [[nodiscard]] NBIT_INLINE value_type type() const noexcept { return type_; }
  /// The value as the file stores it, without its type: what a writer copies.
  [[nodiscard]] NBIT_INLINE std::span<const std::byte> raw() const noexcept { return raw_; }
  [[nodiscard]] NBIT_INLINE bool is_array() const noexcept { return type_ == value_type::array; }
  /// The type of an array's elements, or the value's own type.
  [[nodiscard]] NBIT_INLINE value_type element_type() const noexcept {
    return is_array() ? static_cast<value_type>(load_le<std::uint32_t>(raw_.data())) : type_;
  }
  /// How many elements an array has; 1 for every other value.
  [[nodiscard]] NBIT_INLINE std::size_t size() const noexcept {
    return is_array() ? static_cast<std::size_t>(load_le<std::uint64_t>(raw_.data() + 4)) : 1;
  }

  /// The value as T. Integers convert where the value fits, f32 and f64 into one another; nothing else converts.
  /// Errors: malformed when the file stores another kind of value (found = its type number), overflow.
  template <readable T>
  [[nodiscard]] NBIT_INLINE result<T> get() const noexcept {
    return detail::read_as<T>(type_, raw_);
  }

  /// The elements as T, without a copy. The stored element type must be exactly T's.  Errors: malformed.
  template <readable T>
  [[nodiscard]] NBIT_INLINE result<array<T>> get_array() const noexcept {
    if (!is_array())
      return make_error(errc::malformed, "the key's value is not an array", "value type 9")
          .with(static_cast<std::int64_t>(type_));
    if (element_type() != type_of<T>())
      return make_error(errc::malformed, "the array's elements have another type than asked for")
          .with(static_cast<std::int64_t>(element_type()));
    return array<T>(raw_.data() + 12, size());
  }

  /// The elements as values, for any element type, nested arrays included; empty when this is no array.
  [[nodiscard]] NBIT_INLINE values elements() const noexcept;

 private:
  value_type type_ = value_type::u8;
  std::span<const std::byte> raw_;
};

/// The elements of an array value, of any type, in order.
class values {
 public:
  class iterator {
   public:
    using value_type = value;
    using difference_type = std::ptrdiff_t;
    NBIT_INLINE iterator() noexcept {}
    NBIT_INLINE iterator(gguf::value_type t, const std::byte* p, std::size_t left) noexcept
        : type_(t), p_(p), left_(left) {}
    [[nodiscard]] NBIT_INLINE value operator*() const noexcept { return {type_, {p_, checked_size(type_, p_)}}; }
    NBIT_INLINE iterator& operator++() noexcept {
      p_ += checked_size(type_, p_);
      --left_;
      return *this;
    }
    NBIT_INLINE iterator operator++(int) noexcept {
      iterator before = *this;
      ++*this;
      return before;
    }
    [[nodiscard]] NBIT_INLINE bool operator==(const iterator& other) const noexcept { return left_ == other.left_; }

   private:
    gguf::value_type type_ = gguf::value_type::u8;
    const std::byte* p_ = nullptr;
    std::size_t left_ = 0;
  };

  NBIT_INLINE values() noexcept {}
  NBIT_INLINE values(value_type t, const std::byte* first, std::size_t count) noexcept
      : type_(t), first_(first), count_(count) {}
  [[nodiscard]] NBIT_INLINE iterator begin() const noexcept { return {type_, first_, count_}; }
  [[nodiscard]] NBIT_INLINE iterator end() const noexcept { return {type_, nullptr, 0}; }
  [[nodiscard]] NBIT_INLINE std::size_t size() const noexcept { return count_; }

 private:
  value_type type_ = value_type::u8;
  const std::byte* first_ = nullptr;
  std::size_t count_ = 0;
};

/// The elements of an array value as T. Numbers also by index; strings, whose lengths vary, only in order.
template <readable T>
class array {
 public:
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    NBIT_INLINE iterator() noexcept {}
    NBIT_INLINE iterator(const std::byte* p, std::size_t left) noexcept : p_(p), left_(left) {}
    [[nodiscard]] NBIT_INLINE T operator*() const noexcept { return detail::element_at<T>(p_); }
    NBIT_INLINE iterator& operator++() noexcept {
      p_ += checked_size(type_of<T>(), p_);
      --left_;
      return *this;
    }
    NBIT_INLINE iterator operator++(int) noexcept {
      iterator before = *this;
      ++*this;
      return before;
    }
    [[nodiscard]] NBIT_INLINE bool operator==(const iterator& other) const noexcept { return left_ == other.left_; }

   private:
    const std::byte* p_ = nullptr;
    std::size_t left_ = 0;
  };

  NBIT_INLINE array() noexcept {}
  NBIT_INLINE array(const std::byte* first, std::size_t count) noexcept : first_(first), count_(count) {}
  [[nodiscard]] NBIT_INLINE iterator begin() const noexcept { return {first_, count_}; }
  [[nodiscard]] NBIT_INLINE iterator end() const noexcept { return {nullptr, 0}; }
  [[nodiscard]] NBIT_INLINE std::size_t size() const noexcept { return count_; }
  [[nodiscard]] NBIT_INLINE bool empty() const noexcept { return count_ == 0; }
  /// Needs: i < size().
  [[nodiscard]] NBIT_INLINE T operator[](std::size_t i) const noexcept
    requires(!std::is_same_v<T, std::string_view>)
  {
    return load_le<T>(first_ + i * sizeof(T));
  }

 private:
  const std::byte* first_ = nullptr;
  std::size_t count_ = 0;
};

NBIT_INLINE values value::elements() const noexcept {
  return is_array() ? values(element_type(), raw_.data() + 12, size()) : values();
}

}  // namespace nbit::gguf

#endif
// END nbit/io/gguf_value.hpp

namespace nbit::gguf {

/// What a reader accepts beyond the sizes of the file itself.
struct limits {
  static constexpr std::uint64_t string_bytes = std::uint64_t{1} << 30;
  static constexpr std::uint64_t array_elements = std::uint64_t{1} << 30;
  static constexpr std::size_t name_bytes = 63;  // of a tensor
  static constexpr std::uint32_t dimensions = 4;
  static constexpr int nesting = 8;  // arrays of arrays; ggml reads none at all
  static constexpr std::uint64_t default_alignment = 32;
};

/// One key of a file: its name and its value.
struct key {
  std::string_view name;
  gguf::value value;
};

/// One tensor of a file: what it is and where its bytes lie.
/// Shape: ne[0] is the length of a row (the fastest index); dimensions beyond n_dims are 1.
struct tensor_info {
  std::string_view name;
  ggml_type_info type{};
  std::uint32_t n_dims = 0;
  std::array<std::uint64_t, 4> ne{1, 1, 1, 1};
  std::uint64_t offset = 0;  // of the first byte, from the start of the file
  std::span<const std::byte> bytes;

  NBIT_INLINE tensor_info() noexcept {}

  /// Weights in a row.
  [[nodiscard]] NBIT_INLINE std::uint64_t cols() const noexcept { return ne[0]; }
  /// Rows, all further dimensions taken together.
  [[nodiscard]] NBIT_INLINE std::uint64_t rows() const noexcept { return ne[1] * ne[2] * ne[3]; }
  [[nodiscard]] NBIT_INLINE std::uint64_t elements() const noexcept { return cols() * rows(); }
  [[nodiscard]] NBIT_INLINE std::span<const std::uint64_t> shape() const noexcept { return {ne.data(), n_dims}; }

  /// The bytes as packed weights of a format: whatever tensor_as(std::type_identity<Format>, tensor_info) returns,
  /// which the header that knows the format declares in this namespace.
  template <class Format>
  [[nodiscard]] NBIT_INLINE auto as() const {
    return tensor_as(std::type_identity<Format>{}, *this);
  }
};

/// A tensor looked up by name, or the error that says which name the file lacks; as() passes that error on.
class found_tensor : public result<tensor_info> {
 public:
  NBIT_INLINE found_tensor(const tensor_info& found) : result<tensor_info>(found) {}
  NBIT_INLINE found_tensor(const nbit::error& lacking) : result<tensor_info>(lacking) {}

  template <class Format>
  [[nodiscard]] NBIT_INLINE auto as() const -> decltype(tensor_as(std::type_identity<Format>{}, tensor_info{})) {
    if (!has_value()) return error();
    return tensor_as(std::type_identity<Format>{}, **this);
  }
};

inline namespace NBIT_TAG {
namespace detail {
struct reader;

struct by_name {
  template <class Entry>
  [[nodiscard]] bool operator()(const Entry* a, const Entry* b) const noexcept {
    return a->name < b->name;
  }
};

/// The entry with this name, or nullptr. sorted is in by_name order.
template <class Entry>
[[nodiscard]] const Entry* find_name(std::span<const Entry* const> sorted, std::string_view name) noexcept {
  std::size_t first = 0, last = sorted.size();
  while (first < last) {
    const std::size_t middle = first + (last - first) / 2;
    if (sorted[middle]->name < name)
      first = middle + 1;
    else
      last = middle;
  }
  return first < sorted.size() && sorted[first]->name == name ? sorted[first] : nullptr;
}
}  // namespace detail
}  // namespace NBIT_TAG

/// A GGUF file that has been checked: keys, tensors and their bytes. Owns the mapping when open() made it; after
/// parse() the caller keeps the bytes alive. Views of names and values point into those bytes.
class file {
 public:
  NBIT_INLINE file() noexcept {}
  NBIT_INLINE file(file&& other) noexcept { swap(other); }
  NBIT_INLINE file& operator=(file&& other) noexcept {
    file moved(static_cast<file&&>(other));
    swap(moved);
    return *this;
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  NBIT_INLINE ~file() {}

  [[nodiscard]] NBIT_INLINE std::uint32_t version() const noexcept { return version_; }
  [[nodiscard]] NBIT_INLINE std::uint64_t alignment() const noexcept { return alignment_; }
  /// Where the tensors' bytes begin.
  [[nodiscard]] NBIT_INLINE std::uint64_t data_offset() const noexcept { return data_offset_; }
  /// The whole file.
  [[nodiscard]] NBIT_INLINE std::span<const std::byte> bytes() const noexcept { return bytes_; }

  /// All keys in the file's order.
  [[nodiscard]] NBIT_INLINE std::span<const key> keys() const noexcept { return keys_.span(); }
  /// All tensors in the file's order.
  [[nodiscard]] NBIT_INLINE std::span<const tensor_info> tensors() const noexcept { return tensors_.span(); }

  /// The value of a key, or nullptr.  Cost: a binary search.
  [[nodiscard]] NBIT_INLINE const value* find(std::string_view name) const noexcept {
    const key* const k = detail::find_name<key>(sorted_keys_.span(), name);
    return k == nullptr ? nullptr : &k->value;
  }

  /// The value of a key as T.  Errors: missing, and those of value::get; the key is the subject.
  template <readable T>
  [[nodiscard]] NBIT_INLINE result<T> get(std::string_view name) const noexcept {
    const value* const v = find(name);
    if (v == nullptr) return make_error(errc::missing, "the file lacks this key").about(name);
    result<T> got = v->get<T>();
    if (!got) return got.error().about(name).at(where(*v));
    return got;
  }

  /// An array key's elements as T.  Errors: missing, malformed; the key is the subject.
  template <readable T>
  [[nodiscard]] NBIT_INLINE result<array<T>> get_array(std::string_view name) const noexcept {
    const value* const v = find(name);
    if (v == nullptr) return make_error(errc::missing, "the file lacks this key").about(name);
    result<array<T>> got = v->get_array<T>();
    if (!got) return got.error().about(name).at(where(*v));
    return got;
  }

  /// A tensor by name.  Errors: missing.  Cost: a binary search.
  [[nodiscard]] NBIT_INLINE found_tensor tensor(std::string_view name) const noexcept {
    if (const tensor_info* const t = detail::find_name<tensor_info>(sorted_tensors_.span(), name)) return *t;
    return make_error(errc::missing, "the file lacks this tensor").about(name);
  }

  NBIT_INLINE void swap(file& other) noexcept {
    exchange(version_, other.version_);
    exchange(alignment_, other.alignment_);
    exchange(data_offset_, other.data_offset_);
    exchange(bytes_, other.bytes_);
    mapping_.swap(other.mapping_);
    keys_.swap(other.keys_);
    tensors_.swap(other.tensors_);
    sorted_keys_.swap(other.sorted_keys_);
    sorted_tensors_.swap(other.sorted_tensors_);
  }

 private:
  friend struct detail::reader;

  template <class T>
  NBIT_INLINE static void exchange(T& a, T& b) noexcept {
    const T held = a;
    a = b;
    b = held;
  }
  [[nodiscard]] NBIT_INLINE std::uint64_t where(const value& v) const noexcept {
    return static_cast<std::uint64_t>(v.raw().data() - bytes_.data());
  }

  std::uint32_t version_ = 3;
  std::uint64_t alignment_ = limits::default_alignment;
  std::uint64_t data_offset_ = 0;
  std::span<const std::byte> bytes_;
  mapped_file mapping_;
  buffer<key> keys_;
  buffer<tensor_info> tensors_;
  buffer<const key*> sorted_keys_;
  buffer<const tensor_info*> sorted_tensors_;
};

}  // namespace nbit::gguf

#endif
// END nbit/io/gguf_file.hpp
// BEGIN nbit/io/gguf_reader.hpp
// nbit/io/gguf_reader.hpp — opens a GGUF file (versions 2 and 3), believes nothing in it and copies no tensor.
//
// Bytes   "GGUF" | u32 version | u64 tensor count | u64 key count | keys | tensor infos | zeros to the alignment | data
//         key: string, u32 value type, value     info: string, u32 dimensions, u64 each, u32 type, u64 offset in data
// Checked before the caller gets a file: every count against the fewest bytes its entries can take, every product left
// to right, names and keys unique, the alignment, and that tensors follow one another in the declared order without gap
// or overlap and end inside the file. Refused: big-endian files, retired and foreign tensor types.
// Accepted though ggml refuses them: nested arrays, to 8 levels.   Ref: ggml's docs/gguf.md.
#ifndef NBIT_IO_GGUF_READER_HPP
#define NBIT_IO_GGUF_READER_HPP

#include <algorithm>  // sort
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>

namespace nbit::gguf {

inline namespace NBIT_TAG {
namespace detail {

/// Builds a file from bytes. A member function returns success or the first error, with its offset and subject.
struct reader {
  file made;
  byte_cursor in;

  explicit reader(std::span<const std::byte> bytes) noexcept : in(bytes) { made.bytes_ = bytes; }

  // The least a key takes: length 8, one byte of name, type 4, value 1. A tensor: length 8, dimensions 4, type 4,
  // offset 8.
  static constexpr std::uint64_t least_key_bytes = 14, least_tensor_bytes = 24;

  static error bad(errc code, const char* what, const char* allowed, std::uint64_t offset,
                   std::uint64_t found) noexcept {
    return make_error(code, what, allowed).at(offset).with(static_cast<std::int64_t>(found));
  }

  [[nodiscard]] std::uint64_t position(std::string_view in_file) const noexcept {
    return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(in_file.data()) - made.bytes_.data());
  }

  result<std::string_view> text(const char* what) noexcept {
    const std::uint64_t at = in.offset();
    const result<std::uint64_t> length = in.number<std::uint64_t>(what);
    if (!length) return length.error();
    if (*length > limits::string_bytes) return bad(errc::overflow, what, "a length of at most 2^30 bytes", at, *length);
    const result<std::span<const std::byte>> bytes = in.take(*length, what);
    if (!bytes) return bytes.error().at(at);
    return as_text(*bytes);
  }

  result<void> header() noexcept {
    const result<std::span<const std::byte>> magic = in.take(4, "the file ends inside the magic");
    if (!magic) return magic.error();
    if (as_text(*magic) != "GGUF")
      return bad(errc::malformed, "this is not a GGUF file", "the letters GGUF", 0,
                 load_le<std::uint32_t>(magic->data()));
    const result<std::uint32_t> version = in.number<std::uint32_t>("the file ends inside the version");
    if (!version) return version.error();
    if ((*version & 0xffffu) == 0 && *version != 0)
      return bad(errc::unsupported, "this GGUF file is big-endian", "a little-endian file", 4, *version);
    if (*version != 2 && *version != 3) return bad(errc::unsupported, "GGUF version", "2 or 3", 4, *version);
    made.version_ = *version;
    return {};
  }

  /// Moves over one value of this type.
  result<void> skip(value_type t, int depth) noexcept {
    if (t == value_type::string) {
      const result<std::string_view> s = text("a string ends after the file");
      return s ? result<void>() : result<void>(s.error());
    }
    if (t != value_type::array) {
      const auto bytes = in.take(fixed_bytes(t), "a key's value ends after the file");
      return bytes ? result<void>() : result<void>(bytes.error());
    }
    const std::uint64_t at = in.offset();
    if (depth == limits::nesting)
      return bad(errc::unsupported, "arrays are nested too deep", "at most 8 levels", at,
                 static_cast<std::uint64_t>(depth) + 1);
    const result<std::uint32_t> element = in.number<std::uint32_t>("the file ends inside an array's element type");
    if (!element) return element.error();
    if (*element > 12) return bad(errc::malformed, "array element type is unknown", "0 to 12", at, *element);
    const result<std::uint64_t> count = in.number<std::uint64_t>("the file ends inside an array's length");
    if (!count) return count.error();
    if (*count > limits::array_elements)
      return bad(errc::overflow, "array length", "at most 2^30 elements", at + 4, *count);
    const auto each = static_cast<value_type>(*element);
    if (const std::size_t size = fixed_bytes(each)) {  // 2^30 elements of 8 bytes cannot overflow
      const auto bytes = in.take(*count * size, "an array ends after the file");
      return bytes ? result<void>() : result<void>(bytes.error().at(at).with(static_cast<std::int64_t>(*count)));
    }
    // The shortest string takes 8 bytes, the shortest array 12: a count beyond that never starts the loop.
    if (*count > in.left() / (each == value_type::string ? 8u : 12u))
      return bad(errc::truncated, "an array ends after the file", "no more elements than the file has bytes for",
                 at + 4, *count);
    for (std::uint64_t i = 0; i < *count; ++i)
      if (const result<void> done = skip(each, depth + 1); !done) return done;
    return {};
  }

  result<void> one_key(key* to) noexcept {
    const std::uint64_t at = in.offset();
    const result<std::string_view> name = text("a key's name ends after the file");
    if (!name) return name.error();
    if (name->empty()) return bad(errc::malformed, "a key's name is empty", "at least one byte", at, 0);
    const std::uint64_t type_at = in.offset();
    const result<std::uint32_t> type = in.number<std::uint32_t>("the file ends inside a key's value type");
    if (!type) return type.error().about(*name);
    if (*type > 12) return bad(errc::malformed, "value type is unknown", "0 to 12", type_at, *type).about(*name);
    const std::uint64_t first = in.offset();
    if (const result<void> done = skip(static_cast<value_type>(*type), 0); !done) return done.error().about(*name);
    ::new (static_cast<void*>(to))
        key{*name,
            value(static_cast<value_type>(*type),
                  made.bytes_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(in.offset() - first)))};
    return {};
  }

  result<void> one_tensor(tensor_info* to) noexcept {
    tensor_info t;
    const std::uint64_t at = in.offset();
    const result<std::string_view> name = text("a tensor's name ends after the file");
    if (!name) return name.error();
    t.name = *name;
    if (t.name.size() > limits::name_bytes)
      return bad(errc::malformed, "a tensor's name is too long", "at most 63 bytes", at, t.name.size()).about(t.name);
    const std::uint64_t dims_at = in.offset();
    const result<std::uint32_t> dims = in.number<std::uint32_t>("the file ends inside a tensor's dimensions");
    if (!dims) return dims.error().about(t.name);
    if (*dims > limits::dimensions)
      return bad(errc::malformed, "a tensor has too many dimensions", "0 to 4", dims_at, *dims).about(t.name);
    t.n_dims = *dims;
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < t.n_dims; ++d) {
      const std::uint64_t dim_at = in.offset();
      const result<std::uint64_t> n = in.number<std::uint64_t>("the file ends inside a tensor's dimensions");
      if (!n) return n.error().about(t.name);
      t.ne[d] = *n;
      if (*n > std::uint64_t{1} << 62)
        return bad(errc::overflow, "a tensor's dimension is negative or too large", "0 to 2^62", dim_at, *n)
            .about(t.name);
      // A zero must not hide what the other dimensions multiply to: rows() is their product.
      if (!checked_mul(elements, *n == 0 ? 1 : *n, elements) || elements > std::uint64_t{1} << 62)
        return bad(errc::overflow, "a tensor's element count does not fit", "at most 2^62", dim_at, *n).about(t.name);
    }
    const std::uint64_t type_at = in.offset();
    const result<std::uint32_t> id = in.number<std::uint32_t>("the file ends inside a tensor's type");
    if (!id) return id.error().about(t.name);
    const result<ggml_type_info> type = ggml_type_of(*id);
    if (!type) return type.error().about(t.name).at(type_at);
    t.type = *type;
    if (t.cols() % t.type.block != 0)
      return bad(errc::shape, "a tensor's rows are not whole blocks of its type", block_rule(t.type), dims_at + 4,
                 t.cols())
          .about(t.name);
    std::uint64_t bytes = 0;
    if (!ggml_bytes(t.type, t.cols(), t.rows(), bytes))
      return bad(errc::overflow, "a tensor's bytes do not fit 64 bits", "", dims_at, t.cols()).about(t.name);
    const result<std::uint64_t> offset = in.number<std::uint64_t>("the file ends inside a tensor's offset");
    if (!offset) return offset.error().about(t.name);
    t.offset = *offset;
    ::new (static_cast<void*>(to)) tensor_info(t);
    return {};
  }

  result<void> find_alignment() noexcept {
    const value* const v = made.find("general.alignment");
    if (v == nullptr) return {};
    const std::uint64_t at = made.where(*v);
    if (v->type() != value_type::u32)
      return bad(errc::malformed, "general.alignment has the wrong type", "value type 4 (u32)", at,
                 static_cast<std::uint64_t>(v->type()))
          .about("general.alignment");
    const std::uint64_t n = load_le<std::uint32_t>(v->raw().data());
    if (n == 0 || (n & (n - 1)) != 0)
      return bad(errc::malformed, "alignment", "a power of two", at, n).about("general.alignment");
    made.alignment_ = n;
    return {};
  }

  /// Gives every tensor its bytes; they follow one another, each rounded up to the alignment.
  result<void> place(std::uint64_t infos_end) noexcept {
    // Nobody needs the padding before an empty data section, and some writers leave it out.
    if (!checked_align(infos_end, made.alignment_, made.data_offset_))
      return bad(errc::overflow, "the alignment puts the data outside of any file", "", infos_end, made.alignment_);
    const std::uint64_t all = made.bytes_.size();
    std::uint64_t expected = 0;
    for (tensor_info& t : made.tensors_) {
      std::uint64_t size = 0, first = 0, end = 0;
      const bool fits = ggml_bytes(t.type, t.cols(), t.rows(), size);
      if (t.offset != expected)
        return bad(errc::malformed, "a tensor's offset does not follow the tensor before it",
                   "the end of the tensor before, rounded up to the alignment",
                   position(t.name) + t.name.size() + 8 + 8 * std::uint64_t{t.n_dims}, t.offset)
            .about(t.name);
      if (!fits || !checked_add(made.data_offset_, t.offset, first) || !checked_add(first, size, end) ||
          (size != 0 && end > all))
        return bad(errc::truncated, "a tensor's bytes end after the file", "no more bytes than the file has left",
                   first, size)
            .about(t.name);
      if (!checked_align(end - made.data_offset_, made.alignment_, expected))
        return bad(errc::overflow, "the tensors' sizes do not fit 64 bits", "", first, size).about(t.name);
      t.offset = first;
      if (size != 0) t.bytes = made.bytes_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size));
    }
    return {};
  }

  /// Sorts pointers to the entries by name and refuses a name that occurs twice.
  template <class Entry>
  result<void> index(buffer<Entry>& entries, buffer<const Entry*>& sorted, const char* what) noexcept {
    result<buffer<const Entry*>> pointers = buffer<const Entry*>::make(entries.size());
    if (!pointers) return pointers.error();
    for (std::size_t i = 0; i < entries.size(); ++i) (*pointers)[i] = entries.data() + i;
    std::sort(pointers->begin(), pointers->end(), by_name{});
    for (std::size_t i = 1; i < entries.size(); ++i)
      if ((*pointers)[i]->name == (*pointers)[i - 1]->name) {
        const std::string_view twice = (*pointers)[i]->name;
        const Entry* const later = (*pointers)[i] > (*pointers)[i - 1] ? (*pointers)[i] : (*pointers)[i - 1];
        return make_error(errc::duplicate, what, "each name once").at(position(later->name)).about(twice);
      }
    sorted.swap(*pointers);
    return {};
  }

  result<void> read() noexcept {
    if (const result<void> done = header(); !done) return done;
    const result<std::uint64_t> tensors = in.number<std::uint64_t>("the file ends inside the tensor count");
    if (!tensors) return tensors.error();
    const result<std::uint64_t> keys = in.number<std::uint64_t>("the file ends inside the key count");
    if (!keys) return keys.error();
    if (*keys > in.left() / least_key_bytes)
      return bad(errc::truncated, "key count", "no more keys than the file has bytes for", 16, *keys);
    if (*tensors > in.left() / least_tensor_bytes)
      return bad(errc::truncated, "tensor count", "no more tensors than the file has bytes for", 8, *tensors);

    result<buffer<key>> key_array = buffer<key>::make(static_cast<std::size_t>(*keys));
    if (!key_array) return key_array.error();
    for (key& k : *key_array)
      if (const result<void> done = one_key(&k); !done) return done;
    made.keys_.swap(*key_array);
    if (const result<void> done = index(made.keys_, made.sorted_keys_, "a key occurs twice"); !done) return done;
    if (const result<void> done = find_alignment(); !done) return done;

    result<buffer<tensor_info>> tensor_array = buffer<tensor_info>::make(static_cast<std::size_t>(*tensors));
    if (!tensor_array) return tensor_array.error();
    for (tensor_info& t : *tensor_array)
      if (const result<void> done = one_tensor(&t); !done) return done;
    made.tensors_.swap(*tensor_array);
    if (const result<void> done = index(made.tensors_, made.sorted_tensors_, "a tensor's name occurs twice"); !done)
      return done;
    return place(in.offset());
  }

  static result<file> parse(std::span<const std::byte> bytes, mapped_file mapping) noexcept {
    reader r(bytes);
    if (const result<void> done = r.read(); !done) return done.error();
    r.made.mapping_.swap(mapping);
    return static_cast<file&&>(r.made);
  }
};

}  // namespace detail

/// A checked file over bytes that the caller keeps alive.
/// Errors: truncated, malformed, overflow, duplicate, unsupported, shape; each with offset, value found and what is
/// allowed.
/// Cost: proportional to the header; memory below 6 times the header's bytes; no tensor byte is read.
[[nodiscard]] inline result<file> parse(std::span<const std::byte> bytes) noexcept {
  return detail::reader::parse(bytes, mapped_file());
}

/// A checked file, mapped; it owns the mapping.  Errors: those of mapped_file::open and of parse.
[[nodiscard]] inline result<file> open(const std::string& path) {
  result<mapped_file> mapping = mapped_file::open(path);
  if (!mapping) return mapping.error();
  const std::span<const std::byte> bytes = mapping->bytes();
  return detail::reader::parse(bytes, *static_cast<result<mapped_file>&&>(mapping));
}

}  // namespace NBIT_TAG
}  // namespace nbit::gguf

#endif
// END nbit/io/gguf_reader.hpp
// BEGIN nbit/io/gguf_writer.hpp
// nbit/io/gguf_writer.hpp — writes GGUF version 3: set keys, declare tensors, then stream their bytes in that order.
//
// The header holds every offset, so all tensors are declared before the first byte is written; after that no byte is
// visited twice and only one tensor need be in memory. Keys copied from another file are written byte for byte as they
// were, understood or not. Into an atomic_file the result appears complete or not at all.
// Ref: ggml's docs/gguf.md.
#ifndef NBIT_IO_GGUF_WRITER_HPP
#define NBIT_IO_GGUF_WRITER_HPP

#include <algorithm>  // sort
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// BEGIN nbit/io/tensor_stream.hpp
// nbit/io/tensor_stream.hpp — takes the declared tensors' bytes in order, each exactly once, and pads them.
#ifndef NBIT_IO_TENSOR_STREAM_HPP
#define NBIT_IO_TENSOR_STREAM_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace nbit {

inline namespace NBIT_TAG {

/// Takes the bytes of declared tensors in order and pads each with zeros to the alignment. A Declared has name and
/// bytes. Made by a writer's begin(); the writer, unchanged, and the sink outlive it.
template <class Declared, byte_sink Sink>
class tensor_stream {
 public:
  tensor_stream(std::span<const Declared> tensors, std::uint64_t alignment, Sink& to) noexcept
      : tensors_(tensors), alignment_(alignment), to_(&to) {}

  /// The tensor whose bytes come next, or nullptr when all are there.
  [[nodiscard]] const Declared* next() const noexcept { return at_ < tensors_.size() ? &tensors_[at_] : nullptr; }

  /// Writes the next tensor whole.  Errors: invalid_option when another tensor is next, shape, and those of the sink.
  result<void> write(std::string_view name, std::span<const std::byte> bytes) {
    if (next() == nullptr || done_ != 0 || next()->name != name)
      return make_error(errc::invalid_option, "this tensor is not the next one of the file",
                        "tensors in the order declared")
          .about(name);
    if (bytes.size() != next()->bytes)
      return make_error(errc::shape, "a tensor's bytes are more or fewer than its declared shape and type take")
          .about(name)
          .with(static_cast<std::int64_t>(bytes.size()));
    return pour(bytes);
  }

  /// Writes a piece of the next tensor, or of several; pieces may end anywhere.
  /// Errors: shape when the file has all its bytes already, and those of the sink.
  result<void> append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      if (next() == nullptr)
        return make_error(errc::shape, "more bytes than the declared tensors take")
            .with(static_cast<std::int64_t>(bytes.size()));
      const std::uint64_t room = next()->bytes - done_;
      const std::size_t n = bytes.size() < room ? bytes.size() : static_cast<std::size_t>(room);
      if (result<void> done = pour(bytes.first(n)); !done) return done;
      bytes = bytes.subspan(n);
    }
    return {};
  }

  /// Says that all is written.  Errors: missing, naming the first tensor whose bytes did not come.
  result<void> finish() {
    while (next() != nullptr && next()->bytes == 0)
      if (result<void> done = pour({}); !done) return done;
    if (next() != nullptr) return make_error(errc::missing, "a declared tensor was not written").about(next()->name);
    return {};
  }

 private:
  result<void> pour(std::span<const std::byte> bytes) {
    if (result<void> done = to_->write(bytes); !done) return done;
    done_ += bytes.size();
    if (done_ != next()->bytes) return {};
    static constexpr std::byte zeros[4096] = {};
    for (std::uint64_t left = (alignment_ - done_ % alignment_) % alignment_; left != 0;) {
      const std::uint64_t n = left < sizeof(zeros) ? left : sizeof(zeros);
      if (result<void> done = to_->write({zeros, static_cast<std::size_t>(n)}); !done) return done;
      left -= n;
    }
    done_ = 0;
    ++at_;
    return {};
  }

  std::span<const Declared> tensors_;
  std::uint64_t alignment_;
  Sink* to_;
  std::size_t at_ = 0;
  std::uint64_t done_ = 0;  // bytes of the next tensor already written
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/tensor_stream.hpp

namespace nbit::gguf {

inline namespace NBIT_TAG {

/// A tensor that a writer will take: as in tensor_info, with the offset counted from the start of the data.
struct declared_tensor {
  std::string name;
  std::vector<std::uint64_t> ne;
  ggml_type_info type;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
};

namespace detail {
template <class T>
void append_le(std::vector<std::byte>& to, T v) {
  std::byte raw[sizeof(T)];
  store_le(v, raw);
  to.insert(to.end(), raw, raw + sizeof(T));
}
inline void append_text(std::vector<std::byte>& to, std::string_view text) {
  append_le(to, static_cast<std::uint64_t>(text.size()));
  const std::span<const std::byte> bytes = nbit::as_bytes(text);
  to.insert(to.end(), bytes.begin(), bytes.end());
}
template <readable T>
void append_value(std::vector<std::byte>& to, T v) {
  if constexpr (std::is_same_v<T, std::string_view>)
    append_text(to, v);
  else
    append_le(to, v);
}
}  // namespace detail

/// Collects what a GGUF file will say, then writes its header.
class writer {
 public:
  /// Sets a key to a number, bool or string, stored as exactly T's type; an existing key keeps its place.
  /// Errors: invalid_option for an empty name, or an alignment that is no u32 power of two.
  template <readable T>
  result<void> set(std::string_view name, T v) {
    std::vector<std::byte> raw;
    detail::append_value(raw, v);
    return put(name, type_of<T>(), raw);
  }
  result<void> set(std::string_view name, std::string_view v) {
    std::vector<std::byte> raw;
    detail::append_text(raw, v);
    return put(name, value_type::string, raw);
  }
  /// Sets a key to a value read from a file, byte for byte.
  result<void> set(std::string_view name, const value& v) {
    return put(name, v.type(), {v.raw().begin(), v.raw().end()});
  }
  /// Sets a key to an array.
  template <readable T>
  result<void> set_array(std::string_view name, std::span<const T> elements) {
    std::vector<std::byte> raw;
    detail::append_le(raw, static_cast<std::uint32_t>(type_of<T>()));
    detail::append_le(raw, static_cast<std::uint64_t>(elements.size()));
    for (const T& e : elements) detail::append_value(raw, e);
    return put(name, value_type::array, raw);
  }

  /// Takes over all keys of a file, in its order.  Errors: invalid_option unless this comes before any set().
  result<void> copy_keys(const file& from) {
    if (!keys_.empty())
      return make_error(errc::invalid_option, "keys are copied after others were set", "copy_keys before set")
          .with(static_cast<std::int64_t>(keys_.size()));
    for (const key& k : from.keys())  // unique and checked by the reader: no search
      keys_.push_back({std::string(k.name), k.value.type(), {k.value.raw().begin(), k.value.raw().end()}});
    alignment_ = from.alignment();
    return {};
  }

  /// Removes a key; true if it was there.
  bool erase(std::string_view name) {
    for (std::size_t i = 0; i < keys_.size(); ++i)
      if (keys_[i].name == name) {
        keys_.erase(keys_.begin() + static_cast<std::ptrdiff_t>(i));
        if (name == "general.alignment") alignment_ = limits::default_alignment;
        return true;
      }
    return false;
  }

  /// Announces the next tensor. ne is in GGUF's order: row length first.
  /// Errors: invalid_option (name, dimensions), shape when rows are not whole blocks, overflow. Duplicates show in
  /// begin().
  result<void> declare(std::string_view name, std::span<const std::uint64_t> ne, ggml_type type) {
    declared_tensor t{std::string(name), {ne.begin(), ne.end()}, {}, 0, 0};
    const result<ggml_type_info> known = ggml_type_of(static_cast<std::uint32_t>(type));
    if (!known) return known.error().about(name);
    t.type = *known;
    if (name.size() > limits::name_bytes)
      return make_error(errc::invalid_option, "a tensor's name is too long", "at most 63 bytes")
          .about(name)
          .with(static_cast<std::int64_t>(name.size()));
    if (ne.size() > limits::dimensions)
      return make_error(errc::invalid_option, "a tensor has too many dimensions", "0 to 4")
          .about(name)
          .with(static_cast<std::int64_t>(ne.size()));
    const std::uint64_t cols = ne.empty() ? 1 : ne[0];
    std::uint64_t rows = 1;
    for (std::size_t d = 1; d < ne.size(); ++d)
      if (!checked_mul(rows, ne[d], rows)) return too_large(name);
    if (cols % t.type.block != 0)
      return make_error(errc::shape, "a tensor's rows are not whole blocks of its type", block_rule(t.type))
          .about(name)
          .with(static_cast<std::int64_t>(cols));
    if (!ggml_bytes(t.type, cols, rows, t.bytes)) return too_large(name);
    tensors_.push_back(std::move(t));
    return {};
  }

  /// All tensors declared so far.
  [[nodiscard]] std::span<const declared_tensor> tensors() const noexcept { return tensors_; }
  /// Between tensors: the key general.alignment, or 32.
  [[nodiscard]] std::uint64_t alignment() const noexcept { return alignment_; }

  /// Lays out the tensors and writes the header; the stream takes the rest.
  /// Errors: duplicate (a key copied or a tensor declared twice), overflow, and those of the sink.
  template <byte_sink Sink>
  [[nodiscard]] result<tensor_stream<declared_tensor, Sink>> begin(Sink& to) {
    if (result<void> done = place(); !done) return done.error();
    std::vector<std::byte> h;
    for (const char c : {'G', 'G', 'U', 'F'}) h.push_back(static_cast<std::byte>(c));
    detail::append_le(h, std::uint32_t{3});
    detail::append_le(h, static_cast<std::uint64_t>(tensors_.size()));
    detail::append_le(h, static_cast<std::uint64_t>(keys_.size()));
    for (const stored_key& k : keys_) {
      detail::append_text(h, k.name);
      detail::append_le(h, static_cast<std::uint32_t>(k.type));
      h.insert(h.end(), k.raw.begin(), k.raw.end());
    }
    for (const declared_tensor& t : tensors_) {
      detail::append_text(h, t.name);
      detail::append_le(h, static_cast<std::uint32_t>(t.ne.size()));
      for (const std::uint64_t n : t.ne) detail::append_le(h, n);
      detail::append_le(h, static_cast<std::uint32_t>(t.type.type));
      detail::append_le(h, t.offset);
    }
    h.resize(h.size() + static_cast<std::size_t>((alignment_ - h.size() % alignment_) % alignment_));
    if (result<void> done = to.write(h); !done) return done.error();
    return tensor_stream<declared_tensor, Sink>(tensors_, alignment_, to);
  }

 private:
  struct stored_key {
    std::string name;
    value_type type = value_type::u8;
    std::vector<std::byte> raw;
  };

  static error too_large(std::string_view name) {
    return make_error(errc::overflow, "a tensor's size does not fit 64 bits").about(name);
  }

  result<void> put(std::string_view name, value_type type, std::vector<std::byte> raw) {
    if (name.empty()) return make_error(errc::invalid_option, "a key's name is empty", "at least one byte");
    if (name == "general.alignment") {
      const std::uint64_t n = type == value_type::u32 ? load_le<std::uint32_t>(raw.data()) : 0;
      if (n == 0 || (n & (n - 1)) != 0)
        return make_error(errc::invalid_option, "alignment", "a power of two stored as u32")
            .about(name)
            .with(static_cast<std::int64_t>(n));
      alignment_ = n;
    }
    for (stored_key& k : keys_)
      if (k.name == name) {
        k.type = type;
        k.raw = std::move(raw);
        return {};
      }
    keys_.push_back({std::string(name), type, std::move(raw)});
    return {};
  }

  result<void> place() {
    std::vector<std::string_view> names;
    for (const declared_tensor& t : tensors_) names.push_back(t.name);
    std::sort(names.begin(), names.end());
    for (std::size_t i = 1; i < names.size(); ++i)
      if (names[i] == names[i - 1])
        return make_error(errc::duplicate, "a tensor is declared twice", "each name once").about(names[i]);
    std::uint64_t at = 0;
    for (declared_tensor& t : tensors_) {
      t.offset = at;
      if (!checked_add(at, t.bytes, at) || !checked_align(at, alignment_, at)) return too_large(t.name);
    }
    return {};
  }

  std::vector<stored_key> keys_;
  std::vector<declared_tensor> tensors_;
  std::uint64_t alignment_ = limits::default_alignment;
};

}  // namespace NBIT_TAG
}  // namespace nbit::gguf

#endif
// END nbit/io/gguf_writer.hpp

#endif
// END nbit/io/gguf.hpp
// BEGIN nbit/io/gguf_tensor.hpp
// nbit/io/gguf_tensor.hpp — a tensor of a GGUF file as packed weights or plain numbers, in place:
// file->tensor(name).as<q4_k>().
#ifndef NBIT_IO_GGUF_TENSOR_HPP
#define NBIT_IO_GGUF_TENSOR_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace nbit {

/// A block format that is a tensor type of GGUF files.
template <class F>
concept ggml_format = block_format<F> && requires {
  { F::ggml_type } -> std::convertible_to<int>;
  { F::name } -> std::convertible_to<const char*>;
};

namespace gguf {
inline namespace NBIT_TAG {

/// Views the tensor's bytes as weights of F; nothing is copied.  Errors: unsupported when the tensor has another type.
template <ggml_format F>
[[nodiscard]] NBIT_INLINE result<packed_view<F>> tensor_as(std::type_identity<F>, const tensor_info& t) {
  if (static_cast<int>(t.type.type) != F::ggml_type)
    return make_error(errc::unsupported, "tensor has another type than asked for", F::name)
        .about(t.name)
        .at(t.offset)
        .with(static_cast<std::int64_t>(t.type.type));
  return packed_view<F>(t.bytes, shape{static_cast<std::size_t>(t.rows()), static_cast<std::size_t>(t.cols())});
}

/// Views the tensor's bytes as plain numbers.  Errors: unsupported for another type, or bytes not aligned for T.
template <class T>
  requires(std::same_as<T, float> || std::same_as<T, f16> || std::same_as<T, bf16>)
[[nodiscard]] NBIT_INLINE result<matrix_view<const T>> tensor_as(std::type_identity<T>, const tensor_info& t) {
  constexpr ggml_type wanted = std::same_as<T, float> ? ggml_type::f32
                               : std::same_as<T, f16> ? ggml_type::f16
                                                      : ggml_type::bf16;
  if (t.type.type != wanted)
    return make_error(errc::unsupported, "tensor has another type than asked for",
                      "F32 for float, F16 for f16, BF16 for bf16")
        .about(t.name)
        .at(t.offset)
        .with(static_cast<std::int64_t>(t.type.type));
  if (reinterpret_cast<std::uintptr_t>(t.bytes.data()) % alignof(T) != 0)
    return make_error(errc::unsupported, "tensor's bytes are not aligned for its numbers",
                      "general.alignment of 4 or more")
        .about(t.name)
        .at(t.offset);
  return matrix_view<const T>(reinterpret_cast<const T*>(t.bytes.data()), static_cast<std::size_t>(t.rows()),
                              static_cast<std::size_t>(t.cols()));
}

}  // namespace NBIT_TAG
}  // namespace gguf
}  // namespace nbit

#endif
// END nbit/io/gguf_tensor.hpp
// BEGIN nbit/io/gptq_checkpoint.hpp
// nbit/io/gptq_checkpoint.hpp — a linear as GPTQ checkpoints store it: qweight, qzeros, scales, g_idx, and the config
// beside.
//
//   qweight  i32 [K * b / 32, N]   codes of input k, output n: layout/gptq_words.hpp
//   qzeros   i32 [G, N * b / 32]   zeros of group g, outputs side by side, low bits first
//   scales   f16 [G, N]
//   g_idx    i32 [K]               group of each input
// "gptq" (v1) stores each zero less one: for 2, 4 and 8 bits 0x11.. is subtracted from the whole word, so a real zero
// of 0 borrows from its neighbour; for 3 bits each field wraps by itself. "gptq_v2" stores the zero. Ref:
// docs/formats.md.
#ifndef NBIT_IO_GPTQ_CHECKPOINT_HPP
#define NBIT_IO_GPTQ_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace nbit {

/// What qzeros holds: "gptq" files the zero less one, "gptq_v2" files the zero.
enum class gptq_zeros : std::uint8_t { minus_one, plain };

/// What quantize_config.json (or quantization_config in config.json) says about all linears.
struct gptq_config {
  int bits = 4;
  std::int64_t group = 128;  // -1: one group for each output
  bool symmetric = true, act_order = false;
  gptq_zeros zeros = gptq_zeros::minus_one;
};

/// Formats that a GPTQ checkpoint can hold: uniform, 2, 3, 4 or 8 bits, f16 scales, the zero an integer.
template <class F>
concept gptq_storable =
    grid_format<F> &&
    requires {
      { F::scheme } -> std::convertible_to<scheme>;
    } && (F::bits == 2 || F::bits == 3 || F::bits == 4 || F::bits == 8) && F::group >= per_row &&
    std::is_same_v<decltype(F::params::scale), f16> && F::scheme.symmetry != symmetry::asymmetric_float;

/// The four tensors of one linear as bytes of a file, any alignment. An empty g_idx means groups in order.
struct gptq_linear {
  std::size_t inputs = 0, outputs = 0, groups = 0;
  std::span<const std::byte> qweight, qzeros, scales, g_idx;
};

inline namespace NBIT_TAG {
namespace detail {

/// One in every field of a word.
template <int Bits>
inline constexpr std::uint32_t gptq_ones = Bits == 2   ? 0x55555555u
                                           : Bits == 4 ? 0x11111111u
                                                       : 0x01010101u;

template <int Bits>
inline void put_zeros(std::span<const std::uint8_t> zeros, gptq_zeros how, std::uint32_t* words) {
  const bool field_wise = how == gptq_zeros::minus_one && Bits == 3;
  for (std::size_t n = 0; n < zeros.size(); ++n)
    deposit_bits(words, n * std::size_t(Bits), Bits, std::uint32_t{zeros[n]} - (field_wise ? 1u : 0u));
  if constexpr (Bits != 3)
    if (how == gptq_zeros::minus_one)
      for (std::size_t w = 0; w < zeros.size() * std::size_t(Bits) / 32; ++w) words[w] -= gptq_ones<Bits>;
}

template <int Bits>
inline void get_zeros(std::uint32_t* words, gptq_zeros how, std::span<std::uint8_t> zeros) {
  if constexpr (Bits != 3)
    if (how == gptq_zeros::minus_one)
      for (std::size_t w = 0; w < zeros.size() * std::size_t(Bits) / 32; ++w) words[w] += gptq_ones<Bits>;
  const std::uint32_t add = how == gptq_zeros::minus_one && Bits == 3 ? 1 : 0;
  for (std::size_t n = 0; n < zeros.size(); ++n)
    zeros[n] = static_cast<std::uint8_t>((extract_bits(words, n * std::size_t(Bits), Bits) + add) &
                                         low_mask<std::uint32_t>(Bits));
}

/// Whether this many inputs and outputs fill whole words.
template <int Bits>
inline result<void> gptq_shape(std::size_t inputs, std::size_t outputs) {
  if (inputs % 32 != 0)
    return make_error(errc::shape, "inputs of a linear do not fill the words of a GPTQ checkpoint", "a multiple of 32")
        .with(static_cast<std::int64_t>(inputs));
  if (outputs * std::size_t(Bits) % 32 != 0)
    return make_error(errc::shape, "outputs of a linear do not fill the words of a GPTQ checkpoint",
                      "a multiple of 32 / bits, of 32 for 3 bits")
        .with(static_cast<std::int64_t>(outputs));
  return {};
}

inline result<void> gptq_size(const char* name, std::size_t found, std::size_t wanted) {
  if (found == wanted) return {};
  return make_error(errc::shape, "a tensor of a GPTQ linear has not the bytes that its shape takes")
      .about(name)
      .with(static_cast<std::int64_t>(found));
}

}  // namespace detail

/// Owns the four tensors of a linear.
struct gptq_tensors {
  std::size_t inputs = 0, outputs = 0, groups = 0;
  buffer<std::byte> qweight, qzeros, scales, g_idx;

  [[nodiscard]] gptq_linear view() const {
    return {inputs, outputs, groups, qweight.span(), qzeros.span(), scales.span(), g_idx.span()};
  }
};

/// The tensors of a checkpoint from codes and parameters.
/// Errors: shape when the matrix does not fill whole words, out_of_memory.
template <gptq_storable F>
inline result<gptq_tensors> pack_gptq(const coded_matrix<F>& from, gptq_zeros zeros = gptq_zeros::minus_one) {
  constexpr int bits = F::bits;
  const std::size_t n = from.rows, k = from.cols, groups = groups_per_row<F>(k),
                    zero_words = n * std::size_t(bits) / 32;
  if (auto fits = detail::gptq_shape<bits>(k, n); !fits) return fits.error();
  auto words = buffer<std::uint32_t>::zeros(k / 32 * std::size_t(bits) * n);
  auto zero_row = buffer<std::uint32_t>::zeros(zero_words);
  auto zero = buffer<std::uint8_t>::make(n);
  gptq_tensors to{k, n, groups, {}, {}, {}, {}};
  auto qweight = buffer<std::byte>::make(k / 32 * std::size_t(bits) * n * 4);
  auto qzeros = buffer<std::byte>::make(groups * zero_words * 4);
  auto scales = buffer<std::byte>::make(groups * n * 2);
  auto g_idx = buffer<std::byte>::make(k * 4);
  if (!words) return words.error();
  if (!zero_row) return zero_row.error();
  if (!zero) return zero.error();
  if (!qweight) return qweight.error();
  if (!qzeros) return qzeros.error();
  if (!scales) return scales.error();
  if (!g_idx) return g_idx.error();
  for (std::size_t r = 0; r < n; ++r)
    pack_row<gptq_words, bits>(from.row_codes(r), words->data(), nbit::shape{n, k}, r, 0, k);
  for (std::size_t w = 0; w < words->size(); ++w) store_u32(qweight->data() + 4 * w, (*words)[w]);
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t r = 0; r < n; ++r) {
      const typename F::params& p = from.params[from.params_index(r, g)];
      store_f16(scales->data() + (g * n + r) * 2, p.scale);
      if constexpr (F::symmetric)
        (*zero)[r] = static_cast<std::uint8_t>(F::half);
      else
        (*zero)[r] = static_cast<std::uint8_t>(p.zero);
    }
    for (std::uint32_t& w : *zero_row) w = 0;
    detail::put_zeros<bits>(zero->span(), zeros, zero_row->data());
    for (std::size_t w = 0; w < zero_words; ++w) store_u32(qzeros->data() + (g * zero_words + w) * 4, (*zero_row)[w]);
  }
  for (std::size_t c = 0; c < k; ++c) store_u32(g_idx->data() + 4 * c, static_cast<std::uint32_t>(from.group_of(c)));
  to.qweight = *std::move(qweight), to.qzeros = *std::move(qzeros);
  to.scales = *std::move(scales), to.g_idx = *std::move(g_idx);
  return to;
}

/// Codes and parameters from the tensors of a checkpoint. F's bits and group must be the file's; an asymmetric F reads
/// symmetric files too. group_index stays empty when g_idx counts groups in order.
/// Errors: shape, malformed (a group that does not exist; a zero that a symmetric F cannot mean), not_finite,
/// out_of_memory.
template <gptq_storable F>
inline result<coded_matrix<F>> unpack_gptq(const gptq_linear& from, gptq_zeros zeros = gptq_zeros::minus_one) {
  constexpr int bits = F::bits;
  const std::size_t n = from.outputs, k = from.inputs, groups = groups_per_row<F>(k),
                    zero_words = n * std::size_t(bits) / 32;
  if (auto fits = detail::gptq_shape<bits>(k, n); !fits) return fits.error();
  if (from.groups != groups)
    return make_error(errc::shape, "a GPTQ linear has another number of groups than its inputs and group size give")
        .with(static_cast<std::int64_t>(from.groups));
  if (auto ok = detail::gptq_size("qweight", from.qweight.size(), k / 32 * std::size_t(bits) * n * 4); !ok)
    return ok.error();
  if (auto ok = detail::gptq_size("qzeros", from.qzeros.size(), groups * zero_words * 4); !ok) return ok.error();
  if (auto ok = detail::gptq_size("scales", from.scales.size(), groups * n * 2); !ok) return ok.error();
  if (!from.g_idx.empty())
    if (auto ok = detail::gptq_size("g_idx", from.g_idx.size(), k * 4); !ok) return ok.error();
  auto to = coded_matrix<F>::make({n, k});
  auto words = buffer<std::uint32_t>::make(k / 32 * std::size_t(bits) * n);
  auto zero_row = buffer<std::uint32_t>::make(zero_words);
  auto zero = buffer<std::uint8_t>::make(n);
  auto index = buffer<std::uint32_t>::make(k);
  if (!to) return to.error();
  if (!words) return words.error();
  if (!zero_row) return zero_row.error();
  if (!zero) return zero.error();
  if (!index) return index.error();
  for (std::size_t w = 0; w < words->size(); ++w) (*words)[w] = load_u32(from.qweight.data() + 4 * w);
  for (std::size_t r = 0; r < n; ++r)
    unpack_row<gptq_words, bits>(words->data(), nbit::shape{n, k}, r, 0, k, to->row_codes(r));
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t w = 0; w < zero_words; ++w)
      (*zero_row)[w] = load_u32(from.qzeros.data() + (g * zero_words + w) * 4);
    detail::get_zeros<bits>(zero_row->data(), zeros, zero->span());
    for (std::size_t r = 0; r < n; ++r) {
      const auto row = static_cast<std::int64_t>(r), group = static_cast<std::int64_t>(g);
      typename F::params& p = to->params[to->params_index(r, g)];
      p.scale = load_f16(from.scales.data() + (g * n + r) * 2);
      if (!is_finite(float(p.scale)))
        return make_error(errc::not_finite, "a scale is NaN or infinite", "finite numbers")
            .about("scales")
            .at(group, row);
      if constexpr (!F::symmetric)
        p.zero = (*zero)[r];
      else if ((*zero)[r] != F::half)
        return make_error(errc::malformed, "a zero point of a symmetric GPTQ linear is not in the middle",
                          "2^(bits - 1)")
            .about("qzeros")
            .at(group, row)
            .with((*zero)[r]);
    }
  }
  bool in_order = true;
  for (std::size_t c = 0; c < k && !from.g_idx.empty(); ++c) {
    (*index)[c] = load_u32(from.g_idx.data() + 4 * c);
    if ((*index)[c] >= groups)
      return make_error(errc::malformed, "g_idx names a group that does not exist", "0 to groups - 1")
          .about("g_idx")
          .at(0, static_cast<std::int64_t>(c))
          .with(static_cast<std::int32_t>((*index)[c]));
    in_order = in_order && (*index)[c] == to->group_of(c);
  }
  if (!in_order) to->group_index = *std::move(index);
  return to;
}

/// Reads the config of a checkpoint: quantize_config.json, or the member quantization_config of config.json.
/// Errors: missing, malformed, unsupported (another method, packing or width).
inline result<gptq_config> read_gptq_config(const json_value& from) {
  gptq_config c;
  const auto text = [&from](std::string_view name, std::string_view absent) {
    const json_value* const v = from.find(name);
    return v != nullptr && v->is(json_kind::string) ? v->text() : absent;
  };
  const auto refused = [](std::string_view name, const char* what, const char* allowed) {
    return make_error(errc::unsupported, what, allowed).about(name);
  };
  if (text("quant_method", "gptq") != "gptq")
    return refused("quant_method", "the checkpoint was quantized by another method", "gptq");
  const std::string_view kind = text("checkpoint_format", "gptq");
  if (kind != "gptq" && kind != "gptq_v2")
    return refused("checkpoint_format", "codes are packed in another way", "gptq or gptq_v2");
  c.zeros = kind == "gptq" ? gptq_zeros::minus_one : gptq_zeros::plain;
  if (text("pack_dtype", "int32") != "int32")
    return refused("pack_dtype", "codes are packed into other words", "int32");
  const result<int> bits = from.get<int>("bits");
  if (!bits) return bits.error();
  if (*bits != 2 && *bits != 3 && *bits != 4 && *bits != 8)
    return refused("bits", "code width of a GPTQ checkpoint", "2, 3, 4 or 8").with(*bits);
  const result<std::int64_t> group = from.get<std::int64_t>("group_size");
  if (!group) return group.error();
  if (*group != -1 && *group < 1)
    return make_error(errc::malformed, "group size of a GPTQ checkpoint", "-1, or 1 and more")
        .about("group_size")
        .with(*group);
  c.bits = *bits, c.group = *group;
  for (const auto& [name, to] : {std::pair<const char*, bool*>{"sym", &c.symmetric}, {"desc_act", &c.act_order}}) {
    if (from.find(name) == nullptr) continue;
    const result<bool> set = from.get<bool>(name);
    if (!set) return set.error();
    *to = *set;
  }
  return c;
}

/// The config as other programs read it.
inline json_value gptq_config_json(const gptq_config& c) {
  json_value to = json_value::object();
  to.add("bits", json_value::number(c.bits));
  to.add("group_size", json_value::number(c.group));
  to.add("desc_act", json_value::boolean(c.act_order));
  to.add("sym", json_value::boolean(c.symmetric));
  to.add("lm_head", json_value::boolean(false));
  to.add("quant_method", json_value::string("gptq"));
  to.add("checkpoint_format", json_value::string(c.zeros == gptq_zeros::plain ? "gptq_v2" : "gptq"));
  to.add("pack_dtype", json_value::string("int32"));
  json_value meta = json_value::object();
  meta.add("quantizer", json_value::array()).push(json_value::string("nbit"));
  to.add("meta", std::move(meta));
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/gptq_checkpoint.hpp
// BEGIN nbit/io/gptq_planar_checkpoint.hpp
// nbit/io/gptq_planar_checkpoint.hpp — a linear of planar GPTQ checkpoints ("gptq_p"): 2 to 8 bits, codes in bit
// planes.
//
//   qweight  i32 [K b / 32, N]   layout/gptq_planes.hpp
//   qzeros   i32 [G, N b / 32]   the same along the outputs; zeros as they are, not less one
//   scales   f16 [G, N]
//   g_idx    i32 [K]             group of each input
// Inputs and outputs are multiples of 32. Ref: GPTQModel 7.7.0 (Apache-2.0); docs/formats.md.
#ifndef NBIT_IO_GPTQ_PLANAR_CHECKPOINT_HPP
#define NBIT_IO_GPTQ_PLANAR_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

namespace nbit {

/// Formats that a planar GPTQ checkpoint can hold: uniform, 2 to 8 bits, f16 scales, the zero an integer.
template <class F>
concept gptq_planar_storable =
    grid_format<F> &&
    requires {
      { F::scheme } -> std::convertible_to<scheme>;
    } && F::bits >= 2 && F::group >= per_row && std::is_same_v<decltype(F::params::scale), f16> &&
    F::scheme.symmetry != symmetry::asymmetric_float;

inline namespace NBIT_TAG {

/// What the config says about all linears.
struct gptq_planar_config {
  int bits = 4;
  std::int64_t group = 128;  // -1: one group for each output
  bool symmetric = true, act_order = false;
};

/// The tensors of one linear; g_idx need not be present when groups are in order.
struct gptq_planar_linear {
  stored_tensor qweight, qzeros, scales, g_idx;
};

/// Owns the tensors of one linear.
struct gptq_planar_tensors {
  owned_tensor qweight, qzeros, scales, g_idx;

  [[nodiscard]] gptq_planar_linear view() const { return {qweight.view(), qzeros.view(), scales.view(), g_idx.view()}; }
};

namespace detail {

/// Whether this many inputs and outputs fill whole planes.
inline result<void> gptq_planar_shape(shape s) {
  if (s.cols % 32 == 0 && s.rows % 32 == 0) return {};
  return make_error(errc::shape, "inputs or outputs of a linear do not fill the planes of a GPTQ checkpoint",
                    "multiples of 32")
      .with(static_cast<std::int64_t>(s.cols % 32 != 0 ? s.cols : s.rows));
}

}  // namespace detail

/// Codes and parameters of a linear. F's bits and group must be the file's; an asymmetric F reads symmetric files too.
/// group_index stays empty when g_idx counts groups in order.
/// Errors: missing, malformed (element type; a group that does not exist; a zero that a symmetric F cannot mean),
/// shape, not_finite, overflow, out_of_memory; the tensor is the subject, row and column are its own.
template <gptq_planar_storable F>
inline result<coded_matrix<F>> unpack_gptq_planar(const gptq_planar_linear& from) {
  using safetensors::dtype;
  constexpr int bits = F::bits;
  for (const auto& [t, name] :
       {std::pair<const stored_tensor*, const char*>{&from.qweight, "qweight"}, {&from.qzeros, "qzeros"}})
    if (auto ok = detail::check_tensor(*t, name, {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.scales, "scales", {dtype::f16}, "F16", 2); !ok) return ok.error();
  const auto word_rows = static_cast<std::size_t>(from.qweight.shape[0]);
  if (word_rows % std::size_t(bits) != 0)
    return detail::tensor_error(errc::shape, "a dimension of a tensor does not fit the format", "a multiple of bits",
                                "qweight", "first dimension")
        .with(static_cast<std::int64_t>(word_rows));
  const shape s{static_cast<std::size_t>(from.qweight.shape[1]), word_rows / std::size_t(bits) * 32};
  if (auto ok = detail::gptq_planar_shape(s); !ok) return ok.error().about("qweight");
  const std::size_t n = s.rows, k = s.cols, groups = groups_per_row<F>(k);
  const char* const allowed = "the groups that the inputs make";
  if (auto ok = detail::check_dimension(from.scales, "scales", 0, groups, allowed); !ok) return ok.error();
  if (auto ok = detail::check_dimension(from.scales, "scales", 1, n, "the outputs"); !ok) return ok.error();
  if (auto ok = detail::check_dimension(from.qzeros, "qzeros", 0, groups, allowed); !ok) return ok.error();
  if (auto ok =
          detail::check_dimension(from.qzeros, "qzeros", 1, n / 32 * std::size_t(bits), "the outputs times bits by 32");
      !ok)
    return ok.error();
  auto to = coded_matrix<F>::make(s);
  auto zeros = buffer<std::uint8_t>::make(n * groups);
  const auto words = detail::load_words(from.qweight), zero_words = detail::load_words(from.qzeros);
  if (!to) return to.error();
  if (!zeros) return zeros.error();
  if (!words) return words.error();
  if (!zero_words) return zero_words.error();
  for (std::size_t r = 0; r < n; ++r) {
    unpack_row<gptq_planes, bits>(words->data(), s, r, 0, k, to->row_codes(r));
    unpack_row<gptq_plane_rows, bits>(zero_words->data(), shape{n, groups}, r, 0, groups, zeros->data() + r * groups);
    for (std::size_t g = 0; g < groups; ++g) {
      typename F::params& p = to->params[to->params_index(r, g)];
      p.scale = detail::load_at<f16>(from.scales, g * n + r);
      if (auto ok = detail::check_scale(float(p.scale), "scales", g, r); !ok) return ok.error();
      const std::uint8_t zero = (*zeros)[r * groups + g];
      if constexpr (!F::symmetric)
        p.zero = zero;
      else if (zero != F::half)
        return make_error(errc::malformed, "a zero point of a symmetric GPTQ linear is not in the middle",
                          "2^(bits - 1)")
            .about("qzeros")
            .at(static_cast<std::int64_t>(g), static_cast<std::int64_t>(r))
            .with(zero);
    }
  }
  if (!from.g_idx.present) return to;
  if (auto ok = detail::check_tensor(from.g_idx, "g_idx", {dtype::i32}, "I32", 1); !ok) return ok.error();
  if (auto ok = detail::check_dimension(from.g_idx, "g_idx", 0, k, "the inputs"); !ok) return ok.error();
  auto index = detail::load_words(from.g_idx);
  if (!index) return index.error();
  bool in_order = true;
  for (std::size_t c = 0; c < k; ++c) {
    if ((*index)[c] >= groups)
      return make_error(errc::malformed, "g_idx names a group that does not exist", "0 to groups - 1")
          .about("g_idx")
          .at(0, static_cast<std::int64_t>(c))
          .with(static_cast<std::int32_t>((*index)[c]));
    in_order = in_order && (*index)[c] == to->group_of(c);
  }
  if (!in_order) to->group_index = *std::move(index);
  return to;
}

/// The tensors of a checkpoint from codes and parameters.
/// Errors: shape when the matrix does not fill planes, malformed for codes and zeros over 2^bits - 1, out_of_memory.
template <gptq_planar_storable F>
inline result<gptq_planar_tensors> pack_gptq_planar(const coded_matrix<F>& from) {
  using safetensors::dtype;
  constexpr int bits = F::bits;
  const std::size_t n = from.rows, k = from.cols, groups = groups_per_row<F>(k);
  if (auto ok = detail::gptq_planar_shape(from.shape()); !ok) return ok.error();
  if (auto ok = detail::check_codes(from.codes.span(), bits, k); !ok) return ok.error();
  auto qweight = detail::make_tensor("qweight", dtype::i32, {k / 32 * std::size_t(bits), n});
  auto qzeros = detail::make_tensor("qzeros", dtype::i32, {groups, n / 32 * std::size_t(bits)});
  auto scales = detail::make_tensor("scales", dtype::f16, {groups, n});
  auto g_idx = detail::make_tensor("g_idx", dtype::i32, {k});
  auto words = buffer<std::uint32_t>::zeros(k / 32 * std::size_t(bits) * n);
  auto zero_words = buffer<std::uint32_t>::zeros(groups * (n / 32) * std::size_t(bits));
  auto zeros = buffer<std::uint8_t>::make(groups);
  if (!qweight) return qweight.error();
  if (!qzeros) return qzeros.error();
  if (!scales) return scales.error();
  if (!g_idx) return g_idx.error();
  if (!words) return words.error();
  if (!zero_words) return zero_words.error();
  if (!zeros) return zeros.error();
  for (std::size_t r = 0; r < n; ++r) {
    pack_row<gptq_planes, bits>(from.row_codes(r), words->data(), from.shape(), r, 0, k);
    for (std::size_t g = 0; g < groups; ++g) {
      const typename F::params& p = from.params[from.params_index(r, g)];
      detail::store_at(*scales, g * n + r, p.scale);
      unsigned zero = 1u << (bits - 1);
      if constexpr (!F::symmetric) zero = p.zero;
      if (zero >> bits != 0)
        return make_error(errc::malformed, "a zero point does not fit its width", "0 to 2^bits - 1")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(g))
            .with(zero);
      (*zeros)[g] = static_cast<std::uint8_t>(zero);
    }
    pack_row<gptq_plane_rows, bits>(zeros->data(), zero_words->data(), shape{n, groups}, r, 0, groups);
  }
  detail::store_words(*qweight, words->span());
  detail::store_words(*qzeros, zero_words->span());
  for (std::size_t c = 0; c < k; ++c)
    store_u32(g_idx->bytes.data() + 4 * c, static_cast<std::uint32_t>(from.group_of(c)));
  return gptq_planar_tensors{*std::move(qweight), *std::move(qzeros), *std::move(scales), *std::move(g_idx)};
}

/// Reads the config of a planar checkpoint: quantize_config.json, or quantization_config in config.json.
/// Errors: missing, malformed, unsupported (another method, checkpoint_format, words or width).
inline result<gptq_planar_config> read_gptq_planar_config(const json_value& from) {
  const std::pair<const char*, std::string_view> texts[] = {
      {"quant_method", "gptq"}, {"checkpoint_format", "gptq_p"}, {"pack_dtype", "int32"}};
  for (const auto& [name, wanted] : texts) {
    if (name == texts[2].first && from.find(name) == nullptr) continue;
    const result<std::string_view> text = from.get<std::string_view>(name);
    if (!text) return text.error();
    if (*text != wanted)
      return make_error(errc::unsupported, "the checkpoint is not a planar GPTQ one", "gptq, gptq_p and int32")
          .about(name);
  }
  gptq_planar_config c;
  const result<int> bits = from.get<int>("bits");
  const result<std::int64_t> group = from.get<std::int64_t>("group_size");
  if (!bits) return bits.error();
  if (!group) return group.error();
  if (*bits < 2 || *bits > 8)
    return make_error(errc::unsupported, "code width of a planar GPTQ checkpoint", "2 to 8").about("bits").with(*bits);
  if (*group != -1 && *group < 1)
    return make_error(errc::malformed, "group size of a GPTQ checkpoint", "-1, or 1 and more")
        .about("group_size")
        .with(*group);
  c.bits = *bits, c.group = *group;
  for (const auto& [name, to] : {std::pair<const char*, bool*>{"sym", &c.symmetric}, {"desc_act", &c.act_order}}) {
    if (from.find(name) == nullptr) continue;
    const result<bool> set = from.get<bool>(name);
    if (!set) return set.error();
    *to = *set;
  }
  return c;
}

/// The config as other programs read it; members of `kept` that nbit does not know stay.
inline json_value gptq_planar_config_json(const gptq_planar_config& c, json_value kept = json_value::object()) {
  kept.set("bits", json_value::number(c.bits));
  kept.set("group_size", json_value::number(c.group));
  kept.set("desc_act", json_value::boolean(c.act_order));
  kept.set("sym", json_value::boolean(c.symmetric));
  kept.set("quant_method", json_value::string("gptq"));
  kept.set("checkpoint_format", json_value::string("gptq_p"));
  kept.set("pack_dtype", json_value::string("int32"));
  return kept;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/gptq_planar_checkpoint.hpp
// BEGIN nbit/io/hqq_checkpoint.hpp
// nbit/io/hqq_checkpoint.hpp — a linear as HQQ stores it: codes, scales and fractional zeros, and its settings as
// tensors.
//
// HQQ cuts the weights, taken row by row, into groups: a matrix [groups, group] for axis 1, [group, groups] for axis 0,
// where a group's weights lie `groups` apart. Both the codes and the parameters keep that matrix's shape.
//   W_q     u8 [R / (8 / b), C]   8, 4, 2, 1 bits (5 and 6 in whole bytes): layout/hqq_slabs.hpp
//           i32 [R / 10, C]       3 bits: ten slabs of rows, the first at bit 27, rows rounded up with zeros
//   scale, zero  f32, f16 or bf16 [groups, 1] or [1, groups]          w = scale * (code - zero)
//   nbits, group_size, axis i32; shape i64 [2]; packing, compute_dtype u8 text; flags u8      Ref: HQQ 0.2.8
//   (Apache-2.0)
#ifndef NBIT_IO_HQQ_CHECKPOINT_HPP
#define NBIT_IO_HQQ_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace nbit {

/// Formats that an HQQ checkpoint can hold: uniform with a fractional zero, groups of a fixed size.
template <class F>
concept hqq_storable = grid_format<F> && requires {
  { F::scheme } -> std::convertible_to<scheme>;
} && F::scheme.symmetry == symmetry::asymmetric_float && F::group > 0 && F::bits != 7;

inline namespace NBIT_TAG {

/// The settings of a linear.
struct hqq_meta {
  int bits = 4, axis = 1;
  std::int64_t group = 64;
  std::uint64_t rows = 0, cols = 0;
  std::string compute_dtype = "torch.float16";
  bool channel_wise = true, optimize = true, round_zero = false, offload_meta = false;
};

/// The tensors of one linear that hold numbers, and its settings.
struct hqq_linear {
  stored_tensor w_q, scale, zero;
  hqq_meta meta;
};

/// A linear as read: `groups` has one row for each group. Axis 1 with inputs that are a multiple of the group is the
/// linear itself, see hqq_rows.
template <hqq_storable F>
struct hqq_weights {
  coded_matrix<F> groups;
  hqq_meta meta;
};

/// Owns the tensors of one linear, the settings among them: W_q, scale, zero, then the rest in the peer's names.
struct hqq_tensors {
  owned_tensor w_q, scale, zero;
  std::vector<owned_tensor> settings;
};

namespace detail {

/// Bits that a code takes in the file.
template <int Bits>
inline constexpr int hqq_stored_bits = Bits == 5 || Bits == 6 ? 8 : Bits;
NBIT_INLINE constexpr const char* hqq_packing(int bits) {
  return bits == 1 ? "1bit_u8" : bits == 2 ? "2bit_u8" : bits == 3 ? "3bit_32" : bits == 4 ? "4bit_u8" : "8bit_u8";
}

/// Three-bit codes, ten slabs in a word. Not a layout that packs: it leaves two bits over.
struct hqq_thirty_bits {
  template <int>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t slabs = 10, tile_rows = slabs, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t height = padded.rows / slabs;
      return {r % height * padded.cols + c, static_cast<int>(slabs - 1 - r / height) * 3 + bit};
    }
  };
};
template <int Bits>
using hqq_layout = std::conditional_t<Bits == 3, hqq_thirty_bits, hqq_slabs>;

/// One number or text of the settings; `fallback` when it is absent.
inline result<std::int64_t> hqq_number(const stored_tensor& t, const char* name, std::int64_t fallback) {
  using safetensors::dtype;
  if (!t.present) return fallback;
  if (auto ok = check_tensor(t, name, {dtype::i32, dtype::u8, dtype::boolean, dtype::i64}, "I32, I64, U8 or BOOL", 0);
      !ok)
    return ok.error();
  if (t.type == dtype::i64) return static_cast<std::int64_t>(load_u64(t.bytes.data()));
  if (t.type == dtype::i32) return static_cast<std::int32_t>(load_u32(t.bytes.data()));
  return std::to_integer<std::int64_t>(t.bytes[0]);
}
inline result<std::string> hqq_text(const stored_tensor& t, const char* name, std::string_view fallback) {
  if (!t.present) return std::string(fallback);
  if (auto ok = check_tensor(t, name, {safetensors::dtype::u8}, "U8", 1); !ok) return ok.error();
  return std::string(reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size());
}

/// Rows and columns of HQQ's matrix.
NBIT_INLINE shape hqq_shape(const hqq_meta& m) {
  const auto group = static_cast<std::size_t>(m.group), groups = static_cast<std::size_t>(m.rows * m.cols) / group;
  return m.axis == 1 ? shape{groups, group} : shape{group, groups};
}

/// Whether settings fit a format and one another.
template <class F>
inline result<void> hqq_check(const hqq_meta& m) {
  const auto bad = [](const char* name, const char* what, const char* allowed, std::int64_t found) {
    return make_error(errc::shape, what, allowed).about(name).with(found);
  };
  if (m.bits != F::bits) return bad("nbits", "code width is not the format's", "the format's bits", m.bits);
  if (m.group != F::group)
    return bad("group_size", "groups are of another size than the format's", "the format's group", m.group);
  if (m.rows == 0 || m.cols == 0 || m.rows > 0x7fffffffu || m.cols > 0x7fffffffu)
    return bad("shape", "a dimension of the linear", "1 to 2^31 - 1",
               static_cast<std::int64_t>(m.rows == 0 || m.rows > 0x7fffffffu ? m.rows : m.cols));
  if (m.rows * m.cols % std::uint64_t(F::group) != 0)
    return bad("shape", "the weights do not fill their groups", "a multiple of group_size",
               static_cast<std::int64_t>(m.rows * m.cols));
  constexpr int stored = hqq_stored_bits<F::bits>;
  const std::size_t rows = hqq_shape(m).rows;
  if (F::bits != 3 && rows % (8 / std::size_t(stored)) != 0)
    return bad("W_q", "rows of HQQ's matrix do not fill bytes", "a multiple of 8 / bits",
               static_cast<std::int64_t>(rows));
  return {};
}

template <class F>
inline std::size_t hqq_word_rows(const hqq_meta& m) {
  constexpr std::size_t slabs = hqq_layout<hqq_stored_bits<F::bits>>::template map<hqq_stored_bits<F::bits>>::slabs;
  return ceil_div(hqq_shape(m).rows, slabs);
}

}  // namespace detail

/// The settings and tensors of the linear `layer` of a file.
/// Errors: missing, malformed, shape, unsupported (another packing; codes stored as floats; quantized scales or zeros).
inline result<hqq_linear> find_hqq(const safetensors::file& in, std::string_view layer) {
  using safetensors::dtype;
  hqq_linear to;
  to.w_q = find_stored(in, layer, "W_q"), to.scale = find_stored(in, layer, "scale"),
  to.zero = find_stored(in, layer, "zero");
  const stored_tensor size = find_stored(in, layer, "shape");
  if (auto ok = detail::check_tensor(size, "shape", {dtype::i64}, "I64", 1); !ok) return ok.error();
  if (auto ok = detail::check_dimension(size, "shape", 0, 2, "2"); !ok) return ok.error();
  to.meta.rows = load_u64(size.bytes.data()), to.meta.cols = load_u64(size.bytes.data() + 8);
  std::int64_t numbers[9] = {-1, -1, -1, 1, 1, 0, 0, 0, 0};
  const char* const names[9] = {"nbits",      "group_size",   "axis",        "channel_wise", "optimize",
                                "round_zero", "offload_meta", "quant_scale", "quant_zero"};
  for (std::size_t i = 0; i < 9; ++i) {
    const stored_tensor t = find_stored(in, layer, names[i]);
    if (i < 3 && !t.present) return make_error(errc::missing, "the layer lacks a setting").about(names[i]);
    const result<std::int64_t> n = detail::hqq_number(t, names[i], numbers[i]);
    if (!n) return n.error();
    numbers[i] = *n;
  }
  if (numbers[0] < 1 || numbers[0] > 8 || numbers[0] == 7)
    return make_error(errc::unsupported, "code width of an HQQ checkpoint", "1 to 6 or 8")
        .about("nbits")
        .with(numbers[0]);
  if (numbers[1] < 1)
    return make_error(errc::malformed, "group size of an HQQ checkpoint", "1 and more")
        .about("group_size")
        .with(numbers[1]);
  if (numbers[2] != 0 && numbers[2] != 1)
    return make_error(errc::malformed, "axis of the groups", "0 or 1").about("axis").with(numbers[2]);
  for (std::size_t i = 7; i < 9; ++i)
    if (numbers[i] != 0)
      return make_error(errc::unsupported, "parameters are quantized themselves", "false")
          .about(names[i])
          .with(numbers[i]);
  to.meta.bits = static_cast<int>(numbers[0]), to.meta.group = numbers[1], to.meta.axis = static_cast<int>(numbers[2]);
  to.meta.channel_wise = numbers[3] != 0, to.meta.optimize = numbers[4] != 0;
  to.meta.round_zero = numbers[5] != 0, to.meta.offload_meta = numbers[6] != 0;
  auto compute = detail::hqq_text(find_stored(in, layer, "compute_dtype"), "compute_dtype", "torch.float16");
  auto packing = detail::hqq_text(find_stored(in, layer, "packing"), "packing", detail::hqq_packing(to.meta.bits));
  const auto floats = detail::hqq_number(find_stored(in, layer, "view_as_float"), "view_as_float", 0);
  if (!compute) return compute.error();
  if (!packing) return packing.error();
  if (!floats) return floats.error();
  if (*packing != detail::hqq_packing(to.meta.bits))
    return detail::tensor_error(errc::unsupported, "codes are packed in another way",
                                "1bit_u8, 2bit_u8, 3bit_32, 4bit_u8 or 8bit_u8", "packing", *packing);
  if (*floats != 0)
    return make_error(errc::unsupported, "codes are stored as floats", "false").about("view_as_float").with(*floats);
  to.meta.compute_dtype = *std::move(compute);
  return to;
}

/// Codes and parameters of a linear. F's bits, group and scale must be the file's.
/// Errors: missing, malformed (element type; a code out of range), shape, not_finite, overflow, out_of_memory; the
/// tensor is the subject.
template <hqq_storable F>
inline result<hqq_weights<F>> unpack_hqq(const hqq_linear& from) {
  using safetensors::dtype;
  using scale_t = typename F::scale_t;
  using number = detail::stored_number<scale_t>;
  constexpr int bits = detail::hqq_stored_bits<F::bits>;
  using layout = detail::hqq_layout<bits>;
  if (auto ok = detail::hqq_check<F>(from.meta); !ok) return ok.error();
  const bool words = bits == 3;
  if (auto ok = detail::check_tensor(from.w_q, "W_q", {words ? dtype::i32 : dtype::u8}, words ? "I32" : "U8", 2); !ok)
    return ok.error();
  const shape s = detail::hqq_shape(from.meta);
  if (auto ok = detail::check_dimension(from.w_q, "W_q", 0, detail::hqq_word_rows<F>(from.meta),
                                        "the matrix's rows by the codes in a word");
      !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.w_q, "W_q", 1, s.cols, "the matrix's columns"); !ok) return ok.error();
  const bool rows = from.meta.axis == 1;
  const std::size_t groups = rows ? s.rows : s.cols, group = rows ? s.cols : s.rows;
  for (const auto& [t, name] :
       {std::pair<const stored_tensor*, const char*>{&from.scale, "scale"}, {&from.zero, "zero"}}) {
    if (auto ok = detail::check_tensor(*t, name, {number::type}, number::name, 2); !ok) return ok.error();
    if (auto ok = detail::check_dimension(*t, name, rows ? 0 : 1, groups, "the groups"); !ok) return ok.error();
    if (auto ok = detail::check_dimension(*t, name, rows ? 1 : 0, 1, "1"); !ok) return ok.error();
  }
  auto to = coded_matrix<F>::make({groups, group});
  auto line = buffer<std::uint8_t>::make(s.cols);
  auto codes = buffer<typename layout::template map<bits>::word>::make(from.w_q.bytes.size() / (words ? 4 : 1));
  if (!to) return to.error();
  if (!line) return line.error();
  if (!codes) return codes.error();
  for (std::size_t i = 0; i < codes->size(); ++i) {
    if constexpr (bits == 3)
      (*codes)[i] = load_u32(from.w_q.bytes.data() + 4 * i);
    else
      (*codes)[i] = std::to_integer<std::uint8_t>(from.w_q.bytes[i]);
  }
  const shape padded{detail::hqq_word_rows<F>(from.meta) * layout::template map<bits>::slabs, s.cols};
  for (std::size_t r = 0; r < s.rows; ++r) {
    unpack_row<layout, bits>(codes->data(), padded, r, 0, s.cols, line->data());
    for (std::size_t c = 0; c < s.cols; ++c) {
      if ((*line)[c] >> F::bits != 0)
        return make_error(errc::malformed, "a code does not fit its width", "0 to 2^bits - 1")
            .about("W_q")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(c))
            .with((*line)[c]);
      to->codes[rows ? r * group + c : c * group + r] = (*line)[c];
    }
  }
  for (std::size_t g = 0; g < groups; ++g) {
    typename F::params& p = to->params[g];
    p.scale = detail::load_at<scale_t>(from.scale, g), p.zero = detail::load_at<scale_t>(from.zero, g);
    if (auto ok = detail::check_scale(float(p.scale), "scale", rows ? g : 0, rows ? 0 : g); !ok) return ok.error();
    if (auto ok = detail::check_scale(float(p.zero), "zero", rows ? g : 0, rows ? 0 : g); !ok) return ok.error();
  }
  return hqq_weights<F>{*std::move(to), from.meta};
}

/// The linear as an ordinary matrix of codes.
/// Errors: unsupported for axis 0 and for groups that cross rows: then only `groups` and decode_hqq show the weights.
template <hqq_storable F>
inline result<coded_matrix<F>> hqq_rows(hqq_weights<F> from) {
  if (from.meta.axis != 1 || from.meta.cols % std::uint64_t(F::group) != 0)
    return make_error(errc::unsupported, "groups of this HQQ linear are not runs of inputs",
                      "axis 1, inputs a multiple of the group")
        .about("axis")
        .with(from.meta.axis);
  from.groups.rows = static_cast<std::size_t>(from.meta.rows),
  from.groups.cols = static_cast<std::size_t>(from.meta.cols);
  return std::move(from.groups);
}

/// Writes the weights of a linear.  Needs: out has the linear's shape.
template <hqq_storable F>
inline void decode_hqq(const hqq_weights<F>& from, matrix_view<float> out) {
  const std::size_t groups = from.groups.rows, group = from.groups.cols,
                    cols = static_cast<std::size_t>(from.meta.cols);
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t i = 0; i < group; ++i) {
      const std::size_t flat = from.meta.axis == 1 ? g * group + i : i * groups + g;
      out(flat / cols, flat % cols) =
          F::value(from.groups.codes[g * group + i], from.groups.params[g], static_cast<int>(i));
    }
}

/// The tensors of a checkpoint; meta.rows, cols and axis say what `groups` means.
/// Errors: shape, malformed for codes over 2^bits - 1, out_of_memory.
template <hqq_storable F>
inline result<hqq_tensors> pack_hqq(const hqq_weights<F>& from) {
  using safetensors::dtype;
  using number = detail::stored_number<typename F::scale_t>;
  constexpr int bits = detail::hqq_stored_bits<F::bits>;
  using layout = detail::hqq_layout<bits>;
  const hqq_meta& m = from.meta;
  if (auto ok = detail::hqq_check<F>(m); !ok) return ok.error();
  const shape s = detail::hqq_shape(m);
  const bool rows = m.axis == 1;
  const std::size_t groups = rows ? s.rows : s.cols, group = rows ? s.cols : s.rows,
                    word_rows = detail::hqq_word_rows<F>(m);
  if (from.groups.rows != groups || from.groups.cols != group)
    return make_error(errc::shape, "the matrix has not one row for each group of the linear", "groups x group_size")
        .with(static_cast<std::int64_t>(from.groups.rows));
  if (auto ok = detail::check_codes(from.groups.codes.span(), F::bits, group); !ok) return ok.error();
  auto w_q = detail::make_tensor("W_q", bits == 3 ? dtype::i32 : dtype::u8, {word_rows, s.cols});
  auto scale = detail::make_tensor("scale", number::type, {rows ? groups : 1, rows ? 1 : groups});
  auto zero = detail::make_tensor("zero", number::type, {rows ? groups : 1, rows ? 1 : groups});
  auto line = buffer<std::uint8_t>::make(s.cols);
  auto codes = buffer<typename layout::template map<bits>::word>::zeros(word_rows * s.cols);
  if (!w_q) return w_q.error();
  if (!scale) return scale.error();
  if (!zero) return zero.error();
  if (!line) return line.error();
  if (!codes) return codes.error();
  const shape padded{word_rows * layout::template map<bits>::slabs, s.cols};
  for (std::size_t r = 0; r < s.rows; ++r) {
    for (std::size_t c = 0; c < s.cols; ++c) (*line)[c] = from.groups.codes[rows ? r * group + c : c * group + r];
    pack_row<layout, bits>(line->data(), codes->data(), padded, r, 0, s.cols);
  }
  for (std::size_t i = 0; i < codes->size(); ++i) {
    if constexpr (bits == 3)
      store_u32(w_q->bytes.data() + 4 * i, (*codes)[i]);
    else
      w_q->bytes[i] = static_cast<std::byte>((*codes)[i]);
  }
  for (std::size_t g = 0; g < groups; ++g) {
    detail::store_at(*scale, g, from.groups.params[g].scale);
    detail::store_at(*zero, g, from.groups.params[g].zero);
  }
  hqq_tensors to;
  to.w_q = *std::move(w_q), to.scale = *std::move(scale), to.zero = *std::move(zero);
  const auto add = [&to](const char* name, dtype type, std::string_view bytes, bool text) -> result<void> {
    auto t = text ? detail::make_tensor(name, type, {bytes.size()}) : detail::make_tensor(name, type, {});
    if (!t) return t.error();
    for (std::size_t i = 0; i < bytes.size(); ++i) t->bytes[i] = static_cast<std::byte>(bytes[i]);
    to.settings.push_back(*std::move(t));
    return {};
  };
  const std::pair<const char*, std::string_view> texts[] = {
      {"compute_dtype", m.compute_dtype},
      {"packing", detail::hqq_packing(F::bits)},
      {"unpack_view_dtype", bits == 3 ? "torch.int32" : "torch.uint8"},
  };
  for (const auto& [name, text] : texts)
    if (auto ok = add(name, dtype::u8, text, true); !ok) return ok.error();
  const std::pair<const char*, bool> flags[] = {
      {"channel_wise", m.channel_wise}, {"encoded_state_dict", true},  {"offload_meta", m.offload_meta},
      {"optimize", m.optimize},         {"quant_scale", false},        {"quant_zero", false},
      {"round_zero", m.round_zero},     {"stores_quant_config", true}, {"view_as_float", false}};
  for (const auto& [name, set] : flags)
    if (auto ok = add(name, dtype::u8, set ? std::string_view("\1", 1) : std::string_view("\0", 1), false); !ok)
      return ok.error();
  const std::pair<const char*, std::int64_t> numbers[] = {{"axis", m.axis}, {"group_size", m.group}, {"nbits", m.bits}};
  for (const auto& [name, n] : numbers) {
    auto t = detail::make_tensor(name, dtype::i32, {});
    if (!t) return t.error();
    store_u32(t->bytes.data(), static_cast<std::uint32_t>(n));
    to.settings.push_back(*std::move(t));
  }
  auto size = detail::make_tensor("shape", dtype::i64, {2});
  if (!size) return size.error();
  store_u64(size->bytes.data(), m.rows), store_u64(size->bytes.data() + 8, m.cols);
  to.settings.push_back(*std::move(size));
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
// END nbit/io/hqq_checkpoint.hpp
// BEGIN nbit/io/json.hpp
// nbit/io/json.hpp — JSON: json_parse to read, json_value to hold and change, json_text to write.
#ifndef NBIT_IO_JSON_HPP
#define NBIT_IO_JSON_HPP

#endif
// END nbit/io/json.hpp
// BEGIN nbit/io/safetensors.hpp
// nbit/io/safetensors.hpp — safetensors files: safetensors::open and parse to read, safetensors::writer to write.
#ifndef NBIT_IO_SAFETENSORS_HPP
#define NBIT_IO_SAFETENSORS_HPP

// BEGIN nbit/io/safetensors_writer.hpp
// nbit/io/safetensors_writer.hpp — writes safetensors: declare tensors, then stream their bytes in that order.
//
// The header comes first and is padded with spaces so that the data begins at a multiple of 8. Tensors follow one
// another without padding, as the format demands: declare wide types before narrow ones where sizes are odd, else a
// reader that wants aligned numbers has to copy. Into an atomic_file the result appears complete or not at all.
#ifndef NBIT_IO_SAFETENSORS_WRITER_HPP
#define NBIT_IO_SAFETENSORS_WRITER_HPP

#include <algorithm>  // sort
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nbit::safetensors {

inline namespace NBIT_TAG {

/// A tensor that a writer will take, with the offset counted from the start of the data.
struct declared_tensor {
  std::string name;
  safetensors::dtype type = dtype::u8;
  std::vector<std::uint64_t> shape;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
};

/// Collects what a safetensors file will say, then writes its header.
class writer {
 public:
  /// Sets a string of the file's metadata, such as format = pt.
  void set_metadata(std::string_view name, std::string_view text) { metadata_.set(name, json_value::string(text)); }

  /// Announces the next tensor; shape is outermost dimension first.
  /// Errors: invalid_option for a name that is reserved or no UTF-8, shape, overflow. Duplicates show in begin().
  result<void> declare(std::string_view name, dtype type, std::span<const std::uint64_t> shape) {
    if (name == "__metadata__")
      return make_error(errc::invalid_option, "a tensor has a reserved name", "any other name").about(name);
    for (std::string_view rest = name; !rest.empty();) {
      const std::size_t n = utf8_length(rest);
      if (n == 0) return make_error(errc::invalid_option, "a tensor's name is not UTF-8", "UTF-8").about(name);
      rest.remove_prefix(n);
    }
    std::uint64_t elements = 1, bits = 0, end = 0;
    for (const std::uint64_t n : shape)
      if (!checked_mul(elements, n, elements)) return too_large(name);
    if (!checked_mul(elements, info(type).bits, bits) || !checked_add(size_, bits / 8, end)) return too_large(name);
    if (bits % 8 != 0)
      return make_error(errc::shape, "a tensor does not end on a whole byte", "a multiple of 8 bits")
          .about(name)
          .with(static_cast<std::int64_t>(bits));
    tensors_.push_back({std::string(name), type, {shape.begin(), shape.end()}, bits / 8, size_});
    size_ = end;
    return {};
  }

  /// All tensors declared so far.
  [[nodiscard]] std::span<const declared_tensor> tensors() const noexcept { return tensors_; }

  /// Writes the header; the stream takes the rest.  Errors: duplicate, overflow (header), and those of the sink.
  template <byte_sink Sink>
  [[nodiscard]] result<tensor_stream<declared_tensor, Sink>> begin(Sink& to) const {
    std::vector<std::string_view> names;
    for (const declared_tensor& t : tensors_) names.push_back(t.name);
    std::sort(names.begin(), names.end());
    for (std::size_t i = 1; i < names.size(); ++i)
      if (names[i] == names[i - 1])
        return make_error(errc::duplicate, "a tensor is declared twice", "each name once").about(names[i]);

    json_value header = json_value::object();
    if (metadata_.size() != 0) header.add("__metadata__", metadata_);
    for (const declared_tensor& t : tensors_) {
      json_value entry = json_value::object(), shape = json_value::array(), range = json_value::array();
      for (const std::uint64_t n : t.shape) shape.push(json_value::number(n));
      range.push(json_value::number(t.offset));
      range.push(json_value::number(t.offset + t.bytes));
      entry.add("dtype", json_value::string(info(t.type).name));
      entry.add("shape", std::move(shape));
      entry.add("data_offsets", std::move(range));
      header.add(t.name, std::move(entry));
    }
    std::string text = json_text(header);
    text.append((8 - text.size() % 8) % 8, ' ');
    if (text.size() > longest_header)
      return make_error(errc::overflow, "header length", "at most 100000000 bytes")
          .with(static_cast<std::int64_t>(text.size()));
    std::byte length[8];
    store_le(static_cast<std::uint64_t>(text.size()), length);
    if (result<void> done = to.write(length); !done) return done.error();
    if (result<void> done = to.write(nbit::as_bytes(text)); !done) return done.error();
    return tensor_stream<declared_tensor, Sink>(tensors_, 1, to);
  }

 private:
  static error too_large(std::string_view name) {
    return make_error(errc::overflow, "a tensor's size does not fit 64 bits").about(name);
  }

  json_value metadata_ = json_value::object();
  std::vector<declared_tensor> tensors_;
  std::uint64_t size_ = 0;
};

}  // namespace NBIT_TAG
}  // namespace nbit::safetensors

#endif
// END nbit/io/safetensors_writer.hpp

#endif
// END nbit/io/safetensors.hpp

// BEGIN nbit/eval/distortion.hpp
// nbit/eval/distortion.hpp — how far a quantized layer is from its original: weights, and outputs on given statistics.
#ifndef NBIT_EVAL_DISTORTION_HPP
#define NBIT_EVAL_DISTORTION_HPP

#include <cstddef>
#include <span>

#if !defined(NBIT_NO_HEAP)

// BEGIN nbit/base/exact_begin.inl
// nbit/base/exact_begin.inl — opens a region without floating-point contraction; base/exact_end.inl closes it.
//
// No include guard: a header opens one region around its code. g++ fuses a*b+c wherever the unit's flags allow it, and
// a fused rounding may pick another code; codes must be the same on every machine and for every flag. tests/static and
// the flag matrix in tests/odr watch that this keeps working. clang: see NBIT_EXACT in base/config.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
// END nbit/base/exact_begin.inl

namespace nbit {

/// Distances between a matrix and its approximation.
struct weight_distortion {
  double mean_square = 0;  // of the differences
  double relative = 0;     // squared differences over squared weights
  double max = 0;          // largest |difference|
};

inline namespace NBIT_TAG {

/// Compares two matrices of one shape, number by number.  Errors: shape.
inline result<weight_distortion> distortion(matrix_view<const float> w, matrix_view<const float> approximation) {
  NBIT_EXACT
  if (!(w.shape() == approximation.shape()))
    return make_error(errc::shape, "matrices differ in shape", "equal rows and columns");
  weight_distortion out;
  double sum = 0, energy = 0;
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) {
      const double v = static_cast<double>(w(r, c)), e = v - static_cast<double>(approximation(r, c));
      sum += e * e, energy += v * v;
      const double size = e < 0 ? -e : e;
      out.max = size > out.max ? size : out.max;
    }
  if (!w.empty()) out.mean_square = sum / (static_cast<double>(w.rows) * static_cast<double>(w.cols));
  out.relative = energy > 0 ? sum / energy : 0;
  return out;
}

/// The relative error of a layer's output on inputs with the statistics h: |(A - W) X|^2 / |W X|^2.
/// Errors: shape, out_of_memory.  Cost: rows cols^2 multiply-adds.
template <class Executor = serial>
inline result<double> relative_output_error(matrix_view<const float> w, matrix_view<const float> approximation,
                                            const hessian& h, Executor&& ex = {}) {
  using namespace detail;
  if (!(w.shape() == approximation.shape()))
    return make_error(errc::shape, "matrices differ in shape", "equal rows and columns");
  if (w.cols != h.cols())
    return make_error(errc::shape, "statistics have another number of columns than the weights",
                      "one input for each column");
  if (w.empty()) return 0.0;
  const std::size_t cols = w.cols, stride = (cols + 15) / 16 * 16, tasks = (w.rows + panel_rows - 1) / panel_rows;
  auto gram = buffer<float>::zeros(cols * stride);
  auto sums = buffer<double>::zeros(2 * panel_rows * tasks);
  auto failed = buffer<unsigned char>::zeros(tasks);
  if (!gram) return gram.error();
  if (!sums) return sums.error();
  if (!failed) return failed.error();
  const double mean = h.mean_diagonal();
  h.write({gram->data(), cols, cols, stride}, 0.0, mean > 0 ? 1.0 / mean : 1.0);
  const float* const g = gram->data();
  double* const out = sums->data();
  unsigned char* const failures = failed->data();
  ex(tasks, [=](std::size_t task) {
    auto memory = buffer<float>::make(2 * cols * panel_rows);
    if (!memory) {
      failures[task] = 1;
      return;
    }
    float *const own = memory->data(), *const error = own + cols * panel_rows;
    transpose_panel(w, task * panel_rows, {}, own);
    transpose_panel(approximation, task * panel_rows, {}, error);
    for (std::size_t k = 0; k < cols * panel_rows; ++k) error[k] -= own[k];
    quadratic_form(g, stride, cols, error, out + 2 * panel_rows * task);
    quadratic_form(g, stride, cols, own, out + 2 * panel_rows * task + panel_rows);
  });
  double error = 0, energy = 0;
  for (std::size_t t = 0; t < tasks; ++t) {
    if (failures[t] != 0) return make_error(errc::out_of_memory, "no memory for a panel of rows");
    for (std::size_t r = 0; r < panel_rows; ++r) {
      error += out[2 * panel_rows * t + r];
      energy += out[2 * panel_rows * t + panel_rows + r];
    }
  }
  return energy > 0 ? error / energy : 0.0;
}

/// The same for codes.
template <weight_format F, class Executor = serial>
inline result<double> relative_output_error(matrix_view<const float> w, const coded_matrix<F>& q, const hessian& h,
                                            Executor&& ex = {}) {
  auto values = buffer<float>::make(q.rows * q.cols);
  if (!values) return values.error();
  const matrix_view<float> view{values->data(), q.rows, q.cols};
  detail::decode_matrix(q, view);
  return relative_output_error(w, matrix_view<const float>(view), h, ex);
}

}  // namespace NBIT_TAG
}  // namespace nbit

// BEGIN nbit/base/exact_end.inl
// nbit/base/exact_end.inl — closes the region that base/exact_begin.inl opened.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
// END nbit/base/exact_end.inl

#endif  // NBIT_NO_HEAP
#endif
// END nbit/eval/distortion.hpp

#endif
// END nbit/nbit.hpp
