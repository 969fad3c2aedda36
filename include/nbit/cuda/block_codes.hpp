// nbit/cuda/block_codes.hpp — eight codes and their scale out of a ggml block, without unpacking the rest of it.
//
// block_codes<F> says where codes i .. i+7 of a block lie (i a multiple of 8): eight(block, i) packs them into the
// bytes of one word, code i lowest. scale and offset read those of run s from the block's bytes. Lattices have their
// own points16 instead: sixteen levels, their signs and step. A format with neither is read a whole block at a time by
// one thread (cuda/reader.hpp): correct, and slower.
//
// Loads are as wide as the block's size keeps aligned, when the tensor begins at a multiple of 16 bytes.
// Ref: the pictures in format/ggml_*.hpp.
// SPDX-License-Identifier: MIT
#ifndef NBIT_CUDA_BLOCK_CODES_HPP
#define NBIT_CUDA_BLOCK_CODES_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/bits.hpp>
#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/format/ggml_iq4.hpp>
#include <nbit/format/ggml_legacy.hpp>
#include <nbit/format/ggml_low_bit.hpp>
#include <nbit/format/ggml_nvfp4.hpp>
#include <nbit/format/ggml_q2_k.hpp>
#include <nbit/format/ggml_q3_k.hpp>
#include <nbit/format/ggml_q4_k.hpp>
#include <nbit/format/ggml_q6_k.hpp>
#include <nbit/format/ggml_q8.hpp>
#include <nbit/format/ggml_ternary.hpp>
#include <nbit/layout/spread.hpp>

namespace nbit::cuda {

/// The code reader of a block format; has_block_codes<F> tells whether there is one.
template <class F>
struct block_codes;
template <class F>
concept has_block_codes = requires(const std::byte* b) { block_codes<F>::eight(b, 0); };
/// A lattice that finds sixteen weights of a block by itself.
template <class F>
concept has_points = requires(const std::byte* b) { F::points16(b, F::block_scale(b), 0); };

namespace block_detail {

/// The alignment that blocks of Size bytes keep.
template <std::size_t Size>
inline constexpr std::size_t kept_align = Size % 8 == 0   ? 8
                                          : Size % 4 == 0 ? 4
                                          : Size % 2 == 0 ? 2
                                                          : 1;

/// Eight bytes, the first lowest, in loads of that alignment.
template <std::size_t Size>
NBIT_INLINE std::uint64_t bytes8(const std::byte* from) {
  constexpr std::size_t align = kept_align<Size>;
  const auto* const p = static_cast<const std::byte*>(__builtin_assume_aligned(from, align));
  if constexpr (align == 8) {
    return load_u64(p);
  } else if constexpr (align == 4) {
    return load_u32(p) | std::uint64_t{load_u32(static_cast<const std::byte*>(__builtin_assume_aligned(p + 4, 4)))}
                             << 32;
  } else {
    std::uint64_t v = 0;
    for (int k = 0; k < 8; k += int(align)) {
      if constexpr (align == 2)
        v |= std::uint64_t{load_u16(static_cast<const std::byte*>(__builtin_assume_aligned(p + k, 2)))} << (8 * k);
      else
        v |= std::uint64_t{std::to_integer<std::uint8_t>(p[k])} << (8 * k);
    }
    return v;
  }
}

inline constexpr std::uint64_t low_nibbles = 0x0f0f0f0f0f0f0f0f, low_crumbs = 0x0303030303030303,
                               low_bits = 0x0101010101010101;

/// Bit k of b to the lowest bit of byte k.
NBIT_INLINE std::uint64_t bits_to_bytes(std::uint32_t b) {
  const std::uint64_t each = (std::uint64_t{b & 255u} * low_bits) & 0x8040201008040201;
  return ((each + 0x7f7f7f7f7f7f7f7f) | each) >> 7 & low_bits;  // a byte that is not zero carries into its top bit
}

NBIT_INLINE unsigned byte_at(const std::byte* from) { return std::to_integer<unsigned>(*from); }
NBIT_INLINE float half_at(const std::byte* from) {
  return static_cast<float>(load_f16(static_cast<const std::byte*>(__builtin_assume_aligned(from, 2))));
}

/// 32 codes of 4 bits in 16 bytes at Offset: low nibbles are the first 16 codes.
template <class F, int Offset>
struct split_nibbles {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return bytes8<F::block_bytes>(block + Offset + (i & 15)) >> (4 * (i >> 4)) & low_nibbles;
  }
};

/// The same with a fifth bit: bit i of the 32 bits at Offset.
template <class F, int Offset>
struct split_fives {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return split_nibbles<F, Offset + 4>::eight(block, i) | bits_to_bytes(byte_at(block + Offset + i / 8)) << 4;
  }
};

