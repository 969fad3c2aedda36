// nbit/kernel/encode_search.inl — the searches of format/ggml_search.hpp for sixteen runs side by side, a lane each.
//
// Every lane adds over its own run in the order of the scalar text, and a branch became a choice between lanes: the
// same bits. x[16 * i + lane] is weight i of a lane's run. Included by kernel/encode.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2

template <>
struct lane_search<NBIT_ARCH> {
  using m = lane_math<NBIT_ARCH>;
  using type = m::type;
  using mask = m::mask;

  /// A grid scale * code - lowered for each lane.
  struct lowered_grids {
    type scale, lowered;
    mask odd;  // lanes whose numbers leave the range in which rounding is simple: not found here
  };

  NBIT_INLINE static type at(const float* x, int i) { return m::load(x + 16 * i); }
  NBIT_INLINE static type number(float v) { return m::broadcast(v); }

  /// out[16 * i + lane] = rows[lane][i].
  template <int N>
  static void columns(const float* const* rows, float* out) {
    const float* from[16];
    for (int i = 0; i < 16; ++i) from[i] = rows[i];
    for (int i = 0; i < N; i += 8) {
      m::columns8(from, out + 16 * i);
      for (int r = 0; r < 16; ++r) from[r] += 8;
    }
  }

  /// Sums of the squares of sixteen groups of N, each in order.
  template <int N>
  static type sums_of_squares(const float* const* groups) {
    alignas(64) float x[8 * 16];
    const float* from[16];
    for (int i = 0; i < 16; ++i) from[i] = groups[i];
    type sum = m::zero();
    for (int i = 0; i < N; i += 8) {
      m::columns8(from, x);
      for (int r = 0; r < 16; ++r) from[r] += 8;
      for (int k = 0; k < 8; ++k) sum = m::add(sum, m::mul(at(x, k), at(x, k)));
    }
    return sum;
  }

  /// Importance times sqrt(variance + x^2), in place of the importance.
  template <int N>
  static void importance_weights(const float* x, const float* variance, float* weight) {
    const type v = m::load(variance);
    for (int i = 0; i < N; ++i)
      m::store(weight + 16 * i, m::mul(at(weight, i), m::sqrt(m::add(v, m::mul(at(x, i), at(x, i))))));
  }
  template <int N>
  static type sum_of(const float* x) {
    type sum = at(x, 0);
    for (int i = 1; i < N; ++i) sum = m::add(sum, at(x, i));
    return sum;
  }
  /// The element of largest magnitude with its sign, the first of equals.
  template <int N>
  static type largest_signed(const float* x) {
    type size = m::zero(), found = m::zero();
    for (int i = 0; i < N; ++i) {
      const type v = at(x, i), a = m::abs(v);
      const mask larger = m::less(size, a);
      size = m::choose(larger, a, size), found = m::choose(larger, v, found);
    }
    return found;
  }

  // v rounded and held; for |v| below 2^21, where it is level_of.
  NBIT_INLINE static type level(type v, type low, type high) { return m::smaller(m::larger(m::round(v), low), high); }

  template <int N, int High, bool Absolute>
  NBIT_INLINE static type lowered_error(const float* x, const float* weight, const float* levels, type scale,
                                        type start) {
    type error = m::zero();
    for (int i = 0; i < N; ++i) {
      const type diff = m::sub(m::add(m::mul(scale, at(levels, i)), start), at(x, i));
      error = m::add(error, m::mul(at(weight, i), Absolute ? m::abs(diff) : m::mul(diff, diff)));
    }
    return error;
  }

