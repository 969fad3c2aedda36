// tests/format/ggml_lattice_properties.hpp — what every lattice format with blocks must do.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_FORMAT_GGML_LATTICE_PROPERTIES_HPP
#define NBIT_TESTS_FORMAT_GGML_LATTICE_PROPERTIES_HPP

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/format/concepts.hpp>

#include "support/random.hpp"

namespace nbit_test {

template <class F>
struct lattice_checks {
  static constexpr std::size_t step = std::size_t(F::step), count = 256 / step;
  using code = nbit::code_t<F>;
  using params = typename F::params;

  static double square(float v) { return static_cast<double>(v) * static_cast<double>(v); }
  static double error(const float* w, const params& p, int c, int at) {
    float v[step];
    F::value(c, p, at, v);
    double sum = 0;
    for (std::size_t i = 0; i < step; ++i) {
      const double d = static_cast<double>(v[i]) - static_cast<double>(w[i]);
      sum += d * d;
    }
    return sum;
  }

  /// Any bytes and any codes survive load and store.
  static void round_trip(random& rng) {
    for (int turn = 0; turn < 50; ++turn) {
      std::vector<std::byte> block = rng.bytes(F::block_bytes), again(F::block_bytes);
      const params p = F::load_params(block.data());
      code codes[count], read[count];
      F::load_codes(block.data(), codes);
      for (const code c : codes) REQUIRE(static_cast<std::uint64_t>(c) < std::uint64_t{1} << F::bits);
      F::store(again.data(), p, codes);
      REQUIRE(block == again);
      for (code& c : codes) c = static_cast<code>(rng.below(std::uint64_t{1} << F::bits));
      F::store(again.data(), p, codes);
      F::load_codes(again.data(), read);
      REQUIRE(std::memcmp(codes, read, sizeof codes) == 0);
      const params q = F::load_params(again.data());
      REQUIRE(std::memcmp(&p, &q, sizeof p) == 0);
    }
  }

  /// No random code is nearer than the one chosen, whatever the sign of the scales.
  static void nearest_code(random& rng) {
    for (int turn = 0; turn < 6; ++turn) {
      params p{};
      const std::vector<float> w = rng.normals(256);
      p = F::fit(w, {});
      if (turn % 2 == 1) p.d = nbit::f16::from_bits(static_cast<std::uint16_t>(p.d.bits ^ 0x8000u));
      for (std::size_t k = 0; k < count; ++k) {
        const int at = static_cast<int>(k * step);
        const float* x = w.data() + at;
        const int c = F::code(std::span<const float>(x, step), p, at);
        REQUIRE(c >= 0);
        REQUIRE(static_cast<std::uint64_t>(c) < std::uint64_t{1} << F::bits);
        const double chosen = error(x, p, c, at);
        for (int other = 0; other < 500; ++other)
          REQUIRE(chosen <= error(x, p, static_cast<int>(rng.below(std::uint64_t{1} << F::bits)), at) * 1.00001 + 1e-9);
        // nor one that differs in one bit
        for (int bit = 0; bit < F::bits; ++bit) REQUIRE(chosen <= error(x, p, c ^ 1 << bit, at) * 1.00001 + 1e-9);
      }
    }
  }

