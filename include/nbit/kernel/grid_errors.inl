// nbit/kernel/grid_errors.inl — errors of sixteen uniform grids; included by kernel/grid_errors.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct grid_error_kernel<NBIT_ARCH> {
  static void run(const grid_error_operands& o) noexcept {
    if (o.zero != nullptr)
      sum<true>(o);
    else
      sum<false>(o);
  }

 private:
  static constexpr std::size_t parts = 8, together = 4 * parts;

#if NBIT_TARGET == 1 || NBIT_TARGET == 2
  using m = lane_math<NBIT_ARCH>;
  using vec = typename m::type;

  template <bool Zero>
  static void sum(const grid_error_operands& o) noexcept {
    NBIT_EXACT
    const vec enough = m::load(o.enough);
    vec total = m::zero();
    for (std::size_t first = 0; first < o.n; first += together) {
      if (first != 0 && m::bits(m::less_equal(total, enough)) == 0) break;
      const std::size_t last = o.n - first < together ? o.n : first + together;
      vec part[parts] = {m::zero(), m::zero(), m::zero(), m::zero(), m::zero(), m::zero(), m::zero(), m::zero()};
      for (std::size_t i = first; i < last; i += parts)
        for (std::size_t k = 0; k < parts && i + k < last; ++k) part[k] = m::add(part[k], square<Zero>(o, i + k));
      total = m::add(total, m::add(m::add(m::add(part[0], part[1]), m::add(part[2], part[3])),
                                   m::add(m::add(part[4], part[5]), m::add(part[6], part[7]))));
    }
    m::store(o.errors, total);
  }

  template <bool Zero>
  NBIT_INLINE static vec square(const grid_error_operands& o, std::size_t i) {
    NBIT_EXACT
    const vec w = m::load(o.w + i * lane_count), scale = m::load(o.scale);
    vec q = m::div(w, scale);
    if constexpr (Zero) q = m::add(q, m::load(o.zero));
    q = m::round(m::smaller(m::larger(q, m::load(o.low)), m::load(o.high)));
    if constexpr (Zero) q = m::sub(q, m::load(o.zero));
    const vec e = m::sub(w, m::mul(scale, q)), squared = m::mul(e, e);
    return o.importance == nullptr ? squared : m::mul(m::broadcast(o.importance[i]), squared);
  }
#else
  template <bool Zero>
  static void sum(const grid_error_operands& o) noexcept {
    NBIT_EXACT
    for (std::size_t l = 0; l < lane_count; ++l) {
      float total = 0.0f;
      for (std::size_t first = 0; first < o.n && (first == 0 || total <= o.enough[l]); first += together) {
        const std::size_t last = o.n - first < together ? o.n : first + together;
        float part[parts] = {};
        for (std::size_t i = first; i < last; ++i) {
          const float w = o.w[i * lane_count + l], scale = o.scale[l], zero = Zero ? o.zero[l] : 0.0f;
          const float q = Zero ? w / scale + zero : w / scale, over = q > o.low[l] ? q : o.low[l];
          const float whole = static_cast<float>(round_even(over < o.high[l] ? over : o.high[l]));
          const float e = w - scale * (Zero ? whole - zero : whole);
          part[i % parts] += o.importance == nullptr ? e * e : o.importance[i] * (e * e);
        }
        total += ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
      }
      o.errors[l] = total;
    }
  }
#endif
};

}  // namespace NBIT_TAG
}  // namespace nbit
