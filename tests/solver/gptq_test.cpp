// tests/solver/gptq_test.cpp — GPTQ over formats, shapes, orders, executors and bad statistics.
// SPDX-License-Identifier: MIT
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/rtn.hpp>

#include "solver/support.hpp"

using namespace solver_test;
using nbit::column_order;
using nbit::gptq;
using nbit::gptq_options;
using nbit::grid_search;
using nbit::group_fit;

namespace {
struct three_per_row : stored_grid<3, nbit::per_row> {};
struct four_per_tensor : stored_grid<4, nbit::per_tensor> {};

template <class F>
void gains(const char* name, std::size_t cols = 256) {
  const std::size_t rows = 40;
  const std::vector<float> w = nbit_test::random(21).normals(rows * cols);
  const hessian h = statistics(activations(1024, cols, 22), cols);
  const matrix_view<const float> view(w.data(), rows, cols);
  const auto plain = nbit::round_to_nearest<F>(view);
  const auto solved = gptq<F>(view, h);
  REQUIRE(plain);
  REQUIRE(solved);
  const double before = *nbit::relative_output_error(view, *plain, h),
               after = *nbit::relative_output_error(view, solved->codes, h);
  CHECK(all_values_finite(solved->codes));
  CHECK(solved->report.loss <= solved->report.loss_rounded);
  CHECK(after < 0.75 * before);
  UNSCOPED_INFO(name << ": loss relative to plain rounding " << after / before);
  CHECK(solved->report.tokens == 1024);
}
}  // namespace

TEST_CASE("a solve that is not measured gives the same codes, and no losses") {
  const std::size_t rows = 40, cols = 200;
  const std::vector<float> w = nbit_test::random(23).normals(rows * cols);
  const hessian h = statistics(activations(1024, cols, 24), cols);
  for (const int passes : {0, 2}) {
    const auto measured = gptq<nbit::w4g64>({w.data(), rows, cols}, h, {.passes = passes}),
               plain = gptq<nbit::w4g64>({w.data(), rows, cols}, h, {.passes = passes, .measure = false});
    REQUIRE(measured);
    REQUIRE(plain);
    CHECK(measured->report.loss < measured->report.loss_rounded);
    CHECK(same(measured->codes, plain->codes));  // here no row goes back to rounding
    CHECK(plain->report.loss == 0);
    CHECK(plain->report.loss_rounded == 0);
    CHECK(plain->report.energy == 0);
  }
}

TEST_CASE("GPTQ lowers the output error of every kind of format") {
  gains<stored_grid<2, 64>>("2 bits");
  gains<nbit::w4g128>("4 bits symmetric");
  gains<nbit::w8g128>("8 bits");
  gains<three_per_row>("per row");
  gains<four_per_tensor>("per tensor");
  gains<nbit::nf4>("NF4");
  gains<nbit::q4_0>("Q4_0");
  gains<nbit::q4_k>("Q4_K");
  gains<powers>("a user's powers of two");
  gains<powers>("ragged last group", 250);
  gains<checkerboard>("a lattice of pairs");
}

TEST_CASE("the losses reported are those of the codes returned") {
  const std::size_t rows = 70, cols = 128;  // two panels, one of them short
  const std::vector<float> w = nbit_test::random(23).normals(rows * cols);
  const hessian h = statistics(activations(1024, cols, 24), cols);
  const matrix_view<const float> view(w.data(), rows, cols);
  // No damping and no shrinkage: the metric is the Gram matrix itself.
  auto solved = gptq<nbit::w4g128>(view, h, {.damping = 0, .shrink = false});
  REQUIRE(solved);
  REQUIRE(solved->report.metric.rung == nbit::ladder_rung::as_asked);
  const auto relative = [&] { return *nbit::relative_output_error(view, solved->codes, h); };
  CHECK(solved->report.loss / solved->report.energy == Catch::Approx(relative()).epsilon(1e-3));
  const double before = relative();
  const auto refined = nbit::refine(view, h, solved->codes, {.damping = 0, .shrink = false, .passes = 1});
  REQUIRE(refined);
  CHECK(refined->loss_rounded / refined->energy == Catch::Approx(before).epsilon(1e-3));
  CHECK(refined->loss / refined->energy == Catch::Approx(relative()).epsilon(1e-3));
}

