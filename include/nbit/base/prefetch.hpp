// nbit/base/prefetch.hpp — asks for memory that is read soon.
//
// What lies ahead of a loop's end is asked for as well, so addresses are integers here: a pointer past an array's end
// is undefined even if nothing is read through it.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_PREFETCH_HPP
#define NBIT_BASE_PREFETCH_HPP

#include <cstddef>
#include <cstdint>

#include <nbit/base/config.hpp>

namespace nbit::detail {

/// Asks for the line of from[n], which need not exist; Locality 3 is the nearest cache, 0 none after the read.
template <int Locality = 3, class T>
NBIT_HOST_INLINE void prefetch_ahead(const T* from, std::size_t n) {
  const std::uintptr_t to = reinterpret_cast<std::uintptr_t>(from) + n * sizeof(T);
  __builtin_prefetch(reinterpret_cast<const void*>(to), 0, Locality);
}

}  // namespace nbit::detail

#endif
