// nbit/kernel/block_dots_lattice.inl — the integer sums of blocks of lattice points, for instruction sets with
// block_lanes; included by kernel/block_gemv.hpp once per target. How the bits lie: the formats' own headers.
//
// The formats stay incomplete here, so that nobody pays for their headers who does not use them: hence templates of F.
// SPDX-License-Identifier: MIT
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2  // avx_vnni runs avx2's

namespace nbit {
inline namespace NBIT_TAG {

/// What a block_dots of lattice points says besides: indices<H>(p), 32 words whose low bits are those of points 0 .. 31
/// (of four columns: the even points, H = 0, and the odd ones, H = 1); or index(p, k), that of point k, where it is
/// there to be read; signs(p), a bit for each column, scales(p), a number for each 16 columns. Here: what several of
/// them share, sixteen words or 32 bytes in the order of columns.
template <>
struct lattice_bits<NBIT_ARCH> {
  using vec = block_lanes<NBIT_ARCH>;
  struct byte_indices {
    alignas(64) std::int8_t of[64];
  };

  NBIT_INLINE static __m256i in_order(__m256i first, __m256i last) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(first, last), 0xd8);
  }
  /// 2 s + 1.
  NBIT_INLINE static __m256i odd(__m256i s) { return _mm256_add_epi16(_mm256_add_epi16(s, s), _mm256_set1_epi16(1)); }
  /// The nibbles of eight bytes, low ones first.
  NBIT_INLINE static __m128i nibbles(std::uint64_t bytes) {
    const __m128i both = vec::eight_bytes(bytes), low = _mm_set1_epi8(15);
    return _mm_unpacklo_epi8(_mm_and_si128(both, low), _mm_and_si128(_mm_srli_epi16(both, 4), low));
  }
  /// Seven signs, and the eighth that makes their count even.
  NBIT_INLINE static __m256i even(__m256i seven) {
    const __m256i odd_count = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0));
    const __m256i four = _mm256_xor_si256(seven, _mm256_srli_epi16(seven, 4));
    return _mm256_or_si256(seven, _mm256_shuffle_epi8(odd_count, _mm256_and_si256(four, _mm256_set1_epi8(15))));
  }
  /// Bits 7 k .. 7 k + 6, k = 0 .. 3, of the low halves of four words of 64 bits: the two bytes that have them, times a
  /// power of two that brings them to bit 16.
  NBIT_INLINE static __m256i sevens(__m256i runs) {
    const __m128i bytes = _mm_setr_epi8(-1, 0, 0, 1, 1, 2, 2, 3, -1, 8, 8, 9, 9, 10, 10, 11);
    const __m256i pairs = _mm256_shuffle_epi8(runs, _mm256_broadcastsi128_si256(bytes));
    return _mm256_and_si256(_mm256_mulhi_epu16(pairs, _mm256_set1_epi64x(0x0800040002000100)), _mm256_set1_epi16(127));
  }
  /// 2 s + 1 for s in bits 28 .. 31 of the same words, twice each.
  NBIT_INLINE static __m256i odd_tops(__m256i first, __m256i last) {
    const __m256i once = _mm256_or_si256(_mm256_srli_epi64(first, 27),
                                         _mm256_slli_epi64(_mm256_srli_epi64(last, 27), 32)),  // runs 0 4 1 5 2 6 3 7
        twice = _mm256_or_si256(once, _mm256_slli_epi32(once, 16));
    return _mm256_or_si256(_mm256_permutevar8x32_epi32(twice, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7)),
                           _mm256_set1_epi16(1));
  }
  NBIT_INLINE static std::uint64_t eight(const std::byte* p) {
    std::uint64_t v;
    std::memcpy(&v, p, 8);
    return v;
  }
};

