// nbit/kernel/decode_words.hpp — GPTQ's words to floats, sixteen rows at a time.
//
// Words of neighbouring rows lie side by side and those of one row far apart: a row by itself reads a line for each
// word. Sixteen word rows of sixteen rows are transposed in registers; what a row then has is its codes in the layout
// `linear`, for which row_decoder has the rest.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_DECODE_WORDS_HPP
#define NBIT_KERNEL_DECODE_WORDS_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/prefetch.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/past_caches.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/weights.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// stream(w, first, count, out): rows stored past the caches, out as row_decoder's; the answer is how many were done,
/// from the first on: whole sixteens.
template <class Arch, class Weights>
struct word_decoder {};
template <class Arch, class Weights>
concept has_word_decoder = requires { word_decoder<Arch, Weights>::piece; };

namespace detail {
/// Columns whose words are whole sixteens: up to sixteen times sixteen.
template <int Bits>
inline constexpr std::size_t words_piece = std::size_t(512 * (16 / Bits));
template <class F>
concept decodes_from_words =
    F::bits <= 8 && step_of<F> == 1 &&
    (F::group <= 0 || (F::group % 16 == 0 && (words_piece<F::bits> % std::size_t(F::group) == 0 ||
                                              std::size_t(F::group) % words_piece<F::bits> == 0)));
}  // namespace detail

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/decode_words.inl>
#include <nbit/arch/stamp.inl>

#endif
