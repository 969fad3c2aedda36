// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH.
// SPDX-License-Identifier: MIT
#define NBIT_TARGET 0
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>
#undef NBIT_TARGET

#if NBIT_HAS_X86
#define NBIT_TARGET 1
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>
#undef NBIT_TARGET

#define NBIT_TARGET 2
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>
#undef NBIT_TARGET
#endif
#undef NBIT_STAMP
