// tests/solver/calibration_test.cpp — Gram statistics: exact sums, independence of chunks and threads, bad input.
// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <nbit/solver/calibration.hpp>

#include "solver/support.hpp"

using namespace solver_test;

namespace {
std::vector<float> in_chunks(const std::vector<float>& x, std::size_t cols, const std::vector<std::size_t>& sizes) {
  hessian h(cols);
  std::size_t at = 0, next = 0;
  const std::size_t tokens = x.size() / cols;
  while (at < tokens) {
    const std::size_t n = std::min(sizes[next++ % sizes.size()], tokens - at);
    REQUIRE(h.add({x.data() + at * cols, n, cols}));
    (void)h.shrinkage();  // reading must not flush
    at += n;
  }
  return gram_of(h);
}
}  // namespace

TEST_CASE("a Gram matrix is the mean of x x^T, close to a sum in double") {
  for (const std::size_t cols : {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, std::size_t{50}})
    for (const std::size_t tokens : {std::size_t{1}, std::size_t{127}, std::size_t{128}, std::size_t{300}}) {
      const std::vector<float> x = activations(tokens, cols, 100 + cols + tokens);
      const hessian h = statistics(x, cols);
      const std::vector<float> g = gram_of(h);
      double worst = 0;
      for (std::size_t i = 0; i < cols; ++i)
        for (std::size_t j = 0; j < cols; ++j) {
          double sum = 0, scale = 0;
          for (std::size_t t = 0; t < tokens; ++t) {
            const double p = double(x[t * cols + i]) * double(x[t * cols + j]);
            sum += p, scale += std::fabs(p);
          }
          worst = std::max(worst, std::fabs(double(g[i * cols + j]) * double(tokens) - sum) / (scale + 1e-30));
        }
      CHECK(worst < 4e-6);
      CHECK(h.tokens() == tokens);
    }
}

TEST_CASE("however a stream is cut, the Gram matrix is the same to the last bit") {
  const std::size_t cols = 37, tokens = 523;
  const std::vector<float> x = activations(tokens, cols, 7);
  const std::vector<float> whole = in_chunks(x, cols, {tokens});
  for (const std::vector<std::size_t>& sizes :
       {std::vector<std::size_t>{1}, {127}, {128}, {129}, {1, 200, 3, 77}, {64, 64, 65}, {500, 23}})
    CHECK(in_chunks(x, cols, sizes) == whole);
}

TEST_CASE("executors do not change a bit of the statistics") {
  const std::size_t cols = 70, tokens = 300;
  const std::vector<float> x = activations(tokens, cols, 8);
  const std::vector<float> expected = gram_of(statistics(x, cols));
  const double r = statistics(x, cols).shrinkage();
  hessian a(cols), b(cols), c(cols);
  REQUIRE(a.add({x.data(), tokens, cols}, backwards{}));
  REQUIRE(b.add({x.data(), tokens, cols}, threads{2}));
  REQUIRE(c.add({x.data(), tokens, cols}, threads{3}));
  CHECK(gram_of(a) == expected);
  CHECK(gram_of(b) == expected);
  CHECK(gram_of(c) == expected);
  CHECK(a.shrinkage() == r);
  CHECK(c.shrinkage() == r);
}

TEST_CASE("a merge is the same from both sides, also with short panels, and equals the joined stream closely") {
  const std::size_t cols = 33;
  const std::vector<float> x = activations(200, cols, 1), y = activations(331, cols, 2);
  hessian a = statistics(x, cols), b = statistics(y, cols);
  hessian ab = statistics(x, cols), ba = statistics(y, cols);
  REQUIRE(ab.merge(b));
  REQUIRE(ba.merge(a));
  CHECK(gram_of(ab) == gram_of(ba));
  CHECK(ab.shrinkage() == ba.shrinkage());
  CHECK(ab.tokens() == 531);
  std::vector<float> joined = x;
  joined.insert(joined.end(), y.begin(), y.end());
  const std::vector<float> g = gram_of(ab), expected = gram_of(statistics(joined, cols));
  for (std::size_t k = 0; k < g.size(); ++k)
    CHECK(nbit::abs(g[k] - expected[k]) <= 1e-5f * (1.0f + nbit::abs(expected[k])));
  hessian none(cols);
  REQUIRE(ab.merge(none));
  CHECK(gram_of(ab) == gram_of(ba));
  REQUIRE(none.merge(ab));
  CHECK(gram_of(none) == gram_of(ab));
  hessian other(cols + 1);
  REQUIRE_FALSE(other.merge(ab));
  CHECK(other.merge(ab).error().code == nbit::errc::shape);
}

