// nbit/kernel/weights.hpp — what matrix kernels accept as weights: packed views, and plain f32, f16 or bf16 matrices.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_WEIGHTS_HPP
#define NBIT_KERNEL_WEIGHTS_HPP

#include <cstddef>
#include <numeric>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/tensor/packed_view.hpp>

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
  std::size_t unit = 64;  // the least common multiple; not std::lcm, which nvcc does not evaluate here
  while (unit % std::size_t(F::group) != 0) unit += 64;
  return unit >= 256 ? unit : unit * (256 / unit);
}();

/// Whether the int8 kernels can work on integers: scales constant over 16 columns at least.
template <class F>
inline constexpr bool has_integer_runs = [] {
  if constexpr (integer_lattice<F>)
    return F::run % 16 == 0;
  else if constexpr (integer_format<F>)
    return F::run > 0 ? F::run % 16 == 0 : F::group <= 0 || F::group % 16 == 0;
  else
    return false;
}();

/// Whether scales are on two levels, so that int8 kernels can stay in integers over a whole group.
template <class F>
inline constexpr bool has_two_levels = two_level_format<F> || integer_lattice<F>;

/// How the columns of int8 kernels are cut into blocks, which are summed in integers: Group columns of the activations
/// share a scale. See kernel/gemv.hpp for what is computed.
template <class F, int Group>
struct int8_blocks {
  static constexpr int run = F::run > 0 ? F::run : F::group;  // columns with one scale; 0 or less: the whole row
  /// Whole groups of F with integer scales inside, if the activations allow it.
  static constexpr bool two_level = [] {
    if constexpr (has_two_levels<F>)
      return 256 % F::group == 0 && (Group == per_row || Group % F::group == 0);
    else
      return false;
  }();
  static constexpr std::size_t length = [] {
    if constexpr (two_level) return std::size_t(F::group);
    const std::size_t w = run > 0 ? std::size_t(run) : 256, x = Group > 0 ? std::size_t(Group) : 256;
    return std::gcd(std::gcd(w, x), std::size_t{256});
  }();
  // |level| <= 128, |code| <= 127, |integer scale| <= 128: sums of a block fit 31 bits, without scales even 24
  static_assert(length * 128 * 127 * (two_level ? 128 : 1) < (two_level ? 1u << 31 : 1u << 24));
};

}  // namespace detail

/// The Group of int8 activations that F's kernels are made for: 256 where scales are on two levels or over 256 columns,
/// as in k-quants, else 32.
template <weight_format F>
inline constexpr int activation_group = detail::has_two_levels<F> || (F::group > 0 && F::group % 256 == 0) ? 256 : 32;

/// Anything with rows of weights that a kernel can multiply with: rows = outputs, cols = inputs.
template <class W>
concept weight_matrix = requires { typename detail::weights_of<std::remove_cvref_t<W>>::type; };

/// The constant view of a weight_matrix.
template <weight_matrix W>
using weights_t = typename detail::weights_of<std::remove_cvref_t<W>>::type;

}  // namespace nbit

#endif
