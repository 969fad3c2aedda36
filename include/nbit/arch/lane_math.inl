// nbit/arch/lane_math.inl — lane_math<Arch> for the instruction sets that have one; included by arch/lane_math.hpp.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

#if NBIT_TARGET == 1

template <>
struct lane_math<NBIT_ARCH> : lanes<NBIT_ARCH> {
  using mask = type;  // all bits of a lane or none

  NBIT_INLINE static type sub(type a, type b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type div(type a, type b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type smaller(type a, type b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type larger(type a, type b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
  NBIT_INLINE static type sqrt(type a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
  NBIT_INLINE static type abs(type a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
  }
  NBIT_INLINE static type negate(type a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_xor_ps(sign, a.lo), _mm256_xor_ps(sign, a.hi)};
  }
  NBIT_INLINE static type round(type a) {
    return {_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
            _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  NBIT_INLINE static mask less(type a, type b) {
    return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
  }
  NBIT_INLINE static mask less_equal(type a, type b) {
    return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LE_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LE_OQ)};
  }
  NBIT_INLINE static mask equal(type a, type b) {
    return {_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)};
  }
  NBIT_INLINE static mask both(mask a, mask b) { return {_mm256_and_ps(a.lo, b.lo), _mm256_and_ps(a.hi, b.hi)}; }
  NBIT_INLINE static mask either(mask a, mask b) { return {_mm256_or_ps(a.lo, b.lo), _mm256_or_ps(a.hi, b.hi)}; }
  /// a and not b
  NBIT_INLINE static mask without(mask a, mask b) {
    return {_mm256_andnot_ps(b.lo, a.lo), _mm256_andnot_ps(b.hi, a.hi)};
  }
  /// Lane i as bit i.
  NBIT_INLINE static unsigned bits(mask m) {
    return static_cast<unsigned>(_mm256_movemask_ps(m.lo)) | static_cast<unsigned>(_mm256_movemask_ps(m.hi)) << 8;
  }
  /// m ? a + b : a
  NBIT_INLINE static type add_where(mask m, type a, type b) {
    return {_mm256_add_ps(a.lo, _mm256_and_ps(m.lo, b.lo)), _mm256_add_ps(a.hi, _mm256_and_ps(m.hi, b.hi))};
  }
  NBIT_INLINE static type choose(mask m, type a, type b) {
    return {_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)};
  }
  NBIT_INLINE static type lookup(const float* table, type at) { return {lookup8(table, at.lo), lookup8(table, at.hi)}; }

  /// x = mantissa(x) 2^exponent(x), 1 <= mantissa < 2; times_power(a, n) = a 2^n.  Needs: x normal, above 0; n whole,
  /// from -126 to 127.
  NBIT_INLINE static type exponent(type x) { return {exponent8(x.lo), exponent8(x.hi)}; }
  NBIT_INLINE static type mantissa(type x) { return {mantissa8(x.lo), mantissa8(x.hi)}; }
  NBIT_INLINE static type times_power(type a, type n) {
    return {_mm256_mul_ps(a.lo, power8(n.lo)), _mm256_mul_ps(a.hi, power8(n.hi))};
  }

  /// ggml_block::level_of(v, low, high), whatever v is.
  NBIT_INLINE static type level_of(type v, int low, int high) {
    return {_mm256_cvtepi32_ps(level8(v.lo, low, high, 0)), _mm256_cvtepi32_ps(level8(v.hi, low, high, 0))};
  }
  /// level_of(v, low, high) + offset as sixteen bytes.
  NBIT_INLINE static void store_levels(std::uint8_t* to, type v, int low, int high, int offset) {
    const __m256i lo = level8(v.lo, low, high, offset), hi = level8(v.hi, low, high, offset);
    store_bytes(to, lo, hi);
  }
  /// The larger of two magnitudes.
  NBIT_INLINE static type larger_size(type a, type b) { return larger(abs(a), abs(b)); }
  using ints = typename lanes<NBIT_ARCH>::whole;
  /// Lanes rounded half to even plus offset.
  NBIT_INLINE static ints nearest(type v, int offset) {
    const __m256i more = _mm256_set1_epi32(offset);
    return {_mm256_add_epi32(_mm256_cvtps_epi32(v.lo), more), _mm256_add_epi32(_mm256_cvtps_epi32(v.hi), more)};
  }
  /// At most fifteen rising numbers, for rank; within_one: lanes are only asked from -1 to 1.
  struct rising_numbers {
    float of[15];
  };
  static constexpr rising_numbers rising(const float* numbers, std::size_t n, bool) {
    rising_numbers t{};
    for (std::size_t i = 0; i < 15; ++i) t.of[i] = i < n ? numbers[i] : __builtin_inff();
    return t;
  }
  /// How many of them are less.
  NBIT_INLINE static ints rank(const rising_numbers& numbers, type v) {
    __m256i lo = _mm256_setzero_si256(), hi = lo;
    for (int i = 0; i < 15; ++i) {
      const __m256 t = _mm256_broadcast_ss(numbers.of + i);
      lo = _mm256_sub_epi32(lo, _mm256_castps_si256(_mm256_cmp_ps(t, v.lo, _CMP_LT_OQ)));
      hi = _mm256_sub_epi32(hi, _mm256_castps_si256(_mm256_cmp_ps(t, v.hi, _CMP_LT_OQ)));
    }
    return {lo, hi};
  }
  /// Whole numbers from 0 to 255 as bytes.
  NBIT_INLINE static __m128i bytes(ints v) { return bytes_of(v.lo, v.hi); }
  /// Lanes that hold whole numbers from 0 to 255 as sixteen bytes.
  NBIT_INLINE static void store_whole(std::uint8_t* to, type v) {
    store_bytes(to, _mm256_cvtps_epi32(v.lo), _mm256_cvtps_epi32(v.hi));
  }
  /// Lanes from 0 up to below 2^31, cut to whole numbers and held at high.
  NBIT_INLINE static ints truncated(type v, int high) {
    const __m256i top = _mm256_set1_epi32(high);
    return {_mm256_min_epi32(_mm256_cvttps_epi32(v.lo), top), _mm256_min_epi32(_mm256_cvttps_epi32(v.hi), top)};
  }
  /// Lanes rounded half away from zero plus 128.  Needs: |v| < 127.5.
  NBIT_INLINE static ints rounded_away(type v) { return {away8(v.lo), away8(v.hi)}; }
  /// table[code & 15] of sixteen codes below 128.
  NBIT_INLINE static type table16(const std::int8_t* table, __m128i codes) {
    const __m128i found = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)), codes);
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(found)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(found, 8)))};
  }
  /// Sixteen signed bytes, the low byte of each word first.
  NBIT_INLINE static type bytes16(std::uint64_t low, std::uint64_t high) { return {bytes8(low), bytes8(high)}; }
  /// scale * level, then the sign in bit i: sixteen lanes; level i is byte i of the two words.
  NBIT_INLINE static type signed16(std::uint64_t low, std::uint64_t high, unsigned signs, float scale) {
    const __m256 s = _mm256_set1_ps(scale);
    return {_mm256_xor_ps(_mm256_mul_ps(s, bytes8(low)), signs8(signs)),
            _mm256_xor_ps(_mm256_mul_ps(s, bytes8(high)), signs8(signs >> 8))};
  }
  /// scale * (level + shift), shift with the sign in bit i.
  NBIT_INLINE static type shifted16(std::uint64_t low, std::uint64_t high, unsigned signs, float shift, float scale) {
    const __m256 s = _mm256_set1_ps(scale), by = _mm256_set1_ps(shift);
    return {_mm256_mul_ps(s, _mm256_add_ps(bytes8(low), _mm256_xor_ps(by, signs8(signs)))),
            _mm256_mul_ps(s, _mm256_add_ps(bytes8(high), _mm256_xor_ps(by, signs8(signs >> 8))))};
  }
  /// table[code] of sixteen codes below 16.
  NBIT_INLINE static type lookup16(const float* table, __m128i c) {
    const __m256 t = _mm256_loadu_ps(table), u = _mm256_loadu_ps(table + 8);
    return {pick8(t, u, _mm256_cvtepu8_epi32(c)), pick8(t, u, _mm256_cvtepu8_epi32(_mm_srli_si128(c, 8)))};
  }
  /// code + offset of sixteen codes.
  NBIT_INLINE static type whole16(__m128i c, int offset) {
    const __m256i more = _mm256_set1_epi32(offset);
    return {_mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_cvtepu8_epi32(c), more)),
            _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(c, 8)), more))};
  }
  /// f16::from of each lane.
  NBIT_INLINE static void store_f16(f16* to, type v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(v.lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 8), _mm256_cvtps_ph(v.hi, _MM_FROUND_TO_NEAREST_INT));
  }
  /// Lanes that are NaN or infinite.
  NBIT_INLINE static mask not_finite(type v) { return {not_finite8(v.lo), not_finite8(v.hi)}; }
  /// The largest lane; no lane is NaN.
  NBIT_INLINE static float largest(type a) {
    const __m256 eight = _mm256_max_ps(a.lo, a.hi);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  /// out[Stride * i + lane] = rows[lane][i] for i < 8.
  template <std::size_t Stride = lane_count>
  NBIT_INLINE static void columns8(const float* const* rows, float* out) {
    for (int half = 0; half < 2; ++half) {
      __m256 r[8], t[8];
      for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(rows[8 * half + i]);
      for (int i = 0; i < 8; i += 2)
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]), t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
      for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44), r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44), r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
      }
      for (std::size_t i = 0; i < 4; ++i) {
        _mm256_storeu_ps(out + Stride * i + 8 * std::size_t(half), _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(out + Stride * (i + 4) + 8 * std::size_t(half), _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
      }
    }
  }

 private:
  // The float below 1/2: adding it and cutting rounds half away from zero, where 1/2 itself would lift the float below.
  static constexpr float below_half = 0.49999997f;
  NBIT_INLINE static __m256 not_finite8(__m256 v) {
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(v), exponent), exponent));
  }
  NBIT_INLINE static __m256 exponent8(__m256 x) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(x), 23), _mm256_set1_epi32(127)));
  }
  NBIT_INLINE static __m256 mantissa8(__m256 x) {
    const __m256 fraction = _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffff)));
    return _mm256_or_ps(fraction, _mm256_set1_ps(1.0f));
  }
  NBIT_INLINE static __m256 power8(__m256 n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
  }
  NBIT_INLINE static __m256 bytes8(std::uint64_t v) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(static_cast<long long>(v))));
  }
  // Bit i of signs as the sign of lane i.
  NBIT_INLINE static __m256 signs8(unsigned signs) {
    const __m256i by = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    const __m256i top = _mm256_sllv_epi32(_mm256_set1_epi32(static_cast<int>(signs)), by);
    return _mm256_and_ps(_mm256_castsi256_ps(top), _mm256_set1_ps(-0.0f));
  }
  NBIT_INLINE static __m256 pick8(__m256 t, __m256 u, __m256i code) {
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t, code), _mm256_permutevar8x32_ps(u, code),
                            _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
  }
  NBIT_INLINE static __m256i away8(__m256 v) {
    const __m256 sign = _mm256_and_ps(v, _mm256_set1_ps(-0.0f));
    const __m256 nudged = _mm256_add_ps(v, _mm256_or_ps(sign, _mm256_set1_ps(below_half)));
    return _mm256_add_epi32(_mm256_cvttps_epi32(nudged), _mm256_set1_epi32(128));
  }
  NBIT_INLINE static __m256i level8(__m256 v, int low, int high, int offset) {
    const __m256i shifted = _mm256_castps_si256(_mm256_add_ps(v, _mm256_set1_ps(12582912.0f)));
    const __m256i l =
        _mm256_sub_epi32(_mm256_and_si256(shifted, _mm256_set1_epi32(0x7fffff)), _mm256_set1_epi32(0x400000 - offset));
    return _mm256_min_epi32(_mm256_max_epi32(l, _mm256_set1_epi32(low + offset)), _mm256_set1_epi32(high + offset));
  }
  NBIT_INLINE static __m128i bytes_of(__m256i lo, __m256i hi) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }
  NBIT_INLINE static void store_bytes(std::uint8_t* to, __m256i lo, __m256i hi) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes_of(lo, hi));
  }
  NBIT_INLINE static __m256 lookup8(const float* table, __m256 at) {
    const __m256i index = _mm256_and_si256(_mm256_castps_si256(at), _mm256_set1_epi32(31));
    return _mm256_i32gather_ps(table, index, 4);
  }
};

