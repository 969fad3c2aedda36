// nbit/kernel/tile_products.inl — gemm on row tiles; included by kernel/row_tiles.hpp once per target and extension.
//
// Codes are unpacked in registers and used at once. Where there are too few registers for that, it is done so for a few
// tokens only; for more, 128 rows x 512 columns (of float levels 64 x 256) are unpacked into a panel, which all tokens
// then read from a near cache.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <tile_form W, class X>
struct tile_block<NBIT_ARCH, W, X> {
  using dot = detail::dot_for<NBIT_ARCH, W, X>;
  using io = register_tile<NBIT_ARCH>;
  static constexpr bool unpacked = W.bits == dot::panel_bits;  // no registers are needed besides the sums
#if NBIT_TARGET == 2
  // sixteen dots of pairs side by side, as each waits six cycles; the sums over runs then leave the registers
  static constexpr std::size_t vectors = 2, most = dot::panel_bits == 16 ? 8 : 6;
#elif NBIT_TARGET == 1
  static constexpr std::size_t vectors = 1, most = dot::panel_bits == 32 ? 6 : 4;
#else
  static constexpr std::size_t vectors = 1, most = NBIT_TARGET == 0 ? 2 : unpacked ? 3 : 4;
#endif
  static constexpr std::size_t groups = 3, span = unpacked ? dot::panel_span : 2048, tokens = most * groups,
                               least = most > 2 ? 2 : 1;  // of two tokens or more, pieces are no smaller

  /// One token with `rows` rows of tiles, all columns; more: tiles follow that will be read next.
  static void one(const std::byte* tiles, std::size_t cols, std::size_t rows, bool more, const X& x,
                  float* y) noexcept {
    constexpr std::size_t together = dot::chains * W.rows;
    const std::size_t step = W.tile_bytes(cols), all = (rows + W.rows - 1) / W.rows * step;
    typename dot::template tokens<1, span> k;
    for (std::size_t c = 0; c < cols; c += span) {
      const std::size_t n = cols - c < span ? cols - c : span;
      k.set(x, 0, 1, c, n);
      const std::size_t done = W.tile_bytes(c), after = c + n < cols ? W.tile_bytes(c + n) - done
                                                        : more       ? all - done
                                                                     : 0;
      for (std::size_t r = 0; r < rows; r += together) {
        const std::size_t next = r + together < rows ? dot::chains * step : after == 0 ? 0 : after - r / W.rows * step;
        piece<1, dot::chains>(tiles + done, step, static_cast<std::ptrdiff_t>(next), r, rows, c, n, k, y, 0);
      }
    }
  }

  /// Two tokens or more. Some tiles' columns stay in the nearest cache while a few pieces of tokens read them.
  /// heads: where columns c ... c + n - 1 begin in the first tile; step: to the next; after: from the first tile to
  /// what is read after these rows and columns, 0: nothing to fetch; ahead(i, pieces): called before piece i, to fetch
  /// what comes after panels.
  template <class Ahead>
  static void run(const std::byte* heads, std::size_t step, std::size_t rows, std::size_t c, std::size_t n, const X& x,
                  float* y, std::size_t y_stride, std::ptrdiff_t after, Ahead ahead) noexcept {
    typename dot::template tokens<most, span> k[groups];
    const std::size_t pieces = (x.rows + most - 1) / most;  // of nearly equal size, so that no small rest is left over
    const auto begin = [&](std::size_t i) { return i * x.rows / pieces; };
    for (std::size_t i = 0; i < pieces; i += groups) {
      const std::size_t end = pieces - i < groups ? pieces : i + groups;
      for (std::size_t j = i; j < end; ++j) {
        k[j - i].set(x, begin(j), begin(j + 1) - begin(j), c, n);
        ahead(j, pieces);
        for (std::size_t m = begin(j); m < begin(j + 1); ++m) fetch(y + m * y_stride);
        for (std::size_t m = begin(j) + tokens; m < begin(j + 1) + tokens && m < x.rows; ++m) dot::prefetch(x, m, c, n);
      }
      for (std::size_t r = 0; r < rows; r += vectors * W.rows) {
        const std::ptrdiff_t tile = static_cast<std::ptrdiff_t>(r / W.rows * step);
        const bool last = r + vectors * W.rows >= rows;
        for (std::size_t j = i; j < end; ++j) {
          // the first tokens fetch what the others find near
          const std::ptrdiff_t next = j > 0 || after == 0 ? 0
                                      : last              ? after - tile
                                                          : static_cast<std::ptrdiff_t>(vectors * step);
          sized<most>(begin(j + 1) - begin(j), heads, step, next, r, rows, c, n, k[j - i], y + begin(j) * y_stride,
                      y_stride);
        }
      }
    }
  }

