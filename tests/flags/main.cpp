// tests/flags/main.cpp — every ggml type against the committed reference bytes, in one file that compiles quickly.
//
// tests/flags/check.sh compiles it with other optimisation levels and instruction sets than the tests have: no flag may
// change a byte.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdio>
#include <string>

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

#include "format/ggml_golden_cases.hpp"

namespace {

int types, cases, failed;

template <class F>
void type(const char* file) {
  const auto count = nbit_test::for_each_golden_case<F>(
      nbit_test::golden_dir() / "ggml", file, [&](const std::string& name, std::size_t differ) {
        if (differ == 0) return;
        ++failed;
        std::printf("failed: %s: %s: %zu differ\n", file, name.c_str(), differ);
      });
  if (count.encoded + count.weighed < 20) ++failed, std::printf("failed: %s has too few cases\n", file);
  ++types, cases += count.encoded + count.weighed + count.decoded;
}

}  // namespace

int main() {
  type<nbit::q4_0>("Q4_0"), type<nbit::q4_1>("Q4_1"), type<nbit::q5_0>("Q5_0"), type<nbit::q5_1>("Q5_1");
  type<nbit::q8_0>("Q8_0"), type<nbit::q8_0>("act_Q8_0"), type<nbit::q8_1>("act_Q8_1"), type<nbit::q8_k>("act_Q8_K");
  type<nbit::q2_k>("Q2_K"), type<nbit::q3_k>("Q3_K"), type<nbit::q4_k>("Q4_K"), type<nbit::q5_k>("Q5_K");
  type<nbit::q6_k>("Q6_K"), type<nbit::iq4_nl>("IQ4_NL"), type<nbit::iq4_xs>("IQ4_XS");
  type<nbit::mxfp4>("MXFP4"), type<nbit::nvfp4>("NVFP4"), type<nbit::tq1_0>("TQ1_0"), type<nbit::tq2_0>("TQ2_0");
  type<nbit::q1_0>("Q1_0"), type<nbit::q2_0>("Q2_0"), type<nbit::iq1_s>("IQ1_S"), type<nbit::iq1_m>("IQ1_M");
  type<nbit::iq2_xxs>("IQ2_XXS"), type<nbit::iq2_xs>("IQ2_XS"), type<nbit::iq2_s>("IQ2_S");
  type<nbit::iq3_xxs>("IQ3_XXS"), type<nbit::iq3_s>("IQ3_S");
  std::printf("%d golden files, %d cases, %d failed\n", types, cases, failed);
  return failed == 0 ? 0 : 1;
}
