// nbit/format/tinygemm.hpp — torchao's int4: a scale and the value of the middle code, both bf16.
//
//   value = scale * (code - 8) + middle        scale = (max - min) / 15, middle = min + 8 * scale
//
// fit and code round every step to bf16 as torchao does, so that bf16 weights give its very codes. A group of one value
// has the least normal scale there, 2^-126. Ref: torchao 0.18 (BSD-3-Clause), _choose_qparams_affine_tinygemm.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_TINYGEMM_HPP
#define NBIT_FORMAT_TINYGEMM_HPP

#include <span>

#include <nbit/base/config.hpp>
#include <nbit/base/float16.hpp>
#include <nbit/base/numeric.hpp>
#include <nbit/format/concepts.hpp>
#include <nbit/format/uniform.hpp>

#include <nbit/base/exact_begin.inl>

namespace nbit {

/// What a group of torchao's int4 stores.
struct tinygemm_params {
  bf16 scale, middle;
};

/// torchao's int4 weights (Int4TilePackedTo4dTensor) with groups of Group; its kernels know 32, 64, 128 and 256.
template <int Group>
struct tinygemm_int4 {
  static_assert(Group > 0, "nbit::tinygemm_int4: Group must be a count of weights");

  static constexpr int bits = 4, group = Group, run = 0;
  static constexpr bool symmetric = false, exact_levels = true, same_everywhere = true;
  using params = tinygemm_params;

  NBIT_INLINE static params fit(std::span<const float> w, std::span<const float> /*importance*/) {
    NBIT_EXACT
    const auto g = detail::range_of(w);
    const float low = round(g.min), range = round(round(g.max) - low), step = round(range / 15.0f);
    const bf16 scale = bf16::from(step < 0x1p-126f ? 0x1p-126f : step);
    return {scale, bf16::from(low + float(scale) * 8.0f)};
  }
  NBIT_INLINE static int code(float v, const params& p, int /*i*/) {
    NBIT_EXACT
    const float s = float(p.scale), low = round(float(p.middle) - s * 8.0f);
    return s == 0.0f ? 8 : round_clamped(round(round(round(v) - low) / s), 0, 15);
  }
  NBIT_INLINE static float value(int c, const params& p, int /*i*/) {
    NBIT_EXACT
    return float(p.scale) * static_cast<float>(c - 8) + float(p.middle);
  }
  NBIT_INLINE static constexpr int level(int c) { return c - 8; }
  NBIT_INLINE static float scale(const params& p, int) { return float(p.scale); }
  NBIT_INLINE static float offset(const params& p, int) { return float(p.middle); }

 private:
  NBIT_INLINE static float round(float v) { return float(bf16::from(v)); }
};

static_assert(integer_format<tinygemm_int4<32>>);

}  // namespace nbit

#include <nbit/base/exact_end.inl>

#endif
