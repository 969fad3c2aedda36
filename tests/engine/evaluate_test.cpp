// tests/engine/evaluate_test.cpp — perplexity against another program's figures; KL and top-1 of a model against
// itself.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <engine/evaluate.hpp>
#include <support/data.hpp>
#include <support/st.hpp>
#include <nbit/parallel/threads.hpp>

#include "reference.hpp"

using engine_test::bundled_model;
using engine_test::bundled_windows;

TEST_CASE("The bundled model has the reference's perplexity on four windows") {
  nbit::thread_pool pool(2);
  std::size_t told = 0;
  const auto text = bundled_windows("dev_ids.safetensors", 4);
  const auto found = engine::evaluate(bundled_model(), text, nullptr, pool, [&](std::size_t done, std::size_t total) {
    CHECK(total == 4);
    told = done;
  });
  CHECK(told == 4);
  CHECK(found.predictions == 1024);
  INFO("perplexity " << found.perplexity);
  // exp(mean) of the reference's likelihoods for the first four windows of dev_ids, computed in f32 by another program.
  CHECK(std::fabs(found.perplexity / 28.287271 - 1.0) < 1e-5);
}

TEST_CASE("An evaluation that begins midway says what one from the beginning says") {
  const engine::model& m = bundled_model();
  const auto text = bundled_windows("dev_ids.safetensors", 5);  // more than a step of windows
  const auto reference = engine::reference(m, text, 5);
  engine::model other = m;
  other.blocks[3][engine::role::ffn_up] = m.blocks[3][engine::role::ffn_gate];
  engine::midway from = engine::before_blocks(m, text);
  engine::runner run(m);
  for (; from.block < 3; ++from.block) run.run_block(from.block, from.states);
  const auto whole = engine::evaluate(other, text, &reference),
             rest = engine::evaluate(other, text, &reference, {}, {}, &from);
  CHECK(whole.kl > 0.01);
  CHECK(rest.kl == whole.kl);
  CHECK(rest.nll == whole.nll);
}

TEST_CASE("Perplexity over the whole dev split is within 0.1 % of the reference, likelihoods token by token") {
#if defined(NBIT_SCALAR_ONLY) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SKIP("the whole dev split takes minutes in this build; four windows run above");
#endif
  nbit::thread_pool pool;
  const auto found = engine::evaluate(bundled_model(), bundled_windows("dev_ids.safetensors", 128), nullptr, pool);
  INFO("perplexity " << found.perplexity << " in " << found.seconds << " s");
  CHECK(found.predictions == 32768);
  CHECK(std::fabs(found.perplexity / 26.57135 - 1.0) < 1e-5);
  NBIT_NEEDS_DATA(path, "lm/reference_dev.safetensors");
  const auto reference = nbit_test::st_file::load(path);
  REQUIRE(reference);
  const double off =
      engine_test::largest_difference(std::span(found.nll).first(1024), (*reference)["nll_first4"].as<float>());
  INFO("likelihoods differ by " << off);
  CHECK(off < 5e-5);
}

TEST_CASE("KL and top-1 are 0 and 1 against itself, and grow with the error in the weights") {
  const auto text = bundled_windows("dev_ids.safetensors", 3);
  nbit::thread_pool pool(2);
  const auto kept = engine::reference(bundled_model(), text, 2, pool);
  CHECK(kept.windows == 2);
  const auto same = engine::evaluate(bundled_model(), text, &kept, pool);
  CHECK(std::fabs(same.kl) < 1e-6);
  CHECK(same.top1 == 1.0);
  CHECK(same.compared == 512);
  CHECK(same.predictions == 768);

  double before = 0.0;
  for (const float steps : {64.0f, 16.0f, 8.0f}) {
    engine::model coarse = bundled_model();
    for (engine::block& b : coarse.blocks)
      for (engine::linear& w : b.matrices) {
        std::vector<float> v(w.shape().rows * w.shape().cols);
        w.decode({v.data(), w.shape().rows, w.shape().cols});
        for (float& x : v) x = std::round(x * steps) / steps;
        w = engine::linear(std::move(v), w.shape());
      }
    const auto found = engine::evaluate(coarse, text, &kept, pool);
    CHECK(found.kl > before);
    CHECK(found.top1 < 1.0);
    before = found.kl;
  }
}

TEST_CASE("KL is the mean of sum p ln(p / q)") {
  // Checked on the definition, in double, from the two models' scores of one window.
  const auto text = bundled_windows("dev_ids.safetensors", 1);
  engine::model other = bundled_model();
  other.output_norm.assign(other.output_norm.size(), 1.0f);
  const auto p = engine::reference(bundled_model(), text, 1), q = engine::reference(other, text, 1);
  double sum = 0.0;
  for (std::size_t i = 0; i < p.log_p.values.size(); ++i)
    sum += std::exp(double(p.log_p.values[i])) * (double(p.log_p.values[i]) - double(q.log_p.values[i]));
  const auto found = engine::evaluate(other, text, &p);
  CHECK(std::fabs(found.kl / (sum / 256.0) - 1.0) < 1e-5);
}

TEST_CASE("Windows too short to predict anything, and no windows, measure nothing") {
  const engine::token_windows none{0, 257, {}}, short_one{1, 1, {5}};
  CHECK(engine::evaluate(bundled_model(), none).predictions == 0);
  CHECK(engine::evaluate(bundled_model(), short_one).predictions == 0);
}