TEST_CASE("kicks lower the loss further, of codes that are given too") {
  const std::size_t rows = 70, cols = 256;
  const std::vector<float> w = nbit_test::random(31).normals(rows * cols);
  const hessian h = statistics(activations(1024, cols, 32), cols);
  const matrix_view<const float> view(w.data(), rows, cols);
  const auto check = [&](auto format, bool strictly) {
    using F = decltype(format);
    const int kicks = nbit::step_of<F> == 1 ? 100 : 6;
    const auto without = gptq<F>(view, h, {.kicks = 0}), with = gptq<F>(view, h, {.kicks = kicks});
    REQUIRE(without);
    REQUIRE(with);
    INFO(with->report.loss / without->report.loss);
    CHECK(with->report.loss <= without->report.loss);
    CHECK((with->report.loss < without->report.loss || !strictly));
    // What the report says is what the codes lose.
    const double said = with->report.loss / without->report.loss,
                 found = *nbit::relative_output_error(view, with->codes, h) /
                         *nbit::relative_output_error(view, without->codes, h);
    CHECK(std::fabs(said - found) < 0.03);
    auto codes = *nbit::round_to_nearest<F>(view), again = *nbit::round_to_nearest<F>(view);
    const auto plain = nbit::refine<F>(view, h, codes, {.kicks = 0}),
               more = nbit::refine<F>(view, h, again, {.kicks = kicks});
    REQUIRE(plain);
    REQUIRE(more);
    CHECK(more->loss <= plain->loss);
    CHECK((more->loss < plain->loss || !strictly));
  };
  check(stored_grid<2, 64>{}, true);
  check(nbit::q4_k{}, true);
  check(checkerboard{}, false);
}

TEST_CASE("the executor never changes a code, a parameter or the report") {
  const std::size_t rows = 100, cols = 96;
  const std::vector<float> w = nbit_test::random(1).normals(rows * cols);
  const hessian h = statistics(activations(300, cols, 2), cols);
  const matrix_view<const float> view(w.data(), rows, cols);
  int compared = 0;
  const auto compare = [&](auto format, const gptq_options& o) {
    using F = decltype(format);
    const auto one = gptq<F>(view, h, o), back = gptq<F>(view, h, o, backwards{}),
               two = gptq<F>(view, h, o, threads{2}), three = gptq<F>(view, h, o, threads{3});
    REQUIRE(one);
    for (const auto* other : {&back, &two, &three}) {
      REQUIRE(*other);
      CHECK(same(one->codes, (*other)->codes));
      CHECK(one->report.loss == (*other)->report.loss);
      ++compared;
    }
  };
  compare(stored_grid<4, 32>{}, {});
  compare(powers{}, {.kicks = 70});  // more than one round
  compare(checkerboard{}, {.kicks = 2});
  gptq_options dynamic;
  dynamic.groups = group_fit::refreshed;
  compare(stored_grid<3, 32>{}, dynamic);
  CHECK(compared == 12);
}

TEST_CASE("rows are solved independently of the rows around them") {
  const std::size_t rows = 70, cols = 64;
  const std::vector<float> w = nbit_test::random(5).normals(rows * cols);
  const hessian h = statistics(activations(200, cols, 6), cols);
  using F = stored_grid<4, 32>;
  const auto all = gptq<F>(matrix_view<const float>(w.data(), rows, cols), h);
  const auto some = gptq<F>(matrix_view<const float>(w.data() + 33 * cols, 5, cols), h);
  REQUIRE(all);
  REQUIRE(some);
  CHECK(std::equal(some->codes.codes.begin(), some->codes.codes.end(), all->codes.row_codes(33)));
}

