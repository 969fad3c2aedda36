// nbit/arch/target_begin.inl — opens the region of one instruction set; arch/target_end.inl closes it.
//
// Needs NBIT_TARGET: 0 scalar, 1 avx2, 2 avx512_vnni. Defines NBIT_ARCH, the tag inside the region. No include guard: a
// kernel's text is included once per target. Functions in the region may use that target's intrinsics; contraction is
// off in all of them. std and intrinsics headers are included before any region (they must keep the unit's own target).
// SPDX-License-Identifier: MIT
#if NBIT_TARGET == 0
#define NBIT_ARCH ::nbit::arch::scalar
#elif NBIT_TARGET == 1
#define NBIT_ARCH ::nbit::arch::avx2
#elif NBIT_TARGET == 2
#define NBIT_ARCH ::nbit::arch::avx512_vnni
#endif

#if defined(__clang__)
#if NBIT_TARGET == 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#elif NBIT_TARGET == 2
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#if NBIT_TARGET == 1
#pragma GCC target("avx2,fma,f16c,bmi2")
#elif NBIT_TARGET == 2
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#endif
