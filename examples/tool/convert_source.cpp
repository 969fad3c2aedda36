// tool/convert_source.cpp — opening of what nbit convert reads.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>
#include <utility>

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

void open_tensors(convert_source& s) {
  const auto files = open_safetensors(s.path);
  if (fs::exists(s.folder + "/config.json")) {
    s.config = read_json(s.folder + "/config.json");
    if (auto c = engine::config_of(s.config)) s.llama = *c;
  }
  s.linears = find_format(s.config, s.folder);
  // FP4 linears need no config: their tensors say what they are.
  if (!s.linears)
    for (const auto& f : files)
      for (const auto& t : f->tensors())
        if (t.type == dtype::u8 && t.name.size() > 14 && t.name.substr(t.name.size() - 14) == ".weight_packed")
          s.linears =
              linear_format{f->tensor(std::string(t.name.substr(0, t.name.size() - 14)) + ".weight_global_scale")
                                ? spelling::compressed_nvfp4
                                : spelling::compressed_mxfp4,
                            4, 32, true};
  const stored_linears linears = s.linears ? stored_linears(*s.linears, files) : stored_linears();
  for (const auto& f : files) {
    if (s.metadata == nullptr) s.metadata = f->metadata();
    for (const auto& t : f->tensors()) {
      const std::string name(t.name), stem = linears.stem_of(name);
      convert_item i;
      if (!stem.empty()) {
        if (!linears.leads(name, stem)) continue;
        i.name = stem + ".weight", i.linear = true, i.kind = name_of(s.linears->spelling);
        i.find = linears.finder(stem);
      } else {
        i.name = name, i.kind = nbit::safetensors::info(t.type).name;
        i.shape = t.shape, i.type = ggml_of(t.type), i.dtype = t.type, i.bytes = t.bytes;
      }
      s.items.push_back(std::move(i));
    }
    s.owners.push_back(f);
  }
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
    open_tensors(s);
  } else {
    const auto bytes = need(nbit::mapped_file::open(path), "reading " + path);
    const std::string_view text = nbit::as_text(bytes.bytes());
    if (text.substr(0, 4) == "GGUF") {
      open_gguf(s);
    } else if (text.substr(0, 1) == "{" || (text.size() >= 9 && text[8] == '{')) {
      s.folder = fs::path(path).parent_path().string();
      if (s.folder.empty()) s.folder = ".";
      open_tensors(s);
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
