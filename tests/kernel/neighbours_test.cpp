// tests/kernel/neighbours_test.cpp — tiles, dots of two rows, several matrices with one x, experts.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/contract.hpp>
#include <support/random.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/dequantize_tile.hpp>
#include <nbit/kernel/expert_gemm.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv_many.hpp>
#include <nbit/kernel/quantize.hpp>
#include <nbit/kernel/row_dot.hpp>

namespace {

constexpr auto backwards = [](std::size_t n, auto&& f) {
  for (std::size_t i = n; i-- > 0;) f(i);
};
constexpr nbit::quantize_options padded{.ragged = nbit::ragged_rows::pad};

template <class F>
nbit::packed_matrix<F> matrix(nbit_test::random& numbers, std::size_t rows, std::size_t cols) {
  const auto w = numbers.normals(rows * cols, 0.1f);
  auto q = nbit::quantize<F>({w.data(), rows, cols}, padded);
  REQUIRE(q);
  return *std::move(q);
}

template <class F>
std::vector<float> floats_of(const nbit::packed_matrix<F>& q, std::size_t rows, std::size_t cols) {
  std::vector<float> out(rows * cols);
  nbit::dequantize(nbit::arch::scalar{}, q.view(), {out.data(), rows, cols});
  return out;
}

template <class F>
void check_tiles() {
  nbit_test::random numbers(1);
  constexpr std::size_t rows = 5, cols = 700;
  const auto q = matrix<F>(numbers, rows, cols);
  const auto all = floats_of(q, rows, cols);
  struct corner {
    std::size_t row, col, height, width;
  };
  for (const corner k : {corner{0, 0, 5, 700},
                         {2, 1, 2, 3},
                         {0, 255, 5, 2},
                         {4, 256, 1, 256},
                         {1, 300, 3, 400},
                         {3, 699, 1, 1},
                         {5, 0, 0, 700},
                         {0, 700, 5, 0}}) {
    INFO(k.row << ", " << k.col << ": " << k.height << " x " << k.width);
    nbit::arch::for_each_runnable([&](auto tag) {
      const std::size_t stride = k.width + 2;
      std::vector<float> tile(k.height * stride + 1, 9.0f), expected = tile;
      for (std::size_t r = 0; r < k.height; ++r)
        for (std::size_t c = 0; c < k.width; ++c) expected[r * stride + c] = all[(k.row + r) * cols + k.col + c];
      nbit::dequantize_tile(tag, q.view(), k.row, k.col, {tile.data(), k.height, k.width, stride});
      REQUIRE(tile == expected);
    });
  }
  const nbit_test::broken_contracts broken;
  float one = 9.0f;
  nbit::dequantize_tile(q.view(), 5, 0, {&one, 1, 1});
  nbit::dequantize_tile(q.view(), 0, 700, {&one, 1, 1});
  CHECK(broken.count() == 2);
  CHECK(one == 9.0f);
}

}  // namespace

TEST_CASE("a tile holds dequantize's numbers and nothing beside it changes") {
  check_tiles<nbit::q4_0>();
  check_tiles<nbit::w3g64a>();
}

TEST_CASE("the dot of two rows has gemv's bits, for two formats and any tag") {
  nbit_test::random numbers(2);
  for (const std::size_t cols : {1u, 16u, 45u, 256u, 556u}) {
    constexpr std::size_t rows = 3;
    const auto a = matrix<nbit::w4g64>(numbers, rows, cols);
    const auto b = matrix<nbit::q4_k>(numbers, rows, cols);
    const auto floats = floats_of(b, rows, cols);
    for (std::size_t j = 0; j < rows; ++j) {
      std::vector<float> y(rows);
      nbit::gemv(nbit::arch::scalar{}, a.view(), std::span<const float>(floats.data() + j * cols, cols),
                 std::span<float>(y));
      nbit::arch::for_each_runnable([&](auto tag) {
        for (std::size_t i = 0; i < rows; ++i) {
          REQUIRE(nbit::row_dot(tag, a.view(), i, b.view(), j) == y[i]);
          REQUIRE(nbit::row_dot(tag, b.view(), j, a.view(), i) == y[i]);
        }
      });
    }
  }
}

