// The engine's GPU in a program that was built without nvcc: a refusal.
// SPDX-License-Identifier: MIT
#include <engine/device.hpp>

nbit::result<std::unique_ptr<engine::device>> engine::open_gpu() {
  return nbit::make_error(nbit::errc::unsupported, "this program was built without CUDA",
                          "no --gpu-layers, or a build with -DNBIT_EXAMPLES_CUDA=ON and nvcc");
}
