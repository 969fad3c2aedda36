// tests/engine/forward_test.cpp — logits and hidden states against another program's; observers; cache and batch.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <engine/forward.hpp>
#include <engine/generate.hpp>
#include <engine/load_safetensors.hpp>
#include <engine/rotate.hpp>
#include <engine/sort.hpp>
#include <support/data.hpp>
#include <support/random.hpp>
#include <support/st.hpp>
#include <nbit/parallel/threads.hpp>
#include <nbit/solver/calibration.hpp>

#include "reference.hpp"

using engine_test::bundled_model;
using engine_test::largest_difference;

TEST_CASE("Hidden states and logits of 64 tokens agree with the reference") {
  NBIT_NEEDS_DATA(path, "lm/reference_dev.safetensors");
  const auto reference = nbit_test::st_file::load(path);
  REQUIRE(reference);
  const auto ids = (*reference)["ids"].as<std::int32_t>();
  const auto hidden = (*reference)["hidden"].as<float>();
  const engine::model& m = bundled_model();
  engine::hidden_states h = engine::embed(m, ids, 1, ids.size());
  const std::size_t size = ids.size() * m.config.width;
  REQUIRE(hidden.size() == 7 * size);
  engine::runner run(m);
  CHECK(largest_difference(h.rows.values, std::span(hidden).first(size)) == 0.0);  // the embedding is a copy
  double worst = 0.0;
  for (std::size_t b = 0; b < m.blocks.size(); ++b) {
    run.run_block(b, h);
    const std::span<const float> expected = std::span(hidden).subspan((b + 1) * size, size);
    double largest = 0.0;
    for (const float v : expected) largest = std::max(largest, std::fabs(double(v)));
    worst = std::max(worst, largest_difference(h.rows.values, expected) / largest);
  }
  engine::floats logits(ids.size(), m.config.vocabulary);
  run.logits(h.rows.view(), logits.view());
  const double off = largest_difference(logits.values, (*reference)["logits"].as<float>());
  INFO("hidden states differ by " << worst << " of the layer's largest, logits by " << off);
  CHECK(worst < 2e-6);
  CHECK(off < 5e-5);
}

TEST_CASE("A small model with a tied head agrees with the reference, and writes its story") {
  NBIT_NEEDS_DATA(path, "stories260k/model.safetensors");
  const auto reference = nbit_test::st_file::load(path.parent_path() / "reference.safetensors");
  REQUIRE(reference);
  const auto m = engine::load_safetensors(path.string(), (path.parent_path() / "config.json").string());
  REQUIRE(m);
  CHECK_FALSE(m->output);
  const auto ids = (*reference)["greedy_ids"].as<std::int32_t>();
  const auto logits = engine_test::logits_of(*m, std::span(ids).first(64));
  const double off = largest_difference(logits.values, (*reference)["logits"].as<float>());
  INFO("logits differ by " << off);
  CHECK(off < 5e-5);
  const auto written = engine::greedy(*m, {ids.data(), 1}, ids.size() - 1);
  REQUIRE(written);
  CHECK(*written == std::vector<std::int32_t>(ids.begin() + 1, ids.end()));
}

namespace {
/// Widths that are no powers of two, grouped heads, a tied head and gains that differ.
engine::model small_model() {
  nbit_test::random numbers(9);
  engine::model m;
  m.config.layers = 2, m.config.width = 48, m.config.ffn_width = 40, m.config.heads = 4, m.config.kv_heads = 2;
  m.config.head_width = m.config.rope_dims = 12, m.config.vocabulary = 50, m.config.context = 64;
  const auto matrix = [&](std::size_t rows, std::size_t cols) {
    std::vector<float> w = numbers.normals(rows * cols);
    for (float& v : w) v *= 0.2f;
    return engine::linear(std::move(w), {rows, cols});
  };
  const auto gains = [&] {
    std::vector<float> g = numbers.normals(48);
    for (float& v : g) v = 1.0f + 0.5f * v;
    return g;
  };
  const std::size_t rows[] = {48, 24, 24, 48, 40, 40, 48}, cols[] = {48, 48, 48, 48, 48, 48, 40};
  m.token_embd = matrix(50, 48), m.output_norm = gains();
  for (int b = 0; b < 2; ++b) {
    engine::block& to = m.blocks.emplace_back();
    to.attn_norm = gains(), to.ffn_norm = gains();
    for (std::size_t r = 0; r < engine::role_count; ++r) to.matrices[r] = matrix(rows[r], cols[r]);
  }
  REQUIRE(m.check());
  return m;
}
}  // namespace

