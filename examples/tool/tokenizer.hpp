// tool/tokenizer.hpp — what a GGUF file says about a llama-family model: shapes from config.json, tokens from
// tokenizer.json.
// SPDX-License-Identifier: MIT
#ifndef TOOL_TOKENIZER_HPP
#define TOOL_TOKENIZER_HPP

#include <string>

#include <nbit/io/gguf_writer.hpp>
#include <nbit/io/json_value.hpp>

#include <engine/config.hpp>

namespace tool {

/// Sets general.* and llama.* from a model's configuration.
void write_model_keys(nbit::gguf::writer& to, const engine::config& c, const std::string& name);

/// Sets tokenizer.ggml.* from a tokenizer.json with a byte-level BPE model.
/// Failure: another kind of tokenizer, or one that does not fit the vocabulary.
void write_tokenizer_keys(nbit::gguf::writer& to, const nbit::json_value& tokenizer, const engine::config& c);

}  // namespace tool

#endif
