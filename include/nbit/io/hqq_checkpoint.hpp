// nbit/io/hqq_checkpoint.hpp — a linear as HQQ stores it: codes, scales and fractional zeros, and its settings as
// tensors.
//
// HQQ cuts the weights, taken row by row, into groups: a matrix [groups, group] for axis 1, [group, groups] for axis 0,
// where a group's weights lie `groups` apart. Both the codes and the parameters keep that matrix's shape.
//   W_q     u8 [R / (8 / b), C]   8, 4, 2, 1 bits (5 and 6 in whole bytes): layout/hqq_slabs.hpp
//           i32 [R / 10, C]       3 bits: ten slabs of rows, the first at bit 27, rows rounded up with zeros
//   scale, zero  f32, f16 or bf16 [groups, 1] or [1, groups]          w = scale * (code - zero)
//   nbits, group_size, axis i32; shape i64 [2]; packing, compute_dtype u8 text; flags u8      Ref: HQQ 0.2.8
//   (Apache-2.0)
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_HQQ_CHECKPOINT_HPP
#define NBIT_IO_HQQ_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nbit/base/bits.hpp>
#include <nbit/base/buffer.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/scheme.hpp>
#include <nbit/layout/hqq_slabs.hpp>
#include <nbit/layout/pack.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/checkpoint_tensor.hpp>

