// tests/io/hqq_checkpoint_test.cpp — checkpoints of HQQ, both axes, read to the last value and written back.
// SPDX-License-Identifier: MIT
#include <nbit/io/hqq_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>
#include <vector>

#include <nbit/format/uniform.hpp>

#include "io/checkpoints.hpp"
#include "support/random.hpp"

namespace {

using nbit::errc;
using nbit::safetensors::dtype;
using nbit_test::checkpoint;

template <int Bits, int Group = 64, nbit::scale_type Scale = nbit::scale_type::f32>
struct hqq : nbit::uniform<nbit::scheme{
                 .bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric_float, .scale = Scale}> {};

template <class F>
std::vector<float> values_of(const nbit::hqq_weights<F>& q) {
  std::vector<float> values(static_cast<std::size_t>(q.meta.rows * q.meta.cols));
  nbit::decode_hqq(q, {values.data(), static_cast<std::size_t>(q.meta.rows), static_cast<std::size_t>(q.meta.cols)});
  return values;
}

template <class F>
bool check_as(const checkpoint& c, const nbit::hqq_linear& file) {
  if (file.meta.bits != F::bits) return false;
  auto read = nbit::unpack_hqq<F>(file);
  REQUIRE(read);
  const std::vector<float> values = values_of(*read);
  CHECK(nbit_test::begins_with(values, c.expected<float>("weight_peer")));
  const auto codes = c.expected<std::uint8_t>("codes_grouped");
  REQUIRE(!codes.empty());
  const std::size_t groups = read->groups.rows, group = read->groups.cols;
  for (std::size_t i = 0; i < codes.size(); ++i)
    REQUIRE(codes[i] == read->groups.codes[file.meta.axis == 1 ? i : i % groups * group + i / groups]);
  const auto packed = nbit::pack_hqq(*read);
  REQUIRE(packed);
  CHECK(nbit_test::same_tensor(packed->w_q, file.w_q));
  CHECK(nbit_test::same_tensor(packed->scale, file.scale));
  CHECK(nbit_test::same_tensor(packed->zero, file.zero));
  for (const nbit::owned_tensor& t : packed->settings) {
    INFO(t.name);
    CHECK(nbit_test::same_tensor(t, c.tensor(t.name)));
  }
  CHECK(packed->settings.size() + 3 == c.model.tensors().size());
  const bool runs = file.meta.axis == 1;
  const auto rows = nbit::hqq_rows(*std::move(read));
  CHECK(rows.has_value() == runs);
  if (rows) CHECK(nbit_test::values_of(*rows) == values);
  return true;
}

template <class F>
nbit::hqq_weights<F> random_weights(std::uint64_t rows, std::uint64_t cols, int axis) {
  nbit::hqq_weights<F> q;
  q.meta.bits = F::bits, q.meta.group = F::group, q.meta.axis = axis, q.meta.rows = rows, q.meta.cols = cols;
  auto groups = nbit::coded_matrix<F>::make(
      {static_cast<std::size_t>(rows * cols) / std::size_t(F::group), std::size_t(F::group)});
  REQUIRE(groups);
  nbit_test::random numbers(F::bits);
  for (auto& c : groups->codes) c = static_cast<std::uint8_t>(numbers.below(1u << F::bits));
  for (auto& p : groups->params)
    p = {F::scale_t::from(0.25f + static_cast<float>(numbers.below(8))),
         F::scale_t::from(static_cast<float>(numbers.below(9)) / 2)};
  q.groups = *std::move(groups);
  return q;
}

template <class F>
void check_round_trip(std::uint64_t rows, std::uint64_t cols) {
  for (const int axis : {0, 1}) {
    const auto q = random_weights<F>(rows, cols, axis);
    const auto packed = nbit::pack_hqq(q);
    REQUIRE(packed);
    const auto back = nbit::unpack_hqq<F>({packed->w_q.view(), packed->scale.view(), packed->zero.view(), q.meta});
    REQUIRE(back);
    CHECK(values_of(*back) == values_of(q));
  }
}

}  // namespace

