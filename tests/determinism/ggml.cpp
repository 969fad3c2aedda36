// tests/determinism/ggml.cpp — ggml's legacy, k, ternary and small float types.
// SPDX-License-Identifier: MIT
#include "hashes.hpp"

#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>

void nbit_test::add_ggml(entries& out) {
  add_format<nbit::q4_0>("Q4_0", out);
  add_format<nbit::q4_1>("Q4_1", out);
  add_format<nbit::q5_0>("Q5_0", out);
  add_format<nbit::q5_1>("Q5_1", out);
  add_format<nbit::q8_0>("Q8_0", out);
  add_format<nbit::q8_1>("Q8_1", out);
  add_format<nbit::q2_k>("Q2_K", out);
  add_format<nbit::q3_k>("Q3_K", out);
  add_format<nbit::q4_k>("Q4_K", out);
  add_format<nbit::q5_k>("Q5_K", out);
  add_format<nbit::q6_k>("Q6_K", out);
  add_format<nbit::q8_k>("Q8_K", out);
  add_format<nbit::tq1_0>("TQ1_0", out);
  add_format<nbit::tq2_0>("TQ2_0", out);
  add_format<nbit::q1_0>("Q1_0", out);
  add_format<nbit::q2_0>("Q2_0", out);
  add_format<nbit::nvfp4>("NVFP4", out);
}
