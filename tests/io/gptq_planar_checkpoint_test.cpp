// tests/io/gptq_planar_checkpoint_test.cpp — planar checkpoints of GPTQModel, read to the last code and written back.
// SPDX-License-Identifier: MIT
#include <nbit/io/gptq_planar_checkpoint.hpp>

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

template <int Bits, int Group>
struct asym : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric}> {};

template <class F>
bool check_as(const checkpoint& c, const char* layer, const nbit::gptq_planar_config& config) {
  if (config.bits != F::bits || config.group != F::group) return false;
  const nbit::gptq_planar_linear file{c.tensor("qweight", layer), c.tensor("qzeros", layer), c.tensor("scales", layer),
                                      c.tensor("g_idx", layer)};
  const auto read = nbit::unpack_gptq_planar<F>(file);
  REQUIRE(read);
  const auto codes = c.expected<std::uint8_t>("codes", layer);
  REQUIRE(!codes.empty());
  CHECK(std::equal(codes.begin(), codes.end(), read->codes.begin()));
  const auto zeros = c.expected<std::uint8_t>("zeros", layer);
  REQUIRE(!zeros.empty());
  for (std::size_t i = 0; i < zeros.size(); ++i) REQUIRE(zeros[i] == read->params[i].zero);
  CHECK(nbit_test::begins_with(nbit_test::values_of(*read), c.expected<float>("weight_f32", layer)));
  const auto packed = nbit::pack_gptq_planar(*read);
  REQUIRE(packed);
  CHECK(nbit_test::same_tensor(packed->qweight, file.qweight));
  CHECK(nbit_test::same_tensor(packed->qzeros, file.qzeros));
  CHECK(nbit_test::same_tensor(packed->scales, file.scales));
  CHECK(nbit_test::same_tensor(packed->g_idx, file.g_idx));
  return true;
}

template <class F>
nbit::coded_matrix<F> random_matrix(nbit::shape s) {
  auto q = nbit::coded_matrix<F>::make(s);
  REQUIRE(q);
  nbit_test::random numbers(F::bits);
  for (auto& c : q->codes) c = static_cast<std::uint8_t>(numbers.below(1u << F::bits));
  for (auto& p : q->params)
    p = {nbit::f16::from(0.5f + static_cast<float>(numbers.below(9))),
         static_cast<std::uint16_t>(numbers.below(1u << F::bits))};
  return *std::move(q);
}

template <int Bits>
bool round_trip() {
  using F = asym<Bits, 48>;  // the last group is short
  auto q = random_matrix<F>({32, 64});
  auto index = nbit::buffer<std::uint32_t>::make(64);
  REQUIRE(index);
  for (std::size_t c = 0; c < 64; ++c) (*index)[c] = static_cast<std::uint32_t>(c % 2);
  q.group_index = *std::move(index);
  const auto packed = nbit::pack_gptq_planar(q);
  REQUIRE(packed);
  const auto back = nbit::unpack_gptq_planar<F>(packed->view());
  REQUIRE(back);
  return nbit_test::values_of(*back) == nbit_test::values_of(q) && nbit_test::same_params(q.params, back->params) &&
         back->group_index.size() == 64;
}

}  // namespace

TEST_CASE("planar checkpoints of GPTQModel decode to its codes, zeros and values, and pack to the same bytes") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("gptq_")) {
    if (folder.string().find("planar") == std::string::npos) continue;
    INFO(folder.string());
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const auto config = nbit::read_gptq_planar_config(c.quantization());
    REQUIRE(config);
    CHECK(nbit::json_text(nbit::gptq_planar_config_json(*config, c.quantization())) ==
          nbit::json_text(c.quantization()));
    for (const char* const layer : {nbit_test::query, "model.layers.0.mlp.down_proj"}) {
      const bool known = check_as<asym<3, 64>>(c, layer, *config) || check_as<asym<5, 64>>(c, layer, *config) ||
                         check_as<asym<6, 64>>(c, layer, *config) || check_as<asym<7, 64>>(c, layer, *config);
      CHECK(known);
    }
    ++folders;
  }
  CHECK(folders >= 1);
}

