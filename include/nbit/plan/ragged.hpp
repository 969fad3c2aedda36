// nbit/plan/ragged.hpp — rows that are no whole blocks of a type: refused, stored in another type, or padded.
//
// llama.cpp changes the type without asking, and people find most of their model in another type than they asked for;
// here it is the caller's word, and the default is no. Padding adds zeros at the end of each row: only where the file
// also says how long a row is (compressed-tensors' weight_shape, HQQ's shape); GGUF's row length is the model's.
// Ref: llama.cpp's tensor_type_fallback, February 2025 and October 2026 (they differ for Q2_K, Q3_K and a few others).
// SPDX-License-Identifier: MIT
#ifndef NBIT_PLAN_RAGGED_HPP
#define NBIT_PLAN_RAGGED_HPP

#include <cstdint>
#include <optional>

#include <nbit/base/config.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/ggml_type.hpp>

namespace nbit {

/// Rules of llama.cpp as of February 2025 and as of October 2026.
enum class mix_rules : std::uint8_t { y2025, y2026 };

/// What to do with rows that are no whole blocks.
enum class ragged_choice : std::uint8_t { refuse, pad, fall_back };

/// How ragged rows are treated. `type` is what they fall back to; without it, what llama.cpp takes.
struct ragged_policy {
  ragged_choice rows = ragged_choice::refuse;
  std::optional<ggml_type> type;
  bool container_pads = false;  // the file has room for the true length
  mix_rules rules = mix_rules::y2026;
};

/// What a row becomes: its type, and its length with padding.
struct row_fit {
  ggml_type type = ggml_type::f32;
  std::uint64_t cols = 0;
};

inline namespace NBIT_TAG {

/// The type that llama.cpp takes for rows which are no whole blocks of this one; F16 when no blocks of 32 fit either.
[[nodiscard]] constexpr ggml_type fallback_type(ggml_type wanted, std::uint64_t cols,
                                                mix_rules rules = mix_rules::y2026) noexcept {
  ggml_type to = ggml_type::f16;
  switch (wanted) {
    case ggml_type::iq1_s:
    case ggml_type::iq1_m:
    case ggml_type::iq2_xxs:
    case ggml_type::iq2_xs:
    case ggml_type::iq2_s:
    case ggml_type::iq3_xxs:
    case ggml_type::iq3_s:
    case ggml_type::iq4_xs: to = ggml_type::iq4_nl; break;
    case ggml_type::q2_k:
    case ggml_type::q3_k: to = rules == mix_rules::y2025 ? ggml_type::iq4_nl : ggml_type::q4_0; break;
    case ggml_type::q2_0:
    case ggml_type::tq1_0:
    case ggml_type::tq2_0: to = ggml_type::q4_0; break;
    case ggml_type::q4_k: to = ggml_type::q5_0; break;
    case ggml_type::q5_k: to = ggml_type::q5_1; break;
    case ggml_type::q6_k: to = ggml_type::q8_0; break;
    default: break;
  }
  return to != ggml_type::f16 && cols % 32 == 0 ? to : ggml_type::f16;
}

/// The type and the length of a row of `cols` weights that should be of type `wanted`.
/// Errors: shape (the default policy, or a fallback that does not fit either); unsupported (padding in a container that
/// has no room for it); overflow.
[[nodiscard]] constexpr result<row_fit> fit_rows(ggml_type wanted, std::uint64_t cols, const ragged_policy& policy) {
  const ggml_type_info* const t = find_ggml_type(static_cast<std::uint32_t>(wanted));
  if (t == nullptr)
    return make_error(errc::unsupported, "type is unknown", "a type of ggml in use")
        .with(static_cast<std::int64_t>(wanted));
  if (cols % t->block == 0) return row_fit{wanted, cols};
  const auto ragged = [&](errc code, const char* what, const char* allowed) {
    return make_error(code, what, allowed).about(t->name).with(static_cast<std::int64_t>(cols));
  };
  switch (policy.rows) {
    case ragged_choice::refuse: return ragged(errc::shape, "rows are not whole blocks of the type", block_rule(*t));
    case ragged_choice::pad: {
      if (!policy.container_pads)
        return ragged(errc::unsupported, "rows cannot be padded: the file has no room for their true length",
                      block_rule(*t));
      const std::uint64_t more = t->block - cols % t->block;
      if (cols > ~std::uint64_t{0} - more) return ragged(errc::overflow, "a row's length does not fit 64 bits", "");
      return row_fit{wanted, cols + more};
    }
    case ragged_choice::fall_back: break;
  }
  const ggml_type to = policy.type ? *policy.type : fallback_type(wanted, cols, policy.rules);
  const ggml_type_info* const other = find_ggml_type(static_cast<std::uint32_t>(to));
  if (other == nullptr || cols % other->block != 0)
    return ragged(errc::shape, "rows are not whole blocks of the type that they fall back to",
                  other == nullptr ? "a type of ggml in use" : block_rule(*other));
  return row_fit{to, cols};
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
