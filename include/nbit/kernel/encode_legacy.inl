// nbit/kernel/encode_legacy.inl — group_encoder for blocks of 32: Q4_0 to Q8_1 and MXFP4; included by
// kernel/encode.hpp once per target.
//
// Without importance a block needs no search: two vectors along its weights. With it, sixteen blocks side by side.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2

/// 32 weights in two vectors.
template <>
struct block_of_32<NBIT_ARCH> {
  using m = lane_math<NBIT_ARCH>;
  using type = m::type;
  type a, b;

  NBIT_INLINE static block_of_32 load(const float* x) { return {m::load(x), m::load(x + 16)}; }
  NBIT_INLINE float size() const { return m::largest(m::larger(m::abs(a), m::abs(b))); }
  NBIT_INLINE float top() const { return m::largest(m::larger(a, b)); }
  NBIT_INLINE float bottom() const { return -m::largest(m::larger(m::negate(a), m::negate(b))); }
  /// Where the first weight of this value, or of this magnitude, is.
  NBIT_INLINE int first(float v) const {
    const type s = m::broadcast(v);
    return __builtin_ctz(m::bits(m::equal(a, s)) | m::bits(m::equal(b, s)) << 16);
  }
  NBIT_INLINE int first_of_size(float v) const {
    const type s = m::broadcast(v);
    return __builtin_ctz(m::bits(m::equal(m::abs(a), s)) | m::bits(m::equal(m::abs(b), s)) << 16);
  }
};

template <class F>
  requires(detail::is_one_of<F, q4_0, q4_1, q5_0, q5_1, q8_0, q8_1, mxfp4>)
struct group_encoder<NBIT_ARCH, F> {
  using m = lane_math<NBIT_ARCH>;
  using type = m::type;
  using search = lane_search<NBIT_ARCH>;
  using lanes_of = group_lanes<NBIT_ARCH>;
  using block = block_of_32<NBIT_ARCH>;
  using sixteen = row_codes<NBIT_ARCH>;
  static constexpr bool searches = detail::weighs_by_row<F>;  // with importance
  static constexpr int high = (1 << F::bits) - 1, half = 1 << (F::bits - 1);

  static void encode(const encode_batch& b) {
    if constexpr (searches) {
      if (b.importance[0] != nullptr) return encode_weighed(b);
    }
    if constexpr (detail::is_one_of<F, mxfp4>)
      encode_microscaled(b);
    else
      encode_plain(b);
  }

 private:
  /// One weight of each block decides its scale; sixteen scales at once.
  static void encode_plain(const encode_batch& b) {
    alignas(64) float key[16], low[16], scale[16], inverse[16];
    alignas(64) f16 d16[16], low16[16] = {};
    for (int g = 0; g < 16; ++g) {
      const float* const x = b.x[g];
      const block w = block::load(x);
      if constexpr (F::bits == 8) {
        key[g] = w.size();
      } else if constexpr (F::symmetric) {
        const float size = w.size();
        key[g] = size != 0.0f ? x[w.first_of_size(size)] : 0.0f;
      } else {
        key[g] = w.top(), low[g] = w.bottom();
        if (low[g] == 0.0f) low[g] = x[w.first(0.0f)];  // the sign of the first zero is stored
      }
    }
    type d = m::load(key);
    if constexpr (F::bits == 8) d = m::div(d, m::broadcast(127.0f));
    if constexpr (F::bits != 8 && F::symmetric) d = m::div(d, m::broadcast(static_cast<float>(-half)));
    if constexpr (!F::symmetric) {
      d = m::abs(m::div(m::sub(d, m::load(low)), m::broadcast(static_cast<float>(high))));  // no zero with a sign
      m::store_f16(low16, m::load(low));
    }
    const auto none = m::equal(d, m::zero());
    m::store(scale, d), m::store_f16(d16, d);
    m::store(inverse, m::choose(none, m::zero(), m::div(m::broadcast(1.0f), d)));
    // Otherwise a quotient may be infinite or a subnormal scale far from its weights: the definition knows what then.
    const auto usual = m::both(m::less(m::broadcast(1e-30f), m::abs(d)), m::less(m::abs(d), m::broadcast(1e30f)));
    const unsigned simple = m::bits(m::either(usual, none));
    for (std::size_t g = 0; g < b.count; ++g) {
      if ((simple >> g & 1u) == 0) {
        lanes_of::template encode_one<F>(b, g);
        continue;
      }
      const block w = block::load(b.x[g]);
      const type per_scale = m::broadcast(inverse[g]);
      typename m::ints low_half, high_half;
      if constexpr (F::bits == 8) {
        low_half = m::rounded_away(m::mul(w.a, per_scale)), high_half = m::rounded_away(m::mul(w.b, per_scale));
      } else if constexpr (F::symmetric) {
        const type middle = m::broadcast(static_cast<float>(half) + 0.5f);
        low_half = m::truncated(m::add(m::mul(w.a, per_scale), middle), high);
        high_half = m::truncated(m::add(m::mul(w.b, per_scale), middle), high);
      } else {
        const type start = m::broadcast(low[g]), middle = m::broadcast(0.5f);
        low_half = m::truncated(m::add(m::mul(m::sub(w.a, start), per_scale), middle), high);
        high_half = m::truncated(m::add(m::mul(m::sub(w.b, start), per_scale), middle), high);
      }
      put(b.to[g], d16[g], low16[g], scale[g], m::bytes(low_half), m::bytes(high_half));
    }
  }
  /// The bytes of a block: F::store without a detour through memory.
  template <class Bytes>
  NBIT_INLINE static void put(std::byte* to, f16 d, f16 low, float scale, Bytes a, Bytes b) {
    if constexpr (detail::is_one_of<F, q8_1>) {  // its second number is a sum of the codes
      typename F::params p;
      std::uint8_t codes[32];
      sixteen::store(codes, a), sixteen::store(codes + 16, b);
      F::store_scale(scale, codes, p);
      F::store(to, p, codes);
    } else {
      store_f16(to, d);
      std::byte* at = to + 2;
      if constexpr (!F::symmetric) store_f16(at, low), at += 2;
      if constexpr (F::bits == 5)
        store_u32(at, sixteen::template plane<4>(a) | sixteen::template plane<4>(b) << 16), at += 4;
      std::uint8_t* const bytes = reinterpret_cast<std::uint8_t*>(at);
      if constexpr (F::bits == 8)
        sixteen::store(bytes, sixteen::turned(a)), sixteen::store(bytes + 16, sixteen::turned(b));
      else
        sixteen::store(bytes, sixteen::nibbles(a, b));
    }
  }

