// tool/inspect.cpp — nbit inspect: what a file says about itself, for people and for programs.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <map>
#include <vector>

#include <nbit/io/gguf.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/safetensors.hpp>

#include "commands.hpp"
#include "failure.hpp"
#include "options.hpp"

namespace tool {
namespace {

using nbit::json_value;

struct tensor_line {
  std::string name, type;
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0, bytes = 0, elements = 1;
};

struct file_facts {
  std::string path, kind;
  std::uint64_t bytes = 0, data_offset = 0;
  json_value keys = json_value::object();
  std::vector<tensor_line> tensors;
};

constexpr std::size_t shown_elements = 8;

json_value as_json(const nbit::gguf::value& v, bool all) {
  using nbit::gguf::value_type;
  if (v.is_array()) {
    json_value list = json_value::array();
    for (const nbit::gguf::value& e : v.elements()) {
      if (!all && list.size() == shown_elements) break;
      list.push(as_json(e, all));
    }
    return list;
  }
  switch (v.type()) {
    case value_type::string: return json_value::string(v.get<std::string_view>().value_or(""));
    case value_type::boolean: return json_value::boolean(v.get<bool>().value_or(false));
    case value_type::f32: return json_value::number(v.get<float>().value_or(0.0f));
    case value_type::f64: return json_value::number(v.get<double>().value_or(0.0));
    case value_type::u64: return json_value::number(v.get<std::uint64_t>().value_or(0));
    default: return json_value::number(v.get<std::int64_t>().value_or(0));
  }
}

file_facts gguf_facts(const std::string& path, bool all) {
  const nbit::gguf::file file = need(nbit::gguf::open(path), "reading " + path);
  file_facts f{path,
               "GGUF version " + std::to_string(file.version()),
               file.bytes().size(),
               file.data_offset(),
               json_value::object(),
               {}};
  for (const nbit::gguf::key& k : file.keys()) {
    json_value v = as_json(k.value, all);
    if (!all && k.value.is_array() && k.value.size() > shown_elements)
      v = json_value::string(nbit::json_text(v).substr(0, 60) + "... (" + std::to_string(k.value.size()) +
                             " elements)");
    f.keys.add(k.name, std::move(v));
  }
  for (const nbit::gguf::tensor_info& t : file.tensors())
    f.tensors.push_back({std::string(t.name),
                         t.type.name,
                         {t.shape().begin(), t.shape().end()},
                         t.offset,
                         t.bytes.size(),
                         t.elements()});
  return f;
}

file_facts safetensors_facts(const std::string& path) {
  const nbit::safetensors::file file = need(nbit::safetensors::open(path), "reading " + path);
  file_facts f{path, "safetensors", file.bytes().size(), file.data_offset(), json_value::object(), {}};
  if (file.metadata() != nullptr) f.keys = *file.metadata();
  for (const nbit::safetensors::tensor_info& t : file.tensors())
    f.tensors.push_back(
        {std::string(t.name), nbit::safetensors::info(t.type).name, t.shape, t.offset, t.bytes.size(), t.elements()});
  return f;
}

file_facts facts_of(const std::string& path, bool all) {
  const auto mapped = need(nbit::mapped_file::open(path), "reading " + path);
  const std::string_view text = nbit::as_text(mapped.bytes());
  const std::string extension = std::filesystem::path(path).extension().string();
  if (text.substr(0, 4) == "GGUF" || extension == ".gguf") return gguf_facts(path, all);
  if (extension == ".safetensors" || (text.size() > 8 && text[8] == '{')) return safetensors_facts(path);
  throw failure{bad_input,
                "'" + path + "': its first bytes are those of no file read here (allowed: GGUF, safetensors)"};
}

/// The files that a path stands for.
std::vector<std::string> files_of(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    if (entry.path().extension() == ".safetensors" || entry.path().extension() == ".gguf")
      files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  if (files.empty())
    throw failure{bad_input, "'" + path + "': the folder holds no model (allowed: *.gguf, *.safetensors)"};
  return files;
}

json_value to_json(const file_facts& f) {
  json_value j = json_value::object();
  j.add("file", json_value::string(f.path));
  j.add("format", json_value::string(f.kind));
  j.add("bytes", json_value::number(f.bytes));
  j.add("data_offset", json_value::number(f.data_offset));
  j.add("keys", f.keys);
  json_value& list = j.add("tensors", json_value::array());
  for (const tensor_line& t : f.tensors) {
    json_value& line = list.push(json_value::object());
    line.add("name", json_value::string(t.name));
    line.add("type", json_value::string(t.type));
    json_value& shape = line.add("shape", json_value::array());
    for (const std::uint64_t n : t.shape) shape.push(json_value::number(n));
    line.add("offset", json_value::number(t.offset));
    line.add("bytes", json_value::number(t.bytes));
  }
  return j;
}

void print(const file_facts& f) {
  std::printf("%s: %s, %" PRIu64 " bytes, data from byte %" PRIu64 "\n", f.path.c_str(), f.kind.c_str(), f.bytes,
              f.data_offset);
  for (std::size_t i = 0; i < f.keys.size(); ++i)
    std::printf("  %-42s %s\n", f.keys.names()[i].c_str(), nbit::json_text(f.keys.items()[i]).c_str());
  std::size_t widest = 6;
  for (const tensor_line& t : f.tensors) widest = std::max(widest, t.name.size());
  std::printf("  %-*s %-8s %-18s %12s %12s\n", static_cast<int>(widest), "tensor", "type", "shape", "bytes", "offset");
  struct total {
    std::size_t tensors = 0;
    std::uint64_t bytes = 0, elements = 0;
  } sum;
  std::map<std::string, total> types;
  for (const tensor_line& t : f.tensors) {
    std::string shape;
    for (const std::uint64_t n : t.shape) shape += (shape.empty() ? "" : " x ") + std::to_string(n);
    std::printf("  %-*s %-8s %-18s %12" PRIu64 " %12" PRIu64 "\n", static_cast<int>(widest), t.name.c_str(),
                t.type.c_str(), shape.c_str(), t.bytes, t.offset);
    for (total* const to : {&types[t.type], &sum}) ++to->tensors, to->bytes += t.bytes, to->elements += t.elements;
  }
  const auto line = [](const char* name, const total& t) {
    std::printf("  %-8s %5zu tensors %14" PRIu64 " weights %14" PRIu64 " bytes %8.3f bits a weight\n", name, t.tensors,
                t.elements, t.bytes,
                t.elements == 0 ? 0.0 : 8.0 * static_cast<double>(t.bytes) / static_cast<double>(t.elements));
  };
  for (const auto& [name, t] : types) line(name.c_str(), t);
  line("all", sum);
}

constexpr option known[] = {{"--json", nullptr, "print one JSON object for each file, in an array; arrays in full"},
                            {"--help", nullptr, "this text"}};

}  // namespace

int inspect(std::span<const std::string> words) {
  const arguments args(known, words);
  if (args.has("--help")) {
    std::printf(
        "nbit inspect FILE...\nKeys, tensors (name, type, shape, bytes, offset) and totals of GGUF files, "
        "safetensors files or folders.\n"
        "GGUF shapes are in the file's order: row length first.\n\n%s",
        help_lines(known).c_str());
    return success;
  }
  if (args.positional.empty()) throw failure{wrong_usage, "inspect needs a file; see nbit inspect --help"};
  json_value all = json_value::array();
  for (const std::string& path : args.positional)
    for (const std::string& file : files_of(path)) {
      const file_facts f = facts_of(file, args.has("--json"));
      if (args.has("--json"))
        all.push(to_json(f));
      else
        print(f);
    }
  if (args.has("--json")) std::printf("%s\n", nbit::json_text(all, 1).c_str());
  return success;
}

}  // namespace tool
