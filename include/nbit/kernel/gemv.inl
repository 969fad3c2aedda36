// nbit/kernel/gemv.inl — the generic gemv; included by kernel/gemv.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <class Weights>
struct gemv_kernel<NBIT_ARCH, Weights> {
  using vec = lanes<NBIT_ARCH>;
  using decoder = row_decoder<NBIT_ARCH, Weights>;
  static constexpr std::size_t chunk = detail::chunk_of<Weights>;

  static void rows(const Weights& w, std::size_t first, std::size_t count, const float* x, float* y) noexcept {
    for (std::size_t r = first; r < first + count; ++r) {
      alignas(64) float row[chunk];
      auto sum = vec::zero();
      for (std::size_t c = 0; c < w.cols; c += chunk) {
        const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
        decoder::floats(w, r, c, n, row);
        sum = dot(row, x + c, n, sum);
      }
      y[r] = vec::reduce(sum);
    }
  }

  template <int Group>
  static void rows(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                   float* y) noexcept {
    for (std::size_t r = first; r < first + count; ++r) y[r] = int8_row(w, r, x, 0);
  }

  /// The dot of weight row r and activation row m; gemm shares it, so both give the same bits.
  template <int Group>
  static float int8_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept {
    if constexpr (integers) {
      if (natural_groups(w)) return integer_row(w, r, x, m);
    }
    alignas(64) float row[chunk], act[chunk];
    auto sum = vec::zero();
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::floats(w, r, c, n, row);
      for (std::size_t i = 0; i < n; ++i) {
        act[i] = x.scale16(m, (c + i) / 16) * static_cast<float>(x.row_codes(m)[c + i]);
      }
      sum = dot(row, act, n, sum);
    }
    return vec::reduce(sum);
  }

 private:
  static constexpr bool integers = [] {
    if constexpr (requires { typename Weights::format; })
      return detail::has_integer_runs<typename Weights::format>;
    else
      return false;
  }();

  NBIT_INLINE static bool natural_groups(const Weights& w) {
    if constexpr (requires { w.group_index; })
      return w.group_index == nullptr;
    else
      return true;
  }

  NBIT_INLINE static typename vec::type dot(const float* w, const float* x, std::size_t n, typename vec::type sum) {
    std::size_t i = 0;
    for (; i + lane_count <= n; i += lane_count) sum = vec::fma(vec::load(w + i), vec::load(x + i), sum);
    if (i < n) {  // a short last vector: zeros beyond the row add nothing
      float tail_w[lane_count] = {}, tail_x[lane_count] = {};
      for (std::size_t j = 0; i + j < n; ++j) tail_w[j] = w[i + j], tail_x[j] = x[i + j];
      sum = vec::fma(vec::load(tail_w), vec::load(tail_x), sum);
    }
    return sum;
  }

  template <int Group>
  static float integer_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept
    requires(integers)
  {
    NBIT_EXACT
    using format = typename Weights::format;
    alignas(64) std::int8_t level[chunk + 64];
    float scale[chunk / 16 + 4], offset[chunk / 16 + 4];
    auto sum = vec::zero();
    float shift[lane_count] = {};
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::levels(w, r, c, n, level, scale, offset);
      for (std::size_t i = 0; i < n; i += 64) {
        float s[lane_count];
        for (std::size_t b = 0; b < 4; ++b) {
          const std::size_t block = (c + i) / 16 + b;
          const float product = scale[i / 16 + b] * x.scale16(m, block);
          for (std::size_t j = 0; j < 4; ++j) s[4 * b + j] = product;
          if constexpr (has_offset<format>) {
            float& lane = shift[block % lane_count];
            lane = nbit::fma(offset[i / 16 + b] * x.scale16(m, block), static_cast<float>(x.row_sums(m)[block]), lane);
          }
        }
        sum = vec::fma(vec::dot4(level + i, x.row_codes(m) + c + i), vec::load(s), sum);
      }
    }
    if constexpr (has_offset<format>)
      return vec::reduce(vec::add(sum, vec::load(shift)));
    else
      return vec::reduce(sum);
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
