// tool/solve_legacy.cpp — solvers for ggml's blocks of 32, and the look-up of all types.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q8.hpp>

#include "solve.hpp"

namespace tool {

std::span<const block_type> legacy_types() {
  using nbit::ggml_type;
  static constexpr block_type all[] = {
      block_type_of<nbit::q4_0>(ggml_type::q4_0), block_type_of<nbit::q4_1>(ggml_type::q4_1),
      block_type_of<nbit::q5_0>(ggml_type::q5_0), block_type_of<nbit::q5_1>(ggml_type::q5_1),
      block_type_of<nbit::q8_0>(ggml_type::q8_0)};
  return all;
}

const block_type* find_block_type(nbit::ggml_type type) {
  for (const auto types : {legacy_types(), k_types(), iq_types(), iq2_types(), iq1_types(), fp4_types()})
    for (const block_type& t : types)
      if (t.type == type) return &t;
  return nullptr;
}

const uniform_type* find_uniform_type(int bits, std::int64_t group, bool symmetric) {
  for (const auto types : {narrow_types(), wide_types()})
    for (const uniform_type& t : types)
      if (t.bits == bits && t.group == group && t.symmetric == symmetric) return &t;
  return nullptr;
}

}  // namespace tool
