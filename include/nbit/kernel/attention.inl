// nbit/kernel/attention.inl — softmax and the sum over values; included by kernel/attention.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct attention_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;

  /// scores become p; the answer is their total.
  static float softmax(float* scores, std::size_t n, float scale) noexcept {
    NBIT_EXACT
    float top = scores[0] * scale;
    for (std::size_t t = 0; t < n; ++t) {
      scores[t] = scores[t] * scale;
      top = scores[t] > top ? scores[t] : top;
    }
    auto sum = vec::zero();
    for (std::size_t t = 0; t < n; t += lane_count) {
      const std::size_t left = n - t < lane_count ? n - t : lane_count;
      float p[lane_count] = {};
      for (std::size_t i = 0; i < left; ++i) p[i] = scores[t + i];
      for (float& v : p) v = exp_float(v - top);
      for (std::size_t i = left; i < lane_count; ++i) p[i] = 0.0f;
      for (std::size_t i = 0; i < left; ++i) scores[t + i] = p[i];
      sum = vec::add(sum, vec::load(p));
    }
    return vec::reduce(sum);
  }

  template <class V>
  static void weighted_sum(const float* p, float total, const V& values, std::size_t n, float* out) noexcept {
    constexpr std::size_t chunk = detail::chunk_of<V>;
    static_assert(chunk % lane_count == 0);
    for (std::size_t c = 0; c < values.cols; c += chunk) {
      const std::size_t count = values.cols - c < chunk ? values.cols - c : chunk,
                        whole = (count + lane_count - 1) / lane_count * lane_count;
      alignas(64) float sum[chunk];
      for (std::size_t k = 0; k < whole; ++k) sum[k] = 0.0f;
      add_rows(p, values, n, c, count, sum);
      for (std::size_t k = 0; k < count; ++k) out[c + k] = sum[k] / total;
    }
  }

 private:
  /// sum += weight * what is put, one vector after another.
  struct weighted {
    typename vec::type weight;
    float* sum;

    NBIT_HOST_INLINE void put(typename vec::type v) {
      vec::store(sum, vec::fma(weight, v, vec::load(sum)));
      sum += lane_count;
    }
    NBIT_HOST_INLINE void flush() {}
  };

  template <class V>
  static void add_rows(const float* p, const V& values, std::size_t n, std::size_t c, std::size_t count, float* sum) {
    using decoder = row_decoder<NBIT_ARCH, V>;
    if constexpr (requires { decoder::in_vectors(values); }) {
      if (decoder::in_vectors(values)) {
        for (std::size_t t = 0; t < n; ++t) {
          weighted to{vec::broadcast(p[t]), sum};
          decoder::into(values, t, c, count, to);
        }
        return;
      }
    }
    alignas(64) float row[detail::chunk_of<V>];
    const std::size_t whole = (count + lane_count - 1) / lane_count * lane_count;
    for (std::size_t k = count; k < whole; ++k) row[k] = 0.0f;
    for (std::size_t t = 0; t < n; ++t) {
      decoder::floats(values, t, c, count, row);
      weighted to{vec::broadcast(p[t]), sum};
      for (std::size_t k = 0; k < whole; k += lane_count) to.put(vec::load(row + k));
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
