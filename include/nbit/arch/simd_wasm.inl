// nbit/arch/simd_wasm.inl — lanes<Arch> in four SIMD128 registers; included by arch/simd.inl for WebAssembly.
//
// SIMD128 has no fused multiply-add (the relaxed one may or may not be fused). fma is made of doubles: the product of
// two floats is exact in double; the sum is rounded to odd (its last bit is set when anything was lost), after which
// rounding to float is the one rounding that counts.
// Ref: Boldo, Melquiond: Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd (2008).
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct lanes<NBIT_ARCH> {
  struct type {
    v128_t a, b, c, d;
  };

  NBIT_INLINE static type zero() { return broadcast(0.0f); }
  NBIT_INLINE static type load(const float* p) {
    return {wasm_v128_load(p), wasm_v128_load(p + 4), wasm_v128_load(p + 8), wasm_v128_load(p + 12)};
  }
  NBIT_INLINE static type load_f16(const f16* p) {
    float r[lane_count];
    for (std::size_t i = 0; i < lane_count; ++i) r[i] = float(p[i]);
    return load(r);
  }
  NBIT_INLINE static void store(float* p, type v) {
    wasm_v128_store(p, v.a);
    wasm_v128_store(p + 4, v.b);
    wasm_v128_store(p + 8, v.c);
    wasm_v128_store(p + 12, v.d);
  }
  NBIT_INLINE static type broadcast(float s) {
    const v128_t v = wasm_f32x4_splat(s);
    return {v, v, v, v};
  }
  NBIT_INLINE static type add(type x, type y) {
    return {wasm_f32x4_add(x.a, y.a), wasm_f32x4_add(x.b, y.b), wasm_f32x4_add(x.c, y.c), wasm_f32x4_add(x.d, y.d)};
  }
  NBIT_INLINE static type mul(type x, type y) {
    return {wasm_f32x4_mul(x.a, y.a), wasm_f32x4_mul(x.b, y.b), wasm_f32x4_mul(x.c, y.c), wasm_f32x4_mul(x.d, y.d)};
  }
  NBIT_INLINE static type fma(type x, type y, type z) {
    return {fma4(x.a, y.a, z.a), fma4(x.b, y.b, z.b), fma4(x.c, y.c, z.c), fma4(x.d, y.d, z.d)};
  }
  NBIT_INLINE static float reduce(type v) {
    const v128_t four = wasm_f32x4_add(wasm_f32x4_add(v.a, v.c), wasm_f32x4_add(v.b, v.d));
    const v128_t two = wasm_f32x4_add(four, wasm_i32x4_shuffle(four, four, 2, 3, 2, 3));
    return wasm_f32x4_extract_lane(two, 0) + wasm_f32x4_extract_lane(two, 1);
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    return {dot16(w, x), dot16(w + 16, x + 16), dot16(w + 32, x + 32), dot16(w + 48, x + 48)};
  }

 private:
  NBIT_INLINE static v128_t fma4(v128_t x, v128_t y, v128_t z) {
    const v128_t low = odd_sum(x, y, z);
    const v128_t high = odd_sum(upper(x), upper(y), upper(z));
    return wasm_i32x4_shuffle(wasm_f32x4_demote_f64x2_zero(low), wasm_f32x4_demote_f64x2_zero(high), 0, 1, 4, 5);
  }
  NBIT_INLINE static v128_t upper(v128_t v) { return wasm_i32x4_shuffle(v, v, 2, 3, 2, 3); }
  // x * y + z of the two lower floats, as doubles rounded to odd.
  NBIT_INLINE static v128_t odd_sum(v128_t x, v128_t y, v128_t z) {
    const v128_t c = wasm_f64x2_promote_low_f32x4(z), none = wasm_i64x2_splat(0), one = wasm_i64x2_splat(1);
    const v128_t p = wasm_f64x2_mul(wasm_f64x2_promote_low_f32x4(x), wasm_f64x2_promote_low_f32x4(y));
    const v128_t s = wasm_f64x2_add(p, c), back = wasm_f64x2_sub(s, p);
    const v128_t lost = wasm_f64x2_add(wasm_f64x2_sub(p, wasm_f64x2_sub(s, back)), wasm_f64x2_sub(c, back));
    // NaN (from infinities) is neither above nor below zero: nothing to correct
    const v128_t inexact = wasm_v128_or(wasm_f64x2_gt(lost, none), wasm_f64x2_lt(lost, none));
    const v128_t even = wasm_i64x2_eq(wasm_v128_and(s, one), none);
    const v128_t away = wasm_v128_or(wasm_i64x2_shr(wasm_v128_xor(s, lost), 63), one);  // 1 or -1
    return wasm_i64x2_add(s, wasm_v128_and(wasm_v128_and(inexact, even), away));
  }
  NBIT_INLINE static v128_t dot16(const std::int8_t* w, const std::int8_t* x) {
    const v128_t p = wasm_v128_load(w), q = wasm_v128_load(x);
    const v128_t low = wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extmul_low_i8x16(p, q));
    const v128_t high = wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extmul_high_i8x16(p, q));
    return wasm_f32x4_convert_i32x4(
        wasm_i32x4_add(wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), wasm_i32x4_shuffle(low, high, 1, 3, 5, 7)));
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
