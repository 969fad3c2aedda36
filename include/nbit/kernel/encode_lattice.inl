// nbit/kernel/encode_lattice.inl — group_encoder for IQ2 and IQ3; included by kernel/encode.hpp once per target.
//
// The search of format/ggml_lattice_search.hpp with eight inverse scales side by side, or eight neighbours of one
// place. Between two neighbours the weighted error changes sides at most once as the scale grows: where the same one
// wins at both ends of a stretch of scales that round to one place, and by more than rounding can move, it wins within.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2

template <>
struct lattice_lanes<NBIT_ARCH> {
  NBIT_INLINE static __m256 number(float v) { return _mm256_set1_ps(v); }
  NBIT_INLINE static __m256i load(const std::int32_t* from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
  }
  NBIT_INLINE static void store(std::int32_t* to, __m256i v) { _mm256_store_si256(reinterpret_cast<__m256i*>(to), v); }
  /// The smallest of eight, in all lanes.
  NBIT_INLINE static __m256 smallest(__m256 v) {
    v = _mm256_min_ps(v, _mm256_permute2f128_ps(v, v, 1));
    v = _mm256_min_ps(v, _mm256_permute_ps(v, 0x4e));
    return _mm256_min_ps(v, _mm256_permute_ps(v, 0xb1));
  }
  NBIT_INLINE static __m256 largest(__m256 v) {
    v = _mm256_max_ps(v, _mm256_permute2f128_ps(v, v, 1));
    v = _mm256_max_ps(v, _mm256_permute_ps(v, 0x4e));
    return _mm256_max_ps(v, _mm256_permute_ps(v, 0xb1));
  }
  NBIT_INLINE static unsigned bits(__m256 v) { return static_cast<unsigned>(_mm256_movemask_ps(v)); }

  /// a < b ? key : other
  NBIT_INLINE static __m256i choose(__m256 a, __m256 b, std::int32_t key, __m256i other) {
#if NBIT_TARGET == 2
    return _mm256_mask_set1_epi32(other, _mm256_cmp_ps_mask(a, b, _CMP_LT_OQ), key);
#else
    const __m256i smaller = _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
    return _mm256_blendv_epi8(other, _mm256_set1_epi32(key), smaller);
#endif
  }

  /// table[key & mask] for the lowest coordinate of eight keys; the table holds 4 levels twice or 8.
  template <class Grid>
  NBIT_INLINE static __m256 pick(__m256 table, __m256i keys) {
    if constexpr (Grid::bits == 2)
      return _mm256_permutevar_ps(table, keys);
    else
      return _mm256_permutevar8x32_ps(table, keys);
  }
  template <class Grid>
  NBIT_INLINE static __m256 odd_levels() {
    return Grid::bits == 2 ? _mm256_setr_ps(1, 3, 5, 7, 1, 3, 5, 7) : _mm256_setr_ps(1, 3, 5, 7, 9, 11, 13, 15);
  }
  /// The level that 2 * half_inverse * x rounds to, as in rounded_keys. Needs: |half_inverse * x| below 2^21.
  /// Signed: x may be negative.
  template <class Grid, bool Signed>
  NBIT_INLINE static __m256i rounded(__m256 half_inverse, __m256 x) {
    __m256i level = _mm256_cvtps_epi32(_mm256_sub_ps(_mm256_mul_ps(half_inverse, x), number(0.5f)));
    if constexpr (Signed) level = _mm256_max_epi32(level, _mm256_setzero_si256());
    return _mm256_min_epi32(level, _mm256_set1_epi32(Grid::levels - 1));
  }
};

/// search_lattice for one run.
template <class Search>
struct lattice_run<NBIT_ARCH, Search> {
  using lanes_of = lattice_lanes<NBIT_ARCH>;
  using grid = typename Search::grid;
  using list_of_keys = typename ggml_block::neighbour_memo<grid>::list;
  static constexpr int run = Search::run, dims = grid::dims, parts = run / dims, bits = grid::bits;
  static constexpr int candidates = Search::candidates, chunks = (candidates + 7) / 8, lanes = 8 * chunks;
  static constexpr float top = static_cast<float>(2 * grid::levels - 1), most = 3.402823466e38f;
  static constexpr float ends[16] = {0, 0, 0, 0, 0, 0, 0, 0, most, most, most, most, most, most, most, most};

