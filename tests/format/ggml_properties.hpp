// tests/format/ggml_properties.hpp — what every block format must do, on random and on hostile groups.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_FORMAT_GGML_PROPERTIES_HPP
#define NBIT_TESTS_FORMAT_GGML_PROPERTIES_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/base/float16.hpp>
#include <nbit/format/concepts.hpp>

#include "support/random.hpp"

namespace nbit_test {

/// Random codes and random (finite or not) parameter bytes survive store and load.
template <class F>
void check_round_trip(random& rng) {
  constexpr std::size_t n = static_cast<std::size_t>(F::group);
  for (int turn = 0; turn < 50; ++turn) {
    std::vector<std::byte> block = rng.bytes(F::block_bytes), again(F::block_bytes);
    const typename F::params p = F::load_params(block.data());
    std::uint8_t codes[n], read[n];
    F::load_codes(block.data(), codes);
    for (const std::uint8_t c : codes) REQUIRE(static_cast<int>(c) < 1 << F::bits);
    F::store(again.data(), p, codes);
    if constexpr (F::ggml_type != 15) REQUIRE(block == again);  // Q8_K also stores sums that follow from the codes
    for (std::uint8_t& c : codes) c = static_cast<std::uint8_t>(rng.below(std::uint64_t{1} << F::bits));
    F::store(again.data(), p, codes);
    F::load_codes(again.data(), read);
    REQUIRE(std::memcmp(codes, read, n) == 0);
    const typename F::params q = F::load_params(again.data());
    REQUIRE(std::memcmp(&p, &q, sizeof p) == 0);
  }
}

template <class F>
double squared_error(std::span<const float> w, const typename F::params& p, std::span<const std::uint8_t> codes) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double d = static_cast<double>(F::value(codes[i], p, static_cast<int>(i))) - static_cast<double>(w[i]);
    sum += d * d;
  }
  return sum;
}

template <class F>
void check_fitted_group(const std::vector<float>& w, const std::vector<float>& importance) {
  constexpr std::size_t n = static_cast<std::size_t>(F::group);
  typename F::params p{};
  std::uint8_t by_encode[n], by_code[n];
  double mean_square = 0;
  for (const float v : w) mean_square += static_cast<double>(v) * static_cast<double>(v) / static_cast<double>(n);
  F::encode(w, importance, static_cast<float>(mean_square), p, by_encode);
  const typename F::params fitted = F::fit(w, importance);
  for (std::size_t i = 0; i < n; ++i) {
    const int at = static_cast<int>(i), c = F::code(w[i], fitted, at);
    REQUIRE((c >= 0 && c < 1 << F::bits));
    by_code[i] = static_cast<std::uint8_t>(c);
    const float v = F::value(c, fitted, at);
    // No other code may be nearer than the one chosen, but for the last bits of the division.
    const float error = std::fabs(v - w[i]);
    for (int other = 0; other < 1 << F::bits; ++other)
      REQUIRE(error <= std::fabs(F::value(other, fitted, at) - w[i]) * 1.0001f + 1e-5f * std::fabs(w[i]) + 1e-30f);
    if constexpr (nbit::integer_format<F>) {
      const int s = at / F::run;
      REQUIRE(F::level(c) >= -128);
      REQUIRE(F::level(c) <= 127);
      const double scaled = static_cast<double>(F::scale(fitted, s)) * F::level(c),
                   off = static_cast<double>(F::offset(fitted, s));
      REQUIRE(std::fabs(scaled + off - static_cast<double>(v)) <= 1.2e-7 * (std::fabs(scaled) + std::fabs(off)));
      if (F::symmetric) REQUIRE(F::offset(fitted, s) == 0.0f);
    }
  }
  REQUIRE(squared_error<F>(w, fitted, by_code) <= 1.3 * squared_error<F>(w, p, by_encode) + 1e-12);
}

/// Groups that break careless encoders: the parameters stay finite and every code in range.
template <class F>
void check_hostile_groups(random& rng) {
  constexpr std::size_t n = static_cast<std::size_t>(F::group);
  const std::vector<float> none, zero_importance(n, 0.0f);
  std::vector<std::vector<float>> groups;
  groups.push_back(std::vector<float>(n, 0.0f));
  groups.push_back(std::vector<float>(n, -0.0f));
  groups.push_back(std::vector<float>(n, 1e-40f));
  groups.push_back(std::vector<float>(n, -1e-40f));
  groups.push_back(std::vector<float>(n, 3.0f));
  groups.push_back(std::vector<float>(n, -3.0f));
  groups.push_back(rng.normals(n, 2e4f));
  groups.push_back(rng.normals(n, 1e-20f));
  groups.push_back(rng.normals(n, 1e-39f));
  for (std::size_t i = 0; i < n; i += n / 8) {
    std::vector<float> one(n, 0.0f);
    one[i] = i % (n / 4) == 0 ? -1.0f : 1.0f;
    groups.push_back(one);
  }
  for (const auto& w : groups) {
    for (const auto* importance : {&none, &zero_importance}) {
      typename F::params p{};
      std::uint8_t codes[n];
      F::encode(w, *importance, 1.0f, p, codes);
      const typename F::params fitted = F::fit(w, *importance);
      for (std::size_t i = 0; i < n; ++i) {
        const int at = static_cast<int>(i);
        REQUIRE(static_cast<int>(codes[i]) < 1 << F::bits);
        REQUIRE(std::isfinite(F::value(codes[i], p, at)));
        for (const float v : {w[i], 0.0f, 3e38f, -3e38f}) {
          const int c = F::code(v, fitted, at);
          REQUIRE((c >= 0 && c < 1 << F::bits));
        }
      }
    }
  }
}

/// A short group is encoded as if zeros followed, and writes no code beyond its end.
template <class F>
void check_short_group(random& rng) {
  constexpr std::size_t n = static_cast<std::size_t>(F::group), some = n / 2 + 3;
  std::vector<float> w = rng.normals(some), padded = w;
  padded.resize(n, 0.0f);
  typename F::params p{}, q{};
  std::uint8_t codes[n + 1], whole[n];
  std::memset(codes, 0xee, sizeof codes);
  F::encode(w, {}, 1.0f, p, std::span<std::uint8_t>(codes, some));
  F::encode(padded, {}, 1.0f, q, whole);
  REQUIRE(std::memcmp(&p, &q, sizeof p) == 0);
  REQUIRE(std::memcmp(codes, whole, some) == 0);
  for (std::size_t i = some; i <= n; ++i) REQUIRE(codes[i] == 0xee);
}

template <class F>
void check_block_format() {
  static_assert(nbit::grid_format<F> && nbit::block_format<F> && nbit::self_encoding<F>);
  INFO(F::name);
  random rng(static_cast<std::uint64_t>(F::ggml_type) + 77);
  check_round_trip<F>(rng);
  check_hostile_groups<F>(rng);
  check_short_group<F>(rng);
  for (int turn = 0; turn < 20; ++turn) {
    const std::size_t n = static_cast<std::size_t>(F::group);
    const std::vector<float> w = rng.normals(n, std::ldexp(1.0f, turn - 12));
    check_fitted_group<F>(w, {});
    check_fitted_group<F>(w, rng.uniforms(n, 0.0f, 2.0f));
  }
}

}  // namespace nbit_test

#endif