/// One scale for the block, where nothing else is said.
template <class F>
struct block_scale {
  NBIT_INLINE static float scale(const std::byte* block, int s) { return F::scale(F::load_params(block), s); }
  NBIT_INLINE static float offset(const std::byte* block, int s) { return F::offset(F::load_params(block), s); }
};

/// Scale and minimum of run s in the 12 bytes of Q4_K and Q5_K.
struct k_scale {
  NBIT_INLINE static float scale(const std::byte* block, int s) {
    const std::byte* const p = block + 4;
    const unsigned v = s < 4 ? byte_at(p + s) & 63u : (byte_at(p + s + 4) & 15u) | (byte_at(p + s - 4) >> 6) << 4;
    return half_at(block) * static_cast<float>(v);
  }
  NBIT_INLINE static float offset(const std::byte* block, int s) {
    const std::byte* const p = block + 4;
    const unsigned v = s < 4 ? byte_at(p + s + 4) & 63u : byte_at(p + s + 4) >> 4 | (byte_at(p + s) >> 6) << 4;
    return -(half_at(block + 2) * static_cast<float>(v));
  }
};

/// 256 codes' low nibbles at Offset: byte j of 32 holds codes j and j + 32 of each 64.
template <class F, int Offset>
NBIT_INLINE std::uint64_t nibbles_by_64(const std::byte* block, int i) {
  return bytes8<F::block_bytes>(block + Offset + 32 * (i >> 6) + (i & 31)) >> (4 * (i >> 5 & 1)) & low_nibbles;
}
/// Codes of 2 bits in 64 bytes at Offset: crumb k of byte j of 32 holds code 32 k + j of each 128.
template <class F, int Offset>
NBIT_INLINE std::uint64_t crumbs_by_128(const std::byte* block, int i) {
  return bytes8<F::block_bytes>(block + Offset + 32 * (i >> 7) + (i & 31)) >> (2 * (i >> 5 & 3)) & low_crumbs;
}
/// Bit k of byte j at Offset belongs to code 32 k + j.
template <class F, int Offset>
NBIT_INLINE std::uint64_t bit_plane(const std::byte* block, int i) {
  return bytes8<F::block_bytes>(block + Offset + (i & 31)) >> (i >> 5) & low_bits;
}

}  // namespace block_detail

template <>
struct block_codes<q4_0> : block_detail::split_nibbles<q4_0, 2>, block_detail::block_scale<q4_0> {};
template <>
struct block_codes<q4_1> : block_detail::split_nibbles<q4_1, 4>, block_detail::block_scale<q4_1> {};
template <>
struct block_codes<iq4_nl> : block_detail::split_nibbles<iq4_nl, 2>, block_detail::block_scale<iq4_nl> {};
template <>
struct block_codes<mxfp4> : block_detail::split_nibbles<mxfp4, 1>, block_detail::block_scale<mxfp4> {};
template <>
struct block_codes<q5_0> : block_detail::split_fives<q5_0, 2>, block_detail::block_scale<q5_0> {};
template <>
struct block_codes<q5_1> : block_detail::split_fives<q5_1, 4>, block_detail::block_scale<q5_1> {};

template <>
struct block_codes<q8_0> : block_detail::block_scale<q8_0> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return block_detail::bytes8<q8_0::block_bytes>(block + 2 + i) ^ 0x8080808080808080;  // a code is the level + 128
  }
};

template <>
struct block_codes<q1_0> : block_detail::block_scale<q1_0> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return block_detail::bits_to_bytes(block_detail::byte_at(block + 2 + i / 8));
  }
};
template <>
struct block_codes<q2_0> : block_detail::block_scale<q2_0> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return detail::spread_word<2>(
        load_u16(static_cast<const std::byte*>(__builtin_assume_aligned(block + 2 + i / 4, 2))));
  }
};
template <>
struct block_codes<tq2_0> : block_detail::block_scale<tq2_0> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return block_detail::crumbs_by_128<tq2_0, 0>(block, i);
  }
};
template <>
struct block_codes<tq1_0> : block_detail::block_scale<tq1_0> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    using block_detail::bytes8;
    if (i < 160) return trits(bytes8<tq1_0::block_bytes>(block + i % 32), i / 32);
    if (i < 240) return trits(bytes8<tq1_0::block_bytes>(block + 32 + i % 16), (i - 160) / 16);
    const std::uint64_t last = load_u16(block + 48) | std::uint64_t{load_u16(block + 50)} << 16;
    return trits(last, (i - 240) / 4) | trits(last, (i - 240) / 4 + 1) << 32;
  }

 private:
  /// Trit k, the first most significant, of each byte.
  NBIT_INLINE static std::uint64_t trits(std::uint64_t bytes, int k) {
    unsigned power = 1;
    for (int n = 0; n < k; ++n) power *= 3;
    std::uint64_t codes = 0;
    for (int n = 0; n < 8; ++n)
      codes |= std::uint64_t{(static_cast<unsigned>(bytes >> (8 * n) & 255u) * power & 255u) * 3u >> 8} << (8 * n);
    return codes;
  }
};

