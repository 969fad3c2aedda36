// nbit/kernel/matrix_products.inl — gemm of int8 activations on row tiles in matrix registers; included by
// kernel/row_tiles.hpp for the extension that has them.
//
// As kernel/tile_products.inl, 128 rows x 512 columns are unpacked into a panel, which all tokens then read. The unit
// gives exact sums of a segment for sixteen rows and a few tokens; from there on additions are those of
// kernel/tile_dot.hpp, a token at a time.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

/// W: the form of a panel; top: the largest byte in it.
template <tile_form W, class X>
struct matrix_block<NBIT_ARCH, W, X> {
  using base = arch::base_of<NBIT_ARCH>;
  using vec = lanes<base>;
  using code = code_lanes<base>;
  using real = vec::type;
  using reader = tile_reader<base, W>;
  using dot = tile_dot<base, W, X>;
  using unit = matrix_unit<NBIT_ARCH>;
  static constexpr std::size_t chunk = W.chunk, run = dot::run, act = dot::act, segment = dot::segment,
                               segments = dot::wide / segment, span = dot::panel_span, tokens = unit::tokens,
                               depth = unit::template depth<segment>;
  static constexpr bool offsets = dot::offsets, fine_weights = dot::fine_weights;

  /// A few tokens over a span of columns.
  struct activations {
    typename dot::template tokens<tokens, span> numbers;
    alignas(64) std::int8_t codes[tokens * span];

    void set(const X& x, std::size_t m, std::size_t count, std::size_t c, std::size_t n) {
      for (std::size_t t = 0; t < count; ++t) numbers.set_token(x, m + t, c, n, t);
      std::int8_t* to = codes;
      n = (n + W.block - 1) / W.block * W.block;  // whole blocks are multiplied
      for (std::size_t i = 0; i < n; i += depth)
        for (std::size_t t = 0; t < tokens; ++t, to += depth)
          if (t < count)
            std::memcpy(to, x.row_codes(m + t) + c + i, depth);
          else
            std::memset(to, 0, depth);
    }
  };

  /// Makes what the unit wants of a chunk of a panel with n columns.
  static void weave(std::byte* head, std::size_t n) {
    std::byte* block = head + W.head_bytes();
    for (std::size_t c = 0; c < n; c += W.block, block += W.block_bytes()) {
      if constexpr (code::template centre<W.top> != 0)
        for (std::byte* step = block; step != block + W.block_bytes(); step += 64)
          code::store(step, code::template centred<W.top>(code::load(step)));
      unit::weave(block);
    }
    // the unit may take more columns at once than end here: times zeros
    if constexpr (depth > W.block)
      if ((n + W.block - 1) / W.block % (depth / W.block) != 0) std::memset(block, 0, W.block_bytes());
  }

  /// y(t, 0) ... y(t, rows - 1) += the dots of n columns of a tile with `count` tokens.
  static void tile(const std::byte* head, std::size_t n, const activations& x, std::size_t count, float* y,
                   std::size_t y_stride, std::size_t rows, bool fresh) {
    const std::size_t some = (rows < W.rows ? rows : W.rows) * sizeof(float);
    alignas(64) float outer[tokens * W.rows] = {};
    if (!fresh)
      for (std::size_t t = 0; t < count; ++t) std::memcpy(outer + t * W.rows, y + t * y_stride, some);
    for (std::size_t c = 0; c < n; c += chunk, head += W.chunk_bytes()) {
      const std::size_t left = ((n - c < chunk ? n - c : chunk) + W.block - 1) / W.block * W.block;
      for (std::size_t w = 0; w * dot::wide < left; ++w) piece(head, left, w, x, c, count, outer);
    }
    for (std::size_t t = 0; t < count; ++t) std::memcpy(y + t * y_stride, outer + t * W.rows, some);
  }

