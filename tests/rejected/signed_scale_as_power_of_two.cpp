// tests/rejected/signed_scale_as_power_of_two.cpp — a scheme with signed scales cannot store them as e8m0.
// SPDX-License-Identifier: MIT
// expect: symmetry::full_range needs a signed scale; use f32, f16, bf16 or f8_e4m3 instead of e8m0
#include <nbit/format/uniform.hpp>

#ifdef NBIT_REJECT
constexpr nbit::symmetry chosen = nbit::symmetry::full_range;
#else
constexpr nbit::symmetry chosen = nbit::symmetry::restricted;
#endif
struct f : nbit::uniform<nbit::scheme{.bits = 4, .symmetry = chosen, .scale = nbit::scale_type::e8m0}> {};

int width() { return f::bits; }
