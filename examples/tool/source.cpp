// tool/source.cpp — models from GGUF files, safetensors folders and GPTQ checkpoints.
// SPDX-License-Identifier: MIT
#include "source.hpp"

#include <algorithm>
#include <array>
#include <bit>  // endian
#include <filesystem>
#include <utility>

#include <nbit/io/gguf_split.hpp>
#include <nbit/io/mapped_file.hpp>
#include <nbit/io/safetensors_index.hpp>

#include <engine/load_safetensors.hpp>

#include "failure.hpp"

namespace tool {
namespace {

namespace fs = std::filesystem;

/// Where a tensor stands in a GGUF file: embedding, blocks, the rest.
std::pair<std::size_t, std::size_t> place(const std::string& name) {
  static constexpr std::array<std::string_view, 9> parts = {"attn_norm", "attn_q",   "attn_k", "attn_v",  "attn_output",
                                                            "ffn_norm",  "ffn_gate", "ffn_up", "ffn_down"};
  constexpr std::size_t last = ~std::size_t{0};
  if (name == "token_embd.weight") return {0, 0};
  if (name == "output_norm.weight") return {last - 1, 0};
  if (name.substr(0, 4) != "blk.") return {last, 0};
  const std::size_t dot = name.find('.', 4);
  const std::string_view part = std::string_view(name).substr(dot + 1, name.rfind('.') - dot - 1);
  return {1 + std::stoul(name.substr(4, dot - 4)),
          static_cast<std::size_t>(std::find(parts.begin(), parts.end(), part) - parts.begin())};
}

nbit::ggml_type ggml_of(const nbit::safetensors::tensor_info& t) {
  switch (t.type) {
    case nbit::safetensors::dtype::f32: return nbit::ggml_type::f32;
    case nbit::safetensors::dtype::f16: return nbit::ggml_type::f16;
    case nbit::safetensors::dtype::bf16: return nbit::ggml_type::bf16;
    case nbit::safetensors::dtype::i32: return nbit::ggml_type::i32;
    default: break;
  }
  throw failure{bad_input,
                "'" + std::string(t.name) + "': weights of this dtype are not read; allowed: F32, F16, BF16"};
}

void open_checkpoint(source& s) {
  const auto files = open_safetensors(s.path);
  s.config = read_json(s.folder + "/config.json");
  const engine::config c = need(engine::config_of(s.config), s.folder + "/config.json");
  s.format = find_format(s.config, s.folder);
  if (s.format) s.linears = stored_linears(*s.format, files);
  s.kind = s.format ? container::checkpoint : container::safetensors;
  const bool tied = s.config.get<bool>("tie_word_embeddings").value_or(false);
  for (const auto& file : files) {
    s.owners.push_back(file);
    s.file_bytes += file->bytes().size();
    for (const nbit::safetensors::tensor_info& t : file->tensors()) {
      source_tensor to;
      to.stored_name = t.name, to.stem = s.linears.stem_of(to.stored_name);
      if (!to.stem.empty()) {
        to.name = engine::gguf_name(to.stem + ".weight");
        if (!to.name.empty() && s.linears.leads(to.stored_name, to.stem)) s.tensors.push_back(std::move(to));
        continue;
      }
      to.name = engine::gguf_name(t.name);
      if (to.name.empty() || (tied && to.name == "output.weight")) continue;  // rotary tables and the like
      to.ne.assign(t.shape.rbegin(), t.shape.rend());
      to.type = ggml_of(t), to.bytes = t.bytes;
      const auto ends = [&to](std::string_view end) {
        return to.name.size() > end.size() && to.name.compare(to.name.size() - end.size(), end.size(), end) == 0;
      };
      if (ends("attn_q.weight")) to.order = engine::rope_order(c, c.heads, engine::rope_style::interleaved);
      if (ends("attn_k.weight")) to.order = engine::rope_order(c, c.kv_heads, engine::rope_style::interleaved);
      if (!to.order.empty() && to.order.size() != to.rows())
        throw failure{bad_input, "'" + to.stored_name + "': rows (found " + std::to_string(to.rows()) +
                                     ", allowed: " + std::to_string(to.order.size()) + ")"};
      s.tensors.push_back(std::move(to));
    }
  }
  std::stable_sort(s.tensors.begin(), s.tensors.end(),
                   [](const source_tensor& a, const source_tensor& b) { return place(a.name) < place(b.name); });
}

void open_gguf(source& s) {
  const auto set =
      std::make_shared<const nbit::gguf::split_set>(need(nbit::gguf::split_set::open(s.path), "reading " + s.path));
  s.gguf = {set, &set->first()};
  s.owners.push_back(set);
  if (s.gguf->order() != std::endian::little)
    throw failure{bad_input,
                  "'" + s.path + "': the file is big-endian; allowed: little-endian, as nbit convert writes"};
  for (const nbit::gguf::file& part : set->parts()) s.file_bytes += part.bytes().size();
  for (const nbit::gguf::tensor_info& t : set->tensors())
    s.tensors.push_back({std::string(t.name),
                         std::string(t.name),
                         {t.ne.begin(), t.ne.begin() + t.n_dims},
                         t.type.type,
                         t.bytes,
                         {},
                         {}});
}

}  // namespace

std::size_t source_tensor::rows() const {
  std::size_t n = 1;
  for (std::size_t d = 1; d < ne.size(); ++d) n *= static_cast<std::size_t>(ne[d]);
  return n;
}

const source_tensor* source::find(std::string_view name) const {
  for (const source_tensor& t : tensors)
    if (t.name == name) return &t;
  return nullptr;
}

std::vector<std::shared_ptr<const nbit::safetensors::file>> open_safetensors(const std::string& path) {
  std::string one = path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    one = path + "/model.safetensors.index.json";
    if (!fs::exists(one)) {
      std::vector<std::string> files;
      for (const auto& entry : fs::directory_iterator(path))
        if (entry.path().extension() == ".safetensors" && entry.path().filename().string().substr(0, 5) == "model")
          files.push_back(entry.path().string());
      if (files.size() != 1)
        throw failure{bad_input, "'" + path + "': files named model*.safetensors (found " +
                                     std::to_string(files.size()) + ", allowed: one, or model.safetensors.index.json)"};
      one = files[0];
    }
  }
  if (one.size() < 11 || one.substr(one.size() - 11) != ".index.json")
    return {std::make_shared<const nbit::safetensors::file>(need(nbit::safetensors::open(one), "reading " + one))};
  const auto set = std::make_shared<const nbit::safetensors::shard_set>(
      need(nbit::safetensors::shard_set::open(one), "reading " + one));
  std::vector<std::shared_ptr<const nbit::safetensors::file>> files;
  for (const auto& f : set->shards()) files.push_back({set, &f});
  return files;
}

