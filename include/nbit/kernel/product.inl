// nbit/kernel/product.inl — C += A^T B; included by kernel/product.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct product_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;
  static constexpr std::size_t chunk = 128;
// A register tile is tile_rows x (16 strip_vectors) sums: as many registers as leave room for B and one number of A.
#if NBIT_TARGET == 2
  static constexpr std::size_t tile_rows = 8, strip_vectors = 3;
#elif NBIT_TARGET == 1
  static constexpr std::size_t tile_rows = 6, strip_vectors = 1;
#else
  static constexpr std::size_t tile_rows = 4, strip_vectors = 1;
#endif
  // Rows and columns of C that stay in the second cache while the terms pass by.
  static constexpr std::size_t strip = strip_vectors * lane_count, block_rows = 96, block_cols = 576;
  static_assert(block_rows % tile_rows == 0 && block_cols % strip == 0);

  static void run(const product_operands& p) noexcept {
    const add_to_floats sink = {p.c, p.c_stride, p.sign};
    float packed_a[chunk * block_rows], packed_b[chunk * strip];
    place at = {};
    for (at.i = 0; at.i < p.m; at.i += block_rows)
      for (std::size_t first = 0; first < p.n; first += block_cols)
        for (at.t = 0; at.t < p.k; at.t += chunk) {
          at.terms = p.k - at.t < chunk ? p.k - at.t : chunk;
          at.rows = p.m - at.i < block_rows ? p.m - at.i : block_rows;
          at.first = first, at.last = p.n - first < block_cols ? p.n : first + block_cols;
          pack(p.a + at.t * p.a_stride + at.i, p.a_stride, at.rows, at.terms, packed_a);
          for (at.j = first; at.j + strip <= at.last; at.j += strip)
            strip_of<strip_vectors>(p, at, packed_a, packed_b, sink);
          if constexpr (strip_vectors > 2)
            for (; at.j + 2 * lane_count <= at.last; at.j += 2 * lane_count)
              strip_of<2>(p, at, packed_a, packed_b, sink);
          for (; at.j < at.last; at.j += lane_count) strip_of<1>(p, at, packed_a, packed_b, sink);
        }
  }

  /// Copies numbers of A so that a tile reads them one after another: [rows / tile_rows][term][tile_rows], the last
  /// rows filled up with zeros. A column of a wide matrix would visit one page for each number.
  static void pack(const float* from, std::size_t stride, std::size_t rows, std::size_t terms, float* to) noexcept {
    for (std::size_t t = 0; t < terms; ++t, from += stride, to += tile_rows) {
      std::size_t r = 0;
      for (; r + tile_rows <= rows; r += tile_rows) std::memcpy(to + r * chunk, from + r, tile_rows * sizeof(float));
      for (std::size_t k = 0; r < rows && k < tile_rows; ++k) to[r * chunk + k] = r + k < rows ? from[r + k] : 0.0f;
    }
  }

  /// Gives the sink the sums of one register tile, whose first row and column it calls (i, j); a is packed.
  template <std::size_t Vectors, class Sink>
  static void tile(std::size_t i, std::size_t j, std::size_t rows, std::size_t valid, const float* a, const float* b,
                   std::size_t b_stride, std::size_t terms, const Sink& sink) noexcept {
    for (std::size_t r = 0; r < rows && r < tile_rows; ++r)
      for (std::size_t v = 0; v < Vectors; ++v) sink.fetch(i + r, j + v * lane_count);
    typename vec::type sum[tile_rows * Vectors];
    clear(sum, std::make_index_sequence<tile_rows * Vectors>{});
    for (std::size_t t = 0; t < terms; ++t, a += tile_rows, b += b_stride)
      term<Vectors>(a, b, sum, std::make_index_sequence<Vectors>{}, std::make_index_sequence<tile_rows>{});
    for (std::size_t r = 0; r < rows && r < tile_rows; ++r)
      sink.template take<Vectors>(i + r, j, valid, sum + r * Vectors);
  }

 private:
  struct place {
    std::size_t i, rows, first, j, last, t, terms;
  };

  struct add_to_floats {
    float* c;
    std::size_t stride;
    float sign;
    NBIT_HOST_INLINE void fetch(std::size_t row, std::size_t column) const {
      __builtin_prefetch(c + row * stride + column, 1);
    }
    template <std::size_t Vectors>
    NBIT_HOST_INLINE void take(std::size_t row, std::size_t column, std::size_t valid,
                               const typename vec::type* sums) const {
      float* const to = c + row * stride + column;
      if (valid >= Vectors * lane_count) {
        for (std::size_t v = 0; v < Vectors; ++v)
          vec::store(to + v * lane_count,
                     vec::add(vec::load(to + v * lane_count), vec::mul(vec::broadcast(sign), sums[v])));
      } else {
        float last[Vectors * lane_count];
        for (std::size_t v = 0; v < Vectors; ++v) vec::store(last + v * lane_count, sums[v]);
        for (std::size_t k = 0; k < valid; ++k) to[k] += sign * last[k];
      }
    }
  };

  /// Copies rows of `from` into rows of `to`, `width` numbers each, the rest of `padded` as zeros.
  static void copy(const float* from, std::size_t from_stride, std::size_t width, float* to, std::size_t to_stride,
                   std::size_t padded, std::size_t rows) noexcept {
    for (std::size_t t = 0; t < rows; ++t, from += from_stride, to += to_stride) {
      std::size_t i = 0;
      for (; i + lane_count <= width; i += lane_count) vec::store(to + i, vec::load(from + i));
      for (; i < width; ++i) to[i] = from[i];
      for (; i < padded; ++i) to[i] = 0.0f;
    }
  }

  /// Asks for the share of rows that a tile at r of `rows` brings nearer, `step` further.
  static void fetch(const float* from, std::size_t stride, std::size_t width, std::size_t terms, std::size_t r,
                    std::size_t step, std::size_t rows) noexcept {
    for (std::size_t t = r * terms / rows; t < (r + step) * terms / rows && t < terms; ++t)
      for (std::size_t i = 0; i < width; i += lane_count) __builtin_prefetch(from + t * stride + i, 0, 2);
  }

  template <std::size_t Vectors>
  static void strip_of(const product_operands& p, const place& at, const float* a, float* packed,
                       const add_to_floats& sink) noexcept {
    constexpr std::size_t width = Vectors * lane_count;
    const std::size_t valid = p.n - at.j < width ? p.n - at.j : width;
    const float* b = p.b + at.t * p.b_stride + at.j;
    std::size_t b_stride = p.b_stride;
    const bool distant = b_stride > 4 * width;
    if (valid < width || (distant && at.rows > tile_rows)) {
      copy(b, b_stride, valid, packed, width, width, at.terms);
      b = packed, b_stride = width;
    }
    const bool last_strip = at.j + width >= at.last, last_terms = at.t + at.terms >= p.k;
    for (std::size_t r = 0; r < at.rows; r += tile_rows) {
      if (distant && !last_strip)
        fetch(p.b + at.t * p.b_stride + at.j + width, p.b_stride, width, at.terms, r, tile_rows, at.rows);
      if (!last_terms)  // the next chunk of A, evenly over all tiles
        fetch(p.a + (at.t + chunk) * p.a_stride + at.i, p.a_stride, at.rows,
              p.k - at.t - chunk < chunk ? p.k - at.t - chunk : chunk, (at.j - at.first) * at.rows + r * width,
              tile_rows * width, (at.last - at.first) * at.rows);
      tile<Vectors>(at.i + r, at.j, at.rows - r, valid, a + r * chunk, b, b_stride, at.terms, sink);
    }
  }

  template <std::size_t Sums, std::size_t... Sum>
  NBIT_HOST_INLINE static void clear(typename vec::type (&sum)[Sums], std::index_sequence<Sum...>) {
    ((sum[Sum] = vec::zero()), ...);
  }

  template <std::size_t Vectors, std::size_t Sums, std::size_t... Vector, std::size_t... Row>
  NBIT_HOST_INLINE static void term(const float* a, const float* b, typename vec::type (&sum)[Sums],
                                    std::index_sequence<Vector...> vectors, std::index_sequence<Row...>) {
    const typename vec::type loaded[Vectors] = {vec::load(b + Vector * lane_count)...};
    (row<Row, Vectors>(a, loaded, sum, vectors), ...);
  }

  template <std::size_t Row, std::size_t Vectors, std::size_t Sums, std::size_t... Vector>
  NBIT_HOST_INLINE static void row(const float* a, const typename vec::type (&b)[Vectors],
                                   typename vec::type (&sum)[Sums], std::index_sequence<Vector...>) {
    const auto own = vec::broadcast(a[Row]);
    ((sum[Row * Vectors + Vector] = vec::fma(own, b[Vector], sum[Row * Vectors + Vector])), ...);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
