// tool/convert.cpp — nbit convert: one model into other files, types, splits, byte orders and spellings.
//
// Two passes: the first converts everything and keeps only names, sizes and verdicts, so that a loss is refused before
// a byte is written and a dry run knows the exact sizes; the second writes. One tensor at a time is in memory.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include <nbit/parallel/threads.hpp>
#include <nbit/io/gguf_byte_order.hpp>
#include <nbit/io/gguf_writer.hpp>
#include <nbit/io/imatrix_gguf.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/mapped_file.hpp>
#include <nbit/io/safetensors_writer.hpp>

#include "commands.hpp"
#include "convert_model.hpp"
#include "failure.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "source.hpp"
#include "tokenizer.hpp"

namespace tool {
namespace {

namespace fs = std::filesystem;

constexpr option known[] = {
    {"--output", "OUT", "what to write (-o OUT): a .gguf or .safetensors file, or a new folder"},
    {"--to", "FORMAT",
     "gguf (default for *.gguf), safetensors, or a checkpoint: gptq, gptq_v2, gptq_planar, awq, awq_gemv,\n"
     "awq_gemv_fast, compressed-tensors, compressed-tensors-int, hqq"},
    {"--type", "TYPE", "GGUF: a type or a mix (Q8_0, Q4_K_M, ...); default: as stored, or what holds the numbers"},
    {"--rules", "2025|2026", "the mix's rules (default 2026)"},
    {"--pure", nullptr, "no rules: --type's own type for every matrix"},
    {"--override", "PATTERN=TYPE", "GGUF with --type: type of tensors whose names match; the first match counts"},
    {"--ragged", "WHAT",
     "GGUF with --type, rows that are no whole blocks: refuse (default), fallback (llama.cpp's choice),\n"
     "or a type; pad is refused: GGUF has no room for a row's true length"},
    {"--floats", "TYPE", "plain matrices, and what becomes plain, as F32, F16 or BF16 (default: as stored, F32)"},
    {"--imatrix", "FILE", "importance matrix (.dat or .gguf) for weights that are quantized anew"},
    {"--names", "model|keep", "a llama's tensors under the names of the other container (default), or as they are"},
    {"--order", "little|big", "GGUF: byte order (default little)"},
    {"--part-bytes", "N", "several files of at most N bytes of tensors (K, M and G for 10^3, 10^6, 10^9)"},
    {"--part-tensors", "N", "GGUF: several files of at most N tensors"},
    {"--allow-lossy", nullptr, "let numbers change where they must; the exit code is 5 then"},
    {"--dry-run", nullptr, "say what would be written, with exact sizes and verdicts, and write nothing"},
    {"--threads", "N", "threads to use (default: all)"},
    {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
    {"--json", nullptr, "print the report as a JSON object"},
    {"--help", nullptr, "this text"}};

std::uint64_t byte_count(const arguments& args, const char* name) {
  if (!args.has(name)) return 0;
  std::string text = args.get(name);
  std::uint64_t unit = 1;
  switch (text.empty() ? '\0' : text.back()) {
    case 'K': unit = 1'000; break;
    case 'M': unit = 1'000'000; break;
    case 'G': unit = 1'000'000'000; break;
    default: break;
  }
  if (unit != 1) text.pop_back();
  std::uint64_t n = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || n > std::uint64_t{1} << 50) n = 0, text.clear();
    n = n * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (text.empty() || n == 0) refuse_option(name, args.get(name), "a number from 1, with K, M or G");
  return n * unit;
}

bool ends(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

struct request {
  convert_target target;
  std::optional<nbit::imatrix> importance;
  std::string output;
  bool dry = false;
};

void read_request(const arguments& args, request& r) {
  r.output = args.get("--output");
  r.dry = args.has("--dry-run");
  convert_target& t = r.target;
  const std::string to = args.choice("--to", ends(r.output, ".safetensors") ? "safetensors" : "gguf",
                                     "gguf safetensors " + written_spellings());
  t.gguf = to == "gguf";
  if (const auto s = written_spelling(to)) t.linears = linear_format{*s, 0, 0, false};
  t.types = read_plan_options(args);
  if (t.types.mix != nullptr && !t.gguf)
    throw failure{wrong_usage, "--type: only with --to gguf; --floats is for plain numbers"};
  for (const char* const name : {"--override", "--ragged", "--rules", "--pure"})
    if (args.has(name) && t.types.mix == nullptr)
      throw failure{wrong_usage, std::string(name) + ": only with --type; without it tensors keep their types"};
  if (args.has("--floats")) {
    const std::string name = args.choice("--floats", "", "F32 F16 BF16");
    t.floats = type_named("--floats", name);
  }
  if (args.has("--imatrix")) {
    const auto bytes = need(nbit::mapped_file::open(args.get("--imatrix")), "reading " + args.get("--imatrix"));
    r.importance = need(nbit::read_imatrix(bytes.bytes()), "reading " + args.get("--imatrix"));
    t.importance = &*r.importance, t.types.importance = true;
  }
  t.model_names = args.choice("--names", "model", "model keep") == "model";
  t.allow_lossy = args.has("--allow-lossy");
  t.order = args.choice("--order", "little", "little big") == "big" ? std::endian::big : std::endian::little;
  if (t.order == std::endian::big && !t.gguf) throw failure{wrong_usage, "--order big: only with --to gguf"};
  t.part_bytes = byte_count(args, "--part-bytes");
  t.part_tensors = static_cast<std::size_t>(args.number("--part-tensors", 0, 1, 1 << 30));
}

/// A checkpoint says one width and one group for all linears: those of the source, or of most GGUF blocks.
void settle_linears(convert_target& t, const convert_source& from) {
  if (!t.linears) return;
  if (from.linears) {
    t.linears->bits = from.linears->bits, t.linears->group = from.linears->group;
    bool symmetric = true;
    for (const convert_item& i : from.items)
      if (i.linear)
        if (const auto q = read_integers(*from.linears, i.find, i.name)) symmetric = symmetric && q->symmetric();
    t.linears->symmetric = symmetric;
  } else if (from.gguf != nullptr) {
    std::size_t four = 0, eight = 0;
    for (const convert_item& i : from.items)
      four += i.type == nbit::ggml_type::q4_0 ? 1 : 0, eight += i.type == nbit::ggml_type::q8_0 ? 1 : 0;
    if (four + eight == 0)
      throw failure{bad_input,
                    "'" + from.path + "': no tensor is a checkpoint's integers (allowed: Q4_0 or Q8_0 tensors)"};
    t.linears->bits = eight > four ? 8 : 4, t.linears->group = 32, t.linears->symmetric = true;
  } else {
    throw failure{bad_input, "'" + from.path + "': plain numbers become a checkpoint by nbit quantize, not by convert"};
  }
}

void set_gguf_keys(nbit::gguf::writer& w, const convert_source& from, const convert_target& t, bool quantized) {
  if (from.gguf != nullptr) {
    need(w.copy_keys(from.gguf->first()));
    nbit::gguf::erase_split_keys(w);
  } else if (from.llama && t.model_names) {
    write_model_keys(w, *from.llama, fs::weakly_canonical(from.folder).filename().string());
    if (fs::exists(from.folder + "/tokenizer.json"))
      write_tokenizer_keys(w, read_json(from.folder + "/tokenizer.json"), *from.llama);
  } else {
    const auto type = from.config.get<std::string_view>("model_type");
    need(w.set("general.architecture", type ? *type : std::string_view("unknown")));
  }
  if (quantized) need(w.set("general.quantization_version", std::uint32_t{2}));
  if (t.types.mix != nullptr) need(w.set("general.file_type", static_cast<std::uint32_t>(t.types.mix->mix)));
  w.set_order(t.order);
}

/// The llama part of config.json from what a GGUF file says.
nbit::json_value llama_config(const engine::config& c, bool tied) {
  using nbit::json_value;
  json_value j = json_value::object();
  j.add("architectures", json_value::array()).push(json_value::string("LlamaForCausalLM"));
  j.add("model_type", json_value::string("llama"));
  for (const auto& [name, v] : {std::pair<const char*, std::size_t>{"hidden_size", c.width},
                                {"intermediate_size", c.ffn_width},
                                {"num_hidden_layers", c.layers},
                                {"num_attention_heads", c.heads},
                                {"num_key_value_heads", c.kv_heads},
                                {"head_dim", c.head_width},
                                {"vocab_size", c.vocabulary},
                                {"max_position_embeddings", c.context}})
    j.add(name, json_value::number(v));
  j.add("hidden_act", json_value::string("silu"));
  j.add("rms_norm_eps", json_value::number(c.norm_epsilon));
  j.add("rope_theta", json_value::number(c.rope_base));
  j.add("tie_word_embeddings", json_value::boolean(tied));
  if (c.bos >= 0) j.add("bos_token_id", json_value::number(c.bos));
  if (c.eos >= 0) j.add("eos_token_id", json_value::number(c.eos));
  return j;
}

struct pass {
  std::vector<convert_line> lines;
  bool lossy = false;
  std::uint64_t bytes = 0;  // of all files with tensors
};

/// Everything that is in the folder beside the weights.
void write_folder_files(output_folder& folder, const convert_source& from, const convert_target& t) {
  nbit::json_value config = from.config;
  if (from.gguf != nullptr && from.llama && t.model_names) {
    const auto& tensors = from.gguf->tensors();
    config = llama_config(*from.llama, std::none_of(tensors.begin(), tensors.end(),
                                                    [](const auto& x) { return x.name == "output.weight"; }));
  }
  const nbit::json_value* const old = config.find("quantization_config");
  const nbit::json_value before = old == nullptr ? nbit::json_value() : *old;
  if (t.linears) {
    const nbit::json_value q = format_json(*t.linears, before);
    config.set("quantization_config", q);
    if (is_gptq(t.linears->spelling)) write_text(folder.inside("quantize_config.json"), nbit::json_text(q, 2) + "\n");
  } else {
    config.erase("quantization_config");
  }
  if (config.is(nbit::json_kind::object)) write_text(folder.inside("config.json"), nbit::json_text(config, 2) + "\n");
  if (from.folder.empty()) return;
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
        "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja"})
    if (fs::exists(from.folder + "/" + name)) write_text(folder.inside(name), read_text(from.folder + "/" + name));
}

class conversion {
 public:
  conversion(const convert_source& from, const request& r, const engine::workers& pool, progress& bar)
      : from_(from), t_(r.target), r_(r), convert_(from, r.target, pool), bar_(bar) {}

