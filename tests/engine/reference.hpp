// tests/engine/reference.hpp — the bundled model and comparisons with reference tensors.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_ENGINE_REFERENCE_HPP
#define NBIT_TESTS_ENGINE_REFERENCE_HPP

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <engine/forward.hpp>
#include <engine/load_safetensors.hpp>
#include <engine/model.hpp>

namespace engine_test {

inline std::string bundled(const std::string& name) { return NBIT_SOURCE_DIR "/examples/data/" + name; }

/// The model in examples/data, read once.
inline const engine::model& bundled_model() {
  static const auto m = engine::load_safetensors(bundled("model_bf16.safetensors"), bundled("config.json"));
  REQUIRE(m);
  return *m;
}

inline engine::token_windows bundled_windows(const std::string& name, std::size_t count) {
  const auto w = engine::load_windows(bundled(name), bundled_model().config.vocabulary);
  REQUIRE(w);
  return w->first(count);
}

inline double largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    worst = d <= worst ? worst : d;  // a NaN becomes the worst
  }
  return worst;
}

/// Scores for every token of one window.
inline engine::floats logits_of(const engine::model& m, std::span<const std::int32_t> ids) {
  engine::hidden_states h = engine::embed(m, ids, 1, ids.size());
  engine::runner run(m);
  run.run(h);
  engine::floats out(ids.size(), m.config.vocabulary);
  run.logits(h.rows.view(), out.view());
  return out;
}

}  // namespace engine_test

#endif
