// nbit/io/compressed_floats.hpp — a linear of small floats as compressed-tensors stores it: FP8, NVFP4, MXFP4.
//
//                    FP8                         NVFP4                    MXFP4
//   weight           f8_e4m3 [N, K]              -                        -
//   weight_packed    -                           u8 [N, K / 2]            u8 [N, K / 2]        even input in the low
//   nibble weight_scale     f32 f16 bf16 [N, G] or [1]  f8_e4m3 [N, K / 16]      u8 [N, K / 32]       MXFP4: 2^(byte -
//   127) weight_global_scale                          f32 [1], a divisor
// FP8 files name their format naive-quantized or float-quantized. An NVFP4 weight is level * (scale / global scale):
// the quotient is rounded to float first. Ref: compressed-tensors 0.20.0 (Apache-2.0); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_COMPRESSED_FLOATS_HPP
#define NBIT_IO_COMPRESSED_FLOATS_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/float_codes.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/layout/linear.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/compressed_tensors.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// The codes and scales of NVFP4 as files hold them: 16 weights under one E4M3 scale.
struct nvfp4_codes : float_codes<f4_e2m1, 16, scale_type::f8_e4m3> {};
/// The same with the tensor's scale worked in: what decodes to the weights.
struct nvfp4_scaled : float_codes<f4_e2m1, 16, scale_type::f32> {};

/// Formats that compressed-tensors can hold as FP8.
template <class F>
concept ct_float_storable =
    grid_format<F> && std::is_same_v<typename F::element, f8_e4m3> &&
    (F::scale_stored == scale_type::f32 || F::scale_stored == scale_type::f16 || F::scale_stored == scale_type::bf16);

