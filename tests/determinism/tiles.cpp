// tests/determinism/tiles.cpp — row tiles of each kind: nibbles, bytes, planes of bits, two levels of scales, offsets.
// SPDX-License-Identifier: MIT
#include "hashes.hpp"

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/presets.hpp>

void nbit_test::add_tiles(entries& out) {
  add_tiles<nbit::w4g128a>("w4g128a/row_tiles", out);
  add_tiles<nbit::w3g64a>("w3g64a/row_tiles", out);
  add_tiles<nbit::q8_0>("Q8_0/row_tiles", out);
  add_tiles<nbit::q4_k>("Q4_K/row_tiles", out);
  add_tiles<nbit::q6_k>("Q6_K/row_tiles", out);
  add_tiles<nbit::iq4_nl>("IQ4_NL/row_tiles", out);
  add_tiles<nbit::nf4>("NF4/row_tiles", out);
  add_many_tokens<nbit::w4g128a>("w4g128a/row_tiles", out);
  add_many_tokens<nbit::q8_0>("Q8_0/row_tiles", out);
  add_many_tokens<nbit::q6_k>("Q6_K/row_tiles", out);
  add_many_tokens<nbit::iq4_nl>("IQ4_NL/row_tiles", out);
  add_bf16_tiles<nbit::w4g128a>("w4g128a/row_tiles", out);
  add_bf16_tiles<nbit::nf4>("NF4/row_tiles", out);
  add_bf16_tiles<nbit::q6_k>("Q6_K/row_tiles", out);
}
