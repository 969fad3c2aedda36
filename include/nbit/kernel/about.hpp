// nbit/kernel/about.hpp — what a kernel says of itself, so that nbit::describe can tell which one runs.
//
// A specialisation of row_decoder, gemv_kernel, gemm_kernel or quantize_kernel says it in one line inside itself:
//
//   static constexpr kernel_about about = own_kernel("eight rows of nibbles a time, vpdpbusd");
//
// and, where its int8 form differs, in a second one, about_int8. A kernel without such a line is the generic one.
// SPDX-License-Identifier: MIT
#ifndef NBIT_KERNEL_ABOUT_HPP
#define NBIT_KERNEL_ABOUT_HPP

#include <cstdint>

#include <nbit/base/config.hpp>

namespace nbit {

/// How far a kernel was made for its format.
enum class kernel_path : std::uint8_t {
  own,      // written for this format (and instruction set)
  decoder,  // the generic text over a decoder written for this format
  generic,  // the generic text, which asks the format for its values
};

/// A kernel's path, what it does in a few words, and why no faster one serves the format (nullptr: none is known).
struct kernel_about {
  kernel_path path;
  const char* how;
  const char* limit;
};

/// What a kernel written for its format says of itself.
NBIT_INLINE constexpr kernel_about own_kernel(const char* how, const char* limit = nullptr) {
  return {kernel_path::own, how, limit};
}

}  // namespace nbit

#endif