namespace {
constexpr nbit::gram_storage every_storage[] = {nbit::gram_storage::f64, nbit::gram_storage::f32,
                                                nbit::gram_storage::two_f32};

/// Sequences of tokens that all have a large part in common, as activations with a few huge channels do.
std::vector<float> with_offset(std::size_t tokens, std::size_t cols, float offset, std::uint64_t seed) {
  nbit_test::random rng(seed);
  std::vector<float> x = rng.normals(tokens * cols);
  for (float& v : x) v += offset;
  return x;
}

/// The largest error of a Gram matrix, as a share of the variance of an entry (1 for these tokens).
double worst_error(const hessian& h, const std::vector<double>& exact) {
  // gram_write rounds to f32: differences from the offset's square are read from the sums themselves
  const nbit::detail::gram_sums& g = nbit::detail::gram_access::of(h);
  double worst = 0;
  nbit::detail::gram_each_piece(
      g, 0, g.padded, [&](std::size_t row, std::size_t c, std::size_t n, const auto* sums, double) {
        for (std::size_t k = 0; k < n && c + k < h.cols(); ++k)
          worst = std::max(worst, std::fabs(static_cast<double>(sums[k]) - exact[row * h.cols() + c + k]));
      });
  return worst / static_cast<double>(h.tokens());
}
}  // namespace

TEST_CASE("compensated sums and f64 keep what a million tokens with a common offset differ in, f32 loses it") {
  const std::size_t cols = 7, batch = 4096, batches = 250;
  std::vector<double> exact(cols * cols);
  hessian kept[] = {hessian(cols, every_storage[0]), hessian(cols, every_storage[1]), hessian(cols, every_storage[2])};
  for (std::size_t b = 0; b < batches; ++b) {
    const std::vector<float> x = with_offset(batch, cols, 1000.0f, b);
    for (hessian& h : kept) REQUIRE(h.add({x.data(), batch, cols}));
    for (std::size_t t = 0; t < batch; ++t)
      for (std::size_t i = 0; i < cols; ++i)
        for (std::size_t j = 0; j < cols; ++j) exact[i * cols + j] += double(x[t * cols + i]) * double(x[t * cols + j]);
  }
  REQUIRE(kept[0].tokens() == 1'024'000);
  const double f64 = worst_error(kept[0], exact), f32 = worst_error(kept[1], exact), two = worst_error(kept[2], exact);
  INFO("f64 " << f64 << ", two f32 " << two << ", f32 " << f32);
  CHECK(f64 < 0.02);
  CHECK(two < 0.02);
  CHECK(std::fabs(two - f64) < 1e-4 * f64 + 1e-7);  // what is left is the rounding of products
  CHECK(f32 > 20 * two);
}

