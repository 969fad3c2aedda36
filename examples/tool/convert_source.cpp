// tool/convert_source.cpp — opening of what nbit convert reads.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>
#include <utility>

#include <nbit/io/json_reader.hpp>
#include <nbit/io/mapped_file.hpp>

#include <engine/load_safetensors.hpp>
#include <engine/model.hpp>

#include "convert_model.hpp"
#include "failure.hpp"
#include "source.hpp"

namespace tool {
namespace {

namespace fs = std::filesystem;
using nbit::ggml_type;
using nbit::safetensors::dtype;

std::optional<ggml_type> ggml_of(dtype t) {
  switch (t) {
    case dtype::f32: return ggml_type::f32;
    case dtype::f16: return ggml_type::f16;
    case dtype::bf16: return ggml_type::bf16;
    case dtype::f64: return ggml_type::f64;
    case dtype::i8: return ggml_type::i8;
    case dtype::i16: return ggml_type::i16;
    case dtype::i32: return ggml_type::i32;
    case dtype::i64: return ggml_type::i64;
    default: return std::nullopt;
  }
}

std::optional<dtype> dtype_of(ggml_type t) {
  for (const dtype d : {dtype::f32, dtype::f16, dtype::bf16, dtype::f64, dtype::i8, dtype::i16, dtype::i32, dtype::i64})
    if (ggml_of(d) == t) return d;
  return std::nullopt;
}

/// GGUF stores q and k of a llama with rows in another order than checkpoints do: what changes between them.
void order_rows(convert_source& s) {
  if (!s.llama) return;
  const bool gguf = s.gguf != nullptr;
  const auto style = gguf ? engine::rope_style::half_split : engine::rope_style::interleaved;
  for (convert_item& i : s.items) {
    const std::string name = gguf ? i.name : engine::gguf_name(i.name);
    const auto ends = [&name](std::string_view end) {
      return name.size() > end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
    };
    if (ends(".attn_q.weight")) i.rows_in = engine::rope_order(*s.llama, s.llama->heads, style);
    if (ends(".attn_k.weight")) i.rows_in = engine::rope_order(*s.llama, s.llama->kv_heads, style);
  }
}

void open_gguf(convert_source& s) {
  s.gguf =
      std::make_shared<const nbit::gguf::split_set>(need(nbit::gguf::split_set::open(s.path), "reading " + s.path));
  for (const nbit::gguf::tensor_info& t : s.gguf->tensors()) {
    convert_item i;
    i.name = t.name, i.kind = t.type.name, i.type = t.type.type, i.dtype = dtype_of(t.type.type);
    i.shape.assign(t.ne.rend() - static_cast<std::ptrdiff_t>(t.n_dims), t.ne.rend());
    i.bytes = t.bytes, i.order = t.order;
    s.items.push_back(std::move(i));
  }
  if (s.gguf->first().get<std::string_view>("general.architecture").value_or("") != "llama") return;
  try {
    s.llama = gguf_config(s.gguf->first(), s.path);
  } catch (const failure&) {  // a llama that the engine does not know is converted under its own names
  }
}

struct stored_in {
  const nbit::safetensors::file* file;
  nbit::safetensors::tensor_info info;
};

void open_safetensors(convert_source& s, std::vector<std::shared_ptr<const nbit::safetensors::file>> files) {
  if (fs::exists(s.folder + "/config.json")) {
    s.config = need(engine::load_json(s.folder + "/config.json"), "reading " + s.folder + "/config.json");
    if (auto c = engine::config_of(s.config)) s.llama = *c;
  }
  if (s.config.find("quantization_config") != nullptr)
    s.linears = read_format(s.config);
  else if (fs::exists(s.folder + "/quantize_config.json"))
    s.linears = read_format(need(engine::load_json(s.folder + "/quantize_config.json")));
  else if (s.config.find("nbits") != nullptr)
    s.linears = read_format(s.config);
  auto all = std::make_shared<std::map<std::string, nbit::stored_tensor, std::less<>>>();
  for (const auto& f : files) {
    if (s.metadata == nullptr) s.metadata = f->metadata();
    for (const auto& t : f->tensors()) all->emplace(std::string(t.name), nbit::stored(t));
  }
  // FP4 linears need no config: their tensors say what they are.
  if (!s.linears)
    for (const auto& [name, t] : *all)
      if (name.size() > 14 && name.compare(name.size() - 14, 14, ".weight_packed") == 0 && t.type == dtype::u8)
        s.linears = linear_format{all->count(name.substr(0, name.size() - 14) + ".weight_global_scale") != 0
                                      ? spelling::compressed_nvfp4
                                      : spelling::compressed_mxfp4,
                                  4, 32, true};
  const auto stem_of = [&](const std::string& name) -> std::string {
    if (!s.linears) return {};
    for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      const std::string stem = name.substr(0, dot);
      if (belongs(s.linears->spelling, std::string_view(name).substr(dot + 1)) &&
          all->count(stem + "." + first_tensor(s.linears->spelling)) != 0)
        return stem;
    }
    return {};
  };
  for (const auto& f : files)
    for (const auto& t : f->tensors()) {
      const std::string name(t.name), stem = stem_of(name);
      convert_item i;
      if (!stem.empty()) {
        if (name != stem + "." + first_tensor(s.linears->spelling)) continue;
        i.name = stem + ".weight", i.linear = true;
        i.kind = name_of(s.linears->spelling);
        i.find = [all, stem](std::string_view part) {
          const auto found = all->find(stem + "." + std::string(part));
          return found == all->end() ? nbit::stored_tensor{} : found->second;
        };
      } else {
        i.name = name, i.kind = nbit::safetensors::info(t.type).name;
        i.shape = t.shape, i.type = ggml_of(t.type), i.dtype = t.type, i.bytes = t.bytes;
      }
      s.items.push_back(std::move(i));
    }
  s.owners.push_back(all);
  for (auto& f : files) s.owners.push_back(std::move(f));
}

void open_index(convert_source& s, const std::string& path) {
  const auto set = std::make_shared<const nbit::safetensors::shard_set>(
      need(nbit::safetensors::shard_set::open(path), "reading " + path));
  std::vector<std::shared_ptr<const nbit::safetensors::file>> files;
  for (const auto& f : set->shards()) files.push_back({set, &f});
  open_safetensors(s, std::move(files));
}

void open_one(convert_source& s, const std::string& path) {
  open_safetensors(
      s, {std::make_shared<const nbit::safetensors::file>(need(nbit::safetensors::open(path), "reading " + path))});
}

}  // namespace

