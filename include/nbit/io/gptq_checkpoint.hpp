// nbit/io/gptq_checkpoint.hpp — a linear as GPTQ checkpoints store it: qweight, qzeros, scales, g_idx, and the config
// beside.
//
//   qweight  i32 [K * b / 32, N]   codes of input k, output n: layout/gptq_words.hpp
//   qzeros   i32 [G, N * b / 32]   zeros of group g, outputs side by side, low bits first
//   scales   f16 [G, N]
//   g_idx    i32 [K]               group of each input
// "gptq" (v1) stores each zero less one: for 2, 4 and 8 bits 0x11.. is subtracted from the whole word, so a real zero
// of 0 borrows from its neighbour; for 3 bits each field wraps by itself. "gptq_v2" stores the zero. Ref:
// docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GPTQ_CHECKPOINT_HPP
#define NBIT_IO_GPTQ_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/gptq_tensors.hpp>
#include <nbit/io/json_value.hpp>

namespace nbit {

/// What qzeros holds: "gptq" files the zero less one, "gptq_v2" files the zero.
enum class gptq_zeros : std::uint8_t { minus_one, plain };

/// What quantize_config.json (or quantization_config in config.json) says about all linears.
struct gptq_config {
  int bits = 4;
  std::int64_t group = 128;  // -1: one group for each output
  bool symmetric = true, act_order = false;
  gptq_zeros zeros = gptq_zeros::minus_one;
};

/// Formats that a GPTQ checkpoint can hold: uniform, 2, 3, 4 or 8 bits, f16 scales, the zero an integer.
template <class F>
concept gptq_storable =
    grid_format<F> &&
    requires {
      { F::scheme } -> std::convertible_to<scheme>;
    } && (F::bits == 2 || F::bits == 3 || F::bits == 4 || F::bits == 8) && F::group >= per_row &&
    std::is_same_v<decltype(F::params::scale), f16> && F::scheme.symmetry != symmetry::asymmetric_float;

/// The four tensors of one linear as bytes of a file, any alignment. An empty g_idx means groups in order.
struct gptq_linear {
  std::size_t inputs = 0, outputs = 0, groups = 0;
  std::span<const std::byte> qweight, qzeros, scales, g_idx;
};

inline namespace NBIT_TAG {
namespace detail {

/// One in every field of a word.
template <int Bits>
inline constexpr std::uint32_t gptq_ones = Bits == 2   ? 0x55555555u
                                           : Bits == 4 ? 0x11111111u
                                                       : 0x01010101u;

template <int Bits>
inline void put_zeros(std::span<const std::uint8_t> zeros, gptq_zeros how, std::uint32_t* words) {
  const bool field_wise = how == gptq_zeros::minus_one && Bits == 3;
  for (std::size_t n = 0; n < zeros.size(); ++n)
    deposit_bits(words, n * std::size_t(Bits), Bits, std::uint32_t{zeros[n]} - (field_wise ? 1u : 0u));
  if constexpr (Bits != 3)
    if (how == gptq_zeros::minus_one)
      for (std::size_t w = 0; w < zeros.size() * std::size_t(Bits) / 32; ++w) words[w] -= gptq_ones<Bits>;
}

template <int Bits>
inline void get_zeros(std::uint32_t* words, gptq_zeros how, std::span<std::uint8_t> zeros) {
  if constexpr (Bits != 3)
    if (how == gptq_zeros::minus_one)
      for (std::size_t w = 0; w < zeros.size() * std::size_t(Bits) / 32; ++w) words[w] += gptq_ones<Bits>;
  const std::uint32_t add = how == gptq_zeros::minus_one && Bits == 3 ? 1 : 0;
  for (std::size_t n = 0; n < zeros.size(); ++n)
    zeros[n] = static_cast<std::uint8_t>((extract_bits(words, n * std::size_t(Bits), Bits) + add) &
                                         low_mask<std::uint32_t>(Bits));
}

/// Whether this many inputs and outputs fill whole words.
template <int Bits>
inline result<void> gptq_shape(std::size_t inputs, std::size_t outputs) {
  if (inputs % 32 != 0)
    return make_error(errc::shape, "inputs of a linear do not fill the words of a GPTQ checkpoint", "a multiple of 32")
        .with(static_cast<std::int64_t>(inputs));
  if (outputs * std::size_t(Bits) % 32 != 0)
    return make_error(errc::shape, "outputs of a linear do not fill the words of a GPTQ checkpoint",
                      "a multiple of 32 / bits, of 32 for 3 bits")
        .with(static_cast<std::int64_t>(outputs));
  return {};
}

inline result<void> gptq_size(const char* name, std::size_t found, std::size_t wanted) {
  if (found == wanted) return {};
  return make_error(errc::shape, "a tensor of a GPTQ linear has not the bytes that its shape takes")
      .about(name)
      .with(static_cast<std::int64_t>(found));
}

}  // namespace detail

/// Owns the four tensors of a linear.
struct gptq_tensors {
  std::size_t inputs = 0, outputs = 0, groups = 0;
  buffer<std::byte> qweight, qzeros, scales, g_idx;

  [[nodiscard]] gptq_linear view() const {
    return {inputs, outputs, groups, qweight.span(), qzeros.span(), scales.span(), g_idx.span()};
  }
};

/// The tensors of a checkpoint from codes and parameters.
/// Errors: shape when the matrix does not fill whole words, out_of_memory.
template <gptq_storable F>
inline result<gptq_tensors> pack_gptq(const coded_matrix<F>& from, gptq_zeros zeros = gptq_zeros::minus_one) {
  constexpr int bits = F::bits;
  const std::size_t n = from.rows, k = from.cols, groups = groups_per_row<F>(k),
                    zero_words = n * std::size_t(bits) / 32;
  if (auto fits = detail::gptq_shape<bits>(k, n); !fits) return fits.error();
  detail::attempts all;
  auto words = all(buffer<std::uint32_t>::zeros(k / 32 * std::size_t(bits) * n));
  auto zero_row = all(buffer<std::uint32_t>::zeros(zero_words));
  auto zero = all(buffer<std::uint8_t>::make(n));
  gptq_tensors to{k, n, groups, {}, {}, {}, {}};
  to.qweight = all(buffer<std::byte>::make(words.size() * 4));
  to.qzeros = all(buffer<std::byte>::make(groups * zero_words * 4));
  to.scales = all(buffer<std::byte>::make(groups * n * 2));
  to.g_idx = all(buffer<std::byte>::make(k * 4));
  if (all.failed()) return all.first();
  for (std::size_t r = 0; r < n; ++r)
    pack_row<gptq_words, bits>(from.row_codes(r), words.data(), nbit::shape{n, k}, r, 0, k);
  for (std::size_t w = 0; w < words.size(); ++w) store_u32(to.qweight.data() + 4 * w, words[w]);
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t r = 0; r < n; ++r) {
      const typename F::params& p = from.params[from.params_index(r, g)];
      store_f16(to.scales.data() + (g * n + r) * 2, p.scale);
      if constexpr (F::symmetric)
        zero[r] = static_cast<std::uint8_t>(F::half);
      else
        zero[r] = static_cast<std::uint8_t>(p.zero);
    }
    for (std::uint32_t& w : zero_row) w = 0;
    detail::put_zeros<bits>(zero.span(), zeros, zero_row.data());
    for (std::size_t w = 0; w < zero_words; ++w) store_u32(to.qzeros.data() + (g * zero_words + w) * 4, zero_row[w]);
  }
  for (std::size_t c = 0; c < k; ++c) store_u32(to.g_idx.data() + 4 * c, static_cast<std::uint32_t>(from.group_of(c)));
  return to;
}