TEST_CASE("every storage: the same bits for every cut and executor, merges from both sides alike, merges add up") {
  for (const nbit::gram_storage storage : every_storage) {
    const std::size_t cols = 70, tokens = 1300, half = 700;
    const std::vector<float> x = with_offset(tokens, cols, 30.0f, 5);
    hessian whole(cols, storage), cut(cols, storage), apart(cols, storage);
    REQUIRE(whole.add({x.data(), tokens, cols}));
    for (std::size_t t = 0, n = 1; t < tokens; t += n, n = std::min(tokens - t, n * 3 % 251 + 1))
      REQUIRE(cut.add({x.data() + t * cols, n, cols}, backwards{}));
    REQUIRE(apart.add({x.data(), tokens, cols}, threads{3}));
    const std::vector<float> expected = gram_of(whole);
    CHECK(gram_of(cut) == expected);
    CHECK(gram_of(apart) == expected);
    CHECK(cut.shrinkage() == whole.shrinkage());
    hessian a(cols, storage), b(cols, storage), ab(cols, storage), ba(cols, storage);
    for (hessian* h : {&a, &ab}) REQUIRE(h->add({x.data(), half, cols}));
    for (hessian* h : {&b, &ba}) REQUIRE(h->add({x.data() + half * cols, tokens - half, cols}));
    REQUIRE(ab.merge(b));
    REQUIRE(ba.merge(a));
    CHECK(gram_of(ab) == gram_of(ba));
    CHECK(ab.shrinkage() == ba.shrinkage());
    const auto& p = nbit::detail::gram_access::of(ab);
    const auto& q = nbit::detail::gram_access::of(ba);
    for (std::size_t r = 0; r < cols && !p.two_f32.empty(); ++r)
      for (std::size_t c = 0; c <= r; ++c) {
        const nbit::two_floats u = p.two_f32[nbit::gram_triangle::at(r, c)],
                               v = q.two_f32[nbit::gram_triangle::at(r, c)];
        REQUIRE((u.high == v.high && u.low == v.low));
      }
    for (std::size_t k = 0; k < expected.size(); ++k)
      CHECK(nbit::abs(gram_of(ab)[k] - expected[k]) <= 1e-6f * nbit::abs(expected[k]));
  }
}

TEST_CASE("sums in two floats have the same bits on every instruction set") {
  constexpr std::size_t cols = 96, tokens = 200;
  const std::vector<float> x = with_offset(tokens, cols, 100.0f, 6);
  std::vector<float> panel(cols * nbit::gram_panel::tokens);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t c = 0; c < cols; ++c) panel[nbit::gram_panel::at(t, c)] = x[t * cols + c];
  std::vector<nbit::two_floats> expected;
  nbit::arch::for_each_runnable([&](auto tag) {
    INFO(decltype(tag)::name);
    std::vector<nbit::two_floats> sums(nbit::gram_triangle::strip_at(cols / 16), nbit::two_floats(1.0f / 3.0f));
    std::vector<float> squares(cols * 16);
    for (int round = 0; round < 3; ++round)
      nbit::gram_kernel<decltype(tag)>::add(nbit::gram_operands<nbit::two_floats>{
          panel.data(), tokens, 0, cols, 0, cols, sums.data(), 0, squares.data()});
    if (expected.empty()) expected = sums;
    for (std::size_t r = 0; r < cols; ++r)
      for (std::size_t c = 0; c <= r; ++c) {
        const nbit::two_floats a = sums[nbit::gram_triangle::at(r, c)], b = expected[nbit::gram_triangle::at(r, c)];
        REQUIRE((a.high == b.high && a.low == b.low));
      }
  });
}

TEST_CASE("statistics of one storage can be merged into those of another") {
  const std::size_t cols = 20;
  const std::vector<float> x = activations(300, cols, 3), y = activations(500, cols, 4);
  hessian expected = statistics(x, cols);
  REQUIRE(expected.merge(statistics(y, cols)));
  for (const nbit::gram_storage to : every_storage)
    for (const nbit::gram_storage from : every_storage) {
      hessian a(cols, to), b(cols, from);
      REQUIRE(a.add({x.data(), 300, cols}));
      REQUIRE(b.add({y.data(), 500, cols}));
      REQUIRE(a.merge(b));
      CHECK(a.storage() == to);
      const std::vector<float> g = gram_of(a), e = gram_of(expected);
      for (std::size_t k = 0; k < g.size(); ++k) CHECK(nbit::abs(g[k] - e[k]) <= 2e-6f * (1.0f + nbit::abs(e[k])));
    }
}

