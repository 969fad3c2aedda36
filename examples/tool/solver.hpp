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
#include <nbit/solver/gptq.hpp>
#include <nbit/io/ggml_type.hpp>

#include <engine/workers.hpp>

#include "integers.hpp"

namespace tool {

/// How the weights of a model become codes.
enum class method : std::uint8_t { rtn, search, gptq, awq, hqq, sign_round };

/// A method as a user sees it.
struct method_info {
  method how;
  const char* name;
  bool inputs;  // it wants to know what a matrix reads
};
inline constexpr method_info methods[] = {{method::rtn, "rtn", false},  {method::search, "search", true},
                                          {method::gptq, "gptq", true}, {method::awq, "awq", true},
                                          {method::hqq, "hqq", false},  {method::sign_round, "sign_round", true}};
inline const method_info& info(method how) { return methods[static_cast<std::size_t>(how)]; }

/// One matrix to be quantized. inputs: for gptq and sign_round; importance: one number for each column, or empty.
/// Weights that awq has scaled are rounded.
struct problem {
  nbit::matrix_view<const float> weights;
  const nbit::hessian* inputs = nullptr;
  std::span<const float> importance;
  nbit::solve_report* report = nullptr;  // what gptq and sign_round say of their solution goes there
};

/// What gptq and sign_round may be told.
struct solver_settings {
  double damping = 0.05;  // the library's defaults
  int passes = 8;
  int kicks = -1;
};

/// The AWQ search for linears with one input, in some format.
using awq_search = nbit::result<nbit::awq_result> (*)(std::span<const nbit::matrix_view<const float>>,
                                                      const nbit::hessian&, const nbit::awq_options&,
                                                      const engine::workers&);

/// A ggml type that every method is compiled for: packed bytes, rows of whole blocks.
struct block_type {
  nbit::ggml_type type;
  std::size_t block;
  nbit::result<std::vector<std::byte>> (*solve)(method, const problem&, const solver_settings&, const engine::workers&);
  awq_search awq;
};

/// A uniform format with integer zeros, for checkpoints.
struct uniform_type {
  int bits;
  std::int64_t group;  // -1: one group for each output
  bool symmetric;
  nbit::result<integer_linear> (*solve)(method, const problem&, const solver_settings&, const engine::workers&);
  awq_search awq;
};

// The formats are compiled in files of their own, which a build runs side by side.
std::span<const block_type> legacy_types();    // Q4_0 Q4_1 Q5_0 Q5_1 Q8_0
std::span<const block_type> k_types();         // Q2_K to Q6_K
std::span<const block_type> iq_types();        // IQ4_NL IQ4_XS IQ3_S IQ3_XXS
std::span<const block_type> iq2_types();       // IQ2_XXS IQ2_XS IQ2_S
std::span<const block_type> iq1_types();       // IQ1_S IQ1_M TQ1_0 TQ2_0 Q1_0 Q2_0
std::span<const block_type> fp4_types();       // MXFP4 NVFP4
std::span<const uniform_type> narrow_types();  // 2 and 3 bits
std::span<const uniform_type> wide_types();    // 4 and 8 bits

/// The type with this number, or nullptr.
const block_type* find_block_type(nbit::ggml_type type);
/// The uniform format with these numbers, or nullptr.
const uniform_type* find_uniform_type(int bits, std::int64_t group, bool symmetric);

}  // namespace tool

#endif
