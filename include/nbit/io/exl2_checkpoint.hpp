// nbit/io/exl2_checkpoint.hpp — a linear as EXL2 stores it: groups of inputs with widths of their own, inputs sorted.
//
//   q_weight     i32 [W, N]     codes of each group as one stream down the rows, low bits first; a group begins on a
//   word q_groups     i16 [2 G]      bits of each group, and the row of words where it begins q_scale      i32 [G, N /
//   8] root of the relative scale less one, four bits each, low bits first q_scale_max  f16 [G] q_invperm    i32 [K]
//   where each input went when they were sorted
// A weight is f16((code - 2^(bits-1)) * s), s = f16((q + 1)^2 * f16(max / 256)): every product is rounded to f16, as
// the peer's kernels do. N is a multiple of 32. Ref: exllamav2 0.3.2 (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_EXL2_CHECKPOINT_HPP
#define NBIT_IO_EXL2_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// The tensors of one linear.
struct exl2_linear {
  stored_tensor q_weight, q_groups, q_scale, q_scale_max, q_invperm;
};

/// Owns the tensors of one linear.
struct exl2_tensors {
  owned_tensor q_weight, q_groups, q_scale, q_scale_max, q_invperm;

  [[nodiscard]] exl2_linear view() const {
    return {q_weight.view(), q_groups.view(), q_scale.view(), q_scale_max.view(), q_invperm.view()};
  }
};

/// Neighbouring sorted inputs that share scales and a width.
struct exl2_group {
  std::uint32_t bits, first, inputs;
  f16 scale_max;
};

/// A linear as read. Widths differ from group to group, so it is no coded_matrix: decode_exl2 gives its weights.
struct exl2_weights {
  std::size_t outputs = 0, inputs = 0;
  buffer<exl2_group> groups;
  buffer<std::uint8_t> codes;       // inputs in sorted order x outputs
  buffer<std::uint8_t> scales;      // groups x outputs, 0 to 15
  buffer<std::uint32_t> sorted_at;  // of each input: its place in sorted order
};

namespace detail {

/// The field of n bits that begins at bit `first` of a column of words.
NBIT_INLINE std::uint32_t exl2_field(const std::uint32_t* column, std::size_t stride, std::size_t first,
                                     std::uint32_t n) {
  const std::size_t word = first / 32, shift = first % 32;
  std::uint64_t v = column[word * stride];
  if (shift + n > 32) v |= std::uint64_t{column[(word + 1) * stride]} << 32;
  return static_cast<std::uint32_t>(v >> shift) & low_mask<std::uint32_t>(static_cast<int>(n));
}
NBIT_INLINE void exl2_put_field(std::uint32_t* column, std::size_t stride, std::size_t first, std::uint32_t n,
                                std::uint32_t v) {
  const std::size_t word = first / 32, shift = first % 32;
  column[word * stride] |= v << shift;
  if (shift + n > 32) column[(word + 1) * stride] |= v >> (32 - shift);
}

/// The scale of a group for an output.
NBIT_INLINE f16 exl2_scale(f16 scale_max, std::uint32_t q) {
  NBIT_EXACT
  const f16 unit = f16::from(float(scale_max) * 0x1p-8f);
  return f16::from(static_cast<float>((q + 1) * (q + 1)) * float(unit));
}

NBIT_INLINE bool exl2_width(std::uint32_t bits) { return bits >= 2 && bits <= 8 && bits != 7; }

/// Widths and extents of the groups out of q_groups.
inline result<void> exl2_read_groups(const exl2_linear& from, std::size_t inputs, buffer<exl2_group>& groups) {
  const auto word_rows = static_cast<std::size_t>(from.q_weight.shape[0]);
  std::size_t first = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto bad = [g](const char* what, const char* allowed, std::int64_t found) {
      return make_error(errc::malformed, what, allowed)
          .about("q_groups")
          .at(0, static_cast<std::int64_t>(g))
          .with(found);
    };
    const std::uint32_t bits = load_u16(from.q_groups.bytes.data() + 4 * g);
    const std::size_t begin = load_u16(from.q_groups.bytes.data() + 4 * g + 2);
    const bool last = g + 1 == groups.size();
    const std::size_t end = last ? word_rows : load_u16(from.q_groups.bytes.data() + 4 * g + 6);
    if (!exl2_width(bits)) return bad("code width of a group", "2, 3, 4, 5, 6 or 8", bits);
    if ((g == 0 && begin != 0) || end <= begin || end > word_rows)
      return bad("a group does not follow the one before it", "rows of q_weight that rise from 0",
                 static_cast<std::int64_t>(begin));
    const std::size_t rows = last ? inputs - first : (end - begin) * 32 / bits;
    if (first + rows > inputs || rows == 0 || ceil_div<std::size_t>(rows * bits, 32) != end - begin ||
        (!last && rows * bits % 32 != 0))
      return bad("a group's words are not those of whole inputs", "inputs times bits, in words",
                 static_cast<std::int64_t>(end - begin));
    groups[g] = {bits, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(rows),
                 load_at<f16>(from.q_scale_max, g)};
    if (auto ok = check_magnitude(float(groups[g].scale_max), "q_scale_max", 0, g); !ok) return ok;
    first += rows;
  }
  return {};
}

}  // namespace detail