namespace nbit {

/// Formats that an HQQ checkpoint can hold: uniform with a fractional zero, groups of a fixed size.
template <class F>
concept hqq_storable = grid_format<F> && requires {
  { F::scheme } -> std::convertible_to<scheme>;
} && F::scheme.symmetry == symmetry::asymmetric_float && F::group > 0 && F::bits != 7;

inline namespace NBIT_TAG {

/// The settings of a linear.
struct hqq_meta {
  int bits = 4, axis = 1;
  std::int64_t group = 64;
  std::uint64_t rows = 0, cols = 0;
  std::string compute_dtype = "torch.float16";
  bool channel_wise = true, optimize = true, round_zero = false, offload_meta = false;
};

/// The tensors of one linear that hold numbers, and its settings.
struct hqq_linear {
  stored_tensor w_q, scale, zero;
  hqq_meta meta;
};

/// A linear as read: `groups` has one row for each group. Axis 1 with inputs that are a multiple of the group is the
/// linear itself, see hqq_rows.
template <hqq_storable F>
struct hqq_weights {
  coded_matrix<F> groups;
  hqq_meta meta;
};

/// Owns the tensors of one linear, the settings among them: W_q, scale, zero, then the rest in the peer's names.
struct hqq_tensors {
  owned_tensor w_q, scale, zero;
  std::vector<owned_tensor> settings;
};

namespace detail {

/// Bits that a code takes in the file.
template <int Bits>
inline constexpr int hqq_stored_bits = Bits == 5 || Bits == 6 ? 8 : Bits;
NBIT_INLINE constexpr const char* hqq_packing(int bits) {
  return bits == 1 ? "1bit_u8" : bits == 2 ? "2bit_u8" : bits == 3 ? "3bit_32" : bits == 4 ? "4bit_u8" : "8bit_u8";
}

/// Three-bit codes, ten slabs in a word. Not a layout that packs: it leaves two bits over.
struct hqq_thirty_bits {
  template <int>
  struct map {
    using word = std::uint32_t;
    static constexpr std::size_t slabs = 10, tile_rows = slabs, tile_cols = 1;
    NBIT_INLINE static constexpr bit_place at(shape padded, std::size_t r, std::size_t c, int bit) {
      const std::size_t height = padded.rows / slabs;
      return {r % height * padded.cols + c, static_cast<int>(slabs - 1 - r / height) * 3 + bit};
    }
  };
};
template <int Bits>
using hqq_layout = std::conditional_t<Bits == 3, hqq_thirty_bits, hqq_slabs>;

/// One number or text of the settings; `fallback` when it is absent.
inline result<std::int64_t> hqq_number(const stored_tensor& t, const char* name, std::int64_t fallback) {
  using safetensors::dtype;
  if (!t.present) return fallback;
  if (auto ok = check_tensor(t, name, {dtype::i32, dtype::u8, dtype::boolean, dtype::i64}, "I32, I64, U8 or BOOL", 0);
      !ok)
    return ok.error();
  if (t.type == dtype::i64) return static_cast<std::int64_t>(load_u64(t.bytes.data()));
  if (t.type == dtype::i32) return static_cast<std::int32_t>(load_u32(t.bytes.data()));
  return std::to_integer<std::int64_t>(t.bytes[0]);
}
inline result<std::string> hqq_text(const stored_tensor& t, const char* name, std::string_view fallback) {
  if (!t.present) return std::string(fallback);
  if (auto ok = check_tensor(t, name, {safetensors::dtype::u8}, "U8", 1); !ok) return ok.error();
  return std::string(reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size());
}

/// Rows and columns of HQQ's matrix.
NBIT_INLINE shape hqq_shape(const hqq_meta& m) {
  const auto group = static_cast<std::size_t>(m.group), groups = static_cast<std::size_t>(m.rows * m.cols) / group;
  return m.axis == 1 ? shape{groups, group} : shape{group, groups};
}

/// Whether settings fit a format and one another.
template <class F>
inline result<void> hqq_check(const hqq_meta& m) {
  const auto bad = [](const char* name, const char* what, const char* allowed, std::int64_t found) {
    return make_error(errc::shape, what, allowed).about(name).with(found);
  };
  if (m.bits != F::bits) return bad("nbits", "code width is not the format's", "the format's bits", m.bits);
  if (m.group != F::group)
    return bad("group_size", "groups are of another size than the format's", "the format's group", m.group);
  if (m.rows == 0 || m.cols == 0 || m.rows > 0x7fffffffu || m.cols > 0x7fffffffu)
    return bad("shape", "a dimension of the linear", "1 to 2^31 - 1",
               static_cast<std::int64_t>(m.rows == 0 || m.rows > 0x7fffffffu ? m.rows : m.cols));
  if (m.rows * m.cols % std::uint64_t(F::group) != 0)
    return bad("shape", "the weights do not fill their groups", "a multiple of group_size",
               static_cast<std::int64_t>(m.rows * m.cols));
  constexpr int stored = hqq_stored_bits<F::bits>;
  const std::size_t rows = hqq_shape(m).rows;
  if (F::bits != 3 && rows % (8 / std::size_t(stored)) != 0)
    return bad("W_q", "rows of HQQ's matrix do not fill bytes", "a multiple of 8 / bits",
               static_cast<std::int64_t>(rows));
  return {};
}

template <class F>
inline std::size_t hqq_word_rows(const hqq_meta& m) {
  constexpr std::size_t slabs = hqq_layout<hqq_stored_bits<F::bits>>::template map<hqq_stored_bits<F::bits>>::slabs;
  return ceil_div(hqq_shape(m).rows, slabs);
}

}  // namespace detail

/// The settings and tensors of the linear `layer` of a file.
/// Errors: missing, malformed, shape, unsupported (another packing; codes stored as floats; quantized scales or zeros).
inline result<hqq_linear> find_hqq(const safetensors::file& in, std::string_view layer) {
  using safetensors::dtype;
  hqq_linear to;
  to.w_q = find_stored(in, layer, "W_q"), to.scale = find_stored(in, layer, "scale"),
  to.zero = find_stored(in, layer, "zero");
  const stored_tensor size = find_stored(in, layer, "shape");
  if (auto ok = detail::check_tensor(size, "shape", {dtype::i64}, "I64", 1); !ok) return ok.error();
  if (auto ok = detail::check_dimension(size, "shape", 0, 2, "2"); !ok) return ok.error();
  to.meta.rows = load_u64(size.bytes.data()), to.meta.cols = load_u64(size.bytes.data() + 8);
  std::int64_t numbers[9] = {-1, -1, -1, 1, 1, 0, 0, 0, 0};
  const char* const names[9] = {"nbits",      "group_size",   "axis",        "channel_wise", "optimize",
                                "round_zero", "offload_meta", "quant_scale", "quant_zero"};
  for (std::size_t i = 0; i < 9; ++i) {
    const stored_tensor t = find_stored(in, layer, names[i]);
    if (i < 3 && !t.present) return make_error(errc::missing, "the layer lacks a setting").about(names[i]);
    const result<std::int64_t> n = detail::hqq_number(t, names[i], numbers[i]);
    if (!n) return n.error();
    numbers[i] = *n;
  }
  if (numbers[0] < 1 || numbers[0] > 8 || numbers[0] == 7)
    return make_error(errc::unsupported, "code width of an HQQ checkpoint", "1 to 6 or 8")
        .about("nbits")
        .with(numbers[0]);
  if (numbers[1] < 1)
    return make_error(errc::malformed, "group size of an HQQ checkpoint", "1 and more")
        .about("group_size")
        .with(numbers[1]);
  if (numbers[2] != 0 && numbers[2] != 1)
    return make_error(errc::malformed, "axis of the groups", "0 or 1").about("axis").with(numbers[2]);
  for (std::size_t i = 7; i < 9; ++i)
    if (numbers[i] != 0)
      return make_error(errc::unsupported, "parameters are quantized themselves", "false")
          .about(names[i])
          .with(numbers[i]);
  to.meta.bits = static_cast<int>(numbers[0]), to.meta.group = numbers[1], to.meta.axis = static_cast<int>(numbers[2]);
  to.meta.channel_wise = numbers[3] != 0, to.meta.optimize = numbers[4] != 0;
  to.meta.round_zero = numbers[5] != 0, to.meta.offload_meta = numbers[6] != 0;
  auto compute = detail::hqq_text(find_stored(in, layer, "compute_dtype"), "compute_dtype", "torch.float16");
  auto packing = detail::hqq_text(find_stored(in, layer, "packing"), "packing", detail::hqq_packing(to.meta.bits));
  const auto floats = detail::hqq_number(find_stored(in, layer, "view_as_float"), "view_as_float", 0);
  if (!compute) return compute.error();
  if (!packing) return packing.error();
  if (!floats) return floats.error();
  if (*packing != detail::hqq_packing(to.meta.bits))
    return detail::tensor_error(errc::unsupported, "codes are packed in another way",
                                "1bit_u8, 2bit_u8, 3bit_32, 4bit_u8 or 8bit_u8", "packing", *packing);
  if (*floats != 0)
    return make_error(errc::unsupported, "codes are stored as floats", "false").about("view_as_float").with(*floats);
  to.meta.compute_dtype = *std::move(compute);
  return to;
}

/// Codes and parameters of a linear. F's bits, group and scale must be the file's.
/// Errors: missing, malformed (element type; a code out of range), shape, not_finite, overflow, out_of_memory; the
/// tensor is the subject.
template <hqq_storable F>
inline result<hqq_weights<F>> unpack_hqq(const hqq_linear& from) {
  using safetensors::dtype;
  using scale_t = typename F::scale_t;
  using number = detail::stored_number<scale_t>;
  constexpr int bits = detail::hqq_stored_bits<F::bits>;
  using layout = detail::hqq_layout<bits>;
  if (auto ok = detail::hqq_check<F>(from.meta); !ok) return ok.error();
  const bool words = bits == 3;
  if (auto ok = detail::check_tensor(from.w_q, "W_q", {words ? dtype::i32 : dtype::u8}, words ? "I32" : "U8", 2); !ok)
    return ok.error();
  const shape s = detail::hqq_shape(from.meta);
  if (auto ok = detail::check_dimension(from.w_q, "W_q", 0, detail::hqq_word_rows<F>(from.meta),
                                        "the matrix's rows by the codes in a word");
      !ok)
    return ok.error();
  if (auto ok = detail::check_dimension(from.w_q, "W_q", 1, s.cols, "the matrix's columns"); !ok) return ok.error();
  const bool rows = from.meta.axis == 1;
  const std::size_t groups = rows ? s.rows : s.cols, group = rows ? s.cols : s.rows;
  for (const auto& [t, name] :
       {std::pair<const stored_tensor*, const char*>{&from.scale, "scale"}, {&from.zero, "zero"}}) {
    if (auto ok = detail::check_tensor(*t, name, {number::type}, number::name, 2); !ok) return ok.error();
    if (auto ok = detail::check_dimension(*t, name, rows ? 0 : 1, groups, "the groups"); !ok) return ok.error();
    if (auto ok = detail::check_dimension(*t, name, rows ? 1 : 0, 1, "1"); !ok) return ok.error();
  }
  auto to = coded_matrix<F>::make({groups, group});
  auto line = buffer<std::uint8_t>::make(s.cols);
  auto codes = buffer<typename layout::template map<bits>::word>::make(from.w_q.bytes.size() / (words ? 4 : 1));
  if (!to) return to.error();
  if (!line) return line.error();
  if (!codes) return codes.error();
  for (std::size_t i = 0; i < codes->size(); ++i) {
    if constexpr (bits == 3)
      (*codes)[i] = load_u32(from.w_q.bytes.data() + 4 * i);
    else
      (*codes)[i] = std::to_integer<std::uint8_t>(from.w_q.bytes[i]);
  }
  const shape padded{detail::hqq_word_rows<F>(from.meta) * layout::template map<bits>::slabs, s.cols};
  for (std::size_t r = 0; r < s.rows; ++r) {
    unpack_row<layout, bits>(codes->data(), padded, r, 0, s.cols, line->data());
    for (std::size_t c = 0; c < s.cols; ++c) {
      if ((*line)[c] >> F::bits != 0)
        return make_error(errc::malformed, "a code does not fit its width", "0 to 2^bits - 1")
            .about("W_q")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(c))
            .with((*line)[c]);
      to->codes[rows ? r * group + c : c * group + r] = (*line)[c];
    }
  }
  for (std::size_t g = 0; g < groups; ++g) {
    typename F::params& p = to->params[g];
    p.scale = detail::load_at<scale_t>(from.scale, g), p.zero = detail::load_at<scale_t>(from.zero, g);
    if (auto ok = detail::check_scale(float(p.scale), "scale", rows ? g : 0, rows ? 0 : g); !ok) return ok.error();
    if (auto ok = detail::check_scale(float(p.zero), "zero", rows ? g : 0, rows ? 0 : g); !ok) return ok.error();
  }
  return hqq_weights<F>{*std::move(to), from.meta};
}

/// The linear as an ordinary matrix of codes.
/// Errors: unsupported for axis 0 and for groups that cross rows: then only `groups` and decode_hqq show the weights.
template <hqq_storable F>
inline result<coded_matrix<F>> hqq_rows(hqq_weights<F> from) {
  if (from.meta.axis != 1 || from.meta.cols % std::uint64_t(F::group) != 0)
    return make_error(errc::unsupported, "groups of this HQQ linear are not runs of inputs",
                      "axis 1, inputs a multiple of the group")
        .about("axis")
        .with(from.meta.axis);
  from.groups.rows = static_cast<std::size_t>(from.meta.rows),
  from.groups.cols = static_cast<std::size_t>(from.meta.cols);
  return std::move(from.groups);
}

/// Writes the weights of a linear.  Needs: out has the linear's shape.
template <hqq_storable F>
inline void decode_hqq(const hqq_weights<F>& from, matrix_view<float> out) {
  const std::size_t groups = from.groups.rows, group = from.groups.cols,
                    cols = static_cast<std::size_t>(from.meta.cols);
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t i = 0; i < group; ++i) {
      const std::size_t flat = from.meta.axis == 1 ? g * group + i : i * groups + g;
      out(flat / cols, flat % cols) =
          F::value(from.groups.codes[g * group + i], from.groups.params[g], static_cast<int>(i));
    }
}

