// tests/solver/kicks_test.cpp — the kicks of GPTQ against exhaustive search, on wide rows, and the memory they take.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/solver/gptq.hpp>

#include "solver/support.hpp"

using namespace solver_test;
using nbit::gptq;
using nbit::gptq_options;

namespace {
struct two_per_row : stored_grid<2, nbit::per_row> {};
struct two_per_tensor : stored_grid<2, nbit::per_tensor> {};

/// e G e^T of one row of codes.
double loss_of(const float* w, const float* values, const std::vector<float>& g, std::size_t cols) {
  double sum = 0;
  for (std::size_t i = 0; i < cols; ++i)
    for (std::size_t j = 0; j < cols; ++j)
      sum += double(w[i] - values[i]) * double(g[i * cols + j]) * double(w[j] - values[j]);
  return sum;
}

/// The least loss of any codes with the parameters of row r.
template <class F>
double best_of_all(const float* w, const typename F::params& p, const std::vector<float>& g, std::size_t cols) {
  double best = std::numeric_limits<double>::infinity();
  std::vector<float> v(cols);
  for (std::size_t c = 0; c < std::size_t{1} << (2 * cols); ++c) {
    for (std::size_t i = 0; i < cols; ++i) v[i] = F::value(int(c >> (2 * i) & 3), p, int(i));
    best = std::min(best, loss_of(w, v.data(), g, cols));
  }
  return best;
}

/// Inputs of which each is much like the one before it.
hessian neighbours_alike(std::size_t tokens, std::size_t cols) {
  std::vector<float> x = nbit_test::random(8).normals(tokens * cols);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 1; c < cols; ++c) x[t * cols + c] = 0.8f * x[t * cols + c - 1] + 0.6f * x[t * cols + c];
  return statistics(x, cols);
}
}  // namespace

TEST_CASE("kicks find the best codes there are, where they can all be tried") {
  using F = two_per_row;
  const std::size_t rows = 40, cols = 7;
  const std::vector<float> w = nbit_test::random(3).normals(rows * cols);
  const hessian h = statistics(activations(200, cols, 4), cols);
  const std::vector<float> g = gram_of(h);
  const auto optimal = [&](int kicks) {
    gptq_options o;
    o.damping = 0, o.shrink = false, o.tune = false, o.kicks = kicks;
    const auto solved = gptq<F>({w.data(), rows, cols}, h, o);
    REQUIRE(solved);
    REQUIRE(solved->report.metric.rung == nbit::ladder_rung::as_asked);
    std::vector<float> v(rows * cols);
    nbit::detail::decode_matrix(solved->codes, matrix_view<float>(v.data(), rows, cols));
    int reached = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      const double best = best_of_all<F>(w.data() + r * cols, solved->codes.params[r], g, cols);
      const double found = loss_of(w.data() + r * cols, v.data() + r * cols, g, cols);
      REQUIRE(found > best * (1 - 1e-6));
      reached += found < best * (1 + 1e-4);
    }
    return reached;
  };
  const int without = optimal(0), with = optimal(300);
  INFO(without << " rows without kicks, " << with << " with");
  CHECK(without < 38);
  CHECK(with == 40);
}

TEST_CASE("a kicked row ends where no code and no two neighbours would rather be elsewhere") {
  using F = stored_grid<2, 32>;
  const std::size_t rows = 20, cols = 64;
  const std::vector<float> w = nbit_test::random(5).normals(rows * cols);
  const hessian h = statistics(activations(400, cols, 6), cols);
  const std::vector<float> g = gram_of(h);
  gptq_options o;
  o.damping = 0, o.shrink = false, o.tune = false, o.passes = 50, o.kicks = 40;
  const auto solved = gptq<F>({w.data(), rows, cols}, h, o);
  REQUIRE(solved);
  std::vector<float> v(rows * cols);
  nbit::detail::decode_matrix(solved->codes, matrix_view<float>(v.data(), rows, cols));
  int tried = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    float* const row = v.data() + r * cols;
    const double found = loss_of(w.data() + r * cols, row, g, cols);
    for (std::size_t c = 0; c < cols; ++c) {
      const float kept = row[c];
      for (int code = 0; code < 4; ++code, ++tried) {
        row[c] = F::value(code, solved->codes.params[r * 2 + c / 32], int(c % 32));
        CHECK(loss_of(w.data() + r * cols, row, g, cols) > found * (1 - 1e-4));
      }
      row[c] = kept;
    }
  }
  CHECK(tried == 20 * 64 * 4);
}

