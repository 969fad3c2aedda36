// tests/io/compressed_floats_test.cpp — NVFP4, MXFP4 and FP8 checkpoints of compressed-tensors, there and back.
// SPDX-License-Identifier: MIT
#include <nbit/io/compressed_floats.hpp>

#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <string>
#include <vector>

#include <nbit/tensor/repack.hpp>

#include "io/checkpoints.hpp"

namespace {

using nbit::errc;
using nbit::safetensors::dtype;
using nbit_test::checkpoint;

struct fp8_rows : nbit::float_codes<nbit::f8_e4m3, nbit::per_row, nbit::scale_type::f32> {};

nbit::ct_fp4_linear fp4_of(const checkpoint& c) {
  return {c.tensor("weight_packed"), c.tensor("weight_scale"), c.tensor("weight_global_scale")};
}

void check_same(const nbit::ct_fp4_tensors& packed, const nbit::ct_fp4_linear& file) {
  CHECK(nbit_test::same_tensor(packed.weight_packed, file.weight_packed));
  CHECK(nbit_test::same_tensor(packed.weight_scale, file.weight_scale));
  CHECK(nbit_test::same_tensor(packed.weight_global_scale, file.weight_global_scale));
}

}  // namespace

TEST_CASE("NVFP4 checkpoints decode to the peer's values and pack to the same bytes") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("ct_nvfp4")) {
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const auto read = nbit::unpack_ct_nvfp4(fp4_of(c));
    REQUIRE(read);
    const auto scaled = nbit::scaled_nvfp4(*read);
    REQUIRE(scaled);
    CHECK(nbit_test::begins_with(nbit_test::values_of(*scaled), c.expected<float>("weight_f32")));
    const auto packed = nbit::pack_ct_nvfp4(*read);
    REQUIRE(packed);
    check_same(*packed, fp4_of(c));
    ++folders;
  }
  CHECK(folders >= 1);
}

TEST_CASE(
    "MXFP4 checkpoints decode to the peer's values, pack to the same bytes, and are ggml's blocks in other order") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("ct_mxfp4")) {
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const auto read = nbit::unpack_ct_mxfp4(fp4_of(c));
    REQUIRE(read);
    CHECK(nbit_test::begins_with(nbit_test::values_of(*read), c.expected<float>("weight_f32")));
    const auto blocks = nbit::pack_codes<nbit::blocks>(*read);
    REQUIRE(blocks);
    const auto back = nbit::unpack_codes(blocks->view());
    REQUIRE(back);
    const auto packed = nbit::pack_ct_mxfp4(*back);
    REQUIRE(packed);
    check_same(*packed, fp4_of(c));
    ++folders;
  }
  CHECK(folders >= 1);
}

TEST_CASE("FP8 checkpoints decode to the peer's values and pack to the same bytes") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("ct_fp8_channel")) {
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const nbit::ct_linear file{c.tensor("weight"), c.tensor("weight_scale"), {}, {}, {}};
    const auto read = nbit::unpack_ct_fp8<fp8_rows>(file);
    REQUIRE(read);
    CHECK(nbit_test::begins_with(nbit_test::values_of(*read), c.expected<float>("weight_f32")));
    const auto packed = nbit::pack_ct_fp8(*read);
    REQUIRE(packed);
    CHECK(nbit_test::same_tensor(packed->weight, file.weight));
    CHECK(nbit_test::same_tensor(packed->weight_scale, file.weight_scale));
    // rounding the decoded values finds the codes again, but for the sign of zeros
    const auto values = nbit_test::values_of(*read);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto& p = read->params[i / read->cols];
      const int code = fp8_rows::code(values[i], p, 0);
      REQUIRE(fp8_rows::value(code, p, 0) == values[i]);
    }
    nbit::ct_linear bad = file;
    std::vector<std::byte> weight(file.weight.bytes.begin(), file.weight.bytes.end());
    weight[read->cols + 2] = std::byte{0xff};
    bad.weight.bytes = weight;
    const auto refused = nbit::unpack_ct_fp8<fp8_rows>(bad);
    REQUIRE_FALSE(refused);
    CHECK((refused.error().code == errc::not_finite && refused.error().row == 1 && refused.error().col == 2));
    bad = file, bad.weight_scale.type = dtype::bf16;
    CHECK(nbit::unpack_ct_fp8<fp8_rows>(bad).error().code == errc::malformed);
    ++folders;
  }
  CHECK(folders >= 1);
}

