// nbit/kernel/activations.inl — quantizes a row of activations; included by kernel/activations.hpp once per target.
//
// Sixteen groups at a time: their largest magnitudes, then all scales at once, then the codes. Magnitudes are compared
// as integers, which puts infinity and NaN above all others; groups with either take the slow path. Where registers are
// wide the magnitudes are found two chunks of groups ahead of the codes, so that reading, divisions and rounding
// overlap.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct activation_kernel<NBIT_ARCH> {
  template <int Group>
  static void quantize_row(std::span<const float> x, const int8_activations<Group>& out, std::size_t r) noexcept {
    const std::size_t cols = x.size(), stride = out.stride(), groups = out.groups_for(cols);
    const std::size_t length = Group == per_row ? stride : std::size_t(Group);
    std::int8_t* const codes = out.row_codes(r);
    if (cols == 0) {
      for (std::size_t g = 0; g < groups; ++g) out.row_scales(r)[g] = 0.0f;
      return;
    }
    const std::size_t whole = cols / length;  // groups without padding
    std::size_t together = at_once;
    while (together < at_most && 2 * together * length <= nearby) together *= 2;
    std::size_t done = 0;
#if NBIT_TARGET == 2
    if constexpr (Group == 16 || Group == 32 || Group == 64 || Group == 128 || Group == 256)
      done = quantize_chunks<std::size_t(Group)>(x.data(), whole, codes, out.row_scales(r), out.row_sums(r));
#endif
    const std::size_t summed = done * length / 64 * 64;
    for (std::size_t g = done; g < whole; g += together) {
      const std::size_t n = whole - g < together ? whole - g : together;
      quantize_groups<(Group > 0 ? std::size_t(Group) : 0)>(x.data() + g * length, length, n, codes + g * length,
                                                            out.row_scales(r) + g);
    }
    if (whole < groups) {
      const std::size_t first = whole * length, n = cols - first,
                        end = first + length < stride ? first + length : stride;
      quantize_groups<0>(x.data() + first, n, 1, codes + first, out.row_scales(r) + whole);
      std::memset(codes + cols, 0, end - cols);
      for (std::size_t g = whole + 1; g < groups; ++g) out.row_scales(r)[g] = 0.0f;
      std::memset(codes + end, 0, stride - end);
    }
    sums(codes + summed, (stride - summed) / 16, out.row_sums(r) + summed / 16);
  }

 private:
  static constexpr std::size_t at_once = 16, at_most = 128, nearby = 4096;  // floats that stay in the first cache

  // n groups of the same length, which is Length unless that is 0; codes and scales of each. All scales first: sixteen
  // need not wait for the sixteen before.
  template <std::size_t Length>
  static void quantize_groups(const float* x, std::size_t any_length, std::size_t n, std::int8_t* codes,
                              float* scales) noexcept {
    NBIT_EXACT
    const std::size_t length = Length != 0 ? Length : any_length;
    float inverse[at_most];
    std::uint32_t worst = 0;
    for (std::size_t first = 0; first < n; first += at_once) {
      const std::size_t some = n - first < at_once ? n - first : at_once;
      std::uint32_t top[at_once] = {};  // bits of magnitudes
      tops<Length>(x + first * length, length, some, top);
      float scale[at_once];
      for (std::size_t g = 0; g < at_once; ++g) {
        const float magnitude = std::bit_cast<float>(top[g]);
        const float by = 127.0f / magnitude;
        const bool any =
            std::bit_cast<std::uint32_t>(by) < 0x7f800000u;  // else all zero, or too small for a reciprocal
        inverse[first + g] = any ? by : 0.0f;
        scale[g] = any ? magnitude / 127.0f : 0.0f;
        worst = top[g] > worst ? top[g] : worst;
      }
      for (std::size_t g = 0; g < some; ++g) scales[first + g] = scale[g];
    }
    if (worst < 0x7f800000u) {
      round_groups<Length>(x, length, n, inverse, codes);
    } else {
      for (std::size_t g = 0; g < n; ++g) scales[g] = quantize_any(x + g * length, length, codes + g * length);
    }
  }

  // The definition, for any floats: NaN becomes 0, infinity saturates its group.
  static float quantize_any(const float* x, std::size_t n, std::int8_t* codes) noexcept {
    NBIT_EXACT
    float top = 0.0f;
    for (std::size_t i = 0; i < n; ++i) top = nbit::abs(x[i]) > top ? nbit::abs(x[i]) : top;
    top = top > 0x1.fffffep127f ? 0x1.fffffep127f : top;
    const float inverse = 127.0f / top;
    if (!is_finite(inverse)) {
      for (std::size_t i = 0; i < n; ++i) codes[i] = 0;
      return 0.0f;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const float scaled = x[i] * inverse;
      codes[i] = static_cast<std::int8_t>(scaled == scaled ? round_clamped(scaled, -127, 127) : 0);
    }
    return top / 127.0f;
  }

  static std::uint32_t largest_of(const float* x, std::size_t n, std::uint32_t top) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu;
      top = bits > top ? bits : top;
    }
    return top;
  }
  static void round_each(const float* x, std::size_t n, float inverse, std::int8_t* codes) noexcept {
    NBIT_EXACT
    for (std::size_t i = 0; i < n; ++i) codes[i] = static_cast<std::int8_t>(round_even(x[i] * inverse));
  }

