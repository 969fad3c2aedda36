// tool/main.cpp — nbit: quantize models and look at the result.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <nbit/version.hpp>

#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"

namespace {

constexpr const char* usage =
    "nbit COMMAND ...\n"
    "  inspect FILE...          keys, tensors and totals of GGUF and safetensors files\n"
    "  quantize IN -o OUT ...   a model in fewer bits, as GGUF or as a GPTQ checkpoint\n"
    "  convert IN -o OUT ...    between files and checkpoint formats, exactly unless told otherwise\n"
    "  imatrix MODEL --ids IDS  how much each input of a matrix matters, for quantize, convert and llama.cpp\n"
    "  calibrate MODEL ...      what a model's matrices read, as a file of statistics\n"
    "  plan MODEL ...           types for a budget, by measured loss\n"
    "  eval FILE --ids IDS ...  perplexity, and KL divergence from another model\n"
    "  generate FILE ...        the most likely continuation of a prompt\n"
    "  demo --model DIR ...     every solver on one model: a table, demo.json and report.html\n"
    "nbit COMMAND --help tells more. Exit codes: 0 done, 1 wrong usage, 2 bad input, 3 a file cannot be read or "
    "written,\n"
    "4 no memory, 5 converted with changed numbers, 128 + n ended by signal n.\n";

int run(const std::vector<std::string>& words) {
  const std::string command = words.empty() ? "" : words[0];
  const std::span<const std::string> rest = std::span(words).subspan(words.empty() ? 0 : 1);
  if (command == "inspect") return tool::inspect(rest);
  if (command == "quantize") return tool::quantize(rest);
  if (command == "convert") return tool::convert(rest);
  if (command == "imatrix") return tool::imatrix(rest);
  if (command == "calibrate") return tool::calibrate(rest);
  if (command == "plan") return tool::plan(rest);
  if (command == "eval") return tool::eval(rest);
  if (command == "generate") return tool::generate(rest);
  if (command == "demo") return tool::demo(rest);
  if (command == "--help" || command == "help") {
    std::fputs(usage, stdout);
    return tool::success;
  }
  if (command == "--version") {
    std::printf("nbit %d.%d.%d\n", NBIT_VERSION_MAJOR, NBIT_VERSION_MINOR, NBIT_VERSION_PATCH);
    return tool::success;
  }
  if (!command.empty())
    tool::refuse_option("command", command, "inspect quantize convert imatrix calibrate plan eval generate demo");
  std::fputs(usage, stderr);
  return tool::wrong_usage;
}

}  // namespace

int main(int count, char** words) {
  tool::catch_signals();
  try {
    const int code = run({words + 1, words + count});
    // What was printed must have arrived: a full disk behind stdout is an error too.
    if (std::fflush(stdout) == 0) return code;
    throw tool::failure{tool::io_failed, "standard output cannot be written"};
  } catch (const tool::failure& f) {
    std::fprintf(stderr, "nbit: %s\n", f.text.c_str());
    return f.code;
  } catch (const std::bad_alloc&) {
    std::fputs("nbit: out of memory\n", stderr);
    return tool::no_memory;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "nbit: %s\n", e.what());
    return tool::io_failed;
  }
}
