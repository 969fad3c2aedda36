// tests/io/bnb_int8_checkpoint_test.cpp — LLM.int8 weights: the peer's codes and maxima, there and back.
// SPDX-License-Identifier: MIT
#include <nbit/io/bnb_int8_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

#include <nbit/base/float16.hpp>

#include "io/checkpoints.hpp"

namespace {
using nbit::errc;
using F = nbit::bnb_int8;

nbit::coded_matrix<F> made() {
  auto q = nbit::coded_matrix<F>::make({3, 5});
  REQUIRE(q);
  for (std::size_t i = 0; i < q->codes.size(); ++i) q->codes[i] = static_cast<std::uint8_t>(1 + i * 18);
  for (auto& p : q->params) p.scale = 2.5f;
  return *std::move(q);
}
}  // namespace

TEST_CASE("LLM.int8 weights round to the codes and maxima of bitsandbytes and pack to its bytes") {
  NBIT_NEEDS_DATA(path, "checkpoints/bnb_edge.safetensors");
  const auto bytes = nbit_test::read_file(path);
  REQUIRE(bytes);
  const auto file = nbit::safetensors::parse(*bytes);
  REQUIRE(file);
  const auto q = file->tensor("int8.q"), scb = file->tensor("int8.SCB"), w = file->tensor("int8.weight_in_f16");
  REQUIRE((q && scb && w));
  const nbit::bnb_int8_linear linear{nbit::stored(*q), nbit::stored(*scb), {}};
  const auto read = nbit::unpack_bnb_int8(linear);
  REQUIRE(read);
  std::vector<float> row(read->cols);
  for (std::size_t r = 0; r < read->rows; ++r) {
    for (std::size_t c = 0; c < read->cols; ++c)
      row[c] = float(nbit::load_f16(w->bytes.data() + 2 * (r * read->cols + c)));
    const auto p = F::fit(row, {});
    REQUIRE(p.scale == read->params[r].scale);
    for (std::size_t c = 0; c < read->cols; ++c) {
      const int code = read->row_codes(r)[c];
      REQUIRE(F::code(row[c], p, 0) == code);
      REQUIRE(nbit::abs(F::value(code, p, 0) - row[c]) <= p.scale / 253.0f);
    }
  }
  const auto packed = nbit::pack_bnb_int8(*read);
  REQUIRE(packed);
  CHECK(nbit_test::same_tensor(packed->weight, linear.weight));
  CHECK(nbit_test::same_tensor(packed->scb, linear.scb));
}

TEST_CASE("an LLM.int8 linear is the same after a round trip, and zero rows stay zero") {
  const auto q = made();
  const auto packed = nbit::pack_bnb_int8(q);
  REQUIRE(packed);
  CHECK(packed->weight.bytes[0] == std::byte{0x81});  // code 1 is -127
  CHECK(nbit_test::values_of(q)[0] == -2.5f);
  const auto back = nbit::unpack_bnb_int8(packed->view());
  REQUIRE(back);
  CHECK(nbit_test::values_of(q) == nbit_test::values_of(*back));
  const std::vector<float> zeros(4, 0.0f);
  CHECK(F::value(F::code(0.0f, F::fit(zeros, {}), 0), F::fit(zeros, {}), 0) == 0.0f);
}

TEST_CASE("damaged LLM.int8 tensors are refused with the tensor and the place") {
  auto packed = nbit::pack_bnb_int8(made());
  REQUIRE(packed);
  const auto refused = [&](const char* name, auto&& change) {
    nbit::bnb_int8_linear view = packed->view();
    change(view);
    const auto read = nbit::unpack_bnb_int8(view);
    REQUIRE_FALSE(read);
    CHECK(std::string(read.error().subject).rfind(name, 0) == 0);
    return read.error();
  };
  using linear = nbit::bnb_int8_linear;
  CHECK(refused("weight", [](linear& l) { l.weight = {}; }).code == errc::missing);
  CHECK(refused("weight", [](linear& l) { l.weight.type = nbit::safetensors::dtype::u8; }).code == errc::malformed);
  CHECK(refused("SCB", [](linear& l) {
          l.scb.shape[0] = 2;
          l.scb.bytes = l.scb.bytes.first(8);
        }).found == 2);
  packed->weight_format.bytes[0] = std::byte{2};
  CHECK(refused("weight_format", [](linear&) {}).found == 2);
  packed->weight_format.bytes[0] = std::byte{0};
  nbit::store_u32(packed->scb.bytes.data() + 4, 0xbf800000u);
  CHECK(refused("SCB", [](linear&) {}).col == 1);
}
