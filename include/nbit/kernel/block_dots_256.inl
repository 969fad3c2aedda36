// nbit/kernel/block_dots_256.inl — the integer sums of blocks of 256 columns, four at a time, for instruction sets with
// block_lanes; included by kernel/block_gemv.hpp once per target. How the bits lie: the formats' own headers.
// SPDX-License-Identifier: MIT
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2  // avx_vnni runs avx2's

namespace nbit {
inline namespace NBIT_TAG {

template <class F>
struct block_dots_256<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  using dots = block_dots<NBIT_ARCH, F>;
  using scale_t = f16;
  static constexpr float factor = 1.0f;
  static constexpr std::size_t columns = 256, width = 256, step = 4, extra = 0, bytes = F::block_bytes;

  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    for (std::size_t b = 0; b < step; ++b)
      dots::arrange_block(x + columns * b, sums + 16 * b, out + dots::width * b, e + dots::extra * b);
  }
  template <class X, class E>
  NBIT_INLINE static void sums(const std::byte* p, X x, E e, const block_sums<f16>& out) {
    const auto da = early(p), db = early(p + bytes), dc = early(p + 2 * bytes), dd = early(p + 3 * bytes);
    typename dots::template minima<X::count> ma, mb, mc, md;  // J, for formats with an offset
    const auto a = one(p, x, e, out, 0, da, ma), b = one(p + bytes, x + dots::width, e + dots::extra, out, 1, db, mb),
               c = one(p + 2 * bytes, x + 2 * dots::width, e + 2 * dots::extra, out, 2, dc, mc),
               d = one(p + 3 * bytes, x + 3 * dots::width, e + 3 * dots::extra, out, 3, dd, md);
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) {
      vec::store(out.sum + t * out.stride, dots::whole(a.of[t], b.of[t], c.of[t], d.of[t], e[t]));
      if constexpr (has_offset<F>)
        vec::store(out.offset_sum + t * out.stride, vec::totals(ma.of[t], mb.of[t], mc.of[t], md.of[t]));
    }
  }
  NBIT_INLINE static __m128i whole(ints a, ints b, ints c, ints d, const std::int32_t*) {
    return vec::totals(a, b, c, d);
  }

  template <std::size_t Tokens>
  struct minima {  // whose lanes add up to J
    __m128i of[Tokens];
  };

 private:
  // What a format can decode of a block without the activations it decodes of all four first: what waits for that then
  // is not in the way of what does not, as machines look only some 450 instructions ahead.
  struct nothing {};
  NBIT_INLINE static auto early(const std::byte* p) {
    if constexpr (requires { dots::decode(p); })
      return dots::decode(p);
    else
      return nothing{};
  }
  template <class X, class E, class Decoded, class Lowered>
  NBIT_INLINE static auto one(const std::byte* p, X x, E e, const block_sums<f16>& out, std::size_t b, const Decoded& d,
                              Lowered& lowered) {
    dots::load_scale(p, out.scale + b);
    if constexpr (has_offset<F>) {
      std::uint16_t offset;
      std::memcpy(&offset, p + dots::scale_at + 2, 2);
      offset = static_cast<std::uint16_t>(offset ^ 0x8000u);  // the format subtracts it
      std::memcpy(out.offset_scale + b, &offset, 2);
      return dots::block(p, x, e, lowered);
    } else if constexpr (requires { dots::decode(p); }) {
      return dots::block(p, d, x, e);
    } else {
      return dots::block(p, x, e);
    }
  }

 public:
  NBIT_INLINE static void load_scale(const std::byte* p, f16* scale) { std::memcpy(scale, p + dots::scale_at, 2); }
  /// Activations as they are, and `times` times the sums of their runs of 16, as 16-bit numbers.
  NBIT_INLINE static void arrange_plain(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e, int times) {
    std::memcpy(out, x, 256);
    std::int16_t of_run[16];
    for (std::size_t s = 0; s < 16; ++s) of_run[s] = static_cast<std::int16_t>(times * sums[s]);
    std::memcpy(e, of_run, sizeof of_run);
  }
};

