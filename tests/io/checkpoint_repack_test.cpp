// tests/io/checkpoint_repack_test.cpp — linears of one ecosystem in another's tensors: equal codes, zeros and values.
// SPDX-License-Identifier: MIT
#include <nbit/io/awq_checkpoint.hpp>
#include <nbit/io/compressed_tensors.hpp>
#include <nbit/io/gptq_checkpoint.hpp>
#include <nbit/io/gptq_planar_checkpoint.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <string>
#include <vector>

#include <nbit/format/uniform.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/io/awq_config.hpp>

#include "io/checkpoints.hpp"

namespace {

using nbit::awq_packing;
using nbit::errc;
using nbit_test::checkpoint;
using nbit_test::values_of;

template <int Bits, int Group, nbit::scale_type Scale = nbit::scale_type::f16>
struct asym : nbit::uniform<nbit::scheme{
                  .bits = Bits, .group = Group, .symmetry = nbit::symmetry::asymmetric, .scale = Scale}> {};

template <class F>
void check_equal(const nbit::coded_matrix<F>& a, const nbit::coded_matrix<F>& b) {
  REQUIRE(a.shape() == b.shape());
  CHECK(std::equal(a.codes.begin(), a.codes.end(), b.codes.begin()));
  CHECK(nbit_test::same_params(a.params, b.params));
  CHECK(values_of(a) == values_of(b));
}

/// The words of a layout are the bytes of a tensor.
template <class F, class L>
bool same_words(const nbit::packed_matrix<F, L>& packed, std::span<const std::byte> tensor) {
  const auto view = packed.view();
  return tensor.size() <= nbit::packed_code_bytes<F, L>(packed.shape()) &&
         std::memcmp(view.words, tensor.data(), tensor.size()) == 0;
}

/// A linear through the tensors of every ecosystem that holds 4 bits in order, and back.
template <class F>
nbit::coded_matrix<F> around(const nbit::coded_matrix<F>& q) {
  const auto v1 = nbit::pack_gptq(q, nbit::gptq_zeros::minus_one);
  REQUIRE(v1);
  const auto from_v1 = nbit::unpack_gptq<F>(v1->view(), nbit::gptq_zeros::minus_one);
  REQUIRE(from_v1);
  const auto v2 = nbit::pack_gptq(*from_v1, nbit::gptq_zeros::plain);
  REQUIRE(v2);
  const auto from_v2 = nbit::unpack_gptq<F>(v2->view(), nbit::gptq_zeros::plain);
  REQUIRE(from_v2);
  const auto gemv = nbit::pack_awq(*from_v2, awq_packing::gemv);
  REQUIRE(gemv);
  const auto from_gemv = nbit::unpack_awq<F>(gemv->view(), awq_packing::gemv);
  REQUIRE(from_gemv);
  const auto ct = nbit::pack_ct(*from_gemv);
  REQUIRE(ct);
  const auto from_ct = nbit::unpack_ct<F>(ct->view());
  REQUIRE(from_ct);
  const auto gemm = nbit::pack_awq(*from_ct, awq_packing::gemm);
  REQUIRE(gemm);
  auto from_gemm = nbit::unpack_awq<F>(gemm->view(), awq_packing::gemm);
  REQUIRE(from_gemm);
  return *std::move(from_gemm);
}

template <int Group>
bool check_awq(const checkpoint& c, const nbit::awq_config& config) {
  if (config.group != Group) return false;
  using F = asym<4, Group>;
  const auto read = nbit::unpack_awq<F>({c.tensor("qweight"), c.tensor("qzeros"), c.tensor("scales")}, config.packing);
  REQUIRE(read);
  const auto back = around(*read);
  check_equal(*read, back);
  CHECK(nbit_test::begins_with(values_of(back), c.expected<float>("weight_f32")));
  return true;
}

/// One linear of GPTQModel as AWQ and compressed-tensors; act-order only as the latter.
template <int Bits, int Group>
bool check_gptq(const checkpoint& c, const nbit::gptq_config& config) {
  if (config.bits != Bits || config.group != Group) return false;
  using F = asym<Bits, Group>;
  const nbit::stored_tensor w = c.tensor("qweight"), s = c.tensor("scales"), g = c.tensor("g_idx");
  const nbit::gptq_linear linear{static_cast<std::size_t>(g.shape[0]),
                                 static_cast<std::size_t>(w.shape[1]),
                                 static_cast<std::size_t>(s.shape[0]),
                                 w.bytes,
                                 c.tensor("qzeros").bytes,
                                 s.bytes,
                                 g.bytes};
  const auto read = nbit::unpack_gptq<F>(linear, config.zeros);
  REQUIRE(read);
  const auto expected = c.expected<float>("weight_f32");
  const auto ct = nbit::pack_ct(*read);
  REQUIRE(ct);
  const auto from_ct = nbit::unpack_ct<F>(ct->view());
  REQUIRE(from_ct);
  CHECK(nbit_test::begins_with(values_of(*from_ct), expected));
  const auto again = nbit::pack_gptq(*from_ct, config.zeros);
  REQUIRE(again);
  CHECK(std::equal(again->qweight.begin(), again->qweight.end(), w.bytes.begin()));
  CHECK(std::equal(again->g_idx.begin(), again->g_idx.end(), g.bytes.begin()));
  const auto planar = nbit::pack_gptq_planar(*read);
  REQUIRE(planar);
  const auto from_planar = nbit::unpack_gptq_planar<F>(planar->view());
  REQUIRE(from_planar);
  CHECK(values_of(*from_planar) == values_of(*read));
  if constexpr (Bits == 4) {
    if (read->group_index.empty()) {
      const auto back = around(*read);
      check_equal(*read, back);
      CHECK(nbit_test::begins_with(values_of(back), expected));
    } else {
      const auto refused = nbit::pack_awq(*read);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == errc::unsupported);
    }
  }
  return true;
}

}  // namespace