  const float *x, *weight, *root;
  ggml_block::neighbour_memo<grid>* memo;
  alignas(32) float inverse[lanes], scales[lanes],
      shift[lanes + 8];  // shift: of the inverse from the middle one, twice
  alignas(32) std::int32_t keys[parts][lanes + 8];
  std::uint32_t off[parts];  // bit s: off the lattice with inverse scale s

  /// best_neighbours for one scale.
  NBIT_NOINLINE int nearest(const list_of_keys& list, int part, float scale) const {
    const float *xk = x + dims * part, *wk = root + dims * part;
    const __m256 v = _mm256_mul_ps(_mm256_set1_ps(scale), lanes_of::template odd_levels<grid>());
    __m256 cost[dims];
    for (int i = 0; i < dims; ++i) {
      const __m256 diff = _mm256_sub_ps(v, _mm256_broadcast_ss(xk + i));
      cost[i] = _mm256_mul_ps(_mm256_mul_ps(_mm256_broadcast_ss(wk + i), diff), diff);
    }
    __m256 least = _mm256_set1_ps(most);
    __m256i place = _mm256_setzero_si256(), at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i none = _mm256_set1_epi32(512);
    for (int n = 0; n < list.count; n += 8) {
      const __m256i k = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(list.keys + n)));
      __m256 error = lanes_of::template pick<grid>(cost[0], k);
      for (int i = 1; i < dims; ++i)
        error = _mm256_add_ps(error, lanes_of::template pick<grid>(cost[i], _mm256_srli_epi32(k, bits * i)));
      const int left = list.count - n < 8 ? list.count - n : 8;
      error = _mm256_max_ps(_mm256_loadu_ps(ends + 8 - left), error);
      const __m256 better = _mm256_cmp_ps(error, least, _CMP_LT_OQ);
      least = _mm256_min_ps(error, least);
      place = _mm256_blendv_epi8(place, at, _mm256_castps_si256(better));
      at = _mm256_add_epi32(at, _mm256_set1_epi32(8));
    }
    const __m256 equal = _mm256_cmp_ps(least, lanes_of::smallest(least), _CMP_EQ_OQ);
    place = _mm256_blendv_epi8(none, place, _mm256_castps_si256(equal));  // of equals the first
    place = _mm256_min_epi32(place, _mm256_permute2x128_si256(place, place, 1));
    place = _mm256_min_epi32(place, _mm256_shuffle_epi32(place, 0x4e));
    place = _mm256_min_epi32(place, _mm256_shuffle_epi32(place, 0xb1));
    return list.keys[_mm256_cvtsi256_si32(place)];
  }

  /// What the weighted error of level l at coordinate i, times the inverse scale squared, is near the middle inverse
  /// scale: (level - x * inverse)^2 = square - shift * slope + what is the same for all levels.
  struct expansion {
    __m256 square[dims], slope[dims];
    float spread, margin;  // weights * x^2, and what rounding may do to an error
  };
  NBIT_INLINE expansion expand(int part) const {
    const float *xk = x + dims * part, *wk = root + dims * part, middle = inverse[candidates / 2];
    expansion e;
    e.spread = 0.0f;
    for (int i = 0; i < dims; ++i) {
      const __m256 rest = _mm256_sub_ps(lanes_of::template odd_levels<grid>(), _mm256_set1_ps(xk[i] * middle));
      const __m256 weighed = _mm256_mul_ps(_mm256_broadcast_ss(wk + i), rest);
      e.square[i] = _mm256_mul_ps(weighed, rest);
      e.slope[i] = _mm256_mul_ps(weighed, _mm256_broadcast_ss(xk + i));
      e.spread += wk[i] * xk[i] * xk[i];
    }
    e.margin = e.spread * middle * middle * 0x1p-17f + 1e-30f;
    return e;
  }

  /// Finds the points for inverse scales first .. last, which round a part to one place.
  NBIT_INLINE void replace(const expansion& e, const list_of_keys& list, int part, int first, int last) {
    constexpr int longest = ggml_block::neighbour_memo<grid>::longest;
    struct {
      alignas(32) float square[longest], slope[longest];
      std::int32_t key[longest];
    } of;
    for (int n = 0; n < list.count; n += 8) {
      const __m256i k = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(list.keys + n)));
      __m256 a = lanes_of::template pick<grid>(e.square[0], k), b = lanes_of::template pick<grid>(e.slope[0], k);
      for (int i = 1; i < dims; ++i) {
        const __m256i level = _mm256_srli_epi32(k, bits * i);
        a = _mm256_add_ps(a, lanes_of::template pick<grid>(e.square[i], level));
        b = _mm256_add_ps(b, lanes_of::template pick<grid>(e.slope[i], level));
      }
      _mm256_store_ps(of.square + n, a), _mm256_store_ps(of.slope + n, b);
      lanes_of::store(of.key + n, k);
    }
    for (int s = first; s <= last; s += 8) {
      const __m256 by = _mm256_loadu_ps(shift + s);
      __m256 least = _mm256_fnmadd_ps(by, _mm256_broadcast_ss(of.slope), _mm256_broadcast_ss(of.square));
      __m256 second = _mm256_set1_ps(most);
      __m256i winner = _mm256_set1_epi32(of.key[0]);
#pragma GCC unroll 2
      for (int n = 1; n < list.count; ++n) {
        const __m256 error = _mm256_fnmadd_ps(by, _mm256_set1_ps(of.slope[n]), _mm256_set1_ps(of.square[n]));
        winner = lanes_of::choose(error, least, of.key[n], winner);
        second = _mm256_min_ps(second, _mm256_max_ps(error, least));
        least = _mm256_min_ps(error, least);
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(keys[part] + s), winner);
      // Where the second is as close as rounding, here or in the reference, could decide: the reference's own sums.
      const __m256 common = _mm256_mul_ps(_mm256_mul_ps(by, by), _mm256_set1_ps(0.25f * e.spread));
      const __m256 slack =
          _mm256_fmadd_ps(_mm256_add_ps(least, common), _mm256_set1_ps(0x1p-15f), _mm256_set1_ps(e.margin));
      unsigned open = ~lanes_of::bits(_mm256_cmp_ps(second, _mm256_add_ps(least, slack), _CMP_GT_OQ)) & 255u;
      if (last - s < 7) open &= (2u << (last - s)) - 1u;
      for (; open != 0; open &= open - 1) {
        const int t = s + __builtin_ctz(open);
        keys[part][t] = nearest(list, part, scales[t]);
      }
    }
  }

  /// Rounds a part with all inverse scales and finds the points.
  NBIT_INLINE void place(int part) {
    alignas(32) std::int32_t rounded[lanes];
    __m256i key[chunks], next[chunks];
    for (int c = 0; c < chunks; ++c) {
      const __m256 half = _mm256_mul_ps(_mm256_set1_ps(0.5f), _mm256_load_ps(inverse + 8 * c));
      key[c] = _mm256_setzero_si256();
      for (int i = 0; i < dims; ++i) {
        const __m256 v = _mm256_broadcast_ss(x + dims * part + i);
        const __m256i level = lanes_of::template rounded<grid, Search::parity>(half, v);
        key[c] = _mm256_or_si256(key[c], _mm256_slli_epi32(level, bits * i));
      }
      lanes_of::store(rounded + 8 * c, key[c]);
      next[c] = _mm256_permutevar8x32_epi32(key[c], _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 0));
    }
    std::uint32_t same = 0;  // bit s: the next inverse scale rounds to the same place
    for (int c = 0; c < chunks; ++c) {
      const __m256i behind = _mm256_blend_epi32(next[c], next[c + 1 < chunks ? c + 1 : c], 0x80);
      same |= lanes_of::bits(_mm256_castsi256_ps(_mm256_cmpeq_epi32(key[c], behind))) << (8 * c);
    }
    constexpr std::uint32_t last = 1u << (candidates - 1);
    const expansion e = expand(part);
    off[part] = 0;
    int s = 0;
    for (std::uint32_t left = (~same | last) & (last | (last - 1)); left != 0; left &= left - 1) {
      const int end = __builtin_ctz(left);
      const auto list = memo->at(static_cast<unsigned>(rounded[s]));
      off[part] |= list.keys[0] != rounded[s] ? (2u << end) - (1u << s) : 0u;
      if (list.count == 1)
        for (int t = s; t <= end; t += 8)
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(keys[part] + t), _mm256_set1_epi32(list.keys[0]));
      else
        replace(e, list, part, s, end);
      s = end + 1;
    }
  }

  float search(float size, float scale, std::uint16_t* points) {
    NBIT_EXACT
    using m = lane_math<NBIT_ARCH>;
    alignas(64) float weighted[run];
    auto farthest = m::zero();
    for (int i = 0; i < run; i += 16) {
      farthest = m::larger(farthest, m::abs(m::load(x + i)));
      m::store(weighted + i, m::mul(m::load(weight + i), m::load(x + i)));
    }
    const float size_of_all = m::largest(farthest);
    for (int s = 0; s < lanes; ++s) inverse[s] = (top + static_cast<float>(s - candidates / 2) * Search::stride) / size;
    for (int s = 0; s < lanes; ++s) scales[s] = 1.0f / inverse[s];
    for (int s = 0; s < lanes; ++s) shift[s] = 2.0f * (inverse[s] - inverse[candidates / 2]);
    for (int s = lanes; s < lanes + 8; ++s) shift[s] = 0.0f;
    if (!(inverse[lanes - 1] * size_of_all < 2097152.0f))
      return ggml_block::search_lattice<Search>(x, weight, root, size, scale, points);
    memo->make_room(parts * (candidates + 1));
    for (int k = 0; k < parts; ++k) place(k);
    float found = scale;
    const int chosen = best_scale(weighted, found);
    std::int32_t final_keys[parts];
    std::uint32_t again = 0;  // the parts to round once more
    for (int k = 0; k < parts; ++k) {
      final_keys[k] = chosen < 0 ? 0 : keys[k][chosen];
      again |= (chosen < 0 ? (Search::again_if_none ? 1u : 0u) : off[k] >> chosen & 1u) << k;
    }
    if (Search::again_always || (Search::again_all && again != 0)) again = ~0u;
    if (again != 0 && found > 0.0f) {
      if (!(size_of_all < 2097152.0f * found))
        return ggml_block::search_lattice<Search>(x, weight, root, size, scale, points);
      found = refine(found, again, weighted, final_keys);
    }
    for (int k = 0; k < parts; ++k)
      points[k] =
          static_cast<std::uint16_t>(ggml_block::lattice_rows<grid>::index_of(static_cast<unsigned>(final_keys[k])));
    return found;
  }

  /// The inverse scale that explains most, or -1; its least-squares scale replaces `scale`.
  NBIT_INLINE int best_scale(const float* weighted, float& scale) const {
    NBIT_EXACT
    alignas(32) float wqx[lanes], wqq[lanes], fit[lanes], explained[lanes];
    for (int c = 0; c < chunks; ++c) {
      __m256 sum_wqx = _mm256_setzero_ps(), sum_wqq = sum_wqx;
      for (int k = 0; k < parts; ++k) {
        const __m256i key = lanes_of::load(keys[k] + 8 * c);
        for (int i = 0; i < dims; ++i) {
          const __m256 q =
              lanes_of::template pick<grid>(lanes_of::template odd_levels<grid>(), _mm256_srli_epi32(key, bits * i));
          const __m256 wq = _mm256_mul_ps(_mm256_broadcast_ss(weight + dims * k + i), q);
          sum_wqx = _mm256_add_ps(sum_wqx, _mm256_mul_ps(_mm256_broadcast_ss(weighted + dims * k + i), q));
          sum_wqq = _mm256_add_ps(sum_wqq, _mm256_mul_ps(wq, q));
        }
      }
      const __m256 f = _mm256_div_ps(sum_wqx, sum_wqq);
      _mm256_store_ps(wqx + 8 * c, sum_wqx), _mm256_store_ps(wqq + 8 * c, sum_wqq);
      _mm256_store_ps(fit + 8 * c, f), _mm256_store_ps(explained + 8 * c, _mm256_mul_ps(f, sum_wqx));
    }
    // One that is ahead of all others by more than rounding is what the comparisons one by one would end with.
    __m256 most_explained = _mm256_setzero_ps();
    for (int s = candidates; s < lanes; ++s) explained[s] = 0.0f;
    for (int c = 0; c < chunks; ++c) most_explained = _mm256_max_ps(_mm256_load_ps(explained + 8 * c), most_explained);
    most_explained = lanes_of::largest(most_explained);
    const __m256 limit = _mm256_mul_ps(most_explained, _mm256_set1_ps(1.0f - 0x1p-18f));
    std::uint32_t close = 0;
    for (int c = 0; c < chunks; ++c)
      close |= lanes_of::bits(_mm256_cmp_ps(_mm256_load_ps(explained + 8 * c), limit, _CMP_NLT_UQ)) << (8 * c);
    const float ahead = _mm256_cvtss_f32(most_explained);
    if (close != 0 && (close & (close - 1)) == 0 && ahead > 1e-20f && ahead < 1e20f) {
      const int chosen = __builtin_ctz(close);
      scale = fit[chosen];
      return chosen;
    }
    int chosen = -1;
    float best = 0.0f;
    for (int s = 0; s < candidates; ++s)
      if (wqq[s] > 0.0f && wqx[s] * wqx[s] > best * wqq[s]) chosen = s, scale = fit[s], best = scale * wqx[s];
    return chosen;
  }

  /// Rounds some parts once more and fits the scale anew.
  NBIT_INLINE float refine(float scale, std::uint32_t again, const float* weighted, std::int32_t* final_keys) const {
    NBIT_EXACT
    const float once = 1.0f / scale;
    std::int32_t rounded[parts];
    for (int i = 0; i < run; i += 8) {
      __m256i level = lanes_of::template rounded<grid, true>(_mm256_set1_ps(0.5f * once), _mm256_loadu_ps(x + i));
      if constexpr (dims == 8)
        level = _mm256_sllv_epi32(level, _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
      else
        level = _mm256_sllv_epi32(level, _mm256_setr_epi32(0, 3, 6, 9, 0, 3, 6, 9));
      level = _mm256_or_si256(level, _mm256_shuffle_epi32(level, 0x4e));
      level = _mm256_or_si256(level, _mm256_shuffle_epi32(level, 0xb1));
      const int low = _mm256_cvtsi256_si32(level), high = _mm_cvtsi128_si32(_mm256_extracti128_si256(level, 1));
      rounded[i / dims] = dims == 8 ? low | high : low;
      if constexpr (dims == 4) rounded[i / dims + 1] = high;
    }
    for (int k = 0; k < parts; ++k) {
      if ((again >> k & 1u) == 0) continue;
      final_keys[k] = nearest(memo->at(static_cast<unsigned>(rounded[k])), k, scale);
    }
    float wqx = 0.0f, wqq = 0.0f;
    for (int k = 0; k < parts; ++k)
      for (int i = 0; i < dims; ++i) {
        const float q = static_cast<float>(2 * (final_keys[k] >> (bits * i) & ((1 << bits) - 1)) + 1);
        wqx += weighted[dims * k + i] * q;
        wqq += weight[dims * k + i] * q * q;
      }
    return wqq > 0.0f ? wqx / wqq : scale;
  }
};

