// tool/linear_floats.cpp — linears of every spelling as floats.
// SPDX-License-Identifier: MIT
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/io/bnb_checkpoint.hpp>
#include <nbit/io/bnb_int8_checkpoint.hpp>
#include <nbit/io/compressed_floats.hpp>
#include <nbit/io/compressed_tensors.hpp>
#include <nbit/io/exl2_checkpoint.hpp>
#include <nbit/io/exl3_checkpoint.hpp>
#include <nbit/io/hqq_checkpoint.hpp>

#include "failure.hpp"
#include "linear_parts.hpp"

namespace tool {
namespace {

template <class F>
dense_linear decoded(const nbit::coded_matrix<F>& q) {
  dense_linear d{q.rows, q.cols, std::vector<float>(q.rows * q.cols)};
  nbit::detail::decode_matrix(q, {d.values.data(), d.rows, d.cols});
  return d;
}

template <class F>
std::optional<dense_linear> bnb_as(const nbit::bnb_linear& from, const nbit::bnb_state& state,
                                   const std::string& name) {
  const auto read = need(nbit::unpack_bnb<F>(from), "'" + name + "'");
  dense_linear d = decoded(read.weights);
  d.rows = static_cast<std::size_t>(state.rows), d.cols = static_cast<std::size_t>(state.cols);
  return d;
}

template <int Block>
std::optional<dense_linear> bnb_block(const nbit::bnb_linear& from, const nbit::bnb_state& state,
                                      const std::string& name) {
  return state.quant_type == "nf4" ? bnb_as<nbit::nf4_blocks<Block>>(from, state, name)
                                   : bnb_as<nbit::fp4_blocks<Block>>(from, state, name);
}

dense_linear bnb_floats(const tensor_finder& find, const std::string& name) {
  nbit::stored_tensor state = find("weight.quant_state.bitsandbytes__nf4");
  if (!state.present) state = find("weight.quant_state.bitsandbytes__fp4");
  if (!state.present) throw failure{bad_input, "'" + name + "': the linear lacks quant_state (allowed: NF4 or FP4)"};
  const nbit::bnb_linear from{find("weight"), find("weight.absmax"),        find("weight.quant_map"),
                              state,          find("weight.nested_absmax"), find("weight.nested_quant_map")};
  const nbit::bnb_state s = need(nbit::read_bnb_state(state.bytes), "'" + name + "'");
  std::optional<dense_linear> d;
  if (s.block == 64) d = bnb_block<64>(from, s, name);
  if (s.block == 128) d = bnb_block<128>(from, s, name);
  if (s.block == 256) d = bnb_block<256>(from, s, name);
  if (!d)
    throw failure{bad_input,
                  "'" + name + "': block size (found " + std::to_string(s.block) + ", allowed: 64, 128, 256)"};
  return *std::move(d);
}

dense_linear hqq_floats(const tensor_finder& find, const std::string& name) {
  const std::string where = "'" + name + "'";
  nbit::hqq_linear from = need(nbit::find_hqq(find), where);
  std::vector<std::byte> scales, zeros;
  nbit::scale_type was{};
  from.scale = wide_scale(from.scale, scales, was), from.zero = wide_scale(from.zero, zeros, was);
  return with_one_of<1, 2, 3, 4, 5, 6, 8>("nbits", from.meta.bits, [&](auto b) {
    return with_one_of<32, 64, 128>("group_size", from.meta.group, [&](auto g) {
      struct F : nbit::uniform<nbit::scheme{.bits = decltype(b)::value,
                                            .group = decltype(g)::value,
                                            .symmetry = nbit::symmetry::asymmetric_float,
                                            .scale = nbit::scale_type::f32}> {};
      const auto read = need(nbit::unpack_hqq<F>(from), where);
      dense_linear d{static_cast<std::size_t>(from.meta.rows), static_cast<std::size_t>(from.meta.cols), {}};
      d.values.resize(d.rows * d.cols);
      nbit::decode_hqq(read, {d.values.data(), d.rows, d.cols});
      return d;
    });
  });
}

}  // namespace

dense_linear read_floats(const linear_format& f, const tensor_finder& find, const std::string& name) {
  const std::string where = "'" + name + "'";
  if (const auto integers = read_integers(f, find, name)) return {integers->rows, integers->cols, integers->values()};
  const nbit::ct_fp4_linear fp4{find("weight_packed"), find("weight_scale"), find("weight_global_scale")};
  switch (f.spelling) {
    case spelling::compressed_nvfp4: {
      const auto read = need(nbit::unpack_ct_nvfp4(fp4), where);
      return decoded(need(nbit::scaled_nvfp4(read), where));
    }
    case spelling::compressed_mxfp4: return decoded(need(nbit::unpack_ct_mxfp4(fp4), where));
    case spelling::compressed_fp8: {
      std::vector<std::byte> memory;
      nbit::scale_type scale{};
      const nbit::ct_linear from{find("weight"), wide_scale(find("weight_scale"), memory, scale), {}, {}, {}};
      struct fp8 : nbit::float_codes<nbit::f8_e4m3, nbit::per_row, nbit::scale_type::f32> {};
      return decoded(need(nbit::unpack_ct_fp8<fp8>(from), where));
    }
    case spelling::bitsandbytes: return bnb_floats(find, name);
    case spelling::bitsandbytes_int8:
      return decoded(need(nbit::unpack_bnb_int8({find("weight"), find("SCB"), find("weight_format")}), where));
    case spelling::hqq: return hqq_floats(find, name);
    case spelling::exl2: {
      const auto read = need(nbit::unpack_exl2({find("q_weight"), find("q_groups"), find("q_scale"),
                                                find("q_scale_max"), find("q_invperm")}),
                             where);
      dense_linear d{read.outputs, read.inputs, std::vector<float>(read.outputs * read.inputs)};
      nbit::decode_exl2(read, {d.values.data(), d.rows, d.cols});
      return d;
    }
    case spelling::exl3: {
      const auto read = need(nbit::unpack_exl3({find("trellis"), find("suh"), find("svh"), find("su"), find("sv"),
                                                find("mcg"), find("mul1")}),
                             where);
      dense_linear d{read.outputs, read.inputs, std::vector<float>(read.outputs * read.inputs)};
      nbit::decode_exl3(read, {d.values.data(), d.rows, d.cols});
      return d;
    }
    default: break;  // those that read_integers reads
  }
  throw failure{bad_input, where + ": linears of this kind are not decoded here (found " + name_of(f.spelling) + ")"};
}

}  // namespace tool
