// nbit/arch/simd.inl — lanes<Arch>: the scalar definition and x86; included by arch/simd.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

#if NBIT_TARGET == 0

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    float v[lane_count];
  };

  static type zero() { return type{}; }
  static type load(const float* p) {
    type r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static type load_f16(const f16* p) {
    type r;
    for (std::size_t i = 0; i < lane_count; ++i) r.v[i] = float(p[i]);
    return r;
  }
  static void store(float* p, type a) { std::memcpy(p, a.v, sizeof a.v); }
  static type broadcast(float s) {
    type r;
    for (float& f : r.v) f = s;
    return r;
  }
  static type add(type a, type b) {
    NBIT_EXACT
    for (std::size_t i = 0; i < lane_count; ++i) a.v[i] += b.v[i];
    return a;
  }
  static type mul(type a, type b) {
    NBIT_EXACT
    for (std::size_t i = 0; i < lane_count; ++i) a.v[i] *= b.v[i];
    return a;
  }
  static type fma(type a, type b, type c) {
    for (std::size_t i = 0; i < lane_count; ++i) c.v[i] = nbit::fma(a.v[i], b.v[i], c.v[i]);
    return c;
  }
  static float reduce(type a) {
    NBIT_EXACT
    for (std::size_t half = lane_count / 2; half != 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i) a.v[i] += a.v[i + half];
    return a.v[0];
  }
  static type dot4(const std::int8_t* w, const std::int8_t* x) {
    type r;
    for (std::size_t i = 0; i < lane_count; ++i) {
      int sum = 0;
      for (std::size_t j = 0; j < 4; ++j) sum += int{w[4 * i + j]} * int{x[4 * i + j]};
      r.v[i] = static_cast<float>(sum);
    }
    return r;
  }
};

#elif NBIT_TARGET == 1

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    __m256 lo, hi;
  };
  struct whole {
    __m256i lo, hi;
  };

  NBIT_INLINE static type zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  NBIT_INLINE static type load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  NBIT_INLINE static type load_f16(const f16* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  NBIT_INLINE static void store(float* p, type a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
  }
  NBIT_INLINE static type broadcast(float s) { return {_mm256_set1_ps(s), _mm256_set1_ps(s)}; }
  NBIT_INLINE static type add(type a, type b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type mul(type a, type b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type fma(type a, type b, type c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  NBIT_INLINE static float reduce(type a) {
    const __m256 eight = _mm256_add_ps(a.lo, a.hi);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    return {dot8(w, x), dot8(w + 32, x + 32)};
  }

 private:
  NBIT_INLINE static __m256 dot8(const std::int8_t* w, const std::int8_t* x) {
    // maddubs wants unsigned x signed: move w's sign to x. 2 * 128 * 127 fits a signed 16-bit sum.
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    const __m256i b = _mm256_sign_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), a);
#if NBIT_TARGET_DOT
    return _mm256_cvtepi32_ps(_mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), _mm256_abs_epi8(a), b));
#else
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), b);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
  }
};

#elif NBIT_TARGET == 2

template <>
struct lanes<NBIT_ARCH> {
  using type = __m512;

  NBIT_INLINE static type zero() { return _mm512_setzero_ps(); }
  NBIT_INLINE static type load(const float* p) { return _mm512_loadu_ps(p); }
  NBIT_INLINE static type load_f16(const f16* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_maskz_cvtph_ps(static_cast<__mmask16>(0xffff), halves);
  }
  NBIT_INLINE static void store(float* p, type a) { _mm512_storeu_ps(p, a); }
  NBIT_INLINE static type broadcast(float s) { return _mm512_set1_ps(s); }
  NBIT_INLINE static type add(type a, type b) { return _mm512_add_ps(a, b); }
  NBIT_INLINE static type mul(type a, type b) { return _mm512_mul_ps(a, b); }
  NBIT_INLINE static type fma(type a, type b, type c) { return _mm512_fmadd_ps(a, b, c); }
  NBIT_INLINE static float reduce(type a) {
    // not _mm512_reduce_add_ps: its order is the compiler's. maskz: g++ 12 warns inside the headers of the unmasked
    // forms
    constexpr __mmask8 all = 0xff;
    const __m256 eight =
        _mm256_add_ps(_mm512_maskz_extractf32x8_ps(all, a, 0), _mm512_maskz_extractf32x8_ps(all, a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    const __m512i a = _mm512_loadu_si512(w), b = _mm512_loadu_si512(x);
    // dpbusd wants unsigned x signed: |w| and x with w's sign
    const __m512i signed_x = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
    const __m512i sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_abs_epi8(a), signed_x);
    return _mm512_maskz_cvtepi32_ps(static_cast<__mmask16>(0xffff), sums);
  }
};

#endif

}  // namespace NBIT_TAG
}  // namespace nbit

#if NBIT_TARGET == 3
#include <nbit/arch/simd_neon.inl>
#elif NBIT_TARGET == 4
#include <nbit/arch/simd_rvv.inl>
#elif NBIT_TARGET == 5
#include <nbit/arch/simd_wasm.inl>
#endif
