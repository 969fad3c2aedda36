// tests/solver/experts_test.cpp — a small layer of experts: one gets no tokens, one three, one tokens that hardly vary.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <nbit/format/presets.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/solver/experts.hpp>
#include <nbit/solver/rtn.hpp>

#include "solver/support.hpp"

using namespace solver_test;

namespace {

using grid = stored_grid<3, 32>;

/// 4 experts of 48 x 64. Tokens 0 .. 2 go to expert 1 (and 0), then every token to expert 0 or 3; expert 3's tokens lie
/// in 5 dimensions. Nothing goes to expert 2.
struct moe {
  static constexpr std::size_t experts = 4, rows = 48, cols = 64, tokens = 3000;
  std::vector<float> w = nbit_test::random(41).normals(experts * rows * cols);
  std::vector<float> x = activations(tokens, cols, 42);
  std::vector<float> flat_x;  // expert 3's tokens

  moe() {
    nbit_test::random rng(43);
    const std::vector<float> basis = rng.normals(5 * cols);
    for (std::size_t t = 1; t < tokens; t += 2) {
      if (t < 3) continue;
      const std::vector<float> by = rng.normals(5);
      for (std::size_t c = 0; c < cols; ++c) {
        float v = 0;
        for (std::size_t k = 0; k < 5; ++k) v += by[k] * basis[k * cols + c];
        x[t * cols + c] = v;
      }
    }
  }
  matrix_view<const float> weights() const { return {w.data(), experts * rows, cols}; }
  matrix_view<const float> expert(std::size_t e) const { return weights().row_range(e * rows, rows); }

  /// Adds tokens [first, last).
  void add(std::vector<hessian>& to, std::size_t first, std::size_t last) const {
    std::vector<std::uint32_t> token_of, first_slot{0};
    const auto routed = [](std::size_t t, std::size_t e) {
      return e == 0 ? t < 3 || t % 2 == 0 : e == 1 ? t < 3 : e == 3 && t >= 3 && t % 2 == 1;
    };
    for (std::size_t e = 0; e < experts; ++e) {
      for (std::size_t t = first; t < last; ++t)
        if (routed(t, e)) token_of.push_back(static_cast<std::uint32_t>(t - first));
      first_slot.push_back(static_cast<std::uint32_t>(token_of.size()));
    }
    REQUIRE(nbit::add_routed(to, {x.data() + first * cols, last - first, cols}, {token_of, first_slot}));
  }
  std::vector<hessian> statistics(std::size_t batch = tokens) const {
    std::vector<hessian> all;
    for (std::size_t e = 0; e < experts; ++e) all.emplace_back(cols);
    for (std::size_t t = 0; t < tokens; t += batch) add(all, t, std::min(tokens, t + batch));
    return all;
  }
};

template <class F>
double error_of_expert(const moe& l, const nbit::coded_matrix<F>& q, std::size_t e, const hessian& h) {
  std::vector<float> v(q.rows * q.cols);
  nbit::detail::decode_matrix(q, matrix_view<float>(v.data(), q.rows, q.cols));
  return *nbit::relative_output_error(l.expert(e),
                                      matrix_view<const float>(v.data() + e * l.rows * l.cols, l.rows, l.cols), h);
}

}  // namespace

TEST_CASE(
    "every expert is solved for its own tokens, and the report says how many they were and what they were worth") {
  const moe l;
  const std::vector<hessian> h = l.statistics();
  const auto q = nbit::gptq_experts<grid>(l.weights(), h);
  REQUIRE(q);
  REQUIRE(q->experts.size() == 4);
  CHECK(all_values_finite(q->codes));
  const std::uint64_t tokens[] = {1501, 3, 0, 1499};
  for (std::size_t e = 0; e < 4; ++e) {
    INFO("expert " << e);
    const nbit::expert_report& r = q->experts[e];
    CHECK(r.expert == e);
    CHECK(r.tokens == h[e].tokens());
    CHECK(r.tokens == tokens[e]);
    CHECK_FALSE(r.borrowed);
    CHECK(r.loss <= r.loss_rounded);
    // the same codes as by itself
    const auto alone = nbit::gptq<grid>(l.expert(e), h[e]);
    REQUIRE(alone);
    for (std::size_t k = 0; k < alone->codes.codes.size(); ++k)
      REQUIRE(q->codes.codes[e * alone->codes.codes.size() + k] == alone->codes.codes[k]);
  }
  CHECK(q->experts[0].shrinkage < 0.2);
  CHECK(q->experts[0].loss < 0.5 * q->experts[0].loss_rounded);
  CHECK(q->experts[1].shrinkage > 5 * q->experts[0].shrinkage);  // three tokens say little of 64 x 64 correlations
  CHECK(q->experts[2].shrinkage == 1.0);
  CHECK(q->experts[3].shrinkage < 0.05);
  CHECK(q->experts[3].loss < 0.1 * q->experts[3].loss_rounded);  // 5 of 64 directions count
  // without tokens all inputs count alike: rounding, with a search for the parameters
  const auto rounded = nbit::round_to_nearest<grid>(l.expert(2));
  REQUIRE(rounded);
  const auto squared = [&](const float* v) {
    double sum = 0;
    for (std::size_t k = 0; k < l.rows * l.cols; ++k) sum += std::pow(double(v[k]) - double(l.expert(2).data[k]), 2);
    return sum;
  };
  std::vector<float> mine(l.w.size()), plain(l.rows * l.cols);
  nbit::detail::decode_matrix(q->codes, matrix_view<float>(mine.data(), 4 * l.rows, l.cols));
  nbit::detail::decode_matrix(*rounded, matrix_view<float>(plain.data(), l.rows, l.cols));
  CHECK(squared(mine.data() + 2 * l.rows * l.cols) < 0.95 * squared(plain.data()));
}

