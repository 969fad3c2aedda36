// nbit/kernel/row_tiles.inl — tiles as floats, decoding of tiles, gemv; included by kernel/row_tiles.hpp once per
// target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

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
    if constexpr (W.floats)
      (vec::store(out + std::size_t(J) * stride, vec::mul(scale, code::template level<J>(values.data(), bytes))), ...);
    else
      (vec::store(out + std::size_t(J) * stride, weight(code::template column<J>(bytes), scale, offset)), ...);
  }
  static constexpr std::array<std::uint32_t, 16> values = W.values;  // clang 14 crashes on the address of W's own
  NBIT_INLINE static real weight(real byte, real scale, real offset) {
    const real product = vec::mul(scale, vec::add(byte, vec::broadcast(static_cast<float>(-W.bias))));
    if constexpr (W.offset != tile_number::none)
      return vec::add(product, offset);
    else
      return product;
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
      const std::uint8_t code = detail::tile_code<form.bits>(block, r % form.rows, at % form.block);
      const float product = scale[r % form.rows] * level(code);
      out[i] = form.offset == tile_number::none ? product : product + offset[r % form.rows];
    }
  }

 private:
  static float level(std::uint8_t code) {
    if constexpr (form_of<F>.floats)
      return F::levels[code];
    else
      return static_cast<float>(F::level(code));
  }
};

template <class F>
struct gemv_kernel<NBIT_ARCH, packed_view<F, row_tiles>> {
  using weights = packed_view<F, row_tiles>;
  static constexpr tile_form form = form_of<F>;
  static constexpr kernel_about about = own_kernel("row tiles decoded to floats, sixty-four rows at a time"),
                                about_int8 = form.floats
                                                 ? own_kernel("row tiles decoded to floats, activations to floats",
                                                              "the format has no integer levels")
                                                 : own_kernel("row tiles, lanes are rows, integer sums in registers");

  /// Needs: first is a multiple of sixteen.
  template <int Group>
  static void rows(const weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                   float* y) noexcept {
    if (w.cols == 0)
      for (std::size_t r = first; r < first + count; ++r) y[r] = 0.0f;
    if constexpr (form.floats)
      gemm_kernel<NBIT_ARCH, weights>::block(w, first, count, x, matrix_view<float>(y, 1, w.rows));
    else
      tile_block<NBIT_ARCH, form, int8_activations<Group>>::one(w.tile(first / form.rows), w.cols, count,
                                                                first + count < w.rows, x, y + first);
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

}  // namespace NBIT_TAG
}  // namespace nbit
