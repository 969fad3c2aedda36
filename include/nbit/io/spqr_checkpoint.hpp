// nbit/io/spqr_checkpoint.hpp — a linear as SpQR stores it: 3-bit tiles whose scales are quantized too, and outliers.
//
//   dense_weights  i64 [tiles * 16]   tiles of 16 x 16 in rows of tiles; one word for each row of a tile:
//                  | 00 | 8 bits of the tile's four f16 | w15 .. w0: 3 bits each | zero: 3 | scale: 3 |
//                  rows 2 i and 2 i + 1 both hold byte i of: scales' scale, zeros' scale, scales' zero, zeros' zero
//   row_offsets    i32 [N + 1]        where the outliers of a row begin; or [N / 16 + 1], see below
//   col_vals       i32 [outliers]     f16 value << 16 | column
//   in_perm        i32 [K / 2]        two 16-bit columns of the activations, the first in the low half; may be absent
// The padded form has as many places for each of 16 rows as the longest needs, and the rows take turns. A weight is
// f16(s * f16(w - z)) + outlier, rounded to f16, with s = f16(ss * f16(scale - sz)) and z likewise. Ref: SpQR
// (Apache-2.0), inference_lib of February 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_SPQR_CHECKPOINT_HPP
#define NBIT_IO_SPQR_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// The tensors of one linear; in_perm need not be present.
struct spqr_linear {
  stored_tensor dense_weights, row_offsets, col_vals, in_perm;
};

/// Owns the tensors of one linear.
struct spqr_tensors {
  owned_tensor dense_weights, row_offsets, col_vals, in_perm;

  [[nodiscard]] spqr_linear view() const {
    return {dense_weights.view(), row_offsets.view(), col_vals.view(), in_perm.view()};
  }
};

/// How outliers lie in the file: row after row, or padded, sixteen rows taking turns.
enum class spqr_outliers : std::uint8_t { rows, padded };

/// The four second-order numbers of a tile.
struct spqr_tile {
  f16 scale_scale, zero_scale, scale_zero, zero_zero;
};

/// One weight that is kept besides the grid.
struct spqr_outlier {
  std::uint16_t col;
  f16 value;
};

/// A linear as read. Tiles stand in rows of tiles; scales and zeros are one for each row and tile.
struct spqr_weights {
  std::size_t rows = 0, cols = 0;
  spqr_outliers kind = spqr_outliers::rows;
  buffer<std::uint8_t> codes;          // rows x cols, 0 to 7
  buffer<std::uint8_t> scales, zeros;  // rows x tiles in a row, 0 to 7
  buffer<spqr_tile> tiles;             // tile rows x tile columns
  buffer<std::uint32_t> first;         // rows + 1: where the outliers of a row begin
  buffer<spqr_outlier> outliers;
  buffer<std::uint32_t> order;  // column c here is input order[c] of the linear; empty: the same
};

