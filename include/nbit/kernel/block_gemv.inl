// nbit/kernel/block_gemv.inl — gemv with int8 activations on blocks, over block_dots; included by
// kernel/block_gemv.hpp once per target.
//
// One row after the other, from front to back, is the only order in which one core reads memory at full rate (two rows
// side by side halve it). So a row's block sums go to a small buffer first; the chains of four rows, or of a row's
// tokens, then run side by side over the buffers, which hides the latency of their multiply-adds.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <class Weights>
  requires(has_block_gemv<NBIT_ARCH, Weights>)
struct block_gemv<NBIT_ARCH, Weights> {
  using F = typename Weights::format;
  using source = block_source<Weights>;
  template <std::size_t Length>
  using dots_of = block_dots<NBIT_ARCH, typename source::template block<Length>>;
  using quad = quads<NBIT_ARCH>;
  static constexpr bool two_level = detail::has_two_levels<F>, offset = has_offset<F>;
  static constexpr std::size_t tokens = NBIT_TARGET == 2 ? 4 : 2;  // as many as registers hold the sums of

  /// Whether there is a kernel for activations that share a scale in groups of Group.
  template <int Group>
  static constexpr bool serves = [] {
    using cut = detail::int8_blocks<F, Group>;
    if constexpr (two_level != cut::two_level) return false;
    constexpr std::size_t columns = dots_of<cut::length>::columns;
    return two_level || (offset && !source::apart) ? cut::length == columns : cut::length % columns == 0;
  }();

