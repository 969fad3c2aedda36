// nbit/kernel/block_dots.inl — the integer sums of blocks of 16 to 64 columns, for instruction sets with block_lanes;
// included by kernel/block_gemv.hpp once per target. How the bits lie: the formats' own headers.
// SPDX-License-Identifier: MIT
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2  // avx_vnni runs avx2's

namespace nbit {
inline namespace NBIT_TAG {

/// Sums of 32 columns, sixteen at a time.
template <class F>
struct block_dots_32<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  using scale_t = f16;
  static constexpr float factor = 1.0f;
  static constexpr std::size_t columns = 32, width = 32, step = 16, extra = 1;  // extra: bias * (sum of codes)

  NBIT_INLINE static void weigh(const std::int16_t* sums, std::int32_t* e) {
    for (std::size_t b = 0; b < 16; ++b) e[b] = block_dots<NBIT_ARCH, F>::bias * (sums[2 * b] + sums[2 * b + 1]);
  }
};

/// Blocks j and j + 4 of eight share a register, so that the sums come out in order. `pair(p, j, x, scale)` makes their
/// dots from the eight blocks at p.
template <class F>
struct block_dots_halves<NBIT_ARCH, F> : block_dots_32<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using dots = block_dots<NBIT_ARCH, F>;

  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    block_dots_32<NBIT_ARCH, F>::weigh(sums, e);
    for (std::size_t b = 0; b < 16; ++b) std::memcpy(out + 32 * (b / 8 * 8 + b % 4 * 2 + b % 8 / 4), x + 32 * b, 32);
  }
  template <class X, class E>
  NBIT_INLINE static void sums(const std::byte* p, X x, E e, const block_sums<f16>& out) {
    constexpr std::size_t bytes = 256 / F::group * F::block_bytes;
    const auto low = eight(p, x, out.scale), high = eight(p + bytes, x + 256, out.scale + 8);
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      vec::store(out.sum + t * out.stride, vec::sub(vec::fold(low.of[t], high.of[t]), vec::load(e[t])));
  }

 private:
  template <class X>
  NBIT_INLINE static auto eight(const std::byte* p, X x, f16* scale) {
    auto a = dots::pair(p, 0, x, scale);
    const auto b = dots::pair(p, 1, x + 64, scale), c = dots::pair(p, 2, x + 128, scale),
               d = dots::pair(p, 3, x + 192, scale);
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      a.of[t] = vec::template join_short<dots::short_steps>(a.of[t], b.of[t], c.of[t], d.of[t]);
    return a;
  }
};

template <>
struct block_dots<NBIT_ARCH, q8_0> : block_dots_halves<NBIT_ARCH, q8_0> {
  static constexpr int bias = vec::raise, short_steps = 0;

  template <class X>
  NBIT_INLINE static auto pair(const std::byte* p, std::size_t j, X x, f16* scale) {
    const std::byte *const a = p + 34 * j, *const b = a + 34 * 4;
    std::memcpy(scale + j, a, 2), std::memcpy(scale + j + 4, b, 2);
    return vec::dot_raised(vec::raised(vec::load_halves(a + 2, b + 2)), x, vec::template none<X>());
  }
};

template <>
struct block_dots<NBIT_ARCH, q1_0> : block_dots_halves<NBIT_ARCH, q1_0> {
  static constexpr int bias = 1, short_steps = 2;  // levels are 2 * bit - 1

  template <class X>
  NBIT_INLINE static auto pair(const std::byte* p, std::size_t j, X x, f16* scale) {
    if (j == 0) repeat(p, scale), repeat(p + 18, scale + 4);
    return vec::dot_marked(marks(p + 2, p + 20, j), 2, x, vec::template none<X>());
  }

 private:
  NBIT_INLINE static vec::marks marks(const std::byte* a, const std::byte* b, std::size_t j) {
    return j == 0   ? vec::load_marks<0>(a, b)
           : j == 1 ? vec::load_marks<1>(a, b)
           : j == 2 ? vec::load_marks<2>(a, b)
                    : vec::load_marks<3>(a, b);
  }
  NBIT_INLINE static void repeat(const std::byte* p, f16* scale) {
    std::int16_t bits;
    std::memcpy(&bits, p, 2);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(scale), _mm_set1_epi16(bits));
  }
};

