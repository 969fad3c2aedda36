// tool/plan.hpp — which type every tensor of a model gets.
//
// Matrices (two or more dimensions, names ending in .weight) get the type asked for; norms, routers and vectors stay
// F32 or as they are. The output matrix, or the embedding where they are one, gets Q6_K when the type asked for is
// smaller. Then overrides: the first pattern that is found in the name decides. Last: what to do when rows are not
// whole blocks.
// SPDX-License-Identifier: MIT
#ifndef TOOL_PLAN_HPP
#define TOOL_PLAN_HPP

#include <cstdint>
#include <optional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include <nbit/io/ggml_type.hpp>

#include "source.hpp"

namespace tool {

/// What a user may say about types.
struct plan_options {
  nbit::ggml_type type = nbit::ggml_type::q4_k;
  bool keep_embeddings = false;  // embedding and output stay as they are
  std::optional<nbit::ggml_type> embedding, output;
  std::vector<std::pair<std::regex, nbit::ggml_type>> overrides;
  bool requantize = false;  // else weights that are quantized already keep their type or are refused
  bool fall_back = false;   // else rows that are no whole blocks are refused
};

/// One tensor of the output.
struct target {
  const source_tensor* from = nullptr;
  nbit::ggml_type type = nbit::ggml_type::f32;
  bool quantized = false;  // type is a block type and differs from the stored one
};

/// The types of all tensors of a GGUF file.  Failure: rows that do not fit, when fall_back is not set.
std::vector<target> make_plan(const source& from, const plan_options& options);

/// The type called name ("q4_k" or "Q4_K").  Failure: one that the tool cannot write.
nbit::ggml_type type_named(const std::string& option_name, std::string name);

/// Whether weights of this type are plain numbers.
bool is_float(nbit::ggml_type type);

/// llama.cpp's number for a file whose matrices have this type (general.file_type).
std::uint32_t file_type_of(nbit::ggml_type type);

/// "Q4_K".
std::string type_name(nbit::ggml_type type);

}  // namespace tool

#endif
