// tests/kernel/layout_kernels_test.cpp — every operation through every layout, codebooks, and a format of the user's
// own.
// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/split.hpp>
#include <nbit/layout/tiled.hpp>

namespace {

// Twenty lines from nothing: a format as a user would write it.
struct square_root_grid {
  static constexpr int bits = 3, group = 40;
  struct params {
    nbit::f16 top;
  };
  static params fit(std::span<const float> w, std::span<const float>) {
    float top = 0;
    for (const float v : w) top = std::fabs(v) > top ? std::fabs(v) : top;
    return {nbit::f16::from(top)};
  }
  static int code(float v, const params& p, int i) {
    int best = 0;
    for (int c = 1; c < 8; ++c)
      if (std::fabs(value(c, p, i) - v) < std::fabs(value(best, p, i) - v)) best = c;
    return best;
  }
  static float value(int c, const params& p, int) {
    const float level = static_cast<float>(2 * c - 7) / 7.0f;
    return float(p.top) * level * std::fabs(level);
  }
};
static_assert(nbit::grid_format<square_root_grid>);

}  // namespace

TEST_CASE("GPTQ words") { nbit_test::check_kernels<nbit::w4g128a, nbit::gptq_words>("gptq_words"); }
TEST_CASE("GPTQ words of three bits") { nbit_test::check_kernels<nbit::w3g64a, nbit::gptq_words>("gptq_words 3"); }
TEST_CASE("AWQ interleave") { nbit_test::check_kernels<nbit::w4g64, nbit::awq_interleave>("awq_interleave"); }
TEST_CASE("split nibbles") { nbit_test::check_kernels<nbit::w4g32, nbit::split_nibble>("split_nibble"); }
TEST_CASE("tiles of 16 rows") { nbit_test::check_kernels<nbit::w4g128, nbit::tiled<16>>("tiled<16>"); }
TEST_CASE("a k-quant taken apart into tiles") { nbit_test::check_kernels<nbit::q4_k, nbit::tiled<8>>("q4_k tiled<8>"); }
TEST_CASE("NF4") { nbit_test::check_kernels<nbit::nf4>("nf4"); }
TEST_CASE("FP4, levels in code order") { nbit_test::check_kernels<nbit::fp4>("fp4"); }
TEST_CASE("a format of the user's own") { nbit_test::check_kernels<square_root_grid>("square_root_grid"); }

TEST_CASE("reordered groups: columns find their group through the index") {
  nbit_test::random numbers(5);
  constexpr std::size_t rows = 9, cols = 128;
  using format = nbit::uniform<nbit::scheme{.bits = 4, .group = 32, .symmetry = nbit::symmetry::asymmetric}>;
  auto coded = nbit::coded_matrix<format>::make({rows, cols});
  auto index = nbit::buffer<std::uint32_t>::make(cols);
  REQUIRE((coded && index));
  for (std::size_t c = 0; c < cols; ++c) (*index)[c] = static_cast<std::uint32_t>(numbers.below(4));
  for (auto& code : coded->codes) code = static_cast<std::uint8_t>(numbers.below(16));
  for (auto& p : coded->params)
    p = {nbit::f16::from(numbers.uniform(0.01f, 0.1f)), static_cast<std::uint8_t>(numbers.below(16))};
  coded->group_index = *std::move(index);
  auto packed = nbit::pack_codes<nbit::gptq_words>(*coded);
  REQUIRE(packed);
  const auto x = numbers.normals(cols);
  std::vector<float> floats(rows * cols), first;
  nbit::dequantize(packed->view(), {floats.data(), rows, cols});
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c)
      REQUIRE(floats[r * cols + c] ==
              format::value(coded->row_codes(r)[c], coded->params[coded->params_index(r, coded->group_index[c])], 0));
  const auto sums = nbit_test::exact_product(floats, {x.begin(), x.end()}, rows, cols);
  nbit::arch::for_each_runnable([&](auto tag) {
    std::vector<float> y(rows);
    nbit::gemv(tag, packed->view(), std::span<const float>(x), std::span<float>(y));
    nbit_test::check_close(y.data(), sums);
    if (first.empty()) first = y;
    REQUIRE(nbit_test::same_bits(y, first));
  });
}
