// tests/kernel/quantize_test.cpp — errors of quantize, and the calls that are the caller's bugs.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/contract.hpp>
#include <support/random.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/quantize.hpp>

TEST_CASE("a NaN or infinite weight is an error that names row and column") {
  std::vector<float> w(4 * 128, 0.5f);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    w[2 * 128 + 77] = bad;
    const auto q = nbit::quantize<nbit::w4g128>({w.data(), 4, 128});
    REQUIRE(!q);
    REQUIRE(q.error().code == nbit::errc::not_finite);
    REQUIRE(q.error().row == 2);
    REQUIRE(q.error().col == 77);
  }
}

TEST_CASE("rows that blocks cannot hold are refused unless padding is asked for") {
  const std::vector<float> w(3 * 100, 0.25f);
  const auto refused = nbit::quantize<nbit::q4_k>({w.data(), 3, 100});
  REQUIRE(!refused);
  REQUIRE(refused.error().code == nbit::errc::shape);
  REQUIRE(refused.error().found == 100);
  const auto padded = nbit::quantize<nbit::q4_k>({w.data(), 3, 100}, {.ragged = nbit::ragged_rows::pad});
  REQUIRE(padded);
  REQUIRE(padded->bytes.size() == 3 * 144);
  // planar formats take a short last group as it is
  REQUIRE(nbit::quantize<nbit::w4g128>({w.data(), 3, 100}));
}

TEST_CASE("importance must fit the columns and be finite") {
  const std::vector<float> w(256, 0.25f);
  const std::vector<float> shorter(255, 1.0f);
  REQUIRE(nbit::quantize<nbit::q4_k>({w.data(), 1, 256}, {.importance = shorter}).error().code == nbit::errc::shape);
  std::vector<float> negative(256, 1.0f);
  negative[9] = -1.0f;
  const auto q = nbit::quantize<nbit::q4_k>({w.data(), 1, 256}, {.importance = negative});
  REQUIRE(!q);
  REQUIRE(q.error().col == 9);
}

TEST_CASE("an all-zero group decodes to zeros in every symmetry") {
  const std::vector<float> w(256, 0.0f);
  std::vector<float> out(256, 1.0f);
  const auto check = [&](auto q) {
    REQUIRE(q);
    nbit::dequantize(q->view(), {out.data(), 1, 256});
    for (const float v : out) REQUIRE(v == 0.0f);
  };
  check(nbit::quantize<nbit::w4g128>({w.data(), 1, 256}));
  check(nbit::quantize<nbit::w4g128a>({w.data(), 1, 256}));
  check(nbit::quantize<nbit::w3g64a>({w.data(), 1, 256}));
  check(nbit::quantize<nbit::q4_k>({w.data(), 1, 256}));
}

TEST_CASE("rows are quantized alike one by one, without allocation, and all at once") {
  nbit_test::random numbers(3);
  const auto w = numbers.normals(5 * 300);
  const nbit::matrix_view<const float> view(w.data(), 5, 300);
  const auto whole = nbit::quantize<nbit::w4g128a>(view);
  REQUIRE(whole);
  auto piecewise = nbit::packed_matrix<nbit::w4g128a>::make({5, 300});
  REQUIRE(piecewise);
  alignas(16) std::byte scratch[nbit::quantize_scratch_bytes<nbit::w4g128a>(300)];
  for (std::size_t r = 0; r < 5; ++r)
    REQUIRE(nbit::quantize_rows(nbit::arch::scalar{}, view, piecewise->span(), r, 1, scratch));
  REQUIRE(std::memcmp(whole->bytes.data(), piecewise->bytes.data(), whole->bytes.size()) == 0);
}

TEST_CASE("calls whose shapes do not fit reach the contract hook and touch nothing") {
  const std::vector<float> w(2 * 128, 0.5f);
  const auto q = nbit::quantize<nbit::w4g128>({w.data(), 2, 128});
  REQUIRE(q);
  std::vector<float> x(127, 1.0f), y(2, 7.0f);
  nbit_test::broken_contracts broken;
  nbit::gemv(q->view(), std::span<const float>(x), std::span<float>(y));
  REQUIRE(broken.count() == 1);
  REQUIRE(broken.last() == "gemv: x must have as many elements as the weights have columns");
  nbit::gemm(q->view(), nbit::matrix_view<const float>(x.data(), 1, 127), nbit::matrix_view<float>(y.data(), 1, 2));
  nbit::dequantize(q->view(), nbit::matrix_view<float>(y.data(), 1, 2));
  REQUIRE(broken.count() == 3);
  REQUIRE(y == std::vector<float>{7.0f, 7.0f});
}

TEST_CASE("plain matrices multiply as they are") {
  nbit_test::random numbers(11);
  const auto w = numbers.normals(37 * 100);
  const auto x = numbers.normals(100);
  std::vector<nbit::f16> half(w.size());
  std::vector<nbit::bf16> brain(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) half[i] = nbit::f16::from(w[i]), brain[i] = nbit::bf16::from(w[i]);
  const auto check = [&](auto weights, auto* data) {
    std::vector<float> first;
    nbit::arch::for_each_runnable([&](auto tag) {
      std::vector<float> y(37), m(37);
      nbit::gemv(tag, weights, std::span<const float>(x), std::span<float>(y));
      nbit::gemm(tag, weights, nbit::matrix_view<const float>(x.data(), 1, 100),
                 nbit::matrix_view<float>(m.data(), 1, 37));
      for (std::size_t r = 0; r < 37; ++r) {
        double sum = 0;
        for (std::size_t c = 0; c < 100; ++c) sum += double(float(data[r * 100 + c])) * double(x[c]);
        REQUIRE(std::fabs(double(y[r]) - sum) < 1e-4);
        REQUIRE(std::fabs(double(m[r]) - sum) < 1e-4);
      }
      if (first.empty()) first = y;
      REQUIRE(y == first);
    });
  };
  check(nbit::matrix_view<const float>(w.data(), 37, 100), w.data());
  check(nbit::matrix_view<const nbit::f16>(half.data(), 37, 100), half.data());
  check(nbit::matrix_view<const nbit::bf16>(brain.data(), 37, 100), brain.data());
}
