// tool/plan.cpp — the rules of plan.hpp.
// SPDX-License-Identifier: MIT
#include "plan.hpp"

#include <algorithm>
#include <string_view>

#include "failure.hpp"
#include "solver.hpp"

namespace tool {
namespace {

using nbit::ggml_type;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// What the reference quantizer leaves alone, by name and shape.
bool is_matrix(const source_tensor& t) {
  if (t.ne.size() < 2 || !ends_with(t.name, ".weight")) return false;
  for (const std::string_view part :
       {"_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d", "position_embd", "token_types", "time_mix_"})
    if (t.name.find(part) != std::string::npos) return false;
  return true;
}

double bits_per_weight(ggml_type type) {
  const nbit::ggml_type_info info = *nbit::ggml_type_of(static_cast<std::uint32_t>(type));
  return 8.0 * info.block_bytes / info.block;
}

/// The type of rows that are no whole blocks of the wanted one: the same bits in blocks of 32, or F16.
ggml_type fallback(ggml_type wanted, std::size_t cols) {
  if (cols % 32 != 0) return ggml_type::f16;
  switch (wanted) {
    case ggml_type::q2_k:
    case ggml_type::q3_k: return ggml_type::q4_0;
    case ggml_type::q4_k: return ggml_type::q5_0;
    case ggml_type::q5_k: return ggml_type::q5_1;
    case ggml_type::q6_k: return ggml_type::q8_0;
    default: return ggml_type::f16;
  }
}

}  // namespace

bool is_float(ggml_type type) { return type == ggml_type::f32 || type == ggml_type::f16 || type == ggml_type::bf16; }

std::string type_name(ggml_type type) {
  const nbit::ggml_type_info* const info = nbit::find_ggml_type(static_cast<std::uint32_t>(type));
  return info == nullptr ? "?" : info->name;
}

ggml_type type_named(const std::string& option_name, std::string name) {
  for (char& c : name)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  const nbit::ggml_type_info* const info = nbit::find_ggml_type(std::string_view(name));
  if (info == nullptr || !(is_float(info->type) || find_block_type(info->type) != nullptr))
    refuse_option(option_name, name, "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K");
  return info->type;
}

std::uint32_t file_type_of(ggml_type type) {
  switch (type) {
    case ggml_type::f32: return 0;
    case ggml_type::f16: return 1;
    case ggml_type::q4_0: return 2;
    case ggml_type::q4_1: return 3;
    case ggml_type::q8_0: return 7;
    case ggml_type::q5_0: return 8;
    case ggml_type::q5_1: return 9;
    case ggml_type::q2_k: return 10;
    case ggml_type::q3_k: return 11;
    case ggml_type::q4_k: return 14;
    case ggml_type::q5_k: return 16;
    case ggml_type::q6_k: return 18;
    default: return 32;  // BF16
  }
}

std::vector<target> make_plan(const source& from, const plan_options& o) {
  std::vector<target> plan;
  const bool tied = from.find("output.weight") == nullptr;
  for (const source_tensor& t : from.tensors) {
    target to{&t, t.type, false};
    const bool embedding = t.name == "token_embd.weight", output = t.name == "output.weight" || (tied && embedding);
    if (is_matrix(t)) {
      to.type = o.type;
      if (output && bits_per_weight(o.type) < bits_per_weight(ggml_type::q6_k)) to.type = ggml_type::q6_k;
      if (embedding && o.embedding) to.type = *o.embedding;
      if (output && o.output) to.type = *o.output;
      if (o.keep_embeddings && (embedding || output)) to.type = t.type;
      for (const auto& [pattern, type] : o.overrides)
        if (std::regex_search(t.name, pattern)) {
          to.type = type;
          break;
        }
      if (const nbit::ggml_type_info info = *nbit::ggml_type_of(static_cast<std::uint32_t>(to.type));
          t.cols() % info.block != 0) {
        if (!o.fall_back)
          throw failure{bad_input, "'" + t.name + "': row length does not fit the blocks of " + type_name(to.type) +
                                       " (found " + std::to_string(t.cols()) + ", allowed: a multiple of " +
                                       std::to_string(info.block) +
                                       "); --ragged fallback stores such tensors in another type"};
        to.type = fallback(to.type, t.cols());
      }
    } else if (from.kind != container::gguf) {
      to.type = ggml_type::f32;
    }
    if (to.type != t.type && !is_float(t.type) && !o.requantize && is_matrix(t))
      throw failure{bad_input, "'" + t.name + "': these weights are quantized already (found " + type_name(t.type) +
                                   ", wanted " + type_name(to.type) +
                                   "); --requantize decodes and quantizes them again, with the errors of both"};
    to.quantized = !is_float(to.type) && to.type != t.type;
    plan.push_back(to);
  }
  return plan;
}

}  // namespace tool
