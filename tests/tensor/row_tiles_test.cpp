// tests/tensor/row_tiles_test.cpp — row tiles hold the numbers of every tileable format exactly.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstring>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <support/random.hpp>
#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/tensor/row_tiles.hpp>
#include <nbit/kernel/decode.hpp>
#include <nbit/kernel/row_tiles.hpp>

namespace {

using nbit::scale_type;
using nbit::scheme;
using nbit::symmetry;
struct w1 : nbit::uniform<scheme{.bits = 1, .group = 64}> {};
struct w2 : nbit::uniform<scheme{.bits = 2, .group = 32, .symmetry = symmetry::full_range, .scale = scale_type::bf16}> {
};
struct w5 : nbit::uniform<scheme{.bits = 5, .group = 48, .symmetry = symmetry::gptq, .scale = scale_type::f32}> {};
struct w6 : nbit::uniform<scheme{.bits = 6, .group = 16, .scale = scale_type::f8_e4m3}> {};
struct w7 : nbit::uniform<scheme{.bits = 7, .group = nbit::per_row, .symmetry = symmetry::asymmetric_float}> {};
struct w8a : nbit::uniform<scheme{.bits = 8, .group = 512, .symmetry = symmetry::asymmetric}> {};
struct w8t : nbit::uniform<scheme{.bits = 8, .group = nbit::per_tensor, .scale = scale_type::e8m0}> {};

struct log3 : nbit::codebook<log3, 3, 48> {
  static constexpr std::array<float, 8> levels = {-1, -0.5f, -0.25f, -0.0f, 0.125f, 0.25f, 0.5f, 1};
};
struct log5 : nbit::codebook<log5, 5, 32> {
  static constexpr std::array<float, 32> levels = {};
};
static_assert(nbit::tileable<nbit::nf4> && nbit::form_of<nbit::nf4>.floats && !nbit::tileable<log5>, "up to 4 bits");
static_assert(nbit::form_of<nbit::w4g128> == nbit::form_of<nbit::uniform<scheme{.bits = 4, .group = 128}>>);
static_assert(nbit::form_of<nbit::q4_k>.tile_bytes(256) == 16 * 148, "4.625 bits a weight");

int cells = 0;

/// Random codes and parameters of a format, as its own encoder makes them.
template <class F, class L>
nbit::packed_matrix<F, L> some_weights(nbit::shape s, std::uint64_t seed) {
  nbit_test::random numbers(seed);
  const std::size_t cols = nbit::groups_per_row<F>(s.cols) * nbit::group_length<F>(s.cols);
  auto coded = nbit::coded_matrix<F>::make(s);
  REQUIRE(coded);
  for (std::size_t r = 0; r < s.rows; ++r)
    for (std::size_t g = 0; g < nbit::groups_per_row<F>(s.cols); ++g) {
      const std::size_t length = nbit::group_length<F>(s.cols), first = g * length;
      const auto w = numbers.normals(cols < length ? cols : length, 0.05f);
      const auto p = F::fit(w, {});
      coded->params[coded->params_index(r, g)] = p;
      for (std::size_t i = 0; i < length && first + i < s.cols; ++i)
        coded->row_codes(r)[first + i] = static_cast<std::uint8_t>(F::code(w[i], p, static_cast<int>(i)));
    }
  auto packed = nbit::pack_codes<L>(*coded);
  REQUIRE(packed);
  return *std::move(packed);
}

/// The same decoded weights, bit for bit.
template <class F, class L = nbit::default_layout<F>>
void check(const char* name) {
  INFO(name);
  for (const nbit::shape s : {nbit::shape{1, 1}, {17, 96}, {5, 300}, {3, 1024}}) {
    INFO(s.rows << " x " << s.cols);
    const auto q = some_weights<F, L>(s, s.cols);
    auto t = nbit::packed_matrix<F, nbit::row_tiles>::make(s);
    REQUIRE(t);
    for (std::size_t i = t->span().tiles(); i-- > 0;) nbit::detail::store_tile<F, L>(q.view(), t->span(), i);
    const auto tiles = t->view();
    const auto blocks = q.view();
    using from = nbit::row_decoder<nbit::arch::scalar, nbit::packed_view<F, L>>;
    using to = nbit::row_decoder<nbit::arch::scalar, nbit::packed_view<F, nbit::row_tiles>>;
    for (std::size_t r = 0; r < s.rows; ++r)
      for (std::size_t c = 0; c < s.cols; c += 256) {
        const std::size_t n = s.cols - c < 256 ? s.cols - c : 256;
        float expected[256], found[256];
        from::floats(blocks, r, c, n, expected);
        to::floats(tiles, r, c, n, found);
        REQUIRE(std::memcmp(expected, found, n * sizeof(float)) == 0);
      }
    ++cells;
  }
}

}  // namespace

TEST_CASE("row tiles hold every tileable format exactly") {
  check<w1>("w1"), check<w2>("w2"), check<nbit::w3g64a>("w3g64a");
  check<nbit::w4g128a, nbit::gptq_words>("w4g128a"), check<w5>("w5"), check<w6>("w6");
  check<w7>("w7"), check<w8a>("w8a"), check<w8t>("w8t");
  check<nbit::q4_0>("Q4_0"), check<nbit::q4_1>("Q4_1"), check<nbit::q5_0>("Q5_0");
  check<nbit::q5_1>("Q5_1"), check<nbit::q8_0>("Q8_0"), check<nbit::q2_k>("Q2_K");
  check<nbit::q3_k>("Q3_K"), check<nbit::q4_k>("Q4_K"), check<nbit::q5_k>("Q5_K");
  check<nbit::q6_k>("Q6_K"), check<nbit::q8_k>("Q8_K"), check<nbit::iq4_nl>("IQ4_NL");
  check<nbit::iq4_xs>("IQ4_XS"), check<nbit::mxfp4>("MXFP4"), check<nbit::nvfp4>("NVFP4");
  check<nbit::tq1_0>("TQ1_0"), check<nbit::tq2_0>("TQ2_0"), check<nbit::q1_0>("Q1_0");
  check<nbit::q2_0>("Q2_0"), check<nbit::nf4>("NF4"), check<nbit::fp4>("FP4"), check<log3>("log3");
  std::printf("row tiles: %d storage cells\n", cells);
}
