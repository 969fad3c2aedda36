// tests/consumer/main.cpp — one half of a program outside this project: everything through the public headers.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <vector>

#if defined(CONSUMER_SINGLE_HEADER)
#include <nbit.hpp>
#else
#include <nbit/nbit.hpp>
#endif

// In other.cpp, which includes the same headers: a definition that is not inline would clash at link time.
float quantized_product_of_the_other_half(nbit::matrix_view<const float> w, const std::vector<float>& x);

int main() {
  std::vector<float> numbers(2 * 256), x(256, 1.0f);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i % 15) - 7.0f;
  const nbit::matrix_view<const float> w(numbers.data(), 2, 256);
  const auto q = nbit::quantize<nbit::w4g128>(w);
  if (!q) return 1;
  std::vector<float> y(2);
  nbit::gemv(q->view(), std::span<const float>(x), std::span<float>(y));
  std::printf("nbit %d.%d.%d: %g\n", nbit::version.major_part, nbit::version.minor_part, nbit::version.patch_part,
              static_cast<double>(y[0]));
  return y[0] == quantized_product_of_the_other_half(w, x) ? 0 : 2;
}
