// examples/05_user_format.cpp — a number format of one's own in twenty lines: quantized, solved and multiplied like any
// other.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <span>
#include <vector>

#include <nbit/nbit.hpp>

// Three bits: sign and one of 1, 1/2, 1/4, 1/8 of the group's largest magnitude. There is no zero.
struct power_grid {
  static constexpr int bits = 3, group = 64;
  struct params {
    nbit::f16 top;
  };
  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    float top = 0;
    for (const float v : w) top = nbit::abs(v) > top ? nbit::abs(v) : top;
    return {nbit::f16::from(top)};
  }
  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    const float magnitude = nbit::abs(v), top = float(p.top);
    const int exponent = magnitude > 0.75f * top ? 0 : magnitude > 0.375f * top ? 1 : magnitude > 0.1875f * top ? 2 : 3;
    return (v < 0 ? 4 : 0) + exponent;
  }
  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    return float(p.top) * (c & 4 ? -1.0f : 1.0f) / static_cast<float>(1 << (c & 3));
  }
};
static_assert(nbit::grid_format<power_grid>);

int main() {
  constexpr std::size_t rows = 48, cols = 256, tokens = 512;
  nbit::random_stream numbers(5);
  std::vector<float> weights(rows * cols), batch(tokens * cols), x(cols, 0.25f), y(rows);
  for (float& v : weights) v = numbers.sign() * numbers.uniform() * numbers.uniform();
  for (std::size_t t = 0; t < tokens; ++t) {  // inputs of real layers are correlated: here through one shared factor
    const float shared = numbers.uniform() - 0.5f;
    for (std::size_t c = 0; c < cols; ++c) batch[t * cols + c] = shared + 0.5f * (numbers.uniform() - 0.5f);
  }
  const nbit::matrix_view<const float> w(weights.data(), rows, cols);

  const auto q = nbit::quantize<power_grid>(w);  // round to nearest
  if (!q) return std::printf("error: %s\n", q.error().what), 1;
  nbit::gemv(q->view(), x, y);  // runs on every instruction set

  nbit::hessian h(cols);
  if (auto added = h.add({batch.data(), tokens, cols}); !added) return 1;
  const auto solved = nbit::gptq<power_grid>(w, h);  // error compensation, for a format it has never seen
  if (!solved) return std::printf("error: %s\n", solved.error().what), 1;
  std::printf("power_grid: first output %.4f; loss %.5f rounded, %.5f solved\n", double(y[0]),
              solved->report.loss_rounded / solved->report.energy, solved->report.loss / solved->report.energy);

  const auto tiles = nbit::repack<nbit::tiled<16>>(q->view());  // and any layout holds it
  return tiles && solved->report.loss < solved->report.loss_rounded ? 0 : 1;
}
