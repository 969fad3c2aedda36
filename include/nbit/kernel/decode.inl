// nbit/kernel/decode.inl — the generic row_decoder; included by kernel/decode.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const float>> {
  static void floats(const matrix_view<const float>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    std::memcpy(out, w.data + r * w.stride + c, n * sizeof(float));
  }
};

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const f16>> {
  static void floats(const matrix_view<const f16>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    const f16* const from = w.data + r * w.stride + c;
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) lanes<NBIT_ARCH>::store(out + i, lanes<NBIT_ARCH>::load_f16(from + i));
    for (; i < n; ++i) out[i] = float(from[i]);
  }
};

template <>
struct row_decoder<NBIT_ARCH, matrix_view<const bf16>> {
  static void floats(const matrix_view<const bf16>& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    const bf16* const from = w.data + r * w.stride + c;
    for (std::size_t i = 0; i < n; ++i) out[i] = float(from[i]);
  }
};

/// Where vectors go, one after another.
template <>
struct plain_stores<NBIT_ARCH> {
  float* out;

  NBIT_HOST_INLINE explicit plain_stores(float* to) : out(to) {}
  NBIT_HOST_INLINE void put(typename lanes<NBIT_ARCH>::type v) {
    lanes<NBIT_ARCH>::store(out, v);
    out += lane_count;
  }
  NBIT_HOST_INLINE void flush() {}
};

template <class F, class L>
struct row_decoder<NBIT_ARCH, packed_view<F, L>> {
  using weights = packed_view<F, L>;
  using code = code_t<F>;
  static constexpr bool blocked = std::is_same_v<L, blocks>;
  static constexpr std::size_t chunk = detail::chunk_of<weights>, step = std::size_t(step_of<F>);

  static void floats(const weights& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    plain_stores<NBIT_ARCH> to(out);
    decode(w, r, c, n, out, to);
  }
  static void stream(const weights& w, std::size_t r, float* out)
    requires(has_past_caches<NBIT_ARCH> && (F::group <= 0 || F::group % 16 == 0))
  {
    past_caches<here> to(out);
    for (std::size_t c = 0; c < w.cols; c += chunk)
      decode(w, r, c, w.cols - c < chunk ? w.cols - c : chunk, out + c, to);
    to.flush();
  }

  /// Whether `into` gives a row as whole vectors.
  static bool in_vectors(const weights& w) {
    if constexpr (!blocked)
      if (w.group_index != nullptr) return false;
    return (by_table || by_runs || by_zero) && (F::group <= 0 || F::group % 16 == 0) && w.cols % lane_count == 0;
  }
  /// floats, handed to `to` sixteen at a time.  Needs: in_vectors(w).
  template <class Stores>
  static void into(const weights& w, std::size_t r, std::size_t c, std::size_t n, Stores& to) {
    decode(w, r, c, n, nullptr, to);
  }

