// nbit/arch/row_codes.hpp — sixteen neighbouring codes of a row, low bits first, and the bytes that hold them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_ROW_CODES_HPP
#define NBIT_ARCH_ROW_CODES_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <nbit/base/config.hpp>
#include <nbit/arch/lane_math.hpp>
#include <nbit/arch/simd.hpp>
#include <nbit/arch/tags.hpp>

#if NBIT_HAS_X86
#include <immintrin.h>
#endif

namespace nbit {
inline namespace NBIT_TAG {

/// spread16<Bits>(from): sixteen codes as bytes; squeeze16<Bits>(codes, to): the inverse; load, store, lookup: sixteen
/// bytes. join, squeeze64, store64, lookup64: the same for sixty-four.
template <class Arch>
struct row_codes;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP <nbit/arch/row_codes.inl>
#include <nbit/arch/stamp.inl>

#endif
