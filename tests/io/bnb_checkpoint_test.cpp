// tests/io/bnb_checkpoint_test.cpp — NF4 and FP4 checkpoints of bitsandbytes, read to the last value and written back.
// SPDX-License-Identifier: MIT
#include <nbit/io/bnb_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>
#include <vector>

#include "io/checkpoints.hpp"
#include "support/random.hpp"

namespace {

using nbit::errc;
using nbit::safetensors::dtype;
using nbit_test::checkpoint;

nbit::bnb_linear linear_of(const checkpoint& c) {
  nbit::stored_tensor state = c.tensor("weight.quant_state.bitsandbytes__nf4");
  if (!state.present) state = c.tensor("weight.quant_state.bitsandbytes__fp4");
  return {c.tensor("weight"),
          c.tensor("weight.absmax"),
          c.tensor("weight.quant_map"),
          state,
          c.tensor("weight.nested_absmax"),
          c.tensor("weight.nested_quant_map")};
}

void check_same(const nbit::bnb_tensors& packed, const nbit::bnb_linear& file) {
  CHECK(nbit_test::same_tensor(packed.weight, file.weight));
  CHECK(nbit_test::same_tensor(packed.absmax, file.absmax));
  CHECK(nbit_test::same_tensor(packed.quant_map, file.quant_map));
  CHECK(nbit_test::same_tensor(packed.quant_state, file.quant_state));
  CHECK(nbit_test::same_tensor(packed.nested_absmax, file.nested_absmax));
  CHECK(nbit_test::same_tensor(packed.nested_quant_map, file.nested_quant_map));
}

template <class F>
bool check_as(const checkpoint& c) {
  const nbit::bnb_linear file = linear_of(c);
  const auto read = nbit::unpack_bnb<F>(file);
  if (!read) {  // another block or other levels: said so
    const std::string subject = read.error().subject;
    CHECK((subject == "blocksize" || subject == "weight.quant_map"));
    return false;
  }
  CHECK(nbit_test::begins_with(nbit_test::values_of(read->weights), c.expected<float>("weight_f32")));
  const auto absmax = c.expected<float>("absmax_f32");
  CHECK(!absmax.empty());
  for (std::size_t i = 0; i < absmax.size() && i < read->weights.params.size(); ++i)
    REQUIRE(absmax[i] == read->weights.params[i].scale);
  CHECK(read->state.nested == (c.name.find("nested") != std::string::npos));
  CHECK(c.name.find(read->state.dtype) != std::string::npos);
  const auto packed = nbit::pack_bnb(*read);
  REQUIRE(packed);
  CHECK(std::string(packed->quant_state.name) == (read->state.quant_type == "nf4"
                                                      ? "weight.quant_state.bitsandbytes__nf4"
                                                      : "weight.quant_state.bitsandbytes__fp4"));
  check_same(*packed, file);
  return true;
}

template <class F>
nbit::bnb_weights<F> random_weights(std::uint64_t rows, std::uint64_t cols) {
  nbit::bnb_weights<F> q;
  const bool inside = cols % std::uint64_t(F::group) == 0;
  auto weights = nbit::coded_matrix<F>::make(inside ? nbit::shape{rows, cols} : nbit::shape{1, rows * cols});
  REQUIRE(weights);
  nbit_test::random numbers(3);
  for (auto& c : weights->codes) c = static_cast<std::uint8_t>(numbers.below(16));
  for (auto& p : weights->params) p.scale = 0.5f + static_cast<float>(numbers.below(100));
  q.weights = *std::move(weights);
  q.state.rows = rows, q.state.cols = cols;
  return q;
}

}  // namespace

