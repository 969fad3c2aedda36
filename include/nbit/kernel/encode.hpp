// nbit/kernel/encode.hpp — encoders that work on sixteen groups side by side: the format's own bytes, faster.
//
// A reference encoder adds floats in a fixed order inside one run of weights. So each vector lane owns a run and adds
// in that order: sixteen runs at a time and the same bytes. A group whose numbers leave the range in which rounding is
// simple is given to the format's own encoder, which is the definition.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_ENCODE_HPP
#define NBIT_KERNEL_ENCODE_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/row_codes.hpp>

namespace nbit {

// Named only: a program that does not quantize into a format need not include it.
struct q4_0;
struct q4_1;
struct q5_0;
struct q5_1;
struct q8_0;
struct q8_1;
struct mxfp4;
struct q2_k;
struct q3_k;
struct q4_k;
struct q5_k;
struct q6_k;
struct iq4_nl;
struct iq4_xs;
struct q2_0;
struct iq2_xxs;
struct iq2_xs;
struct iq2_s;
struct iq3_xxs;
struct iq3_s;

inline namespace NBIT_TAG {
namespace ggml_block {
template <class Grid>
struct neighbour_memo;
template <class Grid>
struct lattice_rows;
template <class Search>
float search_lattice(const float*, const float*, const float*, float, float, std::uint16_t*);
template <int N, int High>
float positive_search(const float*, const float*, std::uint8_t*);
}  // namespace ggml_block
}  // namespace NBIT_TAG

namespace detail {
template <class F, class... G>
inline constexpr bool is_one_of = (std::is_same_v<F, G> || ...);

/// Formats whose importance weights ask for the mean square of the row.
template <class F>
inline constexpr bool weighs_by_row = is_one_of<F, q4_0, q4_1, q5_0, q5_1>;

/// Formats whose encoders remember neighbours on a lattice.
template <class F>
inline constexpr bool has_neighbours = is_one_of<F, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s>;
}  // namespace detail

/// Groups to encode side by side. Entries from count on repeat the first.
struct encode_batch {
  static constexpr std::size_t width = 16;

  std::size_t count;
  const float* x[width];           // whole groups
  const float* importance[width];  // null: none, for all of them
  float mean_square[width];        // of the group's row
  std::byte* to[width];            // F::block_bytes each
  void* memo;                      // encoder_memo_bytes<F> that stay with this F from batch to batch
};

inline namespace NBIT_TAG {

/// encode(batch): the bytes that F::encode and F::store give.
template <class Arch, class F>
struct group_encoder;

/// The nearest of 16 uneven levels by table: v falls into one of 31 pieces of the line, which the levels cut at most
/// once. Piece p is around width * p; table entries are at p & 31.
struct level_pieces {
  static constexpr float width = 10.5f;  // less than half the distance from a level to the next but one
  alignas(64) float cut[32], below[32], above[32], code_below[32], code_above[32];

  template <class F>
  static constexpr level_pieces of() {
    level_pieces t{};
    for (int p = -16; p < 16; ++p) {
      const float start = width * (static_cast<float>(p) - 0.5f);
      int code = 0;
      while (code < 15 && static_cast<float>(F::level(code) + F::level(code + 1)) * 0.5f <= start) ++code;
      const int next = code < 15 ? code + 1 : 15, at = p & 31;
      t.cut[at] = static_cast<float>(F::level(code) + F::level(next)) * 0.5f;
      t.below[at] = static_cast<float>(F::level(code)), t.above[at] = static_cast<float>(F::level(next));
      t.code_below[at] = static_cast<float>(code), t.code_above[at] = static_cast<float>(next);
    }
    return t;
  }
};

/// The searches of format/ggml_search.hpp for sixteen runs side by side.
template <class Arch>
struct lane_search;

/// Runs of sixteen groups as lanes.
template <class Arch>
struct group_lanes;

/// A block of 32 weights as vectors.
template <class Arch>
struct block_of_32;

/// The instruction set whose encoders Arch uses: int8 dots help no encoder.
template <class Arch>
using encoding_arch = arch::without_dots<Arch>;

/// Eight inverse scales, or eight neighbours of a place off a lattice, side by side.
template <class Arch>
struct lattice_lanes;

/// The search for one run of weights.
template <class Arch, class Search>
struct lattice_run;

/// ggml_block::lattice_steps of an instruction set.
template <class Arch, class Grid>
struct lattice_lane_steps;

/// What an encoder of F wants to remember from batch to batch, aligned to 4.
template <class F>
NBIT_INLINE constexpr std::size_t encoder_memo_bytes() {
  if constexpr (detail::has_neighbours<F>)
    return sizeof(ggml_block::neighbour_memo<typename F::grid>);
  else
    return 0;
}

/// Whether an instruction set has an encoder of its own for a format.
template <class Arch, class F>
inline constexpr bool has_group_encoder =
    requires(const encode_batch& b) { group_encoder<encoding_arch<Arch>, F>::encode(b); };

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/encode_search.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/encode_lanes.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/encode_k.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/encode_iq4.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/encode_lattice.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/encode_legacy.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/encode_low_bit.inl>
#include <nbit/arch/stamp.inl>

#endif
