// nbit/io/compressed_tensors.hpp — a linear of integers as compressed-tensors stores it: pack-quantized, int-quantized.
//
//   weight_packed      i32 [N, ceil(K b / 32)]   pack-quantized: value + 2^(b-1), layout/dense_words.hpp
//   weight             i8  [N, K]                int-quantized: the value
//   weight_scale       f32, f16 or bf16 [N, G]; [N, 1] one for each output; [1] one for the tensor
//   weight_zero_point  i32 [ceil(N b / 32), G]   asymmetric only, packed along the outputs; int-quantized: i8 [N, G]
//   weight_shape       i64 [2]                   N and K; pack-quantized only
//   weight_g_idx       i32 [K]                   group of each input, if they are not in order
// Releases before dense packing (0.10.2 is one) put 32 / b whole codes into a word, which differs where b does not
// divide 32; such files are read, and told by their shape. Ref: compressed-tensors 0.20.0 (Apache-2.0).
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_COMPRESSED_TENSORS_HPP
#define NBIT_IO_COMPRESSED_TENSORS_HPP

#include <cstddef>
#include <cstdint>
#include <span>
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
#include <nbit/layout/whole_codes.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_check.hpp>
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

NBIT_INLINE constexpr std::size_t ct_dense_words(std::size_t n, int bits) {
  return ceil_div(n * std::size_t(bits), std::size_t{32});
}

/// Whether a dimension has the words that n codes take densely; if not, it must have those of whole codes.
inline result<bool> ct_dense(const stored_tensor& t, const char* name, std::size_t axis, std::size_t n, int bits,
                             const char* allowed) {
  if (t.shape[axis] == ct_dense_words(n, bits)) return true;
  if (t.shape[axis] == ceil_div(n, std::size_t{32} / std::size_t(bits))) return false;
  return check_dimension(t, name, axis, ct_dense_words(n, bits), allowed).error();
}

