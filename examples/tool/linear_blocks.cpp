// tool/linear_blocks.cpp — integers into ggml's blocks and out of them.
// SPDX-License-Identifier: MIT
#include <algorithm>

#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/uniform.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/io/compressed_floats.hpp>

#include "failure.hpp"
#include "linears.hpp"

namespace tool {
namespace {

/// Any width and group as codes of 8 bits in groups of 32: the same numbers, and one format to transcode from.
struct wide : nbit::uniform<nbit::scheme{
                  .bits = 8, .group = 32, .symmetry = nbit::symmetry::asymmetric, .scale = nbit::scale_type::f32}> {};

}  // namespace

written_blocks blocks_of_integers(nbit::ggml_type type, const integer_linear& from, const std::string& name) {
  const auto refused = [](const char* reason) {
    written_blocks to;
    to.report.kind = nbit::fidelity::refused, to.report.reason = reason;
    return to;
  };
  if (!from.group_of.empty()) return refused("the groups are reordered (act-order), and blocks hold neighbours");
  if (from.cols % 32 != 0 || (from.group > 0 && from.group % 32 != 0))
    return refused("groups do not fill blocks of 32");
  auto q = need(nbit::coded_matrix<wide>::make({from.rows, from.cols}));
  std::copy(from.codes.begin(), from.codes.end(), q.codes.begin());
  const std::size_t groups = from.groups(), length = from.group < 0 ? from.cols : static_cast<std::size_t>(from.group);
  for (std::size_t r = 0; r < from.rows; ++r)
    for (std::size_t g = 0; g < from.cols / 32; ++g) {
      const std::size_t at = r * groups + g * 32 / length;
      auto& p = q.params[q.params_index(r, g)];
      p.scale = from.scales[at], p.zero = static_cast<decltype(p.zero)>(from.zeros[at]);
    }
  const auto as = [&]<class To>(To) {
    auto done = need(nbit::try_transcode<To>(q), "'" + name + "'");
    written_blocks to;
    to.report = done.report;
    if (done.report.kind == nbit::fidelity::refused) return to;
    const auto packed = need(nbit::pack_codes<nbit::blocks>(done.weights), "'" + name + "'");
    to.bytes.assign(packed.bytes.begin(), packed.bytes.end());
    return to;
  };
  switch (type) {
    case nbit::ggml_type::q4_0: return as(nbit::q4_0{});
    case nbit::ggml_type::q4_1: return as(nbit::q4_1{});
    case nbit::ggml_type::q5_0: return as(nbit::q5_0{});
    case nbit::ggml_type::q5_1: return as(nbit::q5_1{});
    case nbit::ggml_type::q8_0: return as(nbit::q8_0{});
    default: return refused("integers go into Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 only");
  }
}

std::optional<integer_linear> integers_of_blocks(nbit::ggml_type type, std::span<const std::byte> bytes, nbit::shape s,
                                                 const std::string& name) {
  const auto as = [&]<class F>(F, int bits) {
    const auto q = need(nbit::unpack_codes(nbit::packed_view<F>(bytes, s)), "'" + name + "'");
    integer_linear to;
    to.rows = s.rows, to.cols = s.cols, to.bits = bits, to.group = 32;
    to.codes.assign(q.codes.begin(), q.codes.end());
    // Code 0 means -2^(bits-1) scales in these types.
    for (const auto& p : q.params) {
      to.scales.push_back(float(p.d));
      to.zeros.push_back(static_cast<std::uint8_t>(1u << (bits - 1)));
    }
    return to;
  };
  switch (type) {
    case nbit::ggml_type::q4_0: return as(nbit::q4_0{}, 4);
    case nbit::ggml_type::q8_0: return as(nbit::q8_0{}, 8);
    default: return std::nullopt;
  }
}

std::vector<std::byte> mxfp4_blocks(const tensor_finder& find, const std::string& name) {
  const auto q = need(nbit::unpack_ct_mxfp4({find("weight_packed"), find("weight_scale"), {}}), "'" + name + "'");
  const auto packed = need(nbit::pack_codes<nbit::blocks>(q), "'" + name + "'");
  return {packed.bytes.begin(), packed.bytes.end()};
}

}  // namespace tool