/// Q4_K and Q5_K: a register holds runs r and r + 2, r = 0, 1, 4, 5: the nibbles of 64 neighbouring bytes.
template <class F>
struct block_dots_lowered<NBIT_ARCH, F> : block_dots_256<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  template <std::size_t Tokens>
  using minima = typename block_dots_256<NBIT_ARCH, F>::template minima<Tokens>;
  static constexpr std::size_t scale_at = 0, extra = 4;  // extra: the sums of the runs' codes, 16 bits each

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    std::int16_t of_run[8];
    for (std::size_t r = 0; r < 8; ++r) {
      std::memcpy(out + 32 * (r / 4 * 4 + r % 2 * 2 + r % 4 / 2), x + 32 * r, 32);
      of_run[r] = static_cast<std::int16_t>(sums[2 * r] + sums[2 * r + 1]);
    }
    std::memcpy(e, of_run, sizeof of_run);
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, X x, E e, minima<X::count>& lowered) {
    std::uint32_t a, b, c;
    std::memcpy(&a, p + 4, 4), std::memcpy(&b, p + 8, 4), std::memcpy(&c, p + 12, 4);
    const std::uint64_t scale = (a & 0x3f3f3f3fu) | std::uint64_t{(c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u)} << 32;
    const std::uint64_t minimum = (b & 0x3f3f3f3fu) | std::uint64_t{(c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u)}
                                                          << 32;
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      lowered.of[t] = _mm_madd_epi16(_mm_cvtepu8_epi16(vec::eight_bytes(minimum)), vec::load_16(e[t]));
    return block_dots<NBIT_ARCH, F>::runs(p, x, _mm256_cvtepu8_epi16(vec::eight_bytes(scale)));
  }
};

template <>
struct block_dots<NBIT_ARCH, q4_k> : block_dots_lowered<NBIT_ARCH, q4_k> {
  template <class X>
  NBIT_INLINE static auto runs(const std::byte* p, X x, __m256i scales) {
    return half<4>(p + 80, x + 128, scales, half<0>(p + 16, x, scales, vec::template none<X>()));
  }

 private:
  template <int R, class X, class To>
  NBIT_INLINE static To half(const std::byte* p, X x, __m256i scales, To to) {
    const ints q = vec::load_halves(p, p + 32), mask = vec::bytes(15);
    to = vec::dot_pairs(vec::both(q, mask), x, vec::spread<R, R, R + 2, R + 2>(scales), to);
    return vec::dot_pairs(vec::both(vec::right<4>(q), mask), x + 64, vec::spread<R + 1, R + 1, R + 3, R + 3>(scales),
                          to);
  }
};

template <>
struct block_dots<NBIT_ARCH, q5_k> : block_dots_lowered<NBIT_ARCH, q5_k> {
  template <class X>
  NBIT_INLINE static auto runs(const std::byte* p, X x, __m256i scales) {
    const ints fifth = vec::load_twice(p + 16);
    return half<4>(p + 112, fifth, x + 128, scales, half<0>(p + 48, fifth, x, scales, vec::template none<X>()));
  }

 private:
  template <int R, class X, class To>
  NBIT_INLINE static To half(const std::byte* p, ints fifth, X x, __m256i scales, To to) {
    const ints q = vec::load_halves(p, p + 32);
    to = vec::dot_pairs(codes<R>(q, fifth), x, vec::spread<R, R, R + 2, R + 2>(scales), to);
    return vec::dot_pairs(codes<R + 1>(vec::right<4>(q), fifth), x + 64,
                          vec::spread<R + 1, R + 1, R + 3, R + 3>(scales), to);
  }
  // Runs R and R + 2: bits R and R + 2 of the plane come to bit 4.
  template <int R>
  NBIT_INLINE static ints codes(ints nibbles, ints fifth) {
    return vec::both(vec::pick(vec::bytes(15), nibbles, vec::turn_halves<R - 4, R - 2>(fifth)), vec::bytes(31));
  }
};

template <>
struct block_dots<NBIT_ARCH, q6_k> : block_dots_256<NBIT_ARCH, q6_k> {
  static constexpr std::size_t scale_at = 208, extra = 8;

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    arrange_plain(x, sums, out, e, -16);  // levels are codes - 32: twice this
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, X x, E e) {
    const __m256i scales = _mm256_cvtepi8_epi16(vec::load_16(p + 192));
    auto to = vec::template none<X>();
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      to.of[t] = vec::lower(_mm256_slli_epi32(_mm256_madd_epi16(scales, vec::load_32(e[t])), 1));
    return half<8>(p + 64, p + 160, x + 128, scales, half<0>(p, p + 128, x, scales, to));
  }

 private:
  template <int S, class X, class To>
  NBIT_INLINE static To half(const std::byte* nibbles, const std::byte* pairs, X x, __m256i scales, To to) {
    const ints q = vec::load_halves(nibbles, nibbles + 32), two = vec::load_twice(pairs), low = vec::bytes(15),
               all = vec::bytes(63);
    const ints first = vec::both(vec::pick(low, q, vec::turn_halves<-4, -2>(two)), all),
               second = vec::both(vec::pick(low, vec::right<4>(q), vec::turn_halves<0, 2>(two)), all);
    to = vec::dot_pairs(first, x, vec::spread<S, S + 1, S + 2, S + 3>(scales), to);
    return vec::dot_pairs(second, x + 64, vec::spread<S + 4, S + 5, S + 6, S + 7>(scales), to);
  }
};

