// nbit/arch/block_lanes.inl — block_lanes<Arch> for x86; included by arch/block_lanes.hpp once per target.
// SPDX-License-Identifier: MIT
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2  // avx_vnni runs avx2's

namespace nbit {
inline namespace NBIT_TAG {

template <>
struct block_lanes<NBIT_ARCH> {
  NBIT_INLINE static __m128i load_16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  NBIT_INLINE static __m256i load_32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  NBIT_INLINE static __m256i two_places(const std::byte* p, std::size_t stride) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(p)), load_16(p + stride), 1);
  }
  NBIT_INLINE static void store(std::int8_t* p, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
  /// Bytes k and k + 4 of eight go to out + 64 k, k = 0 .. 3.
  NBIT_INLINE static void deal(const std::int8_t* from, std::int8_t* out) {
    std::uint64_t v;
    std::memcpy(&v, from, 8);
    for (int k = 0; k < 4; ++k) {
      const auto two = static_cast<std::uint16_t>(_pext_u64(v, std::uint64_t{0x000000ff000000ff} << (8 * k)));
      std::memcpy(out + 64 * k, &two, 2);
    }
  }
  NBIT_INLINE static __m128i load_eights(const void* a, const void* b) {
    const __m128i first = _mm_loadl_epi64(static_cast<const __m128i*>(a));
    return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(first), static_cast<const __m64*>(b)));
  }
  NBIT_INLINE static __m128i eight_bytes(std::uint64_t v) { return _mm_cvtsi64_si128(static_cast<long long>(v)); }
  NBIT_INLINE static void extract(__m256i a, std::uint64_t* four) {
    const __m128i low = _mm256_castsi256_si128(a), high = _mm256_extracti128_si256(a, 1);
    four[0] = static_cast<std::uint64_t>(_mm_cvtsi128_si64(low));
    four[1] = static_cast<std::uint64_t>(_mm_extract_epi64(low, 1));
    four[2] = static_cast<std::uint64_t>(_mm_cvtsi128_si64(high));
    four[3] = static_cast<std::uint64_t>(_mm_extract_epi64(high, 1));
  }
  NBIT_INLINE static __m128i totals(__m128i a, __m128i b, __m128i c, __m128i d) {
    const __m128i x = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)),
                  y = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
    return _mm_add_epi32(_mm_unpacklo_epi64(x, y), _mm_unpackhi_epi64(x, y));
  }
  NBIT_INLINE static __m256i join(__m256i a, __m256i b) {
    return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  }
  NBIT_INLINE static __m256i join(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i x = join(a, b), y = join(c, d);
    return _mm256_add_epi32(_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
  }
  NBIT_INLINE static __m128i totals(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i two = join(a, b, c, d);
    return _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
  }
  NBIT_INLINE static void store(float* p, __m128i v) { _mm_storeu_ps(p, _mm_cvtepi32_ps(v)); }
  NBIT_INLINE static void store(float* p, __m256i v) { _mm256_storeu_ps(p, _mm256_cvtepi32_ps(v)); }

#if NBIT_TARGET == 2
  using ints = __m512i;
  static constexpr int raise = 128;  // dpbusd wants unsigned weights
  // Masks of all lanes: g++ 12 warns inside the headers of the forms without a mask.
  static constexpr __mmask16 sixteen = 0xffff;
  static constexpr __mmask8 eight = 0xff;

  NBIT_INLINE static ints zero() { return _mm512_setzero_si512(); }
  NBIT_INLINE static ints bytes(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
  NBIT_INLINE static ints load(const void* p) { return _mm512_loadu_si512(p); }
  NBIT_INLINE static ints load_twice(const void* p) { return _mm512_maskz_broadcast_i64x4(eight, load_32(p)); }
  NBIT_INLINE static ints halves(__m256i lower, __m256i upper) {
    return _mm512_maskz_inserti64x4(eight, _mm512_castsi256_si512(lower), upper, 1);
  }
  NBIT_INLINE static ints load_halves(const void* a, const void* b) { return halves(load_32(a), load_32(b)); }
  NBIT_INLINE static ints lower(__m256i v) { return _mm512_maskz_inserti64x4(eight, zero(), v, 0); }
  NBIT_INLINE static ints raised(ints signed_bytes) { return _mm512_xor_si512(signed_bytes, bytes(-128)); }
  NBIT_INLINE static ints table(const std::int8_t (&levels)[16]) {
    return _mm512_add_epi8(_mm512_maskz_broadcast_i32x4(sixteen, load_16(levels)), bytes(raise));
  }
  NBIT_INLINE static ints look_up(ints table, ints codes) { return _mm512_shuffle_epi8(table, codes); }
  NBIT_INLINE static ints both(ints a, ints b) { return _mm512_and_si512(a, b); }
  NBIT_INLINE static ints pick(ints mask, ints a, ints b) { return _mm512_ternarylogic_epi32(mask, a, b, 0xca); }
  NBIT_INLINE static ints add(ints a, ints b) { return _mm512_add_epi32(a, b); }
  NBIT_INLINE static ints sub(ints a, ints b) { return _mm512_sub_epi32(a, b); }
  NBIT_INLINE static ints mul(ints a, ints b) { return _mm512_mullo_epi32(a, b); }
  NBIT_INLINE static void extract(ints a, std::uint64_t* eight_words) {
    extract(_mm512_maskz_extracti64x4_epi64(eight, a, 0), eight_words);
    extract(_mm512_maskz_extracti64x4_epi64(eight, a, 1), eight_words + 4);
  }
  NBIT_INLINE static ints either(ints a, ints b) { return _mm512_or_si512(a, b); }
  NBIT_INLINE static ints words(int v) { return _mm512_set1_epi16(static_cast<short>(v)); }
  NBIT_INLINE static ints widen(__m256i v) { return _mm512_cvtepu8_epi16(v); }
  NBIT_INLINE static ints widen_words(__m256i v) { return _mm512_maskz_cvtepi16_epi32(sixteen, v); }
  NBIT_INLINE static ints quarters(__m128i v) { return _mm512_maskz_broadcast_i32x4(sixteen, v); }
  NBIT_INLINE static ints mul_words(ints a, ints b) { return _mm512_mullo_epi16(a, b); }
  NBIT_INLINE static ints sub_words(ints a, ints b) { return _mm512_sub_epi16(a, b); }
  NBIT_INLINE static ints dot_words(ints a, ints b) { return _mm512_madd_epi16(a, b); }
  NBIT_INLINE static ints add_bytes(ints a, ints b) { return _mm512_add_epi8(a, b); }
  NBIT_INLINE static ints add_words_where(std::uint32_t bits, ints a, int v) {
    return _mm512_mask_add_epi16(a, bits, a, words(v));
  }
  NBIT_INLINE static std::uint64_t marked(ints a, ints bits) { return _mm512_test_epi8_mask(a, bits); }
  /// Words of a table of N = 64 .. 1024, from the low bits of 32 indices: 64 by each permutation, then choices.
  template <std::size_t N>
  NBIT_INLINE static ints look_up_words(const std::uint16_t* table, ints at) {
    if constexpr (N == 64) {
      return _mm512_permutex2var_epi16(load(table), at, load(table + 32));
    } else {
      const __mmask32 upper = _mm512_test_epi16_mask(at, words(N / 2));
      return _mm512_mask_blend_epi16(upper, look_up_words<N / 2>(table, at), look_up_words<N / 2>(table + N / 2, at));
    }
  }
  /// 2^6 times the trit at the top of each byte: the upper bits of 3/4 (q - 1), rounded up, which are those of 3/4 q.
  static constexpr int trit_shift = 6;
  NBIT_INLINE static ints trits(ints q) {
    q = _mm512_subs_epu8(q, bytes(1));
    return both(_mm512_avg_epu8(q, _mm512_avg_epu8(q, zero())), bytes(-64));
  }
  NBIT_INLINE static ints turned_trits(ints q) { return q; }
  NBIT_INLINE static ints triple(ints a) { return _mm512_add_epi8(_mm512_add_epi8(a, a), a); }
  NBIT_INLINE static ints widen_signed(__m128i v) { return _mm512_maskz_cvtepi8_epi32(sixteen, v); }
  template <int N>
  NBIT_INLINE static ints right(ints a) {
    if constexpr (N >= 0)
      return _mm512_srli_epi16(a, N);
    else
      return _mm512_slli_epi16(a, -N);
  }
  template <int A, int B>
  NBIT_INLINE static ints turn_halves(ints a) {
    const ints by = _mm512_mask_set1_epi32(_mm512_set1_epi32((A + 32) % 32), 0xff00, (B + 32) % 32);
    return _mm512_maskz_rorv_epi32(sixteen, a, by);
  }
  NBIT_INLINE static ints add_where(ints v, ints bits, ints a, int by) {
    return _mm512_mask_add_epi8(a, marked(v, bits), a, bytes(by));
  }
  using marks = std::uint64_t;
  template <std::size_t K>
  NBIT_INLINE static marks load_marks(const std::byte* a, const std::byte* b) {
    std::uint32_t low, high;
    std::memcpy(&low, a + 4 * K, 4), std::memcpy(&high, b + 4 * K, 4);
    return low | marks{high} << 32;
  }
  struct many_marks {
    std::uint64_t of[4];
    NBIT_INLINE explicit many_marks(__m256i bits) { extract(bits, of); }
    template <std::size_t M>
    NBIT_INLINE marks columns() const {
      return of[M];
    }
  };
  NBIT_INLINE static ints negate(marks where, ints a) { return _mm512_mask_sub_epi8(a, where, zero(), a); }
  NBIT_INLINE static ints dot(ints u, ints x, ints to) { return _mm512_dpbusd_epi32(to, u, x); }
  NBIT_INLINE static ints dot_raised(ints w, ints x, ints to) { return dot(w, x, to); }
  NBIT_INLINE static ints dot_short(ints u, ints x, ints to) { return dot(u, x, to); }
  NBIT_INLINE static ints dot_marked(marks where, int by, ints x, ints to) {
    return dot(_mm512_maskz_mov_epi8(where, bytes(by)), x, to);
  }
  NBIT_INLINE static ints from_short(ints a) { return a; }
  NBIT_INLINE static __m128i totals_short(ints a, ints b, ints c, ints d) { return totals(a, b, c, d); }
  template <int>
  NBIT_INLINE static ints join_short(ints a, ints b, ints c, ints d) {
    return join(a, b, c, d);
  }
  NBIT_INLINE static ints dot_pairs(ints u, ints x, ints factors, ints to) {
    return _mm512_dpwssd_epi32(to, _mm512_maddubs_epi16(u, x), factors);
  }
  NBIT_INLINE static ints join(ints a, ints b) {
    return add(_mm512_maskz_unpacklo_epi32(sixteen, a, b), _mm512_maskz_unpackhi_epi32(sixteen, a, b));
  }
  NBIT_INLINE static ints join(ints a, ints b, ints c, ints d) {
    const ints x = join(a, b), y = join(c, d);
    return add(_mm512_maskz_unpacklo_epi64(eight, x, y), _mm512_maskz_unpackhi_epi64(eight, x, y));
  }
  NBIT_INLINE static ints fold(ints a, ints b) {
    return add(_mm512_maskz_shuffle_i32x4(sixteen, a, b, 0x88), _mm512_maskz_shuffle_i32x4(sixteen, a, b, 0xdd));
  }
  NBIT_INLINE static ints join_pairs(ints a, ints b) {
    const ints even = _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0x88)),
               odd = _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0xdd));
    return _mm512_maskz_permutex_epi64(eight, add(even, odd), 0xd8);
  }
  NBIT_INLINE static __m128i totals(ints a, ints b, ints c, ints d) {
    const ints all = join(a, b, c, d);
    const __m256i two = _mm256_add_epi32(_mm512_maskz_extracti64x4_epi64(eight, all, 0),
                                         _mm512_maskz_extracti64x4_epi64(eight, all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
  }
  /// Lane 4 q + j of the result is lane j of quarter q's neighbours: a transpose of four by four.
  NBIT_INLINE static ints transpose(ints a) {
    const ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_maskz_permutexvar_epi32(sixteen, order, a);
  }
  template <int A, int B, int C, int D>
  NBIT_INLINE static ints spread(__m256i factors) {
    constexpr long long each = 0x0001000100010001;
    const ints which = _mm512_set_epi64(D * each, D * each, C * each, C * each, B * each, B * each, A * each, A * each);
    return _mm512_permutexvar_epi16(which, _mm512_castsi256_si512(factors));
  }
  NBIT_INLINE static void store(float* p, ints v) { _mm512_storeu_ps(p, _mm512_maskz_cvtepi32_ps(sixteen, v)); }

#else
  struct ints {
    __m256i lo, hi;
  };
  static constexpr int raise = 0;

  NBIT_INLINE static ints zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  NBIT_INLINE static ints twice(__m256i v) { return {v, v}; }
  NBIT_INLINE static ints bytes(int v) { return twice(_mm256_set1_epi8(static_cast<char>(v))); }
  NBIT_INLINE static ints load(const void* p) { return load_halves(p, static_cast<const char*>(p) + 32); }
  NBIT_INLINE static ints load_twice(const void* p) { return twice(load_32(p)); }
  NBIT_INLINE static ints load_halves(const void* a, const void* b) { return {load_32(a), load_32(b)}; }
  NBIT_INLINE static ints halves(__m256i lower, __m256i upper) { return {lower, upper}; }
  NBIT_INLINE static ints lower(__m256i v) { return {v, _mm256_setzero_si256()}; }
  NBIT_INLINE static ints raised(ints signed_bytes) { return signed_bytes; }
  NBIT_INLINE static ints table(const std::int8_t (&levels)[16]) {
    return twice(_mm256_broadcastsi128_si256(load_16(levels)));
  }
  NBIT_INLINE static ints look_up(ints t, ints c) {
    return {_mm256_shuffle_epi8(t.lo, c.lo), _mm256_shuffle_epi8(t.hi, c.hi)};
  }
  NBIT_INLINE static ints both(ints a, ints b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
  NBIT_INLINE static ints pick(ints m, ints a, ints b) {
    return {_mm256_or_si256(_mm256_and_si256(m.lo, a.lo), _mm256_andnot_si256(m.lo, b.lo)),
            _mm256_or_si256(_mm256_and_si256(m.hi, a.hi), _mm256_andnot_si256(m.hi, b.hi))};
  }
  NBIT_INLINE static ints add(ints a, ints b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
  NBIT_INLINE static ints sub(ints a, ints b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
  NBIT_INLINE static ints mul(ints a, ints b) {
    return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)};
  }
  NBIT_INLINE static ints either(ints a, ints b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
  NBIT_INLINE static ints words(int v) { return twice(_mm256_set1_epi16(static_cast<short>(v))); }
  NBIT_INLINE static ints widen(__m256i v) {
    return {_mm256_cvtepu8_epi16(_mm256_castsi256_si128(v)), _mm256_cvtepu8_epi16(_mm256_extracti128_si256(v, 1))};
  }
  NBIT_INLINE static ints quarters(__m128i v) { return twice(_mm256_broadcastsi128_si256(v)); }
  NBIT_INLINE static ints mul_words(ints a, ints b) {
    return {_mm256_mullo_epi16(a.lo, b.lo), _mm256_mullo_epi16(a.hi, b.hi)};
  }
  NBIT_INLINE static ints sub_words(ints a, ints b) {
    return {_mm256_sub_epi16(a.lo, b.lo), _mm256_sub_epi16(a.hi, b.hi)};
  }
  NBIT_INLINE static ints dot_words(ints a, ints b) {
    return {_mm256_madd_epi16(a.lo, b.lo), _mm256_madd_epi16(a.hi, b.hi)};
  }
  NBIT_INLINE static ints add_bytes(ints a, ints b) {
    return {_mm256_add_epi8(a.lo, b.lo), _mm256_add_epi8(a.hi, b.hi)};
  }
  NBIT_INLINE static ints add_words_where(std::uint32_t bits, ints a, int v) {
    const __m256i bit = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768);
    const __m256i lo = _mm256_and_si256(_mm256_set1_epi16(static_cast<short>(bits)), bit),
                  hi = _mm256_and_si256(_mm256_set1_epi16(static_cast<short>(bits >> 16)), bit);
    const ints set = {_mm256_cmpeq_epi16(lo, bit), _mm256_cmpeq_epi16(hi, bit)}, by = both(set, words(v));
    return {_mm256_add_epi16(a.lo, by.lo), _mm256_add_epi16(a.hi, by.hi)};
  }
  NBIT_INLINE static void extract(ints a, std::uint64_t* eight_words) {
    extract(a.lo, eight_words), extract(a.hi, eight_words + 4);
  }
  /// The trit at the top of each byte, whose highest bit is turned: it is 1 from 86 on, 2 from 171.
  static constexpr int trit_shift = 0;
  NBIT_INLINE static __m256i trits(__m256i q) {
    const __m256i none = _mm256_cmpgt_epi8(_mm256_set1_epi8(86 - 128), q),
                  two = _mm256_cmpgt_epi8(q, _mm256_set1_epi8(170 - 128));
    return _mm256_sub_epi8(_mm256_add_epi8(none, _mm256_set1_epi8(1)), two);
  }
  NBIT_INLINE static ints trits(ints q) { return {trits(q.lo), trits(q.hi)}; }
  NBIT_INLINE static ints turned_trits(ints q) {
    const __m256i top = _mm256_set1_epi8(-128);
    return {_mm256_xor_si256(q.lo, top), _mm256_xor_si256(q.hi, top)};
  }
  NBIT_INLINE static ints triple(ints a) {
    return {_mm256_add_epi8(_mm256_add_epi8(a.lo, a.lo), a.lo), _mm256_add_epi8(_mm256_add_epi8(a.hi, a.hi), a.hi)};
  }
  NBIT_INLINE static ints widen_signed(__m128i v) {
    return {_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(v, v))};
  }
  template <int N>
  NBIT_INLINE static __m256i right(__m256i a) {
    if constexpr (N > 0)
      return _mm256_srli_epi16(a, N);
    else if constexpr (N < 0)
      return _mm256_slli_epi16(a, -N);
    else
      return a;
  }
  template <int N>
  NBIT_INLINE static ints right(ints a) {
    return {right<N>(a.lo), right<N>(a.hi)};
  }
  template <int A, int B>
  NBIT_INLINE static ints turn_halves(ints a) {
    return {right<A>(a.lo), right<B>(a.hi)};
  }
  // Bytes of ones where bits 32 K .. 32 K + 31 of either half are set.
  template <std::size_t K>
  NBIT_INLINE static __m256i where(__m256i halves) {
    const __m256i byte = _mm256_add_epi8(
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303), _mm256_set1_epi8(4 * K));
    const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    return _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(halves, byte), bit), bit);
  }
  using marks = ints;
  template <std::size_t K>
  NBIT_INLINE static marks load_marks(const std::byte* a, const std::byte* b) {
    return {where<K>(_mm256_broadcastsi128_si256(load_16(a))), where<K>(_mm256_broadcastsi128_si256(load_16(b)))};
  }
  struct many_marks {
    __m256i first, last;
    NBIT_INLINE explicit many_marks(__m256i bits)
        : first(_mm256_permute2x128_si256(bits, bits, 0x00)), last(_mm256_permute2x128_si256(bits, bits, 0x11)) {}
    template <std::size_t M>
    NBIT_INLINE marks columns() const {
      return {where<M % 2 * 2>(M < 2 ? first : last), where<M % 2 * 2 + 1>(M < 2 ? first : last)};
    }
  };
  /// a + by where v has one of the bits, at most one in each byte.
  NBIT_INLINE static ints add_where(ints v, ints bits, ints a, int by) {
    const __m256i lo = _mm256_cmpeq_epi8(_mm256_and_si256(v.lo, bits.lo), bits.lo),
                  hi = _mm256_cmpeq_epi8(_mm256_and_si256(v.hi, bits.hi), bits.hi),
                  add = _mm256_set1_epi8(static_cast<char>(by));
    return {_mm256_add_epi8(a.lo, _mm256_and_si256(lo, add)), _mm256_add_epi8(a.hi, _mm256_and_si256(hi, add))};
  }
  NBIT_INLINE static __m256i dot_half(__m256i u, __m256i x, __m256i factors, __m256i to) {
    return _mm256_add_epi32(to, _mm256_madd_epi16(_mm256_maddubs_epi16(u, x), factors));
  }
  NBIT_INLINE static ints negate(marks m, ints a) {
    return {_mm256_sub_epi8(_mm256_xor_si256(a.lo, m.lo), m.lo), _mm256_sub_epi8(_mm256_xor_si256(a.hi, m.hi), m.hi)};
  }
  NBIT_INLINE static ints dot_pairs(ints u, ints x, ints f, ints to) {
    return {dot_half(u.lo, x.lo, f.lo, to.lo), dot_half(u.hi, x.hi, f.hi, to.hi)};
  }
  NBIT_INLINE static ints dot(ints u, ints x, ints to) { return dot_pairs(u, x, twice(_mm256_set1_epi16(1)), to); }
  // The sign of w moves to x: 2 * 128 * 127 fits the 16-bit sum of a pair.
  NBIT_INLINE static ints dot_raised(ints w, ints x, ints to) {
    const __m256i ones = _mm256_set1_epi16(1);
    return {dot_half(_mm256_abs_epi8(w.lo), _mm256_sign_epi8(x.lo, w.lo), ones, to.lo),
            dot_half(_mm256_abs_epi8(w.hi), _mm256_sign_epi8(x.hi, w.hi), ones, to.hi)};
  }
  NBIT_INLINE static ints add_words(ints a, ints b) {
    return {_mm256_add_epi16(a.lo, b.lo), _mm256_add_epi16(a.hi, b.hi)};
  }
  NBIT_INLINE static ints dot_short(ints u, ints x, ints to) {
    return add_words(to, {_mm256_maddubs_epi16(u.lo, x.lo), _mm256_maddubs_epi16(u.hi, x.hi)});
  }
  NBIT_INLINE static ints dot_marked(marks where, int by, ints x, ints to) {
    return dot_short(bytes(by), both(where, x), to);
  }
  NBIT_INLINE static ints from_short(ints a) { return dot_words(a, words(1)); }
  NBIT_INLINE static __m256i join_words(__m256i a, __m256i b) {
    return _mm256_add_epi16(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  }
  template <int Steps>
  NBIT_INLINE static __m256i join_short(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i x = join_words(a, b), y = join_words(c, d), one = _mm256_set1_epi16(1);
    if constexpr (Steps == 2) {
      const __m256i all = _mm256_add_epi16(_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
      return _mm256_madd_epi16(all, one);
    } else {
      const __m256i p = _mm256_madd_epi16(x, one), q = _mm256_madd_epi16(y, one);
      return _mm256_add_epi32(_mm256_unpacklo_epi64(p, q), _mm256_unpackhi_epi64(p, q));
    }
  }
  template <int Steps>
  NBIT_INLINE static ints join_short(ints a, ints b, ints c, ints d) {
    if constexpr (Steps == 0)
      return join(a, b, c, d);
    else
      return {join_short<Steps>(a.lo, b.lo, c.lo, d.lo), join_short<Steps>(a.hi, b.hi, c.hi, d.hi)};
  }
  NBIT_INLINE static ints join(ints a, ints b) { return {join(a.lo, b.lo), join(a.hi, b.hi)}; }
  NBIT_INLINE static ints join(ints a, ints b, ints c, ints d) {
    return {join(a.lo, b.lo, c.lo, d.lo), join(a.hi, b.hi, c.hi, d.hi)};
  }
  NBIT_INLINE static __m256i fold(ints a) {
    return _mm256_add_epi32(_mm256_permute2x128_si256(a.lo, a.hi, 0x20), _mm256_permute2x128_si256(a.lo, a.hi, 0x31));
  }
  NBIT_INLINE static ints fold(ints a, ints b) { return {fold(a), fold(b)}; }
  NBIT_INLINE static __m256i join_pairs(__m256i a, __m256i b) {
    const __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
    const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88)),
                  odd = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd));
    return _mm256_permute4x64_epi64(_mm256_add_epi32(even, odd), 0xd8);
  }
  NBIT_INLINE static ints join_pairs(ints a, ints b) { return {join_pairs(a.lo, b.lo), join_pairs(a.hi, b.hi)}; }
  NBIT_INLINE static __m128i totals(ints a, ints b, ints c, ints d) {
    return totals(_mm256_add_epi32(a.lo, a.hi), _mm256_add_epi32(b.lo, b.hi), _mm256_add_epi32(c.lo, c.hi),
                  _mm256_add_epi32(d.lo, d.hi));
  }
  NBIT_INLINE static __m128i totals_short(ints a, ints b, ints c, ints d) {
    const __m256i two = join_short<2>(_mm256_add_epi16(a.lo, a.hi), _mm256_add_epi16(b.lo, b.hi),
                                      _mm256_add_epi16(c.lo, c.hi), _mm256_add_epi16(d.lo, d.hi));
    return _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
  }
  NBIT_INLINE static ints transpose(ints a) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i x = _mm256_permutevar8x32_epi32(a.lo, order), y = _mm256_permutevar8x32_epi32(a.hi, order);
    const __m256i even = _mm256_unpacklo_epi64(x, y), odd = _mm256_unpackhi_epi64(x, y);
    return {_mm256_permute2x128_si256(even, odd, 0x20), _mm256_permute2x128_si256(even, odd, 0x31)};
  }
  template <int A, int B>
  NBIT_INLINE static __m256i spread(__m256i factors) {
    static_assert(A / 8 == B / 8);
    const __m256i eight = _mm256_permute2x128_si256(factors, factors, A < 8 ? 0x00 : 0x11);
    constexpr short a = (A % 8 * 2 + 1) * 256 + A % 8 * 2, b = (B % 8 * 2 + 1) * 256 + B % 8 * 2;
    return _mm256_shuffle_epi8(eight, _mm256_setr_epi16(a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b));
  }
  template <int A, int B, int C, int D>
  NBIT_INLINE static ints spread(__m256i factors) {
    return {spread<A, B>(factors), spread<C, D>(factors)};
  }
  NBIT_INLINE static void store(float* p, ints v) {
    _mm256_storeu_ps(p, _mm256_cvtepi32_ps(v.lo)), _mm256_storeu_ps(p + 8, _mm256_cvtepi32_ps(v.hi));
  }
