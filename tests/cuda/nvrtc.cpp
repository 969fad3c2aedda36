// Kernels through the run-time compiler NVRTC; needs libnvrtc, and no GPU. Built and run by tests/cuda/compile.sh:
//   nvrtc_test INCLUDE_FOLDER CUDA_INCLUDE_FOLDER ARCHITECTURE
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <string>
#include <vector>

#include <nvrtc.h>

namespace {

// A user's own format, known only at run time, beside the library's.
const char* const source = R"(
#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/warp_tiles.hpp>
#include <nbit/cuda/activations.hpp>
#include <nbit/cuda/dequantize.hpp>
#include <nbit/cuda/entry.hpp>
#include <nbit/cuda/fragment_gemm.hpp>
#include <nbit/cuda/gemm.hpp>
#include <nbit/cuda/gemv.hpp>
#include <nbit/cuda/int8_gemm.hpp>
struct mine {
  static constexpr int bits = 2, group = 32;
  struct params { nbit::f16 scale; };
  static constexpr params fit(std::span<const float>, std::span<const float>) { return {}; }
  static constexpr int code(float, const params&, int) { return 0; }
  static constexpr float value(int c, const params& p, int) { return float(p.scale) * float(c - 2); }
};
struct w8row : nbit::uniform<nbit::scheme{.bits = 8, .group = nbit::per_row}> {};
template <class F, class L = nbit::default_layout<F>> using view = nbit::packed_view<F, L>;
)";

const char* const kernels[] = {
    "gemv_kernel<view<nbit::q4_k>, float, 1>",
    "gemv_kernel<view<nbit::w4g128, nbit::gptq_words>, nbit::f16, 8>",
    "gemv_kernel<view<mine>, float, 1>",
    "gemv_kernel<view<nbit::iq3_s>, float, 1>",
    "dequantize_kernel<view<nbit::nf4>, nbit::bf16>",
    "gemm_kernel<view<nbit::q6_k>, nbit::bf16>",
    "few_tokens_gemm<view<nbit::w4g128, nbit::warp_tiles>, nbit::f16>",
    "int8_gemm_kernel<w8row, nbit::per_row>",
    "quantize_fp8_kernel<nbit::f16>",
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string toolkit = std::string("-I") + argv[2];
  const std::vector<std::string> options = {
      "-std=c++20",      "-default-device",          std::string("-I") + argv[1],
      toolkit + "/cccl", toolkit + "/cccl/cuda/std", std::string("-arch=") + argv[3]};
  std::vector<const char*> given;
  for (const std::string& o : options) given.push_back(o.c_str());

  nvrtcProgram program = nullptr;
  if (nvrtcCreateProgram(&program, source, "run_time.cu", 0, nullptr, nullptr) != NVRTC_SUCCESS) return 1;
  std::vector<std::string> names;
  for (const char* k : kernels) names.push_back(std::string("nbit::cuda::entry<nbit::cuda::") + k + ">");
  for (const std::string& n : names)
    if (nvrtcAddNameExpression(program, n.c_str()) != NVRTC_SUCCESS) return 1;
  const nvrtcResult done = nvrtcCompileProgram(program, static_cast<int>(given.size()), given.data());
  std::size_t size = 0;
  nvrtcGetProgramLogSize(program, &size);
  std::string log(size, '\0');
  nvrtcGetProgramLog(program, log.data());
  if (done != NVRTC_SUCCESS || log.find("warning") != std::string::npos) {
    std::printf("NVRTC: %s\n%.4000s\n", nvrtcGetErrorString(done), log.c_str());
    return 1;
  }
  std::size_t machine_code = 0;
  nvrtcGetCUBINSize(program, &machine_code);
  for (const std::string& n : names) {
    const char* lowered = nullptr;
    if (nvrtcGetLoweredName(program, n.c_str(), &lowered) != NVRTC_SUCCESS || lowered == nullptr) {
      std::printf("NVRTC did not make %s\n", n.c_str());
      return 1;
    }
  }
  nvrtcDestroyProgram(&program);
  std::printf("NVRTC: %zu kernels, %zu bytes of machine code\n", names.size(), machine_code);
  return machine_code > 0 ? 0 : 1;
}
