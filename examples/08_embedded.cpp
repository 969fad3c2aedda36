// examples/08_embedded.cpp — weights in flash, no heap, no exceptions: what a microcontroller compiles.
// SPDX-License-Identifier: MIT
#define NBIT_NO_HEAP  // owning types are gone; using one is a compile error
#include <array>
#include <cstdio>

#include <nbit/format/presets.hpp>
#include <nbit/kernel/gemv.hpp>

namespace {

using format = nbit::w4g32;
constexpr nbit::shape layer{.rows = 16, .cols = 64};
constexpr std::size_t bytes = nbit::packed_bytes<format>(layer);

// Stands for the array that a host tool wrote into the firmware image.
alignas(16) constexpr std::array<std::byte, bytes> flash = [] {
  std::array<std::byte, bytes> b{};
  for (std::size_t i = 0; i < nbit::packed_code_bytes<format>(layer); ++i) b[i] = static_cast<std::byte>(i * 37);
  for (std::size_t i = nbit::packed_code_bytes<format>(layer); i < bytes; i += 2)
    b[i] = std::byte{0}, b[i + 1] = std::byte{0x28};
  return b;
}();

// Static memory for the activations of one layer, as int8 with a scale for every 32.
alignas(16) std::array<std::byte, nbit::int8_activations<32>::bytes_for({1, layer.cols})> scratch;

void infer(std::span<const float> x, std::span<float> y) noexcept {
  const nbit::int8_activations<32> act(scratch, {1, layer.cols});
  nbit::quantize_activations(nbit::arch::scalar{}, nbit::matrix_view<const float>(x.data(), 1, x.size()), act);
  nbit::gemv(nbit::arch::scalar{}, nbit::packed_view<format>(flash, layer), act, y);
}

}  // namespace

int main() {
  std::array<float, layer.cols> x{};
  std::array<float, layer.rows> y{}, exact{};
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 9) - 4.0f;
  infer(x, y);
  nbit::gemv(nbit::arch::scalar{}, nbit::packed_view<format>(flash, layer), x, exact);
  std::printf("%zu bytes of weights, %zu of scratch; y[0] = %.4f with int8 activations, %.4f with f32\n", bytes,
              scratch.size(), double(y[0]), double(exact[0]));
  for (std::size_t r = 0; r < y.size(); ++r)
    if (nbit::abs(y[r] - exact[r]) > 0.05f) return 1;
  return 0;
}
