// nbit/format/ggml_ternary.hpp — TQ1_0 and TQ2_0: 256 weights in {-d, 0, d}.
//
//   TQ1_0  48 bytes of 5 codes | 4 bytes of 4 codes | f16 d         w = d * (q - 1), q in 0 .. 2     54 bytes
//   TQ2_0  64 bytes of 4 codes | f16 d                              w = d * (q - 1), q in 0 .. 3     66 bytes
// TQ1_0: bytes 0-31 hold codes m, m + 32, ..., m + 128, bytes 32-47 codes 160 + m, 176 + m, ..., the last 4 bytes codes
// 240 + m, 244 + m, ...; the first code of a byte is the most significant trit of a number v < 243, stored as
// ceil(v * 256 / 243), so that trit k is (byte * 3^k mod 256) * 3 / 256. Bytes that no v gives decode too, but are not
// kept by load and store. TQ2_0: order as in Q2_K; code 3 (2 d) is never written by the reference.
// Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_TERNARY_HPP
#define NBIT_FORMAT_GGML_TERNARY_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_scaled.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {
inline namespace NBIT_TAG {
namespace ggml_block {

/// -1, 0 or 1, halves away from zero; what a scale that overflowed makes infinite or NaN is 0, as in the reference.
NBIT_INLINE int nearest_trit(float v) {
  if (!(nbit::abs(v) >= 0.5f && nbit::abs(v) < 1.5f)) return 0;
  return v > 0.0f ? 1 : -1;
}

/// The largest magnitude becomes d; codes 0, 1, 2.
template <int N>
NBIT_NOINLINE void encode_trits(const float* x, f16& d, std::uint8_t* codes) {
  const float size = nbit::abs(largest_signed<N>(x)), inverse = size > 0.0f ? 1.0f / size : 0.0f;
  d = f16::from(size);
  for (int i = 0; i < N; ++i) codes[i] = static_cast<std::uint8_t>(nearest_trit(x[i] * inverse) + 1);
}

/// Count bytes, byte j holds the Trits codes j, j + Count, ...; eight bytes at a time.
template <int Count, int Trits>
NBIT_HD void load_trits(const std::byte* from, std::uint8_t* codes) {
#if defined(__CUDA_ARCH__)  // no vector types there
  for (int j = 0; j < Count; ++j) {
    unsigned left = std::to_integer<unsigned>(from[j]);
    for (int k = 0; k < Trits; ++k) {
      left = (left & 255u) * 3u;
      codes[j + Count * k] = static_cast<std::uint8_t>(left >> 8);
    }
  }
#else
  using bytes = std::uint8_t __attribute__((vector_size(8)));
  using words = std::uint16_t __attribute__((vector_size(16)));
  constexpr std::size_t lanes = Count < 8 ? Count : 8;
  for (int j = 0; j < Count; j += 8) {
    bytes b = {};
    __builtin_memcpy(&b, from + j, lanes);
    words left = __builtin_convertvector(b, words);
    for (int k = 0; k < Trits; ++k) {
      left *= 3;
      const bytes code = __builtin_convertvector(left >> 8, bytes);
      __builtin_memcpy(codes + j + Count * k, &code, lanes);
      left &= 255;
    }
  }
#endif
}
template <int Count, int Trits>
void store_trits(std::byte* to, const std::uint8_t* codes) {
  for (int j = 0; j < Count; ++j) {
    unsigned v = 0;
    for (int k = 0; k < 5; ++k) {
      const unsigned trit = k < Trits ? codes[j + Count * k] : 0u;
      v = 3u * v + (trit < 2u ? trit : 2u);
    }
    to[j] = static_cast<std::byte>((v * 256u + 242u) / 243u);
  }
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's TQ1_0: 1.6875 bits a weight, five ternary codes to a byte. Code 3 means what code 2 means.
struct tq1_0 : detail::block_of_levels<tq1_0> {
  static constexpr int bits = 2, group = 256, run = 256, ggml_type = 34;
  static constexpr std::size_t block_bytes = 54;
  static constexpr const char* name = "TQ1_0";

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -1, 1) + 1;
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_trits<256>(x, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from + 52)}; }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_trits<32, 5>(from, codes);
    ggml_block::load_trits<16, 5>(from + 32, codes + 160);
    ggml_block::load_trits<4, 4>(from + 48, codes + 240);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_trits<32, 5>(to, codes);
    ggml_block::store_trits<16, 5>(to + 32, codes + 160);
    ggml_block::store_trits<4, 4>(to + 48, codes + 240);
    store_f16(to + 52, p.d);
  }
  NBIT_INLINE static constexpr int level(int c) { return c < 2 ? c - 1 : 1; }
};

/// ggml's TQ2_0: 2.0625 bits a weight, four codes to a byte.
struct tq2_0 : detail::block_of_levels<tq2_0> {
  static constexpr int bits = 2, group = 256, run = 256, ggml_type = 35;
  static constexpr std::size_t block_bytes = 66;
  static constexpr const char* name = "TQ2_0";

  NBIT_HOST_INLINE static int code(float v, const params& p, int) {
    return ggml_block::nearest_level(v, static_cast<float>(p.d), 0.0f, -1, 2) + 1;
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_trits<256>(x, p.d, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) { return {load_f16(from + 64)}; }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    return ggml_block::crumbs_at(block, k);
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_crumbs(from, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    ggml_block::store_crumbs(to, codes);
    store_f16(to + 64, p.d);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 1; }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
