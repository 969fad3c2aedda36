// tests/kernel/check.hpp — one check for every (format, layout): all operations, instruction sets and shapes agree.
//
// The chain of trust: dequantize against the format's own value(); gemv and gemm against sums in double over the
// dequantized weights, within a bound from the number of additions; every instruction set against scalar, bit for bit.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_KERNEL_CHECK_HPP
#define NBIT_TESTS_KERNEL_CHECK_HPP

#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/activations.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/gemm.hpp>
#include <nbit/kernel/gemv.hpp>
#include <nbit/kernel/quantize.hpp>

namespace nbit_test {

/// Runs pieces from the last to the first: results must not depend on the order.
struct backwards {
  template <class F>
  void operator()(std::size_t n, F&& f) const {
    for (std::size_t i = n; i-- > 0;) f(i);
  }
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// y = W x in double, and a bound on what a float sum in any order may differ by.
struct exact_sums {
  std::vector<double> y, bound;
};
inline exact_sums exact_product(const std::vector<float>& w, const std::vector<double>& x, std::size_t rows,
                                std::size_t cols) {
  exact_sums s{std::vector<double>(rows), std::vector<double>(rows)};
  for (std::size_t r = 0; r < rows; ++r) {
    double magnitude = 0;
    for (std::size_t c = 0; c < cols; ++c) {
      s.y[r] += double(w[r * cols + c]) * x[c];
      magnitude += std::fabs(double(w[r * cols + c]) * x[c]);
    }
    s.bound[r] = magnitude * (double(cols) + 32) * 0x1p-23 + 1e-30;
  }
  return s;
}
inline void check_close(const float* y, const exact_sums& s, double slack = 1.0) {
  for (std::size_t r = 0; r < s.y.size(); ++r) {
    INFO("row " << r << ": " << y[r] << " for " << s.y[r] << " +- " << s.bound[r] * slack);
    REQUIRE(std::fabs(double(y[r]) - s.y[r]) <= s.bound[r] * slack);
  }
}

template <class F, class L>
void check_shape(nbit::shape s, std::uint64_t seed) {
  INFO("shape " << s.rows << " x " << s.cols);
  random numbers(seed);
  const auto weights = numbers.normals(s.rows * s.cols, 0.05f);
  const nbit::matrix_view<const float> w(weights.data(), s.rows, s.cols);
  const nbit::quantize_options options{.ragged = nbit::ragged_rows::pad};

  auto q = nbit::quantize<F, L>(nbit::arch::scalar{}, w, options);
  REQUIRE(q);
  const auto view = q->view();

  // dequantize against the format itself
  auto codes = nbit::unpack_codes(view);
  REQUIRE(codes);
  std::vector<float> expected(weights.size()), floats(weights.size());
  const std::size_t length = nbit::group_length<F>(s.cols);
  constexpr std::size_t step = std::size_t(nbit::step_of<F>);
  for (std::size_t r = 0; r < s.rows; ++r)
    for (std::size_t c = 0; c < s.cols; c += step) {
      const auto& params = codes->params[codes->params_index(r, codes->group_of(c))];
      float point[step];
      if constexpr (nbit::lattice_format<F>)
        F::value(static_cast<int>(codes->row_codes(r)[c / step]), params, static_cast<int>(c % length), point);
      else
        point[0] = F::value(codes->row_codes(r)[c], params, static_cast<int>(c % length));
      for (std::size_t i = 0; i < step && c + i < s.cols; ++i) expected[r * s.cols + c + i] = point[i];
    }
  nbit::dequantize(nbit::arch::scalar{}, view, {floats.data(), s.rows, s.cols});
  REQUIRE(same_bits(floats, expected));

  // activations
  constexpr std::size_t tokens = 14;  // a full tile of every instruction set, and single rows after it
  const auto x = numbers.normals(tokens * s.cols);
  auto act = nbit::int8_activation_matrix<32>::make({tokens, s.cols});
  auto one = nbit::int8_activation_matrix<32>::make({1, s.cols});
  REQUIRE((act && one));
  nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), tokens, s.cols),
                             act->view());
  nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), 1, s.cols), one->view());
  std::vector<double> x_exact(s.cols), x_int8(s.cols);
  for (std::size_t c = 0; c < s.cols; ++c) {
    x_exact[c] = double(x[c]);
    x_int8[c] = double(one->view().scale16(0, c / 16)) * double(one->view().row_codes(0)[c]);
  }
  const exact_sums sums = exact_product(floats, x_exact, s.rows, s.cols),
                   sums8 = exact_product(floats, x_int8, s.rows, s.cols);

  std::vector<float> y0(s.rows), y8(s.rows), ym(tokens * s.rows), ym8(tokens * s.rows);
  nbit::gemv(nbit::arch::scalar{}, view, std::span<const float>(x.data(), s.cols), std::span<float>(y0));
  nbit::gemv(nbit::arch::scalar{}, view, one->view(), std::span<float>(y8));
  nbit::gemm(nbit::arch::scalar{}, view, {x.data(), tokens, s.cols}, {ym.data(), tokens, s.rows});
  nbit::gemm(nbit::arch::scalar{}, view, act->view(), {ym8.data(), tokens, s.rows});
  check_close(y0.data(), sums);
  check_close(y8.data(), sums8, 8.0);  // offset formats add two large sums that nearly cancel
  check_close(ym.data(), sums);
  for (std::size_t r = 0; r < s.rows; ++r) REQUIRE(ym8[r] == y8[r]);

  nbit::arch::for_each_runnable([&](auto tag) {
    if constexpr (decltype(tag)::level > 0) {
      INFO(decltype(tag)::name);
      auto other = nbit::quantize<F, L>(tag, w, options, backwards{});
      REQUIRE(other);
      REQUIRE(other->bytes.size() == q->bytes.size());
      REQUIRE((q->bytes.empty() || std::memcmp(other->bytes.data(), q->bytes.data(), q->bytes.size()) == 0));
      std::vector<float> z(weights.size()), v(s.rows), v8(s.rows), m(tokens * s.rows), m8(tokens * s.rows);
      nbit::dequantize(tag, view, {z.data(), s.rows, s.cols}, backwards{});
      REQUIRE(same_bits(z, floats));
      nbit::gemv(tag, view, std::span<const float>(x.data(), s.cols), std::span<float>(v), backwards{});
      REQUIRE(same_bits(v, y0));
      nbit::gemv(tag, view, one->view(), std::span<float>(v8), backwards{});
      REQUIRE(same_bits(v8, y8));
      nbit::gemm(tag, view, {x.data(), tokens, s.cols}, {m.data(), tokens, s.rows}, backwards{});
      REQUIRE(same_bits(m, ym));
      nbit::gemm(tag, view, act->view(), {m8.data(), tokens, s.rows}, backwards{});
      REQUIRE(same_bits(m8, ym8));
    }
  });
}

/// Every shape worth fearing: one weight, ragged ends, more rows than a tile, more columns than a chunk.
template <class F, class L = nbit::default_layout<F>>
void check_kernels(const char* name) {
  INFO(name);
  std::uint64_t seed = 1;
  for (const nbit::shape s : {nbit::shape{1, 1}, {3, 17}, {33, 64}, {5, 300}, {70, 256}, {2, 769}})
    check_shape<F, L>(s, seed++);
  for (const nbit::shape s : {nbit::shape{0, 0}, {0, 64}, {4, 0}}) {
    auto q = nbit::quantize<F, L>(nbit::matrix_view<const float>(nullptr, s.rows, s.cols),
                                  {.ragged = nbit::ragged_rows::pad});
    REQUIRE(q);
    std::vector<float> y(s.rows, 7.0f), x(s.cols);
    nbit::gemv(q->view(), std::span<const float>(x), std::span<float>(y));
    nbit::gemm(q->view(), nbit::matrix_view<const float>(x.data(), 1, s.cols),
               nbit::matrix_view<float>(y.data(), 1, s.rows));
    for (const float v : y) REQUIRE(v == 0.0f);
  }
}

}  // namespace nbit_test

#endif
