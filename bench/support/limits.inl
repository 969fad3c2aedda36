// bench/support/limits.inl — what this machine can read and multiply at best; stamped per instruction set and
// extension.
// SPDX-License-Identifier: MIT
namespace {

template <>
struct limits<NBIT_ARCH> {
  using base = nbit::arch::base_of<NBIT_ARCH>;
  using vec = nbit::lanes<base>;

  static float read(std::span<const std::byte> bytes) {
    auto a = vec::zero(), b = a, c = a, d = a;
    const float* p = reinterpret_cast<const float*>(bytes.data());
    for (std::size_t i = 0; i + 64 <= bytes.size() / sizeof(float); i += 64) {
      a = vec::add(a, vec::load(p + i)), b = vec::add(b, vec::load(p + i + 16));
      c = vec::add(c, vec::load(p + i + 32)), d = vec::add(d, vec::load(p + i + 48));
    }
    return vec::reduce(vec::add(vec::add(a, b), vec::add(c, d)));
  }

  static void write(std::span<float> to) {
    std::size_t i = 0;
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
    while (i < to.size() && reinterpret_cast<std::uintptr_t>(to.data() + i) % 64 != 0) to[i++] = 0.5f;
    nbit::past_caches<base> lines(to.data() + i);
    for (; i + 16 <= to.size(); i += 16) lines.put(vec::broadcast(0.5f));
    lines.end();
#endif
    for (; i < to.size(); ++i) to[i] = 0.5f;
  }

  static constexpr std::size_t steps = 1 << 20;
  static constexpr double peak_operations = 2.0 * 16 * 12 * double(steps);

  // independent chains: more than two multiply-adds a cycle at a latency of four need, no more than registers hold;
  // chains, and halves of one, that begin alike are one chain to a compiler
  static float peak() {
    constexpr int chains = NBIT_TARGET == 2 ? 12 : NBIT_TARGET == 1 ? 6 : 4;
    float from[16 * chains];
    for (int i = 0; i < 16 * chains; ++i) from[i] = 0.001f * float(i + 1);
    unknown(from);
    const auto x = vec::broadcast(0.999f), y = vec::broadcast(0.001f);
    typename vec::type sum[chains];
    NBIT_UNROLL
    for (int i = 0; i < chains; ++i) sum[i] = vec::load(from + 16 * i);
    for (std::size_t k = 0; k < 12 / chains * steps; ++k) {
      NBIT_UNROLL
      for (int i = 0; i < chains; ++i) sum[i] = vec::fma(sum[i], x, y);
    }
    return total(sum);
  }

  // chains of the dot that gemm uses, as many as registers hold beside what they multiply
  static constexpr double int8_operations = 2.0 * 64 * 12 * double(steps / 16);
  static float int8_peak() {
    using code = nbit::code_lanes<base>;
    constexpr int chains = NBIT_TARGET == 1 ? 4 : 12, rounds = 12 / chains * int(steps / 16);
    alignas(64) std::uint8_t bytes[64];
    alignas(64) std::int8_t x[64];
    for (int i = 0; i < 64; ++i) bytes[i] = static_cast<std::uint8_t>(i % 16), x[i] = static_cast<std::int8_t>(i - 32);
    unknown(bytes), unknown(x);
    const auto w = code::load(bytes);
    typename code::sums sum[chains];
    typename code::partial part[chains];
    NBIT_UNROLL
    for (int i = 0; i < chains; ++i) sum[i] = code::start(i), part[i] = code::none();
    for (int k = 0; k < rounds; ++k) {
      if constexpr (NBIT_TARGET == 1) unknown(x);  // products that stay the same would be made once
      NBIT_UNROLL
      for (int i = 0; i < chains; ++i) code::template step<15>(sum[i], part[i], w, x + 4 * (i % 2));
      if (k % 8 == 7) {
        NBIT_UNROLL
        for (int i = 0; i < chains; ++i) code::template flush<15>(sum[i], part[i]);
      }
    }
    typename vec::type floats[chains];
    for (int i = 0; i < chains; ++i) floats[i] = code::to_float(sum[i]);
    return total(floats);
  }

  using level = nbit::level_lanes<NBIT_ARCH>;
  // dots of levels with bf16 activations: two a cycle at a latency of six
  static constexpr double bf16_operations = 2.0 * 16 * (level::bits == 16 ? 2 : 1) * 24 * double(steps / 16);
  static float bf16_peak() {
    constexpr int chains = NBIT_TARGET == 2 ? 24 : 4;
    alignas(64) std::byte levels[8 * level::bits] = {};
    typename level::activation x[64] = {};
    unknown(levels), unknown(x);
    const auto w = level::load(levels);
    typename vec::type sum[chains];
    NBIT_UNROLL
    for (int i = 0; i < chains; ++i) sum[i] = vec::broadcast(float(i));
    for (std::size_t k = 0; k < 24 / chains * (steps / 16); ++k) {
      NBIT_UNROLL
      for (int i = 0; i < chains; ++i) level::template dot<0>(sum[i], w, x + 4 * (i % 2));
    }
    return total(sum);
  }

 private:
  // the compiler may not know what is multiplied
  template <class T>
  static void unknown(T& from) {
    asm volatile("" : : "r"(&from) : "memory");
  }
  template <int Chains>
  static float total(const typename vec::type (&sum)[Chains]) {
    auto all = vec::zero();
    for (int i = 0; i < Chains; ++i) all = vec::add(all, sum[i]);
    return vec::reduce(all);
  }
};

}  // namespace
