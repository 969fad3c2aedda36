// nbit/io/awq_checkpoint.hpp — a linear as AutoAWQ stores it, in its three packings: gemm, gemv and gemv_fast.
//
//              gemm                  gemv               gemv_fast
//   qweight    i32 [K, N / 8]        i32 [N, K / 8]     i16 [N / 4, K]
//   qzeros     i32 [G, N / 8]        i32 [N, Z]         f16 [8 Z, N], -(scale zero)
//   scales     f16 [G, N]            f16 [N, 8 Z]       f16 [8 Z, N]
//   layout     awq_interleave        linear             awq_gemv_rows
// N outputs, K inputs, G groups.
// Z words hold the zeros of G groups: G / 8 rounded up, to a multiple of 2 for groups under 128 and of 4 under 64; what
// is past the last group is 0. Codes have 4 bits, zeros are plain. Ref: AutoAWQ 0.2.9 (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_AWQ_CHECKPOINT_HPP
#define NBIT_IO_AWQ_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/layout/awq_gemv_rows.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// The packings of AWQ checkpoints.
enum class awq_packing : std::uint8_t { gemm, gemv, gemv_fast };

/// Formats that an AWQ checkpoint can hold: uniform, 4 bits, f16 scales, the zero an integer.
template <class F>
concept awq_storable = grid_format<F> &&
                       requires {
                         { F::scheme } -> std::convertible_to<scheme>;
                       } && F::bits == 4 && F::group >= per_row && std::is_same_v<decltype(F::params::scale), f16> &&
                       F::scheme.symmetry != symmetry::asymmetric_float;

