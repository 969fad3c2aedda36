// tool/allocate.cpp — nbit plan: measure what each type costs each matrix, and choose types for a budget.
//
// A loss is the KL divergence of the model with that one matrix quantized from the model as it is, over a few windows:
// what a user sees, and comparable between matrices. Losses are added up. The measurement is a file of its own: any
// budget can be asked of it again without running anything.
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
    {"--types", "LIST", "types to choose from, with commas (default Q2_K,Q3_K,Q4_K,Q5_K,Q6_K)"},
    {"--statistics", "FILE", "of nbit calibrate: solve with gptq, else round"},
    {"--ids", "IDS", "token windows to measure on (not the ones that will judge the result)"},
    {"--windows", "N", "how many of them (default 8)"},
    {"--save", "FILE", "write the measurement (JSON)"},
    {"--measured", "FILE", "use this measurement instead of measuring"},
    {"--budget", "BITS", "bits per weight of the matrices in thousandths, as in 4500"},
    {"--bytes", "N", "or bytes of the matrices"},
    {"--floor", "ROLE=BITS", "least bits per weight of a role, as ffn_down=4; may be given again"},
    {"--output", "FILE", "write the choice for nbit quantize --plan (JSON)"},
    {"--threads", "N", "threads to use (default: all)"},
    {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
    {"--help", nullptr, "this text"}};

std::vector<nbit::allocation_item> measure(const arguments& args) {
  if (args.positional.size() != 1) throw failure{wrong_usage, "plan needs one model, or --measured FILE"};
  if (!args.has("--ids")) throw failure{wrong_usage, "plan needs --ids IDS to measure on, or --measured FILE"};
  std::vector<const block_type*> types;
  for (const std::string& name : split(args.get("--types", "Q2_K,Q3_K,Q4_K,Q5_K,Q6_K"), ',')) {
    types.push_back(find_block_type(type_named("--types", name)));
    if (types.back() == nullptr) refuse_option("--types", name, "block types that can be solved");
  }
  const source from = open_source(args.positional[0]);
  engine::model m = run_ready(from);
  const engine::token_windows text = read_windows(args.get("--ids"), m.config.vocabulary)
                                         .first(static_cast<std::size_t>(args.number("--windows", 8, 1, 1 << 20)));
  std::optional<std::vector<block_statistics>> statistics;
  if (args.has("--statistics")) statistics = statistics_of_blocks(args.get("--statistics"), m.config);
  nbit::thread_pool threads(static_cast<unsigned>(args.number("--threads", 0, 0, 1024)));
  const engine::workers pool(threads);
  progress bar(args.has("--progress"));
  bar.stage("the model as it is", 0, 0.02);
  const engine::reference_scores reference = engine::reference(m, text, text.count, pool, std::ref(bar));
  bar.stage("measuring", 0.02, 1);

  std::vector<nbit::allocation_item> items;
  for (std::size_t b = 0; b < m.blocks.size(); ++b)
    for (std::size_t s = 0; s < engine::site_count; ++s)
      for (const engine::role r : engine::readers(static_cast<engine::site>(s))) {
        engine::linear& w = m.blocks[b][r];
        const engine::linear plain = w;
        const nbit::shape shape = w.shape();
        std::vector<float> values(shape.rows * shape.cols);
        w.decode({values.data(), shape.rows, shape.cols});
        nbit::allocation_item item;
        item.tensors = {engine::tensor_name(b, r)};
        item.role = std::string(engine::role_names[static_cast<std::size_t>(r)]);
        item.weights = values.size();
        problem p{{values.data(), shape.rows, shape.cols}, nullptr, {}};
        std::vector<float> importance;
        if (statistics) {
          p.inputs = &(*statistics)[b][s];
          importance.resize(shape.cols);
          p.inputs->mean_square(importance);
          p.importance = importance;
        }
        for (const block_type* type : types) {
          if (shape.cols % type->block != 0) continue;
          auto bytes = std::make_shared<std::vector<std::byte>>(
              need(type->solve(statistics ? method::gptq : method::rtn, p, {}, pool), item.tensors[0]));
          w = packed_linear(type->type, *bytes, shape, bytes, item.tensors[0]);
          const engine::evaluation found = engine::evaluate(m, text, &reference, pool);
          item.choices.push_back({type_name(type->type), bytes->size(), std::max(0.0, found.kl)});
        }
        w = plain;
        if (item.choices.empty())
          throw failure{bad_input, item.tensors[0] + ": no type of --types has blocks that divide " +
                                       std::to_string(shape.cols) + " columns"};
        items.push_back(std::move(item));
        bar(items.size(), m.blocks.size() * engine::role_count);
      }
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