 private:
  // outputs of a token that are added to next
  NBIT_INLINE static void fetch(const float* y) {
    for (std::size_t v = 0; v < vectors; ++v) __builtin_prefetch(y + v * W.rows, 1);
  }
  template <std::size_t T, class K>
  NBIT_INLINE static void sized(std::size_t count, const std::byte* heads, std::size_t step, std::ptrdiff_t next,
                                std::size_t r, std::size_t rows, std::size_t c, std::size_t n, const K& k, float* y,
                                std::size_t y_stride) noexcept {
    if (count == T) return piece<T, vectors>(heads, step, next, r, rows, c, n, k, y, y_stride);
    if constexpr (T > least) sized<T - 1>(count, heads, step, next, r, rows, c, n, k, y, y_stride);
  }
  template <std::size_t T, std::size_t V, class K>
  static void piece(const std::byte* heads, std::size_t step, std::ptrdiff_t next, std::size_t r, std::size_t rows,
                    std::size_t c, std::size_t n, const K& k, float* y, std::size_t y_stride) noexcept {
    const std::byte* head[V];
    for (std::size_t v = 0; v < V; ++v) {
      const std::size_t row = r + v * W.rows;
      head[v] = heads + (row < rows ? row : r) / W.rows * step;
    }
    if (r + V * W.rows < rows)
      for (std::size_t t = 0; t < T; ++t) fetch(y + t * y_stride + r + V * W.rows);
    io::template with<T, V>(y + r, y_stride, rows - r, c == 0, [&](auto& outer) __attribute__((always_inline)) {
      dot::template span<T, V>(head, next, n, k, outer);
    });
  }
};

template <tile_form W, class X>
struct tile_panel<NBIT_ARCH, W, X> {
  using base = arch::base_of<NBIT_ARCH>;
  using vec = lanes<base>;
  using dot = detail::dot_for<NBIT_ARCH, W, X>;
  static constexpr tile_form form = [] {
    tile_form f = W;
    f.bits = dot::panel_bits, f.uneven = false, f.table = {}, f.scale = tile_number::f32;
    if (f.offset != tile_number::none) f.offset = tile_number::f32;
    return f;
  }();

  /// Unpacks n columns, at most a chunk, of a tile.
  static void unpack(const std::byte* from, std::size_t n, std::byte* to) {
    using reader = tile_reader<base, W>;
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
        (dot::template unpack<S>(from, to), ...);
      }(std::make_integer_sequence<int, 8>{});
    }
  }
};

template <class F>
struct gemm_kernel<NBIT_ARCH, packed_view<F, row_tiles>> {
  using weights = packed_view<F, row_tiles>;
  static constexpr tile_form form = form_of<F>;
  using base = arch::base_of<NBIT_ARCH>;
  static constexpr kernel_about about = own_kernel("row tiles decoded to panels of floats"),
                                of_floats = own_kernel("row tiles decoded to panels of floats, activations to floats",
                                                       "the format has no integer levels"),
                                of_integers =
#if NBIT_TARGET == 2
                                    own_kernel("row tiles unpacked in registers, integer sums"),
#else
                                    own_kernel("row tiles unpacked to panels of 128 rows, integer sums"),
#endif
                                of_pairs =
#if NBIT_TARGET == 2 && NBIT_TARGET_DOT == 2
                                    own_kernel("row tiles unpacked in registers, dots of bf16 pairs"),
#else
                                    own_kernel("row tiles unpacked to panels of float levels, multiply-adds",
                                               "the tag has no dots of bf16 pairs"),
#endif
                                about_int8 = form.floats ? of_floats : of_integers,
                                about_bf16 = form.floats ? of_floats : of_pairs;
  static constexpr std::size_t outputs = 128;             // rows of a piece of work: a panel
  static constexpr bool prefers_tall = NBIT_TARGET == 2;  // activations are copied for each piece

  /// Needs: first is a multiple of sixteen.
  static void block(const weights& w, std::size_t first, std::size_t count, matrix_view<const float> x,
                    matrix_view<float> y) noexcept {
    by_floats(w, first, count, x, y);
  }

  /// Needs: first is a multiple of sixteen.
  template <int Group>
  static void block(const weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                    matrix_view<float> y) noexcept {
    by_levels(w, first, count, x, y);
  }
  static void block(const weights& w, std::size_t first, std::size_t count, matrix_view<const bf16> x,
                    matrix_view<float> y) noexcept {
    by_levels(w, first, count, x, y);
  }

