// nbit/format/presets.hpp — uniform formats that most models use, by the names people use for them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_FORMAT_PRESETS_HPP
#define NBIT_FORMAT_PRESETS_HPP

#include <nbit/format/scheme.hpp>
#include <nbit/format/uniform.hpp>

namespace nbit {

/// wBgN: B bits, N weights to a group, symmetric; an `a` at the end: asymmetric with an integer zero.
struct w2g64a : uniform<scheme{.bits = 2, .group = 64, .symmetry = symmetry::asymmetric}> {};
struct w3g64a : uniform<scheme{.bits = 3, .group = 64, .symmetry = symmetry::asymmetric}> {};
struct w3g128a : uniform<scheme{.bits = 3, .group = 128, .symmetry = symmetry::asymmetric}> {};
struct w4g32 : uniform<scheme{.bits = 4, .group = 32}> {};
struct w4g64 : uniform<scheme{.bits = 4, .group = 64}> {};
struct w4g128 : uniform<scheme{.bits = 4, .group = 128}> {};
struct w4g128a : uniform<scheme{.bits = 4, .group = 128, .symmetry = symmetry::asymmetric}> {};
struct w8g128 : uniform<scheme{.bits = 8, .group = 128}> {};
/// One scale per output row.
struct w4c : uniform<scheme{.bits = 4, .group = per_row}> {};
struct w8c : uniform<scheme{.bits = 8, .group = per_row}> {};

}  // namespace nbit

#endif
