// tests/kernel/memory_bound_test.cpp — texts of their own for matrices larger than the caches: rows stored past them,
// groups rounded by their range; both give the definition's bits, on every instruction set.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/arch/cpu.hpp>
#include <nbit/kernel/dequantize.hpp>
#include <nbit/kernel/quantize.hpp>

namespace {

using nbit::scheme;
using nbit::symmetry;
struct w3 : nbit::uniform<scheme{.bits = 3, .group = 64, .symmetry = symmetry::asymmetric_float}> {};
struct w2 : nbit::uniform<scheme{.bits = 2, .group = 64, .symmetry = symmetry::asymmetric}> {};
struct w7 : nbit::uniform<scheme{.bits = 7, .group = 48, .symmetry = symmetry::full_range}> {};
struct w5 : nbit::uniform<scheme{.bits = 5, .group = nbit::per_row, .symmetry = symmetry::gptq}> {};
struct w4 : nbit::uniform<scheme{.bits = 4, .group = 100, .symmetry = symmetry::asymmetric}> {};
struct w8 : nbit::uniform<scheme{
                .bits = 8, .group = 128, .symmetry = symmetry::asymmetric, .scale = nbit::scale_type::bf16}> {};
// Derived types may replace a question; the fast text must then ask them.
struct floor4 : nbit::uniform<scheme{.bits = 4, .group = 32}> {
  static int code(float v, const params& p, int) {
    const float s = float(p.scale);
    return s == 0.0f ? half : nbit::round_clamped(std::floor(v / s), -half, half - 1) + half;
  }
};

template <class F, class L = nbit::default_layout<F>>
void check_streams(const char* name, std::size_t rows = 3) {
  nbit_test::random numbers(3);
  for (const std::size_t cols : {std::size_t{256}, std::size_t{1280}, std::size_t{300}, std::size_t{2720}}) {
    if (!nbit::fits_format<F>(cols)) continue;
    const auto w = numbers.normals(rows * cols, 0.1f);
    const auto q = nbit::quantize<F, L>(nbit::arch::scalar{}, {w.data(), rows, cols});
    REQUIRE(q);
    std::vector<float> expected(rows * cols);
    nbit::dequantize(nbit::arch::scalar{}, q->view(), {expected.data(), rows, cols});
    nbit::arch::for_each_runnable([&](auto tag) {
      using arch = decltype(tag);
      using weights = nbit::weights_t<decltype(q->view())>;
      if constexpr (requires(const weights& v, nbit::matrix_view<float> to) {
                      nbit::detail::dequantize_rows_streamed<arch>(v, 0, 0, to);
                    }) {
        for (std::size_t shift = 0; shift < 16; ++shift) {
          std::vector<float> memory(rows * cols + 48, -1.0f);
          std::size_t at = shift;  // from a cache line on
          while (reinterpret_cast<std::uintptr_t>(memory.data() + at - shift) % 64 != 0) ++at;
          if (shift * sizeof(float) % nbit::past_caches<arch>::alignment != 0) continue;
          if (cols * sizeof(float) % nbit::past_caches<arch>::alignment != 0) continue;
          nbit::detail::dequantize_rows_streamed<arch>(weights(q->view()), 0, rows,
                                                       nbit::matrix_view<float>(memory.data() + at, rows, cols));
          INFO(name << " " << arch::name << " " << cols << " columns, " << shift << " floats into a line");
          REQUIRE(std::memcmp(memory.data() + at, expected.data(), expected.size() * sizeof(float)) == 0);
          bool kept = true;
          for (std::size_t i = 0; i < memory.size(); ++i)
            kept = kept && (memory[i] == -1.0f || (i >= at && i < at + rows * cols));
          REQUIRE(kept);
        }
      }
    });
  }
}

// A number halfway between two levels of NF4, or a neighbour.
float nf4_middle(std::size_t i, std::size_t side) {
  const float middle = nbit::detail::order_levels(nbit::nf4::levels).middle[i];
  return side == 0 ? middle : std::nextafter(middle, side == 1 ? 2.0f : -2.0f);
}

// The same for MXFP4, in halves of its unit, with either sign.
float mxfp4_middle(std::size_t i) {
  constexpr float middle[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};
  const std::size_t side = i / 7 % 3;
  const float v = side == 0 ? middle[i % 7] : std::nextafter(middle[i % 7], side == 1 ? 20.0f : 0.0f);
  return i / 21 % 2 == 0 ? v : -v;
}

// Rows that rounding by products and ranges by vectors could get wrong.
std::vector<float> awkward(std::size_t cols, nbit_test::random& numbers) {
  constexpr int kinds = 16;
  auto x = numbers.normals(std::size_t(kinds) * cols, 0.3f);
  for (std::size_t i = 0; i < x.size(); ++i) {
    float& v = x[i];
    switch (i / cols) {
      case 0: v = std::nearbyint(v * 8.0f) / 8.0f; break;  // ties
      case 1: v = 0.0f; break;
      case 2: v = -0.0f; break;
      case 3: v = i % 2 != 0 ? 2.5f : -2.5f; break;  // two of the largest magnitude
      case 4: v = i % 2 != 0 ? -2.5f : 2.5f; break;
      case 5: v = std::fabs(v); break;
      case 6: v = i % 3 != 0 ? 0.0f : -0.0f; break;
      case 7: v = i % 5 != 0 ? std::fabs(v) : -0.0f; break;
      case 8: v *= 1e-40f; break;  // scales that are subnormal or 0
      case 9: v *= 1e38f; break;
      case 10: v = 0.7f; break;
      case 11: v = 1000.0f + v; break;  // far from 0
      case 12: v = i % cols % 16 == 0 ? 1.0f : nf4_middle(i % 15, i / 15 % 3); break;
      case 13: v = i % cols % 32 == 0 ? 15.9f : mxfp4_middle(i); break;
      case 14: v = i % cols % 32 == 0 ? -8.0f : mxfp4_middle(i) * 0.999f; break;
      default: break;
    }
  }
  return x;
}

template <class F>
void check_rounding(const char* name) {
  nbit_test::random numbers(4);
  for (const std::size_t cols : {std::size_t{512}, std::size_t{352}, std::size_t{200}, std::size_t{21}}) {
    if (!nbit::fits_format<F>(cols)) continue;
    const auto x = awkward(cols, numbers);
    const nbit::matrix_view<const float> w(x.data(), x.size() / cols, cols);
    const auto expected = nbit::quantize<F>(nbit::arch::scalar{}, w);
    REQUIRE(expected);
    nbit::arch::for_each_runnable([&](auto tag) {
      const auto q = nbit::quantize<F>(tag, w);
      REQUIRE(q);
      INFO(name << " " << decltype(tag)::name << " " << cols << " columns");
      REQUIRE(std::memcmp(q->bytes.data(), expected->bytes.data(), expected->bytes.size()) == 0);
    });
  }
}

}  // namespace

