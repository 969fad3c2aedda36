// nbit/tensor/transcode_grid.hpp — parameters of a format that put its levels on a grid that is already there.
//
// Quantizing asks: which grid suits these floats? Transcoding asks: can this format's grid be that one? A source says
// for each weight its value, the step of its grid and where code 0 lies. From these come a few candidates for the
// parameters of the target; the one whose values differ least is taken, and what is left is measured, never assumed.
// SPDX-License-Identifier: MIT
#ifndef NBIT_TENSOR_TRANSCODE_GRID_HPP
#define NBIT_TENSOR_TRANSCODE_GRID_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/scale.hpp>
#include <nbit/format/scheme.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace detail {

/// One row of a source: what weights are worth, the steps of their grids, and what code 0 is worth there. gap: the
/// least distance between levels, in steps (the step of a codebook is its scale). A step of NaN: the values lie on no
/// grid.
struct source_row {
  std::span<const float> value, step, base;
  float gap = 1.0f;

  [[nodiscard]] source_row part(std::size_t first, std::size_t n) const {
    return {value.subspan(first, n), step.subspan(first, n), base.subspan(first, n), gap};
  }
};

/// The least distance between two levels of a format, in steps.
template <class F>
NBIT_INLINE constexpr float level_gap() {
  float least = 1.0f;
  if constexpr (requires { F::levels.size(); }) {
    for (const float a : F::levels)
      for (const float b : F::levels)
        if (a > b && a - b < least) least = a - b;
  } else if constexpr (requires { typename F::element; }) {
    least = float(F::element::from_bits(1));  // the least subnormal number
  }
  return least;
}

/// The largest number that both are multiples of, or the larger one when that is less than 2^-12 of it.
inline float common_step(float a, float b) {
  a = nbit::abs(a), b = nbit::abs(b);
  float high = a > b ? a : b, low = a > b ? b : a;
  const float top = high;
  for (int i = 0; i < 64 && low > 0.0f; ++i) {
    const float rest = __builtin_fmodf(high, low);  // exact
    high = low, low = rest;
    if (low != 0.0f && low < top * 0x1p-12f) return top;
  }
  return high;
}

/// What a stretch of weights has in common: the step (its sign when all agree), code 0, and the least value.
struct grid_piece {
  float step = 0, base = 0, low = 0;
};
inline grid_piece piece_of(const source_row& from) {
  grid_piece p;
  float sign = 0;
  for (std::size_t i = 0; i < from.value.size(); ++i) {
    p.low = i == 0 || from.value[i] < p.low ? from.value[i] : p.low;
    if (from.step[i] == 0.0f) continue;
    if (p.step == 0.0f) p.base = from.base[i], sign = from.step[i] < 0.0f ? -1.0f : 1.0f;
    if (p.step != nbit::abs(from.step[i]))
      p.step = p.step == 0.0f ? nbit::abs(from.step[i]) : common_step(p.step, from.step[i]);
  }
  p.step *= sign == 0.0f ? 1.0f : sign;
  return p;
}

/// Calls f(d) with steps of which all pieces' numbers are whole multiples up to most, at most a few, then with the
/// largest over most. number(piece) is a magnitude; all 0: f(0).
template <class Number, class F>
inline void super_steps(std::span<const grid_piece> pieces, int most, Number number, F f) {
  float common = 0, top = 0;
  for (const grid_piece& p : pieces) {
    const float v = nbit::abs(number(p));
    top = v > top ? v : top;
    if (v != 0.0f) common = common == 0.0f ? v : common_step(common, v);
  }
  if (top == 0.0f) {
    f(0.0f);
    return;
  }
  int found = 0;
  for (int k = 1; k <= most && found < 4; ++k) {
    const float d = common / static_cast<float>(k);
    if (top > d * static_cast<float>(most)) break;
    if (float(f16::from(d)) == d) f(d), ++found;
  }
  f(top / static_cast<float>(most));
}

/// A whole multiple of d, held in [low, high].
inline int multiple_of(float v, float d, int low, int high) { return d == 0.0f ? 0 : round_clamped(v / d, low, high); }

/// Formats with a scale for the group and a scale for each of its runs.
template <class F>
concept has_super_scale =
    integer_format<F> && requires(typename F::params p) { p.d; } && (F::run > 0 && F::run < F::group);