source open_source(const std::string& path) {
  source s;
  s.path = path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    s.folder = path;
    open_checkpoint(s);
    return s;
  }
  // By its first bytes, not by its name.
  const auto bytes = need(nbit::mapped_file::open(path), "reading " + path);
  const std::string_view text = nbit::as_text(bytes.bytes());
  if (text.substr(0, 4) == "GGUF" || (text.size() < 9 && fs::path(path).extension() == ".gguf"))
    open_gguf(s);
  else if (text.size() >= 9 && text[8] == '{') {
    s.folder = fs::path(path).parent_path().string();
    if (s.folder.empty()) s.folder = ".";
    open_checkpoint(s);
  } else {
    throw failure{bad_input,
                  "'" + path + "': this is no model (allowed: a GGUF file, a safetensors file, or a folder with one)"};
  }
  return s;
}

engine::linear as_linear(const source_tensor& t, const source& from) {
  return packed_linear(t.type, t.bytes, {t.rows(), t.cols()},
                       std::make_shared<std::vector<std::shared_ptr<const void>>>(from.owners), t.stored_name);
}

engine::config config_of(const source& from) {
  if (from.kind == container::gguf) return gguf_config(*from.gguf, from.path);
  return need(engine::config_of(from.config), from.folder + "/config.json");
}