TEST_CASE("column statistics come from the same pass") {
  const std::size_t cols = 5;
  const std::vector<float> x = {1, -2, 0, 4, 0.5f, -3, 2, 0, 1, 0.5f};
  const hessian h = statistics(x, cols);
  std::vector<float> square(cols), mean(cols);
  h.mean_square(square);
  h.mean_abs(mean);
  CHECK(square == std::vector<float>{5, 4, 0, 8.5f, 0.25f});
  CHECK(mean == std::vector<float>{2, 2, 0, 2.5f, 0.5f});
  const std::span<const float> most = h.max_abs();
  CHECK(std::vector<float>(most.begin(), most.end()) == std::vector<float>{3, 2, 0, 4, 0.5f});
}

TEST_CASE("NaN, infinite and huge activations are errors with token and column, and nothing is added") {
  hessian h(4);
  const std::vector<float> good = {1, 2, 3, 4};
  REQUIRE(h.add({good.data(), 1, 4}));
  const std::vector<float> before = gram_of(h);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), -1e30f}) {
    std::vector<float> x(12, 1.0f);
    x[2 * 4 + 3] = bad;
    const auto failed = h.add({x.data(), 3, 4});
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == nbit::errc::not_finite);
    CHECK(failed.error().row == 2);
    CHECK(failed.error().col == 3);
  }
  CHECK(gram_of(h) == before);
  CHECK(h.tokens() == 1);
  CHECK_FALSE(h.add({good.data(), 1, 3}));
}

TEST_CASE("empty statistics are legal") {
  hessian nothing(8);
  CHECK(nothing.shrinkage() == 1.0);
  CHECK(gram_of(nothing) == std::vector<float>(64, 0.0f));
  CHECK(nothing.max_abs().empty());
  hessian no_columns;
  CHECK(no_columns.add({nullptr, 3, 0}));
  REQUIRE(nothing.add({nullptr, 0, 8}));
  CHECK(nothing.tokens() == 0);
  CHECK(nothing.mean_diagonal() == 0.0);
}

TEST_CASE(
    "shrinkage is near 1 for independent inputs, small for many correlated tokens, and rises when tokens repeat") {
  const std::size_t cols = 48;
  nbit_test::random rng(3);
  CHECK(statistics(rng.normals(400 * cols), cols).shrinkage() > 0.9);
  const std::vector<float> x = activations(4000, cols, 9);
  const double many = statistics(x, cols).shrinkage();
  const double few =
      statistics(std::vector<float>(x.begin(), x.begin() + 200 * std::ptrdiff_t(cols)), cols).shrinkage();
  CHECK(many < 0.01);
  CHECK(few > 5 * many);
  // Every token sixteen times in a row carries the information of one.
  std::vector<float> repeated;
  for (std::size_t t = 0; t < 400; ++t)
    for (int k = 0; k < 16; ++k)
      repeated.insert(repeated.end(), x.begin() + std::ptrdiff_t(t * cols), x.begin() + std::ptrdiff_t((t + 1) * cols));
  const double once =
      statistics(std::vector<float>(x.begin(), x.begin() + 400 * std::ptrdiff_t(cols)), cols).shrinkage();
  const double again = statistics(repeated, cols).shrinkage();
  CHECK(again > 0.5 * once);
  CHECK(again < 2.0 * once);
}

TEST_CASE("tokens of one sequence are counted by what they say together") {
  const std::size_t cols = 24, length = 300, count = 30;
  const std::vector<float> x = texts(length * count, cols, length, 5);
  hessian h(cols);
  add_sequences(h, x, 0, length * count, length);
  // Ledoit and Wolf's intensity with a sequence as one sample: all columns are sampled, so this is it to the rounding.
  std::vector<double> mean(cols * cols), each(count * cols * cols);
  for (std::size_t t = 0; t < length * count; ++t)
    for (std::size_t i = 0; i < cols; ++i)
      for (std::size_t j = 0; j < cols; ++j) {
        const double v = double(x[t * cols + i]) * double(x[t * cols + j]) / double(length);
        each[t / length * cols * cols + i * cols + j] += v;
        mean[i * cols + j] += v / double(count);
      }
  double variance = 0, square = 0;
  for (std::size_t i = 0; i < cols; ++i)
    for (std::size_t j = 0; j < cols; ++j) {
      if (i == j) continue;
      square += mean[i * cols + j] * mean[i * cols + j];
      for (std::size_t s = 0; s < count; ++s) {
        const double d = each[s * cols * cols + i * cols + j] - mean[i * cols + j];
        variance += d * d / double(count - 1) / double(count);
      }
    }
  const double expected = variance / square;
  REQUIRE(expected > 0.02);
  REQUIRE(expected < 0.9);
  CHECK(h.shrinkage() > 0.999 * expected);
  CHECK(h.shrinkage() < 1.001 * expected);
  CHECK(h.shrinkage() > 1.5 * statistics(x, cols).shrinkage());  // blocks see half of it
  CHECK(h.sequences() == count);
  hessian again(cols);  // empty sequences are none
  for (std::size_t s = 0; s < count; ++s) {
    add_sequences(again, x, s * length, (s + 1) * length, length);
    again.end_sequence();
  }
  CHECK(again.shrinkage() == h.shrinkage());
}

