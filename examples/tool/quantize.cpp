// tool/quantize.cpp — nbit quantize: options to a job.
// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <nbit/parallel/threads.hpp>
#include <nbit/io/imatrix_gguf.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/mapped_file.hpp>

#include "calibrate.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "job.hpp"
#include "options.hpp"
#include "progress.hpp"

namespace tool {
namespace {

constexpr option known[] = {
    {"--output", "OUT", "what to write (-o OUT); an existing GGUF file is replaced in one step"},
    {"--format", "gguf|gptq", "container: a GGUF file (default) or a GPTQ checkpoint (a new folder)"},
    {"--type", "TYPE", "GGUF: F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K (default Q4_K)"},
    {"--bits", "N", "GPTQ checkpoint: 2, 3, 4 (default) or 8"},
    {"--group", "N", "GPTQ checkpoint: 32, 64, 128 (default), or -1 for one group each output"},
    {"--symmetric", nullptr, "GPTQ checkpoint: no zero points"},
    {"--solver", "NAME",
     "rtn     round to nearest, the format's own encoder (default without --calib)\n"
     "search  the same with errors weighed by the inputs (an importance matrix)\n"
     "gptq    codes that keep the output's error small (default with --calib)\n"
     "awq     scale and clip first, fold the scales, then round"},
    {"--calib", "IDS", "token windows for every solver but rtn: safetensors, tensor ids I32 [windows, tokens]"},
    {"--statistics", "FILE",
     "statistics of nbit calibrate for search and awq, and for gptq on the unchanged model's inputs"},
    {"--calib-windows", "N", "use the first N windows only"},
    {"--imatrix", "FILE", "rtn: importance matrix (.dat or .gguf) that weighs the errors"},
    {"--damping", "PERMILLE", "gptq: share of the mean added to the diagonal, in thousandths (default 10)"},
    {"--passes", "N", "gptq: rounds of reconsidering scales and codes (default 8)"},
    {"--keep-embeddings", nullptr, "embedding and output matrix stay as they are"},
    {"--embedding-type", "TYPE", "type of the token embedding (default: as --type)"},
    {"--output-type", "TYPE", "type of the output matrix (default: Q6_K if --type is smaller, else as --type)"},
    {"--override", "REGEX=TYPE",
     "type of all tensors whose GGUF name holds a match; may be given again, the first match counts"},
    {"--plan", "FILE", "types that nbit plan chose; they come before --override"},
    {"--ragged", "refuse|fallback",
     "rows that are no whole blocks: an error (default), or a type with blocks of 32, or F16"},
    {"--requantize", nullptr, "allow weights that are quantized already to be decoded and quantized again"},
    {"--no-tokenizer", nullptr, "leave the tokenizer out when a folder becomes a GGUF file"},
    {"--threads", "N", "threads to use (default: all)"},
    {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
    {"--json", nullptr, "print what was done as a JSON object"},
    {"--help", nullptr, "this text"}};

solver solver_of(const std::string& name) {
  return name == "search" ? solver::search : name == "gptq" ? solver::gptq : name == "awq" ? solver::awq : solver::rtn;
}

plan_options types_of(const arguments& args) {
  plan_options o;
  o.type = type_named("--type", args.get("--type", "Q4_K"));
  o.keep_embeddings = args.has("--keep-embeddings");
  o.requantize = args.has("--requantize");
  o.fall_back = args.choice("--ragged", "refuse", "refuse fallback") == "fallback";
  if (args.has("--embedding-type")) o.embedding = type_named("--embedding-type", args.get("--embedding-type"));
  if (args.has("--output-type")) o.output = type_named("--output-type", args.get("--output-type"));
  if (args.has("--plan")) {
    const std::string path = args.get("--plan");
    const nbit::json_value root = read_json(path);
    const nbit::json_value* const types = root.find("types");
    if (types == nullptr || !types->is(nbit::json_kind::object))
      throw failure{bad_input, "'" + path + "': no types; wanted a file that nbit plan wrote"};
    for (std::size_t i = 0; i < types->size(); ++i) {
      std::string exactly = "^";
      for (const char c : types->names()[i]) exactly += c == '.' ? std::string("\\.") : std::string(1, c);
      o.overrides.emplace_back(std::regex(exactly + "$"), type_named("--plan", std::string(types->items()[i].text())));
    }
  }
  for (const std::string& text : args.all("--override")) {
    const std::size_t equals = text.rfind('=');
    if (equals == std::string::npos) refuse_option("--override", text, "REGEX=TYPE, as in 'ffn_down=Q6_K'");
    try {
      o.overrides.emplace_back(std::regex(text.substr(0, equals)), type_named("--override", text.substr(equals + 1)));
    } catch (const std::regex_error& e) {
      refuse_option("--override", text, std::string("a regular expression (") + e.what() + ")");
    }
  }
  return o;
}

}  // namespace

int quantize(std::span<const std::string> words) {
  const arguments args(known, words);
  if (args.has("--help")) {
    std::printf(
        "nbit quantize IN -o OUT [options]\nIN is a GGUF file, a safetensors file with config.json beside it, or a "
        "folder with both (llama family).\n"
        "GGUF files of any architecture can be rounded (rtn); solvers that calibrate run the model, so they need a "
        "llama.\n\n%s",
        help_lines(known).c_str());
    return success;
  }
  if (args.positional.size() != 1)
    throw failure{wrong_usage, "quantize needs one input, found " + std::to_string(args.positional.size()) +
                                   "; see nbit quantize --help"};
  if (!args.has("--output")) throw failure{wrong_usage, "quantize needs --output OUT (-o OUT)"};
  job what;
  what.output = args.get("--output");
  what.checkpoint = args.choice("--format", "gguf", "gguf gptq") == "gptq";
  what.types = types_of(args);
  what.bits = static_cast<int>(args.number("--bits", 4, 2, 8));
  what.group = args.number("--group", 128, -1, 1 << 20);
  what.symmetric = args.has("--symmetric");
  what.how = solver_of(
      args.choice("--solver", args.has("--calib") || args.has("--statistics") ? "gptq" : "rtn", "rtn search gptq awq"));
  what.settings.damping = static_cast<double>(args.number("--damping", 10, 0, 1000000)) / 1000.0;
  what.settings.passes = static_cast<int>(args.number("--passes", 8, 0, 1000));
  what.tokenizer = !args.has("--no-tokenizer");
  if (what.how != solver::rtn && !args.has("--calib") && !args.has("--statistics"))
    throw failure{wrong_usage,
                  "--solver " + args.get("--solver") + " needs --calib IDS or --statistics FILE; allowed without: rtn"};
  std::optional<nbit::imatrix> importance;
  if (args.has("--imatrix")) {
    if (what.how != solver::rtn || what.checkpoint)
      throw failure{wrong_usage, "--imatrix: only for --solver rtn and GGUF; other solvers calibrate with --calib"};
    what.importance_file = args.get("--imatrix");
    const auto bytes = need(nbit::mapped_file::open(what.importance_file), "reading " + what.importance_file);
    importance = need(nbit::read_imatrix(bytes.bytes()), "reading " + what.importance_file);
    what.importance = &*importance;
  }
  const auto threads = static_cast<unsigned>(args.number("--threads", 0, 0, 1024));
  const long windows = args.number("--calib-windows", 0, 1, 1 << 30);

  std::error_code ignored;
  if (!what.checkpoint && std::filesystem::equivalent(what.output, args.positional[0], ignored))
    throw failure{wrong_usage, "--output: '" + what.output + "' is the input; allowed: another name"};
  const source from = open_source(args.positional[0]);
  std::optional<engine::model> model;
  engine::token_windows text;
  if (what.how != solver::rtn || what.checkpoint) model = run_ready(from);
  std::vector<block_statistics> statistics;
  if (what.how != solver::rtn && args.has("--statistics")) {
    statistics = statistics_of_blocks(args.get("--statistics"), model->config);
    what.statistics = &statistics;
  } else if (what.how != solver::rtn) {
    text = read_windows(args.get("--calib"), model->config.vocabulary);
    if (windows > 0) text = text.first(static_cast<std::size_t>(windows));
    if (text.ids.empty()) throw failure{bad_input, "'" + args.get("--calib") + "': no tokens to calibrate with"};
    what.calibration = &text;
  }
  const auto started = std::chrono::steady_clock::now();
  nbit::thread_pool pool(threads);
  progress bar(args.has("--progress"));
  bar.stage("quantizing " + args.positional[0]);
  const job_report done = run(what, from, model ? &*model : nullptr, pool, std::ref(bar));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (args.has("--json")) {
    nbit::json_value j = nbit::json_value::object();
    j.add("file", nbit::json_value::string(what.output));
    j.add("bytes", nbit::json_value::number(done.file_bytes));
    j.add("quantized_weights", nbit::json_value::number(done.quantized_weights));
    j.add("bits_per_weight", nbit::json_value::number(done.bits_per_weight()));
    j.add("seconds", nbit::json_value::number(seconds));
    std::printf("%s\n", nbit::json_text(j, 1).c_str());
  } else {
    std::printf("%s: %llu bytes; %llu weights quantized to %.3f bits each; %.1f s\n", what.output.c_str(),
                static_cast<unsigned long long>(done.file_bytes),
                static_cast<unsigned long long>(done.quantized_weights), done.bits_per_weight(), seconds);
  }
  return success;
}

}  // namespace tool