/// Codes, scales and the order of inputs of a linear.
/// Errors: missing, malformed (element type; widths and extents of groups; an order that is no permutation), shape,
/// not_finite, overflow, out_of_memory; the tensor is the subject.
inline result<exl2_weights> unpack_exl2(const exl2_linear& from) {
  using safetensors::dtype;
  if (auto ok = detail::check_tensor(from.q_weight, "q_weight", {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.q_groups, "q_groups", {dtype::i16}, "I16", 1); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.q_scale, "q_scale", {dtype::i32}, "I32", 2); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.q_scale_max, "q_scale_max", {dtype::f16}, "F16", 1); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.q_invperm, "q_invperm", {dtype::i32}, "I32", 1); !ok) return ok.error();
  const auto n = static_cast<std::size_t>(from.q_weight.shape[1]),
             k = static_cast<std::size_t>(from.q_invperm.shape[0]);
  const auto g = static_cast<std::size_t>(from.q_scale_max.shape[0]);
  if (n % 32 != 0)
    return detail::tensor_error(errc::shape, "outputs of an EXL2 linear", "a multiple of 32", "q_weight",
                                "last dimension")
        .with(static_cast<std::int64_t>(n));
  if (auto ok = detail::check_dimension(from.q_groups, "q_groups", 0, 2 * g, "two for each group in q_scale_max"); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.q_scale, "q_scale", 0, g, "the groups in q_scale_max"); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.q_scale, "q_scale", 1, n / 8, "the outputs by 8"); !ok) return ok.error();
  exl2_weights to;
  to.outputs = n, to.inputs = k;
  auto groups = buffer<exl2_group>::make(g);
  if (!groups) return groups.error();
  if (auto ok = detail::exl2_read_groups(from, k, *groups); !ok) return ok.error();
  auto codes = buffer<std::uint8_t>::make(k * n), scales = buffer<std::uint8_t>::make(g * n),
       seen = buffer<std::uint8_t>::zeros(k);
  auto words = detail::load_words(from.q_weight), scale_words = detail::load_words(from.q_scale),
       order = detail::load_words(from.q_invperm);
  if (!codes) return codes.error();
  if (!scales) return scales.error();
  if (!seen) return seen.error();
  if (!words) return words.error();
  if (!scale_words) return scale_words.error();
  if (!order) return order.error();
  for (std::size_t i = 0; i < k; ++i) {
    const std::uint32_t at = (*order)[i];
    if (at >= k || (*seen)[at] != 0)
      return make_error(errc::malformed, "the order of inputs is no permutation", "each of 0 to inputs - 1 once")
          .about("q_invperm")
          .at(0, static_cast<std::int64_t>(i))
          .with(static_cast<std::int32_t>(at));
    (*seen)[at] = 1;
  }
  const std::uint32_t* column = words->data();
  for (std::size_t i = 0; i < g; ++i) {
    const exl2_group& group = (*groups)[i];
    for (std::size_t r = 0; r < group.inputs; ++r)
      for (std::size_t c = 0; c < n; ++c)
        (*codes)[(group.first + r) * n + c] =
            static_cast<std::uint8_t>(detail::exl2_field(column + c, n, r * group.bits, group.bits));
    column += ceil_div<std::size_t>(std::size_t{group.inputs} * group.bits, 32) * n;
    for (std::size_t c = 0; c < n; ++c)
      (*scales)[i * n + c] = static_cast<std::uint8_t>((*scale_words)[i * (n / 8) + c / 8] >> (c % 8 * 4) & 15u);
  }
  to.groups = *std::move(groups), to.codes = *std::move(codes);
  to.scales = *std::move(scales), to.sorted_at = *std::move(order);
  return to;
}

