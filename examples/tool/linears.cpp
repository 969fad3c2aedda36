// tool/linears.cpp — reading and writing of linears, and their way into ggml's blocks and out of them.
// SPDX-License-Identifier: MIT
#include "linears.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/io/awq_config.hpp>
#include <nbit/io/bnb_checkpoint.hpp>
#include <nbit/io/compressed_config.hpp>
#include <nbit/io/compressed_floats.hpp>
#include <nbit/io/compressed_tensors.hpp>
#include <nbit/io/gptq_checkpoint.hpp>

#include "failure.hpp"

namespace tool {
namespace {

using nbit::safetensors::dtype;

template <int Bits, int Group, nbit::scale_type Scale>
struct integers : nbit::uniform<nbit::scheme{
                      .bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric, .scale = Scale}> {};

template <int Value>
struct constant {
  static constexpr int value = Value;
};

/// Calls f with the compiled width and group.  Failure: others.
template <class F>
auto with_group(std::int64_t group, const F& f) {
  switch (group) {
    case 32: return f(constant<32>{});
    case 64: return f(constant<64>{});
    case 128: return f(constant<128>{});
    case -1: return f(constant<nbit::per_row>{});
    default: break;
  }
  throw failure{bad_input, "group_size: found " + std::to_string(group) + "; allowed: 32, 64, 128, -1"};
}
template <class F>
auto with_format(int bits, std::int64_t group, const F& f) {
  const auto inner = [&](auto b) { return with_group(group, [&](auto g) { return f(b, g); }); };
  switch (bits) {
    case 2: return inner(constant<2>{});
    case 3: return inner(constant<3>{});
    case 4: return inner(constant<4>{});
    case 8: return inner(constant<8>{});
    default: break;
  }
  throw failure{bad_input, "bits: found " + std::to_string(bits) + "; allowed: 2, 3, 4, 8"};
}

template <class F>
integer_linear flat(const nbit::coded_matrix<F>& from, std::int64_t group, nbit::scale_type scale) {
  integer_linear to;
  to.rows = from.rows, to.cols = from.cols, to.bits = F::bits, to.group = group, to.scale = scale;
  to.codes.assign(from.codes.begin(), from.codes.end());
  for (const auto& p : from.params) {
    to.scales.push_back(float(p.scale));
    to.zeros.push_back(static_cast<std::uint8_t>(p.zero));
  }
  to.group_of.assign(from.group_index.begin(), from.group_index.end());
  return to;
}

/// The same codes in a compiled format. Scales that its type cannot hold are rounded, which `report` says.
template <class F>
nbit::coded_matrix<F> coded(const integer_linear& from, nbit::transcode_report& report) {
  auto to = need(nbit::coded_matrix<F>::make({from.rows, from.cols}));
  std::copy(from.codes.begin(), from.codes.end(), to.codes.begin());
  const std::size_t groups = from.groups(), length = from.group < 0 ? from.cols : static_cast<std::size_t>(from.group);
  report.weights = from.rows * from.cols;
  for (std::size_t i = 0; i < from.scales.size(); ++i) {
    auto& p = to.params[i];
    p.scale = nbit::detail::scale_storage<F::scheme.scale>::from(from.scales[i]);
    p.zero = static_cast<decltype(p.zero)>(from.zeros[i]);
    const double moved = std::fabs(static_cast<double>(float(p.scale)) - static_cast<double>(from.scales[i]));
    if (moved == 0.0) continue;
    report.changed += std::min(length, from.cols - i % groups * length);
    const double steps = moved / std::fabs(static_cast<double>(from.scales[i])) * (1 << from.bits);
    if (steps > report.worst_steps)
      report.worst_steps = steps, report.row = i / groups, report.col = i % groups * length;
    report.kind = nbit::fidelity::rounded;
  }
  if (!from.group_of.empty()) {
    auto index = need(nbit::buffer<std::uint32_t>::make(from.cols));
    std::copy(from.group_of.begin(), from.group_of.end(), index.begin());
    to.group_index = std::move(index);
  }
  return to;
}

/// A scale tensor as F32, exactly; `was` is what it was.
nbit::stored_tensor wide_scale(nbit::stored_tensor t, std::vector<std::byte>& memory, nbit::scale_type& was) {
  was = t.type == dtype::f16    ? nbit::scale_type::f16
        : t.type == dtype::bf16 ? nbit::scale_type::bf16
                                : nbit::scale_type::f32;
  if (was == nbit::scale_type::f32) return t;
  memory.resize(t.bytes.size() * 2);
  for (std::size_t i = 0; i + 1 < t.bytes.size(); i += 2)
    nbit::store_f32(memory.data() + 2 * i, was == nbit::scale_type::f16
                                               ? float(nbit::load_f16(t.bytes.data() + i))
                                               : float(nbit::bf16::from_bits(nbit::load_u16(t.bytes.data() + i))));
  t.type = dtype::f32, t.bytes = memory;
  return t;
}

/// An F32 scale tensor in a narrower type; the report says if a scale had to be rounded.
void narrow_scale(nbit::owned_tensor& t, nbit::scale_type to, int bits, nbit::transcode_report& report) {
  if (to == nbit::scale_type::f32) return;
  auto narrow = need(nbit::buffer<std::byte>::make(t.bytes.size() / 2));
  for (std::size_t i = 0; i < t.bytes.size() / 4; ++i) {
    const float v = nbit::load_f32(t.bytes.data() + 4 * i);
    const bool half = to == nbit::scale_type::f16;
    const std::uint16_t raw = half ? nbit::f16::from(v).bits : nbit::bf16::from(v).bits;
    nbit::store_u16(narrow.data() + 2 * i, raw);
    const float now = half ? float(nbit::f16::from_bits(raw)) : float(nbit::bf16::from_bits(raw));
    if (now == v) continue;
    report.kind = nbit::fidelity::rounded;
    report.worst_steps = std::max(
        report.worst_steps, std::fabs(static_cast<double>(now - v)) / std::fabs(static_cast<double>(v)) * (1 << bits));
    ++report.changed;
  }
  t.type = to == nbit::scale_type::f16 ? dtype::f16 : dtype::bf16;
  t.bytes = std::move(narrow);
}

nbit::awq_packing packing_of(spelling s) {
  return s == spelling::awq_gemv        ? nbit::awq_packing::gemv
         : s == spelling::awq_gemv_fast ? nbit::awq_packing::gemv_fast
                                        : nbit::awq_packing::gemm;
}
bool is_gptq(spelling s) { return s == spelling::gptq_v1 || s == spelling::gptq_v2; }
bool is_awq(spelling s) { return s == spelling::awq_gemm || s == spelling::awq_gemv || s == spelling::awq_gemv_fast; }
bool is_ct_int(spelling s) { return s == spelling::compressed || s == spelling::compressed_int; }
nbit::gptq_zeros zeros_of(spelling s) {
  return s == spelling::gptq_v2 ? nbit::gptq_zeros::plain : nbit::gptq_zeros::minus_one;
}

std::size_t dimension(const nbit::stored_tensor& t, std::size_t i, const std::string& name) {
  if (!t.present || t.rank != 2)
    throw failure{bad_input, "'" + name + "': a tensor of the linear is missing or has not two dimensions"};
  return static_cast<std::size_t>(t.shape[i]);
}

nbit::gptq_linear gptq_view(const tensor_finder& find, const std::string& name) {
  const auto w = find("qweight"), z = find("qzeros"), s = find("scales"), g = find("g_idx");
  for (const auto& [t, type] : {std::pair{w, dtype::i32}, {z, dtype::i32}, {s, dtype::f16}})
    if (!t.present || t.type != type)
      throw failure{bad_input, "'" + name + "': qweight, qzeros or scales (allowed: I32, I32 and F16 tensors)"};
  const std::size_t inputs = g.present ? g.bytes.size() / 4 : 0;
  return {inputs, dimension(w, 1, name), dimension(s, 0, name), w.bytes, z.bytes, s.bytes, g.bytes};
}

template <class F>
dense_linear decoded(const nbit::coded_matrix<F>& q) {
  dense_linear d{q.rows, q.cols, std::vector<float>(q.rows * q.cols)};
  nbit::detail::decode_matrix(q, {d.values.data(), d.rows, d.cols});
  return d;
}

template <class F>
std::optional<dense_linear> bnb_as(const nbit::bnb_linear& from, const nbit::bnb_state& state,
                                   const std::string& name) {
  const auto read = need(nbit::unpack_bnb<F>(from), "'" + name + "'");
  dense_linear d = decoded(read.weights);
  d.rows = static_cast<std::size_t>(state.rows), d.cols = static_cast<std::size_t>(state.cols);
  return d;
}

template <int Block>
std::optional<dense_linear> bnb_block(const nbit::bnb_linear& from, const nbit::bnb_state& state,
                                      const std::string& name) {
  return state.quant_type == "nf4" ? bnb_as<nbit::nf4_blocks<Block>>(from, state, name)
                                   : bnb_as<nbit::fp4_blocks<Block>>(from, state, name);
}

dense_linear bnb_floats(const tensor_finder& find, const std::string& name) {
  nbit::stored_tensor state = find("weight.quant_state.bitsandbytes__nf4");
  if (!state.present) state = find("weight.quant_state.bitsandbytes__fp4");
  if (!state.present) throw failure{bad_input, "'" + name + "': the linear lacks quant_state (allowed: NF4 or FP4)"};
  const nbit::bnb_linear from{find("weight"), find("weight.absmax"),        find("weight.quant_map"),
                              state,          find("weight.nested_absmax"), find("weight.nested_quant_map")};
  const nbit::bnb_state s = need(nbit::read_bnb_state(state.bytes), "'" + name + "'");
  std::optional<dense_linear> d;
  if (s.block == 64) d = bnb_block<64>(from, s, name);
  if (s.block == 128) d = bnb_block<128>(from, s, name);
  if (s.block == 256) d = bnb_block<256>(from, s, name);
  if (!d)
    throw failure{bad_input,
                  "'" + name + "': block size (found " + std::to_string(s.block) + ", allowed: 64, 128, 256)"};
  return *std::move(d);
}

}  // namespace

const char* name_of(spelling s) {
  switch (s) {
    case spelling::gptq_v1: return "gptq";
    case spelling::gptq_v2: return "gptq_v2";
    case spelling::awq_gemm: return "awq";
    case spelling::awq_gemv: return "awq_gemv";
    case spelling::awq_gemv_fast: return "awq_gemv_fast";
    case spelling::compressed: return "compressed-tensors";
    case spelling::compressed_int: return "compressed-tensors-int";
    case spelling::compressed_fp8: return "compressed-tensors-fp8";
    case spelling::compressed_nvfp4: return "compressed-tensors-nvfp4";
    case spelling::compressed_mxfp4: return "compressed-tensors-mxfp4";
    case spelling::bitsandbytes: return "bitsandbytes";
    case spelling::hqq: return "hqq";
  }
  return "?";
}

bool integer_linear::symmetric() const {
  return std::all_of(zeros.begin(), zeros.end(), [this](std::uint8_t z) { return z == 1u << (bits - 1); });
}

std::vector<float> integer_linear::values() const {
  std::vector<float> w(rows * cols);
  const std::size_t n = groups(), length = group < 0 ? cols : static_cast<std::size_t>(group);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t g = r * n + (group_of.empty() ? c / length : group_of[c]);
      w[r * cols + c] = static_cast<float>(int{codes[r * cols + c]} - int{zeros[g]}) * scales[g];
    }
  return w;
}

