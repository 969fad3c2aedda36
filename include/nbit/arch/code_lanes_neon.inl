// nbit/arch/code_lanes_neon.inl — code_lanes<Arch> in four NEON registers; included by arch/code_lanes.inl for AArch64.
//
// NEON multiplies signed bytes with signed ones: codes above 127 are centred.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct code_lanes<NBIT_ARCH> {
  using real = lanes<NBIT_ARCH>::type;
  struct bytes {
    uint8x16_t a, b, c, d;
  };
  struct sums {
    int32x4_t a, b, c, d;
  };
  struct partial {};
  template <int Top>
  static constexpr int steps = 8;
  template <int Top>
  static constexpr int centre = Top > 127 ? 128 : 0;

  NBIT_INLINE static bytes load(const void* p) {
    const std::uint8_t* const v = static_cast<const std::uint8_t*>(p);
    return {vld1q_u8(v), vld1q_u8(v + 16), vld1q_u8(v + 32), vld1q_u8(v + 48)};
  }
  NBIT_INLINE static void store(void* p, bytes v) {
    std::uint8_t* const to = static_cast<std::uint8_t*>(p);
    vst1q_u8(to, v.a);
    vst1q_u8(to + 16, v.b);
    vst1q_u8(to + 32, v.c);
    vst1q_u8(to + 48, v.d);
  }
  template <int Low, int Width, int To>
  NBIT_INLINE static bytes field(bytes v) {
    return {quarter_field<Low, Width, To>(v.a), quarter_field<Low, Width, To>(v.b), quarter_field<Low, Width, To>(v.c),
            quarter_field<Low, Width, To>(v.d)};
  }
  NBIT_INLINE static bytes join(bytes v, bytes w) {
    return {vorrq_u8(v.a, w.a), vorrq_u8(v.b, w.b), vorrq_u8(v.c, w.c), vorrq_u8(v.d, w.d)};
  }
  NBIT_INLINE static bytes lookup(const std::uint8_t* table, bytes v) {
    const uint8x16_t t = vld1q_u8(table);
    return {vqtbl1q_u8(t, v.a), vqtbl1q_u8(t, v.b), vqtbl1q_u8(t, v.c), vqtbl1q_u8(t, v.d)};
  }
  template <int Top>
  NBIT_INLINE static bytes centred(bytes v) {
    if constexpr (centre<Top> == 0) return v;
    const uint8x16_t half = vdupq_n_u8(128);
    return {veorq_u8(v.a, half), veorq_u8(v.b, half), veorq_u8(v.c, half), veorq_u8(v.d, half)};
  }
  NBIT_INLINE static sums sums_at(const std::int32_t* p) {
    return {vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)};
  }
  NBIT_INLINE static sums start(int v) {
    const int32x4_t four = vdupq_n_s32(v);
    return {four, four, four, four};
  }
  NBIT_INLINE static partial none() { return {}; }
  template <int Top>
  NBIT_INLINE static void step(sums& s, partial&, bytes v, const std::int8_t* x) {
    std::int32_t four;
    std::memcpy(&four, x, sizeof four);
    const int8x16_t xs = vreinterpretq_s8_s32(vdupq_n_s32(four));
    s.a = dot(s.a, v.a, xs), s.b = dot(s.b, v.b, xs), s.c = dot(s.c, v.c, xs), s.d = dot(s.d, v.d, xs);
  }
  template <int Top>
  NBIT_INLINE static void flush(sums&, partial&) {}
  NBIT_INLINE static real to_float(sums s) {
    return {vcvtq_f32_s32(s.a), vcvtq_f32_s32(s.b), vcvtq_f32_s32(s.c), vcvtq_f32_s32(s.d)};
  }
  NBIT_INLINE static real from_i8(const void* p) {
    const int8x16_t v = vld1q_s8(static_cast<const std::int8_t*>(p));
    const int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_high_s8(v);
    return to_float(
        {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)});
  }
  NBIT_INLINE static real from_u8(const void* p) { return widened(vld1q_u8(static_cast<const std::uint8_t*>(p))); }
  template <int Low>
  NBIT_INLINE static real from_nibble(const void* p) {
    return widened(quarter_field<Low, 4, 0>(vld1q_u8(static_cast<const std::uint8_t*>(p))));
  }
  NBIT_INLINE static real from_bf16(const void* p) {
    const std::uint16_t* const v = static_cast<const std::uint16_t*>(p);
    return {high_half(v), high_half(v + 4), high_half(v + 8), high_half(v + 12)};
  }
  /// Column J of the four as floats.
  template <int J>
  NBIT_INLINE static real column(bytes v) {
    return {one_column<J>(v.a), one_column<J>(v.b), one_column<J>(v.c), one_column<J>(v.d)};
  }
  template <int J>
  NBIT_INLINE static real level(const std::uint32_t* values, bytes v) {
    const std::uint8_t* const t = reinterpret_cast<const std::uint8_t*>(values);
    const uint8x16x4_t table = {{vld1q_u8(t), vld1q_u8(t + 16), vld1q_u8(t + 32), vld1q_u8(t + 48)}};
    return {one_level<J>(table, v.a), one_level<J>(table, v.b), one_level<J>(table, v.c), one_level<J>(table, v.d)};
  }

 private:
  NBIT_INLINE static int32x4_t dot(int32x4_t sum, uint8x16_t codes, int8x16_t x) {
    const int8x16_t w = vreinterpretq_s8_u8(codes);
#if NBIT_TARGET_DOT
    return vdotq_s32(sum, w, x);
#else  // two products fit 16 bits: 2 * 128 * 127
    return vpadalq_s16(sum, vpaddq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)), vmull_high_s8(w, x)));
#endif
  }
  template <int Low, int Width, int To>
  NBIT_INLINE static uint8x16_t quarter_field(uint8x16_t v) {
    if constexpr (Low > To)
      v = vshrq_n_u8(v, Low - To);
    else if constexpr (Low < To)
      v = vshlq_n_u8(v, To - Low);
    return vandq_u8(v, vdupq_n_u8(static_cast<std::uint8_t>(((1 << Width) - 1) << To)));
  }
  NBIT_INLINE static real widened(uint8x16_t v) {
    const uint16x8_t low = vmovl_u8(vget_low_u8(v)), high = vmovl_high_u8(v);
    return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_high_u16(low)),
            vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_high_u16(high))};
  }
  NBIT_INLINE static float32x4_t high_half(const std::uint16_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
  }
  // code c stands for bytes 4 c ... 4 c + 3 of the table
  template <int J>
  NBIT_INLINE static float32x4_t one_level(uint8x16x4_t table, uint8x16_t v) {
    uint32x4_t code = vreinterpretq_u32_u8(v);
    if constexpr (J != 0) code = vshrq_n_u32(code, 8 * J);
    code = vandq_u32(code, vdupq_n_u32(255));
    const uint32x4_t at = vmlaq_u32(vdupq_n_u32(0x03020100), code, vdupq_n_u32(0x04040404));
    return vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(at)));
  }
  template <int J>
  NBIT_INLINE static float32x4_t one_column(uint8x16_t v) {
    uint32x4_t wide = vreinterpretq_u32_u8(v);
    if constexpr (J != 0) wide = vshrq_n_u32(wide, 8 * J);
    return vcvtq_f32_u32(vandq_u32(wide, vdupq_n_u32(255)));
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