/// Writes the weights of a linear, inputs in their own order.  Needs: out is outputs x inputs.
inline void decode_exl2(const exl2_weights& from, matrix_view<float> out) {
  for (std::size_t i = 0; i < from.inputs; ++i) {
    const std::size_t row = from.sorted_at[i];
    std::size_t g = 0;
    while (row >= std::size_t{from.groups[g].first} + from.groups[g].inputs) ++g;
    const exl2_group& group = from.groups[g];
    for (std::size_t c = 0; c < from.outputs; ++c) {
      const int level = static_cast<int>(from.codes[row * from.outputs + c]) - (1 << (group.bits - 1));
      const f16 scale = detail::exl2_scale(group.scale_max, from.scales[g * from.outputs + c]);
      out(c, i) = float(f16::from(static_cast<float>(level) * float(scale)));
    }
  }
}

/// The tensors of a checkpoint.
/// Errors: shape when groups do not follow one another through all inputs, fill words or fit 16 bits; malformed for
/// codes and scales that do not fit; out_of_memory.
inline result<exl2_tensors> pack_exl2(const exl2_weights& from) {
  using safetensors::dtype;
  const std::size_t n = from.outputs, k = from.inputs, g = from.groups.size();
  std::size_t word_rows = 0, first = 0;
  for (std::size_t i = 0; i < g; ++i) {
    const exl2_group& group = from.groups[i];
    const bool whole = group.inputs != 0 && (i + 1 == g || std::size_t{group.inputs} * group.bits % 32 == 0);
    if (!detail::exl2_width(group.bits) || group.first != first || !whole || word_rows > 0xffff)
      return make_error(errc::shape, "groups of an EXL2 linear",
                        "2, 3, 4, 5, 6 or 8 bits, one after another, of whole words")
          .at(0, static_cast<std::int64_t>(i))
          .with(group.bits);
    word_rows += ceil_div<std::size_t>(std::size_t{group.inputs} * group.bits, 32);
    first += group.inputs;
  }
  if (first != k || n % 32 != 0 || from.codes.size() != k * n || from.scales.size() != g * n ||
      from.sorted_at.size() != k)
    return make_error(errc::shape, "parts of an EXL2 linear do not fit one another",
                      "inputs, outputs (a multiple of 32), groups")
        .with(static_cast<std::int64_t>(first));
  if (auto ok = detail::check_codes(from.scales.span(), 4, n); !ok) return ok.error();
  auto q_weight = detail::make_tensor("q_weight", dtype::i32, {word_rows, n});
  auto q_groups = detail::make_tensor("q_groups", dtype::i16, {2 * g});
  auto q_scale = detail::make_tensor("q_scale", dtype::i32, {g, n / 8});
  auto q_scale_max = detail::make_tensor("q_scale_max", dtype::f16, {g});
  auto q_invperm = detail::make_tensor("q_invperm", dtype::i32, {k});
  auto words = buffer<std::uint32_t>::zeros(word_rows * n), scale_words = buffer<std::uint32_t>::zeros(g * (n / 8));
  if (!q_weight) return q_weight.error();
  if (!q_groups) return q_groups.error();
  if (!q_scale) return q_scale.error();
  if (!q_scale_max) return q_scale_max.error();
  if (!q_invperm) return q_invperm.error();
  if (!words) return words.error();
  if (!scale_words) return scale_words.error();
  std::size_t row = 0;
  for (std::size_t i = 0; i < g; ++i) {
    const exl2_group& group = from.groups[i];
    const std::size_t codes = std::size_t{group.inputs} * n;
    if (auto ok =
            detail::check_codes(from.codes.span().subspan(group.first * n, codes), static_cast<int>(group.bits), n);
        !ok)
      return ok.error();
    for (std::size_t r = 0; r < group.inputs; ++r)
      for (std::size_t c = 0; c < n; ++c)
        detail::exl2_put_field(words->data() + row * n + c, n, r * group.bits, group.bits,
                               from.codes[(group.first + r) * n + c]);
    for (std::size_t c = 0; c < n; ++c)
      (*scale_words)[i * (n / 8) + c / 8] |= std::uint32_t{from.scales[i * n + c]} << (c % 8 * 4);
    store_u16(q_groups->bytes.data() + 4 * i, static_cast<std::uint16_t>(group.bits));
    store_u16(q_groups->bytes.data() + 4 * i + 2, static_cast<std::uint16_t>(row));
    detail::store_at(*q_scale_max, i, group.scale_max);
    row += ceil_div<std::size_t>(std::size_t{group.inputs} * group.bits, 32);
  }
  detail::store_words(*q_weight, words->span());
  detail::store_words(*q_scale, scale_words->span());
  detail::store_words(*q_invperm, from.sorted_at.span());
  return exl2_tensors{*std::move(q_weight), *std::move(q_groups), *std::move(q_scale), *std::move(q_scale_max),
                      *std::move(q_invperm)};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