TEST_CASE("A rotated model has the logits of the one it was, and a tied head is one no more") {
  const engine::model m = small_model();
  const auto turned = engine::rotated(m, 5);
  REQUIRE(turned);
  REQUIRE(turned->check());
  CHECK(turned->output);
  const std::vector<std::int32_t> ids = {3, 1, 41, 5, 9, 26, 49, 0};
  const auto before = engine_test::logits_of(m, ids), after = engine_test::logits_of(*turned, ids);
  CHECK(largest_difference(before.values, after.values) < 2e-4);
  engine::floats a(48, 40), b(48, 40);
  m.blocks[0][engine::role::ffn_down].decode(a.view()), turned->blocks[0][engine::role::ffn_down].decode(b.view());
  CHECK(largest_difference(a.values, b.values) > 0.1);
}

TEST_CASE("A sorted model has the logits of the one it was, and inputs that fall in strength") {
  const engine::model m = small_model();
  engine::token_windows text{2, 8, {3, 1, 41, 5, 9, 26, 49, 0, 7, 7, 12, 30, 2, 48, 11, 6}};
  const auto strengths = engine::input_strengths(m, text);
  const auto orders = engine::strongest_first(m.config, strengths);
  REQUIRE(orders);
  for (const std::string& name : m.names()) CHECK(orders->of(name));
  CHECK_FALSE(orders->of("blk.0.attn_q_norm.weight"));
  const auto sorted = engine::reordered(m, *orders);
  REQUIRE(sorted);
  REQUIRE(sorted->check());
  CHECK_FALSE(sorted->output);
  const auto before = engine_test::logits_of(m, text[0]), after = engine_test::logits_of(*sorted, text[0]);
  CHECK(largest_difference(before.values, after.values) < 2e-5);
  // What the ffn's last matrix reads now falls from channel to channel; what attention's reads, within a pair of heads.
  const auto now = engine::input_strengths(*sorted, text);
  for (std::size_t b = 0; b < 2; ++b) {
    const std::vector<float>& ffn = now[b][static_cast<std::size_t>(engine::site::ffn_out)];
    CHECK_FALSE(std::is_sorted(strengths[b].back().rbegin(), strengths[b].back().rend()));
    for (std::size_t i = 1; i < ffn.size(); ++i) CHECK(ffn[i] <= ffn[i - 1] * 1.0001f);
    const std::vector<float>& heads = now[b][static_cast<std::size_t>(engine::site::attention_out)];
    for (const std::size_t first : {std::size_t{0}, std::size_t{24}})
      for (std::size_t i = 1; i < 12; ++i)
        CHECK(heads[first + i] + heads[first + 12 + i] <= 1.0001f * (heads[first + i - 1] + heads[first + 11 + i]));
  }
  auto other = strengths;
  other[1][2].pop_back();
  CHECK(engine::strongest_first(m.config, other).error().code == nbit::errc::shape);
}

TEST_CASE("Threads and the size of steps do not change a bit of the hidden states") {
  const engine::model& m = bundled_model();
  const auto text = engine_test::bundled_windows("dev_ids.safetensors", 3);
  std::vector<std::int32_t> ids;
  for (std::size_t w = 0; w < 3; ++w) ids.insert(ids.end(), text[w].begin(), text[w].begin() + 70);
  engine::hidden_states first = engine::embed(m, ids, 3, 70), again = first;
  engine::runner(m).run(first);
  nbit::thread_pool pool(3);
  engine::runner(m, pool, 70).run(again);
  CHECK(first.rows.values == again.rows.values);
}

TEST_CASE("Token by token with a cache gives the logits of the whole batch") {
  const engine::model& m = bundled_model();
  const auto text = engine_test::bundled_windows("dev_ids.safetensors", 1);
  const auto ids = text[0].first(40);
  const auto batch = engine_test::logits_of(m, ids);
  engine::session s(m, ids.size());
  auto scores = s.feed(ids.first(17));
  REQUIRE(scores);
  CHECK(largest_difference(*scores, batch.view().row(16)) < 1e-4);
  for (std::size_t t = 17; t < ids.size(); ++t) {
    scores = s.feed(ids.subspan(t, 1));
    REQUIRE(scores);
    CHECK(largest_difference(*scores, batch.view().row(t)) < 1e-4);
  }
  CHECK(s.position() == ids.size());
  const auto full = s.feed(ids.first(1));
  REQUIRE_FALSE(full);
  CHECK(full.error().code == nbit::errc::overflow);
  const std::int32_t outside = 2048;
  CHECK_FALSE(engine::session(m, 4).feed({&outside, 1}));
  CHECK_FALSE(engine::session(m, 4).feed({}));
}

