// tool/linears.cpp — the spellings of checkpoints, their configs, and linears of integers in them.
// SPDX-License-Identifier: MIT
#include "linears.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <span>
#include <utility>

#include <nbit/format/uniform.hpp>
#include <nbit/tensor/coded_matrix.hpp>
#include <nbit/io/awq_checkpoint.hpp>
#include <nbit/io/awq_config.hpp>
#include <nbit/io/compressed_config.hpp>
#include <nbit/io/compressed_tensors.hpp>
#include <nbit/io/gptq_checkpoint.hpp>
#include <nbit/io/gptq_planar_checkpoint.hpp>
#include <nbit/io/hqq_checkpoint.hpp>

#include "failure.hpp"
#include "linear_parts.hpp"
#include "source.hpp"

namespace tool {
namespace {

using nbit::safetensors::dtype;

template <int Bits, int Group, nbit::scale_type Scale, nbit::symmetry Symmetry = nbit::symmetry::asymmetric>
struct integers : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = Symmetry, .scale = Scale}> {};

/// Calls f with the compiled group.  Failure: others.
template <class F>
auto with_group(std::int64_t group, const F& f) {
  return with_one_of<32, 64, 128, -1>("group_size", group, [&](auto g) {
    return f(constant < decltype(g)::value == -1 ? nbit::per_row : decltype(g)::value > {});
  });
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
    if constexpr (std::is_integral_v<decltype(p.zero)>)
      p.zero = from.zeros[i];
    else
      p.zero = nbit::detail::scale_storage<F::scheme.scale>::from(static_cast<float>(from.zeros[i]));
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
bool is_awq(spelling s) { return s == spelling::awq_gemm || s == spelling::awq_gemv || s == spelling::awq_gemv_fast; }
bool is_ct_int(spelling s) { return s == spelling::compressed || s == spelling::compressed_int; }
nbit::gptq_zeros zeros_of(spelling s) {
  return s == spelling::gptq_v2 ? nbit::gptq_zeros::plain : nbit::gptq_zeros::minus_one;
}
nbit::ct_packing ct_packing_of(spelling s) {
  return s == spelling::compressed ? nbit::ct_packing::pack_quantized : nbit::ct_packing::int_quantized;
}

constexpr char gptq_parts[] = "qweight qzeros scales g_idx", awq_parts[] = "qweight qzeros scales",
               fp4_parts[] = "weight_packed weight_scale weight_global_scale";
constexpr spelling_info all_spellings[] = {
    {spelling::gptq_v1, "gptq", "qweight", gptq_parts, true},
    {spelling::gptq_v2, "gptq_v2", "qweight", gptq_parts, true},
    {spelling::gptq_planar, "gptq_planar", "qweight", gptq_parts, true},
    {spelling::awq_gemm, "awq", "qweight", awq_parts, true},
    {spelling::awq_gemv, "awq_gemv", "qweight", awq_parts, true},
    {spelling::awq_gemv_fast, "awq_gemv_fast", "qweight", awq_parts, true},
    {spelling::compressed, "compressed-tensors", "weight_packed",
     "weight_packed weight_scale weight_zero_point weight_shape weight_g_idx", true},
    {spelling::compressed_int, "compressed-tensors-int", "weight_scale",
     "weight weight_scale weight_zero_point weight_g_idx", true},
    {spelling::compressed_fp8, "compressed-tensors-fp8", "weight_scale", "weight weight_scale", false},
    {spelling::compressed_nvfp4, "compressed-tensors-nvfp4", "weight_packed", fp4_parts, false},
    {spelling::compressed_mxfp4, "compressed-tensors-mxfp4", "weight_packed", fp4_parts, false},
    {spelling::bitsandbytes, "bitsandbytes", "weight.absmax", "weight weight.*", false},
    {spelling::bitsandbytes_int8, "bitsandbytes-int8", "SCB", "weight SCB weight_format", false},
    {spelling::hqq, "hqq", "W_q",
     "W_q scale zero shape nbits group_size axis packing view_as_float quant_* round_zero optimize channel_wise "
     "compute_dtype encoded_state_dict offload_meta stores_quant_config unpack_view_dtype",
     true},
    {spelling::exl2, "exl2", "q_weight", "q_weight q_groups q_group_map q_scale q_scale_max q_invperm q_perm", false},
    {spelling::exl3, "exl3", "trellis", "trellis suh svh su sv mcg mul1", false}};

/// Codes in format F as tensors of a spelling: what pack() makes, taken one by one.
template <class Owned>
void take(written_linear& to, Owned&& one) {
  if (one.present()) to.tensors.push_back(std::forward<Owned>(one));
}

written_linear write_gptq(const linear_format& f, const integer_linear& from, const std::string& where) {
  written_linear to;
  const auto shape = [](std::uint64_t rows, std::uint64_t cols) {
    return std::array<std::uint64_t, nbit::stored_tensor::most_dimensions>{rows, cols, 0, 0};
  };
  with_one_of<2, 3, 4, 8>("bits", from.bits, [&](auto b) {
    return with_group(from.group, [&](auto g) {
      using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f16>;
      auto made = need(nbit::pack_gptq(coded<F>(from, to.report), zeros_of(f.spelling)), where);
      const std::uint64_t n = from.rows, k = from.cols, bits = static_cast<std::uint64_t>(from.bits);
      const auto add = [&to](const char* name, dtype type, std::size_t rank, auto size, auto& bytes) {
        nbit::owned_tensor t;
        t.name = name, t.type = type, t.rank = rank, t.shape = size, t.bytes = std::move(bytes);
        to.tensors.push_back(std::move(t));
      };
      add("qweight", dtype::i32, 2, shape(k / 32 * bits, n), made.qweight);
      add("qzeros", dtype::i32, 2, shape(from.groups(), n * bits / 32), made.qzeros);
      add("g_idx", dtype::i32, 1, shape(k, 0), made.g_idx);
      add("scales", dtype::f16, 2, shape(from.groups(), n), made.scales);
      return true;
    });
  });
  return to;
}

written_linear write_hqq(const integer_linear& from, const std::string& where) {
  written_linear to;
  if (!from.group_of.empty())
    throw failure{bad_input, where + ": the groups are reordered (act-order), and HQQ's hold neighbours"};
  const auto with = [&]<nbit::scale_type Scale>() {
    return with_one_of<2, 3, 4, 5, 6, 8>("nbits", from.bits, [&](auto b) {
      return with_one_of<32, 64, 128>("group_size", from.group, [&](auto g) {
        using F = integers<decltype(b)::value, decltype(g)::value, Scale, nbit::symmetry::asymmetric_float>;
        nbit::hqq_weights<F> q{coded<F>(from, to.report), {}};
        q.meta.bits = from.bits, q.meta.group = from.group, q.meta.rows = from.rows, q.meta.cols = from.cols;
        q.groups.rows = from.codes.size() / static_cast<std::size_t>(from.group);
        q.groups.cols = static_cast<std::size_t>(from.group);
        auto made = need(nbit::pack_hqq(q), where);
        take(to, std::move(made.w_q)), take(to, std::move(made.scale)), take(to, std::move(made.zero));
        for (nbit::owned_tensor& t : made.settings) take(to, std::move(t));
        return true;
      });
    });
  };
  if (from.scale == nbit::scale_type::f16)
    with.template operator()<nbit::scale_type::f16>();
  else
    with.template operator()<nbit::scale_type::f32>();
  return to;
}

}  // namespace

std::span<const spelling_info> spellings() { return all_spellings; }
const spelling_info& info(spelling s) { return all_spellings[static_cast<std::size_t>(s)]; }

std::optional<spelling> written_spelling(std::string_view name) {
  for (const spelling_info& s : all_spellings)
    if (s.written && name == s.name) return s.spelling;
  return std::nullopt;
}
std::string written_spellings() {
  std::string names;
  for (const spelling_info& s : all_spellings)
    if (s.written) names += std::string(names.empty() ? "" : " ") + s.name;
  return names;
}

bool belongs(spelling s, std::string_view end) {
  std::string_view parts = info(s).parts;
  while (!parts.empty()) {
    const std::size_t length = std::min(parts.find(' '), parts.size());
    const std::string_view part = parts.substr(0, length);
    if (part.back() == '*' ? end.substr(0, length - 1) == part.substr(0, length - 1) : end == part) return true;
    parts.remove_prefix(std::min(length + 1, parts.size()));
  }
  return false;
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
    const bool four = q.get<bool>("load_in_4bit").value_or(false), eight = q.get<bool>("load_in_8bit").value_or(false);
    if (four == eight)
      throw failure{bad_input, "quantization_config: load_in_4bit and load_in_8bit (allowed: one of them true)"};
    f.spelling = four ? spelling::bitsandbytes : spelling::bitsandbytes_int8;
  } else if (name == "hqq" || (method == nullptr && q.find("nbits") != nullptr)) {
    f.spelling = spelling::hqq;
  } else if (name == "exl2" || name == "exl3") {
    f.spelling = name == "exl2" ? spelling::exl2 : spelling::exl3;
  } else if (q.find("checkpoint_format") != nullptr && q.find("checkpoint_format")->text() == "gptq_p") {
    const nbit::gptq_planar_config c = need(nbit::read_gptq_planar_config(q), "quantization_config");
    f.spelling = spelling::gptq_planar;
    f.bits = c.bits, f.group = c.group, f.symmetric = c.symmetric;
  } else {
    const nbit::gptq_config c = need(nbit::read_gptq_config(q), "quantization_config");
    f.spelling = c.zeros == nbit::gptq_zeros::plain ? spelling::gptq_v2 : spelling::gptq_v1;
    f.bits = c.bits, f.group = c.group, f.symmetric = c.symmetric;
    const nbit::json_value* const rules = q.find("dynamic");
    f.mixed = rules != nullptr && rules->is(nbit::json_kind::object) && rules->size() != 0;
  }
  return f;
}

