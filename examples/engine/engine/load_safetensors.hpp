// engine/load_safetensors.hpp — a model from a Hugging Face checkpoint: config.json and one safetensors file.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_LOAD_SAFETENSORS_HPP
#define ENGINE_LOAD_SAFETENSORS_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/result.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/mapped_file.hpp>
#include <nbit/io/safetensors.hpp>

#include <engine/config.hpp>
#include <engine/evaluate.hpp>
#include <engine/linear.hpp>
#include <engine/model.hpp>

namespace engine {

/// A JSON file's value.  Errors: those of mapped_file::open and json_parse.
inline nbit::result<nbit::json_value> load_json(const std::string& path) {
  const auto file = nbit::mapped_file::open(path);
  if (!file) return file.error();
  auto parsed = nbit::json_parse(nbit::as_text(file->bytes()));
  if (!parsed) return parsed.error().about(path);
  return parsed;
}

/// The configuration that a config.json gives.
/// Errors: missing and malformed members; unsupported for another model type, biases or a scaled rotary embedding.
inline nbit::result<config> config_of(const nbit::json_value& json) {
  using nbit::errc;
  config c;
  c.rope = rope_style::half_split;
  const auto type = json.get<std::string_view>("model_type");
  if (!type) return type.error();
  if (*type != "llama")
    return nbit::make_error(errc::unsupported, "the engine does not know this model type", "llama").about(*type);
  for (const char* const name : {"attention_bias", "mlp_bias"})
    if (json.get<bool>(name).value_or(false))
      return nbit::make_error(errc::unsupported, "the engine has no biases").about(name);
  if (json.get<std::string_view>("hidden_act").value_or("silu") != "silu")
    return nbit::make_error(errc::unsupported, "the engine knows one activation", "silu").about("hidden_act");

  // Older files have rope_theta and rope_scaling beside each other, newer ones both in rope_parameters.
  const nbit::json_value* base = &json;
  for (const char* const name : {"rope_scaling", "rope_parameters"})
    if (const nbit::json_value* const rope = json.find(name); rope != nullptr && rope->is(nbit::json_kind::object)) {
      if (rope->get<std::string_view>("rope_type").value_or("default") != "default" || rope->find("factor") != nullptr)
        return nbit::make_error(errc::unsupported, "the engine does not scale rotary embeddings", "default")
            .about(name);
      if (rope->find("rope_theta") != nullptr) base = rope;
    }
  c.rope_base = base->get<float>("rope_theta").value_or(c.rope_base);
  c.norm_epsilon = json.get<float>("rms_norm_eps").value_or(c.norm_epsilon);
  c.bos = json.get<int>("bos_token_id").value_or(-1);
  c.eos = json.get<int>("eos_token_id").value_or(-1);

  const struct {
    const char* name;
    std::size_t* to;
  } sizes[] = {{"num_hidden_layers", &c.layers},    {"hidden_size", &c.width},
               {"intermediate_size", &c.ffn_width}, {"num_attention_heads", &c.heads},
               {"vocab_size", &c.vocabulary},       {"max_position_embeddings", &c.context}};
  for (const auto& s : sizes) {
    const auto v = json.get<std::uint32_t>(s.name);
    if (!v) return v.error();
    *s.to = *v;
  }
  c.kv_heads = json.get<std::uint32_t>("num_key_value_heads").value_or(static_cast<std::uint32_t>(c.heads));
  c.head_width =
      json.get<std::uint32_t>("head_dim").value_or(c.heads == 0 ? 0u : static_cast<std::uint32_t>(c.width / c.heads));
  c.rope_dims = c.head_width;
  if (auto ok = c.check(); !ok) return ok.error();
  return c;
}

/// The GGUF name of a tensor of a Hugging Face llama checkpoint, or an empty string.
inline std::string gguf_name(std::string_view name) {
  static constexpr std::array<std::array<std::string_view, 2>, 3> whole = {{
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"},
  }};
  static constexpr std::array<std::array<std::string_view, 2>, 9> parts = {{
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},
      {"input_layernorm", "attn_norm"},
      {"post_attention_layernorm", "ffn_norm"},
  }};
  for (const auto& w : whole)
    if (name == w[0]) return std::string(w[1]);
  constexpr std::string_view prefix = "model.layers.";
  if (name.substr(0, prefix.size()) != prefix) return {};
  name.remove_prefix(prefix.size());
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos || dot == 0) return {};
  for (const auto& p : parts)
    if (name.substr(dot + 1) == std::string(p[0]) + ".weight")
      return "blk." + std::string(name.substr(0, dot)) + "." + std::string(p[1]) + ".weight";
  return {};
}

