// tool/calibrate.cpp — nbit calibrate: what a model's matrices read, as a file of statistics.
//
// Text streams through the whole model a few windows at a time, so memory is the statistics and those windows. Every
// so often the file is written with the number of windows it covers; a run that was ended goes on from there and
// arrives at the same bytes as one that was not.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <nbit/parallel/threads.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/statistics_file.hpp>

#include "calibrate.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "job.hpp"
#include "options.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "source.hpp"

namespace tool {
namespace {

constexpr option known[] = {
    {"--output", "FILE", "the statistics (-o FILE)"},
    {"--ids", "IDS", "token windows: safetensors, tensor ids I32 [windows, tokens]"},
    {"--text", "FILE", "instead: text, cut into windows by the model's tokenizer"},
    {"--window", "N", "with --text: tokens of a window (default 256)"},
    {"--windows", "N", "use the first N windows only"},
    {"--storage", "f64|f32", "numbers of the sums (default f64); f32 takes half the memory"},
    {"--memory", "MIB", "refuse to start when more is needed than this"},
    {"--save-every", "SECONDS", "how often the file is written on the way (default 60; 0: after every step)"},
    {"--resume", nullptr, "go on from what --output holds"},
    {"--merge", nullptr, "the arguments are files of statistics; write their sum, in this order"},
    {"--dry-run", nullptr, "say what would be done and what it takes"},
    {"--threads", "N", "threads to use (default: all)"},
    {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
    {"--help", nullptr, "this text"}};

using facts = std::vector<std::pair<std::string, std::string>>;

void write(const std::string& path, const statistics_list& all, const facts& about) {
  std::vector<nbit::named_statistics> layers;
  for (const auto& [name, h] : all) layers.push_back({name, &h});
  output_file file(path);
  need(nbit::write_statistics(layers, file, about), "writing " + path);
  need(file.commit(), "writing " + path);
}

std::string fact(const nbit::safetensors::file& file, const char* name) {
  const nbit::json_value* const v = file.metadata() == nullptr ? nullptr : file.metadata()->find(name);
  return v == nullptr ? std::string() : std::string(v->text());
}

int merge(const arguments& args) {
  if (args.positional.empty()) throw failure{wrong_usage, "calibrate --merge needs files of statistics"};
  statistics_list all = read_statistics_file(args.positional[0]);
  for (std::size_t i = 1; i < args.positional.size(); ++i)
    for (auto& layer : read_statistics_file(args.positional[i])) {
      const auto there = std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.first == layer.first; });
      if (there == all.end())
        all.push_back(std::move(layer));
      else
        need(there->second.merge(layer.second), args.positional[i] + ": " + layer.first);
    }
  write(args.get("--output"), all, {{"merged", std::to_string(args.positional.size())}});
  std::printf("%s: %zu layers from %zu files\n", args.get("--output").c_str(), all.size(), args.positional.size());
  return success;
}

engine::token_windows text_of(const arguments& args, const std::string& model, std::size_t vocabulary) {
  engine::token_windows text;
  if (args.has("--ids")) {
    text = read_windows(args.get("--ids"), vocabulary);
  } else {
    text.ids = need(read_tokenizer(model).encode(read_text(args.get("--text"))), "--text");
    text.length = static_cast<std::size_t>(args.number("--window", 256, 2, 1 << 20));
    text.count = text.ids.size() / text.length;  // the rest of the text is shorter than a window
    text.ids.resize(text.count * text.length);
  }
  text = text.first(static_cast<std::size_t>(args.number("--windows", 1 << 30, 1, 1 << 30)));
  if (text.ids.empty()) throw failure{bad_input, "no whole window of tokens to calibrate with"};
  return text;
}

/// A hash of the text, so that a run is not resumed on another one.
std::string hash_of(const engine::token_windows& text) {
  std::uint64_t h = 1469598103934665603u;
  for (const std::int32_t id : text.ids)
    h = (h ^ static_cast<std::uint64_t>(static_cast<std::uint32_t>(id))) * 1099511628211u;
  char digits[40];
  std::snprintf(digits, sizeof digits, "%016llx of %zu x %zu", static_cast<unsigned long long>(h), text.count,
                text.length);
  return digits;
}

}  // namespace