inline namespace NBIT_TAG {

/// The tensors of one linear of four-bit floats; only NVFP4 has weight_global_scale.
struct ct_fp4_linear {
  stored_tensor weight_packed, weight_scale, weight_global_scale;
};

/// Owns the tensors of one linear of four-bit floats.
struct ct_fp4_tensors {
  owned_tensor weight_packed, weight_scale, weight_global_scale;

  [[nodiscard]] ct_fp4_linear view() const {
    return {weight_packed.view(), weight_scale.view(), weight_global_scale.view()};
  }
};

/// An NVFP4 linear: codes, scales, and the divisor of all scales.
struct ct_nvfp4 {
  coded_matrix<nvfp4_codes> weights;
  float global_scale = 1.0f;
};

namespace detail {

/// Codes of four-bit floats and the shape checks that both kinds share; F's group must divide the inputs.
template <class F>
inline result<coded_matrix<F>> ct_unpack_fp4(const ct_fp4_linear& from) {
  using safetensors::dtype;
  if (auto ok = check_tensor(from.weight_packed, "weight_packed", {dtype::u8}, "U8", 2); !ok) return ok.error();
  const shape s{static_cast<std::size_t>(from.weight_packed.shape[0]),
                2 * static_cast<std::size_t>(from.weight_packed.shape[1])};
  if (s.cols % std::size_t(F::group) != 0)
    return tensor_error(errc::shape, "inputs of a linear do not fill its groups", "a multiple of the group",
                        "weight_packed", "inputs")
        .with(static_cast<std::int64_t>(s.cols));
  using scale_t = std::conditional_t<std::is_same_v<F, mxfp4>, e8m0, f8_e4m3>;
  if (auto ok = std::is_same_v<F, mxfp4> ? check_tensor(from.weight_scale, "weight_scale", {dtype::u8, dtype::f8_e8m0},
                                                        stored_number<e8m0>::name, 2)
                                         : check_tensor(from.weight_scale, "weight_scale", {dtype::f8_e4m3},
                                                        stored_number<scale_t>::name, 2);
      !ok)
    return ok.error();
  if (auto ok = check_dimension(from.weight_scale, "weight_scale", 0, s.rows, "the outputs"); !ok) return ok.error();
  if (auto ok =
          check_dimension(from.weight_scale, "weight_scale", 1, groups_per_row<F>(s.cols), "the inputs by the group");
      !ok)
    return ok.error();
  auto to = coded_matrix<F>::make(s);
  if (!to) return to.error();
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(from.weight_packed.bytes.data());
  for (std::size_t r = 0; r < s.rows; ++r) unpack_row<linear, 4>(bytes, s, r, 0, s.cols, to->row_codes(r));
  const std::size_t groups = groups_per_row<F>(s.cols);
  for (std::size_t i = 0; i < to->params.size(); ++i) {
    const auto scale = load_at<scale_t>(from.weight_scale, i);
    if (auto ok = check_magnitude(float(scale), "weight_scale", i / groups, i % groups); !ok) return ok.error();
    to->params[i] = {scale};
  }
  return to;
}

template <class F>
inline result<ct_fp4_tensors> ct_pack_fp4(const coded_matrix<F>& from) {
  using safetensors::dtype;
  if (from.cols % std::size_t(F::group) != 0)
    return make_error(errc::shape, "inputs of a linear do not fill its groups", "a multiple of the group")
        .with(static_cast<std::int64_t>(from.cols));
  if (auto ok = check_codes(from.codes.span(), 4, from.cols); !ok) return ok.error();
  auto packed = make_tensor("weight_packed", dtype::u8, {from.rows, from.cols / 2});
  auto scale = make_tensor("weight_scale", std::is_same_v<F, mxfp4> ? dtype::u8 : dtype::f8_e4m3,
                           {from.rows, groups_per_row<F>(from.cols)});
  if (!packed) return packed.error();
  if (!scale) return scale.error();
  auto* const bytes = reinterpret_cast<std::uint8_t*>(packed->bytes.data());
  for (std::size_t r = 0; r < from.rows; ++r)
    pack_row<linear, 4>(from.row_codes(r), bytes, from.shape(), r, 0, from.cols);
  for (std::size_t i = 0; i < from.params.size(); ++i) {
    if constexpr (std::is_same_v<F, mxfp4>)
      store_at(*scale, i, from.params[i].e);
    else
      store_at(*scale, i, from.params[i].scale);
  }
  ct_fp4_tensors to;
  to.weight_packed = *std::move(packed), to.weight_scale = *std::move(scale);
  return to;
}

}  // namespace detail

/// Codes, scales and the global scale of an NVFP4 linear.
/// Errors: missing, malformed (element type; a scale below 0; a global scale that is not above 0), shape, not_finite,
/// overflow, out_of_memory; the tensor is the subject.
inline result<ct_nvfp4> unpack_ct_nvfp4(const ct_fp4_linear& from) {
  auto weights = detail::ct_unpack_fp4<nvfp4_codes>(from);
  if (!weights) return weights.error();
  const char* const name = "weight_global_scale";
  if (auto ok = detail::check_tensor(from.weight_global_scale, name, {safetensors::dtype::f32}, "F32", 1); !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.weight_global_scale, name, 0, 1, "1"); !ok) return ok.error();
  const float global = detail::load_at<float>(from.weight_global_scale, 0);
  if (auto ok = detail::check_magnitude(global, name, 0, 0); !ok) return ok.error();
  if (global == 0.0f)
    return make_error(errc::malformed, "the global scale of an NVFP4 linear divides by 0", "above 0").about(name);
  ct_nvfp4 to;
  to.weights = *std::move(weights), to.global_scale = global;
  return to;
}

/// The tensors of an NVFP4 linear.  Errors: shape, malformed for codes over 15, out_of_memory.
inline result<ct_fp4_tensors> pack_ct_nvfp4(const ct_nvfp4& from) {
  auto to = detail::ct_pack_fp4(from.weights);
  auto global = detail::make_tensor("weight_global_scale", safetensors::dtype::f32, {1});
  if (!to) return to.error();
  if (!global) return global.error();
  detail::store_at(*global, 0, from.global_scale);
  to->weight_global_scale = *std::move(global);
  return to;
}

/// The linear with its global scale worked into the scale of each group: decodes to the weights.  Errors:
/// out_of_memory.
inline result<coded_matrix<nvfp4_scaled>> scaled_nvfp4(const ct_nvfp4& from) {
  auto to = coded_matrix<nvfp4_scaled>::make(from.weights.shape());
  if (!to) return to.error();
  for (std::size_t i = 0; i < to->codes.size(); ++i) to->codes[i] = from.weights.codes[i];
  for (std::size_t i = 0; i < to->params.size(); ++i)
    to->params[i].scale = float(from.weights.params[i].scale) / from.global_scale;
  return to;
}

