// tests/tables/support.cpp — asks the library, format by format, what it can do, and prints docs/support.md's table.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <nbit/nbit.hpp>

#include "tables/formats.hpp"

namespace {

/// How a code becomes a number.
template <class F>
const char* decoder() {
  if constexpr (nbit::lattice_format<F>)
    return "points of a lattice";
  else if constexpr (nbit::has_exact_levels<F>)
    return "scale * level";
  else
    return "value by value";
}

/// Files that hold the format. Concepts decide, so a format that changes moves by itself.
template <class F>
std::string files() {
  std::string s;
  const auto add = [&s](bool holds, const char* name) {
    if (holds) s += (s.empty() ? "" : ", ") + std::string(name);
  };
  if constexpr (requires { F::ggml_type; }) add(nbit::find_ggml_type(std::uint32_t(F::ggml_type)) != nullptr, "GGUF");
  add(nbit::gptq_storable<F>, "GPTQ");
  add(nbit::gptq_planar_storable<F>, "planar GPTQ");
  add(nbit::awq_storable<F>, "AWQ");
  add(nbit::ct_storable<F>, "compressed-tensors");
  add(nbit::hqq_storable<F>, "HQQ");
  add(nbit::bnb_storable<F>, "bitsandbytes");
  add(nbit::torchao_storable<F>, "torchao");
  if constexpr (requires { typename F::element; }) add(true, "compressed-tensors");
  if constexpr (std::is_same_v<F, nbit::mxfp4>) add(true, "compressed-tensors");
  if constexpr (std::is_same_v<F, nbit::bnb_int8>) add(true, "LLM.int8");
  return s.empty() ? "none has it: in memory only" : s;
}

/// The library's own words, each once: cells hold their numbers.
std::vector<const char*> words;

/// What AVX2 runs for it, as a number of `words`.
template <class F>
std::size_t runs(nbit::operation op) {
  const nbit::packed_view<F> none;
  const char* const how = nbit::describe(nbit::arch::avx2{}, op, none).how;
  for (std::size_t i = 0; i < words.size(); ++i)
    if (std::string_view(words[i]) == how) return i + 1;
  words.push_back(how);
  return words.size();
}

template <class F>
void row(const char* name) {
  using nbit::operation;
  const std::string f = files<F>();
  const std::size_t encode = runs<F>(operation::quantize), floats = runs<F>(operation::gemv),
                    ints = runs<F>(operation::gemv_int8);
  std::printf("| %s | %zu | %s | %s | %s | %zu | %zu |\n", name, encode, decoder<F>(), f.c_str(),
              f.rfind("none", 0) == 0 ? "as reading" : "the same", floats, ints);
}

}  // namespace

int main() {
  std::printf(
      "| format | encode | decode | read | write | kernel: floats | kernel: int8 activations |\n|---|---|---|---|---|---|---|\n");
  tables::for_each_grid([]<class F>(tables::named<F> n) { row<F>(n.name); });
  row<nbit::bnb_int8>("LLM.int8");
  row<nbit::q8_1>("Q8_1 (activations)");
  row<nbit::q8_k>("Q8_K (activations)");
  row<nbit::iq1_s>("IQ1_S");
  row<nbit::iq1_m>("IQ1_M");
  row<nbit::iq2_xxs>("IQ2_XXS");
  row<nbit::iq2_xs>("IQ2_XS");
  row<nbit::iq2_s>("IQ2_S");
  row<nbit::iq3_xxs>("IQ3_XXS");
  row<nbit::iq3_s>("IQ3_S");
  std::printf("\n");
  for (std::size_t i = 0; i < words.size(); ++i) std::printf("%zu. %s\n", i + 1, words[i]);
}
