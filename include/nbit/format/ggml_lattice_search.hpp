// nbit/format/ggml_lattice_search.hpp — the search of ggml's IQ2 and IQ3 encoders for points, signs and run scales.
//
// A run's magnitudes are rounded with a list of inverse scales; each gets the best points it can and a least-squares
// scale, and the one that explains most is kept. Sums run over the weights in the reference's order, four inverse
// scales side by side: the same bytes. A Search describes one format, see ggml_iq2.hpp:
//   grid, run, candidates, stride            the lattice, weights to a scale, inverse scales tried and their spacing
//   parity, variance, negligible             7 signs of 8 kept; factor of the mean square; runs below this are empty
//   again_always, again_all, again_if_none   which points are rounded once more with the final scale
//   starts_with_search, correction           IQ2_XXS's first scale; factor of d
//   weights(x, variance, weight)             without importance
// Ref: ggml (MIT), the quantizers of its IQ formats; reference bytes in tests/golden.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_LATTICE_SEARCH_HPP
#define NBIT_FORMAT_GGML_LATTICE_SEARCH_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_lattice.hpp>
#include <nbit/format/ggml_search.hpp>
#include <nbit/format/ggml_shells.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// What one encoder of a lattice format found for 256 weights.
template <class Search>
struct lattice_result {
  static constexpr int runs = 256 / Search::run;
  float scale[runs], largest;
  std::uint16_t index[256 / Search::grid::dims];
  std::uint8_t signs[32];
  bool empty[runs];
};

#if defined(__CUDACC_RTC__)  // as ggml_search.hpp: declared for the encoders' text

struct lattice_steps;
template <class Search, class Steps>
void encode_lattice(const float* x, const float* importance, Steps&& steps, lattice_result<Search>& out);

#else

/// Magnitudes and signs of 8 weights. Parity: the cheapest weight changes sides when the count of minus signs is odd,
/// and the eighth sign, which then follows from the others, is not kept.
template <bool Parity>
std::uint8_t split_signs(const float* x, const float* weight, float* magnitude) {
  NBIT_EXACT
  unsigned signs = 0;
  for (int i = 0; i < 8; ++i) {
    const bool positive = x[i] >= 0.0f;
    magnitude[i] = positive ? x[i] : -x[i];
    signs |= (positive ? 0u : 1u) << i;
  }
  if constexpr (Parity) {
    if ((__builtin_popcount(signs) & 1) != 0) {
      int cheapest = 0;
      float least = weight[0] * x[0] * x[0];
      for (int i = 1; i < 8; ++i) {
        const float cost = weight[i] * x[i] * x[i];
        if (cost < least) least = cost, cheapest = i;
      }
      magnitude[cheapest] = -magnitude[cheapest];
      signs ^= 1u << cheapest;
    }
    signs &= 127u;
  }
  return static_cast<std::uint8_t>(signs);
}

/// The levels of Grid::dims magnitudes for four inverse scales, as keys.
template <class Grid>
NBIT_HOST_INLINE four_ints rounded_keys(const float* x, four_floats inverse) {
  NBIT_EXACT
  four_ints keys = {};
  const four_ints none = {}, top = four_ints{} + (Grid::levels - 1);
  for (int i = 0; i < Grid::dims; ++i) {
    const four_floats v = 0.5f * (inverse * x[i] - 1.0f);
    const four_ints l = ((four_ints)(v + 12582912.0f) & 0x7fffff) - 0x400000;
    const four_ints above = l > none ? l : none;
    keys |= (above < top ? above : top) << (Grid::bits * i);
  }
  return keys;
}

/// Odd levels 1, 3, 5, ...: what the searches round to.
inline constexpr float odd_levels[8] = {1.0f, 3.0f, 5.0f, 7.0f, 9.0f, 11.0f, 13.0f, 15.0f};

