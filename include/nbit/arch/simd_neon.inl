// nbit/arch/simd_neon.inl — lanes<Arch> in four NEON registers; included by arch/simd.inl for AArch64 targets.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    float32x4_t a, b, c, d;
  };

  NBIT_INLINE static type zero() { return broadcast(0.0f); }
  NBIT_INLINE static type load(const float* p) {
    return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
  }
  NBIT_INLINE static type load_f16(const f16* p) { return {half4(p), half4(p + 4), half4(p + 8), half4(p + 12)}; }
  NBIT_INLINE static void store(float* p, type v) {
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
    vst1q_f32(p + 8, v.c);
    vst1q_f32(p + 12, v.d);
  }
  NBIT_INLINE static type broadcast(float s) {
    const float32x4_t v = vdupq_n_f32(s);
    return {v, v, v, v};
  }
  NBIT_INLINE static type add(type x, type y) {
    return {vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b), vaddq_f32(x.c, y.c), vaddq_f32(x.d, y.d)};
  }
  NBIT_INLINE static type mul(type x, type y) {
    return {vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b), vmulq_f32(x.c, y.c), vmulq_f32(x.d, y.d)};
  }
  NBIT_INLINE static type fma(type x, type y, type z) {
    return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c), vfmaq_f32(z.d, x.d, y.d)};
  }
  NBIT_INLINE static float reduce(type v) {
    const float32x4_t four = vaddq_f32(vaddq_f32(v.a, v.c), vaddq_f32(v.b, v.d));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    return {dot16(w, x), dot16(w + 16, x + 16), dot16(w + 32, x + 32), dot16(w + 48, x + 48)};
  }

 private:
  NBIT_INLINE static float32x4_t half4(const f16* p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(p))));
  }
  NBIT_INLINE static float32x4_t dot16(const std::int8_t* w, const std::int8_t* x) {
    const int8x16_t p = vld1q_s8(w), q = vld1q_s8(x);
#if NBIT_TARGET_DOT
    return vcvtq_f32_s32(vdotq_s32(vdupq_n_s32(0), p, q));
#else
    const int16x8_t low = vmull_s8(vget_low_s8(p), vget_low_s8(q)), high = vmull_high_s8(p, q);
    return vcvtq_f32_s32(vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