 private:
  // levels that are floats are multiplied with activations as floats
  template <class X>
  static void by_levels(const weights& w, std::size_t first, std::size_t count, const X& x,
                        matrix_view<float> y) noexcept {
    if constexpr (form.floats)
      by_floats(w, first, count, x, y);
    else
      unpacked(w, first, count, x, y);
  }
  template <class X>
  static void by_floats(const weights& w, std::size_t first, std::size_t count, const X& x,
                        matrix_view<float> y) noexcept {
    using product = panel_product<base>;
    product::template block<tile_form::chunk>(
        w.cols, first, count, x, y,
        [&](std::size_t n, std::size_t outputs_left, std::size_t c, std::size_t depth, float* panel) {
          for (std::size_t v = 0; v < product::vectors; ++v) {
            const std::size_t t = (first + n) / form.rows + (v * form.rows < outputs_left ? v : 0);
            tile_floats<base, form>::columns(w.tile(t) + c / form.chunk * form.chunk_bytes(), depth,
                                             panel + v * lane_count, product::width);
          }
        });
  }
  template <class X>
  static void unpacked(const weights& w, std::size_t first, std::size_t count, const X& x,
                       matrix_view<float> y) noexcept {
    if (x.rows == 0) return;
    if (w.cols == 0) return product_of_nothing(first, count, y);
    const std::byte* const tiles = w.tile(first / form.rows);
    using few = tile_block<NBIT_ARCH, form, X>;
    if (x.rows == 1) return few::one(tiles, w.cols, count, first + count < w.rows, x, &y(0, first));
    if constexpr (few::dot::direct > 1) {
      if (x.rows <= few::dot::direct) {
        for (std::size_t c = 0; c < w.cols; c += few::span) {
          const std::size_t n = w.cols - c < few::span ? w.cols - c : few::span;
          const std::size_t step = form.tile_bytes(w.cols), end = c + n;
          const std::size_t all = (count + form.rows - 1) / form.rows * step, done = form.tile_bytes(c);
          const std::size_t after = end < w.cols             ? form.tile_bytes(end) - done
                                    : first + count < w.rows ? all - done
                                                             : 0;
          few::run(tiles + done, step, count, c, n, x, &y(0, first), y.stride, static_cast<std::ptrdiff_t>(after),
                   [](std::size_t, std::size_t) {});
        }
        return;
      }
    }
    if constexpr (few::dot::direct != std::size_t(-1)) by_panels(tiles, w.cols, first, count, x, y);
  }
  template <class X>
  static void by_panels(const std::byte* tiles, std::size_t cols, std::size_t first, std::size_t count, const X& x,
                        matrix_view<float> y) noexcept {
    const std::size_t step = form.tile_bytes(cols);
    using panel = tile_panel<NBIT_ARCH, form, X>;
    using many = tile_block<NBIT_ARCH, panel::form, X>;
    constexpr std::size_t span = many::span, bytes = span / form.chunk * panel::form.chunk_bytes(),
                          together = many::dot::panel_tiles;
    alignas(64) std::byte memory[together * bytes];
    for (std::size_t r = 0; r < count; r += together * form.rows) {
      const std::size_t rows = count - r < together * form.rows ? count - r : together * form.rows;
      for (std::size_t c = 0; c < cols; c += span) {
        const std::size_t n = cols - c < span ? cols - c : span, ahead = c + n;
        const std::byte* const heads = tiles + r / form.rows * step;
        for (std::size_t t = 0; t * form.rows < rows; ++t) {
          const std::byte* from = heads + t * step + form.tile_bytes(c);
          std::byte* to = memory + t * bytes;
          for (std::size_t k = 0; k < n; k += form.chunk, from += form.chunk_bytes(), to += panel::form.chunk_bytes())
            panel::unpack(from, n - k < form.chunk ? n - k : form.chunk, to);
        }
        const std::size_t next = cols - ahead < span ? cols - ahead : span, fetched = form.tile_bytes(next);
        many::run(memory, bytes, rows, c, n, x, &y(0, first + r), y.stride, 0, [&](std::size_t i, std::size_t pieces) {
          // weights come from memory while these tokens are worked on
          for (std::size_t t = 0; t * form.rows < rows; ++t)
            for (std::size_t b = i * fetched / pieces / 64 * 64; b < (i + 1) * fetched / pieces; b += 64)
              __builtin_prefetch(heads + t * step + form.tile_bytes(ahead) + b);
        });
      }
    }
  }
  static void product_of_nothing(std::size_t first, std::size_t count, matrix_view<float> y) noexcept {
    for (std::size_t m = 0; m < y.rows; ++m)
      for (std::size_t n = 0; n < count; ++n) y(m, first + n) = 0.0f;
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