/// One run: tries Search::candidates inverse scales around (largest level) / size, keeps the one that explains most,
/// and rounds once more with its least-squares scale. Writes the points of the run and returns its scale, of either
/// sign.
template <class Search>
float search_lattice(const float* x, const float* weight, const float* root_weight, float size, float scale,
                     std::uint16_t* points) {
  NBIT_EXACT
  using grid = typename Search::grid;
  constexpr int parts = Search::run / grid::dims, dims = grid::dims, lanes = (Search::candidates + 3) / 4 * 4;
  constexpr int mask = (1 << grid::bits) - 1;
  constexpr float top = static_cast<float>(2 * grid::levels - 1);
  lattice_shells<grid> shells;
  float inverse[lanes], scales[lanes + 4] = {}, wqx[lanes], wqq[lanes];
  std::int32_t keys[lanes], chosen[parts][lanes], final_keys[parts];
  std::uint32_t off_lattice[lanes] = {};
  for (int s = 0; s < lanes; ++s) {
    inverse[s] = (top + static_cast<float>(s - Search::candidates / 2) * Search::stride) / size;
    scales[s] = 1.0f / inverse[s];
  }
  for (int k = 0; k < parts; ++k) {
    for (int s = 0; s < lanes; s += 4) {
      four_floats four;
      __builtin_memcpy(&four, inverse + s, sizeof four);
      const four_ints rounded = rounded_keys<grid>(x + dims * k, four);
      __builtin_memcpy(keys + s, &rounded, sizeof rounded);
    }
    for (int s = 0, end = 0; s < Search::candidates; s = end) {  // scales that round to the same place go together
      for (end = s + 1; end < Search::candidates && keys[end] == keys[s];) ++end;
      find_shells<grid>(static_cast<unsigned>(keys[s]), shells);
      for (int c = s; c < end; c += 4) {
        four_ints best = four_ints{} + keys[s];
        if (shells.count != 0) {
          four_floats four;
          __builtin_memcpy(&four, scales + c, sizeof four);
          best = best_neighbours<grid>(shells, x + dims * k, root_weight + dims * k, four, odd_levels);
        }
        for (int t = c; t < end && t < c + 4; ++t) {
          chosen[k][t] = best[t - c];
          off_lattice[t] |= (shells.count != 0 ? 1u : 0u) << k;
        }
      }
    }
    for (int s = Search::candidates; s < lanes; ++s) chosen[k][s] = 0;  // their sums are not read
  }
  for (int s = 0; s < lanes; s += 4) {
    four_floats sum_wqx = {}, sum_wqq = {};
    for (int k = 0; k < parts; ++k) {
      four_ints key;
      __builtin_memcpy(&key, chosen[k] + s, sizeof key);
      for (int i = 0; i < dims; ++i) {
        const float w = weight[dims * k + i], wx = w * x[dims * k + i];
        const four_floats q = __builtin_convertvector(2 * (key >> (grid::bits * i) & mask) + 1, four_floats);
        sum_wqx += wx * q;
        sum_wqq += w * q * q;
      }
    }
    __builtin_memcpy(wqx + s, &sum_wqx, sizeof sum_wqx);
    __builtin_memcpy(wqq + s, &sum_wqq, sizeof sum_wqq);
  }
  int winner = -1;
  float best = 0.0f;
  for (int s = 0; s < Search::candidates; ++s)
    if (wqq[s] > 0.0f && wqx[s] * wqx[s] > best * wqq[s]) winner = s, scale = wqx[s] / wqq[s], best = scale * wqx[s];
  for (int k = 0; k < parts; ++k) {
    final_keys[k] = winner < 0 ? 0 : chosen[k][winner];
    points[k] = static_cast<std::uint16_t>(lattice_rows<grid>::index_of(static_cast<unsigned>(final_keys[k])));
  }
  // Which points are rounded again with the new scale differs: always all, all if one is off the lattice, or those.
  const std::uint32_t off = winner < 0 ? (Search::again_if_none ? ~0u : 0u) : off_lattice[winner];
  const std::uint32_t again = Search::again_always ? ~0u : (off != 0 && Search::again_all ? ~0u : off);
  if (again == 0 || !(scale > 0.0f)) return scale;
  const four_floats once = four_floats{} + 1.0f / scale;
  float sum_wqx = 0.0f, sum_wqq = 0.0f;
  for (int k = 0; k < parts; ++k) {
    if ((again >> k & 1u) != 0) {
      final_keys[k] = rounded_keys<grid>(x + dims * k, once)[0];
      find_shells<grid>(static_cast<unsigned>(final_keys[k]), shells);
      if (shells.count != 0)
        final_keys[k] =
            best_neighbours<grid>(shells, x + dims * k, root_weight + dims * k, four_floats{} + scale, odd_levels)[0];
      points[k] = static_cast<std::uint16_t>(lattice_rows<grid>::index_of(static_cast<unsigned>(final_keys[k])));
    }
    for (int i = 0; i < dims; ++i) {
      const float w = weight[dims * k + i], q = odd_levels[final_keys[k] >> (grid::bits * i) & mask];
      sum_wqx += w * x[dims * k + i] * q;
      sum_wqq += w * q * q;
    }
  }
  return sum_wqq > 0.0f ? sum_wqx / sum_wqq : scale;
}