/// Codes and parameters from the tensors of a checkpoint. F's bits and group must be the file's; an asymmetric F reads
/// symmetric files too. group_index stays empty when g_idx counts groups in order.
/// Errors: shape, malformed (a group that does not exist; a zero that a symmetric F cannot mean), not_finite,
/// out_of_memory.
template <gptq_storable F>
inline result<coded_matrix<F>> unpack_gptq(const gptq_linear& from, gptq_zeros zeros = gptq_zeros::minus_one) {
  constexpr int bits = F::bits;
  const std::size_t n = from.outputs, k = from.inputs, groups = groups_per_row<F>(k),
                    zero_words = n * std::size_t(bits) / 32;
  if (auto fits = detail::gptq_shape<bits>(k, n); !fits) return fits.error();
  if (from.groups != groups)
    return make_error(errc::shape, "a GPTQ linear has another number of groups than its inputs and group size give")
        .with(static_cast<std::int64_t>(from.groups));
  if (auto ok = detail::gptq_size("qweight", from.qweight.size(), k / 32 * std::size_t(bits) * n * 4); !ok)
    return ok.error();
  if (auto ok = detail::gptq_size("qzeros", from.qzeros.size(), groups * zero_words * 4); !ok) return ok.error();
  if (auto ok = detail::gptq_size("scales", from.scales.size(), groups * n * 2); !ok) return ok.error();
  if (!from.g_idx.empty())
    if (auto ok = detail::gptq_size("g_idx", from.g_idx.size(), k * 4); !ok) return ok.error();
  detail::attempts all;
  auto to = all(coded_matrix<F>::make({n, k}));
  auto words = all(buffer<std::uint32_t>::make(k / 32 * std::size_t(bits) * n));
  auto zero_row = all(buffer<std::uint32_t>::make(zero_words));
  auto zero = all(buffer<std::uint8_t>::make(n));
  if (all.failed()) return all.first();
  for (std::size_t w = 0; w < words.size(); ++w) words[w] = load_u32(from.qweight.data() + 4 * w);
  for (std::size_t r = 0; r < n; ++r)
    unpack_row<gptq_words, bits>(words.data(), nbit::shape{n, k}, r, 0, k, to.row_codes(r));
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t w = 0; w < zero_words; ++w) zero_row[w] = load_u32(from.qzeros.data() + (g * zero_words + w) * 4);
    detail::get_zeros<bits>(zero_row.data(), zeros, zero.span());
    for (std::size_t r = 0; r < n; ++r) {
      const auto row = static_cast<std::int64_t>(r), group = static_cast<std::int64_t>(g);
      typename F::params& p = to.params[to.params_index(r, g)];
      p.scale = load_f16(from.scales.data() + (g * n + r) * 2);
      if (!is_finite(float(p.scale)))
        return make_error(errc::not_finite, "a scale is NaN or infinite", "finite numbers")
            .about("scales")
            .at(group, row);
      if constexpr (!F::symmetric)
        p.zero = zero[r];
      else if (zero[r] != F::half)
        return make_error(errc::malformed, "a zero point of a symmetric GPTQ linear is not in the middle",
                          "2^(bits - 1)")
            .about("qzeros")
            .at(group, row)
            .with(zero[r]);
    }
  }
  if (auto ok = detail::gptq_read_groups(from.g_idx, to); !ok) return ok.error();
  return to;
}

