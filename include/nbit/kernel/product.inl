// nbit/kernel/product.inl — C += A^T B; included by kernel/product.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct product_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;
  static constexpr std::size_t chunk = 128;
#if NBIT_TARGET == 2
  static constexpr std::size_t tile = 8;  // sums in 8 of 32 registers: twice the latency of an addition
#else
  static constexpr std::size_t tile = 4;
#endif

  static void run(const product_operands& p) noexcept {
    for (std::size_t t = 0; t < p.k; t += chunk) {
      const std::size_t terms = p.k - t < chunk ? p.k - t : chunk;
      const float* const a = p.a + t * p.a_stride;
      std::size_t j = 0;
      for (; j + lane_count <= p.n; j += lane_count) {
        const float* const b = p.b + t * p.b_stride + j;
        std::size_t i = 0;
        for (; i + tile <= p.m; i += tile) rows<tile>(p, p.c + i * p.c_stride + j, a + i, b, terms);
        for (; i < p.m; ++i) rows<1>(p, p.c + i * p.c_stride + j, a + i, b, terms);
      }
      if (j < p.n)
        for (std::size_t i = 0; i < p.m; ++i)
          eight(p, p.c + i * p.c_stride + j, a + i, p.b + t * p.b_stride + j, terms);
    }
  }

 private:
  template <std::size_t Rows>
  static void rows(const product_operands& p, float* c, const float* a, const float* b, std::size_t terms) noexcept {
    typename vec::type sum[Rows];
    for (auto& s : sum) s = vec::zero();
    for (std::size_t t = 0; t < terms; ++t)
      term(a + t * p.a_stride, vec::load(b + t * p.b_stride), sum, std::make_index_sequence<Rows>{});
    for (std::size_t i = 0; i < Rows; ++i) {
      float* const to = c + i * p.c_stride;
      vec::store(to, vec::add(vec::load(to), vec::mul(vec::broadcast(p.sign), sum[i])));
    }
  }

  template <std::size_t Rows, std::size_t... Row>
  NBIT_INLINE static void term(const float* a, typename vec::type b, typename vec::type (&sum)[Rows],
                               std::index_sequence<Row...>) {
    ((sum[Row] = vec::add(sum[Row], vec::mul(vec::broadcast(a[Row]), b))), ...);
  }

  static void eight(const product_operands& p, float* c, const float* a, const float* b, std::size_t terms) noexcept {
    NBIT_EXACT
    float sum[8] = {};
    for (std::size_t t = 0; t < terms; ++t)
      for (std::size_t j = 0; j < 8; ++j) sum[j] += a[t * p.a_stride] * b[t * p.b_stride + j];
    for (std::size_t j = 0; j < 8; ++j) c[j] += p.sign * sum[j];
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
