// nbit/arch/code_lanes.inl — code_lanes<Arch>; included by arch/code_lanes.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

#if NBIT_TARGET == 2

template <>
struct code_lanes<NBIT_ARCH> {
  using real = lanes<NBIT_ARCH>::type;
  using bytes = __m512i;
  using sums = __m512i;
  struct partial {};
  template <int Top>
  static constexpr int steps = 8;
  template <int Top>
  static constexpr int centre = 0;

  NBIT_INLINE static bytes load(const void* p) { return _mm512_loadu_si512(p); }
  NBIT_INLINE static void store(void* p, bytes v) { _mm512_storeu_si512(p, v); }
  template <int Low, int Width, int To>
  NBIT_INLINE static bytes field(bytes v) {
    if constexpr (Low > To)
      v = _mm512_srli_epi16(v, Low - To);
    else if constexpr (Low < To)
      v = _mm512_slli_epi16(v, To - Low);
    return _mm512_and_si512(v, _mm512_set1_epi8(static_cast<char>(((1 << Width) - 1) << To)));
  }
  NBIT_INLINE static bytes join(bytes a, bytes b) { return _mm512_or_si512(a, b); }
  NBIT_INLINE static bytes lookup(const std::uint8_t* table, bytes v) {
    const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_maskz_broadcast_i32x4(all, t), v);
  }
  template <int Top>
  NBIT_INLINE static bytes centred(bytes v) {
    return v;
  }
  NBIT_INLINE static sums sums_at(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  NBIT_INLINE static sums start(int v) { return _mm512_set1_epi32(v); }
  NBIT_INLINE static partial none() { return {}; }
  template <int Top>
  NBIT_INLINE static void step(sums& s, partial&, bytes v, const std::int8_t* x) {
    int four;
    std::memcpy(&four, x, sizeof four);
    s = _mm512_dpbusd_epi32(s, v, _mm512_set1_epi32(four));
  }
  template <int Top>
  NBIT_INLINE static void flush(sums&, partial&) {}
  NBIT_INLINE static real to_float(sums s) { return _mm512_maskz_cvtepi32_ps(all, s); }
  NBIT_INLINE static real from_i8(const void* p) { return to_float(_mm512_maskz_cvtepi8_epi32(all, sixteen(p))); }
  NBIT_INLINE static real from_u8(const void* p) { return to_float(_mm512_maskz_cvtepu8_epi32(all, sixteen(p))); }
  template <int Low>
  NBIT_INLINE static real from_nibble(const void* p) {
    const __m128i v = _mm_and_si128(_mm_srli_epi16(sixteen(p), Low), _mm_set1_epi8(15));
    return to_float(_mm512_maskz_cvtepu8_epi32(all, v));
  }
  NBIT_INLINE static real from_bf16(const void* p) {
    const __m256i v = _mm256_loadu_si256(static_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, _mm512_maskz_cvtepu16_epi32(all, v), 16));
  }
  /// Column J of the four as floats.
  template <int J>
  NBIT_INLINE static real column(bytes v) {
    return to_float(_mm512_and_si512(_mm512_maskz_srli_epi32(all, v, 8 * J), _mm512_set1_epi32(255)));
  }
  template <int J>
  NBIT_INLINE static real level(const std::uint32_t* values, bytes v) {  // the permutation ignores higher bits
    return _mm512_maskz_permutexvar_ps(all, _mm512_maskz_srli_epi32(all, v, 8 * J), _mm512_loadu_ps(values));
  }
  /// Bits at .. at + Bits - 1 of every 32 as floats.
  template <int Bits>
  NBIT_INLINE static real field_at(bytes v, int at) {
    const __m512i field = _mm512_maskz_srlv_epi32(all, v, _mm512_set1_epi32(at));
    return to_float(_mm512_and_si512(field, _mm512_set1_epi32((1 << Bits) - 1)));
  }
  /// 32 bits at from + at[l] * Size for each lane; their lower halves as f16, their upper halves as numbers.
  template <int Size>
  NBIT_INLINE static sums gather(const void* from, const std::int32_t* at) {
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), all, _mm512_loadu_si512(at), from, Size);
  }
  NBIT_INLINE static real low_f16(sums v) { return _mm512_maskz_cvtph_ps(all, _mm512_maskz_cvtepi32_epi16(all, v)); }
  NBIT_INLINE static sums high(sums v) { return _mm512_maskz_srli_epi32(all, v, 16); }
  /// Bytes 4 u + i of every sixteen of the four: four neighbours of vector u.
  NBIT_INLINE static void transpose(bytes (&v)[4]) {
    const bytes low = _mm512_unpacklo_epi8(v[0], v[1]), high = _mm512_unpackhi_epi8(v[0], v[1]);
    const bytes low2 = _mm512_unpacklo_epi8(v[2], v[3]), high2 = _mm512_unpackhi_epi8(v[2], v[3]);
    v[0] = _mm512_unpacklo_epi16(low, low2), v[1] = _mm512_unpackhi_epi16(low, low2);
    v[2] = _mm512_unpacklo_epi16(high, high2), v[3] = _mm512_unpackhi_epi16(high, high2);
  }

 private:
  static constexpr __mmask16 all = 0xffff;
  NBIT_INLINE static __m128i sixteen(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
};

