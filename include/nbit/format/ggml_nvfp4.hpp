// nbit/format/ggml_nvfp4.hpp — NVFP4: 64 weights on the E2M1 levels, an unsigned 8-bit float scale for each 16.
//
//   4 bytes: scale of each run of 16 | 32 bytes of nibbles                    w = level(q) * scale / 2     36 bytes
// Nibbles: 8 bytes for each run, byte j holds codes j (low) and j + 8 (high). Scales are UE4M3: e4m3 without a sign,
// where 0 and 0x7f mean 0; the levels are E2M1 doubled, so the scale is halved. No scale for the whole tensor is
// stored. Ref: ggml (MIT); docs/formats.md.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_GGML_NVFP4_HPP
#define NBIT_FORMAT_GGML_NVFP4_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/device_table.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/float8.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/ggml_block.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_scaled.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// What NVFP4 stores for 64 weights besides the codes.
struct nvfp4_params {
  std::uint8_t scale[4];  // UE4M3

  /// What one doubled level is worth in run s.  Needs: 0 <= s < 4.
  NBIT_INLINE constexpr float step(int s) const {
    const std::uint32_t code = scale[s] & 0x7fu;  // a sign bit is ignored, but for the code of NaN
    return scale[s] == 0x7f ? 0.0f : 0.5f * detail::small_float_value<4, 3>(code);
  }
};

#if !defined(__CUDACC_RTC__)
namespace detail {
/// step of every scale: compilers decide between its cases with jumps, which random scales take at random.
struct nvfp4_steps {
  float of[256];
};
inline constexpr nvfp4_steps nvfp4_step = [] {
  nvfp4_steps t{};
  for (unsigned c = 0; c < 256; ++c) t.of[c] = nvfp4_params{{static_cast<std::uint8_t>(c), 0, 0, 0}}.step(0);
  return t;
}();
}  // namespace detail
#endif

inline namespace NBIT_TAG {
namespace ggml_block {

/// UE4M3 as the reference rounds it: halves up, subnormals held at 7, and all from 248 on becomes 448.
NBIT_INLINE std::uint8_t ue4m3_code(float v) {
  NBIT_EXACT
  if (!(v > 0.0f)) return 0;
  if (v < 0.015625f) {  // below the least normal number, 2^-6
    const int fraction = static_cast<int>(v * 512.0f + 0.5f);
    return static_cast<std::uint8_t>(fraction < 7 ? fraction : 7);
  }
  if (v >= 256.0f) return 0x7e;
  const std::uint32_t rounded = (std::bit_cast<std::uint32_t>(v) + 0x80000u) >> 20;
  const std::uint32_t code = rounded - ((127u - 7u) << 3);
  return static_cast<std::uint8_t>(code < 0x78u ? code : 0x7eu);
}

NBIT_NOINLINE inline void encode_nvfp4(const float* x, nvfp4_params& p, std::uint8_t* codes) {
  for (int s = 0; s < 4; ++s) {
    p.scale[s] = ue4m3_code(nbit::abs(largest_signed<16>(x + 16 * s)) / 6.0f);
    const float step = p.step(s);
    for (int i = 16 * s; i < 16 * s + 16; ++i) codes[i] = static_cast<std::uint8_t>(nearest_mxfp4(x[i], step));
  }
}

NBIT_HD inline void load_nvfp4_codes(const std::byte* from, std::uint8_t* codes) {
  for (int s = 0; s < 4; ++s)
    for (int j = 0; j < 8; ++j) {
      const unsigned b = std::to_integer<unsigned>(from[8 * s + j]);
      codes[16 * s + j] = static_cast<std::uint8_t>(b & 15u);
      codes[16 * s + 8 + j] = static_cast<std::uint8_t>(b >> 4);
    }
}
inline void store_nvfp4_codes(std::byte* to, const std::uint8_t* codes) {
  for (int s = 0; s < 4; ++s)
    for (int j = 0; j < 8; ++j)
      to[8 * s + j] = static_cast<std::byte>((codes[16 * s + j] & 15u) | (codes[16 * s + 8 + j] & 15u) << 4);
}

}  // namespace ggml_block
}  // namespace NBIT_TAG

/// ggml's NVFP4: 4.5 bits a weight, 4-bit floats with an 8-bit float scale for each 16.
struct nvfp4 : detail::encoded_by_blocks<nvfp4> {
  static constexpr int bits = 4, group = 64, run = 16, ggml_type = 40;
  static constexpr std::size_t block_bytes = 36;
  static constexpr bool symmetric = true, exact_levels = true;
  static constexpr const char* name = "NVFP4";
  static constexpr std::size_t nibbles_at = 4;
  using exact_scale = f16;  // half of an UE4M3 number
  using params = nvfp4_params;

  NBIT_HOST_INLINE static int code(float v, const params& p, int i) {
    return ggml_block::nearest_mxfp4(v, p.step(i >> 4));
  }
  NBIT_INLINE static float value(int c, const params& p, int i) {
    return p.step(i >> 4) * static_cast<float>(level(c));
  }
  /// One whole group without bounds; the reference ignores importance.
  NBIT_HOST_INLINE static void encode_block(const float* x, const float*, float, params& p, std::uint8_t* c) {
    ggml_block::encode_nvfp4(x, p, c);
  }
  NBIT_INLINE static params load_params(const std::byte* from) {
    params p;
    __builtin_memcpy(p.scale, from, sizeof p.scale);
    return p;
  }
  /// Codes 16 k to 16 k + 15 of a block, one in each byte.
  NBIT_HOST_INLINE static ggml_block::code_bytes codes16(const std::byte* block, int k) {
    const std::uint64_t both = load_u64(block + 4 + 8 * k), nibbles = 0x0f0f0f0f0f0f0f0fu;
    return ggml_block::code_bytes{both & nibbles, both >> 4 & nibbles};
  }
  NBIT_INLINE static void load_codes(const std::byte* from, std::uint8_t* codes) {
    ggml_block::load_nvfp4_codes(from + 4, codes);
  }
  NBIT_HOST_INLINE static void store(std::byte* to, const params& p, const std::uint8_t* codes) {
    __builtin_memcpy(to, p.scale, sizeof p.scale);
    ggml_block::store_nvfp4_codes(to + 4, codes);
  }
  NBIT_INLINE static constexpr int level(int c) { return device_table<sixteen_levels<mxfp4_levels>>().of[c & 15]; }
  NBIT_INLINE static float scale(const params& p, int s) {
#if defined(__CUDA_ARCH__)
    return p.step(s);
#else
    return detail::nvfp4_step.of[p.scale[s]];
#endif
  }
  NBIT_INLINE static float offset(const params&, int) { return 0.0f; }
};

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