TEST_CASE("kicks help every kind of group, and rows wider than one stretch") {
  const auto gain = [](auto format, std::size_t rows, std::size_t cols, gptq_options o = {}) {
    using F = decltype(format);
    const std::vector<float> w = nbit_test::random(7).normals(rows * cols);
    const hessian h = neighbours_alike(600, cols);
    o.kicks = 0;
    const auto without = gptq<F>({w.data(), rows, cols}, h, o);
    o.kicks = 100;
    const auto with = gptq<F>({w.data(), rows, cols}, h, o);
    REQUIRE(without);
    REQUIRE(with);
    CHECK(with->report.kicks == 100);
    CHECK(without->report.kicks == 0);
    CHECK(all_values_finite(with->codes));
    return with->report.loss / without->report.loss;
  };
  CHECK(gain(two_per_row{}, 10, 100) < 0.97);
  CHECK(gain(two_per_tensor{}, 10, 100) < 0.99);
  CHECK(gain(nbit::nf4{}, 10, 128) < 0.95);
  CHECK(gain(nbit::q2_k{}, 10, 256) < 0.99);
  CHECK(gain(powers{}, 10, 100) < 0.95);
  gptq_options scattered;
  scattered.groups = nbit::group_fit::refreshed;
  CHECK(gain(stored_grid<3, 32>{}, 10, 100, scattered) < 0.99);
  CHECK(gain(stored_grid<2, 64>{}, 3, nbit::detail::kick_columns + 100) < 1.0);
}

TEST_CASE("passes 0 means no kicks; the default is none for lattices and wide codes") {
  const std::size_t rows = 4, cols = 64;
  const std::vector<float> w = nbit_test::random(9).normals(rows * cols);
  const hessian h = statistics(activations(100, cols, 10), cols);
  const auto kicks = [&](auto format, const gptq_options& o) {
    const auto solved = gptq<decltype(format)>({w.data(), rows, cols}, h, o);
    REQUIRE(solved);
    return solved->report.kicks;
  };
  CHECK(kicks(stored_grid<4, 32>{}, {}) == 64);
  CHECK(kicks(stored_grid<8, 32>{}, {}) == 0);
  CHECK(kicks(checkerboard{}, {}) == 0);
  CHECK(kicks(checkerboard{}, {.kicks = 2}) == 2);
  CHECK(kicks(stored_grid<4, 32>{}, {.passes = 0, .kicks = 5}) == 0);
  CHECK(gptq<stored_grid<4, 32>>({w.data(), rows, cols}, h, {.kicks = -2}).error().code == nbit::errc::invalid_option);
}

TEST_CASE("the memory of a row's search does not grow with rows wider than one stretch") {
  const auto bytes = [](auto format, std::size_t cols, bool scattered) {
    using F = decltype(format);
    nbit::detail::kick_memory<F> m;
    REQUIRE(nbit::detail::make_kick_memory<F>(m, cols, scattered));
    return m.floats.size() * sizeof(float) + m.tables.size() * sizeof(nbit::detail::value_table<F>) + m.places.size();
  };
  // What gptq() states: 21 bytes for each of at most 2048 columns, and a table for each group or column.
  const auto bound = [](std::size_t columns, std::size_t tables, std::size_t values) {
    return 21 * columns + (tables + 2) * (5 * values + 4);
  };
  CHECK(bytes(stored_grid<4, 128>{}, 100000, false) <= bound(2048, 16, 16));
  CHECK(bytes(stored_grid<4, 128>{}, 256, false) <= bound(256, 2, 16));
  CHECK(bytes(stored_grid<4, 128>{}, 100000, true) <= bound(2048, 2048, 16));
  CHECK(bytes(powers{}, 100000, false) <= bound(2048, 2048, 8));
}
