// nbit/io/bnb_state.hpp — the JSON that a bitsandbytes linear of four bits keeps as a tensor: quant_state.
//
//   {"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [N, K],
//    "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": mean of absmax}
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_BNB_STATE_HPP
#define NBIT_IO_BNB_STATE_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/json_reader.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/json_writer.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// What quant_state says; other members of the JSON stay in `json`.
struct bnb_state {
  std::string quant_type, dtype = "float16";  // dtype: what the peer decodes to
  std::int64_t block = 64;
  std::uint64_t rows = 0, cols = 0;
  bool nested = false;
  std::int64_t nested_block = 256;
  double nested_offset = 0;
  json_value json;
};

/// Reads the JSON of quant_state, which is untrusted bytes of a tensor.
/// Errors: those of json_parse; missing, malformed, unsupported, overflow; the member is the subject.
inline result<bnb_state> read_bnb_state(std::span<const std::byte> bytes) {
  bnb_state s;
  result<json_value> json =
      json_parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, {.bytes = 1u << 16});
  if (!json) return json.error().about("quant_state");
  const json_value& from = *json;
  const auto bad = [](errc code, const char* name, const char* what, const char* allowed) {
    return make_error(code, what, allowed).about(name);
  };
  const result<std::string_view> type = from.get<std::string_view>("quant_type"),
                                 dtype = from.get<std::string_view>("dtype");
  if (!type) return type.error();
  if (!dtype) return dtype.error();
  if (*type != "nf4" && *type != "fp4")
    return bad(errc::unsupported, "quant_type", "codes of another kind", "nf4 or fp4");
  if (*dtype != "float16" && *dtype != "bfloat16" && *dtype != "float32")
    return bad(errc::unsupported, "dtype", "weights of another element type", "float16, bfloat16 or float32");
  s.quant_type = *type, s.dtype = *dtype;
  const result<std::int64_t> block = from.get<std::int64_t>("blocksize");
  if (!block) return block.error();
  if (*block < 32 || *block > 4096 || (*block & (*block - 1)) != 0)
    return bad(errc::malformed, "blocksize", "weights that share an absmax", "a power of two, 32 to 4096").with(*block);
  s.block = *block;
  const json_value* const shape = from.find("shape");
  if (shape == nullptr || !shape->is(json_kind::array))
    return bad(errc::missing, "shape", "the shape is no list", "[outputs, inputs]");
  if (shape->size() != 2)
    return bad(errc::shape, "shape", "the shape has another number of dimensions", "2")
        .with(static_cast<std::int64_t>(shape->size()));
  for (std::size_t i = 0; i < 2; ++i) {
    const result<std::uint64_t> n = shape->items()[i].get<std::uint64_t>();
    if (!n) return n.error().about("shape");
    if (*n == 0 || *n > 0x7fffffffu)
      return bad(errc::overflow, "shape", "a dimension of the shape", "1 to 2^31 - 1")
          .with(static_cast<std::int64_t>(*n));
    (i == 0 ? s.rows : s.cols) = *n;
  }
  s.nested = from.find("nested_blocksize") != nullptr || from.find("nested_offset") != nullptr;
  if (s.nested) {
    const result<std::int64_t> nested = from.get<std::int64_t>("nested_blocksize");
    const result<double> offset = from.get<double>("nested_offset");
    if (!nested) return nested.error();
    if (!offset) return offset.error();
    if (*nested < 1 || *nested > 65536)
      return bad(errc::malformed, "nested_blocksize", "absmax values that share an absmax", "1 to 65536").with(*nested);
    if (!is_finite(static_cast<float>(*offset)))
      return bad(errc::not_finite, "nested_offset", "the mean of absmax is infinite", "a finite number");
    if (from.find("nested_dtype") != nullptr) {
      const result<std::string_view> nested_dtype = from.get<std::string_view>("nested_dtype");
      if (!nested_dtype) return nested_dtype.error();
      if (*nested_dtype != "float32")
        return bad(errc::unsupported, "nested_dtype", "absmax of another element type", "float32");
    }
    s.nested_block = *nested, s.nested_offset = *offset;
  }
  s.json = *std::move(json);
  return s;
}

/// The JSON of quant_state as the peer writes it; members of state.json that nbit does not know stay.
inline std::string bnb_state_text(const bnb_state& s) {
  json_value to = s.json.is(json_kind::object) ? s.json : json_value::object();
  to.set("quant_type", json_value::string(s.quant_type));
  to.set("blocksize", json_value::number(s.block));
  to.set("dtype", json_value::string(s.dtype));
  json_value shape = json_value::array();
  shape.push(json_value::number(s.rows)), shape.push(json_value::number(s.cols));
  to.set("shape", std::move(shape));
  if (s.nested) {
    to.set("nested_blocksize", json_value::number(s.nested_block));
    to.set("nested_dtype", json_value::string("float32"));
    const json_value* const said = to.find("nested_offset");  // its digits stay while they mean the same
    const result<double> same = said != nullptr ? said->get<double>() : result<double>(make_error(errc::missing, ""));
    if (!same || *same != s.nested_offset) to.set("nested_offset", json_value::number(s.nested_offset));
  }
  // The peer's JSON has a space after each comma and colon outside strings.
  std::string spaced;
  bool quoted = false, escaped = false;
  for (const char c : json_text(to)) {
    spaced += c;
    if (!quoted && (c == ',' || c == ':')) spaced += ' ';
    if (c == '"' && !escaped) quoted = !quoted;
    escaped = c == '\\' && !escaped;
  }
  return spaced;
}

namespace detail {
/// The name of the tensor that holds the state.
inline const char* bnb_state_name(std::string_view quant_type) {
  return quant_type == "fp4" ? "weight.quant_state.bitsandbytes__fp4" : "weight.quant_state.bitsandbytes__nf4";
}
}  // namespace detail

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