linear_format read_format(const nbit::json_value& config) {
  const nbit::json_value* const inside = config.find("quantization_config");
  const nbit::json_value& q = inside != nullptr ? *inside : config;
  linear_format f;
  const nbit::json_value* const method = q.find("quant_method");
  const std::string_view name = method != nullptr ? method->text() : q.find("w_bit") != nullptr ? "awq" : "gptq";
  if (name == "awq") {
    const nbit::awq_config c = need(nbit::read_awq_config(q), "quantization_config");
    f.spelling = c.packing == nbit::awq_packing::gemm   ? spelling::awq_gemm
                 : c.packing == nbit::awq_packing::gemv ? spelling::awq_gemv
                                                        : spelling::awq_gemv_fast;
    f.bits = c.bits, f.group = c.group, f.symmetric = !c.zero_point;
  } else if (name == "compressed-tensors") {
    const nbit::ct_config c = need(nbit::read_ct_config(q), "quantization_config");
    if (c.groups.size() != 1)
      throw failure{bad_input, "config_groups: found " + std::to_string(c.groups.size()) + " groups; allowed: 1"};
    const nbit::ct_scheme& s = c.groups[0].weights;
    if (s.strategy == nbit::ct_strategy::tensor && !s.floating)
      throw failure{bad_input, "config_groups: strategy (found tensor, allowed: group or channel)"};
    f.bits = s.bits, f.group = s.strategy == nbit::ct_strategy::group ? s.group : -1, f.symmetric = s.symmetric;
    switch (s.format) {
      case nbit::ct_format::pack_quantized: f.spelling = spelling::compressed; break;
      case nbit::ct_format::nvfp4_pack_quantized: f.spelling = spelling::compressed_nvfp4; break;
      case nbit::ct_format::mxfp4_pack_quantized: f.spelling = spelling::compressed_mxfp4; break;
      default: f.spelling = s.floating ? spelling::compressed_fp8 : spelling::compressed_int;
    }
    if (f.spelling == spelling::compressed_fp8 && s.strategy != nbit::ct_strategy::channel)
      throw failure{bad_input, "config_groups: strategy of FP8 weights (allowed: channel)"};
  } else if (name == "bitsandbytes") {
    if (!q.get<bool>("load_in_4bit").value_or(false))
      throw failure{bad_input, "quantization_config: load_in_4bit (allowed: true, NF4 or FP4)"};
    f.spelling = spelling::bitsandbytes;
  } else if (name == "hqq" || (method == nullptr && q.find("nbits") != nullptr)) {
    f.spelling = spelling::hqq;
  } else {
    const nbit::gptq_config c = need(nbit::read_gptq_config(q), "quantization_config");
    f.spelling = c.zeros == nbit::gptq_zeros::plain ? spelling::gptq_v2 : spelling::gptq_v1;
    f.bits = c.bits, f.group = c.group, f.symmetric = c.symmetric;
  }
  return f;
}

