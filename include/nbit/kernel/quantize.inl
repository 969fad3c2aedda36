// nbit/kernel/quantize.inl — the generic quantize; included by kernel/quantize.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct finite_check<NBIT_ARCH> {
  static bool row(std::span<const float> w) {
    std::size_t c = 0;
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
    using m = lane_math<NBIT_ARCH>;
    auto bad = m::less(m::zero(), m::zero());
    for (; c + lane_count <= w.size(); c += lane_count) bad = m::either(bad, m::not_finite(m::load(w.data() + c)));
    if (m::bits(bad) != 0) return false;
#endif
    bool fine = true;
    for (; c < w.size(); ++c) fine &= is_finite(w[c]);
    return fine;
  }
};

/// Formats that are fitted to nothing but the range of a group: the range, and codes, sixteen weights at a time.
template <class F>
  requires(has_lane_math<NBIT_ARCH> && (detail::fast_uniform<F> || detail::fast_codebook<F>))
struct range_rounder<NBIT_ARCH, F> {
  // dependent on F: not every instruction set has these
  using here = std::conditional_t<(F::bits > 0), NBIT_ARCH, void>;
  using m = lane_math<here>;
  using sixteen = row_codes<here>;
  using params = typename F::params;
  static constexpr auto kind = [] {
    if constexpr (detail::fast_uniform<F>)
      return F::scheme.symmetry;
    else
      return symmetry::restricted;
  }();
  static constexpr bool whole_zero = kind == symmetry::asymmetric,
                        by_size = kind == symmetry::restricted || kind == symmetry::gptq;

  NBIT_INLINE static params fit(const float* x, std::size_t n) { return F::fit_range(range(x, n), n); }

  /// codes16(x): the codes of sixteen weights under p.
  struct rounder {
    typename lanes<NBIT_ARCH>::type scale, inverse, zero, low, high, apart;
    params p;
    bool none, usual;  // a scale of 0; one whose inverse is a normal number
    int offset;

    NBIT_INLINE explicit rounder(const params& with) : p(with) {
      NBIT_EXACT
      const float s = float(p.scale), size = nbit::abs(s);
      none = s == 0.0f, usual = size > 1e-30f && size < 1e30f, offset = 0;
      scale = zero = low = high = apart = m::broadcast(s), inverse = m::broadcast(usual ? 1.0f / s : 0.0f);
      if constexpr (detail::fast_uniform<F>) {
        constexpr int top = (1 << F::bits) - 1;
        float shift = 0.0f;
        if constexpr (F::symmetric)
          offset = F::half;
        else if constexpr (whole_zero)
          offset = int(p.zero);
        else
          shift = F::zero(p);
        zero = m::broadcast(shift);
        low = m::broadcast(static_cast<float>(-offset)), high = m::broadcast(static_cast<float>(top - offset));
        // A product with the inverse is three roundings from the quotient; zero adds one. Those are at most 2^-22 of
        // it.
        apart = m::broadcast(0.5f - (static_cast<float>(2 << F::bits) + nbit::abs(shift)) * 0x1p-21f);
      }
    }
    /// Codes of sixteen weights, whole numbers in lanes. Without Divide `doubt` grows where a product cannot tell.
    template <bool Divide>
    NBIT_INLINE auto codes16(const float* x, typename lanes<NBIT_ARCH>::type& doubt) const {
      const auto w = m::load(x);
      if constexpr (detail::fast_codebook<F>) {
        return m::rank(middles, m::div(w, scale));
      } else if constexpr (Divide) {
        return m::nearest(held(m::div(w, scale)), offset);
      } else {
        const auto close = held(m::mul(w, inverse)), whole = m::round(close);
        doubt = m::larger_size(doubt, m::sub(close, whole));
        return m::nearest(whole, offset);
      }
    }
    /// Whether a product could tell the codes.
    NBIT_INLINE bool sure(typename lanes<NBIT_ARCH>::type doubt) const {
      return m::bits(m::less_equal(apart, doubt)) == 0;
    }

   private:
    NBIT_INLINE auto held(typename lanes<NBIT_ARCH>::type v) const {
      if constexpr (!F::symmetric && !whole_zero) v = m::add(v, zero);
      return m::smaller(m::larger(v, low), high);
    }
  };

