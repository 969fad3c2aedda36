// nbit/format/ggml_q8.hpp — Q8_0 (weights and activations), Q8_1 and Q8_K (the activation side of dot products).
//
//   Q8_0  f16 d | 32 int8                                  w = d * q         34 bytes
//   Q8_1  f16 d | f16 s = d * sum(q) | 32 int8             w = d * q         36 bytes
//   Q8_K  f32 d | 256 int8 | 16 int16 sums of 16 codes     w = d * q        292 bytes
// A code is the int8 plus 128. Q8_K's sums follow from its codes, so store computes them. Ref: ggml (MIT);
// docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_Q8_HPP
#define NBIT_FORMAT_GGML_Q8_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_scaled.hpp>
#include <nbit/format/ggml_search.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// v rounded half away from zero, as C's roundf; out of range and NaN give 0.  Needs: the answer fits 8 bits otherwise.
NBIT_INLINE int rounded_away(float v) {
  if (!(nbit::abs(v) < 256.0f)) return 0;
  const int whole = static_cast<int>(v);
  const float rest = v - static_cast<float>(whole);
  return whole + (rest >= 0.5f ? 1 : (rest <= -0.5f ? -1 : 0));
}

/// Codes of x / d with d = absmax / 127. Returns d before it is rounded.
NBIT_NOINLINE inline float encode_absmax(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  const float d = nbit::abs(largest_signed<32>(x)) / 127.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>(rounded_away(x[i] * inverse) + 128);
  return d;
}

template <int N>
int sum_of_levels(const std::uint8_t* codes) {
  int sum = 0;
  for (int i = 0; i < N; ++i) sum += codes[i] - 128;
  return sum;
}

NBIT_NOINLINE inline float encode_q8_k(const float* x, std::uint8_t* codes) {
  NBIT_EXACT
  const float largest = largest_signed<256>(x);
  if (largest == 0.0f) {
    for (int i = 0; i < 256; ++i) codes[i] = 128;
    return 0.0f;
  }
  const float inverse = -127.0f / largest;
  for (int i = 0; i < 256; ++i) {
    const int l = round_even(inverse * x[i]);
    codes[i] = static_cast<std::uint8_t>((static_cast<unsigned>(l < 127 ? l : 127) + 128u) & 255u);
  }
  return 1.0f / inverse;
}

/// int8 bytes <-> codes.
template <int N>
NBIT_INLINE void load_signed_bytes(const std::byte* from, std::uint8_t* codes) {
  auto run = byte_run<N>::load(from);
  for (int i = 0; i < N; ++i) run.v[i] = static_cast<std::uint8_t>(run.v[i] ^ 128u);
  run.store(codes);
}
template <int N>
NBIT_INLINE void store_signed_bytes(std::byte* to, const std::uint8_t* codes) {
  auto run = byte_run<N>::load(codes);
  for (int i = 0; i < N; ++i) run.v[i] = static_cast<std::uint8_t>(run.v[i] ^ 128u);
  run.store(to);
}

inline void store_sums_of_16(std::byte* to, const std::uint8_t* codes) {
  for (int j = 0; j < 16; ++j)
    store_u16(to + 2 * j,
              static_cast<std::uint16_t>(static_cast<unsigned>(sum_of_levels<16>(codes + 16 * j)) & 0xffffu));
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's Q8_0: 8.5 bits a weight, symmetric; importance is ignored, as in the reference.
struct q8_0 : detail::block_of_levels<q8_0> {
  static constexpr int bits = 8, group = 32, run = 32, ggml_type = 8;
  static constexpr std::size_t block_bytes = 34;
  static constexpr const char* name = "Q8_0";

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -127, 127) + 128;
  }
  /// One whole group without bounds.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    store_scale(ggml_block::encode_absmax(x, c), c, p);
  }
  /// A piece of the reference encoder, for faster ones.
  NBIT_HOST_INLINE static void store_scale(float d, const std::uint8_t*, params& p) { p.d = f16::from(d); }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from)}; }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::bits_at(block + 2 + 16 * k, 0, 255) ^ 0x8080808080808080u;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_signed_bytes<32>(from + 2, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    ggml_block::store_signed_bytes<32>(to + 2, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 128; }
};

/// What Q8_1 stores besides the codes.
struct q8_1_params {
  f16 d, s;
};

/// ggml's Q8_1: Q8_0 and s, the sum of the decoded values, that dot products with Q4_1 and Q5_1 need.
/// s is what encode stored; it goes stale if codes are changed afterwards.
struct q8_1 : detail::block_of_levels<q8_1, q8_1_params> {
  static constexpr int bits = 8, group = 32, run = 32, ggml_type = 9;
  static constexpr std::size_t block_bytes = 36;
  static constexpr const char* name = "Q8_1";

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -127, 127) + 128;
  }
  /// One whole group without bounds.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    store_scale(ggml_block::encode_absmax(x, c), c, p);
  }
  /// A piece of the reference encoder, for faster ones.
  NBIT_HOST_INLINE static void store_scale(float d, const std::uint8_t* c, params& p) {
    p.d = f16::from(d);
    p.s = f16::from(static_cast<float>(ggml_block::sum_of_levels<32>(c)) * d);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from), load_f16(from + 2)}; }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::bits_at(block + 4 + 16 * k, 0, 255) ^ 0x8080808080808080u;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_signed_bytes<32>(from + 4, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f16(to, p.d);
    store_f16(to + 2, p.s);
    ggml_block::store_signed_bytes<32>(to + 4, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 128; }
};

/// What Q8_K stores besides the codes and what follows from them.
struct q8_k_params {
  float d;
};

/// ggml's Q8_K: 256 activations with one f32 scale, which may be negative, and the sums of their codes by 16.
struct q8_k : detail::block_of_levels<q8_k, q8_k_params> {
  static constexpr int bits = 8, group = 256, run = 256, ggml_type = 15;
  static constexpr std::size_t block_bytes = 292;
  static constexpr const char* name = "Q8_K";

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, p.d, 0.0f, -127, 127) + 128;
  }
  /// One whole group without bounds.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    p.d = ggml_block::encode_q8_k(x, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f32(from)}; }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::bits_at(block + 4 + 16 * k, 0, 255) ^ 0x8080808080808080u;
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_signed_bytes<256>(from + 4, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    store_f32(to, p.d);
    ggml_block::store_signed_bytes<256>(to + 4, codes);
    ggml_block::store_sums_of_16(to + 260, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 128; }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
