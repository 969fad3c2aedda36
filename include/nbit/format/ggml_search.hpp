// nbit/format/ggml_search.hpp — how ggml's encoders look for a scale: four searches shared by its formats.
//
// Each search tries a fixed list of inverse scales, rounds a run of weights with each and keeps the one with the
// smallest weighted error. Here four candidates go side by side, one in each vector lane, while every sum still runs
// over the weights in order: the bytes agree with the reference's although the arithmetic is vectorised.
// Ref: ggml (MIT), the quantizers of its block formats; reference bytes in tests/golden.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_SEARCH_HPP
#define NBIT_FORMAT_GGML_SEARCH_HPP

#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/ggml_block.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// A grid scale * code - lowered, codes from 0: `lowered` is how far the grid starts below zero, never negative.
struct lowered_grid {
  float scale, lowered;
};

NBIT_INLINE int held(int v, int low, int high) {
  const int above = v > low ? v : low;
  return above < high ? above : high;
}

/// The level nearest to v, held in [low, high]. Rounds before it clamps, so that a v beyond 2^22 and the NaN of an
/// overflowed inverse scale give the same level as in the reference.
NBIT_INLINE int level_of(float v, int low, int high) { return held(round_even(v), low, high); }

/// Grid -Half .. Half-1 times a scale: start from the plain scale, then up to 5 rounds of moving one code at a time
/// while the least-squares fit of all others improves. Weighs by x^2. Codes are level + Half, or all 0 for a
/// negligible run.
template <int N, int Half>
float signed_descent(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  const float largest = largest_signed<N>(x);
  if (nbit::abs(largest) < negligible) {
    for (int i = 0; i < N; ++i) codes[i] = 0;
    return 0.0f;
  }
  const float inverse = static_cast<float>(-Half) / largest;
  int level[N];
  float sum_wxl = 0.0f, sum_wll = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float w = x[i] * x[i];
    level[i] = level_of(inverse * x[i], -Half, Half - 1);
    const float l = static_cast<float>(level[i]);
    sum_wxl += w * x[i] * l;
    sum_wll += w * l * l;
  }
  for (int round = 0; round < 5; ++round) {
    bool moved = false;
    for (int i = 0; i < N; ++i) {
      const float w = x[i] * x[i], l = static_cast<float>(level[i]);
      float rest_wxl = sum_wxl - w * x[i] * l;
      if (!(rest_wxl > 0.0f)) continue;
      float rest_wll = sum_wll - w * l * l;
      const int other = level_of(x[i] * rest_wll / rest_wxl, -Half, Half - 1);
      if (other == level[i]) continue;
      const float o = static_cast<float>(other);
      rest_wxl += w * x[i] * o;
      rest_wll += w * o * o;
      if (rest_wll > 0.0f && rest_wxl * rest_wxl * sum_wll > sum_wxl * sum_wxl * rest_wll) {
        level[i] = other, sum_wxl = rest_wxl, sum_wll = rest_wll;
        moved = true;
      }
    }
    if (!moved) break;
  }
  for (int i = 0; i < N; ++i) codes[i] = static_cast<std::uint8_t>(level[i] + Half);
  return sum_wll > 0.0f ? sum_wxl / sum_wll : 0.0f;
}

#if defined(__CUDACC_RTC__)  // no vector types, and no kernel that searches: declared for the encoders' text

template <int N, int Half>
float signed_search(const float* x, const float* weight, std::uint8_t* codes);
template <int N, int High, int Steps, bool Absolute>
lowered_grid lowered_search(const float* x, const float* weight, std::uint8_t* codes, float first, float stride);

#else

/// Four candidates side by side. No wider vectors: a candidate that wins makes the lanes behind it start again.
using four_floats = float __attribute__((vector_size(16)));
using four_ints = std::int32_t __attribute__((vector_size(16)));

/// level_of for four lanes.
NBIT_HOST_INLINE four_floats level_of(four_floats v, int low, int high) {
  const four_ints lows = four_ints{} + low, highs = four_ints{} + high;
  const four_ints l = ((four_ints)(v + 12582912.0f) & 0x7fffff) - 0x400000;
  const four_ints above = l > lows ? l : lows, level = above < highs ? above : highs;
  return __builtin_convertvector(level, four_floats);
}

