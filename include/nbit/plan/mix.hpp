// nbit/plan/mix.hpp — a plan for a model: the type of every tensor in a named mix, with overrides, and its exact size.
//
// Order of decisions, as in llama.cpp: what a mix never touches keeps its type; the embedding's and the output's own
// option; the first pattern that matches the name; the mix's rule; last what to do with ragged rows. Nothing is read
// but names and shapes, so a plan is a dry run.
// SPDX-License-Identifier: MIT
#ifndef NBIT_PLAN_MIX_HPP
#define NBIT_PLAN_MIX_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/base/sort.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_file.hpp>
#include <nbit/plan/mix_name.hpp>
#include <nbit/plan/mix_rules.hpp>
#include <nbit/plan/name_pattern.hpp>
#include <nbit/plan/ragged.hpp>

namespace nbit {

/// A tensor to be planned. Shape: GGUF's order, row length first.
struct mix_tensor {
  std::string_view name;
  std::array<std::uint64_t, 4> ne{1, 1, 1, 1};
  ggml_type type = ggml_type::f32;  // as it is stored
};

/// Why a tensor has its type.
enum class plan_reason : std::uint8_t { kept, option, override, mix, base };

/// The words of a reason.
[[nodiscard]] NBIT_INLINE constexpr const char* name_of(plan_reason r) {
  return r == plan_reason::kept       ? "kept"
         : r == plan_reason::option   ? "option"
         : r == plan_reason::override ? "override"
         : r == plan_reason::mix      ? "mix"
                                      : "base";
}

/// What a tensor becomes.
struct planned_tensor {
  ggml_type type = ggml_type::f32;    // with ragged rows seen to
  ggml_type wanted = ggml_type::f32;  // before; differs from type where rows did not fit
  plan_reason reason = plan_reason::kept;
  bool needs_importance = false;  // llama.cpp would refuse it without an importance matrix
  std::uint64_t cols = 0;         // of a row, with padding
  std::uint64_t bytes = 0;        // in the file, without padding between tensors
};

inline namespace NBIT_TAG {

/// A type for all tensors whose names match.
struct type_override {
  name_pattern pattern;
  ggml_type type = ggml_type::f32;
};

/// What may be said about a plan besides the mix.
struct mix_options {
  mix_rules rules = mix_rules::y2026;
  std::optional<ggml_type> embedding, output;
  std::span<const type_override> overrides;  // the first that matches decides
  bool pure = false;                         // no rules: the base type for all
  bool keep_output = false;                  // output.weight stays as it is
  ragged_policy ragged;                      // its rules are those above
};

/// "PATTERN=TYPE", as in "ffn_down=Q6_K".  Errors: malformed, unsupported; those of name_pattern::parse.
[[nodiscard]] inline result<type_override> parse_override(std::string_view text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    return make_error(errc::malformed, "an override has no type", "PATTERN=TYPE, as in ffn_down=Q6_K").about(text);
  std::string type(text.substr(equals + 1));
  for (char& c : type)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  const ggml_type_info* const known = find_ggml_type(std::string_view(type));
  if (known == nullptr)
    return make_error(errc::unsupported, "an override names an unknown type", "F16, Q4_K and the like").about(text);
  result<name_pattern> pattern = name_pattern::parse(text.substr(0, equals));
  if (!pattern) return pattern.error();
  return type_override{std::move(*pattern), known->type};
}

/// What the rules ask of a GGUF model, from its keys. Missing ones count as 0. The architecture is a view into the
/// file.
[[nodiscard]] inline mix_model mix_model_of(const gguf::file& f) {
  mix_model m;
  m.architecture = f.get<std::string_view>("general.architecture").value_or(std::string_view());
  const auto number = [&](std::string_view key) {
    const std::string name = std::string(m.architecture).append(key);
    const gguf::value* const v = f.find(name);
    if (v == nullptr) return std::uint32_t{0};
    if (!v->is_array()) return v->get<std::uint32_t>().value_or(0u);
    for (const gguf::value& first : v->elements()) return first.get<std::uint32_t>().value_or(0u);
    return std::uint32_t{0};
  };
  m.layers = number(".block_count"), m.experts = number(".expert_count");
  m.heads = number(".attention.head_count"), m.kv_heads = number(".attention.head_count_kv");
  if (m.kv_heads == 0 && f.find(std::string(m.architecture).append(".attention.head_count_kv")) == nullptr)
    m.kv_heads = m.heads;
  return m;
}

/// What every tensor becomes, in the order given.
/// Errors: shape (ragged rows under the default policy; the tensor is the subject), malformed, overflow, unsupported.
[[nodiscard]] inline result<std::vector<planned_tensor>> plan_mix(mix m, const mix_model& model,
                                                                  std::span<const mix_tensor> tensors,
                                                                  const mix_options& o = {}) {
  // llama.cpp visits layers in order, names in order inside each; tensors outside of layers come first.
  struct place {
    std::int64_t layer;
    std::size_t index;
  };
  std::vector<place> order;
  std::uint32_t v_tensors = 0;
  bool tied = true;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::string_view name = tensors[i].name;
    place p{-1, i};
    if (name.substr(0, 4) == "blk.") {
      std::int64_t n = 0;
      std::size_t k = 4;
      for (; k < name.size() && k < 12 && name[k] >= '0' && name[k] <= '9'; ++k) n = n * 10 + (name[k] - '0');
      if (k > 4) p.layer = n;
    }
    order.push_back(p);
    const tensor_role role = role_of(name);
    // Fused tensors were counted before they were treated as attn_v.
    v_tensors += detail::mix_decider::v_like(role, mix_rules::y2026) ? 1 : 0;
    tied = tied && role != tensor_role::output;
  }
  detail::sort(order.data(), order.size(), [&](const place& a, const place& b) {
    return a.layer != b.layer ? a.layer < b.layer : tensors[a.index].name < tensors[b.index].name;
  });

  detail::mix_decider rules(m, o.rules, model, v_tensors, tied);
  const ggml_type base = mix_of(m).base;
  const ggml_type_info& base_info = *find_ggml_type(static_cast<std::uint32_t>(base));
  ragged_policy ragged = o.ragged;
  ragged.rules = o.rules;
  std::vector<planned_tensor> plan(tensors.size());
  for (const place& p : order) {
    const mix_tensor& t = tensors[p.index];
    planned_tensor& to = plan[p.index];
    std::size_t dims = 4;
    while (dims > 1 && t.ne[dims - 1] == 1) --dims;
    const tensor_role role = role_of(t.name);
    to.type = to.wanted = t.type, to.cols = t.ne[0];
    if (mix_quantizes(t.name, dims, model.architecture) && !(o.keep_output && role == tensor_role::output)) {
      to.wanted = base, to.reason = plan_reason::base;
      const type_override* named = nullptr;
      for (const type_override& candidate : o.overrides)
        if (named == nullptr && candidate.pattern.matches(t.name)) named = &candidate;
      const bool embedding =
          role == tensor_role::token_embedding && (named == nullptr || t.name == "token_embd.weight");
      if (o.embedding && embedding) {
        to.wanted = *o.embedding, to.reason = plan_reason::option;
      } else if (o.output && role == tensor_role::output) {
        to.wanted = *o.output, to.reason = plan_reason::option;
      } else if (named != nullptr) {
        to.wanted = named->type, to.reason = plan_reason::override;
      } else if (base_info.block != 1 && !o.pure) {
        // A tied embedding is the output too.
        const bool as_output = o.output && tied && role == tensor_role::token_embedding;
        const result<ggml_type> chosen = rules.next(t.name, t.ne[0], t.ne[2]);
        if (!chosen) return chosen.error();
        to.wanted = as_output ? *o.output : *chosen;
        to.reason = as_output ? plan_reason::option : to.wanted == base ? plan_reason::base : plan_reason::mix;
      }
      const result<row_fit> fit = fit_rows(to.wanted, t.ne[0], ragged);
      if (!fit) return fit.error().about(t.name);
      to.type = fit->type, to.cols = fit->cols;
      to.needs_importance = needs_importance(t.name, to.type, m);
    }
    const ggml_type_info* const known = find_ggml_type(static_cast<std::uint32_t>(to.type));
    std::uint64_t rows = 1;
    bool fits = known != nullptr;
    for (std::size_t d = 1; d < 4; ++d) fits = fits && checked_mul(rows, t.ne[d], rows);
    if (!fits || !ggml_bytes(*known, to.cols, rows, to.bytes))
      return make_error(errc::overflow, "a tensor's bytes do not fit 64 bits, or its rows not its type").about(t.name);
  }
  return plan;
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
