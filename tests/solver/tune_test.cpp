// tests/solver/tune_test.cpp — dials of every format hold what was set, and refitting them lowers the loss.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/solver/gptq.hpp>

#include "solver/support.hpp"

using namespace solver_test;
using nbit::dials;

namespace {

/// Every dial takes every number in its range, tells it, and leaves the others alone.
template <class F>
void dials_hold(const char* name, std::vector<std::pair<int, int>> ranges) {
  CAPTURE(name);
  nbit_test::random rng(3);
  typename F::params p{};
  std::vector<float> held(static_cast<std::size_t>(dials<F>::count));
  for (int round = 0; round < 30; ++round)
    for (int k = 0; k < dials<F>::count; ++k) {
      const auto [low, high] = ranges[std::size_t(k) % ranges.size()];
      const bool whole = dials<F>::at(k).whole;
      const float v = whole ? float(low + int(rng.uniform() * float(high - low + 1))) : 0.25f * float(1 << round % 3);
      dials<F>::set(p, k, v);
      held[std::size_t(k)] = v;
      for (int j = 0; j <= k || (round > 0 && j < dials<F>::count); ++j) {
        if (dials<F>::at(j).whole || j == k) {
          INFO("dial " << j << " after " << k);
          REQUIRE(dials<F>::get(p, j) == held[std::size_t(j)]);
        }
      }
      if (whole) {
        dials<F>::set(p, k, float(high) + 7.0f);
        CHECK(dials<F>::get(p, k) == float(high));
        dials<F>::set(p, k, float(low) - 7.0f);
        CHECK(dials<F>::get(p, k) == float(low));
        dials<F>::set(p, k, v);
      }
    }
}

/// One solve with and one without refitting.
template <class F>
void tuning_helps(const char* name, bool strictly = true) {
  CAPTURE(name);
  const std::size_t rows = 24, cols = 512;
  nbit_test::random rng(11);
  const std::vector<float> w = rng.normals(rows * cols);
  const hessian h = statistics(activations(700, cols, 12), cols);
  nbit::gptq_options o;
  o.passes = 3;
  const auto with = nbit::gptq<F>({w.data(), rows, cols}, h, o, threads{2});
  o.tune = false;
  const auto without = nbit::gptq<F>({w.data(), rows, cols}, h, o);
  REQUIRE(with);
  REQUIRE(without);
  CAPTURE(with->report.loss, without->report.loss);
  CHECK(with->report.loss_rounded == without->report.loss_rounded);
  CHECK(with->report.loss <= without->report.loss_rounded);
  CHECK(with->report.loss <= (strictly ? 0.999 : 1.02) * without->report.loss);
  CHECK(all_values_finite(with->codes));
}

}  // namespace

TEST_CASE("dials: what is set is what is told") {
  dials_hold<nbit::q4_k>("Q4_K", {{0, 63}});
  dials_hold<nbit::q2_k>("Q2_K", {{0, 15}});
  dials_hold<nbit::q3_k>("Q3_K", {{-32, 31}});
  dials_hold<nbit::q6_k>("Q6_K", {{-128, 127}});
  dials_hold<nbit::iq4_xs>("IQ4_XS", {{-32, 31}});
  dials_hold<nbit::iq3_s>("IQ3_S", {{0, 15}});
  dials_hold<nbit::q4_1>("Q4_1", {{0, 0}});
  dials_hold<stored_grid<3, 128>>("w3g128", {{0, 0}, {0, 7}});
  dials_hold<powers>("a user's", {{0, 0}});
  dials_hold<nbit::nvfp4>("NVFP4", {{0, 0}});
  dials_hold<nbit::mxfp4>("MXFP4", {{0, 0}});
  STATIC_REQUIRE(dials<nbit::iq1_s>::count == 1);
  STATIC_REQUIRE(dials<checkerboard>::count == 1);
}

TEST_CASE("refitting parameters to their codes lowers the loss") {
  tuning_helps<nbit::q2_k>("Q2_K");
  tuning_helps<nbit::q3_k>("Q3_K");
  tuning_helps<nbit::iq3_s>("IQ3_S");
  tuning_helps<stored_grid<2, 128>>("w2g128");
  tuning_helps<stored_grid<2, nbit::per_row>>("w2 per row");
  tuning_helps<powers>("a user's");
  tuning_helps<checkerboard>("a user's lattice", false);
}
