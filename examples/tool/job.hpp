// tool/job.hpp — one quantization from source to finished file; what `nbit quantize` does once and `nbit demo` many
// times.
// SPDX-License-Identifier: MIT
#ifndef TOOL_JOB_HPP
#define TOOL_JOB_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nbit/solver/calibration.hpp>
#include <nbit/io/imatrix.hpp>

#include <engine/evaluate.hpp>
#include <engine/forward.hpp>
#include <engine/model.hpp>
#include <engine/workers.hpp>

#include "linears.hpp"
#include "plan.hpp"
#include "solver.hpp"
#include "source.hpp"
#include "state.hpp"

namespace tool {

/// Input statistics of the four sites of a block.
using block_statistics = std::array<nbit::hessian, engine::site_count>;

/// Everything that decides the bytes of the output, but for the model.
struct job {
  std::string output;
  plan_options types;                    // GGUF
  std::optional<linear_format> linears;  // a checkpoint (a folder) with linears of this format; else a GGUF file
  linear_widths widths;                  // of some of them
  method how = method::rtn;
  solver_settings settings;
  double seconds = 0;     // gptq: a time budget that settings.kicks follow from; 0: none
  bool tokenizer = true;  // write the tokenizer into a GGUF file that is made from a folder
  const engine::token_windows* calibration = nullptr;         // for methods that want to know inputs:
  const std::vector<block_statistics>* statistics = nullptr;  // or of the unquantized model, if they are known already
  std::string importance_file;                                // where it came from
  const nbit::imatrix* importance = nullptr;                  // weighs the errors of what it names
  run_state* state = nullptr;                                 // what an earlier run left, and this one will

  /// Whether the model runs to see what its matrices read.
  bool calibrated() const { return info(how).inputs && (calibration != nullptr || statistics != nullptr); }
};

/// A tensor whose rows did not fit.
struct fallen_back {
  std::string name;
  nbit::ggml_type wanted, type;
};

/// What a solver says of one matrix.
struct solved_matrix {
  std::string name;
  nbit::solve_report report;
};

/// What came out.
struct job_report {
  std::uint64_t file_bytes = 0;       // of all files with weights
  std::uint64_t quantized_bytes = 0;  // of the quantized matrices, parameters included
  std::uint64_t quantized_weights = 0;
  std::vector<fallen_back> fallbacks;
  std::vector<target> types;          // GGUF
  std::vector<solved_matrix> solved;  // by gptq and sign_round, in this run
  double bits_per_weight() const {
    return quantized_weights == 0 ? 0.0
                                  : 8.0 * static_cast<double>(quantized_bytes) / static_cast<double>(quantized_weights);
  }
};

/// Runs a job. The output appears complete or not at all. `model` is the source ready to run; a job that is not
/// calibrated does without (nullptr), unless it makes a checkpoint. dry: makes nothing, and reports what it would be.
job_report run(const job& what, const source& from, const engine::model* model, const engine::workers& pool,
               const engine::progress& told, bool dry = false);

/// Statistics of all blocks of an unquantized model.
std::vector<block_statistics> collect(const engine::model& m, const engine::token_windows& text,
                                      const engine::workers& pool, const engine::progress& told);

/// Called for a block's matrices once they are solved: name, file bytes or checkpoint tensors are the caller's
/// business.
struct solved_sink {
  /// Whether an earlier run solved this matrix: `matrix` does not look at the problem then.
  std::function<bool(const std::string& name)> known;
  /// Quantizes w for these inputs, keeps the result for the file, and returns what the model runs with from now on.
  std::function<engine::linear(const std::string& name, const problem&)> matrix;
  /// Takes the new weights of a norm.
  std::function<void(const std::string& name, const std::vector<float>&)> norm;
  /// The AWQ search of the format of this matrix, or nullptr if it is not quantized.
  std::function<awq_search(const std::string& name)> awq;
};

/// Walks through the blocks with calibration inputs and hands every matrix to the sink, in the order of a forward pass.
void solve_blocks_of(const job& what, const engine::model& m, const engine::workers& pool, const engine::progress& told,
                     const solved_sink& to);

}  // namespace tool

#endif
