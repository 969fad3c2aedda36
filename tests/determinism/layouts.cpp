// tests/determinism/layouts.cpp — layouts of words and tiles, and codebooks.
// SPDX-License-Identifier: MIT
#include "hashes.hpp"

#include <nbit/format/codebook.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/presets.hpp>
#include <nbit/layout/awq_interleave.hpp>
#include <nbit/layout/gptq_words.hpp>
#include <nbit/layout/tiled.hpp>

void nbit_test::add_layouts(entries& out) {
  add_format<nbit::w3g64a, nbit::gptq_words>("w3g64a/gptq_words", out);
  add_format<nbit::w4g64, nbit::awq_interleave>("w4g64/awq_interleave", out);
  add_format<nbit::w4g128, nbit::tiled<16>>("w4g128/tiled16", out);
  add_format<nbit::q4_k, nbit::tiled<8>>("q4_k/tiled8", out);
  add_format<nbit::nf4>("nf4", out);
  add_format<nbit::fp4>("fp4", out);
}
