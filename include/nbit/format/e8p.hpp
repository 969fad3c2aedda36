// nbit/format/e8p.hpp — two bits a weight: 8 weights name one of 65,536 points of the E8 lattice, moved by a quarter.
//
//   d f16 | Group / 8 x u16                   u16:  | quarter : 1 | signs : 7 | pattern : 8 |
//   w = d (+-m + q)                           m in {2, 6, 10} from the pattern, q = +1 if the quarter's bit is set, or
//   -1
// In units of 4 d these are the half-integers 1/2, 3/2, 5/2 with an even sum, and a quarter up or down. A pattern below
// 192 says which weights are 6, by a mask: the 163 of up to four bits by count and value, then 29 of the 56 of five
// bits, evenly spread: the k-th where 29 k mod 56 < 29. One from 192 on is 192 + 8 i + j: weight i is 10, weight j is 6
// unless j = i. All others are 2. The count of minus signs is even where the count of sixes is; the eighth sign
// follows. For weights that look like noise: rotate (solver/rotate.hpp) before. Ref: Tseng et al. 2024 (QuIP#), section
// 4; the order of the patterns is nbit's own.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_E8P_HPP
#define NBIT_FORMAT_E8P_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/device_table.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// What a group of E8P stores besides its codes.
struct e8p_params {
  f16 d;
};

