// nbit/kernel/encode.hpp — encoders that work on sixteen groups side by side: the format's own bytes, faster.
//
// A reference encoder adds floats in a fixed order inside one run of weights. So each vector lane owns a run and adds
// in that order: sixteen runs at a time and the same bytes. A group whose numbers leave the range in which rounding is
// simple is given to the format's own encoder, which is the definition.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_ENCODE_HPP
#define NBIT_KERNEL_ENCODE_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/arch/lane_math.hpp>

namespace nbit {

// Named only: a program that does not quantize into a format need not include it.
struct q4_0;
struct q4_1;
struct q5_0;
struct q5_1;
struct q2_k;
struct q3_k;
struct q4_k;
struct q5_k;
struct q6_k;

namespace detail {
template <class F, class... G>
inline constexpr bool is_one_of = (std::is_same_v<F, G> || ...);

/// Formats whose importance weights ask for the mean square of the row.
template <class F>
inline constexpr bool weighs_by_row = is_one_of<F, q4_0, q4_1, q5_0, q5_1>;
}  // namespace detail

/// Groups to encode side by side. Entries from count on repeat the first.
struct encode_batch {
  static constexpr std::size_t width = 16;

  std::size_t count;
  const float* x[width];           // whole groups
  const float* importance[width];  // null: none, for all of them
  float mean_square[width];        // of the group's row
  std::byte* to[width];            // F::block_bytes each
};

inline namespace NBIT_TAG {

/// encode(batch): the bytes that F::encode and F::store give.
template <class Arch, class F>
struct group_encoder;

/// The searches of format/ggml_search.hpp for sixteen runs side by side.
template <class Arch>
struct lane_search;

/// Groups of 256 weights as lanes.
template <class Arch>
struct k_lanes;

/// Whether an instruction set has an encoder of its own for a format.
template <class Arch, class F>
inline constexpr bool has_group_encoder = requires(const encode_batch& b) { group_encoder<Arch, F>::encode(b); };

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/kernel/encode_search.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/encode_k.inl>
#include <nbit/arch/stamp.inl>

#endif
