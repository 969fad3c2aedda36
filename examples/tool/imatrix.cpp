// tool/imatrix.cpp — nbit imatrix: an importance matrix from calibration text, as llama.cpp's tools read it.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <vector>

#include <nbit/parallel/threads.hpp>
#include <nbit/io/imatrix_gguf.hpp>

#include <engine/forward.hpp>

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
    {"--output", "OUT", "file to write (-o OUT): GGUF, or the older form where the name ends in .dat"},
    {"--ids", "IDS", "token windows: safetensors, tensor ids I32 [windows, tokens]"},
    {"--windows", "N", "use the first N windows only"},
    {"--threads", "N", "threads to use (default: all)"},
    {"--progress", nullptr, "say how far it is also when stderr is no terminal"},
    {"--help", nullptr, "this text"}};

}  // namespace

int imatrix(std::span<const std::string> words) {
  const arguments args(known, words);
  if (args.has("--help")) {
    std::printf(
        "nbit imatrix MODEL --ids IDS -o OUT\nRuns the model (llama family) over the text and writes the mean square of "
        "every matrix's inputs.\n\n%s",
        help_lines(known).c_str());
    return success;
  }
  if (args.positional.size() != 1)
    throw failure{wrong_usage, "imatrix needs one model, found " + std::to_string(args.positional.size())};
  for (const char* needed : {"--output", "--ids"})
    if (!args.has(needed)) throw failure{wrong_usage, std::string("imatrix needs ") + needed};
  const source from = open_source(args.positional[0]);
  const engine::model model = run_ready(from);
  engine::token_windows text = read_windows(args.get("--ids"), model.config.vocabulary);
  if (const long n = args.number("--windows", 0, 1, 1 << 30); n > 0) text = text.first(static_cast<std::size_t>(n));
  if (text.ids.empty()) throw failure{bad_input, "'" + args.get("--ids") + "': no tokens"};
  nbit::thread_pool pool(static_cast<unsigned>(args.number("--threads", 0, 0, 1024)));
  progress bar(args.has("--progress"));
  bar.stage("reading " + args.get("--ids"));
  const std::vector<block_statistics> all = collect(model, text, pool, std::ref(bar));

  nbit::imatrix m;
  m.datasets = {args.get("--ids")};
  m.chunk_count = static_cast<std::uint32_t>(text.count), m.chunk_size = static_cast<std::uint32_t>(text.length);
  for (std::size_t b = 0; b < all.size(); ++b)
    for (std::size_t s = 0; s < engine::site_count; ++s) {
      const nbit::hessian& h = all[b][s];
      std::vector<float> mean(h.cols());
      h.mean_square(mean);
      for (const engine::role r : engine::readers(static_cast<engine::site>(s)))
        m.add(engine::tensor_name(b, r), mean, h.tokens());
    }
  const std::string path = args.get("--output");
  output_file file(path);
  if (path.size() > 4 && path.substr(path.size() - 4) == ".dat")
    need(nbit::write_imatrix_dat(m, file), "writing " + path);
  else
    need(nbit::write_imatrix_gguf(m, file), "writing " + path);
  need(file.commit(), "writing " + path);
  std::printf("%s: %zu matrices, %zu tokens\n", path.c_str(), m.entries.size(), text.count * text.length);
  return success;
}

}  // namespace tool