TEST_CASE("a sample of inputs tells how alike tokens are about as well as all of them") {
  const std::size_t cols = 200, length = 60, count = 64;
  const std::vector<float> x = texts(length * count, cols, length, 8);
  hessian wide(cols), part(30);
  add_sequences(wide, x, 0, length * count, length);
  double fewest = 1e30, most = 0;
  for (std::size_t first = 0; first + 30 <= cols; first += 30) {
    std::vector<float> y;
    for (std::size_t t = 0; t < length * count; ++t)
      y.insert(y.end(), x.begin() + std::ptrdiff_t(t * cols + first),
               x.begin() + std::ptrdiff_t(t * cols + first + 30));
    hessian h(30);
    add_sequences(h, y, 0, length * count, length);
    const double r = h.shrinkage();
    fewest = std::min(fewest, r), most = std::max(most, r);
  }
  CHECK(wide.shrinkage() > 0.5 * fewest);
  CHECK(wide.shrinkage() < 2.0 * most);
}

TEST_CASE(
    "sequences: the same to the last bit however the stream is cut, by whichever executor, merged from either side") {
  const std::size_t cols = 70, tokens = 1300, length = 50;
  const std::vector<float> x = texts(tokens, cols, length, 6);
  hessian whole(cols), pieces(cols), spread(cols);
  add_sequences(whole, x, 0, tokens, length);
  for (std::size_t t = 0; t < tokens; t += 13) add_sequences(pieces, x, t, t + 13, length);
  for (std::size_t t = 0; t < tokens; t += length) {
    REQUIRE(spread.add({x.data() + t * cols, length, cols}, threads{3}));
    spread.end_sequence();
  }
  CHECK(pieces.shrinkage() == whole.shrinkage());
  CHECK(spread.shrinkage() == whole.shrinkage());
  hessian none(cols);  // nothing ended: only blocks count
  REQUIRE(none.add({x.data(), tokens, cols}));
  CHECK(none.shrinkage() < whole.shrinkage());
  // Both sides with an open sequence of another length, which ends in the merge.
  hessian a(cols), b(cols), c(cols), d(cols), joined(cols);
  for (hessian* h : {&a, &c}) add_sequences(*h, x, 0, 730, length);
  for (hessian* h : {&b, &d}) add_sequences(*h, x, 730, tokens, length);
  REQUIRE(a.merge(b));
  REQUIRE(d.merge(c));
  CHECK(a.shrinkage() == d.shrinkage());
  add_sequences(joined, x, 0, 730, length);
  joined.end_sequence();
  add_sequences(joined, x, 730, tokens, length);
  CHECK(nbit::abs(float(a.shrinkage() / joined.shrinkage()) - 1.0f) < 1e-4f);
}

TEST_CASE("a matrix can stand for statistics") {
  const std::size_t cols = 20;
  const hessian h = statistics(activations(256, cols, 4), cols);
  const std::vector<float> g = gram_of(h);
  auto again = hessian::from_mean({g.data(), cols, cols}, 256);
  REQUIRE(again);
  CHECK(gram_of(*again) == g);
  CHECK(again->shrinkage() == 0.0);
  CHECK_FALSE(hessian::from_mean({g.data(), 4, 5}, 1));
}
