// nbit/format/ggml_iq1_search.hpp — the encoders of IQ1_S and IQ1_M: exact cuts into three levels, then lattice points.
//
// The weights of a run are sorted; every way to cut them into levels -1, 0, 1 is tried with the grid shifted up and
// down by 1/8, and the cut whose least-squares scale explains most is kept. Only then do 8 weights at a time move to
// the nearest point of the lattice. Sums run in the reference's order; equal weights keep theirs.
// Ref: ggml (MIT), the quantizers of its IQ1 formats; reference bytes in tests/golden.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_IQ1_SEARCH_HPP
#define NBIT_FORMAT_GGML_IQ1_SEARCH_HPP

#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_lattice.hpp>
#include <nbit/format/ggml_search.hpp>
#include <nbit/format/ggml_shells.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// The three levels, shifted up and down.
inline constexpr float iq1_levels[2][3] = {{-0.875f, 0.125f, 1.125f}, {-1.125f, -0.125f, 0.875f}};

/// What the encoders of IQ1_S (runs of 32) and IQ1_M (runs of 16) have in common.
template <int Run>
struct iq1_result {
  float scale[256 / Run], largest;
  std::uint16_t point[32];
  std::uint8_t shift[256 / Run];
};

#if defined(__CUDACC_RTC__)  // as ggml_search.hpp: declared for the encoders' text

template <int Run>
void encode_iq1(const float* x, const float* weight, float least_size, iq1_result<Run>& out);

#else

/// The positions of N weights in ascending order; equal weights stay in order.
template <int N>
void sorted_places(const float* x, int* place) {
  for (int i = 0; i < N; ++i) {
    int to = i;
    for (; to > 0 && x[place[to - 1]] > x[i]; --to) place[to] = place[to - 1];
    place[to] = i;
  }
}

/// A cut of sorted weights: [0, first) are level 0, [first, second) level 1, the rest level 2. first < 0: none was
/// found. Bit k of shift is set when part k of the run is shifted down.
struct iq1_cut {
  int first, second, shift;
  float scale;
};

/// True if a lane is.
NBIT_HOST_INLINE bool any_of(four_ints v) { return ((v[0] | v[1]) | (v[2] | v[3])) != 0; }

/// The best cut of 32 weights with one shift. Four second cuts side by side; they are compared one by one, in order,
/// only where one of them beats what was found before.
inline iq1_cut best_cut_of_32(const float* x, const float* weight, const int* place) {
  NBIT_EXACT
  float sum_wx[36] = {}, sum_w[36] = {};
  for (int j = 0; j < 32; ++j) {
    const int i = place[j];
    sum_wx[j + 1] = sum_wx[j] + weight[i] * x[i];
    sum_w[j + 1] = sum_w[j] + weight[i];
  }
  iq1_cut best{-1, -1, 0, 0.0f};
  float score = -3.402823466e38f;
  for (int a = 0; a <= 32; ++a)
    for (int first = a; first <= 32; first += 4) {
      four_floats wx = {}, w = {}, wqx[2], wqq[2];
      const int lanes = first <= 29 ? 4 : 33 - first;
      __builtin_memcpy(&wx, sum_wx + first, sizeof wx);
      __builtin_memcpy(&w, sum_w + first, sizeof w);
      four_ints better = {};
      for (int shift = 0; shift < 2; ++shift) {
        const float* q = iq1_levels[shift];
        wqx[shift] = sum_wx[a] * q[0] + (wx - sum_wx[a]) * q[1] + (sum_wx[32] - wx) * q[2];
        wqq[shift] = sum_w[a] * q[0] * q[0] + (w - sum_w[a]) * q[1] * q[1] + (sum_w[32] - w) * q[2] * q[2];
        better |= wqx[shift] * wqx[shift] > score * wqq[shift];
      }
      if (!any_of(better)) continue;
      for (int t = 0; t < lanes; ++t)
        for (int shift = 0; shift < 2; ++shift) {
          const float qx = wqx[shift][t], qq = wqq[shift][t];
          if (!(qq > 0.0f && qx * qx > score * qq)) continue;
          best = {a, first + t, shift, qx / qq};
          score = best.scale * qx;
        }
    }
  return best;
}