  pass run() {
    pass p;
    std::vector<convert_tensor> declared;
    bool quantized = false;
    bar_.stage("reading " + from_.path, 0.0, r_.dry ? 1.0 : 0.5);
    for (std::size_t i = 0; i < from_.items.size(); ++i) {
      converted done = convert_.convert(i, true);
      for (convert_tensor& t : done.tensors) {
        quantized = quantized || (t.type && nbit::find_ggml_type(static_cast<std::uint32_t>(*t.type))->block > 1);
        t.bytes = {};
        declared.push_back(std::move(t));
      }
      p.lossy = p.lossy || done.line.lossy;
      p.lines.push_back(std::move(done.line));
      bar_(i + 1, from_.items.size());
    }
    bar_.stage("writing " + r_.output, 0.5, 1.0);
    if (t_.gguf)
      write_gguf(declared, quantized, p);
    else
      write_safetensors(declared, p);
    return p;
  }

 private:
  /// Hands out the tensors in order, converting item by item.
  template <class Write>
  void pour(std::size_t count, const Write& write) {
    for (; count > 0; --count) {
      while (waiting_.empty()) {
        converted done = convert_.convert(next_++, false);
        for (convert_tensor& t : done.tensors) waiting_.push_back(std::move(t));
        std::reverse(waiting_.begin(), waiting_.end());
        bar_(next_, from_.items.size());
      }
      write(waiting_.back());
      waiting_.pop_back();
    }
  }

