// nbit/kernel/encode_low_bit.inl — group_encoder for Q2_0; included by kernel/encode.hpp once per target.
//
// Comparisons give the two bits of 32 codes as two words of bits, which are then woven into one.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2

template <class F>
  requires(detail::is_one_of<F, q2_0>)
struct group_encoder<NBIT_ARCH, F> {
  using m = lane_math<NBIT_ARCH>;
  using type = m::type;

  static void encode(const encode_batch& b) {
    for (std::size_t g = 0; g < b.count; ++g) {
      type x[4], size = m::zero();
      for (int i = 0; i < 4; ++i) x[i] = m::load(b.x[g] + 16 * i), size = m::larger(m::abs(x[i]), size);
      const float d = m::largest(size);
      const type inverse = m::broadcast(d > 0.0f ? 1.0f / d : 0.0f);
      store_f16(b.to[g], f16::from(d));
      for (int i = 0; i < 4; i += 2) {
        std::uint32_t low = 0, high = 0;
        for (int k = 0; k < 2; ++k) {  // codes 1 for about 0 and 2 for about d; 0 also for what is NaN
          const type v = m::mul(x[i + k], inverse), a = m::abs(v);
          const auto near_zero = m::less(a, m::broadcast(0.5f));
          const auto one = m::both(m::less(m::zero(), v), m::less(a, m::broadcast(1.5f)));
          low |= m::bits(near_zero) << (16 * k), high |= m::bits(m::without(one, near_zero)) << (16 * k);
        }
        const std::uint64_t codes = spread(low) | spread(high) << 1;
        for (int k = 0; k < 8; ++k) b.to[g][2 + 4 * i + k] = static_cast<std::byte>(codes >> (8 * k) & 255u);
      }
    }
  }

 private:
  /// Bit i of v at bit 2 i.
  NBIT_INLINE static std::uint64_t spread(std::uint32_t v) {
    std::uint64_t x = v;
    x = (x | x << 16) & 0x0000ffff0000ffffu;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
    x = (x | x << 2) & 0x3333333333333333u;
    return (x | x << 1) & 0x5555555555555555u;
  }
};

#endif
}  // namespace NBIT_TAG
}  // namespace nbit