 private:
  // Piece w of a chunk that has `left` columns and begins at column c of the span.
  static void piece(const std::byte* head, std::size_t left, std::size_t w, const activations& x, std::size_t c,
                    std::size_t count, float* outer) {
    alignas(64) float inner[tokens * W.rows] = {};
    for (std::size_t s = w * segments; s < (w + 1) * segments && s * segment < left; ++s) {
      const std::size_t at = s * segment;
      alignas(64) std::int32_t sums[tokens * W.rows];
      unit::template multiply<segment>(head + W.head_bytes() + at * W.rows, x.codes + (c + at) * tokens,
                                       segment < left - at ? segment : left - at, count, sums);
      real scale = vec::zero(), offset = vec::zero();
      if constexpr (fine_weights) scale = reader::scale(head, s);
      if constexpr (fine_weights && offsets) offset = reader::offset(head, s, scale);
      for (std::size_t t = 0; t < count; ++t) {
        const auto& k = x.numbers;
        real sum = code::to_float(code::sums_at(sums + t * W.rows));
        if constexpr (dot::bias != 0)  // both are integers below 2^24, and so is their sum
          sum = vec::add(sum, vec::broadcast(static_cast<float>(k.start[t][(c + at) / segment])));
        if constexpr (!fine_weights) scale = vec::broadcast(k.scale[t][(c + at) / act]);
        real in = vec::fma(sum, scale, vec::load(inner + t * W.rows));
        if constexpr (fine_weights && offsets) in = vec::fma(offset, vec::broadcast(k.sum[t][(c + at) / run]), in);
        vec::store(inner + t * W.rows, in);
      }
    }
    real scale = vec::zero(), offset = vec::zero();
    if constexpr (!fine_weights) scale = reader::scale(head, w);
    if constexpr (!fine_weights && offsets) offset = reader::offset(head, w, scale);
    for (std::size_t t = 0; t < count; ++t) {
      const auto& k = x.numbers;
      if constexpr (fine_weights) scale = vec::broadcast(k.scale[t][c / act + w]);
      real out = vec::fma(vec::load(inner + t * W.rows), scale, vec::load(outer + t * W.rows));
      if constexpr (!fine_weights && offsets) out = vec::fma(offset, vec::broadcast(k.sum[t][c / run + w]), out);
      vec::store(outer + t * W.rows, out);
    }
  }
};

template <class F>
struct gemm_kernel<NBIT_ARCH, packed_view<F, row_tiles>>
    : gemm_kernel<arch::base_of<NBIT_ARCH>, packed_view<F, row_tiles>> {
  using weights = packed_view<F, row_tiles>;
  using rest = gemm_kernel<arch::base_of<NBIT_ARCH>, weights>;
  using rest::block, rest::form;
#if NBIT_TARGET == 2
  static constexpr kernel_about of_matrices =
      own_kernel("row tiles unpacked to panels of 128 rows, AMX tiles (tested by emulation only)");
#else
  static constexpr kernel_about of_matrices = own_kernel("row tiles unpacked to panels of 128 rows, smmla");
#endif
  static constexpr kernel_about about_int8 = form.floats ? rest::about_int8 : of_matrices;

  /// Needs: first is a multiple of sixteen.
  template <int Group>
  static void block(const weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                    matrix_view<float> y) noexcept {
    if constexpr (form.floats)
      rest::block(w, first, count, x, y);
    else
      by_matrices(w, first, count, x, y);
  }

 private:
  template <class X>
  static void by_matrices(const weights& w, std::size_t first, std::size_t count, const X& x,
                          matrix_view<float> y) noexcept {
    using panel = tile_panel<arch::base_of<NBIT_ARCH>, form, X>;
    using product = matrix_block<NBIT_ARCH, panel::form, X>;
    constexpr std::size_t span = product::span, bytes = span / form.chunk * panel::form.chunk_bytes(),
                          together = rest::outputs / form.rows;
    if (x.rows < product::unit::least || w.cols == 0) return rest::block(w, first, count, x, y);
    alignas(64) std::byte memory[together * bytes];
    typename product::activations k;
    [[maybe_unused]] const typename product::unit::template session<product::segment> ready{};
    const std::size_t pieces = (x.rows + product::tokens - 1) / product::tokens;  // of nearly equal size
    for (std::size_t c = 0; c < w.cols; c += span) {
      const std::size_t n = w.cols - c < span ? w.cols - c : span;
      for (std::size_t t = 0; t * form.rows < count; ++t) {
        const std::byte* from = w.tile(first / form.rows + t) + form.tile_bytes(c);
        std::byte* to = memory + t * bytes;
        for (std::size_t i = 0; i < n; i += form.chunk, from += form.chunk_bytes(), to += panel::form.chunk_bytes()) {
          const std::size_t some = n - i < form.chunk ? n - i : form.chunk;
          panel::unpack(from, some, to);
          product::weave(to, some);
        }
      }
      for (std::size_t i = 0; i < pieces; ++i) {
        const std::size_t m = i * x.rows / pieces, some = (i + 1) * x.rows / pieces - m;
        k.set(x, m, some, c, n);
        for (std::size_t t = 0; t * form.rows < count; ++t)
          product::tile(memory + t * bytes, n, k, some, &y(m, first + t * form.rows), y.stride, count - t * form.rows,
                        c == 0);
      }
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