TEST_CASE("An observer sees the input of every matrix once for every token, before it is used") {
  const engine::model& m = bundled_model();
  const auto text = engine_test::bundled_windows("calib_ids.safetensors", 5);
  std::vector<std::int32_t> ids;
  for (std::size_t w = 0; w < 5; ++w) ids.insert(ids.end(), text[w].begin(), text[w].begin() + 33);
  engine::hidden_states h = engine::embed(m, ids, 5, 33), plain = h;
  engine::runner run(m, {}, 66);
  run.run_block(0, plain);
  std::vector<nbit::hessian> seen;
  for (const std::size_t cols : {256u, 256u, 256u, 768u}) seen.emplace_back(cols);
  engine::floats ffn_input(0, 768);
  std::vector<engine::site> completed;
  engine::observer watch;
  watch.input = [&](std::size_t b, engine::site s, nbit::matrix_view<const float> x) {
    CHECK(b == 0);
    REQUIRE(seen[static_cast<std::size_t>(s)].add(x));
    if (s == engine::site::ffn_out)
      for (std::size_t r = 0; r < x.rows; ++r, ++ffn_input.rows)
        ffn_input.values.insert(ffn_input.values.end(), x.row(r).begin(), x.row(r).end());
  };
  watch.complete = [&](std::size_t, engine::site s) {
    CHECK(seen[static_cast<std::size_t>(s)].tokens() == ids.size());
    completed.push_back(s);
  };
  run.run_block(0, h, &watch);
  CHECK(completed == std::vector<engine::site>{engine::site::attention_in, engine::site::attention_out,
                                               engine::site::ffn_in, engine::site::ffn_out});
  CHECK(h.rows.values == plain.rows.values);  // looking changes nothing
  CHECK(engine::readers(engine::site::attention_in).size() == 3);
  CHECK(engine::readers(engine::site::ffn_out).front() == engine::role::ffn_down);

  // What was seen at ffn_out, times that matrix, is what the block added last: without the matrix it is missing.
  engine::model without = m;
  REQUIRE(without.replace(engine::tensor_name(0, engine::role::ffn_down),
                          engine::linear(std::vector<float>(256 * 768), {256, 768})));
  engine::hidden_states before = engine::embed(m, ids, 5, 33);
  engine::runner(without).run_block(0, before);
  engine::floats added(ids.size(), 256);
  m.blocks[0][engine::role::ffn_down](ffn_input.view(), added.view());
  for (std::size_t i = 0; i < added.values.size(); ++i) added.values[i] += before.rows.values[i];
  CHECK(largest_difference(added.values, h.rows.values) < 1e-5);
}

TEST_CASE("Matrices replaced by an observer act in the same run, as sequential calibration needs") {
  const engine::model& original = bundled_model();
  const auto text = engine_test::bundled_windows("calib_ids.safetensors", 2);
  std::vector<std::int32_t> ids;
  for (std::size_t w = 0; w < 2; ++w) ids.insert(ids.end(), text[w].begin(), text[w].begin() + 20);
  const auto coarse = [](const engine::linear& w) {  // another matrix of the same shape: rounded to 1/16
    std::vector<float> v(w.shape().rows * w.shape().cols);
    w.decode({v.data(), w.shape().rows, w.shape().cols});
    for (float& x : v) x = std::round(x * 16.0f) / 16.0f;
    return engine::linear(std::move(v), w.shape());
  };
  engine::model replaced = original, running = original;
  for (engine::block& b : replaced.blocks)
    for (engine::linear& w : b.matrices) w = coarse(w);
  engine::observer watch;
  watch.complete = [&](std::size_t b, engine::site s) {
    for (const engine::role r : engine::readers(s)) running.blocks[b][r] = coarse(running.blocks[b][r]);
  };
  engine::hidden_states a = engine::embed(original, ids, 2, 20), b = a, c = a;
  engine::runner(replaced).run(a);
  engine::runner(running).run(b, &watch);
  engine::runner(original).run(c);
  CHECK(a.rows.values == b.rows.values);
  CHECK(a.rows.values != c.rows.values);
}