template <>
struct block_codes<q4_k> : block_detail::k_scale {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return block_detail::nibbles_by_64<q4_k, 16>(block, i);
  }
};
template <>
struct block_codes<q5_k> : block_detail::k_scale {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return block_detail::nibbles_by_64<q5_k, 48>(block, i) | block_detail::bit_plane<q5_k, 16>(block, i) << 4;
  }
};

template <>
struct block_codes<q2_k> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return block_detail::crumbs_by_128<q2_k, 16>(block, i);
  }
  NBIT_INLINE static float scale(const std::byte* block, int s) {
    return block_detail::half_at(block + 80) * static_cast<float>(block_detail::byte_at(block + s) & 15u);
  }
  NBIT_INLINE static float offset(const std::byte* block, int s) {
    return -(block_detail::half_at(block + 82) * static_cast<float>(block_detail::byte_at(block + s) >> 4));
  }
};

template <>
struct block_codes<q3_k> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return block_detail::crumbs_by_128<q3_k, 32>(block, i) | block_detail::bit_plane<q3_k, 0>(block, i) << 2;
  }
  NBIT_INLINE static float scale(const std::byte* block, int s) {
    const std::byte* const p = block + 96;  // low nibbles in bytes 0-7, upper crumbs in bytes 8-11
    const unsigned low = block_detail::byte_at(p + (s & 7)) >> (4 * (s >> 3)) & 15u;
    const unsigned high = block_detail::byte_at(p + 8 + (s & 3)) >> (2 * (s >> 2)) & 3u;
    return block_detail::half_at(block + 108) * static_cast<float>(static_cast<int>(low | high << 4) - 32);
  }
  NBIT_INLINE static float offset(const std::byte*, int) { return 0.0f; }
};

template <>
struct block_codes<q6_k> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    using namespace block_detail;
    const int quarter = i >> 5 & 3, half = i >> 7, l = i & 31;
    const std::uint64_t low = bytes8<q6_k::block_bytes>(block + 64 * half + 32 * (quarter & 1) + l);
    const std::uint64_t high = bytes8<q6_k::block_bytes>(block + 128 + 32 * half + l);
    return (low >> (4 * (quarter >> 1)) & low_nibbles) | (high >> (2 * quarter) & low_crumbs) << 4;
  }
  NBIT_INLINE static float scale(const std::byte* block, int s) {
    const int v = static_cast<std::int8_t>(block_detail::byte_at(block + 192 + s));
    return block_detail::half_at(block + 208) * static_cast<float>(v);
  }
  NBIT_INLINE static float offset(const std::byte*, int) { return 0.0f; }
};

template <>
struct block_codes<iq4_xs> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    using namespace block_detail;
    const std::uint64_t pairs = bytes8<iq4_xs::block_bytes>(block + 8 + 16 * (i >> 5) + (i & 15 & ~7));
    return pairs >> (4 * (i >> 4 & 1)) & low_nibbles;
  }
  NBIT_INLINE static float scale(const std::byte* block, int s) {
    const unsigned low = block_detail::byte_at(block + 4 + s / 2) >> (4 * (s & 1)) & 15u;
    const unsigned high = block_detail::byte_at(block + 2 + s / 4) >> (2 * (s & 3)) & 3u;
    return block_detail::half_at(block) * static_cast<float>(static_cast<int>(low | high << 4) - 32);
  }
  NBIT_INLINE static float offset(const std::byte*, int) { return 0.0f; }
};

template <>
struct block_codes<nvfp4> : block_detail::block_scale<nvfp4> {
  NBIT_INLINE static std::uint64_t eight(const std::byte* block, int i) {
    return block_detail::bytes8<nvfp4::block_bytes>(block + 4 + 8 * (i >> 4)) >> (4 * (i >> 3 & 1)) &
           block_detail::low_nibbles;
  }
};

}  // namespace nbit::cuda

#endif
