// tests/solver/more_solvers_test.cpp — HQQ, sign descent, outliers, refinement, nested scales, on generated and real
// layers.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/hqq.hpp>
#include <nbit/solver/nested_scales.hpp>
#include <nbit/solver/outliers.hpp>
#include <nbit/solver/rtn.hpp>
#include <nbit/solver/sign_round.hpp>

#include "solver/support.hpp"

using namespace solver_test;

namespace {

template <int Bits, int Group>
struct float_zero
    : nbit::uniform<nbit::scheme{
          .bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric_float, .scale = nbit::scale_type::f16}> {
};

struct problem {
  std::size_t rows = 40, cols = 256;
  std::vector<float> w;
  hessian h;
  explicit problem(float outlier_share = 0.0f) {
    nbit_test::random rng(21);
    w = rng.normals(rows * cols);
    for (float& v : w)
      if (rng.uniform() < outlier_share) v *= 6.0f;
    h = statistics(activations(600, cols, 22), cols);
  }
  matrix_view<const float> view() const { return {w.data(), rows, cols}; }
};

template <class F>
std::vector<float> values_of(const nbit::coded_matrix<F>& q) {
  std::vector<float> v(q.rows * q.cols);
  nbit::detail::decode_matrix(q, matrix_view<float>(v.data(), q.rows, q.cols));
  return v;
}

double error_sum(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::fabs(double(a[i]) - double(b[i]));
  return sum;
}

}  // namespace

TEST_CASE("the polynomial power is good to a part in a thousand") {
  for (float x = 1e-9f; x < 1e6f; x *= 1.37f)
    for (const float p : {-0.3f, 0.7f, 0.5f, 1.0f})
      CHECK(std::fabs(nbit::detail::rough_power(x, p) / std::pow(x, p) - 1.0f) < 1e-3f);
}

TEST_CASE("HQQ lowers the errors' magnitudes, more so when scales may move") {
  const problem l(0.01f);
  using F = float_zero<3, 64>;
  const auto rounded = nbit::round_to_nearest<F>(l.view());
  const auto solved = nbit::hqq<F>(l.view(), {}, threads{2});
  REQUIRE(rounded);
  REQUIRE(solved);
  CHECK(error_sum(l.w, values_of(*solved)) < 0.99 * error_sum(l.w, values_of(*rounded)));
  nbit::hqq_options scales;
  scales.move_scale = true;
  CHECK(error_sum(l.w, values_of(*nbit::hqq<F>(l.view(), scales))) < 0.97 * error_sum(l.w, values_of(*solved)));
  CHECK(same(*solved, *nbit::hqq<F>(l.view(), {}, backwards{})));
  nbit::hqq_options none;
  none.iterations = 0;
  CHECK(same(*nbit::hqq<F>(l.view(), none), *rounded));
  CHECK(nbit::hqq<F>(l.view(), {.iterations = -1}).error().code == nbit::errc::invalid_option);
  CHECK(nbit::hqq<F>(l.view(), {.norm = 1.5f}).error().code == nbit::errc::invalid_option);
  CHECK(nbit::hqq<F>(l.view(), {.beta = 0.0f}).error().code == nbit::errc::invalid_option);
  const std::vector<float> zeros(128);
  CHECK(all_values_finite(*nbit::hqq<F>({zeros.data(), 1, 128})));
}