  /// lowered_search. All searches write N x 16 codes, codes[16 * i + lane].
  template <int N, int High, int Steps, bool Absolute>
  static lowered_grids lowered(const float* x, const float* weight, std::uint8_t* codes, float first, float stride) {
    alignas(64) float levels[N * 16];
    const type high = number(static_cast<float>(High)), zero = m::zero(), range = number(2097152.0f);
    type low = at(x, 0), top = low, sum_w = at(weight, 0), sum_wx = m::mul(sum_w, low);
    for (int i = 1; i < N; ++i) {
      const type v = at(x, i), w = at(weight, i);
      low = m::smaller(v, low), top = m::larger(v, top);
      sum_w = m::add(sum_w, w), sum_wx = m::add(sum_wx, m::mul(w, v));
    }
    const type bottom = low;
    low = m::choose(m::less(zero, low), zero, low);
    const mask flat = m::less_equal(top, low);
    const type flat_low = low, full = m::div(high, m::sub(top, low));
    type chosen = full, chosen_low = low, scale = m::div(number(1.0f), full);
    mask fine = m::less(m::mul(full, m::sub(top, low)), range);
    for (int i = 0; i < N; ++i) m::store(levels + 16 * i, level(m::mul(full, m::sub(at(x, i), low)), zero, high));
    type best = lowered_error<N, High, Absolute>(x, weight, levels, scale, low);
    for (int s = 0; s < Steps; ++s) {
      const type span = m::sub(top, low);
      const type inverse = m::div(number(first + stride * static_cast<float>(s) + static_cast<float>(High)), span);
      const type farthest = m::larger(m::abs(span), m::abs(m::sub(bottom, low)));
      fine = m::both(fine, m::less(m::mul(m::abs(inverse), farthest), range));
      type wl = zero, wll = zero, wlx = zero;
      for (int i = 0; i < N; ++i) {
        const type v = at(x, i), l = level(m::mul(inverse, m::sub(v, low)), zero, high), wi = m::mul(at(weight, i), l);
        m::store(levels + 16 * i, l);
        wl = m::add(wl, wi), wll = m::add(wll, m::mul(wi, l)), wlx = m::add(wlx, m::mul(wi, v));
      }
      const type det = m::sub(m::mul(sum_w, wll), m::mul(wl, wl));
      type fit = m::div(m::sub(m::mul(sum_w, wlx), m::mul(sum_wx, wl)), det);
      type start = m::div(m::sub(m::mul(wll, sum_wx), m::mul(wl, wlx)), det);
      const mask raised = m::less(zero, start);
      if (m::bits(raised) != 0) fit = m::choose(raised, m::div(wlx, wll), fit), start = m::choose(raised, zero, start);
      const type error = lowered_error<N, High, Absolute>(x, weight, levels, fit, start);
      const mask better = m::both(m::less(zero, det), m::less(error, best));
      chosen = m::choose(better, inverse, chosen), chosen_low = m::choose(better, low, chosen_low);
      scale = m::choose(better, fit, scale), best = m::choose(better, error, best);
      low = m::choose(better, start, low);
    }
    lowered_grids g;
    g.odd = m::without(m::equal(zero, zero), m::either(fine, flat));
    g.scale = m::choose(flat, zero, scale), g.lowered = m::negate(m::choose(flat, flat_low, low));
    chosen = m::choose(flat, zero, chosen), chosen_low = m::choose(flat, zero, chosen_low);
    for (int i = 0; i < N; ++i)
      m::store_whole(codes + 16 * i, level(m::mul(chosen, m::sub(at(x, i), chosen_low)), zero, high));
    return g;
  }

  // What K inverse scales round to: sums of weight * x * level and weight * level^2.
  // Low, High: whether levels can leave the grid on that side, which they do only for scales near Half and above.
  template <int N, int Half, int K, bool Low, bool High>
  NBIT_INLINE static void signed_sums(const float* x, const float* weight, const float* weighted, const type* inverse,
                                      type* wxl, type* wll) {
    const type high = number(static_cast<float>(Half - 1)), low = number(static_cast<float>(-Half));
    type a[K], b[K];
    for (int k = 0; k < K; ++k) a[k] = b[k] = m::zero();
    for (int i = 0; i < N; ++i) {
      const type v = at(x, i), w = at(weight, i), wx = at(weighted, i);
#pragma GCC unroll 3
      for (int k = 0; k < K; ++k) {
        type l = m::round(m::mul(inverse[k], v));
        if (Low) l = m::larger(l, low);
        if (High) l = m::smaller(l, high);
        a[k] = m::add(a[k], m::mul(wx, l)), b[k] = m::add(b[k], m::mul(m::mul(w, l), l));
      }
    }
    for (int k = 0; k < K; ++k) wxl[k] = a[k], wll[k] = b[k];
  }

