// tool/solve_iq.cpp — solvers for ggml's codebook types.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>

#include "solve.hpp"

namespace tool {

std::span<const block_type> iq_types() {
  using nbit::ggml_type;
  static constexpr block_type all[] = {
      block_type_of<nbit::iq4_nl>(ggml_type::iq4_nl), block_type_of<nbit::iq4_xs>(ggml_type::iq4_xs),
      block_type_of<nbit::iq3_s>(ggml_type::iq3_s), block_type_of<nbit::iq3_xxs>(ggml_type::iq3_xxs)};
  return all;
}

}  // namespace tool
