// tool/solve_k.cpp — solvers for ggml's k-quants.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>

#include "solve.hpp"

namespace tool {

std::span<const block_type> k_types() {
  using nbit::ggml_type;
  static constexpr block_type all[] = {
      block_type_of<nbit::q2_k>(ggml_type::q2_k), block_type_of<nbit::q3_k>(ggml_type::q3_k),
      block_type_of<nbit::q4_k>(ggml_type::q4_k), block_type_of<nbit::q5_k>(ggml_type::q5_k),
      block_type_of<nbit::q6_k>(ggml_type::q6_k)};
  return all;
}

}  // namespace tool
