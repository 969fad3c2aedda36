// examples/03_awq.cpp — scale salient channels, fold the scales into the norm before, quantize: a GGUF type as AWQ's
// target.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <vector>

#include <nbit/nbit.hpp>

namespace {

constexpr std::size_t outputs = 64, inputs = 256, tokens = 512;

// The output of "norm weight, then linear" for one normalised token.
std::vector<float> layer(const std::vector<float>& norm, nbit::matrix_view<const float> w,
                         const std::vector<float>& token) {
  std::vector<float> x(inputs), y(outputs);
  for (std::size_t c = 0; c < inputs; ++c) x[c] = token[c] * norm[c];
  nbit::gemv(w, x, y);
  return y;
}

}  // namespace

int main() {
  nbit::random_stream numbers(3);
  std::vector<float> weights(outputs * inputs), norm(inputs), batch(tokens * inputs), token(inputs);
  for (float& v : weights) v = numbers.uniform() - 0.5f;
  for (std::size_t c = 0; c < inputs; ++c)
    norm[c] = c % 32 == 0 ? 12.0f : 0.5f;  // a few loud channels, as in real models
  for (float& v : token) v = 2.0f * numbers.uniform() - 1.0f;
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i] = norm[i % inputs] * (2.0f * numbers.uniform() - 1.0f);

  nbit::hessian h(inputs);  // the only statistic AWQ needs; no activation is kept
  if (auto added = h.add({batch.data(), tokens, inputs}); !added) return std::printf("%s\n", added.error().what), 1;

  const nbit::matrix_view<const float> w(weights.data(), outputs, inputs);
  auto scaled = nbit::awq<nbit::q4_k>(w, h);
  if (!scaled) return std::printf("%s\n", scaled.error().what), 1;
  std::printf("loss: %.6f rounded, %.6f scaled, %.6f clipped too\n", scaled->loss_rounded / scaled->energy,
              scaled->loss_scaled / scaled->energy, scaled->loss / scaled->energy);

  std::vector<float> folded = norm;
  if (auto done = nbit::fold_into_norm(folded, {}, scaled->scales.span()); !done)
    return std::printf("%s\n", done.error().what), 1;
  const std::vector<float> before = layer(norm, w, token), after = layer(folded, scaled->view(), token);
  const auto q = nbit::quantize<nbit::q4_k>(scaled->view());
  if (!q) return std::printf("%s\n", q.error().what), 1;
  std::printf("first output: %.4f before, %.4f scaled and folded; %zu bytes as Q4_K\n", double(before[0]),
              double(after[0]), q->bytes.size());
  return scaled->loss < scaled->loss_rounded ? 0 : 1;
}
