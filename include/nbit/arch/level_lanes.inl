// nbit/arch/level_lanes.inl — level_lanes<Arch>; included by arch/level_lanes.hpp once per target and extension.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct level_lanes<NBIT_ARCH> {
  using base = arch::base_of<NBIT_ARCH>;
  using code = code_lanes<base>;
  using vec = lanes<base>;
  using real = vec::type;

#if NBIT_TARGET == 2 && NBIT_TARGET_DOT == 2
  using activation = std::uint16_t;
  static constexpr int bits = 16;
  struct four {
    __m512i pair[2];  // lane r: columns 0 and 1 of row r; 2 and 3
  };

  template <int Bits>
  NBIT_INLINE static four levels(code::bytes v, const level_table& t) {
    if constexpr (Bits <= 6) {
      // the low bytes of words become indices: those above bit 5 (4) are ignored by the permutation
      const __m512i first = _mm512_shuffle_epi8(v, _mm512_maskz_broadcast_i32x4(all, low_bytes(0)));
      const __m512i second = _mm512_shuffle_epi8(v, _mm512_maskz_broadcast_i32x4(all, low_bytes(2)));
      const __m512i low = _mm512_loadu_si512(t.of.data());
      if constexpr (Bits == 6) {
        const __m512i high = _mm512_loadu_si512(t.of.data() + 32);
        return {{ _mm512_permutex2var_epi16(low, first, high), _mm512_permutex2var_epi16(low, second, high) }};
      } else {
        return {
            { _mm512_maskz_permutexvar_epi16(words, first, low),
              _mm512_maskz_permutexvar_epi16(words, second, low) }};
      }
    } else {
      const real less = vec::broadcast(static_cast<float>(-t.bias));
      return {
          { pair(vec::add(code::template column<0>(v), less), vec::add(code::template column<1>(v), less)),
            pair(vec::add(code::template column<2>(v), less), vec::add(code::template column<3>(v), less)) }};
    }
  }
  NBIT_INLINE static four load(const std::byte* p) {
    return {{ _mm512_loadu_si512(p), _mm512_loadu_si512(p + 64) }};
  }
  NBIT_INLINE static void store(std::byte* p, four f) {
    _mm512_storeu_si512(p, f.pair[0]);
    _mm512_storeu_si512(p + 64, f.pair[1]);
  }
  static constexpr std::size_t parts = 2;
  template <std::size_t Part>
  NBIT_INLINE static void dot(real& sum, const four& f, const activation* x) {
    int two;
    std::memcpy(&two, x + 2 * Part, sizeof two);
    sum = _mm512_dpbf16_ps(sum, (__m512bh)f.pair[Part], (__m512bh)_mm512_set1_epi32(two));  // the same bits as bf16
  }
  NBIT_INLINE static void expand(const bf16* x, std::size_t n, activation* out) {
    const __mmask32 some = n >= 32 ? 0xffffffffu : (1u << n) - 1u;
    const __m512i v = _mm512_maskz_loadu_epi16(some, x);
    const __m512i magnitude = _mm512_and_si512(v, _mm512_set1_epi16(0x7fff));
    const __mmask32 large = _mm512_cmpge_epi16_mask(magnitude, _mm512_set1_epi16(least));
    _mm512_storeu_si512(out, _mm512_maskz_mov_epi16(large, v));
  }
  NBIT_INLINE static real to_float(const activation* x) { return code::from_bf16(x); }

 private:
  static constexpr __mmask16 all = 0xffff;
  static constexpr __mmask32 words = 0xffffffff;
  NBIT_INLINE static __m128i low_bytes(int c) {
    const int two = (c + 1) << 16 | c;
    return _mm_add_epi8(_mm_set1_epi32(two), _mm_setr_epi32(0, 0x00040004, 0x00080008, 0x000c000c));
  }
  NBIT_INLINE static __m512i pair(real even, real odd) {
    const __m512i high = _mm512_and_si512(_mm512_castps_si512(odd), _mm512_set1_epi32(-65536));
    return _mm512_or_si512(high, _mm512_maskz_srli_epi32(all, _mm512_castps_si512(even), 16));
  }
#else
  using activation = float;
  static constexpr int bits = 32;
  struct four {
    real column[4];
  };

  template <int Bits>
  NBIT_INLINE static four levels(code::bytes v, const level_table& t) {
    const real less = vec::broadcast(static_cast<float>(-t.bias));
    return {{vec::add(code::template column<0>(v), less), vec::add(code::template column<1>(v), less),
             vec::add(code::template column<2>(v), less), vec::add(code::template column<3>(v), less)}};
  }
  NBIT_INLINE static four load(const std::byte* p) {
    const float* const f = reinterpret_cast<const float*>(p);
    return {{vec::load(f), vec::load(f + 16), vec::load(f + 32), vec::load(f + 48)}};
  }
  NBIT_INLINE static void store(std::byte* p, const four& f) {
    NBIT_UNROLL
    for (int j = 0; j < 4; ++j) vec::store(reinterpret_cast<float*>(p) + 16 * j, f.column[j]);
  }
  static constexpr std::size_t parts = 4;
  template <std::size_t Part>
  NBIT_INLINE static void dot(real& sum, const four& f, const activation* x) {
    sum = vec::fma(f.column[Part ^ 1], vec::broadcast(x[Part ^ 1]), sum);
  }
  static void expand(const bf16* x, std::size_t n, activation* out) {
    for (std::size_t half = 0; half < 32; half += 16) {
      std::uint16_t some[16] = {};
      if (n > half) std::memcpy(some, x + half, (n - half < 16 ? n - half : 16) * sizeof *x);
      for (std::uint16_t& v : some) v = (v & 0x7fff) < least ? std::uint16_t{0} : v;
      vec::store(out + half, code::from_bf16(some));
    }
  }
  NBIT_INLINE static real to_float(const activation* x) { return vec::load(x); }

 private:
#endif
  static constexpr std::int16_t least = (127 - 118) << 7;  // 2^-118
};

}  // namespace NBIT_TAG
}  // namespace nbit
