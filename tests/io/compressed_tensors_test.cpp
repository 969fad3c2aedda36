// tests/io/compressed_tensors_test.cpp — integer checkpoints of compressed-tensors, read to the last code and written
// back.
// SPDX-License-Identifier: MIT
#include <nbit/io/compressed_tensors.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <nbit/format/uniform.hpp>

#include "io/checkpoints.hpp"
#include "support/random.hpp"

namespace {

using nbit::ct_packing;
using nbit::scale_type;
using nbit::safetensors::dtype;
using nbit_test::checkpoint;

template <int Bits, int Group, scale_type Scale>
struct asym : nbit::uniform<nbit::scheme{
                  .bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric, .scale = Scale}> {};
template <int Bits, int Group, scale_type Scale>
struct sym
    : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = nbit::symmetry::gptq, .scale = Scale}> {};

nbit::ct_linear linear_of(const checkpoint& c, ct_packing packing) {
  return {c.tensor(packing == ct_packing::pack_quantized ? "weight_packed" : "weight"), c.tensor("weight_scale"),
          c.tensor("weight_zero_point"), c.tensor("weight_shape"), c.tensor("weight_g_idx")};
}

void check_same(const nbit::ct_tensors& packed, const nbit::ct_linear& file) {
  CHECK(nbit_test::same_tensor(packed.weight, file.weight));
  CHECK(nbit_test::same_tensor(packed.weight_scale, file.weight_scale));
  CHECK(nbit_test::same_tensor(packed.weight_zero_point, file.weight_zero_point));
  CHECK(nbit_test::same_tensor(packed.weight_shape, file.weight_shape));
  CHECK(nbit_test::same_tensor(packed.weight_g_idx, file.weight_g_idx));
}

/// What a checkpoint's config says about weights, as far as these tests choose a format by it.
struct scheme_found {
  int bits = 0, group = 0;
  bool symmetric = true;
  scale_type scale = scale_type::f32;
  ct_packing packing = ct_packing::pack_quantized;
};

template <class F>
bool check_format(const checkpoint& c, const scheme_found& found) {
  if (found.bits != F::bits || found.group != F::group || found.scale != F::scheme.scale) return false;
  const nbit::ct_linear file = linear_of(c, found.packing);
  const auto read = nbit::unpack_ct<F>(file, found.packing);
  REQUIRE(read);
  std::vector<float> values = nbit_test::values_of(*read);
  // The peer multiplies in the type of the scale: its bf16 values are ours, rounded.
  if (F::scheme.scale == scale_type::bf16)
    for (float& v : values) v = float(nbit::bf16::from(v));
  CHECK(nbit_test::begins_with(values, c.expected<float>("weight_f32")));
  if constexpr (!F::symmetric) {
    const auto zeros = c.expected<std::int8_t>("zero_point_i8");
    REQUIRE(!zeros.empty());
    for (std::size_t i = 0; i < zeros.size(); ++i) REQUIRE(zeros[i] == int(read->params[i].zero) - F::half);
  }
  const auto packed = nbit::pack_ct(*read, found.packing);
  REQUIRE(packed);
  check_same(*packed, file);
  for (const ct_packing other : {ct_packing::pack_quantized, ct_packing::int_quantized}) {
    const auto moved = nbit::pack_ct(*read, other);
    REQUIRE(moved);
    const auto back = nbit::unpack_ct<F>(moved->view(), other);
    REQUIRE(back);
    CHECK(std::equal(read->codes.begin(), read->codes.end(), back->codes.begin()));
    CHECK(nbit_test::same_params(read->params, back->params));
  }
  return true;
}

template <int Bits, int Group, scale_type Scale>
bool check_as(const checkpoint& c, const scheme_found& found) {
  return found.symmetric ? check_format<sym<Bits, Group, Scale>>(c, found)
                         : check_format<asym<Bits, Group, Scale>>(c, found);
}

template <class F>
nbit::coded_matrix<F> random_matrix(nbit::shape s) {
  auto q = nbit::coded_matrix<F>::make(s);
  REQUIRE(q);
  nbit_test::random numbers(7);
  for (auto& c : q->codes) c = static_cast<std::uint8_t>(numbers.below(1u << F::bits));
  for (auto& p : q->params) {
    p.scale =
        nbit::detail::scale_storage<F::scheme.scale>::from(0.01f + 0.001f * static_cast<float>(numbers.below(99)));
    if constexpr (!F::symmetric) p.zero = static_cast<decltype(p.zero)>(numbers.below(1u << F::bits));
  }
  return *std::move(q);
}

