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

  /// y(m, first + n) for n < count; x: float, bf16 or int8 activations. fill(n, outputs, c, depth, panel) writes
  /// weights of outputs n ... and columns c ... as panel[column][width]; Depth: columns it is asked for at most.
  template <std::size_t Depth, class X, class Fill>
  static void block(std::size_t cols, std::size_t first, std::size_t count, const X& x, matrix_view<float> y,
                    Fill fill) noexcept {
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
        const std::size_t pieces = (x.rows + tile_tokens - 1) / tile_tokens;  // of nearly equal size
        for (std::size_t i = 0; i < pieces; ++i) {
          const std::size_t m = i * x.rows / pieces, tokens = (i + 1) * x.rows / pieces - m;
          const auto multiply = [&](const float* rows, std::size_t stride) {
            sized<tile_tokens>(tokens, panel, depth, rows, stride, &y(m, first + n), y.stride, outputs, c == 0);
          };
          if constexpr (std::is_same_v<X, matrix_view<const float>>) {
            multiply(&x(m, c), x.stride);
          } else {
            float rows[tile_tokens * Depth];
            for (std::size_t t = 0; t < tokens; ++t) widen(x, m + t, c, depth, rows + t * Depth);
            multiply(rows, Depth);
          }
        }
      }
    }
  }

 private:
  static void widen(matrix_view<const bf16> x, std::size_t m, std::size_t c, std::size_t n, float* to) noexcept {
    const bf16* const from = &x(m, c);
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count)
      for (std::size_t j = 0; j < lane_count; ++j) to[i + j] = float(from[i + j]);
    for (; i < n; ++i) to[i] = float(from[i]);
  }
  template <int Group>
  static void widen(const int8_activations<Group>& x, std::size_t m, std::size_t c, std::size_t n, float* to) noexcept {
    const std::int8_t* const from = x.row_codes(m) + c;
    for (std::size_t i = 0; i < n; ++i) to[i] = x.scale16(m, (c + i) / 16) * static_cast<float>(from[i]);
  }
  template <std::size_t Tokens>
  NBIT_INLINE static void sized(std::size_t count, const float* panel, std::size_t depth, const float* x,
                                std::size_t x_stride, float* y, std::size_t y_stride, std::size_t outputs,
                                bool fresh) noexcept {
    if (count == Tokens) return tile<Tokens>(panel, depth, x, x_stride, y, y_stride, outputs, fresh);
    if constexpr (Tokens > 1) sized<Tokens - 1>(count, panel, depth, x, x_stride, y, y_stride, outputs, fresh);
  }

  template <std::size_t Tokens>
  static void tile(const float* panel, std::size_t depth, const float* x, std::size_t x_stride, float* y,
                   std::size_t y_stride, std::size_t outputs, bool fresh) noexcept {
    using sums = typename vec::type[Tokens * vectors];
    register_tile<NBIT_ARCH>::template with<Tokens, vectors>(
        y, y_stride, outputs, fresh, [&](sums& sum) __attribute__((always_inline)) {
          for (std::size_t k = 0; k < depth; ++k) {
            typename vec::type w[vectors];
            NBIT_UNROLL
            for (std::size_t v = 0; v < vectors; ++v) w[v] = vec::load(panel + k * width + v * lane_count);
            NBIT_UNROLL
            for (std::size_t i = 0; i < Tokens * vectors; ++i)
              sum[i] = vec::fma(vec::broadcast(x[i / vectors * x_stride + k]), w[i % vectors], sum[i]);
          }
        });
  }
};

template <class Weights>
struct gemm_kernel<NBIT_ARCH, Weights> {
  using product = panel_product<NBIT_ARCH>;
  static constexpr std::size_t chunk = detail::chunk_of<Weights>;
  /// A piece holds a whole unit of word_gemv's rows.
  static constexpr std::size_t outputs = has_word_gemv<NBIT_ARCH, Weights> ? 128 : detail::gemm_outputs;

  /// x: float or bf16.
  template <class T>
  static void block(const Weights& w, std::size_t first, std::size_t count, matrix_view<const T> x,
                    matrix_view<float> y) noexcept {
    product::template block<chunk>(w.cols, first, count, x, y,
                                   [&](std::size_t n, std::size_t some, std::size_t c, std::size_t depth,
                                       float* panel) { fill(w, first + n, some, c, depth, panel); });
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
      if (gemv_k::natural_groups(w)) return on_blocks_of<gemv_k>(w, first, count, x, y);
      for (std::size_t n = first; n < first + count; ++n)
        for (std::size_t m = 0; m < x.rows; ++m) y(m, n) = gemv_k::float_row(w, n, x, m);
    } else {
      if constexpr (has_word_gemv<NBIT_ARCH, Weights>) {  // these rows stay in the cache for all tokens
        for (std::size_t m = 0; m < x.rows; ++m) gemv_k::token(w, first, count, x, m, &y(m, 0));
      } else {
        for (std::size_t n = first; n < first + count; ++n)
          for (std::size_t m = 0; m < x.rows; ++m) y(m, n) = gemv_k::int8_row(w, n, x, m);
      }
    }
  }

 private:
  template <class Gemv, int Group>
  static void on_blocks_of(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                           matrix_view<float> y) noexcept {
    using rows_of = block_gemv<typename Gemv::block_arch, Weights>;
    for (std::size_t m = 0, step; m < x.rows; m += step) {
      const std::size_t left = x.rows - m;
      step = left > 2 ? rows_of::tokens : left;
      float* const to = &y(m, 0);
      if (step == 1)
        rows_of::template rows<1>(w, first, count, x, m, left, to, y.stride);
      else if (step == 2)
        rows_of::template rows<2>(w, first, count, x, m, left, to, y.stride);
      else
        rows_of::template rows<rows_of::tokens>(w, first, count, x, m, left, to, y.stride);
    }
  }

  static void fill(const Weights& w, std::size_t first, std::size_t some, std::size_t c, std::size_t depth,
                   float* panel) noexcept {
    constexpr std::size_t width = product::width;
    for (std::size_t n = 0; n < width; ++n) {
      alignas(64) float row[chunk];
      if (n < some)
        row_decoder<NBIT_ARCH, Weights>::floats(w, first + n, c, depth, row);
      else
        std::memset(row, 0, depth * sizeof(float));
      for (std::size_t k = 0; k < depth; ++k) panel[k * width + n] = row[k];
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