/// Grid -Half .. Half-1 times a scale of either sign: the plain scale and 18 near it, each refined by least squares.
/// weight == nullptr weighs by x^2. Codes are level + Half, or all 0 for a negligible run. Returns the scale.
template <int N, int Half>
float signed_search(const float* x, const float* weight, std::uint8_t* codes) {
  NBIT_EXACT
  constexpr int candidates = 19, lanes = 20;
  const float largest = largest_signed<N>(x);
  if (nbit::abs(largest) < negligible) {
    for (int i = 0; i < N; ++i) codes[i] = 0;
    return 0.0f;
  }
  float inverse[lanes], sum_wxl[lanes], sum_wll[lanes];
  for (int s = 0; s < lanes; ++s) {
    const int k = s == 0 ? 0 : (s < 10 ? s - 10 : s - 9);  // 0, then -9 .. -1, 1 .. 9
    inverse[s] = -(static_cast<float>(Half) + 0.1f * static_cast<float>(k)) / largest;
  }
  for (int s = 0; s < lanes; s += 4) {
    four_floats four, wxl = {}, wll = {};
    __builtin_memcpy(&four, inverse + s, sizeof four);
    for (int i = 0; i < N; ++i) {
      const float xi = x[i], w = weight != nullptr ? weight[i] : xi * xi;
      const four_floats l = level_of(four * xi, -Half, Half - 1);
      wxl += w * xi * l;
      wll += w * l * l;
    }
    __builtin_memcpy(sum_wxl + s, &wxl, sizeof wxl);
    __builtin_memcpy(sum_wll + s, &wll, sizeof wll);
  }
  int chosen = 0;
  float scale = sum_wll[0] != 0.0f ? sum_wxl[0] / sum_wll[0] : 0.0f, best = scale * sum_wxl[0];
  for (int s = 1; s < candidates; ++s) {
    if (sum_wll[s] > 0.0f && sum_wxl[s] * sum_wxl[s] > best * sum_wll[s]) {
      chosen = s, scale = sum_wxl[s] / sum_wll[s], best = scale * sum_wxl[s];
    }
  }
  for (int i = 0; i < N; ++i)
    codes[i] = static_cast<std::uint8_t>(Half + level_of(inverse[chosen] * x[i], -Half, Half - 1));
  return scale;
}

/// Four candidate inverse scales and what the weighted 2 x 2 least squares for (scale, start) says of each.
struct lowered_candidates {
  four_floats inverse, det, scale, start, error;
};

/// Rounds N weights above `low` with each inverse scale and fits (scale, start <= 0) to the codes.
template <int N, int High, bool Absolute>
void fit_lowered(const float* x, const float* weight, float low, float sum_w, float sum_wx, lowered_candidates& c) {
  NBIT_EXACT
  const four_floats inverse = c.inverse, zero = {};
  four_floats wl = {}, wll = {}, wlx = {}, error = {}, level[N];
  for (int i = 0; i < N; ++i) {
    const four_floats l = level_of(inverse * (x[i] - low), 0, High), weighed = weight[i] * l;
    level[i] = l;
    wl += weighed;
    wll += weighed * l;
    wlx += weighed * x[i];
  }
  const four_floats det = sum_w * wll - wl * wl;
  const four_floats free_scale = (sum_w * wlx - sum_wx * wl) / det, free_start = (wll * sum_wx - wl * wlx) / det;
  const four_floats scale = free_start > zero ? wlx / wll : free_scale, start = free_start > zero ? zero : free_start;
  for (int i = 0; i < N; ++i) {
    const four_floats diff = scale * level[i] + start - x[i];
    error += weight[i] * (Absolute ? (diff < zero ? -diff : diff) : diff * diff);
  }
  c.det = det, c.scale = scale, c.start = start, c.error = error;
}

