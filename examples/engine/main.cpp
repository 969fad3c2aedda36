// A small program on the engine: the greedy continuation of a prompt, or the perplexity of a text.
//
//   engine MODEL generate [TOKENS] [PROMPT]     without a prompt: after the model's begin token
//   engine MODEL perplexity IDS [WINDOWS]       IDS: a safetensors file with the tensor "ids", I32 [windows, tokens]
//   engine --gpu-layers N MODEL ...             the matrices of the first N blocks on a GPU, as they lie in a GGUF file
// MODEL is a .gguf file, a .safetensors file with config.json beside it, or a folder with both.
// SPDX-License-Identifier: MIT
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <nbit/parallel/threads.hpp>

#include <engine/evaluate.hpp>
#include <engine/generate.hpp>
#include <engine/load.hpp>
#include <engine/offload.hpp>

namespace {

int fail(const nbit::error& e) {
  std::fprintf(stderr, "engine: %s%s%s", e.subject, e.subject[0] != '\0' ? ": " : "", e.what);
  if (e.has_found) std::fprintf(stderr, " (found %lld)", static_cast<long long>(e.found));
  if (e.offset != nbit::error::nowhere)
    std::fprintf(stderr, " at byte %llu", static_cast<unsigned long long>(e.offset));
  if (e.allowed[0] != '\0') std::fprintf(stderr, "; allowed: %s", e.allowed);
  std::fputc('\n', stderr);
  return 1;
}

int generate(const engine::model& m, const std::string& path, std::size_t count, const std::string& prompt,
             engine::workers pool) {
  const auto words = engine::load_tokenizer(path);
  if (!words) return fail(words.error());
  std::vector<std::int32_t> ids;
  if (prompt.empty()) {
    ids.push_back(m.config.bos >= 0 ? m.config.bos : 0);
  } else {
    const auto encoded = words->encode(prompt);
    if (!encoded) return fail(encoded.error());
    ids = *encoded;
  }
  std::fputs(prompt.c_str(), stdout);
  const auto written = engine::greedy(m, ids, count, pool, [&](std::int32_t id) {
    std::fputs(words->decode(id).c_str(), stdout);
    std::fflush(stdout);
  });
  if (!written) return fail(written.error());
  std::fputc('\n', stdout);
  return 0;
}

int perplexity(const engine::model& m, const std::string& path, std::size_t windows, engine::workers pool) {
  const auto text = engine::load_windows(path, m.config.vocabulary);
  if (!text) return fail(text.error());
  const engine::evaluation e = engine::evaluate(
      m, text->first(windows), nullptr, pool,
      [](std::size_t done, std::size_t total) { std::fprintf(stderr, "\r%zu of %zu windows", done, total); });
  std::fputc('\n', stderr);
  std::printf("perplexity %.5f over %zu predictions, %.2f s\n", e.perplexity, e.predictions, e.seconds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc);
  std::size_t gpu_layers = 0;
  if (args.size() >= 2 && args[0] == "--gpu-layers") {
    const char* const end = args[1].data() + args[1].size();
    if (const auto [rest, bad] = std::from_chars(args[1].data(), end, gpu_layers); rest != end || bad != std::errc())
      return fail(nbit::make_error(nbit::errc::invalid_option, "not a number of layers", "0 and up").about(args[1]));
    args.erase(args.begin(), args.begin() + 2);
  }
  const std::string_view what = args.size() > 1 ? std::string_view(args[1]) : std::string_view();
  const bool known =
      (what == "generate" && args.size() <= 4) || (what == "perplexity" && (args.size() == 3 || args.size() == 4));
  if (!known) {
    std::fputs(
        "usage: engine [--gpu-layers N] MODEL generate [TOKENS] [PROMPT]\n"
        "       engine [--gpu-layers N] MODEL perplexity IDS [WINDOWS]\n",
        stderr);
    return 2;
  }
  const auto number = [&](std::size_t i, std::size_t otherwise) {
    return args.size() > i ? static_cast<std::size_t>(std::strtoull(args[i].c_str(), nullptr, 10)) : otherwise;
  };
  auto m = engine::load(args[0]);
  if (!m) return fail(m.error());
  std::unique_ptr<engine::device> gpu;
  if (gpu_layers != 0) {
    auto opened = engine::open_gpu();
    if (!opened) return fail(opened.error());
    gpu = *std::move(opened);
    m = engine::offloaded(*std::move(m), gpu_layers, *gpu);
    if (!m) return fail(m.error());
  }
  nbit::thread_pool pool;
  const int code = what == "generate" ? generate(*m, args[0], number(2, 64), args.size() > 3 ? args[3] : "", pool)
                                      : perplexity(*m, args[2], number(3, static_cast<std::size_t>(-1)), pool);
  if (gpu != nullptr)
    if (const auto ok = gpu->take_failure(); !ok) return fail(ok.error());
  return code;
}