/// The same from tensors as a file gives them, whose types and shapes are checked against each other first.
/// Errors: missing, malformed (element type), shape, overflow, and those above; the tensor is the subject.
template <gptq_storable F>
inline result<coded_matrix<F>> unpack_gptq(const gptq_stored& from, gptq_zeros zeros = gptq_zeros::minus_one) {
  const result<shape> s = detail::gptq_tensor_shape<F>(
      from, [](shape wanted) { return detail::gptq_shape<F::bits>(wanted.cols, wanted.rows); });
  if (!s) return s.error();
  return unpack_gptq<F>(gptq_linear{s->cols, s->rows, groups_per_row<F>(s->cols), from.qweight.bytes, from.qzeros.bytes,
                                    from.scales.bytes, from.g_idx.bytes},
                        zeros);
}

/// Reads the config of a checkpoint: quantize_config.json, or the member quantization_config of config.json.
/// Errors: missing, malformed, unsupported (another method, packing or width).
inline result<gptq_config> read_gptq_config(const json_value& from) {
  gptq_config c;
  const auto text = [&from](std::string_view name, std::string_view absent) {
    const json_value* const v = from.find(name);
    return v != nullptr && v->is(json_kind::string) ? v->text() : absent;
  };
  const auto refused = [](std::string_view name, const char* what, const char* allowed) {
    return make_error(errc::unsupported, what, allowed).about(name);
  };
  if (text("quant_method", "gptq") != "gptq")
    return refused("quant_method", "the checkpoint was quantized by another method", "gptq");
  const std::string_view kind = text("checkpoint_format", "gptq");
  if (kind == "marlin" || kind == "bitblas") return detail::kernel_layout_error("checkpoint_format");
  if (from.find("is_marlin_format") != nullptr) {  // how older files say it
    const result<bool> marlin = from.get<bool>("is_marlin_format");
    if (!marlin) return marlin.error();
    if (*marlin) return detail::kernel_layout_error("is_marlin_format");
  }
  if (kind != "gptq" && kind != "gptq_v2")
    return refused("checkpoint_format", "codes are packed in another way", "gptq or gptq_v2");
  c.zeros = kind == "gptq" ? gptq_zeros::minus_one : gptq_zeros::plain;
  if (text("pack_dtype", "int32") != "int32")
    return refused("pack_dtype", "codes are packed into other words", "int32");
  const result<int> bits = from.get<int>("bits");
  if (!bits) return bits.error();
  if (*bits != 2 && *bits != 3 && *bits != 4 && *bits != 8)
    return refused("bits", "code width of a GPTQ checkpoint", "2, 3, 4 or 8").with(*bits);
  c.bits = *bits;
  if (const result<void> done = detail::gptq_read_options(from, c); !done) return done.error();
  return c;
}

/// The config as other programs read it.
inline json_value gptq_config_json(const gptq_config& c) {
  json_value to = json_value::object();
  to.add("bits", json_value::number(c.bits));
  to.add("group_size", json_value::number(c.group));
  to.add("desc_act", json_value::boolean(c.act_order));
  to.add("sym", json_value::boolean(c.symmetric));
  to.add("lm_head", json_value::boolean(false));
  to.add("quant_method", json_value::string("gptq"));
  to.add("checkpoint_format", json_value::string(c.zeros == gptq_zeros::plain ? "gptq_v2" : "gptq"));
  to.add("pack_dtype", json_value::string("int32"));
  json_value meta = json_value::object();
  meta.add("quantizer", json_value::array()).push(json_value::string("nbit"));
  to.add("meta", std::move(meta));
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