/// Q2_K, Q3_K and TQ2_0: byte m of 32 holds, at bits 0, 2, 4, 6, columns m, m + 32, m + 64, m + 96 of a half of 128;
/// both halves in one register.
template <class F>
struct block_dots_two_bits<NBIT_ARCH, F> : block_dots_256<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  static constexpr std::size_t extra = 8;

  NBIT_INLINE static void arrange_two_bits(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                           std::int32_t* e, int times) {
    block_dots_256<NBIT_ARCH, F>::arrange_plain(x, sums, out, e, times);
    for (std::size_t k = 0; k < 8; ++k) std::memcpy(out + 32 * (k % 4 * 2 + k / 4), x + 32 * k, 32);
  }
  template <int K, class X, class To>
  NBIT_INLINE static To add(ints codes, X x, __m256i scales, To to) {
    return vec::dot_pairs(codes, x + 64 * K, vec::template spread<2 * K, 2 * K + 1, 2 * K + 8, 2 * K + 9>(scales), to);
  }
};

template <>
struct block_dots<NBIT_ARCH, q2_k> : block_dots_two_bits<NBIT_ARCH, q2_k> {
  static constexpr std::size_t scale_at = 80;
  template <std::size_t Tokens>
  struct minima {
    __m256i of[Tokens];
  };

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    arrange_two_bits(x, sums, out, e, 1);
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, X x, E e, minima<X::count>& lowered) {
    const __m128i both = vec::load_16(p), low = _mm_set1_epi8(15);
    const __m256i scales = _mm256_cvtepu8_epi16(_mm_and_si128(both, low)),
                  minima_of_runs = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), low));
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) lowered.of[t] = _mm256_madd_epi16(minima_of_runs, vec::load_32(e[t]));
    const ints q = vec::load_halves(p + 16, p + 48), three = vec::bytes(3);
    auto to = add<0>(vec::both(q, three), x, scales, vec::template none<X>());
    to = add<1>(vec::both(vec::right<2>(q), three), x, scales, to);
    to = add<2>(vec::both(vec::right<4>(q), three), x, scales, to);
    return add<3>(vec::both(vec::right<6>(q), three), x, scales, to);
  }
};

template <>
struct block_dots<NBIT_ARCH, q3_k> : block_dots_two_bits<NBIT_ARCH, q3_k> {
  static constexpr std::size_t scale_at = 108;

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    arrange_two_bits(x, sums, out, e, -4);  // levels are codes - 4
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, X x, E e) {
    std::uint64_t
        low;  // sixteen low nibbles: bytes 0-7, high halves for the last eight; then four times four upper bits
    std::uint32_t upper;
    std::memcpy(&low, p + 96, 8), std::memcpy(&upper, p + 104, 4);
    constexpr std::uint64_t nibbles = 0x0f0f0f0f0f0f0f0f, twos = 0x3030303030303030;
    const std::uint64_t first = std::uint64_t{upper} << 4 | std::uint64_t{upper} << 34,
                        second = std::uint64_t{upper} | std::uint64_t{upper} << 30;
    const __m128i six = _mm_set_epi64x(static_cast<long long>((low >> 4 & nibbles) | (second & twos)),
                                       static_cast<long long>((low & nibbles) | (first & twos)));
    const __m256i scales = _mm256_cvtepi8_epi16(_mm_sub_epi8(six, _mm_set1_epi8(32)));
    const ints q = vec::load_halves(p + 32, p + 64), third = vec::load_twice(p);
    auto to = vec::template none<X>();
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = vec::lower(_mm256_madd_epi16(scales, vec::load_32(e[t])));
    to = part<0>(q, third, x, scales, to);
    to = part<1>(q, third, x, scales, to);
    to = part<2>(q, third, x, scales, to);
    return part<3>(q, third, x, scales, to);
  }

 private:
  // Bits K and K + 4 of the plane come to bit 2.
  template <int K, class X, class To>
  NBIT_INLINE static To part(ints q, ints third, X x, __m256i scales, To to) {
    const ints codes = vec::pick(vec::bytes(3), vec::right<2 * K>(q), vec::turn_halves<K - 2, K + 2>(third));
    return add<K>(vec::both(codes, vec::bytes(7)), x, scales, to);
  }
};