  static void levels(const weights& w, std::size_t r, std::size_t c, std::size_t n, std::int8_t* level, float* scale,
                     float* offset)
    requires(detail::has_integer_runs<F>)
  {
    code codes[(chunk + 7) / step];
    if constexpr (!blocked) unpack(w, r, c / step, (n + step - 1) / step, codes);
    if constexpr (!blocked && step > 1 && step < 8) codes[(n + step - 1) / step] = 0;
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) F::load_codes(w.block(r, g), codes + i / step);
      const typename F::params p = params_of(w, r, g);
      if constexpr (step > 1) {  // the row may end inside the last eight: the levels after it are zeroed below
        for (std::size_t j = 0; j < m; j += 8)
          F::signed_levels(codes + (i + j) / step, p, static_cast<int>(at + j), level + i + j);
      } else {
        std::size_t j16 = 0;
        for (; j16 + lane_count <= m; j16 += lane_count) {  // local arrays alias nothing: these loops become vectors
          std::uint8_t code16[lane_count];
          std::int8_t level16[lane_count];
          std::memcpy(code16, codes + i + j16, sizeof code16);
          for (std::size_t k = 0; k < lane_count; ++k) level16[k] = static_cast<std::int8_t>(F::level(code16[k]));
          std::memcpy(level + i + j16, level16, sizeof level16);
        }
        for (std::size_t j = j16; j < m; ++j) level[i + j] = static_cast<std::int8_t>(F::level(codes[i + j]));
      }
      for (std::size_t j = 0; j < m; j += 16) {
        scale[(i + j) / 16] = F::scale(p, run_of(at + j));
        if constexpr (has_offset<F>) offset[(i + j) / 16] = F::offset(p, run_of(at + j));
      }
      i += m;
    }
    for (std::size_t i = n; i % 64 != 0; ++i) level[i] = 0;
    for (std::size_t b = (n + 15) / 16; b % 4 != 0; ++b) scale[b] = 0.0f, offset[b] = 0.0f;
  }

  NBIT_HOST_INLINE static typename F::params params_of(const weights& w, std::size_t r, std::size_t g) {
    if constexpr (blocked)
      return F::load_params(w.block(r, g));
    else
      return w.group_params(r, g);
  }

 private:
  using vec = lanes<NBIT_ARCH>;
  // dependent on F: not every instruction set has the primitives that the branches below name
  using here = std::conditional_t<(F::bits > 0), NBIT_ARCH, void>;
  using math = lane_math<here>;
  using sixteen = row_codes<here>;
  static constexpr bool vectors = has_lane_math<NBIT_ARCH>, by_table = has_same_values<F> && F::bits <= 4 && step == 1,
                        by_runs = has_exact_levels<F> && detail::has_integer_runs<F>,
                        by_zero = vectors && F::bits <= 8 && detail::says_zero<F>;

  // Where sixteen codes come from: position i, a multiple of sixteen, of a group or a piece of one.
  struct from_codes {
    const code* at;
    NBIT_HOST_INLINE auto operator()(std::size_t i) const {
      if constexpr (vectors)
        return sixteen::load(at + i);
      else
        return at + i;
    }
  };
  struct from_block {
    const std::byte* block;
    NBIT_HOST_INLINE auto operator()(std::size_t i) const {
      return sixteen::from(F::codes16(block, static_cast<int>(i / lane_count)));
    }
  };
  struct from_bits {
    const std::uint8_t* at;
    NBIT_HOST_INLINE auto operator()(std::size_t i) const {
#if NBIT_TARGET == 2
      return sixteen::template wide16<F::bits, !(by_table && F::bits == 4)>(at + i / 8 * std::size_t(F::bits));
#else
      return sixteen::template spread16<F::bits>(at + i / 8 * std::size_t(F::bits));
#endif
    }
  };
  static constexpr bool fused_block = vectors && blocked && (by_table || by_runs || by_zero) && detail::has_codes16<F>,
                        fused_bits = vectors && std::is_same_v<L, linear> && step == 1 && F::bits <= 8 &&
                                     (by_table || by_runs || by_zero) && (F::group <= 0 || F::group % 16 == 0),
                        fused_points = vectors && blocked && detail::has_points16<F>,
                        by_nibbles = NBIT_TARGET == 2 && blocked && by_runs && detail::has_nibbles<F>;

  template <class Stores>
  NBIT_HOST_INLINE static void decode(const weights& w, std::size_t r, std::size_t c, std::size_t n, float* out,
                                      Stores& to) {
    const std::size_t length = group_length<F>(w.cols);
    code codes[chunk / step];
    if constexpr (!blocked) {
      if (w.group_index != nullptr) return by_index(w, r, c, n, out, to);
      if (!fused_bits) unpack(w, r, c / step, (n + step - 1) / step, codes);
    }
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) {
        const std::byte* const block = w.block(r, g);
        if (m == std::size_t(F::group) && (fused_block || fused_points)) {
          whole_block(block, to);
        } else {
          F::load_codes(block, codes);
          values_from(codes, F::load_params(block), 0, 0, m, out + i, to);
        }
      } else {
        const typename F::params& p = w.group_params(r, g);
        std::size_t whole = 0;
        if constexpr (fused_bits) {
          whole = m / lane_count * lane_count;
          const std::size_t first = (r * w.padded().cols + c + i) / 8 * std::size_t(F::bits);
          vector_values(from_bits{w.words + first}, p, at, whole, to);
          if (whole != m) unpack_row<L, F::bits>(w.words, w.padded(), r, c + i, m, codes + i);
        }
        values_from(codes + i / step, p, at, whole, m, out + i, to);
      }
      i += m;
    }
  }
  template <class Stores>
  NBIT_HOST_INLINE static void whole_block(const std::byte* block, Stores& to) {
    constexpr std::size_t length = blocked ? std::size_t(F::group) : 0;
    if constexpr (fused_points) {
      const float d = F::block_scale(block);
      unrolled<Stores, length / lane_count>(
          [&](std::size_t i) __attribute__((always_inline)) { to.put(points16(block, d, static_cast<int>(i))); });
    } else if constexpr (fused_block && detail::has_block_runs<F>) {
      alignas(64) float scale[lane_count], offset[lane_count] = {};
      const auto s = F::runs_of(block);
      math::store(scale, math::mul(math::broadcast(s.super_scale), math::bytes16(s.scales.low, s.scales.high)));
      if constexpr (has_offset<F>)
        math::store(offset, math::mul(math::broadcast(s.super_offset), math::bytes16(s.offsets.low, s.offsets.high)));
      whole_group(from_block{block}, scale, offset, to);
    } else if constexpr (by_nibbles) {
      const typename F::params p = F::load_params(block);
      constexpr std::size_t run = std::size_t(F::run);
      unrolled<Stores, length / run>([&](std::size_t s) __attribute__((always_inline)) {
        nibble_run(block, s, F::scale(p, static_cast<int>(s)), F::offset(p, static_cast<int>(s)), to);
      });
    } else if constexpr (fused_block) {
      vector_values(from_block{block}, F::load_params(block), 0, length, to);
    }
  }
  // The values of all codes of a run, and the nibbles of its first half, then of its second, choose among them.
  template <class Stores>
  NBIT_HOST_INLINE static void nibble_run([[maybe_unused]] const std::byte* block, [[maybe_unused]] std::size_t s,
                                          [[maybe_unused]] float scale, [[maybe_unused]] float offset,
                                          [[maybe_unused]] Stores& to) {
#if NBIT_TARGET == 2
    if constexpr (by_nibbles) {
      const std::byte* const nibbles = block + F::nibbles_at + s * std::size_t(F::run) / 2;
      const auto low = values16(scale, offset, 0);
      if constexpr (F::run == 16) {
        to.put(math::chosen(low, sixteen::wide_halves(nibbles)));
      } else if constexpr (detail::has_fifth_bits<F>) {
        const auto high = values16(scale, offset, 16);
        const auto codes = sixteen::wide(nibbles);
        std::uint16_t fifth[2];
        std::memcpy(fifth, block + F::fifth_bits_at + 4 * s, sizeof fifth);
        to.put(math::chosen(low, high, codes, fifth[0]));
        to.put(math::chosen(low, high, sixteen::upper_nibbles(codes), fifth[1]));
      } else {
        const auto codes = sixteen::wide(nibbles);
        to.put(math::chosen(low, codes)), to.put(math::chosen(low, sixteen::upper_nibbles(codes)));
      }
    }
#endif
  }
  NBIT_HOST_INLINE static typename vec::type values16(float scale, float offset, std::size_t first) {
    const auto product = vec::mul(vec::broadcast(scale), vec::load(detail::float_levels<F>.of + first));
    if constexpr (has_offset<F>)
      return vec::add(product, vec::broadcast(offset));
    else
      return product;
  }
  template <class Stores>
  static void by_index(const weights& w, std::size_t r, std::size_t c, std::size_t n, float* out, Stores& to) {
    if constexpr (!blocked && step == 1) {
      to.flush();  // nothing is kept back: what follows are plain stores
      code codes[chunk];
      unpack(w, r, c, n, codes);
      for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], w.group_params(r, w.group_index[c + i]), 0);
    }
  }

  static void unpack(const weights& w, std::size_t r, std::size_t c, std::size_t n, code* codes)
    requires(!blocked)
  {
    std::size_t i = 0;
    if constexpr (vectors && std::is_same_v<L, linear> && F::bits <= 8) {
      const auto* from = w.words + (r * w.padded().cols + c) / 8 * std::size_t(F::bits);
      for (; i + lane_count <= n; i += lane_count, from += 2 * F::bits)
        sixteen::store(codes + i, sixteen::template spread16<F::bits>(from));
    }
    unpack_row<L, F::bits>(w.words, w.padded(), r, c + i, n - i, codes + i);
  }

  // Which scale of its group a position has; the divisor is a constant.
  NBIT_HOST_INLINE static int run_of(std::size_t at)
    requires(detail::has_integer_runs<F>)
  {
    if constexpr (F::run > 0)
      return static_cast<int>(at / std::size_t(F::run));
    else
      return 0;
  }

  // Weights [first, n) of codes; those in whole vectors go to `to`, the last to out.
  template <class Stores>
  NBIT_HOST_INLINE static void values_from(const code* codes, const typename F::params& p, std::size_t at,
                                           std::size_t first, std::size_t n, float* out, Stores& to) {
    std::size_t i = first;
    if constexpr (by_table || by_runs || by_zero) {
      i = n / lane_count * lane_count;
      if (i > first) vector_values(from_codes{codes + first}, p, at + first, i - first, to);
    }
    if (i == n) return;
    to.flush();  // the row ends here, or nothing of it can be a vector
    for (; i < n; i += step) {
      if constexpr (step == 1) {
        out[i] = F::value(codes[i], p, static_cast<int>(at + i));
      } else if (i + step <= n) {
        F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(out + i, step));
      } else {  // the row ends inside a lattice point
        float whole[step];
        F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(whole, step));
        for (std::size_t j = 0; i + j < n; ++j) out[i + j] = whole[j];
      }
    }
  }

  // n weights, a multiple of sixteen, of which the first is at position `at` of its group.
  template <class Source, class Stores>
  NBIT_HOST_INLINE static void vector_values(const Source& codes, const typename F::params& p, std::size_t at,
                                             std::size_t n, Stores& to) {
    if constexpr (by_table) {
      alignas(64) float table[lane_count];
      table_of(p, table);
      for (std::size_t i = 0; i < n; i += lane_count) to.put(looked_up(table, codes(i)));
    } else if constexpr (by_runs) {
      runs(codes, p, at, n, to);
    } else if constexpr (by_zero) {
      const auto scale = math::broadcast(F::scale(p, 0)), zero = math::broadcast(F::zero(p));
      for (std::size_t i = 0; i < n; i += lane_count)
        to.put(math::mul(scale, math::sub(math::whole16(codes(i), 0), zero)));
    }
  }

  // Sixteen levels. Without primitives for it: plain loops over local arrays, which compilers turn into vectors.
  template <class Codes>
  NBIT_HOST_INLINE static typename vec::type levels16(Codes codes) {
    if constexpr (vectors && F::bits <= 4 && !(detail::levels_ascend<F> && F::level(0) == 0)) {
      return math::table16(detail::level_table<F>.of, codes);
    } else if constexpr (vectors && detail::levels_ascend<F>) {
      return math::whole16(codes, int{F::level(0)});
    } else {
      std::uint8_t code16[lane_count];
      float level16[lane_count];
      if constexpr (vectors)
        sixteen::store(code16, codes);
      else
        std::memcpy(code16, codes, sizeof code16);
      for (std::size_t j = 0; j < lane_count; ++j) level16[j] = static_cast<float>(F::level(code16[j]));
      return vec::load(level16);
    }
  }
  template <class Codes>
  NBIT_HOST_INLINE static typename vec::type looked_up(const float* table, Codes codes) {
    if constexpr (vectors) {
      return math::lookup16(table, codes);
    } else {
      float value[lane_count];
      for (std::size_t j = 0; j < lane_count; ++j) value[j] = table[codes[j]];
      return vec::load(value);
    }
  }

  // A scale is read once for its run.
  template <class Source, class Stores>
  NBIT_HOST_INLINE static void runs(const Source& codes, const typename F::params& p, std::size_t at, std::size_t n,
                                    Stores& to) {
    for (std::size_t i = 0; i < n;) {
      const int s = run_of(at + i);
      std::size_t end = n;
      if constexpr (F::run > 0) end = i + (std::size_t(F::run) - (at + i) % std::size_t(F::run));
      if (end > n) end = n;
      run(codes, F::scale(p, s), has_offset<F> ? F::offset(p, s) : 0.0f, i, end, to);
      i = end;
    }
  }
  template <class Source, class Stores>
  NBIT_HOST_INLINE static void whole_group(const Source& codes, const float* scale, const float* offset, Stores& to) {
    constexpr std::size_t length = std::size_t(F::run);
    unrolled<Stores, std::size_t(F::group) / length>([&](std::size_t i) __attribute__((always_inline)) {
      run(codes, scale[i], offset[i], i * length, (i + 1) * length, to);
    });
  }
  // Where memory is the limit and lines are whole vectors, positions are constants; elsewhere code is to be small.
  template <class Stores, std::size_t Count, class Step>
  NBIT_HOST_INLINE static void unrolled(const Step& step_at) {
#if NBIT_TARGET == 2
    if constexpr (std::is_same_v<Stores, past_caches<NBIT_ARCH>>) {
      NBIT_UNROLL
      for (std::size_t i = 0; i < Count; ++i) step_at(i);
      return;
    }
#endif
    for (std::size_t i = 0; i < Count; ++i) step_at(i);
  }
  template <class Source, class Stores>
  NBIT_HOST_INLINE static void run(const Source& codes, float scale, float offset, std::size_t first, std::size_t end,
                                   Stores& to) {
    const auto by = vec::broadcast(scale), more = vec::broadcast(offset);
    for (std::size_t i = first; i < end; i += lane_count) {
      const auto product = vec::mul(by, levels16(codes(i)));
      if constexpr (has_offset<F>)
        to.put(vec::add(product, more));
      else
        to.put(product);
    }
  }

  // The values of all codes of a group.
  NBIT_HOST_INLINE static void table_of(const typename F::params& p, float* table) {
    static constexpr std::uint8_t all[lane_count] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    if constexpr (by_zero) {
      const auto code = math::sub(math::whole16(sixteen::load(all), 0), math::broadcast(F::zero(p)));
      math::store(table, math::mul(math::broadcast(F::scale(p, 0)), code));
    } else if constexpr (by_runs && !has_offset<F>) {
      vec::store(table, vec::mul(vec::broadcast(F::scale(p, 0)), levels16(from_codes{all}(0))));
    } else if constexpr (detail::is_codebook<F>) {
      vec::store(table, vec::mul(vec::broadcast(float(p.scale)), vec::load(detail::codebook_floats<F>.of)));
    } else {
      for (int k = 0; k < 16; ++k) table[k] = k < 1 << F::bits ? F::value(k, p, 0) : 0.0f;
    }
  }

  // Sixteen weights of lattice points that are stored as levels and signs.
  NBIT_HOST_INLINE static typename vec::type points16(const std::byte* block, float d, int k) {
    const auto s = F::points16(block, d, k);
    if constexpr (requires { F::shift; })
      return math::shifted16(s.low, s.high, s.signs, F::shift, s.step);
    else
      return math::signed16(s.low, s.high, s.signs, s.step);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
