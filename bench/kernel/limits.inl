// bench/kernel/limits.inl — what this machine can read and multiply at best; stamped per instruction set.
// SPDX-License-Identifier: MIT
namespace {

template <>
struct limits<NBIT_ARCH> {
  using vec = nbit::lanes<NBIT_ARCH>;

  static float read(std::span<const std::byte> bytes) {
    auto a = vec::zero(), b = a, c = a, d = a;
    const float* p = reinterpret_cast<const float*>(bytes.data());
    for (std::size_t i = 0; i + 64 <= bytes.size() / sizeof(float); i += 64) {
      a = vec::add(a, vec::load(p + i)), b = vec::add(b, vec::load(p + i + 16));
      c = vec::add(c, vec::load(p + i + 32)), d = vec::add(d, vec::load(p + i + 48));
    }
    return vec::reduce(vec::add(vec::add(a, b), vec::add(c, d)));
  }

  static constexpr std::size_t steps = 1 << 20;
  static constexpr double peak_operations = 2.0 * 16 * 8 * double(steps);

  // eight independent chains: two multiply-adds a cycle at a latency of four
  static float peak() {
    const auto x = vec::broadcast(0.999f), y = vec::broadcast(0.001f);
    auto a = vec::zero(), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (std::size_t i = 0; i < steps; ++i) {
      a = vec::fma(a, x, y), b = vec::fma(b, x, y), c = vec::fma(c, x, y), d = vec::fma(d, x, y);
      e = vec::fma(e, x, y), f = vec::fma(f, x, y), g = vec::fma(g, x, y), h = vec::fma(h, x, y);
    }
    return vec::reduce(vec::add(vec::add(vec::add(a, b), vec::add(c, d)), vec::add(vec::add(e, f), vec::add(g, h))));
  }
};

}  // namespace
