// tool/source.cpp — models from GGUF files, safetensors folders and GPTQ checkpoints.
// SPDX-License-Identifier: MIT
#include "source.hpp"

#include <algorithm>
#include <array>
#include <bit>  // endian
#include <filesystem>
#include <map>
#include <utility>

#include <nbit/format/uniform.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/io/gguf_split.hpp>
#include <nbit/io/gptq_checkpoint.hpp>

#include <engine/load_safetensors.hpp>

#include "failure.hpp"

namespace tool {
namespace {

namespace fs = std::filesystem;

std::uint64_t size_of(const std::string& path) {
  std::error_code ignored;
  const auto n = fs::file_size(path, ignored);
  return ignored ? 0 : n;
}

/// The safetensors files of a folder: those an index names, else the one model file.
std::vector<std::string> weight_files(const std::string& folder) {
  const std::string index = folder + "/model.safetensors.index.json";
  std::vector<std::string> files;
  if (!fs::exists(index)) {
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".safetensors" && entry.path().filename().string().substr(0, 5) == "model")
        files.push_back(entry.path().string());
    if (files.size() != 1)
      throw failure{bad_input, "'" + folder + "': files named model*.safetensors (found " +
                                   std::to_string(files.size()) + ", allowed: one, or model.safetensors.index.json)"};
    return files;
  }
  const nbit::json_value json = need(engine::load_json(index));
  const nbit::json_value* const map = json.find("weight_map");
  if (map == nullptr) throw failure{bad_input, "'" + index + "': the index lacks weight_map"};
  for (const nbit::json_value& v : map->items()) {
    const std::string name(need(v.get<std::string_view>(), index));
    if (name.find('/') != std::string::npos)
      throw failure{bad_input, "'" + index + "': '" + name + "' is no file name"};
    if (std::find(files.begin(), files.end(), folder + "/" + name) == files.end()) files.push_back(folder + "/" + name);
  }
  return files;
}

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

void open_checkpoint(source& s, const std::vector<std::string>& files) {
  s.config = need(engine::load_json(s.folder + "/config.json"));
  const engine::config c = need(engine::config_of(s.config), s.folder + "/config.json");
  s.kind = s.config.find("quantization_config") != nullptr || fs::exists(s.folder + "/quantize_config.json")
               ? container::gptq
               : container::safetensors;
  const bool tied = s.config.get<bool>("tie_word_embeddings").value_or(false);
  for (const std::string& path : files) {
    auto file = std::make_shared<const nbit::safetensors::file>(need(nbit::safetensors::open(path), "reading " + path));
    s.owners.push_back(file);
    s.file_bytes += size_of(path);
    for (const nbit::safetensors::tensor_info& t : file->tensors()) {
      source_tensor to;
      to.name = engine::gguf_name(t.name), to.stored_name = t.name;
      if (to.name.empty() && (s.kind != container::gptq ||
                              engine::gguf_name(std::string(t.name.substr(0, t.name.rfind('.'))) + ".weight").empty()))
        continue;  // rotary tables and the like
      if (tied && to.name == "output.weight") continue;
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
    s.tensors.push_back(
        {std::string(t.name), std::string(t.name), {t.ne.begin(), t.ne.begin() + t.n_dims}, t.type.type, t.bytes, {}});
}

template <int Bits, int Group>
struct stored : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric}> {};

template <int Bits, int Group>
engine::linear decode_gptq(const nbit::gptq_linear& from, nbit::gptq_zeros zeros, const std::string& name) {
  const auto codes = need(nbit::unpack_gptq<stored<Bits, Group>>(from, zeros), name);
  std::vector<float> w(codes.rows * codes.cols);
  nbit::detail::decode_matrix(codes, {w.data(), codes.rows, codes.cols});
  return engine::linear(std::move(w), codes.shape());
}

template <int Bits>
engine::linear decode_gptq(const nbit::gptq_linear& from, const nbit::gptq_config& c, const std::string& name) {
  switch (c.group) {
    case 32: return decode_gptq<Bits, 32>(from, c.zeros, name);
    case 64: return decode_gptq<Bits, 64>(from, c.zeros, name);
    case 128: return decode_gptq<Bits, 128>(from, c.zeros, name);
    case -1: return decode_gptq<Bits, nbit::per_row>(from, c.zeros, name);
    default: break;
  }
  throw failure{bad_input, "group_size: found " + std::to_string(c.group) + "; allowed: 32, 64, 128, -1"};
}

/// One linear of a GPTQ checkpoint as floats.
engine::linear gptq_matrix(const source& from, const std::string& stem, const nbit::gptq_config& c) {
  const auto part = [&](const char* name, nbit::ggml_type type) -> const source_tensor& {
    const std::string full = stem + "." + name;
    for (const source_tensor& t : from.tensors)
      if (t.stored_name == full) {
        if (t.type != type) throw failure{bad_input, "'" + full + "': dtype; allowed: I32, and F16 for scales"};
        return t;
      }
    throw failure{bad_input, "'" + full + "': the checkpoint lacks this tensor"};
  };
  const source_tensor &w = part("qweight", nbit::ggml_type::i32), &z = part("qzeros", nbit::ggml_type::i32),
                      &s = part("scales", nbit::ggml_type::f16), &g = part("g_idx", nbit::ggml_type::i32);
  return gptq_dense({g.cols(), w.cols(), s.rows(), w.bytes, z.bytes, s.bytes, g.bytes}, c, stem);
}

}  // namespace

engine::linear gptq_dense(const nbit::gptq_linear& from, const nbit::gptq_config& c, const std::string& name) {
  switch (c.bits) {
    case 2: return decode_gptq<2>(from, c, name);
    case 3: return decode_gptq<3>(from, c, name);
    case 4: return decode_gptq<4>(from, c, name);
    default: return decode_gptq<8>(from, c, name);
  }
}

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

source open_source(const std::string& path) {
  source s;
  s.path = path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    s.folder = path;
    open_checkpoint(s, weight_files(path));
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
    open_checkpoint(s, {path});
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
  nbit::gptq_config packing;
  if (from.kind == container::gptq) {
    const nbit::json_value* const inside = from.config.find("quantization_config");
    packing = need(nbit::read_gptq_config(
                       inside != nullptr ? *inside : need(engine::load_json(from.folder + "/quantize_config.json"))),
                   from.folder);
  }
  for (const source_tensor& t : from.tensors) {
    if (t.name.empty()) {
      if (t.stored_name.size() < 8 || t.stored_name.substr(t.stored_name.size() - 8) != ".qweight") continue;
      const std::string stem = t.stored_name.substr(0, t.stored_name.size() - 8);
      if (engine::linear* const to = m.find(engine::gguf_name(stem + ".weight")))
        *to = gptq_matrix(from, stem, packing);
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
