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
    if constexpr (on_words) {
      const std::size_t done = word_gemv<NBIT_ARCH, Weights>::rows(w, first, count, x, y);
      first += done, count -= done;
    }
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
    if constexpr (on_blocks<Group>) {
      if (natural_groups(w)) return block_gemv<block_arch, Weights>::template rows<1>(w, first, count, x, 0, 1, y, 0);
      for (std::size_t r = first; r < first + count; ++r) y[r] = float_row(w, r, x, 0);
    } else {
      token(w, first, count, x, 0, y);
    }
  }

  /// Rows first ... first + count - 1 for activation row m, without blocks; gemm shares it.
  template <int Group>
  static void token(const Weights& w, std::size_t first, std::size_t count, const int8_activations<Group>& x,
                    std::size_t m, float* y) noexcept {
    if constexpr (on_words) {
      const std::size_t done = word_gemv<NBIT_ARCH, Weights>::rows(w, first, count, x, m, y);
      first += done, count -= done;
    }
    for (std::size_t r = first; r < first + count; ++r) y[r] = int8_row(w, r, x, m);
  }

  /// The dot of weight row r and activation row m.
  template <int Group>
  static float int8_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept {
    if constexpr (integers) {
      if (natural_groups(w)) return integer_row(w, r, x, m);
    }
    return float_row(w, r, x, m);
  }
  /// The same where columns are reordered, or levels are no integers.
  template <int Group>
  static float float_row(const Weights& w, std::size_t r, const int8_activations<Group>& x, std::size_t m) noexcept {
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

  /// Whether columns stand in the order of their groups.
  NBIT_INLINE static bool natural_groups(const Weights& w) {
    if constexpr (requires { w.group_index; })
      return w.group_index == nullptr;
    else
      return true;
  }

  /// Whether word_gemv serves these weights.
  static constexpr bool on_words = has_word_gemv<NBIT_ARCH, Weights>;

  // Whose block_gemv runs: avx_vnni has none of its own, avx2's reads memory as fast.
#if NBIT_TARGET == 1
  using block_arch = arch::avx2;
#else
  using block_arch = NBIT_ARCH;
#endif
  /// Whether block_gemv serves these weights and activations.
  template <int Group>
  static constexpr bool on_blocks = [] {
    if constexpr (has_block_gemv<block_arch, Weights>)
      return block_gemv<block_arch, Weights>::template serves<Group>;
    else
      return false;
  }();

 private:
  static constexpr bool integers = [] {
    if constexpr (requires { typename Weights::format; })
      return detail::has_integer_runs<typename Weights::format>;
    else
      return false;
  }();

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
    using blocks_of = detail::int8_blocks<format, Group>;
    constexpr std::size_t length = blocks_of::length;
    alignas(64) std::int8_t level[chunk + 64];
    float scale[chunk / 16 + 4], offset[chunk / 16 + 4];
    std::int32_t sum16[chunk / 16 + 4];
    float chain[4] = {};
    for (std::size_t c = 0; c < w.cols; c += chunk) {
      const std::size_t n = w.cols - c < chunk ? w.cols - c : chunk;
      decoder::levels(w, r, c, n, level, scale, offset);
      for (std::size_t i = 0; i < n; i += 64) dots16(level + i, x.row_codes(m) + c + i, sum16 + i / 16);
      const std::size_t sums = (n + 63) / 64 * 4;  // blocks may end in columns that neither side has
      for (std::size_t i = 0; i < n; i += length) {
        const std::size_t b = (c + i) / length, first = i / 16,
                          end = first + length / 16 < sums ? first + length / 16 : sums;
        const std::int16_t* const codes = x.row_sums(m) + c / 16;
        const float by = x.scale16(m, (c + i) / 16);
        float& to = chain[b % 4];
        std::int32_t product = 0, total = 0;
        if constexpr (blocks_of::two_level) {
          const typename format::params p = decoder::params_of(w, r, (c + i) / length);
          for (std::size_t k = first; k < end; ++k) {
            const int s = static_cast<int>((k - first) * 16 / std::size_t(format::run));
            product += format::sub_scale(p, s) * sum16[k];
            if constexpr (has_offset<format>) total += format::sub_offset(p, s) * codes[k];
          }
          to = nbit::fma(format::super_scale(p) * by, static_cast<float>(product), to);
          if constexpr (has_offset<format>) to = nbit::fma(format::super_offset(p) * by, static_cast<float>(total), to);
        } else {
          for (std::size_t k = first; k < end; ++k) product += sum16[k], total += codes[k];
          to = nbit::fma(scale[first] * by, static_cast<float>(product), to);
          if constexpr (has_offset<format>) to = nbit::fma(offset[first], by * static_cast<float>(total), to);
        }
      }
    }
    return (chain[0] + chain[2]) + (chain[1] + chain[3]);
  }

  // Four exact sums of sixteen columns each; dot4's lanes are integers below 2^17, so floats hold their sums too.
  NBIT_INLINE static void dots16(const std::int8_t* w, const std::int8_t* x, std::int32_t* four) {
    float lane[lane_count];
    vec::store(lane, vec::dot4(w, x));
    for (std::size_t k = 0; k < 4; ++k)
      four[k] = static_cast<std::int32_t>((lane[4 * k] + lane[4 * k + 1]) + (lane[4 * k + 2] + lane[4 * k + 3]));
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
