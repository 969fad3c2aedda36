// nbit/kernel/decode.hpp — reads pieces of a weight row as floats, or as integer levels with their scales.
//
// row_decoder<Arch, Weights> is where a format meets an instruction set. The generic one asks the format for every
// value, so any format runs everywhere; a specialisation for one (Arch, Weights) slots in and must give the same
// floats.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_DECODE_HPP
#define NBIT_KERNEL_DECODE_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/codebook.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/past_caches.hpp>
#include <nbit/arch/row_codes.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// floats(w, r, c, n, out): weights [c, c + n) of row r; c a multiple of chunk_of<Weights>, n at most that.
/// levels(w, r, c, n, level, scale, offset) for integer formats: n levels, and a scale and an offset for every 16
/// columns; the levels up to the next multiple of 64 are zeroed.
/// stream(w, r, out), optional: row r stored past the caches, out aligned to past_caches<Arch>::alignment.
template <class Arch, class Weights>
struct row_decoder;

/// past_caches' interface for stores that stay in the caches.
template <class Arch>
struct plain_stores;

namespace detail {

/// The levels of a format of at most 4 bits.
template <class F>
struct level_table_of {
  std::int8_t of[16];
};
template <class F>
inline constexpr level_table_of<F> level_table = [] {
  level_table_of<F> t{};
  for (int c = 0; c < 1 << F::bits; ++c) t.of[c] = static_cast<std::int8_t>(F::level(c));
  return t;
}();

/// Whether levels are codes plus a constant.
template <class F>
inline constexpr bool levels_ascend = [] {
  for (int c = 0; c < 1 << F::bits; ++c)
    if (F::level(c) - F::level(0) != c) return false;
  return true;
}();

/// All levels as floats; the levels of a codebook.
template <class T, std::size_t N>
struct aligned_table {
  alignas(64) T of[N];
};
template <class F>
inline constexpr aligned_table<float, 32> float_levels = [] {
  aligned_table<float, 32> t{};
  for (int c = 0; c < 1 << F::bits; ++c) t.of[c] = static_cast<float>(F::level(c));
  return t;
}();
template <class F>
inline constexpr aligned_table<float, 16> codebook_floats = [] {
  aligned_table<float, 16> t{};
  for (std::size_t c = 0; c < F::levels.size(); ++c) t.of[c] = F::levels[c];
  return t;
}();

// concepts: what formats may offer besides (docs/formats.md)
template <class F>
concept says_zero = requires(const typename F::params& p) { F::zero(p); };
template <class F>
concept has_codes16 = requires(const std::byte* block) { F::codes16(block, 0); };
template <class F>
concept has_nibbles = requires { F::nibbles_at; };
template <class F>
concept has_fifth_bits = requires { F::fifth_bits_at; };
template <class F>
concept has_points16 = requires(const std::byte* block) { F::points16(block, F::block_scale(block), 0); };
template <class F>
concept has_block_runs = requires(const std::byte* block) { F::runs_of(block); };

}  // namespace detail

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/decode.inl>
#include <nbit/arch/stamp.inl>

#endif