  /// MXFP4: 14 thresholds between the levels and their negatives, in sixteenths, so that weights lie between -1 and 1;
  /// the smallest are code 0, whatever their sign.
  struct midpoints {
    float rising[14];
    alignas(16) std::uint8_t code[16];
  };
  static constexpr midpoints mids = [] {
    constexpr float middle[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};
    midpoints t{};
    for (int i = 0; i < 7; ++i) {
      const float sixteenths = middle[i] / 16.0f;
      t.rising[7 + i] = sixteenths;
      // a magnitude on a midpoint takes the lower one: the float below the negative midpoint
      t.rising[6 - i] = std::bit_cast<float>((std::bit_cast<std::uint32_t>(sixteenths) + 1u) | 0x80000000u);
      t.code[8 + i] = static_cast<std::uint8_t>(i + 1), t.code[6 - i] = static_cast<std::uint8_t>(i + 9);
    }
    return t;
  }();
  static constexpr typename m::rising_numbers middles = m::rising(mids.rising, 14, true);
  NBIT_INLINE static auto microscaled(type v) { return sixteen::lookup(mids.code, m::bytes(m::rank(middles, v))); }
  static void encode_microscaled(const encode_batch& b) {
    float size[16];
    for (std::size_t g = 0; g < b.count; ++g) size[g] = block::load(b.x[g]).size();
    for (std::size_t g = 0; g < b.count; ++g) {
      const block w = block::load(b.x[g]);
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(size[g]), exponent = bits >> 23;
      // The definition rounds a logarithm, which matters just below a power of two.
      if (exponent < 40 || exponent > 220 || (bits & 0x7fffffu) > 0x7ff000u) {
        lanes_of::template encode_one<F>(b, g);
        continue;
      }
      // The scale is 2^(exponent - 130): half of what is stored, two less than the largest weight's.
      b.to[g][0] = static_cast<std::byte>(exponent - 2);
      const type per_scale = m::broadcast(std::bit_cast<float>((253u - exponent) << 23));  // and a sixteenth of it
      const auto low = microscaled(m::mul(w.a, per_scale)), high_half = microscaled(m::mul(w.b, per_scale));
      sixteen::store(reinterpret_cast<std::uint8_t*>(b.to[g] + 1), sixteen::nibbles(low, high_half));
    }
  }

  static void encode_weighed(const encode_batch& b)
    requires searches
  {
    alignas(64) float x[16 * 32], weight[16 * 32], scale[16], lowered[16] = {};
    alignas(64) std::uint8_t found[16 * 32];
    unsigned odd = 0;
    lanes_of::template gather<32, 32>(b.x, 0, x);
    lanes_of::template weights<32, 32>(b.importance, 0, b.mean_square, x, weight);
    if constexpr (F::symmetric) {
      m::store(scale, search::template signed_levels<32, half>(x, weight, found));
    } else {
      const auto g = search::template lowered<32, high, 37, false>(x, weight, found, -0.9f, 0.05f);
      m::store(scale, g.scale), m::store(lowered, g.lowered);
      odd = m::bits(g.odd);
    }
    for (std::size_t g = 0; g < b.count; ++g) {
      if ((odd >> g & 1u) != 0) {
        lanes_of::template encode_one<F>(b, g);
        continue;
      }
      typename F::params p;
      std::uint8_t codes[32];
      p.d = f16::from(scale[g]);
      if constexpr (!F::symmetric) p.m = f16::from(-lowered[g]);
      lanes_of::template of_group<32>(found, g, codes);
      F::store(b.to[g], p, codes);
    }
  }
};

#endif
}  // namespace NBIT_TAG
}  // namespace nbit
