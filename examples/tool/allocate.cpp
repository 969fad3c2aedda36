// tool/allocate.cpp — nbit plan: measure what each type costs each matrix, and choose types for a budget.
//
// A loss is the KL divergence of the model with that one matrix quantized from the model as it is, over a few windows:
// what a user sees, and comparable between matrices. Losses are added up. Blocks before the matrix are run once, not
// once for every type. The measurement is a file of its own: any budget can be asked of it again without running
// anything.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include <nbit/parallel/threads.hpp>
#include <nbit/io/json.hpp>
#include <nbit/plan/allocation.hpp>
#include <nbit/plan/measurement.hpp>

#include "calibrate.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "job.hpp"
#include "options.hpp"
#include "output.hpp"
#include "plan.hpp"
#include "progress.hpp"
#include "source.hpp"

namespace tool {
namespace {

constexpr option known[] = {
    {"--types", "LIST",
     "types to choose from, with commas (default Q2_K,Q3_K,Q4_K,Q5_K,Q6_K), or widths, as w2g64,w3g128,w4g128:\n"
     "integers of N columns a group, for nbit quantize --format gptq; embedding and output are left out then"},
    {"--statistics", "FILE", "of nbit calibrate: solve with gptq, else round"},
    {"--ids", "IDS", "token windows to measure on (not the ones that will judge the result)"},
    {"--windows", "N", "how many of them (default 8)"},
    {"--save", "FILE", "write the measurement (JSON)"},
    {"--measured", "FILE", "use this measurement instead of measuring"},
    {"--budget", "BITS", "bits per weight of all matrices in thousandths, as in 4500"},
    {"--bytes", "N", "or bytes of all matrices"},
    {"--floor", "ROLE=BITS", "least bits per weight of a role, as ffn_down=4; may be given again"},
    {"--output", "FILE", "write the choice for nbit quantize --plan (JSON)"},
    {"--threads", "N", "threads to use (default: all)"},
    {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
    {"--help", nullptr, "this text"}};

/// One way to store a matrix: blocks of a ggml type, or integers of a checkpoint.
struct candidate {
  std::string name;
  const block_type* blocks = nullptr;
  const uniform_type* integers = nullptr;

  bool fits(std::size_t cols) const {
    return cols % (blocks != nullptr ? blocks->block : integers->group < 0 ? 1 : std::size_t(integers->group)) == 0;
  }
};

/// What a solver made: how many bytes it takes in a file, and what the model runs with.
struct made_linear {
  std::uint64_t bytes = 0;
  engine::linear runs;
};

made_linear solved(const candidate& c, method how, const problem& p, const engine::workers& pool,
                   const std::string& name) {
  const nbit::shape shape{p.weights.rows, p.weights.cols};
  if (c.blocks != nullptr) {
    const auto bytes = std::make_shared<std::vector<std::byte>>(need(c.blocks->solve(how, p, {}, pool), name));
    return {bytes->size(), packed_linear(c.blocks->type, *bytes, shape, bytes, name)};
  }
  const integer_linear q = need(c.integers->solve(how, p, {}, pool), name);
  const std::uint64_t bits = static_cast<std::uint64_t>(q.bits);  // codes, zeros, scales of two bytes, g_idx
  return {(q.codes.size() + q.zeros.size()) * bits / 8 + q.scales.size() * 2 + q.cols * 4,
          engine::linear(q.values(), shape)};
}

/// What is measured with, and what it is compared with.
struct bench {
  engine::model m;  // one matrix of it is replaced at a time
  engine::token_windows text;
  engine::reference_scores reference;
  const std::vector<candidate>& types;
  const engine::workers& pool;

  /// The losses of every type for one matrix, everything else as it is. inputs: for gptq, or nullptr for the type's own
  /// encoder.
  nbit::allocation_item item(const std::string& name, const std::string& role, const nbit::hessian* inputs,
                             const engine::midway* from) {
    engine::linear& w = *m.find(name);
    const engine::linear plain = w;
    const nbit::shape shape = w.shape();
    std::vector<float> values(shape.rows * shape.cols), importance;
    w.decode({values.data(), shape.rows, shape.cols});
    if (inputs != nullptr) importance.resize(shape.cols), inputs->mean_square(importance);
    const problem p{{values.data(), shape.rows, shape.cols}, inputs, importance};
    nbit::allocation_item made;
    made.tensors = {name}, made.role = role, made.weights = values.size();
    for (const candidate& type : types) {
      if (!type.fits(shape.cols)) continue;
      made_linear now = solved(type, inputs != nullptr ? method::gptq : method::rtn, p, pool, name);
      w = std::move(now.runs);
      const engine::evaluation found = engine::evaluate(m, text, &reference, pool, {}, from);
      made.choices.push_back({type.name, now.bytes, std::max(0.0, found.kl)});
    }
    w = plain;
    if (made.choices.empty())
      throw failure{bad_input,
                    name + ": no type of --types has blocks that divide " + std::to_string(shape.cols) + " columns"};
    return made;
  }
};

std::vector<nbit::allocation_item> measure(const arguments& args) {
  if (args.positional.size() != 1) throw failure{wrong_usage, "plan needs one model, or --measured FILE"};
  if (!args.has("--ids")) throw failure{wrong_usage, "plan needs --ids IDS to measure on, or --measured FILE"};
  std::vector<candidate> types;
  for (const std::string& name : split(args.get("--types", "Q2_K,Q3_K,Q4_K,Q5_K,Q6_K"), ',')) {
    candidate c;
    if (name[0] == 'w') {
      const linear_format f = width_named("--types", name, {});
      c.name = name, c.integers = find_uniform_type(f.bits, f.group, f.symmetric);
    } else {
      const nbit::ggml_type type = type_named("--types", name);
      c.name = type_name(type), c.blocks = find_block_type(type);
    }
    if (c.blocks == nullptr && c.integers == nullptr)
      refuse_option("--types", name, "block types, or widths that nbit quantize --format gptq takes");
    types.push_back(c);
    if ((c.blocks == nullptr) != (types[0].blocks == nullptr))
      refuse_option("--types", name, "types of GGUF or widths of a checkpoint, not both");
  }
  const bool ends = types.empty() || types[0].blocks != nullptr;  // embedding and output are measured too
  const source from = open_source(args.positional[0]);
  nbit::thread_pool threads(static_cast<unsigned>(args.number("--threads", 0, 0, 1024)));
  const engine::workers pool(threads);
  bench on{run_ready(from), {}, {}, types, pool};
  const engine::model& m = on.m;
  on.text = read_windows(args.get("--ids"), m.config.vocabulary)
                .first(static_cast<std::size_t>(args.number("--windows", 8, 1, 1 << 20)));
  std::optional<std::vector<block_statistics>> statistics;
  if (args.has("--statistics")) statistics = statistics_of_blocks(args.get("--statistics"), m.config);
  progress bar(args.has("--progress"));
  bar.stage("the model as it is", 0, 0.02);
  on.reference = engine::reference(m, on.text, on.text.count, pool, std::ref(bar));
  bar.stage("measuring", 0.02, 1);

  const std::size_t count = m.blocks.size() * engine::role_count + (!ends ? 0 : m.output ? 2 : 1);
  std::vector<nbit::allocation_item> items;
  const auto add = [&](nbit::allocation_item item) {
    items.push_back(std::move(item));
    bar(items.size(), count);
  };
  // A tied embedding is one item whose loss is that of both its uses.
  if (ends) add(on.item("token_embd.weight", m.output ? "token_embd" : "output", nullptr, nullptr));
  engine::midway here = engine::before_blocks(m, on.text);
  engine::runner run(m, pool);
  for (; here.block < m.blocks.size(); ++here.block) {
    for (std::size_t s = 0; s < engine::site_count; ++s)
      for (const engine::role r : engine::readers(static_cast<engine::site>(s)))
        add(on.item(engine::tensor_name(here.block, r), std::string(engine::role_names[static_cast<std::size_t>(r)]),
                    statistics ? &(*statistics)[here.block][s] : nullptr, &here));
    run.run_block(here.block, here.states);
  }
  if (ends && m.output) add(on.item("output.weight", "output", nullptr, &here));
  return items;
}

}  // namespace

int plan(std::span<const std::string> words) {
  const arguments args(known, words);
  if (args.has("--help")) {
    std::printf(
        "nbit plan MODEL --ids IDS [--budget BITS] [options]\nnbit plan --measured FILE --budget BITS [options]\n"
        "Measures every matrix of a llama in every type and chooses types for a budget. Then: nbit quantize MODEL "
        "--plan FILE.\n\n%s",
        help_lines(known).c_str());
    return success;
  }
  if (args.has("--budget") && args.has("--bytes"))
    throw failure{wrong_usage, "plan takes --budget or --bytes, not both"};
  const std::vector<nbit::allocation_item> items =
      args.has("--measured")
          ? need(nbit::parse_measurement(read_text(args.get("--measured"))), "reading " + args.get("--measured"))
          : measure(args);
  if (args.has("--save")) write_text(args.get("--save"), nbit::measurement_text(items));
  if (!args.has("--budget") && !args.has("--bytes")) return success;

  nbit::allocation_options o;
  o.bits_per_weight = static_cast<double>(args.number("--budget", 0, 100, 64000)) / 1000.0;
  o.bytes = static_cast<std::uint64_t>(args.number("--bytes", 0, 0, 1L << 60));
  std::vector<nbit::allocation_floor> floors;
  for (const std::string& text : args.all("--floor")) {
    const std::size_t equals = text.rfind('=');
    char* end = nullptr;
    const double bits = equals == std::string::npos ? 0.0 : std::strtod(text.c_str() + equals + 1, &end);
    if (!(bits > 0) || *end != '\0') refuse_option("--floor", text, "ROLE=BITS, as in ffn_down=4");
    floors.push_back({text.substr(0, equals), bits});
  }
  o.floors = floors;
  const nbit::allocation chosen = need(nbit::allocate(items, o), "choosing types");
  std::uint64_t weights = 0;
  nbit::json_value types = nbit::json_value::object();
  for (std::size_t i = 0; i < items.size(); ++i) {
    weights += items[i].weights;
    for (const std::string& t : items[i].tensors)
      types.add(t, nbit::json_value::string(items[i].choices[chosen.choice[i]].format));
  }
  nbit::json_value root = nbit::json_value::object();
  root.add("format", nbit::json_value::string("nbit-plan"));
  root.add("bytes", nbit::json_value::number(chosen.bytes));
  root.add("expected_loss", nbit::json_value::number(chosen.loss));
  root.add("lower_bound", nbit::json_value::number(chosen.lower_bound));
  root.add("types", std::move(types));
  const std::string text = nbit::json_text(root, 1) + "\n";
  if (args.has("--output")) {
    write_text(args.get("--output"), text);
    std::printf("%s: %zu tensors, %llu bytes, %.3f bits per weight, expected loss %.6f (no choice is below %.6f)\n",
                args.get("--output").c_str(), items.size(), static_cast<unsigned long long>(chosen.bytes),
                8.0 * static_cast<double>(chosen.bytes) / static_cast<double>(weights), chosen.loss,
                chosen.lower_bound);
  } else {
    std::fputs(text.c_str(), stdout);
  }
  return success;
}

}  // namespace tool
