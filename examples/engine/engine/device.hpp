// engine/device.hpp — a device that multiplies matrices (engine/offload.hpp: those of a model's first blocks).
//
// Weights are copied as they lie in the file. Norms, rotary embedding and attention stay on the host; activations
// travel for each product. Sums are float on both sides, in another order: scores differ in their last bits.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_DEVICE_HPP
#define ENGINE_DEVICE_HPP

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include <nbit/base/matrix_view.hpp>
#include <nbit/base/result.hpp>
#include <nbit/io/ggml_type.hpp>

namespace engine {

/// Weights as a ggml type: what a device needs to copy them.
struct stored_weights {
  nbit::ggml_type type;
  std::span<const std::byte> bytes;
  nbit::shape shape;
};

/// Y[t] = W X[t] for every row t, wherever W is.
using product_function = std::function<void(nbit::matrix_view<const float>, nbit::matrix_view<float>)>;

/// Where weights can be placed.
class device {
 public:
  virtual ~device() = default;
  /// Copies weights and returns how to multiply with them; the device outlives that function.
  /// Errors: unsupported formats; what the device refuses.
  virtual nbit::result<product_function> place(const stored_weights& w) = 0;
  /// The first error that a product met since the last call, for there is no way back through a forward pass.
  virtual nbit::result<void> take_failure() { return {}; }
};

/// The GPU, or why there is none (cuda_device.cu; no_device.cpp in programs built without nvcc).
nbit::result<std::unique_ptr<device>> open_gpu();

}  // namespace engine

#endif
