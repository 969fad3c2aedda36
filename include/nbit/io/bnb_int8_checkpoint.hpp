// nbit/io/bnb_int8_checkpoint.hpp — a linear as bitsandbytes stores it in eight bits, LLM.int8: bytes and row maxima.
//
//   weight         i8  [N, K]   round(127 w / SCB)
//   SCB            f32 [N]      largest magnitude of each output
//   weight_format  u8  []       0: rows in order; the orders of older GPU kernels are refused
// Ref: Dettmers 2022, LLM.int8(), section 2; bitsandbytes 0.50 (MIT).
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_BNB_INT8_CHECKPOINT_HPP
#define NBIT_IO_BNB_INT8_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// LLM.int8's weights: 8 bits, the largest magnitude of each output stored as it is. Codes count from -128.
struct bnb_int8 {
  static constexpr int bits = 8, group = per_row;
  static constexpr bool symmetric = true;
  using params = symmetric_params<float>;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    return {nbit::abs(detail::range_of(w).signed_max)};
  }
  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    NBIT_EXACT
    return p.scale == 0.0f ? 128 : round_clamped(v * (127.0f / p.scale), -127, 127) + 128;
  }
  /// In the peer's order: the product with the maximum is rounded first.
  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    NBIT_EXACT
    return static_cast<float>(c - 128) * p.scale * (1.0f / 127.0f);
  }
};

inline namespace NBIT_TAG {

/// The tensors of one linear; weight_format need not be present.
struct bnb_int8_linear {
  stored_tensor weight, scb, weight_format;
};

/// Owns the tensors of one linear.
struct bnb_int8_tensors {
  owned_tensor weight, scb, weight_format;

  [[nodiscard]] bnb_int8_linear view() const { return {weight.view(), scb.view(), weight_format.view()}; }
};

/// Codes and row maxima of a linear.
/// Errors: missing, malformed (element type; a maximum below 0), unsupported (another order), shape, not_finite,
/// overflow, out_of_memory; the tensor is the subject.
inline result<coded_matrix<bnb_int8>> unpack_bnb_int8(const bnb_int8_linear& from) {
  using safetensors::dtype;
  if (auto ok = detail::check_tensor(from.weight, "weight", {dtype::i8}, "I8", 2); !ok) return ok.error();
  if (auto ok = detail::check_tensor(from.scb, "SCB", {dtype::f32}, "F32", 1); !ok) return ok.error();
  if (auto ok = detail::check_dimension(from.scb, "SCB", 0, from.weight.shape[0], "the outputs"); !ok)
    return ok.error();
  if (from.weight_format.present) {
    if (auto ok = detail::check_tensor(from.weight_format, "weight_format", {dtype::u8}, "U8", 0); !ok)
      return ok.error();
    if (from.weight_format.bytes[0] != std::byte{0})
      return make_error(errc::unsupported, "weights lie in the order of an older GPU kernel", "0: rows in order")
          .about("weight_format")
          .with(std::to_integer<std::int64_t>(from.weight_format.bytes[0]));
  }
  auto to = coded_matrix<bnb_int8>::make(
      {static_cast<std::size_t>(from.weight.shape[0]), static_cast<std::size_t>(from.weight.shape[1])});
  if (!to) return to.error();
  for (std::size_t i = 0; i < to->codes.size(); ++i)  // the sign bit flipped counts from -128
    to->codes[i] = static_cast<std::uint8_t>(std::to_integer<unsigned>(from.weight.bytes[i]) ^ 0x80u);
  for (std::size_t r = 0; r < to->rows; ++r) {
    to->params[r].scale = detail::load_at<float>(from.scb, r);
    if (auto ok = detail::check_magnitude(to->params[r].scale, "SCB", 0, r); !ok) return ok.error();
  }
  return to;
}

/// The tensors of a checkpoint.  Errors: out_of_memory, overflow.
inline result<bnb_int8_tensors> pack_bnb_int8(const coded_matrix<bnb_int8>& from) {
  using safetensors::dtype;
  auto weight = detail::make_tensor("weight", dtype::i8, {from.rows, from.cols});
  auto scb = detail::make_tensor("SCB", dtype::f32, {from.rows});
  auto order = detail::make_tensor("weight_format", dtype::u8, {});
  if (!weight) return weight.error();
  if (!scb) return scb.error();
  if (!order) return order.error();
  for (std::size_t i = 0; i < from.codes.size(); ++i) weight->bytes[i] = static_cast<std::byte>(from.codes[i] ^ 0x80u);
  for (std::size_t r = 0; r < from.rows; ++r) detail::store_at(*scb, r, from.params[r].scale);
  return bnb_int8_tensors{*std::move(weight), *std::move(scb), *std::move(order)};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
