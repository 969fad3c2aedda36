// nbit/kernel/block_gemv.inl — gemv with int8 activations on blocks, over block_dots; included by
// kernel/block_gemv.hpp once per target.
//
// One row after the other, from front to back, is the only order in which one core reads memory at full rate (two rows
// side by side halve it). So a row's block sums go to a small buffer first; the chains of four rows then run side by
// side over the buffers, which hides the latency of their multiply-adds.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <class F>
  requires(has_block_dots<NBIT_ARCH, F>)
struct block_gemv<NBIT_ARCH, F> {
  using dots = block_dots<NBIT_ARCH, F>;
  using quad = quads<NBIT_ARCH>;

  template <int Group>
  static void rows(const packed_view<F, blocks>& w, std::size_t first, std::size_t count,
                   const int8_activations<Group>& x, std::size_t m, float* y) noexcept {
    for (std::size_t r = first; r < first + count; r += tall) {
      const std::size_t n = first + count - r < tall ? first + count - r : tall;
      float chains[4 * tall] = {};
      for (std::size_t c = 0; c < w.cols; c += wide) {
        side s;
        prepare(x, m, c, w.cols - c < wide ? w.cols - c : wide, s);
        for (std::size_t i = 0; i < n; i += 4) four_rows(w, r + i, n - i, c, s, chains + 4 * i);
      }
      for (std::size_t i = 0; i < n; ++i) y[r + i] = quad::reduce(quad::load(chains + 4 * i));
    }
  }

 private:
  // Rows whose chains are kept at a time; columns for which the activations are kept on the stack.
  static constexpr std::size_t tall = 64, wide = 16384;
  static constexpr std::size_t columns = dots::columns, step = dots::step, bytes = F::block_bytes;
  static constexpr std::size_t most = wide / columns;  // blocks of a piece of a row
  static constexpr bool two_level = two_level_format<F>, offset = has_offset<F>;
  using scale_t = typename dots::scale_t;

  // What the activations of up to `wide` columns bring: codes in the order that the dots want, `extra` integers for
  // each block, its scale and, for formats with an offset on one level, scale * (sum of codes).
  struct side {
    alignas(64) std::int8_t codes[wide];
    alignas(64) std::int32_t extra[dots::extra != 0 ? most * dots::extra : 1];
    float scale[most];
    float sum[offset && !two_level ? most : 1];
    std::size_t blocks = 0, whole = 0;  // blocks; blocks in whole steps
  };

  template <int Group>
  static void prepare(const int8_activations<Group>& x, std::size_t m, std::size_t c, std::size_t n, side& s) {
    s.blocks = (n + columns - 1) / columns;
    s.whole = s.blocks / step * step;
    const std::size_t stored = (n + 63) / 64 * 64;  // columns that the activations have
    for (std::size_t b = 0; b < s.blocks; b += step) {
      const std::size_t at = b * columns;
      const std::int8_t* codes = x.row_codes(m) + c + at;
      const std::int16_t* sums = x.row_sums(m) + (c + at) / 16;
      alignas(64) std::int8_t last_codes[columns * step] = {};
      std::int16_t last_sums[columns * step / 16] = {};
      if (stored - at < columns * step) {  // beyond the columns: zeros
        std::memcpy(last_codes, codes, stored - at);
        std::memcpy(last_sums, sums, (stored - at) / 16 * sizeof last_sums[0]);
        codes = last_codes, sums = last_sums;
      }
      dots::arrange(codes, sums, s.codes + at, s.extra + b * dots::extra);
      if constexpr (offset && !two_level) {
        for (std::size_t i = 0; i < step; ++i) {
          int sum = 0;
          for (std::size_t k = 0; k < columns / 16; ++k) sum += sums[i * columns / 16 + k];
          s.sum[b + i] = static_cast<float>(sum);
        }
      }
    }
    for (std::size_t b = 0; b < s.blocks; ++b) {
      s.scale[b] = x.scale16(m, (c + b * columns) / 16);
      if constexpr (offset && !two_level) s.sum[b] *= s.scale[b];
    }
  }

