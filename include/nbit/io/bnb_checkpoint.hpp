// nbit/io/bnb_checkpoint.hpp — a linear as bitsandbytes stores it in four bits: NF4 or FP4, absmax plain or nested.
//
//   weight            u8 [N K / 2, 1]   codes of the whole tensor in a row, the even one in the high nibble
//   weight.absmax     f32 [B]           of each block of 32 to 4096 weights; or, nested, u8: codes of 256 levels
//   weight.quant_map  f32 [16]          the levels
//   weight.quant_state.bitsandbytes__nf4 (or __fp4)  u8: JSON with quant_type, blocksize, dtype, shape, nested_*
//   weight.nested_absmax f32 [B / 256], weight.nested_quant_map f32 [256]
// Nested: absmax = nested_quant_map[code] * nested_absmax + nested_offset. Blocks run over the whole tensor, so they
// cross rows where inputs are no multiple of the block: such a linear is read as one row. Ref: bitsandbytes 0.50 (MIT).
// SPDX-License-Identifier: MIT
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

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/codebook.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/layout/high_nibbles.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/bnb_state.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

#include <nbit/base/exact_begin.inl>

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

namespace detail {

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
  const auto nested = static_cast<std::size_t>(ceil_div(blocks, static_cast<std::uint64_t>(to.state.nested_block)));
  attempts all;
  all(check_tensor(from.nested_absmax, "weight.nested_absmax", dtype::f32,
                   {{nested, "the blocks by nested_blocksize"}}));
  all(check_tensor(from.nested_quant_map, "weight.nested_quant_map", dtype::f32, {{256, "256"}}));
  if (all.failed()) return all.first();
  to.nested.codes = all(buffer<std::uint8_t>::make(static_cast<std::size_t>(blocks)));
  to.nested.absmax = all(buffer<float>::make(nested)), to.nested.levels = all(buffer<float>::make(256));
  if (all.failed()) return all.first();
  auto& codes = to.nested.codes;
  auto &absmax = to.nested.absmax, &levels = to.nested.levels;
  for (std::size_t i = 0; i < 256; ++i) {
    levels[i] = load_at<float>(from.nested_quant_map, i);
    if (auto ok = check_scale(levels[i], "weight.nested_quant_map", 0, i); !ok) return ok;
  }
  for (std::size_t i = 0; i < nested; ++i) {
    absmax[i] = load_at<float>(from.nested_absmax, i);
    if (auto ok = check_magnitude(absmax[i], "weight.nested_absmax", 0, i); !ok) return ok;
  }
  for (std::size_t i = 0; i < blocks; ++i) {
    NBIT_EXACT
    codes[i] = std::to_integer<std::uint8_t>(from.absmax.bytes[i]);
    const float product = levels[codes[i]] * absmax[i / static_cast<std::size_t>(to.state.nested_block)];
    to.weights.params[i].scale = product + static_cast<float>(to.state.nested_offset);
    if (auto ok = check_scale(to.weights.params[i].scale, name, 0, i); !ok) return ok;
  }
  return {};
}

}  // namespace detail

/// Codes and absmax of a linear. F's levels and group must be the file's.
/// Errors: those of read_bnb_state; missing, malformed (element type; levels that are not F's), shape, not_finite,
/// unsupported (another blocksize or quant_type than F's), overflow, out_of_memory; the tensor is the subject.
template <bnb_storable F>
inline result<bnb_weights<F>> unpack_bnb(const bnb_linear& from) {
  using safetensors::dtype;
  if (auto ok = detail::check_tensor(from.quant_state, "weight.quant_state", dtype::u8, {{}}); !ok) return ok.error();
  auto state = read_bnb_state(from.quant_state.bytes);
  if (!state) return state.error();
  if (state->block != F::group)
    return make_error(errc::unsupported, "blocks are of another size than the format's", "the format's group")
        .about("blocksize")
        .with(state->block);
  if (auto ok = detail::check_tensor(from.quant_map, "weight.quant_map", dtype::f32, {{16, "16"}}); !ok)
    return ok.error();
  for (std::size_t i = 0; i < 16; ++i)
    if (!(detail::load_at<float>(from.quant_map, i) == F::levels[i]))
      return make_error(errc::malformed, "a level is not the format's", "the levels of NF4 or FP4, as the format's")
          .about("weight.quant_map")
          .at(0, static_cast<std::int64_t>(i));
  const bool nf4_type = state->quant_type == "nf4";
  if (nf4_type != (F::levels == nf4::levels))
    return make_error(errc::malformed, "quant_type is not that of the levels", "nf4 or fp4, as the levels")
        .about("quant_type");
  const detail::wanted_dimension half{ceil_div<std::uint64_t>(state->rows * state->cols, 2), "half the weights"},
      one{1, "1"};
  const bool column = from.weight.rank != 2 || from.weight.shape[1] == 1;  // older files hold [1, bytes]
  if (auto ok = detail::check_tensor(from.weight, "weight", dtype::u8, {column ? half : one, column ? one : half}); !ok)
    return ok.error();
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
  detail::attempts all;
  bnb_tensors to;
  to.weight = all(detail::make_tensor("weight", dtype::u8, {(n + 1) / 2, 1}));
  to.absmax = all(detail::make_tensor("weight.absmax", state.nested ? dtype::u8 : dtype::f32, {blocks}));
  to.quant_map = all(detail::make_tensor("weight.quant_map", dtype::f32, {16}));
  to.quant_state = all(detail::make_tensor(detail::bnb_state_name(state.quant_type), dtype::u8, {text.size()}));
  if (state.nested) {
    to.nested_absmax = all(detail::make_tensor("weight.nested_absmax", dtype::f32, {from.nested.absmax.size()}));
    to.nested_quant_map = all(detail::make_tensor("weight.nested_quant_map", dtype::f32, {from.nested.levels.size()}));
  }
  if (all.failed()) return all.first();
  auto* const bytes = reinterpret_cast<std::uint8_t*>(to.weight.bytes.data());
  pack_row<high_nibbles, 4>(from.weights.codes.data(), bytes, shape{1, round_up<std::size_t>(n, 2)}, 0, 0, n);
  for (std::size_t i = 0; i < 16; ++i)
    detail::store_at(to.quant_map, i, F::levels[i] == 0.0f ? 0.0f : F::levels[i]);  // no -0 in the peer's
  for (std::size_t i = 0; i < text.size(); ++i) to.quant_state.bytes[i] = static_cast<std::byte>(text[i]);
  for (std::size_t i = 0; i < blocks; ++i) {
    if (state.nested)
      to.absmax.bytes[i] = static_cast<std::byte>(from.nested.codes[i]);
    else
      detail::store_at(to.absmax, i, from.weights.params[i].scale);
  }
  if (state.nested) {
    for (std::size_t i = 0; i < from.nested.absmax.size(); ++i)
      detail::store_at(to.nested_absmax, i, from.nested.absmax[i]);
    for (std::size_t i = 0; i < from.nested.levels.size(); ++i)
      detail::store_at(to.nested_quant_map, i, from.nested.levels[i]);
  }
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