  /// Codes of n weights, a multiple of sixteen: to(i, sixteen) and to(i, sixty-four) take them.
  template <class To>
  NBIT_INLINE static void codes(const rounder& by, const float* x, std::size_t n, std::size_t ahead, const To& to) {
    if (detail::fast_codebook<F> || !by.usual || !codes_once<false>(by, x, n, ahead, to))
      codes_once<true>(by, x, n, ahead, to);
  }

 private:
  static constexpr bool mapped = detail::fast_codebook<F>;
  template <class T>
  struct sixteen_of {
    alignas(64) T of[16];
  };
  template <std::size_t N>
  static constexpr sixteen_of<std::uint8_t> codes_of(const std::array<std::uint8_t, N>& code) {
    sixteen_of<std::uint8_t> t{};
    for (std::size_t i = 0; i < N; ++i) t.of[i] = code[i];
    return t;
  }
  // An f32 scale that is the largest magnitude itself leaves quotients from -1 to 1.
  static constexpr auto middles = [] {
    if constexpr (mapped) {
      constexpr auto order = detail::order_levels(F::levels);
      return m::rising(order.middle.data(), order.middle.size(),
                       order.top == 1.0f && std::is_same_v<decltype(params::scale), float>);
    } else {
      return typename m::rising_numbers{};
    }
  }();
  // The code of each rank.
  static constexpr auto code_of = [] {
    if constexpr (mapped)
      return codes_of(detail::order_levels(F::levels).code);
    else
      return sixteen_of<std::uint8_t>{};
  }();

  template <bool Divide, class To>
  NBIT_INLINE static bool codes_once(const rounder& by, const float* x, std::size_t n, std::size_t ahead,
                                     const To& to) {
    auto doubt = m::zero();
    std::size_t i = 0;
    for (; i + 4 * lane_count <= n; i += 4 * lane_count) {
      for (std::size_t k = 0; k < 4; ++k) detail::prefetch_ahead(x, i + k * lane_count + ahead);
      const auto a = by.template codes16<Divide>(x + i, doubt), b = by.template codes16<Divide>(x + i + 16, doubt),
                 c = by.template codes16<Divide>(x + i + 32, doubt), d = by.template codes16<Divide>(x + i + 48, doubt);
      auto all = sixteen::join(a, b, c, d);
      if constexpr (mapped) all = sixteen::lookup64(code_of.of, all);
      to.sixty_four(i, all);
    }
    for (; i < n; i += lane_count) {
      auto some = m::bytes(by.template codes16<Divide>(x + i, doubt));
      if constexpr (mapped) some = sixteen::lookup(code_of.of, some);
      to.sixteen(i, some);
    }
    return Divide || by.sure(doubt);
  }

  // range_of as far as fit_range looks: a magnitude is enough for most.  Needs: no NaN.
  NBIT_INLINE static detail::group_range range(const float* x, std::size_t n) {
    if (n == 0) return {};
    if constexpr (by_size) {
      float size = 0.0f;
      std::size_t i = 0;
      if (n >= lane_count) {
        auto a = m::abs(m::load(x)), b = a;
        for (; i + 2 * lane_count <= n; i += 2 * lane_count)
          a = m::larger(a, m::abs(m::load(x + i))), b = m::larger(b, m::abs(m::load(x + i + lane_count)));
        size = m::largest(m::larger(a, b));
      }
      for (; i < n; ++i) size = nbit::abs(x[i]) > size ? nbit::abs(x[i]) : size;
      return {0.0f, 0.0f, size, 0.0f};
    }
    float low = x[0], high = x[0];
    std::size_t i = 0;
    if (n >= lane_count) {
      auto a = m::load(x), b = a, c = a, d = a;
      for (; i + 2 * lane_count <= n; i += 2 * lane_count) {
        const auto v = m::load(x + i), w = m::load(x + i + lane_count);
        a = m::larger(a, v), b = m::smaller(b, v), c = m::larger(c, w), d = m::smaller(d, w);
      }
      high = m::largest(m::larger(a, c)), low = -m::largest(m::negate(m::smaller(b, d)));
    }
    for (; i < n; ++i) low = x[i] < low ? x[i] : low, high = x[i] > high ? x[i] : high;
    detail::group_range g{low, high, 0.0f, 0.0f};
    if (low == 0.0f) g.min = first(x, low);  // with the sign of the first
    const float size = high > -low ? high : -low;
    if (size != 0.0f) g.signed_max = high > -low ? high : -low > high ? low : first_of_size(x, size);
    return g;
  }
  static float first(const float* x, float value) {
    while (*x != value) ++x;
    return *x;
  }
  static float first_of_size(const float* x, float size) {
    while (nbit::abs(*x) != size) ++x;
    return *x;
  }
};

