// tests/io/awq_checkpoint_test.cpp — AWQ checkpoints packed by AutoAWQ, read to the last code and written back.
// SPDX-License-Identifier: MIT
#include <nbit/io/awq_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <nbit/format/uniform.hpp>
#include <nbit/io/awq_config.hpp>

#include "io/checkpoints.hpp"

namespace {

template <int Group>
struct asym : nbit::uniform<nbit::scheme{.bits = 4, .group = Group, .symmetry = nbit::symmetry::asymmetric}> {};
template <int Group>
struct sym : nbit::uniform<nbit::scheme{.bits = 4, .group = Group, .symmetry = nbit::symmetry::gptq}> {};

using nbit::awq_packing;
using nbit::safetensors::dtype;
using nbit_test::checkpoint;

nbit::awq_linear linear_of(const checkpoint& c) {
  return {c.tensor("qweight"), c.tensor("qzeros"), c.tensor("scales")};
}

/// Reads one linear, compares with the peer's codes, zeros and values, packs it again, and through the other packings.
template <int Group>
bool check_as(const checkpoint& c, const nbit::awq_config& config) {
  using F = asym<Group>;
  if (config.group != Group) return false;
  const nbit::awq_linear file = linear_of(c);
  const auto read = nbit::unpack_awq<F>(file, config.packing);
  REQUIRE(read);
  const auto codes = c.expected<std::uint8_t>("codes");
  REQUIRE(!codes.empty());
  CHECK(std::equal(codes.begin(), codes.end(), read->codes.begin()));
  const auto zeros = c.expected<std::uint8_t>("zeros");
  REQUIRE(!zeros.empty());
  for (std::size_t i = 0; i < zeros.size(); ++i) REQUIRE(zeros[i] == read->params[i].zero);
  CHECK(nbit_test::begins_with(nbit_test::values_of(*read), c.expected<float>("weight_f32")));
  const auto packed = nbit::pack_awq<F>(*read, config.packing);
  REQUIRE(packed);
  CHECK(nbit_test::same_tensor(packed->qweight, file.qweight));
  CHECK(nbit_test::same_tensor(packed->qzeros, file.qzeros));
  CHECK(nbit_test::same_tensor(packed->scales, file.scales));
  for (const awq_packing other : {awq_packing::gemm, awq_packing::gemv, awq_packing::gemv_fast}) {
    const auto moved = nbit::pack_awq<F>(*read, other);
    REQUIRE(moved);
    const auto back = nbit::unpack_awq<F>(moved->view(), other);
    REQUIRE(back);
    CHECK(std::equal(read->codes.begin(), read->codes.end(), back->codes.begin(), back->codes.end()));
    CHECK(nbit_test::same_params(read->params, back->params));
  }
  return true;
}

template <class F>
nbit::coded_matrix<F> counting(nbit::shape s) {
  auto q = nbit::coded_matrix<F>::make(s);
  REQUIRE(q);
  for (std::size_t i = 0; i < q->codes.size(); ++i) q->codes[i] = static_cast<std::uint8_t>(i * 7 % 16);
  for (std::size_t i = 0; i < q->params.size(); ++i) {
    q->params[i].scale = nbit::f16::from(0.25f + 0.125f * static_cast<float>(i % 9));
    if constexpr (!F::symmetric) q->params[i].zero = static_cast<std::uint16_t>(i % 16);
  }
  return *std::move(q);
}

}  // namespace

TEST_CASE("checkpoints of AutoAWQ decode to its codes, zeros and values, and pack to the same bytes") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("awq_")) {
    INFO(folder.string());
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const auto config = nbit::read_awq_config(c.quantization());
    REQUIRE(config);
    const bool known = check_as<32>(c, *config) || check_as<64>(c, *config) || check_as<128>(c, *config);
    CHECK(known);
    CHECK(nbit::json_text(nbit::awq_config_json(*config, c.quantization())) == nbit::json_text(c.quantization()));
    ++folders;
  }
  CHECK(folders >= 3);
}

