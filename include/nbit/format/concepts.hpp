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
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_CONCEPTS_HPP
#define NBIT_FORMAT_CONCEPTS_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>

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

/// An integer_format with scales on two levels, as the k-quants have: scale(p, s) = super_scale(p) * sub_scale(p, s),
/// an exact product, with an integer sub_scale in [-128, 127]; one that is not symmetric has super_offset and
/// sub_offset too. Int8 kernels then stay in integers over a whole group.
template <class F>
concept two_level_format = integer_format<F> && (F::group > 0) && requires(const typename F::params& p, int s) {
  { F::super_scale(p) } -> std::same_as<float>;
  { F::sub_scale(p, s) } -> std::same_as<int>;
};

/// A lattice_format with integers inside, for int8 kernels: a weight is super_scale(p) * sub_scale(p, s) * level, an
/// exact product, scale(p, s) = super_scale(p) * sub_scale(p, s), with levels in [-128, 127] and a sub_scale in [-128,
/// 127] that is constant over runs of F::run weights. signed_levels writes those of the eight weights from position i
/// on, whose codes come first.
template <class F>
concept integer_lattice = lattice_format<F> && (F::group > 0) && (8 % F::step == 0) &&
                          requires(const code_t<F>* codes, const typename F::params& p, int i, std::int8_t* out) {
                            { F::run } -> std::convertible_to<int>;
                            { F::super_scale(p) } -> std::same_as<float>;
                            { F::sub_scale(p, i) } -> std::same_as<int>;
                            { F::scale(p, i) } -> std::same_as<float>;
                            F::signed_levels(codes, p, i, out);
                          };

namespace detail {
// concepts, not requires-expressions inside the lambdas below: clang 16 crashes on those
template <class F>
concept says_exact_levels = requires {
  { F::exact_levels } -> std::convertible_to<bool>;
};
template <class F>
concept says_same_everywhere = requires {
  { F::same_everywhere } -> std::convertible_to<bool>;
};
template <class F>
concept says_symmetric = requires {
  { F::symmetric } -> std::convertible_to<bool>;
};
}  // namespace detail

/// Whether an integer_format promises more: value() has the very bits of scale * level (+ offset, unless symmetric),
/// each operation rounded. Kernels then decode a run at a time.
template <class F>
inline constexpr bool has_exact_levels = [] {
  if constexpr (integer_format<F> && detail::says_exact_levels<F>)
    return bool{F::exact_levels};
  else
    return false;
}();

/// Whether a grid_format promises that value(c, p, i) is the same at every position i (it says so with a constant
/// `same_everywhere`): kernels may then ask once for each code of a group.
template <class F>
inline constexpr bool has_same_values = [] {
  if constexpr (detail::says_same_everywhere<F>)
    return bool{F::same_everywhere};
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
  if constexpr (detail::says_symmetric<F>)
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
