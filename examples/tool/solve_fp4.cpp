// tool/solve_fp4.cpp — solvers for four-bit floats in ggml's blocks.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_nvfp4.hpp>

#include "solve.hpp"

namespace tool {

std::span<const block_type> fp4_types() {
  using nbit::ggml_type;
  static constexpr block_type all[] = {block_type_of<nbit::mxfp4>(ggml_type::mxfp4),
                                       block_type_of<nbit::nvfp4>(ggml_type::nvfp4)};
  return all;
}

}  // namespace tool