  void write_gguf(const std::vector<convert_tensor>& declared, bool quantized, pass& p) {
    nbit::gguf::writer all;
    set_gguf_keys(all, from_, t_, quantized);
    for (const convert_tensor& t : declared) {
      const std::vector<std::uint64_t> ne(t.shape.rbegin(), t.shape.rend());
      need(all.declare(t.name, ne, *t.type), "'" + t.name + "'");
    }
    const bool parts = t_.part_bytes != 0 || t_.part_tensors != 0;
    std::vector<nbit::gguf::writer> writers;
    if (parts)
      writers = need(nbit::gguf::split(all, {t_.part_bytes, t_.part_tensors, false}));
    else
      writers.push_back(std::move(all));
    for (nbit::gguf::writer& w : writers) p.bytes += need(w.file_bytes());
    if (r_.dry) return;
    const auto fill = [&](nbit::gguf::writer& w, output_file& file) {
      auto stream = need(w.begin(file), "writing " + r_.output);
      pour(w.tensors().size(), [&](convert_tensor& t) {
        if (t_.order == std::endian::big) nbit::gguf::swap_byte_order(*t.type, t.bytes);
        need(stream.write(t.name, t.bytes), "writing " + r_.output);
      });
      need(stream.finish(), "writing " + r_.output);
      need(file.commit(), "writing " + r_.output);
    };
    if (!parts) {
      output_file file(r_.output);
      fill(writers[0], file);
      return;
    }
    output_folder folder(r_.output);
    const auto count = static_cast<std::uint32_t>(writers.size());
    for (std::uint32_t no = 0; no < count; ++no) {
      output_file file(folder.inside(nbit::gguf::split_path("model", no, count)));
      fill(writers[no], file);
    }
    folder.commit();
  }

