// tests/solver/transforms_test.cpp — rotations, SmoothQuant, LLM.int8's split and the training hooks.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

#include <nbit/solver/fold.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/qat.hpp>
#include <nbit/solver/rotate.hpp>
#include <nbit/solver/rtn.hpp>
#include <nbit/solver/smooth.hpp>

#include "solver/support.hpp"

using namespace solver_test;
using nbit::rotation;

namespace {
double norm(const std::vector<float>& v) {
  double s = 0;
  for (const float x : v) s += double(x) * double(x);
  return std::sqrt(s);
}
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
  return std::sqrt(s);
}
struct w8_per_row
    : nbit::uniform<nbit::scheme{
          .bits = 8, .group = nbit::per_row, .symmetry = nbit::symmetry::restricted, .scale = nbit::scale_type::f32}> {
};
}  // namespace

TEST_CASE("a rotation keeps lengths, goes back, and spreads one number over all, for any width") {
  for (const std::size_t n : {1u, 2u, 3u, 8u, 96u, 100u, 256u, 344u, 768u}) {
    CAPTURE(n);
    const rotation q{n, 7};
    std::vector<float> v = nbit_test::random(n).normals(n), turned = v;
    nbit::rotate(q, turned);
    CHECK(std::fabs(norm(turned) - norm(v)) < 1e-4 * norm(v));
    if (n > 2) CHECK(distance(turned, v) > 0.1 * norm(v));
    nbit::rotate_back(q, turned);
    CHECK(distance(turned, v) < 1e-4 * norm(v) + 1e-6);
    std::vector<float> spike(n);
    spike[n / 2] = 1.0f;
    nbit::rotate(q, spike);
    float most = 0;
    for (const float x : spike) most = std::max(most, std::fabs(x));
    CHECK(most <= 3.1f / std::sqrt(float(n)) + (n < 4 ? 1.0f : 0.0f));
  }
  std::vector<float> one(64, 1.0f), other(64, 1.0f);
  nbit::rotate({64, 1}, one), nbit::rotate({64, 2}, other);
  CHECK(one != other);
}

TEST_CASE("rotated weights give the same outputs from rotated inputs; outputs rotate in pieces") {
  const std::size_t rows = 96, cols = 48;
  nbit_test::random rng(3);
  const std::vector<float> w = rng.normals(rows * cols), x = rng.normals(cols);
  const auto outputs = [&](const std::vector<float>& m, const std::vector<float>& in) {
    std::vector<float> y(rows);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) y[r] += m[r * cols + c] * in[c];
    return y;
  };
  std::vector<float> turned = w, turned_x = x;
  const rotation q{cols, 11};
  REQUIRE(nbit::rotate_rows(q, {turned.data(), rows, cols}, threads{2}));
  nbit::rotate(q, turned_x);
  CHECK(distance(outputs(turned, turned_x), outputs(w, x)) < 1e-4 * norm(outputs(w, x)));
  REQUIRE(nbit::rotate_rows_back(q, {turned.data(), rows, cols}));
  CHECK(distance(turned, w) < 1e-4 * norm(w));
  // R2: heads of 24 outputs; the reader of those outputs rotates its columns head by head.
  std::vector<float> v = w;
  const rotation head{24, 5};
  REQUIRE(nbit::rotate_outputs(head, {v.data(), rows, cols}));
  std::vector<float> y = outputs(w, x);
  for (std::size_t h = 0; h < rows; h += 24) nbit::rotate(head, std::span<float>(y).subspan(h, 24));
  CHECK(distance(outputs(v, x), y) < 1e-4 * norm(y));
  CHECK(nbit::rotate_outputs({7, 0}, {v.data(), rows, cols}).error().code == nbit::errc::shape);
  CHECK(nbit::rotate_rows({7, 0}, {v.data(), rows, cols}).error().code == nbit::errc::shape);
  std::vector<float> gain(cols, 2.0f), reader = w;
  REQUIRE(nbit::fold_gain_into_columns(gain, {reader.data(), rows, cols}));
  CHECK(reader[5] == 2.0f * w[5]);
  CHECK(nbit::fold_gain_into_columns(std::span<const float>(gain).first(3), {reader.data(), rows, cols}).error().code ==
        nbit::errc::shape);
}