/// Grid scale * code - lowered with codes 0 .. High: the full range first, then Steps inverse scales
/// (first + stride * s + High) / range, each refined by least squares with the grid's start held at or below 0.
/// A better candidate also moves the start of the range that later candidates use, so lanes behind it are redone.
/// Absolute: candidates are compared by weighted absolute error, else by weighted squared error.
template <int N, int High, int Steps, bool Absolute>
lowered_grid lowered_search(const float* x, const float* weight, std::uint8_t* codes, float first, float stride) {
  NBIT_EXACT
  constexpr int lanes = 4;
  constexpr float high = static_cast<float>(High);
  float low = x[0], top = x[0], sum_w = weight[0], sum_wx = sum_w * x[0];
  for (int i = 1; i < N; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > top) top = x[i];
    sum_w += weight[i];
    sum_wx += weight[i] * x[i];
  }
  if (low > 0.0f) low = 0.0f;
  if (top <= low) {
    for (int i = 0; i < N; ++i) codes[i] = 0;
    return {0.0f, -low};
  }
  const float full = high / (top - low);
  float chosen = full, chosen_low = low, scale = 1.0f / full, best = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float diff = scale * static_cast<float>(level_of(chosen * (x[i] - low), 0, High)) + low - x[i];
    best += weight[i] * (Absolute ? nbit::abs(diff) : diff * diff);
  }
  lowered_candidates c;
  for (int done = 0; done < Steps;) {
    for (int s = 0; s < lanes; ++s) c.inverse[s] = (first + stride * static_cast<float>(done + s) + high) / (top - low);
    fit_lowered<N, High, Absolute>(x, weight, low, sum_w, sum_wx, c);
    int s = 0;
    for (bool same_range = true; same_range && s < lanes && done + s < Steps; ++s) {
      if (!(c.det[s] > 0.0f && c.error[s] < best)) continue;
      chosen = c.inverse[s], chosen_low = low, scale = c.scale[s], best = c.error[s];
      same_range = c.start[s] == low;
      low = c.start[s];
    }
    done += s;
  }
  for (int i = 0; i < N; ++i) codes[i] = static_cast<std::uint8_t>(level_of(chosen * (x[i] - chosen_low), 0, High));
  return {scale, -low};
}

#endif

/// Grid scale * code with codes 0 .. High for values that are not negative (scales of scales): the best of 9 inverse
/// scales by squared error, then up to 5 rounds of moving one code at a time. Returns the least-squares scale.
template <int N, int High>
float positive_search(const float* x, const float* weight, std::uint8_t* codes) {
  NBIT_EXACT
  constexpr float high = static_cast<float>(High);
  float top = 0.0f;
  for (int i = 0; i < N; ++i) top = x[i] > top ? x[i] : top;
  if (top < negligible) {
    for (int i = 0; i < N; ++i) codes[i] = 0;
    return 0.0f;
  }
  float inverse = high / top, scale = 1.0f / inverse, best = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float diff = x[i] - scale * static_cast<float>(static_cast<std::uint8_t>(round_even(inverse * x[i])));
    best += weight[i] * diff * diff;
  }
  for (int k = -4; k <= 4; ++k) {
    if (k == 0) continue;
    const float trial = (0.1f * static_cast<float>(k) + high) / top;
    const float trial_scale = 1.0f / trial;
    float error = 0.0f;
    for (int i = 0; i < N; ++i) {
      const int l = round_even(trial * x[i]);
      const float diff = x[i] - trial_scale * static_cast<float>(l < High ? l : High);
      error += weight[i] * diff * diff;
    }
    if (error < best) best = error, inverse = trial;
  }
  float sum_wxl = 0.0f, sum_wll = 0.0f;
  for (int i = 0; i < N; ++i) {
    const int l = round_even(inverse * x[i]), code = l < High ? l : High;
    codes[i] = static_cast<std::uint8_t>(code);
    sum_wxl += weight[i] * x[i] * static_cast<float>(code);
    sum_wll += weight[i] * static_cast<float>(code) * static_cast<float>(code);
  }
  for (int round = 0; round < 5; ++round) {
    bool moved = false;
    for (int i = 0; i < N; ++i) {
      const float w = weight[i], l = static_cast<float>(codes[i]);
      float rest_wxl = sum_wxl - w * x[i] * l, rest_wll = sum_wll - w * l * l;
      if (!(rest_wxl > 0.0f && rest_wll > 0.0f)) continue;
      const int rounded = round_even(x[i] * rest_wll / rest_wxl), other = rounded < High ? rounded : High;
      if (other == codes[i]) continue;
      const float o = static_cast<float>(other);
      rest_wxl += w * x[i] * o;
      rest_wll += w * o * o;
      if (rest_wxl * rest_wxl * sum_wll > sum_wxl * sum_wxl * rest_wll) {
        codes[i] = static_cast<std::uint8_t>(other), sum_wxl = rest_wxl, sum_wll = rest_wll;
        moved = true;
      }
    }
    if (!moved) break;
  }
  return sum_wll > 0.0f ? sum_wxl / sum_wll : 0.0f;
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
