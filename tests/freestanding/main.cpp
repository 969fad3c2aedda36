// tests/freestanding/main.cpp — a product with 4-bit weights without heap, exceptions and RTTI: what a small device
// does.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/format/presets.hpp>
#include <nbit/tensor/packed_view.hpp>
#include <nbit/kernel/gemv.hpp>

namespace {
constexpr nbit::shape shape{2, 128};
// In flash on a device: codes in order, low bits first, then one scale for each row.
alignas(16) std::byte flash[nbit::packed_bytes<nbit::w4g128>(shape)];
float x[128], y[2];
}  // namespace

int main() {
  const nbit::packed_span<nbit::w4g128> w(std::span<std::byte>(flash), shape);
  // Two codes in each byte: 9 and 7 mean +1 and -1 (8 is zero), the scale is 1/2.
  for (std::size_t i = 0; i < 128; ++i) flash[i] = std::byte{0x79};
  for (std::size_t r = 0; r < 2; ++r) w.group_params(r, 0).scale = nbit::f16::from(0.5f);
  for (std::size_t i = 0; i < 128; ++i) x[i] = i % 2 == 0 ? 3.0f : 1.0f;
  nbit::gemv(nbit::arch::scalar{}, nbit::packed_view<nbit::w4g128>(w), std::span<const float>(x), std::span<float>(y));
  return y[0] == 64.0f && y[1] == 64.0f ? 0 : 1;
}
