// nbit/kernel/block_dots.inl — the integer sums of blocks, for instruction sets with block_lanes; included by
// kernel/block_gemv.hpp once per target. How the bits lie: the formats' own headers.
// SPDX-License-Identifier: MIT
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2  // avx_vnni runs avx2's

namespace nbit {
inline namespace NBIT_TAG {

// ---- 32 columns under one scale, sixteen blocks at a time

template <class F>
struct block_dots_32<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  using scale_t = f16;
  static constexpr std::size_t columns = 32, step = 16, extra = 1;  // extra: bias * (sum of codes)

  NBIT_INLINE static void weigh(const std::int16_t* sums, std::int32_t* e) {
    for (std::size_t b = 0; b < 16; ++b) e[b] = block_dots<NBIT_ARCH, F>::bias * (sums[2 * b] + sums[2 * b + 1]);
  }
};

template <>
struct block_dots<NBIT_ARCH, q8_0> : block_dots_32<NBIT_ARCH, q8_0> {
  static constexpr int bias = vec::raise;

  // Blocks j and j + 4 share a register, so that the sums come out in order.
  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    weigh(sums, e);
    for (std::size_t b = 0; b < 16; ++b) std::memcpy(out + 32 * (b / 8 * 8 + b % 4 * 2 + b % 8 / 4), x + 32 * b, 32);
  }
  NBIT_INLINE static void sums(const std::byte* p, const std::int8_t* x, const std::int32_t* e,
                               const block_sums<f16>& out) {
    const ints low = eight(p, x, out.scale), high = eight(p + 34 * 8, x + 32 * 8, out.scale + 8);
    vec::store(out.sum, vec::sub(vec::fold(low, high), vec::load(e)));
  }

 private:
  NBIT_INLINE static ints eight(const std::byte* p, const std::int8_t* x, f16* scale) {
    return vec::join(pair(p, x, scale), pair(p + 34, x + 64, scale + 1), pair(p + 68, x + 128, scale + 2),
                     pair(p + 102, x + 192, scale + 3));
  }
  NBIT_INLINE static ints pair(const std::byte* p, const std::int8_t* x, f16* scale) {
    std::memcpy(scale, p, 2), std::memcpy(scale + 4, p + 34 * 4, 2);
    return vec::dot_raised(vec::raised(vec::load_halves(p + 2, p + 2 + 34 * 4)), x, vec::zero());
  }
};

/// Nibbles, codes j and j + 16 in byte j of 16: four neighbouring blocks in a register. `level<16>(codes, p)` makes
/// levels of the high nibbles of the four blocks at p, `level<0>` of the low ones.
template <class F, std::size_t At>
struct block_dots_nibbles<NBIT_ARCH, F, At> : block_dots_32<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  using dots = block_dots<NBIT_ARCH, F>;
  static constexpr std::size_t bytes = F::block_bytes;

  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    block_dots_32<NBIT_ARCH, F>::weigh(sums, e);
    for (std::size_t b = 0; b < 16; ++b) {
      std::int8_t* const to = out + 128 * (b / 4) + 16 * (b % 4);
      std::memcpy(to, x + 32 * b, 16);
      std::memcpy(to + 64, x + 32 * b + 16, 16);
    }
  }
  template <class Scale>
  NBIT_INLINE static void sums(const std::byte* p, const std::int8_t* x, const std::int32_t* e,
                               const block_sums<Scale>& out) {
    const ints a = four(p, x, out, 0), b = four(p + 4 * bytes, x + 128, out, 4),
               c = four(p + 8 * bytes, x + 256, out, 8), d = four(p + 12 * bytes, x + 384, out, 12);
    vec::store(out.sum, vec::sub(vec::transpose(vec::join(a, b, c, d)), vec::load(e)));
  }

 private:
  template <class Scale>
  NBIT_INLINE static ints four(const std::byte* p, const std::int8_t* x, const block_sums<Scale>& out, std::size_t b) {
    const auto blocks = dots::load(p);
    dots::scales(blocks, out.scale + b, has_offset<F> ? out.offset_scale + b : nullptr);
    const ints q = dots::nibbles(blocks), mask = vec::bytes(15);
    const ints low = dots::template level<0>(vec::both(q, mask), p),
               high = dots::template level<16>(vec::both(vec::template right<4>(q), mask), p);
    return dots::dot(high, x + 64, dots::dot(low, x, vec::zero()));
  }

 public:
  NBIT_INLINE static auto load(const std::byte* p) { return vec::template four_blocks<bytes>::load(p); }
  NBIT_INLINE static void scales(typename vec::template four_blocks<bytes> b, f16* scale, f16* offset) {
    b.scales(scale, offset);
  }
  NBIT_INLINE static ints nibbles(typename vec::template four_blocks<bytes> b) { return b.template runs<At>(); }
  NBIT_INLINE static ints dot(ints w, const std::int8_t* x, ints to) { return vec::dot(w, x, to); }
  template <int>
  NBIT_INLINE static ints level(ints codes, const std::byte*) {
    return codes;
  }
};

