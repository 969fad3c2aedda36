// tests/consumer/main.cpp — one half of a program outside this project: everything through the public headers.
// SPDX-License-Identifier: MIT
#include <cstdio>

#if defined(CONSUMER_SINGLE_HEADER)
#include <nbit.hpp>
#else
#include <nbit/nbit.hpp>
#endif

// In other.cpp, which includes the same headers: a definition that is not inline would clash at link time.
int rows_seen_by_the_other_half(nbit::matrix_view<const float> m);

int main() {
  const float numbers[6] = {0, 1, 2, 3, 4, 5};
  const nbit::matrix_view<const float> m(numbers, 2, 3);
  auto copy = nbit::buffer<float>::zeros(6);
  if (!copy) return 1;
  std::printf("nbit %d.%d.%d\n", nbit::version.major_part, nbit::version.minor_part, nbit::version.patch_part);
  return rows_seen_by_the_other_half(m) == 2 && m(1, 2) == 5.0f && (*copy)[5] == 0.0f ? 0 : 1;
}
