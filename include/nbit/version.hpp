// nbit/version.hpp — the version of the library; CMake reads it from here.
// SPDX-License-Identifier: MIT
#ifndef NBIT_VERSION_HPP
#define NBIT_VERSION_HPP

#define NBIT_VERSION_MAJOR 0
#define NBIT_VERSION_MINOR 1
#define NBIT_VERSION_PATCH 0

namespace nbit {

/// The version of these headers as three numbers.
struct version_number {
  int major_part, minor_part, patch_part;
};
inline constexpr version_number version{NBIT_VERSION_MAJOR, NBIT_VERSION_MINOR, NBIT_VERSION_PATCH};

}  // namespace nbit

#endif