template <>
struct block_dots<NBIT_ARCH, q4_0> : block_dots_nibbles<NBIT_ARCH, q4_0, 2> {
  static constexpr int bias = 8;
};
template <>
struct block_dots<NBIT_ARCH, q4_1> : block_dots_nibbles<NBIT_ARCH, q4_1, 4> {
  static constexpr int bias = 0;
};

/// Q5_0 and Q5_1: bit j of the 32 before the nibbles belongs to code j.
template <class F, std::size_t At>
struct block_dots_fifth<NBIT_ARCH, F, At> : block_dots_nibbles<NBIT_ARCH, F, At> {
  using vec = block_lanes<NBIT_ARCH>;

  template <int First>
  NBIT_INLINE static vec::ints level(vec::ints codes, const std::byte* p) {
    const std::byte* const bits = p + At - 4 + First / 8;
    std::uint16_t a, b, c, d;
    std::memcpy(&a, bits, 2), std::memcpy(&b, bits + F::block_bytes, 2);
    std::memcpy(&c, bits + 2 * F::block_bytes, 2), std::memcpy(&d, bits + 3 * F::block_bytes, 2);
    const std::uint32_t ab = a | std::uint32_t{b} << 16, cd = c | std::uint32_t{d} << 16;
    return vec::add_where(ab | std::uint64_t{cd} << 32, codes, 16);
  }
};
template <>
struct block_dots<NBIT_ARCH, q5_0> : block_dots_fifth<NBIT_ARCH, q5_0, 6> {
  static constexpr int bias = 16;
};
template <>
struct block_dots<NBIT_ARCH, q5_1> : block_dots_fifth<NBIT_ARCH, q5_1, 8> {
  static constexpr int bias = 0;
};

template <>
struct block_dots<NBIT_ARCH, iq4_nl> : block_dots_nibbles<NBIT_ARCH, iq4_nl, 2> {
  static constexpr int bias = vec::raise;
  NBIT_INLINE static ints dot(ints w, const std::int8_t* x, ints to) { return vec::dot_raised(w, x, to); }
  template <int>
  NBIT_INLINE static ints level(ints codes, const std::byte*) {
    return vec::look_up(vec::table(iq4_levels), codes);
  }
};

