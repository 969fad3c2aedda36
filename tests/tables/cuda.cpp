// tests/tables/cuda.cpp — asks cuda::describe, format by format and layout by layout, and prints docs/cuda.md's table.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <string_view>
#include <vector>

#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/layout/awq_gemv_rows.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/marlin.hpp>
#include <nbit/layout/split.hpp>
#include <nbit/layout/tiled.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/cuda/describe.hpp>

#include "tables/formats.hpp"

namespace {

std::vector<const char*> words;

/// An answer as its number in `words`.
std::size_t number(const char* how) {
  for (std::size_t i = 0; i < words.size(); ++i)
    if (std::string_view(words[i]) == how) return i + 1;
  words.push_back(how);
  return words.size();
}

template <class W>
void row(const char* name, const W& w) {
  using nbit::operation;
  const auto says = [&](operation op, std::size_t tokens = 1) { return nbit::cuda::describe(op, w, tokens); };
  const char* const limit = says(operation::gemv).for_format;
  std::size_t answers[] = {0, 0, 0, 0, 0, 0}, i = 0;
  for (const char* const how :
       {says(operation::dequantize).how, says(operation::gemv).how, says(operation::gemm, 2).how,
        says(operation::gemm, 64).how, says(operation::gemm_int8).how, says(operation::quantize).how})
    answers[i++] = number(how);
  std::printf("| %s | %zu | %zu | %zu | %zu | %zu | %zu | %s |\n", name, answers[0], answers[1], answers[2], answers[3],
              answers[4], answers[5], limit == nullptr ? "own" : limit);
}
template <class F, class L = nbit::default_layout<F>>
void row(const char* name) {
  row(name, nbit::packed_view<F, L>{});
}

}  // namespace

int main() {
  using tables::asym;
  using tables::sym;
  std::printf(
      "| weights | dequantize | gemv | gemm, few | gemm, many | gemm, int8 | append | how they are read |\n"
      "|---|---|---|---|---|---|---|---|\n");
  tables::for_each_grid([]<class F>(tables::named<F> n) { row<F>(n.name); });
  row<nbit::iq1_s>("IQ1_S"), row<nbit::iq1_m>("IQ1_M"), row<nbit::iq2_xxs>("IQ2_XXS"), row<nbit::iq2_xs>("IQ2_XS");
  row<nbit::iq2_s>("IQ2_S"), row<nbit::iq3_xxs>("IQ3_XXS"), row<nbit::iq3_s>("IQ3_S");
  row<sym<4, 128>, nbit::gptq_words>("int4 in GPTQ words"), row<asym<3, 128>, nbit::gptq_words>("int3 in GPTQ words");
  row<sym<4, 128>, nbit::awq_interleave>("int4 in AWQ's order"),
      row<sym<4, 128>, nbit::awq_gemv_rows>("int4, AWQ gemv");
  row<sym<4, 128>, nbit::marlin>("int4, Marlin"), row<sym<8, 128>, nbit::marlin>("int8, Marlin");
  row<sym<4, 128>, nbit::split_nibble>("int4, split nibbles"), row<sym<4, 128>, nbit::tiled<16>>("int4, tiled<16>");
  row<sym<2, 64>, nbit::warp_tiles>("int2 in warp tiles"), row<asym<3, 128>, nbit::warp_tiles>("int3 in warp tiles");
  row<sym<4, 128>, nbit::warp_tiles>("int4 in warp tiles"), row<sym<8, 128>, nbit::warp_tiles>("int8 in warp tiles");
  row<nbit::nf4, nbit::warp_tiles>("NF4 in warp tiles");
  row("F32", nbit::matrix_view<const float>{}), row("F16", nbit::matrix_view<const nbit::f16>{});
  row("BF16", nbit::matrix_view<const nbit::bf16>{});
  std::printf("\n");
  for (std::size_t i = 0; i < words.size(); ++i) std::printf("%zu. %s\n", i + 1, words[i]);
}
