// nbit/kernel/decode_words.inl — word_decoder<Arch, Weights>; included by kernel/decode_words.hpp once per target.
// SPDX-License-Identifier: MIT
#if NBIT_TARGET == 1 || NBIT_TARGET == 2

namespace nbit {
inline namespace NBIT_TAG {

template <class F>
  requires(detail::decodes_from_words<F>)
struct word_decoder<NBIT_ARCH, packed_view<F, gptq_words>> {
  using weights = packed_view<F, gptq_words>;
  using row_piece = packed_view<F, linear>;
  static constexpr std::size_t piece = detail::words_piece<F::bits>, bits = std::size_t(F::bits), rows = lane_count;

  static std::size_t stream(const weights& w, std::size_t first, std::size_t count, matrix_view<float> out) noexcept {
    if (w.group_index != nullptr || w.cols % 32 != 0) return 0;
    const std::size_t end = first + count / rows * rows;
    for (std::size_t r = first; r < end; r += rows)
      for (std::size_t c = 0; c < w.cols; c += piece) sixteen_rows(w, r, c, out);
    return end - first;
  }

 private:
  static constexpr std::size_t squares = piece / 32 * bits / lane_count, row_words = squares * lane_count;

  static void sixteen_rows(const weights& w, std::size_t first, std::size_t c, matrix_view<float> out) noexcept {
    const std::size_t n = w.cols - c < piece ? w.cols - c : piece, count = n / 32 * bits;
    const std::uint32_t* const words = w.words + c / 32 * bits * w.rows + first;
    alignas(64) float codes[rows][row_words];
    for (std::size_t i = 0; i < count; i += lane_count) transpose(words + i * w.rows, w.rows, count - i, codes[0] + i);
    // What comes next are lines far apart, which the machine does not ask for by itself.
    const std::size_t next = c + piece < w.cols ? c / 32 * bits + row_words : 0, row = first + (next == 0 ? rows : 0);
    for (std::size_t k = 0; k < rows; ++k) {
      for (std::size_t i = 0; i < squares; ++i)
        detail::prefetch_ahead(w.words, (next + k * squares + i) * w.rows + row);
      const std::size_t r = first + k, group = F::group > 0 ? c / group_length<F>(w.cols) : 0;
      row_decoder<NBIT_ARCH, row_piece>::stream(
          row_piece(reinterpret_cast<const std::uint8_t*>(codes[k]), &w.group_params(r, group), {1, n}), 0,
          out.row(r).data() + c);
    }
  }
  // Sixteen words, or what is left of them, of sixteen rows.
  NBIT_INLINE static void transpose(const std::uint32_t* words, std::size_t stride, std::size_t left, float* to) {
    const float* from[lane_count];
    for (std::size_t i = 0; i < lane_count; ++i)
      from[i] = reinterpret_cast<const float*>(words + (i < left ? i : 0) * stride);
    lane_math<NBIT_ARCH>::template columns8<row_words>(from, to);
    for (const float*& word : from) word += 8;
    lane_math<NBIT_ARCH>::template columns8<row_words>(from, to + 8 * row_words);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit

#endif
