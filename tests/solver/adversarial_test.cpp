// tests/solver/adversarial_test.cpp — a thousand generated layers that break naive solvers: finite output and a report.
//
// Gram matrices that are zero, of rank one, singular, impossible or full of NaN; dead, constant and duplicated columns;
// weights from denormal to 1e30; 1 x 1, one column, one row, more rows than columns and the reverse.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <nbit/format/codebook.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/solver/awq.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/rtn.hpp>

#include "solver/support.hpp"

using namespace solver_test;

namespace {
struct adversary {
  std::size_t rows = 1, cols = 1;
  std::vector<float> w;
  hessian h;
  std::string what;
};

constexpr std::array kinds = {"tokens",       "no tokens",       "one token",  "zero",       "rank one",
                              "dead columns", "constant",        "duplicates", "huge input", "tiny input",
                              "NaN Gram",     "impossible Gram", "one outlier"};

hessian inputs_of(std::size_t kind, std::size_t cols, nbit_test::random& rng) {
  const std::size_t tokens = kind == 1 ? 0 : kind == 2 ? 1 : 1 + rng.below(3 * cols);
  std::vector<float> x = rng.normals(tokens * cols);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 0; c < cols; ++c) {
      float& v = x[t * cols + c];
      switch (kind) {
        case 3: v = 0.0f; break;
        case 4: v = x[t * cols] * float(c + 1); break;
        case 5: v = c % 3 == 0 ? 0.0f : v; break;
        case 6: v = c % 2 == 0 ? 1.0f : v; break;
        case 7: v = c >= cols / 2 ? x[t * cols + c - cols / 2] : v; break;
        case 8: v *= 1e17f; break;
        case 9: v *= 1e-22f; break;
        case 12: v *= c == 0 ? 1e6f : 1e-6f; break;
        default: break;
      }
    }
  if (kind == 10 || kind == 11) {
    std::vector<float> g(cols * cols);
    for (float& v : g) {
      const std::uint64_t dice = rng.below(8);
      v = kind == 11  ? float(rng.below(200)) - 100.0f
          : dice == 0 ? std::nanf("")
          : dice == 1 ? std::numeric_limits<float>::infinity()
          : dice == 2 ? -1.0f
                      : float(rng.below(100)) * 0.01f;
    }
    auto made = hessian::from_mean({g.data(), cols, cols}, 100);
    REQUIRE(made);
    return *std::move(made);
  }
  hessian h(cols);
  REQUIRE(h.add({x.data(), tokens, cols}));
  return h;
}

adversary generate(std::uint64_t seed) {
  nbit_test::random rng(seed);
  adversary made;
  const std::size_t sizes[] = {1, 2, 7, 16, 31, 64, 100};
  made.rows = sizes[rng.below(7)], made.cols = sizes[rng.below(7)];
  const std::size_t kind = rng.below(kinds.size()), scale = rng.below(6);
  made.h = inputs_of(kind, made.cols, rng);
  made.w = rng.normals(made.rows * made.cols);
  for (std::size_t k = 0; k < made.w.size(); ++k) {
    float& v = made.w[k];
    const float mixed[] = {1e-40f, 1e-20f, 1.0f, 1e20f, 1e30f};
    v = scale == 0 ? v * 1e-40f : scale == 1 ? v * 1e29f : scale == 2 ? 0.0f : scale == 3 ? v * mixed[k % 5] : v;
  }
  made.what = std::string(kinds[kind]) + ", weights " + std::to_string(scale) + ", " + std::to_string(made.rows) +
              " x " + std::to_string(made.cols) + ", seed " + std::to_string(seed);
  return made;
}

template <class F>
bool check_layer(const adversary& l) {
  const nbit::matrix_view<const float> w(l.w.data(), l.rows, l.cols);
  for (const auto order : {nbit::column_order::natural, nbit::column_order::activation}) {
    nbit::gptq_options o;
    o.order = order, o.passes = 2;
    if (order == nbit::column_order::natural) o.damping = 0, o.shrink = false, o.groups = nbit::group_fit::refreshed;
    const auto solved = nbit::gptq<F>(w, l.h, o);
    REQUIRE(solved);
    const nbit::solve_report& r = solved->report;
    CHECK(std::isfinite(r.loss));
    CHECK(std::isfinite(r.metric.damping));
    CHECK((r.metric.shrinkage >= 0 && r.metric.shrinkage <= 1));
    CHECK(!(r.loss > r.loss_rounded * (1 + 1e-6)));
    CHECK(r.tokens == l.h.tokens());
    CHECK(all_values_finite(solved->codes));
  }
  return true;
}
}  // namespace

TEST_CASE("a thousand adversarial layers are solved to finite numbers, with a report") {
  std::size_t solved = 0;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    const adversary l = generate(seed);
    INFO(l.what);
    // One format for each layer: integers with and without an offset, a codebook.
    solved += seed % 3 == 0   ? check_layer<nbit::w4g128>(l)
              : seed % 3 == 1 ? check_layer<nbit::w4g128a>(l)
                              : check_layer<nbit::nf4>(l);
    if (seed % 10 == 0) {
      const auto scaled = nbit::awq<nbit::w4g128>({l.w.data(), l.rows, l.cols}, l.h, {.steps = 4, .clip_steps = 3});
      REQUIRE(scaled);
      CHECK(std::isfinite(scaled->loss));
      bool finite = true;
      for (const float v : scaled->weights.span()) finite &= std::isfinite(v);
      for (const float v : scaled->scales.span()) finite &= std::isfinite(v) && v > 0;
      CHECK(finite);
    }
  }
  CHECK(solved == 1000);
}
