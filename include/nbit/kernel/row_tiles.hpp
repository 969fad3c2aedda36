// nbit/kernel/row_tiles.hpp — repack into row tiles, and gemv and gemm on them.
//
// The order of additions with int8 and bf16 activations is written down in kernel/tile_dot.hpp. With f32 activations:
// one chain of fma(x, scale * level (+ offset, rounded in between), chain) over rising columns, as gemm does
// everywhere. With all, gemm gives each token gemv's bits.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_ROW_TILES_HPP
#define NBIT_KERNEL_ROW_TILES_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/tensor/packed_matrix.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/tensor/row_tiles.hpp>
#include <nbit/arch/code_lanes.hpp>
#include <nbit/arch/level_lanes.hpp>
#include <nbit/arch/matrix_unit.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/parallel/executor.hpp>
#include <nbit/kernel/about.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/register_tile.hpp>
#include <nbit/kernel/tile_dot.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// Tokens with a block of rows and columns: of tiles as they are, or of unpacked ones.
template <class Arch, tile_form Form, class X>
struct tile_block;

/// Tiles of one form unpacked to bytes or levels and f32 numbers.
template <class Arch, tile_form Form, class X>
struct tile_panel;

/// A few tokens with a panel, in registers that hold matrices.
template <class Arch, tile_form Form, class X>
struct matrix_block;

/// Tiles of one form as floats.
template <class Arch, tile_form Form>
struct tile_floats;

namespace detail {
// int8 dots are those of an extension's base
template <class Arch, tile_form Form, class X>
struct dot_chosen {
  using type = tile_dot<arch::base_of<Arch>, Form, X>;
};
template <class Arch, tile_form Form>
struct dot_chosen<Arch, Form, matrix_view<const bf16>> {
  using type = tile_dot<Arch, Form, matrix_view<const bf16>>;
};
template <class Arch, tile_form Form, class X>
using dot_for = typename dot_chosen<Arch, Form, X>::type;
}  // namespace detail

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP_EXTENSIONS
#define NBIT_STAMP <nbit/kernel/tile_products.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/row_tiles.inl>
#include <nbit/arch/stamp.inl>
#define NBIT_STAMP <nbit/kernel/matrix_products.inl>
#include <nbit/arch/stamp_matrices.inl>

namespace nbit {
inline namespace NBIT_TAG {

#if !defined(NBIT_NO_HEAP)

/// The same weights as tiles for gemv and gemm; done once, at load.
/// Errors: out_of_memory; unsupported when columns were reordered into groups, which a tile cannot express.
template <class To, weight_format F, class L, class Byte, executor E = serial>
  requires(std::is_same_v<To, row_tiles>)
inline result<packed_matrix<F, row_tiles>> repack(const packed_view<F, L, Byte>& from, E&& ex = {},
                                                  allocator memory = default_allocator()) {
  if constexpr (requires { from.group_index; }) {
    if (from.group_index != nullptr)
      return make_error(errc::unsupported, "row tiles hold neighbouring columns; this tensor has reordered groups",
                        "static groups, or its own layout");
  }
  auto to = packed_matrix<F, row_tiles>::make(from.shape(), memory);
  if (!to) return to.error();
  const packed_span<F, row_tiles> out = to->span();
  const packed_view<F, L> in = from;
  constexpr std::size_t piece = 4;
  ex((out.tiles() + piece - 1) / piece, [&](std::size_t i) {
    for (std::size_t t = i * piece; t < out.tiles() && t < (i + 1) * piece; ++t) detail::store_tile<F, L>(in, out, t);
  });
  return to;
}

#endif

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
