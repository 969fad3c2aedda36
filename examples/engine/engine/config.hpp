// engine/config.hpp — the shapes and constants of a llama-family model, from config.json or from GGUF keys.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_CONFIG_HPP
#define ENGINE_CONFIG_HPP

#include <cstddef>

#include <nbit/base/result.hpp>

namespace engine {

/// Which two numbers of a head form the pair that rotary embedding turns by angle i.
enum class rope_style {
  half_split,   // i and i + n/2: Hugging Face checkpoints
  interleaved,  // 2i and 2i + 1: GGUF files of architecture "llama", whose q and k rows are permuted to match
};

/// Shapes and constants of a model.
struct config {
  std::size_t layers = 0, width = 0, ffn_width = 0, heads = 0, kv_heads = 0, head_width = 0, vocabulary = 0;
  std::size_t context = 0;    // tokens the model was trained for
  std::size_t rope_dims = 0;  // of a head, the first of which are turned
  float norm_epsilon = 1e-5f, rope_base = 1e4f;
  rope_style rope = rope_style::half_split;
  int bos = -1, eos = -1;  // -1: none

  std::size_t q_width() const { return heads * head_width; }
  std::size_t kv_width() const { return kv_heads * head_width; }

  /// Whether the numbers can belong together.  Errors: invalid_option.
  nbit::result<void> check() const {
    const auto wrong = [](const char* name, const char* allowed, std::size_t found) {
      return nbit::make_error(nbit::errc::invalid_option, "the model's configuration is not usable", allowed)
          .about(name)
          .with(static_cast<std::int64_t>(found));
    };
    constexpr std::size_t most = std::size_t{1} << 24;  // keeps every product of two below 2^48
    const struct {
      const char* name;
      std::size_t value;
    } sizes[] = {{"layers", layers},     {"width", width},           {"ffn width", ffn_width},   {"heads", heads},
                 {"kv heads", kv_heads}, {"head width", head_width}, {"vocabulary", vocabulary}, {"context", context}};
    for (const auto& s : sizes)
      if (s.value == 0 || s.value > most) return wrong(s.name, "1 to 2^24", s.value);
    if (heads % kv_heads != 0) return wrong("kv heads", "a divisor of the heads", kv_heads);
    if (rope_dims % 2 != 0 || rope_dims > head_width)
      return wrong("rope dimensions", "even, at most a head", rope_dims);
    if (!(norm_epsilon > 0.0f)) return wrong("norm epsilon", "above 0", 0);
    if (!(rope_base > 0.0f)) return wrong("rope base", "above 0", 0);
    return {};
  }
};

}  // namespace engine

#endif
