// tool/linears.hpp — linears of quantized checkpoints as integers times scales, whatever file they came from.
//
// Uniform codes with integer zeros are one thing in many spellings (GPTQ v1, v2 and planar, AWQ, compressed-tensors,
// HQQ, and ggml's symmetric blocks), so they are read into one structure and written out of it. What is no such thing
// (codebooks, small floats, fractional zeros, scales of scales) is decoded to floats, exactly.
// SPDX-License-Identifier: MIT
#ifndef TOOL_LINEARS_HPP
#define TOOL_LINEARS_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nbit/tensor/transcode.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/json_value.hpp>

#include "integers.hpp"

namespace tool {

/// How the linears of a checkpoint are stored.
enum class spelling : std::uint8_t {
  gptq_v1,
  gptq_v2,
  gptq_planar,
  awq_gemm,
  awq_gemv,
  awq_gemv_fast,
  compressed,      // compressed-tensors, codes in words
  compressed_int,  // compressed-tensors, codes in bytes
  compressed_fp8,
  compressed_nvfp4,
  compressed_mxfp4,
  bitsandbytes,
  bitsandbytes_int8,
  hqq,
  exl2,
  exl3
};

/// What there is to know of a spelling.
struct spelling_info {
  tool::spelling spelling;
  const char* name;   // "gptq", "awq", ...: what --to and --format take
  const char* first;  // the tensor that a linear cannot do without
  const char* parts;  // the ends of its tensors, separated by spaces; "*" at the end of one stands for anything
  bool written;       // write_integers makes it
};
std::span<const spelling_info> spellings();
const spelling_info& info(spelling s);
inline const char* name_of(spelling s) { return info(s).name; }
/// The spelling that write_integers makes under this name, or nothing.
std::optional<spelling> written_spelling(std::string_view name);
/// The names of all those, separated by spaces.
std::string written_spellings();
inline bool is_gptq(spelling s) {
  return s == spelling::gptq_v1 || s == spelling::gptq_v2 || s == spelling::gptq_planar;
}

/// What a checkpoint's config says of all its linears.
struct linear_format {
  tool::spelling spelling = spelling::gptq_v1;
  int bits = 4;
  std::int64_t group = 128;  // -1: one group for each output
  bool symmetric = false;
  bool mixed = false;  // bits and group are those of most linears; what a linear's own tensors say counts (GPTQ)
};

/// Where a reader finds the tensors of one linear: name inside the layer, to tensor.
using tensor_finder = std::function<nbit::stored_tensor(std::string_view)>;

/// What the config of a checkpoint says: the member quantization_config, or a quantize_config.json.
/// Failure: methods and settings that are not read here, by name.
linear_format read_format(const nbit::json_value& config);

/// Whether a tensor with this end ("qweight") belongs to a linear of the spelling.
bool belongs(spelling s, std::string_view end);

/// What the config of a checkpoint's folder says: config.json, or a quantize_config.json beside it. Nothing: the model
/// is not quantized.  Failure: as read_format.
std::optional<linear_format> find_format(const nbit::json_value& config, const std::string& folder);

/// The linears in the files of a checkpoint.
class stored_linears {
 public:
  stored_linears() = default;
  stored_linears(linear_format format, std::span<const std::shared_ptr<const nbit::safetensors::file>> files);

  /// The linear that a tensor is part of; empty when it stands for itself.
  std::string stem_of(const std::string& tensor) const;
  /// Whether the tensor is the one that stands for its linear.
  bool leads(const std::string& tensor, const std::string& stem) const {
    return !stem.empty() && tensor == stem + "." + info(format_.spelling).first;
  }
  /// Finds the tensors of a linear; it may outlive this.
  tensor_finder finder(const std::string& stem) const;

 private:
  using tensor_map = std::map<std::string, nbit::stored_tensor, std::less<>>;
  linear_format format_;
  std::shared_ptr<tensor_map> all_;
};

/// A linear as integers; nothing for spellings that hold other numbers.  Failure: damaged tensors.
std::optional<integer_linear> read_integers(const linear_format& f, const tensor_finder& find, const std::string& name);
/// A linear of any spelling as floats: rows x cols.
struct dense_linear {
  std::size_t rows = 0, cols = 0;
  std::vector<float> values;
};
dense_linear read_floats(const linear_format& f, const tensor_finder& find, const std::string& name);

/// The tensors of a linear in another spelling, and what became of its numbers.
struct written_linear {
  std::vector<nbit::owned_tensor> tensors;  // names inside the layer
  nbit::transcode_report report;
};
/// Failure: what the spelling cannot hold, with the reason.
written_linear write_integers(const linear_format& f, const integer_linear& from, const std::string& name);

/// Blocks of a ggml type from integers: exact, rounded or refused, as the report says; no bytes when refused.
struct written_blocks {
  std::vector<std::byte> bytes;
  nbit::transcode_report report;
};
written_blocks blocks_of_integers(nbit::ggml_type type, const integer_linear& from, const std::string& name);
/// Blocks of a ggml type as integers: Q4_0, Q5_0 and Q8_0; nothing for others.
std::optional<integer_linear> integers_of_blocks(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s,
                                                 const std::string& name);
/// MXFP4 of a checkpoint as ggml's blocks: the same codes and scales in another order.
std::vector<std::byte> mxfp4_blocks(const tensor_finder& find, const std::string& name);

/// The member quantization_config for a checkpoint; `before` is what stood there, for what nobody here knows.
nbit::json_value format_json(const linear_format& f, const nbit::json_value& before);

/// Linears by their name in a checkpoint, whose widths differ from those of the format.
using linear_widths = std::map<std::string, linear_format>;
/// Adds them to a config of GPTQ, as GPTQModel has it: "dynamic", a regular expression for each linear.
void add_widths(nbit::json_value& config, const linear_widths& widths);

/// "w3g128", or "w3c" for one group each output, as a format like f.  Failure: other names, with the option.
linear_format width_named(const std::string& option_name, const std::string& name, linear_format f);

}  // namespace tool

#endif
