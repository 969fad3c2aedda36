// nbit/kernel/row_dot.inl — the dot of two quantized rows; included by kernel/row_dot.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct row_dot_kernel<NBIT_ARCH> {
  using vec = lanes<NBIT_ARCH>;

  template <class A, class B>
  static float dot(const A& a, std::size_t i, const B& b, std::size_t j) noexcept {
    constexpr std::size_t chunk_a = detail::chunk_of<A>, chunk_b = detail::chunk_of<B>,
                          chunk = std::lcm(chunk_a, chunk_b);
    alignas(64) float left[chunk], right[chunk];
    auto sum = vec::zero();
    for (std::size_t c = 0; c < a.cols; c += chunk) {
      const std::size_t n = a.cols - c < chunk ? a.cols - c : chunk;
      for (std::size_t k = 0; k < n; k += chunk_a)
        row_decoder<NBIT_ARCH, A>::floats(a, i, c + k, n - k < chunk_a ? n - k : chunk_a, left + k);
      for (std::size_t k = 0; k < n; k += chunk_b)
        row_decoder<NBIT_ARCH, B>::floats(b, j, c + k, n - k < chunk_b ? n - k : chunk_b, right + k);
      const std::size_t whole = (n + lane_count - 1) / lane_count * lane_count;
      for (std::size_t k = n; k < whole; ++k) left[k] = right[k] = 0.0f;
      for (std::size_t k = 0; k < whole; k += lane_count)
        sum = vec::fma(vec::load(left + k), vec::load(right + k), sum);
    }
    return vec::reduce(sum);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