template <>
struct block_dots<NBIT_ARCH, mxfp4> : block_dots_nibbles<NBIT_ARCH, mxfp4, 1> {
  using scale_t = float;
  static constexpr int bias = vec::raise;
  NBIT_INLINE static const std::byte* load(const std::byte* p) { return p; }
  NBIT_INLINE static void scales(const std::byte* p, float* scale, float*) {  // mxfp4::scale, four at a time
    const auto at = [](std::byte b) { return std::to_integer<int>(b); };
    const __m128i e = _mm_setr_epi32(at(p[0]), at(p[17]), at(p[34]), at(p[51])), two = _mm_set1_epi32(2);
    const __m128i normal = _mm_slli_epi32(_mm_sub_epi32(e, _mm_set1_epi32(1)), 23),
                  tiny = _mm_sllv_epi32(_mm_set1_epi32(0x200000), e);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(scale), _mm_blendv_epi8(normal, tiny, _mm_cmpgt_epi32(two, e)));
  }
  NBIT_INLINE static ints nibbles(const std::byte* p) { return vec::load_quarters(p + 1, 17); }
  NBIT_INLINE static ints dot(ints w, const std::int8_t* x, ints to) { return vec::dot_raised(w, x, to); }
  template <int>
  NBIT_INLINE static ints level(ints codes, const std::byte*) {
    return vec::look_up(vec::table(mxfp4_levels), codes);
  }
};

// ---- 256 columns, four blocks at a time

template <class F>
struct block_dots_256<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  using dots = block_dots<NBIT_ARCH, F>;
  using scale_t = f16;
  static constexpr std::size_t columns = 256, step = 4, extra = 0, bytes = F::block_bytes;

  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    for (std::size_t b = 0; b < step; ++b)
      dots::arrange_block(x + columns * b, sums + 16 * b, out + columns * b, e + dots::extra * b);
  }
  NBIT_INLINE static void sums(const std::byte* p, const std::int8_t* x, const std::int32_t* e,
                               const block_sums<f16>& out) {
    __m128i ma = _mm_setzero_si128(), mb = ma, mc = ma, md = ma;  // J, for formats with an offset
    const ints a = one(p, x, e, out, 0, ma), b = one(p + bytes, x + 256, e + dots::extra, out, 1, mb),
               c = one(p + 2 * bytes, x + 512, e + 2 * dots::extra, out, 2, mc),
               d = one(p + 3 * bytes, x + 768, e + 3 * dots::extra, out, 3, md);
    vec::store(out.sum, vec::totals(a, b, c, d));
    if constexpr (has_offset<F>) vec::store(out.offset_sum, vec::totals(ma, mb, mc, md));
  }

 private:
  NBIT_INLINE static ints one(const std::byte* p, const std::int8_t* x, const std::int32_t* e,
                              const block_sums<f16>& out, std::size_t b, __m128i& minima) {
    std::memcpy(out.scale + b, p + dots::scale_at, 2);
    if constexpr (has_offset<F>) {
      std::uint16_t offset;
      std::memcpy(&offset, p + dots::scale_at + 2, 2);
      offset = static_cast<std::uint16_t>(offset ^ 0x8000u);  // the format subtracts it
      std::memcpy(out.offset_scale + b, &offset, 2);
      return dots::block(p, x, e, minima);
    } else {
      return dots::block(p, x, e);
    }
  }

 public:
  /// Activations as they are, and `factor` times the sums of their runs of 16, as 16-bit numbers.
  NBIT_INLINE static void arrange_plain(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e, int factor) {
    std::memcpy(out, x, 256);
    std::int16_t of_run[16];
    for (std::size_t s = 0; s < 16; ++s) of_run[s] = static_cast<std::int16_t>(factor * sums[s]);
    std::memcpy(e, of_run, sizeof of_run);
  }
};