TEST_CASE("checkpoints of bitsandbytes decode to the peer's values and pack to the same bytes") {
  std::size_t folders = 0;
  for (const char* const prefix : {"bnb_nf4_", "bnb_fp4_"})
    for (const auto& folder : nbit_test::checkpoint_folders(prefix)) {
      INFO(folder.string());
      const checkpoint c = nbit_test::load_checkpoint(folder);
      const int known = int(check_as<nbit::nf4>(c)) + int(check_as<nbit::nf4_blocks<128>>(c)) +
                        int(check_as<nbit::fp4>(c)) + int(check_as<nbit::fp4_blocks<128>>(c));
      CHECK(known == 1);
      ++folders;
    }
  CHECK(folders >= 2);
}

TEST_CASE("NF4 and FP4 codes of zero rows and of ties mean what bitsandbytes says") {
  NBIT_NEEDS_DATA(path, "checkpoints/bnb_edge.safetensors");
  const auto edge = nbit_test::st_file::load(path);
  REQUIRE(edge);
  const auto check = [&](auto format, const std::string& name, const std::string& levels) {
    using F = decltype(format);
    CHECK((*edge)["code." + levels].as<float>() == std::vector<float>(F::levels.begin(), F::levels.end()));
    const auto expected = (*edge)[name + ".deq"].as<float>();
    const auto bytes = (*edge)[name + ".packed"].bytes;
    std::vector<std::uint8_t> codes(expected.size());
    const auto* const packed = reinterpret_cast<const std::uint8_t*>(bytes.data());
    nbit::unpack_row<nbit::high_nibbles, 4>(packed, nbit::shape{1, codes.size()}, 0, 0, codes.size(), codes.data());
    auto absmax = (*edge)[name + ".absmax"].as<float>();
    if (absmax.empty())  // of one block: the largest value
      for (const float v : expected) absmax.resize(1), absmax[0] = std::max(absmax[0], nbit::abs(v));
    for (std::size_t i = 0; i < codes.size(); ++i) REQUIRE(F::value(codes[i], {absmax[i / 64]}, 0) == expected[i]);
  };
  check(nbit::nf4{}, "edge.nf4", "nf4");
  check(nbit::fp4{}, "edge.fp4", "fp4");
  check(nbit::nf4{}, "tie.nf4", "nf4");
}

TEST_CASE("blocks that cross rows, and an odd number of weights, are one row there and back") {
  for (const auto& [rows, cols] : {std::pair<std::uint64_t, std::uint64_t>{5, 40}, {3, 33}, {1, 1}, {4, 128}}) {
    const auto q = random_weights<nbit::nf4>(rows, cols);
    const auto packed = nbit::pack_bnb(q);
    REQUIRE(packed);
    CHECK(packed->weight.shape[0] == (rows * cols + 1) / 2);
    const auto back = nbit::unpack_bnb<nbit::nf4>(packed->view());
    REQUIRE(back);
    CHECK((back->state.rows == rows && back->state.cols == cols));
    CHECK(back->weights.shape() == q.weights.shape());
    CHECK(nbit_test::values_of(back->weights) == nbit_test::values_of(q.weights));
  }
}

