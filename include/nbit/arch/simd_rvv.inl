// nbit/arch/simd_rvv.inl — lanes<Arch> for RISC-V vectors; included by arch/simd.inl for units compiled with V 1.0.
//
// The types of the V intrinsics have no size, so they cannot be kept in arrays or structs, which the kernel texts do.
// The compiler's own vectors of a fixed size become the same instructions (a group of four registers at 128 bits, of
// two at 256, one at 512) and can.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct lanes<NBIT_ARCH> {
  typedef float type __attribute__((vector_size(64)));

  NBIT_INLINE static type zero() { return type{}; }
  NBIT_INLINE static type load(const float* p) {
    type r;
    __builtin_memcpy(&r, p, sizeof r);
    return r;
  }
  NBIT_INLINE static type load_f16(const f16* p) {
    float r[lane_count];
    for (std::size_t i = 0; i < lane_count; ++i) r[i] = float(p[i]);
    return load(r);
  }
  NBIT_INLINE static void store(float* p, type a) { __builtin_memcpy(p, &a, sizeof a); }
  NBIT_INLINE static type broadcast(float s) { return type{s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s}; }
  NBIT_INLINE static type add(type a, type b) { return a + b; }
  NBIT_INLINE static type mul(type a, type b) { return a * b; }
  NBIT_INLINE static type fma(type a, type b, type c) {
#if __has_builtin(__builtin_elementwise_fma)
    return __builtin_elementwise_fma(a, b, c);
#else
#pragma STDC FP_CONTRACT ON
    return a * b + c;  // one instruction: this target always has it, and tests/arch watches that it is used
#endif
  }
  NBIT_INLINE static float reduce(type a) {
    NBIT_EXACT
    typedef float eight __attribute__((vector_size(32)));
    typedef float four __attribute__((vector_size(16)));
    const eight e = __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7) +
                    __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
    const four f = __builtin_shufflevector(e, e, 0, 1, 2, 3) + __builtin_shufflevector(e, e, 4, 5, 6, 7);
    return (f[0] + f[2]) + (f[1] + f[3]);
  }
  NBIT_INLINE static type dot4(const std::int8_t* w, const std::int8_t* x) {
    // Pairs of bytes as int16: their even and odd halves; 2 * 128 * 127 fits. Then pairs of those as int32.
    typedef std::int16_t shorts __attribute__((vector_size(64)));
    typedef std::int32_t ints __attribute__((vector_size(64)));
    shorts a, b;
    __builtin_memcpy(&a, w, sizeof a);
    __builtin_memcpy(&b, x, sizeof b);
    const shorts pairs = (a << 8 >> 8) * (b << 8 >> 8) + (a >> 8) * (b >> 8);
    const ints words = reinterpret_cast<ints>(pairs);
    return __builtin_convertvector((words << 16 >> 16) + (words >> 16), type);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