namespace detail {

NBIT_INLINE f16 spqr_step(f16 scale, f16 code, f16 zero) {
  NBIT_EXACT
  return f16::from(float(scale) * float(f16::from(float(code) - float(zero))));
}
NBIT_INLINE f16 spqr_number(unsigned code) { return f16::from(static_cast<float>(code)); }

/// The places of outliers in either form, checked.
inline result<void> spqr_read_outliers(const spqr_linear& from, spqr_weights& to) {
  using safetensors::dtype;
  const char* const name = "row_offsets";
  if (auto ok = check_tensor(from.row_offsets, name, dtype::i32, {{}}); !ok) return ok;
  const std::size_t places = static_cast<std::size_t>(from.row_offsets.shape[0]);
  to.kind = places == to.rows + 1 ? spqr_outliers::rows : spqr_outliers::padded;
  if (places != to.rows + 1 && (to.rows % 16 != 0 || places != to.rows / 16 + 1))
    return check_dimension(from.row_offsets, name, 0, to.rows + 1, "outputs + 1, or outputs / 16 + 1");
  const std::size_t count = from.col_vals.present ? from.col_vals.bytes.size() / 4 : 0;
  if (count != 0)  // a layer without outliers has an empty tensor, or none
    if (auto ok = check_tensor(from.col_vals, "col_vals", dtype::i32, {{}}); !ok) return ok;
  std::uint32_t last = 0;
  for (std::size_t i = 0; i < places; ++i) {
    const std::uint32_t at = load_u32(from.row_offsets.bytes.data() + 4 * i);
    const bool turns = to.kind == spqr_outliers::padded && (at - last) % 16 != 0;
    if (at < last || at > count || (i == 0 && at != 0) || (i + 1 == places && at != count) || turns)
      return make_error(errc::malformed, "an offset of outliers is out of order or range",
                        turns ? "steps of 16" : "from 0 rising to the number of outliers")
          .about(name)
          .at(0, static_cast<std::int64_t>(i))
          .with(static_cast<std::int32_t>(at));
    last = at;
  }
  attempts all;
  auto outliers = all(buffer<spqr_outlier>::make(count));
  auto first = all(buffer<std::uint32_t>::make(to.rows + 1));
  if (all.failed()) return all.first();
  std::size_t n = 0;
  for (std::size_t r = 0; r < to.rows; ++r) {
    first[r] = static_cast<std::uint32_t>(n);
    const bool rows = to.kind == spqr_outliers::rows;
    const std::size_t block = rows ? r : r / 16, step = rows ? 1 : 16;
    const std::size_t begin = load_u32(from.row_offsets.bytes.data() + 4 * block) + (rows ? 0 : r % 16),
                      end = load_u32(from.row_offsets.bytes.data() + 4 * block + 4);
    std::size_t kept = n;  // what pads a row is zero
    for (std::size_t i = begin; i < end; i += step) {
      const std::uint32_t word = load_u32(from.col_vals.bytes.data() + 4 * i);
      const spqr_outlier o{static_cast<std::uint16_t>(word & 0xffffu),
                           f16::from_bits(static_cast<std::uint16_t>(word >> 16))};
      if (o.col >= to.cols || !is_finite(float(o.value)))
        return make_error(
                   o.col >= to.cols ? errc::malformed : errc::not_finite,
                   o.col >= to.cols ? "an outlier stands in a column that does not exist" : "an outlier is no number",
                   o.col >= to.cols ? "0 to inputs - 1" : "finite numbers")
            .about("col_vals")
            .at(0, static_cast<std::int64_t>(i))
            .with(o.col);
      outliers[n++] = o;
      if (rows || word != 0) kept = n;
    }
    n = kept;
  }
  first[to.rows] = static_cast<std::uint32_t>(n);
  to.first = std::move(first), to.outliers = std::move(outliers);
  return {};
}

/// The order of inputs, a permutation of 16-bit numbers, two to a word.
inline result<void> spqr_read_order(const stored_tensor& t, spqr_weights& to) {
  if (!t.present || t.bytes.empty()) return {};
  if (auto ok = check_tensor(t, "in_perm", safetensors::dtype::i32, {{}}); !ok) return ok;
  if (to.cols % 2 != 0 || t.shape[0] != to.cols / 2)
    return check_dimension(t, "in_perm", 0, to.cols / 2, "half the inputs, an even number");
  attempts all;
  auto order = all(buffer<std::uint32_t>::make(to.cols));
  auto seen = all(buffer<std::uint8_t>::zeros(to.cols));
  if (all.failed()) return all.first();
  for (std::size_t c = 0; c < to.cols; ++c) {
    const std::uint32_t at = load_u16(t.bytes.data() + 2 * c);
    if (at >= to.cols || seen[at]++ != 0)
      return make_error(errc::malformed, "the order of inputs is no permutation", "each input once")
          .about("in_perm")
          .at(0, static_cast<std::int64_t>(c))
          .with(at);
    order[c] = at;
  }
  to.order = std::move(order);
  return {};
}

}  // namespace detail

