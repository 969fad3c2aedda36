// examples/01_quantize.cpp — name a format, quantize a matrix, multiply with it.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <vector>

#include <nbit/nbit.hpp>

struct w3g64 : nbit::uniform<nbit::scheme{.bits = 3, .group = 64, .symmetry = nbit::symmetry::asymmetric}> {};

int main() {
  constexpr std::size_t rows = 64, cols = 512;
  nbit::random_stream numbers(1);
  std::vector<float> weights(rows * cols), restored(rows * cols), x(cols), y(rows), exact(rows);
  for (float& v : weights) v = 0.2f * numbers.uniform() - 0.1f;
  for (float& v : x) v = 2.0f * numbers.uniform() - 1.0f;
  const nbit::matrix_view<const float> w(weights.data(), rows, cols);

  const auto q = nbit::quantize<w3g64>(w);
  if (!q) return std::printf("error: %s\n", q.error().what), 1;

  nbit::gemv(q->view(), x, y);  // the best kernel of this machine
  nbit::gemv(w, x, exact);
  std::printf("%zu x %zu weights in %zu bytes (%.2f bits each), kernel %s\n", rows, cols, q->bytes.size(),
              8.0 * double(q->bytes.size()) / double(rows * cols), nbit::arch::selected_name());
  std::printf("first output: %.4f quantized, %.4f exact\n", double(y[0]), double(exact[0]));

  nbit::dequantize(q->view(), {restored.data(), rows, cols});
  const auto error = nbit::distortion(w, {restored.data(), rows, cols});
  if (!error) return std::printf("error: %s\n", error.error().what), 1;
  std::printf("relative error of the weights: %.4f, largest %.4f\n", error->relative, error->max);
  return 0;
}
