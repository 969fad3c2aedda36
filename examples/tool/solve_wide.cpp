// tool/solve_wide.cpp — solvers for the 4- and 8-bit formats of GPTQ checkpoints.
// SPDX-License-Identifier: MIT
#include "solve.hpp"

namespace tool {

std::span<const uniform_type> wide_types() {
  static constexpr uniform_type all[] = {uniform_type_of<4, 32, false>(),  uniform_type_of<4, 64, false>(),
                                         uniform_type_of<4, 128, false>(), uniform_type_of<4, nbit::per_row, false>(),
                                         uniform_type_of<8, 32, false>(),  uniform_type_of<8, 64, false>(),
                                         uniform_type_of<8, 128, false>(), uniform_type_of<8, nbit::per_row, false>(),
                                         uniform_type_of<4, 128, true>(),  uniform_type_of<8, 128, true>()};
  return all;
}

}  // namespace tool
