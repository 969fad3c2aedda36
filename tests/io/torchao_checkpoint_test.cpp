// tests/io/torchao_checkpoint_test.cpp — torchao's tile-packed int4: codes, values, the bytes written back, bad
// tensors.
// SPDX-License-Identifier: MIT
#include <nbit/io/torchao_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

#include <nbit/tensor/transcode.hpp>

#include "io/checkpoints.hpp"

namespace {

using F = nbit::tinygemm_int4<64>;
using nbit::errc;
using nbit_test::checkpoint;

nbit::torchao_linear tensors(const checkpoint& c) {
  return {c.tensor("_weight_qdata"), c.tensor("_weight_scale_and_zero")};
}
constexpr nbit::shape original{10, 200};

}  // namespace

TEST_CASE("a linear of torchao is read to the last code and written back byte for byte") {
  const checkpoint c = nbit_test::load_checkpoint(nbit_test::golden_dir() / "checkpoints" / "torchao_int4_g64");
  const nbit::torchao_linear file = tensors(c);
  const auto read = nbit::unpack_torchao<F>(file, original);
  REQUIRE(read);
  const auto codes = c.expected<std::uint8_t>("codes");
  REQUIRE(codes.size() == 2000);
  CHECK(std::equal(codes.begin(), codes.end(), read->codes.begin()));
  CHECK(nbit_test::values_of(*read) == c.expected<float>("weight_f32"));
  const auto written = nbit::pack_torchao(*read);
  REQUIRE(written);
  CHECK(nbit_test::same_tensor(written->qdata, file.qdata));
  CHECK(nbit_test::same_tensor(written->scale_and_zero, file.scale_and_zero));
}

TEST_CASE("bf16 weights quantize to torchao's very codes and parameters") {
  const checkpoint c = nbit_test::load_checkpoint(nbit_test::golden_dir() / "checkpoints" / "torchao_int4_g64");
  const auto dense = c.expected<float>("dense");
  const auto expected = nbit::unpack_torchao<F>(tensors(c), original);
  REQUIRE(expected);
  for (std::size_t r = 0; r < 10; ++r)
    for (std::size_t g = 0; g < 4; ++g) {
      // torchao pads with zeros before it fits a group
      std::vector<float> w(64, 0.0f);
      for (std::size_t i = 0; i < 64 && g * 64 + i < 200; ++i) w[i] = dense[r * 200 + g * 64 + i];
      const auto p = F::fit(w, {});
      const auto& e = expected->params[expected->params_index(r, g)];
      CHECK(p.scale.bits == e.scale.bits);
      CHECK(p.middle.bits == e.middle.bits);
      for (std::size_t i = 0; i < 64 && g * 64 + i < 200; ++i)
        CHECK(F::code(w[i], p, 0) == expected->row_codes(r)[g * 64 + i]);
    }
}

TEST_CASE("damaged tile-packed tensors are refused with the tensor and the rule") {
  const checkpoint c = nbit_test::load_checkpoint(nbit_test::golden_dir() / "checkpoints" / "torchao_int4_g64");
  const auto refused = [](nbit::torchao_linear t, nbit::shape s, errc code, const char* subject) {
    const auto r = nbit::unpack_torchao<F>(t, s);
    REQUIRE_FALSE(r);
    CHECK(r.error().code == code);
    CHECK(std::string(r.error().subject).rfind(subject, 0) == 0);
  };
  nbit::torchao_linear t = tensors(c);
  refused(t, {17, 200}, errc::shape, "qdata");
  refused(t, {8, 200}, errc::shape, "qdata");  // 8 outputs would fill one tile, the file has two
  refused(t, {10, 1025}, errc::shape, "qdata");
  t.qdata.shape[2] = 64, t.qdata.shape[3] = 2;
  refused(t, original, errc::shape, "qdata");
  t = tensors(c), t.scale_and_zero.shape[0] = 8, t.scale_and_zero.shape[1] = 32;
  refused(t, original, errc::shape, "scale_and_zero");
  t = tensors(c), t.scale_and_zero.type = nbit::safetensors::dtype::f16;
  refused(t, original, errc::malformed, "scale_and_zero");
  t = tensors(c), t.qdata = {};
  refused(t, original, errc::missing, "qdata");
  t = tensors(c);
  std::vector<std::byte> bytes(t.scale_and_zero.bytes.begin(), t.scale_and_zero.bytes.end());
  bytes[3] = std::byte{0x7f}, bytes[2] = std::byte{0xc0};  // the first middle is NaN
  t.scale_and_zero.bytes = bytes;
  refused(t, original, errc::not_finite, "scale_and_zero");
}

TEST_CASE("what torchao holds becomes other formats where numbers allow") {
  const checkpoint c = nbit_test::load_checkpoint(nbit_test::golden_dir() / "checkpoints" / "torchao_int4_g64");
  const auto read = nbit::unpack_torchao<F>(tensors(c), original);
  REQUIRE(read);
  struct hqq
      : nbit::uniform<nbit::scheme{
            .bits = 4, .group = 8, .symmetry = nbit::symmetry::asymmetric_float, .scale = nbit::scale_type::f32}> {};
  const auto other = nbit::try_transcode<hqq>(*read);
  REQUIRE(other);
  CHECK(other->report.kind != nbit::fidelity::refused);
}