TEST_CASE("orders and group policies all beat rounding; act-order groups come with a group index") {
  const std::size_t rows = 48, cols = 150;  // a ragged last group
  const std::vector<float> w = nbit_test::random(7).normals(rows * cols);
  const hessian h = statistics(activations(600, cols, 8), cols);
  const matrix_view<const float> view(w.data(), rows, cols);
  using F = stored_grid<3, 64>;
  const double plain = *nbit::relative_output_error(view, *nbit::round_to_nearest<F>(view), h);
  for (const column_order order : {column_order::natural, column_order::activation, column_order::group_aware})
    for (const group_fit groups : {group_fit::upfront, group_fit::refreshed, group_fit::published})
      for (const grid_search grid : {grid_search::min_max, grid_search::squared, grid_search::weighted}) {
        gptq_options o;
        o.order = order, o.groups = groups, o.grid = grid;
        const auto g = gptq<F>(view, h, o);
        REQUIRE(g);
        CHECK(*nbit::relative_output_error(view, g->codes, h) < 0.8 * plain);
        const bool scattered = order == column_order::activation && groups != group_fit::upfront;
        CHECK(g->codes.group_index.size() == (scattered ? cols : 0));
        if (scattered) {
          std::vector<int> members(3);
          for (const std::uint32_t group : g->codes.group_index) ++members.at(group);
          CHECK(members == std::vector<int>{64, 64, 22});
        }
      }
}

TEST_CASE("with groups as long as the block, refreshed and published fits are the same") {
  const std::size_t rows = 20, cols = 256;
  const std::vector<float> w = nbit_test::random(9).normals(rows * cols);
  const hessian h = statistics(activations(600, cols, 10), cols);
  using F = stored_grid<3, 128>;
  gptq_options o;
  o.order = column_order::natural, o.groups = group_fit::refreshed;
  const auto a = gptq<F>({w.data(), rows, cols}, h, o);
  o.groups = group_fit::published;
  const auto b = gptq<F>({w.data(), rows, cols}, h, o);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(same(a->codes, b->codes));
}

TEST_CASE("uncorrelated inputs make GPTQ plain rounding") {
  const std::size_t rows = 10, cols = 64;
  const std::vector<float> w = nbit_test::random(11).normals(rows * cols);
  std::vector<float> g(cols * cols, 0.0f);
  for (std::size_t c = 0; c < cols; ++c) g[c * cols + c] = 1.0f + 0.01f * static_cast<float>(c);
  const auto h = hessian::from_mean({g.data(), cols, cols}, 100);
  REQUIRE(h);
  gptq_options o;
  o.grid = grid_search::min_max, o.tune = false;
  using F = stored_grid<4, 32>;
  const auto solved = gptq<F>({w.data(), rows, cols}, *h, o);
  REQUIRE(solved);
  CHECK(same(solved->codes, *nbit::round_to_nearest<F>({w.data(), rows, cols})));
}

TEST_CASE("statistics of any kind give finite codes and a report") {
  const std::size_t rows = 33, cols = 64;
  const std::vector<float> w = nbit_test::random(13).normals(rows * cols);
  const matrix_view<const float> view(w.data(), rows, cols);
  using F = stored_grid<4, 32>;
  const auto solve = [&](const hessian& h, double damping = 0.01) {
    gptq_options o;
    o.damping = damping;
    const auto g = gptq<F>(view, h, o);
    REQUIRE(g);
    CHECK(all_values_finite(g->codes));
    CHECK(std::isfinite(g->report.loss));
    return g->report;
  };
  CHECK(solve(hessian(cols)).metric.dead_columns == cols);  // no token at all
  CHECK(solve(hessian(cols)).tokens == 0);
  const std::vector<float> one = activations(1, cols, 14);
  solve(statistics(one, cols));
  std::vector<float> m(cols * cols, 0.0f);
  solve(*hessian::from_mean({m.data(), cols, cols}));
  std::fill(m.begin(), m.end(), std::nanf(""));
  CHECK(solve(*hessian::from_mean({m.data(), cols, cols})).metric.cleaned_columns == cols);
  std::fill(m.begin(), m.end(), 1.0f);
  CHECK(solve(*hessian::from_mean({m.data(), cols, cols}), 0.0).metric.rung == nbit::ladder_rung::more_damping);
  nbit_test::random rng(15);
  for (int k = 0; k < 20; ++k) {  // symmetric noise: indefinite
    for (std::size_t i = 0; i < cols; ++i)
      for (std::size_t j = 0; j <= i; ++j)
        m[i * cols + j] = m[j * cols + i] = std::exp(20.0f * rng.normal()) * rng.normal();
    solve(*hessian::from_mean({m.data(), cols, cols}));
  }
}