const char* first_tensor(spelling s) {
  if (is_gptq(s) || is_awq(s)) return "qweight";
  switch (s) {
    case spelling::compressed:
    case spelling::compressed_nvfp4:
    case spelling::compressed_mxfp4: return "weight_packed";
    case spelling::compressed_int:
    case spelling::compressed_fp8: return "weight_scale";
    case spelling::bitsandbytes: return "weight.absmax";
    default: return "W_q";
  }
}

bool belongs(spelling s, std::string_view end) {
  const auto one_of = [end](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), end) != names.end();
  };
  if (is_gptq(s) || is_awq(s)) return one_of({"qweight", "qzeros", "scales", "g_idx"});
  switch (s) {
    case spelling::compressed:
      return one_of({"weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"});
    case spelling::compressed_nvfp4:
    case spelling::compressed_mxfp4: return one_of({"weight_packed", "weight_scale", "weight_global_scale"});
    case spelling::compressed_int:
    case spelling::compressed_fp8: return one_of({"weight", "weight_scale", "weight_zero_point", "weight_g_idx"});
    case spelling::bitsandbytes: return end == "weight" || end.substr(0, 7) == "weight.";
    default: return end != "bias";  // HQQ keeps its settings as tensors
  }
}

std::optional<integer_linear> read_integers(const linear_format& f, const tensor_finder& find,
                                            const std::string& name) {
  const std::string where = "'" + name + "'";
  if (is_gptq(f.spelling)) {
    nbit::gptq_linear from = gptq_view(find, name);
    // Without g_idx the number of inputs follows from the words.
    if (from.inputs == 0) from.inputs = dimension(find("qweight"), 0, name) * 32 / static_cast<std::size_t>(f.bits);
    return with_format(f.bits, f.group, [&](auto b, auto g) {
      using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f16>;
      return flat(need(nbit::unpack_gptq<F>(from, zeros_of(f.spelling)), where), f.group, nbit::scale_type::f16);
    });
  }
  if (is_awq(f.spelling)) {
    const nbit::awq_linear from{find("qweight"), find("qzeros"), find("scales")};
    return with_group(f.group, [&](auto g) {
      using F = integers<4, decltype(g)::value, nbit::scale_type::f16>;
      return flat(need(nbit::unpack_awq<F>(from, packing_of(f.spelling)), where), f.group, nbit::scale_type::f16);
    });
  }
  if (is_ct_int(f.spelling)) {
    const bool packed = f.spelling == spelling::compressed;
    std::vector<std::byte> memory;
    nbit::scale_type scale{};
    const nbit::ct_linear from{find(packed ? "weight_packed" : "weight"),
                               wide_scale(find("weight_scale"), memory, scale), find("weight_zero_point"),
                               find("weight_shape"), find("weight_g_idx")};
    return with_format(f.bits, f.group, [&](auto b, auto g) {
      using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f32>;
      return flat(
          need(nbit::unpack_ct<F>(from, packed ? nbit::ct_packing::pack_quantized : nbit::ct_packing::int_quantized),
               where),
          f.group, scale);
    });
  }
  return std::nullopt;
}