#if NBIT_TARGET == 2
  NBIT_INLINE static std::uint32_t largest(const float* x, std::size_t n) noexcept {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i top = _mm512_setzero_si512(), more[3] = {top, top, top};
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
      top = larger(top, _mm512_and_si512(_mm512_loadu_si512(x + i), magnitude));
      NBIT_UNROLL
      for (std::size_t k = 0; k < 3; ++k)
        more[k] = larger(more[k], _mm512_and_si512(_mm512_loadu_si512(x + i + 16 * k + 16), magnitude));
    }
    for (; i + 16 <= n; i += 16) top = larger(top, _mm512_and_si512(_mm512_loadu_si512(x + i), magnitude));
    top = larger(larger(top, more[0]), larger(more[1], more[2]));
    const __m256i eight =
        _mm256_max_epu32(_mm512_maskz_extracti64x4_epi64(0xff, top, 0), _mm512_maskz_extracti64x4_epi64(0xff, top, 1));
    return largest_of(x + i, n - i, largest_of_eight(eight));
  }
  NBIT_INLINE static void round(const float* x, std::size_t n, float inverse, std::int8_t* codes) noexcept {
    const __m512 by = _mm512_set1_ps(inverse);
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m512i v = _mm512_maskz_cvtps_epi32(all, _mm512_mul_ps(_mm512_loadu_ps(x + i), by));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + i), _mm512_maskz_cvtepi32_epi8(all, v));
    }
    round_each(x + i, n - i, inverse, codes + i);
  }
  /// The largest magnitudes of n <= 16 short groups: one vector for each group, then all of them folded at once.
  template <std::size_t Length>
  NBIT_INLINE static void tops(const float* x, std::size_t length, std::size_t n, std::uint32_t* top) noexcept {
    if constexpr (Length == 0 || Length > 128) {
      for (std::size_t g = 0; g < n; ++g) top[g] = largest(x + g * length, length);
    } else {
      const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
      __m512i v[at_once];
      NBIT_UNROLL
      for (std::size_t g = 0; g < at_once; ++g) {  // groups that are not there repeat the last
        const float* const p = x + (g < n ? g : n - 1) * Length;
        v[g] = _mm512_and_si512(_mm512_loadu_si512(p), magnitude);
        NBIT_UNROLL
        for (std::size_t i = 16; i < Length; i += 16)
          v[g] = larger(v[g], _mm512_and_si512(_mm512_loadu_si512(p + i), magnitude));
      }
      _mm512_storeu_si512(top, side_by_side<at_once>(v));
    }
  }
  /// Lane i: the largest of vector i, of N.
  template <std::size_t N>
  NBIT_INLINE static __m512i side_by_side(const __m512i (&v)[N]) noexcept {
    __m512i pairs[8], fours[4];  // ever fewer candidates
    NBIT_UNROLL
    for (std::size_t i = 0; i < 8; ++i)
      pairs[i] = 2 * i >= N ? pairs[i % (N / 2)]
                            : larger(_mm512_maskz_unpacklo_epi32(all, v[2 * i % N], v[(2 * i + 1) % N]),
                                     _mm512_maskz_unpackhi_epi32(all, v[2 * i % N], v[(2 * i + 1) % N]));
    NBIT_UNROLL
    for (std::size_t i = 0; i < 4; ++i)
      fours[i] = 4 * i >= N ? fours[i % (N / 4)]
                            : larger(_mm512_maskz_unpacklo_epi64(0xff, pairs[2 * i], pairs[2 * i + 1]),
                                     _mm512_maskz_unpackhi_epi64(0xff, pairs[2 * i], pairs[2 * i + 1]));
    return fold(fold(fours[0], fours[1]), fold(fours[2], fours[3]));
  }
  NBIT_INLINE static __m512i larger(__m512i a, __m512i b) noexcept { return _mm512_maskz_max_epu32(all, a, b); }
  NBIT_INLINE static __m512i fold(__m512i a, __m512i b) noexcept {
    return larger(_mm512_maskz_shuffle_i32x4(all, a, b, 0x88), _mm512_maskz_shuffle_i32x4(all, a, b, 0xdd));
  }
  /// Whole chunks of n groups; answers how many groups they had. What waits for a chunk's scales would hold up all that
  /// comes after, so magnitudes are found two chunks ahead of the codes, sixteen numbers of the one beside sixteen of
  /// the other.
  template <std::size_t Length>
  static std::size_t quantize_chunks(const float* x, std::size_t n, std::int8_t* codes, float* scales,
                                     std::int16_t* sums) noexcept {
    constexpr std::size_t many = Length > 64 ? 1024 / Length : 16, columns = many * Length;
    const std::size_t chunks = n / many;
    alignas(64) float inverse[2][16];
    bool any_floats[2] = {};
    __m512i top[many];
    const auto scale = [&](std::size_t i) __attribute__((always_inline)) {
      any_floats[i % 2] = !scales_of<many>(side_by_side<many>(top), inverse[i % 2], scales + i * many);
    };
    const auto round_chunk = [&]<bool Find>(std::bool_constant<Find>, std::size_t i) __attribute__((always_inline)) {
      NBIT_UNROLL
      for (std::size_t k = 0; k < columns; k += 256) {
        const std::size_t at = i * columns + k;
        round_256<Length, Find>(x + at, inverse[i % 2] + k / Length, codes + at, sums + at / 16, x, at + 2 * columns,
                                top + k / Length);
      }
      if (any_floats[i % 2])
        quantize_again(x + i * columns, Length, many, codes + i * columns, scales + i * many, sums + i * columns / 16);
    };
    for (std::size_t i = 0; i < 2 && i < chunks; ++i) {
      for (std::size_t g = 0; g < many; ++g) {
        top[g] = magnitudes(x + i * columns + g * Length);
        for (std::size_t k = 16; k < Length; k += 16)
          top[g] = larger(top[g], magnitudes(x + i * columns + g * Length + k));
      }
      scale(i);
    }
    for (std::size_t i = 0; i < chunks; ++i) {
      if (i + 2 < chunks) {
        round_chunk(std::true_type{}, i);
        scale(i + 2);
      } else {
        round_chunk(std::false_type{}, i);
      }
    }
    return chunks * many;
  }
  // Not inlined: it is rare.
  [[gnu::noinline]] static void quantize_again(const float* x, std::size_t length, std::size_t n, std::int8_t* codes,
                                               float* scales, std::int16_t* to) noexcept {
    for (std::size_t g = 0; g < n; ++g) scales[g] = quantize_any(x + g * length, length, codes + g * length);
    sums(codes, n * length / 16, to);
  }
  NBIT_INLINE static __m512i magnitudes(const float* x) noexcept {
    return _mm512_and_si512(_mm512_loadu_si512(x), _mm512_set1_epi32(0x7fffffff));
  }
  /// Scales of N groups and their reciprocals, or false if one holds an infinity or NaN.
  template <std::size_t N>
  NBIT_INLINE static bool scales_of(__m512i top, float* inverse, float* scales) noexcept {
    const __m512i infinity = _mm512_set1_epi32(0x7f800000);
    const __m512 full = _mm512_set1_ps(127.0f), magnitude = _mm512_castsi512_ps(top),
                 by = _mm512_div_ps(full, magnitude);
    const __mmask16 any = _mm512_cmplt_epu32_mask(_mm512_castps_si512(by), infinity);
    _mm512_store_ps(inverse, _mm512_maskz_mov_ps(any, by));
    _mm512_mask_storeu_ps(scales, static_cast<__mmask16>((1u << N) - 1), _mm512_maskz_div_ps(any, magnitude, full));
    return _mm512_cmpge_epu32_mask(top, infinity) == 0;
  }
  /// Codes and sums of 256 columns in groups of Length; Find: and the magnitudes of the groups of 256 columns at
  /// next[at], else what may come there is fetched: another row.
  template <std::size_t Length, bool Find>
  NBIT_INLINE static void round_256(const float* x, const float* inverse, std::int8_t* codes, std::int16_t* sums,
                                    const float* next, std::size_t at, __m512i* top) noexcept {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i four[4], largest = ones;
    NBIT_UNROLL
    for (std::size_t q = 0; q < 4; ++q) {
      __m512i v[4];
      NBIT_UNROLL
      for (std::size_t k = 0; k < 4; ++k) {
        const std::size_t i = 64 * q + 16 * k;
        if constexpr (Find) {
          largest = i % Length == 0 ? magnitudes(next + at + i) : larger(largest, magnitudes(next + at + i));
          if ((i + 16) % Length == 0) top[i / Length] = largest;
        } else {
          detail::prefetch_ahead(next, at + i);
        }
        v[k] =
            _mm512_maskz_cvtps_epi32(all, _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(inverse[i / Length])));
      }
      const __m512i rounded = bytes(v);
      _mm512_storeu_si512(codes + 64 * q, rounded);
      four[q] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, rounded);
    }
    // dword 4 l + q has the sum of block 4 q + l
    const __m512i sum = add_long_pairs(add_neighbours(four[0], four[1]), add_neighbours(four[2], four[3]));
    const __m512i order =
        _mm512_setr_epi32(0x80000, 0x180010, 0xa0002, 0x1a0012, 0xc0004, 0x1c0014, 0xe0006, 0x1e0016,  //
                          0, 0, 0, 0, 0, 0, 0, 0);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                        _mm512_maskz_extracti64x4_epi64(0xff, _mm512_maskz_permutexvar_epi16(~0u, order, sum), 0));
  }
  NBIT_INLINE static __m512i add_neighbours(__m512i a, __m512i b) noexcept {
    return _mm512_add_epi32(_mm512_maskz_unpacklo_epi32(all, a, b), _mm512_maskz_unpackhi_epi32(all, a, b));
  }
  NBIT_INLINE static __m512i add_long_pairs(__m512i a, __m512i b) noexcept {
    return _mm512_add_epi32(_mm512_maskz_unpacklo_epi64(0xff, a, b), _mm512_maskz_unpackhi_epi64(0xff, a, b));
  }
  /// Codes of n groups, sixty-four at a time.
  template <std::size_t Length>
  NBIT_INLINE static void round_groups(const float* x, std::size_t length, std::size_t n, const float* inverse,
                                       std::int8_t* codes) noexcept {
    std::size_t i = 0;
    if constexpr (Length == 0) {
      for (std::size_t g = 0; g < n; ++g) {
        const __m512 by = _mm512_set1_ps(inverse[g]);
        std::size_t k = 0;
        for (; k + 64 <= length; k += 64) {
          __m512i v[4];
          NBIT_UNROLL
          for (std::size_t j = 0; j < 4; ++j)
            v[j] = _mm512_maskz_cvtps_epi32(all, _mm512_mul_ps(_mm512_loadu_ps(x + g * length + k + 16 * j), by)),
            detail::prefetch_ahead(x, (g + 1) * length + k + 16 * j);  // what often comes next: another row
          _mm512_storeu_si512(codes + g * length + k, bytes(v));
        }
        round(x + g * length + k, length - k, inverse[g], codes + g * length + k);
      }
      return;
    } else if constexpr (Length % 64 == 0 || 64 % Length == 0) {
      for (; i + 64 <= n * Length; i += 64) {
        __m512i v[4];
        NBIT_UNROLL
        for (std::size_t k = 0; k < 4; ++k) {
          const __m512 by = _mm512_set1_ps(inverse[(i + 16 * k) / Length]);
          v[k] = _mm512_maskz_cvtps_epi32(all, _mm512_mul_ps(_mm512_loadu_ps(x + i + 16 * k), by));
        }
        _mm512_storeu_si512(codes + i, bytes(v));
      }
    }
    for (; i < n * length; i += 16) round(x + i, 16, inverse[i / length], codes + i);  // groups are multiples of 16
  }
  NBIT_INLINE static __m512i bytes(const __m512i (&v)[4]) noexcept {
    const __m512i words = _mm512_packs_epi32(v[0], v[1]), more = _mm512_packs_epi32(v[2], v[3]);
    const __m512i fours = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_maskz_permutexvar_epi32(all, fours, _mm512_packs_epi16(words, more));
  }
  NBIT_INLINE static void sums(const std::int8_t* codes, std::size_t n, std::int16_t* out) noexcept {
    const __m512i ones = _mm512_set1_epi8(1);
    const auto four = [&](std::size_t b) __attribute__((always_inline)) {
      return _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, _mm512_loadu_si512(codes + 16 * b));
    };
    std::size_t b = 0;
    for (; b + 16 <= n; b += 16) {
      const __m512i low = add_pairs(four(b), four(b + 4)), high = add_pairs(four(b + 8), four(b + 12));
      // quarter q has the sums of blocks b + q, b + 4 + q, b + 8 + q, b + 12 + q
      const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      const __m512i sum = _mm512_maskz_permutexvar_epi32(all, order, add_pairs(low, high));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + b), _mm512_maskz_cvtepi32_epi16(all, sum));
    }
    for (; b < n; b += 4) {  // rows are padded to 64 codes
      const __m512i f = four(b), two = _mm512_add_epi32(f, _mm512_maskz_shuffle_epi32(all, f, _MM_PERM_BADC));
      const __m512i one = _mm512_add_epi32(two, _mm512_maskz_shuffle_epi32(all, two, _MM_PERM_CDAB));
      const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
      const __m128i sum = _mm512_maskz_extracti32x4_epi32(0xf, _mm512_maskz_permutexvar_epi32(all, first, one), 0);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + b), _mm_packs_epi32(sum, sum));
    }
  }
  // In every quarter: two sums of a's neighbours, two of b's.
  NBIT_INLINE static __m512i add_pairs(__m512i a, __m512i b) noexcept {
    const __m512 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
    return _mm512_add_epi32(_mm512_castps_si512(_mm512_maskz_shuffle_ps(all, x, y, 0x88)),
                            _mm512_castps_si512(_mm512_maskz_shuffle_ps(all, x, y, 0xdd)));
  }
  static constexpr __mmask16 all = 0xffff;