TEST_CASE("weights of dead columns are rounded to nearest") {
  const std::size_t rows = 5, cols = 32;
  const std::vector<float> w = nbit_test::random(17).normals(rows * cols);
  std::vector<float> x = activations(100, cols, 18);
  for (std::size_t t = 0; t < 100; ++t) x[t * cols + 3] = x[t * cols + 30] = 0.0f;
  using F = stored_grid<4, 32>;
  const auto g = gptq<F>({w.data(), rows, cols}, statistics(x, cols));
  REQUIRE(g);
  CHECK(g->report.metric.dead_columns == 2);
  for (std::size_t r = 0; r < rows; ++r)
    for (const std::size_t c : {std::size_t{3}, std::size_t{30}}) {
      const auto& p = g->codes.params[r];
      CHECK(int(g->codes.row_codes(r)[c]) == F::code(w[r * cols + c], p, int(c)));
    }
}

TEST_CASE("small, empty and extreme weights") {
  using F = stored_grid<4, 32>;
  const hessian one = statistics({2.0f, 3.0f}, 1);
  const float single = 0.7f;
  const auto g = gptq<F>({&single, 1, 1}, one);
  REQUIRE(g);
  CHECK(all_values_finite(g->codes));
  CHECK(gptq<F>(matrix_view<const float>(nullptr, 0, 1), one));
  CHECK(gptq<F>(matrix_view<const float>(nullptr, 4, 0), hessian(0)));
  CHECK(gptq<stored_grid<4, nbit::per_tensor>>(matrix_view<const float>(nullptr, 4, 0), hessian(0)));

  const std::size_t cols = 64;
  const hessian h = statistics(activations(200, cols, 19), cols);
  for (const float size : {0.0f, 1e-40f, 1e-20f, 1e20f, 1e30f}) {
    std::vector<float> w = nbit_test::random(20).normals(4 * cols);
    for (float& v : w) v *= size;
    const auto solved = gptq<F>({w.data(), 4, cols}, h);
    REQUIRE(solved);
    CHECK(all_values_finite(solved->codes));
    if (size == 0.0f) {
      std::vector<float> v(4 * cols, 1.0f);
      nbit::detail::decode_matrix(solved->codes, matrix_view<float>(v.data(), 4, cols));
      CHECK(v == std::vector<float>(4 * cols, 0.0f));
    }
  }
}

TEST_CASE("what GPTQ refuses, it names") {
  const std::size_t cols = 64;
  const hessian h = statistics(activations(100, cols, 23), cols);
  std::vector<float> w = nbit_test::random(24).normals(3 * cols);
  const matrix_view<const float> view(w.data(), 3, cols);
  using F = stored_grid<4, 32>;
  w[2 * cols + 5] = std::numeric_limits<float>::infinity();
  auto bad = gptq<F>(view, h);
  REQUIRE_FALSE(bad);
  CHECK(bad.error().code == nbit::errc::not_finite);
  CHECK(bad.error().row == 2);
  CHECK(bad.error().col == 5);
  w[2 * cols + 5] = 0.0f;
  const auto code_of = [&](const gptq_options& o) { return gptq<F>(view, h, o).error().code; };
  gptq_options o;
  o.damping = -1;
  CHECK(code_of(o) == nbit::errc::invalid_option);
  o = {};
  o.damping = std::nan("");
  CHECK(code_of(o) == nbit::errc::invalid_option);
  o = {};
  o.passes = -1;
  CHECK(code_of(o) == nbit::errc::invalid_option);
  o = {};
  const std::vector<float> few(3, 1.0f);
  o.importance = few;
  CHECK(code_of(o) == nbit::errc::shape);
  CHECK(gptq<F>(view, hessian(cols + 1)).error().code == nbit::errc::shape);
  CHECK(gptq<nbit::q4_k>(view, h).error().code == nbit::errc::shape);  // 64 is not a whole block
  o = {};
  o.groups = group_fit::refreshed;
  CHECK(gptq<nbit::q4_0>(view, h, o).error().code == nbit::errc::invalid_option);
  CHECK(gptq<stored_grid<4, nbit::per_tensor>>(view, h, o).error().code == nbit::errc::invalid_option);
}
