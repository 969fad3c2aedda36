// nbit/kernel/row_update.inl — y += a x and bounds checks of one row; included by kernel/row_update.hpp once per
// target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct row_update_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;

  static void add_scaled(float* y, const float* x, float a, std::size_t n) noexcept {
    NBIT_EXACT
    std::size_t i = 0;
    const auto by = vec::broadcast(a);
    for (; i + lane_count <= n; i += lane_count)
      vec::store(y + i, vec::add(vec::load(y + i), vec::mul(by, vec::load(x + i))));
    for (; i < n; ++i) y[i] += a * x[i];
  }

  static std::size_t first_outside(const float* y, const float* least, const float* most, std::size_t from,
                                   std::size_t n) noexcept {
    std::size_t i = from;
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
    using math = lane_math<NBIT_ARCH>;
    for (; i + lane_count <= n; i += lane_count) {
      const auto v = vec::load(y + i);
      const unsigned out =
          math::bits(math::less(v, vec::load(least + i))) | math::bits(math::less(vec::load(most + i), v));
      if (out != 0) return i + static_cast<std::size_t>(std::countr_zero(out));
    }
#endif
    for (; i < n; ++i)
      if (y[i] < least[i] || most[i] < y[i]) return i;
    return n;
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