template <class F, class L>
struct quantize_kernel<NBIT_ARCH, F, L> {
  static void row(std::span<const float> w, std::span<const float> importance, const packed_span<F, L>& out,
                  std::size_t r, code_t<F>* codes) {
    const std::size_t count = codes_per_row<F>(w.size()), length = codes_per_row<F>(group_length<F>(out.cols));
    if constexpr (std::is_same_v<L, blocks>) {
      const float mean_square = detail::row_mean_square(w.first(out.cols));
      for (std::size_t g = 0, at = 0; at < w.size(); ++g, at += std::size_t(F::group)) {
        typename F::params p{};
        const auto group = w.subspan(at, std::size_t(F::group));
        const auto weights = importance.empty() ? importance : importance.subspan(at, std::size_t(F::group));
        detail::encode_group<F>(group, weights, mean_square, p, codes);
        store_group<F, L>(out, r, g, length, codes, p);
      }
    } else if constexpr (requires { typename range_rounder<NBIT_ARCH, F>::rounder; }) {
      by_range(w, out, r, codes);
    } else if (count != 0) {
      detail::encode_row<F>(w, importance, codes, &out.group_params(r, 0));
      pack_row<L, F::bits>(codes, out.words, out.padded(), r, 0, codes_per_row<F>(out.cols));
    }
  }

 private:
  template <class By>
  struct into_codes {
    code_t<F>* to;
    NBIT_INLINE void sixteen(std::size_t i, auto v) const { By::sixteen::store(to + i, v); }
    NBIT_INLINE void sixty_four(std::size_t i, auto v) const { By::sixteen::store64(to + i, v); }
  };
  template <class By>
  struct into_bytes {
    std::uint8_t* to;
    NBIT_INLINE void sixteen(std::size_t i, auto v) const {
      By::sixteen::template squeeze16<F::bits>(v, to + i / 8 * std::size_t(F::bits));
    }
    NBIT_INLINE void sixty_four(std::size_t i, auto v) const {
      By::sixteen::template squeeze64<F::bits>(v, to + i / 8 * std::size_t(F::bits));
    }
  };

  static void by_range(std::span<const float> w, const packed_span<F, L>& out, std::size_t r, code_t<F>* codes) {
    if (w.empty()) return;  // one group for the row would have no length
    using by = range_rounder<NBIT_ARCH, F>;
    constexpr std::size_t nearby = 1024;  // stay in the first cache from one pass to the next
    // whole groups of whole vectors: their codes go straight into the row's bytes
    constexpr bool straight = std::is_same_v<L, linear> && (F::group <= 0 || F::group % 16 == 0);
    const std::size_t length = group_length<F>(w.size()), groups = groups_per_row<F>(w.size()),
                      together = length < nearby ? nearby / length : 1;
    std::uint8_t* row = nullptr;
    if constexpr (straight) row = out.words + r * (out.padded().cols / 8 * std::size_t(F::bits));
    const auto piece = [&](std::size_t g) { return w.size() - g * length < length ? w.size() - g * length : length; };
    for (std::size_t first = 0; first < groups; first += together) {
      const std::size_t end = groups - first < together ? groups : first + together;
      // All parameters first: none waits for another.
      if constexpr (F::group != per_tensor)
        for (std::size_t g = first; g < end; ++g) out.group_params(r, g) = by::fit(w.data() + g * length, piece(g));
      for (std::size_t g = first; g < end; ++g) {
        const std::size_t at = g * length, n = piece(g);
        const float* const x = w.data() + at;
        const typename F::params p = out.group_params(r, g);
        const typename by::rounder round(p);
        std::size_t i = 0;
        if (!round.none) {
          i = n / lane_count * lane_count;
          if constexpr (straight)
            by::codes(round, x, i, w.size(), into_bytes<by>{row + at / 8 * std::size_t(F::bits)});
          else
            by::codes(round, x, i, w.size(), into_codes<by>{codes + at});
        }
        const std::size_t rest = i;
        for (; i < n; ++i) codes[at + i] = static_cast<code_t<F>>(F::code(x[i], p, static_cast<int>(i)));
        if constexpr (straight)
          pack_row<L, F::bits>(codes + at + rest, out.words, out.padded(), r, at + rest, n - rest);
      }
    }
    if constexpr (!straight) pack_row<L, F::bits>(codes, out.words, out.padded(), r, 0, w.size());
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
