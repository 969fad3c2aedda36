// nbit/arch/target_end.inl — closes the region that arch/target_begin.inl opened.
// SPDX-License-Identifier: MIT
#if defined(__clang__)
#if NBIT_TARGET == 1 || NBIT_TARGET == 2 || (NBIT_TARGET == 3 && NBIT_TARGET_DOT)
#pragma clang attribute pop
#endif
#elif defined(__GNUC__) && !defined(__CUDACC__)
#pragma GCC pop_options
#endif
#undef NBIT_ARCH
#undef NBIT_TARGET
#undef NBIT_TARGET_DOT