/// The tensors of a checkpoint; meta.rows, cols and axis say what `groups` means.
/// Errors: shape, malformed for codes over 2^bits - 1, out_of_memory.
template <hqq_storable F>
inline result<hqq_tensors> pack_hqq(const hqq_weights<F>& from) {
  using safetensors::dtype;
  using number = detail::stored_number<typename F::scale_t>;
  constexpr int bits = detail::hqq_stored_bits<F::bits>;
  using layout = detail::hqq_layout<bits>;
  const hqq_meta& m = from.meta;
  if (auto ok = detail::hqq_check<F>(m); !ok) return ok.error();
  const shape s = detail::hqq_shape(m);
  const bool rows = m.axis == 1;
  const std::size_t groups = rows ? s.rows : s.cols, group = rows ? s.cols : s.rows,
                    word_rows = detail::hqq_word_rows<F>(m);
  if (from.groups.rows != groups || from.groups.cols != group)
    return make_error(errc::shape, "the matrix has not one row for each group of the linear", "groups x group_size")
        .with(static_cast<std::int64_t>(from.groups.rows));
  if (auto ok = detail::check_codes(from.groups.codes.span(), F::bits, group); !ok) return ok.error();
  auto w_q = detail::make_tensor("W_q", bits == 3 ? dtype::i32 : dtype::u8, {word_rows, s.cols});
  auto scale = detail::make_tensor("scale", number::type, {rows ? groups : 1, rows ? 1 : groups});
  auto zero = detail::make_tensor("zero", number::type, {rows ? groups : 1, rows ? 1 : groups});
  auto line = buffer<std::uint8_t>::make(s.cols);
  auto codes = buffer<typename layout::template map<bits>::word>::zeros(word_rows * s.cols);
  if (!w_q) return w_q.error();
  if (!scale) return scale.error();
  if (!zero) return zero.error();
  if (!line) return line.error();
  if (!codes) return codes.error();
  const shape padded{word_rows * layout::template map<bits>::slabs, s.cols};
  for (std::size_t r = 0; r < s.rows; ++r) {
    for (std::size_t c = 0; c < s.cols; ++c) (*line)[c] = from.groups.codes[rows ? r * group + c : c * group + r];
    pack_row<layout, bits>(line->data(), codes->data(), padded, r, 0, s.cols);
  }
  for (std::size_t i = 0; i < codes->size(); ++i) {
    if constexpr (bits == 3)
      store_u32(w_q->bytes.data() + 4 * i, (*codes)[i]);
    else
      w_q->bytes[i] = static_cast<std::byte>((*codes)[i]);
  }
  for (std::size_t g = 0; g < groups; ++g) {
    detail::store_at(*scale, g, from.groups.params[g].scale);
    detail::store_at(*zero, g, from.groups.params[g].zero);
  }
  hqq_tensors to;
  to.w_q = *std::move(w_q), to.scale = *std::move(scale), to.zero = *std::move(zero);
  const auto add = [&to](const char* name, dtype type, std::string_view bytes, bool text) -> result<void> {
    auto t = text ? detail::make_tensor(name, type, {bytes.size()}) : detail::make_tensor(name, type, {});
    if (!t) return t.error();
    for (std::size_t i = 0; i < bytes.size(); ++i) t->bytes[i] = static_cast<std::byte>(bytes[i]);
    to.settings.push_back(*std::move(t));
    return {};
  };
  const std::pair<const char*, std::string_view> texts[] = {
      {"compute_dtype", m.compute_dtype},
      {"packing", detail::hqq_packing(F::bits)},
      {"unpack_view_dtype", bits == 3 ? "torch.int32" : "torch.uint8"},
  };
  for (const auto& [name, text] : texts)
    if (auto ok = add(name, dtype::u8, text, true); !ok) return ok.error();
  const std::pair<const char*, bool> flags[] = {
      {"channel_wise", m.channel_wise}, {"encoded_state_dict", true},  {"offload_meta", m.offload_meta},
      {"optimize", m.optimize},         {"quant_scale", false},        {"quant_zero", false},
      {"round_zero", m.round_zero},     {"stores_quant_config", true}, {"view_as_float", false}};
  for (const auto& [name, set] : flags)
    if (auto ok = add(name, dtype::u8, set ? std::string_view("\1", 1) : std::string_view("\0", 1), false); !ok)
      return ok.error();
  const std::pair<const char*, std::int64_t> numbers[] = {{"axis", m.axis}, {"group_size", m.group}, {"nbits", m.bits}};
  for (const auto& [name, n] : numbers) {
    auto t = detail::make_tensor(name, dtype::i32, {});
    if (!t) return t.error();
    store_u32(t->bytes.data(), static_cast<std::uint32_t>(n));
    to.settings.push_back(*std::move(t));
  }
  auto size = detail::make_tensor("shape", dtype::i64, {2});
  if (!size) return size.error();
  store_u64(size->bytes.data(), m.rows), store_u64(size->bytes.data() + 8, m.cols);
  to.settings.push_back(*std::move(size));
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