/// Q4_K and Q5_K: a register holds runs r and r + 2, r = 0, 1, 4, 5: the nibbles of 64 neighbouring bytes.
template <class F>
struct block_dots_lowered<NBIT_ARCH, F> : block_dots_256<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
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
  NBIT_INLINE static ints block(const std::byte* p, const std::int8_t* x, const std::int32_t* e, __m128i& minima) {
    std::uint32_t a, b, c;
    std::memcpy(&a, p + 4, 4), std::memcpy(&b, p + 8, 4), std::memcpy(&c, p + 12, 4);
    const std::uint64_t scale = (a & 0x3f3f3f3fu) | std::uint64_t{(c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u)} << 32;
    const std::uint64_t minimum = (b & 0x3f3f3f3fu) | std::uint64_t{(c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u)}
                                                          << 32;
    minima = _mm_madd_epi16(_mm_cvtepu8_epi16(vec::eight_bytes(minimum)), vec::load_16(e));
    return block_dots<NBIT_ARCH, F>::runs(p, x, _mm256_cvtepu8_epi16(vec::eight_bytes(scale)));
  }
};

template <>
struct block_dots<NBIT_ARCH, q4_k> : block_dots_lowered<NBIT_ARCH, q4_k> {
  NBIT_INLINE static ints runs(const std::byte* p, const std::int8_t* x, __m256i scales) {
    return half<4>(p + 80, x + 128, scales, half<0>(p + 16, x, scales, vec::zero()));
  }

 private:
  template <int R>
  NBIT_INLINE static ints half(const std::byte* p, const std::int8_t* x, __m256i scales, ints to) {
    const ints q = vec::load_halves(p, p + 32), mask = vec::bytes(15);
    to = vec::dot_pairs(vec::both(q, mask), x, vec::spread<R, R, R + 2, R + 2>(scales), to);
    return vec::dot_pairs(vec::both(vec::right<4>(q), mask), x + 64, vec::spread<R + 1, R + 1, R + 3, R + 3>(scales),
                          to);
  }
};

template <>
struct block_dots<NBIT_ARCH, q5_k> : block_dots_lowered<NBIT_ARCH, q5_k> {
  NBIT_INLINE static ints runs(const std::byte* p, const std::int8_t* x, __m256i scales) {
    const ints fifth = vec::load_twice(p + 16);
    return half<4>(p + 112, fifth, x + 128, scales, half<0>(p + 48, fifth, x, scales, vec::zero()));
  }

 private:
  template <int R>
  NBIT_INLINE static ints half(const std::byte* p, ints fifth, const std::int8_t* x, __m256i scales, ints to) {
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
  NBIT_INLINE static ints block(const std::byte* p, const std::int8_t* x, const std::int32_t* e) {
    const __m256i scales = _mm256_cvtepi8_epi16(vec::load_16(p + 192));
    const ints to = vec::lower(_mm256_slli_epi32(_mm256_madd_epi16(scales, vec::load_32(e)), 1));
    return half<8>(p + 64, p + 160, x + 128, scales, half<0>(p, p + 128, x, scales, to));
  }

 private:
  template <int S>
  NBIT_INLINE static ints half(const std::byte* nibbles, const std::byte* pairs, const std::int8_t* x, __m256i scales,
                               ints to) {
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
                                           std::int32_t* e, int factor) {
    block_dots_256<NBIT_ARCH, F>::arrange_plain(x, sums, out, e, factor);
    for (std::size_t k = 0; k < 8; ++k) std::memcpy(out + 32 * (k % 4 * 2 + k / 4), x + 32 * k, 32);
  }
  template <int K>
  NBIT_INLINE static ints add(ints codes, const std::int8_t* x, __m256i scales, ints to) {
    return vec::dot_pairs(codes, x + 64 * K, vec::template spread<2 * K, 2 * K + 1, 2 * K + 8, 2 * K + 9>(scales), to);
  }
};

template <>
struct block_dots<NBIT_ARCH, q2_k> : block_dots_two_bits<NBIT_ARCH, q2_k> {
  static constexpr std::size_t scale_at = 80;

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    arrange_two_bits(x, sums, out, e, 1);
  }
  NBIT_INLINE static ints block(const std::byte* p, const std::int8_t* x, const std::int32_t* e, __m128i& minima) {
    const __m128i both = vec::load_16(p), low = _mm_set1_epi8(15);
    const __m256i scales = _mm256_cvtepu8_epi16(_mm_and_si128(both, low)),
                  lowered = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), low));
    const __m256i parts = _mm256_madd_epi16(lowered, vec::load_32(e));
    minima = _mm_add_epi32(_mm256_castsi256_si128(parts), _mm256_extracti128_si256(parts, 1));
    const ints q = vec::load_halves(p + 16, p + 48), three = vec::bytes(3);
    ints to = add<0>(vec::both(q, three), x, scales, vec::zero());
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
  NBIT_INLINE static ints block(const std::byte* p, const std::int8_t* x, const std::int32_t* e) {
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
    ints to = vec::lower(_mm256_madd_epi16(scales, vec::load_32(e)));
    to = part<0>(q, third, x, scales, to);
    to = part<1>(q, third, x, scales, to);
    to = part<2>(q, third, x, scales, to);
    return part<3>(q, third, x, scales, to);
  }

 private:
  // Bits K and K + 4 of the plane come to bit 2.
  template <int K>
  NBIT_INLINE static ints part(ints q, ints third, const std::int8_t* x, __m256i scales, ints to) {
    const ints codes = vec::pick(vec::bytes(3), vec::right<2 * K>(q), vec::turn_halves<K - 2, K + 2>(third));
    return add<K>(vec::both(codes, vec::bytes(7)), x, scales, to);
  }
};