nbit::json_value read_json(const std::string& path) { return need(engine::load_json(path), "reading " + path); }

engine::model run_ready(const source& from) {
  engine::model m;
  m.config = config_of(from);
  m.blocks.resize(m.config.layers);
  for (const source_tensor& t : from.tensors) {
    if (!t.stem.empty()) {
      dense_linear d = read_floats(*from.format, from.linears.finder(t.stem), t.stem);
      engine::linear w(std::move(d.values), {d.rows, d.cols});
      if (t.name == "output.weight")
        m.output = std::move(w);
      else if (engine::linear* const to = m.find(t.name))
        *to = std::move(w);
      continue;
    }
    if (t.name.size() > 5 && t.name.substr(t.name.size() - 5) == ".bias")
      throw failure{bad_input, "'" + t.name + "': the engine has no biases"};
    const engine::linear w = as_linear(t, from);
    if (t.name == "output.weight")
      m.output = w;
    else if (engine::linear* const to = m.find(t.name))
      *to = w;
    else {
      std::vector<float> gain(t.rows() * t.cols());
      w.decode({gain.data(), t.rows(), t.cols()});
      if (t.name == "output_norm.weight") m.output_norm = gain;
      for (std::size_t b = 0; b < m.config.layers; ++b) {
        if (t.name == engine::tensor_name(b, "attn_norm")) m.blocks[b].attn_norm = gain;
        if (t.name == engine::tensor_name(b, "ffn_norm")) m.blocks[b].ffn_norm = gain;
      }
    }
  }
  if (!m.output && from.kind != container::gguf && !from.config.get<bool>("tie_word_embeddings").value_or(false))
    throw failure{bad_input, "'lm_head.weight': the model lacks this tensor"};
  need(m.check(), "reading " + from.path);
  return m;
}

engine::token_windows read_windows(const std::string& path, std::size_t vocabulary) {
  try {
    return need(engine::load_windows(path, vocabulary), "reading " + path);
  } catch (failure& f) {
    if (f.code == wrong_usage) f.code = bad_input;
    throw;
  }
}

std::string checkpoint_name(std::string_view gguf_name) {
  static constexpr std::array<std::array<std::string_view, 2>, 9> parts = {{{"attn_q", "self_attn.q_proj"},
                                                                            {"attn_k", "self_attn.k_proj"},
                                                                            {"attn_v", "self_attn.v_proj"},
                                                                            {"attn_output", "self_attn.o_proj"},
                                                                            {"ffn_gate", "mlp.gate_proj"},
                                                                            {"ffn_up", "mlp.up_proj"},
                                                                            {"ffn_down", "mlp.down_proj"},
                                                                            {"attn_norm", "input_layernorm"},
                                                                            {"ffn_norm", "post_attention_layernorm"}}};
  if (gguf_name == "token_embd.weight") return "model.embed_tokens";
  if (gguf_name == "output_norm.weight") return "model.norm";
  if (gguf_name == "output.weight") return "lm_head";
  if (gguf_name.substr(0, 4) != "blk.") return {};
  const std::size_t dot = gguf_name.find('.', 4);
  const std::string_view part = gguf_name.substr(dot + 1, gguf_name.rfind('.') - dot - 1);
  for (const auto& p : parts)
    if (p[0] == part) return "model.layers." + std::string(gguf_name.substr(4, dot - 4)) + "." + std::string(p[1]);
  return {};
}

std::string read_text(const std::string& path) {
  const auto file = need(nbit::mapped_file::open(path), "reading " + path);
  return std::string(nbit::as_text(file.bytes()));
}

}  // namespace tool
