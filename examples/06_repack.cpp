// examples/06_repack.cpp — the same weights in the words of GPTQ, of AWQ, and in tiles; the numbers never change.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <vector>

#include <nbit/nbit.hpp>

int main() {
  constexpr std::size_t outputs = 16, inputs = 128;
  nbit::random_stream numbers(6);
  std::vector<float> weights(outputs * inputs), x(inputs), a(outputs), b(outputs), c(outputs);
  for (float& v : weights) v = numbers.uniform() - 0.5f;
  for (float& v : x) v = numbers.uniform() - 0.5f;

  const auto gptq = nbit::quantize<nbit::w4g128a, nbit::gptq_words>({weights.data(), outputs, inputs});
  if (!gptq) return std::printf("error: %s\n", gptq.error().what), 1;
  const auto awq = nbit::repack<nbit::awq_interleave>(gptq->view());
  const auto tiles = nbit::repack<nbit::tiled<16>>(gptq->view());
  if (!awq || !tiles) return std::printf("error: no memory\n"), 1;

  std::printf("first words: GPTQ %08x, AWQ %08x\n", gptq->view().words[0], awq->view().words[0]);
  nbit::gemv(gptq->view(), x, a);
  nbit::gemv(awq->view(), x, b);
  nbit::gemv(tiles->view(), x, c);
  std::printf("outputs are %s\n", a == b && b == c ? "equal to the last bit" : "different");
  return a == b && b == c ? 0 : 1;
}