inline namespace NBIT_TAG {

/// The three tensors of one linear.
struct awq_linear {
  stored_tensor qweight, qzeros, scales;
};

/// Owns the three tensors of one linear.
struct awq_tensors {
  owned_tensor qweight, qzeros, scales;

  [[nodiscard]] awq_linear view() const { return {qweight.view(), qzeros.view(), scales.view()}; }
};

namespace detail {

/// Words of zeros in a row of the gemv packings.
inline std::size_t awq_zero_words(std::size_t groups, std::size_t group) {
  const std::size_t multiple = group >= 128 ? 1 : group >= 64 ? 2 : 4;
  return round_up(ceil_div<std::size_t>(groups, 8), multiple);
}

/// Whether the packing can hold a linear of this shape and group.
inline result<void> awq_shape(awq_packing packing, std::size_t inputs, std::size_t outputs, std::size_t group) {
  const auto bad = [](const char* what, const char* allowed, std::size_t found) {
    return make_error(errc::shape, what, allowed).with(static_cast<std::int64_t>(found));
  };
  if (outputs % 8 != 0)
    return bad("outputs of a linear do not fill the words of an AWQ checkpoint", "a multiple of 8", outputs);
  if (packing == awq_packing::gemv && inputs % 8 != 0)
    return bad("inputs of a linear do not fill the words of an AWQ gemv checkpoint", "a multiple of 8", inputs);
  if (packing == awq_packing::gemv_fast && inputs % 64 != 0)
    return bad("inputs of a linear do not fill the words of an AWQ gemv_fast checkpoint", "a multiple of 64", inputs);
  if (group != 0 && inputs % group != 0)
    return bad("inputs of a linear do not fill the groups of an AWQ checkpoint", "a multiple of the group", inputs);
  if (packing != awq_packing::gemm && group != 0 && group < 32)
    return bad("groups of an AWQ gemv checkpoint are too small", "32 or more", group);
  return {};
}

/// A zero as gemv_fast stores it.
NBIT_INLINE f16 awq_scaled_zero(f16 scale, unsigned zero) {
  NBIT_EXACT
  return f16::from_bits(static_cast<std::uint16_t>(f16::from(float(scale) * static_cast<float>(zero)).bits ^ 0x8000u));
}

/// The zero that awq_scaled_zero turned into this one, or 16 when there is none.
inline unsigned awq_plain_zero(f16 scale, f16 stored) {
  unsigned zero = 0;
  while (zero < 16 && !(awq_scaled_zero(scale, zero) == stored)) ++zero;
  return zero;
}

/// Where the scale of a group of an output lies among its tensor's elements.
NBIT_INLINE std::size_t awq_scale_index(awq_packing packing, std::size_t r, std::size_t g,
                                        const stored_tensor& scales) {
  return packing == awq_packing::gemv ? r * static_cast<std::size_t>(scales.shape[1]) + g
                                      : g * static_cast<std::size_t>(scales.shape[1]) + r;
}

/// Past the last group, scales and zeros are 0.
inline result<void> awq_padding(const stored_tensor& t, const char* name, std::size_t groups, bool along_columns) {
  const std::size_t cols = static_cast<std::size_t>(t.shape[1]), n = static_cast<std::size_t>(t.shape[0]) * cols;
  for (std::size_t i = 0; i < n; ++i)
    if ((along_columns ? i % cols : i / cols) >= groups && load_u16(t.bytes.data() + 2 * i) != 0)
      return make_error(errc::malformed, "padding of an AWQ tensor is not 0", "0 past the last group")
          .about(name)
          .at(static_cast<std::int64_t>(i / cols), static_cast<std::int64_t>(i % cols))
          .with(load_u16(t.bytes.data() + 2 * i));
  return {};
}

/// Checks the types and shapes of the three tensors and gives the linear's shape.
template <class F>
inline result<shape> awq_check(const awq_linear& from, awq_packing packing) {
  using safetensors::dtype;
  const bool fast = packing == awq_packing::gemv_fast, gemv = packing == awq_packing::gemv;
  if (auto ok = check_tensor(from.qweight, "qweight", fast ? dtype::i16 : dtype::i32, {{}, {}}); !ok) return ok.error();
  const auto rows = static_cast<std::size_t>(from.qweight.shape[0]),
             cols = static_cast<std::size_t>(from.qweight.shape[1]);
  const shape s = gemv ? shape{rows, cols * 8} : fast ? shape{rows * 4, cols} : shape{cols * 8, rows};
  if (auto ok = awq_shape(packing, s.cols, s.rows, F::group > 0 ? std::size_t(F::group) : 0); !ok)
    return ok.error().about("qweight");
  const std::size_t groups = groups_per_row<F>(s.cols), z = awq_zero_words(groups, group_length<F>(s.cols));
  const std::size_t first = gemv ? s.rows : fast ? 8 * z : groups;
  const char* const allowed = "as many as the outputs of qweight, or the groups that its inputs make";
  attempts all;
  all(check_tensor(from.scales, "scales", dtype::f16, {{first, allowed}, {gemv ? 8 * z : s.rows, allowed}}));
  all(check_tensor(from.qzeros, "qzeros", fast ? dtype::f16 : dtype::i32,
                   {{first, allowed},
                    {gemv   ? z
                     : fast ? s.rows
                            : s.rows / 8,
                     allowed}}));
  if (all.failed()) return all.first();
  return s;
}

}  // namespace detail

/// Codes and parameters of a linear. F's group must be the file's; an asymmetric F reads symmetric files too.
/// Errors: missing, malformed (element type; padding; a zero that F or the packing cannot mean), shape, not_finite,
/// overflow, out_of_memory; the tensor is the subject, row and column are its own.
template <awq_storable F>
inline result<coded_matrix<F>> unpack_awq(const awq_linear& from, awq_packing packing = awq_packing::gemm) {
  const result<shape> checked = detail::awq_check<F>(from, packing);
  if (!checked) return checked.error();
  const std::size_t n = checked->rows, groups = groups_per_row<F>(checked->cols);
  const bool fast = packing == awq_packing::gemv_fast, gemv = packing == awq_packing::gemv;
  detail::attempts all;
  if (fast || gemv) all(detail::awq_padding(from.scales, "scales", groups, gemv));
  if (fast) all(detail::awq_padding(from.qzeros, "qzeros", groups, false));
  const std::size_t zero_cols = gemv ? static_cast<std::size_t>(from.scales.shape[1]) : groups;
  auto to = all(coded_matrix<F>::make(*checked));
  auto zeros = all(buffer<std::uint8_t>::zeros(n * zero_cols));
  if (all.failed()) return all.first();
  if (gemv) {
    const auto* const w = reinterpret_cast<const std::uint8_t*>(from.qweight.bytes.data());
    const auto* const z = reinterpret_cast<const std::uint8_t*>(from.qzeros.bytes.data());
    for (std::size_t r = 0; r < n; ++r) {
      unpack_row<linear, 4>(w, *checked, r, 0, to.cols, to.row_codes(r));
      unpack_row<linear, 4>(z, shape{n, zero_cols}, r, 0, zero_cols, zeros.data() + r * zero_cols);
      for (std::size_t g = groups; g < zero_cols; ++g)
        if (zeros[r * zero_cols + g] != 0)
          return make_error(errc::malformed, "padding of an AWQ tensor is not 0", "0 past the last group")
              .about("qzeros")
              .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(g))
              .with(zeros[r * zero_cols + g]);
    }
  } else if (fast) {
    auto words = buffer<std::uint16_t>::make(from.qweight.bytes.size() / 2);
    if (!words) return words.error();
    for (std::size_t i = 0; i < words->size(); ++i) (*words)[i] = load_u16(from.qweight.bytes.data() + 2 * i);
    for (std::size_t r = 0; r < n; ++r)
      unpack_row<awq_gemv_rows, 4>(words->data(), *checked, r, 0, to.cols, to.row_codes(r));
  } else {
    const auto words = all(detail::load_words(from.qweight)), zero_words = all(detail::load_words(from.qzeros));
    if (all.failed()) return all.first();
    for (std::size_t r = 0; r < n; ++r) {
      unpack_row<awq_interleave, 4>(words.data(), *checked, r, 0, to.cols, to.row_codes(r));
      unpack_row<awq_interleave, 4>(zero_words.data(), shape{n, groups}, r, 0, groups, zeros.data() + r * groups);
    }
  }
  for (std::size_t r = 0; r < n; ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      typename F::params& p = to.params[to.params_index(r, g)];
      const std::size_t i = detail::awq_scale_index(packing, r, g, from.scales);
      const std::size_t at_row = gemv ? r : g, at_col = gemv ? g : r;
      p.scale = detail::load_at<f16>(from.scales, i);
      if (auto ok = detail::check_scale(float(p.scale), "scales", at_row, at_col); !ok) return ok.error();
      const auto row = static_cast<std::int64_t>(at_row), col = static_cast<std::int64_t>(at_col);
      unsigned zero = zeros[r * zero_cols + g];
      if (fast) {
        const f16 scaled = detail::load_at<f16>(from.qzeros, i);
        zero = detail::awq_plain_zero(p.scale, scaled);
        if (F::symmetric && detail::awq_scaled_zero(p.scale, 8) == scaled) zero = 8;  // a scale of 0 hides its zero
        if (zero > 15)
          return make_error(errc::malformed, "a zero of an AWQ gemv_fast checkpoint is no multiple of its scale",
                            "-(scale * zero), zero 0 to 15")
              .about("qzeros")
              .at(row, col)
              .with(scaled.bits);
      }
      if constexpr (!F::symmetric)
        p.zero = static_cast<decltype(p.zero)>(zero);
      else if (zero != F::half)
        return make_error(errc::malformed, "a zero point of a symmetric AWQ linear is not in the middle", "8")
            .about("qzeros")
            .at(row, col)
            .with(static_cast<std::int64_t>(zero));
    }
  return to;
}

