// nbit/io/gptq_planar_checkpoint.hpp — a linear of planar GPTQ checkpoints ("gptq_p"): 2 to 8 bits, codes in bit
// planes.
//
//   qweight  i32 [K b / 32, N]   layout/gptq_planes.hpp
//   qzeros   i32 [G, N b / 32]   the same along the outputs; zeros as they are, not less one
//   scales   f16 [G, N]
//   g_idx    i32 [K]             group of each input
// Inputs and outputs are multiples of 32. Ref: GPTQModel 7.7.0 (Apache-2.0); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GPTQ_PLANAR_CHECKPOINT_HPP
#define NBIT_IO_GPTQ_PLANAR_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/layout/gptq_planes.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/gptq_tensors.hpp>
#include <nbit/io/json_value.hpp>

namespace nbit {

/// Formats that a planar GPTQ checkpoint can hold: uniform, 2 to 8 bits, f16 scales, the zero an integer.
template <class F>
concept gptq_planar_storable =
    grid_format<F> &&
    requires {
      { F::scheme } -> std::convertible_to<scheme>;
    } && F::bits >= 2 && F::group >= per_row && std::is_same_v<decltype(F::params::scale), f16> &&
    F::scheme.symmetry != symmetry::asymmetric_float;

inline namespace NBIT_TAG {

/// What the config says about all linears.
struct gptq_planar_config {
  int bits = 4;
  std::int64_t group = 128;  // -1: one group for each output
  bool symmetric = true, act_order = false;
};

/// The tensors of one linear, as in the other GPTQ checkpoints.
using gptq_planar_linear = gptq_stored;

/// Owns the tensors of one linear.
struct gptq_planar_tensors {
  owned_tensor qweight, qzeros, scales, g_idx;

  [[nodiscard]] gptq_planar_linear view() const { return {qweight.view(), qzeros.view(), scales.view(), g_idx.view()}; }
};

namespace detail {

/// Whether this many inputs and outputs fill whole planes.
inline result<void> gptq_planar_shape(shape s) {
  if (s.cols % 32 == 0 && s.rows % 32 == 0) return {};
  return make_error(errc::shape, "inputs or outputs of a linear do not fill the planes of a GPTQ checkpoint",
                    "multiples of 32")
      .with(static_cast<std::int64_t>(s.cols % 32 != 0 ? s.cols : s.rows));
}

}  // namespace detail

/// Codes and parameters of a linear. F's bits and group must be the file's; an asymmetric F reads symmetric files too.
/// group_index stays empty when g_idx counts groups in order.
/// Errors: missing, malformed (element type; a group that does not exist; a zero that a symmetric F cannot mean),
/// shape, not_finite, overflow, out_of_memory; the tensor is the subject, row and column are its own.
template <gptq_planar_storable F>
inline result<coded_matrix<F>> unpack_gptq_planar(const gptq_planar_linear& from) {
  constexpr int bits = F::bits;
  const result<shape> checked = detail::gptq_tensor_shape<F>(from, detail::gptq_planar_shape);
  if (!checked) return checked.error();
  const shape s = *checked;
  const std::size_t n = s.rows, k = s.cols, groups = groups_per_row<F>(k);
  auto to = coded_matrix<F>::make(s);
  auto zeros = buffer<std::uint8_t>::make(n * groups);
  const auto words = detail::load_words(from.qweight), zero_words = detail::load_words(from.qzeros);
  if (!to) return to.error();
  if (!zeros) return zeros.error();
  if (!words) return words.error();
  if (!zero_words) return zero_words.error();
  for (std::size_t r = 0; r < n; ++r) {
    unpack_row<gptq_planes, bits>(words->data(), s, r, 0, k, to->row_codes(r));
    unpack_row<gptq_plane_rows, bits>(zero_words->data(), shape{n, groups}, r, 0, groups, zeros->data() + r * groups);
    for (std::size_t g = 0; g < groups; ++g) {
      typename F::params& p = to->params[to->params_index(r, g)];
      p.scale = detail::load_at<f16>(from.scales, g * n + r);
      if (auto ok = detail::check_scale(float(p.scale), "scales", g, r); !ok) return ok.error();
      const std::uint8_t zero = (*zeros)[r * groups + g];
      if constexpr (!F::symmetric)
        p.zero = zero;
      else if (zero != F::half)
        return make_error(errc::malformed, "a zero point of a symmetric GPTQ linear is not in the middle",
                          "2^(bits - 1)")
            .about("qzeros")
            .at(static_cast<std::int64_t>(g), static_cast<std::int64_t>(r))
            .with(zero);
    }
  }
  if (auto ok = detail::gptq_read_groups(from.g_idx.bytes, *to); !ok) return ok.error();
  return to;
}

/// The tensors of a checkpoint from codes and parameters.
/// Errors: shape when the matrix does not fill planes, malformed for codes and zeros over 2^bits - 1, out_of_memory.
template <gptq_planar_storable F>
inline result<gptq_planar_tensors> pack_gptq_planar(const coded_matrix<F>& from) {
  using safetensors::dtype;
  constexpr int bits = F::bits;
  const std::size_t n = from.rows, k = from.cols, groups = groups_per_row<F>(k);
  if (auto ok = detail::gptq_planar_shape(from.shape()); !ok) return ok.error();
  if (auto ok = detail::check_codes(from.codes.span(), bits, k); !ok) return ok.error();
  auto qweight = detail::make_tensor("qweight", dtype::i32, {k / 32 * std::size_t(bits), n});
  auto qzeros = detail::make_tensor("qzeros", dtype::i32, {groups, n / 32 * std::size_t(bits)});
  auto scales = detail::make_tensor("scales", dtype::f16, {groups, n});
  auto g_idx = detail::make_tensor("g_idx", dtype::i32, {k});
  auto words = buffer<std::uint32_t>::zeros(k / 32 * std::size_t(bits) * n);
  auto zero_words = buffer<std::uint32_t>::zeros(groups * (n / 32) * std::size_t(bits));
  auto zeros = buffer<std::uint8_t>::make(groups);
  if (!qweight) return qweight.error();
  if (!qzeros) return qzeros.error();
  if (!scales) return scales.error();
  if (!g_idx) return g_idx.error();
  if (!words) return words.error();
  if (!zero_words) return zero_words.error();
  if (!zeros) return zeros.error();
  for (std::size_t r = 0; r < n; ++r) {
    pack_row<gptq_planes, bits>(from.row_codes(r), words->data(), from.shape(), r, 0, k);
    for (std::size_t g = 0; g < groups; ++g) {
      const typename F::params& p = from.params[from.params_index(r, g)];
      detail::store_at(*scales, g * n + r, p.scale);
      unsigned zero = 1u << (bits - 1);
      if constexpr (!F::symmetric) zero = p.zero;
      if (zero >> bits != 0)
        return make_error(errc::malformed, "a zero point does not fit its width", "0 to 2^bits - 1")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(g))
            .with(zero);
      (*zeros)[g] = static_cast<std::uint8_t>(zero);
    }
    pack_row<gptq_plane_rows, bits>(zeros->data(), zero_words->data(), shape{n, groups}, r, 0, groups);
  }
  detail::store_words(*qweight, words->span());
  detail::store_words(*qzeros, zero_words->span());
  for (std::size_t c = 0; c < k; ++c)
    store_u32(g_idx->bytes.data() + 4 * c, static_cast<std::uint32_t>(from.group_of(c)));
  return gptq_planar_tensors{*std::move(qweight), *std::move(qzeros), *std::move(scales), *std::move(g_idx)};
}

/// Reads the config of a planar checkpoint: quantize_config.json, or quantization_config in config.json.
/// Errors: missing, malformed, unsupported (another method, checkpoint_format, words or width).
inline result<gptq_planar_config> read_gptq_planar_config(const json_value& from) {
  const std::pair<const char*, std::string_view> texts[] = {
      {"quant_method", "gptq"}, {"checkpoint_format", "gptq_p"}, {"pack_dtype", "int32"}};
  for (const auto& [name, wanted] : texts) {
    if (name == texts[2].first && from.find(name) == nullptr) continue;
    const result<std::string_view> text = from.get<std::string_view>(name);
    if (!text) return text.error();
    if (*text != wanted)
      return make_error(errc::unsupported, "the checkpoint is not a planar GPTQ one", "gptq, gptq_p and int32")
          .about(name);
  }
  gptq_planar_config c;
  const result<int> bits = from.get<int>("bits");
  if (!bits) return bits.error();
  if (*bits < 2 || *bits > 8)
    return make_error(errc::unsupported, "code width of a planar GPTQ checkpoint", "2 to 8").about("bits").with(*bits);
  c.bits = *bits;
  if (const result<void> done = detail::gptq_read_options(from, c); !done) return done.error();
  return c;
}

/// The config as other programs read it; members of `kept` that nbit does not know stay.
inline json_value gptq_planar_config_json(const gptq_planar_config& c, json_value kept = json_value::object()) {
  kept.set("bits", json_value::number(c.bits));
  kept.set("group_size", json_value::number(c.group));
  kept.set("desc_act", json_value::boolean(c.act_order));
  kept.set("sym", json_value::boolean(c.symmetric));
  kept.set("quant_method", json_value::string("gptq"));
  kept.set("checkpoint_format", json_value::string("gptq_p"));
  kept.set("pack_dtype", json_value::string("int32"));
  return kept;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
