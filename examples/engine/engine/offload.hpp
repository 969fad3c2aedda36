// engine/offload.hpp — the matrices of a model's first blocks on a device.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_OFFLOAD_HPP
#define ENGINE_OFFLOAD_HPP

#include <algorithm>
#include <cstddef>
#include <utility>

#include <nbit/base/result.hpp>

#include <engine/device.hpp>
#include <engine/model.hpp>

namespace engine {

/// The same model with the matrices of its first `layers` blocks on a device, which outlives it.
/// Errors: unsupported for weights that are no ggml type; those of device::place.
inline nbit::result<model> offloaded(model m, std::size_t layers, device& to) {
  for (std::size_t b = 0; b < std::min(layers, m.blocks.size()); ++b)
    for (std::size_t r = 0; r < role_count; ++r) {
      linear& w = m.blocks[b].matrices[r];
      const auto stored = w.stored();
      if (!stored)
        return nbit::make_error(nbit::errc::unsupported, "a device takes weights as a GGUF file stores them",
                                "a ggml type")
            .about(tensor_name(b, role_names[r]));
      auto product = to.place(*stored);
      if (!product) return product.error().about(tensor_name(b, role_names[r]));
      w = w.multiplied(*std::move(product));
    }
  return m;
}

}  // namespace engine

#endif
