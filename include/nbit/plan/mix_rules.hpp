// nbit/plan/mix_rules.hpp — llama.cpp's rules: the type of one tensor in a named mix, from its role, its layer and the
// model.
//
// The rules count tensors of a role as they come, in the order of layers and then of names (plan/mix.hpp sorts them).
// 2025 and 2026 differ: fused attention (attn_qkv, attn_kv_b) counts as attn_v since then, so that Q4_K_M and others
// give it other types; so do the type that ragged rows fall back to (plan/ragged.hpp), per_layer_token_embd, and the
// MXFP4_MOE, Q1_0 and Q2_0 mixes, which 2025 does not have.
// Ref: llama.cpp src/llama-quant.cpp of February 2025 and of October 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_PLAN_MIX_RULES_HPP
#define NBIT_PLAN_MIX_RULES_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/plan/mix_name.hpp>
#include <nbit/plan/ragged.hpp>
#include <nbit/plan/tensor_role.hpp>

namespace nbit {

/// What the rules ask of a model.
struct mix_model {
  std::string_view architecture = "llama";  // general.architecture
  std::uint32_t layers = 0;                 // block_count
  std::uint32_t experts = 0;                // expert_count; 0: none
  std::uint32_t heads = 0, kv_heads = 0;    // attention.head_count, head_count_kv of the first layer
  bool importance = false;                  // there is an importance matrix
};

inline namespace NBIT_TAG {
namespace detail {

/// The rules of one mix, with the counts that they keep from tensor to tensor.
class mix_decider {
 public:
  /// fused_v: how many tensors count as attn_v, for the rules that give the first and last layers more.
  mix_decider(mix m, mix_rules rules, const mix_model& model, std::uint32_t v_tensors, bool tied) noexcept
      : mix_(m), rules_(rules), model_(model), v_tensors_(v_tensors), tied_(tied) {}

  /// The type of the next tensor.  Errors: malformed when a model with experts has a name without a layer.
  result<ggml_type> next(std::string_view name, std::uint64_t cols, std::uint64_t experts_in_tensor) {
    using r = tensor_role;
    ggml_type type = mix_of(mix_).base;
    const r role = role_of(name);
    const bool falcon = model_.architecture == "falcon", eight = model_.experts == 8;
    if (model_.architecture == "glm5-next" &&
        (holds(name, "attn_q_a") || holds(name, "attn_q_b") || holds(name, "nextn.eh_proj")))
      return ggml_type::q8_0;
    const bool embedding = role == r::token_embedding && (rules_ == mix_rules::y2026 || name == "token_embd.weight");
    if (role == r::output || (tied_ && embedding)) return output(type, cols, falcon);
    if (mix_ == mix::mxfp4_moe) {
      const bool plain =
          model_.architecture == "bailingmoe3" && role != r::ffn_up && role != r::ffn_gate && role != r::ffn_down;
      return experts_in_tensor > 1 && !plain ? ggml_type::mxfp4 : ggml_type::q8_0;
    }
    if (embedding) return embedded(type);
    if (is_iq1_iq2()) return tiny(role, type, eight);
    if (counts_as_v(role)) return v(type, eight);
    std::uint32_t layer = 0;
    const std::uint32_t n = model_.layers;
    switch (role) {
      case r::attn_k:
        if (eight) return ggml_type::q8_0;
        [[fallthrough]];
      case r::attn_q:
        if (mix_ == mix::iq3_xs) return ggml_type::iq3_xxs;
        if (mix_ == mix::iq3_xxs) return ggml_type::iq2_s;
        return type;
      case r::attn_output: return attention_output(type, falcon, eight);
      case r::attn_qkv:  // before fused attention counted as attn_v
        if (mix_ == mix::q3_k_m || mix_ == mix::q3_k_l || mix_ == mix::iq3_m) return ggml_type::q4_k;
        if (mix_ == mix::q4_k_m) return ggml_type::q5_k;
        if (mix_ == mix::q5_k_m) return ggml_type::q6_k;
        return type;
      case r::ffn_down:
        if (!layer_of(name, down_, layer)) return no_layer(name);
        return ffn_down(type, layer, n, falcon, eight);
      case r::ffn_up:
      case r::ffn_gate:
        if (!layer_of(name, role == r::ffn_up ? up_ : gate_, layer)) return no_layer(name);
        return mix_ == mix::iq3_xs && layer >= n / 8 && layer < 7 * n / 8 ? ggml_type::iq3_xxs : type;
      default: return type;
    }
  }

  /// Whether tensors of this role count as attn_v.
  [[nodiscard]] static bool v_like(tensor_role role, mix_rules rules) noexcept {
    return role == tensor_role::attn_v ||
           (rules == mix_rules::y2026 && (role == tensor_role::attn_qkv || role == tensor_role::attn_kv_b));
  }

 private:
  [[nodiscard]] bool counts_as_v(tensor_role role) const noexcept { return v_like(role, rules_); }
  [[nodiscard]] bool is_iq1_iq2() const noexcept {
    return mix_ == mix::iq1_s || mix_ == mix::iq1_m || mix_ == mix::iq2_xxs || mix_ == mix::iq2_xs ||
           mix_ == mix::iq2_s || mix_ == mix::iq2_m;
  }
  [[nodiscard]] bool is_iq2_s_m() const noexcept { return mix_ == mix::iq2_s || mix_ == mix::iq2_m; }
  [[nodiscard]] std::uint32_t heads_per_kv() const noexcept {
    return model_.kv_heads == 0 ? 0 : model_.heads / model_.kv_heads;
  }
  /// The first and the last eighth of the layers, and every third between.
  [[nodiscard]] static bool more_bits(std::uint32_t i, std::uint32_t n) noexcept {
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
  }
  /// The layer that a rule means: the tensors of the role so far, or with experts the number in the name.
  bool layer_of(std::string_view name, std::uint32_t& count, std::uint32_t& layer) const noexcept {
    layer = count++;
    if (model_.experts <= 1) return true;
    if (name.substr(0, 4) != "blk.") return false;
    std::uint64_t n = 0;
    std::size_t i = 4;
    for (; i < name.size() && name[i] >= '0' && name[i] <= '9' && n < 1'000'000; ++i)
      n = n * 10 + static_cast<std::uint64_t>(name[i] - '0');
    layer = static_cast<std::uint32_t>(n);
    return i > 4 && i < name.size() && name[i] == '.' && n < model_.layers;
  }
  static error no_layer(std::string_view name) {
    return make_error(errc::malformed, "a tensor of a model with experts names no layer of the model",
                      "blk.N. with N below the number of layers")
        .about(name);
  }

  [[nodiscard]] ggml_type output(ggml_type type, std::uint64_t cols, bool falcon) const noexcept {
    const ggml_type_info* const t = find_ggml_type(static_cast<std::uint32_t>(type));
    if (mix_ == mix::mxfp4_moe || falcon || cols % t->block != 0) return ggml_type::q8_0;
    if (is_iq1_iq2() || mix_ == mix::iq3_xxs) return ggml_type::q5_k;
    return type == ggml_type::q8_0 ? type : ggml_type::q6_k;
  }

  [[nodiscard]] ggml_type embedded(ggml_type type) const noexcept {
    if (is_iq2_s_m() || mix_ == mix::iq3_xxs) return ggml_type::iq3_s;
    if (is_iq1_iq2()) return ggml_type::q2_k;
    if (mix_ == mix::tq1_0 || mix_ == mix::tq2_0 || mix_ == mix::q2_0) return ggml_type::q4_k;
    return type;
  }

  ggml_type tiny(tensor_role role, ggml_type type, bool eight) noexcept {
    const ggml_type better = is_iq2_s_m() ? ggml_type::iq3_s : ggml_type::q2_k;
    if (counts_as_v(role)) return heads_per_kv() >= 4 || model_.experts >= 4 ? ggml_type::q4_k : better;
    if (role == tensor_role::attn_k && eight) return ggml_type::q4_k;
    if (role == tensor_role::ffn_down) return down_++ < model_.layers / 8 ? better : type;
    if (role != tensor_role::attn_output) return type;
    if (eight) return ggml_type::q5_k;
    if (mix_ == mix::iq1_s || mix_ == mix::iq1_m) return ggml_type::iq2_xxs;
    return is_iq2_s_m() ? ggml_type::iq3_s : type;
  }

  ggml_type v(ggml_type type, bool eight) noexcept {
    const bool grouped = heads_per_kv() >= 4;
    const std::uint32_t i = v_++;
    switch (mix_) {
      case mix::q2_k: type = grouped ? ggml_type::q4_k : ggml_type::q3_k; break;
      case mix::q2_k_s:
      case mix::iq3_xs:
      case mix::iq3_s: type = grouped ? ggml_type::q4_k : type; break;
      case mix::iq3_xxs:
        type = grouped ? ggml_type::q4_k : model_.importance ? ggml_type::iq3_xxs : ggml_type::iq3_s;
        break;
      case mix::iq3_m: type = ggml_type::q4_k; break;
      case mix::q3_k_m: type = i < 2 ? ggml_type::q5_k : ggml_type::q4_k; break;
      case mix::q3_k_l: type = ggml_type::q5_k; break;
      case mix::iq4_nl:
      case mix::iq4_xs: type = grouped ? ggml_type::q5_k : type; break;
      case mix::q4_k_m:
      case mix::q5_k_m: type = more_bits(i, v_tensors_) ? ggml_type::q6_k : type; break;
      case mix::q4_k_s: type = i < 4 ? ggml_type::q5_k : type; break;
      default: break;
    }
    // Llama 70B: eight heads share a small attn_v, so that more bits for it cost next to nothing.
    if (is_70b() && (type == ggml_type::q3_k || type == ggml_type::q4_k)) type = ggml_type::q5_k;
    return eight ? ggml_type::q8_0 : type;
  }

  [[nodiscard]] bool is_70b() const noexcept {
    const std::string_view a = model_.architecture;
    if (a == "jais2") return model_.layers == 68;
    return model_.layers == 80 &&
           (a == "qwen2" || a == "deci" || a == "olmo" || (a == "llama" && model_.heads != model_.kv_heads));
  }

  [[nodiscard]] ggml_type attention_output(ggml_type type, bool falcon, bool eight) const noexcept {
    if (falcon) return mix_ == mix::q3_k_l ? ggml_type::q4_k : type;
    if (eight) {
      switch (mix_) {
        case mix::q2_k:
        case mix::iq3_xs:
        case mix::iq3_xxs:
        case mix::iq3_s:
        case mix::iq3_m:
        case mix::q3_k_s:
        case mix::q3_k_m:
        case mix::iq4_nl:
        case mix::iq4_xs:
        case mix::q4_k_s:
        case mix::q4_k_m: return ggml_type::q5_k;
        default: return type;
      }
    }
    switch (mix_) {
      case mix::q2_k: return ggml_type::q3_k;
      case mix::iq3_xxs: return ggml_type::iq3_s;
      case mix::q3_k_m:
      case mix::iq3_m: return ggml_type::q4_k;
      case mix::q3_k_l: return ggml_type::q5_k;
      default: return type;
    }
  }

  [[nodiscard]] ggml_type ffn_down(ggml_type type, std::uint32_t i, std::uint32_t n, bool falcon,
                                   bool eight) const noexcept {
    const bool early = i < n / 8;
    switch (mix_) {
      case mix::q2_k: return ggml_type::q3_k;
      case mix::q2_k_s: return early ? ggml_type::q4_k : type;
      case mix::iq3_xxs: return model_.importance ? type : early ? ggml_type::q4_k : ggml_type::q3_k;
      case mix::q3_k_m:
        if (i < n / 16) return ggml_type::q5_k;
        return !falcon || more_bits(i, n) ? ggml_type::q4_k : ggml_type::q3_k;
      case mix::iq3_m: return early || (eight && more_bits(i, n)) ? ggml_type::q4_k : type;
      case mix::q3_k_l: return falcon ? ggml_type::q4_k : ggml_type::q5_k;
      case mix::q4_k_m:
        if (falcon) return i < n / 16 ? ggml_type::q6_k : more_bits(i, n) ? ggml_type::q5_k : ggml_type::q4_k;
        return more_bits(i, n) ? ggml_type::q6_k : type;
      case mix::iq4_nl:
      case mix::iq4_xs: return early && !model_.importance ? ggml_type::q5_k : type;
      case mix::q5_k_m: return more_bits(i, n) ? ggml_type::q6_k : type;
      case mix::q4_k_s: return !falcon && early ? ggml_type::q5_k : type;
      case mix::q4_0: return model_.importance && early ? ggml_type::q4_1 : type;
      case mix::q5_0: return model_.importance && early ? ggml_type::q5_1 : type;
      default: return type;
    }
  }

  mix mix_;
  mix_rules rules_;
  mix_model model_;
  std::uint32_t v_tensors_;
  bool tied_;
  std::uint32_t v_ = 0, down_ = 0, up_ = 0, gate_ = 0;
};

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
