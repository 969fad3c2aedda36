// nbit/kernel/bf16_dot.inl — dots of tiles with bf16 activations; included once per target and extension.
//
// A panel holds levels as floats, four columns of sixteen rows after another.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <tile_form W>
struct tile_dot<NBIT_ARCH, W, matrix_view<const bf16>> {
  using base = arch::base_of<NBIT_ARCH>;
  using level = level_lanes<NBIT_ARCH>;
  using vec = lanes<base>;
  using reader = tile_reader<base, W>;
  using real = vec::type;
  static constexpr std::size_t chunk = W.chunk, run = std::size_t(W.run);
  static constexpr bool offsets = W.offset != tile_number::none;
  static constexpr std::size_t direct = level::bits == 16 ? std::size_t(-1) : 1;
  static constexpr std::size_t chains = NBIT_TARGET == 2 ? 4 : 1;  // float sums take longer than integers
  static constexpr int panel_bits = level::bits;
  static constexpr std::size_t panel_span = 256, panel_tiles = 4;

  template <int S>
  NBIT_INLINE static void unpack(const std::byte* block, std::byte* to) {
    level::store(to + S * 8 * panel_bits, step<S>(block));
  }
  NBIT_INLINE static void prefetch(matrix_view<const bf16> x, std::size_t m, std::size_t c, std::size_t n) {
    for (std::size_t i = 0; i < n; i += 32) __builtin_prefetch(&x(m, c + i));
  }

  template <std::size_t T, std::size_t Span>
  struct tokens {
    static constexpr std::size_t stride = Span + 32;
    alignas(64) typename level::activation x[T][stride];
    float sum[T][offsets ? Span / run : 1];

    NBIT_INLINE void set(matrix_view<const bf16> from, std::size_t m, std::size_t count, std::size_t c, std::size_t n) {
      for (std::size_t t = 0; t < count; ++t) set_token(&from(m + t, c), n, t);
    }
    void set_token(const bf16* from, std::size_t n, std::size_t t) {
      for (std::size_t i = 0; i < n; i += W.block) level::expand(from + i, n - i, &x[t][i]);
      if constexpr (offsets) {
        n = (n + W.block - 1) / W.block * W.block;
        for (std::size_t g = 0; g * run < n; ++g) {
          real lane = vec::zero();
          for (std::size_t i = g * run; i < (g + 1) * run && i < n; i += lane_count)
            lane = vec::add(lane, level::to_float(&x[t][i]));
          sum[t][g] = vec::reduce(lane);
        }
      }
    }
  };

  template <std::size_t T, std::size_t V, class K>
  NBIT_INLINE static void span(const std::byte* const (&heads)[V], std::ptrdiff_t next, std::size_t n, const K& k,
                               real (&outer)[T * V]) {
    const std::byte* head[V];
    for (std::size_t v = 0; v < V; ++v) head[v] = heads[v];
    for (std::size_t c = 0; c < n; c += chunk) {
      const std::size_t left = ((n - c < chunk ? n - c : chunk) + W.block - 1) / W.block * W.block;
      for (std::size_t v = 0; v < V; ++v) reader::fetch_head(head[v], next);
      for (std::size_t g = 0; g * run < left; ++g) one_run<T, V>(head, next, left, g, k, c, outer);
      for (std::size_t v = 0; v < V; ++v) head[v] += W.chunk_bytes();
    }
  }

 private:
  static constexpr level_table table = [] {
    level_table t;
    t.bias = W.bias;
    for (int c = 0; c < 64 && W.bits <= 6; ++c) {
      const int byte = W.uneven ? int{W.table[std::size_t(c % 16)]} : c;
      t.of[std::size_t(c)] = bf16::from(static_cast<float>(byte - W.bias)).bits;
    }
    return t;
  }();

  // the levels of step S
  template <int S>
  NBIT_INLINE static level::four step(const std::byte* block) {
    if constexpr (W.bits == panel_bits)
      return level::load(block + S * 8 * panel_bits);
    else if constexpr (panel_bits == 16 && W.bits <= 6)
      return level::template levels<W.bits>(reader::template codes<S>(block), table);
    else
      return level::template levels<8>(reader::template step<S>(block), table);
  }

  template <std::size_t T, std::size_t V, class K>
  NBIT_INLINE static void one_run(const std::byte* const (&head)[V], std::ptrdiff_t next, std::size_t left,
                                  std::size_t g, const K& k, std::size_t c, real (&outer)[T * V]) {
    real inner[T * V];
    NBIT_UNROLL
    for (std::size_t i = 0; i < T * V; ++i) inner[i] = vec::zero();
    if constexpr (run >= W.block) {
      for (std::size_t at = g * run; at < (g + 1) * run && at < left; at += W.block)
        steps<0, 8, T, V, K::stride>(head, next, at / W.block, &k.x[0][c + at], inner);
    } else if (g % 2 == 0) {
      steps<0, 4, T, V, K::stride>(head, next, g / 2, &k.x[0][c + g * run], inner);
    } else {
      steps<4, 4, T, V, K::stride>(head, next, g / 2, &k.x[0][c + g * run], inner);
    }
    NBIT_UNROLL
    for (std::size_t v = 0; v < V; ++v) {
      const real scale = reader::scale(head[v], g);
      NBIT_UNROLL
      for (std::size_t t = 0; t < T; ++t) outer[t * V + v] = vec::fma(inner[t * V + v], scale, outer[t * V + v]);
      if constexpr (offsets) {
        const real offset = reader::offset(head[v], g, scale);
        NBIT_UNROLL
        for (std::size_t t = 0; t < T; ++t)
          outer[t * V + v] = vec::fma(offset, vec::broadcast(k.sum[t][c / run + g]), outer[t * V + v]);
      }
    }
  }

  // Steps First ... First + Count - 1 of block b; x: the activations of the first of them.
  template <int First, int Count, std::size_t T, std::size_t V, std::size_t Stride>
  NBIT_INLINE static void steps(const std::byte* const (&head)[V], std::ptrdiff_t next, std::size_t b,
                                const level::activation* x, real (&inner)[T * V]) {
    const std::byte* block[V];
    NBIT_UNROLL
    for (std::size_t v = 0; v < V; ++v) {
      block[v] = head[v] + W.head_bytes() + b * W.block_bytes();
      reader::template fetch<First, Count>(block[v], next);
    }
    register_tile<NBIT_ARCH>::template each<std::size_t(Count)>([&](auto s) __attribute__((always_inline)) {
      constexpr int at = static_cast<int>(std::size_t(s));
      typename level::four w[V];
      NBIT_UNROLL
      for (std::size_t v = 0; v < V; ++v) w[v] = step<First + at>(block[v]);
      register_tile<NBIT_ARCH>::template each<level::parts>([&](auto part) __attribute__((always_inline)) {
        NBIT_UNROLL
        for (std::size_t i = 0; i < T * V; ++i)
          level::template dot<std::size_t(part)>(inner[i], w[i % V], x + i / V * Stride + 4 * at);
      });
    });
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