dense_linear read_floats(const linear_format& f, const tensor_finder& find, const std::string& name) {
  const std::string where = "'" + name + "'";
  if (const auto integers = read_integers(f, find, name)) return {integers->rows, integers->cols, integers->values()};
  const nbit::ct_fp4_linear fp4{find("weight_packed"), find("weight_scale"), find("weight_global_scale")};
  switch (f.spelling) {
    case spelling::compressed_nvfp4: {
      const auto read = need(nbit::unpack_ct_nvfp4(fp4), where);
      return decoded(need(nbit::scaled_nvfp4(read), where));
    }
    case spelling::compressed_mxfp4: return decoded(need(nbit::unpack_ct_mxfp4(fp4), where));
    case spelling::compressed_fp8: {
      std::vector<std::byte> memory;
      nbit::scale_type scale{};
      const nbit::ct_linear from{find("weight"), wide_scale(find("weight_scale"), memory, scale), {}, {}, {}};
      struct fp8 : nbit::float_codes<nbit::f8_e4m3, nbit::per_row, nbit::scale_type::f32> {};
      return decoded(need(nbit::unpack_ct_fp8<fp8>(from), where));
    }
    case spelling::bitsandbytes: return bnb_floats(find, name);
    default: break;
  }
  throw failure{bad_input, where + ": linears of this kind are not decoded here (found " + name_of(f.spelling) + ")"};
}

