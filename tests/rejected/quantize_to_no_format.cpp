// tests/rejected/quantize_to_no_format.cpp — a type that does not answer the three questions is no format.
// SPDX-License-Identifier: MIT
// expect: (weight_format|no matching function)
#include <nbit/format/presets.hpp>
#include <nbit/kernel/quantize.hpp>

struct half_a_format {
  static constexpr int bits = 4, group = 32;
  struct params {
    float scale;
  };
};
#ifdef NBIT_REJECT
using format = half_a_format;
#else
using format = nbit::w4g32;
#endif

bool works(nbit::matrix_view<const float> w) { return nbit::quantize<format>(w).has_value(); }
