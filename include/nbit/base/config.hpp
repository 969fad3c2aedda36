// nbit/base/config.hpp — compiler facts, inlining attributes and the tag that keeps differently built code apart.
//
// Two translation units built with different -m flags both emit the same inline function; the linker keeps one, perhaps
// the one this machine cannot run. All code with loops therefore lives in an inline namespace whose name spells the
// unit's own flags (NBIT_TAG): equal flags share one copy, different flags never merge. docs/dispatch.md has the story.
// SPDX-License-Identifier: MIT
#ifndef NBIT_BASE_CONFIG_HPP
#define NBIT_BASE_CONFIG_HPP

#include <nbit/version.hpp>
#if defined(__CUDACC_RTC__)
#include <nbit/base/nvrtc.hpp>
#endif

#if defined(__CUDACC__)
#define NBIT_HD __host__ __device__
#else
#define NBIT_HD
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define NBIT_HOST_INLINE __forceinline
#define NBIT_NOINLINE __declspec(noinline)
#define NBIT_RESTRICT __restrict
#else
// always_inline also at -O0: such a function never becomes a symbol that two units could share.
#define NBIT_HOST_INLINE __attribute__((always_inline)) inline
#define NBIT_NOINLINE __attribute__((noinline))
#define NBIT_RESTRICT __restrict__
#endif
// What is inline may be called on a GPU as well. NBIT_HOST_INLINE is for what cannot run there (vector types), and for
// defaulted members, whose side the compiler infers.
#if defined(__CUDACC__)
#define NBIT_INLINE __host__ __device__ __forceinline__
#else
#define NBIT_INLINE NBIT_HOST_INLINE
#endif

// On clang contraction is decided where an expression is written: a body that multiplies and then adds opens with this.
// g++ ignores the pragma; there base/exact_begin.inl does the same for a region.
#if defined(__clang__)
#define NBIT_EXACT _Pragma("STDC FP_CONTRACT OFF")
#else
#define NBIT_EXACT
#endif

// ---- what the compiler can be asked for; arch/stamp.inl stamps kernels for it
// Before a loop with a constant number of rounds over an array of vectors: unrolled, the array becomes registers.
#if defined(__clang__) || defined(__CUDACC__)
#define NBIT_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define NBIT_UNROLL _Pragma("GCC unroll 32")
#else
#define NBIT_UNROLL
#endif

#if !defined(NBIT_SCALAR_ONLY) && !defined(__CUDACC__) && defined(__x86_64__) &&                                       \
    (defined(__GNUC__) || defined(__clang__))
#define NBIT_HAS_X86 1
#else
#define NBIT_HAS_X86 0
#endif
#if !NBIT_HAS_X86
#undef NBIT_HAS_AVX_VNNI
#define NBIT_HAS_AVX_VNNI 0
#elif !defined(NBIT_HAS_AVX_VNNI)  // most tests turn it off: fewer texts to compile
#if (defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11)
#define NBIT_HAS_AVX_VNNI 1
#else
#define NBIT_HAS_AVX_VNNI 0
#endif
#endif
#if NBIT_HAS_X86 && ((defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11))
#define NBIT_HAS_AMX 1
#else
#define NBIT_HAS_AMX 0
#endif
#if !defined(NBIT_SCALAR_ONLY) && !defined(__CUDACC__) && defined(__aarch64__) && defined(__ARM_NEON) &&               \
    !defined(__AARCH64EB__)
#define NBIT_HAS_NEON 1
#else
#define NBIT_HAS_NEON 0
#endif
// clang before 16 hides the intrinsics unless the unit's own flags have the feature
#if NBIT_HAS_NEON && (defined(__ARM_FEATURE_DOTPROD) || !defined(__clang__) || __clang_major__ >= 16)
#define NBIT_HAS_NEON_DOTPROD 1
#else
#define NBIT_HAS_NEON_DOTPROD 0
#endif
#if NBIT_HAS_NEON_DOTPROD && (defined(__ARM_FEATURE_MATMUL_INT8) || !defined(__clang__) || __clang_major__ >= 16)
#define NBIT_HAS_NEON_I8MM 1
#else
#define NBIT_HAS_NEON_I8MM 0
#endif
#if !defined(NBIT_SCALAR_ONLY) && defined(__clang__) && defined(__riscv_v) && defined(__riscv_d)
#define NBIT_HAS_RVV 1
#else
#define NBIT_HAS_RVV 0
#endif
#if !defined(NBIT_SCALAR_ONLY) && defined(__wasm_simd128__)
#define NBIT_HAS_SIMD128 1
#else
#define NBIT_HAS_SIMD128 0
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define NBIT_BIG_ENDIAN 1
#else
#define NBIT_BIG_ENDIAN 0
#endif