TEST_CASE("rows stored past the caches have the same bits wherever they begin, and nothing beside them changes") {
  check_streams<nbit::q4_1>("Q4_1");
  check_streams<nbit::q5_0>("Q5_0");
  check_streams<nbit::q5_1>("Q5_1");
  check_streams<nbit::mxfp4>("MXFP4");
  check_streams<nbit::nvfp4>("NVFP4");
  check_streams<nbit::q3_k>("Q3_K");
  check_streams<nbit::iq1_m>("IQ1_M");
  check_streams<nbit::w4g128>("w4g128");
  check_streams<w8>("w8");
  check_streams<w7>("w7");
  check_streams<w2>("w2");
  check_streams<nbit::nf4>("NF4");
  check_streams<nbit::w4g128a, nbit::gptq_words>("w4g128a in words", 35);
  check_streams<w3, nbit::gptq_words>("w3 in words", 16);
  check_streams<w5, nbit::gptq_words>("w5 in words", 17);
  check_streams<w8, nbit::gptq_words>("w8 in words", 19);
}

TEST_CASE("weights rounded by the range of their group have the definition's codes") {
  check_rounding<nbit::w4g128>("w4g128");
  check_rounding<w3>("w3");
  check_rounding<w4>("w4");
  check_rounding<w5>("w5");
  check_rounding<w7>("w7");
  check_rounding<w8>("w8");
  check_rounding<nbit::nf4>("NF4");
  check_rounding<nbit::fp4>("FP4");
  check_rounding<floor4>("floor4");
  check_rounding<nbit::q4_0>("Q4_0");
  check_rounding<nbit::q5_1>("Q5_1");
  check_rounding<nbit::mxfp4>("MXFP4");
}
