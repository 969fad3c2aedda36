// tool/plan.cpp — the command line's words about types, and their way into nbit::plan_mix.
// SPDX-License-Identifier: MIT
#include "plan.hpp"

#include <algorithm>

#include "blocks.hpp"
#include "failure.hpp"

namespace tool {
namespace {

using nbit::ggml_type;

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

}  // namespace

bool is_float(ggml_type type) { return type == ggml_type::f32 || type == ggml_type::f16 || type == ggml_type::bf16; }

std::string type_name(ggml_type type) {
  const nbit::ggml_type_info* const info = nbit::find_ggml_type(static_cast<std::uint32_t>(type));
  return info == nullptr ? "?" : info->name;
}

ggml_type type_named(const std::string& option_name, std::string name) {
  const nbit::ggml_type_info* const info = nbit::find_ggml_type(std::string_view(name = upper(name)));
  if (info == nullptr || !can_encode(info->type))
    refuse_option(option_name, name,
                  "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S "
                  "IQ3_XXS IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 NVFP4 Q1_0 Q2_0");
  return info->type;
}

plan_options read_plan_options(const arguments& args) {
  plan_options o;
  for (const char* const name : {"--type", "--mix"}) {
    if (!args.has(name)) continue;
    const std::string value = upper(args.get(name));
    o.mix = nbit::find_mix(value);
    if (o.mix != nullptr) continue;
    std::string names;
    for (const nbit::mix_info& m : nbit::mixes) names += std::string(names.empty() ? "" : " ") + m.name;
    refuse_option(name, value, names);
  }
  o.rules.rules =
      args.choice("--rules", "2026", "2025 2026") == "2025" ? nbit::mix_rules::y2025 : nbit::mix_rules::y2026;
  o.rules.pure = args.has("--pure");
  if (const std::string ragged = args.get("--ragged", "refuse"); ragged == "fallback") {
    o.rules.ragged.rows = nbit::ragged_choice::fall_back;
  } else if (ragged == "pad") {
    o.rules.ragged.rows = nbit::ragged_choice::pad;
  } else if (ragged != "refuse") {
    if (nbit::find_ggml_type(std::string_view(upper(ragged))) == nullptr)
      refuse_option("--ragged", ragged, "refuse, pad, fallback, or a type");
    o.rules.ragged.rows = nbit::ragged_choice::fall_back;
    o.rules.ragged.type = type_named("--ragged", ragged);
  }
  for (const std::string& text : args.all("--override")) {
    auto one = nbit::parse_override(text);
    if (!one) refuse_option("--override", text, describe(one.error()));
    o.overrides.push_back(*std::move(one));
  }
  if (args.has("--embedding-type")) o.rules.embedding = type_named("--embedding-type", args.get("--embedding-type"));
  if (args.has("--output-type")) o.rules.output = type_named("--output-type", args.get("--output-type"));
  return o;
}

void fix_type(plan_options& o, const std::string& tensor, const std::string& type) {
  std::string exactly = "^";
  for (const char c : tensor) exactly += c == '.' ? std::string("\\.") : std::string(1, c);
  o.overrides.insert(o.overrides.begin(), need(nbit::parse_override(exactly + "$=" + type), "the type of " + tensor));
}

std::vector<nbit::planned_tensor> plan_types(const plan_options& o, const nbit::gguf::file* file,
                                             const engine::config* model, std::span<const nbit::mix_tensor> tensors) {
  nbit::mix_model facts;
  if (file != nullptr) {
    facts = nbit::mix_model_of(*file);
  } else if (model != nullptr) {
    facts.layers = static_cast<std::uint32_t>(model->layers);
    facts.heads = static_cast<std::uint32_t>(model->heads);
    facts.kv_heads = static_cast<std::uint32_t>(model->kv_heads);
  }
  facts.importance = o.importance;
  nbit::mix_options rules = o.rules;
  rules.overrides = o.overrides;
  return need(nbit::plan_mix(o.mix->mix, facts, tensors, rules), std::string("types of ") + o.mix->name);
}

std::vector<target> make_plan(const source& from, const plan_options& options) {
  plan_options o = options;
  std::vector<nbit::mix_tensor> tensors;
  for (const source_tensor& t : from.tensors) {
    nbit::mix_tensor to;
    to.name = t.name, to.type = t.type;
    if (t.ne.size() > to.ne.size()) throw failure{bad_input, "'" + t.name + "': GGUF holds at most 4 dimensions"};
    std::copy(t.ne.begin(), t.ne.end(), to.ne.begin());
    tensors.push_back(to);
    if (o.keep_embeddings && t.name == "token_embd.weight") o.rules.embedding = t.type;
    if (o.keep_embeddings && t.name == "output.weight") o.rules.output = t.type;
  }
  std::optional<engine::config> model;
  if (from.kind != container::gguf) model = config_of(from);
  const auto planned = plan_types(o, from.gguf.get(), model ? &*model : nullptr, tensors);
  std::vector<target> plan;
  for (std::size_t i = 0; i < planned.size(); ++i) {
    const source_tensor& t = from.tensors[i];
    const bool kept = planned[i].reason == nbit::plan_reason::kept;
    target to{&t, planned[i].type, planned[i].wanted, false};
    if (kept && from.kind != container::gguf) to.type = to.wanted = ggml_type::f32;  // norms
    if (!kept && to.type != t.type && !is_float(t.type) && !o.requantize)
      throw failure{bad_input, "'" + t.name + "': these weights are quantized already (found " + type_name(t.type) +
                                   ", wanted " + type_name(to.type) +
                                   "); --requantize decodes and quantizes them again, with the errors of both"};
    to.quantized = !is_float(to.type) && to.type != t.type;
    plan.push_back(to);
  }
  return plan;
}

}  // namespace tool
