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

/// int8 activations that share a scale in groups of Group: near the exact sums; gemm has gemv's bits, and every
/// instruction set has the scalar ones. floats are the decoded weights.
template <int Group, class View>
void check_int8(const View& view, const std::vector<float>& floats, const std::vector<float>& x, std::size_t tokens) {
  INFO("int8, groups of " << Group);
  const std::size_t rows = view.rows, cols = view.cols;
  auto act = nbit::int8_activation_matrix<Group>::make({tokens, cols});
  auto one = nbit::int8_activation_matrix<Group>::make({1, cols});
  REQUIRE((act && one));
  nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), tokens, cols), act->view());
  nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), 1, cols), one->view());
  std::vector<double> decoded(cols);
  for (std::size_t c = 0; c < cols; ++c)
    decoded[c] = double(one->view().scale16(0, c / 16)) * double(one->view().row_codes(0)[c]);

  std::vector<float> y(rows), ym(tokens * rows);
  nbit::gemv(nbit::arch::scalar{}, view, one->view(), std::span<float>(y));
  nbit::gemm(nbit::arch::scalar{}, view, act->view(), {ym.data(), tokens, rows});
  check_close(y.data(), exact_product(floats, decoded, rows, cols), 8.0);  // offsets: two large sums nearly cancel
  for (std::size_t r = 0; r < rows; ++r) REQUIRE(ym[r] == y[r]);
  nbit::arch::for_each_runnable([&](auto tag) {
    if constexpr (decltype(tag)::level > 0) {
      INFO(decltype(tag)::name);
      std::vector<float> v(rows), m(tokens * rows);
      nbit::gemv(tag, view, one->view(), std::span<float>(v), backwards{});
      REQUIRE(same_bits(v, y));
      nbit::gemm(tag, view, act->view(), {m.data(), tokens, rows}, backwards{});
      REQUIRE(same_bits(m, ym));
    }
  });
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
  const exact_sums sums = exact_product(floats, {x.begin(), x.begin() + std::ptrdiff_t(s.cols)}, s.rows, s.cols);

  std::vector<float> y0(s.rows), ym(tokens * s.rows);
  nbit::gemv(nbit::arch::scalar{}, view, std::span<const float>(x.data(), s.cols), std::span<float>(y0));
  nbit::gemm(nbit::arch::scalar{}, view, {x.data(), tokens, s.cols}, {ym.data(), tokens, s.rows});
  check_close(y0.data(), sums);
  check_close(ym.data(), sums);

  nbit::arch::for_each_runnable([&](auto tag) {
    if constexpr (decltype(tag)::level > 0) {
      INFO(decltype(tag)::name);
      auto other = nbit::quantize<F, L>(tag, w, options, backwards{});
      REQUIRE(other);
      REQUIRE(other->bytes.size() == q->bytes.size());
      REQUIRE((q->bytes.empty() || std::memcmp(other->bytes.data(), q->bytes.data(), q->bytes.size()) == 0));
      std::vector<float> z(weights.size()), v(s.rows), m(tokens * s.rows);
      nbit::dequantize(tag, view, {z.data(), s.rows, s.cols}, backwards{});
      REQUIRE(same_bits(z, floats));
      nbit::gemv(tag, view, std::span<const float>(x.data(), s.cols), std::span<float>(v), backwards{});
      REQUIRE(same_bits(v, y0));
      nbit::gemm(tag, view, {x.data(), tokens, s.cols}, {m.data(), tokens, s.rows}, backwards{});
      REQUIRE(same_bits(m, ym));
    }
  });

  check_int8<32>(view, floats, x, tokens);
  if constexpr (nbit::detail::has_two_levels<F>) check_int8<256>(view, floats, x, tokens);
}

/// Weights that encoders stumble over: zeros, ties, one weight alone, tiny and huge ones, one sign, outliers.
inline std::vector<float> hostile_weights(random& numbers, std::size_t n, int kind) {
  auto w = numbers.normals(n, 0.05f);
  for (std::size_t i = 0; i < n; ++i) {
    switch (kind) {
      case 0: w[i] = numbers.below(10) != 0 ? 0.0f : w[i]; break;
      case 1: w[i] = static_cast<float>(static_cast<int>(numbers.below(5)) - 2) * 0.25f; break;
      case 2: w[i] = i % 256 == 37 ? w[i] : (i % 3 == 0 ? -0.0f : 0.0f); break;
      case 3: w[i] *= 1e-37f; break;
      case 4: w[i] *= 1e20f; break;
      case 5: w[i] *= i / 512 % 2 != 0 ? 1e38f : 1e-12f; break;
      case 6: w[i] = i / 64 % 2 != 0 ? std::fabs(w[i]) : -std::fabs(w[i]); break;
      default: w[i] *= numbers.below(100) == 0 ? 1000.0f : 1.0f; break;
    }
  }
  return w;
}

/// Every instruction set encodes hostile weights as the scalar kernel does, with and without importance.
template <class F, class L>
void check_encoders() {
  random numbers(99);
  const nbit::shape s{3, 1792};  // 21 groups of 256: a full batch and a part of one
  for (int kind = 0; kind < 8; ++kind) {
    const auto weights = hostile_weights(numbers, s.rows * s.cols, kind);
    auto importance = numbers.uniforms(s.cols, 0.0f, 2.0f);
    for (float& v : importance) v = kind == 1 ? 1.0f : (kind == 7 && numbers.below(3) == 0 ? 0.0f : v);
    for (const bool weighed : {false, true}) {
      INFO("kind " << kind << (weighed ? " with importance" : ""));
      nbit::quantize_options options;
      if (weighed) options.importance = importance;
      const nbit::matrix_view<const float> w(weights.data(), s.rows, s.cols);
      const auto expected = nbit::quantize<F, L>(nbit::arch::scalar{}, w, options);
      REQUIRE(expected);
      nbit::arch::for_each_runnable([&](auto tag) {
        if constexpr (decltype(tag)::level > 0) {
          INFO(decltype(tag)::name);
          const auto found = nbit::quantize<F, L>(tag, w, options);
          REQUIRE(found);
          std::size_t first = 0;
          while (first < found->bytes.size() && found->bytes[first] == expected->bytes[first]) ++first;
          REQUIRE(first == found->bytes.size());
        }
      });
    }
  }
}

/// Every shape worth fearing: one weight, ragged ends, more rows than a tile, more columns than a chunk.
template <class F, class L = nbit::default_layout<F>>
void check_kernels(const char* name) {
  INFO(name);
  std::uint64_t seed = 1;
  for (const nbit::shape s : {nbit::shape{1, 1}, {3, 17}, {33, 64}, {5, 300}, {70, 256}, {2, 769}})
    check_shape<F, L>(s, seed++);
  if constexpr (F::group == 0 || 1792 % (F::group < 0 ? 1 : F::group) == 0) check_encoders<F, L>();
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