std::optional<linear_format> find_format(const nbit::json_value& config, const std::string& folder) {
  if (config.find("quantization_config") != nullptr || config.find("nbits") != nullptr) return read_format(config);
  const std::string beside = folder + "/quantize_config.json";
  if (std::filesystem::exists(beside)) return read_format(read_json(beside));
  return std::nullopt;
}

stored_linears::stored_linears(linear_format format,
                               std::span<const std::shared_ptr<const nbit::safetensors::file>> files)
    : format_(format), all_(std::make_shared<tensor_map>()) {
  for (const auto& f : files)
    for (const auto& t : f->tensors()) all_->emplace(std::string(t.name), nbit::stored(t));
}

std::string stored_linears::stem_of(const std::string& tensor) const {
  if (all_ == nullptr) return {};
  for (std::size_t dot = tensor.find('.'); dot != std::string::npos; dot = tensor.find('.', dot + 1)) {
    const std::string stem = tensor.substr(0, dot);
    if (belongs(format_.spelling, std::string_view(tensor).substr(dot + 1)) &&
        all_->count(stem + "." + info(format_.spelling).first) != 0)
      return stem;
  }
  return {};
}

tensor_finder stored_linears::finder(const std::string& stem) const {
  return [all = all_, stem](std::string_view part) {
    const auto found = all->find(stem + "." + std::string(part));
    return found == all->end() ? nbit::stored_tensor{} : found->second;
  };
}