/// lattice_steps with vectors.
template <class Grid>
struct lattice_lane_steps<NBIT_ARCH, Grid> {
  using m = lane_math<NBIT_ARCH>;
  using lanes_of = lattice_lanes<NBIT_ARCH>;

  const encode_batch& batch;
  ggml_block::neighbour_memo<Grid>& memo;
  float sums_of_squares[16];
  std::size_t group, found_from;  // found_from: the first of the groups whose first_scales are there
  float first_scales[16];

  template <class Search>
  float variance(const float*) const {
    return variance_of<Search>(group);
  }
  template <class Search>
  static void weigh(const float* x, const float* importance, float variance, float* weight, float* root) {
    if (importance == nullptr) Search::weights(x, variance, weight);
    for (int i = 0; i < Search::run; i += 16) {
      const auto v = m::load(x + i);
      if (importance != nullptr)
        m::store(weight + i, m::mul(m::load(importance + i), m::sqrt(m::add(m::broadcast(variance), m::mul(v, v)))));
      m::store(root + i, m::sqrt(m::load(weight + i)));
    }
  }
  template <class Search>
  static void split(const float* x, const float* weight, float* magnitude, std::uint8_t* signs) {
    for (int k = 0; k < Search::run / 8; ++k) {
      const __m256 v = _mm256_loadu_ps(x + 8 * k), zero = _mm256_setzero_ps();
      unsigned minus = unsigned(_mm256_movemask_ps(_mm256_cmp_ps(v, zero, _CMP_LT_OQ)));
      _mm256_storeu_ps(magnitude + 8 * k, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v));
      if constexpr (Search::parity) {
        if ((__builtin_popcount(minus) & 1) != 0) {
          const __m256 cost = _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(weight + 8 * k), v), v);
          const __m256 least = lanes_of::smallest(cost);
          const int cheapest = __builtin_ctz(lanes_of::bits(_mm256_cmp_ps(cost, least, _CMP_EQ_OQ)) | 256u) & 7;
          magnitude[8 * k + cheapest] = -magnitude[8 * k + cheapest];
          minus ^= 1u << cheapest;
        }
        minus &= 127u;
      }
      signs[k] = static_cast<std::uint8_t>(minus);
    }
  }
  /// Those of two groups are found when the first is asked for: a lane for each run.
  template <class Search>
  float first_scale(const float*, const float*, int r) {
    constexpr std::size_t runs = 256 / Search::run, from = 16 / runs;
    if (group / from * from != found_from) find_first_scales<Search>(group / from * from);
    return first_scales[group % from * runs + std::size_t(r)];
  }
  template <class Search>
  float search(const float* magnitude, const float* weight, const float* root, float size, float scale,
               std::uint16_t* points) const {
    lattice_run<NBIT_ARCH, Search> run;  // its arrays are written before they are read
    run.x = magnitude, run.weight = weight, run.root = root, run.memo = &memo;
    return run.search(size, scale, points);
  }

 private:
  template <class Search>
  float variance_of(std::size_t g) const {
    NBIT_EXACT
    return Search::variance * sums_of_squares[g] / 256.0f;
  }
  template <class Search>
  void find_first_scales(std::size_t from) {
    constexpr int run = Search::run, runs = 256 / run, levels = Search::grid::levels + 1;
    alignas(64) float weight[16][run], magnitude[16][run], weights[16 * run], magnitudes[16 * run];
    std::uint8_t codes[16 * run];
    const float *weight_rows[16], *magnitude_rows[16];
    for (int i = 0; i < 16; ++i) {
      const std::size_t g = from + std::size_t(i / runs);
      const int at = i % runs * run;
      const float* importance = batch.importance[g] != nullptr ? batch.importance[g] + at : nullptr;
      std::uint8_t signs[run / 8];
      weigh<Search>(batch.x[g] + at, importance, variance_of<Search>(g), weight[i], magnitudes);
      split<Search>(batch.x[g] + at, weight[i], magnitude[i], signs);
      weight_rows[i] = weight[i], magnitude_rows[i] = magnitude[i];
    }
    using search_of = lane_search<NBIT_ARCH>;
    search_of::template columns<run>(weight_rows, weights),
        search_of::template columns<run>(magnitude_rows, magnitudes);
    auto odd = m::less(m::zero(), m::zero());
    m::store(first_scales, search_of::template positive<run, levels, true>(magnitudes, weights, codes, odd));
    for (unsigned left = m::bits(odd); left != 0; left &= left - 1) {
      const int i = __builtin_ctz(left);
      first_scales[i] = ggml_block::positive_search<run, levels>(magnitude[i], weight[i], codes);
    }
    found_from = from;
  }
};

