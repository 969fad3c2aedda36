// tests/kernel/epilogue_test.cpp — bias, activations, gates and residuals after products, against the C library.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/contract.hpp>
#include <support/random.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/epilogue.hpp>
#include <nbit/kernel/quantize.hpp>

namespace {

struct case_of_shape {
  std::size_t rows, cols, tokens;
};

std::vector<float> applied(std::vector<float> y, const auto& steps) {
  nbit::apply(nbit::arch::scalar{}, steps, nbit::matrix_view<float>(y.data(), 1, y.size()));
  return y;
}

}  // namespace

TEST_CASE("activations agree with their formulas") {
  std::vector<float> x;
  for (int i = -4000; i <= 4000; ++i) x.push_back(float(i) * 0.005f);
  const auto s = applied(x, nbit::then(nbit::silu{})), g = applied(x, nbit::then(nbit::gelu{})),
             t = applied(x, nbit::then(nbit::gelu_tanh{}));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = double(x[i]), slack = 4e-7 + 4e-7 * std::fabs(v);
    INFO(v);
    REQUIRE(std::fabs(double(s[i]) - v / (1 + std::exp(-v))) <= slack);
    REQUIRE(std::fabs(double(g[i]) - 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)))) <= slack);
    const double u = std::sqrt(2 / 3.14159265358979) * (v + 0.044715 * v * v * v);
    REQUIRE(std::fabs(double(t[i]) - 0.5 * v * (1 + std::tanh(u))) <= slack);
  }
}

TEST_CASE("activations at the ends: zero stays, large values pass or vanish, NaN stays") {
  const float big = std::numeric_limits<float>::max(), inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {0.0f, 1000.0f, -1000.0f, big, inf, std::nanf("")};
  for (const auto& y : {applied(x, nbit::then(nbit::silu{})), applied(x, nbit::then(nbit::gelu{})),
                        applied(x, nbit::then(nbit::gelu_tanh{}))}) {
    CHECK(y[0] == 0.0f);
    CHECK(y[1] == 1000.0f);
    CHECK(std::fabs(y[2]) < 1e-30f);
    CHECK(y[3] == big);
    CHECK(y[4] == inf);
    CHECK(std::isnan(y[5]));
  }
}

TEST_CASE("steps after gemv and gemm: the order written, every tag, strided outputs, any order of pieces") {
  nbit_test::random numbers(3);
  for (const case_of_shape s : {case_of_shape{1, 1, 1}, {70, 64, 3}, {1030, 33, 2}}) {
    const auto w = numbers.normals(s.rows * s.cols), x = numbers.normals(s.tokens * s.cols),
               bias = numbers.normals(s.rows), gate = numbers.normals(s.tokens * s.rows),
               residual = numbers.normals(s.tokens * (s.rows + 3));
    const auto q = nbit::quantize<nbit::w4g32>({w.data(), s.rows, s.cols});
    REQUIRE(q);
    const nbit::matrix_view<const float> in(x.data(), s.tokens, s.cols), g(gate.data(), s.tokens, s.rows),
        r(residual.data(), s.tokens, s.rows, s.rows + 3);
    const auto steps = nbit::then(nbit::add_bias{bias}, nbit::silu{}, nbit::multiply_by{g}, nbit::add_residual{r});
    const std::size_t stride = s.rows + 5;
    std::vector<float> plain(s.tokens * stride, 9.0f), expected;
    nbit::gemm(nbit::arch::scalar{}, q->view(), in, {plain.data(), s.tokens, s.rows, stride});
    expected = plain;
    for (std::size_t m = 0; m < s.tokens; ++m)
      for (std::size_t n = 0; n < s.rows; ++n) {
        float& v = expected[m * stride + n];
        v += bias[n];
        v = v / (1.0f + nbit::exp_float(-v));
        v *= g(m, n);
        v += r(m, n);
      }
    const auto backwards = [](std::size_t n, auto&& f) {
      for (std::size_t i = n; i-- > 0;) f(i);
    };
    nbit::arch::for_each_runnable([&](auto tag) {
      std::vector<float> y(plain.size(), 9.0f);
      nbit::gemm(tag, q->view(), in, nbit::matrix_view<float>(y.data(), s.tokens, s.rows, stride), steps, backwards);
      REQUIRE(y == expected);  // also what lies between the rows
    });
    // one token: gemv, and int8 through the same steps
    const auto one = nbit::then(nbit::add_bias{bias}, nbit::gelu{}, nbit::add_residual{r.row_range(0, 1)});
    std::vector<float> y(s.rows), z(s.rows);
    nbit::gemv(q->view(), std::span<const float>(x.data(), s.cols), std::span<float>(y));
    nbit::apply(nbit::arch::scalar{}, one, nbit::matrix_view<float>(y.data(), 1, s.rows));
    nbit::gemv(q->view(), std::span<const float>(x.data(), s.cols), std::span<float>(z), one);
    REQUIRE(y == z);
    auto act = nbit::int8_activation_matrix<32>::make({1, s.cols});
    REQUIRE(act);
    nbit::quantize_activations(in.row_range(0, 1), act->view());
    nbit::gemv(q->view(), act->view(), std::span<float>(y));
    nbit::apply(one, nbit::matrix_view<float>(y.data(), 1, s.rows));
    nbit::gemv(q->view(), act->view(), std::span<float>(z), one);
    REQUIRE(y == z);
    // int8 and bf16 activations of all tokens
    const auto check_gemm = [&](const auto& activations) {
      std::vector<float> apart(plain.size(), 9.0f), together(plain.size(), 9.0f);
      const nbit::matrix_view<float> a(apart.data(), s.tokens, s.rows, stride),
          b(together.data(), s.tokens, s.rows, stride);
      nbit::gemm(q->view(), activations, a);
      nbit::apply(steps, a);
      nbit::gemm(q->view(), activations, b, steps, backwards);
      REQUIRE(apart == together);
    };
    auto all = nbit::int8_activation_matrix<32>::make({s.tokens, s.cols});
    REQUIRE(all);
    nbit::quantize_activations(in, all->view());
    check_gemm(all->view());
    std::vector<nbit::bf16> rounded;
    for (const float v : x) rounded.push_back(nbit::bf16::from(v));
    check_gemm(nbit::matrix_view<const nbit::bf16>(rounded.data(), s.tokens, s.cols));
  }
}

TEST_CASE("no steps change nothing; matrices of another shape are refused") {
  std::vector<float> y = {1.0f, 2.0f};
  nbit::apply(nbit::then(), nbit::matrix_view<float>(y.data(), 1, 2));
  CHECK(y == std::vector<float>{1.0f, 2.0f});
  const std::vector<float> bias(3);
  const nbit_test::broken_contracts broken;
  nbit::apply(nbit::then(nbit::add_bias{bias}), nbit::matrix_view<float>(y.data(), 1, 2));
  CHECK(broken.count() == 1);
  CHECK(y == std::vector<float>{1.0f, 2.0f});
}