std::string site_name(std::size_t block, engine::site s) {
  static constexpr const char* names[] = {"attention_in", "attention_out", "ffn_in", "ffn_out"};
  return "blk." + std::to_string(block) + "." + names[static_cast<std::size_t>(s)];
}

std::size_t site_width(const engine::config& c, engine::site s) {
  return s == engine::site::attention_out ? c.q_width() : s == engine::site::ffn_out ? c.ffn_width : c.width;
}

void add_windows(nbit::hessian& to, nbit::matrix_view<const float> x, std::size_t length, const engine::workers& pool) {
  for (std::size_t t = 0; t < x.rows; t += length) {
    need(to.add(x.row_range(t, std::min(length, x.rows - t)), pool), "calibration");
    to.end_sequence();
  }
}

statistics_list read_statistics_file(const std::string& path) {
  const nbit::safetensors::file file = need(nbit::safetensors::open(path), "reading " + path);
  statistics_list all;
  for (const std::string& name : need(nbit::statistics_names(file), "reading " + path))
    all.emplace_back(name, need(nbit::read_statistics(file, name), "reading " + path));
  return all;
}

std::vector<block_statistics> statistics_of_blocks(const std::string& path, const engine::config& c) {
  statistics_list all = read_statistics_file(path);
  std::vector<block_statistics> blocks(c.layers);
  for (std::size_t b = 0; b < c.layers; ++b)
    for (std::size_t s = 0; s < engine::site_count; ++s) {
      const std::string name = site_name(b, static_cast<engine::site>(s));
      const auto found = std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.first == name; });
      const std::size_t width = site_width(c, static_cast<engine::site>(s));
      if (found == all.end() || found->second.cols() != width)
        throw failure{bad_input, "'" + path + "': statistics of " + name + " (found " +
                                     (found == all.end() ? "none" : std::to_string(found->second.cols()) + " columns") +
                                     ", wanted " + std::to_string(width) + " columns)"};
      blocks[b][s] = std::move(found->second);
    }
  return blocks;
}

