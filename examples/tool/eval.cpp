// tool/eval.cpp — nbit eval and nbit generate: run a model as it lies on disk.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <functional>
#include <optional>

#include <nbit/parallel/threads.hpp>
#include <nbit/eval/distortion.hpp>
#include <nbit/io/json.hpp>

#include <engine/evaluate.hpp>
#include <engine/generate.hpp>

#include "commands.hpp"
#include "eval.hpp"
#include "failure.hpp"
#include "job.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "source.hpp"

namespace tool {
namespace {

constexpr option eval_options[] = {
    {"--ids", "IDS", "token windows: a safetensors file, tensor ids I32 [windows, tokens]"},
    {"--reference", "MODEL", "also KL divergence (nats) and equal first choices against this model"},
    {"--windows", "N", "perplexity over the first N windows (default: all)"},
    {"--layers", nullptr,
     "with --reference: relative error of every matrix's output on the reference's inputs, and of the\n"
     "hidden state after every block, over 8 windows"},
    {"--kl-windows", "N", "KL over the first N windows (default 64; takes windows x tokens x vocabulary x 4 bytes)"},
    {"--threads", "N", "threads to use (default: all)"},
    {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
    {"--json", nullptr, "print a JSON object"},
    {"--help", nullptr, "this text"}};

constexpr option generate_options[] = {{"--prompt", "TEXT", "text to continue; needs the model's tokenizer"},
                                       {"--ids", "IDS", "instead of text: a window of a token file"},
                                       {"--window", "N", "which window, counted from 0 (default 0)"},
                                       {"--prompt-tokens", "N", "how many of its tokens (default 16)"},
                                       {"--tokens", "N", "how many tokens to add (default 48)"},
                                       {"--threads", "N", "threads to use (default: all)"},
                                       {"--json", nullptr, "print the ids of the prompt and of the continuation"},
                                       {"--help", nullptr, "this text"}};

std::string one_model(const arguments& args, const char* command) {
  if (args.positional.size() != 1)
    throw failure{wrong_usage, std::string(command) + " needs one model, found " +
                                   std::to_string(args.positional.size()) + "; see nbit " + command + " --help"};
  return args.positional[0];
}

/// One matrix, or one block as a whole, against the reference.
struct layer_line {
  std::string name, format;
  double loss;
};

/// What each matrix does to the outputs that the reference's inputs give, and what all blocks up to each one do to the
/// hidden state. Where norms differ (awq folds scales into them) matrices cannot be compared one by one.
std::vector<layer_line> layer_losses(const engine::model& m, const engine::model& reference,
                                     const engine::token_windows& text, const engine::workers& pool,
                                     const engine::progress& told) {
  if (m.blocks.size() != reference.blocks.size())
    throw failure{bad_input, "--reference: blocks (found " + std::to_string(reference.blocks.size()) +
                                 ", allowed: " + std::to_string(m.blocks.size()) + ")"};
  const auto wanted = hidden_after_blocks(reference, text, pool), found = hidden_after_blocks(m, text, pool);
  const std::vector<block_statistics> inputs = collect(reference, text, pool, told);
  std::vector<layer_line> lines;
  const auto floats_of = [](const engine::linear& w) {
    std::vector<float> values(w.shape().rows * w.shape().cols);
    w.decode({values.data(), w.shape().rows, w.shape().cols});
    return values;
  };
  for (std::size_t b = 0; b < m.blocks.size(); ++b) {
    const bool same_norms =
        m.blocks[b].attn_norm == reference.blocks[b].attn_norm && m.blocks[b].ffn_norm == reference.blocks[b].ffn_norm;
    for (std::size_t s = 0; same_norms && s < engine::site_count; ++s)
      for (const engine::role r : engine::readers(static_cast<engine::site>(s))) {
        const engine::linear &now = m.blocks[b][r], &before = reference.blocks[b][r];
        const std::string name = engine::tensor_name(b, r);
        const std::vector<float> w = floats_of(before), a = floats_of(now);
        const nbit::shape shape = before.shape();
        const double loss =
            need(nbit::relative_output_error({w.data(), shape.rows, shape.cols},
                                             {a.data(), now.shape().rows, now.shape().cols}, inputs[b][s], pool),
                 "'" + name + "'");
        lines.push_back({name, std::string(now.format()), loss});
      }
    lines.push_back({"blk." + std::to_string(b), "", relative_error(found[b], wanted[b])});
  }
  return lines;
}

}  // namespace

std::vector<engine::floats> hidden_after_blocks(const engine::model& m, const engine::token_windows& text,
                                                const engine::workers& pool) {
  engine::hidden_states h = engine::embed(m, text.ids, text.count, text.length);
  engine::runner run(m, pool);
  std::vector<engine::floats> after;
  for (std::size_t b = 0; b < m.blocks.size(); ++b) {
    run.run_block(b, h);
    after.push_back(h.rows);
  }
  return after;
}

double relative_error(const engine::floats& found, const engine::floats& wanted) {
  double error = 0, energy = 0;
  for (std::size_t i = 0; i < wanted.values.size(); ++i) {
    const double e = static_cast<double>(found.values[i]) - static_cast<double>(wanted.values[i]),
                 v = static_cast<double>(wanted.values[i]);
    error += e * e, energy += v * v;
  }
  return energy > 0 ? error / energy : 0.0;
}

int eval(std::span<const std::string> words) {
  const arguments args(eval_options, words);
  if (args.has("--help")) {
    std::printf(
        "nbit eval MODEL --ids IDS [options]\nEvery window stands alone, from position 0: window[1:] is predicted "
        "from window[:-1].\n\n%s",
        help_lines(eval_options).c_str());
    return success;
  }
  const std::string path = one_model(args, "eval");
  if (!args.has("--ids")) throw failure{wrong_usage, "eval needs --ids IDS"};
  const long windows = args.number("--windows", 0, 1, 1 << 30),
             kl_windows = args.number("--kl-windows", 64, 1, 1 << 30);
  nbit::thread_pool pool(static_cast<unsigned>(args.number("--threads", 0, 0, 1024)));
  const source from = open_source(path);
  const engine::model m = run_ready(from);
  engine::token_windows text = read_windows(args.get("--ids"), m.config.vocabulary);
  if (windows > 0) text = text.first(static_cast<std::size_t>(windows));
  if (text.length < 2 || text.count == 0)
    throw failure{bad_input, "'" + args.get("--ids") + "': windows of at least two tokens are needed"};
  if (args.has("--layers") && !args.has("--reference"))
    throw failure{wrong_usage, "--layers: only with --reference MODEL, which it compares with"};
  progress bar(args.has("--progress"));
  std::optional<engine::reference_scores> reference;
  std::vector<layer_line> layers;
  if (args.has("--reference")) {
    const source other = open_source(args.get("--reference"));
    const engine::model r = run_ready(other);
    if (r.config.vocabulary != m.config.vocabulary)
      throw failure{bad_input, "--reference: vocabulary (found " + std::to_string(r.config.vocabulary) +
                                   ", allowed: " + std::to_string(m.config.vocabulary) + ")"};
    bar.stage("reference", 0.0, 0.4);
    reference = engine::reference(r, text, static_cast<std::size_t>(kl_windows), pool, std::ref(bar));
    if (args.has("--layers")) layers = layer_losses(m, r, text.first(8), pool, std::ref(bar));
  }
  bar.stage("evaluating", reference ? 0.4 : 0.0, 1.0);
  const engine::evaluation found = engine::evaluate(m, text, reference ? &*reference : nullptr, pool, std::ref(bar));
  if (args.has("--json")) {
    using nbit::json_value;
    json_value j = json_value::object();
    j.add("file", json_value::string(path));
    j.add("bytes", json_value::number(from.file_bytes));
    j.add("ppl", json_value::number(found.perplexity));
    j.add("predictions", json_value::number(found.predictions));
    if (reference) {
      j.add("kl", json_value::number(found.kl));
      j.add("top1", json_value::number(found.top1));
      j.add("compared", json_value::number(found.compared));
    }
    if (args.has("--layers")) {
      json_value& list = j.add("layers", json_value::array());
      for (const layer_line& l : layers) {
        json_value& one = list.push(json_value::object());
        one.add("name", json_value::string(l.name));
        if (!l.format.empty()) one.add("type", json_value::string(l.format));
        one.add("loss", json_value::number(l.loss));
      }
    }
    j.add("seconds", json_value::number(found.seconds));
    std::printf("%s\n", nbit::json_text(j, 1).c_str());
    return success;
  }
  for (const layer_line& l : layers)
    std::printf("  %-28s %-8s %.3e\n", l.name.c_str(), l.format.empty() ? "hidden" : l.format.c_str(), l.loss);
  std::printf("%s: perplexity %.4f over %zu predictions", path.c_str(), found.perplexity, found.predictions);
  if (reference) std::printf("; KL %.6f nats, top-1 %.4f over %zu", found.kl, found.top1, found.compared);
  std::printf("; %.1f s\n", found.seconds);
  return success;
}

int generate(std::span<const std::string> words) {
  const arguments args(generate_options, words);
  if (args.has("--help")) {
    std::printf("nbit generate MODEL --prompt TEXT [options]\nThe most likely continuation, token by token.\n\n%s",
                help_lines(generate_options).c_str());
    return success;
  }
  const std::string path = one_model(args, "generate");
  if (args.has("--prompt") == args.has("--ids"))
    throw failure{wrong_usage, "generate needs --prompt TEXT or --ids IDS"};
  const auto count = static_cast<std::size_t>(args.number("--tokens", 48, 1, 1 << 20));
  const auto first = static_cast<std::size_t>(args.number("--prompt-tokens", 16, 1, 1 << 20));
  nbit::thread_pool pool(static_cast<unsigned>(args.number("--threads", 0, 0, 1024)));
  const source from = open_source(path);
  const engine::model m = run_ready(from);
  std::vector<std::int32_t> prompt;
  std::optional<engine::tokenizer> words_of;
  if (args.has("--prompt")) {
    words_of = read_tokenizer(path);
    prompt = need(words_of->encode(args.get("--prompt")), "--prompt");
  } else {
    const engine::token_windows text = read_windows(args.get("--ids"), m.config.vocabulary);
    const auto window = static_cast<std::size_t>(args.number("--window", 0, 0, 1 << 30));
    if (text.count <= window || text.length < first)
      throw failure{bad_input, "'" + args.get("--ids") + "': windows and tokens (found " + std::to_string(text.count) +
                                   " x " + std::to_string(text.length) + ", wanted --window and --prompt-tokens)"};
    prompt.assign(text[window].begin(), text[window].begin() + static_cast<std::ptrdiff_t>(first));
  }
  const bool json = args.has("--json");
  if (!json && words_of) std::fputs(args.get("--prompt").c_str(), stdout);
  const std::vector<std::int32_t> more = need(engine::greedy(m, prompt, count, pool, [&](std::int32_t id) {
    if (json) return;
    if (words_of)
      std::fputs(words_of->decode(id).c_str(), stdout);
    else
      std::printf("%d ", id);
    std::fflush(stdout);
  }));
  if (json) {
    using nbit::json_value;
    json_value j = json_value::object();
    for (const auto& [name, ids] :
         {std::pair<const char*, const std::vector<std::int32_t>*>{"prompt", &prompt}, {"ids", &more}}) {
      json_value& list = j.add(name, json_value::array());
      for (const std::int32_t id : *ids) list.push(json_value::number(id));
    }
    std::printf("%s", nbit::json_text(j).c_str());
  }
  std::printf("\n");
  return success;
}

}  // namespace tool
