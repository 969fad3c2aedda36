// tool/quantize.cpp — nbit quantize: options to a job.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <vector>

#include <nbit/parallel/threads.hpp>
#include <nbit/io/imatrix_gguf.hpp>
#include <nbit/io/json.hpp>
#include <nbit/io/mapped_file.hpp>
#include <nbit/plan/allocation.hpp>
#include <nbit/plan/measurement.hpp>

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
    {"--format", "FORMAT",
     "gguf (a file, the default), or a checkpoint (a new folder): gptq, gptq_v2, gptq_planar, awq,\n"
     "awq_gemv, awq_gemv_fast, compressed-tensors, compressed-tensors-int, hqq"},
    {"--type", "TYPE", "GGUF: a mix of types by llama.cpp's rules: Q4_K_M (default), Q8_0, IQ4_XS, BF16, ..."},
    {"--mix", "MIX", "the same"},
    {"--pure", nullptr, "no rules: --type's own type for every matrix"},
    {"--rules", "2025|2026", "the mix's rules (default 2026)"},
    {"--override", "PATTERN=TYPE",
     "type of tensors whose GGUF names match; may be given again, the first match counts"},
    {"--embedding-type", "TYPE", "type of the token embedding"},
    {"--output-type", "TYPE", "type of the output matrix"},
    {"--keep-embeddings", nullptr, "embedding and output matrix stay as they are"},
    {"--plan", "FILE", "types that nbit plan chose; they come before --override. Widths (w3g128) for --format gptq"},
    {"--budget", "BITS", "with --measured: types for this many bits per weight, in thousandths, as 4500"},
    {"--measured", "FILE", "what nbit plan --save measured"},
    {"--ragged", "WHAT",
     "rows that are no whole blocks: refuse (default), fallback (llama.cpp's choice), or a type;\n"
     "pad is refused: GGUF has no room for a row's true length"},
    {"--bits", "N", "checkpoint: 2, 3, 4 (default) or 8"},
    {"--group", "N", "checkpoint: 32, 64, 128 (default), or -1 for one group each output"},
    {"--symmetric", nullptr, "checkpoint: no zero points"},
    {"--solver", "NAME",
     "rtn         round to nearest, the format's own encoder (default)\n"
     "search      the same with errors weighed by the inputs\n"
     "hqq         zeros and minima that leave few weights far off; looks at no inputs\n"
     "gptq        codes that keep the output's error small (default with --calib and --statistics)\n"
     "awq         scale and clip first, fold the scales, then round\n"
     "sign_round  rounding nudged by the sign of the loss's slope; slow"},
    {"--calib", "IDS", "what search, gptq, awq, sign_round look at: safetensors, tensor ids I32 [windows, tokens]"},
    {"--calib-windows", "N", "use the first N windows only"},
    {"--statistics", "FILE", "instead: statistics of nbit calibrate, of the unchanged model"},
    {"--imatrix", "FILE", "rtn, search: importance matrix (.dat or .gguf) that weighs errors instead of --calib"},
    {"--damping", "PERMILLE", "gptq, sign_round: share of the mean added to the diagonal (default 50)"},
    {"--passes", "N", "gptq: rounds of reconsidering scales and codes (default 8)"},
    {"--kicks", "N",
     "gptq: then N times a few codes of every row at random, kept where the row ends lower (default 64;\n"
     "of IQ1 to IQ3 and 8 bits 0, where each takes about as long as three passes)"},
    {"--seconds", "N",
     "gptq: instead of --kicks, as many as a run of N seconds seems to have time for; so the same command does\n"
     "not make the same bytes twice, also with --resume"},
    {"--requantize", nullptr, "allow weights that are quantized already to be decoded and quantized again"},
    {"--no-tokenizer", nullptr, "leave the tokenizer out when a folder becomes a GGUF file"},
    {"--resume", nullptr, "go on from OUT.state, which a run that was ended leaves: the same bytes as without the end"},
    {"--memory", "MIB", "refuse to start when more is needed than this, besides the mapped model"},
    {"--dry-run", nullptr, "say types, sizes and memory, and write nothing"},
    {"--threads", "N", "threads to use (default: all)"},
    {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
    {"--json", nullptr, "print what was done as a JSON object"},
    {"--help", nullptr, "this text"}};