/// How encode_lattice does its work for one run; an instruction set brings its own, with the same results.
struct lattice_steps {
  template <class Search>
  static float variance(const float* x) {
    NBIT_EXACT
    return Search::variance * sum_of_squares<256>(x) / 256.0f;
  }
  template <class Search>
  static void weigh(const float* x, const float* importance, float variance, float* weight, float* root) {
    if (importance != nullptr)
      importance_weights<Search::run>(x, importance, variance, weight);
    else
      Search::weights(x, variance, weight);
    for (int i = 0; i < Search::run; ++i) root[i] = __builtin_sqrtf(weight[i]);
  }
  template <class Search>
  static void split(const float* x, const float* weight, float* magnitude, std::uint8_t* signs) {
    for (int k = 0; k < Search::run / 8; ++k)
      signs[k] = split_signs<Search::parity>(x + 8 * k, weight + 8 * k, magnitude + 8 * k);
  }
  /// The scale of a finer uniform grid for run r.
  template <class Search>
  static float first_scale(const float* magnitude, const float* weight, int) {
    std::uint8_t unused[Search::run];
    return positive_search<Search::run, Search::grid::levels + 1>(magnitude, weight, unused);
  }
  template <class Search>
  static float search(const float* magnitude, const float* weight, const float* root, float size, float scale,
                      std::uint16_t* points) {
    return search_lattice<Search>(magnitude, weight, root, size, scale, points);
  }
};

/// The whole search over 256 weights; importance may be null. Search says how its format does it, see ggml_iq2.hpp.
template <class Search, class Steps>
void encode_lattice(const float* x, const float* importance, Steps&& steps, lattice_result<Search>& out) {
  NBIT_EXACT
  using grid = typename Search::grid;
  constexpr int run = Search::run, parts = run / grid::dims;
  const float variance = steps.template variance<Search>(x);
  float weight[run], root_weight[run], magnitude[run];
  out = {};
  for (int r = 0; r < 256 / run; ++r) {
    std::uint8_t signs[run / 8];
    steps.template weigh<Search>(x + run * r, importance != nullptr ? importance + run * r : nullptr, variance, weight,
                                 root_weight);
    steps.template split<Search>(x + run * r, weight, magnitude, signs);
    float size = magnitude[0];
    for (int i = 1; i < run; ++i) size = size > magnitude[i] ? size : magnitude[i];
    float scale = size / static_cast<float>(2 * grid::levels - 1);
    out.empty[r] = Search::negligible > 0.0f ? size < Search::negligible : size == 0.0f;
    if constexpr (Search::starts_with_search) {  // IQ2_XXS begins with the scale of a finer uniform grid
      if (!out.empty[r]) scale = steps.template first_scale<Search>(magnitude, weight, r);
      size = scale * static_cast<float>(grid::levels);
      out.empty[r] |= size <= 0.0f;
    }
    if (out.empty[r]) continue;
    scale = steps.template search<Search>(magnitude, weight, root_weight, size, scale, out.index + parts * r);
    if (scale < 0.0f) {
      scale = -scale;
      for (int k = 0; k < run / 8; ++k) signs[k] = static_cast<std::uint8_t>(~signs[k] & (Search::parity ? 127 : 255));
    }
    for (int k = 0; k < run / 8; ++k) out.signs[run / 8 * r + k] = signs[k];
    out.scale[r] = scale >= 0.0f ? scale : 0.0f;
    out.largest = out.largest > out.scale[r] ? out.largest : out.scale[r];
  }
}

#endif

/// d and the 4-bit scales: run r has the step d * (0.5 + nibble), times a constant of the format.
template <class Search, int Runs>
void pack_lattice_scales(const lattice_result<Search>& found, iq_params<Runs>& p) {
  NBIT_EXACT
  p = {};
  if (!(found.largest > 0.0f)) return;
  const float d = found.largest / 31.0f, inverse = 1.0f / d;
  p.d = f16::from(d * Search::correction);
  for (int r = 0; r < Runs; ++r) {
    const int l = level_of(0.5f * (inverse * found.scale[r] - 1.0f), 0, 15);
    p.packed[r / 2] = static_cast<std::uint8_t>(p.packed[r / 2] | l << (4 * (r % 2)));
  }
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
