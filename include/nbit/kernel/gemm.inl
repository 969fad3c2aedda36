// nbit/kernel/gemm.inl — the generic gemm; included by kernel/gemm.hpp once per target.
//
// Weights are decoded once into a panel [column][output]; lanes are outputs, so each output's chain of additions runs
// over rising columns whatever the tile. Tile: `tokens` rows of X times `vectors` * 16 outputs, all sums in registers.
//   AVX-512  6 x 4 vectors = 24 of 32 zmm      AVX2  6 x 1 (two ymm each) = 12 of 16 ymm
//   NEON     6 x 1 (four q each) = 24 of 32 q
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct panel_product<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;
#if NBIT_TARGET == 2
  static constexpr std::size_t vectors = 4, tile_tokens = 6;
#elif NBIT_TARGET == 1 || NBIT_TARGET == 3
  static constexpr std::size_t vectors = 1, tile_tokens = 6;
#else
  static constexpr std::size_t vectors = 1, tile_tokens = 4;
#endif
  static constexpr std::size_t width = vectors * lane_count;

  /// y(m, first + n) for n < count. fill(n, outputs, c, depth, panel) writes weights of outputs n ... and columns c ...
  /// as panel[column][width]; Depth: columns it is asked for at most.
  template <std::size_t Depth, class Fill>
  static void block(std::size_t cols, std::size_t first, std::size_t count, matrix_view<const float> x,
                    matrix_view<float> y, Fill fill) noexcept {
    if (cols == 0) {
      for (std::size_t m = 0; m < y.rows; ++m)
        for (std::size_t n = 0; n < count; ++n) y(m, first + n) = 0.0f;
    }
    alignas(64) float panel[Depth * width];
    for (std::size_t n = 0; n < count; n += width) {
      const std::size_t outputs = count - n < width ? count - n : width;
      for (std::size_t c = 0; c < cols; c += Depth) {
        const std::size_t depth = cols - c < Depth ? cols - c : Depth;
        fill(n, outputs, c, depth, panel);
        std::size_t m = 0;
        for (; m + tile_tokens <= x.rows; m += tile_tokens)
          tile<tile_tokens>(panel, depth, &x(m, c), x.stride, &y(m, first + n), y.stride, outputs, c == 0);
        for (; m < x.rows; ++m) tile<1>(panel, depth, &x(m, c), x.stride, &y(m, first + n), y.stride, outputs, c == 0);
      }
    }
  }

 private:
  NBIT_INLINE static typename vec::type load_part(const float* p, std::size_t n) {
    if (n >= lane_count) return vec::load(p);
    float whole[lane_count] = {};
    for (std::size_t i = 0; i < n; ++i) whole[i] = p[i];
    return vec::load(whole);
  }
  NBIT_INLINE static void store_part(float* p, std::size_t n, typename vec::type v) {
    if (n >= lane_count) return vec::store(p, v);
    float whole[lane_count];
    vec::store(whole, v);
    for (std::size_t i = 0; i < n; ++i) p[i] = whole[i];
  }

  template <std::size_t Tokens>
  static void tile(const float* panel, std::size_t depth, const float* x, std::size_t x_stride, float* y,
                   std::size_t y_stride, std::size_t outputs, bool fresh) noexcept {
    typename vec::type sum[Tokens][vectors];
    for (std::size_t t = 0; t < Tokens; ++t)
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t left = outputs > v * lane_count ? outputs - v * lane_count : 0;
        sum[t][v] = fresh ? vec::zero() : load_part(y + t * y_stride + v * lane_count, left);
      }
    for (std::size_t k = 0; k < depth; ++k)
      step(panel + k * width, x + k, x_stride, sum, std::make_index_sequence<Tokens>{});
    for (std::size_t t = 0; t < Tokens; ++t)
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t left = outputs > v * lane_count ? outputs - v * lane_count : 0;
        if (left != 0) store_part(y + t * y_stride + v * lane_count, left, sum[t][v]);
      }
  }

  // One column: unrolled by index sequences, so that the sums stay in registers at -O2 on both compilers.
  template <std::size_t Tokens, std::size_t... T>
  NBIT_INLINE static void step(const float* w, const float* x, std::size_t x_stride,
                               typename vec::type (&sum)[Tokens][vectors], std::index_sequence<T...>) {
    step_vectors(w, x, x_stride, sum, std::make_index_sequence<vectors>{}, std::index_sequence<T...>{});
  }
  template <std::size_t Tokens, std::size_t... V, std::size_t... T>
  NBIT_INLINE static void step_vectors(const float* w, const float* x, std::size_t x_stride,
                                       typename vec::type (&sum)[Tokens][vectors], std::index_sequence<V...>,
                                       std::index_sequence<T...>) {
    const typename vec::type part[vectors] = {vec::load(w + V * lane_count)...};
    (add_products(vec::broadcast(x[T * x_stride]), part, sum[T], std::index_sequence<V...>{}), ...);
  }
  template <std::size_t... V>
  NBIT_INLINE static void add_products(typename vec::type x, const typename vec::type (&w)[vectors],
                                       typename vec::type (&sum)[vectors], std::index_sequence<V...>) {
    ((sum[V] = vec::fma(x, w[V], sum[V])), ...);
  }
};

template <class Weights>
struct gemm_kernel<NBIT_ARCH, Weights> {
  using product = panel_product<NBIT_ARCH>;
  static constexpr std::size_t chunk = detail::chunk_of<Weights>;

  static void block(const Weights& w, std::size_t first, std::size_t count, matrix_view<const float> x,
                    matrix_view<float> y) noexcept {
    product::template block<chunk>(w.cols, first, count, x, y,
                                   [&](std::size_t n, std::size_t outputs, std::size_t c, std::size_t depth,
                                       float* panel) { fill(w, first + n, outputs, c, depth, panel); });
  }

  template <int Group>
  static void block(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                    matrix_view<float> y) noexcept {
    using gemv_k = gemv_kernel<NBIT_ARCH, Weights>;
    constexpr bool on_blocks = [] {
      if constexpr (requires { gemv_k::template on_blocks<Group>; })
        return gemv_k::template on_blocks<Group>;
      else
        return false;
    }();
    if constexpr (on_blocks) {  // these rows stay in the cache for all tokens
      for (std::size_t m = 0; m < x.rows; ++m)
        block_gemv<typename gemv_k::block_arch, typename Weights::format>::rows(w, first, count, x, m, &y(m, 0));
    } else {
      for (std::size_t n = first; n < first + count; ++n)
        for (std::size_t m = 0; m < x.rows; ++m) y(m, n) = gemv_k::int8_row(w, n, x, m);
    }
  }

 private:
  static void fill(const Weights& w, std::size_t first, std::size_t outputs, std::size_t c, std::size_t depth,
                   float* panel) noexcept {
    constexpr std::size_t width = product::width;
    for (std::size_t n = 0; n < width; ++n) {
      alignas(64) float row[chunk];
      if (n < outputs)
        row_decoder<NBIT_ARCH, Weights>::floats(w, first + n, c, depth, row);
      else
        std::memset(row, 0, depth * sizeof(float));
      for (std::size_t k = 0; k < depth; ++k) panel[k * width + n] = row[k];
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