/// Points loaded from the tables of format/ggml_lattice.hpp: 64 columns at a time, in their order.
template <class F, class Grid>
struct lattice_loads<NBIT_ARCH, F, Grid> : block_dots_256<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  using dots = block_dots<NBIT_ARCH, F>;

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t*, std::int8_t* out, std::int32_t*) {
    std::memcpy(out, x, 256);
  }
  static constexpr bool indexed = requires(const std::byte* p) { dots::index(p, 0); };
  static constexpr std::size_t registers = indexed ? 0 : 8 / Grid::dims;  // of indices
  struct decoded {
    ints places[registers > 0 ? registers : 1];
    __m256i signs;
  };
  NBIT_INLINE static decoded decode(const std::byte* p) {
    decoded d{};
    decode_places(p, d.places), d.signs = dots::signs(p);
    return d;
  }
  /// To bytes of the table.
  NBIT_INLINE static void decode_places(const std::byte* p, ints* out) {
    constexpr int shift = Grid::dims == 4 ? 2 : 3;
    const ints used = vec::words((Grid::points - 1) * Grid::dims);
    if constexpr (!indexed) out[0] = vec::both(vec::template right<-shift>(dots::template indices<0>(p)), used);
    if constexpr (registers > 1) out[1] = vec::both(vec::template right<-shift>(dots::template indices<1>(p)), used);
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, const decoded& d, X x, E) {
    const typename vec::many_marks signs(d.signs);
    const __m256i scales = dots::scales(p);
    const places at(p, d.places);
    auto to = part<0>(at, signs, scales, x, vec::template none<X>());
    to = part<1>(at, signs, scales, x, to);
    to = part<2>(at, signs, scales, x, to);
    return part<3>(at, signs, scales, x, to);
  }

  /// Where the points of a block stand in the table: four words in each number. Not in memory, from where single words
  /// come late after a wide store.
  struct places {
    const std::byte* block;
    std::uint64_t at[8 * registers + 1];

    NBIT_INLINE places(const std::byte* p, const ints* d) : block(p) {
      NBIT_UNROLL
      for (std::size_t r = 0; r < registers; ++r) vec::extract(d[r], at + 8 * r);
    }
    NBIT_INLINE const std::int8_t* point(std::size_t k) const {
      const auto& table = ggml_block::lattice_values<Grid>::table.of;
      if constexpr (indexed) {
        return table[dots::index(block, k)];
      } else {
        const std::size_t i = Grid::dims == 4 ? k % 2 * 32 + k / 2 : k;
        const auto two = static_cast<std::uint32_t>(i % 4 < 2 ? at[i / 4] : at[i / 4] >> 32);
        return table[0] + (i % 2 == 0 ? two & 0xffff : two >> 16);
      }
    }
  };
  /// The points of columns 64 M .. 64 M + 63.
  template <std::size_t M>
  NBIT_INLINE static ints points(const places& at) {
    return vec::halves(half<8 * M>(at), half<8 * M + 4>(at));
  }

 private:
  template <std::size_t M, class X, class To>
  NBIT_INLINE static To part(const places& at, const typename vec::many_marks& signs, __m256i scales, X x, To to) {
    return vec::dot_pairs_negated(signs.template columns<M>(), points<M>(at), x + 64 * M,
                                  vec::template spread<4 * M, 4 * M + 1, 4 * M + 2, 4 * M + 3>(scales), to);
  }
  template <std::size_t K>
  NBIT_INLINE static __m256i half(const places& at) {
    if constexpr (Grid::dims == 8)
      return _mm256_set_m128i(vec::load_eights(at.point(K + 2), at.point(K + 3)),
                              vec::load_eights(at.point(K), at.point(K + 1)));
    else
      return _mm256_setr_epi32(get<int>(at, 2 * K), get<int>(at, 2 * K + 1), get<int>(at, 2 * K + 2),
                               get<int>(at, 2 * K + 3), get<int>(at, 2 * K + 4), get<int>(at, 2 * K + 5),
                               get<int>(at, 2 * K + 6), get<int>(at, 2 * K + 7));
  }
  template <class V>
  NBIT_INLINE static V get(const places& at, std::size_t k) {
    V v;
    std::memcpy(&v, at.point(k), sizeof v);
    return v;
  }
};

#if NBIT_TARGET == 2

