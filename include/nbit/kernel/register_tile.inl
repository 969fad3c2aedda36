// nbit/kernel/register_tile.inl — register_tile<Arch>; included by kernel/register_tile.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

/// The lanes of a tile as part of a row of y.
template <>
struct register_tile<NBIT_ARCH> {
  using vec = lanes<arch::base_of<NBIT_ARCH>>;
  /// f(0) ... f(N - 1) with constants, unrolled on every compiler and at every level of optimisation.
  template <std::size_t N, class F>
  NBIT_INLINE static void each(F f) {
    [&]<std::size_t... At>(std::index_sequence<At...>) __attribute__((always_inline)) {
      (f(std::integral_constant<std::size_t, At>{}), ...);
    }(std::make_index_sequence<N>{});
  }
  /// T * V vectors of y, V side by side in each of T rows, come into registers (zeros if fresh), through f, and back;
  /// columns: those that y has. A row that ends early goes through a buffer, so that no call disturbs the registers.
  template <std::size_t T, std::size_t V, class F>
  NBIT_HOST_INLINE static void with(float* y, std::size_t stride, std::size_t columns, bool fresh, F f) {
    constexpr std::size_t width = V * lane_count;
    alignas(64) float buffer[T * width];
    const bool ragged = columns < width;
    if (ragged && !fresh) copy(y, stride, buffer, width, T, columns);
    float* const at = ragged ? buffer : y;
    const std::size_t step = ragged ? width : stride;
    typename vec::type sums[T * V];
    if (fresh) {
      NBIT_UNROLL
      for (std::size_t i = 0; i < T * V; ++i) sums[i] = vec::zero();
    } else {
      NBIT_UNROLL
      for (std::size_t i = 0; i < T * V; ++i) sums[i] = vec::load(at + i / V * step + i % V * lane_count);
    }
    f(sums);
    NBIT_UNROLL
    for (std::size_t i = 0; i < T * V; ++i) vec::store(at + i / V * step + i % V * lane_count, sums[i]);
    if (ragged) copy(buffer, width, y, stride, T, columns);
  }

  /// The first n of sixteen lanes, n at least 1.
  NBIT_HOST_INLINE static void store(float* y, std::size_t n, vec::type v) {
    if (n >= lane_count) return vec::store(y, v);
    float whole[lane_count];
    vec::store(whole, v);
    copy(whole, 0, y, 0, 1, n);
  }

 private:
  NBIT_NOINLINE static void copy(const float* from, std::size_t from_stride, float* to, std::size_t to_stride,
                                 std::size_t rows, std::size_t n) {
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t i = 0; i < n; ++i) to[r * to_stride + i] = from[r * from_stride + i];
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