inline namespace NBIT_TAG {
namespace e8p_detail {

inline constexpr int four_sixes = 163, masks = 192;  // patterns of at most four sixes, patterns without a ten

/// The magnitudes of every pattern, the pattern of every mask, and whether the count of sixes is odd.
struct alignas(8) pattern_values {
  std::int8_t magnitude[256][8];
  std::uint8_t odd[256], pattern[256];  // of masks that have none: 255
};
constexpr pattern_values make_patterns() {
  pattern_values t{};
  for (int m = 0; m < 256; ++m) t.pattern[m] = 255;
  int count = 0, fives = 0;
  for (int sixes = 0; sixes <= 5; ++sixes)
    for (int m = 0; m < 256; ++m) {
      int bits = 0;
      for (int i = 0; i < 8; ++i) bits += m >> i & 1;
      if (bits != sixes || (sixes == 5 && fives++ * 29 % 56 >= 29)) continue;
      for (int i = 0; i < 8; ++i) t.magnitude[count][i] = (m >> i & 1) != 0 ? 6 : 2;
      t.odd[count] = static_cast<std::uint8_t>(sixes & 1);
      t.pattern[m] = static_cast<std::uint8_t>(count++);
    }
  for (int k = 0; k < 64; ++k) {
    for (int i = 0; i < 8; ++i) t.magnitude[masks + k][i] = i == k / 8 ? 10 : i == k % 8 ? 6 : 2;
    t.odd[masks + k] = k / 8 != k % 8 ? 1 : 0;
  }
  return t;
}
struct patterns {
  static constexpr pattern_values table = make_patterns();
};

/// All eight signs of a code.
NBIT_INLINE unsigned signs_of(unsigned code) {
  const unsigned seven = code >> 8 & 127u, odd = device_table<patterns>().odd[code & 255u];
  return seven | ((static_cast<unsigned>(__builtin_popcount(seven)) ^ odd) & 1u) << 7;
}

/// Level of weight i: odd, -11 to 11.
NBIT_INLINE int level_of(unsigned code, unsigned signs, int i) {
  const int m = device_table<patterns>().magnitude[code & 255u][i], minus = -static_cast<int>(signs >> i & 1u);
  return ((m ^ minus) - minus) + ((code >> 15 & 1u) != 0 ? 1 : -1);
}

#if defined(__CUDACC_RTC__)  // as ggml_search.hpp: declared for the encoders' text

int code_of(const float* w, float d);
f16 fitted_step(std::span<const float> w, std::span<const float> importance);

#else

/// Eight magnitudes, the largest first, with the places they stood at.
struct sorted_eight {
  float magnitude[8];
  std::uint8_t place[8];
};
inline void sort_eight(const float* x, sorted_eight& out) {
  std::uint64_t key[8];  // bits of numbers without sign order as the numbers do
  for (unsigned i = 0; i < 8; ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, x + i, sizeof bits);
    key[i] = std::uint64_t{bits & 0x7fffffffu} << 3 | (7 - i);
  }
  constexpr std::uint8_t network[19][2] = {{0, 2}, {1, 3}, {4, 6}, {5, 7}, {0, 4}, {1, 5}, {2, 6},
                                           {3, 7}, {0, 1}, {2, 3}, {4, 5}, {6, 7}, {2, 4}, {3, 5},
                                           {1, 4}, {3, 6}, {1, 2}, {3, 4}, {5, 6}};
  for (const auto& [a, b] : network) {
    const std::uint64_t high = key[a] > key[b] ? key[a] : key[b], low = key[a] > key[b] ? key[b] : key[a];
    key[a] = high, key[b] = low;
  }
  for (int k = 0; k < 8; ++k) {
    const auto bits = static_cast<std::uint32_t>(key[k] >> 3);
    std::memcpy(out.magnitude + k, &bits, sizeof bits);
    out.place[k] = static_cast<std::uint8_t>(7 - (key[k] & 7));
  }
}

/// A pattern and its signs, and what it explains: gain is (|y - all twos|^2 - |y - point|^2) / 8.
struct signed_pattern {
  unsigned pattern, signs;
  float gain;
};

/// The patterns of five sixes that exist, for weights that would gain `least` at most from others.
inline void best_of_five(const float* y, unsigned minus, signed_pattern& best) {
  NBIT_EXACT
  const auto& t = patterns::table;
  const bool flips = (__builtin_popcount(minus) & 1) == 0;
  for (int k = four_sixes; k < masks; ++k) {
    float gain = 0.0f, least = __builtin_inff();
    int flipped = 0;
    for (int i = 0; i < 8; ++i) {
      const float a = nbit::abs(y[i]), cost = t.magnitude[k][i] == 6 ? 3.0f * a : a;
      if (t.magnitude[k][i] == 6) gain += a - 4.0f;
      if (cost < least) least = cost, flipped = i;
    }
    if (flips) gain -= least;
    if (gain > best.gain) best = {static_cast<unsigned>(k), flips ? minus ^ 1u << flipped : minus, gain};
  }
}

/// The half-integers nearest to y, in units of a quarter: exact. In which order magnitudes stand is no question, the
/// largest go to the largest; a six instead of a two gains a - 4, a ten 2 (a - 6), and a sign that has to change costs
/// the least of the magnitudes, whose two it then is.
inline signed_pattern nearest_pattern(const float* y) {
  NBIT_EXACT
  sorted_eight s;
  sort_eight(y, s);
  unsigned minus = 0;
  for (unsigned i = 0; i < 8; ++i) minus |= (y[i] < 0.0f ? 1u : 0u) << i;
  const unsigned odd = static_cast<unsigned>(__builtin_popcount(minus)) & 1u;
  const float* const a = s.magnitude;
  const float price[2] = {odd == 0 ? 0.0f : a[7],
                          odd == 0 ? a[7] : 0.0f};  // for an even count of sixes, for an odd one
  float gain = -price[0], sum = 0.0f;
  unsigned sixes = 0, mask = 0;
  bool ten = false;
  for (unsigned k = 1; k <= 4; ++k) {
    sum += a[k - 1] - 4.0f;
    if (sum - price[k & 1] > gain) gain = sum - price[k & 1], sixes = k;
  }
  const float top = 2.0f * (a[0] - 6.0f), both = top + (a[1] - 4.0f);
  if (top - price[0] > gain) gain = top - price[0], ten = true, sixes = 0;
  if (both - price[1] > gain) gain = both - price[1], ten = true, sixes = 1;
  const unsigned flip = odd != (sixes & 1) ? 1u << s.place[7] : 0u;
  signed_pattern best{0, minus ^ flip, gain};
  if (ten) {
    best.pattern = masks + 8u * s.place[0] + (sixes == 1 ? s.place[1] : s.place[0]);
  } else {
    for (unsigned k = 0; k < sixes; ++k) mask |= 1u << s.place[k];
    best.pattern = patterns::table.pattern[mask];
  }
  if (sum + (a[4] - 4.0f) - price[1] > gain) best_of_five(y, minus, best);
  return best;
}

/// The nearest of all points to eight weights in units of d.
NBIT_NOINLINE inline int nearest_point(const float* x) {
  NBIT_EXACT
  // |x - point|^2 = |x|^2 - 2 q sum x - 4 sum |x - q| - 8 gain and a constant
  float most = 0.0f;
  unsigned code = 0;
  for (unsigned up = 0; up < 2; ++up) {
    const float q = up != 0 ? 1.0f : -1.0f;
    float y[8], sum = 0.0f, size = 0.0f;
    for (int i = 0; i < 8; ++i) y[i] = x[i] - q, sum += x[i], size += nbit::abs(y[i]);
    const signed_pattern found = nearest_pattern(y);
    const float score = q * sum + 2.0f * size + 4.0f * found.gain;
    if (up == 0 || score > most) most = score, code = found.pattern | (found.signs & 127u) << 8 | up << 15;
  }
  return static_cast<int>(code);
}

/// The code nearest to eight weights.
NBIT_HOST_INLINE int code_of(const float* w, float d) {
  NBIT_EXACT
  float x[8];
  for (int i = 0; i < 8; ++i) x[i] = d == 0.0f ? 0.0f : w[i] / d;
  return nearest_point(x);
}

/// The sum of importance * (w - nearest)^2.
inline double error_with(std::span<const float> w, std::span<const float> importance, float d) {
  NBIT_EXACT
  double sum = 0;
  for (std::size_t first = 0; first + 8 <= w.size(); first += 8) {
    const auto code = static_cast<unsigned>(code_of(w.data() + first, d));
    const unsigned signs = signs_of(code);
    for (int i = 0; i < 8; ++i) {
      const std::size_t at = first + static_cast<std::size_t>(i);
      const double e =
          static_cast<double>(w[at]) - static_cast<double>(d * static_cast<float>(level_of(code, signs, i)));
      sum += importance.empty() ? e * e : static_cast<double>(importance[at]) * (e * e);
    }
  }
  return sum;
}

/// The step that suits normal weights of this size, or a larger one if few large weights make that better.
NBIT_NOINLINE inline f16 fitted_step(std::span<const float> w, std::span<const float> importance) {
  NBIT_EXACT
  double square = 0, most = 0;
  for (const float v : w) {
    const double a = static_cast<double>(nbit::abs(v));
    square += a * a, most = a > most ? a : most;
  }
  const auto stored = [](double d) { return f16::from(d < 65504.0 ? static_cast<float>(d) : 65504.0f); };
  const double noise = w.empty() ? 0.0 : 0.24 * __builtin_sqrt(square / static_cast<double>(w.size()));
  f16 best = stored(noise);
  double least = -1.0;
  for (double d = 1.25 * noise; d * 11.0 < most * 1.25; d *= 1.25) {
    if (least < 0.0) least = error_with(w, importance, static_cast<float>(best));
    const f16 candidate = stored(d);
    const double error = error_with(w, importance, static_cast<float>(candidate));
    if (error < least) least = error, best = candidate;
  }
  return best;
}

#endif

}  // namespace e8p_detail
}  // namespace NBIT_TAG