  /// signed_search; codes are level + Half, or 0 for a negligible run.
  template <int N, int Half>
  static type signed_levels(const float* x, const float* weight, std::uint8_t* codes) {
    alignas(64) float weighted[N * 16];
    const type high = number(static_cast<float>(Half - 1)), low = number(static_cast<float>(-Half)), zero = m::zero();
    for (int i = 0; i < N; ++i) m::store(weighted + 16 * i, m::mul(at(weight, i), at(x, i)));
    const type largest = largest_signed<N>(x);
    const mask negligible = m::less(m::abs(largest), number(ggml_block::negligible));
    const type plain = m::div(low, largest);
    type wxl[3], wll[3], inverse[3];
    signed_sums<N, Half, 1, false, true>(x, weight, weighted, &plain, wxl, wll);
    type scale = m::choose(m::equal(wll[0], zero), zero, m::div(wxl[0], wll[0]));
    type best = m::mul(scale, wxl[0]), chosen = plain;
    for (int s = -9; s < 9; s += 3) {  // 18 more around it, -9 .. -1 and 1 .. 9, three at a time
      for (int k = 0; k < 3; ++k) {
        const float offset = 0.1f * static_cast<float>(s < 0 ? s + k : s + k + 1);
        inverse[k] = m::div(number(-(static_cast<float>(Half) + offset)), largest);
      }
      if (s == -9)  // |inverse * x| < Half - 1/2
        signed_sums<N, Half, 3, false, false>(x, weight, weighted, inverse, wxl, wll);
      else if (s <= 0)  // < Half + 1/2
        signed_sums<N, Half, 3, false, true>(x, weight, weighted, inverse, wxl, wll);
      else
        signed_sums<N, Half, 3, true, true>(x, weight, weighted, inverse, wxl, wll);
      for (int k = 0; k < 3; ++k) {
        const type fit = m::div(wxl[k], wll[k]);
        const mask better = m::both(m::less(zero, wll[k]), m::less(m::mul(best, wll[k]), m::mul(wxl[k], wxl[k])));
        scale = m::choose(better, fit, scale), best = m::choose(better, m::mul(fit, wxl[k]), best);
        chosen = m::choose(better, inverse[k], chosen);
      }
    }
    const type half = number(static_cast<float>(Half));
    for (int i = 0; i < N; ++i) {
      const type l = m::add(level(m::mul(chosen, at(x, i)), low, high), half);
      m::store_whole(codes + 16 * i, m::choose(negligible, zero, l));
    }
    return m::choose(negligible, zero, scale);
  }

  /// signed_descent; codes are level + Half, or 0 for a negligible run.
  template <int N, int Half>
  static type descent(const float* x, std::uint8_t* codes) {
    alignas(64) float levels[N * 16], weight[N * 16], weighted[N * 16];  // x^2, x^2 * x
    const type high = number(static_cast<float>(Half - 1)), low = number(static_cast<float>(-Half)), zero = m::zero();
    const type largest = largest_signed<N>(x);
    const mask negligible = m::less(m::abs(largest), number(ggml_block::negligible));
    const type inverse = m::choose(negligible, zero, m::div(low, largest));
    type wxl = zero, wll = zero;
    for (int i = 0; i < N; ++i) {
      const type v = at(x, i), w = m::mul(v, v), wx = m::mul(w, v), l = level(m::mul(inverse, v), low, high);
      m::store(levels + 16 * i, l), m::store(weight + 16 * i, w), m::store(weighted + 16 * i, wx);
      wxl = m::add(wxl, m::mul(wx, l)), wll = m::add(wll, m::mul(m::mul(w, l), l));
    }
    for (unsigned round = 0, moved = 1; round < 5 && moved != 0; ++round) {
      moved = 0;
      for (int i = 0; i < N; ++i) {
        const type v = at(x, i), w = at(weight, i), wx = at(weighted, i), l = at(levels, i);
        const type rest_wxl = m::sub(wxl, m::mul(wx, l)), rest_wll = m::sub(wll, m::mul(m::mul(w, l), l));
        const type o = m::level_of(m::div(m::mul(v, rest_wll), rest_wxl), -Half, Half - 1);
        mask better = m::without(m::less(zero, rest_wxl), m::equal(o, l));
        if (m::bits(better) == 0) continue;
        const type new_wxl = m::add(rest_wxl, m::mul(wx, o)), new_wll = m::add(rest_wll, m::mul(m::mul(w, o), o));
        better = m::both(better, m::less(zero, new_wll));
        better = m::both(better, m::less(m::mul(m::mul(wxl, wxl), new_wll), m::mul(m::mul(new_wxl, new_wxl), wll)));
        m::store(levels + 16 * i, m::choose(better, o, l));
        wxl = m::choose(better, new_wxl, wxl), wll = m::choose(better, new_wll, wll);
        moved |= m::bits(better);
      }
    }
    const type half = number(static_cast<float>(Half));
    for (int i = 0; i < N; ++i)
      m::store_whole(codes + 16 * i, m::choose(negligible, zero, m::add(at(levels, i), half)));
    return m::choose(m::without(m::less(zero, wll), negligible), m::div(wxl, wll), zero);
  }