namespace {
/// Bits and group of one linear among others of other widths, from the shapes of its tensors.
linear_format width_of(linear_format f, const tensor_finder& find, const std::string& where) {
  const nbit::stored_tensor words = find("qweight"), scales = find("scales"), index = find("g_idx");
  if (!words.present || !scales.present || !index.present || words.rank != 2 || scales.rank != 2 || index.rank != 1 ||
      index.shape[0] == 0 || scales.shape[0] == 0)
    throw failure{bad_input, where + ": a checkpoint of mixed widths needs qweight, scales and g_idx of each linear"};
  const std::uint64_t cols = index.shape[0], groups = scales.shape[0];
  f.bits = static_cast<int>(std::min<std::uint64_t>(words.shape[0] * 32 / cols, 64));
  f.group = groups == 1 ? -1 : static_cast<std::int64_t>((cols + groups - 1) / groups);
  return f;
}
}  // namespace

std::optional<integer_linear> read_integers(const linear_format& stated, const tensor_finder& find,
                                            const std::string& name) {
  const std::string where = "'" + name + "'";
  const linear_format f = stated.mixed ? width_of(stated, find, where) : stated;
  if (f.spelling == spelling::gptq_planar)
    return with_one_of<2, 3, 4, 5, 6, 7, 8>("bits", f.bits, [&](auto b) {
      return with_group(f.group, [&](auto g) {
        using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f16>;
        return integers_of(
            need(nbit::unpack_gptq_planar<F>({find("qweight"), find("qzeros"), find("scales"), find("g_idx")}), where));
      });
    });
  if (is_gptq(f.spelling))
    return with_one_of<2, 3, 4, 8>("bits", f.bits, [&](auto b) {
      return with_group(f.group, [&](auto g) {
        using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f16>;
        const nbit::gptq_stored from{find("qweight"), find("qzeros"), find("scales"), find("g_idx")};
        return integers_of(need(nbit::unpack_gptq<F>(from, zeros_of(f.spelling)), where));
      });
    });
  if (is_awq(f.spelling))
    return with_group(f.group, [&](auto g) {
      using F = integers<4, decltype(g)::value, nbit::scale_type::f16>;
      const nbit::awq_linear from{find("qweight"), find("qzeros"), find("scales")};
      return integers_of(need(nbit::unpack_awq<F>(from, packing_of(f.spelling)), where));
    });
  if (!is_ct_int(f.spelling)) return std::nullopt;
  std::vector<std::byte> memory;
  nbit::scale_type scale{};
  const nbit::ct_linear from{find(f.spelling == spelling::compressed ? "weight_packed" : "weight"),
                             wide_scale(find("weight_scale"), memory, scale), find("weight_zero_point"),
                             find("weight_shape"), find("weight_g_idx")};
  return with_one_of<2, 3, 4, 5, 6, 7, 8>("num_bits", f.bits, [&](auto b) {
    return with_group(f.group, [&](auto g) {
      using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f32>;
      return integers_of(need(nbit::unpack_ct<F>(from, ct_packing_of(f.spelling)), where), scale);
    });
  });
}