TEST_CASE("linears of AutoAWQ mean the same as GPTQ and compressed-tensors tensors") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("awq_")) {
    INFO(folder.string());
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const auto config = nbit::read_awq_config(c.quantization());
    REQUIRE(config);
    const bool known = check_awq<32>(c, *config) || check_awq<64>(c, *config) || check_awq<128>(c, *config);
    CHECK(known);
    ++folders;
  }
  CHECK(folders >= 3);
}

TEST_CASE("linears of GPTQModel mean the same as compressed-tensors, planar and, without act-order, AWQ tensors") {
  NBIT_NEEDS_DATA(data, "checkpoints");
  std::size_t folders = 0;
  for (const char* const name : {"gptq_b4_g32_asym_actorder_v1", "gptq_b4_g64_asym_v2", "gptq_b4_g64_asym_zero0_v1",
                                 "gptq_b4_g64_sym_v1", "gptq_b4_g128_sym_actorder_static_v1", "gptq_b3_g64_asym_v2",
                                 "gptq_b2_g64_asym_zero0_v1", "gptq_b8_g64_asym_v2"}) {
    INFO(name);
    const checkpoint c = nbit_test::load_checkpoint(data / name);
    const auto config = nbit::read_gptq_config(c.quantization());
    REQUIRE(config);
    const bool known = check_gptq<2, 64>(c, *config) || check_gptq<3, 64>(c, *config) ||
                       check_gptq<4, 32>(c, *config) || check_gptq<4, 64>(c, *config) ||
                       check_gptq<4, 128>(c, *config) || check_gptq<8, 64>(c, *config);
    CHECK(known);
    ++folders;
  }
  CHECK(folders == 8);
}

TEST_CASE("linears of compressed-tensors mean the same as GPTQ and AWQ tensors where bf16 scales are f16 ones") {
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("ct_pack_b4_g32_asym_bf16")) {
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const auto read = nbit::unpack_ct<asym<4, 32, nbit::scale_type::bf16>>({c.tensor("weight_packed"),
                                                                            c.tensor("weight_scale"),
                                                                            c.tensor("weight_zero_point"),
                                                                            c.tensor("weight_shape"),
                                                                            {}});
    REQUIRE(read);
    auto half = nbit::coded_matrix<asym<4, 32>>::make(read->shape());
    REQUIRE(half);
    std::memcpy(half->codes.data(), read->codes.data(), read->codes.size());
    for (std::size_t i = 0; i < half->params.size(); ++i) {
      half->params[i] = {nbit::f16::from(float(read->params[i].scale)), read->params[i].zero};
      REQUIRE(float(half->params[i].scale) == float(read->params[i].scale));
    }
    const auto back = around(*half);
    check_equal(*half, back);
    CHECK(values_of(back) == values_of(*read));
    ++folders;
  }
  CHECK(folders >= 1);
}

TEST_CASE("repack between the layouts of checkpoints gives the very words of their tensors") {
  using F = asym<4, 128>;
  std::size_t folders = 0;
  for (const auto& folder : nbit_test::checkpoint_folders("awq_gemm_g128")) {
    const checkpoint c = nbit_test::load_checkpoint(folder);
    const nbit::awq_linear file{c.tensor("qweight"), c.tensor("qzeros"), c.tensor("scales")};
    const auto read = nbit::unpack_awq<F>(file);
    REQUIRE(read);
    const auto awq = nbit::pack_codes<nbit::awq_interleave>(*read);
    REQUIRE(awq);
    CHECK(same_words(*awq, file.qweight.bytes));
    const auto gptq = nbit::repack<nbit::gptq_words>(awq->view());
    REQUIRE(gptq);
    CHECK(same_words(*gptq, nbit::pack_gptq(*read)->qweight.span()));
    const auto dense = nbit::repack<nbit::dense_words>(gptq->view());
    REQUIRE(dense);
    CHECK(same_words(*dense, nbit::pack_ct(*read)->weight.bytes.span()));
    const auto rows = nbit::repack<nbit::awq_gemv_rows>(dense->view());
    REQUIRE(rows);
    CHECK(same_words(*rows, nbit::pack_awq(*read, awq_packing::gemv_fast)->qweight.bytes.span()));
    const auto planes = nbit::repack<nbit::gptq_planes>(rows->view());
    REQUIRE(planes);
    CHECK(same_words(*planes, nbit::pack_gptq_planar(*read)->qweight.bytes.span()));
    const auto back = nbit::repack<nbit::awq_interleave>(planes->view());
    REQUIRE(back);
    CHECK(same_words(*back, file.qweight.bytes));
    ++folders;
  }
  CHECK(folders >= 1);
}
