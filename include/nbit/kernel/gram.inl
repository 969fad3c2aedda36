// nbit/kernel/gram.inl — sums += X^T X; included by kernel/gram.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct gram_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;

  template <class Sum>
  static void add(const gram_operands<Sum>& o) noexcept {
    using product = product_kernel<NBIT_ARCH>;
    constexpr std::size_t strip = gram_panel::strip, rows = product::tile_rows, block = 12 * strip;
    static_assert(strip % product::strip == 0 && gram_panel::block_tokens == product::chunk);
    float packed[2 * strip * product::chunk];
    // Sums of a block of columns stay in the second cache while the tokens pass by.
    for (std::size_t first = o.first_column; first < o.last_column; first += block) {
      const std::size_t last = o.last_column - first < block ? o.last_column : first + block;
      for (std::size_t t = 0; t < o.tokens; t += product::chunk) {
        const std::size_t terms = o.tokens - t < product::chunk ? o.tokens - t : product::chunk;
        for (std::size_t row = o.first_row; row < o.last_row;) {
          const std::size_t end = row / strip * strip + strip, stop = end < o.last_row ? end : o.last_row;
          product::pack(o.panel + gram_panel::at(t, row), strip, stop - row, terms,
                        packed + (row - o.first_row) * product::chunk);
          row = stop;
        }
        const add_to_triangle<Sum> sink{&o, t == 0};
        for (std::size_t column = first; column < last; column += strip)
          for (std::size_t v = column; v < column + strip; v += product::strip)
            for (std::size_t row = o.first_row; row < o.last_row; row += rows)
              if (v < row + rows)
                product::template tile<product::strip_vectors>(row, v, o.last_row - row, product::strip,
                                                               packed + (row - o.first_row) * product::chunk,
                                                               o.panel + gram_panel::at(t, v), strip, terms, sink);
      }
    }
  }

  /// Whether all |x| <= limit; NaN is not.
  static bool usable(const float* x, std::size_t n, float limit) noexcept {
    constexpr std::size_t width = 16;
    int bad[width] = {};
    std::size_t c = 0;
    for (; c + width <= n; c += width)
      for (std::size_t l = 0; l < width; ++l) bad[l] |= abs(x[c + l]) <= limit ? 0 : 1;
    for (; c < n; ++c) bad[0] |= abs(x[c]) <= limit ? 0 : 1;
    int any = 0;
    for (const int b : bad) any |= b;
    return any == 0;
  }

  /// Copies tokens to their places in the panel, adds their |x|, and |x|^4 - sum of x_c^4 of each to token_square.
  static void add_tokens(const float* x, std::size_t stride, std::size_t tokens, std::size_t cols, float* panel,
                         std::size_t first, const gram_columns& to, double& token_square) noexcept {
    NBIT_EXACT
    for (std::size_t t = 0; t < tokens; t += token_group) {
      const std::size_t n = tokens - t < token_group ? tokens - t : token_group;
      double square[token_group][16] = {}, fourth[token_group][16] = {};
      for (std::size_t c = 0; c < cols; c += 16)
        add_columns(x + t * stride + c, stride, n, cols - c, panel + gram_panel::at(first + t, c), to.sum_abs + c,
                    to.max_abs + c, square, fourth);
      for (std::size_t k = 0; k < n; ++k) {
        const double sum = total(square[k]);
        token_square += sum * sum - total(fourth[k]);
      }
    }
  }

  /// Sixteen lanes as one number, by halves.
  template <class Number>
  static double total(const Number* lanes_in) noexcept {
    NBIT_EXACT
    double v[16];
    for (std::size_t l = 0; l < 16; ++l) v[l] = static_cast<double>(lanes_in[l]);
    for (std::size_t half = 8; half != 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) v[l] += v[l + half];
    return v[0];
  }

 private:
  static constexpr std::size_t token_group = 8;  // tokens whose columns are read together: one page for all of them

  static void add_columns(const float* x, std::size_t stride, std::size_t tokens, std::size_t cols, float* place,
                          double* to_sum, float* to_most, double (*square)[16], double (*fourth)[16]) noexcept {
    NBIT_EXACT
    constexpr std::size_t width = 16;
    // Arrays of this function cannot overlap: the loops become vectors.
    float most[width];
    double sum[width];
    std::memcpy(most, to_most, sizeof most);
    std::memcpy(sum, to_sum, sizeof sum);
    for (std::size_t k = 0; k < tokens; ++k, x += stride, place += gram_panel::strip) {
      float a[width] = {};
      double v[width], second[width], power[width];
      if (cols >= width)
        std::memcpy(a, x, sizeof a);
      else
        for (std::size_t l = 0; l < cols; ++l) a[l] = x[l];
      std::memcpy(place, a, sizeof a);
      std::memcpy(second, square[k], sizeof second);
      std::memcpy(power, fourth[k], sizeof power);
      for (std::size_t l = 0; l < width; ++l) a[l] = a[l] < 0.0f ? -a[l] : a[l];
      for (std::size_t l = 0; l < width; ++l) most[l] = a[l] > most[l] ? a[l] : most[l];
      for (std::size_t l = 0; l < width; ++l) v[l] = static_cast<double>(a[l]);
      for (std::size_t l = 0; l < width; ++l) sum[l] += v[l];
      for (std::size_t l = 0; l < width; ++l) v[l] *= v[l];
      for (std::size_t l = 0; l < width; ++l) second[l] += v[l];
      for (std::size_t l = 0; l < width; ++l) power[l] += v[l] * v[l];
      std::memcpy(square[k], second, sizeof second);
      std::memcpy(fourth[k], power, sizeof power);
    }
    std::memcpy(to_most, most, sizeof most);
    std::memcpy(to_sum, sum, sizeof sum);
  }

  template <class Sum>
  struct add_to_triangle {
    const gram_operands<Sum>* o;
    bool first;  // touches the sums for the first time

    NBIT_HOST_INLINE Sum* at(std::size_t row, std::size_t column) const {
      if (o->sums_stride != 0) return o->sums + (row - o->first_row) * o->sums_stride + (column - o->first_column);
      return o->sums + gram_triangle::at(row, column);
    }
    NBIT_HOST_INLINE void fetch(std::size_t row, std::size_t column) const {
      if (!first || column > row) return;
      __builtin_prefetch(at(row, column), 1);
      if constexpr (sizeof(Sum) > 4) __builtin_prefetch(at(row, column) + 8, 1);
    }
    template <std::size_t Vectors>
    NBIT_HOST_INLINE void take(std::size_t row, std::size_t column, std::size_t, const typename vec::type* sums) const {
      NBIT_EXACT
      if (column > row) return;
      float* const to_squares = o->squares + (row - o->first_row) * lane_count;
      auto squares = vec::load(to_squares);
      Sum* to = at(row, column);
      for (std::size_t v = 0; v < Vectors && column <= row; ++v, column += lane_count, to += lane_count) {
        float partial[lane_count];
        Sum sum[lane_count];
        vec::store(partial, sums[v]);
        std::memcpy(sum, to, sizeof sum);
        for (std::size_t l = 0; l < lane_count; ++l) sum[l] += static_cast<Sum>(partial[l]);
        std::memcpy(to, sum, sizeof sum);
        auto counted = sums[v];
        if (column + lane_count > row) {  // the diagonal and beyond do not count
          for (std::size_t l = row - column; l < lane_count; ++l) partial[l] = 0.0f;
          counted = vec::load(partial);
        }
        squares = vec::fma(counted, counted, squares);
      }
      vec::store(to_squares, squares);
    }
  };
};

}  // namespace NBIT_TAG
}  // namespace nbit