method method_of(const arguments& args) {
  std::string names;
  for (const method_info& m : methods) names += std::string(names.empty() ? "" : " ") + m.name;
  if (args.get("--solver") == "outliers")
    throw failure{wrong_usage,
                  "--solver: 'outliers' keeps weights beside the codes, for which none of the formats written here has "
                  "room; allowed: " +
                      names};
  const bool inputs = args.has("--calib") || args.has("--statistics");
  const std::string name = args.choice("--solver", inputs ? "gptq" : "rtn", names);
  return std::find_if(std::begin(methods), std::end(methods), [&](const method_info& m) { return name == m.name; })
      ->how;
}

/// A tensor and what nbit plan chose for it: a GGUF type, or a width as "w3g128".
using chosen_format = std::pair<std::string, std::string>;

std::vector<chosen_format> chosen_formats(const arguments& args) {
  std::vector<chosen_format> all;
  if (args.has("--plan")) {
    const std::string path = args.get("--plan");
    const nbit::json_value root = read_json(path);
    const nbit::json_value* const types = root.find("types");
    if (types == nullptr || !types->is(nbit::json_kind::object))
      throw failure{bad_input, "'" + path + "': no types; wanted a file that nbit plan wrote"};
    for (std::size_t i = 0; i < types->size(); ++i)
      all.emplace_back(types->names()[i], std::string(types->items()[i].text()));
  }
  if (args.has("--budget") != args.has("--measured"))
    throw failure{wrong_usage,
                  "--budget BITS and --measured FILE belong together; nbit plan MODEL --ids IDS --save FILE measures"};
  if (args.has("--budget")) {
    const std::string path = args.get("--measured");
    const auto items = need(nbit::parse_measurement(read_text(path)), "reading " + path);
    nbit::allocation_options budget;
    budget.bits_per_weight = static_cast<double>(args.number("--budget", 0, 100, 64000)) / 1000.0;
    const nbit::allocation chosen = need(nbit::allocate(items, budget), "--budget");
    for (std::size_t i = 0; i < items.size(); ++i)
      for (const std::string& t : items[i].tensors) all.emplace_back(t, items[i].choices[chosen.choice[i]].format);
  }
  return all;
}

plan_options types_of(const arguments& args, const std::vector<chosen_format>& chosen) {
  plan_options o = read_plan_options(args);
  if (o.mix == nullptr) o.mix = nbit::find_mix("Q4_K_M");
  o.keep_embeddings = args.has("--keep-embeddings");
  o.requantize = args.has("--requantize");
  for (const auto& [tensor, type] : chosen) fix_type(o, tensor, type);
  return o;
}

/// Bytes that a run takes besides the mapped files of the model: an upper bound.
std::uint64_t memory_of(const job& what, const source& from, const engine::model* m, unsigned threads) {
  std::uint64_t largest = 0, block = 0;
  for (const source_tensor& t : from.tensors)
    largest = std::max<std::uint64_t>(largest, std::uint64_t{t.rows()} * t.cols());
  // A matrix as floats and as another one, its codes, and what they are packed into.
  std::uint64_t bytes = (std::uint64_t{16} << 20) + largest * 14;
  if (m == nullptr || !what.calibrated()) return bytes;
  std::uint64_t cols = 0;
  for (std::size_t s = 0; s < engine::site_count; ++s) {
    const std::uint64_t n = site_width(m->config, static_cast<engine::site>(s));
    block += n * n * 4 + n * 2200, cols = std::max(cols, n);
  }
  const std::uint64_t kept = std::max(m->config.q_width(), m->config.ffn_width);
  // Solving: the metric, its factor and the copy that is factored; the panels of every thread; the block's output.
  bytes += 16 * cols * cols + std::uint64_t{threads} * 64 * 4 * 6 * cols + 8 * largest;
  if (what.statistics != nullptr) return bytes + m->config.layers * block;
  const std::uint64_t tokens = what.calibration->ids.size();
  const bool sequential = what.how == method::gptq;
  // Hidden states and what a block keeps of them; with gptq of two models, and of one of them the inputs and what o and
  // down are added to.
  const std::uint64_t widths = m->config.width + kept;
  bytes += block + 4 * tokens * widths * (sequential ? 2 : 1);
  if (sequential)
    bytes +=
        4 * tokens * (4 * m->config.width + kept + m->config.q_width()) + 8 * cols * cols + 12 * m->config.width * kept;
  return bytes;
}

