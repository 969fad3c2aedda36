// nbit/arch/stamp.inl — includes the text named by NBIT_STAMP once per instruction set the compiler can produce.
//
//   #define NBIT_STAMP <nbit/kernel/gemv.inl>
//   #include <nbit/arch/stamp.inl>
//
// The text is written once over the primitives of arch/simd.hpp and specialises templates on NBIT_ARCH. A text that
// gains from extensions (arch/tags.hpp) is stamped for them too: NBIT_STAMP_EXTENSIONS is defined then.
// SPDX-License-Identifier: MIT
#define NBIT_TARGET 0
#define NBIT_TARGET_DOT 0
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>

// The plain registers of the family, then with int8 dots, then wider ones: few inclusions, because the single header
// pastes the text at each.
#if NBIT_HAS_X86 || NBIT_HAS_NEON || NBIT_HAS_RVV || NBIT_HAS_SIMD128
#if NBIT_HAS_X86
#define NBIT_TARGET 1
#elif NBIT_HAS_NEON
#define NBIT_TARGET 3
#elif NBIT_HAS_RVV
#define NBIT_TARGET 4
#else
#define NBIT_TARGET 5
#endif
#define NBIT_TARGET_DOT 0
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>
#endif

#if NBIT_HAS_AVX_VNNI || NBIT_HAS_NEON_DOTPROD
#if NBIT_HAS_AVX_VNNI
#define NBIT_TARGET 1
#else
#define NBIT_TARGET 3
#endif
#define NBIT_TARGET_DOT 1
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>
#endif

#if NBIT_HAS_X86
#define NBIT_TARGET 2
#define NBIT_TARGET_DOT 1
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>
#endif

#if NBIT_HAS_X86 && defined(NBIT_STAMP_EXTENSIONS)
#define NBIT_TARGET 2
#define NBIT_TARGET_DOT 2
#include <nbit/arch/target_begin.inl>
#include NBIT_STAMP
#include <nbit/arch/target_end.inl>
#endif
#undef NBIT_STAMP
#undef NBIT_STAMP_EXTENSIONS
