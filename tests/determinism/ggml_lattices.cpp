// tests/determinism/ggml_lattices.cpp — lattices: ggml's types, its tables, and E8P.
// SPDX-License-Identifier: MIT
#include "hashes.hpp"

#include <nbit/format/e8p.hpp>
#include <nbit/format/ggml_iq1.hpp>
#include <nbit/format/ggml_iq2.hpp>
#include <nbit/format/ggml_iq3.hpp>
#include <nbit/format/ggml_iq4.hpp>

void nbit_test::add_ggml_lattices(entries& out) {
  add_format<nbit::iq1_s>("IQ1_S", out);
  add_format<nbit::iq1_m>("IQ1_M", out);
  add_format<nbit::iq2_xxs>("IQ2_XXS", out);
  add_format<nbit::iq2_xs>("IQ2_XS", out);
  add_format<nbit::iq2_s>("IQ2_S", out);
  add_format<nbit::iq3_xxs>("IQ3_XXS", out);
  add_format<nbit::iq3_s>("IQ3_S", out);
  add_format<nbit::iq4_nl>("IQ4_NL", out);
  add_format<nbit::iq4_xs>("IQ4_XS", out);
  add_format<nbit::mxfp4>("MXFP4", out);
  add_format<nbit::e8p<256>>("E8P", out);
  add_format<nbit::e8p<64>>("E8P-64", out);
}
