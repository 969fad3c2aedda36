// tests/format/ggml_nvfp4_test.cpp — NVFP4 against reference bytes, and its own properties.
// SPDX-License-Identifier: MIT
#include <nbit/format/ggml_nvfp4.hpp>

#include "format/ggml_golden.hpp"
#include "format/ggml_properties.hpp"

TEST_CASE("NVFP4 encodes and decodes as the reference does, to the bit") {
  nbit_test::compare_with_committed<nbit::nvfp4>("NVFP4");
}

TEST_CASE("NVFP4 agrees with all reference cases of the data folder") {
  NBIT_COMPARE_WITH_DATA_FOLDER(nbit::nvfp4, "NVFP4");
}

TEST_CASE("NVFP4 keeps the promises of a block format") { nbit_test::check_block_format<nbit::nvfp4>(); }

TEST_CASE("the scales of NVFP4 round halves up and hold at 448") {
  for (int code = 1; code < 0x7f; ++code) {
    const nbit::nvfp4_params p{{static_cast<std::uint8_t>(code), 0, 0x7f, 0x80}};
    const float v = 2.0f * p.step(0);
    // From 256 on the reference knows only 448, and 7.5 steps below the least normal number are held at 7.
    CHECK(nbit::ggml_block::ue4m3_code(v) == (code < 0x78 ? code : 0x7e));
    CHECK(p.step(1) == 0.0f);
    CHECK(p.step(2) == 0.0f);
    CHECK(p.step(3) == 0.0f);
  }
  CHECK(nbit::ggml_block::ue4m3_code(1.0625f) == nbit::ggml_block::ue4m3_code(1.125f));
  CHECK(nbit::ggml_block::ue4m3_code(1.0624f) == nbit::ggml_block::ue4m3_code(1.0f));
  CHECK(nbit::ggml_block::ue4m3_code(0.0f) == 0);
  CHECK(nbit::ggml_block::ue4m3_code(0x1p-11f) == 0);
  CHECK(nbit::ggml_block::ue4m3_code(0x1p-10f) == 1);
  CHECK(nbit::ggml_block::ue4m3_code(0.0156f) == 7);
  CHECK(nbit::ggml_block::ue4m3_code(1e30f) == 0x7e);
}