#endif

  NBIT_INLINE static ints load_pairs(const std::byte* a, const std::byte* b, std::size_t stride) {
    return halves(two_places(a, stride), two_places(b, stride));
  }
  NBIT_INLINE static ints load_quarters(const std::byte* p, std::size_t stride) {
    return load_pairs(p, p + 2 * stride, stride);
  }
  /// The first words of four neighbours, and with Two their second ones.
  template <bool Two>
  NBIT_INLINE static void first_words(const std::byte* p, std::size_t stride, f16* first, f16* second) {
    if constexpr (Two) {
      std::int32_t both[4];
      for (std::size_t k = 0; k < 4; ++k) std::memcpy(both + k, p + k * stride, 4);
      const __m128i v = _mm_shuffle_epi8(_mm_setr_epi32(both[0], both[1], both[2], both[3]),
                                         _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(first), v);
      _mm_storeh_pd(reinterpret_cast<double*>(second), _mm_castsi128_pd(v));
    } else {
      for (std::size_t k = 0; k < 4; ++k) std::memcpy(first + k, p + k * stride, 2);
    }
  }

  // One accumulator for each token: X is a block_row, whose element t points at token t's codes.
  template <std::size_t Tokens>
  struct many {
    ints of[Tokens];
  };
  template <class X>
  NBIT_INLINE static many<X::count> none() {
    many<X::count> m;
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) m.of[t] = zero();
    return m;
  }
  template <class X>
  NBIT_INLINE static many<X::count> dot(ints u, X x, many<X::count> to) {
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = dot(u, load(x[t]), to.of[t]);
    return to;
  }
  template <class X>
  NBIT_INLINE static many<X::count> dot_raised(ints w, X x, many<X::count> to) {
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = dot_raised(w, load(x[t]), to.of[t]);
    return to;
  }
  template <class X>
  NBIT_INLINE static many<X::count> dot_pairs(ints u, X x, ints factors, many<X::count> to) {
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = dot_pairs(u, load(x[t]), factors, to.of[t]);
    return to;
  }
  template <class X>
  NBIT_INLINE static many<X::count> dot_short(ints u, X x, many<X::count> to) {
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = dot_short(u, load(x[t]), to.of[t]);
    return to;
  }
  template <class X>
  NBIT_INLINE static many<X::count> dot_marked(marks where, int by, X x, many<X::count> to) {
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = dot_marked(where, by, load(x[t]), to.of[t]);
    return to;
  }
  template <std::size_t T>
  NBIT_INLINE static many<T> from_short(many<T> a) {
    NBIT_UNROLL
    for (std::size_t t = 0; t < T; ++t) a.of[t] = from_short(a.of[t]);
    return a;
  }
  template <class X>
  NBIT_INLINE static many<X::count> dot_pairs_negated(marks where, ints u, X x, ints factors, many<X::count> to) {
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = dot_pairs(u, negate(where, load(x[t])), factors, to.of[t]);
    return to;
  }
  template <class X>
  NBIT_INLINE static many<X::count> dot_negated(marks where, ints u, X x, many<X::count> to) {
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = dot(u, negate(where, load(x[t])), to.of[t]);
    return to;
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
