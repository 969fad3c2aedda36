// nbit/kernel/row_tiles.inl — gemv and gemm on row tiles; included by kernel/row_tiles.hpp once per target.
//
// Up to twelve tokens: codes are unpacked in registers and used at once. More: 128 rows x 512 columns are unpacked into
// a panel, which all tokens then read from the nearest cache.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <tile_form W, int Group>
struct tile_few<NBIT_ARCH, W, Group> {
  using dot = tile_dot<NBIT_ARCH, W, Group>;
  using io = register_tile<NBIT_ARCH>;
#if NBIT_TARGET == 0
  static constexpr std::size_t vectors = 1, most = 2;
#else
  static constexpr std::size_t vectors = NBIT_TARGET == 2 ? 2 : 1, most = 4;
#endif
  static constexpr std::size_t groups = 3, tokens = most * groups, span = 4096;

  /// `count` rows from `first` on, a multiple of sixteen, with one token.
  static void one(const std::byte* tiles, std::size_t cols, std::size_t first, std::size_t count,
                  const int8_activations<Group>& x, float* y) noexcept {
    typename dot::template tokens<1, span> k;
    for (std::size_t c = 0; c < cols; c += span) {
      const std::size_t n = cols - c < span ? cols - c : span;
      k.set(x, 0, 1, c, n);
      for (std::size_t r = 0; r < count; r += W.rows)
        piece<1, 1>(tiles + W.tile_bytes(c), cols, first + r, count - r, c, n, k, y, 0);
    }
  }

  /// The same with 2 ... `tokens` tokens. A tile's span stays in the
  /// nearest cache while all groups of tokens read it.
  static void run(const std::byte* tiles, std::size_t cols, std::size_t first, std::size_t count,
                  const int8_activations<Group>& x, float* y, std::size_t y_stride) noexcept {
    typename dot::template tokens<most, span> k[groups];
    const std::size_t pieces = (x.rows + most - 1) / most;
    for (std::size_t c = 0; c < cols; c += span) {
      const std::size_t n = cols - c < span ? cols - c : span;
      for (std::size_t i = 0; i < pieces; ++i) {
        const std::size_t m = i * x.rows / pieces;
        k[i].set(x, m, (i + 1) * x.rows / pieces - m, c, n);
      }
      for (std::size_t r = 0; r < count; r += vectors * W.rows)
        for (std::size_t i = 0; i < pieces; ++i) {
          const std::size_t m = i * x.rows / pieces;
          sized<most>((i + 1) * x.rows / pieces - m, tiles + W.tile_bytes(c), cols, first + r, count - r, c, n, k[i],
                      y + m * y_stride, y_stride);
        }
    }
  }

 private:
  template <std::size_t T, class K>
  NBIT_INLINE static void sized(std::size_t count, const std::byte* from, std::size_t cols, std::size_t row,
                                std::size_t rows, std::size_t c, std::size_t n, const K& k, float* y,
                                std::size_t y_stride) noexcept {
    if (count == T) return piece<T, vectors>(from, cols, row, rows, c, n, k, y, y_stride);
    if constexpr (T > most / 2) sized<T - 1>(count, from, cols, row, rows, c, n, k, y, y_stride);
  }
  template <std::size_t T, std::size_t V, class K>
  static void piece(const std::byte* from, std::size_t cols, std::size_t row, std::size_t rows, std::size_t c,
                    std::size_t n, const K& k, float* y, std::size_t y_stride) noexcept {
    const std::byte* heads[V];
    for (std::size_t v = 0; v < V; ++v)
      heads[v] = from + (row / W.rows + (v * W.rows < rows ? v : 0)) * W.tile_bytes(cols);
    io::template with<T, V>(y + row, y_stride, rows, c == 0, [&](auto& outer) __attribute__((always_inline)) {
      dot::template span<T, V>(heads, n, k, outer);
    });
  }
};

template <tile_form W>
struct tile_panel<NBIT_ARCH, W> {
  using vec = lanes<NBIT_ARCH>;
  using code = code_lanes<NBIT_ARCH>;
  static constexpr tile_form form = [] {
    tile_form f = W;
    f.bits = 8, f.uneven = false, f.table = {}, f.scale = tile_number::f32;
    if (f.offset != tile_number::none) f.offset = tile_number::f32;
    return f;
  }();

