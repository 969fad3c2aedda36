// nbit/kernel/word_gemv.hpp — gemv straight on the words of GPTQ and AWQ checkpoints: lanes are rows.
//
// There the words of neighbouring rows lie side by side, so a vector of words brings the codes of many rows, and every
// lane adds up a row by itself in the order that kernel/gemv.hpp defines for it:
//
//   GPTQ   word [k / per][row]        a vector: `per` columns of 16 rows                per = 32 / bits codes in a word
//   AWQ    word [column][row / per]   a vector: one column of 16 * per rows, in the order of awq_interleave
//
// int8: bytes of four columns of a row under one int32 (AWQ: after a transposition of bytes), chains b % 4 in memory.
// f32, and int8 with reordered columns: sixteen chains for each row, one for every column modulo 16.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_WORD_GEMV_HPP
#define NBIT_KERNEL_WORD_GEMV_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/prefetch.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/arch/code_lanes.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// Where words lie. unit: rows that a kernel takes together at least; words: of them in a word row of `unit` rows.
/// Vectors v = 0 .. unit / 16 - 1 of sixteen rows, lane l: whole_row for one column's codes, row for bytes of four.
template <class L, int Bits>
struct word_order {};
template <int Bits>
  requires(Bits == 2 || Bits == 4 || Bits == 8)
struct word_order<gptq_words, Bits> {
  static constexpr std::size_t per = 32 / std::size_t(Bits), unit = 16;
  static constexpr bool along_columns = true;

  NBIT_INLINE static constexpr std::size_t stride(shape padded) { return padded.rows; }
  NBIT_INLINE static constexpr std::size_t first_word(std::size_t row) { return row; }
  NBIT_INLINE static constexpr std::size_t row(std::size_t v, std::size_t lane) { return 16 * v + lane; }
  NBIT_INLINE static constexpr std::size_t whole_row(std::size_t v, std::size_t lane) { return 16 * v + lane; }
  NBIT_INLINE static constexpr std::size_t word(std::size_t c, std::size_t v, std::size_t stride) {
    return c / per * stride + 16 * v;
  }
  NBIT_INLINE static constexpr int shift(std::size_t c, std::size_t) { return int(c % per) * Bits; }
};
template <int Bits>
  requires(Bits == 4 || Bits == 8)
struct word_order<awq_interleave, Bits> {
  static constexpr std::size_t per = 32 / std::size_t(Bits), unit = 16 * per;
  static constexpr bool along_columns = false;

  NBIT_INLINE static constexpr std::size_t stride(shape padded) { return padded.rows / per; }
  NBIT_INLINE static constexpr std::size_t first_word(std::size_t row) { return row / per; }
  /// Vector 4 p + u of a unit: bytes 4 u .. 4 u + 3 of every sixteen, of plane p (bits p * Bits .. of bytes).
  NBIT_INLINE static constexpr std::size_t row(std::size_t v, std::size_t lane) {
    const std::size_t of = v % per, word = lane / 4 * 4 + of % 4, field = per / 4 * (lane % 4) + of / 4;
    return v / per * unit + word * per + (field < per / 2 ? 2 * field : 2 * field - per + 1);
  }
  NBIT_INLINE static constexpr std::size_t whole_row(std::size_t v, std::size_t lane) {
    return v / per * unit + lane * per + v % per;
  }
  NBIT_INLINE static constexpr std::size_t word(std::size_t c, std::size_t v, std::size_t stride) {
    return c * stride + v / per * 16;
  }
  NBIT_INLINE static constexpr int shift(std::size_t, std::size_t v) {
    const std::size_t e = v % per;
    return int(e % 2 == 0 ? e / 2 : per / 2 + e / 2) * Bits;
  }
};

/// rows(w, first, count, x, y) as gemv_kernel's, for a float row or int8 activations; the answer is how many rows were
/// done, from the first on: whole units.
template <class Arch, class Weights>
struct word_gemv {};
template <class Arch, class Weights>
concept has_word_gemv = requires { word_gemv<Arch, Weights>::tall; };

namespace detail {
template <class F, class L>
concept in_words = is_uniform<F> && (F::symmetric || says_zero<F>) && (F::group <= 0 || F::group % 16 == 0) &&
                   requires { word_order<L, F::bits>::unit; };
/// Whether columns fill words, as they do in checkpoints.
template <class Weights>
NBIT_INLINE constexpr bool fills_words(const Weights& w) {
  return w.cols % 32 == 0;
}
}  // namespace detail

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/word_gemv.inl>
#include <nbit/arch/stamp.inl>

#endif
