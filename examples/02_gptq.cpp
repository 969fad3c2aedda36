// examples/02_gptq.cpp — the same solver on four formats: a k-quant of GGUF files, NF4, plain integers, and 3 bits.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <vector>

#include <nbit/parallel/threads.hpp>
#include <nbit/nbit.hpp>

namespace {

template <class Format>
int compare(const char* name, nbit::matrix_view<const float> w, const nbit::hessian& h, nbit::thread_pool& pool) {
  const auto rounded = nbit::round_to_nearest<Format>(w);
  const auto solved = nbit::gptq<Format>(w, h, {}, pool);
  if (!rounded || !solved) return std::printf("%s: %s\n", name, (rounded ? solved.error() : rounded.error()).what), 1;
  const auto before = nbit::relative_output_error(w, *rounded, h, pool);
  const auto after = nbit::relative_output_error(w, solved->codes, h, pool);
  if (!before || !after) return std::printf("%s: no memory\n", name), 1;
  std::printf("%-8s output error %.5f rounded, %.5f solved\n", name, *before, *after);
  return *after <= *before ? 0 : 1;
}

}  // namespace

int main() {
  constexpr std::size_t outputs = 96, inputs = 256, tokens = 1024;
  nbit::random_stream numbers(2);
  std::vector<float> weights(outputs * inputs), batch(tokens * inputs);
  for (float& v : weights) v = 0.2f * numbers.uniform() - 0.1f;

  // Calibration is a stream of batches, one token per row. Real inputs are correlated: here through a few shared
  // factors.
  nbit::hessian h(inputs);
  for (int part = 0; part < 4; ++part) {
    for (std::size_t t = 0; t < tokens; ++t) {
      float shared[8];
      for (float& s : shared) s = 2.0f * numbers.uniform() - 1.0f;
      for (std::size_t c = 0; c < inputs; ++c)
        batch[t * inputs + c] = shared[c % 8] + 0.3f * (numbers.uniform() - 0.5f);
    }
    if (auto added = h.add({batch.data(), tokens, inputs}); !added) return std::printf("%s\n", added.error().what), 1;
  }

  nbit::thread_pool pool;  // any callable pool(n, f) will do
  const nbit::matrix_view<const float> w(weights.data(), outputs, inputs);
  int failures = 0;
  failures += compare<nbit::q4_k>("Q4_K", w, h, pool);
  failures += compare<nbit::nf4>("NF4", w, h, pool);
  failures += compare<nbit::w4g128a>("w4g128a", w, h, pool);
  failures += compare<nbit::w3g64a>("w3g64a", w, h, pool);
  return failures;
}