TEST_CASE("experts with few tokens of their own borrow those of all, and lose less on tokens nobody has seen") {
  const moe l;
  std::vector<hessian> h = l.statistics();
  const hessian shared = statistics(l.x, l.cols);
  // what experts 1 and 2 will see in the end: text like that of expert 0
  const hessian unseen = statistics(activations(4000, l.cols, 42), l.cols);
  const auto own = nbit::gptq_experts<grid>(l.weights(), h);
  nbit::experts_options o;
  o.shared = &shared;
  const auto lent = nbit::gptq_experts<grid>(l.weights(), h, o);
  REQUIRE((own && lent));
  for (std::size_t e = 0; e < 4; ++e) CHECK(lent->experts[e].borrowed == (e == 1 || e == 2));
  for (const std::size_t e : {std::size_t{1}, std::size_t{2}}) {
    const auto rounded = nbit::round_with_search<grid>(l.weights());
    REQUIRE(rounded);
    const double alone = error_of_expert(l, own->codes, e, unseen), with = error_of_expert(l, lent->codes, e, unseen),
                 plain = error_of_expert(l, *rounded, e, unseen);
    INFO("expert " << e << ": " << alone << " by itself, " << with << " with the tokens of all, " << plain
                   << " searched");
    CHECK(with < 0.6 * alone);
    CHECK(with < 0.6 * plain);
    CHECK(alone < 1.001 * plain);  // three tokens do no harm either
  }
  o.least_tokens = 0;  // nobody borrows
  const auto none = nbit::gptq_experts<grid>(l.weights(), h, o);
  REQUIRE(none);
  CHECK(same(none->codes, own->codes));
}

TEST_CASE(
    "routed statistics: the same for every batch, as if each expert's tokens had been picked, refused as a whole") {
  const moe l;
  const std::vector<hessian> whole = l.statistics(), parts = l.statistics(77);
  for (std::size_t e = 0; e < 4; ++e) {
    CHECK(gram_of(whole[e]) == gram_of(parts[e]));
    CHECK(whole[e].shrinkage() == parts[e].shrinkage());
  }
  CHECK(gram_of(whole[1]) == gram_of(statistics({l.x.begin(), l.x.begin() + 3 * 64}, 64)));

  std::vector<hessian> two;
  two.emplace_back(2), two.emplace_back(2);
  const float good[] = {1, 2, 3, 4}, bad[] = {1, 2, 3, std::numeric_limits<float>::quiet_NaN()};
  const std::uint32_t slots[] = {0, 1}, first[] = {0, 1, 2}, beyond[] = {0, 2}, falling[] = {0, 2, 1}, few[] = {0, 2};
  const auto refused = nbit::add_routed(two, {bad, 2, 2}, {slots, first});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == nbit::errc::not_finite);
  CHECK(two[0].tokens() == 0);
  CHECK(nbit::add_routed(two, {good, 2, 2}, {beyond, first}).error().code == nbit::errc::shape);
  CHECK(nbit::add_routed(two, {good, 2, 2}, {slots, falling}).error().code == nbit::errc::shape);
  CHECK(nbit::add_routed(two, {good, 2, 2}, {slots, few}).error().code == nbit::errc::shape);
  CHECK(nbit::add_routed(two, {good, 1, 4}, {std::span(slots).first(1), first}).error().code == nbit::errc::shape);
  REQUIRE(nbit::add_routed(two, {good, 2, 2}, {slots, first}));
  CHECK(two[0].tokens() == 1);
  CHECK(two[1].tokens() == 1);
}

TEST_CASE("what stacked experts cannot be is refused with words") {
  const moe l;
  const std::vector<hessian> h = l.statistics();
  const auto uneven = nbit::gptq_experts<grid>(l.weights().row_range(0, 190), h);
  REQUIRE_FALSE(uneven);
  CHECK(uneven.error().code == nbit::errc::shape);
  nbit::experts_options o;
  o.gptq.groups = nbit::group_fit::refreshed;
  const auto scattered = nbit::gptq_experts<grid>(l.weights(), h, o);
  REQUIRE_FALSE(scattered);
  CHECK(scattered.error().code == nbit::errc::invalid_option);
  const auto none = nbit::gptq_experts<grid>({nullptr, 0, 64}, {});
  REQUIRE(none);
  CHECK(none->experts.size() == 0);
}