/// Points by permutations of registers. A word holds a point: 2 bits for each of eight columns, or a nibble for each of
/// four. Plane P has two columns of each: byte 2 j + h is column 8 j + place(P, h), so that lane i of the sums belongs
/// to columns 16 i .. 16 i + 15, which share a scale.
template <class F, class Grid>
struct lattice_planes<NBIT_ARCH, F, Grid> : block_dots_256<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  using ints = vec::ints;
  using dots = block_dots<NBIT_ARCH, F>;
  static constexpr bool wide = Grid::dims == 8;

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t*, std::int8_t* out, std::int32_t*) {
    for (std::size_t j = 0; j < 32; ++j)
      if constexpr (wide)
        vec::deal(x + 8 * j, out + 2 * j);
      else
        for (std::size_t plane = 0; plane < 4; ++plane) std::memcpy(out + 64 * plane + 2 * j, x + 8 * j + 2 * plane, 2);
  }
  struct decoded {
    ints signs, even, odd;
  };
  NBIT_INLINE static decoded decode(const std::byte* p) {
    const ints once = vec::widen(dots::signs(p)), signs = vec::either(once, _mm512_slli_epi16(once, 8));
    const ints even = vec::template look_up_words<Grid::points>(table.of, dots::template indices<0>(p));
    if constexpr (wide)
      return {signs, even, even};
    else
      return {signs, even, vec::template look_up_words<Grid::points>(table.of, dots::template indices<1>(p))};
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, const decoded& d, X x, E) {
    const ints signs = d.signs, even = d.even, odd = d.odd;
    auto to = vec::template none<X>();
    to = plane<0>(even, signs, x, to);
    to = plane<1>(even, signs, x, to);
    to = plane<2>(odd, signs, x, to);
    to = plane<3>(odd, signs, x, to);
    const ints scales = vec::widen_words(dots::scales(p));
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = vec::mul(to.of[t], scales);
    return to;
  }

 private:
  static constexpr std::size_t place(std::size_t plane, std::size_t h) { return wide ? plane + 4 * h : 2 * plane + h; }

  struct values {
    alignas(64) std::uint16_t of[Grid::points];
  };
  // Points of four columns: nibbles 0, 2, 1 and 3 of a word, the levels themselves where they fit.
  static constexpr bool direct = !wide && Grid::worth[7] < 16;
  static constexpr values table = [] {
    values t{};
    for (int k = 0; k < Grid::points; ++k) {
      t.of[k] = Grid::keys[k];
      if constexpr (!wide) {
        unsigned word = 0;
        for (int i = 0; i < 4; ++i) {
          const int code = Grid::keys[k] >> (3 * i) & 7;
          word |= static_cast<unsigned>(direct ? Grid::worth[code] : code) << (4 * (i / 2 + i % 2 * 2));
        }
        t.of[k] = static_cast<std::uint16_t>(word);
      }
    }
    return t;
  }();
  // What a byte's low bits mean; wide planes 1 and 3 have their code at bit 2.
  struct sixteen_worths {
    std::int8_t of[16];
  };
  template <std::size_t Shift>
  static constexpr sixteen_worths worths = [] {
    sixteen_worths w{};
    for (int c = 0; c < Grid::levels; ++c) w.of[c << Shift] = Grid::worth[c];
    return w;
  }();

  template <std::size_t P, class X, class To>
  NBIT_INLINE static To plane(ints points, ints signs, X x, To to) {
    constexpr std::size_t shift = wide ? P / 2 * 4 : P % 2 * 4, at = wide ? P % 2 * 2 : 0;
    ints level = vec::both(vec::template right<int(shift)>(points), vec::bytes((wide ? 3 : 15) << at));
    if constexpr (!direct) level = vec::look_up(vec::quarters(vec::load_16(worths<at>.of)), level);
    const ints bits = vec::words(1 << place(P, 0) | 256 << place(P, 1));
    return vec::dot_negated(vec::marked(signs, bits), level, x + 64 * P, to);
  }
};

#endif

/// Tables of more words than this are loaded from: 1024 words cost ten cycles for 32 points, 2048 as much as the loads.
template <class F, class Grid>
struct block_dots_lattice<NBIT_ARCH, F, Grid>
#if NBIT_TARGET == 2
    : std::conditional_t<(Grid::points <= 1024), lattice_planes<NBIT_ARCH, F, Grid>, lattice_loads<NBIT_ARCH, F, Grid>>
#else
    : lattice_loads<NBIT_ARCH, F, Grid>
#endif
{
  static constexpr float factor = 1.0f / F::divisor;
  static constexpr std::size_t scale_at = 0;
};

template <std::same_as<iq2_xxs> F>
struct block_dots<NBIT_ARCH, F> : block_dots_lattice<NBIT_ARCH, F, iq2_xxs_grid> {
  using vec = block_lanes<NBIT_ARCH>;
  using bits = lattice_bits<NBIT_ARCH>;

  NBIT_INLINE static std::size_t index(const std::byte* p, std::size_t k) {
    return std::to_integer<std::size_t>(p[2 + k / 4 * 8 + k % 4]);
  }
  template <int>
  NBIT_INLINE static vec::ints indices(const std::byte* p) {
    return vec::look_up(vec::load(p + 2),
                        vec::quarters(_mm_setr_epi8(0, -1, 1, -1, 2, -1, 3, -1, 8, -1, 9, -1, 10, -1, 11, -1)));
  }
  NBIT_INLINE static __m256i signs(const std::byte* p) {
    return bits::even(bits::in_order(bits::sevens(runs(p + 2)), bits::sevens(runs(p + 34))));
  }
  NBIT_INLINE static __m256i scales(const std::byte* p) { return bits::odd_tops(runs(p + 2), runs(p + 34)); }