TEST_CASE("rotation makes weights with outlier columns easier to hold in few bits") {
  const std::size_t rows = 32, cols = 256;
  nbit_test::random rng(4);
  std::vector<float> w = rng.normals(rows * cols);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; c += 37) w[r * cols + c] *= 12.0f;
  std::vector<float> x = activations(500, cols, 5);
  using F = stored_grid<3, nbit::per_row>;
  const hessian h = statistics(x, cols);
  const auto plain = nbit::gptq<F>({w.data(), rows, cols}, h);
  REQUIRE(nbit::rotate_rows({cols, 1}, {w.data(), rows, cols}));
  REQUIRE(nbit::rotate_rows({cols, 1}, {x.data(), x.size() / cols, cols}));
  const auto turned = nbit::gptq<F>({w.data(), rows, cols}, statistics(x, cols));
  REQUIRE(plain);
  REQUIRE(turned);
  CHECK(turned->report.loss / turned->report.energy < 0.5 * plain->report.loss / plain->report.energy);
}

TEST_CASE("SmoothQuant: W8A8 of inputs with outlier channels, static and dynamic") {
  const std::size_t rows = 48, cols = 96, tokens = 200;
  nbit_test::random rng(6);
  const std::vector<float> w = rng.normals(rows * cols);
  std::vector<float> x = rng.normals(tokens * cols);
  for (std::size_t t = 0; t < tokens; ++t) x[t * cols + 3] *= 60.0f, x[t * cols + 50] *= 25.0f;
  const hessian h = statistics(x, cols);
  // The error of the outputs with 8-bit weights and activations.
  const auto error = [&](std::span<const float> scales, bool dynamic) {
    std::vector<float> scaled = w;
    REQUIRE(nbit::fold_into_columns({scaled.data(), rows, cols}, scales));
    REQUIRE(nbit::fake_quantize<w8_per_row>({scaled.data(), rows, cols}, {scaled.data(), rows, cols}));
    const float fixed = nbit::static_activation_scale(h, scales);
    double wrong = 0, energy = 0;
    std::vector<float> in(cols);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t c = 0; c < cols; ++c) in[c] = x[t * cols + c] / scales[c];
      if (dynamic)
        nbit::quantize_activations_dynamic(in, in);
      else
        nbit::quantize_activations_static(in, fixed, in);
      for (std::size_t r = 0; r < rows; ++r) {
        double y = 0, was = 0;
        for (std::size_t c = 0; c < cols; ++c)
          y += double(scaled[r * cols + c]) * double(in[c]), was += double(w[r * cols + c]) * double(x[t * cols + c]);
        wrong += (y - was) * (y - was), energy += was * was;
      }
    }
    return wrong / energy;
  };
  const matrix_view<const float> linear(w.data(), rows, cols);
  const auto scales = nbit::smooth_scales({&linear, 1}, h, {.strength = 0.7});
  REQUIRE(scales);
  const std::vector<float> ones(cols, 1.0f);
  CHECK(error(scales->span(), true) < 0.5 * error(ones, true));
  CHECK(error(scales->span(), false) < 0.5 * error(ones, false));
  CHECK(error(scales->span(), true) < error(scales->span(), false));
  CHECK(nbit::smooth_scales({&linear, 1}, hessian(3)).error().code == nbit::errc::shape);
  CHECK(nbit::smooth_scales({&linear, 1}, h, {.strength = -1.0}).error().code == nbit::errc::invalid_option);
  const hessian nothing(cols);
  const auto neutral = nbit::smooth_scales({&linear, 1}, nothing);
  REQUIRE(neutral);
  CHECK((*neutral)[0] == 1.0f);
  CHECK(nbit::static_activation_scale(nothing) == 1.0f);

  const auto columns = nbit::outlier_columns(h, 20.0f);
  REQUIRE(columns);
  REQUIRE(columns->size() == 2);
  CHECK((*columns)[0] == 3);
  CHECK((*columns)[1] == 50);
  std::vector<float> rest = w, kept(rows * 2);
  REQUIRE(nbit::split_columns({rest.data(), rows, cols}, columns->span(), {kept.data(), rows, 2}));
  CHECK(rest[3] == 0.0f);
  CHECK(kept[2] == w[cols + 3]);
  CHECK(kept[3] == w[cols + 50]);
  CHECK(nbit::split_columns({rest.data(), rows, cols}, columns->span(), {kept.data(), rows, 1}).error().code ==
        nbit::errc::shape);
}

