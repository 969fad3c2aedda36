// tests/kernel/attention_test.cpp — a quantized KV cache, filled row by row, against sums in double.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/contract.hpp>
#include <support/random.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/attention.hpp>
#include <nbit/kernel/dequantize.hpp>

namespace {

template <class F>
void check_cache(std::size_t dims, const char* name) {
  INFO(name);
  nbit_test::random numbers(11);
  constexpr std::size_t positions = 40;
  const auto k = numbers.normals(positions * dims), v = numbers.normals(positions * dims), q = numbers.normals(dims);
  auto keys = nbit::packed_matrix<F>::make({positions, dims}), values = nbit::packed_matrix<F>::make({positions, dims});
  auto scratch = nbit::buffer<std::byte>::make(nbit::quantize_scratch_bytes<F>(dims));
  auto act = nbit::int8_activation_matrix<32>::make({1, dims});
  REQUIRE((keys && values && scratch && act));
  nbit::quantize_activations(nbit::matrix_view<const float>(q.data(), 1, dims), act->view());
  const float scale = 1.0f / std::sqrt(float(dims));
  for (std::size_t t = 0; t < positions; ++t) {
    REQUIRE(nbit::append_row({k.data() + t * dims, dims}, keys->span(), t, scratch->span()));
    REQUIRE(nbit::append_row({v.data() + t * dims, dims}, values->span(), t, scratch->span()));
    const std::size_t n = t + 1;
    if (n != 1 && n != 16 && n != 17 && n != positions) continue;
    std::vector<float> fk(positions * dims), fv(positions * dims), scores(positions, 9.0f), out(dims), first, first8;
    nbit::dequantize(keys->view(), {fk.data(), positions, dims});
    nbit::dequantize(values->view(), {fv.data(), positions, dims});
    // a row appended by itself is the row that quantize makes
    const auto whole = nbit::quantize<F>({k.data(), n, dims}, {.ragged = nbit::ragged_rows::pad});
    REQUIRE(whole);
    std::vector<float> again(n * dims);
    nbit::dequantize(whole->view(), {again.data(), n, dims});
    REQUIRE(std::memcmp(again.data(), fk.data(), again.size() * sizeof(float)) == 0);

    std::vector<double> p(n), exact(dims);
    double total = 0, top = -1e300;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t c = 0; c < dims; ++c) p[i] += double(fk[i * dims + c]) * double(q[c]);
      p[i] *= double(scale);
      top = std::fmax(top, p[i]);
    }
    for (double& x : p) x = std::exp(x - top), total += x;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t c = 0; c < dims; ++c) exact[c] += p[i] / total * double(fv[i * dims + c]);
    nbit::arch::for_each_runnable([&](auto tag) {
      nbit::attend(tag, std::span<const float>(q), keys->view(), values->view(), n, scale, scores, out);
      if (first.empty()) first = out;
      REQUIRE(out == first);
      for (std::size_t c = 0; c < dims; ++c) REQUIRE(std::fabs(double(out[c]) - exact[c]) < 1e-5);
      if (n < positions) REQUIRE(scores[n] == 9.0f);
      nbit::attend(tag, act->view(), keys->view(), values->view(), n, scale, scores, out);
      if (first8.empty()) first8 = out;
      REQUIRE(out == first8);
      for (std::size_t c = 0; c < dims; ++c) REQUIRE(std::fabs(double(out[c]) - exact[c]) < 0.1);  // q in 8 bits
    });
  }
}

}  // namespace

TEST_CASE("a cache of 8 and of 4 bits, heads of whole blocks and ragged ones") {
  check_cache<nbit::q8_0>(64, "Q8_0");
  check_cache<nbit::q4_0>(96, "Q4_0");
  check_cache<nbit::w8c>(40, "w8c");
}

TEST_CASE("plain f32 keys and values; equal scores give the mean") {
  const std::vector<float> k(3 * 2, 1.0f), v = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 9.0f}, q = {0.5f, 0.5f};
  std::vector<float> scores(3), out(2);
  nbit::attend(std::span<const float>(q), nbit::matrix_view<const float>(k.data(), 3, 2),
               nbit::matrix_view<const float>(v.data(), 3, 2), 3, 1.0f, scores, out);
  CHECK(out == std::vector<float>{3.0f, 5.0f});
}

TEST_CASE("a NaN row is refused by name, broken shapes tell the hook, a NaN score is seen") {
  auto cache = nbit::packed_matrix<nbit::q8_0>::make({2, 32});
  auto scratch = nbit::buffer<std::byte>::make(nbit::quantize_scratch_bytes<nbit::q8_0>(32));
  REQUIRE((cache && scratch));
  std::vector<float> row(32, 1.0f);
  row[7] = std::nanf("");
  const auto refused = nbit::append_row(row, cache->span(), 1, scratch->span());
  REQUIRE(!refused);
  CHECK(refused.error().code == nbit::errc::not_finite);
  CHECK(refused.error().col == 7);
  row[7] = 1.0f;
  std::vector<float> scores(2), out(32);
  const nbit_test::broken_contracts broken;
  CHECK(!nbit::append_row(row, cache->span(), 2, scratch->span()));
  nbit::attend(std::span<const float>(row), cache->view(), cache->view(), 3, 1.0f, scores, out);
  nbit::attend(std::span<const float>(row), cache->view(), cache->view(), 0, 1.0f, scores, out);
  CHECK(broken.count() == 3);
  REQUIRE(nbit::append_row(row, cache->span(), 0, scratch->span()));
  row[0] = std::nanf("");
  nbit::attend(std::span<const float>(row), cache->view(), cache->view(), 1, 1.0f, scores, out);
  for (const float x : out) CHECK(std::isnan(x));
}