/// The shape of a linear, from weight_shape or from the bytes of an int-quantized weight.
inline result<shape> ct_shape(const ct_linear& from, ct_packing packing) {
  using safetensors::dtype;
  if (packing == ct_packing::int_quantized) {
    if (auto ok = check_tensor(from.weight, "weight", dtype::i8, {{}, {}}); !ok) return ok.error();
    return shape{static_cast<std::size_t>(from.weight.shape[0]), static_cast<std::size_t>(from.weight.shape[1])};
  }
  attempts all;
  all(check_tensor(from.weight, "weight_packed", dtype::i32, {{}, {}}));
  all(check_tensor(from.weight_shape, "weight_shape", dtype::i64, {{2, "2"}}));
  if (all.failed()) return all.first();
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

/// Codes of all rows out of words that are packed densely or, older, in whole codes.
template <class Dense, class Old, int Bits>
inline result<void> ct_unpack_words(const stored_tensor& t, shape s, bool dense, std::uint8_t* codes) {
  const auto words = load_words(t);
  if (!words) return words.error();
  for (std::size_t r = 0; r < s.rows; ++r, codes += s.cols) {
    if (dense)
      unpack_row<Dense, Bits>(words->data(), s, r, 0, s.cols, codes);
    else
      unpack_row<Old, Bits>(words->data(), s, r, 0, s.cols, codes);
  }
  return {};
}

/// Numbers with their sign as codes, which count from -2^(bits - 1).
template <int Bits>
inline result<void> ct_unpack_signed(const stored_tensor& t, const char* name, std::size_t cols,
                                     std::span<std::uint8_t> codes) {
  constexpr int half = 1 << (Bits - 1);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const int value = static_cast<std::int8_t>(std::to_integer<std::uint8_t>(t.bytes[i]));
    if (value < -half || value >= half)
      return make_error(errc::malformed, "a number does not fit its width", "-2^(bits - 1) to 2^(bits - 1) - 1")
          .about(name)
          .at(static_cast<std::int64_t>(i / cols), static_cast<std::int64_t>(i % cols))
          .with(value);
    codes[i] = static_cast<std::uint8_t>(value + half);
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
  const char *const name = "weight_zero_point", *const allowed = "as weight_scale";
  if (packing == ct_packing::int_quantized) {
    const auto ok = t.rank == 1 && s.cols == 1
                        ? check_tensor(t, name, dtype::i8, {{s.rows, allowed}})
                        : check_tensor(t, name, dtype::i8, {{s.rows, allowed}, {s.cols, allowed}});
    if (!ok) return ok;
    return ct_unpack_signed<Bits>(t, name, s.cols, zeros);
  }
  if (auto ok = check_tensor(t, name, dtype::i32, {{}, {s.cols, allowed}}); !ok) return ok;
  const auto dense = ct_dense(t, name, 0, s.rows, Bits, "the outputs times bits, in words");
  return dense ? ct_unpack_words<dense_columns, whole_rows, Bits>(t, s, *dense, zeros.data())
               : result<void>(dense.error());
}

/// The groups of the inputs, or nothing when they are in order (or all -1, which stands for that).
template <class F>
inline result<buffer<std::uint32_t>> ct_group_index(const stored_tensor& t, std::size_t cols) {
  buffer<std::uint32_t> none;
  if (!t.present) return none;
  if (auto ok = check_tensor(t, "weight_g_idx", safetensors::dtype::i32, {{cols, "the inputs"}}); !ok)
    return ok.error();
  auto index = load_words(t);
  if (!index) return index.error();
  bool in_order = true, unset = true;
  const std::size_t length = group_length<F>(cols);
  for (std::size_t c = 0; c < cols; ++c) {
    in_order = in_order && (*index)[c] == c / length;
    unset = unset && (*index)[c] == 0xffffffffu;
  }
  for (std::size_t c = 0; c < cols && !in_order && !unset; ++c)
    if ((*index)[c] >= groups_per_row<F>(cols))
      return make_error(errc::malformed, "weight_g_idx names a group that does not exist", "0 to groups - 1")
          .about("weight_g_idx")
          .at(0, static_cast<std::int64_t>(c))
          .with(static_cast<std::int32_t>((*index)[c]));
  return in_order || unset ? std::move(none) : *std::move(index);
}

/// Rows and columns of the parameters: [N, G], or [1, 1] for one for the tensor.
template <class F>
NBIT_INLINE constexpr shape ct_params_shape(shape s) {
  return F::group == per_tensor ? shape{params_count<F>(s.rows, s.cols), 1} : shape{s.rows, groups_per_row<F>(s.cols)};
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
  const char* const name = "weight_scale";
  const detail::wanted_dimension outputs{ps.rows, "the outputs; 1 for one scale"};
  const auto fits = F::group == per_tensor
                        ? detail::check_tensor(from.weight_scale, name, number::type, {outputs})
                        : detail::check_tensor(from.weight_scale, name, number::type,
                                               {outputs, {ps.cols, "the groups that the inputs make"}});
  if (!fits) return fits.error();
  auto zeros = buffer<std::uint8_t>::make(ps.rows * ps.cols);
  if (!zeros) return zeros.error();
  if (auto ok = detail::ct_unpack_zeros<F::bits>(from.weight_zero_point, packing, ps, zeros->span()); !ok)
    return ok.error();
  // Checked before the codes get memory: a tensor of few bytes must not claim many.
  const bool words = packing == ct_packing::pack_quantized;
  const auto dense = words ? detail::ct_dense(from.weight, "weight_packed", 1, s->cols, F::bits,
                                              "the inputs in weight_shape times bits, in words")
                           : result<bool>(true);
  if (!dense) return dense.error();
  auto to = coded_matrix<F>::make(*s);
  if (!to) return to.error();
  const auto read =
      words ? detail::ct_unpack_words<dense_words, whole_columns, F::bits>(from.weight, *s, *dense, to->codes.data())
            : detail::ct_unpack_signed<F::bits>(from.weight, "weight", s->cols, to->codes.span());
  if (!read) return read.error();
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
  detail::attempts all;
  ct_tensors to;
  to.weight = all(words ? detail::make_tensor("weight_packed", dtype::i32, {n, detail::ct_dense_words(k, bits)})
                        : detail::make_tensor("weight", dtype::i8, {n, k}));
  to.weight_scale = all(F::group == per_tensor ? detail::make_tensor("weight_scale", number::type, {ps.rows})
                                               : detail::make_tensor("weight_scale", number::type, {ps.rows, ps.cols}));
  if (words) to.weight_shape = all(detail::make_tensor("weight_shape", dtype::i64, {2}));
  if (!F::symmetric)
    to.weight_zero_point = all(!words ? detail::make_tensor("weight_zero_point", dtype::i8, {ps.rows, ps.cols})
                                      : detail::make_tensor("weight_zero_point", dtype::i32,
                                                            {detail::ct_dense_words(ps.rows, bits), ps.cols}));
  if (!from.group_index.empty()) to.weight_g_idx = all(detail::make_tensor("weight_g_idx", dtype::i32, {k}));
  auto codes = all(buffer<std::uint32_t>::zeros(words ? to.weight.bytes.size() / 4 : 0)),
       zeros = all(buffer<std::uint32_t>::zeros(words ? to.weight_zero_point.bytes.size() / 4 : 0));
  if (all.failed()) return all.first();
  for (std::size_t i = 0; i < from.params.size(); ++i) detail::store_at(to.weight_scale, i, from.params[i].scale);
  if (words) {
    for (std::size_t r = 0; r < n; ++r)
      pack_row<dense_words, bits>(from.row_codes(r), codes.data(), from.shape(), r, 0, k);
    detail::store_words(to.weight, codes.span());
    store_u64(to.weight_shape.bytes.data(), n), store_u64(to.weight_shape.bytes.data() + 8, k);
  } else {
    for (std::size_t i = 0; i < from.codes.size(); ++i)
      to.weight.bytes[i] = static_cast<std::byte>(from.codes[i] - F::half);
  }
  if constexpr (!F::symmetric) {
    for (std::size_t i = 0; i < from.params.size(); ++i) {
      const std::uint32_t z = from.params[i].zero;
      const std::size_t row = i / ps.cols, col = i % ps.cols;
      if (z >> bits != 0)
        return make_error(errc::malformed, "a zero point does not fit its width", "0 to 2^bits - 1")
            .at(static_cast<std::int64_t>(row), static_cast<std::int64_t>(col))
            .with(z);
      if (words)
        pack_row<dense_columns, bits>(&z, zeros.data(), ps, row, col, 1);
      else
        to.weight_zero_point.bytes[i] = static_cast<std::byte>(static_cast<int>(z) - F::half);
    }
    if (words) detail::store_words(to.weight_zero_point, zeros.span());
  }
  if (!from.group_index.empty()) detail::store_words(to.weight_g_idx, from.group_index.span());
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
