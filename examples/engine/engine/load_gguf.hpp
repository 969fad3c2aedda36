// engine/load_gguf.hpp — a model from a GGUF file of architecture "llama"; weights stay in the mapped file.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_LOAD_GGUF_HPP
#define ENGINE_LOAD_GGUF_HPP

#include <bit>  // endian
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nbit/base/result.hpp>
#include <nbit/io/gguf.hpp>

#include <engine/config.hpp>
#include <engine/ggml_linear.hpp>
#include <engine/model.hpp>

namespace engine {

/// The configuration that a file's keys give.
/// Errors: missing and malformed keys; unsupported for another architecture or a scaled rotary embedding.
inline nbit::result<config> config_of(const nbit::gguf::file& file) {
  using nbit::errc;
  config c;
  c.rope = rope_style::interleaved;
  const auto architecture = file.get<std::string_view>("general.architecture");
  if (!architecture) return architecture.error();
  if (*architecture != "llama")
    return nbit::make_error(errc::unsupported, "the engine does not know this architecture", "llama")
        .about(*architecture);
  if (const auto scaling = file.get<std::string_view>("llama.rope.scaling.type"); scaling && *scaling != "none")
    return nbit::make_error(errc::unsupported, "the engine does not scale rotary embeddings", "none").about(*scaling);
  if (file.tensor("rope_freqs.weight"))
    return nbit::make_error(errc::unsupported, "the engine does not scale rotary embeddings")
        .about("rope_freqs.weight");

  nbit::error first_error;
  bool failed = false;
  const auto size = [&](const char* name, std::size_t otherwise) -> std::size_t {
    if (otherwise != 0 && file.find(name) == nullptr) return otherwise;
    const auto v = file.get<std::uint32_t>(name);
    if (!v && !failed) first_error = v.error(), failed = true;
    return v ? *v : 0;
  };
  const auto real = [&](const char* name, float otherwise) {
    return file.find(name) == nullptr ? otherwise : file.get<float>(name).value_or(otherwise);
  };
  c.layers = size("llama.block_count", 0);
  c.width = size("llama.embedding_length", 0);
  c.ffn_width = size("llama.feed_forward_length", 0);
  c.heads = size("llama.attention.head_count", 0);
  c.kv_heads = size("llama.attention.head_count_kv", c.heads);
  c.context = size("llama.context_length", 0);
  c.head_width = size("llama.attention.key_length", c.heads == 0 ? 1 : c.width / c.heads);
  c.rope_dims = size("llama.rope.dimension_count", c.head_width);
  c.norm_epsilon = real("llama.attention.layer_norm_rms_epsilon", c.norm_epsilon);
  c.rope_base = real("llama.rope.freq_base", c.rope_base);
  c.bos = file.get<int>("tokenizer.ggml.bos_token_id").value_or(-1);
  c.eos = file.get<int>("tokenizer.ggml.eos_token_id").value_or(-1);
  if (failed) return first_error;
  const auto embedding = file.tensor("token_embd.weight");
  if (!embedding) return embedding.error();
  c.vocabulary = static_cast<std::size_t>(embedding->rows());
  if (auto ok = c.check(); !ok) return ok.error();
  return c;
}

/// A tensor of a GGUF file as a matrix, in place.  Errors: missing, unsupported.
inline nbit::result<linear> linear_of(const std::shared_ptr<const nbit::gguf::file>& file, std::string_view name) {
  const auto t = file->tensor(name);
  if (!t) return t.error();
  if (t->order != std::endian::little)
    return nbit::make_error(nbit::errc::unsupported, "the file's numbers are big-endian", "a little-endian file")
        .about(name)
        .at(t->offset);
  const nbit::shape s{static_cast<std::size_t>(t->rows()), static_cast<std::size_t>(t->cols())};
  auto made = ggml_linear(t->type.type, t->bytes, s, file);
  if (!made) return made.error().about(name).at(t->offset);
  return made;
}

/// A tensor of a GGUF file as floats, for norms.
inline nbit::result<std::vector<float>> floats_of(const std::shared_ptr<const nbit::gguf::file>& file,
                                                  std::string_view name) {
  const auto w = linear_of(file, name);
  if (!w) return w.error();
  std::vector<float> out(w->shape().rows * w->shape().cols);
  w->decode({out.data(), w->shape().rows, w->shape().cols});
  return out;
}

/// A model whose weights lie in an open file.  Errors: config_of's, linear_of's, model::check's.
inline nbit::result<model> load_gguf(std::shared_ptr<const nbit::gguf::file> file) {
  const auto c = config_of(*file);
  if (!c) return c.error();
  model m;
  m.config = *c;
  nbit::error first_error;
  bool failed = false;
  const auto take = [&](auto& to, auto&& from) {
    if (from)
      to = *std::move(from);
    else if (!failed)
      first_error = from.error(), failed = true;
  };
  for (const nbit::gguf::tensor_info& t : file->tensors())
    if (t.name.size() > 5 && t.name.substr(t.name.size() - 5) == ".bias")
      return nbit::make_error(nbit::errc::unsupported, "the engine has no biases").about(t.name);
  take(m.token_embd, linear_of(file, "token_embd.weight"));
  take(m.output_norm, floats_of(file, "output_norm.weight"));
  if (file->tensor("output.weight")) take(m.output, linear_of(file, "output.weight"));
  for (std::size_t b = 0; b < c->layers && !failed; ++b) {
    block& to = m.blocks.emplace_back();
    take(to.attn_norm, floats_of(file, tensor_name(b, "attn_norm")));
    take(to.ffn_norm, floats_of(file, tensor_name(b, "ffn_norm")));
    for (std::size_t r = 0; r < role_count; ++r) take(to.matrices[r], linear_of(file, tensor_name(b, role_names[r])));
  }
  if (failed) return first_error;
  if (auto ok = m.check(); !ok) return ok.error();
  return m;
}

/// A model from a file.  Errors: those of gguf::open and of load_gguf above.
inline nbit::result<model> load_gguf(const std::string& path) {
  auto opened = nbit::gguf::open(path);
  if (!opened) return opened.error();
  return load_gguf(std::make_shared<const nbit::gguf::file>(*std::move(opened)));
}

}  // namespace engine

#endif