/// A tensor of a safetensors file as a dense matrix (one dimension: one row).  Errors: missing, unsupported.
inline nbit::result<linear> linear_of(const std::shared_ptr<const nbit::safetensors::file>& file,
                                      std::string_view name) {
  const auto t = file->tensor(name);
  if (!t) return t.error();
  const nbit::shape s{static_cast<std::size_t>(t->rows()), static_cast<std::size_t>(t->cols())};
  switch (t->type) {
    case nbit::safetensors::dtype::f32: return dense_linear<float>(t->bytes, s, file);
    case nbit::safetensors::dtype::f16: return dense_linear<nbit::f16>(t->bytes, s, file);
    case nbit::safetensors::dtype::bf16: return dense_linear<nbit::bf16>(t->bytes, s, file);
    default: break;
  }
  return nbit::make_error(nbit::errc::unsupported, "the engine reads dense weights only", "F32, F16 or BF16")
      .about(name)
      .at(t->offset);
}

/// A model whose weights lie in an open file; its names are mapped to GGUF's.
/// Errors: those of linear_of and model::check; missing, naming the tensor as GGUF does.
inline nbit::result<model> load_safetensors(std::shared_ptr<const nbit::safetensors::file> file, const config& c,
                                            bool tied_head) {
  if (c.layers > file->tensors().size())  // before memory is taken for them
    return nbit::make_error(nbit::errc::missing, "the file has fewer tensors than the model has layers")
        .with(static_cast<std::int64_t>(c.layers));
  model m;
  m.config = c;
  m.blocks.resize(c.layers);
  for (const nbit::safetensors::tensor_info& t : file->tensors()) {
    const std::string name = gguf_name(t.name);
    if (name.empty() || (tied_head && name == "output.weight")) continue;  // rotary tables and the like
    auto w = linear_of(file, t.name);
    if (!w) return w.error();
    if (name == "output.weight")
      m.output = *w;
    else if (linear* const to = m.find(name))
      *to = *w;
    else {
      std::vector<float> gain(w->shape().rows * w->shape().cols);
      w->decode({gain.data(), w->shape().rows, w->shape().cols});
      if (name == "output_norm.weight") m.output_norm = std::move(gain);
      for (std::size_t b = 0; b < c.layers; ++b) {
        if (name == tensor_name(b, "attn_norm"))
          m.blocks[b].attn_norm = std::move(gain);
        else if (name == tensor_name(b, "ffn_norm"))
          m.blocks[b].ffn_norm = std::move(gain);
      }
    }
  }
  if (!tied_head && !m.output)
    return nbit::make_error(nbit::errc::missing, "the file lacks this tensor").about("lm_head.weight");
  if (auto ok = m.check(); !ok) return ok.error();
  return m;
}

/// A model from a safetensors file and the config.json beside it.
inline nbit::result<model> load_safetensors(const std::string& path, const std::string& config_path) {
  const auto json = load_json(config_path);
  if (!json) return json.error();
  const auto c = config_of(*json);
  if (!c) return c.error().about(config_path);
  auto opened = nbit::safetensors::open(path);
  if (!opened) return opened.error();
  const bool tied = json->get<bool>("tie_word_embeddings").value_or(false);
  return load_safetensors(std::make_shared<const nbit::safetensors::file>(*std::move(opened)), *c, tied);
}

/// Windows of token ids: the tensor "ids", I32 [windows, tokens], of a safetensors file.
/// Errors: missing, unsupported, shape; invalid_option for an id outside the vocabulary, with row and column.
inline nbit::result<token_windows> load_windows(const std::string& path, std::size_t vocabulary) {
  const auto file = nbit::safetensors::open(path);
  if (!file) return file.error();
  const auto t = file->tensor("ids");
  if (!t) return t.error();
  if (t->type != nbit::safetensors::dtype::i32 || t->shape.size() != 2)
    return nbit::make_error(nbit::errc::unsupported, "token windows have another type or shape",
                            "I32 [windows, tokens]")
        .about(path);
  token_windows w{static_cast<std::size_t>(t->rows()), static_cast<std::size_t>(t->cols()), {}};
  w.ids.resize(w.count * w.length);
  for (std::size_t i = 0; i < w.ids.size(); ++i) {
    w.ids[i] = nbit::load_le<std::int32_t>(t->bytes.data() + i * sizeof(std::int32_t));
    if (w.ids[i] < 0 || static_cast<std::size_t>(w.ids[i]) >= vocabulary)
      return nbit::make_error(nbit::errc::invalid_option, "token id is outside the vocabulary")
          .about(path)
          .with(w.ids[i])
          .at(static_cast<std::int64_t>(i / w.length), static_cast<std::int64_t>(i % w.length));
  }
  return w;
}

}  // namespace engine

#endif