#elif NBIT_TARGET == 2

template <>
struct lane_math<NBIT_ARCH> : lanes<NBIT_ARCH> {
  using mask = __mmask16;
  static constexpr mask all = 0xffff;  // the unmasked forms of some intrinsics warn inside g++ 12's headers

  NBIT_INLINE static type sub(type a, type b) { return _mm512_sub_ps(a, b); }
  NBIT_INLINE static type div(type a, type b) { return _mm512_div_ps(a, b); }
  NBIT_INLINE static type smaller(type a, type b) { return _mm512_maskz_min_ps(all, a, b); }
  NBIT_INLINE static type larger(type a, type b) { return _mm512_maskz_max_ps(all, a, b); }
  NBIT_INLINE static type sqrt(type a) { return _mm512_maskz_sqrt_ps(all, a); }
  NBIT_INLINE static type abs(type a) { return _mm512_maskz_andnot_ps(all, _mm512_set1_ps(-0.0f), a); }
  NBIT_INLINE static type negate(type a) { return _mm512_maskz_xor_ps(all, _mm512_set1_ps(-0.0f), a); }
  NBIT_INLINE static type round(type a) {
    return _mm512_maskz_roundscale_ps(all, a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  NBIT_INLINE static mask less(type a, type b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  NBIT_INLINE static mask less_equal(type a, type b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  NBIT_INLINE static mask equal(type a, type b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  NBIT_INLINE static mask both(mask a, mask b) { return static_cast<mask>(a & b); }
  NBIT_INLINE static mask either(mask a, mask b) { return static_cast<mask>(a | b); }
  /// a and not b
  NBIT_INLINE static mask without(mask a, mask b) { return static_cast<mask>(a & ~b); }
  /// Lane i as bit i.
  NBIT_INLINE static unsigned bits(mask m) { return m; }
  /// m ? a + b : a
  NBIT_INLINE static type add_where(mask m, type a, type b) { return _mm512_mask_add_ps(a, m, a, b); }
  NBIT_INLINE static type choose(mask m, type a, type b) { return _mm512_mask_blend_ps(m, b, a); }
  NBIT_INLINE static type lookup(const float* table, type at) {
    return _mm512_permutex2var_ps(_mm512_loadu_ps(table), _mm512_castps_si512(at), _mm512_loadu_ps(table + 16));
  }

  /// x = mantissa(x) 2^exponent(x), 1 <= mantissa < 2; times_power(a, n) = a 2^n.  Needs: x normal, above 0; n whole,
  /// from -126 to 127.
  NBIT_INLINE static type exponent(type x) { return _mm512_maskz_getexp_ps(all, x); }
  NBIT_INLINE static type mantissa(type x) {
    return _mm512_maskz_getmant_ps(all, x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
  }
  NBIT_INLINE static type times_power(type a, type n) { return _mm512_maskz_scalef_ps(all, a, n); }

  /// ggml_block::level_of(v, low, high), whatever v is.
  NBIT_INLINE static type level_of(type v, int low, int high) {
    return _mm512_maskz_cvtepi32_ps(all, level16(v, low, high, 0));
  }
  /// level_of(v, low, high) + offset as sixteen bytes.
  NBIT_INLINE static void store_levels(std::uint8_t* to, type v, int low, int high, int offset) {
    store_bytes(to, level16(v, low, high, offset));
  }
  /// The larger of two magnitudes.
  NBIT_INLINE static type larger_size(type a, type b) { return _mm512_maskz_range_ps(all, a, b, 0x0b); }
  using ints = __m512i;
  /// Lanes rounded half to even plus offset.
  NBIT_INLINE static ints nearest(type v, int offset) {
    return _mm512_add_epi32(_mm512_maskz_cvtps_epi32(all, v), _mm512_set1_epi32(offset));
  }
  /// At most fifteen rising numbers, for rank; within_one: lanes are only asked from -1 to 1. That range has 32 parts:
  /// the rank where one begins, and the number inside it or infinity. Part: v * parts_slope + 16, cut; that is rounded,
  /// so no number may be near to where a part begins.
  static constexpr float parts_slope = 15.999f;
  struct rising_numbers {
    alignas(64) float of[16];
    alignas(64) std::int32_t rank[32];
    alignas(64) float inside[32];
    bool by_parts;  // within_one, at most one number in each part, and none near its ends
  };
  static constexpr rising_numbers rising(const float* numbers, std::size_t n, bool within_one) {
    rising_numbers t{};
    for (std::size_t i = 0; i < 16; ++i) t.of[i] = i < n ? numbers[i] : __builtin_inff();
    t.by_parts = within_one;
    for (int i = 0; i < 32; ++i) {
      t.inside[i] = __builtin_inff();
      for (std::size_t k = 0; k < n; ++k) {
        const float at = numbers[k] * parts_slope + 16.0f - static_cast<float>(i);
        if (at < -0.0001f) {
          ++t.rank[i];
        } else if (at < 1.0001f) {
          t.by_parts = t.by_parts && at > 0.0001f && at < 0.9999f && t.inside[i] > 1.0f;
          t.inside[i] = numbers[k];
        }
      }
    }
    return t;
  }
  /// How many of them are less.
  NBIT_INLINE static ints rank(const rising_numbers& numbers, type v) {
    const __m512i one = _mm512_set1_epi32(1);
    if (numbers.by_parts) {
      const type place = _mm512_fmadd_ps(v, _mm512_set1_ps(parts_slope), _mm512_set1_ps(16.0f));
      const __m512i part = _mm512_maskz_cvttps_epi32(all, place);
      const __m512i first = _mm512_load_si512(numbers.rank), last = _mm512_load_si512(numbers.rank + 16);
      const type found =
          _mm512_permutex2var_ps(_mm512_load_ps(numbers.inside), part, _mm512_load_ps(numbers.inside + 16));
      const __m512i r = _mm512_permutex2var_epi32(first, part, last);
      return _mm512_mask_add_epi32(r, less(found, v), r, one);
    }
    const __m512 t = _mm512_maskz_loadu_ps(0x7fff, numbers.of);
    // a lane's rank so far is where it looks next
    const __m512i two = _mm512_set1_epi32(2), three = _mm512_set1_epi32(3);
    __m512i r = _mm512_maskz_set1_epi32(less(_mm512_set1_ps(numbers.of[7]), v), 8);
    r = _mm512_mask_add_epi32(r, less(at(t, _mm512_add_epi32(r, three)), v), r, _mm512_set1_epi32(4));
    r = _mm512_mask_add_epi32(r, less(at(t, _mm512_add_epi32(r, one)), v), r, two);
    return _mm512_mask_add_epi32(r, less(at(t, r), v), r, one);
  }
  /// Whole numbers from 0 to 255 as bytes.
  NBIT_INLINE static __m128i bytes(ints v) { return bytes_of(v); }
  /// Lanes that hold whole numbers from 0 to 255 as sixteen bytes.
  NBIT_INLINE static void store_whole(std::uint8_t* to, type v) { store_bytes(to, _mm512_maskz_cvtps_epi32(all, v)); }
  /// Lanes from 0 up to below 2^31, cut to whole numbers and held at high.
  NBIT_INLINE static ints truncated(type v, int high) {
    return _mm512_maskz_min_epi32(all, _mm512_maskz_cvttps_epi32(all, v), _mm512_set1_epi32(high));
  }
  /// Lanes rounded half away from zero plus 128.  Needs: |v| < 127.5.
  NBIT_INLINE static ints rounded_away(type v) {
    const __m512 sign = _mm512_maskz_and_ps(all, v, _mm512_set1_ps(-0.0f));
    const __m512 nudged = _mm512_add_ps(v, _mm512_maskz_or_ps(all, sign, _mm512_set1_ps(below_half)));
    return _mm512_add_epi32(_mm512_maskz_cvttps_epi32(all, nudged), _mm512_set1_epi32(128));
  }
  /// table[code & 15] of sixteen codes below 128.
  NBIT_INLINE static type table16(const std::int8_t* table, __m128i codes) {
    const __m128i found = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)), codes);
    return _mm512_maskz_cvtepi32_ps(all, _mm512_maskz_cvtepi8_epi32(all, found));
  }
  /// Sixteen signed bytes, the low byte of each word first.
  NBIT_INLINE static type bytes16(std::uint64_t low, std::uint64_t high) {
    const __m128i l = _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
    return _mm512_maskz_cvtepi32_ps(all, _mm512_maskz_cvtepi8_epi32(all, l));
  }
  /// scale * level, then the sign in bit i: sixteen lanes; level i is byte i of the two words.
  NBIT_INLINE static type signed16(std::uint64_t low, std::uint64_t high, unsigned signs, float scale) {
    const __m512 v = _mm512_mul_ps(_mm512_set1_ps(scale), bytes16(low, high));
    return _mm512_mask_xor_ps(v, static_cast<mask>(signs), v, _mm512_set1_ps(-0.0f));
  }
  /// scale * (level + shift), shift with the sign in bit i.
  NBIT_INLINE static type shifted16(std::uint64_t low, std::uint64_t high, unsigned signs, float shift, float scale) {
    const __m512 by = _mm512_mask_blend_ps(static_cast<mask>(signs), _mm512_set1_ps(shift), _mm512_set1_ps(-shift));
    return _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_add_ps(bytes16(low, high), by));
  }
  /// table[code] of sixteen codes below 16.
  NBIT_INLINE static type lookup16(const float* table, __m128i codes) {
    return _mm512_maskz_permutexvar_ps(all, _mm512_maskz_cvtepu8_epi32(all, codes), _mm512_loadu_ps(table));
  }
  /// code + offset of sixteen codes.
  NBIT_INLINE static type whole16(__m128i codes, int offset) {
    const __m512i c = _mm512_add_epi32(_mm512_maskz_cvtepu8_epi32(all, codes), _mm512_set1_epi32(offset));
    return _mm512_maskz_cvtepi32_ps(all, c);
  }
  /// The same of codes in 32 bits each; lookup16 ignores what is above the lowest four.
  NBIT_INLINE static type lookup16(const float* table, __m512i codes) { return at(_mm512_loadu_ps(table), codes); }
  NBIT_INLINE static type whole16(__m512i codes, int offset) {
    return _mm512_maskz_cvtepi32_ps(all, _mm512_add_epi32(codes, _mm512_set1_epi32(offset)));
  }
  NBIT_INLINE static type table16(const std::int8_t* table, __m512i codes) {
    const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return at(_mm512_maskz_cvtepi32_ps(all, _mm512_maskz_cvtepi8_epi32(all, t)), codes);
  }
  /// The lowest four bits of codes choose from low, or from high where their bit is set.
  NBIT_INLINE static type chosen(type low, __m512i codes) { return at(low, codes); }
  NBIT_INLINE static type chosen(type low, type high, __m512i codes, unsigned bits) {
    return _mm512_mask_permutexvar_ps(at(low, codes), static_cast<mask>(bits), codes, high);
  }
  /// f16::from of each lane.
  NBIT_INLINE static void store_f16(f16* to, type v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_maskz_cvtps_ph(all, v, _MM_FROUND_TO_NEAREST_INT));
  }
  /// Lanes that are NaN or infinite.
  NBIT_INLINE static mask not_finite(type v) { return _mm512_fpclass_ps_mask(v, 0x99); }
  /// The largest lane; no lane is NaN.
  NBIT_INLINE static float largest(type a) {
    constexpr __mmask8 low = 0xff;
    const __m256 eight =
        _mm256_max_ps(_mm512_maskz_extractf32x8_ps(low, a, 0), _mm512_maskz_extractf32x8_ps(low, a, 1));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  /// out[Stride * i + lane] = rows[lane][i] for i < 8.
  template <std::size_t Stride = lane_count>
  NBIT_INLINE static void columns8(const float* const* rows, float* out) {
    constexpr __mmask8 eight = 0xff;
    __m512 r[8], t[8];  // rows i and i + 8 side by side
    for (int i = 0; i < 8; ++i)
      r[i] = _mm512_maskz_insertf32x8(all, _mm512_castps256_ps512(_mm256_loadu_ps(rows[i])),
                                      _mm256_loadu_ps(rows[i + 8]), 1);
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm512_maskz_unpacklo_ps(all, r[i], r[i + 1]);
      t[i + 1] = _mm512_maskz_unpackhi_ps(all, r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm512_maskz_shuffle_ps(all, t[i], t[i + 2], 0x44);
      r[i + 1] = _mm512_maskz_shuffle_ps(all, t[i], t[i + 2], 0xee);
      r[i + 2] = _mm512_maskz_shuffle_ps(all, t[i + 1], t[i + 3], 0x44);
      r[i + 3] = _mm512_maskz_shuffle_ps(all, t[i + 1], t[i + 3], 0xee);
    }
    const __m512i low = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0), high = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    for (std::size_t i = 0; i < 4; ++i) {
      const __m512d a = _mm512_castps_pd(r[i]), b = _mm512_castps_pd(r[i + 4]);
      _mm512_storeu_ps(out + Stride * i, _mm512_castpd_ps(_mm512_maskz_permutex2var_pd(eight, a, low, b)));
      _mm512_storeu_ps(out + Stride * (i + 4), _mm512_castpd_ps(_mm512_maskz_permutex2var_pd(eight, a, high, b)));
    }
  }

 private:
  // The float below 1/2: adding it and cutting rounds half away from zero, where 1/2 itself would lift the float below.
  static constexpr float below_half = 0.49999997f;
  NBIT_INLINE static __m512i level16(__m512 v, int low, int high, int offset) {
    const __m512i shifted = _mm512_castps_si512(_mm512_add_ps(v, _mm512_set1_ps(12582912.0f)));
    const __m512i l =
        _mm512_sub_epi32(_mm512_and_si512(shifted, _mm512_set1_epi32(0x7fffff)), _mm512_set1_epi32(0x400000 - offset));
    const __m512i above = _mm512_maskz_max_epi32(all, l, _mm512_set1_epi32(low + offset));
    return _mm512_maskz_min_epi32(all, above, _mm512_set1_epi32(high + offset));
  }
  NBIT_INLINE static __m512 at(__m512 table, __m512i index) { return _mm512_maskz_permutexvar_ps(all, index, table); }
  NBIT_INLINE static __m128i bytes_of(__m512i v) { return _mm512_maskz_cvtepi32_epi8(all, v); }
  NBIT_INLINE static void store_bytes(std::uint8_t* to, __m512i v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes_of(v));
  }
};

#endif

}  // namespace NBIT_TAG
}  // namespace nbit