/// A linear of N = s.rows outputs and K = s.cols inputs, as the model's config gives them.
/// Errors: missing, malformed (element type, offsets, columns, order, spare bits), shape, not_finite, overflow,
/// out_of_memory; the tensor is the subject.
inline result<spqr_weights> unpack_spqr(const spqr_linear& from, shape s) {
  const char* const name = "dense_weights";
  if (s.rows == 0 || s.cols == 0 || s.cols > 65536 || s.rows > 0x7fffffffu)
    return make_error(errc::shape, "SpQR holds no linear of this shape", "1 to 65536 inputs")
        .with(static_cast<std::int64_t>(s.cols));
  const std::size_t across = ceil_div(s.cols, std::size_t{16}), down = ceil_div(s.rows, std::size_t{16});
  spqr_weights to;
  to.rows = s.rows, to.cols = s.cols;
  detail::attempts all;
  all(detail::check_tensor(from.dense_weights, name, safetensors::dtype::i64,
                           {{across * down * 16, "16 words for each 16 x 16 tile"}}));
  all(detail::spqr_read_outliers(from, to)), all(detail::spqr_read_order(from.in_perm, to));
  if (all.failed()) return all.first();
  to.codes = all(buffer<std::uint8_t>::make(s.rows * s.cols)), to.tiles = all(buffer<spqr_tile>::make(across * down));
  to.scales = all(buffer<std::uint8_t>::make(s.rows * across)),
  to.zeros = all(buffer<std::uint8_t>::make(s.rows * across));
  if (all.failed()) return all.first();
  for (std::size_t t = 0; t < across * down; ++t) {
    std::uint64_t second = 0;
    for (std::size_t k = 0; k < 16; ++k) {
      const std::uint64_t word = load_u64(from.dense_weights.bytes.data() + (t * 16 + k) * 8);
      const std::size_t r = t / across * 16 + k, c = t % across * 16;
      if (word >> 62 != 0)
        return make_error(errc::malformed, "spare bits of a tile are set", "0")
            .about(name)
            .at(0, static_cast<std::int64_t>(t * 16 + k))
            .with(static_cast<std::int64_t>(word >> 62));
      second |= (word >> 54 & 0xffu) << (k / 2 * 8);
      if (r >= s.rows) continue;
      to.scales[r * across + t % across] = static_cast<std::uint8_t>(word & 7u);
      to.zeros[r * across + t % across] = static_cast<std::uint8_t>(word >> 3 & 7u);
      for (std::size_t i = 0; i < 16 && c + i < s.cols; ++i)
        to.codes[r * s.cols + c + i] = static_cast<std::uint8_t>(word >> (6 + 3 * i) & 7u);
    }
    const auto part = [second](int i) { return f16::from_bits(static_cast<std::uint16_t>(second >> (16 * i))); };
    to.tiles[t] = {part(0), part(1), part(2), part(3)};
    for (int i = 0; i < 4; ++i)
      if (auto ok = detail::check_scale(float(part(i)), name, 0, t * 16); !ok) return ok.error();
  }
  return to;
}

