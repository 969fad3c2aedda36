// nbit/format/ggml_scaled.hpp — what ggml's integer block formats share: how scales and minima make values of levels.
//
//   block_of_levels   one scale d for the block                       w = d * level                   Q4_0 Q8_0 TQ2_0
//   ... runs_of_levels    f16 d times an integer scale for each run       w = (d * scale) * level         Q3_K Q6_K
//   IQ4_XS runs_above_minima the same, and a minimum likewise                w = (d * scale) * q - dmin * m  Q2_K Q4_K
//   Q5_K
// A format derives from one of them and adds its codes' levels, its bytes and its encoder of one block.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_SCALED_HPP
#define NBIT_FORMAT_GGML_SCALED_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// All that most small blocks store besides the codes.
struct block_scale {
  f16 d;
};

namespace detail {

/// What a format gets from having F::encode_block(x, importance or null, row_mean_square, params&, codes), ggml's own
/// encoder of one whole group: encode for groups of any length, and fit, for which the group stands for its row.
template <class F>
struct encoded_by_blocks {
  template <class Params, class Format = F>  // F itself is not complete yet
  NBIT_HOST_INLINE static void encode(std::span<const float> w, std::span<const float> importance,
                                      float row_mean_square, Params& p, std::span<code_t<Format>> codes) {
    ggml_block::encode_group<F>(w, importance, row_mean_square, p, codes);
  }
  template <class Format = F>
  NBIT_HOST_INLINE static typename Format::params fit(std::span<const float> w, std::span<const float> importance) {
    typename F::params p{};
    code_t<F> codes[std::size_t(F::group) / std::size_t(step_of<F>)];
    encode(w, importance, row_mean_square(w), p, codes);
    return p;
  }
};

/// w = d * level, d in Params::d.
template <class F, class Params = block_scale>
struct block_of_levels : encoded_by_blocks<F> {
  static constexpr bool symmetric = true, exact_levels = true;
  using params = Params;

  NBIT_INLINE static float value(int c, const params& p, int) {
    return static_cast<float>(p.d) * static_cast<float>(F::level(c));
  }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

/// w = step * level: 256 weights in runs of Run; Params says step(run) = d * scale_of(run).
template <class F, class Params, int Run>
struct runs_of_levels : encoded_by_blocks<F> {
  static constexpr int group = 256, run = Run;
  static constexpr bool symmetric = true, exact_levels = true;
  using params = Params;

  NBIT_INLINE static float value(int c, const params& p, int i) {
    return p.step(run_at(i)) * static_cast<float>(F::level(c));
  }
  NBIT_INLINE static float scale(const params& p, int s) { return p.step(s); }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
  NBIT_INLINE static float super_scale(const params& p) { return static_cast<float>(p.d); }
  NBIT_INLINE static int sub_scale(const params& p, int s) { return p.scale_of(s); }

 protected:
  NBIT_INLINE static constexpr int run_at(int i) { return static_cast<int>(static_cast<unsigned>(i) / unsigned(Run)); }
};

/// w = step * code - lowered, codes from 0 to High: Params says lowered(run) = dmin * minimum_of(run) as well.
template <class F, class Params, int Run, int High>
struct runs_above_minima : runs_of_levels<F, Params, Run> {
  static constexpr bool symmetric = false;
  using params = Params;
  using runs_of_levels<F, Params, Run>::run_at;

  NBIT_HOST_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_level(v, p.step(run_at(i)), -p.lowered(run_at(i)), 0, High);
  }
  NBIT_INLINE static float value(int c, const params& p, int i) {
    NBIT_EXACT
    return p.step(run_at(i)) * static_cast<float>(c) - p.lowered(run_at(i));
  }
  NBIT_INLINE static constexpr int level(int c) { return c; }
  NBIT_INLINE static float offset(const params& p, int s) { return -p.lowered(s); }
  NBIT_INLINE static float super_offset(const params& p) { return -static_cast<float>(p.dmin); }
  NBIT_INLINE static int sub_offset(const params& p, int s) { return p.minimum_of(s); }
};

}  // namespace detail
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
