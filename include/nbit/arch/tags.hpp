// nbit/arch/tags.hpp — one empty type per instruction set that kernels are stamped for.
//
// The tag is a template argument of everything stamped, so gemv_kernel<arch::avx2, ...> and gemv_kernel<arch::scalar,
// ...> can never be confused by a linker. A caller may pass a tag to run that very kernel. Levels order the tags of one
// processor family: a machine that runs a level runs all below it.
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
/// avx2 with the int8 dots of AVX-VNNI: processors without AVX-512 since 2021.
struct avx_vnni {
  static constexpr int level = 2;
  static constexpr const char* name = "avx_vnni";
};
/// x86-64 with AVX-512 F, BW, VL, DQ and VNNI, and everything avx2 asks for.
struct avx512_vnni {
  static constexpr int level = 3;
  static constexpr const char* name = "avx512_vnni";
};

/// avx512_vnni with dots of bf16 (AVX512-BF16). An extension: products that gain from it are stamped for it, all others
/// run its base.
struct avx512_bf16 {
  using base = avx512_vnni;
  static constexpr int level = 4;
  static constexpr const char* name = "avx512_bf16";
};

/// avx512_vnni with products of int8 tiles of 16 x 16 (AMX-INT8). An extension for int8 gemm on row tiles. Untested on
/// a processor that has it, and of no use before the operating system was asked (docs/dispatch.md): never chosen, only
/// run where a caller names it.
struct amx_int8 {
  using base = avx512_vnni;
  static constexpr int level = 5;
  static constexpr const char* name = "amx_int8";
};

/// Any AArch64 processor.
struct neon {
  static constexpr int level = 1;
  static constexpr const char* name = "neon";
};
/// AArch64 with the int8 dots of Armv8.2 (FEAT_DotProd).
struct neon_dotprod {
  static constexpr int level = 2;
  static constexpr const char* name = "neon_dotprod";
};

/// neon_dotprod with products of int8 matrices (FEAT_I8MM, Armv8.6). An extension for int8 gemm on row tiles.
struct neon_i8mm {
  using base = neon_dotprod;
  static constexpr int level = 3;
  static constexpr const char* name = "neon_i8mm";
};

/// RISC-V with vectors of 128 bits or more (V 1.0), in units compiled for them.
struct rvv {
  static constexpr int level = 1;
  static constexpr const char* name = "rvv";
};

/// WebAssembly with SIMD128, in units compiled for it.
struct simd128 {
  static constexpr int level = 1;
  static constexpr const char* name = "simd128";
};

/// The tag whose primitives a tag uses, as a type: its own, but for extensions.
template <class Arch>
struct base_tag {
  using type = Arch;
};
template <class Arch>
  requires(requires { typename Arch::base; })
struct base_tag<Arch> {
  using type = typename Arch::base;
};
template <class Arch>
using base_of = typename base_tag<Arch>::type;

/// The tag whose texts a tag runs where int8 dots help nothing.
template <class Arch>
struct without_dots_tag {
  using type = Arch;
};
template <>
struct without_dots_tag<avx_vnni> {
  using type = avx2;
};
template <class Arch>
using without_dots = typename without_dots_tag<Arch>::type;

}  // namespace nbit::arch

#endif
