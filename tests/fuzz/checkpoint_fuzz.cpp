// tests/fuzz/checkpoint_fuzz.cpp — libFuzzer entry: any bytes as a checkpoint; every reader of linears takes its
// tensors.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/checkpoint_fuzz.cpp -o
// checkpoint_fuzz
// ./checkpoint_fuzz corpus/ tests/golden/checkpoints/*/
// What a reader accepts is packed and read again: the codes must be the same.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <nbit/format/uniform.hpp>
#include <nbit/io/awq_checkpoint.hpp>
#include <nbit/io/awq_config.hpp>
#include <nbit/io/bnb_checkpoint.hpp>
#include <nbit/io/bnb_int8_checkpoint.hpp>
#include <nbit/io/byte_cursor.hpp>
#include <nbit/io/compressed_config.hpp>
#include <nbit/io/compressed_floats.hpp>
#include <nbit/io/compressed_tensors.hpp>
#include <nbit/io/exl2_checkpoint.hpp>
#include <nbit/io/exl3_checkpoint.hpp>
#include <nbit/io/gptq_checkpoint.hpp>
#include <nbit/io/gptq_planar_checkpoint.hpp>
#include <nbit/io/hqq_checkpoint.hpp>
#include <nbit/io/spqr_checkpoint.hpp>
#include <nbit/io/torchao_checkpoint.hpp>

namespace {

using nbit::symmetry;

template <int Bits, int Group, nbit::scale_type Scale = nbit::scale_type::f16>
struct asym
    : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = symmetry::asymmetric, .scale = Scale}> {};
template <int Bits>
struct hqq : nbit::uniform<nbit::scheme{
                 .bits = Bits, .group = 64, .symmetry = symmetry::asymmetric_float, .scale = nbit::scale_type::f32}> {};
struct fp8 : nbit::float_codes<nbit::f8_e4m3, nbit::per_row, nbit::scale_type::f32> {};

void require(bool holds) {
  if (!holds) __builtin_trap();
}

/// The codes of a linear, wherever it keeps them.
template <class F>
const nbit::coded_matrix<F>& coded(const nbit::coded_matrix<F>& q) {
  return q;
}
const auto& coded(const nbit::ct_nvfp4& q) { return q.weights; }
template <class F>
const nbit::coded_matrix<F>& coded(const nbit::bnb_weights<F>& q) {
  return q.weights;
}
template <class F>
const nbit::coded_matrix<F>& coded(const nbit::hqq_weights<F>& q) {
  return q.groups;
}

/// An error says something; a linear survives packing, unless its packing refuses it.
template <class Read, class Pack, class Again>
void check(const Read& read, Pack&& pack, Again&& again) {
  if (!read) return require(*read.error().what != '\0');
  const auto packed = pack(*read);
  if (!packed) return require(*packed.error().what != '\0');
  const auto back = again(*packed);
  require(back.has_value());
  const auto &a = coded(*read), &b = coded(*back);
  require(a.shape() == b.shape());
  for (std::size_t i = 0; i < a.codes.size(); ++i) require(a.codes[i] == b.codes[i]);
}

template <class F>
void awq(const nbit::awq_linear& l) {
  for (const auto how : {nbit::awq_packing::gemm, nbit::awq_packing::gemv, nbit::awq_packing::gemv_fast})
    check(
        nbit::unpack_awq<F>(l, how), [&](const auto& q) { return nbit::pack_awq(q, how); },
        [&](const auto& t) { return nbit::unpack_awq<F>(t.view(), how); });
}
template <class F>
void compressed(const nbit::ct_linear& l, nbit::ct_packing how) {
  check(
      nbit::unpack_ct<F>(l, how), [&](const auto& q) { return nbit::pack_ct(q, how); },
      [&](const auto& t) { return nbit::unpack_ct<F>(t.view(), how); });
}
template <class F>
void bnb(const nbit::bnb_linear& l) {
  check(
      nbit::unpack_bnb<F>(l), [](const auto& q) { return nbit::pack_bnb(q); },
      [](const auto& t) { return nbit::unpack_bnb<F>(t.view()); });
}
template <class F>
void half_quadratic(const nbit::hqq_linear& l) {
  check(
      nbit::unpack_hqq<F>(l), [](const auto& q) { return nbit::pack_hqq(q); },
      [&](const auto& t) { return nbit::unpack_hqq<F>({t.w_q.view(), t.scale.view(), t.zero.view(), l.meta}); });
}