void print(const job_report& r, const job& what, bool dry, std::uint64_t mib, double seconds) {
  for (const target& t : r.types)
    if (dry)
      std::printf("  %-32s %-6s -> %-6s %s\n", t.from->name.c_str(), type_name(t.from->type).c_str(),
                  type_name(t.type).c_str(),
                  t.type == t.wanted ? "" : ("rows do not fit " + type_name(t.wanted)).c_str());
  std::printf("%s: %llu bytes%s; %llu weights quantized to %.3f bits each", what.output.c_str(),
              static_cast<unsigned long long>(r.file_bytes), dry ? " would be written" : "",
              static_cast<unsigned long long>(r.quantized_weights), r.bits_per_weight());
  for (const fallen_back& f : r.fallbacks)
    if (!dry)
      std::printf("\n  %s: %s, because its rows do not fit %s", f.name.c_str(), type_name(f.type).c_str(),
                  type_name(f.wanted).c_str());
  if (dry)
    std::printf("; about %llu MiB besides the model\n", static_cast<unsigned long long>(mib));
  else
    std::printf("; %.1f s\n", seconds);
}

const char* rung_name(nbit::ladder_rung r) {
  static constexpr const char* names[] = {"as_asked", "more_damping", "raised_floor", "diagonal_only"};
  return names[static_cast<std::size_t>(r)];
}

/// What the solver says of all matrices, and which of them had statistics that left it little to do.
void print_solved(const std::vector<solved_matrix>& all) {
  if (all.empty()) return;
  double share = 0;
  std::size_t counted = 0;
  int fewest = all[0].report.kicks, most = 0;
  const solved_matrix *few = nullptr, *damped = nullptr, *dead = nullptr;
  std::size_t few_count = 0, damped_count = 0, dead_count = 0;
  const auto note = [](bool is, const solved_matrix& m, const solved_matrix*& first, std::size_t& count) {
    if (is && ++count == 1) first = &m;
  };
  for (const solved_matrix& m : all) {
    const nbit::solve_report& r = m.report;
    if (r.loss_rounded > 0) share += r.loss / r.loss_rounded, ++counted;
    fewest = std::min(fewest, r.kicks), most = std::max(most, r.kicks);
    note(r.metric.shrinkage > 0.5, m, few, few_count);
    note(r.metric.rung != nbit::ladder_rung::as_asked, m, damped, damped_count);
    note(r.metric.dead_columns + r.metric.cleaned_columns != 0, m, dead, dead_count);
  }
  std::printf("%zu matrices solved", all.size());
  if (counted != 0) std::printf("; output error %.2f of rounding's on average", share / static_cast<double>(counted));
  if (most != 0) std::printf("; %d to %d kicks", fewest, most);
  std::printf("\n");
  if (few != nullptr)
    std::printf("  %zu with too few tokens to trust correlations (%s: %llu tokens, %.2f of them noise)\n", few_count,
                few->name.c_str(), static_cast<unsigned long long>(few->report.tokens), few->report.metric.shrinkage);
  if (damped != nullptr)
    std::printf("  %zu with statistics that needed more than the damping asked for (%s: %s)\n", damped_count,
                damped->name.c_str(), rung_name(damped->report.metric.rung));
  if (dead != nullptr)
    std::printf("  %zu with inputs that were always 0 or no numbers (%s: %zu)\n", dead_count, dead->name.c_str(),
                dead->report.metric.dead_columns + dead->report.metric.cleaned_columns);
}

