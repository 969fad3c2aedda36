// tool/blocks.cpp — the table of blocks.hpp: each ggml type's encoder and decoder, compiled once.
// SPDX-License-Identifier: MIT
#include "blocks.hpp"

#include <algorithm>
#include <cmath>

#include <nbit/base/bits.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/tensor/encode.hpp>
#include <nbit/tensor/repack.hpp>
#include <nbit/solver/rtn.hpp>

#include "failure.hpp"

namespace tool {
namespace {

using nbit::ggml_type;

template <class F>
std::vector<float> decode(std::span<const std::byte> bytes, nbit::shape s, const std::string& name) {
  const auto q = need(nbit::unpack_codes(nbit::packed_view<F>(bytes, s)), "'" + name + "'");
  std::vector<float> values(s.rows * s.cols);
  nbit::detail::decode_matrix(q, {values.data(), s.rows, s.cols});
  return values;
}

template <class F>
std::vector<std::byte> encode(nbit::matrix_view<const float> w, std::span<const float> importance,
                              const engine::workers& pool, const std::string& name) {
  const auto codes = need(nbit::round_to_nearest<F>(w, importance, pool), "'" + name + "'");
  const auto packed = need(nbit::pack_codes<nbit::blocks>(codes), "'" + name + "'");
  return {packed.bytes.begin(), packed.bytes.end()};
}

struct entry {
  ggml_type type;
  std::vector<float> (*decode)(std::span<const std::byte>, nbit::shape, const std::string&);
  std::vector<std::byte> (*encode)(nbit::matrix_view<const float>, std::span<const float>, const engine::workers&,
                                   const std::string&);
};

template <class F>
constexpr entry entry_of() {
  return {static_cast<ggml_type>(F::ggml_type), &decode<F>, &encode<F>};
}

const entry* find_entry(ggml_type type) {
  static constexpr entry all[] = {
      entry_of<nbit::q4_0>(),    entry_of<nbit::q4_1>(),   entry_of<nbit::q5_0>(),   entry_of<nbit::q5_1>(),
      entry_of<nbit::q8_0>(),    entry_of<nbit::q2_k>(),   entry_of<nbit::q3_k>(),   entry_of<nbit::q4_k>(),
      entry_of<nbit::q5_k>(),    entry_of<nbit::q6_k>(),   entry_of<nbit::iq1_s>(),  entry_of<nbit::iq1_m>(),
      entry_of<nbit::iq2_xxs>(), entry_of<nbit::iq2_xs>(), entry_of<nbit::iq2_s>(),  entry_of<nbit::iq3_xxs>(),
      entry_of<nbit::iq3_s>(),   entry_of<nbit::iq4_nl>(), entry_of<nbit::iq4_xs>(), entry_of<nbit::tq1_0>(),
      entry_of<nbit::tq2_0>(),   entry_of<nbit::mxfp4>(),  entry_of<nbit::nvfp4>(),  entry_of<nbit::q1_0>(),
      entry_of<nbit::q2_0>()};
  for (const entry& e : all)
    if (e.type == type) return &e;
  return nullptr;
}

std::string name_of(ggml_type type) {
  const nbit::ggml_type_info* const t = nbit::find_ggml_type(static_cast<std::uint32_t>(type));
  return t == nullptr ? "?" : t->name;
}

}  // namespace

std::vector<float> floats_of(ggml_type type, std::span<const std::byte> bytes, nbit::shape s, const std::string& name) {
  if (const entry* const e = find_entry(type)) return e->decode(bytes, s, name);
  std::vector<float> values(s.rows * s.cols);
  switch (type) {
    case ggml_type::f32:
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = nbit::load_f32(bytes.data() + 4 * i);
      return values;
    case ggml_type::f16:
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = float(nbit::load_f16(bytes.data() + 2 * i));
      return values;
    case ggml_type::bf16:
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = float(nbit::bf16::from_bits(nbit::load_u16(bytes.data() + 2 * i)));
      return values;
    default: break;
  }
  throw failure{bad_input,
                "'" + name + "': these are no weights (found " + name_of(type) + ", allowed: floats and blocks)"};
}

std::vector<std::byte> encoded(ggml_type type, nbit::matrix_view<const float> w, std::span<const float> importance,
                               const engine::workers& pool, const std::string& name) {
  if (const entry* const e = find_entry(type)) {
    if (wants_importance(type) && importance.empty())
      throw failure{bad_input, "'" + name + "': " + name_of(type) +
                                   " is made with an importance matrix only; --imatrix FILE, or another type"};
    if (importance.size() <= w.cols) return e->encode(w, importance, pool, name);
    // Experts lie one below the other, each with an importance of its own.
    const std::size_t matrices = importance.size() / w.cols, rows = w.rows / matrices;
    std::vector<std::byte> all;
    for (std::size_t m = 0; m < matrices; ++m) {
      const auto one = e->encode(w.row_range(m * rows, rows), importance.subspan(m * w.cols, w.cols), pool, name);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
  if (type != ggml_type::f32 && type != ggml_type::f16 && type != ggml_type::bf16)
    throw failure{bad_input, "'" + name + "': nobody makes weights of this type (found " + name_of(type) + ")"};
  std::vector<std::byte> out;
  out.reserve(w.rows * w.cols * 4);
  for (std::size_t r = 0; r < w.rows; ++r)
    for (const float v : w.row(r)) {
      std::byte raw[4];
      if (type == ggml_type::f32) {
        nbit::store_f32(raw, v);
      } else {
        nbit::store_u16(raw, type == ggml_type::f16 ? nbit::f16::from(v).bits : nbit::bf16::from(v).bits);
        if (std::isfinite(v) && type == ggml_type::f16 && !std::isfinite(float(nbit::f16::from(v))))
          throw failure{bad_input, "'" + name + "': a weight is too large for F16 (found " + std::to_string(v) +
                                       "); BF16 or F32 hold it"};
      }
      out.insert(out.end(), raw, raw + (type == ggml_type::f32 ? 4 : 2));
    }
  return out;
}

bool can_encode(ggml_type type) {
  return find_entry(type) != nullptr || type == ggml_type::f32 || type == ggml_type::f16 || type == ggml_type::bf16;
}

bool wants_importance(ggml_type type) {
  return type == ggml_type::iq2_xxs || type == ggml_type::iq2_xs || type == ggml_type::iq1_s;
}

}  // namespace tool