TEST_CASE("damaged tensors of four-bit floats are refused with the tensor and the place") {
  nbit::ct_nvfp4 q;
  auto weights = nbit::coded_matrix<nbit::nvfp4_codes>::make({3, 48});
  REQUIRE(weights);
  for (auto& p : weights->params) p.scale = nbit::f8_e4m3::from(2.0f);
  q.weights = *std::move(weights), q.global_scale = 100.0f;
  auto packed = nbit::pack_ct_nvfp4(q);
  REQUIRE(packed);
  const auto refused = [&](const char* name, auto&& change) {
    nbit::ct_fp4_linear view = packed->view();
    change(view);
    const auto read = nbit::unpack_ct_nvfp4(view);
    REQUIRE_FALSE(read);
    CHECK(std::string(read.error().subject).rfind(name, 0) == 0);
    return read.error();
  };
  using linear = nbit::ct_fp4_linear;
  CHECK(refused("weight_packed", [](linear& l) { l.weight_packed = {}; }).code == errc::missing);
  CHECK(refused("weight_packed", [](linear& l) { l.weight_packed.type = dtype::i8; }).code == errc::malformed);
  CHECK(refused("weight_packed", [](linear& l) {
          l.weight_packed.shape[1] = 20;
          l.weight_packed.bytes = l.weight_packed.bytes.first(60);
        }).found == 40);
  CHECK(refused("weight_scale", [](linear& l) { l.weight_scale.type = dtype::u8; }).code == errc::malformed);
  CHECK(refused("weight_global_scale", [](linear& l) { l.weight_global_scale = {}; }).code == errc::missing);
  for (const std::uint32_t bits : {0u, 0x7fc00000u, 0x7f800000u, 0xbf800000u}) {
    std::byte global[4];
    nbit::store_u32(global, bits);
    CHECK(refused("weight_global_scale", [&](linear& l) { l.weight_global_scale.bytes = global; }).code ==
          (bits == 0 || bits == 0xbf800000u ? errc::malformed : errc::not_finite));
  }
  packed->weight_scale.bytes[4] = std::byte{0x7f};
  auto nan = refused("weight_scale", [](linear&) {});
  CHECK((nan.code == errc::not_finite && nan.row == 1 && nan.col == 1));
  packed->weight_scale.bytes[4] = std::byte{0xb8};
  CHECK(refused("weight_scale", [](linear&) {}).code == errc::malformed);

  auto mx = nbit::coded_matrix<nbit::mxfp4>::make({2, 64});
  REQUIRE(mx);
  auto mx_packed = nbit::pack_ct_mxfp4(*mx);
  REQUIRE(mx_packed);
  CHECK(nbit::unpack_ct_mxfp4(mx_packed->view()));
  mx_packed->weight_scale.bytes[3] = std::byte{0xff};
  const auto mx_refused = nbit::unpack_ct_mxfp4(mx_packed->view());
  REQUIRE_FALSE(mx_refused);
  CHECK((mx_refused.error().code == errc::not_finite && mx_refused.error().row == 1 && mx_refused.error().col == 1));
}

TEST_CASE("codes that are small floats fit the largest weight of a group and never become NaN or infinite") {
  using F = nbit::float_codes<nbit::f8_e5m2, 32, nbit::scale_type::f32>;
  const std::vector<float> w = {-3.0f, 1.5f, 1e-20f, 0.0f};
  const auto p = F::fit(w, {});
  CHECK(F::value(F::code(-3.0f, p, 0), p, 0) == -3.0f);
  CHECK(F::code(100.0f, p, 0) == 0x7b);
  CHECK(F::code(-100.0f, p, 0) == 0xfb);
  CHECK(F::code(1.0f, {0.0f}, 0) == 0);
  CHECK(nbit::grid_format<nbit::nvfp4_codes>);
}