  /// What a level becomes in a byte.
  template <bool Signed>
  NBIT_INLINE static type wrapped(type level) {
    if constexpr (!Signed) return level;
    return m::choose(m::less(level, m::zero()), m::add(level, number(256.0f)), level);
  }

  /// positive_search. Signed: some values are negative, whose levels wrap around in a byte as in the scalar text.
  /// odd gains the lanes that are not found here: a value is infinite, or a level does not fit.
  template <int N, int High, bool Signed = false>
  static type positive(const float* x, const float* weight, std::uint8_t* codes, mask& odd) {
    alignas(64) float levels[N * 16];
    const type high = number(static_cast<float>(High)), zero = m::zero(), one = number(1.0f);
    type top = zero, bottom = zero;
    for (int i = 0; i < N; ++i) top = m::larger(at(x, i), top), bottom = m::smaller(at(x, i), bottom);
    const mask negligible = m::less(top, number(ggml_block::negligible));
    type inverse = m::div(high, top), best = zero;
    if constexpr (Signed) bottom = m::round(m::mul(bottom, m::div(number(0.4f + static_cast<float>(High)), top)));
    for (int s = 0; s < 9; ++s) {
      const int k = s == 0 ? 0 : (s < 5 ? s - 5 : s - 4);  // 0, then -4 .. -1, 1 .. 4
      const type trial =
          s == 0 ? inverse : m::div(number(0.1f * static_cast<float>(k) + static_cast<float>(High)), top);
      const type scale = m::div(one, trial);
      type error = zero;
      for (int i = 0; i < N; ++i) {
        const type v = at(x, i), rounded = m::smaller(m::round(m::mul(trial, v)), high);
        const type l = s == 0 ? wrapped<Signed>(rounded) : rounded, diff = m::sub(v, m::mul(scale, l));
        error = m::add(error, m::mul(m::mul(at(weight, i), diff), diff));
      }
      const mask better = m::less(error, best);
      best = s == 0 ? error : m::choose(better, error, best);
      inverse = s == 0 ? inverse : m::choose(better, trial, inverse);
    }
    type wxl = zero, wll = zero;
    for (int i = 0; i < N; ++i) {
      const type v = at(x, i), w = at(weight, i), l = m::smaller(m::round(m::mul(inverse, v)), high);
      m::store(levels + 16 * i, wrapped<Signed>(l));
      wxl = m::add(wxl, m::mul(m::mul(w, v), l)), wll = m::add(wll, m::mul(m::mul(w, l), l));
    }
    for (int round = 0; round < 5; ++round) {
      unsigned moved = 0;
      for (int i = 0; i < N; ++i) {
        const type v = at(x, i), w = at(weight, i), wx = m::mul(w, v), l = at(levels, i);
        const type rest_wxl = m::sub(wxl, m::mul(wx, l)), rest_wll = m::sub(wll, m::mul(m::mul(w, l), l));
        const type o = m::level_of(m::div(m::mul(v, rest_wll), rest_wxl), -0x400000, High);
        mask better = m::without(m::both(m::less(zero, rest_wxl), m::less(zero, rest_wll)), m::equal(o, l));
        if (m::bits(better) == 0) continue;
        bottom = m::smaller(m::choose(better, o, zero), bottom);
        const type new_wxl = m::add(rest_wxl, m::mul(wx, o)), new_wll = m::add(rest_wll, m::mul(m::mul(w, o), o));
        better = m::both(better, m::less(m::mul(m::mul(wxl, wxl), new_wll), m::mul(m::mul(new_wxl, new_wxl), wll)));
        m::store(levels + 16 * i, m::choose(better, wrapped<Signed>(o), l));
        wxl = m::choose(better, new_wxl, wxl), wll = m::choose(better, new_wll, wll);
        moved |= m::bits(better);
      }
      if (moved == 0) break;
    }
    const mask fine = m::both(m::less(top, number(3.0e38f)), m::less_equal(number(Signed ? -255.0f : 0.0f), bottom));
    odd = m::either(odd, m::without(m::without(m::less_equal(zero, top), negligible), fine));
    for (int i = 0; i < N; ++i) m::store_whole(codes + 16 * i, m::choose(negligible, zero, at(levels, i)));
    return m::choose(m::without(m::less(zero, wll), negligible), m::div(wxl, wll), zero);
  }
};

#endif
}  // namespace NBIT_TAG
}  // namespace nbit
