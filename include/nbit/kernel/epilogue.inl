// nbit/kernel/epilogue.inl — the steps after a product; included by kernel/epilogue.hpp once per target.
//
// Every step works on single outputs, so vectors of any width give the same bits. Sixteen at a time in local arrays,
// which alias nothing: those loops become vectors.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct epilogue_kernel<NBIT_ARCH> {
  static void apply_all(const epilogue<>&, float*, std::size_t, std::size_t, std::size_t) {}
  template <class First, class... More>
  static void apply_all(const epilogue<First, More...>& steps, float* y, std::size_t n, std::size_t m,
                        std::size_t first) noexcept {
    apply(steps.first, y, n, m, first);
    apply_all(steps.more, y, n, m, first);
  }

  static void apply(const add_bias& s, float* y, std::size_t n, std::size_t, std::size_t first) noexcept {
    const float* const b = s.bias.data() + first;
    for (std::size_t i = 0; i < n; ++i) y[i] += b[i];
  }
  static void apply(const add_residual& s, float* y, std::size_t n, std::size_t m, std::size_t first) noexcept {
    const float* const r = &s.residual(m, first);
    for (std::size_t i = 0; i < n; ++i) y[i] += r[i];
  }
  static void apply(const multiply_by& s, float* y, std::size_t n, std::size_t m, std::size_t first) noexcept {
    const float* const g = &s.gate(m, first);
    for (std::size_t i = 0; i < n; ++i) y[i] *= g[i];
  }
  static void apply(const silu&, float* y, std::size_t n, std::size_t, std::size_t) noexcept {
    each(y, n, [](float v) { return v / (1.0f + exp_float(-v)); });
  }
  static void apply(const gelu_tanh&, float* y, std::size_t n, std::size_t, std::size_t) noexcept {
    each(y, n, [](float v) {
      NBIT_EXACT
      const float cube = v * v * v * 0.044715f;
      const float twice = (v + cube) * 1.5957691216f;  // 2 sqrt(2 / pi)
      return v / (1.0f + exp_float(-twice));
    });
  }
  static void apply(const gelu&, float* y, std::size_t n, std::size_t, std::size_t) noexcept {
    each(y, n, [](float v) {
      NBIT_EXACT
      const float z = nbit::abs(v) * 0.70710678f;
      const float t = 1.0f / (1.0f + 0.3275911f * z);
      float p = 1.061405429f;
      p = p * t + -1.453152027f;
      p = p * t + 1.421413741f;
      p = p * t + -0.284496736f;
      p = p * t + 0.254829592f;
      const float tail = p * t * exp_float(-(z * z));  // 1 - erf(z)
      const float below = v < 0.0f ? tail : 2.0f - tail;
      return 0.5f * v * below;
    });
  }

 private:
  template <class F>
  NBIT_INLINE static void each(float* y, std::size_t n, F f) {
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) {
      float v[lane_count];
      std::memcpy(v, y + i, sizeof v);
      for (float& one : v) one = f(one);
      std::memcpy(y + i, v, sizeof v);
    }
    for (; i < n; ++i) y[i] = f(y[i]);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
