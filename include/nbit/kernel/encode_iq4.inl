// nbit/kernel/encode_iq4.inl — group_encoder for IQ4_NL and IQ4_XS; included by kernel/encode.hpp once per target.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2

template <class F>
  requires(detail::is_one_of<F, iq4_nl, iq4_xs>)
struct group_encoder<NBIT_ARCH, F> {
  using m = lane_math<NBIT_ARCH>;
  using type = m::type;
  using search = lane_search<NBIT_ARCH>;
  using lanes_of = group_lanes<NBIT_ARCH>;
  static constexpr int run = 32, runs = F::group / run;
  static constexpr level_pieces pieces = level_pieces::of<F>();

  static void encode(const encode_batch& b) {
    alignas(64) float scale[16 * runs], x[16 * run], weight[16 * run], variance[16];
    const bool weighed = b.importance[0] != nullptr;
    if (weighed) lanes_of::template variances<F::group>(b.x, 2.0f / static_cast<float>(F::group), 1.0f, variance);
    for (int v = 0; v < runs; ++v) {
      lanes_of::template gather<F::group, run>(b.x, v, x);
      if (weighed)
        lanes_of::template weights<F::group, run>(b.importance, v, variance, x, weight);
      else
        for (int i = 0; i < 16 * run; i += 16) m::store(weight + i, m::mul(m::load(x + i), m::load(x + i)));
      m::store(scale + 16 * v, best_scale(x, weight));
    }
    for (std::size_t g = 0; g < b.count; ++g) {
      typename F::params p;
      float inverse[runs];
      std::uint8_t codes[F::group];
      F::store_scales(scale + std::size_t(runs) * g, p, inverse);
      bool fine = true;  // an infinite inverse makes NaN of a zero
      for (int s = 0; s < runs; ++s) {
        fine = fine && nbit::abs(inverse[s]) < 1e37f;
        for (int i = run * s; i < run * (s + 1); i += 16)
          put_codes(m::mul(m::broadcast(inverse[s]), m::load(b.x[g] + i)), codes + i);
      }
      if (fine)
        F::store(b.to[g], p, codes);
      else
        lanes_of::template encode_one<F>(b, g);
    }
  }

 private:
  // The piece of a v as the low bits of a number; which side of a cut counts is decided exactly.
  NBIT_INLINE static type piece_of(type v) {
    return m::fma(v, m::broadcast(1.0f / level_pieces::width), m::broadcast(12582912.0f));
  }
  NBIT_INLINE static void put_codes(type v, std::uint8_t* codes) {
    v = m::smaller(m::larger(v, m::broadcast(-150.0f)), m::broadcast(150.0f));
    const type at = piece_of(v);
    const auto below = m::less(v, m::lookup(pieces.cut, at));
    m::store_whole(codes, m::choose(below, m::lookup(pieces.code_below, at), m::lookup(pieces.code_above, at)));
  }

  /// The scale of each lane's run: 16 inverse scales around -127 / largest, least squares for each.
  static type best_scale(const float* x, const float* weight) {
    const type largest = search::template largest_signed<run>(x), zero = m::zero();
    const auto negligible = m::less(m::abs(largest), m::broadcast(ggml_block::negligible));
    type scale = zero, best = zero;
    for (int k = -8; k <= 7; ++k) {  // -8 stands for the plain scale, computed as a quotient of one
      const type inverse = k == -8 ? m::div(m::broadcast(1.0f), m::div(m::negate(largest), m::broadcast(-127.0f)))
                                   : m::div(m::broadcast(static_cast<float>(k - 127)), largest);
      type wqx = zero, wqq = zero;
      for (int i = 0; i < 16 * run; i += 16) {
        const type xi = m::load(x + i), v = m::mul(inverse, xi), at = piece_of(v);
        const auto below = m::less(v, m::lookup(pieces.cut, at));
        const type q = m::choose(below, m::lookup(pieces.below, at), m::lookup(pieces.above, at));
        const type wq = m::mul(m::load(weight + i), q);
        wqx = m::add(wqx, m::mul(wq, xi)), wqq = m::add(wqq, m::mul(wq, q));
      }
      auto better = m::less(zero, wqq);
      if (k == -8) {
        scale = m::choose(better, m::div(wqx, wqq), zero), best = m::mul(scale, wqx);
        continue;
      }
      better = m::both(better, m::less(m::mul(best, wqq), m::mul(wqx, wqx)));
      scale = m::choose(better, m::div(wqx, wqq), scale), best = m::choose(better, m::mul(scale, wqx), best);
    }
    return m::choose(negligible, zero, scale);
  }
};

#endif
}  // namespace NBIT_TAG
}  // namespace nbit
