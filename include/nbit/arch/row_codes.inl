// nbit/arch/row_codes.inl — sixteen codes of a row on x86; included by arch/row_codes.hpp once per target.
// SPDX-License-Identifier: MIT
#if NBIT_TARGET == 1 || NBIT_TARGET == 2

namespace nbit {
inline namespace NBIT_TAG {

template <>
struct row_codes<NBIT_ARCH> {
  /// Sixteen codes of Bits bits, low bits first, from 2 * Bits bytes. A code lies inside two bytes: those, moved up to
  /// the top of 16 bits, and down again.
  template <int Bits>
  NBIT_INLINE static __m128i spread16(const std::uint8_t* from) {
    static constexpr auto place = [] {
      struct {
        alignas(32) std::uint8_t byte[32];
        alignas(32) std::int16_t up[16];
      } t{};
      for (int i = 0; i < 16; ++i) {
        t.byte[2 * i] = static_cast<std::uint8_t>(i * Bits / 8);
        t.byte[2 * i + 1] = static_cast<std::uint8_t>(i * Bits / 8 + 1 < 2 * Bits ? i * Bits / 8 + 1 : 255);
        t.up[i] = static_cast<std::int16_t>(1 << (16 - Bits - i * Bits % 8));
      }
      return t;
    }();
    const __m256i both = _mm256_broadcastsi128_si256(read<2 * Bits>(from));
    const __m256i two = _mm256_shuffle_epi8(both, _mm256_load_si256(reinterpret_cast<const __m256i*>(place.byte)));
    const __m256i top = _mm256_mullo_epi16(two, _mm256_load_si256(reinterpret_cast<const __m256i*>(place.up)));
    const __m256i code = _mm256_srli_epi16(top, 16 - Bits);
    return _mm_packus_epi16(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
  }
  /// The inverse: 2 * Bits bytes are written.
  template <int Bits>
  NBIT_INLINE static void squeeze16(__m128i codes, std::uint8_t* to) {
    if constexpr (Bits == 8) {
      store(to, codes);
    } else {
      __m128i
          pairs;  // in 16 bits each; then fours in 32, eights in 64. Bytes are multiplied as signed ones: 64 at most
      if constexpr (Bits == 7)
        pairs = _mm_or_si128(_mm_and_si128(codes, _mm_set1_epi16(255)), _mm_slli_epi16(_mm_srli_epi16(codes, 8), 7));
      else
        pairs = _mm_maddubs_epi16(codes, _mm_set1_epi16(1 | 1 << (8 + Bits)));
      const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(1 | 1 << (16 + 2 * Bits)));
      const __m128i low = _mm_and_si128(fours, _mm_set1_epi64x(0xffffffff));
      const __m128i eights = _mm_or_si128(low, _mm_slli_epi64(_mm_srli_epi64(fours, 32), 4 * Bits));
      const std::uint64_t first = static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights)),
                          second = static_cast<std::uint64_t>(_mm_extract_epi64(eights, 1));
      if constexpr (Bits <= 4) {
        const std::uint64_t both = first | second << (8 * Bits);
        std::memcpy(to, &both, 2 * Bits);
      } else {
        std::memcpy(to, &first, Bits), std::memcpy(to + Bits, &second, Bits);
      }
    }
  }
#if NBIT_TARGET == 2
  using sixty_four = __m512i;
  /// spread16 in 32 bits each. Above a code there is anything, unless Clean.
  template <int Bits, bool Clean>
  NBIT_INLINE static __m512i wide16(const std::uint8_t* from) {
    constexpr __mmask16 all = 0xffff;
    static constexpr auto place = [] {
      struct {
        alignas(64) std::uint8_t byte[64];
        alignas(64) std::int32_t down[16];
      } t{};
      for (int i = 0; i < 64; ++i) {
        const int at = i / 4 * Bits / 8 + i % 4;
        t.byte[i] = static_cast<std::uint8_t>(i % 4 < 2 && at < 2 * Bits ? at : 255);
      }
      for (int i = 0; i < 16; ++i) t.down[i] = i * Bits % (Bits <= 2 ? 32 : 8);
      return t;
    }();
    if constexpr (Bits == 8) {
      return _mm512_maskz_cvtepu8_epi32(all, load(from));
    } else {
      __m512i v;
      if constexpr (Bits <= 2)
        v = _mm512_set1_epi32(static_cast<int>(word<2 * Bits>(from)));
      else
        v = _mm512_shuffle_epi8(_mm512_maskz_broadcast_i32x4(all, read<2 * Bits>(from)), _mm512_load_si512(place.byte));
      v = _mm512_maskz_srlv_epi32(all, v, _mm512_load_si512(place.down));
      return Clean ? _mm512_and_si512(v, _mm512_set1_epi32((1 << Bits) - 1)) : v;
    }
  }
  /// Sixteen bytes in 32 bits each; eight bytes twice, the upper half without the lower four bits.
  NBIT_INLINE static __m512i wide(const std::byte* from) {
    return _mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  NBIT_INLINE static __m512i wide_halves(const std::byte* from) {
    const __m128i twice = _mm_set1_epi64x(static_cast<long long>(word<8>(reinterpret_cast<const std::uint8_t*>(from))));
    const __m512i down = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4);
    return _mm512_maskz_srlv_epi32(0xffff, _mm512_maskz_cvtepu8_epi32(0xffff, twice), down);
  }
  NBIT_INLINE static __m512i upper_nibbles(__m512i wide) { return _mm512_maskz_srli_epi32(0xffff, wide, 4); }
  NBIT_INLINE static void store(std::uint8_t* to, __m512i wide) { store(to, _mm512_maskz_cvtepi32_epi8(0xffff, wide)); }
  /// Whole numbers from 0 to 255, sixteen in each, as bytes.
  NBIT_INLINE static sixty_four join(__m512i a, __m512i b, __m512i c, __m512i d) {
    constexpr __mmask64 all = ~__mmask64{0};
    const __m512i words = _mm512_packs_epi32(a, b), more = _mm512_packs_epi32(c, d);
    const __m512i fours = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_maskz_permutexvar_epi32(0xffff, fours, _mm512_maskz_packus_epi16(all, words, more));
  }
  NBIT_INLINE static sixty_four lookup64(const std::uint8_t* table, sixty_four codes) {
    return _mm512_shuffle_epi8(_mm512_maskz_broadcast_i32x4(0xffff, load(table)), codes);
  }
  NBIT_INLINE static void store64(std::uint8_t* to, sixty_four v) { _mm512_storeu_si512(to, v); }
  /// squeeze16 for sixty-four codes.
  template <int Bits>
  NBIT_INLINE static void squeeze64(sixty_four v, std::uint8_t* to) {
    if constexpr (Bits == 4) {
      const __m512i pairs = _mm512_maddubs_epi16(v, _mm512_set1_epi16(0x1001));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_maskz_cvtepi16_epi8(0xffffffff, pairs));
    } else if constexpr (Bits == 2) {
      const __m512i pairs = _mm512_maddubs_epi16(v, _mm512_set1_epi16(0x0401));
      const __m512i fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00100001));
      store(to, _mm512_maskz_cvtepi32_epi8(0xffff, fours));
    } else if constexpr (Bits == 8) {
      store64(to, v);
    } else {
      const __m256i low = _mm512_maskz_extracti64x4_epi64(0xff, v, 0),
                    high = _mm512_maskz_extracti64x4_epi64(0xff, v, 1);
      squeeze16<Bits>(_mm256_castsi256_si128(low), to);
      squeeze16<Bits>(_mm256_extracti128_si256(low, 1), to + 2 * Bits);
      squeeze16<Bits>(_mm256_castsi256_si128(high), to + 4 * Bits);
      squeeze16<Bits>(_mm256_extracti128_si256(high, 1), to + 6 * Bits);
    }
  }