  // What one row brings: the sums and scales of its blocks.
  struct found {
    alignas(64) float sum[most];
    alignas(64) float offset_sum[offset && two_level ? most : 1];
    alignas(64) float scale[most];
    alignas(64) float offset_scale[offset && two_level ? most : 1];
    scale_t stored_scale[most];
    scale_t stored_offset[offset ? most : 1];
  };

  // With fewer than four, the first stands in for those that are missing.
  static void four_rows(const packed_view<F, blocks>& w, std::size_t r, std::size_t n, std::size_t c, const side& s,
                        float* chains) {
    found row[4];
    for (std::size_t i = 0; i < 4 && i < n; ++i) {
      read(w.block(r + i, c / columns), s, row[i]);
      multiply(s, row[i]);
    }
    const found &a = row[0], &b = row[n > 1 ? 1 : 0], &d = row[n > 2 ? 2 : 0], &e = row[n > 3 ? 3 : 0];
    auto sa = quad::load(chains), sb = quad::load(chains + 4), sd = quad::load(chains + 8),
         se = quad::load(chains + 12);
    std::size_t k = 0;
    for (; k + 4 <= s.blocks; k += 4)
      sa = add(a, s, k, sa), sb = add(b, s, k, sb), sd = add(d, s, k, sd), se = add(e, s, k, se);
    if (const std::size_t left = s.blocks - k; left != 0) {
      sa = quad::first(left, add(a, s, k, sa), sa), sb = quad::first(left, add(b, s, k, sb), sb);
      sd = quad::first(left, add(d, s, k, sd), sd), se = quad::first(left, add(e, s, k, se), se);
    }
    quad::store(chains, sa), quad::store(chains + 4, sb), quad::store(chains + 8, sd), quad::store(chains + 12, se);
  }

  NBIT_INLINE static typename quad::type add(const found& row, const side& s, std::size_t b, typename quad::type to) {
    to = quad::fma(quad::load(row.scale + b), quad::load(row.sum + b), to);
    if constexpr (offset && two_level)
      to = quad::fma(quad::load(row.offset_scale + b), quad::load(row.offset_sum + b), to);
    else if constexpr (offset)
      to = quad::fma(quad::load(row.stored_offset + b), quad::load(s.sum + b), to);
    return to;
  }

  // The products of the two scales, sixteen at a time; those beyond the last block are not used.
  NBIT_INLINE static void multiply(const side& s, found& row) {
    using vec = lanes<NBIT_ARCH>;
    const std::size_t n = s.blocks;
    for (std::size_t b = 0; b < n; b += lane_count) {
      const auto x = vec::load(s.scale + b);
      vec::store(row.scale + b, vec::mul(load16(row.stored_scale + b), x));
      if constexpr (offset && two_level) vec::store(row.offset_scale + b, vec::mul(load16(row.stored_offset + b), x));
    }
  }

  NBIT_INLINE static typename lanes<NBIT_ARCH>::type load16(const f16* p) { return lanes<NBIT_ARCH>::load_f16(p); }
  NBIT_INLINE static typename lanes<NBIT_ARCH>::type load16(const float* p) { return lanes<NBIT_ARCH>::load(p); }

  static void read(const std::byte* row, const side& s, found& out) {
    const std::size_t n = s.blocks, whole = s.whole;
    std::byte rest[step * bytes];  // the last blocks: a copy, so that nothing beyond the row is read
    if (whole < n) {
      std::memset(rest, 0, sizeof rest);
      std::memcpy(rest, row + whole * bytes, (n - whole) * bytes);
    }
    for (std::size_t b = 0; b < n; b += step) take(b < whole ? row + b * bytes : rest, s, b, out);
  }
  NBIT_INLINE static void take(const std::byte* from, const side& s, std::size_t b, found& out) {
    dots::sums(from, s.codes + b * columns, s.extra + b * dots::extra,
               block_sums<scale_t>{out.sum + b, out.offset_sum + (offset && two_level ? b : 0), out.stored_scale + b,
                                   out.stored_offset + (offset ? b : 0)});
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
