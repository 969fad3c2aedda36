// nbit/kernel/register_tile.hpp — a few vectors of y that stay in registers while a kernel adds to them.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_REGISTER_TILE_HPP
#define NBIT_KERNEL_REGISTER_TILE_HPP

#include <cstddef>
#include <type_traits>
#include <utility>

#include <nbit/base/config.hpp>
#include <nbit/arch/simd.hpp>

namespace nbit {
inline namespace NBIT_TAG {

/// with<T, V>(y, ...): T rows of V vectors, through a function; load and store: parts of a row.
template <class Arch>
struct register_tile;

}  // namespace NBIT_TAG
}  // namespace nbit

#define NBIT_STAMP_EXTENSIONS
#define NBIT_STAMP <nbit/kernel/register_tile.inl>
#include <nbit/arch/stamp.inl>

#endif
