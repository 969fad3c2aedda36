// tests/freestanding/main.cpp — runs without heap, exceptions and RTTI: what a small device does.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>

#include <nbit/base/float16.hpp>
#include <nbit/base/matrix_view.hpp>

int main() {
  static const float numbers[6] = {0, 1, 2, 3, 4, 5};
  const nbit::matrix_view<const float> m(numbers, 2, 3);
  float sum = 0;
  for (std::size_t r = 0; r < m.rows; ++r)
    for (const float x : m.row(r)) sum += x;
  return sum == 15.0f ? 0 : 1;
}
