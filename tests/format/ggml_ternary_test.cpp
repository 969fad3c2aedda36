// tests/format/ggml_ternary_test.cpp — TQ1_0 and TQ2_0 against reference bytes, and their own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_ternary.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("TQ1_0 and TQ2_0 encode and decode as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::tq1_0>("TQ1_0");
  nbit_test::compare_with_committed<nbit::tq2_0>("TQ2_0");
}

TEST_CASE("TQ1_0 and TQ2_0 agree with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::tq1_0, "TQ1_0");
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::tq2_0, "TQ2_0");
}

TEST_CASE("TQ2_0 keeps the promises of a block format") { nbit_test::check_block_format<nbit::tq2_0>(); }

// Its bytes hold base-3 numbers: 13 of 256 are never written, and there is no fourth code.
TEST_CASE("TQ1_0 keeps the promises of a block format for ternary codes") {
  using format = nbit::tq1_0;
  static_assert(nbit::grid_format<format> && nbit::block_format<format> && nbit::self_encoding<format>);
  nbit_test::random rng(34);
  nbit_test::check_hostile_groups<format>(rng);
  nbit_test::check_short_group<format>(rng);
  std::byte block[format::block_bytes], again[format::block_bytes];
  std::uint8_t codes[256], read[256];
  for (int turn = 0; turn < 50; ++turn) {
    for (std::uint8_t& c : codes) c = static_cast<std::uint8_t>(rng.below(3));
    const format::params p{nbit::f16::from_bits(static_cast<std::uint16_t>(rng.below(65536)))};
    format::store(block, p, codes);
    format::load_codes(block, read);
    REQUIRE(std::memcmp(codes, read, sizeof codes) == 0);
    const format::params q = format::load_params(block);
    REQUIRE(p.d.bits == q.d.bits);
    format::store(again, q, read);
    REQUIRE(std::memcmp(block, again, sizeof block) == 0);
    const std::vector<float> w = rng.normals(256, std::ldexp(1.0f, turn % 20 - 12));
    nbit_test::check_fitted_group<format>(w, {});
  }
}