 private:
  NBIT_INLINE static __m256i runs(const std::byte* p) { return _mm256_srli_epi64(vec::load_32(p), 32); }
};

template <std::same_as<iq3_xxs> F>
struct block_dots<NBIT_ARCH, F> : block_dots_lattice<NBIT_ARCH, F, iq3_xxs_grid> {
  using vec = block_lanes<NBIT_ARCH>;
  using bits = lattice_bits<NBIT_ARCH>;

  NBIT_INLINE static std::size_t index(const std::byte* p, std::size_t k) {
    return std::to_integer<std::size_t>(p[2 + k]);
  }
  template <int H>
  NBIT_INLINE static vec::ints indices(const std::byte* p) {
    return H == 0 ? vec::load(p + 2) : vec::template right<8>(vec::load(p + 2));
  }
  NBIT_INLINE static __m256i signs(const std::byte* p) {
    return bits::even(bits::in_order(bits::sevens(runs(p + 66)), bits::sevens(runs(p + 82))));
  }
  NBIT_INLINE static __m256i scales(const std::byte* p) { return bits::odd_tops(runs(p + 66), runs(p + 82)); }

 private:
  NBIT_INLINE static __m256i runs(const std::byte* p) { return _mm256_cvtepu32_epi64(vec::load_16(p)); }
};

template <std::same_as<iq2_xs> F>
struct block_dots<NBIT_ARCH, F> : block_dots_lattice<NBIT_ARCH, F, iq2_xs_grid> {
  using vec = block_lanes<NBIT_ARCH>;
  using bits = lattice_bits<NBIT_ARCH>;

  NBIT_INLINE static std::size_t index(const std::byte* p, std::size_t k) {
    std::uint16_t word;
    std::memcpy(&word, p + 2 + 2 * k, 2);
    return word & 511u;
  }
  template <int>
  NBIT_INLINE static vec::ints indices(const std::byte* p) {
    return vec::load(p + 2);
  }
  NBIT_INLINE static __m256i signs(const std::byte* p) {
    return bits::even(
        bits::in_order(_mm256_srli_epi16(vec::load_32(p + 2), 9), _mm256_srli_epi16(vec::load_32(p + 34), 9)));
  }
  NBIT_INLINE static __m256i scales(const std::byte* p) {
    return bits::odd(_mm256_cvtepu8_epi16(bits::nibbles(bits::eight(p + 66))));
  }
};

template <std::same_as<iq2_s> F>
struct block_dots<NBIT_ARCH, F> : block_dots_lattice<NBIT_ARCH, F, iq2_s_grid> {
  using vec = block_lanes<NBIT_ARCH>;
  using bits = lattice_bits<NBIT_ARCH>;
  template <int>
  NBIT_INLINE static vec::ints indices(const std::byte* p) {  // bits 2 k of a byte come to bit 8, k = 0 .. 3
    const vec::ints bytes = vec::look_up(vec::quarters(vec::eight_bytes(bits::eight(p + 66))), vec::load(which.of));
    const vec::ints upper = vec::mul_words(bytes, vec::quarters(_mm_set1_epi64x(0x0004001000400100)));
    return vec::either(vec::widen(vec::load_32(p + 2)), vec::both(upper, vec::words(0x300)));
  }
  NBIT_INLINE static __m256i signs(const std::byte* p) { return vec::load_32(p + 34); }
  NBIT_INLINE static __m256i scales(const std::byte* p) {
    return bits::odd(_mm256_cvtepu8_epi16(bits::nibbles(bits::eight(p + 74))));
  }

 private:
  static constexpr lattice_bits<NBIT_ARCH>::byte_indices which = [] {  // byte k / 4 in word k
    lattice_bits<NBIT_ARCH>::byte_indices w{};
    for (int k = 0; k < 32; ++k) w.of[2 * k] = static_cast<std::int8_t>(k / 4), w.of[2 * k + 1] = -1;
    return w;
  }();
};

