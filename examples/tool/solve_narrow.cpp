// tool/solve_narrow.cpp — solvers for the 2- and 3-bit formats of GPTQ checkpoints.
// SPDX-License-Identifier: MIT
#include "solve.hpp"

namespace tool {

std::span<const uniform_type> narrow_types() {
  static constexpr uniform_type all[] = {uniform_type_of<2, 64, false>(),  uniform_type_of<2, 128, false>(),
                                         uniform_type_of<3, 32, false>(),  uniform_type_of<3, 64, false>(),
                                         uniform_type_of<3, 128, false>(), uniform_type_of<3, nbit::per_row, false>()};
  return all;
}

}  // namespace tool