TEST_CASE("several matrices with one x: each output has gemv's bits, whatever the order of pieces") {
  nbit_test::random numbers(3);
  constexpr std::size_t cols = 300;
  const auto q = matrix<nbit::w4g64>(numbers, 130, cols);
  const auto k = matrix<nbit::q4_0>(numbers, 64, cols);
  const auto v = matrix<nbit::q4_k>(numbers, 1, cols);
  const auto x = numbers.normals(cols);
  auto act = nbit::int8_activation_matrix<32>::make({1, cols});
  REQUIRE(act);
  nbit::quantize_activations(nbit::matrix_view<const float>(x.data(), 1, cols), act->view());
  std::vector<float> expected[3] = {std::vector<float>(130), std::vector<float>(64), std::vector<float>(1)};
  const auto with = [&](const auto& in) {
    nbit::gemv(nbit::arch::scalar{}, q.view(), in, std::span<float>(expected[0]));
    nbit::gemv(nbit::arch::scalar{}, k.view(), in, std::span<float>(expected[1]));
    nbit::gemv(nbit::arch::scalar{}, v.view(), in, std::span<float>(expected[2]));
    nbit::arch::for_each_runnable([&](auto tag) {
      std::vector<float> a(130), b(64), c(1);
      nbit::gemv_many(tag, in, backwards, nbit::gemv_part{q.view(), a}, nbit::gemv_part{k.view(), b},
                      nbit::gemv_part{v.view(), c});
      REQUIRE(a == expected[0]);
      REQUIRE(b == expected[1]);
      REQUIRE(c == expected[2]);
    });
  };
  with(std::span<const float>(x));
  with(act->view());
  const nbit_test::broken_contracts broken;
  std::vector<float> wrong(129, 9.0f), right(64, 9.0f);
  nbit::gemv_many(std::span<const float>(x), nbit::serial{}, nbit::gemv_part{k.view(), right},
                  nbit::gemv_part{q.view(), wrong});
  CHECK(broken.count() == 1);
  CHECK(right == std::vector<float>(64, 9.0f));  // nothing is written if one part does not fit
}

TEST_CASE("experts: every slot has gemm's bits; slots are summed in order; an expert without tokens is skipped") {
  nbit_test::random numbers(4);
  constexpr std::size_t experts = 3, outputs = 70, cols = 96, tokens = 10;
  std::vector<nbit::packed_matrix<nbit::w4g32>> owned;
  std::vector<nbit::packed_view<nbit::w4g32>> views;
  for (std::size_t e = 0; e < experts; ++e) owned.push_back(matrix<nbit::w4g32>(numbers, outputs, cols));
  for (const auto& o : owned) views.push_back(o.view());
  const auto x = numbers.normals(tokens * cols);
  const nbit::matrix_view<const float> in(x.data(), tokens, cols);
  const std::vector<std::uint32_t> token_of = {5, 9, 9, 0, 5, 7}, first_slot = {0, 3, 3, 6};
  const nbit::expert_slots slots{token_of, first_slot};
  const std::span<const nbit::packed_view<nbit::w4g32>> all(views);

  auto act = nbit::int8_activation_matrix<32>::make({tokens, cols});
  auto gathered = nbit::int8_activation_matrix<32>::make({token_of.size(), cols});
  REQUIRE((act && gathered));
  nbit::quantize_activations(in, act->view());
  std::vector<float> expected(token_of.size() * outputs), expected8(expected.size()), whole(tokens * outputs),
      whole8(whole.size());
  for (std::size_t e = 0; e < experts; ++e) {
    nbit::gemm(nbit::arch::scalar{}, views[e], in, {whole.data(), tokens, outputs});
    nbit::gemm(nbit::arch::scalar{}, views[e], act->view(), {whole8.data(), tokens, outputs});
    for (std::size_t s = first_slot[e]; s < first_slot[e + 1]; ++s) {
      std::memcpy(&expected[s * outputs], &whole[token_of[s] * outputs], outputs * sizeof(float));
      std::memcpy(&expected8[s * outputs], &whole8[token_of[s] * outputs], outputs * sizeof(float));
    }
  }
  nbit::arch::for_each_runnable([&](auto tag) {
    std::vector<float> y(expected.size()), scratch(nbit::expert_scratch(token_of.size(), cols));
    const nbit::matrix_view<float> out(y.data(), token_of.size(), outputs);
    nbit::expert_gemm(tag, all, in, slots, out, std::span<float>(scratch), backwards);
    REQUIRE(y == expected);
    nbit::expert_gemm(tag, all, in, slots, out, gathered->view(), backwards);
    REQUIRE(y == expected8);
  });

  const auto weight = numbers.uniforms(token_of.size(), 0.0f, 1.0f);
  std::vector<float> sum(tokens * outputs, 9.0f);
  nbit::combine_experts({expected.data(), token_of.size(), outputs}, slots, weight, {sum.data(), tokens, outputs});
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t n = 0; n < outputs; ++n) {
      float by_hand = 0.0f;
      for (std::size_t s = 0; s < token_of.size(); ++s)
        if (token_of[s] == t) by_hand = std::fma(weight[s], expected[s * outputs + n], by_hand);
      REQUIRE(sum[t * outputs + n] == by_hand);
    }

  const nbit_test::broken_contracts broken;
  std::vector<float> y(expected.size(), 9.0f), scratch(expected.size());
  const nbit::matrix_view<float> out(y.data(), token_of.size(), outputs);
  const std::vector<std::uint32_t> wild = {5, 9, 9, 0, 5, 10}, falling = {0, 4, 3, 6}, few = {0, 3, 6};
  for (const nbit::expert_slots& bad : {nbit::expert_slots{wild, first_slot}, {token_of, falling}, {token_of, few}})
    nbit::expert_gemm(all, in, bad, out, std::span<float>(scratch));
  CHECK(broken.count() == 3);
  CHECK(y == std::vector<float>(y.size(), 9.0f));
}