template <std::same_as<iq3_s> F>
struct block_dots<NBIT_ARCH, F> : block_dots_lattice<NBIT_ARCH, F, iq3_s_grid> {
  using vec = block_lanes<NBIT_ARCH>;
  using bits = lattice_bits<NBIT_ARCH>;
  template <int H>
  NBIT_INLINE static vec::ints indices(const std::byte* p) {
    constexpr std::uint64_t each = 0x5555555555555555;
    const std::uint32_t ninths = static_cast<std::uint32_t>(_pext_u64(bits::eight(p + 66), each << H));
    const vec::ints all = vec::load(p + 2),
                    low = H == 0 ? vec::both(all, vec::words(255)) : vec::template right<8>(all);
    return vec::add_words_where(ninths, low, 256);
  }
  NBIT_INLINE static __m256i signs(const std::byte* p) { return vec::load_32(p + 74); }
  NBIT_INLINE static __m256i scales(const std::byte* p) {
    std::uint32_t four;
    std::memcpy(&four, p + 106, 4);
    const __m128i once = bits::nibbles(four);
    return bits::odd(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(once, once)));
  }
};

/// IQ1: levels are 8 (code - 1) and a shift of 1 or -1: a sum of 8 code x, and the sums of x times -7 or -9.
template <class F>
struct block_dots_shifted<NBIT_ARCH, F> : lattice_loads<NBIT_ARCH, F, iq1_grid> {
  using vec = block_lanes<NBIT_ARCH>;
  using dots = block_dots<NBIT_ARCH, F>;
  using places = typename lattice_loads<NBIT_ARCH, F, iq1_grid>::places;
  static constexpr float factor = 1.0f / F::divisor;
  static constexpr std::size_t extra = 16;  // extra: the sums of eight codes each, 16 bits

  NBIT_INLINE static void arrange_block(const std::int8_t* x, const std::int16_t*, std::int8_t* out, std::int32_t* e) {
    std::memcpy(out, x, 256);
    std::int16_t of_eight[32];
    for (std::size_t k = 0; k < 32; ++k) {
      int sum = 0;
      for (std::size_t i = 0; i < 8; ++i) sum += x[8 * k + i];
      of_eight[k] = static_cast<std::int16_t>(sum);
    }
    std::memcpy(e, of_eight, sizeof of_eight);
  }
  struct decoded {
    vec::ints places[1];
  };
  NBIT_INLINE static decoded decode(const std::byte* p) {
    decoded d;
    lattice_loads<NBIT_ARCH, F, iq1_grid>::decode_places(p, d.places);
    return d;
  }
  template <class X, class E>
  NBIT_INLINE static auto block(const std::byte* p, const decoded& d, X x, E e) {
    const __m256i scales = dots::scales(p);
    const vec::ints shifted = dots::shifted(p, scales);
    const places at(p, d.places);
    auto to = vec::template none<X>();
    NBIT_UNROLL
    for (std::size_t t = 0; t < X::count; ++t) to.of[t] = vec::dot_words(shifted, vec::load(e[t]));
    const __m256i eight = _mm256_slli_epi16(scales, 3);
    to = part<0>(at, eight, x, to);
    to = part<1>(at, eight, x, to);
    to = part<2>(at, eight, x, to);
    return part<3>(at, eight, x, to);
  }

 private:
  template <std::size_t M, class X, class To>
  NBIT_INLINE static To part(const places& at, __m256i scales, X x, To to) {
    const vec::ints codes =
        vec::add_bytes(lattice_loads<NBIT_ARCH, F, iq1_grid>::template points<M>(at), vec::bytes(1));
    return vec::dot_pairs(codes, x + 64 * M, vec::template spread<4 * M, 4 * M + 1, 4 * M + 2, 4 * M + 3>(scales), to);
  }
};