void read_linear(const nbit::safetensors::file& f, std::string_view layer) {
  const auto get = [&](std::string_view name) { return nbit::find_stored(f, layer, name); };
  const nbit::awq_linear a{get("qweight"), get("qzeros"), get("scales")};
  awq<asym<4, 128>>(a), awq<asym<4, 32>>(a);
  const nbit::gptq_stored gptq{get("qweight"), get("qzeros"), get("scales"), get("g_idx")};
  for (const auto zeros : {nbit::gptq_zeros::minus_one, nbit::gptq_zeros::plain}) {
    check(
        nbit::unpack_gptq<asym<4, 128>>(gptq, zeros), [=](const auto& q) { return nbit::pack_gptq(q, zeros); },
        [=](const auto& t) { return nbit::unpack_gptq<asym<4, 128>>(t.view(), zeros); });
    check(
        nbit::unpack_gptq<asym<3, 64>>(gptq, zeros), [=](const auto& q) { return nbit::pack_gptq(q, zeros); },
        [=](const auto& t) { return nbit::unpack_gptq<asym<3, 64>>(t.view(), zeros); });
  }
  const nbit::gptq_planar_linear planar{get("qweight"), get("qzeros"), get("scales"), get("g_idx")};
  check(
      nbit::unpack_gptq_planar<asym<3, 64>>(planar), [](const auto& q) { return nbit::pack_gptq_planar(q); },
      [](const auto& t) { return nbit::unpack_gptq_planar<asym<3, 64>>(t.view()); });
  nbit::ct_linear c{get("weight_packed"), get("weight_scale"), get("weight_zero_point"), get("weight_shape"),
                    get("weight_g_idx")};
  compressed<asym<3, 64, nbit::scale_type::f32>>(c, nbit::ct_packing::pack_quantized);
  compressed<asym<4, 32, nbit::scale_type::bf16>>(c, nbit::ct_packing::pack_quantized);
  compressed<asym<4, nbit::per_row, nbit::scale_type::f32>>(c, nbit::ct_packing::pack_quantized);
  const nbit::ct_fp4_linear four{c.weight, c.weight_scale, get("weight_global_scale")};
  check(
      nbit::unpack_ct_nvfp4(four), [](const auto& q) { return nbit::pack_ct_nvfp4(q); },
      [](const auto& t) { return nbit::unpack_ct_nvfp4(t.view()); });
  check(
      nbit::unpack_ct_mxfp4(four), [](const auto& q) { return nbit::pack_ct_mxfp4(q); },
      [](const auto& t) { return nbit::unpack_ct_mxfp4(t.view()); });
  c.weight = get("weight");
  compressed<asym<8, nbit::per_row, nbit::scale_type::f32>>(c, nbit::ct_packing::int_quantized);
  check(
      nbit::unpack_ct_fp8<fp8>(c), [](const auto& q) { return nbit::pack_ct_fp8(q); },
      [](const auto& t) { return nbit::unpack_ct_fp8<fp8>(t.view()); });
  for (const char* const state : {"weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4"}) {
    const nbit::bnb_linear b{get("weight"), get("weight.absmax"),        get("weight.quant_map"),
                             get(state),    get("weight.nested_absmax"), get("weight.nested_quant_map")};
    bnb<nbit::nf4>(b), bnb<nbit::fp4_blocks<128>>(b);
  }
  check(
      nbit::unpack_bnb_int8({get("weight"), get("SCB"), get("weight_format")}),
      [](const auto& q) { return nbit::pack_bnb_int8(q); },
      [](const auto& t) { return nbit::unpack_bnb_int8(t.view()); });
  const nbit::exl2_linear e{get("q_weight"), get("q_groups"), get("q_scale"), get("q_scale_max"), get("q_invperm")};
  if (const auto q = nbit::unpack_exl2(e)) {
    const auto packed = nbit::pack_exl2(*q);
    require(packed.has_value());
    const auto back = nbit::unpack_exl2(packed->view());
    require(back && back->codes.size() == q->codes.size());
    for (std::size_t i = 0; i < q->codes.size(); ++i) require(back->codes[i] == q->codes[i]);
  } else {
    require(*q.error().what != '\0');
  }
  using torchao = nbit::tinygemm_int4<64>;
  const nbit::torchao_linear t{get("_weight_qdata"), get("_weight_scale_and_zero")};
  const nbit::shape tiles{static_cast<std::size_t>(t.qdata.shape[0]) * 8 % 4096,
                          static_cast<std::size_t>(t.qdata.shape[1]) * 128 % 4096};
  check(
      nbit::unpack_torchao<torchao>(t, tiles), [](const auto& q) { return nbit::pack_torchao(q); },
      [tiles](const auto& again) { return nbit::unpack_torchao<torchao>(again.view(), tiles); });
  const nbit::spqr_linear s{get("dense_weights"), get("row_offsets"), get("col_vals"), get("in_perm")};
  for (const nbit::shape shape : {nbit::shape{32, 64}, {48, 40}}) {
    const auto q = nbit::unpack_spqr(s, shape);
    if (!q) {
      require(*q.error().what != '\0');
      continue;
    }
    const auto packed = nbit::pack_spqr(*q);
    require(packed.has_value());
    const auto back = nbit::unpack_spqr(packed->view(), shape);
    require(back && back->outliers.size() >= q->first[shape.rows]);
  }
  const nbit::exl3_linear x{get("trellis"), get("suh"), get("svh"), get("su"), get("sv"), get("mcg"), get("mul1")};
  if (const auto q = nbit::unpack_exl3(x)) {
    std::vector<float> w(q->inputs * q->outputs);
    nbit::decode_exl3(*q, {w.data(), q->outputs, q->inputs});
  }
  if (const auto h = nbit::find_hqq(f, layer)) {
    half_quadratic<hqq<1>>(*h), half_quadratic<hqq<2>>(*h), half_quadratic<hqq<3>>(*h), half_quadratic<hqq<4>>(*h);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  // The bytes as a config, and as the JSON inside a tensor.
  if (const auto v = nbit::json_parse(nbit::as_text(bytes), {.bytes = 1u << 16})) {
    if (const auto c = nbit::read_ct_config(*v))
      require(nbit::read_ct_config(nbit::ct_config_json(*c, *v)).has_value());
    if (const auto c = nbit::read_awq_config(*v))
      require(nbit::read_awq_config(nbit::awq_config_json(*c, *v)).has_value());
    if (const auto c = nbit::read_gptq_config(*v))
      require(nbit::read_gptq_config(nbit::gptq_config_json(*c)).has_value());
    if (const auto c = nbit::read_gptq_planar_config(*v))
      require(nbit::read_gptq_planar_config(nbit::gptq_planar_config_json(*c, *v)).has_value());
  }
  if (const auto s = nbit::read_bnb_state(bytes)) {
    const std::string text = nbit::bnb_state_text(*s);
    require(nbit::read_bnb_state({reinterpret_cast<const std::byte*>(text.data()), text.size()}).has_value());
  }
  if (const auto f = nbit::safetensors::parse(bytes)) {
    read_linear(*f, "model.layers.0.self_attn.q_proj");
    read_linear(*f, "model.layers.0.mlp.down_proj");
  }
  return 0;
}
