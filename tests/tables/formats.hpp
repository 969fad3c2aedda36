// tests/tables/formats.hpp — the formats that the generated tables of docs/ speak of, by name.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TESTS_TABLES_FORMATS_HPP
#define NBIT_TESTS_TABLES_FORMATS_HPP

#include <array>

#include <nbit/format/codebook.hpp>
#include <nbit/format/float_codes.hpp>
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
#include <nbit/format/tinygemm.hpp>
#include <nbit/format/uniform.hpp>

namespace tables {

using nbit::scale_type;
using nbit::symmetry;

template <int Bits, int Group, symmetry S, scale_type Scale = scale_type::f16>
struct ints : nbit::uniform<nbit::scheme{.bits = Bits, .group = Group, .symmetry = S, .scale = Scale}> {};
template <int Bits, int Group, scale_type Scale = scale_type::f16>
using sym = ints<Bits, Group, symmetry::gptq, Scale>;
template <int Bits, int Group, scale_type Scale = scale_type::f16>
using asym = ints<Bits, Group, symmetry::asymmetric, Scale>;
template <int Bits, int Group, scale_type Scale = scale_type::f16>
using frac = ints<Bits, Group, symmetry::asymmetric_float, Scale>;

struct nf4_half : nbit::codebook<nf4_half, 4, 64, scale_type::f16> {
  static constexpr std::array<float, 16> levels = nbit::nf4::levels;
};

/// A format and what the tables call it.
template <class F>
struct named {
  using format = F;
  const char* name;
};

/// Calls f(named<F>) for every format that transcode takes as a source and a target.
template <class Call>
void for_each_grid(Call f) {
  f(named<sym<2, 64>>{"int2 g64"});
  f(named<asym<2, 64>>{"int2 g64, zeros"});
  f(named<sym<3, 128>>{"int3 g128"});
  f(named<asym<3, 128>>{"int3 g128, zeros"});
  f(named<sym<4, 32>>{"int4 g32"});
  f(named<sym<4, 32, scale_type::bf16>>{"int4 g32, bf16 scales"});
  f(named<sym<4, 32, scale_type::f32>>{"int4 g32, f32 scales"});
  f(named<asym<4, 32>>{"int4 g32, zeros"});
  f(named<sym<4, 128>>{"int4 g128"});
  f(named<asym<4, 128>>{"int4 g128, zeros"});
  f(named<sym<4, nbit::per_row>>{"int4, one scale a row"});
  f(named<frac<4, 64>>{"int4 g64, fractional zeros"});
  f(named<nbit::tinygemm_int4<64>>{"int4 g64 of torchao"});
  f(named<sym<8, 128>>{"int8 g128"});
  f(named<asym<8, 128>>{"int8 g128, zeros"});
  f(named<sym<8, nbit::per_row, scale_type::f32>>{"int8, one f32 scale a row"});
  f(named<nbit::nf4>{"NF4, f32 scales"});
  f(named<nf4_half>{"NF4, f16 scales"});
  f(named<nbit::fp4>{"FP4 (bitsandbytes)"});
  f(named<nbit::float_codes<nbit::f4_e2m1, 32, scale_type::e8m0>>{"MXFP4 (E2M1, E8M0)"});
  f(named<nbit::float_codes<nbit::f4_e2m1, 16, scale_type::f8_e4m3>>{"NVFP4 (E2M1, E4M3)"});
  f(named<nbit::float_codes<nbit::f8_e4m3, nbit::per_row, scale_type::f32>>{"FP8 E4M3, a row"});
  f(named<nbit::q1_0>{"Q1_0"});
  f(named<nbit::q2_0>{"Q2_0"});
  f(named<nbit::q4_0>{"Q4_0"});
  f(named<nbit::q4_1>{"Q4_1"});
  f(named<nbit::q5_0>{"Q5_0"});
  f(named<nbit::q5_1>{"Q5_1"});
  f(named<nbit::q8_0>{"Q8_0"});
  f(named<nbit::q2_k>{"Q2_K"});
  f(named<nbit::q3_k>{"Q3_K"});
  f(named<nbit::q4_k>{"Q4_K"});
  f(named<nbit::q5_k>{"Q5_K"});
  f(named<nbit::q6_k>{"Q6_K"});
  f(named<nbit::iq4_nl>{"IQ4_NL"});
  f(named<nbit::iq4_xs>{"IQ4_XS"});
  f(named<nbit::tq1_0>{"TQ1_0"});
  f(named<nbit::tq2_0>{"TQ2_0"});
  f(named<nbit::mxfp4>{"MXFP4 (ggml)"});
  f(named<nbit::nvfp4>{"NVFP4 (ggml)"});
}

}  // namespace tables

#endif