TEST_CASE("an AWQ linear of any zeros, of one group for each output or symmetric survives all packings") {
  for (const awq_packing how : {awq_packing::gemm, awq_packing::gemv, awq_packing::gemv_fast}) {
    INFO(static_cast<int>(how));
    const auto q = counting<asym<32>>({24, 192});
    const auto packed = nbit::pack_awq(q, how);
    REQUIRE(packed);
    const auto back = nbit::unpack_awq<asym<32>>(packed->view(), how);
    REQUIRE(back);
    CHECK(std::equal(q.codes.begin(), q.codes.end(), back->codes.begin()));
    CHECK(nbit_test::same_params(q.params, back->params));

    const auto rows = counting<asym<nbit::per_row>>({8, 128});
    const auto packed_rows = nbit::pack_awq(rows, how);
    REQUIRE(packed_rows);
    const auto back_rows = nbit::unpack_awq<asym<nbit::per_row>>(packed_rows->view(), how);
    REQUIRE(back_rows);
    CHECK(nbit_test::same_params(rows.params, back_rows->params));

    const auto middle = counting<sym<64>>({16, 64});
    const auto packed_middle = nbit::pack_awq(middle, how);
    REQUIRE(packed_middle);
    const auto back_middle = nbit::unpack_awq<sym<64>>(packed_middle->view(), how);
    REQUIRE(back_middle);
    CHECK(nbit_test::values_of(middle) == nbit_test::values_of(*back_middle));
    const auto refused = nbit::unpack_awq<sym<32>>(packed->view(), how);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == nbit::errc::malformed);
    CHECK(std::string(refused.error().subject) == "qzeros");
  }
}

TEST_CASE("damaged AWQ tensors are refused with the tensor and the place") {
  using F = asym<32>;
  for (const awq_packing how : {awq_packing::gemm, awq_packing::gemv, awq_packing::gemv_fast}) {
    INFO(static_cast<int>(how));
    const auto q = counting<F>({16, 64});
    auto packed = nbit::pack_awq(q, how);
    REQUIRE(packed);
    const bool gemv = how == awq_packing::gemv, fast = how == awq_packing::gemv_fast;
    struct damage {
      nbit::stored_tensor nbit::awq_linear::* which;
      const char* name;
    };
    for (const damage d : {damage{&nbit::awq_linear::qweight, "qweight"}, damage{&nbit::awq_linear::qzeros, "qzeros"},
                           damage{&nbit::awq_linear::scales, "scales"}}) {
      const auto refused = [&](auto&& change) {
        nbit::awq_linear view = packed->view();
        change(view.*d.which);
        const auto read = nbit::unpack_awq<F>(view, how);
        REQUIRE_FALSE(read);
        CHECK(std::string(read.error().subject).rfind(d.name, 0) == 0);
        return read.error();
      };
      CHECK(refused([](nbit::stored_tensor& t) { t = {}; }).code == nbit::errc::missing);
      CHECK(refused([](nbit::stored_tensor& t) { t.type = dtype::f64; }).code == nbit::errc::malformed);
      CHECK(refused([](nbit::stored_tensor& t) { t.rank = 1; }).found == 1);
      CHECK(refused([](nbit::stored_tensor& t) { t.rank = 7; }).found == 7);
      CHECK(refused([](nbit::stored_tensor& t) { t.bytes = t.bytes.first(t.bytes.size() - 1); }).code ==
            nbit::errc::shape);
      CHECK(refused([](nbit::stored_tensor& t) { t.shape[0] = 0x80000000u; }).code == nbit::errc::overflow);
      if (d.which != &nbit::awq_linear::qweight)  // two groups, bytes to match: another group size
        CHECK(refused([](nbit::stored_tensor& t) {
                t.shape[0] /= 2;
                t.bytes = t.bytes.first(t.bytes.size() / 2);
              }).code == nbit::errc::shape);
    }
    const std::size_t at = gemv ? 2 * (3 * 32 + 1) : 2 * (1 * 16 + 3);  // output 3, group 1
    nbit::store_u16(packed->scales.bytes.data() + at, 0x7e00);
    auto read = nbit::unpack_awq<F>(packed->view(), how);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == nbit::errc::not_finite);
    CHECK((read.error().row == (gemv ? 3 : 1) && read.error().col == (gemv ? 1 : 3)));
    if (fast) {
      nbit::store_u16(packed->scales.bytes.data() + at, 0x3c00);
      nbit::store_u16(packed->qzeros.bytes.data() + at, 0xbe00);  // -1.5 is no multiple of 1
      read = nbit::unpack_awq<F>(packed->view(), how);
      REQUIRE_FALSE(read);
      CHECK(read.error().code == nbit::errc::malformed);
      CHECK((std::string(read.error().subject) == "qzeros" && read.error().found == 0xbe00));
    }
    if (how == awq_packing::gemm) continue;
    auto padded = nbit::pack_awq(q, how);
    REQUIRE(padded);
    padded->scales.bytes[padded->scales.bytes.size() - 2] = std::byte{1};
    read = nbit::unpack_awq<F>(padded->view(), how);
    REQUIRE_FALSE(read);
    CHECK((std::string(read.error().subject) == "scales" && read.error().found == 1));
  }
}