template <int Bits>
std::size_t ragged_round_trips() {
  std::size_t n = 0;
  for (const nbit::shape s : {nbit::shape{1, 1}, {3, 40}, {7, 33}, {33, 100}, {32, 64}}) {
    using F = asym<Bits, 32, scale_type::f16>;
    for (const ct_packing how : {ct_packing::pack_quantized, ct_packing::int_quantized}) {
      const auto q = random_matrix<F>(s);
      const auto packed = nbit::pack_ct(q, how);
      REQUIRE(packed);
      const auto back = nbit::unpack_ct<F>(packed->view(), how);
      REQUIRE(back);
      CHECK(std::equal(q.codes.begin(), q.codes.end(), back->codes.begin()));
      CHECK(nbit_test::same_params(q.params, back->params));
      ++n;
    }
  }
  return n;
}

template <int Bits>
void check_old_packing(const nbit::safetensors::file& file) {
  const std::string name = "b" + std::to_string(Bits);
  const auto packed = file.tensor(name + ".packed_i32"), codes = file.tensor(name + ".codes_i8");
  REQUIRE(packed);
  REQUIRE(codes);
  using F = sym<Bits, nbit::per_row, scale_type::f32>;
  auto any = random_matrix<F>({48, 256});
  const auto rest = nbit::pack_ct(any);
  REQUIRE(rest);
  nbit::ct_linear linear = rest->view();
  linear.weight = nbit::stored(*packed);
  const auto read = nbit::unpack_ct<F>(linear);
  REQUIRE(read);
  for (std::size_t i = 0; i < read->codes.size(); ++i)
    REQUIRE(int(read->codes[i]) - F::half == std::to_integer<std::int8_t>(codes->bytes[i]));
}

}  // namespace

TEST_CASE("integer checkpoints of compressed-tensors decode to its values and pack to the same bytes") {
  std::size_t folders = 0;
  for (const char* const prefix : {"ct_pack_", "ct_int8_"})
    for (const auto& folder : nbit_test::checkpoint_folders(prefix)) {
      INFO(folder.string());
      const checkpoint c = nbit_test::load_checkpoint(folder);
      const nbit::json_value quantization = c.quantization();
      const nbit::json_value* const weights = quantization.find("config_groups")->find("group_0")->find("weights");
      scheme_found found;
      found.bits = *weights->get<int>("num_bits");
      found.symmetric = *weights->get<bool>("symmetric");
      found.group = weights->find("group_size") != nullptr ? *weights->get<int>("group_size") : nbit::per_row;
      found.scale = c.tensor("weight_scale").type == dtype::bf16 ? scale_type::bf16 : scale_type::f32;
      found.packing = quantization.find("format")->text() == "pack-quantized" ? ct_packing::pack_quantized
                                                                              : ct_packing::int_quantized;
      const bool known = check_as<2, 64, scale_type::f32>(c, found) || check_as<3, 64, scale_type::f32>(c, found) ||
                         check_as<4, 32, scale_type::f32>(c, found) || check_as<4, 64, scale_type::f32>(c, found) ||
                         check_as<4, 32, scale_type::bf16>(c, found) || check_as<4, 64, scale_type::bf16>(c, found) ||
                         check_as<4, nbit::per_row, scale_type::f32>(c, found) ||
                         check_as<8, 64, scale_type::f32>(c, found) ||
                         check_as<8, nbit::per_row, scale_type::f32>(c, found);
      CHECK(known);
      ++folders;
    }
  CHECK(folders >= 4);
}

TEST_CASE("codes packed by older releases of compressed-tensors are told by their shape and read") {
  NBIT_NEEDS_DATA(path, "checkpoints/ct_old_0_10_2_packing.safetensors");
  const auto bytes = nbit_test::read_file(path);
  REQUIRE(bytes);
  const auto file = nbit::safetensors::parse(*bytes);
  REQUIRE(file);
  check_old_packing<2>(*file);
  check_old_packing<3>(*file);
  check_old_packing<4>(*file);
  check_old_packing<8>(*file);
}

TEST_CASE("ragged shapes of every width survive both packings of compressed-tensors") {
  CHECK(ragged_round_trips<2>() + ragged_round_trips<3>() + ragged_round_trips<4>() + ragged_round_trips<5>() +
            ragged_round_trips<6>() + ragged_round_trips<7>() + ragged_round_trips<8>() ==
        70);
}

TEST_CASE("one scale for a tensor, reordered groups and symmetric files read as asymmetric") {
  using T = sym<8, nbit::per_tensor, scale_type::f32>;
  const auto q = random_matrix<T>({5, 24});
  const auto packed = nbit::pack_ct(q, ct_packing::int_quantized);
  REQUIRE(packed);
  CHECK((packed->weight_scale.rank == 1 && packed->weight_scale.shape[0] == 1));
  const auto back = nbit::unpack_ct<T>(packed->view(), ct_packing::int_quantized);
  REQUIRE(back);
  CHECK(nbit_test::same_params(q.params, back->params));

  using S = sym<4, 16, scale_type::f16>;
  auto s = random_matrix<S>({6, 64});
  auto index = nbit::buffer<std::uint32_t>::make(64);
  REQUIRE(index);
  for (std::size_t c = 0; c < 64; ++c) (*index)[c] = static_cast<std::uint32_t>(c * 7 % 4);
  s.group_index = *std::move(index);
  auto ordered = nbit::pack_ct(s);
  REQUIRE(ordered);
  CHECK(ordered->weight_g_idx.present());
  const auto again = nbit::unpack_ct<S>(ordered->view());
  REQUIRE(again);
  CHECK(nbit_test::values_of(s) == nbit_test::values_of(*again));
  const auto wide = nbit::unpack_ct<asym<4, 16, scale_type::f16>>(ordered->view());
  REQUIRE(wide);
  CHECK(nbit_test::values_of(s) == nbit_test::values_of(*wide));
  nbit::store_u32(ordered->weight_g_idx.bytes.data() + 4 * 9, 4);
  const auto bad = nbit::unpack_ct<S>(ordered->view());
  REQUIRE_FALSE(bad);
  CHECK((std::string(bad.error().subject) == "weight_g_idx" && bad.error().col == 9 && bad.error().found == 4));
}

