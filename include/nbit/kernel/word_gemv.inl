// nbit/kernel/word_gemv.inl — gemv on the words of GPTQ and AWQ; included by kernel/word_gemv.hpp once per target.
// SPDX-License-Identifier: MIT
#if NBIT_TARGET == 1 || NBIT_TARGET == 2

namespace nbit {
inline namespace NBIT_TAG {

template <class F, class L>
  requires(detail::in_words<F, L>)
struct word_gemv<NBIT_ARCH, packed_view<F, L>> {
  using weights = packed_view<F, L>;
  using order = word_order<L, F::bits>;
  using code = code_lanes<NBIT_ARCH>;
  using vec = lanes<NBIT_ARCH>;
  using real = vec::type;
  static constexpr std::size_t tall = 128;  // rows whose chains are kept at a time
  static constexpr std::size_t unit = order::unit, per = order::per;

  static std::size_t rows(const weights& w, std::size_t first, std::size_t count, const float* x, float* y) noexcept {
    return with_floats(w, first, count, given{x}, y);
  }
  template <int Group>
  static std::size_t rows(const weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                          std::size_t m, float* y) noexcept {
    if (w.group_index != nullptr) return with_floats(w, first, count, decoded<Group>{x, m}, y);
    if (!fits(w, first)) return 0;
    const std::size_t n = count / unit * unit;
    for (std::size_t r = 0; r < n; r += tall) integer_rows<Group>(w, first + r, n - r < tall ? n - r : tall, x, m, y);
    return n;
  }

 private:
  static constexpr int half = int(-F::level(0)), top = (1 << F::bits) - 1;
  static constexpr bool offsets = !F::symmetric;

  NBIT_INLINE static bool fits(const weights& w, std::size_t first) {
    return detail::fills_words(w) && first % per == 0;
  }

  /// The scales of sixteen rows and the negated zeros.
  struct group_numbers {
    real scale, less;
  };
  /// Where the rows of each lane lie, counted from the unit's first.
  struct lane_rows {
    alignas(64) std::int32_t of[unit / 16][lane_count];

    template <class Row>
    static constexpr lane_rows from(Row row) {
      lane_rows t{};
      for (std::size_t v = 0; v < unit / 16; ++v)
        for (std::size_t l = 0; l < lane_count; ++l) t.of[v][l] = static_cast<std::int32_t>(row(v, l));
      return t;
    }
  };
  static constexpr lane_rows byte_rows = lane_rows::from(&order::row), whole_rows = lane_rows::from(&order::whole_row);
  // f16 scales, alone or with 16 bits of a zero: gathered. Pieces narrower than the vector that is read would stall.
  static constexpr bool gathers = std::is_same_v<typename F::scale_t, f16> && F::group != per_tensor &&
                                  (sizeof(typename F::params) == 2 || sizeof(typename F::params) == 4);

  NBIT_INLINE static group_numbers numbers(const weights& w, std::size_t first, std::size_t v, std::size_t g,
                                           const lane_rows& rows) {
    const std::size_t groups = groups_per_row<F>(w.cols), r = first + v / (unit / 16) * unit;
    const std::int32_t* const row = rows.of[v % (unit / 16)];
    constexpr std::size_t size = sizeof(typename F::params);
    if constexpr (gathers) {
      if (size == 4 || groups > 1) {
        std::int32_t at[lane_count];
        for (std::size_t l = 0; l < lane_count; ++l) at[l] = row[l] * static_cast<std::int32_t>(groups);
        const bool last = size == 2 && g + 1 == groups;  // two numbers of two bytes: nothing beyond the last is read
        auto found = code::template gather<int(size)>(&w.group_params(r, last ? g - 1 : g), at);
        if (last) found = code::high(found);
        group_numbers n{code::low_f16(found), vec::broadcast(static_cast<float>(-half))};
        if constexpr (offsets) {
          if constexpr (std::is_same_v<typename F::params, float_zero_params<f16>>)
            n.less = code::low_f16(code::high(found));
          else
            n.less = code::to_float(code::high(found));
          n.less = vec::mul(n.less, vec::broadcast(-1.0f));
        }
        return n;
      }
    }
    float scale[lane_count], less[lane_count];
    for (std::size_t l = 0; l < lane_count; ++l) {
      const typename F::params p = w.group_params(r + static_cast<std::size_t>(row[l]), g);
      scale[l] = F::scale(p, 0);
      if constexpr (offsets)
        less[l] = -F::zero(p);
      else
        less[l] = static_cast<float>(-half);
    }
    return {vec::load(scale), vec::load(less)};
  }
  /// Numbers of n rows lie in as many lines: a few groups ahead they are asked for, and those of the next rows.
  static void fetch_numbers(const weights& w, std::size_t first, std::size_t n, std::size_t g) {
    constexpr std::size_t in_line = 64 / sizeof(typename F::params), before = in_line / 2;
    if (F::group == per_tensor || g % in_line != before) return;
    const std::size_t groups = groups_per_row<F>(w.cols);
    const std::size_t to = g - before + in_line, row = first + (to < groups ? 0 : n);
    for (std::size_t r = row; r < row + n; ++r) detail::prefetch_ahead(w.params, r * groups + (to < groups ? to : 0));
  }

  // int8: chains[b % 4][row lane], rows in the order of order::row.

  static constexpr std::size_t wide = 4096;  // columns for which the activations are kept on the stack
  static constexpr std::size_t planes = 8 / std::size_t(F::bits);
  // AWQ: the planes whose sums stay in registers together.
  static constexpr std::size_t together = !order::along_columns && NBIT_TARGET == 2 ? planes : 1;

  struct numbers_of_rows {
    alignas(64) float scale[tall], offset[tall];
  };

  template <int Group>
  static void integer_rows(const weights& w, std::size_t first, std::size_t n, const int8_activations<Group>& x,
                           std::size_t m, float* y) noexcept {
    constexpr std::size_t length = detail::int8_blocks<F, Group>::length;
    alignas(64) float chains[4 * tall];
    for (std::size_t i = 0; i < 4 * tall; i += lane_count) vec::store(chains + i, vec::zero());
    const std::size_t group = group_length<F>(w.cols), stride = order::stride(w.padded());
    const auto* const words = w.words + order::first_word(first);
    numbers_of_rows of;
    for (std::size_t c = 0; c < w.cols; c += wide) {
      const std::size_t some = w.cols - c < wide ? w.cols - c : wide;
      alignas(64) std::int8_t codes[wide];
      arrange(x.row_codes(m) + c, some, codes);
      for (std::size_t at = 0; at < some; at += length) {
        const std::size_t b = (c + at) / length, end = at + length < some ? at + length : some;
        if ((c + at) % group == 0) load_numbers(w, first, n, (c + at) / group, of);
        int sum = 0;
        for (std::size_t k = (c + at) / 16; k < (c + end) / 16; ++k) sum += x.row_sums(m)[k];
        const float by = x.scale16(m, (c + at) / 16);
        const block_of k{words,      stride,
                         c + at,     end - at,
                         codes + at, (code::template centre<top> - half) * sum,
                         by,         by * static_cast<float>(sum)};
        float* const to = chains + b % 4 * tall;
        std::size_t v = 0;
        if constexpr (order::along_columns)
          for (; v + 4 <= n / 16; v += 4) block<4, length>(k, v, of, to);
        constexpr std::size_t step = order::along_columns ? 1 : 4 * together;
        for (; v < n / 16; v += step) block<step, length>(k, v, of, to);
      }
    }
    for (std::size_t v = 0; v < n / 16; ++v) {
      const float* const from = chains + 16 * v;
      const real sum = vec::add(vec::add(vec::load(from), vec::load(from + 2 * tall)),
                                vec::add(vec::load(from + tall), vec::load(from + 3 * tall)));
      put(sum, y + first, v, byte_rows);
    }
  }
  NBIT_INLINE static void put(real sum, float* y, std::size_t v, const lane_rows& rows) {
    float lane[lane_count];
    vec::store(lane, sum);
    float* const to = y + v / (unit / 16) * unit;
    for (std::size_t l = 0; l < lane_count; ++l) to[rows.of[v % (unit / 16)][l]] = lane[l];
  }

  static void load_numbers(const weights& w, std::size_t first, std::size_t n, std::size_t g, numbers_of_rows& of) {
    fetch_numbers(w, first, n, g);
    for (std::size_t v = 0; v < n / 16; ++v) {
      const group_numbers p = numbers(w, first, v, g, byte_rows);
      vec::store(of.scale + 16 * v, p.scale);
      if constexpr (offsets)
        vec::store(of.offset + 16 * v, vec::mul(p.scale, vec::add(vec::broadcast(static_cast<float>(half)), p.less)));
    }
  }

  /// Four columns that meet in one lane become neighbours: of every `per` codes, plane by plane.
  static void arrange(const std::int8_t* x, std::size_t n, std::int8_t* out) {
    if constexpr (!order::along_columns || planes == 1) {
      std::memcpy(out, x, n);
    } else {
      static constexpr auto place = [] {
        struct {
          alignas(16) std::int8_t of[16];
        } t{};
        for (std::size_t i = 0; i < 16; ++i)
          t.of[i] = static_cast<std::int8_t>(i / per * per + i % 4 * planes + i % per / 4);
        return t;
      }();
      const __m128i by = _mm_load_si128(reinterpret_cast<const __m128i*>(place.of));
      for (std::size_t i = 0; i < n; i += 16) {
        const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
        _mm_store_si128(reinterpret_cast<__m128i*>(out + i), _mm_shuffle_epi8(v, by));
      }
    }
  }

  /// One block of columns: what its sums start from, and what they are multiplied with.
  struct block_of {
    const typename weights::map::word* words;
    std::size_t stride, c, n;
    const std::int8_t* x;
    int start;
    float by, offset_by;
  };
  template <std::size_t V, std::size_t Length>
  NBIT_INLINE static void block(const block_of& k, std::size_t v, const numbers_of_rows& of, float* chains) {
    typename code::sums sum[V];
    NBIT_UNROLL
    for (std::size_t i = 0; i < V; ++i) sum[i] = code::start(k.start);
    // As many columns as may be added before partial sums overflow.
    constexpr std::size_t stretch = Length % 32 == 0 ? 32 : 16;
    for (std::size_t c = 0; c < k.n; c += stretch) {
      typename code::partial part[V];
      NBIT_UNROLL
      for (std::size_t i = 0; i < V; ++i) part[i] = code::none();
      if constexpr (order::along_columns)
        along_columns<V, stretch>(k.words + order::word(k.c + c, v, k.stride), k.stride, k.x + c, sum, part);
      else
        along_rows<V, stretch>(k.words + order::word(k.c + c, v, k.stride), k.stride, v % per / 4, k.x + c, sum, part);
      NBIT_UNROLL
      for (std::size_t i = 0; i < V; ++i) code::template flush<top>(sum[i], part[i]);
    }
    const real by = vec::broadcast(k.by), offset_by = vec::broadcast(k.offset_by);
    NBIT_UNROLL
    for (std::size_t i = 0; i < V; ++i) {
      const std::size_t at = 16 * (v + i);
      real chain = vec::load(chains + at);
      chain = vec::fma(vec::mul(vec::load(of.scale + at), by), code::to_float(sum[i]), chain);
      if constexpr (offsets) chain = vec::fma(vec::load(of.offset + at), offset_by, chain);
      vec::store(chains + at, chain);
    }
  }
  template <std::size_t V, std::size_t Columns, class Word>
  NBIT_INLINE static void along_columns(const Word* words, std::size_t stride, const std::int8_t* x,
                                        typename code::sums (&sum)[V], typename code::partial (&part)[V]) {
    NBIT_UNROLL
    for (std::size_t i = 0; i < Columns / per; ++i) {
      NBIT_UNROLL
      for (std::size_t v = 0; v < V; ++v) {
        detail::prefetch_ahead<2>(words, (i + ahead / per) * stride + 16 * v);
        const auto codes = code::load(words + i * stride + 16 * v);
        each_plane<0>(codes, x + i * per, sum[v], part[v]);
      }
    }
  }
  template <std::size_t Plane>
  NBIT_INLINE static void each_plane(const typename code::bytes& codes, const std::int8_t* x, typename code::sums& sum,
                                     typename code::partial& part) {
    code::template step<top>(sum, part, plane<Plane>(codes), x + 4 * Plane);
    if constexpr (Plane + 1 < planes) each_plane<Plane + 1>(codes, x, sum, part);
  }
  template <std::size_t Plane>
  NBIT_INLINE static typename code::bytes plane(const typename code::bytes& codes) {
    return code::template centred<top>(code::template field<int(Plane) * F::bits, F::bits, 0>(codes));
  }
  template <std::size_t V, std::size_t Columns, class Word>
  NBIT_INLINE static void along_rows(const Word* words, std::size_t stride, std::size_t at, const std::int8_t* x,
                                     typename code::sums (&sum)[V], typename code::partial (&part)[V]) {
    NBIT_UNROLL
    for (std::size_t c = 0; c < Columns; c += 4) {
      for (std::size_t j = 0; j < 4; ++j) detail::prefetch_ahead<2>(words, (c + j + ahead) * stride);
      typename code::bytes four[4];
      NBIT_UNROLL
      for (std::size_t j = 0; j < 4; ++j) four[j] = code::load(words + (c + j) * stride);
      code::transpose(four);
      NBIT_UNROLL
      for (std::size_t u = 0; u < 4; ++u) {
        if constexpr (V == 4 * planes)
          rows_planes<0>(four[u], u, x + c, sum, part);
        else if (at == 0)
          code::template step<top>(sum[u], part[u], plane<0>(four[u]), x + c);
        else
          code::template step<top>(sum[u], part[u], plane<planes - 1>(four[u]), x + c);
      }
    }
  }
  template <std::size_t Plane, std::size_t V>
  NBIT_INLINE static void rows_planes(const typename code::bytes& codes, std::size_t u, const std::int8_t* x,
                                      typename code::sums (&sum)[V], typename code::partial (&part)[V]) {
    code::template step<top>(sum[4 * Plane + u], part[4 * Plane + u], plane<Plane>(codes), x);
    if constexpr (Plane + 1 < planes) rows_planes<Plane + 1>(codes, u, x, sum, part);
  }

  // Word rows lie far apart, where the machine's own prefetching does not see them as one stream. Beyond the weights,
  // too, where nothing happens.
  static constexpr std::size_t ahead = 128;  // columns; into the second cache, as word rows may share sets of the first

  // f32: chains[column % 16][row lane], rows in the order of order::whole_row.

  struct given {
    const float* x;
    NBIT_INLINE const float* columns(std::size_t c, std::size_t, float*) const { return x + c; }
  };
  template <int Group>
  struct decoded {
    const int8_activations<Group>& x;
    std::size_t m;
    const float* columns(std::size_t c, std::size_t n, float* out) const {
      for (std::size_t i = 0; i < n; ++i)
        out[i] = x.scale16(m, (c + i) / 16) * static_cast<float>(x.row_codes(m)[c + i]);
      return out;
    }
  };

  static constexpr std::size_t most_numbers = 8192;  // of scales, and as many zeros, on the stack

  template <class X>
  static std::size_t with_floats(const weights& w, std::size_t first, std::size_t count, const X& x, float* y) {
    const std::size_t groups = w.group_index == nullptr ? 1 : groups_per_row<F>(w.cols);
    std::size_t most = groups == 0 ? tall : most_numbers / groups / unit * unit;
    if (most > tall) most = tall;
    if (!fits(w, first) || most == 0) return 0;
    const std::size_t n = count / unit * unit;
    for (std::size_t r = 0; r < n; r += most) {
      const std::size_t some = n - r < most ? n - r : most;
      if (w.group_index == nullptr)
        float_rows<false>(w, first + r, some, x, y);
      else
        float_rows<true>(w, first + r, some, x, y);
    }
    return n;
  }

  template <bool Indexed, class X>
  static void float_rows(const weights& w, std::size_t first, std::size_t n, const X& x, float* y) noexcept {
    constexpr std::size_t at_once = NBIT_TARGET == 2 ? 16 : 4, chunk = 128;  // chains in registers; columns
    alignas(64) float chains[16 * tall];
    alignas(64) float scale[Indexed ? most_numbers : tall], less[Indexed ? most_numbers : tall];
    for (std::size_t i = 0; i < 16 * tall; i += lane_count) vec::store(chains + i, vec::zero());
    const std::size_t group = group_length<F>(w.cols);
    if constexpr (Indexed)
      for (std::size_t g = 0; g < groups_per_row<F>(w.cols); ++g)
        load_groups(w, first, n, g, scale + g * n, less + g * n);
    for (std::size_t c = 0, some; c < w.cols; c += some) {
      some = w.cols - c < chunk ? w.cols - c : chunk;
      const std::uint32_t* index = nullptr;
      if constexpr (Indexed) {
        index = w.group_index + c;
      } else {
        if (c % group == 0) load_groups(w, first, n, c / group, scale, less);
        const std::size_t left = group - c % group;
        some = left < some ? left : some;
      }
      alignas(64) float buffer[chunk];
      const float* const part = x.columns(c, some, buffer);
      word_rows at{w.words + order::first_word(first), order::stride(w.padded()), c};
      alignas(64) typename weights::map::word kept[order::along_columns ? 1 : chunk * tall / per];
      if constexpr (!order::along_columns) at = copied(at, some, n / per, kept);
      for (std::size_t v = 0; v < n / 16; ++v)
        for (std::size_t h = 0; h < 16; h += at_once)
          columns<Indexed, at_once>(at, some, v, h, index, n, scale + 16 * v, less + 16 * v, part, chains + 16 * v);
    }
    for (std::size_t v = 0; v < n / 16; ++v) {
      real sum[16];
      for (std::size_t i = 0; i < 16; ++i) sum[i] = vec::load(chains + i * tall + 16 * v);
      for (std::size_t k = 8; k != 0; k /= 2)
        for (std::size_t i = 0; i < k; ++i) sum[i] = vec::add(sum[i], sum[i + k]);
      put(sum[0], y + first, v, whole_rows);
    }
  }
  static void load_groups(const weights& w, std::size_t first, std::size_t n, std::size_t g, float* scale,
                          float* less) {
    fetch_numbers(w, first, n, g);
    for (std::size_t v = 0; v < n / 16; ++v) {
      const group_numbers p = numbers(w, first, v, g, whole_rows);
      vec::store(scale + 16 * v, p.scale), vec::store(less + 16 * v, p.less);
    }
  }

  struct word_rows {
    const typename weights::map::word* words;
    std::size_t stride, c;
  };
  // A vector for each of eight rows goes over the same words: lines a power of two apart would not stay in the cache.
  static word_rows copied(word_rows from, std::size_t columns, std::size_t n, typename weights::map::word* to) {
    for (std::size_t c = 0; c < columns; ++c) {
      const auto* const line = from.words + (from.c + c) * from.stride;
      detail::prefetch_ahead<2>(line, ahead * from.stride);
      std::memcpy(to + c * n, line, n * sizeof *line);
    }
    return {to, n, 0};
  }

  // Chains h ... h + N - 1 of vector v.
  template <bool Indexed, std::size_t N>
  static void columns(const word_rows& w, std::size_t n, std::size_t v, std::size_t h, const std::uint32_t* index,
                      std::size_t apart, const float* scale, const float* less, const float* x,
                      float* chains) noexcept {
    real sum[N];
    NBIT_UNROLL
    for (std::size_t i = 0; i < N; ++i) sum[i] = vec::load(chains + (h + i) * tall);
    real s = vec::load(scale), z = vec::load(less);
    for (std::size_t k = 0; k < n; k += 16) {
      const auto* const words = w.words + order::word(w.c + k + h, v, w.stride);
      if constexpr (order::along_columns)
        if (h == 0)
          for (std::size_t i = 0; i < 16; i += per) detail::prefetch_ahead<2>(words, (i + ahead) / per * w.stride);
      NBIT_UNROLL
      for (std::size_t i = 0; i < N; ++i) {
        if constexpr (Indexed) {
          const std::size_t at = index[k + h + i] * apart;
          s = vec::load(scale + at), z = vec::load(less + at);
        }
        const std::size_t row = order::along_columns ? (h % per + i) / per : i;
        const real q = code::template field_at<F::bits>(code::load(words + row * w.stride), order::shift(h + i, v));
        sum[i] = vec::fma(vec::mul(s, vec::add(q, z)), vec::broadcast(x[k + h + i]), sum[i]);
      }
    }
    NBIT_UNROLL
    for (std::size_t i = 0; i < N; ++i) vec::store(chains + (h + i) * tall, sum[i]);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