/// The best cut of 16 weights whose halves have shifts of their own. The lanes are the four pairs of shifts; each sum
/// starts anew from the cut before, as if all its terms were added in order.
inline iq1_cut best_cut_of_16(const float* x, const float* weight, const int* place) {
  NBIT_EXACT
  four_floats qx[3][16], qq[3][16];  // by level and sorted place
  for (int level = 0; level < 3; ++level)
    for (int j = 0; j < 16; ++j) {
      const int i = place[j];
      for (int k = 0; k < 4; ++k) {  // lanes: up up, up down, down up, down down
        const float q = iq1_levels[i < 8 ? k >> 1 : k & 1][level], wq = weight[i] * q;
        qx[level][j][k] = wq * x[i];
        qq[level][j][k] = wq * q;
      }
    }
  iq1_cut best{-1, -1, 0, 0.0f};
  float score = -3.402823466e38f;
  four_floats low_qx = {}, low_qq = {};
  for (int a = 0; a <= 16; ++a) {
    four_floats mid_qx = low_qx, mid_qq = low_qq;
    for (int b = a; b <= 16; ++b) {
      four_floats sum_qx = mid_qx, sum_qq = mid_qq;
      for (int j = b; j < 16; ++j) sum_qx += qx[2][j], sum_qq += qq[2][j];
      for (int k = 0; k < 4; ++k)
        if (sum_qq[k] > 0.0f && sum_qx[k] * sum_qx[k] > score * sum_qq[k]) {
          best = {a, b, k >> 1 | (k & 1) << 1, sum_qx[k] / sum_qq[k]};
          score = best.scale * sum_qx[k];
        }
      if (b < 16) mid_qx += qx[1][b], mid_qq += qq[1][b];
    }
    if (a < 16) low_qx += qx[0][a], low_qq += qq[0][a];
  }
  return best;
}

/// Writes the Run / 8 points of one cut and returns its scale. A negative scale turns the levels and the shifts around.
template <int Run>
float place_cut(const float* x, const float* weight, const int* place, iq1_cut& cut, std::uint16_t* points) {
  NBIT_EXACT
  constexpr int parts = Run / 8;
  unsigned keys[parts] = {};
  const bool turned = cut.scale < 0.0f;
  if (turned) cut.scale = -cut.scale, cut.shift = ~cut.shift & (Run == 32 ? 1 : 3);
  for (int j = 0; j < Run; ++j) {
    const int level = j < cut.first ? 0 : (j < cut.second ? 1 : 2);
    keys[place[j] / 8] |= static_cast<unsigned>(turned ? 2 - level : level) << (2 * (place[j] % 8));
  }
  lattice_shells<iq1_grid> shells;
  bool all_on_lattice = true;
  for (int k = 0; k < parts; ++k) {
    find_shells<iq1_grid>(keys[k], shells);
    if (shells.count != 0) {
      all_on_lattice = false;
      const float* worth = iq1_levels[Run == 32 ? cut.shift : cut.shift >> k & 1];
      keys[k] = static_cast<unsigned>(
          best_neighbours<iq1_grid>(shells, x + 8 * k, weight + 8 * k, four_floats{} + cut.scale, worth)[0]);
    }
    points[k] = static_cast<std::uint16_t>(lattice_rows<iq1_grid>::index_of(keys[k]));
  }
  if (all_on_lattice) return cut.scale;
  float wqx = 0.0f, wqq = 0.0f;
  for (int k = 0; k < parts; ++k)
    for (int i = 0; i < 8; ++i) {
      const unsigned level = keys[k] >> (2 * i) & 3u;
      const float q = iq1_levels[Run == 32 ? cut.shift : cut.shift >> k & 1][level], wq = weight[8 * k + i] * q;
      wqx += wq * x[8 * k + i];
      wqq += wq * q;
    }
  return wqx > 0.0f && wqq > 0.0f ? wqx / wqq : cut.scale;
}

/// Runs whose largest magnitude is below `least_size` are left at point 0, shifted up, with scale 0.
template <int Run>
void encode_iq1(const float* x, const float* weight, float least_size, iq1_result<Run>& out) {
  out = {};
  for (int r = 0; r < 256 / Run; ++r) {
    const float *xr = x + Run * r, *wr = weight + Run * r;
    if (nbit::abs(largest_signed<Run>(xr)) < least_size) continue;
    int place[Run];
    sorted_places<Run>(xr, place);
    iq1_cut cut;
    if constexpr (Run == 32)
      cut = best_cut_of_32(xr, wr, place);
    else
      cut = best_cut_of_16(xr, wr, place);
    if (cut.first < 0) continue;
    const float scale = place_cut<Run>(xr, wr, place, cut, out.point + Run / 8 * r);
    out.scale[r] = scale >= 0.0f ? scale : 0.0f;
    out.shift[r] = static_cast<std::uint8_t>(cut.shift);
    out.largest = out.largest > out.scale[r] ? out.largest : out.scale[r];
  }
}

#endif

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
