// nbit/io/torchao_checkpoint.hpp — a linear as torchao stores it, int4 "tile packed to 4d".
//
//   <module>._weight_qdata           i32  [N / 8, K / 128, 32, 4]   layout tinygemm<8>; N up to 8, K up to 1024
//   <module>._weight_scale_and_zero  bf16 [K / group, N, 2]         scale, and the value of code 8
// The metadata of the file has a member <module>.weight with the original shape and block_size [1, group]; what pads it
// are groups of zeros (scale 2^-126, middle 2^-123, code 0). Inner tiles of 2 and 4 are read, too. Files of AMD devices
// hold another order under the same names, which nothing in the file tells. Ref: torchao 0.18 (BSD-3-Clause).
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_TORCHAO_CHECKPOINT_HPP
#define NBIT_IO_TORCHAO_CHECKPOINT_HPP

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
#include <nbit/format/tinygemm.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/layout/tinygemm.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

namespace nbit {

/// Formats that torchao stores: tinygemm_int4 with groups that divide 1024.
template <class F>
concept torchao_storable = grid_format<F> && std::is_same_v<F, tinygemm_int4<F::group>> && 1024 % F::group == 0;

inline namespace NBIT_TAG {

/// The tensors of one linear.
struct torchao_linear {
  stored_tensor qdata, scale_and_zero;
};

/// Owns the tensors of one linear.
struct torchao_tensors {
  owned_tensor qdata, scale_and_zero;

  [[nodiscard]] torchao_linear view() const { return {qdata.view(), scale_and_zero.view()}; }
};

namespace detail {

template <class F, class Layout>
inline void torchao_codes(const buffer<std::uint32_t>& words, shape stored, coded_matrix<F>& to) {
  for (std::size_t r = 0; r < to.rows; ++r) unpack_row<Layout, 4>(words.data(), stored, r, 0, to.cols, to.row_codes(r));
}

}  // namespace detail

/// Codes and parameters of a linear of shape `s`, the one in the file's metadata; what pads it is dropped. F's group
/// must be the file's. Errors: missing, malformed (element type), shape, not_finite, overflow, out_of_memory; the
/// tensor is the subject, row and column are its first two indices.
template <torchao_storable F>
inline result<coded_matrix<F>> unpack_torchao(const torchao_linear& from, shape s) {
  using safetensors::dtype;
  const char* const names[] = {"qdata", "scale_and_zero"};
  if (auto ok = detail::check_tensor(from.qdata, names[0], {dtype::i32}, "I32", 4); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.scale_and_zero, names[1], {dtype::bf16}, "BF16", 3); !ok) return ok.error();
  const auto dim = [&from](std::size_t i) { return static_cast<std::size_t>(from.qdata.shape[i]); };
  const std::size_t inner = 2 * dim(3);
  if (dim(2) != 32 || (inner != 2 && inner != 4 && inner != 8))
    return detail::tensor_error(errc::shape, "a dimension of a tensor does not fit the format",
                                "[.., .., 32, 1, 2 or 4]", names[0], "lanes or words")
        .with(static_cast<std::int64_t>(dim(2) != 32 ? dim(2) : dim(3)));
  const shape stored{dim(0) * 8, dim(1) * 16 * inner};
  if (s.rows == 0 || s.cols == 0 || s.rows > stored.rows || s.rows + 8 <= stored.rows || s.cols > stored.cols)
    return make_error(errc::shape, "a linear's shape is not the one that its tiles hold", "outputs up to 8, inputs")
        .about(names[0])
        .with(static_cast<std::int64_t>(s.cols > stored.cols ? s.cols : s.rows));
  const std::size_t groups = stored.cols / std::size_t(F::group);
  if (stored.cols % std::size_t(F::group) != 0)
    return make_error(errc::shape, "inputs of a linear do not fill its groups", "a multiple of the group")
        .about(names[0])
        .with(static_cast<std::int64_t>(stored.cols));
  const std::size_t wanted[3] = {groups, stored.rows, 2};
  for (std::size_t i = 0; i < 3; ++i)
    if (auto ok = detail::check_dimension(from.scale_and_zero, names[1], i, wanted[i], "groups, outputs of qdata, 2");
        !ok)
      return ok.error();
  auto to = coded_matrix<F>::make(s);
  const auto words = detail::load_words(from.qdata);
  if (!to) return to.error();
  if (!words) return words.error();
  if (inner == 8)
    detail::torchao_codes<F, tinygemm<8>>(*words, stored, *to);
  else if (inner == 4)
    detail::torchao_codes<F, tinygemm<4>>(*words, stored, *to);
  else
    detail::torchao_codes<F, tinygemm<2>>(*words, stored, *to);
  for (std::size_t r = 0; r < s.rows; ++r)
    for (std::size_t g = 0; g < groups_per_row<F>(s.cols); ++g) {
      typename F::params& p = to->params[to->params_index(r, g)];
      const std::size_t at = (g * stored.rows + r) * 2;
      p.scale = detail::load_at<bf16>(from.scale_and_zero, at),
      p.middle = detail::load_at<bf16>(from.scale_and_zero, at + 1);
      for (const bf16 v : {p.scale, p.middle})
        if (auto ok = detail::check_scale(float(v), names[1], g, r); !ok) return ok.error();
    }
  return to;
}

/// The tensors of a linear, padded as torchao pads.
/// Errors: unsupported for reordered groups, malformed for codes over 15, out_of_memory, overflow.
template <torchao_storable F>
inline result<torchao_tensors> pack_torchao(const coded_matrix<F>& from) {
  using safetensors::dtype;
  if (!from.group_index.empty())
    return make_error(errc::unsupported, "torchao holds neighbouring inputs; this linear has reordered groups",
                      "groups in order");
  if (auto ok = detail::check_codes(from.codes.span(), 4, from.cols); !ok) return ok.error();
  const shape padded{round_up(from.rows, std::size_t{8}), round_up(from.cols, std::size_t{1024})};
  const std::size_t groups = padded.cols / std::size_t(F::group), own = groups_per_row<F>(from.cols);
  auto qdata = detail::make_tensor("qdata", dtype::i32, {padded.rows / 8, padded.cols / 128, 32, 4});
  auto scales = detail::make_tensor("scale_and_zero", dtype::bf16, {groups, padded.rows, 2});
  auto words = buffer<std::uint32_t>::zeros(words_for<tinygemm<8>, 4>(padded));
  auto codes = buffer<std::uint8_t>::make(padded.cols);
  if (!qdata) return qdata.error();
  if (!scales) return scales.error();
  if (!words) return words.error();
  if (!codes) return codes.error();
  const tinygemm_params empty = F::fit({}, {});
  for (std::size_t r = 0; r < padded.rows; ++r) {
    for (std::size_t c = 0; c < padded.cols; ++c) {
      const std::size_t g = c / std::size_t(F::group);
      if (r < from.rows && c < from.cols)
        (*codes)[c] = from.row_codes(r)[c];
      else  // the code nearest to the zeros that pad a group in part; 0 in a group of nothing but them
        (*codes)[c] = static_cast<std::uint8_t>(
            r < from.rows && g < own ? F::code(0.0f, from.params[from.params_index(r, g)], 0) : 0);
    }
    pack_row<tinygemm<8>, 4>(codes->data(), words->data(), padded, r, 0, padded.cols);
    for (std::size_t g = 0; g < groups; ++g) {
      const tinygemm_params p = r < from.rows && g < own ? from.params[from.params_index(r, g)] : empty;
      detail::store_at(*scales, (g * padded.rows + r) * 2, p.scale);
      detail::store_at(*scales, (g * padded.rows + r) * 2 + 1, p.middle);
    }
  }
  detail::store_words(*qdata, words->span());
  return torchao_tensors{*std::move(qdata), *std::move(scales)};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
