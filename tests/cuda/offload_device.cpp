// On a GPU: the bundled model with its first blocks there writes the tokens of the host.  offload_device DATA_FOLDER
// Built by tests/cuda/compile.sh and run_device.sh with examples/engine/cuda_device.cu; ends with 77 without a GPU.
// SPDX-License-Identifier: MIT
#define NBIT_SCALAR_ONLY  // the host's kernels are not what is looked at

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <engine/generate.hpp>
#include <engine/load_safetensors.hpp>
#include <engine/offload.hpp>

#include "cuda/packed_model.hpp"

namespace {

int fail(const char* where, const nbit::error& e) {
  std::printf("FAILED: %s: %s: %s\n", where, e.subject, e.what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  auto loaded = engine::load_safetensors(folder + "/model_bf16.safetensors", folder + "/config.json");
  if (!loaded) return fail("the model", loaded.error());
  const engine::model host = nbit_test::packed_blocks(*std::move(loaded));
  auto gpu = engine::open_gpu();
  if (!gpu) {
    std::printf("skipped: offload on a device: %s (%s)\n", gpu.error().what, gpu.error().subject);
    return 77;
  }
  const std::vector<std::int32_t> prompt = {1, 40, 3};
  const std::size_t tokens = 24;
  const auto expected = engine::greedy(host, prompt, tokens);
  if (!expected) return fail("the host", expected.error());
  std::size_t compared = 0, differing = 0;
  for (std::size_t layers = 1; layers <= host.blocks.size(); ++layers) {
    const auto m = engine::offloaded(host, layers, **gpu);
    if (!m) return fail("placing blocks", m.error());
    const auto found = engine::greedy(*m, prompt, tokens);
    if (!found) return fail("the device", found.error());
    if (const auto ok = (*gpu)->take_failure(); !ok) return fail("a product", ok.error());
    compared += tokens;
    for (std::size_t t = 0; t < tokens; ++t) differing += t >= found->size() || (*found)[t] != (*expected)[t];
  }
  std::printf("count: offload on a device: %zu tokens compared, %zu failed\n", compared, differing);
  return differing == 0 ? 0 : 1;
}