#elif NBIT_TARGET == 1

template <>
struct code_lanes<NBIT_ARCH> {
  using real = lanes<NBIT_ARCH>::type;
  struct bytes {
    __m256i lo, hi;
  };
  using sums = bytes;
  using partial = bytes;  // pairs of columns in 16 bits
#if NBIT_TARGET_DOT
  template <int Top>
  static constexpr int steps = 8;
  template <int Top>
  static constexpr int centre = 0;
#else
  // maddubs adds two products in signed 16 bits: so many of them may be added before that overflows
  template <int Top>
  static constexpr int steps = Top > 127 || Top <= 16 ? 8
                               : Top <= 32            ? 4
                               : Top <= 64            ? 2
                                                      : 1;
  template <int Top>
  static constexpr int centre = Top > 127 ? 128 : 0;
#endif

  NBIT_INLINE static bytes load(const void* p) {
    const __m256i* const v = static_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)};
  }
  NBIT_INLINE static void store(void* p, bytes v) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), v.lo);
    _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, v.hi);
  }
  template <int Low, int Width, int To>
  NBIT_INLINE static bytes field(bytes v) {
    return {half_field<Low, Width, To>(v.lo), half_field<Low, Width, To>(v.hi)};
  }
  NBIT_INLINE static bytes join(bytes a, bytes b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
  NBIT_INLINE static bytes lookup(const std::uint8_t* table, bytes v) {
    const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
    return {_mm256_shuffle_epi8(t, v.lo), _mm256_shuffle_epi8(t, v.hi)};
  }
  template <int Top>
  NBIT_INLINE static bytes centred(bytes v) {
    if constexpr (centre<Top> == 0) return v;
    const __m256i half = _mm256_set1_epi8(-128);
    return {_mm256_xor_si256(v.lo, half), _mm256_xor_si256(v.hi, half)};
  }
  NBIT_INLINE static sums sums_at(const std::int32_t* p) { return load(p); }
  NBIT_INLINE static sums start(int v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
  NBIT_INLINE static partial none() { return start(0); }
  template <int Top>
  NBIT_INLINE static void step(sums& s, [[maybe_unused]] partial& p, bytes v, const std::int8_t* x) {
    int four;
    std::memcpy(&four, x, sizeof four);
    const __m256i xs = _mm256_set1_epi32(four);
#if NBIT_TARGET_DOT
    s.lo = _mm256_dpbusd_avx_epi32(s.lo, v.lo, xs);
    s.hi = _mm256_dpbusd_avx_epi32(s.hi, v.hi, xs);
#else
    if constexpr (centre<Top> == 0) {
      p.lo = _mm256_add_epi16(p.lo, _mm256_maddubs_epi16(v.lo, xs));
      p.hi = _mm256_add_epi16(p.hi, _mm256_maddubs_epi16(v.hi, xs));
    } else {  // signed bytes: their signs move to x
      const __m256i one = _mm256_set1_epi16(1);
      const __m256i lo = _mm256_maddubs_epi16(_mm256_abs_epi8(v.lo), _mm256_sign_epi8(xs, v.lo));
      const __m256i hi = _mm256_maddubs_epi16(_mm256_abs_epi8(v.hi), _mm256_sign_epi8(xs, v.hi));
      s.lo = _mm256_add_epi32(s.lo, _mm256_madd_epi16(lo, one));
      s.hi = _mm256_add_epi32(s.hi, _mm256_madd_epi16(hi, one));
    }
#endif
  }
  template <int Top>
  NBIT_INLINE static void flush([[maybe_unused]] sums& s, [[maybe_unused]] partial& p) {
    if constexpr (centre<Top> == 0 && !NBIT_TARGET_DOT) {
      const __m256i one = _mm256_set1_epi16(1);
      s.lo = _mm256_add_epi32(s.lo, _mm256_madd_epi16(p.lo, one));
      s.hi = _mm256_add_epi32(s.hi, _mm256_madd_epi16(p.hi, one));
      p = none();
    }
  }
  NBIT_INLINE static real to_float(sums s) { return {_mm256_cvtepi32_ps(s.lo), _mm256_cvtepi32_ps(s.hi)}; }
  NBIT_INLINE static real from_i8(const void* p) {
    return to_float({_mm256_cvtepi8_epi32(eight(p, 0)), _mm256_cvtepi8_epi32(eight(p, 8))});
  }
  NBIT_INLINE static real from_u8(const void* p) {
    return to_float({_mm256_cvtepu8_epi32(eight(p, 0)), _mm256_cvtepu8_epi32(eight(p, 8))});
  }
  template <int Low>
  NBIT_INLINE static real from_nibble(const void* p) {
    const __m256i fifteen = _mm256_set1_epi32(15);
    return to_float({_mm256_and_si256(_mm256_srli_epi32(_mm256_cvtepu8_epi32(eight(p, 0)), Low), fifteen),
                     _mm256_and_si256(_mm256_srli_epi32(_mm256_cvtepu8_epi32(eight(p, 8)), Low), fifteen)});
  }
  NBIT_INLINE static real from_bf16(const void* p) {
    const __m128i* const v = static_cast<const __m128i*>(p);
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(v)), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(v + 1)), 16))};
  }
  template <int J>
  NBIT_INLINE static real column(bytes v) {
    const __m256i mask = _mm256_set1_epi32(255);
    return to_float({_mm256_and_si256(_mm256_srli_epi32(v.lo, 8 * J), mask),
                     _mm256_and_si256(_mm256_srli_epi32(v.hi, 8 * J), mask)});
  }
  template <int J>
  NBIT_INLINE static real level(const std::uint32_t* values, bytes v) {
    return {half_level(values, _mm256_srli_epi32(v.lo, 8 * J)), half_level(values, _mm256_srli_epi32(v.hi, 8 * J))};
  }
  template <int Bits>
  NBIT_INLINE static real field_at(bytes v, int at) {
    const __m256i by = _mm256_set1_epi32(at), mask = _mm256_set1_epi32((1 << Bits) - 1);
    return to_float(
        {_mm256_and_si256(_mm256_srlv_epi32(v.lo, by), mask), _mm256_and_si256(_mm256_srlv_epi32(v.hi, by), mask)});
  }
  template <int Size>
  NBIT_INLINE static sums gather(const void* from, const std::int32_t* at) {
    const bytes places = load(at);
    return {_mm256_i32gather_epi32(static_cast<const int*>(from), places.lo, Size),
            _mm256_i32gather_epi32(static_cast<const int*>(from), places.hi, Size)};
  }
  NBIT_INLINE static real low_f16(sums v) {
    const __m256i low = _mm256_set1_epi32(0xffff);
    const __m256i both = _mm256_packus_epi32(_mm256_and_si256(v.lo, low), _mm256_and_si256(v.hi, low));
    const __m256i halves = _mm256_permute4x64_epi64(both, 0xd8);
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
  }
  NBIT_INLINE static sums high(sums v) { return {_mm256_srli_epi32(v.lo, 16), _mm256_srli_epi32(v.hi, 16)}; }
  NBIT_INLINE static void transpose(bytes (&v)[4]) {
    transpose(v[0].lo, v[1].lo, v[2].lo, v[3].lo), transpose(v[0].hi, v[1].hi, v[2].hi, v[3].hi);
  }

 private:
  NBIT_INLINE static void transpose(__m256i& a, __m256i& b, __m256i& c, __m256i& d) {
    const __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
    const __m256i low2 = _mm256_unpacklo_epi8(c, d), high2 = _mm256_unpackhi_epi8(c, d);
    a = _mm256_unpacklo_epi16(low, low2), b = _mm256_unpackhi_epi16(low, low2);
    c = _mm256_unpacklo_epi16(high, high2), d = _mm256_unpackhi_epi16(high, high2);
  }
  template <int Low, int Width, int To>
  NBIT_INLINE static __m256i half_field(__m256i v) {
    if constexpr (Low > To)
      v = _mm256_srli_epi16(v, Low - To);
    else if constexpr (Low < To)
      v = _mm256_slli_epi16(v, To - Low);
    return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(((1 << Width) - 1) << To)));
  }
  // bit 3 chooses between two permutations of eight, which ignore it
  NBIT_INLINE static __m256 half_level(const std::uint32_t* values, __m256i codes) {
    const __m256i* const t = reinterpret_cast<const __m256i*>(values);
    const __m256i low = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(t), codes);
    const __m256i high = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(t + 1), codes);
    return _mm256_blendv_ps(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high),
                            _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)));
  }
  NBIT_INLINE static __m128i eight(const void* p, std::size_t at) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(static_cast<const char*>(p) + at));
  }
};