  void write_safetensors(const std::vector<convert_tensor>& declared, pass& p) {
    nbit::safetensors::writer all;
    if (from_.metadata != nullptr)
      for (std::size_t i = 0; i < from_.metadata->size(); ++i)
        all.set_metadata(from_.metadata->names()[i], from_.metadata->items()[i].text());
    else
      all.set_metadata("format", "pt");
    for (const convert_tensor& t : declared) need(all.declare(t.name, *t.dtype, t.shape), "'" + t.name + "'");
    std::vector<nbit::safetensors::writer> writers;
    if (t_.part_bytes != 0)
      writers = nbit::safetensors::split(all, t_.part_bytes);
    else
      writers.push_back(std::move(all));
    for (const nbit::safetensors::writer& w : writers) {
      nbit::memory_sink header;
      (void)need(w.begin(header));
      p.bytes += header.bytes.size();
      for (const auto& t : w.tensors()) p.bytes += t.bytes;
    }
    if (r_.dry) return;
    const auto fill = [&](const nbit::safetensors::writer& w, const std::string& path) {
      output_file file(path);
      auto stream = need(w.begin(file), "writing " + r_.output);
      pour(w.tensors().size(), [&](convert_tensor& t) { need(stream.write(t.name, t.bytes), "writing " + r_.output); });
      need(stream.finish(), "writing " + r_.output);
      need(file.commit(), "writing " + r_.output);
    };
    if (ends(r_.output, ".safetensors")) {
      if (writers.size() != 1 || t_.linears)
        throw failure{wrong_usage, "--output: a checkpoint or several files need a folder; found '" + r_.output + "'"};
      return fill(writers[0], r_.output);
    }
    output_folder folder(r_.output);
    for (std::size_t no = 0; no < writers.size(); ++no)
      fill(writers[no],
           folder.inside(writers.size() == 1 ? "model.safetensors"
                                             : nbit::safetensors::shard_name("model", no, writers.size())));
    if (writers.size() > 1)
      write_text(folder.inside("model.safetensors.index.json"),
                 nbit::json_text(nbit::safetensors::index_json(writers, "model"), 2) + "\n");
    write_folder_files(folder, from_, t_);
    folder.commit();
  }