#elif NBIT_TARGET == 1
  NBIT_INLINE static std::uint32_t largest(const float* x, std::size_t n) noexcept {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i a = _mm256_setzero_si256(), b = a;
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m256i* const p = reinterpret_cast<const __m256i*>(x + i);
      a = _mm256_max_epu32(a, _mm256_and_si256(_mm256_loadu_si256(p), magnitude));
      b = _mm256_max_epu32(b, _mm256_and_si256(_mm256_loadu_si256(p + 1), magnitude));
    }
    return largest_of(x + i, n - i, largest_of_eight(_mm256_max_epu32(a, b)));
  }
  NBIT_INLINE static void round(const float* x, std::size_t n, float inverse, std::int8_t* codes) noexcept {
    const __m256 by = _mm256_set1_ps(inverse);
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), by)),
                    b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), by));
      const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + i),
                       _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
    round_each(x + i, n - i, inverse, codes + i);
  }
  NBIT_INLINE static void sums(const std::int8_t* codes, std::size_t n, std::int16_t* out) noexcept {
    const __m256i ones = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
    for (std::size_t b = 0; b < n; b += 4) {  // rows are padded to 64 codes
      const __m256i* const p = reinterpret_cast<const __m256i*>(codes + 16 * b);
      const __m256i low = _mm256_madd_epi16(_mm256_maddubs_epi16(ones, _mm256_loadu_si256(p)), ones16),
                    high = _mm256_madd_epi16(_mm256_maddubs_epi16(ones, _mm256_loadu_si256(p + 1)), ones16);
      const __m256i two = _mm256_hadd_epi32(low, high), one = _mm256_hadd_epi32(two, two);
      // the lower half has the sums of blocks 0 and 2, the upper half those of 1 and 3
      const __m128i sum = _mm_unpacklo_epi32(_mm256_castsi256_si128(one), _mm256_extracti128_si256(one, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + b), _mm_packs_epi32(sum, sum));
    }
  }