/// Codes and scales of an MXFP4 linear; ggml's MXFP4 blocks hold the same numbers.  Errors: as unpack_ct_nvfp4.
inline result<coded_matrix<mxfp4>> unpack_ct_mxfp4(const ct_fp4_linear& from) {
  return detail::ct_unpack_fp4<mxfp4>(from);
}

/// The tensors of an MXFP4 linear.  Errors: as pack_ct_nvfp4.
inline result<ct_fp4_tensors> pack_ct_mxfp4(const coded_matrix<mxfp4>& from) { return detail::ct_pack_fp4(from); }

/// Codes and scales of an FP8 linear.  F's group and scale must be the file's.
/// Errors: missing, malformed (element type; a weight that is NaN), shape, not_finite, overflow, out_of_memory.
template <ct_float_storable F>
inline result<coded_matrix<F>> unpack_ct_fp8(const ct_linear& from) {
  using scale_t = typename F::scale_t;
  using number = detail::stored_number<scale_t>;
  if (auto ok = detail::check_tensor(from.weight, "weight", {safetensors::dtype::f8_e4m3}, "F8_E4M3", 2); !ok)
    return ok.error();
  const shape s{static_cast<std::size_t>(from.weight.shape[0]), static_cast<std::size_t>(from.weight.shape[1])};
  const shape ps = detail::ct_params_shape<F>(s);
  const char* const name = "weight_scale";
  if (auto ok =
          detail::check_tensor(from.weight_scale, name, {number::type}, number::name, F::group == per_tensor ? 1 : 2);
      !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.weight_scale, name, 0, ps.rows, "the outputs; 1 for one scale"); !ok)
    return ok.error();
  if (F::group != per_tensor)
    if (auto ok = detail::check_dimension(from.weight_scale, name, 1, ps.cols, "the groups that the inputs make"); !ok)
      return ok.error();
  auto to = coded_matrix<F>::make(s);
  if (!to) return to.error();
  for (std::size_t i = 0; i < to->codes.size(); ++i) {
    const auto code = std::to_integer<std::uint8_t>(from.weight.bytes[i]);
    if ((code & 0x7fu) == 0x7fu)
      return make_error(errc::not_finite, "a weight is NaN", "finite numbers")
          .about("weight")
          .at(static_cast<std::int64_t>(i / s.cols), static_cast<std::int64_t>(i % s.cols))
          .with(code);
    to->codes[i] = code;
  }
  for (std::size_t i = 0; i < to->params.size(); ++i) {
    to->params[i].scale = detail::load_at<scale_t>(from.weight_scale, i);
    if (auto ok = detail::check_scale(float(to->params[i].scale), name, i / ps.cols, i % ps.cols); !ok)
      return ok.error();
  }
  return to;
}

/// The tensors of an FP8 linear: weight and weight_scale.  Errors: out_of_memory, overflow.
template <ct_float_storable F>
inline result<ct_tensors> pack_ct_fp8(const coded_matrix<F>& from) {
  using number = detail::stored_number<typename F::scale_t>;
  const shape ps = detail::ct_params_shape<F>(from.shape());
  auto weight = detail::make_tensor("weight", safetensors::dtype::f8_e4m3, {from.rows, from.cols});
  auto scale = F::group == per_tensor ? detail::make_tensor("weight_scale", number::type, {ps.rows})
                                      : detail::make_tensor("weight_scale", number::type, {ps.rows, ps.cols});
  if (!weight) return weight.error();
  if (!scale) return scale.error();
  for (std::size_t i = 0; i < from.codes.size(); ++i) weight->bytes[i] = static_cast<std::byte>(from.codes[i]);
  for (std::size_t i = 0; i < from.params.size(); ++i) detail::store_at(*scale, i, from.params[i].scale);
  ct_tensors to;
  to.weight = *std::move(weight), to.weight_scale = *std::move(scale);
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
