// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET, the registers: 0 none, 1 AVX2, 2 AVX-512, 3 NEON, 4 RISC-V V, 5 WebAssembly SIMD128; and
// NBIT_TARGET_DOT, 1 if a single instruction takes int8 dots of four: that is what tells avx_vnni from avx2 and
// neon_dotprod from neon, so a text that asks NBIT_TARGET alone serves both; 2 or 3 for an extension: bf16 dots (2) or
// int8 tiles (3) of AVX-512 machines, int8 matrices of NEON (2). Defines NBIT_ARCH, the tag inside the region. No
// include guard: a kernel's text is included once per target. Functions in the region may use that target's intrinsics;
// contraction is off in all of them. std and intrinsics headers are included before any region (they must keep the
// unit's own target).
// SPDX-License-Identifier: MIT
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1 && !NBIT_TARGET_DOT
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx_vnni
#elif NBIT_TARGET == 2 && NBIT_TARGET_DOT == 1
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#elif NBIT_TARGET == 2 && NBIT_TARGET_DOT == 2
#define NBIT_ARCH ::nbit::arch::avx512_bf16
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::amx_int8
#elif NBIT_TARGET == 3 && !NBIT_TARGET_DOT
#define NBIT_ARCH ::nbit::arch::neon
#elif NBIT_TARGET == 3 && NBIT_TARGET_DOT == 1
#define NBIT_ARCH ::nbit::arch::neon_dotprod
#elif NBIT_TARGET == 3
#define NBIT_ARCH ::nbit::arch::neon_i8mm
#elif NBIT_TARGET == 4
#define NBIT_ARCH ::nbit::arch::rvv
#elif NBIT_TARGET == 5
#define NBIT_ARCH ::nbit::arch::simd128
#endif

// NEON is part of AArch64; RISC-V V and SIMD128 are in the unit's own flags or not there: those need no pragma.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpragma-clang-attribute"  // a text may have no function for some target
#if NBIT_TARGET == 1 && !NBIT_TARGET_DOT
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2,avxvnni"))), apply_to = function)
#elif NBIT_TARGET == 2 && NBIT_TARGET_DOT == 1
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#elif NBIT_TARGET == 2 && NBIT_TARGET_DOT == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16"))),            \
    apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,amx-tile,amx-int8"))),     \
    apply_to = function)
#elif NBIT_TARGET == 3 && NBIT_TARGET_DOT == 1
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#elif NBIT_TARGET == 3 && NBIT_TARGET_DOT == 2
#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)
#endif
#pragma clang diagnostic pop
#elif defined(__GNUC__) && !defined(__CUDACC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1 && !NBIT_TARGET_DOT
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2,avxvnni")
#elif NBIT_TARGET == 2 && NBIT_TARGET_DOT == 1
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#elif NBIT_TARGET == 2 && NBIT_TARGET_DOT == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,amx-tile,amx-int8")
#elif NBIT_TARGET == 3 && NBIT_TARGET_DOT == 1
#pragma GCC target("arch=armv8.2-a+dotprod")
#elif NBIT_TARGET == 3 && NBIT_TARGET_DOT == 2
#pragma GCC target("arch=armv8.2-a+dotprod+i8mm")
#endif
#endif
