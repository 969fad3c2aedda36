// nbit/kernel/encode_k.inl — group_encoder for the k-quants; included by kernel/encode.hpp once per target.
//
// Sixteen groups of 256: their runs are searched sixteen at a time, then the runs' scales with a lane for each group.
// SPDX-License-Identifier: MIT
namespace nbit {
inline namespace NBIT_TAG {
#if (NBIT_TARGET == 1 && !NBIT_TARGET_DOT) || NBIT_TARGET == 2

template <class F>
  requires(detail::is_one_of<F, q2_k, q4_k, q5_k>)
struct group_encoder<NBIT_ARCH, F> {
  using m = lane_math<NBIT_ARCH>;
  using search = lane_search<NBIT_ARCH>;
  using lanes_of = group_lanes<NBIT_ARCH>;
  static constexpr int run = F::run, runs = 256 / run, high = (1 << F::bits) - 1, scale_high = F::bits == 2 ? 15 : 63;
  static constexpr bool two_bits = F::bits == 2;

  static void encode(const encode_batch& b) {
    alignas(64) float scale[16 * runs], lowered[16 * runs], sums[16 * runs];  // of run 16 * v + lane
    alignas(64) float x[16 * run], weight[16 * run], variance[16] = {};
    alignas(64) std::uint8_t found[16 * 256], scales[16 * runs], minima[16 * runs];
    const bool weighed = b.importance[0] != nullptr;
    unsigned odd = 0;  // groups to leave to the definition
    if (weighed) lanes_of::template variances<256>(b.x, two_bits ? 1.0f : 2.0f, 256.0f, variance);
    for (int v = 0; v < runs; ++v) {
      lanes_of::template gather<256, run>(b.x, v, x);
      std::uint8_t* const codes = found + 16 * run * v;
      typename search::lowered_grids g;
      if (weighed) {
        lanes_of::template weights<256, run>(b.importance, v, variance, x, weight);
        m::store(sums + 16 * v, search::template sum_of<run>(weight));
        g = search::template lowered<run, high, 37, false>(x, weight, codes, -0.9f, 0.05f);
      } else if constexpr (two_bits) {
        for (int i = 0; i < 16 * run; i += 16) m::store(weight + i, m::abs(m::load(x + i)));
        g = search::template lowered<run, high, 16, true>(x, weight, codes, -0.5f, 0.1f);
      } else {
        constexpr int steps = F::bits == 4 ? 21 : 16;
        auto sum = m::zero();
        for (int i = 0; i < 16 * run; i += 16) sum = m::add(sum, m::mul(m::load(x + i), m::load(x + i)));
        const auto root_mean = m::sqrt(m::div(sum, m::broadcast(static_cast<float>(run))));
        for (int i = 0; i < 16 * run; i += 16) m::store(weight + i, m::add(root_mean, m::abs(m::load(x + i))));
        g = search::template lowered<run, high, steps, false>(x, weight, codes, F::bits == 4 ? -1.0f : -0.5f, 0.1f);
      }
      m::store(scale + 16 * v, g.scale), m::store(lowered + 16 * v, g.lowered);
      for (unsigned left = m::bits(g.odd); left != 0; left &= left - 1)
        odd |= 1u << (16 * v + __builtin_ctz(left)) / runs;
    }
    alignas(64) float d[16], dmin[16];
    if (weighed) {
      alignas(64) float values[16 * runs], weights[16 * runs];
      auto odd_lanes = m::less(m::zero(), m::zero());
      lanes_of::template turn<runs>(sums, weights);
      lanes_of::template turn<runs>(scale, values);
      m::store(d, search::template positive<runs, scale_high>(values, weights, scales, odd_lanes));
      lanes_of::template turn<runs>(lowered, values);
      m::store(dmin, search::template positive<runs, scale_high>(values, weights, minima, odd_lanes));
      odd |= m::bits(odd_lanes);
    }
    for (std::size_t g = 0; g < b.count; ++g) {
      if ((odd >> g & 1u) != 0) {
        lanes_of::template encode_one<F>(b, g);
        continue;
      }
      typename F::params p;
      std::uint8_t group_scales[runs], group_minima[runs], codes[256];
      if (weighed) {
        lanes_of::template of_group<runs>(scales, g, group_scales);
        lanes_of::template of_group<runs>(minima, g, group_minima);
      } else {
        d[g] = F::scales_by_maximum(scale + std::size_t(runs) * g, group_scales);
        dmin[g] = F::scales_by_maximum(lowered + std::size_t(runs) * g, group_minima);
      }
      p.d = f16::from(d[g]), p.dmin = f16::from(dmin[g]);
      F::pack_scales(p, group_scales, group_minima);
      for (int s = 0; s < runs; ++s)
        lanes_of::template recode<run>(b.x[g] + run * s, p.step(s), p.lowered(s), 0, high, 0, found,
                                       std::size_t(runs) * g + std::size_t(s), codes + run * s);
      F::store(b.to[g], p, codes);
    }
  }
};

template <class F>
  requires(detail::is_one_of<F, q3_k, q6_k>)
struct group_encoder<NBIT_ARCH, F> {
  using m = lane_math<NBIT_ARCH>;
  using search = lane_search<NBIT_ARCH>;
  using lanes_of = group_lanes<NBIT_ARCH>;
  static constexpr int run = 16, runs = 16, half = 1 << (F::bits - 1);
  static constexpr bool three_bits = F::bits == 3;

  static void encode(const encode_batch& b) {
    alignas(64) float scale[16 * runs], sums[16 * runs], x[16 * run], weight[16 * run], variance[16] = {};
    alignas(64) std::uint8_t found[16 * 256], scales[16 * runs];
    alignas(64) float d[16] = {};
    const bool weighed = b.importance[0] != nullptr;
    if (weighed && three_bits) lanes_of::template variances<256>(b.x, 2.0f, 256.0f, variance);
    for (int v = 0; v < runs; ++v) {
      std::uint8_t* const codes = found + 16 * run * v;
      lanes_of::template gather<256, run>(b.x, v, x);
      if (three_bits && !weighed) {
        m::store(scale + 16 * v, search::template descent<run, half>(x, codes));
        continue;
      }
      if (weighed && three_bits) {
        lanes_of::template weights<256, run>(b.importance, v, variance, x, weight);
        m::store(sums + 16 * v, search::template sum_of<run>(weight));
      } else if (weighed) {
        lanes_of::template gather<256, run>(b.importance, v, weight);
      } else {
        for (int i = 0; i < 16 * run; i += 16) m::store(weight + i, m::mul(m::load(x + i), m::load(x + i)));
      }
      m::store(scale + 16 * v, search::template signed_levels<run, half>(x, weight, codes));
    }
    if constexpr (three_bits) {
      if (weighed) {
        lanes_of::template turn<runs>(sums, weight);
        lanes_of::template turn<runs>(scale, x);
        m::store(d, search::template signed_levels<runs, 32>(x, weight, scales));
      }
    }
    for (std::size_t g = 0; g < b.count; ++g) {
      typename F::params p{};
      std::uint8_t codes[256] = {};
      if (store_scales(p, scale + std::size_t(runs) * g, weighed, d[g], scales, g)) {
        for (int s = 0; s < runs; ++s)
          lanes_of::template recode<run>(b.x[g] + run * s, p.step(s), 0.0f, -half, half - 1, half, found,
                                         std::size_t(runs) * g + std::size_t(s), codes + run * s);
      }
      F::store(b.to[g], p, codes);
    }
  }

 private:
  /// The group's scales into p; false if all its weights are negligible.
  static bool store_scales(typename F::params& p, const float* scale, bool weighed, float d, const std::uint8_t* scales,
                           std::size_t g) {
    if constexpr (three_bits) {
      std::uint8_t six[runs];
      if (weighed)
        lanes_of::template of_group<runs>(scales, g, six);
      else
        d = F::scales_by_maximum(scale, six);
      p.d = f16::from(d);
      F::pack_scales(p, six);
      return true;
    } else {
      return F::scales_by_maximum(scale, p);
    }
  }
};

#endif
}  // namespace NBIT_TAG
}  // namespace nbit