TEST_CASE("a matrix that an AWQ checkpoint cannot hold is refused before anything is written") {
  using F = asym<32>;
  const auto refused = [](const auto& q, awq_packing how) {
    const auto packed = nbit::pack_awq(q, how);
    REQUIRE_FALSE(packed);
    return packed.error();
  };
  CHECK(refused(counting<F>({12, 64}), awq_packing::gemm).found == 12);
  CHECK(refused(counting<F>({8, 40}), awq_packing::gemm).found == 40);
  CHECK(refused(counting<F>({8, 96}), awq_packing::gemv_fast).found == 96);
  CHECK(refused(counting<asym<16>>({8, 64}), awq_packing::gemv).found == 16);
  auto wide = counting<F>({8, 64});
  wide.codes[70] = 16;
  CHECK((refused(wide, awq_packing::gemm).row == 1 && refused(wide, awq_packing::gemm).col == 6));
  auto zero = counting<F>({8, 64});
  zero.params[3].zero = 16;
  CHECK((refused(zero, awq_packing::gemv).row == 1 && refused(zero, awq_packing::gemv).found == 16));
  auto ordered = counting<F>({8, 64});
  auto index = nbit::buffer<std::uint32_t>::zeros(64);
  REQUIRE(index);
  ordered.group_index = *std::move(index);
  CHECK(refused(ordered, awq_packing::gemm).code == nbit::errc::unsupported);
}

TEST_CASE("an AWQ config keeps what nobody here knows, in either spelling, and others are refused by name") {
  for (
      const char* const text :
      {R"({"quant_method":"awq","bits":4,"group_size":128,"zero_point":true,"version":"gemm","modules_to_not_convert":null})",
       R"({"zero_point":true,"q_group_size":64,"w_bit":4,"version":"GEMM","modules_to_not_convert":["lm_head"]})",
       R"({"future":{"a":[1.50,2e5]},"quant_method":"awq","bits":4,"group_size":-1,"zero_point":false,"version":"gemv_fast"})"}) {
    INFO(text);
    const auto json = nbit::json_parse(text);
    REQUIRE(json);
    const auto config = nbit::read_awq_config(*json);
    REQUIRE(config);
    CHECK(nbit::json_text(nbit::awq_config_json(*config, *json)) == text);
  }
  const auto fresh = nbit::read_awq_config(nbit::awq_config_json({4, 64, true, awq_packing::gemv_fast}));
  REQUIRE(fresh);
  CHECK((fresh->group == 64 && fresh->packing == awq_packing::gemv_fast));
  const std::pair<const char*, const char*> bad[] = {
      {R"({"bits":4})", "group_size"},
      {R"({"group_size":128})", "bits"},
      {R"({"bits":3,"group_size":128})", "bits"},
      {R"({"w_bit":8,"q_group_size":128})", "w_bit"},
      {R"({"bits":4,"group_size":0})", "group_size"},
      {R"({"bits":4,"group_size":128,"zero_point":1})", "zero_point"},
      {R"({"bits":4,"group_size":128,"quant_method":"gptq"})", "quant_method"},
      {R"({"bits":4,"group_size":128,"quant_method":5})", "quant_method"},
      {R"({"bits":4,"group_size":128,"version":"marlin"})", "version"},
  };
  for (const auto& [text, subject] : bad) {
    INFO(text);
    const auto json = nbit::json_parse(text);
    REQUIRE(json);
    const auto config = nbit::read_awq_config(*json);
    REQUIRE_FALSE(config);
    CHECK(std::string(config.error().subject) == subject);
  }
}