  /// Unpacks n columns, at most a chunk, of a tile.
  static void unpack(const std::byte* from, std::size_t n, std::byte* to) {
    using reader = tile_reader<NBIT_ARCH, W>;
    n = (n + W.block - 1) / W.block * W.block;  // what is multiplied with zero activations must be numbers too
    for (std::size_t s = 0; s * std::size_t(W.run) < n; ++s) {
      const auto scale = reader::scale(from, s);
      vec::store(reinterpret_cast<float*>(to + 64 * s), scale);
      if constexpr (W.offset != tile_number::none)
        vec::store(reinterpret_cast<float*>(to + form.bytes_of(form.scale) + 64 * s), reader::offset(from, s, scale));
    }
    from += W.head_bytes(), to += form.head_bytes();
    for (std::size_t b = 0; b < n; b += W.block, from += W.block_bytes(), to += form.block_bytes()) {
      [&]<int... S>(std::integer_sequence<int, S...>) __attribute__((always_inline)) {
        (code::store(to + 64 * S, reader::template step<S>(from)), ...);
      }(std::make_integer_sequence<int, 8>{});
    }
  }
};

/// Weights of sixteen rows as floats, column by column: scale * level, plus the offset if there is one.
template <tile_form W>
struct tile_floats<NBIT_ARCH, W> {
  using vec = lanes<NBIT_ARCH>;
  using code = code_lanes<NBIT_ARCH>;
  using real = vec::type;
  using reader = tile_reader<NBIT_ARCH, W>;

  /// out[c * stride + row] for n columns from the beginning of a chunk on, and zeros or more up to a whole block.
  static void columns(const std::byte* head, std::size_t n, float* out, std::size_t stride) noexcept {
    const std::byte* block = head + W.head_bytes();
    for (std::size_t c = 0; c < n; c += W.block, block += W.block_bytes()) {
      if constexpr (W.run < 32) {
        steps<0>(head, c, block, out + c * stride, stride, std::make_integer_sequence<int, 4>{});
        steps<4>(head, c + 16, block, out + (c + 16) * stride, stride, std::make_integer_sequence<int, 4>{});
      } else {
        steps<0>(head, c, block, out + c * stride, stride, std::make_integer_sequence<int, 8>{});
      }
    }
  }

 private:
  template <int First, int... S>
  NBIT_INLINE static void steps(const std::byte* head, std::size_t c, const std::byte* block, float* out,
                                std::size_t stride, std::integer_sequence<int, S...>) {
    const real scale = reader::scale(head, c / std::size_t(W.run));
    real offset = vec::zero();
    if constexpr (W.offset != tile_number::none) offset = reader::offset(head, c / std::size_t(W.run), scale);
    (four(reader::template step<First + S>(block), scale, offset, out + 4 * std::size_t(S) * stride, stride,
          std::make_integer_sequence<int, 4>{}),
     ...);
  }
  template <int... J>
  NBIT_INLINE static void four(code::bytes bytes, real scale, real offset, float* out, std::size_t stride,
                               std::integer_sequence<int, J...>) {
    (vec::store(out + std::size_t(J) * stride, weight(code::template column<J>(bytes), scale, offset)), ...);
  }
  NBIT_INLINE static real weight(real byte, real scale, real offset) {
    const real product = vec::mul(scale, vec::add(byte, vec::broadcast(static_cast<float>(-W.bias))));
    if constexpr (W.offset != tile_number::none)
      return vec::add(product, offset);
    else
      return product;
  }
};

template <tile_form Panel, int Group>
struct tile_many<NBIT_ARCH, Panel, Group> {
#if NBIT_TARGET == 2
  static constexpr std::size_t vectors = 2, most = 6;
#elif NBIT_TARGET == 1
  static constexpr std::size_t vectors = 1, most = 4;
#else
  static constexpr std::size_t vectors = 1, most = 3;
#endif
  static constexpr std::size_t least = (2 * most + 2) / 3;  // from 13 tokens on, pieces are no smaller
  static constexpr std::size_t tiles = 8, span = 512, tile_bytes = span / Panel.chunk * Panel.chunk_bytes();
  static constexpr std::size_t bytes = tiles * tile_bytes;

  /// All tokens with a panel of `rows` rows and n columns from c on; y: its column of the panel's first row.
  /// next, next_bytes: a tile's part that is unpacked after this, and its size; step: from tile to tile.
  static void run(const std::byte* panel, std::size_t rows, std::size_t c, std::size_t n,
                  const int8_activations<Group>& x, matrix_view<float> y, std::size_t first, const std::byte* next,
                  std::size_t next_bytes, std::size_t step) noexcept {
    // pieces of nearly equal size, so that no small rest is left over
    const std::size_t pieces = (x.rows + most - 1) / most;
    for (std::size_t i = 0; i < pieces; ++i) {
      const std::size_t m = i * x.rows / pieces, count = (i + 1) * x.rows / pieces - m;
      // weights come from memory while these tokens are worked on
      for (std::size_t t = 0; t * Panel.rows < rows; ++t)
        for (std::size_t b = i * next_bytes / pieces / 64 * 64; b < (i + 1) * next_bytes / pieces; b += 64)
          __builtin_prefetch(next + t * step + b);
      sized<most>(count, panel, rows, c, n, x, m, &y(m, first), y.stride);
    }
  }

