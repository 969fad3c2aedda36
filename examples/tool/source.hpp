// tool/source.hpp — a model on disk as a list of tensors under their GGUF names, and as a model that runs.
// SPDX-License-Identifier: MIT
#ifndef TOOL_SOURCE_HPP
#define TOOL_SOURCE_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nbit/io/ggml_type.hpp>
#include <nbit/io/gguf_file.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/safetensors_reader.hpp>

#include <engine/evaluate.hpp>
#include <engine/model.hpp>
#include <engine/tokenizer.hpp>

#include "linears.hpp"

namespace tool {

/// What a model's files are.
enum class container { gguf, safetensors, checkpoint };  // checkpoint: safetensors with quantized linears

/// One tensor as it is stored. Rows are in the file's order; `order`, if not empty, is the order GGUF wants them in.
struct source_tensor {
  std::string name;         // GGUF's
  std::string stored_name;  // the file's own
  std::vector<std::uint64_t> ne;
  nbit::ggml_type type = nbit::ggml_type::f32;
  std::span<const std::byte> bytes;
  std::vector<std::size_t> order;
  std::string stem;  // of a quantized linear, which has neither ne nor bytes

  std::size_t cols() const { return ne.empty() ? 1 : static_cast<std::size_t>(ne[0]); }
  std::size_t rows() const;
};

/// A model on disk: mapped, nothing decoded.
struct source {
  container kind = container::gguf;
  std::string path;                                 // as the user gave it
  std::vector<source_tensor> tensors;               // in the order a GGUF file has them
  std::vector<std::shared_ptr<const void>> owners;  // keep the mappings alive
  std::shared_ptr<const nbit::gguf::file> gguf;     // for container::gguf
  std::string folder;                               // for the others
  nbit::json_value config;                          // config.json, for the others
  std::optional<linear_format> format;              // of a checkpoint, and its linears:
  stored_linears linears;

  const source_tensor* find(std::string_view name) const;
  /// Bytes of all files that hold weights.
  std::uint64_t file_bytes = 0;
};

/// Opens a GGUF file, a .safetensors file with config.json beside it, or a folder (one file or an index of shards).
/// Failure: anything that is not such a model.
source open_source(const std::string& path);

/// The safetensors files that a path stands for: a file, an index of shards, or a folder with one of them.
std::vector<std::shared_ptr<const nbit::safetensors::file>> open_safetensors(const std::string& path);

/// The model that a source holds, ready to run: packed ggml types stay packed, quantized linears become dense floats.
engine::model run_ready(const source& from);

/// Packed weights of a ggml type that somebody keeps alive, ready to run.  Failure: a type without a decoder here.
engine::linear packed_linear(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s,
                             std::shared_ptr<const void> owner, const std::string& name);

/// The configuration of a model: from config.json or from the keys of the file.
engine::config config_of(const source& from);
engine::config gguf_config(const nbit::gguf::file& file, const std::string& path);

/// A JSON file's value.
nbit::json_value read_json(const std::string& path);

/// The tokenizer of a model: in the GGUF file, or tokenizer.json beside the checkpoint.
engine::tokenizer read_tokenizer(const std::string& path);

/// Token windows: the tensor "ids" of a safetensors file.
engine::token_windows read_windows(const std::string& path, std::size_t vocabulary);

/// The bytes of a tensor as a matrix.  Failure: a type without a decoder here.
engine::linear as_linear(const source_tensor& t, const source& from);

/// The Hugging Face name of the tensor with this GGUF name, without ".weight"; empty when there is none.
std::string checkpoint_name(std::string_view gguf_name);

/// The whole text of a file.
std::string read_text(const std::string& path);

}  // namespace tool

#endif