  template <std::size_t Tokens, int Group>
  static void rows(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                   std::size_t m, std::size_t tokens_left, float* y, std::size_t stride) noexcept {
    using work = piece<Tokens, detail::int8_blocks<F, Group>::length>;
    if constexpr (Tokens == 1 && work::several) {
      if (work::takes_several(w.cols)) return work::short_rows(w, first, count, x, m, y);
    }
    for (std::size_t r = first; r < first + count; r += tall) {
      const std::size_t n = first + count - r < tall ? first + count - r : tall;
      float chains[4 * tall * Tokens] = {};
      for (std::size_t c = 0; c < w.cols; c += work::wide) {
        typename work::side s;
        work::prepare(x, m, tokens_left, c, w.cols - c < work::wide ? w.cols - c : work::wide, s);
        for (std::size_t i = 0; i < n; i += work::tall) work::few_rows(w, r + i, n - i, c, s, chains + 4 * Tokens * i);
      }
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t t = 0; t < Tokens && t < tokens_left; ++t)
          y[t * stride + r + i] = quad::reduce(quad::load(chains + 4 * (Tokens * i + t)));
    }
  }

 private:
  static constexpr std::size_t tall = 128;  // rows whose chains are kept at a time

  // A piece of a few rows and tokens; chains add blocks of Length columns.
  template <std::size_t Tokens, std::size_t Length>
  struct piece {
    using block = typename source::template block<Length>;
    using dots = dots_of<Length>;
    using scale_t = std::conditional_t<source::apart, float, typename dots::scale_t>;
    static constexpr std::size_t columns = dots::columns, step = dots::step,
                                 step_bytes = columns * step / std::size_t(block::group) * block::block_bytes;
    static constexpr std::size_t wide = 16384 / Tokens;  // columns for which the activations are kept on the stack
    static constexpr std::size_t tall = 4 / Tokens;      // rows whose chains run side by side
    static constexpr std::size_t most = wide / columns;  // blocks of a piece of a row
    // Two pages: the machine's own prefetching stops where a page ends.
    static constexpr std::size_t ahead = 8192;
    static constexpr std::size_t merged = Length / columns;  // blocks of sums to a block of the chains
    // A line more than the codes of a token: tokens that lie a power of two apart would share the sets of a cache.
    static constexpr std::size_t code_stride = most * dots::width + 64, extra_stride = most * dots::extra + 16;
    using code_row = block_row<std::int8_t, Tokens, code_stride>;
    using extra_row = block_row<std::int32_t, Tokens, extra_stride>;

    /// Whether a step can take several short rows, which then are neighbours as blocks of one row are: a KV cache.
    static constexpr bool several = !source::apart && !two_level && merged == 1;
    static bool takes_several(std::size_t cols) {
      return cols != 0 && cols % source::group == 0 && 2 * cols <= columns * step && columns * step % cols == 0;
    }

    // What the activations of up to `wide` columns bring: codes in the order that the dots want, `extra` integers for
    // each block, its scale and, for formats with an offset on one level, scale * (sum of codes).
    struct side {
      alignas(64) std::int8_t codes[Tokens * code_stride];
      alignas(64) std::int32_t extra[Tokens * extra_stride];
      float scale[Tokens][most];
      float sum[Tokens][offset && !two_level ? most : 1];
      std::size_t steps = 0, whole = 0, bytes = 0;  // steps; those that lie inside the row; bytes of the row
      std::size_t blocks = 0;                       // blocks of the chains
    };

    template <int Group>
    static void prepare(const int8_activations<Group>& x, std::size_t m, std::size_t tokens_left, std::size_t c,
                        std::size_t n, side& s) {
      s.blocks = (n + Length - 1) / Length;
      s.steps = (n + columns * step - 1) / (columns * step);
      s.whole = source::bytes(n) / step_bytes, s.bytes = source::bytes(n);
      for (std::size_t t = 0; t < Tokens; ++t)  // the last token stands in for those that are missing
        prepare_token(x, m + (t < tokens_left ? t : tokens_left - 1), c, n, t, s);
    }
    // Not inline: two places want it, and it is some 300 bytes.
    NBIT_NOINLINE static void arrange(const std::int8_t* codes, const std::int16_t* sums, std::int8_t* out,
                                      std::int32_t* extra) {
      dots::arrange(codes, sums, out, extra);
    }
    template <int Group>
    static void prepare_token(const int8_activations<Group>& x, std::size_t m, std::size_t c, std::size_t n,
                              std::size_t t, side& s) {
      const std::size_t stored = (n + 63) / 64 * 64;  // columns that the activations have
      for (std::size_t b = 0; b < s.steps * step; b += step) {
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
        arrange(codes, sums, s.codes + t * code_stride + b * dots::width, s.extra + t * extra_stride + b * dots::extra);
      }
      for (std::size_t b = 0; b < s.blocks; ++b) {
        s.scale[t][b] = x.scale16(m, (c + b * Length) / 16);
        if constexpr (offset && !two_level) {
          const std::size_t first = b * Length / 16, end = first + Length / 16;
          int sum = 0;
          for (std::size_t k = first; k < end && k < stored / 16; ++k) sum += x.row_sums(m)[c / 16 + k];
          s.sum[t][b] = s.scale[t][b] * static_cast<float>(sum);
        }
      }
    }

    // What one row brings: the sums and scales of its blocks.
    struct found {
      alignas(64) float sum[Tokens][most];
      alignas(64) float offset_sum[Tokens][offset && two_level ? most : 1];
      alignas(64) float scale[Tokens][most];
      alignas(64) float offset_scale[Tokens][offset && two_level ? most : 1];
      scale_t stored_scale[most];
      scale_t stored_offset[offset ? most : 1];
    };

    // With fewer than four chains to add to, the first row stands in for those that are missing.
    static void few_rows(const Weights& w, std::size_t r, std::size_t n, std::size_t c, const side& s, float* chains) {
      found row[tall];
      for (std::size_t i = 0; i < tall && i < n; ++i) {
        read(source::at(w, r + i, c), s, row[i]);
        if constexpr (merged > 1) merge(s, row[i]);
        if constexpr (source::apart) load_scales(w, r + i, c, s, row[i]);
        multiply(s, row[i]);
      }
      const auto of = [&](std::size_t i) -> const found& { return row[i / Tokens < n ? i / Tokens : 0]; };
      const found &f0 = of(0), &f1 = of(1), &f2 = of(2), &f3 = of(3);
      constexpr std::size_t t1 = 1 % Tokens, t2 = 2 % Tokens, t3 = 3 % Tokens;
      auto s0 = quad::load(chains), s1 = quad::load(chains + 4), s2 = quad::load(chains + 8),
           s3 = quad::load(chains + 12);
      std::size_t k = 0;
      for (; k + 4 <= s.blocks; k += 4)
        s0 = add<0>(f0, s, k, s0), s1 = add<t1>(f1, s, k, s1), s2 = add<t2>(f2, s, k, s2), s3 = add<t3>(f3, s, k, s3);
      if (const std::size_t left = s.blocks - k; left != 0) {
        s0 = quad::first(left, add<0>(f0, s, k, s0), s0), s1 = quad::first(left, add<t1>(f1, s, k, s1), s1);
        s2 = quad::first(left, add<t2>(f2, s, k, s2), s2), s3 = quad::first(left, add<t3>(f3, s, k, s3), s3);
      }
      quad::store(chains, s0), quad::store(chains + 4, s1), quad::store(chains + 8, s2), quad::store(chains + 12, s3);
    }

    template <int Group>
    static void short_rows(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                           std::size_t m, float* y) noexcept {
      const std::size_t blocks = w.cols / columns, together = step / blocks, bytes = source::bytes(w.cols);
      side s;
      prepare_repeated(x, m, w.cols, s);
      found row;
      for (std::size_t r = first; r < first + count; r += together) {
        const std::size_t n = first + count - r < together ? first + count - r : together;
        const std::byte* from = source::at(w, r, 0);
        std::byte rest[step_bytes];
        if (n < together) {
          std::memset(rest, 0, sizeof rest);
          std::memcpy(rest, from, n * bytes);
          from = rest;
        }
        read(from, s, row);
        multiply(s, row);
        for (std::size_t i = 0; i < n; ++i) {
          auto chain = quad::zero();
          for (std::size_t b = 0; b < blocks; b += 4)
            chain = quad::first(blocks - b, add<0>(row, s, i * blocks + b, chain), chain);
          y[r + i] = quad::reduce(chain);
        }
      }
    }

   private:
    // The activations of a step of short rows: the same ones for each.
    template <int Group>
    static void prepare_repeated(const int8_activations<Group>& x, std::size_t m, std::size_t cols, side& s) {
      s.blocks = step, s.steps = s.whole = 1;
      alignas(64) std::int8_t codes[columns * step];
      std::int16_t sums[columns * step / 16];
      for (std::size_t c = 0; c < columns * step; c += cols) {
        std::memcpy(codes + c, x.row_codes(m), cols);
        std::memcpy(sums + c / 16, x.row_sums(m), cols / 16 * sizeof sums[0]);
      }
      arrange(codes, sums, s.codes, s.extra);
      for (std::size_t b = 0; b < step; ++b) {
        const std::size_t at = b * columns % cols / 16;
        s.scale[0][b] = x.scale16(m, at);
        if constexpr (offset && !two_level) {
          int sum = 0;
          for (std::size_t k = at; k < at + columns / 16; ++k) sum += x.row_sums(m)[k];
          s.sum[0][b] = s.scale[0][b] * static_cast<float>(sum);
        }
      }
    }

    template <std::size_t Token>
    NBIT_INLINE static typename quad::type add(const found& row, const side& s, std::size_t b, typename quad::type to) {
      to = quad::fma(quad::load(row.scale[Token] + b), quad::load(row.sum[Token] + b), to);
      if constexpr (offset && two_level)
        to = quad::fma(quad::load(row.offset_scale[Token] + b), quad::load(row.offset_sum[Token] + b), to);
      else if constexpr (offset)
        to = quad::fma(quad::load(row.stored_offset + b), quad::load(s.sum[Token] + b), to);
      return to;
    }

    // Sums of neighbouring blocks of sums, which floats hold exactly, pair by pair; their scales are equal.
    static void merge(const side& s, found& row) {
      for (std::size_t by = merged / 2; by > 0; by /= 2)
        for (std::size_t t = 0; t < Tokens; ++t)
          for (std::size_t b = 0; b < s.blocks * by; b += 4)
            quad::store(row.sum[t] + b,
                        quad::add_pairs(quad::load(row.sum[t] + 2 * b), quad::load(row.sum[t] + 2 * b + 4)));
      if constexpr (!source::apart)
        for (std::size_t b = 0; b < s.blocks; ++b) row.stored_scale[b] = row.stored_scale[merged * b];
    }

    static void load_scales(const Weights& w, std::size_t r, std::size_t c, const side& s, found& row) {
      constexpr std::size_t group = F::group > 0 ? std::size_t(F::group) : wide, its = group / Length;
      for (std::size_t b = 0; b < s.blocks; b += its) {  // a group's number serves all of its blocks
        const typename F::params& p = w.group_params(r, F::group > 0 ? (c + b * Length) / group : 0);
        const float scale = F::scale(p, 0), lowest = offset ? F::offset(p, 0) : 0.0f;
        for (std::size_t k = b; k < b + its && k < s.blocks; ++k) {
          row.stored_scale[k] = scale;
          if constexpr (offset) row.stored_offset[k] = lowest;
        }
      }
    }

    // The products of the two scales, sixteen at a time; those beyond the last block are not used.
    NBIT_INLINE static void multiply(const side& s, found& row) {
      using vec = lanes<NBIT_ARCH>;
      for (std::size_t b = 0; b < s.blocks; b += lane_count) {
        auto scale = load16(row.stored_scale + b);
        if constexpr (dots::factor != 1.0f) scale = vec::mul(scale, vec::broadcast(dots::factor));
        for (std::size_t t = 0; t < Tokens; ++t) {
          const auto x = vec::load(s.scale[t] + b);
          vec::store(row.scale[t] + b, vec::mul(scale, x));
          if constexpr (offset && two_level)
            vec::store(row.offset_scale[t] + b, vec::mul(load16(row.stored_offset + b), x));
        }
      }
    }

    NBIT_INLINE static typename lanes<NBIT_ARCH>::type load16(const f16* p) { return lanes<NBIT_ARCH>::load_f16(p); }
    NBIT_INLINE static typename lanes<NBIT_ARCH>::type load16(const float* p) { return lanes<NBIT_ARCH>::load(p); }

    static void read(const std::byte* row, const side& s, found& out) {
      std::byte rest[step_bytes];  // the last blocks: a copy, so that nothing beyond the row is read
      if (s.whole < s.steps) {
        std::memset(rest, 0, sizeof rest);
        std::memcpy(rest, row + s.whole * step_bytes, s.bytes - s.whole * step_bytes);
      }
      for (std::size_t i = 0; i < s.steps; ++i) {
        for (std::size_t k = 0; k < step_bytes; k += 64) detail::prefetch_ahead(row + i * step_bytes, k + ahead);
        take(i < s.whole ? row + i * step_bytes : rest, s, i * step, out);
      }
    }
    NBIT_INLINE static void take(const std::byte* from, const side& s, std::size_t b, found& out) {
      dots::sums(from, code_row{s.codes + b * dots::width}, extra_row{s.extra + b * dots::extra},
                 block_sums<scale_t>{out.sum[0] + b, out.offset_sum[0] + (offset && two_level ? b : 0),
                                     out.stored_scale + b, out.stored_offset + (offset ? b : 0), most});
    }
  };
};

}  // namespace NBIT_TAG
}  // namespace nbit