 private:
  template <std::size_t T>
  NBIT_INLINE static void sized(std::size_t count, const std::byte* panel, std::size_t rows, std::size_t c,
                                std::size_t n, const int8_activations<Group>& x, std::size_t m, float* y,
                                std::size_t y_stride) noexcept {
    if (count == T) return piece<T>(panel, rows, c, n, x, m, y, y_stride);
    if constexpr (T > least) sized<T - 1>(count, panel, rows, c, n, x, m, y, y_stride);
  }

  template <std::size_t T>
  static void piece(const std::byte* panel, std::size_t rows, std::size_t c, std::size_t n,
                    const int8_activations<Group>& x, std::size_t m, float* y, std::size_t y_stride) noexcept {
    using dot = tile_dot<NBIT_ARCH, Panel, Group>;
    using io = register_tile<NBIT_ARCH>;
    typename dot::template tokens<T, span> k;
    k.set(x, m, T, c, n);
    for (std::size_t t = m + T; t < m + 2 * T && t < x.rows; ++t) {  // what the next piece reads comes meanwhile
      for (std::size_t i = 0; i < n; i += 64) __builtin_prefetch(x.row_codes(t) + c + i);
      __builtin_prefetch(x.row_sums(t) + c / 16);
    }
    for (std::size_t t = T; t < 2 * T && m + t < x.rows; ++t)
      for (std::size_t i = 0; i < rows; i += 16) __builtin_prefetch(y + t * y_stride + i, 1);
    for (std::size_t r = 0; r < rows; r += vectors * Panel.rows) {
      const std::byte* heads[vectors];
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t row = r + v * Panel.rows;
        heads[v] = panel + (row < rows ? row : r) / Panel.rows * tile_bytes;
      }
      io::template with<T, vectors>(y + r, y_stride, rows - r, c == 0, [&](auto& outer) __attribute__((always_inline)) {
        dot::template span<T, vectors>(heads, n, k, outer);
      });
    }
  }
};

template <class F>
struct row_decoder<NBIT_ARCH, packed_view<F, row_tiles>> {
  using weights = packed_view<F, row_tiles>;
  static constexpr kernel_about about =
      own_kernel("tiles of sixteen rows, a weight at a time", "rows of a tile are apart: it is made for products");

  static void floats(const weights& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    NBIT_EXACT
    constexpr tile_form form = weights::form;
    using reader = tile_reader<NBIT_ARCH, form>;
    using vec = lanes<NBIT_ARCH>;
    const std::byte* head = w.tile(r / form.rows) + c / form.chunk * form.chunk_bytes();
    float scale[lane_count], offset[lane_count] = {};
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = (c + i) % form.chunk;
      if (i != 0 && at == 0) head += form.chunk_bytes();
      if (i == 0 || at % std::size_t(form.run) == 0) {
        const auto s = reader::scale(head, at / std::size_t(form.run));
        vec::store(scale, s);
        if constexpr (form.offset != tile_number::none)
          vec::store(offset, reader::offset(head, at / std::size_t(form.run), s));
      }
      const std::byte* const block = head + form.head_bytes() + at / form.block * form.block_bytes();
      const int level = F::level(detail::tile_code<form.bits>(block, r % form.rows, at % form.block));
      const float product = scale[r % form.rows] * static_cast<float>(level);
      out[i] = form.offset == tile_number::none ? product : product + offset[r % form.rows];
    }
  }
};

template <class F>
struct gemv_kernel<NBIT_ARCH, packed_view<F, row_tiles>> {
  using weights = packed_view<F, row_tiles>;
  static constexpr tile_form form = form_of<F>;
  static constexpr kernel_about about = own_kernel("row tiles decoded to floats, sixty-four rows at a time"),
                                about_int8 = own_kernel("row tiles, lanes are rows, integer sums in registers");

  /// Needs: first is a multiple of sixteen.
  template <int Group>
  static void rows(const weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                   float* y) noexcept {
    if (w.cols == 0)
      for (std::size_t r = first; r < first + count; ++r) y[r] = 0.0f;
    tile_few<NBIT_ARCH, form, Group>::one(w.bytes, w.cols, first, count, x, y);
  }