void print_json(const job_report& r, const job& what, std::uint64_t mib, double seconds) {
  using nbit::json_value;
  json_value j = json_value::object();
  j.add("file", json_value::string(what.output));
  j.add("bytes", json_value::number(r.file_bytes));
  j.add("quantized_weights", json_value::number(r.quantized_weights));
  j.add("bits_per_weight", json_value::number(r.bits_per_weight()));
  json_value& types = j.add("types", json_value::object());
  for (const target& t : r.types) types.add(t.from->name, json_value::string(type_name(t.type)));
  json_value& fallen = j.add("fallbacks", json_value::array());
  for (const fallen_back& f : r.fallbacks) {
    json_value& one = fallen.push(json_value::object());
    one.add("name", json_value::string(f.name));
    one.add("wanted", json_value::string(type_name(f.wanted)));
    one.add("type", json_value::string(type_name(f.type)));
  }
  json_value& solved = j.add("solved", json_value::object());
  for (const solved_matrix& m : r.solved) {
    json_value& one = solved.add(m.name, json_value::object());
    one.add("tokens", json_value::number(m.report.tokens));
    one.add("loss", json_value::number(m.report.loss));
    one.add("loss_rounded", json_value::number(m.report.loss_rounded));
    one.add("energy", json_value::number(m.report.energy));
    one.add("damping", json_value::number(m.report.metric.damping));
    one.add("rung", json_value::string(rung_name(m.report.metric.rung)));
    one.add("shrinkage", json_value::number(m.report.metric.shrinkage));
    one.add("dead_columns", json_value::number(static_cast<std::uint64_t>(m.report.metric.dead_columns)));
    one.add("kicks", json_value::number(static_cast<std::uint64_t>(m.report.kicks)));
  }
  j.add("memory_mib", json_value::number(mib));
  j.add("seconds", json_value::number(seconds));
  std::printf("%s\n", nbit::json_text(j, 1).c_str());
}