template <class F>
  requires(detail::is_one_of<F, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s>)
struct group_encoder<NBIT_ARCH, F> {
  using m = lane_math<NBIT_ARCH>;
  using grid = typename F::grid;
  // Where weights or importances are larger, sums may overflow: left to the definition.
  static constexpr float limit = 1e12f;

  static void encode(const encode_batch& b) {
    lattice_lane_steps<NBIT_ARCH, grid> steps{
        b, *static_cast<ggml_block::neighbour_memo<grid>*>(b.memo), {}, 0, encode_batch::width, {}};
    m::store(steps.sums_of_squares, lane_search<NBIT_ARCH>::template sums_of_squares<256>(b.x));
    for (std::size_t g = 0; g < b.count; ++g) {
      typename F::params p;
      code_t<F> codes[F::group / F::step];
      steps.group = g;
      if (steps.sums_of_squares[g] < limit && (b.importance[g] == nullptr || below_limit(b.importance[g])))
        F::encode_block(b.x[g], b.importance[g], 0.0f, p, codes, steps);
      else
        F::encode_block(b.x[g], b.importance[g], 0.0f, p, codes);
      F::store(b.to[g], p, codes);
    }
  }

 private:
  static bool below_limit(const float* x) {
    auto most = m::load(x);
    for (int i = 16; i < 256; i += 16) most = m::larger(most, m::load(x + i));
    return m::largest(most) < limit;
  }
};

#endif
}  // namespace NBIT_TAG
}  // namespace nbit