#else
  static std::uint32_t largest(const float* x, std::size_t n) noexcept { return largest_of(x, n, 0); }
  static void round(const float* x, std::size_t n, float inverse, std::int8_t* codes) noexcept {
    round_each(x, n, inverse, codes);
  }
  static void sums(const std::int8_t* codes, std::size_t n, std::int16_t* out) noexcept {
    for (std::size_t b = 0; b < n; ++b) {
      int sum = 0;
      for (std::size_t i = 0; i < 16; ++i) sum += codes[16 * b + i];
      out[b] = static_cast<std::int16_t>(sum);
    }
  }
#endif
#if NBIT_TARGET != 2
  template <std::size_t Length>
  NBIT_HOST_INLINE static void tops(const float* x, std::size_t length, std::size_t n, std::uint32_t* top) noexcept {
    for (std::size_t g = 0; g < n; ++g) top[g] = largest(x + g * length, length);
  }
  template <std::size_t Length>
  NBIT_HOST_INLINE static void round_groups(const float* x, std::size_t length, std::size_t n, const float* inverse,
                                            std::int8_t* codes) noexcept {
    for (std::size_t g = 0; g < n; ++g) round(x + g * length, length, inverse[g], codes + g * length);
  }
#endif
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
  NBIT_INLINE static std::uint32_t largest_of_eight(__m256i eight) noexcept {
    const __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    const __m128i one = _mm_max_epu32(two, _mm_shuffle_epi32(two, 0xb1));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(one));
  }
#endif
};

}  // namespace NBIT_TAG
}  // namespace nbit
