// nbit/io/hqq_checkpoint.hpp — a linear as HQQ stores it: codes, scales and fractional zeros, and its settings as
// tensors.
//
// HQQ cuts the weights, taken row by row, into groups: a matrix [groups, group] for axis 1, [group, groups] for axis 0,
// where a group's weights lie `groups` apart. Both the codes and the parameters keep that matrix's shape.
//   W_q     u8 [R / (8 / b), C]   8, 4, 2, 1 bits (5 and 6 in whole bytes): layout/hqq_slabs.hpp
//           i32 [R / 10, C]       3 bits: ten slabs of rows, the first at bit 27, rows rounded up with zeros
//   scale, zero  f32, f16 or bf16 [groups, 1] or [1, groups]          w = scale * (code - zero)
//   nbits, group_size, axis i32; shape i64 [2]; packing, compute_dtype u8 text; flags u8
// Ref: HQQ 0.2.8 (Apache-2.0)
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_HQQ_CHECKPOINT_HPP
#define NBIT_IO_HQQ_CHECKPOINT_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
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
#include <nbit/io/checkpoint_check.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/hqq_settings.hpp>

namespace nbit {

/// Formats that an HQQ checkpoint can hold: uniform with a fractional zero, groups of a fixed size.
template <class F>
concept hqq_storable = grid_format<F> && requires {
  { F::scheme } -> std::convertible_to<scheme>;
} && F::scheme.symmetry == symmetry::asymmetric_float && F::group > 0 && F::bits != 7;

inline namespace NBIT_TAG {

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

template <int Bits>
using hqq_layout = std::conditional_t<Bits == 3, hqq_ten_slabs, hqq_slabs>;

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
  const bool words = bits == 3, rows = from.meta.axis == 1;
  const shape s = detail::hqq_shape(from.meta);
  const std::size_t groups = rows ? s.rows : s.cols, group = rows ? s.cols : s.rows;
  const detail::wanted_dimension many{groups, "the groups"}, one{1, "1"};
  detail::attempts all;
  all(detail::check_tensor(from.w_q, "W_q", words ? dtype::i32 : dtype::u8,
                           {{detail::hqq_word_rows<F>(from.meta), "the matrix's rows by the codes in a word"},
                            {s.cols, "the matrix's columns"}}));
  all(detail::check_tensor(from.scale, "scale", number::type, {rows ? many : one, rows ? one : many}));
  all(detail::check_tensor(from.zero, "zero", number::type, {rows ? many : one, rows ? one : many}));
  if (all.failed()) return all.first();
  auto to = all(coded_matrix<F>::make({groups, group}));
  auto line = all(buffer<std::uint8_t>::make(s.cols));
  auto codes = all(buffer<typename layout::template map<bits>::word>::make(from.w_q.bytes.size() / (words ? 4 : 1)));
  if (all.failed()) return all.first();
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if constexpr (bits == 3)
      codes[i] = load_u32(from.w_q.bytes.data() + 4 * i);
    else
      codes[i] = std::to_integer<std::uint8_t>(from.w_q.bytes[i]);
  }
  const shape padded{detail::hqq_word_rows<F>(from.meta) * layout::template map<bits>::slabs, s.cols};
  for (std::size_t r = 0; r < s.rows; ++r) {
    unpack_row<layout, bits>(codes.data(), padded, r, 0, s.cols, line.data());
    for (std::size_t c = 0; c < s.cols; ++c) {
      if (line[c] >> F::bits != 0)
        return make_error(errc::malformed, "a code does not fit its width", "0 to 2^bits - 1")
            .about("W_q")
            .at(static_cast<std::int64_t>(r), static_cast<std::int64_t>(c))
            .with(line[c]);
      to.codes[rows ? r * group + c : c * group + r] = line[c];
    }
  }
  for (std::size_t g = 0; g < groups; ++g) {
    typename F::params& p = to.params[g];
    p.scale = detail::load_at<scale_t>(from.scale, g), p.zero = detail::load_at<scale_t>(from.zero, g);
    if (auto ok = detail::check_scale(float(p.scale), "scale", rows ? g : 0, rows ? 0 : g); !ok) return ok.error();
    if (auto ok = detail::check_scale(float(p.zero), "zero", rows ? g : 0, rows ? 0 : g); !ok) return ok.error();
  }
  return hqq_weights<F>{std::move(to), from.meta};
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
  detail::attempts all;
  hqq_tensors to;
  const std::size_t down = rows ? groups : 1, across = rows ? 1 : groups;
  to.w_q = all(detail::make_tensor("W_q", bits == 3 ? dtype::i32 : dtype::u8, {word_rows, s.cols}));
  to.scale = all(detail::make_tensor("scale", number::type, {down, across}));
  to.zero = all(detail::make_tensor("zero", number::type, {down, across}));
  auto line = all(buffer<std::uint8_t>::make(s.cols));
  auto codes = all(buffer<typename layout::template map<bits>::word>::zeros(word_rows * s.cols));
  if (all.failed()) return all.first();
  const shape padded{word_rows * layout::template map<bits>::slabs, s.cols};
  for (std::size_t r = 0; r < s.rows; ++r) {
    for (std::size_t c = 0; c < s.cols; ++c) line[c] = from.groups.codes[rows ? r * group + c : c * group + r];
    pack_row<layout, bits>(line.data(), codes.data(), padded, r, 0, s.cols);
  }
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if constexpr (bits == 3)
      store_u32(to.w_q.bytes.data() + 4 * i, codes[i]);
    else
      to.w_q.bytes[i] = static_cast<std::byte>(codes[i]);
  }
  for (std::size_t g = 0; g < groups; ++g) {
    detail::store_at(to.scale, g, from.groups.params[g].scale);
    detail::store_at(to.zero, g, from.groups.params[g].zero);
  }
  const auto add = [&](const char* name, dtype type, std::initializer_list<std::size_t> size) -> std::byte* {
    to.settings.push_back(all(detail::make_tensor(name, type, size)));
    return to.settings.back().bytes.data();
  };
  const std::pair<const char*, std::string_view> texts[] = {
      {"compute_dtype", m.compute_dtype},
      {"packing", detail::hqq_packing(F::bits)},
      {"unpack_view_dtype", bits == 3 ? "torch.int32" : "torch.uint8"},
  };
  const std::pair<const char*, bool> flags[] = {
      {"channel_wise", m.channel_wise}, {"encoded_state_dict", true},  {"offload_meta", m.offload_meta},
      {"optimize", m.optimize},         {"quant_scale", false},        {"quant_zero", false},
      {"round_zero", m.round_zero},     {"stores_quant_config", true}, {"view_as_float", false}};
  const std::pair<const char*, std::int64_t> numbers[] = {{"axis", m.axis}, {"group_size", m.group}, {"nbits", m.bits}};
  for (const auto& [name, text] : texts)
    if (std::byte* const at = add(name, dtype::u8, {text.size()}); !all.failed())
      std::memcpy(at, text.data(), text.size());
  for (const auto& [name, set] : flags)
    if (std::byte* const at = add(name, dtype::u8, {}); !all.failed()) *at = static_cast<std::byte>(set);
  for (const auto& [name, n] : numbers)
    if (std::byte* const at = add(name, dtype::i32, {}); !all.failed()) store_u32(at, static_cast<std::uint32_t>(n));
  if (std::byte* const at = add("shape", dtype::i64, {2}); !all.failed())
    store_u64(at, m.rows), store_u64(at + 8, m.cols);
  if (all.failed()) return all.first();
  return to;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