  /// Four tiles at a time: four chains that do not wait for one another.
  static void rows(const weights& w, std::size_t first, std::size_t count, const float* x, float* y) noexcept {
    using vec = lanes<NBIT_ARCH>;
    constexpr std::size_t together = 4, width = together * form.rows;
    for (std::size_t r = 0; r < count; r += width) {
      const std::size_t tiles = count - r < width ? (count - r + form.rows - 1) / form.rows : together;
      typename vec::type sum[together];
      NBIT_UNROLL
      for (std::size_t v = 0; v < together; ++v) sum[v] = vec::zero();
      for (std::size_t c = 0; c < w.cols; c += form.chunk) {
        const std::size_t n = w.cols - c < form.chunk ? w.cols - c : form.chunk;
        alignas(64) float panel[form.chunk * width];
        for (std::size_t v = 0; v < together; ++v) {
          const std::size_t t = (first + r) / form.rows + (v < tiles ? v : 0);  // a lane too many counts for nothing
          tile_floats<NBIT_ARCH, form>::columns(w.tile(t) + c / form.chunk * form.chunk_bytes(), n,
                                                panel + v * form.rows, width);
        }
        for (std::size_t k = 0; k < n; ++k) {
          const typename vec::type xk = vec::broadcast(x[c + k]);
          NBIT_UNROLL
          for (std::size_t v = 0; v < together; ++v)
            sum[v] = vec::fma(xk, vec::load(panel + k * width + v * form.rows), sum[v]);
        }
      }
      NBIT_UNROLL
      for (std::size_t v = 0; v < together; ++v)
        if (v < tiles)
          register_tile<NBIT_ARCH>::store(y + first + r + v * form.rows, count - r - v * form.rows, sum[v]);
    }
  }
};

template <class F>
struct gemm_kernel<NBIT_ARCH, packed_view<F, row_tiles>> {
  using weights = packed_view<F, row_tiles>;
  static constexpr tile_form form = form_of<F>;
  using panel = tile_panel<NBIT_ARCH, form>;
  static constexpr kernel_about about = own_kernel("row tiles decoded to panels of floats"),
                                about_int8 = own_kernel("row tiles unpacked to panels of 128 rows, integer sums");
  static constexpr std::size_t outputs = 128;  // rows of a piece of work: a panel

  /// Needs: first is a multiple of sixteen.
  static void block(const weights& w, std::size_t first, std::size_t count, matrix_view<const float> x,
                    matrix_view<float> y) noexcept {
    using product = panel_product<NBIT_ARCH>;
    product::template block<tile_form::chunk>(
        w.cols, first, count, x, y,
        [&](std::size_t n, std::size_t outputs_left, std::size_t c, std::size_t depth, float* panel) {
          for (std::size_t v = 0; v < product::vectors; ++v) {
            const std::size_t t = (first + n) / form.rows + (v * form.rows < outputs_left ? v : 0);
            tile_floats<NBIT_ARCH, form>::columns(w.tile(t) + c / form.chunk * form.chunk_bytes(), depth,
                                                  panel + v * lane_count, product::width);
          }
        });
  }

  /// Needs: first is a multiple of sixteen.
  template <int Group>
  static void block(const weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                    matrix_view<float> y) noexcept {
    if (x.rows == 0) return;
    if (w.cols == 0) return product_of_nothing(first, count, y);
    using few = tile_few<NBIT_ARCH, form, Group>;
    if (x.rows == 1) return few::one(w.bytes, w.cols, first, count, x, y.data);
    if (x.rows <= few::tokens) return few::run(w.bytes, w.cols, first, count, x, y.data, y.stride);
    using many = tile_many<NBIT_ARCH, panel::form, Group>;
    alignas(64) std::byte memory[many::bytes];
    for (std::size_t r = 0; r < count; r += outputs) {
      const std::size_t rows = count - r < outputs ? count - r : outputs;
      for (std::size_t c = 0; c < w.cols; c += many::span) {
        const std::size_t n = w.cols - c < many::span ? w.cols - c : many::span;
        for (std::size_t t = 0; t * form.rows < rows; ++t) {
          const std::byte* from = w.tile((first + r) / form.rows + t) + c / form.chunk * form.chunk_bytes();
          std::byte* to = memory + t * many::tile_bytes;
          for (std::size_t k = 0; k < n; k += form.chunk, from += form.chunk_bytes(), to += panel::form.chunk_bytes())
            panel::unpack(from, n - k < form.chunk ? n - k : form.chunk, to);
        }
        const std::size_t ahead = c + n, after = w.cols - ahead < many::span ? w.cols - ahead : many::span;
        const std::byte* const next = w.tile((first + r) / form.rows) + form.tile_bytes(ahead);
        many::run(memory, rows, c, n, x, y, first + r, next, form.tile_bytes(after), form.tile_bytes(w.cols));
      }
    }
  }

 private:
  static void product_of_nothing(std::size_t first, std::size_t count, matrix_view<float> y) noexcept {
    for (std::size_t m = 0; m < y.rows; ++m)
      for (std::size_t n = 0; n < count; ++n) y(m, first + n) = 0.0f;
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
