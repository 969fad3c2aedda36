// tool/demo.cpp — nbit demo: quantize one model in every way and measure each file that comes out.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>

#include <nbit/parallel/threads.hpp>

#include <engine/evaluate.hpp>

#include "commands.hpp"
#include "eval.hpp"
#include "failure.hpp"
#include "job.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "report.hpp"

namespace tool {
namespace {

namespace fs = std::filesystem;

constexpr option known[] = {{"--model", "DIR", "the model: a folder with safetensors, config.json and tokenizer.json"},
                            {"--calib", "IDS", "calibration windows (default: DIR/calib_ids.safetensors)"},
                            {"--ids", "IDS", "windows to evaluate (default: DIR/dev_ids.safetensors)"},
                            {"--output", "OUT", "folder for the models, demo.json and report.html (-o OUT)"},
                            {"--calib-windows", "N", "calibration windows to use (default: all)"},
                            {"--windows", "N", "windows for perplexity (default: all)"},
                            {"--kl-windows", "N", "windows for KL (default 64)"},
                            {"--threads", "N", "threads to use (default: all)"},
                            {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
                            {"--help", nullptr, "this text"}};

/// What is quantized, and how. format: a ggml type, or wBgN for a GPTQ checkpoint.
struct recipe {
  method how;
  const char* format;
  int bits = 0;
};
constexpr recipe recipes[] = {
    {method::rtn, "Q3_K"},      {method::rtn, "Q4_0"},       {method::rtn, "Q4_K"},      {method::search, "Q2_K"},
    {method::search, "Q3_K"},   {method::search, "Q4_K"},    {method::search, "Q6_K"},   {method::gptq, "Q2_K"},
    {method::gptq, "Q3_K"},     {method::gptq, "Q4_K"},      {method::rtn, "w3g128", 3}, {method::gptq, "w3g128", 3},
    {method::rtn, "w4g128", 4}, {method::gptq, "w4g128", 4}, {method::awq, "w4g128", 4},
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::uint64_t weights_of(const source& from) {
  std::uint64_t n = 0;
  for (const source_tensor& t : from.tensors) n += t.rows() * t.cols();
  return n;
}

/// Every matrix of the blocks in one type, the embeddings as they are.
plan_options one_type(const char* name) {
  plan_options o;
  o.mix = nbit::find_mix(name), o.rules.pure = true, o.keep_embeddings = true;
  return o;
}

/// Everything that the rows share, computed once.
struct workshop {
  const source& from;
  const engine::model& model;
  const engine::workers& pool;
  std::string folder;
  engine::token_windows calibration, text, few;
  engine::reference_scores reference;
  std::vector<engine::floats> hidden;
  std::vector<block_statistics> statistics;

  /// Measures a model that lies on disk.
  demo_row measure(const std::string& file, const char* how, const char* format, const job_report& made, double seconds,
                   const engine::progress& told) const {
    const source written = open_source(folder + "/" + file);
    const engine::model m = run_ready(written);
    const engine::evaluation found = engine::evaluate(m, text, &reference, pool, told);
    demo_row row{file,
                 how,
                 format,
                 written.file_bytes,
                 made.bits_per_weight(),
                 0,
                 found.perplexity,
                 std::max(0.0, found.kl),
                 found.top1,
                 seconds,
                 {}};
    row.file_bpw = 8.0 * static_cast<double>(written.file_bytes) / static_cast<double>(weights_of(from));
    const std::vector<engine::floats> after = hidden_after_blocks(m, few, pool);
    for (std::size_t b = 0; b < after.size(); ++b) row.layer_loss.push_back(relative_error(after[b], hidden[b]));
    return row;
  }

  demo_row make(const recipe& r, progress& bar, double first, double last) const {
    const std::string stem = std::string(info(r.how).name) + "-" + r.format;
    const std::string file = r.bits != 0 ? stem : stem + ".gguf";
    const double middle = first + (last - first) * (r.how == method::gptq ? 0.6 : 0.3);
    job what;
    what.output = folder + "/" + file;
    what.how = r.how, what.calibration = &calibration, what.statistics = &statistics;
    if (r.bits != 0)
      what.linears = linear_format{spelling::gptq_v1, r.bits, 128, false}, fs::remove_all(what.output);
    else
      what.types = one_type(r.format);
    bar.stage("quantizing " + file, first, middle);
    const auto started = std::chrono::steady_clock::now();
    const job_report made = run(what, from, &model, pool, std::ref(bar));
    const double seconds = seconds_since(started);
    bar.stage("evaluating " + file, middle, last);
    return measure(file, info(r.how).name, r.format, made, seconds, std::ref(bar));
  }
};

}  // namespace

int demo(std::span<const std::string> words) {
  const arguments args(known, words);
  if (args.has("--help")) {
    std::printf(
        "nbit demo --model DIR -o OUT [options]\nQuantizes a model with every solver, evaluates every file, prints "
        "one table and writes demo.json and report.html.\n"
        "bpw: bits per weight of the quantized matrices, scales included; file: of everything in the file.\n"
        "seconds: to quantize and write; statistics that rtn, search and awq share are gathered once and not "
        "counted.\n\n%s",
        help_lines(known).c_str());
    return success;
  }
  if (!args.positional.empty()) refuse_option("argument", args.positional[0], "options only; see nbit demo --help");
  for (const char* const name : {"--model", "--output"})
    if (!args.has(name)) throw failure{wrong_usage, std::string("demo needs ") + name};
  const std::string folder = args.get("--model"), out = args.get("--output");
  const long calib_windows = args.number("--calib-windows", 1 << 30, 1, 1 << 30),
             windows = args.number("--windows", 1 << 30, 1, 1 << 30);
  const long kl_windows = args.number("--kl-windows", 64, 1, 1 << 30);
  const auto started = std::chrono::steady_clock::now();
  std::error_code failed;
  fs::create_directories(out, failed);
  if (failed) throw failure{io_failed, "'" + out + "': the folder cannot be created (" + failed.message() + ")"};

  nbit::thread_pool threads(static_cast<unsigned>(args.number("--threads", 0, 0, 1024)));
  const engine::workers pool(threads);
  const source from = open_source(folder);
  const engine::model model = run_ready(from);
  workshop shop{from, model, pool, out, {}, {}, {}, {}, {}, {}};
  shop.calibration = read_windows(args.get("--calib", folder + "/calib_ids.safetensors"), model.config.vocabulary)
                         .first(static_cast<std::size_t>(calib_windows));
  shop.text = read_windows(args.get("--ids", folder + "/dev_ids.safetensors"), model.config.vocabulary)
                  .first(static_cast<std::size_t>(windows));
  shop.few = shop.text.first(8);
  if (shop.text.ids.empty() || shop.calibration.ids.empty())
    throw failure{bad_input, "no tokens to calibrate with or to evaluate"};

  progress bar(args.has("--progress"));
  // Shares of the bar: two for what is shared, one for each row.
  const double share = 1.0 / (std::size(recipes) + 3.0);
  bar.stage("scores of the unquantized model", 0.0, share);
  shop.reference = engine::reference(model, shop.text, static_cast<std::size_t>(kl_windows), pool, std::ref(bar));
  shop.hidden = hidden_after_blocks(model, shop.few, pool);
  bar.stage("statistics of the calibration text", share, 2 * share);
  shop.statistics = collect(model, shop.calibration, pool, std::ref(bar));

  std::vector<demo_row> rows;
  {
    job plain;
    plain.output = out + "/bf16.gguf";
    plain.types = one_type("BF16");
    bar.stage("evaluating the unquantized model", 2 * share, 3 * share);
    const auto begun = std::chrono::steady_clock::now();
    job_report made = run(plain, from, &model, pool, {});
    const double seconds = seconds_since(begun);
    rows.push_back(shop.measure("bf16.gguf", "none", "BF16", made, seconds, std::ref(bar)));
    rows.back().bpw = 16.0;
  }
  for (std::size_t i = 0; i < std::size(recipes); ++i)
    rows.push_back(shop.make(recipes[i], bar, share * static_cast<double>(i + 3), share * static_cast<double>(i + 4)));

  const demo_facts facts{folder, shop.calibration.ids.size(), shop.text.count * (shop.text.length - 1),
                         shop.reference.log_p.rows, seconds_since(started)};
  write_text(out + "/demo.json", as_json(rows));
  write_text(out + "/report.html", as_html(rows, facts));
  bar.stage("done", 1.0, 1.0);
  std::printf("%s", as_table(rows).c_str());
  std::printf("%.0f seconds; %s/demo.json and %s/report.html have the same rows\n", facts.total_seconds, out.c_str(),
              out.c_str());
  return success;
}

}  // namespace tool
