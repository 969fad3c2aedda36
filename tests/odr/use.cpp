// tests/odr/use.cpp — instantiates what the library offers, so that its weak functions can be compared; see check.sh.
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <nbit/nbit.hpp>

// Something that stays a weak function at every level, so that the self-test has one to find.
namespace nbit {
inline namespace NBIT_TAG {
template <class T>
NBIT_NOINLINE T sum_of(const T* p, std::size_t n) {
  T s{};
  for (std::size_t i = 0; i < n; ++i) s = static_cast<T>(s + p[i]);
  return s;
}
}  // namespace NBIT_TAG
}  // namespace nbit

namespace {

// FNV-1a over whatever was computed: equal bits, equal answer.
struct digest {
  std::uint64_t value = 1469598103934665603u;
  void add(const void* p, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) value = (value ^ static_cast<const unsigned char*>(p)[i]) * 1099511628211u;
  }
  template <class T>
  void add(const T& x) {
    add(&x, sizeof x);
  }
};

std::vector<float> weights(std::size_t n) {
  std::vector<float> w(n);
  std::uint32_t state = 1;
  for (float& x : w) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-33f;
  }
  return w;
}

void use_base(digest& d) {
  auto b = nbit::buffer<float>::make(256);
  if (!b) return;
  const std::vector<float> w = weights(256);
  for (std::size_t i = 0; i < 256; ++i) (*b)[i] = w[i];
  nbit::buffer<float> c = *std::move(b);
  d.add(c.data(), c.size() * sizeof(float));
  auto z = nbit::buffer<std::uint16_t>::zeros(64);
  d.add(z.has_value());
  const std::uint32_t numbers[4] = {1, 2, 3, 4};
  d.add(nbit::sum_of(numbers, 4));
}

}  // namespace

std::uint64_t NBIT_USE();
std::uint64_t NBIT_USE() {
  digest d;
  use_base(d);
  return d.value;
}
