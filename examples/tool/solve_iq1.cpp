// tool/solve_iq1.cpp — solvers for ggml's types of less than two bits a weight, and its ternary ones.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_ternary.hpp>

#include "solve.hpp"

namespace tool {

std::span<const block_type> iq1_types() {
  using nbit::ggml_type;
  static constexpr block_type all[] = {
      block_type_of<nbit::iq1_s>(ggml_type::iq1_s), block_type_of<nbit::iq1_m>(ggml_type::iq1_m),
      block_type_of<nbit::tq1_0>(ggml_type::tq1_0), block_type_of<nbit::tq2_0>(ggml_type::tq2_0),
      block_type_of<nbit::q1_0>(ggml_type::q1_0),   block_type_of<nbit::q2_0>(ggml_type::q2_0)};
  return all;
}

}  // namespace tool
