// tests/io/exl2_checkpoint_test.cpp — EXL2 linears packed by exllamav2's kernels, read to the last value and written
// back.
// SPDX-License-Identifier: MIT
#include <nbit/io/exl2_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

#include "io/checkpoints.hpp"

namespace {

using nbit::errc;
using nbit_test::checkpoint;

nbit::exl2_linear linear_of(const checkpoint& c) {
  return {c.tensor("q_weight"), c.tensor("q_groups"), c.tensor("q_scale"), c.tensor("q_scale_max"),
          c.tensor("q_invperm")};
}

std::vector<float> values_of(const nbit::exl2_weights& q) {
  std::vector<float> values(q.outputs * q.inputs);
  nbit::decode_exl2(q, {values.data(), q.outputs, q.inputs});
  return values;
}

/// Groups of 3, 4 and 8 bits, the last one short, inputs in reverse.
nbit::exl2_weights made() {
  nbit::exl2_weights q;
  q.outputs = 32, q.inputs = 72;
  auto groups = nbit::buffer<nbit::exl2_group>::make(3);
  auto codes = nbit::buffer<std::uint8_t>::make(72 * 32), scales = nbit::buffer<std::uint8_t>::make(3 * 32);
  auto order = nbit::buffer<std::uint32_t>::make(72);
  REQUIRE((groups && codes && scales && order));
  (*groups)[0] = {8, 0, 32, nbit::f16::from(0.5f)};
  (*groups)[1] = {4, 32, 32, nbit::f16::from(1.0f)};
  (*groups)[2] = {3, 64, 8, nbit::f16::from(2.0f)};
  for (std::size_t i = 0; i < codes->size(); ++i)
    (*codes)[i] = static_cast<std::uint8_t>(i * 37 % (i < 32 * 32 ? 256 : i < 64 * 32 ? 16 : 8));
  for (std::size_t i = 0; i < scales->size(); ++i) (*scales)[i] = static_cast<std::uint8_t>(i * 5 % 16);
  for (std::uint32_t i = 0; i < 72; ++i) (*order)[i] = 71 - i;
  q.groups = *std::move(groups), q.codes = *std::move(codes), q.scales = *std::move(scales),
  q.sorted_at = *std::move(order);
  return q;
}

}  // namespace

TEST_CASE("linears of EXL2 decode to the values of its kernels and pack to the same bytes") {
  NBIT_NEEDS_DATA(data, "checkpoints");
  std::size_t folders = 0;
  for (const char* const name : {"exl2_b4_g32", "exl2_mixed_654", "exl2_mixed_83_2", "exl2_ragged_b4"}) {
    INFO(name);
    const checkpoint c = nbit_test::load_checkpoint(data / name);
    const nbit::exl2_linear file = linear_of(c);
    const auto read = nbit::unpack_exl2(file);
    REQUIRE(read);
    CHECK(values_of(*read) == c.expected<float>("weight_f32"));
    const auto codes = c.expected<std::uint8_t>("codes_permuted_rows");
    CHECK(std::equal(codes.begin(), codes.end(), read->codes.begin(), read->codes.end()));
    const auto scales = c.expected<std::uint8_t>("qscale_1_16");
    REQUIRE(scales.size() == read->scales.size());
    for (std::size_t i = 0; i < scales.size(); ++i) REQUIRE(scales[i] == read->scales[i] + 1);
    const auto packed = nbit::pack_exl2(*read);
    REQUIRE(packed);
    CHECK(nbit_test::same_tensor(packed->q_weight, file.q_weight));
    CHECK(nbit_test::same_tensor(packed->q_groups, file.q_groups));
    CHECK(nbit_test::same_tensor(packed->q_scale, file.q_scale));
    CHECK(nbit_test::same_tensor(packed->q_scale_max, file.q_scale_max));
    CHECK(nbit_test::same_tensor(packed->q_invperm, file.q_invperm));
    ++folders;
  }
  CHECK(folders == 4);
}

TEST_CASE("an EXL2 linear of mixed widths with a short last group is the same after a round trip") {
  const auto q = made();
  const auto packed = nbit::pack_exl2(q);
  REQUIRE(packed);
  CHECK(packed->q_weight.shape[0] == 8 + 4 + 1);
  const auto back = nbit::unpack_exl2(packed->view());
  REQUIRE(back);
  CHECK(std::equal(q.codes.begin(), q.codes.end(), back->codes.begin(), back->codes.end()));
  CHECK(values_of(q) == values_of(*back));
  // input 71 is the first in order: 8 bits, code 37, scale 6^2 / 256 * 0.5 for output 1
  CHECK(values_of(q)[1 * 72 + 71] == float(nbit::f16::from((37.0f - 128.0f) * 36.0f * 0.5f / 256.0f)));
}

TEST_CASE("damaged EXL2 tensors are refused with the tensor and the place") {
  const auto refused = [](const char* name, errc code, auto&& change) {
    auto packed = nbit::pack_exl2(made());
    REQUIRE(packed);
    nbit::exl2_linear view = packed->view();
    change(*packed, view);
    const auto read = nbit::unpack_exl2(view);
    REQUIRE_FALSE(read);
    CHECK(std::string(read.error().subject).rfind(name, 0) == 0);
    CHECK(read.error().code == code);
  };
  using tensors = nbit::exl2_tensors;
  using linear = nbit::exl2_linear;
  refused("q_weight", errc::missing, [](tensors&, linear& l) { l.q_weight = {}; });
  refused("q_groups", errc::malformed, [](tensors&, linear& l) { l.q_groups.type = nbit::safetensors::dtype::i32; });
  refused("q_groups", errc::malformed, [](tensors& t, linear&) { nbit::store_u16(t.q_groups.bytes.data() + 4, 7); });
  refused("q_groups", errc::malformed, [](tensors& t, linear&) { nbit::store_u16(t.q_groups.bytes.data() + 4, 0); });
  refused("q_groups", errc::malformed, [](tensors& t, linear&) { nbit::store_u16(t.q_groups.bytes.data() + 2, 1); });
  refused("q_groups", errc::malformed, [](tensors& t, linear&) { nbit::store_u16(t.q_groups.bytes.data() + 6, 9); });
  refused("q_groups", errc::malformed,
          [](tensors& t, linear&) { nbit::store_u16(t.q_groups.bytes.data() + 10, 60000); });
  refused("q_groups", errc::malformed, [](tensors& t, linear&) { nbit::store_u16(t.q_groups.bytes.data() + 10, 8); });
  refused("q_invperm", errc::malformed, [](tensors& t, linear&) { nbit::store_u32(t.q_invperm.bytes.data() + 8, 72); });
  refused("q_invperm", errc::malformed, [](tensors& t, linear&) { nbit::store_u32(t.q_invperm.bytes.data() + 8, 3); });
  refused("q_scale_max", errc::not_finite,
          [](tensors& t, linear&) { nbit::store_u16(t.q_scale_max.bytes.data() + 2, 0x7e00); });
  refused("q_scale", errc::shape, [](tensors&, linear& l) {
    l.q_scale.shape[0] = 2;
    l.q_scale.bytes = l.q_scale.bytes.first(2 * 4 * 4);
  });
  auto wide = made();
  wide.codes[32 * 64] = 8;
  CHECK(nbit::pack_exl2(wide).error().found == 8);
}