TEST_CASE("learned steps: slopes are those of the straight-through forward pass") {
  const std::vector<float> x = nbit_test::random(8).normals(300);
  const nbit::learned_step q{0.4f, 0.0f, -3, 3};
  std::vector<float> out(x.size()), g(x.size(), 1.0f), back(x.size());
  nbit::fake_quantize(q, x, out);
  const nbit::learned_step_slope s = nbit::fake_quantize_slope(q, x, g, back);
  double expected = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double place = double(x[i]) / 0.4f;
    const bool clipped = place < -3 || place > 3;
    CHECK(std::fabs(out[i] - 0.4f * std::fmin(3.0f, std::fmax(-3.0f, std::nearbyint(x[i] / 0.4f)))) < 1e-6f);
    CHECK(back[i] == (clipped ? 0.0f : 1.0f));
    expected += clipped ? (place < 0 ? -3.0 : 3.0) : std::nearbyint(place) - place;
  }
  CHECK(std::fabs(double(s.step) - expected / std::sqrt(300.0 * 3)) < 1e-3);
  // Descent on the step finds a grid that loses less than the first one.
  nbit::learned_step learned = nbit::first_step(x, -3, 3);
  learned.step *= 2.0f;
  const auto loss = [&](const nbit::learned_step& with) {
    nbit::fake_quantize(with, x, out);
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += (double(out[i]) - double(x[i])) * (double(out[i]) - double(x[i]));
    return sum;
  };
  const double before = loss(learned);
  for (int k = 0; k < 200; ++k) {
    nbit::fake_quantize(learned, x, out);
    for (std::size_t i = 0; i < x.size(); ++i) g[i] = 2 * (out[i] - x[i]) / float(x.size());
    learned.step -= 0.5f * nbit::fake_quantize_slope(learned, x, g, back).step;
  }
  CHECK(learned.step > 0.0f);
  CHECK(loss(learned) < 0.6 * before);
}

TEST_CASE("weights in any format: forward as rounding, slopes stop where it clipped far") {
  const std::size_t rows = 4, cols = 128;
  std::vector<float> w = nbit_test::random(9).normals(rows * cols), value(w.size()), slope(w.size(), 1.0f);
  using F = stored_grid<4, 128>;
  REQUIRE(nbit::fake_quantize<F>({w.data(), rows, cols}, {value.data(), rows, cols}));
  std::vector<float> expected(w.size());
  nbit::detail::decode_matrix(*nbit::round_to_nearest<F>({w.data(), rows, cols}),
                              matrix_view<float>(expected.data(), rows, cols));
  CHECK(value == expected);
  w[10] += 5.0f;  // as if the grid had clipped it
  nbit::straight_through({w.data(), rows, cols}, {value.data(), rows, cols}, {slope.data(), rows, cols});
  CHECK(slope[10] == 0.0f);
  CHECK(slope[11] == 1.0f);
  CHECK(nbit::fake_quantize<F>({w.data(), rows, cols}, {value.data(), rows, 64}).error().code == nbit::errc::shape);
}