  /// Code picks at least as near a point as the encoder, which weighs; and exact points are found again.
  static void against_encoder(random& rng) {
    for (int turn = 0; turn < 20; ++turn) {
      const std::vector<float> w = rng.normals(256, std::ldexp(1.0f, turn - 12));
      const std::vector<float> importance = turn % 2 == 0 ? std::vector<float>{} : rng.uniforms(256, 0.0f, 2.0f);
      params p{};
      code codes[count];
      F::encode(w, importance, 0.0f, p, codes);
      const params fitted = F::fit(w, importance);
      REQUIRE(std::memcmp(&fitted, &p, sizeof p) == 0);
      double by_encoder = 0, by_code = 0, energy = 0;
      for (std::size_t k = 0; k < count; ++k) {
        const int at = static_cast<int>(k * step);
        by_encoder += error(w.data() + at, p, static_cast<int>(codes[k]), at);
        float v[step];
        const int c = F::code(std::span<const float>(w.data() + at, step), p, at);
        by_code += error(w.data() + at, p, c, at);
        F::value(c, p, at, v);
        REQUIRE(error(v, p, F::code(v, p, at), at) <= 1e-10 * (1e-30 + error(w.data() + at, p, c, at)));
        for (std::size_t i = 0; i < step; ++i) energy += square(w[k * step + i]);
      }
      REQUIRE(by_code <= by_encoder * 1.00001);
      REQUIRE(by_encoder < 0.6 * energy);
    }
  }

  static void hostile(random& rng) {
    std::vector<std::vector<float>> groups;
    for (const float v : {0.0f, -0.0f, 1e-40f, -1e-40f, 3.0f, -3.0f, 3e38f, -3e38f}) groups.emplace_back(256, v);
    for (const float s : {2e4f, 1e-20f, 1e-39f, 1e25f}) groups.push_back(rng.normals(256, s));
    for (std::size_t i = 0; i < 256; i += 32) {
      std::vector<float> one(256, 0.0f);
      one[i] = i % 64 == 0 ? -1.0f : 1.0f;
      groups.push_back(one);
    }
    const std::vector<float> none, zero(256, 0.0f), huge(256, 3e38f);
    for (const auto& w : groups) {
      for (const auto* importance : {&none, &zero, &huge}) {
        params p{};
        code codes[count];
        F::encode(w, *importance, 1.0f, p, codes);
        const bool modest = std::fabs(w[0]) < 1e6f && std::fabs(w[1]) < 1e6f && importance != &huge;
        for (std::size_t k = 0; k < count; ++k) {
          const int at = static_cast<int>(k * step);
          REQUIRE(static_cast<std::uint64_t>(codes[k]) < std::uint64_t{1} << F::bits);
          float v[step];
          F::value(static_cast<int>(codes[k]), p, at, v);
          for (const float x : v) REQUIRE((!modest || std::isfinite(x)));
          for (const float x : {w[static_cast<std::size_t>(at)], 0.0f, 3e38f, -3e38f}) {
            std::fill(v, v + step, x);
            const int c = F::code(v, p, at);
            REQUIRE(c >= 0);
            REQUIRE(static_cast<std::uint64_t>(c) < std::uint64_t{1} << F::bits);
          }
        }
      }
    }
  }

  static void short_group(random& rng) {
    constexpr std::size_t some = 128 + step;
    std::vector<float> w = rng.normals(some), padded = w;
    padded.resize(256, 0.0f);
    params p{}, q{};
    code codes[count], whole[count];
    std::memset(codes, 0xee, sizeof codes);
    F::encode(w, {}, 1.0f, p, std::span<code>(codes, some / step));
    F::encode(padded, {}, 1.0f, q, whole);
    REQUIRE(std::memcmp(&p, &q, sizeof p) == 0);
    REQUIRE(std::memcmp(codes, whole, some / step * sizeof(code)) == 0);
    for (std::size_t i = some / step; i < count; ++i) REQUIRE(codes[i] == static_cast<code>(0xeeeeeeeeu));
  }
};

template <class F>
void check_lattice_format() {
  static_assert(nbit::lattice_format<F> && nbit::block_format<F> && nbit::self_encoding<F> && F::group == 256);
  INFO(F::name);
  random rng(static_cast<std::uint64_t>(F::ggml_type) + 77);
  lattice_checks<F>::round_trip(rng);
  lattice_checks<F>::nearest_code(rng);
  lattice_checks<F>::against_encoder(rng);
  lattice_checks<F>::hostile(rng);
  lattice_checks<F>::short_group(rng);
}

}  // namespace nbit_test

#endif
