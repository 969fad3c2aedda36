// nbit/plan/mix_name.hpp — the named mixes of llama.cpp: which letters stand for which file type and which base type.
//
// A mix is a file type: the number that files store as general.file_type. Ref: llama.cpp's llama_ftype, October 2026.
// SPDX-License-Identifier: MIT
#ifndef NBIT_PLAN_MIX_NAME_HPP
#define NBIT_PLAN_MIX_NAME_HPP

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nbit/base/config.hpp>
#include <nbit/io/ggml_type.hpp>

namespace nbit {

/// A named mix, by the number of general.file_type.
enum class mix : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q8_0 = 7,
  q5_0 = 8,
  q5_1 = 9,
  q2_k = 10,
  q3_k_s = 11,
  q3_k_m = 12,
  q3_k_l = 13,
  q4_k_s = 14,
  q4_k_m = 15,
  q5_k_s = 16,
  q5_k_m = 17,
  q6_k = 18,
  iq2_xxs = 19,
  iq2_xs = 20,
  q2_k_s = 21,
  iq3_xs = 22,
  iq3_xxs = 23,
  iq1_s = 24,
  iq4_nl = 25,
  iq3_s = 26,
  iq3_m = 27,
  iq2_s = 28,
  iq2_m = 29,
  iq4_xs = 30,
  iq1_m = 31,
  bf16 = 32,
  tq1_0 = 36,
  tq2_0 = 37,
  mxfp4_moe = 38,
  q1_0 = 40,
  q2_0 = 41,
};

/// A mix: its name, and the type of the tensors that no rule raises.
struct mix_info {
  nbit::mix mix;
  const char* name;
  ggml_type base;
};

inline constexpr mix_info mixes[] = {
    {mix::f32, "F32", ggml_type::f32},
    {mix::f16, "F16", ggml_type::f16},
    {mix::bf16, "BF16", ggml_type::bf16},
    {mix::q4_0, "Q4_0", ggml_type::q4_0},
    {mix::q4_1, "Q4_1", ggml_type::q4_1},
    {mix::q5_0, "Q5_0", ggml_type::q5_0},
    {mix::q5_1, "Q5_1", ggml_type::q5_1},
    {mix::q8_0, "Q8_0", ggml_type::q8_0},
    {mix::q2_k, "Q2_K", ggml_type::q2_k},
    {mix::q2_k_s, "Q2_K_S", ggml_type::q2_k},
    {mix::q3_k_s, "Q3_K_S", ggml_type::q3_k},
    {mix::q3_k_m, "Q3_K_M", ggml_type::q3_k},
    {mix::q3_k_l, "Q3_K_L", ggml_type::q3_k},
    {mix::q4_k_s, "Q4_K_S", ggml_type::q4_k},
    {mix::q4_k_m, "Q4_K_M", ggml_type::q4_k},
    {mix::q5_k_s, "Q5_K_S", ggml_type::q5_k},
    {mix::q5_k_m, "Q5_K_M", ggml_type::q5_k},
    {mix::q6_k, "Q6_K", ggml_type::q6_k},
    {mix::iq1_s, "IQ1_S", ggml_type::iq1_s},
    {mix::iq1_m, "IQ1_M", ggml_type::iq1_m},
    {mix::iq2_xxs, "IQ2_XXS", ggml_type::iq2_xxs},
    {mix::iq2_xs, "IQ2_XS", ggml_type::iq2_xs},
    {mix::iq2_s, "IQ2_S", ggml_type::iq2_xs},
    {mix::iq2_m, "IQ2_M", ggml_type::iq2_s},
    {mix::iq3_xxs, "IQ3_XXS", ggml_type::iq3_xxs},
    {mix::iq3_xs, "IQ3_XS", ggml_type::iq3_s},
    {mix::iq3_s, "IQ3_S", ggml_type::iq3_s},
    {mix::iq3_m, "IQ3_M", ggml_type::iq3_s},
    {mix::iq4_nl, "IQ4_NL", ggml_type::iq4_nl},
    {mix::iq4_xs, "IQ4_XS", ggml_type::iq4_xs},
    {mix::tq1_0, "TQ1_0", ggml_type::tq1_0},
    {mix::tq2_0, "TQ2_0", ggml_type::tq2_0},
    {mix::mxfp4_moe, "MXFP4_MOE", ggml_type::mxfp4},
    {mix::q1_0, "Q1_0", ggml_type::q1_0},
    {mix::q2_0, "Q2_0", ggml_type::q2_0},
};

inline namespace NBIT_TAG {

/// The mix with this name ("Q4_K_M", upper case; "Q3_K", "Q4_K", "Q5_K" are the M ones, "MXFP4" is MXFP4_MOE), or
/// nullptr.
[[nodiscard]] constexpr const mix_info* find_mix(std::string_view name) noexcept {
  constexpr const char* others[][2] = {
      {"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}, {"MXFP4", "MXFP4_MOE"}};
  for (const auto& o : others)
    if (name == o[0]) name = o[1];
  for (const mix_info& m : mixes)
    if (name == m.name) return &m;
  return nullptr;
}

/// What is known of a mix.
[[nodiscard]] constexpr const mix_info& mix_of(mix m) noexcept {
  for (const mix_info& i : mixes)
    if (i.mix == m) return i;
  return mixes[0];
}

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
