// tool/eval.cpp — nbit eval and nbit generate: run a model as it lies on disk.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <functional>
#include <optional>

#include <nbit/parallel/threads.hpp>
#include <nbit/io/json.hpp>

#include <engine/evaluate.hpp>
#include <engine/generate.hpp>

#include "commands.hpp"
#include "failure.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "source.hpp"

namespace tool {
namespace {

constexpr option eval_options[] = {
    {"--ids", "IDS", "token windows: a safetensors file, tensor ids I32 [windows, tokens]"},
    {"--reference", "MODEL", "also KL divergence (nats) and equal first choices against this model"},
    {"--windows", "N", "perplexity over the first N windows (default: all)"},
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

}  // namespace

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
  progress bar(args.has("--progress"));
  std::optional<engine::reference_scores> reference;
  if (args.has("--reference")) {
    const source other = open_source(args.get("--reference"));
    const engine::model r = run_ready(other);
    if (r.config.vocabulary != m.config.vocabulary)
      throw failure{bad_input, "--reference: vocabulary (found " + std::to_string(r.config.vocabulary) +
                                   ", allowed: " + std::to_string(m.config.vocabulary) + ")"};
    bar.stage("reference", 0.0, 0.4);
    reference = engine::reference(r, text, static_cast<std::size_t>(kl_windows), pool, std::ref(bar));
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
    j.add("seconds", json_value::number(found.seconds));
    std::printf("%s\n", nbit::json_text(j, 1).c_str());
    return success;
  }
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