std::size_t convert_item::rows() const {
  std::size_t n = 1;
  for (std::size_t d = 0; d + 1 < shape.size(); ++d) n *= static_cast<std::size_t>(shape[d]);
  return n;
}

convert_source open_for_convert(const std::string& path) {
  convert_source s;
  s.path = path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    s.folder = path;
    const std::string index = path + "/model.safetensors.index.json";
    if (fs::exists(index)) {
      open_index(s, index);
    } else {
      std::vector<std::string> files;
      for (const auto& entry : fs::directory_iterator(path))
        if (entry.path().extension() == ".safetensors" && entry.path().filename().string().substr(0, 5) == "model")
          files.push_back(entry.path().string());
      if (files.size() != 1)
        throw failure{bad_input, "'" + path + "': files named model*.safetensors (found " +
                                     std::to_string(files.size()) + ", allowed: one, or model.safetensors.index.json)"};
      open_one(s, files[0]);
    }
  } else {
    const auto bytes = need(nbit::mapped_file::open(path), "reading " + path);
    const std::string_view text = nbit::as_text(bytes.bytes());
    s.folder = fs::path(path).parent_path().string();
    if (s.folder.empty()) s.folder = ".";
    if (text.substr(0, 4) == "GGUF") {
      s.folder.clear();
      open_gguf(s);
    } else if (path.size() > 11 && path.substr(path.size() - 11) == ".index.json") {
      open_index(s, path);
    } else if (text.size() >= 9 && text[8] == '{') {
      open_one(s, path);
    } else {
      throw failure{
          bad_input,
          "'" + path + "': this is no model (allowed: a GGUF file, a safetensors file, its index, or a folder)"};
    }
  }
  order_rows(s);
  return s;
}

}  // namespace tool
