// tool/solve_iq2.cpp — solvers for ggml's lattices of two bits a weight.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_iq2.hpp>

#include "solve.hpp"

namespace tool {

std::span<const block_type> iq2_types() {
  using nbit::ggml_type;
  static constexpr block_type all[] = {block_type_of<nbit::iq2_xxs>(ggml_type::iq2_xxs),
                                       block_type_of<nbit::iq2_xs>(ggml_type::iq2_xs),
                                       block_type_of<nbit::iq2_s>(ggml_type::iq2_s)};
  return all;
}

}  // namespace tool