  const convert_source& from_;
  const convert_target& t_;
  const request& r_;
  converter convert_;
  progress& bar_;
  std::vector<convert_tensor> waiting_;
  std::size_t next_ = 0;
};

void report(const pass& p, const request& r, bool json) {
  if (json) {
    using nbit::json_value;
    json_value j = json_value::object();
    j.add("file", json_value::string(r.output));
    j.add("written", json_value::boolean(!r.dry));
    j.add("bytes", json_value::number(p.bytes));
    j.add("exact", json_value::boolean(!p.lossy));
    json_value& list = j.add("tensors", json_value::array());
    for (const convert_line& l : p.lines) {
      json_value& one = list.push(json_value::object());
      one.add("name", json_value::string(l.name));
      one.add("from", json_value::string(l.from));
      one.add("to", json_value::string(l.to));
      one.add("verdict", json_value::string(l.verdict));
      if (!l.wanted.empty()) one.add("wanted", json_value::string(l.wanted));
      if (!l.why.empty()) one.add("why", json_value::string(l.why));
      if (l.worst_steps != 0) one.add("worst_steps", json_value::number(l.worst_steps));
    }
    std::printf("%s\n", nbit::json_text(j, 1).c_str());
    return;
  }
  std::size_t widest = 6;
  for (const convert_line& l : p.lines) widest = std::max(widest, l.name.size());
  for (const convert_line& l : p.lines)
    std::printf("  %-*s  %-22s -> %-22s %s%s%s%s%s\n", static_cast<int>(widest), l.name.c_str(), l.from.c_str(),
                l.to.c_str(), l.verdict, l.why.empty() ? "" : ": ", l.why.c_str(),
                l.wanted.empty() ? "" : "; rows do not fit ", l.wanted.c_str());
  std::printf("%s: %" PRIu64 " bytes%s; %s", r.output.c_str(), p.bytes, r.dry ? " would be written" : "",
              p.lossy ? "numbers changed" : "every number as it was");
  const auto fallen =
      std::count_if(p.lines.begin(), p.lines.end(), [](const convert_line& l) { return !l.wanted.empty(); });
  if (fallen != 0) std::printf("; %d tensors in another type than asked for, where rows do not fit", int(fallen));
  std::printf("\n");
}

}  // namespace

int convert(std::span<const std::string> words) {
  const arguments args(known, words);
  if (args.has("--help")) {
    std::printf(
        "nbit convert IN -o OUT [options]\nIN is a GGUF file (or any file of a set), a safetensors file, its index, or a "
        "folder.\nNumbers stay exactly what they are, or nothing is written; exit code 0. With --allow-lossy they may "
        "change, and the\nexit code is 5 if any did.\n\n%s",
        help_lines(known).c_str());
    return success;
  }
  if (args.positional.size() != 1)
    throw failure{wrong_usage, "convert needs one input, found " + std::to_string(args.positional.size()) +
                                   "; see nbit convert --help"};
  if (!args.has("--output")) throw failure{wrong_usage, "convert needs --output OUT (-o OUT)"};
  request r;
  read_request(args, r);
  std::error_code ignored;
  if (fs::equivalent(r.output, args.positional[0], ignored))
    throw failure{wrong_usage, "--output: '" + r.output + "' is the input; allowed: another name"};
  nbit::thread_pool pool(static_cast<unsigned>(args.number("--threads", 0, 0, 1024)));
  convert_source from = open_for_convert(args.positional[0]);
  if (!(r.target.model_names && from.llama && r.target.gguf != (from.gguf != nullptr)))
    for (convert_item& i : from.items) i.rows_in.clear();
  settle_linears(r.target, from);
  progress bar(args.has("--progress"));
  conversion work(from, r, pool, bar);
  const pass done = work.run();
  report(done, r, args.has("--json"));
  return done.lossy ? lossy : success;
}

}  // namespace tool