template <std::same_as<iq1_s> F>
struct block_dots<NBIT_ARCH, F> : block_dots_shifted<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;
  static constexpr std::size_t scale_at = 0;

  template <int>
  NBIT_INLINE static vec::ints indices(const std::byte* p) {  // bits 3 k come to bit 8; of k = 3, from the upper byte
    const vec::ints words = vec::look_up(vec::quarters(vec::load_16(p + 34)), vec::load(which.of));
    const vec::ints upper = vec::mul_words(words, vec::quarters(_mm_set1_epi64x(0x0080000400200100)));
    return vec::either(vec::widen(vec::load_32(p + 2)), vec::both(upper, vec::words(0x700)));
  }
  NBIT_INLINE static __m256i scales(const std::byte* p) { return twice(odd(vec::load_16(p + 34))); }
  NBIT_INLINE static vec::ints shifted(const std::byte* p, __m256i) {
    const __m128i runs = vec::load_16(p + 34);  // -9 or -7: the highest bit is the shift's sign
    const __m128i by =
        _mm_sub_epi16(_mm_add_epi16(_mm_srai_epi16(runs, 15), _mm_srai_epi16(runs, 15)), _mm_set1_epi16(7));
    const __m256i each = twice(_mm_mullo_epi16(by, odd(runs)));
    const __m256i low = _mm256_unpacklo_epi16(each, each), high = _mm256_unpackhi_epi16(each, each);
    return vec::halves(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
  }

 private:
  NBIT_INLINE static __m128i odd(__m128i runs) {  // 2 s + 1 for s in bits 12 .. 14
    return _mm_or_si128(_mm_and_si128(_mm_srli_epi16(runs, 11), _mm_set1_epi16(14)), _mm_set1_epi16(1));
  }
  NBIT_INLINE static __m256i twice(__m128i v) {
    return _mm256_set_m128i(_mm_unpackhi_epi16(v, v), _mm_unpacklo_epi16(v, v));
  }
  static constexpr lattice_bits<NBIT_ARCH>::byte_indices which =
      [] {  // word k / 4 in word k; for k = 3, its upper byte alone
        lattice_bits<NBIT_ARCH>::byte_indices w{};
        for (int k = 0; k < 32; ++k) {
          w.of[2 * k] = static_cast<std::int8_t>(k / 4 * 2 + k % 4 / 3);
          w.of[2 * k + 1] = static_cast<std::int8_t>(k % 4 == 3 ? -1 : k / 4 * 2 + 1);
        }
        return w;
      }();
};

template <std::same_as<iq1_m> F>
struct block_dots<NBIT_ARCH, F> : block_dots_shifted<NBIT_ARCH, F> {
  using vec = block_lanes<NBIT_ARCH>;

  NBIT_INLINE static void load_scale(const std::byte* p, f16* scale) {  // a nibble at the top of each of four words
    const std::uint16_t bits = static_cast<std::uint16_t>(_pext_u64(words_of(p), 0xf000f000f000f000));
    std::memcpy(scale, &bits, 2);
  }
  template <int>
  NBIT_INLINE static vec::ints indices(const std::byte* p) {
    return vec::either(vec::widen(vec::load_32(p)), vec::both(nibbles(p), vec::words(0x700)));
  }
  NBIT_INLINE static __m256i scales(const std::byte* p) {  // bits 3 k of a word come to bit 13
    const __m256i four = _mm256_broadcastq_epi64(vec::eight_bytes(words_of(p)));
    const __m256i bytes =
        _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302, 0x0504050405040504, 0x0706070607060706);
    const __m256i top = _mm256_mullo_epi16(_mm256_shuffle_epi8(four, bytes), _mm256_set1_epi64x(0x0010008004002000));
    return _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(top, 12), _mm256_set1_epi16(14)), _mm256_set1_epi16(1));
  }
  NBIT_INLINE static vec::ints shifted(const std::byte* p, __m256i scales) {
    const __m256i low = _mm256_permute4x64_epi64(scales, 0x10), high = _mm256_permute4x64_epi64(scales, 0x32);
    const vec::ints each = vec::halves(_mm256_unpacklo_epi16(low, low), _mm256_unpacklo_epi16(high, high));
    const vec::ints minus = vec::both(vec::template right<10>(nibbles(p)), vec::words(2));  // bit 11: 2 or 0
    return vec::mul_words(vec::sub_words(vec::words(-7), minus), each);
  }

 private:
  NBIT_INLINE static std::uint64_t words_of(const std::byte* p) { return lattice_bits<NBIT_ARCH>::eight(p + 48); }
  // Nibble k at bits 8 .. 11 of word k.
  NBIT_INLINE static vec::ints nibbles(const std::byte* p) {
    const vec::ints bytes = vec::look_up(vec::quarters(vec::load_16(p + 32)), vec::load(which.of));
    return vec::mul_words(bytes, vec::quarters(_mm_set1_epi32(0x00100100)));
  }
  static constexpr lattice_bits<NBIT_ARCH>::byte_indices which = [] {  // byte k / 2 in word k
    lattice_bits<NBIT_ARCH>::byte_indices w{};
    for (int k = 0; k < 32; ++k) w.of[2 * k] = static_cast<std::int8_t>(k / 2), w.of[2 * k + 1] = -1;
    return w;
  }();
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