/// Byte j of 16 holds columns 4 j .. 4 j + 3 of 64: eight bytes are 32 columns.
template <>
struct block_dots<NBIT_ARCH, q2_0> : block_dots_32<NBIT_ARCH, q2_0> {
  static constexpr int bias = 1;  // levels are codes - 1

  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    weigh(sums, e);
    for (std::size_t f = 0; f < 8; ++f)
      for (std::size_t j = 0; j < 16; j += 2)
        vec::deal(x + 64 * f + 4 * j, out + 256 * (f / 2 % 2) + 16 * (f / 4 * 2 + f % 2) + j);
  }
  template <class X, class E>
  NBIT_INLINE static void sums(const std::byte* p, X x, E e, const block_sums<f16>& out) {
    const auto a = four(p, x), b = four(p + 36, x + 256);
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      vec::store(out.sum + t * out.stride, vec::sub(vec::join_pairs(a.of[t], b.of[t]), vec::load(e[t])));
    for (std::size_t f = 0; f < 8; ++f)
      std::memcpy(out.scale + 2 * f, p + 18 * f, 2), std::memcpy(out.scale + 2 * f + 1, p + 18 * f, 2);
  }

 private:
  template <class X>
  NBIT_INLINE static auto four(const std::byte* p, X x) {
    const ints q = vec::load_pairs(p + 2, p + 2 + 18 * 4, 18), three = vec::bytes(3);
    auto to = vec::dot_short(vec::both(q, three), x, vec::template none<X>());
    to = vec::dot_short(vec::both(vec::right<2>(q), three), x + 64, to);
    to = vec::dot_short(vec::both(vec::right<4>(q), three), x + 128, to);
    return vec::from_short(vec::dot_short(vec::both(vec::right<6>(q), three), x + 192, to));
  }
};

/// Eight bytes of nibbles are 16 columns under one scale, low nibbles first; four blocks of 64 at a time.
template <>
struct block_dots<NBIT_ARCH, nvfp4> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  using scale_t = float;
  static constexpr float factor = 1.0f;
  static constexpr std::size_t columns = 16, width = 16, step = 16,
                               extra = 1;  // extra: 12 * (sum of codes): levels are raised

  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    for (std::size_t b = 0; b < 16; ++b) {
      std::int8_t* const to = out + 128 * (b / 4 % 2) + 32 * (b / 8) + 8 * (b % 4);
      std::memcpy(to, x + 16 * b, 8), std::memcpy(to + 64, x + 16 * b + 8, 8);
      e[b] = 12 * sums[b];
    }
  }
  template <class X, class E>
  NBIT_INLINE static void sums(const std::byte* p, X x, E e, const block_sums<float>& out) {
    const auto a = two(p, x), b = two(p + 36, x + 128);
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      vec::store(out.sum + t * out.stride, vec::sub(vec::join_pairs(a.of[t], b.of[t]), vec::load(e[t])));
    scales(p, out.scale);
  }

 private:
  template <class X>
  NBIT_INLINE static auto two(const std::byte* p, X x) {
    const ints q = vec::load_halves(p + 4, p + 4 + 72), mask = vec::bytes(15),
               table = vec::quarters(_mm_add_epi8(vec::load_16(mxfp4_levels), _mm_set1_epi8(12)));
    const ints low = vec::look_up(table, vec::both(q, mask)),
               high = vec::look_up(table, vec::both(vec::right<4>(q), mask));
    return vec::from_short(vec::dot_short(high, x + 64, vec::dot_short(low, x, vec::template none<X>())));
  }
  // nvfp4_params::step, sixteen at a time: the bits are those of an f16 of 2^-7 times the value.
  NBIT_INLINE static void scales(const std::byte* p, float* scale) {
    std::int32_t a, b, c, d;
    std::memcpy(&a, p, 4), std::memcpy(&b, p + 36, 4), std::memcpy(&c, p + 72, 4), std::memcpy(&d, p + 108, 4);
    const __m128i all = _mm_setr_epi32(a, b, c, d), top = _mm_set1_epi8(0x7f);
    const __m128i codes = _mm_and_si128(_mm_andnot_si128(_mm_cmpeq_epi8(all, top), all), top);
    const __m256i halves = _mm256_slli_epi16(_mm256_cvtepu8_epi16(codes), 7);
    const __m256 by = _mm256_set1_ps(128.0f);
    _mm256_storeu_ps(scale, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), by));
    _mm256_storeu_ps(scale + 8, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)), by));
  }
};

