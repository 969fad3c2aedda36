// nbit/tensor/tile_form.hpp — what a tile of sixteen rows holds, worked out from a format: tensor/row_tiles.hpp.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_TILE_FORM_HPP
#define NBIT_TENSOR_TILE_FORM_HPP

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/format/codebook.hpp>
#include <nbit/format/concepts.hpp>

namespace nbit {

/// How a number of sixteen rows is stored in a tile.
enum class tile_number : std::uint8_t {
  none,             // not at all
  f32,              // 64 bytes for each run
  f16,              // 32 bytes for each run
  bf16,             // 32 bytes for each run
  f16_times_i8,     // 32 bytes for each chunk, 16 for each run: the two levels of a k-quant's scale
  f16_times_u8,     // the same, unsigned: of its offset
  f16_times_low4,   // as f16_times_i8, in the low nibbles of those bytes: Q2_K
  f16_times_high4,  // as f16_times_u8, in the high nibbles of the scale's bytes; 32 bytes for each chunk
  zero_u8,          // 16 bytes for each run: offset = scale * (half - zero)
};

/// What a kernel has to know of a tile; formats with the same form share their kernels.
struct tile_form {
  int bits = 0, run = 0;  // columns that share a scale: 16, 32, 64, 128 or 256
  tile_number scale = tile_number::f32, offset = tile_number::none;
  int bias = 0, top = 0;  // level = byte - bias, byte in 0 .. top; byte = code, or table[code]
  bool uneven = false;
  std::array<std::uint8_t, 16> table{};
  bool floats = false;  // level = values[code], the bits of a float: codebooks
  std::array<std::uint32_t, 16> values{};

  friend constexpr bool operator==(const tile_form&, const tile_form&) = default;

  static constexpr std::size_t rows = 16, chunk = 256, block = 32;

  [[nodiscard]] NBIT_INLINE constexpr std::size_t runs() const { return chunk / std::size_t(run); }
  [[nodiscard]] NBIT_INLINE constexpr std::size_t bytes_of(tile_number n) const {
    switch (n) {
      case tile_number::none: return 0;
      case tile_number::f32: return runs() * 64;
      case tile_number::f16:
      case tile_number::bf16: return runs() * 32;
      case tile_number::f16_times_i8:
      case tile_number::f16_times_u8:
      case tile_number::f16_times_low4: return 32 + runs() * 16;
      case tile_number::f16_times_high4: return 32;
      case tile_number::zero_u8: return runs() * 16;
    }
    return 0;
  }
  /// Bytes of a chunk before its codes, of a block of codes, of a whole chunk, of a tile with that many columns.
  [[nodiscard]] NBIT_INLINE constexpr std::size_t head_bytes() const {
    return (bytes_of(scale) + bytes_of(offset) + 63) / 64 * 64;
  }
  [[nodiscard]] NBIT_INLINE constexpr std::size_t block_bytes() const { return std::size_t(bits) * 64; }
  [[nodiscard]] NBIT_INLINE constexpr std::size_t chunk_bytes() const {
    return head_bytes() + chunk / block * block_bytes();
  }
  [[nodiscard]] NBIT_INLINE constexpr std::size_t tile_bytes(std::size_t cols) const {
    return (cols + chunk - 1) / chunk * head_bytes() + (cols + block - 1) / block * block_bytes();
  }
};

namespace detail {

/// A codebook of at most sixteen levels that are floats.
template <class F>
concept has_float_levels = !integer_format<F> && is_codebook<F> && F::bits <= 4;

/// Columns with one scale; 0: a group.
template <class F>
inline constexpr int tile_run = [] {
  if constexpr (integer_format<F>)
    return F::run;
  else
    return 0;
}();
template <class F>
inline constexpr bool has_tile_runs = [] {
  if constexpr (integer_format<F> || has_float_levels<F>)
    return tile_run<F> > 0 ? tile_run<F> % 16 == 0 : F::group <= 0 || F::group % 16 == 0;
  else
    return false;
}();
template <class F>
inline constexpr bool has_tile_offset = integer_format<F> && has_offset<F>;
template <class F>
NBIT_INLINE float tile_scale(const typename F::params& p, [[maybe_unused]] int s) {
  if constexpr (integer_format<F>)
    return F::scale(p, s);
  else
    return float(p.scale);
}

/// The codes of a format as unsigned bytes, or the floats that they stand for.
template <class F>
  requires has_float_levels<F>
constexpr bool set_levels(tile_form& form) {
  form.floats = true, form.top = (1 << F::bits) - 1;
  for (std::size_t c = 0; c < F::levels.size(); ++c) form.values[c] = std::bit_cast<std::uint32_t>(F::levels[c]);
  return true;
}
template <class F>
constexpr bool set_levels(tile_form& form) {
  int low = F::level(0), top = low;
  bool even = true;
  for (int c = 1; c < 1 << F::bits; ++c) {
    const int v = F::level(c);
    even = even && v == F::level(0) + c;
    low = v < low ? v : low, top = v > top ? v : top;
  }
  form.bias = -low, form.top = top - low, form.uneven = !even;
  if (even) return true;
  if (F::bits > 4 || form.top > 255) return false;
  for (int c = 0; c < 16; ++c)
    form.table[std::size_t(c)] = static_cast<std::uint8_t>(F::level(c % (1 << F::bits)) - low);
  return true;
}

template <class T>
constexpr tile_number stored_as() {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, f8_e4m3>)
    return tile_number::f16;
  else if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, e8m0>)
    return tile_number::bf16;
  else
    return tile_number::f32;
}

