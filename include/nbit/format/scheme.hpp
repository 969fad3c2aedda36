// nbit/format/scheme.hpp — the policy values of a uniform integer format, and the rules they must keep.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_SCHEME_HPP
#define NBIT_FORMAT_SCHEME_HPP

#include <cstdint>

#include <nbit/base/config.hpp>
#include <nbit/format/concepts.hpp>

namespace nbit {

/// How the integer grid lies around zero. b is the number of bits, levels are 0 .. 2^b - 1 as stored.
enum class symmetry : std::uint8_t {
  restricted,        // scale = absmax / (2^(b-1) - 1), zero at 2^(b-1): AWQ and most int8 (+-absmax exactly on a level)
  gptq,              // scale = 2 absmax / (2^b - 1), zero at 2^(b-1): GPTQ's "sym" checkpoints
  full_range,        // scale = (signed value of largest magnitude) / -2^(b-1), may be negative: ggml Q4_0, AutoRound
  asymmetric,        // scale = (max - min) / (2^b - 1) with 0 inside the range, integer zero: GPTQ's "asym"
  asymmetric_float,  // the same range, not forced to hold 0, zero kept as a fraction: HQQ, torchao
};

/// How a group's scale is stored.
enum class scale_type : std::uint8_t { f32, f16, bf16, f8_e4m3, e8m0 };

/// A uniform integer format as a value; wrap it in a named type: struct w4g128 : uniform<scheme{.bits = 4}> {};
struct scheme {
  int bits = 4;     // 1 to 8
  int group = 128;  // weights that share a scale, or per_row, or per_tensor
  nbit::symmetry symmetry = nbit::symmetry::restricted;
  scale_type scale = scale_type::f16;

  friend constexpr bool operator==(const scheme&, const scheme&) = default;
};

}  // namespace nbit

#endif
