// nbit/arch/quads.inl — quads<Arch> for each instruction set; included by arch/quads.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

#if NBIT_TARGET == 1 || NBIT_TARGET == 2

template <>
struct quads<NBIT_ARCH> {
  using type = __m128;

  NBIT_INLINE static type zero() { return _mm_setzero_ps(); }
  NBIT_INLINE static type load(const float* p) { return _mm_loadu_ps(p); }
  NBIT_INLINE static type load(const f16* p) {
    return _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  NBIT_INLINE static void store(float* p, type a) { _mm_storeu_ps(p, a); }
  NBIT_INLINE static type from_ints(const std::int32_t* p) {
    return _mm_cvtepi32_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  NBIT_INLINE static type from_ints(const std::int32_t* p, const std::int32_t* q) {
    return _mm_cvtepi32_ps(_mm_sub_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)),
                                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(q))));
  }
  NBIT_INLINE static type mul(type a, type b) { return _mm_mul_ps(a, b); }
  NBIT_INLINE static type fma(type a, type b, type c) { return _mm_fmadd_ps(a, b, c); }
  NBIT_INLINE static type add_pairs(type a, type b) { return _mm_hadd_ps(a, b); }
  NBIT_INLINE static type first(std::size_t n, type a, type b) {
    const __m128i below = _mm_cmplt_epi32(_mm_setr_epi32(0, 1, 2, 3), _mm_set1_epi32(static_cast<int>(n < 4 ? n : 4)));
    return _mm_blendv_ps(b, a, _mm_castsi128_ps(below));
  }
  NBIT_INLINE static float reduce(type a) {
    const __m128 two = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

#else

template <>
struct quads<NBIT_ARCH> {
  struct type {
    float v[4];
  };

  static type zero() { return type{}; }
  static type load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static type load(const f16* p) { return {{float(p[0]), float(p[1]), float(p[2]), float(p[3])}}; }
  static void store(float* p, type a) { std::memcpy(p, a.v, sizeof a.v); }
  static type from_ints(const std::int32_t* p) {
    return {{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]), static_cast<float>(p[3])}};
  }
  static type from_ints(const std::int32_t* p, const std::int32_t* q) {
    const std::int32_t d[4] = {p[0] - q[0], p[1] - q[1], p[2] - q[2], p[3] - q[3]};
    return from_ints(d);
  }
  static type mul(type a, type b) {
    NBIT_EXACT
    for (int i = 0; i < 4; ++i) a.v[i] *= b.v[i];
    return a;
  }
  static type fma(type a, type b, type c) {
    for (int i = 0; i < 4; ++i) c.v[i] = nbit::fma(a.v[i], b.v[i], c.v[i]);
    return c;
  }
  static type add_pairs(type a, type b) {
    NBIT_EXACT
    return {{a.v[0] + a.v[1], a.v[2] + a.v[3], b.v[0] + b.v[1], b.v[2] + b.v[3]}};
  }
  static type first(std::size_t n, type a, type b) {
    for (std::size_t i = n; i < 4; ++i) a.v[i] = b.v[i];
    return a;
  }
  static float reduce(type a) {
    NBIT_EXACT
    return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
  }
};

#endif

}  // namespace NBIT_TAG
}  // namespace nbit