written_linear write_integers(const linear_format& f, const integer_linear& from, const std::string& name) {
  const std::string where = "'" + name + "'";
  written_linear to;
  if (f.spelling == spelling::gptq_v1 || f.spelling == spelling::gptq_v2) return write_gptq(f, from, where);
  if (f.spelling == spelling::hqq) return write_hqq(from, where);
  if (f.spelling == spelling::gptq_planar) {
    with_one_of<2, 3, 4, 5, 6, 7, 8>("bits", from.bits, [&](auto b) {
      return with_group(from.group, [&](auto g) {
        using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f16>;
        auto made = need(nbit::pack_gptq_planar(coded<F>(from, to.report)), where);
        take(to, std::move(made.qweight)), take(to, std::move(made.qzeros));
        take(to, std::move(made.g_idx)), take(to, std::move(made.scales));
        return true;
      });
    });
    return to;
  }
  if (is_awq(f.spelling)) {
    with_one_of<4>("bits of an AWQ checkpoint", from.bits, [&](auto) {
      return with_group(from.group, [&](auto g) {
        using F = integers<4, decltype(g)::value, nbit::scale_type::f16>;
        auto made = need(nbit::pack_awq(coded<F>(from, to.report), packing_of(f.spelling)), where);
        take(to, std::move(made.qweight)), take(to, std::move(made.qzeros)), take(to, std::move(made.scales));
        return true;
      });
    });
    return to;
  }
  if (!is_ct_int(f.spelling))
    throw failure{wrong_usage,
                  std::string("--to: '") + name_of(f.spelling) + "' is read only; allowed: " + written_spellings()};
  with_one_of<2, 3, 4, 5, 6, 7, 8>("num_bits", from.bits, [&](auto b) {
    return with_group(from.group, [&](auto g) {
      using F = integers<decltype(b)::value, decltype(g)::value, nbit::scale_type::f32>;
      auto made = need(nbit::pack_ct(coded<F>(from, to.report), ct_packing_of(f.spelling)), where);
      narrow_scale(made.weight_scale, from.scale, from.bits, to.report);
      take(to, std::move(made.weight)), take(to, std::move(made.weight_scale));
      if (!f.symmetric) take(to, std::move(made.weight_zero_point));
      take(to, std::move(made.weight_shape)), take(to, std::move(made.weight_g_idx));
      return true;
    });
  });
  return to;
}

nbit::json_value format_json(const linear_format& f, const nbit::json_value& before) {
  if (f.spelling == spelling::gptq_planar) return nbit::gptq_planar_config_json({f.bits, f.group, f.symmetric, false});
  if (f.spelling == spelling::hqq) {
    nbit::json_value q = nbit::json_value::object();
    q.add("quant_method", nbit::json_value::string("hqq"));
    nbit::json_value& weights =
        q.add("quant_config", nbit::json_value::object()).add("weight_quant_params", nbit::json_value::object());
    weights.add("nbits", nbit::json_value::number(f.bits));
    weights.add("group_size", nbit::json_value::number(f.group));
    weights.add("axis", nbit::json_value::number(1));
    return q;
  }
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

void add_widths(nbit::json_value& config, const linear_widths& widths) {
  if (widths.empty()) return;
  nbit::json_value& rules = config.add("dynamic", nbit::json_value::object());
  for (const auto& [name, width] : widths) {
    std::string pattern = "+:^";
    for (const char c : name) pattern += c == '.' ? std::string("\\.") : std::string(1, c);
    nbit::json_value& one = rules.add(pattern + "$", nbit::json_value::object());
    one.add("bits", nbit::json_value::number(width.bits));
    one.add("group_size", nbit::json_value::number(width.group));
  }
}

linear_format width_named(const std::string& option_name, const std::string& name, linear_format f) {
  int bits = 0, end = 0;
  long group = -1;
  if (std::sscanf(name.c_str(), "w%1dc%n", &bits, &end) != 1 || end == 0) {
    end = 0;
    if (std::sscanf(name.c_str(), "w%1dg%6ld%n", &bits, &group, &end) != 2) end = 0;
  }
  if (end == 0 || static_cast<std::size_t>(end) != name.size() || (group != -1 && group < 1))
    refuse_option(option_name, name, "wBgN or wBc, as in w3g128");
  f.bits = bits, f.group = group;
  return f;
}

}  // namespace tool