namespace {
/// Sixteen groups side by side against one after another; how many were found without asking for the latter.
template <class F>
int hqq_lanes(std::size_t n, std::size_t count, const nbit::hqq_options& o) {
  nbit_test::random rng(n + count);
  std::vector<float> w = rng.normals(16 * n), scratch(32 * n);
  for (std::size_t i = 0; i < n; ++i) {
    w[i] = 0.0f, w[n + i] = 0.25f, w[2 * n + i] = 50.0f + 1e-3f * w[2 * n + i];
    w[3 * n + i] *= 1e-12f, w[4 * n + i] *= 1e30f, w[5 * n + i] *= i % 9 == 0 ? 10.0f : 0.1f;
    w[6 * n + i] = i == 0 ? 3.0f : 0.0f;
  }
  const float* rows[16] = {};
  typename F::params found[16] = {};
  typename F::params* params[16] = {};
  bool solved[16] = {};
  for (std::size_t l = 0; l < count; ++l)
    rows[l] = w.data() + l * n, found[l] = F::fit({rows[l], n}, {}), params[l] = &found[l];
  nbit::detail::solve_hqq_lanes<F>(rows, count, n, o, params, scratch.data(), solved);
  int compared = 0;
  for (std::size_t l = 0; l < count; ++l) {
    const std::span<const float> group(rows[l], n);
    typename F::params expected = F::fit(group, {});
    std::vector<nbit::code_t<F>> codes(n), again(n), trial(n);
    nbit::detail::round_group<F>(group, expected, 0, codes.data());
    nbit::detail::solve_hqq<F>(group, o, expected, codes.data(), scratch.data(), trial.data());
    if (!solved[l]) continue;
    ++compared;
    CAPTURE(n, l);
    CHECK(std::memcmp(&expected, &found[l], sizeof expected) == 0);
    nbit::detail::round_group<F>(group, found[l], 0, again.data());
    CHECK(again == codes);
  }
  return compared;
}
}  // namespace

TEST_CASE("HQQ of sixteen groups side by side finds what each finds alone, to the bit") {
  CHECK(hqq_lanes<float_zero<4, 64>>(64, 16, {.beta = 2.0f}) >= 10);
  CHECK(hqq_lanes<float_zero<2, 64>>(37, 9, {.iterations = 3, .norm = 1.0f, .beta = 10.0f, .growth = 1.5f}) >= 3);
  CHECK(hqq_lanes<nbit::w4g128a>(128, 16, {.beta = 2.0f}) >= 10);
  CHECK(hqq_lanes<nbit::w3g64a>(64, 16, {.norm = 0.4f, .beta = 2.0f}) >= 10);
  CHECK(hqq_lanes<nbit::w2g64a>(3, 9, {.beta = 2.0f}) >= 1);
}

TEST_CASE("sign descent ends far below rounding and keeps the best codes it saw") {
  const problem l;
  using F = stored_grid<3, 128>;
  nbit::sign_round_options o;
  o.steps = 100;
  const auto solved = nbit::sign_round<F>(l.view(), l.h, o, threads{2});
  REQUIRE(solved);
  CHECK(solved->report.loss < 0.6 * solved->report.loss_rounded);
  CHECK(solved->report.energy > solved->report.loss);
  CHECK(same(solved->codes, nbit::sign_round<F>(l.view(), l.h, o)->codes));
  o.steps = 0;
  const auto untouched = nbit::sign_round<F>(l.view(), l.h, o);
  REQUIRE(untouched);
  CHECK(untouched->report.loss == untouched->report.loss_rounded);
  CHECK(nbit::sign_round<F>(l.view(), l.h, {.steps = -1}).error().code == nbit::errc::invalid_option);
  CHECK(nbit::sign_round<F>(l.view(), l.h, {.rate = 2.0}).error().code == nbit::errc::invalid_option);
  CHECK(nbit::sign_round<F>(l.view(), hessian(3)).error().code == nbit::errc::shape);
}

TEST_CASE("refine improves any codes and never makes them worse") {
  const problem l;
  using F = nbit::q3_k;
  auto codes = nbit::round_to_nearest<F>(l.view());
  REQUIRE(codes);
  const auto once = nbit::refine<F>(l.view(), l.h, *codes, {}, threads{2});
  REQUIRE(once);
  CHECK(once->loss < 0.7 * once->loss_rounded);
  const auto again = nbit::refine<F>(l.view(), l.h, *codes);
  REQUIRE(again);
  CHECK(again->loss <= again->loss_rounded);
  CHECK(std::fabs(again->loss_rounded / once->loss - 1) < 1e-4);
  auto other = nbit::coded_matrix<F>::make({1, 256});
  REQUIRE(other);
  CHECK(nbit::refine<F>(l.view(), l.h, *other).error().code == nbit::errc::shape);
}

