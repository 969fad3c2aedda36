// nbit/arch/tags.hpp — one empty type per instruction set that kernels are stamped for.
//
// The tag is a template argument of everything stamped, so gemv_kernel<arch::avx2, ...> and gemv_kernel<arch::scalar,
// ...> can never be confused by a linker. A caller may pass a tag to run that very kernel.
// SPDX-License-Identifier: MIT
#ifndef NBIT_ARCH_TAGS_HPP
#define NBIT_ARCH_TAGS_HPP

#include <nbit/base/config.hpp>

namespace nbit::arch {

/// Plain C++, the definition that every other kernel is compared with.
struct scalar {
  static constexpr int level = 0;
  static constexpr const char* name = "scalar";
};
/// x86-64 with AVX2, FMA, F16C and BMI2.
struct avx2 {
  static constexpr int level = 1;
  static constexpr const char* name = "avx2";
};
/// x86-64 with AVX-512 F, BW, VL, DQ and VNNI, and everything avx2 asks for.
struct avx512_vnni {
  static constexpr int level = 2;
  static constexpr const char* name = "avx512_vnni";
};

}  // namespace nbit::arch

#endif