/// What decides the bytes of the output: the options, and which files they and the model are.
std::string about(const arguments& args, const source& from) {
  std::string text = "nbit quantize " + args.text_without("--output --threads --progress --json --resume --memory");
  const auto add = [&text](const std::string& path) {
    std::error_code ignored;
    const auto size = std::filesystem::file_size(path, ignored);
    const auto time = std::filesystem::last_write_time(path, ignored).time_since_epoch().count();
    if (!ignored) text += "[" + std::to_string(size) + " bytes of " + std::to_string(time) + "] ";
  };
  for (const char* const name : {"--calib", "--statistics", "--imatrix", "--plan", "--measured"})
    if (args.has(name)) add(args.get(name));
  std::vector<std::string> files{from.path};
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(from.path, ignored))
    if (const auto end = entry.path().extension(); end == ".safetensors" || end == ".json")
      files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  for (const std::string& path : files) add(path);
  return text + std::to_string(from.file_bytes);
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
  const std::string format = args.choice("--format", "gguf", "gguf " + written_spellings());
  const std::vector<chosen_format> chosen = chosen_formats(args);
  if (const auto spelt = written_spelling(format)) {
    what.linears = linear_format{*spelt, static_cast<int>(args.number("--bits", 4, 2, 8)),
                                 args.number("--group", 128, -1, 1 << 20), args.has("--symmetric")};
    for (const char* const name : {"--type", "--mix", "--override"})
      if (args.has(name)) throw failure{wrong_usage, std::string(name) + ": only with --format gguf"};
    for (const auto& [tensor, width] : chosen)
      what.widths[checkpoint_name(tensor)] = width_named("--plan", width, *what.linears);
  } else {
    what.types = types_of(args, chosen);
  }
  what.how = method_of(args);
  what.settings.damping = static_cast<double>(args.number("--damping", 50, 0, 1000000)) / 1000.0;
  what.settings.passes = static_cast<int>(args.number("--passes", 8, 0, 1000));
  what.settings.kicks = static_cast<int>(args.number("--kicks", -1, 0, 100000));
  what.seconds = static_cast<double>(args.number("--seconds", 0, 1, 1L << 30));
  if (args.has("--seconds") && (args.has("--kicks") || what.how != method::gptq))
    throw failure{wrong_usage, "--seconds: only with --solver gptq and without --kicks, which it chooses"};
  what.tokenizer = !args.has("--no-tokenizer");
  const bool wanted = info(what.how).inputs, given = args.has("--calib") || args.has("--statistics");
  if (wanted && !given && (!args.has("--imatrix") || what.how != method::search))
    throw failure{wrong_usage,
                  "--solver " + args.get("--solver") + " needs --calib IDS or --statistics FILE" +
                      (what.how == method::search ? " or --imatrix FILE"
                       : args.has("--imatrix")    ? ", for an importance matrix knows no correlations: that is search"
                                                  : "") +
                      "; allowed without: rtn, hqq"};
  if (args.has("--imatrix") && ((wanted && given) || what.how == method::hqq))
    throw failure{wrong_usage, wanted ? "--imatrix: not with --calib or --statistics, which say more"
                                      : "--imatrix: not with --solver hqq, which looks at no inputs"};
  std::optional<nbit::imatrix> importance;
  if (args.has("--imatrix")) {
    what.importance_file = args.get("--imatrix");
    const auto bytes = need(nbit::mapped_file::open(what.importance_file), "reading " + what.importance_file);
    importance = need(nbit::read_imatrix(bytes.bytes()), "reading " + what.importance_file);
    what.importance = &*importance, what.types.importance = true;
  }
  const auto threads = static_cast<unsigned>(args.number("--threads", 0, 0, 1024));
  const long windows = args.number("--calib-windows", 0, 1, 1 << 30), most = args.number("--memory", 0, 1, 1 << 30);

  std::error_code ignored;
  if (!what.linears && std::filesystem::equivalent(what.output, args.positional[0], ignored))
    throw failure{wrong_usage, "--output: '" + what.output + "' is the input; allowed: another name"};
  const source from = open_source(args.positional[0]);
  std::optional<engine::model> model;
  engine::token_windows text;
  if ((wanted && given) || what.linears) model = run_ready(from);
  std::vector<block_statistics> statistics;
  if (wanted && args.has("--statistics")) {
    statistics = statistics_of_blocks(args.get("--statistics"), model->config);
    what.statistics = &statistics;
  } else if (wanted && given) {
    text = read_windows(args.get("--calib"), model->config.vocabulary);
    if (windows > 0) text = text.first(static_cast<std::size_t>(windows));
    if (text.ids.empty()) throw failure{bad_input, "'" + args.get("--calib") + "': no tokens to calibrate with"};
    what.calibration = &text;
  }
  const auto started = std::chrono::steady_clock::now();
  nbit::thread_pool pool(threads);
  const std::uint64_t mib = (memory_of(what, from, model ? &*model : nullptr, pool.size()) >> 20) + 1;
  if (most != 0 && mib > static_cast<std::uint64_t>(most))
    throw failure{no_memory, "--memory: this run needs up to " + std::to_string(mib) +
                                 " MiB, allowed: " + std::to_string(most) + "; fewer --calib-windows take less"};
  progress bar(args.has("--progress"));
  bar.stage("quantizing " + args.positional[0]);
  const bool dry = args.has("--dry-run");
  std::optional<run_state> state;
  if (!dry) what.state = &state.emplace(what.output + ".state", about(args, from), args.has("--resume"));
  if (state && state->found() != 0)
    std::fprintf(stderr, "nbit: going on after %zu tensors of an earlier run\n", state->found());
  job_report done;
  try {
    done = run(what, from, model ? &*model : nullptr, pool, std::ref(bar), dry);
  } catch (const failure& f) {
    // A full disk or memory may be better next time; what the input or the options do wrong will not.
    if (state && f.code != io_failed && f.code != no_memory) state->finish();
    throw;
  }
  if (state) state->finish();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (args.has("--json"))
    print_json(done, what, mib, seconds);
  else
    print(done, what, dry, mib, seconds), print_solved(done.solved);
  return success;
}

}  // namespace tool
