// tests/odr/main.cpp — runs one or both halves of a program whose halves were built with different machine flags.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdio>
#include <cstring>

std::uint64_t use_baseline();
std::uint64_t use_wide();

int main(int argc, char** argv) {
  const bool wide = argc > 1 && std::strcmp(argv[1], "yes") == 0;
  const std::uint64_t a = use_baseline();
  const std::uint64_t b = wide ? use_wide() : a;
  if (a != b) std::printf("baseline computes %016llx, wide %016llx\n", (unsigned long long)a, (unsigned long long)b);
  std::printf("%016llx\n", (unsigned long long)a);
  return a == b ? 0 : 1;
}