/// The tensors of a linear.
/// Errors: shape (buffers that do not belong together), malformed (codes over 7, columns), out_of_memory, overflow.
inline result<spqr_tensors> pack_spqr(const spqr_weights& from) {
  using safetensors::dtype;
  const std::size_t across = ceil_div(from.cols, std::size_t{16}), down = ceil_div(from.rows, std::size_t{16});
  const bool padded = from.kind == spqr_outliers::padded;
  if (from.codes.size() != from.rows * from.cols || from.scales.size() != from.rows * across ||
      from.zeros.size() != from.rows * across || from.tiles.size() != across * down ||
      from.first.size() != from.rows + 1 || from.first[0] != 0 || from.first[from.rows] > from.outliers.size() ||
      (padded && from.rows % 16 != 0) ||
      (!from.order.empty() && (from.order.size() != from.cols || from.cols % 2 != 0)))
    return make_error(errc::shape, "buffers of an SpQR linear do not fit its shape", "see spqr_weights");
  for (const auto* codes : {&from.codes, &from.scales, &from.zeros})
    if (auto ok = detail::check_codes(codes->span(), 3, from.cols); !ok) return ok.error();
  detail::attempts all;
  auto offsets = all(detail::make_tensor("row_offsets", dtype::i32, {padded ? from.rows / 16 + 1 : from.rows + 1}));
  if (all.failed()) return all.first();
  std::size_t places = 0;  // of outliers in the file
  for (std::size_t r = 0, longest = 0; r < from.rows; ++r) {
    if (from.first[r + 1] < from.first[r])
      return make_error(errc::malformed, "offsets of outliers do not rise", "from 0")
          .at(static_cast<std::int64_t>(r), 0);
    const std::size_t n = from.first[r + 1] - from.first[r], last = padded ? r / 16 : r;
    longest = r % 16 == 0 || n > longest ? n : longest;
    places += !padded ? n : r % 16 == 15 ? 16 * longest : 0;
    store_u32(offsets.bytes.data() + 4 * (last + 1), static_cast<std::uint32_t>(places));
  }
  auto dense = all(detail::make_tensor("dense_weights", dtype::i64, {across * down * 16}));
  auto values = all(detail::make_tensor("col_vals", dtype::i32, {places}));
  auto order = all(detail::make_tensor("in_perm", dtype::i32, {from.order.size() / 2}));
  if (all.failed()) return all.first();
  for (std::size_t t = 0; t < across * down; ++t) {
    const spqr_tile& p = from.tiles[t];
    std::uint64_t second = 0;
    for (const f16 part : {p.zero_zero, p.scale_zero, p.zero_scale, p.scale_scale}) second = second << 16 | part.bits;
    for (std::size_t k = 0; k < 16; ++k) {
      const std::size_t r = t / across * 16 + k, c = t % across * 16;
      if (r >= from.rows) continue;  // rows past the last are zero, their part of the tile's numbers too
      std::uint64_t word = std::uint64_t{from.scales[r * across + t % across]} |
                           std::uint64_t{from.zeros[r * across + t % across]} << 3 |
                           (second >> (k / 2 * 8) & 0xffu) << 54;
      for (std::size_t i = 0; i < 16 && c + i < from.cols; ++i)
        word |= std::uint64_t{from.codes[r * from.cols + c + i]} << (6 + 3 * i);
      store_u64(dense.bytes.data() + (t * 16 + k) * 8, word);
    }
  }
  for (std::size_t r = 0; r < from.rows; ++r) {
    const std::size_t block = padded ? load_u32(offsets.bytes.data() + 4 * (r / 16)) + r % 16 : from.first[r];
    for (std::size_t i = 0; from.first[r] + i < from.first[r + 1]; ++i) {
      const spqr_outlier& o = from.outliers[from.first[r] + i];
      if (o.col >= from.cols)
        return make_error(errc::malformed, "an outlier stands in a column that does not exist", "0 to inputs - 1")
            .at(static_cast<std::int64_t>(r), o.col);
      store_u32(values.bytes.data() + 4 * (block + i * (padded ? 16 : 1)), std::uint32_t{o.value.bits} << 16 | o.col);
    }
  }
  for (std::size_t c = 0; c < from.order.size(); ++c)
    store_u16(order.bytes.data() + 2 * c, static_cast<std::uint16_t>(from.order[c]));
  if (from.order.empty()) order.name = "";
  return spqr_tensors{std::move(dense), std::move(offsets), std::move(values), std::move(order)};
}

/// The weights, every step rounded to f16 as the peer does, inputs in the linear's own order.
/// Needs: out has the linear's shape.
inline void decode_spqr(const spqr_weights& from, matrix_view<float> out) {
  const std::size_t across = ceil_div(from.cols, std::size_t{16});
  const auto input = [&from](std::size_t c) { return from.order.empty() ? c : std::size_t{from.order[c]}; };
  for (std::size_t r = 0; r < from.rows; ++r) {
    for (std::size_t c = 0; c < from.cols; ++c) {
      const std::size_t t = r * across + c / 16;
      const spqr_tile& p = from.tiles[r / 16 * across + c / 16];
      const f16 s = detail::spqr_step(p.scale_scale, detail::spqr_number(from.scales[t]), p.scale_zero),
                z = detail::spqr_step(p.zero_scale, detail::spqr_number(from.zeros[t]), p.zero_zero);
      out(r, input(c)) = float(detail::spqr_step(s, detail::spqr_number(from.codes[r * from.cols + c]), z));
    }
    for (std::uint32_t i = from.first[r]; i < from.first[r + 1]; ++i) {
      const spqr_outlier& o = from.outliers[i];
      float& w = out(r, input(o.col));
      w = w + float(o.value);
    }
    for (std::size_t c = 0; c < from.cols; ++c) out(r, c) = float(f16::from(out(r, c)));
  }
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