/// Nibbles, codes j and j + 16 in byte j of 16: four neighbouring blocks in a register. `level<16>(codes, p)` makes
/// levels of the high nibbles of the four blocks at p, `level<0>` of the low ones. short_steps: in how many steps of
/// join 16 bits hold the sums, all of both halves' levels times 127 and more.
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
  template <class X, class E, class Scale>
  NBIT_INLINE static void sums(const std::byte* p, X x, E e, const block_sums<Scale>& out) {
    const auto a = four(p, x, out, 0), b = four(p + 4 * bytes, x + 128, out, 4),
               c = four(p + 8 * bytes, x + 256, out, 8), d = four(p + 12 * bytes, x + 384, out, 12);
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      vec::store(
          out.sum + t * out.stride,
          vec::sub(vec::transpose(vec::template join_short<dots::short_steps>(a.of[t], b.of[t], c.of[t], d.of[t])),
                   vec::load(e[t])));
  }

 private:
  template <class X, class Scale>
  NBIT_INLINE static auto four(const std::byte* p, X x, const block_sums<Scale>& out, std::size_t b) {
    dots::scales(p, out.scale + b, has_offset<F> ? out.offset_scale + b : nullptr);
    const ints q = dots::nibbles(p), mask = vec::bytes(15);
    const ints low = dots::template level<0>(vec::both(q, mask), p),
               high = dots::template level<16>(vec::both(vec::template right<4>(q), mask), p);
    return dots::dot(high, x + 64, dots::dot(low, x, vec::template none<X>()));
  }

 public:
  NBIT_INLINE static void scales(const std::byte* p, f16* scale, f16* offset) {
    vec::template first_words<has_offset<F>>(p, bytes, scale, offset);
  }
  static constexpr int short_steps = 2;
  NBIT_INLINE static ints nibbles(const std::byte* p) { return vec::load_quarters(p + At, bytes); }
  template <class X, class To>
  NBIT_INLINE static To dot(ints w, X x, To to) {
    return vec::dot_short(w, x, to);
  }
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

/// Byte j of 16 holds columns 2 j and 2 j + 1.
template <class F>
struct block_dots<NBIT_ARCH, linear_nibbles<F, 32>> : block_dots_nibbles<NBIT_ARCH, linear_nibbles<F, 32>, 0> {
  using vec = block_lanes<NBIT_ARCH>;
  static constexpr int bias = linear_nibbles<F, 32>::bias;

  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    block_dots_32<NBIT_ARCH, linear_nibbles<F, 32>>::weigh(sums, e);
    const __m128i even = _mm_set1_epi16(255);
    for (std::size_t b = 0; b < 16; ++b) {
      const __m128i first = vec::load_16(x + 32 * b), last = vec::load_16(x + 32 * b + 16);
      std::int8_t* const to = out + 128 * (b / 4) + 16 * (b % 4);
      vec::store(to, _mm_packus_epi16(_mm_and_si128(first, even), _mm_and_si128(last, even)));
      vec::store(to + 64, _mm_packus_epi16(_mm_srli_epi16(first, 8), _mm_srli_epi16(last, 8)));
    }
  }
  NBIT_INLINE static void scales(const std::byte*, float*, float*) {}
  NBIT_INLINE static vec::ints nibbles(const std::byte* p) { return vec::load(p); }
};