TEST_CASE("members of quant_state that nobody here knows stay, and hostile ones are refused by name") {
  const std::string kept =
      R"({"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [4, 64], "x": [1.50, "a,b:\"c"], "y": {}})";
  const auto read = nbit::read_bnb_state({reinterpret_cast<const std::byte*>(kept.data()), kept.size()});
  REQUIRE(read);
  CHECK(nbit::bnb_state_text(*read) == kept);
  const std::string head = R"({"quant_type":"nf4","dtype":"float16",)";
  const std::pair<std::string, const char*> bad[] = {
      {R"({"dtype":"float16"})", "quant_type"},
      {R"({"quant_type":"int8","dtype":"float16"})", "quant_type"},
      {R"({"quant_type":"nf4","dtype":"object"})", "dtype"},
      {head + R"("blocksize":63,"shape":[1,1]})", "blocksize"},
      {head + R"("blocksize":8192,"shape":[1,1]})", "blocksize"},
      {head + R"("blocksize":64})", "shape"},
      {head + R"("blocksize":64,"shape":[1,2,3]})", "shape"},
      {head + R"("blocksize":64,"shape":[1,-2]})", "shape"},
      {head + R"("blocksize":64,"shape":[0,2]})", "shape"},
      {head + R"("blocksize":64,"shape":[4294967296,4294967296]})", "shape"},
      {head + R"("blocksize":64,"shape":[1,64],"nested_offset":0.5})", "nested_blocksize"},
      {head + R"("blocksize":64,"shape":[1,64],"nested_blocksize":0,"nested_offset":0.5})", "nested_blocksize"},
      {head + R"("blocksize":64,"shape":[1,64],"nested_blocksize":256,"nested_offset":1e99})", "nested_offset"},
      {head + R"("blocksize":64,"shape":[1,64],"nested_blocksize":256,"nested_offset":1,"nested_dtype":"f8"})",
       "nested_dtype"},
      {"not json", "quant_state"},
  };
  for (const auto& [text, subject] : bad) {
    INFO(text);
    const auto state = nbit::read_bnb_state({reinterpret_cast<const std::byte*>(text.data()), text.size()});
    REQUIRE_FALSE(state);
    CHECK(std::string(state.error().subject) == subject);
  }
}

TEST_CASE("damaged tensors of bitsandbytes are refused with the tensor and the place") {
  const auto q = random_weights<nbit::nf4>(4, 64);
  auto packed = nbit::pack_bnb(q);
  REQUIRE(packed);
  const auto refused = [&](const char* name, auto&& change) {
    nbit::bnb_linear view = packed->view();
    change(view);
    const auto read = nbit::unpack_bnb<nbit::nf4>(view);
    REQUIRE_FALSE(read);
    CHECK(std::string(read.error().subject).rfind(name, 0) == 0);
    return read.error();
  };
  using linear = nbit::bnb_linear;
  CHECK(refused("weight", [](linear& l) { l.weight = {}; }).code == errc::missing);
  CHECK(refused("weight.absmax", [](linear& l) { l.absmax = {}; }).code == errc::missing);
  CHECK(refused("weight.quant_map", [](linear& l) { l.quant_map = {}; }).code == errc::missing);
  CHECK(refused("weight.quant_state", [](linear& l) { l.quant_state = {}; }).code == errc::missing);
  CHECK(refused("weight", [](linear& l) { l.weight.type = dtype::f16; }).code == errc::malformed);
  CHECK(refused("weight.absmax", [](linear& l) { l.absmax.type = dtype::u8; }).code == errc::malformed);
  CHECK(refused("weight", [](linear& l) {
          l.weight.shape[0] = 127;
          l.weight.bytes = l.weight.bytes.first(127);
        }).found == 127);
  CHECK(refused("weight.absmax", [](linear& l) {
          l.absmax.shape[0] = 3;
          l.absmax.bytes = l.absmax.bytes.first(12);
        }).found == 3);
  CHECK(nbit::unpack_bnb<nbit::fp4>(packed->view()).error().code == errc::malformed);
  CHECK(nbit::unpack_bnb<nbit::nf4_blocks<128>>(packed->view()).error().found == 64);
  nbit::store_u32(packed->absmax.bytes.data() + 8, 0xbf800000u);
  CHECK(refused("weight.absmax", [](linear&) {}).col == 2);
  nbit::store_u32(packed->absmax.bytes.data() + 8, 0x7fc00000u);
  CHECK(refused("weight.absmax", [](linear&) {}).code == errc::not_finite);
  auto wide = random_weights<nbit::nf4>(1, 64);
  wide.weights.codes[5] = 16;
  CHECK(nbit::pack_bnb(wide).error().col == 5);
  wide.weights.codes[5] = 0, wide.state.cols = 63;
  CHECK(nbit::pack_bnb(wide).error().code == errc::shape);
}
