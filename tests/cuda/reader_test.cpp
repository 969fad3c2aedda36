// Kernels' readers give the bits of the formats' own members, on random bytes: codes that no encoder emits too.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstring>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/cuda/reader.hpp>

#include "support/random.hpp"

namespace {

bool same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

template <class F>
void check_blocks(const char* name) {
  INFO(name);
  using view = nbit::packed_view<F, nbit::blocks>;
  static_assert(nbit::cuda::weight_reader<view>::own);
  constexpr std::size_t blocks = 200, cols = blocks * std::size_t(F::group);
  nbit_test::random numbers(7);
  std::vector<std::uint64_t> memory(blocks * F::block_bytes / 8 + 1);  // aligned as device memory is
  for (auto& word : memory) word = numbers.bits();
  const auto* const bytes = reinterpret_cast<const std::byte*>(memory.data());
  const view w(std::span(bytes, blocks * F::block_bytes), {1, cols});
  for (std::size_t b = 0; b < blocks; ++b) {
    constexpr int unit = nbit::cuda::weight_reader<view>::unit;
    float expected[F::group], found[unit];
    nbit::cuda::reader_detail::whole_block<F>(bytes + b * F::block_bytes, expected);
    for (std::size_t i = 0; i < std::size_t(F::group); i += unit) {
      nbit::cuda::weight_reader<view>::read(w, 0, b * std::size_t(F::group) + i, found);
      for (std::size_t k = 0; k < unit; ++k) {
        INFO("block " << b << ", weight " << i + k << ": " << found[k] << " for " << expected[i + k]);
        REQUIRE(same(found[k], expected[i + k]));
      }
    }
  }
}

}  // namespace

TEST_CASE("eight codes of a block, or sixteen points, and their scale are what the format decodes") {
  check_blocks<nbit::q4_0>("Q4_0");
  check_blocks<nbit::q4_1>("Q4_1");
  check_blocks<nbit::q5_0>("Q5_0");
  check_blocks<nbit::q5_1>("Q5_1");
  check_blocks<nbit::q8_0>("Q8_0");
  check_blocks<nbit::q1_0>("Q1_0");
  check_blocks<nbit::q2_0>("Q2_0");
  check_blocks<nbit::tq1_0>("TQ1_0");
  check_blocks<nbit::tq2_0>("TQ2_0");
  check_blocks<nbit::q2_k>("Q2_K");
  check_blocks<nbit::q3_k>("Q3_K");
  check_blocks<nbit::q4_k>("Q4_K");
  check_blocks<nbit::q5_k>("Q5_K");
  check_blocks<nbit::q6_k>("Q6_K");
  check_blocks<nbit::iq4_nl>("IQ4_NL");
  check_blocks<nbit::iq4_xs>("IQ4_XS");
  check_blocks<nbit::mxfp4>("MXFP4");
  check_blocks<nbit::nvfp4>("NVFP4");
  check_blocks<nbit::iq1_s>("IQ1_S");
  check_blocks<nbit::iq1_m>("IQ1_M");
  check_blocks<nbit::iq2_xxs>("IQ2_XXS");
  check_blocks<nbit::iq2_xs>("IQ2_XS");
  check_blocks<nbit::iq2_s>("IQ2_S");
  check_blocks<nbit::iq3_xxs>("IQ3_XXS");
  check_blocks<nbit::iq3_s>("IQ3_S");
}