/// Candidates for formats with one scale for each run.
template <class To, class Try>
inline void super_candidates(std::span<const grid_piece> pieces, Try attempt) {
  using params = typename To::params;
  constexpr int runs = To::group / To::run;
  const int n = static_cast<int>(pieces.size());
  if constexpr (requires(params p) { p.dmin; }) {
    constexpr int most = runs == 16 ? 15 : 63;  // Q2_K has 4-bit scales, Q4_K and Q5_K 6-bit ones
    const auto step = [](const grid_piece& p) { return p.step; };
    const auto lowered = [](const grid_piece& p) { return p.base < 0.0f ? -p.base : 0.0f; };
    super_steps(pieces, most, step, [&](float d) {
      super_steps(pieces, most, lowered, [&](float dmin) {
        params p{};
        p.d = f16::from(d), p.dmin = f16::from(dmin);
        std::uint8_t scale[runs] = {}, minimum[runs] = {};
        for (int s = 0; s < n; ++s) {
          const grid_piece& g = pieces[static_cast<std::size_t>(s)];
          scale[s] = static_cast<std::uint8_t>(multiple_of(step(g), float(p.d), 0, most));
          minimum[s] = static_cast<std::uint8_t>(multiple_of(lowered(g), float(p.dmin), 0, most));
        }
        if constexpr (runs == 16)
          for (int s = 0; s < runs; ++s) p.scales[s] = static_cast<std::uint8_t>(scale[s] | minimum[s] << 4);
        else
          ggml_block::pack_scales_and_minima(scale, minimum, p.packed);
        attempt(p);
      });
    });
  } else {
    constexpr int low = requires(params p) { p.scales; } ? -128 : -32;
    super_steps(
        pieces, -low - 1, [](const grid_piece& p) { return p.step; },
        [&](float d) {
          params p{};
          p.d = f16::from(d);
          for (int s = 0; s < runs; ++s) {
            const int scale =
                s < n ? multiple_of(pieces[static_cast<std::size_t>(s)].step, float(p.d), low, -low - 1) : 0;
            if constexpr (requires { p.scales[s]; }) {  // Q6_K
              p.scales[s] = static_cast<std::int8_t>(scale);
            } else if constexpr (requires { p.packed[s]; }) {  // Q3_K
              const unsigned u = static_cast<unsigned>(scale + 32);
              p.packed[s % 8] = static_cast<std::uint8_t>(p.packed[s % 8] | (u & 15u) << (s / 8 * 4));
              p.packed[8 + s % 4] = static_cast<std::uint8_t>(p.packed[8 + s % 4] | (u >> 4) << (s / 4 * 2));
            } else {  // IQ4_XS
              const unsigned u = static_cast<unsigned>(scale + 32);
              p.low[s / 2] = static_cast<std::uint8_t>(p.low[s / 2] | (u & 15u) << (s % 2 * 4));
              p.high = static_cast<std::uint16_t>(p.high | (u >> 4) << (2 * s));
            }
          }
          attempt(p);
        });
  }
}

