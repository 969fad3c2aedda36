// tool/solver.hpp — any solver times any format, chosen at run time: a table of functions, one for each format.
// SPDX-License-Identifier: MIT
#ifndef TOOL_SOLVER_HPP
#define TOOL_SOLVER_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/solver/awq.hpp>
#include <nbit/solver/calibration.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gptq_checkpoint.hpp>

#include <engine/workers.hpp>

namespace tool {

/// How codes are chosen once the weights are as they should be. (AWQ changes the weights first, then rounds.)
enum class method : std::uint8_t {
  rtn,     // the format's own encoder; it weighs errors by importance if there is one
  search,  // parameters searched for the least weighed error
  gptq,    // the output's error minimised
};

/// One matrix to be quantized. inputs: for gptq; importance: one number for each column, or empty.
struct problem {
  nbit::matrix_view<const float> weights;
  const nbit::hessian* inputs = nullptr;
  std::span<const float> importance;
};

/// What gptq may be told.
struct solver_settings {
  double damping = 0.01;
  int passes = 4;
};

/// The AWQ search for linears with one input, in some format.
using awq_search = nbit::result<nbit::awq_result> (*)(std::span<const nbit::matrix_view<const float>>,
                                                      const nbit::hessian&, const nbit::awq_options&,
                                                      const engine::workers&);

/// A ggml type that the tool can write: packed bytes, rows of whole blocks.
struct block_type {
  nbit::ggml_type type;
  std::size_t block;
  nbit::result<std::vector<std::byte>> (*solve)(method, const problem&, const solver_settings&, const engine::workers&);
  awq_search awq;
};

/// A uniform format that the tool can write into a GPTQ checkpoint.
struct uniform_type {
  int bits;
  std::int64_t group;  // -1: one group for each output
  bool symmetric;
  nbit::result<nbit::gptq_tensors> (*solve)(method, const problem&, const solver_settings&, const engine::workers&);
  awq_search awq;
};

// The formats are compiled in files of their own, which a build runs side by side.
std::span<const block_type> legacy_types();    // Q4_0 Q4_1 Q5_0 Q5_1 Q8_0
std::span<const block_type> k_types();         // Q2_K to Q6_K
std::span<const uniform_type> narrow_types();  // 2 and 3 bits
std::span<const uniform_type> wide_types();    // 4 and 8 bits

/// The type with this number, or nullptr.
const block_type* find_block_type(nbit::ggml_type type);
/// The uniform format with these numbers, or nullptr.
const uniform_type* find_uniform_type(int bits, std::int64_t group, bool symmetric);

}  // namespace tool

#endif
