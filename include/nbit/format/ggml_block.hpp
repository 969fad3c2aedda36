// nbit/format/ggml_block.hpp — what ggml's block formats share: nearest codes, short groups, and the row's mean square.
//
// value and code of these formats answer the same with and without fused multiply-add: every product in them (f16
// scale, 6-bit scale, code) has at most 22 significant bits and is exact in float. Encoders are not so lucky; they
// are functions of their own inside the exact region, never inlined out of it.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_BLOCK_HPP
#define NBIT_FORMAT_GGML_BLOCK_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {

/// Mean of the squares of a row, summed in order in float: what self_encoding formats take as row_mean_square.
NBIT_NOINLINE inline float row_mean_square(std::span<const float> row) {
  NBIT_EXACT
  float sum = 0.0f;
  for (const float v : row) sum += v * v;
  return row.empty() ? 0.0f : sum / static_cast<float>(row.size());
}

namespace ggml_block {

/// Runs whose largest magnitude is below this are encoded as zero.
inline constexpr float negligible = 1e-15f;

/// Neighbouring bytes in a local array. Bytes in memory may alias anything, so loops over them stay scalar; loops over
/// these become vectors, of whatever width the caller's instruction set has.
template <int N>
struct byte_run {
  std::uint8_t v[N];

  NBIT_INLINE static byte_run load(const void* from) {
    byte_run r;
    std::memcpy(r.v, from, N);
    return r;
  }
  NBIT_INLINE void store(void* to) const { std::memcpy(to, v, N); }
};

/// Sixteen codes, one in each byte, and what finds them: bits `at` and on of every byte of a load, `mask` wide.
#if defined(__CUDACC_RTC__)  // no vector types
struct code_bytes {
  std::uint64_t a, b;
  friend code_bytes operator&(code_bytes v, std::uint64_t m) { return {v.a & m, v.b & m}; }
  friend code_bytes operator|(code_bytes v, code_bytes w) { return {v.a | w.a, v.b | w.b}; }
  friend code_bytes operator^(code_bytes v, std::uint64_t m) { return {v.a ^ m, v.b ^ m}; }
  friend code_bytes operator+(code_bytes v, std::uint64_t m) { return {v.a + m, v.b + m}; }
  friend code_bytes operator>>(code_bytes v, int n) { return {v.a >> n, v.b >> n}; }
  friend code_bytes operator<<(code_bytes v, int n) { return {v.a << n, v.b << n}; }
};
#else
using code_bytes = std::uint64_t __attribute__((vector_size(16)));
#endif
NBIT_HOST_INLINE code_bytes bits_at(const std::byte* from, int at, unsigned mask) {
  code_bytes v;
  std::memcpy(&v, from, sizeof v);
  return v >> at & mask * 0x0101010101010101u;
}

/// Sixteen bytes, the first lowest in `low`.
struct sixteen_bytes {
  std::uint64_t low, high;
};
/// The scales and offsets of all runs of a block, straight from it: super_scale and super_offset times these signed
/// bytes.
struct block_runs {
  float super_scale, super_offset;
  sixteen_bytes scales, offsets;
};
/// Every byte less 32.  Needs: bytes below 64.
NBIT_INLINE std::uint64_t less_32(std::uint64_t bytes) {
  return ((bytes | 0x8080808080808080u) - 0x2020202020202020u) ^ 0x8080808080808080u;
}

/// The level nearest to v on the grid scale * level + offset, held in [low, high]; any scale: 0 answers level 0.
NBIT_INLINE int nearest_level(float v, float scale, float offset, int low, int high) {
  return scale != 0.0f ? round_clamped((v - offset) / scale, low, high) : 0;
}

/// Sum of squares, in order.
template <int N>
float sum_of_squares(const float* x) {
  NBIT_EXACT
  float sum = 0.0f;
  for (int i = 0; i < N; ++i) sum += x[i] * x[i];
  return sum;
}

/// weight[i] = importance[i] * sqrt(variance + x[i]^2): how much an error at i counts when an importance is known.
template <int N>
void importance_weights(const float* x, const float* importance, float variance, float* weight) {
  NBIT_EXACT
  for (int i = 0; i < N; ++i) weight[i] = importance[i] * __builtin_sqrtf(variance + x[i] * x[i]);
}

template <int N>
float sum_of(const float* x) {
  float sum = 0.0f;
  for (int i = 0; i < N; ++i) sum += x[i];
  return sum;
}

/// The element of largest magnitude with its sign, the first of equals; 0 when all are 0.
template <int N>
float largest_signed(const float* x) {
  float size = 0.0f, found = 0.0f;
  for (int i = 0; i < N; ++i) {
    const float a = nbit::abs(x[i]);
    if (a > size) size = a, found = x[i];
  }
  return found;
}

/// Encodes one group, whole or short: a short one is continued with zeros that nothing weighs.
template <class F>
void encode_group(std::span<const float> w, std::span<const float> importance, float mean_square, typename F::params& p,
                  std::span<code_t<F>> codes) {
  constexpr std::size_t n = std::size_t(F::group), count = n / std::size_t(step_of<F>);
  const bool weighed = importance.size() >= w.size() && !importance.empty();
  if (w.size() >= n && codes.size() >= count) {
    F::encode_block(w.data(), weighed ? importance.data() : nullptr, mean_square, p, codes.data());
    return;
  }
  float x[n] = {}, q[n] = {};
  code_t<F> c[count];
  for (std::size_t i = 0; i < w.size() && i < n; ++i) x[i] = w[i], q[i] = weighed ? importance[i] : 0.0f;
  F::encode_block(x, weighed ? q : nullptr, mean_square, p, c);
  for (std::size_t i = 0; i < codes.size() && i < count; ++i) codes[i] = c[i];
}

}  // namespace ggml_block
}  // namespace NBIT_TAG
}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
