// tests/consumer/other.cpp — the other half; see main.cpp.
// SPDX-License-Identifier: MIT
#include <vector>

#if defined(CONSUMER_SINGLE_HEADER)
#include <nbit.hpp>
#else
#include <nbit/nbit.hpp>
#endif

float quantized_product_of_the_other_half(nbit::matrix_view<const float> w, const std::vector<float>& x);
float quantized_product_of_the_other_half(nbit::matrix_view<const float> w, const std::vector<float>& x) {
  const auto q = nbit::quantize<nbit::w4g128>(w);
  std::vector<float> y(w.rows);
  if (q) nbit::gemv(nbit::arch::scalar{}, q->view(), std::span<const float>(x), std::span<float>(y));
  return y[0];
}