written_linear write_integers(const linear_format& f, const integer_linear& from, const std::string& name) {
  const std::string where = "'" + name + "'";
  written_linear to;
  const auto take = [&to](nbit::owned_tensor&& t) {
    if (t.present()) to.tensors.push_back(std::move(t));
  };
  if (is_gptq(f.spelling)) {
    with_format(from.bits, from.group, [&](auto b, auto g) {
      using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f16>;
      auto made = need(nbit::pack_gptq(coded<F>(from, to.report), zeros_of(f.spelling)), where);
      const std::uint64_t n = from.rows, k = from.cols, bits = static_cast<std::uint64_t>(from.bits),
                          groups = from.groups();
      const auto tensor = [&](const char* part, dtype type, std::uint64_t rows, std::uint64_t cols, auto& bytes) {
        nbit::owned_tensor t;
        t.name = part, t.type = type, t.rank = cols == 0 ? 1 : 2, t.shape = {rows, cols, 0, 0},
        t.bytes = std::move(bytes);
        to.tensors.push_back(std::move(t));
      };
      tensor("qweight", dtype::i32, k / 32 * bits, n, made.qweight);
      tensor("qzeros", dtype::i32, groups, n * bits / 32, made.qzeros);
      tensor("g_idx", dtype::i32, k, 0, made.g_idx);
      tensor("scales", dtype::f16, groups, n, made.scales);
      return 0;
    });
    return to;
  }
  if (is_awq(f.spelling)) {
    if (from.bits != 4)
      throw failure{bad_input,
                    where + ": bits of an AWQ checkpoint (found " + std::to_string(from.bits) + ", allowed: 4)"};
    with_group(from.group, [&](auto g) {
      using F = integers<4, decltype(g)::value, nbit::scale_type::f16>;
      auto made = need(nbit::pack_awq(coded<F>(from, to.report), packing_of(f.spelling)), where);
      take(std::move(made.qweight)), take(std::move(made.qzeros)), take(std::move(made.scales));
      return 0;
    });
    return to;
  }
  if (is_ct_int(f.spelling)) {
    with_format(from.bits, from.group, [&](auto b, auto g) {
      using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f32>;
      auto made = need(nbit::pack_ct(coded<F>(from, to.report), f.spelling == spelling::compressed
                                                                    ? nbit::ct_packing::pack_quantized
                                                                    : nbit::ct_packing::int_quantized),
                       where);
      narrow_scale(made.weight_scale, from.scale, from.bits, to.report);
      take(std::move(made.weight)), take(std::move(made.weight_scale));
      if (!from.symmetric()) take(std::move(made.weight_zero_point));
      take(std::move(made.weight_shape)), take(std::move(made.weight_g_idx));
      return 0;
    });
    return to;
  }
  throw failure{wrong_usage, std::string("--to: '") + name_of(f.spelling) + "' holds no integers"};
}

