// tool/linears.hpp — linears of quantized checkpoints as integers times scales, whatever file they came from.
//
// Uniform codes with integer zeros are one thing in five spellings (GPTQ v1 and v2, AWQ, compressed-tensors, and ggml's
// symmetric blocks), so they are read into one structure and written out of it. What is no such thing (codebooks, small
// floats, fractional zeros) is decoded to floats, exactly.
// SPDX-License-Identifier: MIT
#ifndef TOOL_LINEARS_HPP
#define TOOL_LINEARS_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nbit/format/scheme.hpp>
#include <nbit/tensor/transcode.hpp>
#include <nbit/io/awq_checkpoint.hpp>
#include <nbit/io/checkpoint_tensor.hpp>
#include <nbit/io/ggml_type.hpp>
#include <nbit/io/json_value.hpp>

namespace tool {

/// How the linears of a checkpoint are stored.
enum class spelling : std::uint8_t {
  gptq_v1,
  gptq_v2,
  awq_gemm,
  awq_gemv,
  awq_gemv_fast,
  compressed,      // compressed-tensors, codes in words
  compressed_int,  // compressed-tensors, codes in bytes
  compressed_fp8,
  compressed_nvfp4,
  compressed_mxfp4,
  bitsandbytes,
  hqq
};

/// The word for it: "gptq", "awq", ...
const char* name_of(spelling s);

/// What a checkpoint's config says of all its linears.
struct linear_format {
  tool::spelling spelling = spelling::gptq_v1;
  int bits = 4;
  std::int64_t group = 128;  // -1: one group for each output
  bool symmetric = false;
};

/// A linear as codes, scales and zeros: weight = (code - zero) * scale, rounded once to a float.
struct integer_linear {
  std::size_t rows = 0, cols = 0;
  int bits = 4;
  std::int64_t group = 128;             // -1: one group for each output
  std::vector<std::uint8_t> codes;      // rows x cols
  std::vector<float> scales;            // rows x groups
  std::vector<std::uint8_t> zeros;      // rows x groups
  std::vector<std::uint32_t> group_of;  // of each column where groups are not in order (act-order); else empty
  nbit::scale_type scale = nbit::scale_type::f16;  // as stored

  std::size_t groups() const {
    return group < 0 ? 1 : (cols + static_cast<std::size_t>(group) - 1) / static_cast<std::size_t>(group);
  }
  /// Every zero lies in the middle.
  bool symmetric() const;
  std::vector<float> values() const;
};

/// Where a reader finds the tensors of one linear: name inside the layer, to tensor.
using tensor_finder = std::function<nbit::stored_tensor(std::string_view)>;

/// What the config of a checkpoint says: the member quantization_config, or a quantize_config.json.
/// Failure: methods and settings that are not read here, by name.
linear_format read_format(const nbit::json_value& config);

/// The name of the tensor that a linear of this spelling cannot do without ("qweight").
const char* first_tensor(spelling s);
/// Whether a tensor with this end belongs to a linear that has first_tensor.
bool belongs(spelling s, std::string_view end);

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

}  // namespace tool

#endif
