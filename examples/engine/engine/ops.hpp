// engine/ops.hpp — the parts of a decoder that are not matrix products: norm, rotary embedding, softmax, gate,
// attention.
// SPDX-License-Identifier: MIT
#ifndef ENGINE_OPS_HPP
#define ENGINE_OPS_HPP

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <nbit/base/matrix_view.hpp>

#include <engine/config.hpp>
#include <engine/linear.hpp>

namespace engine {

/// e^x with a relative error below 3e-7; 0 below -87. Plain arithmetic, so that loops over it become vector code: the
/// C library's expf, called 400 million times for a perplexity, would take as long as the matrix products.
inline float exponential(float x) {
  x = std::min(std::max(x, -104.0f), 88.0f);
  const float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the nearest integer lands in the low bits
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x - n ln 2, ln 2 in two parts; |r| < 0.35
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) + 127u) << 23;  // 2^n
  return x < -87.0f ? 0.0f : p * std::bit_cast<float>(exponent);
}

/// The sum of f(i) in eight interleaved parts: compilers keep the order of additions, so the order has to allow
/// vectors.
template <class F>
inline float sum_of(std::size_t n, F&& f) {
  float part[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::size_t j = 0; j < 8; ++j) part[j] += f(i + j);
  float rest = 0.0f;
  for (; i < n; ++i) rest += f(i);
  return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7])) + rest;
}

inline float largest(std::span<const float> v) {
  float part[8];
  std::fill(part, part + 8, v[0]);
  std::size_t i = 0;
  for (; i + 8 <= v.size(); i += 8)
    for (std::size_t j = 0; j < 8; ++j) part[j] = part[j] > v[i + j] ? part[j] : v[i + j];
  for (; i < v.size(); ++i) part[0] = part[0] > v[i] ? part[0] : v[i];
  return *std::max_element(part, part + 8);
}

/// out = x / rms(x) * gain.
inline void rms_norm(std::span<const float> x, std::span<const float> gain, float epsilon, std::span<float> out) {
  const float square = sum_of(x.size(), [&](std::size_t i) { return x[i] * x[i]; });
  const float scale = 1.0f / std::sqrt(square / static_cast<float>(x.size()) + epsilon);
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] * scale * gain[i];
}

/// gate = silu(gate) * up.
inline void silu_times(std::span<float> gate, std::span<const float> up) {
  for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

/// Replaces v by softmax(v * scale).
inline void softmax(std::span<float> v, float scale) {
  const float top = largest(v);
  for (float& x : v) x = exponential((x - top) * scale);
  const float total = sum_of(v.size(), [&](std::size_t i) { return v[i]; });
  const float inverse = 1.0f / total;
  for (float& x : v) x *= inverse;
}

/// Cosines and sines of the rotary embedding for positions [first, first + count).
class rope_table {
 public:
  rope_table(const config& c, std::size_t first, std::size_t count)
      : half_(c.rope_dims / 2), style_(c.rope), cos_(half_ * count), sin_(half_ * count) {
    for (std::size_t i = 0; i < half_; ++i) {
      const double share = 2.0 * static_cast<double>(i) / static_cast<double>(c.rope_dims);
      const double frequency = std::pow(static_cast<double>(c.rope_base), -share);
      for (std::size_t t = 0; t < count; ++t) {
        const double angle = static_cast<double>(first + t) * frequency;
        cos_[t * half_ + i] = static_cast<float>(std::cos(angle));
        sin_[t * half_ + i] = static_cast<float>(std::sin(angle));
      }
    }
  }

  /// Turns one head of the t-th position.
  void turn(float* head, std::size_t t) const {
    const float* const c = cos_.data() + t * half_;
    const float* const s = sin_.data() + t * half_;
    const std::size_t step = style_ == rope_style::half_split ? 1 : 2,
                      apart = style_ == rope_style::half_split ? half_ : 1;
    for (std::size_t i = 0; i < half_; ++i) {
      const float a = head[i * step], b = head[i * step + apart];
      head[i * step] = a * c[i] - b * s[i];
      head[i * step + apart] = b * c[i] + a * s[i];
    }
  }

 private:
  std::size_t half_;
  rope_style style_;
  std::vector<float> cos_, sin_;
};

/// Causal attention of one head for a strip of queries, the last of which is at position keys.rows - 1.
/// Shape: queries n x head, keys positions x head, values head x positions (transposed: both products are then x W^T),
/// out n x head.
inline void attend(nbit::matrix_view<const float> queries, nbit::matrix_view<const float> keys,
                   nbit::matrix_view<const float> values, nbit::matrix_view<float> out) {
  const std::size_t n = queries.rows, all = keys.rows;
  std::vector<float> storage(n * all);
  const nbit::matrix_view<float> score(storage.data(), n, all);
  const float scale = 1.0f / std::sqrt(static_cast<float>(queries.cols));
  product(keys, queries, score);
  for (std::size_t q = 0; q < n; ++q) {
    const std::size_t seen = all - n + q + 1;
    softmax(score.row(q).first(seen), scale);
    std::fill(score.row(q).begin() + static_cast<std::ptrdiff_t>(seen), score.row(q).end(), 0.0f);
  }
  product(values, score, out);
}

}  // namespace engine

#endif