TEST_CASE("a few weights apart save more than their bits, when there are outliers") {
  const problem l(0.005f);
  using F = stored_grid<3, 128>;
  const auto whole = nbit::gptq<F>(l.view(), l.h);
  const auto split = nbit::outliers<F>(l.view(), l.h, {.share = 0.01}, threads{2});
  REQUIRE(whole);
  REQUIRE(split);
  CHECK(split->sparse.count() == std::size_t(0.01 * double(l.w.size())));
  CHECK(split->report.loss < 0.75 * whole->report.loss);
  // The report's loss is that of both parts.
  std::vector<float> v = values_of(split->codes);
  nbit::add_sparse(split->sparse, {v.data(), l.rows, l.cols});
  const double found = *nbit::relative_output_error(l.view(), matrix_view<const float>(v.data(), l.rows, l.cols), l.h);
  const double without = *nbit::relative_output_error(l.view(), whole->codes, l.h);
  CHECK(found < 0.8 * without);
  const auto same_again = nbit::outliers<F>(l.view(), l.h, {.share = 0.01}, backwards{});
  REQUIRE(same_again);
  CHECK(same(split->codes, same_again->codes));
  const auto none = nbit::outliers<F>(l.view(), l.h, {.share = 0.0, .rounds = 0});
  REQUIRE(none);
  CHECK(none->sparse.count() == 0);
  CHECK(same(none->codes, whole->codes));
  CHECK(nbit::outliers<F>(l.view(), l.h, {.share = 0.6}).error().code == nbit::errc::invalid_option);
}

TEST_CASE("nested scales: the map's ends, small errors, and GPTQ on NF4 far below rounding") {
  CHECK(nbit::dynamic_map[255] == 1.0f);
  CHECK(nbit::dynamic_map[0] == -0.99296875f);
  CHECK(std::is_sorted(nbit::dynamic_map.begin(), nbit::dynamic_map.end()));
  const problem l;
  auto rounded = nbit::round_to_nearest<nbit::nf4>(l.view());
  REQUIRE(rounded);
  const double plain = *nbit::relative_output_error(l.view(), *rounded, l.h);
  const auto nested = nbit::nest_scales(*rounded);
  REQUIRE(nested);
  const double after = *nbit::relative_output_error(l.view(), *rounded, l.h);
  CHECK(after < 1.1 * plain);
  for (std::size_t i = 0; i < rounded->params.size(); ++i) {
    const float part = nbit::dynamic_map[nested->codes[i]] * nested->largest[i / 256];
    CHECK(rounded->params[i].scale == part + nested->mean);
  }
  auto solved = nbit::gptq<nbit::nf4>(l.view(), l.h);
  REQUIRE(solved);
  REQUIRE(nbit::nest_scales(solved->codes));
  const double before = *nbit::relative_output_error(l.view(), solved->codes, l.h);
  REQUIRE(nbit::refine<nbit::nf4>(l.view(), l.h, solved->codes, {.tune = false}));
  const double best = *nbit::relative_output_error(l.view(), solved->codes, l.h);
  CHECK(best < before);
  CHECK(best < 0.5 * plain);
}

TEST_CASE("on real layers HQQ is level with hqq, sign descent with its peer, NF4 well below bitsandbytes") {
  const auto loaded = load_layer("lm_l3_q");
  if (!loaded) SKIP("data folder has no layers/lm_l3_q (set NBIT_DATA to run)");
  const layer& l = *loaded;
  const auto hqq = nbit::hqq<float_zero<4, 128>>(l.w());
  REQUIRE(hqq);
  CHECK(l.on_eval(*hqq) <= 1.005 * l.peer("hqq0.2.8_axis1", "eval", 4, 128));
  const auto hqq3 = nbit::hqq<float_zero<3, 128>>(l.w());
  REQUIRE(hqq3);
  CHECK(l.on_eval(*hqq3) <= 1.005 * l.peer("hqq0.2.8_axis1", "eval", 3, 128));
  const auto sign = nbit::sign_round<stored_grid<4, 128>>(l.w(), l.calib, {}, threads{2});
  REQUIRE(sign);
  CHECK(l.on_eval(sign->codes) <= 0.8 * l.peer("autoround0.16_signround200", "eval", 4, 128));
  auto nf4 = nbit::gptq<nbit::nf4>(l.w(), l.calib);
  REQUIRE(nf4);
  REQUIRE(nbit::nest_scales(nf4->codes));
  REQUIRE(nbit::refine<nbit::nf4>(l.w(), l.calib, nf4->codes, {.tune = false}));
  CHECK(l.on_eval(nf4->codes) <= 0.6 * l.peer("bnb_nf4_bs64", "eval"));
}
