// tests/determinism/uniform.cpp — uniform formats of every width, symmetry and kind of scale.
// SPDX-License-Identifier: MIT
#include "hashes.hpp"

#include <nbit/format/presets.hpp>

namespace {
using nbit::scale_type;
using nbit::scheme;
using nbit::symmetry;
struct w1 : nbit::uniform<scheme{.bits = 1, .group = 64}> {};
struct w2 : nbit::uniform<scheme{.bits = 2, .group = 32, .symmetry = symmetry::full_range, .scale = scale_type::bf16}> {
};
struct w5 : nbit::uniform<scheme{.bits = 5, .group = 24, .symmetry = symmetry::gptq}> {};
struct w6 : nbit::uniform<scheme{.bits = 6, .group = 16, .scale = scale_type::f8_e4m3}> {};
struct w7 : nbit::uniform<scheme{.bits = 7, .group = nbit::per_row, .symmetry = symmetry::asymmetric_float}> {};
struct w8 : nbit::uniform<scheme{
                .bits = 8, .group = nbit::per_tensor, .symmetry = symmetry::asymmetric, .scale = scale_type::f32}> {};
}  // namespace

void nbit_test::add_uniform(entries& out) {
  add_format<w1>("w1g64", out);
  add_format<w2>("w2g32-full-bf16", out);
  add_format<nbit::w3g64a>("w3g64a", out);
  add_format<nbit::w4g128>("w4g128", out);
  add_format<nbit::w4g128a>("w4g128a", out);
  add_format<w5>("w5g24-gptq", out);
  add_format<w6>("w6g16-e4m3", out);
  add_format<w7>("w7-row-float-zero", out);
  add_format<w8>("w8-tensor-f32", out);
}