#else
  struct sixty_four {
    __m128i a, b, c, d;
  };
  template <class Whole>
  NBIT_INLINE static sixty_four join(Whole a, Whole b, Whole c, Whole d) {
    using m = lane_math<NBIT_ARCH>;
    return {m::bytes(a), m::bytes(b), m::bytes(c), m::bytes(d)};
  }
  NBIT_INLINE static sixty_four lookup64(const std::uint8_t* table, sixty_four v) {
    return {lookup(table, v.a), lookup(table, v.b), lookup(table, v.c), lookup(table, v.d)};
  }
  NBIT_INLINE static void store64(std::uint8_t* to, sixty_four v) {
    store(to, v.a), store(to + 16, v.b), store(to + 32, v.c), store(to + 48, v.d);
  }
  template <int Bits>
  NBIT_INLINE static void squeeze64(sixty_four v, std::uint8_t* to) {
    squeeze16<Bits>(v.a, to), squeeze16<Bits>(v.b, to + 2 * Bits);
    squeeze16<Bits>(v.c, to + 4 * Bits), squeeze16<Bits>(v.d, to + 6 * Bits);
  }
#endif
  /// Codes below 16 in the low and in the high nibbles.
  NBIT_INLINE static __m128i nibbles(__m128i low, __m128i high) {
    const __m128i four = _mm_set1_epi8(15);
    return _mm_or_si128(_mm_and_si128(low, four), _mm_slli_epi16(_mm_and_si128(high, four), 4));
  }
  /// Bit `Bit` of every code, the first lowest.
  template <int Bit>
  NBIT_INLINE static unsigned plane(__m128i codes) {
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_slli_epi16(codes, 7 - Bit)));
  }
  /// The highest bit of every code turned: unsigned codes to signed ones.
  NBIT_INLINE static __m128i turned(__m128i codes) { return _mm_xor_si128(codes, _mm_set1_epi8(-128)); }
  /// table[code & 15].
  NBIT_INLINE static __m128i lookup(const std::uint8_t* table, __m128i codes) {
    return _mm_shuffle_epi8(load(table), codes);
  }
  /// Any vector of sixteen bytes.
  template <class Bytes>
  NBIT_INLINE static __m128i from(Bytes v) {
    return reinterpret_cast<__m128i>(v);
  }
  NBIT_INLINE static __m128i load(const std::uint8_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  NBIT_INLINE static void store(std::uint8_t* to, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v); }

 private:
  template <int Bytes>
  NBIT_INLINE static std::uint64_t word(const std::uint8_t* from) {
    if constexpr (Bytes == 6) {
      return word<4>(from) | word<2>(from + 4) << 32;
    } else {
      std::conditional_t<Bytes == 8, std::uint64_t, std::conditional_t<Bytes == 4, std::uint32_t, std::uint16_t>> v;
      std::memcpy(&v, from, Bytes);
      return v;
    }
  }
  template <int Bytes>
  NBIT_INLINE static __m128i read(const std::uint8_t* from) {
    if constexpr (Bytes <= 8)
      return _mm_cvtsi64_si128(static_cast<long long>(word<Bytes>(from)));
    else
      return _mm_set_epi64x(static_cast<long long>(word<Bytes - 8>(from + 8)), static_cast<long long>(word<8>(from)));
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
