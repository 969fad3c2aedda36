// tool/weights.cpp — the engine's readers of GGUF files, and with them the kernels of every ggml type: compiled once.
// SPDX-License-Identifier: MIT
#include <engine/load.hpp>

#include "failure.hpp"
#include "source.hpp"

namespace tool {

engine::linear packed_linear(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s,
                             std::shared_ptr<const void> owner, const std::string& name) {
  return need(engine::ggml_linear(type, bytes, s, std::move(owner)), "'" + name + "'");
}

engine::config gguf_config(const nbit::gguf::file& file, const std::string& path) {
  return need(engine::config_of(file), "reading " + path);
}

engine::tokenizer read_tokenizer(const std::string& path) {
  return need(engine::load_tokenizer(path), "tokenizer of " + path);
}

}  // namespace tool