TEST_CASE("planar linears of every width survive, with reordered groups and a short last one") {
  CHECK((round_trip<2>() && round_trip<3>() && round_trip<4>() && round_trip<5>() && round_trip<6>() &&
         round_trip<7>() && round_trip<8>()));
}

TEST_CASE("damaged planar GPTQ tensors are refused with the tensor and the place") {
  using F = asym<5, 32>;
  const auto q = random_matrix<F>({32, 64});
  auto packed = nbit::pack_gptq_planar(q);
  REQUIRE(packed);
  const auto refused = [&](const char* name, auto&& change) {
    nbit::gptq_planar_linear view = packed->view();
    change(view);
    const auto read = nbit::unpack_gptq_planar<F>(view);
    REQUIRE_FALSE(read);
    CHECK(std::string(read.error().subject).rfind(name, 0) == 0);
    return read.error();
  };
  using linear = nbit::gptq_planar_linear;
  CHECK(refused("qweight", [](linear& l) { l.qweight = {}; }).code == errc::missing);
  CHECK(refused("scales", [](linear& l) { l.scales.type = dtype::bf16; }).code == errc::malformed);
  CHECK(refused("qzeros", [](linear& l) { l.qzeros.type = dtype::i64; }).code == errc::malformed);
  CHECK(refused("qweight", [](linear& l) {
          l.qweight.shape[0] = 9;
          l.qweight.bytes = l.qweight.bytes.first(9 * 32 * 4);
        }).found == 9);
  CHECK(refused("scales", [](linear& l) {
          l.scales.shape[0] = 1;
          l.scales.bytes = l.scales.bytes.first(64);
        }).found == 1);
  nbit::store_u32(packed->g_idx.bytes.data() + 4 * 7, 0xffffffffu);
  CHECK((refused("g_idx", [](linear&) {}).found == -1 && refused("g_idx", [](linear&) {}).col == 7));
  nbit::store_u16(packed->scales.bytes.data() + 2 * 33, 0x7c00);
  CHECK((refused("scales", [](linear&) {}).row == 1 && refused("scales", [](linear&) {}).col == 1));
  CHECK(nbit::pack_gptq_planar(random_matrix<F>({16, 64})).error().found == 16);
  CHECK(nbit::pack_gptq_planar(random_matrix<F>({32, 40})).error().found == 40);
}

TEST_CASE("configs that are no planar GPTQ ones are refused by name") {
  const std::pair<const char*, const char*> bad[] = {
      {R"({"quant_method":"gptq","bits":3,"group_size":64})", "checkpoint_format"},
      {R"({"quant_method":"gptq","checkpoint_format":"gptq","bits":3,"group_size":64})", "checkpoint_format"},
      {R"({"quant_method":"awq","checkpoint_format":"gptq_p","bits":3,"group_size":64})", "quant_method"},
      {R"({"quant_method":"gptq","checkpoint_format":"gptq_p","pack_dtype":"int8","bits":3,"group_size":64})",
       "pack_dtype"},
      {R"({"quant_method":"gptq","checkpoint_format":"gptq_p","bits":9,"group_size":64})", "bits"},
      {R"({"quant_method":"gptq","checkpoint_format":"gptq_p","bits":3,"group_size":0})", "group_size"},
      {R"({"quant_method":"gptq","checkpoint_format":"gptq_p","bits":3,"group_size":64,"sym":0})", "sym"},
  };
  for (const auto& [text, subject] : bad) {
    INFO(text);
    const auto json = nbit::json_parse(text);
    REQUIRE(json);
    const auto config = nbit::read_gptq_planar_config(*json);
    REQUIRE_FALSE(config);
    CHECK(std::string(config.error().subject) == subject);
  }
}