/// The tensors of a checkpoint from codes and parameters.
/// Errors: shape when the matrix does not fill words or groups, unsupported for reordered groups, malformed for codes
/// and zeros over 15, out_of_memory.
template <awq_storable F>
inline result<awq_tensors> pack_awq(const coded_matrix<F>& from, awq_packing packing = awq_packing::gemm) {
  using safetensors::dtype;
  const std::size_t n = from.rows, k = from.cols, groups = groups_per_row<F>(k);
  const bool fast = packing == awq_packing::gemv_fast, gemv = packing == awq_packing::gemv;
  if (auto fits = detail::awq_shape(packing, k, n, F::group > 0 ? std::size_t(F::group) : 0); !fits)
    return fits.error();
  if (!from.group_index.empty())
    return make_error(errc::unsupported,
                      "an AWQ checkpoint holds neighbouring inputs; this linear has reordered groups",
                      "groups in order");
  if (auto ok = detail::check_codes(from.codes.span(), 4, k); !ok) return ok.error();
  const std::size_t z = detail::awq_zero_words(groups, group_length<F>(k)), zero_cols = gemv ? 8 * z : groups;
  const auto tensor = [](const char* name, dtype type, shape s) {
    return detail::make_tensor(name, type, {s.rows, s.cols});
  };
  const shape codes = gemv ? shape{n, k / 8} : fast ? shape{n / 4, k} : shape{k, n / 8};
  const shape stored_zeros = gemv ? shape{n, z} : fast ? shape{8 * z, n} : shape{groups, n / 8};
  const shape stored_scales = gemv ? shape{n, 8 * z} : shape{fast ? 8 * z : groups, n};
  detail::attempts all;
  auto qweight = all(tensor("qweight", fast ? dtype::i16 : dtype::i32, codes));
  auto qzeros = all(tensor("qzeros", fast ? dtype::f16 : dtype::i32, stored_zeros));
  auto scales = all(tensor("scales", dtype::f16, stored_scales));
  auto zeros = all(buffer<std::uint8_t>::zeros(n * zero_cols));
  if (all.failed()) return all.first();
  for (std::size_t r = 0; r < n; ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      const typename F::params& p = from.params[from.params_index(r, g)];
      unsigned zero = 8;
      if constexpr (!F::symmetric) zero = static_cast<unsigned>(p.zero);
      if (zero > 15)
        return make_error(errc::malformed, "a zero point does not fit its width", "0 to 15")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(g))
            .with(static_cast<std::int64_t>(zero));
      zeros[r * zero_cols + g] = static_cast<std::uint8_t>(zero);
      const std::size_t i = detail::awq_scale_index(packing, r, g, scales.view());
      detail::store_at(scales, i, p.scale);
      if (fast) detail::store_at(qzeros, i, detail::awq_scaled_zero(p.scale, zero));
    }
  if (gemv) {
    auto* const w = reinterpret_cast<std::uint8_t*>(qweight.bytes.data());
    auto* const to = reinterpret_cast<std::uint8_t*>(qzeros.bytes.data());
    for (std::size_t r = 0; r < n; ++r) {
      pack_row<linear, 4>(from.row_codes(r), w, from.shape(), r, 0, k);
      pack_row<linear, 4>(zeros.data() + r * zero_cols, to, shape{n, zero_cols}, r, 0, zero_cols);
    }
  } else if (fast) {
    auto words = buffer<std::uint16_t>::zeros(n / 4 * k);
    if (!words) return words.error();
    for (std::size_t r = 0; r < n; ++r)
      pack_row<awq_gemv_rows, 4>(from.row_codes(r), words->data(), from.shape(), r, 0, k);
    for (std::size_t i = 0; i < words->size(); ++i) store_u16(qweight.bytes.data() + 2 * i, (*words)[i]);
  } else {
    auto words = all(buffer<std::uint32_t>::zeros(k * (n / 8))),
         zero_words = all(buffer<std::uint32_t>::zeros(groups * (n / 8)));
    if (all.failed()) return all.first();
    for (std::size_t r = 0; r < n; ++r) {
      pack_row<awq_interleave, 4>(from.row_codes(r), words.data(), from.shape(), r, 0, k);
      pack_row<awq_interleave, 4>(zeros.data() + r * groups, zero_words.data(), shape{n, groups}, r, 0, groups);
    }
    detail::store_words(qweight, words.span());
    detail::store_words(qzeros, zero_words.span());
  }
  return awq_tensors{std::move(qweight), std::move(qzeros), std::move(scales)};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
