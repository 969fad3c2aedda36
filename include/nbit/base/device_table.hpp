// nbit/base/device_table.hpp — constant tables that formats look things up in, on the host and in GPU kernels.
//
// A kernel cannot see the host's static arrays. Code that may run there asks device_table<Holder>() for Holder::table,
// a static constexpr member: the host gets that object, a kernel a copy of it in device memory.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_DEVICE_TABLE_HPP
#define NBIT_BASE_DEVICE_TABLE_HPP

#include <cstdint>

#include <nbit/base/config.hpp>

namespace nbit {

#if defined(__CUDACC__)
namespace device_table_detail {
template <class Holder>
__device__ constexpr auto copy = Holder::table;
}  // namespace device_table_detail
#endif

/// Holder::table, wherever this runs.
template <class Holder>
NBIT_INLINE constexpr const auto& device_table() {
#if defined(__CUDA_ARCH__)
  return device_table_detail::copy<Holder>;
#else
  return Holder::table;
#endif
}

/// A table of sixteen levels as device_table wants it.
template <const std::int8_t (&Levels)[16]>
struct sixteen_levels {
  struct values {
    std::int8_t of[16];
  };
  static constexpr values table = {{Levels[0], Levels[1], Levels[2], Levels[3], Levels[4], Levels[5], Levels[6],
                                    Levels[7], Levels[8], Levels[9], Levels[10], Levels[11], Levels[12], Levels[13],
                                    Levels[14], Levels[15]}};
};

}  // namespace nbit

#endif
