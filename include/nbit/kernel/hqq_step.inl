// nbit/kernel/hqq_step.inl — a half-quadratic step of sixteen groups; included by kernel/hqq_step.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct hqq_kernel<NBIT_ARCH> {
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
  using m = lane_math<NBIT_ARCH>;
  using vec = typename m::type;

  static void shrink(const hqq_lanes& g, hqq_shrink& s) noexcept {
    NBIT_EXACT
    const vec scale = m::load(g.scale), zero = m::load(g.zero), unit = m::load(s.unit), by = m::load(s.by);
    const vec other_zero = m::load(s.other_zero), beta = m::broadcast(s.beta);
    vec along = m::zero(), square = along, least = m::broadcast(3e38f), most = m::broadcast(-3e38f);
    for (std::size_t i = 0; i < g.n; ++i) {
      const vec w = m::load(g.w + i * lane_count), code = m::load(g.code + i * lane_count);
      const vec value = m::mul(scale, m::sub(code, zero)), other = m::mul(scale, m::sub(code, other_zero));
      const vec x = m::mul(m::sub(w, value), unit), a = m::larger(m::abs(x), m::broadcast(1e-9f));
      const vec left = m::sub(a, m::div(rough_power(a, s.power), beta));
      const vec outlier = m::div(m::larger(left, m::zero()), unit);
      const vec target = m::sub(w, m::choose(m::less(x, m::zero()), m::negate(outlier), outlier));
      const vec slope = m::div(m::sub(other, value), by);
      least = m::smaller(slope, least), most = m::larger(slope, most);
      along = m::add(along, m::mul(slope, m::sub(target, value)));
      square = m::add(square, m::mul(slope, slope));
    }
    m::store(s.along, along), m::store(s.square, square);
    m::store(s.least_slope, least), m::store(s.most_slope, most);
  }

  static void round(const hqq_lanes& g, hqq_rounding& r) noexcept {
    NBIT_EXACT
    const vec scale = m::load(g.scale), zero = m::load(g.zero), shift = m::load(r.shift), offset = m::load(r.offset);
    const vec low = m::load(r.low), high = m::load(r.high);
    vec error = m::zero(), least = m::broadcast(1e9f), most = m::broadcast(-1e9f);
    for (std::size_t i = 0; i < g.n; ++i) {
      const vec w = m::load(g.w + i * lane_count);
      const vec held = m::smaller(m::larger(m::add(m::div(w, scale), shift), low), high);
      const vec code = m::add(m::round(held), offset);
      error = m::add(error, m::abs(m::sub(w, m::mul(scale, m::sub(code, zero)))));
      least = m::smaller(code, least), most = m::larger(code, most);
      m::store(g.code + i * lane_count, code);
    }
    m::store(r.error, error), m::store(r.least_code, least), m::store(r.most_code, most);
  }

 private:
  /// detail::rough_power of each lane.
  NBIT_INLINE static vec rough_power(vec x, float p) {
    NBIT_EXACT
    const vec f = m::sub(m::mantissa(x), m::broadcast(1.0f));
    vec log = m::broadcast(0.0618f);
    constexpr float logs[] = {-0.2329f, 0.4456f, -0.7168f, 1.4423f}, powers[] = {0.16666667f, 0.5f, 1.0f, 1.0f};
    for (const float c : logs) log = m::add(m::broadcast(c), m::mul(f, log));
    const vec y = m::mul(m::add(m::exponent(x), m::mul(f, log)), m::broadcast(p)), whole = m::round(y);
    const vec t = m::mul(m::sub(y, whole), m::broadcast(0.69314718f));
    vec power = m::broadcast(0.041666667f);
    for (const float c : powers) power = m::add(m::broadcast(c), m::mul(t, power));
    return m::times_power(power, whole);
  }
#else
  static void shrink(const hqq_lanes& g, hqq_shrink& s) noexcept {
    NBIT_EXACT
    for (std::size_t l = 0; l < lane_count; ++l) {
      const float scale = g.scale[l], zero = g.zero[l], unit = s.unit[l];
      float along = 0.0f, square = 0.0f, least = 3e38f, most = -3e38f;
      for (std::size_t i = 0; i < g.n; ++i) {
        const float w = g.w[i * lane_count + l], code = g.code[i * lane_count + l];
        const float value = scale * (code - zero), other = scale * (code - s.other_zero[l]);
        const float x = (w - value) * unit, size = nbit::abs(x), a = size > 1e-9f ? size : 1e-9f;
        const float left = a - detail::rough_power(a, s.power) / s.beta;
        const float outlier = (left > 0.0f ? left : 0.0f) / unit;
        const float target = w - (x < 0.0f ? -outlier : outlier), slope = (other - value) / s.by[l];
        least = slope < least ? slope : least, most = slope > most ? slope : most;
        along += slope * (target - value), square += slope * slope;
      }
      s.along[l] = along, s.square[l] = square, s.least_slope[l] = least, s.most_slope[l] = most;
    }
  }

  static void round(const hqq_lanes& g, hqq_rounding& r) noexcept {
    NBIT_EXACT
    for (std::size_t l = 0; l < lane_count; ++l) {
      float error = 0.0f, least = 1e9f, most = -1e9f;
      for (std::size_t i = 0; i < g.n; ++i) {
        const float w = g.w[i * lane_count + l], q = w / g.scale[l] + r.shift[l], over = q > r.low[l] ? q : r.low[l];
        const float code = static_cast<float>(round_even(over < r.high[l] ? over : r.high[l])) + r.offset[l];
        error += nbit::abs(w - g.scale[l] * (code - g.zero[l]));
        least = code < least ? code : least, most = code > most ? code : most;
        g.code[i * lane_count + l] = code;
      }
      r.error[l] = error, r.least_code[l] = least, r.most_code[l] = most;
    }
  }
#endif
};

}  // namespace NBIT_TAG
}  // namespace nbit
