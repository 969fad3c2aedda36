// nbit/io/compressed_tensors.hpp — a linear of integers as compressed-tensors stores it: pack-quantized, int-quantized.
//
//   weight_packed      i32 [N, ceil(K b / 32)]   pack-quantized: value + 2^(b-1), layout/dense_words.hpp
//   weight             i8  [N, K]                int-quantized: the value
//   weight_scale       f32, f16 or bf16 [N, G]; [N, 1] one for each output; [1] one for the tensor
//   weight_zero_point  i32 [ceil(N b / 32), G]   asymmetric only, packed along the outputs; int-quantized: i8 [N, G]
//   weight_shape       i64 [2]                   N and K; pack-quantized only
//   weight_g_idx       i32 [K]                   group of each input, if they are not in order
// Releases before dense packing (0.10.2 is one) put 32 / b whole codes into a word, which differs where b does not
// divide 32; such files are read, and told by their shape. Ref: compressed-tensors 0.20.0 (Apache-2.0);
// docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_COMPRESSED_TENSORS_HPP
#define NBIT_IO_COMPRESSED_TENSORS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/layout/dense_words.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

namespace nbit {

/// Formats that compressed-tensors can hold as integers: uniform, 2 to 8 bits, a scale of 2 or 4 bytes, an integer
/// zero.
template <class F>
concept ct_storable =
    grid_format<F> &&
    requires {
      { F::scheme } -> std::convertible_to<scheme>;
    } && F::bits >= 2 &&
    (F::scheme.scale == scale_type::f32 || F::scheme.scale == scale_type::f16 || F::scheme.scale == scale_type::bf16) &&
    F::scheme.symmetry != symmetry::asymmetric_float;

/// How the codes of a linear are stored: in words of 32 bits, or in bytes with their sign.
enum class ct_packing : std::uint8_t { pack_quantized, int_quantized };

inline namespace NBIT_TAG {

/// The tensors of one linear. weight is weight_packed or, int-quantized, weight. The last three need not be present.
struct ct_linear {
  stored_tensor weight, weight_scale, weight_zero_point, weight_shape, weight_g_idx;
};

/// Owns the tensors of one linear; those that it lacks are not present().
struct ct_tensors {
  owned_tensor weight, weight_scale, weight_zero_point, weight_shape, weight_g_idx;

  [[nodiscard]] ct_linear view() const {
    return {weight.view(), weight_scale.view(), weight_zero_point.view(), weight_shape.view(), weight_g_idx.view()};
  }
};

namespace detail {

/// The packing of older releases, along the columns or, transposed, along the rows: whole codes, the rest of a word
/// unused. Not a layout that packs: it leaves bits over.
template <int Bits, bool AlongRows>
struct ct_whole_codes {
  template <int>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t per_word = 32 / std::size_t(Bits), tile_rows = 1, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape s, std::size_t r, std::size_t c, int bit) {
      if constexpr (AlongRows)
        return {r / per_word * s.cols + c, static_cast<int>(r % per_word) * Bits + bit};
      else
        return {r * ceil_div(s.cols, per_word) + c / per_word, static_cast<int>(c % per_word) * Bits + bit};
    }
  };
};

/// Words that n codes of b bits take, dense and in whole codes.
NBIT_INLINE constexpr std::size_t ct_dense_words(std::size_t n, int bits) {
  return ceil_div(n * std::size_t(bits), std::size_t{32});
}
NBIT_INLINE constexpr std::size_t ct_old_words(std::size_t n, int bits) {
  return ceil_div(n, std::size_t{32} / std::size_t(bits));
}

/// The shape of a linear, from weight_shape or from the bytes of an int-quantized weight.
inline result<shape> ct_shape(const ct_linear& from, ct_packing packing) {
  using safetensors::dtype;
  if (packing == ct_packing::int_quantized) {
    if (auto ok = check_tensor(from.weight, "weight", {dtype::i8}, "I8", 2); !ok) return ok.error();
    return shape{static_cast<std::size_t>(from.weight.shape[0]), static_cast<std::size_t>(from.weight.shape[1])};
  }
  if (auto ok = check_tensor(from.weight, "weight_packed", {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = check_tensor(from.weight_shape, "weight_shape", {dtype::i64}, "I64", 1); !ok) return ok.error();
  if (auto ok = check_dimension(from.weight_shape, "weight_shape", 0, 2, "2"); !ok) return ok.error();
  std::uint64_t n[2] = {};
  for (std::size_t i = 0; i < 2; ++i) {
    n[i] = load_u64(from.weight_shape.bytes.data() + 8 * i);
    if (n[i] > 0x7fffffffu)
      return make_error(errc::overflow, "a linear's outputs or inputs are too many", "at most 2^31 - 1")
          .about("weight_shape")
          .at(0, static_cast<std::int64_t>(i))
          .with(static_cast<std::int64_t>(n[i]));
  }
  if (auto ok = check_dimension(from.weight, "weight_packed", 0, n[0], "the outputs in weight_shape"); !ok)
    return ok.error();
  return shape{static_cast<std::size_t>(n[0]), static_cast<std::size_t>(n[1])};
}

/// The codes of all rows of weight_packed.
template <int Bits>
inline result<void> ct_unpack_weight(const stored_tensor& t, shape s, std::uint8_t* codes) {
  const std::size_t words = static_cast<std::size_t>(t.shape[1]);
  const bool dense = words == ct_dense_words(s.cols, Bits);
  if (!dense && words != ct_old_words(s.cols, Bits))
    return check_dimension(t, "weight_packed", 1, ct_dense_words(s.cols, Bits),
                           "the inputs in weight_shape times bits, in words");
  const auto all = load_words(t);
  if (!all) return all.error();
  for (std::size_t r = 0; r < s.rows; ++r, codes += s.cols) {
    if (dense)
      unpack_row<dense_words, Bits>(all->data(), s, r, 0, s.cols, codes);
    else
      unpack_row<ct_whole_codes<Bits, false>, Bits>(all->data(), s, r, 0, s.cols, codes);
  }
  return {};
}

/// The zeros of all outputs and groups, unsigned as codes are; half when there is no tensor.
template <int Bits>
inline result<void> ct_unpack_zeros(const stored_tensor& t, ct_packing packing, shape s,
                                    std::span<std::uint8_t> zeros) {
  using safetensors::dtype;
  constexpr int half = 1 << (Bits - 1);
  for (std::uint8_t& z : zeros) z = static_cast<std::uint8_t>(half);
  if (!t.present) return {};
  const char* const name = "weight_zero_point";
  const char* const allowed = "as weight_scale";
  if (packing == ct_packing::int_quantized) {
    const bool flat = t.rank == 1;
    if (auto ok = check_tensor(t, name, {dtype::i8}, "I8", flat ? 1 : 2); !ok) return ok.error();
    if (auto ok = check_dimension(t, name, 0, s.rows, allowed); !ok) return ok.error();
    if (!flat || s.cols != 1)
      if (auto ok = check_dimension(t, name, 1, s.cols, allowed); !ok) return ok.error();
    for (std::size_t i = 0; i < zeros.size(); ++i) {
      const int value = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(t.bytes[i]));
      if (value < -half || value >= half)
        return make_error(errc::malformed, "a zero point does not fit its width", "-2^(bits - 1) to 2^(bits - 1) - 1")
            .about(name)
            .at(static_cast<std::int64_t>(i / s.cols), static_cast<std::int64_t>(i % s.cols))
            .with(value);
      zeros[i] = static_cast<std::uint8_t>(value + half);
    }
    return {};
  }
  if (auto ok = check_tensor(t, name, {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = check_dimension(t, name, 1, s.cols, allowed); !ok) return ok.error();
  const bool dense = t.shape[0] == ct_dense_words(s.rows, Bits);
  if (!dense && t.shape[0] != ct_old_words(s.rows, Bits))
    return check_dimension(t, name, 0, ct_dense_words(s.rows, Bits), "the outputs times bits, in words");
  const auto words = load_words(t);
  if (!words) return words.error();
  for (std::size_t r = 0; r < s.rows; ++r) {
    std::uint8_t* const to = zeros.data() + r * s.cols;
    if (dense)
      unpack_row<dense_columns, Bits>(words->data(), s, r, 0, s.cols, to);
    else
      unpack_row<ct_whole_codes<Bits, true>, Bits>(words->data(), s, r, 0, s.cols, to);
  }
  return {};
}

/// The groups of the inputs, or nothing when they are in order (or all -1, which stands for that).
template <class F>
inline result<buffer<std::uint32_t>> ct_group_index(const stored_tensor& t, std::size_t cols) {
  buffer<std::uint32_t> none;
  if (!t.present) return none;
  if (auto ok = check_tensor(t, "weight_g_idx", {safetensors::dtype::i32}, "I32", 1); !ok) return ok.error();
  if (auto ok = check_dimension(t, "weight_g_idx", 0, cols, "the inputs"); !ok) return ok.error();
  auto index = load_words(t);
  if (!index) return index.error();
  bool in_order = true, unset = true;
  const std::size_t length = group_length<F>(cols);
  for (std::size_t c = 0; c < cols; ++c) {
    in_order = in_order && (*index)[c] == c / length;
    unset = unset && (*index)[c] == 0xffffffffu;
  }
  if (in_order || unset) return none;
  for (std::size_t c = 0; c < cols; ++c)
    if ((*index)[c] >= groups_per_row<F>(cols))
      return make_error(errc::malformed, "weight_g_idx names a group that does not exist", "0 to groups - 1")
          .about("weight_g_idx")
          .at(0, static_cast<std::int64_t>(c))
          .with(static_cast<std::int32_t>((*index)[c]));
  return index;
}

/// Rows and columns of the parameters: [N, G], or [1, 1] for one for the tensor.
template <class F>
NBIT_INLINE constexpr shape ct_params_shape(shape s) {
  if constexpr (F::group == per_tensor)
    return {params_count<F>(s.rows, s.cols), 1};
  else
    return {s.rows, groups_per_row<F>(s.cols)};
}

}  // namespace detail

/// Codes and parameters of a linear. F's bits, group and scale must be the file's; an asymmetric F reads symmetric
/// files too. group_index stays empty when the groups are in order. Errors: missing, malformed (element type; a value,
/// zero or group out of range; a zero that a symmetric F cannot mean), shape, not_finite, overflow, out_of_memory; the
/// tensor is the subject, row and column are its own.
template <ct_storable F>
inline result<coded_matrix<F>> unpack_ct(const ct_linear& from, ct_packing packing = ct_packing::pack_quantized) {
  using scale_t = decltype(F::params::scale);
  using number = detail::stored_number<scale_t>;
  const result<shape> s = detail::ct_shape(from, packing);
  if (!s) return s.error();
  const shape ps = detail::ct_params_shape<F>(*s);
  const std::size_t scale_rank = F::group == per_tensor ? 1 : 2;
  const char* const name = "weight_scale";
  if (auto ok = detail::check_tensor(from.weight_scale, name, {number::type}, number::name, scale_rank); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.weight_scale, name, 0, ps.rows, "the outputs; 1 for one scale"); !ok)
    return ok.error();
  if (F::group != per_tensor)
    if (auto ok = detail::check_dimension(from.weight_scale, name, 1, ps.cols, "the groups that the inputs make"); !ok)
      return ok.error();
  auto zeros = buffer<std::uint8_t>::make(ps.rows * ps.cols);
  if (!zeros) return zeros.error();
  if (auto ok = detail::ct_unpack_zeros<F::bits>(from.weight_zero_point, packing, ps, zeros->span()); !ok)
    return ok.error();
  // Checked before the codes get memory: a tensor of few bytes must not claim many.
  if (packing == ct_packing::pack_quantized && from.weight.shape[1] < detail::ct_dense_words(s->cols, F::bits))
    return detail::check_dimension(from.weight, "weight_packed", 1, detail::ct_dense_words(s->cols, F::bits),
                                   "the inputs in weight_shape times bits, in words")
        .error();
  auto to = coded_matrix<F>::make(*s);
  if (!to) return to.error();
  if (packing == ct_packing::pack_quantized) {
    if (auto ok = detail::ct_unpack_weight<F::bits>(from.weight, *s, to->codes.data()); !ok) return ok.error();
  } else {
    for (std::size_t i = 0; i < to->codes.size(); ++i) {
      const int value = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(from.weight.bytes[i]));
      if (value < -F::half || value >= F::half)
        return make_error(errc::malformed, "a weight does not fit its width", "-2^(bits - 1) to 2^(bits - 1) - 1")
            .about("weight")
            .at(static_cast<std::int64_t>(i / s->cols), static_cast<std::int64_t>(i % s->cols))
            .with(value);
      to->codes[i] = static_cast<std::uint8_t>(value + F::half);
    }
  }
  for (std::size_t i = 0; i < to->params.size(); ++i) {
    typename F::params& p = to->params[i];
    p.scale = detail::load_at<scale_t>(from.weight_scale, i);
    if (auto ok = detail::check_scale(float(p.scale), name, i / ps.cols, i % ps.cols); !ok) return ok.error();
    if constexpr (!F::symmetric)
      p.zero = (*zeros)[i];
    else if ((*zeros)[i] != F::half)
      return make_error(errc::malformed, "a zero point of a symmetric linear is not in the middle", "0")
          .about("weight_zero_point")
          .at(static_cast<std::int64_t>(i / ps.cols), static_cast<std::int64_t>(i % ps.cols))
          .with((*zeros)[i] - F::half);
  }
  auto index = detail::ct_group_index<F>(from.weight_g_idx, s->cols);
  if (!index) return index.error();
  to->group_index = *std::move(index);
  return to;
}

/// The tensors of a checkpoint from codes and parameters; weight_zero_point when F is asymmetric, weight_g_idx when
/// groups were reordered.  Errors: malformed for codes and zeros over 2^bits - 1, out_of_memory, overflow.
template <ct_storable F>
inline result<ct_tensors> pack_ct(const coded_matrix<F>& from, ct_packing packing = ct_packing::pack_quantized) {
  using safetensors::dtype;
  using number = detail::stored_number<decltype(F::params::scale)>;
  constexpr int bits = F::bits;
  const std::size_t n = from.rows, k = from.cols;
  const shape ps = detail::ct_params_shape<F>(from.shape());
  const bool words = packing == ct_packing::pack_quantized;
  if (auto ok = detail::check_codes(from.codes.span(), bits, k); !ok) return ok.error();
  auto weight = words ? detail::make_tensor("weight_packed", dtype::i32, {n, detail::ct_dense_words(k, bits)})
                      : detail::make_tensor("weight", dtype::i8, {n, k});
  auto scale = F::group == per_tensor ? detail::make_tensor("weight_scale", number::type, {ps.rows})
                                      : detail::make_tensor("weight_scale", number::type, {ps.rows, ps.cols});
  if (!weight) return weight.error();
  if (!scale) return scale.error();
  ct_tensors to;
  for (std::size_t i = 0; i < from.params.size(); ++i) detail::store_at(*scale, i, from.params[i].scale);
  if (words) {
    auto all = buffer<std::uint32_t>::zeros(weight->bytes.size() / 4);
    auto size = detail::make_tensor("weight_shape", dtype::i64, {2});
    if (!all) return all.error();
    if (!size) return size.error();
    for (std::size_t r = 0; r < n; ++r)
      pack_row<dense_words, bits>(from.row_codes(r), all->data(), from.shape(), r, 0, k);
    detail::store_words(*weight, all->span());
    store_u64(size->bytes.data(), n), store_u64(size->bytes.data() + 8, k);
    to.weight_shape = *std::move(size);
  } else {
    for (std::size_t i = 0; i < from.codes.size(); ++i)
      weight->bytes[i] = static_cast<std::byte>(from.codes[i] - F::half);
  }
  if constexpr (!F::symmetric) {
    auto zero =
        !words ? detail::make_tensor("weight_zero_point", dtype::i8, {ps.rows, ps.cols})
               : detail::make_tensor("weight_zero_point", dtype::i32, {detail::ct_dense_words(ps.rows, bits), ps.cols});
    auto all = buffer<std::uint32_t>::zeros(zero ? zero->bytes.size() / 4 : 0);
    if (!zero) return zero.error();
    if (!all) return all.error();
    for (std::size_t i = 0; i < from.params.size(); ++i) {
      const std::uint32_t z = from.params[i].zero;
      const std::size_t row = i / ps.cols, col = i % ps.cols;
      if (z >> bits != 0)
        return make_error(errc::malformed, "a zero point does not fit its width", "0 to 2^bits - 1")
            .at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(col))
            .with(z);
      if (words)
        pack_row<dense_columns, bits>(&z, all->data(), ps, row, col, 1);
      else
        zero->bytes[i] = static_cast<std::byte>(static_cast<int>(z) - F::half);
    }
    if (words) detail::store_words(*zero, all->span());
    to.weight_zero_point = *std::move(zero);
  }
  if (!from.group_index.empty()) {
    auto index = detail::make_tensor("weight_g_idx", dtype::i32, {k});
    if (!index) return index.error();
    detail::store_words(*index, from.group_index.span());
    to.weight_g_idx = *std::move(index);
  }
  to.weight = *std::move(weight), to.weight_scale = *std::move(scale);
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