// ---- the tag: one character per fact about the unit's flags
#if defined(__SSE4_2__)
#define NBIT_TAG_SSE 4
#elif defined(__SSSE3__)
#define NBIT_TAG_SSE 3
#else
#define NBIT_TAG_SSE 0
#endif
#if defined(__AVX2__)
#define NBIT_TAG_AVX 2
#elif defined(__AVX__)
#define NBIT_TAG_AVX 1
#else
#define NBIT_TAG_AVX 0
#endif
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define NBIT_TAG_FMA 1
#else
#define NBIT_TAG_FMA 0
#endif
#if defined(__F16C__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#define NBIT_TAG_F16 1
#else
#define NBIT_TAG_F16 0
#endif
#if defined(__BMI2__)
#define NBIT_TAG_BMI 1
#else
#define NBIT_TAG_BMI 0
#endif
#if defined(__AVX512BF16__)
#define NBIT_TAG_512 4
#elif defined(__AVX512VNNI__)
#define NBIT_TAG_512 3
#elif defined(__AVX512BW__) && defined(__AVX512VL__)
#define NBIT_TAG_512 2
#elif defined(__AVX512F__)
#define NBIT_TAG_512 1
#else
#define NBIT_TAG_512 0
#endif
#if defined(__ARM_FEATURE_SVE) || defined(__riscv_v)
#define NBIT_TAG_VEC 4
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define NBIT_TAG_VEC 3
#elif defined(__ARM_FEATURE_DOTPROD)
#define NBIT_TAG_VEC 2
#elif defined(__ARM_NEON) || defined(__wasm_simd128__)
#define NBIT_TAG_VEC 1
#else
#define NBIT_TAG_VEC 0
#endif
#if defined(__FAST_MATH__)
#define NBIT_TAG_MATH 1
#else
#define NBIT_TAG_MATH 0
#endif
#if defined(__cpp_exceptions)
#define NBIT_TAG_EXC 1
#else
#define NBIT_TAG_EXC 0
#endif
#if defined(__CUDACC__)
#define NBIT_TAG_ONLY 2
#elif defined(NBIT_SCALAR_ONLY)
#define NBIT_TAG_ONLY 1
#elif NBIT_HAS_X86 && !NBIT_HAS_AVX_VNNI
#define NBIT_TAG_ONLY 3
#else
#define NBIT_TAG_ONLY 0
#endif

#define NBIT_TAG_PASTE_(a, b, c, d, e, f, g, h, i, j) v0_##a##b##c##d##e##f##g##h##i##j
#define NBIT_TAG_PASTE(a, b, c, d, e, f, g, h, i, j) NBIT_TAG_PASTE_(a, b, c, d, e, f, g, h, i, j)

/// The inline namespace of all code with loops: v0_<sse><avx><fma><f16><bmi><avx512><other vectors><fast-math>
/// <exceptions><scalar-only, CUDA, or without AVX-VNNI>.
#ifndef NBIT_TAG  // a test forces it to show what would go wrong
#define NBIT_TAG                                                                                                       \
  NBIT_TAG_PASTE(NBIT_TAG_SSE, NBIT_TAG_AVX, NBIT_TAG_FMA, NBIT_TAG_F16, NBIT_TAG_BMI, NBIT_TAG_512, NBIT_TAG_VEC,     \
                 NBIT_TAG_MATH, NBIT_TAG_EXC, NBIT_TAG_ONLY)
#endif

namespace nbit {
// Declared here first, so that nbit::detail means one namespace wherever a block of it stands; two would be ambiguous.
inline namespace NBIT_TAG {
namespace detail {}
}  // namespace NBIT_TAG
}  // namespace nbit

#endif