template <>
struct block_dots<NBIT_ARCH, tq2_0> : block_dots_two_bits<NBIT_ARCH, tq2_0> {
  static constexpr std::size_t scale_at = 64, extra = 1;  // extra: the sum of the codes, since levels are codes - 1

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    std::int32_t of_runs[8];
    arrange_two_bits(x, sums, out, of_runs, 1);
    *e = 0;
    for (std::size_t k = 0; k < 16; ++k) *e += sums[k];
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, X x, E) {
    const ints q = vec::load_halves(p, p + 32), three = vec::bytes(3);
    auto to = vec::dot_short(vec::both(q, three), x, vec::template none<X>());
    to = vec::dot_short(vec::both(vec::right<2>(q), three), x + 64, to);
    to = vec::dot_short(vec::both(vec::right<4>(q), three), x + 128, to);
    return vec::dot_short(vec::both(vec::right<6>(q), three), x + 192, to);
  }
  NBIT_INLINE static __m128i whole(ints a, ints b, ints c, ints d, const std::int32_t* e) {
    return _mm_sub_epi32(vec::totals_short(a, b, c, d), vec::load_16(e));
  }
};

/// Two loads of 32 bytes reach all trits of a block; the activations of bytes that both have are zero in one. A byte
/// times 3^k, cut to eight bits, is 256/3 times trit k and a fraction.
template <>
struct block_dots<NBIT_ARCH, tq1_0> : block_dots_256<NBIT_ARCH, tq1_0> {
  static constexpr std::size_t scale_at = 52, width = 320,
                               extra = 1;  // extra: the sum of the codes, since levels are trits - 1

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    std::memset(out, 0, width);
    for (std::size_t k = 0; k < 5; ++k) {
      std::memcpy(out + 64 * k, x + 32 * k, 32);
      std::memcpy(out + 64 * k + 42, x + 160 + 16 * k, 16);
      if (k < 4) std::memcpy(out + 64 * k + 58, x + 240 + 4 * k, 4);
    }
    *e = 0;
    for (std::size_t k = 0; k < 16; ++k) *e += sums[k] * (1 << vec::trit_shift);
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, X x, E) {
    ints q = vec::turned_trits(vec::load_halves(p, p + 22));
    auto to = vec::dot_short(vec::trits(q), x, vec::template none<X>());
    NBIT_UNROLL
    for (std::size_t k = 1; k < 5; ++k) q = vec::triple(q), to = vec::dot_short(vec::trits(q), x + 64 * k, to);
    return to;
  }
  NBIT_INLINE static __m128i whole(ints a, ints b, ints c, ints d, const std::int32_t* e) {
    return _mm_srai_epi32(_mm_sub_epi32(vec::totals_short(a, b, c, d), vec::load_16(e)), vec::trit_shift);
  }
};

template <>
struct block_dots<NBIT_ARCH, iq4_xs> : block_dots_256<NBIT_ARCH, iq4_xs> {
  static constexpr std::size_t scale_at = 0,
                               extra = 16;  // extra: the sums of the runs' codes, raised, where join has them

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    for (std::size_t s = 0; s < 8; ++s) {  // four runs' first halves, then their second ones
      std::int8_t* const to = out + 128 * (s / 4) + 16 * (s % 4);
      std::memcpy(to, x + 32 * s, 16);
      std::memcpy(to + 64, x + 32 * s + 16, 16);
      e[4 * (s % 4) + s / 4] = vec::raise * (sums[2 * s] + sums[2 * s + 1]);
      e[4 * (s % 4) + s / 4 + 2] = 0;
    }
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, X x, E e) {
    std::uint16_t upper;
    std::uint32_t lower;
    std::memcpy(&upper, p + 2, 2), std::memcpy(&lower, p + 4, 4);
    const std::uint64_t scale = _pdep_u64(lower, 0x0f0f0f0f0f0f0f0f) | _pdep_u64(upper, 0x3030303030303030);
    const __m128i order = _mm_setr_epi8(0, 4, 0, 4, 1, 5, 1, 5, 2, 6, 2, 6, 3, 7, 3, 7);
    const __m128i scales = _mm_sub_epi8(_mm_shuffle_epi8(vec::eight_bytes(scale), order), _mm_set1_epi8(32));
    auto a = four(p + 8, x);
    const auto b = four(p + 72, x + 128);
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      a.of[t] = vec::mul(vec::sub(vec::join(a.of[t], b.of[t]), vec::load(e[t])), vec::widen_signed(scales));
    return a;
  }

 private:
  template <class X>
  NBIT_INLINE static auto four(const std::byte* p, X x) {
    const ints q = vec::load_halves(p, p + 32), mask = vec::bytes(15), table = vec::table(iq4_levels);
    const ints low = vec::look_up(table, vec::both(q, mask)),
               high = vec::look_up(table, vec::both(vec::right<4>(q), mask));
    return vec::dot_raised(high, x + 64, vec::dot_raised(low, x, vec::template none<X>()));
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