written_blocks blocks_of_integers(nbit::ggml_type type, const integer_linear& from, const std::string& name) {
  // Any width and group as codes of 8 bits in groups of 32: the same numbers, and one format to transcode from.
  using wide = integers<8, 32, nbit::scale_type::f32>;
  const auto refused = [](const char* reason) {
    written_blocks to;
    to.report.kind = nbit::fidelity::refused, to.report.reason = reason;
    return to;
  };
  if (!from.group_of.empty()) return refused("the groups are reordered (act-order), and blocks hold neighbours");
  if (from.cols % 32 != 0 || (from.group > 0 && from.group % 32 != 0))
    return refused("groups do not fill blocks of 32");
  auto q = need(nbit::coded_matrix<wide>::make({from.rows, from.cols}));
  std::copy(from.codes.begin(), from.codes.end(), q.codes.begin());
  const std::size_t groups = from.groups(), length = from.group < 0 ? from.cols : static_cast<std::size_t>(from.group);
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t g = 0; g < from.cols / 32; ++g) {
      const std::size_t at = r * groups + g * 32 / length;
      auto& p = q.params[q.params_index(r, g)];
      p.scale = from.scales[at], p.zero = static_cast<decltype(p.zero)>(from.zeros[at]);
    }
  const auto as = [&]<class To>(To) {
    auto done = need(nbit::try_transcode<To>(q), "'" + name + "'");
    written_blocks to;
    to.report = done.report;
    if (done.report.kind == nbit::fidelity::refused) return to;
    const auto packed = need(nbit::pack_codes<nbit::blocks>(done.weights), "'" + name + "'");
    to.bytes.assign(packed.bytes.begin(), packed.bytes.end());
    return to;
  };
  switch (type) {
    case nbit::ggml_type::q4_0: return as(nbit::q4_0{});
    case nbit::ggml_type::q4_1: return as(nbit::q4_1{});
    case nbit::ggml_type::q5_0: return as(nbit::q5_0{});
    case nbit::ggml_type::q5_1: return as(nbit::q5_1{});
    case nbit::ggml_type::q8_0: return as(nbit::q8_0{});
    default: return refused("integers go into Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 only");
  }
}

std::optional<integer_linear> integers_of_blocks(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s,
                                                 const std::string& name) {
  const auto as = [&]<class F>(F, int bits) {
    const auto q = need(nbit::unpack_codes(nbit::packed_view<F>(bytes, s)), "'" + name + "'");
    integer_linear to;
    to.rows = s.rows, to.cols = s.cols, to.bits = bits, to.group = 32;
    to.codes.assign(q.codes.begin(), q.codes.end());
    // Code 0 means -2^(bits-1) scales in these types.
    for (const auto& p : q.params) {
      to.scales.push_back(float(p.d));
      to.zeros.push_back(static_cast<std::uint8_t>(1u << (bits - 1)));
    }
    return to;
  };
  switch (type) {
    case nbit::ggml_type::q4_0: return as(nbit::q4_0{}, 4);
    case nbit::ggml_type::q8_0: return as(nbit::q8_0{}, 8);
    default: return std::nullopt;
  }
}

std::vector<std::byte> mxfp4_blocks(const tensor_finder& find, const std::string& name) {
  const auto q = need(nbit::unpack_ct_mxfp4({find("weight_packed"), find("weight_scale"), {}}), "'" + name + "'");
  const auto packed = need(nbit::pack_codes<nbit::blocks>(q), "'" + name + "'");
  return {packed.bytes.begin(), packed.bytes.end()};
}

nbit::json_value format_json(const linear_format& f, const nbit::json_value& before) {
  if (is_gptq(f.spelling)) return nbit::gptq_config_json({f.bits, f.group, f.symmetric, false, zeros_of(f.spelling)});
  if (is_awq(f.spelling)) {
    const bool same = before.find("quant_method") != nullptr && before.find("quant_method")->text() == "awq";
    return nbit::awq_config_json({f.bits, f.group, true, packing_of(f.spelling)},
                                 same ? before : nbit::json_value::object());
  }
  nbit::ct_group g;
  g.name = "group_0", g.targets = {"Linear"};
  g.weights.format =
      f.spelling == spelling::compressed ? nbit::ct_format::pack_quantized : nbit::ct_format::int_quantized;
  g.weights.bits = f.bits, g.weights.symmetric = f.symmetric;
  g.weights.strategy = f.group < 0 ? nbit::ct_strategy::channel : nbit::ct_strategy::group;
  g.weights.group = f.group;
  nbit::ct_config c;
  c.groups.push_back(std::move(g)), c.ignore = {"lm_head"};
  const bool same =
      before.find("quant_method") != nullptr && before.find("quant_method")->text() == "compressed-tensors";
  return nbit::ct_config_json(c, same ? before : nbit::json_value::object());
}

}  // namespace tool