TEST_CASE("checkpoints of HQQ decode to its codes and values and pack to the same bytes, settings too") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("hqq_")) {
    INFO(folder.string());
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const auto file = nbit::find_hqq(c.model, nbit_test::query);
    REQUIRE(file);
    const bool known = check_as<hqq<1>>(c, *file) || check_as<hqq<2>>(c, *file) || check_as<hqq<3>>(c, *file) ||
                       check_as<hqq<4>>(c, *file) || check_as<hqq<8>>(c, *file);
    CHECK(known);
    ++folders;
  }
  CHECK(folders >= 4);
}

TEST_CASE("HQQ linears of every width, both axes and half-precision parameters are the same after a round trip") {
  using nbit::scale_type;
  check_round_trip<hqq<1, 8, scale_type::f16>>(16, 24);
  check_round_trip<hqq<2, 32, scale_type::bf16>>(8, 64);
  check_round_trip<hqq<3, 16, scale_type::f16>>(6, 40);
  check_round_trip<hqq<4, 64, scale_type::f16>>(16, 24);
  check_round_trip<hqq<5, 32, scale_type::f16>>(3, 32);
  check_round_trip<hqq<6, 32, scale_type::bf16>>(3, 32);
  check_round_trip<hqq<8, 128, scale_type::f16>>(2, 192);
}

TEST_CASE("damaged HQQ tensors and settings that contradict them are refused by name") {
  using F = hqq<4, 32, nbit::scale_type::f16>;
  const auto q = random_weights<F>(8, 64, 1);
  auto packed = nbit::pack_hqq(q);
  REQUIRE(packed);
  const auto refused = [&](const char* name, auto&& change) {
    nbit::hqq_linear view{packed->w_q.view(), packed->scale.view(), packed->zero.view(), q.meta};
    change(view);
    const auto read = nbit::unpack_hqq<F>(view);
    REQUIRE_FALSE(read);
    CHECK(std::string(read.error().subject).rfind(name, 0) == 0);
    return read.error();
  };
  using linear = nbit::hqq_linear;
  CHECK(refused("W_q", [](linear& l) { l.w_q = {}; }).code == errc::missing);
  CHECK(refused("scale", [](linear& l) { l.scale = {}; }).code == errc::missing);
  CHECK(refused("zero", [](linear& l) { l.zero.type = dtype::f32; }).code == errc::malformed);
  CHECK(refused("W_q", [](linear& l) { l.w_q.type = dtype::i32; }).code == errc::malformed);
  CHECK(refused("nbits", [](linear& l) { l.meta.bits = 3; }).found == 3);
  CHECK(refused("group_size", [](linear& l) { l.meta.group = 64; }).found == 64);
  CHECK(refused("shape", [](linear& l) { l.meta.rows = 0; }).found == 0);
  CHECK(refused("shape", [](linear& l) { l.meta.cols = ~std::uint64_t{0}; }).code == errc::shape);
  CHECK(refused("shape", [](linear& l) { l.meta.cols = 65; }).code == errc::shape);
  CHECK(refused("W_q", [](linear& l) { l.meta.rows = 16; }).code == errc::shape);
  CHECK(refused("W_q", [](linear& l) { l.meta.axis = 0; }).code == errc::shape);
  nbit::store_u16(packed->zero.bytes.data() + 2 * 3, 0x7c00);
  CHECK(refused("zero", [](linear&) {}).row == 3);
  nbit::store_u16(packed->scale.bytes.data() + 2 * 2, 0xfe00);
  CHECK(refused("scale", [](linear&) {}).row == 2);
  using five = hqq<5, 32, nbit::scale_type::f16>;
  const auto wide = random_weights<five>(2, 32, 1);
  auto bytes = nbit::pack_hqq(wide);
  REQUIRE(bytes);
  bytes->w_q.bytes[33] = std::byte{32};
  const auto over = nbit::unpack_hqq<five>({bytes->w_q.view(), bytes->scale.view(), bytes->zero.view(), wide.meta});
  REQUIRE_FALSE(over);
  CHECK((over.error().row == 1 && over.error().col == 1 && over.error().found == 32));
}
