// tool/convert_model.hpp — what nbit convert reads and what it makes: tensors and linears under one roof.
// SPDX-License-Identifier: MIT
#ifndef TOOL_CONVERT_MODEL_HPP
#define TOOL_CONVERT_MODEL_HPP

#include <bit>  // endian
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nbit/tensor/transcode.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_split.hpp>
#include <nbit/io/imatrix.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/safetensors_index.hpp>

#include <engine/config.hpp>
#include <engine/workers.hpp>

#include "linears.hpp"
#include "plan.hpp"

namespace tool {

/// One thing to be converted: a tensor as it is stored, or a linear of a quantized checkpoint (several tensors).
struct convert_item {
  std::string name;  // in the source; of a linear with ".weight" at the end
  bool linear = false;
  std::vector<std::uint64_t> shape;               // outermost first; of a plain tensor
  std::optional<nbit::ggml_type> type;            // if GGUF has this element type
  std::optional<nbit::safetensors::dtype> dtype;  // if safetensors has it
  std::span<const std::byte> bytes;
  std::endian order = std::endian::little;
  tensor_finder find;                // of a linear
  std::vector<std::size_t> rows_in;  // if not empty: output row i is source row rows_in[i]

  std::size_t rows() const;
  std::size_t cols() const { return shape.empty() ? 1 : static_cast<std::size_t>(shape.back()); }
  /// "Q4_0", "BF16", "gptq 4 bits": for the report.
  std::string kind;
};

/// A model as nbit convert sees it.
struct convert_source {
  std::string path, folder;  // folder: where configs and tokenizers lie; empty for GGUF
  std::vector<convert_item> items;
  std::shared_ptr<const nbit::gguf::split_set> gguf;
  nbit::json_value config;                     // config.json, or null
  std::optional<linear_format> linears;        // of a quantized checkpoint
  std::optional<engine::config> llama;         // if the model is one whose names and rows are known
  const nbit::json_value* metadata = nullptr;  // of a safetensors file
  std::vector<std::shared_ptr<const void>> owners;
};

/// Opens GGUF files and sets, safetensors files, sharded models and folders.  Failure: anything else.
convert_source open_for_convert(const std::string& path);

/// What is wanted.
struct convert_target {
  bool gguf = true;
  std::optional<linear_format> linears;   // safetensors: how linears are spelt; nothing: plain numbers
  plan_options types;                     // GGUF; no mix: keep them, or what holds the numbers
  std::optional<nbit::ggml_type> floats;  // plain numbers become F32, F16 or BF16; nothing: as they are
  bool model_names = true;                // llama models get the names that the container's programs use
  bool allow_lossy = false;
  std::endian order = std::endian::little;
  std::uint64_t part_bytes = 0;
  std::size_t part_tensors = 0;
  const nbit::imatrix* importance = nullptr;
};

/// One tensor of the output.
struct convert_tensor {
  std::string name;
  std::optional<nbit::ggml_type> type;
  std::optional<nbit::safetensors::dtype> dtype;
  std::vector<std::uint64_t> shape;  // outermost first
  std::vector<std::byte> bytes;      // little-endian; empty when only the plan was asked for and the size is known
  std::uint64_t size = 0;
};

/// What became of an item.
struct convert_line {
  std::string name, from, to, why, wanted;  // wanted: the type that rows did not fit
  const char* verdict = "copied";           // copied, exact, rounded, requantized
  double worst_steps = 0;
  bool lossy = false;
};

/// An item converted.
struct converted {
  std::vector<convert_tensor> tensors;
  convert_line line;
};

/// Converts items one by one; remembers what it decided, so that a second pass makes the same.
class converter {
 public:
  converter(const convert_source& from, const convert_target& to, const engine::workers& pool);
  /// plan_only: bytes may be left out where their number is known without them.
  /// Failure: damaged tensors, and numbers that the target cannot hold, with the reason.
  converted convert(std::size_t item, bool plan_only) const;

 private:
  std::string name_in_target(const convert_item& item) const;
  converted plain(const convert_item& item, const std::string& name, const nbit::planned_tensor* plan,
                  bool plan_only) const;
  converted quantized(const convert_item& item, const std::string& name, const nbit::planned_tensor* plan,
                      bool plan_only) const;
  converted spelt(const convert_item& item, const std::string& name, integer_linear integers) const;
  converted as_type(const convert_item& item, const std::string& name, nbit::ggml_type type, nbit::shape s,
                    std::vector<std::uint64_t> shape, const std::vector<float>* values, bool plan_only) const;

  const convert_source& from_;
  const convert_target& to_;
  const engine::workers pool_;              // by value: it refers to the pool itself, and callers pass a temporary
  std::vector<nbit::planned_tensor> plan_;  // for each item, with a mix
};

}  // namespace tool

#endif