/// E8P with an f16 step for Group weights: 2 + 16 / Group bits a weight.
template <int Group>
struct e8p {
  static_assert(Group > 0 && Group % 8 == 0, "nbit::e8p: Group must be a multiple of 8");

  static constexpr int bits = 16, step = 8, group = Group, run = Group;
  static constexpr bool symmetric = true;
  static constexpr std::size_t block_bytes = 2 + Group / 4;
  static constexpr const char* name = "E8P";
  using params = e8p_params;

  NBIT_HOST_INLINE static params fit(std::span<const float> w, std::span<const float> importance) {
    return {e8p_detail::fitted_step(w, importance)};
  }
  /// The nearest of all 65,536 points.
  NBIT_HOST_INLINE static int code(std::span<const float> w, const params& p, int /*i*/) {
    return e8p_detail::code_of(w.data(), static_cast<float>(p.d));
  }
  NBIT_INLINE static void value(int c, const params& p, int /*i*/, std::span<float> out) {
    const unsigned u = static_cast<unsigned>(c), signs = e8p_detail::signs_of(u);
    for (int i = 0; i < 8; ++i)  // 11 bits times 4: exact
      out[static_cast<std::size_t>(i)] =
          static_cast<float>(p.d) * static_cast<float>(e8p_detail::level_of(u, signs, i));
  }

  NBIT_INLINE static float super_scale(const params& p) { return static_cast<float>(p.d); }
  NBIT_INLINE static int sub_scale(const params&, int) { return 1; }
  NBIT_INLINE static float scale(const params& p, int) { return static_cast<float>(p.d); }
  NBIT_INLINE static void signed_levels(const std::uint16_t* codes, const params&, int, std::int8_t* out) {
    const unsigned u = codes[0], signs = e8p_detail::signs_of(u);
    for (int i = 0; i < 8; ++i) out[i] = static_cast<std::int8_t>(e8p_detail::level_of(u, signs, i));
  }

  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint16_t* codes) {
    for (int k = 0; k < Group / 8; ++k) codes[k] = load_u16(from + 2 + 2 * k);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint16_t* codes) {
    store_f16(to, p.d);
    for (int k = 0; k < Group / 8; ++k) store_u16(to + 2 + 2 * k, codes[k]);
  }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