/// Calls attempt(params) with each candidate for a group whose runs have these pieces.
template <grid_format To, class Try>
inline void grid_candidates(std::span<const grid_piece> pieces, Try attempt) {
  using params = typename To::params;
  const grid_piece g = pieces.empty() ? grid_piece{} : pieces[0];
  const float doubled[3] = {g.step, g.step * 2.0f, g.step * 0.5f};
  if constexpr (has_super_scale<To>) {
    super_candidates<To>(pieces, attempt);
  } else if constexpr (requires { To::scheme; }) {
    using store = scale_storage<To::scheme.scale>;
    params p{};
    p.scale = store::from(nbit::abs(g.step));
    const float s = float(p.scale);
    const auto over = [s](float v) { return s == 0.0f ? 0.0f : v / s; };
    if constexpr (To::symmetric) {
      attempt(p);
      if constexpr (To::scheme.symmetry == symmetry::full_range) p.scale = store::from(-nbit::abs(g.step)), attempt(p);
    } else if constexpr (To::scheme.symmetry == symmetry::asymmetric) {
      constexpr int top = (1 << To::bits) - 1;
      for (const int zero :
           {round_clamped(over(-g.base), 0, top), 1 << (To::bits - 1), round_clamped(over(-g.low), 0, top)})
        p.zero = static_cast<decltype(p.zero)>(zero), attempt(p);
    } else {
      for (const float start : {g.base, g.low}) p.zero = store::from(over(-start)), attempt(p);
    }
  } else if constexpr (requires(params p) { p.middle; }) {  // torchao's int4
    const bf16 scale = bf16::from(nbit::abs(g.step));
    for (const float start : {g.base, g.low}) attempt(params{scale, bf16::from(start + 8.0f * float(scale))});
  } else if constexpr (requires(params p) { p.m; }) {  // Q4_1, Q5_1
    for (const float start : {g.base, g.low}) attempt(params{f16::from(nbit::abs(g.step)), f16::from(start)});
  } else if constexpr (requires(params p) { p.d; }) {  // one f16 (or f32) scale
    for (const float d : {g.step, -g.step}) {
      params p{};
      if constexpr (std::is_same_v<decltype(p.d), f16>)
        p.d = f16::from(d);
      else
        p.d = d;
      attempt(p);
    }
  } else if constexpr (requires(params p) { p.e; }) {  // MXFP4: levels are doubled, so the scale is halved
    for (const float d : doubled) {
      const std::uint32_t field = std::bit_cast<std::uint32_t>(nbit::abs(d)) >> 23;
      attempt(params{e8m0::from_bits(static_cast<std::uint8_t>(field < 254 ? field + 1 : 254))});
    }
  } else if constexpr (requires(params p) { p.scale[0]; }) {  // NVFP4
    for (const float factor : {1.0f, 2.0f, 0.5f}) {
      params p{};
      for (std::size_t s = 0; s < pieces.size(); ++s)
        p.scale[s] = f8_e4m3::from(nbit::abs(pieces[s].step) * factor * 2.0f).bits;
      attempt(p);
    }
  } else if constexpr (requires(params p) { p.scale; }) {  // codebooks and small floats of any scale type
    for (const float d : doubled) {
      params p = To::fit({}, {});
      using scale_t = decltype(p.scale);
      if constexpr (std::is_same_v<scale_t, float>)
        p.scale = nbit::abs(d);
      else
        p.scale = scale_t::from(nbit::abs(d));
      attempt(p);
    }
  }
}

/// The code of v, or a neighbour of it that is nearer (Q8_0 reads -128 but never rounds to it).
template <grid_format To>
inline int nearest_code(float v, const typename To::params& p, int i) {
  const int code = To::code(v, p, i);
  float least = nbit::abs(To::value(code, p, i) - v);
  int found = code;
  if (least == 0.0f) return code;
  for (const int other : {code - 1, code + 1}) {
    if (other < 0 || other >= 1 << To::bits) continue;
    const float apart = nbit::abs(To::value(other, p, i) - v);
    if (apart < least) least = apart, found = other;
  }
  return found;
}

/// The parameters for one group of the target that differ least from the source, in steps of its grid.
template <grid_format To>
inline typename To::params grid_params(const source_row& from) {
  constexpr int run = [] {
    if constexpr (integer_format<To>) return To::run;
    return 0;
  }();
  constexpr std::size_t most = run > 0 ? std::size_t(To::group / run) : 1;
  grid_piece pieces[most];
  const std::size_t n = from.value.size(), length = run > 0 ? std::size_t(run) : n;
  std::size_t count = 0;
  for (std::size_t first = 0; first < n && count < most; first += length)
    pieces[count++] = piece_of(from.part(first, n - first < length ? n - first : length));
  typename To::params best{};
  float least = -1.0f;
  grid_candidates<To>(std::span<const grid_piece>(pieces, count), [&](const typename To::params& p) {
    if (least == 0.0f) return;
    float worst = 0.0f;
    for (std::size_t i = 0; i < n; ++i) {
      const int at = static_cast<int>(i);
      const float apart = nbit::abs(To::value(nearest_code<To>(from.value[i], p, at), p, at) - from.value[i]);
      const float step = nbit::abs(from.step[i]) * from.gap, steps = apart == 0.0f ? 0.0f
                                                                     : step > 0.0f ? apart / step
                                                                                   : 1e30f;
      worst = steps > worst || !is_finite(steps) ? steps : worst;
    }
    if (least < 0.0f || worst < least) least = worst, best = p;
  });
  return best;
}

}  // namespace detail
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
