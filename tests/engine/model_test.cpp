// tests/engine/model_test.cpp — matrices by name: finding, replacing, a user's own format, rotary styles.
// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <engine/linear.hpp>
#include <engine/model.hpp>
#include <support/random.hpp>
#include <nbit/kernel/quantize.hpp>

#include "reference.hpp"

namespace {

// A user's own format: three values per weight, one power of two per group of 32.
struct ternary {
  static constexpr int bits = 2, group = 32;
  struct params {
    std::int8_t exponent;
  };
  static params fit(std::span<const float> w, std::span<const float>) {
    float sum = 0.0f;
    for (const float v : w) sum += std::fabs(v);
    return {static_cast<std::int8_t>(sum > 0.0f ? std::lround(std::log2(1.5f * sum / static_cast<float>(w.size())))
                                                : -100)};
  }
  static int code(float v, const params& p, int) {
    const float half = std::ldexp(0.5f, p.exponent);
    return v > half ? 2 : v < -half ? 0 : 1;
  }
  static float value(int c, const params& p, int) { return std::ldexp(static_cast<float>(c - 1), p.exponent); }
};

}  // namespace

TEST_CASE("A matrix in a user's own format multiplies as its decoded weights do") {
  nbit_test::random numbers(4);
  const std::size_t rows = 37, cols = 80;
  const auto w = numbers.normals(rows * cols), x = numbers.normals(5 * cols);
  auto packed = nbit::quantize<ternary>(nbit::matrix_view<const float>(w.data(), rows, cols));
  REQUIRE(packed);
  const engine::linear matrix(*std::move(packed), "ternary");
  CHECK(matrix.format() == "ternary");
  CHECK(matrix.shape() == nbit::shape{rows, cols});
  CHECK(matrix.bytes() < rows * cols / 2);
  engine::floats decoded(rows, cols), five(5, rows), one(1, rows), row(1, cols);
  matrix.decode(decoded.view());
  matrix({x.data(), 5, cols}, five.view());
  matrix({x.data(), 1, cols}, one.view());
  matrix.row(11, row.values);
  for (std::size_t c = 0; c < cols; ++c) CHECK(row.values[c] == decoded.view()(11, c));
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t t = 0; t < 5; ++t) {
      double sum = 0.0;
      for (std::size_t c = 0; c < cols; ++c) sum += double(decoded.view()(r, c)) * double(x[t * cols + c]);
      CHECK(std::fabs(double(five.view()(t, r)) - sum) < 1e-4);
      if (t == 0) CHECK(std::fabs(double(one.view()(0, r)) - sum) < 1e-4);
    }
}

TEST_CASE("Every matrix has one name, is found by it, and is replaced only by its equal in shape") {
  engine::model m = engine_test::bundled_model();
  const auto names = m.names();
  CHECK(names.size() == 6 * engine::role_count + 2);
  std::set<const engine::linear*> found;
  for (const std::string& name : names) found.insert(m.find(name));
  CHECK(found.size() == names.size());
  CHECK(found.count(nullptr) == 0);
  for (const char* const wrong :
       {"", "blk.", "blk.6.attn_q.weight", "blk.0.attn_q", "blk.0.attn_norm.weight", "blk.0.attn_q.weightx",
        "blk.x.attn_q.weight", "blk.99999999999999999999.attn_q.weight", "blk.0xattn_q.weight"})
    CHECK(m.find(wrong) == nullptr);

  const engine::linear narrow(std::vector<float>(64), {8, 8});
  const auto refused = m.replace("blk.0.attn_q.weight", narrow);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == nbit::errc::shape);
  const auto unknown = m.replace("blk.0.attn_x.weight", narrow);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == nbit::errc::missing);
  const engine::linear zeros(std::vector<float>(256 * 256), {256, 256});
  REQUIRE(m.replace("blk.0.attn_q.weight", zeros));
  CHECK(m.find("blk.0.attn_q.weight")->format() == "F32");
  CHECK(engine_test::bundled_model().find("blk.0.attn_q.weight")->format() == "BF16");  // a copy was changed
}

TEST_CASE("A model's rotary style changes its q and k rows, not its logits") {
  const engine::model& m = engine_test::bundled_model();
  const engine::model turned = engine::with_rope(m, engine::rope_style::interleaved);
  const engine::model back = engine::with_rope(turned, engine::rope_style::half_split);
  CHECK(turned.config.rope == engine::rope_style::interleaved);
  std::vector<float> first(256 * 256), again(256 * 256), other(256 * 256);
  const auto name = engine::tensor_name(0, engine::role::attn_q);
  m.find(name)->decode({first.data(), 256, 256});
  back.find(name)->decode({again.data(), 256, 256});
  turned.find(name)->decode({other.data(), 256, 256});
  CHECK(first == again);
  CHECK(first != other);
  const auto text = engine_test::bundled_windows("dev_ids.safetensors", 1);
  const auto ids = text[0].first(32);
  const auto a = engine_test::logits_of(m, ids), b = engine_test::logits_of(turned, ids);
  CHECK(engine_test::largest_difference(a.values, b.values) < 1e-4);
}

TEST_CASE("A model that lacks a weight, or has one of another shape, is refused by name") {
  engine::model m = engine_test::bundled_model();
  REQUIRE(m.check());
  m.blocks[3][engine::role::ffn_up] = engine::linear(std::vector<float>(64), {8, 8});
  const auto wrong = m.check();
  REQUIRE_FALSE(wrong);
  CHECK(std::string(wrong.error().subject) == "blk.3.ffn_up.weight");
  m = engine_test::bundled_model();
  m.blocks[2].ffn_norm.clear();
  REQUIRE_FALSE(m.check());
  m = engine_test::bundled_model();
  m.config.kv_heads = 3;
  REQUIRE_FALSE(m.check());
  CHECK(m.check().error().code == nbit::errc::invalid_option);
}

TEST_CASE("a matrix that reads rotated inputs is the matrix again") {
  nbit_test::random rng(71);
  const std::size_t rows = 40, cols = 96, tokens = 5;  // no power of two
  const std::vector<float> w = rng.normals(rows * cols), x = rng.normals(tokens * cols);
  const nbit::rotation q{cols, 12};
  std::vector<float> turned = w;
  REQUIRE(nbit::rotate_rows(q, {turned.data(), rows, cols}));
  const engine::linear plain(std::vector<float>(w), {rows, cols});
  const engine::linear again = engine::linear(turned, {rows, cols}).reading(q);
  CHECK(again.shape() == plain.shape());
  CHECK(again.bytes() == plain.bytes());
  CHECK(!again.stored());  // no file has the rotation
  std::vector<float> y(tokens * rows), z(tokens * rows), dense(rows * cols), row(cols);
  plain({x.data(), tokens, cols}, {y.data(), tokens, rows});
  again({x.data(), tokens, cols}, {z.data(), tokens, rows});
  for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::fabs(z[i] - y[i]) < 1e-4f);
  again.decode({dense.data(), rows, cols});
  again.row(7, row);
  for (std::size_t i = 0; i < dense.size(); ++i) CHECK(std::fabs(dense[i] - w[i]) < 1e-5f);
  for (std::size_t c = 0; c < cols; ++c) CHECK(row[c] == dense[7 * cols + c]);
}
