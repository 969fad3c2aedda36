// tool/plan.hpp — which type every tensor of a model gets: a mix's rules, with what the command line says about them.
// SPDX-License-Identifier: MIT
#ifndef TOOL_PLAN_HPP
#define TOOL_PLAN_HPP

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nbit/io/ggml_type.hpp>
#include <nbit/plan/mix.hpp>

#include "options.hpp"
#include "source.hpp"

namespace tool {

/// What a user may say about types.
struct plan_options {
  const nbit::mix_info* mix = nullptr;         // nullptr: none was named
  nbit::mix_options rules;                     // but for the overrides, which are these:
  std::vector<nbit::type_override> overrides;  // the first whose pattern matches a name decides
  bool keep_embeddings = false;                // embedding and output stay as they are
  bool requantize = false;                     // else weights that are quantized already keep their type or are refused
  bool importance = false;                     // there is an importance matrix
};

/// Reads --type, --mix, --rules, --pure, --override, --ragged, --embedding-type and --output-type, those that the
/// command has.  Failure: unknown names.
plan_options read_plan_options(const arguments& args);

/// Gives a tensor a type, before all overrides that were there.
void fix_type(plan_options& o, const std::string& tensor, const std::string& type);

/// The mix's types.  Needs: o.mix.  Failure: rows that do not fit and may not fall back, with the tensor.
std::vector<nbit::planned_tensor> plan_types(const plan_options& o, const nbit::gguf::file* file,
                                             const engine::config* model, std::span<const nbit::mix_tensor> tensors);

/// One tensor of the output.
struct target {
  const source_tensor* from = nullptr;
  nbit::ggml_type type = nbit::ggml_type::f32, wanted = nbit::ggml_type::f32;  // they differ where rows did not fit
  bool quantized = false;  // type is a block type and differs from the stored one
};

/// The types of all tensors of a GGUF file.  Failure: as plan_types; weights that are quantized already.
std::vector<target> make_plan(const source& from, const plan_options& options);

/// The type called name ("q4_k" or "Q4_K").  Failure: one that the tool cannot write.
nbit::ggml_type type_named(const std::string& option_name, std::string name);

/// Whether weights of this type are plain numbers.
bool is_float(nbit::ggml_type type);

/// "Q4_K".
std::string type_name(nbit::ggml_type type);

}  // namespace tool

#endif