/// The same, a register to a sum.
template <class F>
struct block_dots<NBIT_ARCH, linear_nibbles<F, 128>> {
  using vec = block_lanes<NBIT_ARCH>;
  using scale_t = float;
  static constexpr float factor = 1.0f;
  static constexpr std::size_t columns = 128, width = 128, step = 4, extra = 1;  // extra: bias * (sum of codes)

  NBIT_INLINE static void arrange(const std::int8_t* x, const std::int16_t* sums, std::int8_t* out, std::int32_t* e) {
    std::int32_t each[16];
    block_dots<NBIT_ARCH, linear_nibbles<F, 32>>::arrange(x, sums, out, each);
    for (std::size_t b = 0; b < 4; ++b) e[b] = each[4 * b] + each[4 * b + 1] + each[4 * b + 2] + each[4 * b + 3];
  }
  template <class X, class E>
  NBIT_INLINE static void sums(const std::byte* p, X x, E e, const block_sums<float>& out) {
    const auto a = one(p, x), b = one(p + 64, x + 128), c = one(p + 128, x + 256), d = one(p + 192, x + 384);
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t)
      vec::store(out.sum + t * out.stride,
                 _mm_sub_epi32(vec::totals_short(a.of[t], b.of[t], c.of[t], d.of[t]), vec::load_16(e[t])));
  }

 private:
  template <class X>
  NBIT_INLINE static auto one(const std::byte* p, X x) {
    const auto q = vec::load(p), mask = vec::bytes(15);
    const auto low = vec::dot_short(vec::both(q, mask), x, vec::template none<X>());
    return vec::dot_short(vec::both(vec::template right<4>(q), mask), x + 64, low);
  }
};

/// Q5_0 and Q5_1: bit j of the 32 before the nibbles belongs to code j.
template <class F, std::size_t At>
struct block_dots_fifth<NBIT_ARCH, F, At> : block_dots_nibbles<NBIT_ARCH, F, At> {
  using vec = block_lanes<NBIT_ARCH>;
  static constexpr int short_steps = 1;

  template <int First>
  NBIT_INLINE static vec::ints level(vec::ints codes, const std::byte* p) {
    constexpr long long two = First == 0 ? 0 : 0x0202020202020202, one = 0x0101010101010101;
    const vec::ints bytes = vec::quarters(_mm_set_epi64x(two + one, two)),
                    bits = vec::quarters(_mm_set1_epi64x(static_cast<long long>(0x8040201008040201)));
    return vec::add_where(vec::look_up(vec::load_quarters(p + At - 4, F::block_bytes), bytes), bits, codes, 16);
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
  static constexpr int bias = vec::raise, short_steps = 0;
  template <class X, class To>
  NBIT_INLINE static To dot(ints w, X x, To to) {
    return vec::dot_raised(w, x, to);
  }
  template <int>
  NBIT_INLINE static ints level(ints codes, const std::byte*) {
    return vec::look_up(vec::table(iq4_levels), codes);
  }
};

template <>
struct block_dots<NBIT_ARCH, mxfp4> : block_dots_nibbles<NBIT_ARCH, mxfp4, 1> {
  using scale_t = float;
  static constexpr int bias = 12, short_steps = 1;                            // levels are -12 .. 12
  NBIT_INLINE static void scales(const std::byte* p, float* scale, float*) {  // mxfp4::scale, four at a time
    const auto at = [](std::byte b) { return std::to_integer<int>(b); };
    const __m128i e = _mm_setr_epi32(at(p[0]), at(p[17]), at(p[34]), at(p[51])), two = _mm_set1_epi32(2);
    const __m128i normal = _mm_slli_epi32(_mm_sub_epi32(e, _mm_set1_epi32(1)), 23),
                  tiny = _mm_sllv_epi32(_mm_set1_epi32(0x200000), e);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(scale), _mm_blendv_epi8(normal, tiny, _mm_cmpgt_epi32(two, e)));
  }
  template <int>
  NBIT_INLINE static vec::ints level(ints codes, const std::byte*) {
    const __m128i raised = _mm_add_epi8(vec::load_16(mxfp4_levels), _mm_set1_epi8(bias));
    return vec::look_up(vec::quarters(raised), codes);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