TEST_CASE("damaged tensors of compressed-tensors are refused with the tensor and the place") {
  using F = asym<3, 32, scale_type::f32>;
  const auto q = random_matrix<F>({40, 64});
  const auto packed = nbit::pack_ct(q);
  REQUIRE(packed);
  const auto refused = [&](const char* name, auto&& change) {
    nbit::ct_linear view = packed->view();
    change(view);
    const auto read = nbit::unpack_ct<F>(view);
    REQUIRE_FALSE(read);
    CHECK(std::string(read.error().subject).rfind(name, 0) == 0);
    return read.error().code;
  };
  using nbit::ct_linear;
  using nbit::errc;
  CHECK(refused("weight_packed", [](ct_linear& l) { l.weight = {}; }) == errc::missing);
  CHECK(refused("weight_scale", [](ct_linear& l) { l.weight_scale = {}; }) == errc::missing);
  CHECK(refused("weight_shape", [](ct_linear& l) { l.weight_shape = {}; }) == errc::missing);
  CHECK(refused("weight_packed", [](ct_linear& l) { l.weight.type = dtype::u32; }) == errc::malformed);
  CHECK(refused("weight_scale", [](ct_linear& l) { l.weight_scale.type = dtype::i32; }) == errc::malformed);
  CHECK(refused("weight_zero_point", [](ct_linear& l) { l.weight_zero_point.type = dtype::i8; }) == errc::malformed);
  CHECK(refused("weight_shape", [](ct_linear& l) { l.weight_shape.type = dtype::i32; }) == errc::malformed);
  CHECK(refused("weight_packed", [](ct_linear& l) { l.weight.rank = 3; }) == errc::shape);
  CHECK(refused("weight_scale", [](ct_linear& l) {
          l.weight_scale.shape[1] = 1;
          l.weight_scale.bytes = l.weight_scale.bytes.first(40 * 4);
        }) == errc::shape);
  CHECK(refused("weight_zero_point", [](ct_linear& l) {
          l.weight_zero_point.shape[0] = 3;
          l.weight_zero_point.bytes = l.weight_zero_point.bytes.first(3 * 2 * 4);
        }) == errc::shape);
  std::vector<std::byte> shape(packed->weight_shape.bytes.begin(), packed->weight_shape.bytes.end());
  for (const auto& [at, value, code] : {std::tuple<std::size_t, std::uint64_t, errc>{0, 41, errc::shape},
                                        {8, 65, errc::shape},
                                        {8, 96, errc::shape},
                                        {8, std::uint64_t{1} << 31, errc::overflow},
                                        {0, ~std::uint64_t{0}, errc::overflow}}) {
    auto changed = shape;
    nbit::store_u64(changed.data() + at, value);
    nbit::ct_linear view = packed->view();
    view.weight_shape.bytes = changed;
    const auto read = nbit::unpack_ct<F>(view);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == code);
  }
  std::vector<std::byte> scales(packed->weight_scale.bytes.begin(), packed->weight_scale.bytes.end());
  nbit::store_u32(scales.data() + 4 * (2 * 5 + 1), 0x7f800000u);
  nbit::ct_linear view = packed->view();
  view.weight_scale.bytes = scales;
  const auto infinite = nbit::unpack_ct<F>(view);
  REQUIRE_FALSE(infinite);
  CHECK((infinite.error().code == errc::not_finite && infinite.error().row == 5 && infinite.error().col == 1));

  const auto narrow = nbit::unpack_ct<sym<3, 32, scale_type::f32>>(packed->view());
  REQUIRE_FALSE(narrow);
  CHECK(std::string(narrow.error().subject) == "weight_zero_point");
  auto bytes = nbit::pack_ct(q, ct_packing::int_quantized);
  REQUIRE(bytes);
  bytes->weight.bytes[64 * 3 + 5] = std::byte{0xfb};
  const auto wide = nbit::unpack_ct<F>(bytes->view(), ct_packing::int_quantized);
  REQUIRE_FALSE(wide);
  CHECK((wide.error().row == 3 && wide.error().col == 5 && wide.error().found == -5));
}