int calibrate(std::span<const std::string> words) {
  const arguments args(known, words);
  if (args.has("--help")) {
    std::printf(
        "nbit calibrate MODEL (--ids IDS | --text FILE) -o FILE [options]\nnbit calibrate --merge FILE... -o FILE\n"
        "Statistics of what every matrix of a llama reads: Gram matrices, mean and largest inputs, counts. For nbit "
        "quantize --statistics and nbit plan.\n\n%s",
        help_lines(known).c_str());
    return success;
  }
  if (!args.has("--output")) throw failure{wrong_usage, "calibrate needs --output FILE (-o FILE)"};
  if (args.has("--merge")) return merge(args);
  if (args.positional.size() != 1)
    throw failure{wrong_usage, "calibrate needs one model, found " + std::to_string(args.positional.size())};
  if (args.has("--ids") == args.has("--text"))
    throw failure{wrong_usage, "calibrate needs --ids IDS or --text FILE, one of them"};
  const std::string path = args.positional[0], to = args.get("--output");
  const source from = open_source(path);
  const engine::model m = run_ready(from);
  const engine::token_windows text = text_of(args, path, m.config.vocabulary);
  const auto storage =
      args.choice("--storage", "f64", "f64 f32") == "f32" ? nbit::gram_storage::f32 : nbit::gram_storage::f64;

  constexpr std::size_t step = 8;  // windows that go through the model together
  std::uint64_t bytes = 0;
  for (std::size_t s = 0; s < engine::site_count; ++s) {
    const std::uint64_t cols = site_width(m.config, static_cast<engine::site>(s));
    bytes += m.blocks.size() * (cols * cols * (storage == nbit::gram_storage::f32 ? 2 : 4) + 2200 * cols + 12288);
  }
  bytes += std::uint64_t{4} * step * text.length * (3 * m.config.width + 2 * m.config.ffn_width);
  const auto mib = static_cast<long>((bytes >> 20) + 1), most = args.number("--memory", 0, 1, 1 << 30);
  if (args.has("--dry-run")) {
    std::printf("%s: %zu layers, %zu tokens, about %ld MiB besides the model\n", to.c_str(),
                m.blocks.size() * engine::site_count, text.ids.size(), mib);
    return success;
  }
  if (most != 0 && mib > most)
    throw failure{no_memory, "--memory: statistics need " + std::to_string(mib) +
                                 " MiB, allowed: " + std::to_string(most) + "; --storage f32 takes about half"};

  facts about = {{"text", hash_of(text)}, {"windows_done", "0"}};
  statistics_list all;
  std::size_t done = 0;
  if (args.has("--resume") && std::filesystem::exists(to)) {
    const nbit::safetensors::file file = need(nbit::safetensors::open(to), "reading " + to);
    if (fact(file, "text") != about[0].second)
      throw failure{bad_input, "'" + to + "': statistics of another text (found '" + fact(file, "text") +
                                   "', wanted '" + about[0].second + "')"};
    all = read_statistics_file(to);
    done = static_cast<std::size_t>(std::strtoull(fact(file, "windows_done").c_str(), nullptr, 10));
    about[1].second = std::to_string(done);  // written back even when nothing is left to do
    if (all.size() != m.blocks.size() * engine::site_count || done > text.count)
      throw failure{bad_input, "'" + to + "': statistics of another model"};
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto s = static_cast<engine::site>(i % engine::site_count);
      if (all[i].first != site_name(i / engine::site_count, s) || all[i].second.cols() != site_width(m.config, s))
        throw failure{bad_input, "'" + to + "': statistics of another model (found " + all[i].first + ")"};
    }
  } else {
    for (std::size_t b = 0; b < m.blocks.size(); ++b)
      for (std::size_t s = 0; s < engine::site_count; ++s) {
        const auto at = static_cast<engine::site>(s);
        all.emplace_back(site_name(b, at), nbit::hessian(site_width(m.config, at), storage));
      }
  }

  nbit::thread_pool threads(static_cast<unsigned>(args.number("--threads", 0, 0, 1024)));
  const engine::workers pool(threads);
  const long every = args.number("--save-every", 60, 0, 1 << 30);
  progress bar(args.has("--progress"));
  bar.stage("statistics of " + path);
  engine::runner run(m, pool);
  engine::observer watch;
  watch.input = [&](std::size_t b, engine::site s, nbit::matrix_view<const float> x) {
    add_windows(all[b * engine::site_count + static_cast<std::size_t>(s)].second, x, text.length, pool);
  };
  auto saved = std::chrono::steady_clock::now();
  while (done < text.count) {
    const std::size_t n = std::min(step, text.count - done);
    const auto ids = std::span(text.ids).subspan(done * text.length, n * text.length);
    engine::hidden_states h = engine::embed(m, ids, n, text.length);
    for (std::size_t b = 0; b < m.blocks.size(); ++b) run.run_block(b, h, &watch);
    done += n;
    about[1].second = std::to_string(done);
    bar(done, text.count);
    const auto now = std::chrono::steady_clock::now();
    if (done < text.count && now - saved >= std::chrono::seconds(every)) write(to, all, about), saved = now;
  }
  write(to, all, about);
  double most_noise = 0;
  std::string noisy;
  std::size_t few = 0, fewest = 0;  // layers with fewer tokens than columns, and the one with the smallest share
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& [name, h] = all[i];
    if (const double r = h.shrinkage(); r >= most_noise) most_noise = r, noisy = name;
    if (h.tokens() < h.cols()) ++few;
    if (h.tokens() * all[fewest].second.cols() < all[fewest].second.tokens() * h.cols()) fewest = i;
  }
  std::printf("%s: %zu layers, %zu tokens; noise in the correlations up to %.3f (%s)\n", to.c_str(), all.size(),
              text.ids.size(), most_noise, noisy.c_str());
  if (few != 0)
    std::printf(
        "%zu layers have fewer tokens than columns (%s: %llu for %zu): there gptq is not far from weighted rounding\n",
        few, all[fewest].first.c_str(), static_cast<unsigned long long>(all[fewest].second.tokens()),
        all[fewest].second.cols());
  return success;
}

}  // namespace tool