template <>
struct block_dots<NBIT_ARCH, tq2_0> : block_dots_two_bits<NBIT_ARCH, tq2_0> {
  static constexpr std::size_t scale_at = 64, extra = 16;  // extra: the sum of the codes, since levels are codes - 1

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out,
                                        std::int32_t* e) {
    arrange_two_bits(x, sums, out, e, 1);
    std::memset(e, 0, extra * sizeof *e);
    for (std::size_t k = 0; k < 16; ++k) e[0] += sums[k];
  }
  NBIT_INLINE static ints block(const std::byte* p, const std::int8_t* x, const std::int32_t* e) {
    const ints q = vec::load_halves(p, p + 32), three = vec::bytes(3);
    ints to = vec::dot(vec::both(q, three), x, vec::zero());
    to = vec::dot(vec::both(vec::right<2>(q), three), x + 64, to);
    to = vec::dot(vec::both(vec::right<4>(q), three), x + 128, to);
    return vec::sub(vec::dot(vec::both(vec::right<6>(q), three), x + 192, to), vec::load(e));
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
  NBIT_INLINE static ints block(const std::byte* p, const std::int8_t* x, const std::int32_t* e) {
    std::uint16_t upper;
    std::uint32_t lower;
    std::memcpy(&upper, p + 2, 2), std::memcpy(&lower, p + 4, 4);
    const std::uint64_t scale = _pdep_u64(lower, 0x0f0f0f0f0f0f0f0f) | _pdep_u64(upper, 0x3030303030303030);
    const __m128i order = _mm_setr_epi8(0, 4, 0, 4, 1, 5, 1, 5, 2, 6, 2, 6, 3, 7, 3, 7);
    const __m128i scales = _mm_sub_epi8(_mm_shuffle_epi8(vec::eight_bytes(scale), order), _mm_set1_epi8(32));
    const ints sums = vec::sub(vec::join(four(p + 8, x), four(p + 72, x + 128)), vec::load(e));
    return vec::mul(sums, vec::widen_signed(scales));
  }

 private:
  NBIT_INLINE static ints four(const std::byte* p, const std::int8_t* x) {
    const ints q = vec::load_halves(p, p + 32), mask = vec::bytes(15), table = vec::table(iq4_levels);
    const ints low = vec::look_up(table, vec::both(q, mask)),
               high = vec::look_up(table, vec::both(vec::right<4>(q), mask));
    return vec::dot_raised(high, x + 64, vec::dot_raised(low, x, vec::zero()));
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
