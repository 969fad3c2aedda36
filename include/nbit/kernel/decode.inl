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

template <>
struct stream_copy<NBIT_ARCH> {
  /// Copies n floats, past the caches where whole lines go.
  static void row(const float* from, std::size_t n, float* to) {
    std::size_t i = 0;
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
    for (; i < n && reinterpret_cast<std::uintptr_t>(to + i) % 64 != 0; ++i) to[i] = from[i];
    for (; i + lane_count <= n; i += lane_count)
      lane_math<NBIT_ARCH>::stream(to + i, lane_math<NBIT_ARCH>::load(from + i));
#endif
    for (; i < n; ++i) to[i] = from[i];
  }
  static void end() {
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
    lane_math<NBIT_ARCH>::stream_end();
#endif
  }
};

template <class F, class L>
struct row_decoder<NBIT_ARCH, packed_view<F, L>> {
  using weights = packed_view<F, L>;
  using code = code_t<F>;
  static constexpr bool blocked = std::is_same_v<L, blocks>;
  static constexpr std::size_t chunk = detail::chunk_of<weights>, step = std::size_t(step_of<F>);

  static void floats(const weights& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
    code codes[chunk / step];
    if constexpr (!blocked) {
      unpack_row<L, F::bits>(w.words, w.padded(), r, c / step, (n + step - 1) / step, codes);
      if (w.group_index != nullptr) {
        if constexpr (step == 1) {
          for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], w.group_params(r, w.group_index[c + i]), 0);
        }
        return;
      }
    }
    const std::size_t length = group_length<F>(w.cols);
    for (std::size_t i = 0; i < n;) {
      const std::size_t g = (c + i) / length, at = (c + i) % length, left = length - at,
                        m = left < n - i ? left : n - i;
      if constexpr (blocked) {
        const typename F::params p = F::load_params(w.block(r, g));
        F::load_codes(w.block(r, g), codes);
        values(codes, p, 0, m, out + i);
      } else {
        values(codes + i / step, w.group_params(r, g), at, m, out + i);
      }
      i += m;
    }
  }

  static void levels(const weights& w, std::size_t r, std::size_t c, std::size_t n, std::int8_t* level, float* scale,
                     float* offset)
    requires(detail::has_integer_runs<F>)
  {
    code codes[(chunk + 7) / step];
    if constexpr (!blocked) unpack_row<L, F::bits>(w.words, w.padded(), r, c / step, (n + step - 1) / step, codes);
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

  NBIT_INLINE static typename F::params params_of(const weights& w, std::size_t r, std::size_t g) {
    if constexpr (blocked)
      return F::load_params(w.block(r, g));
    else
      return w.group_params(r, g);
  }

 private:
  // Which scale of its group a position has; the divisor is a constant.
  NBIT_INLINE static int run_of(std::size_t at)
    requires(detail::has_integer_runs<F>)
  {
    if constexpr (F::run > 0)
      return static_cast<int>(at / std::size_t(F::run));
    else
      return 0;
  }

  // Sixteen levels. Without primitives for it: plain loops over local arrays, which compilers turn into vectors.
  NBIT_HOST_INLINE static typename lanes<NBIT_ARCH>::type levels16(const code* codes) {
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
    if constexpr (F::bits <= 4)
      return lane_math<NBIT_ARCH>::table16(detail::level_table<F>.of, codes);
    else if constexpr (detail::levels_ascend<F>)
      return lane_math<NBIT_ARCH>::whole16(codes, int{F::level(0)});
#endif
    std::uint8_t code16[lane_count];
    float level16[lane_count];
    std::memcpy(code16, codes, sizeof code16);
    for (std::size_t j = 0; j < lane_count; ++j) level16[j] = static_cast<float>(F::level(code16[j]));
    return lanes<NBIT_ARCH>::load(level16);
  }

  // Whole vectors of sixteen; a scale is read once for its run.
  static void runs(const code* codes, const typename F::params& p, std::size_t at, std::size_t n, float* out)
    requires(step == 1)
  {
    using vec = lanes<NBIT_ARCH>;
    for (std::size_t i = 0; i < n;) {
      const int s = run_of(at + i);
      std::size_t end = n;
      if constexpr (F::run > 0) end = i + (std::size_t(F::run) - (at + i) % std::size_t(F::run));
      if (end > n) end = n;
      const auto scale = vec::broadcast(F::scale(p, s));
      if constexpr (has_offset<F>) {
        const auto offset = vec::broadcast(F::offset(p, s));
        for (; i < end; i += lane_count) vec::store(out + i, vec::add(vec::mul(scale, levels16(codes + i)), offset));
      } else {
        for (; i < end; i += lane_count) vec::store(out + i, vec::mul(scale, levels16(codes + i)));
      }
    }
  }

  static void values(const code* codes, const typename F::params& p, std::size_t at, std::size_t n, float* out) {
    if constexpr (has_exact_levels<F> && detail::has_integer_runs<F>) {
      const std::size_t whole = n / lane_count * lane_count;
      runs(codes, p, at, whole, out);
      codes += whole, at += whole, n -= whole, out += whole;
    }
    if constexpr (step == 1) {
      for (std::size_t i = 0; i < n; ++i) out[i] = F::value(codes[i], p, static_cast<int>(at + i));
    } else {
      std::size_t i = 0;
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
      if constexpr (requires(std::int8_t* l) { F::levels8(codes, l); }) {
        for (; i + lane_count <= n; i += lane_count) {
          std::int8_t level[lane_count];
          const unsigned low = F::levels8(codes + i / step, level),
                         high = F::levels8(codes + (i + 8) / step, level + 8);
          const float scale = F::step_at(p, static_cast<int>(at + i));
          lanes<NBIT_ARCH>::store(out + i, lane_math<NBIT_ARCH>::signed16(level, low | high << 8, scale));
        }
      }
#endif
      for (; i < n; i += step) {
        if (i + step <= n) {
          F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(out + i, step));
        } else {  // the row ends inside a lattice point
          float whole[step];
          F::value(static_cast<int>(codes[i / step]), p, static_cast<int>(at + i), std::span<float>(whole, step));
          for (std::size_t j = 0; i + j < n; ++j) out[i + j] = whole[j];
        }
      }
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