#elif NBIT_TARGET != 3

template <>
struct code_lanes<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;
  using real = vec::type;
  struct bytes {
    std::uint8_t v[4 * lane_count];
  };
  struct sums {
    std::int32_t v[lane_count];
  };
  struct partial {};
  template <int Top>
  static constexpr int steps = 8;
  template <int Top>
  static constexpr int centre = 0;

  static bytes load(const void* p) {
    bytes b;
    std::memcpy(b.v, p, sizeof b.v);
    return b;
  }
  static void store(void* p, const bytes& b) { std::memcpy(p, b.v, sizeof b.v); }
  template <int Low, int Width, int To>
  static bytes field(bytes b) {
    for (auto& v : b.v) v = static_cast<std::uint8_t>((v >> Low & ((1 << Width) - 1)) << To);
    return b;
  }
  static bytes join(bytes a, const bytes& b) {
    for (std::size_t i = 0; i < sizeof a.v; ++i) a.v[i] = static_cast<std::uint8_t>(a.v[i] | b.v[i]);
    return a;
  }
  static bytes lookup(const std::uint8_t* table, bytes b) {
    for (auto& v : b.v) v = table[v & 15];
    return b;
  }
  template <int Top>
  static bytes centred(const bytes& b) {
    return b;
  }
  static sums sums_at(const std::int32_t* p) {
    sums s;
    std::memcpy(s.v, p, sizeof s.v);
    return s;
  }
  static sums start(int v) {
    sums s;
    for (auto& lane : s.v) lane = v;
    return s;
  }
  static partial none() { return {}; }
  template <int Top>
  static void step(sums& s, partial&, const bytes& b, const std::int8_t* x) {
    for (std::size_t r = 0; r < lane_count; ++r)
      for (std::size_t j = 0; j < 4; ++j) s.v[r] += int{b.v[4 * r + j]} * int{x[j]};
  }
  template <int Top>
  static void flush(sums&, partial&) {}
  static real to_float(const sums& s) {
    return each([&](std::size_t i) { return static_cast<float>(s.v[i]); });
  }
  static real from_i8(const void* p) {
    return each([&](std::size_t i) { return static_cast<float>(static_cast<const std::int8_t*>(p)[i]); });
  }
  static real from_u8(const void* p) {
    return each([&](std::size_t i) { return static_cast<float>(static_cast<const std::uint8_t*>(p)[i]); });
  }
  template <int Low>
  static real from_nibble(const void* p) {
    return each([&](std::size_t i) { return static_cast<float>(static_cast<const std::uint8_t*>(p)[i] >> Low & 15); });
  }
  static real from_bf16(const void* p) {
    return each([&](std::size_t i) {
      bf16 v;
      std::memcpy(&v, static_cast<const char*>(p) + 2 * i, sizeof v);
      return float(v);
    });
  }
  template <int J>
  static real column(const bytes& b) {
    return each([&](std::size_t i) { return static_cast<float>(b.v[4 * i + std::size_t(J)]); });
  }
  template <int J>
  static real level(const std::uint32_t* values, const bytes& b) {
    return each([&](std::size_t i) { return std::bit_cast<float>(values[b.v[4 * i + std::size_t(J)]]); });
  }

 private:
  template <class F>
  static real each(F f) {
    float v[lane_count];
    for (std::size_t i = 0; i < lane_count; ++i) v[i] = f(i);
    return vec::load(v);
  }
};

#endif

}  // namespace NBIT_TAG
}  // namespace nbit

#if NBIT_TARGET == 3
#include <nbit/arch/code_lanes_neon.inl>
#endif
