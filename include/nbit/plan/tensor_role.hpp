// nbit/plan/tensor_role.hpp — what a tensor is for, by its GGUF name, and whether a mix of types touches it at all.
//
// Ref: llama.cpp src/llama-quant.cpp of October 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_PLAN_TENSOR_ROLE_HPP
#define NBIT_PLAN_TENSOR_ROLE_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nbit/base/config.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/plan/mix_name.hpp>

namespace nbit {

/// What a tensor is for, as far as the rules care.
enum class tensor_role : std::uint8_t {
  token_embedding,
  output,
  attn_q,
  attn_k,
  attn_v,
  attn_qkv,
  attn_kv_b,
  attn_output,
  ffn_up,
  ffn_gate,
  ffn_down,
  other
};

inline namespace NBIT_TAG {
namespace detail {
[[nodiscard]] inline bool holds(std::string_view name, std::string_view part) noexcept {
  return name.find(part) != std::string_view::npos;
}
}  // namespace detail

/// The role that a tensor's GGUF name gives it.
[[nodiscard]] inline tensor_role role_of(std::string_view name) noexcept {
  struct part {
    std::string_view text;
    tensor_role role;
  };
  constexpr part parts[] = {{"attn_qkv.weight", tensor_role::attn_qkv},
                            {"attn_kv_b.weight", tensor_role::attn_kv_b},
                            {"attn_v.weight", tensor_role::attn_v},
                            {"attn_k.weight", tensor_role::attn_k},
                            {"attn_q.weight", tensor_role::attn_q},
                            {"attn_output.weight", tensor_role::attn_output},
                            {"ffn_up", tensor_role::ffn_up},
                            {"ffn_gate", tensor_role::ffn_gate},
                            {"ffn_down", tensor_role::ffn_down}};
  if (name == "output.weight") return tensor_role::output;
  if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") return tensor_role::token_embedding;
  for (const part& p : parts)
    if (detail::holds(name, p.text)) return p.role;
  return tensor_role::other;
}

/// Whether a mix touches this tensor at all: matrices whose name ends in "weight", but no norms, routers, small or
/// positional tables. dims: its dimensions without trailing ones.
[[nodiscard]] inline bool mix_quantizes(std::string_view name, std::size_t dims,
                                        std::string_view architecture) noexcept {
  constexpr std::string_view kept[] = {"_norm.weight",
                                       "ffn_gate_inp.weight",
                                       "ffn_gate_tid2eid.weight",
                                       "altup",
                                       "laurel",
                                       "per_layer_model_proj",
                                       "ssm_conv1d",
                                       "shortconv.conv.weight",
                                       "indexer.k_proj.weight",
                                       "indexer.q_proj.weight",
                                       "time_mix_first.weight",
                                       "time_mix_w0.weight",
                                       "time_mix_w1.weight",
                                       "time_mix_w2.weight",
                                       "time_mix_v0.weight",
                                       "time_mix_v1.weight",
                                       "time_mix_v2.weight",
                                       "time_mix_a0.weight",
                                       "time_mix_a1.weight",
                                       "time_mix_a2.weight",
                                       "time_mix_g1.weight",
                                       "time_mix_g2.weight",
                                       "time_mix_decay_w1.weight",
                                       "time_mix_decay_w2.weight",
                                       "time_mix_lerp_fused.weight",
                                       "attn_rel_b.weight",
                                       ".position_embd",
                                       "sam.pos_embd",
                                       "sam.neck.",
                                       "sam.net_",
                                       ".rel_pos",
                                       ".patch_embd",
                                       ".patch_merger",
                                       "a.rvq.codebook",
                                       "mm.a.code_embd"};
  constexpr std::string_view kept_by_glm5_next[] = {"hc_",
                                                    "indexer.attn_q_b",
                                                    "indexer.attn_k",
                                                    "indexer.proj",
                                                    "indexer_compressor_gate",
                                                    "indexer_compressor_ape",
                                                    "ssm_f_a.weight",
                                                    "ssm_f_b.weight",
                                                    "ssm_g_a.weight",
                                                    "ssm_g_b.weight",
                                                    "ssm_beta.weight",
                                                    "attn_kv_a_mqa.weight",
                                                    "attn_k_b.weight",
                                                    "attn_v_b.weight"};
  constexpr std::string_view end = "weight";
  if (dims < 2 || name.size() < end.size() || name.substr(name.size() - end.size()) != end) return false;
  if (name == "position_embd.weight" || name == "token_types.weight") return false;
  for (const std::string_view part : kept)
    if (detail::holds(name, part)) return false;
  if (architecture == "glm5-next")
    for (const std::string_view part : kept_by_glm5_next)
      if (detail::holds(name, part)) return false;
  return true;
}

/// Whether llama.cpp refuses to make this type for this tensor without an importance matrix.
[[nodiscard]] inline bool needs_importance(std::string_view name, ggml_type type, mix m) noexcept {
  const tensor_role role = role_of(name);
  if (role == tensor_role::token_embedding || role == tensor_role::output) return false;
  switch (type) {
    case ggml_type::iq3_xxs:
    case ggml_type::iq2_xxs:
    case ggml_type::iq2_xs:
    case ggml_type::iq2_s:
    case ggml_type::iq1_m:
    case ggml_type::iq1_s: return true;
    case ggml_type::q2_k: return m == mix::q2_k_s;
    default: return false;
  }
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