template <class F>
concept says_exact_scale = requires { typename F::exact_scale; };
template <class F>
concept says_nibbles = requires { requires F::sub_nibbles; };
template <class F>
concept says_scale_type = requires { typename F::scale_t; };
template <class F>
concept scaled_by_f16 =
    requires(const typename F::params& p) { requires std::is_same_v<std::remove_cvref_t<decltype(p.d)>, f16>; };
template <class F>
concept offset_by_f16 =
    requires(const typename F::params& p) { requires std::is_same_v<std::remove_cvref_t<decltype(p.m)>, f16>; };
template <class F>
concept offset_by_zero =
    requires(const typename F::params& p) { requires std::integral<std::remove_cvref_t<decltype(p.zero)>>; };

/// The narrowest storage that holds every scale() of F exactly: what the params give away, or F::exact_scale.
template <class F>
constexpr tile_number scale_number() {
  if constexpr (says_exact_scale<F>)
    return stored_as<typename F::exact_scale>();
  else if constexpr (two_level_format<F>)
    return says_nibbles<F> ? tile_number::f16_times_low4 : tile_number::f16_times_i8;
  else if constexpr (says_scale_type<F>)
    return stored_as<typename F::scale_t>();
  else
    return scaled_by_f16<F> && F::run == F::group ? tile_number::f16 : tile_number::f32;
}
template <class F>
constexpr tile_number offset_number() {
  if constexpr (!has_tile_offset<F>)
    return tile_number::none;
  else if constexpr (two_level_format<F>)
    return says_nibbles<F> ? tile_number::f16_times_high4 : tile_number::f16_times_u8;
  else if constexpr (offset_by_zero<F>)
    return F::bits < 8 && scale_number<F>() != tile_number::f32 ? tile_number::zero_u8 : tile_number::f32;
  else
    return offset_by_f16<F> ? tile_number::f16 : tile_number::f32;
}

}  // namespace detail

/// A format that row_tiles can hold: integer levels (uneven ones up to 4 bits) or a codebook of up to 4 bits, scales
/// constant over 16 columns or more.
template <class F>
concept tileable = weight_format<F> && detail::has_tile_runs<F> && [] {
  tile_form form;
  return detail::set_levels<F>(form);
}();

/// The form of F's tiles.
template <tileable F>
inline constexpr tile_form form_of = [] {
  tile_form form;
  detail::set_levels<F>(form);
  form.bits = F::bits;
  form.run = std::gcd(detail::tile_run<F> > 0 ? detail::tile_run<F>
                      : F::group > 0          ? F::group
                                              : 0,
                      int(tile_form::chunk));
  form.scale = detail::scale_number<F>(), form.offset = detail::offset_number<F>();
  return form;
}();

}  // namespace nbit

#endif
