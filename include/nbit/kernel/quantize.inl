// nbit/kernel/quantize.inl — the generic quantize; included by kernel/quantize.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {

template <>
struct finite_check<NBIT_ARCH> {
  static bool row(std::span<const float> w) {
    std::size_t c = 0;
#if NBIT_TARGET == 1 || NBIT_TARGET == 2
    using m = lane_math<NBIT_ARCH>;
    auto bad = m::less(m::zero(), m::zero());
    for (; c + lane_count <= w.size(); c += lane_count) bad = m::either(bad, m::not_finite(m::load(w.data() + c)));
    if (m::bits(bad) != 0) return false;
#endif
    bool fine = true;
    for (; c < w.size(); ++c) fine &= is_finite(w[c]);
    return fine;
  }
};

template <class F, class L>
struct quantize_kernel<NBIT_ARCH, F, L> {
  static void row(std::span<const float> w, std::span<const float> importance, const packed_span<F, L>& out,
                  std::size_t r, code_t<F>* codes) {
    const std::size_t count = codes_per_row<F>(w.size()), length = codes_per_row<F>(group_length<F>(out.cols));
    if constexpr (std::is_same_v<L, blocks>) {
      const float mean_square = detail::row_mean_square(w.first(out.cols));
      for (std::size_t g = 0, at = 0; at < w.size(); ++g, at += std::size_t(F::group)) {
        typename F::params p{};
        const auto group = w.subspan(at, std::size_t(F::group));
        const auto weights = importance.empty() ? importance : importance.subspan(at, std::size_t(F::group));
        detail::encode_group<F>(group, weights, mean_square, p, codes);
        store_group<F, L>(out, r, g, length, codes, p);
      }
    } else if (count != 0) {
      detail::encode_row<F>(w, importance, codes, &out.group_params(r, 0));
      pack_row<L, F::bits>(codes, out.words, out.padded(), r, 0, codes_per_row<F>(out.cols));
    }
  }
};

}  // namespace NBIT_TAG
}  // namespace nbit
