// tests/solver/layers_test.cpp — real layers, against what the published programs reach on them (data folder, layers/).
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/solver/awq.hpp>
#include <nbit/solver/gptq.hpp>
#include <nbit/solver/rtn.hpp>

#include "solver/support.hpp"

using namespace solver_test;
using nbit::gptq;
using nbit::gptq_options;

#define NEEDS_LAYER(var, name)                                                                                         \
  const auto var##_loaded = load_layer(name);                                                                          \
  if (!var##_loaded) SKIP("data folder has no layers/" << (name) << " (set NBIT_DATA to run)");                        \
  const layer& var = *var##_loaded

namespace {

gptq_options as_published() {
  gptq_options o;
  o.damping = 0.01, o.shrink = false, o.passes = 0;
  o.order = nbit::column_order::natural, o.groups = nbit::group_fit::published, o.grid = nbit::grid_search::min_max;
  return o;
}

bool near(double ours, double peer, double share) { return std::fabs(ours - peer) <= share * peer; }

template <int Bits>
void same_as_peers(const layer& l, int data_group) {
  // The figures are the peers' own, computed in another precision: 1e-3 for rounding, 2% for a solver's ties.
  const auto check = [&](auto format) {
    using F = decltype(format);
    const auto rounded = nbit::round_to_nearest<F>(l.w());
    REQUIRE(rounded);
    CHECK(near(l.on_calib(*rounded), l.peer("rtn_asym", "calib", Bits, data_group), 1e-3));
    CHECK(near(l.on_eval(*rounded), l.peer("rtn_asym", "eval", Bits, data_group), 1e-3));
    const auto natural = gptq<F>(l.w(), l.calib, as_published());
    REQUIRE(natural);
    CHECK(near(l.on_calib(natural->codes), l.peer("gptq_published_damp0.01", "calib", Bits, data_group), 0.02));
    CHECK(near(l.on_eval(natural->codes), l.peer("gptq_published_damp0.01", "eval", Bits, data_group), 0.02));
    gptq_options o = as_published();
    o.order = nbit::column_order::activation;
    const auto ordered = gptq<F>(l.w(), l.calib, o);
    REQUIRE(ordered);
    CHECK(near(l.on_eval(ordered->codes), l.peer("gptq_published_actorder_damp0.01", "eval", Bits, data_group), 0.02));
  };
  if (data_group == 128)
    check(peer_grid<Bits, 128>{});
  else
    check(peer_grid<Bits, nbit::per_row>{});
}

template <int Bits>
void default_recipe(const layer& l, double ratio) {
  const auto g = gptq<stored_grid<Bits, 128>>(l.w(), l.calib);
  REQUIRE(g);
  const double ours = l.on_eval(g->codes), peer = l.peer("gptqmodel7.7_desc_act_static", "eval", Bits, 128);
  CAPTURE(Bits, ours, peer, ours / peer);
  CHECK(ours <= ratio * peer);
  CHECK(g->codes.group_index.empty());
  CHECK(ours <= l.on_eval(*nbit::round_to_nearest<stored_grid<Bits, 128>>(l.w())));
}

}  // namespace

TEST_CASE("rounding and GPTQ as published give the losses of the peers' programs") {
  NEEDS_LAYER(l, "lm_l3_q");
  for (const int group : {128, -1}) {
    same_as_peers<4>(l, group);
    same_as_peers<3>(l, group);
    same_as_peers<2>(l, group);
  }
}

TEST_CASE("the default recipe is at least as good as the peers' static act-order, without a group index") {
  NEEDS_LAYER(q, "lm_l3_q");
  default_recipe<4>(q, 0.95);
  default_recipe<3>(q, 0.85);
  default_recipe<2>(q, 0.70);
  NEEDS_LAYER(b, "bert_l2_query");
  default_recipe<4>(b, 0.95);
  default_recipe<3>(b, 0.80);
  default_recipe<2>(b, 0.60);
}

TEST_CASE("with few tokens GPTQ stays well below rounding, where every peer is above it") {
  NEEDS_LAYER(l, "lm_l4_down");
  const auto g = gptq<stored_grid<3, 128>>(l.w(), l.calib);
  REQUIRE(g);
  CHECK(g->report.metric.shrinkage > 0.4);
  CHECK(l.peer("gptqmodel7.7_desc_act_static", "eval", 3, 128) > l.peer("rtn_asym", "eval", 3, 128));
  CHECK(l.on_eval(g->codes) < 0.75 * l.peer("rtn_asym", "eval", 3, 128));
}

TEST_CASE("k-quant files get better codes at the same bytes") {
  NEEDS_LAYER(l, "bert_l4_ffn_down");
  gptq_options o;
  o.passes = 2;
  const threads two{2};
  const auto q4 = gptq<nbit::q4_k>(l.w(), l.calib, o, two);
  const auto q3 = gptq<nbit::q3_k>(l.w(), l.calib, o, two);
  REQUIRE(q4);
  REQUIRE(q3);
  const double r4 = l.on_eval(q4->codes) / l.peer("ggml_Q4_K_imatrix", "eval");
  const double r3 = l.on_eval(q3->codes) / l.peer("ggml_Q3_K_imatrix", "eval");
  CAPTURE(r4, r3);
  CHECK(r4 <= 0.5);
  CHECK(r3 <= 0.5);
}

TEST_CASE("AWQ is level with AutoAWQ") {
  NEEDS_LAYER(l, "lm_l3_q");
  const auto check = [&](auto format, int bits) {
    using F = decltype(format);
    const auto a = nbit::awq<F>(l.w(), l.calib);
    REQUIRE(a);
    const auto q = nbit::round_to_nearest<F>(a->view());
    REQUIRE(q);
    std::vector<float> v(l.rows * l.cols);
    nbit::detail::decode_matrix(*q, matrix_view<float>(v.data(), l.rows, l.cols));
    for (std::size_t k = 0; k < v.size(); ++k) v[k] /= a->scales[k % l.cols];
    const double ours = l.on_eval(matrix_view<const float>(v.data(), l.rows, l.cols));
    const double peer = l.peer("autoawq0.2.9_scale+clip", "eval", bits, 128);
    CAPTURE(bits, ours, peer);
    CHECK(ours <= 1.015 * peer);
  };
  check(stored_grid<4, 128>{}, 4);
  check(stored_grid<3, 128>{}, 3);
  check(stored_grid<2, 128>{}, 2);
}
